#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# restore-memory.sh BUILD: how memory gets from a snapshot into a guest, and that damage does not.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

have_kvm || {
	skip "restore: memory" "no /dev/kvm"
	exit 0
}
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
expect_out "fill: all there"
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
