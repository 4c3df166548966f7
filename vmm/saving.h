/* SPDX-License-Identifier: MIT */
/*
 * Saving a VM in a thread of its own, so that its keeper (vmm/runner.c) has time for others: first what takes long and
 * can be done while the guest runs, then, with the guest halted by the keeper, the file.
 */
#ifndef MV_VMM_SAVING_H
#define MV_VMM_SAVING_H

#include "vm.h"

struct mv_saving;

/* What the keeper is to do when the descriptor becomes readable. */
enum mv_saving_want {
	MV_SAVING_NOTHING,
	MV_SAVING_HALT,		/* halt the guest until it is over, then mv_saving_halted */
	MV_SAVING_OVER,		/* mv_saving_finish has the result */
};

/* The file's name is copied. */
int mv_saving_start(struct mv_saving **out, struct mv_vm *vm, const char *path, bool compress, struct mv_err *err);
int mv_saving_fd(const struct mv_saving *s);
enum mv_saving_want mv_saving_wants(struct mv_saving *s);
void mv_saving_halted(struct mv_saving *s);

/* Ask it to give up; the file is as it was then. False: too late, the file is being written. */
bool mv_saving_cancel(struct mv_saving *s);

/*
 * Cancel it if it is not over, wait for the end, and release it. 0: there is a new file. Does not resume the guest.
 */
int mv_saving_finish(struct mv_saving *s, struct mv_err *err);

const char *mv_saving_path(const struct mv_saving *s);

#endif
