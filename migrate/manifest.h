/* SPDX-License-Identifier: MIT */
/*
 * Which pages of memory a snapshot file holds, where, and their checksums (docs/stream-format.md,
 * section 5.9). Pages of zeros are left out.
 */
#ifndef MV_MIGRATE_MANIFEST_H
#define MV_MIGRATE_MANIFEST_H

#include "err.h"
#include "packed.h"
#include "wire.h"

struct mv_stream;

#define MV_CHUNK_SIZE 65536u		/* what is written */
#define MV_MAX_CHUNK_SIZE (1u << 24)	/* what is read */

struct mv_run {
	uint64_t pos, npages, offset;
};

struct mv_manifest {
	uint64_t ram_size, data_offset, file_size;	/* known beforehand, not part of it */
	uint32_t chunk_size, nruns, nchunks;
	struct mv_run *runs;
	uint64_t *sums;
	struct mv_packed packed;	/* its own record, which stands before this one */
};

/*
 * Find the pages of ram that are not zero, without looking at those whose bit is set in zeros (may be NULL).
 * The runs' offsets count from 0 until mv_manifest_place says where the pages go; the sums of chunks are 0
 * until mv_manifest_add_up was told their bytes, which is best done when they are written: once is all that
 * memory has to be fetched. ram must not change until then. The caller finishes m, on failure, too.
 */
int mv_manifest_scan(struct mv_manifest *m, const uint8_t *ram, const uint64_t *zeros, uint64_t ram_size,
		     struct mv_err *err);
void mv_manifest_place(struct mv_manifest *m, uint64_t data_offset);
uint32_t mv_manifest_chunk(const struct mv_manifest *m, uint32_t i);	/* its bytes */
void mv_manifest_add_up(struct mv_manifest *m, uint32_t i, const void *bytes);
void mv_manifest_finish(struct mv_manifest *m);

/* Bytes of memory that are stored, of the record's payload, and what the latter can be at most. */
uint64_t mv_manifest_data_size(const struct mv_manifest *m);
uint64_t mv_manifest_length(const struct mv_manifest *m);
uint64_t mv_manifest_max_length(uint64_t ram_size);

/* The codec of the MEMORY record. Decoding: the three sizes are set, the arrays are allocated. */
void mv_manifest_walk(struct mv_wire *w, struct mv_manifest *m);

/* Are these len bytes chunk number i, undamaged? */
bool mv_manifest_chunk_ok(const struct mv_manifest *m, uint32_t i, const void *bytes, size_t len);

/* Read the pages, which are next in s, into ram. No page is copied before its chunk is verified. */
int mv_manifest_load(const struct mv_manifest *m, struct mv_stream *s, uint8_t *ram,
		     struct mv_err *err);

#endif
