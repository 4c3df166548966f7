/* SPDX-License-Identifier: MIT */
/* Masks from files and from the built-in ones, directives followed, merged into the final mask. */
#ifndef MV_VMM_MASKLOAD_H
#define MV_VMM_MASKLOAD_H

#include "policy.h"

#define MV_DEFAULT_GUEST_OS "generic64"

struct mv_mask_request {
	const char *guest_os;		/* built-in default mask; NULL: what a file says, or generic64 */
	const char *default_mask;	/* a file instead of a built-in one; may be NULL */
	const char *const *overrides;	/* files, a later one wins */
	size_t noverrides;
	enum mv_vendor vendor;		/* which vendor lines count */
};

/*
 * Fill p->final, p->files and p->guest_os. -MV_E_INPUT with file:line:column; -MV_E_USAGE for a guest
 * OS that has no default mask.
 */
int mv_masks_load(struct mv_policy *p, const struct mv_mask_request *req, struct mv_err *err);

/* The built-in guest OS names, blank-separated, into buf. */
void mv_guest_os_names(char *buf, size_t size);

#endif
