#!/bin/bash
# SPDX-License-Identifier: MIT
# test-live.sh BUILD [full]: live migration between two hosts of different CPUs over a network, there and
# back, with a disk that both have. With full, of a Linux guest under load, 10 times (make lab-live);
# otherwise of a bare one, once.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
cd "$top" || exit 1
full=${2:-}
rich=epyc poor=epyc-nosse4
missing=(SSE4.1 SSE4.2 MOVBE)

lab_built live
job=$tmp/job
tests/lab/job.sh "$build" "$job"
truncate -s 4M "$tmp/shared.img"
for f in "${missing[@]}"; do echo "feature $f = 0"; done >"$job/hide.mask"

if [ -n "$full" ]; then
	export LAB_SLOW=${LAB_SLOW:-4}	# how long a boot may take; nothing takes longer because of it
	moves=10 pause=1 limit=1500 up='^hash'
	guest="vmlinuz --initrd guest.cpio --guest-os linux64 --memory 96M"
	append="console=ttyS0 panic=-1 quiet"
	cp "${LAB_CACHE:-${OUT:-build}/lab}/kernel/vmlinuz" "$job/"
	mkdir -p "$tmp/root/dev"
	cp "${LAB_CACHE:-${OUT:-build}/lab}"/kernel/guest-modules/*.ko "$tmp/root/"
	gcc -O1 -static -o "$tmp/root/init" tests/lab/live-load.c || exit 1
	(cd "$tmp/root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$job/guest.cpio"
else
	moves=1 pause=0.3 limit=400 up='^counter'
	guest="hello.elf --memory 16M"
	append="mode=writer mib=2 delay=20 ticks=1000000"
fi
{
	echo "GUEST='$guest' DISK='--disk /dev/vdb' APPEND='$append' UP='$up' MOVES=$moves PAUSE=$pause UNSAFE=$full"
	echo "MISSING=$(IFS=,; echo "${missing[*]}")"
	cat tests/lab/scenario-live.sh
} >"$job/run.sh"

if ! tests/lab/net-pair.sh $rich $poor "$job" "$tmp/net" $limit "$tmp/shared.img"; then
	echo "not ok live: $(tail -qn1 "$tmp"/net/?.console | tr '\n' ' ')"
	tail -n 5 "$tmp"/net/*.console "$tmp"/net/*/*.err >&2
	exit 0
fi

left "$tmp/net/1" refused
expect_status 3
for f in "${missing[@]}"; do
	expect_err "* $f ("
done
expect_err "plain goes on here"
left "$tmp/net/1" status
expect_out "running"
left "$tmp/net/2" refused
expect_status 3
expect_equal "$out" "" "no guest output"
check "live: without a mask the guest is refused, every bit named, and goes on"

for n in $(seq $moves); do
	left "$tmp/net/1" "go$n"
	expect_status 0
	expect_err "vm moved to"
	[ -z "$full" ] || echo "$err" >&2
	left "$tmp/net/2" "return$n"
	expect_status 0
	expect_err "vm moved to"
	[ -z "$full" ] || echo "$err" >&2
	left "$tmp/net/2" "here$n"
	expect_status 0
	[ -n "$out" ] || problem "it printed nothing at host 2, stay $n"
done
left "$tmp/net/1" "back$moves"
expect_status 0
[ -n "$out" ] || problem "it printed nothing back at host 1"
check "live: masked it goes from $rich to $poor and back, $moves times"

# What it printed, in order.
cat "$tmp/net/1/vm.out" $(for n in $(seq $moves); do
	echo "$tmp/net/2/here$n.out" "$tmp/net/1/back$n.out"
done) | tr -d '\r\0' >"$tmp/all"
cp "$tmp/all" "$tmp/.out"
if [ -z "$full" ]; then
	sed '$d' "$tmp/all" | awk '$1 != "counter:" || $2 != NR || $3 != 512 { bad = 1 } END { exit bad || NR < 5 }' ||
		problem "its passes over its memory are not one sequence: $(grep -vn '^counter' "$tmp/all" | head -1)"
	check "live: it lost no page and no pass"
	exit 0
fi

# It was stopped in the middle of a line.
sed -i '$d' "$tmp/all"
! grep -E '^(BAD|SIGILL|.*died)' "$tmp/all" >"$tmp/bad" || problem "$(head -1 "$tmp/bad")"
for what in hash clock; do
	awk -v what=$what '$1 == what { if ($2 <= last) bad = 1; last = $2; n++ } END { exit bad || n < 20 }' \
		"$tmp/all" || problem "$what did not go on"
done
awk '$1 == "clock" { if ($4 < last) bad = 1; last = $4 } END { exit bad }' "$tmp/all" || problem "uptime went back"
# QEMU's SVM does not intercept XSETBV, so CPUID does not follow XCR0 there, and Linux goes without AVX.
grep -qE '^hash [0-9]* plain (SSSE3|AVX2)' "$tmp/all" || problem "it did not hash with what the mask leaves"
! grep -q '^hash [0-9]* CRC32' "$tmp/all" || problem "it hashed with what the mask hides"
check "live: no process died, no hash was wrong, no clock ran backwards"

# The image as this machine sees it: the writer's last 256 rounds, none missing, none from elsewhere.
grep -q '^up with a disk' "$tmp/all" || problem "the guest found no disk"
awk '$1 == "disk" { if ($2 <= last) bad = 1; last = $2; n++ } END { exit bad || n < 20 }' "$tmp/all" ||
	problem "the writer did not go on"
said=$(awk '$1 == "disk" { last = $2 } END { print last + 0 }' "$tmp/all")
python3 - "$tmp/shared.img" "$said" >"$tmp/image" 2>&1 <<'EOF' || problem "$(tail -n 1 "$tmp/image")"
import struct, sys
data, said = open(sys.argv[1], "rb").read(), int(sys.argv[2])
ends = [struct.unpack_from("<Q4080xQ", data, block * 4096) for block in range(256)]
last = max(first for first, _ in ends)
for block, (first, end) in enumerate(ends):
    assert end == first ^ 2**64 - 1, f"block {block} was written in part: {first} {end}"
    assert first % 256 == block and last - first < 256, f"block {block} is of round {first}, the last was {last}"
assert said <= last, f"round {said} was said to be written, {last} is the last there"
print("the last round on the disk is", last)
EOF
tail -n 1 "$tmp/image" >&2
check "live: the shared disk holds every block as it was written last"

left "$tmp/net/1" unsafe
expect_status 0
left "$tmp/net/2" unsafe
expect_err "accepted (rule guide), with these differences ignored on request"
expect_out "hash died of signal 4"
bytes=$(sed -n 's/^SIGILL \([0-9a-f ]*\)$/\1/p' <<<"$out" | head -1)
ran "$minivmm" explain "$bytes"
expect_out "SSE4.2"
check "live: with --unsafe-ignore-cpu it is taken, the hash dies of SIGILL, explain says why"
