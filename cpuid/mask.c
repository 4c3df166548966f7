/* SPDX-License-Identifier: MIT */
#include "mask.h"

#include <stdio.h>
#include <stddef.h>
#include <string.h>

static const char symbols[] = "-xTF10HR";

char mv_sym_char(enum mv_sym s)
{
	return symbols[s];
}

int mv_sym_parse(char c)
{
	switch (c) {
	case '-': return MV_SYM_INHERIT;
	case 'x': case 'X': return MV_SYM_X;
	case 't': case 'T': return MV_SYM_T;
	case 'f': case 'F': return MV_SYM_F;
	case '1': return MV_SYM_1;
	case '0': return MV_SYM_0;
	case 'h': case 'H': return MV_SYM_H;
	case 'r': case 'R': return MV_SYM_R;
	default: return -1;
	}
}

enum mv_sym mv_mask_msr_sym(const struct mv_mask_msr *m, unsigned bit)
{
	return (enum mv_sym)((m->plane[2] >> bit & 1) << 2 | (m->plane[1] >> bit & 1) << 1 |
			     (m->plane[0] >> bit & 1));
}

void mv_mask_msr_set(struct mv_mask_msr *m, unsigned bit, enum mv_sym s)
{
	for (unsigned p = 0; p < 3; p++) {
		m->plane[p] &= ~(UINT64_C(1) << bit);
		m->plane[p] |= (uint64_t)(s >> p & 1) << bit;
	}
}

uint64_t mv_mask_msr_with(const struct mv_mask_msr *m, enum mv_sym s)
{
	return ~((m->plane[0] ^ (s & 1 ? UINT64_MAX : 0)) |
		 (m->plane[1] ^ (s & 2 ? UINT64_MAX : 0)) |
		 (m->plane[2] ^ (s & 4 ? UINT64_MAX : 0)));
}

enum mv_sym mv_mask_reg_sym(const struct mv_mask_reg *r, unsigned bit)
{
	return (enum mv_sym)((r->plane[2] >> bit & 1) << 2 | (r->plane[1] >> bit & 1) << 1 |
			     (r->plane[0] >> bit & 1));
}

void mv_mask_reg_set(struct mv_mask_reg *r, unsigned bit, enum mv_sym s, mv_at at)
{
	for (unsigned p = 0; p < 3; p++) {
		r->plane[p] &= ~(UINT32_C(1) << bit);
		r->plane[p] |= (uint32_t)(s >> p & 1) << bit;
	}
	r->at[bit] = at;
}

bool mv_mask_reg_before(const struct mv_mask_reg *a, const struct mv_mask_reg *b)
{
	if (a->leaf != b->leaf)
		return a->leaf < b->leaf;
	if (a->subleaf != b->subleaf)
		return a->subleaf < b->subleaf;
	return a->reg < b->reg;
}

void mv_mask_clear(struct mv_mask *m)
{
	m->nregs = m->nfields = m->nmsrs = m->nsorted = 0;
}

void mv_mask_copy(struct mv_mask *to, const struct mv_mask *from)
{
	memcpy(to, from, offsetof(struct mv_mask, regs) + from->nregs * sizeof(from->regs[0]));
	memcpy(to->fields, from->fields, from->nfields * sizeof(from->fields[0]));
	memcpy(to->msrs, from->msrs, from->nmsrs * sizeof(from->msrs[0]));
}

/* Registers mostly come in order, so that the last one tells that a new one is not there yet. */
static bool beyond_last(const struct mv_mask *m, const struct mv_mask_reg *key)
{
	return m->nregs && m->nsorted == m->nregs &&
	       mv_mask_reg_before(&m->regs[m->nregs - 1], key);
}

static struct mv_mask_reg *find(struct mv_mask *m, const struct mv_mask_reg *key)
{
	if (beyond_last(m, key))
		return NULL;
	for (uint32_t i = 0; i < m->nregs; i++) {
		struct mv_mask_reg *r = &m->regs[i];

		if (r->leaf == key->leaf && r->subleaf == key->subleaf && r->reg == key->reg &&
		    r->vendor == key->vendor)
			return r;
	}
	return NULL;
}

const struct mv_mask_reg *mv_mask_find(const struct mv_mask *m, uint32_t leaf, uint32_t subleaf,
				       unsigned reg)
{
	for (uint32_t i = 0; i < m->nregs; i++) {
		const struct mv_mask_reg *r = &m->regs[i];

		if (r->leaf == leaf && r->subleaf == subleaf && r->reg == reg &&
		    r->vendor == MV_VENDOR_OTHER)
			return r;
	}
	return NULL;
}

struct mv_mask_reg *mv_mask_add(struct mv_mask *m, uint32_t leaf, uint32_t subleaf, unsigned reg,
				enum mv_vendor vendor)
{
	const struct mv_mask_reg key = { .leaf = leaf, .subleaf = subleaf, .reg = (uint8_t)reg,
					 .vendor = (uint8_t)vendor };
	struct mv_mask_reg *r = find(m, &key);

	if (r)
		return r;
	if (m->nregs == MV_MASK_REGS)
		return NULL;
	if (m->nregs == 0 || beyond_last(m, &key))
		m->nsorted = m->nregs + 1;
	r = &m->regs[m->nregs++];
	*r = key;
	return r;
}

enum mv_sym mv_mask_sym(const struct mv_mask *m, uint32_t leaf, uint32_t subleaf, unsigned reg,
			unsigned bit)
{
	const struct mv_mask_reg *r = mv_mask_find(m, leaf, subleaf, reg);

	return r ? mv_mask_reg_sym(r, bit) : MV_SYM_INHERIT;
}

mv_at mv_mask_at(const struct mv_mask *m, uint32_t leaf, uint32_t subleaf, unsigned reg,
		 unsigned bit)
{
	const struct mv_mask_reg *r = mv_mask_find(m, leaf, subleaf, reg);

	return r ? r->at[bit] : 0;
}

const struct mv_mask_field *mv_mask_find_field(const struct mv_mask *m, enum mv_field_id id)
{
	for (uint32_t i = 0; i < m->nfields; i++)
		if (m->fields[i].id == id)
			return &m->fields[i];
	return NULL;
}

static int full(struct mv_err *err)
{
	return mv_err_set(err, MV_E_INPUT, "the masks name more than %d registers", MV_MASK_REGS);
}

void mv_mask_reg_overlay(struct mv_mask_reg *to, const struct mv_mask_reg *from)
{
	uint32_t named = mv_mask_reg_named(from);

	for (unsigned p = 0; p < 3; p++)
		to->plane[p] = (to->plane[p] & ~named) | (from->plane[p] & named);
	if (named == UINT32_MAX) {
		memcpy(to->at, from->at, sizeof(to->at));
		return;
	}
	for (unsigned bit = 0; bit < 32; bit++)
		if (named >> bit & 1)
			to->at[bit] = from->at[bit];
}

static int overlay_numbers(struct mv_mask *m, const struct mv_mask *later, struct mv_err *err)
{
	for (uint32_t i = 0; i < later->nfields; i++) {
		uint32_t j = 0;

		while (j < m->nfields && m->fields[j].id != later->fields[i].id)
			j++;
		if (j == MV_MASK_FIELDS)
			return mv_err_set(err, MV_E_INPUT, "the masks set more than %d fields",
					  MV_MASK_FIELDS);
		m->fields[j] = later->fields[i];
		if (j == m->nfields)
			m->nfields++;
	}
	for (uint32_t i = 0; i < later->nmsrs; i++) {
		uint32_t j = 0;

		while (j < m->nmsrs && m->msrs[j].index != later->msrs[i].index)
			j++;
		if (j == MV_MASK_MSRS)
			return mv_err_set(err, MV_E_INPUT, "the masks set more than %d MSRs",
					  MV_MASK_MSRS);
		m->msrs[j] = later->msrs[i];
		if (j == m->nmsrs)
			m->nmsrs++;
	}
	return 0;
}

int mv_mask_overlay(struct mv_mask *m, const struct mv_mask *later, struct mv_err *err)
{
	for (uint32_t i = 0; i < later->nregs; i++) {
		const struct mv_mask_reg *l = &later->regs[i];
		struct mv_mask_reg *r = mv_mask_add(m, l->leaf, l->subleaf, l->reg,
						    (enum mv_vendor)l->vendor);

		if (!r)
			return full(err);
		mv_mask_reg_overlay(r, l);
	}
	return overlay_numbers(m, later, err);
}

/* Hygon's CPUs are AMD's by another name: `.amd` lines are meant for them, too. */
static bool vendor_applies(enum mv_vendor line, enum mv_vendor vendor)
{
	return line == vendor || (line == MV_VENDOR_AMD && vendor == MV_VENDOR_HYGON);
}

/* One layer of a merge: its plain lines, then the vendor's own on top of them. */
static int merge_layer(struct mv_mask *final, const struct mv_mask *layer, enum mv_vendor vendor,
		       struct mv_err *err)
{
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < layer->nregs; i++) {
			const struct mv_mask_reg *l = &layer->regs[i];
			struct mv_mask_reg *r;

			if (pass == 0 ? l->vendor != MV_VENDOR_OTHER
				      : l->vendor == MV_VENDOR_OTHER ||
						!vendor_applies((enum mv_vendor)l->vendor, vendor))
				continue;
			r = mv_mask_add(final, l->leaf, l->subleaf, l->reg, MV_VENDOR_OTHER);
			if (!r)
				return full(err);
			mv_mask_reg_overlay(r, l);
		}
	}
	return overlay_numbers(final, layer, err);
}

int mv_mask_merge(struct mv_mask *final, const struct mv_mask *def, const struct mv_mask *over,
		  enum mv_vendor vendor, struct mv_err *err)
{
	int rc;

	mv_mask_clear(final);
	rc = merge_layer(final, def, vendor, err);
	if (rc == 0 && over)
		rc = merge_layer(final, over, vendor, err);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < final->nregs; i++) {
		uint32_t unnamed = ~mv_mask_reg_named(&final->regs[i]);

		for (unsigned bit = 0; unnamed && bit < 32; bit++)
			if (unnamed >> bit & 1)
				mv_mask_reg_set(&final->regs[i], bit, MV_SYM_0, 0);
	}
	mv_mask_sort(final);
	return 0;
}

void mv_mask_sort(struct mv_mask *m)
{
	for (uint32_t i = m->nsorted ? m->nsorted : 1; i < m->nregs; i++) {
		struct mv_mask_reg r = m->regs[i];
		uint32_t j = i;

		for (; j > 0 && mv_mask_reg_before(&r, &m->regs[j - 1]); j--)
			m->regs[j] = m->regs[j - 1];
		m->regs[j] = r;
	}
}

void mv_mask_reg_format(const struct mv_mask_reg *r, char out[MV_MASK_TEXT])
{
	char *p = out;

	for (int bit = 31; bit >= 0; bit--) {
		*p++ = mv_sym_char(mv_mask_reg_sym(r, (unsigned)bit));
		if (bit % 4 == 0 && bit)
			*p++ = ' ';
	}
	*p = '\0';
}

void mv_mask_msr_format(const struct mv_mask_msr *m, char out[MV_MASK_MSR_TEXT])
{
	char *p = out;

	for (unsigned bit = 64; bit--;) {
		*p++ = mv_sym_char(mv_mask_msr_sym(m, bit));
		if (bit % 4 == 0 && bit)
			*p++ = ' ';
	}
	*p = '\0';
}

int mv_level_format(char *buf, size_t size, uint32_t leaf, uint32_t subleaf)
{
	if (mv_leaf_has_subleaves(leaf))
		return snprintf(buf, size, "Level 0x%xh Sublevel 0x%xh", leaf, subleaf);
	return snprintf(buf, size, "Level 0x%xh", leaf);
}
