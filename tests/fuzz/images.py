#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""images.py FOLDER: the smallest image of each kind that minivmm starts, as seeds for the target `image`."""
import struct
import sys

CODE = b"\x31\xc0\x0f\xa2\xf4\xeb\xfd"  # xor eax, eax; cpuid; hlt; jmp back
AT = 0x100000


def note(owner, kind, desc):
    def pad(b):
        return b + bytes(-len(b) % 4)
    return struct.pack("<III", len(owner), len(desc), kind) + pad(owner) + pad(desc)


def elf(bits, notes, head=b""):
    """Header, two program headers (code and notes), then both."""
    ehdr, phdr = (64, 56) if bits == 64 else (52, 32)
    at = ehdr + 2 * phdr
    body = head + CODE
    if bits == 64:
        h = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, AT + len(head), ehdr, 0, 0, 64, phdr, 2,
                        64, 0, 0)
        p = struct.pack("<IIQQQQQQ", 1, 5, at, AT, AT, len(body), len(body), 16)
        p += struct.pack("<IIQQQQQQ", 4, 4, at + len(body), 0, 0, len(notes), len(notes), 4)
    else:
        h = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 3, 1, AT + len(head), ehdr, 0, 0, 52, phdr, 2,
                        40, 0, 0)
        p = struct.pack("<IIIIIIII", 1, at, AT, AT, len(body), len(body), 5, 16)
        p += struct.pack("<IIIIIIII", 4, at + len(body), 0, 0, len(notes), len(notes), 4, 4)
    return h + p + body + notes


def multiboot(flags):
    return struct.pack("<III", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF)


def raw_multiboot():
    head = 32
    return multiboot(1 << 16) + struct.pack("<IIIII", AT, AT, 0, AT + 4096, AT + head) + CODE


def bzimage():
    """A boot sector, one sector of setup, and a kernel whose 64-bit entry is 0x200 behind its start."""
    b = bytearray(1024)
    b[0x1F1] = 1
    struct.pack_into("<I", b, 0x1F4, (0x200 + 16) // 16)
    struct.pack_into("<H", b, 0x1FE, 0xAA55)
    b[0x201] = 0x62
    b[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", b, 0x206, 0x20F)
    b[0x211] = 1
    struct.pack_into("<I", b, 0x22C, 0x7FFFFFFF)
    struct.pack_into("<H", b, 0x236, 1)
    struct.pack_into("<I", b, 0x238, 2047)
    struct.pack_into("<Q", b, 0x258, AT)
    struct.pack_into("<I", b, 0x260, 0x8000)
    return bytes(b) + bytes(0x200) + CODE + bytes(16 - len(CODE))


pvh = note(b"Xen\0", 18, struct.pack("<I", AT))
ours = note(b"minivmm\0", 1, struct.pack("<I", 3)) + note(b"minivmm\0", 2, struct.pack("<Q", AT + 2))
for name, data in {
    "pvh64": elf(64, pvh), "pvh64-notes": elf(64, pvh + ours), "pvh32": elf(32, pvh),
    "pvh-linux": elf(64, pvh + note(b"Xen\0", 6, b"linux\0")), "multiboot-elf": elf(32, b"", multiboot(0)),
    "multiboot-raw": raw_multiboot(), "bzimage": bzimage(),
}.items():
    with open(f"{sys.argv[1]}/{name}", "wb") as f:
        f.write(data)
