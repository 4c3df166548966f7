/* SPDX-License-Identifier: MIT */
/* Little-endian numbers as bytes, wherever they stand. */
#ifndef MV_MIGRATE_LE_H
#define MV_MIGRATE_LE_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t mv_le16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

/* In one expression: compilers make one load of it. */
static inline uint32_t mv_le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t mv_le64(const uint8_t *p)
{
	return mv_le32(p) | (uint64_t)mv_le32(p + 4) << 32;
}

/* Of size bytes, 8 at most; store returns what is behind it. */
static inline uint64_t mv_load_le(const uint8_t *p, size_t size)
{
	uint64_t v = 0;

	while (size--)
		v = v << 8 | p[size];
	return v;
}

static inline uint8_t *mv_store_le(uint8_t *p, uint64_t v, size_t size)
{
	for (; size--; v >>= 8)
		*p++ = (uint8_t)v;
	return p;
}

#endif
