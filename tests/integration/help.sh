#!/bin/bash
# SPDX-License-Identifier: MIT
# The help of every command: there, on standard output, at most 80 columns wide.
. "$(dirname "$0")/../lib.sh"

ran "$minivmm" --help
expect_status 0
expect_equal "$err" ""
check "minivmm --help"
commands=$(sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' <<<"$out")

ran "$minivmm"
expect_status 2
expect_err "usage: minivmm COMMAND"
check "minivmm alone shows the usage and fails"

ran "$minivmm" --version
expect_status 0
expect_out "minivmm "
check "minivmm --version"

ran "$minivmm" frobnicate
expect_status 2
expect_err "there is no command 'frobnicate'"
check "an unknown command"

ran "$minivmm" convert --to xl a.mask
expect_status 2
expect_err "hint: minivmm mask convert"
ran "$minivmm" mask final --to xl
expect_err "hint: --to is an option of minivmm mask convert"
ran "$minivmm" help mask suggest
expect_status 0
expect_out "usage: minivmm mask suggest"
ran "$minivmm" help mask
expect_out "usage: minivmm mask final"
check "commands of two words"

while read -r c; do
	# shellcheck disable=SC2086
	ran "$minivmm" $c --help
	expect_status 0
	expect_equal "$err" ""
	expect_out "usage: minivmm $c"
	expect_out "--json"
	wide=$(python3 -c 'import sys
for line in open(sys.argv[1], encoding="utf-8"):
    if len(line.rstrip("\n")) > 80 or line.endswith(" \n"): print(line, end="")' "$tmp/.out")
	expect_equal "$wide" "" "wider than 80 columns, or a blank at the end"
	ragged=$(python3 -c 'import re, sys
for line in open(sys.argv[1], encoding="utf-8"):
    m = re.match(r"  --\S+( [A-Z]\S*)* +(?=\S)", line)
    if m and m.end() != 30: print(line, end="")' "$tmp/.out")
	expect_equal "$ragged" "" "an option whose text begins elsewhere"
	check "minivmm $c --help"
	# shellcheck disable=SC2086
	ran "$minivmm" $c --no-such-option
	expect_status 2
	expect_err "unknown option '--no-such-option'"
	expect_err "minivmm $c --help"
	check "minivmm $c: an unknown option is named"
done <<<"$commands
mask suggest
mask convert"
