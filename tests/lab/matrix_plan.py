# SPDX-License-Identifier: MIT
"""matrix.py's plan: which cells there are, and what host files alone say of each."""
import collections, concurrent.futures, hashlib, itertools, json, os, re, subprocess, sys, threading

import predict

top = predict.top
data = os.path.join(top, "tests/data/matrix")
MASKS = ("none", "pair", "fleet")
HOSTS = {r[0]: r for r in predict.table(os.path.join(top, "tests/lab/hosts.tsv"))}
vendor = {h: r[2] for h, r in HOSTS.items()}
Cell = collections.namedtuple("Cell", "source dest mask")


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


def all_cells(hosts):
    return [Cell(a, b, m) for a, b in itertools.permutations(hosts, 2) for m in MASKS]


def appendix():
    """(feature, rich, poor)"""
    return [tuple(r[:3]) for r in predict.table(os.path.join(data, "appendix.tsv"))]


def leaks():
    """(hosts, feature, instruction, why): measured, not predicted, and explained"""
    return predict.table(os.path.join(data, "leaks.tsv"))


def appendix_cells():
    return [Cell(a, b, m) for _, a, b in appendix() for m in ("none", "pair")]


class Plan:
    """What is to be done, from host files alone."""

    def __init__(self, build, cells, work):
        self.build, self.work, self.cells = build, work, list(cells)
        self.minivmm = os.path.join(build, "minivmm")
        self.program = digest(content(self.minivmm), content(os.path.join(build, "guest-tests/probe.elf")))
        os.makedirs(os.path.join(work, "masks"), exist_ok=True)
        self.mask, self.predicted, self.pairs, self.lock = {}, {}, {}, threading.Lock()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(self.predict, self.cells))

    def pair_mask(self, a, b):
        key = tuple(sorted((a, b)))
        with self.lock:
            if key not in self.pairs:
                self.pairs[key] = self.make_mask(*key)
            return self.pairs[key]

    def make_mask(self, a, b):
        new = os.path.join(self.work, "masks", f"new-{os.getpid()}")
        if call(self.minivmm, "baseline", host_file(a), host_file(b), "-o", new, ok=(0, 3)).returncode:
            return None
        # Without the head, which names the hosts: then pairs with the same baseline share their snapshots.
        text = re.sub(rb"\A(#.*\n)+", b"", content(new))
        named = os.path.join(self.work, "masks", digest(text) + ".mask")
        with open(new, "wb") as f:
            f.write(text)
        os.replace(new, named)
        return named

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
    """what a verdict refuses for: features by name, structural rules by theirs; +NAME: the destination only has more"""
    only_more = {}
    for m in verdict["mismatches"]:
        name = m["subject"] if m["rule"] == "symbol" else m["rule"]
        only_more[name] = only_more.get(name, True) and m["subset-accepts"]
    return ["+" * more + name for name, more in sorted(only_more.items(), key=lambda i: (i[1], i[0]))]


def ignorable(verdict):
    return sorted({m["subject"] for m in verdict["mismatches"] if m["rule"] == "symbol" and m["subject"]} |
                  {m["rule"] for m in verdict["mismatches"] if m["rule"] != "symbol"})
