#!/bin/bash
# SPDX-License-Identifier: MIT
# Live migration over TLS: both sides show a certificate and check the other's. Whatever is wrong with
# one, the message says what, and the guest goes on where it is.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

need_kvm tls || exit 0
if ! command -v certtool >/dev/null; then
	skip tls "no certtool (gnutls-bin)"
	exit 0
fi
cd "$tmp" || exit 1
"$top/tests/make-certs.sh" certs || exit 1

counter() { # a guest that counts, into a.out
	rm -f a.out
	"$minivmm" run "$guests/hello.elf" --name a --append "mode=counter ticks=100000000 delay=20000" \
		>a.out 2>a.err &
	pid_a=$!
	wait_for test -s a.out
}

receiver() { # TLS-DIR|- [ADDR]: $to is where it listens
	local dir=$1
	rm -f b.out b.err
	set -- "${2:-tcp:127.0.0.1:0}"
	[ "$dir" = - ] || set -- "$@" --tls-dir "certs/$dir"
	"$minivmm" receive "$@" --peer-timeout 5 >b.out 2>b.err &
	pid_b=$!
	wait_for grep -q listening b.err
	to=$(sed -n 's/.*listening on //p' b.err)
}

end_receiver() {
	kill $pid_b 2>/dev/null
	wait $pid_b 2>/dev/null
}

# What went wrong, here and there; the guest goes on here, and the receiver waits for another source.
expect_failure() { # HERE [THERE]
	expect_status 1
	expect_err "$1"
	expect_err "a goes on here"
	[ -z "${2:-}" ] || wait_for grep -qF -- "$2" b.err
	expect_grows a.out
	[ ! -s b.out ] || problem "the destination printed something"
	kill -0 $pid_b 2>/dev/null || problem "the receiver is gone: $(tail -1 b.err)"
}

# ---- it moves ----

counter
receiver good
ran timeout 60 "$minivmm" migrate a "$to" --tls-dir certs/good
expect_status 0
expect_grows b.out
[ "$status" != 0 ] || wait $pid_a || problem "the source's exit status is $?"
cat a.out b.out | tr -d '\r' | sed '$d' | awk '$2 != NR { exit 1 }' || problem "the guest did not go on where it was"
end_receiver
check "tls: it moves, both sides with certificates"

counter
receiver good "unix:$tmp/sock"
ran timeout 60 "$minivmm" migrate a "$to" --tls-dir certs/good
expect_status 1
expect_err "--tls-hostname"
ran timeout 60 "$minivmm" migrate a "$to" --tls-dir certs/good --tls-hostname localhost
expect_status 0
end_receiver
check "tls: over a Unix socket with --tls-hostname"

# ---- it does not ----

counter
while read -r name there here said heard; do
	receiver "$there"
	ran timeout 60 "$minivmm" migrate a "$to" --tls-dir "certs/$here"
	expect_failure "${said//_/ }" "${heard//_/ }"
	end_receiver
	check "tls: ${name//_/ }"
done <<-'EOF2'
	destination's_certificate_expired expired good certificate_chain_uses_expired not_a_VM
	source's_certificate_expired good expired Certificate expired_certificate
	source's_certificate_not_valid_yet good not-yet Certificate not_yet_valid
	destination_of_another_CA other-ca good issuer_is_unknown not_a_VM
	source_of_another_CA good foreign-client ended_the_TLS_connection issuer_is_unknown
	destination's_certificate_for_another_host other-host good is_not_for_127.0.0.1 not_a_VM
	destination_with_a_client's_certificate wrong-purpose good purpose not_a_VM
	source_with_a_server's_certificate good wrong-purpose ended_the_TLS_connection purpose
	source's_certificate_revoked revoked good ended_the_TLS_connection revoked
EOF2

receiver other-host
ran timeout 60 "$minivmm" migrate a "$to" --tls-dir certs/good --tls-hostname elsewhere.example
expect_status 0
end_receiver
check "tls: --tls-hostname names the host it is known by"
counter

receiver good
port=${to##*:}
for row in "no certificate:shows no certificate:NORMAL:-VERS-ALL:+VERS-TLS1.3" \
	"no certificate, TLS 1.2:shows no certificate:NORMAL:-VERS-ALL:+VERS-TLS1.2"; do
	IFS=: read -r name said priority <<<"$row"
	timeout 60 gnutls-cli --x509cafile certs/good/ca-cert.pem --priority "$priority" -p "$port" 127.0.0.1 \
		</dev/null >cli.out 2>&1
	wait_for grep -q "$said" b.err
	: >b.err
	check "tls: a stranger with $name is let go"
done
timeout 60 gnutls-cli --x509cafile certs/good/ca-cert.pem --x509certfile certs/good/client-cert.pem \
	--x509keyfile certs/good/client-key.pem -p "$port" 127.0.0.1 \
	--priority "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0:%COMPAT" </dev/null >cli.out 2>&1 &&
	problem "TLS 1.1 was taken: $(tail -2 cli.out)"
wait_for grep -q "not a VM" b.err
grep -qiE "version|something else than TLS 1.2" b.err || problem "no word on the version: $(cat b.err)"
: >b.err
check "tls: older than 1.2 is refused by the destination"

ran timeout 60 "$minivmm" migrate a "$to"
expect_failure "127.0.0.1" "sent something else than TLS 1.2 or later"
check "tls: a plain source is let go by a destination that wants TLS"

# Cut, and silence, in the middle of the handshake: half a ClientHello.
timeout 60 python3 - "$port" <<-'EOF2'
	import socket, sys
	s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
	s.send(bytes.fromhex("1603010200010001fc0303") + bytes(40))
	s.close()
EOF2
wait_for grep -q "or broke off" b.err
check "tls: cut in the handshake, seen by the destination"
timeout 60 python3 - "$port" <<-'EOF2'
	import socket, sys
	s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
	s.send(bytes.fromhex("1603010200010001fc0303") + bytes(40))
	s.recv(100)
EOF2
wait_for grep -q "sent nothing for 5 s" b.err
check "tls: silence in the handshake ends, seen by the destination"
ran timeout 60 "$minivmm" migrate a "$to" --tls-dir certs/good
expect_status 0
expect_grows b.out
end_receiver
check "tls: after all those strangers it still takes a VM"

counter
receiver -
ran timeout 60 "$minivmm" migrate a "$to" --tls-dir certs/good
expect_failure "is --tls-dir given" "not a VM"
end_receiver
check "tls: a destination without TLS is not believed"

timeout 120 python3 - >port <<-'EOF2' &
	import socket
	s = socket.create_server(("127.0.0.1", 0))
	print(s.getsockname()[1], flush=True)
	c, _ = s.accept()
	c.recv(100)
	c.shutdown(socket.SHUT_RDWR)
	c.close()
	c, _ = s.accept()
	c.recv(10000)
	c.recv(1)
EOF2
wait_for test -s port
ran timeout 60 "$minivmm" migrate a "tcp:127.0.0.1:$(cat port)" --tls-dir certs/good
expect_status 1
expect_err "a goes on here"
check "tls: cut in the handshake, seen by the source"
ran timeout 60 "$minivmm" migrate a "tcp:127.0.0.1:$(cat port)" --tls-dir certs/good --peer-timeout 0.5
expect_status 1
expect_err "sent nothing for 0.5 s"
expect_err "a goes on here"
check "tls: silence in the handshake ends, seen by the source"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
gnutls-serv --x509certfile certs/good/server-cert.pem --x509keyfile certs/good/server-key.pem \
	--x509cafile certs/good/ca-cert.pem --priority "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0:%COMPAT" \
	-p "$port" --quiet >serv.out 2>&1 &
pid_s=$!
wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
ran timeout 60 "$minivmm" migrate a "tcp:127.0.0.1:$port" --tls-dir certs/good --peer-timeout 3
expect_status 1
grep -qiE "version|something else than TLS 1.2" <<<"$err" || problem "no word on the version: $err"
expect_err "a goes on here"
kill $pid_s
check "tls: older than 1.2 is refused by the source"

timeout 600 python3 "$top/tests/integration/migrate-faults.py" "$minivmm" "$guests/hello.elf" \
	tls="$tmp/certs/good" "${MIGRATE_FAULTS:-}" || echo "not ok tls: faults: the script failed"

# ---- its files ----

mv certs/no-client/ca-cert.pem certs/no-client/hidden
for row in "no-client:ca-cert.pem: it can't be read" "none:none: No such file"; do
	ran timeout 60 "$minivmm" migrate a tcp:127.0.0.1:1 --tls-dir "certs/${row%%:*}"
	[ "$status" != 0 ] || problem "it did not fail"
	expect_err "${row#*:}"
done
mv certs/no-client/hidden certs/no-client/ca-cert.pem
ran timeout 60 "$minivmm" migrate a tcp:127.0.0.1:1 --tls-dir certs/no-client
expect_status 1
expect_err "client-cert.pem: it can't be read"
echo garbage >certs/no-client/client-cert.pem
cp certs/good/client-key.pem certs/no-client/
ran timeout 60 "$minivmm" migrate a tcp:127.0.0.1:1 --tls-dir certs/no-client
expect_status 1
expect_err "client-cert.pem: "
chmod 644 certs/no-client/client-key.pem
ran timeout 60 "$minivmm" migrate a tcp:127.0.0.1:1 --tls-dir certs/no-client
expect_status 1
expect_err "others may read"
rm certs/no-client/server-cert.pem
ran timeout 60 "$minivmm" receive tcp:127.0.0.1:0 --tls-dir certs/no-client
expect_status 4
expect_err "server-cert.pem: it can't be read"
ran timeout 60 "$minivmm" receive tcp:127.0.0.1:0 --tls-dir certs/good --insecure
expect_status 2
ran timeout 60 "$minivmm" migrate a tcp:127.0.0.1:1 --tls-dir certs/good --insecure
[ "$status" != 0 ] || problem "it did not fail"
expect_err "contradict"
expect_grows a.out
check "tls: files that are missing, unusable or open to others are named"

# The library is not part of anything that does not ask for TLS.
! grep -q libgnutls "/proc/$pid_a/maps" || {
	ran "$minivmm" stop a
	counter
	! grep -q libgnutls "/proc/$pid_a/maps" || problem "a VM maps it without TLS"
}
check "tls: the library is loaded only when asked for"
