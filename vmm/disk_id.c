/* SPDX-License-Identifier: MIT */
/* What a disk holds (docs/stream-format.md, 5.7). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "disk.h"

struct mv_disk_sums {
	int fd;
	const struct mv_disk *disk;	/* for its size, and its path in messages */
	uint64_t nblocks, nwords;
	uint64_t *sum;			/* of each block; 0: zeros */
	uint64_t *stale, *todo;		/* a bit for each: written since it was read; to be read in this pass */
};

static int unreadable(const struct mv_disk *d, struct mv_err *err)
{
	return mv_err_at(err, MV_E_FAILED, d->path, 0, 0, "reading it: %s", strerror(errno));
}

static bool zeros(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && !memcmp(p, p + 1, n - 1));
}

/* All of it up to the end of the file; bytes read, or -1. */
static ssize_t read_block(int fd, uint8_t *buf, uint64_t at)
{
	size_t have = 0;

	while (have < MV_DISK_BLOCK) {
		ssize_t n = pread(fd, buf + have, MV_DISK_BLOCK - have, (off_t)(at + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* The first block from b on that is not in a hole; without holes, and on error, b. */
static uint64_t next_data(int fd, uint64_t b, uint64_t nblocks)
{
	off_t data = lseek(fd, (off_t)(b * MV_DISK_BLOCK), SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? nblocks : b;
	return (uint64_t)data / MV_DISK_BLOCK;
}

static void add_number(XXH3_state_t *h, uint64_t v)
{
	uint8_t le[8];

	for (unsigned i = 0; i < 8; i++)
		le[i] = (uint8_t)(v >> 8 * i);
	XXH3_128bits_update(h, le, sizeof(le));
}

static void finish(XXH3_state_t *h, uint8_t id[16])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(h));
	memcpy(id, canonical.digest, 16);
	XXH3_freeState(h);
}

static XXH3_state_t *begin(const struct mv_disk *d)
{
	XXH3_state_t *h = XXH3_createState();

	if (h) {
		XXH3_128bits_reset(h);
		add_number(h, d->size);
	}
	return h;
}

/* ---- block by block ---- */

int mv_disk_sums_open(struct mv_disk_sums **out, int fd, const struct mv_disk *d, struct mv_err *err)
{
	struct mv_disk_sums *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (s) {
		s->fd = fd;
		s->disk = d;
		s->nblocks = (d->size + MV_DISK_BLOCK - 1) / MV_DISK_BLOCK;
		s->nwords = (s->nblocks + 63) / 64;
		/* Memory that is never written to costs nothing: a sparse disk has few sums. */
		s->sum = calloc(s->nblocks, sizeof(*s->sum));
		s->stale = calloc(s->nwords, sizeof(*s->stale));
		s->todo = calloc(s->nwords, sizeof(*s->todo));
	}
	if (!s || !s->sum || !s->stale || !s->todo) {
		mv_disk_sums_close(s);
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	}
	memset(s->stale, 0xff, s->nwords * sizeof(*s->stale));
	*out = s;
	return 0;
}

void mv_disk_sums_close(struct mv_disk_sums *s)
{
	if (!s)
		return;
	free(s->sum);
	free(s->stale);
	free(s->todo);
	free(s);
}

uint64_t *mv_disk_sums_stale(struct mv_disk_sums *s)
{
	return s->stale;
}

static bool read_sum(struct mv_disk_sums *s, uint64_t b)
{
	uint8_t buf[MV_DISK_BLOCK];
	ssize_t n = read_block(s->fd, buf, b * MV_DISK_BLOCK);

	if (n >= 0)
		s->sum[b] = zeros(buf, (size_t)n) ? 0 : XXH3_64bits(buf, (size_t)n);
	return n >= 0;
}

int64_t mv_disk_sums_read(struct mv_disk_sums *s, const bool *cancelled, struct mv_err *err)
{
	uint64_t data = 0;
	int64_t read = 0;

	/* All at once, before the first is read: what is written from here on is stale again. */
	for (uint64_t w = 0; w < s->nwords; w++)
		s->todo[w] = __atomic_exchange_n(&s->stale[w], 0, __ATOMIC_SEQ_CST);
	for (uint64_t b = 0; b < s->nblocks; b++) {
		if (cancelled && __atomic_load_n(cancelled, __ATOMIC_SEQ_CST))
			return mv_err_set(err, MV_E_FAILED, MV_CANCELLED);
		if (!(s->todo[b / 64] >> b % 64 & 1))
			continue;
		if (b >= data)
			data = next_data(s->fd, b, s->nblocks);
		if (b < data) {
			/* Not where zeros are already: that would make memory of it. */
			if (s->sum[b])
				s->sum[b] = 0;
			continue;
		}
		if (!read_sum(s, b))
			return unreadable(s->disk, err);
		read++;
	}
	return read;
}

int mv_disk_sums_id(const struct mv_disk_sums *s, uint8_t id[16], struct mv_err *err)
{
	XXH3_state_t *h = begin(s->disk);

	if (!h)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	for (uint64_t b = 0; b < s->nblocks; b++) {
		if (!s->sum[b])
			continue;
		add_number(h, b);
		add_number(h, s->sum[b]);
	}
	finish(h, id);
	return 0;
}

static int blocks_id(int fd, const struct mv_disk *d, uint8_t id[16], struct mv_err *err)
{
	struct mv_disk_sums *s;
	int rc = mv_disk_sums_open(&s, fd, d, err);

	if (rc == 0 && mv_disk_sums_read(s, NULL, err) < 0)
		rc = -MV_E_FAILED;
	if (rc == 0)
		rc = mv_disk_sums_id(s, id, err);
	mv_disk_sums_close(s);
	return rc;
}

/* ---- as files up to 1.1 have it ---- */

static int whole_id(int fd, const struct mv_disk *d, uint8_t id[16], struct mv_err *err)
{
	uint64_t nblocks = (d->size + MV_DISK_BLOCK - 1) / MV_DISK_BLOCK;
	XXH3_state_t *h = begin(d);
	uint8_t buf[MV_DISK_BLOCK];

	if (!h)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	for (uint64_t b = next_data(fd, 0, nblocks); b < nblocks; b = next_data(fd, b + 1, nblocks)) {
		ssize_t n = read_block(fd, buf, b * MV_DISK_BLOCK);

		if (n < 0) {
			XXH3_freeState(h);
			return unreadable(d, err);
		}
		if (zeros(buf, (size_t)n))
			continue;
		add_number(h, b);
		XXH3_128bits_update(h, buf, (size_t)n);
	}
	finish(h, id);
	return 0;
}

int mv_disk_holds(int fd, const struct mv_disk *d, bool *same, struct mv_err *err)
{
	uint8_t id[sizeof(d->id)] = { 0 };
	int rc;

	*same = false;
	if (d->id_kind == MV_DISK_NO_ID)
		return 0;
	rc = (d->id_kind == MV_DISK_BLOCKS ? blocks_id : whole_id)(fd, d, id, err);
	*same = rc == 0 && !memcmp(id, d->id, sizeof(id));
	return rc;
}
