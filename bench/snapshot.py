#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""snapshot.py BUILD [--ram MIB,...] [--dir DIR] [--runs N] [--restores N] [--json FILE]: saving against a plain
write and cp of the same bytes and QEMU's migration to a file, restoring against a VM whose memory is the mapped file
and QEMU's migration from a file; medians and quartiles (and the least of restores), in one run."""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

import qemu as peer

parser = argparse.ArgumentParser()
parser.add_argument("build")
parser.add_argument("--ram", default="64,512,2048")
parser.add_argument("--dir", default="/dev/shm" if os.path.isdir("/dev/shm") else "/tmp")
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--restores", type=int, default=41)
parser.add_argument("--json")
args = parser.parse_args()
minivmm = os.path.join(args.build, "minivmm")
hello = os.path.join(args.build, "guest-tests/hello.elf")
quiet = {"stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}


def timed(command, **kw):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **quiet, **kw)
    return (time.perf_counter() - start) * 1e3


def first_line(command):
    """From exec to the first line of output."""
    start = time.perf_counter()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, **quiet)
    p.stdout.read(1)
    took = (time.perf_counter() - start) * 1e3
    p.stdout.read()
    p.wait()
    return took


def plain_write(source, target):
    """The bytes, from memory, and flushed: what any saver has to do."""
    with open(source, "rb") as f:
        data = memoryview(f.read())
    start = time.perf_counter()
    with open(target, "wb", buffering=0) as f:
        done = 0
        while done < len(data):
            done += f.write(data[done:done + (1 << 24)])
        os.fsync(f.fileno())
    return (time.perf_counter() - start) * 1e3


def medians(row, rounds, **functions):
    """All in turn, so that what else the machine does is shared by them."""
    took = {name: [] for name in functions}
    for _ in range(rounds):
        for name, f in functions.items():
            took[name].append(f())
    for name, t in took.items():
        low, median, high = statistics.quantiles(t, n=4, method="inclusive")
        row[name], row["least_" + name] = round(median, 2), round(min(t), 2)
        row["quartiles_" + name] = [round(low, 2), round(high, 2)]


def cell(row, name, digits):
    if name not in row:
        return "-"
    low, high = row["quartiles_" + name]
    return f"{row[name]:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def save(name, path, *options):
    if os.path.exists(path):
        os.unlink(path)
    return timed([minivmm, "snapshot", name, path, *options])


def write(source, path):
    if os.path.exists(path):
        os.unlink(path)
    return plain_write(source, path)


def copy(source, path):
    if os.path.exists(path):
        os.unlink(path)
    return timed(["sh", "-c", f"cp '{source}' '{path}' && sync '{path}'"])


def restored(path):
    """From exec to a guest that answers: it has nothing to say."""
    name = f"bench-{os.getpid()}-again"
    start = time.perf_counter()
    p = subprocess.Popen([minivmm, "restore", "-q", path, "--name", name], stdout=subprocess.DEVNULL, **quiet)
    while subprocess.run([minivmm, "status", name], stdout=subprocess.DEVNULL, **quiet).returncode:
        pass
    took = (time.perf_counter() - start) * 1e3
    subprocess.run([minivmm, "stop", name], check=True, **quiet)
    p.wait()
    return took


def qemu(row, mib, folder):
    """The same program in QEMU: a line every tenth of a millisecond, all memory written to."""
    path = os.path.join(folder, "q.img")
    words = f"mode=counter ticks=1000000000 delay=200000 fill={mib - 1}"
    source = peer.Qemu(folder, mib, "-kernel", hello, "-append", words)
    source.says(b"counter: 1 ")

    def save_it():
        source.do("stop")
        start = time.perf_counter()
        source.migrate(f"exec:cat > '{path}'")
        took = (time.perf_counter() - start) * 1e3
        source.do("cont")
        source.says(b"counter: ")
        return took

    def restore_it():
        there = peer.Qemu(folder, mib, "-incoming", f"exec:cat '{path}'")
        there.says(b"counter: ")
        there.end()
        return there.first_ms

    medians(row, 3, qemu_save_ms=save_it)
    source.end()
    medians(row, 3, qemu_restore_ms=restore_it)
    os.unlink(path)


def one(mib, folder):
    snap, other = os.path.join(folder, "a.snap"), os.path.join(folder, "b.snap")
    name = f"bench-{os.getpid()}"
    vm = subprocess.Popen([minivmm, "run", hello, "--name", name, "--memory", f"{mib}M", "--append",
                           f"mode=fill blind stay mib={mib}"], stdout=subprocess.PIPE, **quiet)
    while b"all there" not in vm.stdout.readline():
        pass
    subprocess.run([minivmm, "pause", name], check=True, **quiet)
    save(name, snap)
    row = {"ram_mib": mib, "file_mib": os.path.getsize(snap) >> 20}
    medians(row, args.runs, save_ms=lambda: save(name, other), write_ms=lambda: write(snap, other),
            cp_ms=lambda: copy(snap, other))
    medians(row, 3, packed_save_ms=lambda: save(name, other, "--compress"))
    row["packed_mib"] = round(os.path.getsize(other) / (1 << 20), 1)
    medians(row, 3, packed_restore_ms=lambda: restored(other))
    subprocess.run([minivmm, "stop", name], check=True, **quiet)
    vm.wait()
    os.unlink(other)
    # The same guest at its sync point, so that it says something at once.
    subprocess.run([minivmm, "run", hello, "-q", "--memory", f"{mib}M", "--append", f"mode=fill blind mib={mib}",
                    "--snapshot-on-sync", snap, "--stop"], check=True, stdout=subprocess.DEVNULL, **quiet)
    restore = [minivmm, "restore", "-q", snap, "--memory"]
    medians(row, args.restores, restore_lazy_ms=lambda: first_line(restore + ["lazy"]),
            restore_map_ms=lambda: first_line(restore + ["map"]),
            floor_ms=lambda: first_line([os.path.join(args.build, "bench/floor-restore"), str(mib), snap]))
    medians(row, 3, restore_eager_ms=lambda: first_line(restore + ["eager"]))
    row["save_to_write"] = round(row["save_ms"] / row["write_ms"], 2)
    row["cp_to_save"] = round(row["cp_ms"] / row["save_ms"], 2)
    row["restore_to_floor"] = round(row["restore_lazy_ms"] / row["floor_ms"], 2)
    row["least_restore_to_floor"] = round(row["least_restore_lazy_ms"] / row["least_floor_ms"], 2)
    if peer.there:
        os.unlink(snap)
        try:
            qemu(row, mib, folder)
        except peer.Failed as e:
            row["qemu_failed"] = str(e)
        finally:
            peer.end_all()
    return row


def by_ram(folder):
    """The same 62 MiB in the file, with little RAM around them and with much: in turn."""
    sizes, functions = (64, 4096), {}
    for mib in sizes:
        snap = os.path.join(folder, f"{mib}.snap")
        subprocess.run([minivmm, "run", hello, "-q", "--memory", f"{mib}M", "--append", "mode=fill blind mib=62",
                        "--snapshot-on-sync", snap, "--stop"], check=True, stdout=subprocess.DEVNULL, **quiet)
        floor = [os.path.join(args.build, "bench/floor-restore"), str(mib), snap]
        functions[f"lazy_{mib}"] = lambda snap=snap: first_line([minivmm, "restore", "-q", snap])
        functions[f"floor_{mib}"] = lambda floor=floor: first_line(floor)
    row = {}
    medians(row, args.restores, **functions)
    for mib in sizes:
        row[f"to_floor_{mib}"] = round(row[f"lazy_{mib}"] / row[f"floor_{mib}"], 2)
    for what in "lazy", "floor":
        row[f"{what}_4096_to_64"] = round(row[f"{what}_4096"] / row[f"{what}_64"], 2)
    return row


rows = []
for mib in map(int, args.ram.split(",")):
    folder = tempfile.mkdtemp(prefix="minivmm-bench-", dir=args.dir)
    try:
        rows.append(one(mib, folder))
    finally:
        shutil.rmtree(folder)
print(f"saving a full guest, with fsync: ms, medians (quartiles); load {os.getloadavg()[0]:.0f}")
print(f"{'RAM':>5} {'minivmm':>18} {'plain write':>18} {'cp':>18} {'save/write':>10} {'cp/save':>7} {'QEMU':>18} {'--compress':>16}   MiB")
for r in rows:
    print(f"{r['ram_mib']:>5} {cell(r, 'save_ms', 0):>18} {cell(r, 'write_ms', 0):>18} {cell(r, 'cp_ms', 0):>18} "
          f"{r['save_to_write']:>10.2f} {r['cp_to_save']:>7.2f} {cell(r, 'qemu_save_ms', 0):>18} "
          f"{cell(r, 'packed_save_ms', 0):>16} {r['packed_mib']:>5.1f}")
print("\nrestoring it, from exec to the guest's first byte (--compress: to a guest that runs)")
print(f"{'RAM':>5} {'lazy':>15} {'mapped':>15} {'floor':>15} {'lazy/floor':>10} {'least':>6} {'eager':>16} {'QEMU':>16} {'--compress':>16}")
for r in rows:
    print(f"{r['ram_mib']:>5} {cell(r, 'restore_lazy_ms', 1):>15} {cell(r, 'restore_map_ms', 1):>15} {cell(r, 'floor_ms', 1):>15} "
          f"{r['restore_to_floor']:>10.2f} {r['least_restore_to_floor']:>6.2f} {cell(r, 'restore_eager_ms', 0):>16} "
          f"{cell(r, 'qemu_restore_ms', 0):>16} {cell(r, 'packed_restore_ms', 0):>16}")
for r in rows:
    if "qemu_failed" in r:
        print(f"{r['ram_mib']} MiB: QEMU failed: {r['qemu_failed']}")
ram = None
if os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >= 4 << 30:
    folder = tempfile.mkdtemp(prefix="minivmm-bench-", dir=args.dir)
    try:
        ram = by_ram(folder)
    finally:
        shutil.rmtree(folder)
    print(f"\nrestoring 62 MiB, by the RAM around them\n{'RAM':>5} {'lazy':>15} {'floor':>15} {'lazy/floor':>10}")
    for mib in 64, 4096:
        print(f"{mib:5} {cell(ram, f'lazy_{mib}', 1):>15} {cell(ram, f'floor_{mib}', 1):>15} {ram[f'to_floor_{mib}']:>10.2f}")
    print(f"4096 to 64: lazy {ram['lazy_4096_to_64']:.2f}, floor {ram['floor_4096_to_64']:.2f}")
if args.json:
    with open(args.json, "w") as f:
        json.dump({"snapshot": rows, "by_ram": ram}, f, indent=1)
