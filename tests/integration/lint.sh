#!/bin/bash
# SPDX-License-Identifier: MIT
# minivmm mask lint: on described hosts, so that it says the same everywhere.
. "$(dirname "$0")/../lib.sh"
hosts=$top/tests/data/hosts

printf 'feature avx2 = 0\nfeature movbe = 0\nfeature sha512 = 1\n' >"$tmp/a.mask"
ran "$minivmm" mask lint --mask "$tmp/a.mask" --host "$hosts/milan.json"
expect_status 0
expect_out "split        AVX2: hidden, and kept working by one that is shown: AVX (a.mask:1)"
expect_out "hidden-only  MOVBE: hidden, and the instruction still executes (a.mask:2)"
expect_out "forced       SHA512: shown, although the host lacks it (a.mask:3)"
expect_out "orphan       SHA512: shown, although what it needs is not shown: AVX2 (a.mask:3)"
expect_out "signature    AVX2: hidden, while family and model still promise it (a.mask:1)"
expect_out "level        the guest satisfies x86-64-v2; for the next it lacks AVX2, MOVBE"
check "lint names what leaks, what is split, what is forced, and the level"

ran "$minivmm" mask lint --mask "$tmp/a.mask" --host "$hosts/milan.json" --json
expect_status 0
python3 - "$tmp/.out" <<'EOF' || problem "JSON lacks the same findings"
import json, sys
d = json.load(open(sys.argv[1]))
kinds = {(f["kind"], f["feature"]) for f in d["findings"]}
assert kinds == {("split", "AVX2"), ("hidden-only", "MOVBE"), ("forced", "SHA512"), ("orphan", "SHA512"),
                 ("signature", "AVX2")}, kinds
assert d["psabi-level"] == 2
EOF
check "lint --json has the same findings"

printf 'feature sse4.2 = T\nfeature ssse3 = F\n' >"$tmp/tf.mask"
ran "$minivmm" mask lint --mask "$tmp/tf.mask" --host "$hosts/penryn.json"
expect_out "refused      CPUID level 0x1 ECX:20 (SSE4.2) must be set (T, tf.mask:1), and $hosts/penryn.json can't offer it"
expect_out "refused      CPUID level 0x1 ECX:9 (SSSE3) must not be there (F, tf.mask:2), and $hosts/penryn.json executes it"
ran "$minivmm" mask lint --mask "$tmp/tf.mask" --host "$hosts/penryn.json" --json
expect_equal "$(python3 -c 'import json, sys
print(*[(r["kind"], r["subject"]) for r in json.load(open(sys.argv[1]))["power-on"]])' "$tmp/.out")" \
	"('F-present', 'SSSE3') ('T-missing', 'SSE4.2')"
ran "$minivmm" check --on "$hosts/penryn.json" --mask "$tmp/tf.mask" "$hosts/penryn.json"
expect_status 3
expect_err "and $hosts/penryn.json can't offer it"
expect_err "refused at power-on: 2 requirements not met by $hosts/penryn.json"
check "a VM that would not start, and on which host"

ran "$minivmm" mask lint --host "$hosts/kentsfield.json"
expect_status 0
expect_equal "$out" "level        the guest satisfies x86-64-v1; for the next it lacks POPCNT, SSE4.1, SSE4.2"
check "a default mask alone has no findings"
