#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
minivmm's verdicts and baselines against libvirt's, over every pair of some hosts.

  agree.py MINIVMM URI DIR HOST...

HOST: files that minivmm host --from reads. For each, DIR gets an emulator that tells libvirt of that
host's CPU (emulator.py). Then, for every ordered pair A, B:

  1. A's host-model as a domain: virConnectCompareHypervisorCPU on B and `minivmm check` must name the same
     missing features;
  2. where libvirt sees nothing missing, the whole verdict for a VM started on A: what refuses there is
     what libvirt does not check, counted by name;
  3. for neighbours in the list: virConnectBaselineHypervisorCPU and `minivmm baseline`: what minivmm shows,
     libvirt's baseline has; what only libvirt's has was taken away for a reason that minivmm tells.

docs/libvirt.md's table has all differences by name: one that it lacks is a disagreement. Its figures are of
the hosts that it speaks of, and are compared if these are as many. Exit 1 if they disagree anywhere.
"""
import collections
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import libvirt

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
VENDORS = ("GenuineIntel", "AuthenticAMD", "HygonGenuine")
# IA32_ARCH_CAPABILITIES in libvirt's cpu_map
CAPS = ["rdctl-no", "ibrs-all", "rsba", "skip-l1dfl-vmentry", "ssb-no", "mds-no", "pschange-mc-no",
        "tsx-ctrl", "taa-no"]


def plain(name):
    return re.sub("[-_.]", "", name.lower())


def feature_table():
    """
    canonical name -> leaf, subleaf, register, bit, QEMU's spellings; what each one needs; those that follow
    the VM's topology or state, and never a host
    """
    rows, names, computed = {}, {}, set()
    text = open(f"{TOP}/cpuid/features.def").read()
    for m in re.finditer(r'^MV_FEATURE\((\w+), (\w+), (\w+), (\w+), (\d+), \w+, (\w+),[^"]*"([^"]*)",\s*"[^"]*",\s*"([^"]*)"', text, re.M):
        ident, leaf, subleaf, reg, bit, kind, name, qemu = m.groups()
        if kind in ("TOPOLOGY", "DYNAMIC", "SYNTH", "MIRROR"):
            computed.add(name)
        names[ident] = name
        rows[name] = (int(leaf, 0), int(subleaf, 0), ["EAX", "EBX", "ECX", "EDX"].index(reg), int(bit), qemu.split())
    parents = collections.defaultdict(set)
    for m in re.finditer(r"^MV_DEP\((\w+), (\w+),", open(f"{TOP}/cpuid/deps.def").read(), re.M):
        parents[names.get(m.group(1))].add(names.get(m.group(2)))
    return rows, parents, computed


FEATURES, PARENTS, COMPUTED = feature_table()
BY_QEMU = {plain(q): name for name, row in FEATURES.items() for q in row[4]}


def documented():
    """docs/libvirt.md's table: section -> name -> in how many pairs; the names of its row of nameless features; hosts"""
    text = open(f"{TOP}/docs/libvirt.md").read()
    sections, nameless = {}, []
    for line in text[text.index("| difference |"):].split("\n\n")[0].splitlines()[2:]:
        what, names = [cell.strip() for cell in line.split("|")[1:3]]
        if what.startswith("**"):
            section = sections[what.strip("*")] = {}
            continue
        found = re.findall(r"`([^`]*)`(?: (\d+))?", names)
        section.update((name, int(n or 0)) for name, n in found)
        if "has no name for" in what:
            nameless = [name for name, _ in found]
    return sections, nameless, int(re.search(r"of which (\d+) hosts", text).group(1))


def run(*args):
    return subprocess.run(args, capture_output=True, text=True)


class Host:
    def __init__(self, minivmm, file, folder):
        self.name = re.sub("[^A-Za-z0-9_-]", "_", os.path.basename(file))
        self.file = f"{folder}/{self.name}.json"
        done = run(minivmm, "host", "-q", "-o", self.file, "--from", file)
        self.usable = done.returncode == 0
        if self.usable:
            self.data = json.load(open(self.file))
            self.usable = self.data["vendor"] in VENDORS and self.has("LM")

    def reg(self, leaf, subleaf, reg):
        key = f"0x{leaf:08x}"
        regs = self.data["kvm"].get(f"{key}.{subleaf:x}") or (self.data["kvm"].get(key) if not subleaf else None)
        return int(regs[reg], 16) if regs else 0

    def has(self, name):
        leaf, subleaf, reg, bit, _ = FEATURES[name]
        return bool(self.reg(leaf, subleaf, reg) >> bit & 1)

    def props(self):
        """What a QEMU there would tell libvirt."""
        props = {q: self.has(name) for name, row in FEATURES.items() for q in row[4]}
        props.update({q.replace("_", "-"): v for q, v in list(props.items())})
        caps = int(self.data["msrs"].get("0x10a", "0"), 16)
        for bit, name in enumerate(CAPS):
            props[name] = self.has("ARCH-CAPABILITIES") and bool(caps >> bit & 1)
        eax = int(self.data["raw"]["0x00000001"][0], 16)
        family, model = eax >> 8 & 15, eax >> 4 & 15
        props["family"] = family + (eax >> 20 & 255 if family == 15 else 0)
        props["model"] = model + (eax >> 12 & 0xf0 if family in (6, 15) else 0)
        props["stepping"] = eax & 15
        props["vendor"] = self.data["vendor"]
        return props

    def write_emulator(self, folder):
        self.emulator = f"{folder}/qemu-{self.name}"
        with open(f"{folder}/{self.name}.props", "w") as f:
            json.dump({"props": self.props()}, f)
        with open(self.emulator, "w") as f:
            f.write(f"#!/bin/sh\nexec python3 {HERE}/emulator.py {folder}/{self.name}.props {folder}/replies.json \"$@\"\n")
        os.chmod(self.emulator, 0o755)

    def ask_libvirt(self, conn):
        """Its host-model, as a domain's <cpu>."""
        caps = ET.fromstring(conn.getDomainCapabilities(self.emulator, "x86_64", None, "qemu", 0))
        mode = caps.find("cpu/mode[@name='host-model']")
        cpu = ET.Element("cpu", mode="custom", match="exact", check="full")
        cpu.extend(list(mode))
        self.cpu = ET.tostring(cpu, encoding="unicode")
        self.domain = f"{self.file}.xml"
        with open(self.domain, "w") as f:
            f.write(f"<domain type='qemu'><name>{self.name}</name>{self.cpu}</domain>\n")


def libvirt_misses(conn, a, b):
    """Names that libvirt says B lacks of A's CPU."""
    try:
        conn.compareHypervisorCPU(b.emulator, "x86_64", None, "qemu", a.cpu,
                                  libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE)
        return set()
    except libvirt.libvirtError as e:
        m = re.search("does not provide required features: (.*?)(;|$)", e.get_error_message())
        if m:
            return {BY_QEMU.get(plain(n), n) for n in m.group(1).split(", ")}
        return {"VENDOR"} if "vendor" in e.get_error_message() else {e.get_error_message()}


def verdicts(minivmm, vm, hosts):
    out = run(minivmm, "check", "-q", "--json", *vm, *[h.file for h in hosts])
    return json.loads(out.stdout)


def minivmm_misses(verdict):
    """The same, of a verdict on a domain's XML; the MSR's bits by their names."""
    names = set()
    for m in verdict["mismatches"]:
        if m["rule"] == "symbol" and m["symbol"] == "T":
            names.add(m["subject"])
        elif m["rule"] == "vendor":
            names.add("VENDOR")
        elif m["rule"] == "arch-caps":
            lost = int(re.search("lost (0x[0-9a-f]+)", m["text"]).group(1), 16)
            names |= {n for bit, n in enumerate(CAPS) if lost >> bit & 1}
    return names


def compare(minivmm, conn, hosts, report):
    for a in hosts:
        ours = {v["destination"]: v for v in verdicts(minivmm, [a.domain], hosts)}
        whole = {}
        out = run(minivmm, "check", "-q", "--json", "--rule", "subset", "--on", a.file, *[h.file for h in hosts])
        if out.stdout.startswith("["):
            whole = {v["destination"]: v for v in json.loads(out.stdout)}
        for b in hosts:
            theirs = libvirt_misses(conn, a, b)
            for name in theirs & COMPUTED:
                report["left-out " + name] += 1
            theirs -= COMPUTED
            mine = minivmm_misses(ours[b.file])
            report["pairs"] += 1
            report["libvirt refuses"] += bool(theirs)
            # libvirt stops at the vendor. Bits of an MSR that is not there at all: one reason is enough.
            if "VENDOR" in theirs and "VENDOR" in mine:
                report["left-out VENDOR"] += 1
                continue
            if "ARCH-CAPABILITIES" in theirs & mine:
                theirs, mine = theirs - set(CAPS), mine - set(CAPS)
            if theirs != mine:
                report["disagree"] += 1
                print(f"{a.name} on {b.name}: libvirt {sorted(theirs - mine)}, minivmm {sorted(mine - theirs)}")
            if theirs or b.file not in whole or whole[b.file]["verdict"] == "accept":
                continue
            report["only minivmm refuses"] += 1
            for subject in {m["subject"] if m["rule"] == "symbol" else "rule " + m["rule"]
                            for m in whole[b.file]["mismatches"]}:
                report["unseen " + subject] += 1


def libvirt_baseline(conn, a, b):
    xml = conn.baselineHypervisorCPU(a.emulator, "x86_64", None, "qemu", [a.cpu, b.cpu],
                                     libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
    return {BY_QEMU[plain(f.get("name"))] for f in ET.fromstring(xml).findall("feature")
            if f.get("policy") != "disable" and plain(f.get("name")) in BY_QEMU} - COMPUTED


def hidden_by_default(minivmm):
    """What the default mask hides, whatever the hosts have."""
    text = run(minivmm, "mask", "convert", "-q", "--to", "feature", f"{TOP}/configs/guest-os/generic64.mask").stdout
    hidden = {m.group(1) for m in re.finditer(r"^feature (\S+) = [0R]$", text, re.M)}
    while True:
        more = {child for child, parents in PARENTS.items() if parents & hidden} - hidden
        if not more:
            return hidden
        hidden |= more


def baselines(minivmm, conn, hosts, named, report):
    default = hidden_by_default(minivmm)
    for a, b in zip(hosts, hosts[1:]):
        if a.data["vendor"] != b.data["vendor"]:
            continue
        theirs = libvirt_baseline(conn, a, b)
        out = run(minivmm, "baseline", "-q", "--json", "--ignore-tsc", a.file, b.file)
        if out.returncode:
            report["no baseline"] += 1
            continue
        mine = json.loads(out.stdout)
        shown = {f for f in mine["features"] if f in named and a.has(f) and b.has(f)}
        reasons = default | {lost["feature"] for h in mine["hosts"] for lost in h["lost"]}
        report["baselines"] += 1
        if shown - theirs or theirs - shown - reasons:
            report["disagree"] += 1
            print(f"baseline of {a.name} and {b.name}: minivmm alone {sorted(shown - theirs)}, libvirt alone "
                  f"and no reason told {sorted(theirs - shown - reasons)}")
        for name in theirs - shown:
            report["hidden " + name] += 1


SECTIONS = {"unseen": "libvirt does not look at", "left-out": "left out of the comparison",
            "hidden": "in libvirt's baseline alone"}


def check_table(report, named, nhosts):
    """Everything that was counted stands in the documentation, and what that says of libvirt's names is so."""
    sections, nameless, documented_hosts = documented()
    for what, title in SECTIONS.items():
        counted = {key[len(what) + 1:]: n for key, n in report.items() if key.startswith(what + " ")}
        wrong = counted.keys() - sections[title].keys()
        if nhosts == documented_hosts:
            wrong |= {name for name, n in sections[title].items() if counted.get(name, 0) != n}
        for name in sorted(wrong):
            report["disagree"] += 1
            print(f"docs/libvirt.md, {title}: {name} {counted.get(name, 0)}, not {sections[title].get(name)}")
    for name in nameless:
        if name not in FEATURES or name in named:
            report["disagree"] += 1
            print(f"docs/libvirt.md: libvirt has a name for {name}")
    if set(CAPS) - sections[SECTIONS["left-out"]].keys():
        report["disagree"] += 1
        print("docs/libvirt.md does not name the bits of the MSR that are left out")


def main():
    minivmm, uri, folder, *files = sys.argv[1:]
    libvirt.registerErrorHandler(lambda ctx, error: None, None)
    conn = libvirt.open(uri)
    hosts = [h for h in (Host(minivmm, f, folder) for f in files) if h.usable]
    for h in hosts:
        h.write_emulator(folder)
        h.ask_libvirt(conn)
    text = open("/usr/share/libvirt/cpu_map/x86_features.xml").read()
    named = {BY_QEMU[plain(n)] for n in re.findall("<feature name='([^']*)'", text) if plain(n) in BY_QEMU}
    report = collections.Counter()
    compare(minivmm, conn, hosts, report)
    baselines(minivmm, conn, hosts, named, report)
    check_table(report, named, len(hosts))
    print(f"{len(hosts)} of {len(files)} hosts expressible; {report['pairs']} pairs, libvirt refuses "
          f"{report['libvirt refuses']}; {report['baselines']} baselines, {report['no baseline']} refused; "
          f"{report['disagree']} disagreements")
    print(f"libvirt sees nothing missing, minivmm refuses: {report['only minivmm refuses']} pairs")
    for what in SECTIONS:
        for key, n in sorted(report.items(), key=lambda kv: (-kv[1], kv[0])):
            if key.startswith(what + " "):
                print(f"  {what} {n:5} {key[len(what) + 1:]}")
    sys.exit(report["disagree"] > 0 or report["pairs"] == 0)


main()
