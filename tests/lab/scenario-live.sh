# SPDX-License-Identifier: MIT
# Run in both hosts by tests/lab/test-live.sh: a guest goes there and back $MOVES times. 10.1.0.1 is where
# it begins.
# shellcheck shell=sh disable=SC2034,SC2154

export XDG_RUNTIME_DIR=/tmp
. ./in-host.sh
me=${LAB_IP##*.}
peer=10.1.0.$((3 - me))

# NAME VM: to the other host; again while nobody listens there yet.
move() {
	while :; do
		r "$1" ./minivmm migrate "$2" "tcp:$peer:7000" --insecure --peer-timeout 20 --downtime-ms 2000 \
			--throttle 90 --max-rounds 100
		grep -q 'connecting to' "out/$1.err" || break
		sleep 0.2
	done
}

# NAME [OPTIONS]: take a VM. 0 once it runs here; it goes on in the background.
take() {
	name=$1
	shift
	r "$name" ./minivmm receive "tcp:$LAB_IP:7000" --insecure --peer-timeout 20 --name vm "$@" &
	while :; do
		grep -q 'runs here now' "out/$name.err" 2>/dev/null && return 0
		[ -e "out/$name.rc" ] && return 1
		sleep 0.1
	done
}

# NAME: until the guest has said something here: two ends of lines are a line, where it was moved in the middle of one.
spoken() {
	until [ "$(grep -c "" "out/$1.out")" -gt 2 ] || [ -e "out/$1.rc" ]; do sleep 0.1; done
}

# NAME OPTIONS: start a guest, wait until it is up.
start() {
	name=$1
	shift
	r "$name" ./minivmm run "$@" --name "$name" &
	until grep -q "$UP" "out/$name.out" 2>/dev/null || [ -e "out/$name.rc" ]; do sleep 0.1; done
}

# shellcheck disable=SC2086 # $GUEST is words
if [ "$me" = 1 ]; then
	# Without a mask: refused. The guest goes on here.
	start plain $GUEST --append "$APPEND"
	move refused plain
	r status ./minivmm status plain
	if [ -n "$UNSAFE" ]; then
		move unsafe plain
	else
		./minivmm stop plain
	fi
	start vm $GUEST $DISK --mask hide.mask --append "$APPEND"
	spoken vm
	i=0
	while [ $i -lt "$MOVES" ]; do
		i=$((i + 1))
		move "go$i" vm
		[ "$(cat "out/go$i.rc")" = 0 ] || exit 1
		take "back$i" || exit 1
		sleep "$PAUSE"
		spoken "back$i"
	done
	./minivmm stop vm
	wait
else
	take refused
	if [ -n "$UNSAFE" ]; then
		take unsafe --unsafe-ignore-cpu "$MISSING" && wait
	fi
	i=0
	while [ $i -lt "$MOVES" ]; do
		i=$((i + 1))
		take "here$i" || exit 1
		sleep "$PAUSE"
		spoken "here$i"
		move "return$i" vm
		[ "$(cat "out/return$i.rc")" = 0 ] || exit 1
	done
	wait
fi
