#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""compare.py INSPECT.json READER.json: do both readers of a snapshot say the same?"""
import json
import sys

REGISTERS = "eax", "ebx", "ecx", "edx"


def plain(v):
    """Numbers as numbers, lists for what has names on one side alone; 0x1 and true are both 1."""
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, list):
        return [plain(x) for x in v]
    return int(v, 16) if isinstance(v, str) and v.startswith("0x") else v


def text(s):
    return s.encode("latin-1").decode()


def rows(records):
    return [list(r.values()) for r in records]


def masks(m):
    """The reader's, as inspect prints them."""
    out = []
    for r in m["regs"]:
        low, mid, high = r["plane"]
        symbols = "".join("-xTF10HR"[(high >> b & 1) << 2 | (mid >> b & 1) << 1 | low >> b & 1]
                          for b in range(31, -1, -1))
        out.append({"level": r["leaf"], "sublevel": r["subleaf"], "register": REGISTERS[r["reg"]],
                    "symbols": " ".join(symbols[i:i + 4] for i in range(0, 32, 4))})
    return out


def entries(host_view):
    """A host file's view: {"0x00000007.1": [...]} as sorted lists."""
    out = []
    for key, regs in host_view.items():
        leaf, _, sub = key.partition(".")
        out.append([int(leaf, 16), int(sub or "0", 16)] + regs)
    return sorted(out)


def as_inspect(r):
    """What the reader found, in the shape of `inspect --json`."""
    one = {name: found[0] if found else None for name, found in r.items()}
    header, config, policy, source = one["HEADER"], one["CONFIG"], one["POLICY"], one["SOURCE_HOST"]
    memory, more, given = one["MEMORY"], one["IGNORED"], one["GIVEN"]
    return {
        "format": f"{header['major']}.{header['minor']}", "file-size": header["file_size"],
        "memory-in-file": header["file_size"] - header["data_offset"],
        "compression": "zstd" if one["PACKED"] else "none",
        "name": text(config["name"]), "image": text(config["image"]), "image-hash": config["image_hash"],
        "producer": config["producer"], "saved-at": config["saved_at"], "memory": config["ram_size"],
        "cpus": config["nvcpus"], "guest-os": policy["guest_os"],
        "intercept": ("none", "kernel", "patch", "step")[policy["intercept"]], "patchable": policy["patchable"],
        "patch-cpl3": policy["patch_cpl3"], "ignored": policy["ignored"] + (more["more"] if more else ""),
        "disks": [{"path": text(d["path"]), "size": d["size"], "read-only": d["read_only"], "content": d["id"] or ""}
                  for d in r["DISK"]],
        "rng": bool(r["RNG"]), "guest-table": rows(one["GUEST_TABLE"]["table"]["entries"]),
        "final-mask": masks(one["MASK_FINAL"]["mask"]), "effective-mask": masks(one["MASK_EFFECTIVE"]["mask"]),
        "files": [text(f) for f in one["MASK_FILES"]["files"]],
        "source": {"name": source["name"], "kernel": source["kernel"], "source": source["source"],
                   "assumed": source["assumed"], "microcode": source["microcode"], "xcr0": source["xcr0"],
                   "tsc-khz": source["tsc_khz"], "tsc-scaling": source["tsc_scaling"], "proved": source["proved"],
                   "cpl0-interpreted": source["cpl0_interpreted"],
                   "raw": sorted(rows(source["raw"]["entries"])), "kvm": sorted(rows(source["kvm"]["entries"])),
                   "msrs": {hex(m["index"]): m["value"] for m in source["msrs"]},
                   "exec": [e["ran"] for e in source["exec"]]},
        "given": given and {"tsc-khz": given["tsc_khz"], "arch-capabilities": given["arch_caps"]},
        "state": {"clock_ns": one["CLOCK"]["clock_ns"], "irqchip": one["IRQCHIP"], "devices": r["DEVICE"],
                  "cpuid-sites": one["CPUID_SITES"]["sites"],
                  "vcpus": [{**v, "xcrs": rows(v["xcrs"]), "msrs": rows(v["msrs"])} for v in r["VCPU"]]},
        "pages": {**memory, "runs": rows(memory["runs"])},
    }


inspect, reader = (json.load(open(f)) for f in sys.argv[1:3])
inspect, reader = plain(inspect), as_inspect(reader)
for key in "final-mask", "effective-mask":
    inspect["files"] = inspect[key]["files"]
    if inspect["files"] != reader["files"]:
        sys.exit(f"{key}: files")
    inspect[key] = inspect[key]["registers"]
for key in "raw", "kvm":
    inspect["source"][key] = entries(inspect["source"][key])
inspect["source"]["exec"] = list(inspect["source"]["exec"].values())
wrong = [key for key in reader if key != "source" and inspect[key] != reader[key]]
wrong += [f"source: {key}" for key in reader["source"] if inspect["source"][key] != reader["source"][key]]
print("\n".join(wrong))
sys.exit(bool(wrong))
