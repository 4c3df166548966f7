#!/bin/bash
# SPDX-License-Identifier: MIT
# minivmm host --from FILE: other tools' dumps become hosts, damaged ones an error with its place.
. "$(dirname "$0")/../lib.sh"

dumps=$top/tests/data/dumps

# imports NAME FILE SOURCE BRAND: described, saved, and the same again from what was saved
imports() {
	ran "$minivmm" host --json --from "$dumps/$2"
	expect_status 0
	expect_out "\"$3\""
	expect_out "$4"
	expect_out '"assumed": true'
	ran "$minivmm" host -o "$tmp/$2.json" --from "$dumps/$2"
	expect_status 0
	check "import: $1"
}
imports "cpuid -1 -r" cpuid-1-r.txt "cpuid -r" "AMD EPYC"
imports "kcpuid -r" kcpuid-r.txt "kcpuid -r" "AMD EPYC"
imports "the probe guest's lines" probe-nehalem.txt "minivmm probe" "Nehalem"

ran "$minivmm" host --json --from "$tmp/cpuid-1-r.txt.json"
expect_status 0
again=$(grep -v '"name"' <<<"$out")
ran "$minivmm" host --json --from "$dumps/cpuid-1-r.txt"
expect_equal "$again" "$(grep -v '"name"' <<<"$out")"
check "import: a saved import is read back as it was"

# The guest that ran under TCG saw a virtual machine: that is said.
ran "$minivmm" host --from "$dumps/probe-epyc.txt"
expect_status 0
expect_err "taken in a virtual machine (TCGTCGTCGTCG)"
check "import: what a reader should know is told"

# fails NAME TEXT PLACE MESSAGE
fails() {
	printf '%b' "$2" >"$tmp/bad"
	ran "$minivmm" host --from "$tmp/bad"
	expect_status 4
	expect_err "$tmp/bad:$3 $4"
	expect_equal "$out" ""
	check "import: $1"
}
fails "an empty file" "" "" "the file is empty"
fails "prose" "vendor_id : GenuineIntel\n" "" "no known format"
fails "a binary file" "\0\1\2" "" "a binary file"
fails "wrong hex" "CPUID 00000000: 0000000G-00000000-00000000-00000000\n" "1:" \
	"not four registers of 8 hexadecimal digits"
fails "no leaf 1" "CPUID 00000000: 00000001-756E6547-6C65746E-49656E69\n" "" "leaf 1 is missing"
fails "a document type" "<!DOCTYPE cpudata [<!ENTITY a 'b'>]>\n<cpudata/>" "1:" \
	"a document type (<!DOCTYPE>) is refused"
register='{"register":"eax","bitmap":"0bx"}'
fails "a CPU template" \
	'{"cpuid_modifiers":[{"leaf":"0x7","subleaf":"0x0","modifiers":['"$register"']}]}' \
	"" "leaf 0x7.0"
fails "an unknown JSON file" '{"a":1}' "" "JSON, but neither"
