/* SPDX-License-Identifier: MIT */
/*
 * What the KVM of Linux 6.1 would offer on a CPU that is known by a dump alone:
 * KVM_GET_SUPPORTED_CPUID as kvm_set_cpu_caps(), vmx_set_cpu_caps(), svm_set_cpu_caps() and
 * __do_cpuid_func() make it, with default module parameters. docs/importers.md has the rule in
 * words, and what was measured.
 *
 *	offer = (raw & passed & not withheld) | given | implied
 */
#include <string.h>

#include "import.h"
#include "xstate.h"


/* Features that KVM passes on where the CPU has them; all it does not name, it hides. */
static const uint16_t passed[] = {
	/* 0x1; nested virtualization is on by default */
	MV_F_SSE3, MV_F_PCLMUL, MV_F_VMX, MV_F_SSSE3, MV_F_FMA, MV_F_CX16, MV_F_PDCM, MV_F_PCID,
	MV_F_SSE4_1, MV_F_SSE4_2, MV_F_X2APIC, MV_F_MOVBE, MV_F_POPCNT, MV_F_AES, MV_F_XSAVE,
	MV_F_AVX, MV_F_F16C, MV_F_RDRAND,
	MV_F_FPU, MV_F_VME, MV_F_DE, MV_F_PSE, MV_F_TSC, MV_F_MSR, MV_F_PAE, MV_F_MCE, MV_F_CX8,
	MV_F_APIC, MV_F_SEP, MV_F_MTRR, MV_F_PGE, MV_F_MCA, MV_F_CMOV, MV_F_PAT, MV_F_PSE36,
	MV_F_CLFLUSH, MV_F_MMX, MV_F_FXSR, MV_F_SSE, MV_F_SSE2, MV_F_SS,
	/* 0x7.0; SGX only with enclave memory that firmware set up: left out */
	MV_F_FSGSBASE, MV_F_BMI1, MV_F_HLE, MV_F_AVX2, MV_F_FDP_EXCPTN_ONLY, MV_F_SMEP, MV_F_BMI2,
	MV_F_ERMS, MV_F_INVPCID, MV_F_RTM, MV_F_ZERO_FCS_FDS, MV_F_MPX, MV_F_AVX512F,
	MV_F_AVX512DQ, MV_F_RDSEED, MV_F_ADX, MV_F_SMAP, MV_F_AVX512IFMA, MV_F_CLFLUSHOPT,
	MV_F_CLWB, MV_F_AVX512PF, MV_F_AVX512ER, MV_F_AVX512CD, MV_F_SHA, MV_F_AVX512BW,
	MV_F_AVX512VL,
	MV_F_AVX512_VBMI, MV_F_LA57, MV_F_PKU, MV_F_RDPID, MV_F_AVX512_VPOPCNTDQ, MV_F_UMIP,
	MV_F_AVX512_VBMI2, MV_F_GFNI, MV_F_VAES, MV_F_VPCLMULQDQ, MV_F_AVX512_VNNI,
	MV_F_AVX512_BITALG, MV_F_CLDEMOTE, MV_F_MOVDIRI, MV_F_MOVDIR64B, MV_F_WAITPKG,
	MV_F_BUS_LOCK_DETECT,
	MV_F_AVX512_4VNNIW, MV_F_AVX512_4FMAPS, MV_F_SPEC_CTRL, MV_F_SSBD, MV_F_ARCH_CAPABILITIES,
	MV_F_STIBP, MV_F_MD_CLEAR, MV_F_AVX512_VP2INTERSECT, MV_F_FSRM, MV_F_SERIALIZE,
	MV_F_TSXLDTRK, MV_F_AVX512_FP16, MV_F_AMX_TILE, MV_F_AMX_INT8, MV_F_AMX_BF16,
	/* 0x7.1, 0x7.2, 0xd.1 */
	MV_F_AVX_VNNI, MV_F_AVX512_BF16,
	MV_F_INTEL_PSFD, MV_F_IPRED_CTRL, MV_F_RRSBA_CTRL, MV_F_DDPD_U, MV_F_BHI_CTRL,
	MV_F_MCDT_NO,
	MV_F_XSAVEOPT, MV_F_XSAVEC, MV_F_XGETBV1, MV_F_XSAVES, MV_F_XFD,
	/* 0x80000001 */
	MV_F_LAHF64, MV_F_CMP_LEGACY, MV_F_SVM, MV_F_CR8_LEGACY, MV_F_LZCNT, MV_F_SSE4A,
	MV_F_MISALIGNSSE, MV_F_PREFETCHW, MV_F_OSVW, MV_F_XOP, MV_F_FMA4, MV_F_TBM, MV_F_TOPOEXT,
	MV_F_PERFCTR_CORE,
	MV_F_EXT_FPU, MV_F_EXT_VME, MV_F_EXT_DE, MV_F_EXT_PSE, MV_F_EXT_TSC, MV_F_EXT_MSR,
	MV_F_EXT_PAE, MV_F_EXT_MCE, MV_F_EXT_CX8, MV_F_EXT_APIC, MV_F_SYSCALL, MV_F_EXT_MTRR,
	MV_F_EXT_PGE, MV_F_EXT_MCA, MV_F_EXT_CMOV, MV_F_EXT_PAT, MV_F_EXT_PSE36, MV_F_NX,
	MV_F_MMXEXT, MV_F_EXT_MMX, MV_F_EXT_FXSR, MV_F_FFXSR, MV_F_PDPE1GB, MV_F_RDTSCP, MV_F_LM,
	MV_F_AMD3DNOWEXT, MV_F_AMD3DNOW,
	/* 0x80000007 and 8 */
	MV_F_INVARIANT_TSC,
	MV_F_CLZERO, MV_F_XSAVEERPTR, MV_F_WBNOINVD, MV_F_AMD_IBPB, MV_F_AMD_IBRS, MV_F_AMD_SSBD,
	MV_F_VIRT_SSBD, MV_F_AMD_SSB_NO, MV_F_AMD_STIBP, MV_F_AMD_STIBP_ALWAYS_ON, MV_F_AMD_PSFD,
	/* 0x8000000a, for a guest's guests */
	MV_F_NPT, MV_F_LBRV, MV_F_NRIPS, MV_F_TSCRATEMSR, MV_F_PAUSEFILTER, MV_F_PFTHRESHOLD,
	MV_F_V_VMSAVE_VMLOAD, MV_F_VGIF,
	/* 0x80000021; SEV (0x8000001f) only if firmware set it up: left out */
	MV_F_NO_NESTED_DATA_BP, MV_F_LFENCE_RDTSC, MV_F_VERW_CLEAR, MV_F_NULL_SEL_CLR_BASE,
	MV_F_SRSO_NO, MV_F_TSA_SQ_NO, MV_F_TSA_L1_NO,
};

enum condition {
	ALWAYS,
	ON_INTEL, ON_AMD,	/* AMD: and Hygon */
	SHADOW_PAGING,		/* no EPT, no NPT */
	TRAPS_TABLES,		/* VMX can intercept SGDT and so on */
	HAS_SVM,
};

/* Made by KVM or Linux itself, wherever the maximum leaf allows. */
static const struct {
	uint16_t id;
	uint8_t when;
} given[] = {
	{ MV_F_X2APIC, ALWAYS },
	{ MV_F_TSC_ADJUST, ALWAYS },
	{ MV_F_ARCH_CAPABILITIES, ALWAYS },
	{ MV_F_ARAT, ALWAYS },
	{ MV_F_UMIP, TRAPS_TABLES },
	{ MV_F_PDPE1GB, SHADOW_PAGING },
	{ MV_F_VMCBCLEAN, HAS_SVM },
	{ MV_F_SVME_ADDR_CHK, HAS_SVM },
	{ MV_F_LFENCE_RDTSC, ON_AMD },	/* Linux makes it so */
	{ MV_F_NO_SMM_CTL_MSR, ON_AMD },
	{ MV_F_KVM_CLOCKSOURCE, ALWAYS },
	{ MV_F_KVM_NOP_IO_DELAY, ALWAYS },
	{ MV_F_KVM_CLOCKSOURCE2, ALWAYS },
	{ MV_F_KVM_ASYNC_PF, ALWAYS },
	{ MV_F_KVM_STEAL_TIME, ALWAYS },
	{ MV_F_KVM_PV_EOI, ALWAYS },
	{ MV_F_KVM_PV_UNHALT, ALWAYS },
	{ MV_F_KVM_PV_TLB_FLUSH, ALWAYS },
	{ MV_F_KVM_ASYNC_PF_VMEXIT, ALWAYS },
	{ MV_F_KVM_PV_SEND_IPI, ALWAYS },
	{ MV_F_KVM_POLL_CONTROL, ALWAYS },
	{ MV_F_KVM_PV_SCHED_YIELD, ALWAYS },
	{ MV_F_KVM_ASYNC_PF_INT, ALWAYS },
	{ MV_F_KVM_CLOCKSOURCE_STABLE, ALWAYS },
};

/* Intel and AMD name the same MSR bits in different leaves: KVM shows both. */
static const struct {
	uint16_t id, if_a, and_b;
	uint8_t when;
} implied[] = {
	{ MV_F_SPEC_CTRL, MV_F_AMD_IBPB, MV_F_AMD_IBRS, ALWAYS },
	{ MV_F_STIBP, MV_F_AMD_STIBP, MV_F_AMD_STIBP, ALWAYS },
	{ MV_F_SSBD, MV_F_AMD_SSBD, MV_F_AMD_SSBD, ALWAYS },
	{ MV_F_AMD_IBPB, MV_F_SPEC_CTRL, MV_F_SPEC_CTRL, ALWAYS },
	{ MV_F_AMD_IBRS, MV_F_SPEC_CTRL, MV_F_SPEC_CTRL, ALWAYS },
	{ MV_F_AMD_STIBP, MV_F_STIBP, MV_F_STIBP, ALWAYS },
	{ MV_F_AMD_SSBD, MV_F_SSBD, MV_F_SSBD, ALWAYS },
	{ MV_F_VIRT_SSBD, MV_F_AMD_SSBD, MV_F_AMD_SSBD, ON_AMD },
};

/* What depends on the model: Linux's own tables, by vendor, family and range of models. */
enum effect { GIVE, PASS, WITHHOLD };
static const struct {
	uint16_t id;
	uint8_t effect, vendor, family, first, last;	/* family 0 = all */
} models[] = {
	/* only kvm-intel has them */
	{ MV_F_MPX, WITHHOLD, MV_VENDOR_AMD, 0, 0, 0xff },
	{ MV_F_BUS_LOCK_DETECT, WITHHOLD, MV_VENDOR_AMD, 0, 0, 0xff },
	/* self-snoop that doesn't do for mixed memory types: Core to Sandy Bridge */
	{ MV_F_SS, WITHHOLD, MV_VENDOR_INTEL, 6, 0x0e, 0x0f },
	{ MV_F_SS, WITHHOLD, MV_VENDOR_INTEL, 6, 0x16, 0x17 },
	{ MV_F_SS, WITHHOLD, MV_VENDOR_INTEL, 6, 0x1a, 0x1a },
	{ MV_F_SS, WITHHOLD, MV_VENDOR_INTEL, 6, 0x1d, 0x1f },
	{ MV_F_SS, WITHHOLD, MV_VENDOR_INTEL, 6, 0x25, 0x25 },
	{ MV_F_SS, WITHHOLD, MV_VENDOR_INTEL, 6, 0x2a, 0x2a },
	{ MV_F_SS, WITHHOLD, MV_VENDOR_INTEL, 6, 0x2c, 0x2c },
	{ MV_F_SS, WITHHOLD, MV_VENDOR_INTEL, 6, 0x2e, 0x2e },
	/* Ice Lake servers, the only ones whose PEBS a guest can use */
	{ MV_F_DS, PASS, MV_VENDOR_INTEL, 6, 0x6a, 0x6a },
	{ MV_F_DS, PASS, MV_VENDOR_INTEL, 6, 0x6c, 0x6c },
	{ MV_F_DTES64, PASS, MV_VENDOR_INTEL, 6, 0x6a, 0x6a },
	{ MV_F_DTES64, PASS, MV_VENDOR_INTEL, 6, 0x6c, 0x6c },
	/* not affected by speculative store bypass: K8, K10, Llano; Silvermont, Airmont, Knights */
	{ MV_F_AMD_SSB_NO, GIVE, MV_VENDOR_AMD, 0x0f, 0, 0xff },
	{ MV_F_AMD_SSB_NO, GIVE, MV_VENDOR_AMD, 0x10, 0, 0xff },
	{ MV_F_AMD_SSB_NO, GIVE, MV_VENDOR_AMD, 0x11, 0, 0xff },
	{ MV_F_AMD_SSB_NO, GIVE, MV_VENDOR_AMD, 0x12, 0, 0xff },
	{ MV_F_AMD_SSB_NO, GIVE, MV_VENDOR_INTEL, 6, 0x37, 0x37 },
	{ MV_F_AMD_SSB_NO, GIVE, MV_VENDOR_INTEL, 6, 0x4a, 0x4a },
	{ MV_F_AMD_SSB_NO, GIVE, MV_VENDOR_INTEL, 6, 0x4c, 0x4d },
	{ MV_F_AMD_SSB_NO, GIVE, MV_VENDOR_INTEL, 6, 0x57, 0x57 },
	{ MV_F_AMD_SSB_NO, GIVE, MV_VENDOR_INTEL, 6, 0x85, 0x85 },
	/* SSBD by a model-specific register: Bulldozer to Zen 2 */
	{ MV_F_VIRT_SSBD, GIVE, MV_VENDOR_AMD, 0x15, 0, 0xff },
	{ MV_F_VIRT_SSBD, GIVE, MV_VENDOR_AMD, 0x16, 0, 0xff },
	{ MV_F_VIRT_SSBD, GIVE, MV_VENDOR_AMD, 0x17, 0, 0xff },
	{ MV_F_VIRT_SSBD, GIVE, MV_VENDOR_HYGON, 0x18, 0, 0xff },
	/* Zen 2: XSAVES of erratum 1386; null selectors clear the base, but no bit says so */
	{ MV_F_XSAVES, WITHHOLD, MV_VENDOR_AMD, 0x17, 0x30, 0x4f },
	{ MV_F_XSAVES, WITHHOLD, MV_VENDOR_AMD, 0x17, 0x60, 0x7f },
	{ MV_F_XSAVES, WITHHOLD, MV_VENDOR_AMD, 0x17, 0x90, 0x91 },
	{ MV_F_XSAVES, WITHHOLD, MV_VENDOR_AMD, 0x17, 0xa0, 0xaf },
	{ MV_F_XSAVES, WITHHOLD, MV_VENDOR_HYGON, 0x18, 0, 0xff },
	{ MV_F_NULL_SEL_CLR_BASE, GIVE, MV_VENDOR_AMD, 0x17, 0x30, 0x4f },
	{ MV_F_NULL_SEL_CLR_BASE, GIVE, MV_VENDOR_AMD, 0x17, 0x60, 0x7f },
	{ MV_F_NULL_SEL_CLR_BASE, GIVE, MV_VENDOR_AMD, 0x17, 0x90, 0x91 },
	{ MV_F_NULL_SEL_CLR_BASE, GIVE, MV_VENDOR_AMD, 0x17, 0xa0, 0xaf },
};

#define ALL 0xffffffffu

/* What is not features: registers or parts of them that KVM copies from the CPU. */
#define FIRST 0		/* of the leaf's subleaves: what others hold are features */
#define EVERY UINT32_MAX
static const struct {
	uint32_t leaf, last, keep[MV_NREGS];
} copied[] = {
	{ 0x0, EVERY, { ALL, ALL, ALL, ALL } },
	{ 0x1, EVERY, { ALL, ALL, 0, 0 } },
	{ 0x2, EVERY, { ALL, ALL, ALL, ALL } },
	{ 0x4, EVERY, { ALL, ALL, ALL, ALL } },
	{ 0x7, FIRST, { ALL, 0, 0, 0 } },
	{ 0x1d, EVERY, { ALL, ALL, ALL, ALL } },
	{ 0x1e, FIRST, { ALL, ALL, ALL, ALL } },
	{ 0x80000000, EVERY, { ALL, ALL, ALL, ALL } },
	{ 0x80000001, EVERY, { ALL, 0xf000ffff, 0, 0 } },
	{ 0x80000006, EVERY, { ALL, ALL, ALL, 0xfffcffff } },
	{ 0x80000008, EVERY, { 0xffff, 0, 0xf0ff, 0 } },
	{ 0x80000019, EVERY, { ALL, ALL, 0, 0 } },
	{ 0x8000001a, EVERY, { 0x7, 0, 0, 0 } },
	{ 0x8000001d, EVERY, { ALL, ALL, ALL, ALL } },
};

#define MAX_BASIC 0x1fu
#define MAX_EXT 0x80000021u
#define MAX_SUBLEAF_7 2u

#define XCR0_X87_SSE UINT64_C(0x3)
#define XCR0_KVM UINT64_C(0x602ff)	/* x87, SSE, AVX, MPX, AVX-512, PKRU, AMX */

/* ARCH_CAPABILITIES: what KVM lets through, what it adds, what Linux knows of all AMD CPUs. */
#define CAP_TAA_NO UINT64_C(0x100)
#define CAP_SSB_NO UINT64_C(0x10)
#define CAPS_KVM UINT64_C(0x400000001d1ae1ff)
#define CAPS_ADDED UINT64_C(0x48)		/* SKIP_L1DFL_VMENTRY, PSCHANGE_MC_NO */
#define CAPS_AMD UINT64_C(0x400000000c000021)	/* RDCL_, MDS_, GDS_, RFDS_ and ITS_NO */

struct assuming {
	const struct mv_table *raw;
	struct mv_table *kvm;
	enum mv_vendor vendor;
	struct mv_signature cpu;
	uint32_t max_basic, max_ext, max_7;
	bool amd, shadow_paging;
};

static bool reachable(const struct assuming *a, uint32_t leaf, uint32_t subleaf)
{
	if (leaf == 0x7 && subleaf > a->max_7)
		return false;
	if (leaf < 0x40000000)
		return leaf <= a->max_basic;
	return leaf < 0x80000000 || leaf <= a->max_ext;
}

static bool holds(const struct assuming *a, uint8_t when)
{
	switch ((enum condition)when) {
	case ALWAYS: return true;
	case ON_INTEL: return a->vendor == MV_VENDOR_INTEL;
	case ON_AMD: return a->amd;
	case SHADOW_PAGING: return a->shadow_paging;
	case TRAPS_TABLES: return a->vendor == MV_VENDOR_INTEL && !a->shadow_paging;
	case HAS_SVM: return mv_table_has(a->raw, MV_F_SVM);
	}
	return false;
}

static bool by_model(const struct assuming *a, enum mv_feature_id id, enum effect effect)
{
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (models[i].id == id && models[i].effect == effect &&
		    models[i].vendor == a->vendor &&
		    (!models[i].family || models[i].family == a->cpu.family) &&
		    a->cpu.model >= models[i].first && a->cpu.model <= models[i].last)
			return true;
	return false;
}

/* A maximum that the table has no room for stays out, as what it counts does. */
static void give(struct assuming *a, uint16_t id)
{
	if (reachable(a, mv_features[id].leaf, mv_features[id].subleaf))
		mv_table_set_feature(a->kvm, (enum mv_feature_id)id, true);
}

static bool has_pmu(const struct assuming *a)
{
	return a->vendor == MV_VENDOR_INTEL && mv_table_field(a->raw, MV_FIELD_PMU_VERSION) &&
	       mv_table_field(a->raw, MV_FIELD_PMU_COUNTERS) && !mv_table_has(a->raw, MV_F_HYBRID);
}

static void pass(struct assuming *a, uint16_t id)
{
	if (!mv_table_has(a->raw, (enum mv_feature_id)id) ||
	    by_model(a, (enum mv_feature_id)id, WITHHOLD) ||
	    (id == MV_F_PKU && a->shadow_paging) || (id == MV_F_PDCM && !has_pmu(a)))
		return;
	give(a, id);
}

static void features(struct assuming *a)
{
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		pass(a, passed[i]);
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		if (holds(a, given[i].when))
			give(a, given[i].id);
	for (size_t i = 0; i < sizeof(implied) / sizeof(implied[0]); i++)
		if (holds(a, implied[i].when) &&
		    mv_table_has(a->raw, (enum mv_feature_id)implied[i].if_a) &&
		    mv_table_has(a->raw, (enum mv_feature_id)implied[i].and_b))
			give(a, implied[i].id);
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		enum mv_feature_id id = (enum mv_feature_id)models[i].id;
		bool seen = models[i].effect == GIVE ||
			    (models[i].effect == PASS && mv_table_has(a->raw, id));

		if (seen && by_model(a, id, (enum effect)models[i].effect))
			give(a, models[i].id);
	}
}

static void copy_fields(struct assuming *a)
{
	for (uint32_t n = 0; n < a->raw->n; n++) {
		const struct mv_leaf *from = &a->raw->e[n];

		for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
			struct mv_leaf *to;

			if (copied[i].leaf != from->leaf || from->subleaf > copied[i].last ||
			    !reachable(a, from->leaf, from->subleaf))
				continue;
			if ((from->leaf == 0x1d || from->leaf == 0x1e) &&
			    !mv_table_has(a->raw, MV_F_AMX_TILE))
				continue;
			to = mv_table_add(a->kvm, from->leaf, from->subleaf);
			for (unsigned r = 0; to && r < MV_NREGS; r++)
				to->reg[r] |= from->reg[r] & copied[i].keep[r];
		}
	}
}

static uint32_t least(uint32_t x, uint32_t y)
{
	return x < y ? x : y;
}

static void set(struct assuming *a, enum mv_field_id id, uint32_t value)
{
	if (reachable(a, mv_fields[id].leaf, mv_fields[id].subleaf))
		mv_table_set_field(a->kvm, id, value);
}

/* The numbers that KVM limits. */
static void limit_fields(struct assuming *a)
{
	uint32_t linear = mv_table_field(a->raw, MV_FIELD_LINEAR_BITS);

	set(a, MV_FIELD_MAX_LEAF, a->max_basic);
	set(a, MV_FIELD_MAX_EXT_LEAF, a->max_ext);
	set(a, MV_FIELD_MAX_SUBLEAF_7, a->max_7);
	set(a, MV_FIELD_LINEAR_BITS, linear > 48 ? linear : 48);
	if (mv_table_has(a->raw, MV_F_SVM)) {
		set(a, MV_FIELD_SVM_REVISION, 1);
		set(a, MV_FIELD_SVM_ASIDS, 8);
	}
	if (!has_pmu(a))
		return;
	set(a, MV_FIELD_PMU_VERSION, least(mv_table_field(a->raw, MV_FIELD_PMU_VERSION), 2));
	set(a, MV_FIELD_PMU_COUNTERS, mv_table_field(a->raw, MV_FIELD_PMU_COUNTERS));
	set(a, MV_FIELD_PMU_WIDTH, mv_table_field(a->raw, MV_FIELD_PMU_WIDTH));
	set(a, MV_FIELD_PMU_EVENTS, mv_table_field(a->raw, MV_FIELD_PMU_EVENTS));
	set(a, MV_FIELD_PMU_FIXED, least(mv_table_field(a->raw, MV_FIELD_PMU_FIXED), 3));
	set(a, MV_FIELD_PMU_FIXED_WIDTH, mv_table_field(a->raw, MV_FIELD_PMU_FIXED_WIDTH));
	mv_table_get(a->kvm, 0xa, 0)->reg[MV_EBX] = mv_table_reg(a->raw, 0xa, 0, MV_EBX);
	give(a, MV_F_PMU_ANYTHREAD_DEPR);
}

/* Components that KVM knows and that Linux would not drop because their feature is missing. */
static uint64_t xcr0(const struct assuming *a)
{
	uint64_t has = mv_xstate_xcr0(a->raw) & XCR0_KVM, used = XCR0_X87_SSE;

	if (!mv_table_has(a->raw, MV_F_XSAVE))
		return 0;
	for (unsigned i = 0; i < mv_nxstate_users; i++) {
		const struct mv_xstate_user *u = &mv_xstate_users[i];

		if (mv_table_has(a->kvm, (enum mv_feature_id)u->user))
			used |= mv_xstate_needed((enum mv_feature_id)u->component);
	}
	return has & used;
}

static void xsave(struct assuming *a, uint64_t mask)
{
	const struct mv_leaf *raw0 = mv_table_find(a->raw, 0xd, 0);
	struct mv_leaf *e;
	bool complete = true;

	if (!reachable(a, 0xd, 0))
		return;
	for (uint32_t i = 2; i < 63; i++) {
		const struct mv_leaf *from = mask >> i & 1 ? mv_table_find(a->raw, 0xd, i) : NULL;

		complete &= from || !(mask >> i & 1);
		e = from ? mv_table_add(a->kvm, 0xd, i) : NULL;
		if (!e)
			continue;
		*e = *from;
		e->reg[MV_EDX] = 0;
		if (!mv_table_has(a->kvm, MV_F_XFD))
			e->reg[MV_ECX] &= ~4u;
	}
	e = mv_table_add(a->kvm, 0xd, 0);
	if (e) {
		e->reg[MV_EAX] = (uint32_t)mask;
		e->reg[MV_EDX] = (uint32_t)(mask >> 32);
		/* A dump without the components' layout still tells the whole size. */
		e->reg[MV_ECX] = complete || !raw0 ? mv_xstate_standard_size(a->raw, mask)
						   : raw0->reg[MV_ECX];
		e->reg[MV_EBX] = e->reg[MV_ECX];
	}
	e = mv_table_get(a->kvm, 0xd, 1);
	if (e && (mv_table_has(a->kvm, MV_F_XSAVES) || mv_table_has(a->kvm, MV_F_XSAVEC)))
		e->reg[MV_EBX] = mv_xstate_compacted_size(a->raw, mask);
}

/* Entries that came out all zero are none. */
static void drop_empty(struct mv_table *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n; i++)
		if (t->e[i].reg[0] | t->e[i].reg[1] | t->e[i].reg[2] | t->e[i].reg[3])
			t->e[n++] = t->e[i];
	t->n = n;
}

static void kvm_signature(struct mv_table *t)
{
	struct mv_leaf *e = mv_table_add(t, 0x40000000, 0);

	if (!e)
		return;
	e->reg[MV_EAX] = 0x40000001;
	memcpy(&e->reg[MV_EBX], "KVMKVMKVM\0\0", 12);
}

static void arch_capabilities(struct assuming *a, struct mv_host *h, const uint64_t *caps)
{
	uint64_t v = CAPS_ADDED;

	/* The CPU has the MSR and the dump keeps silent: nothing is known of it. */
	if (mv_table_has(a->raw, MV_F_ARCH_CAPABILITIES) && !caps)
		return;
	if (caps)
		v |= *caps & CAPS_KVM;
	if (a->amd)
		v |= CAPS_AMD;
	if (a->amd && mv_table_has(a->kvm, MV_F_AMD_SSB_NO))
		v |= CAP_SSB_NO;
	if (!mv_table_has(a->raw, MV_F_RTM))
		v &= ~CAP_TAA_NO;
	h->msrs[h->nmsrs++] = (struct mv_msr){ MV_MSR_ARCH_CAPABILITIES, v };
}

static uint32_t max_extended(const struct assuming *a)
{
	uint32_t max = mv_table_field(a->raw, MV_FIELD_MAX_EXT_LEAF);

	if (max < 0x80000000)
		return 0;
	/* Linux knows more of an AMD CPU than its leaves say, and KVM adds the leaf that does. */
	if (a->amd && max >= 0x8000001d)
		return MAX_EXT;
	return least(max, MAX_EXT);
}

/*
 * On Intel a VMX control, which CPUID does not tell. Every CPU from Ice Lake and Tremont on has it, and
 * those are the ones with GFNI.
 */
static bool scales_tsc(const struct assuming *a)
{
	if (a->amd)
		return mv_table_has(a->raw, MV_F_TSCRATEMSR);
	return a->vendor == MV_VENDOR_INTEL && mv_table_has(a->raw, MV_F_GFNI);
}

void mv_host_assume(struct mv_host *h, const uint64_t *caps)
{
	struct assuming a = {
		.raw = &h->raw, .kvm = &h->kvm,
		.vendor = mv_table_vendor(&h->raw), .cpu = mv_table_signature(&h->raw),
	};

	a.amd = mv_vendor_amd(a.vendor);
	/* EPT and POPCNT came together, with Nehalem and Silvermont. */
	a.shadow_paging = a.amd ? mv_table_has(&h->raw, MV_F_SVM) &&
				  !mv_table_has(&h->raw, MV_F_NPT)
				: !mv_table_has(&h->raw, MV_F_POPCNT);
	a.max_basic = least(mv_table_field(&h->raw, MV_FIELD_MAX_LEAF), MAX_BASIC);
	a.max_ext = max_extended(&a);
	a.max_7 = least(mv_table_field(&h->raw, MV_FIELD_MAX_SUBLEAF_7), MAX_SUBLEAF_7);
	h->kvm.n = 0;
	h->nmsrs = 0;
	copy_fields(&a);
	features(&a);
	limit_fields(&a);
	kvm_signature(&h->kvm);
	h->kvm_controls = MV_KVM_CONTROLS_ALL;
	h->xcr0 = xcr0(&a);
	xsave(&a, h->xcr0);
	drop_empty(&h->kvm);
	mv_table_sort(&h->kvm);
	arch_capabilities(&a, h, caps);
	h->tsc_scaling = scales_tsc(&a);
	h->proof[MV_INTERCEPTION_KERNEL] = MV_PROOF_BOTH;
	h->proved = false;
	h->assumed = true;
	if (!h->kernel[0])
		strcpy(h->kernel, MV_ASSUMED_KERNEL " (assumed)");
}
