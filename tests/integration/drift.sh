#!/bin/bash
# SPDX-License-Identifier: MIT
# Hosts change: what came and went between two host files, which VMs that strands, host files that are
# no longer true; and whether a new host may join a cluster's baseline.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

hosts=$top/tests/data/hosts
mkdir "$tmp/then" "$tmp/now"
cp "$hosts/epyc.json" "$tmp/then"

ran "$minivmm" host --diff "$hosts/epyc.json" "$tmp/then/epyc.json"
expect_status 0
expect_equal "$out" "nothing that a verdict looks at has changed"
sed -i 's/"kernel":"[^"]*"/"kernel":"6.12.0"/; s/"microcode":"[^"]*"/"microcode":"0xa"/; s/"name":"epyc"/"name":"renamed"/' "$tmp/then/epyc.json"
ran "$minivmm" host --diff "$hosts/epyc.json" "$tmp/then/epyc.json"
expect_status 0
expect_out "kernel     6.1.0-56-cloud-amd64 -> 6.12.0"
expect_out "microcode  0x1000065 -> 0xa"
expect_out "nothing that a verdict looks at has changed"
python3 -c '
import json, sys
h = json.load(open(sys.argv[1]))
h["proof"]["kernel"] = ["cpl0"]
h["kvm-controls"].remove("mwait-faults")
print(json.dumps(h))' "$tmp/then/epyc.json" >"$tmp/then/less.json"
ran "$minivmm" host --diff "$hosts/epyc.json" "$tmp/then/less.json"
expect_status 3
expect_out "mwait-faults yes -> no"
expect_out "intercept kernel proved at CPL 0 and CPL 3 -> holds at CPL 0 only"
ran "$minivmm" host --diff "$hosts/epyc.json" "$tmp/then/less.json" --json
expect_json_is facts/kernel/after 6.12.0
expect_json_is "facts/intercept kernel/after" "holds at CPL 0 only"
check "host --diff: the same, and the same under another kernel"
for option in "-o $tmp/x.json" "--from $hosts/epyc.json" --binary "--without sse4.1" --proof; do
	# shellcheck disable=SC2086
	ran "$minivmm" host --diff "$hosts/epyc.json" "$hosts/epyc.json" $option
	expect_status 2
	expect_err "--diff goes with no other option but --vms"
done
check "host --diff: options that it would ignore"

# bit 25 of 1.ECX is AES, bit 5 of 7.EBX AVX2; the vectors are checked bit by bit
ran "$minivmm" host --from "$hosts/epyc.json" --without AVX2,AES -o "$tmp/now/epyc.json"
ran "$minivmm" host --diff "$hosts/epyc.json" "$tmp/now/epyc.json"
expect_status 3
expect_out "xor    0000 0010 0000 0000 0000 0000 0000 0000"
expect_out "xor    0000 0000 0000 0000 0000 0000 0010 0000"
expect_out "gone   AES"
expect_out "gone   AES, AVX2"
expect_no_out "came"
ran "$minivmm" host --diff "$tmp/now/epyc.json" "$hosts/epyc.json" --json
expect_status 3
expect_json_is changed true
python3 - "$hosts/epyc.json" "$tmp/now/epyc.json" <<'PY' "$tmp/.out" >"$tmp/xor" 2>&1 || problem "$(tail -1 "$tmp/xor")"
import json, sys
b, a = (json.load(open(p)) for p in sys.argv[1:3])
d = json.load(open(sys.argv[3]))
raw = [r for r in d["registers"] if r["view"] == "CPUID instruction"]
assert len(raw) == 2, raw
for r in raw:
    key = next(k for k in a["raw"] if int(k.split(".")[0], 16) == int(r["level"], 16) and int((k + ".0").split(".")[1], 16) == int(r["sublevel"], 16))
    i = ["eax", "ebx", "ecx", "edx"].index(r["register"])
    assert int(r["xor"], 16) == int(a["raw"][key][i], 16) ^ int(b["raw"][key][i], 16), r
assert sorted(n for r in raw for n in r["came"]) == ["AES", "AVX2"] and not any(r["gone"] for r in raw), raw
PY
check "host --diff: which bits came and went, with XOR vectors that are those of the files"

printf '{"vm":"a","host":"epyc"}{"vm":"b","host":"epyc","mask":"m.mask"}{"vm":"c","host":"penryn"}' >"$tmp/v.vm"
printf 'feature AVX2 = 0\nfeature AES = 0\n' >"$tmp/m.mask"
ran "$minivmm" host --diff "$hosts/epyc.json" "$tmp/now/epyc.json" --vms "$tmp/v.vm"
expect_status 3
expect_out "1 VM is stranded: accepted before, refused after"
expect_err "1 VM of other hosts is not looked at"
ran "$minivmm" host --diff "$hosts/epyc.json" "$tmp/now/epyc.json" --vms "$tmp/v.vm" --json
expect_json_is stranded 1
expect_json_is stranded/0 a
printf '{"vm":"b","host":"epyc","mask":"m.mask"}' >"$tmp/w.vm"
ran "$minivmm" host --diff "$hosts/epyc.json" "$tmp/now/epyc.json" --vms "$tmp/w.vm"
expect_status 0
expect_out "no VM is stranded"
ran "$minivmm" host --diff "$hosts/epyc.json" "$tmp/now/epyc.json" --vms "$tmp/nowhere.vm"
expect_status 4
ran "$minivmm" host --diff "$hosts/epyc.json"
expect_status 2
ran "$minivmm" host --diff "$tmp/nowhere.json" "$hosts/epyc.json"
expect_status 4
expect_err "nowhere.json"
ran "$minivmm" host --vms "$tmp/v.vm"
expect_status 2
check "host --diff: which VMs that strands, and bad input"

# ---- is a host file still true? ----

if [ -s /etc/machine-id ]; then
	"$minivmm" host -q -o "$tmp/here.json" 2>/dev/null
	id=$(cat /etc/machine-id)
	grep -q "$id" "$tmp/here.json" && problem "the host file shows the machine id"
	ran "$minivmm" check --on "$tmp/here.json" "$tmp/here.json"
	expect_no_err "at another time"
	stale() { # WHAT SED-COMMAND WORDS
		sed "$2" "$tmp/here.json" >"$tmp/$1.json"
		cmp -s "$tmp/here.json" "$tmp/$1.json" && problem "$1: nothing was changed"
		ran "$minivmm" check --on "$tmp/here.json" "$tmp/$1.json"
		expect_err "$1.json: this machine at another time: $3"
		ran "$minivmm" fleet --hosts "$tmp/$1.json"
		expect_err "$1.json: this machine at another time: $3"
	}
	stale kernel 's/"kernel":"[^"]*"/"kernel":"2.6.32"/' "kernel 2.6.32 then, $(uname -r) now"
	stale microcode 's/"microcode":"[^"]*"/"microcode":"0x123"/' "microcode 0x123 then, "
	stale boot 's/"boot":"[^"]*"/"boot":"0"/' "written before this machine's last boot"
	sed 's/"machine":"[^"]*"/"machine":"other"/; s/"kernel":"[^"]*"/"kernel":"2.6.32"/' "$tmp/here.json" >"$tmp/other.json"
	ran "$minivmm" check --on "$tmp/here.json" "$tmp/other.json"
	expect_no_err "at another time"
	check "check: warns of a host file older than this machine's kernel, microcode or boot"
else
	skip "check: warns of a host file older than this machine's kernel, microcode or boot" "no /etc/machine-id"
fi

# ---- may a new host join? ----

ran "$minivmm" baseline "$hosts"/{penryn,sandybridge}.json -o "$tmp/cluster.mask"
expect_status 0
ran "$minivmm" check --cold --on "$hosts/penryn.json" --baseline "$tmp/cluster.mask" "$hosts/sandybridge.json"
expect_status 0
ran "$minivmm" check --cold --on "$hosts/penryn.json" --baseline "$tmp/cluster.mask" "$hosts/kentsfield.json"
expect_status 3
expect_out "SSE4.1"
ran "$minivmm" baseline "$hosts"/epyc-no{avx,sse4}.json -o "$tmp/amd.mask"
expect_status 0
ran "$minivmm" check --cold --on "$hosts/epyc-noavx.json" --baseline "$tmp/amd.mask" "$hosts/epyc.json"
expect_status 0
ran "$minivmm" check --cold --on "$hosts/epyc-noavx.json" --baseline "$tmp/amd.mask" "$hosts/opteron-g3.json"
expect_status 3
check "check --cold: may a new host join a cluster's baseline?"

# One CPU under two kernels, as fleets have them while they are updated (both recorded in the lab).
new=$top/tests/data/kernels/epyc-7.3.json
both=$tmp/kernels.mask
came=$'  * TSC-DEADLINE (ECX:24): only on the SIDE; H generic64.mask:25\n  * CPUID-USER-DIS (EAX:17): only on the SIDE; H generic64.mask:500'
ran "$minivmm" check --on "$hosts/epyc.json" "$new"
expect_status 3
expect_equal "$(grep '^  \* ' <<<"$out")" "${came//SIDE/destination}" "what the newer kernel brought"
expect_out "only the guide's rule does, --rule subset accepts"
ran "$minivmm" check --rule subset --on "$hosts/epyc.json" "$new"
expect_status 0
ran "$minivmm" check --on "$new" "$hosts/epyc.json"
expect_status 3
expect_equal "$(grep '^  \* ' <<<"$out")" "${came//SIDE/source}" "what the older one lacks"
ran "$minivmm" check --rule subset --on "$new" "$hosts/epyc.json"
expect_status 3
ran "$minivmm" baseline "$hosts/epyc.json" "$new" -o "$both"
expect_status 0
expect_err "not on epyc.json: TSC-DEADLINE CPUID-USER-DIS"
for pair in "$hosts/epyc.json $new" "$new $hosts/epyc.json"; do
	# shellcheck disable=SC2086 # a pair
	ran "$minivmm" check --baseline "$both" --on $pair
	expect_status 0
done
check "kernels: 6.1 and 7.3 on one CPU, both ways, by the guide's rule, by subset, and under their baseline"
