/* SPDX-License-Identifier: MIT */
/*
 * A cursor over bytes that encodes or decodes. A structure's fields are walked by one routine for
 * both directions, so that the two can't drift apart:
 *
 *	mv_wire_u32(w, &c->nvcpus);
 *
 * appends the field when the cursor encodes and fills it in when it decodes. The same checks hold
 * in both directions: what couldn't be read is not written.
 *
 * The first failure sticks: from then on nothing is appended and everything decodes as 0. Loops
 * over a decoded count end, as a count that is out of range or can't fit decodes as 0.
 */
#ifndef MV_MIGRATE_WIRE_H
#define MV_MIGRATE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that grow. Zeroed is empty. */
struct mv_buf {
	uint8_t *data;
	size_t len, cap;
};

/* len more bytes, uninitialised; NULL: out of memory, and the buffer is as it was. */
uint8_t *mv_buf_grow(struct mv_buf *b, size_t len);
void mv_buf_finish(struct mv_buf *b);

struct mv_wire {
	struct mv_buf *out;	/* encoding: append here; NULL: decoding */
	const uint8_t *in;	/* decoding: size bytes */
	size_t size, pos;
	char why[192];		/* the first failure; "" = none */
};

void mv_wire_encoder(struct mv_wire *w, struct mv_buf *out);
void mv_wire_decoder(struct mv_wire *w, const void *in, size_t size);

static inline bool mv_wire_decoding(const struct mv_wire *w)
{
	return !w->out;
}

static inline bool mv_wire_ok(const struct mv_wire *w)
{
	return !w->why[0];
}

void mv_wire_fail(struct mv_wire *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * An encoder never writes through the pointers it is given. This is where the const of what it
 * reads is dropped, to walk it by the routine that also decodes.
 */
static inline void *mv_wire_unconst(const void *p)
{
	return (void *)(uintptr_t)p;
}

/* Any value. */
void mv_wire_u8(struct mv_wire *w, uint8_t *v);
void mv_wire_u16(struct mv_wire *w, uint16_t *v);
void mv_wire_u32(struct mv_wire *w, uint32_t *v);
void mv_wire_u64(struct mv_wire *w, uint64_t *v);
void mv_wire_i64(struct mv_wire *w, int64_t *v);
void mv_wire_bytes(struct mv_wire *w, void *p, size_t len);
/* n of them, for what there are thousands of. */
void mv_wire_u32s(struct mv_wire *w, uint32_t *v, size_t n);
void mv_wire_u64s(struct mv_wire *w, uint64_t *v, size_t n);

/* Values with limits; what names the field in the failure. */
void mv_wire_bool(struct mv_wire *w, bool *v, const char *what);
void mv_wire_u8_max(struct mv_wire *w, uint8_t *v, uint8_t max, const char *what);
void mv_wire_u32_range(struct mv_wire *w, uint32_t *v, uint32_t min, uint32_t max,
		       const char *what);
/* A count of entries that take entry bytes each and follow at once: they must fit, too. */
void mv_wire_count(struct mv_wire *w, uint32_t *n, uint32_t min, uint32_t max, size_t entry,
		   const char *what);
/* Text in size bytes, filled up with NUL. Control characters are encoded as '?', not decoded. */
void mv_wire_str(struct mv_wire *w, char *s, size_t size, const char *what);
/* len bytes of zero. */
void mv_wire_zero(struct mv_wire *w, size_t len, const char *what);
/* The value itself is fixed. */
void mv_wire_expect_u64(struct mv_wire *w, uint64_t v, const char *what);

/* Decoding: fails unless every byte was used. */
void mv_wire_end(struct mv_wire *w);

#endif
