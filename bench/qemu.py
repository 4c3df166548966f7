# SPDX-License-Identifier: MIT
"""A QEMU microvm that runs one of our guests, for the benchmarks: started, asked over QMP, ended."""
import json
import os
import shutil
import socket
import subprocess
import threading
import time

there = shutil.which("qemu-system-x86_64")


class Failed(Exception):
    """The peer did not do what was asked of it: a line in a table, not the end of a benchmark."""


def wait_for(what, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.001)
    raise Failed("waited in vain")


alive = []


def end_all():
    for q in list(alive):
        q.end()


class Qemu:
    def __init__(self, folder, mib, *extra):
        self.path = os.path.join(folder, f"qmp.{time.monotonic_ns()}")
        self.start = time.perf_counter()
        self.p = subprocess.Popen(
            [there, "-accel", "kvm", "-cpu", "qemu64", "-machine", "microvm", "-m", str(mib), "-display", "none",
             "-nodefaults", "-serial", "stdio", "-no-reboot", "-global", "migration.store-global-state=off",
             "-qmp", f"unix:{self.path},server=on,wait=off", *extra],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        alive.append(self)
        self.f = None
        self.first_ms = None
        self.news, self.text = threading.Condition(), b""
        # Read all the time: a guest whose console is full stands still.
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            got = os.read(self.p.stdout.fileno(), 1 << 20)
            with self.news:
                if self.first_ms is None:
                    self.first_ms = (time.perf_counter() - self.start) * 1e3
                self.text += got
                self.news.notify()
            if not got:
                return

    def says(self, word, seconds=300):
        """Wait until the guest has written word since the last time."""
        with self.news:
            if not self.news.wait_for(lambda: word in self.text or self.p.poll() is not None, seconds) or \
                    word not in self.text:
                raise Failed(f"QEMU's guest does not say {word.decode()}: {self.text[-200:].decode(errors='replace')}")
            self.text = b""

    def connect(self):
        s = socket.socket(socket.AF_UNIX)

        def connected():
            try:
                s.connect(self.path)
                return True
            except OSError:
                return False

        wait_for(connected)
        self.f = s.makefile("rw")
        self.f.readline()
        self.do("qmp_capabilities")

    def do(self, name, **args):
        if not self.f:
            self.connect()
        self.f.write(json.dumps({"execute": name, "arguments": args}) + "\n")
        self.f.flush()
        while True:
            r = json.loads(self.f.readline())
            if "error" in r:
                raise Failed(f"QEMU: {r['error']}")
            if "return" in r:
                return r["return"]

    def migrate(self, uri):
        """Without a limit; what query-migrate says in the end."""
        self.do("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.do("migrate", uri=uri)
        r = wait_for(lambda: (lambda q: q if q.get("status") in ("completed", "failed") else None)
                     (self.do("query-migrate")))
        if r["status"] != "completed":
            raise Failed("QEMU's migration failed")
        return r

    def end(self):
        alive.remove(self)
        self.p.kill()
        self.p.wait()
