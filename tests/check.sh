#!/bin/bash
# SPDX-License-Identifier: MIT
# check.sh BUILD [REQUIRE]: run every test and end with "N passed, N failed[, N skipped]". REQUIRE
# names what must be there (kvm, lab-amd, lab-intel): skips for the lack of it are failures.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1 require=${2:-}
passed=0 failed=0 skipped=0
log=$(mktemp -d)
trap 'rm -rf "$log"; kill $(jobs -p) 2>/dev/null' EXIT

must() {
	case ",$require," in *",$1,"*) return 0 ;; *) return 1 ;; esac
}

# Count a script's lines; show what is not plainly ok.
count() {
	while IFS= read -r line; do
		case $line in
		"ok "*) passed=$((passed + 1)) ;;
		"not ok "*) failed=$((failed + 1)) ;;
		"skip "*) skipped=$((skipped + 1)) ;;
		*) continue ;;
		esac
		case $line in "ok "*) [ -n "${VERBOSE:-}" ] && echo "  $line" ;; *) echo "  $line" ;; esac
	done <"$1"
}

begin() {
	printf '== %s\n' "$1"
}

# A script that dies without a word must not count as passed.
finish() { # NAME STATUS
	if [ "$2" != 0 ] || ! grep -qE '^(ok|not ok|skip) ' "$log/$1"; then
		echo "not ok $1: the script itself failed with status $2" >>"$log/$1"
	fi
	count "$log/$1"
	[ ! -s "$log/$1.err" ] || sed 's/^/  /' "$log/$1.err" >&2
}

script() { # NAME COMMAND...
	local name=$1
	shift
	"$@" >"$log/$name" 2>"$log/$name.err" </dev/null
	finish "$name" $?
}

# A VM's process may not make the calls that looking for leaks takes; unit tests may. Criterion loses some memory of its
# own where it runs several at once.
unit_options=()
if grep -q __asan_init "$build/minivmm"; then
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
	unit_options=(-j1)
fi

begin "unit tests"
for t in "$build"/tests/unit/test_*; do
	[ -x "$t" ] && [ -f "$t" ] || continue
	case $t in *.o | *.d) continue ;; esac
	name=${t##*/}
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=1 \
		"$t" "${unit_options[@]}" --tap="$log/$name.tap" >"$log/$name.out" 2>&1 </dev/null
	status=$?
	sed -n 's/^ok [- ]*/ok '"$name"' /p; s/^not ok [- ]*/not ok '"$name"' /p' "$log/$name.tap" \
		>"$log/$name" 2>/dev/null
	if [ $status != 0 ] && ! grep -q '^not ok' "$log/$name"; then
		echo "not ok $name: the program failed with status $status" >>"$log/$name"
	fi
	# A test that loses memory passes otherwise.
	if grep -q "ERROR: LeakSanitizer" "$log/$name.out"; then
		echo "not ok $name: memory is lost" >>"$log/$name"
		status=1
	fi
	count "$log/$name"
	[ $status = 0 ] || tail -30 "$log/$name.out" >&2
done

begin "the tree"
script layers tests/layers.sh "$build"
[ ! -x tests/mutate.sh ] || script mutate tests/mutate.sh "$build"
script matrix-record tests/lab/matrix.py check "$build" 100

# The emulators are slow: one at a time for each vendor, while the rest goes on.
chain() { # TEST…
	for t; do
		"tests/lab/test-$t.sh" "$build" >"$log/lab-$t" 2>"$log/lab-$t.err" </dev/null
		echo $? >"$log/lab-$t.status"
	done
}

lab_tests=()
for kind in amd intel; do
	missing=$(tests/lab/lab deps "$([ $kind = amd ] && echo tcg || echo bochs)" --missing)
	if [ -n "$missing" ]; then
		if must "lab-$kind"; then word="not ok"; else word=skip; fi
		echo "$word lab-$kind: packages are missing: $(echo $missing)" >"$log/lab-$kind"
		count "$log/lab-$kind"
		continue
	fi
	lab_tests+=("$kind")
done
[ ${#lab_tests[@]} = 0 ] || tests/lab/lab build >"$log/lab-build" 2>&1 || {
	echo "not ok lab build: $(tail -1 "$log/lab-build")" >"$log/lab-build.result"
	count "$log/lab-build.result"
	lab_tests=()
}
amd_tests="amd live linux disk intercept predict faults matrix"
intel_tests="intel guide predict-intel"
for kind in ${lab_tests[@]+"${lab_tests[@]}"}; do
	case $kind in
	amd) chain $amd_tests & pid_amd=$! ;;
	intel) chain $intel_tests & pid_intel=$! ;;
	esac
done

begin "integration tests"
if ! [ -r /dev/kvm -a -w /dev/kvm ] && must kvm; then
	echo "not ok /dev/kvm: required, and not there" >"$log/kvm"
	count "$log/kvm"
fi
for t in tests/integration/*.sh; do
	[ -x "$t" ] && script "$(basename "$t" .sh)" "$t" "$build"
done

for kind in ${lab_tests[@]+"${lab_tests[@]}"}; do
	begin "lab: $kind hosts"
	case $kind in
	amd) wait "$pid_amd"; tests=$amd_tests ;;
	intel) wait "$pid_intel"; tests=$intel_tests ;;
	esac
	for t in $tests; do
		finish "lab-$t" "$(cat "$log/lab-$t.status" 2>/dev/null || echo 1)"
	done
done

echo
if [ $skipped -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ $failed = 0 ] && [ $passed -gt 0 ]
