#!/bin/bash
# SPDX-License-Identifier: MIT
# test-guide.sh BUILD: docs/guide-replay.md, its blocks marked penryn and kentsfield, in those two hosts of the lab.
# Penryn goes first; the snapshots it made are there on Kentsfield. (tests/integration/documents.sh runs the others.)
# shellcheck shell=bash disable=SC1091,SC2154
. "$(dirname "$0")/../lib.sh"
cd "$top" || exit 1

cat >"$tmp/replay.py" <<'PY'
import os, re, sys

what, doc, host, folder = sys.argv[1:]
with open(doc, encoding="utf-8") as f:
    blocks = re.findall(r"^```(\w+)\n((?:.*\n)*?)^```", f.read(), re.M)
mine = [(n, text) for n, (mark, text) in enumerate(blocks, 1) if mark == host]

def commands(text):
    """[command, lines]"""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found

if what == "job":
    with open(os.path.join(folder, "run.sh"), "w") as f:
        f.write("export XDG_RUNTIME_DIR=/tmp\n")
        for n, text in mine:
            for i, (command, _) in enumerate(commands(text)):
                f.write(f"{{ {command}; }} >out/{n}-{i} 2>&1 </dev/null\n")
        f.write("mv *.snap out/\n")
    sys.exit()

for n, text in mine:
    problem = None
    for i, (command, want) in enumerate(commands(text)):
        with open(os.path.join(folder, f"{n}-{i}"), errors="replace") as f:
            have, at = f.read().translate({0: None, 13: None}).splitlines(), 0
        for line in want:
            pattern = ".*".join(re.escape(part) for part in line.split("…"))
            while at < len(have) and not re.fullmatch(pattern, have[at]):
                at += 1
            if at == len(have) and not (line == "…"):
                problem = problem or f"'{line}' is not what `{command}` prints"
                print("\n".join("    | " + h for h in have[:25]), file=sys.stderr)
                break
            at = min(at + 1, len(have))
    name = f"guide-replay.md, block {n}, on {host}"
    print(f"not ok {name}: {problem}" if problem else f"ok {name}")
if not mine:
    print(f"not ok guide-replay.md: no block for {host}")
PY

tests/lab/job.sh "$build" "$tmp/job"
for host in penryn kentsfield; do
	python3 "$tmp/replay.py" job docs/guide-replay.md $host "$tmp/job" || exit 1
	if ! tests/lab/lab run $host --timeout 400 --job "$tmp/job" --out "$tmp/$host" >"$tmp/console" 2>&1; then
		echo "not ok guide-replay.md: $(tail -1 "$tmp/console")"
		tail -20 "$tmp/console" >&2
		exit 0
	fi
	python3 "$tmp/replay.py" judge docs/guide-replay.md $host "$tmp/$host"
	cp "$tmp/$host"/*.snap "$tmp/job/" 2>/dev/null
done
