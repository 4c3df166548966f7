#!/bin/bash
# SPDX-License-Identifier: MIT
# deps.sh [--try] PACKAGE…: install the Debian packages that are missing. Without the right to do
# that it says which are needed: an error, or with --try only a remark (what needs them is skipped).
set -euo pipefail

try=
if [ "${1:-}" = --try ]; then
	try=yes
	shift
fi
missing=()
for p; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
	echo "installing: ${missing[*]}"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	export DEBIAN_FRONTEND=noninteractive
	if { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
		exit 0
	fi
	tail -5 "$log" >&2
fi
echo "these Debian packages are needed: apt-get install ${missing[*]}" >&2
[ -n "$try" ]
