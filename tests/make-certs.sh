#!/bin/bash
# SPDX-License-Identifier: MIT
# make-certs.sh DIR: TLS folders for tests, made by certtool. good/ is in order, both sides for localhost
# and 127.0.0.1; every other folder is good/ but for what its name says.
set -eu
mkdir -p "$1"
cd "$1"

sign() { # DIR WHO TEMPLATE-LINES: WHO-cert.pem by DIR's CA
	printf '%s\n' "cn = $2" signing_key encryption_key "$3" >template
	certtool --generate-certificate --load-privkey "$1/$2-key.pem" --load-ca-certificate "$1/ca-cert.pem" \
		--load-ca-privkey "$1/ca-key.pem" --template template --outfile "$1/$2-cert.pem" 2>/dev/null
}

key() { # FILE
	certtool --generate-privkey --key-type=ecdsa --sec-param=high --outfile "$1" 2>/dev/null
	chmod 600 "$1"
}

lines() { # LINE...
	printf '%s\n' "$@"
}

server=$(lines tls_www_server 'dns_name = localhost' 'ip_address = 127.0.0.1' 'expiration_days = 30')
client=$(lines tls_www_client 'expiration_days = 30')

authority() { # DIR
	mkdir -p "$1"
	key "$1/ca-key.pem"
	printf '%s\n' 'cn = minivmm test CA' ca cert_signing_key crl_signing_key 'expiration_days = 30' >template
	certtool --generate-self-signed --load-privkey "$1/ca-key.pem" --template template \
		--outfile "$1/ca-cert.pem" 2>/dev/null
}

whole() { # DIR
	authority "$1"
	for who in server client; do key "$1/$who-key.pem"; done
	sign "$1" server "$server"
	sign "$1" client "$client"
}

whole good
whole other-ca
for d in expired other-host foreign-client wrong-purpose revoked no-client not-yet; do cp -r good $d; done

past=$(lines 'activation_date = "2001-01-01"' 'expiration_date = "2001-02-01"')
sign expired server "$(lines "${server%expiration_days*}" "$past")"
sign expired client "$(lines "${client%expiration_days*}" "$past")"
future=$(lines 'activation_date = "2090-01-01"' 'expiration_date = "2091-01-01"')
sign not-yet client "$(lines "${client%expiration_days*}" "$future")"
sign other-host server "${server//localhost/elsewhere.example}"
sed -i 's/127.0.0.1/192.0.2.7/' template
certtool --generate-certificate --load-privkey other-host/server-key.pem \
	--load-ca-certificate other-host/ca-cert.pem --load-ca-privkey other-host/ca-key.pem \
	--template template --outfile other-host/server-cert.pem 2>/dev/null
cp other-ca/client-*.pem foreign-client/
# A client's certificate where a server's is due, and the other way round.
sign wrong-purpose server "${server/www_server/www_client}"
sign wrong-purpose client "${client/www_client/www_server}"
# The CA takes its word on the client back.
printf '%s\n' 'crl_next_update = 30' 'crl_number = 1' >template
certtool --generate-crl --load-ca-privkey revoked/ca-key.pem --load-ca-certificate revoked/ca-cert.pem \
	--load-certificate revoked/client-cert.pem --template template --outfile revoked/ca-crl.pem 2>/dev/null
rm no-client/client-*.pem template
