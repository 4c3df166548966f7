#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh BUILD SECONDS TARGET…: each target for so long, a line of a table for each; fails if one crashed. The
# corpus grows in BUILD/found/TARGET from run to run; what crashed is beside it, BUILD/found/TARGET-….
set -u
build=$1 seconds=$2
shift 2
found=$build/found
failed=0
width=0
for t; do [ ${#t} -le $width ] || width=${#t}; done

printf "%-${width}s %12s %8s %9s %7s %8s\n" target executions exec/s coverage corpus crashes
for t; do
	bin=$build/tests/fuzz/fuzz_$t
	log=$found/$t.log
	mkdir -p "$found/$t"
	before=$(find "$found" -maxdepth 1 -name "$t-*" | wc -l)
	"$bin" -max_total_time="$seconds" -max_len=262144 -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
		-dict="$build/tests/fuzz/$t.dict" -artifact_prefix="$found/$t-" \
		"$found/$t" "$build/tests/fuzz/seeds/$t" >"$log" 2>&1 </dev/null
	status=$?
	crashes=$(($(find "$found" -maxdepth 1 -name "$t-*" | wc -l) - before))
	[ $status = 0 ] || failed=1
	printf "%-${width}s %12s %8s %9s %7s %8s\n" "$t" \
		"$(awk '/^stat::number_of_executed_units/ { n = $2 } END { print n + 0 }' "$log")" \
		"$(awk '/^stat::average_exec_per_sec/ { n = $2 } END { print n + 0 }' "$log")" \
		"$(grep -o 'cov: [0-9]*' "$log" | tail -1 | tr -dc 0-9)" \
		"$(find "$found/$t" -type f | wc -l)" "$crashes"
	[ $status = 0 ] || { echo "$t failed (status $status); all of it is in $log"; grep -E '^(==|SUMMARY|.*runtime error)' "$log" | head -5; }
done
exit $failed
