#!/bin/bash
# SPDX-License-Identifier: MIT
# cpuid-cost.sh BUILD [FILE.json]: what a CPUID exit costs a guest, in instructions of host and guest, by leaf: with
# the table of the default mask, and with one that holds that leaf alone (and leaf 0 or 0x80000000).
# An AMD lab host whose TSC counts instructions: the figures repeat. make bench-cpuid
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1 json=${2:-}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
x='xxxx xxxx xxxx xxxx xxxx xxxx xxxx xxxx'

tests/lab/job.sh "$build" "$tmp/job"
cp "$build/bench/cpuid.elf" "$tmp/job/"
for leaf in 0 1 7 d 80000001 80000008; do
	printf 'Level 0x%sh\nEAX: %s\nEBX: %s\nECX: %s\nEDX: %s\n' $leaf "$x" "$x" "$x" "$x" >"$tmp/job/$leaf.mask"
done
cat >"$tmp/job/run.sh" <<'JOB'
./minivmm run -q cpuid.elf >/dev/null
./minivmm run -q cpuid.elf >out/default
for m in [0-9a-f]*.mask; do ./minivmm run -q cpuid.elf --default-mask $m >out/${m%.mask}; done
JOB
LAB_ICOUNT=1 tests/lab/lab run epyc --job "$tmp/job" --out "$tmp/out" --timeout 300
python3 - "$tmp/out" "$json" <<'PY'
import json, sys
out, file = sys.argv[1:]

def read(name):
    rows = dict((int(a, 16), int(b, 16) / 1024) for a, b in (l.split() for l in open(f'{out}/{name}')))
    return rows

full, rows = read('default'), []
print(f"{'LEAF':>12} {'default mask':>13} {'alone':>8} {'more':>7}   instructions a round")
for leaf in (0, 1, 7, 0xd, 0x80000001, 0x80000008, 0x4fffffff):
    alone = read('0' if leaf == 0x4fffffff else f'{leaf:x}')[leaf]
    rows.append({'leaf': f'0x{leaf:x}', 'instructions': round(full[leaf]), 'alone': round(alone)})
    print(f"{rows[-1]['leaf']:>12} {full[leaf]:13.0f} {alone:8.0f} {100 * (full[leaf] / alone - 1):6.1f}%")
print(f"{'empty loop':>12} {full[0xffffffff]:13.0f}")
if file:
    json.dump(rows, open(file, 'w'), indent=1)
PY
