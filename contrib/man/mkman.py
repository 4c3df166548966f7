#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mkman.py TABLE.json OUTDIR: manual pages from the command table (minivmm --help --json).

minivmm(1), one page for each command, and the hand-written pages beside this file are put into OUTDIR.
EXAMPLES come from examples.txt: "== COMMAND" starts a command's part, a line that starts with "$ " is a
command, the others explain the one that follows.
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DATE = "2026-11-22"


def esc(text):
    """Text as roff takes it: no escapes, no requests at the start of a line."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return "\\&" + text if text[:1] in ".'" else text


def examples():
    parts = {}
    part = None
    with open(os.path.join(HERE, "examples.txt"), encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n")
            if line.startswith("#") or not line:
                continue
            if line.startswith("== "):
                part = parts.setdefault(line[3:], [])
            else:
                part.append(line)
    return parts


def head(title, section, summary):
    return [f".Dd {DATE}", f".Dt {title.upper()} {section}", ".Os minivmm", ".Sh NAME",
            f".Nm {title}", f".Nd {esc(summary)}"]


def option_list(options):
    out = [".Bl -tag -width Ds"]
    for o in options:
        out.append(f".It Fl \\-{esc(o['name'])}" + (f" Ar {esc(o['argument'])}" if "argument" in o else ""))
        out.append(esc(o["help"]))
    return out + [".El"]


def prose(text):
    """Help is broken for 80 columns; here lines are filled anew, and "word:  text" is an item of a list."""
    out = [".Pp"]
    listing = False
    for line in text.rstrip("\n").split("\n"):
        item = re.match(r"([a-z]+): +(.*)", line)
        if listing and not item and not line.startswith(" "):
            out += [".El", ".Pp"]
            listing = False
        if item and not listing:
            out.append(".Bl -tag -width suggest")
            listing = True
        out += [f".It {item[1]}", esc(item[2])] if item else [esc(line.strip()) or ".Pp"]
    return out + [".El"] if listing else out


def example_lines(lines):
    out = []
    for line in lines:
        if line.startswith("$ "):
            out += [".Dl " + esc(line)]
        else:
            out += [".Pp", esc(line)]
    return out


def exits(table):
    out = [".Sh EXIT STATUS", ".Bl -tag -width 2n -compact"]
    for code, text in enumerate(table["exit-codes"]):
        out += [f".It {code}", esc(text)]
    return out + [".El"]


def page_name(cmd):
    return "minivmm-" + cmd["name"].replace(" ", "-")


def command_page(table, cmd, parts):
    title = page_name(cmd)
    out = head(title, 1, cmd["summary"])
    out += [".Sh SYNOPSIS", f".Nm minivmm {cmd['name']}", esc(cmd["arguments"])]
    out += [".Sh DESCRIPTION", esc(cmd["summary"][:1].upper() + cmd["summary"][1:]) +
            ("" if cmd["summary"].endswith("?") else ".")]
    if cmd["more"]:
        out += prose(cmd["more"])
    out += [".Sh OPTIONS"] + option_list(cmd["options"] + table["common-options"])
    out += exits(table)
    if cmd["name"] in parts:
        out += [".Sh EXAMPLES"] + example_lines(parts[cmd["name"]])
    out += [".Sh SEE ALSO", ".Xr minivmm 1 ,", ".Xr minivmm\\-mask 5 ,", ".Xr minivmm\\-snapshot 5"]
    return title, out


def main_page(table, parts):
    out = head("minivmm", 1, "know, before the guest does, whether it will survive the move")
    out += [".Sh SYNOPSIS", ".Nm", ".Ar command", ".Op Ar options", ".Nm", "\\-\\-help | \\-\\-version"]
    with open(os.path.join(HERE, "minivmm.1.in"), encoding="utf-8") as f:
        out += f.read().rstrip("\n").split("\n")
    out += [".Sh COMMANDS", ".Bl -tag -width baseline"]
    for cmd in table["commands"]:
        out += [f".It Xr {esc(page_name(cmd))} 1", esc(cmd["summary"])]
    out += [".El", ".Sh OPTIONS", "Every command takes"] + option_list(table["common-options"])
    out += exits(table) + [".Sh EXAMPLES"] + example_lines(parts["minivmm"])
    out += [".Sh SEE ALSO", ".Xr minivmm\\-mask 5 ,", ".Xr minivmm\\-snapshot 5"]
    return "minivmm", out


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        table = json.load(f)
    outdir = sys.argv[2]
    parts = examples()
    os.makedirs(outdir, exist_ok=True)
    pages = [main_page(table, parts)] + [command_page(table, c, parts) for c in table["commands"]]
    for title, lines in pages:
        with open(os.path.join(outdir, title + ".1"), "w", encoding="utf-8") as f:
            f.write("\n".join(line for line in lines if line) + "\n")
    for name in sorted(os.listdir(HERE)):
        if name.endswith(".5"):
            with open(os.path.join(HERE, name), encoding="utf-8") as src, \
                 open(os.path.join(outdir, name), "w", encoding="utf-8") as f:
                f.write(src.read())
    unknown = set(parts) - {c["name"] for c in table["commands"]} - {"minivmm"}
    if unknown:
        sys.exit(f"mkman.py: examples of commands that don't exist: {' '.join(sorted(unknown))}")


main()
