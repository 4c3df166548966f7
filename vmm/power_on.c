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

/* Why mechanism i can't serve this image here; "" if it can. */
static void objection(char *buf, size_t size, const struct mv_policy *p, const struct mv_host *h,
		      const struct mv_sites *sites, int i)
{
	uint8_t proof = h->proof[i];

	*buf = '\0';
	if (proof != MV_PROOF_BOTH)
		snprintf(buf, size, "%s: the mask does not hold at %s here",
			 mv_intercept_name((enum mv_intercept)i),
			 proof == MV_PROOF_CPL0   ? "CPL 3"
			 : proof == MV_PROOF_CPL3 ? "CPL 0"
						  : "CPL 0 and CPL 3");
	else if (i == MV_INTERCEPTION_PATCH && !p->patchable)
		snprintf(buf, size, "patch: %s",
			 sites && *sites->why ? sites->why : "the image's code is not known");
	else if (i == MV_INTERCEPTION_PATCH && !p->patch_cpl3)
		snprintf(buf, size,
			 "patch: the image does not say that its CPL 3 code runs with IOPL 3");
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
		mv_err_set(err, MV_E_HOST, "no way to answer this guest's CPUID: %s; %s; %s",
			   no[MV_INTERCEPTION_KERNEL], no[MV_INTERCEPTION_PATCH],
			   no[MV_INTERCEPTION_STEP]);
		mv_err_hint(err, "--intercept none runs it with a mask that leaks through CPUID "
				 "itself");
		return -MV_E_HOST;
	}
	if (chosen != MV_INTERCEPTION_NONE && *no[chosen])
		return mv_err_set(err, MV_E_HOST, "%s", no[chosen]);
	p->intercept = (uint8_t)chosen;
	if (asked == MV_INTERCEPT_AUTO && chosen != MV_INTERCEPTION_KERNEL)
		snprintf(why, 256, "%s: using --intercept %s", no[MV_INTERCEPTION_KERNEL],
			 mv_intercept_name((enum mv_intercept)chosen));
	if (chosen == MV_INTERCEPTION_NONE)
		snprintf(why, 256, "--intercept none: the mask may not hold for CPUID itself");
	return 0;
}
