/* SPDX-License-Identifier: MIT */
/* What the comparators share: verdict.c (masks, the list), verdict_rules.c (structural rules), quick.c, baseline_use.c. */
#ifndef MV_CPUID_VERDICT_IMPL_H
#define MV_CPUID_VERDICT_IMPL_H

#include "verdict.h"

#define MSR_CORE_CAPABILITIES 0xcf
#define MSR_PERF_CAPABILITIES 0x345

struct mv_compare {
	const struct mv_policy *p;
	const struct mv_host *dst;
	const struct mv_verdict_opts *opts;
	struct mv_verdict *v;
	struct mv_table src_offer, dst_offer;
	struct mv_table src_ran, dst_ran;	/* the features seen to execute, nothing else */
};

/* Add a mismatch to the list, unless it is ignored on request. */
void mv_compare_add(struct mv_compare *c, struct mv_mismatch m);

/*
 * A bit that warns the guest, shown or not shown to it, on a destination where it is dst: may the
 * guest go there? It must know of what is true there; what it relies on may be lost only where the
 * destination says that there is nothing to protect from. An inverted bit takes nothing away when
 * it is lost.
 */
bool mv_hazard_excused(const struct mv_compare *c, enum mv_feature_id id, bool guest, bool dst);

/* Do symbols compare the bit? Fields with a rule of their own, or none, they don't. */
bool mv_symbols_compare(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit);

/* Is the number field one that the guest's value must not exceed, or (equal) must have? */
bool mv_number_at_most(enum mv_field_id id);
bool mv_number_equal(enum mv_field_id id);
/* What the offer says for a number that is compared. */
uint32_t mv_number_offered(const struct mv_table *offer, enum mv_field_id id);

/* Within 250 ppm, unknown, or to be scaled. */
bool mv_tsc_fits(uint64_t want_khz, uint64_t have_khz, bool scaling);

/* What the guest loses there, and what it should be warned of. Both 0: it may go. */
void mv_arch_caps_compare(uint64_t want, uint64_t named, uint64_t have, uint64_t *lost,
			  uint64_t *gained);

/*
 * The controls in force that the guest's mask depends on: a hidden feature under R counts on being
 * disabled, and a MONITOR bit that is shown on staying.
 */
uint32_t mv_kvm_controls_needed(const struct mv_policy *p, enum mv_verdict_mode mode);

/* Every structural rule; for a cold VM those that power-on needs. */
void mv_verdict_rules(struct mv_compare *c);

/* A leaf's registers; zeros where the table does not have it. */
static inline const uint32_t *mv_compare_leaf(const struct mv_table *t, uint32_t leaf, uint32_t subleaf)
{
	static const uint32_t none[MV_NREGS];
	const struct mv_leaf *e = mv_table_find(t, leaf, subleaf);

	return e ? e->reg : none;
}

#endif
