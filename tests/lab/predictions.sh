#!/bin/bash
# SPDX-License-Identifier: MIT
# predictions.sh BUILD HOST[:RUN,RUN…]…: predict what the probe guest finds in these lab hosts under the
# masks of tests/data/predictions/runs.tsv (or these runs of them), boot each host once, measure, compare.
# KEEP=DIR keeps predictions and measurements. Prints test lines (tests/lib.sh).
# shellcheck shell=bash disable=SC1091,SC2154
. "$(dirname "$0")/../lib.sh"
cd "$top" || exit 1
shift
work=${KEEP:-$tmp/work}
mkdir -p "$work/predicted" "$work/measured"

# All predictions are on disk before the first host starts, by a program that is given host files and
# masks alone; they are not writable, and looked at again at the end.
for spec; do
	host=${spec%%:*} runs=${spec#"$host"}
	rm -rf "$work/predicted/$host" "$work/measured/$host"
	# shellcheck disable=SC2046,SC2086 # a list of words
	tests/lab/predict.py predict "$minivmm" "$host" "$work/predicted/$host" $(tr ,: '  ' <<<"$runs") ||
		problem "no prediction for $host"
done
(cd "$work/predicted" && find . -name '*.json' -print0 | sort -z | xargs -0 sha256sum) >"$work/sums"
: >"$tmp/.out"
: >"$tmp/.err"
check "predictions for $* are written before a host starts"

for spec; do
	host=${spec%%:*} runs=${spec#"$host"} job=$tmp/job-$host
	tests/lab/job.sh "$build" "$job"
	cp -r tests/data/predictions/masks "$job/"
	# shellcheck disable=SC2046,SC2086
	tests/lab/predict.py job "$host" "$job" $(tr ,: '  ' <<<"$runs")
	budget=$((120 + 120 * $(wc -l <"$job/run.sh")))
	if ! tests/lab/lab run "$host" --job "$job" --out "$work/measured/$host" --timeout $budget \
		>"$tmp/console" 2>&1; then
		echo "not ok $host: $(tail -1 "$tmp/console")"
		tail -q -n 20 "$tmp/console" "$work/measured/$host"/*.err >&2
		continue
	fi
	ran tests/lab/predict.py compare "$host" "$work/predicted/$host" "$work/measured/$host"
	[ "$status" = 0 ] || problem "$(grep -c . <<<"$out") differences, the first: $(head -1 <<<"$out")"
	check "${out:-$host: as predicted}"
done
ran sh -c "cd '$work/predicted' && sha256sum --quiet -c ../sums"
expect_status 0
check "the predictions are as they were before"
