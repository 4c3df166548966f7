#!/bin/bash
# SPDX-License-Identifier: MIT
# Baselines, suggestions and forms on the command line: what one command writes, the others take.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

hosts=$top/tests/data/hosts
if [ ! -d "$hosts" ]; then
	skip "baselines and suggestions" "tests/data/hosts is not there"
	exit 0
fi
intel=("$hosts"/{penryn,kentsfield,sandybridge}.json)
amd=("$hosts"/{epyc,epyc-noavx,epyc-nosse4}.json)

# every_pair NAME OPTIONS... -- HOST...: every ordered pair accepts under the mask
every_pair() {
	local options=() a b
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	for a; do
		for b; do
			ran "$minivmm" check --on "$a" "${options[@]}" "$b"
			expect_status 0
			ran "$minivmm" check --rule subset --on "$a" "${options[@]}" "$b"
			expect_status 0
		done
	done
}

# ---- baselines ----

ran "$minivmm" baseline "${intel[@]}" -o "$tmp/intel.mask"
expect_status 0
expect_equal "$out" ""
expect_err "baseline of 3 hosts, default mask generic64"
expect_err "loses"
expect_err "not on kentsfield.json"
every_pair --mask "$tmp/intel.mask" -- "${intel[@]}"
every_pair --baseline "$tmp/intel.mask" -- "${intel[@]}"
check "baseline: every pair of the hosts accepts, as an override and as a baseline"

mkdir "$tmp/a" "$tmp/b"
cp "$top/tests/data/hosts/penryn.json" "$tmp/a/host.json"
cp "$top/tests/data/hosts/kentsfield.json" "$tmp/b/host.json"
ran "$minivmm" baseline "$tmp/a/host.json" "$tmp/b/host.json"
expect_out "#   $tmp/a/host.json"
expect_err "    not on $tmp/b/host.json: SSE4.1"
check "baseline: files of one name are told apart"

ran "$minivmm" baseline "${amd[@]}" --guest-os linux64 -o "$tmp/amd.mask"
expect_status 0
every_pair --guest-os linux64 --mask "$tmp/amd.mask" -- "${amd[@]}"
check "baseline: every pair of the AMD hosts accepts"

for form in guide vmx feature; do
	ran "$minivmm" baseline "${intel[@]}" --form $form
	expect_status 0
	printf '%s\n' "$out" >"$tmp/$form.mask"
	ran "$minivmm" mask final --host "${intel[0]}" --mask "$tmp/$form.mask"
	expect_status 0
	printf '%s\n' "$out" >"$tmp/$form.final"
	cmp -s "$tmp/$form.final" "$tmp/guide.final" || problem "$form is another mask"
done
check "baseline: the same mask in every form"

ran "$minivmm" baseline -q "${intel[@]}" -o "$tmp/quiet.mask"
expect_equal "$out$err" ""
expect_equal "$(ls "$tmp" | grep -c tmp)" 0 "temporary files"
ran "$minivmm" baseline "${intel[@]}" -o "$tmp/no/such/folder.mask"
expect_status 1
expect_err "No such file or directory"
check "baseline: -q, -o"

ran "$minivmm" baseline "${intel[0]}" "${amd[0]}"
expect_status 3
expect_err "no VM can move between vendors"
expect_equal "$out" ""
ran "$minivmm" baseline --json "${intel[0]}" "${amd[0]}"
expect_status 3
expect_json_is verdict refuse
check "baseline: vendors don't mix, and the hosts are named"

ran "$minivmm" baseline --json "${intel[@]}"
expect_status 0
expect_json_is verdict accept
expect_json_is hosts 3
expect_json_is hosts/1/host kentsfield.json
grep -qF '"lacking-on"' <<<"$out" || problem "JSON lacks who is to blame"
check "baseline: the same as JSON"

sed 's/"tsc-khz": *[0-9]*/"tsc-khz":2000000/; s/"tsc-scaling": *true/"tsc-scaling":false/' \
	"${intel[0]}" >"$tmp/slow.json"
sed 's/"tsc-khz": *[0-9]*/"tsc-khz":3000000/; s/"tsc-scaling": *true/"tsc-scaling":false/' \
	"${intel[0]}" >"$tmp/fast.json"
ran "$minivmm" baseline "$tmp/slow.json" "$tmp/fast.json"
expect_status 3
expect_err "the TSC of fast.json runs at 3000000 kHz, that of slow.json at 2000000"
ran "$minivmm" baseline --ignore-tsc "$tmp/slow.json" "$tmp/fast.json"
expect_status 0
check "baseline: TSC frequencies"

# PROOFS as JSON: into $tmp/proofs/host.json, what is proved there
proofs() {
	mkdir -p "$tmp/proofs"
	/usr/bin/python3 -c 'import json, sys
host = json.load(open(sys.argv[1]))
host["proof"] = json.loads(sys.argv[2])
json.dump(host, sys.stdout)' "${amd[0]}" "$1" >"$tmp/proofs/host.json" || problem "no host file"
}
proofs '{"kernel": [], "patch": ["cpl0", "cpl3"], "step": ["cpl0"]}'
for command in baseline "check --on $tmp/proofs/host.json"; do
	# shellcheck disable=SC2086
	ran "$minivmm" $command "$tmp/proofs/host.json"
	expect_status 0
done
echo '{"vm": "shop", "host": "host"}' >"$tmp/shop.vm"
ran "$minivmm" fleet --hosts "$tmp/proofs" --vms "$tmp/shop.vm"
expect_status 0
proofs '{"kernel": ["cpl0"], "patch": ["cpl0"], "step": ["cpl0"]}'
for command in baseline "check --on $tmp/proofs/host.json"; do
	# shellcheck disable=SC2086
	ran "$minivmm" $command "$tmp/proofs/host.json"
	expect_status 3
	grep -q "has no way to answer" <<<"$out$err" || problem "not said why: $command_line"
done
check "baseline: it holds where patching is all that is proved, and not where nothing is at CPL 3"

ran "$minivmm" baseline
expect_status 2
expect_err "no host file given"
ran "$minivmm" baseline --form xl "${intel[0]}"
expect_status 2
expect_err "--form is guide, vmx or feature, not 'xl'"
ran "$minivmm" baseline --guest-os beos "${intel[0]}"
expect_status 2
expect_err "no default mask for guest OS 'beos'"
echo '{}' >"$tmp/empty.json"
ran "$minivmm" baseline "${intel[0]}" "$tmp/empty.json"
expect_status 4
expect_err "empty.json"
check "baseline: wrong use and wrong input"

# ---- named baselines ----

names=$("$minivmm" mask show baselines)
for name in $names; do
	for os in $("$minivmm" mask show); do
		ran "$minivmm" mask final --guest-os "$os" --baseline "$name" --host "${intel[0]}"
		expect_status 0
	done
done
expect_equal "$(wc -w <<<"$names")" 24
expect_equal "$("$minivmm" mask show | grep -c intel-)" 0 "baselines are no guest OSs"
check "named baselines: each goes with each default mask"

ran "$minivmm" mask final --baseline intel-penryn --host "${intel[0]}"
printf '%s\n' "$out" >"$tmp/option"
echo 'baseline = intel-penryn' >"$tmp/directive.mask"
ran "$minivmm" mask final --mask "$tmp/directive.mask" --host "${intel[0]}"
expect_equal "$out" "$(cat "$tmp/option")" "directive and option"
printf 'feature SSE4.1 = H\nbaseline = intel-merom\n' >"$tmp/over.mask"
ran "$minivmm" mask final --mask "$tmp/over.mask" --host "${intel[0]}"
expect_out "ECX: x000 x000 00T0 H000 00T0 00T0 0000 000T"
ran "$minivmm" mask final --baseline intel-penryn --mask "$tmp/over.mask" --host "${intel[0]}"
expect_out "field model = 7"
check "named baselines: option and directive, under the overrides wherever they stand"

ran "$minivmm" mask final --baseline intel-nosuch
expect_status 4
expect_err "there are amd-bulldozer"
ran "$minivmm" mask final --guest-os intel-penryn
expect_status 2
expect_err "no default mask for guest OS 'intel-penryn'"
printf 'baseline = intel-penryn\n' >"$tmp/b1.mask"
ran "$minivmm" mask final --baseline "$tmp/b1.mask"
expect_status 4
expect_err "a baseline can't name another"
printf 'feature LM = 0\n' >"$tmp/b2.mask"
ran "$minivmm" mask final --guest-os linux64 --baseline "$tmp/b2.mask"
expect_status 4
expect_err "the baseline hides CPUID level 0x80000001 EDX:29 (LM)"
check "named baselines: errors"

# ---- suggestions ----

ran "$minivmm" mask suggest --on "${intel[0]}" "${intel[1]}"
expect_status 0
expect_out "feature SSE4.1 = 0"
expect_out "# Hidden only, the instructions still execute:"
printf '%s\n' "$out" >"$tmp/suggested.mask"
ran "$minivmm" check --on "${intel[0]}" --mask "$tmp/suggested.mask" "${intel[1]}"
expect_status 0
lines=$(grep -vc '^#' "$tmp/suggested.mask")
for ((i = 1; i <= lines; i++)); do
	awk -v skip=$i '/^#/ || ++n != skip' "$tmp/suggested.mask" >"$tmp/less.mask"
	ran "$minivmm" check --on "${intel[0]}" --mask "$tmp/less.mask" "${intel[1]}"
	expect_status 3
done
check "suggest: Penryn to Kentsfield; applied it is accepted, and every line is needed"

ran "$minivmm" mask suggest --on "${amd[0]}" "${amd[@]}"
expect_status 0
printf '%s\n' "$out" >"$tmp/suggested.mask"
ran "$minivmm" check --on "${amd[0]}" --mask "$tmp/suggested.mask" "${amd[@]}"
expect_status 0
ran "$minivmm" mask suggest --on "${amd[0]}" --mask "$tmp/suggested.mask" "${amd[@]}"
expect_status 0
expect_out "Nothing to do"
check "suggest: for several hosts at once"

ran "$minivmm" mask suggest --on "${intel[0]}" "${amd[0]}"
expect_status 3
expect_err "no mask can help"
expect_err "rule vendor"
ran "$minivmm" mask suggest --json --on "${intel[0]}" "${amd[0]}"
expect_status 3
expect_json_is possible false
expect_json_is reasons/0/rule vendor
ran "$minivmm" mask suggest --json --on "${intel[0]}" "${intel[1]}"
expect_status 0
expect_json_is possible true
check "suggest: where no mask helps it names the rule"

ran "$minivmm" mask suggest --on "${intel[0]}"
expect_status 2
ran "$minivmm" mask suggest "$tmp/no.snapshot" "${intel[0]}"
expect_status 4
ran "$minivmm" mask --json suggest
expect_status 2
expect_out "'suggest' comes first"
check "suggest: wrong use"

# ---- forms ----

for mask in "$top"/configs/overrides/*; do
	ran "$minivmm" mask final --mask "$mask" --host "${intel[0]}"
	want=$out
	for form in guide vmx feature; do
		ran "$minivmm" mask convert --to $form "$mask"
		expect_status 0
		printf '%s\n' "$out" >"$tmp/converted.mask"
		ran "$minivmm" mask final --mask "$tmp/converted.mask" --host "${intel[0]}"
		expect_equal "$out" "$want" "$mask as $form"
	done
done
check "convert: the examples mean the same in every form"

printf 'guest-os = linux64\nbaseline = intel-penryn\nLevel 0x7h Sublevel 0x1h\nEAX: %s\nfield phys-bits = 40\n' \
	"---- ---- ---- ---- ---- --0- ---- ----" >"$tmp/mixed.mask"
ran "$minivmm" mask convert --to vmx "$tmp/mixed.mask"
expect_status 0
expect_out 'guest-os = linux64'
expect_out 'baseline = "intel-penryn"'
expect_out 'cpuid.7.1.eax = "----:----:----:----:----:--0-:----:----"'
expect_out 'field phys-bits = 40'
expect_err "warning: 1 registers are of a sublevel"
expect_err "warning: 1 numbers have no place"
ran "$minivmm" mask convert "$tmp/mixed.mask"
expect_status 2
expect_err "--to what"
ran "$minivmm" mask convert --to guide
expect_status 2
check "convert: what a form can't say is told"
