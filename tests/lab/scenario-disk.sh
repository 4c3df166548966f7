# SPDX-License-Identifier: MIT
# Run in the lab host by tests/lab/test-disk.sh: an unmodified Linux kernel with disks and a source of
# random bytes.
# shellcheck shell=sh disable=SC2034,SC2086,SC2154

export XDG_RUNTIME_DIR=/tmp
linux="vmlinuz --initrd guest.cpio --guest-os linux64 --mask hide-sse41.mask --memory 128M --timeout 300"
quiet="console=ttyS0 panic=-1 quiet nonce=$NONCE"

. ./in-host.sh

# One CPU, a file system, a read-only disk.
cp ext.img out/ext.img
r mounts ./minivmm run $linux -v --disk out/ext.img --disk ro.img,ro --rng --append "$quiet guest=mounts"

# Two CPUs: saved while it writes; goes on, twice, on the disk as it was. Most of its RAM is taken out by its command
# line, as to make the kernel's list of pages is slow here; its buffers are in the 64 MiB from 4 GiB on.
r writes ./minivmm run $linux --memory 3136M --cpus 2 --disk out/raw.img --rng --name writes \
	--append "$quiet memmap=2880M\$128M guest=writes" &
pid=$!
while kill -0 $pid 2>/dev/null && ! grep -q "^wrote 6" out/writes.out; do sleep 0.1; done
r second ./minivmm run $linux --disk out/raw.img
r save ./minivmm snapshot writes /tmp/writes.snap --stop
wait $pid
cp out/raw.img out/then.img
r inspect ./minivmm inspect /tmp/writes.snap
r more ./minivmm restore /tmp/writes.snap --timeout 300
r again ./minivmm restore /tmp/writes.snap
r copy ./minivmm restore /tmp/writes.snap --timeout 300 --disk raw.img=out/then.img
rm -f /tmp/writes.snap
