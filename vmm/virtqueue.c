/* SPDX-License-Identifier: MIT */
#include "virtqueue.h"

#include <string.h>

#include "ram.h"

/* 2.7.5, 2.7.6, 2.7.8 */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

#define AVAIL_NO_INTERRUPT 1
#define RING_AT 4		/* flags and idx come first, in both rings */

void *mv_dma_at(const struct mv_dma *m, uint64_t gpa, uint64_t len)
{
	return mv_ram_has(m->size, gpa, len) ? m->ram + mv_ram_pos(gpa) : NULL;
}

static bool fits(const struct mv_dma *m, uint64_t gpa, uint64_t len, unsigned align)
{
	return gpa % align == 0 && mv_dma_at(m, gpa, len);
}

const char *mv_queue_check(const struct mv_queue *q, unsigned max, const struct mv_dma *m)
{
	if (!q->num || q->num > max || (q->num & (q->num - 1)))
		return "a queue's size that is no power of two, or too large";
	if (!fits(m, q->desc, (uint64_t)q->num * sizeof(struct desc), 16))
		return "descriptors that are not in memory, or not aligned";
	if (!fits(m, q->avail, RING_AT + 2u * q->num, 2))
		return "an available ring that is not in memory, or not aligned";
	if (!fits(m, q->used, RING_AT + 8u * q->num, 4))
		return "a used ring that is not in memory, or not aligned";
	return NULL;
}

/* For the rings: mv_queue_check has seen that they are in memory, whose size does not change. */
static void *ring_at(const struct mv_dma *m, uint64_t gpa)
{
	return m->ram + mv_ram_pos(gpa);
}

static uint16_t load16(const struct mv_dma *m, uint64_t gpa)
{
	return __atomic_load_n((const uint16_t *)ring_at(m, gpa), __ATOMIC_ACQUIRE);
}

/* Add a descriptor's bytes to the chain. NULL, or what is wrong with it. */
static const char *add(const struct mv_dma *m, struct mv_chain *c, const struct desc *d)
{
	unsigned i = c->nread + c->nwrite;

	if (d->flags & DESC_INDIRECT)
		return "an indirect descriptor, which was not agreed on";
	if (!d->len)
		return "a descriptor without bytes";
	if (!mv_dma_at(m, d->addr, d->len))
		return "a buffer outside memory";
	if (!(d->flags & DESC_WRITE) && c->nwrite)
		return "bytes to read behind bytes to write";
	c->iov[i] = (struct iovec){ .iov_base = mv_dma_at(m, d->addr, d->len), .iov_len = d->len };
	c->gpa[i] = d->addr;
	if (d->flags & DESC_WRITE) {
		c->nwrite++;
		c->to_write += d->len;
	} else {
		c->nread++;
		c->to_read += d->len;
	}
	/* 2.7.5 */
	if (c->to_read + c->to_write > UINT32_MAX)
		return "a buffer of 4 GiB";
	return NULL;
}

static const char *walk(const struct mv_queue *q, const struct mv_dma *m, struct mv_chain *c)
{
	uint16_t at = c->head;
	struct desc d;

	/* As many steps as there are descriptors: one more, and it is a loop. */
	for (unsigned i = 0; i < q->num; i++) {
		const char *why;

		if (at >= q->num)
			return "a descriptor that does not exist";
		memcpy(&d, ring_at(m, q->desc + (uint64_t)at * sizeof(d)), sizeof(d));
		why = add(m, c, &d);
		if (why || !(d.flags & DESC_NEXT))
			return why;
		at = d.next;
	}
	return "a chain of descriptors without an end";
}

unsigned mv_queue_waiting(const struct mv_queue *q, const struct mv_dma *m)
{
	return (uint16_t)(load16(m, q->avail + 2) - q->next_avail);
}

int mv_queue_pop(struct mv_queue *q, const struct mv_dma *m, struct mv_chain *c, const char **why)
{
	unsigned waiting = mv_queue_waiting(q, m);

	if (!waiting)
		return 0;
	*why = "more buffers than the queue has entries";
	if (waiting > q->num)
		return -1;
	c->nread = c->nwrite = 0;
	c->to_read = c->to_write = 0;
	c->head = load16(m, q->avail + RING_AT + 2u * (q->next_avail % q->num));
	*why = walk(q, m, c);
	if (*why)
		return -1;
	q->next_avail++;
	return 1;
}

static void wrote(const struct mv_dma *m, uint64_t gpa, uint64_t len)
{
	if (m->wrote)
		m->wrote(m->board, gpa, len);
}

bool mv_queue_push(struct mv_queue *q, const struct mv_dma *m, const struct mv_chain *c,
		   uint32_t len)
{
	uint64_t entry = q->used + RING_AT + 8u * (q->next_used % q->num), left = len;
	const uint32_t used[2] = { c->head, len };

	for (unsigned i = c->nread; i < c->nread + c->nwrite && left; i++) {
		uint64_t n = left < c->iov[i].iov_len ? left : c->iov[i].iov_len;

		wrote(m, c->gpa[i], n);
		left -= n;
	}
	memcpy(ring_at(m, entry), used, sizeof(used));
	wrote(m, entry, sizeof(used));
	q->next_used++;
	/* The entry before the index, and the index before a look at whether to interrupt. */
	__atomic_store_n((uint16_t *)ring_at(m, q->used + 2), q->next_used, __ATOMIC_SEQ_CST);
	wrote(m, q->used + 2, 2);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !(load16(m, q->avail) & AVAIL_NO_INTERRUPT);
}

int mv_chain_iov(const struct mv_chain *c, bool write, uint64_t offset, uint64_t len,
		 struct iovec out[MV_QUEUE_MAX])
{
	unsigned i = write ? c->nread : 0, end = write ? c->nread + c->nwrite : c->nread;
	int n = 0;

	for (; i < end && len; i++) {
		uint64_t have = c->iov[i].iov_len;

		if (offset >= have) {
			offset -= have;
			continue;
		}
		have = have - offset < len ? have - offset : len;
		out[n++] = (struct iovec){ .iov_base = (uint8_t *)c->iov[i].iov_base + offset,
					   .iov_len = have };
		offset = 0;
		len -= have;
	}
	return n;
}

size_t mv_chain_read(const struct mv_chain *c, uint64_t offset, void *buf, size_t len)
{
	struct iovec iov[MV_QUEUE_MAX];
	int n = mv_chain_iov(c, false, offset, len, iov);
	size_t done = 0;

	for (int i = 0; i < n; done += iov[i++].iov_len)
		memcpy((uint8_t *)buf + done, iov[i].iov_base, iov[i].iov_len);
	return done;
}

size_t mv_chain_write(const struct mv_chain *c, uint64_t offset, const void *buf, size_t len)
{
	struct iovec iov[MV_QUEUE_MAX];
	int n = mv_chain_iov(c, true, offset, len, iov);
	size_t done = 0;

	for (int i = 0; i < n; done += iov[i++].iov_len)
		memcpy(iov[i].iov_base, (const uint8_t *)buf + done, iov[i].iov_len);
	return done;
}
