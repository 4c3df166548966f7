/* SPDX-License-Identifier: MIT */
#include "save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "lazy.h"
#include "preload.h"
#include "ram.h"

/* Smaller runs are read: the kernel takes some 65000 mappings of a process. */
#define MAP_AT_LEAST 16		/* pages */
#define MAX_MAPPINGS 30000

int mv_vm_before_save(struct mv_vm *vm, const bool *cancelled, struct mv_err *err)
{
	int rc = mv_lazy_finish(vm->lazy, cancelled, err);

	if (rc == 0)
		rc = mv_vm_watch_disks(vm, cancelled, err);
	if (rc)
		mv_vm_forget_disks(vm);
	return rc;
}

/* Pages that need not be looked at: looking makes the kernel find zeros for each. NULL: all are to be. */
static uint64_t *known_zeros(const struct mv_vm *vm)
{
	size_t size = (vm->ram_size / MV_PAGE_SIZE + 63) / 64 * sizeof(uint64_t);
	uint64_t *bitmap = malloc(size);

	if (!bitmap)
		return NULL;
	memset(bitmap, 0xff, size);
	if (mv_ram_drop_touched(vm, bitmap))
		return bitmap;
	free(bitmap);
	return NULL;
}

int mv_vm_save(struct mv_vm *vm, const char *path, bool compress, struct mv_err *err)
{
	struct mv_state *state = calloc(1, sizeof(*state));
	uint64_t *zeros = NULL;
	bool patched = vm->patched;
	int rc;

	if (!state)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	/* Better to find out about damage now than in the middle of the new file. */
	rc = mv_lazy_finish(vm->lazy, NULL, err);
	if (rc == 0)
		rc = mv_vm_identify_disks(vm, err);
	if (rc == 0)
		rc = mv_vm_get_state(vm, state, err);
	if (rc == 0) {
		vm->st->config.saved_at = (uint64_t)time(NULL);
		/* A file holds the guest's own bytes; the sites are a record of their own. */
		mv_vm_unpatch(vm);
		zeros = known_zeros(vm);
		rc = (compress ? mv_snapshot_save_packed : mv_snapshot_save)(path, vm->st, state, vm->ram,
									     zeros, err);
		if (patched)
			mv_vm_repatch(vm);
		mv_state_finish(state);
	}
	mv_vm_forget_disks(vm);
	free(zeros);
	free(state);
	return rc;
}

int mv_vm_adopt(struct mv_vm *vm, const struct mv_state *state, struct mv_err *err)
{
	int rc = mv_vm_set_state(vm, state, err);

	if (rc == 0 && vm->st->policy.intercept == MV_INTERCEPTION_PATCH)
		rc = mv_vm_patch(vm, err);
	return rc < 0 ? rc : 0;
}

static int read_run(struct mv_vm *vm, struct mv_snapshot *snap, const struct mv_run *r,
		    struct mv_err *err)
{
	uint64_t len = r->npages * MV_PAGE_SIZE, done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(mv_snapshot_fd(snap), vm->ram + r->pos + done, len - done,
			  (off_t)(r->offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return mv_err_at(err, MV_E_INPUT, mv_snapshot_name(snap), 0, 0, "memory: %s",
					 n ? strerror(errno) : "the file has become shorter");
		done += (uint64_t)n;
	}
	return 0;
}

static int map_memory(struct mv_vm *vm, struct mv_snapshot *snap, struct mv_err *err)
{
	const struct mv_manifest *m = mv_snapshot_manifest(snap);
	uint32_t mapped = 0;
	int rc = 0;

	vm->ram_file = calloc(1, sizeof(*vm->ram_file));
	if (!vm->ram_file)
		return mv_err_at(err, MV_E_FAILED, mv_snapshot_name(snap), 0, 0, "out of memory");
	for (uint32_t i = 0; rc == 0 && i < m->nruns; i++) {
		const struct mv_run *r = &m->runs[i];

		if (r->npages < MAP_AT_LEAST || mapped == MAX_MAPPINGS)
			rc = read_run(vm, snap, r, err);
		else if (mmap(vm->ram + r->pos, r->npages * MV_PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, mv_snapshot_fd(snap),
			      (off_t)r->offset) == MAP_FAILED)
			rc = mv_err_at(err, MV_E_FAILED, mv_snapshot_name(snap), 0, 0,
				       "mapping memory: %s", strerror(errno));
		else
			mapped++;
	}
	mv_snapshot_take_manifest(snap, vm->ram_file);
	return rc;
}

static int load_memory(struct mv_vm *vm, struct mv_snapshot *snap, enum mv_memory_mode mode,
		       struct mv_err *err)
{
	bool packed = mv_snapshot_manifest(snap)->packed.method != MV_PACKING_NONE;
	int rc;

	if (mode == MV_MEMORY_MAP && packed)
		return mv_err_at(err, MV_E_USAGE, mv_snapshot_name(snap), 0, 0,
				 "is compressed: it can't be mapped (--memory eager)");
	if (mode == MV_MEMORY_MAP)
		return map_memory(vm, snap, err);
	if (mode == MV_MEMORY_LAZY && !packed) {
		rc = mv_lazy_start(vm, snap, err);
		if (rc != -MV_E_HOST)
			return rc;
		*err = (struct mv_err){ 0 };
	}
	return mv_snapshot_memory(snap, vm->ram, err);
}

int mv_vm_load(struct mv_vm *vm, struct mv_snapshot *snap, enum mv_memory_mode mode,
	       struct mv_err *err)
{
	struct mv_state *state = calloc(1, sizeof(*state));
	int rc;

	if (!state)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	rc = mv_snapshot_state(snap, state, err);
	if (rc == 0) {
		rc = load_memory(vm, snap, mode, err);
		/* We read and patch these ourselves: damage has to be an error, not a fault. */
		for (uint32_t i = 0; rc == 0 && i < state->nsites; i++)
			rc = mv_lazy_need(vm->lazy, mv_ram_pos(state->sites[i]), 2, err);
		if (rc == 0)
			rc = mv_preload(vm, state, err);
		if (rc == 0)
			rc = mv_vm_adopt(vm, state, err);
		/* KVM, too, touches memory; why it failed is known better here. */
		if (rc && mv_lazy_need(vm->lazy, 0, 0, err))
			rc = -err->code;
		mv_state_finish(state);
	}
	free(state);
	return rc;
}
