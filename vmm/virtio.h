/* SPDX-License-Identifier: MIT */
/*
 * Virtio devices behind memory-mapped registers (Virtual I/O Device 1.2, section 4.2), one queue
 * each: a disk, and a source of random bytes. A queue is served where the guest notifies the device,
 * so no request is half done while the guest is halted.
 */
#ifndef MV_VMM_VIRTIO_H
#define MV_VMM_VIRTIO_H

#include "virtqueue.h"

/* Place n: registers and interrupt line. Above what RAM can be; ACPI names them. */
#define MV_VIRTIO_AT 0xd0000000u
#define MV_VIRTIO_SIZE 0x1000u
#define MV_VIRTIO_IRQ 16
#define MV_VIRTIO_MAX 8		/* the IOAPIC has pins 16 to 23 left */

#define MV_VIRTIO_STATE 64	/* bytes of a device's saved state */

struct mv_virtio;

struct mv_virtio_kind {
	uint32_t id;			/* section 5 */
	uint16_t queue_max;
	uint64_t (*features)(const struct mv_virtio *v);
	/* Serve a buffer; *len is how much was written into it. NULL, or how the guest broke a rule. */
	const char *(*serve)(struct mv_virtio *v, struct mv_chain *c, uint32_t *len);
	/* len bytes of configuration space at offset; the rest of data is zeros already. */
	void (*config)(const struct mv_virtio *v, unsigned offset, unsigned len, uint8_t *data);
};

struct mv_virtio {
	const struct mv_virtio_kind *kind;
	char name[16];			/* "disk0", "rng0": in messages and in saved state */
	unsigned irq_line;
	struct mv_dma dma;

	uint32_t status, interrupts, device_sel, driver_sel, queue_sel;
	uint64_t driver_features;
	struct mv_queue queue;
	bool irq, told;			/* line as set last; a breach was reported */

	int fd;				/* disk: the image */
	bool read_only;
	uint64_t sectors;		/* of 512 bytes */
	uint64_t *written;		/* a bit for each block of the disk; NULL: nobody asks */
	char serial[20];		/* GET_ID; not terminated when full */

	/* All may be NULL. */
	void (*set_irq)(void *board, unsigned irq, bool level);
	void (*note)(void *board, const char *device, const char *what);
	void *board;
};

extern const struct mv_virtio_kind mv_virtio_disk, mv_virtio_rng;

/* As at power-on; the caller sets dma, board and, for a disk, the image before the guest runs. */
void mv_virtio_init(struct mv_virtio *v, const struct mv_virtio_kind *kind, unsigned place,
		    const char *name);

/* An access of len bytes at offset of its registers. */
void mv_virtio_read(struct mv_virtio *v, unsigned offset, unsigned len, uint8_t *data);
void mv_virtio_write(struct mv_virtio *v, unsigned offset, unsigned len, const uint8_t *data);

void mv_virtio_save(const struct mv_virtio *v, uint8_t state[MV_VIRTIO_STATE]);
/* Whether the state makes sense for this device and this memory; sets the line as it was. */
bool mv_virtio_load(struct mv_virtio *v, const uint8_t state[MV_VIRTIO_STATE]);

#endif
