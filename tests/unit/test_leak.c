/* SPDX-License-Identifier: MIT */
/* What hiding achieves: state-and-enforcement.md, C3. */
#include <criterion/criterion.h>
#include <string.h>

#include "leak.h"
#include "support.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *name, *src, *mask, *feature;
	bool vmx, svm;
} rows[] = {
	{ "SSE4.1: nothing disables it", "penryn", "sse4.1=0", "sse4.1", false, false },
	{ "BMI2", "haswell", "bmi2=0", "bmi2", false, false },
	{ "ERMS only describes", "haswell", "erms=0", "erms", true, true },
	{ "SMEP: CR4", "haswell", "smep=0", "smep", true, true },
	{ "NX: EFER", "haswell", "nx=0", "nx", true, true },

	{ "AVX2 while AVX is shown", "haswell", "avx2=0", "avx2", false, false },
	{ "FMA while AVX is shown", "haswell", "fma=0", "fma", false, false },
	{ "AVX with its component", "haswell", "avx=0", "avx", true, true },
	{ "AVX2 with AVX and its component", "haswell", "avx=0", "avx2", true, true },
	{ "AVX hidden, its component forced", "haswell", "avx=0 xstate-avx=1", "avx", false, false },
	{ "the component itself", "haswell", "avx=0", "xstate-avx", true, true },
	{ "one AVX-512 subset alone", "skylake-sp", "avx512bw=0", "avx512bw", false, false },
	{ "all of AVX-512", "skylake-sp", "avx512f=0", "avx512bw", true, true },
	{ "AMX-INT8 while AMX-TILE is shown", "sapphirerapids", "amx-int8=0", "amx-int8", false,
	  false },
	{ "all of AMX", "sapphirerapids", "amx-tile=0", "amx-int8", true, true },

	{ "RDTSCP and RDPID share a control: one shown", "icelake", "rdtscp=0", "rdtscp", false,
	  false },
	{ "RDTSCP and RDPID share a control: the other", "icelake", "rdpid=0", "rdpid", false,
	  false },
	{ "RDTSCP and RDPID share a control: both hidden", "icelake", "rdtscp=0 rdpid=0", "rdtscp",
	  true, true },
	{ "RDTSCP on a CPU without RDPID", "haswell", "rdtscp=0", "rdtscp", true, true },
	{ "SSBD while SPEC_CTRL is shown: one MSR", "skylake-sp", "ssbd=0", "ssbd", false, true },
	{ "all of SPEC_CTRL", "skylake-sp", "spec-ctrl=0", "ssbd", true, true },
	{ "CET-SS while CET-IBT is shown", "sapphirerapids", "cet-ss=0", "cet-ss", false, false },
	{ "CET-SS and CET-IBT hidden", "sapphirerapids", "cet-ss=0 cet-ibt=0", "cet-ss", true,
	  true },

	{ "RDRAND: VMX has a control, SVM no intercept", "haswell", "rdrand=0", "rdrand", true,
	  false },
	{ "RDSEED", "skylake-sp", "rdseed=0", "rdseed", true, false },
	{ "INVPCID", "haswell", "invpcid=0", "invpcid", true, true },
	{ "XSAVES while XSAVE is shown", "skylake-sp", "xsaves=0", "xsaves", true, false },
	{ "XSAVES without XSAVE", "skylake-sp", "xsave=0", "xsaves", true, true },
	{ "XSAVEOPT while XSAVE is shown", "haswell", "xsaveopt=0", "xsaveopt", false, false },
	{ "XSAVEOPT without XSAVE", "haswell", "xsave=0", "xsaveopt", true, true },
	{ "CX16 in a 64-bit guest", "haswell", "cx16=0", "cx16", false, false },
	{ "CX16 without long mode", "haswell", "lm=0", "cx16", true, true },
	{ "a hidden parent that is not enforced enforces nothing", "penryn +sse4.2", "sse4.1=0",
	  "sse4.2", false, false },
	{ "the other vendor's instruction: KVM has nothing against it", "zen4", "sse4a=0", "sse4a", false, false },
	{ "one that SVM intercepts", "zen4 +rdpru", "rdpru=0", "rdpru", false, true },
	{ "one that VMX intercepts", "icelake +waitpkg", "waitpkg=0", "waitpkg", true, false },
	{ "the other vendor's MSR is refused", "icelake +pdcm", "pdcm=0", "pdcm", true, true },
	{ "its CR4 bit, too", "icelake +lass", "lass=0", "lass", true, true },
	{ "its state component is on", "icelake +fma4", "fma4=0", "fma4", false, false },
	{ "its state component is off", "icelake +fma4", "fma4=0 avx=0", "fma4", true, true },
	{ "the other vendor's that only describes", "icelake", "dca=0", "dca", true, true },
	{ "KVM's own", "haswell", "kvm-clock2=0", "kvm-clock2", true, true },
	{ "MONITOR where KVM makes it fault", "haswell", "monitor=0", "monitor", true, true },
};

/* What a kernel can't be told, it does not disable. */
Test(leak, kvm_controls)
{
	struct mv_table none = { .n = 0 };

	cr_expect(mv_feature_enforced(&none, MV_KVM_CONTROL_BIT(MWAIT_FAULTS), MV_F_MONITOR, true));
	cr_expect(!mv_feature_enforced(&none, MV_KVM_CONTROL_BIT(PV_ENFORCED), MV_F_MONITOR, true));
	cr_expect(mv_feature_enforced(&none, MV_KVM_CONTROL_BIT(PV_ENFORCED), MV_F_KVM_CLOCKSOURCE2, false));
	cr_expect(!mv_feature_enforced(&none, 0, MV_F_KVM_CLOCKSOURCE2, false));
}

/* STAC runs without CR4.SMAP; nothing else is half disabled. */
Test(leak, in_part)
{
	struct mv_table none = { .n = 0 };

	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		enum mv_feature_id id = (enum mv_feature_id)i;

		cr_expect_eq(mv_feature_leaks(&none, MV_KVM_CONTROLS_ALL, id, true),
			     id == MV_F_SMAP || !mv_feature_enforced(&none, MV_KVM_CONTROLS_ALL, id, true), "%s",
			     mv_features[i].name);
		if (mv_feature_describes(id, false))
			cr_expect(!mv_feature_leaks(&none, 0, id, false), "%s", mv_features[i].name);
	}
}

Test(leak, enforced)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum mv_feature_id id = feature_id(rows[i].feature);
		struct fixture f;

		fixture_init(&f);
		make_policy(&f, rows[i].src, rows[i].mask, 1);
		cr_expect_eq(mv_feature_enforced(&f.p->guest, MV_KVM_CONTROLS_ALL, id, true), rows[i].vmx, "row %s, VMX",
			     rows[i].name);
		cr_expect_eq(mv_feature_enforced(&f.p->guest, MV_KVM_CONTROLS_ALL, id, false), rows[i].svm,
			     "row %s, SVM", rows[i].name);
		fixture_finish(&f);
	}
}
