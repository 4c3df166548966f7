#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A QEMU as libvirt asks it for its capabilities, on a host of our choosing.

  emulator.py HOST.json REPLIES.json QEMU-OPTIONS...

What QEMU answers is recorded once, in REPLIES.json, from a real qemu-system-x86_64; only the CPU that it
could give a guest (query-cpu-model-expansion, and no model is unusable) is that of HOST.json: {"props": {name: value}}.
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

GREETING = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}


class Qmp:
    """One end of a conversation: JSON objects, a line each."""

    def __init__(self, sock):
        self.sock, self.file = sock, sock.makefile("rb")

    def read(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def write(self, message):
        self.sock.sendall(json.dumps(message).encode() + b"\r\n")


class Qemu:
    """The real one, started when a reply is missing."""

    def __init__(self, path):
        self.path, self.proc = path, None

    def ask(self, message):
        if not self.proc:
            self.proc = subprocess.Popen(
                ["qemu-system-x86_64", "-S", "-no-user-config", "-nodefaults", "-nographic", "-machine",
                 "none,accel=tcg", "-qmp", f"unix:{self.path},server=on,wait=off"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            sock = socket.socket(socket.AF_UNIX)
            for _ in range(400):
                try:
                    sock.connect(self.path)
                    break
                except OSError:
                    time.sleep(0.025)
            self.qmp = Qmp(sock)
            self.qmp.read()
            self.qmp.write({"execute": "qmp_capabilities"})
            self.qmp.read()
        self.qmp.write(message)
        while True:
            reply = self.qmp.read()
            if "event" not in reply:
                return reply

    def stop(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()


def with_host(reply, props):
    """The CPU of the reply, with the host's features and no others."""
    ours = reply["return"]["model"]["props"]
    for name, value in ours.items():
        if name in props:
            ours[name] = props[name]
        elif isinstance(value, bool):
            ours[name] = False
    return reply


def serve(listener, host, replies_file, socket_path):
    props = json.load(open(host))["props"]
    replies = json.load(open(replies_file)) if os.path.exists(replies_file) else {}
    known = len(replies)
    qemu = Qemu(socket_path + ".real")
    try:
        talk(Qmp(listener.accept()[0]), props, replies, qemu)
    finally:
        qemu.stop()
        if len(replies) > known:
            with open(f"{replies_file}.{os.getpid()}", "w") as f:
                json.dump(replies, f)
            os.rename(f.name, replies_file)


def talk(client, props, replies, qemu):
    client.write(GREETING)
    while True:
        message = client.read()
        if message is None:
            break
        command, ident = message["execute"], message.pop("id", None)
        key = json.dumps([command, message.get("arguments")], sort_keys=True)
        if command == "query-cpu-model-expansion":
            key = json.dumps([command, message["arguments"]["type"]])
        if command in ("qmp_capabilities", "quit"):
            reply = {"return": {}}
        else:
            if key not in replies:
                replies[key] = qemu.ask(message)
                replies[key].pop("id", None)
            reply = json.loads(json.dumps(replies[key]))
        if command == "query-cpu-model-expansion" and "return" in reply:
            reply = with_host(reply, props)
        if command == "query-cpu-definitions":
            # which models are usable is the real QEMU's; it would take features away from the host's
            for model in reply["return"]:
                model["unavailable-features"] = []
        client.write({**reply, "id": ident})
        if command == "quit":
            break


def main():
    host, replies, options = sys.argv[1], sys.argv[2], sys.argv[3:]
    path = re.match("unix:([^,]*)", options[options.index("-qmp") + 1]).group(1)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    if os.fork():
        os._exit(0)     # -daemonize: the socket is there
    os.setsid()
    with open(options[options.index("-pidfile") + 1], "w") as f:
        f.write(f"{os.getpid()}\n")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))   # which is how libvirt ends it
    serve(listener, host, replies, path)


main()
