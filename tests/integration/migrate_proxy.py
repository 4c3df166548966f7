#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""migrate_proxy.py LISTEN TARGET SIDE MESSAGE: between source and destination of one live migration over
Unix sockets, knowing the protocol (docs/stream-format.md, 8 and 9). Cuts it where the source or destination
sends MESSAGE, which does not get through. As a module: the proxies of the tests."""
import ctypes
import os
import socket
import struct
import sys
import threading
import time

NAMES = {
    0x0100: "CONFIG", 0x0110: "POLICY", 0x0120: "SOURCE_HOST", 0x0130: "GUEST_TABLE",
    0x0140: "MASK_FILES", 0x0150: "MASK_FINAL", 0x0160: "MASK_EFFECTIVE", 0x0170: "DISK", 0x0178: "RNG",
    0x01F0: "STATIC_END",
    0x0200: "MEMORY_PAGES", 0x0300: "CLOCK", 0x0310: "IRQCHIP", 0x0320: "DEVICE",
    0x0330: "CPUID_SITES", 0x0340: "VCPU", 0x0500: "END",
    0x1000: "HELLO", 0x1010: "ACCEPT", 0x1020: "REFUSE", 0x1030: "ROUND", 0x1040: "READY",
    0x1050: "GO", 0x1060: "RUNNING", 0x1070: "FAILED",
}
MAGIC = b"\x89MVM\r\n\x1a\n"


class Proxy:
    """Between the two, once. fire(action) is called right before the message gets through; rewrite
    may change a payload."""

    def __init__(self, listen, target, point=None, fire=None, rewrite=None):
        self.point, self.fire, self.rewrite = point, fire, rewrite
        self.target, self.fired, self.seen = target, False, []
        self.stalled = set()
        self.server = socket.socket(socket.AF_UNIX)
        if os.path.exists(listen):
            os.unlink(listen)
        self.server.bind(listen)
        self.server.listen(1)
        self.server.settimeout(20)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        try:
            self.a, _ = self.server.accept()
            self.b = socket.socket(socket.AF_UNIX)
            self.b.connect(self.target)
        except OSError:
            return
        for side, src, dst in (("source", self.a, self.b), ("destination", self.b, self.a)):
            threading.Thread(target=self.pump, args=(side, src, dst), daemon=True).start()

    def exactly(self, s, n):
        data = b""
        while len(data) < n:
            more = s.recv(min(n - len(data), 1 << 20))
            if not more:
                raise EOFError
            data += more
        return data

    def pump(self, side, src, dst):
        try:
            while True:
                self.message(side, src, dst)
        except (OSError, EOFError):
            pass
        if side not in self.stalled:
            for s, how in ((src, socket.SHUT_RD), (dst, socket.SHUT_WR)):
                try:
                    s.shutdown(how)
                except OSError:
                    pass

    def message(self, side, src, dst):
        head = self.exactly(src, 24)
        if head[:8] == MAGIC:
            name, data = "header", bytearray(head + self.exactly(src, 40))
        else:
            kind, _, length = struct.unpack_from("<IIQ", head, 8)
            name = NAMES.get(kind, hex(kind))
            data = bytearray(head + self.exactly(src, length + -length % 8))
            if self.rewrite and self.rewrite(name, data, length):
                seal(data, length)
        self.pass_on(side, name, data, dst)

    def pass_on(self, side, name, data, dst):
        self.seen.append((side, name))
        if self.point == (side, name) and not self.fired:
            self.fired = True
            action = self.fire(self)
            if action == "cut":
                raise EOFError
            if action == "stalled":
                self.stalled.add(side)
                while True:
                    time.sleep(60)
            if action == "corrupted":
                data[len(data) // 2] ^= 0x20
        dst.sendall(data)

    def close(self):
        for s in (self.server, getattr(self, "a", None), getattr(self, "b", None)):
            if s:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()


class TlsProxy(Proxy):
    """The same for a connection that it can't look into: records have numbers."""

    def message(self, side, src, dst):
        head = self.exactly(src, 5)
        name = f"TLS record {sum(s == side for s, _ in self.seen)}"
        data = bytearray(head + self.exactly(src, struct.unpack_from(">H", head, 3)[0]))
        self.pass_on(side, name, data, dst)


def seal(data, length):
    xxh = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
    xxh.restype = ctypes.c_uint64
    body = bytes(data[8:24 + length])
    struct.pack_into("<Q", data, 0, xxh(body, ctypes.c_size_t(len(body))))


def main():
    listen, target, side, message = sys.argv[1:]
    proxy = Proxy(listen, target, (side, message), lambda _: "cut")
    print("listening", flush=True)
    end = time.monotonic() + 60
    while not proxy.fired and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(1)  # for the pumps to hang up on both


if __name__ == "__main__":
    main()
