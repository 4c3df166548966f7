/* SPDX-License-Identifier: MIT */
/* State components: who needs which, and how many bytes they take, in hostile tables, too. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"
#include "xstate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *name;
	uint64_t needed;
} needed_rows[] = {
	{ "sse4.2", 0 },
	{ "bmi2", 0 },
	{ "gfni", 0 },
	{ "lm", 0 },
	{ "xsave", 0x3 },
	{ "xsaveopt", 0x3 },
	{ "xsaves", 0x3 },
	{ "avx", 0x7 },
	{ "avx2", 0x7 },
	{ "fma4", 0x7 },
	{ "vaes", 0x7 },
	{ "mpx", 0x1b },
	{ "avx512f", 0xe7 },
	{ "avx512_vbmi2", 0xe7 },
	{ "avx10-512", 0xe7 },
	{ "pku", 0x203 },
	{ "amx-tile", 0x60003 },
	{ "tmul-amx-int8", 0x60003 },
	{ "amx-avx512", 0x600e7 },
	{ "apx-f", 0x80003 },
	{ "apx-nci-ndd-nf", 0x80003 },
	{ "lwp", UINT64_C(1) << 62 | 3 },
	{ "xstate-avx", 0x7 },
	{ "xstate-sse", 0x3 },
};

Test(xstate, needed_components)
{
	uint64_t all[MV_NFEATURES];

	mv_xstate_needed_all(all);
	for (size_t i = 0; i < COUNT(needed_rows); i++) {
		enum mv_feature_id id = feature_id(needed_rows[i].name);
		/* XCR0 bit 0 is always set; whoever needs more needs it, directly or not. */
		uint64_t needed = mv_xstate_needed(id), want = needed_rows[i].needed;

		cr_expect_eq(needed & ~UINT64_C(2), want & ~UINT64_C(2), "row %s: 0x%llx",
			     needed_rows[i].name, (unsigned long long)needed);
		cr_expect_eq(needed, all[id], "row %s", needed_rows[i].name);
	}
}

/* A feature that is switched off through XCR0 needs some component, and only such do. */
Test(xstate, enforcement_and_components_agree)
{
	uint64_t need[MV_NFEATURES];

	mv_xstate_needed_all(need);
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];

		if (f->vmx == MV_FE_XCR0 || f->svm == MV_FE_XCR0)
			cr_expect(need[i], "row %s", f->name);
		if (f->needs == MV_FN_XCR0)
			cr_expect(need[i], "row %s", f->name);
		if (need[i] & ~UINT64_C(3) && f->cls != MV_FC_DYNAMIC)
			cr_expect_neq(f->needs, MV_FN_NOTHING, "row %s", f->name);
	}
}

Test(xstate, each_component_has_one_user)
{
	for (unsigned i = 0; i < mv_nxstate_users; i++) {
		const struct mv_feature *f = &mv_features[mv_xstate_users[i].component];

		cr_expect(f->leaf == 0xd && f->subleaf == 0, "row %s", f->name);
		for (unsigned j = 0; j < i; j++)
			cr_expect_neq(mv_xstate_users[i].component, mv_xstate_users[j].component,
				      "row %s", f->name);
	}
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];
		unsigned users = 0;

		for (unsigned j = 0; j < mv_nxstate_users; j++)
			users += mv_xstate_users[j].component == i;
		if (f->leaf == 0xd && f->subleaf == 0)
			cr_expect_eq(users, 1, "row %s", f->name);
	}
}

Test(xstate, masks_of_a_table)
{
	struct mv_table t = { 0 };
	struct mv_leaf *e;

	cr_expect_eq(mv_xstate_xcr0(&t), 0);
	cr_expect_eq(mv_xstate_xss(&t), 0);
	e = mv_table_add(&t, 0xd, 0);
	e->reg[MV_EAX] = 0xe7;
	e->reg[MV_EDX] = 0x40000000;
	e = mv_table_add(&t, 0xd, 1);
	e->reg[MV_EAX] = 0xf;
	e->reg[MV_ECX] = 0x1800;
	e->reg[MV_EDX] = 1;
	cr_expect_eq(mv_xstate_xcr0(&t), UINT64_C(0x40000000000000e7));
	cr_expect_eq(mv_xstate_xss(&t), UINT64_C(0x100001800));
}

static const struct {
	const char *name, *host;
	uint64_t mask;
	uint32_t standard, compacted;
} size_rows[] = {
	{ "nothing", "haswell", 0, 576, 576 },
	{ "x87 and SSE", "haswell", 3, 576, 576 },
	{ "AVX", "haswell", 7, 0x340, 0x340 },
	{ "Skylake-SP", "skylake-sp", 0x2ff, 0xa88, 0xa08 },
	{ "Skylake-SP without MPX: standard keeps the gap", "skylake-sp", 0x2e7, 0xa88, 0x988 },
	{ "Intel, PKRU alone", "skylake-sp", 0x203, 0xa88, 0x248 },
	{ "AMX, aligned when compacted", "sapphirerapids", 0x602e7, 0x2b00, 0x2a00 },
	{ "AMX without PKRU", "sapphirerapids", 0x600e7, 0x2b00, 0x29c0 },
	{ "Zen 3", "zen3", 0x207, 0x988, 0x348 },
	{ "Zen 4", "zen4", 0x2e7, 0x988, 0x988 },
	{ "components that the table does not have", "haswell", 0xffff00000007, 0x340, 0x340 },
	{ "bits 0, 1 and 63 are no subleaves", "haswell", UINT64_C(1) << 63 | 3, 576, 576 },
};

Test(xstate, sizes)
{
	struct mv_host *h = malloc(sizeof(*h));

	for (size_t i = 0; i < COUNT(size_rows); i++) {
		uint32_t s, c;

		make_host(h, size_rows[i].host);
		s = mv_xstate_standard_size(&h->raw, size_rows[i].mask);
		c = mv_xstate_compacted_size(&h->raw, size_rows[i].mask);
		cr_expect_eq(s, size_rows[i].standard, "row %s: 0x%x", size_rows[i].name, s);
		cr_expect_eq(c, size_rows[i].compacted, "row %s: 0x%x", size_rows[i].name, c);
	}
	free(h);
}

/* A sum that wraps would pass for a small area. */
static const struct {
	const char *name;
	uint32_t size, offset, flags;
	uint32_t standard, compacted;
} hostile_rows[] = {
	{ "offset near 4 GiB", 0x100, 0xffffff80, 0, UINT32_MAX, 576 + 0x100 },
	{ "size of 4 GiB less one", UINT32_MAX, 0x240, 0, UINT32_MAX, UINT32_MAX },
	{ "both", UINT32_MAX, UINT32_MAX, 2, UINT32_MAX, UINT32_MAX },
	{ "ends at 4 GiB less one", 0x7fffffff, 0x80000000, 0, UINT32_MAX, 0x7fffffff + 576u },
	{ "alignment at the end", UINT32_MAX - 576, 0, 2, UINT32_MAX - 576, UINT32_MAX },
};

Test(xstate, hostile_sizes)
{
	for (size_t i = 0; i < COUNT(hostile_rows); i++) {
		struct mv_table t = { 0 };
		struct mv_leaf *e = mv_table_add(&t, 0xd, 2);
		uint32_t s, c;

		e->reg[MV_EAX] = hostile_rows[i].size;
		e->reg[MV_EBX] = hostile_rows[i].offset;
		e->reg[MV_ECX] = hostile_rows[i].flags;
		s = mv_xstate_standard_size(&t, 4);
		c = mv_xstate_compacted_size(&t, 4);
		cr_expect_eq(s, hostile_rows[i].standard, "row %s: 0x%x", hostile_rows[i].name, s);
		cr_expect_eq(c, hostile_rows[i].compacted, "row %s: 0x%x", hostile_rows[i].name, c);
	}
}

Test(xstate, sixty_one_components_of_4_gib)
{
	struct mv_table t = { 0 };

	for (uint32_t n = 2; n < 63; n++) {
		struct mv_leaf *e = mv_table_add(&t, 0xd, n);

		e->reg[MV_EAX] = e->reg[MV_EBX] = UINT32_MAX;
		e->reg[MV_ECX] = 2;
	}
	cr_expect_eq(mv_xstate_standard_size(&t, UINT64_MAX), UINT32_MAX);
	cr_expect_eq(mv_xstate_compacted_size(&t, UINT64_MAX), UINT32_MAX);
}
