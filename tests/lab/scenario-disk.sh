# SPDX-License-Identifier: MIT
# Run in the lab host by tests/lab/test-disk.sh: an unmodified Linux kernel with disks and a source of
# random bytes. What each command printed and how it ended is left in out/NAME.{out,err,rc}.
# shellcheck shell=sh disable=SC2034,SC2086,SC2154

export XDG_RUNTIME_DIR=/tmp
linux="vmlinuz --initrd guest.cpio --guest-os linux64 --mask hide-sse41.mask --memory 128M --timeout 300"
quiet="console=ttyS0 panic=-1 quiet nonce=$NONCE"

finished() { # NAME STATUS
	echo "$2" >"out/$1.rc"
}

# One CPU, a file system, a read-only disk.
cp ext.img out/ext.img
./minivmm run $linux -v --disk out/ext.img --disk ro.img,ro --rng --append "$quiet guest=mounts" \
	>out/mounts.out 2>out/mounts.err </dev/null
finished mounts $?

# Two CPUs: saved while it writes; goes on, twice, on the disk as it was. Most of its RAM is taken out by its command
# line, as to make the kernel's list of pages is slow here; its buffers are in the 64 MiB from 4 GiB on.
./minivmm run $linux --memory 3136M --cpus 2 --disk out/raw.img --rng --name writes \
	--append "$quiet memmap=2880M\$128M guest=writes" \
	>out/writes.out 2>out/writes.err </dev/null &
pid=$!
while kill -0 $pid 2>/dev/null && ! grep -q "^wrote 6" out/writes.out; do sleep 0.1; done
./minivmm run $linux --disk out/raw.img >out/second.out 2>out/second.err </dev/null
finished second $?
./minivmm snapshot writes /tmp/writes.snap --stop >out/save.out 2>out/save.err
finished save $?
wait $pid
finished writes $?
cp out/raw.img out/then.img
./minivmm inspect /tmp/writes.snap >out/inspect.out 2>out/inspect.err
finished inspect $?
./minivmm restore /tmp/writes.snap --timeout 300 >out/more.out 2>out/more.err </dev/null
finished more $?
./minivmm restore /tmp/writes.snap >out/again.out 2>out/again.err </dev/null
finished again $?
./minivmm restore /tmp/writes.snap --timeout 300 --disk raw.img=out/then.img \
	>out/copy.out 2>out/copy.err </dev/null
finished copy $?
rm -f /tmp/writes.snap
