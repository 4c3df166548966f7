/* SPDX-License-Identifier: MIT */
#include "pages.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "le.h"
#include "records.h"

#define HEAD 8			/* flags, count */
#define DESC 8
#define DESC_ZERO UINT64_C(1)
/* What stands before the pages at most. They stay where they are; it is put right before them. */
#define FRONT (MV_FRAME_SIZE + HEAD + MV_PAGES_MAX * DESC)

bool mv_page_is_zero(const uint8_t *page)
{
	static const uint8_t zeros[MV_PAGE_SIZE];

	return !memcmp(page, zeros, MV_PAGE_SIZE);
}

int mv_pages_init(struct mv_pages *p, struct mv_err *err)
{
	p->n = p->nstored = 0;
	p->mem = malloc(FRONT + (size_t)MV_PAGES_STORED * MV_PAGE_SIZE);
	return p->mem ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");
}

void mv_pages_finish(struct mv_pages *p)
{
	free(p->mem);
	p->mem = NULL;
}

uint8_t *mv_pages_slot(struct mv_pages *p)
{
	return p->mem + FRONT + (size_t)p->nstored * MV_PAGE_SIZE;
}

void mv_pages_add(struct mv_pages *p, uint64_t pos, bool zero)
{
	p->desc[p->n++] = zero ? pos | DESC_ZERO : pos;
	p->nstored += !zero;
}

const uint8_t *mv_pages_seal(struct mv_pages *p, uint32_t flags, size_t *len)
{
	size_t front = MV_FRAME_SIZE + HEAD + (size_t)p->n * DESC;
	uint8_t *record = p->mem + FRONT - front, *at = record + MV_FRAME_SIZE;
	uint32_t i;

	at = mv_store_le(at, flags, 4);
	at = mv_store_le(at, p->n, 4);
	for (i = 0; i < p->n; i++)
		at = mv_store_le(at, p->desc[i], DESC);
	*len = front + (size_t)p->nstored * MV_PAGE_SIZE;
	mv_frame_seal(record, MV_REC_MEMORY_PAGES, *len - MV_FRAME_SIZE);
	p->n = p->nstored = 0;
	return record;
}

/* ---- reading ---- */

/* The counts, before anything is copied. */
static bool check(struct mv_wire *w, uint32_t n, const uint8_t *desc, uint64_t ram_size)
{
	uint64_t stored = 0, pos;
	uint32_t i;

	for (i = 0; i < n; i++) {
		pos = mv_load_le(desc + (size_t)i * DESC, DESC);
		stored += !(pos & DESC_ZERO);
		pos &= ~DESC_ZERO;
		if (pos % MV_PAGE_SIZE)
			mv_wire_fail(w, "0x%" PRIx64 " is not the address of a page", pos);
		else if (pos >= ram_size)
			mv_wire_fail(w, "page 0x%" PRIx64 " is outside RAM", pos);
	}
	if (mv_wire_ok(w) && w->size - w->pos != (uint64_t)n * DESC + stored * MV_PAGE_SIZE)
		mv_wire_fail(w, "%zu bytes are not %" PRIu32 " pages, %" PRIu64 " of them stored",
			     w->size, n, stored);
	return mv_wire_ok(w);
}

void mv_walk_memory_pages(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	const uint8_t *desc, *page;
	uint32_t flags = 0, n = 0, i;
	uint64_t pos;
	uint8_t *to;

	(void)index;
	if (!mv_wire_decoding(w) || !rs->ram) {
		mv_wire_fail(w, "pages are not written this way");
		return;
	}
	mv_wire_u32(w, &flags);
	mv_wire_count(w, &n, 0, MV_PAGES_MAX, DESC, "the number of pages");
	if (flags & ~MV_PAGES_LAST)
		mv_wire_fail(w, "flags are 0x%" PRIx32, flags);
	else if (!n && !flags)
		mv_wire_fail(w, "it says nothing");
	desc = w->in + w->pos;
	if (!mv_wire_ok(w) || !check(w, n, desc, rs->config->ram_size))
		return;
	page = desc + (size_t)n * DESC;
	for (i = 0; i < n; i++) {
		pos = mv_load_le(desc + (size_t)i * DESC, DESC);
		to = rs->ram + (pos & ~DESC_ZERO);
		if (!(pos & DESC_ZERO)) {
			memcpy(to, page, MV_PAGE_SIZE);
			page += MV_PAGE_SIZE;
		} else if (!mv_page_is_zero(to)) {
			/* Not unless need be: writing takes memory. */
			memset(to, 0, MV_PAGE_SIZE);
		}
	}
	w->pos = w->size;
	rs->pages += n;
	rs->round_over = flags & MV_PAGES_LAST;
}
