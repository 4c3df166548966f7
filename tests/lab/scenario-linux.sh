# SPDX-License-Identifier: MIT
# Run in the lab host by tests/lab/test-linux.sh: an unmodified Linux kernel as a guest. How long each
# command took is left in out/NAME.s.
# shellcheck shell=sh disable=SC2034,SC2154

export XDG_RUNTIME_DIR=/tmp
. ./in-host.sh

now() {
	cut -d' ' -f1 /proc/uptime
}

took() { # NAME START
	awk -v a="$2" -v b="$(now)" 'BEGIN { print b - a }' >"out/$1.s"
}

linux="vmlinuz --initrd guest.cpio --guest-os linux64 --mask hide-sse41.mask --memory 128M"
quiet="console=ttyS0 panic=-1 quiet"

# One CPU: to its shell, a line through the serial port, power-off.
t=$(now)
# shellcheck disable=SC2086
date +%s >out/before.time
echo "line $NONCE" | r one ./minivmm run $linux --timeout 300 -v --append "$quiet guest=one"
took one "$t"
date +%s >out/after.time

# The same kernel unpacked: an ELF file with a PVH note; on four CPUs.
t=$(now)
# The emulator has no TOPOEXT, without which Linux takes AMD's threads for cores.
echo "feature topoext = 1" >topoext.mask
r pvh ./minivmm run vmlinux --initrd guest.cpio --guest-os linux64 --mask hide-sse41.mask --mask topoext.mask \
	--memory 128M --topology cores=2,threads=2 --timeout 300 -v --append "$quiet guest=pvh"
took pvh "$t"

# Two CPUs: saved while a loop runs, by name; some time later it goes on.
t=$(now)
# shellcheck disable=SC2086
r two ./minivmm run $linux --cpus 2 --timeout 300 --name two --append "$quiet guest=count nonce=$NONCE" &
pid=$!
while kill -0 $pid 2>/dev/null && ! grep -q "^count 5 " out/two.out; do sleep 0.1; done
counted=$(now)
r save ./minivmm snapshot two /tmp/two.snap --stop
took save "$t"
wait $pid
took two "$t"
ls -l /tmp/two.snap >out/size.out
# More than it takes a busy machine to see what the guest wrote.
sleep 10
t=$(now)
r more ./minivmm restore /tmp/two.snap --timeout 300 -v &
pid=$!
while kill -0 $pid 2>/dev/null && ! grep -q "^count " out/more.out; do sleep 0.1; done
took counted "$counted"
wait $pid
took more "$t"
rm -f /tmp/two.snap

# No root file system: the kernel panics, and panic=-1 resets the machine.
t=$(now)
r panic ./minivmm run vmlinuz --guest-os linux64 --memory 128M --timeout 300 --json --append "$quiet"
took panic "$t"
