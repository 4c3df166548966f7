#!/bin/bash
# SPDX-License-Identifier: MIT
# Three of the machines that judge the probe guest's rows, and the record of proof; make oracles
# runs all of them.
. "$(dirname "$0")/../lib.sh"

for need in qemu-system-x86_64 bochs "$build/images/probe.iso"; do
	if ! command -v "$need" >/dev/null && [ ! -e "$need" ]; then
		skip "oracles" "$need is not there"
		exit 0
	fi
done
ran "$top/tests/oracles/oracles.py" "$build" check Penryn EPYC-Milan tiger_lake
printf '%s\n' "$out"
cat "$tmp/.err" >&2
expect_equal "$(grep -cE '^(not )?ok ' <<<"$out")" 5 "three machines, the record, the document"
check "all oracles were heard"

# A feature without both halves of the proof is said to be unproven, and counted.
ran "$build/cpuid-probe" --json
expect_status 0
python3 - "$tmp/.out" "$top/guest-tests/proven.def" "$top/cpuid/features.def" >"$tmp/same" 2>&1 <<'PY' || problem "$(tail -1 "$tmp/same")"
import json, re, sys
d = json.load(open(sys.argv[1]))
ids = {m[1]: m[2] for m in re.finditer(r'^MV_FEATURE\((\w+),[^"]*"([^"]+)"', open(sys.argv[3]).read(), re.M)}
proven = {ids[m[1]]: bool(m[2] and m[3])
          for m in re.finditer(r'^MV_PROVEN\((\w+), "([^"]*)", "([^"]*)"\)', open(sys.argv[2]).read(), re.M)}
decidable = [p for p in d["probes"] if p["verdict"] != "UNDECIDABLE"]
wrong = [p["feature"] for p in decidable if p["proven"] != proven.get(p["feature"], False)]
assert not wrong, wrong
assert d["summary"]["unproven"] == sum(not p["proven"] for p in decidable)
assert sum(proven.values()) >= 100, sum(proven.values())
PY
check "what is unproven is said, and at least 100 features are proven"
