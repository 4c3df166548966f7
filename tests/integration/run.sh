#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# run.sh BUILD: what minivmm run does with a guest, how each end is told, and running VMs from outside.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

need_kvm boot ends json "serial port" memory signals names control "snapshot of a running VM" \
	"one GET_SUPPORTED_CPUID" || exit 0

hello=$guests/hello.elf
run() {
	ran "$minivmm" run "$@"
}

# ---- the ways to boot ----

run "$hello" --append "first words=1"
expect_status 0
expect_out "hello: first words=1"
check "boot: ELF32 with a PVH note"

run "$guests/hello.elf64" --append "second words=2"
expect_status 0
expect_out "hello: second words=2"
check "boot: ELF64 with a PVH note"

# Another owner makes the entry note mean nothing; the multiboot header is what is left.
LC_ALL=C sed 's/Xen\x00/Xfn\x00/' "$hello" >"$tmp/multiboot.elf"
expect_equal "$(cmp -l "$hello" "$tmp/multiboot.elf" | wc -l)" 1 "bytes that differ"
run "$tmp/multiboot.elf" --append "third words=3"
expect_status 0
expect_out "hello: third words=3"
check "boot: multiboot"

LC_ALL=C sed 's/\x02\xb0\xad\x1b/\x02\xb0\xad\x1c/' "$tmp/multiboot.elf" >"$tmp/neither.elf"
run "$tmp/neither.elf"
expect_status 4
expect_err "neither.elf: an ELF file without a PVH note or a multiboot header"
check "boot: neither note nor header"

# mov $text, %esi; to the serial port up to NUL; the same with the multiboot command line (EBX + 16); exit 0.
printf '\xbe\x26\x00\x10\x00\xba\xf8\x03\x00\x00\xac\x84\xc0\x74\x03\xee\xeb\xf8\x8b\x73\x10\xac\x84\xc0\x74\x03\xee\xeb\xf8\x31\xc0\xba\xf4\x00\x00\x00\xef\xf4flat: \0' \
	>"$tmp/flat.bin"
run "$tmp/flat.bin" --flat 0x100000 --intercept none --append "fourth words"
expect_status 0
expect_equal "$out" "flat: fourth words"
run "$tmp/flat.bin"
expect_status 4
expect_err "flat.bin: not a guest image"
run "$tmp/flat.bin" --flat 0x100000 --intercept patch
expect_status 5
run "$tmp/flat.bin" --flat 0xfffff000 --intercept none
expect_status 4
expect_err "flat.bin: it loads at 0xfffff000 to 0xfffff02d"
for at in -1 0x100000000 1x "" here; do
	run "$tmp/flat.bin" --flat "$at"
	expect_status 2
	expect_err "--flat wants an address below 4 GiB (0x100000), not '$at'"
done
check "boot: bare code"

# ---- how a guest ends ----

for row in "0 0" "1 6" "2 6" "255 6"; do
	read -r value code <<<"$row"
	run "$hello" --append "exit=$value" -v
	expect_status "$code"
	expect_err "the guest ended with value $value"
	check "end: exit value $value"
done

for row in "0 1" "1 3" "5 11" "127 255"; do
	read -r value code <<<"$row"
	run "$hello" --exit-code=qemu --append "exit=$value"
	expect_status "$code"
	check "end: exit value $value in QEMU's way"
done

run "$hello" --append mode=triple
expect_status 6
expect_out "hello: triple fault"
expect_err "the guest crashed: triple fault at RIP 0x"
expect_err "code there: 0f 0b"
crash=$err
check "end: triple fault"

run "$hello" --append mode=ud
expect_status 6
expect_out "guest: vector 6 (#UD) at 0x"
check "end: an exception nobody catches"

run "$hello" --append mode=hang --timeout 0.3
expect_status 6
expect_err "the guest did not end within 0.3 s"
check "end: a guest that hangs"

run "$hello" --append "mode=hang hlt" --timeout 0.3
expect_status 6
expect_err "the guest did not end within 0.3 s"
check "end: a guest that halts for good"

run "$hello" --append mode=hang --timeout 1e-12
expect_status 6
check "end: the shortest timeout is one"

# ---- the same as JSON ----

run "$hello" --json --append "exit=3 loud"
expect_status 6
expect_json
expect_json_is end exit
expect_json_is value 3
expect_json_is exit 6
expect_err "hello: exit=3 loud"
check "json: exit; the serial port moves to standard error"

run "$hello" --json --append mode=triple
expect_status 6
expect_json
expect_json_is end crash
expect_json_is exit 6
rip=$(json "$out" rip)
[[ $crash == *"RIP $rip;"* ]] || problem "the text and the JSON differ about RIP ($rip)"
[[ $crash == *"code there: $(json "$out" code)"* ]] || problem "and about the code there"
check "json: crash"

run "$hello" --json --append mode=hang --timeout 0.2
expect_status 6
expect_json
expect_json_is end timeout
check "json: timeout"

run "$hello" --json --append "mode=counter delay=1" --snapshot-on-sync "$tmp/json.snap" --stop
expect_status 0
expect_json
expect_json_is end saved
expect_json_is saved "$tmp/json.snap"
check "json: saved"

run "$tmp/nothing" --json
expect_status 4
expect_json
expect_json_is error/file "$tmp/nothing"
expect_json_is error/message "No such file or directory"
expect_json_is error/exit 4
expect_equal "$err" "" "standard error"
check "json: an error"

run --no-such-option --json
expect_status 2
expect_json
expect_json_is error/exit 2
check "json: wrong usage"

# ---- the serial port ----

run "$guests/probe.elf"
expect_status 0
lines=$(wc -l <"$tmp/.out")
expect_equal "$("$minivmm" run -q "$guests/probe.elf" 2>/dev/null | (
	sleep 0.5
	wc -l
))" "$lines" "lines that a slow reader got"
check "serial port: nothing is lost on a slow reader"

start gone sh -c "exec \"\$0\" run -q '$hello' --append 'mode=counter delay=1000 ticks=3000' | head -1" "$minivmm"
ended gone
expect_out "counter: 1 none"
check "serial port: a reader that goes away"

# A reader that stops reading must not keep the VM from being paused and ended.
mkfifo "$tmp/fifo"
perl -e 'open F, "<", shift or die; fcntl F, 1031, 4096; sleep 600' "$tmp/fifo" &
reader=$!
"$minivmm" run -q "$hello" --name stuck --append "mode=counter ticks=1000000 delay=1" >"$tmp/fifo" 2>/dev/null &
pid=$!
wait_for "$minivmm" status stuck
sleep 1
ran timeout 60 "$minivmm" pause stuck
expect_status 0
ran timeout 60 "$minivmm" stop stuck
expect_status 0
wait_for sh -c "! kill -0 $pid"
kill "$reader"
wait "$reader" "$pid" 2>/dev/null
check "serial port: a reader that does not read"

# ---- memory ----

start big "$minivmm" run "$hello" --name big --append mode=hang
wait_for "$minivmm" status big
ran "$minivmm" status big --json
expect_status 0
expect_json_is memory $((64 << 20))
expect_json_is pid "$pid"
expect_json_is image "$hello"
"$minivmm" stop big
ended big
check "memory: 64 MiB unless told otherwise"

run "$hello" --memory 2M --append small
expect_status 0
expect_out "hello: small"
check "memory: 2 MiB are enough for a small guest"

if have_memory 4096; then
	run "$hello" --memory 3G --append "mode=fill from=3071 mib=3072"
	expect_status 0
	expect_out "fill: all there"
	check "memory: 3 GiB, up to the gap for devices"
	run "$hello" --memory 4G --append "mode=fill from=3064 mib=3080"
	expect_status 0
	expect_out "fill: all there"
	run "$hello" --memory 4G --append "mode=fill from=4095 mib=4096"
	expect_status 0
	expect_out "fill: all there"
	run "$hello" --memory 4G --append "mode=fill from=4095 mib=4097"
	expect_status 6
	expect_out "fill: page 0x140000000 is wrong"
	check "memory: 4 GiB, those beyond the third from 4 GiB on"
	echo "field phys-bits = 32" >"$tmp/narrow.mask"
	run "$hello" --memory 3073M --mask "$tmp/narrow.mask"
	expect_status 5
	expect_err "3073 MiB of guest memory: the physical addresses that the guest is shown have 32 bits (CPUID 0x80000008"
	run "$hello" --memory 3G --mask "$tmp/narrow.mask"
	expect_status 0
	check "memory: more than the guest's physical addresses reach"
else
	skip "memory: 3 GiB and more" "this machine has less than 4 GiB"
fi
run "$hello" --memory 2T
expect_status 2
expect_err "--memory 2T is out of range: 2M to 1T"
check "memory: more than there can be"

run "$hello" --append "$(printf '%4096s' x)"
expect_status 2
expect_err "a command line of 4096 bytes is more than 4095"
check "memory: a command line that does not fit"

# ---- signals ----

for row in "TERM 143" "INT 130" "HUP 129"; do
	read -r signal code <<<"$row"
	start victim "$minivmm" run "$hello" --name victim --append mode=hang
	wait_for "$minivmm" status victim
	kill -"$signal" "$pid"
	ended victim
	expect_status "$code"
	expect_err "the guest was stopped by signal $signal"
	expect_no_file "$XDG_RUNTIME_DIR/minivmm/victim.sock"
	check "signals: SIG$signal"
done

start victim "$minivmm" run "$hello" --json --name victim --append mode=hang
wait_for "$minivmm" status victim
kill -TERM "$pid"
ended victim
expect_status 143
expect_json_is end stopped
expect_json_is signal 15
check "signals: as JSON"

# nohup's shell has it ignored, and a script's those of a terminal.
start deaf sh -c 'trap "" HUP INT; exec "$@"' - "$minivmm" run "$hello" --name deaf --append mode=hang
wait_for "$minivmm" status deaf
kill -HUP "$pid"
kill -INT "$pid"
sleep 0.2
ran "$minivmm" status deaf
expect_status 0
kill -TERM "$pid"
ended deaf
expect_status 143
check "signals: those that are ignored when it starts remain so"

# ---- standard descriptors ----

# A disk that is opened first would be standard output.
head -c 1M /dev/zero >"$tmp/zeros"
for closed in 0 1 2 012; do
	cp "$tmp/zeros" "$tmp/disk.img"
	redirect=
	for ((i = 0; i < ${#closed}; i++)); do
		redirect+=" ${closed:i:1}>&-"
	done
	ran bash -c "exec \"\$@\" $redirect" - "$minivmm" run "$hello" --append "mode=triple" --disk "$tmp/disk.img"
	cmp -s "$tmp/disk.img" "$tmp/zeros" || problem "the guest's words are on its disk, without descriptors $closed"
done
check "standard descriptors: a closed one is nobody's else"
ran bash -c 'exec "$@" >&-' - "$minivmm" list --json
expect_status 1
expect_err "standard output: Bad file descriptor"
ran sh -c 'exec "$@" >/dev/full' - "$minivmm" run "$hello" --append "some words"
expect_status 1
expect_err "standard output: No space left on device; some of what the guest wrote is lost"
ran sh -c 'exec "$@" >/dev/full' - "$minivmm" run "$hello" --append "exit=3"
expect_status 6
check "standard descriptors: a result without an output is a failure"

# ---- names ----

start one "$minivmm" run "$hello" --name one --append mode=hang
wait_for "$minivmm" status one
run "$hello" --name one --append mode=echo
expect_status 1
expect_err "a VM named 'one' is running"
expect_no_out "hello:"
ran "$minivmm" status one
expect_status 0
check "names: two VMs can't have one"

kill -KILL "$pid"
wait "$pid" 2>/dev/null
[ -S "$XDG_RUNTIME_DIR/minivmm/one.sock" ] || problem "the test expected a stale socket"
ran "$minivmm" status one
expect_status 1
expect_err "no VM named 'one' is running"
run "$hello" --name one --append "again"
expect_status 0
expect_out "hello: again"
check "names: a stale socket is in nobody's way"

start one "$minivmm" run "$hello" --name one --append mode=hang
wait_for "$minivmm" status one
kill -KILL "$pid"
wait "$pid" 2>/dev/null
ran "$minivmm" list
expect_status 0
expect_equal "$out" "" "list"
expect_no_file "$XDG_RUNTIME_DIR/minivmm/one.sock"
check "names: list clears stale sockets"

start nameless "$minivmm" run "$hello" --append mode=hang
wait_for sh -c "'$minivmm' list | grep -q '^hello-$pid '"
"$minivmm" stop "hello-$pid"
ended nameless
expect_status 0
check "names: image and process id for want of another"

if [ "$(id -u)" = 0 ]; then
	# Where $XDG_RUNTIME_DIR says nothing, sockets are in /run/minivmm.
	name=minivmm-test-$$
	start $name env -u XDG_RUNTIME_DIR "$minivmm" run "$hello" --name $name --append mode=hang
	wait_for env -u XDG_RUNTIME_DIR "$minivmm" status $name
	expect_equal "$(stat -c '%F %a %U' /run/minivmm /run/minivmm/$name.sock)" "directory 700 root
socket 600 root" "folder and socket"
	env -u XDG_RUNTIME_DIR "$minivmm" stop $name
	ended $name
	expect_no_file /run/minivmm/$name.sock
	check "names: /run/minivmm without a runtime folder"
else
	skip "names: /run/minivmm without a runtime folder" "not root"
fi

# ---- list, status, pause, resume, stop ----

start ctl "$minivmm" run "$hello" --name ctl --append "mode=counter ticks=1000000 delay=100000"
start_pid=$pid
start other "$minivmm" run "$hello" --name other --append mode=hang
wait_for "$minivmm" status ctl
wait_for "$minivmm" status other
ran "$minivmm" list
expect_status 0
expect_out NAME
expect_out "ctl "
expect_out "other "
ran "$minivmm" list --json
expect_json_is "" 2
"$minivmm" stop other
ended other
expect_status 0
pid=$start_pid

ran "$minivmm" status ctl
expect_out "state      running"
ran "$minivmm" pause ctl
expect_status 0
ran "$minivmm" status ctl --json
expect_json_is state paused
size=$(stat -c %s "$tmp/ctl.out")
sleep 0.2
expect_equal "$(stat -c %s "$tmp/ctl.out")" "$size" "output of a paused guest"
ran "$minivmm" pause ctl
expect_status 0
ran "$minivmm" resume ctl
expect_status 0
expect_grows "$tmp/ctl.out" "$size"
ran "$minivmm" stop ctl
expect_status 0
ended ctl
expect_status 0
expect_err "the guest was stopped"
expect_no_file "$XDG_RUNTIME_DIR/minivmm/ctl.sock"
check "control: list, status, pause, resume, stop"

for command in status pause resume stop; do
	ran "$minivmm" "$command" nobody
	expect_status 1
	expect_err "no VM named 'nobody' is running"
done
ran "$minivmm" snapshot nobody "$tmp/x"
expect_status 1
expect_no_file "$tmp/x"
ran "$minivmm" status ..
expect_status 2
expect_err "'..' can't be a VM's name"
check "control: a VM that is not there"

# One that does not answer does not hide the others.
start other "$minivmm" run "$hello" --name other --append mode=hang
other_pid=$pid
start stuck "$minivmm" run "$hello" --name stuck --append mode=hang
wait_for "$minivmm" status other
wait_for "$minivmm" status stuck
kill -STOP "$pid"
ran timeout 30 "$minivmm" list --json
expect_status 0
expect_equal "$(json "$out" "")" 2 "VMs"
ran timeout 30 "$minivmm" list
grep -q '^other *running' <<<"$out" || problem "the other one is missing: $out"
grep -q '^stuck *silent' <<<"$out" || problem "the one that is stopped is not told: $out"
kill -CONT "$pid"
"$minivmm" stop stuck
ended stuck
pid=$other_pid
"$minivmm" stop other
ended other
check "control: a VM that does not answer"

# A copy of one that runs has its name, unless it is given another; that it can't be reached is told.
start same "$minivmm" run "$hello" --name same --append "mode=counter ticks=1000000 delay=100000"
wait_for "$minivmm" status same
ran "$minivmm" snapshot same "$tmp/same.snap"
expect_status 0
ran "$minivmm" restore "$tmp/same.snap" --timeout 0.3
expect_status 6
expect_err "a VM named 'same' is running: this VM has no control socket"
expect_err "hint: --name gives this one another"
ran "$minivmm" restore "$tmp/same.snap" --timeout 0.3 --name another
expect_no_err "control socket"
"$minivmm" stop same
ended same
check "control: a VM without a socket says so"

# 1: inc %ebx; mov %ebx, 0xff000ffe; mov 0xff000ffe, %eax; cmp %ebx, %eax; je 1b; exit 1: over two pages of a device.
printf '\x43\x89\x1d\xfe\x0f\x00\xff\xa1\xfe\x0f\x00\xff\x39\xd8\x74\xf0\xb0\x01\xe6\xf4\xf4' >"$tmp/halves.bin"
start halves "$minivmm" run "$tmp/halves.bin" --flat 0x100000 --intercept none --testdev --name halves
wait_for "$minivmm" status halves
for ((i = 0; i < 100; i++)); do
	"$minivmm" pause halves && "$minivmm" resume halves || break
done 2>/dev/null
expect_equal "$i" 100 "pauses that it came through"
"$minivmm" stop halves 2>/dev/null
ended halves
expect_status 0
check "control: a pause leaves no access half done"

# What ends a VM is over when it says so: its name and its disk are free.
head -c 1M /dev/zero >"$tmp/disk.img"
for i in 1 2 3; do
	start again "$minivmm" run "$hello" --name again --disk "$tmp/disk.img" --append "mode=counter ticks=1000000 delay=100000"
	wait_for "$minivmm" status again
	ran "$minivmm" stop again
	expect_status 0
	run "$hello" -q --name again --disk "$tmp/disk.img"
	expect_status 0
	ended again
	start again "$minivmm" run "$hello" --name again --disk "$tmp/disk.img" --append "mode=counter ticks=1000000 delay=100000"
	wait_for "$minivmm" status again
	ran "$minivmm" snapshot again "$tmp/again.snap" --stop
	expect_status 0
	run "$hello" -q --name again --disk "$tmp/disk.img"
	expect_status 0
	ended again
done
check "control: a VM that was stopped is gone"

cp "$tmp/zeros" "$tmp/disk.img"
ln -sf disk.img "$tmp/link"
start again "$minivmm" run "$hello" --name again --disk "$tmp/disk.img" --append "mode=counter ticks=1000000 delay=100000"
wait_for "$minivmm" status again
for path in "$tmp/disk.img" "$tmp/link"; do
	ran "$minivmm" snapshot again "$path"
	expect_status 1
	expect_err "$path: this is a disk of the VM's"
done
"$minivmm" stop again
ended again
cmp "$tmp/disk.img" "$tmp/zeros" || problem "the disk is another"
check "control: a snapshot is not written over the VM's disk"

# A name of a file can be any bytes.
cp "$hello" "$tmp/"$'any\xff bytes.elf'
start bytes "$minivmm" run "$tmp/"$'any\xff bytes.elf' --append mode=hang
wait_for sh -c "'$minivmm' list | grep -q '^any__bytes-$pid '"
ran "$minivmm" status "any__bytes-$pid"
expect_status 0
expect_out "any? bytes.elf"
ran "$minivmm" list --json
iconv -f UTF-8 <"$tmp/.out" >/dev/null || problem "the list is no UTF-8"
ran "$minivmm" snapshot "any__bytes-$pid" "$tmp/"$'\xff.snap'
expect_status 2
expect_err "a name that is not UTF-8 can't be told to a VM"
ran "$minivmm" stop "any__bytes-$pid"
expect_status 0
ended bytes
check "control: names that are no UTF-8"

# Requests come in JSON lines; nonsense is answered, and silence locks nobody out.
start ctl "$minivmm" run "$hello" --name ctl --append mode=hang
wait_for "$minivmm" status ctl
replies=$(perl -MIO::Socket::UNIX -e '
	my ($path, @s) = shift;
	push @s, IO::Socket::UNIX->new(Peer => $path) for 1 .. 12;
	for my $r ("[1]", "no json", "{\"command\":\"dance\"}", "{\"command\":7}", "{}",
		   "{\"command\":\"snapshot\"}", "{\"command\":\"snapshot\",\"file\":\"here\"}",
		   "x" x 9000) {
		my $s = IO::Socket::UNIX->new(Peer => $path);
		syswrite $s, "$r\n";
		print scalar <$s>;
	}
	my $s = IO::Socket::UNIX->new(Peer => $path);
	$s->print("{\"comm");
	$s->flush;
	select undef, undef, undef, 0.1;
	$s->print("and\":\"pause\"}\n");
	print scalar <$s>;
' "$XDG_RUNTIME_DIR/minivmm/ctl.sock")
expect_equal "$replies" '{"error":"the request is not a JSON object"}
{"error":"the request is not a JSON object"}
{"error":"unknown command"}
{"error":"unknown command"}
{"error":"unknown command"}
{"error":"an absolute file name is needed"}
{"error":"an absolute file name is needed"}
{"error":"the request is too long"}
{"ok":true}'
ran timeout 60 "$minivmm" stop ctl
expect_status 0
ended ctl
check "control: requests by hand"

# ---- snapshots of a running VM ----

# It counts for ever: how far it gets before somebody saves it is not for a test to know.
nonce=n$RANDOM$RANDOM
start count "$minivmm" run "$hello" --name count --append "mode=counter ticks=100000000 delay=1000000 nonce=$nonce"
wait_for grep -q "counter: 20 " "$tmp/count.out"
cd "$tmp" || exit 1
ran "$minivmm" snapshot count going.snap
expect_status 0
expect_err "count saved to going.snap"
expect_equal "$(stat -c %a going.snap)" 600 "mode of the file"
# The last line may be half there yet.
before=$(sed '$d' count.out | counted | awk '{ print $NF }')
wait_for sh -c "[ \$(grep -c counter: '$tmp/count.out') -gt $((before + 3)) ]"
ran "$minivmm" snapshot count "$tmp/stopped.snap" --stop --json
expect_status 0
expect_json
ended count
expect_status 0
expect_err "saved to $tmp/stopped.snap"
check "snapshot of a running VM: with and without --stop"

run_on() { # NAME FILE: until it has said some more
	start "$1" "$minivmm" restore "$2" --name "$1"
	wait_for sh -c "[ \$(grep -c counter: '$tmp/$1.out') -gt 20 ]"
	ran "$minivmm" stop "$1"
	expect_status 0
	ended "$1"
	expect_status 0
}
run_on more stopped.snap
# Where it was stopped the last line may be cut off.
lines=$(cat count.out more.out | sed '$d' | wc -l)
expect_equal "$(cat count.out more.out | sed '$d' | counted)" "1 $lines" "first number and last, of $lines lines"
[ "$lines" -gt $((before + 20)) ] || problem "it did not go on"
check "snapshot of a running VM: the restored guest goes on where it was stopped"

run_on again going.snap
read -r first last <<<"$(sed '$d' again.out | counted)"
[ "$last" -ge $((first + 18)) ] || problem "it did not go on: from $first to $last"
if [ "$first" -le 1 ] || [ "$first" -gt $((before + 2)) ]; then
	problem "it went on at $first, $before was printed"
fi
check "snapshot of a running VM: and so does the one saved while it went on"

# ---- what KVM is asked ----

if ! command -v strace >/dev/null; then
	skip "one GET_SUPPORTED_CPUID" "strace is not installed"
elif ! strace -f -o "$tmp/trace" true 2>/dev/null; then
	skip "one GET_SUPPORTED_CPUID" "strace can't trace here"
else
	# What it said is kept with the proof; a later run does not ask at all.
	for row in "first 1" "later 0"; do
		read -r when calls <<<"$row"
		[ $when = later ] || rm -rf "$XDG_RUNTIME_DIR/minivmm"
		ran env ASAN_OPTIONS=detect_leaks=0 strace -f -e trace=ioctl -o "$tmp/trace" "$minivmm" run "$hello"
		expect_status 0
		expect_equal "$(grep -c 'KVM_GET_SUPPORTED_CPUID.*[^>]$' "$tmp/trace")" $calls "calls"
		check "one GET_SUPPORTED_CPUID: $when run"
	done
fi
