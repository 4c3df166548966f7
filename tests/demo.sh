#!/bin/bash
# SPDX-License-Identifier: MIT
# demo.sh BUILD [NONCE]: the main job on this machine's /dev/kvm; in a lab host where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(cd "$1" && pwd) nonce=${2:-$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

if [ -r /dev/kvm ] && [ -w /dev/kvm ] && [ "${DEMO:-kvm}" = kvm ]; then
	steps=$PWD/tests/demo-steps.sh mask=$PWD/configs/overrides/hide-sse41.mask
	cd "$dir"
	sh "$steps" "$build/minivmm" "$build/guest-tests" "$mask" "$nonce"
else
	echo "No /dev/kvm here: running in a lab host, a real KVM under emulation."
	# shellcheck disable=SC2046
	tests/deps.sh $(tests/lab/lab deps tcg)
	tests/lab/lab build
	tests/lab/job.sh "$build" "$dir"
	cp tests/demo-steps.sh "$dir/"
	echo "sh ./demo-steps.sh ./minivmm . hide-sse41.mask $nonce" >"$dir/run.sh"
	tests/lab/lab run epyc --job "$dir"
fi
