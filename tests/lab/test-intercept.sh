#!/bin/bash
# SPDX-License-Identifier: MIT
# test-intercept.sh BUILD: who answers a guest's CPUID, in a host where KVM can and so can we: the three
# mechanisms told apart, the same results from each that is proved, and what KVM's own tracepoints
# say of the same run. Prints test lines (tests/lib.sh).
# GUEST_TIMEOUT=SECONDS: for a host that is very busy.
# shellcheck shell=bash disable=SC2034
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../integration/helpers.sh"
. "$(dirname "$0")/helpers.sh"
cd "$top" || exit 1
job=$tmp/job host=$tmp/epyc

tests/lab/job.sh "$build" "$tmp/job"
cp "$build/bench/intercept" "$tmp/job/intercept.bin"
strip "$tmp/job/intercept.bin"
cat >"$tmp/job/run.sh" <<'JOB'
cd /job
. ./in-host.sh
r no-tracefs ./minivmm run proof.elf --trace-cpuid -
mount -t tracefs t /sys/kernel/tracing
r proof ./minivmm host --proof --json
for mode in kernel patch; do
	r probe-$mode ./minivmm run probe.elf --mask hide-sse41.mask --intercept $mode
	r trace-$mode ./minivmm run proof.elf --mask hide-sse41.mask --intercept $mode --append runtime \
		--trace-cpuid out/$mode.json
done
r forced lib/ld-linux-x86-64.so.2 --library-path lib ./intercept.bin -r 60 -o out/forced.json cpuids.elf
r summary ./minivmm run proof.elf --trace-cpuid - --json
JOB
run_in epyc intercept "$host" --timeout "${GUEST_TIMEOUT:-400}"

# A row a line: mechanism, level, run-time code, and how many of the four leaves held.
left proof
expect_status 0
expect_equal "$(perl -MJSON::PP -e '
	for my $r (@{decode_json(join "", <STDIN>)}) {
		print join(" ", $r->{mechanism}, $r->{cpl}, $r->{"run-time-code"} ? "run-time" : "image",
			scalar grep { ref $_ && $_ } values %$r) . "\n" if $r->{mechanism} ne "step";
	}' <<<"$out" | sed 's/run-time \(.\)$/run-time \1/')" \
	"kernel 0 image 4
kernel 3 image 4
kernel 0 run-time 5
kernel 3 run-time 5
patch 0 image 4
patch 3 image 4
patch 0 run-time 1
patch 3 run-time 1" "mechanism, CPL, code, members that are true (run-time code is one)"
check "intercept: code made at run time is covered by kernel and not by patch"

# step is not proved at CPL 0 and refused by `run`; here it is made to run a guest that stays at CPL 3 but for
# interrupts. Of each mechanism: CPUIDs in a row, and between port reads and interrupts; wrong answers.
left forced
expect_status 0
expect_equal "$(perl -MJSON::PP -0777 -ne '
	my $all = decode_json($_);
	for my $m (qw(none kernel patch step)) {
		my ($c, $b) = @{$all->{$m}}{qw(cpuids between)};
		print "$m $c->{asked} ", $c->{wrong} ? $c->{wrong} : 0, " between ", $b->{wrong} / ($b->{asked} || 1),
			$b->{ports} && $b->{ports} == $b->{asked} ? " ports" : "",
			$b->{interrupts} >= 20 ? " interrupts" : "", "\n";
	}' "$host/forced.json")" "none 60 60 between 1 ports interrupts
kernel 60 0 between 0 ports interrupts
patch 60 0 between 0 ports interrupts
step 60 0 between 0 ports interrupts" "mechanism, CPUIDs and wrong answers, the share of wrong ones between"
check "intercept: each answers every CPUID at CPL 3, step survives port accesses and interrupts"

left probe-patch
expect_status 0
left probe-kernel
expect_status 0
expect_equal "$(sed '1s/vmm=kernel/vmm=patch/' "$host/probe-kernel.out" | cmp - "$host/probe-patch.out" 2>&1)" \
	"" "what differs but for the mechanism's name"
check "intercept: kernel and patch give the probe guest the same bytes"

# What the guest printed, and what was recorded: leaf, subleaf and four words of each CPUID, in order.
guest_saw() {
	sed -n 's/^proof: .*leaf=\(\w*\) sub=\(\w*\) \(.*\)/\1 \2 \3/p' "$host/trace-$1.out" | tr -d '\r'
}
recorded() { # MODE [CPL]
	perl -MJSON::PP -ne '
		my $e = decode_json($_);
		printf "%08x %x %08x %08x %08x %08x\n", map { hex } $e->{leaf}, $e->{subleaf}, @{$e->{served}};
	' "$host/$1.json"
}
left trace-kernel
expect_status 0
expect_equal "$(recorded kernel)" "$(guest_saw kernel)" "CPUIDs"
expect_equal "$(recorded kernel | wc -l)" 16 "CPUIDs that KVM told of"
expect_equal "$(grep -c '"by":"tracepoint","cpu":0,"rip":"0x' "$host/kernel.json")" 16 "… with a RIP"
check "intercept: KVM's tracepoints say that it served what the guest saw, CPUID by CPUID"

left trace-patch
expect_status 0
expect_equal "$(recorded patch)" "$(guest_saw patch | head -8)" "CPUIDs"
expect_equal "$(grep -c '"by":"trap"' "$host/patch.json")" 8 "CPUIDs that were trapped"
expect_equal "$(grep -o '"cpl":[0-9]' "$host/patch.json" | sort | uniq -c | tr -s ' \n' ' ')" \
	' 4 "cpl":0 4 "cpl":3 ' "levels"
expect_err "CPUID asked 8 times"
check "intercept: traps of patch are recorded with their level, those made at run time are not seen"

left summary
expect_status 0
expect_equal "$(json "$out" cpuid/total) $(json "$out" cpuid/lost) $(json "$out" cpuid/leaves)" "8 0 4" \
	"total, lost, leaves"
check "intercept: --trace-cpuid -: a summary alone"

left no-tracefs
expect_status 5
expect_err "its tracepoint kvm:kvm_exit can't be read: No such file or directory"
expect_err "hint: as root, with tracefs: mount -t tracefs"
expect_equal "$out" "" "what the guest said"
check "intercept: tracing is refused where the kernel can't be asked"
