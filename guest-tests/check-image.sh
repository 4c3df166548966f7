#!/bin/sh
# SPDX-License-Identifier: MIT
# check-image.sh IMAGE...: what the notes of a guest image promise must be true.
#   - every 0F A2 pair in an executable segment is listed in the MV_NOTE_CPUID note, and
#     nothing else is;
#   - no segment is writable and executable;
#   - the multiboot header is in the first 8 KiB.
set -eu
export LC_ALL=C

fail() {
	echo "$image: $*" >&2
	exit 1
}

# Prints "offset address size" of the executable segments, in decimal.
exec_segments() {
	readelf -lW "$1" | awk '$1 == "LOAD" && /E/ { print $2, $3, $5 }' |
	while read -r off addr size; do
		echo $((off)) $((addr)) $((size))
	done
}

pairs() {
	exec_segments "$1" | while read -r off addr size; do
		tail -c +$((off + 1)) "$1" | head -c "$size" | grep -obUaP '\x0f\xa2' |
		while IFS=: read -r at _; do
			printf '%x\n' $((addr + at))
		done
	done | sort
}

sites() {
	readelf -lW "$1" | awk '$1 == "NOTE" { print $2, $5 }' |
	while read -r off size; do
		tail -c +$((off + 1)) "$1" | head -c $((size)) | od -An -v -tu1
	done | awk '
		function u32(o) { return b[o] + 256 * (b[o + 1] + 256 * (b[o + 2] + 256 * b[o + 3])) }
		function up4(v) { return int((v + 3) / 4) * 4 }
		{ for (i = 1; i <= NF; i++) b[n++] = $i }
		END {
			for (o = 0; o + 12 <= n; o = d + up4(u32(o + 4))) {
				owner = ""
				for (i = 0; i < u32(o) - 1; i++)
					owner = owner sprintf("%c", b[o + 12 + i])
				d = o + 12 + up4(u32(o))
				if (owner == "minivmm" && u32(o + 8) == 2)
					for (i = 0; i < u32(o + 4); i += 8)
						printf "%x\n", u32(d + i)
			}
		}' | sort
}

for image; do
	readelf -lW "$image" | grep -q 'LOAD.* .WE' && fail "a segment is writable and executable"
	head -c 8192 "$image" | grep -qUaP '\x02\xb0\xad\x1b' || fail "no multiboot header"
	found=$(pairs "$image")
	listed=$(sites "$image")
	# shellcheck disable=SC2086 # on one line
	[ "$found" = "$listed" ] || fail "CPUID opcodes at" $found "but the note lists" $listed
done
