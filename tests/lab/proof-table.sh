#!/bin/bash
# SPDX-License-Identifier: MIT
# proof-table.sh BUILD [HOST…]: run the proof of interception, and what each mechanism costs a guest, on lab hosts
# and on this machine's KVM, and put the two tables into docs/interception.md (make interception). Prints them, too.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
shift
hosts=("$@")
[ ${#hosts[@]} -gt 0 ] || hosts=(epyc penryn zambezi)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

tests/lab/job.sh "$build" "$tmp/job"
cp "$build/bench/intercept" "$tmp/job/intercept.bin"
strip "$tmp/job/intercept.bin"
for h in "${hosts[@]}"; do
	# The kernel of Bochs' SVM hosts dies when a guest is single-stepped.
	only='' some='-r 100'
	[ "$h" != zambezi ] || only='--mechanisms kernel,patch' some='-s -r 100'
	cat >"$tmp/job/run.sh" <<-JOB
		./minivmm host --proof --json $only >out/proof.json &&
		./minivmm host --first >out/host.txt &&
		lib/ld-linux-x86-64.so.2 --library-path lib ./intercept.bin $some -o out/cost.json cpuids.elf
	JOB
	# An emulated host's time says nothing while others use the machine: instructions do.
	icount=
	[ "$h" != epyc ] || icount=1
	LAB_ICOUNT=$icount tests/lab/lab run "$h" --job "$tmp/job" --out "$tmp/$h" >"$tmp/$h.log" 2>&1 || {
		tail -5 "$tmp/$h.log" >&2
		exit 1
	}
done
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	hosts=(this "${hosts[@]}")
	mkdir -p "$tmp/this"
	"$build/minivmm" host --proof --json >"$tmp/this/proof.json"
	"$build/minivmm" host >"$tmp/this/host.txt"
	"$build/bench/intercept" -t 15 -o "$tmp/this/cost.json" "$build/guest-tests/cpuids.elf" >"$tmp/this/cost.txt"
fi

# Rows of one mechanism, level and kind of code; columns are hosts, cells the leaves that held.
python3 - "$tmp" "${hosts[@]}" <<'PY'
import json, sys
tmp, hosts = sys.argv[1], sys.argv[2:]
tsv = {l.split('\t')[0]: l.split('\t') for l in open('tests/lab/hosts.tsv') if not l.startswith('#')}
kind = {'tcg': 'TCG', 'bochs': 'Bochs'}
vendor = {'amd': 'SVM', 'intel': 'VMX'}

def title(h):
    if h != 'this':
        return f"`{h}`: {kind[tsv[h][1]]}, {vendor[tsv[h][2]]}"
    text = open(f'{tmp}/this/host.txt').read()
    return 'a machine whose KVM interprets CPL 0 (PVM)' if 'interprets guest code' in text else 'this machine'

def head(*first):
    titles = [*first, *map(title, hosts)]
    return ['| ' + ' | '.join(titles) + ' |', '| ' + ' | '.join(['---'] * len(titles)) + ' |']

proofs = {h: json.load(open(f'{tmp}/{h}/proof.json')) for h in hosts}
rows = {h: {(r['mechanism'], r['cpl'], r['run-time-code']): r for r in p} for h, p in proofs.items()}
keys = max(rows.values(), key=len)
out = head('mechanism', 'CPL', 'CPUID in')
for key in keys:
    cells = []
    for h in hosts:
        r = rows[h].get(key)
        names = [k for k in r if k not in ('mechanism', 'cpl', 'run-time-code')] if r else []
        held = [k for k in names if r[k]]
        cells.append('not tried' if not r else 'all' if held == names else 'none' if not held
                     else ', '.join(held).lower())
    code = 'code made at run time' if key[2] else 'the image'
    out.append(f'| `{key[0]}` | {key[1]} | {code} | ' + ' | '.join(cells) + ' |')
open(f'{tmp}/proof', 'w').write('\n'.join(out) + '\n')

# What the mechanisms cost, as multiples of a guest whose CPUIDs nobody but KVM answers.
costs = {h: json.load(open(f'{tmp}/{h}/cost.json')) for h in hosts}
out = head('mechanism', 'guest')

def times(c, m, job):
    if m not in c:
        return 'not tried'
    a, base = c[m][job], c['none'][job]
    return f"{float('%.2g' % (a['ticks'] / base['ticks'])):g}" if a['ended'] and base['ended'] else 'the guest dies'

def answered(c, m):
    if m not in c:
        return 'not tried'
    b = c[m]['between']
    if not b['ended']:
        return 'the guest dies' if c[m]['cpuids']['ended'] is False else 'no interrupts at CPL 3'
    return f"{b['asked'] - b['wrong']} of {b['asked']} ({b['ports']}, {b['interrupts']})"

for m in ('kernel', 'patch', 'step'):
    for what, cell in (('no CPUID', lambda c: times(c, m, 'idle')),
                       ('a CPUID every 30 instructions', lambda c: times(c, m, 'cpuids')),
                       ('answered (between port reads, interrupts)', lambda c: answered(c, m))):
        out.append(f'| `{m}` | {what} | ' + ' | '.join(cell(costs[h]) for h in hosts) + ' |')
open(f'{tmp}/cost', 'w').write('\n'.join(out) + '\n')
PY
cat "$tmp/proof" "$tmp/cost"
if [ -f docs/interception.md ]; then
	awk -v tmp="$tmp" '
		/^<!-- (proof|cost) table -->$/ {
			print; print ""
			while ((getline l <(tmp "/" $2)) > 0) print l
			print ""; skip = 1; next
		}
		/^<!-- end -->$/ { skip = 0 }
		!skip' docs/interception.md >"$tmp/doc"
	cp "$tmp/doc" docs/interception.md
fi
