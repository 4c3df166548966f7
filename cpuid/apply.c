/* SPDX-License-Identifier: MIT */
#include "apply.h"

#include <string.h>

#include "xstate.h"

static void note(struct mv_notes *notes, enum mv_note_kind kind, const struct mv_mask *final,
		 uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit,
		 const struct mv_feature *cause)
{
	struct mv_note *n;

	if (kind == MV_NOTE_T_MISSING || kind == MV_NOTE_F_PRESENT || kind == MV_NOTE_T_ORPHAN)
		notes->refusals++;
	if (notes->n == MV_NOTES)
		return;
	n = &notes->note[notes->n++];
	*n = (struct mv_note){
		.kind = kind,
		.leaf = leaf,
		.subleaf = subleaf,
		.reg = (uint8_t)reg,
		.bit = (uint8_t)bit,
		.sym = mv_mask_sym(final, leaf, subleaf, reg, bit),
		.at = mv_mask_at(final, leaf, subleaf, reg, bit),
		.cause = cause,
	};
	if (cause) {
		enum mv_sym s = mv_mask_sym(final, cause->leaf, cause->subleaf, cause->reg,
					    cause->bit);

		/* A host value that is 0 was not cleared by a line. */
		if (s != MV_SYM_H && s != MV_SYM_X)
			n->cause_at = mv_mask_at(final, cause->leaf, cause->subleaf, cause->reg,
						 cause->bit);
	}
}

/* The register's value by its symbols; notes what power-on has to know. */
static uint32_t apply_register(const struct mv_policy *p, const struct mv_mask_reg *r,
			       uint32_t offer, struct mv_notes *notes)
{
	uint32_t value = 0;

	for (unsigned bit = 0; bit < 32; bit++) {
		bool has = offer >> bit & 1, set = false;
		enum mv_note_kind kind = MV_NOTE_FORCED;
		bool say = false;

		switch (mv_mask_reg_sym(r, bit)) {
		case MV_SYM_X:
		case MV_SYM_H:
			set = has;
			break;
		case MV_SYM_T:
			set = true;
			say = !has;
			kind = MV_NOTE_T_MISSING;
			break;
		case MV_SYM_F:
			say = mv_host_executes(&p->source, r->leaf, r->subleaf, r->reg, bit);
			kind = MV_NOTE_F_PRESENT;
			break;
		case MV_SYM_1:
			set = true;
			say = !has;
			break;
		case MV_SYM_0:
		case MV_SYM_R:
		case MV_SYM_INHERIT:
			break;
		}
		if (say)
			note(notes, kind, &p->final, r->leaf, r->subleaf, r->reg, bit, NULL);
		value |= (uint32_t)set << bit;
	}
	return value;
}

static struct mv_mask_reg *effective_reg(struct mv_policy *p, const struct mv_feature *f)
{
	for (uint32_t i = 0; i < p->effective.nregs; i++) {
		struct mv_mask_reg *r = &p->effective.regs[i];

		if (r->leaf == f->leaf && r->subleaf == f->subleaf && r->reg == f->reg)
			return r;
	}
	return NULL;
}

static enum mv_sym effective_sym(const struct mv_policy *p, const struct mv_feature *f)
{
	return mv_mask_sym(&p->effective, f->leaf, f->subleaf, f->reg, f->bit);
}

/*
 * A visible feature whose prerequisite is not: cleared where the symbol leaves the value to the
 * host. Returns whether it was cleared.
 */
static bool close_over(struct mv_policy *p, const struct mv_feature *f,
		       const struct mv_feature *parent, struct mv_notes *notes)
{
	enum mv_sym s = effective_sym(p, f);
	struct mv_mask_reg *r;

	if (s == MV_SYM_T || s == MV_SYM_1)
		return false;
	mv_table_set_feature(&p->guest, mv_feature_id(f), false);
	r = effective_reg(p, f);
	if (r)
		mv_mask_reg_set(r, f->bit,
				effective_sym(p, parent) == MV_SYM_R ? MV_SYM_R : MV_SYM_0,
				r->at[f->bit]);
	note(notes, MV_NOTE_CLOSURE, &p->final, f->leaf, f->subleaf, f->reg, f->bit, parent);
	return true;
}

/* The first prerequisite of f that the guest does not see; NULL if it sees all. */
static const struct mv_feature *missing_parent(const struct mv_policy *p, enum mv_feature_id id)
{
	enum mv_feature_id parents[16];
	size_t n = mv_feature_parents(id, parents, 16);
	bool component = false, used = false;

	for (size_t i = 0; i < n && i < 16; i++)
		if (!mv_table_has(&p->guest, parents[i]))
			return &mv_features[parents[i]];
	for (unsigned i = 0; i < mv_nxstate_users; i++) {
		const struct mv_xstate_user *x = &mv_xstate_users[i];

		/* A feature without its state component could not be used … */
		if (x->user == id && !mv_table_has(&p->guest, (enum mv_feature_id)x->component))
			return &mv_features[x->component];
		/* … and a component that no visible feature uses would only leak. */
		if (x->component == id) {
			component = true;
			used |= mv_table_has(&p->guest, (enum mv_feature_id)x->user);
			if (!used)
				n = i;
		}
	}
	return component && !used ? &mv_features[mv_xstate_users[n].user] : NULL;
}

static void closure(struct mv_policy *p, struct mv_notes *notes)
{
	bool changed;

	do {
		changed = false;
		for (unsigned i = 0; i < MV_NFEATURES; i++) {
			enum mv_feature_id id = (enum mv_feature_id)i;
			const struct mv_feature *parent;

			if (!mv_table_has(&p->guest, id))
				continue;
			parent = missing_parent(p, id);
			if (parent)
				changed |= close_over(p, &mv_features[id], parent, notes);
		}
	} while (changed);

	/* What stayed although a prerequisite is missing: T refuses, 1 is the user's own word. */
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i], *parent;

		if (!mv_table_has(&p->guest, (enum mv_feature_id)i))
			continue;
		parent = missing_parent(p, (enum mv_feature_id)i);
		if (parent)
			note(notes,
			     effective_sym(p, f) == MV_SYM_T ? MV_NOTE_T_ORPHAN : MV_NOTE_ORPHAN,
			     &p->final, f->leaf, f->subleaf, f->reg, f->bit, parent);
	}
}

/* AMD repeats much of leaf 1 EDX in 0x80000001 EDX; the two must tell the same story. */
static void mirror_bits(struct mv_table *guest)
{
	enum mv_vendor v = mv_table_vendor(guest);
	uint32_t edx = mv_table_reg(guest, 1, 0, MV_EDX);

	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];

		if (f->cls == MV_FC_MIRROR && mv_table_find(guest, f->leaf, f->subleaf))
			mv_table_set_feature(guest, (enum mv_feature_id)i,
					     (v == MV_VENDOR_AMD || v == MV_VENDOR_HYGON) &&
						     (edx >> f->bit & 1));
	}
}

/* Leaf 0xD from the components left visible; offsets are the host's. */
static int xsave_leaves(struct mv_policy *p, const struct mv_table *offer, struct mv_err *err)
{
	uint64_t xcr0 = mv_xstate_xcr0(&p->guest), xss = mv_xstate_xss(&p->guest);
	struct mv_leaf *d0, *d1;

	for (uint32_t i = 0; i < p->guest.n; i++) {
		struct mv_leaf *e = &p->guest.e[i];

		if (e->leaf == 0xd && (e->subleaf >= 2 || !mv_table_has(&p->guest, MV_F_XSAVE)))
			memset(e->reg, 0, sizeof(e->reg));
	}
	if (!mv_table_has(&p->guest, MV_F_XSAVE))
		return 0;
	for (uint32_t n = 2; n < 63; n++) {
		const struct mv_leaf *o = mv_table_find(offer, 0xd, n);
		struct mv_leaf *e;

		if (!o || !((xcr0 | xss) >> n & 1))
			continue;
		e = mv_table_add(&p->guest, 0xd, n);
		if (!e)
			return mv_err_set(err, MV_E_INPUT, "the guest table has more than %d entries",
					  MV_TABLE_MAX);
		*e = *o;
	}
	d0 = mv_table_get(&p->guest, 0xd, 0);
	d1 = mv_table_get(&p->guest, 0xd, 1);
	if (d0) {
		d0->reg[MV_EBX] = MV_XSAVE_LEGACY_SIZE;	/* XCR0 after reset: x87 */
		d0->reg[MV_ECX] = mv_xstate_standard_size(&p->guest, xcr0);
	}
	if (d1)
		d1->reg[MV_EBX] = 0;
	return 0;
}

static uint32_t highest_leaf(const struct mv_table *t, uint32_t first, uint32_t last)
{
	uint32_t top = first;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct mv_leaf *e = &t->e[i];

		if (e->leaf > top && e->leaf <= last &&
		    (e->reg[0] | e->reg[1] | e->reg[2] | e->reg[3]))
			top = e->leaf;
	}
	return top;
}

/* No leaf above the last visible one: a smaller claim has more hosts to go to. */
static void max_leaves(struct mv_policy *p)
{
	struct mv_table *g = &p->guest;
	uint32_t sub = 0;

	for (uint32_t i = 0; i < g->n; i++)
		if (g->e[i].leaf == 7 && g->e[i].subleaf > sub &&
		    (g->e[i].reg[0] | g->e[i].reg[1] | g->e[i].reg[2] | g->e[i].reg[3]))
			sub = g->e[i].subleaf;
	if (mv_table_find(g, 7, 0))
		mv_table_set_field(g, MV_FIELD_MAX_SUBLEAF_7, sub);
	mv_table_set_field(g, MV_FIELD_MAX_LEAF, highest_leaf(g, 0, 0x3fffffff));
	if (mv_table_find(g, 0x80000000, 0))
		mv_table_set_field(g, MV_FIELD_MAX_EXT_LEAF,
				   highest_leaf(g, 0x80000000, 0x8fffffff));
}

/* KVM looks entries up from the front: what software asks for all the time goes there. */
static unsigned heat(const struct mv_leaf *e)
{
	static const uint32_t hot[] = { 1, 7, 0xd, 0, 0x80000001, 0x80000008, 0x80000000,
					0x40000000, 0x40000001 };

	for (unsigned i = 0; i < sizeof(hot) / sizeof(hot[0]); i++)
		if (e->leaf == hot[i] && e->subleaf < 2)
			return i;
	return sizeof(hot) / sizeof(hot[0]);
}

static void order(struct mv_table *t)
{
	mv_table_sort(t);
	for (uint32_t i = 1; i < t->n; i++) {
		struct mv_leaf e = t->e[i];
		uint32_t j = i;

		for (; j > 0 && heat(&e) < heat(&t->e[j - 1]); j--)
			t->e[j] = t->e[j - 1];
		t->e[j] = e;
	}
}

static void drop_zero_entries(struct mv_table *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct mv_leaf *e = &t->e[i];

		if (e->reg[0] | e->reg[1] | e->reg[2] | e->reg[3])
			t->e[n++] = *e;
	}
	t->n = n;
}

int mv_apply(struct mv_policy *p, unsigned ncpus, struct mv_notes *notes, struct mv_err *err)
{
	struct mv_table offer;
	int rc;

	mv_host_offer(&p->source, &offer);
	p->effective = p->final;
	p->guest.n = 0;
	notes->n = notes->refusals = 0;
	for (uint32_t i = 0; i < p->final.nregs; i++) {
		const struct mv_mask_reg *r = &p->final.regs[i];
		uint32_t value = apply_register(
			p, r, mv_table_reg(&offer, r->leaf, r->subleaf, r->reg), notes);
		struct mv_leaf *e;

		if (!value)
			continue;
		e = mv_table_add(&p->guest, r->leaf, r->subleaf);
		if (!e)
			return mv_err_set(err, MV_E_INPUT, "the guest table has more than %d entries",
					  MV_TABLE_MAX);
		e->reg[r->reg] = value;
	}
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_features[i].cls == MV_FC_DYNAMIC)
			mv_table_set_feature(&p->guest, (enum mv_feature_id)i, false);
	closure(p, notes);
	mirror_bits(&p->guest);
	rc = xsave_leaves(p, &offer, err);
	if (rc)
		return rc;
	drop_zero_entries(&p->guest);
	max_leaves(p);
	for (uint32_t i = 0; i < p->final.nfields; i++)
		if (mv_table_set_field(&p->guest, (enum mv_field_id)p->final.fields[i].id,
				       p->final.fields[i].value))
			return mv_err_set(err, MV_E_INPUT, "the guest table has more than %d entries",
					  MV_TABLE_MAX);
	order(&p->guest);
	offer = p->guest;
	mv_table_for_cpu(&p->guest, &offer, 0, ncpus);
	return 0;
}
