#!/bin/bash
# SPDX-License-Identifier: MIT
# The bit table against other people's: the kernel's flags, QEMU's names and positions, libvirt's
# cpu_map and libcpuid's dumps, as far as they are here (MV_DUMPS names a folder with dumps).
. "$(dirname "$0")/../lib.sh"
cd "$top" || exit 1
oracle=(python3 tests/crosscheck-names.py --libvirt /nowhere --qemu /nowhere)

ran "${oracle[@]}"
expect_status 0
check "flags of the running kernel are where the table says"

if command -v qemu-system-x86_64 >/dev/null; then
	ran "${oracle[@]}" --qemu qemu-system-x86_64
	expect_status 0
	check "QEMU's feature names and positions"
else
	skip "QEMU's feature names and positions" "qemu-system-x86_64 is not installed"
fi
if [ -d /usr/share/libvirt/cpu_map ]; then
	ran "${oracle[@]}" --libvirt /usr/share/libvirt/cpu_map
	expect_status 0
	check "libvirt's cpu_map resolves to the same bits"
else
	skip "libvirt's cpu_map resolves to the same bits" "libvirt is not installed"
fi
if [ -d "${MV_DUMPS:-/nowhere}/libcpuid" ]; then
	ran "${oracle[@]}" --libcpuid "$MV_DUMPS/libcpuid"
	expect_status 0
	check "libcpuid decodes the same flags from its dumps"
else
	skip "libcpuid decodes the same flags from its dumps" "MV_DUMPS names no folder with them"
fi
