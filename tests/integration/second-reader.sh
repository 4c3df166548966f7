#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# second-reader.sh BUILD: a reader written from docs/stream-format.md alone says of every snapshot what
# `minivmm inspect` says; files of released versions stay readable.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
reader=$top/tests/reader

/usr/bin/python3 -c 'import xxhash, zstandard' 2>/dev/null || {
	skip "second reader" "python3-xxhash and python3-zstandard are not installed"
	exit 0
}

both() { # FILE: what both readers say of it, compared; inspect's is left in $tmp/inspect
	ran "$minivmm" inspect --json "$1"
	expect_status 0
	cp "$tmp/.out" "$tmp/inspect"
	ran /usr/bin/python3 "$reader/snapshot.py" "$1"
	expect_status 0
	cp "$tmp/.out" "$tmp/reader"
	ran /usr/bin/python3 "$reader/compare.py" "$tmp/inspect" "$tmp/reader"
	expect_status 0
}

for golden in "$top"/tests/data/golden/*.snap; do
	both "$golden"
	ran /usr/bin/python3 "$reader/contains.py" "${golden%.snap}.json" "$tmp/inspect"
	expect_status 0
	[ "$(stat -c %s "$golden")" -le 131072 ] || problem "it is larger than 128 KiB"
	check "golden file ${golden##*/}: read as ever, and alike by both readers"
done

# A VM that came from a host where it was given something else. KHZ CAPS: into a file.
given() {
	/usr/bin/python3 "$reader/given.py" "$golden" "$tmp/given.snap" "$@" || problem "given.py failed"
}
given 1234567 0x8000000000000021
both "$tmp/given.snap"
grep -q '"tsc-khz": *1234567,' "$tmp/inspect" && grep -q '"0x8000000000000021"' "$tmp/inspect" ||
	problem "it is not there"
# shellcheck disable=SC2046
given $(/usr/bin/python3 -c 'import json, sys
host = json.load(sys.stdin)["source"]
print(host["tsc-khz"], host["msrs"].get("0x10a", "0x0"))' <"$tmp/inspect")
ran "$minivmm" inspect "$tmp/given.snap"
expect_status 4
expect_err "record GIVEN at byte 0x"
expect_err "that is what the source has"
ran /usr/bin/python3 "$reader/snapshot.py" "$tmp/given.snap"
expect_status 1
check "second reader: what a guest that moved was given; not if it says nothing"

# A reader that believes everything is no use.
cp "$golden" "$tmp/bad.snap"
printf '\377' | dd of="$tmp/bad.snap" bs=1 seek=5000 conv=notrunc status=none
ran /usr/bin/python3 "$reader/snapshot.py" "$tmp/bad.snap"
expect_status 1
ran "$minivmm" inspect "$tmp/bad.snap"
expect_status 4
check "second reader: both refuse a damaged file"

ran /usr/bin/python3 "$reader/agree.py" "$minivmm" "$top"/tests/data/golden/*.snap
expect_status 0
check "second reader: both take and refuse the same of what was changed under correct checksums"

[ "$(wc -l <"$reader/snapshot.py")" -le 152 ] || problem "it is longer"
check "second reader: 152 lines suffice"

have_kvm || {
	skip "second reader: a running guest's state" "no /dev/kvm"
	exit 0
}
ran "$minivmm" run -q "$guests/torture.elf" --cpus 2 --append "cpus=2 cycles=1" \
	--snapshot-on-sync "$tmp/torture.snap" --stop
expect_status 0
both "$tmp/torture.snap"
expect_equal "$(json "$(cat "$tmp/inspect")" state/vcpus)" 2 "vCPUs"
check "second reader: the state of a guest that uses all of it"
