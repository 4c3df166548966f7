/* SPDX-License-Identifier: MIT */
/*
 * Is the guest's CPUID really answered from the guest table? Never believed, always tried: a small
 * guest executes CPUID at CPL 0 and CPL 3 under a table with a planted value and with features
 * cleared that the hardware has. The result is kept until the next boot.
 */
#ifndef MV_VMM_PROOF_H
#define MV_VMM_PROOF_H

#include "host.h"
#include "kvm.h"

/*
 * Prove mechanisms in the order kernel, patch, step and fill h->proof, cpl0_interpreted and xcr0: as
 * many as it takes to find one that covers both privilege levels and to know all of `wanted` (bits
 * 1 << enum mv_intercept). h needs its raw and kvm views. A mechanism that does not hold is a result,
 * not an error; one that could not be tried counts as not proved, and is an error if no other covers both levels.
 * *settled (may be NULL): was all that was asked for tried? What was not isn't kept, so the next run tries it again.
 */
#define MV_PROVE_FIRST 0u
#define MV_PROVE_ALL (1u << MV_INTERCEPTION_KERNEL | 1u << MV_INTERCEPTION_PATCH | \
		      1u << MV_INTERCEPTION_STEP)
int mv_prove(struct mv_host *h, const struct mv_kvm *kvm, unsigned wanted, bool *settled, struct mv_err *err);

/*
 * The same, leaf by leaf, and with CPUIDs that the guest assembles at run time; nothing is kept. Bit
 * i of a byte: the guest saw the table in leaf i of 0x80000002 (planted), 1, 7, 0x80000001 (bits
 * cleared). Second index: CPL 0, CPL 3.
 */
#define MV_PROOF_LEAVES 4
#define MV_PROOF_ALL_LEAVES 0xf
struct mv_proof_detail {
	unsigned tried;		/* bit i: mechanism i */
	uint8_t seen[MV_NINTERCEPTIONS][2], runtime[MV_NINTERCEPTIONS][2];
};
int mv_prove_detail(struct mv_proof_detail *d, unsigned wanted, const struct mv_host *h, const struct mv_kvm *kvm,
		    struct mv_err *err);

/* Forget what was kept: prove again. */
void mv_proof_forget(void);

#endif
