/* SPDX-License-Identifier: MIT */
/*
 * Guest memory that is read from a snapshot when it is first touched, so that a restore takes no
 * longer the more RAM there is. Each chunk is verified before a byte of it can be seen by the guest;
 * one that is damaged ends the guest. What nobody touches is read in the background, so that the file
 * is not needed for ever.
 *
 * It takes userfaultfd(2) with faults of the kernel's own: root, CAP_SYS_PTRACE, the sysctl
 * vm.unprivileged_userfaultfd, or access to /dev/userfaultfd.
 */
#ifndef MV_VMM_LAZY_H
#define MV_VMM_LAZY_H

#include "snapshot.h"
#include "vm.h"

struct mv_lazy;

/* Get hold of userfaultfd, if it can be had, for mv_lazy_start: while whoever started us may still do that. */
void mv_lazy_prepare(struct mv_vm *vm);

/*
 * Serve vm's RAM, which nobody has touched, from snap, whose state was read; snap can be closed
 * afterwards. -MV_E_HOST: not possible here. It ends with the VM (mv_vm_destroy).
 */
int mv_lazy_start(struct mv_vm *vm, struct mv_snapshot *snap, struct mv_err *err);
void mv_lazy_stop(struct mv_lazy *l);	/* accepts NULL */

/*
 * Have some memory, or all of it, read now. -MV_E_INPUT: it is damaged; also if that was found out
 * earlier. Without a struct mv_lazy: 0. -MV_E_FAILED once *cancelled is true (atomic; may be NULL).
 */
int mv_lazy_need(struct mv_lazy *l, uint64_t pos, uint64_t len, struct mv_err *err);
int mv_lazy_finish(struct mv_lazy *l, const bool *cancelled, struct mv_err *err);

#endif
