#!/bin/bash
# SPDX-License-Identifier: MIT
# planted.sh FOLDER [SECONDS [TARGET…]]: does fuzzing find anything? In a copy of the sources in FOLDER a bug for each target
# is planted in turn, and its target has SECONDS (60) to crash over it; with SECONDS 0 it is only looked whether each bug has
# its place. A row: target, file, what is replaced, by what.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$1 seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
wanted=" $* "
failed=0

what=.
[ "$seconds" != 0 ] || what="cpuid migrate vmm"
mkdir -p "$scratch"
# shellcheck disable=SC2086 # folders
(cd "$top" && tar c --exclude=./build --exclude=./.git $what) | tar x -C "$scratch"
cd "$scratch" || exit 1

while IFS=@ read -r target file from to; do
	[ "$wanted" = "  " ] || [[ $wanted == *" $target "* ]] || continue
	cp "$file" original
	python3 - "$file" "$from" "$to" <<-'PYTHON' || { echo "not ok $target: its bug has no place any more"; failed=1; continue; }
		import sys
		path, a, b = sys.argv[1:]
		text = open(path).read()
		sys.exit(1) if text.count(a) != 1 else open(path, "w").write(text.replace(a, b))
	PYTHON
	if [ "$seconds" = 0 ]; then
		cp original "$file"
		continue
	fi
	begin=$SECONDS
	make -s fuzz SECONDS="$seconds" TARGETS="$target" WERROR=0 >out 2>&1
	if grep -qE '^(SUMMARY|==)|runtime error|ERROR: lib' build/fuzz/found/"$target".log; then
		echo "ok $target: found within $((SECONDS - begin)) s, build included: $(grep -oE 'SUMMARY: .*' build/fuzz/found/"$target".log | head -1 | cut -c1-100)"
	else
		echo "not ok $target: not found"
		failed=1
	fi
	rm -rf build/fuzz/found
	cp original "$file"
done <<'ROWS'
mask@cpuid/maskwrite.c@if (r->subleaf)@if (r->subleaf > 1)
vmx@vmm/dialect_vmware.c@%s = \"Bool:Match:0\"@%s = \"Val:0\"
xl@vmm/dialect_xl.c@reg, 31 - i,@reg, 32 - i,
firecracker@vmm/dialect_firecracker.c@if (n == width)@if (n == width + 1)
qemu@vmm/dialect_qemu.c@snprintf(name, sizeof(name), "%.*s", eq@snprintf(name, sizeof(name) + 16, "%.*s", eq
libvirt@vmm/virt_cpu.c@if (f->policy == sizeof(policies) / sizeof(policies[0]))@if (f->policy > sizeof(policies) / sizeof(policies[0]))
dump@cpuid/text.c@len >= 3 && !memcmp@len >= 1 && !memcmp
host@vmm/host_json.c@if (n == 0 || n > 8)@if (n == 0 || n > 80)
verdict@cpuid/quick.c@sizeof(v->vendor)) && words_fit(v, h)@sizeof(v->vendor))
fleet@vmm/fleet_load.c@json_object_is_type(v, json_type_string) && json_object_get_string_len(v)@json_object_get_string_len(v) >= 0
control@vmm/control_json.c@return "";@return NULL;
image@vmm/image.c@size <= img->size - offset@size <= img->size
sites@vmm/sites.c@s->inside++;@s->inside += i > 8;
explain@vmm/explain.c@if (n == MV_CODE_MAX ||@if (n == MV_CODE_MAX + 1 ||
snapshot@migrate/snapshot.c@	mv_stream_finish(&s->s);@	if (s->state_read) mv_stream_finish(&s->s);
stream@migrate/stream.c@	mv_buf_finish(&s->buf);@	if (s->pos > s->end / 2) mv_buf_finish(&s->buf);
peer@migrate/peer.c@if (msg[i])@if (msg[i] == 1)
receive@migrate/live_receive.c@		dst->discard(dst->ctx);@		if (!a.state.nvcpus) dst->discard(dst->ctx);
ROWS
exit $failed
