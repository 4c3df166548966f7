#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# intercept.sh BUILD: the proof leaf by leaf, tracing where the VMM traps, what is kept about the host,
# and the test devices. Where KVM answers: tests/lab/test-intercept.sh.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

need_kvm "proof" "trace" "kept host" "testdev" || exit 0

run() {
	ran "$minivmm" run "$@"
}

# ---- the proof ----

ran "$minivmm" host --proof --json
expect_status 0
proof=$out
kept=$("$minivmm" host --json 2>/dev/null)
# A row: mechanism, level, run-time code, leaves that held; and what `minivmm host` makes of it.
held() { # MECHANISM CPL RUN-TIME
	perl -MJSON::PP -e '
		my ($m, $c, $t) = splice @ARGV, 0, 3;
		for my $r (@{decode_json(join "", <STDIN>)}) {
			next unless $r->{mechanism} eq $m && $r->{cpl} == $c && !!$r->{"run-time-code"} eq !!$t;
			print scalar grep { $r->{$_} } "PLANTED", "1", "7", "0x80000001";
		}' "$1" "$2" "$3" <<<"$proof"
}
for m in kernel patch step; do
	levels=
	[ "$(held $m 0 0)" = 4 ] && levels+=" cpl0"
	[ "$(held $m 3 0)" = 4 ] && levels+=" cpl3"
	expect_equal "$(perl -MJSON::PP -e 'print map " $_", @{decode_json(join "", <STDIN>)->{proof}{$ARGV[0]}}' \
		$m <<<"$kept")" "$levels" "$m, kept and leaf by leaf"
done
check "proof: leaf by leaf it says the same as host"

if [ "$(held patch 0 0)$(held patch 3 0)" = 44 ]; then
	expect_equal "$(held patch 0 1)$(held patch 3 1)" 00 "leaves that patch covers in code made at run time"
	check "proof: patch does not cover code made at run time"
else
	echo "skip proof: patch does not cover code made at run time: patch is not proved here"
fi

ran "$minivmm" host --proof --binary
expect_status 2
expect_err "--proof goes with no other option"
check "proof: goes alone"

# ---- tracing ----

if [ "$(json "$kept" proof/patch)" = 2 ]; then
	run "$guests/proof.elf" --intercept patch --append runtime --trace-cpuid "$tmp/trace"
	expect_equal "$(wc -l <"$tmp/trace")" 8 "CPUIDs recorded"
	expect_err "CPUID asked 8 times"
	expect_equal "$(perl -MJSON::PP -ne '
		my $e = decode_json($_);
		printf "cpl%d leaf=%08x sub=%x %08x %08x %08x %08x\n", $e->{cpl},
			map { hex } $e->{leaf}, $e->{subleaf}, @{$e->{served}};' "$tmp/trace")" \
		"$(tr -d '\r' <<<"$out" | sed -n 's/^proof: \(cpl.*leaf.*\)/\1/p')" "recorded, and seen by the guest"
	grep -q '"mask":\["[-xTF10HR ]*","' "$tmp/trace" || problem "no symbols in the trace"
	check "trace: what the traps recorded is what the guest saw"

	run "$guests/proof.elf" --intercept patch --trace-cpuid "$tmp/none/trace"
	expect_status 1
	expect_err "none/trace: No such file or directory"
	expect_equal "$out" "" "what the guest said"
	run "$guests/proof.elf" --intercept patch --trace-cpuid /dev/full
	expect_status 1
	expect_err "/dev/full: the trace is incomplete: No space left on device"
	check "trace: a file that can't be written"

	printf '\x7f\x0f\xa2\xc3' >"$tmp/module"
	run "$guests/hello.elf" --intercept patch --initrd "$tmp/module"
	expect_status 5
	expect_err "--intercept patch: bytes 0F A2 at offset 0x1 of $tmp/module, which may hold code"
	check "patch: refused with a module that may hold a CPUID"
else
	echo "skip trace: patch is not proved here"
fi

# ---- what is kept about the host ----

described() {
	run "$guests/hello.elf" --append "mode=echo" -v
	expect_status 0
	"$minivmm" probe --json 2>/dev/null | sha256sum
}
rm -f "$XDG_RUNTIME_DIR"/minivmm/host-*
before=$(described)
files=("$XDG_RUNTIME_DIR"/minivmm/host-*)
expect_equal "${#files[@]}" 1 "files"
expect_equal "$(stat -c %a "${files[0]}")" 600 "mode"
for at in 0 4000 20000; do
	printf minivmm | dd of="${files[0]}" bs=1 seek=$at conv=notrunc status=none
	bad=$(sha256sum <"${files[0]}")
	expect_equal "$(described)" "$before" "the host, with a damaged file"
	[ "$(sha256sum <"${files[0]}")" != "$bad" ] || problem "the damaged file is still there"
done
truncate -s 100 "${files[0]}"
expect_equal "$(described)" "$before" "the host, with a short file"
check "kept host: a damaged file is not believed, and is replaced"

# ---- test devices ----

run "$guests/polite.elf" --testdev --snapshot-on-sync "$tmp/t.snap"
expect_status 1
expect_err "a VM with --testdev can't be saved or moved"
[ ! -e "$tmp/t.snap" ] || problem "a snapshot was written"
check "testdev: such a VM is not saved"
