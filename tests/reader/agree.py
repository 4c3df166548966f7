#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""agree.py MINIVMM FILE…: snapshots with one field of another value, or with two records exchanged, under
correct checksums: do both readers take and refuse the same? Each field of each layout, in one of the files."""
import random
import struct
import subprocess
import sys
import tempfile

import snapshot

# The document leaves it to a reader which fields of leaves it knows; inspect does not look at memory.
READERS_OWN = "no field"
OF_MEMORY = "a stored chunk", "the stored chunks", "checksum of a chunk"


def seal(data, at):
    """The checksum of the header (at 0) or of a record."""
    if at == 0:
        struct.pack_into("<Q", data, 56, snapshot.checksum(bytes(data[:56])))
        return
    length = struct.unpack_from("<Q", data, at + 16)[0]
    struct.pack_into("<Q", data, at, snapshot.checksum(bytes(data[at + 8:at + 24 + length])))


def frames(data):
    at, out = 64, []
    while not out or struct.unpack_from("<I", data, out[-1][0] + 8)[0] != 0x500:
        length = 24 + -(-struct.unpack_from("<Q", data, at + 16)[0] // 8) * 8
        out.append((at, length))
        at += length
    return out


def fields(data):
    """Where each field of each layout stands: {(layout, number of the field): (record, offset, bytes)}."""
    found, inside, record = {}, [], [0, 0]
    value, fields, parse = snapshot.value, snapshot.fields, snapshot.parse

    def noted_parse(layout, payload, seen):
        record[:] = [record[1], record[1]] if layout == "FRAME" else record
        got = parse(layout, payload, seen)
        if layout == "FRAME":
            record[1] += 24 + -(-got["length"] // 8) * 8
        elif layout == "HEADER":
            record[1] = 64
        return got

    def noted_fields(f, layout, seen):
        inside.append([layout, 0])
        got = fields(f, layout, seen)
        inside.pop()
        return got

    def noted_value(f, kind, size, seen):
        at, place = f.tell(), inside[-1]
        got = value(f, kind, size, seen)
        place[1] += 1
        if kind != "raw" and kind not in snapshot.LAYOUTS:
            base = record[0] + (0 if inside[0][0] in ("HEADER", "FRAME") else 24)
            found.setdefault(tuple(place), []).append((record[0], base + at, f.tell() - at, kind))
        return got

    snapshot.value, snapshot.fields, snapshot.parse = noted_value, noted_fields, noted_parse
    snapshot.read(bytes(data))
    snapshot.value, snapshot.fields, snapshot.parse = value, fields, parse
    return found


def variants(data, rng):
    """Copies that are wrong somewhere, or are not; and what was done."""
    records = frames(data)
    for (a, n), (b, m) in zip(records, records[1:]):
        yield data[:a] + data[b:b + m] + data[a:a + n] + data[b + m:], f"records at {a:#x} and {b:#x} exchanged"
    for (layout, number), places in fields(data).items():
        if number > 40 or (layout, number) in done:
            continue
        done.add((layout, number))
        record, at, size, kind = rng.choice(places)
        old = data[at:at + size]
        values = [b"\x1f" + old[1:], b"x" + old[1:], old[:-1] + b"x"] if kind == "str" else [
            v.to_bytes(size, "little") for v in (0, (1 << 8 * size) - 1, rng.choice((2, 4, 8, 16, 32, 128)))]
        for new in values:
            copy = data[:at] + new + data[at + size:]
            seal(copy, record)
            yield copy, f"field {number} of {layout} at {at:#x}: {old.hex()} made {new.hex()}"


def ours(data):
    try:
        snapshot.read(bytes(data))
        return ""
    except SystemExit as e:
        return str(e)


def theirs(minivmm, data, file):
    file.seek(0)
    file.truncate()
    file.write(data)
    file.flush()
    ran = subprocess.run([minivmm, "inspect", file.name], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return ran.stderr if ran.returncode else ""


minivmm, *files = sys.argv[1:]
done = set()
taken = refused = wrong = 0
with tempfile.NamedTemporaryFile(suffix=".snap") as temp:
    for name in files:
        for data, what in variants(bytearray(open(name, "rb").read()), random.Random(1)):
            a, b = ours(data), theirs(minivmm, data, temp)
            if bool(a) != bool(b) and READERS_OWN not in b and not a.endswith(OF_MEMORY):
                wrong += 1
                print(f"{name}: {what}: minivmm {'refuses: ' + b.strip() if b else 'takes it'}; "
                      f"the second reader {'refuses: ' + a if a else 'takes it'}")
            taken += not b
            refused += bool(b)
print(f"{taken} taken, {refused} refused by both" if not wrong else f"{wrong} of {taken + refused} differ")
sys.exit(bool(wrong))
