/* SPDX-License-Identifier: MIT */
/* minivmm probe --predict: the probe guest's rows without a guest. */
#include <stdlib.h>
#include <string.h>

#include "guest-tests/linux/rows.h"
#include "probe.h"

/* The bit that announces a row's MSR on a host: AMD and Intel have bits of their own for some. */
static enum mv_feature_id announced_by(const struct mv_row *r, const struct mv_host *h)
{
	static const struct {
		enum mv_feature_id own, other;
	} same[] = {
#define SAME(x, y) { MV_F_##x, MV_F_##y },
		MV_SAME_MSR(SAME)
#undef SAME
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (same[i].own == (enum mv_feature_id)r->feature &&
		    (mv_table_has(&h->raw, same[i].other) || mv_table_has(&h->kvm, same[i].other)) &&
		    !mv_table_has(&h->raw, same[i].own))
			return same[i].other;
	return (enum mv_feature_id)r->feature;
}

/* A row's flags in terms of features and state components. */
static struct mv_attempt attempt(const struct mv_row *r, const struct mv_host *h)
{
	static const struct {
		unsigned flags;
		enum mv_feature_id needs;
	} controls[] = {
		{ MV_P_OSXSAVE | MV_P_AVX | MV_P_AVX512 | MV_P_AMX | MV_P_APX, MV_F_XSAVE },
		{ MV_P_FSGSBASE, MV_F_FSGSBASE },
		{ MV_P_PKE, MV_F_PKU },
		{ MV_P_KL, MV_F_KEYLOCKER },
		{ MV_P_UINTR, MV_F_UINTR },
	};
	struct mv_attempt a = {
		.feature = announced_by(r, h),
		.hint = r->flags & MV_P_HINT,
		.control = r->flags & (MV_P_CR4 | MV_P_EFER),
		.msr = !strncmp(r->mnemonic, "MSR-", 4),
		.needs = MV_NFEATURES,
	};

	for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
		if (r->flags & controls[i].flags)
			a.needs = controls[i].needs;
	for (unsigned bit = 0; bit < 32; bit++) {
		uint64_t without = ~(UINT64_C(1) << bit);

		if (!mv_xcr0_allows(without, r->flags))
			a.xcr0 |= ~without;
	}
	return a;
}

/* What disables a hidden feature, in a word or two. */
static const char *const by[] = {
	[MV_FE_NONE] = "nothing",     [MV_FE_INFO] = "having no instruction",
	[MV_FE_XCR0] = "XCR0",	      [MV_FE_CR4] = "CR4",
	[MV_FE_EFER] = "EFER",	      [MV_FE_MSR] = "a refused MSR",
	[MV_FE_CTRL] = "an intercept", [MV_FE_KVM] = "KVM",
	[MV_FE_NA] = "nothing",
};

static const char *const why[] = {
	[MV_WHY_SHOWN] = "",
	[MV_WHY_LACKED] = "the host lacks it",
	[MV_WHY_NOTHING] = "nothing disables it",
	[MV_WHY_FOREIGN] = "KVM does not know it here",
	[MV_WHY_EMULATED] = "only KVM has it, and refuses",
	[MV_WHY_MODE] = "off with the mode it needs",
	[MV_WHY_CONTROL] = "its control can't be set",
	[MV_WHY_HINT] = "its outcome says nothing",
};

static void explain(char *buf, size_t size, const struct mv_prediction *p, uint8_t enforce)
{
	if (p->why == MV_WHY_KEPT)
		snprintf(buf, size, "%s keeps it on", p->cause->name);
	else if (p->why == MV_WHY_DISABLED)
		snprintf(buf, size, "disabled by %s", by[enforce]);
	else
		snprintf(buf, size, "%s", why[p->why]);
}

static void add_row(struct mv_probe_result *out, const struct mv_policy *p, const struct mv_row *r,
		    bool vmx)
{
	const struct mv_attempt a = attempt(r, &p->source);
	const struct mv_prediction what = mv_predict(p, &a, vmx);
	const struct mv_feature *f = &mv_features[r->feature];
	struct mv_probe_row *row = &out->row[out->n++];
	uint8_t enforce = vmx ? mv_features[a.feature].vmx : mv_features[a.feature].svm;
	bool by_control = enforce == MV_FE_CR4 || enforce == MV_FE_EFER;

	memset(row, 0, sizeof(*row));
	snprintf(row->feature, sizeof(row->feature), "%s", f->name);
	mv_probe_position(row->cpuid, sizeof(row->cpuid), f->leaf, f->subleaf,
			  mv_reg_name(f->reg), f->bit);
	snprintf(row->instruction, sizeof(row->instruction), "%s", r->mnemonic);
	snprintf(row->verdict, sizeof(row->verdict), "%s", mv_finding_name(what.finding));
	row->shown = what.shown;
	row->host = mv_table_has(&p->source.raw, a.feature) ? '1' : '0';
	explain(row->why, sizeof(row->why), &what, a.msr && by_control ? MV_FE_MSR : enforce);
}

static int predict(struct mv_probe_result *r, const struct mv_launch *l, struct mv_policy *p,
		   const char *kind, const char *host, const struct mv_feature *only, struct mv_err *err)
{
	struct mv_notes *notes = calloc(1, sizeof(*notes));
	bool vmx = mv_table_vmx(&p->source.raw);
	int rc = notes ? mv_launch_masks(l, p, mv_table_vendor(&p->source.raw), err)
		       : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0)
		rc = mv_apply(p, 1, notes, err);
	if (rc == 0)
		rc = mv_cli_power_on(p, notes, host);
	free(notes);
	if (rc)
		return rc;
	if (kind)
		vmx = !strcmp(kind, "vmx");
	else if (mv_table_vendor(&p->source.raw) == MV_VENDOR_OTHER)
		mv_cli_note("warning: this CPU's vendor is not known here, and may have bits of its own: "
			    "predicted for VMX; --kind svm for SVM");
	mv_probe_describe(r, l, &p->source);
	snprintf(r->kind, sizeof(r->kind), "%s", vmx ? "vmx" : "svm");
	r->predicted = true;
	for (size_t i = 0; i < mv_nrows && r->n < MV_PROBE_ROWS; i++)
		if (!only || mv_rows[i].feature == mv_feature_id(only))
			add_row(r, p, &mv_rows[i], vmx);
	return 0;
}

int mv_probe_predict(struct mv_probe_result *r, const struct mv_launch *l, const char *host_file,
		     const char *kind, const char *only, struct mv_err *err)
{
	struct mv_policy *p = calloc(1, sizeof(*p));
	const char *host = host_file ? mv_cli_shown(host_file) : "this host";
	int rc;

	if (!p)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	rc = host_file ? mv_cli_host_file(&p->source, host_file, err)
		       : mv_cli_this_host(&p->source, err);
	if (rc == 0 && !mv_host_intercepts(&p->source))
		mv_cli_note("warning: KVM does not answer CPUID by itself on %s: this is what it "
			    "would do with VMX or SVM", host);
	if (rc == 0)
		rc = predict(r, l, p, kind, host, only ? mv_feature_by_name(only, strlen(only)) : NULL,
			     err);
	free(p);
	return rc;
}
