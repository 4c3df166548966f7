/* SPDX-License-Identifier: MIT */
/* Which way a guest's CPUID is answered here, and with what the guest may start. */
#ifndef MV_VMM_POWER_ON_H
#define MV_VMM_POWER_ON_H

#include "policy.h"
#include "sites.h"

#define MV_INTERCEPT_AUTO (-1)

/* "auto", "kernel", "patch", "step", "none"; -MV_E_USAGE for anything else. */
int mv_intercept_parse(const char *name, int *out, struct mv_err *err);

/*
 * Choose for an image with these sites (NULL: its code is not known) on proved host h: for auto the
 * first mechanism that was proved at both levels, else the one asked for. Sets p->intercept,
 * patchable and patch_cpl3. why receives one line if the choice is not what auto takes at best, ""
 * otherwise. -MV_E_HOST with what was tried.
 */
int mv_choose_intercept(struct mv_policy *p, const struct mv_host *h, const struct mv_sites *sites,
			int asked, char why[256], struct mv_err *err);

#endif
