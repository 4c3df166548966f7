/* SPDX-License-Identifier: MIT */
#include "dirty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of an entry of /proc/self/pagemap: the page is in memory, or was swapped out of it. */
#define PAGEMAP_TOUCHED (UINT64_C(3) << 62)
#define ENTRIES 4096	/* read at once */

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
	rc = d->scratch && d->dma ? mv_vm_map_ram(vm, 0, err)
				  : mv_err_set(err, MV_E_FAILED, "out of memory");
	if (rc == 0)
		rc = mv_vm_map_ram(vm, KVM_MEM_LOG_DIRTY_PAGES, err);
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
	mv_vm_map_ram(d->vm, 0, NULL);
	release(d);
}

int mv_dirty_clear(struct mv_dirty *d, const uint64_t *bitmap, uint64_t first, uint64_t n,
		   struct mv_err *err)
{
	uint64_t npages = d->vm->ram_size / MV_PAGE_SIZE, left = npages - first * 64;
	struct kvm_clear_dirty_log log = {
		.first_page = first * 64,
		/* Whole words, but for the last one of the slot. */
		.num_pages = (uint32_t)(n * 64 < left ? n * 64 : left),
	};
	int rc;

	if (!d->manual)
		return 0;
	/* KVM reads it only. */
	log.dirty_bitmap = (void *)(uintptr_t)(bitmap + first);
	rc = mv_kvm_do(d->vm->fd, KVM_CLEAR_DIRTY_LOG, &log, err);
	return rc < 0 ? rc : 0;
}

/* Clear the bits of pages that exist. False: it can't be told. */
static bool clear_touched(const struct mv_vm *vm, uint64_t *bitmap)
{
	uint64_t npages = vm->ram_size / MV_PAGE_SIZE, base = (uintptr_t)vm->ram / MV_PAGE_SIZE;
	uint64_t *entries = malloc(ENTRIES * sizeof(*entries)), page, i, n = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (page = 0; entries && fd >= 0 && page < npages; page += n) {
		n = npages - page < ENTRIES ? npages - page : ENTRIES;
		if (pread(fd, entries, n * sizeof(*entries),
			  (off_t)((base + page) * sizeof(*entries))) !=
		    (ssize_t)(n * sizeof(*entries)))
			break;
		for (i = 0; i < n; i++)
			if (entries[i] & PAGEMAP_TOUCHED)
				bitmap[(page + i) / 64] &= ~(UINT64_C(1) << (page + i) % 64);
	}
	if (fd >= 0)
		close(fd);
	free(entries);
	return page >= npages;
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
	if (!__atomic_load_n(&d->vm->ram_plain, __ATOMIC_SEQ_CST) || !clear_touched(d->vm, d->scratch))
		return 0;
	rc = mv_dirty_clear(d, d->scratch, 0, d->nwords, err);
	if (rc || !clear_touched(d->vm, d->scratch))
		return rc;
	for (i = 0; i < d->nwords; i++)
		bitmap[i] &= ~d->scratch[i];
	return 0;
}

int mv_dirty_fetch(struct mv_dirty *d, uint64_t *bitmap, struct mv_err *err)
{
	struct kvm_dirty_log log = { .dirty_bitmap = d->scratch };
	bool first = d->first;
	uint64_t i;
	int rc = 0;

	/* Before that, everything counts as written; KVM may not have been looking. */
	if (first && !d->all_set)
		memset(bitmap, 0xff, d->nwords * sizeof(*bitmap));
	else
		rc = mv_kvm_do(d->vm->fd, KVM_GET_DIRTY_LOG, &log, err);
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
