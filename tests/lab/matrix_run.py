# SPDX-License-Identifier: MIT
"""matrix.py in the hosts: boots that take snapshots, boots that try them, and what became of the guests."""
import collections, concurrent.futures, gzip, json, os, re, shutil, subprocess, sys, tempfile

import predict
from matrix_plan import HOSTS, Plan, call, content, digest, leaks, top, why

LIMIT = 128 * 1024            # of a snapshot, compressed as it is kept


def nonce(snapshot):
    return digest("nonce", snapshot)


# XDG_RUNTIME_DIR: what was proved about the host is kept for the next run. Snapshots travel uncompressed on the disk and in
# the initrd: gzip takes longer under Bochs than the guest.
SOURCE = """export XDG_RUNTIME_DIR=/tmp
while read -r name mask nonce; do
	[ "$mask" != - ] || mask=
	minivmm run probe.elf --memory 2M ${mask:+--baseline "$mask"} --append "nodump brief nonce=$nonce sync=1" \\
		--timeout 120 --snapshot-on-sync "out/$name" --stop >"out/$name.txt" 2>&1
done <list
"""

DEST = """export XDG_RUNTIME_DIR=/tmp
while read -r name snapshot ignore; do
	minivmm restore "$snapshot" --json --timeout 120 >"out/$name.json" 2>"out/$name.txt"
	rc=$?
	echo $rc >"out/$name.rc"
	[ $rc = 3 ] && [ "$ignore" != - ] || continue
	minivmm restore "$snapshot" --unsafe-ignore-cpu "$ignore" --timeout 120 >"out/$name.forced" 2>&1
	echo $? >"out/$name.forced-rc"
done <list
"""


def timed(words):
    """(status, seconds of CPU, what it said on stderr); a command and all it waited for"""
    with tempfile.TemporaryFile() as err:
        p = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        return p.returncode, used.ru_utime + used.ru_stime, err.read().decode(errors="replace")


class Lab:
    def __init__(self, plan):
        self.plan, self.cpu = plan, collections.Counter()
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
            if f.endswith(".gz"):
                with open(os.path.join(job, os.path.basename(f)[:-3]), "wb") as raw:
                    raw.write(gzip.decompress(content(f)))
            else:
                shutil.copy(f, job)
        with open(os.path.join(job, "list"), "w") as f:
            f.writelines(" ".join(words) + "\n" for words in lines)
        with open(os.path.join(job, "run.sh"), "w") as f:
            f.write(script)
        shutil.rmtree(out, ignore_errors=True)
        budget = (int(HOSTS[host][3]) + 8 * len(lines)) * int(os.environ.get("LAB_SLOW", "1"))
        status, cpu, err = timed([os.path.join(top, "tests/lab/lab"), "run", host, "--job", job, "--out", out,
                                  "--timeout", str(budget)])
        shutil.rmtree(job)
        self.cpu[host] += cpu
        if status == 125:
            return err.strip().splitlines()[-1]
        print(f"matrix: {host}: {what}, {len(lines)} done, {cpu:.0f} s of CPU", file=sys.stderr, flush=True)
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
                # The exit status after the move is also about what came before it.
                if rows(content(made + ".txt").decode(errors="replace"), "BROKEN"):
                    return host, f"snapshot {n}: the guest found its own host broken (an emulator lost its XCR0?): again"
                if not os.path.exists(made):
                    return host, f"no snapshot {n}: {content(made + '.txt').decode(errors='replace')[-300:]}"
                packed = gzip.compress(content(made), mtime=0)
                if len(packed) > LIMIT:
                    return host, f"snapshot {n} has more than {LIMIT} bytes"
                with open(os.path.join(plan.work, "snapshots", n + ".gz"), "wb") as f:
                    f.write(packed)
                os.unlink(made)
            return host, None
        return side_by_side(one, todo)

    def dests(self, cells):
        plan, todo = self.plan, collections.defaultdict(list)
        for c in cells:
            todo[c.dest].append(c)

        def some(host, cells, force=True):
            """A guest that ends the emulator takes the others' results along: they go in halves then."""
            files = {os.path.join(plan.work, "snapshots", plan.snapshot(c) + ".gz") for c in cells}
            lines = [(plan.key(c), plan.snapshot(c), force and ",".join(plan.predicted[c][3]) or "-") for c in cells]
            problem = self.boot(host, "dest", lines, DEST, files)
            if not problem:
                keep = os.path.join(plan.work, "cells")
                for f in os.listdir(os.path.join(plan.work, "dest", host)):
                    shutil.move(os.path.join(plan.work, "dest", host, f), os.path.join(keep, f))
            elif not re.search("ended by itself|not done", problem):
                return problem
            elif len(cells) > 1:
                half = len(cells) // 2
                return some(host, cells[:half]) or some(host, cells[half:])
            elif force and plan.predicted[cells[0]][0] == "refused":
                with open(os.path.join(plan.work, "cells", plan.key(cells[0]) + ".died"), "w") as f:
                    f.write(problem)
                return some(host, cells, False)
            return problem

        def one(host):
            # The same snapshot on the same host is the same cell.
            return host, some(host, list({plan.key(c): c for c in todo[host]}.values()))
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
    found = re.findall(r"^probe: (\S+) +0x\S+ e.x:\d+ +cpl\d (.*?) +cpuid=.* ([A-Z]+)(?: unproven)?$", text, re.M)
    return {m[:2] for m in found if m[2] == verdict}


def known_leaks(host):
    return {tuple(r[1:3]) for r in leaks() if predict.applies(r[0], host)}


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
        known = {k[:2] for k in predict.exceptions(c.dest)} | known_leaks(c.dest)
        different = (rows(text, "LEAK") ^ predicted[2]) - known
        if different:
            problems.append(f"{name}: leaks are not as predicted: {sorted(different)}")
        return (verdict, [], "died" if dead else "lived"), problems
    if os.path.exists(at + ".died"):
        return (verdict, because, "the host died"), problems
    if not os.path.exists(at + ".forced-rc"):
        return (verdict, because, "not forced"), [f"{name}: it was not forced over"]
    rc = int(content(at + ".forced-rc"))
    text = content(at + ".forced").decode(errors="replace").translate({0: None, 13: None})
    broken = features(text)
    if "probe: pass 2" not in text:
        end = [line for line in text.splitlines() if line.startswith("minivmm:") and "warning" not in line]
        end = end[-1][9:].strip() if end else f"exit {rc}"
        return (verdict, because, f"not loaded: {end}"), problems
    wrong = life(text, nonce(plan.snapshot(c)))
    if broken:
        outcome = "broken: " + " ".join(broken)
    elif wrong or rc:
        outcome = wrong or f"exit {rc}"
    else:
        outcome = "survived" + (", subset accepts" if predicted[4] else "")
    return (verdict, because, outcome), problems


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
    print(f"matrix: {lab.cpu.total():.0f} s of CPU in hosts:", *(f"{h} {s:.0f}" for h, s in lab.cpu.most_common()),
          file=sys.stderr)
    return problems + [f"{h} (destination): {p}" for h, p in lost.items()]
