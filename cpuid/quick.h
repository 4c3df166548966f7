/* SPDX-License-Identifier: MIT */
/*
 * The verdict of the guide's rule for many pairs: VMs and hosts compiled once into packed words, then compared in a few
 * dozen operations. Says yes or no and not why: mv_verdict explains. The two never disagree (a test
 * sees to it); what does not fit the packed form is MV_QUICK_UNSURE, for mv_verdict to decide.
 */
#ifndef MV_CPUID_QUICK_H
#define MV_CPUID_QUICK_H

#include "verdict.h"

#define MV_QUICK_WORDS 192
#define MV_QUICK_NUMBERS 64
#define MV_QUICK_COMPONENTS 24

enum mv_quick_answer { MV_QUICK_REFUSE, MV_QUICK_ACCEPT, MV_QUICK_UNSURE };

/* Which registers the words are: those that some mask asks about. */
struct mv_quick_layout {
	uint32_t n;
	struct {
		uint32_t leaf, subleaf;
		uint32_t care;	/* the bits that symbols compare */
		uint8_t reg;
	} pos[MV_QUICK_WORDS];
};

struct mv_quick_component {
	uint8_t n;
	uint32_t size, offset, flags;
};

struct mv_quick_vm {
	bool unsure;		/* nothing below counts */
	uint32_t nwords, nnumbers, nequal, ncomponents;
	/* (host.offer ^ offer) & offer_care and (host.exec ^ exec) & exec_care have to be 0 */
	uint32_t offer_care[MV_QUICK_WORDS], offer[MV_QUICK_WORDS];
	uint32_t exec_care[MV_QUICK_WORDS], exec[MV_QUICK_WORDS];
	uint32_t vendor[3];
	uint32_t number[MV_QUICK_NUMBERS];	/* at most the host's */
	uint32_t equal[MV_QUICK_NUMBERS];	/* the host's, or 0 for any */
	uint64_t components;
	struct mv_quick_component component[MV_QUICK_COMPONENTS];
	bool asks_clflush;
	uint32_t clflush, tsc_khz;
	bool asks_caps;
	uint64_t caps, caps_named;
	bool can_patch;
	uint32_t kvm_controls;
};

struct mv_quick_host {
	bool unsure;		/* nothing below counts */
	uint32_t offer[MV_QUICK_WORDS], exec[MV_QUICK_WORDS];
	uint32_t vendor[3];
	uint32_t number[MV_QUICK_NUMBERS], equal[MV_QUICK_NUMBERS];
	uint64_t components;
	struct {
		uint32_t size, offset, flags;
	} component[64];
	uint32_t clflush, tsc_khz;
	bool tsc_scaling;
	uint64_t caps;
	bool answers_any, answers_patch;
	uint32_t kvm_controls;
};

/* Add the registers that p's effective mask asks about. -MV_E_INPUT if there is no more room. */
int mv_quick_layout_add(struct mv_quick_layout *l, const struct mv_policy *p);

/*
 * Compile a VM or a host. The layout must have every VM that is to be compared, before any host or VM
 * is compiled with it.
 */
void mv_quick_vm_init(struct mv_quick_vm *v, const struct mv_quick_layout *l,
		      const struct mv_policy *p);
void mv_quick_host_init(struct mv_quick_host *h, const struct mv_quick_layout *l,
			const struct mv_host *host);

enum mv_quick_answer mv_quick_verdict(const struct mv_quick_vm *v, const struct mv_quick_host *h);

#endif
