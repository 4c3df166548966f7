# SPDX-License-Identifier: MIT
"""matrix.py's documents: the record as text and as a page."""
import collections, html

from matrix_plan import HOSTS, MASKS, Cell, all_cells, appendix, leaks, matrix_hosts

SIGNS = {"lived": "+", "broken": "B", "survived": "s", "guide": "g", "not loaded": "x", "the host died": "d", "no-baseline": "-",
         "no-start": "!", "other": "?", "": " "}
MEANING = {"lived": "accepted, and the guest lived", "broken": "refused; forced over, a named feature was broken",
           "survived": "refused; forced over, it survived", "guide": "refused by the guide's equality alone; forced over, it survived",
           "not loaded": "refused; forced over, its state could not be loaded",
           "the host died": "refused; forced over, it took the host along",
           "no-baseline": "the two have no baseline", "no-start": "does not start there under that baseline",
           "other": "something else", "": "not run"}
SHORT = {"lived": "accepted and lived", "broken": "refused and broken", "survived": "refused and survived",
         "guide": "refused by equality alone", "not loaded": "refused and not loaded",
         "the host died": "refused and deadly", "no-baseline": "without a baseline", "no-start": "did not start",
         "other": "something else", "": "not run"}
NOT_LOADED = {"SREGS": "a bit in CR4 that this CPU does not have", "XCRS": "a component in XCR0 that it does not have",
              "TSC_KHZ": "a TSC frequency that it can't give", "0xc0000104": "the TSC ratio of AMD's scaling, on an Intel host"}
TITLES = {"none": "No override", "pair": "The baseline of the two hosts", "fleet": "One baseline for many"}


def kind(result):
    if result is None:
        return ""
    verdict, _, outcome = result
    if verdict.startswith("no-"):
        return verdict
    if outcome == "survived, subset accepts":
        return "guide"
    return next((k for k in ("lived", "broken", "survived", "not loaded", "the host died") if outcome.startswith(k)), "other")


def lost(because):
    """what is refused for, without that of which the destination only has more"""
    return " ".join(b for b in because if b[0] != "+")


def shortened(words, n):
    return " ".join(words if len(words) <= n else words[:n] + ["…"])


def markdown(results):
    hosts = matrix_hosts()
    lines = ["# Every move between lab hosts", "",
             "Written by `make lab-matrix` (`tests/lab/matrix.py`); the record is `tests/data/matrix/cells.tsv`, where NAME is",
             "what the destination lacks or has otherwise, and +NAME what it only has more of. [lab.md](lab.md) says what the",
             f"hosts are: {len(hosts)} of its {len(HOSTS)}. The others are one feature apart from one of these, and meet it in the last table",
             "here or in [guide-replay.md](guide-replay.md).", "",
             "A guest is started on the host of the row, saved, and restored on the host of the column. The verdict was "
             "predicted from", "two host files, and then given by `restore` in the host: the same mismatches, or the run "
             "fails. A guest that is accepted has", "its counter, its nonce, its CPUID and the outcome of every probe looked "
             "at. One that is refused is forced over with", "`--unsafe-ignore-cpu` and looked at, too.", ""]
    for k in SIGNS:
        if any(kind(results.get(c)) == k for c in all_cells(hosts)):
            lines.append(f"    {SIGNS[k] if k else 'blank'}  {MEANING[k]}")
    number = {h: i for i, h in enumerate(hosts, 1)}
    missing = sum(c not in results for c in all_cells(hosts))
    if missing:
        lines += ["", f"**{missing} of {len(all_cells(hosts))} cells have not been run yet**; `make lab-matrix` goes on where it "
                  "stopped."]
    for m in MASKS:
        lines += ["", f"## {TITLES[m]}", "", counted(results, m), "", "```"]
        lines.append(" " * 19 + " ".join(f"{i:2}" for i in number.values()))
        for a in hosts:
            row = [" ·" if a == b else f" {SIGNS[kind(results.get(Cell(a, b, m)))]}" for b in hosts]
            lines.append(f"{number[a]:2} {a:15} " + " ".join(row).rstrip())
        lines.append("```")
        if m == "fleet":
            lines += ["", "AMD hosts: `tests/data/matrix/lab-amd.mask`, made by `minivmm baseline --ignore-tsc` of them all. "
                      "Intel hosts: `intel-merom`;", "`penryn` and `kentsfield` lack ARAT and TSC-ADJUST, which it asks for."]
    survived = {}
    for c in all_cells(hosts):
        if kind(results.get(c)) in ("survived", "guide"):
            survived.setdefault(lost(results[c][1]), []).append(c)
    lines += ["", "## Refused although it survived", "",
              "The probe guest uses what it is shown, once. That it survived is no proof that another guest would: it says which",
              "refusals rest on a rule ([verdict-rules.md](verdict-rules.md)) and not on an instruction that fails. What the",
              "destination only has more of is left out. In the first column, small letters are rules or fields, the others",
              "features: either no instruction depends on them, or they are hints, or the destination executes what it does not",
              "show.", "",
              "| refused for | cells | for example |", "|---|---|---|"]
    for text, cells in sorted(survived.items(), key=lambda i: (-len(i[1]), i[0])):
        lines.append(f"| {text or 'the guide’s equality: the destination only has more, and `--rule subset` accepts'} | {len(cells)} "
                     f"| {cells[0].source} to {cells[0].dest}, {cells[0].mask} |")
    failed = collections.Counter(r[2] for c, r in results.items() if r[2].startswith("not loaded"))
    if failed:
        lines += ["", "## What KVM did not load", "", "| message | what it is | cells |", "|---|---|---|"]
        lines += [f"| {t[12:]} | {next((w for m, w in NOT_LOADED.items() if m in t), '')} | {n} |" for t, n in failed.most_common()]
    other = {c: r for c, r in results.items() if kind(r) == "other"}
    if other:
        lines += ["", "## Something else", "", "| from | to | mask | outcome |", "|---|---|---|---|"]
        lines += [f"| {c.source} | {c.dest} | {c.mask} | {r[2]} |" for c, r in sorted(other.items())]
    lines += ["", "## Leaks that are not predicted", "",
              "What a guest that was moved could execute although it is hidden from it, is as `minivmm probe --predict` says of the",
              "destination, but for what [predictions.md](predictions.md) names, and this (`tests/data/matrix/leaks.tsv`):", "",
              "| hosts | feature | probe | why |", "|---|---|---|---|"]
    lines += [f"| {where} | {feature} | {insn} | {text} |" for where, feature, insn, text in leaks()]
    lines += ["", "## The guide's Appendix A", "",
              "Pairs of hosts that differ in the feature. Refused for what is named; under their baseline it is moved and lives. "
              "The rest of", "that list is in [guide-replay.md](guide-replay.md).", "",
              "| feature | from | to | refused for | forced over | under their baseline |", "|---|---|---|---|---|---|"]
    for feature, a, b in appendix():
        r, p = (results.get(Cell(a, b, m)) for m in ("none", "pair"))
        if not r:
            lines.append(f"| {feature} | {a} | {b} | not run | | |")
        else:
            lines.append(f"| {feature} | {a} | {b} | {shortened(r[1], 8)} | {r[2]} | {p[2] if p and p[2] != '-' else p[0] if p else ''} |")
    return "\n".join(lines) + "\n"


STYLE = """:root{color-scheme:light dark;--bg:#fff;--fg:#1a1a1a;--muted:#666;--none:#eee;--lived:#2e8b57;--broken:#b3261e;
--survived:#d8a200;--guide:#f0d98a;--notloaded:#7b4f9d;--thehostdied:#222;--nobaseline:#d5d9de;--nostart:#aab4c0;--other:#000}
@media(prefers-color-scheme:dark){:root{--bg:#16181b;--fg:#e6e6e6;--muted:#9aa0a6;--none:#24272b;--lived:#3aa76d;
--broken:#e0564c;--survived:#c99a1a;--guide:#75673a;--notloaded:#9a6fc0;--thehostdied:#000;--nobaseline:#3a3f45;--nostart:#565f6a;--other:#fff}}
body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
a{color:inherit}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}p{max-width:46rem}.scroll{overflow-x:auto}
table{border-collapse:separate;border-spacing:2px;font-size:12px}th{font-weight:400;text-align:right;padding-right:.4rem;white-space:nowrap}
thead th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;padding:.3rem 0 0}
td{width:21px;min-width:21px;height:21px;text-align:center;color:#fff;border-radius:2px;font-size:11px}
td:focus,td:hover{outline:2px solid var(--fg)}ul{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1.4rem}
li span{display:inline-block;width:1.3em;height:1.3em;text-align:center;color:#fff;border-radius:2px;margin-right:.4em;font-size:12px}
.guide,.nobaseline,.nostart,.survived,.none{color:#222!important}.edge{border-left:3px solid var(--bg)}
tr.edge>*{border-top:3px solid var(--bg);border-left-color:transparent}
@media(prefers-color-scheme:dark){.guide,.nobaseline,.nostart{color:#ddd!important}}
""" + "".join(f".{k}{{background:var(--{k})}}" for k in
              ("lived", "broken", "survived", "guide", "notloaded", "thehostdied", "nobaseline", "nostart", "other", "none"))


def css(k):
    return k.replace(" ", "").replace("-", "") or "none"


def edges(hosts):
    """hosts that begin another emulator or vendor"""
    return {b for a, b in zip(hosts, hosts[1:]) if HOSTS[a][1:3] != HOSTS[b][1:3]}


def counted(results, mask):
    count = collections.Counter(kind(results.get(c)) for c in all_cells(matrix_hosts()) if c.mask == mask)
    return f"{count.total()} cells: " + ", ".join(f"{n} {SHORT[k]}" for k, n in count.most_common()) + "."


def page(results):
    hosts, out = matrix_hosts(), []
    edge = {h: " edge" if h in edges(hosts) else "" for h in hosts}
    used = [k for k in SIGNS if any(kind(results.get(c)) == k for c in all_cells(hosts))]
    out.append("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
               f"<title>Every move between lab hosts</title><style>{STYLE}</style><h1>Every move between lab hosts</h1>"
               "<p>Rows: where the guest was saved. Columns: where it was restored. First AMD hosts under QEMU, then Intel and AMD "
               "hosts under Bochs. A cell names its reasons when pointed at; "
               "<a href=lab-matrix.md>the same as text</a>.</p><ul>")
    out += [f"<li><span class={css(k)}>{html.escape(SIGNS[k])}</span>{html.escape(MEANING[k])}" for k in used]
    out.append("</ul>")
    for m in MASKS:
        out.append(f"<h2>{html.escape(TITLES[m])}</h2><p>{html.escape(counted(results, m))}</p><div class=scroll><table>"
                   "<thead><tr><th></th>" + "".join(f"<th scope=col>{h}</th>" for h in hosts) + "</tr></thead><tbody>")
        for a in hosts:
            row = [f"<tr class='{edge[a].strip()}'><th scope=row>{a}</th>"]
            for b in hosts:
                r = results.get(Cell(a, b, m))
                if a == b:
                    row.append(f"<td class='{edge[b].strip()}'></td>")
                    continue
                k = kind(r)
                text = f"{a} to {b}: {MEANING[k]}"
                if r and r[1]:
                    text += f" ({' '.join(r[1])})"
                if r and k in ("broken", "not loaded", "other"):
                    text += f"; {r[2]}"
                row.append(f"<td class='{css(k)}{edge[b]}' title='{html.escape(text, True)}'>{html.escape(SIGNS[k])}</td>")
            out.append("".join(row) + "</tr>")
        out.append("</tbody></table></div>")
    return "\n".join(out) + "</html>\n"
