/* SPDX-License-Identifier: MIT */
#include "dirty.h"

#include <stdlib.h>
#include <string.h>

#include "ram.h"

#define LOW_WORDS (MV_GAP_AT / MV_PAGE_SIZE / 64)	/* of a bitmap: RAM below the gap */

static void release(struct mv_dirty *d)
{
	free(d->scratch);
	free(d->dma);
	d->scratch = d->dma = NULL;
}

int mv_dirty_start(struct mv_dirty *d, struct mv_vm *vm, struct mv_err *err)
{
	const uint64_t both = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
	uint64_t can = (uint64_t)mv_kvm_cap(vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) & both;
	int rc;

	*d = (struct mv_dirty){
		.vm = vm, .nwords = (vm->ram_size / MV_PAGE_SIZE + 63) / 64, .first = true,
	};
	/* Setting all bits without being asked to protect by hand is not to be had. */
	if (can & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE &&
	    mv_kvm_enable_cap(vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, can, NULL) >= 0) {
		d->manual = true;
		d->all_set = can & KVM_DIRTY_LOG_INITIALLY_SET;
	}
	d->scratch = calloc(d->nwords, sizeof(*d->scratch));
	/* A log that is on already would not begin anew: off, then on. */
	d->dma = calloc(d->nwords, sizeof(*d->dma));
	rc = d->scratch && d->dma ? mv_ram_map(vm, 0, err)
				  : mv_err_set(err, MV_E_FAILED, "out of memory");
	if (rc == 0)
		rc = mv_ram_map(vm, KVM_MEM_LOG_DIRTY_PAGES, err);
	if (rc == 0)
		mv_vm_log_dma(vm, d->dma);
	else
		release(d);
	return rc;
}

void mv_dirty_stop(struct mv_dirty *d)
{
	if (!d->scratch)
		return;
	mv_vm_log_dma(d->vm, NULL);
	mv_ram_map(d->vm, 0, NULL);
	release(d);
}

/* A slot's words of the bitmap: the first one, and the one behind its last. */
static void slot_words(const struct mv_dirty *d, unsigned slot, uint64_t *first, uint64_t *end)
{
	*first = slot ? LOW_WORDS : 0;
	*end = !slot && d->nwords > LOW_WORDS ? LOW_WORDS : d->nwords;
}

/* The words from first to end, which are one slot's. */
static int clear_slot(struct mv_dirty *d, unsigned slot, const uint64_t *bitmap, uint64_t first, uint64_t end,
		      struct mv_err *err)
{
	uint64_t left = d->vm->ram_size / MV_PAGE_SIZE - first * 64, n = (end - first) * 64, slot_first, slot_end;
	struct kvm_clear_dirty_log log = { .slot = slot };
	int rc;

	slot_words(d, slot, &slot_first, &slot_end);
	log.first_page = (first - slot_first) * 64;
	/* Whole words, but for the last one of the slot. */
	log.num_pages = (uint32_t)(n < left ? n : left);
	/* KVM reads it only. */
	log.dirty_bitmap = (void *)(uintptr_t)(bitmap + first);
	rc = mv_kvm_do(d->vm->fd, KVM_CLEAR_DIRTY_LOG, &log, err);
	return rc < 0 ? rc : 0;
}

int mv_dirty_clear(struct mv_dirty *d, const uint64_t *bitmap, uint64_t first, uint64_t n,
		   struct mv_err *err)
{
	int rc = 0;

	for (unsigned slot = 0; d->manual && rc == 0 && slot < MV_RAM_SLOTS; slot++) {
		uint64_t from, end;

		slot_words(d, slot, &from, &end);
		from = from > first ? from : first;
		end = end < first + n ? end : first + n;
		if (from < end)
			rc = clear_slot(d, slot, bitmap, from, end, err);
	}
	return rc;
}

/*
 * The first time: leave out pages that were never touched, as reading them would only make the kernel
 * find zeros for each. KVM watches all others already; these it has to be told to watch, too. What is
 * touched before it was told shows in the second look, what is afterwards, in the log.
 */
static int skip_untouched(struct mv_dirty *d, uint64_t *bitmap, struct mv_err *err)
{
	uint64_t i;
	int rc;

	memset(d->scratch, 0xff, d->nwords * sizeof(*d->scratch));
	if (!mv_ram_drop_touched(d->vm, d->scratch))
		return 0;
	rc = mv_dirty_clear(d, d->scratch, 0, d->nwords, err);
	if (rc || !mv_ram_drop_touched(d->vm, d->scratch))
		return rc;
	for (i = 0; i < d->nwords; i++)
		bitmap[i] &= ~d->scratch[i];
	return 0;
}

/* Into scratch. */
static int get_log(struct mv_dirty *d, struct mv_err *err)
{
	uint64_t first, end;
	int rc = 0;

	for (unsigned slot = 0; rc >= 0 && slot < MV_RAM_SLOTS; slot++) {
		struct kvm_dirty_log log = { .slot = slot };

		slot_words(d, slot, &first, &end);
		log.dirty_bitmap = d->scratch + first;
		if (first < end)
			rc = mv_kvm_do(d->vm->fd, KVM_GET_DIRTY_LOG, &log, err);
	}
	return rc;
}

int mv_dirty_fetch(struct mv_dirty *d, uint64_t *bitmap, struct mv_err *err)
{
	bool first = d->first;
	uint64_t i;
	int rc = 0;

	/* Before that, everything counts as written; KVM may not have been looking. */
	if (first && !d->all_set)
		memset(bitmap, 0xff, d->nwords * sizeof(*bitmap));
	else
		rc = get_log(d, err);
	if (rc < 0)
		return rc;
	if (!first || d->all_set)
		for (i = 0; i < d->nwords; i++)
			bitmap[i] |= d->scratch[i];
	for (i = 0; i < d->nwords; i++)
		bitmap[i] |= __atomic_exchange_n(&d->dma[i], 0, __ATOMIC_SEQ_CST);
	d->first = false;
	return first ? skip_untouched(d, bitmap, err) : 0;
}
