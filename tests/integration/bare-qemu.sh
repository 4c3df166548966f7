#!/bin/bash
# SPDX-License-Identifier: MIT
# The probe guest without minivmm: QEMU's -kernel boots the same image. Nothing is hidden there, so
# that every row is OK or ABSENT but for what guest-tests/README.md names of TCG.
. "$(dirname "$0")/../lib.sh"

if ! command -v qemu-system-x86_64 >/dev/null; then
	skip "the probe guest under QEMU" "qemu-system-x86_64 is not installed"
	exit 0
fi
for model in Conroe Penryn Nehalem Opteron_G3 EPYC-v1 max; do
	ran timeout 120 qemu-system-x86_64 -accel tcg -cpu "$model" -m 64 -nodefaults -display none \
		-no-reboot -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4 \
		-kernel "$guests/probe.elf" -append "nodump nonce=c0ffee"
	expect_status 1	# (0 << 1) | 1
	expect_out "vmm=absent"
	expect_out "probe: nonce c0ffee counter 1"
	expect_no_out BROKEN
	leaks=$(grep -c ' LEAK' <<<"$(grep -v '^probe: RDSEED ' <<<"$out")")
	expect_equal "$leaks" 0 "leaks besides TCG's RDSEED"
	[ "$(grep -c ' OK' <<<"$out")" -gt 20 ] || problem "fewer than 20 rows are OK"
	check "the probe guest under QEMU's $model"
done
