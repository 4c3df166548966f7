/* SPDX-License-Identifier: MIT */
/*
 * Saving when something fails, or kills the process, at any of the calls it makes: the old file stays
 * as it was, and nothing piles up. The calls are the program's own: these definitions come before the
 * C library's.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapshot_fixture.h"

TestSuite(snapshot_faults, .init = fixture_setup, .fini = fixture_teardown);

static struct {
	bool on, no_tmpfile;
	int at;			/* which call, from 1; 0: none */
	int error;		/* what it fails with; 0: SIGKILL; -1: only half is written */
	int calls;
	const char *name;	/* of the call that was hit */
} fault;

/* Is this the call? Then errno is set. */
static bool hit(const char *name)
{
	if (!fault.on || ++fault.calls != fault.at)
		return false;
	fault.name = name;
	if (!fault.error)
		raise(SIGKILL);
	errno = fault.error;
	return true;
}

ssize_t write(int fd, const void *buf, size_t len)
{
	struct stat sb;

	if (fault.on && !fstat(fd, &sb) && S_ISREG(sb.st_mode) && hit("write")) {
		if (fault.error > 0)
			return -1;
		len = len / 2 + 1;
	}
	return syscall(SYS_write, fd, buf, len);
}

int fsync(int fd)
{
	return hit("fsync") && fault.error > 0 ? -1 : (int)syscall(SYS_fsync, fd);
}

int fchmod(int fd, mode_t mode)
{
	return hit("fchmod") && fault.error > 0 ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int rename(const char *from, const char *to)
{
	return hit("rename") && fault.error > 0 ? -1 : (int)syscall(SYS_rename, from, to);
}

int linkat(int a, const char *from, int b, const char *to, int flags)
{
	return hit("linkat") && fault.error > 0 ? -1
						: (int)syscall(SYS_linkat, a, from, b, to, flags);
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (fault.on && fault.no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (fault.on && (flags & O_ACCMODE) == O_WRONLY && hit("open") && fault.error > 0)
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* The file as it was saved first, and another machine to save over it. */
static uint8_t *old;
static size_t old_len;

static void begin(void)
{
	fixture_fill(false);
	fixture_save(fx.file);
	old = slurp(fx.file, &old_len);
	fx.ram[0] ^= 1;
}

static bool is_old(void)
{
	size_t len;
	uint8_t *now = slurp(fx.file, &len);
	bool same = len == old_len && !memcmp(now, old, len);

	free(now);
	return same;
}

static int save(struct mv_err *err)
{
	*err = (struct mv_err){ 0 };
	return mv_snapshot_save(fx.file, fx.st, &fx.state, fx.ram, NULL, err);
}

/* How many calls a save makes. */
static int count_calls(void)
{
	struct mv_err err;

	fault.on = true;
	fault.at = 0;
	fault.calls = 0;
	cr_assert(!save(&err), "%s", err.msg);
	fault.on = false;
	spill(fx.file, old, old_len);
	return fault.calls;
}

static void each_call(int error, const char *text)
{
	struct mv_err err;
	int n = count_calls(), rc;

	cr_assert_gt(n, 7);
	for (int i = 1; i <= n; i++) {
		fault.on = true;
		fault.at = i;
		fault.error = error;
		fault.calls = 0;
		rc = save(&err);
		fault.on = false;
		if (error == -1 || (i == 1 && !fault.no_tmpfile)) {
			/* A short write goes on; without O_TMPFILE there is another way. */
			cr_expect(!rc, "call %d (%s): %s", i, fault.name, err.msg);
			spill(fx.file, old, old_len);
		} else if (i == n) {
			/* The folder can't be flushed: the new file is there. */
			cr_expect_eq(rc, -MV_E_FAILED);
			cr_expect(strstr(err.msg, "saved, but"), "%s", err.msg);
			cr_expect(!is_old());
			spill(fx.file, old, old_len);
		} else {
			cr_expect_eq(rc, -MV_E_FAILED, "call %d (%s) did not matter", i, fault.name);
			cr_expect(strstr(err.msg, text), "call %d (%s): %s", i, fault.name, err.msg);
			cr_expect(is_old(), "call %d (%s) harmed the old file", i, fault.name);
		}
		cr_expect_eq(entries(), 1, "call %d (%s) left something behind", i, fault.name);
	}
	free(old);
}

Test(snapshot_faults, eio_at_every_call)
{
	begin();
	each_call(EIO, "Input/output error");
}

Test(snapshot_faults, enospc_at_every_call)
{
	begin();
	each_call(ENOSPC, "No space left on device");
}

Test(snapshot_faults, eio_without_o_tmpfile)
{
	begin();
	fault.no_tmpfile = true;
	each_call(EIO, "Input/output error");
}

Test(snapshot_faults, short_writes_go_on)
{
	begin();
	each_call(-1, "");
}

static void killed_at_each_call(void)
{
	int n = count_calls(), status;
	struct mv_err err;
	bool was_old;
	pid_t pid;

	for (int i = 1; i <= n; i++) {
		pid = fork();
		if (!pid) {
			fault.on = true;
			fault.at = i;
			fault.error = 0;
			fault.calls = 0;
			save(&err);
			_exit(1);
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		was_old = is_old();
		/* Only the folder's flush comes behind the renaming. */
		cr_expect(was_old || i >= n - 1, "call %d: the old file is not what it was", i);
		cr_expect_leq(entries(), 2, "call %d: %u files", i, entries());
		cr_expect(!fixture_load(fx.file, &err), "call %d: %s", i, err.msg);
	}
	/* What the last ones left behind goes with the next save. */
	cr_expect(!save(&err), "%s", err.msg);
	cr_expect_eq(entries(), 1);
	free(old);
}

Test(snapshot_faults, killed_at_every_call)
{
	begin();
	killed_at_each_call();
}

Test(snapshot_faults, killed_without_o_tmpfile)
{
	begin();
	fault.no_tmpfile = true;
	fault.on = true;
	killed_at_each_call();
}

/* A saver that is at work, as seen from another process. */
Test(snapshot_faults, two_at_once_without_o_tmpfile)
{
	struct mv_err err;
	char name[160], *p;
	int fd;

	begin();
	fault.on = fault.no_tmpfile = true;
	/* Find the temporary name out: the call before renaming. */
	fault.at = 0;
	snprintf(name, sizeof(name), "%s", fx.file);
	p = strrchr(name, '/') + 1;
	uint64_t h = 0xcbf29ce484222325;
	for (const char *c = strrchr(fx.file, '/') + 1; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x100000001b3;
	snprintf(p, sizeof(name) - (size_t)(p - name), ".minivmm-%016llx.tmp", (unsigned long long)h);
	fault.on = false;
	spill(name, "x", 1);
	fd = open(name, O_RDONLY);
	cr_assert(fd >= 0 && !flock(fd, LOCK_EX));
	fault.on = true;
	cr_expect_eq(save(&err), -MV_E_FAILED);
	cr_expect(strstr(err.msg, "Device or resource busy"), "%s", err.msg);
	cr_expect(is_old());
	close(fd);
	cr_expect(!save(&err), "%s", err.msg);
	cr_expect_eq(entries(), 1);
	free(old);
}
