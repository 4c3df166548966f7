#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck source-path=SCRIPTDIR
# saving.sh BUILD: while a VM is being saved, and reads the whole of a disk for it, others are answered.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/helpers.sh"
cd "$tmp" || exit 1
hello=$guests/hello.elf
rows=("saving: others are answered" "saving: given up by who asked" "saving: while the file is written"
	"saving: a VM that ends" "saving: at a sync point")
need_kvm "${rows[@]}" || exit 0

# A disk is read block by block as soon as the file hold is gone; a snapshot is flushed as soon as hold-file is.
cat >shim.c <<'EOC'
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static void wait_for(const char *hold)
{
	if (access(hold, F_OK))
		return;
	close(open("held", O_CREAT | O_WRONLY, 0600));
	/* A minute: longer only if nobody is answered any more. */
	for (int i = 0; i < 6000 && access(hold, F_OK) == 0; i++)
		usleep(10000);
}
static ssize_t slow(int fd, void *p, size_t n, off_t at)
{
	if (n == 65536)
		wait_for("hold");
	return syscall(SYS_pread64, fd, p, n, at);
}
int fsync(int fd)
{
	wait_for("hold-file");
	return (int)syscall(SYS_fsync, fd);
}
ssize_t pread(int fd, void *p, size_t n, off_t at) { return slow(fd, p, n, at); }
ssize_t pread64(int fd, void *p, size_t n, off_t at) { return slow(fd, p, n, at); }
EOC
why=
if nm "$minivmm" 2>/dev/null | grep -q __asan_init; then
	why="a sanitizer has to be loaded first"
elif ! "${CC:-gcc}" -D_GNU_SOURCE -shared -fPIC -o shim.so shim.c 2>cc; then
	why="no compiler: $(head -1 cc)"
fi
if [ -n "$why" ]; then
	for row in "${rows[@]}"; do
		skip "$row" "$why"
	done
	exit 0
fi
head -c 1M /dev/zero | tr '\0' x >disk.img

vm() { # NAME [OPTIONS]: a guest that counts, with a disk
	local name=$1
	shift
	start "$name" env LD_PRELOAD="$tmp/shim.so" "$minivmm" run "$hello" -q --disk disk.img --name "$name" \
		--append "mode=counter ticks=100000000 delay=2000" "$@"
	vm_pid=$pid
	wait_for grep -q "counter: 5 " "$name.out"
}
ask() { # NAME FILE: for a snapshot, in the background, up to where the disk is held
	touch hold
	rm -f held
	start asker "$minivmm" snapshot "$1" "$2"
	wait_for test -e held
}
let_go() {
	rm -f hold
}
state_is() {
	[ "$(json "$("$minivmm" status "$1" --json)" state)" = "$2" ]
}
goes_on() { # NAME: the guest counts further than now
	local now
	now=$(wc -l <"$1.out")
	wait_for eval "[ \$(wc -l <$1.out) -gt $((now + 3)) ]"
}
no_remains() {
	[ -z "$(find . -name '.minivmm-*')" ] || problem "a temporary file is left"
}

vm one
ask one a.snap
state_is one saving || problem "the VM is not being saved"
ran "$minivmm" list
expect_out saving
goes_on one
ran "$minivmm" snapshot one b.snap
expect_status 1
expect_err "it is being saved"
ran "$minivmm" migrate one unix:nobody
expect_status 1
expect_err "it is being saved"
ran "$minivmm" pause one
expect_status 0
ran "$minivmm" resume one
expect_status 0
goes_on one
expect_no_file a.snap
let_go
ended asker
expect_status 0
state_is one running || problem "it does not go on"
goes_on one
ran "$minivmm" inspect a.snap
expect_status 0
ask one b.snap
ran "$minivmm" pause one
expect_status 0
let_go
ended asker
expect_status 0
state_is one paused || problem "a VM paused meanwhile does not stay so"
"$minivmm" resume one >/dev/null
check "${rows[0]}"

cp a.snap old.snap
ask one a.snap
kill -INT "$pid"
wait "$pid"
# Who is answered now came after the VM had seen that the other one is gone.
state_is one saving || problem "the disk is not read any more"
let_go
wait_for state_is one running
goes_on one
cmp a.snap old.snap || problem "the old file is another"
no_remains
ran "$minivmm" snapshot one a.snap
expect_status 0
cmp -s a.snap old.snap && problem "the next one did not replace it"
check "${rows[1]}"

touch hold-file
rm -f held
start asker "$minivmm" snapshot one c.snap
wait_for test -e held
state_is one saving || problem "the VM is not being saved"
lines=$(wc -l <one.out)
ran "$minivmm" resume one
expect_status 0
ran "$minivmm" migrate one --cancel
expect_status 1
expect_err "too late: the file is being written"
kill -INT "$pid"
wait "$pid"
state_is one saving || problem "it was given up"
expect_equal "$(wc -l <one.out)" "$lines" "lines of a guest that is halted"
rm hold-file
wait_for state_is one running
goes_on one
ran "$minivmm" inspect c.snap
expect_status 0
check "${rows[2]}"

cp a.snap old.snap
ask one a.snap
"$minivmm" stop one &
stop_pid=$!
sleep 0.3
kill -0 "$stop_pid" || problem "stop did not wait for the end"
let_go
wait "$stop_pid" || problem "stop failed"
kill -0 "$vm_pid" 2>/dev/null && [ "$(ps -o stat= "$vm_pid")" != Z ] && problem "the VM is still there"
ended asker
expect_status 1
expect_err "the VM ended meanwhile"
wait "$vm_pid"
cmp a.snap old.snap || problem "the old file is another"
no_remains
check "${rows[3]}"

touch hold
rm -f held
start two env LD_PRELOAD="$tmp/shim.so" "$minivmm" run "$hello" -q --disk disk.img --name two \
	--append "mode=counter ticks=10 delay=2000" --snapshot-on-sync sync.snap
vm_pid=$pid
wait_for test -e held
state_is two saving || problem "the VM is not being saved"
lines=$(wc -l <two.out)
ran "$minivmm" pause two
ran "$minivmm" resume two
ran "$minivmm" snapshot two b.snap
expect_err "it is being saved"
expect_equal "$(wc -l <two.out)" "$lines" "lines of a guest at its sync point"
let_go
ended two
expect_status 0
[ "$(wc -l <two.out)" -gt "$lines" ] || problem "the guest did not go on"
ran "$minivmm" restore -q sync.snap
expect_status 0
check "${rows[4]}"
