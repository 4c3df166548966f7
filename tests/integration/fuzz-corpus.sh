#!/bin/bash
# SPDX-License-Identifier: MIT
# fuzz-corpus.sh BUILD: what fuzzing has found and what it begins with, with simple changes, through each target.
. "$(dirname "$0")/../lib.sh"

for target in "$build"/tests/fuzz/replay_*; do
	[ -x "$target" ] && [[ $target != *.d ]] || continue
	name=${target##*/replay_}
	files=("$build/tests/fuzz/seeds/$name"/*)
	ran "$target" "${files[@]}"
	expect_status 0
	# A corpus that is refused at once proves nothing.
	expect_out "inputs, "
	expect_no_out ", 0 taken"
	check "fuzz target $name: its corpus, and simple changes of it"
done

ran "$top/tests/fuzz/planted.sh" "$tmp/sources" 0
expect_status 0
check "fuzz: the bugs that it has to find have their places in the sources"
