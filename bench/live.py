#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""live.py MINIVMM HELLO.ELF [FILE.json]: live migration over loopback TCP, 512 MiB guests, beside a plain socket
copy of as many bytes and QEMU's migration of the same guest, all in turn. Medians and quartiles.

copy is (the time that the plain copy of as many bytes took) over total time; fresh is the same for a copy into
memory that was never touched, as a destination's is. Downtime is what each VMM itself measures: here until
the destination's answer is back at the source."""
import json
import mmap
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import qemu as peer
from qemu import wait_for

minivmm, image = (os.path.abspath(p) for p in sys.argv[1:3])
file = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else None
MIB = 1 << 20
# The short ones often.
GUESTS = [("idle, untouched", 20, "mode=counter ticks=100000000 delay=2000000"),
          ("idle, full", 5, "mode=counter ticks=100000000 delay=2000000 fill=511"),
          ("dirtying 64 MiB", 20, "mode=writer mib=64 ticks=1000000")]


def spawn(args, tag):
    out = open(f"{tag}.out", "wb")
    return subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=open(f"{tag}.err", "wb"))


def text(path):
    with open(path, errors="replace") as f:
        return f.read()


def listening(tag):
    found = [l for l in text(f"{tag}.err").splitlines() if "listening on" in l]
    return found and found[0].split()[-1]


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
    for process in source, there:
        process.kill()
        process.wait()
    return p["elapsed"] / 1e3, p["downtime"] / 1e3, p["processed"]


def qemu(words):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    there = peer.Qemu(".", 512, "-incoming", f"tcp:127.0.0.1:{port}")
    there.connect()
    source = peer.Qemu(".", 512, "-kernel", image, "-append", words)
    source.says(b"counter")
    time.sleep(0.3)
    r = source.migrate(f"tcp:127.0.0.1:{port}")
    source.end()
    there.end()
    return r["total-time"] / 1e3, r["downtime"] / 1e3, r["ram"]["transferred"]


def plain(size, fresh):
    """Seconds that a socket takes for so many bytes, 1 MiB at a time; into memory that is there, or into fresh one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def sink():
            c, _ = server.accept()
            to = memoryview(mmap.mmap(-1, size + MIB) if fresh else bytearray(MIB))
            at = 0
            while True:
                n = c.recv_into(to[at:at + MIB])
                if not n:
                    break
                at += n if fresh else 0
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


def summary(values):
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "quartiles": [low, high], "least": min(values)}


def spread(s, digits):
    return f"{s['median']:.{digits}f} ({s['quartiles'][0]:.{digits}f}-{s['quartiles'][1]:.{digits}f})"


def main():
    print(f"live migration, loopback TCP, 512 MiB, medians (quartiles); load {os.getloadavg()[0]:.0f}")
    print(f"{'guest':<17}{'by':<8}{'runs':>4}{'total ms':>16}{'downtime ms':>20}{'MiB':>7}{'MiB/s':>7}{'copy':>6}{'fresh':>6}")
    by, results = {"minivmm": ours}, []
    if peer.there:
        by["QEMU"] = qemu
    for name, runs, words in GUESTS:
        rows = {b: [] for b in by}
        for _ in range(runs):
            for b, move in by.items():
                try:
                    total, down, size = move(words)
                except peer.Failed as e:
                    print(f"{name:<17}{b:<8}failed: {e}", flush=True)
                    continue
                finally:
                    peer.end_all()
                rows[b].append((total, down, size, plain(size, False) / total, plain(size, True) / total))
        for b, got in rows.items():
            if len(got) < 2:
                continue
            total, down = (summary([r[i] * 1e3 for r in got]) for i in range(2))
            size, copy, fresh = (statistics.median(r[i] for r in got) for i in range(2, 5))
            print(f"{name:<17}{b:<8}{len(got):>4}{spread(total, 0):>16}{spread(down, 1):>20}{size / MIB:>7.1f}"
                  f"{size / MIB / total['median'] * 1e3:>7.0f}{copy:>6.2f}{fresh:>6.2f}", flush=True)
            results.append({"guest": name, "by": b, "runs": len(got), "total-ms": total, "downtime-ms": down,
                            "bytes": round(size), "copy-to-total": copy, "fresh-copy-to-total": fresh})
    if file:
        with open(file, "w") as f:
            json.dump(results, f, indent=1)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    os.environ["XDG_RUNTIME_DIR"] = folder
    main()
