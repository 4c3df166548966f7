#!/bin/bash
# SPDX-License-Identifier: MIT
# test-linux.sh BUILD: Debian's unmodified cloud kernel as a guest of an AMD lab host, with one CPU
# and two, masked, saved, restored. Prints test lines (tests/lib.sh). Seconds of each step: VERBOSE=1.
# GUEST_KERNEL=standard: Debian's linux-image-amd64 instead (helpers.sh).
# shellcheck shell=bash disable=SC1091,SC2034,SC2154
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
cd "$top" || exit 1

linux_job linux tests/lab/linux-init.sh
cp "$kernel/vmlinux" "$job/"
cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
linux_run linux tests/lab/scenario-linux.sh
[ -z "${VERBOSE:-}" ] || (cd "$host" && head -n1 -- *.s) >&2

flags() {
	grep -m1 '^flags' <<<"$out"
}

expect_flag() {
	[[ " $(flags) " == *" $1 "* ]] || problem "/proc/cpuinfo lacks $1"
}

left one
expect_status 0
expect_out "guest one is up"
expect_err "the guest powered itself off"
expect_equal "$(grep -c '^processor' <<<"$out")" 1 "CPUs"
check "linux: bzImage and initrd, to the shell and to power-off (exit 0)"

for f in pni ssse3 popcnt aes sse4a cx16; do
	expect_flag $f
done
[[ " $(flags) " != *" sse4_1 "* ]] || problem "/proc/cpuinfo shows sse4_1"
[[ " $(flags) " != *" sse4_2 "* ]] || problem "/proc/cpuinfo shows sse4_2, which needs it"
check "linux: /proc/cpuinfo has the host's flags but sse4_1 and what needs it"

# Leaf 1 ECX, bits 9 (SSSE3) and 19, as the dynamic linker read them.
ecx=$(sed -n 's/.*features\[0x0\]\.cpuid\[0x2\]=//p' <<<"$out")
[ -n "$ecx" ] || problem "no --list-diagnostics from the dynamic linker"
expect_equal $(((${ecx:-0} >> 9 & 1) << 1 | (${ecx:-0} >> 19 & 1))) 2 "SSSE3 and SSE4.1 in glibc"
expect_out "x86-64-v2"
expect_no_out "x86-64-v2 (supported"
check "linux: the C library follows the mask: no SSE4.1, so not x86-64-v2"

expect_out "read line $nonce"
expect_out "clocksource kvm-clock"
grep -qE '^ *4: .*IO-APIC.*ttyS0' <<<"$out" || problem "ttyS0 has no interrupt"
grep -qE '^ *9: .*acpi' <<<"$out" || problem "no ACPI interrupt"
seconds=$(sed -n 's/^rtc //p' <<<"$out")
earliest=$(cat "$host/before.time") latest=$(cat "$host/after.time")
if [ "${seconds:-0}" -lt "$earliest" ] || [ "${seconds:-0}" -gt "$latest" ]; then
	problem "the guest's clock chip says '$seconds', its host's from $earliest to $latest"
fi
check "linux: serial input by interrupt, kvmclock, clock chip"

left pvh
expect_status 0
expect_out "guest pvh is up"
expect_err "the guest powered itself off"
check "linux: vmlinux by its PVH entry, to power-off"
# Leaf 1 EBX, the second word, has the APIC id in its highest byte; SSE4.1 is bit 19 of the third.
expect_equal "$(sed -n 's/^words on //p' <<<"$out" | awk 'function number(hex, n, i) {
		for (i = 3; i <= length(hex); i++) n = n * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
		return n
	}
	{ id = int(number($3) / 2^24); rest = number($3) % 2^24; sse = int(number($4) / 2^19) % 2; $3 = rest; cpu = $1; $1 = ""
	  if (NR == 1) first = $0; print cpu, id, sse, ($0 == first), (NF > 30) }')" "1 0 0 1 1
2 1 0 1 1
4 2 0 1 1
8 3 0 1 1" "CPU, APIC id, SSE4.1, the same table as the first, all of it"
check "linux: four CPUs, each by its own CPUID has the masked table, and its number"
expect_equal "$(grep -E '^(physical id|siblings|core id|cpu cores)' <<<"$out" | tr -d '\t' | sort | uniq -c | awk '{ $1 = $1 "x"; print }')" \
	"2x core id: 0
2x core id: 1
4x cpu cores: 2
4x physical id: 0
4x siblings: 4" "how they belong together"
check "linux: --topology, as the kernel understands it"

left two
expect_status 0
expect_equal "$(grep -c '^processor' <<<"$out")" 2 "CPUs"
expect_equal "$(grep -E '^(siblings|cpu cores)' <<<"$out" | tr -dc '0-9\n' | sort -u)" 2 "siblings and cores"
expect_equal "$(grep '^physical id' <<<"$out" | sort -u | wc -l)" 1 "sockets"
expect_equal "$(grep '^core id' <<<"$out" | tr -dc '0-9')" 01 "core ids"
expect_equal "$(grep '^apicid' <<<"$out" | tr -dc '0-9')" 01 "APIC ids"
expect_equal "$(grep '^flags' <<<"$out" | sort -u | wc -l)" 1 "different sets of flags"
[[ " $(flags) " != *" sse4_1 "* ]] || problem "/proc/cpuinfo shows sse4_1"
check "linux: two CPUs, one socket, the same masked flags on both"

left save
expect_status 0
left two
expect_err "saved to /tmp/two.snap"
left more
expect_status 0
# One stream: it may have been saved in the middle of a line.
counts=$(cat "$host/two.out" "$host/more.out" | tr -d '\r' | grep '^count ')
before=$(grep '^count 5 ' <<<"$counts")
after=$(grep '^count ' <<<"$out" | head -1)
expect_equal "$(awk -v n="$nonce" '$2 != ++i || $3 != n || $5 <= up { bad = 1 } { up = $5 } END { print i, bad + 0 }' <<<"$counts")" \
	"60 0" "counts, and whether number, nonce and uptime went on"
# Of the host's time between these two lines it was halted for 10 s at least.
awk -v a="${before##* }" -v b="${after##* }" -v host="$(cat "$host/counted.s")" \
	'BEGIN { exit !(b - a > 0 && b - a < host - 5) }' ||
	problem "the guest's clock: $before, then $after, after the host's $(cat "$host/counted.s") s"
expect_out "clocksource kvm-clock"
expect_err "the guest powered itself off"
check "linux: saved by name while it runs, restored, it goes on where its clock stood"

left panic
expect_status 6
expect_out '"end": "reset"'
expect_err "Kernel panic"
check "linux: a panic resets: exit 6"
