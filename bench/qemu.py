# SPDX-License-Identifier: MIT
"""A QEMU microvm that runs one of our guests, for the benchmarks: started, asked over QMP, ended."""
import json
import os
import select
import shutil
import socket
import subprocess
import time

there = shutil.which("qemu-system-x86_64")


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.001)
    raise SystemExit("bench: waited in vain")


class Qemu:
    def __init__(self, folder, mib, *extra):
        self.path = os.path.join(folder, f"qmp.{time.monotonic_ns()}")
        self.start = time.perf_counter()
        self.p = subprocess.Popen(
            [there, "-accel", "kvm", "-cpu", "qemu64", "-machine", "microvm", "-m", str(mib), "-display", "none",
             "-nodefaults", "-serial", "stdio", "-no-reboot", "-global", "migration.store-global-state=off",
             "-qmp", f"unix:{self.path},server=on,wait=off", *extra],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.f = None

    def ms(self):
        return (time.perf_counter() - self.start) * 1e3

    def says(self, seconds=120):
        """What the guest wrote since; waits for the first byte."""
        if not select.select([self.p.stdout], [], [], seconds)[0]:
            raise SystemExit("bench: QEMU's guest says nothing")
        return os.read(self.p.stdout.fileno(), 1 << 20)

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
                raise SystemExit(f"bench: QEMU: {r['error']}")
            if "return" in r:
                return r["return"]

    def migrate(self, uri):
        """Without a limit; what query-migrate says in the end."""
        self.do("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.do("migrate", uri=uri)
        r = wait_for(lambda: (lambda q: q if q.get("status") in ("completed", "failed") else None)
                     (self.do("query-migrate")))
        if r["status"] != "completed":
            raise SystemExit("bench: QEMU's migration failed")
        return r

    def end(self):
        self.p.kill()
        self.p.stdout.close()
        self.p.wait()
