#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""snapshot.py FILE: a second reader, made from docs/stream-format.md alone: all of FILE, verified, as JSON."""
import io
import json
import re
import sys

import zstandard
from xxhash import xxh3_64_intdigest as checksum

LINE = re.compile(r"(?:(0x\w+) (\d+)\.\.(\d+) (\d+)\+?(\d*) )?(\w+) ?(.*)")
FIELD = re.compile(r"(\S+):([A-Za-z_]+)(\d*)(?:\[(.+?)\])?(?:\?([^=]+))?(?:=(\w+)\.\.(\w+))?$")
LAYOUTS, RECORDS = {}, {}       # name: its fields; type: name, how many, largest length
blocks = re.findall("```layouts\n(.*?)\n```", open(sys.path[0] + "/../../docs/stream-format.md").read(), re.S)
for line in "\n".join(blocks).replace("\n  ", " ").split("\n"):
    number, least, most, largest, per_page, layout, rest = LINE.match(line).groups("0")
    LAYOUTS[layout] = [(name, *more) for f in rest.split() for names, *more in [FIELD.match(f).groups()]
                       for name in names.split(",")]
    if number != "0":
        RECORDS[int(number, 0)] = layout, int(least), int(most), int(largest), int(per_page or 0)

# What the text says besides: of the fields of a layout, the records that stood before it, CONFIG among them.
RULES = {
    "HEADER": lambda v, *_: v["magic"] == "894d564d0d0a1a0a" and (v["data_offset"] | v["file_size"]) % 4096 == 0,
    "CONFIG": lambda v, *_: v["ram_size"] % 4096 == 0,
    "IGNORED": lambda v, seen, vm: len(seen["POLICY"][0]["ignored"]) == 255 and v["*"] - 1 == len(v["more"]) > 0,
    "TABLE": lambda v, *_: distinct(v["entries"], "leaf", "subleaf"),
    "GUEST_TABLE": lambda v, *_: v["table"]["entries"],
    "SOURCE_HOST": lambda v, *_: all([*a.values()][:4] < [*b.values()][:4] for a, b in zip(v["exec"], v["exec"][1:])),
    "GIVEN": lambda v, seen, vm: any(v["tsc_khz"] != s["tsc_khz"] or v["arch_caps"] != {
        m["index"]: m["value"] for m in s["msrs"]}.get(0x10a, 0) for s in seen["SOURCE_HOST"]),
    "MASK": lambda v, seen, vm: distinct(v["regs"], "leaf", "subleaf", "reg", "vendor") and distinct(v["msrs"], "index")
    and distinct(v["fields"], "leaf", "subleaf", "reg", "lo", "hi")
    and all(p == 0 or 0 < p >> 24 <= len(seen["MASK_FILES"][0]["files"])
            for x in v["regs"] + v["fields"] + v["msrs"] for p in x["place"]),
    "FIELD": lambda v, *_: v["lo"] <= v["hi"] and v["value"] < 2 << v["hi"] - v["lo"],
    "DISK": lambda v, seen, vm: v["path"][:1] == "/" and v["size"] % 512 == 0
    and (v["id_kind"] < 2 or seen["HEADER"][0]["minor"] > 1),
    "DEVICE": lambda v, seen, vm: v["name"] and distinct(seen["DEVICE"] + [v], "name"),
    "CPUID_SITES": lambda v, _, vm: all(
        a + 2 <= b for a, b in zip(v["sites"], v["sites"][1:] + [min(vm["ram_size"], 3 << 30)])),
    "VCPU": lambda v, seen, vm: v["id"] < vm["nvcpus"] and distinct(seen["VCPU"] + [v], "id"),
    "PACKED": lambda v, seen, vm: seen["HEADER"][0]["minor"] and v["size"] % 4096 == 0 and v["size"] <= vm["ram_size"],
    "MEMORY": lambda v, *_: v["chunk_size"] & v["chunk_size"] - 1 == 0,
    "END": lambda v, seen, vm: len(seen["VCPU"]) == vm["nvcpus"],
}


def need(truth, why):
    if not truth:
        sys.exit(f"{sys.argv[1]}: {why}")


def distinct(rows, *keys):
    return len({tuple(row[k] for k in keys) for row in rows}) == len(rows)


def value(f, kind, size, seen):
    if kind in LAYOUTS:
        return fields(f, kind, seen)
    n = 1 if kind == "bool" else int(size) // (8 if kind in "ui" else 1)
    raw = f.read(n)
    need(len(raw) == n, "a payload ends too early")
    if kind == "raw":
        return raw.hex()
    if kind == "str":
        need(re.fullmatch(rb"[^\0-\x1f\x7f]*\0+", raw), "a text has other bytes")
        return raw.rstrip(b"\0").decode("latin-1")
    need(kind != "bool" or raw[0] < 2, "a bool is neither 0 nor 1")
    return int.from_bytes(raw, "little", signed=kind == "i")


def fields(f, layout, seen):
    got = {"*": len(f.getvalue())}
    for name, kind, size, count, given, least, most in LAYOUTS[layout]:
        n = got.get(count, count)
        if given and not got[given]:
            got[name] = None
        elif n is None or kind in ("raw", "str") and not size:
            got[name] = value(f, kind, size or n, seen)
        else:
            got[name] = [value(f, kind, size, seen) for _ in range(int(n))]
        for x in (got[name] if count else [got[name]]) if most else []:
            need(int(least, 0) <= x <= int(most, 0), f"{layout}: {name} is {x}")
    need(RULES.get(layout, lambda *_: True)(got, seen, *seen["CONFIG"]), f"{layout} contradicts itself or the others")
    return {name: v for name, v in got.items() if name[0] not in "#*"}


def parse(layout, data, seen):
    f = io.BytesIO(data)
    seen[layout].append(fields(f, layout, seen))
    need(not f.read(), f"{layout} is longer than its fields")
    return seen[layout][-1]


def read_records(data, end, seen):
    at, last, total = 64, 0, 0
    while not seen["END"]:
        frame = parse("FRAME", data[at:at + 24], seen)
        kind, number, stop = frame["type"], frame["type"] & 0x7fffffff, at + 24 + frame["length"]
        layout, _, most, largest, per_page = RECORDS.get(kind, ("", 0, 0, 1 << 20, 0))
        need(layout or kind >> 31, f"unknown record {kind:#x}")
        for before, (name, least, *_) in RECORDS.items() if layout else []:
            need(len(seen[name]) >= least or before & 0x7fffffff >= number, f"{name} is missing before {layout}")
        need(not layout or number >= last and len(seen[layout]) < most, f"{layout} is out of order")
        largest += per_page and per_page * seen["CONFIG"][0]["ram_size"] // 4096
        need(frame["length"] <= largest and stop + -stop % 8 <= end, f"the length of record {kind:#x}")
        full = frame["length"] <= 1 << 23 or all(any(data[i:i + 4096]) for i in range(at + 24, stop - 4095, 4096))
        need(full and checksum(data[at + 8:stop]) == frame["checksum"], f"checksum of the record at {at:#x}")
        if layout:
            parse(layout, data[at + 24:stop], seen)
        at, last, total = stop + -stop % 8, number if layout else last, total + 1
        need(not any(data[stop:at]), "padding")
    need(seen["END"] == [{"records": total, "file_size": len(data)}], "END says otherwise")
    need(end < at + 4096 and not any(data[at:end]), "what stands before the pages")


def unpacked(stored, p):
    pages, at = b"", 0
    for chunk in p["stored"]:
        raw, size = stored[at:at + chunk["length"]], min(p["chunk_size"], p["size"] - len(pages))
        need(0 < len(raw) == chunk["length"] <= size and checksum(raw) == chunk["sum"], "a stored chunk")
        pages += raw if len(raw) == size else zstandard.ZstdDecompressor().decompress(raw, size)
        at += len(raw)
    need(len(pages) == p["size"] and len(stored) - at < 4096 and not any(stored[at:]), "the stored chunks")
    return pages


def read(data):
    seen = {layout: [] for layout in LAYOUTS}
    header = parse("HEADER", data[:64], seen)
    at, pages = header["data_offset"], data[header["data_offset"]:]
    need(header["checksum"] == checksum(data[:56]) and at <= header["file_size"] == len(data), "header or length")
    read_records(data, at, seen)
    m, size, pos = seen["MEMORY"][0], seen["MEMORY"][0]["chunk_size"], 0
    for p in seen["PACKED"]:
        need(p["chunk_size"] == size and len(p["stored"]) == -(-p["size"] // size), "PACKED has other chunks")
        pages = unpacked(pages, p)
    for run in m["runs"]:
        need(run["pos"] >= pos and run["pos"] % 4096 == 0 < run["npages"] and run["offset"] == at, "a run")
        at, pos = at + run["npages"] * 4096, run["pos"] + run["npages"] * 4096
    need(at == header["data_offset"] + len(pages) and pos <= seen["CONFIG"][0]["ram_size"], "runs and pages differ")
    need([checksum(pages[i:i + size]) for i in range(0, len(pages), size)] == m["sums"], "checksum of a chunk")
    return seen


if __name__ == "__main__":
    try:
        print(json.dumps(read(open(sys.argv[1], "rb").read())))
    except (OSError, zstandard.ZstdError) as e:
        sys.exit(f"{sys.argv[1]}: {e}")
