/* SPDX-License-Identifier: MIT */
/*
 * From bytes of code to the CPUID features they need, and from a feature to what becomes of it in a
 * guest under its mask. Text and facts only; printing is the command line's.
 */
#ifndef MV_VMM_EXPLAIN_H
#define MV_VMM_EXPLAIN_H

#include "apply.h"
#include "err.h"

#define MV_CODE_MAX 15	/* no instruction is longer */
#define MV_CODE_FEATURES 4

/* One decoded instruction. */
struct mv_code {
	unsigned length;
	char text[96];		/* "ptest xmm0, xmm1" */
	char isa[40];		/* the decoder's name of its set; "" if it does not know it */
	/* What it does on a CPU that lacks its feature: NULL: it faults; "": nothing, it is a NOP; "BSR": that. */
	const char *otherwise;
	unsigned n;		/* features it needs; 0: every x86-64 CPU has it */
	enum mv_feature_id needs[MV_CODE_FEATURES];
};

/* "66 0f 38 17 c1", "660f3817c1", "0x66,0x0f": the number of bytes, 0 if it is none of these. */
size_t mv_code_parse(const char *text, uint8_t out[MV_CODE_MAX]);

/* Decode the first instruction of n bytes of 64-bit code. -MV_E_INPUT if they are none. */
int mv_code_explain(struct mv_code *c, const uint8_t *code, size_t n, struct mv_err *err);

/*
 * The features behind names of the decoder's: an instruction set (SSE42, AVX512F_256) and, where a
 * set covers several features, a mnemonic. Writes at most MV_CODE_FEATURES; -1: not known here.
 */
int mv_code_features(const char *isa, const char *mnemonic,
		     enum mv_feature_id out[MV_CODE_FEATURES]);

/* The same as in mv_code, where it is true of all instructions of the feature. */
const char *mv_feature_otherwise(enum mv_feature_id id);

/* What becomes of a feature in a guest. */
struct mv_fate {
	bool visible;
	enum mv_sym sym, effective;
	mv_at at;			/* the line that wrote sym; 0: none */
	const struct mv_feature *cause;	/* cleared because this is; NULL: by its own symbol */
	mv_at cause_at;
	bool vmx;			/* the host is Intel's: VMX, else SVM */
	bool enforced;			/* hidden, and something disables it */
	bool present;			/* the host's CPU executes it */
	bool intercepted;		/* this host's KVM was proved to serve masks */
};

/* On host `here`, for p may have come from another; notes (may be NULL) are what mv_apply said. */
void mv_feature_fate(struct mv_fate *f, const struct mv_policy *p, const struct mv_host *here,
		     const struct mv_notes *notes, enum mv_feature_id id);

/*
 * Why that code may have failed in a guest on this host, in one line: "ptest xmm0, xmm1 needs SSE4.1: hidden
 * from this guest (0, hide-sse41.mask:2; hidden-only), and this host lacks it". false: there is nothing to say.
 */
bool mv_explain_crash(char *buf, size_t size, const struct mv_policy *p, const struct mv_host *here,
		      const uint8_t *code, size_t n);

/* What disables a hidden feature, and what its class means for a verdict, in words. */
const char *mv_enforce_text(enum mv_feature_enforce e);
const char *mv_class_text(enum mv_feature_class c);
const char *mv_needs_text(enum mv_feature_needs n);

#endif
