/* SPDX-License-Identifier: MIT */
/*
 * The MEMORY_PAGES record of a live stream (docs/stream-format.md, section 8): some pages of guest
 * memory, those of zeros without their bytes. Written in place, as it is most of what is sent.
 */
#ifndef MV_MIGRATE_PAGES_H
#define MV_MIGRATE_PAGES_H

#include "err.h"
#include "state.h"

#define MV_PAGES_MAX 1024u	/* in one record */
#define MV_PAGES_STORED 256u	/* … that are written with their bytes: what a cache holds */
#define MV_PAGES_LAST 1u	/* flag: the last record of its round */
#define MV_PAGES_MAX_LENGTH (8 + (uint64_t)MV_PAGES_MAX * (8 + MV_PAGE_SIZE))

/* A record that is being filled. */
struct mv_pages {
	uint8_t *mem;
	uint32_t n, nstored;
	uint64_t desc[MV_PAGES_MAX];
};

int mv_pages_init(struct mv_pages *p, struct mv_err *err);
void mv_pages_finish(struct mv_pages *p);

/* Where to put the bytes of the page to be added next. */
uint8_t *mv_pages_slot(struct mv_pages *p);
/* Add the page at pos: the bytes in the slot, or zeros. */
void mv_pages_add(struct mv_pages *p, uint64_t pos, bool zero);

static inline bool mv_pages_full(const struct mv_pages *p)
{
	return p->n == MV_PAGES_MAX || p->nstored == MV_PAGES_STORED;
}

/* The whole record, valid until the next page is added; p is empty again. */
const uint8_t *mv_pages_seal(struct mv_pages *p, uint32_t flags, size_t *len);

/* Is this page all zeros? */
bool mv_page_is_zero(const uint8_t *page);

#endif
