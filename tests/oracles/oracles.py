#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The probe guest on CPUs it was not made on: emulators as independent judges of every row.

usage: oracles.py BUILD check [MACHINE...]   boot machines, hold them to known.tsv and to the document
       oracles.py BUILD record               boot all, write proven.def and the document
       oracles.py BUILD show MACHINE         print what the guest says there

Unmasked, each row has to be OK or ABSENT (or SKIP: the guest says why). What is neither has to be a
line of known.tsv, and each line of it has to occur. proven.def holds, for each feature, a machine
where a row of it succeeded and one where the same row did not: what both are on record for is proven.
"""
import concurrent.futures
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
DOCUMENT = os.path.join(TOP, "docs/probe-oracles.md")
PROVEN = os.path.join(TOP, "guest-tests/proven.def")
TIMEOUT = 90
NO_64BIT = "guest: this CPU has no 64-bit mode"
ROW = re.compile(r"^probe: (\S+) +(0x\w+)\.(\d) (e.x):(\d+) +cpl([03]) (\S+) +cpuid=([01]) host=\S "
                 r"(\S+) +([A-Z]+)( unproven)?$")
FINE = {"OK", "ABSENT", "ENFORCED", "SKIP", "UNDECIDABLE"}


def table(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return [line.rstrip("\n").split("\t") for line in f if line.strip() and line[0] != "#"]


class Row:
    def __init__(self, m):
        self.feature, self.cpl, self.insn = m[1], int(m[6]), m[7]
        self.shown, self.outcome, self.verdict = m[8] == "1", m[9], m[10]


class Run:
    """One machine's lines."""

    def __init__(self, name, emulator, text):
        self.name, self.emulator, self.text = name, emulator, text
        self.rows = [Row(m) for m in map(ROW.match, text.splitlines()) if m]
        self.no_64bit = NO_64BIT in text
        self.done = self.no_64bit or "probe: summary " in text
        m = re.search(r"cr4=0x(\w+) xcr0=0x(\w+)", text)
        self.controls = bin(int(m[1], 16)).count("1") + bin(int(m[2], 16)).count("1") if m else 0

    def label(self):
        return {"tcg": "QEMU ", "bochs": "Bochs ", "lab": "lab ", "linux": ""}[self.emulator] + \
            self.name

    def count(self, verdict):
        return sum(r.verdict == verdict for r in self.rows)


# ---- booting ----

def boot_tcg(build, cpu, _):
    cmd = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", cpu, "-m", "64", "-nodefaults", "-display",
           "none", "-no-reboot", "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
           "-kernel", f"{build}/guest-tests/probe.elf"]
    try:
        out = subprocess.run(cmd, capture_output=True, timeout=TIMEOUT, check=False).stdout
    except subprocess.TimeoutExpired as e:
        out = e.stdout or b""
    return out.decode("latin-1")


# Few instructions a second of its own time: the guest spends most of them waiting for the serial line.
BOCHSRC = """cpu: model={model}, count=1, ips=2000000, reset_on_triple_fault=0, ignore_bad_msrs=0
{options}
memory: guest=64, host=64
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path={iso}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={dir}/console
display_library: term
clock: sync=none, time0=1700000000
log: {dir}/log
debug: action=ignore
info: action=ignore
error: action=ignore
panic: action=fatal
mouse: enabled=0
"""


def boot_bochs(build, cpu, tmp):
    model, _, options = (part.strip() for part in cpu.partition(";"))
    with open(f"{tmp}/rc", "w", encoding="ascii") as f:
        f.write(BOCHSRC.format(model=model, options=f"cpuid: {options}" if options else "",
                               iso=f"{build}/images/probe.iso", dir=tmp))
    with open(f"{tmp}/go", "w", encoding="ascii") as f:
        f.write("c\n")  # Debian's Bochs starts in its debugger: continue
    text, end = "", time.monotonic() + TIMEOUT
    with subprocess.Popen(["bochs", "-q", "-f", f"{tmp}/rc", "-rc", f"{tmp}/go"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env={**os.environ, "TERM": "linux"}) as p:
        while p.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
            try:
                with open(f"{tmp}/console", encoding="latin-1", newline="\n") as f:
                    text = f.read()
            except FileNotFoundError:
                continue
            if re.search(r"^probe: summary .*\n", text, re.M) or NO_64BIT in text:
                break
        p.kill()
    return text


def boot_lab(build, host, tmp):
    """A host with KVM, under QEMU; in there, a guest that is shown what Linux guests are."""
    job = [os.path.join(TOP, "tests/lab/job.sh"), build, tmp]
    lab = [os.path.join(TOP, "tests/lab/lab"), "run", host, "--timeout", "300", "--job", tmp, "--",
           "./minivmm", "run", "probe.elf", "--guest-os", "linux64"]
    subprocess.run(job, cwd=TOP, check=True)
    return subprocess.run(lab, capture_output=True, check=False).stdout.decode("latin-1")


def boot(build, machine):
    name, emulator, cpu = machine
    tmp = tempfile.mkdtemp(prefix="oracle.")
    try:
        text = {"tcg": boot_tcg, "bochs": boot_bochs, "lab": boot_lab}[emulator](build, cpu, tmp)
    finally:
        shutil.rmtree(tmp)
    return Run(name, emulator, text.replace("\r", ""))


def boot_all(build, machines):
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(lambda m: boot(build, m), machines))


def here(build):
    """This machine itself, as far as its kernel lets programs try."""
    text = subprocess.run([f"{build}/cpuid-probe"], capture_output=True, text=True,
                          check=True).stdout
    m = re.search(r"vendor=(\S+) family=(\d+) model=(\d+) stepping=(\d+)", text)
    return Run(f"{m[1]} {m[2]}/{m[3]}/{m[4]}", "linux", text)


# ---- judging ----

def known_for(known, run, row):
    for k in known:
        if k[0] == run.emulator and fnmatch.fnmatchcase(run.name, k[1]) and \
           k[2:5] == [row.feature, row.insn, row.verdict]:
            return tuple(k)
    return None


def judge(run, known):
    """What is wrong with a run, and the lines of known.tsv that it met."""
    if not run.done:
        last = run.text.rstrip().splitlines()
        return [f"did not finish: {last[-1] if last else 'no output'}"], set()
    wrong, met = [], set()
    for row in run.rows:
        if row.verdict in FINE:
            continue
        k = known_for(known, run, row)
        if k:
            met.add(k)
        else:
            wrong.append(f"{row.feature} {row.insn} cpl{row.cpl}: {row.verdict} ({row.outcome})")
    if not run.no_64bit and len(run.rows) < 200:
        wrong.append(f"only {len(run.rows)} rows")
    return wrong, met


# ---- the record of proof ----

def evidence(runs, known):
    """feature -> (where it succeeded, where not): of one row, on one level, and never by a row that
    known.tsv says is not to be trusted there. Absence counts most where most was switched on."""
    success, absence = {}, {}
    doubted = {(k[0], k[1], k[2], k[3]) for k in known}

    def trusted(run, row):
        return not any(d[0] == run.emulator and fnmatch.fnmatchcase(run.name, d[1]) and
                       d[2:] == (row.feature, row.insn) for d in doubted)

    for run in runs:
        for row in run.rows:
            key = (row.feature, row.insn)
            if not trusted(run, row):
                continue
            if row.verdict == "OK":
                success.setdefault(key, run)
            elif row.verdict in ("ABSENT", "ENFORCED") and (key not in absence or
                                              run.controls > absence[key].controls):
                absence[key] = run
    proof = {}
    for key in dict.fromkeys((r.feature, r.insn) for run in runs for r in run.rows
                             if r.verdict != "UNDECIDABLE"):
        pair = tuple(side[key].label() if key in side else "" for side in (success, absence))
        old = proof.get(key[0], ("", ""))
        if sum(map(bool, pair)) > sum(map(bool, old)) or key[0] not in proof:
            proof[key[0]] = pair
    return proof


def feature_ids():
    ids = {}
    with open(os.path.join(TOP, "cpuid/features.def"), encoding="utf-8") as f:
        for m in re.finditer(r"^MV_FEATURE\((\w+),[^\"]*\"([^\"]+)\"", f.read(), re.M):
            ids[m[2]] = m[1]
    return ids


def read_proven():
    names = {v: k for k, v in feature_ids().items()}
    with open(PROVEN, encoding="utf-8") as f:
        return {names[m[1]]: (m[2], m[3]) for m in
                re.finditer(r'^MV_PROVEN\((\w+), "([^"]*)", "([^"]*)"\)', f.read(), re.M)}


def write_proven(proof):
    ids = feature_ids()
    both = sum(all(p) for p in proof.values())
    with open(PROVEN, "w", encoding="utf-8") as f:
        f.write(f"""/* SPDX-License-Identifier: MIT */
/*
 * Generated by "make probe-record" from runs; do not edit. Include with MV_PROVEN defined:
 *
 * MV_PROVEN(id, ran, not)
 *
 * ran, not	a machine whose CPUID showed the feature and where a row of it succeeded; one whose
 *		CPUID did not, and where the same row failed. "": not seen yet. With both, a
 *		feature is proven: {both} of {len(proof)}.
 */

""")
        for name, (ran, absent) in sorted(proof.items(), key=lambda i: ids[i[0]]):
            f.write(f'MV_PROVEN({ids[name]}, "{ran}", "{absent}")\n')


# ---- the document ----

INTRO = """# Probe oracles

Is a row of `guest-tests/probes.def` right? The CPU at hand can tell one half of it: a CPU has a feature or lacks it.
Emulators have CPUs of all kinds, and their authors read the manuals independently of us. Without KVM and without a mask,
the probe guest boots on each of them, and every row has to be `OK` (shown, and it works) or `ABSENT` (not shown, and it does
not). What is neither is looked into, and was a bug of ours, which is fixed, or is an inaccuracy of that emulator, which
is named below.

`make oracles` boots all of them again ({minutes}) and fails for a verdict that is not listed here, for a line here that does
not occur, and for numbers that differ. `make check` does so with three. `tests/oracles/oracles.py BUILD show NAME` prints
what the guest says on one machine. QEMU is 7.2 with TCG, Bochs is 2.7.

## Machines

Opteron_G4 and G5 show XSAVE and leaf 0xD.1 with nothing in it; QEMU then refuses CR4.OSXSAVE by repeating the write for ever.
They are run with `+xsaveopt`; without, the guest's last line names the control bit.

`SKIP`: the guest found that it could not tell (QEMU lets any MSR be read, and repeats a write of a reserved CR4 bit for ever).

| machine | rows | OK | ABSENT | SKIP | else |
| --- | --- | --- | --- | --- | --- |
"""


def machine_line(run):
    if run.no_64bit:
        return f"| {run.label()} | no 64-bit mode: the guest says so | | | | |"
    other = sum(r.verdict not in FINE for r in run.rows)
    return (f"| {run.label()} | {len(run.rows)} | {run.count('OK')} | "
            f"{run.count('ABSENT') + run.count('ENFORCED')} | "
            f"{run.count('SKIP')} | {other} |")


def document(runs, known, proof):
    both = sorted(n for n, p in proof.items() if all(p))
    half = sorted((n, p) for n, p in proof.items() if not all(p))
    lines = [INTRO.format(minutes="about three minutes")]
    lines += [machine_line(r) + "\n" for r in runs if r.emulator != "linux"]
    lines.append("""
`lab kvm-amd` is a guest of minivmm on KVM (SVM) in the lab's host `epyc`, with the mask of Linux guests: it is there for what
only KVM offers. What such a guest finds out about masks is `make check`'s business.

## Inaccuracies of the emulators

| emulator | machines | feature | instruction | verdict | why |
| --- | --- | --- | --- | --- | --- |
""")
    lines += ["| {} | {} | {} | {} | {} | {} |\n".format({"tcg": "QEMU", "bochs": "Bochs", "lab": "KVM under QEMU"}[k[0]],
                                                     "all" if k[1] == "*" else k[1], *k[2:])
              for k in known]
    lines.append(f"""
## Proven and unproven

A feature is proven when a row of it was seen to succeed on a machine that shows it and to fail on one that does not.
`guest-tests/proven.def` names both machines; `make probe-record` writes it from runs, the emulators above and the CPU it is
made on. {len(both)} of {len(proof)} features that a row can decide are proven. The others are printed with `unproven`:

| feature | seen |
| --- | --- |
""")
    lines += [f"| {n} | {'succeeding: ' + p[0] if p[0] else 'failing: ' + p[1] if p[1] else 'never tried'} |\n"
              for n, p in half]
    return "".join(lines)


# ---- commands ----

def say(ok, name, problems):
    print(f"ok {name}" if ok else f"not ok {name}: {problems[0]}", flush=True)
    if not ok:
        sys.stderr.writelines(f"    {p}\n" for p in problems[:30])
    return ok


def check(build, names):
    machines = [m for m in table("machines.tsv") if not names or m[0] in names]
    known, everything = table("known.tsv"), not names
    with open(DOCUMENT, encoding="utf-8") as f:
        text = f.read()
    proven, met, ok = read_proven(), set(), True
    runs = boot_all(build, machines)
    for run in runs:
        wrong, here_met = judge(run, known)
        met |= here_met
        if run.done and machine_line(run) + "\n" not in text:
            wrong.append(f"the document does not say: {machine_line(run)}")
        wrong += contradictions(run, proven)
        ok &= say(not wrong, f"oracle {run.label()}", wrong)
    if everything:
        stale = [k for k in map(tuple, known) if k not in met]
        ok &= say(not stale, "every inaccuracy named occurs", [" ".join(k[:5]) for k in stale])
    native = here(build)
    wrong = contradictions(native, proven)
    ok &= say(not wrong, "the record holds for this machine, if it is in there", wrong)
    proof = dict(read_proven())
    same = document_tail(text) == document_tail(document([], known, proof))
    ok &= say(same, "the document is what known.tsv and proven.def give",
              ["docs/probe-oracles.md: run make probe-record"])
    return ok


def document_tail(text):
    return text[text.index("## Inaccuracies"):]


def contradictions(run, proven):
    """The record names this machine: does it still say so?"""
    verdicts = {}
    for row in run.rows:
        verdicts.setdefault(row.feature, set()).add(row.verdict)
    wrong = []
    for name, pair in proven.items():
        for machine, verdict in zip(pair, ("OK", "ABSENT")):
            seen = verdicts.get(name, set())
            if machine == run.label() and verdict not in seen and \
               not (verdict == "ABSENT" and "ENFORCED" in seen):
                wrong.append(f"proven.def: {name} is not {verdict} here")
    return wrong


def record(build):
    known = table("known.tsv")
    runs = boot_all(build, table("machines.tsv")) + [here(build)]
    ok = True
    for run in runs:
        wrong, _ = judge(run, known) if run.emulator != "linux" else ([], None)
        ok &= say(not wrong, f"oracle {run.label()}", wrong)
    if not ok:
        return False
    proof = evidence(runs, known)
    write_proven(proof)
    with open(DOCUMENT, "w", encoding="utf-8") as f:
        f.write(document(runs, known, proof))
    print(f"{sum(all(p) for p in proof.values())} of {len(proof)} features are proven")
    return True


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    build, command, names = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
    unknown = set(names) - {m[0] for m in table("machines.tsv")}
    if unknown:
        sys.exit(f"oracles.py: no machine is called {sorted(unknown)[0]}: see machines.tsv")
    if command == "check":
        sys.exit(not check(build, names))
    if command == "record" and not names:
        sys.exit(not record(build))
    if command == "show" and len(names) == 1:
        print(boot(build, next(m for m in table("machines.tsv") if m[0] == names[0])).text, end="")
        sys.exit()
    sys.exit(__doc__)


if __name__ == "__main__":
    main()
