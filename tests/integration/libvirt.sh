#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR disable=SC2154
# libvirt.sh BUILD: hosts, domains and CPUs by libvirt's API, against libvirt's own verdict, against a guest
# that it boots; the gate between two libvirtds.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
. "$(dirname "$0")/libvirtd.bash"

hosts=$top/tests/data/hosts

# ---- a build without it ----

off=$build/tests/minivmm-virt-off
if [ -x "$off" ]; then
	without() { # COMMAND...: what needs libvirt says so, and leaves nothing
		ran "$@"
		expect_status 5
		expect_err "this minivmm was built without libvirt"
		expect_err "libvirt-dev"
		expect_equal "$out" ""
	}
	echo "<domain><name>d</name><cpu mode='custom'><model>Penryn</model></cpu></domain>" >"$tmp/d.xml"
	ran "$off" --version
	expect_status 0
	expect_out "libvirt: not built in"
	without "$off" host --connect test:///default -o "$tmp/off.json"
	expect_no_file "$tmp/off.json"
	without "$off" check d@test:///default "$hosts/penryn.json"
	without "$off" check "$tmp/d.xml" "$hosts/penryn.json"
	without "$off" baseline test:///default
	without "$off" mask convert --to libvirt "$top/configs/baselines/intel-penryn.mask"
	without "$off" mask convert --from libvirt --to guide "$tmp/d.xml"
	ran "$off" check --on "$hosts/penryn.json" "$hosts/penryn.json" test:///default
	expect_status 5
	expect_out "penryn.json: accepted"
	ran "$off" baseline -q "$hosts/penryn.json"
	expect_status 0
	check "libvirt: a build without it says so, and does all the rest"
else
	skip "libvirt: a build without it says so, and does all the rest" "not built: make unit-tests"
fi

if [ "$("$minivmm" --version | sed -n 's/^libvirt: //p')" != "built in" ]; then
	skip "libvirt" "built without libvirt-dev"
	exit 0
fi

# ---- without a daemon ----

ran "$minivmm" host --connect test:///default -o "$tmp/test.json"
expect_status 0
expect_err "the driver tells no CPU model: the host's features are unknown"
expect_no_err "written where there was no /dev/kvm"
check "libvirt: a driver that tells nothing"

penryn=$top/configs/baselines/intel-penryn.mask
echo "feature sse4.1 = T" >"$tmp/t.mask"
ran "$minivmm" check --on "$hosts/penryn.json" --mask "$tmp/t.mask" "$tmp/test.json"
expect_status 3
expect_out "SSE4.1 (ECX:19): unknown on the destination; T"
expect_out "unknown, so not checked: vendor"
check "libvirt: T refuses what is unknown"
ran "$minivmm" check --on "$hosts/penryn.json" --strict --mask "$tmp/t.mask" "$tmp/test.json"
expect_status 3
expect_err "known through libvirt only"
check "libvirt: --strict refuses what libvirt describes"
printf 'feature sse4.1 = H\nfeature aes = R\nfeature fma = F\n' >"$tmp/hrf.mask"
ran "$minivmm" check --on "$hosts/penryn.json" --mask "$tmp/hrf.mask" "$tmp/test.json"
expect_status 3
expect_out "SSE4.1 (ECX:19): unknown on one side; H"
expect_out "AES (ECX:25): unknown on one side; R"
expect_out "FMA (ECX:12): unknown on the destination; F"
check "libvirt: so do H, R and F"

cat >"$tmp/cpu.xml" <<-EOF
	<domain type='kvm'>
	  <name>web</name>
	  <cpu mode='custom' match='exact' check='full'>
	    <model fallback='forbid'>Penryn</model>
	    <vendor>Intel</vendor>
	    <feature policy='disable' name='cx16'/>
	    <feature policy='require' name='popcnt'/>
	    <feature policy='forbid' name='movbe'/>
	    <feature policy='force' name='aes'/>
	    <feature policy='optional' name='avx'/>
	  </cpu>
	</domain>
EOF
ran "$minivmm" check "$tmp/cpu.xml" "$hosts/sandybridge.json" "$hosts/penryn.json" "$hosts/epyc.json"
expect_status 3
expect_out "sandybridge.json: accepted"
expect_out "penryn.json: 1 mismatch refuses"
expect_out "  * POPCNT (ECX:23): destination lacks it; T cpu.xml:7"
expect_out "MOVBE (ECX:22): destination has it; F cpu.xml:8"
expect_out 'rule vendor: the source is "GenuineIntel", the destination is "AuthenticAMD"'
check "libvirt: a domain's XML is judged by its policies"
ran sh -c '"$0" check - "$1" <"$2"' "$minivmm" "$hosts/sandybridge.json" "$tmp/cpu.xml"
expect_status 0
check "libvirt: a domain on standard input"

ran "$minivmm" mask convert --from libvirt --to feature "$tmp/cpu.xml"
expect_status 0
for line in "SSE4.1 = T" "CX16 = 0" "POPCNT = T" "MOVBE = F" "AES = 1" "AVX = x" "XSAVE = 0"; do
	expect_out "feature $line"
done
check "libvirt: <cpu> becomes a mask"

# What a model is the least of is the host's to say: shown there, and nothing that could be judged.
sed "s/match='exact' check='full'/match='minimum'/" "$tmp/cpu.xml" >"$tmp/minimum.xml"
ran "$minivmm" mask convert --from libvirt --to feature "$tmp/minimum.xml"
expect_status 0
for line in "SSE4.1 = T" "CX16 = 0" "MOVBE = F" "AVX = x" "XSAVE = x" "BMI2 = x"; do
	expect_out "feature $line"
done
ran "$minivmm" check "$tmp/minimum.xml" "$hosts/sandybridge.json"
expect_status 4
expect_err "domain 'web' has <cpu match='minimum'>: it sees more where its host has more"
expect_err "virsh dumpxml"
sed "s/match='exact' check='full'/match='strict'/" "$tmp/cpu.xml" >"$tmp/strict.xml"
ran "$minivmm" mask convert --from libvirt --to feature "$tmp/strict.xml"
expect_status 0
expect_out "feature XSAVE = 0"
expect_err "match='strict': a host that has more is not refused"
check "libvirt: how a model matches counts"

# Address bits of QEMU's model, of a line, or of the host: sandybridge.json has 40.
while read -r name status words; do
	line="<maxphysaddr ${words%|*}/>"
	[ "$name" = default ] && line=
	sed "s|^.*<vendor>.*|&$line|; /popcnt/d; /movbe/d" "$tmp/cpu.xml" >"$tmp/phys.xml"
	ran "$minivmm" check "$tmp/phys.xml" "$hosts/sandybridge.json"
	expect_status "$status"
	expect_out "${words#*|}"
	check "libvirt: physical address bits, $name"
done <<-END
	default 0 |not checked: max-leaf linear-bits
	fewer 0 mode='emulate' bits='39'|not checked: max-leaf linear-bits
	more 3 mode='emulate' bits='42'|physical address bits 42, the destination has 40
	host's 0 mode='passthrough'|not checked: max-leaf phys-bits linear-bits
	limit 3 mode='passthrough' limit='46'|physical address bits 46, the destination has 40
	low-limit 0 mode='passthrough' limit='39'|not checked: max-leaf linear-bits
END

# What libvirt has words for comes back as it was: T, 1, 0 and F of every feature that it names.
ran "$minivmm" mask convert --to libvirt "$penryn"
expect_status 0
printf '%s\n' "$out" >"$tmp/penryn.xml"
"$minivmm" mask convert -q --from libvirt --to feature "$tmp/penryn.xml" 2>/dev/null |
	grep -E '^feature|^field phys' | sort >"$tmp/have"
"$minivmm" mask convert -q --to feature "$penryn" 2>/dev/null | grep -E '^feature|^field phys' | sort >"$tmp/want"
lost=$(comm -23 "$tmp/want" "$tmp/have" | grep -v ' = 0$' | tr '\n' ';')
expect_equal "$lost" "feature FDP-EXCPTN-ONLY = 1;feature ZERO-FCS-FDS = 1;" "lines that did not come back"
expect_err "libvirt has no name for it: hidden"
expect_err "FDP-EXCPTN-ONLY"
[ "$(comm -12 "$tmp/want" "$tmp/have" | wc -l)" -gt 120 ] || problem "fewer than 120 lines came back"
check "libvirt: a mask becomes <cpu> and comes back"

# ---- bad input ----

bad() { # NAME STATUS MESSAGE COMMAND...
	local name=$1 wanted=$2 message=$3
	shift 3
	ran "$@"
	expect_status "$wanted"
	expect_err "$message"
	check "libvirt: $name"
}
x=$hosts/penryn.json
down="qemu+unix:///system?socket=$tmp/nobody"
bad "nobody there" 1 "$down: libvirt: Failed to connect" "$minivmm" host --connect "$down"
bad "nobody there, for a domain" 1 "libvirt: Failed to connect" "$minivmm" check "vm@$down" "$x"
bad "a transport that is none" 2 "transport" "$minivmm" host --connect qemu+pigeon:///system
bad "no URI" 2 "--connect wants a libvirt URI" "$minivmm" host --connect localhost
bad "no such domain" 4 "Domain not found" "$minivmm" check nope@test:///default "$x"
bad "a domain without <cpu>" 4 "domain 'test' has no <cpu>" "$minivmm" check test@test:///default "$x"
bad "an empty domain" 4 "/dev/stdin: the file is empty" "$minivmm" check - "$x"
bad "a domain for suggest" 2 "is a libvirt domain" "$minivmm" mask suggest test@test:///default "$x"
for mode in host-passthrough maximum host-model; do
	echo "<domain><name>m</name><cpu mode='$mode'/></domain>" >"$tmp/mode.xml"
	word="mode='$mode'"
	[ $mode != host-model ] || word="follows the host it starts on"
	bad "a domain of mode $mode" 4 "$word" "$minivmm" check "$tmp/mode.xml" "$x"
	bad "converting mode $mode" 4 "nothing to convert" \
		"$minivmm" mask convert --from libvirt --to guide "$tmp/mode.xml"
done
sed 's/Penryn/Pentium-VII/' "$tmp/cpu.xml" >"$tmp/model.xml"
bad "a model that libvirt does not know" 4 "Pentium-VII" "$minivmm" check "$tmp/model.xml" "$x"
sed "s/policy='force'/policy='maybe'/" "$tmp/cpu.xml" >"$tmp/policy.xml"
bad "a policy that is none" 4 "policy.xml:9: 'maybe'" "$minivmm" check "$tmp/policy.xml" "$x"
echo "<network/>" >"$tmp/network.xml"
bad "another document" 4 "<network>, not a libvirt domain" "$minivmm" check "$tmp/network.xml" "$x"
bad "a model to write that is none" 4 "Unknown CPU model Nix" "$minivmm" mask convert --to libvirt --model Nix "$penryn"

# One host of several that can't be asked: the others are judged, the exit code tells.
ran "$minivmm" check "$tmp/cpu.xml" "$hosts/sandybridge.json" "$down"
expect_status 1
expect_out "sandybridge.json: accepted"
expect_err "Failed to connect"
check "libvirt: one of several hosts is down"

# ---- with daemons of our own ----

missing=$(libvirtd_missing)
# Its interceptors of xdr functions look for those of a library that is not loaded yet, and call what is not there.
! sanitized || missing="the sanitizer can't decode what a daemon says"
if [ -n "$missing" ]; then
	for t in "a live host" "libvirt accepts our XML" "the guest sees the same bits" "the gate"; do
		skip "libvirt: $t" "$missing"
	done
	exit 0
fi

# Two hosts: to the second one a domain comes with SSE4.1, to the third without it.
host_file() { # NAME [OPTIONS]: this machine's, or one of the repository's if KVM is not here
	"$minivmm" host -q -o "$tmp/$1.json" --from "$hosts/penryn.json" "${@:2}" >/dev/null 2>&1
}
for h in good poor; do
	mkdir -p "$tmp/$h/etc/hooks"
	cp "$top/contrib/libvirt-hook/qemu" "$tmp/$h/etc/hooks/"
	printf 'MINIVMM=%s\nHOST=%s\n' "$minivmm" "$tmp/$h.json" >"$tmp/$h/etc/hooks/minivmm.conf"
done
host_file good
host_file poor --without ssse3
libvirtd_start source && source_uri=$uri
# What it finds out about QEMU, which takes seconds, is true for the others.
virsh -q -c "$source_uri" capabilities >/dev/null
for h in good poor; do
	cp -a "$tmp/source/cache" "$tmp/$h/cache"
done
libvirtd_start good && good_uri=$uri
libvirtd_start poor && poor_uri=$uri
check "libvirt: three daemons of our own"
virsh="virsh -q -c $source_uri"

ran "$minivmm" host --connect "$source_uri" -o "$tmp/live.json"
expect_status 0
ran "$minivmm" host --from "$tmp/live.json"
expect_out "as libvirt"
expect_out "unknown    reserved bits, XSAVE layout, highest leaves, interception"
# libvirt's own list of what this CPU has, one by one
$virsh capabilities | sed -n "/<cpu>/,/<\/cpu>/s/.*<feature name='\(.*\)'.*/\1/p" | sort >"$tmp/libvirt-says"
expect_equal "$(grep -c . "$tmp/libvirt-says" | awk '{ print ($1 > 20) }')" 1 "features that libvirt tells"
ran "$minivmm" mask final --effective --host "$tmp/live.json" --json
ran "$minivmm" baseline -o "$tmp/live.mask" "$source_uri"
expect_status 0
expect_err "known through libvirt"
ran "$minivmm" check --on "$tmp/live.json" --mask "$tmp/live.mask" "$source_uri"
expect_status 0
expect_out "accepted (rule guide)"
expect_out "unknown, so not checked: max-leaf"
check "libvirt: a live host, its baseline, and the baseline accepted there"

# A domain of ours: Merom without what TCG lacks; under minivmm by the same files.
merom=$top/configs/baselines/intel-merom.mask
printf 'feature %s = 0\n' x2apic vme tsc_adjust md-clear arat FDP-EXCPTN-ONLY ZERO-FCS-FDS >"$tmp/tcg.mask"
printf 'field phys-bits = 40\n' >>"$tmp/tcg.mask"
"$minivmm" mask convert -q --to libvirt "$merom" "$tmp/tcg.mask" >"$tmp/merom.xml" 2>/dev/null
ran $virsh hypervisor-cpu-compare --virttype qemu --validate --error "$tmp/merom.xml"
expect_status 0
ran $virsh hypervisor-cpu-compare --virttype qemu --validate --error "$tmp/penryn.xml"
expect_err "Host CPU does not provide required features"
check "libvirt: libvirt validates our XML, and compares it"

domain_xml same "$(cat "$tmp/merom.xml")" probe.elf "nonce=c0ffee" >"$tmp/same.xml"
ran $virsh create --validate "$tmp/same.xml"
expect_status 0
ran "$minivmm" check "same@$source_uri" "$hosts/penryn.json"
expect_status 0
wait_for grep -q "^probe: summary" "$tmp/same.serial"
check "libvirt: a domain with our <cpu check='full'> boots the probe"

# ---- over SSH ----

ssh_missing=$(sshd_missing)
if [ -n "$ssh_missing" ]; then
	skip "libvirt: qemu+ssh://" "$ssh_missing"
else
	sshd_start source
	over_ssh="qemu+ssh://root@127.0.0.1:$ssh_port/system?command=$tmp/ssh/client"
	ran "$minivmm" host --connect "$over_ssh" -o "$tmp/ssh.json"
	expect_status 0
	expect_equal "$(json "$(cat "$tmp/ssh.json")" raw)$(json "$(cat "$tmp/ssh.json")" kvm)" \
		"$(json "$(cat "$tmp/live.json")" raw)$(json "$(cat "$tmp/live.json")" kvm)" "the host by SSH and by its socket"
	ran "$minivmm" check "same@$over_ssh" "$hosts/penryn.json" "$over_ssh"
	expect_out "penryn.json: accepted"
	ran "$minivmm" baseline -q "$over_ssh"
	expect_status 0
	grep -q "Pubkey auth succeeded for 'root'" "$tmp/ssh/out" || problem "nobody came to the SSH server"
	check "libvirt: host, check and baseline over qemu+ssh://"

	rm "$tmp/ssh/key"
	ssh-keygen -q -t ed25519 -N "" -f "$tmp/ssh/key"
	ran "$minivmm" host --connect "$over_ssh" -o "$tmp/stranger.json"
	expect_status 1
	expect_err "$over_ssh: libvirt: Cannot recv data: "
	expect_err "Permission denied"
	expect_no_file "$tmp/stranger.json"
	: >"$tmp/ssh/known"
	ran "$minivmm" host --connect "$over_ssh"
	expect_status 1
	expect_err "Host key verification failed"
	check "libvirt: qemu+ssh:// with a wrong key, and to a server that is not the known one"
fi

feature_bits "$tmp/same.serial" >"$tmp/same.bits"
expect_equal "$(sed -n 's/^0x00000001 2 //p' "$tmp/same.bits")" 00002201 "SSE3, SSSE3 and CX16 of leaf 1 ECX"
if have_kvm; then
	expect_bits_of "$tmp/same.serial" --mask "$merom" --mask "$tmp/tcg.mask"
	check "libvirt: the guest sees the same feature bits under minivmm"
else
	skip "libvirt: the guest sees the same feature bits under minivmm" "no /dev/kvm"
fi

# ---- the gate ----

domain_xml mover "$(cat "$tmp/merom.xml")" hello.elf "mode=counter ticks=100000000 delay=20000 nonce=vm" \
	>"$tmp/mover.xml"
ran $virsh create --validate "$tmp/mover.xml"
expect_status 0
wait_for grep -q "^counter: 3 vm" "$tmp/mover.serial"
migrate() { # URI
	ran timeout 300 $virsh migrate --live mover "$1" tcp:127.0.0.1
}
# Without the host file the gate stays shut.
mv "$tmp/poor.json" "$tmp/aside"
migrate "$poor_uri"
expect_status 1
expect_err "poor.json: No such file"
mv "$tmp/aside" "$tmp/poor.json"
check "libvirt: a gate that does not know its host refuses"

migrate "$poor_uri"
expect_status 1
expect_err "minivmm refuses domain mover"
expect_err "SSSE3 (ECX:9): destination lacks it; T"
expect_err "an override that helps"
ran $virsh domstate mover
expect_out running
before=$(tail -1 "$tmp/mover.serial")
wait_for sh -c '[ "$(tail -1 "$0")" != "$1" ]' "$tmp/mover.serial" "$before"
check "libvirt: the gate refuses with our reasons, and the guest goes on at the source"

migrate "$good_uri"
expect_status 0
ran virsh -q -c "$good_uri" domstate mover
expect_out running
before=$(tail -1 "$tmp/mover.serial")
wait_for sh -c '[ "$(tail -1 "$0")" != "$1" ]' "$tmp/mover.serial" "$before"
check "libvirt: it lets a host that fits have the domain"

# ---- a connection that is lost ----

# libvirtd stands still after the connection is made, and is gone a moment later.
kill -STOP "${libvirtd_pids[2]}"
start lost "$minivmm" host --connect "$poor_uri"
sleep 0.3
kill -KILL "${libvirtd_pids[2]}"
ended lost 2>/dev/null
expect_status 1
expect_err "$poor_uri: libvirt: "
check "libvirt: the daemon dies while it is asked"
libvirtd_stop
