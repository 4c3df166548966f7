/* SPDX-License-Identifier: MIT */
/*
 * What the probe guest will find under a mask, before it runs: from the bit table's enforcement
 * column, the guest table and the host's description alone.
 */
#ifndef MV_CPUID_PREDICT_H
#define MV_CPUID_PREDICT_H

#include "policy.h"

/* Verdicts on one instruction, from harmless to bad: docs/probes.md, "Verdicts". */
enum mv_finding {
	MV_FIND_HINT,		/* a no-op where it is unknown: nothing to find */
	MV_FIND_ABSENT,		/* hidden, and the host lacks it */
	MV_FIND_OK,
	MV_FIND_ENFORCED,	/* hidden, the host has it, and it faults */
	MV_FIND_BLOCKED,	/* shown, but a control that it needs can't be switched on */
	MV_FIND_ABORT,		/* transactions begin, and none commits: measured, never predicted */
	MV_FIND_LEAK,		/* hidden, and it executes */
	MV_FIND_BROKEN,		/* shown, and it faults */
	MV_NFINDINGS
};

/* What prediction has to know of an instruction (or of a control bit or MSR that is tried). */
struct mv_attempt {
	enum mv_feature_id feature;
	bool hint;
	bool control;			/* it tries a bit of CR4 or EFER itself */
	bool msr;			/* it tries an MSR: KVM has one only for a guest that is shown the feature */
	enum mv_feature_id needs;	/* the feature whose CR4 bit has to be on; its own, or
					 * MV_NFEATURES for none */
	uint64_t xcr0;			/* components that have to be on */
};

enum mv_prediction_why {
	MV_WHY_SHOWN,		/* shown, and the host has it */
	MV_WHY_LACKED,		/* the host lacks it */
	MV_WHY_NOTHING,		/* hidden, nothing disables it */
	MV_WHY_KEPT,		/* hidden, would be disabled but for `cause` */
	MV_WHY_DISABLED,	/* hidden, and what the table says disables it */
	MV_WHY_FOREIGN,		/* hidden, the other vendor's, and KVM has to allow it */
	MV_WHY_EMULATED,	/* hidden, and only KVM has it, which then does not emulate it */
	MV_WHY_MODE,		/* hidden, and off with the mode that it needs */
	MV_WHY_CONTROL,		/* shown, but what it needs can't be switched on */
	MV_WHY_HINT,
};

struct mv_prediction {
	enum mv_finding finding;
	bool shown;
	enum mv_prediction_why why;
	const struct mv_feature *cause;
};

/*
 * p is applied, for a guest on p->source; vmx: that host's KVM works with VMX, else with SVM. No
 * other source of knowledge: KVM answers CPUID there, and the guest's kernel switches on what
 * CPUID shows it.
 */
struct mv_prediction mv_predict(const struct mv_policy *p, const struct mv_attempt *a, bool vmx);

/* "OK", "LEAK" and so on; the finding of that name, or MV_NFINDINGS. */
const char *mv_finding_name(enum mv_finding f);
enum mv_finding mv_finding_by_name(const char *name);

#endif
