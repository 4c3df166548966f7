#!/bin/bash
# SPDX-License-Identifier: MIT
# Live migration between two processes on this machine: the guest goes on where it was, with what it
# had, and whatever fails, it runs in one place. MIGRATE_FAULTS=all tries every message there is.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

need_kvm migrate || exit 0
cd "$tmp" || exit 1

counter() { # NAME [OPTIONS]: a guest that counts, into NAME.out
	local name=$1
	shift
	rm -f "$name.out"
	"$minivmm" run "$guests/hello.elf" --name "$name" --append \
		"mode=counter ticks=100000000 delay=20000 nonce=$name" "$@" >"$name.out" 2>"$name.err" &
	eval "pid_$name=$!"
	wait_for test -s "$name.out"
}

receiver() { # NAME ADDR [OPTIONS]: into NAME.out; $to is where it listens
	local name=$1 addr=$2
	shift 2
	rm -f "$name.out" "$name.err"
	"$minivmm" receive "$addr" "$@" >"$name.out" 2>"$name.err" &
	eval "pid_$name=$!"
	wait_for grep -q listening "$name.err"
	to=$(sed -n 's/.*listening on //p' "$name.err")
}

# The outputs are one guest's: every number once, in order, and its own word with each.
expect_one_guest() { # NONCE FILE...
	local nonce=$1
	shift
	cat "$@" | tr -d '\r' | sed '$d' | awk -v nonce="$nonce" '
		$0 != "counter: " NR " " nonce { print "line " NR " is " $0; exit 1 }' >wrong ||
		problem "$*: $(cat wrong)"
}

gone() { # NAME: its process ended; $code is how
	local pid
	eval "pid=\$pid_$1"
	wait "$pid"
	code=$?
}

moved() { # a runs in b, and its name came with it, as soon as the source had let go of it
	gone a
	expect_equal "$code" 0 "the source's exit status"
	expect_grows b.out
	wait_for "$minivmm" status a
}

stopped() { # where it is now
	ran "$minivmm" stop a
	expect_status 0
	gone b
	expect_equal "$code" 0 "the destination's exit status"
}

# ---- it moves ----

for addr in "unix:$tmp/sock" tcp:127.0.0.1:0 'tcp:[::1]:0'; do
	if [ "$addr" = 'tcp:[::1]:0' ] && ! grep -q '^0*1 ' /proc/net/if_inet6 2>/dev/null; then
		skip "migrate: over $addr" "no IPv6 here"
		continue
	fi
	counter a
	receiver b "$addr"
	ran "$minivmm" migrate a "$to" --json
	expect_status 0
	expect_out '"end":"moved"'
	for key in processed remaining total iteration dirty-rate downtime; do
		expect_out "\"$key\":"
	done
	moved
	expect_one_guest a a.out b.out
	# The kernel may have some of its own there, by other names; ThreadSanitizer has one more of this name.
	own=${TSAN_OPTIONS:+1}
	expect_equal "$(cat /proc/"$pid_b"/task/*/comm | grep -c minivmm)" $((3 + ${own:-0})) "threads: a vCPU, input, the rest"
	stopped
	check "migrate: over ${addr%:*}, while it counts"
done

counter a
cp a.out all.out
from=a
for hop in 1 2 3 4; do
	receiver "h$hop" "unix:$tmp/sock$hop" --name "hop$hop"
	ran "$minivmm" migrate "$from" "$to"
	expect_status 0
	from=hop$hop
	expect_grows "h$hop.out"
	wait_for "$minivmm" status "$from"
done
expect_one_guest a a.out h1.out h2.out h3.out h4.out
ran "$minivmm" stop hop4
wait
check "migrate: four times in a row"

# The guest's own CPUID dump, some of it printed here and the rest there: whoever reads what the source
# prints stops in the middle, so that the guest has to wait.
ran "$minivmm" run "$guests/probe.elf" --append "nonce=x"
cp .out whole.txt
: >p.go
python3 - "$minivmm" "$guests/probe.elf" <<'EOF' &
import fcntl, os, subprocess, sys, time
ours, its = os.pipe()
fcntl.fcntl(its, 1031, 4096)  # F_SETPIPE_SZ
p = subprocess.Popen([sys.argv[1], "run", sys.argv[2], "--append", "nonce=x", "--name", "p"],
                     stdin=subprocess.DEVNULL, stdout=its, stderr=open("p.err", "wb"))
os.close(its)
said = open(ours, "rb", buffering=0)
got = b""
while got.count(b"cpuid: ") < 10:
    got += said.read(100)
open("p.half", "w")
while "ready" not in open("p.go").read():
    time.sleep(0.05)
open("p.out", "wb").write(got + said.read())
sys.exit(p.wait())
EOF
pid_p=$!
wait_for test -e p.half
receiver q "unix:$tmp/sock"
ran "$minivmm" migrate p "$to"
expect_status 0
echo ready >p.go
gone p
gone q
[ -s q.out ] || problem "the probe was over before it moved"
[ "$(grep -c '^cpuid: ' p.out)" -ge 10 ] || problem "the probe had not begun when it moved"
grep -E '^(cpuid|probe): ' whole.txt | grep -v summary >want.txt
cat p.out q.out | grep -E '^(cpuid|probe): ' | grep -v summary >got.txt
cmp -s want.txt got.txt || problem "the guest's CPUID changed: $(diff want.txt got.txt | head -3)"
grep -q '^cpuid-check: .* 0 differ.* 0 differ' q.out || problem "no clean cpuid-check at the destination"
check "migrate: the guest's CPUID is the same, byte for byte"

# ---- CPUID that nobody answers ----

counter a
receiver b "unix:$tmp/sock" --intercept none
ran "$minivmm" migrate a "$to"
expect_status 3
expect_err "rule interception): without interception the guest would see the destination's own"
expect_err "a goes on here"
expect_grows a.out
gone b
expect_equal "$code" 3 "the destination's exit status"
receiver b "unix:$tmp/sock" --intercept none --unsafe-ignore-cpu interception
ran "$minivmm" migrate a "$to"
expect_status 0
moved
stopped
check "migrate: a guest that was kept to its table, to where nothing would: refused, and why"

counter a --intercept none
receiver b "unix:$tmp/sock"
ran "$minivmm" migrate a "$to"
expect_status 0
moved
grep -q "intercept none" b.err || problem "it does not say that it goes on without"
stopped
check "migrate: a guest that saw the host's own CPUID goes on so, where that is the same"

# ---- a guest that writes faster than the link carries ----

expect_passes() { # FILE...: every pass over all pages, once, in order
	cat "$@" | tr -d '\r' | sed '$d' | awk '$1 != "counter:" || $2 != NR { exit 1 }' ||
		problem "a page or a pass was lost"
}

writer() { # [DELAY [FROM [OPTIONS]]]: writes 8 MiB again and again, and checks them, into a.out
	rm -f a.out
	"$minivmm" run "$guests/hello.elf" --name a --append \
		"mode=writer mib=8 from=${2:-8} delay=${1:-10000} ticks=100000000" "${@:3}" >a.out 2>a.err &
	pid_a=$!
	wait_for test -s a.out
}

writer
receiver b "unix:$tmp/sock"
ran "$minivmm" migrate a "$to" --bandwidth 20M --downtime-ms 20 --max-rounds 4
expect_status 1
expect_err "after 4 rounds"
expect_err "20 ms are allowed"
expect_err "--throttle"
expect_err "a goes on here"
expect_grows a.out
gone b
check "migrate: a guest that writes too fast stays, after --max-rounds"

receiver b "unix:$tmp/sock"
ran "$minivmm" migrate a "$to" --bandwidth 1M --timeout 0.5
expect_status 1
expect_err "longer than 0.5 s"
expect_grows a.out
gone b
check "migrate: --timeout"

receiver b "unix:$tmp/sock"
ran "$minivmm" migrate a "$to" --bandwidth 20M --downtime-ms 20 --max-rounds 60 --throttle 99 --json
expect_status 0
expect_out '"end":"moved"'
python3 - .out <<-'EOF2' || problem "the progress makes no sense"
	import json, sys
	lines = [json.loads(l) for l in open(sys.argv[1])]
	p = [l["progress"] for l in lines]
	assert max(x["throttle"] for x in p) >= 20 and p[-1]["throttle"] == 0, "throttle"
	assert [x["processed"] for x in p] == sorted(x["processed"] for x in p), "processed"
	assert [x["iteration"] for x in p] == sorted(x["iteration"] for x in p), "iteration"
	assert p[-1]["iteration"] >= 3 and all(0 <= x["remaining"] <= x["total"] for x in p), "rounds"
	assert max(x["dirty-rate"] for x in p) > 100 and max(x["bandwidth"] for x in p) < 40 << 20, "rates"
	assert "end" in lines[-1] and not any("end" in l for l in lines[:-1]), "end"
EOF2
moved
expect_passes a.out b.out
stopped
check "migrate: --throttle slows it down until it fits, and no page is lost"

if have_memory 4096; then
	writer 10000 3068 --memory 4G
	receiver b "unix:$tmp/sock"
	ran "$minivmm" migrate a "$to" --throttle 99 --downtime-ms 50
	expect_status 0
	moved
	expect_passes a.out b.out
	stopped
	check "migrate: a guest that writes on both sides of the gap between 3 and 4 GiB"
else
	skip "migrate: a guest of 4 GiB" "this machine has less"
fi

writer 0
receiver b "unix:$tmp/sock"
ran "$minivmm" migrate a "$to" --bandwidth 20M --downtime-ms 1 --max-rounds 3 --on-timeout stop
expect_status 0
expect_err "3 rounds"
moved
expect_passes a.out b.out
stopped
check "migrate: --on-timeout stop moves it all the same"

# So slowly that there is news on the way: who is busy meanwhile hears the last one only.
counter a --cpus 3 --memory 256M
receiver b tcp:127.0.0.1:0
python3 - "$minivmm" a "$to" --bandwidth 200K --downtime-ms 3000 >tty.out <<-'EOF2' || problem "it failed on a terminal"
	import os, pty, sys
	status = pty.spawn([sys.argv[1], "migrate", *sys.argv[2:]])
	sys.exit(os.waitstatus_to_exitcode(status))
EOF2
tr '\r' '\n' <tty.out | sed 's/\x1b\[K//g' >tty.txt
grep -qE '^(copying|stopped) [0-9]+ \[[#.]{20}\] +[0-9]+ %, [0-9]+ MiB' tty.txt || problem "no progress bar on a terminal"
[ "$(wc -L <tty.txt)" -le 110 ] && ! grep -E '\[[#.]{20}\]' tty.txt | grep -qE '.{80}' ||
	problem "the progress line is longer than 79 columns"
grep -qE 'moved to .*: 0\.[0-9] MiB in' tty.txt || problem "256 MiB of zeros cost more than 1 MiB: $(tail -1 tty.txt)"
moved
expect_one_guest a a.out b.out
ran "$minivmm" status a
expect_out "cpus       3"
stopped
check "migrate: three CPUs, a progress bar on a terminal, zeros cost nothing"

# ---- it stays ----

counter a
ran "$minivmm" migrate a "unix:$tmp/nobody"
expect_status 1
expect_err "connecting to unix:$tmp/nobody"
expect_err "a goes on here"
expect_grows a.out
check "migrate: nobody listens"

# Only once it is clear that it is no move on this machine, where the source lets go of the name in a moment.
"$minivmm" run "$guests/hello.elf" -q --name other --append mode=hang >/dev/null 2>&1 &
pid_other=$!
wait_for "$minivmm" status other
receiver b "unix:$tmp/sock" --name other
ran "$minivmm" migrate a "$to"
expect_status 0
wait_for grep -q "hint: it gets one by itself" b.err	# the last it says of that
err=$(cat b.err)
expect_err "a VM named 'other' is running: this VM has no control socket"
expect_err "hint: it gets one by itself as soon as it can"
"$minivmm" stop other
gone other
wait_for "$minivmm" status other
expect_grows b.out
"$minivmm" stop other
gone b
gone a
counter a
check "migrate: where its name is taken, that is told, and it is there once the name is free"

# Looking a name up takes calls that a VM's process may not make.
request() { # JSON: to a's control socket; what it says, until there is an error
	timeout 20 python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n")
for line in s.makefile():
    print(line, end="")
    if "error" in line:
        break' "$XDG_RUNTIME_DIR/minivmm/a.sock" "$1"
}
ran "$minivmm" migrate a tcp:no-such-host.invalid:4444
expect_status 2
expect_err "no-such-host.invalid: "
expect_grows a.out
ran request '{"command":"migrate","to":"tcp:localhost:1"}'
expect_out "looks no names up"
ran request '{"command":"migrate","to":"tcp:here:1","addresses":["127.0.0.9","192.0.2.1"]}'
expect_out "here is not this machine"
ran request '{"command":"migrate","to":"tcp:here:1","addresses":["127.0.0.9","127.0.0.8"]}'
expect_out "connecting to tcp:here:1"
for bad in '"127.0.0.1"' '[null]' '[""]' '[1,2,3,4,5,6,7,8,9]'; do
	ran request '{"command":"migrate","to":"tcp:here:1","addresses":'"$bad"'}'
	expect_out "addresses"
done
expect_grows a.out
if getent hosts localhost >/dev/null; then
	receiver b tcp:localhost:0
	ran "$minivmm" migrate a "$to"
	expect_status 0
	moved
	stopped
	counter a
fi
check "migrate: names are looked up by the command, not by the VM"

ran "$minivmm" migrate a tcp:192.0.2.1:4444
expect_status 1
expect_err "neither encrypted nor authenticated"
ran "$minivmm" receive tcp:0.0.0.0:0
expect_status 2
expect_err "--insecure"
check "migrate: beyond this machine only with --insecure"

ran "$minivmm" migrate a 127.0.0.1:4444
expect_status 2
expect_err "neither tcp: nor unix:"
for bad in tcp:host tcp::1 tcp:host:99999 'tcp:[::1:5' unix: tcp:a:b:1; do
	ran "$minivmm" migrate a "$bad"
	expect_status 2
done
ran "$minivmm" migrate a
expect_status 2
ran "$minivmm" migrate nobody "unix:$tmp/nobody"
expect_status 1
check "migrate: wrong usage"

ran "$minivmm" pause a
ran "$minivmm" migrate a "unix:$tmp/nobody"
expect_status 1
expect_err "paused"
ran "$minivmm" resume a
check "migrate: not while it is paused"

# A destination that says nothing at all.
python3 -c 'import os, socket, time
s = socket.socket(socket.AF_UNIX); s.bind("mute.new"); s.listen(9); os.rename("mute.new", "mute"); time.sleep(600)' &
mute=$!
wait_for test -S mute
"$minivmm" migrate a "unix:$tmp/mute" >m.out 2>m.err &
pid_m=$!
wait_for sh -c "'$minivmm' status a | grep -q 'state *moving'"
ran "$minivmm" snapshot a "$tmp/no.snap"
expect_status 1
expect_err "it is being migrated"
ran "$minivmm" migrate a "unix:$tmp/mute"
expect_status 1
ran "$minivmm" migrate a --cancel
expect_status 0
gone m
expect_equal "$code" 1 "the cancelled migration's exit status"
grep -q cancelled m.err || problem "it does not say that it was cancelled"
"$minivmm" migrate a "unix:$tmp/mute" >m.out 2>m.err &
pid_m=$!
wait_for sh -c "'$minivmm' status a | grep -q 'state *moving'"
kill -TERM $pid_m
gone m
wait_for sh -c "'$minivmm' status a | grep -q 'state *running'"
ran "$minivmm" migrate a "unix:$tmp/mute" --peer-timeout 0.3
expect_status 1
expect_err "sent nothing for 0.3 s"
ran "$minivmm" migrate a --cancel
expect_status 1
expect_err "not being migrated"
expect_grows a.out
kill $mute
check "migrate: cancelled, given up, timed out"

receiver b "unix:$tmp/sock"
python3 -c 'import socket
s = socket.socket(socket.AF_UNIX); s.connect("sock"); s.send(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"); s.recv(1)' 2>/dev/null
wait_for grep -q "not a VM" b.err
ran "$minivmm" migrate a "$to"
expect_status 0
moved
expect_one_guest a a.out b.out
stopped
check "migrate: who connects and is no minivmm is let go"

ran "$minivmm" receive "unix:$tmp/sock" --timeout 0.5
expect_status 1
expect_err "nobody came in time"
expect_no_file "$tmp/sock"
check "migrate: nobody comes"

for row in "TERM 143" "INT 130" "HUP 129"; do
	read -r signal want <<<"$row"
	rm -f r.err
	env --default-signal=INT "$minivmm" receive "unix:$tmp/sock" 2>r.err &
	pid_r=$!
	wait_for grep -q listening r.err
	kill -"$signal" "$pid_r"
	gone r
	expect_equal "$code" "$want" "exit status after SIG$signal"
	expect_no_file "$tmp/sock"
	grep -q "no VM came: ended by signal $signal" r.err || problem "not told: $(tail -1 r.err)"
done
# The same with somebody at the door, who keeps silent.
receiver r "unix:$tmp/sock"
perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => shift) or exit 1; open F, ">", "door"; close F; $s->read($_, 1)' "$tmp/sock" &
wait_for test -e door
kill -TERM "$pid_r"
gone r
expect_equal "$code" 143
expect_no_file "$tmp/sock"
wait $!
check "migrate: a destination that is told to end before a VM came"

# Nobody reads what it prints, so that it does not come to its sync point before it is being moved.
mkfifo words
exec 7<>words
perl -e 'open F, "<&=7" or die; fcntl F, 1031, 4096 or die'	# F_SETPIPE_SZ
yes | head -c 8M >blob
"$minivmm" run -q "$guests/hello.elf" --name syncs --initrd blob --append "mode=counter ticks=1000 delay=1" \
	--snapshot-on-sync sync.snap >words 2>syncs.err &
pid_syncs=$!
receiver r "unix:$tmp/sock"
wait_for "$minivmm" status syncs
"$minivmm" migrate syncs "$to" --bandwidth 64K >/dev/null 2>&1 &
wait_for sh -c "'$minivmm' status syncs | grep -q 'state *moving'"
cat <&7 >words.out &
cat=$!
wait_for grep -q "counter: 500 " words.out
sleep 0.3
expect_no_file sync.snap
grep -q "counter: 501 " words.out && problem "it went on before it was saved"
"$minivmm" status syncs | grep -q 'state *moving' || problem "it is not being moved any more"
"$minivmm" migrate syncs --cancel
wait_for test -s sync.snap
wait_for grep -q "counter: 1000 " words.out
gone syncs
expect_equal "$code" 0
kill "$cat"
exec 7<&-
wait "$pid_r" "$cat" 2>/dev/null
ran "$minivmm" restore -q sync.snap
expect_status 0
expect_equal "$(head -1 <<<"$out" | tr -d '\r')" "counter: 501 none"
check "migrate: a sync point met on the way waits for the end, if the guest stays"

# Its messages are read up to the address, as scripts do; then a guest is here.
counter a
rm -f door
mkfifo listening
"$minivmm" receive "unix:$tmp/sock" --name there >there.out 2>listening &
pid_r=$!
wait_for grep -m1 -q listening listening
ran "$minivmm" migrate a "unix:$tmp/sock"
expect_status 0
"$minivmm" stop a 2>/dev/null
gone a
expect_grows there.out
ran "$minivmm" stop there
expect_status 0
gone r
expect_equal "$code" 0 "the destination's exit status"
check "migrate: whoever reads the destination's messages goes away"

# ---- it breaks ----

for f in a b; do rm -f $f.out $f.err; done
timeout 1500 python3 "$top/tests/integration/migrate-faults.py" "$minivmm" "$guests/hello.elf" \
	"${MIGRATE_FAULTS:-}" || echo "not ok migrate: faults: the script failed"
