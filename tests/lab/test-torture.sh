#!/bin/bash
# SPDX-License-Identifier: MIT
# test-torture.sh BUILD: the guest that keeps something in every register and device, on hosts that have what
# this machine may lack: protection keys (an AMD host under TCG), a real kvm-intel (Bochs, which is slow).
# Neither has AVX-512: TCG lacks it, and KVM on the Bochs model that has it offers its guests no AVX at all.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154
. "$(dirname "$0")/../lib.sh"
cd "$top" || exit 1
export LAB_SLOW=${LAB_SLOW:-4}	# how long a boot may take; nothing takes longer because of it

torture() { # HOST CPUS CYCLES ITEM...
	local host=$1 cpus=$2 cycles=$3
	shift 3
	rm -rf "$tmp/job" "$tmp/out"
	tests/lab/job.sh "$build" "$tmp/job"
	printf 'feature %s\n' "TSC-DEADLINE = 1" "PKU = H" "RDTSCP = H" >"$tmp/job/all.mask"
	cat >"$tmp/job/run.sh" <<-END
		export XDG_RUNTIME_DIR=/tmp
		run="--snapshot-on-sync t.snap --stop --timeout 300"
		./minivmm run -q torture.elf --mask all.mask --cpus $cpus --append "cpus=$cpus cycles=$cycles" \$run >out/log 2>&1
		i=0
		while [ \$? = 0 ] && [ \$((i += 1)) -le $cycles ]; do
			./minivmm restore -q t.snap \$run >>out/log 2>&1
		done
	END
	command_line="torture guest on $host"
	: >"$tmp/.out"
	: >"$tmp/.err"
	if tests/lab/lab run "$host" --timeout 500 --job "$tmp/job" --out "$tmp/out" >"$tmp/console" 2>&1; then
		out=$(tr -d '\0\r' <"$tmp/out/log")
		cp "$tmp/out/log" "$tmp/.out"
		expect_no_out LOST
		expect_out "torture: $cycles cycles, 0 lost in all"
		for item; do expect_out "torture: $item"; done
	else
		problem "$(tail -1 "$tmp/console")"
	fi
	check "$host: $cycles times saved and restored, nothing lost${*:+; with $*}"
}

torture milan 2 20 "protection keys: tried" "timer, deadline: tried"
torture sandybridge 1 5 "XCR0 0x7"
