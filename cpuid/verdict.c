/* SPDX-License-Identifier: MIT */
#include "verdict.h"

#include <stdio.h>
#include <string.h>

#include "leak.h"
#include "verdict_impl.h"

const char *mv_rule_name(enum mv_rule r)
{
	static const char *const names[MV_NRULES] = {
		"symbol", "msr", "vendor", "max-leaf", "xsave", "phys-bits", "linear-bits",
		"clflush", "tsc", "arch-caps", "hazard", "kvm", "interception",
	};

	return r < MV_NRULES ? names[r] : "?";
}

const char *mv_mismatch_subject(const struct mv_mismatch *m)
{
	const struct mv_feature *f;
	const struct mv_field *field;

	if (m->reg < 0)
		return mv_rule_name(m->rule);
	f = mv_feature_at(m->leaf, m->subleaf, (unsigned)m->reg, (unsigned)m->lo);
	if (f)
		return f->name;
	field = mv_field_at(m->leaf, m->subleaf, (unsigned)m->reg, (unsigned)m->lo);
	return field ? field->name : "reserved";
}

/* Is `name` (of that length) the mismatch's rule, field, feature or one of its aliases? */
static bool named(const struct mv_mismatch *m, const char *name, size_t len)
{
	const struct mv_feature *f = mv_feature_by_name(name, len);
	const struct mv_field *field = mv_field_by_name(name, len);
	const char *rule = mv_rule_name(m->rule);

	if (m->rule != MV_RULE_SYMBOL && strlen(rule) == len && !memcmp(rule, name, len))
		return true;
	if (m->reg < 0)
		return false;
	if (f && f->leaf == m->leaf && f->subleaf == m->subleaf && f->reg == m->reg &&
	    f->bit == m->lo)
		return true;
	return field && field->leaf == m->leaf && field->subleaf == m->subleaf &&
	       field->reg == m->reg && field->lo <= m->lo && m->lo <= field->hi;
}

static const char *next_name(const char *list, size_t *len)
{
	while (*list == ',' || *list == ' ')
		list++;
	*len = strcspn(list, ", ");
	return *len ? list : NULL;
}

static bool ignored(const struct mv_mismatch *m, const char *list)
{
	size_t len;

	for (const char *n = list ? next_name(list, &len) : NULL; n; n = next_name(n + len, &len))
		if (named(m, n, len))
			return true;
	return false;
}

static int check_ignore_list(const char *list, struct mv_err *err)
{
	size_t len;

	for (const char *n = list ? next_name(list, &len) : NULL; n;
	     n = next_name(n + len, &len)) {
		bool known = mv_feature_by_name(n, len) || mv_field_by_name(n, len);

		for (unsigned r = MV_RULE_SYMBOL + 1; r < MV_NRULES && !known; r++)
			known = strlen(mv_rule_name(r)) == len && !memcmp(mv_rule_name(r), n, len);
		if (known)
			continue;
		mv_err_set(err, MV_E_USAGE, "'%.*s' is neither a CPUID feature nor a rule",
			   (int)(len > 64 ? 64 : len), n);
		mv_feature_hint(err, n, len);
		return -MV_E_USAGE;
	}
	return 0;
}

void mv_compare_add(struct mv_compare *c, struct mv_mismatch m)
{
	struct mv_verdict *v = c->v;

	m.ignored = ignored(&m, c->opts->ignore);
	if (!m.ignored) {
		v->refusals++;
		v->subset_refusals += !m.subset_accepts;
	}
	if (v->n < MV_MISMATCHES)
		v->m[v->n++] = m;
}

/* ---- mask symbols ---- */

static uint32_t field_bits(const struct mv_field *f)
{
	return UINT32_MAX >> (31 - f->hi + f->lo) << f->lo;
}

bool mv_symbols_compare(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
	const struct mv_feature *f = mv_feature_at(leaf, subleaf, reg, bit);
	const struct mv_field *field = mv_field_at(leaf, subleaf, reg, bit);

	return (!f || !mv_feature_computed(f)) &&
	       (!field || field->rule == MV_FR_SYMBOL || field->rule == MV_FR_ATMOST);
}

/*
 * Is the hidden feature really disabled where the guest comes from? Without interception no
 * instruction is: hardware runs the guest with the host's own controls.
 */
static bool enforced(const struct mv_compare *c, const struct mv_feature *f)
{
	bool vmx = mv_table_vmx(&c->src_offer);
	enum mv_feature_id id = mv_feature_id(f);

	return (mv_feature_describes(id, vmx) || mv_host_intercepts(&c->p->source)) &&
	       !mv_feature_leaks(&c->p->guest, c->p->kvm_controls, id, vmx);
}

/* H: the guest does not see it. R: the source can't execute it either, or the guest could not. */
static bool unknown_does_not_matter(const struct mv_compare *c, const struct mv_mismatch *m,
				    const struct mv_feature *f)
{
	if (m->sym == MV_SYM_H)
		return !mv_table_has(&c->p->guest, mv_feature_id(f));
	if (m->sym != MV_SYM_R)
		return false;
	return enforced(c, f) ||
	       (mv_host_told(&c->p->source, m->leaf, m->subleaf, (unsigned)m->reg) >> m->lo & 1 &&
		!m->want);
}

/* Would --rule subset accept this mismatch although the guide's rule refuses it? */
static bool subset_accepts(const struct mv_compare *c, const struct mv_mismatch *m)
{
	const struct mv_feature *f =
		mv_feature_at(m->leaf, m->subleaf, (unsigned)m->reg, (unsigned)m->lo);
	const struct mv_field *field;
	bool guest;

	if (m->unknown)
		return f && f->cls == MV_FC_PLAIN && unknown_does_not_matter(c, m, f);
	if (!f) {
		field = mv_field_at(m->leaf, m->subleaf, (unsigned)m->reg, (unsigned)m->lo);
		return field && field->rule == MV_FR_ATMOST && m->sym == MV_SYM_H &&
		       mv_table_field(&c->p->guest, (enum mv_field_id)(field - mv_fields)) <= m->have;
	}
	guest = mv_table_has(&c->p->guest, mv_feature_id(f));
	if (m->sym == MV_SYM_H && (f->cls == MV_FC_HAZARD || f->cls == MV_FC_INVERTED))
		return mv_hazard_excused(c, mv_feature_id(f), guest, m->have);
	if (f->cls != MV_FC_PLAIN)
		return false;
	if (m->sym == MV_SYM_H)
		return !guest || m->have;
	return m->sym == MV_SYM_R && (!m->want || m->have || enforced(c, f));
}

/*
 * Bit `bit` of register r does not match, or its value is unknown; same: all bits that had to be equal
 * and are not.
 */
static void symbol_bit(struct mv_compare *c, const struct mv_mask_reg *r, unsigned bit, uint32_t same,
		       bool unknown, uint32_t want, uint32_t have)
{
	const struct mv_field *field = mv_field_at(r->leaf, r->subleaf, r->reg, bit);
	struct mv_mismatch m = {
		.rule = MV_RULE_SYMBOL, .leaf = r->leaf, .subleaf = r->subleaf,
		.reg = (int8_t)r->reg, .lo = (int8_t)bit, .hi = (int8_t)bit,
		.sym = mv_mask_reg_sym(r, bit), .at = r->at[bit],
		.want = want >> bit & 1, .have = have >> bit & 1, .unknown = unknown,
	};

	if (!mv_symbols_compare(r->leaf, r->subleaf, r->reg, bit))
		return;
	if (field && same >> bit & 1) {
		/* A field is one mismatch, reported at the lowest bit that differs. */
		if (same & field_bits(field) & ((UINT32_C(1) << bit) - 1))
			return;
		m.lo = (int8_t)field->lo;
		m.hi = (int8_t)field->hi;
		m.want = (want & field_bits(field)) >> field->lo;
		m.have = (have & field_bits(field)) >> field->lo;
	}
	m.subset_accepts = subset_accepts(c, &m);
	if (m.subset_accepts && c->opts->mode == MV_VERDICT_SUBSET)
		return;
	mv_compare_add(c, m);
}

/* One leaf on both sides. */
struct sides {
	const struct mv_mask_reg *of;	/* a register of the leaf; NULL = none looked up yet */
	const uint32_t *src_offer, *dst_offer, *src_raw, *dst_raw, *src_ran, *dst_ran;
};

static void look_up(struct sides *s, const struct mv_compare *c, const struct mv_mask_reg *r)
{
	if (s->of && s->of->leaf == r->leaf && s->of->subleaf == r->subleaf)
		return;
	s->of = r;
	s->src_offer = mv_compare_leaf(&c->src_offer, r->leaf, r->subleaf);
	s->dst_offer = mv_compare_leaf(&c->dst_offer, r->leaf, r->subleaf);
	s->src_raw = mv_compare_leaf(&c->p->source.raw, r->leaf, r->subleaf);
	s->dst_raw = mv_compare_leaf(&c->dst->raw, r->leaf, r->subleaf);
	s->src_ran = mv_compare_leaf(&c->src_ran, r->leaf, r->subleaf);
	s->dst_ran = mv_compare_leaf(&c->dst_ran, r->leaf, r->subleaf);
}

/*
 * T and H look at what is offered, F and R at what executes whatever the mask says. What H and R ask
 * of a guest that ran without interception is not in the offers: see untouched().
 */
static void symbols(struct mv_compare *c)
{
	const struct mv_mask *eff = &c->p->effective;
	bool equality = !c->opts->cold && c->p->intercept != MV_INTERCEPTION_NONE;
	struct sides s = { 0 };

	for (uint32_t i = 0; i < eff->nregs; i++) {
		const struct mv_mask_reg *r = &eff->regs[i];
		uint32_t t = mv_mask_reg_with(r, MV_SYM_T), f = mv_mask_reg_with(r, MV_SYM_F);
		uint32_t h = equality ? mv_mask_reg_with(r, MV_SYM_H) : 0;
		uint32_t x = equality ? mv_mask_reg_with(r, MV_SYM_R) : 0;
		uint32_t so, d, se, de, src_told, dst_told, unknown, bad;

		if (!(t | f | h | x))
			continue;
		look_up(&s, c, r);
		so = s.src_offer[r->reg];
		d = s.dst_offer[r->reg];
		se = s.src_raw[r->reg] | s.src_ran[r->reg];
		de = s.dst_raw[r->reg] | s.dst_ran[r->reg];
		src_told = mv_host_told(&c->p->source, r->leaf, r->subleaf, r->reg);
		dst_told = mv_host_told(c->dst, r->leaf, r->subleaf, r->reg);
		unknown = ((t | f) & ~dst_told) | ((h | x) & ~(src_told & dst_told));
		bad = (t & ~d) | (f & de) | (h & (so ^ d)) | (x & (se ^ de)) | unknown;
		for (unsigned bit = 0; bit < 32; bit++)
			if (bad >> bit & 1)
				symbol_bit(c, r, bit, bad & (h | x), unknown >> bit & 1,
					   t >> bit & 1	  ? UINT32_MAX
					   : f >> bit & 1 ? 0
					   : h >> bit & 1 ? so
							  : se,
					   (t | h) >> bit & 1 ? d : de);
	}
}

/* What a guest reads only if CPUID tells of it. */
static bool msr_shown(const struct mv_policy *p, uint32_t index)
{
	static const struct {
		uint32_t index;
		enum mv_feature_id id;
	} told[] = {
		{ MV_MSR_ARCH_CAPABILITIES, MV_F_ARCH_CAPABILITIES },
		{ MSR_CORE_CAPABILITIES, MV_F_CORE_CAPABILITIES },
		{ MSR_PERF_CAPABILITIES, MV_F_PDCM },
	};

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (told[i].index == index)
			return mv_table_has(&p->guest, told[i].id);
	return true;
}

/* The same table of symbols for the bits of `msr` lines; an MSR that a host lacks counts as 0. */
static void msr_symbols(struct mv_compare *c)
{
	const struct mv_mask *final = &c->p->final;

	for (uint32_t i = 0; i < final->nmsrs; i++) {
		const struct mv_mask_msr *line = &final->msrs[i];
		uint64_t t = mv_mask_msr_with(line, MV_SYM_T), f = mv_mask_msr_with(line, MV_SYM_F);
		uint64_t h = mv_mask_msr_with(line, MV_SYM_H), r = mv_mask_msr_with(line, MV_SYM_R);
		uint64_t src = 0, dst = 0, bad;

		if (c->opts->cold || !msr_shown(c->p, line->index))
			h = r = 0;
		mv_host_msr(&c->p->source, line->index, &src);
		mv_host_msr(c->dst, line->index, &dst);
		bad = (t & ~dst) | (f & dst) | ((h | r) & (src ^ dst));
		for (unsigned bit = 0; bad >> bit; bit++) {
			bool have = dst >> bit & 1;
			struct mv_mismatch m = {
				.rule = MV_RULE_MSR, .msr = line->index, .reg = -1,
				.lo = (int8_t)bit, .hi = (int8_t)bit, .at = line->at,
				.sym = t >> bit & 1   ? MV_SYM_T
				       : f >> bit & 1 ? MV_SYM_F
				       : h >> bit & 1 ? MV_SYM_H
						      : MV_SYM_R,
				.want = !have, .have = have,
			};

			if (!(bad >> bit & 1))
				continue;
			snprintf(m.text, sizeof(m.text), "MSR 0x%x bit %u: the destination %s it; %c",
				 line->index, bit, have ? "has" : "lacks", mv_sym_char(m.sym));
			mv_compare_add(c, m);
			if (bit == 63)
				break;
		}
	}
}

void mv_verdict_vectors(const struct mv_policy *p, const struct mv_host *dst, uint32_t leaf,
			uint32_t subleaf, unsigned reg, char host[MV_MASK_TEXT],
			char required[MV_MASK_TEXT])
{
	struct mv_table src_offer, dst_offer;
	uint32_t so, d;
	size_t n = 0;

	mv_host_offer(&p->source, &src_offer);
	mv_host_offer(dst, &dst_offer);
	so = mv_table_reg(&src_offer, leaf, subleaf, reg);
	d = mv_table_reg(&dst_offer, leaf, subleaf, reg);
	for (int b = 31; b >= 0; b--) {
		unsigned bit = (unsigned)b;
		enum mv_sym s = mv_symbols_compare(leaf, subleaf, reg, bit)
					? mv_mask_sym(&p->effective, leaf, subleaf, reg, bit)
					: MV_SYM_X;
		bool exec = s == MV_SYM_F || s == MV_SYM_R;

		host[n] = (exec ? mv_host_executes(dst, leaf, subleaf, reg, bit) : d >> bit & 1)
				  ? '1' : '0';
		switch (s) {
		case MV_SYM_T: required[n] = '1'; break;
		case MV_SYM_F: required[n] = '0'; break;
		case MV_SYM_H: required[n] = so >> bit & 1 ? '1' : '0'; break;
		case MV_SYM_R:
			required[n] = mv_host_executes(&p->source, leaf, subleaf, reg, bit) ? '1'
											    : '0';
			break;
		default: required[n] = 'x'; break;
		}
		n++;
		if (bit % 4 == 0 && bit) {
			host[n] = required[n] = ' ';
			n++;
		}
	}
	host[n] = required[n] = '\0';
}

/* A table of its own, and so never a full one: there are fewer leaves with features than entries. */
static void ran_table(struct mv_table *out, const struct mv_host *h)
{
	out->n = 0;
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_featset_has(&h->exec_ran, (enum mv_feature_id)i))
			mv_table_set_feature(out, (enum mv_feature_id)i, true);
}

int mv_verdict(struct mv_verdict *v, const struct mv_policy *p, const struct mv_host *dst,
	       const struct mv_verdict_opts *opts, struct mv_err *err)
{
	static const struct mv_verdict_opts defaults = { .mode = MV_VERDICT_GUIDE };
	struct mv_compare c = { .p = p, .dst = dst, .opts = opts ? opts : &defaults, .v = v };
	int rc = check_ignore_list(c.opts->ignore, err);

	v->n = v->refusals = v->subset_refusals = v->unchecked = 0;
	if (rc)
		return rc;
	mv_host_offer(&p->source, &c.src_offer);
	mv_host_offer(dst, &c.dst_offer);
	ran_table(&c.src_ran, &p->source);
	ran_table(&c.dst_ran, dst);
	symbols(&c);
	msr_symbols(&c);
	mv_verdict_rules(&c);
	return 0;
}

enum mv_sym mv_mismatch_remedy(const struct mv_mismatch *m)
{
	/* A warning that would be lost is not given; one that becomes true is given in advance. */
	if (m->rule == MV_RULE_HAZARD)
		return m->want ? MV_SYM_0 : MV_SYM_1;
	if (m->rule == MV_RULE_KVM)
		return MV_SYM_0;
	if (m->rule != MV_RULE_SYMBOL)
		return MV_SYM_INHERIT;
	/* A field's value can be anything: not comparing it is all a mask can do. */
	return m->lo == m->hi ? MV_SYM_0 : MV_SYM_X;
}
