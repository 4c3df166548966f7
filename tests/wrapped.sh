#!/bin/bash
# SPDX-License-Identifier: MIT
# wrapped.sh BUILD NAME WRAPPER SCRIPT…: run integration scripts with WRAPPER in front of each call of the program.
# Their own checks count; and the wrapper's exit status is none that a script expects.
set -u
export WRAPPER=$3
cd "$(dirname "$0")/.." || exit 1
build=$(cd "$1" && pwd) name=$2 wrapper=$3
shift 3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for f in "$build"/*; do
	ln -s "$f" "$folder/"
done
rm "$folder/minivmm"
printf '#!/bin/sh\nexec %s %s/minivmm "$@"\n' "$wrapper" "$build" >"$folder/minivmm"
chmod +x "$folder/minivmm"
failed=0
for script; do
	"tests/integration/$script.sh" "$folder" >"$folder/.out" 2>"$folder/.err" </dev/null || failed=1
	if grep '^not ok' "$folder/.out"; then
		cat "$folder/.err"
		failed=1
	fi
	echo "$name: $script: $(grep -c '^ok' "$folder/.out") passed"
done
exit $failed
