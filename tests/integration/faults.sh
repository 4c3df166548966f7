#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# faults.sh BUILD [sample=N] [only=SCENARIO,…]: system calls that fail. A sample; make faults lets each of them fail.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
shift

if ! need_kvm "faults"; then
	exit 0
elif grep -qE '__(a|t)san_init' "$minivmm"; then
	skip faults "a sanitizer has its own malloc and has to be loaded first"
	exit 0
elif [ ! -e "$build/tests/faults/preload.so" ]; then
	skip faults "tests/faults/preload.so is not built"
	exit 0
fi
[ $# -gt 0 ] || set -- sample=8
python3 "$top/tests/faults/faults.py" "$build" "$@" 2>"$tmp/faults.err"
status=$?
cat "$tmp/faults.err" >&2
exit $status
