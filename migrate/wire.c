/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "le.h"

uint8_t *mv_buf_grow(struct mv_buf *b, size_t len)
{
	uint8_t *p;

	if (!b->data || len > b->cap - b->len) {
		size_t cap = b->cap ? b->cap : 4096;

		while (len > cap - b->len) {
			if (cap > SIZE_MAX / 2)
				return NULL;
			cap *= 2;
		}
		p = realloc(b->data, cap);
		if (!p)
			return NULL;
		b->data = p;
		b->cap = cap;
	}
	p = b->data + b->len;
	b->len += len;
	return p;
}

void mv_buf_finish(struct mv_buf *b)
{
	free(b->data);
	*b = (struct mv_buf){ 0 };
}

void mv_wire_encoder(struct mv_wire *w, struct mv_buf *out)
{
	*w = (struct mv_wire){ .out = out };
}

void mv_wire_decoder(struct mv_wire *w, const void *in, size_t size)
{
	*w = (struct mv_wire){ .in = in, .size = size };
}

void mv_wire_fail(struct mv_wire *w, const char *fmt, ...)
{
	va_list ap;

	if (w->why[0])
		return;
	va_start(ap, fmt);
	vsnprintf(w->why, sizeof(w->why), fmt, ap);
	va_end(ap);
}

/* Room for len bytes to encode into; NULL after a failure. */
static uint8_t *put(struct mv_wire *w, size_t len)
{
	uint8_t *p;

	if (!mv_wire_ok(w))
		return NULL;
	p = mv_buf_grow(w->out, len);
	if (!p)
		mv_wire_fail(w, "out of memory");
	return p;
}

/* The next len bytes to decode; NULL after a failure. */
static const uint8_t *take(struct mv_wire *w, size_t len)
{
	const uint8_t *p;

	if (!mv_wire_ok(w))
		return NULL;
	if (len > w->size - w->pos) {
		mv_wire_fail(w, "%zu bytes are too few for its fields", w->size);
		return NULL;
	}
	p = w->in + w->pos;
	w->pos += len;
	return p;
}

/* An integer of len bytes: encodes v, or returns what it decodes. */
static uint64_t integer(struct mv_wire *w, uint64_t v, unsigned len)
{
	const uint8_t *in;
	uint8_t *out;
	unsigned i;

	if (!mv_wire_decoding(w)) {
		out = put(w, len);
		for (i = 0; out && i < len; i++)
			out[i] = (uint8_t)(v >> 8 * i);
		return v;
	}
	in = take(w, len);
	v = 0;
	for (i = 0; in && i < len; i++)
		v |= (uint64_t)in[i] << 8 * i;
	return v;
}

void mv_wire_u8(struct mv_wire *w, uint8_t *v)
{
	uint64_t x = integer(w, *v, 1);

	if (mv_wire_decoding(w))
		*v = (uint8_t)x;
}

void mv_wire_u16(struct mv_wire *w, uint16_t *v)
{
	uint64_t x = integer(w, *v, 2);

	if (mv_wire_decoding(w))
		*v = (uint16_t)x;
}

void mv_wire_u32(struct mv_wire *w, uint32_t *v)
{
	uint64_t x = integer(w, *v, 4);

	if (mv_wire_decoding(w))
		*v = (uint32_t)x;
}

void mv_wire_u64(struct mv_wire *w, uint64_t *v)
{
	uint64_t x = integer(w, *v, 8);

	if (mv_wire_decoding(w))
		*v = x;
}

void mv_wire_i64(struct mv_wire *w, int64_t *v)
{
	uint64_t x = integer(w, (uint64_t)*v, 8);

	if (mv_wire_decoding(w))
		*v = (int64_t)x;
}

void mv_wire_u32s(struct mv_wire *w, uint32_t *v, size_t n)
{
	const uint8_t *in = mv_wire_decoding(w) ? take(w, n * 4) : NULL;
	uint8_t *out = mv_wire_decoding(w) ? NULL : put(w, n * 4);

	for (size_t i = 0; i < n; i++) {
		if (out)
			out = mv_store_le(out, v[i], 4);
		else if (mv_wire_decoding(w))
			v[i] = in ? mv_le32(in + 4 * i) : 0;
	}
}

void mv_wire_u64s(struct mv_wire *w, uint64_t *v, size_t n)
{
	const uint8_t *in = mv_wire_decoding(w) ? take(w, n * 8) : NULL;
	uint8_t *out = mv_wire_decoding(w) ? NULL : put(w, n * 8);

	for (size_t i = 0; i < n; i++) {
		if (out)
			out = mv_store_le(out, v[i], 8);
		else if (mv_wire_decoding(w))
			v[i] = in ? mv_le64(in + 8 * i) : 0;
	}
}

void mv_wire_bytes(struct mv_wire *w, void *p, size_t len)
{
	const uint8_t *in;
	uint8_t *out;

	if (!len)
		return;
	if (mv_wire_decoding(w)) {
		in = take(w, len);
		if (in)
			memcpy(p, in, len);
		else
			memset(p, 0, len);
		return;
	}
	out = put(w, len);
	if (out)
		memcpy(out, p, len);
}

void mv_wire_bool(struct mv_wire *w, bool *v, const char *what)
{
	uint64_t x = integer(w, *v, 1);

	if (!mv_wire_decoding(w))
		return;
	if (x > 1)
		mv_wire_fail(w, "%s is %" PRIu64 ", neither 0 nor 1", what, x);
	*v = x == 1;
}

void mv_wire_u8_max(struct mv_wire *w, uint8_t *v, uint8_t max, const char *what)
{
	mv_wire_u8(w, v);
	if (*v <= max)
		return;
	mv_wire_fail(w, "%s is %u, more than %u", what, *v, max);
	if (mv_wire_decoding(w))
		*v = 0;
}

void mv_wire_u32_range(struct mv_wire *w, uint32_t *v, uint32_t min, uint32_t max,
		       const char *what)
{
	mv_wire_u32(w, v);
	if (*v >= min && *v <= max)
		return;
	mv_wire_fail(w, "%s is %" PRIu32 ", not between %" PRIu32 " and %" PRIu32, what, *v, min,
		     max);
	if (mv_wire_decoding(w))
		*v = 0;
}

void mv_wire_count(struct mv_wire *w, uint32_t *n, uint32_t min, uint32_t max, size_t entry,
		   const char *what)
{
	mv_wire_u32_range(w, n, min, max, what);
	if (!mv_wire_decoding(w) || !*n)
		return;
	if (*n > (w->size - w->pos) / entry) {
		mv_wire_fail(w, "%s is %" PRIu32 ", but only %zu bytes follow", what, *n,
			     w->size - w->pos);
		*n = 0;
	}
}

/* strnlen, which C11 does not have. */
static size_t text_length(const char *s, size_t size)
{
	const char *end = memchr(s, 0, size);

	return end ? (size_t)(end - s) : size;
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static void put_str(struct mv_wire *w, const char *s, size_t size, const char *what)
{
	size_t i, len = text_length(s, size);
	uint8_t *out;

	if (len == size) {
		mv_wire_fail(w, "%s has no end", what);
		return;
	}
	out = put(w, size);
	if (!out)
		return;
	memset(out, 0, size);
	for (i = 0; i < len; i++)
		out[i] = is_control(s[i]) ? '?' : (uint8_t)s[i];
}

void mv_wire_str(struct mv_wire *w, char *s, size_t size, const char *what)
{
	size_t i, len;

	if (!mv_wire_decoding(w)) {
		put_str(w, s, size, what);
		return;
	}
	mv_wire_bytes(w, s, size);
	len = text_length(s, size);
	if (len == size)
		mv_wire_fail(w, "%s has no end", what);
	for (i = 0; i < len; i++)
		if (is_control(s[i]))
			mv_wire_fail(w, "%s has a control character", what);
	for (i = len; i < size; i++)
		if (s[i])
			mv_wire_fail(w, "%s has bytes after its end", what);
	/* A failure must not leave a string without NUL, or one that would garble a terminal. */
	if (!mv_wire_ok(w))
		memset(s, 0, size);
}

void mv_wire_zero(struct mv_wire *w, size_t len, const char *what)
{
	const uint8_t *in;
	uint8_t *out;
	size_t i;

	if (!mv_wire_decoding(w)) {
		out = put(w, len);
		if (out && len)
			memset(out, 0, len);
		return;
	}
	in = take(w, len);
	for (i = 0; in && i < len; i++)
		if (in[i])
			mv_wire_fail(w, "%s is not zero", what);
}

void mv_wire_expect_u64(struct mv_wire *w, uint64_t v, const char *what)
{
	uint64_t x = integer(w, v, 8);

	if (x != v)
		mv_wire_fail(w, "%s is %" PRIu64 ", not %" PRIu64, what, x, v);
}

void mv_wire_end(struct mv_wire *w)
{
	if (mv_wire_decoding(w) && w->pos != w->size)
		mv_wire_fail(w, "%zu bytes too many", w->size - w->pos);
}
