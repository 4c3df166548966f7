/* SPDX-License-Identifier: MIT */
#include "virtio.h"

#include <stdio.h>
#include <string.h>

/* 4.2.2 */
enum {
	REG_MAGIC = 0x00, REG_VERSION = 0x04, REG_DEVICE = 0x08, REG_VENDOR = 0x0c,
	REG_DEVICE_FEATURES = 0x10, REG_DEVICE_SEL = 0x14,
	REG_DRIVER_FEATURES = 0x20, REG_DRIVER_SEL = 0x24,
	REG_QUEUE_SEL = 0x30, REG_QUEUE_MAX = 0x34, REG_QUEUE_NUM = 0x38, REG_QUEUE_READY = 0x44,
	REG_NOTIFY = 0x50, REG_INTERRUPTS = 0x60, REG_ACK = 0x64, REG_STATUS = 0x70,
	REG_DESC = 0x80, REG_AVAIL = 0x90, REG_USED = 0xa0,
	REG_SHM_LEN = 0xb0, REG_GENERATION = 0xfc, REG_CONFIG = 0x100,
};

#define MAGIC 0x74726976u
#define VENDOR 0x4d564d4du	/* "MMVM"; Linux shows it, nobody asks */

/* 2.1 */
#define DRIVER_OK 4
#define FEATURES_OK 8
#define NEEDS_RESET 64
#define STATUS_BITS 0xcf

#define INTERRUPT_USED 1
#define INTERRUPT_CONFIG 2

#define F_VERSION_1 (UINT64_C(1) << 32)

static uint64_t offered(const struct mv_virtio *v)
{
	return v->kind->features(v) | F_VERSION_1;
}

static void update(struct mv_virtio *v)
{
	bool irq = v->interrupts != 0;

	if (irq != v->irq && v->set_irq)
		v->set_irq(v->board, v->irq_line, irq);
	v->irq = irq;
}

/* 2.1.2: nothing goes on before the guest resets the device. One word about it is enough. */
static void broken(struct mv_virtio *v, const char *why)
{
	v->status |= NEEDS_RESET;
	if (v->status & DRIVER_OK)
		v->interrupts |= INTERRUPT_CONFIG;
	if (!v->told && v->note)
		v->note(v->board, v->name, why);
	v->told = true;
}

static void reset(struct mv_virtio *v)
{
	v->status = v->interrupts = v->device_sel = v->driver_sel = v->queue_sel = 0;
	v->driver_features = 0;
	v->queue = (struct mv_queue){ .num = v->kind->queue_max };
}

void mv_virtio_init(struct mv_virtio *v, const struct mv_virtio_kind *kind, unsigned place,
		    const char *name)
{
	memset(v, 0, sizeof(*v));
	v->kind = kind;
	v->fd = -1;
	v->irq_line = MV_VIRTIO_IRQ + place;
	snprintf(v->name, sizeof(v->name), "%s", name);
	reset(v);
}

static void write_status(struct mv_virtio *v, uint32_t s)
{
	if (s == 0) {
		reset(v);
		return;
	}
	/* The driver sets bits one after the other; NEEDS_RESET is not its to set or clear. */
	s = (s & STATUS_BITS & ~(uint32_t)NEEDS_RESET) | v->status;
	if (s & ~v->status & FEATURES_OK &&
	    ((v->driver_features & ~offered(v)) || !(v->driver_features & F_VERSION_1)))
		s &= ~(uint32_t)FEATURES_OK;
	v->status = s;
}

static bool may_configure(const struct mv_virtio *v)
{
	return v->queue_sel == 0 && !v->queue.ready && !(v->status & NEEDS_RESET);
}

static void write_ready(struct mv_virtio *v, uint32_t ready)
{
	const char *why;

	if (!ready) {
		if (v->queue_sel == 0)
			v->queue.ready = false;
		return;
	}
	if (!may_configure(v))
		return;
	why = mv_queue_check(&v->queue, v->kind->queue_max, &v->dma);
	if (why)
		broken(v, why);
	else
		v->queue.ready = true;
}

/*
 * What is there now and no more: buffers that are added meanwhile come with a notification of their own, and
 * what a disk holds, read into the ring, could add some for ever, with the guest halted or not.
 */
static void serve(struct mv_virtio *v)
{
	bool interrupt = false;
	struct mv_chain c;
	const char *why;
	unsigned left;
	uint32_t len;
	int rc = 0;

	if (!v->queue.ready || (v->status & (DRIVER_OK | NEEDS_RESET)) != DRIVER_OK)
		return;
	for (left = mv_queue_waiting(&v->queue, &v->dma); left; left--) {
		rc = mv_queue_pop(&v->queue, &v->dma, &c, &why);
		if (rc <= 0)
			break;
		len = 0;
		why = v->kind->serve(v, &c, &len);
		if (why) {
			rc = -1;
			break;
		}
		interrupt |= mv_queue_push(&v->queue, &v->dma, &c, len);
	}
	if (interrupt)
		v->interrupts |= INTERRUPT_USED;
	if (rc < 0)
		broken(v, why);
}

static void half(uint64_t *v, bool high, uint32_t value)
{
	*v = high ? (*v & UINT32_MAX) | (uint64_t)value << 32 : (*v & ~(uint64_t)UINT32_MAX) | value;
}

static void write_address(struct mv_virtio *v, unsigned reg, uint32_t value)
{
	uint64_t *const at = reg < REG_AVAIL ? &v->queue.desc
					     : reg < REG_USED ? &v->queue.avail : &v->queue.used;

	if (may_configure(v))
		half(at, reg & 4, value);
}

static void write_register(struct mv_virtio *v, unsigned reg, uint32_t value)
{
	switch (reg) {
	case REG_DEVICE_SEL:
		v->device_sel = value;
		break;
	case REG_DRIVER_SEL:
		v->driver_sel = value;
		break;
	case REG_DRIVER_FEATURES:
		if (!(v->status & FEATURES_OK) && v->driver_sel < 2)
			half(&v->driver_features, v->driver_sel, value);
		break;
	case REG_QUEUE_SEL:
		v->queue_sel = value;
		break;
	case REG_QUEUE_NUM:
		/* Out of range is told when the queue is made ready. */
		if (may_configure(v))
			v->queue.num = value > UINT16_MAX ? UINT16_MAX : (uint16_t)value;
		break;
	case REG_QUEUE_READY:
		write_ready(v, value);
		break;
	case REG_NOTIFY:
		if (value == 0)
			serve(v);
		break;
	case REG_ACK:
		v->interrupts &= ~value;
		break;
	case REG_STATUS:
		write_status(v, value);
		break;
	case REG_DESC:
	case REG_DESC + 4:
	case REG_AVAIL:
	case REG_AVAIL + 4:
	case REG_USED:
	case REG_USED + 4:
		write_address(v, reg, value);
		break;
	default:
		break;
	}
	update(v);
}

static uint32_t read_register(const struct mv_virtio *v, unsigned reg)
{
	switch (reg) {
	case REG_MAGIC: return MAGIC;
	case REG_VERSION: return 2;
	case REG_DEVICE: return v->kind->id;
	case REG_VENDOR: return VENDOR;
	case REG_DEVICE_FEATURES:
		return v->device_sel < 2 ? (uint32_t)(offered(v) >> 32 * v->device_sel) : 0;
	case REG_QUEUE_MAX: return v->queue_sel == 0 ? v->kind->queue_max : 0;
	case REG_QUEUE_READY: return v->queue_sel == 0 && v->queue.ready;
	case REG_INTERRUPTS: return v->interrupts;
	case REG_STATUS: return v->status;
	case REG_SHM_LEN:
	case REG_SHM_LEN + 4: return UINT32_MAX;	/* 4.2.2.1: no such region */
	default: return 0;
	}
}

void mv_virtio_read(struct mv_virtio *v, unsigned offset, unsigned len, uint8_t *data)
{
	uint32_t value;

	memset(data, 0, len);
	if (offset >= REG_CONFIG) {
		if (v->kind->config)
			v->kind->config(v, offset - REG_CONFIG, len, data);
		return;
	}
	/* 4.2.2.2: registers are read and written as aligned words. */
	if (len != 4 || offset % 4)
		return;
	value = read_register(v, offset);
	memcpy(data, &value, 4);
}

void mv_virtio_write(struct mv_virtio *v, unsigned offset, unsigned len, const uint8_t *data)
{
	uint32_t value;

	if (offset >= REG_CONFIG || len != 4 || offset % 4)
		return;		/* nothing in a configuration space of ours can be written */
	memcpy(&value, data, 4);
	write_register(v, offset, value);
}

/* ---- saved state (docs/stream-format.md, 5.8) ---- */

struct state {
	uint32_t status, interrupts, device_sel, driver_sel, queue_sel, ready;
	uint64_t driver_features, desc, avail, used;
	uint16_t num, next_avail, next_used, zero;
};

_Static_assert(sizeof(struct state) == MV_VIRTIO_STATE, "no holes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "x86, as KVM's guests");

void mv_virtio_save(const struct mv_virtio *v, uint8_t state[MV_VIRTIO_STATE])
{
	const struct mv_queue *q = &v->queue;
	const struct state s = {
		.status = v->status, .interrupts = v->interrupts, .device_sel = v->device_sel,
		.driver_sel = v->driver_sel, .queue_sel = v->queue_sel, .ready = q->ready,
		.driver_features = v->driver_features, .desc = q->desc, .avail = q->avail,
		.used = q->used, .num = q->num, .next_avail = q->next_avail,
		.next_used = q->next_used,
	};

	memcpy(state, &s, sizeof(s));
}

bool mv_virtio_load(struct mv_virtio *v, const uint8_t state[MV_VIRTIO_STATE])
{
	struct mv_queue q;
	struct state s;

	memcpy(&s, state, sizeof(s));
	q = (struct mv_queue){ .num = s.num, .ready = s.ready, .desc = s.desc, .avail = s.avail,
			       .used = s.used, .next_avail = s.next_avail,
			       .next_used = s.next_used };
	if ((s.status & ~(uint32_t)STATUS_BITS) || s.ready > 1 || s.zero ||
	    (s.interrupts & ~(uint32_t)(INTERRUPT_USED | INTERRUPT_CONFIG)) ||
	    ((s.status & FEATURES_OK) && (s.driver_features & ~offered(v))) ||
	    (s.ready && mv_queue_check(&q, v->kind->queue_max, &v->dma)))
		return false;
	v->status = s.status;
	v->interrupts = s.interrupts;
	v->device_sel = s.device_sel;
	v->driver_sel = s.driver_sel;
	v->queue_sel = s.queue_sel;
	v->driver_features = s.driver_features;
	v->queue = q;
	update(v);
	return true;
}
