/* SPDX-License-Identifier: MIT */
#include "apply.h"

#include <string.h>

#include "apply_impl.h"
#include "xstate.h"

int mv_apply_full(struct mv_err *err)
{
	return mv_err_set(err, MV_E_INPUT, "the guest table has more than %d entries", MV_TABLE_MAX);
}

/* Masks and the bit table go through registers in order: most are in the leaf of the one before. */
struct leaf_cache {
	const struct mv_table *t;
	bool any;
	uint32_t leaf, subleaf;
	const struct mv_leaf *e;
};

static uint32_t cached_reg(struct leaf_cache *c, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	if (!c->any || c->leaf != leaf || c->subleaf != subleaf) {
		c->any = true;
		c->leaf = leaf;
		c->subleaf = subleaf;
		c->e = mv_table_find(c->t, leaf, subleaf);
	}
	return c->e ? c->e->reg[reg] : 0;
}

static void add_note(struct mv_notes *notes, struct mv_note n)
{
	if (n.kind == MV_NOTE_T_MISSING || n.kind == MV_NOTE_F_PRESENT || n.kind == MV_NOTE_T_ORPHAN)
		notes->refusals++;
	if (notes->n < MV_NOTES)
		notes->note[notes->n++] = n;
}

static void note(struct mv_notes *notes, enum mv_note_kind kind, const struct mv_mask *final,
		 uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit,
		 const struct mv_feature *cause, mv_at cause_at)
{
	add_note(notes, (struct mv_note){
		.kind = kind,
		.leaf = leaf,
		.subleaf = subleaf,
		.reg = (uint8_t)reg,
		.bit = (uint8_t)bit,
		.sym = mv_mask_sym(final, leaf, subleaf, reg, bit),
		.at = mv_mask_at(final, leaf, subleaf, reg, bit),
		.cause = cause,
		.cause_at = cause_at,
	});
}

/* What `msr` lines ask of this host; an MSR that it lacks counts as 0. */
static void msr_notes(const struct mv_policy *p, struct mv_notes *notes)
{
	static const struct {
		enum mv_sym sym;
		enum mv_note_kind kind;
		bool if_set;
	} asks[] = {
		{ MV_SYM_T, MV_NOTE_T_MISSING, false },
		{ MV_SYM_F, MV_NOTE_F_PRESENT, true },
		{ MV_SYM_1, MV_NOTE_FORCED, false },
	};

	for (uint32_t i = 0; i < p->final.nmsrs; i++) {
		const struct mv_mask_msr *line = &p->final.msrs[i];
		uint64_t value = 0;

		mv_host_msr(&p->source, line->index, &value);
		for (size_t k = 0; k < sizeof(asks) / sizeof(asks[0]); k++)
			for (unsigned bit = 0; bit < 64; bit++)
				if (mv_mask_msr_with(line, asks[k].sym) >> bit & 1 &&
				    (value >> bit & 1) == asks[k].if_set)
					add_note(notes, (struct mv_note){
						.kind = asks[k].kind, .msr = line->index,
						.bit = (uint8_t)bit, .sym = asks[k].sym,
						.at = line->at });
	}
}

/* Does the bit tell something about the host? The VMM's own bits need no permission. */
static bool checked(const struct mv_mask_reg *r, unsigned bit)
{
	const struct mv_feature *f = mv_feature_at(r->leaf, r->subleaf, r->reg, bit);

	return !f || !mv_feature_computed(f);
}

/* The register's value by its symbols; notes what power-on has to know. */
static uint32_t apply_register(const struct mv_policy *p, const struct mv_mask_reg *r,
			       uint32_t offer, struct mv_notes *notes)
{
	uint32_t t = mv_mask_reg_with(r, MV_SYM_T), one = mv_mask_reg_with(r, MV_SYM_1);
	uint32_t f = mv_mask_reg_with(r, MV_SYM_F);
	uint32_t host = mv_mask_reg_with(r, MV_SYM_X) | mv_mask_reg_with(r, MV_SYM_H);
	uint32_t look = ((t | one) & ~offer) | f;

	for (unsigned bit = 0; look >> bit; bit++) {
		enum mv_note_kind kind = t >> bit & 1	  ? MV_NOTE_T_MISSING
					 : one >> bit & 1 ? MV_NOTE_FORCED
							  : MV_NOTE_F_PRESENT;

		if (look >> bit & 1 && checked(r, bit) &&
		    (kind != MV_NOTE_F_PRESENT ||
		     mv_host_executes(&p->source, r->leaf, r->subleaf, r->reg, bit)))
			note(notes, kind, &p->final, r->leaf, r->subleaf, r->reg, bit, NULL, 0);
		if (bit == 31)
			break;
	}
	return (offer & host) | t | one;
}

/* ---- dependency closure ---- */

struct closure {
	struct mv_policy *p;
	const struct mv_table *offer;
	struct mv_notes *notes;
	struct mv_featset visible;
	struct mv_featset told;		/* orphans that were noted */
	struct mv_featset closed;	/* cleared here … */
	mv_at line[MV_NFEATURES];	/* … in the end because of this line */
	struct mv_mask_reg *reg[MV_NFEATURES];	/* of the effective mask; NULL = not named */
};

static enum mv_sym sym_of(const struct closure *c, enum mv_feature_id id)
{
	return c->reg[id] ? mv_mask_reg_sym(c->reg[id], mv_features[id].bit) : MV_SYM_INHERIT;
}

/* Hidden on purpose, not for lack of it. */
static bool masked(enum mv_sym s)
{
	return s == MV_SYM_0 || s == MV_SYM_R || s == MV_SYM_F;
}

static void set_hidden(struct closure *c, enum mv_feature_id id, enum mv_feature_id because)
{
	struct mv_mask_reg *r = c->reg[id];
	unsigned bit = mv_features[id].bit;

	if (r)
		mv_mask_reg_set(r, bit, sym_of(c, because) == MV_SYM_R ? MV_SYM_R : MV_SYM_0,
				r->at[bit]);
}

/* The line that hides a feature; 0 where a host value is 0. */
static mv_at hidden_by(const struct closure *c, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];
	enum mv_sym s;

	if (mv_featset_has(&c->closed, id))
		return c->line[id];
	s = mv_mask_sym(&c->p->final, f->leaf, f->subleaf, f->reg, f->bit);
	if (s == MV_SYM_H || s == MV_SYM_X)
		return 0;
	return mv_mask_at(&c->p->final, f->leaf, f->subleaf, f->reg, f->bit);
}

/*
 * A visible feature without what it needs is cleared if its symbol leaves the value to the host.
 * T and 1 stay: that is told once, when nothing changes any more. Returns whether anything changed.
 */
static bool orphan(struct closure *c, enum mv_feature_id id, enum mv_feature_id needed, bool tell)
{
	const struct mv_feature *f = &mv_features[id], *parent = &mv_features[needed];
	enum mv_sym s = sym_of(c, id);

	/* AMD's copies follow leaf 1 by another rule. */
	if (f->cls == MV_FC_MIRROR)
		return false;
	if (!mv_featset_has(&c->visible, id)) {
		/* The host lacks it, too: whether others have it is nothing to this guest. */
		if ((s != MV_SYM_H && s != MV_SYM_X) || !masked(sym_of(c, needed)) ||
		    !hidden_by(c, needed))
			return false;
		c->line[id] = hidden_by(c, needed);
		mv_featset_add(&c->closed, id);
		set_hidden(c, id, needed);
		return true;
	}
	if (s == MV_SYM_T || s == MV_SYM_1) {
		/* A T that the host lacks was told of already. */
		if (tell && !mv_featset_has(&c->told, id) &&
		    (s == MV_SYM_1 || mv_table_has(c->offer, id))) {
			mv_featset_add(&c->told, id);
			note(c->notes, s == MV_SYM_T ? MV_NOTE_T_ORPHAN : MV_NOTE_ORPHAN,
			     &c->p->final, f->leaf, f->subleaf, f->reg, f->bit, parent,
			     hidden_by(c, needed));
		}
		return false;
	}
	c->visible.w[id / 64] &= ~(UINT64_C(1) << (id % 64));
	mv_featset_add(&c->closed, id);
	c->line[id] = hidden_by(c, needed);
	mv_table_set_feature(&c->p->guest, id, false);
	set_hidden(c, id, needed);
	note(c->notes, MV_NOTE_CLOSURE, &c->p->final, f->leaf, f->subleaf, f->reg, f->bit, parent,
	     c->line[id]);
	return true;
}

/* Every dependency once. Returns whether a feature was cleared. */
static bool close_once(struct closure *c, bool tell)
{
	bool changed = false;

	for (unsigned i = 0; i < mv_ndeps; i++)
		if (!mv_featset_has(&c->visible, (enum mv_feature_id)mv_deps[i].parent))
			changed |= orphan(c, (enum mv_feature_id)mv_deps[i].child,
					  (enum mv_feature_id)mv_deps[i].parent, tell);
	for (unsigned i = 0; i < mv_nxstate_users; i++) {
		enum mv_feature_id component = (enum mv_feature_id)mv_xstate_users[i].component;
		enum mv_feature_id user = (enum mv_feature_id)mv_xstate_users[i].user;

		/* A feature without its component could not be used; a component without would leak. */
		if (!mv_featset_has(&c->visible, component))
			changed |= orphan(c, user, component, tell);
		if (!mv_featset_has(&c->visible, user))
			changed |= orphan(c, component, user, tell);
	}
	return changed;
}

/* Both the bit table and a merged mask are in order of leaf, subleaf and register. */
static void find_registers(struct closure *c)
{
	struct mv_mask *m = &c->p->effective;
	uint32_t r = 0;

	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];
		const struct mv_mask_reg key = { .leaf = f->leaf, .subleaf = f->subleaf,
						 .reg = f->reg };

		while (r < m->nregs && mv_mask_reg_before(&m->regs[r], &key))
			r++;
		if (r < m->nregs && !mv_mask_reg_before(&key, &m->regs[r]))
			c->reg[i] = &m->regs[r];
	}
}

static void closure(struct mv_policy *p, const struct mv_table *offer, struct mv_notes *notes)
{
	struct closure c = { .p = p, .offer = offer, .notes = notes };
	struct leaf_cache guest = { .t = &p->guest };

	find_registers(&c);
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];

		if (cached_reg(&guest, f->leaf, f->subleaf, f->reg) >> f->bit & 1)
			mv_featset_add(&c.visible, (enum mv_feature_id)i);
	}
	while (close_once(&c, false))
		;
	close_once(&c, true);
}

int mv_apply(struct mv_policy *p, unsigned ncpus, struct mv_notes *notes, struct mv_err *err)
{
	struct mv_table offer;
	struct leaf_cache offered = { .t = &offer };
	int rc;

	mv_host_offer(&p->source, &offer);
	/* The guest runs under a hypervisor, whatever the host's own CPU says of itself. */
	mv_table_set_feature(&offer, MV_F_HYPERVISOR, true);
	mv_mask_copy(&p->effective, &p->final);
	p->kvm_controls = p->source.kvm_controls;
	p->given = (struct mv_given){ 0 };
	p->guest.n = 0;
	notes->n = notes->refusals = 0;
	for (uint32_t i = 0; i < p->final.nregs; i++) {
		const struct mv_mask_reg *r = &p->final.regs[i];
		uint32_t value = apply_register(
			p, r, cached_reg(&offered, r->leaf, r->subleaf, r->reg), notes);
		struct mv_leaf *e;

		if (!value)
			continue;
		e = mv_table_add(&p->guest, r->leaf, r->subleaf);
		if (!e)
			return mv_apply_full(err);
		e->reg[r->reg] = value;
	}
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_features[i].cls == MV_FC_DYNAMIC)
			mv_table_set_feature(&p->guest, (enum mv_feature_id)i, false);
	msr_notes(p, notes);
	closure(p, &offer, notes);
	rc = mv_apply_derived(p, &offer, err);
	if (rc)
		return rc;
	mv_table_set_topology(&p->guest, &(struct mv_topology){ 1, ncpus, 1 });
	offer = p->guest;
	mv_table_for_cpu(&p->guest, &offer, 0);
	return 0;
}
