#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""soak.py BUILD COUNT: COUNT guests that are started, probed and stopped, COUNT that are saved and restored, COUNT / 5
that migrate. Memory, descriptors and files at the end are what they were at the beginning.

One line a kind, "ok NAME" or "not ok NAME: what"; from 100 on, figures on standard error."""
import os
import re
import subprocess
import sys
import tempfile
import time

from listening import listens

build, count = os.path.abspath(sys.argv[1]), int(sys.argv[2])
minivmm, image = (os.path.join(build, p) for p in ("minivmm", "guest-tests/hello.elf"))
PATIENCE = 30
# KiB that memory may differ by: what the allocator happens to touch, more so before it has settled.
ROOM = 256 if count >= 100 else 1024
FOREVER = "mode=counter ticks=1000000 delay=2000000"
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}


pids = set()


class Failed(Exception):
    pass


def call(*args, code=0):
    r = subprocess.run([minivmm, *args], timeout=PATIENCE, **quiet)
    if r.returncode != code:
        raise Failed(f"{' '.join(args)}: status {r.returncode}: {r.stderr.decode(errors='replace')}")


class Vm:
    def __init__(self, name, *args):
        self.name, self.out = name, tempfile.TemporaryFile()
        self.process = subprocess.Popen([minivmm, *args, "-q", "--name", name], stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=subprocess.PIPE)
        pids.add(str(self.process.pid))

    def up(self):
        """It answers, and its guest has said something."""
        self.until(lambda: os.path.exists(f"run/minivmm/{self.name}.sock") and os.fstat(self.out.fileno()).st_size)
        return self

    def until(self, what):
        end = time.time() + PATIENCE
        while not what():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended: {self.process.stderr.read().decode()}")
            if time.time() > end:
                raise Failed(f"{self.name} does not come up")
            time.sleep(0.002)

    def status(self, field):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(rf"^{field}:\s+(\d+)", f.read(), re.M)[1])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def ended(self):
        if self.process.wait(PATIENCE):
            raise Failed(f"{self.name}: status {self.process.returncode}: {self.process.stderr.read().decode()}")
        self.process.stderr.close()
        said = os.pread(self.out.fileno(), 1 << 20, 0)
        self.out.close()
        return said

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Counter:
    """What one guest says, in one process after the other: 1, 2, 3 and so on, a line begun here and ended there."""

    def __init__(self):
        self.rest, self.last = b"", 0

    def goes_on(self, said):
        *lines, self.rest = (self.rest + said.replace(b"\r", b"")).split(b"\n")
        for line in lines:
            self.last += 1
            if line != b"counter: %d none" % self.last:
                raise Failed(f"the guest says {line!r} where {self.last} is due")


def files():
    return sorted(os.path.relpath(os.path.join(d, n)) for d, _, names in os.walk(".") for n in names)


def same(what, before, after, slack=0):
    if after > before + slack:
        raise Failed(f"{what}: {before} at first, {after} at last")


class Series:
    """A figure of each process: the first ones and the last ones agree."""

    def __init__(self, what, slack):
        self.what, self.slack, self.values = what, slack, []

    def verdict(self):
        n = max(1, min(20, len(self.values) // 3))
        first, last = (sorted(part)[len(part) // 2] for part in (self.values[:n], self.values[-n:]))
        same(self.what, first, last, self.slack)
        return f"{self.what} {first} -> {last}"


def starts():
    """Long enough for the probe guest now and then, for a small one each time."""
    # Whoever asked it last may still be connected.
    peak, fds = Series("peak RSS of a VM, KiB", ROOM), Series("its descriptors", 1)
    for i in range(count):
        vm = Vm("s", "run", image, "--append", FOREVER)
        try:
            vm.up()
            call("status", "s")
            peak.values.append(vm.status("VmHWM"))
            fds.values.append(vm.descriptors())
            call("stop", "s")
            vm.ended()
        finally:
            vm.end()
        if i % 50 == 0:
            call("probe", "-q")
    return [peak.verdict(), fds.verdict()]


def snapshots():
    """A chain: each process goes on from the file that the one before has left. And one VM that is saved each time."""
    stays = Vm("stays", "run", image, "--append", FOREVER)
    vm = Vm("v", "run", image, "--append", FOREVER)
    # Until all of its memory is read a restored VM has more of them.
    peak, fds, size = Series("peak RSS of a restored VM, KiB", ROOM), Series("its descriptors", 4), Series("bytes of a file", 0)
    counter, warm = Counter(), None
    try:
        stays.up()
        for i in range(count):
            vm.up()
            if i:
                peak.values.append(vm.status("VmHWM"))
                fds.values.append(vm.descriptors())
            call("snapshot", "v", "v.snap", "--stop")
            counter.goes_on(vm.ended())
            size.values.append(os.path.getsize("v.snap"))
            call("snapshot", "stays", "stays.snap")
            # What fails leaves nothing behind in it either.
            call("snapshot", "stays", "nowhere/stays.snap", code=1)
            call("migrate", "stays", "unix:nowhere.sock", "-q", code=1)
            if i == count // 10:
                warm = stays.status("VmRSS"), stays.descriptors(), stays.status("Threads")
            vm = Vm("v", "restore", "v.snap")
        vm.up()
        now = stays.status("VmRSS"), stays.descriptors(), stays.status("Threads")
        for what, a, b, slack in zip(("RSS of the VM that was saved each time, KiB", "its descriptors", "its threads"), warm,
                                     now, (ROOM, 1, 0)):
            same(what, a, b, slack)
        call("stop", "v")
        call("stop", "stays")
        vm.ended()
        stays.ended()
    finally:
        vm.end()
        stays.end()
    os.unlink("v.snap")
    os.unlink("stays.snap")
    return [peak.verdict(), fds.verdict(), size.verdict(), "the VM saved each time: RSS {}, descriptors {}, threads {} -> "
            "{}, {}, {}".format(*warm, *now)]


def migrations():
    """There and back, each time to a new process."""
    peak, fds = Series("peak RSS of a received VM, KiB", ROOM), Series("its descriptors", 1)
    vm, counter = Vm("m0", "run", image, "--append", FOREVER), Counter()
    try:
        for i in range(max(1, count // 5)):
            vm.up()
            target = Vm(f"m{(i + 1) % 2}", "receive", f"unix:{os.getcwd()}/m.sock")
            try:
                target.until(lambda: listens("m.sock"))
                call("migrate", vm.name, "unix:m.sock", "-q")
            except BaseException:
                target.end()
                raise
            counter.goes_on(vm.ended())
            vm = target.up()
            peak.values.append(vm.status("VmHWM"))
            fds.values.append(vm.descriptors())
        call("stop", vm.name)
        vm.ended()
    finally:
        vm.end()
    return [peak.verdict(), fds.verdict()]


def machine():
    """VMs of ours that the kernel keeps, as far as it tells: a folder PID-DESCRIPTOR each."""
    try:
        return sum(name.split("-")[0] in pids for name in os.listdir("/sys/kernel/debug/kvm"))
    except OSError:
        return 0


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.mkdir("run", 0o700)
        os.environ["XDG_RUNTIME_DIR"] = folder + "/run"
        call("run", image, "-q")
        keep = files()
        for kind, n in ((starts, count), (snapshots, count), (migrations, max(1, count // 5))):
            name, begin = f"soak: {n} {kind.__name__}", time.time()
            try:
                figures = kind()
                if files() != keep:
                    raise Failed("files are left: " + " ".join(set(files()) - set(keep)))
                same("VMs that KVM knows", 0, machine())
                print("ok " + name, flush=True)
                if count >= 100:
                    print(f"    {time.time() - begin:.0f} s: " + "; ".join(figures), file=sys.stderr, flush=True)
            except (Failed, subprocess.TimeoutExpired) as e:
                print(f"not ok {name}: {e}", flush=True)
                for f in set(files()) - set(keep):
                    os.unlink(f)


main()
