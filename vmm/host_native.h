/* SPDX-License-Identifier: MIT */
/* This machine, asked directly and through KVM. */
#ifndef MV_VMM_HOST_NATIVE_H
#define MV_VMM_HOST_NATIVE_H

#include "host.h"
#include "kvm.h"

/* The vendor alone: one CPUID. */
enum mv_vendor mv_native_vendor(void);

/*
 * Describe this host: raw, kernel, name, and with kvm (may be NULL) KVM's view, feature MSRs and TSC.
 * KVM_GET_SUPPORTED_CPUID is called once. The proof of interception is mv_prove's part.
 */
int mv_host_native(struct mv_host *h, const struct mv_kvm *kvm, struct mv_err *err);

/*
 * Which machine this is and since which boot: h->machine is a digest of the machine id, which is not
 * to be shown around. "" where there is none.
 */
void mv_host_identity(struct mv_host *h);

/*
 * Is h this machine as it was at another time: under another kernel, with other microcode, before its
 * last boot? What differs, in words ("kernel 6.1.0 then, 6.5.0 now"), or false with buf empty.
 */
bool mv_host_stale(const struct mv_host *h, char *buf, size_t size);

#endif
