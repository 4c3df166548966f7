/* SPDX-License-Identifier: MIT */
/*
 * A small guest that is run once to learn what it sees: the one of the proof (vmm/proof.c), and of the benchmark
 * of the mechanisms (bench/intercept.c).
 */
#ifndef MV_VMM_TRIAL_H
#define MV_VMM_TRIAL_H

#include "vm.h"

#define MV_TRIAL_RAM (UINT64_C(4) << 20)

/* What the guest printed; more than that is cut off. */
struct mv_trial {
	size_t len;
	char text[16384];
	struct mv_event end;	/* how it ended; MV_EVENT_NONE: it did not in time; MV_EVENT_ERROR: it was not its fault */
};

/* The table of KVM's view of h with a brand string in it that no CPU has; the caller may change more. */
void mv_trial_plant(struct mv_table *guest, const struct mv_host *h, const char brand[16]);

/*
 * Run img on one CPU with that table, CPUID answered by that mechanism, proved here or not. KVM itself gets the
 * table for MV_INTERCEPTION_KERNEL alone, else h's own: its answers must not pass for another mechanism's. However
 * the guest ends, by itself or after timeout_ms: what it printed until then is in t, which is overwritten.
 */
int mv_trial_run(struct mv_trial *t, const struct mv_kvm *kvm, const struct mv_host *h, const struct mv_image *img,
		 const char *words, enum mv_intercept how, const struct mv_table *guest, int timeout_ms,
		 struct mv_err *err);

#endif
