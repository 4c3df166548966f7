# SPDX-License-Identifier: MIT
# Sourced by tests that need a libvirtd of their own: its folders, configuration, hooks and users are
# private to a mount namespace, its host name to a UTS namespace; the machine's own libvirt is not touched.
# shellcheck shell=bash disable=SC2154

libvirtd_pids=()

# Why there can't be one; nothing if there can.
libvirtd_missing() {
	local p
	for p in libvirtd virsh qemu-system-x86_64 unshare; do
		command -v "$p" >/dev/null || { echo "$p is not installed"; return; }
	done
	[ -e /usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so ] ||
		{ echo "libvirt's QEMU driver is not installed"; return; }
	unshare -m -u sh -c 'mount --make-rprivate / && mount --bind "$0" /etc/libvirt' "$tmp" 2>/dev/null ||
		echo "no mount and UTS namespaces here"
}

# libvirtd_start NAME [nokvm]: its files in $tmp/NAME, its URI in $uri. Its /etc/libvirt is $tmp/NAME/etc: hooks
# are to be there before. nokvm: it does not see /dev/kvm.
libvirtd_start() {
	local d=$tmp/$1
	mkdir -p "$d"/{lib,cache,log,run,etc/hooks}
	cat >"$d/etc/qemu.conf" <<-EOF
		user = "root"
		group = "root"
		dynamic_ownership = 0
		remember_owner = 0
		security_driver = "none"
		stdio_handler = "file"
		cgroup_controllers = []
		namespaces = []
	EOF
	cat >"$d/libvirtd.conf" <<-EOF
		auth_unix_rw = "none"
		auth_unix_ro = "none"
		host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
		log_outputs = "3:file:$d/libvirtd.log"
	EOF
	{ cat /etc/passwd; echo "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin"; } >"$d/passwd"
	{ cat /etc/group; echo "libvirt-qemu:x:64055:"; echo "kvm:x:64056:"; } >"$d/group"
	mkdir -p /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
	# shellcheck disable=SC2016
	unshare -m -u sh -c '
		set -e
		mount --make-rprivate /
		hostname "$1"
		mount -t tmpfs none /run
		mkdir /run/libvirt
		mount --bind "$0/lib" /var/lib/libvirt
		mount --bind "$0/cache" /var/cache/libvirt
		mount --bind "$0/log" /var/log/libvirt
		mount --bind "$0/run" /run/libvirt
		mount --bind "$0/etc" /etc/libvirt
		mount --bind "$0/passwd" /etc/passwd
		mount --bind "$0/group" /etc/group
		if [ "$2" = nokvm ]; then
			mkdir "$0/dev"
			for n in null zero full random urandom tty; do
				: >"$0/dev/$n"
				mount --bind "/dev/$n" "$0/dev/$n"
			done
			mount --rbind "$0/dev" /dev
		fi
		exec libvirtd -f "$0/libvirtd.conf" -p "$0/pid"' "$d" "$1" "${2:-}" >"$d/out" 2>&1 </dev/null &
	libvirtd_pids+=($!)
	uri="qemu+unix:///system?socket=$d/run/libvirt-sock"
	local i
	for ((i = 0; i < 1200; i++)); do
		virsh -q -c "$uri" version >/dev/null 2>&1 && return 0
		sleep 0.05
	done
	problem "libvirtd $1 did not come up: $(tail -1 "$d/libvirtd.log" 2>/dev/null)"
	return 1
}

# All of them, and what they started.
libvirtd_stop() {
	local d p
	for d in "$tmp"/*/run/libvirt-sock; do
		[ -e "$d" ] || continue
		for p in $(virsh -q -c "qemu+unix:///system?socket=$d" list --name 2>/dev/null); do
			virsh -q -c "qemu+unix:///system?socket=$d" destroy "$p" >/dev/null 2>&1
		done
	done
	for p in ${libvirtd_pids[@]+"${libvirtd_pids[@]}"}; do
		kill "$p" 2>/dev/null && wait "$p" 2>/dev/null
	done
	libvirtd_pids=()
}
trap 'libvirtd_stop; rm -rf "$tmp"' EXIT

# Why there can't be an SSH server of our own; nothing if there can.
sshd_missing() {
	local p
	for p in ssh ssh-keygen dropbear dropbearkey virt-ssh-helper; do
		command -v "$p" >/dev/null || { echo "$p is not installed"; return; }
	done
}

# sshd_start NAME: dropbear, which unlike openssh-server comes without a service of the machine's, on a port of the
# loopback in $ssh_port, as if the libvirtd of that name were its machine's. Root there is at home in $tmp/ssh and has
# one key, $tmp/ssh/key; $tmp/ssh/client is an ssh that knows this server and reads nothing of the user's.
sshd_start() {
	local d=$tmp/ssh i
	mkdir -m 700 -p "$d/.ssh"
	ssh-keygen -q -t ed25519 -N "" -f "$d/key"
	cp "$d/key.pub" "$d/.ssh/authorized_keys"
	dropbearkey -t ed25519 -f "$d/host" >"$d/host.txt" 2>&1
	{ sed '/^root:/d' /etc/passwd; echo "root:x:0:0:root:$d:/bin/sh"; } >"$d/passwd"
	: >"$d/out"
	ssh_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	echo "[127.0.0.1]:$ssh_port $(grep ^ssh-ed25519 "$d/host.txt")" >"$d/known"
	cat >"$d/client" <<-EOF
		#!/bin/sh
		exec ssh -F /dev/null -i "$d/key" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \\
			-o UserKnownHostsFile="$d/known" -o GlobalKnownHostsFile=/dev/null "\$@"
	EOF
	chmod 755 "$d/client"
	unshare -m sh -c '
		set -e
		mount --make-rprivate /
		mount -t tmpfs none /run
		mkdir /run/libvirt
		mount --bind "$1" /run/libvirt
		mount --bind "$0/passwd" /etc/passwd
		shift
		exec "$@"' "$d" "$tmp/$1/run" \
		dropbear -F -E -s -j -k -r "$d/host" -p "127.0.0.1:$ssh_port" -P "$d/pid" >"$d/out" 2>&1 </dev/null &
	libvirtd_pids+=($!)
	for ((i = 0; i < 1200; i++)); do
		grep -q "Not backgrounding" "$d/out" && return 0
		sleep 0.05
	done
	problem "dropbear did not come up: $(tail -1 "$d/out")"
	return 1
}

# domain_xml NAME CPU-XML IMAGE COMMAND-LINE: one that boots a guest of ours by emulation; its serial port
# goes to $tmp/NAME.serial.
domain_xml() {
	cat <<-EOF
		<domain type='qemu'>
		  <name>$1</name>
		  <uuid>$(cat /proc/sys/kernel/random/uuid)</uuid>
		  <memory unit='MiB'>64</memory>
		  <os>
		    <type arch='x86_64' machine='pc'>hvm</type>
		    <kernel>$guests/$3</kernel>
		    <cmdline>$4</cmdline>
		  </os>
		  <features><acpi/><apic/></features>
		  $2
		  <on_reboot>destroy</on_reboot>
		  <devices>
		    <controller type='usb' model='none'/>
		    <memballoon model='none'/>
		    <serial type='file'><source path='$tmp/$1.serial' append='on'/></serial>
		  </devices>
		</domain>
	EOF
}
