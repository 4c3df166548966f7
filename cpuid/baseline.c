/* SPDX-License-Identifier: MIT */
#include "baseline.h"

#include <string.h>

#include "xstate.h"

struct work {
	struct mv_baseline *b;
	const struct mv_mask *def;
	const struct mv_host *const *hosts;
	const struct mv_table *offers;
	uint32_t n;
	uint32_t max_leaf, max_ext, max_sub7;	/* the least of all hosts' */
	struct mv_featset all, any;		/* offered by all hosts, by any */
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- what hosts offer ---- */

/* Leaves beyond what a table claims as its maximum can't be asked for: not offered. */
static void cut_table(struct mv_table *t)
{
	uint32_t leaf = mv_table_field(t, MV_FIELD_MAX_LEAF), n = 0;
	uint32_t ext = mv_table_field(t, MV_FIELD_MAX_EXT_LEAF);
	uint32_t sub7 = mv_table_field(t, MV_FIELD_MAX_SUBLEAF_7);

	for (uint32_t i = 0; i < t->n; i++) {
		const struct mv_leaf *e = &t->e[i];

		if ((e->leaf < 0x40000000 && e->leaf > leaf) ||
		    (e->leaf >= 0x80000000 && e->leaf > ext) || (e->leaf == 7 && e->subleaf > sub7))
			continue;
		t->e[n++] = *e;
	}
	t->n = n;
}

static uint32_t least(const struct work *w, enum mv_field_id id)
{
	uint32_t min = UINT32_MAX;

	for (uint32_t i = 0; i < w->n; i++) {
		uint32_t v = mv_table_field(&w->offers[i], id);

		min = v < min ? v : min;
	}
	return min;
}

static void survey(struct work *w)
{
	for (unsigned f = 0; f < MV_NFEATURES; f++) {
		bool all = true, any = false;

		for (uint32_t i = 0; i < w->n; i++) {
			bool has = mv_table_has(&w->offers[i], (enum mv_feature_id)f);

			all &= has;
			any |= has;
		}
		if (all)
			mv_featset_add(&w->all, (enum mv_feature_id)f);
		if (any)
			mv_featset_add(&w->any, (enum mv_feature_id)f);
	}
	w->max_leaf = least(w, MV_FIELD_MAX_LEAF);
	w->max_ext = least(w, MV_FIELD_MAX_EXT_LEAF);
	w->max_sub7 = least(w, MV_FIELD_MAX_SUBLEAF_7);
}

static uint32_t without(const struct work *w, enum mv_feature_id id)
{
	for (uint32_t i = 0; i < w->n; i++)
		if (!mv_table_has(&w->offers[i], id))
			return i;
	return 0;
}

/* The first host whose number differs from host 0's; 0 if they agree. */
static uint32_t differing(const struct work *w, enum mv_field_id id)
{
	for (uint32_t i = 1; i < w->n; i++)
		if (mv_table_field(&w->offers[i], id) != mv_table_field(&w->offers[0], id))
			return i;
	return 0;
}

static void refuse_bit(struct work *w, enum mv_baseline_refusal_kind kind, uint32_t host,
		       const struct mv_mask_reg *r, unsigned bit)
{
	struct mv_baseline_refusal refusal = {
		.kind = kind, .a = host, .b = host, .leaf = r->leaf, .subleaf = r->subleaf,
		.reg = r->reg, .bit = (uint8_t)bit,
	};

	mv_baseline_refuse(w->b, refusal);
}

/* ---- which features stay ---- */

static enum mv_sym default_sym(const struct work *w, const struct mv_feature *f)
{
	return mv_mask_sym(w->def, f->leaf, f->subleaf, f->reg, f->bit);
}

/* No guest of all hosts can ask for the leaf: beyond the least maximum. */
static bool beyond(const struct work *w, uint32_t leaf, uint32_t subleaf)
{
	return (leaf < 0x40000000 && leaf > w->max_leaf) ||
	       (leaf >= 0x80000000 && leaf > w->max_ext) || (leaf == 7 && subleaf > w->max_sub7);
}

/* Nothing to execute: the bit only tells how the host works. */
static bool descriptive(const struct mv_feature *f)
{
	return (f->vmx == MV_FE_INFO || f->vmx == MV_FE_NA) &&
	       (f->svm == MV_FE_INFO || f->svm == MV_FE_NA);
}

static enum mv_baseline_why first_guess(const struct work *w, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];
	enum mv_sym s = default_sym(w, f);
	bool all = mv_featset_has(&w->all, id), any = mv_featset_has(&w->any, id);

	if (s == MV_SYM_0 || s == MV_SYM_R || s == MV_SYM_F || s == MV_SYM_INHERIT)
		return MV_BL_HIDDEN;
	if (mv_feature_computed(f))
		return MV_BL_DEFAULT;
	if (beyond(w, f->leaf, f->subleaf))
		return any ? MV_BL_LACKED : MV_BL_HIDDEN;
	if (s == MV_SYM_1)
		return MV_BL_SHOWN;
	if (f->cls == MV_FC_HAZARD || f->cls == MV_FC_INVERTED)
		return any ? MV_BL_SHOWN : MV_BL_HIDDEN;
	if (s == MV_SYM_X && descriptive(f))
		return MV_BL_DEFAULT;
	return all ? MV_BL_KEPT : any ? MV_BL_LACKED : MV_BL_HIDDEN;
}

static bool lose(struct work *w, enum mv_feature_id id, enum mv_baseline_why why, uint16_t cause,
		 uint32_t a, uint32_t b)
{
	struct mv_baseline_bit *bit = &w->b->bits[id];

	if (bit->why != MV_BL_KEPT)
		return false;
	*bit = (struct mv_baseline_bit){ .why = (uint8_t)why, .cause = cause, .a = a, .b = b };
	return true;
}

static bool visible(const struct work *w, enum mv_feature_id id)
{
	return mv_baseline_shows(w->b, id) ||
	       (w->b->bits[id].why == MV_BL_DEFAULT && mv_featset_has(&w->all, id));
}

static bool needs(struct work *w, uint16_t child, uint16_t parent)
{
	return !visible(w, (enum mv_feature_id)parent) &&
	       lose(w, (enum mv_feature_id)child, MV_BL_PARENT, parent, 0, 0);
}

/* mv_apply clears what lacks a prerequisite and refuses if it is T: it must not come to that. */
static void close_deps(struct work *w)
{
	bool changed;

	do {
		changed = false;
		for (unsigned i = 0; i < mv_ndeps; i++)
			changed |= needs(w, mv_deps[i].child, mv_deps[i].parent);
		for (unsigned i = 0; i < mv_nxstate_users; i++) {
			const struct mv_xstate_user *u = &mv_xstate_users[i];

			changed |= needs(w, u->user, u->component);
			changed |= needs(w, u->component, u->user);
		}
	} while (changed);
}

/* Components that the hosts keep in different places: a guest's XSAVE area would not fit both. */
static void layout(struct work *w)
{
	for (unsigned id = 0; id < MV_NFEATURES; id++) {
		const struct mv_feature *f = &mv_features[id];
		const struct mv_leaf *first, *e;
		uint32_t n = f->bit;

		/* XCR0 is EDX:EAX of sublevel 0, XSS is EDX:ECX of sublevel 1. */
		if (f->leaf != 0xd || (f->subleaf == 1 && f->reg == MV_EAX))
			continue;
		n += f->reg == MV_EDX ? 32 : 0;
		first = n < 2 ? NULL : mv_table_find(&w->offers[0], 0xd, n);
		for (uint32_t i = 1; n >= 2 && i < w->n; i++) {
			e = mv_table_find(&w->offers[i], 0xd, n);
			if (!first && !e)
				continue;
			if (first && e && first->reg[MV_EAX] == e->reg[MV_EAX] &&
			    first->reg[MV_EBX] == e->reg[MV_EBX] &&
			    first->reg[MV_ECX] == e->reg[MV_ECX])
				continue;
			lose(w, (enum mv_feature_id)id, MV_BL_LAYOUT, (uint16_t)n, 0, i);
		}
	}
}

/* Numbers that have to be equal: where they are not, what they describe goes. */
static void equal_fields(struct work *w)
{
	for (unsigned id = 0; id < MV_NFIELDS; id++) {
		enum mv_feature_id f = mv_field_owner((enum mv_field_id)id);
		uint32_t other;

		if (mv_fields[id].rule != MV_FR_EQUAL || f == MV_NFEATURES)
			continue;
		other = differing(w, (enum mv_field_id)id);
		if (other)
			lose(w, f, MV_BL_FIELD, (uint16_t)id, 0, other);
	}
	for (uint32_t i = 0; i < w->n && w->max_ext < 0x8000001e; i++)
		if (mv_table_field(&w->offers[i], MV_FIELD_MAX_EXT_LEAF) == w->max_ext)
			lose(w, MV_F_TOPOEXT, MV_BL_FIELD, MV_FIELD_MAX_EXT_LEAF, i, i);
}

/*
 * ARCH_CAPABILITIES promises what a CPU is immune to. Guests are given the host's own value, so
 * where the hosts' values differ the MSR is hidden: guests then assume the worst.
 */
static void arch_capabilities(struct work *w)
{
	uint64_t first = 0, other;

	mv_host_msr(w->hosts[0], MV_MSR_ARCH_CAPABILITIES, &first);
	for (uint32_t i = 1; i < w->n; i++) {
		other = 0;
		mv_host_msr(w->hosts[i], MV_MSR_ARCH_CAPABILITIES, &other);
		if (other != first)
			lose(w, MV_F_ARCH_CAPABILITIES, MV_BL_MSR, 0, 0, i);
	}
}

static void choose(struct work *w)
{
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		enum mv_feature_id id = (enum mv_feature_id)i;
		struct mv_baseline_bit *b = &w->b->bits[i];

		b->why = (uint8_t)first_guess(w, id);
		b->a = b->b = b->why == MV_BL_LACKED ? without(w, id) : 0;
	}
	layout(w);
	equal_fields(w);
	arch_capabilities(w);
	close_deps(w);
}

/* ---- the mask ---- */

static uint32_t lacking_bit(const struct work *w, const struct mv_mask_reg *r, unsigned bit)
{
	uint32_t i = 0;

	while (i < w->n && mv_table_bit(&w->offers[i], r->leaf, r->subleaf, r->reg, bit))
		i++;
	return i;
}

/* A bit that is no feature's: no host may differ in it. */
static enum mv_sym plain_symbol(struct work *w, const struct mv_mask_reg *r, unsigned bit,
				enum mv_sym s)
{
	uint32_t lacks;

	switch (s) {
	case MV_SYM_H:
		/* A state component without a name has a layout that nobody compares. */
		return r->leaf != 0xd && lacking_bit(w, r, bit) == w->n ? MV_SYM_T : MV_SYM_0;
	case MV_SYM_T:
		lacks = lacking_bit(w, r, bit);
		if (lacks < w->n)
			refuse_bit(w, MV_BR_REQUIRED, lacks, r, bit);
		return s;
	case MV_SYM_X:
	case MV_SYM_1:
		return s;
	default:
		return MV_SYM_0;
	}
}

static enum mv_sym feature_symbol(struct work *w, const struct mv_mask_reg *r, unsigned bit,
				  enum mv_feature_id id, enum mv_sym s)
{
	const struct mv_baseline_bit *b = &w->b->bits[id];

	if (s == MV_SYM_T && b->why != MV_BL_KEPT && b->why != MV_BL_SHOWN &&
	    b->why != MV_BL_DEFAULT)
		refuse_bit(w, MV_BR_REQUIRED, b->why == MV_BL_HIDDEN ? 0 : b->a, r, bit);
	switch (b->why) {
	case MV_BL_KEPT:
		return MV_SYM_T;
	case MV_BL_SHOWN:
		return MV_SYM_1;
	case MV_BL_DEFAULT:
		return s;
	default:
		return MV_SYM_0;
	}
}

/* F stays, where no host executes it: the guest's own demand. */
static enum mv_sym forbidden(struct work *w, const struct mv_mask_reg *r, unsigned bit)
{
	for (uint32_t i = 0; i < w->n; i++)
		if (mv_host_executes(w->hosts[i], r->leaf, r->subleaf, r->reg, bit)) {
			refuse_bit(w, MV_BR_FORBIDDEN, i, r, bit);
			break;
		}
	return MV_SYM_F;
}

/* Is there nothing to show in the leaf: beyond a host's maximum, or of a feature that is lost? */
static bool leaf_gone(const struct work *w, uint32_t leaf, uint32_t subleaf)
{
	enum mv_feature_id o = mv_leaf_owner(leaf);

	return beyond(w, leaf, subleaf) || (o < MV_NFEATURES && !visible(w, o));
}

/* A number of a feature that is lost. */
static bool meaningless(const struct work *w, const struct mv_field *f)
{
	enum mv_feature_id o = mv_field_owner((enum mv_field_id)(f - mv_fields));

	return o < MV_NFEATURES && !visible(w, o);
}

static int registers(struct work *w, struct mv_err *err)
{
	for (uint32_t i = 0; i < w->def->nregs; i++) {
		const struct mv_mask_reg *d = &w->def->regs[i];
		struct mv_mask_reg *r = mv_mask_add(&w->b->mask, d->leaf, d->subleaf, d->reg,
						    MV_VENDOR_OTHER);
		bool gone = leaf_gone(w, d->leaf, d->subleaf);

		if (!r)
			return mv_err_set(err, MV_E_INPUT, "the mask names more than %d registers",
					  MV_MASK_REGS);
		for (unsigned bit = 0; bit < 32; bit++) {
			const struct mv_feature *f = mv_feature_at(d->leaf, d->subleaf, d->reg,
								   bit);
			const struct mv_field *field = mv_field_at(d->leaf, d->subleaf, d->reg,
								   bit);
			enum mv_sym def = mv_mask_reg_sym(d, bit), s;

			if (def == MV_SYM_F)
				s = forbidden(w, d, bit);
			else if (f)
				s = feature_symbol(w, d, bit, mv_feature_id(f), def);
			else if (field && (def == MV_SYM_H || def == MV_SYM_X))
				s = meaningless(w, field) ? MV_SYM_0 : def;
			else
				s = plain_symbol(w, d, bit, def);
			mv_mask_reg_set(r, bit, gone && s != MV_SYM_F ? MV_SYM_0 : s, 0);
		}
	}
	return 0;
}

/* ---- numbers ---- */

static int fix(struct work *w, enum mv_field_id id, uint32_t value, struct mv_err *err)
{
	struct mv_mask *m = &w->b->mask;
	uint32_t i = 0;

	while (i < m->nfields && m->fields[i].id != id)
		i++;
	if (i == MV_MASK_FIELDS)
		return mv_err_set(err, MV_E_INPUT, "the mask sets more than %d fields",
				  MV_MASK_FIELDS);
	/* What the default mask fixes is a limit, too. */
	if (i < m->nfields && mv_fields[id].rule == MV_FR_ATMOST && m->fields[i].value < value)
		value = m->fields[i].value;
	m->fields[i] = (struct mv_mask_field){ .id = (uint16_t)id, .value = value };
	if (i == m->nfields)
		m->nfields++;
	return 0;
}

/* Is the field left to the host by the mask as it is now? */
static bool shown(const struct work *w, enum mv_field_id id)
{
	const struct mv_field *f = &mv_fields[id];
	enum mv_sym s = mv_mask_sym(&w->b->mask, f->leaf, f->subleaf, f->reg, f->lo);

	return s == MV_SYM_H || s == MV_SYM_X;
}

/* What some host's description does not tell can't be fixed for all of them. */
static bool all_tell(const struct work *w, enum mv_field_id id)
{
	for (uint32_t i = 0; i < w->n; i++)
		if (!mv_host_told_field(w->hosts[i], id))
			return false;
	return true;
}

/* Address sizes are told anyhow: a host that joins later may have more. */
static int limits(struct work *w, struct mv_err *err)
{
	uint32_t phys = least(w, MV_FIELD_PHYS_BITS), nested = UINT32_MAX;
	bool told = false;
	int rc = 0;

	for (unsigned i = 0; i < MV_NFIELDS && rc == 0; i++) {
		enum mv_field_id id = (enum mv_field_id)i;
		bool width = id == MV_FIELD_PHYS_BITS || id == MV_FIELD_LINEAR_BITS;

		if (mv_fields[i].rule != MV_FR_ATMOST || !shown(w, id) ||
		    id == MV_FIELD_MAX_LEAF || id == MV_FIELD_MAX_EXT_LEAF ||
		    id == MV_FIELD_MAX_SUBLEAF_7 || id == MV_FIELD_GUEST_PHYS_BITS ||
		    !all_tell(w, id))
			continue;
		if (width || differing(w, id))
			rc = fix(w, id, least(w, id), err);
	}
	/* 0 says "as many as physical"; so does a number that is no smaller. */
	for (uint32_t i = 0; i < w->n; i++) {
		uint32_t v = mv_table_field(&w->offers[i], MV_FIELD_GUEST_PHYS_BITS);

		told |= v != 0;
		v = v ? v : mv_table_field(&w->offers[i], MV_FIELD_PHYS_BITS);
		nested = v < nested ? v : nested;
	}
	if (rc == 0 && told && shown(w, MV_FIELD_GUEST_PHYS_BITS))
		rc = fix(w, MV_FIELD_GUEST_PHYS_BITS, nested < phys ? nested : 0, err);
	return rc;
}

/* Features first, then family, model and stepping: what promises less is smaller. */
static uint64_t promise(const struct mv_table *t)
{
	struct mv_signature s = mv_table_signature(t);
	uint64_t n = 0;

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		n += mv_table_has(t, (enum mv_feature_id)i);
	return n << 32 | s.family << 16 | s.model << 8 | s.stepping;
}

static bool same_model(const struct mv_table *a, const struct mv_table *b)
{
	struct mv_signature s = mv_table_signature(a), t = mv_table_signature(b);

	return s.family == t.family && s.model == t.model;
}

/*
 * Software infers features from family and model. Where the hosts differ, guests are told those of
 * the host with the fewest features, for they promise least; of equals the lowest numbers.
 */
static int signature(struct work *w, struct mv_err *err)
{
	static const enum mv_field_id parts[] = {
		MV_FIELD_STEPPING, MV_FIELD_MODEL, MV_FIELD_FAMILY, MV_FIELD_EXT_MODEL,
		MV_FIELD_EXT_FAMILY,
	};
	uint32_t oldest = 0;
	bool differ = false;
	int rc = 0;

	for (uint32_t i = 1; i < w->n; i++) {
		differ |= !same_model(&w->offers[i], &w->offers[0]);
		if (promise(&w->offers[i]) < promise(&w->offers[oldest]))
			oldest = i;
	}
	for (size_t i = 0; i < COUNT(parts); i++) {
		const struct mv_field *f = &mv_fields[parts[i]];

		differ |= differing(w, parts[i]) &&
			  mv_mask_sym(w->def, f->leaf, 0, f->reg, f->lo) == MV_SYM_H;
	}
	if (!differ)
		return 0;
	w->b->model_of = oldest;
	for (size_t i = 0; i < COUNT(parts) && rc == 0; i++)
		rc = fix(w, parts[i], mv_table_field(&w->offers[oldest], parts[i]), err);
	if (rc == 0 && shown(w, MV_FIELD_EXT_SIGNATURE) &&
	    mv_table_field(&w->offers[oldest], MV_FIELD_EXT_SIGNATURE))
		rc = fix(w, MV_FIELD_EXT_SIGNATURE,
			 mv_table_field(&w->offers[oldest], MV_FIELD_EXT_SIGNATURE), err);
	return rc;
}

int mv_baseline(struct mv_baseline *b, const struct mv_mask *def,
		const struct mv_host *const *hosts, uint32_t n, struct mv_table *offers,
		const struct mv_baseline_opts *opts, struct mv_err *err)
{
	struct work w = { .b = b, .def = def, .hosts = hosts, .offers = offers, .n = n };
	char text[256];
	int rc;

	memset(b, 0, sizeof(*b));
	b->model_of = MV_BASELINE_NO_HOST;
	if (!n)
		return mv_err_set(err, MV_E_USAGE, "no host to make a baseline of");
	for (uint32_t i = 0; i < n; i++) {
		mv_host_offer(hosts[i], &offers[i]);
		cut_table(&offers[i]);
	}
	memcpy(b->mask.fields, def->fields, sizeof(b->mask.fields));
	memcpy(b->mask.msrs, def->msrs, sizeof(b->mask.msrs));
	b->mask.nfields = def->nfields;
	b->mask.nmsrs = def->nmsrs;
	survey(&w);
	mv_baseline_fit(b, hosts, n, opts && opts->ignore_tsc);
	choose(&w);
	rc = registers(&w, err);
	if (rc == 0)
		rc = limits(&w, err);
	if (rc == 0)
		rc = signature(&w, err);
	if (rc || !b->nrefusals)
		return rc;
	mv_baseline_refusal_text(text, sizeof(text), &b->refusals[0], hosts, NULL);
	return mv_err_set(err, MV_E_REFUSED, "%s", text);
}
