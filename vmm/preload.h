/* SPDX-License-Identifier: MIT */
/* What a restored guest touches with its first instructions is read before it runs. */
#ifndef MV_VMM_PRELOAD_H
#define MV_VMM_PRELOAD_H

#include "state.h"
#include "vm.h"

/*
 * Read, out of a lazily loaded snapshot, the memory that the vCPUs' registers in state point to: code,
 * stack, descriptor tables, and the page tables that lead there; not more than so much that it would
 * take longer than the faults it saves. A fault costs two changes of threads, which on a busy host take
 * milliseconds. -MV_E_INPUT: some of it is damaged. Without vm->lazy: 0.
 */
int mv_preload(struct mv_vm *vm, const struct mv_state *state, struct mv_err *err);

#endif
