#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh IMAGES LIST OUT MINIVMM [NAME…]: run kvm-unit-tests' x86 images by LIST (tests/data/kut/tests.tsv)
# and write OUT: test, result, seconds, last line of its own. Plain sh: it runs in lab hosts, too.
#
# An image learns CPU count and memory from a multiboot module, in place of QEMU's fw_cfg. It says how it
# ended through the exit port, s, which --exit-code qemu makes (s << 1) | 1.
set -u
images=$1 list=$2 out=$3 minivmm=$4
shift 4
tab=$(printf '\t')
tmp=${TMPDIR:-/tmp}/kut.$$
mkdir -p "$tmp" || exit 1
trap 'rm -rf "$tmp"' EXIT

verdict() { # STATUS: a word for it
	case $1 in
	1) if grep -q 'can.t be used\|^minivmm: KVM_' "$tmp/err"; then echo FAILED; else echo PASS; fi ;;
	3) echo FAIL ;;
	77) echo SKIP ;;
	127) echo ABORT ;;
	6) if grep -q 'did not end within' "$tmp/err"; then echo TIMEOUT
	   elif grep -q "can't emulate\|internal error" "$tmp/err"; then echo KVMERR
	   else echo RESET; fi ;;
	*) echo "STATUS-$1" ;;
	esac
}

: >"$out"
while IFS=$tab read -r name file cpus memory args features seconds _; do
	case $name in '' | '#'*) continue ;; esac
	if [ $# -gt 0 ]; then
		case " $* " in *" $name "*) ;; *) continue ;; esac
	fi
	[ -f "$images/$file" ] || { printf '%s\tNOIMAGE\t0\t-\n' "$name" >>"$out"; continue; }
	[ "$args" != - ] || args=
	[ "$features" != - ] || features=
	# The first word of a multiboot command line is the image's name, by QEMU's and GRUB's custom.
	args=$(echo "$file $args" | sed "s/NOW/$(date +%s)/")
	printf 'NR_CPUS=%s\nMEMSIZE=%s\nTEST_DEVICE=1\n' "$cpus" "$memory" >"$tmp/env"
	echo "$features" | tr ';' '\n' >"$tmp/mask"
	begin=$(cut -d' ' -f1 /proc/uptime)
	# shellcheck disable=SC2086 # options
	$minivmm run "$images/$file" --testdev --exit-code qemu --memory "${memory}M" --cpus "$cpus" --guest-os linux64 \
		--mask "$tmp/mask" --initrd "$tmp/env" --append "$args" --timeout "${KUT_TIMEOUT:-$seconds}" \
		${KUT_OPTIONS:-} >"$tmp/out" 2>"$tmp/err" </dev/null
	status=$?
	end=$(cut -d' ' -f1 /proc/uptime)
	last=$(tr -d '\r\000' <"$tmp/out" | sed -n 's/^SUMMARY: //p' | tail -n 1)
	[ -n "$last" ] || last=$(tail -n 1 "$tmp/err" | tr '\t' ' ')
	printf '%s\t%s\t%s\t%s\n' "$name" "$(verdict $status)" \
		"$(echo "$begin $end" | awk '{ printf "%.1f", $2 - $1 }')" "${last:--}" >>"$out"
	[ -z "${KUT_LOGS:-}" ] || { cat "$tmp/out" "$tmp/err" >"$KUT_LOGS/$name.log"; }
done <"$list"
