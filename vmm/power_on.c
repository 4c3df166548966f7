/* SPDX-License-Identifier: MIT */
#include "power_on.h"

#include <stdio.h>
#include <string.h>

int mv_intercept_parse(const char *name, int *out, struct mv_err *err)
{
	*out = MV_INTERCEPT_AUTO;
	if (!strcmp(name, "auto"))
		return 0;
	for (int i = 0; i < MV_NINTERCEPTIONS; i++) {
		if (!strcmp(name, mv_intercept_name((enum mv_intercept)i))) {
			*out = i;
			return 0;
		}
	}
	return mv_err_set(err, MV_E_USAGE,
			  "'%s' is no way to intercept CPUID (auto, kernel, patch, step, none)",
			  name);
}

/* Where a proof failed. */
static const char *unproved(uint8_t proof)
{
	if (proof == MV_PROOF_CPL0)
		return "CPL 3";
	return proof == MV_PROOF_CPL3 ? "CPL 0" : "CPL 0 and CPL 3";
}

/* Why mechanism i can't serve this image here; "" if it can. */
static void objection(char *buf, size_t size, const struct mv_policy *p, const struct mv_host *h,
		      const struct mv_sites *sites, int i)
{
	uint8_t proof = h->proof[i];

	*buf = '\0';
	if (proof != MV_PROOF_BOTH)
		snprintf(buf, size,
			 "%s: tried on this host, a guest's CPUID does not follow the mask at %s",
			 mv_intercept_name((enum mv_intercept)i), unproved(proof));
	else if (i == MV_INTERCEPTION_PATCH && !p->patchable)
		snprintf(buf, size, "patch: %s",
			 sites && *sites->why ? sites->why : "the image's code is not known");
	else if (i == MV_INTERCEPTION_PATCH && !p->patch_cpl3)
		snprintf(buf, size,
			 "patch: the image has no note that its CPL 3 code runs with IOPL 3");
}

int mv_choose_intercept(struct mv_policy *p, const struct mv_host *h, const struct mv_sites *sites,
			int asked, char why[256], struct mv_err *err)
{
	char no[MV_NINTERCEPTIONS][192];
	int chosen = asked;

	*why = '\0';
	p->patchable = sites && sites->all;
	p->patch_cpl3 = sites && sites->cpl3;
	for (int i = MV_INTERCEPTION_KERNEL; i < MV_NINTERCEPTIONS; i++) {
		objection(no[i], sizeof(no[i]), p, h, sites, i);
		if (chosen == MV_INTERCEPT_AUTO && !*no[i])
			chosen = i;
	}
	if (chosen == MV_INTERCEPT_AUTO) {
		mv_err_set(err, MV_E_HOST, "nothing keeps this guest's CPUID to the mask: %s; %s; %s",
			   no[MV_INTERCEPTION_KERNEL], no[MV_INTERCEPTION_PATCH],
			   no[MV_INTERCEPTION_STEP]);
		mv_err_hint(err, "--intercept none runs it with a mask that leaks through CPUID "
				 "itself");
		return -MV_E_HOST;
	}
	if (chosen != MV_INTERCEPTION_NONE && *no[chosen])
		return mv_err_set(err, MV_E_HOST, "--intercept %s", no[chosen]);
	p->intercept = (uint8_t)chosen;
	if (asked == MV_INTERCEPT_AUTO && chosen != MV_INTERCEPTION_KERNEL)
		snprintf(why, 256,
			 "this host's KVM does not keep a guest's CPUID to the mask (%s): using "
			 "--intercept %s",
			 unproved(h->proof[MV_INTERCEPTION_KERNEL]),
			 mv_intercept_name((enum mv_intercept)chosen));
	if (chosen == MV_INTERCEPTION_NONE)
		snprintf(why, 256,
			 "--intercept none: CPUID itself may tell the guest more than the mask does");
	return 0;
}
