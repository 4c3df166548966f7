/* SPDX-License-Identifier: MIT */
/* What hiding a feature achieves: does something disable it, or does the instruction still execute? */
#ifndef MV_CPUID_LEAK_H
#define MV_CPUID_LEAK_H

#include "host.h"

/* Does the bit only describe, so that there is nothing to execute? */
bool mv_feature_describes(enum mv_feature_id id, bool vmx);

/*
 * Is the hidden feature id really disabled for a guest with that table, on VMX (Intel) or SVM
 * hardware whose KVM intercepts and has those controls (MV_KVM_CONTROL_BIT)? Takes the groups into
 * account that can't be parted: a state component that another visible feature keeps on, the control
 * that RDTSCP and RDPID share, the SPEC_CTRL MSR. Of the other vendor's features nothing is disabled but
 * what KVM would have to allow.
 */
bool mv_feature_enforced(const struct mv_table *guest, uint32_t kvm_controls, enum mv_feature_id id, bool vmx);

/* Does any instruction of the hidden feature still execute there, though a part of it may be disabled? */
bool mv_feature_leaks(const struct mv_table *guest, uint32_t kvm_controls, enum mv_feature_id id, bool vmx);

/*
 * If a hidden feature is not disabled only because of one that the guest is shown: that one. NULL if
 * nothing would disable it.
 */
const struct mv_feature *mv_feature_kept_by(const struct mv_table *guest, enum mv_feature_id id,
					    bool vmx);

#endif
