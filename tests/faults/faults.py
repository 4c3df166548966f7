#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""faults.py BUILD [sample=N] [only=SCENARIO,…] [at=FUNCTION:N:KIND]: every call of the C library that a command makes
fails in turn, in each way that tests/faults/preload.c has for it; and the process has fewer and fewer descriptors.

Whatever fails, there is no crash and no hang; the exit code is one of the program's own, and a failure has a message;
EINTR and short transfers change nothing; an old file stays whole or is replaced by a whole one; no file, temporary or
socket, is left behind; of a moved guest there are never two.

One line a scenario and function. sample=N: about N points of most scenarios, the same every time, of different
callers. at=: one point, with what the program said."""
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from listening import listens

build = os.path.abspath(sys.argv[1])
options = dict(a.split("=", 1) for a in sys.argv[2:])
minivmm = os.path.join(build, "minivmm")
image = os.path.join(build, "guest-tests/hello.elf")
preload = os.path.join(build, "tests/faults/preload.so")
PATIENCE = 20  # seconds until something hangs
ROW = struct.Struct("<24s40sII")
SITES = 4096
EXIT_CODES = {0, 1, 2, 3, 4, 5, 6, 7}
# What has to be repeated or gone on with; a connection or an opening that was interrupted may be an error.
TRANSPARENT = {(f, k) for k in ("EINTR", "SHORT") for f in (
    "read", "pread", "preadv", "write", "pwritev", "send", "recv", "poll", "flock", "accept4")}
# What was found once is in every sample.
FOUND = {"listen"}
# Without these a file can't be removed, or not be put in its place.
NO_CLEANING = {"unlink"}


class State:
    """The preloaded library's counters."""

    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        self.rows, size = {}, ROW.size + 8 * SITES
        tail = 8 + 104
        for at in range(0, len(data) - tail, size):
            name, kinds, calls, _ = ROW.unpack_from(data, at)
            sites = struct.unpack_from(f"<{min(calls, SITES)}Q", data, at + ROW.size)
            self.rows[name.split(b"\0")[0].decode()] = (kinds.split(b"\0")[0].decode().split(), sites)
        self.hit = struct.unpack_from("<I", data, len(data) - tail)[0]
        self.where = data[len(data) - 104:].split(b"\0")[0].decode()

    def source(self):
        """File and line of the call that failed."""
        name, _, offset = self.where.partition("+")
        if name != "minivmm" or not shutil.which("addr2line"):
            return self.where
        out = subprocess.run(["addr2line", "-e", minivmm, "-s", hex(int(offset, 16) - 1)], capture_output=True, text=True)
        return out.stdout.strip()


class Process:
    def __init__(self, env, *args, faulty=False):
        self.args, self.told = args, False
        env = dict(os.environ, XDG_RUNTIME_DIR=os.path.abspath("run"), **(env if faulty else {}))
        if faulty and preloaded(env):
            env["LD_PRELOAD"] = preload
        limit = env.get("MV_NOFILE")
        command = (["prlimit", f"--nofile={limit}:{limit}"] if faulty and limit else []) + [minivmm, *args]
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err)

    def alive(self):
        return self.process.poll() is None

    def text(self, f):
        # Not by its position, which the process writes at.
        size = os.fstat(f.fileno()).st_size
        return os.pread(f.fileno(), size, 0).replace(b"\0", b"").decode(errors="replace")

    def wait(self, seconds=PATIENCE):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self):
        """Ended by now, or made to."""
        if self.alive():
            self.process.kill()
        self.process.wait()

    def give_up(self):
        """By a signal, which then is how it ends."""
        if self.alive():
            self.told = True
            self.process.terminate()

    @property
    def code(self):
        code = self.process.returncode
        return 1 if self.told and code in (-signal.SIGTERM, 128 + signal.SIGTERM) else code


def preloaded(env):
    return "MV_FAULTS" in env


def faults(env):
    return "MV_FAULT" in env or "MV_NOFILE" in env


def until(what, seconds=PATIENCE):
    end = time.time() + seconds
    while time.time() < end:
        if what():
            return True
        time.sleep(0.005)
    return False


def files():
    return sorted(os.path.relpath(os.path.join(d, n)) for d, _, names in os.walk(".") for n in names)


class Problem(Exception):
    pass


def must(condition, what):
    if not condition:
        raise Problem(what)


# ---- scenarios: what runs, and what has to hold besides ----
# Each is called with the environment of the process that is to be hit, and returns its processes, that one first.

def one(env, *args):
    p = Process(env, *args, faulty=True)
    ended = p.wait()
    p.end()
    must(ended, "hangs")
    return [p]


def check(env):
    return one(env, "check", "old.snap", "host.json")


def run(env):
    return one(env, "run", image, "-q", "--name", "v", "--append", "some words")


def run_cold(env):
    """Nothing is known of this host yet; what is remembered of it in spite of the fault is right."""
    shutil.rmtree("run/minivmm", ignore_errors=True)
    r = one(env, "run", image, "-q", "--name", "v", "--append", "some words")
    again = Process({}, "run", image, "-q", "--append", "again")
    must(again.wait() and again.code == 0 and "again" in again.text(again.out),
         "the next run fails, too: " + again.text(again.err))
    return r


COUNTER = ("--append", "mode=counter ticks=6 delay=1")


def whole_or_old(path, old, changed):
    """changed: it must be another one now; None: it may."""
    with open(path, "rb") as f:
        same = f.read() == old
    must(changed is not True or not same, "success, but the old file")
    must(changed is not False or same, "failure, and another file")
    p = Process({}, "restore", path, "-q")
    must(p.wait() and p.code == 0, "the file does not restore: " + p.text(p.err))


def save(env):
    shutil.copy("old.snap", "s.snap")
    with open("old.snap", "rb") as f:
        old = f.read()
    r = one(env, "run", image, "-q", *COUNTER, "--snapshot-on-sync", "s.snap", "--stop")
    ok = r[0].code == 0
    # Saved, but the folder could not be flushed, or what the guest wrote is lost; or the guest went on because it
    # could not be saved.
    excuse = re.search("saved, but|standard output: ", r[0].text(r[0].err))
    whole_or_old("s.snap", old, None if ok or excuse else False)
    return r


def a_vm(env, faulty, *more):
    return Process(env, "run", image, "-q", "--name", "v", "--append", "mode=counter ticks=1000000 delay=20000", *more,
                   faulty=faulty)


def is_up(name="v"):
    return listens(f"run/minivmm/{name}.sock")


def stop(p, name="v"):
    """The fault may strike the asking, too: once."""
    for _ in range(2):
        if p.alive() and is_up(name):
            s = Process({}, "stop", name)
            if s.wait() and s.code == 0:
                p.wait()


def goes_on():
    s = Process({}, "status", "v")
    return s.wait() and "running" in s.text(s.out)


def snapshot(env):
    """The asking side of it."""
    vm = a_vm(env, False)
    try:
        must(until(is_up), "the VM does not come up")
        r = one(env, "snapshot", "v", "s.snap", "--compress")
        must(vm.alive(), "the VM ended")
        # Who asked may have gone before the file was complete.
        must(until(goes_on), "the VM does not run any more")
        if r[0].code == 0:
            must(os.path.exists("s.snap"), "success, and no file")
        stop(vm)
        return r + [vm]
    finally:
        vm.end()


def snapshot_vm(env):
    """The saving side."""
    vm = a_vm(env, True)
    try:
        if until(lambda: is_up() or not vm.alive()) and vm.alive():
            ask = Process({}, "snapshot", "v", "s.snap", "--compress", "--stop")
            must(ask.wait(), "the one who asked hangs")
            must(ask.code in EXIT_CODES, f"the one who asked: status {ask.code}")
            if ask.code == 0:
                must(vm.wait(), "saved, and does not end")
                i = Process({}, "inspect", "s.snap")
                must(i.wait() and i.code == 0, "the file is damaged: " + i.text(i.err))
            stop(vm)
        must(vm.wait(), "hangs")
        return [vm]
    finally:
        vm.end()


def restore(env):
    return one(env, "restore", "old.snap", "-q")


def restore_eager(env):
    return one(env, "restore", "packed.snap", "-q")


def runs(p):
    before = len(p.text(p.out))
    return until(lambda: len(p.text(p.out)) != before or not p.alive(), 0.3) and p.alive()


def move(env, victim):
    """A migration; victim: source, destination or client."""
    # Where nothing fails nobody may give up, on a busy machine either.
    silence, limit = ("2", "9") if faults(env) else ("20", "60")
    address = f"unix:{os.getcwd()}/m.sock"
    source = a_vm(env, victim == "source")
    target = Process(env, "receive", address, "-q", "--name", "d", "--timeout", limit, "--peer-timeout", silence,
                     faulty=victim == "destination")
    procs, client = [source, target], None
    try:
        ready = until(lambda: (is_up() or not source.alive()) and (listens("m.sock") or not target.alive()))
        must(ready, "does not come up")
        client = Process(env, "migrate", "v", address, "--peer-timeout", silence, "-q",
                         faulty=victim == "client")
        must(client.wait(), "migrate hangs")
        procs.append(client)
        here, there = source.alive() and runs(source), target.alive() and runs(target)
        must(not (here and there), "two of them run")
        if client.code == 0:
            must(not here, "moved, and runs on at the source")
        stop(source)
        if client.code and not is_up("d"):
            target.give_up()
        must(until(lambda: is_up("d") or not target.alive()), "the destination hangs")
        stop(target, "d")
        must(source.wait(), "the source does not end")
        must(target.wait(), "the destination does not end")
        hit = {"source": source, "destination": target, "client": client}[victim]
        return [hit] + [p for p in procs if p is not hit]
    finally:
        for p in procs:
            p.end()
        # One that was ended while it still waited leaves its socket, as anything does that is killed; the next takes it.
        if os.path.exists("m.sock") and (victim != "destination" or target.told
                                         or env.get("MV_FAULT", "").startswith("unlink")):
            os.unlink("m.sock")


SCENARIOS = {
    "check": check, "run": run, "save": save, "restore": restore, "restore-eager": restore_eager, "run-cold": run_cold,
    "snapshot": snapshot, "snapshot-vm": snapshot_vm,
    "receive": lambda env: move(env, "destination"), "migrate-source": lambda env: move(env, "source"),
    "migrate": lambda env: move(env, "client"),
}
# Their output is not the same every time.
TIMED = {"snapshot", "snapshot-vm", "receive", "migrate-source", "migrate"}


# ---- points ----

def clean(keep):
    for name in files():
        if name not in keep:
            os.unlink(name)


def judge(scenario, env, keep, usual=None, function=None, kind=None):
    """Run it; what is wrong, or None. usual: code and output without a fault."""
    try:
        processes = SCENARIOS[scenario](env)
        for p in processes:
            must(p.code is not None and p.code >= 0, f"{p.args[0]} ended by signal {-(p.code or 0)}")
            must(p.code in EXIT_CODES, f"{p.args[0]}: status {p.code}")
            err = p.text(p.err)
            must("Sanitizer" not in err and "runtime error" not in err, "a sanitizer: " + err)
            must(p.code in (0, 3) or p.told or re.search(r"^minivmm: .+", err, re.M), f"{p.args[0]}: status {p.code} and no message")
        p = processes[0]
        if (function, kind) in TRANSPARENT and usual and scenario not in TIMED:
            must((p.code, p.text(p.out)) == usual, f"status {p.code} instead of {usual[0]}, or other output: "
                 + p.text(p.err))
        left = [f for f in files() if f not in keep and f != "s.snap"]
        must(not left or function in NO_CLEANING, "left behind: " + " ".join(left))
        return None, processes
    except Problem as e:
        return str(e), []


class Tester:
    def __init__(self, scenario, keep):
        self.scenario, self.keep, self.points, self.missed, self.bad = scenario, keep, 0, 0, 0

    def usual(self):
        """A run in which nothing fails counts the calls."""
        self.state_file("count")
        problem, processes = judge(self.scenario, {"MV_FAULTS": "count"}, self.keep | {"count"})
        if problem or processes[0].code:
            said = processes[0].text(processes[0].err) if processes else ""
            raise SystemExit(f"faults.py: {self.scenario} fails without a fault: {problem or said}")
        state = State("count")
        os.unlink("count")
        clean(self.keep)
        return state, (processes[0].code, processes[0].text(processes[0].out))

    @staticmethod
    def state_file(name):
        if os.path.exists(name):
            os.unlink(name)

    def point(self, usual, function, n, kind):
        self.state_file("state")
        env = {"MV_FAULTS": "state", "MV_FAULT": f"{function}:{n}:{kind}"}
        if function == "nofile":
            env = {"MV_NOFILE": str(n)}
        problem, processes = judge(self.scenario, env, self.keep | {"state"}, usual, function, kind)
        where = ""
        if os.path.exists("state"):
            state = State("state")
            where = " (" + state.source() + ")" if state.where else ""
            self.missed += not state.hit
        self.points += 1
        if problem:
            self.bad += 1
            print(f"    {self.scenario}: {function} {n} {kind}{where}: {problem}", file=sys.stderr, flush=True)
        clean(self.keep)
        return problem, processes


def points_of(state):
    """FUNCTION, N, KIND; calls from places that were seen before come later."""
    first, later = [], []
    for function, (kinds, sites) in state.rows.items():
        seen = set()
        for n, site in enumerate(sites, 1):
            where = later if site in seen or (not site and n > 1) else first
            seen.add(site)
            where += [(function, n, kind) for kind in kinds]
    return first, later


def spread(points, n):
    """n of them, evenly."""
    return points if len(points) <= n else [points[i * len(points) // n] for i in range(n)]


def test(scenario, keep):
    t = Tester(scenario, keep)
    state, usual = t.usual()
    first, later = points_of(state)
    nofile = [("nofile", n, "EMFILE") for n in range(fewest_files(), 24)]
    if "at" in options:
        function, n, kind = options["at"].split(":")
        problem, processes = t.point(usual, function, int(n), kind)
        for p in processes:
            print(p.args[0], p.code, p.text(p.out), p.text(p.err), sep="\n")
        print(problem)
        return
    if "sample" in options:
        points = spread(first + nofile, int(options["sample"])) + [p for p in first if p[0] in FOUND]
    else:
        points = first + later + nofile
    before = time.time()
    for function, n, kind in points:
        t.point(usual, function, n, kind)
    name = f"faults: {scenario}: {t.points} points of failure"
    if not t.bad:
        print("ok " + name)
    else:
        print(f"not ok {name}: {t.bad} of them go wrong")
    if "sample" not in options:
        print(f"    {scenario}: {t.missed} not reached, {time.time() - before:.0f} s", file=sys.stderr, flush=True)


def fewest_files():
    """With fewer descriptors the program's libraries can't be loaded."""
    for n in range(3, 24):
        p = Process({"MV_NOFILE": str(n)}, "--version", faulty=True)
        p.wait()
        if p.code == 0:
            return n
    return 24


def prepare():
    """Two snapshots and this host; and the host is known from now on."""
    os.mkdir("run", 0o700)
    for args in (("run", image, "-q", *COUNTER, "--snapshot-on-sync", "old.snap", "--stop"), ("host", "-o", "host.json")):
        p = Process({}, *args)
        if not p.wait(120) or p.code:
            raise SystemExit("faults.py: " + " ".join(args) + ": " + p.text(p.err))
    for _ in range(9):
        vm = Process({}, "run", image, "-q", "--name", "v", "--append", "mode=counter ticks=8 delay=10000000")
        until(is_up)
        p = Process({}, "snapshot", "v", "packed.snap", "--compress", "--stop")
        p.wait()
        vm.wait()
        if p.code == 0:
            return
    raise SystemExit("faults.py: snapshot: " + p.text(p.err))


def main():
    # A host's proof takes its time: not in a sample.
    chosen = [s for s in SCENARIOS if s != "run-cold" or "sample" not in options]
    chosen = options["only"].split(",") if "only" in options else chosen
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare()
        keep = set(files())
        for scenario in chosen:
            test(scenario, keep)


main()
