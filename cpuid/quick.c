/* SPDX-License-Identifier: MIT */
#include "quick.h"

#include <string.h>

#include "verdict_impl.h"
#include "xstate.h"

/* The bits of a register by what they ask of a destination. */
struct asked {
	uint32_t t, f, h, r;
};

static int find(const struct mv_quick_layout *l, const struct mv_mask_reg *r)
{
	for (uint32_t i = 0; i < l->n; i++)
		if (l->pos[i].leaf == r->leaf && l->pos[i].subleaf == r->subleaf &&
		    l->pos[i].reg == r->reg)
			return (int)i;
	return -1;
}

/* The bits of a register that symbols compare. */
static uint32_t compared(const struct mv_mask_reg *reg)
{
	uint32_t care = 0;

	for (unsigned bit = 0; bit < 32; bit++)
		if (mv_symbols_compare(reg->leaf, reg->subleaf, reg->reg, bit))
			care |= UINT32_C(1) << bit;
	return care;
}

/* What it asks, and its word w in the layout (-1: none). All of 0 without a look at each bit is common. */
static struct asked asked_by(const struct mv_mask_reg *reg, const struct mv_quick_layout *l, int *w)
{
	struct asked a = {
		.t = mv_mask_reg_with(reg, MV_SYM_T), .f = mv_mask_reg_with(reg, MV_SYM_F),
		.h = mv_mask_reg_with(reg, MV_SYM_H), .r = mv_mask_reg_with(reg, MV_SYM_R),
	};
	uint32_t care;

	*w = -1;
	if (!(a.t | a.f | a.h | a.r))
		return a;
	*w = find(l, reg);
	care = *w >= 0 ? l->pos[*w].care : compared(reg);
	a.t &= care;
	a.f &= care;
	a.h &= care;
	a.r &= care;
	return a;
}

int mv_quick_layout_add(struct mv_quick_layout *l, const struct mv_policy *p)
{
	for (uint32_t i = 0; i < p->effective.nregs; i++) {
		const struct mv_mask_reg *r = &p->effective.regs[i];
		int w;
		struct asked a = asked_by(r, l, &w);

		if (!(a.t | a.f | a.h | a.r) || w >= 0)
			continue;
		if (l->n == MV_QUICK_WORDS)
			return -MV_E_INPUT;
		l->pos[l->n].leaf = r->leaf;
		l->pos[l->n].subleaf = r->subleaf;
		l->pos[l->n].care = compared(r);
		l->pos[l->n++].reg = r->reg;
	}
	return 0;
}

/* Raw, with the features that were seen to execute. */
static void exec_table(struct mv_table *out, const struct mv_host *h)
{
	*out = h->raw;
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_featset_has(&h->exec_ran, (enum mv_feature_id)i))
			mv_table_set_feature(out, (enum mv_feature_id)i, true);
}

static void vm_words(struct mv_quick_vm *v, const struct mv_quick_layout *l,
		     const struct mv_policy *p, const struct mv_table *offer)
{
	struct mv_table exec;

	exec_table(&exec, &p->source);
	v->nwords = l->n;
	for (uint32_t i = 0; i < p->effective.nregs; i++) {
		const struct mv_mask_reg *r = &p->effective.regs[i];
		int w;
		struct asked a = asked_by(r, l, &w);

		if (!(a.t | a.f | a.h | a.r))
			continue;
		if (w < 0) {
			v->unsure = true;
			return;
		}
		v->offer_care[w] = a.t | a.h;
		v->offer[w] = a.t | (a.h & mv_table_reg(offer, r->leaf, r->subleaf, r->reg));
		v->exec_care[w] = a.f | a.r;
		v->exec[w] = a.r & mv_table_reg(&exec, r->leaf, r->subleaf, r->reg);
	}
}

static void vm_components(struct mv_quick_vm *v, const struct mv_policy *p)
{
	v->components = mv_xstate_xcr0(&p->guest) | mv_xstate_xss(&p->guest);
	for (unsigned n = 2; n < 63; n++) {
		const uint32_t *e = mv_compare_leaf(&p->guest, 0xd, n);

		if (!(v->components >> n & 1))
			continue;
		if (v->ncomponents == MV_QUICK_COMPONENTS) {
			v->unsure = true;
			return;
		}
		v->component[v->ncomponents++] = (struct mv_quick_component){
			.n = (uint8_t)n, .size = e[MV_EAX], .offset = e[MV_EBX], .flags = e[MV_ECX],
		};
	}
}

/* Symbols on MSRs are rare enough to be left to the long way. */
static bool has_msr_symbols(const struct mv_policy *p)
{
	for (uint32_t i = 0; i < p->final.nmsrs; i++) {
		const struct mv_mask_msr *m = &p->final.msrs[i];

		if (mv_mask_msr_with(m, MV_SYM_T) | mv_mask_msr_with(m, MV_SYM_F) |
		    mv_mask_msr_with(m, MV_SYM_H) | mv_mask_msr_with(m, MV_SYM_R))
			return true;
	}
	return false;
}

/*
 * Bits that warn the guest, or that KVM itself provides, and that no symbol compares need more than
 * a comparison of words.
 */
static bool has_open_rules(const struct mv_policy *p)
{
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];

		if ((f->cls == MV_FC_HAZARD || f->cls == MV_FC_INVERTED || f->vmx == MV_FE_KVM) &&
		    mv_mask_sym(&p->effective, f->leaf, f->subleaf, f->reg, f->bit) == MV_SYM_X)
			return true;
	}
	return false;
}

void mv_quick_vm_init(struct mv_quick_vm *v, const struct mv_quick_layout *l,
		      const struct mv_policy *p)
{
	struct mv_table offer;

	memset(v, 0, sizeof(*v));
	v->unsure = p->intercept == MV_INTERCEPTION_NONE || has_open_rules(p) || has_msr_symbols(p) ||
		    p->source.partial;
	mv_host_offer(&p->source, &offer);
	vm_words(v, l, p, &offer);
	vm_components(v, p);
	memcpy(v->vendor, mv_compare_leaf(&offer, 0, 0) + MV_EBX, sizeof(v->vendor));
	for (unsigned i = 0; i < MV_NFIELDS; i++) {
		uint32_t value = mv_table_field(&p->guest, (enum mv_field_id)i);

		if (mv_number_at_most((enum mv_field_id)i))
			v->number[v->nnumbers++] = value;
		if (mv_number_equal((enum mv_field_id)i))
			v->equal[v->nequal++] = value;
	}
	if (mv_table_has(&p->guest, MV_F_CLFLUSH))
		v->clflush = mv_table_field(&p->guest, MV_FIELD_CLFLUSH_SIZE);
	v->asks_clflush = mv_table_has(&p->guest, MV_F_CLFLUSH);
	v->tsc_khz = mv_policy_tsc_khz(p);
	v->asks_caps = mv_table_has(&p->guest, MV_F_ARCH_CAPABILITIES);
	v->caps = mv_policy_msr(p, MV_MSR_ARCH_CAPABILITIES, &v->caps_named);
	v->can_patch = p->patchable && p->patch_cpl3;
	v->kvm_controls = mv_kvm_controls_needed(p, MV_VERDICT_GUIDE);
}

void mv_quick_host_init(struct mv_quick_host *h, const struct mv_quick_layout *l,
			const struct mv_host *host)
{
	struct mv_table offer, exec;
	uint32_t nnumbers = 0, nequal = 0;

	memset(h, 0, sizeof(*h));
	h->unsure = host->partial;
	mv_host_offer(host, &offer);
	exec_table(&exec, host);
	for (uint32_t i = 0; i < l->n; i++) {
		h->offer[i] = mv_table_reg(&offer, l->pos[i].leaf, l->pos[i].subleaf, l->pos[i].reg);
		h->exec[i] = mv_table_reg(&exec, l->pos[i].leaf, l->pos[i].subleaf, l->pos[i].reg);
	}
	memcpy(h->vendor, mv_compare_leaf(&offer, 0, 0) + MV_EBX, sizeof(h->vendor));
	for (unsigned i = 0; i < MV_NFIELDS; i++) {
		if (mv_number_at_most((enum mv_field_id)i))
			h->number[nnumbers++] = mv_number_offered(&offer, (enum mv_field_id)i);
		if (mv_number_equal((enum mv_field_id)i))
			h->equal[nequal++] = mv_table_field(&offer, (enum mv_field_id)i);
	}
	h->components = mv_xstate_xcr0(&offer) | mv_xstate_xss(&offer);
	for (unsigned n = 2; n < 63; n++) {
		const uint32_t *e = mv_compare_leaf(&offer, 0xd, n);

		h->component[n].size = e[MV_EAX];
		h->component[n].offset = e[MV_EBX];
		h->component[n].flags = e[MV_ECX];
	}
	h->clflush = mv_table_field(&offer, MV_FIELD_CLFLUSH_SIZE);
	h->tsc_khz = host->tsc_khz;
	h->tsc_scaling = host->tsc_scaling;
	mv_host_msr(host, MV_MSR_ARCH_CAPABILITIES, &h->caps);
	h->answers_any = mv_host_answers(host, false);
	h->answers_patch = mv_host_answers(host, true);
	h->kvm_controls = host->kvm_controls;
}

static bool words_fit(const struct mv_quick_vm *v, const struct mv_quick_host *h)
{
	uint32_t bad = 0;

	for (uint32_t i = 0; i < v->nwords; i++)
		bad |= ((h->offer[i] ^ v->offer[i]) & v->offer_care[i]) |
		       ((h->exec[i] ^ v->exec[i]) & v->exec_care[i]);
	return !bad;
}

static bool numbers_fit(const struct mv_quick_vm *v, const struct mv_quick_host *h)
{
	bool bad = false;

	for (uint32_t i = 0; i < v->nnumbers; i++)
		bad |= v->number[i] > h->number[i];
	for (uint32_t i = 0; i < v->nequal; i++)
		bad |= v->equal[i] && v->equal[i] != h->equal[i];
	return !bad && (!v->asks_clflush || v->clflush == h->clflush);
}

static bool components_fit(const struct mv_quick_vm *v, const struct mv_quick_host *h)
{
	if (v->components & ~h->components)
		return false;
	for (uint32_t i = 0; i < v->ncomponents; i++) {
		const struct mv_quick_component *c = &v->component[i];

		if (h->component[c->n].size != c->size || h->component[c->n].offset != c->offset ||
		    h->component[c->n].flags != c->flags)
			return false;
	}
	return true;
}

static bool caps_fit(const struct mv_quick_vm *v, const struct mv_quick_host *h)
{
	uint64_t lost, gained;

	if (!v->asks_caps)
		return true;
	mv_arch_caps_compare(v->caps, v->caps_named, h->caps, &lost, &gained);
	return !lost && !gained;
}

enum mv_quick_answer mv_quick_verdict(const struct mv_quick_vm *v, const struct mv_quick_host *h)
{
	if (v->unsure || h->unsure)
		return MV_QUICK_UNSURE;
	return !memcmp(v->vendor, h->vendor, sizeof(v->vendor)) && words_fit(v, h) &&
			       numbers_fit(v, h) && components_fit(v, h) &&
			       mv_tsc_fits(v->tsc_khz, h->tsc_khz, h->tsc_scaling) &&
			       caps_fit(v, h) && !(v->kvm_controls & ~h->kvm_controls) &&
			       (h->answers_any || (h->answers_patch && v->can_patch))
		       ? MV_QUICK_ACCEPT
		       : MV_QUICK_REFUSE;
}
