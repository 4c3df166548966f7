/* SPDX-License-Identifier: MIT */
/* A disk (Virtual I/O Device 1.2, section 5.2) on a raw image. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "state.h"
#include "virtio.h"

/* 5.2.3 */
#define F_SIZE_MAX (UINT64_C(1) << 1)
#define F_SEG_MAX (UINT64_C(1) << 2)
#define F_RO (UINT64_C(1) << 5)
#define F_BLK_SIZE (UINT64_C(1) << 6)
#define F_FLUSH (UINT64_C(1) << 9)

#define SECTOR 512u
#define SEGMENTS 254u			/* a queue's worth, but for header and status */
#define SEGMENT_SIZE (64u << 10)
#define MAX_DATA (SEGMENTS * SEGMENT_SIZE)	/* longer than any driver makes it that listens */

/* 5.2.6 */
struct request {
	uint32_t type, reserved;
	uint64_t sector;
};

enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8 };
enum { STATUS_OK, STATUS_IOERR, STATUS_UNSUPP };

static uint64_t features(const struct mv_virtio *v)
{
	return F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | (v->read_only ? F_RO : F_FLUSH);
}

/* 5.2.4, up to blk_size. */
static void config(const struct mv_virtio *v, unsigned offset, unsigned len, uint8_t *data)
{
	struct {
		uint64_t capacity;
		uint32_t size_max, seg_max, geometry, blk_size;
	} c = { v->sectors, SEGMENT_SIZE, SEGMENTS, 0, SECTOR };

	if (offset < sizeof(c))
		memcpy(data, (uint8_t *)&c + offset,
		       len < sizeof(c) - offset ? len : sizeof(c) - offset);
}

/* All of it, or false. */
static bool transfer(const struct mv_virtio *v, const struct mv_chain *c, bool in, uint64_t skip,
		     uint64_t len, uint64_t at)
{
	struct iovec iov[MV_QUEUE_MAX];

	while (len) {
		int n = mv_chain_iov(c, in, skip, len, iov);
		ssize_t done = in ? preadv(v->fd, iov, n, (off_t)at) : pwritev(v->fd, iov, n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		skip += (uint64_t)done;
		at += (uint64_t)done;
		len -= (uint64_t)done;
	}
	return true;
}

/* Behind the write: whoever reads the block before it is told reads it again. */
static void note_written(const struct mv_virtio *v, uint64_t at, uint64_t len)
{
	for (uint64_t b = at / MV_DISK_BLOCK; v->written && len && b <= (at + len - 1) / MV_DISK_BLOCK; b++)
		__atomic_fetch_or(&v->written[b / 64], UINT64_C(1) << b % 64, __ATOMIC_SEQ_CST);
}

static uint8_t move(const struct mv_virtio *v, const struct mv_chain *c, bool in, uint64_t sector,
		    uint64_t len)
{
	uint64_t skip = in ? 0 : sizeof(struct request);
	bool done;

	if (len % SECTOR || len > MAX_DATA || sector > v->sectors ||
	    len / SECTOR > v->sectors - sector || (!in && v->read_only))
		return STATUS_IOERR;
	done = transfer(v, c, in, skip, len, sector * SECTOR);
	if (!in)
		note_written(v, sector * SECTOR, len);
	if (!done)
		return STATUS_IOERR;
	/* 5.2.6.2: who knows nothing of FLUSH has each write on the disk when it is done. */
	if (!in && !(v->driver_features & F_FLUSH) && fdatasync(v->fd))
		return STATUS_IOERR;
	return STATUS_OK;
}

static const char *serve(struct mv_virtio *v, struct mv_chain *c, uint32_t *len)
{
	uint64_t data = c->to_write - 1;	/* the last writable byte is the status */
	struct request r;
	uint8_t status;

	if (!c->to_write || mv_chain_read(c, 0, &r, sizeof(r)) != sizeof(r))
		return "a disk request without header or status";
	switch (r.type) {
	case TYPE_IN:
		status = move(v, c, true, r.sector, data);
		break;
	case TYPE_OUT:
		status = move(v, c, false, r.sector, c->to_read - sizeof(r));
		break;
	case TYPE_FLUSH:
		status = !v->read_only && fdatasync(v->fd) ? STATUS_IOERR : STATUS_OK;
		break;
	case TYPE_GET_ID:
		mv_chain_write(c, 0, v->serial,
			       data < sizeof(v->serial) ? data : sizeof(v->serial));
		status = STATUS_OK;
		break;
	default:
		status = STATUS_UNSUPP;
	}
	mv_chain_write(c, data, &status, 1);
	*len = (uint32_t)c->to_write;	/* it counts from the first byte up to the status */
	return NULL;
}

const struct mv_virtio_kind mv_virtio_disk = {
	.id = 2, .queue_max = MV_QUEUE_MAX, .features = features, .serve = serve, .config = config,
};
