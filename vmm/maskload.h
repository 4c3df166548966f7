/* SPDX-License-Identifier: MIT */
/* Masks from files and from the built-in ones, directives followed, merged into the final mask. */
#ifndef MV_VMM_MASKLOAD_H
#define MV_VMM_MASKLOAD_H

#include "policy.h"

#define MV_DEFAULT_GUEST_OS "generic64"

struct mv_mask_request {
	const char *guest_os;		/* built-in; NULL: what a file says, or generic64 */
	const char *default_mask;	/* a file instead of a built-in one; may be NULL */
	const char *baseline;		/* built-in or a file; NULL: what a file says */
	const char *const *overrides;	/* files, a later one wins */
	size_t noverrides;
	enum mv_vendor vendor;		/* which vendor lines count */
};

/*
 * Fill p->final, p->files and p->guest_os. -MV_E_INPUT with file:line:column; -MV_E_USAGE for a
 * guest OS that has no default mask.
 */
int mv_masks_load(struct mv_policy *p, const struct mv_mask_request *req, struct mv_err *err);

/* What override files ask for besides their symbols; "" if nothing. */
struct mv_mask_directives {
	char guest_os[32];
	char baseline[256];	/* as written */
};

/* Override files merged into m, a later one wins, without a default mask or a baseline below. */
int mv_overrides_load(struct mv_mask *m, const char *const *files, size_t n,
		      struct mv_mask_directives *d, struct mv_err *err);

/* The names of built-in masks, blank-separated, into buf: guest OSs; baselines. */
void mv_guest_os_names(char *buf, size_t size);
void mv_baseline_names(char *buf, size_t size);

#endif
