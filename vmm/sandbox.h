/* SPDX-License-Identifier: MIT */
/*
 * What a VM's process may still do once the VM is set up: the system calls of vmm/sandbox.def, for
 * all threads that are started from then on (docs/security.md).
 */
#ifndef MV_VMM_SANDBOX_H
#define MV_VMM_SANDBOX_H

#include "err.h"

/*
 * Enter it; call before other threads exist. A call that is not allowed ends in forbidden, with the
 * call's name: a signal handler, in the thread that tried; it must not return. -MV_E_HOST if the
 * kernel has no filters.
 */
int mv_sandbox_enter(void (*forbidden)(const char *name), struct mv_err *err);

/*
 * Started as root: become user (all ids, no groups) or, without one, give up every capability but
 * that to reach files. Not started as root, user is -MV_E_USAGE and nothing else happens.
 */
int mv_drop_privileges(const char *user, struct mv_err *err);

#endif
