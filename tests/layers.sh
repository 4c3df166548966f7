#!/bin/bash
# SPDX-License-Identifier: MIT
# layers.sh BUILD: who may depend on whom (docs/architecture.md), checked on the built libraries and
# on the sources.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1

result() { # NAME OFFENDERS
	if [ -z "$2" ]; then
		echo "ok layers: $1"
	else
		echo "not ok layers: $1: $(echo "$2" | head -3 | tr '\n' ' ')"
		bad=1
	fi
}
bad=0

# What a library needs from outside itself.
needs() {
	local defined
	defined=$(nm "$@" 2>/dev/null | awk 'NF == 3 && $2 ~ /[TDRBV]/ { print $3 }' | sort -u)
	nm -u "$1" | awk '$1 == "U" { print $2 }' | sort -u | grep -vxF "$defined"
}

core=$(needs "$build/libmv-cpuid.a" | grep -vE '^(mem(cpy|cmp|set|move|chr)|str(len|cmp|ncmp|chr|rchr|cspn|spn|nlen|ncpy)|v?snprintf|__(v?snprintf|mem[a-z]*|str[a-z]*)_chk|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__(a|t|ub)san.*|bsearch)$')
result "the core calls nothing but string functions" "$core"

migrate=$(needs "$build/libmv-migrate.a" "$build/libmv-cpuid.a" | grep -E '^(ioctl|exit|_exit|abort|err.*|warn.*|v?printf|puts|putchar|perror|stdout|stderr|mv_vm.*|mv_kvm.*)$')
result "migrate neither prints, exits nor knows KVM" "$migrate"

vmm=$(needs "$build/libmv-vmm.a" "$build/libmv-migrate.a" "$build/libmv-cpuid.a" | grep -E '^(exit|abort|v?printf|puts|putchar|perror|stdout|stderr|mv_cli.*)$'
	# The children that run the probes do, and they are no part of vmm/.
	grep -lE '(^|[^a-z])_exit\(' vmm/*.[ch])
result "vmm neither prints nor exits" "$vmm"

result "linux/kvm.h is included in vmm/ alone" \
	"$(grep -rlE '#include <(linux|asm)/kvm' cpuid migrate guest-tests vmm/cli 2>/dev/null)"
result "ioctl is called in vmm/kvm.c alone" \
	"$(grep -rlE '(^|[^_a-z])ioctl\([^2]' cpuid migrate guest-tests vmm --include=*.[ch] | grep -vx vmm/kvm.c)"
result "the core includes no file of another folder" \
	"$(grep -rnE '#include "(\.\./|migrate/|vmm/|guest-tests/)' cpuid)"
result "guests include nothing but their own files and the bit table" \
	"$(grep -rnhE '#include "' guest-tests --include=*.[chS] | sed 's/.*#include "\([^"]*\)".*/\1/' | sort -u |
		while read -r f; do
			[ -e "guest-tests/${f#guest-tests/}" ] || [ -e "guest-tests/torture/$f" ] || [[ $f == cpuid/feature* ]] || echo "$f"
		done)"
result "no table of bits outside cpuid/" \
	"$(grep -rlE '^MV_(FEATURE|FIELD|DEP)\(' migrate vmm guest-tests tests 2>/dev/null)"
headers=$(for h in cpuid/*.h migrate/*.h vmm/*.h; do
	"${CC:-cc}" -std=c11 -D_GNU_SOURCE -fsyntax-only -x c -I. -Icpuid -Imigrate -Ivmm -include "$h" /dev/null \
		2>/dev/null || echo "$h"
done)
result "every header compiles alone" "$headers"
result "paths named in the documents exist" \
	"$(grep -ohE '`(cpuid|migrate|vmm|guest-tests|configs|tests|docs|bench)/[A-Za-z0-9_./-]+`' README.md docs/*.md 2>/dev/null |
		tr -d '`' | sort -u | while read -r f; do [ -e "$f" ] || echo "$f"; done)"
result "files stay under 600 lines" \
	"$(find cpuid migrate vmm guest-tests -name '*.[chS]' -print0 | xargs -0 wc -l |
		awk '$2 != "total" && $1 > 600 { print $2 }')"
exit $bad
