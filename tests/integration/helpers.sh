# SPDX-License-Identifier: MIT
# Sourced by the scripts of this folder behind ../lib.sh. Not executable, so not a test itself.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

# json TEXT PATH: a member of a JSON document, as "a/b/0": lists as their length, the rest as text.
# Fails if TEXT is anything but one JSON document, or has no such member.
json() {
	perl -MJSON::PP -e '
		my $v = JSON::PP->new->utf8->allow_nonref->decode(join "", <STDIN>);
		for my $k (split m{/}, shift) {
			$v = ref $v eq "ARRAY" ? $v->[$k] : ref $v eq "HASH" ? $v->{$k} : undef;
		}
		exit 1 unless defined $v;
		print ref $v eq "ARRAY" ? scalar @$v : ref $v eq "HASH" ? join " ", sort keys %$v
			: JSON::PP::is_bool($v) ? ($v ? "true" : "false") : $v;
	' "$2" <<<"$1" 2>/dev/null
}

# Standard output is one JSON document, and nothing else.
expect_json() {
	json "$out" "" >/dev/null || problem "standard output is not JSON: $command_line"
}

expect_json_is() { # PATH VALUE
	local is
	is=$(json "$out" "$1") || problem "the JSON lacks $1: $command_line"
	[ "$is" = "$2" ] || problem "$1 is '$is', not '$2': $command_line"
}

# Retry a command for up to a minute, or WAIT seconds: for what comes at once, but on a busy machine.
wait_for() {
	local i
	for ((i = 0; i < 20 * ${WAIT:-60}; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.05
	done
	problem "waited in vain for: $*"
	return 1
}

longer() { # FILE SIZE
	[ "$(stat -c %s "$1")" -gt "$2" ]
}

# expect_grows FILE [SIZE]: it gets longer than SIZE, or than it is: the guest that prints into it runs.
expect_grows() {
	wait_for longer "$1" "${2:-$(stat -c %s "$1")}"
}

# start NAME COMMAND...: in the background, output in $tmp/NAME.out and .err; $pid. As from a
# terminal: shells have what they start in the background ignore SIGINT.
start() {
	local name=$1
	shift
	# What another one of this name wrote is gone now, not only when the new shell comes to open them.
	: >"$tmp/$name.out" >"$tmp/$name.err"
	env --default-signal=INT,QUIT "$@" >"$tmp/$name.out" 2>"$tmp/$name.err" </dev/null &
	pid=$!
}

# ended NAME: wait for the one started last, as ran does.
ended() {
	wait "$pid"
	status=$?
	command_line="$1 (in the background)"
	cp "$tmp/$1.out" "$tmp/.out"
	cp "$tmp/$1.err" "$tmp/.err"
	out=$(tr -d '\0' <"$tmp/.out")
	err=$(tr -d '\0' <"$tmp/.err")
}

# guest32 SOURCE IMAGE: a program on guest32.h; says why it can't be built.
guest32() {
	"${CC:-gcc}" -m32 -O1 -std=gnu11 -ffreestanding -fno-pic -fno-stack-protector -mno-sse \
		-fcf-protection=none -nostdlib -static -no-pie -Wl,-Ttext=0x101000,--build-id=none \
		-Wl,-z,noexecstack -o "$2" "$top/tests/integration/$1" 2>"$tmp/cc" && return
	echo "no compiler for 32-bit code: $(head -1 "$tmp/cc")"
	return 1
}

# Everything that needs this machine's KVM, or its skips: need_kvm NAME...
need_kvm() {
	local name
	have_kvm && return 0
	for name; do
		skip "$name" "no /dev/kvm"
	done
	return 1
}

# A command without /dev/kvm; without_kvm_possible says why not. Root has it covered in a namespace
# of its own, where there is one at all.
without_kvm() {
	if have_kvm; then
		unshare -m sh -c 'mount --bind "$0" /dev/kvm && exec "$@"' "$tmp/no-kvm" "$@"
	else
		"$@"
	fi
}

without_kvm_possible() {
	have_kvm || return 0
	: >"$tmp/no-kvm"
	unshare -m sh -c 'mount --bind "$0" /dev/kvm' "$tmp/no-kvm" 2>/dev/null
}

# FILE...: whole lines of the counter guest, one by one and with $nonce; prints first and last number.
counted() {
	cat "$@" | tr -d '\r' | awk -v nonce="$nonce" '
		/^counter: [0-9]+ / && NF == 3 {
			if ($3 != nonce) { print "a wrong nonce: " $0; exit }
			if (last && $2 != last + 1) { print "a gap: " last " to " $2; exit }
			if (!last) first = $2
			last = $2
		}
		END { print first, last }'
}

# feature_bits FILE: what the probe dumped, without the bits that each VMM computes for the guest and
# those of leaf 1 that AMD CPUs repeat
feature_bits() {
	"$minivmm" host -q --json --from "$1" 2>/dev/null | perl -MJSON::PP -e '
		my $raw = decode_json(join "", <STDIN>)->{raw};
		my @regs = (["0x00000001", 2, 0x88000000], ["0x00000001", 3, 0x10000000], ["0x00000006", 0, 0],
			["0x00000007.0", 1, 0], ["0x00000007.0", 2, 0x10], ["0x00000007.0", 3, 0],
			["0x00000007.1", 0, 0], ["0x0000000d.1", 0, 0], ["0x80000001", 2, 2],
			["0x80000001", 3, 0x0183f3ff], ["0x80000007", 3, 0], ["0x80000008", 1, 0], ["0x8000000a", 3, 0]);
		for (@regs) {
			my ($leaf, $r, $not) = @$_;
			my $v = $raw->{$leaf} ? hex $raw->{$leaf}[$r] : 0;
			printf "%s %d %08x\n", $leaf, $r, $v & ~$not & 0xffffffff;
		}'
}

# expect_bits_of FILE OPTION...: our guest with these options sees the same as the one that printed FILE elsewhere
expect_bits_of() {
	ran "$minivmm" run "${@:2}" --append nonce=c0ffee "$guests/probe.elf"
	expect_equal "$(diff <(feature_bits "$tmp/.out") <(feature_bits "$1"))" "" "under minivmm (<) and there (>)"
}
