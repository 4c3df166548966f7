/* SPDX-License-Identifier: MIT */
#include "lint.h"

#include "leak.h"

struct findings {
	struct mv_lint *out;
	size_t n, cap;
};

static void add(struct findings *f, struct mv_lint l)
{
	if (f->n < f->cap)
		f->out[f->n] = l;
	f->n++;
}

const char *mv_lint_name(enum mv_lint_kind kind)
{
	static const char *const names[] = { "orphan", "forced", "hidden-only", "split",
					     "signature" };

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}

/* What apply noted: a bit that is shown and should not be. */
static void shown(struct findings *f, const struct mv_notes *notes)
{
	for (uint32_t i = 0; i < notes->n; i++) {
		const struct mv_note *n = &notes->note[i];
		const struct mv_feature *feature =
			mv_feature_at(n->leaf, n->subleaf, n->reg, n->bit);

		if (!feature || (n->kind != MV_NOTE_ORPHAN && n->kind != MV_NOTE_FORCED))
			continue;
		add(f, (struct mv_lint){
			       .kind = n->kind == MV_NOTE_ORPHAN ? MV_LINT_ORPHAN : MV_LINT_FORCED,
			       .feature = feature, .cause = n->cause, .at = n->at });
	}
}

/* Hidden by a mask, not because the host does not show it; and the host has it all the same. */
static bool hidden(const struct mv_policy *p, const struct mv_host *h, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];
	enum mv_sym s = mv_mask_sym(&p->effective, f->leaf, f->subleaf, f->reg, f->bit);

	return f->cls == MV_FC_PLAIN && (s == MV_SYM_0 || s == MV_SYM_R || s == MV_SYM_F) &&
	       mv_host_executes(h, f->leaf, f->subleaf, f->reg, f->bit);
}

size_t mv_leaks(const struct mv_policy *p, const struct mv_host *h, bool vmx,
		enum mv_feature_id *out, size_t cap)
{
	size_t n = 0;

	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		enum mv_feature_id id = (enum mv_feature_id)i;

		const struct mv_feature *f = &mv_features[i];

		if (f->cls != MV_FC_PLAIN || mv_table_has(&p->guest, id) ||
		    !mv_host_executes(h, f->leaf, f->subleaf, f->reg, f->bit) ||
		    !mv_feature_leaks(&p->guest, h->kvm_controls, id, vmx))
			continue;
		if (n < cap)
			out[n] = id;
		n++;
	}
	return n;
}

static void leaks(struct findings *f, const struct mv_policy *p, bool vmx)
{
	enum mv_feature_id id[MV_NFEATURES];
	size_t n = mv_leaks(p, &p->source, vmx, id, MV_NFEATURES);

	for (size_t i = 0; i < n; i++) {
		const struct mv_feature *feature = &mv_features[id[i]];
		struct mv_lint l = { .kind = MV_LINT_HIDDEN_ONLY, .feature = feature };

		if (!hidden(p, &p->source, id[i]))
			continue;
		l.at = mv_mask_at(&p->final, feature->leaf, feature->subleaf, feature->reg,
				  feature->bit);
		l.cause = mv_feature_kept_by(&p->guest, id[i], vmx);
		if (l.cause)
			l.kind = MV_LINT_SPLIT;
		add(f, l);
	}
}

/*
 * Compilers and libraries also choose code by family and model (gcc's arch= clones, OpenBLAS). A
 * guest that is shown the host's own signature is promised what such a CPU has.
 */
static void signature(struct findings *f, const struct mv_policy *p)
{
	static const enum mv_feature_id chosen[] = { MV_F_SSE4_2, MV_F_AVX, MV_F_FMA, MV_F_AVX2,
						     MV_F_AVX512F };
	const struct mv_field *model = &mv_fields[MV_FIELD_MODEL];
	enum mv_sym s = mv_mask_sym(&p->final, model->leaf, model->subleaf, model->reg, model->lo);

	if (s != MV_SYM_X && s != MV_SYM_H)
		return;
	for (size_t i = 0; i < sizeof(chosen) / sizeof(chosen[0]); i++) {
		const struct mv_feature *feature = &mv_features[chosen[i]];

		if (!hidden(p, &p->source, chosen[i]))
			continue;
		add(f, (struct mv_lint){
			       .kind = MV_LINT_SIGNATURE, .feature = feature,
			       .at = mv_mask_at(&p->final, feature->leaf, feature->subleaf,
						feature->reg, feature->bit) });
		return;	/* one promise is enough to say it */
	}
}

size_t mv_lint(const struct mv_policy *p, const struct mv_notes *notes, bool vmx,
	       struct mv_lint *out, size_t cap)
{
	struct findings f = { .out = out, .cap = cap };

	shown(&f, notes);
	leaks(&f, p, vmx);
	signature(&f, p);
	return f.n;
}
