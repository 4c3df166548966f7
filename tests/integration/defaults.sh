#!/bin/bash
# SPDX-License-Identifier: MIT
# The default masks name every register that KVM offers: on the described hosts and on this one.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

files=("$top"/tests/data/hosts/*.json)
if have_kvm; then
	ran "$minivmm" host -o "$tmp/here.json"
	expect_status 0
	check "this host described"
	files+=("$tmp/here.json")
else
	skip "this host described" "no /dev/kvm"
fi

ran "$minivmm" mask show --json
expect_json_is guest-os/0 bare-metal
ran "$minivmm" mask show baselines --json
expect_json_is baselines/0 amd-bulldozer
ran "$minivmm" mask show linux64 --json
expect_json_is name linux64
expect_equal "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["mask"], end="")' "$tmp/.out" | sum)" \
	"$("$minivmm" mask show linux64 | sum)" "the mask as JSON has it"
ran "$minivmm" mask show --guest-os linux64
expect_status 2
expect_err "'show' takes a name and nothing else"
check "mask show: names and masks as JSON, no options"

some="---- ---- ---- ----" kept=$top/tests/data/hosts/penryn.json
printf 'msr 0x10a = "%s %s %s ---- ---- ---- -T-0"\nfield phys-bits = 36\n' "$some" "$some" "$some" >"$tmp/msr.mask"
for form in "final" "final --effective"; do
	# shellcheck disable=SC2086
	ran "$minivmm" mask $form --mask "$tmp/msr.mask" --host "$kept"
	expect_out "msr 0x10a = \"$some $some $some ---- ---- ---- -T-0\""
	expect_out "field phys-bits = 36"
done
ran "$minivmm" mask final --mask "$tmp/msr.mask" --host "$kept" --json
expect_json_is msrs/0/msr 0x10a
expect_json_is msrs/0/symbols "$some $some $some ---- ---- ---- -T-0"
check "mask final: lines for MSRs and fields"

# Files of Windows' editors begin with a mark and end their lines with two characters.
mkdir "$tmp/bom"
mark() {
	printf '\357\273\277' && sed 's/$/\r/' "$@"
}
cp "$kept" "$tmp/bom/penryn.json"
mark configs/overrides/hide-sse41.mask >"$tmp/bom/a.mask"
echo '{"vm": "a", "host": "penryn", "mask": "a.mask"}' | mark >"$tmp/bom/a.vm"
ran "$minivmm" mask final --mask configs/overrides/hide-sse41.mask --host "$kept"
cp "$tmp/.out" "$tmp/bom/want"
ran "$minivmm" mask final --mask "$tmp/bom/a.mask" --host "$kept"
expect_equal "$status $(sum <"$tmp/.out")" "0 $(sum <"$tmp/bom/want")" "$err"
ran "$minivmm" fleet --hosts "$kept" --vms "$tmp/bom/a.vm" --json
expect_json_is summary/vms 1
printf 'feature sse9 = 0\n' | mark >"$tmp/bom/bad.mask"
ran "$minivmm" mask final --mask "$tmp/bom/bad.mask" --host "$kept"
expect_err "bad.mask:1:9: no CPUID feature is called 'sse9'"
check "text files that begin with a byte order mark"

for os in $("$minivmm" mask show); do
	ran "$minivmm" mask final --guest-os "$os" --host "${files[0]}" --json
	expect_status 0
	python3 - "$tmp/.out" "${files[@]}" <<'EOF' || problem "registers without a symbol"
import json, sys
named = {(r["level"], r["sublevel"], r["register"]) for r in json.load(open(sys.argv[1]))["registers"]}
missing = set()
for path in sys.argv[2:]:
    for leaf, regs in json.load(open(path))["kvm"].items():
        level, _, sub = leaf.partition(".")
        for register, value in zip(("eax", "ebx", "ecx", "edx"), regs):
            key = (hex(int(level, 16)), hex(int(sub or "0", 16)), register)
            if int(value, 16) and key not in named:
                missing.add(key)
if missing:
    print("    " + str(sorted(missing)), file=sys.stderr)
sys.exit(bool(missing))
EOF
	check "$os names every register that KVM offers on ${#files[@]} hosts"
done
