#!/bin/bash
# SPDX-License-Identifier: MIT
# The probe guest without minivmm: QEMU's -kernel boots the same image, any BIOS the CD. What
# misbehaves, hangs or is too old for it ends in a line that says so.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

if ! command -v qemu-system-x86_64 >/dev/null; then
	skip "the probe guest under QEMU" "qemu-system-x86_64 is not installed"
	exit 0
fi
qemu=(timeout 600 qemu-system-x86_64 -accel tcg -m 64 -nodefaults -display none -no-reboot)
bare() { # CPU IMAGE WORDS [OPTION...]
	ran "${qemu[@]}" -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4 -cpu "$1" \
		-kernel "$guests/$2.elf" -append "$3" "${@:4}"
}

bare Penryn probe "nodump nonce=c0ffee"
expect_status 1	# (0 << 1) | 1
expect_out "vmm=absent"
expect_out "probe: nonce c0ffee counter 1"
expect_out "probe: any MSR can be read here: rows that need a #GP are skipped"
expect_no_out "is not known here"
expect_no_out "CPUID ends at leaf"
check "the probe guest under QEMU"

rows=$(grep -a '^probe: .* cpl[03] ' <<<"$out")
summary=$(grep -a '^probe: summary' <<<"$out")
bare Penryn probe "nodump brief nonce=c0ffee"
expect_equal "$(grep -a '^probe: summary' <<<"$out")" "$summary" "summary"
expect_equal "$(grep -a '^probe: .* cpl[03] ' <<<"$out")" \
	"$(grep -vE ' (OK|ABSENT|SKIP|UNDECIDABLE)( unproven)?.?$' <<<"$rows")" "rows"
check "brief leaves out the rows that tell nothing"

# Out of long mode and back; a wait that must not be one. Whatever comes next has to find all in order.
bare max probe "nodump"
expect_status 1
expect_out "CR4.LA57      cpuid=1 host=- ran      OK"
expect_out "MWAIT         cpuid=1 host=- ran      OK"
expect_out "RDPMC         cpuid=0 host=- #UD      UNDECIDABLE"
expect_out "probe: summary ok="
check "CR4.LA57 is tried outside long mode, MWAIT does not wait"

# ---- more than one CPU ----

cpus_looked_at() {
	grep -aE '^cpu-check: cpu [0-9]+ apic [0-9]+, [1-9][0-9]* leaves, [1-9][0-9]* instructions, 0 differ' <<<"$out" |
		cut -d, -f1 | tr -d '\n'
}
bare EPYC probe "nodump brief" -smp 4,sockets=2,cores=2
expect_status 1
expect_no_out "cpu-diff"
expect_equal "$(cpus_looked_at)" "$(printf 'cpu-check: cpu %d apic %d' 0 0 1 1 2 2 3 3)" "CPUs"
bare EPYC probe "nodump brief cpus=2" -smp 4
expect_equal "$(cpus_looked_at)" "$(printf 'cpu-check: cpu %d apic %d' 0 0 1 1)" "CPUs, with cpus=2"
bare EPYC probe "nodump brief"
expect_no_out "cpu-check"
check "four CPUs in two sockets: each is started, and sees and executes what the first one does"

# The second one is another CPU: without SSE4.1 and protection keys.
bare max probe "nodump brief" -smp 1,sockets=2,maxcpus=2 \
	-device max-x86_64-cpu,socket-id=1,core-id=0,thread-id=0,sse4.1=off,pku=off
expect_status 3	# (1 << 1) | 1
for level in cpl0 cpl3; do
	grep -qaE "^cpu-diff: cpu 1: $level 0x00000001 0x00 ecx expected 0x........ got 0x........ differ 0x00080000 \(SSE4.1\)" \
		<<<"$out" || problem "SSE4.1 is not missed at $level"
	grep -qaE "^cpu-diff: cpu 1: $level 0x00000007 0x00 ecx expected .* differ 0x00000018 \(PKU, OSPKE\)" \
		<<<"$out" || problem "PKU is not missed at $level"
done
expect_out "cpu-diff: cpu 1: CR4 is 0x"
expect_out "cpu-diff: cpu 1: PKU RDPKRU at cpl3 #UD, on cpu 0 ran"
expect_out "cpu-check: cpu 0 apic 0, "
grep -qaE "^cpu-check: cpu 1 apic 1, .*, $(grep -ac '^cpu-diff: cpu 1:' <<<"$out") differ" <<<"$out" ||
	problem "the differences were not counted"
check "a CPU with fewer features than the first one is told by its number, with every bit"

# ---- what it was not made for ----

bare Penryn,vendor=ShanghaiZhao,level=4 probe "nodump"
expect_status 1
expect_out "probe: vendor ShanghaiZhao is not known here"
expect_out "probe: CPUID ends at leaf 4: features of leaf 7 and above count as hidden"
expect_out "probe: summary ok="
check "a vendor nobody knows, and no leaf 7: said, and it goes on"

for cpu in 486 pentium3; do
	bare $cpu probe ""
	expect_status 17	# (8 << 1) | 1
	expect_out "guest: this CPU has no 64-bit mode, and the probes need one"
	check "a CPU without 64-bit mode says so: $cpu"
done

# ---- rows that misbehave: guest-tests/probes-bad.def ----

bare max probe-bad "nodump"
expect_status 13	# (6 << 1) | 1
expect_out "probe: FPU HANG at cpl3 did not come back and was ended"
expect_out "probe: FPU HANG at cpl0 did not come back and was ended"
check "a probe that hangs is ended and named"
expect_out "NO-STACK      cpuid=1 host=- #DF      BROKEN"
expect_out "CMOVNE        cpuid=1 host=- ran      OK"
check "a fault inside a fault is caught, and the next probe runs"
expect_out "ABORTS        cpuid=1 host=- aborted  ABORT"
check "a transaction that never commits is neither there nor absent"
expect_out "guest: vector 14 (#PF) at 0x50000000 cpl 3"
expect_out "guest: that came of the probe MMX WILD at cpl3"
check "what ends the guest is told by the probe's name"

# ---- the CD ----

if [ ! -e "$build/images/probe.iso" ]; then
	skip "the CD" "no images: make images"
	exit 0
fi

# on_screen NAME TEXT: the screen's characters, as lines in $tmp/NAME.txt, once there is TEXT among them.
on_screen() {
	echo "pmemsave 0xb8000 4000 \"$tmp/$1\"" >&3
	od -An -v -tu1 -w160 "$tmp/$1" |
		awk '{ s = ""; for (i = 1; i <= NF; i += 2) s = s sprintf("%c", $i); print s }' >"$tmp/$1.txt"
	grep -q "$2" "$tmp/$1.txt"
}

mkfifo "$tmp/monitor"
"${qemu[@]}" -vga std -cpu Penryn,family=6,model=23,stepping=4 -cdrom "$build/images/probe.iso" \
	-serial "file:$tmp/serial" -monitor stdio <"$tmp/monitor" >/dev/null 2>"$tmp/.err" &
exec 3>"$tmp/monitor"
WAIT=300 wait_for grep -q "^probe: summary" "$tmp/serial"
# The screen is ready when its last line is.
wait_for on_screen page1 "PgUp PgDn"
echo "sendkey end" >&3
wait_for on_screen page2 "^summary ok="
[ -z "${SCREENSHOT:-}" ] || { echo "sendkey home"; sleep 0.3; echo "screendump \"$SCREENSHOT\""; sleep 0.3; } >&3
echo quit >&3
exec 3>&-
wait
out=$(tr -d '\r' <"$tmp/serial")
expect_equal "$(sed -n '/^Family/,/^0x/p' <<<"$out")" "Family: 06 Model: 17 Stepping: 4

ID1ECX     ID1EDX     ID81ECX    ID81EDX
$(sed -n '/^0x/{p;q}' <<<"$out")" "the utility screen"
grep -qE '^0x[0-9a-f]{8} 0x[0-9a-f]{8} 0x[0-9a-f]{8} 0x[0-9a-f]{8}$' <<<"$out" || problem "no four registers"
expect_out "cpuid: 0x80000008 0x00 eax="
expect_out "probe: SSE4.1              0x00000001.0 ecx:19 cpl3 PTEST         cpuid=1 host=- ran      OK"
expect_out "probe: summary ok="
check "the CD boots, and says the same on the serial line"
cmp -s "$build/images/probe.img" "$guests/probe.elf" || problem "probe.img is not the guest that was tested"
grep -q "^Family: 06 Model: 17 Stepping: 4" "$tmp/page1.txt" || problem "the first page does not begin with the CPU"
grep -q "^ID1ECX     ID1EDX     ID81ECX    ID81EDX" "$tmp/page1.txt" || problem "the first page lacks the registers"
grep -q "^summary ok=" "$tmp/page2.txt" || problem "the last page lacks the summary"
check "its screen begins with the CPU, and turns to the end"
