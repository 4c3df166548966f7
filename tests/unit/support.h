/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the core share: CPUs by name, and hosts, masks and results as one line of text,
 * so that a case is a row. A broken row fails the test that has it.
 *
 * Host: "CPU word …", where a word is
 *	+NAME -NAME		feature in both views (raw and kvm)
 *	raw+NAME raw-NAME kvm+NAME kvm-NAME	… in one
 *	exec+NAME		seen to execute
 *	untold-NAME		a partial description that tells all features and fields but this one
 *	FIELD=N			a field by name, in both views
 *	L.S:reg=N		a register, in both views (numbers in hex): 1.0:ecx=8e3bd
 *	xcr0=N tsc=KHZ scaling microcode=N msr:INDEX=N controls=BITS
 *	kernel=N patch=N step=N	where the mechanism is proved (MV_PROOF_*); kernel=3 at first
 *	layout=CPU		that CPU's XSAVE component sizes and offsets
 *
 * Mask: "word …" on top of a base with H for every feature and x for all other bits of the host's
 * registers. The nth word counts as line n of file 0, the base as line 1 of file 1.
 *	NAME=SYMBOL		a feature, or all bits of a field
 *	L.S:reg=SYMBOL		all bits of a register; L.S:reg[N]=SYMBOL: one bit
 *	=SYMBOL			all bits of all registers
 *	none			nothing: drop the base
 *	field:NAME=N		a number line
 *	msr:INDEX[BIT]=SYMBOL
 */
#ifndef MV_TEST_SUPPORT_H
#define MV_TEST_SUPPORT_H

#include "apply.h"
#include "verdict.h"

void make_host(struct mv_host *h, const char *words);

struct fixture {
	struct mv_policy *p;
	struct mv_host *dst;
	struct mv_notes *notes;
	struct mv_verdict *v;
	struct mv_err err;
};

void fixture_init(struct fixture *f);
void fixture_finish(struct fixture *f);

/* The policy of a VM on host src with that mask, applied for ncpus CPUs; what mv_apply returns. */
int make_policy(struct fixture *f, const char *src, const char *mask, unsigned ncpus);

/* make_policy and the verdict of host dst; what mv_verdict returns. */
int make_verdict(struct fixture *f, const char *src, const char *mask, const char *dst,
		 const struct mv_verdict_opts *opts);

/*
 * Results as text, in the order they came, blank-separated:
 *	notes		KIND L.S:reg[bit]@LINE<CAUSE@LINE, without the parts that are not there
 *	mismatches	RULE L.S:reg[hi-lo]; '~' behind it = only the guide's rule, '?' = unknown, '!' = ignored;
 *			structural rules that are about no register: the rule alone, xsave with L.S
 * Valid until the next call.
 */
const char *notes_text(const struct mv_notes *n);
const char *verdict_text(const struct mv_verdict *v);

/* A file of the sources, with a NUL behind it; the caller frees. len may be NULL. */
char *read_source(const char *name, size_t *len);
/* The default mask of that guest OS. */
void load_guest_os(struct mv_mask *m, const char *guest_os);

/* Features by name; an unknown name fails the test. */
enum mv_feature_id feature_id(const char *name);
bool guest_has(const struct fixture *f, const char *name);
/* The symbol of a feature in the effective mask. */
char effective(const struct fixture *f, const char *name);

#endif
