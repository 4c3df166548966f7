#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# soak.sh BUILD [COUNT]: nothing grows from one VM to the next. A few of them; make soak takes 1,000.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

need_kvm "soak" || exit 0
if grep -qE '__(a|t)san_init' "$minivmm"; then
	skip soak "a sanitizer keeps memory that was freed"
	exit 0
fi
exec python3 "$top/tests/faults/soak.py" "$build" "${2:-5}"
