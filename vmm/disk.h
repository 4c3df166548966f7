/* SPDX-License-Identifier: MIT */
/*
 * Disk images: raw files, locked while a VM uses them (fcntl(2), open file description locks: shared
 * for read-only disks, exclusive for others; they hold over NFS and end with the process).
 */
#ifndef MV_VMM_DISK_H
#define MV_VMM_DISK_H

#include "vm.h"

/* Open d->path as d->read_only says: the descriptor, with d->path made absolute and d->size set. */
int mv_disk_open(struct mv_disk *d, struct mv_err *err);

/* -MV_E_FAILED if another program has it. */
int mv_disk_lock(int fd, const struct mv_disk *d, struct mv_err *err);
/* Does another program have it, in whatever way? */
bool mv_disk_in_use(int fd);

/*
 * What it holds, in 16 bytes: XXH3-128 over its size and, for each block of 64 KiB that is not all
 * zeros, the block's number and its bytes. Holes are skipped, so it costs what a copy would read;
 * a sparse copy has the same id. It tells files apart, it does not resist forgery.
 */
int mv_disk_id(int fd, const struct mv_disk *d, uint8_t id[16], struct mv_err *err);

/* ---- the disks of a VM ---- */

/* Give disk i its image; the descriptor remains the caller's. */
void mv_vm_set_disk(struct mv_vm *vm, unsigned i, int fd);
/* Of a halted guest: have its description say what they hold now, or no more. */
int mv_vm_identify_disks(struct mv_vm *vm, struct mv_err *err);
void mv_vm_forget_disks(struct mv_vm *vm);
/* Give the locks up because another host is about to run the guest, and take them (again). */
void mv_vm_let_disks_go(struct mv_vm *vm);
int mv_vm_claim_disks(struct mv_vm *vm, struct mv_err *err);

#endif
