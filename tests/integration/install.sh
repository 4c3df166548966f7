#!/bin/bash
# SPDX-License-Identifier: MIT
# What make install puts where; manual pages and completion that follow the command table; the core as
# a library for others.
. "$(dirname "$0")/../lib.sh"

root=$tmp/root
ran make -C "$top" --no-print-directory OUT="$build" install DESTDIR="$root" PREFIX=/usr
expect_status 0
ran "$root/usr/bin/minivmm" --version
expect_status 0
check "make install into a folder"

ran "$root/usr/bin/minivmm" --help --json
expect_status 0
cp "$tmp/.out" "$tmp/table.json"
check "minivmm --help --json is the command table"

# ---- manual pages ----

python3 - "$tmp/table.json" "$root/usr/share/man/man1" >"$tmp/pages" 2>&1 <<'PY' || problem "$(tail -1 "$tmp/pages")"
import json, os, sys
table, folder = json.load(open(sys.argv[1])), sys.argv[2]
assert len(table["commands"]) > 15
page = {c["name"]: "minivmm-" + c["name"].replace(" ", "-") for c in table["commands"]}
pages = {name: open(os.path.join(folder, page[name] + ".1")).read() for name in page}
main = open(os.path.join(folder, "minivmm.1")).read()
for c in table["commands"]:
    assert page[c["name"]].replace("-", "\\-") + " 1" in main, f"minivmm(1) does not name {c['name']}"
    for o in c["options"] + table["common-options"]:
        assert ".It Fl \\-" + o["name"].replace("-", "\\-") in pages[c["name"]], f"{c['name']} lacks {o['name']}"
PY
check "every command has a page, every option an entry"

# Examples name commands and options that exist.
python3 - "$tmp/table.json" "$top/contrib/man/examples.txt" >"$tmp/pages" 2>&1 <<'PY' || problem "$(tail -1 "$tmp/pages")"
import json, shlex, sys
table = json.load(open(sys.argv[1]))
common = {o["name"] for o in table["common-options"]}
options = {c["name"]: {o["name"] for o in c["options"]} | common for c in table["commands"]}
seen = set()
for line in open(sys.argv[2]):
    if not line.startswith("$ "):
        continue
    words = shlex.split(line[2:])
    name = " ".join(words[1:3]) if " ".join(words[1:3]) in options else words[1]
    assert words[0] == "minivmm" and name in options, line
    seen.add(name)
    for w in words[2:]:
        if w.startswith("--"):
            assert w[2:].split("=")[0] in options[name], f"{w} in: {line}"
missing = set(options) - seen
assert not missing, f"no example of {missing}"
PY
check "the examples of the pages use commands and options that exist, and each command has one"

if command -v groff >/dev/null; then
	for page in "$root"/usr/share/man/man*/*; do
		ran groff -mandoc -ww -z -Tutf8 "$page"
		expect_equal "$out$err" "" "${page##*/}"
		groff -mandoc -Tutf8 -P-cbou -rLL=78n "$page" >"$tmp/page"
		expect_equal "$(python3 -c 'import sys
print(*[line for line in open(sys.argv[1], encoding="utf-8") if len(line) > 81])' "$tmp/page")" "" "${page##*/}"
	done
	check "groff formats every page without a warning, for 80 columns"
else
	skip "groff formats every page without a warning, for 80 columns" "no groff"
fi

# ---- completion ----

complete_words() { # WORD…: what completing the last one offers
	PATH=$root/usr/bin:$PATH bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _minivmm
		echo "${COMPREPLY[*]}"' "$root/usr/share/bash-completion/completions/minivmm" "$@"
}
expect_equal "$(complete_words minivmm resto)" restore
expect_equal "$(complete_words minivmm run --intercept pa)" patch
expect_equal "$(complete_words minivmm run --snapshot)" --snapshot-on-sync
expect_equal "$(complete_words minivmm run --guest-os windows6)" windows64
expect_equal "$(complete_words minivmm mask sugg)" suggest
expect_equal "$(complete_words minivmm mask convert --to fire)" firecracker
expect_equal "$(complete_words minivmm mask convert --from fire)" firecracker
expect_equal "$(complete_words minivmm mask convert --kno)" --known
expect_equal "$(complete_words minivmm mask suggest --unsafe)" --unsafe-ignore-cpu
expect_equal "$(cd "$top" && complete_words minivmm mask suggest READ)" README.md
expect_equal "$(cd "$top" && complete_words minivmm host --from READ)" README.md
expect_equal "$(cd "$top" && complete_words minivmm check READ)" README.md
cd "$top" || exit 1
for c in status pause resume stop migrate snapshot list "status --json" "list -q"; do
	# shellcheck disable=SC2086
	expect_equal "$(complete_words minivmm $c READ)" "" "files that are no VMs, behind $c"
done
expect_equal "$(complete_words minivmm snapshot a READ)" README.md
expect_equal "$(complete_words minivmm mask show READ)" README.md
check "completion: commands, options, choices, names, files"

# ---- the library ----

so=$root/usr/lib/libminivmm-cpuid.so.0
ran readelf -d "$so"
expect_out "Library soname: [libminivmm-cpuid.so.0]"
expect_no_out "NEEDED               libjson"
ran nm -D --defined-only "$so"
expect_equal "$(awk '$3 !~ /^mv_|^MINIVMM_CPUID_0/' <<<"$out")" "" "foreign symbols"
check "the library: SONAME and symbols"

export PKG_CONFIG_PATH=$root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
if command -v pkg-config >/dev/null; then
	read -ra flags <<<"$(pkg-config --cflags --libs minivmm-cpuid)"
else
	flags=("-I$root/usr/include/minivmm" "-L$root/usr/lib" -lminivmm-cpuid)
fi
ran gcc -Wall -Wextra -Werror -o "$tmp/verdict" "$top/contrib/example/verdict.c" "${flags[@]}"
expect_status 0
ran env LD_LIBRARY_PATH="$root/usr/lib" ASAN_OPTIONS=verify_asan_link_order=0 "$tmp/verdict"
expect_status 0
expect_out "it would"
check "the example compiles against what was installed, and runs"

for h in "$root"/usr/include/minivmm/*.h; do
	ran gcc -std=c11 -fsyntax-only -I"$root/usr/include/minivmm" -x c "$h"
	expect_status 0
done
check "every installed header compiles alone"

ran sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$root/usr/lib/systemd/system/minivmm@.service"
expect_equal "$out" /usr/bin/minivmm
if command -v systemd-analyze >/dev/null && [ "$(id -u)" = 0 ]; then
	sed "s|^ExecStart=/usr/bin/|ExecStart=$root/usr/bin/|" "$root/usr/lib/systemd/system/minivmm@.service" \
		>"$tmp/minivmm@.service"
	ran systemd-analyze verify --man=no "$tmp/minivmm@test.service"
	expect_no_err "minivmm@"
fi
check "the systemd unit"
