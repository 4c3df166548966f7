#!/bin/bash
# SPDX-License-Identifier: MIT
# Static analysis of the program. TOOLS: which of them; FILES: which sources (all that minivmm is linked from).
# Ends with 0 if nobody had anything to say.
set -u
cd "$(dirname "$0")/.." || exit 1
OUT=${OUT:-build}
TOOLS=${TOOLS:-gcc cppcheck clang-tidy}
FILES=${FILES:-$(ls cpuid/*.c migrate/*.c vmm/*.c vmm/cli/*.c guest-tests/linux/*.c)}
libvirt=$([ -e /usr/include/libvirt/libvirt.h ] && echo -DMV_LIBVIRT)
FLAGS="-std=c11 $libvirt -I. -Icpuid -Imigrate -Ivmm -I$OUT/vmm -isystem /usr/include/libxml2"
export FLAGS
failed=0

each() { # COMMAND: for each file, two at a time
	printf '%s\n' $FILES | xargs -P2 -I{} sh -c \
		'case {} in vmm/* | guest-tests/*) FLAGS="$FLAGS -D_GNU_SOURCE" ;; esac; '"$1"
}

# What a tool is wrong about, line by line with the reason: TOOL FILE WARNING: why (tests/static-known.txt).
known() { # TOOL: from stdin what is left, warnings with their traces
	awk -v tool="$1" '
		NR == FNR { if ($1 == tool) { sub(/:$/, "", $3); skip[$2 " " $3] = 1 }; next }
		/^[^ ]*: (warning|error): / {
			split($1, at, ":"); name = $NF; gsub(/[][]|,-warnings-as-errors/, "", name); drop = (at[1] " " name) in skip
		}
		!drop' tests/static-known.txt -
}

result() { # TOOL TEXT
	local text
	text=$(printf '%s' "$2" | sed "s|^$PWD/||" | known "$1" | sed '/: In function /d; /: At top level:/d')
	if [ -n "$text" ]; then
		printf '%s\n' "$text"
		echo "not ok $1"
		failed=1
	else
		echo "ok $1: $(echo $FILES | wc -w) files"
	fi
}

for tool in $TOOLS; do
	case $tool in
	# Inlining hides from it which function a value came from.
	gcc) result gcc "$(each 'gcc $FLAGS -O1 -fno-inline -fanalyzer -Wall -S -o /dev/null {} 2>&1')" ;;
	cppcheck) result cppcheck "$(cppcheck -j2 --quiet --inline-suppr --std=c11 --enable=warning,performance,portability \
		-Icpuid -Imigrate -Ivmm -I. -D__x86_64__ -D_GNU_SOURCE $libvirt --library=tests/cppcheck.cfg \
		$FILES 2>&1)" ;;
	clang-tidy) result clang-tidy "$(each 'clang-tidy --quiet {} -- $FLAGS 2>/dev/null')" ;;
	*) echo "static.sh: TOOLS: $tool is none of gcc, cppcheck, clang-tidy" >&2; exit 2 ;;
	esac
done
exit $failed
