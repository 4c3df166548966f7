#!/bin/bash
# SPDX-License-Identifier: MIT
# The probes in user space: cpuid-probe, and the exec view of minivmm host. Here, and on a CPU that
# lacks something, where an emulator stands in for it.
. "$(dirname "$0")/../lib.sh"

probe=$build/cpuid-probe

ran file "$probe"
[ "$status" != 0 ] || expect_out "statically linked"
ran "$probe"
expect_status 0
expect_out "probe: minivmm-probe 1 vendor="
expect_out "vmm=linux"
expect_out "cpl3 XORPS         cpuid=1 host=- ran      OK"
expect_out "probe: summary ok="
expect_no_out " cpl0 "
expect_no_out " BROKEN"
check "cpuid-probe: nothing that CPUID shows is broken"
text=$out

ran "$probe" --json
expect_status 0
python3 - "$tmp/.out" <<<"$text" >"$tmp/same" 2>&1 <<'PY' || problem "$(tail -1 "$tmp/same")"
import json, sys
d = json.load(open(sys.argv[1]))
assert len(d["probes"]) > 90, "too few probes"
assert d["summary"]["ok"] == sum(p["verdict"] == "OK" for p in d["probes"])
assert all(p["cpl3"] not in ("died", "hung") for p in d["probes"])
PY
check "cpuid-probe --json"

ran "$probe" --only sse4_1
expect_status 0
expect_out "SSE4.1"
expect_no_out "SSE4.2"
check "cpuid-probe --only takes any spelling"

leaks=$(grep -cE ' LEAK( unproven)?$' <<<"$text")
ran "$probe" --fail-on leak,broken
expect_status "$([ "$leaks" = 0 ] && echo 0 || echo 7)"
check "cpuid-probe --fail-on"
ran "$probe" --fail-on nonsense
expect_status 2
ran "$probe" --only nonsense
expect_status 2
expect_err "no CPUID feature is called 'nonsense'"
ran "$probe" extra
expect_status 2
check "cpuid-probe: misuse"

ran "$minivmm" host -o "$tmp/here.json" -q
expect_status 0
ran "$minivmm" host --from "$tmp/here.json"
expect_out " tried"
check "minivmm host tells what executes"

# The host file says of each feature what the program saw: of several probes one that ran is enough.
ran "$probe" --json
python3 - "$tmp/.out" "$tmp/here.json" >"$tmp/same" 2>&1 <<'PY' || problem "$(tail -1 "$tmp/same")"
import json, sys
probes = json.load(open(sys.argv[1]))["probes"]
view = json.load(open(sys.argv[2]))["exec"]
for name, ran in view.items():
    saw = any(p["cpl3"] == "ran" for p in probes if p["feature"] == name)
    assert ran == saw, name
assert len(view) > 80, len(view)
hints = {p["feature"] for p in probes if p["verdict"] == "UNDECIDABLE"} - \
        {p["feature"] for p in probes if p["verdict"] != "UNDECIDABLE"}
assert not hints & view.keys(), hints & view.keys()
PY
check "the exec view is what cpuid-probe sees"

# What a probe that hangs uses up is CPU time. One that gets none for a while is on a busy machine.
cat >"$tmp/shim.c" <<'EOC'
#include "shim.h"
static void before_syscall(long nr, const long a[6])
{
	if (nr == SYS_arch_prctl && a[0] == 0x1023)	/* tiles: what is asked last before the probes */
		usleep(1500000);
}
EOC
if sanitized; then
	skip "the exec view of a busy machine" "a sanitizer has to be loaded first"
elif ! "${CC:-gcc}" -D_GNU_SOURCE -I"$top/tests/integration" -shared -fPIC -o "$tmp/shim.so" "$tmp/shim.c" 2>"$tmp/cc"; then
	skip "the exec view of a busy machine" "no compiler: $(head -1 "$tmp/cc")"
else
	ran timeout 60 env LD_PRELOAD="$tmp/shim.so" "$minivmm" host -o "$tmp/busy.json" -q
	expect_status 0
	python3 - "$tmp/here.json" "$tmp/busy.json" >"$tmp/same" 2>&1 <<'PY' || problem "$(tail -1 "$tmp/same")"
import json, sys
here, busy = (json.load(open(f))["exec"] for f in sys.argv[1:])
assert here == busy, set(here.items()) ^ set(busy.items())
PY
	check "the exec view of a busy machine is the same"
fi

# A feature that CPUID hides counts as there for F and R all the same.
hidden=$(python3 - "$tmp/here.json" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
word = int(d["raw"].get("0x00000007.0", ["0"] * 4)[2], 16)
print("MOVDIRI" if d["exec"].get("MOVDIRI") and not word >> 27 & 1 else "")
PY
)
if [ -n "$hidden" ]; then
	echo "feature $hidden = F" >"$tmp/f.mask"
	ran "$minivmm" check --on "$tmp/here.json" --mask "$tmp/f.mask" "$tmp/here.json"
	expect_status 3
	expect_err "$tmp/here.json executes it"
	check "F refuses what executes in spite of CPUID"
else
	skip "F refuses what executes in spite of CPUID" "CPUID hides nothing here that executes"
fi
