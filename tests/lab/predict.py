#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Predictions of the probe guest's verdicts, and what was measured in lab hosts.

  predict.py predict MINIVMM HOST OUT [RUN...]   one file a run; reads masks and the host file alone
  predict.py job HOST DIR [RUN...]               what the lab host has to do
  predict.py compare HOST PREDICTED MEASURED     two folders of results; exceptions.tsv counts
  predict.py record HOST MEASURED                keep a measurement as measured/HOST.tsv
  predict.py check MINIVMM                       predict all that is recorded, and compare
  predict.py cells                               cells of features.def that the record decides
  predict.py docs                                the generated part of docs/predictions.md

Everything lives in tests/data/predictions. A difference that exceptions.tsv does not name, and a name in
there that nothing needs, is a problem: a line on standard output, exit status 1.
"""
import collections, fnmatch, json, os, re, shlex, subprocess, sys, textwrap

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
data = os.path.join(top, "tests/data/predictions")


def table(path):
    with open(path) as f:
        return [line.rstrip("\n").split("\t") for line in f if line.strip() and line[0] != "#"]


def lab_hosts():
    """name -> (emulator, 'vmx' or 'svm')"""
    return {r[0]: (r[1], "vmx" if r[2] == "intel" else "svm")
            for r in table(os.path.join(top, "tests/lab/hosts.tsv"))}


def applies(pattern, host):
    """'*', an emulator, or a host's name"""
    return pattern in ("*", host, lab_hosts()[host][0])


def runs(host, only=()):
    """name -> options"""
    return {name: shlex.split(options) for name, hosts, options in table(os.path.join(data, "runs.tsv"))
            if applies(hosts, host) and (not only or name in only)}


def exceptions(host):
    """{(feature, instruction, predicted, measured): reason}"""
    return {tuple(r[1:5]): r[5] for r in table(os.path.join(data, "exceptions.tsv")) if applies(r[0], host)}


def host_file(host):
    return os.path.join(top, "tests/data/hosts", host + ".json")


def predict(minivmm, host, only=()):
    """run -> {(feature, instruction): verdict}; the program gets a host file and masks, nothing else"""
    result = {}
    for name, options in runs(host, only).items():
        p = subprocess.run([minivmm, "probe", "--predict", "--json", "--host", host_file(host), *options],
                           cwd=data, env={"PATH": "/usr/bin:/bin", "NO_COLOR": "1"},
                           capture_output=True, text=True)
        if p.returncode:
            sys.exit(f"{host} {name}: no prediction: {p.stdout}{p.stderr}")
        result[name] = p.stdout
    return result


def verdicts(text):
    return {(p["feature"], p["instruction"]): p["verdict"] for p in json.loads(text)["probes"]}


def load(folder):
    result = {}
    for f in sorted(os.listdir(folder)):
        if f.endswith(".json") and f != "host.json":
            with open(os.path.join(folder, f)) as text:
                result[f[:-5]] = verdicts(text.read())
    return result


def record_path(host):
    return os.path.join(data, "measured", host + ".tsv")


def recorded(host):
    names, result = None, {}
    for r in table(record_path(host)):
        if names is None:
            names = r[2:]
            result = {n: {} for n in names}
            continue
        for n, v in zip(names, r[2:]):
            result[n][r[0], r[1]] = v
    return result


def recorded_hosts():
    return sorted(f[:-4] for f in os.listdir(os.path.join(data, "measured")))


def compare(host, predicted, measured, used=None):
    """problems, one line each"""
    known, problems = exceptions(host), []
    for run in predicted:
        if run not in measured:
            problems.append(f"{host} {run}: was not measured")
            continue
        p, m = predicted[run], measured[run]
        for key in list(p) + [k for k in m if k not in p]:
            was, is_ = p.get(key, "-"), m.get(key, "-")
            if was == is_:
                continue
            if key + (was, is_) in known:
                if used is not None:
                    used.add(key + (was, is_))
                continue
            problems.append(f"{host} {run}: {key[0]} ({key[1]}) predicted {was}, measured {is_}")
    return problems


def end(problems, ok):
    print("\n".join(problems) if problems else ok)
    sys.exit(bool(problems))


def do_predict(minivmm, host, out, *only):
    os.makedirs(out)
    for name, text in predict(os.path.abspath(minivmm), host, only).items():
        path = os.path.join(out, name + ".json")
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o444)


def do_job(host, folder, *only):
    lines = ["export XDG_RUNTIME_DIR=/tmp", "./minivmm host --first -o out/host.json || exit"]
    for name, options in runs(host, only).items():
        lines.append(f"./minivmm probe {shlex.join(options)} -o out/{name}.json 2>out/{name}.err ||"
                     " [ $? = 6 ] || exit")    # 6: a feature is BROKEN, which may be predicted
    with open(os.path.join(folder, "run.sh"), "w") as f:
        f.write("\n".join(lines) + "\n")


def same_host(host, file):
    """The host file that predictions are made from is what the host says of itself."""
    with open(host_file(host)) as a, open(file) as b:
        a, b = json.load(a), json.load(b)
    skip = {"0x00000001": {1}, "0x0000000b": {3}}     # the APIC id
    problems = []
    if a["kvm-controls"] != b["kvm-controls"]:
        problems.append(f"{host}: tests/data/hosts/{host}.json is not this host: another KVM")
    for view in ("raw", "kvm", "exec"):
        # What a row found that is newer than the file is not held against it.
        there = set(a.get(view, {})) | (set(b.get(view, {})) if view != "exec" else set())
        for leaf in sorted(there):
            x, y = a.get(view, {}).get(leaf), b.get(view, {}).get(leaf)
            if isinstance(x, list) and isinstance(y, list):
                x, y = ([v for i, v in enumerate(w) if i not in skip.get(leaf, ())] for w in (x, y))
            if x != y:
                problems.append(f"{host}: tests/data/hosts/{host}.json is not this host: {view} {leaf}: {x} and {y}")
    return problems


def do_compare(host, predicted, measured):
    problems = same_host(host, os.path.join(measured, "host.json"))
    p = load(predicted)
    problems += compare(host, p, load(measured))
    end(problems, f"{host}: {sum(map(len, p.values()))} probes under {len(p)} masks as predicted")


def do_record(host, measured):
    m = {n: v for n, v in load(measured).items() if n in runs(host)}
    names = [n for n in runs(host) if n in m]
    keys = list(m[names[0]])
    with open(record_path(host), "w") as f:
        print("feature", "instruction", *names, sep="\t", file=f)
        for k in keys:
            print(*k, *(m[n].get(k, "-") for n in names), sep="\t", file=f)


def do_check(minivmm, *hosts):
    """Rows that are newer than the record are not held against it; rows that are gone are forgotten."""
    problems, needed, total, new = [], {}, 0, set()
    for host in hosts or recorded_hosts():
        used, m = set(), recorded(host)
        p = {n: verdicts(t) for n, t in predict(os.path.abspath(minivmm), host, tuple(m)).items()}
        for run in p:
            new |= set(p[run]) - set(m[run])
            common = set(p[run]) & set(m[run])
            p[run], m[run] = ({k: v[run][k] for k in v[run] if k in common} for v in (p, m))
            total += len(common)
        problems += compare(host, p, m, used)
        for row in table(os.path.join(data, "exceptions.tsv")):
            if applies(row[0], host):
                needed.setdefault(tuple(row[:5]), False)
                needed[tuple(row[:5])] |= tuple(row[1:5]) in used or row[5].startswith("now and then")
    problems += [f"exceptions.tsv: {' '.join(k)}: nothing needs this any more" for k, v in needed.items() if not v]
    if total < 2000:
        problems.append(f"only {total} probes of the record are still there")
    end(problems, f"{total} probes as predicted" + (f"; {len(new)} rows are newer than the record" if new else ""))


def features():
    """name -> (line number, vmx, svm)"""
    result = {}
    with open(os.path.join(top, "cpuid/features.def")) as f:
        text = f.read()
    for m in re.finditer(r"^MV_FEATURE\(([^\"]*)\"([^\"]*)\"", text, re.M):
        words = [w.strip() for w in m.group(1).split(",")]
        result[m.group(2)] = (words[0], words[8], words[9])
    return result


def cells():
    """(feature, kind) -> whether a recorded host has it, some run hides it, and no exception explains what came"""
    known, result = features(), collections.OrderedDict()
    for host in recorded_hosts():
        kind, seen = lab_hosts()[host][1], collections.OrderedDict()
        # What the emulator does whatever the table says, and not KVM, decides nothing.
        explained = {(feature, insn, measured) for feature, insn, _, measured in exceptions(host)}
        for run in recorded(host).values():
            for (name, insn), v in run.items():
                if (name, insn, v) not in explained:
                    seen.setdefault((name, insn), set()).add(v)
        for (name, _), found in seen.items():
            if name not in known or found <= {"HINT", "UNDECIDABLE", "SKIP"}:
                continue
            result.setdefault((name, kind), False)
            # What KVM emulates is ABSENT when hidden: the host's own CPUID does not have it. Whether the CPU's
            # own would execute, that does not tell.
            emulated = found >= {"OK", "ABSENT"} and known[name][1 + (kind == "svm")] != "NONE"
            result[name, kind] |= bool(found & {"LEAK", "ENFORCED"}) or emulated
    return result


def do_cells():
    for (name, kind), decided in cells().items():
        ident, vmx, svm = features()[name]
        print(kind, ident, vmx if kind == "vmx" else svm, "decided" if decided else "open", sep="\t")


def do_docs():
    shown = "OK", "LEAK", "ENFORCED", "ABSENT", "BLOCKED", "UNDECIDABLE"
    with open(os.path.join(top, "guest-tests/probes.def")) as f:
        rows = len(re.findall(r"^MV_PROBE\(", f.read(), re.M))
    print(f"The probe guest has {rows} rows; a host with fewer was measured before the last of them were added.\n")
    print("| host | kind | masks | rows | probes |", " | ".join(shown), "| other |")
    print("|---" * (6 + len(shown)) + "|")
    for host in recorded_hosts():
        m = recorded(host)
        c = collections.Counter(v for r in m.values() for v in r.values())
        print(f"| {host} | {lab_hosts()[host][1].upper()} | {len(m)} | {len(next(iter(m.values())))} | {c.total()} |",
              " | ".join(str(c[v]) for v in shown), f"| {c.total() - sum(c[v] for v in shown)} |")
    print("\nExceptions:\n\n| where | probe | predicted | measured | why |\n|---|---|---|---|---|")
    for where, feature, insn, p, m, why in table(os.path.join(data, "exceptions.tsv")):
        print(f"| {where} | {feature}: {insn} | {p} | {m} | {why} |")
    c = cells()
    for kind in ("vmx", "svm"):
        decided = [n for (n, k), d in c.items() if k == kind and d]
        open_ = [n for (n, k), d in c.items() if k == kind and not d]
        for text in (f"On {kind.upper()}, {len(decided)} cells of the column are decided by a measurement: "
                     f"{', '.join(decided)}.",
                     f"Not decided, because no {kind.upper()} host here has the feature, or none without an exception "
                     f"for it: {', '.join(open_)}."):
            print("\n" + textwrap.fill(text, 116, break_long_words=False, break_on_hyphens=False))


if __name__ == "__main__":
    commands = {n[3:]: f for n, f in globals().items() if n.startswith("do_")}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
