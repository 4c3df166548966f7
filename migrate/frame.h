/* SPDX-License-Identifier: MIT */
/*
 * The frame around every record of a state stream and every message between two hosts: checksum,
 * type, flags, length (docs/stream-format.md, section 4).
 */
#ifndef MV_MIGRATE_FRAME_H
#define MV_MIGRATE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define MV_FRAME_SIZE 24	/* bytes before the payload */
#define MV_FRAME_SUM_SIZE 8	/* of those, the checksum, which does not cover itself */

struct mv_frame {
	uint64_t sum;
	uint32_t type, flags;
	uint64_t length;	/* of the payload, without padding */
};

void mv_frame_unpack(struct mv_frame *f, const uint8_t head[MV_FRAME_SIZE]);

/* Write the frame of a record whose payload stands behind it, checksum included. */
void mv_frame_seal(uint8_t *record, uint32_t type, uint64_t length);

/* Of the len bytes behind the checksum: the rest of the frame, and the payload. */
uint64_t mv_frame_sum(const void *covered, size_t len);

/* Zero bytes behind a payload, up to a multiple of 8. */
static inline size_t mv_frame_padding(uint64_t length)
{
	return (size_t)(-length & 7);
}

#endif
