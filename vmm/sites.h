/* SPDX-License-Identifier: MIT */
/*
 * Where a guest image executes CPUID. Replacing the wrong two bytes would corrupt a program: raw
 * 0F A2 pairs also occur inside other instructions. A pair counts as a CPUID only where decoding
 * from known code reaches it, or where the image's own note lists it (docs/architecture.md).
 */
#ifndef MV_VMM_SITES_H
#define MV_VMM_SITES_H

#include "image.h"
#include "state.h"

struct mv_sites {
	uint32_t n;
	uint32_t inside;		/* pairs left alone, inside other instructions */
	bool all;			/* every executable byte is accounted for: patch is possible */
	bool cpl3;			/* the image says that its CPL 3 code has IOPL 3 */
	char why[160];			/* if not all: the reason, with the address */
	uint64_t gpa[MV_MAX_SITES];	/* the first n; sorted */
};

/* Account for the image's code. -MV_E_INPUT if its note lists something that is no CPUID. */
int mv_sites_find(struct mv_sites *s, const struct mv_image *img, struct mv_err *err);

void mv_sites_copy(struct mv_sites *to, const struct mv_sites *from);

bool mv_sites_has(const struct mv_sites *s, uint64_t gpa);

#endif
