/* SPDX-License-Identifier: MIT */
/*
 * A split virtqueue (Virtual I/O Device 1.2, section 2.7), the device's side. The guest owns the
 * memory all of it lies in and may change it at any time: nothing is read twice, every address,
 * index and length is checked, and a queue that breaks a rule is broken until the guest resets it.
 */
#ifndef MV_VMM_VIRTQUEUE_H
#define MV_VMM_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define MV_QUEUE_MAX 256	/* entries of a queue, and of a chain */

/* Guest memory, as devices reach it. */
struct mv_dma {
	uint8_t *ram;		/* by position (ram.h) */
	uint64_t size;
	/* What a device writes is in no log of KVM's: it says so here. May be NULL. */
	void (*wrote)(void *board, uint64_t gpa, uint64_t len);
	void *board;
};

/* Host address of len bytes at gpa; NULL if they are not all RAM. */
void *mv_dma_at(const struct mv_dma *m, uint64_t gpa, uint64_t len);

struct mv_queue {
	uint16_t num;			/* entries; a power of two */
	bool ready;
	uint64_t desc, avail, used;	/* guest-physical */
	uint16_t next_avail, next_used;	/* free-running, as the guest's indices */
};

/* A buffer: what the guest gives to read, then what it wants written. */
struct mv_chain {
	uint16_t head;
	unsigned nread, nwrite;
	struct iovec iov[MV_QUEUE_MAX];		/* nread, then nwrite of them */
	uint64_t gpa[MV_QUEUE_MAX];
	uint64_t to_read, to_write;		/* bytes */
};

/* NULL, or why the queue's place, and its size of max at most, can't be. */
const char *mv_queue_check(const struct mv_queue *q, unsigned max, const struct mv_dma *m);

/* How many buffers the guest says are there. */
unsigned mv_queue_waiting(const struct mv_queue *q, const struct mv_dma *m);
/*
 * The next buffer: 1 with *c filled in, 0 if there is none, -1 with *why (a literal) if the guest
 * broke a rule.
 */
int mv_queue_pop(struct mv_queue *q, const struct mv_dma *m, struct mv_chain *c, const char **why);
/* Give it back with the first len of its writable bytes written. Returns whether to interrupt. */
bool mv_queue_push(struct mv_queue *q, const struct mv_dma *m, const struct mv_chain *c,
		   uint32_t len);

/* Copy between buf and a chain's bytes from offset on; how many there were. */
size_t mv_chain_read(const struct mv_chain *c, uint64_t offset, void *buf, size_t len);
size_t mv_chain_write(const struct mv_chain *c, uint64_t offset, const void *buf, size_t len);

/* The part from offset on, len bytes of it, as an array for readv and writev; how many entries. */
int mv_chain_iov(const struct mv_chain *c, bool write, uint64_t offset, uint64_t len,
		 struct iovec out[MV_QUEUE_MAX]);

#endif
