/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <string.h>

#include <xxhash.h>

#include "le.h"
#include "stream.h"

#define HEADER_SUM (MV_STREAM_HEADER_SIZE - MV_FRAME_SUM_SIZE)
#define MEMORY_HEAD 12
#define PACKED_HEAD 20

size_t fuzz_accepted;

size_t fuzz_fix_frame(uint8_t *p, size_t left)
{
	uint64_t length;

	if (left < MV_FRAME_SIZE)
		return left;
	length = mv_load_le(p + 16, 8);
	if (length > left - MV_FRAME_SIZE)
		return left;
	mv_store_le(p, mv_frame_sum(p + MV_FRAME_SUM_SIZE,
				    MV_FRAME_SIZE - MV_FRAME_SUM_SIZE + (size_t)length), 8);
	length += MV_FRAME_SIZE + mv_frame_padding(length);
	return length < left ? (size_t)length : left;
}

/* The chunks of pages that a MEMORY record speaks of. */
static void fix_chunks(uint8_t *payload, uint64_t length, const uint8_t *p, size_t size, uint64_t data)
{
	uint64_t chunk = mv_load_le(payload, 4), nruns = mv_load_le(payload + 4, 4);
	uint64_t nchunks = mv_load_le(payload + 8, 4), at = MEMORY_HEAD + nruns * 24, n, i;

	if (!chunk || data > size)
		return;
	for (i = 0; i < nchunks && at + 8 <= length; i++, at += 8) {
		if (i * chunk >= size - data)
			break;
		n = size - data - i * chunk < chunk ? size - data - i * chunk : chunk;
		mv_store_le(payload + at, XXH3_64bits(p + data + i * chunk, (size_t)n), 8);
	}
}

/* The stored chunks that a PACKED record speaks of; what is in them is not ours to correct. */
static void fix_stored(uint8_t *payload, uint64_t length, const uint8_t *p, size_t size, uint64_t data)
{
	for (uint64_t at = PACKED_HEAD, n; at + 12 <= length && data <= size; at += 12, data += n) {
		n = mv_load_le(payload + at, 4);
		if (n > size - data)
			return;
		mv_store_le(payload + at + 4, XXH3_64bits(p + data, (size_t)n), 8);
	}
}

void fuzz_fix_sums(uint8_t *p, size_t size, uint32_t kind)
{
	uint64_t at = MV_STREAM_HEADER_SIZE, length, data;
	bool packed = false;

	if (size < MV_STREAM_HEADER_SIZE)
		return;
	mv_store_le(p + 12, kind, 4);
	data = mv_load_le(p + 32, 8);
	mv_store_le(p + HEADER_SUM, XXH3_64bits(p, HEADER_SUM), MV_FRAME_SUM_SIZE);
	while (size - at >= MV_FRAME_SIZE) {
		length = mv_load_le(p + at + 16, 8);
		if (length > size - at - MV_FRAME_SIZE)
			return;
		if (mv_load_le(p + at + 8, 4) == MV_REC_PACKED) {
			packed = true;
			fix_stored(p + at + MV_FRAME_SIZE, length, p, size, data);
		}
		if (mv_load_le(p + at + 8, 4) == MV_REC_MEMORY && length >= MEMORY_HEAD && !packed)
			fix_chunks(p + at + MV_FRAME_SIZE, length, p, size, data);
		mv_store_le(p + at, mv_frame_sum(p + at + MV_FRAME_SUM_SIZE,
						 MV_FRAME_SIZE - MV_FRAME_SUM_SIZE + (size_t)length), 8);
		/* Behind the last record a file has zeros, which are to stay. */
		if (mv_load_le(p + at + 8, 4) == MV_REC_END)
			return;
		at += MV_FRAME_SIZE + length + mv_frame_padding(length);
		if (at > size)
			return;
	}
}
