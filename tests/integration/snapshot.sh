#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# snapshot.sh BUILD: what a snapshot carries, who may have it, and what happens when it can't be written.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"


# edit_host IN OUT CODE: a what-if host. CODE may call cleared(LEAF, REGISTER, BIT), which clears the
# bit in both views, and change $h, the document.
edit_host() {
	perl -MJSON::PP -e '
		our $h = decode_json(do { local (@ARGV, $/) = $ARGV[0]; <> });
		sub cleared {
			my ($leaf, $reg, $bit) = @_;
			for my $view (@$h{"raw", "kvm"}) {
				my $r = $view->{$leaf} or next;
				$r->[$reg] = sprintf "0x%08x", hex($r->[$reg]) & ~(1 << $bit);
			}
		}
		eval $ARGV[2];
		die $@ if $@;
		open my $f, ">", $ARGV[1] or die;
		print $f JSON::PP->new->canonical->encode($h);
	' "$1" "$2" "$3" || problem "the host file $2 could not be made"
}

# ---- verdicts on host files ----

hosts=$top/tests/data/hosts
cold() { # HOST... : a VM under the default mask, started on the first
	local on=$1
	shift
	ran "$minivmm" check --on "$on" "$@"
}

if [ ! -d "$hosts" ]; then
	skip "check: host files" "tests/data/hosts is not there"
else
	for h in "$hosts"/*.json; do
		cold "$h" "$h"
		expect_status 0
		expect_out "$h: accepted (rule guide)"
	done
	check "check: every host accepts its own VM"

	cold "$hosts/penryn.json" "$hosts/kentsfield.json"
	expect_status 3
	expect_out "$hosts/kentsfield.json: refused"
	expect_out "CPUID level 0x1 register 'ecx'"
	expect_out "* SSE4.1 (ECX:19)"
	check "check: the guide's pair differs in SSE4.1"

	cold "$hosts/penryn.json" "$hosts/kentsfield.json" --mask "$top/configs/overrides/hide-sse41.mask"
	expect_no_out "SSE4.1"
	check "check: and no longer with the guide's mask"
fi

without_kvm_possible || unshare_missing="no namespace of its own can be had here"

need_kvm "check: this host" "restore" "failed saves" || exit 0

probe_elf=$guests/probe.elf
hello=$guests/hello.elf
nonce=n$RANDOM$RANDOM
"$minivmm" host -o "$tmp/here.json"

# ---- a snapshot at a sync point, and the guest that goes on ----

ran "$minivmm" run "$probe_elf" --append "nonce=$nonce sync=1" --snapshot-on-sync "$tmp/probe.snap" --stop
expect_status 0
expect_out "probe: nonce $nonce counter 1"
expect_no_out "pass 2"
expect_equal "$(stat -c %a "$tmp/probe.snap")" 600 "mode of the file"
expect_equal "$(find "$tmp" -maxdepth 1 -name '*.tmp')" "" "temporary files"
grep '^cpuid' "$tmp/.out" >"$tmp/before"
check "restore: a snapshot at a sync point"

for time in once "once more"; do
	ran "$minivmm" restore "$tmp/probe.snap"
	expect_status 0
	expect_out "probe: pass 2"
	expect_out "probe: nonce $nonce counter 2"
	expect_out "probe: pass 2 cpuid identical"
	grep '^cpuid' "$tmp/.out" >"$tmp/after"
	cmp -s "$tmp/before" "$tmp/after" || problem "pass 2 printed another CPUID"
	check "restore: the guest goes on with its memory and its CPUID, $time"
done

ran "$minivmm" restore "$tmp/probe.snap" --json
expect_status 0
expect_json_is end exit
expect_json_is value 0
check "restore: as JSON"

# ---- generations ----

# It counts for ever: how far it gets before somebody saves it is not for a test to know.
start gen0 "$minivmm" run "$hello" --append "mode=counter ticks=100000000 sync=450 delay=300000 nonce=$nonce" \
	--snapshot-on-sync "$tmp/gen1.snap" --stop --name gen
ended gen0
expect_status 0
expect_equal "$(counted "$tmp/gen0.out")" "1 450"
for generation in 1 2 3; do
	start "gen$generation" "$minivmm" restore "$tmp/gen$generation.snap" --name gen
	wait_for grep -q counter: "$tmp/gen$generation.out"
	if [ $generation = 3 ]; then
		"$minivmm" stop gen 2>/dev/null
	else
		"$minivmm" snapshot gen "$tmp/gen$((generation + 1)).snap" --stop 2>/dev/null
	fi || problem "no end of generation $generation"
	ended "gen$generation"
	expect_status 0
done
# Where it was stopped the last line may be cut off.
lines=$(cat "$tmp"/gen[0123].out | sed '$d' | wc -l)
expect_equal "$(cat "$tmp"/gen[0123].out | sed '$d' | counted)" "1 $lines" "first number and last, of $lines lines"
[ "$lines" -gt 450 ] || problem "it did not count further"
check "restore: from a snapshot of a restored guest, and again"

start gen0 "$minivmm" run "$hello" --append "mode=counter ticks=100000 delay=100000" --name gen
wait_for "$minivmm" status gen
ran "$minivmm" pause gen
ran "$minivmm" snapshot gen "$tmp/paused.snap"
expect_status 0
ran "$minivmm" status gen --json
expect_json_is state paused
"$minivmm" stop gen
ended gen0
check "restore: a paused VM stays paused when it is saved"

# ---- what it carries ----

ran "$minivmm" inspect "$tmp/probe.snap"
expect_status 0
expect_out "image $probe_elf"
expect_out "guest OS generic64; generic64.mask"
expect_out "0x00000001 0x00"
ran "$minivmm" inspect "$tmp/probe.snap" --json
expect_json
expect_json_is memory $((64 << 20))
expect_json_is guest-os generic64
expect_json_is image "$probe_elf"
expect_json_is ignored ""
expect_json_is file-size "$(stat -c %s "$tmp/probe.snap")"
for view in raw kvm; do
	expect_equal "$(json "$out" source/$view/0x00000001/2)" \
		"$(json "$(cat "$tmp/here.json")" $view/0x00000001/2)" "$view leaf 1 ECX"
done
ran "$minivmm" inspect "$tmp/probe.snap" --json
guest_ecx=$(json "$out" guest-table | cat)
[ "${guest_ecx:-0}" -gt 10 ] || problem "a guest table of $guest_ecx entries"
check "restore: inspect shows it without loading"

# ---- which hosts would take it ----

ran "$minivmm" check "$tmp/probe.snap" "$tmp/here.json"
expect_status 0
expect_out "$tmp/here.json: accepted (rule guide)"
check "check: this host takes what was saved on it"

# Two features that KVM names here, taken from leaf 1 ECX of a what-if host.
declare -A ecx_bit=([SSSE3]=9 [CX16]=13 [SSE4.1]=19 [POPCNT]=23 [SSE3]=0)
kvm_ecx=$(json "$(cat "$tmp/here.json")" kvm/0x00000001/2)
raw_ecx=$(json "$(cat "$tmp/here.json")" raw/0x00000001/2)
gone=()
for f in SSE4.1 POPCNT SSSE3 CX16 SSE3; do
	if ((raw_ecx >> ecx_bit[$f] & 1)) && [ ${#gone[@]} -lt 2 ]; then
		gone+=("$f")
	fi
done
edit_host "$tmp/here.json" "$tmp/poor.json" \
	"\$h->{name} = 'poor'; cleared('0x00000001', 2, ${ecx_bit[${gone[0]}]}); cleared('0x00000001', 2, ${ecx_bit[${gone[1]}]})"
ran "$minivmm" check "$tmp/probe.snap" "$tmp/poor.json"
expect_status 3
expect_out "$tmp/poor.json: refused"
expect_out "CPUID level 0x1 register 'ecx'"
for f in "${gone[@]}"; do
	expect_out "* $f (ECX:${ecx_bit[$f]}): only on the source; H generic64.mask:"
done
expect_equal "$(grep -c '^  \* ' <<<"$out")" 2 "bits named"
expect_out "2 mismatches refuse"
expect_out "an override that helps"
text=$out
check "check: a host without two features is refused for exactly these (KVM's leaf 1 ECX: $kvm_ecx)"

ran "$minivmm" check "$tmp/probe.snap" "$tmp/poor.json" --json
expect_status 3
expect_json
expect_json_is 0/verdict refuse
expect_json_is 0/refusals 2
expect_json_is 0/mismatches 2
for i in 0 1; do
	subject=$(json "$out" 0/mismatches/$i/subject)
	bit=$(json "$out" 0/mismatches/$i/bit)
	line=$(json "$out" 0/mismatches/$i/line)
	symbol=$(json "$out" 0/mismatches/$i/symbol)
	grep -qF "  * $subject (ECX:$bit): only on the source; $symbol $line" <<<"$text" ||
		problem "the text does not say what the JSON does of $subject"
done
check "check: the same facts as JSON"

# What the text offers as an override is one.
override=$(grep -A1 'an override that helps' <<<"$text")
{
	sed -n 's/.*: \(Level 0x[0-9a-f]*h.*\)$/\1/p' <<<"$override"
	sed -n 's/^ *\(ECX: .*\)$/\1/p' <<<"$override"
} >"$tmp/help.mask"
ran "$minivmm" run "$probe_elf" --mask "$tmp/help.mask" --append "nodump sync=1" --snapshot-on-sync "$tmp/helped.snap" --stop
expect_status 0
ran "$minivmm" check "$tmp/helped.snap" "$tmp/poor.json"
expect_status 0
check "check: the override that is offered helps"

ran "$minivmm" check "$tmp/probe.snap" "$tmp/here.json" "$tmp/poor.json"
expect_status 3
expect_out "here.json: accepted"
expect_out "poor.json: refused"
echo garbage >"$tmp/garbage.json"
ran "$minivmm" check "$tmp/probe.snap" "$tmp/poor.json" "$tmp/garbage.json" "$tmp/here.json"
expect_status 4
expect_out "poor.json: refused"
expect_out "here.json: accepted"
expect_err "$tmp/garbage.json:"
ran "$minivmm" check "$tmp/probe.snap" "$tmp/poor.json" "$tmp/garbage.json" "$tmp/here.json" --json
expect_status 4
expect_json
expect_json_is "" 3
expect_json_is 0/verdict refuse
expect_json_is 1/error/exit 4
expect_json_is 2/verdict accept
check "check: several hosts, unusable ones among them"

ran "$minivmm" check "$tmp/probe.snap" "$tmp/poor.json" --unsafe-ignore-cpu="${gone[0]},${gone[1]}"
expect_status 0
expect_out "[ignored]"
ran "$minivmm" check "$tmp/probe.snap" "$tmp/poor.json" --unsafe-ignore-cpu="${gone[0]}"
expect_status 3
check "check: what is ignored does not refuse"

ran "$minivmm" check "$tmp/probe.snap" "$tmp/poor.json" --cold
expect_status 0
check "check: a VM that is off needs no equal host"

# shellcheck disable=SC2016
edit_host "$tmp/here.json" "$tmp/dump.json" '$h->{assumed} = JSON::PP::true'
ran "$minivmm" check "$tmp/probe.snap" "$tmp/dump.json"
expect_status 0
expect_out "assumed"
ran "$minivmm" check "$tmp/probe.snap" "$tmp/dump.json" --strict
expect_status 3
check "check: a host known by a dump"

if [ -n "${unshare_missing:-}" ]; then
	skip "check: without /dev/kvm" "$unshare_missing"
else
	ran without_kvm "$minivmm" check "$tmp/probe.snap" "$tmp/here.json" "$tmp/poor.json"
	expect_status 3
	expect_out "here.json: accepted"
	ran without_kvm "$minivmm" inspect "$tmp/probe.snap"
	expect_status 0
	ran without_kvm "$minivmm" restore "$tmp/probe.snap"
	expect_status 5
	expect_err "/dev/kvm: "
	ran without_kvm "$minivmm" host
	expect_status 0
	expect_err "warning: /dev/kvm: "
	check "check: without /dev/kvm"
fi

# ---- refused here ----

# More physical address bits than there are: a guest may be told so, but no host can take it over.
echo 'field phys-bits = 57' >"$tmp/wide.mask"
ran "$minivmm" run "$probe_elf" --mask "$tmp/wide.mask" --append "nodump sync=1 nonce=$nonce" \
	--snapshot-on-sync "$tmp/wide.snap" --stop
expect_status 0
cp "$tmp/wide.snap" "$tmp/wide.copy"
ran "$minivmm" restore "$tmp/wide.snap"
expect_status 3
expect_err "this host: refused"
expect_err "CPUID level 0x80000008 register 'eax'"
expect_err "rule phys-bits): physical address bits 57, the destination has"
expect_err "1 mismatch refuses"
expect_err "nothing was created"
expect_equal "$out" "" "standard output"
cmp -s "$tmp/wide.snap" "$tmp/wide.copy" || problem "the snapshot was changed"
check "restore: refused, and nothing created"

ran "$minivmm" restore "$tmp/wide.snap" --json
expect_status 3
expect_json
expect_json_is verdict refuse
expect_json_is mismatches/0/rule phys-bits
check "restore: a refusal as JSON"

if command -v strace >/dev/null && strace -f -o "$tmp/trace" true 2>/dev/null; then
	"$minivmm" run "$hello" >/dev/null 2>&1
	ran env ASAN_OPTIONS=detect_leaks=0 strace -f -e trace=ioctl -o "$tmp/trace" "$minivmm" restore "$tmp/wide.snap"
	expect_status 3
	expect_equal "$(grep -cE 'KVM_SET_USER_MEMORY_REGION|KVM_RUN' "$tmp/trace")" 0 "memory given to VMs"
	check "restore: a refusal comes before any VM exists"
else
	skip "restore: a refusal comes before any VM exists" "no strace here, or it can't trace"
fi

ran "$minivmm" check "$tmp/wide.snap" "$tmp/here.json"
expect_status 3
expect_out "rule phys-bits): physical address bits 57, the destination has"
check "restore: check says the same"

# ---- forced ----

ran "$minivmm" restore "$tmp/wide.snap" --unsafe-ignore-cpu=phys-bits
expect_status 0
expect_out "probe: nonce $nonce counter 2"
expect_err "[ignored]"
ran "$minivmm" run "$hello" --mask "$tmp/wide.mask" --append "mode=counter ticks=100000000 sync=10 delay=300000" \
	--snapshot-on-sync "$tmp/forced.snap" --stop
expect_status 0
start forced "$minivmm" restore "$tmp/forced.snap" --unsafe-ignore-cpu=phys-bits --name forced
wait_for "$minivmm" snapshot forced "$tmp/forced2.snap" --stop
ended forced
ran "$minivmm" inspect "$tmp/forced2.snap" --json
expect_json_is ignored phys-bits
ran "$minivmm" inspect "$tmp/forced2.snap"
expect_out "ignored    phys-bits"
ran "$minivmm" restore "$tmp/forced2.snap"
expect_status 3
ran "$minivmm" restore "$tmp/forced2.snap" --unsafe-ignore-cpu=nonsense
expect_status 2
expect_err "'nonsense' is neither a CPUID feature nor a rule"
check "restore: what was ignored is recorded, and counts once"

# Every feature at once: 9 KB of names.
all=$(sed -n 's/^MV_FEATURE([^"]*"\([^"]*\)".*/\1/p' "$top/cpuid/features.def" | paste -sd,)
start forced "$minivmm" restore "$tmp/forced2.snap" --unsafe-ignore-cpu="$all,phys-bits" --name forced
wait_for "$minivmm" snapshot forced "$tmp/forced3.snap" --stop
ended forced
ran "$minivmm" inspect "$tmp/forced3.snap" --json
expect_json_is ignored "phys-bits,$all"
if /usr/bin/python3 -c 'import xxhash, zstandard' 2>/dev/null; then
	"$minivmm" inspect "$tmp/forced3.snap" --json >"$tmp/inspected"
	/usr/bin/python3 "$top/tests/reader/snapshot.py" "$tmp/forced3.snap" >"$tmp/read" || problem "the second reader refuses it"
	ran /usr/bin/python3 "$top/tests/reader/compare.py" "$tmp/inspected" "$tmp/read"
	expect_status 0
fi
check "restore: a list of any length is recorded"

# ---- intercepted otherwise ----

proved_here=$("$minivmm" host --json 2>/dev/null)
for mode in kernel patch step; do
	ran "$minivmm" restore "$tmp/probe.snap" --intercept $mode
	if [ "$(json "$proved_here" "proof/$mode")" = 2 ]; then
		expect_status 0
		expect_out "pass 2 cpuid identical"
	else
		expect_status 5
		expect_err "--intercept $mode: "
	fi
done
check "restore: by another interception, where it is proved"

ran "$minivmm" run "$probe_elf" --intercept none --append "nodump sync=1" --snapshot-on-sync "$tmp/none.snap" --stop
expect_status 0
ran "$minivmm" inspect "$tmp/none.snap" --json
expect_json_is intercept none
ran "$minivmm" check "$tmp/none.snap" "$tmp/here.json"
expect_status 0
ran "$minivmm" check "$tmp/none.snap" "$tmp/poor.json"
expect_status 3
check "restore: a guest whose CPUID nobody kept saw its host's own"

# ---- saves that fail ----

start live "$minivmm" run "$hello" --name live --append "mode=counter ticks=1000000 delay=100000"
wait_for "$minivmm" status live
echo old >"$tmp/old.snap"
mkdir "$tmp/folder"
# A device of our own: a program that replaced it must not harm the machine.
targets=("$tmp/folder" "$tmp/nowhere/x.snap" "$tmp/old.snap/x.snap")
mknod "$tmp/device" c 1 3 2>/dev/null && targets+=("$tmp/device")
for target in "${targets[@]}"; do
	ran "$minivmm" snapshot live "$target"
	expect_status 1
	expect_err "$target: "
	ran "$minivmm" snapshot live "$target" --stop
	expect_status 1
done
expect_equal "$(cat "$tmp/old.snap")" old "the old file"
[ ${#targets[@]} = 3 ] || [ -c "$tmp/device" ] || problem "a device was replaced"
expect_grows "$tmp/live.out"
ran "$minivmm" status live --json
expect_json_is state running
check "failed saves: the guest goes on"

ran "$minivmm" snapshot live "$tmp/old.snap"
expect_status 0
ran "$minivmm" inspect "$tmp/old.snap"
expect_status 0
"$minivmm" stop live
ended live
check "failed saves: a good one replaces the old file"

if [ -n "${unshare_missing:-}" ]; then
	skip "failed saves: a full disk" "$unshare_missing"
else
	mkdir "$tmp/small"
	start full unshare -m sh -c "mount -t tmpfs -o size=240k none '$tmp/small' &&
		exec '$minivmm' run '$hello' --name full --append 'mode=counter ticks=1000000 delay=100000'"
	wait_for "$minivmm" status full
	ran "$minivmm" snapshot full "$tmp/small/x.snap"
	expect_status 0
	first=$(md5sum <"/proc/$pid/root$tmp/small/x.snap")
	ran "$minivmm" snapshot full "$tmp/small/x.snap"
	expect_status 1
	expect_err "No space left on device"
	expect_equal "$(md5sum <"/proc/$pid/root$tmp/small/x.snap")" "$first" "the old file"
	# shellcheck disable=SC2012
	expect_equal "$(ls -A "/proc/$pid/root$tmp/small")" x.snap "files there"
	ran "$minivmm" stop full
	expect_status 0
	ended full
	check "failed saves: a full disk"
fi

limited() { # with files of at most 64 KiB
	ran bash -c 'ulimit -f 64; exec "$@"' - "$minivmm" run "$hello" --snapshot-on-sync "$tmp/large.snap" "$@"
}
limited --append "mode=counter delay=1 nonce=$nonce" --stop
expect_status 1
expect_out "counter: 10 $nonce"
expect_err "$tmp/large.snap: writing: File too large"
limited --append "mode=counter delay=1" --json
expect_status 1
expect_json_is end exit
expect_json_is not-saved/file "$tmp/large.snap"
expect_no_file "$tmp/large.snap"
check "failed saves: at a sync point"
