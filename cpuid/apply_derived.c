/* SPDX-License-Identifier: MIT */
/* What follows from the bits that a guest sees: numbers, copies, leaf 0xD, which leaves there are. */
#include <string.h>

#include "apply_impl.h"
#include "xstate.h"

#define LINEAR_BITS_4_LEVELS 48

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
		for (unsigned bit = 0; gone && bit < 32; bit++)
			if (gone >> bit & 1)
				mv_mask_reg_set(r, bit, MV_SYM_0, r->at[bit]);
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
					     mv_vendor_amd(v) && (edx >> f->bit & 1));
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
			return mv_apply_full(err);
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
		return mv_apply_full(err);
	if (mv_table_has(g, MV_F_TOPOEXT) && !mv_table_add(g, 0x8000001e, 0))
		return mv_apply_full(err);
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
	return mv_table_set_field(&p->guest, id, top) ? mv_apply_full(err) : 0;
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
			return mv_apply_full(err);
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

int mv_apply_derived(struct mv_policy *p, const struct mv_table *offer, struct mv_err *err)
{
	int rc;

	hide_numbers(p);
	mirror_bits(&p->guest);
	rc = xsave_leaves(p, offer, err);
	if (rc == 0)
		rc = fixed_fields(p, err);
	if (rc == 0)
		rc = topology_leaves(p, err);
	if (rc == 0)
		rc = max_leaves(p, offer, err);
	if (rc)
		return rc;
	drop_out_of_range(&p->guest);
	order(&p->guest);
	return 0;
}
