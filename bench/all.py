#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""all.py BUILD [--only NAME,...] [--out docs/benchmarks.md]: every benchmark in one run, on one machine, and the page.

Each one is a target of make that prints a table and, where it has more to say, a JSON file in BUILD/bench. The page
and BUILD/bench/all.json keep what they printed, with the machine, the versions and the load before and after."""
import argparse
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROUNDS = 20


def call(*words, ok=(0,)):
    p = subprocess.run(words, cwd=top, capture_output=True, text=True)
    return p.stdout if p.returncode in ok else None


def kvm():
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def target(name):
    def run(build):
        p = subprocess.run(["make", "--no-print-directory", f"OUT={build}", name], cwd=top, capture_output=True, text=True)
        lines = [l for l in p.stdout.splitlines() if not re.match(r"  (CC|LD|AS|AR|GUEST[A-Z]+|ISO) ", l)]
        if p.returncode:
            return None, f"make {name} failed: " + (p.stderr.strip().splitlines() or ["without a word"])[-1]
        return "\n".join(lines), None
    return run


def probe(build):
    """The probe guest as a user starts it, by the mechanisms that are proved here; median and spread."""
    words = [os.path.join(build, "minivmm"), "probe", "--json"]
    rows, results = [], []
    for how in ("kernel", "patch", "step"):
        took = []
        for _ in range(ROUNDS):
            start = time.monotonic()
            code = subprocess.run(words + ["--intercept", how], cwd=top, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode
            took.append(time.monotonic() - start)
            if code == 5:
                break
        if code == 5:
            rows.append(f"{how:<8} not proved on this host")
            continue
        q = statistics.quantiles(took, n=4)
        rows.append(f"{how:<8} {q[1]:6.2f} s, half of {ROUNDS} runs between {q[0]:.2f} and {q[2]:.2f} s")
        results.append({"intercept": how, "runs": ROUNDS, "seconds": q[1], "quartiles": [q[0], q[2]]})
    with open(os.path.join(build, "bench/probe.json"), "w") as f:
        json.dump(results, f, indent=1)
    return "\n".join(rows), None


# name, title, how, its JSON, whether it needs /dev/kvm
BENCHES = [
    ("start", "From exec to the guest's first byte, and to the end", target("bench-start"), "start.json", True),
    ("snapshot", "Saving and restoring a full guest", target("bench-snapshot"), "snapshot.json", True),
    ("live", "Live migration of 512 MiB over loopback TCP", target("bench-live"), "live.json", True),
    ("cpuid", "A CPUID's exit, in instructions", target("bench-cpuid"), "cpuid.json", False),
    ("intercept", "What each way to answer a CPUID costs", target("bench-intercept"), "intercept.json", True),
    ("probe", "The probe guest", probe, "probe.json", True),
    ("core", "Masks and verdicts", target("bench-core"), "core.json", False),
    ("fleet", "A fleet in memory", target("bench-fleet"), "fleet.json", False),
    ("fleet-files", "A fleet from files", target("bench-fleet-files"), "fleet-files.json", False),
]


def machine():
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    ram = next(int(l.split()[1]) >> 20 for l in open("/proc/meminfo") if l.startswith("MemTotal"))
    modules = [m for m in ("kvm_intel", "kvm_amd", "kvm_pvm") if os.path.exists(f"/sys/module/{m}")]
    qemu = call("qemu-system-x86_64", "--version") if shutil.which("qemu-system-x86_64") else None
    return {
        "cpu": f"{cpu}, {os.cpu_count()} logical CPUs",
        "memory": f"{ram} GiB",
        "kernel": platform.release().split("-")[0],
        "kvm": ", ".join(modules) or ("there" if kvm() else "none"),
        "minivmm": (call(os.path.join(top, "build/minivmm"), "--version") or "?").splitlines()[0],
        "qemu": qemu.splitlines()[0] if qemu else "not installed: no figure of it is given",
        "date": datetime.date.today().isoformat(),
    }


def notes():
    """What the figures mean: bench/notes.md, a section for each benchmark."""
    with open(os.path.join(top, "bench/notes.md")) as f:
        parts = re.split(r"^## (\S+)\n", f.read(), flags=re.M)
    return parts[0].strip(), {n: t.strip() for n, t in zip(parts[1::2], parts[2::2])}


def page(facts, results):
    first, said = notes()
    out = ["# Benchmarks", "", first, ""]
    out += [f"* {k}: {v}" for k, v in facts.items()] + [""]
    for name, title, *_ in BENCHES:
        if name not in results:
            continue
        r = results[name]
        out += [f"## {title}", "", f"    make bench-{name}" if name != "probe" else "    make bench BENCHES=probe", ""]
        out += ["```", *r["text"].splitlines(), "```", "",
                f"Load average before {r['load'][0]:.1f}, after {r['load'][1]:.1f}; {r['seconds']:.0f} s.", ""]
        if name in said:
            out += [said[name], ""]
    return "\n".join(out).rstrip() + "\n"


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("build")
    p.add_argument("--only")
    p.add_argument("--out")
    p.add_argument("--page", action="store_true", help="write the page again from BUILD/bench/all.json")
    a = p.parse_args()
    build = os.path.abspath(a.build)
    record = os.path.join(build, "bench/all.json")
    os.makedirs(os.path.dirname(record), exist_ok=True)
    kept = {"machine": machine(), "results": {}}
    if (a.page or a.only) and os.path.exists(record):
        with open(record) as f:
            kept = json.load(f)
    failed = 0
    for name, title, how, file, wants in BENCHES:
        if a.page or (a.only and name not in a.only.split(",")):
            continue
        load = os.getloadavg()[0]
        start = time.monotonic()
        text, problem = (None, "there is no /dev/kvm") if wants and not kvm() else how(build)
        failed += problem is not None and problem != "there is no /dev/kvm"
        got = {"text": text if problem is None else f"not measured: {problem}", "seconds": time.monotonic() - start,
               "load": [load, os.getloadavg()[0]]}
        if file and problem is None:
            with open(os.path.join(build, "bench", file)) as f:
                got["json"] = json.load(f)
        kept["results"][name] = got
        print(f"== {title}\n{got['text']}\n", flush=True)
        with open(record, "w") as f:
            json.dump(kept, f, indent=1)
    if a.out:
        with open(os.path.join(top, a.out), "w") as f:
            f.write(page(kept["machine"], kept["results"]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
