/* SPDX-License-Identifier: MIT */
/* CPUID as a guest executes it: KVM's rules for what is not in the table, and for what changes. */
#include <criterion/criterion.h>
#include <string.h>

#include "support.h"
#include "xstate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct mv_cpu_now reset = { .xcr0 = 1 };

/* What stands in the table at (as_leaf, as_subleaf) is the answer to (leaf, subleaf). */
static const struct {
	const char *name, *host;
	uint32_t leaf, subleaf;
	bool answered;
	uint32_t as_leaf, as_subleaf;
} lookup_rows[] = {
	{ "there", "haswell", 1, 0, true, 1, 0 },
	{ "a leaf without subleaves ignores ECX", "haswell", 1, 77, true, 1, 0 },
	{ "subleaf", "sapphirerapids", 7, 1, true, 7, 1 },
	{ "subleaf that is not there", "sapphirerapids", 7, 2, false, 0, 0 },
	{ "in range and not there", "haswell", 3, 0, false, 0, 0 },

	{ "Intel, beyond: the highest basic leaf", "haswell", 0x20, 0, true, 0xd, 0 },
	{ "Intel, beyond: with the subleaf asked for", "haswell", 0x20, 2, true, 0xd, 2 },
	{ "Intel, beyond: that subleaf is not there", "haswell", 0x20, 5, false, 0, 0 },
	{ "Intel, beyond the extended ones", "haswell", 0x80000009, 0, true, 0xd, 0 },
	{ "Intel, beyond KVM's own", "haswell", 0x40000002, 0, true, 0xd, 0 },
	{ "Intel, a hypervisor range that is not there", "haswell", 0x40000100, 0, true, 0xd, 0 },
	{ "Intel, Centaur's range", "haswell", 0xc0000000, 0, true, 0xd, 0 },
	{ "Intel, 0x70000000", "haswell", 0x70000000, 0, true, 0xd, 0 },
	{ "Intel, 0xffffffff", "haswell", 0xffffffff, 0, true, 0xd, 0 },
	{ "AMD, beyond: zero", "zen3", 0x20, 0, false, 0, 0 },
	{ "AMD, beyond the extended ones", "zen3", 0x80000030, 0, false, 0, 0 },
	{ "Hygon, beyond",
	  "zen3 vendor-ebx=0x6f677948 vendor-edx=0x6e65476e vendor-ecx=0x656e6975", 0x20, 0, false,
	  0, 0 },
	{ "another vendor is treated as Intel", "haswell vendor-ebx=0x746e6543", 0x20, 0, true, 0xd,
	  0 },
};

Test(answer, lookup)
{
	for (size_t i = 0; i < COUNT(lookup_rows); i++) {
		uint32_t out[MV_NREGS], want[MV_NREGS] = { 0 };
		const struct mv_leaf *e;
		struct fixture f;

		fixture_init(&f);
		make_policy(&f, lookup_rows[i].host, "", 2);
		e = mv_table_find(&f.p->guest, lookup_rows[i].as_leaf, lookup_rows[i].as_subleaf);
		if (lookup_rows[i].answered) {
			cr_assert(e, "row %s", lookup_rows[i].name);
			memcpy(want, e->reg, sizeof(want));
		}
		memset(out, 0xaa, sizeof(out));
		mv_table_answer(&f.p->guest, &reset, lookup_rows[i].leaf, lookup_rows[i].subleaf,
				out);
		cr_expect_arr_eq(out, want, sizeof(out), "row %s: %x %x %x %x",
				 lookup_rows[i].name, out[0], out[1], out[2], out[3]);
		fixture_finish(&f);
	}
}

Test(answer, topology_leaf_beyond_its_levels)
{
	uint32_t out[MV_NREGS];
	struct mv_table t;
	struct fixture f;

	fixture_init(&f);
	make_policy(&f, "haswell", "", 4);
	mv_table_for_cpu(&t, &f.p->guest, 3);
	/* ECX bits 7 to 0 come back, EDX is the x2APIC id. */
	mv_table_answer(&t, &reset, 0xb, 0x105, out);
	cr_expect_eq(out[MV_EAX], 0);
	cr_expect_eq(out[MV_EBX], 0);
	cr_expect_eq(out[MV_ECX], 5);
	cr_expect_eq(out[MV_EDX], 3);
	/* 0x1F is out of range here: leaf 0xD answers, as KVM has it. */
	mv_table_answer(&t, &reset, 0x1f, 1, out);
	cr_expect_eq(out[MV_EAX], mv_table_reg(&t, 0xd, 1, MV_EAX));
	fixture_finish(&f);
}

Test(answer, topology_leaf_as_the_highest)
{
	uint32_t out[MV_NREGS];
	struct mv_table t = { 0 };

	mv_table_add(&t, 0, 0)->reg[MV_EAX] = 0xb;
	mv_table_add(&t, 0xb, 0)->reg[MV_EDX] = 9;
	mv_table_add(&t, 0xb, 1)->reg[MV_EDX] = 9;
	mv_table_answer(&t, &reset, 0x55, 4, out);
	cr_expect_eq(out[MV_ECX], 4);
	cr_expect_eq(out[MV_EDX], 9);
	/* A topology without level 1 is none. */
	t.n = 2;
	mv_table_answer(&t, &reset, 0xb, 4, out);
	cr_expect_eq(out[MV_ECX] | out[MV_EDX], 0);
}

Test(answer, an_empty_table)
{
	uint32_t out[MV_NREGS] = { 1, 2, 3, 4 };
	struct mv_table t = { 0 };

	mv_table_answer(&t, &reset, 1, 0, out);
	cr_expect_eq(out[0] | out[1] | out[2] | out[3], 0);
}

#define CR4_OSXSAVE (1u << 18)
#define CR4_PKE (1u << 22)

static const struct {
	const char *name, *host, *mask;
	struct mv_cpu_now now;
	uint32_t leaf, subleaf;
	unsigned reg;
	uint32_t mask_bits, value;
} state_rows[] = {
	{ "OSXSAVE clear", "haswell", "", { 0, 1, 0 }, 1, 0, MV_ECX, 1u << 27, 0 },
	{ "OSXSAVE follows CR4", "haswell", "", { CR4_OSXSAVE, 1, 0 }, 1, 0, MV_ECX, 1u << 27,
	  1u << 27 },
	{ "OSXSAVE without XSAVE", "haswell", "xsave=0", { CR4_OSXSAVE, 1, 0 }, 1, 0, MV_ECX,
	  1u << 27, 0 },
	{ "other CR4 bits", "haswell", "", { ~(uint64_t)CR4_OSXSAVE, 1, 0 }, 1, 0, MV_ECX,
	  1u << 27, 0 },
	{ "OSPKE clear", "skylake-sp", "", { CR4_OSXSAVE, 1, 0 }, 7, 0, MV_ECX, 1u << 4, 0 },
	{ "OSPKE follows CR4", "skylake-sp", "", { CR4_PKE, 1, 0 }, 7, 0, MV_ECX, 1u << 4, 1u << 4 },
	{ "OSPKE without PKU", "skylake-sp", "pku=0", { CR4_PKE, 1, 0 }, 7, 0, MV_ECX, 1u << 4, 0 },
	{ "not in another subleaf", "sapphirerapids", "", { CR4_PKE, 1, 0 }, 7, 1, MV_ECX, 1u << 4,
	  0 },
	{ "D.0 EBX at reset", "skylake-sp", "", { 0, 1, 0 }, 0xd, 0, MV_EBX, UINT32_MAX, 576 },
	{ "D.0 EBX with AVX", "skylake-sp", "", { 0, 7, 0 }, 0xd, 0, MV_EBX, UINT32_MAX, 0x340 },
	{ "D.0 EBX with all", "skylake-sp", "", { 0, 0x2ff, 0 }, 0xd, 0, MV_EBX, UINT32_MAX,
	  0xa88 },
	{ "D.0 ECX stays", "skylake-sp", "", { 0, 7, 0 }, 0xd, 0, MV_ECX, UINT32_MAX, 0xa88 },
	{ "D.1 EBX compacted", "skylake-sp", "", { 0, 0x203, 0 }, 0xd, 1, MV_EBX, UINT32_MAX,
	  0x248 },
	{ "D.1 EBX with supervisor state",
	  "skylake-sp +xss-pt +intel-pt xsave-pt-size=0x80 xsave-pt-flags=1", "",
	  { 0, 0x203, 0x100 }, 0xd, 1, MV_EBX, UINT32_MAX, 0x2c8 },
	{ "D.1 EBX without XSAVEC and XSAVES", "haswell", "", { 0, 7, 0 }, 0xd, 1, MV_EBX,
	  UINT32_MAX, 0 },
};

Test(answer, guest_state)
{
	for (size_t i = 0; i < COUNT(state_rows); i++) {
		uint32_t out[MV_NREGS];
		struct fixture f;

		fixture_init(&f);
		make_policy(&f, state_rows[i].host, state_rows[i].mask, 1);
		mv_table_answer(&f.p->guest, &state_rows[i].now, state_rows[i].leaf,
				state_rows[i].subleaf, out);
		cr_expect_eq(out[state_rows[i].reg] & state_rows[i].mask_bits, state_rows[i].value,
			     "row %s: 0x%x", state_rows[i].name, out[state_rows[i].reg]);
		fixture_finish(&f);
	}
}

/* Two reads differ in volatile bits alone, whatever the guest's state. */
Test(answer, volatile_bits_cover_what_changes)
{
	static const struct mv_cpu_now now = { .cr4 = UINT64_MAX, .xcr0 = 0x2ff, .xss = 0x100 };
	struct fixture f;

	fixture_init(&f);
	make_policy(&f, "skylake-sp", "", 1);
	for (uint32_t i = 0; i < f.p->guest.n; i++) {
		const struct mv_leaf *e = &f.p->guest.e[i];
		uint32_t a[MV_NREGS], b[MV_NREGS];

		mv_table_answer(&f.p->guest, &reset, e->leaf, e->subleaf, a);
		mv_table_answer(&f.p->guest, &now, e->leaf, e->subleaf, b);
		for (unsigned r = 0; r < MV_NREGS; r++)
			cr_expect_eq((a[r] ^ b[r]) & ~mv_volatile_bits(e->leaf, e->subleaf, r), 0,
				     "leaf 0x%x.%x %s", e->leaf, e->subleaf, mv_reg_name(r));
	}
	fixture_finish(&f);
}
