#!/bin/bash
# SPDX-License-Identifier: MIT
# predict-mutants.sh BUILD [KIND:FEATURE…]: does the record of measurements notice a wrong cell in the
# enforcement column? Each cell named (all that it decides, if none is) is turned over in a copy of the
# table, and predictions made with that must not be as measured. Prints test lines (tests/lib.sh).
# shellcheck shell=bash disable=SC1091,SC2154
. "$(dirname "$0")/../lib.sh"
cd "$top" || exit 1
shift

read -r cc flags <"$build/.flags"
mkdir "$tmp/cpuid"
cp cpuid/*.h cpuid/*.def cpuid/feature.c "$tmp/cpuid/"
libs=$(make -s --no-print-directory OUT="$build" print-VMM_LIBS)

# The program with another table: nothing else of it has to be compiled again.
turn_over() { # KIND FEATURE WITH
	local column=9

	[ "$1" = vmx ] || column=10
	awk -v id="$2" -v c="$column" -v with=" $3" -F, -v OFS=, '
		$1 == "MV_FEATURE(" id { $c = with; n++ } { print }
		END { exit n != 1 }' cpuid/features.def >"$tmp/cpuid/features.def" || return
	# shellcheck disable=SC2086 # lists of words
	"$cc" $flags -w -I"$tmp/cpuid" -c "$tmp/cpuid/feature.c" -o "$tmp/feature.o" &&
		"$cc" $flags -o "$tmp/minivmm" "$tmp/feature.o" "$build"/vmm/cli/*.o "$build"/libmv-vmm.a \
			"$build"/libmv-migrate.a "$build"/libmv-cpuid.a ${libs#*=}
}

# Whatever disables it, nothing does; and the other way round. What NA stands for depends: of its two
# opposites one has to be noticed.
opposites() { # KIND FEATURE
	tests/lab/predict.py cells | awk -v kind="$1" -v id="$2" '$1 == kind && $2 == id {
		print $3 == "NONE" ? "CTRL" : $3 == "NA" ? "CTRL NONE" : "NONE" }'
}

noticed() { # CELL
	local with words

	words=$(opposites "${1%:*}" "${1#*:}")
	for with in ${words:?no cell $1}; do
		turn_over "${1%:*}" "${1#*:}" "$with" 2>"$tmp/log" || problem "$1: $(tail -1 "$tmp/log")"
		tests/lab/predict.py check "$tmp/minivmm" >"$tmp/noticed" 2>&1 || return 0
	done
	return 1
}

cells=${*:-$(tests/lab/predict.py cells | awk '$4 == "decided" { print $1 ":" $2 }')}
n=0
for cell in $cells; do
	if ! noticed "$cell"; then
		problem "$cell is turned over, and every prediction is still as measured"
	else
		[ -z "${VERBOSE:-}" ] || echo "noticed: $cell: $(head -1 "$tmp/noticed")" >&2
	fi
	n=$((n + 1))
done
: >"$tmp/.out"
: >"$tmp/.err"
check "$n cells of the enforcement column turned over, each noticed"
