#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC1091,SC2154
# devices.sh BUILD: disks and random bytes without a Linux (that is tests/lab/test-disk.sh): images and
# their locks, saving, moving, and a guest that accesses whatever there is at random. FUZZ_SEEDS and
# FUZZ_COUNT make that longer: make fuzz-devices.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

run() {
	ran "$minivmm" run "$@"
}

# ---- bad input: told before KVM is asked ----

hello=$guests/hello.elf
cd "$tmp" || exit 1
truncate -s 64K good.img
: >empty.img
truncate -s 1000 odd.img
mkfifo fifo.img
for row in "nothing.img:4:nothing.img: No such file or directory" ".:4:.: " \
	"empty.img:4:empty.img: the disk image is empty" \
	"odd.img:4:odd.img: the disk image is not a whole number of 512-byte sectors: is it raw?" \
	"fifo.img:4:fifo.img: a disk image has to be a regular file or a block device" ",ro:2:its path is empty or too long" \
	"$(printf '%01100d' 0):2:its path is empty or too long"; do
	IFS=: read -r file code message <<<"$row"
	run "$hello" --disk "$file"
	expect_status "$code"
	expect_err "$message"
	check "bad input: --disk: $message"
done
run "$hello" --disk good.img --disk good.img
expect_status 1
expect_err "good.img: the disk image is in use"
check "bad input: --disk twice"
# shellcheck disable=SC2046
run "$hello" $(printf -- '--disk good.img,ro %.0s' 1 2 3 4 5 6 7 8)
expect_status 2
expect_err "more than 7 disks"
check "bad input: --disk eight times"

need_kvm disk "snapshot with a disk" "moving with a disk" "random accesses" "64-bit code" || exit 0

run "$hello" --guest-os linux32
expect_status 3
expect_err "hello.elf: it is 64-bit code, and the guest has no long mode: LM is hidden by linux32.mask:"
check "64-bit code: refused under a mask without long mode"

why=$(guest32 io-guest.c io.elf) || {
	skip devices "$why"
	exit 0
}
key=$(($(od -An -N4 -tu4 /dev/urandom) % 1000000000))
words="mode=disk key=$key"
# Nothing here is about CPUID.
io() {
	run io.elf -q --intercept none --timeout 60 "$@"
}

# What the image is to hold after a lap.
expect_image() { # FILE LAP
	perl -e '
		my ($key, $lap) = @ARGV;
		print pack("V", $key ^ ($_ + $lap * 64) * 2654435761 % 2**32) x 128 for 0 .. 63;
	' "$key" "$2" | cmp -s - "$1" || problem "$1 is not what the guest wrote"
}

# ---- a disk ----

for seven in "" yes; do
	rm -f d.img
	truncate -s 32K d.img
	io --append "$words laps=1" --disk d.img ${seven:+$(printf -- '--disk good.img,ro %.0s' 1 2 3 4 5 6) --rng}
	expect_status 0
	expect_out "disk: good"
	expect_image d.img 1
	check "disk: written and read back${seven:+, one of seven}"
done
io --append "$words laps=1" --disk good.img,ro
expect_status 6
expect_out "disk: bad"
cmp -s -n 65536 good.img /dev/zero || problem "a read-only image was written to"
check "disk: read-only"
run "$hello" --disk d.img
expect_status 0
check "disk: nothing stays locked"

start holder "$minivmm" run "$hello" -q --append mode=hang --disk good.img,ro --name holder
wait_for "$minivmm" status holder
run "$hello" --disk good.img,ro
expect_status 0
run "$hello" --disk good.img
expect_status 1
expect_err "good.img: the disk image is in use (locked by another program)"
"$minivmm" stop holder
ended holder
check "disk: readers share it, and keep writers out"

# ---- saved ----

rm -f d.img
truncate -s 32K d.img
io --append "$words laps=3" --disk d.img --snapshot-on-sync s.snap --stop
expect_status 0
cp d.img then.img
ran "$minivmm" inspect s.snap
expect_out "$tmp/d.img, 32 KiB"
ran "$minivmm" inspect s.snap --json
expect_json_is disks 1
expect_json_is disks/0/path "$tmp/d.img"
expect_json_is disks/0/size 32768
ran "$minivmm" restore s.snap -q
expect_status 0
expect_out "disk: good"
expect_image d.img 3
check "snapshot: goes on with the disk as it was"
ran "$minivmm" restore s.snap -q
expect_status 3
expect_err "d.img: the disk image is not what it was when the VM was saved"
expect_err "keep a copy of it with the snapshot"
check "snapshot: not with a disk that changed"
printf 'x' | dd of=then.img bs=1 seek=32000 conv=notrunc 2>/dev/null
ran "$minivmm" restore s.snap -q --disk d.img=then.img
expect_status 3
check "snapshot: not with one other byte"
printf '\0' | dd of=then.img bs=1 seek=32000 conv=notrunc 2>/dev/null
cp --sparse=always then.img sparse.img
ran "$minivmm" restore s.snap -q --disk "$tmp/d.img=sparse.img"
expect_status 0
expect_image sparse.img 3
check "snapshot: with a copy, sparse, elsewhere"
truncate -s 64K then.img
ran "$minivmm" restore s.snap -q --disk d.img=then.img
expect_status 3
expect_err "then.img: the disk image has 65536 bytes; the VM's had 32768"
mv d.img gone.img
ran "$minivmm" restore s.snap -q
expect_status 4
expect_err "d.img: No such file or directory"
ran "$minivmm" restore s.snap -q --disk other.img=then.img
expect_status 2
expect_err "the VM has no disk 'other.img'"
ran "$minivmm" restore s.snap -q --disk then.img
expect_status 2
expect_err "it takes OLD=NEW here"
check "snapshot: not with one that is larger, missing, or not its own"

# What the disk holds is read while the guest goes on writing to it; what it wrote meanwhile counts.
rm -f d.img
truncate -s 32K d.img
mkfifo input
head -c 64M /dev/zero | tr '\0' x >long.img	# long enough for some laps, after the other one was read
start writer "$minivmm" run io.elf -q --intercept none --timeout 60 --append "$words" --disk d.img --disk long.img,ro \
	--name writer
wait_for grep -q "lap 8" writer.out
ran "$minivmm" snapshot writer busy.snap
expect_status 0
ran "$minivmm" snapshot writer busy.snap --stop
expect_status 0
ended writer
rm writer.out	# of the guest before it
"$minivmm" restore busy.snap -q --timeout 60 <>input >writer.out 2>writer.err &
pid=$!
wait_for grep -q lap writer.out
printf q 1<>input
ended writer
expect_status 0
expect_out "disk: good, laps"
expect_image d.img "$(sed -n 's/.*good, laps //p' writer.out | tr -d '\r')"
check "snapshot: of a guest that writes to its disk all the while"

# ---- moved ----

mover() { # [OPTIONS]: a guest that writes until told to end, and a receiver with these options
	rm -f d.img keys source.out target.out target.err
	truncate -s 32K d.img
	mkfifo keys
	start source "$minivmm" run io.elf -q --intercept none --timeout 60 --append "$words" --disk d.img --name mover
	source_pid=$pid
	wait_for grep -q "lap 8" source.out
	"$minivmm" receive unix:sock --intercept none "$@" <>keys >target.out 2>target.err &
	pid=$!
	wait_for grep -q listening target.err
}

# So slowly that it goes on writing to what was sent already.
mover
# … and with time to stop: a fast guest writes more than 100 KiB in a third of a second.
ran "$minivmm" migrate mover unix:sock --bandwidth 100K --downtime-ms 3000
expect_status 0
wait "$source_pid"
expect_equal $? 0 "the source's exit status"
run "$hello" --disk d.img
expect_status 1
expect_err "d.img: the disk image is in use"
printf q 1<>keys
ended target
expect_status 0
expect_out "disk: good, laps"
expect_image d.img "$(sed -n 's/.*good, laps //p' target.out | tr -d '\r')"
check "moving: the disk, and what it wrote into memory, go along; its lock, too"

# A copy is not the disk: neither one that nobody uses, nor one that another VM has locked, nor one that some
# program locked as a whole, and with it the place that the source chose.
for holder in "" "another VM" "another program"; do
	cp d.img copy.img
	mover --disk d.img=copy.img
	mover_pid=$pid holder_pid=
	if [ "$holder" = "another VM" ]; then
		start holder "$minivmm" run "$hello" -q --append mode=hang --disk copy.img --name holder
		holder_pid=$pid
		wait_for "$minivmm" status holder
	elif [ -n "$holder" ]; then
		rm -f locked
		# shellcheck disable=SC2016
		start locker perl -e 'use Fcntl; open F, "+<", "copy.img"; my $whole = pack "s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0;
			fcntl(F, F_SETLK, $whole) && open(L, ">", "locked") && sleep 600'
		holder_pid=$pid
		wait_for test -e locked
	fi
	pid=$mover_pid
	ran "$minivmm" migrate mover unix:sock
	expect_status 1
	expect_err "this is not the disk that the source uses"
	ended target
	expect_status 5
	run "$hello" --disk d.img
	expect_status 1
	"$minivmm" status mover >status || problem "the source is gone"
	"$minivmm" stop mover >status
	wait "$source_pid"
	if [ -n "$holder_pid" ]; then
		kill "$holder_pid"
		wait "$holder_pid"
	fi
	check "moving: not to a copy of the disk${holder:+ that $holder uses}; the source goes on, and has its lock"
done

# GO gets lost: the source is halted without its lock, and who has it decides what resume does.
mover
python3 "$top/tests/integration/migrate_proxy.py" cut sock source GO >proxy 2>&1 &
proxy_pid=$!
wait_for grep -q listening proxy
ran "$minivmm" migrate mover unix:cut --bandwidth 100K --downtime-ms 3000
expect_status 1
expect_err "may be running at"
ended target
expect_status 1
wait "$proxy_pid"
laps=$(wc -c <source.out)
start holder "$minivmm" run "$hello" -q --append mode=hang --disk d.img --name holder
wait_for "$minivmm" status holder
ran "$minivmm" resume mover
expect_status 1
expect_err "$tmp/d.img: the disk image is in use"
ran "$minivmm" status mover
expect_out paused
expect_equal "$(wc -c <source.out)" "$laps" "bytes of the halted guest's output"
"$minivmm" stop holder >status
wait "$pid"
ran "$minivmm" resume mover
expect_status 0
expect_grows source.out "$laps"
run "$hello" --disk d.img
expect_status 1
expect_err "d.img: the disk image is in use"
"$minivmm" stop mover >status
wait "$source_pid"
check "moving: unconfirmed, resume waits until nobody else has the disk, and takes its lock again"

# ---- whatever comes ----

truncate -s 64K rw.img ro.img
seeds=${FUZZ_SEEDS:-2} count=${FUZZ_COUNT:-400}
for ((seed = 1; seed <= seeds; seed++)); do
	rm -f rw.img
	truncate -s 64K rw.img
	ran "$minivmm" run io.elf --intercept none --timeout 600 --disk rw.img --disk ro.img,ro --rng \
		--append "mode=fuzz seed=$((seed + ${FUZZ_FROM:-0})) count=$count devices=3"
	expect_status 0
	expect_out "fuzz: done"
	grep -qE 'ERROR: AddressSanitizer|runtime error' <<<"$err" && problem "seed $seed: a sanitizer's report"
done
expect_err "needs a reset: the guest gave it"
check "random accesses: $seeds times $count, and the guest comes to its end"
