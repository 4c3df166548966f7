/* SPDX-License-Identifier: MIT */
/* Between cpuid/apply.c (symbols, closure) and cpuid/apply_derived.c (what follows from them). */
#ifndef MV_CPUID_APPLY_IMPL_H
#define MV_CPUID_APPLY_IMPL_H

#include "apply.h"

/* What an error about a full table says: the host offers more leaves than KVM itself can take. */
int mv_apply_full(struct mv_err *err);

/* Everything in the guest table that is not a feature bit; number lines of the mask win. */
int mv_apply_derived(struct mv_policy *p, const struct mv_table *offer, struct mv_err *err);

#endif
