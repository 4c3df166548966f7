#!/bin/bash
# SPDX-License-Identifier: MIT
# minivmm explain: bytes and names, a guest under a mask, and the line that run adds to a crash.
. "$(dirname "$0")/../lib.sh"

hosts=$top/tests/data/hosts
mask=$top/configs/overrides/hide-sse41.mask

for bytes in "66 0f 38 17 c1" 660f3817c1 0x66,0x0f,0x38,0x17,0xc1; do
	ran "$minivmm" explain "$bytes"
	expect_status 0
	expect_out "66 0f 38 17 c1   ptest xmm0, xmm1"
	expect_out "CPUID level 0x1 ECX:19 (SSE4.1)"
	expect_out "depends on   SSSE3"
	expect_out "goes with it SSE4.2"
	expect_out "hidden-only, it still executes"
	expect_out "probed by    PTEST, PMULLD"
done
ran "$minivmm" explain 66 0f 38 17 c1
expect_out "ptest xmm0, xmm1"
check "explain bytes, however they are written"

for name in SSE4.1 sse4_1 sse4-1 SSE41; do
	ran "$minivmm" explain $name
	expect_status 0
	expect_out "CPUID level 0x1 ECX:19 (SSE4.1)"
	expect_out "Linux sse4_1, QEMU sse4.1, Xen sse4-1 sse4.1, VMware SSE41"
done
check "explain a name in any system's spelling"

ran "$minivmm" explain "62 f1 7d 08 fe c0"
expect_out "(AVX512F)"
expect_out "(AVX512VL)"
check "an instruction may need two features"
ran "$minivmm" explain "f3 0f 1e fa"
expect_out "(CET-IBT)"
expect_out "a hint"
ran "$minivmm" explain "f3 0f 1e fa" --on "$hosts/penryn.json"
expect_out "if executed  does nothing: $hosts/penryn.json lacks it"
ran "$minivmm" explain cet-ss --on "$hosts/penryn.json"
expect_out "if executed  faults: $hosts/penryn.json lacks it"
check "a hint is called one"
for what in lzcnt "f3 0f bd c3"; do
	ran "$minivmm" explain "$what" --on "$hosts/penryn.json"
	expect_out "if executed  executes as BSR: $hosts/penryn.json lacks it"
done
expect_out "without the feature it runs as BSR, and faults nowhere"
ran "$minivmm" explain "f3 0f bd c3" --json
expect_out '"otherwise": "BSR"'
ran "$minivmm" explain "0f a7 c0"
expect_status 4
expect_err "'xstore' is of instruction set PADLOCK_RNG, which no feature here stands for"
check "what older CPUs take for another instruction, and what no feature stands for"
ran "$minivmm" explain 0f 0b
expect_status 0
expect_out "needs no CPUID feature"
check "an instruction that every CPU has"
ran "$minivmm" explain "c4 e2 7f cc c0"
expect_status 0
expect_out "(SHA512)"
check "an instruction newer than the decoder"

ran "$minivmm" explain "ff ff ff"
expect_status 4
expect_err "no instruction of 64-bit code"
ran "$minivmm" explain "ff ff ff" --json
expect_status 4
expect_out '"exit": 4'
check "bytes that are no instruction: exit 4"
ran "$minivmm" explain zork
expect_status 2
expect_err "'zork' is neither a CPUID feature nor"
ran "$minivmm" explain
expect_status 2
ran "$minivmm" explain "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"
expect_status 2
check "what is neither bytes nor a name: exit 2"

ran "$minivmm" explain SSE4.1 --mask "$mask" --on "$hosts/milan.json"
expect_status 0
expect_out "this guest   does not see it: 0"
expect_out "hide-sse41.mask:$(grep -n '^ECX' "$mask" | cut -d: -f1)"
expect_out "if executed  executes"
ran "$minivmm" explain --mask "$mask" --host "$hosts/milan.json" SSE4.1
expect_out "if executed  executes"
check "explain in a guest: the line that decided, and hidden-only"

echo "feature avx = 0" >"$tmp/noavx.mask"
ran "$minivmm" explain AVX2 --mask "$tmp/noavx.mask" --on "$hosts/milan.json"
expect_out "cleared because AVX is, by noavx.mask:1"
expect_out "if executed  faults"
expect_out "hiding it is enforced"
check "explain in a guest: cleared by what it needs, and enforced"
ran "$minivmm" explain AVX2 --guest-os linux64 --on "$hosts/penryn.json"
expect_out "linux64.mask:"
expect_out "penryn.json lacks it"
check "explain in a guest: a host that lacks it"
ran "$minivmm" explain "66 0f 38 17 c1" --mask "$mask" --on "$hosts/milan.json" --json
expect_status 0
python3 - "$tmp/.out" >"$tmp/why" 2>&1 <<'PY' || problem "$(tail -1 "$tmp/why")"
import json, sys
d = json.load(open(sys.argv[1]))
f = d["needs"][0]
assert d["instruction"] == "ptest xmm0, xmm1" and f["feature"] == "SSE4.1", d
g = f["guest"]
assert g["visible"] is False and g["symbol"] == "0" and g["at"].startswith("hide-sse41.mask:"), g
assert g["enforced"] is False and g["host-executes"] is True, g
PY
check "explain --json"
ran "$minivmm" explain SSE4.1 --mask "$tmp/missing.mask" --on "$hosts/milan.json"
[ "$status" != 0 ] || problem "a mask that is not there is accepted"
expect_err "missing.mask"
ran "$minivmm" explain SSE4.1 --on "$mask"
expect_status 4
check "explain: unusable files are named"

# A guest without handlers that executes PTEST with SSE switched off. No mechanism covers such an
# image everywhere, so the mask's word is all that counts here.
if have_kvm; then
	python3 - "$tmp/crash.elf" <<'PY'
import struct, sys
base, offset = 0x100000, 0x1000
header = struct.pack("<III", 0x1badb002, 0, -0x1badb002 & 0xffffffff)
body = header + b"\x90" * 4 + bytes.fromhex("660f3817c1") + b"\x0f\x0b" * 8
elf = b"\x7fELF\x01\x01\x01" + bytes(9)
elf += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 16, 52, 0, 0, 52, 32, 1, 0, 0, 0)
elf += struct.pack("<IIIIIIII", 1, offset, base, base, len(body), len(body), 5, 0x1000)
open(sys.argv[1], "wb").write(elf.ljust(offset, b"\0") + body)
PY
	ran "$minivmm" run "$tmp/crash.elf" --mask "$mask" --intercept none --timeout 30
	expect_status 6
	expect_err "the guest crashed"
	expect_err "ptest xmm0, xmm1 needs SSE4.1: hidden from this guest (0, hide-sse41.mask:"
	expect_err "; hidden-only), and this host"
	ran "$minivmm" run "$tmp/crash.elf" --mask "$mask" --intercept none --timeout 30 --json
	expect_out '"why": "ptest xmm0, xmm1 needs SSE4.1'
	check "a crash is explained"

	# One with a handler, which names the place: CPUID promises what no CPU here has.
	echo "feature rao-int = 1" >"$tmp/rao.mask"
	ran "$minivmm" run "$guests/polite.elf" --mask "$tmp/rao.mask" --append "feature=RAO-INT" --timeout 30
	if grep -q "vector 6 (#UD)" <<<"$out"; then
		expect_status 6
		expect_err "AADD needs RAO-INT: shown to this guest, and this host lacks it"
		ran "$minivmm" run "$guests/polite.elf" --mask "$tmp/rao.mask" --append "feature=RAO-INT" --timeout 30 --json
		expect_out '"why": "AADD needs RAO-INT'
		check "#UD in a guest with a handler is explained"
	else
		skip "#UD in a guest with a handler is explained" "this CPU has RAO-INT"
	fi
else
	skip "a crash is explained" "no /dev/kvm"
fi
