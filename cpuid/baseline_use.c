/* SPDX-License-Identifier: MIT */
/* Around a baseline: hosts that don't go together, its price, laying it over a default mask. */
#include <stdio.h>
#include <string.h>

#include "baseline.h"
#include "verdict_impl.h"
#include "xstate.h"

/* ---- refusals ---- */

void mv_baseline_refuse(struct mv_baseline *b, struct mv_baseline_refusal r)
{
	if (b->nrefusals < MV_BASELINE_REFUSALS)
		b->refusals[b->nrefusals] = r;
	b->nrefusals++;
}

static bool same_vendor(const struct mv_host *a, const struct mv_host *b)
{
	for (unsigned r = MV_EBX; r < MV_NREGS; r++)
		if (mv_table_reg(&a->raw, 0, 0, r) != mv_table_reg(&b->raw, 0, 0, r))
			return false;
	return true;
}

void mv_baseline_fit(struct mv_baseline *b, const struct mv_host *const *hosts, uint32_t n,
		     bool ignore_tsc)
{
	for (uint32_t i = 0; i < n; i++) {
		struct mv_baseline_refusal r = { .a = i, .b = i };
		uint32_t j = 0;

		r.kind = MV_BR_INTERCEPTION;
		if (!mv_host_answers(hosts[i], true))
			mv_baseline_refuse(b, r);
		r.kind = MV_BR_VENDOR;
		r.a = 0;
		if (!same_vendor(hosts[0], hosts[i]))
			mv_baseline_refuse(b, r);
		/* One partner that it can't take guests of tells enough. */
		while (j < n && (ignore_tsc || mv_tsc_fits(hosts[j]->tsc_khz, hosts[i]->tsc_khz, hosts[i]->tsc_scaling)))
			j++;
		r.kind = MV_BR_TSC;
		r.a = j;
		if (j < n)
			mv_baseline_refuse(b, r);
	}
}

/* ---- what it costs ---- */

bool mv_baseline_shows(const struct mv_baseline *b, enum mv_feature_id id)
{
	return b->bits[id].why == MV_BL_KEPT || b->bits[id].why == MV_BL_SHOWN;
}

bool mv_baseline_costs(const struct mv_baseline *b, const struct mv_table *offer,
		       enum mv_feature_id id)
{
	return b->bits[id].why >= MV_BL_LACKED && mv_table_has(offer, id);
}

enum mv_feature_id mv_baseline_root(const struct mv_baseline *b, enum mv_feature_id id)
{
	while (b->bits[id].why == MV_BL_PARENT)
		id = (enum mv_feature_id)b->bits[id].cause;
	return id;
}

int mv_baseline_refusal_text(char *buf, size_t size, const struct mv_baseline_refusal *r,
			     const struct mv_host *const *hosts, const char *const *names)
{
	const char *a = names ? names[r->a] : hosts[r->a]->name;
	const char *b = names ? names[r->b] : hosts[r->b]->name;
	char va[13], vb[13], bit[96];

	mv_bit_format(bit, sizeof(bit), r->leaf, r->subleaf, r->reg, r->bit);
	switch (r->kind) {
	case MV_BR_VENDOR:
		mv_table_vendor_string(&hosts[r->a]->raw, va);
		mv_table_vendor_string(&hosts[r->b]->raw, vb);
		return snprintf(buf, size, "%.60s is \"%s\" and %.60s is \"%s\": no VM can move "
					   "between vendors", a, va, b, vb);
	case MV_BR_TSC:
		return snprintf(buf, size,
				"the TSC of %.60s runs at %u kHz, that of %.60s at %u, and "
				"KVM can't scale it there",
				a, hosts[r->a]->tsc_khz, b, hosts[r->b]->tsc_khz);
	case MV_BR_INTERCEPTION:
		return snprintf(buf, size,
				"%.60s has no way to answer a guest's CPUID from a table", a);
	case MV_BR_REQUIRED:
		return snprintf(buf, size,
				"the default mask requires %s (T), and %.60s can't give it "
				"to guests of the others",
				bit, a);
	case MV_BR_FORBIDDEN:
		return snprintf(buf, size,
				"the default mask wants no %s (F), and %.60s executes it", bit, a);
	}
	return snprintf(buf, size, "?");
}

/* ---- laying a baseline over a default mask ---- */

static bool hides(enum mv_sym s)
{
	return s == MV_SYM_0 || s == MV_SYM_R || s == MV_SYM_F || s == MV_SYM_INHERIT;
}

/* The register of `base` for that vendor, NULL if there is none; plain ones for OTHER. */
static const struct mv_mask_reg *lookup(const struct mv_mask *base, const struct mv_mask_reg *d,
					enum mv_vendor vendor)
{
	if (vendor == MV_VENDOR_HYGON)
		vendor = MV_VENDOR_AMD;
	for (uint32_t i = 0; i < base->nregs; i++) {
		const struct mv_mask_reg *r = &base->regs[i];

		if (r->leaf == d->leaf && r->subleaf == d->subleaf && r->reg == d->reg &&
		    r->vendor == vendor)
			return r;
	}
	return NULL;
}

static int restrict_reg(struct mv_mask_reg *d, const struct mv_mask_reg *from, struct mv_err *err)
{
	char name[96];

	for (unsigned bit = 0; from && bit < 32; bit++) {
		enum mv_sym s = mv_mask_reg_sym(from, bit), was = mv_mask_reg_sym(d, bit);

		/* What is hidden stays hidden, but the baseline may say that hosts differ in it. */
		if (s == MV_SYM_INHERIT || (hides(was) && !(was == MV_SYM_R && s == MV_SYM_0)))
			continue;
		if (was == MV_SYM_T && hides(s)) {
			mv_bit_format(name, sizeof(name), d->leaf, d->subleaf, d->reg, bit);
			return mv_err_set(err, MV_E_INPUT, "the baseline hides %s, which the "
							   "default mask requires (T)", name);
		}
		mv_mask_reg_set(d, bit, s, from->at[bit]);
	}
	return 0;
}

static int restrict_fields(struct mv_mask *def, const struct mv_mask *base, struct mv_err *err)
{
	for (uint32_t i = 0; i < base->nfields; i++) {
		uint32_t j = 0;

		while (j < def->nfields && def->fields[j].id != base->fields[i].id)
			j++;
		if (j == MV_MASK_FIELDS)
			return mv_err_set(err, MV_E_INPUT, "the masks set more than %d fields",
					  MV_MASK_FIELDS);
		if (j < def->nfields && mv_fields[def->fields[j].id].rule == MV_FR_ATMOST &&
		    def->fields[j].value < base->fields[i].value)
			continue;
		def->fields[j] = base->fields[i];
		if (j == def->nfields)
			def->nfields++;
	}
	return 0;
}

static enum mv_sym symbol(const struct mv_mask *m, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];

	return mv_mask_sym(m, f->leaf, f->subleaf, f->reg, f->bit);
}

/* A T of the baseline whose prerequisite the default mask hides would be refused at power-on. */
static bool orphan(struct mv_mask *def, const struct mv_mask *was, uint16_t child, uint16_t parent)
{
	enum mv_feature_id id = (enum mv_feature_id)child;
	const struct mv_feature *f = &mv_features[id];
	struct mv_mask_reg *r;

	if (symbol(def, id) != MV_SYM_T || symbol(was, id) == MV_SYM_T ||
	    !hides(symbol(def, (enum mv_feature_id)parent)))
		return false;
	r = mv_mask_add(def, f->leaf, f->subleaf, f->reg, MV_VENDOR_OTHER);
	mv_mask_reg_set(r, f->bit, MV_SYM_0, r->at[f->bit]);
	return true;
}

int mv_baseline_restrict(struct mv_mask *def, const struct mv_mask *base, enum mv_vendor vendor,
			 struct mv_mask *was, struct mv_err *err)
{
	bool changed;

	*was = *def;
	for (uint32_t i = 0; i < def->nregs; i++) {
		struct mv_mask_reg both = def->regs[i], *d = &def->regs[i];
		const struct mv_mask_reg *plain = lookup(base, d, MV_VENDOR_OTHER);
		const struct mv_mask_reg *own =
			vendor == MV_VENDOR_OTHER ? NULL : lookup(base, d, vendor);
		int rc;

		/* The vendor's own line wins over the plain one before either meets the default. */
		memset(both.plane, 0, sizeof(both.plane));
		for (unsigned bit = 0; bit < 32; bit++) {
			const struct mv_mask_reg *from =
				own && mv_mask_reg_sym(own, bit) != MV_SYM_INHERIT ? own : plain;

			if (from)
				mv_mask_reg_set(&both, bit, mv_mask_reg_sym(from, bit),
						from->at[bit]);
		}
		rc = restrict_reg(d, &both, err);
		if (rc)
			return rc;
	}
	do {
		changed = false;
		for (unsigned i = 0; i < mv_ndeps; i++)
			changed |= orphan(def, was, mv_deps[i].child, mv_deps[i].parent);
		for (unsigned i = 0; i < mv_nxstate_users; i++) {
			const struct mv_xstate_user *u = &mv_xstate_users[i];

			changed |= orphan(def, was, u->user, u->component);
			changed |= orphan(def, was, u->component, u->user);
		}
	} while (changed);
	return restrict_fields(def, base, err);
}
