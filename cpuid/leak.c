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

/* Another feature of a group that id is in and that the guest sees; NULL if there is none. */
static const struct mv_feature *kept_on(const struct mv_table *guest, enum mv_feature_id id)
{
	for (unsigned g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		const struct mv_feature *visible = NULL;
		bool member = false;

		for (unsigned i = 0; i < 16 && groups[g][i] != MV_F_SSE3; i++) {
			member |= groups[g][i] == id;
			if (mv_table_has(guest, groups[g][i]))
				visible = &mv_features[groups[g][i]];
		}
		if (member && visible)
			return visible;
	}
	return NULL;
}

/* A visible feature that keeps a component on which hidden id needs, too. */
static const struct mv_feature *component_user(const struct mv_table *guest, enum mv_feature_id id)
{
	uint64_t on = mv_xstate_needed(id) & mv_xstate_xcr0(guest);

	/* The highest component is the most particular one: ZMM rather than x87. */
	for (unsigned i = mv_nxstate_users; i-- > 0;) {
		const struct mv_feature *c = &mv_features[mv_xstate_users[i].component];
		enum mv_feature_id user = (enum mv_feature_id)mv_xstate_users[i].user;

		if (on >> (c->bit + (c->reg == MV_EDX ? 32 : 0)) & 1 && user != id &&
		    mv_table_has(guest, user))
			return &mv_features[user];
	}
	return NULL;
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

/*
 * The other vendor's, which KVM does not know here: it made nothing to disable an instruction, but
 * what it has to allow, a state component, a bit of a control register or an MSR, it refuses.
 */
static bool foreign_refused(const struct mv_table *guest, enum mv_feature_id id, bool vmx)
{
	const struct mv_feature *f = &mv_features[id];

	switch ((enum mv_feature_enforce)(vmx ? f->svm : f->vmx)) {
	case MV_FE_XCR0:
		return mv_xstate_needed(id) & ~mv_xstate_xcr0(guest);
	case MV_FE_NONE:
	case MV_FE_CTRL:
	case MV_FE_KVM:
		return false;
	default:
		return true;
	}
}

bool mv_feature_describes(enum mv_feature_id id, bool vmx)
{
	uint8_t here = vmx ? mv_features[id].vmx : mv_features[id].svm;
	uint8_t there = vmx ? mv_features[id].svm : mv_features[id].vmx;

	if (here == MV_FE_NA)
		here = there;
	return here == MV_FE_INFO || here == MV_FE_NA;
}

bool mv_feature_enforced(const struct mv_table *guest, uint32_t kvm_controls, enum mv_feature_id id, bool vmx)
{
	const struct mv_feature *f = &mv_features[id];

	/* KVM takes MONITOR and MWAIT for NOPs unless it is told not to, which older kernels can't be. */
	if (id == MV_F_MONITOR && !(kvm_controls & MV_KVM_CONTROL_BIT(MWAIT_FAULTS)))
		return false;
	switch ((enum mv_feature_enforce)(vmx ? f->vmx : f->svm)) {
	case MV_FE_NONE:
		return mode_is_off(guest, id, vmx);
	case MV_FE_XCR0:
		return mv_xstate_needed(id) & ~mv_xstate_xcr0(guest);
	case MV_FE_INFO:
		return true;	/* nothing to execute */
	case MV_FE_NA:
		return foreign_refused(guest, id, vmx);
	case MV_FE_KVM:
		return kvm_controls & MV_KVM_CONTROL_BIT(PV_ENFORCED);
	default:
		return !kept_on(guest, id);
	}
}

bool mv_feature_leaks(const struct mv_table *guest, uint32_t kvm_controls, enum mv_feature_id id, bool vmx)
{
	/* STAC and CLAC run without CR4.SMAP, which is what can be refused. */
	return id == MV_F_SMAP || !mv_feature_enforced(guest, kvm_controls, id, vmx);
}

const struct mv_feature *mv_feature_kept_by(const struct mv_table *guest, enum mv_feature_id id,
					    bool vmx)
{
	const struct mv_feature *f = &mv_features[id];

	switch ((enum mv_feature_enforce)(vmx ? f->vmx : f->svm)) {
	case MV_FE_NONE:
	case MV_FE_NA:
		return NULL;
	case MV_FE_XCR0:
		return component_user(guest, id);
	default:
		return kept_on(guest, id);
	}
}
