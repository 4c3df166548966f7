/* SPDX-License-Identifier: MIT */
/* Masks as text: parsing what was written gives the mask back, in every form. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maskfile.h"
#include "maskwrite.h"
#include "support.h"

#define TEXT (1u << 20)
#define AMD_LINE "cpuid.80000001.edx.amd = \"----:----:---0:----:----:----:----:----\"\n"

static struct mv_mask *mask, *again;
static char *text;

static void setup(void)
{
	mask = calloc(1, sizeof(*mask));
	again = calloc(1, sizeof(*again));
	text = malloc(TEXT);
	cr_assert(mask && again && text);
}

static void finish(void)
{
	free(mask);
	free(again);
	free(text);
}

TestSuite(maskwrite, .init = setup, .fini = finish);

static void parse(struct mv_mask *m, const char *s, enum mv_mask_kind kind)
{
	struct mv_mask_reader reader = { .kind = kind, .file = "t" };
	struct mv_err err = { 0 };

	cr_assert_eq(mv_mask_parse(m, s, strlen(s), &reader, &err), 0, "line %u: %s\n%s", err.line,
		     err.msg, s);
}

static const struct mv_mask_reg *find(const struct mv_mask *m, const struct mv_mask_reg *r)
{
	for (uint32_t i = 0; i < m->nregs; i++)
		if (m->regs[i].leaf == r->leaf && m->regs[i].subleaf == r->subleaf &&
		    m->regs[i].reg == r->reg && m->regs[i].vendor == r->vendor)
			return &m->regs[i];
	return NULL;
}

/* Every symbol of a is b's; a register that is not there is all '-'. */
static void within(const struct mv_mask *a, const struct mv_mask *b)
{
	for (uint32_t i = 0; i < a->nregs; i++) {
		static const struct mv_mask_reg none;
		const struct mv_mask_reg *r = &a->regs[i], *o = find(b, r);

		o = o ? o : &none;
		cr_assert_arr_eq(r->plane, o->plane, sizeof(r->plane),
				 "level 0x%x.%x %s vendor %u\n%s", r->leaf, r->subleaf,
				 mv_reg_name(r->reg), r->vendor, text);
	}
}

static void same(const struct mv_mask *a, const struct mv_mask *b)
{
	within(a, b);
	within(b, a);
	cr_assert_eq(a->nfields, b->nfields);
	for (uint32_t i = 0; i < a->nfields; i++) {
		const struct mv_mask_field *f =
			mv_mask_find_field(b, (enum mv_field_id)a->fields[i].id);

		cr_assert(f && f->value == a->fields[i].value, "%s",
			  mv_fields[a->fields[i].id].name);
	}
	cr_assert_eq(a->nmsrs, b->nmsrs);
	for (uint32_t i = 0; i < a->nmsrs; i++) {
		uint32_t j = 0;

		while (j < b->nmsrs && b->msrs[j].index != a->msrs[i].index)
			j++;
		cr_assert(j < b->nmsrs);
		cr_assert_arr_eq(a->msrs[i].plane, b->msrs[j].plane, sizeof(a->msrs[i].plane));
	}
}

static void round_trip(const struct mv_mask *m, enum mv_mask_kind kind)
{
	for (int form = 0; form < MV_NFORMS; form++) {
		size_t n;

		/* Feature lines leave '-' to the others of their register. */
		if (kind == MV_MASK_DEFAULT && form == MV_FORM_FEATURE)
			kind = MV_MASK_OVERRIDE;
		n = mv_mask_write(text, TEXT, m, (enum mv_mask_form)form, NULL);
		cr_assert_lt(n, TEXT);
		cr_assert_eq(n, strlen(text));
		parse(again, text, kind);
		same(m, again);
	}
}

static uint64_t state;

static uint32_t any(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static void random_reg(struct mv_mask *m)
{
	static const enum mv_vendor vendors[] = { MV_VENDOR_OTHER, MV_VENDOR_OTHER,
						  MV_VENDOR_INTEL, MV_VENDOR_AMD };
	const struct mv_feature *f = &mv_features[any(MV_NFEATURES)];
	uint32_t leaf = any(3) ? f->leaf : any(2) ? any(64) : 0x80000000 + any(64);
	uint32_t subleaf = any(3) ? f->subleaf : any(4);
	struct mv_mask_reg *r = mv_mask_add(m, leaf, mv_leaf_has_subleaves(leaf) ? subleaf : 0,
					    any(MV_NREGS), vendors[any(4)]);
	unsigned density = any(4);

	for (unsigned bit = 0; r && bit < 32; bit++)
		mv_mask_reg_set(r, bit,
				density == 0 ? MV_SYM_INHERIT
				: density == 1 ? MV_SYM_R
				: any(density == 2 ? 8 : 2) ? MV_SYM_INHERIT
							    : (enum mv_sym)any(8), 0);
}

Test(maskwrite, any_override_survives_every_form)
{
	for (uint32_t seed = 1; seed <= 300; seed++) {
		uint32_t n;

		state = seed;
		memset(mask, 0, sizeof(*mask));
		for (n = any(60); n; n--)
			random_reg(mask);
		for (n = any(8); n; n--) {
			uint32_t id = any(MV_NFIELDS);
			uint32_t width = mv_fields[id].hi - mv_fields[id].lo + 1u;
			struct mv_mask_field *f = &mask->fields[mask->nfields];

			if (mv_mask_find_field(mask, (enum mv_field_id)id))
				continue;
			*f = (struct mv_mask_field){ .id = (uint16_t)id, .value = any(1u << 31) };
			f->value &= UINT32_MAX >> (32 - width);
			mask->nfields++;
		}
		for (n = any(3); n; n--) {
			struct mv_mask_msr *m = &mask->msrs[mask->nmsrs++];

			m->index = 0x10a + n;
			for (unsigned p = 0; p < 3; p++)
				m->plane[p] = (uint64_t)any(1u << 31) << 32 | any(1u << 31);
		}
		round_trip(mask, MV_MASK_OVERRIDE);
	}
}

Test(maskwrite, the_default_masks_survive_every_form)
{
	static const char *const names[] = { "linux64", "linux32", "windows64", "windows32",
					     "freebsd64", "generic64", "generic32", "bare-metal" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		load_guest_os(mask, names[i]);
		round_trip(mask, MV_MASK_DEFAULT);
	}
}

Test(maskwrite, each_form_in_its_own_words)
{
	static const struct {
		enum mv_mask_form form;
		const char *want;
	} rows[] = {
		{ MV_FORM_GUIDE, "Level 0x1h\n"
				 "ECX: ---- ---- ---0 0--- ---- ---- ---- ----\n"
				 "Level 0x7h Sublevel 0x1h\n"
				 "EAX: ---- ---- ---- ---- ---- ---- --T- -T--\n"
				 AMD_LINE "field max-leaf = 0xd\nfield phys-bits = 46\n" },
		{ MV_FORM_VMX, "cpuid.1.ecx = \"----:----:---0:0---:----:----:----:----\"\n"
			       "cpuid.7.1.eax = \"----:----:----:----:----:----:--T-:-T--\"\n"
			       AMD_LINE
			       "field max-leaf = 0xd\nfield phys-bits = 46\n" },
		{ MV_FORM_FEATURE, "# Level 0x1h ECX\nfeature SSE4.1 = 0\nfeature SSE4.2 = 0\n"
				   "# Level 0x7h Sublevel 0x1h EAX\nfeature SM4 = T\n"
				   "feature AVX512_BF16 = T\n"
				   AMD_LINE
				   "field max-leaf = 0xd\nfield phys-bits = 46\n" },
	};

	parse(mask, rows[1].want, MV_MASK_OVERRIDE);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mv_mask_write(text, TEXT, mask, rows[i].form, NULL);
		cr_expect_str_eq(text, rows[i].want, "%s", mv_mask_form_name(rows[i].form));
	}
}

Test(maskwrite, what_a_form_can_not_say_is_counted)
{
	static const struct {
		enum mv_mask_form form;
		struct mv_mask_losses want;
	} rows[] = {
		{ MV_FORM_GUIDE, { .vendor = 1, .fields = 1, .msrs = 1 } },
		{ MV_FORM_VMX, { .sublevels = 1, .fields = 1, .msrs = 1 } },
		{ MV_FORM_FEATURE, { .vendor = 1, .unnamed = 1, .fields = 1, .msrs = 1 } },
	};
	struct mv_mask_losses l;

	parse(mask,
	      "cpuid.1.ecx.amd = \"0--- ---- ---- ---- ---- ---- ---- ----\"\n"
	      "cpuid.7.1.eax = \"---- ---- ---- ---- ---- --0- ---- ---0\"\n"
	      "field phys-bits = 40\n"
	      "msr 0x10a = \"---- ---- ---- ---- ---- ---- ---- ---- ---- ---- ---- ---- ---- ----"
	      " ---- ---0\"\n",
	      MV_MASK_OVERRIDE);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mv_mask_write(text, TEXT, mask, rows[i].form, &l);
		cr_expect(!memcmp(&l, &rows[i].want, sizeof(l)), "%s: %u %u %u %u %u",
			  mv_mask_form_name(rows[i].form), l.vendor, l.sublevels, l.unnamed,
			  l.fields, l.msrs);
	}
}

Test(maskwrite, a_short_buffer_is_cut_not_overrun)
{
	size_t full, n;

	parse(mask, "feature sse4.1 = 0\nfield phys-bits = 40\n", MV_MASK_OVERRIDE);
	full = mv_mask_write(NULL, 0, mask, MV_FORM_GUIDE, NULL);
	for (size_t size = 1; size <= full + 1; size++) {
		memset(text, '#', full + 2);
		n = mv_mask_write(text, size, mask, MV_FORM_GUIDE, NULL);
		cr_expect_eq(n, full);
		cr_expect_eq(strlen(text), size - 1);
		cr_expect_eq(text[size], '#');
	}
}

Test(maskwrite, forms_by_name)
{
	for (int i = 0; i < MV_NFORMS; i++)
		cr_expect_eq(mv_mask_form_parse(mv_mask_form_name((enum mv_mask_form)i)), i);
	cr_expect_eq(mv_mask_form_parse("xl"), -1);
	cr_expect_eq(mv_mask_form_parse(""), -1);
}
