/* SPDX-License-Identifier: MIT */
#include "apply.h"

#include <string.h>

#include "xstate.h"

#define LINEAR_BITS_4_LEVELS 48

/* What an error about a full table says: the host offers more leaves than KVM itself can take. */
static int full(struct mv_err *err)
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

static struct mv_mask_reg *effective_reg(struct mv_policy *p, uint32_t leaf, uint32_t subleaf,
					 unsigned reg)
{
	for (uint32_t i = 0; i < p->effective.nregs; i++) {
		struct mv_mask_reg *r = &p->effective.regs[i];

		if (r->leaf == leaf && r->subleaf == subleaf && r->reg == reg)
			return r;
	}
	return NULL;
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

/* ---- what follows from the visible bits ---- */

/* The bits of a register that describe a feature which the guest does not see. */
static uint32_t of_hidden_features(const struct mv_policy *p, const struct mv_mask_reg *r)
{
	enum mv_feature_id leaf = mv_leaf_owner(r->leaf);
	uint32_t bits = 0;

	if (leaf < MV_NFEATURES)
		return mv_table_has(&p->guest, leaf) ? 0 : UINT32_MAX;
	for (unsigned i = 0; i < mv_nowned_fields; i++) {
		const struct mv_field *f = &mv_fields[mv_owned_fields[i].field];

		if (f->leaf == r->leaf && f->subleaf == r->subleaf && f->reg == r->reg &&
		    !mv_table_has(&p->guest, (enum mv_feature_id)mv_owned_fields[i].feature))
			bits |= UINT32_MAX >> (31 - f->hi + f->lo) << f->lo;
	}
	return bits;
}

/*
 * Numbers go with what they describe: the AMX palette with AMX, AVX10's version with AVX10, addresses wider
 * than 4-level paging's with LA57. What the mask insists on stays.
 */
static void hide_numbers(struct mv_policy *p)
{
	const struct mv_field *linear = &mv_fields[MV_FIELD_LINEAR_BITS];
	enum mv_sym width = mv_mask_sym(&p->effective, linear->leaf, linear->subleaf, linear->reg, linear->lo);

	for (uint32_t i = 0; i < p->effective.nregs; i++) {
		struct mv_mask_reg *r = &p->effective.regs[i];
		uint32_t open = mv_mask_reg_with(r, MV_SYM_X) | mv_mask_reg_with(r, MV_SYM_H);
		uint32_t gone = open ? open & of_hidden_features(p, r) : 0;
		struct mv_leaf *e = gone ? mv_table_get(&p->guest, r->leaf, r->subleaf) : NULL;

		if (e)
			e->reg[r->reg] &= ~gone;
		for (unsigned bit = 0; gone >> bit; bit++) {
			if (gone >> bit & 1)
				mv_mask_reg_set(r, bit, MV_SYM_0, r->at[bit]);
			if (bit == 31)
				break;
		}
	}
	/* Without 5-level paging addresses have no more bits, as many as the CPU may have. */
	if ((width == MV_SYM_X || width == MV_SYM_H) && !mv_table_has(&p->guest, MV_F_LA57) &&
	    mv_table_field(&p->guest, MV_FIELD_LINEAR_BITS) > LINEAR_BITS_4_LEVELS)
		mv_table_set_field(&p->guest, MV_FIELD_LINEAR_BITS, LINEAR_BITS_4_LEVELS);
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

/* Of leaf 0xD only what the mask insists on remains: closure cleared the rest that has a name. */
static void without_xsave(struct mv_policy *p)
{
	for (uint32_t s = 0; s < 2; s++) {
		struct mv_leaf *e = mv_table_get(&p->guest, 0xd, s);

		for (unsigned reg = 0; e && reg < MV_NREGS; reg++)
			for (unsigned bit = 0; bit < 32; bit++) {
				enum mv_sym sym = mv_mask_sym(&p->effective, 0xd, s, reg, bit);

				if (sym != MV_SYM_T && sym != MV_SYM_1)
					e->reg[reg] &= ~(UINT32_C(1) << bit);
			}
	}
}

/* Leaf 0xD from the components left visible; offsets are the host's. */
static int xsave_leaves(struct mv_policy *p, const struct mv_table *offer, struct mv_err *err)
{
	uint64_t xcr0 = mv_xstate_xcr0(&p->guest), xss = mv_xstate_xss(&p->guest);
	struct mv_leaf *d0, *d1;

	for (uint32_t i = 0; i < p->guest.n; i++)
		if (p->guest.e[i].leaf == 0xd && p->guest.e[i].subleaf >= 2)
			memset(p->guest.e[i].reg, 0, sizeof(p->guest.e[i].reg));
	if (!mv_table_has(&p->guest, MV_F_XSAVE)) {
		without_xsave(p);
		return 0;
	}
	for (uint32_t n = 2; n < 63; n++) {
		const struct mv_leaf *o = mv_table_find(offer, 0xd, n);
		struct mv_leaf *e;

		if (!o || !((xcr0 | xss) >> n & 1))
			continue;
		e = mv_table_add(&p->guest, 0xd, n);
		if (!e)
			return full(err);
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

static uint32_t highest_leaf(const struct mv_table *t, uint32_t first, uint32_t last)
{
	uint32_t top = first;

	for (uint32_t i = 0; i < t->n; i++)
		if (t->e[i].leaf > top && t->e[i].leaf <= last)
			top = t->e[i].leaf;
	return top;
}

/* Does the mask leave any bit of the leaf visible? */
static bool shown(const struct mv_mask *m, uint32_t leaf)
{
	for (uint32_t i = 0; i < m->nregs; i++)
		for (unsigned bit = 0; m->regs[i].leaf == leaf && bit < 32; bit++)
			switch (mv_mask_reg_sym(&m->regs[i], bit)) {
			case MV_SYM_X:
			case MV_SYM_T:
			case MV_SYM_1:
			case MV_SYM_H:
				return true;
			default:
				break;
			}
	return false;
}

/*
 * The leaves that mv_table_set_topology fills in: here, whether the guest has them. Leaf 0xB only where
 * something else needs as high a leaf, for it must not keep the VM from an older host; 0x1F and
 * 0x80000026 never, they would tell the same of threads and cores. 0x8000001E comes with TOPOEXT.
 */
static int topology_leaves(struct mv_policy *p, struct mv_err *err)
{
	struct mv_table *g = &p->guest;

	for (uint32_t i = 0; i < g->n; i++)
		switch (g->e[i].leaf) {
		case 0xb:
		case 0x1f:
		case 0x8000001e:
		case 0x80000026:
			memset(g->e[i].reg, 0, sizeof(g->e[i].reg));
			break;
		default:
			break;
		}
	drop_zero_entries(g);
	if (highest_leaf(g, 0, 0x3fffffff) > 0xb && shown(&p->final, 0xb) &&
	    (!mv_table_add(g, 0xb, 0) || !mv_table_add(g, 0xb, 1)))
		return full(err);
	if (mv_table_has(g, MV_F_TOPOEXT) && !mv_table_add(g, 0x8000001e, 0))
		return full(err);
	return 0;
}

/*
 * A maximum of the guest's that no mask line fixes: the last visible leaf, but not above what the
 * host claims.
 */
static int limit(struct mv_policy *p, const struct mv_table *offer, enum mv_field_id id,
		 uint32_t top, struct mv_err *err)
{
	const struct mv_field *f = &mv_fields[id];

	if (mv_mask_find_field(&p->final, id))
		return 0;
	if (mv_table_find(offer, f->leaf, f->subleaf) && top > mv_table_field(offer, id))
		top = mv_table_field(offer, id);
	return mv_table_set_field(&p->guest, id, top) ? full(err) : 0;
}

/* No leaf above the last visible one: a smaller claim has more hosts to go to. */
static int max_leaves(struct mv_policy *p, const struct mv_table *offer, struct mv_err *err)
{
	const struct mv_table *g = &p->guest;
	uint32_t top = highest_leaf(g, 0x80000000, 0x8fffffff), sub = 0;
	int rc;

	for (uint32_t i = 0; i < g->n; i++)
		if (g->e[i].leaf == 7 && g->e[i].subleaf > sub)
			sub = g->e[i].subleaf;
	rc = limit(p, offer, MV_FIELD_MAX_SUBLEAF_7, sub, err);
	if (rc == 0)
		rc = limit(p, offer, MV_FIELD_MAX_LEAF, highest_leaf(g, 0, 0x3fffffff), err);
	if (rc == 0 && (top > 0x80000000 || mv_table_find(g, 0x80000000, 0)))
		rc = limit(p, offer, MV_FIELD_MAX_EXT_LEAF, top, err);
	return rc;
}

/* The numbers of `field` lines; the bits they set are no longer anyone's to compare. */
static int fixed_fields(struct mv_policy *p, struct mv_err *err)
{
	for (uint32_t i = 0; i < p->final.nfields; i++) {
		const struct mv_mask_field *line = &p->final.fields[i];
		const struct mv_field *f = &mv_fields[line->id];
		struct mv_mask_reg *r = effective_reg(p, f->leaf, f->subleaf, f->reg);

		if (mv_table_set_field(&p->guest, (enum mv_field_id)line->id, line->value))
			return full(err);
		for (unsigned bit = f->lo; r && bit <= f->hi; bit++)
			mv_mask_reg_set(r, bit,
					line->value >> (bit - f->lo) & 1 ? MV_SYM_1 : MV_SYM_0,
					line->at);
	}
	return 0;
}

/*
 * KVM answers from any entry that is there, whatever the maxima say, and so would a guest see what a
 * number line cut off: such entries go. What answers beyond a maximum then is told by
 * mv_table_answer. Hypervisor leaves have their maximum in 0x40000000.
 */
static void drop_out_of_range(struct mv_table *t)
{
	uint32_t basic = mv_table_field(t, MV_FIELD_MAX_LEAF), n = 0;
	uint32_t ext = mv_table_field(t, MV_FIELD_MAX_EXT_LEAF);
	uint32_t hyp = mv_table_reg(t, 0x40000000, 0, MV_EAX);
	uint32_t sub = mv_table_field(t, MV_FIELD_MAX_SUBLEAF_7);

	for (uint32_t i = 0; i < t->n; i++) {
		const struct mv_leaf *e = &t->e[i];
		uint32_t max = e->leaf < 0x40000000   ? basic
			       : e->leaf < 0x80000000 ? hyp
						      : ext;

		if (e->leaf <= max && (e->leaf != 7 || e->subleaf <= sub))
			t->e[n++] = *e;
	}
	t->n = n;
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
			return full(err);
		e->reg[r->reg] = value;
	}
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_features[i].cls == MV_FC_DYNAMIC)
			mv_table_set_feature(&p->guest, (enum mv_feature_id)i, false);
	msr_notes(p, notes);
	closure(p, &offer, notes);
	hide_numbers(p);
	mirror_bits(&p->guest);
	rc = xsave_leaves(p, &offer, err);
	if (rc == 0)
		rc = fixed_fields(p, err);
	if (rc == 0)
		rc = topology_leaves(p, err);
	if (rc == 0)
		rc = max_leaves(p, &offer, err);
	if (rc)
		return rc;
	drop_out_of_range(&p->guest);
	order(&p->guest);
	mv_table_set_topology(&p->guest, &(struct mv_topology){ 1, ncpus, 1 });
	offer = p->guest;
	mv_table_for_cpu(&p->guest, &offer, 0);
	return 0;
}
