#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""capture.py MINIVMM HELLO.ELF: record the seeds in tests/fuzz/corpus/receive and peer anew, after a change of
the protocol: one migration between two processes on this machine (which needs /dev/kvm), as each side sent it.

Of the guest's memory one page of no meaning is kept, and what counts records is put right, so that the seed is
small and still a whole migration up to GO. REFUSE and FAILED, which a good migration lacks, are made here."""
import os
import struct
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "integration"))
from migrate_proxy import Proxy, seal  # noqa: E402

minivmm, image = map(os.path.abspath, sys.argv[1:3])


class Recorder(Proxy):
    def __init__(self, *args):
        self.sent = {"source": [], "destination": []}
        super().__init__(*args)

    def pass_on(self, side, name, data, dst):
        self.sent[side].append((name, bytes(data)))
        dst.sendall(data)


def message(kind, payload):
    data = bytearray(struct.pack("<QIIQ", 0, kind, 0, len(payload)) + payload + bytes(-len(payload) % 8))
    seal(data, len(payload))
    return bytes(data)


def with_count(data, length, count):
    """A record or message that begins with a number of records."""
    data = bytearray(data)
    struct.pack_into("<Q", data, 24, count)
    seal(data, length)
    return bytes(data)


def payload_length(data):
    return struct.unpack_from("<Q", data, 16)[0]


def anonymous(data):
    """Where it was recorded is nobody's business: the host's name (64 bytes) and kernel (128)."""
    data = bytearray(data)
    data[24:24 + 192] = b"host".ljust(64, b"\0") + b"6.1.0".ljust(128, b"\0")
    seal(data, payload_length(data))
    return bytes(data)


def whole(sent):
    """All that the source sent, with one page (5.8): one run of one page at 1 MiB, last of its round."""
    one_page = message(0x0200, struct.pack("<IIQQ", 1, 2, 0x100000, 0x200001) + b"\x42" * 4096)
    dropped = sum(name == "MEMORY_PAGES" for name, _ in sent) - 1
    out, records, kept = b"", 0, False
    for name, data in sent:
        if name == "MEMORY_PAGES":
            if kept:
                continue
            kept, data = True, one_page
        if name == "SOURCE_HOST":
            data = anonymous(data)
        if name == "END":
            data = with_count(data, payload_length(data), struct.unpack_from("<Q", data, 24)[0] - dropped)
        if name not in ("HELLO", "header", "GO"):
            records += 1
        if name == "GO":
            data = with_count(data, payload_length(data), records)
        out += data
    return out


def record():
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    source = subprocess.Popen([minivmm, "run", "hello.elf", "-q", "--name", "s", "--append",
                               "mode=counter ticks=1000000 delay=20000"], **quiet)
    target = subprocess.Popen([minivmm, "receive", "unix:d.sock", "-q", "--name", "d"], **quiet)
    try:
        while not os.path.exists("d.sock") or subprocess.run([minivmm, "status", "s"], stderr=quiet["stdout"],
                                                             **quiet).returncode:
            if source.poll() is not None or target.poll() is not None:
                raise SystemExit("capture.py: source or destination did not start")
            time.sleep(0.05)
        proxy = Recorder("p.sock", "d.sock")
        subprocess.run([minivmm, "migrate", "s", f"unix:{os.getcwd()}/p.sock"], check=True, **quiet)
        return proxy.sent
    finally:
        for process in (source, target):
            process.kill()
            process.wait()


def write(name, data):
    with open(os.path.join(here, "corpus", name), "wb") as f:
        f.write(data)
    print(f"{name}: {len(data)} bytes")


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.symlink(image, "hello.elf")
        os.environ["XDG_RUNTIME_DIR"] = folder
        sent = record()
    write("receive/whole", whole(sent["source"]))
    seen = {"header"}
    for name, data in sent["source"] + sent["destination"]:
        if name not in seen and struct.unpack_from("<I", data, 8)[0] >= 0x1000:
            seen.add(name)
            write(f"peer/{name.lower()}", data)
    text = "nä\n".encode()
    write("peer/refuse", message(0x1020, struct.pack("<I", len(text)) + text + struct.pack("<I", 2) + b"{}"))
    write("peer/failed", message(0x1070, b"it broke".ljust(512, b"\0")))


main()
