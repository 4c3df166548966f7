/* SPDX-License-Identifier: MIT */
/* The table of dialects, their losses, and the mask language's own forms as dialects. */
#include "dialect.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "maskwrite.h"

const struct mv_caps_bit mv_caps_bits[] = {
	{ 0, "rdctl-no", "rdcl-no" },
	{ 1, "ibrs-all", "eibrs" },
	{ 2, "rsba", "rsba" },
	{ 3, "skip-l1dfl-vmentry", "skip-l1dfl" },
	{ 4, "ssb-no", "intel-ssb-no" },
	{ 5, "mds-no", "mds-no" },
	{ 6, "pschange-mc-no", "if-pschange-mc-no" },
	{ 7, "tsx-ctrl", "tsx-ctrl" },
	{ 8, "taa-no", "taa-no" },
	{ 9, "", "mcu-ctrl" },
	{ 10, "", "misc-pkg-ctrl" },
	{ 11, "", "energy-filtering" },
	{ 12, "", "doitm" },
	{ 13, "sbdr-ssdp-no", "sbdr-ssdp-no" },
	{ 14, "fbsdp-no", "fbsdp-no" },
	{ 15, "psdp-no", "psdp-no" },
	{ 16, "", "mcu-ext" },
	{ 17, "fb-clear", "fb-clear" },
	{ 18, "", "fb-clear-ctrl" },
	{ 19, "", "rrsba" },
	{ 20, "bhi-no", "bhi-no" },
	{ 21, "", "xapic-status" },
	{ 23, "", "ovrclk-status" },
	{ 24, "pbrsb-no", "pbrsb-no" },
	{ 25, "", "gds-ctrl" },
	{ 26, "gds-no", "gds-no" },
	{ 27, "rfds-no", "rfds-no" },
	{ 28, "rfds-clear", "rfds-clear" },
	{ 29, "", "ign-umonitor" },
	{ 30, "", "mon-umon-mitg" },
	{ 32, "", "pb-opt-ctrl" },
	{ 62, "its-no", "its-no" },
	{ 64, "", "" },
};

/* ---- losses ---- */

static struct mv_loss *loss(struct mv_losses *l, const char *what)
{
	struct mv_loss *more;
	size_t len = strlen(what);

	len = len < sizeof(l->v->what) ? len : sizeof(l->v->what) - 1;
	for (uint32_t i = 0; i < l->n; i++)
		if (!strncmp(l->v[i].what, what, len) && !l->v[i].what[len])
			return &l->v[i];
	if (l->n == l->room) {
		more = realloc(l->v, (l->room + 16) * sizeof(*more));
		if (!more)
			return NULL;
		l->v = more;
		l->room += 16;
	}
	more = &l->v[l->n++];
	memset(more, 0, sizeof(*more));
	memcpy(more->what, what, len);
	return more;
}

static void add_item(struct mv_losses *l, const char *what, const char *item)
{
	struct mv_loss *o = loss(l, what);
	char (*more)[MV_LOSS_ITEM];

	/* The bits of a number come one by one: it is one item. */
	if (!o || (o->n && !strcmp(o->items[o->n - 1], item)))
		return;
	if (o->n == o->room) {
		more = realloc(o->items, (o->room + 64) * sizeof(*more));
		if (!more)
			return;
		o->items = more;
		o->room += 64;
	}
	snprintf(o->items[o->n++], sizeof(*o->items), "%s", item);
}

void mv_loss_bit(struct mv_losses *l, const char *what, uint32_t leaf, uint32_t subleaf, unsigned reg,
		 unsigned bit)
{
	char text[128];

	mv_bit_format(text, sizeof(text), leaf, subleaf, reg, bit);
	add_item(l, what, text);
}

void mv_loss_item(struct mv_losses *l, const char *what, const char *fmt, ...)
{
	char text[MV_LOSS_ITEM];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add_item(l, what, text);
}

void mv_loss_note(struct mv_losses *l, const char *fmt, ...)
{
	char text[sizeof(l->v->what)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	loss(l, text);
}

void mv_losses_free(struct mv_losses *l)
{
	for (uint32_t i = 0; i < l->n; i++)
		free(l->v[i].items);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

/* ---- masks ---- */

bool mv_dialect_u32(const char *text, uint32_t *out)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 0);
	*out = (uint32_t)n;
	/* strtoull takes blanks and a sign, too. */
	return *text >= '0' && *text <= '9' && !*end && !errno && n <= UINT32_MAX;
}

char mv_dialect_reduce(enum mv_sym s, const char **lost)
{
	*lost = NULL;
	switch (s) {
	case MV_SYM_T: *lost = "T: set, but a host that lacks it is not refused"; return '1';
	case MV_SYM_F: *lost = "F: cleared, but a host that has it is not refused"; return '0';
	case MV_SYM_1: return '1';
	case MV_SYM_0: return '0';
	case MV_SYM_H: *lost = "H: the host's value, source and destination are not compared"; return 'x';
	case MV_SYM_R: *lost = "R: cleared, but source and destination hardware are not compared"; return '0';
	default: return 'x';
	}
}

int mv_dialect_set(struct mv_mask *m, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit,
		   enum mv_sym s, mv_at at)
{
	struct mv_mask_reg *r = mv_mask_add(m, leaf, subleaf, reg, MV_VENDOR_OTHER);

	if (!r)
		return -MV_E_INPUT;
	mv_mask_reg_set(r, bit, s, at);
	return 0;
}

int mv_dialect_set_field(struct mv_mask *m, enum mv_field_id id, uint32_t value, mv_at at)
{
	uint32_t i = 0;

	while (i < m->nfields && m->fields[i].id != id)
		i++;
	if (i == MV_MASK_FIELDS)
		return -MV_E_INPUT;
	m->fields[i] = (struct mv_mask_field){ .id = (uint16_t)id, .value = value, .at = at };
	m->nfields += i == m->nfields;
	return 0;
}

int mv_dialect_set_msr(struct mv_mask *m, uint32_t index, unsigned bit, enum mv_sym s, mv_at at)
{
	uint32_t i = 0;

	while (i < m->nmsrs && m->msrs[i].index != index)
		i++;
	if (i == MV_MASK_MSRS)
		return -MV_E_INPUT;
	if (i == m->nmsrs)
		m->msrs[m->nmsrs++] = (struct mv_mask_msr){ .index = index, .at = at };
	mv_mask_msr_set(&m->msrs[i], bit, s);
	return 0;
}

/* Lines for a vendor: of the VM's own, or lost. */
static void lay_vendor(struct mv_mask *out, const struct mv_mask *m, enum mv_vendor vendor,
		       struct mv_losses *l)
{
	for (uint32_t i = 0; i < m->nregs; i++) {
		const struct mv_mask_reg *r = &m->regs[i];
		struct mv_mask_reg *to;

		if (r->vendor == MV_VENDOR_OTHER)
			continue;
		if (r->vendor == vendor || (r->vendor == MV_VENDOR_AMD && vendor == MV_VENDOR_HYGON)) {
			to = mv_mask_add(out, r->leaf, r->subleaf, r->reg, MV_VENDOR_OTHER);
			if (to)
				mv_mask_reg_overlay(to, r);
		} else if (vendor == MV_VENDOR_OTHER) {
			mv_loss_item(l, "lines for one vendor are left out: --vendor chooses",
				     "level 0x%x %s .%s", r->leaf, mv_reg_name(r->reg),
				     r->vendor == MV_VENDOR_INTEL ? "intel" : "amd");
		}
	}
}

static void fields_to_bits(struct mv_mask *m)
{
	for (uint32_t i = 0; i < m->nfields; i++) {
		const struct mv_field *f = &mv_fields[m->fields[i].id];

		for (unsigned bit = f->lo; bit <= f->hi; bit++)
			mv_dialect_set(m, f->leaf, f->subleaf, f->reg, bit,
				       m->fields[i].value >> (bit - f->lo) & 1 ? MV_SYM_1 : MV_SYM_0,
				       m->fields[i].at);
	}
	m->nfields = 0;
}

struct mv_mask *mv_dialect_plain(const struct mv_mask *m, const struct mv_dialect_opts *o, bool bits,
				 struct mv_losses *l)
{
	struct mv_mask *out = calloc(1, sizeof(*out));

	if (!out)
		return NULL;
	for (uint32_t i = 0; i < m->nregs; i++) {
		const struct mv_mask_reg *r = &m->regs[i];

		if (r->vendor == MV_VENDOR_OTHER)
			mv_mask_reg_overlay(mv_mask_add(out, r->leaf, r->subleaf, r->reg,
							MV_VENDOR_OTHER), r);
	}
	lay_vendor(out, m, o->vendor, l);
	memcpy(out->fields, m->fields, sizeof(m->fields));
	memcpy(out->msrs, m->msrs, sizeof(m->msrs));
	out->nfields = m->nfields;
	out->nmsrs = m->nmsrs;
	if (bits)
		fields_to_bits(out);
	mv_mask_sort(out);
	return out;
}

/* ---- the mask language's own forms ---- */

static void note(struct mv_losses *l, uint32_t n, const char *what)
{
	if (n)
		mv_loss_note(l, "%u %s", n, what);
}

static int write_form(FILE *out, const struct mv_mask *m, enum mv_mask_form form, struct mv_losses *l,
		      struct mv_err *err)
{
	struct mv_mask_losses losses;
	size_t n = mv_mask_write(NULL, 0, m, form, NULL) + 1;
	char *text = malloc(n);

	if (!text)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	mv_mask_write(text, n, m, form, &losses);
	fputs(text, out);
	free(text);
	note(l, losses.vendor, "registers are for one vendor only: written as .vmx lines");
	note(l, losses.sublevels, "registers are of a sublevel, which VMware's keys don't have");
	note(l, losses.unnamed, "registers have bits without a name: written in the guide's form");
	if (form != MV_FORM_FEATURE) {
		note(l, losses.fields, "numbers have no place in this form: written as field lines");
		note(l, losses.msrs, "MSRs have no place in this form: written as msr lines");
	}
	return 0;
}

#define FORM(id, form)                                                                            \
	static int to_##id(FILE *out, const struct mv_mask *m, const struct mv_dialect_opts *o,    \
			   struct mv_losses *l, struct mv_err *err)                                \
	{                                                                                          \
		(void)o;                                                                           \
		return write_form(out, m, form, l, err);                                           \
	}
FORM(guide, MV_FORM_GUIDE)
FORM(vmx, MV_FORM_VMX)
FORM(feature, MV_FORM_FEATURE)

static const struct mv_dialect guide = { "guide", "VMware's guide: levels and rows", NULL, to_guide };
static const struct mv_dialect feature = { "feature", "a line a feature", NULL, to_feature };

extern int mv_dialect_vmx_from(struct mv_mask *m, const char *file, const char *text, size_t len,
			       struct mv_losses *l, struct mv_err *err);
const struct mv_dialect mv_dialect_vmx = { "vmx", "cpuid.* keys of a .vmx file", mv_dialect_vmx_from,
					   to_vmx };

/* ---- the table ---- */

const struct mv_dialect *const mv_dialects[] = {
	&guide, &feature, &mv_dialect_vmx, &mv_dialect_featmask, &mv_dialect_xl, &mv_dialect_xl_list,
	&mv_dialect_firecracker, &mv_dialect_qemu,
	&mv_dialect_libvirt, NULL,
};

const struct mv_dialect *mv_dialect_find(const char *name)
{
	for (const struct mv_dialect *const *d = mv_dialects; *d; d++)
		if (!strcmp((*d)->name, name))
			return *d;
	return NULL;
}

void mv_dialect_names(char *buf, size_t size)
{
	size_t used = 0;

	*buf = '\0';
	for (const struct mv_dialect *const *d = mv_dialects; *d && used < size; d++)
		used += (size_t)snprintf(buf + used, size - used, "%s%s",
					 d == mv_dialects ? "" : d[1] ? ", " : " or ", (*d)->name);
}

void mv_dialect_write_numbers(FILE *out, const struct mv_mask *m, const struct mv_dialect_number *numbers,
			      size_t nnumbers, struct mv_losses *l, const char *lost)
{
	bool said[MV_NFIELDS] = { false };

	for (size_t i = 0; i < nnumbers; i++) {
		const struct mv_mask_field *lo = mv_mask_find_field(m, numbers[i].lo);
		const struct mv_mask_field *hi =
			numbers[i].hi == MV_NFIELDS ? NULL : mv_mask_find_field(m, numbers[i].hi);
		uint32_t n = lo ? lo->value : 0;

		if (!lo || (numbers[i].hi != MV_NFIELDS && !hi))
			continue;
		if (numbers[i].hi == MV_FIELD_EXT_FAMILY) {
			if (n != 15 && hi->value)
				continue;
			n += hi->value;
		} else if (hi) {
			n |= hi->value << 4;
		}
		said[numbers[i].lo] = true;
		if (hi)
			said[numbers[i].hi] = true;
		fprintf(out, n > 255 ? ",%s=0x%x" : ",%s=%u", numbers[i].key, n);
	}
	for (uint32_t i = 0; i < m->nfields; i++)
		if (!said[m->fields[i].id])
			mv_loss_item(l, lost, "field %s", mv_fields[m->fields[i].id].name);
}
