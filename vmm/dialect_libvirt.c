/* SPDX-License-Identifier: MIT */
/*
 * libvirt: the <cpu> of a domain. Which names there are and what a model stands for, libvirt's own CPU
 * map says; a mask is what is put on top of the model.
 */
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "virt.h"

/* 64-bit models with as few features as libvirt has: what a mask hides is spelled out anyway. */
#define MODEL_INTEL "Conroe"
#define MODEL_AMD "Opteron_G1"

static enum mv_virt_policy policy(enum mv_sym s)
{
	switch (s) {
	case MV_SYM_T: return MV_VIRT_REQUIRE;
	case MV_SYM_1: return MV_VIRT_FORCE;
	case MV_SYM_F: return MV_VIRT_FORBID;
	case MV_SYM_0:
	case MV_SYM_R: return MV_VIRT_DISABLE;
	case MV_SYM_H:
	case MV_SYM_X: return MV_VIRT_OPTIONAL;
	default: return MV_VIRT_NO_POLICY;
	}
}

static enum mv_sym symbol(enum mv_virt_policy p)
{
	switch (p) {
	case MV_VIRT_FORCE: return MV_SYM_1;
	case MV_VIRT_FORBID: return MV_SYM_F;
	case MV_VIRT_DISABLE: return MV_SYM_0;
	case MV_VIRT_OPTIONAL: return MV_SYM_X;
	default: return MV_SYM_T;
	}
}

/* What one mask needs to become XML, and back. */
struct work {
	struct mv_virt *v;
	struct mv_virt_names names;
	struct mv_virt_set model;
	struct mv_virt_cpu cpu;
};

static int begin(struct work **w, struct mv_err *err)
{
	*w = calloc(1, sizeof(**w));
	return *w ? mv_virt_open_local(&(*w)->v, err) : mv_err_set(err, MV_E_FAILED, "out of memory");
}

static void finish(struct work *w)
{
	if (w)
		mv_virt_close(w->v);
	free(w);
}

/* ---- writing ---- */

static void lost_equality(struct mv_losses *l, enum mv_sym s, const struct mv_feature *f)
{
	if (s == MV_SYM_H)
		mv_loss_bit(l, "H becomes optional: source and destination are not compared", f->leaf, f->subleaf,
			    f->reg, f->bit);
	if (s == MV_SYM_R)
		mv_loss_bit(l, "R becomes disable: source and destination hardware are not compared", f->leaf,
			    f->subleaf, f->reg, f->bit);
}

static void write_feature(FILE *out, const struct work *w, const struct mv_mask *m, enum mv_feature_id id,
			  struct mv_losses *l)
{
	const struct mv_feature *f = &mv_features[id];
	enum mv_sym s = mv_mask_sym(m, f->leaf, f->subleaf, f->reg, f->bit);
	const char *name = w->names.feature[id];

	/* Made for each guest by QEMU: APIC and topology, what a guest switches on. */
	if (mv_feature_computed(f))
		return;
	if (s == MV_SYM_INHERIT) {
		if (mv_featset_has(&w->model.on, id))
			mv_loss_bit(l, "open in the mask, shown by the CPU model (--model chooses another)", f->leaf,
				    f->subleaf, f->reg, f->bit);
		return;
	}
	if (*name) {
		lost_equality(l, s, f);
		fprintf(out, "  <feature policy='%s' name='%s'/>\n", mv_virt_policy_name(policy(s)), name);
	} else if (s != MV_SYM_0 && s != MV_SYM_R) {
		/* What libvirt has no name for, its guests don't see. */
		mv_loss_bit(l, "libvirt has no name for it: hidden", f->leaf, f->subleaf, f->reg, f->bit);
	}
}

/* Bits without a row in the bit table. */
static void lost_bits(const struct mv_mask *m, struct mv_losses *l)
{
	for (uint32_t i = 0; i < m->nregs; i++)
		for (unsigned bit = 0; bit < 32; bit++) {
			const struct mv_mask_reg *r = &m->regs[i];
			enum mv_sym s = mv_mask_reg_sym(r, bit);

			if (s != MV_SYM_INHERIT && s != MV_SYM_0 && s != MV_SYM_R && s != MV_SYM_X &&
			    !mv_feature_at(r->leaf, r->subleaf, r->reg, bit))
				mv_loss_bit(l, "libvirt's CPUs have features only: left to QEMU", r->leaf,
					    r->subleaf, r->reg, bit);
		}
}

static void write_caps(FILE *out, const struct work *w, const struct mv_mask *m, struct mv_losses *l)
{
	for (uint32_t i = 0; i < m->nmsrs; i++) {
		const struct mv_mask_msr *msr = &m->msrs[i];

		if (msr->index != MV_MSR_ARCH_CAPABILITIES) {
			mv_loss_item(l, "libvirt's CPUs have no such MSR", "msr 0x%x", msr->index);
			continue;
		}
		for (unsigned bit = 0; bit < 64; bit++) {
			enum mv_sym s = mv_mask_msr_sym(msr, bit);

			if (*w->names.caps[bit] && s != MV_SYM_INHERIT)
				fprintf(out, "  <feature policy='%s' name='%s'/>\n",
					mv_virt_policy_name(policy(s)), w->names.caps[bit]);
			else if (s == MV_SYM_T || s == MV_SYM_1 || s == MV_SYM_F)
				mv_loss_item(l, "libvirt has no name for it: hidden", "msr 0x10a bit %u", bit);
		}
	}
}

static void write_fields(FILE *out, const struct mv_mask *m, struct mv_losses *l)
{
	for (uint32_t i = 0; i < m->nfields; i++) {
		const struct mv_mask_field *f = &m->fields[i];

		if (f->id == MV_FIELD_PHYS_BITS)
			fprintf(out, "  <maxphysaddr mode='emulate' bits='%u'/>\n", f->value);
		else
			mv_loss_item(l, "libvirt's CPUs have no such number: the model's, or QEMU's", "%s",
				     mv_fields[f->id].name);
	}
}

static void write_cpu(FILE *out, const struct work *w, const struct mv_mask *m, const char *model,
		      enum mv_vendor vendor, struct mv_losses *l)
{
	fprintf(out, "<cpu mode='custom' match='exact' check='full'>\n"
		     "  <model fallback='forbid'>%s</model>\n", model);
	if (vendor != MV_VENDOR_OTHER)
		fprintf(out, "  <vendor>%s</vendor>\n", vendor == MV_VENDOR_INTEL ? "Intel" : "AMD");
	write_fields(out, m, l);
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		write_feature(out, w, m, (enum mv_feature_id)i, l);
	write_caps(out, w, m, l);
	/* Every guest is told that it is one; check='full' would complain of a feature more. */
	fputs("  <feature policy='require' name='hypervisor'/>\n</cpu>\n", out);
	lost_bits(m, l);
}

static int to_libvirt(FILE *out, const struct mv_mask *m, const struct mv_dialect_opts *o,
		      struct mv_losses *l, struct mv_err *err)
{
	const char *model = o->model ? o->model : o->vendor == MV_VENDOR_AMD ? MODEL_AMD : MODEL_INTEL;
	struct mv_mask *plain = mv_dialect_plain(m, o, false, l);
	struct work *w = NULL;
	int rc = plain ? begin(&w, err) : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0)
		rc = mv_virt_names(w->v, &w->names, err);
	if (rc == 0)
		rc = mv_virt_model(w->v, model, &w->model, err);
	if (rc == 0)
		write_cpu(out, w, plain, model, o->vendor, l);
	finish(w);
	free(plain);
	return rc;
}

/* ---- reading ---- */

static int read_feature(struct mv_mask *m, const struct mv_virt_feature *f, struct mv_losses *l)
{
	enum mv_sym s = symbol((enum mv_virt_policy)f->policy);
	const struct mv_feature *row = mv_feature_by_alias(MV_SPELL_QEMU, f->name, strlen(f->name));

	if (row && mv_feature_computed(row))
		return 0;
	if (row)
		return mv_dialect_set(m, row->leaf, row->subleaf, row->reg, row->bit, s, 0);
	for (const struct mv_caps_bit *b = mv_caps_bits; b->bit < 64; b++)
		if (!strcmp(b->qemu, f->name))
			return mv_dialect_set_msr(m, MV_MSR_ARCH_CAPABILITIES, b->bit, s, 0);
	mv_loss_item(l, "no CPUID bit has the name, it is left out", "%s", f->name);
	return 0;
}

/*
 * The model's features, and 0 for all others that libvirt could have named: QEMU hides them. Unless the model
 * is but the least: then they are the host's.
 */
static int read_model(struct mv_mask *m, const struct work *w)
{
	bool minimum = !strcmp(w->cpu.match, "minimum");
	int rc = 0;

	for (unsigned i = 0; i < MV_NFEATURES && rc == 0; i++) {
		const struct mv_feature *f = &mv_features[i];
		bool on = mv_featset_has(&w->model.on, (enum mv_feature_id)i);

		if (!mv_feature_computed(f) && (on || *w->names.feature[i]))
			rc = mv_dialect_set(m, f->leaf, f->subleaf, f->reg, f->bit,
					    on ? MV_SYM_T : minimum ? MV_SYM_X : MV_SYM_0, 0);
	}
	return rc;
}

static int read_cpu(struct mv_mask *m, struct work *w, const char *file, struct mv_losses *l,
		    struct mv_err *err)
{
	int rc = 0;

	if (!w->cpu.present)
		return mv_err_at(err, MV_E_INPUT, file, 0, 0, "there is no <cpu> in it");
	if (!*w->cpu.model && w->cpu.n == 0)
		return mv_err_at(err, MV_E_INPUT, file, w->cpu.line, 0,
				 "<cpu mode='%s'> follows the host: there is nothing to convert", w->cpu.mode);
	if (*w->cpu.model) {
		rc = mv_virt_names(w->v, &w->names, err);
		if (rc == 0)
			rc = mv_virt_model(w->v, w->cpu.model, &w->model, err);
		if (rc)
			return rc;
		rc = read_model(m, w);
	}
	for (uint32_t i = 0; i < w->cpu.n && rc == 0; i++)
		rc = read_feature(m, &w->cpu.feature[i], l);
	if (rc == 0 && w->cpu.phys_bits)
		rc = mv_dialect_set_field(m, MV_FIELD_PHYS_BITS, w->cpu.phys_bits, 0);
	if (w->cpu.phys_of_host && w->cpu.phys_bits)
		mv_loss_note(l, "<maxphysaddr limit='%u'>: a host that has fewer bits is not followed",
			     w->cpu.phys_bits);
	if (!strcmp(w->cpu.match, "strict"))
		mv_loss_note(l, "match='strict': a host that has more is not refused");
	if (*w->cpu.vendor)
		mv_loss_note(l, "<vendor>%s</vendor>: a mask fixes no vendor, the verdict compares it",
			     w->cpu.vendor);
	return rc ? mv_err_at(err, MV_E_INPUT, file, 0, 0, "more registers than one mask holds") : 0;
}

static int from_libvirt(struct mv_mask *m, const char *file, const char *text, size_t len,
			struct mv_losses *l, struct mv_err *err)
{
	struct work *w = NULL;
	int rc = begin(&w, err);

	mv_mask_clear(m);
	if (rc == 0)
		rc = mv_virt_cpu_parse(&w->cpu, file, text, len, err);
	if (rc == 0)
		rc = read_cpu(m, w, file, l, err);
	if (rc == 0)
		mv_mask_sort(m);
	finish(w);
	return rc;
}

const struct mv_dialect mv_dialect_libvirt = { "libvirt", "the <cpu> of a domain", from_libvirt, to_libvirt };
