#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR disable=SC2154
# libvirt-agree.sh BUILD: minivmm and libvirt over the same hosts, pair by pair (tests/libvirt/agree.py). Three
# hosts of the repository; with MV_HOSTS, a folder of CPU dumps, those instead.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/libvirtd.bash"

missing=$(libvirtd_missing)
/usr/bin/python3 -c 'import libvirt' 2>/dev/null || missing="python3-libvirt is not installed"
[ "$("$minivmm" --version | sed -n 's/^libvirt: //p')" = "built in" ] || missing="built without libvirt-dev"
if [ -n "$missing" ]; then
	skip "libvirt: verdicts and baselines agree" "$missing"
	exit 0
fi
if [ -n "${MV_HOSTS:-}" ]; then
	mapfile -t files < <(find "$MV_HOSTS" -name '*.json' -o -name '*.test' | sort)
else
	files=("$top"/tests/data/hosts/{kentsfield,penryn,sandybridge}.json)
fi
libvirtd_start agree nokvm
mkdir "$tmp/work"
ran /usr/bin/python3 "$top/tests/libvirt/agree.py" "$minivmm" "$uri" "$tmp/work" "${files[@]}"
expect_status 0
expect_out " 0 disagreements"
[ -z "${MV_HOSTS:-}" ] || printf '%s\n' "$out"
check "libvirt: verdicts and baselines agree with libvirt's on ${#files[@]} hosts"
libvirtd_stop
