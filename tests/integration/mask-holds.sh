#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# mask-holds.sh BUILD: the guest sees exactly the final mask, at CPL 0 and CPL 3, whatever answers.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

need_kvm "the mask holds" "every CPU" "guest OS masks" "what auto chooses" "interceptions" "power-on" "fail-on" || exit 0

probe_elf=$guests/probe.elf
overrides=$top/configs/overrides
host=$("$minivmm" host --json 2>/dev/null)
rows=$("$minivmm" probe --json 2>/dev/null)

# Was the mechanism proved at both levels here?
proved() {
	[ "$(json "$host" "proof/$1")" = 2 ]
}

# auto, and what was proved beyond what auto takes.
modes=auto
taken=
for mode in kernel patch step; do
	proved $mode || continue
	[ -z "$taken" ] || modes+=" $mode"
	taken=${taken:-$mode}
done

# Features with a probe that this host's CPUID shows (1) or not (0), one name a line.
host_has() {
	perl -MJSON::PP -e '
		my ($want, %seen) = shift;
		for (@{decode_json(join "", <STDIN>)->{probes}}) {
			print "$_->{feature}\n" if defined $_->{host} && !!$_->{host} == !!$want &&
				!$seen{$_->{feature}}++;
		}' "$1" <<<"$rows"
}
has() {
	host_has 1 | grep -qxF "$1"
}

# What no probe can tell about here.
unprobed=$(perl -MJSON::PP -e '
	print join "|", "-", map { $_->{verdict} =~ /SKIP|UNDECIDABLE/ ? $_->{feature} : () }
		@{decode_json(join "", <STDIN>)->{probes}}' <<<"$rows")

# Every 0, R, F, 1 and T of a mask is what the probe's dump shows. Says how many bits that were.
bits_hold() { # EFFECTIVE-MASK DUMP
	perl -e '
		my ($level, %mask, $n) = "";
		open my $f, "<", $ARGV[0] or die;
		while (<$f>) {
			$level = hex($1) . "." . hex($2 // 0)
				if /^Level 0x([0-9a-f]+)h(?: Sublevel 0x([0-9a-f]+)h)?$/;
			next unless /^(E[A-D]X): ([-xTF10HR ]+)$/;
			my ($reg, $symbols) = (lc $1, $2);
			$symbols =~ tr/ //d;
			$mask{"$level $reg"} = $symbols;
		}
		open $f, "<", $ARGV[1] or die;
		while (<$f>) {
			next unless /^cpuid: (?:cpl\d )?(0x\w+) (0x\w+) (e.*)/;
			my ($level, $values) = (hex($1) . "." . hex $2, $3);
			while ($values =~ /(e[a-d]x)=(0x\w+)/g) {
				my ($reg, $value) = ($1, hex $2);
				my $symbols = $mask{"$level $reg"} or next;
				for my $bit (0 .. 31) {
					my $s = substr $symbols, 31 - $bit, 1;
					my $want = $s =~ /[0RF]/ ? 0 : $s =~ /[1T]/ ? 1 : next;
					print "$level $reg:$bit is not $s " if ($value >> $bit & 1) != $want;
					$n++;
				}
			}
		}
		print $n > 500 ? "all" : "only " . ($n // 0);
	' "$1" "$2"
}

# sees NAME MASK [OPTION...]: in every mode. Masks that show what the host lacks make probes fail:
# what counts is that CPUID is what was meant.
sees() {
	local mask=$2 mode
	shift 2
	ran "$minivmm" mask final --effective --mask "$mask" "$@"
	expect_status 0
	cp "$tmp/.out" "$tmp/effective"
	for mode in $modes; do
		ran "$minivmm" run "$probe_elf" --mask "$mask" --intercept "$mode" "$@"
		grep -qE '^cpuid-check: cpl0 [1-9][0-9]* leaves, 0 differ; cpl3 [1-9][0-9]* leaves, 0 differ' \
			"$tmp/.out" || problem "--intercept $mode: the guest does not see what was meant"
		expect_equal "$(bits_hold "$tmp/effective" "$tmp/.out")" all "--intercept $mode"
	done
}
holds() {
	sees "$@"
	check "the mask holds: $1"
}

# ---- masks in all their forms ----

: >"$tmp/nothing.mask"
holds "none but the default" "$tmp/nothing.mask"

hides_sse41() { # NAME MASK
	sees "$1" "$2"
	grep -qE '^cpuid: 0x00000001 0x00 .* ecx=0x...[0-7]....' "$tmp/.out" ||
		problem "bit 19 of leaf 1 ECX is not 0 at both levels"
	check "the mask holds: $1"
}
hides_sse41 "SSE4.1 hidden, guide form" "$overrides/hide-sse41.mask"
sed 's/0---/R---/' "$overrides/hide-sse41.vmx" >"$tmp/r.vmx"
hides_sse41 "SSE4.1 hidden with R, .vmx form" "$tmp/r.vmx"

# The other forms say the same.
ran "$minivmm" mask final --mask "$overrides/hide-sse41.mask"
said=$out
same() { # NAME MASK
	ran "$minivmm" mask final --mask "$2"
	expect_status 0
	expect_equal "$out" "$said" "the final mask"
	check "the mask holds: $1"
}
same "SSE4.1 hidden, .vmx form" "$overrides/hide-sse41.vmx"
echo 'featMask.vm.cpuid.SSE41 = "Val:0"' >"$tmp/feat.vmx"
same "SSE4.1 hidden, featMask form" "$tmp/feat.vmx"
echo 'feature sse4_1 = 0' >"$tmp/feature.mask"
same "SSE4.1 hidden, feature form" "$tmp/feature.mask"
mkdir "$tmp/inner"
cp "$overrides/hide-sse41.mask" "$tmp/inner/hide.mask"
echo 'include "inner/hide.mask"' >"$tmp/outer.mask"
same "SSE4.1 hidden, included from a folder beside" "$tmp/outer.mask"

holds "no AVX" "$overrides/no-avx.mask"
printf 'feature %s = 0\n' sse3 ssse3 sse4.1 sse4.2 popcnt aes pclmul avx xsave bmi1 bmi2 movbe \
	>"$tmp/old.mask"
holds "everything from SSE3 on hidden" "$tmp/old.mask"
printf 'field %s\n' "phys-bits = 36" "max-leaf = 0xd" >"$tmp/fields.mask"
holds "numbers" "$tmp/fields.mask"

missing=$(host_has 0 | grep -vxE -- "$unprobed" | head -2)
if [ -z "$missing" ]; then
	skip "the mask holds: a feature the host lacks" "this host has every feature probed"
else
	forced=$(head -1 <<<"$missing")
	echo "feature $forced = 1" >"$tmp/forced.mask"
	sees "" "$tmp/forced.mask"
	expect_err "($forced) is set by forced.mask:1 although this host lacks it"
	check "the mask holds: a feature the host lacks, forced to 1, with a warning"
fi

# A 32-bit system's mask hides long mode, and the probe guest needs that.
for os in $("$minivmm" mask show | tr ' ' '\n' | grep -vE '32|generic64'); do
	holds "guest OS $os" "$tmp/nothing.mask" --guest-os "$os"
done
"$minivmm" mask show linux64 >"$tmp/own.mask"
ran "$minivmm" mask final --guest-os linux64
said=$out
ran "$minivmm" mask final --default-mask "$tmp/own.mask"
expect_equal "$out" "$said" "the final mask"
check "guest OS masks: one from a file"
echo 'guest-os = linux64' >"$tmp/os.mask"
start os "$minivmm" run "$guests/hello.elf" --name os --mask "$tmp/os.mask" --append mode=hang
wait_for "$minivmm" status os
ran "$minivmm" status os --json
expect_json_is guest-os linux64
"$minivmm" stop os
ended os
check "guest OS masks: named by an override"

# ---- every CPU ----

for row in "sockets=1,cores=2,threads=2 4 04" "sockets=2,cores=2 4 02" "cores=3,threads=2 6 06" "sockets=2,threads=2 4 02"; do
	read -r parts n count <<<"$row"
	ran "$minivmm" probe --topology $parts --only SSE2
	expect_status 0
	expect_out "$n CPUs: each sees and executes the same"
	expect_no_err "cpu-diff"
	words=$(tr ',' ' ' <<<"cores=1,$parts")
	ran "$minivmm" run "$probe_elf" --topology $parts --append "brief only=SSE2 ${words#*sockets=? }"
	grep -qE '^cpuid: 0x00000001 0x00 .* ebx=0x00'$count "$tmp/.out" || problem "$parts: leaf 1 tells another number of CPUs"
done
ran "$minivmm" run "$probe_elf" --cpus 4 --append "brief only=SSE2 cores=2 threads=2"
expect_status 6
expect_out "cpu-diff: cpu 0"
ran "$minivmm" probe --cpus 3 --topology cores=2,threads=2
expect_status 2
expect_err "--topology sockets=1,cores=2,threads=2 are 4 CPUs, not --cpus 3"
for parts in sockets=2,cores=3 threads=3 cores=65 cores= core=2 "" cores=2,,threads=2 sockets=8,cores=8,threads=2; do
	ran "$minivmm" probe --topology "$parts"
	expect_status 2
	expect_err "--topology"
done
check "every CPU: --topology, what it may be and what each CPU says of it"

for n in 1 2 4; do
	for mode in $modes; do
		ran "$minivmm" run "$probe_elf" --mask "$overrides/hide-sse41.mask" --cpus $n --intercept "$mode" \
			--append brief
		expect_status 0
		expect_no_out "cpu-diff"
		expect_equal "$(sed -nE 's/^cpu-check: (cpu [0-9]+ apic [0-9]+), [1-9][0-9]* leaves, [1-9][0-9]* instructions, 0 differ\r?$/\1/p' \
			"$tmp/.out" | tr '\n' ';')" \
			"$([ $n = 1 ] || for ((i = 0; i < n; i++)); do printf 'cpu %d apic %d;' $i $i; done)" \
			"--intercept $mode: CPUs"
		grep -qE '^cpuid: 0x00000001 0x00 .* ebx=0x00'"$(printf %02x $n)" "$tmp/.out" ||
			problem "--intercept $mode: leaf 1 tells another number of CPUs"
	done
	ran "$minivmm" probe -q --mask "$overrides/hide-sse41.mask" --cpus $n --json
	expect_status 0
	expect_json_is cpus $n
	expect_json_is cpu-diff 0
	check "every CPU: the same with --cpus $n, but for its own number"
done
ran "$minivmm" probe --cpus 2 --only SSE2
expect_out "2 CPUs: each sees and executes the same"
ran "$minivmm" probe --only SSE2
expect_no_out "CPUs"
check "every CPU: said in a line if there is more than one"

# Where nobody answers, one processor gives two CPUs the same APIC id.
one=$(awk '/^Cpus_allowed_list/ { split($2, a, /[,-]/); print a[1] }' /proc/self/status)
alone=(taskset -c "$one" "$minivmm" probe --cpus 2 --only SSE2 --intercept none)
ran "${alone[@]}" --fail-on cpus
if proved kernel; then
	expect_status 0
else
	expect_status 7
	expect_err "between the guest's CPUs (above)"
	grep -qE '^minivmm: cpu-diff: cpu [01]: cpl3 0x00000001 0x00 ebx expected 0x0[01]000000 got ' "$tmp/.err" ||
		problem "no line about the APIC id"
	ran "${alone[@]}" --json
	expect_status 6
	[ "$(json "$out" cpu-diff)" -ge 1 ] || problem "no cpu-diff in the JSON"
fi
check "every CPU: --fail-on cpus, the CPU is named"

# ---- which interception ----

ran "$minivmm" run "$guests/hello.elf"
expect_status 0
if proved kernel; then
	expect_no_err "using --intercept"
elif proved patch; then
	expect_err "warning: this host's KVM does not keep a guest's CPUID to the mask ("
	expect_err "): using --intercept patch"
fi
ran "$minivmm" run -q "$guests/hello.elf"
expect_equal "$err" "" "standard error with -q"
check "what auto chooses: it is said in one line unless it is kernel"

for mode in kernel patch step; do
	ran "$minivmm" run "$guests/hello.elf" --intercept $mode --append "it runs"
	if proved $mode; then
		expect_status 0
		expect_out "hello: it runs"
	else
		expect_status 5
		expect_err "--intercept $mode: tried on this host, a guest's CPUID does not follow the mask at CPL"
		expect_no_out "hello"
	fi
	check "interceptions: $mode"
done

# Without our note nobody knows what the image does at CPL 3.
LC_ALL=C sed 's/minivmm\x00/minivmX\x00/g' "$guests/hello.elf" >"$tmp/no-note.elf"
ran "$minivmm" run "$tmp/no-note.elf" --intercept patch
expect_status 5
if proved patch; then
	expect_err "--intercept patch: "
	expect_no_err "tried on this host"
fi
ran "$minivmm" run "$tmp/no-note.elf"
if proved kernel || proved step; then
	expect_status 0
else
	expect_status 5
	expect_err "nothing keeps this guest's CPUID to the mask: kernel: "
	expect_err "; patch: "
	expect_err "; step: "
	expect_err "hint: --intercept none"
fi
check "interceptions: an image whose code is not accounted for"

ran "$minivmm" probe --mask "$overrides/hide-sse41.mask" --intercept none
expect_err "warning: --intercept none: CPUID itself may tell the guest more than the mask does"
if proved kernel; then
	expect_status 0
elif has SSE4.1; then
	expect_status 6
	expect_err "cpuid-diff: cpl3 0x00000001 0x00 ecx"
	expect_err "CPUID registers the guest saw differ from the mask"
fi
check "interceptions: none shows what leaks, at both levels"
expect_equal "$(LC_ALL=C.UTF-8 awk 'length > 80' "$tmp/.out")" "" "lines wider than 80"
expect_no_out $'\033'
check "a measured table has 80 columns, and no colour in a pipe"

# ---- what the mask demands of the host ----

present=$(host_has 1 | grep -xE 'SSE3|CX16|SSSE3|POPCNT|CLFLUSH' | head -2)
{
	echo '# every one of these refuses'
	for f in $missing; do echo "feature $f = T"; done
	for f in $present; do echo "feature $f = F"; done
} >"$tmp/demands.mask"
# shellcheck disable=SC2086
set -- $missing $present
ran "$minivmm" run "$guests/hello.elf" --mask "$tmp/demands.mask"
expect_status 3
expect_no_out "hello"
line=1
for f in $missing; do
	line=$((line + 1))
	expect_err "($f) must be set (T, demands.mask:$line), and this host can't offer it"
done
for f in $present; do
	line=$((line + 1))
	expect_err "($f) must not be there (F, demands.mask:$line), and this host executes it"
done
expect_err "refused at power-on:"
check "power-on: T on what is missing and F on what is there name every bit"

ran "$minivmm" run "$guests/hello.elf" --mask "$tmp/demands.mask" --json
expect_status 3
expect_json
expect_json_is verdict refuse
expect_equal "$(grep -cE '"kind": "(T-missing|F-present)"' <<<"$out")" $# "bits named"
for f in "$@"; do
	expect_out "\"subject\": \"$f\""
done
check "power-on: the same as JSON"

for f in $present; do echo "feature $f = T"; done >"$tmp/met.mask"
ran "$minivmm" run "$guests/hello.elf" --mask "$tmp/met.mask"
expect_status 0
check "power-on: demands that are met"

# ---- probe --fail-on ----

ran "$minivmm" probe --mask "$overrides/hide-sse41.mask" --fail-on leak
if has SSE4.1; then
	expect_status 7
	grep -qE '^SSE4\.1 .* PTEST +no +(ran|-) +.*LEAK$' "$tmp/.out" || problem "no LEAK line for PTEST"
elif grep -q ' LEAK$' "$tmp/.out"; then
	expect_status 7
else
	expect_status 0
fi
check "fail-on: a leak"

ran "$minivmm" probe --mask "$overrides/hide-sse41.mask" --fail-on leak --only SSE2
expect_status 0
expect_out "1 probes: 1 ok, 0 leak"
check "fail-on: no leak in a feature that is shown"

ran "$minivmm" probe --fail-on broken
expect_status 0
check "fail-on: nothing broken under the default mask"

if [ -n "$missing" ]; then
	ran "$minivmm" probe --mask "$tmp/forced.mask" --fail-on broken --only "$forced"
	expect_status 7
	ran "$minivmm" probe --mask "$tmp/forced.mask" --fail-on leak --only "$forced" --json
	expect_status 6
	expect_json_is probes/0/verdict BROKEN
	expect_json_is probes/0/feature "$forced"
	expect_json_is exit 6
	check "fail-on: a feature that is shown and not there"
fi

ran "$minivmm" probe --json
expect_json
probes=$(json "$out" probes)
[ "${probes:-0}" -ge 60 ] || problem "$probes probes"
expect_json_is cpuid-diff 0
check "fail-on: the matrix as JSON"
