#!/bin/bash
# SPDX-License-Identifier: MIT
# minivmm probe without a guest: predictions, results as tables, pages and differences; and predictions
# against what was measured in lab hosts (tests/data/predictions).
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

hosts=$top/tests/data/hosts
mask=$top/configs/overrides/hide-sse41.mask
cd "$top" || exit 1

ran tests/lab/predict.py check "$minivmm"
[ "$status" = 0 ] || problem "$(head -1 <<<"$out")"
check "recorded in lab hosts: ${out##*$'\n'}"

ran tests/lab/predict.py docs
sed -n '/<!-- generated/,/<!-- end/p' docs/predictions.md | sed '1d;$d' >"$tmp/docs"
cmp -s "$tmp/docs" "$tmp/.out" || problem "docs/predictions.md is not what tests/lab/predict.py docs writes"
check "docs/predictions.md has the figures of the record"

# One cell of a kind each; all of them: make predictions.
ran tests/lab/predict-mutants.sh "$build" vmx:RDTSCP svm:SSE4_1 svm:XSAVE
expect_out "ok 3 cells"
check "a wrong cell of the enforcement column is noticed"

ran "$minivmm" probe --predict --host "$hosts/epyc.json" --mask "$mask"
expect_status 0
expect_out "SSE4.1              PTEST         no    LEAK        nothing disables it"
expect_out "SSE4.2              CRC32         no    LEAK        nothing disables it"
expect_out "-- SSE and 3DNow!"
expect_out "probes predicted"
expect_out "besides: 11 undecidable"
expect_no_out $'\033'
expect_no_out "-- Other"
long=$(LC_ALL=C.UTF-8 awk 'length > 80' "$tmp/.out" | head -1)
[ -z "$long" ] || problem "wider than 80: $long"
check "probe --predict: hidden-only, in a table of 80 columns, without colour in a pipe"

echo "feature rdtscp = 0" >"$tmp/rdtscp.mask"
for host in epyc:OK penryn:OK; do
	ran "$minivmm" probe --predict --host "$hosts/${host%:*}.json" --only rdtscp
	expect_out "RDTSCP              RDTSCP        yes   ${host#*:}"
	ran "$minivmm" probe --predict --host "$hosts/${host%:*}.json" --only rdtscp --mask "$tmp/rdtscp.mask"
	expect_out "ENFORCED    disabled by an intercept"
done
echo "feature rdrand = 0" >"$tmp/rdrand.mask"
ran "$minivmm" probe --predict --host "$hosts/epyc.json" --mask "$tmp/rdrand.mask" --only rdrand
expect_out "LEAK        nothing disables it"
ran "$minivmm" probe --predict --host "$hosts/epyc.json" --mask "$tmp/rdrand.mask" --only rdrand --kind vmx
expect_out "ENFORCED    disabled by an intercept"
check "probe --predict: VMX and SVM differ in RDRAND"

python3 - "$hosts/epyc.json" >"$tmp/other.json" <<'PY'
import json, struct, sys
h = json.load(open(sys.argv[1]))
words = struct.unpack("<III", b"  Shanghai  ")
for view in "raw", "kvm":
    for leaf in "0x00000000", "0x80000000":
        for reg, word in zip((1, 3, 2), words):
            h[view][leaf][reg] = f"{word:#010x}"
print(json.dumps(h))
PY
ran "$minivmm" probe --predict --host "$tmp/other.json" --mask "$tmp/rdrand.mask" --only rdrand
expect_status 0
expect_err "warning: this CPU's vendor is not known here"
expect_out "ENFORCED    disabled by an intercept"
ran "$minivmm" probe --predict --host "$tmp/other.json" --mask "$tmp/rdrand.mask" --only rdrand --kind svm
expect_equal "$err" "" "nothing to warn of"
expect_out "LEAK        nothing disables it"
# The same everywhere: KVM on a CPU that is neither AMD's nor Hygon's is kvm-intel.
ran "$minivmm" check --on "$tmp/other.json" --mask "$tmp/rdrand.mask" --json "$tmp/other.json"
expect_json_is 0/kind vmx
ran "$minivmm" mask lint --host "$tmp/other.json" --mask "$tmp/rdrand.mask" --json
expect_json_is kind vmx
ran "$minivmm" explain rdrand --on "$tmp/other.json" --mask "$tmp/rdrand.mask"
expect_out "hiding it is enforced"
check "probe --predict: a vendor nobody knows is said, and it goes on"

echo "feature avx2 = 0" >"$tmp/avx2.mask"
ran "$minivmm" probe --predict --host "$hosts/epyc.json" --mask "$tmp/avx2.mask" --only avx2
expect_out "LEAK        AVX keeps it on"
ran "$minivmm" probe --predict --host "$hosts/epyc.json" --mask configs/overrides/no-avx.mask --only avx2
expect_out "ENFORCED    disabled by XCR0"
check "probe --predict: a state component is on or off as a whole"

# AMD has bits of its own for IBRS, STIBP and SSBD.
python3 - "$hosts/epyc.json" >"$tmp/ibrs.json" <<'PY'
import json, sys
h = json.load(open(sys.argv[1]))
for view in "raw", "kvm":
    leaf = h[view]["0x80000008"]
    leaf[1] = f"{int(leaf[1], 16) | 1 << 12 | 1 << 14 | 1 << 15 | 1 << 24:#010x}"
print(json.dumps(h))
PY
printf 'feature %s = 0\n' amd_ibpb amd_ibrs amd_stibp amd_ssbd >"$tmp/ibrs.mask"
ran "$minivmm" probe --predict --host "$tmp/ibrs.json"
expect_out "SPEC-CTRL           MSR-IBRS      yes   OK"
expect_out "AMD-IBPB            MSR-IBPB      yes   OK"
ran "$minivmm" probe --predict --host "$tmp/ibrs.json" --mask "$tmp/ibrs.mask"
for row in MSR-IBRS MSR-STIBP MSR-SSBD MSR-IBPB; do
	expect_out "$(printf '%-13s no    ENFORCED    disabled by a refused MSR' $row)"
done
python3 - "$hosts/haswell.json" >"$tmp/ibpb.json" <<'PY'
import json, sys
h = json.load(open(sys.argv[1]))
for view in "raw", "kvm":
    leaf = h[view]["0x00000007.0"]
    leaf[3] = f"{int(leaf[3], 16) | 1 << 26:#010x}"
print(json.dumps(h))
PY
ran "$minivmm" probe --predict --host "$tmp/ibpb.json"
expect_out "AMD-IBPB            MSR-IBPB      yes   OK"
echo "feature spec_ctrl = 0" >"$tmp/ibpb.mask"
ran "$minivmm" probe --predict --host "$tmp/ibpb.json" --mask "$tmp/ibpb.mask"
expect_out "AMD-IBPB            MSR-IBPB      no    ENFORCED    disabled by a refused MSR"
check "probe --predict: an MSR with a bit of Intel's and one of AMD's"

ran "$minivmm" probe --predict --host "$hosts/max.json" --only mpx
expect_out "no    ENFORCED    KVM does not know it here"
check "probe --predict: an MSR that KVM knows on the other vendor's CPUs alone"

ran "$minivmm" probe --predict --host "$hosts/epyc.json" --mask "$mask" --fail-on leak
expect_status 7
ran "$minivmm" probe --predict --host "$hosts/penryn.json" --mask "$tmp/rdtscp.mask" --only rdtscp --fail-on leak
expect_status 0
check "probe --predict --fail-on"

echo "feature avx512f = T" >"$tmp/t.mask"
ran "$minivmm" probe --predict --host "$hosts/epyc.json" --mask "$tmp/t.mask"
expect_status 3
expect_err "t.mask:1"
ran "$minivmm" probe --predict --host "$mask"
expect_status 4
ran "$minivmm" probe --host "$hosts/epyc.json"
expect_status 2
expect_err "--host and --kind go with --predict"
ran "$minivmm" probe --predict --kind xen
expect_status 2
check "probe --predict: refusals and misuse"

# ---- files ----

"$minivmm" probe --predict --host "$hosts/epyc.json" -o "$tmp/a.json"
"$minivmm" probe --predict --host "$hosts/epyc.json" --mask "$mask" -o "$tmp/b.json"
ran "$minivmm" probe --diff "$tmp/a.json" "$tmp/b.json"
expect_status 7
expect_out "SSE4.1              PTEST         OK       shown  -> LEAK     hidden"
expect_out "4 of "
check "probe --diff tells what changed, and exits 7"
ran "$minivmm" probe --diff "$tmp/a.json" "$tmp/a.json"
expect_status 0
expect_out "0 of "
ran "$minivmm" probe --diff "$tmp/a.json" "$tmp/b.json" --json
expect_status 7
expect_equal "$(json "$out" differences)" 4
expect_equal "$(json "$out" differences/0/was/verdict)" OK
check "probe --diff: no difference exits 0; --json"
ran "$minivmm" probe --diff "$tmp/a.json"
expect_status 2
ran "$minivmm" probe --diff "$tmp/a.json" "$hosts/epyc.json"
expect_status 4
expect_err "epyc.json"
echo '{ "probes": [ { "feature": "SSE3", "verdict": "<script>" } ] }' >"$tmp/bad.json"
ran "$minivmm" probe --diff "$tmp/a.json" "$tmp/bad.json"
expect_status 4
expect_err "no known verdict"
check "probe --diff: unusable files are named"

ran "$minivmm" probe --html "$tmp/page.html" "$tmp/a.json" "$tmp/b.json"
expect_status 0
expect_equal "$out" "" "nothing to say"
grep -q '<td class="v LEAK"[^>]*>LEAK</td>' "$tmp/page.html" || problem "no cell for the leak"
! grep -qE '(src|href)=|https?:' "$tmp/page.html" || problem "the page loads something"
grep -q 'prefers-color-scheme: dark' "$tmp/page.html" || problem "no dark colours"
grep -q '@media print' "$tmp/page.html" || problem "nothing for paper"
python3 - "$tmp/page.html" >"$tmp/why" 2>&1 <<'PY' || problem "$(tail -1 "$tmp/why")"
import html.parser, sys
class P(html.parser.HTMLParser):
    stack, cells = [], 0
    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "input", "link"): self.stack.append(tag)
        self.cells += tag == "td" and dict(attrs).get("class", "").startswith("v ")
    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, (tag, self.getpos())
p = P(); p.feed(open(sys.argv[1]).read())
assert not p.stack and p.cells > 200 and p.cells % 2 == 0, (p.stack, p.cells)
PY
check "probe --html: one page, two columns, nothing loaded"

"$build/cpuid-probe" --json >"$tmp/here.json"
ran "$minivmm" probe --html "$tmp/here.html" "$tmp/here.json"
expect_status 0
grep -q '<strong>\*</strong> unproven' "$tmp/here.html" || problem "no legend"
python3 - "$tmp/here.json" "$tmp/here.html" >"$tmp/why" 2>&1 <<'PY' || problem "$(tail -1 "$tmp/why")"
import json, re, sys
rows = json.load(open(sys.argv[1]))["probes"]
page = open(sys.argv[2]).read()
want = [(p["feature"], not p["proven"] and p["verdict"] != "UNDECIDABLE") for p in rows]
found = [(n, bool(star)) for n, star in re.findall(r'<th class="name">([^<* ]+)( \*)?</th>', page)]
assert sorted(want) == sorted(found) and any(s for _, s in want), set(want) ^ set(found)
assert "<td>Linux " in page, "a result without a host's name"
PY
check "probe --html marks what is unproven"
sed 's/"feature": "SSE3"/"feature": "<b>\&\\"x"/' "$tmp/a.json" >"$tmp/evil.json"
ran "$minivmm" probe --html "$tmp/evil.html" "$tmp/evil.json"
expect_status 0
grep -q '&lt;b&gt;&amp;&quot;x' "$tmp/evil.html" || problem "the name is not there"
! grep -q '<b>' "$tmp/evil.html" || problem "markup in a name survives"
ran "$minivmm" probe --html "$tmp/none/page.html" "$tmp/a.json"
expect_status 1
ran "$minivmm" probe --html "$tmp/c.html" "$tmp/none.json"
expect_status 4
expect_no_file "$tmp/c.html"
check "probe --html: names are text; what fails leaves nothing"

ran script -qec "env TERM=xterm '$minivmm' probe --predict --host '$hosts/epyc.json' --mask '$mask'" /dev/null
expect_out $'\033[1;33mLEAK'
ran script -qec "env TERM=xterm NO_COLOR=1 '$minivmm' probe --predict --host '$hosts/epyc.json'" /dev/null
expect_no_out $'\033'
check "colour on a terminal only, and not with NO_COLOR"

# ---- where hiding leaks, told by the other commands ----

ran "$minivmm" mask lint --host "$hosts/epyc.json" --mask "$mask"
expect_out "leaks        2 hidden features still execute on a host with SVM"
ran "$minivmm" mask lint --host "$hosts/sandybridge.json" --mask "$tmp/rdtscp.mask"
expect_status 0
expect_no_out "leaks "
ran "$minivmm" check --on "$hosts/epyc.json" --mask "$mask" "$hosts/epyc.json"
expect_status 0
expect_out "3 hidden still execute (SVM): SSE4.1, SSE4.2, RDSEED"
ran "$minivmm" check --on "$hosts/epyc.json" --mask "$mask" "$hosts/epyc.json" --json
expect_equal "$(json "$out" 0/leaks)" 3
check "mask lint and check name hidden features that still execute"

# The same by both, on all described hosts; instructions that never fault are nobody's leak to predict.
# One Intel host has the other vendor's 3DNow!.
printf 'feature %s = 0\n' sse4.1 avx2 smap 3dnow >"$tmp/parts.mask"
python3 - "$minivmm" "$hosts" "$tmp" >"$tmp/why" 2>&1 <<'PY' || problem "$(tail -1 "$tmp/why")"
import glob, json, subprocess, sys
minivmm, hosts, tmp = sys.argv[1:]
masks = [tmp + "/parts.mask", "configs/overrides/no-avx.mask"]
seen = set()
odd = json.load(open(hosts + "/penryn.json"))
odd["raw"]["0x80000001"][3] = f"{int(odd['raw']['0x80000001'][3], 16) | 1 << 31:#010x}"
json.dump(odd, open(tmp + "/odd.json", "w"))
def ask(*args):
    return json.loads(subprocess.run([minivmm, *args], capture_output=True, text=True).stdout)
for host in sorted(glob.glob(hosts + "/*.json")) + [tmp + "/odd.json"]:
    for mask in ([], *(["--mask", m] for m in masks)):
        rows = ask("probe", "--predict", "-q", "--json", "--host", host, *mask)["probes"]
        decided = {r["feature"] for r in rows if r["verdict"] != "UNDECIDABLE"}
        leaks = {r["feature"] for r in rows if r["verdict"] == "LEAK"}
        told = set(ask("check", "-q", "--json", "--on", host, *mask, host)[0]["leaks"])
        assert told & decided == leaks, f"{host} {mask}: check alone {told & decided - leaks}, predict alone {leaks - told}"
        seen |= leaks
assert {"SSE4.1", "AVX2", "3DNOW", "SMAP", "RDSEED"} <= seen, seen
PY
check "check names what probe --predict finds, host by host"
