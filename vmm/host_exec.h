/* SPDX-License-Identifier: MIT */
/* The exec view: which features of this machine execute, whatever its CPUID says. */
#ifndef MV_VMM_HOST_EXEC_H
#define MV_VMM_HOST_EXEC_H

#include "host.h"

/*
 * Run the user-space probes and fill h->exec_known and h->exec_ran. A feature stays unknown if no
 * probe can decide it: hints, CPL 0, what this kernel has not switched on, a probe that took its
 * process along. Takes a few milliseconds. Nothing known is no error: raw stands alone then.
 */
void mv_host_exec(struct mv_host *h);

#endif
