#!/bin/bash
# SPDX-License-Identifier: MIT
# record-hosts.sh BUILD [HOST…]: boot lab hosts (all, if none is named) and keep what each says of itself as
# tests/data/hosts/HOST.json. A host that does not come up keeps its file, and is named with the end of its console.
set -u
cd "$(dirname "$0")/../.." || exit 1
out=$1
shift
[ $# -gt 0 ] || mapfile -t all < <(awk -F'\t' '!/^#/ { print $1 }' tests/lab/hosts.tsv)
[ $# -gt 0 ] || set -- "${all[@]}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# An AMD model of Bochs dies when it has to single-step a guest: one proof has to do there.
# shellcheck disable=SC2016 # expanded in the host
OUT=$out tests/lab/lab run "$@" --out "$work" -- sh -c '
	grep -qE "AMD (FX|A8)" /proc/cpuinfo && first=--first
	minivmm host $first -o out/host.json' >"$work/log" 2>"$work/err"
failed=0
for host; do
	made=$work/$host/host.json
	[ $# -gt 1 ] || made=$work/host.json
	if [ -s "$made" ]; then
		cmp -s "$made" "tests/data/hosts/$host.json" || echo "changed: tests/data/hosts/$host.json"
		cp "$made" "tests/data/hosts/$host.json"
	else
		echo "no answer from $host" >&2
		failed=1
	fi
done
[ $failed = 0 ] || grep -v '^qemu' "$work/err" | tail -40 >&2
exit $failed
