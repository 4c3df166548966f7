# SPDX-License-Identifier: MIT
# Sourced by the scripts of this folder behind ../lib.sh. Not executable, so not a test itself.
# shellcheck shell=bash disable=SC2034,SC2154

# What no other run's guest prints.
nonce=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')

# left [FOLDER] NAME: what a command of a job left, in $host if not elsewhere: the expectations of lib.sh
# apply to it.
left() {
	local at=${2:+$1} name=${2:-$1}
	at=${at:-$host}
	command_line="$name on $(basename "$at")"
	status=$(cat "$at/$name.rc" 2>/dev/null)
	out=$(tr -d '\0\r' <"$at/$name.out" 2>/dev/null)
	err=$(tr -d '\0\r' <"$at/$name.err" 2>/dev/null)
	cp "$at/$name.out" "$tmp/.out" 2>/dev/null
	cp "$at/$name.err" "$tmp/.err" 2>/dev/null
}

# run_in HOST AREA FOLDER [OPTION...]: boot HOST with $job; its results are in FOLDER. Ends the script, with a
# failed test AREA, if that does not come to an end. HOST_KERNEL=NAME: with another kernel (lab --kernel).
run_in() {
	tests/lab/lab run "$1" --job "$job" --out "$3" ${HOST_KERNEL:+--kernel "$HOST_KERNEL"} "${@:4}" \
		>"$tmp/console" 2>&1 && return
	echo "not ok $2: $(tail -1 "$tmp/console")"
	tail -20 "$tmp/console" >&2
	exit 0
}

# lab_built AREA [OPTION...]: what the lab needs is there; ends the script as run_in does.
lab_built() {
	tests/lab/lab build "${@:2}" >"$tmp/lab" 2>&1 && return
	echo "not ok $1: $(tail -1 "$tmp/lab")"
	exit 0
}

# linux_job AREA INIT: $job gets Debian's kernel and an initramfs of busybox whose first process does what guest-start.sh and INIT say;
# $root is for more files. GUEST_KERNEL=NAME: linux-image-NAME-amd64 instead of the cloud one, "standard" for
# linux-image-amd64.
linux_job() {
	lab_built "$1" ${GUEST_KERNEL:+--kernel "$GUEST_KERNEL"}
	kernel=${LAB_CACHE:-${OUT:-build}/lab}/kernel${GUEST_KERNEL:+-$GUEST_KERNEL}
	job=$tmp/job root=$tmp/root host=$tmp/epyc
	tests/lab/job.sh "$build" "$job"
	cp "$kernel/vmlinuz" "$job/"
	mkdir -p "$root"/{bin,dev,proc,sys,lib,lib64,mnt}
	cp /bin/busybox "$root/bin/"
	cat tests/lab/guest-start.sh "$2" >"$root/init"
	chmod +x "$root/init"
}

# linux_run AREA SCENARIO: in an AMD host, with NONCE set.
linux_run() {
	(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$job/guest.cpio"
	{
		echo "NONCE=$nonce"
		cat "$2"
	} >"$job/run.sh"
	run_in epyc "$1" "$host" --timeout "${GUEST_TIMEOUT:-400}"
}
