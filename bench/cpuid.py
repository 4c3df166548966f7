#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cpuid.py BUILD [FILE.json]: what a CPUID exit costs a guest, in instructions of host and guest, by leaf: with the
table of minivmm's default mask, and with one that holds that leaf alone (and leaf 0 or 0x80000000); with KVM's own table
as it comes; in QEMU; trapped. Then by the length of the table, and the place in it.

An AMD lab host whose TSC counts instructions: the figures repeat, so each is measured once. make bench-cpuid"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
build = os.path.abspath(sys.argv[1])
LEAVES = (0, 1, 7, 0xD, 0x80000001, 0x80000008, 0x4FFFFFFF)
MISSING, EMPTY = LEAVES[-1], 0xFFFFFFFF
ROUNDS = 1024
LENGTHS = (10, 60, 256)
QEMU = "qemu-system-x86_64"
ROMS = ("bios-microvm.bin", "multiboot.bin", "multiboot_dma.bin")


def libraries(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [w for l in out.splitlines() for w in l.split() if w.startswith("/")]


def put_qemu(job):
    """The host has no dynamic linker and no libraries of its own."""
    there, roms = shutil.which(QEMU), "/usr/share/qemu"
    if not there or not all(os.path.exists(f"{roms}/{r}") for r in ROMS):
        return False
    os.makedirs(f"{job}/qemu/lib")
    shutil.copy(there, f"{job}/qemu/{QEMU}")
    subprocess.run(["strip", f"{job}/qemu/{QEMU}"], check=True)
    for path in libraries(there):
        shutil.copy(path, f"{job}/qemu/lib/")
    for r in ROMS:
        shutil.copy(f"{roms}/{r}", f"{job}/qemu/")
    return True


def commands(job):
    """What is run in the host, by the name of its output."""
    run = {"minivmm": "./minivmm run -q cpuid.elf", "patch": "./minivmm run -q --intercept patch cpuid-note.elf",
           "kvm": "./cpuid-table cpuid.elf kvm first amd"}
    for leaf in LEAVES[:-1]:
        with open(f"{job}/{leaf:x}.mask", "w") as f:
            f.write(f"Level 0x{leaf:x}h\n" + "".join(f"E{r}X: {' '.join(['xxxx'] * 8)}\n" for r in "ABCD"))
        run[f"{leaf:x}"] = f"./minivmm run -q cpuid.elf --default-mask {leaf:x}.mask"
    for n in LENGTHS:
        for place in "first", "last":
            run[f"{n}-{place}"] = f"./cpuid-table cpuid.elf {n} {place} amd"
        run[f"{n}-intel"] = f"./cpuid-table cpuid.elf {n} last intel"
    if put_qemu(job):
        # Its exit code for the guest's 0 is 1.
        for cpu in "qemu64", "host":
            run[f"qemu-{cpu}"] = (
                f"! qemu/lib/ld-linux-x86-64.so.2 --library-path /job/qemu/lib qemu/{QEMU} -L qemu -accel kvm -cpu {cpu}"
                " -machine microvm -m 64 -nodefaults -no-user-config -display none -serial stdio"
                " -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel cpuid.elf")
    return run


def measure():
    with tempfile.TemporaryDirectory() as tmp:
        job, out = f"{tmp}/job", f"{tmp}/out"
        subprocess.run(["tests/lab/job.sh", build, job], cwd=top, check=True)
        for name in "cpuid.elf", "cpuid-note.elf", "cpuid-table":
            shutil.copy(f"{build}/bench/{name}", job)
        run = commands(job)
        with open(f"{job}/run.sh", "w") as f:
            # The proofs of this host are made before anything is counted.
            f.write(f"{run['minivmm']} >/dev/null\n")
            f.writelines(f"{{ {line}; }} >out/{name} 2>out/{name}.err || echo {name} failed\n" for name, line in run.items())
        subprocess.run(["tests/lab/lab", "run", "epyc", "--job", job, "--out", out, "--timeout", "600"], cwd=top, check=True,
                       env=dict(os.environ, LAB_ICOUNT="1", LAB_MEMORY="1024"))
        got = {}
        for name in run:
            with open(f"{out}/{name}") as f:
                lines = [l.split() for l in f if len(l.split()) == 2]
            got[name] = {int(a, 16): int(b, 16) / ROUNDS for a, b in lines}
            if set(got[name]) != {*LEAVES, EMPTY}:
                with open(f"{out}/{name}.err") as f:
                    print(f"{name}: no figures: {f.read().strip()[-200:]}")
                got[name] = None
        return got


def main():
    got = measure()
    if not all(got[n] for n in got if not n.startswith("qemu")):
        return 1

    def cell(name, leaf):
        return f"{got[name][leaf]:.0f}" if got.get(name) else "-"

    print(f"{'LEAF':>12} {'minivmm':>8} {'alone':>7} {'more':>6} {'KVM table':>10} {'QEMU qemu64':>12} {'QEMU host':>10} "
          f"{'patch':>7}   instructions a round")
    by_leaf = []
    for leaf in LEAVES:
        alone = got["0" if leaf == MISSING else f"{leaf:x}"][leaf]
        more = 100 * (got["minivmm"][leaf] / alone - 1)
        name = f"0x{leaf:x}"
        print(f"{name:>12} {cell('minivmm', leaf):>8} {alone:7.0f} {more:5.1f}% {cell('kvm', leaf):>10} "
              f"{cell('qemu-qemu64', leaf):>12} {cell('qemu-host', leaf):>10} {cell('patch', leaf):>7}")
        by_leaf.append({"leaf": name, "alone": round(alone),
                        **{n: round(got[n][leaf]) for n in ("minivmm", "kvm", "qemu-qemu64", "qemu-host", "patch") if got.get(n)}})
    print(f"{'empty loop':>12} {cell('minivmm', EMPTY):>8}\n")
    print(f"{'ENTRIES':>12} {'leaf 0 first':>13} {'last':>6} {'missing, AMD':>13} {'missing, Intel':>15}")
    by_length = []
    for n in LENGTHS:
        row = {"entries": n, "first": got[f"{n}-first"][0], "last": got[f"{n}-last"][0],
               "missing-amd": got[f"{n}-last"][MISSING], "missing-intel": got[f"{n}-intel"][MISSING]}
        by_length.append({k: round(v) for k, v in row.items()})
        print("{entries:>12} {first:>13.0f} {last:>6.0f} {missing-amd:>13.0f} {missing-intel:>15.0f}".format(**row))
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w") as f:
            json.dump({"by-leaf": by_leaf, "by-length": by_length}, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
