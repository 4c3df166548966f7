#!/bin/bash
# SPDX-License-Identifier: MIT
# minivmm fleet: the same answers as check, pair by pair; folding, drains, power cycles, bad input, and
# each of its outputs read by something else.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

# Eight hosts, so that counts are what they are when others join the folder.
hosts=$tmp/hosts
mkdir "$hosts"
cp "$top"/tests/data/hosts/{epyc-noavx,epyc-nosse4,epyc,kentsfield,milan,opteron-g3,penryn,sandybridge}.json "$hosts"
cp "$top"/configs/overrides/*.mask "$tmp"
mkdir "$tmp/vms"
cat >"$tmp/vms/a.vm" <<'VM'
{"vm": "web1", "host": "penryn", "guest-os": "linux64"}
{"vm": "web2", "host": "penryn", "guest-os": "linux64"}
{"vm": "cart", "host": "penryn", "guest-os": "linux64", "mask": "../hide-sse41.mask"}
{
  "vm": "db", "host": "epyc", "cpus": 4,
  "mask": ["../hide-ssse3.mask", "../no-avx.mask"], "comment": "two masks"
}
{"vm": "sb", "host": "sandybridge", "baseline": "intel-penryn"}
VM

# pairs JSON: "VM HOST accept|refuse", from a fleet's JSON
cat >"$tmp/pairs.py" <<'PY'
import json, sys
d = json.load(sys.stdin)
for vm in d["vms"]:
    accepts = d["vm-classes"][vm["class"]]["accepts"]
    for h in d["hosts"]:
        print(vm["vm"], h["host"], "accept" if h["class"] in accepts else "refuse")
PY

# ---- the same as check ----

for rule in guide subset; do
	ran "$minivmm" fleet --json --rule $rule --hosts "$hosts" --vms "$tmp/vms"
	expect_status 3
	python3 "$tmp/pairs.py" <<<"$out" | sort >"$tmp/fleet.pairs"
	for h in "$hosts"/*.json; do
		n=$(basename "$h" .json)
		one() { # VM ARGUMENTS...
			local vm=$1
			shift
			"$minivmm" check -q --rule $rule "$@" "$h" >/dev/null 2>&1 && echo "$vm $n accept" || echo "$vm $n refuse"
		}
		one web1 --on "$hosts/penryn.json" --guest-os linux64
		one web2 --on "$hosts/penryn.json" --guest-os linux64
		one cart --on "$hosts/penryn.json" --guest-os linux64 --mask "$tmp/hide-sse41.mask"
		one db --on "$hosts/epyc.json" --mask "$tmp/hide-ssse3.mask" --mask "$tmp/no-avx.mask"
		one sb --on "$hosts/sandybridge.json" --baseline intel-penryn
	done | sort >"$tmp/check.pairs"
	diff "$tmp/check.pairs" "$tmp/fleet.pairs" >"$tmp/diff" || problem "check (<) and fleet (>) differ: $(head -3 "$tmp/diff")"
	expect_equal "$(wc -l <"$tmp/fleet.pairs")" 40
	grep -q 'cart kentsfield accept' "$tmp/fleet.pairs" || problem "the guide's own pair is refused"
	grep -q 'web1 kentsfield refuse' "$tmp/fleet.pairs" || problem "SSE4.1 does not refuse"
done
check "fleet: every pair as check judges it, by either rule"

ran "$minivmm" fleet --json --hosts "$hosts" --vms "$tmp/vms"
expect_json_is summary/hosts 8
expect_json_is summary/vms 5
expect_json_is summary/vm-classes 4
expect_json_is summary/vms-without-another-host 4
expect_json_is vms/0/class "$(json "$out" vms/1/class)"
expect_json_is vms/2/accepted-elsewhere 1
expect_json_is hosts/6/host penryn
expect_json_is hosts/6/vms 3
expect_json_is hosts/6/blocks-drain 2
kentsfield=$(python3 -c 'import json,sys
d=json.load(sys.stdin); c=d["vms"][0]["class"]; k=[h["class"] for h in d["hosts"] if h["host"]=="kentsfield"][0]
print([r["reasons"] for r in d["vm-classes"][c]["refuses"] if r["class"]==k][0])' <<<"$out")
place=$("$minivmm" check --on "$hosts/penryn.json" --guest-os linux64 "$hosts/kentsfield.json" | sed -n 's/.*source; //p')
expect_equal "$kentsfield" "[{'rule': 'symbol', 'subject': 'SSE4.1', 'text': 'CPUID level 0x1 ECX:19 (SSE4.1): only on the source; $place', 'remedy': '0'}]"
check "fleet: counts, who blocks which drain, each reason with its bit and line"

# ---- folding, clusters, baselines ----

mkdir "$tmp/many"
for i in 1 2 3; do
	sed "s/\"name\":\"penryn\"/\"name\":\"p$i\"/; s/\"microcode\":\"0x0\"/\"microcode\":\"0x$i\"/" "$hosts/penryn.json" >"$tmp/many/p$i.json"
done
cp "$hosts/kentsfield.json" "$tmp/many/k1.json"
printf '{"vm":"v","host":"p2","mask":"%s"}' "$tmp/hide-sse41.mask" >"$tmp/v.vm"
ran "$minivmm" fleet --json --hosts "$tmp/many" --vms "$tmp/v.vm"
expect_status 0
expect_json_is summary/host-classes 2
expect_json_is summary/clusters 2
expect_json_is clusters/1/hosts 3
expect_json_is vms/0/accepted-elsewhere 3
expect_json_is baselines/0/possible true
expect_json_is baselines/0/power-cycles 0
expect_json_is baselines/0/cost/1/lost/0 SSE4.1
ran "$minivmm" fleet --hosts "$tmp"/many/p1.json "$tmp"/many/p3.json "$tmp/many/k1.json"
expect_status 0
expect_out "3 hosts of 2 kinds in 2 clusters"
# one bit of either table, one MSR, what KVM was proved to do: each makes another kind, and the CPU that was asked none
python3 - "$tmp/many/p1.json" "$tmp" <<'PY'
import json, os, sys
os.mkdir(sys.argv[2] + "/one")
def write(name, change):
    h = json.load(open(sys.argv[1]))
    change(h)
    json.dump(h, open(f"{sys.argv[2]}/one/{name}.json", "w"))
def flip(view, leaf, reg, bits):
    def change(h):
        h[view][leaf][reg] = "0x%08x" % (int(h[view][leaf][reg], 16) ^ bits)
    return change
write("same", lambda h: None)
write("apic", flip("raw", "0x00000001", 1, 0x05000000))
write("kvm", flip("kvm", "0x00000001", 2, 1))
write("raw", flip("raw", "0x00000001", 2, 1))
write("msr", lambda h: h["msrs"].update({"0x10a": "0x1"}))
write("proof", lambda h: h["proof"].update({"kernel": ["cpl0"]}))
PY
ran "$minivmm" fleet --json --hosts "$tmp/one"
expect_json_is summary/hosts 6
expect_json_is summary/host-classes 5
expect_json_is hosts/0/class "$(json "$out" hosts/5/class)"
check "fleet: equal hosts are one class, others clusters of their own; the baseline and its cost"

# what a VM that was started on lesser hardware would see today
"$minivmm" host --from "$hosts/sandybridge.json" --without AVX,AES,XSAVE -o "$tmp/before.json"
cat >"$tmp/old.vm" <<'VM'
{"vm": "before", "host": "./sandybridge.json"}
{"vm": "today", "host": "sandybridge"}
VM
mkdir "$tmp/then"
cp "$tmp/before.json" "$tmp/then/sandybridge.json"
mv "$tmp/old.vm" "$tmp/then/old.vm"
ran "$minivmm" fleet --json --hosts "$hosts" --vms "$tmp/then/old.vm"
expect_json_is vms/0/host sandybridge
expect_json_is vms/0/power-cycle-gains/0 AES
json "$out" vms/1/power-cycle-gains >/dev/null && problem "a VM of today gains from a power cycle"
ran "$minivmm" fleet --hosts "$hosts" --vms "$tmp/then/old.vm"
expect_out "sees more"
check "fleet: who sees more after a power cycle"

# ---- bad input: named, and the rest goes on ----

mkdir -p "$tmp/bad/sub" "$tmp/bad/empty"
cp "$hosts"/{penryn,kentsfield}.json "$tmp/bad"
cp "$hosts/penryn.json" "$tmp/bad/sub"
echo "notes about hosts" >"$tmp/bad/README"
: >"$tmp/bad/nothing.json"
head -c 2000 "$hosts/epyc.json" >"$tmp/bad/torn.json"
mkfifo "$tmp/bad/pipe"
ln -s nowhere "$tmp/bad/dangling"
ran timeout 60 "$minivmm" fleet --hosts "$tmp/bad" --vms "$tmp/v2.vm"
expect_status 4
for what in README nothing.json:\ an\ empty\ file pipe:\ not\ a\ regular dangling:\ No\ such sub/penryn.json:\ another\ host \
	torn.json empty:\ an\ empty\ folder v2.vm:\ No\ such; do
	expect_err "/$what"
done
expect_out "2 hosts of 2 kinds"
check "fleet: unreadable, torn, empty, duplicate and foreign hosts are named, the rest goes on"

cat >"$tmp/bad.vm" <<'VM'
{"vm": "good", "host": "penryn"}
{"vm": "good", "host": "kentsfield"}
{"vm": "lost", "host": "atlantis"}
{"vm": "x", "host": "penryn", "masks": "a"}
{"vm": "y", "host": "penryn", "mask": "nowhere.mask"}
{"vm": "z", "host": "penryn", "guest-os": "beos"}
{"host": "penryn"}
{"vm": "c", "host": "penryn", "cpus": 0}
{"vm": "last", "host": "penryn"}
{"vm": "torn", "ho
VM
echo "feature avx = 0" >"$tmp/foreign.txt"
ran "$minivmm" fleet --json --hosts "$hosts" --vms "$tmp/bad.vm" "$tmp/foreign.txt"
expect_status 4
expect_json_is summary/vms 2
expect_json_is summary/problems 9
expect_err "bad.vm:2: another VM is called 'good', too"
expect_err "bad.vm:3: no host of the fleet is called 'atlantis'"
expect_err "bad.vm:4: no member of a VM description is called 'masks'"
expect_err "bad.vm:5: $tmp/nowhere.mask: No such file or directory"
expect_err "bad.vm:6: no default mask for guest OS 'beos'"
expect_err "bad.vm:7: a VM description lacks 'vm'"
expect_err "bad.vm:8: 'cpus' is not a number"
expect_err "bad.vm:11: broken JSON; the VMs before it count"
expect_err "foreign.txt: neither a snapshot nor a VM description"
check "fleet: each broken VM by file and line, the others count"

mkdir "$tmp/wide"
cp "$hosts/penryn.json" "$tmp/wide/höst-日本.json"
cp "$hosts/kentsfield.json" "$tmp/wide/b.json"
ran env LC_ALL=C "$minivmm" fleet --hosts "$tmp/wide"
expect_out "      0 Intel      1     1 b"
expect_out "      1 Intel      1     1 höst-日本"
expect_out "Intel      2       37        0 höst-日本 loses 1"
check "fleet: names in any script"

mkdir "$tmp/told"
python3 - "$hosts/penryn.json" >"$tmp/told/penryn.json" <<'PY'
import json, sys
print(json.dumps(json.load(open(sys.argv[1])) | {"told": ["SSE3", "SSE4.1"], "source": "libvirt, kvm"}))
PY
ran "$minivmm" fleet --hosts "$tmp/told"
expect_status 0
ran "$minivmm" fleet --hosts "$tmp/told" --strict
expect_status 3
expect_err "penryn.json: known through libvirt, kvm only, which does not tell all (--strict)"
check "fleet: --strict refuses what check --strict does"

ran "$minivmm" fleet --vms "$tmp/v.vm"
expect_status 2
ran "$minivmm" fleet "$hosts"
expect_status 2
expect_err "follows neither --hosts nor --vms"
ran "$minivmm" fleet --hosts="$hosts/penryn.json" "$hosts/epyc.json" --json
expect_json_is summary/hosts 2
ran "$minivmm" fleet --hosts "$hosts" --html - --prometheus -
expect_status 2
expect_err "can have standard output"
ran "$minivmm" fleet --hosts "$hosts" --prometheus - --json
expect_status 2
ran "$minivmm" fleet --hosts "$tmp/bad/README"
expect_status 4
expect_err "no host could be used"
printf '{"vm":"t","host":"kentsfield","mask":"%s"}' "$tmp/t.mask" >"$tmp/t.vm"
echo "feature avx = T" >"$tmp/t.mask"
ran "$minivmm" fleet --json --hosts "$hosts" --vms "$tmp/t.vm"
expect_status 3
expect_json_is vm-classes/0/accepted-by 0
expect_json_is vm-classes/0/refuses/0/reasons/0/rule power-on
check "fleet: wrong usage, no host left, and a VM that its own host would not start"

# ---- many in one file, pipes, and the bar ----

python3 - "$tmp/many.json" <<'PY'
import json, sys
with open(sys.argv[1], "w") as f:
    for i in range(20000):
        f.write(json.dumps({"vm": f"vm-{i}", "host": ["penryn", "epyc", "milan"][i % 3]}) + "\n")
PY
ran bash -c '"$0" fleet --json --hosts "$1" <(cat "$2") --vms "$3"' "$minivmm" "$hosts" "$hosts/penryn.json" "$tmp/many.json"
expect_status 4
expect_err "not a regular file"
ran bash -c '"$0" host --json --from <(cat "$1")' "$minivmm" "$hosts/penryn.json"
expect_status 0
expect_json_is name penryn
ran "$minivmm" fleet --json --hosts "$hosts" --vms "$tmp/many.json"
expect_status 3
expect_json_is summary/vms 20000
expect_json_is summary/vm-classes 3
expect_no_err "["
ran script -qec "'$minivmm' fleet --hosts '$hosts' --vms '$tmp/many.json'" /dev/null
expect_out "reading    [######"
expect_out "VMs        [#"
ran script -qec "'$minivmm' fleet -q --hosts '$hosts' --vms '$tmp/many.json'" /dev/null
expect_no_out "[####"
check "fleet: a file of many VMs; a bar on a terminal, and only there"

# ---- Prometheus ----

cp "$hosts/penryn.json" "$tmp/od\"d\\host.json"
mkdir "$tmp/hundred"
for i in {1..101}; do
	ln -s "$hosts/penryn.json" "$tmp/hundred/$i.json"
done
ran "$minivmm" fleet --prometheus - --hosts "$tmp/hundred"
expect_out 'minivmm_fleet_host_vms{host="101"} 0'
expect_no_out minivmm_fleet_compat
expect_err "more than 10000 rows: the metric minivmm_fleet_compat is left out"
check "fleet: a metric that is left out is said to be"
ran "$minivmm" fleet --prometheus - --hosts "$hosts" "$tmp/od\"d\\host.json" --vms "$tmp/vms"
expect_status 3
python3 - <<'PY' "$tmp/.out" >"$tmp/prom" 2>&1 || problem "$(tail -1 "$tmp/prom")"
import re, sys
typed, helped, seen, last = set(), set(), set(), None
name = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
for n, line in enumerate(open(sys.argv[1]).read().split("\n")[:-1], 1):
    m = re.fullmatch(rf"# (HELP|TYPE) ({name}) (.+)", line)
    if m:
        kind = helped if m[1] == "HELP" else typed
        assert m[2] not in kind, f"line {n}: a second {m[1]} of {m[2]}"
        assert m[1] == "HELP" or m[3] == "gauge", line
        kind.add(m[2])
        last = m[2]
        continue
    m = re.fullmatch(rf'({name})(?:\{{({name}="(?:[^"\\\n]|\\["\\n])*"(?:,{name}="(?:[^"\\\n]|\\["\\n])*")*)\}})? (\d+)', line)
    assert m, f"line {n}: {line}"
    assert m[1] == last and m[1] in typed and m[1] in helped, f"line {n}: {m[1]} is not under its head"
    assert (m[1], m[2]) not in seen, f"line {n}: twice"
    seen.add((m[1], m[2]))
want = {("minivmm_fleet_hosts", None), ("minivmm_fleet_host_vms", 'host="od\\"d\\\\host"'),
        ("minivmm_fleet_compat", 'src="penryn",dst="kentsfield"'), ("minivmm_fleet_vm_hosts", 'vm="cart"')}
assert want <= seen, want - seen
PY
expect_out 'minivmm_fleet_host_drain_blocked_vms{host="epyc"} 1'
expect_out 'minivmm_fleet_compat{src="penryn",dst="kentsfield"} 0'
check "fleet: metrics in Prometheus' format"
if command -v promtool >/dev/null; then
	ran promtool check metrics <"$tmp/.out"
	cp "$tmp/.out" "$tmp/m"
	promtool check metrics <"$tmp/m" >/dev/null 2>&1 || problem "promtool finds fault"
	check "fleet: promtool accepts the metrics"
else
	skip "fleet: promtool accepts the metrics" "promtool (Debian: prometheus) is not installed"
fi

# ---- the page ----

printf '{"vm":"</script><b>","host":"penryn"}' >"$tmp/evil.vm"
ran "$minivmm" fleet -q --hosts "$hosts" --vms "$tmp/vms" "$tmp/evil.vm" --html "$tmp/page.html"
expect_status 3
python3 - "$tmp/page.html" "$tmp/fleet.pairs" <<'PY' >"$tmp/html" 2>&1 || problem "$(tail -1 "$tmp/html")"
import json, re, sys
page = open(sys.argv[1]).read()
assert not re.search(r'(src|href)\s*=|@import|url\(|https?://', page), "the page is not self-contained"
assert page.count("</script>") == 2, "a name ends the script"
d = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
assert any("</script><b>" in v["names"] for v in d["vms"]), "the odd name is lost"
assert len(d["vmhost"]) == len(d["vms"]) and all(len(r) == len(d["hosts"]) for r in d["vmhost"] + d["hosthost"])
i = next(i for i, v in enumerate(d["vms"]) if "web1" in v["names"])
j = next(j for j, h in enumerate(d["hosts"]) if h["name"] == "kentsfield")
cell = d["vmhost"][i][j]
text = [d["reasons"][r] for r in d["why"][cell - 1]]
assert cell and len(text) == 1 and "SSE4.1" in text[0], text
assert d["vmhost"][i][d["vms"][i]["home"]] == 0
print(i, j)
PY
expect_no_file "$tmp"/page.html.tmp.*
check "fleet: one page, nothing from elsewhere, its cells as judged"
if command -v chromium >/dev/null; then
	read -r i j <"$tmp/html"
	ran timeout 120 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$tmp/chromium" --virtual-time-budget=5000 \
		--dump-dom "file://$tmp/page.html#vmhost:$i:$j"
	expect_out "kentsfield refuses web1 +1"
	expect_out "CPUID level 0x1 ECX:19 (SSE4.1): only on the source"
	check "fleet: the page explains a cell in a browser"
else
	skip "fleet: the page explains a cell in a browser" "chromium is not installed"
fi

# ---- snapshots as VMs ----

if have_kvm; then
	"$minivmm" host -q -o "$tmp/here.json" 2>/dev/null
	ran "$minivmm" run "$guests/polite.elf" --append nonce=c0ffee --snapshot-on-sync "$tmp/here.snap" --stop
	ran "$minivmm" fleet --json --hosts "$tmp/here.json" "$hosts" --vms "$tmp/here.snap"
	expect_json_is vms/0/vm here
	expect_json_is vms/0/host here
	expect_json_is vms/0/accepted-elsewhere 0
	expect_json_is vm-classes/0/accepted-by 1
	check "fleet: a snapshot is a VM on the host that it was taken on"
else
	skip "fleet: a snapshot is a VM on the host that it was taken on" "no /dev/kvm"
fi
