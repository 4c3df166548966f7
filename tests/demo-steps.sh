# SPDX-License-Identifier: MIT
# demo-steps.sh MINIVMM GUESTS MASK NONCE: the main job, step by step, on the KVM of the machine it
# runs on. Plain sh: it also runs inside a lab host. Works in the current folder.
minivmm=$1 guests=$2 mask=$3 nonce=$4

say() {
	printf '\n== %s\n' "$*"
}

# Show a command as one would type it, then run it.
run() {
	printf '$ minivmm'
	for arg; do
		case $arg in *' '*) printf ' "%s"' "$arg" ;; *) printf ' %s' "${arg##*/}" ;; esac
	done
	printf '\n'
	"$minivmm" "$@" 2>&1
	status=$?
}

must() {
	if [ "$status" != "$1" ]; then
		echo "demo: exit status $status where $1 was expected"
		exit 1
	fi
}

say "1. This host, and what its KVM was proved to do"
run host
must 0

say "2. An override mask hides SSE4.1; the probe guest runs the instructions all the same"
grep -v '^#' "$mask"
run probe --mask "$mask" --fail-on leak >probe.txt
must 7
grep -E '^(\$|FEATURE|SSE|AES|POPCNT|.* probes:)' probe.txt
echo "(exit 7: --fail-on leak found a leak. CPUID hides a feature; it does not disable it.)"

say "3. A guest that uses SSE4.1, saved without a mask"
run run "$guests/polite.elf" --append "nonce=$nonce" --snapshot-on-sync plain.snap --stop
must 0

say "4. Would a host like this one, but without SSE4.1, take it?"
run host --without SSE4.1 -o poorer.json
must 0
run check plain.snap poorer.json
must 3

say "5. The same guest under the override mask"
run run "$guests/polite.elf" --mask "$mask" --append "nonce=$nonce" --snapshot-on-sync masked.snap --stop
must 0
run check masked.snap poorer.json
must 0

say "6. Restored, it goes on with the nonce in its memory and the CPUID it knows"
run restore masked.snap >restored.txt
must 0
cat restored.txt
if ! grep -q "still alive after the move, counter 100, nonce $nonce" restored.txt; then
	echo "demo: the restored guest does not know the nonce $nonce"
	exit 1
fi
