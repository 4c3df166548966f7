#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC1091,SC2154
# confine.sh BUILD: what a VM's process may still do, who it is, who gets a VM's name, and what a host
# has too little of.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"

need_kvm "filter" "privileges" "names" "limits" || exit 0
cd "$tmp" || exit 1
hello=$guests/hello.elf

# Loaded before the C library: a call that a VM's process has no business with; a pause between
# finding a socket stale and removing it; a host with less than this one, or more.
cat >shim.c <<'EOC'
#include <asm/prctl.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include "shim.h"
static void order(const char *what)
{
	FILE *f = getenv("SHIM_ORDER") ? fopen(getenv("SHIM_ORDER"), "a") : NULL;

	if (f) {
		fprintf(f, "%s\n", what);
		fclose(f);
	}
}
static void before_syscall(long nr, const long a[6])
{
	if (nr == SYS_arch_prctl && a[0] == ARCH_REQ_XCOMP_GUEST_PERM && a[1] == 18)
		order("permission");
}
int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	if (getenv("SHIM_CALL"))
		syscall(atoi(getenv("SHIM_CALL")), 0, 0, 0, 0);
	return (int)syscall(SYS_timerfd_settime, fd, flags, new, old);
}
long sysconf(int name)
{
	static long (*real)(int);

	if (name == _SC_PHYS_PAGES && getenv("SHIM_PAGES"))
		return atol(getenv("SHIM_PAGES"));
	if (!real)
		real = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
	return real(name);
}
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_RUN && getenv("SHIM_RUN_FAILS")) {
		errno = ENOMEM;
		return -1;
	}
	if (request == KVM_RUN && getenv("SHIM_VCPU_CALL"))
		syscall(atoi(getenv("SHIM_VCPU_CALL")), 0, 0, 0, 0);
	if (request == KVM_CHECK_EXTENSION && (unsigned long)arg == KVM_CAP_MAX_VCPUS && getenv("SHIM_CPUS"))
		return atoi(getenv("SHIM_CPUS"));
	if (request == KVM_GET_SUPPORTED_CPUID)
		order("offer");
	if (request == KVM_CREATE_VCPU)
		order("vcpu");
	if (request == KVM_GET_DEVICE_ATTR && getenv("SHIM_XCOMP")) {
		*(uint64_t *)(uintptr_t)((struct kvm_device_attr *)arg)->addr = strtoull(getenv("SHIM_XCOMP"), NULL, 0);
		return 0;
	}
	return (int)syscall(SYS_ioctl, fd, request, arg);
}
int unlink(const char *path)
{
	if (getenv("SHIM_SLOW") && strstr(path, ".sock"))
		usleep(300000);
	return (int)syscall(SYS_unlink, path);
}
EOC
shim=
if sanitized; then
	no_shim="a sanitizer has to be loaded first"
elif "${CC:-gcc}" -D_GNU_SOURCE -I"$top/tests/integration" -shared -fPIC -o shim.so shim.c 2>cc; then
	shim=$tmp/shim.so
else
	no_shim="no compiler: $(head -1 cc)"
fi

if [ -z "$shim" ]; then
	skip "filter: a call that is not allowed" "$no_shim"
else
	for row in "101 ptrace" "59 execve" "165 mount" "57 fork" "41 socket" "16 ioctl" \
		"4000 (of a number without a name)"; do
		read -r nr name <<<"$row"
		ran env LD_PRELOAD="$shim" SHIM_CALL="$nr" "$minivmm" run "$hello" -q --timeout 30
		expect_status 1
		expect_err "minivmm: the system call $name is not allowed (--no-seccomp runs without the filter)"
		check "filter: $name is not allowed, and that is told"
	done
	ran env LD_PRELOAD="$shim" SHIM_VCPU_CALL=165 "$minivmm" run "$hello" -q --timeout 30
	expect_status 1
	expect_err "minivmm: the system call mount is not allowed"
	check "filter: it is told whichever thread tried"
	ran env LD_PRELOAD="$shim" SHIM_CALL=165 "$minivmm" run "$hello" -q --timeout 30 --no-seccomp
	expect_status 0
	check "filter: --no-seccomp"
fi

status_of() { # PID FIELD: of all its threads
	sed -n "s/^$2:[[:space:]]*//p" /proc/"$1"/task/*/status | sort -u | tr '\t\n' ' ;'
}

start vm "$minivmm" run "$hello" -q --append mode=hang --name vm
wait_for "$minivmm" status vm
expect_equal "$(status_of "$pid" Seccomp)" "2;" "filter"
expect_equal "$(status_of "$pid" NoNewPrivs)" "1;"
[ "$(id -u)" != 0 ] || {
	expect_equal "$(status_of "$pid" CapEff)" "0000000000000002;" "capabilities: DAC_OVERRIDE"
	expect_equal "$(status_of "$pid" CapPrm)" "0000000000000002;"
	expect_equal "$(status_of "$pid" CapBnd)" "0000000000000000;"
}
expect_equal "$(stat -c %a "$XDG_RUNTIME_DIR/minivmm/vm.sock")" 600 "mode of the socket"
"$minivmm" stop vm
ended vm
check "privileges: filter on every thread; of root's, reaching files is left"

# The C library looks where such a path leads.
start dots "$minivmm" run "$hello" -q --append "mode=counter ticks=100000000 delay=20000" --name dots
wait_for "$minivmm" status dots
mkdir below
for path in below/../dots.snap below/./../dots.snap; do
	ran "$minivmm" snapshot dots "$path"
	expect_status 0
done
for path in . below/.. below/; do
	ran "$minivmm" snapshot dots "$path"
	expect_status 1
	expect_err "not a regular file"
done
ran "$minivmm" stop dots
expect_status 0
ended dots
check "filter: snapshots by any path"

if [ "$(id -u)" = 0 ] && id nobody >/dev/null 2>&1 && command -v setpriv >/dev/null; then
	chmod 711 "$tmp"
	install -d -o nobody -m 700 theirs
	as_nobody() {
		setpriv --reuid nobody --clear-groups env XDG_RUNTIME_DIR="$tmp/theirs" "$@"
	}
	install -m 755 "$minivmm" mv
	start vm env XDG_RUNTIME_DIR="$tmp/theirs" "$minivmm" run "$hello" -q --name vm --user nobody \
		--append "mode=counter ticks=100000000 delay=20000"
	wait_for as_nobody ./mv status vm
	uid=$(id -u nobody)
	expect_equal "$(status_of "$pid" Uid)" "$uid $uid $uid $uid;" "user"
	expect_equal "$(status_of "$pid" Groups)" ";" "groups"
	expect_equal "$(status_of "$pid" CapEff)" "0000000000000000;" "capabilities"
	ran as_nobody ./mv snapshot vm "$tmp/theirs/a.snap" --stop
	expect_status 0
	expect_equal "$(stat -c %U theirs/a.snap)" nobody "owner of the snapshot"
	ended vm
	expect_no_file theirs/minivmm/vm.sock
	start vm "$minivmm" run "$hello" -q --name vm --user root --append mode=hang
	wait_for "$minivmm" status vm
	expect_equal "$(status_of "$pid" CapEff)" "0000000000000002;" "capabilities of a user that is root"
	"$minivmm" stop vm
	ended vm
	check "privileges: --user: all ids, sockets and snapshots are that user's"
	ran as_nobody ./mv run nothing --user nobody
	expect_status 4
	check "privileges: what is wrong with the image comes first"
else
	skip "privileges: --user" "not root, or no setpriv"
fi
ran "$minivmm" run "$hello" --user nobody-of-that-name
if [ "$(id -u)" = 0 ]; then
	expect_err "--user nobody-of-that-name: there is no such user"
else
	expect_err "only root can become somebody else"
fi
expect_status 2
check "bad input: --user"

# Three that find the same stale socket: one gets the name.
if [ -n "$shim" ] && command -v perl >/dev/null; then
	perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; bind($s, sockaddr_un(shift)) or die;
		listen($s, 1) or die' "$XDG_RUNTIME_DIR/minivmm/one.sock"
	for i in 1 2 3; do
		(
			LD_PRELOAD=$shim SHIM_SLOW=1 "$minivmm" run "$hello" -q --append mode=hang --name one --timeout 100 \
				>"$i.out" 2>"$i.err" </dev/null
			echo $? >>codes
		) &
		eval "pid$i=$!"
	done
	wait_for sh -c '[ "$(grep -c 1 codes)" = 2 ]'
	wait_for "$minivmm" stop one
	wait "$pid1" "$pid2" "$pid3"
	expect_equal "$(sort codes | tr '\n' ' ')" "0 1 1 " "how three of a name ended"
	expect_equal "$(cat [123].err | grep -c "a VM named 'one' is running")" 2 "who was told"
	expect_no_file "$XDG_RUNTIME_DIR/minivmm/one.sock"
	check "names: three find one stale socket, one gets the name"
else
	skip "names: three find one stale socket" "${no_shim:-no perl}"
fi

if [ -n "$shim" ]; then
	start mover env LD_PRELOAD="$shim" SHIM_SLOW=1 "$minivmm" run "$hello" -q --name mover \
		--append "mode=counter ticks=100000000 delay=20000"
	mover=$pid
	start there "$minivmm" receive unix:there.sock --name there
	wait_for "$minivmm" status mover
	wait_for grep -q listening there.err
	ran "$minivmm" migrate mover unix:there.sock
	expect_status 0
	ran "$minivmm" run "$hello" -q --name mover
	expect_status 0
	wait "$mover"
	expect_equal $? 0 "the source's exit status"
	ran "$minivmm" stop there
	ended there
	expect_status 0
	check "names: that of a VM that moved is free when migrate comes back"
else
	skip "names: that of a VM that moved" "$no_shim"
fi

# ---- what this host has too little of ----

if [ -n "$shim" ]; then
	ran env LD_PRELOAD="$shim" SHIM_PAGES=8191 "$minivmm" run "$hello" --memory 32M
	expect_status 5
	expect_err "32 MiB of guest memory: this host has 31 MiB"
	ran env LD_PRELOAD="$shim" SHIM_PAGES=8192 "$minivmm" run "$hello" -q --memory 32M
	expect_status 0
	ran "$minivmm" run -q "$hello" --memory 32M --append mode=fill --snapshot-on-sync full.snap --stop
	ran env LD_PRELOAD="$shim" SHIM_PAGES=8191 "$minivmm" restore full.snap
	expect_status 5
	expect_err "32 MiB of guest memory: this host has 31 MiB"
	check "limits: more memory than the host has, to start and to restore"
	ran env LD_PRELOAD="$shim" SHIM_CPUS=2 "$minivmm" run "$hello" --cpus 3
	expect_status 5
	expect_err "--cpus 3: this host's KVM takes 2 at most"
	ran env LD_PRELOAD="$shim" SHIM_CPUS=2 "$minivmm" run "$hello" -q --cpus 2
	expect_status 0
	check "limits: more CPUs than KVM takes"
	# What a host can't do just now, when it is tried how it answers CPUID, is not remembered of it.
	mkdir -m 700 "$tmp/short"
	ran env LD_PRELOAD="$shim" SHIM_RUN_FAILS=1 XDG_RUNTIME_DIR="$tmp/short" "$minivmm" run "$hello" -q
	expect_status 1
	expect_err "KVM_RUN: Cannot allocate memory"
	expect_err "hint: it was to be tried how this host answers CPUID"
	expect_equal "$(find "$tmp/short" -type f)" "" "what it remembers"
	ran env XDG_RUNTIME_DIR="$tmp/short" "$minivmm" run "$hello" -q
	expect_status 0
	check "limits: a host that is short of something while it is tried is tried again"
	# XCR0 bits 17 and 18. In a folder of their own nothing is known yet about the host.
	for row in "0x602e7 permission offer vcpu" "0x2e7 offer vcpu"; do
		read -r components want <<<"$row"
		mkdir -m 700 "$tmp/amx-$components"
		ran env LD_PRELOAD="$shim" SHIM_XCOMP="$components" SHIM_ORDER="$tmp/order" \
			XDG_RUNTIME_DIR="$tmp/amx-$components" "$minivmm" run "$hello" -q
		expect_status 0
		expect_equal "$(awk '!seen[$0]++' order | tr '\n' ' ')" "$want " "what is first done when"
		rm order
		check "AMX: with components $components KVM is asked in this order: $want"
	done
else
	skip limits "$no_shim"
fi

long=$tmp/$(printf '%090d' 0)
mkdir -m 700 "$long"
ran env XDG_RUNTIME_DIR="$long" "$minivmm" run "$hello" --name someone
expect_status 2
expect_err "someone.sock is too long"
ran env XDG_RUNTIME_DIR="$long" "$minivmm" status someone
expect_status 2
ran env XDG_RUNTIME_DIR="$long" "$minivmm" run "$hello" -q
expect_status 0
expect_equal "$(find "$long" -type s)" "" "sockets"
check "bad input: a folder of sockets with too long a path"
