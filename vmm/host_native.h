/* SPDX-License-Identifier: MIT */
/* This machine, asked directly and through KVM. */
#ifndef MV_VMM_HOST_NATIVE_H
#define MV_VMM_HOST_NATIVE_H

#include "host.h"
#include "kvm.h"

/* The vendor alone: one CPUID. */
enum mv_vendor mv_native_vendor(void);

/* The CPUID instruction, all leaves, on one CPU. */
void mv_native_cpuid(struct mv_table *out);

/*
 * Describe this host: raw, kernel, name, and with kvm (may be NULL) KVM's view, feature MSRs and TSC.
 * KVM_GET_SUPPORTED_CPUID is called once. The proof of interception is mv_prove's part.
 */
int mv_host_native(struct mv_host *h, const struct mv_kvm *kvm, struct mv_err *err);

#endif
