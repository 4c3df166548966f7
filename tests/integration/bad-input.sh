#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# bad-input.sh BUILD: malformed masks, images, snapshots and host files, and wrong usage: each is told
# with file, place and reason, and nothing is created or overwritten.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

hello=$guests/hello.elf
mkdir "$tmp/in" "$tmp/cwd"
cd "$tmp/cwd" || exit 1
in=$tmp/in
echo precious >precious

# refused STATUS TEXT COMMAND...: no crash, no hang, nothing on standard output, no trace in the
# file system; standard error has TEXT.
refused() {
	local want=$1 text=$2
	shift 2
	ran timeout 60 "$@"
	expect_status "$want"
	expect_err "$text"
	expect_equal "$out" "" "standard output"
	expect_no_err "Sanitizer"
	expect_equal "$(ls -A)" precious "files in the working folder"
	expect_equal "$(cat precious)" precious "the file that was to be written"
	expect_equal "$(find "$XDG_RUNTIME_DIR" -name '*.sock')" "" "sockets"
}
bad() {
	refused 4 "$@"
}
usage() {
	refused 2 "$@"
	expect_err "hint: "
}

# ---- masks ----

# mask NAME PLACE:REASON TEXT: as an override, to run and to mask.
mask() {
	printf '%b' "$3" >"$in/bad.mask"
	bad "$in/bad.mask:$2" "$minivmm" run "$hello" --mask "$in/bad.mask" --snapshot-on-sync precious
	bad "$in/bad.mask:$2" "$minivmm" mask final --mask "$in/bad.mask"
	check "mask: $1"
}
dashes='---- ---- ---- ---- ---- ---- ---- ----'

mask "a wrong symbol" "2:36: 'Y' is not a mask symbol" "Level 0x1h\nECX: ---- ---- ---- ---- ---- ---- Y--- ----\n"
expect_err "hint: the symbols are - x T F 1 0 H R"
check "mask: the hint"
mask "31 symbols" "2:44: 31 symbols, 32 needed (bit 31 first)" "Level 0x1h\nECX: ${dashes%-}\n"
mask "33 symbols" "2:45: more than 32 symbols" "Level 0x1h\nECX: $dashes-\n"
mask "an unknown register" "2:1: 'EFX' is not a register (EAX, EBX, ECX, EDX)" "Level 0x1h\nEFX: $dashes\n"
mask "a register twice" "3:1: ECX of level 0x1 is given twice: already in line 2" \
	"Level 0x1h\nECX: $dashes\nECX: $dashes\n"
mask "a register twice, in two forms" "3:7: EDX of level 0x1 is given twice: already in line 2" \
	"Level 0x1h\nEDX: $dashes\ncpuid.1.edx = \"$dashes\"\n"
mask "a register without a level" "1:1: no Level line before this register" "ECX: $dashes\n"
mask "a level that is no number" "1:7: 'one' is not a level" "Level one\n"
mask "an unknown feature" "1:9: no CPUID feature is called 'sse9'" "feature sse9 = 0\n"
mask "a feature twice" "2:9: feature SSE4.1 is given twice: already in line 1" \
	"feature sse4.1 = 0\nfeature sse41 = 0\n"
mask "an unknown field" "1:7: no CPUID field is called 'toes'" "field toes = 10\n"
mask "a number too large" "1:19: phys-bits has 8 bits: 0x100 does not fit" "field phys-bits = 256\n"
mask "a quote that is not closed" "1:15: the quote is not closed" "cpuid.1.ecx = \"----\n"
mask "a line that is nothing" "1:1: 'hello' begins no line of a mask file" "hello world\n"
mask "a binary file" "1:1: a NUL byte: this is not a text file" "\\0\\0\\0\\0"
echo 'include "missing.mask"' >"$in/bad.mask"
bad "$in/missing.mask: No such file or directory" "$minivmm" mask final --mask "$in/bad.mask"
expect_err "hint: $in/bad.mask includes it"
check "mask: an include of a missing file"
echo 'include "bad.mask"' >"$in/bad.mask"
bad "$in/bad.mask: includes nested deeper than 8" "$minivmm" mask final --mask "$in/bad.mask"
check "mask: one that includes itself"
echo 'guest-os = beos' >"$in/bad.mask"
bad "$in/bad.mask:1:12: no default mask for guest OS 'beos'" "$minivmm" mask final --mask "$in/bad.mask"
check "mask: an unknown guest OS"
printf 'Level 0x1h\nECX: %s\n' "$dashes" >"$in/default.mask"
bad "$in/default.mask:2:6: '-' in a default mask" "$minivmm" run "$hello" --default-mask "$in/default.mask"
check "mask: an override symbol in a default mask"
head -c 2000000 /dev/zero | tr '\0' '#' >"$in/large.mask"
bad "$in/large.mask: larger than" "$minivmm" mask final --mask "$in/large.mask"
check "mask: larger than any mask"

# ---- what is no file, wherever one is read ----

mkdir "$in/folder"
mkfifo "$in/fifo"
ln -s loop "$in/loop"
places=(
	"mask:$minivmm mask final --mask"
	"default mask:$minivmm mask final --default-mask"
	"image:$minivmm run"
	"host file:$minivmm host --from"
	"host of a check:$minivmm check --on $in/missing"
)
for row in "${places[@]}"; do
	IFS=' ' read -ra command <<<"${row#*:}"
	bad "$in/missing" "${command[@]}" "$in/missing"
	case $row in *" --on "*) continue ;; esac
	bad "$in/missing: No such file or directory" "${command[@]}" "$in/missing"
	bad "$in/folder: " "${command[@]}" "$in/folder"
	bad "$in/fifo: " "${command[@]}" "$in/fifo"
	bad "$in/loop: Too many levels of symbolic links" "${command[@]}" "$in/loop"
	bad "/dev/zero: " "${command[@]}" /dev/zero
	bad "$hello/x: Not a directory" "${command[@]}" "$hello/x"
	check "no file: ${row%%:*}"
done
for command in inspect restore; do
	bad "$in/missing: no such file" "$minivmm" $command "$in/missing"
	bad "$in/folder: not a snapshot: it is not a regular file" "$minivmm" $command "$in/folder"
	bad "$in/fifo: not a snapshot: it is not a regular file" "$minivmm" $command "$in/fifo"
	bad "/dev/zero: not a snapshot: it is not a regular file" "$minivmm" $command /dev/zero
	check "no file: $command"
done

# A pipe that somebody writes to is as good as a file.
ran "$minivmm" mask final --mask <(
	sleep 0.1
	echo 'feature sse4.1 = F'
)
expect_status 0
grep -q '^ECX: .... .... .... F' <<<"$out" || problem "the mask from the pipe does not show"
check "no file: but a pipe that is written to will do"

if [ "$(id -u)" != 0 ]; then
	reader=()
else
	reader=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
echo '# nothing' >"$in/secret"
chmod 000 "$in/secret"
chmod 711 "$tmp"
if ! "${reader[@]}" "$minivmm" --version >/dev/null 2>&1; then
	skip "no file: without permission" "nobody can't run $minivmm"
else
	bad "$in/secret: Permission denied" "${reader[@]}" "$minivmm" mask final --mask "$in/secret"
	bad "$in/secret: Permission denied" "${reader[@]}" "$minivmm" run "$in/secret"
	bad "$in/secret: Permission denied" "${reader[@]}" "$minivmm" host --from "$in/secret"
	check "no file: without permission"
fi
chmod 700 "$tmp"

# ---- images ----

image() { # NAME REASON FILE [OPTION...]
	local name=$1 reason=$2 file=$3
	shift 3
	bad "$file: $reason" "$minivmm" run "$file" --snapshot-on-sync precious "$@"
	check "image: $name"
}

: >"$in/empty.elf"
image "empty" "the file is empty" "$in/empty.elf"
echo "hello, world" >"$in/text.elf"
image "text" "not a guest image: neither ELF" "$in/text.elf"
for elf in "$hello" "$guests/hello.elf64"; do
	size=$(stat -c %s "$elf")
	for cut in 4 20 51 63 80 200 4096 $((size / 2)) $((size - 4096)) $((size - 40)) $((size - 1)); do
		head -c "$cut" "$elf" >"$in/cut.elf"
		bad "$in/cut.elf: truncated: " "$minivmm" run "$in/cut.elf"
	done
	check "image: truncated, ${elf##*.}"
done

# edit FILE OFFSET HEX: bytes of a copy.
edit() {
	cp "$1" "$in/edited"
	perl -e '
		open my $f, "+<", $ARGV[0] or die;
		seek $f, $ARGV[1], 0;
		print $f pack "H*", $ARGV[2];
	' "$in/edited" "$2" "$3"
}
# The program headers that load: their offsets in an ELF32 file.
read -ra loads <<<"$(perl -e '
	local $/;
	my $b = <STDIN>;
	my ($phoff, $n) = (unpack("V", substr $b, 28), unpack "v", substr $b, 44);
	print join " ", grep { unpack("V", substr $b, $_) == 1 } map { $phoff + 32 * $_ } 0 .. $n - 1;
	' <"$hello")"
load=${loads[0]}
edit "$hello" $((load + 12)) 00000004	# p_paddr
image "loads behind its memory" "it loads at 0x4000000 to 0x40" "$in/edited" --memory 64M
expect_err "hint: give the guest more with --memory"
check "image: the hint"
edit "$hello" $((load + 12)) 00100000
image "loads where the VMM keeps the command line" "it loads at 0x1000 to 0x" "$in/edited"
edit "$hello" $((load + 20)) ffffff7f	# p_memsz
image "whose segments overlap" "two segments overlap at 0x1" "$in/edited"
edit "$hello" $((loads[-1] + 20)) ffffff7f
image "needs more than its memory" "it loads at 0x" "$in/edited"
edit "$hello" $((load + 4)) f0ffff7f	# p_offset
image "has its bytes outside the file" "truncated: a segment needs bytes 0x7ffffff0 to 0x" "$in/edited"
edit "$hello" $((load + 20)) 01000000
image "has more in the file than in memory" "a segment has more bytes in the file than in memory" "$in/edited"
edit "$hello" 18 2800	# e_machine
image "of another machine" "an ELF file, but not for x86" "$in/edited"
bad "an ELF file without a PVH note or a multiboot header" "$minivmm" run "$minivmm"
check "image: a program for Linux"

# ---- host files ----

cat >"$in/host.json" <<'END'
{"minivmm-host": 1, "name": "x", "kernel": "", "source": "test", "microcode": "0x1", "assumed": false,
 "raw": {"0x00000000": ["0x1", "0x756e6547", "0x6c65746e", "0x49656e69"], "0x00000001": [1, 0, 0, 0]},
 "kvm": {"0x00000000": ["0x1", "0x756e6547", "0x6c65746e", "0x49656e69"], "0x00000001": [1, 0, 0, 0]},
 "exec": {"SSE3": true}, "msrs": {"0x10a": "0x0"}, "xcr0": "0x3", "tsc-khz": 1, "tsc-scaling": true,
 "kvm-controls": [], "proved": true, "proof": {"kernel": ["cpl0", "cpl3"], "patch": [], "step": []},
 "cpl0-interpreted": false}
END
printf 'Level 0x1h\nEAX: xxxx xxxx xxxx xxxx xxxx xxxx xxxx xxxx\n' >"$in/any.mask"
ran "$minivmm" host --from "$in/host.json"
expect_status 0
ran "$minivmm" check --on "$in/host.json" --default-mask "$in/any.mask" "$in/host.json"
expect_status 0
check "host file: a good one"

# host NAME REASON CODE: CODE changes $_, the text. What does not even look like one is any reader's
# to refuse, so the reason is not fixed.
# shellcheck disable=SC2016
{
host() {
	perl -0777 -pe "$3" "$in/host.json" >"$in/bad.json"
	bad "$in/bad.json:$2" "$minivmm" host --from "$in/bad.json" -o precious
	bad "$in/bad.json:$2" "$minivmm" check --on "$in/host.json" --default-mask "$in/any.mask" "$in/bad.json"
	check "host file: $1"
}
host "empty" "" '$_ = ""'
host "garbage" "" '$_ = "Lorem ipsum"'
host "cut off" "4: not JSON: unexpected end of data" 's/"msrs".*//s'
host "text behind it" "9: not JSON: " '$_ .= "\n\nmore"'
host "a list" "" '$_ = "[1, 2]"'
host "nested deeply" "" '$_ = "[" x 100000'
host "of another version" " a host file of version 2, this program reads version 1" 's/: 1,/: 2,/'
host "of no version" "" 's/minivmm-host/host/'
host "a member missing" ' member "kernel" is missing' 's/"kernel": "",//'
host "a member of another type" ' member "raw" is not object' 's/"raw": \{.*?\},/"raw": 7,/s'
host "a flag that is a text" ' member "proved" is not boolean' 's/"proved": true/"proved": "true"/'
host "a name too long" ' member "name": too long' 's/"x"/"\"" . "x" x 64 . "\""/e'
host "a number too large" ' member "tsc-khz": not a 32-bit number' 's/"tsc-khz": 1/"tsc-khz": 4294967296/'
host "a negative number" ' member "xcr0": not a number' 's/"xcr0": "0x3"/"xcr0": -3/'
host "a number in words" ' member "xcr0": not a number' 's/"0x3"/"three"/'
host "a sign behind the 0x" ' member "xcr0": not a number' 's/"0x3"/"0x-3"/'
host "a fraction" ' member "xcr0": not a number' 's/"0x3"/3.5/'
host "a register too large" ' member "0x00000001": a register is not a 32-bit number' 's/\[1, 0/[4294967296, 0/'
host "three registers" ' member "0x00000001": not a list of four registers' 's/\[1, 0, 0, 0/[1, 0, 0/'
host "a leaf that is none" ' member "leaf one": not a leaf' 's/0x00000001/leaf one/'
host "a signed leaf" ' member "0x-1": not a leaf' 's/0x00000001/0x-1/'
host "a leaf twice" ' member "0x1": given twice' 's/("0x00000001": \S+ 0, 0, 0\])/$1, "0x1": [1, 0, 0, 0]/'
host "a subleaf of a leaf without" ' member "0x00000001.2": this leaf has no subleaves' 's/0x00000001"/0x00000001.2"/'
host "without leaf 0" ' member "raw": leaf 0 is missing: this describes no CPU' 's/0x00000000/0x00000002/g'
host "too many leaves" ' member "0x000003' 's/("raw": \{)/$1 . join "", map { sprintf "\"0x%08x\": [0, 0, 0, 0],", $_ } 513 .. 800/e'
host "an instruction that ran a bit" ' member "SSE3": not true or false' 's/"SSE3": true/"SSE3": 1/'
host "an instruction twice" ' member "sse3": given twice' 's/"SSE3": true/"SSE3": true, "sse3": false/'
host "an MSR that is none" ' member "mtrr": not an MSR and its value' 's/"0x10a"/"mtrr"/'
host "an MSR twice" ' member "0x010A": given twice' 's/("0x10a": "0x0")/$1, "0x010A": 1/'
host "a proof at another level" ' member "kernel": neither cpl0 nor cpl3' 's/"cpl0", "cpl3"/"cpl1"/'
host "no UTF-8" "1: not JSON: " 's/"x"/"\xff\xfe"/'
}
head -c 5000000 "$hello" /dev/zero >"$in/large.json" 2>/dev/null
bad "$in/large.json: " "$minivmm" host --from "$in/large.json"
check "host file: larger than any host"

# ---- wrong usage ----

usage "unknown option '--wonder'" "$minivmm" run "$hello" --wonder
usage "unknown option '-z'" "$minivmm" list -z
usage "unknown option '--mask'" "$minivmm" restore "$in/x" --mask "$in/y"
expect_err "hint: --mask is an option of minivmm run, probe"
expect_err "; a saved VM goes on with the mask, CPUs and memory it has (minivmm inspect shows them)"
usage "unknown option '--cpus'" "$minivmm" receive "unix:$in/x" --cpus=2
expect_err "hint: --cpus is an option of minivmm run, probe; a VM that moves goes on with the mask, CPUs and memory it has"
usage "unknown option '--tls-dir'" "$minivmm" run "$hello" --tls-dir x
expect_err "hint: --tls-dir is an option of minivmm migrate, receive"
expect_no_err "goes on with"
usage "--memory takes lazy, eager or map, not '1G': how the guest's memory is read" "$minivmm" restore "$in/x" --memory 1G
usage "unknown option '-w'" "$minivmm" run "$hello" -qw -q
usage "unknown option '-w'" "$minivmm" run --append=x -wq "$hello"
usage "'--json' takes no argument" "$minivmm" run "$hello" --json=x
usage "'--s' could be --snapshot-on-sync, --stop" "$minivmm" run "$hello" --s x
usage "'--mask' needs an argument" "$minivmm" run "$hello" --mask
check "usage: options"
usage "there is no command 'walk'" "$minivmm" walk
ran "$minivmm" walk --json
expect_status 2
grep -q '"message": "there is no command .walk.' <<<"$out" || problem "no JSON: $out"
ran "$minivmm" help pause
expect_status 0
expect_out "usage: minivmm pause NAME"
ran "$minivmm"
expect_status 2
expect_err "usage: minivmm COMMAND"
usage "say what: final" "$minivmm" mask
usage "'middle' is " "$minivmm" mask middle
check "usage: commands"
usage "no image given" "$minivmm" run
usage "more than one image given" "$minivmm" run a b
usage "no snapshot given" "$minivmm" restore
usage "no snapshot given" "$minivmm" inspect
usage "a VM and at least one host are needed" "$minivmm" check "$in/x"
usage "no host file given" "$minivmm" check --on "$in/x"
usage "no VM's name given" "$minivmm" stop
usage "more than one VM's name given" "$minivmm" stop a b
usage "a VM's name and a file to save it to are needed" "$minivmm" snapshot a
usage "'x' is too much" "$minivmm" list x
usage "'x' is too much" "$minivmm" probe x
check "usage: operands"
for size in 0 -1 1M 4M5 64X 2T 1025G 1025K 99999999999999999999 18446744073709551615G M ""; do
	usage "" "$minivmm" run "$hello" --memory "$size"
	grep -qE "'?$size'? " <<<"$err" || problem "the size '$size' is not named"
done
check "usage: memory sizes"
for seconds in 0 -1 x 1x nan inf 1e99 ""; do
	usage "--timeout '$seconds' is not a number of seconds above 0" "$minivmm" run "$hello" --timeout "$seconds"
done
check "usage: timeouts"
for name in "" . .. -x a/b "a b" "$(printf '%064d' 0)" $'new\nline' ä; do
	usage "can't be a name" "$minivmm" run "$hello" --name="$name"
done
check "usage: names"
refused 2 "no default mask for guest OS 'beos'" "$minivmm" run "$hello" --guest-os beos
expect_err "hint: there are: "
refused 2 "no default mask for guest OS '../linux64'" "$minivmm" mask show ../linux64
refused 2 "'magic' is no way to intercept CPUID" "$minivmm" run "$hello" --intercept magic
usage "--exit-code is plain or qemu, not 'vax'" "$minivmm" run "$hello" --exit-code vax
usage "--stop goes with --snapshot-on-sync" "$minivmm" run "$hello" --stop
usage "--rule is guide or subset, not 'golden'" "$minivmm" restore "$in/x" --rule golden
usage "--fail-on takes leak, broken, blocked, enforced, cpus, not 'leak,joy'" "$minivmm" probe --fail-on leak,joy
usage "no CPUID feature is called 'sse9'" "$minivmm" probe --only sse9
usage "a snapshot has its mask; masks go with --on" "$minivmm" check "$in/x" "$in/y" --mask "$in/z"
check "usage: choices"

# ---- one kind of file in another's place, one spelling in another's ----

penryn=$top/tests/data/hosts/penryn.json
snap=$top/tests/data/golden/1.1-guest.snap
for row in "QFI\\373:qcow2" "KDMV:VMDK" "vhdxfile:VHDX"; do
	printf "${row%:*}" >"$in/${row#*:}"
	truncate -s 1M "$in/${row#*:}"
	bad "$in/${row#*:}: a ${row#*:} disk image, not a raw one" "$minivmm" run "$hello" --disk "$in/${row#*:}"
	bad "hint: qemu-img convert -O raw" "$minivmm" run "$hello" --disk "$in/${row#*:},ro"
	bad "hint: it is a ${row#*:} disk image" "$minivmm" run "$in/${row#*:}"
done
while IFS='|' read -r hint command; do
	# shellcheck disable=SC2086
	bad "hint: it is $hint" "$minivmm" $command
done <<EOF
a host file: it goes behind --on|check $penryn $penryn
a host file|restore $penryn
a host file|inspect $penryn
a host file|run $penryn
a host file|run $hello --mask $penryn
a host file|mask suggest $penryn $penryn
a snapshot: restore, check|run $snap
a snapshot|mask final --mask $snap
a snapshot|host --from $snap
a snapshot|check --on $penryn $snap
an ELF file: run takes it|restore $hello
EOF
ran "$minivmm" fleet --hosts "$penryn" --vms "$penryn"
expect_status 4
expect_err "a host file, not a VM: it goes behind --hosts"
bad "hint: a built-in baseline of that name: --baseline intel-penryn" "$minivmm" mask final --mask intel-penryn
bad "hint: a built-in default mask of that name: --guest-os linux64" "$minivmm" mask final --mask linux64
usage "masks go behind --mask" "$minivmm" mask final linux64
for path in "$in" "$in/" /dev/null; do
	usage "$path: not a regular file" "$minivmm" run "$hello" --snapshot-on-sync "$path"
done
refused 1 "/no-such-folder/x: its folder: No such file" "$minivmm" run "$hello" --snapshot-on-sync /no-such-folder/x
check "bad input: one kind of file in another's place"
printf 'feature sse4.11 = 0\n' >"$in/bad.mask"
bad "hint: perhaps SSE4.1" "$minivmm" mask final --mask "$in/bad.mask"
for command in "check --on $penryn --unsafe-ignore-cpu ssse3x $penryn" "probe --only ssse3x" "host --without ssse3x" \
	"explain ssse3x"; do
	# shellcheck disable=SC2086
	refused 2 "hint: perhaps SSSE3" "$minivmm" $command
done
refused 2 "hint: systems differ in which bit has that name: SPEC-CTRL, AMD-IBRS" "$minivmm" explain ibrs
refused 2 "hint: as " "$minivmm" explain vaxinstruction
check "bad input: a feature's name that is nearly one"

# A result that could not be written is no success, nor a refusal.
while read -r command; do
	# shellcheck disable=SC2086
	"$minivmm" $command >/dev/full 2>"$tmp/.err"
	expect_equal "$?:$(tail -1 "$tmp/.err" | cut -c-25)" "1:minivmm: standard output:" "minivmm $command >/dev/full"
done <<EOF
check --on $penryn $penryn
check --on $penryn $top/tests/data/hosts/kentsfield.json --json
mask final
mask show
inspect $snap
explain SSE4.1
baseline $penryn
fleet --hosts $penryn
host --from $penryn
probe --predict --host $penryn
check --help
--version
--help
EOF
check "bad output: a full disk is exit 1"

# Names end up on terminals, wherever they come from: of files, within host files, of features in results.
odd=$in/$(printf 'e\033[31ml\007\nfeature sse4.1 = 1\302\233m')
sed 's/"name": *"penryn"/"name": "e\\u001b[31m"/; s/"kernel": *"/&\\u009b1m\\n/' "$penryn" >"$odd.json"
cp "$odd.json" "$in/plain.json"
cp "$penryn" "$in/odd.cpu"
printf 'feature sse4.1 = 0\n' >"$odd.mask"
printf '{"probes": [{"feature": "a\\u001b[1m", "instruction": "b\\u0007", "verdict": "OK"}]}' >"$odd.probe"
printf '{"probes": []}' >"$in/none.probe"
printf '{"vm": "a\\u001b[1m", "host": "penryn"}\n' >"$odd.vm"
ln -s "$odd.json" "$in/p.json"
garbled() {
	timeout 10 "$minivmm" "$@" >"$tmp/.out" 2>"$tmp/.err"
	LC_ALL=C grep -aqP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' "$tmp/.out" "$tmp/.err" && problem "minivmm ${*@Q}: $(cat -v "$tmp/.out" "$tmp/.err")"
	LC_ALL=C grep -aq "^feature sse4.1 = 1" "$tmp/.out" "$tmp/.err" && problem "minivmm ${*@Q}: a line of its own"
	[[ -s $tmp/.out || -s $tmp/.err ]] || problem "minivmm ${*@Q}: says nothing"
}
garbled host --from "$in/plain.json"
garbled host --diff "$in/plain.json" "$penryn" --vms "$odd.vm"
garbled host --from "$odd.cpu"
garbled check --on "$penryn" "$odd.json"
garbled check --on "$penryn" --mask "$odd.mask" "$odd.json" "$top/tests/data/hosts/epyc.json"
garbled check --on "$odd.json" --mask "$odd.mask" "$top/tests/data/hosts/kentsfield.json" --cold
garbled check --on "$penryn" --strict "$odd.json"
garbled mask suggest --on "$penryn" "$top/tests/data/hosts/epyc.json" "$odd.json"
garbled baseline "$odd.json" "$top/tests/data/hosts/kentsfield.json"
garbled baseline "$odd.json" "$top/tests/data/hosts/epyc.json"
garbled explain SSE4.1 --mask "$odd.mask" --on "$odd.json"
garbled probe --diff "$odd.probe" "$in/none.probe"
garbled fleet --hosts "$odd.json" "$penryn" --vms "$odd.vm" "$odd.mask"
garbled run "$odd"
garbled "$odd"
garbled check "--$odd"
rm -f "$odd".* "$in/plain.json" "$in/p.json" "$in/odd.cpu" "$in/none.probe"
check "output: names that would garble a terminal"

# What is no ordinary file is written to as it is: /dev/null would else become one, for everybody.
mkfifo "$in/pipe"
cp precious "$in/target"
ln -s target "$in/link"
chmod 600 "$in/target"
while read -r command; do
	timeout 10 cat "$in/pipe" >"$tmp/piped" &
	# shellcheck disable=SC2086
	ran timeout 10 "$minivmm" $command "$in/pipe"
	[[ $(stat -c %F "$in/pipe") = fifo ]] || touch "$tmp/piped"
	wait $!
	expect_equal "$status $(stat -c %F "$in/pipe")" "0 fifo" "minivmm $command PIPE"
	# shellcheck disable=SC2086
	ran "$minivmm" $command "$in/link"
	expect_equal "$status $(readlink "$in/link") $(stat -c %a "$in/target")" "0 target 600" "minivmm $command LINK"
	expect_equal "$(wc -c <"$in/target")" "$(wc -c <"$tmp/piped")" "what the link and the pipe got"
	# shellcheck disable=SC2086
	ran "$minivmm" $command "$in"
	expect_status 1
	expect_err "minivmm: $in: Is a directory"
done <<EOF
host --from $penryn -o
baseline $penryn -o
probe --predict --host $penryn -o
fleet --hosts $penryn --html
EOF
expect_equal "$(find "$in" -name "*.tmp.*")" "" "left behind"
rm "$in/pipe" "$in/link" "$in/target"
check "output: pipes stay pipes, links stay links"

# ---- no KVM ----

if ! without_kvm_possible; then
	skip "no KVM" "no namespace of its own can be had here"
else
	for command in "run $hello" "run $hello --intercept none" probe; do
		# shellcheck disable=SC2086
		ran without_kvm "$minivmm" $command
		expect_status 5
		expect_err "minivmm: /dev/kvm: "
		expect_equal "$out" "" "standard output"
	done
	check "no KVM: exit 5"
	printf 'hello' >"$in/bad.mask"
	ran without_kvm "$minivmm" run "$hello" --mask "$in/bad.mask"
	expect_status 4
	check "no KVM: bad input is told first"
fi

# ---- snapshots ----

need_kvm "snapshot: damaged" || exit 0

"$minivmm" run -q "$hello" --append "mode=counter delay=1" --snapshot-on-sync "$in/good.snap" --stop >/dev/null
cp "$hello" "$in/$(printf 'h\302\2331m')"
"$minivmm" run -q "$in"/h*m --append "mode=counter delay=1" --snapshot-on-sync "$in/odd.snap" --stop >/dev/null
garbled inspect "$in/odd.snap"
rm "$in"/h*m "$in/odd.snap"
check "snapshot: an image's name that would garble a terminal"
rm -rf "$XDG_RUNTIME_DIR"/minivmm/*.sock
size=$(stat -c %s "$in/good.snap")
data=$(perl -e 'local $/; print unpack "Q<", substr <STDIN>, 32' <"$in/good.snap")

# damaged TEXT [COMMAND]: the file bad.snap.
damaged() {
	bad "$in/bad.snap: $1" "$minivmm" restore "$in/bad.snap" --snapshot-on-sync precious
}

# Sizes in the header, in the static part, in the state, in the memory.
for cut in 1 7 63 64 100 $((data / 3)) $((data - 4097)) "$data" $((data + 100)) $((size - 1)); do
	head -c "$cut" "$in/good.snap" >"$in/bad.snap"
	damaged ""
	bad "$in/bad.snap: " "$minivmm" inspect "$in/bad.snap"
done
check "snapshot: truncated"

for where in 0 9 17 25 40 60 64 70 90 120 1000 9000 $((data / 2)) $((data - 6000)) $((data - 4200)) \
	"$data" $((data + 5000)) $((size - 1)); do
	cp "$in/good.snap" "$in/bad.snap"
	perl -e '
		open my $f, "+<", $ARGV[0] or die;
		seek $f, $ARGV[1], 0;
		read $f, my $byte, 1;
		seek $f, $ARGV[1], 0;
		print $f chr(ord($byte) ^ 0x10);
	' "$in/bad.snap" "$where"
	damaged ""
	[ "$where" -lt 64 ] || expect_err "byte 0x"
	[ "$where" -gt 1000 ] || bad "$in/bad.snap: " "$minivmm" inspect "$in/bad.snap"
done
check "snapshot: one bit flipped"

cp "$in/good.snap" "$in/bad.snap"
echo more >>"$in/bad.snap"
damaged "5 trailing bytes: the snapshot ends at byte 0x"
check "snapshot: with bytes behind its end"

printf 'Lorem ipsum %0200d\n' 0 >"$in/bad.snap"
damaged "not a snapshot"
cp "$hello" "$in/bad.snap"
damaged "not a snapshot"
: >"$in/bad.snap"
damaged ""
check "snapshot: something else"

# Another version has a good checksum: the header's last field, XXH3-64 of what comes before.
cat >"$tmp/sum.c" <<'END'
#include <stdio.h>
#include <xxhash.h>
int main(void)
{
	unsigned char h[56];
	unsigned long long sum;
	size_t n = fread(h, 1, sizeof(h), stdin);
	sum = XXH3_64bits(h, n);
	for (int i = 0; i < 8; i++)
		printf("%02x", (unsigned)(sum >> 8 * i & 0xff));
	return 0;
}
END
if ! "${CC:-cc}" -o "$tmp/sum" "$tmp/sum.c" -lxxhash 2>/dev/null; then
	skip "snapshot: of another version" "no compiler with xxhash"
else
	for version in 0200 0001 ffff 0000; do
		edit "$in/good.snap" 8 "$version"
		[ $version != 0001 ] || edit "$in/good.snap" 10 0300
		sum=$("$tmp/sum" <"$in/edited")
		cp "$in/edited" "$in/bad.snap"
		edit "$in/bad.snap" 56 "$sum"
		cp "$in/edited" "$in/bad.snap"
		damaged ""
		expect_err "version"
	done
	check "snapshot: of another version"
fi

ran "$minivmm" restore "$in/good.snap"
expect_status 0
expect_out "counter: 10 none"
check "snapshot: the good one is still good"
