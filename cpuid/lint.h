/* SPDX-License-Identifier: MIT */
/*
 * What a mask does that its author may not have meant, found on the policy it leads to: incoherent
 * masks are legal, and guests meet their consequences.
 */
#ifndef MV_CPUID_LINT_H
#define MV_CPUID_LINT_H

#include "apply.h"

enum mv_lint_kind {
	MV_LINT_ORPHAN,		/* shown, although a feature it needs is not (cause) */
	MV_LINT_FORCED,		/* shown, although the host lacks it */
	MV_LINT_HIDDEN_ONLY,	/* hidden, and the host still executes it */
	MV_LINT_SPLIT,		/* hidden, and would be enforced but for a visible one (cause) */
	MV_LINT_SIGNATURE,	/* family and model promise what the mask hides (the feature) */
};

struct mv_lint {
	enum mv_lint_kind kind;
	const struct mv_feature *feature;
	const struct mv_feature *cause;	/* NULL where there is none */
	mv_at at;			/* the line that decided about the feature */
};

/*
 * All findings on a policy that mv_apply has filled, with its notes; writes up to cap and returns how
 * many there are. vmx: the host's hardware is Intel's, else AMD's.
 */
size_t mv_lint(const struct mv_policy *p, const struct mv_notes *notes, bool vmx,
	       struct mv_lint *out, size_t cap);

/*
 * The features that p's guest does not see and that still execute on h, by h's CPU and what its kind of KVM
 * can disable; writes up to cap and returns how many there are.
 */
size_t mv_leaks(const struct mv_policy *p, const struct mv_host *h, bool vmx,
		enum mv_feature_id *out, size_t cap);

/* "orphan", "forced", "hidden-only", "split", "signature". */
const char *mv_lint_name(enum mv_lint_kind kind);

#endif
