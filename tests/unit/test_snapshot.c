/* SPDX-License-Identifier: MIT */
/* Snapshot files: what is saved comes back, and a save that fails changes nothing. */
#define _XOPEN_SOURCE 700

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot_fixture.h"

TestSuite(snapshot, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

static void expect_same_files(const char *a, const char *b)
{
	size_t la, lb;
	uint8_t *pa = slurp(a, &la), *pb = slurp(b, &lb);

	cr_expect(la == lb && !memcmp(pa, pb, la));
	free(pa);
	free(pb);
}

/* Round trips */

static void round_trip(void)
{
	struct mv_snapshot *s;
	struct mv_snapshot_info info;
	struct mv_err err = { 0 };

	fixture_save(fx.file);
	cr_assert(!mv_snapshot_open(&s, fx.file, fx.st2, &err), "%s", err.msg);
	mv_snapshot_info(s, &info);
	cr_assert(!fixture_read(s, &err), "%s", err.msg);
	/* A disk known by its blocks takes 1.2. */
	cr_expect_eq(info.version, fx.st->config.ndisks > 2 ? 0x10002 : 0x10000);

	cr_expect(!memcmp(&fx.st->config, &fx.st2->config, sizeof(fx.st->config)));
	cr_expect(!memcmp(&fx.st->policy, &fx.st2->policy, sizeof(fx.st->policy)));
	cr_expect(!memcmp(&fx.state, &fx.state2, offsetof(struct mv_state, vcpus)));
	cr_expect(!memcmp(fx.state.vcpus, fx.state2.vcpus,
			  fx.state.nvcpus * sizeof(*fx.state.vcpus)));
	cr_expect(!memcmp(fx.ram, fx.ram2, RAM_SIZE));

	cr_assert(!mv_snapshot_save(fx.other, fx.st2, &fx.state2, fx.ram2, NULL, &err), "%s", err.msg);
	expect_same_files(fx.file, fx.other);
	/* Only once. */
	mv_state_finish(&fx.state2);
	cr_expect_eq(fixture_read(s, &err), -MV_E_USAGE);
	mv_snapshot_close(s);
}

Test(snapshot, round_trip_full)
{
	struct stat sb;
	size_t control;

	fixture_fill(true);
	round_trip();
	cr_assert(!stat(fx.file, &sb));
	control = (size_t)sb.st_size - STORED_PAGES * MV_PAGE_SIZE;
	cr_expect(control > 150000 && control < 300000, "%zu", control);
	cr_expect_eq(sb.st_mode & 07777, 0600);
	cr_expect_eq(entries(), 2);
}

Test(snapshot, round_trip_small)
{
	fixture_fill(false);
	round_trip();
}

Test(snapshot, round_trip_no_memory)
{
	struct stat sb;

	fixture_fill(false);
	memset(fx.ram, 0, RAM_SIZE);
	round_trip();
	cr_assert(!stat(fx.file, &sb));
	cr_expect(sb.st_size <= 3 * MV_PAGE_SIZE);
}

Test(snapshot, round_trip_all_memory)
{
	fixture_fill(false);
	any_bytes(fx.ram, RAM_SIZE);
	round_trip();
}

/* What POLICY has no room for has a record of its own. */
Test(snapshot, round_trip_ignored)
{
	static const size_t lengths[] = { 0, 254, 255, 256, 257, 5000, MV_IGNORED_TEXT - 1 };
	char *ignored;
	size_t i;

	fixture_fill(false);
	ignored = fx.st->policy.ignored;
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(ignored, 0, MV_IGNORED_TEXT);
		memset(ignored, 'a' + (int)i, lengths[i]);
		memset(&fx.st2->policy, 0, sizeof(fx.st2->policy));
		round_trip();
		cr_expect_eq(strlen(fx.st2->policy.ignored), lengths[i], "row %zu", i);
	}
}

/* What a guest from elsewhere was given has a record of its own. */
Test(snapshot, round_trip_given)
{
	fixture_fill(false);
	fx.st->policy.given.kept = true;
	fx.st->policy.given.tsc_khz = 1999999;
	fx.st->policy.given.arch_caps = UINT64_C(0x8000000000000001);
	round_trip();
	cr_expect_eq(fx.st2->policy.given.arch_caps, UINT64_C(0x8000000000000001));
	/* None, read where there was one before. */
	fx.st->policy.given = (struct mv_given){ 0 };
	round_trip();
	cr_expect(!fx.st2->policy.given.kept);
}

/* More than is read at once, in many short runs. */
Test(snapshot, round_trip_larger_memory)
{
	const size_t size = 1000 * MV_PAGE_SIZE;
	struct mv_snapshot *s = NULL;
	struct mv_err err = { 0 };
	size_t i;

	fixture_fill(false);
	free(fx.ram);
	free(fx.ram2);
	fx.ram = calloc(1, size);
	fx.ram2 = calloc(1, size);
	fx.st->config.ram_size = size;
	for (i = 0; i < size; i += MV_PAGE_SIZE)
		if (any() % 4)
			any_bytes(fx.ram + i, 64);
	fixture_save(fx.file);
	cr_assert(!mv_snapshot_open(&s, fx.file, fx.st2, &err), "%s", err.msg);
	cr_expect(!fixture_read(s, &err), "%s", err.msg);
	cr_expect(!memcmp(fx.ram, fx.ram2, size));
	mv_snapshot_close(s);
}

/* A page that is known to be zeros is not even read: this one isn't, and nobody notices. */
Test(snapshot, known_zeros_are_not_looked_at)
{
	const uint64_t pages = 130, known = 65;
	uint64_t zeros[3] = { 0 };
	struct mv_snapshot *s = NULL;
	struct mv_err err = { 0 };

	fixture_fill(false);
	free(fx.ram);
	free(fx.ram2);
	fx.ram = malloc(pages * MV_PAGE_SIZE);
	fx.ram2 = calloc(pages, MV_PAGE_SIZE);
	memset(fx.ram, 0xa5, pages * MV_PAGE_SIZE);
	fx.st->config.ram_size = pages * MV_PAGE_SIZE;
	zeros[known / 64] = UINT64_C(1) << known % 64;
	cr_assert(!mv_snapshot_save(fx.file, fx.st, &fx.state, fx.ram, zeros, &err), "%s", err.msg);
	cr_assert(!mv_snapshot_open(&s, fx.file, fx.st2, &err), "%s", err.msg);
	cr_expect(!fixture_read(s, &err), "%s", err.msg);
	memset(fx.ram + known * MV_PAGE_SIZE, 0, MV_PAGE_SIZE);
	cr_expect(!memcmp(fx.ram, fx.ram2, pages * MV_PAGE_SIZE));
	mv_snapshot_close(s);
}

Test(snapshot, mode_whatever_the_umask)
{
	struct stat sb;

	fixture_fill(false);
	umask(0777);
	fixture_save(fx.file);
	umask(0);
	fixture_save(fx.other);
	cr_assert(!stat(fx.file, &sb));
	cr_expect_eq(sb.st_mode & 07777, 0600);
	cr_assert(!stat(fx.other, &sb));
	cr_expect_eq(sb.st_mode & 07777, 0600);
}

Test(snapshot, link_is_followed)
{
	struct stat sb;

	fixture_fill(false);
	spill(fx.file, "old", 3);
	cr_assert(!symlink("a.snap", fx.other));
	fixture_save(fx.other);
	cr_assert(!lstat(fx.other, &sb));
	cr_expect(S_ISLNK(sb.st_mode));
	expect_same_files(fx.file, fx.other);
	cr_assert(!stat(fx.file, &sb));
	cr_expect(sb.st_size > 4096);
}

/* Saving that fails */

static void expect_save_fails(const char *path, int code, const char *why)
{
	struct mv_err err = { 0 };
	int rc = mv_snapshot_save(path, fx.st, &fx.state, fx.ram, NULL, &err);

	cr_expect(rc == -code && err.code == code && strstr(err.msg, why), "%s: %d '%s'", path,
		  rc, err.msg);
}

Test(snapshot, save_nowhere)
{
	char path[128];
	struct stat sb;

	fixture_fill(false);
	snprintf(path, sizeof(path), "%s/no/such", fx.dir);
	expect_save_fails(path, MV_E_FAILED, strerror(ENOENT));
	expect_save_fails(fx.dir, MV_E_USAGE, "not a regular file");
	/* Stands for all that isn't a file: were a device replaced, it would be missed. */
	cr_assert(!mkfifo(fx.other, 0600));
	expect_save_fails(fx.other, MV_E_USAGE, "not a regular file");
	cr_assert(!lstat(fx.other, &sb));
	cr_expect(S_ISFIFO(sb.st_mode));
	expect_save_fails("", MV_E_FAILED, strerror(ENOENT));
	spill(fx.file, "old", 3);
	snprintf(path, sizeof(path), "%s/below", fx.file);
	expect_save_fails(path, MV_E_FAILED, strerror(ENOTDIR));
	cr_expect_eq(entries(), 2);
}

Test(snapshot, save_keeps_the_old_file)
{
	const struct rlimit small = { 20000, RLIM_INFINITY };
	struct rlimit before;
	size_t len;
	uint8_t *p;

	fixture_fill(false);
	spill(fx.file, "old", 3);
	/* A full disk: the first write is cut short, the next one fails. */
	signal(SIGXFSZ, SIG_IGN);
	cr_assert(!getrlimit(RLIMIT_FSIZE, &before));
	cr_assert(!setrlimit(RLIMIT_FSIZE, &small));
	expect_save_fails(fx.file, MV_E_FAILED, strerror(EFBIG));
	cr_assert(!setrlimit(RLIMIT_FSIZE, &before));
	p = slurp(fx.file, &len);
	cr_expect(len == 3 && !memcmp(p, "old", 3));
	cr_expect_eq(entries(), 1);
	free(p);
	fixture_save(fx.file);
}

/* What couldn't be loaded isn't saved, either. */
Test(snapshot, save_checks)
{
	fixture_fill(false);
	spill(fx.file, "old", 3);

	fx.state.vcpus[0].xsave_size = 0;
	expect_save_fails(fx.file, MV_E_FAILED,
			  "record VCPU can't be written: the size of the XSAVE");
	fx.state.vcpus[0].xsave_size = 576;
	fx.st->config.ram_size++;
	expect_save_fails(fx.file, MV_E_FAILED, "record CONFIG");
	fx.st->config.ram_size--;
	fx.st->policy.final.regs[0].at[31] = MV_AT(2, 1);
	expect_save_fails(fx.file, MV_E_FAILED, "record MASK_FINAL");
	fx.st->policy.final.regs[0].at[31] = 0;
	fx.st->policy.final.fields[0].id = MV_NFIELDS;
	expect_save_fails(fx.file, MV_E_FAILED, "record MASK_FINAL");
	fx.st->policy.final.fields[0].id = 0;
	fx.state.sites[1] = fx.state.sites[0];
	expect_save_fails(fx.file, MV_E_FAILED, "record CPUID_SITES");
	fx.state.nsites = 1;
	fx.state.ndevices = MV_MAX_DEVICES + 1;
	expect_save_fails(fx.file, MV_E_USAGE, "devices");
	fx.state.ndevices = 1;
	fx.st->config.nvcpus = 2;
	expect_save_fails(fx.file, MV_E_USAGE, "1 of 2 vCPUs");
	fx.st->config.nvcpus = 1;
	cr_expect_eq(entries(), 1);
	fixture_save(fx.file);
}

Test(snapshot, a_killed_save_is_in_nobodys_way)
{
	char path[128];

	fixture_fill(false);
	snprintf(path, sizeof(path), "%s/.minivmm-%ld-0.tmp", fx.dir, (long)getpid());
	spill(path, "left over", 9);
	fixture_save(fx.file);
	cr_expect_eq(entries(), 2);
}

/* State */

Test(snapshot, state_init)
{
	struct mv_state s;
	struct mv_err err = { 0 };

	cr_assert(!mv_state_init(&s, MV_MAX_VCPUS, &err));
	cr_expect(s.nvcpus == MV_MAX_VCPUS && s.vcpus[5].id == 5 && !s.has_irqchip);
	mv_state_finish(&s);
	mv_state_finish(&s);
	cr_expect_null(s.vcpus);
	cr_expect_eq(mv_state_init(&s, 0, &err), -MV_E_USAGE);
	cr_expect_eq(mv_state_init(&s, MV_MAX_VCPUS + 1, NULL), -MV_E_USAGE);
	mv_state_finish(&s);
}
