/* SPDX-License-Identifier: MIT */
/* What a disk holds, as docs/stream-format.md, 5.7 says: against ids made here, block by block. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "disk.h"

#define BLOCK UINT64_C(65536)
#define BLOCKS 200		/* more than three words of bits */
#define TAIL 1536		/* the last one is shorter */

static int fd = -1;
static struct mv_disk disk;

static void new_disk(void)
{
	fd = memfd_create("disk", MFD_CLOEXEC);
	disk = (struct mv_disk){ .path = "disk", .size = (BLOCKS - 1) * BLOCK + TAIL };
	cr_assert(fd >= 0 && ftruncate(fd, (off_t)disk.size) == 0);
}

static void end_disk(void)
{
	close(fd);
}

TestSuite(disk_id, .init = new_disk, .fini = end_disk);

static void put(uint64_t at, const char *text)
{
	cr_assert_eq(pwrite(fd, text, strlen(text), (off_t)at), (ssize_t)strlen(text));
}

/* The specification, read literally. */
static void expected(uint8_t kind, uint8_t id[16])
{
	static uint8_t all[16 + BLOCKS * (BLOCK + 16)], block[BLOCK];
	XXH128_canonical_t c;
	size_t n = 8;

	memcpy(all, &disk.size, 8);
	for (uint64_t b = 0; b < BLOCKS; b++) {
		size_t len = b == BLOCKS - 1 ? TAIL : BLOCK;
		uint64_t sum;

		cr_assert_eq(pread(fd, block, len, (off_t)(b * BLOCK)), (ssize_t)len);
		if (block[0] == 0 && !memcmp(block, block + 1, len - 1))
			continue;
		memcpy(all + n, &b, 8);
		sum = XXH3_64bits(block, len);
		memcpy(all + n + 8, kind == MV_DISK_BLOCKS ? (void *)&sum : block, kind == MV_DISK_BLOCKS ? 8 : len);
		n += 8 + (kind == MV_DISK_BLOCKS ? 8 : len);
	}
	XXH128_canonicalFromHash(&c, XXH3_128bits(all, n));
	memcpy(id, c.digest, 16);
}

static bool holds(uint8_t kind, const uint8_t id[16])
{
	struct mv_err err = { 0 };
	bool same = false;

	disk.id_kind = kind;
	memcpy(disk.id, id, 16);
	cr_assert_eq(mv_disk_holds(fd, &disk, &same, &err), 0, "%s", err.msg);
	return same;
}

Test(disk_id, both_kinds)
{
	static const struct {
		const char *name;
		uint64_t at;
	} rows[] = {
		{ "first byte", 0 }, { "across two blocks", BLOCK - 2 }, { "behind a hole", 70 * BLOCK },
		{ "end of a word of bits", 64 * BLOCK - 3 }, { "the short block", (BLOCKS - 1) * BLOCK + TAIL - 3 },
	};
	uint8_t id[16], before[16] = { 0 };

	for (uint8_t kind = MV_DISK_WHOLE; kind <= MV_DISK_BLOCKS; kind++) {
		expected(kind, id);
		cr_expect(holds(kind, id), "kind %u, as it was", kind);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			memcpy(before, id, sizeof(before));
			put(rows[i].at, kind == MV_DISK_WHOLE ? "abc" : "xyz");
			expected(kind, id);
			cr_expect(holds(kind, id), "kind %u, %s", kind, rows[i].name);
			cr_expect(!holds(kind, before), "kind %u, before %s", kind, rows[i].name);
		}
	}
	cr_expect(!holds(MV_DISK_NO_ID, id), "without an id");
	cr_expect(!holds(MV_DISK_WHOLE, id), "the other kind");
}

/* Zeros that are stored are those of a hole; so are those that were something else before. */
Test(disk_id, zeros)
{
	static const char nothing[BLOCK];
	uint8_t id[16];

	expected(MV_DISK_BLOCKS, id);
	cr_assert_eq(pwrite(fd, nothing, sizeof(nothing), 5 * BLOCK), (ssize_t)BLOCK);
	cr_expect(holds(MV_DISK_BLOCKS, id));
}

static void written(struct mv_disk_sums *s, uint64_t block, const char *text)
{
	put(block * BLOCK + 17, text);
	mv_disk_sums_stale(s)[block / 64] |= UINT64_C(1) << block % 64;
}

/* What is read while the guest is halted is what it wrote since, and the id that of everything. */
Test(disk_id, only_what_was_written_since)
{
	struct mv_err err = { 0 };
	struct mv_disk_sums *s;
	uint8_t id[16], got[16];

	for (uint64_t b = 0; b < BLOCKS; b += 2)
		put(b * BLOCK, "something");
	cr_assert_eq(mv_disk_sums_open(&s, fd, &disk, &err), 0);
	cr_expect_eq(mv_disk_sums_read(s, NULL, &err), BLOCKS / 2, "holes are not read");
	cr_expect_eq(mv_disk_sums_read(s, NULL, &err), 0);
	written(s, 0, "new");
	written(s, 63, "was a hole");
	written(s, 64, "next word");
	written(s, BLOCKS - 2, "last but one");
	cr_expect_eq(mv_disk_sums_read(s, NULL, &err), 4);
	expected(MV_DISK_BLOCKS, id);
	cr_assert_eq(mv_disk_sums_id(s, got, &err), 0);
	cr_expect_arr_eq(got, id, 16);

	/* A block that the file system was told to forget. */
	cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 64 * BLOCK, BLOCK), 0);
	mv_disk_sums_stale(s)[1] |= 1;
	cr_expect_eq(mv_disk_sums_read(s, NULL, &err), 0);
	expected(MV_DISK_BLOCKS, id);
	cr_assert_eq(mv_disk_sums_id(s, got, &err), 0);
	cr_expect_arr_eq(got, id, 16);
	mv_disk_sums_close(s);
}

Test(disk_id, unreadable)
{
	struct mv_err err = { 0 };
	struct mv_disk_sums *s;
	int p[2];

	cr_assert_eq(pipe(p), 0);
	cr_assert_eq(mv_disk_sums_open(&s, p[0], &disk, &err), 0);
	cr_expect_lt(mv_disk_sums_read(s, NULL, &err), 0);
	cr_expect(strstr(err.msg, "reading it"), "%s", err.msg);
	mv_disk_sums_close(s);
	close(p[0]);
	close(p[1]);
}
