/* SPDX-License-Identifier: MIT */
/* The CPUID table as a value: entries, bits, fields, order, what its strings and signature say. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

Test(table, entries_keep_their_order_and_are_found)
{
	static const uint32_t leaves[][2] = { { 7, 1 }, { 0, 0 }, { 7, 0 }, { 0x80000000, 0 } };
	struct mv_table t = { 0 };

	cr_expect(!mv_table_find(&t, 0, 0));
	for (size_t i = 0; i < COUNT(leaves); i++)
		mv_table_add(&t, leaves[i][0], leaves[i][1])->reg[MV_EAX] = (uint32_t)i + 1;
	cr_expect_eq(t.n, COUNT(leaves));
	for (size_t i = 0; i < COUNT(leaves); i++) {
		cr_expect_eq(t.e[i].leaf, leaves[i][0]);
		cr_expect_eq(mv_table_reg(&t, leaves[i][0], leaves[i][1], MV_EAX), i + 1);
		cr_expect_eq(mv_table_get(&t, leaves[i][0], leaves[i][1]), &t.e[i]);
		cr_expect_eq(mv_table_add(&t, leaves[i][0], leaves[i][1]), &t.e[i], "no second one");
	}
	cr_expect(!mv_table_find(&t, 7, 2));
	cr_expect_eq(mv_table_reg(&t, 7, 2, MV_EAX), 0);
	cr_expect(!mv_table_bit(&t, 7, 2, MV_EAX, 31));
}

Test(table, sort)
{
	static const uint32_t leaves[][2] = { { 0x80000001, 0 }, { 7, 1 }, { 0xd, 62 }, { 1, 0 },
					      { 7, 0 },		 { 0, 0 }, { 0xd, 2 },	{ 0xffffffff, 0 } };
	struct mv_table t = { 0 };

	mv_table_sort(&t);
	for (size_t i = 0; i < COUNT(leaves); i++)
		mv_table_add(&t, leaves[i][0], leaves[i][1])->reg[MV_EDX] = leaves[i][0] + leaves[i][1];
	mv_table_sort(&t);
	cr_expect_eq(t.n, COUNT(leaves));
	for (uint32_t i = 0; i < t.n; i++) {
		cr_expect_eq(t.e[i].reg[MV_EDX], t.e[i].leaf + t.e[i].subleaf, "values move along");
		if (i)
			cr_expect(t.e[i - 1].leaf < t.e[i].leaf ||
				  (t.e[i - 1].leaf == t.e[i].leaf &&
				   t.e[i - 1].subleaf < t.e[i].subleaf));
	}
}

Test(table, bits_and_features)
{
	struct mv_table t = { 0 };

	cr_expect_eq(mv_table_set_bit(&t, 7, 0, MV_EBX, 31, false), 0);
	cr_expect_eq(t.n, 0, "clearing adds nothing");
	cr_expect_eq(mv_table_set_bit(&t, 7, 0, MV_EBX, 31, true), 0);
	cr_expect_eq(mv_table_reg(&t, 7, 0, MV_EBX), 0x80000000);
	cr_expect(mv_table_has(&t, MV_F_AVX512VL));
	cr_expect_eq(mv_table_set_feature(&t, MV_F_BMI1, true), 0);
	cr_expect_eq(mv_table_reg(&t, 7, 0, MV_EBX), 0x80000008);
	cr_expect_eq(mv_table_set_feature(&t, MV_F_AVX512VL, false), 0);
	cr_expect_eq(mv_table_reg(&t, 7, 0, MV_EBX), 8);
	cr_expect_eq(t.n, 1);
}

Test(table, every_feature_is_its_own_bit)
{
	struct mv_table t = { 0 };

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		cr_assert_eq(mv_table_set_feature(&t, (enum mv_feature_id)i, true), 0);
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		cr_expect(mv_table_has(&t, (enum mv_feature_id)i));
		mv_table_set_feature(&t, (enum mv_feature_id)i, false);
	}
	for (uint32_t i = 0; i < t.n; i++)
		for (unsigned r = 0; r < MV_NREGS; r++)
			cr_expect_eq(t.e[i].reg[r], 0);
	cr_expect_leq(t.n, MV_TABLE_MAX / 2, "all leaves with features fit with room to spare");
}

Test(table, fields)
{
	struct mv_table t = { 0 };

	cr_expect_eq(mv_table_set_field(&t, MV_FIELD_PHYS_BITS, 0), 0);
	cr_expect_eq(t.n, 0);
	cr_expect_eq(mv_table_set_field(&t, MV_FIELD_PHYS_BITS, 46), 0);
	cr_expect_eq(mv_table_set_field(&t, MV_FIELD_LINEAR_BITS, 57), 0);
	cr_expect_eq(mv_table_reg(&t, 0x80000008, 0, MV_EAX), 57 << 8 | 46);
	cr_expect_eq(mv_table_set_field(&t, MV_FIELD_PHYS_BITS, 0x1ff), 0);
	cr_expect_eq(mv_table_reg(&t, 0x80000008, 0, MV_EAX), 57 << 8 | 0xff, "cut to its width");
	cr_expect_eq(mv_table_field(&t, MV_FIELD_LINEAR_BITS), 57);
	cr_expect_eq(mv_table_set_field(&t, MV_FIELD_MAX_LEAF, UINT32_MAX), 0);
	cr_expect_eq(mv_table_field(&t, MV_FIELD_MAX_LEAF), UINT32_MAX, "all 32 bits");
	cr_expect_eq(mv_table_field(&t, MV_FIELD_STEPPING), 0);
}

Test(table, a_full_table_refuses)
{
	struct mv_table *t = calloc(1, sizeof(*t));

	for (uint32_t i = 0; i < MV_TABLE_MAX; i++)
		cr_assert(mv_table_add(t, 0x1000 + i, 0));
	cr_expect(!mv_table_add(t, 7, 0));
	cr_expect_eq(t->n, MV_TABLE_MAX);
	cr_expect_eq(mv_table_set_feature(t, MV_F_BMI1, true), -MV_E_INPUT);
	cr_expect_eq(mv_table_set_feature(t, MV_F_BMI1, false), 0);
	cr_expect_eq(mv_table_set_field(t, MV_FIELD_PHYS_BITS, 46), -MV_E_INPUT);
	cr_expect_eq(mv_table_set_field(t, MV_FIELD_PHYS_BITS, 0), 0);
	cr_expect(mv_table_add(t, 0x1000, 0), "what is there can be had");
	free(t);
}

static const struct {
	const char *name, *host;
	const char *string;
	enum mv_vendor vendor;
	bool vmx;
} vendor_rows[] = {
	{ "Intel", "haswell", "GenuineIntel", MV_VENDOR_INTEL, true },
	{ "AMD", "zen3", "AuthenticAMD", MV_VENDOR_AMD, false },
	{ "Hygon", "zen3 vendor-ebx=0x6f677948 vendor-edx=0x6e65476e vendor-ecx=0x656e6975",
	  "HygonGenuine", MV_VENDOR_HYGON, false },
	{ "Zhaoxin", "haswell vendor-ebx=0x68532020 vendor-edx=0x68676e61 vendor-ecx=0x20206961",
	  "  Shanghai  ", MV_VENDOR_OTHER, true },
	{ "another", "zen3 vendor-ebx=0x746e6543", "", MV_VENDOR_OTHER, true },
};

Test(table, vendor)
{
	struct mv_table none = { 0 };
	struct mv_host *h = malloc(sizeof(*h));
	char s[13];

	for (size_t i = 0; i < COUNT(vendor_rows); i++) {
		make_host(h, vendor_rows[i].host);
		mv_table_vendor_string(&h->raw, s);
		if (*vendor_rows[i].string)
			cr_expect_str_eq(s, vendor_rows[i].string, "row %s: %s", vendor_rows[i].name,
					 s);
		cr_expect_eq(mv_table_vendor(&h->raw), vendor_rows[i].vendor, "row %s",
			     vendor_rows[i].name);
		cr_expect_eq(mv_table_vmx(&h->raw), vendor_rows[i].vmx, "row %s", vendor_rows[i].name);
	}
	mv_table_vendor_string(&none, s);
	cr_expect_str_eq(s, "");
	cr_expect_eq(mv_table_vendor(&none), MV_VENDOR_OTHER);
	free(h);
}

Test(table, brand)
{
	static const char text[48] = "Some CPU with exactly forty-eight characters !!";
	struct mv_table t = { 0 };
	char s[49];

	mv_table_brand_string(&t, s);
	cr_expect_str_eq(s, "");
	for (uint32_t i = 0; i < 3; i++)
		memcpy(mv_table_add(&t, 0x80000002 + i, 0)->reg, text + 16 * i, 16);
	mv_table_brand_string(&t, s);
	cr_expect_str_eq(s, text);
	/* A file may leave out the NUL. */
	memset(mv_table_get(&t, 0x80000004, 0)->reg, 'x', 16);
	mv_table_brand_string(&t, s);
	cr_expect_eq(strlen(s), 48);
}

static const struct {
	const char *name;
	uint32_t eax;
	unsigned family, model, stepping;
} signature_rows[] = {
	{ "Kentsfield", 0x6fb, 6, 15, 11 },
	{ "Penryn", 0x1067a, 6, 23, 10 },
	{ "Skylake-SP", 0x50654, 6, 85, 4 },
	{ "K8 rev F", 0x40f12, 15, 65, 2 },
	{ "K10", 0x100f42, 16, 4, 2 },
	{ "Zen 3", 0xa00f11, 25, 1, 1 },
	{ "Pentium: no extended model", 0xf0543, 5, 4, 3 },
	{ "nothing", 0, 0, 0, 0 },
};

Test(table, signature)
{
	for (size_t i = 0; i < COUNT(signature_rows); i++) {
		struct mv_table t = { 0 };
		struct mv_signature s;

		mv_table_add(&t, 1, 0)->reg[MV_EAX] = signature_rows[i].eax;
		s = mv_table_signature(&t);
		cr_expect_eq(s.family, signature_rows[i].family, "row %s", signature_rows[i].name);
		cr_expect_eq(s.model, signature_rows[i].model, "row %s", signature_rows[i].name);
		cr_expect_eq(s.stepping, signature_rows[i].stepping, "row %s",
			     signature_rows[i].name);
	}
}

/* state-and-enforcement.md, B4.4: what KVM itself changes, and nothing else. */
static const struct {
	const char *name;
	uint32_t leaf, subleaf;
	unsigned reg;
	uint32_t mask;
} volatile_rows[] = {
	{ "1.ECX: MONITOR and OSXSAVE", 1, 0, MV_ECX, 1u << 3 | 1u << 27 },
	{ "1.EDX: APIC", 1, 0, MV_EDX, 1u << 9 },
	{ "1.EBX: APIC id", 1, 0, MV_EBX, 0xff000000 },
	{ "1.EAX", 1, 0, MV_EAX, 0 },
	{ "7.0.ECX: OSPKE", 7, 0, MV_ECX, 1u << 4 },
	{ "7.1.ECX", 7, 1, MV_ECX, 0 },
	{ "D.0.EBX: area in force", 0xd, 0, MV_EBX, UINT32_MAX },
	{ "D.0.ECX: whole area", 0xd, 0, MV_ECX, 0 },
	{ "D.1.EBX: area in force", 0xd, 1, MV_EBX, UINT32_MAX },
	{ "D.2.EBX: an offset", 0xd, 2, MV_EBX, 0 },
	{ "B.0.EDX: x2APIC id", 0xb, 0, MV_EDX, UINT32_MAX },
	{ "B.1.EDX: x2APIC id", 0xb, 1, MV_EDX, UINT32_MAX },
	{ "B.1.EBX", 0xb, 1, MV_EBX, 0 },
	{ "8000001E.EAX: extended APIC id", 0x8000001e, 0, MV_EAX, UINT32_MAX },
	{ "7.0.EBX", 7, 0, MV_EBX, 0 },
	{ "a leaf that has no rows", 0x12345, 0, MV_EAX, 0 },
};

Test(table, volatile_bits)
{
	for (size_t i = 0; i < COUNT(volatile_rows); i++) {
		uint32_t mask = mv_volatile_bits(volatile_rows[i].leaf, volatile_rows[i].subleaf,
						 volatile_rows[i].reg);

		cr_expect_eq(mask, volatile_rows[i].mask, "row %s: 0x%x", volatile_rows[i].name,
			     mask);
	}
}

Test(table, volatile_bits_cover_what_differs_between_cpus)
{
	static const char *const hosts[] = { "haswell", "zen4", "sapphirerapids" };
	struct mv_table a, b;
	struct fixture f;

	fixture_init(&f);
	for (size_t h = 0; h < COUNT(hosts); h++) {
		make_policy(&f, hosts[h], "", 4);
		mv_table_for_cpu(&a, &f.p->guest, 0);
		mv_table_for_cpu(&b, &f.p->guest, 3);
		for (uint32_t i = 0; i < a.n; i++)
			for (unsigned r = 0; r < MV_NREGS; r++)
				cr_expect_eq((a.e[i].reg[r] ^ b.e[i].reg[r]) &
						     ~mv_volatile_bits(a.e[i].leaf,
								       a.e[i].subleaf, r),
					     0, "host %s, leaf 0x%x.%x %s", hosts[h], a.e[i].leaf,
					     a.e[i].subleaf, mv_reg_name(r));
	}
	fixture_finish(&f);
}
