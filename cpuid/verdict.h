/* SPDX-License-Identifier: MIT */
/*
 * The verdict: would this host accept that VM? One comparator for restore, receive, check and fleet.
 * A refusal is data: the list of all mismatches.
 */
#ifndef MV_CPUID_VERDICT_H
#define MV_CPUID_VERDICT_H

#include "policy.h"

/* What a mismatch is about. The structural rules hold whatever the mask says. */
enum mv_rule {
	MV_RULE_SYMBOL,		/* a mask symbol: T, F, H or R */
	MV_RULE_MSR,		/* … of an `msr` line */
	MV_RULE_VENDOR,
	MV_RULE_MAX_LEAF,
	MV_RULE_XSAVE,
	MV_RULE_PHYS_BITS,
	MV_RULE_LINEAR_BITS,
	MV_RULE_CLFLUSH,
	MV_RULE_TSC,
	MV_RULE_ARCH_CAPS,
	MV_RULE_HAZARD,
	MV_RULE_KVM,
	MV_RULE_INTERCEPTION,
	MV_NRULES
};
const char *mv_rule_name(enum mv_rule r);

enum mv_verdict_mode {
	MV_VERDICT_GUIDE,	/* the guide's table: H and R are equality */
	MV_VERDICT_SUBSET,	/* plain feature bits may be richer on the destination; hazards
				 * and numbers follow their own rule under H, too */
};

struct mv_verdict_opts {
	enum mv_verdict_mode mode;
	bool cold;		/* the VM is off: only what power-on needs */
	bool untouched;		/* there it would run with --intercept none: CPUID is the host's own */
	const char *ignore;	/* feature and rule names, comma-separated, not to refuse for */
};

struct mv_mismatch {
	enum mv_rule rule;
	uint32_t leaf, subleaf;	/* MV_RULE_XSAVE: the component's, with reg -1 */
	uint32_t msr;		/* MV_RULE_MSR: its index, with reg -1 */
	int8_t reg;		/* -1: not about a register */
	int8_t lo, hi;		/* bits; the same for a single bit */
	enum mv_sym sym;	/* MV_RULE_SYMBOL, MV_RULE_MSR: the effective symbol */
	mv_at at;		/* the line that wrote it */
	uint64_t have;		/* the destination's value of the bits, or of what the rule compares */
	uint64_t want;		/* the VM's or the source's */
	bool subset_accepts;	/* only the guide's rule refuses: --rule subset would not */
	bool unknown;		/* MV_RULE_SYMBOL: a side's value is unknown: have or want count for
				 * nothing */
	bool ignored;		/* listed in opts->ignore: does not refuse */
	char text[96];		/* structural rules: what differs, in a few words */
};

#define MV_MISMATCHES 512
struct mv_verdict {
	uint32_t n;		/* mismatches kept: at most MV_MISMATCHES */
	uint32_t refusals;	/* mismatches in all that are not ignored: 0 = accepted */
	uint32_t subset_refusals;	/* of those, how many --rule subset refuses, too */
	uint32_t unchecked;	/* rules (1 << enum mv_rule) that a partial description has nothing for */
	struct mv_mismatch m[MV_MISMATCHES];
};

/*
 * Compare; v is overwritten. opts may be NULL: the guide's rule. -MV_E_USAGE if opts->ignore names
 * something that is neither a feature nor a rule.
 */
int mv_verdict(struct mv_verdict *v, const struct mv_policy *p, const struct mv_host *dst,
	       const struct mv_verdict_opts *opts, struct mv_err *err);

/*
 * The override that would have made mismatch m acceptable, as a symbol for its bits ('0' as a rule);
 * MV_SYM_INHERIT if no mask can help.
 */
enum mv_sym mv_mismatch_remedy(const struct mv_mismatch *m);

/*
 * A register as VirtualCenter's message shows it: the destination's bits, and what is required of
 * them ('x' = don't care), both in groups of four.
 */
void mv_verdict_vectors(const struct mv_policy *p, const struct mv_host *dst, uint32_t leaf,
			uint32_t subleaf, unsigned reg, char host[MV_MASK_TEXT],
			char required[MV_MASK_TEXT]);

/* "SSE4.1", or the field's name, or "reserved". */
const char *mv_mismatch_subject(const struct mv_mismatch *m);

#endif
