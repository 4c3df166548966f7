#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every move between lab hosts: what the verdict says, and what becomes of the guest.

  matrix.py run BUILD [--hosts=A,B] [--fresh]   all cells; those measured before are kept (BUILD/matrix)
  matrix.py run BUILD [--hosts=A,B] --kept      record what was measured so far, boot nothing
  matrix.py sample BUILD SEED,N                 N random cells of the published table, measured anew
  matrix.py appendix BUILD                      the features of the guide's Appendix A, measured anew
  matrix.py check BUILD [N]                     no emulator: the record (N cells) against today's offline verdicts
  matrix.py docs                                docs/lab-matrix.md and .html from the record

A cell is a source, a destination and a mask: none, the baseline of the two (pair), or one baseline for many (fleet).
First, verdicts are predicted from host files (tests/data/hosts). Then one boot of each source takes all snapshots, and
one of each destination tries all of them. What is accepted has to live: counter, nonce, CPUID and every probe are
looked at. What is refused is forced over, and looked at as well. tests/data/matrix/cells.tsv is the record.
"""
import collections, concurrent.futures, gzip, hashlib, html, itertools, json, os, random, re, shutil, subprocess, sys

import predict

top = predict.top
data = os.path.join(top, "tests/data/matrix")
record = os.path.join(data, "cells.tsv")
# Found by the first runs, and not explained yet: the guest's row sees 1 GiB pages where the prediction does not, or the reverse.
OPEN = {("PDPE1GB", "1-GIB-PAGE")}
MASKS = ("none", "pair", "fleet")
LIMIT = 128 * 1024            # of a snapshot, compressed as it travels
HOSTS = {r[0]: r for r in predict.table(os.path.join(top, "tests/lab/hosts.tsv"))}
vendor = {h: r[2] for h, r in HOSTS.items()}


def matrix_hosts():
    with open(os.path.join(data, "hosts")) as f:
        return f.read().split()


def host_file(h):
    return os.path.join(top, "tests/data/hosts", h + ".json")


def fleet(h):
    """The baseline that stands for a fleet: the program's own for Intel; none of its own fits what TCG can do."""
    return "intel-merom" if vendor[h] == "intel" else os.path.join(data, "lab-amd.mask")


def call(*words, ok=(0,)):
    p = subprocess.run(words, capture_output=True, text=True, errors="replace", cwd=top)
    if p.returncode not in ok:
        sys.exit(f"matrix: {' '.join(words)}: exit {p.returncode}\n{p.stdout}{p.stderr}")
    return p


def digest(*parts):
    h = hashlib.sha256()
    for p in parts:
        h.update(p if isinstance(p, bytes) else str(p).encode())
        h.update(b"\0")
    return h.hexdigest()[:12]


def content(path):
    with open(path, "rb") as f:
        return f.read()


Cell = collections.namedtuple("Cell", "source dest mask")


class Plan:
    """What is to be done, from host files alone."""

    def __init__(self, build, cells, work):
        self.build, self.work, self.cells = build, work, list(cells)
        self.minivmm = os.path.join(build, "minivmm")
        self.program = digest(content(self.minivmm), content(os.path.join(build, "guest-tests/probe.elf")))
        os.makedirs(os.path.join(work, "masks"), exist_ok=True)
        self.mask, self.predicted, self.pairs = {}, {}, {}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(self.predict, self.cells))

    def pair_mask(self, a, b):
        key = tuple(sorted((a, b)))
        if key not in self.pairs:
            path = os.path.join(self.work, "masks", "new-" + "-".join(key))
            p = call(self.minivmm, "baseline", host_file(key[0]), host_file(key[1]), "-o", path, ok=(0, 3))
            if p.returncode:
                self.pairs[key] = None
            else:
                named = os.path.join(self.work, "masks", digest(content(path)) + ".mask")
                os.replace(path, named)
                self.pairs[key] = named
        return self.pairs[key]

    def predict(self, c):
        mask = {"none": "", "pair": None, "fleet": fleet(c.source)}[c.mask]
        if c.mask == "pair":
            mask = self.pair_mask(c.source, c.dest)
            if mask is None:
                self.predicted[c] = ("no-baseline", [], [])
                return
        self.mask[c] = mask
        words = ["--baseline", mask] if mask else []
        p = call(self.minivmm, "check", "--json", "--on", host_file(c.source), *words, host_file(c.dest), ok=(0, 3))
        if not p.stdout.startswith("["):
            self.predicted[c] = ("no-start", sorted(set(re.findall(r"\(([^ ()]*)\) must", p.stdout + p.stderr))), [])
            return
        v = json.loads(p.stdout)[0]
        leaks = self.leaks(c) if v["verdict"] == "accept" else set()
        self.predicted[c] = ("accepted" if v["verdict"] == "accept" else "refused", why(v), leaks,
                             ignorable(v), all(m["subset-accepts"] for m in v["mismatches"]))

    def leaks(self, c):
        """what a guest that is accepted can execute there although it is hidden from it"""
        words = ["--baseline", self.mask[c]] if self.mask[c] else []
        p = call(self.minivmm, "probe", "--predict", "--json", "--host", host_file(c.dest), *words, ok=(0, 6))
        return {k for k, v in predict.verdicts(p.stdout).items() if v == "LEAK"}

    def started(self):
        return [c for c in self.cells if self.predicted[c][0] in ("accepted", "refused")]

    def snapshot(self, c):
        """its name: the same source and mask make the same guest"""
        mask = self.mask[c]
        told = content(mask) if mask.endswith(".mask") else mask
        return f"{c.source}-{digest(self.program, HOSTS[c.source], told)}"

    def key(self, c):
        return digest(self.snapshot(c), HOSTS[c.dest], self.program)


def why(verdict):
    """what a verdict refuses for: features by name, structural rules by theirs"""
    return sorted({m["subject"] if m["rule"] == "symbol" else m["rule"] for m in verdict["mismatches"]})


def ignorable(verdict):
    return sorted({m["subject"] for m in verdict["mismatches"] if m["rule"] == "symbol" and m["subject"]} |
                  {m["rule"] for m in verdict["mismatches"] if m["rule"] != "symbol"})


def nonce(snapshot):
    return digest("nonce", snapshot)


# ---- in the hosts ------------------------------------------------------------------------------------------------

SOURCE = """while read -r name mask nonce; do
	[ "$mask" != - ] || mask=
	minivmm run probe.elf --memory 2M ${mask:+--baseline "$mask"} --append "nodump brief nonce=$nonce sync=1" \\
		--timeout 60 --snapshot-on-sync "out/$name" --stop >"out/$name.txt" 2>&1
	[ ! -f "out/$name" ] || gzip "out/$name"
done <list
"""

DEST = """while read -r name snapshot ignore; do
	gunzip -c "$snapshot.gz" >/tmp/snapshot
	minivmm restore /tmp/snapshot --json --timeout 60 >"out/$name.json" 2>"out/$name.txt"
	rc=$?
	echo $rc >"out/$name.rc"
	[ $rc = 3 ] && [ "$ignore" != - ] || continue
	minivmm restore /tmp/snapshot --unsafe-ignore-cpu "$ignore" --timeout 60 >"out/$name.forced" 2>&1
	echo $? >"out/$name.forced-rc"
done <list
"""


class Lab:
    def __init__(self, plan):
        self.plan = plan
        self.job = os.path.join(plan.work, "job")
        shutil.rmtree(self.job, ignore_errors=True)
        call("tests/lab/job.sh", plan.build, self.job)
        for f in os.listdir(self.job):
            if f.endswith((".elf", ".mask")) and f != "probe.elf":
                os.unlink(os.path.join(self.job, f))

    def boot(self, host, what, lines, script, files):
        """None, or why there is no answer"""
        job = os.path.join(self.plan.work, f"job-{what}-{host}")
        out = os.path.join(self.plan.work, what, host)
        shutil.rmtree(job, ignore_errors=True)
        shutil.copytree(self.job, job)
        for f in files:
            shutil.copy(f, job)
        with open(os.path.join(job, "list"), "w") as f:
            f.writelines(" ".join(words) + "\n" for words in lines)
        with open(os.path.join(job, "run.sh"), "w") as f:
            f.write(script)
        shutil.rmtree(out, ignore_errors=True)
        budget = (int(HOSTS[host][3]) + 8 * len(lines)) * int(os.environ.get("LAB_SLOW", "1"))
        p = subprocess.run([os.path.join(top, "tests/lab/lab"), "run", host, "--job", job, "--out", out,
                            "--timeout", str(budget)], capture_output=True, text=True, errors="replace")
        shutil.rmtree(job)
        if p.returncode == 125:
            return p.stderr.strip().splitlines()[-1]
        print(f"matrix: {host}: {what}, {len(lines)} done", file=sys.stderr, flush=True)
        return None

    def sources(self):
        """boots of sources: {host: problem}"""
        plan, todo = self.plan, collections.defaultdict(dict)
        os.makedirs(os.path.join(plan.work, "snapshots"), exist_ok=True)
        for c in plan.started():
            name = plan.snapshot(c)
            if not os.path.exists(os.path.join(plan.work, "snapshots", name + ".gz")):
                todo[c.source][name] = plan.mask[c]

        def one(host):
            files = {m for m in todo[host].values() if m.endswith(".mask")}
            lines = [(n, os.path.basename(m) or "-", nonce(n)) for n, m in todo[host].items()]
            problem = self.boot(host, "source", lines, SOURCE, files)
            if problem:
                return host, problem
            for n in todo[host]:
                made = os.path.join(plan.work, "source", host, n)
                if not os.path.exists(made + ".gz"):
                    return host, f"no snapshot {n}: {content(made + '.txt').decode(errors='replace')[-300:]}"
                if os.path.getsize(made + ".gz") > LIMIT:
                    return host, f"snapshot {n} has more than {LIMIT} bytes"
                shutil.copy(made + ".gz", os.path.join(plan.work, "snapshots"))
            return host, None
        return side_by_side(one, todo)

    def dests(self, cells):
        plan, todo = self.plan, collections.defaultdict(list)
        for c in cells:
            todo[c.dest].append(c)

        def one(host):
            files = {os.path.join(plan.work, "snapshots", plan.snapshot(c) + ".gz") for c in todo[host]}
            lines = [(plan.key(c), plan.snapshot(c), ",".join(plan.predicted[c][3]) or "-") for c in todo[host]]
            problem = self.boot(host, "dest", lines, DEST, files)
            if not problem:
                keep = os.path.join(plan.work, "cells")
                for f in os.listdir(os.path.join(plan.work, "dest", host)):
                    shutil.move(os.path.join(plan.work, "dest", host, f), os.path.join(keep, f))
            return host, problem
        os.makedirs(os.path.join(plan.work, "cells"), exist_ok=True)
        return side_by_side(one, todo)


def side_by_side(one, todo):
    # The slow emulator first; as many at a time as there are cores.
    order = sorted(todo, key=lambda h: (HOSTS[h][1] != "bochs", h))
    jobs = int(os.environ.get("LAB_JOBS") or os.cpu_count())
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return {h: p for h, p in pool.map(one, order) if p}


# ---- what became of the guest --------------------------------------------------------------------------------------

def rows(text, verdict):
    """{(feature, instruction)}"""
    found = re.findall(r"^probe: (\S+) +0x\S+ e.x:\d+ +cpl\d (.*?) +cpuid=.* (\w+)(?: unproven)?$", text, re.M)
    return {m[:2] for m in found if m[2] == verdict}


def features(text):
    return sorted({f for f, _ in rows(text, "BROKEN")})


def life(text, want_nonce):
    """what is wrong with a guest that was moved, or None; BROKEN features are told apart"""
    if f"probe: nonce {want_nonce} counter 2" not in text:
        return "counter or nonce are lost"
    if "pass 2 cpuid identical" not in text:
        return "its CPUID changed"
    if not re.search(r"summary .* cpuid-diff=0", text):
        return "its CPUID is not what it was told"
    return None


def judge(plan, c):
    """(verdict, because, outcome), and problems"""
    predicted = plan.predicted[c]
    name = f"{c.source} to {c.dest}, {c.mask}"
    if predicted[0] in ("no-baseline", "no-start"):
        return (predicted[0], predicted[1], "-"), []
    at = os.path.join(plan.work, "cells", plan.key(c))
    rc = int(content(at + ".rc"))
    text = content(at + ".txt").decode(errors="replace").translate({0: None, 13: None})
    report = json.loads(content(at + ".json") or "{}") if rc == 3 else {}
    verdict = "refused" if rc == 3 else "accepted"
    because = why(report) if rc == 3 else []
    problems = []
    if (verdict, because) != (predicted[0], predicted[1]):
        problems.append(f"{name}: predicted {predicted[0]} {predicted[1]}, restore said {verdict} {because} ({rc})")
        return (verdict, because, "-"), problems
    if verdict == "accepted":
        wrong = life(text, nonce(plan.snapshot(c)))
        broken = features(text)
        dead = rc or wrong or broken
        if dead:
            problems.append(f"{name}: accepted, and then: {wrong or broken or f'exit {rc}'}")
        known = {k[:2] for k in predict.exceptions(c.dest)} | OPEN
        different = (rows(text, "LEAK") ^ predicted[2]) - known
        if different:
            problems.append(f"{name}: leaks are not as predicted: {sorted(different)}")
        return (verdict, [], "died" if dead else "lived"), problems
    if not os.path.exists(at + ".forced-rc"):
        return (verdict, because, "not forced"), [f"{name}: it was not forced over"]
    rc = int(content(at + ".forced-rc"))
    text = content(at + ".forced").decode(errors="replace").translate({0: None, 13: None})
    broken = features(text)
    if "probe: pass 2" not in text:
        end = [line for line in text.splitlines() if line.startswith("minivmm:") and "warning" not in line]
        end = end[-1][9:].strip() if end else f"exit {rc}"
        how = "not forced" if "255 bytes" in end else "not loaded"
        return (verdict, because, f"{how}: {end}"), problems
    wrong = life(text, nonce(plan.snapshot(c)))
    if broken:
        outcome = "broken: " + " ".join(broken)
    elif wrong or rc:
        outcome = wrong or f"exit {rc}"
    else:
        outcome = "survived" + (", subset accepts" if predicted[4] else "")
    return (verdict, because, outcome), problems


# ---- the record ----------------------------------------------------------------------------------------------------

def read_record():
    return {Cell(*r[:3]): (r[3], r[4].split() if r[4] != "-" else [], r[5]) for r in predict.table(record)}


def write_record(results):
    with open(record, "w") as f:
        print("# source", "destination", "mask", "verdict", "because", "outcome", sep="\t", file=f)
        for c in sorted(results):
            v, because, outcome = results[c]
            print(*c, v, " ".join(because) or "-", outcome, sep="\t", file=f)


def measure(build, cells, work, boot=True):
    """{cell: result}, problems; cells without an answer are missing"""
    plan = Plan(os.path.abspath(build), cells, work)
    problems = boots(plan, work) if boot else []
    results = {}
    for c in plan.cells:
        if plan.predicted[c][0] in ("accepted", "refused") and \
                not os.path.exists(os.path.join(work, "cells", plan.key(c) + ".rc")):
            continue
        results[c], more = judge(plan, c)
        problems += more
    return results, problems


def boots(plan, work):
    """problems"""
    lab = Lab(plan)
    lost = lab.sources()
    problems = [f"{h} (source): {p}" for h, p in lost.items()]
    have = [c for c in plan.started() if os.path.exists(os.path.join(work, "snapshots", plan.snapshot(c) + ".gz"))]
    lost = lab.dests([c for c in have if not os.path.exists(os.path.join(work, "cells", plan.key(c) + ".rc"))])
    return problems + [f"{h} (destination): {p}" for h, p in lost.items()]


def all_cells(hosts):
    return [Cell(a, b, m) for a, b in itertools.permutations(hosts, 2) for m in MASKS]


def appendix():
    """(feature, rich, poor)"""
    return [tuple(r[:3]) for r in predict.table(os.path.join(data, "appendix.tsv"))]


def appendix_cells():
    return [Cell(a, b, m) for _, a, b in appendix() for m in ("none", "pair")]


def appendix_problems(results):
    """Scenarios that were not run are no problem here, and not counted."""
    problems = []
    for feature, a, b in appendix():
        refused, moved = (results.get(Cell(a, b, m)) for m in ("none", "pair"))
        if not refused and not moved:
            continue
        if not refused or refused[0] != "refused" or feature not in refused[1]:
            problems.append(f"{feature}: {a} to {b} is not refused for it: {refused}")
        if vendor[a] == vendor[b] and (not moved or moved[2] != "lived"):
            problems.append(f"{feature}: under their baseline {a} to {b} is not accepted and lives: {moved}")
    return problems


def finish(problems, ok):
    for p in problems:
        print("not ok " + p)
    if not problems:
        print("ok " + ok)
    sys.exit(bool(problems))


def differences(results, published):
    return [f"{' '.join(c)}: published {published.get(c)}, now {r}" for c, r in results.items() if published.get(c) != r]


def do_run(build, *options):
    hosts, work, boot = matrix_hosts(), os.path.join(os.path.abspath(build), "matrix"), True
    for o in options:
        if o.startswith("--hosts="):
            hosts = o[8:].split(",")
        elif o == "--kept":
            boot = False
        elif o == "--fresh":
            shutil.rmtree(work, ignore_errors=True)
        else:
            sys.exit(__doc__)
    unknown = [h for h in hosts if h not in HOSTS]
    if unknown:
        sys.exit(f"matrix: no host named {unknown[0]}; see: tests/lab/lab list")
    write_fleet(build)
    cells = list(dict.fromkeys(all_cells(hosts) + appendix_cells()))
    results, problems = measure(build, cells, work, boot)
    problems += appendix_problems(results)
    if boot:
        problems += [f"{' '.join(c)}: no answer" for c in cells if c not in results][:5]
    before = read_record() if os.path.exists(record) else {}
    changed = differences({c: r for c, r in results.items() if c in before}, before)
    # What was not run stays, if its hosts do.
    known = set(all_cells(matrix_hosts()) + appendix_cells())
    write_record({c: r for c, r in (before | results).items() if c in known})
    do_docs()
    finish(problems + changed, f"{len(results)} cells, {len(hosts)} hosts")


def write_fleet(build):
    amd = [host_file(h) for h in matrix_hosts() if vendor[h] == "amd"]
    call(os.path.join(build, "minivmm"), "baseline", "--ignore-tsc", *amd, "-o", os.path.join(data, "lab-amd.mask"))


def do_sample(build, spec):
    if not re.fullmatch(r"\d+,[1-9]\d*", spec):
        sys.exit("matrix: SAMPLE takes a seed and a number of cells: SAMPLE=7,12")
    seed, n = map(int, spec.split(","))
    published = read_record()
    cells = random.Random(seed).sample(sorted(c for c in published if published[c][0] in ("accepted", "refused")), n)
    anew(build, cells, f"a sample of {n} cells, seed {seed}, is as published")


def do_appendix(build):
    anew(build, dict.fromkeys(appendix_cells()), f"{len(appendix())} scenarios of Appendix A are as published")


def anew(build, cells, ok):
    published, work = read_record(), os.path.join(os.path.abspath(build), "matrix-sample")
    shutil.rmtree(work, ignore_errors=True)
    results, problems = measure(build, cells, work)
    problems += [f"{' '.join(c)}: no answer" for c in cells if c not in results]
    for c in results:
        print(" ".join(c), *results[c][:1], ",".join(results[c][1]) or "-", results[c][2], file=sys.stderr)
    finish(problems + differences(results, published), ok)


def do_check(build, n=None):
    """Offline verdicts of today against the record: what a change of the comparator would show first."""
    published, work = read_record(), os.path.join(os.path.abspath(build), "matrix-check")
    cells = sorted(published)[::max(1, len(published) // int(n))] if n else published
    plan = Plan(os.path.abspath(build), cells, work)
    problems = [f"{' '.join(c)}: recorded {published[c][:2]}, predicted {plan.predicted[c][:2]}"
                for c in plan.cells if (plan.predicted[c][0], plan.predicted[c][1]) != published[c][:2]]
    problems += appendix_problems(published)
    problems += [f"{' '.join(c)}: accepted and {r[2]}" for c, r in published.items()
                 if r[0] == "accepted" and r[2] != "lived"]
    with open(os.path.join(top, "docs/lab-matrix.md")) as f:
        if f.read() != markdown(published):
            problems.append("docs/lab-matrix.md is not what tests/lab/matrix.py docs makes of the record")
    finish(problems, f"{len(plan.cells)} cells of the record are predicted as measured")


# ---- documents -----------------------------------------------------------------------------------------------------

SIGNS = {"lived": "+", "broken": "B", "survived": "s", "guide": "g", "not loaded": "x", "not forced": "r", "no-baseline": "-",
         "no-start": "!", "other": "?", "": " "}
MEANING = {"lived": "accepted, and the guest lived", "broken": "refused; forced over, a named feature was broken",
           "survived": "refused; forced over, it survived", "guide": "the same, and --rule subset would accept",
           "not loaded": "refused; forced over, its state could not be loaded",
           "not forced": "refused, for more than --unsafe-ignore-cpu takes (255 bytes)",
           "no-baseline": "the two have no baseline", "no-start": "does not start there under that baseline",
           "other": "something else", "": "not run"}
TITLES = {"none": "No override", "pair": "The baseline of the two hosts", "fleet": "One baseline for many"}


def kind(result):
    if result is None:
        return ""
    verdict, _, outcome = result
    if verdict.startswith("no-"):
        return verdict
    if outcome == "survived, subset accepts":
        return "guide"
    return next((k for k in ("lived", "broken", "survived", "not loaded", "not forced") if outcome.startswith(k)), "other")


def explain(because):
    """which rule refuses a guest that would have survived"""
    rule = {"vendor": "vendor", "tsc": "tsc", "family": "H: family", "max-leaf": "max-leaf"}
    for b in ("vendor", "tsc"):
        if b in because:
            return rule[b]
    return " ".join(because)


def markdown(results):
    hosts = matrix_hosts()
    lines = ["# Every move between lab hosts", "",
             "Written by `make lab-matrix` (`tests/lab/matrix.py`); the record is `tests/data/matrix/cells.tsv`. "
             "[lab.md](lab.md) says what the hosts are.", "",
             "A guest is started on the host of the row, saved, and restored on the host of the column. The verdict was "
             "predicted from", "two host files, and then given by `restore` in the host: the same mismatches, or the run "
             "fails. A guest that is accepted has", "its counter, its nonce, its CPUID and the outcome of every probe looked "
             "at. One that is refused is forced over with", "`--unsafe-ignore-cpu` and looked at, too.", ""]
    for k in ("lived", "broken", "survived", "guide", "not loaded", "not forced", "no-baseline", "no-start", "other", ""):
        if any(kind(results.get(c)) == k for c in all_cells(hosts)):
            lines.append(f"    {SIGNS[k] if k else 'blank'}  {MEANING[k]}")
    number = {h: i for i, h in enumerate(hosts, 1)}
    missing = sum(c not in results for c in all_cells(hosts))
    if missing:
        lines += ["", f"**{missing} of {len(all_cells(hosts))} cells have not been run yet**; `make lab-matrix` goes on where it "
                  "stopped."]
    for m in MASKS:
        cells = [c for c in all_cells(hosts) if c.mask == m]
        count = collections.Counter(kind(results.get(c)) for c in cells)
        lines += ["", f"## {TITLES[m]}", "", ", ".join(
            f"{n} × {SIGNS[k]} {MEANING[k]}" if k else f"{n} not run" for k, n in count.most_common()) + ".", "", "```"]
        lines.append(" " * 19 + " ".join(f"{i:2}" for i in number.values()))
        for a in hosts:
            row = [" ·" if a == b else f" {SIGNS[kind(results.get(Cell(a, b, m)))]}" for b in hosts]
            lines.append(f"{number[a]:2} {a:15} " + " ".join(row).rstrip())
        lines.append("```")
        if m == "fleet":
            lines += ["", "AMD hosts: `tests/data/matrix/lab-amd.mask`, made by `minivmm baseline --ignore-tsc` of them all. "
                      "Intel hosts: `intel-merom`;", "`penryn` and `kentsfield` lack ARAT and TSC-ADJUST, which it asks for."]
    survived = collections.Counter()
    example = {}
    for c in all_cells(hosts):
        r = results.get(c)
        if r and kind(r) in ("survived", "guide"):
            survived[explain(r[1]), kind(r)] += 1
            example.setdefault((explain(r[1]), kind(r)), c)
    lines += ["", "## Refused although it survived", "",
              "The probe guest uses nothing that it is not shown, once. That it survived is no proof that another guest would: it "
              "says which", "refusals rest on a rule (`docs/verdict-rules.md`) and not on an instruction that fails.", "",
              "| refused for | subset accepts | cells | for example |", "|---|---|---|---|"]
    for (text, k), n in survived.most_common():
        c = example[text, k]
        shown = text if len(text) < 100 else text[:text.rfind(" ", 0, 96)] + " …"
        lines.append(f"| {shown} | {'yes' if k == 'guide' else 'no'} | {n} | {c.source} to {c.dest}, {c.mask} |")
    failed = collections.Counter(r[2] for c, r in results.items() if r[2].startswith("not loaded"))
    if failed:
        lines += ["", "## What KVM did not load", "", "| message | cells |", "|---|---|"]
        lines += [f"| {t[12:]} | {n} |" for t, n in failed.most_common()]
    other = {c: r for c, r in results.items() if kind(r) == "other"}
    if other:
        lines += ["", "## Something else", "", "| from | to | mask | outcome |", "|---|---|---|---|"]
        lines += [f"| {c.source} | {c.dest} | {c.mask} | {r[2]} |" for c, r in sorted(other.items())]
    lines += ["", "## The guide's Appendix A", "",
              "Pairs of hosts that differ in the feature. Refused for what is named; under their baseline it is moved and lives. "
              "The rest of", "that list is in [guide-replay.md](guide-replay.md).", "",
              "| feature | from | to | refused for | forced over | under their baseline |", "|---|---|---|---|---|---|"]
    for feature, a, b in appendix():
        r, p = (results.get(Cell(a, b, m)) for m in ("none", "pair"))
        if not r:
            lines.append(f"| {feature} | {a} | {b} | not run | | |")
        else:
            named = r[1] if len(r[1]) < 9 else r[1][:8] + ["…"]
            lines.append(f"| {feature} | {a} | {b} | {' '.join(named)} | {r[2]} | {p[2] if p and p[2] != '-' else p[0] if p else ''} |")
    return "\n".join(lines) + "\n"


STYLE = """:root{color-scheme:light dark;--bg:#fff;--fg:#1a1a1a;--muted:#666;--none:#eee;--lived:#2e8b57;--broken:#b3261e;
--survived:#d8a200;--guide:#f0d98a;--notloaded:#7b4f9d;--notforced:#8a5a3c;--nobaseline:#d5d9de;--nostart:#aab4c0;--other:#000}
@media(prefers-color-scheme:dark){:root{--bg:#16181b;--fg:#e6e6e6;--muted:#9aa0a6;--none:#24272b;--lived:#3aa76d;
--broken:#e0564c;--survived:#c99a1a;--guide:#75673a;--notloaded:#9a6fc0;--notforced:#a8744f;--nobaseline:#3a3f45;--nostart:#565f6a;--other:#fff}}
body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}p{max-width:46rem}.scroll{overflow-x:auto}
table{border-collapse:separate;border-spacing:2px;font-size:12px}th{font-weight:400;text-align:right;padding-right:.4rem;white-space:nowrap}
thead th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;padding:.3rem 0 0}
td{width:21px;min-width:21px;height:21px;text-align:center;color:#fff;border-radius:2px;font-size:11px}
td:focus,td:hover{outline:2px solid var(--fg)}ul{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1.4rem}
li span{display:inline-block;width:1.3em;height:1.3em;text-align:center;color:#fff;border-radius:2px;margin-right:.4em;font-size:12px}
.guide,.nobaseline,.none{color:#222!important}@media(prefers-color-scheme:dark){.guide,.nobaseline{color:#ddd!important}}
""" + "".join(f".{k}{{background:var(--{k})}}" for k in
              ("lived", "broken", "survived", "guide", "notloaded", "notforced", "nobaseline", "nostart", "other", "none"))


def css(k):
    return k.replace(" ", "").replace("-", "") or "none"


def page(results):
    hosts, out = matrix_hosts(), []
    used = [k for k in SIGNS if any(kind(results.get(c)) == k for c in all_cells(hosts))]
    out.append("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
               f"<title>Every move between lab hosts</title><style>{STYLE}</style><h1>Every move between lab hosts</h1>"
               "<p>Rows: where the guest was saved. Columns: where it was restored. A cell names its reasons when pointed at; "
               "<a href=lab-matrix.md>the same as text</a>.</p><ul>")
    out += [f"<li><span class={css(k)}>{html.escape(SIGNS[k])}</span>{html.escape(MEANING[k])}" for k in used]
    out.append("</ul>")
    for m in MASKS:
        out.append(f"<h2>{html.escape(TITLES[m])}</h2><div class=scroll><table><thead><tr><th></th>" +
                   "".join(f"<th scope=col>{h}</th>" for h in hosts) + "</tr></thead><tbody>")
        for a in hosts:
            row = [f"<tr><th scope=row>{a}</th>"]
            for b in hosts:
                r = results.get(Cell(a, b, m))
                if a == b:
                    row.append("<td></td>")
                    continue
                k = kind(r)
                text = f"{a} to {b}: {MEANING[k]}"
                if r and r[1]:
                    text += f" ({' '.join(r[1])})"
                if r and k in ("broken", "not loaded", "other"):
                    text += f"; {r[2]}"
                row.append(f"<td class={css(k)} title='{html.escape(text, True)}'>{html.escape(SIGNS[k])}</td>")
            out.append("".join(row) + "</tr>")
        out.append("</tbody></table></div>")
    return "\n".join(out) + "</html>\n"


def do_docs():
    results = read_record()
    for name, text in (("lab-matrix.md", markdown(results)), ("lab-matrix.html", page(results))):
        with open(os.path.join(top, "docs", name), "w") as f:
            f.write(text)


if __name__ == "__main__":
    commands = {n[3:]: f for n, f in globals().items() if n.startswith("do_")}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
