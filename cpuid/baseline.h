/* SPDX-License-Identifier: MIT */
/*
 * Baselines: the mask that a set of hosts has in common (docs/baselines.md). A VM that starts under
 * it on any of them is accepted by all the others, whichever of the two rules judges.
 */
#ifndef MV_CPUID_BASELINE_H
#define MV_CPUID_BASELINE_H

#include "host.h"
#include "mask.h"

/* What became of a feature, and why. */
enum mv_baseline_why {
	MV_BL_HIDDEN,	/* the default mask hides it, or no host offers it */
	MV_BL_KEPT,	/* T: every host offers it */
	MV_BL_SHOWN,	/* 1: a warning that is true on some host, or the default mask says so */
	MV_BL_DEFAULT,	/* the default mask's symbol: computed for the VM, or only described */
	/* lost: some host offers it, and it is hidden because … */
	MV_BL_LACKED,	/* … host a lacks it */
	MV_BL_PARENT,	/* … the feature `cause` is lost, which it needs */
	MV_BL_LAYOUT,	/* … hosts a and b keep XSAVE component `cause` in different places */
	MV_BL_FIELD,	/* … hosts a and b differ in the number `cause`, an enum mv_field_id */
	MV_BL_MSR,	/* … hosts a and b differ in the MSR it stands for */
};

struct mv_baseline_bit {
	uint8_t why;
	uint16_t cause;
	uint32_t a, b;	/* indexes into hosts */
};

/* Reasons that no mask removes. */
enum mv_baseline_refusal_kind {
	MV_BR_VENDOR,		/* hosts a and b */
	MV_BR_TSC,		/* from a to b */
	MV_BR_INTERCEPTION,	/* host a can't answer a guest's CPUID from a table */
	MV_BR_REQUIRED,		/* T in the default mask, and it can't be kept */
	MV_BR_FORBIDDEN,	/* F in the default mask, and host a executes it */
};

struct mv_baseline_refusal {
	enum mv_baseline_refusal_kind kind;
	uint32_t a, b;
	uint32_t leaf, subleaf;	/* REQUIRED, FORBIDDEN: the bit */
	uint8_t reg, bit;
};

#define MV_BASELINE_REFUSALS 64
#define MV_BASELINE_NO_HOST UINT32_MAX

struct mv_baseline {
	struct mv_mask mask;
	struct mv_baseline_bit bits[MV_NFEATURES];
	uint32_t model_of;	/* the host whose model guests see; _NO_HOST: not fixed */
	uint32_t nrefusals;	/* in all; at most MV_BASELINE_REFUSALS are kept */
	struct mv_baseline_refusal refusals[MV_BASELINE_REFUSALS];
};

struct mv_baseline_opts {
	bool ignore_tsc;	/* don't refuse for TSC frequencies */
};

/*
 * The baseline of n hosts under default mask def, which names all bits of its registers and has no
 * vendor lines (mv_mask_merge makes such a mask). offers: n tables, filled with what each host can
 * give a guest. -MV_E_REFUSED: b->refusals says why, err has the first. opts may be NULL.
 */
int mv_baseline(struct mv_baseline *b, const struct mv_mask *def,
		const struct mv_host *const *hosts, uint32_t n, struct mv_table *offers,
		const struct mv_baseline_opts *opts, struct mv_err *err);

/* Its parts: note a refusal; those that concern hosts as wholes (vendor, TSC, interception). */
void mv_baseline_refuse(struct mv_baseline *b, struct mv_baseline_refusal r);
void mv_baseline_fit(struct mv_baseline *b, const struct mv_host *const *hosts, uint32_t n,
		     bool ignore_tsc);

/* Does a host with that offer lose the feature under b? */
bool mv_baseline_costs(const struct mv_baseline *b, const struct mv_table *offer,
		       enum mv_feature_id id);
/* The feature whose loss made id go: id itself unless it went with a parent. */
enum mv_feature_id mv_baseline_root(const struct mv_baseline *b, enum mv_feature_id id);
/* Do guests under b see the feature, wherever they start? */
bool mv_baseline_shows(const struct mv_baseline *b, enum mv_feature_id id);

/* One line about a refusal; names: what to call each host. Returns what snprintf returns. */
int mv_baseline_refusal_text(char *buf, size_t size, const struct mv_baseline_refusal *r,
			     const struct mv_host *const *hosts, const char *const *names);

/*
 * Lay a baseline over a default mask that has no vendor lines: it can take away and fix numbers,
 * but it never shows what the default mask hides. R becomes 0 where the baseline says 0. What then
 * lacks something it needs is hidden, too. was receives def as it came. -MV_E_INPUT if it hides
 * what the default mask requires (T).
 */
int mv_baseline_restrict(struct mv_mask *def, const struct mv_mask *base, enum mv_vendor vendor,
			 struct mv_mask *was, struct mv_err *err);

#endif
