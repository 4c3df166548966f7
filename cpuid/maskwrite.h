/* SPDX-License-Identifier: MIT */
/*
 * Masks as text, in each of the forms that maskfile.h reads. Nothing is lost: what a form has no
 * words for is written as a line of another form, and counted, so that parsing gives the mask back.
 */
#ifndef MV_CPUID_MASKWRITE_H
#define MV_CPUID_MASKWRITE_H

#include "mask.h"

enum mv_mask_form {
	MV_FORM_GUIDE,		/* "Level 0x1h", "ECX: ---- …" */
	MV_FORM_VMX,		/* cpuid.1.ecx = "----:…" */
	MV_FORM_FEATURE,	/* feature sse4.1 = 0 */
	MV_NFORMS
};

/* What the form could not say, in lines of the text. */
struct mv_mask_losses {
	uint32_t vendor;	/* guide, feature: for one vendor only; written as .vmx lines */
	uint32_t sublevels;	/* .vmx: a sublevel other than 0, which VMware's keys don't have */
	uint32_t unnamed;	/* feature: bits without a name; in the guide's form */
	uint32_t fields, msrs;	/* numbers and MSRs: no form but this program's own has them */
};

/*
 * Write m as at most size bytes with a NUL; returns the length of the whole text, as snprintf does.
 * losses may be NULL.
 */
size_t mv_mask_write(char *buf, size_t size, const struct mv_mask *m, enum mv_mask_form form,
		     struct mv_mask_losses *losses);

/* "guide", "vmx", "feature"; and back: -1 for none of them. */
const char *mv_mask_form_name(enum mv_mask_form form);
int mv_mask_form_parse(const char *name);

#endif
