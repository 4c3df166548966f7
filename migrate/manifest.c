/* SPDX-License-Identifier: MIT */
#include "manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "stream.h"

#define RUN_SIZE 24
#define SUM_SIZE 8
#define READ_SIZE (1u << 20)	/* bytes read at once, unless a chunk is larger */

void mv_manifest_finish(struct mv_manifest *m)
{
	free(m->runs);
	free(m->sums);
	mv_packed_finish(&m->packed);
	*m = (struct mv_manifest){ 0 };
}

uint64_t mv_manifest_data_size(const struct mv_manifest *m)
{
	const struct mv_run *last;

	if (!m->nruns)
		return 0;
	last = &m->runs[m->nruns - 1];
	return last->offset + last->npages * MV_PAGE_SIZE - m->runs[0].offset;
}

uint64_t mv_manifest_length(const struct mv_manifest *m)
{
	return 12 + (uint64_t)m->nruns * RUN_SIZE + (uint64_t)m->nchunks * SUM_SIZE;
}

uint64_t mv_manifest_max_length(uint64_t ram_size)
{
	return 12 + ram_size / MV_PAGE_SIZE * (RUN_SIZE + SUM_SIZE);
}

/* Begin a run. */
static bool add_run(struct mv_manifest *m, uint32_t *cap, uint64_t pos, uint64_t offset)
{
	struct mv_run *runs;

	if (m->nruns == *cap) {
		*cap = *cap ? *cap * 2 : 64;
		runs = realloc(m->runs, *cap * sizeof(*runs));
		if (!runs)
			return false;
		m->runs = runs;
	}
	m->runs[m->nruns++] = (struct mv_run){ pos, 0, offset };
	return true;
}

static bool is_zero(const uint8_t *ram, const uint64_t *zeros, uint64_t page)
{
	static const uint8_t nothing[MV_PAGE_SIZE];

	if (zeros && zeros[page / 64] >> page % 64 & 1)
		return true;
	return !memcmp(ram + page * MV_PAGE_SIZE, nothing, MV_PAGE_SIZE);
}

static bool find_runs(struct mv_manifest *m, const uint8_t *ram, const uint64_t *zeros)
{
	uint64_t pos, offset = 0;
	bool inside = false;
	uint32_t cap = 0;

	for (pos = 0; pos < m->ram_size; pos += MV_PAGE_SIZE) {
		if (is_zero(ram, zeros, pos / MV_PAGE_SIZE)) {
			inside = false;
			continue;
		}
		if (!inside && !add_run(m, &cap, pos, offset))
			return false;
		inside = true;
		m->runs[m->nruns - 1].npages++;
		offset += MV_PAGE_SIZE;
	}
	return true;
}

static uint64_t chunks_of(uint64_t size, uint32_t chunk_size)
{
	return (size + chunk_size - 1) / chunk_size;
}

int mv_manifest_scan(struct mv_manifest *m, const uint8_t *ram, const uint64_t *zeros, uint64_t ram_size,
		     struct mv_err *err)
{
	*m = (struct mv_manifest){ .ram_size = ram_size, .chunk_size = MV_CHUNK_SIZE };
	if (!find_runs(m, ram, zeros))
		goto nomem;
	m->nchunks = (uint32_t)chunks_of(mv_manifest_data_size(m), m->chunk_size);
	m->sums = calloc((size_t)m->nchunks + 1, sizeof(*m->sums));
	if (!m->sums)
		goto nomem;
	return 0;
nomem:
	return mv_err_set(err, MV_E_FAILED, "out of memory for the list of pages");
}

uint32_t mv_manifest_chunk(const struct mv_manifest *m, uint32_t i)
{
	uint64_t left = mv_manifest_data_size(m) - (uint64_t)i * m->chunk_size;

	return left < m->chunk_size ? (uint32_t)left : m->chunk_size;
}

void mv_manifest_add_up(struct mv_manifest *m, uint32_t i, const void *bytes)
{
	m->sums[i] = XXH3_64bits(bytes, mv_manifest_chunk(m, i));
}

void mv_manifest_place(struct mv_manifest *m, uint64_t data_offset)
{
	uint32_t i;

	m->data_offset = data_offset;
	m->file_size = data_offset + mv_manifest_data_size(m);
	for (i = 0; i < m->nruns; i++)
		m->runs[i].offset += data_offset;
}

/* Bytes of all chunks, and where they would end if they stood in the file as they are. */
static uint64_t data_of(const struct mv_manifest *m)
{
	return m->packed.method ? m->packed.size : m->file_size - m->data_offset;
}

/* Sizes and the two counts; decoding, they are true before anything is allocated for them. */
static void walk_counts(struct mv_wire *w, struct mv_manifest *m)
{
	uint64_t data = data_of(m);

	mv_wire_u32_range(w, &m->chunk_size, MV_PAGE_SIZE, MV_MAX_CHUNK_SIZE, "the chunk size");
	if (m->chunk_size & (m->chunk_size - 1))
		mv_wire_fail(w, "the chunk size is %" PRIu32 ", no power of two", m->chunk_size);
	if (m->packed.method && m->chunk_size != m->packed.chunk_size)
		mv_wire_fail(w, "the chunk size is %" PRIu32 ", that of what is stored %" PRIu32,
			     m->chunk_size, m->packed.chunk_size);
	mv_wire_u32(w, &m->nruns);
	mv_wire_u32(w, &m->nchunks);
	if (!mv_wire_ok(w))
		return;
	if (m->nruns > m->ram_size / MV_PAGE_SIZE)
		mv_wire_fail(w, "%" PRIu32 " runs are more than RAM has pages", m->nruns);
	else if (m->nchunks != chunks_of(data, m->chunk_size))
		mv_wire_fail(w, "%" PRIu32 " chunks are not %" PRIu64 " bytes", m->nchunks, data);
	else if (mv_wire_decoding(w) && mv_manifest_length(m) != w->size)
		mv_wire_fail(w, "%zu bytes are not %" PRIu32 " runs and %" PRIu32 " chunks",
			     w->size, m->nruns, m->nchunks);
}

static bool allocate(struct mv_manifest *m)
{
	m->runs = calloc((size_t)m->nruns + 1, sizeof(*m->runs));
	m->sums = calloc((size_t)m->nchunks + 1, sizeof(*m->sums));
	return m->runs && m->sums;
}

static void walk_run(struct mv_wire *w, struct mv_manifest *m, struct mv_run *r)
{
	uint64_t pos = 0, offset = m->data_offset;	/* the least, and the one */

	if (r > m->runs) {
		pos = r[-1].pos + r[-1].npages * MV_PAGE_SIZE;
		offset = r[-1].offset + r[-1].npages * MV_PAGE_SIZE;
	}
	mv_wire_u64(w, &r->pos);
	mv_wire_u64(w, &r->npages);
	mv_wire_u64(w, &r->offset);
	if (!mv_wire_ok(w))
		return;
	if (r->pos % MV_PAGE_SIZE)
		mv_wire_fail(w, "run 0x%" PRIx64 " does not begin with a page", r->pos);
	else if (r->pos >= m->ram_size || r->npages > (m->ram_size - r->pos) / MV_PAGE_SIZE)
		mv_wire_fail(w, "run 0x%" PRIx64 " of %" PRIu64 " pages leaves RAM", r->pos,
			     r->npages);
	else if (!r->npages)
		mv_wire_fail(w, "run 0x%" PRIx64 " is empty", r->pos);
	else if (r->pos < pos)
		mv_wire_fail(w, "run 0x%" PRIx64 " is not after the one before it", r->pos);
	else if (r->offset != offset)
		mv_wire_fail(w, "run 0x%" PRIx64 " is at byte 0x%" PRIx64 " instead of 0x%" PRIx64,
			     r->pos, r->offset, offset);
	else if (r->npages * MV_PAGE_SIZE > m->data_offset + data_of(m) - offset)
		mv_wire_fail(w, "run 0x%" PRIx64 " goes beyond the end of the file", r->pos);
}

void mv_manifest_walk(struct mv_wire *w, struct mv_manifest *m)
{
	uint64_t data = data_of(m);
	uint32_t i;

	walk_counts(w, m);
	if (mv_wire_ok(w) && mv_wire_decoding(w) && !allocate(m))
		mv_wire_fail(w, "out of memory");
	for (i = 0; mv_wire_ok(w) && i < m->nruns; i++)
		walk_run(w, m, &m->runs[i]);
	if (mv_wire_ok(w) && mv_manifest_data_size(m) != data)
		mv_wire_fail(w, "the runs have %" PRIu64 " bytes, the file %" PRIu64,
			     mv_manifest_data_size(m), data);
	if (mv_wire_ok(w))
		mv_wire_u64s(w, m->sums, m->nchunks);
}

bool mv_manifest_chunk_ok(const struct mv_manifest *m, uint32_t i, const void *bytes, size_t len)
{
	return XXH3_64bits(bytes, len) == m->sums[i];
}

static int verify(const struct mv_manifest *m, const struct mv_stream *s, const uint8_t *buf,
		  uint64_t at, size_t len, struct mv_err *err)
{
	size_t done, n;
	uint64_t chunk;

	for (done = 0; done < len; done += n) {
		n = len - done < m->chunk_size ? len - done : m->chunk_size;
		chunk = (at + done) / m->chunk_size;
		if (!mv_manifest_chunk_ok(m, (uint32_t)chunk, buf + done, n))
			return mv_err_at(err, MV_E_INPUT, s->name, 0, 0,
					 "memory at byte 0x%" PRIx64 ": checksum of the %zu bytes"
					 " does not match", m->data_offset + at + done, n);
	}
	return 0;
}

/* The chunks at `at` of the string of pages, out of what is stored of them, which is next in s. */
static int unpack(const struct mv_manifest *m, struct mv_packer *packer, struct mv_stream *s,
		  uint8_t *stored, uint8_t *buf, uint64_t at, size_t len, struct mv_err *err)
{
	uint32_t i = (uint32_t)(at / m->chunk_size), n;
	int rc = 0;

	for (size_t done = 0; rc == 0 && done < len; done += n, i++) {
		const struct mv_stored *c = &m->packed.chunk[i];
		uint64_t pos = s->pos;

		n = mv_packed_chunk(&m->packed, i);
		rc = mv_stream_read(s, stored, c->len, "memory", err);
		/* Damage is found before the library sees it. */
		if (rc == 0 && XXH3_64bits(stored, c->len) != c->sum)
			rc = mv_err_at(err, MV_E_INPUT, s->name, 0, 0, "memory at byte 0x%" PRIx64
				       ": checksum of the %" PRIu32 " bytes does not match", pos, c->len);
		if (rc == 0 && c->len == n)
			memcpy(buf + done, stored, n);
		else if (rc == 0 && !mv_packer_unpack(packer, stored, c->len, buf + done, n))
			rc = mv_err_at(err, MV_E_INPUT, s->name, 0, 0, "memory at byte 0x%" PRIx64
				       " does not decompress to %" PRIu32 " bytes", pos, n);
	}
	return rc;
}

/* Behind compressed chunks: zeros up to the end of the page. */
static int read_padding(const struct mv_manifest *m, struct mv_stream *s, struct mv_err *err)
{
	size_t len = (size_t)(m->file_size - m->data_offset - mv_packed_stored(&m->packed));
	uint8_t pad[MV_PAGE_SIZE];
	int rc = mv_stream_read(s, pad, len, "padding", err);

	for (size_t i = 0; rc == 0 && i < len; i++)
		if (pad[i])
			rc = mv_err_at(err, MV_E_INPUT, s->name, 0, 0,
				       "byte 0x%" PRIx64 ": padding is not zero", m->file_size - len + i);
	return rc;
}

int mv_manifest_load(const struct mv_manifest *m, struct mv_stream *s, uint8_t *ram,
		     struct mv_err *err)
{
	uint64_t size = mv_manifest_data_size(m), at, page = 0;
	size_t block = m->chunk_size > READ_SIZE ? m->chunk_size : READ_SIZE;
	const struct mv_run *r = m->runs;
	struct mv_packer *packer = NULL;
	bool packed = m->packed.method != MV_PACKING_NONE;
	size_t len, done, n;
	uint8_t *buf;
	int rc = 0;

	if (block > size)
		block = (size_t)size;
	if (!block)
		return 0;
	/* Behind the block: a chunk as it is stored. */
	buf = malloc(block + (packed ? m->chunk_size : 0));
	if (!buf)
		return mv_err_at(err, MV_E_FAILED, s->name, 0, 0, "out of memory");
	if (packed)
		rc = mv_packer_open(&packer, m->chunk_size, err);
	for (at = 0; !rc && at < size; at += len) {
		len = size - at < block ? (size_t)(size - at) : block;
		rc = packed ? unpack(m, packer, s, buf + block, buf, at, len, err)
			    : mv_stream_read(s, buf, len, "memory", err);
		if (!rc)
			rc = verify(m, s, buf, at, len, err);
		for (done = 0; !rc && done < len; done += n) {
			n = len - done;
			if (n / MV_PAGE_SIZE > r->npages - page)
				n = (size_t)(r->npages - page) * MV_PAGE_SIZE;
			memcpy(ram + r->pos + page * MV_PAGE_SIZE, buf + done, n);
			page += n / MV_PAGE_SIZE;
			if (page == r->npages) {
				page = 0;
				r++;
			}
		}
	}
	if (packed && rc == 0)
		rc = read_padding(m, s, err);
	mv_packer_close(packer);
	free(buf);
	return rc;
}
