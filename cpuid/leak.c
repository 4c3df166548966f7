/* SPDX-License-Identifier: MIT */
#include "leak.h"

#include "xstate.h"

/*
 * One switch in hardware or KVM serves all features of a group: it stays on while the guest is shown
 * any of them.
 */
static const enum mv_feature_id groups[][16] = {
	/* ENABLE_RDTSCP; the RDTSCP intercept */
	{ MV_F_RDTSCP, MV_F_RDPID },
	/* SPEC_CTRL is passed through once a guest may use any bit of it */
	{ MV_F_SPEC_CTRL, MV_F_STIBP, MV_F_SSBD, MV_F_INTEL_PSFD, MV_F_IPRED_CTRL, MV_F_RRSBA_CTRL,
	  MV_F_DDPD_U, MV_F_BHI_CTRL, MV_F_AMD_IBRS, MV_F_AMD_STIBP, MV_F_AMD_SSBD, MV_F_AMD_PSFD },
	/* CR4.CET */
	{ MV_F_CET_SS, MV_F_CET_IBT },
};

_Static_assert(MV_F_SSE3 == 0, "marks the end of a group");

/* Does the guest see another feature of a group that id is in? */
static bool kept_on(const struct mv_table *guest, enum mv_feature_id id)
{
	for (unsigned g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		bool member = false, visible = false;

		for (unsigned i = 0; i < 16 && groups[g][i] != MV_F_SSE3; i++) {
			member |= groups[g][i] == id;
			visible |= mv_table_has(guest, groups[g][i]);
		}
		if (member && visible)
			return true;
	}
	return false;
}

/*
 * Nothing disables the instruction itself, but it needs a mode that a hidden feature would switch
 * on: XSAVEOPT without CR4.OSXSAVE, 64-bit instructions without EFER.LME.
 */
static bool mode_is_off(const struct mv_table *guest, enum mv_feature_id id, bool vmx)
{
	enum mv_feature_id parents[16];
	size_t n = mv_feature_parents(id, parents, 16);

	for (size_t i = 0; i < n && i < 16; i++) {
		const struct mv_feature *p = &mv_features[parents[i]];
		uint8_t by = vmx ? p->vmx : p->svm;

		if (!mv_table_has(guest, parents[i]) && (by == MV_FE_CR4 || by == MV_FE_EFER))
			return true;
	}
	return false;
}

bool mv_feature_enforced(const struct mv_table *guest, enum mv_feature_id id, bool vmx)
{
	const struct mv_feature *f = &mv_features[id];

	switch ((enum mv_feature_enforce)(vmx ? f->vmx : f->svm)) {
	case MV_FE_NONE:
		return mode_is_off(guest, id, vmx);
	case MV_FE_XCR0:
		return mv_xstate_needed(id) & ~mv_xstate_xcr0(guest);
	case MV_FE_INFO:
	case MV_FE_NA:
		return true;	/* nothing to execute */
	default:
		return !kept_on(guest, id);
	}
}
