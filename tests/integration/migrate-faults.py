#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""migrate-faults.py MINIVMM HELLO.ELF [all] [tls=DIR]: break a live migration at every message, by a proxy that
knows the protocol (docs/stream-format.md, 8 and 9), and look who runs the guest afterwards.

One line a point, "ok NAME" or "not ok NAME: what". The points are MESSAGE of SIDE, and what happens
right before it gets through: cut, stalled, corrupted, source killed, destination killed. With tls=, the
same for records of TLS, which hide what is in them: those of the handshake, and the first ones after it."""
import os
import re
import signal
import struct
import subprocess
import sys
import time

from migrate_proxy import Proxy, TlsProxy

minivmm, image = sys.argv[1:3]
everything = "all" in sys.argv[3:]
certs = next((a[4:] for a in sys.argv[3:] if a.startswith("tls=")), None)

SOURCE = ["HELLO", "header", "CONFIG", "POLICY", "SOURCE_HOST", "GUEST_TABLE", "MASK_FILES",
          "MASK_FINAL", "MASK_EFFECTIVE", "STATIC_END", "MEMORY_PAGES", "CLOCK", "IRQCHIP",
          "DEVICE", "CPUID_SITES", "VCPU", "END", "GO"]
DESTINATION = ["HELLO", "ACCEPT", "ROUND", "READY", "RUNNING"]
ACTIONS = ["cut", "stalled", "corrupted", "source killed", "destination killed"]
FEW = {"source": ["HELLO", "STATIC_END", "MEMORY_PAGES", "VCPU", "END", "GO"],
       "destination": DESTINATION}
PATIENCE = 10  # --peer-timeout, and for whatever else has to come: on a busy machine it comes late
SHORT = 0.8  # --peer-timeout where silence is what is tried, or what may come of a length that is wrong
LOOKS = 20 * PATIENCE  # for one that has to run


class Vm:
    """A process that runs, or may run, the guest. What it prints tells whether it does."""

    def __init__(self, name, *args):
        self.name, self.log, self.err = name, open(name + ".log", "wb"), open(name + ".err", "wb")
        self.process = subprocess.Popen([minivmm, *args, "--name", name], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.err)

    def count(self):
        return os.path.getsize(self.name + ".log")

    def runs(self, looks=8):
        before = self.count()
        for _ in range(looks):
            time.sleep(0.05)
            if self.count() != before:
                return True
        return False

    def text(self):
        return open(self.name + ".log", errors="replace").read()

    def said(self):
        return open(self.name + ".err", errors="replace").read()

    def alive(self):
        return self.process.poll() is None

    def wait(self, what, seconds=20):
        end = time.time() + seconds
        while time.time() < end:
            if what():
                return True
            time.sleep(0.01)
        return False

    def ended(self, seconds=20):
        return self.wait(lambda: not self.alive(), seconds)

    def decided(self, patience):
        """It ended, waits for somebody else, or runs: whoever is not to run the guest needs a moment to find out."""
        self.wait(lambda: not self.alive() or "not a VM" in self.said() or self.count(), patience * 3 + 3)

    def kill(self):
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.kill()
        self.log.close()
        self.err.close()


number = 0
source = None


def new_source():
    global source, number
    if source and source.alive() and source.runs():
        return source
    if source:
        source.close()
    number += 1
    source = Vm(f"s{number}", "run", image, "--append",
                f"mode=counter ticks=100000000 delay=20000 nonce=n{number}")
    if not source.wait(lambda: source.count() > 0):
        raise SystemExit("the guest does not start: " + source.said())
    return source


def new_destination(patience, *args):
    global number
    number += 1
    d = Vm(f"d{number}", "receive", f"unix:{os.getcwd()}/d.sock", "--peer-timeout", str(patience), *args)
    if not d.wait(lambda: "listening" in d.said()):
        raise SystemExit("the receiver does not listen: " + d.said())
    return d


def migrate(vm, patience, *args):
    return subprocess.run([minivmm, "migrate", vm.name, f"unix:{os.getcwd()}/p.sock",
                           "--peer-timeout", str(patience), *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True)


def say(*args):
    return subprocess.run([minivmm, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=20, text=True)


def numbers(text):
    """The lines that are whole, as numbers."""
    return [int(n) for n in re.findall(r"^counter: (\d+) n\d+$", text, re.M)]


def contiguous(s, d):
    """What the two printed is one guest's output, in one piece."""
    got = numbers(s.text() + d.text())
    return got == list(range(1, len(got) + 1)) and len(set(re.findall(r" (n\d+)\n", s.text() + d.text()))) == 1


def report(name, problem):
    print(f"not ok {name}: {problem}" if problem else f"ok {name}", flush=True)


def judge(s, d, r, action, proxy, patience):
    """What is wrong with the world after that, if anything."""
    if not proxy.fired:
        return "the message never came: " + r.stderr
    handed_over = "may be running at" in r.stderr
    went = ("source", "GO") in proxy.seen
    if not (d.count() or handed_over):
        d.decided(patience)
    s_runs, d_runs = s.alive() and s.runs(), d.alive() and d.runs(LOOKS if d.count() else 8)
    if s_runs and d_runs:
        return "both run"
    if d.count() and not contiguous(s, d):
        return "the destination's output does not follow from the source's"
    if action == "source killed":
        if r.returncode != 1:
            return f"exit status {r.returncode}"
        if not went and d.count():
            return "the destination runs what was not handed over"
        if certs and "not a VM" in d.said():
            return None  # it met nobody it could have believed, and waits for somebody else
        return None if d_runs or not d.alive() else "the destination hangs"
    if r.returncode == 0 and action == "destination killed" and ("destination", "RUNNING") in proxy.seen:
        return None  # it ran there, and was killed there
    if r.returncode == 0:
        return None if d_runs and s.ended() else "moved, but it does not run there"
    if r.returncode != 1 or not r.stderr:
        return f"exit status {r.returncode}: {r.stderr}"
    if handed_over:
        # GO may have been on its way when nobody was there to read it.
        may_be = went or (action == "destination killed" and ("destination", "READY") in proxy.seen)
        if not may_be or s_runs or not s.alive():
            return "handed over, but not halted"
        if "paused" not in say("status", s.name).stdout or "may be running" not in say("status", s.name).stdout:
            return "status does not tell"
        if d_runs:
            return None if say("stop", s.name).returncode == 0 and s.ended() else "stop does not work"
        d.decided(patience)
        if d.alive() and not d.runs(LOOKS):
            return "the destination hangs"
        return None if say("resume", s.name).returncode == 0 and s.runs(LOOKS) else "resume does not work"
    if not s_runs and not s.runs(LOOKS):
        return "it does not go on at the source: " + r.stderr
    if proxy.point == ("source", "HELLO") or certs:
        # It met nobody it could have believed, and waits for somebody else.
        return None if not d.alive() or "not a VM" in d.said() else "it does not say who was there"
    return "the destination is still there" if d.alive() else None


def fault(side, message, action, kind=Proxy, here=(), there=(), patience=None):
    patience = patience or (SHORT if action in ("stalled", "corrupted") else PATIENCE)
    s, d = new_source(), new_destination(patience, *there)

    def fire(_):
        if action == "source killed":
            s.kill()
        if action == "destination killed":
            d.kill()
        return action

    proxy = kind("p.sock", f"{os.getcwd()}/d.sock", (side, message), fire)
    r = migrate(s, patience, *here)
    problem = judge(s, d, r, action, proxy, patience)
    proxy.close()
    d.close()
    # It did not come to that: somebody was silent for so long by himself.
    if not proxy.fired and patience < PATIENCE and "sent nothing for" in r.stderr + d.said():
        return fault(side, message, action, kind, here, there, 2 * patience)
    report(f"migrate: {message} of the {side}, {action}", problem)


def refused():
    """The source claims another vendor's CPU, as one with another CPU would."""
    s, d = new_source(), new_destination(PATIENCE)

    def rewrite(name, data, _):
        if name != "SOURCE_HOST":
            return False
        at = 24 + 64 + 128 + 64 + 8 + 1
        for _ in ("raw", "kvm"):
            n = struct.unpack_from("<I", data, at)[0]
            for leaf in range(at + 4, at + 4 + n * 24, 24):
                if struct.unpack_from("<II", data, leaf) == (0, 0):
                    data[leaf + 12:leaf + 16] = b"Xenu"
            at += 4 + n * 24
        return True

    proxy = Proxy("p.sock", f"{os.getcwd()}/d.sock", rewrite=rewrite)
    r = migrate(s, PATIENCE)
    problem = None
    if r.returncode != 3:
        problem = f"exit status {r.returncode}: {r.stderr}"
    elif "vendor" not in r.stderr or "goes on here" not in r.stderr:
        problem = "the report is not in full: " + r.stderr
    elif not s.runs(LOOKS):
        problem = "the guest does not go on"
    elif not d.ended() or d.process.returncode != 3 or d.count():
        problem = "the destination did not exit with 3"
    elif ("source", "MEMORY_PAGES") in proxy.seen:
        problem = "memory was sent"
    proxy.close()
    d.close()
    report("migrate: refused with the whole report, and goes on", problem)


def try_fault(side, message, action, **more):
    try:
        fault(side, message, action, **more)
    except subprocess.TimeoutExpired as e:
        report(f"migrate: {message} of the {side}, {action}", f"hangs: {e.cmd}")


def with_tls():
    folder = ("--tls-dir", certs)
    for side in ("source", "destination"):
        for number in range(10) if everything else (0, 6):
            for action in ACTIONS if everything else ACTIONS[:3]:
                try_fault(side, f"TLS record {number}", action, kind=TlsProxy, there=folder,
                          here=(*folder, "--tls-hostname", "localhost"))


def main():
    if certs:
        with_tls()
        return
    refused()
    for side, all_messages in (("source", SOURCE), ("destination", DESTINATION)):
        for message in all_messages if everything else FEW[side]:
            for action in ACTIONS:
                try_fault(side, message, action)


main()
if source:
    source.close()
