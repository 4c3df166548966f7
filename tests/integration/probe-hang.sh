#!/bin/bash
# SPDX-License-Identifier: MIT
# A probe that never comes back, or ends its guest: minivmm probe says which one it was. The program
# is linked anew, with the misbehaving rows of guest-tests/probes-bad.def in place of its probe guest.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
cd "$top" || exit 1

need_kvm "a probe that hangs is named" || exit 0

read -r cc flags <"$build/.flags"
libs=$(make -s --no-print-directory OUT="$build" print-VMM_LIBS)
cp "$build/libmv-vmm.a" "$tmp/"
sed "s|\"[^\"]*/probe\.elf\"|\"$guests/probe-bad.elf\"|" "$build/vmm/builtin-data.S" >"$tmp/builtin-data.S"
# shellcheck disable=SC2086 # lists of words
ran sh -c "$cc -c -o '$tmp/builtin-data.o' '$tmp/builtin-data.S' && ar r '$tmp/libmv-vmm.a' '$tmp/builtin-data.o' 2>&1 &&
	$cc $flags -o '$tmp/minivmm' '$build'/vmm/cli/*.o '$tmp/libmv-vmm.a' '$build/libmv-migrate.a' \
	'$build/libmv-cpuid.a' ${libs#*=}"
expect_status 0
check "the program with rows that misbehave"

ran "$tmp/minivmm" probe --only FPU --timeout 3	# long enough to get there
expect_status 6
expect_err "the probe guest did not end within 3 s; it was in: probe: FPU 0x00000001.0 edx:0 cpl3 HANG cpuid=1 host=1"
expect_no_err "  edx"
check "a probe that hangs is named"

ran "$tmp/minivmm" probe --only MMX
expect_status 6
expect_err "guest: that came of the probe MMX WILD at cpl3"
check "a probe that ends its guest is named"

ran "$tmp/minivmm" probe --only CX8
expect_status 0
expect_out "ABORT"
expect_no_err "it was in"
check "one that comes back is not"
