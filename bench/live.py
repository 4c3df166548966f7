#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""live.py MINIVMM HELLO.ELF [RUNS]: live migration over loopback TCP, 512 MiB guests, beside a plain
socket copy of as many bytes and QEMU's migration of the same guest, all in turn. Medians.

share is (bytes moved / total time) over what the plain copy of as many bytes got; downtime is what each
VMM itself measures: here until the destination's answer is back at the source."""
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

minivmm, image = (os.path.abspath(p) for p in sys.argv[1:3])
runs = int(sys.argv[3]) if len(sys.argv) > 3 else 5
MIB = 1 << 20
GUESTS = [("idle, untouched", "mode=counter ticks=100000000 delay=2000000"),
          ("idle, full", "mode=counter ticks=100000000 delay=2000000 fill=511"),
          ("dirtying 64 MiB", "mode=writer mib=64 ticks=1000000")]


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.01)
    raise SystemExit("live.py: waited in vain")


def spawn(args, tag):
    out = open(f"{tag}.out", "wb")
    return subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=open(f"{tag}.err", "wb"))


def text(path):
    with open(path, errors="replace") as f:
        return f.read()


def listening(tag):
    found = [l for l in text(f"{tag}.err").splitlines() if "listening on" in l]
    return found and found[0].split()[-1]


def end(*processes):
    for p in processes:
        p.kill()
        p.wait()


def ours(words):
    """Seconds, seconds of downtime, bytes."""
    source = spawn([minivmm, "run", image, "--memory", "512M", "--name", "bench", "--append", words], "a")
    wait_for(lambda: "counter" in text("a.out"))
    there = spawn([minivmm, "receive", "tcp:127.0.0.1:0", "--name", "there"], "b")
    to = wait_for(lambda: listening("b"))
    time.sleep(0.3)
    r = subprocess.run([minivmm, "migrate", "bench", to, "--json"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if r.returncode:
        raise SystemExit(f"live.py: {r.stdout[-300:]}{r.stderr}")
    p = json.loads(r.stdout.splitlines()[-1])["progress"]
    end(source, there)
    return p["elapsed"] / 1e3, p["downtime"] / 1e3, p["processed"]


class Qemu:
    def __init__(self, tag, *extra):
        self.path = f"qmp.{tag}"
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.p = spawn(["qemu-system-x86_64", "-accel", "kvm", "-cpu", "qemu64", "-machine", "microvm", "-m", "512",
                        "-display", "none", "-nodefaults", "-serial", "stdio", "-no-reboot",
                        "-qmp", f"unix:{self.path},server=on,wait=off", *extra], "q" + tag)
        self.s = socket.socket(socket.AF_UNIX)
        wait_for(self.connected)
        self.f = self.s.makefile("rw")
        self.f.readline()
        self.do("qmp_capabilities")

    def connected(self):
        try:
            self.s.connect(self.path)
            return True
        except OSError:
            return False

    def do(self, name, **args):
        self.f.write(json.dumps({"execute": name, "arguments": args}) + "\n")
        self.f.flush()
        while True:
            r = json.loads(self.f.readline())
            if "error" in r:
                raise SystemExit(f"live.py: QEMU: {r['error']}")
            if "return" in r:
                return r["return"]


def qemu(words):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    there = Qemu("dst", "-incoming", f"tcp:127.0.0.1:{port}")
    source = Qemu("src", "-kernel", image, "-append", words)
    wait_for(lambda: "counter" in text("qsrc.out"))
    time.sleep(0.3)
    source.do("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    source.do("migrate", uri=f"tcp:127.0.0.1:{port}")
    r = wait_for(lambda: (lambda q: q if q.get("status") in ("completed", "failed") else None)
                 (source.do("query-migrate")))
    end(source.p, there.p)
    if r["status"] != "completed":
        raise SystemExit("live.py: QEMU's migration failed")
    return r["total-time"] / 1e3, r["downtime"] / 1e3, r["ram"]["transferred"]


def plain(size):
    """Seconds that a socket takes for so many bytes: present memory on both sides, 1 MiB at a time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def sink():
            c, _ = server.accept()
            to = memoryview(bytearray(MIB))
            while c.recv_into(to):
                pass
            c.close()

        t = threading.Thread(target=sink)
        t.start()
        data = memoryview(bytearray(b"x") * MIB)
        begin = time.monotonic()
        with socket.create_connection(server.getsockname()) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, size, MIB):
                s.sendall(data[:min(MIB, size - at)])
            s.shutdown(socket.SHUT_WR)
            s.recv(1)
        t.join()
        return time.monotonic() - begin


def main():
    print(f"live migration, loopback TCP, 512 MiB, medians of {runs}")
    print(f"{'guest':<18}{'by':<10}{'total ms':>10}{'downtime ms':>13}{'MiB':>8}{'MiB/s':>8}{'share':>7}")
    by = {"minivmm": ours}
    if shutil.which("qemu-system-x86_64"):
        by["QEMU"] = qemu
    for name, words in GUESTS:
        rows = {b: [] for b in by}
        for _ in range(runs):
            for b, move in by.items():
                total, down, size = move(words)
                rows[b].append((total, down, size, plain(size) / total))
        for b, got in rows.items():
            total, down, size, share = (statistics.median(r[i] for r in got) for i in range(4))
            print(f"{name:<18}{b:<10}{total * 1e3:>10.0f}{down * 1e3:>13.1f}{size / MIB:>8.1f}"
                  f"{size / MIB / total:>8.0f}{share:>7.2f}", flush=True)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    os.environ["XDG_RUNTIME_DIR"] = folder
    main()
