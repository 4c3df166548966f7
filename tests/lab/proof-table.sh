#!/bin/bash
# SPDX-License-Identifier: MIT
# proof-table.sh BUILD [HOST…]: run the proof of interception on lab hosts and on this machine's KVM and put
# the table into docs/interception.md (make interception). Prints it, too.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
shift
hosts=("$@")
[ ${#hosts[@]} -gt 0 ] || hosts=(epyc penryn)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

tests/lab/job.sh "$build" "$tmp/job"
echo './minivmm host --proof --json >out/proof.json && ./minivmm host >out/host.txt' >"$tmp/job/run.sh"
for h in "${hosts[@]}"; do
	tests/lab/lab run "$h" --job "$tmp/job" --out "$tmp/$h" >"$tmp/$h.log" 2>&1 || {
		tail -5 "$tmp/$h.log" >&2
		exit 1
	}
done
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	hosts=(this "${hosts[@]}")
	mkdir -p "$tmp/this"
	"$build/minivmm" host --proof --json >"$tmp/this/proof.json"
	"$build/minivmm" host >"$tmp/this/host.txt"
fi

# Rows of one mechanism, level and kind of code; columns are hosts, cells the leaves that held.
python3 - "$tmp" "${hosts[@]}" >"$tmp/table" <<'PY'
import json, re, sys
tmp, hosts = sys.argv[1], sys.argv[2:]
tsv = {l.split('\t')[0]: l.split('\t') for l in open('tests/lab/hosts.tsv') if not l.startswith('#')}
kind = {'tcg': 'TCG', 'bochs': 'Bochs'}
vendor = {'amd': 'SVM', 'intel': 'VMX'}

def title(h):
    if h != 'this':
        return f"`{h}`: {kind[tsv[h][1]]}, {vendor[tsv[h][2]]}"
    text = open(f'{tmp}/this/host.txt').read()
    return 'a machine whose KVM interprets CPL 0 (PVM)' if 'interprets guest code' in text else 'this machine'

proofs = {h: json.load(open(f'{tmp}/{h}/proof.json')) for h in hosts}
print('| mechanism | CPL | CPUID in | ' + ' | '.join(title(h) for h in hosts) + ' |')
print('| --- | --- | --- |' + ' --- |' * len(hosts))
for i, row in enumerate(proofs[hosts[0]]):
    cells = []
    for h in hosts:
        r = proofs[h][i]
        names = [k for k in r if k not in ('mechanism', 'cpl', 'run-time-code')]
        held = [k for k in names if r[k]]
        cells.append('all' if held == names else 'none' if not held else ', '.join(held).lower())
    code = 'code made at run time' if row['run-time-code'] else 'the image'
    print(f"| `{row['mechanism']}` | {row['cpl']} | {code} | " + ' | '.join(cells) + ' |')
PY
cat "$tmp/table"
if [ -f docs/interception.md ]; then
	awk -v table="$tmp/table" '
		/^<!-- proof table -->$/ { print; print ""; while ((getline l <table) > 0) print l; print ""; skip = 1; next }
		/^<!-- end -->$/ { skip = 0 }
		!skip' docs/interception.md >"$tmp/doc"
	cp "$tmp/doc" docs/interception.md
fi
