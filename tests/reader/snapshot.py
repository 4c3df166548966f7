#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""snapshot.py FILE: a second reader of snapshots, written from docs/stream-format.md alone. Verifies
all of it and prints what is in it as JSON, in the shape of `minivmm inspect --json`."""
import json
import struct
import sys

from xxh3 import xxh3

NAMES = {0x100: "CONFIG", 0x110: "POLICY", 0x80000118: "IGNORED", 0x120: "SOURCE_HOST", 0x130: "GUEST_TABLE",
         0x140: "MASK_FILES", 0x150: "MASK_FINAL", 0x160: "MASK_EFFECTIVE", 0x170: "DISK", 0x178: "RNG",
         0x1f0: "STATIC_END",
         0x300: "CLOCK", 0x310: "IRQCHIP", 0x320: "DEVICE", 0x330: "CPUID_SITES", 0x340: "VCPU",
         0x3f0: "PACKED", 0x400: "MEMORY", 0x500: "END"}
REGS = "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags".split()
SEGMENT = "type present dpl db s l g avl unusable".split()
PIT = ("count_latched status_latched status read_state write_state write_latch rw_mode mode bcd "
       "gate").split()
PIC = ("last_irr irr imr isr priority_add irq_base read_reg_select poll special_mask init_state "
       "auto_eoi rotate_on_auto_eoi special_fully_nested_mode init4 elcr elcr_mask").split()
EVENTS = (("exception_injected exception_nr exception_has_error_code exception_pending", "B"),
          ("exception_error_code", "I"), ("exception_has_payload", "?"), ("exception_payload", "Q"),
          ("interrupt_injected interrupt_nr interrupt_soft interrupt_shadow nmi_injected "
           "nmi_pending nmi_masked", "B"), ("sipi_vector", "I"),
          ("smi_smm smi_pending smi_inside_nmi smi_latched_init triple_fault_pending", "B"),
          ("flags", "I"))


class Bad(Exception):
    pass


def need(truth, why):
    if not truth:
        raise Bad(why)


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        need(n <= len(self.data) - self.at, "a payload ends too early")
        self.at += n
        return self.data[self.at - n:self.at]

    def get(self, code):
        s = struct.Struct("<" + code)
        raw = self.take(s.size)
        need(code != "?" or raw[0] < 2, "a bool is neither 0 nor 1")
        v = s.unpack(raw)
        return v[0] if len(v) == 1 else list(v)

    def named(self, names, code):
        return {n: hex(self.get(code)) for n in names}

    def str(self, n):
        text, _, rest = self.take(n).partition(b"\0")
        need(len(text) < n and not rest.strip(b"\0"), "text without its NULs")
        need(all(c >= 0x20 and c != 0x7f for c in text), "a control character")
        return text.decode()

    def pairs(self, limit):
        n = self.get("I")
        need(n <= limit, "too many pairs")
        return [[hex(v) for v in self.get("IQ")] for _ in range(n)]

    def table(self):
        n = self.get("I")
        need(n <= 256, "too many CPUID entries")
        return [self.get("6I") for _ in range(n)]


def mask(c):
    regs, fields, msrs = c.get("3I")
    need(regs <= 384 and fields <= 32 and msrs <= 16, "a mask is too large")
    out = []
    for _ in range(regs):
        leaf, sub, reg, vendor, p0, p1, p2, *_places = c.get("IIBB3I32I")
        text = "".join("-xTF10HR"[(p2 >> b & 1) << 2 | (p1 >> b & 1) << 1 | p0 >> b & 1]
                       for b in range(31, -1, -1))
        out.append([hex(leaf), hex(sub), ("eax", "ebx", "ecx", "edx")[reg], vendor,
                    " ".join(text[i:i + 4] for i in range(0, 32, 4))])
    for _ in range(fields):
        c.get("IIBBBII")
    for _ in range(msrs):
        c.get("I3QI")
    return out


def config(c):
    return {"name": c.str(64), "memory": c.get("Q"), "cpus": c.get("I"), "image": c.str(256),
            "image-hash": c.take(16).hex(), "producer": c.str(64), "saved-at": c.get("Q")}


def disk(c, minor):
    d = {"path": c.str(1024), "read-only": c.get("?"), "size": c.get("Q")}
    kind = c.get("B")
    need(kind <= (2 if minor > 1 else 1), "the kind of a disk's id")
    d["content"] = c.take(16).hex() if kind else ""
    return d


def policy(c):
    return {"guest-os": c.str(32), "intercept": ("none", "kernel", "patch", "step")[c.get("B")],
            "patchable": c.get("?"), "patch-cpl3": c.get("?"), "ignored": c.str(256),
            "kvm-controls": c.get("I")}


def source(c):
    h = {"name": c.str(64), "kernel": c.str(128), "source": c.str(64), "microcode": c.get("Q"),
         "assumed": c.get("?"), "raw": c.table(), "kvm": c.table()}
    h["exec"] = [c.get("IIBB?") for _ in range(c.get("I"))]
    h["msrs"] = c.pairs(64)
    h["xcr0"], h["tsc-khz"], h["tsc-scaling"] = c.get("Q"), c.get("I"), c.get("?")
    h["kvm-controls"] = c.get("I")
    h["proof"], h["proved"], h["cpl0-interpreted"] = c.get("4B"), c.get("?"), c.get("?")
    return h


def irqchip(c):
    pit = []
    for _ in range(3):
        ch = {"count": hex(c.get("I")), "latched_count": hex(c.get("H"))}
        ch.update(c.named(PIT, "B"), count_load_time=c.get("q"))
        pit.append(ch)
    out = {"pit": pit, "pit_flags": hex(c.get("I")), "pic": [c.named(PIC, "B") for _ in range(2)]}
    out["ioapic"] = {"base_address": hex(c.get("Q")), **c.named(("ioregsel", "id", "irr"), "I"),
                     "redirtbl": [hex(v) for v in c.get("24Q")]}
    return out


def sregs(c):
    out = {}
    for name in "cs ds es fs gs ss tr ldt".split():
        out[name] = {"base": hex(c.get("Q")), "limit": hex(c.get("I")), "selector": hex(c.get("H")),
                     **c.named(SEGMENT, "B")}
    for name in "gdt", "idt":
        out[name] = {"base": hex(c.get("Q")), "limit": hex(c.get("H"))}
    out.update(c.named("cr0 cr2 cr3 cr4 cr8 efer apic_base".split(), "Q"))
    out["pdptrs"] = [hex(v) for v in c.get("4Q")] if c.get("?") else None
    return out


def vcpu(c):
    v = {"id": hex(c.get("I")), "regs": c.named(REGS, "Q"), "sregs": sregs(c), "xcrs": c.pairs(16)}
    v["xsave"] = c.take(c.get("I")).hex()
    v["debugregs"] = [hex(x) for x in c.get("6Q")]
    v["lapic"] = c.take(1024).hex()
    v["msrs"] = c.pairs(512)
    v["events"] = {n: hex(c.get(code)) for names, code in EVENTS for n in names.split()}
    v.update(mp_state=hex(c.get("I")), tsc_khz=hex(c.get("I")))
    v["tsc_offset"] = hex(c.get("Q")) if c.get("?") else None
    return v


def packed(c, data, at):
    """Stored chunks are verified as they are stored; this reader does not decompress them."""
    method, chunk_size, size, n = c.get("IIQI")
    need(method == 1 and size and not size % 4096 and n == -(-size // chunk_size), "PACKED is wrong")
    for i in range(n):
        length, total = c.get("IQ")
        need(0 < length <= min(chunk_size, size - i * chunk_size), f"the length of stored chunk {i}")
        need(xxh3(data[at:at + length]) == total, f"checksum of stored chunk {i}")
        at += length
    need(len(data) - at < 4096 and not any(data[at:]), "what follows the stored chunks")
    return chunk_size, size


def memory(c, data, pages_at, pack):
    size, nruns, nchunks = c.get("3I")
    runs = [c.get("3Q") for _ in range(nruns)]
    sums = [c.get("Q") for _ in range(nchunks)]
    at, gpa = pages_at, 0
    for run_gpa, npages, offset in runs:
        need(run_gpa >= gpa and not run_gpa % 4096 and npages and offset == at, "a run is wrong")
        at, gpa = at + npages * 4096, run_gpa + npages * 4096
    end = pages_at + pack[1] if pack else len(data)
    need(at == end and nchunks == -(-(at - pages_at) // size), "runs and file differ")
    need(not pack or pack[0] == size, "PACKED has another chunk size")
    for i, s in enumerate([] if pack else sums):
        chunk = data[pages_at + i * size:pages_at + (i + 1) * size]
        need(xxh3(chunk) == s, f"checksum of chunk {i}")
    return {"chunk_size": hex(size), "runs": [[hex(v) for v in r] for r in runs],
            "sums": [hex(s) for s in sums]}


def records(data, end):
    at = 64
    while True:
        need(at + 24 <= end, "no END")
        total, kind, flags, length = struct.unpack_from("<QIIQ", data, at)
        stop = at + 24 + length
        need(stop <= end and not flags, "a record's frame")
        need(xxh3(data[at + 8:stop]) == total, f"checksum of the record at {at:#x}")
        yield kind, Cursor(data[at + 24:stop])
        at = stop + -stop % 8
        need(not any(data[stop:at]), "padding")
        if NAMES.get(kind) == "END":
            need(not any(data[at:end]) and end == at + -at % 4096, "what stands before the pages")
            return


def read(data):
    need(data[:8] == b"\x89MVM\r\n\x1a\n", "not a snapshot")
    major, minor, kind, flags, size, pages_at, r0, r1, total = struct.unpack_from("<HHIQQQQQQ", data, 8)
    need(xxh3(data[:56]) == total, "checksum of the header")
    need((major, kind, flags, r0, r1) == (1, 1, 0, 0, 0) and minor < 3, "the header")
    need(size == len(data), "the size of the file")
    out = {"format": f"{major}.{minor}", "memory-in-file": size - pages_at, "file-size": size, "disks": [], "rng": False}
    state = {"irqchip": None, "devices": [], "vcpus": []}
    last = n = 0
    pack = None
    for kind, c in records(data, pages_at):
        n += 1
        name = NAMES.get(kind)
        need(name or kind >> 31, f"unknown record {kind:#x}")
        if not name:
            continue
        need(kind & 0x7fffffff >= last, f"{name} is out of order")
        last = kind & 0x7fffffff
        if name in ("CONFIG", "POLICY"):
            out.update(config(c) if name == "CONFIG" else policy(c))
        elif name == "IGNORED":
            need(len(out["ignored"]) == 255 and len(c.data) > 1, "IGNORED continues nothing")
            out["ignored"] += c.str(len(c.data))
        elif name == "SOURCE_HOST":
            out["source"] = source(c)
        elif name == "GUEST_TABLE":
            out["guest-table"] = c.table()
        elif name == "MASK_FILES":
            out["mask-files"] = [c.str(256) for _ in range(c.get("I"))]
        elif name in ("MASK_FINAL", "MASK_EFFECTIVE"):
            out["final-mask" if name == "MASK_FINAL" else "effective-mask"] = mask(c)
        elif name == "DISK":
            out["disks"].append(disk(c, minor))
        elif name == "RNG":
            out["rng"] = True
        elif name == "CLOCK":
            state["clock_ns"] = hex(c.get("Q"))
        elif name == "IRQCHIP":
            state["irqchip"] = irqchip(c)
        elif name == "DEVICE":
            state["devices"].append({"name": c.str(16), "data": c.take(c.get("I")).hex()})
        elif name == "CPUID_SITES":
            state["cpuid-sites"] = [hex(c.get("Q")) for _ in range(c.get("I"))]
        elif name == "VCPU":
            state["vcpus"].append(vcpu(c))
        elif name == "MEMORY":
            out["pages"] = memory(c, data, pages_at, pack)
            out["compression"] = "zstd" if pack else "none"
        elif name == "PACKED":
            need(minor and not pack, "PACKED in a file of 1.0, or twice")
            pack = packed(c, data, pages_at)
        elif name == "END":
            need(c.get("QQ") == [n, size], "END says otherwise")
        need(c.at == len(c.data), f"{name} is longer than its fields")
    need(len(state["vcpus"]) == out["cpus"], "vCPUs are missing")
    out["state"] = state
    return out


if __name__ == "__main__":
    try:
        print(json.dumps(read(open(sys.argv[1], "rb").read())))
    except (Bad, OSError) as e:
        sys.exit(f"{sys.argv[1]}: {e}")
