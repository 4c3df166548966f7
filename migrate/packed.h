/* SPDX-License-Identifier: MIT */
/*
 * Compressed chunks of memory (docs/stream-format.md, section 5.10). The library, zstd, is loaded when
 * the first chunk is compressed or decompressed, and by nothing else.
 */
#ifndef MV_MIGRATE_PACKED_H
#define MV_MIGRATE_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "wire.h"

enum mv_packing {
	MV_PACKING_NONE,
	MV_PACKING_ZSTD,
};

/* A chunk as it stands in the file: as many bytes as it has itself if it was not worth the trouble. */
struct mv_stored {
	uint32_t len;
	uint64_t sum;
};

/* The PACKED record. */
struct mv_packed {
	uint32_t method;	/* enum mv_packing; NONE: there is no such record */
	uint32_t chunk_size, n;
	uint64_t size;		/* of all chunks, decompressed */
	struct mv_stored *chunk;
};

/* Bytes of the record's payload for n chunks, and the most it can be. */
uint64_t mv_packed_length(uint32_t n);
uint64_t mv_packed_max_length(uint64_t ram_size);

/*
 * The codec of the PACKED record. Decoding: stored is how many bytes the file has for the chunks, padding
 * included; the array is allocated. The caller finishes p.
 */
void mv_packed_walk(struct mv_wire *w, struct mv_packed *p, uint64_t ram_size, uint64_t stored);
void mv_packed_finish(struct mv_packed *p);

/* Bytes of chunk number i, decompressed, and of all chunks as they are stored. */
uint32_t mv_packed_chunk(const struct mv_packed *p, uint32_t i);
uint64_t mv_packed_stored(const struct mv_packed *p);

struct mv_packer;	/* the library and its working memory, for chunks of one size */

/* -MV_E_FAILED with a hint: the library is not installed. */
int mv_packer_open(struct mv_packer **out, uint32_t chunk_size, struct mv_err *err);
void mv_packer_close(struct mv_packer *p);	/* accepts NULL */

/* Compress len bytes: how many, at *out until the next call; in itself if that is no larger. */
size_t mv_packer_pack(struct mv_packer *p, const uint8_t *in, size_t len, const uint8_t **out);
/* Decompress into exactly size bytes; false: that is not what in holds. */
bool mv_packer_unpack(struct mv_packer *p, const uint8_t *in, size_t len, uint8_t *out, size_t size);

#endif
