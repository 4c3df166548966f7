#!/bin/bash
# SPDX-License-Identifier: MIT
# check.sh BUILD [here|lab]: kvm-unit-tests' x86 images, from the folder that $KUT names, against
# tests/data/kut/results.tsv: on this machine's KVM, or (lab) in an emulated AMD host. Prints test lines
# (tests/lib.sh). The images are built from upstream, outside of this tree: docs/conformance.md.
# shellcheck shell=bash disable=SC2034,SC2154
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../integration/helpers.sh"
cd "$top" || exit 1
where=${2:-here}
list=tests/data/kut/tests.tsv

if [ -z "${KUT:-}" ] || ! [ -f "$KUT/vmexit.flat" ]; then
	echo "skip kvm-unit-tests: KUT names no folder with its x86 images (docs/conformance.md)"
	exit 0
fi

# Column of results.tsv: what is expected here. Elsewhere than where it was measured only passes are.
if [ "$where" = lab ]; then
	column=lab
elif [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
	echo "skip kvm-unit-tests: no /dev/kvm"
	exit 0
elif [ "$(json "$("$minivmm" host --json 2>/dev/null)" cpl0-interpreted)" = true ]; then
	column=interpreted
else
	column=other
fi

expected() { # TEST
	awk -F'\t' -v t="$1" -v c="$column" '
		/^# test/ { for (i = 1; i <= NF; i++) at[$i] = i }
		$1 == t { v = $at[c == "other" ? "lab" : c]; print c == "other" && v != "PASS" ? "-" : v }
	' tests/data/kut/results.tsv
}

# A test that is not expected to end only takes time.
wanted=()
while IFS=$'\t' read -r name _; do
	case $name in '#'* | '') continue ;; esac
	case $(expected "$name") in - | TIMEOUT | SLOW | '') [ -n "${KUT_ALL:-}" ] || continue ;; esac
	wanted+=("$name")
done <$list

if [ "$where" = lab ]; then
	tests/lab/job.sh "$build" "$tmp/job"
	mkdir "$tmp/job/kut"
	cp "$KUT"/*.flat "$tmp/job/kut/"
	cp tests/kut/run.sh $list "$tmp/job/"
	mv "$tmp/job/run.sh" "$tmp/job/kut-run.sh"
	echo "sh ./kut-run.sh kut tests.tsv out/results ./minivmm ${wanted[*]}" >"$tmp/job/run.sh"
	if ! tests/lab/lab run epyc --job "$tmp/job" --out "$tmp" --timeout 3600 >"$tmp/console" 2>&1; then
		echo "not ok kvm-unit-tests: $(tail -1 "$tmp/console")"
		exit 0
	fi
else
	options=
	[ $column != interpreted ] || options="--intercept none"
	KUT_OPTIONS=$options TMPDIR=$tmp tests/kut/run.sh "$KUT" $list "$tmp/results" "$minivmm" "${wanted[@]}"
fi

while IFS=$'\t' read -r name result _ detail; do
	command_line=$name
	printf '%s\n' "$detail" >"$tmp/.out"
	: >"$tmp/.err"
	want=$(expected "$name")
	[ "$want" = - ] || [ "$want" = SLOW ] || expect_equal "$result" "$want" "$detail"
	check "kvm-unit-tests $column: $name"
done <"$tmp/results"
[ -s "$tmp/results" ] || echo "not ok kvm-unit-tests: nothing was run"
