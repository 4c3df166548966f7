/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <string.h>

#include "text.h"

const struct mv_leaf *mv_table_find(const struct mv_table *t, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->e[i].leaf == leaf && t->e[i].subleaf == subleaf)
			return &t->e[i];
	return NULL;
}

struct mv_leaf *mv_table_get(struct mv_table *t, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->e[i].leaf == leaf && t->e[i].subleaf == subleaf)
			return &t->e[i];
	return NULL;
}

struct mv_leaf *mv_table_add(struct mv_table *t, uint32_t leaf, uint32_t subleaf)
{
	struct mv_leaf *e = mv_table_get(t, leaf, subleaf);

	if (e)
		return e;
	if (t->n == MV_TABLE_MAX)
		return NULL;
	e = &t->e[t->n++];
	memset(e, 0, sizeof(*e));
	e->leaf = leaf;
	e->subleaf = subleaf;
	return e;
}

uint32_t mv_table_reg(const struct mv_table *t, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	const struct mv_leaf *e = mv_table_find(t, leaf, subleaf);

	return e ? e->reg[reg] : 0;
}

bool mv_table_bit(const struct mv_table *t, uint32_t leaf, uint32_t subleaf, unsigned reg,
		  unsigned bit)
{
	return mv_table_reg(t, leaf, subleaf, reg) >> bit & 1;
}

bool mv_table_has(const struct mv_table *t, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];

	return mv_table_bit(t, f->leaf, f->subleaf, f->reg, f->bit);
}

static uint32_t field_mask(const struct mv_field *f)
{
	uint32_t width = f->hi - f->lo + 1u;

	return (width == 32 ? UINT32_MAX : (UINT32_C(1) << width) - 1) << f->lo;
}

uint32_t mv_table_field(const struct mv_table *t, enum mv_field_id id)
{
	const struct mv_field *f = &mv_fields[id];

	return (mv_table_reg(t, f->leaf, f->subleaf, f->reg) & field_mask(f)) >> f->lo;
}

int mv_table_set_bit(struct mv_table *t, uint32_t leaf, uint32_t subleaf, unsigned reg,
		     unsigned bit, bool value)
{
	struct mv_leaf *e = value ? mv_table_add(t, leaf, subleaf) : mv_table_get(t, leaf, subleaf);

	if (!e)
		return value ? -MV_E_INPUT : 0;
	if (value)
		e->reg[reg] |= UINT32_C(1) << bit;
	else
		e->reg[reg] &= ~(UINT32_C(1) << bit);
	return 0;
}

int mv_table_set_feature(struct mv_table *t, enum mv_feature_id id, bool value)
{
	const struct mv_feature *f = &mv_features[id];

	return mv_table_set_bit(t, f->leaf, f->subleaf, f->reg, f->bit, value);
}

int mv_table_set_field(struct mv_table *t, enum mv_field_id id, uint32_t value)
{
	const struct mv_field *f = &mv_fields[id];
	struct mv_leaf *e = value ? mv_table_add(t, f->leaf, f->subleaf)
				  : mv_table_get(t, f->leaf, f->subleaf);

	if (!e)
		return value ? -MV_E_INPUT : 0;
	e->reg[f->reg] = (e->reg[f->reg] & ~field_mask(f)) | (value << f->lo & field_mask(f));
	return 0;
}

bool mv_leaf_counts_subleaves(uint32_t leaf)
{
	switch (leaf) {
	case 0x7:
	case 0x14:
	case 0x17:
	case 0x18:
	case 0x1d:
	case 0x20:
	case 0x24:
		return true;
	default:
		return false;
	}
}

bool mv_leaf_ends_list(uint32_t leaf, const uint32_t reg[MV_NREGS])
{
	switch (leaf) {
	case 0x4:
	case 0x8000001d:
		return (reg[MV_EAX] & 0x1f) == 0;
	case 0xb:
	case 0x1f:
	case 0x80000026:
		return (reg[MV_ECX] >> 8 & 0xff) == 0;
	default:
		return false;
	}
}

static bool leaf_before(const struct mv_leaf *a, const struct mv_leaf *b)
{
	return a->leaf != b->leaf ? a->leaf < b->leaf : a->subleaf < b->subleaf;
}

void mv_table_sort(struct mv_table *t)
{
	/* Insertion sort: tables are short and mostly in order already. */
	for (uint32_t i = 1; i < t->n; i++) {
		struct mv_leaf e = t->e[i];
		uint32_t j = i;

		for (; j > 0 && leaf_before(&e, &t->e[j - 1]); j--)
			t->e[j] = t->e[j - 1];
		t->e[j] = e;
	}
}

void mv_table_vendor_string(const struct mv_table *t, char out[13])
{
	const struct mv_leaf *e = mv_table_find(t, 0, 0);

	memset(out, 0, 13);
	if (!e)
		return;
	memcpy(out, &e->reg[MV_EBX], 4);
	memcpy(out + 4, &e->reg[MV_EDX], 4);
	memcpy(out + 8, &e->reg[MV_ECX], 4);
	mv_text_printable(out);
}

enum mv_vendor mv_table_vendor(const struct mv_table *t)
{
	char s[13];

	mv_table_vendor_string(t, s);
	if (!strcmp(s, "GenuineIntel"))
		return MV_VENDOR_INTEL;
	if (!strcmp(s, "AuthenticAMD"))
		return MV_VENDOR_AMD;
	if (!strcmp(s, "HygonGenuine"))
		return MV_VENDOR_HYGON;
	return MV_VENDOR_OTHER;
}

bool mv_vendor_amd(enum mv_vendor v)
{
	return v == MV_VENDOR_AMD || v == MV_VENDOR_HYGON;
}

bool mv_table_vmx(const struct mv_table *t)
{
	return !mv_vendor_amd(mv_table_vendor(t));
}

void mv_table_brand_string(const struct mv_table *t, char out[49])
{
	memset(out, 0, 49);
	for (uint32_t i = 0; i < 3; i++) {
		const struct mv_leaf *e = mv_table_find(t, 0x80000002 + i, 0);

		if (e)
			memcpy(out + 16 * i, e->reg, 16);
	}
	mv_text_printable(out);
}

struct mv_signature mv_table_signature(const struct mv_table *t)
{
	uint32_t eax = mv_table_reg(t, 1, 0, MV_EAX);
	struct mv_signature s = {
		.family = eax >> 8 & 0xf,
		.model = eax >> 4 & 0xf,
		.stepping = eax & 0xf,
	};

	/* SDM Vol. 2A, CPUID, "Version Information": extended parts count only for these families. */
	if (s.family == 0x6 || s.family == 0xf)
		s.model |= (eax >> 16 & 0xf) << 4;
	if (s.family == 0xf)
		s.family += eax >> 20 & 0xff;
	return s;
}

uint32_t mv_volatile_bits(uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];

		if (f->cls == MV_FC_DYNAMIC && f->leaf == leaf && f->subleaf == subleaf &&
		    f->reg == reg)
			mask |= UINT32_C(1) << f->bit;
	}
	for (unsigned i = 0; i < MV_NFIELDS; i++) {
		const struct mv_field *f = &mv_fields[i];

		if ((f->rule == MV_FR_DYNAMIC || f->rule == MV_FR_PERCPU) && f->leaf == leaf &&
		    f->subleaf == subleaf && f->reg == reg)
			mask |= field_mask(f);
	}
	/*
	 * MISC_ENABLE[18] switches MONITOR while the guest runs (a KVM quirk), and the local APIC's
	 * enable bit switches APIC: both bits stay comparable between hosts, but not between reads.
	 */
	if (leaf == 1 && reg == MV_ECX)
		mask |= UINT32_C(1) << 3;
	if (leaf == 1 && reg == MV_EDX)
		mask |= UINT32_C(1) << 9;
	return mask;
}
