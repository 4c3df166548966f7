/* SPDX-License-Identifier: MIT */
/* Snapshots with compressed memory: what is saved comes back, and none that lies is believed. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "le.h"
#include "packed.h"
#include "snapshot_fixture.h"
#include "stream.h"

TestSuite(packed, .init = fixture_setup, .fini = fixture_teardown, .timeout = 120);

/* The first chunk can be compressed, the second is noise. */
static void save_packed(const char *path)
{
	struct mv_err err = { 0 };

	memset(fx.ram, 0x5a, 2 * MV_PAGE_SIZE);
	for (unsigned i = 5; i < 20; i++)
		memset(fx.ram + i * MV_PAGE_SIZE, (int)i, MV_PAGE_SIZE);
	cr_assert(!mv_snapshot_save_packed(path, fx.st, &fx.state, fx.ram, NULL, &err), "%s", err.msg);
}

static void round_trip(bool full)
{
	struct mv_snapshot_info info;
	struct mv_snapshot *s;
	struct mv_err err = { 0 };
	size_t la, lb;
	uint8_t *a, *b;

	fixture_fill(full);
	save_packed(fx.file);
	cr_assert(!mv_snapshot_open(&s, fx.file, fx.st2, &err), "%s", err.msg);
	mv_snapshot_info(s, &info);
	cr_assert(!fixture_read(s, &err), "%s", err.msg);
	cr_expect_eq(info.version, fx.st->config.ndisks > 2 ? 0x10002 : 0x10001);
	cr_expect_lt(info.memory_bytes, STORED_PAGES * MV_PAGE_SIZE / 2);
	cr_expect(!memcmp(fx.ram, fx.ram2, RAM_SIZE));
	cr_expect(!memcmp(&fx.state, &fx.state2, offsetof(struct mv_state, vcpus)));
	cr_assert(!mv_snapshot_save_packed(fx.other, fx.st2, &fx.state2, fx.ram2, NULL, &err), "%s", err.msg);
	mv_state_finish(&fx.state2);
	mv_snapshot_close(s);
	a = slurp(fx.file, &la);
	b = slurp(fx.other, &lb);
	cr_expect(la == lb && !memcmp(a, b, la));
	free(a);
	free(b);
}

Test(packed, round_trip_full)
{
	round_trip(true);
}

Test(packed, round_trip_small)
{
	round_trip(false);
}

/* Nothing to compress: a file like any other. */
Test(packed, empty_memory)
{
	struct mv_err err = { 0 };
	uint8_t *p;
	size_t len;

	fixture_fill(false);
	memset(fx.ram, 0, RAM_SIZE);
	cr_assert(!mv_snapshot_save_packed(fx.file, fx.st, &fx.state, fx.ram, NULL, &err), "%s", err.msg);
	p = slurp(fx.file, &len);
	cr_expect_eq(mv_load_le(p + 10, 2), 0);
	cr_expect(!fixture_load(fx.file, &err), "%s", err.msg);
	free(p);
}

/* Every record's bytes but the static part's, which other tests change, and of memory every 7th. */
Test(packed, damage)
{
	struct mv_err err;
	size_t len, at, first, data;
	unsigned missed = 0;
	uint8_t *p;
	int fd;

	fixture_fill(false);
	save_packed(fx.file);
	p = slurp(fx.file, &len);
	fd = open(fx.file, O_RDWR);
	first = (size_t)(fixture_record(p, MV_REC_PACKED, 0) - p);
	data = (size_t)mv_load_le(p + 32, 8);
	for (at = first; at < len; at += at < data ? 1 : 7) {
		uint8_t x = p[at] ^ (uint8_t)(any() % 255 + 1);

		cr_assert_eq(pwrite(fd, &x, 1, (off_t)at), 1);
		missed += fixture_load(fx.file, &err) != -MV_E_INPUT;
		cr_assert_eq(pwrite(fd, p + at, 1, (off_t)at), 1);
	}
	cr_expect_eq(missed, 0, "%u changes were not seen", missed);
	cr_expect(!fixture_load(fx.file, &err), "%s", err.msg);
	close(fd);
	free(p);
}

/* Where fields of the payload are. */
enum { METHOD = 24, CHUNK = 28, SIZE = 32, N = 40, LEN0 = 44, SUM0 = 48 };

Test(packed, lies)
{
	static const struct row {
		const char *name;
		unsigned at, bytes;
		uint64_t value;
		const char *why;
	} rows[] = {
		{ "no method", METHOD, 4, 0, "the method is 0" },
		{ "another method", METHOD, 4, 2, "the method is 2" },
		{ "no chunks", CHUNK, 4, 0, "the chunk size is 0" },
		{ "chunks of other size", CHUNK, 4, 69632, "that of what is stored 69632" },
		{ "chunks too large", CHUNK, 4, (1u << 24) + 1, "the chunk size is 16777217" },
		{ "no memory", SIZE, 8, 0, "0 bytes of memory are impossible" },
		{ "half a page", SIZE, 8, STORED_PAGES * MV_PAGE_SIZE - 1, "are impossible" },
		{ "more than RAM", SIZE, 8, RAM_SIZE + MV_PAGE_SIZE, "are impossible" },
		{ "2^64 - 4096", SIZE, 8, -UINT64_C(4096), "are impossible" },
		{ "a page less", SIZE, 8, (STORED_PAGES - 1) * MV_PAGE_SIZE, "goes beyond the end" },
		{ "one chunk", N, 4, 1, "1 chunks are not" },
		{ "2^32 - 1 chunks", N, 4, UINT32_MAX, "4294967295 chunks are not" },
		{ "a chunk of nothing", LEN0, 4, 0, "a chunk's length is 0" },
		{ "larger than itself", LEN0, 4, 65537, "a chunk's length is 65537" },
		{ "2^32 - 1 bytes", LEN0, 4, UINT32_MAX, "a chunk's length is 4294967295" },
		{ "not what the file has", LEN0, 4, 65536, "the chunks have" },
		{ "another checksum", SUM0, 8, 1, "checksum of the" },
	};
	struct mv_err err;
	size_t len, i;
	uint8_t *p, *copy;

	fixture_fill(false);
	save_packed(fx.file);
	p = slurp(fx.file, &len);
	copy = malloc(len);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		uint8_t *r;

		memcpy(copy, p, len);
		r = fixture_record(copy, MV_REC_PACKED, 0);
		mv_store_le(r + row->at, row->value, row->bytes);
		fixture_fix_sum(r);
		spill(fx.file, copy, len);
		cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT, "row %s", row->name);
		cr_expect(strstr(err.msg, row->why), "row %s: %s", row->name, err.msg);
	}
	free(copy);
	free(p);
}

/* The checksum is right, and yet it is no chunk: noise, and another one's data. */
Test(packed, what_does_not_decompress)
{
	struct mv_err err;
	size_t len, data, n;
	uint8_t *p, *r;

	fixture_fill(false);
	save_packed(fx.file);
	p = slurp(fx.file, &len);
	r = fixture_record(p, MV_REC_PACKED, 0);
	data = (size_t)mv_load_le(p + 32, 8);
	n = (size_t)mv_load_le(r + LEN0, 4);
	cr_assert_lt(n, MV_CHUNK_SIZE);
	any_bytes(p + data, n);
	mv_store_le(r + SUM0, XXH3_64bits(p + data, n), 8);
	fixture_fix_sum(r);
	spill(fx.file, p, len);
	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "does not decompress to 65536 bytes"), "%s", err.msg);
	free(p);
}

/* Other contents, whatever is right about how they are stored. */
Test(packed, other_contents)
{
	struct mv_packer *packer;
	struct mv_err err = { 0 };
	const uint8_t *out;
	size_t len, data, n;
	uint8_t *p, *r, *chunk = malloc(MV_CHUNK_SIZE);

	fixture_fill(false);
	save_packed(fx.file);
	p = slurp(fx.file, &len);
	r = fixture_record(p, MV_REC_PACKED, 0);
	data = (size_t)mv_load_le(p + 32, 8);
	cr_assert(!mv_packer_open(&packer, MV_CHUNK_SIZE, &err), "%s", err.msg);
	memcpy(chunk, fx.ram, 3 * MV_PAGE_SIZE);
	memcpy(chunk + 3 * MV_PAGE_SIZE, fx.ram + 5 * MV_PAGE_SIZE, 13 * MV_PAGE_SIZE);
	memset(chunk + 3 * MV_PAGE_SIZE, 0, MV_PAGE_SIZE);
	n = mv_packer_pack(packer, chunk, MV_CHUNK_SIZE, &out);
	cr_assert_leq(n, mv_load_le(r + LEN0, 4));
	/* What follows the data of a chunk must not matter either: exactly as long. */
	memmove(p + data + n, p + data + mv_load_le(r + LEN0, 4), len - data - (size_t)mv_load_le(r + LEN0, 4));
	memcpy(p + data, out, n);
	memset(p + len - (size_t)(mv_load_le(r + LEN0, 4) - n), 0, (size_t)(mv_load_le(r + LEN0, 4) - n));
	mv_store_le(r + LEN0, n, 4);
	mv_store_le(r + SUM0, XXH3_64bits(out, n), 8);
	fixture_fix_sum(r);
	spill(fx.file, p, len);
	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "checksum of the 65536 bytes does not match"), "%s", err.msg);
	mv_packer_close(packer);
	free(chunk);
	free(p);
}

Test(packed, padding_and_version)
{
	struct mv_err err;
	size_t len;
	uint8_t *p;

	fixture_fill(false);
	save_packed(fx.file);
	p = slurp(fx.file, &len);
	p[len - 1] = 1;
	spill(fx.file, p, len);
	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "padding is not zero"), "%s", err.msg);
	p[len - 1] = 0;
	/* 1.0 has no such record. */
	mv_store_le(p + 10, 0, 2);
	mv_store_le(p + 56, XXH3_64bits(p, 56), 8);
	spill(fx.file, p, len);
	cr_expect_eq(fixture_load(fx.file, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "limit"), "%s", err.msg);
	free(p);
}
