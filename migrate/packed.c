/* SPDX-License-Identifier: MIT */
#include "packed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "library.h"
#include "manifest.h"
#include "state.h"

#define LEVEL 1		/* the fastest of the usual ones: saving halts the guest */
#define HEAD 20
#define ENTRY 12

#define FUNCTIONS(X) \
	X(ZSTD_compressBound) \
	X(ZSTD_createCCtx) X(ZSTD_freeCCtx) X(ZSTD_compressCCtx) \
	X(ZSTD_createDCtx) X(ZSTD_freeDCtx) X(ZSTD_decompressDCtx) \
	X(ZSTD_isError)

struct mv_packer {
	FUNCTIONS(MV_LIBRARY_MEMBER)
	ZSTD_CCtx *c;
	ZSTD_DCtx *d;
	uint8_t *buf;
	size_t room;
};

/* ---- the library ---- */

static int load(struct mv_packer *p, struct mv_err *err)
{
	static const char *const names[] = { FUNCTIONS(MV_LIBRARY_NAME) NULL };
	static const struct mv_library library = {
		"libzstd.so.1", "compressed memory", "libzstd1", MV_E_FAILED, names,
	};

	return mv_library_load(p, &library, err);
}

int mv_packer_open(struct mv_packer **out, uint32_t chunk_size, struct mv_err *err)
{
	struct mv_packer *p = calloc(1, sizeof(*p));
	int rc = p ? load(p, err) : mv_err_set(err, MV_E_FAILED, "out of memory");

	*out = NULL;
	if (rc == 0) {
		p->room = p->ZSTD_compressBound(chunk_size);
		p->c = p->ZSTD_createCCtx();
		p->d = p->ZSTD_createDCtx();
		p->buf = malloc(p->room);
		if (!p->c || !p->d || !p->buf)
			rc = mv_err_set(err, MV_E_FAILED, "out of memory");
	}
	if (rc)
		mv_packer_close(p);
	else
		*out = p;
	return rc;
}

void mv_packer_close(struct mv_packer *p)
{
	if (!p)
		return;
	if (p->c)
		p->ZSTD_freeCCtx(p->c);
	if (p->d)
		p->ZSTD_freeDCtx(p->d);
	free(p->buf);
	free(p);
}

size_t mv_packer_pack(struct mv_packer *p, const uint8_t *in, size_t len, const uint8_t **out)
{
	size_t n = p->ZSTD_compressCCtx(p->c, p->buf, p->room, in, len, LEVEL);
	bool smaller = !p->ZSTD_isError(n) && n < len;

	*out = smaller ? p->buf : in;
	return smaller ? n : len;
}

bool mv_packer_unpack(struct mv_packer *p, const uint8_t *in, size_t len, uint8_t *out, size_t size)
{
	size_t n = p->ZSTD_decompressDCtx(p->d, out, size, in, len);

	return !p->ZSTD_isError(n) && n == size;
}

/* ---- the record ---- */

uint64_t mv_packed_length(uint32_t n)
{
	return HEAD + (uint64_t)n * ENTRY;
}

uint64_t mv_packed_max_length(uint64_t ram_size)
{
	return HEAD + ram_size / MV_PAGE_SIZE * ENTRY;
}

void mv_packed_finish(struct mv_packed *p)
{
	free(p->chunk);
	*p = (struct mv_packed){ 0 };
}

uint32_t mv_packed_chunk(const struct mv_packed *p, uint32_t i)
{
	uint64_t left = p->size - (uint64_t)i * p->chunk_size;

	return left < p->chunk_size ? (uint32_t)left : p->chunk_size;
}

uint64_t mv_packed_stored(const struct mv_packed *p)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < p->n; i++)
		sum += p->chunk[i].len;
	return sum;
}

/* All that the array's length depends on, before it is allocated. */
static void walk_head(struct mv_wire *w, struct mv_packed *p, uint64_t ram_size)
{
	mv_wire_u32_range(w, &p->method, MV_PACKING_ZSTD, MV_PACKING_ZSTD, "the method");
	mv_wire_u32_range(w, &p->chunk_size, MV_PAGE_SIZE, MV_MAX_CHUNK_SIZE, "the chunk size");
	mv_wire_u64(w, &p->size);
	mv_wire_u32(w, &p->n);
	if (!mv_wire_ok(w))
		return;
	if (!p->size || p->size % MV_PAGE_SIZE || p->size > ram_size)
		mv_wire_fail(w, "%" PRIu64 " bytes of memory are impossible", p->size);
	else if (p->n != (p->size + p->chunk_size - 1) / p->chunk_size)
		mv_wire_fail(w, "%" PRIu32 " chunks are not %" PRIu64 " bytes", p->n, p->size);
	else if (mv_wire_decoding(w) && mv_packed_length(p->n) != w->size)
		mv_wire_fail(w, "%zu bytes are not %" PRIu32 " chunks", w->size, p->n);
}

void mv_packed_walk(struct mv_wire *w, struct mv_packed *p, uint64_t ram_size, uint64_t stored)
{
	uint64_t sum;

	walk_head(w, p, ram_size);
	if (mv_wire_ok(w) && mv_wire_decoding(w)) {
		p->chunk = calloc(p->n, sizeof(*p->chunk));
		if (!p->chunk) {
			mv_wire_fail(w, "out of memory");
			return;
		}
	}
	for (uint32_t i = 0; mv_wire_ok(w) && i < p->n; i++) {
		mv_wire_u32_range(w, &p->chunk[i].len, 1, mv_packed_chunk(p, i), "a chunk's length");
		mv_wire_u64(w, &p->chunk[i].sum);
	}
	if (!mv_wire_ok(w) || !mv_wire_decoding(w))
		return;
	sum = mv_packed_stored(p);
	if (sum > stored || stored - sum >= MV_PAGE_SIZE)
		mv_wire_fail(w, "the chunks have %" PRIu64 " bytes, the file %" PRIu64, sum, stored);
}
