#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mkcompletion.py TABLE.json: bash completion from the command table (minivmm --help --json)."""
import json
import shlex
import sys

# What an option's argument is: words to choose from, or a function of the script below. "COMMAND --OPTION" where
# commands differ.
FORMS = "guide feature vmx featmask xl xl-list firecracker qemu libvirt"
CHOICES = {
    "--intercept": "auto kernel patch step none",
    "--rule": "guide subset",
    "--exit-code": "plain qemu",
    "--guest-os": "$(_minivmm_words minivmm mask show)",
    "--baseline": "$(_minivmm_words minivmm mask show baselines)",
    "--kind": "vmx svm",
    "--vendor": "intel amd",
    "--form": "feature guide vmx",
    "--to": FORMS,
    "mask convert --from": FORMS,
}
# Commands whose first operand is a running VM, and those that take no file at all.
VMS = {"snapshot", "status", "pause", "resume", "stop", "migrate"}
NO_FILES = VMS - {"snapshot"} | {"list"}
WORDS = {"mask": "final lint show suggest convert"}

HEAD = '''# minivmm: made from its command table
_minivmm_words() { "$@" 2>/dev/null; }
_minivmm_vms() { minivmm list --json 2>/dev/null | sed -n 's/^ *"name": *"\\([^"]*\\)".*/\\1/p'; }

_minivmm() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} cmd=${COMP_WORDS[1]-}
	local opts='' args='' words='' first=files others=files

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "%s --help --version" -- "$cur")
		return
	fi
	[ "$COMP_CWORD" -eq 2 ] || case "$cmd ${COMP_WORDS[2]}" in
	%s) cmd="$cmd ${COMP_WORDS[2]}" ;;
	esac
	case $cmd in
'''

TAIL = '''	*) return ;;
	esac
	case "$cmd $prev" in
%s	esac
	case " $args " in
	*" $prev "*) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$opts" -- "$cur")
		return
	fi
	[ "$COMP_CWORD" -eq 2 ] || first=$others
	case $first in
	words) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
	files) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}
complete -o filenames -F _minivmm minivmm
'''


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        table = json.load(f)
    names = [c["name"] for c in table["commands"]]
    out = HEAD % (" ".join(n for n in names if " " not in n), "|".join(f'"{n}"' for n in names if " " in n))
    for cmd in table["commands"]:
        options = cmd["options"] + table["common-options"]
        out += f"\t{shlex.quote(cmd['name'])})\n"
        out += "\t\topts=" + shlex.quote(" ".join("--" + o["name"] for o in options)) + "\n"
        files = [o["name"] for o in options if o.get("argument", "").startswith(("FILE", "DIR"))]
        out += "\t\targs=" + shlex.quote(" ".join("--" + n for n in files)) + "\n"
        if cmd["name"] in VMS:
            out += "\t\twords=$(_minivmm_vms) first=words\n"
        elif cmd["name"] in WORDS:
            out += "\t\twords=" + shlex.quote(WORDS[cmd["name"]]) + " first=words\n"
        if cmd["name"] in NO_FILES:
            out += f"\t\tothers={'words' if cmd['name'] in VMS else 'none'} first=$others\n"
        out += "\t\t;;\n"
    known = {"--" + o["name"] for c in table["commands"] for o in c["options"]}
    cases = ""
    for name, words in CHOICES.items():
        if name.split()[-1] in known:
            pattern = f'"{name}"' if " " in name else f'*" {name}"'
            cases += f'\t{pattern})\n\t\tmapfile -t COMPREPLY < <(compgen -W "{words}" -- "$cur")\n\t\treturn\n\t\t;;\n'
    print(out + TAIL % cases, end="")


main()
