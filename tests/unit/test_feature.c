/* SPDX-License-Identifier: MIT */
/*
 * The bit table: unique, complete for the registers of real CPUs, and where the manuals say. The
 * positions here are spelled out a second time on purpose.
 */
#include "cpuid/feature.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Spellings that systems give to different bits: they name no feature by themselves. */
static const char *const ambiguous[] = { "ibrs", "prefetchi", "psfd" };

static bool is_ambiguous(const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof(ambiguous) / sizeof(ambiguous[0]); i++)
		if (strlen(ambiguous[i]) == len) {
			size_t j = 0;

			while (j < len && (word[j] | 0x20) == ambiguous[i][j])
				j++;
			if (j == len)
				return true;
		}
	return false;
}

static const struct mv_feature *by_name(const char *name)
{
	return mv_feature_by_name(name, strlen(name));
}

static const char *list_of(const struct mv_feature *f, int system)
{
	const char *const lists[] = { f->linux_name, f->qemu_name, f->xen_name, f->vmware_name };

	return lists[system];
}

Test(feature, rows_are_well_formed)
{
	static const char charset[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

	cr_expect_geq((int)MV_NFEATURES, 350);
	for (size_t i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];

		cr_expect(*f->name && strspn(f->name, charset) == strlen(f->name), "row %s",
			  f->name);
		cr_expect(*f->what && strlen(f->what) < 80, "row %s", f->name);
		cr_expect_neq(f->what[strlen(f->what) - 1], '.', "row %s", f->name);
		cr_expect_eq(mv_feature_id(f), (enum mv_feature_id)i, "row %s", f->name);
		for (int s = MV_SPELL_LINUX; s <= MV_SPELL_VMWARE; s++) {
			const char *l = list_of(f, s);

			cr_expect(!*l || (l[0] != ' ' && l[strlen(l) - 1] != ' ' &&
					  !strstr(l, "  ")),
				  "row %s, list \"%s\"", f->name, l);
		}
	}
}

Test(feature, rows_are_in_order_and_found_by_position)
{
	for (size_t i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];

		cr_expect_eq(mv_feature_at(f->leaf, f->subleaf, f->reg, f->bit), f, "row %s",
			     f->name);
		if (i) {
			const struct mv_feature *g = f - 1;
			bool ordered = g->leaf != f->leaf	    ? g->leaf < f->leaf :
				       g->subleaf != f->subleaf ? g->subleaf < f->subleaf :
				       g->reg != f->reg		    ? g->reg < f->reg :
								      g->bit < f->bit;

			cr_expect(ordered, "row %s after %s", f->name, g->name);
		}
	}
	cr_expect_null(mv_feature_at(0x1, 0, MV_EDX, 10));
	cr_expect_null(mv_feature_at(0x1, 1, MV_EDX, 0));
	cr_expect_null(mv_feature_at(0x1, 0, MV_NREGS, 0));
	cr_expect_null(mv_feature_at(0x1, 0, MV_ECX, 32));
	cr_expect_null(mv_feature_at(0x0, 0, MV_EAX, 0));
	cr_expect_null(mv_feature_at(UINT32_MAX, UINT32_MAX, MV_EDX, 31));
	/* positions that would alias if a key were packed too tightly */
	cr_expect_null(mv_feature_at(0x0, 1U << 24, MV_ECX, 0));
	cr_expect_null(mv_feature_at(0x7, 1U << 31, MV_EBX, 0));
}

Test(feature, names_resolve_to_their_row)
{
	for (size_t i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];

		cr_expect_eq(by_name(f->name), f, "row %s", f->name);
		for (int s = MV_SPELL_LINUX; s <= MV_SPELL_VMWARE; s++) {
			const char *w = list_of(f, s);

			while (*w) {
				size_t len = strcspn(w, " ");

				cr_expect_eq(mv_feature_by_alias((enum mv_spelling)s, w, len), f,
					     "row %s, spelling %.*s of system %d", f->name,
					     (int)len, w, s);
				if (is_ambiguous(w, len))
					cr_expect_null(mv_feature_by_name(w, len), "%.*s",
						       (int)len, w);
				else
					cr_expect_eq(mv_feature_by_name(w, len), f,
						     "row %s, spelling %.*s", f->name, (int)len,
						     w);
				w += len + strspn(w + len, " ");
			}
		}
	}
}

Test(feature, names_in_any_spelling)
{
	static const struct {
		const char *name;
		enum mv_feature_id id;
	} rows[] = {
		{ "SSE4.1", MV_F_SSE4_1 },	{ "sse4_1", MV_F_SSE4_1 },
		{ "sse4-1", MV_F_SSE4_1 },	{ "sse41", MV_F_SSE4_1 },
		{ "pni", MV_F_SSE3 },		{ "SSE3", MV_F_SSE3 },
		{ "pclmulqdq", MV_F_PCLMUL },	{ "pclmuldq", MV_F_PCLMUL },
		{ "abm", MV_F_LZCNT },		{ "lzcnt", MV_F_LZCNT },
		{ "CMPXCHG16B", MV_F_CX16 },	{ "cmpxchg16", MV_F_CX16 },
		{ "avx512_vbmi", MV_F_AVX512_VBMI }, { "avx512vbmi", MV_F_AVX512_VBMI },
		{ "ibrsb", MV_F_SPEC_CTRL },	{ "spec-ctrl", MV_F_SPEC_CTRL },
		{ "xd", MV_F_NX },		{ "nx", MV_F_NX },
		{ "MWAIT", MV_F_MONITOR },	{ "lahf_lm", MV_F_LAHF64 },
		{ "page1gb", MV_F_PDPE1GB },	{ "est", MV_F_EST },
		{ "XCR0_MASTER_YMM_H", MV_F_XSTATE_AVX }, { "3dnowprefetch", MV_F_PREFETCHW },
		{ "ffxsr", MV_F_FFXSR },	{ "fxsr_opt", MV_F_FFXSR },
		{ "invtsc", MV_F_INVARIANT_TSC }, { "kvm-pv-unhalt", MV_F_KVM_PV_UNHALT },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(by_name(rows[i].name), &mv_features[rows[i].id], "row %s",
			     rows[i].name);

	cr_expect_null(by_name(""));
	cr_expect_null(by_name("SSE4"));
	cr_expect_null(by_name("SSE4.11"));
	cr_expect_null(by_name("pclmulqdq pclmuldq"), "a list is not a name");
	cr_expect_eq(mv_feature_by_name("sse4.2,sse3", 6), &mv_features[MV_F_SSE4_2]);

	/* what one system wrote */
	cr_expect_eq(mv_feature_by_alias(MV_SPELL_QEMU, "ibrs", 4), &mv_features[MV_F_AMD_IBRS]);
	cr_expect_eq(mv_feature_by_alias(MV_SPELL_VMWARE, "IBRS", 4), &mv_features[MV_F_SPEC_CTRL]);
	cr_expect_eq(mv_feature_by_alias(MV_SPELL_XEN, "prefetchi", 9),
		     &mv_features[MV_F_PREFETCHITI]);
	cr_expect_null(mv_feature_by_alias(MV_SPELL_XEN, "pni", 3));
	cr_expect_null(mv_feature_by_alias(MV_SPELL_LINUX, "", 0));
}

Test(feature, well_known_positions)
{
	static const struct {
		enum mv_feature_id id;
		uint32_t leaf, subleaf;
		unsigned reg, bit;
		const char *name;
	} rows[] = {
		{ MV_F_SSE3, 0x1, 0, MV_ECX, 0, "SSE3" },
		{ MV_F_PCLMUL, 0x1, 0, MV_ECX, 1, "PCLMUL" },
		{ MV_F_MONITOR, 0x1, 0, MV_ECX, 3, "MONITOR" },
		{ MV_F_VMX, 0x1, 0, MV_ECX, 5, "VMX" },
		{ MV_F_SSSE3, 0x1, 0, MV_ECX, 9, "SSSE3" },
		{ MV_F_FMA, 0x1, 0, MV_ECX, 12, "FMA" },
		{ MV_F_CX16, 0x1, 0, MV_ECX, 13, "CX16" },
		{ MV_F_SSE4_1, 0x1, 0, MV_ECX, 19, "SSE4.1" },
		{ MV_F_SSE4_2, 0x1, 0, MV_ECX, 20, "SSE4.2" },
		{ MV_F_X2APIC, 0x1, 0, MV_ECX, 21, "X2APIC" },
		{ MV_F_POPCNT, 0x1, 0, MV_ECX, 23, "POPCNT" },
		{ MV_F_AES, 0x1, 0, MV_ECX, 25, "AES" },
		{ MV_F_XSAVE, 0x1, 0, MV_ECX, 26, "XSAVE" },
		{ MV_F_OSXSAVE, 0x1, 0, MV_ECX, 27, "OSXSAVE" },
		{ MV_F_AVX, 0x1, 0, MV_ECX, 28, "AVX" },
		{ MV_F_RDRAND, 0x1, 0, MV_ECX, 30, "RDRAND" },
		{ MV_F_HYPERVISOR, 0x1, 0, MV_ECX, 31, "HYPERVISOR" },
		{ MV_F_CX8, 0x1, 0, MV_EDX, 8, "CX8" },
		{ MV_F_CLFLUSH, 0x1, 0, MV_EDX, 19, "CLFLUSH" },
		{ MV_F_SSE2, 0x1, 0, MV_EDX, 26, "SSE2" },
		{ MV_F_HTT, 0x1, 0, MV_EDX, 28, "HTT" },
		{ MV_F_FSGSBASE, 0x7, 0, MV_EBX, 0, "FSGSBASE" },
		{ MV_F_AVX2, 0x7, 0, MV_EBX, 5, "AVX2" },
		{ MV_F_SMEP, 0x7, 0, MV_EBX, 7, "SMEP" },
		{ MV_F_BMI2, 0x7, 0, MV_EBX, 8, "BMI2" },
		{ MV_F_AVX512F, 0x7, 0, MV_EBX, 16, "AVX512F" },
		{ MV_F_SHA, 0x7, 0, MV_EBX, 29, "SHA" },
		{ MV_F_PKU, 0x7, 0, MV_ECX, 3, "PKU" },
		{ MV_F_OSPKE, 0x7, 0, MV_ECX, 4, "OSPKE" },
		{ MV_F_LA57, 0x7, 0, MV_ECX, 16, "LA57" },
		{ MV_F_RDPID, 0x7, 0, MV_ECX, 22, "RDPID" },
		{ MV_F_MD_CLEAR, 0x7, 0, MV_EDX, 10, "MD-CLEAR" },
		{ MV_F_AMX_TILE, 0x7, 0, MV_EDX, 24, "AMX-TILE" },
		{ MV_F_SPEC_CTRL, 0x7, 0, MV_EDX, 26, "SPEC-CTRL" },
		{ MV_F_ARCH_CAPABILITIES, 0x7, 0, MV_EDX, 29, "ARCH-CAPABILITIES" },
		{ MV_F_AVX_VNNI, 0x7, 1, MV_EAX, 4, "AVX-VNNI" },
		{ MV_F_LAM, 0x7, 1, MV_EAX, 26, "LAM" },
		{ MV_F_PREFETCHITI, 0x7, 1, MV_EDX, 14, "PREFETCHITI" },
		{ MV_F_BHI_CTRL, 0x7, 2, MV_EDX, 4, "BHI-CTRL" },
		{ MV_F_XSTATE_PKRU, 0xd, 0, MV_EAX, 9, "XSTATE-PKRU" },
		{ MV_F_XSTATE_LWP, 0xd, 0, MV_EDX, 30, "XSTATE-LWP" },
		{ MV_F_XSAVES, 0xd, 1, MV_EAX, 3, "XSAVES" },
		{ MV_F_XSS_CET_U, 0xd, 1, MV_ECX, 11, "XSS-CET-U" },
		{ MV_F_LAHF64, 0x80000001, 0, MV_ECX, 0, "LAHF64" },
		{ MV_F_SVM, 0x80000001, 0, MV_ECX, 2, "SVM" },
		{ MV_F_LZCNT, 0x80000001, 0, MV_ECX, 5, "LZCNT" },
		{ MV_F_PREFETCHW, 0x80000001, 0, MV_ECX, 8, "PREFETCHW" },
		{ MV_F_FMA4, 0x80000001, 0, MV_ECX, 16, "FMA4" },
		{ MV_F_SYSCALL, 0x80000001, 0, MV_EDX, 11, "SYSCALL" },
		{ MV_F_NX, 0x80000001, 0, MV_EDX, 20, "NX" },
		{ MV_F_PDPE1GB, 0x80000001, 0, MV_EDX, 26, "PDPE1GB" },
		{ MV_F_LM, 0x80000001, 0, MV_EDX, 29, "LM" },
		{ MV_F_AMD3DNOW, 0x80000001, 0, MV_EDX, 31, "3DNOW" },
		{ MV_F_INVARIANT_TSC, 0x80000007, 0, MV_EDX, 8, "INVARIANT-TSC" },
		{ MV_F_CLZERO, 0x80000008, 0, MV_EBX, 0, "CLZERO" },
		{ MV_F_WBNOINVD, 0x80000008, 0, MV_EBX, 9, "WBNOINVD" },
		{ MV_F_NO_LMSL, 0x80000008, 0, MV_EBX, 20, "NO-LMSL" },
		{ MV_F_VGIF, 0x8000000a, 0, MV_EDX, 16, "VGIF" },
		{ MV_F_SEV_SNP, 0x8000001f, 0, MV_EAX, 4, "SEV-SNP" },
		{ MV_F_AUTOIBRS, 0x80000021, 0, MV_EAX, 8, "AUTO-IBRS" },
		{ MV_F_KVM_PV_EOI, 0x40000001, 0, MV_EAX, 6, "KVM-PV-EOI" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct mv_feature *f = &mv_features[rows[i].id];

		cr_expect_eq(f->leaf, rows[i].leaf, "row %s", rows[i].name);
		cr_expect_eq(f->subleaf, rows[i].subleaf, "row %s", rows[i].name);
		cr_expect_eq(f->reg, rows[i].reg, "row %s", rows[i].name);
		cr_expect_eq(f->bit, rows[i].bit, "row %s", rows[i].name);
		cr_expect_str_eq(f->name, rows[i].name, "row %s", rows[i].name);
	}
}

/* 0 not seen, 1 on the way up, 2 done; returns false on a cycle. */
static bool climb(enum mv_feature_id id, unsigned char *seen)
{
	enum mv_feature_id up[16];
	size_t n = mv_feature_parents(id, up, 16);

	if (seen[id])
		return seen[id] == 2;
	seen[id] = 1;
	cr_assert_leq(n, 16, "row %s", mv_features[id].name);
	for (size_t i = 0; i < n; i++)
		if (!climb(up[i], seen))
			return false;
	seen[id] = 2;
	return true;
}

static bool has_ancestor(enum mv_feature_id id, bool (*want)(const struct mv_feature *))
{
	enum mv_feature_id up[16];
	size_t n = mv_feature_parents(id, up, 16);

	for (size_t i = 0; i < n; i++)
		if (want(&mv_features[up[i]]) || has_ancestor(up[i], want))
			return true;
	return false;
}

static bool is_xcr0_component(const struct mv_feature *f)
{
	return f->leaf == 0xd && f->subleaf == 0;
}

static bool is_xsave(const struct mv_feature *f)
{
	return f == &mv_features[MV_F_XSAVE];
}

static bool is_avx512f(const struct mv_feature *f)
{
	return f == &mv_features[MV_F_AVX512F];
}

Test(feature, prerequisites_have_no_cycle)
{
	unsigned char seen[MV_NFEATURES] = { 0 };
	enum mv_feature_id up[16];

	for (size_t i = 0; i < MV_NFEATURES; i++)
		cr_assert(climb((enum mv_feature_id)i, seen), "row %s", mv_features[i].name);
	for (size_t i = 0; i < MV_NFEATURES; i++) {
		size_t n = mv_feature_parents((enum mv_feature_id)i, up, 16);

		for (size_t j = 0; j < n; j++)
			for (size_t k = 0; k < j; k++)
				cr_expect_neq(up[j], up[k], "row %s", mv_features[i].name);
	}

	cr_expect_eq(mv_feature_parents(MV_F_FPU, up, 16), 0);
	cr_expect_eq(mv_feature_parents(MV_F_SSE4_2, up, 16), 1);
	cr_expect_eq(up[0], MV_F_SSE4_1);
	up[0] = up[1] = MV_F_FPU;
	cr_expect_gt(mv_feature_parents(MV_F_AVX512F, up, 1), 1, "counts what does not fit");
	cr_expect_eq(up[1], MV_F_FPU, "and leaves the rest alone");
	cr_expect_gt(mv_feature_parents(MV_F_AVX512F, NULL, 0), 1);
}

Test(feature, state_components_are_ancestors)
{
	for (size_t i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];
		enum mv_feature_id id = (enum mv_feature_id)i;

		if (is_xcr0_component(f) || f->needs == MV_FN_XCR0)
			cr_expect(has_ancestor(id, is_xsave), "row %s", f->name);
		if (!is_xcr0_component(f) && f->needs == MV_FN_XCR0)
			cr_expect(has_ancestor(id, is_xcr0_component), "row %s", f->name);
		if (!strncmp(f->name, "AVX512", 6) && id != MV_F_AVX512F)
			cr_expect(has_ancestor(id, is_avx512f), "row %s", f->name);
	}
}

Test(feature, columns_agree_with_each_other)
{
	for (size_t i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];

		/* Measured: KVM emulates the first on SVM, and refuses the others whatever the CPU is. */
		if (i != MV_F_ARCH_CAPABILITIES && i != MV_F_PKS)
			cr_expect_eq(f->vendor == MV_FV_INTEL, f->svm == MV_FE_NA, "row %s", f->name);
		if (i != MV_F_FFXSR)
			cr_expect_eq(f->vendor == MV_FV_AMD, f->vmx == MV_FE_NA, "row %s", f->name);
		cr_expect_eq(f->vendor == MV_FV_KVM, f->leaf == 0x40000001, "row %s", f->name);
		if (f->vendor != MV_FV_KVM && f->vmx == MV_FE_KVM)
			cr_expect_eq(f->leaf, 0x8000000a, "row %s", f->name);
		if (f->cls == MV_FC_HAZARD || f->cls == MV_FC_DYNAMIC || f->cls == MV_FC_TOPOLOGY)
			cr_expect_neq(f->needs, MV_FN_MSR, "row %s", f->name);
		if (f->needs == MV_FN_XCR0)
			cr_expect(f->vmx == MV_FE_XCR0 || f->svm == MV_FE_XCR0, "row %s", f->name);
	}
}

Test(feature, mirrors_copy_leaf_1)
{
	unsigned mirrors = 0;

	for (size_t i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i], *of;
		enum mv_feature_id up[4];

		if (f->cls != MV_FC_MIRROR)
			continue;
		mirrors++;
		of = mv_feature_at(0x1, 0, MV_EDX, f->bit);
		cr_expect_eq(f->leaf, 0x80000001, "row %s", f->name);
		cr_expect_eq(f->reg, MV_EDX, "row %s", f->name);
		cr_assert_not_null(of, "row %s", f->name);
		cr_expect_str_eq(f->name + strlen("EXT-"), of->name, "row %s", f->name);
		cr_expect_eq(mv_feature_parents((enum mv_feature_id)i, up, 4), 1, "row %s",
			     f->name);
		cr_expect_eq(up[0], mv_feature_id(of), "row %s", f->name);
	}
	/* bits 0 to 9, 12 to 17, 23 and 24 */
	cr_expect_eq(mirrors, 18);
}

Test(feature, classes_needs_and_enforcement)
{
	static const struct {
		enum mv_feature_id id;
		unsigned cls, needs, vmx, svm;
	} rows[] = {
		{ MV_F_SSE4_1, MV_FC_PLAIN, MV_FN_NOTHING, MV_FE_NONE, MV_FE_NONE },
		{ MV_F_AVX, MV_FC_PLAIN, MV_FN_XCR0, MV_FE_XCR0, MV_FE_XCR0 },
		{ MV_F_FMA, MV_FC_PLAIN, MV_FN_XCR0, MV_FE_XCR0, MV_FE_XCR0 },
		{ MV_F_VAES, MV_FC_PLAIN, MV_FN_XCR0, MV_FE_XCR0, MV_FE_XCR0 },
		{ MV_F_GFNI, MV_FC_PLAIN, MV_FN_NOTHING, MV_FE_NONE, MV_FE_NONE },
		{ MV_F_BMI2, MV_FC_PLAIN, MV_FN_NOTHING, MV_FE_NONE, MV_FE_NONE },
		{ MV_F_XOP, MV_FC_PLAIN, MV_FN_XCR0, MV_FE_NA, MV_FE_XCR0 },
		{ MV_F_AMX_TILE, MV_FC_PLAIN, MV_FN_XCR0, MV_FE_XCR0, MV_FE_NA },
		{ MV_F_XSAVE, MV_FC_PLAIN, MV_FN_CR4, MV_FE_CR4, MV_FE_CR4 },
		{ MV_F_XSAVEOPT, MV_FC_PLAIN, MV_FN_CR4, MV_FE_NONE, MV_FE_NONE },
		{ MV_F_XSAVES, MV_FC_PLAIN, MV_FN_PRIV, MV_FE_CTRL, MV_FE_NONE },
		{ MV_F_SMEP, MV_FC_PLAIN, MV_FN_CR4, MV_FE_CR4, MV_FE_CR4 },
		{ MV_F_PKU, MV_FC_PLAIN, MV_FN_CR4, MV_FE_CR4, MV_FE_CR4 },
		{ MV_F_NX, MV_FC_PLAIN, MV_FN_EFER, MV_FE_EFER, MV_FE_EFER },
		{ MV_F_RDTSCP, MV_FC_PLAIN, MV_FN_NOTHING, MV_FE_CTRL, MV_FE_CTRL },
		{ MV_F_RDPID, MV_FC_PLAIN, MV_FN_NOTHING, MV_FE_CTRL, MV_FE_CTRL },
		{ MV_F_RDRAND, MV_FC_PLAIN, MV_FN_NOTHING, MV_FE_CTRL, MV_FE_NONE },
		{ MV_F_RDSEED, MV_FC_PLAIN, MV_FN_NOTHING, MV_FE_CTRL, MV_FE_NONE },
		{ MV_F_INVPCID, MV_FC_PLAIN, MV_FN_PRIV, MV_FE_CTRL, MV_FE_CTRL },
		{ MV_F_MONITOR, MV_FC_PLAIN, MV_FN_VMM, MV_FE_CTRL, MV_FE_CTRL },
		{ MV_F_SPEC_CTRL, MV_FC_PLAIN, MV_FN_MSR, MV_FE_MSR, MV_FE_NA },
		{ MV_F_X2APIC, MV_FC_PLAIN, MV_FN_MSR, MV_FE_MSR, MV_FE_MSR },
		{ MV_F_VMX, MV_FC_PLAIN, MV_FN_VMM, MV_FE_CR4, MV_FE_NA },
		{ MV_F_SVM, MV_FC_PLAIN, MV_FN_VMM, MV_FE_NA, MV_FE_EFER },
		{ MV_F_ERMS, MV_FC_PLAIN, MV_FN_NOTHING, MV_FE_INFO, MV_FE_INFO },
		{ MV_F_MD_CLEAR, MV_FC_HAZARD, MV_FN_NOTHING, MV_FE_INFO, MV_FE_NA },
		{ MV_F_VERW_CLEAR, MV_FC_HAZARD, MV_FN_NOTHING, MV_FE_NA, MV_FE_INFO },
		{ MV_F_FDP_EXCPTN_ONLY, MV_FC_INVERTED, MV_FN_NOTHING, MV_FE_INFO, MV_FE_INFO },
		{ MV_F_ZERO_FCS_FDS, MV_FC_INVERTED, MV_FN_NOTHING, MV_FE_INFO, MV_FE_INFO },
		{ MV_F_NO_LMSL, MV_FC_INVERTED, MV_FN_NOTHING, MV_FE_NA, MV_FE_INFO },
		{ MV_F_FS_GS_NS, MV_FC_INVERTED, MV_FN_NOTHING, MV_FE_NA, MV_FE_INFO },
		{ MV_F_HTT, MV_FC_TOPOLOGY, MV_FN_NOTHING, MV_FE_INFO, MV_FE_INFO },
		{ MV_F_CMP_LEGACY, MV_FC_TOPOLOGY, MV_FN_NOTHING, MV_FE_NA, MV_FE_INFO },
		{ MV_F_OSXSAVE, MV_FC_DYNAMIC, MV_FN_NOTHING, MV_FE_INFO, MV_FE_INFO },
		{ MV_F_OSPKE, MV_FC_DYNAMIC, MV_FN_NOTHING, MV_FE_INFO, MV_FE_INFO },
		{ MV_F_HYPERVISOR, MV_FC_SYNTH, MV_FN_NOTHING, MV_FE_INFO, MV_FE_INFO },
		{ MV_F_KVM_STEAL_TIME, MV_FC_PLAIN, MV_FN_VMM, MV_FE_KVM, MV_FE_KVM },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct mv_feature *f = &mv_features[rows[i].id];

		cr_expect_eq(f->cls, rows[i].cls, "row %s", f->name);
		cr_expect_eq(f->needs, rows[i].needs, "row %s", f->name);
		cr_expect_eq(f->vmx, rows[i].vmx, "row %s", f->name);
		cr_expect_eq(f->svm, rows[i].svm, "row %s", f->name);
	}
}

Test(feature, fields)
{
	static const struct {
		enum mv_field_id id;
		uint32_t leaf;
		unsigned reg, lo, hi;
	} rows[] = {
		{ MV_FIELD_MAX_LEAF, 0x0, MV_EAX, 0, 31 },
		{ MV_FIELD_STEPPING, 0x1, MV_EAX, 0, 3 },
		{ MV_FIELD_MODEL, 0x1, MV_EAX, 4, 7 },
		{ MV_FIELD_FAMILY, 0x1, MV_EAX, 8, 11 },
		{ MV_FIELD_EXT_MODEL, 0x1, MV_EAX, 16, 19 },
		{ MV_FIELD_EXT_FAMILY, 0x1, MV_EAX, 20, 27 },
		{ MV_FIELD_CLFLUSH_SIZE, 0x1, MV_EBX, 8, 15 },
		{ MV_FIELD_MAX_SUBLEAF_7, 0x7, MV_EAX, 0, 31 },
		{ MV_FIELD_MAX_EXT_LEAF, 0x80000000, MV_EAX, 0, 31 },
		{ MV_FIELD_PHYS_BITS, 0x80000008, MV_EAX, 0, 7 },
		{ MV_FIELD_LINEAR_BITS, 0x80000008, MV_EAX, 8, 15 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct mv_field *d = &mv_fields[rows[i].id];

		cr_expect_eq(d->leaf, rows[i].leaf, "row %s", d->name);
		cr_expect_eq(d->reg, rows[i].reg, "row %s", d->name);
		cr_expect_eq(d->lo, rows[i].lo, "row %s", d->name);
		cr_expect_eq(d->hi, rows[i].hi, "row %s", d->name);
	}
	for (size_t i = 0; i < MV_NFIELDS; i++) {
		const struct mv_field *d = &mv_fields[i];

		cr_expect_eq(mv_field_by_name(d->name, strlen(d->name)), d, "row %s", d->name);
		cr_expect(d->what && *d->what, "row %s", d->name);
		/* finds every bit, so rows are in order and don't overlap; no feature is inside */
		for (unsigned bit = d->lo; bit <= d->hi; bit++) {
			cr_expect_eq(mv_field_at(d->leaf, d->subleaf, d->reg, bit), d,
				     "row %s, bit %u", d->name, bit);
			cr_expect_null(mv_feature_at(d->leaf, d->subleaf, d->reg, bit),
				       "row %s, bit %u", d->name, bit);
		}
	}
	for (size_t i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];

		cr_expect_null(mv_field_at(f->leaf, f->subleaf, f->reg, f->bit), "row %s", f->name);
	}
	cr_expect_eq(mv_field_by_name("Phys_Bits", 9), &mv_fields[MV_FIELD_PHYS_BITS]);
	cr_expect_null(mv_field_by_name("phys", 4));
	cr_expect_null(mv_field_by_name("", 0));
	cr_expect_null(mv_field_at(0x1, 0, MV_EAX, 14));
	cr_expect_null(mv_field_at(0x1, 0, MV_NREGS, 0));
	cr_expect_null(mv_field_at(0x1, 0, MV_EAX, 32));
}

Test(feature, guide_notation)
{
	static const struct {
		uint32_t leaf, subleaf;
		unsigned reg, bit;
		const char *text;
	} rows[] = {
		{ 0x1, 0, MV_ECX, 19, "CPUID level 0x1 ECX:19 (SSE4.1)" },
		{ 0x1, 0, MV_ECX, 3, "CPUID level 0x1 ECX:3 (MONITOR)" },
		{ 0x7, 0, MV_EBX, 5, "CPUID level 0x7 sublevel 0x0 EBX:5 (AVX2)" },
		{ 0x7, 1, MV_EAX, 4, "CPUID level 0x7 sublevel 0x1 EAX:4 (AVX-VNNI)" },
		{ 0xd, 1, MV_EAX, 3, "CPUID level 0xd sublevel 0x1 EAX:3 (XSAVES)" },
		{ 0x80000001, 0, MV_EDX, 29, "CPUID level 0x80000001 EDX:29 (LM)" },
		{ 0x80000008, 0, MV_EAX, 3, "CPUID level 0x80000008 EAX:3 (phys-bits)" },
		{ 0x1, 0, MV_EDX, 10, "CPUID level 0x1 EDX:10" },
		{ 0x7fffffff, 0, MV_EAX, 0, "CPUID level 0x7fffffff EAX:0" },
	};
	char buf[128];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n = mv_bit_format(buf, sizeof(buf), rows[i].leaf, rows[i].subleaf, rows[i].reg,
				      rows[i].bit);

		cr_expect_str_eq(buf, rows[i].text, "row %s", rows[i].text);
		cr_expect_eq(n, (int)strlen(rows[i].text), "row %s", rows[i].text);
	}
	cr_expect_eq(mv_bit_format(buf, 8, 0x1, 0, MV_ECX, 19), 31, "what it would have taken");
	cr_expect_str_eq(buf, "CPUID l");
	cr_expect_eq(mv_bit_format(NULL, 0, 0x1, 0, MV_ECX, 19), 31);

	cr_expect_str_eq(mv_reg_name(MV_EDX), "EDX");
	cr_expect_str_eq(mv_reg_name_lower(MV_EBX), "ebx");
	cr_expect(mv_leaf_has_subleaves(0x7) && mv_leaf_has_subleaves(0xd) &&
		  mv_leaf_has_subleaves(0x8000001d));
	cr_expect(!mv_leaf_has_subleaves(0x1) && !mv_leaf_has_subleaves(0x80000008));
}

/* Feature registers in the manner of two server CPUs: no set bit may be without a name. */
Test(feature, rich_registers_decode)
{
	static const struct {
		uint32_t leaf, subleaf;
		unsigned reg;
		uint32_t value;
		const char *name;
	} rows[] = {
		{ 0x1, 0, MV_ECX, 0x7ffefbff, "Sapphire Rapids" },
		{ 0x1, 0, MV_EDX, 0xbfebfbff, "Sapphire Rapids" },
		{ 0x6, 0, MV_EAX, 0x00df8ff7, "Sapphire Rapids" },
		{ 0x6, 0, MV_ECX, 0x00000009, "Sapphire Rapids" },
		{ 0x7, 0, MV_EBX, 0xf3bfbffb, "Sapphire Rapids" },
		{ 0x7, 0, MV_ECX, 0xfbc17ffe, "Sapphire Rapids" },
		{ 0x7, 0, MV_EDX, 0xffdd4432, "Sapphire Rapids" },
		{ 0x7, 1, MV_EAX, 0x00001c30, "Sapphire Rapids" },
		{ 0x7, 2, MV_EDX, 0x0000001f, "Sapphire Rapids" },
		{ 0xd, 0, MV_EAX, 0x000602e7, "Sapphire Rapids" },
		{ 0xd, 1, MV_EAX, 0x0000001f, "Sapphire Rapids" },
		{ 0xd, 1, MV_ECX, 0x0001fd00, "Sapphire Rapids" },
		{ 0x10, 0, MV_EBX, 0x0000000e, "Sapphire Rapids" },
		{ 0x14, 0, MV_EBX, 0x000000ff, "Sapphire Rapids" },
		{ 0x14, 0, MV_ECX, 0x80000007, "Sapphire Rapids" },
		{ 0x19, 0, MV_EBX, 0x00000015, "Sapphire Rapids" },
		{ 0x1c, 0, MV_EBX, 0x00000007, "Sapphire Rapids" },
		{ 0x80000001, 0, MV_ECX, 0x00000121, "Sapphire Rapids" },
		{ 0x80000001, 0, MV_EDX, 0x2c100800, "Sapphire Rapids" },
		{ 0x80000008, 0, MV_EBX, 0x00000200, "Sapphire Rapids" },
		{ 0x1, 0, MV_ECX, 0x7efa320b, "Zen 4" },
		{ 0x1, 0, MV_EDX, 0x178bfbff, "Zen 4" },
		{ 0x6, 0, MV_EAX, 0x00000004, "Zen 4" },
		{ 0x7, 0, MV_EBX, 0xf1bf97a9, "Zen 4" },
		{ 0x7, 0, MV_ECX, 0x00415fde, "Zen 4" },
		{ 0x7, 0, MV_EDX, 0x10000010, "Zen 4" },
		{ 0x7, 1, MV_EAX, 0x00000020, "Zen 4" },
		{ 0xd, 0, MV_EAX, 0x000002e7, "Zen 4" },
		{ 0xd, 1, MV_EAX, 0x0000000f, "Zen 4" },
		{ 0xd, 1, MV_ECX, 0x00001800, "Zen 4" },
		{ 0x80000001, 0, MV_ECX, 0x75c237ff, "Zen 4" },
		{ 0x80000001, 0, MV_EDX, 0x2fd3fbff, "Zen 4" },
		{ 0x80000007, 0, MV_EBX, 0x0000001b, "Zen 4" },
		{ 0x80000007, 0, MV_EDX, 0x0000e799, "Zen 4" },
		{ 0x80000008, 0, MV_EBX, 0x791ef257, "Zen 4" },
		{ 0x8000000a, 0, MV_EDX, 0x1ebfbcff, "Zen 4" },
		{ 0x8000001b, 0, MV_EAX, 0x00000bff, "Zen 4" },
		{ 0x8000001f, 0, MV_EAX, 0x0101fd3f, "Zen 4" },
		{ 0x80000021, 0, MV_EAX, 0x00062fcf, "Zen 4" },
		{ 0x80000022, 0, MV_EAX, 0x00000007, "Zen 4" },
		{ 0x40000001, 0, MV_EAX, 0x01007efb, "a KVM guest" },
	};
	char text[128];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (unsigned bit = 0; bit < 32; bit++) {
			if (!(rows[i].value >> bit & 1))
				continue;
			mv_bit_format(text, sizeof(text), rows[i].leaf, rows[i].subleaf,
				      rows[i].reg, bit);
			cr_expect_not_null(mv_feature_at(rows[i].leaf, rows[i].subleaf, rows[i].reg,
							 bit),
					   "row %s, %s", rows[i].name, text);
		}
}
