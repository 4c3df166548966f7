# SPDX-License-Identifier: MIT
# What the first process of the guest of tests/lab/test-disk.sh does, behind guest-start.sh.
# shellcheck shell=dash disable=SC2154
for m in virtio_ring virtio virtio_mmio virtio_blk virtio-rng crc32c_generic crc16 mbcache jbd2 ext4; do
	[ ! -e /lib/$m.ko ] || insmod /lib/$m.ko
done
echo "guest $guest is up"

# pattern N: 64 KiB that nobody else writes
pattern() {
	for line in $(seq 1 64); do
		printf 'block %05d line %05d nonce %s %977s\n' "$1" "$line" "$nonce" .
	done
}

case $guest in
mounts)
	echo "sizes $(cat /sys/block/vda/size) $(cat /sys/block/vdb/size) ro $(cat /sys/block/vda/ro) $(cat /sys/block/vdb/ro)"
	echo "serial $(cat /sys/block/vda/serial) $(cat /sys/block/vdb/serial)"
	echo "cache $(cat /sys/block/vda/queue/write_cache)"
	grep -E 'virtio[0-9]' /proc/interrupts
	mount -t ext4 /dev/vda /mnt && cat /mnt/from-host
	echo "from the guest $nonce" >/mnt/from-guest
	dd if=/dev/vdb of=/mnt/copy bs=64k 2>/dev/null
	umount /mnt
	echo "vdb $(sha256sum </dev/vdb)"
	dd if=/dev/zero of=/dev/vdb bs=512 count=1 2>/dev/null && echo "vdb was written to"
	echo "rng $(cat /sys/class/misc/hw_random/rng_current)"
	dd if=/dev/hwrng bs=1024 count=4 2>/dev/null | sha256sum
	dd if=/dev/hwrng bs=1024 count=4 2>/dev/null | sha256sum
	;;
writes)
	# Where RAM is above the gap.
	grep -q '^100000000-.*System RAM' /proc/iomem && echo "RAM at 4 GiB"
	i=0
	while [ $i -lt 24 ]; do
		pattern $i | dd of=/dev/vda bs=64k seek=$i conv=fsync,notrunc iflag=fullblock 2>/dev/null
		i=$((i + 1))
		echo "wrote $i"
	done
	;;
esac
poweroff -f
