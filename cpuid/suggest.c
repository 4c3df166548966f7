/* SPDX-License-Identifier: MIT */
#include "suggest.h"

#include <stdio.h>
#include <string.h>

#include "leak.h"
#include "verdict_impl.h"
#include "xstate.h"

#define ROUNDS 64	/* each adds a line: more than the deepest chain of dependencies */

struct suggest {
	struct mv_suggestion *s;
	struct mv_suggest_work *w;
	const struct mv_policy *vm;
	unsigned ncpus;
	const struct mv_host *const *hosts;
	uint32_t n;
	const struct mv_verdict_opts *opts;
	struct mv_err *err;
};

/* ---- lines ---- */

static struct mv_suggest_line feature_line(enum mv_feature_id id, enum mv_sym s)
{
	const struct mv_feature *f = &mv_features[id];

	return (struct mv_suggest_line){ .leaf = f->leaf, .subleaf = f->subleaf, .reg = f->reg,
					 .lo = f->bit, .hi = f->bit, .sym = s };
}

static struct mv_suggest_line number_line(enum mv_field_id id, uint32_t value)
{
	const struct mv_field *f = &mv_fields[id];

	return (struct mv_suggest_line){ .leaf = f->leaf, .subleaf = f->subleaf, .reg = f->reg,
					 .lo = f->lo, .hi = f->hi, .number = true,
					 .value = value };
}

static bool same_bits(const struct mv_suggest_line *a, const struct mv_suggest_line *b)
{
	return a->leaf == b->leaf && a->subleaf == b->subleaf && a->reg == b->reg &&
	       a->lo == b->lo && a->hi == b->hi;
}

int mv_suggest_line_text(char *buf, size_t size, const struct mv_suggest_line *l)
{
	const struct mv_feature *f = mv_feature_at(l->leaf, l->subleaf, l->reg, l->lo);
	const struct mv_field *d = mv_field_at(l->leaf, l->subleaf, l->reg, l->lo);
	struct mv_mask_reg r = { .leaf = l->leaf, .subleaf = l->subleaf, .reg = l->reg };
	char text[MV_MASK_TEXT], sub[16] = "";

	if (l->number && d)
		return snprintf(buf, size, l->value > 255 ? "field %s = 0x%x" : "field %s = %u",
				d->name, l->value);
	if (f)
		return snprintf(buf, size, "feature %s = %c", f->name, mv_sym_char(l->sym));
	for (unsigned bit = l->lo; bit <= l->hi; bit++)
		mv_mask_reg_set(&r, bit, l->sym, 0);
	mv_mask_reg_format(&r, text);
	if (l->subleaf)
		snprintf(sub, sizeof(sub), "%x.", l->subleaf);
	return snprintf(buf, size, "cpuid.%x.%s%s = \"%s\"", l->leaf, sub,
			mv_reg_name_lower(l->reg), text);
}

static int put_number(struct mv_mask *m, enum mv_field_id id, uint32_t value, struct mv_err *err)
{
	uint32_t i = 0;

	while (i < m->nfields && m->fields[i].id != id)
		i++;
	if (i == MV_MASK_FIELDS)
		return mv_err_set(err, MV_E_INPUT, "the masks set more than %d fields",
				  MV_MASK_FIELDS);
	m->fields[i] = (struct mv_mask_field){ .id = (uint16_t)id, .value = value };
	if (i == m->nfields)
		m->nfields++;
	return 0;
}

static int put_line(struct mv_mask *m, const struct mv_suggest_line *l, struct mv_err *err)
{
	const struct mv_field *d = mv_field_at(l->leaf, l->subleaf, l->reg, l->lo);
	struct mv_mask_reg *r;

	if (l->number && d)
		return put_number(m, (enum mv_field_id)(d - mv_fields), l->value, err);
	r = mv_mask_add(m, l->leaf, l->subleaf, l->reg, MV_VENDOR_OTHER);
	if (!r)
		return mv_err_set(err, MV_E_INPUT, "the masks name more than %d registers",
				  MV_MASK_REGS);
	for (unsigned bit = l->lo; bit <= l->hi; bit++)
		mv_mask_reg_set(r, bit, l->sym, 0);
	return 0;
}

/* ---- trying ---- */

/* The policy with the lines that are not cut; 1 if it may start on its own host. */
static int start(struct mv_suggest_work *w, const struct mv_policy *vm, unsigned ncpus,
		 const struct mv_suggest_line *lines, uint32_t nlines, const bool *cut,
		 struct mv_err *err)
{
	int rc = 0;

	w->p = *vm;
	for (uint32_t i = 0; i < nlines && rc == 0; i++)
		if (!cut || !cut[i])
			rc = put_line(&w->p.final, &lines[i], err);
	/* A register that was '-' only has bits that no default mask names: hidden. */
	for (uint32_t i = 0; i < w->p.final.nregs; i++)
		for (unsigned bit = 0; bit < 32; bit++)
			if (mv_mask_reg_sym(&w->p.final.regs[i], bit) == MV_SYM_INHERIT)
				mv_mask_reg_set(&w->p.final.regs[i], bit, MV_SYM_0, 0);
	if (rc == 0)
		rc = mv_apply(&w->p, ncpus, &w->notes, err);
	return rc ? rc : !w->notes.refusals;
}

int mv_suggest_try(struct mv_suggest_work *w, const struct mv_policy *vm, unsigned ncpus,
		   const struct mv_host *const *hosts, uint32_t n,
		   const struct mv_verdict_opts *opts, const struct mv_suggest_line *lines,
		   uint32_t nlines, const bool *cut, struct mv_err *err)
{
	int ok = start(w, vm, ncpus, lines, nlines, cut, err);

	for (uint32_t i = 0; i < n && ok == 1; i++) {
		int rc = mv_verdict(&w->v, &w->p, hosts[i], opts, err);

		ok = rc ? rc : !w->v.refusals;
	}
	return ok;
}

static int try_lines(struct suggest *c, const bool *cut)
{
	return mv_suggest_try(c->w, c->vm, c->ncpus, c->hosts, c->n, c->opts, c->s->lines, c->s->n,
			      cut, c->err);
}

/* ---- finding lines ---- */

static void block(struct suggest *c, uint32_t host, const struct mv_mismatch *m)
{
	if (c->s->nblocks < MV_SUGGEST_BLOCKS) {
		c->s->blocks[c->s->nblocks].host = host;
		c->s->blocks[c->s->nblocks].m = *m;
	}
	c->s->nblocks++;
}

/* Returns whether that is new; a number that is given already becomes the smaller one. */
static bool add(struct suggest *c, struct mv_suggest_line l)
{
	struct mv_suggestion *s = c->s;
	uint32_t i = 0;

	while (i < s->n && !same_bits(&s->lines[i], &l))
		i++;
	if (i < s->n) {
		if (!l.number || !s->lines[i].number || l.value >= s->lines[i].value)
			return false;
		s->lines[i].value = l.value;
		return true;
	}
	if (s->n == MV_SUGGEST_LINES)
		return false;
	s->lines[s->n++] = l;
	return true;
}

/* The feature that a component's state belongs to: people know AVX, not XSTATE-AVX. */
static enum mv_feature_id user_of(enum mv_feature_id component)
{
	for (unsigned i = 0; i < mv_nxstate_users; i++)
		if (mv_xstate_users[i].component == component)
			return (enum mv_feature_id)mv_xstate_users[i].user;
	return component;
}

static bool component_fits(const struct mv_table *guest, const struct mv_table *dst, unsigned n)
{
	uint64_t have = mv_xstate_xcr0(dst) | mv_xstate_xss(dst);
	const uint32_t *s = mv_compare_leaf(guest, 0xd, n), *d = mv_compare_leaf(dst, 0xd, n);

	if (!(have >> n & 1))
		return false;
	return n < 2 ||
	       (s[MV_EAX] == d[MV_EAX] && s[MV_EBX] == d[MV_EBX] && s[MV_ECX] == d[MV_ECX]);
}

/* The xsave rule names components in words: hide what uses those that don't fit. */
static bool hide_components(struct suggest *c, const struct mv_host *dst)
{
	const struct mv_table *guest = &c->w->p.guest;
	bool progress = false;
	struct mv_table offer;

	mv_host_offer(dst, &offer);
	for (unsigned id = 0; id < MV_NFEATURES; id++) {
		const struct mv_feature *f = &mv_features[id];
		unsigned n = f->bit + (f->reg == MV_EDX ? 32u : 0u);

		if (f->leaf != 0xd || (f->subleaf == 1 && f->reg == MV_EAX) ||
		    !mv_table_has(guest, (enum mv_feature_id)id) ||
		    component_fits(guest, &offer, n))
			continue;
		progress |= add(c, feature_line(user_of((enum mv_feature_id)id), MV_SYM_0));
	}
	return progress;
}

/* A bit that differs. Warnings accumulate: the guest had better be told. */
static enum mv_sym remedy(const struct mv_mismatch *m)
{
	const struct mv_feature *f = mv_feature_at(m->leaf, m->subleaf, (unsigned)m->reg,
						   (unsigned)m->lo);

	if (m->sym != MV_SYM_F && f && (f->cls == MV_FC_HAZARD || f->cls == MV_FC_INVERTED))
		return MV_SYM_1;
	/* 0 shows the guest what F does, and asks nothing. */
	return m->sym == MV_SYM_F ? MV_SYM_0 : mv_mismatch_remedy(m);
}

/* A field that differs: told as the smallest where it is a limit, else not compared. */
static bool answer_field(struct suggest *c, const struct mv_mismatch *m, const struct mv_field *f)
{
	struct mv_suggest_line l = {
		.leaf = m->leaf, .subleaf = m->subleaf, .reg = (uint8_t)m->reg,
		.lo = (uint8_t)m->lo, .hi = (uint8_t)m->hi, .sym = MV_SYM_X,
	};
	uint64_t min = m->have < m->want ? m->have : m->want;

	if (f && f->rule == MV_FR_ATMOST)
		l = number_line((enum mv_field_id)(f - mv_fields), (uint32_t)min);
	return add(c, l);
}

/* What to do about one mismatch; limit: numbers are wanted, too. Returns whether a line is new. */
static bool answer(struct suggest *c, uint32_t host, const struct mv_mismatch *m, bool limit)
{
	const struct mv_field *f = m->reg < 0 ? NULL
					      : mv_field_at(m->leaf, m->subleaf, (unsigned)m->reg,
							    (unsigned)m->lo);

	switch (m->rule) {
	case MV_RULE_SYMBOL:
		if (m->lo != m->hi)
			return answer_field(c, m, f);
		return add(c, (struct mv_suggest_line){
				      .leaf = m->leaf, .subleaf = m->subleaf,
				      .reg = (uint8_t)m->reg, .lo = (uint8_t)m->lo,
				      .hi = (uint8_t)m->hi, .sym = remedy(m) });
	case MV_RULE_KVM:
		return add(c, feature_line(mv_feature_id(mv_feature_at(m->leaf, m->subleaf,
								       (unsigned)m->reg,
								       (unsigned)m->lo)),
					   MV_SYM_0));
	case MV_RULE_HAZARD:
		return add(c, feature_line(mv_feature_id(mv_feature_at(m->leaf, m->subleaf,
								       (unsigned)m->reg,
								       (unsigned)m->lo)),
					   MV_SYM_1));
	case MV_RULE_MAX_LEAF:
	case MV_RULE_PHYS_BITS:
	case MV_RULE_LINEAR_BITS:
		return limit && f &&
		       add(c, number_line((enum mv_field_id)(f - mv_fields), (uint32_t)m->have));
	case MV_RULE_XSAVE:
		return hide_components(c, c->hosts[host]);
	case MV_RULE_CLFLUSH:
		return add(c, feature_line(MV_F_CLFLUSH, MV_SYM_0));
	case MV_RULE_ARCH_CAPS:
		return add(c, feature_line(MV_F_ARCH_CAPABILITIES, MV_SYM_0));
	default:
		return false;
	}
}

static bool hopeless(const struct mv_mismatch *m)
{
	return m->rule == MV_RULE_VENDOR || m->rule == MV_RULE_TSC ||
	       m->rule == MV_RULE_INTERCEPTION || m->rule >= MV_NRULES;
}

/* A T that the lines leave without its prerequisite keeps the VM from starting: it goes, too. */
static bool answer_notes(struct suggest *c)
{
	bool progress = false;

	for (uint32_t i = 0; i < c->w->notes.n; i++) {
		const struct mv_note *n = &c->w->notes.note[i];

		if (n->kind == MV_NOTE_T_ORPHAN)
			progress |= add(c, (struct mv_suggest_line){
						   .leaf = n->leaf, .subleaf = n->subleaf,
						   .reg = n->reg, .lo = n->bit, .hi = n->bit,
						   .sym = MV_SYM_0 });
	}
	return progress;
}

/* Its own host refuses to start it: every reason as a block. */
static void block_notes(struct suggest *c)
{
	for (uint32_t i = 0; i < c->w->notes.n; i++) {
		const struct mv_note *n = &c->w->notes.note[i];

		struct mv_mismatch m = {
			.rule = MV_RULE_SYMBOL, .leaf = n->leaf, .subleaf = n->subleaf,
			.reg = (int8_t)n->reg, .lo = (int8_t)n->bit, .hi = (int8_t)n->bit,
			.sym = n->sym, .at = n->at,
		};

		if (n->kind != MV_NOTE_T_MISSING && n->kind != MV_NOTE_F_PRESENT &&
		    n->kind != MV_NOTE_T_ORPHAN)
			continue;
		if (n->msr) {
			m.rule = MV_RULE_MSR;
			m.msr = n->msr;
			m.reg = -1;
			snprintf(m.text, sizeof(m.text), "MSR 0x%x bit %u; %c", n->msr, n->bit,
				 mv_sym_char(n->sym));
		}
		block(c, c->n, &m);
	}
}

/* One look at every host. 1: all accept; 0: lines may have been added; or a negative error. */
static int round_of(struct suggest *c, bool limit, bool *progress)
{
	bool refused = false;
	int rc = start(c->w, c->vm, c->ncpus, c->s->lines, c->s->n, NULL, c->err);

	*progress = false;
	if (rc < 0)
		return rc;
	if (rc == 0) {
		*progress = answer_notes(c);
		return 0;
	}
	for (uint32_t i = 0; i < c->n; i++) {
		rc = mv_verdict(&c->w->v, &c->w->p, c->hosts[i], c->opts, c->err);
		if (rc)
			return rc;
		refused |= c->w->v.refusals != 0;
		for (uint32_t k = 0; k < c->w->v.n; k++) {
			const struct mv_mismatch m = c->w->v.m[k];

			if (m.ignored)
				continue;
			if (hopeless(&m))
				block(c, i, &m);
			else
				*progress |= answer(c, i, &m, limit);
		}
	}
	return !refused;
}

/* What is left when no line helps any more. */
static int block_rest(struct suggest *c)
{
	int rc = start(c->w, c->vm, c->ncpus, c->s->lines, c->s->n, NULL, c->err);

	if (rc == 0)
		block_notes(c);
	for (uint32_t i = 0; i < c->n && rc == 1; i++) {
		if (mv_verdict(&c->w->v, &c->w->p, c->hosts[i], c->opts, c->err))
			return -MV_E_USAGE;
		for (uint32_t k = 0; k < c->w->v.n; k++)
			if (!c->w->v.m[k].ignored)
				block(c, i, &c->w->v.m[k]);
	}
	return rc < 0 ? rc : 0;
}

static int collect(struct suggest *c)
{
	bool progress, limit = false;

	for (unsigned i = 0; i < ROUNDS; i++) {
		int rc = round_of(c, limit, &progress);

		if (rc || c->s->nblocks)
			return rc < 0 ? rc : 0;
		/* Numbers last: hidden features lower them by themselves. */
		if (!progress && limit)
			break;
		limit = !progress;
	}
	return block_rest(c);
}

/* ---- leaving out what is not needed ---- */

static void measure_depth(uint16_t depth[MV_NFEATURES])
{
	bool changed;

	memset(depth, 0, MV_NFEATURES * sizeof(depth[0]));
	do {
		changed = false;
		for (unsigned i = 0; i < mv_ndeps; i++)
			if (depth[mv_deps[i].child] <= depth[mv_deps[i].parent]) {
				depth[mv_deps[i].child] = (uint16_t)(depth[mv_deps[i].parent] + 1);
				changed = true;
			}
	} while (changed);
}

/* How gladly a line is left out: numbers, then state components, then what depends on most. */
static unsigned eagerness(const struct suggest *c, const struct mv_suggest_line *l)
{
	const struct mv_feature *f = mv_feature_at(l->leaf, l->subleaf, l->reg, l->lo);

	if (l->number)
		return UINT32_MAX;
	if (!f)
		return 0;
	return f->leaf == 0xd ? UINT32_MAX - 1 : c->w->depth[mv_feature_id(f)];
}

static void order(struct suggest *c)
{
	struct mv_suggestion *s = c->s;

	for (uint32_t i = 1; i < s->n; i++) {
		struct mv_suggest_line l = s->lines[i];
		uint32_t j = i;

		for (; j > 0 && eagerness(c, &l) > eagerness(c, &s->lines[j - 1]); j--)
			s->lines[j] = s->lines[j - 1];
		s->lines[j] = l;
	}
}

/* Until no single line can go. */
static int minimize(struct suggest *c)
{
	struct mv_suggestion *s = c->s;
	bool *cut = c->w->cut, changed;
	uint32_t n = 0;

	memset(cut, 0, sizeof(c->w->cut));
	do {
		changed = false;
		for (uint32_t i = 0; i < s->n; i++) {
			int ok;

			if (cut[i])
				continue;
			cut[i] = true;
			ok = try_lines(c, cut);
			if (ok < 0)
				return ok;
			cut[i] = ok;
			changed |= ok;
		}
	} while (changed);
	for (uint32_t i = 0; i < s->n; i++)
		if (!cut[i])
			s->lines[n++] = s->lines[i];
	s->n = n;
	return 0;
}

static int bit_order(const struct mv_suggest_line *a, const struct mv_suggest_line *b)
{
	if (a->leaf != b->leaf)
		return a->leaf < b->leaf ? -1 : 1;
	if (a->subleaf != b->subleaf)
		return a->subleaf < b->subleaf ? -1 : 1;
	if (a->reg != b->reg)
		return a->reg < b->reg ? -1 : 1;
	return a->lo < b->lo ? -1 : a->lo > b->lo;
}

/* ---- what it costs ---- */

static bool opened(const struct suggest *c, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];

	return mv_mask_sym(&c->vm->final, f->leaf, f->subleaf, f->reg, f->bit) == MV_SYM_R &&
	       mv_mask_sym(&c->w->p.final, f->leaf, f->subleaf, f->reg, f->bit) != MV_SYM_R &&
	       mv_host_executes(&c->vm->source, f->leaf, f->subleaf, f->reg, f->bit);
}

static int cost(struct suggest *c)
{
	bool vmx = mv_table_vmx(&c->vm->source.raw);
	struct mv_table before;
	int rc = start(c->w, c->vm, c->ncpus, NULL, 0, NULL, c->err);

	if (rc < 0)
		return rc;
	before = c->w->p.guest;
	rc = start(c->w, c->vm, c->ncpus, c->s->lines, c->s->n, NULL, c->err);
	for (unsigned i = 0; i < MV_NFEATURES && rc >= 0; i++) {
		enum mv_feature_id id = (enum mv_feature_id)i;
		bool lost = mv_table_has(&before, id) && !mv_table_has(&c->w->p.guest, id);

		if (lost)
			mv_featset_add(&c->s->lost, id);
		if ((lost || opened(c, id)) && !mv_feature_computed(&mv_features[i]) &&
		    mv_feature_leaks(&c->w->p.guest, c->w->p.kvm_controls, id, vmx))
			mv_featset_add(&c->s->leaks, id);
	}
	return rc < 0 ? rc : 0;
}

int mv_suggest(struct mv_suggestion *s, struct mv_suggest_work *w, const struct mv_policy *vm,
	       unsigned ncpus, const struct mv_host *const *hosts, uint32_t n,
	       const struct mv_verdict_opts *opts, struct mv_err *err)
{
	struct suggest c = { .s = s, .w = w, .vm = vm, .ncpus = ncpus, .hosts = hosts, .n = n,
			     .opts = opts, .err = err };
	int rc;

	memset(s, 0, sizeof(*s));
	measure_depth(w->depth);
	rc = collect(&c);
	if (rc || s->nblocks) {
		s->n = 0;
		return rc;
	}
	order(&c);
	rc = minimize(&c);
	for (uint32_t i = 1; i < s->n; i++)
		for (uint32_t j = i; j > 0 && bit_order(&s->lines[j], &s->lines[j - 1]) < 0; j--) {
			struct mv_suggest_line l = s->lines[j];

			s->lines[j] = s->lines[j - 1];
			s->lines[j - 1] = l;
		}
	for (uint32_t i = 0; i < s->n && rc == 0; i++)
		rc = put_line(&s->override, &s->lines[i], err);
	return rc ? rc : cost(&c);
}
