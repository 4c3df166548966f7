#!/bin/bash
# SPDX-License-Identifier: MIT
# test-faults.sh BUILD: what the lab says when a host, a package, space or patience is missing; that several hosts run side
# by side; and that nothing is left behind.
# shellcheck shell=bash disable=SC1091,SC2016,SC2154
. "$(dirname "$0")/../lib.sh"
cd "$top" || exit 1
lab=tests/lab/lab
export TMPDIR=$tmp/scratch
mkdir "$TMPDIR"

nothing_left() {
	expect_equal "$(ls "$TMPDIR")" "" "scratch files"
	expect_equal "$(pgrep -f "$tmp/[s]cratch")" "" "processes"
}

# A PATH with other programs in front.
fake() { # NAME SCRIPT
	mkdir -p "$tmp/fake"
	printf '#!/bin/sh\n%s\n' "$2" >"$tmp/fake/$1"
	chmod +x "$tmp/fake/$1"
}
faked() {
	ran env PATH="$tmp/fake:$PATH" "$@"
	rm -rf "$tmp/fake"
}

ran $lab run epyc phenom --out "$tmp/out" -- sh -c 'echo "I am $LAB_HOST"; minivmm --version >out/version; [ $LAB_HOST = epyc ]'
expect_status 1
[ "$(grep -E '^(==|I am)' <<<"$out")" = "== epyc: status 0
I am epyc
== phenom: status 1
I am phenom" ] || problem "what the hosts said is not there in order"
for h in epyc phenom; do
	grep -q minivmm "$tmp/out/$h/version" || problem "no files from $h"
done
nothing_left
check "lab: two hosts side by side, each with its status and its files"

ran $lab run nosuchhost -- true
expect_status 125
expect_err "no host named 'nosuchhost'; see: lab list"
ran $lab run epyc nosuchhost -- true
expect_status 125
expect_err "no host named 'nosuchhost'"
nothing_left
check "lab: a host that is not in the list"

for words in "run $build --hosts=epyc,nosuchhost" "sample $build 7" "sample $build 7,9999" run "cells $build epyc:max" "cells $build epyc:nosuchhost:pair" nonsense; do
	# shellcheck disable=SC2086 # words
	ran tests/lab/matrix.py $words
	expect_status 1
	expect_no_err Traceback
done
check "lab: what the matrix does not know"

fake dpkg-query 'exit 1'
faked $lab run penryn -- true
expect_status 125
expect_err "bochs hosts need these packages: "
expect_err "xorriso"
nothing_left
check "lab: packages that are missing are named"

ran $lab run epyc --kernel no-such -- true
expect_status 125
expect_err "linux-image-no-such-amd64"
ran $lab run penryn --kernel 6.12-cloud -- true
expect_status 125
ran $lab run epyc --kernel ../x -- true
expect_status 125
expect_err "no name of a kernel"
nothing_left
check "lab: a kernel that Debian does not have"

if unshare -rm true 2>/dev/null; then
	ran unshare -rm sh -c 'mount -t tmpfs -o size=8m none "$TMPDIR" && exec tests/lab/lab run epyc -- true'
	expect_status 125
	expect_err "MiB of free space, 200 are needed"
	nothing_left
	check "lab: no space"
else
	skip "lab: no space" "no user namespaces"
fi

# Somebody who may not use /dev/kvm, with a cache that was made by somebody else.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
	chmod 711 "$tmp"
	mkdir -m 777 "$tmp/nobody"
	cached=${LAB_CACHE:-${OUT:-build}/lab}
	# By its whole path: /root is for root alone, and root is in it already.
	if as_nobody test -r "$PWD/$lab" -a -r "$cached/kernel/vmlinuz" -a ! -w /dev/kvm; then
		ran as_nobody env HOME=/ TMPDIR="$tmp/nobody" $lab run epyc -- ls -l /dev/kvm
		expect_status 0
		expect_out /dev/kvm
		expect_equal "$(ls "$tmp/nobody")" "" "scratch files"
		check "lab: an ordinary user without /dev/kvm has hosts, too"
	else
		skip "lab: an ordinary user" "these folders are not for others to read, or /dev/kvm is for all"
	fi
else
	skip "lab: an ordinary user" "not root, so nobody to become"
fi

# Emulators that never say anything, or die.
SECONDS=0
fake qemu-system-x86_64 "echo \$\$ >>$tmp/pids; exec sleep 1000"
faked $lab run epyc --timeout 2 -- true
expect_status 125
expect_err "epyc: not up after 2 s (boot 1 of 2)"
expect_err "lab: epyc: not up after"
[ $SECONDS -lt 60 ] || problem "it took $SECONDS s"
expect_equal "$(wc -l <"$tmp/pids")" 2 boots
! kill -0 $(cat "$tmp/pids") 2>/dev/null || problem "one of them lives on"
nothing_left
check "lab: a host that never comes up is booted twice, within its budget"

# One that gets no CPU: somebody else has the only one that it may use, and it is nicer than that.
if [ -r /proc/self/schedstat ]; then
	one=$(awk '/^Cpus_allowed_list/ { split($2, a, /[,-]/); print a[1] }' /proc/self/status)
	taskset -c "$one" sh -c 'while :; do :; done' &
	busy=$!
	fake qemu-system-x86_64 "exec taskset -c $one nice -n 10 sh -c 'while :; do :; done'"
	faked timeout 9 $lab run epyc --timeout 2 -- true
	# Of the 2 s twice it gets a tenth in that time.
	expect_status 124
	expect_no_err "boot 2 of 2"
	kill $busy
	wait $busy
	nothing_left
	check "lab: what a busy machine takes does not count as time"
else
	skip "lab: what a busy machine takes does not count as time" "the kernel does not say how much that is"
fi

fake qemu-system-x86_64 'echo "qemu: out of luck" >&2; exit 1'
faked $lab run epyc -- true
expect_status 125
expect_err "qemu: out of luck"
expect_err "lab: epyc: the emulator ended by itself"
nothing_left
check "lab: an emulator that does not start shows its last words"

# On a machine that is too slow for the first limit the job does not begin.
for limit in 20 80 320; do
	ran $lab run epyc --timeout $limit -- sh -c 'echo here; while :; do :; done'
	! grep -q here <<<"$out" || break
done
expect_status 125
expect_out here
expect_err "lab: epyc: not done after $limit s"
expect_equal "$(grep -c 'boot 2 of 2' <<<"$err")" 0 "second boots of a job that began"
nothing_left
check "lab: a host that hangs in its job ends in time, and is not booted again"

# Killed from outside: the emulator, then lab itself.
for what in emulator lab; do
	$lab run epyc --timeout 100 --console "$tmp/console" -- sh -c 'while :; do :; done' >"$tmp/.out" 2>"$tmp/.err" &
	pid=$!
	for _ in $(seq 300); do
		grep -qs L1-UP "$TMPDIR"/lab.*/console && break
		sleep 0.2
	done
	emulator=$(pgrep -P "$pid" qemu) || problem "no emulator to kill"
	if [ $what = emulator ]; then kill -9 "$emulator"; else kill "$pid"; fi
	wait "$pid"
	status=$?
	out=$(tr -d '\0' <"$tmp/.out")
	err=$(tr -d '\0' <"$tmp/.err")
	command_line="lab run, $what killed"
	if [ $what = emulator ]; then
		expect_status 125
		expect_err "the emulator ended by itself"
	else
		expect_status 143
		! kill -0 "$emulator" 2>/dev/null || problem "the emulator lives on"
	fi
	nothing_left
	check "lab: the $what is killed"
done
