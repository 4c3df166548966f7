/* SPDX-License-Identifier: MIT */
/*
 * Suggestions: the smallest override under which a VM would be accepted by every host of a list, or
 * why no mask can bring that about (the guide's Appendix C as a program; docs/baselines.md).
 */
#ifndef MV_CPUID_SUGGEST_H
#define MV_CPUID_SUGGEST_H

#include "apply.h"
#include "verdict.h"

/* One thing that the override says: bits and their symbol, or a number. */
struct mv_suggest_line {
	uint32_t leaf, subleaf;
	uint8_t reg, lo, hi;
	enum mv_sym sym;
	bool number;		/* a field line; the bits are the field's */
	uint32_t value;
};

/* What no mask can change. */
struct mv_suggest_block {
	uint32_t host;		/* index into hosts; n = the host the VM starts on */
	struct mv_mismatch m;
};

#define MV_SUGGEST_LINES 512
#define MV_SUGGEST_BLOCKS 32

struct mv_suggestion {
	uint32_t n;		/* lines; 0 without blocks: accepted as it is */
	struct mv_suggest_line lines[MV_SUGGEST_LINES];
	uint32_t nblocks;	/* in all; at most MV_SUGGEST_BLOCKS are kept */
	struct mv_suggest_block blocks[MV_SUGGEST_BLOCKS];
	struct mv_mask override;	/* the lines as a mask */
	struct mv_featset lost;		/* the guest saw them and won't, closure included */
	struct mv_featset leaks;	/* hidden or no longer compared, and still executable */
};

/* Room to work in: 300 KiB, for the heap. */
struct mv_suggest_work {
	struct mv_policy p;
	struct mv_verdict v;
	struct mv_notes notes;
	bool cut[MV_SUGGEST_LINES];
	uint16_t depth[MV_NFEATURES];
};

/*
 * Fill s for a VM with policy vm (final mask, source, interception) and ncpus CPUs. Every line is
 * needed: without it some host refuses. Returns 0 also if there is no way (s->nblocks).
 * opts: the rule to satisfy, as in mv_verdict. -MV_E_USAGE as there; -MV_E_INPUT if a table
 * overflows.
 */
int mv_suggest(struct mv_suggestion *s, struct mv_suggest_work *w, const struct mv_policy *vm,
	       unsigned ncpus, const struct mv_host *const *hosts, uint32_t n,
	       const struct mv_verdict_opts *opts, struct mv_err *err);

/*
 * Is the VM accepted by all hosts, and allowed to start on its own, with these lines, those of
 * `cut` left out (may be NULL)? 1, 0 or a negative error. w->p is the policy it would have.
 */
int mv_suggest_try(struct mv_suggest_work *w, const struct mv_policy *vm, unsigned ncpus,
		   const struct mv_host *const *hosts, uint32_t n,
		   const struct mv_verdict_opts *opts, const struct mv_suggest_line *lines,
		   uint32_t nlines, const bool *cut, struct mv_err *err);

/* A line as a mask file has it: "feature SSE4.1 = 0". Returns what snprintf returns. */
int mv_suggest_line_text(char *buf, size_t size, const struct mv_suggest_line *l);

#endif
