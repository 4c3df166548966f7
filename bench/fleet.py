#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
minivmm fleet from files: 10,000 host files with 10,000 VM files, and with one file of 1,000,000 VMs.

  fleet.py BUILD FOLDER-OF-HOSTS [--dir DIR] [--json FILE]

The files are made by bench/fleet.c, below DIR, and removed; their making is not counted. Wall time, CPU time
and peak memory are those of the whole command, from exec to exit. Fails if the fleet is smaller than it is
meant to be, or takes more than 2 GiB.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time

LIMIT_MIB = 2048


def measure(minivmm, hosts, vms):
    start = time.monotonic()
    child = subprocess.Popen([minivmm, "fleet", "-q", "--hosts", hosts, "--vms", vms], stdout=subprocess.PIPE, text=True)
    head = child.stdout.read().splitlines()[:2]
    _, status, use = os.wait4(child.pid, 0)
    wall = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    m = re.match(r"(\d+) hosts of (\d+) kinds in (\d+) clusters, (\d+) VMs of (\d+) kinds", head[0] if head else "")
    if not m or child.returncode not in (0, 3):
        sys.exit(f"minivmm fleet: exit {child.returncode}: {head}")
    return dict(zip(("hosts", "host-tables", "clusters", "vms", "vm-requirements"), map(int, m.groups())),
                **{"seconds": round(wall, 2), "cpu-seconds": round(use.ru_utime + use.ru_stime, 2),
                   "peak-mib": use.ru_maxrss // 1024})


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("build")
    p.add_argument("dumps")
    p.add_argument("--dir", default="/tmp")
    p.add_argument("--json")
    a = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="minivmm-fleet.", dir=a.dir) as folder:
        os.mkdir(f"{folder}/hosts")
        os.mkdir(f"{folder}/vms")
        subprocess.run([f"{a.build}/bench/fleet", a.dumps, "--write", folder], check=True)
        for vms in "vms", "vms.json":
            r = measure(f"{a.build}/minivmm", f"{folder}/hosts", f"{folder}/{vms}")
            rows.append({"bench": "fleet-files", "from": vms, **r})
            print(f"fleet from files: {r['hosts']} host files ({r['host-tables']} distinct tables) x {r['vms']} VMs "
                  f"({r['vm-requirements']} distinct requirements) in {vms}\n"
                  f"  {r['seconds']:.2f} s ({r['cpu-seconds']:.2f} s of CPU time), peak memory {r['peak-mib']} MiB")
    if a.json:
        with open(a.json, "w") as f:
            json.dump(rows, f, indent=1)
    last = rows[-1]
    if max(r["peak-mib"] for r in rows) > LIMIT_MIB or last["host-tables"] < 2000 or last["vm-requirements"] < 20000:
        sys.exit("not what was to be measured: more than 2 GiB, or a fleet of too few kinds")


main()
