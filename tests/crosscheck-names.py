#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Check cpuid/features.def against what other people say of the same bits.

  --libcpuid DIR   dumps with the flag list that libcpuid decodes from each (its tests/*.test);
                   deps.def is checked too: no dump may have a bit without its prerequisite
  --cpuinfo FILE   flags of the running kernel, against CPUID executed here (default /proc/cpuinfo)
  --libvirt DIR    libvirt's cpu_map (default /usr/share/libvirt/cpu_map), names and positions
  --qemu PROG      names of -cpu help; positions from the warnings TCG gives (default
                   qemu-system-x86_64)

Each known difference stands below with its reason. Exit 1 if there is any other one.
"""
import argparse
import ctypes
import glob
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

REGS = ["EAX", "EBX", "ECX", "EDX"]
SYSTEMS = ["linux", "qemu", "xen", "vmware"]
HERE = os.path.dirname(os.path.abspath(__file__))

# libcpuid's flag -> our id, where the spelling says something else
LIBCPUID = {
    "dts64": "DTES64",
    "fma3": "FMA",
    "pclmul": "PCLMUL",
    "aperfmperf": "EFRO",   # AMD's read-only kind, not the one of leaf 6
    "pfi": "PROC_FEEDBACK",
    "pa": "ACC_POWER",
    "ts": "TEMP_SENSOR",
    "ttp": "TTP",
    "tm_amd": "HTC",
    "stc": "STC",
    "fid": "FID_CTRL",
    "vid": "VID_CTRL",
    "hwpstate": "HW_PSTATE",
    "100mhzsteps": "MHZ100_STEPS",
    "sha_ni": "SHA",
    "xd": "NX",
    "constant_tsc": "INVARIANT_TSC",
}

# flags that libcpuid looks for on CPUs of one vendor only
LIBCPUID_AMD = set("""
    nx mmxext fxsr_opt 3dnow 3dnowext cmp_legacy svm misalignsse sse4a 3dnowprefetch osvw ibs
    xop skinit wdt fma4 tbm ts fid vid ttp tm_amd stc 100mhzsteps hwpstate cpb aperfmperf pfi
    pa""".split())
LIBCPUID_INTEL = set("""
    xd pn dts acpi ss tm pbe dts64 ds_cpl vmx smx est tm2 cid xtpr pdcm dca x2apic sgx hle
    rtm""".split())

# /proc/cpuinfo flags that are no CPUID bit
LINUX_SYNTHETIC = {
    "made up by the kernel from family, model or clock": """
        rep_good nopl xtopology cpuid extd_apicid tsc_known_freq tsc_reliable nonstop_tsc_s3 art
        amd_dcm up k8 k7 p3 p4 arch_perfmon pebs bts recovery longrun lrti cxmmx k6_mtrr
        cyrix_arr centaur_mcr eagerfpu ring3mwait cpuid_fault""",
    "set if either vendor's bit is": "ibrs ibpb",
    "MSR bits or mitigations, not CPUID": """
        ibrs_enhanced pti retpoline tsx_ctrl split_lock_detect swapgs_barrier user_shstk
        vmmcall tpr_shadow flexpriority ept vpid ept_ad vnmi_vmx""",
    "Centaur leaf 0xC0000001": "rng rng_en ace ace_en ace2 ace2_en phe phe_en pmm pmm_en",
}

# names of -cpu help that are no CPUID bit of the table
QEMU_OTHER = {
    "Centaur leaf 0xC0000001": """
        ace2 ace2-en phe phe-en pmm pmm-en xcrypt xcrypt-en xstore xstore-en""",
    "MSR 0x10A": """
        rdctl-no ibrs-all rsba skip-l1dfl-vmentry ssb-no mds-no pschange-mc-no tsx-ctrl taa-no
        sbdr-ssdp-no fbsdp-no psdp-no fb-clear bhi-no pbrsb-no gds-no rfds-no rfds-clear its-no""",
    "MSR 0xCF": "split-lock-detect",
    "MSR 0x345": "full-width-write",
}

# positions where a name means several bits or another one
POSITION = {
    "kvmclock": "QEMU sets bits 0 and 3 by this name; ours is bit 3",
}


def fold(name):
    return name.lower().replace("-", "_").replace(".", "_")


def words(table):
    return {fold(w): why for why, names in table.items() for w in names.split()}


class Row:
    def __init__(self, m):
        self.id = m["id"]
        self.leaf, self.subleaf = int(m["leaf"], 0), int(m["sub"], 0)
        self.reg, self.bit = REGS.index(m["reg"]), int(m["bit"])
        self.name = m["name"]
        self.vendor, self.cls = m["vendor"], m["cls"]
        self.alias = {s: m[s].split() for s in SYSTEMS}
        self.pos = (self.leaf, self.subleaf, self.reg, self.bit)

    def __str__(self):
        return "0x%x.%d %s:%d (%s)" % (self.leaf, self.subleaf, REGS[self.reg], self.bit, self.name)


def read_rows(path):
    text = open(path, encoding="ascii").read()
    pat = (r"^MV_FEATURE\((?P<id>\w+), (?P<leaf>\w+), (?P<sub>\d+), (?P<reg>E[A-D]X), (?P<bit>\d+),"
           r" (?P<vendor>\w+), (?P<cls>\w+), \w+, \w+, \w+,\s+\"(?P<name>[^\"]*)\","
           + "".join(r"\s+\"(?P<%s>[^\"]*)\"," % s for s in SYSTEMS))
    rows = [Row(m) for m in re.finditer(pat, text, re.M)]
    if len(rows) != len(re.findall(r"^MV_FEATURE\(", text, re.M)):
        sys.exit("%s: some rows are not in the form that this script reads" % path)
    return rows


class Check:
    def __init__(self, rows):
        self.rows = rows
        self.by_id = {r.id: r for r in rows}
        self.by_pos = {r.pos: r for r in rows}
        self.by_alias = {s: {} for s in SYSTEMS}
        self.by_name = {fold(r.name): r for r in rows}
        self.unexplained = 0
        self.known = {}
        for r in rows:
            for s in SYSTEMS:
                for a in r.alias[s]:
                    other = self.by_alias[s].setdefault(fold(a), r)
                    if other is not r:
                        self.bad("table", "%s names both %s and %s" % (a, other, r))

    def bad(self, part, text):
        self.unexplained += 1
        print("DIFF %s: %s" % (part, text))

    def explain(self, part, why, what):
        self.known.setdefault((part, why), set()).add(what)

    def find(self, system, name):
        return self.by_alias[system].get(fold(name))


def parse_dump(text):
    """Each logical CPU's {(leaf, subleaf): [eax, ebx, ecx, edx]}."""
    cpus = [{}]
    for line in text.splitlines():
        m = re.match(r"CPUID ([\da-f]{8}): ((?:[\da-f]{8}-){3}[\da-f]{8})(?: \[SL (\w+)\])?", line,
                     re.I)
        if m:
            key = int(m[1], 16), int(m[3] or "0", 16)
            regs = [int(x, 16) for x in m[2].split("-")]
        else:
            m = re.match(r"(basic_cpuid|ext_cpuid)\[(\d+)\]=((?:[0-9a-f]{8} ){3}[0-9a-f]{8})", line)
            if not m:
                continue
            key = int(m[2]) + (0x80000000 if m[1][0] == "e" else 0), 0
            regs = [int(x, 16) for x in m[3].split()]
        if key == (0, 0) and key in cpus[-1]:
            cpus.append({})
        cpus[-1].setdefault(key, regs)
    return [c for c in cpus if (0, 0) in c]


def vendor_of(cpu):
    return b"".join(cpu[0, 0][i].to_bytes(4, "little") for i in (1, 3, 2)).decode("latin1")


def bit_set(cpu, row):
    leaf0, ext0 = cpu.get((0, 0)), cpu.get((0x80000000, 0), [0])
    if row.leaf < 0x80000000 and leaf0[0] < row.leaf:
        return False    # above the maximum Intel CPUs answer with the highest leaf
    if row.leaf >= 0x80000000 and (ext0[0] < row.leaf or ext0[0] > 0x8fffffff):
        return False
    regs = cpu.get((row.leaf, row.subleaf))
    return bool(regs and regs[row.reg] >> row.bit & 1)


def libcpuid_row(c, flag):
    ident = LIBCPUID.get(flag, flag)
    return c.by_id.get(ident) or c.find("linux", ident) or c.find("qemu", ident)


def check_libcpuid(c, path):
    files = sorted(glob.glob(os.path.join(path, "**", "*.test"), recursive=True))
    if not files:
        c.bad("libcpuid", "no *.test in %s" % path)
    dumps, universe = [], set()
    for f in files:
        text = open(f, encoding="utf-8", errors="replace").read()
        cpus, lines = parse_dump(text), text.strip().splitlines()
        flags = set(lines[-1].split())
        universe |= flags
        dumps.append((os.path.basename(f), cpus, flags))
    for flag in sorted(universe):
        if not libcpuid_row(c, flag):
            c.bad("libcpuid", "flag %s is in no row" % flag)
    same = 0
    for name, cpus, flags in dumps:
        # where the cores are not all of one kind, the last line is that of one of the kinds
        best = min((libcpuid_diff(c, cpu, flags, universe) for cpu in cpus), key=len, default=[])
        if not cpus:
            c.bad("libcpuid", "%s: no registers" % name)
        for flag, have in best:
            why = libcpuid_reason(flag, have, cpus[0])
            text = "%s: %s %s" % (name, flag, "listed, bit clear" if have else "set, not listed")
            if why:
                c.explain("libcpuid", why, flag)
            else:
                c.bad("libcpuid", text)
        same += all(libcpuid_reason(flag, have, cpus[0]) for flag, have in best)
    print("libcpuid: %d dumps, %d flags, %d dumps without unexplained differences" %
          (len(files), len(universe), same))
    return dumps


def libcpuid_diff(c, cpu, flags, universe):
    out = []
    for flag in sorted(universe):
        row = libcpuid_row(c, flag)
        if row and bit_set(cpu, row) != (flag in flags):
            out.append((flag, flag in flags))
    return out


def libcpuid_reason(flag, listed, cpu):
    """Why libcpuid may differ from the bit, None if there is no such reason."""
    vendor = vendor_of(cpu)
    if listed:
        return None
    if flag in LIBCPUID_AMD and vendor not in ("AuthenticAMD", "HygonGenuine"):
        return "looked for on AMD only"
    if flag in LIBCPUID_INTEL and vendor != "GenuineIntel":
        return "looked for on Intel only"
    if flag == "ht" and (cpu[1, 0][1] >> 16 & 0xff) <= 1:
        return "not listed where leaf 1 EBX tells one logical processor"
    return None


# prerequisites that real CPUs lack
DEPS_KNOWN = {
    ("IBS_FFV", "IBS"): "leaf 0x8000001B stays filled where firmware turns IBS off",
}


def check_deps(c, path, dumps):
    text = open(path, encoding="ascii").read()
    deps = re.findall(r"^MV_DEP\((\w+), (\w+),", text, re.M)
    for child, parent in deps:
        for name, cpus, _ in dumps:
            if not any(bit_set(cpu, c.by_id[child]) and not bit_set(cpu, c.by_id[parent])
                       for cpu in cpus):
                continue
            if "samuel" in name:
                why = "this CPU leaves EBX and ECX of leaf 1 undefined"
            else:
                why = DEPS_KNOWN.get((child, parent))
            what = "%s without %s" % (child, parent)
            c.explain("deps", why, what) if why else c.bad("deps", "%s: %s" % (name, what))
    print("deps: %d" % len(deps))


def cpuid_here():
    """A function that executes CPUID, or None where that is not possible."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return None
    # push rbx; mov eax,edi; mov ecx,esi; mov r8,rdx; cpuid; store at r8; pop rbx; ret
    code = bytes.fromhex("53 89f8 89f1 4989d0 0fa2 418900 41895804 41894808 4189500c 5b c3")
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except (OSError, ValueError):
        return None
    page.write(code)
    proto = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)
    call = proto(ctypes.addressof(ctypes.c_char.from_buffer(page)))

    def run(leaf, subleaf, keep=page):
        regs = (ctypes.c_uint32 * 4)()
        call(leaf, subleaf, ctypes.addressof(regs))
        return list(regs)
    return run


def check_cpuinfo(c, path, native):
    text = open(path, encoding="utf-8", errors="replace").read()
    m = re.search(r"^flags\s*:(.*)$", text, re.M)
    flags = m[1].split() if m else []
    other = words(LINUX_SYNTHETIC)
    cpuid = cpuid_here() if native else None
    cpu, checked = {}, 0
    if cpuid:
        for r in c.rows:
            cpu.setdefault((r.leaf, r.subleaf), cpuid(r.leaf, r.subleaf))
        cpu[0, 0], cpu[0x80000000, 0] = cpuid(0, 0), cpuid(0x80000000, 0)
    for flag in flags:
        row = c.find("linux", flag)
        if not row:
            why = other.get(fold(flag))
            c.explain("cpuinfo", why, flag) if why else c.bad("cpuinfo", "flag %s: no row" % flag)
        elif cpuid and not bit_set(cpu, row):
            why = CPUINFO_CLEAR.get(flag)
            text = "flag %s: bit %s is clear" % (flag, row)
            c.explain("cpuinfo", why, flag) if why else c.bad("cpuinfo", text)
        else:
            checked += 1
    print("cpuinfo: %d flags, %d %s" %
          (len(flags), checked, "agree with CPUID" if cpuid else "have a row"))


# flags the kernel sets by itself although the bit is clear
CPUINFO_CLEAR = {
    "constant_tsc": "the kernel knows it from family and model",
    "nonstop_tsc": "the kernel knows it from family and model",
    "stibp": "set if either vendor's bit is",
    "ssbd": "set if either vendor's bit is",
}


def check_libvirt(c, path):
    path = os.path.join(path, "x86_features.xml")
    names = 0
    for feature in ET.parse(path).getroot().iter("feature"):
        spelled = [feature.get("name")] + [a.get("name") for a in feature.findall("alias")]
        for e in feature.findall("cpuid"):
            for i, reg in enumerate(REGS):
                value = int(e.get(reg.lower()) or "0", 0)
                if not value:
                    continue
                pos = (int(e.get("eax_in"), 0), int(e.get("ecx_in") or "0", 0), i,
                       value.bit_length() - 1)
                row = c.by_pos.get(pos)
                for name in spelled:
                    names += 1
                    found = c.find("qemu", name)
                    where = "%s at 0x%x.%d %s:%d" % (name, pos[0], pos[1], reg, pos[3])
                    if not row:
                        c.bad("libvirt", "%s: no row" % where)
                    elif found is not row:
                        why = POSITION.get(name)
                        text = "%s: ours is %s, row there is %s" % (where, found, row)
                        c.explain("libvirt", why, name) if why else c.bad("libvirt", text)
    print("libvirt: %d names" % names)


def check_qemu(c, prog):
    text = subprocess.run([prog, "-cpu", "help"], capture_output=True, text=True,
                          check=True, timeout=60).stdout
    names = sorted(set(text.split("Recognized CPUID flags:")[1].split()))
    other, usable = words(QEMU_OTHER), []
    for name in names:
        row = c.find("qemu", name)
        if row:
            usable.append(name)
        elif name.startswith("vmx-"):
            c.explain("qemu", "VMX capability MSRs", "vmx-*")
        elif fold(name) in other:
            c.explain("qemu", other[fold(name)], name)
        else:
            c.bad("qemu", "name %s: no row" % name)
    # TCG warns of each feature that it lacks and says where the bit is
    spec = ",".join(["qemu64"] + ["+" + n for n in usable])
    cmd = [prog, "-accel", "tcg", "-machine", "pc", "-cpu", spec, "-S", "-nodefaults",
           "-display", "none", "-serial", "none", "-monitor", "stdio"]
    run = subprocess.run(cmd, input="quit\n", capture_output=True, text=True, timeout=120)
    pat = r"feature: CPUID\.([0-9A-F]+)H:(E[A-D]X)\.(\S+) \[bit (\d+)\]"
    warned = re.findall(pat, run.stderr)
    if not warned:
        c.bad("qemu", "no warnings to learn positions from: %s" % run.stderr[-300:])
    for leaf, reg, name, bit in warned:
        row = c.find("qemu", name)
        if not row or (row.leaf, row.reg, row.bit) != (int(leaf, 16), REGS.index(reg), int(bit)):
            why = POSITION.get(name)
            text = "%s at 0x%s %s:%s: ours is %s" % (name, leaf.lower(), reg, bit, row)
            c.explain("qemu", why, name) if why else c.bad("qemu", text)
    print("qemu: %d names, %d with a row, %d positions" % (len(names), len(usable), len(warned)))


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--features", default=os.path.join(HERE, "..", "cpuid", "features.def"))
    ap.add_argument("--libcpuid")
    ap.add_argument("--cpuinfo", default="/proc/cpuinfo")
    ap.add_argument("--libvirt", default="/usr/share/libvirt/cpu_map")
    ap.add_argument("--qemu", default="qemu-system-x86_64")
    args = ap.parse_args()
    c = Check(read_rows(args.features))
    print("table: %d rows" % len(c.rows))
    if args.libcpuid:
        dumps = check_libcpuid(c, args.libcpuid)
        check_deps(c, os.path.join(os.path.dirname(args.features), "deps.def"), dumps)
    else:
        print("libcpuid: skipped, no directory given")
    if os.path.exists(args.cpuinfo):
        check_cpuinfo(c, args.cpuinfo, args.cpuinfo == "/proc/cpuinfo")
    else:
        print("cpuinfo: skipped, no %s" % args.cpuinfo)
    if os.path.exists(os.path.join(args.libvirt, "x86_features.xml")):
        check_libvirt(c, args.libvirt)
    else:
        print("libvirt: skipped, no cpu_map in %s" % args.libvirt)
    if shutil.which(args.qemu):
        check_qemu(c, args.qemu)
    else:
        print("qemu: skipped, no %s" % args.qemu)
    for (part, why), what in sorted(c.known.items()):
        print("known %s: %s: %s" % (part, why, " ".join(sorted(what))))
    print("%d unexplained" % c.unexplained)
    return 1 if c.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
