#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""given.py FILE OUT KHZ CAPS: FILE with a GIVEN record, as of a VM that came from another host."""
import struct
import sys

from xxhash import xxh3_64_intdigest as checksum

GIVEN, SOURCE_HOST, END = 0x80000128, 0x120, 0x500


def record(kind, payload):
    body = struct.pack("<IIQ", kind, 0, len(payload)) + payload
    return struct.pack("<Q", checksum(body)) + body + bytes(-len(payload) % 8)


data = open(sys.argv[1], "rb").read()
offset, at, out = struct.unpack_from("<Q", data, 32)[0], 64, data[:64]
kind = total = 0
while kind != END:
    kind, length = struct.unpack_from("<I4xQ", data, at + 8)
    stop = at + 24 + length + -length % 8
    total += 1
    if kind == END:
        out += record(END, struct.pack("<QQ", total, len(data)))
    else:
        out += data[at:stop]
    if kind == SOURCE_HOST:
        out += record(GIVEN, struct.pack("<IQ", int(sys.argv[3]), int(sys.argv[4], 0)))
        total += 1
    at = stop
if len(out) > offset:
    sys.exit("no room before the pages")
open(sys.argv[2], "wb").write(out + bytes(offset - len(out)) + data[offset:])
