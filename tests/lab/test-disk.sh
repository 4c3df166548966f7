#!/bin/bash
# SPDX-License-Identifier: MIT
# test-disk.sh BUILD: Debian's unmodified cloud kernel and its own virtio modules in an AMD lab host:
# disks written and read, checked from outside; random bytes; saved and restored while it writes.
# Prints test lines (tests/lib.sh). GUEST_KERNEL=standard: another kernel (helpers.sh).
# shellcheck shell=bash disable=SC1091,SC2034,SC2154
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
cd "$top" || exit 1

PATH=$PATH:/sbin:/usr/sbin
command -v mke2fs debugfs e2fsck >/dev/null || {
	skip disk "no e2fsprogs"
	exit 0
}
linux_job disk tests/lab/disk-init.sh
cp "$kernel"/guest-modules/*.ko "$root/lib/"
mkdir "$job/out" "$tmp/files"
echo "from the host $nonce" >"$tmp/files/from-host"
truncate -s 8M "$job/ext.img"
mke2fs -q -F -t ext4 -d "$tmp/files" "$job/ext.img"
head -c 1M /dev/urandom >"$job/ro.img"
truncate -s 2M "$job/out/raw.img"
# One of the guests has RAM on both sides of the gap between 3 and 4 GiB; little of it is touched.
LAB_MEMORY=3400 linux_run disk tests/lab/scenario-disk.sh

left mounts
expect_status 0
expect_out "sizes 16384 2048 ro 0 1"
expect_out "serial minivmm-disk0 minivmm-disk1"
expect_out "cache write back"
expect_equal "$(grep -cE '^ *1[678]: .*IO-APIC.*virtio[012]' <<<"$out")" 3 "interrupts of virtio devices"
check "disk: Debian's kernel finds two disks and a source of random bytes through ACPI"
expect_out "from the host $nonce"
expect_equal "$(debugfs -R 'cat /from-guest' "$host/ext.img" 2>/dev/null)" "from the guest $nonce"
debugfs -R 'cat /copy' "$host/ext.img" 2>/dev/null | cmp -s - "$job/ro.img" ||
	problem "the copy of the second disk on the first one differs"
e2fsck -fn "$host/ext.img" >"$tmp/fsck" 2>&1 || problem "e2fsck: $(tail -1 "$tmp/fsck")"
check "disk: a file system is mounted, read and written; seen from outside it is whole"
expect_out "vdb $(sha256sum <"$job/ro.img" | cut -d' ' -f1)"
expect_no_out "vdb was written to"
check "disk: read-only is"
expect_out "rng virtio_rng.0"
expect_equal "$(grep -cE '^[0-9a-f]{64}  -$' <<<"$out")" 2 "reads of random bytes"
expect_equal "$(grep -E '^[0-9a-f]{64}  -$' <<<"$out" | sort -u | wc -l)" 2 "different ones"
check "rng: the kernel's hwrng reads from it"

left second
expect_status 1
expect_err "the disk image is in use"
check "disk: a second VM does not get it"

for n in $(seq 0 23); do # what the guest is to write
	for line in $(seq 1 64); do
		printf 'block %05d line %05d nonce %s %977s\n' "$n" "$line" "$nonce" .
	done
done >"$tmp/want"
truncate -s 2M "$tmp/want"
left save
expect_status 0
left writes
expect_out "RAM at 4 GiB"
expect_out "wrote 6"
expect_no_out "wrote 24"
left inspect
expect_out "/out/raw.img"
left more
expect_status 0
expect_out "wrote 24"
cmp "$tmp/want" "$host/raw.img" >"$tmp/cmp" 2>&1 || problem "the disk differs: $(cat "$tmp/cmp")"
expect_equal "$(cat "$host/writes.out" "$host/more.out" | tr -d '\r' | grep -a '^wrote' | tr '\n' ' ')" \
	"$(seq -f 'wrote %g' 1 24 | tr '\n' ' ')" "what it said it wrote"
check "disk: saved while it writes, restored: every block is there, once"

left again
expect_status 3
expect_err "the disk image is not what it was when the VM was saved"
check "disk: a snapshot does not go on with a disk that went on without it"
left copy
expect_status 0
cmp "$tmp/want" "$host/then.img" >"$tmp/cmp" 2>&1 || problem "the disk differs: $(cat "$tmp/cmp")"
check "disk: it does with a copy, under another name"
