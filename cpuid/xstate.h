/* SPDX-License-Identifier: MIT */
/*
 * XSAVE state components: which feature uses which, and where they lie (SDM Vol. 1, 13.1 and 13.4;
 * APM Vol. 2, 11.5). Leaf 0xD is computed from what is visible, never copied.
 */
#ifndef MV_CPUID_XSTATE_H
#define MV_CPUID_XSTATE_H

#include "table.h"

#define MV_XSAVE_LEGACY_SIZE 576u	/* legacy region and header */

/* A feature and the XCR0 component it can't do without. */
struct mv_xstate_user {
	uint16_t component;	/* enum mv_feature_id of the bit in leaf 0xD */
	uint16_t user;
};
extern const struct mv_xstate_user mv_xstate_users[];
extern const unsigned mv_nxstate_users;

/* What people know component n by: AVX, not XSTATE-AVX. MV_NFEATURES: it has no name. */
enum mv_feature_id mv_xstate_feature(unsigned n);

/*
 * The XCR0 components that feature id needs, itself or through what it depends on; a component needs
 * itself. _all: of every feature in one go, for the price of one.
 */
uint64_t mv_xstate_needed(enum mv_feature_id id);
void mv_xstate_needed_all(uint64_t need[MV_NFEATURES]);

/* XCR0 and XSS components that table t names (leaf 0xD subleaves 0 and 1). */
uint64_t mv_xstate_xcr0(const struct mv_table *t);
uint64_t mv_xstate_xss(const struct mv_table *t);

/*
 * Bytes of the standard-format area for components of mask, by the offsets in t; UINT32_MAX where
 * they don't fit in 32 bits.
 */
uint32_t mv_xstate_standard_size(const struct mv_table *t, uint64_t mask);
/* Bytes of the compacted area (XSAVEC, XSAVES) for components of mask. */
uint32_t mv_xstate_compacted_size(const struct mv_table *t, uint64_t mask);

#endif
