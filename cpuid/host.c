/* SPDX-License-Identifier: MIT */
#include "host.h"

#include "xstate.h"

const char *mv_intercept_name(enum mv_intercept i)
{
	static const char *const names[MV_NINTERCEPTIONS] = { "none", "kernel", "patch", "step" };

	return i < MV_NINTERCEPTIONS ? names[i] : "?";
}

/*
 * Can a guest use the feature on a host whose KVM does not name it? Plain instructions run at CPL 3
 * whatever KVM says; state components as far as KVM_SET_XCRS went; XSAVE's own variants come with
 * CR4.OSXSAVE, which the same trial set.
 */
static bool usable_without_kvm(const struct mv_host *h, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];
	uint64_t components;

	if (f->cls == MV_FC_DYNAMIC || f->cls == MV_FC_TOPOLOGY || f->cls == MV_FC_SYNTH)
		return false;
	if (f->needs == MV_FN_NOTHING)
		return true;
	if (f->leaf == 0xd && f->subleaf == 0)
		return h->xcr0 >> (f->bit + (f->reg == MV_EDX ? 32 : 0)) & 1;
	components = mv_xstate_needed(id);
	if (!components || (components & ~h->xcr0))
		return false;
	return f->needs == MV_FN_XCR0 || id == MV_F_XSAVE || id == MV_F_XSAVEOPT ||
	       id == MV_F_XSAVEC || id == MV_F_XGETBV1;
}

void mv_host_offer(const struct mv_host *h, struct mv_table *offer)
{
	*offer = h->kvm;
	if (mv_host_intercepts(h))
		return;
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		enum mv_feature_id id = (enum mv_feature_id)i;

		/* Features of leaves that the table has no room for stay out: they are hidden. */
		if (mv_table_has(&h->raw, id) && usable_without_kvm(h, id) &&
		    mv_table_set_feature(offer, id, true))
			break;
	}
	for (uint32_t i = 0; i < h->raw.n; i++) {
		const struct mv_leaf *e = &h->raw.e[i];
		struct mv_leaf *o;

		if (e->leaf != 0xd || e->subleaf < 2 || e->subleaf > 62 ||
		    !(h->xcr0 >> e->subleaf & 1))
			continue;
		o = mv_table_add(offer, e->leaf, e->subleaf);
		if (o)
			*o = *e;
	}
	if (mv_table_reg(offer, 0, 0, MV_EAX) < 0xd && mv_table_find(offer, 0xd, 0))
		mv_table_set_field(offer, MV_FIELD_MAX_LEAF, 0xd);
	/* Subleaves of leaf 7 that only the raw view has must be reachable, too. */
	for (uint32_t s = 1; s <= 2; s++)
		if (mv_table_find(offer, 7, s) &&
		    mv_table_field(offer, MV_FIELD_MAX_SUBLEAF_7) < s)
			mv_table_set_field(offer, MV_FIELD_MAX_SUBLEAF_7, s);
}

bool mv_host_executes(const struct mv_host *h, uint32_t leaf, uint32_t subleaf, unsigned reg,
		      unsigned bit)
{
	const struct mv_feature *f;

	if (mv_table_bit(&h->raw, leaf, subleaf, reg, bit))
		return true;
	f = mv_feature_at(leaf, subleaf, reg, bit);
	return f && mv_featset_has(&h->exec_ran, mv_feature_id(f));
}

bool mv_host_msr(const struct mv_host *h, uint32_t index, uint64_t *value)
{
	for (uint32_t i = 0; i < h->nmsrs; i++) {
		if (h->msrs[i].index == index) {
			*value = h->msrs[i].value;
			return true;
		}
	}
	return false;
}
