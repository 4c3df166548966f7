#!/bin/bash
# SPDX-License-Identifier: MIT
# test-kernels.sh BUILD: one AMD host with two kernels of Debian. What KVM offers differs, the CPU does not.
# shellcheck shell=bash disable=SC1091,SC2154
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
cd "$top" || exit 1

if ! tests/lab/lab build --kernel 6.12-cloud >"$tmp/log" 2>&1; then
	skip kernels "$(tail -1 "$tmp/log")"
	exit 0
fi
job=$tmp/job
tests/lab/job.sh "$build" "$job"
cp tests/data/kernels/*.mask "$job/"
cat >"$job/run.sh" <<'SH'
. ./in-host.sh
minivmm host --first -o out/host.json || exit
for m in - guest-phys-bits.mask; do
	for f in *.snap; do
		[ -e "$f" ] && [ "${f#*,}" = "$m.snap" ] || continue
		r "$m" minivmm restore "$f"
	done
	mask=$m
	[ $m != - ] || mask=
	minivmm run polite.elf --memory 2M ${mask:+--mask $mask} --append nonce=5eed \
		--snapshot-on-sync "out/$(uname -r),$m.snap" --stop || exit
done
SH
# New to old, then old to new.
for n in 1 2 3; do
	kernel=6.12-cloud
	[ $n != 2 ] || kernel=cloud
	run_in epyc kernels "$tmp/$n" --kernel $kernel
	rm -f "$job"/*.snap
	cp "$tmp/$n"/*.snap "$job/"
done

release() {
	python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["kernel"])' "$1"
}
: >"$tmp/.out"
: >"$tmp/.err"
[ "$(release "$tmp/1/host.json")" != "$(release "$tmp/2/host.json")" ] || problem "both boots have one kernel"
python3 - "$tmp/1/host.json" "$tmp/2/host.json" <<'PY' || problem "what differs is something else"
import json, sys
new, old = (json.load(open(f)) for f in sys.argv[1:])
apic = ("0x00000001", "0x0000000b")
same = lambda v: {k: r for k, r in v["raw"].items() if k not in apic}
assert same(new) == same(old), "the CPU differs"
differ = {k for k in new["kvm"].keys() | old["kvm"].keys() if new["kvm"].get(k) != old["kvm"].get(k)} - set(apic)
assert "0x80000008" in differ and differ <= {"0x80000005", "0x80000008", "0x8000000a", "0x80000021"}, differ
PY
check "kernels: the same CPU, and KVM of $(release "$tmp/1/host.json") names other things than $(release "$tmp/2/host.json")"

for n in 2 3; do
	way="6.12 to 6.1"
	[ $n = 2 ] || way="6.1 to 6.12"
	left "$tmp/$n" -
	expect_status 0
	expect_out "still alive after the move, counter 100, nonce 5eed"
	check "kernels: $way, a default mask compares nothing that differs: accepted"
	left "$tmp/$n" guest-phys-bits.mask
	expect_status 3
	expect_err "* guest-phys-bits (EAX:23-16)"
	expect_equal "$(grep -c '^  \* ' <<<"$err")" 1 mismatches
	check "kernels: $way, with guest-phys-bits compared, refused for the kernel alone"
done

# The same from files, at any time.
ran "$minivmm" check --on tests/data/kernels/epyc-6.12.json tests/data/hosts/epyc.json
expect_status 0
ran "$minivmm" check --on tests/data/kernels/epyc-6.12.json --mask tests/data/kernels/guest-phys-bits.mask \
	tests/data/hosts/epyc.json
expect_status 3
expect_out "* guest-phys-bits (EAX:23-16): 0x28, destination 0x0"
check "kernels: host files give the same verdicts"
