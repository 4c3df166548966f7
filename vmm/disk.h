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
 * Does it hold what d->id, of a file, says (docs/stream-format.md, 5.7)? Holes are skipped, so it costs
 * what a copy would read; a sparse copy has the same id. It tells files apart, it does not resist forgery.
 */
int mv_disk_holds(int fd, const struct mv_disk *d, bool *same, struct mv_err *err);

/*
 * The same of a disk that a guest may still write to: checksums of its blocks. mv_disk_sums_read reads the
 * blocks that are stale, at first all, and returns how many it read; the bit of a block is set in
 * mv_disk_sums_stale behind each write to it. What mv_disk_sums_id says is true if nothing is stale. fd and
 * d remain the caller's; close accepts NULL.
 */
struct mv_disk_sums;
int mv_disk_sums_open(struct mv_disk_sums **out, int fd, const struct mv_disk *d, struct mv_err *err);
uint64_t *mv_disk_sums_stale(struct mv_disk_sums *s);
int64_t mv_disk_sums_read(struct mv_disk_sums *s, const bool *cancelled, struct mv_err *err);
int mv_disk_sums_id(const struct mv_disk_sums *s, uint8_t id[16], struct mv_err *err);
void mv_disk_sums_close(struct mv_disk_sums *s);

/* ---- the disks of a VM ---- */

/* Give disk i its image; the descriptor remains the caller's. */
void mv_vm_set_disk(struct mv_vm *vm, unsigned i, int fd);
/* Is the file of this name, links followed, one of them? */
bool mv_vm_has_disk(const struct mv_vm *vm, const char *path);
/*
 * Of a guest about to be halted: read what they hold while it runs, so that what it writes from now on is
 * all that is left to be read while it is halted. Fails once *cancelled is true (atomic, set by another thread; may
 * be NULL). mv_vm_forget_disks is due, on failure, too.
 */
int mv_vm_watch_disks(struct mv_vm *vm, const bool *cancelled, struct mv_err *err);
/* Of a halted guest: have its description say what they hold now. */
int mv_vm_identify_disks(struct mv_vm *vm, struct mv_err *err);
/*
 * Of a guest about to move: have its description say how the destination knows that it has the same
 * disks, not copies: the place of a byte locked in the file, chosen at random; for a device, a hash of
 * what the kernel knows it by (UUID of device mapper, WWID, serial number), and without it, no move.
 */
int mv_vm_mark_disks(struct mv_vm *vm, struct mv_err *err);
/* No more of any of that. */
void mv_vm_forget_disks(struct mv_vm *vm);
/* Give the locks up because another host is about to run the guest, and take them (again). */
void mv_vm_let_disks_go(struct mv_vm *vm);
int mv_vm_claim_disks(struct mv_vm *vm, struct mv_err *err);

#endif
