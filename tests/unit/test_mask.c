/* SPDX-License-Identifier: MIT */
/* Masks as values: symbols, bit planes, merging, the layout of a register's text. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mask.h"
#include "maskfile.h"

static struct mv_mask *new_mask(void)
{
	struct mv_mask *m = calloc(1, sizeof(*m));

	cr_assert(m);
	return m;
}

static void parse(struct mv_mask *m, enum mv_mask_kind kind, const char *text, uint32_t file)
{
	struct mv_mask_reader reader = { .kind = kind, .file = "t.mask", .file_index = file };
	struct mv_err err = { 0 };

	cr_assert_eq(mv_mask_parse(m, text, strlen(text), &reader, &err), 0, "%u:%u: %s", err.line,
		     err.col, err.msg);
}

static const char *text_of(const struct mv_mask *m, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	static char buf[MV_MASK_TEXT];
	const struct mv_mask_reg *r = mv_mask_find(m, leaf, subleaf, reg);

	cr_assert(r, "level 0x%x sublevel 0x%x register %u is not there", leaf, subleaf, reg);
	mv_mask_reg_format(r, buf);
	return buf;
}

/* A register with one symbol in bit 0 and '-' elsewhere. */
static struct mv_mask_reg *one_bit(struct mv_mask *m, uint32_t leaf, enum mv_vendor vendor,
				   enum mv_sym s, mv_at at)
{
	struct mv_mask_reg *r = mv_mask_add(m, leaf, 0, MV_ECX, vendor);

	cr_assert(r);
	mv_mask_reg_set(r, 0, s, at);
	return r;
}

/* ---- symbols ---- */

Test(mask, symbols_in_both_cases)
{
	static const struct {
		char in, out;
		enum mv_sym sym;
	} rows[] = {
		{ '-', '-', MV_SYM_INHERIT }, { 'x', 'x', MV_SYM_X }, { 'X', 'x', MV_SYM_X },
		{ 't', 'T', MV_SYM_T },	      { 'T', 'T', MV_SYM_T }, { 'f', 'F', MV_SYM_F },
		{ 'F', 'F', MV_SYM_F },	      { '1', '1', MV_SYM_1 }, { '0', '0', MV_SYM_0 },
		{ 'h', 'H', MV_SYM_H },	      { 'H', 'H', MV_SYM_H }, { 'r', 'R', MV_SYM_R },
		{ 'R', 'R', MV_SYM_R },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(mv_sym_parse(rows[i].in), (int)rows[i].sym, "row %c", rows[i].in);
		cr_expect_eq(mv_sym_char(rows[i].sym), rows[i].out, "row %c", rows[i].in);
	}
}

Test(mask, nothing_else_is_a_symbol)
{
	for (int c = 0; c < 256; c++)
		if (!c || !strchr("-xXtTfF10hHrR", c))
			cr_expect_eq(mv_sym_parse((char)c), -1, "character %d", c);
}

Test(mask, planes_hold_every_symbol_at_every_bit)
{
	struct mv_mask_reg r = { 0 };

	for (unsigned bit = 0; bit < 32; bit++) {
		for (unsigned s = MV_SYM_INHERIT; s <= MV_SYM_R; s++) {
			struct mv_mask_reg before = r;

			mv_mask_reg_set(&r, bit, (enum mv_sym)s, MV_AT(3, s + 1));
			cr_expect_eq((unsigned)mv_mask_reg_sym(&r, bit), s, "bit %u", bit);
			cr_expect_eq(r.at[bit], MV_AT(3, s + 1), "bit %u", bit);
			for (unsigned p = 0; p < 3; p++) {
				uint32_t others = ~(UINT32_C(1) << bit);

				cr_expect_eq(r.plane[p] >> bit & 1, s >> p & 1, "bit %u", bit);
				cr_expect_eq(r.plane[p] & others, before.plane[p] & others,
					     "bit %u", bit);
			}
		}
	}
}

Test(mask, provenance_keeps_file_and_line)
{
	static const struct {
		uint32_t file, line;
	} rows[] = { { 0, 1 }, { 0, 0xffffff }, { 15, 7 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mv_at at = MV_AT(rows[i].file, rows[i].line);

		cr_expect_neq(at, 0u, "row %zu", i);
		cr_expect_eq(MV_AT_FILE(at), rows[i].file, "row %zu", i);
		cr_expect_eq(MV_AT_LINE(at), rows[i].line, "row %zu", i);
	}
}

/* ---- registers ---- */

Test(mask, add_finds_what_is_there)
{
	struct mv_mask *m = new_mask();
	struct mv_mask_reg *plain = mv_mask_add(m, 7, 1, MV_EAX, MV_VENDOR_OTHER);
	struct mv_mask_reg *amd = mv_mask_add(m, 7, 1, MV_EAX, MV_VENDOR_AMD);

	cr_expect_neq(plain, amd);
	cr_expect_eq(m->nregs, 2u);
	cr_expect_eq(mv_mask_add(m, 7, 1, MV_EAX, MV_VENDOR_OTHER), plain);
	cr_expect_eq(mv_mask_add(m, 7, 1, MV_EAX, MV_VENDOR_AMD), amd);
	cr_expect_eq(mv_mask_find(m, 7, 1, MV_EAX), plain);
	cr_expect_null(mv_mask_find(m, 7, 0, MV_EAX));
	cr_expect_null(mv_mask_find(m, 7, 1, MV_EBX));
	cr_expect_null(mv_mask_find(m, 6, 1, MV_EAX));
	cr_expect_eq(m->nregs, 2u);
	free(m);
}

Test(mask, a_register_that_is_not_there_is_all_inherit)
{
	struct mv_mask *m = new_mask();

	for (unsigned bit = 0; bit < 32; bit++) {
		cr_expect_eq(mv_mask_sym(m, 1, 0, MV_ECX, bit), MV_SYM_INHERIT);
		cr_expect_eq(mv_mask_at(m, 1, 0, MV_ECX, bit), 0u);
	}
	cr_expect_null(mv_mask_find_field(m, MV_FIELD_PHYS_BITS));
	free(m);
}

Test(mask, add_refuses_beyond_capacity)
{
	struct mv_mask *m = new_mask();

	for (uint32_t i = 0; i < MV_MASK_REGS; i++)
		cr_assert(mv_mask_add(m, i, 0, MV_EAX, MV_VENDOR_OTHER));
	cr_expect_null(mv_mask_add(m, MV_MASK_REGS, 0, MV_EAX, MV_VENDOR_OTHER));
	cr_expect_not_null(mv_mask_add(m, 0, 0, MV_EAX, MV_VENDOR_OTHER));
	cr_expect_eq(m->nregs, (uint32_t)MV_MASK_REGS);
	free(m);
}

Test(mask, sort_orders_by_leaf_subleaf_register)
{
	static const struct {
		uint32_t leaf, subleaf;
		unsigned reg;
	} in[] = { { 0x80000001, 0, MV_EAX }, { 7, 1, MV_EAX }, { 7, 0, MV_EDX }, { 1, 0, MV_EBX },
		   { 7, 0, MV_EAX }, { 0x40000000, 0, MV_EAX } },
	  out[] = { { 1, 0, MV_EBX }, { 7, 0, MV_EAX }, { 7, 0, MV_EDX }, { 7, 1, MV_EAX },
		    { 0x40000000, 0, MV_EAX }, { 0x80000001, 0, MV_EAX } };
	struct mv_mask *m = new_mask();

	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		mv_mask_add(m, in[i].leaf, in[i].subleaf, in[i].reg, MV_VENDOR_OTHER);
	mv_mask_sort(m);
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
		cr_expect_eq(m->regs[i].leaf, out[i].leaf, "row %zu", i);
		cr_expect_eq(m->regs[i].subleaf, out[i].subleaf, "row %zu", i);
		cr_expect_eq((unsigned)m->regs[i].reg, out[i].reg, "row %zu", i);
	}
	free(m);
}

/* ---- the guide's example ---- */

Test(mask, guide_appendix_b_letter_for_letter)
{
	struct mv_mask *def = new_mask(), *over = new_mask(), *final = new_mask();

	parse(def, MV_MASK_DEFAULT,
	      "Level 0x1h\nECX: RRRR RRRR RRRR RRR0 00xR R0H0 000H 0RRH\n", 0);
	parse(over, MV_MASK_OVERRIDE,
	      "Level 0x1h\nECX: ---- ---- ---- ---- ---- --0- ---- ----\n", 1);
	cr_assert_eq(mv_mask_merge(final, def, over, MV_VENDOR_INTEL, NULL), 0);
	cr_expect_str_eq(text_of(def, 1, 0, MV_ECX), "RRRR RRRR RRRR RRR0 00xR R0H0 000H 0RRH");
	cr_expect_str_eq(text_of(over, 1, 0, MV_ECX), "---- ---- ---- ---- ---- --0- ---- ----");
	cr_expect_str_eq(text_of(final, 1, 0, MV_ECX), "RRRR RRRR RRRR RRR0 00xR R000 000H 0RRH");
	for (unsigned bit = 0; bit < 32; bit++)
		cr_expect_eq(mv_mask_at(final, 1, 0, MV_ECX, bit), MV_AT(bit == 9, 2), "bit %u",
			     bit);
	free(def);
	free(over);
	free(final);
}

Test(mask, guide_appendix_c_names_bit_19)
{
	struct mv_mask *over = new_mask();

	parse(over, MV_MASK_OVERRIDE,
	      "Level 0x1h\nECX: ---- ---- ---- 0--- ---- ---- ---- ----\n", 0);
	for (unsigned bit = 0; bit < 32; bit++)
		cr_expect_eq(mv_mask_sym(over, 1, 0, MV_ECX, bit),
			     bit == 19 ? MV_SYM_0 : MV_SYM_INHERIT, "bit %u", bit);
	free(over);
}

/* ---- merge ---- */

Test(mask, merge_takes_the_override_unless_it_is_inherit)
{
	struct mv_mask *def = new_mask(), *over = new_mask(), *final = new_mask();

	for (unsigned d = MV_SYM_INHERIT; d <= MV_SYM_R; d++) {
		for (unsigned o = MV_SYM_INHERIT; o <= MV_SYM_R; o++) {
			unsigned want = o != MV_SYM_INHERIT   ? o
					: d != MV_SYM_INHERIT ? d
							      : (unsigned)MV_SYM_0;
			mv_at at = o != MV_SYM_INHERIT	 ? MV_AT(1, 20)
				   : d != MV_SYM_INHERIT ? MV_AT(0, 10)
							 : 0;

			def->nregs = over->nregs = 0;
			one_bit(def, 1, MV_VENDOR_OTHER, (enum mv_sym)d, MV_AT(0, 10));
			one_bit(over, 1, MV_VENDOR_OTHER, (enum mv_sym)o, MV_AT(1, 20));
			cr_assert_eq(mv_mask_merge(final, def, over, MV_VENDOR_AMD, NULL), 0);
			cr_expect_eq((unsigned)mv_mask_sym(final, 1, 0, MV_ECX, 0), want,
				     "row %c %c", mv_sym_char((enum mv_sym)d),
				     mv_sym_char((enum mv_sym)o));
			cr_expect_eq(mv_mask_at(final, 1, 0, MV_ECX, 0), at, "row %c %c",
				     mv_sym_char((enum mv_sym)d), mv_sym_char((enum mv_sym)o));
		}
	}
	free(def);
	free(over);
	free(final);
}

Test(mask, merge_hides_what_no_default_names)
{
	struct mv_mask *def = new_mask(), *over = new_mask(), *final = new_mask();

	parse(def, MV_MASK_DEFAULT, "Level 1\nEDX: HHHH HHHH HHHH HHHH HHHH HHHH HHHH HHHH\n", 0);
	parse(over, MV_MASK_OVERRIDE, "Level 6\nEAX: ---- ---- ---- ---- ---- ---- ---- -H--\n", 1);
	cr_assert_eq(mv_mask_merge(final, def, over, MV_VENDOR_INTEL, NULL), 0);
	cr_expect_eq(final->nregs, 2u);
	cr_expect_str_eq(text_of(final, 6, 0, MV_EAX), "0000 0000 0000 0000 0000 0000 0000 0H00");
	cr_expect_eq(mv_mask_at(final, 6, 0, MV_EAX, 1), 0u);
	cr_expect_null(mv_mask_find(final, 5, 0, MV_EAX));
	free(def);
	free(over);
	free(final);
}

Test(mask, merge_without_override_is_the_default)
{
	struct mv_mask *def = new_mask(), *final = new_mask();

	parse(def, MV_MASK_DEFAULT, "Level 1\nECX: xTF1 0HRx TF10 HRxT F10H RxTF 10HR xTF1\n"
				    "field phys-bits = 40\n", 0);
	cr_assert_eq(mv_mask_merge(final, def, NULL, MV_VENDOR_OTHER, NULL), 0);
	cr_expect_str_eq(text_of(final, 1, 0, MV_ECX), "xTF1 0HRx TF10 HRxT F10H RxTF 10HR xTF1");
	cr_expect_eq(mv_mask_find_field(final, MV_FIELD_PHYS_BITS)->value, 40u);
	free(def);
	free(final);
}

Test(mask, merge_leaves_inputs_alone)
{
	struct mv_mask *def = new_mask(), *over = new_mask(), *final = new_mask();
	struct mv_mask *def2 = new_mask(), *over2 = new_mask();

	one_bit(def, 9, MV_VENDOR_AMD, MV_SYM_H, 1);
	one_bit(def, 1, MV_VENDOR_OTHER, MV_SYM_H, 1);
	one_bit(over, 1, MV_VENDOR_OTHER, MV_SYM_0, 2);
	memcpy(def2, def, sizeof(*def));
	memcpy(over2, over, sizeof(*over));
	cr_assert_eq(mv_mask_merge(final, def, over, MV_VENDOR_AMD, NULL), 0);
	cr_expect_arr_eq(def2, def, sizeof(*def));
	cr_expect_arr_eq(over2, over, sizeof(*over));
	free(def);
	free(over);
	free(final);
	free(def2);
	free(over2);
}

Test(mask, vendor_lines_win_over_plain_ones)
{
	static const struct {
		const char *name;
		enum mv_vendor cpu;
		char def_plain, def_amd, over_plain, over_amd, over_intel, want;
	} rows[] = {
		{ "amd line on AMD", MV_VENDOR_AMD, 'H', '-', '1', '0', '-', '0' },
		{ "amd line on Hygon", MV_VENDOR_HYGON, 'H', '-', '1', '0', '-', '0' },
		{ "amd line on Intel", MV_VENDOR_INTEL, 'H', '-', '1', '0', '-', '1' },
		{ "amd line on another vendor", MV_VENDOR_OTHER, 'H', '-', '1', '0', '-', '1' },
		{ "intel line on Intel", MV_VENDOR_INTEL, 'H', '-', '1', '-', '0', '0' },
		{ "intel line on AMD", MV_VENDOR_AMD, 'H', '-', '1', '-', '0', '1' },
		{ "intel line on Hygon", MV_VENDOR_HYGON, 'H', '-', '1', '-', '0', '1' },
		{ "intel line on another vendor", MV_VENDOR_OTHER, 'H', '-', '1', '-', '0', '1' },
		{ "both, on AMD", MV_VENDOR_AMD, 'H', '-', 'x', 'T', 'F', 'T' },
		{ "both, on Intel", MV_VENDOR_INTEL, 'H', '-', 'x', 'T', 'F', 'F' },
		{ "an inherit in the amd line", MV_VENDOR_AMD, 'H', '-', '1', '-', '-', '1' },
		{ "nothing but the default", MV_VENDOR_AMD, 'H', '-', '-', '-', '-', 'H' },
		{ "amd line of the default", MV_VENDOR_AMD, 'H', 'x', '-', '-', '-', 'x' },
		{ "the same on Intel", MV_VENDOR_INTEL, 'H', 'x', '-', '-', '-', 'H' },
		{ "plain override, amd default", MV_VENDOR_AMD, 'H', 'x', '0', '-', '-', '0' },
	};
	struct mv_mask *def = new_mask(), *over = new_mask(), *final = new_mask();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* The vendor lines come first: the order in the file must not decide. */
		def->nregs = over->nregs = 0;
		one_bit(def, 1, MV_VENDOR_AMD, (enum mv_sym)mv_sym_parse(rows[i].def_amd), 1);
		one_bit(def, 1, MV_VENDOR_OTHER, (enum mv_sym)mv_sym_parse(rows[i].def_plain), 1);
		one_bit(over, 1, MV_VENDOR_AMD, (enum mv_sym)mv_sym_parse(rows[i].over_amd), 1);
		one_bit(over, 1, MV_VENDOR_INTEL, (enum mv_sym)mv_sym_parse(rows[i].over_intel), 1);
		one_bit(over, 1, MV_VENDOR_OTHER, (enum mv_sym)mv_sym_parse(rows[i].over_plain), 1);
		cr_assert_eq(mv_mask_merge(final, def, over, rows[i].cpu, NULL), 0);
		cr_expect_eq(mv_sym_char(mv_mask_sym(final, 1, 0, MV_ECX, 0)), rows[i].want,
			     "row %s", rows[i].name);
		cr_expect_eq(final->nregs, 1u, "row %s", rows[i].name);
		cr_expect_eq((int)final->regs[0].vendor, MV_VENDOR_OTHER, "row %s", rows[i].name);
	}
	free(def);
	free(over);
	free(final);
}

Test(mask, merge_sorts_registers)
{
	struct mv_mask *def = new_mask(), *over = new_mask(), *final = new_mask();

	one_bit(def, 0x80000001, MV_VENDOR_OTHER, MV_SYM_H, 1);
	one_bit(def, 1, MV_VENDOR_OTHER, MV_SYM_H, 1);
	one_bit(over, 7, MV_VENDOR_OTHER, MV_SYM_H, 1);
	cr_assert_eq(mv_mask_merge(final, def, over, MV_VENDOR_INTEL, NULL), 0);
	cr_assert_eq(final->nregs, 3u);
	cr_expect_eq(final->regs[0].leaf, 1u);
	cr_expect_eq(final->regs[1].leaf, 7u);
	cr_expect_eq(final->regs[2].leaf, 0x80000001u);
	free(def);
	free(over);
	free(final);
}

Test(mask, merge_numbers_of_the_override_win)
{
	struct mv_mask *def = new_mask(), *over = new_mask(), *final = new_mask();

	parse(def, MV_MASK_DEFAULT, "field phys-bits = 46\nfield max-leaf = 0x16\n"
	      "msr 0x10a = \"HHHH HHHH HHHH HHHH HHHH HHHH HHHH HHHH "
	      "HHHH HHHH HHHH HHHH HHHH HHHH HHHH HHHH\"\n", 0);
	parse(over, MV_MASK_OVERRIDE, "field phys-bits = 39\n"
	      "msr 0x10a = \"0000 0000 0000 0000 0000 0000 0000 0000 "
	      "0000 0000 0000 0000 0000 0000 0000 0001\"\n", 1);
	cr_assert_eq(mv_mask_merge(final, def, over, MV_VENDOR_INTEL, NULL), 0);
	cr_expect_eq(final->nfields, 2u);
	cr_expect_eq(mv_mask_find_field(final, MV_FIELD_PHYS_BITS)->value, 39u);
	cr_expect_eq(mv_mask_find_field(final, MV_FIELD_PHYS_BITS)->at, MV_AT(1, 1));
	cr_expect_eq(mv_mask_find_field(final, MV_FIELD_MAX_LEAF)->value, 0x16u);
	cr_expect_eq(final->nmsrs, 1u);
	cr_expect_eq(final->msrs[0].at, MV_AT(1, 2));
	free(def);
	free(over);
	free(final);
}

/* ---- overlay ---- */

Test(mask, overlay_keeps_vendor_lines_and_lets_the_later_win)
{
	struct mv_mask *m = new_mask(), *later = new_mask();

	parse(m, MV_MASK_OVERRIDE,
	      "cpuid.1.ecx = \"----:----:----:0---:----:----:----:--H-\"\n"
	      "cpuid.1.ecx.amd = \"----:----:----:----:----:----:----:---T\"\n"
	      "field phys-bits = 46\n", 0);
	parse(later, MV_MASK_OVERRIDE,
	      "cpuid.1.ecx = \"----:----:----:R---:----:----:----:----\"\n"
	      "cpuid.1.edx.intel = \"----:----:----:----:----:----:----:---0\"\n"
	      "field phys-bits = 40\n", 1);
	cr_assert_eq(mv_mask_overlay(m, later, NULL), 0);
	cr_expect_eq(m->nregs, 3u);
	cr_expect_str_eq(text_of(m, 1, 0, MV_ECX), "---- ---- ---- R--- ---- ---- ---- --H-");
	cr_expect_eq(mv_mask_at(m, 1, 0, MV_ECX, 19), MV_AT(1, 1));
	cr_expect_eq(mv_mask_at(m, 1, 0, MV_ECX, 1), MV_AT(0, 1));
	cr_expect_null(mv_mask_find(m, 1, 0, MV_EDX), "an intel line is no plain one");
	cr_expect_eq(m->nfields, 1u);
	cr_expect_eq(m->fields[0].value, 40u);
	free(m);
	free(later);
}

Test(mask, more_than_the_capacity_is_an_error)
{
	static const struct {
		const char *name, *message;
		uint32_t regs, fields, msrs;	/* of the override */
	} rows[] = {
		{ "registers", "the masks name more than 384 registers", 1, 0, 0 },
		{ "fields", "the masks set more than 32 fields", 0, 1, 0 },
		{ "MSRs", "the masks set more than 16 MSRs", 0, 0, 1 },
	};
	struct mv_mask *def = new_mask(), *over = new_mask(), *final = new_mask();

	for (uint32_t i = 0; i < MV_MASK_REGS; i++)
		mv_mask_add(def, i, 0, MV_EAX, MV_VENDOR_OTHER);
	for (uint16_t i = 0; i < MV_MASK_FIELDS; i++)
		def->fields[def->nfields++].id = i;
	for (uint32_t i = 0; i < MV_MASK_MSRS; i++)
		def->msrs[def->nmsrs++].index = i;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_err err = { 0 };

		over->regs[0] = (struct mv_mask_reg){ .leaf = 0x80000000 };
		over->fields[0] = (struct mv_mask_field){ .id = MV_MASK_FIELDS };
		over->msrs[0] = (struct mv_mask_msr){ .index = MV_MASK_MSRS };
		over->nregs = rows[i].regs;
		over->nfields = rows[i].fields;
		over->nmsrs = rows[i].msrs;
		cr_expect_eq(mv_mask_merge(final, def, over, MV_VENDOR_AMD, &err), -MV_E_INPUT,
			     "row %s", rows[i].name);
		cr_expect_str_eq(err.msg, rows[i].message, "row %s", rows[i].name);
		memcpy(final, def, sizeof(*def));
		err = (struct mv_err){ 0 };
		cr_expect_eq(mv_mask_overlay(final, over, &err), -MV_E_INPUT, "row %s",
			     rows[i].name);
		cr_expect_str_eq(err.msg, rows[i].message, "row %s", rows[i].name);
	}
	/* What is there already needs no room. */
	over->nregs = 1;
	over->nfields = over->nmsrs = 0;
	over->regs[0] = (struct mv_mask_reg){ .leaf = MV_MASK_REGS - 1 };
	cr_expect_eq(mv_mask_merge(final, def, over, MV_VENDOR_AMD, NULL), 0);
	free(def);
	free(over);
	free(final);
}

/* ---- text ---- */

Test(mask, level_lines)
{
	static const struct {
		uint32_t leaf, subleaf;
		const char *text;
	} rows[] = {
		{ 0x0, 0, "Level 0x0h" },
		{ 0x1, 0, "Level 0x1h" },
		{ 0x7, 0, "Level 0x7h Sublevel 0x0h" },
		{ 0x7, 1, "Level 0x7h Sublevel 0x1h" },
		{ 0xd, 0x13, "Level 0xdh Sublevel 0x13h" },
		{ 0x40000001, 0, "Level 0x40000001h" },
		{ 0x80000001, 0, "Level 0x80000001h" },
		{ 0x8000001d, 2, "Level 0x8000001dh Sublevel 0x2h" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char buf[64];
		int n = mv_level_format(buf, sizeof(buf), rows[i].leaf, rows[i].subleaf);

		cr_expect_str_eq(buf, rows[i].text, "row %s", rows[i].text);
		cr_expect_eq((size_t)n, strlen(rows[i].text), "row %s", rows[i].text);
	}
}

Test(mask, bit_31_is_printed_first)
{
	struct mv_mask_reg r = { 0 };
	char text[MV_MASK_TEXT];

	mv_mask_reg_set(&r, 31, MV_SYM_T, 1);
	mv_mask_reg_set(&r, 4, MV_SYM_X, 1);
	mv_mask_reg_set(&r, 0, MV_SYM_R, 1);
	mv_mask_reg_format(&r, text);
	cr_expect_str_eq(text, "T--- ---- ---- ---- ---- ---- ---x ---R");
}

/* xorshift64: the same masks in every run */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* A random mask in guide form; a default mask has no '-'. */
static size_t random_text(char *out, size_t size, uint64_t *seed, enum mv_mask_kind kind)
{
	static const uint32_t leaves[] = { 0x0, 0x1, 0x6, 0x7, 0xd, 0x14, 0x24, 0x40000001,
					   0x80000001, 0x80000008, 0x8000001d, 0x80000021 };
	size_t used = 0;

	*out = '\0';
	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		uint32_t subs = mv_leaf_has_subleaves(leaves[i]) ? 3 : 1;

		for (uint32_t sub = 0; sub < subs; sub++) {
			char line[64];
			unsigned regs = (unsigned)next_random(seed) & 0xf;

			if (!regs)
				continue;
			mv_level_format(line, sizeof(line), leaves[i], sub);
			used += (size_t)snprintf(out + used, size - used, "%s\n", line);
			for (unsigned reg = 0; reg < MV_NREGS; reg++) {
				struct mv_mask_reg r = { 0 };

				if (!(regs >> reg & 1))
					continue;
				for (unsigned bit = 0; bit < 32; bit++) {
					unsigned s = (unsigned)next_random(seed) & 7;

					if (s == MV_SYM_INHERIT && kind == MV_MASK_DEFAULT)
						s = MV_SYM_H;
					mv_mask_reg_set(&r, bit, (enum mv_sym)s, 0);
				}
				mv_mask_reg_format(&r, line);
				used += (size_t)snprintf(out + used, size - used, "%s: %s\n",
							 mv_reg_name(reg), line);
			}
		}
	}
	return used;
}

/* The whole mask in guide form. */
static void format_mask(const struct mv_mask *m, char *out, size_t size)
{
	size_t used = 0;

	*out = '\0';
	for (uint32_t i = 0; i < m->nregs; i++) {
		const struct mv_mask_reg *r = &m->regs[i], *before = i ? r - 1 : NULL;
		char line[64];

		if (!before || before->leaf != r->leaf || before->subleaf != r->subleaf) {
			mv_level_format(line, sizeof(line), r->leaf, r->subleaf);
			used += (size_t)snprintf(out + used, size - used, "%s\n", line);
		}
		mv_mask_reg_format(r, line);
		used += (size_t)snprintf(out + used, size - used, "%s: %s\n", mv_reg_name(r->reg),
					 line);
	}
}

Test(mask, format_of_parse_is_the_text)
{
	enum { SIZE = 1 << 16 };
	char *text = malloc(SIZE), *again = malloc(SIZE);
	struct mv_mask *m = new_mask();
	uint64_t seed = 0x2008060900003900;

	cr_assert(text && again);
	for (unsigned i = 0; i < 1000; i++) {
		enum mv_mask_kind kind = i & 1 ? MV_MASK_DEFAULT : MV_MASK_OVERRIDE;

		random_text(text, SIZE, &seed, kind);
		parse(m, kind, text, 0);
		format_mask(m, again, SIZE);
		cr_assert_str_eq(again, text, "mask %u", i);
	}
	free(text);
	free(again);
	free(m);
}

Test(mask, merge_is_per_bit_for_random_masks)
{
	enum { SIZE = 1 << 16 };
	char *text = malloc(SIZE);
	struct mv_mask *def = new_mask(), *over = new_mask(), *final = new_mask();
	uint64_t seed = 0x0e3bd0008e3bd000;

	cr_assert(text);
	for (unsigned i = 0; i < 200; i++) {
		random_text(text, SIZE, &seed, MV_MASK_DEFAULT);
		parse(def, MV_MASK_DEFAULT, text, 0);
		random_text(text, SIZE, &seed, MV_MASK_OVERRIDE);
		parse(over, MV_MASK_OVERRIDE, text, 1);
		cr_assert_eq(mv_mask_merge(final, def, over, MV_VENDOR_INTEL, NULL), 0);
		for (uint32_t n = 0; n < final->nregs; n++) {
			const struct mv_mask_reg *r = &final->regs[n];

			for (unsigned bit = 0; bit < 32; bit++) {
				enum mv_sym d = mv_mask_sym(def, r->leaf, r->subleaf, r->reg, bit);
				enum mv_sym o = mv_mask_sym(over, r->leaf, r->subleaf, r->reg, bit);
				enum mv_sym want = o != MV_SYM_INHERIT	 ? o
						   : d != MV_SYM_INHERIT ? d
									 : MV_SYM_0;

				cr_assert_eq(mv_mask_reg_sym(r, bit), want,
					     "mask %u level 0x%x bit %u", i, r->leaf, bit);
			}
		}
	}
	free(text);
	free(def);
	free(over);
	free(final);
}
