#!/bin/bash
# SPDX-License-Identifier: MIT
# net-pair.sh HOST1 HOST2 JOB OUT [TIMEOUT [DISK]]: boot two tcg hosts joined by a network, each with folder
# JOB, whose run.sh sees $LAB_IP (10.1.0.1 or 10.1.0.2), and the raw image DISK as /dev/vdb, the same for both.
# What they leave in out/ comes back in OUT/1 and OUT/2, what they print in OUT/1.console and OUT/2.console.
# Exits with the first status that is not 0.
set -u
lab=$(dirname "$0")/lab
job=$3 out=$4 timeout=${5:-400}
net=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$net"' EXIT
mkdir -p "$out"
[ -z "${6:-}" ] || ln -s "$(realpath "$6")" "$net/shared.img"
for n in 1 2; do
	"$lab" run "${!n}" --job "$job" --out "$out/$n" --timeout "$timeout" --net "$net:$n" \
		>"$out/$n.console" 2>&1 &
	eval "pid$n=\$!"
done
wait "$pid1"
status=$?
wait "$pid2"
second=$?
[ $status != 0 ] || status=$second
exit $status
