/* SPDX-License-Identifier: MIT */
/* What a guest can be given on a host, and what it can use there whatever a mask hides. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"
#include "xstate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* KVM that answers for itself: what it names, and nothing of what the CPU has beyond. */
static const struct {
	const char *name, *host, *feature;
	bool offered;
} offer_rows[] = {
	{ "kvm and raw", "haswell", "bmi2", true },
	{ "raw alone", "haswell kvm-bmi2", "bmi2", false },
	{ "kvm alone: emulated", "haswell raw-x2apic", "x2apic", true },
	{ "neither", "haswell", "adx", false },
	{ "seen to execute is not offered", "haswell exec+adx", "adx", false },
	{ "one level is not interception", "haswell kernel=1 kvm-bmi2", "bmi2", true },

	{ "without: kvm and raw", "haswell kernel=0", "bmi2", true },
	{ "without: kvm alone", "haswell kernel=0 raw-x2apic", "x2apic", true },
	{ "without: a plain instruction of raw", "haswell kernel=0 kvm-bmi2", "bmi2", true },
	{ "without: in a leaf that KVM does not have", "haswell kernel=0 raw+movrs", "movrs", true },
	{ "without: neither", "haswell kernel=0", "adx", false },
	{ "without: seen to execute is not offered", "haswell kernel=0 exec+adx", "adx", false },
	{ "without: needs CR4", "haswell kernel=0 kvm-smep", "smep", false },
	{ "without: needs EFER", "haswell kernel=0 kvm-nx", "nx", false },
	{ "without: needs an MSR", "skylake-sp kernel=0 kvm-spec-ctrl", "spec-ctrl", false },
	{ "without: needs CPL 0", "haswell kernel=0 kvm-invpcid", "invpcid", false },
	{ "without: needs the hypervisor", "haswell kernel=0 kvm-vmx", "vmx", false },
	{ "without: run-time state is no feature", "haswell kernel=0 raw+osxsave", "osxsave", false },
	{ "without: nor is the host's topology", "haswell kernel=0 kvm-htt", "htt", false },
	{ "without: a warning about the hardware", "skylake-sp kernel=0 kvm-md-clear", "md-clear",
	  true },

	{ "XCR0 taken: AVX", "haswell kernel=0 kvm-avx xcr0=7", "avx", true },
	{ "XCR0 taken: its component", "haswell kernel=0 kvm-xstate-avx xcr0=7", "xstate-avx", true },
	{ "XCR0 taken: what needs AVX", "haswell kernel=0 kvm-fma xcr0=7", "fma", true },
	{ "XCR0 not taken: AVX", "haswell kernel=0 kvm-avx xcr0=3", "avx", false },
	{ "XCR0 not taken: the component", "haswell kernel=0 kvm-xstate-avx xcr0=3", "xstate-avx",
	  false },
	{ "XCR0 not taken: XSAVE still", "haswell kernel=0 kvm-xsave xcr0=3", "xsave", true },
	{ "XCR0 not taken: XSAVEOPT still", "haswell kernel=0 kvm-xsaveopt xcr0=3", "xsaveopt",
	  true },
	{ "no XCR0: XSAVE", "haswell kernel=0 kvm-xsave xcr0=0", "xsave", false },
	{ "no XCR0: XSAVEOPT", "haswell kernel=0 kvm-xsaveopt xcr0=0", "xsaveopt", false },
	{ "no XCR0: SSE4.2 still", "haswell kernel=0 kvm-sse4.2 xcr0=0", "sse4.2", true },
	{ "XSAVES is for CPL 0", "skylake-sp kernel=0 kvm-xsaves", "xsaves", false },
	{ "AVX alone: no AVX-512", "skylake-sp kernel=0 kvm-avx512bw xcr0=7", "avx512bw", false },
	{ "AVX-512", "skylake-sp kernel=0 kvm-avx512bw xcr0=0xe7", "avx512bw", true },
	{ "two of three AVX-512 components", "skylake-sp kernel=0 kvm-avx512bw xcr0=0x67",
	  "avx512bw", false },
	{ "PKU needs CR4 as well", "skylake-sp kernel=0 kvm-pku xcr0=0x2ff", "pku", false },
	{ "AMX", "sapphirerapids kernel=0 kvm-amx-int8 xcr0=0x60007", "amx-int8", true },
	{ "AMX, no tile data", "sapphirerapids kernel=0 kvm-amx-int8 xcr0=0x20007", "amx-int8",
	  false },
};

Test(host, offer)
{
	struct mv_host *h = malloc(sizeof(*h));
	struct mv_table offer;

	for (size_t i = 0; i < COUNT(offer_rows); i++) {
		make_host(h, offer_rows[i].host);
		mv_host_offer(h, &offer);
		cr_expect_eq(mv_table_has(&offer, feature_id(offer_rows[i].feature)),
			     offer_rows[i].offered, "row %s", offer_rows[i].name);
	}
	free(h);
}

Test(host, offer_with_interception_is_the_kvm_view)
{
	struct mv_host *h = malloc(sizeof(*h));
	struct mv_table offer;

	make_host(h, "sapphirerapids kvm-avx kvm-sse4.1 phys-bits=40");
	mv_host_offer(h, &offer);
	cr_expect_eq(offer.n, h->kvm.n);
	cr_expect_arr_eq(offer.e, h->kvm.e, offer.n * sizeof(offer.e[0]));
	free(h);
}

/* KVM of the kind that names little (kvm-on-pvm.md): a small table, and a big CPU. */
static void little_kvm(struct mv_host *h, const char *words, uint64_t xcr0)
{
	make_host(h, words);
	h->proof[MV_INTERCEPTION_KERNEL] = 0;
	h->xcr0 = xcr0;
	h->kvm.n = 0;
	*mv_table_add(&h->kvm, 0, 0) = *mv_table_find(&h->raw, 0, 0);
	mv_table_set_field(&h->kvm, MV_FIELD_MAX_LEAF, 1);
	*mv_table_add(&h->kvm, 1, 0) = *mv_table_find(&h->raw, 1, 0);
	mv_table_add(&h->kvm, 0x80000000, 0)->reg[MV_EAX] = 0x80000001;
}

Test(host, offer_reaches_all_its_leaves)
{
	struct mv_host *h = malloc(sizeof(*h));
	struct mv_table offer;

	little_kvm(h, "sapphirerapids", 0xe7);
	mv_host_offer(h, &offer);
	cr_expect_eq(mv_table_field(&offer, MV_FIELD_MAX_LEAF), 0xd);
	cr_expect_eq(mv_table_field(&offer, MV_FIELD_MAX_SUBLEAF_7), 1);
	cr_expect_eq(mv_table_field(&offer, MV_FIELD_MAX_EXT_LEAF), 0x80000007);
	little_kvm(h, "zen4", 0);
	mv_host_offer(h, &offer);
	cr_expect_eq(mv_table_field(&offer, MV_FIELD_MAX_LEAF), 7);
	cr_expect_eq(mv_table_field(&offer, MV_FIELD_MAX_EXT_LEAF), 0x80000008);
	/* KVM may know no extended leaf at all. */
	h->kvm.n = 2;
	mv_host_offer(h, &offer);
	cr_expect_eq(mv_table_field(&offer, MV_FIELD_MAX_EXT_LEAF), 0x80000008);
	free(h);
}

Test(host, offer_has_the_layout_of_the_components_that_are_taken)
{
	struct mv_host *h = malloc(sizeof(*h));
	struct mv_table offer;

	little_kvm(h, "skylake-sp", 0xe7);
	mv_host_offer(h, &offer);
	cr_expect_eq(mv_xstate_xcr0(&offer), 0xe7);
	cr_expect_eq(mv_xstate_standard_size(&offer, 0xe7), 0xa80);
	for (uint32_t n = 2; n < 63; n++) {
		const struct mv_leaf *e = mv_table_find(&offer, 0xd, n);

		cr_expect_eq(e != NULL, 0xe7 >> (n < 32 ? n : 31) & 1, "component %u", n);
		if (e)
			cr_expect_arr_eq(e->reg, mv_table_find(&h->raw, 0xd, n)->reg,
					 sizeof(e->reg));
	}
	free(h);
}

/* A table without room for a new leaf still takes bits in the leaves it has. */
Test(host, offer_in_a_full_table)
{
	struct mv_host *h = malloc(sizeof(*h));
	struct mv_table offer;

	make_host(h, "sapphirerapids kernel=0 raw+movrs kvm-lzcnt");
	while (h->kvm.n < MV_TABLE_MAX)
		mv_table_add(&h->kvm, 0x20000000 + h->kvm.n, 0);
	mv_table_set_feature(&h->raw, MV_F_KL_CPL0, true);
	mv_table_set_feature(&h->raw, MV_F_PT_LIP, true);
	mv_host_offer(h, &offer);
	cr_expect_eq(offer.n, MV_TABLE_MAX);
	cr_expect(!mv_table_has(&offer, MV_F_PT_LIP), "no room for leaf 0x14");
	cr_expect(mv_table_has(&offer, MV_F_LZCNT), "0x80000001 is there, and comes after 0x14");
	free(h);
}

static const struct {
	const char *name, *host, *feature;
	bool executes;
} executes_rows[] = {
	{ "raw", "haswell", "bmi2", true },
	{ "raw, and KVM does not name it", "haswell kvm-bmi2", "bmi2", true },
	{ "kvm alone", "haswell raw-bmi2", "bmi2", false },
	{ "seen to execute", "haswell -bmi2 exec+bmi2", "bmi2", true },
	{ "neither", "haswell", "adx", false },
};

Test(host, executes)
{
	struct mv_host *h = malloc(sizeof(*h));

	for (size_t i = 0; i < COUNT(executes_rows); i++) {
		const struct mv_feature *f = &mv_features[feature_id(executes_rows[i].feature)];

		make_host(h, executes_rows[i].host);
		cr_expect_eq(mv_host_executes(h, f->leaf, f->subleaf, f->reg, f->bit),
			     executes_rows[i].executes, "row %s", executes_rows[i].name);
	}
	/* A bit without a row has only the CPU's word. */
	make_host(h, "haswell 1.0:ecx=10000");
	cr_expect(mv_host_executes(h, 1, 0, MV_ECX, 16));
	cr_expect(!mv_host_executes(h, 1, 0, MV_ECX, 0));
	cr_expect(!mv_host_executes(h, 0x12345, 9, MV_ECX, 31));
	free(h);
}

Test(host, msr)
{
	struct mv_host *h = malloc(sizeof(*h));
	uint64_t v = 5;

	make_host(h, "haswell msr:10a=0x2b msr:8b=0x100000000");
	cr_expect(mv_host_msr(h, 0x10a, &v));
	cr_expect_eq(v, 0x2b);
	cr_expect(mv_host_msr(h, 0x8b, &v));
	cr_expect_eq(v, UINT64_C(0x100000000));
	cr_expect(!mv_host_msr(h, 0x10b, &v));
	cr_expect_eq(v, UINT64_C(0x100000000), "untouched");
	free(h);
}

Test(host, featset)
{
	struct mv_featset s = { { 0 } };

	for (unsigned i = 0; i < MV_NFEATURES; i += 3)
		mv_featset_add(&s, (enum mv_feature_id)i);
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		cr_expect_eq(mv_featset_has(&s, (enum mv_feature_id)i), i % 3 == 0);
}

Test(host, intercept_names)
{
	static const char *const names[] = { "none", "kernel", "patch", "step" };

	for (unsigned i = 0; i < MV_NINTERCEPTIONS; i++)
		cr_expect_str_eq(mv_intercept_name((enum mv_intercept)i), names[i]);
	cr_expect_str_eq(mv_intercept_name(MV_NINTERCEPTIONS), "?");
}
