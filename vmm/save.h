/* SPDX-License-Identifier: MIT */
/* A whole VM to a snapshot file and back. */
#ifndef MV_VMM_SAVE_H
#define MV_VMM_SAVE_H

#include "snapshot.h"
#include "vm.h"

/*
 * While the guest runs: what takes long and need not wait for it to be paused, which is to follow soon. Memory
 * that a restore has not loaded yet, and what disks hold. Fails once *cancelled is true (atomic, set by another thread).
 */
int mv_vm_before_save(struct mv_vm *vm, const bool *cancelled, struct mv_err *err);

/* Save a paused VM to path, compressed or not; it may be resumed afterwards whatever the result. */
int mv_vm_save(struct mv_vm *vm, const char *path, bool compress, struct mv_err *err);

/* How a restored guest's memory gets from the file into RAM. */
enum mv_memory_mode {
	MV_MEMORY_LAZY,		/* when it is touched, verified before; where that can't be, or of a
				   compressed file, EAGER */
	MV_MEMORY_EAGER,	/* all of it, verified, before anything runs */
	MV_MEMORY_MAP,		/* the file is mapped, privately, and not verified */
};

/*
 * Fill a VM that mv_vm_create made for the snapshot's static part: memory, state and, where the
 * policy says patch, the replaced CPUID instructions. It can then be started.
 */
int mv_vm_load(struct mv_vm *vm, struct mv_snapshot *snap, enum mv_memory_mode mode,
	       struct mv_err *err);

/* The same with memory in place already: the state, and the replaced instructions. */
int mv_vm_adopt(struct mv_vm *vm, const struct mv_state *state, struct mv_err *err);

#endif
