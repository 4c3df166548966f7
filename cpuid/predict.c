/* SPDX-License-Identifier: MIT */
#include "predict.h"

#include <string.h>

#include "leak.h"
#include "xstate.h"

static const char *const names[MV_NFINDINGS] = {
	[MV_FIND_HINT] = "UNDECIDABLE", [MV_FIND_ABSENT] = "ABSENT",
	[MV_FIND_OK] = "OK",		 [MV_FIND_ENFORCED] = "ENFORCED",
	[MV_FIND_BLOCKED] = "BLOCKED",	 [MV_FIND_LEAK] = "LEAK",
	[MV_FIND_BROKEN] = "BROKEN",	 [MV_FIND_ABORT] = "ABORT",
};

const char *mv_finding_name(enum mv_finding f)
{
	return f < MV_NFINDINGS ? names[f] : "?";
}

enum mv_finding mv_finding_by_name(const char *name)
{
	unsigned i = 0;

	while (i < MV_NFINDINGS && strcmp(names[i], name))
		i++;
	return (enum mv_finding)i;
}

/* The host's CPU has it: tried, or else told by CPUID. */
static bool in_cpu(const struct mv_host *h, enum mv_feature_id id)
{
	return mv_featset_has(&h->exec_known, id) ? mv_featset_has(&h->exec_ran, id)
						  : mv_table_has(&h->raw, id);
}

/* That, or KVM emulates it there. */
static bool there(const struct mv_host *h, enum mv_feature_id id)
{
	return in_cpu(h, id) || mv_table_has(&h->kvm, id);
}

/* Everything is on that a guest's kernel switches on by what CPUID shows it. */
static bool switched_on(const struct mv_policy *p, const struct mv_attempt *a)
{
	struct mv_table offer;

	if (a->needs == MV_NFEATURES && !a->xcr0)
		return true;
	mv_host_offer(&p->source, &offer);
	if (a->needs != MV_NFEATURES &&
	    !(mv_table_has(&p->guest, a->needs) && mv_table_has(&offer, a->needs)))
		return false;
	return !(a->xcr0 & ~(mv_xstate_xcr0(&p->guest) & mv_xstate_xcr0(&offer)));
}

static bool by_control(uint8_t enforce)
{
	return enforce == MV_FE_CR4 || enforce == MV_FE_EFER;
}

/* A hidden feature of a host that has it: is this instruction of it disabled? */
static bool disabled(const struct mv_policy *p, const struct mv_attempt *a, bool vmx,
		     struct mv_prediction *out)
{
	const struct mv_feature *f = &mv_features[a->feature];
	uint8_t by = vmx ? f->vmx : f->svm;

	/*
	 * A CPU whose KVM walks the guest's page tables itself need not have 1 GiB pages: KVM has them,
	 * for guests that are shown them.
	 */
	if (a->feature == MV_F_PDPE1GB && !in_cpu(&p->source, a->feature)) {
		out->why = MV_WHY_EMULATED;
		return true;
	}
	/* A control bit disables what looks at it: not STAC, which runs without CR4.SMAP. MSRs are KVM's to refuse. */
	if (by_control(by) && !a->control && !a->msr && a->needs == MV_NFEATURES && !a->xcr0)
		return false;
	if (mv_feature_enforced(&p->guest, p->source.kvm_controls, a->feature, vmx)) {
		out->why = by == MV_FE_NONE ? MV_WHY_MODE : by == MV_FE_NA ? MV_WHY_FOREIGN : MV_WHY_DISABLED;
		return true;
	}
	out->cause = mv_feature_kept_by(&p->guest, a->feature, vmx);
	if (out->cause)
		out->why = MV_WHY_KEPT;
	return false;
}

static void predict_hidden(const struct mv_policy *p, const struct mv_attempt *a, bool vmx,
			   struct mv_prediction *out)
{
	if (!there(&p->source, a->feature)) {
		out->why = MV_WHY_LACKED;
	} else {
		out->why = MV_WHY_NOTHING;
		if (!disabled(p, a, vmx, out)) {
			out->finding = MV_FIND_LEAK;
			return;
		}
	}
	out->finding = mv_table_has(&p->source.raw, a->feature) ? MV_FIND_ENFORCED : MV_FIND_ABSENT;
}

static void predict_shown(const struct mv_policy *p, const struct mv_attempt *a,
			  struct mv_prediction *out)
{
	bool on = switched_on(p, a);

	out->why = !there(&p->source, a->feature) ? MV_WHY_LACKED : on ? MV_WHY_SHOWN : MV_WHY_CONTROL;
	if (out->why == MV_WHY_SHOWN)
		out->finding = MV_FIND_OK;
	else
		out->finding = on && !a->control ? MV_FIND_BROKEN : MV_FIND_BLOCKED;
}

struct mv_prediction mv_predict(const struct mv_policy *p, const struct mv_attempt *a, bool vmx)
{
	struct mv_prediction out = { .shown = mv_table_has(&p->guest, a->feature) };

	if (a->hint)
		out.why = MV_WHY_HINT;
	else if (out.shown)
		predict_shown(p, a, &out);
	else
		predict_hidden(p, a, vmx, &out);
	return out;
}
