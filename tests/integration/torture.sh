#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# torture.sh BUILD [CYCLES]: a guest that keeps something in every register and device, saved and
# restored again and again, each time by a new process; and guests that can't be saved.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
cycles=${2:-100}

need_kvm torture || exit 0

# What the default mask hides, as far as this host's KVM offers it.
cat >"$tmp/all.mask" <<-END
	feature TSC-DEADLINE = 1
	feature KVM-CLOCK2 = H
	feature KVM-CLOCK-STABLE = H
	feature KVM-STEAL-TIME = H
	feature RDTSCP = H
	feature PKU = H
END

# torture NAME CPUS CYCLES
torture() {
	local image=$guests/torture.elf i from=a to=b
	"$minivmm" run -q "$image" --name "$1" --mask "$tmp/all.mask" --cpus "$2" --timeout 60 \
		--append "cpus=$2 cycles=$3" --snapshot-on-sync "$tmp/a.snap" --stop >"$tmp/$1.log" 2>&1 ||
		problem "it did not get to its first sync point"
	for ((i = 1; i <= $3; i++)); do
		"$minivmm" restore -q "$tmp/$from.snap" --name "$1" --timeout 60 \
			--snapshot-on-sync "$tmp/$to.snap" --stop >>"$tmp/$1.log" 2>&1
		status=$?
		# The last process sees the guest end by itself.
		[ $status = 0 ] || {
			problem "process $i of $3 ended with $status"
			break
		}
		[ "$from" = a ] && from=b to=a || from=a to=b
	done
	command_line="torture guest $1"
	cp "$tmp/$1.log" "$tmp/.out"
	: >"$tmp/.err"
	out=$(tr -d '\0' <"$tmp/$1.log")
	expect_no_out LOST
	expect_equal "$(grep -c 'cycle [0-9]* done, 0 lost' <<<"$out")" "$3" "cycles that lost nothing"
	expect_out "torture: $3 cycles, 0 lost in all"
}

torture two 2 "$cycles"
for item in "control registers" segments MSRs "local APIC" IOAPIC PICs PIT RTC "CPUs and TSC" HLT \
	"timer, one-shot" "timer, periodic" "timer, deadline" "a pending interrupt" "debug registers" \
	"vector registers" "general registers" "serial port"; do
	expect_out "torture: $item: tried"
done
for msr in EFER STAR LSTAR SFMASK FS_BASE KERNEL_GS_BASE SYSENTER_CS PAT MTRR_PHYSBASE0 MTRR_DEF_TYPE \
	MISC_ENABLE MC0_CTL; do
	expect_out "torture: MSR $msr"
done
check "torture: two CPUs, $cycles times saved and restored, nothing lost"

torture four 4 5
check "torture: four CPUs"

# ---- what has more state than is saved ----

for f in SVM VMX; do
	echo "feature $f = 1" >"$tmp/nested.mask"
	ran "$minivmm" run -q "$guests/hello.elf" --mask "$tmp/nested.mask" --append "mode=counter delay=1" \
		--snapshot-on-sync "$tmp/nested.snap" --stop
	expect_status 1
	expect_out "counter: 10"
	expect_err "the guest was shown $f"
	expect_no_file "$tmp/nested.snap"
	check "torture: a guest that was shown $f is not saved, and goes on"
done
