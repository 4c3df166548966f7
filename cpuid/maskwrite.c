/* SPDX-License-Identifier: MIT */
#include "maskwrite.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct writer {
	char *buf;
	size_t size, len;
	struct mv_mask_losses *losses;
	bool have_level;		/* a Level line was written, for … */
	uint32_t leaf, subleaf;
};

static const char *const form_names[MV_NFORMS] = { "guide", "vmx", "feature" };

const char *mv_mask_form_name(enum mv_mask_form form)
{
	return form < MV_NFORMS ? form_names[form] : "?";
}

int mv_mask_form_parse(const char *name)
{
	for (int i = 0; i < MV_NFORMS; i++)
		if (!strcmp(name, form_names[i]))
			return i;
	return -1;
}

static void put(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct writer *w, const char *fmt, ...)
{
	size_t room = w->len < w->size ? w->size - w->len : 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(room ? w->buf + w->len : NULL, room, fmt, ap);
	va_end(ap);
	w->len += n > 0 ? (size_t)n : 0;
}

/* The same symbol in all bits: one line says it best. */
static bool uniform(const struct mv_mask_reg *r)
{
	for (unsigned p = 0; p < 3; p++)
		if (r->plane[p] && r->plane[p] != UINT32_MAX)
			return false;
	return true;
}

static void put_guide(struct writer *w, const struct mv_mask_reg *r)
{
	char level[64], text[MV_MASK_TEXT];

	if (!w->have_level || w->leaf != r->leaf || w->subleaf != r->subleaf) {
		mv_level_format(level, sizeof(level), r->leaf, r->subleaf);
		put(w, "%s\n", level);
		w->have_level = true;
		w->leaf = r->leaf;
		w->subleaf = r->subleaf;
	}
	mv_mask_reg_format(r, text);
	put(w, "%s: %s\n", mv_reg_name(r->reg), text);
}

static void put_vmx(struct writer *w, const struct mv_mask_reg *r)
{
	char text[MV_MASK_TEXT];

	mv_mask_reg_format(r, text);
	for (char *p = text; *p; p++)
		if (*p == ' ')
			*p = ':';
	put(w, "cpuid.%x.", r->leaf);
	if (r->subleaf)
		put(w, "%x.", r->subleaf);
	put(w, "%s", mv_reg_name_lower(r->reg));
	if (r->vendor != MV_VENDOR_OTHER)
		put(w, ".%s", r->vendor == MV_VENDOR_INTEL ? "intel" : "amd");
	put(w, " = \"%s\"\n", text);
}

/* A line for each bit that has a name; the others stay together in the guide's form. */
static void put_features(struct writer *w, const struct mv_mask_reg *r)
{
	struct mv_mask_reg rest = *r;
	bool any = false;
	char level[64];

	for (unsigned bit = 0; bit < 32; bit++) {
		const struct mv_feature *f = mv_feature_at(r->leaf, r->subleaf, r->reg, bit);
		enum mv_sym s = mv_mask_reg_sym(r, bit);

		if (!f || s == MV_SYM_INHERIT || uniform(r))
			continue;
		if (!any) {
			mv_level_format(level, sizeof(level), r->leaf, r->subleaf);
			put(w, "# %s %s\n", level, mv_reg_name(r->reg));
		}
		any = true;
		put(w, "feature %s = %c\n", f->name, mv_sym_char(s));
		mv_mask_reg_set(&rest, bit, MV_SYM_INHERIT, 0);
	}
	if (!mv_mask_reg_named(&rest))
		return;
	w->losses->unnamed++;
	put_guide(w, &rest);
}

static void put_register(struct writer *w, const struct mv_mask_reg *r, enum mv_mask_form form)
{
	if (!mv_mask_reg_named(r))
		return;
	if (form == MV_FORM_VMX) {
		w->losses->sublevels += r->subleaf != 0;
		put_vmx(w, r);
	} else if (r->vendor != MV_VENDOR_OTHER) {
		w->losses->vendor++;
		put_vmx(w, r);
	} else if (form == MV_FORM_FEATURE) {
		put_features(w, r);
	} else {
		put_guide(w, r);
	}
}

static void put_field(struct writer *w, const struct mv_mask_field *f)
{
	/* Levels are known by their hexadecimal number, widths and models by the other. */
	put(w, f->value > 255 || f->id == MV_FIELD_MAX_LEAF ? "field %s = 0x%x\n"
							     : "field %s = %u\n",
	    mv_fields[f->id].name, f->value);
}

static void put_msr(struct writer *w, const struct mv_mask_msr *m)
{
	char text[MV_MASK_MSR_TEXT];

	mv_mask_msr_format(m, text);
	put(w, "msr 0x%x = \"%s\"\n", m->index, text);
}

size_t mv_mask_write(char *buf, size_t size, const struct mv_mask *m, enum mv_mask_form form,
		     struct mv_mask_losses *losses)
{
	struct mv_mask_losses unwanted = { 0 };
	struct writer w = { .buf = buf, .size = size, .losses = losses ? losses : &unwanted };

	memset(w.losses, 0, sizeof(*w.losses));
	if (size)
		*buf = '\0';
	for (uint32_t i = 0; i < m->nregs; i++)
		put_register(&w, &m->regs[i], form);
	for (uint32_t i = 0; i < m->nfields; i++)
		put_field(&w, &m->fields[i]);
	for (uint32_t i = 0; i < m->nmsrs; i++)
		put_msr(&w, &m->msrs[i]);
	w.losses->fields = m->nfields;
	w.losses->msrs = m->nmsrs;
	return w.len;
}
