/* SPDX-License-Identifier: MIT */
#include "host.h"

#include "xstate.h"

const char *mv_intercept_name(enum mv_intercept i)
{
	static const char *const names[MV_NINTERCEPTIONS] = { "none", "kernel", "patch", "step" };

	return i < MV_NINTERCEPTIONS ? names[i] : "?";
}

const char *mv_kvm_control_name(enum mv_kvm_control c)
{
	static const char *const names[MV_NKVM_CONTROLS] = {
#define MV_KVM_CONTROL(id, name, what) name,
		MV_KVM_CONTROLS
#undef MV_KVM_CONTROL
	};

	return c < MV_NKVM_CONTROLS ? names[c] : "?";
}

const char *mv_kvm_control_what(enum mv_kvm_control c)
{
	static const char *const what[MV_NKVM_CONTROLS] = {
#define MV_KVM_CONTROL(id, name, what) what,
		MV_KVM_CONTROLS
#undef MV_KVM_CONTROL
	};

	return c < MV_NKVM_CONTROLS ? what[c] : "?";
}

bool mv_host_answers(const struct mv_host *h, bool patchable)
{
	return mv_host_intercepts(h) || h->proof[MV_INTERCEPTION_STEP] == MV_PROOF_BOTH ||
	       (patchable && h->proof[MV_INTERCEPTION_PATCH] == MV_PROOF_BOTH);
}

/*
 * Can a guest use the feature on a host whose KVM does not name it? Plain instructions run at CPL 3
 * whatever KVM says; state components as far as KVM_SET_XCRS went; XSAVE's own variants come with
 * CR4.OSXSAVE, which the same trial set. need: the components it can't do without.
 */
static bool usable_without_kvm(const struct mv_host *h, enum mv_feature_id id, uint64_t need)
{
	const struct mv_feature *f = &mv_features[id];

	if (mv_feature_computed(f))
		return false;
	switch ((enum mv_feature_needs)f->needs) {
	case MV_FN_NOTHING:
		return !(need & ~h->xcr0);
	case MV_FN_XCR0:
		return need && !(need & ~h->xcr0);
	default:
		return (id == MV_F_XSAVE || id == MV_F_XSAVEOPT || id == MV_F_XSAVEC ||
			id == MV_F_XGETBV1) &&
		       !(need & ~h->xcr0);
	}
}

/* A maximum of the table that does not reach all its leaves hides the ones beyond. */
static void reach(struct mv_table *t, enum mv_field_id max, uint32_t leaf)
{
	if (mv_table_field(t, max) < leaf)
		mv_table_set_field(t, max, leaf);
}

void mv_host_offer(const struct mv_host *h, struct mv_table *offer)
{
	uint64_t need[MV_NFEATURES];

	*offer = h->kvm;
	if (mv_host_intercepts(h))
		return;
	mv_xstate_needed_all(need);
	/* What the table has no room for stays out: hidden, not an error. */
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		enum mv_feature_id id = (enum mv_feature_id)i;

		if (mv_table_has(&h->raw, id) && usable_without_kvm(h, id, need[id]))
			mv_table_set_feature(offer, id, true);
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
	/* A copy of the entry's numbers: adding the leaf that holds a maximum may come last. */
	for (uint32_t i = 0; i < offer->n; i++) {
		uint32_t leaf = offer->e[i].leaf, subleaf = offer->e[i].subleaf;

		if (leaf == 7)
			reach(offer, MV_FIELD_MAX_SUBLEAF_7, subleaf);
		if (leaf < 0x40000000)
			reach(offer, MV_FIELD_MAX_LEAF, leaf);
		else if (leaf > 0x80000000 && leaf < 0x90000000)
			reach(offer, MV_FIELD_MAX_EXT_LEAF, leaf);
	}
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

uint32_t mv_host_told(const struct mv_host *h, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	uint32_t told = 0;

	if (!h->partial)
		return UINT32_MAX;
	for (unsigned bit = 0; bit < 32; bit++) {
		const struct mv_feature *f = mv_feature_at(leaf, subleaf, reg, bit);
		const struct mv_field *d = f ? NULL : mv_field_at(leaf, subleaf, reg, bit);

		if (f ? mv_featset_has(&h->told, mv_feature_id(f))
		      : d && mv_fieldset_has(&h->told_fields, (enum mv_field_id)(d - mv_fields)))
			told |= UINT32_C(1) << bit;
	}
	return told;
}

bool mv_host_told_field(const struct mv_host *h, enum mv_field_id id)
{
	return !h->partial || mv_fieldset_has(&h->told_fields, id);
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
