#!/bin/bash
# SPDX-License-Identifier: MIT
# pair.sh BUILD RICH POOR FEATURE…: the main job between two lab hosts, the poorer of which lacks the
# FEATUREs: masks, leaks, snapshots, refusals, acceptances, and the guide's warning about programs
# that try instructions instead of asking. Prints test lines (tests/lib.sh).
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
cd "$top" || exit 1
rich=$2 poor=$3
shift 3
missing=("$@")

job=$tmp/job
tests/lab/job.sh "$build" "$job"
{
	for f in "${missing[@]}"; do echo "feature $f = 0"; done
} >"$job/hide.mask"
sed 's/= 0/= R/' "$job/hide.mask" >"$job/hide-r.mask"
{
	cat "$job/hide.mask"
	printf 'feature %s = T\n' SSE SSE2 SSE3 CX8 CMOV
} >"$job/baseline.mask"
printf 'feature %s = T\n' AMX_TILE AVX512F >"$job/power-on.mask"
comma=$(IFS=,; echo "${missing[*]}")

boot() { # HOST SCENARIO FOLDER
	{
		echo "NONCE=$nonce MISSING=$comma"
		cat "tests/lab/scenario-$2.sh"
	} >"$job/run.sh"
	run_in "$1" "$1" "$3" --timeout 400
}

a=$tmp/$rich b=$tmp/$poor
boot "$rich" rich "$a"

left "$a" host
expect_status 0
expect_out "kernel  proved at CPL 0 and CPL 3"
expect_out "patch   proved at CPL 0 and CPL 3"
expect_out "step    holds at CPL 3 only"
check "$rich: KVM answers CPUID, proved at both levels; so do patches; single-step loses CPL 0"

left "$a" hidden
expect_status 0
expect_no_err warning
expect_no_err cpuid-diff
expect_out "PTEST         no    ran    ran    LEAK"
expect_no_out BROKEN
check "$rich: SSE4.1 masked is not seen, and PTEST still executes: LEAK"

left "$a" fail-on
expect_status 7
check "$rich: --fail-on leak exits 7"

left "$a" shown
expect_status 0
expect_out "PTEST         yes   ran    ran    OK"
check "$rich: SSE4.1 shown is no leak"

cmp -s "$a/hidden.out" "$a/patch.out" || problem "patch and kernel give different matrices"
left "$a" patch
expect_status 0
check "$rich: --intercept patch gives the guest the same answers as kernel"

left "$a" step
expect_status 5
expect_err "--intercept step: tried on this host, a guest's CPUID does not follow the mask at CPL 0"
check "$rich: --intercept step is refused where the proof failed"

if [ -e "$a/torture.rc" ]; then
	left "$a" torture
	expect_status 0
	expect_out "torture: 4 cycles, 0 lost in all"
	expect_no_out LOST
	check "$rich: a guest that fills every register and device loses nothing in 4 restores"
fi

# The numbers of the CPUs that told of themselves, and of nothing that differs.
told() {
	sed -nE 's/^minivmm: cpu-check: (cpu [0-9]+ apic [0-9]+), [1-9][0-9]* leaves, 2 instructions, 0 differ$/\1/p' \
		<<<"$err" | tr '\n' ';'
}
left "$a" cpus
expect_status 0
expect_equal "$(told)" "cpu 0 apic 0;cpu 1 apic 1;cpu 2 apic 2;cpu 3 apic 3;" "CPUs, KVM answers"
left "$a" cpus-patch
expect_status 0
expect_equal "$(told)" "cpu 0 apic 0;cpu 1 apic 1;" "CPUs, with patch"
check "$rich: every CPU of a masked guest sees and executes what the first one does, by its own number"

left "$a" power-on
expect_status 3
expect_err "CPUID level 0x7 sublevel 0x0 EBX:16 (AVX512F)"
expect_err "CPUID level 0x7 sublevel 0x0 EDX:24 (AMX-TILE)"
expect_err "power-on.mask:2"
check "$rich: T on two features it lacks refuses power-on and names both with their lines"

for s in plain masked baseline uses polite prober prober-r; do
	left "$a" "$s"
	expect_status 0
	[ -s "$a/$s.snap" ] || problem "$s.snap was not written"
done
left "$a" prober
expect_out "PTEST executed: relying on SSE4.1"
check "$rich: snapshots at the sync point"

cp "$a"/*.snap "$job/"
boot "$poor" poor "$b"

left "$b" host
expect_out "kernel  proved at CPL 0 and CPL 3"
check "$poor: KVM answers CPUID, proved at both levels"

left "$b" plain
expect_status 3
for f in "${missing[@]}"; do
	expect_err "* $f ("
done
expect_equal "$(grep -c '^  \* ' <<<"$err")" "${#missing[@]}" "mismatches"
expect_err "only on the source; H"
expect_err "nothing was created"
expect_equal "$out" "" "no guest output"
check "$poor: the unmasked guest is refused for ${missing[*]}, each named, nothing else"

left "$b" masked
expect_status 0
expect_out "probe: nonce $nonce counter 2"
expect_out "pass 2 cpuid identical"
expect_out "0 differ; cpl3"
expect_no_out BROKEN
for f in "${missing[@]}"; do
	! grep -qE "^probe: $f .* LEAK" <<<"$out" || problem "$f leaks where it is not there"
done
check "$poor: the masked guest is accepted, goes on with counter and nonce, sees the same CPUID"

left "$b" baseline
expect_status 0
expect_out "still alive after the move, counter 100, nonce $nonce"
check "$poor: a guest under a T/0 baseline of the two is accepted and lives"

left "$b" forced
expect_status 6
expect_err "accepted (rule guide), with these differences ignored on request"
expect_out "vector 6 (#UD)"
expect_out "that is PTEST itself"
expect_err "needs SSE4.1: shown to this guest, and this host lacks it"
check "$poor: forced over with --unsafe-ignore-cpu, it dies of vector 6 at PTEST"

left "$b" polite
expect_status 0
expect_out "still alive after the move, counter 100, nonce $nonce"
check "$poor: hidden by 0, the polite program lives"

left "$b" prober
expect_status 6
expect_out "that is PTEST itself"
expect_err "hide.mask:1; hidden-only), and this host lacks it"
check "$poor: hidden by 0, the prober is accepted, too, and dies of #UD"

left "$b" prober-r
expect_status 3
expect_err "* SSE4.1 (ECX:19): only on the source; R"
check "$poor: hidden by R, the prober is refused"

# The same verdict offline: one comparator.
ran "$minivmm" check "$a/plain.snap" "$b/poor.json" --json
expect_status 3
python3 - "$tmp/.out" "$b/plain-json.out" <<'EOF' || problem "check and restore disagree"
import json, sys
offline = json.load(open(sys.argv[1]))[0]
live = json.load(open(sys.argv[2]))
assert offline["mismatches"] == live["mismatches"] and live["mismatches"], (offline, live)
EOF
check "$rich to $poor: check with the host file and restore give the same mismatches"

ran "$minivmm" check "$a/masked.snap" "$b/poor.json" "$a/rich.json"
expect_status 0
expect_out "accepted (rule guide)"
check "$rich to $poor: check accepts the masked guest on both hosts"
