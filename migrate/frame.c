/* SPDX-License-Identifier: MIT */
#include "frame.h"

#include <xxhash.h>

#include "le.h"

void mv_frame_unpack(struct mv_frame *f, const uint8_t head[MV_FRAME_SIZE])
{
	f->sum = mv_load_le(head, 8);
	f->type = (uint32_t)mv_load_le(head + 8, 4);
	f->flags = (uint32_t)mv_load_le(head + 12, 4);
	f->length = mv_load_le(head + 16, 8);
}

uint64_t mv_frame_sum(const void *covered, size_t len)
{
	return XXH3_64bits(covered, len);
}

void mv_frame_seal(uint8_t *record, uint32_t type, uint64_t length)
{
	const size_t covered = MV_FRAME_SIZE - MV_FRAME_SUM_SIZE;

	mv_store_le(record + 8, type, 4);
	mv_store_le(record + 12, 0, 4);
	mv_store_le(record + 16, length, 8);
	mv_store_le(record, mv_frame_sum(record + MV_FRAME_SUM_SIZE, (size_t)(covered + length)),
		    8);
}
