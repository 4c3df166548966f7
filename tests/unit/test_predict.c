/* SPDX-License-Identifier: MIT */
/* What the probe guest will find: each rule of docs/predictions.md. */
#include <criterion/criterion.h>
#include <string.h>

#include "predict.h"
#include "support.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum kind { INSN, HINT, CONTROL, AN_MSR };

static const struct {
	const char *name, *src, *mask, *feature;
	enum kind kind;
	const char *needs;	/* the feature whose CR4 bit has to be on */
	uint64_t xcr0;
	enum mv_finding vmx, svm;
	const char *cause;
} rows[] = {
	{ "shown", "haswell", "", "sse4.1", INSN, "", 0, MV_FIND_OK, MV_FIND_OK, "" },
	{ "shown, with its state", "haswell", "", "avx2", INSN, "xsave", 6, MV_FIND_OK, MV_FIND_OK,
	  "" },
	{ "hidden-only", "haswell", "sse4.1=0", "sse4.1", INSN, "", 0, MV_FIND_LEAK, MV_FIND_LEAK,
	  "" },
	{ "not there", "penryn", "", "avx2", INSN, "xsave", 6, MV_FIND_ABSENT, MV_FIND_ABSENT, "" },
	{ "hidden and not there", "penryn", "bmi2=0", "bmi2", INSN, "", 0, MV_FIND_ABSENT,
	  MV_FIND_ABSENT, "" },
	{ "shown by force", "penryn", "bmi2=1", "bmi2", INSN, "", 0, MV_FIND_BROKEN,
	  MV_FIND_BROKEN, "" },
	{ "a state shown by force", "penryn", "avx=1", "avx", INSN, "xsave", 6, MV_FIND_BLOCKED,
	  MV_FIND_BLOCKED, "" },
	{ "a control shown by force", "penryn", "smep=1", "smep", CONTROL, "", 0, MV_FIND_BLOCKED,
	  MV_FIND_BLOCKED, "" },
	{ "an intercept on VMX alone", "haswell", "rdrand=0", "rdrand", INSN, "", 0,
	  MV_FIND_ENFORCED, MV_FIND_LEAK, "" },
	{ "a part of AVX", "haswell", "avx2=0", "avx2", INSN, "xsave", 6, MV_FIND_LEAK,
	  MV_FIND_LEAK, "AVX" },
	{ "all of AVX", "haswell", "avx=0", "avx2", INSN, "xsave", 6, MV_FIND_ENFORCED,
	  MV_FIND_ENFORCED, "" },
	{ "no XSAVE", "haswell", "xsave=0", "xsaveopt", INSN, "xsave", 0, MV_FIND_ENFORCED,
	  MV_FIND_ENFORCED, "" },
	{ "XSAVEOPT alone", "haswell", "xsaveopt=0", "xsaveopt", INSN, "xsave", 0, MV_FIND_LEAK,
	  MV_FIND_LEAK, "" },
	{ "a bit of CR4", "skylake-sp", "smap=0", "smap", CONTROL, "", 0, MV_FIND_ENFORCED,
	  MV_FIND_ENFORCED, "" },
	{ "an instruction that does without it", "skylake-sp", "smap=0", "smap", INSN, "", 0,
	  MV_FIND_LEAK, MV_FIND_LEAK, "" },
	{ "an instruction that needs it", "haswell", "fsgsbase=0", "fsgsbase", INSN, "fsgsbase", 0,
	  MV_FIND_ENFORCED, MV_FIND_ENFORCED, "" },
	{ "an MSR beside its bit of CR4", "icelake +cet-ss", "cet-ss=0", "cet-ss", AN_MSR, "", 0,
	  MV_FIND_ENFORCED, MV_FIND_ENFORCED, "" },
	{ "an MSR that every KVM has", "haswell", "pat=0", "pat", AN_MSR, "", 0, MV_FIND_LEAK, MV_FIND_LEAK,
	  "" },
	{ "RDTSCP beside RDPID", "icelake", "rdtscp=0", "rdtscp", INSN, "", 0, MV_FIND_LEAK,
	  MV_FIND_LEAK, "RDPID" },
	{ "the other vendor's", "zen4", "sse4a=0", "sse4a", INSN, "", 0, MV_FIND_LEAK, MV_FIND_LEAK,
	  "" },
	{ "the other vendor's, on SVM", "icelake +waitpkg", "waitpkg=0", "waitpkg", INSN, "", 0,
	  MV_FIND_ENFORCED, MV_FIND_LEAK, "" },
	{ "the other vendor's MSR", "icelake +pdcm", "pdcm=0", "pdcm", INSN, "", 0,
	  MV_FIND_ENFORCED, MV_FIND_ENFORCED, "" },
	{ "the other vendor's CR4 bit", "icelake +lass", "lass=0", "lass", CONTROL, "", 0,
	  MV_FIND_ENFORCED, MV_FIND_ENFORCED, "" },
	{ "the other vendor's, with AVX on", "icelake +fma4", "fma4=0", "fma4", INSN, "xsave", 6,
	  MV_FIND_LEAK, MV_FIND_LEAK, "" },
	{ "the other vendor's, with AVX off", "icelake +fma4", "fma4=0 avx=0", "fma4", INSN, "xsave", 6,
	  MV_FIND_ENFORCED, MV_FIND_ENFORCED, "" },
	{ "shown without its component", "haswell", "avx=1 xstate-avx=0", "avx", INSN, "xsave", 6,
	  MV_FIND_BLOCKED, MV_FIND_BLOCKED, "" },
	{ "a hint", "haswell", "prefetchw=0", "prefetchw", HINT, "", 0, MV_FIND_HINT, MV_FIND_HINT,
	  "" },
};

static struct mv_attempt attempt(size_t i)
{
	return (struct mv_attempt){
		.feature = feature_id(rows[i].feature),
		.hint = rows[i].kind == HINT,
		.control = rows[i].kind == CONTROL,
		.msr = rows[i].kind == AN_MSR,
		.needs = *rows[i].needs ? feature_id(rows[i].needs) : MV_NFEATURES,
		.xcr0 = rows[i].xcr0,
	};
}

Test(predict, rules)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct mv_attempt a = attempt(i);
		struct mv_prediction vmx, svm;
		struct fixture f;

		fixture_init(&f);
		make_policy(&f, rows[i].src, rows[i].mask, 1);
		vmx = mv_predict(f.p, &a, true);
		svm = mv_predict(f.p, &a, false);
		cr_expect_eq(vmx.finding, rows[i].vmx, "row %s, VMX: %s", rows[i].name,
			     mv_finding_name(vmx.finding));
		cr_expect_eq(svm.finding, rows[i].svm, "row %s, SVM: %s", rows[i].name,
			     mv_finding_name(svm.finding));
		cr_expect_str_eq(vmx.cause ? vmx.cause->name : "", rows[i].cause, "row %s",
				 rows[i].name);
		fixture_finish(&f);
	}
}

/* What was tried counts more than what CPUID says; what KVM emulates is there, too. */
Test(predict, host)
{
	struct mv_attempt a = { .feature = MV_F_SSE4_1, .needs = MV_NFEATURES };
	struct fixture f;

	fixture_init(&f);
	make_policy(&f, "penryn", "sse4.1=0", 1);
	mv_featset_add(&f.p->source.exec_known, MV_F_SSE4_1);
	mv_table_set_feature(&f.p->source.kvm, MV_F_SSE4_1, false);
	cr_expect_eq(mv_predict(f.p, &a, true).finding, MV_FIND_ENFORCED, "seen to fault");
	mv_featset_add(&f.p->source.exec_ran, MV_F_SSE4_1);
	mv_table_set_feature(&f.p->source.raw, MV_F_SSE4_1, false);
	cr_expect_eq(mv_predict(f.p, &a, true).finding, MV_FIND_LEAK, "seen to run");

	a.feature = MV_F_MONITOR;
	mv_table_set_feature(&f.p->source.raw, MV_F_MONITOR, true);
	mv_table_set_feature(&f.p->guest, MV_F_MONITOR, false);
	f.p->source.kvm_controls = MV_KVM_CONTROLS_ALL;
	cr_expect_eq(mv_predict(f.p, &a, true).finding, MV_FIND_ENFORCED, "MONITOR faults");
	f.p->source.kvm_controls = 0;
	cr_expect_eq(mv_predict(f.p, &a, true).finding, MV_FIND_LEAK, "MONITOR is a NOP");

	a.feature = MV_F_TSC_ADJUST;
	mv_table_set_feature(&f.p->source.raw, MV_F_TSC_ADJUST, false);
	mv_table_set_feature(&f.p->source.kvm, MV_F_TSC_ADJUST, true);
	mv_table_set_feature(&f.p->guest, MV_F_TSC_ADJUST, true);
	cr_expect_eq(mv_predict(f.p, &a, true).finding, MV_FIND_OK, "emulated");
	mv_table_set_feature(&f.p->guest, MV_F_TSC_ADJUST, false);
	cr_expect_eq(mv_predict(f.p, &a, true).finding, MV_FIND_ABSENT, "emulated, and refused");

	a.feature = MV_F_PDPE1GB;
	mv_table_set_feature(&f.p->source.raw, MV_F_PDPE1GB, false);
	mv_table_set_feature(&f.p->source.kvm, MV_F_PDPE1GB, true);
	mv_table_set_feature(&f.p->guest, MV_F_PDPE1GB, false);
	cr_expect_eq(mv_predict(f.p, &a, true).finding, MV_FIND_ABSENT, "emulated with nothing to disable it");
	mv_table_set_feature(&f.p->source.raw, MV_F_PDPE1GB, true);
	cr_expect_eq(mv_predict(f.p, &a, true).finding, MV_FIND_LEAK, "the CPU's own");
	fixture_finish(&f);
}

/* The same outcome for different reasons. */
Test(predict, reasons)
{
	static const struct {
		const char *src, *mask, *feature;
		bool vmx;
		enum mv_prediction_why why;
	} reasons[] = {
		{ "zen4 +rdpru", "rdpru=0", "rdpru", false, MV_WHY_DISABLED },
		{ "icelake +pdcm", "pdcm=0", "pdcm", true, MV_WHY_DISABLED },
		{ "icelake +pdcm", "pdcm=0", "pdcm", false, MV_WHY_FOREIGN },
		{ "haswell", "xsave=0", "xsaveopt", true, MV_WHY_MODE },
		{ "penryn", "", "avx2", true, MV_WHY_LACKED },
	};

	for (size_t i = 0; i < COUNT(reasons); i++) {
		const struct mv_attempt a = { .feature = feature_id(reasons[i].feature), .needs = MV_NFEATURES };
		struct mv_prediction got;
		struct fixture f;

		fixture_init(&f);
		make_policy(&f, reasons[i].src, reasons[i].mask, 1);
		got = mv_predict(f.p, &a, reasons[i].vmx);
		cr_expect_neq(got.finding, MV_FIND_LEAK, "%s", reasons[i].feature);
		cr_expect_eq(got.why, reasons[i].why, "%s on %s: %u", reasons[i].feature,
			     reasons[i].vmx ? "VMX" : "SVM", got.why);
		fixture_finish(&f);
	}
}

Test(predict, names)
{
	for (unsigned i = 0; i < MV_NFINDINGS; i++)
		cr_expect_eq(mv_finding_by_name(mv_finding_name((enum mv_finding)i)), i);
	cr_expect_eq(mv_finding_by_name("leak"), MV_NFINDINGS);
}
