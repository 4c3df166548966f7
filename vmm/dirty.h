/* SPDX-License-Identifier: MIT */
/* Which pages a guest writes, from KVM's dirty log. */
#ifndef MV_VMM_DIRTY_H
#define MV_VMM_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

#include "vm.h"

/*
 * Bitmaps have one bit for each page of RAM, by position (ram.h), bit 0 of word 0 first, in
 * (ram_size / page + 63) / 64 words. Where KVM can be told what to watch again
 * (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), a page is watched again by clear, right before it is read; elsewhere
 * fetch does that for all at once.
 */
struct mv_dirty {
	struct mv_vm *vm;
	uint64_t *scratch;	/* what KVM fills in: its own words, not to be mixed with ours */
	uint64_t *dma;		/* what devices wrote */
	uint64_t nwords;
	bool manual;		/* clear is what makes KVM watch again */
	bool all_set;		/* KVM says at first that all pages are dirty */
	bool first;		/* nothing was fetched yet */
};

int mv_dirty_start(struct mv_dirty *d, struct mv_vm *vm, struct mv_err *err);
void mv_dirty_stop(struct mv_dirty *d);	/* accepts one that never started */

/* Add the pages written since the last time; the first time, all that may not be zeros. */
int mv_dirty_fetch(struct mv_dirty *d, uint64_t *bitmap, struct mv_err *err);
/* The pages set in n words from first on are about to be read: watch them again. */
int mv_dirty_clear(struct mv_dirty *d, const uint64_t *bitmap, uint64_t first, uint64_t n,
		   struct mv_err *err);

#endif
