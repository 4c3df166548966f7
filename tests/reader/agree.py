#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""agree.py MINIVMM COUNT FILE…: snapshots with one byte changed in a record, or two records exchanged, and all checksums
corrected: do both readers take and refuse the same? COUNT of them for each file; the same ones every time."""
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


def changed(data, rng):
    """A copy that is wrong somewhere, or is not; and what was done."""
    data = bytearray(data)
    records = frames(data)
    i = rng.randrange(-1, len(records))
    if i >= 0 and i + 1 < len(records) and rng.random() < 0.1:
        (a, n), (b, m) = records[i:i + 2]
        data[a:b + m] = data[b:b + m] + data[a:a + n]
        return data, f"records at {a:#x} and {b:#x} exchanged"
    at, length = records[i] if i >= 0 else (0, 56)
    # The beginnings of payloads have more rules than what follows.
    where = at + min(rng.randrange(length), rng.randrange(length) if rng.random() < 0.5 else length)
    old = data[where]
    data[where] = rng.choice((0, 1, 2, 0x20, 0x7f, 0x80, 0xff, old ^ 1, old + 1 & 0xff, old - 1 & 0xff))
    seal(data, at)
    return data, f"byte {where:#x} of the record at {at:#x}: {old:#x} made {data[where]:#x}"


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


minivmm, count, *files = sys.argv[1:]
taken = refused = wrong = 0
with tempfile.NamedTemporaryFile(suffix=".snap") as temp:
    for name in files:
        original = open(name, "rb").read()
        rng = random.Random(name.rsplit("/", 1)[-1])
        for _ in range(int(count)):
            data, what = changed(original, rng)
            a, b = ours(data), theirs(minivmm, data, temp)
            if bool(a) != bool(b) and READERS_OWN not in b and not a.endswith(OF_MEMORY):
                wrong += 1
                print(f"{name}: {what}: minivmm {'refuses: ' + b.strip() if b else 'takes it'}; "
                      f"the second reader {'refuses: ' + a if a else 'takes it'}")
            taken += not b
            refused += bool(b)
print(f"{taken} taken, {refused} refused by both" if not wrong else f"{wrong} of {taken + refused} differ")
sys.exit(bool(wrong) or taken < refused / 20)
