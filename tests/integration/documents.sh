#!/bin/bash
# SPDX-License-Identifier: MIT
# The console blocks of README.md and docs/*.md are true: every "$ " line is run, in a folder with
# the example files, and each line shown under it must be in its output, in that order. "…" stands
# for anything. Blocks marked "console kvm" need /dev/kvm.
. "$(dirname "$0")/../lib.sh"

"$top/tests/examples.sh" "$build" "$tmp/work"
export PATH=$build:$PATH

for doc in README.md docs/*.md; do
	[ -e "$top/$doc" ] || continue
	python3 - "$top/$doc" "$tmp/work" "$(have_kvm && echo kvm)" <<'EOF'
import re, subprocess, sys

path, folder, kvm = sys.argv[1:]
name = path.split("/")[-1]
blocks = re.findall(r"^```console(.*)\n((?:.*\n)*?)^```", open(path, encoding="utf-8").read(), re.M)
for number, (mark, text) in enumerate(blocks, 1):
    what = f"{name}, console block {number}"
    if "kvm" in mark and not kvm:
        print(f"skip {what}: no /dev/kvm")
        continue
    problem = None
    have, at, command = [], 0, ""
    for line in text.splitlines():
        if line.startswith("$ "):
            command = line[2:]
            r = subprocess.run(command, shell=True, cwd=folder, stdin=subprocess.DEVNULL, timeout=300,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            have, at = r.stdout.decode(errors="replace").splitlines(), 0
            continue
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        while at < len(have) and not re.fullmatch(pattern, have[at]):
            at += 1
        if at == len(have):
            problem = f"'{line}' is not what `{command}` prints"
            print("\n".join("    | " + h for h in have[:12]), file=sys.stderr)
            break
        at += 1
    print(f"not ok {what}: {problem}" if problem else f"ok {what}")
EOF
done

# Each source file is in the architecture's table of modules, and each module there is a file.
python3 - "$top" <<'EOF'
import fnmatch, os, re, sys
folder, listed, wrong = None, {}, []
for line in open(f"{sys.argv[1]}/docs/architecture.md", encoding="utf-8"):
    cells = [c.strip() for c in line.split("|")]
    if len(cells) == 5 and re.fullmatch(r"(`[a-z/]+/`)?", cells[1]) and cells[2].startswith("`"):
        folder = cells[1].strip("`") or folder
        listed.setdefault(folder, []).extend(re.findall(r"`([^`]+)`", cells[2]))
for folder in ("cpuid/", "migrate/", "vmm/", "vmm/cli/"):
    stems = [f[:-2] for f in os.listdir(f"{sys.argv[1]}/{folder}") if f.endswith(".c")]
    patterns = listed.get(folder, [])
    wrong += [f"{folder}{s}.c is in no row" for s in stems if not any(fnmatch.fnmatch(s, p) for p in patterns)]
    wrong += [f"{folder}: no file is '{p}'" for p in patterns if not fnmatch.filter(stems, p)]
print("not ok architecture.md, modules: " + "; ".join(wrong) if wrong else "ok architecture.md, modules")
EOF
