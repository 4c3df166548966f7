#!/bin/bash
# SPDX-License-Identifier: MIT
# Masks in other systems' notations on the command line; QEMU itself says what its string means, and
# Firecracker's published templates come back (MV_TEMPLATES names a folder with them).
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

# same_template A B: all bitmaps that say anything are the same
same_template() {
	python3 - "$1" "$2" <<'PY'
import json, sys

def bits(path):
    doc, out = json.load(open(path)), {}
    for leaf in doc.get("cpuid_modifiers", []):
        for m in leaf["modifiers"]:
            b = m["bitmap"][2:].replace("_", "").rjust(32, "x")
            if b != "x" * 32:
                out[int(leaf["leaf"], 16), int(leaf["subleaf"], 16), leaf["flags"], m["register"]] = b
    for m in doc.get("msr_modifiers", []):
        out[int(m["addr"], 16)] = m["bitmap"][2:].replace("_", "").rjust(64, "x")
    return out

a, b = map(bits, sys.argv[1:])
if a != b or not a:
    sys.exit(f"{sorted(map(str, set(a.items()) ^ set(b.items())))}")
PY
}

for template in "$top"/tests/data/dialects/*.json ${MV_TEMPLATES:+"$MV_TEMPLATES"/*.json}; do
	grep -q reg_modifiers "$template" && continue	# for Arm
	ran "$minivmm" mask convert --from firecracker --to feature "$template"
	expect_status 0
	printf '%s\n' "$out" >"$tmp/t.mask"
	ran "$minivmm" mask convert --to firecracker "$tmp/t.mask"
	expect_status 0
	expect_no_err warning
	printf '%s\n' "$out" >"$tmp/t.json"
	same_template "$template" "$tmp/t.json" 2>"$tmp/diff" || problem "$(cat "$tmp/diff")"
	check "the template ${template##*/} comes back"
done

printf '{"reg_modifiers":[]}' >"$tmp/arm.json"
ran "$minivmm" mask convert --from firecracker --to guide "$tmp/arm.json"
expect_status 4
expect_err "arm.json: no member of a CPU template for x86 is called 'reg_modifiers'"
ran "$minivmm" mask convert --from firecracker --to guide "$tmp/nowhere.json"
expect_status 4
expect_err nowhere.json
ran "$minivmm" mask convert --from nonsense --to guide "$tmp/arm.json"
expect_status 2
expect_err "--from is guide, feature, vmx"
ran "$minivmm" mask convert --from qemu --to xl "$tmp/arm.json"
expect_status 4
ran "$minivmm" mask convert --to qemu --model 'a,b' "$tmp/t.mask"
expect_status 2
check "dialects: what can't be read is named, with the right exit code"

cat >"$tmp/mix.mask" <<'MASK'
feature sse4.1 = 0
feature avx2 = R
feature aes = H
field phys-bits = 39
MASK
ran "$minivmm" mask convert --to qemu --model Skylake-Client-v1 "$tmp/mix.mask"
expect_status 0
expect_equal "$out" "Skylake-Client-v1,-sse4.1,-avx2,phys-bits=39"
expect_err "warning: R: hidden, but source and destination hardware are not compared:"
expect_err "CPUID level 0x7 sublevel 0x0 EBX:5 (AVX2)"
expect_err "warning: H: left to the model, source and destination are not compared:"
expect_err "CPUID level 0x1 ECX:25 (AES)"
ran "$minivmm" mask convert --json --to qemu "$tmp/mix.mask"
expect_json
expect_json_is form qemu
expect_json_is losses 2
expect_json_is losses/0/items/0 "CPUID level 0x1 ECX:25 (AES)"
ran "$minivmm" mask convert --strict --to qemu "$tmp/mix.mask"
expect_status 3
expect_equal "$out" ""
expect_err "not all of the mask has a place in 'qemu' (--strict)"
check "dialects: each loss by name, in JSON, and refused by --strict"

# masks of configs/ go into every dialect, and back without an error
for to in xl xl-list firecracker qemu featmask; do
	for mask in "$top"/configs/overrides/*.mask "$top"/configs/baselines/{intel-penryn,intel-icelake,amd-zen2}.mask; do
		ran "$minivmm" mask convert --vendor intel --to $to "$mask"
		expect_status 0
		printf '%s\n' "$out" >"$tmp/back"
		ran "$minivmm" mask convert --from $to --to guide "$tmp/back"
		expect_status 0
	done
done
check "dialects: shipped overrides and baselines have a text in each, which reads back"

# ---- QEMU as the oracle ----

if ! command -v qemu-system-x86_64 >/dev/null; then
	skip "QEMU starts with the string and shows the bits it asks for" "qemu-system-x86_64 is not installed"
	exit 0
fi
cat >"$tmp/q.mask" <<'MASK'
feature sse4.1 = 0
feature avx = 0
feature pclmul = T
feature aes = T
feature bmi2 = 0
feature sse4a = T
feature erms = 0
feature 3dnow = 0
field phys-bits = 39
field max-leaf = 0xd
MASK
ran "$minivmm" mask convert --to qemu --model max "$tmp/q.mask"
expect_status 0
expect_no_err warning
python3 - "$out" <<'PY' >"$tmp/oracle" 2>&1 || problem "QEMU: $(tail -1 "$tmp/oracle")"
import json, subprocess, sys

cpu = sys.argv[1]
q = subprocess.Popen(["qemu-system-x86_64", "-S", "-machine", "pc", "-accel", "tcg", "-display", "none",
                      "-nodefaults", "-cpu", cpu, "-qmp", "stdio"],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
seen = []

def ask(execute, **arguments):
    q.stdin.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
    q.stdin.flush()
    for line in q.stdout:
        seen.append(line)
        try:
            reply = json.loads(line)
        except ValueError:
            continue
        if "error" in reply:
            sys.exit(f"{execute} {arguments}: {reply['error']}")
        if "return" in reply:
            return reply["return"]
    sys.exit("QEMU ended: " + " ".join(seen).strip())

ask("qmp_capabilities")
path = ask("query-cpus-fast")[0]["qom-path"]
want = {"sse4.1": False, "avx": False, "pclmulqdq": True, "aes": True, "bmi2": False, "sse4a": True,
        "erms": False, "3dnow": False, "phys-bits": 39, "level": 13, "enforce": True}
for name, value in want.items():
    got = ask("qom-get", path=path, property=name)
    if got != value:
        sys.exit(f"QEMU's {name} is {got}, not {value}")
# the same string by query-cpu-model-expansion
model, *words = cpu.split(",")
props = {w[1:]: w[0] == "+" for w in words if w[0] in "+-"}
full = ask("query-cpu-model-expansion", type="full", model={"name": model, "props": props})["model"]["props"]
for name, value in want.items():
    if isinstance(value, bool) and name != "enforce" and full[name] != value:
        sys.exit(f"expanded, QEMU's {name} is {full[name]}, not {value}")
ask("quit")
q.wait(20)
PY
check "QEMU starts with the string and shows the bits it asks for"

# What QEMU's own guest sees of a whole baseline; names that this QEMU lacks are left out.
qemu-system-x86_64 -cpu help >"$tmp/help" 2>/dev/null
merom=$top/configs/baselines/intel-merom.mask
printf 'feature %s = 0\n' x2apic vme tsc_adjust md-clear arat FDP-EXCPTN-ONLY ZERO-FCS-FDS >"$tmp/tcg.mask"
printf 'field phys-bits = 40\n' >>"$tmp/tcg.mask"
ran "$minivmm" mask convert --to qemu --model Conroe --known "$tmp/help" "$merom" "$tmp/tcg.mask"
expect_status 0
cpu=$out
printf 'feature avx2 = 1\nfeature sha512 = 1\n' >"$tmp/new.mask"
ran "$minivmm" mask convert --to qemu --known "$tmp/help" "$tmp/new.mask"
expect_equal "$out" "host,+avx2"
expect_err "T and 1: QEMU has no name for the bit, so guests will not see it:"
expect_err "(SHA512)"
ran "$minivmm" mask convert --to qemu --known "$merom" "$tmp/new.mask"
expect_status 4
expect_err "not what qemu-system-x86_64 -cpu help prints"
ran "$minivmm" mask convert --to xl --known "$tmp/help" "$tmp/new.mask"
expect_status 2
check "dialects: only names that a QEMU knows"

timeout 600 qemu-system-x86_64 -machine pc -accel tcg -m 64 -nodefaults -no-user-config -display none -no-reboot \
	-serial "file:$tmp/qemu.serial" -device isa-debug-exit,iobase=0xf4,iosize=4 -cpu "$cpu" \
	-kernel "$guests/probe.elf" -append nonce=c0ffee >"$tmp/qemu.out" 2>&1
expect_equal "$?" 1 "QEMU's exit status for a guest that passed; $(tail -1 "$tmp/qemu.out")"
grep -q '^probe: summary' "$tmp/qemu.serial" || problem "the probe did not end in QEMU"
feature_bits "$tmp/qemu.serial" >"$tmp/qemu.bits"
expect_equal "$(sed -n 's/^0x00000001 2 //p' "$tmp/qemu.bits")" 00002201 "SSE3, SSSE3 and CX16 of leaf 1 ECX"
check "the probe guest sees the converted baseline in QEMU"
if [ -n "${WRAPPER:-}" ]; then
	skip "the guest sees the same feature bits under minivmm and under QEMU's converted string" "no guest runs within $WRAPPER"
elif have_kvm; then
	expect_bits_of "$tmp/qemu.serial" --mask "$merom" --mask "$tmp/tcg.mask"
	check "the guest sees the same feature bits under minivmm and under QEMU's converted string"
else
	skip "the guest sees the same feature bits under minivmm and under QEMU's converted string" "no /dev/kvm"
fi
