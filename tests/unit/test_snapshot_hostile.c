/* SPDX-License-Identifier: MIT */
/* Snapshot files that are damaged or lie: none is believed. */
#define _XOPEN_SOURCE 700

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "le.h"
#include "snapshot_fixture.h"
#include "stream.h"

TestSuite(hostile, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

/* Damage */

/* Write one byte of the file in place. */
static void poke(int fd, size_t at, uint8_t v)
{
	cr_assert_eq(pwrite(fd, &v, 1, (off_t)at), 1);
}

static void expect_damage_seen(int fd, const uint8_t *p, size_t at, uint8_t x)
{
	struct mv_err err;

	poke(fd, at, p[at] ^ x);
	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT, "byte 0x%zx ^ 0x%x: %s", at, x,
		     err.msg);
	cr_expect_str_eq(err.file, fx.file);
	poke(fd, at, p[at]);
}

/*
 * Every byte but the pages' with every single bit (with MV_HOSTILE=all in the environment: every other value, which
 * takes minutes), or every step-th with any change.
 */
static void damage_control(size_t step)
{
	struct mv_err err;
	size_t len, at, control;
	uint8_t *p;
	const char *how = getenv("MV_HOSTILE");
	bool all = how && !strcmp(how, "all");
	unsigned x;
	int fd;

	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	fd = open(fx.file, O_RDWR);
	control = (size_t)mv_load_le(p + 32, 8);
	cr_assert(fd >= 0 && control == len - STORED_PAGES * MV_PAGE_SIZE);
	for (at = 0; at < control; at += step)
		if (step > 1)
			expect_damage_seen(fd, p, at, (uint8_t)(any() % 255 + 1));
		else
			for (x = 1; x < 256; x += all ? 1 : x)
				expect_damage_seen(fd, p, at, (uint8_t)x);
	cr_expect(!fixture_load(fx.file, &err), "%s", err.msg);
	close(fd);
	free(p);
}

Test(hostile, damage_every_control_byte, .timeout = 1800)
{
	fixture_fill(false);
	damage_control(1);
}

Test(hostile, damage_full_file)
{
	fixture_fill(true);
	damage_control(499);
}

Test(hostile, damage_memory)
{
	struct mv_err err;
	size_t len, at, control;
	uint8_t *p, x;
	unsigned i;
	int fd;

	fixture_fill(false);
	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	fd = open(fx.file, O_RDWR);
	control = (size_t)mv_load_le(p + 32, 8);
	for (i = 0; i < 1000; i++) {
		at = control + (size_t)(any() % (len - control));
		x = (uint8_t)(any() % 255 + 1);
		expect_damage_seen(fd, p, at, x);
	}
	poke(fd, len - 1, p[len - 1] ^ 1);
	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "memory at byte 0x") && strstr(err.msg, "checksum"), "%s",
		  err.msg);
	close(fd);
	free(p);
}

/* The check that every way of loading memory ends in, 100000 times on the bytes of a file. */
Test(hostile, damage_memory_100000)
{
	const struct mv_manifest *m;
	struct mv_snapshot *s;
	struct mv_err err = { 0 };
	unsigned i, missed = 0;
	size_t len, at;
	uint8_t *p, x;

	fixture_fill(false);
	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	cr_assert(!mv_snapshot_open(&s, fx.file, fx.st2, &err), "%s", err.msg);
	cr_assert(!mv_snapshot_state(s, &fx.state2, &err), "%s", err.msg);
	m = mv_snapshot_manifest(s);
	for (i = 0; i < 100000; i++) {
		size_t chunk, first, n;

		at = (size_t)(any() % (len - m->data_offset));
		chunk = at / m->chunk_size;
		first = (size_t)m->data_offset + chunk * m->chunk_size;
		n = len - first < m->chunk_size ? len - first : m->chunk_size;
		x = (uint8_t)(any() % 255 + 1);
		p[m->data_offset + at] ^= x;
		missed += mv_manifest_chunk_ok(m, (uint32_t)chunk, p + first, n);
		p[m->data_offset + at] ^= x;
	}
	cr_expect_eq(missed, 0, "%u of 100000 changes were not seen", missed);
	for (i = 0; i < m->nchunks; i++)
		cr_expect(mv_manifest_chunk_ok(m, i, p + m->data_offset + (size_t)i * m->chunk_size,
					       i + 1 < m->nchunks ? m->chunk_size
					       : len - m->data_offset - (size_t)i * m->chunk_size));
	mv_state_finish(&fx.state2);
	mv_snapshot_close(s);
	free(p);
}

Test(hostile, truncated)
{
	char want[64];
	struct mv_err err;
	size_t len, n, control;
	uint8_t *p;

	fixture_fill(false);
	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	control = (size_t)mv_load_le(p + 32, 8);
	for (n = len; n-- > 0;) {
		if (n > control && n % 1024 > 1)
			continue;
		cr_assert(!truncate(fx.file, (off_t)n));
		cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT, "%zu bytes", n);
		snprintf(want, sizeof(want), "%zu of %zu bytes are missing", len - n, len);
		cr_expect(strstr(err.msg, n >= 64 ? want : n ? "truncated" : "empty"),
			  "%zu bytes: %s", n, err.msg);
	}
	free(p);
}

Test(hostile, truncated_after_open)
{
	struct mv_snapshot *s;
	struct mv_err err = { 0 };
	struct stat sb;

	fixture_fill(false);
	fixture_save(fx.file);
	cr_assert(!stat(fx.file, &sb));
	cr_assert(!mv_snapshot_open(&s, fx.file, fx.st2, &err), "%s", err.msg);
	cr_assert(!truncate(fx.file, sb.st_size - 1));
	cr_expect_eq(fixture_read(s, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "in memory; 1 bytes are missing"), "%s", err.msg);
	mv_snapshot_close(s);
}

Test(hostile, trailing_bytes)
{
	struct mv_err err;
	size_t len, more;
	uint8_t *p;

	fixture_fill(false);
	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	for (more = 1; more <= 4096; more *= 4) {
		cr_assert(!truncate(fx.file, (off_t)(len + more)));
		cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
		cr_expect(strstr(err.msg, "trailing"), "%s", err.msg);
	}
	free(p);
}

Test(hostile, not_a_snapshot)
{
	struct mv_err err;

	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "no such file");
	cr_expect_eq(fixture_load(fx.dir, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "not a regular file"), "%s", err.msg);
	cr_expect_eq(fixture_load("/dev/zero", &err), -MV_E_INPUT);
	cr_assert(!mkfifo(fx.file, 0600));
	/* A FIFO: it doesn't wait for a writer. */
	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
	cr_assert(!unlink(fx.file));
	spill(fx.file, "", 0);
	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "empty"), "%s", err.msg);
	spill(fx.file, "# a mask\n", 9);
	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "not a snapshot");
}

/* Well-formed files that say something wrong */

static void fix_header(uint8_t *p)
{
	mv_store_le(p + 56, XXH3_64bits(p, 56), 8);
}

static void expect_refused(const char *row, const char *why)
{
	struct mv_err err;

	cr_expect(fixture_load(fx.file, &err) == -MV_E_INPUT && strstr(err.msg, why),
		  "row %s: '%s'", row, err.msg);
}

Test(hostile, other_version)
{
	struct mv_err err;
	size_t len;
	uint8_t *p;

	fixture_fill(false);
	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	mv_store_le(p + 8, 3, 2);
	mv_store_le(p + 10, 7, 2);
	fix_header(p);
	spill(fx.file, p, len);
	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "version 3.7; this program reads 1.2"), "%s", err.msg);
	free(p);
}

/*
 * The payload of VCPU up to its lists, for the small machine: id, regs, segments, tables, control
 * registers, pdptrs_valid.
 */
#define VCPU_XCRS (4 + 18 * 8 + 8 * 23 + 2 * 10 + 7 * 8 + 1)
#define VCPU_XSAVE (VCPU_XCRS + 4 + 12)
#define VCPU_MSRS (VCPU_XSAVE + 4 + 576 + 48 + 1024)
#define VCPU_EVENTS (VCPU_MSRS + 4 + 3 * 12)
/* SOURCE_HOST up to its second table and further, for the small machine. */
#define HOST_RAW (64 + 128 + 64 + 8 + 1)
#define HOST_KVM (HOST_RAW + 4 + 3 * 24)
#define HOST_EXEC (HOST_KVM + 4 + 24)
/* MASK_FINAL with 2 registers. */
#define MASK_REG 12
#define MASK_FIELD (MASK_REG + 2 * 150)
#define MASK_MSR (MASK_FIELD + 2 * 19)
#define RUN(i, field) (12 + (i) * 24 + (field) * 8)
#define LAST_RUN 3

Test(hostile, values)
{
	static const struct {
		const char *name;
		uint32_t type;
		unsigned at, len;
		uint64_t value;
		const char *why;
	} rows[] = {
		{ "name without end", 0x100, 63, 1, 'x', "after its end" },
		{ "name with escape", 0x100, 0, 1, 27, "control" },
		{ "image without end", 0x100, 76 + 255, 1, 'x', "no end" },
		{ "RAM 0", 0x100, 64, 8, 0, "not whole pages" },
		{ "RAM odd", 0x100, 64, 8, 4097, "not whole pages" },
		{ "RAM 2^40 + 1 page", 0x100, 64, 8, (UINT64_C(1) << 40) + 4096, "not whole" },
		{ "RAM 2^64 - 1 page", 0x100, 64, 8, -UINT64_C(4096), "not whole pages" },
		{ "no vCPU", 0x100, 72, 4, 0, "vCPUs is 0, not between 1 and 64" },
		{ "65 vCPUs", 0x100, 72, 4, 65, "not between 1 and 64" },
		{ "2^32 - 1 vCPUs", 0x100, 72, 4, UINT32_MAX, "not between 1 and 64" },
		{ "2 vCPUs, 1 there", 0x100, 72, 4, 2, "VCPU is missing before it (1 of 2" },
		{ "disk without a path", 0x170, 0, 1, 0, "not absolute" },
		{ "relative path", 0x170, 0, 1, 'd', "not absolute" },
		{ "read_only", 0x170, 1024, 1, 2, "neither 0 nor 1" },
		{ "disk of 0 bytes", 0x170, 1025, 8, 0, "no number of sectors" },
		{ "disk of 513 bytes", 0x170, 1025, 8, 513, "no number of sectors" },
		{ "disk of 2^63 bytes", 0x170, 1025, 8, UINT64_C(1) << 63, "no number of sectors" },
		{ "id_kind", 0x170, 1033, 1, 2, "the kind of the disk's id is 2, beyond 1" },
		{ "intercept", 0x110, 32, 1, 4, "interception is 4" },
		{ "patchable", 0x110, 33, 1, 2, "neither 0 nor 1" },
		{ "patch_cpl3", 0x110, 34, 1, 255, "neither 0 nor 1" },
		{ "257 raw entries", 0x120, HOST_RAW, 4, 257, "not between 0 and 256" },
		{ "2^32 - 1 kvm entries", 0x120, HOST_KVM, 4, UINT32_MAX, "not between" },
		{ "raw entry twice", 0x120, HOST_RAW + 4 + 24, 4, 0x80000000, "occurs twice" },
		{ "4097 features", 0x120, HOST_EXEC, 4, 4097, "not between 0 and 4096" },
		{ "4096 features", 0x120, HOST_EXEC, 4, 4096, "bytes follow" },
		{ "features in disorder", 0x120, HOST_EXEC + 4, 4, UINT32_MAX, "not in order" },
		{ "feature's register", 0x120, HOST_EXEC + 12, 1, 4, "more than 3" },
		{ "feature's bit", 0x120, HOST_EXEC + 13, 1, 32, "more than 31" },
		{ "feature's outcome", 0x120, HOST_EXEC + 14, 1, 2, "neither 0 nor 1" },
		{ "257 guest entries", 0x130, 0, 4, 257, "not between 1 and 256" },
		{ "no guest entries", 0x130, 0, 4, 0, "not between 1 and 256" },
		{ "3 of 4 guest entries", 0x130, 0, 4, 3, "24 bytes too many" },
		{ "5 of 4 guest entries", 0x130, 0, 4, 5, "only 96 bytes follow" },
		{ "17 mask files", 0x140, 0, 4, 17, "not between 0 and 16" },
		{ "file name without end", 0x140, 4 + 255, 1, 'x', "after its end" },
		{ "385 registers", 0x150, 0, 4, 385, "not between 0 and 384" },
		{ "33 fields", 0x150, 4, 4, 33, "not between 0 and 32" },
		{ "17 MSRs", 0x150, 8, 4, 17, "not between 0 and 16" },
		{ "mask register 4", 0x150, MASK_REG + 8, 1, 4, "more than 3" },
		{ "mask vendor", 0x150, MASK_REG + 9, 1, 4, "more than 3" },
		{ "mask register twice", 0x150, MASK_REG + 150 + 8, 2, 0, "occurs twice" },
		{ "place in file 2 of 2", 0x150, MASK_REG + 22, 4, MV_AT(2, 1), "file 3 of 2" },
		{ "place in file 255", 0x150, MASK_REG + 22, 4, UINT32_MAX, "file 255 of 2" },
		{ "place in no file", 0x150, MASK_REG + 22, 4, 17, "a place in" },
		{ "field's register", 0x150, MASK_FIELD + 8, 1, 4, "more than 3" },
		{ "field's bits", 0x150, MASK_FIELD + 10, 1, 32, "more than 31" },
		{ "unknown field", 0x150, MASK_FIELD, 4, 0x77777777, "no field is known" },
		{ "half a field", 0x150, MASK_FIELD + 10, 1, 2, "no field is known" },
		{ "field's value", 0x150, MASK_FIELD + 11, 4, UINT32_MAX, "does not fit" },
		{ "field's place", 0x150, MASK_FIELD + 15, 4, UINT32_MAX, "a place in" },
		{ "MSR's place", 0x150, MASK_MSR + 28, 4, UINT32_MAX, "a place in" },
		{ "effective: place", 0x160, MASK_REG + 22, 4, UINT32_MAX, "a place in" },
		{ "no device name", 0x320, 0, 4, 0, "no name" },
		{ "device of 4097 bytes", 0x320, 16, 4, 4097, "not between 0 and 4096" },
		{ "device of 6 of 5", 0x320, 16, 4, 6, "only 5 bytes follow" },
		{ "4097 sites", 0x330, 0, 4, 4097, "not between 0 and 4096" },
		{ "2^29 + 2 sites", 0x330, 0, 4, (1u << 29) + 2, "not between 0 and 4096" },
		{ "site at the end", 0x330, 12, 8, RAM_SIZE - 1, "outside RAM" },
		{ "site at 2^64 - 1", 0x330, 12, 8, UINT64_MAX, "outside RAM" },
		{ "site twice", 0x330, 12, 8, 4096, "not after" },
		{ "sites overlap", 0x330, 12, 8, 4097, "not after" },
		{ "vCPU 1 of 1", 0x340, 0, 4, 1, "not between 0 and 0" },
		{ "segment type", 0x340, 148 + 14, 1, 16, "more than 15" },
		{ "segment DPL", 0x340, 148 + 16, 1, 4, "more than 3" },
		{ "segment P", 0x340, 148 + 7 * 23 + 15, 1, 2, "more than 1" },
		{ "pdptrs_valid", 0x340, VCPU_XCRS - 1, 1, 2, "neither 0 nor 1" },
		{ "17 XCRs", 0x340, VCPU_XCRS, 4, 17, "not between 0 and 16" },
		{ "XSAVE of 575", 0x340, VCPU_XSAVE, 4, 575, "not between 576 and 16384" },
		{ "XSAVE of 16385", 0x340, VCPU_XSAVE, 4, 16385, "not between 576 and 16384" },
		{ "XSAVE of 16384", 0x340, VCPU_XSAVE, 4, 16384, "bytes follow" },
		{ "513 MSRs", 0x340, VCPU_MSRS, 4, 513, "not between 0 and 512" },
		{ "2^32 - 1 MSRs", 0x340, VCPU_MSRS, 4, UINT32_MAX, "not between 0 and 512" },
		{ "has payload", 0x340, VCPU_EVENTS + 8, 1, 2, "neither 0 nor 1" },
		{ "has offset", 0x340, VCPU_EVENTS + 45, 1, 2, "neither 0 nor 1" },
		{ "chunks of 0", 0x400, 0, 4, 0, "chunk size is 0" },
		{ "chunks of 2048", 0x400, 0, 4, 2048, "chunk size is 2048" },
		{ "chunks of 65537", 0x400, 0, 4, 65537, "no power of two" },
		{ "chunks of 2^25", 0x400, 0, 4, 1u << 25, "chunk size" },
		{ "chunks of 4096", 0x400, 0, 4, 4096, "2 chunks are not 106496 bytes" },
		{ "49 runs", 0x400, 4, 4, RAM_PAGES + 1, "more than RAM" },
		{ "48 runs", 0x400, 4, 4, RAM_PAGES, "48 runs" },
		{ "2^32 - 1 runs", 0x400, 4, 4, UINT32_MAX, "more than RAM" },
		{ "3 of 4 runs", 0x400, 4, 4, 3, "are not 3 runs" },
		{ "3 of 2 chunks", 0x400, 8, 4, 3, "3 chunks are not" },
		{ "2^32 - 1 chunks", 0x400, 8, 4, UINT32_MAX, "chunks are not" },
		{ "run off page", 0x400, RUN(0, 0), 8, 1, "does not begin with a page" },
		{ "run at RAM's end", 0x400, RUN(LAST_RUN, 0), 8, RAM_SIZE, "leaves RAM" },
		{ "run at 2^64 - 1 page", 0x400, RUN(0, 0), 8, -UINT64_C(4096), "leaves RAM" },
		{ "run over RAM's end", 0x400, RUN(LAST_RUN, 1), 8, 4, "leaves RAM" },
		{ "run of 2^52 + 3", 0x400, RUN(0, 1), 8, (UINT64_C(1) << 52) + 3, "leaves RAM" },
		{ "run of 2^64 - 1", 0x400, RUN(0, 1), 8, UINT64_MAX, "leaves RAM" },
		{ "run of none", 0x400, RUN(0, 1), 8, 0, "is empty" },
		{ "runs overlap", 0x400, RUN(1, 0), 8, 2 * 4096, "not after" },
		{ "runs in disorder", 0x400, RUN(2, 0), 8, 0, "not after" },
		{ "run shorter", 0x400, RUN(0, 1), 8, 2, "instead of" },
		{ "run longer", 0x400, RUN(0, 1), 8, 4, "instead of" },
		{ "last run shorter", 0x400, RUN(LAST_RUN, 1), 8, 1, "the runs have 102400 bytes" },
		{ "last run longer", 0x400, RUN(LAST_RUN, 1), 8, 3, "beyond the end of the file" },
		{ "run elsewhere", 0x400, RUN(0, 2), 8, 0, "instead of" },
		{ "run at byte 2^64 - 1", 0x400, RUN(1, 2), 8, UINT64_MAX, "instead of" },
		{ "chunk's sum", 0x400, RUN(4, 0), 8, 1, "memory at byte 0x" },
		{ "records", 0x500, 0, 8, 13, "number of records is 13, not 16" },
		{ "records, 2^32 more", 0x500, 0, 8, (UINT64_C(1) << 32) + 14, "records" },
		{ "file size", 0x500, 8, 8, 4096, "the file's size is 4096" },
	};
	size_t i, len;
	uint8_t *p, *copy, *r;

	fixture_fill(false);
	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	copy = malloc(len);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(copy, p, len);
		r = fixture_record(copy, rows[i].type, 0);
		mv_store_le(r + 24 + rows[i].at, rows[i].value, rows[i].len);
		fixture_fix_sum(r);
		spill(fx.file, copy, len);
		expect_refused(rows[i].name, rows[i].why);
	}
	free(copy);
	free(p);
}

/* Two of a kind, in the full machine. */
Test(hostile, twins)
{
	static const struct {
		const char *name;
		uint32_t type;
		unsigned index, at, len;
		uint64_t value;
		const char *why;
	} rows[] = {
		{ "vCPU 0 twice", 0x340, 1, 0, 4, 0, "a second vCPU 0" },
		{ "device twice", 0x320, 9, 3, 1, '3', "a second device dev3" },
		{ "MSR twice", 0x150, 0, 12 + 384 * 150 + 12 * 19 + 32, 4, 0x10a, "occurs twice" },
	};
	size_t i, len;
	uint8_t *p, *copy, *r;

	fixture_fill(true);
	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	copy = malloc(len);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(copy, p, len);
		r = fixture_record(copy, rows[i].type, rows[i].index);
		mv_store_le(r + 24 + rows[i].at, rows[i].value, rows[i].len);
		fixture_fix_sum(r);
		spill(fx.file, copy, len);
		expect_refused(rows[i].name, rows[i].why);
	}
	free(copy);
	free(p);
}

/* Put a record in front of another; it takes 32 bytes of the padding before the pages. */
static void insert(uint8_t *p, uint32_t type, uint32_t before)
{
	uint8_t *at = fixture_record(p, before, 0), *end = fixture_record(p, MV_REC_END, 0);

	cr_assert_leq((size_t)(end - p) + 40 + 32, mv_load_le(p + 32, 8), "no room for the test");
	memmove(at + 32, at, (size_t)(end + 40 - at));
	mv_store_le(at + 8, type, 4);
	mv_store_le(at + 12, 0, 4);
	mv_store_le(at + 16, 7, 8);
	mv_store_le(at + 24, 0x0807060504030201 >> 8, 8);
	fixture_fix_sum(at);
	end += 32;
	mv_store_le(end + 24, mv_load_le(end + 24, 8) + 1, 8);
	fixture_fix_sum(end);
}

Test(hostile, unknown_records)
{
	static const uint32_t before[] = {
		0x100, 0x110, 0x1f0, 0x300, 0x320, 0x340, 0x400, 0x500,
	};
	struct mv_err err;
	size_t i, len;
	uint8_t *p;

	fixture_fill(false);
	for (i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		fixture_save(fx.file);
		p = slurp(fx.file, &len);
		insert(p, MV_REC_OPTIONAL | 0x123, before[i]);
		spill(fx.file, p, len);
		cr_expect(!fixture_load(fx.file, &err), "row %zu: %s", i, err.msg);
		cr_expect(!memcmp(fx.ram, fx.ram2, RAM_SIZE));
		free(p);

		fixture_save(fx.file);
		p = slurp(fx.file, &len);
		insert(p, 0x123, before[i]);
		spill(fx.file, p, len);
		cr_expect(fixture_load(fx.file, &err) == -MV_E_INPUT && strstr(err.msg, "unknown"),
			  "row %zu: '%s'", i, err.msg);
		free(p);
	}
}

/* The list of what was ignored has one encoding: POLICY's field is full, or there is no IGNORED. */
Test(hostile, ignored)
{
	static const struct {
		const char *row;
		size_t len;		/* of the list, before the change */
		uint32_t record;	/* where a byte is changed */
		size_t at;
		const char *why;
	} rows[] = {
		{ "the last byte of POLICY's is gone", 300, MV_REC_POLICY, 32 + 3 + 254, "don't continue" },
		{ "none of its own", 256, MV_REC_IGNORED, 0, "bytes after its end" },
		{ "its last byte is gone", 300, MV_REC_IGNORED, 300 - 255 - 1, "bytes after its end" },
		{ "a NUL in the middle", 300, MV_REC_IGNORED, 20, "bytes after its end" },
	};
	size_t i, len;
	uint8_t *p, *r;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fixture_fill(false);
		memset(fx.st->policy.ignored, 'x', rows[i].len);
		fixture_save(fx.file);
		p = slurp(fx.file, &len);
		r = fixture_record(p, rows[i].record, 0);
		r[24 + rows[i].at] = '\0';
		fixture_fix_sum(r);
		spill(fx.file, p, len);
		expect_refused(rows[i].row, rows[i].why);
		free(p);
	}
	fixture_fill(false);
	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	insert(p, MV_REC_IGNORED, MV_REC_SOURCE_HOST);
	spill(fx.file, p, len);
	expect_refused("POLICY's is not full", "0x7 bytes don't continue");
	free(p);
}

/* One encoding: GIVEN is there only if it says something. */
Test(hostile, given)
{
	struct mv_given *g = &fx.st->policy.given;
	struct mv_err err;
	size_t len;
	uint8_t *p, *r;

	fixture_fill(false);
	fx.st->policy.source.nmsrs = 1;
	fx.st->policy.source.msrs[0] = (struct mv_msr){ 0x10a, 0x2b };
	g->kept = true;
	g->tsc_khz = fx.st->policy.source.tsc_khz;
	g->arch_caps = 0x2a;
	fixture_save(fx.file);
	cr_expect(!fixture_load(fx.file, &err), "another MSR: %s", err.msg);
	g->tsc_khz--;
	g->arch_caps = 0x2b;
	fixture_save(fx.file);
	cr_expect(!fixture_load(fx.file, &err), "another frequency: %s", err.msg);
	p = slurp(fx.file, &len);
	r = fixture_record(p, MV_REC_GIVEN, 0);
	mv_store_le(r + 24, fx.st->policy.source.tsc_khz, 4);
	fixture_fix_sum(r);
	spill(fx.file, p, len);
	expect_refused("neither", "that is what the source has");
	free(p);
}

/* A position of no feature is dropped, not refused. */
Test(hostile, unknown_feature)
{
	struct mv_err err;
	size_t len;
	uint8_t *p, *r, *last;

	fixture_fill(false);
	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	r = fixture_record(p, MV_REC_SOURCE_HOST, 0);
	last = r + 24 + HOST_EXEC + 4 + (mv_load_le(r + 24 + HOST_EXEC, 4) - 1) * 11;
	mv_store_le(last, 0xfffffff0, 4);
	fixture_fix_sum(r);
	spill(fx.file, p, len);
	cr_expect(!fixture_load(fx.file, &err), "%s", err.msg);
	cr_expect_neq(memcmp(&fx.st->policy.source.exec_known, &fx.st2->policy.source.exec_known,
			     sizeof(fx.st->policy.source.exec_known)), 0);
	free(p);
}

/* A page too much between END and the pages. */
Test(hostile, pages_too_late)
{
	size_t i, len, control;
	uint8_t *p, *more, *r;

	fixture_fill(false);
	fixture_save(fx.file);
	p = slurp(fx.file, &len);
	control = (size_t)mv_load_le(p + 32, 8);
	more = calloc(1, len + 4096);
	memcpy(more, p, control);
	memcpy(more + control + 4096, p + control, len - control);
	mv_store_le(more + 24, len + 4096, 8);
	mv_store_le(more + 32, control + 4096, 8);
	fix_header(more);
	r = fixture_record(more, MV_REC_MEMORY, 0);
	for (i = 0; i <= LAST_RUN; i++)
		mv_store_le(r + 24 + RUN(i, 2), mv_load_le(r + 24 + RUN(i, 2), 8) + 4096, 8);
	fixture_fix_sum(r);
	r = fixture_record(more, MV_REC_END, 0);
	mv_store_le(r + 24 + 8, len + 4096, 8);
	fixture_fix_sum(r);
	spill(fx.file, more, len + 4096);
	expect_refused("a page", "the pages begin too late");
	free(more);
	free(p);
}

/*
 * A file of 64 GiB that holds a few KiB: what it claims is as long as the limits permit, and is there, in a hole. Reading
 * it must not take as much memory as it claims.
 */
Test(hostile, long_in_a_hole)
{
	static const struct {
		uint32_t type;
		uint16_t minor;
		uint64_t length;
	} rows[] = {
		{ MV_REC_MEMORY, 0, 12 + 32 * (MV_MAX_RAM / MV_PAGE_SIZE) },
		{ MV_REC_PACKED, 1, 20 + 12 * (MV_MAX_RAM / MV_PAGE_SIZE) },
	};
	const uint64_t size = UINT64_C(64) << 30, data = UINT64_C(16) << 30;
	struct rusage used;
	size_t i, len, written;
	uint8_t *p, *r;

	fixture_fill(false);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fixture_save(fx.file);
		p = slurp(fx.file, &len);
		mv_store_le(p + 10, rows[i].minor, 2);
		mv_store_le(p + 24, size, 8);
		mv_store_le(p + 32, data, 8);
		fix_header(p);
		r = fixture_record(p, MV_REC_CONFIG, 0);
		mv_store_le(r + 24 + 64, MV_MAX_RAM, 8);
		fixture_fix_sum(r);
		r = fixture_record(p, MV_REC_MEMORY, 0);
		mv_store_le(r + 8, rows[i].type, 4);
		mv_store_le(r + 16, rows[i].length, 8);
		written = (size_t)(r - p) + 24 + 12;
		spill(fx.file, p, written);
		cr_assert_eq(truncate(fx.file, (off_t)size), 0);
		expect_refused("in a hole", "nothing but zeros at byte");
		free(p);
	}
	cr_assert_eq(getrusage(RUSAGE_SELF, &used), 0);
	cr_expect_lt(used.ru_maxrss, 512 * 1024, "%ld KiB", used.ru_maxrss);
}

/* Other writers may cut the memory into other chunks. */
Test(hostile, any_chunk_size)
{
	static const uint32_t sizes[] = { 4096, 8192, 65536, 1u << 24 };
	size_t i, k, len, n, data = STORED_PAGES * MV_PAGE_SIZE;
	uint8_t *p, *r, *sums, end[40];
	struct mv_err err;

	fixture_fill(false);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fixture_save(fx.file);
		p = slurp(fx.file, &len);
		memcpy(end, fixture_record(p, MV_REC_END, 0), sizeof(end));
		r = fixture_record(p, MV_REC_MEMORY, 0);
		sums = r + 24 + RUN(LAST_RUN + 1, 0);
		n = (data + sizes[i] - 1) / sizes[i];
		memset(sums, 0, (size_t)(p + len - data - sums));
		for (k = 0; k < n; k++)
			mv_store_le(sums + 8 * k,
			    XXH3_64bits(p + len - data + k * sizes[i],
					k < n - 1 ? sizes[i] : data - k * sizes[i]), 8);
		mv_store_le(r + 24, sizes[i], 4);
		mv_store_le(r + 24 + 8, n, 4);
		mv_store_le(r + 16, RUN(LAST_RUN + 1, 0) + 8 * n, 8);
		fixture_fix_sum(r);
		memcpy(r + mv_record_size(mv_load_le(r + 16, 8)), end, sizeof(end));
		spill(fx.file, p, len);
		cr_expect(!fixture_load(fx.file, &err), "row %u: %s", sizes[i], err.msg);
		cr_expect(!memcmp(fx.ram, fx.ram2, RAM_SIZE), "row %u", sizes[i]);
		free(p);
	}
}
