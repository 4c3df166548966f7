/* SPDX-License-Identifier: MIT */
#include "dirty.h"

#include <stdlib.h>
#include <string.h>

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
	rc = d->scratch ? mv_vm_map_ram(vm, KVM_MEM_LOG_DIRTY_PAGES, err)
			: mv_err_set(err, MV_E_FAILED, "out of memory");
	if (rc) {
		free(d->scratch);
		d->scratch = NULL;
	}
	return rc;
}

void mv_dirty_stop(struct mv_dirty *d)
{
	if (!d->scratch)
		return;
	mv_vm_map_ram(d->vm, 0, NULL);
	free(d->scratch);
	d->scratch = NULL;
}

int mv_dirty_fetch(struct mv_dirty *d, uint64_t *bitmap, struct mv_err *err)
{
	struct kvm_dirty_log log = { .dirty_bitmap = d->scratch };
	uint64_t i;
	int rc = 0;

	/* Before that, everything counts as written; KVM may not have been looking. */
	if (d->first && !d->all_set)
		memset(bitmap, 0xff, d->nwords * sizeof(*bitmap));
	else
		rc = mv_kvm_do(d->vm->fd, KVM_GET_DIRTY_LOG, &log, err);
	if (rc < 0)
		return rc;
	if (!d->first || d->all_set)
		for (i = 0; i < d->nwords; i++)
			bitmap[i] |= d->scratch[i];
	d->first = false;
	return 0;
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
