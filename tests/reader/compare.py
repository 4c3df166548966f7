#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""compare.py INSPECT.json READER.json: do both readers of a snapshot say the same?"""
import json
import sys


def masks(m):
    return [[r["level"], r["sublevel"], r["register"], r["symbols"]] for r in m["registers"]]


def entries(host_view):
    """A host file's view: {"0x00000007.1": [...]} as sorted lists."""
    out = []
    for key, regs in host_view.items():
        leaf, _, sub = key.partition(".")
        out.append([int(leaf, 16), int(sub or "0", 16)] + [int(r, 16) for r in regs])
    return sorted(out)


inspect, reader = (json.load(open(f)) for f in sys.argv[1:3])
wrong = []
for key in ("format", "name", "image", "image-hash", "producer", "saved-at", "memory", "memory-in-file", "compression",
            "file-size", "cpus", "guest-os", "intercept", "patchable", "patch-cpl3", "ignored", "state",
            "pages", "disks", "rng"):
    if inspect[key] != reader[key]:
        wrong.append(key)
if [[int(x, 16) for x in e] for e in inspect["guest-table"]] != reader["guest-table"]:
    wrong.append("guest-table")
for key in "final-mask", "effective-mask":
    theirs = [r[:3] + r[4:] for r in reader[key]]
    if masks(inspect[key]) != theirs:
        wrong.append(key)
    if inspect[key]["files"] != reader["mask-files"]:
        wrong.append(key + ": files")
for key in "raw", "kvm":
    if entries(inspect["source"][key]) != sorted(reader["source"][key]):
        wrong.append("source: " + key)
for key in "name", "kernel", "assumed":
    if inspect["source"][key] != reader["source"][key]:
        wrong.append("source: " + key)
for key in wrong:
    print(key)
sys.exit(bool(wrong))
