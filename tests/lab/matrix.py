#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every move between lab hosts: what the verdict says, and what becomes of the guest.

  matrix.py run BUILD [--hosts=A,B] [--fresh]   all cells; those measured before are kept (BUILD/matrix)
  matrix.py run BUILD [--hosts=A,B] --kept      record what was measured so far, boot nothing
  matrix.py sample BUILD SEED,N                 N random cells of the published table, measured anew
  matrix.py cells BUILD SOURCE:DEST:MASK...     these cells of it, measured anew
  matrix.py appendix BUILD                      the features of the guide's Appendix A, measured anew
  matrix.py check BUILD [N]                     no emulator: the record (N cells) against today's offline verdicts
  matrix.py docs                                docs/lab-matrix.md and .html from the record

A cell is a source, a destination and a mask: none, the baseline of the two (pair), or one baseline for many (fleet).
First, verdicts are predicted from host files (tests/data/hosts). Then one boot of each source takes all snapshots, and
one of each destination tries all of them. What is accepted has to live: counter, nonce, CPUID and every probe are
looked at. What is refused is forced over, and looked at as well. tests/data/matrix/cells.tsv is the record.
"""
import inspect, os, random, re, shutil, sys

import predict
from matrix_page import markdown, page
from matrix_plan import HOSTS, Cell, Plan, all_cells, appendix, appendix_cells, call, data, host_file, matrix_hosts, top, vendor
from matrix_run import measure, rows

record = os.path.join(data, "cells.tsv")


def read_record():
    return {Cell(*r[:3]): (r[3], r[4].split() if r[4] != "-" else [], r[5]) for r in predict.table(record)}


def write_record(results):
    with open(record, "w") as f:
        print("# source", "destination", "mask", "verdict", "because", "outcome", sep="\t", file=f)
        for c in sorted(results):
            v, because, outcome = results[c]
            print(*c, v, " ".join(because) or "-", outcome, sep="\t", file=f)


def appendix_problems(results):
    """Scenarios that were not run are no problem here, and not counted."""
    problems = []
    for feature, a, b in appendix():
        refused, moved = (results.get(Cell(a, b, m)) for m in ("none", "pair"))
        if not refused and (not moved or moved[0] == "no-baseline"):
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
    measured = sorted(c for c in published if published[c][0] in ("accepted", "refused"))
    if n > len(measured):
        sys.exit(f"matrix: SAMPLE asks for {n} cells, {len(measured)} are published")
    cells = random.Random(seed).sample(measured, n)
    anew(build, cells, f"a sample of {n} cells, seed {seed}, is as published")


def do_cells(build, *names):
    cells, published = [Cell(*n.split(":")) for n in names if n.count(":") == 2], read_record()
    if not cells or len(cells) < len(names) or not published.keys() >= set(cells):
        sys.exit("matrix: cells are SOURCE:DESTINATION:MASK, and in tests/data/matrix/cells.tsv")
    anew(build, cells, f"{' '.join(names)}: as published")


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
    line = "probe: VME                 0x00000001.0 edx:1  cpl0 CR4.VME       cpuid=0 host=1 ran      LEAK"
    problems += [f"not read as a leak: {t}" for t in (line, line + " unproven") if rows(t, "LEAK") != {("VME", "CR4.VME")}]
    problems += [f"{' '.join(c)}: accepted and {r[2]}" for c, r in published.items()
                 if r[0] == "accepted" and r[2] != "lived"]
    with open(os.path.join(top, "docs/lab-matrix.md")) as f:
        if f.read() != markdown(published):
            problems.append("docs/lab-matrix.md is not what tests/lab/matrix.py docs makes of the record")
    finish(problems, f"{len(plan.cells)} cells of the record are predicted as measured")


def do_docs():
    results = read_record()
    for name, text in (("lab-matrix.md", markdown(results)), ("lab-matrix.html", page(results))):
        with open(os.path.join(top, "docs", name), "w") as f:
            f.write(text)


if __name__ == "__main__":
    commands = {n[3:]: f for n, f in globals().items() if n.startswith("do_")}
    command = commands.get(sys.argv[1]) if len(sys.argv) > 1 else None
    try:
        inspect.signature(command).bind(*sys.argv[2:])
    except TypeError:
        sys.exit(__doc__)
    command(*sys.argv[2:])
