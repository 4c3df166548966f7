/* SPDX-License-Identifier: MIT */
/*
 * Disk images: raw files, locked while a VM uses them (fcntl(2), open file description locks: shared
 * for read-only disks, exclusive for others; they hold over NFS and end with the process). Or block
 * devices, whose locks hold on one host only.
 */
#ifndef MV_VMM_DISK_H
#define MV_VMM_DISK_H

#include "vm.h"

/*
 * Open d->path as d->read_only says: the descriptor, with d->path made absolute and d->size set. A
 * device is opened for this VM alone, unless it is moving here: its source may be on this host.
 */
int mv_disk_open(struct mv_disk *d, bool moving, struct mv_err *err);

/* -MV_E_FAILED if another program has it. */
int mv_disk_lock(int fd, const struct mv_disk *d, struct mv_err *err);
/* Is it the one that the source of a VM marked (mv_vm_mark_disks), as d, which came from there, says? */
bool mv_disk_is_same(int fd, const struct mv_disk *d);

/*
 * What it holds, in 16 bytes: XXH3-128 over its size and, for each block of 64 KiB that is not all
 * zeros, the block's number and its bytes. Holes are skipped, so it costs what a copy would read;
 * a sparse copy has the same id. It tells files apart, it does not resist forgery.
 */
int mv_disk_id(int fd, const struct mv_disk *d, uint8_t id[16], struct mv_err *err);

/* ---- the disks of a VM ---- */

/* Give disk i its image; the descriptor remains the caller's. */
void mv_vm_set_disk(struct mv_vm *vm, unsigned i, int fd);
/* Of a halted guest: have its description say what they hold now. */
int mv_vm_identify_disks(struct mv_vm *vm, struct mv_err *err);
/*
 * Of a guest about to move: have its description say how the destination knows that it has the same
 * disks, not copies: the place of a byte locked in the file, chosen at random; for a device, a hash of
 * what the kernel knows it by (UUID of device mapper, WWID, serial number), and without it, no move.
 */
int mv_vm_mark_disks(struct mv_vm *vm, struct mv_err *err);
/* No more of either. */
void mv_vm_forget_disks(struct mv_vm *vm);
/* Give the locks up because another host is about to run the guest, and take them (again). */
void mv_vm_let_disks_go(struct mv_vm *vm);
int mv_vm_claim_disks(struct mv_vm *vm, struct mv_err *err);

#endif
