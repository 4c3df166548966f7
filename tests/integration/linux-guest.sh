#!/bin/bash
# SPDX-License-Identifier: MIT
# linux-guest.sh BUILD: what is refused as a Linux kernel, initrd or machine, and the machine that a
# guest finds: serial port, clock, ACPI, power. A whole Linux runs in tests/lab/test-linux.sh.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

run() {
	ran "$minivmm" run "$@"
}

# ---- bad input: told before KVM is asked ----

# bzimage FILE NAME=VALUE…: a setup header with nothing behind it but zeros.
bzimage() {
	perl -e '
		my ($file, %v) = shift;
		%v = (version => 0x20f, magic => "HdrS", loadflags => 1, xload => 1, pref => 0x1000000,
		      init => 0x200000, paragraphs => 256, size => 1024 + 4096, @ARGV);
		my $d = "\0" x $v{size};
		substr $d, 0x1f1, 1, chr 1;
		substr $d, 0x1f4, 4, pack "V", $v{paragraphs};
		substr $d, 0x1fe, 8, pack "va2a4", 0xaa55, "\xeb\x6a", $v{magic};
		substr $d, 0x206, 2, pack "v", $v{version};
		substr $d, 0x211, 1, chr $v{loadflags};
		substr $d, 0x22c, 4, pack "V", 0x7fffffff;
		substr $d, 0x236, 6, pack "vV", $v{xload}, 2047;
		substr $d, 0x258, 12, pack "Q<V", $v{pref}, $v{init};
		open my $f, ">", $file or die;
		print $f $d;
	' "$@"
}

kernel() { # WHAT MESSAGE [NAME VALUE]…
	local what=$1 message=$2
	shift 2
	bzimage "$tmp/vmlinuz" "$@"
	run "$tmp/vmlinuz"
	expect_status 4
	expect_err "vmlinuz: $message"
	check "bad input: a kernel $what"
}
kernel "of 32 bits" "a Linux kernel without a 64-bit entry point" xload 0
kernel "with an old boot protocol" "a Linux kernel with boot protocol 2.11" version 523
kernel "in a zImage" "a Linux zImage" loadflags 0
kernel "that is cut off" "truncated: a segment needs bytes" paragraphs 4096
kernel "without room for its entry" "a Linux kernel of 256 bytes has no room for its entry point" paragraphs 16
kernel "above 4 GiB" "its load address 0x100000000 is above 4 GiB" pref 4294967296
kernel "without the magic" "not a guest image: neither ELF, multiboot nor a Linux bzImage" magic Hdrs
kernel "larger than memory" "it loads at 0x1000000 to 0x11000000" init 268435456
expect_err "give the guest more with --memory"
check "bad input: … with a hint"

bzimage "$tmp/vmlinuz"
for row in "nothing:No such file" ".:not a regular file" "empty:the file is empty" \
	"large:an initrd of 61440 KiB does not fit behind the image, which ends at 0x1200000"; do
	name=${row%%:*}
	: >"$tmp/empty"
	truncate -s 60M "$tmp/large"
	run "$tmp/vmlinuz" --memory 64M --initrd "$tmp/$name"
	expect_status 4
	expect_err "${row#*:}"
	check "bad input: an initrd: ${row#*:}"
done

run "$tmp/vmlinuz" --append "$(printf '%2048s' x)"
expect_status 2
expect_err "a command line of 2048 bytes is more than 2047"
check "bad input: a command line longer than the kernel takes"

for n in 0 65 1x "" -1 4294967297; do
	run "$tmp/vmlinuz" --cpus "$n"
	expect_status 2
	expect_err "--cpus takes 1 to 64, not '$n'"
done
check "bad input: numbers of CPUs"

for m in 0 2049K 2T 1M; do
	run "$tmp/vmlinuz" --memory $m
	expect_status 2
done
check "bad input: sizes of memory"

# ---- the machine ----

need_kvm "serial port" input terminal clock acpi "memory map" ports modules power || exit 0
why=$(guest32 pc-guest.c "$tmp/pc.elf") || {
	skip machine "$why"
	exit 0
}
pc() { # WHAT [OPTIONS…]: nothing here is about CPUID
	local what=$1
	shift
	run "$tmp/pc.elf" -q --intercept none --timeout 20 --append "$what" "$@"
}

pc serial
expect_status 0
expect_equal "$(tr -d '\r' <"$tmp/.out")" "scratch 5a
iir without fifo 01
iir with fifo c1
ier 0f
transmitter's interrupt c2
and when it was read c1
switched on again c2
lsr 60
msr b0
looped msr 90
looped lsr 61
looped data 4c
and then 60
divisor 0201"
check "serial port: registers as a 16550A's"

# 40 KiB through a FIFO of 16 bytes.
head -c 30000 /dev/urandom | base64 | tr -d 'q' >"$tmp/text"
(cat "$tmp/text"; printf q) | "$minivmm" run "$tmp/pc.elf" -q --intercept none --timeout 30 --append echo \
	>"$tmp/echo" 2>"$tmp/.err"
expect_equal $? 0 "exit status"
cmp -s <(printf 'ready\n' | cat - "$tmp/text") "$tmp/echo" || problem "what came back differs"
check "input: a pipe, all of it, and its end"

printf 'one\ntwo\n' >"$tmp/lines"
rest=$({
	"$minivmm" run "$guests/hello.elf" -q >/dev/null 2>&1
	cat
} <"$tmp/lines")
expect_equal "$rest" "one
two"
check "input: not touched for a guest that reads none"

if command -v python3 >/dev/null; then
	cat >"$tmp/keys.py" <<'EOF'
import os, pty, select, signal, subprocess, sys, termios, time

def start(*more):
    global master, p, slave, before
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    p = subprocess.Popen([sys.argv[1], "run", sys.argv[2], "-q", "--intercept", "none",
                          "--timeout", "20", "--append", "echo", *more], stdin=slave,
                         stdout=subprocess.PIPE, preexec_fn=foreground)

def foreground():
    import fcntl
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

def expect(what):
    got = b""
    while what not in got:
        r, _, _ = select.select([p.stdout], [], [], 10)
        part = os.read(p.stdout.fileno(), 4096) if r else b""
        if not part:
            sys.exit("%r instead of %r" % (got, what))
        got += part

def raw():
    for _ in range(100):
        if not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ISIG | termios.ECHO):
            return
        time.sleep(0.05)
    sys.exit("the terminal did not become raw")

def ended(status):
    if p.wait(10) != status:
        sys.exit("status %d instead of %d" % (p.returncode, status))
    if termios.tcgetattr(slave) != before:
        sys.exit("the terminal is not as it was")

start()
expect(b"ready\n"); raw()
os.write(master, b"ab\x03\x01\x01c\x01zd")     # Ctrl-C is the guest's, too
expect(b"ab\x03\x01cd")
os.write(master, b"\x01x")
ended(0)
print("escape")
start()
expect(b"ready\n"); raw()
os.write(master, b"q")
ended(0)
print("guest")
for sig in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
    start()
    expect(b"ready\n"); raw()
    p.send_signal(sig)
    ended(128 + sig)
start()
expect(b"ready\n"); raw()
p.send_signal(signal.SIGQUIT)
ended(-signal.SIGQUIT)
print("signals")
EOF
	ran python3 "$tmp/keys.py" "$minivmm" "$tmp/pc.elf"
	expect_status 0
	expect_out escape
	expect_out guest
	expect_out signals
	check "terminal: raw for the guest, Ctrl-A, and as it was after every end"
else
	skip terminal "no python3"
fi

earliest=$(date +%s)
pc rtc
expect_out "a 26"
read -r _ digits <<<"$(grep '^time ' <<<"$out")"
seconds=$(date -u -d "${digits:0:8} ${digits:8:2}:${digits:10:2}:${digits:12:2}" +%s 2>/dev/null)
# Whole seconds may be told a tick of the kernel late.
if [ "${seconds:-0}" -lt $((earliest - 1)) ] || [ "${seconds:-0}" -gt "$(date +%s)" ]; then
	problem "the clock says $digits, $(date -u -d "@$earliest" +%Y%m%d%H%M%S) was before"
fi
check "clock: UTC, 24 hours, BCD"

for n in 1 3; do
	pc acpi --cpus $n
	expect_status 0
	expect_no_out bad
	expect_equal "$(grep -c good <<<"$out")" 5 "tables with a good checksum"
	expect_out "cpus 0$n"
done
check "acpi: found in low memory, checksums, one entry a CPU"

pc memory
for at in 00000000 000e0000 000e1000 00100000 fec00000 fee00000 fffbc000; do
	expect_out "at $at"
done
check "memory map: RAM, ACPI's, and what is reserved"

pc ports
expect_out "byte ff"
expect_out "dword ffffffff"
expect_out "pm1 00000000"
expect_out "pm1 control, and what is behind it ffff0001"
check "ports: all ones where nobody is"

printf 'the module %s\n' $RANDOM >"$tmp/module"
pc modules --initrd "$tmp/module"
expect_status 0
expect_out "modules 1"
expect_out "$(cat "$tmp/module")"
pc modules
expect_out "modules 0"
check "modules: an initrd is multiboot's first module"

pc off
expect_status 0
pc off --json
expect_json_is end power-off
check "power: off is exit 0"
for by in register keyboard; do
	pc reset-$by
	expect_status 6
	expect_err "the guest reset itself"
	pc reset-$by --json
	expect_json_is end reset
	expect_json_is exit 6
	check "power: reset by the $by is exit 6"
done
