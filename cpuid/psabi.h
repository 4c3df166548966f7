/* SPDX-License-Identifier: MIT */
/* The x86-64 micro-architecture levels of the System V psABI: what distributions compile for. */
#ifndef MV_CPUID_PSABI_H
#define MV_CPUID_PSABI_H

#include "table.h"

/* The highest level that the guest table satisfies: 1 to 4 (x86-64-v1 to v4), 0 if not even v1. */
unsigned mv_psabi_level(const struct mv_table *guest);

/* The features that level (1 to 4) adds and the guest lacks: writes up to cap, returns how many. */
size_t mv_psabi_missing(const struct mv_table *guest, unsigned level, enum mv_feature_id *out,
			size_t cap);

#endif
