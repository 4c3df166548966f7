#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# restore-memory.sh BUILD: how memory gets from a snapshot into a guest, and that damage does not.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

need_kvm "restore: memory" || exit 0
hello=$guests/hello.elf

filled() { # FILE WORDS: a snapshot of a guest of 32 MiB, all written to
	ran "$minivmm" run -q "$hello" --memory 32M --append "mode=fill mib=32 $2" --snapshot-on-sync "$1" --stop
	expect_status 0
	expect_out "fill: full"
}

damage() { # FROM TO OFFSET: a copy with one byte changed
	cp "$1" "$2"
	byte=$(od -An -tu1 -j "$3" -N1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059
	printf "\\$(printf %o $((byte ^ 1)))" | dd of="$2" bs=1 seek="$3" conv=notrunc status=none
}

filled "$tmp/full.snap" ""
for mode in lazy eager map; do
	ran "$minivmm" restore -q "$tmp/full.snap" --memory $mode
	expect_status 0
	expect_out "fill: all there"
	check "restore: a full guest, --memory $mode"
done
if have_memory 4096; then
	ran "$minivmm" run -q "$hello" --memory 4G --append "mode=fill from=3064 mib=3080" \
		--snapshot-on-sync "$tmp/gap.snap" --stop
	expect_status 0
	ran "$minivmm" inspect --json "$tmp/gap.snap"
	expect_json_is memory $((4 << 30))
	runs=$(json "$out" pages/runs)
	expect_equal "$(json "$out" pages/runs/$((runs - 1))/0) $(json "$out" pages/runs/$((runs - 1))/1)" \
		"$(printf '0x%x 0x1000' $((3064 << 20)))" "the last run of pages: its position, its number"
	for mode in lazy eager map; do
		ran "$minivmm" restore -q "$tmp/gap.snap" --memory $mode
		expect_status 0
		expect_out "fill: all there"
		check "restore: 4 GiB, memory on both sides of the gap, --memory $mode"
	done
	# Looking at pages that were never touched would have the kernel make 8 MiB of page tables for them. What a
	# file has for pages that were not touched since is not lost.
	ran "$minivmm" run -q "$hello" --memory 4G --append "mode=fill from=3064 mib=3080 blind stay" \
		--snapshot-on-sync "$tmp/gap.snap" --stop
	ran "$minivmm" inspect --json "$tmp/gap.snap"
	pages=$(json "$out" memory-in-file)
	for how in run lazy map; do
		rm -f "$tmp/gap.out"
		if [ $how = run ]; then
			start gap "$minivmm" run -q "$hello" --memory 4G --name gap --append "mode=fill mib=2 stay"
		else
			start gap "$minivmm" restore -q "$tmp/gap.snap" --name gap --memory $how
		fi
		wait_for grep -q "fill: all there" "$tmp/gap.out"
		ran "$minivmm" snapshot gap "$tmp/again.snap"
		expect_status 0
		tables=$(awk '/^VmPTE/ { print $2 }' "/proc/$pid/status")
		[ "${tables:-9999}" -lt 2048 ] || problem "$tables KiB of page tables"
		"$minivmm" stop gap
		ended gap
		ran "$minivmm" inspect --json "$tmp/again.snap"
		[ $how = run ] || expect_equal "$(($(json "$out" memory-in-file) >> 20))" "$((pages >> 20))" "MiB in the file"
		check "snapshot: memory that was never touched is not looked at ($how)"
	done
	rm -f "$tmp/gap.snap"
else
	skip "restore: 4 GiB" "this machine has less"
fi
ran "$minivmm" restore "$tmp/full.snap" --memory map
expect_err "warning: --memory map"
ran "$minivmm" restore "$tmp/full.snap" --memory some
expect_status 2
expect_err "--memory takes lazy, eager or map, not 'some'"
check "restore: what --memory map gives up is said"

# The guest would tell of a page that is wrong.
damage "$tmp/full.snap" "$tmp/bad.snap" $((20 << 20))
ran "$minivmm" restore -q "$tmp/bad.snap" --memory map
expect_status 6
expect_out "is wrong"
check "restore: damage that nobody verifies reaches the guest"
for mode in lazy eager; do
	ran "$minivmm" restore -q "$tmp/bad.snap" --memory $mode
	expect_status 4
	expect_err "$tmp/bad.snap: memory at byte 0x"
	expect_err "checksum"
	expect_no_out "is wrong"
	expect_no_out "all there"
	[ $mode = lazy ] || expect_equal "$out" ""
	check "restore: damage does not reach the guest, --memory $mode"
done

# What the guest itself does not touch is looked at, too.
filled "$tmp/blind.snap" "blind stay"
damage "$tmp/blind.snap" "$tmp/bad.snap" $((20 << 20))
ran "$minivmm" restore -q "$tmp/bad.snap" --timeout 60
expect_status 4
expect_err "the guest did not see them"
check "restore: damage where the guest does not look ends it, too"

# Code that we touch ourselves, before anything runs.
ran "$minivmm" inspect --json "$tmp/full.snap"
first=$(json "$out" pages/runs/0/2)
damage "$tmp/full.snap" "$tmp/bad.snap" $((first + 1))
ran "$minivmm" restore -q "$tmp/bad.snap"
expect_status 4
expect_no_out "fill:"
check "restore: damage in the first pages"

# Saved while most of it is still in the old file, over which it is written.
cp "$tmp/blind.snap" "$tmp/again.snap"
start again "$minivmm" restore -q "$tmp/again.snap" --name again
wait_for "$minivmm" snapshot again "$tmp/again.snap" --stop
ended again
expect_status 0
# Where it was saved, it was beyond its sync point: the same memory, and no more to say.
ran "$minivmm" inspect --json "$tmp/again.snap"
pages=$(json "$out" memory-in-file)
ran "$minivmm" inspect --json "$tmp/blind.snap"
expect_equal "$((pages >> 20))" "$(($(json "$out" memory-in-file) >> 20))" "MiB of memory"
ran "$minivmm" restore -q "$tmp/again.snap" --timeout 1
expect_err "did not end within 1 s"
expect_no_err "checksum"
check "restore: a guest saved before all its memory was read, over its own file"

# Compressed: whatever is asked for, all of it is verified before anything runs.
start packed "$minivmm" run -q "$hello" --memory 32M --name packed --append "mode=fill mib=32 stay"
wait_for grep -q "fill: all there" "$tmp/packed.out"
wait_for "$minivmm" pause packed
ran "$minivmm" snapshot packed "$tmp/plain.snap"
ran "$minivmm" snapshot packed "$tmp/packed.snap" --compress --stop
expect_status 0
ended packed
plain=$(stat -c %s "$tmp/plain.snap")
small=$(stat -c %s "$tmp/packed.snap")
[ "$((small * 4))" -lt "$plain" ] || problem "$small bytes are not less than a quarter of $plain"
ran "$minivmm" inspect "$tmp/packed.snap"
expect_out "KiB of it in the file, compressed (zstd) to"
ran "$minivmm" inspect --json "$tmp/packed.snap"
expect_json_is compression zstd
expect_json_is format 1.1
runs=$(json "$out" pages/sums)
ran "$minivmm" inspect --json "$tmp/plain.snap"
expect_json_is compression none
expect_json_is format 1.0
expect_equal "$(json "$out" pages/sums)" "$runs" "chunks"
check "snapshot --compress: smaller, and inspect says so"
pages_of() { # FILE: which, and their checksums
	"$minivmm" inspect --json "$1" | tr -d '\n' | sed 's/.*"pages"://'
}
for mode in lazy eager; do
	start packed "$minivmm" restore -q "$tmp/packed.snap" --memory $mode --name packed
	wait_for "$minivmm" snapshot packed "$tmp/again.snap" --stop
	ended packed
	expect_status 0
	[ "$(pages_of "$tmp/again.snap")" = "$(pages_of "$tmp/plain.snap")" ] || problem "memory differs"
	check "restore: compressed memory, --memory $mode"
done
ran "$minivmm" restore -q "$tmp/packed.snap" --memory map
expect_status 2
expect_err "$tmp/packed.snap: is compressed: it can't be mapped (--memory eager)"
check "restore: compressed memory can't be mapped"
damage "$tmp/packed.snap" "$tmp/bad.snap" $((small - 5000))
ran "$minivmm" restore -q "$tmp/bad.snap"
expect_status 4
expect_err "memory at byte 0x"
expect_err "checksum"
expect_equal "$out" ""
check "restore: damage in compressed memory does not reach the guest"

# ---- what a file says of memory ----

# The checksum is right, the number is not: CONFIG begins behind the header, memory's size behind the name.
resize() { # MIB: of $tmp/full.snap, into $tmp/size.snap
	/usr/bin/python3 -c '
import struct, sys
from xxhash import xxh3_64_intdigest
data = bytearray(open(sys.argv[1], "rb").read())
length, = struct.unpack_from("<Q", data, 64 + 16)
struct.pack_into("<Q", data, 64 + 24 + 64, int(sys.argv[3]) << 20)
struct.pack_into("<Q", data, 64, xxh3_64_intdigest(bytes(data[72:64 + 24 + length])))
open(sys.argv[2], "wb").write(data)' "$tmp/full.snap" "$tmp/size.snap" "$1"
}
if /usr/bin/python3 -c 'import xxhash' 2>/dev/null; then
	resize 1048576
	ran "$minivmm" restore "$tmp/size.snap"
	expect_status 5
	expect_err "1048576 MiB of guest memory: this host has"
	check "restore: a file that wants 1 TiB is refused before memory is made"
fi

# A host without userfaultfd, and one where the guest's own faults are all that is read.
cat >"$tmp/shim.c" <<'EOC'
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#undef syscall
static long call(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	if (r < 0 && r > -4096) {
		errno = (int)-r;
		r = -1;
	}
	return r;
}
long syscall(long nr, ...)
{
	va_list ap;
	long a, b, c, d;
	va_start(ap, nr);
	a = va_arg(ap, long), b = va_arg(ap, long), c = va_arg(ap, long), d = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_userfaultfd && getenv("SHIM_NO_UFFD")) {
		errno = EPERM;
		return -1;
	}
	return call(nr, a, b, c, d);
}
int open(const char *path, int flags, ...)
{
	va_list ap;
	int mode;
	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	if (!strcmp(path, "/dev/userfaultfd")) {
		errno = ENOENT;
		return -1;
	}
	return (int)call(SYS_openat, AT_FDCWD, (long)path, flags, mode);
}
ssize_t pread64(int fd, void *p, size_t n, off_t at)
{
	/* A minute: longer only if nobody is answered any more. */
	for (int i = 0; n >= 65536 && i < 6000 && getenv("SHIM_HOLD") && !access(getenv("SHIM_HOLD"), F_OK); i++)
		usleep(10000);
	return call(SYS_pread64, fd, (long)p, (long)n, at);
}
ssize_t pread(int fd, void *p, size_t n, off_t at) { return pread64(fd, p, n, at); }
int poll(struct pollfd *p, nfds_t n, int timeout)
{
	/* The thread that reads memory, and nobody else, waits for so long at first. */
	if (n == 2 && timeout == 50 && getenv("SHIM_NO_BACKGROUND"))
		timeout = 600000;
	return (int)call(SYS_poll, (long)p, (long)n, timeout, 0);
}
EOC
if sanitized; then
	skip "restore: other hosts" "a sanitizer has to be loaded first"
	exit 0
elif ! "${CC:-gcc}" -D_GNU_SOURCE -shared -fPIC -o "$tmp/shim.so" "$tmp/shim.c" 2>"$tmp/cc"; then
	skip "restore: other hosts" "no compiler: $(head -1 "$tmp/cc")"
	exit 0
fi

without_uffd() {
	ran env LD_PRELOAD="$tmp/shim.so" SHIM_NO_UFFD=1 "$minivmm" restore -q "$@"
}
without_uffd "$tmp/full.snap"
expect_status 0
expect_out "fill: all there"
damage "$tmp/full.snap" "$tmp/bad.snap" $((20 << 20))
without_uffd "$tmp/bad.snap"
expect_status 4
expect_err "checksum"
expect_equal "$out" "" "all of it is verified beforehand"
check "restore: without userfaultfd memory is read and verified at once"

# Damage that neither the guest nor the background has come across.
lurking() { # NAME FILE
	start "$1" env LD_PRELOAD="$tmp/shim.so" SHIM_NO_BACKGROUND=1 "$minivmm" restore -q "$2" --name "$1"
	wait_for grep -q "fill: all there" "$tmp/$1.out"
	wait_for "$minivmm" status "$1"
}
receiver() { # OPTIONS: it waits at $tmp/there, as $there; $pid stays whose it is
	local before=$pid
	start there "$minivmm" receive "unix:$tmp/there" --name there "$@"
	there=$pid pid=$before
	wait_for grep -q listening "$tmp/there.err"
}
damage "$tmp/blind.snap" "$tmp/bad.snap" $((20 << 20))
lurking mover "$tmp/bad.snap"
receiver
ran "$minivmm" migrate mover "unix:$tmp/there"
expect_status 1
expect_err "checksum"
ended mover
expect_status 4
expect_err "$tmp/bad.snap: memory at byte 0x"
expect_err "the guest did not see them"
# Nobody came to the destination.
kill -TERM "$there"
wait "$there"
expect_equal "$?" 143 "how the destination ended"
check "restore: damage found when the guest is to move ends the move, and the guest"

lurking confined "$tmp/blind.snap"
status_of() { # FIELD: of all its threads, the one that reads the file among them
	sed -n "s/^$1:[[:space:]]*//p" /proc/"$pid"/task/*/status | sort -u | tr '\t\n' ' ;'
}
expect_equal "$(status_of Seccomp)" "2;" "filter"
expect_equal "$(status_of NoNewPrivs)" "1;"
[ "$(id -u)" != 0 ] || expect_equal "$(status_of CapEff)" "0000000000000002;" "capabilities: DAC_OVERRIDE"
"$minivmm" stop confined
ended confined
check "restore: whoever reads the file has no more rights than the guest's other threads"

lurking stopped "$tmp/blind.snap"
kill -TERM "$pid"
ended stopped
expect_status 143
expect_no_file "$XDG_RUNTIME_DIR/minivmm/stopped.sock"
check "restore: a signal is not for whoever reads the file"

lurking saver "$tmp/bad.snap"
ran "$minivmm" snapshot saver "$tmp/bad.snap"
expect_status 1
expect_err "checksum"
ended saver
expect_status 4
expect_err "the guest did not see them"
damage "$tmp/blind.snap" "$tmp/same.snap" $((20 << 20))
cmp -s "$tmp/bad.snap" "$tmp/same.snap" || problem "the old file was touched"
check "restore: damage found when the guest is to be saved, and the old file stays"

lurking mover "$tmp/blind.snap"
receiver
ran "$minivmm" migrate mover "unix:$tmp/there"
expect_status 0
ended mover
expect_status 0
ran "$minivmm" snapshot there "$tmp/moved.snap" --stop
expect_status 0
wait "$there"
ran "$minivmm" inspect --json "$tmp/moved.snap"
expect_equal "$(($(json "$out" memory-in-file) >> 20))" "$((pages >> 20))" "MiB of memory"
check "restore: a guest moves before its memory was read"

# It can be given up; and that reading takes longer than the destination would wait for a silent source is nothing to it.
export SHIM_HOLD=$tmp/hold
lurking mover "$tmp/blind.snap"
unset SHIM_HOLD
receiver --peer-timeout 2
touch "$tmp/hold"
"$minivmm" migrate mover "unix:$tmp/there" >"$tmp/given-up" 2>&1 &
asked=$!
wait_for sh -c "'$minivmm' status mover | grep -q 'state *moving'"
ran "$minivmm" migrate mover --cancel
expect_status 0
rm "$tmp/hold"
wait "$asked"
expect_equal "$?" 1 "exit status of a move that was given up"
grep -q cancelled "$tmp/given-up" || problem "not given up: $(cat "$tmp/given-up")"
touch "$tmp/hold"
"$minivmm" migrate mover "unix:$tmp/there" >"$tmp/moved" 2>&1 &
asked=$!
wait_for sh -c "'$minivmm' status mover | grep -q 'state *moving'"
sleep 3
rm "$tmp/hold"
wait "$asked"
expect_equal "$?" 0 "exit status of the move: $(tail -1 "$tmp/moved")"
ended mover
expect_status 0
ran "$minivmm" stop there
expect_status 0
wait "$there"
check "restore: a guest moves before its memory was read, which takes long"
