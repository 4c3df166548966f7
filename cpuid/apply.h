/* SPDX-License-Identifier: MIT */
/*
 * From mask to guest table: offer, symbols, dependency closure, leaf 0xD, max leaves, AMD mirror
 * bits, topology (design: "From mask to guest table").
 */
#ifndef MV_CPUID_APPLY_H
#define MV_CPUID_APPLY_H

#include "policy.h"

/* What apply has to say about a bit. */
enum mv_note_kind {
	MV_NOTE_T_MISSING,	/* T, and the host can't offer it: refuses */
	MV_NOTE_F_PRESENT,	/* F, and the host executes it: refuses */
	MV_NOTE_T_ORPHAN,	/* T, and a feature it needs is cleared: refuses */
	MV_NOTE_FORCED,		/* 1, and the host lacks it */
	MV_NOTE_ORPHAN,		/* 1, and a feature it needs is cleared: stays 1 */
	MV_NOTE_CLOSURE,	/* cleared, because a feature it needs is */
};

struct mv_note {
	enum mv_note_kind kind;
	uint32_t msr;			/* 0: a bit of CPUID */
	uint32_t leaf, subleaf;
	uint8_t reg, bit;
	enum mv_sym sym;		/* of the final mask */
	mv_at at;
	const struct mv_feature *cause;	/* the feature it needs, for the closure kinds */
	mv_at cause_at;			/* the line that cleared it in the end, through others
					 * maybe; 0 = the host lacks it */
};

#define MV_NOTES 512
struct mv_notes {
	uint32_t n;		/* never more than MV_NOTES are kept */
	uint32_t refusals;	/* how many of all notes refuse power-on */
	struct mv_note note[MV_NOTES];
};

/*
 * Fill p->guest and p->effective from p->final, p->source and the number of CPUs. All notes are
 * collected; the guest may start if notes->refusals is 0. -MV_E_INPUT if the table overflows.
 */
int mv_apply(struct mv_policy *p, unsigned ncpus, struct mv_notes *notes, struct mv_err *err);

/*
 * What the guest's CPUs are parts of. The APIC id is the CPU's number, so threads are a power of two and,
 * where there is more than one socket, so are a socket's CPUs.
 */
struct mv_topology {
	unsigned sockets, cores, threads;	/* cores of a socket, threads of a core; from 1 */
};

/* Fill in a guest table what all CPUs say of it. mv_apply does so for one socket of single-threaded cores. */
void mv_table_set_topology(struct mv_table *guest, const struct mv_topology *t);

/* The guest table as CPU number cpu sees it: its ids filled in. The rest of the topology is in the table. */
void mv_table_for_cpu(struct mv_table *out, const struct mv_table *guest, unsigned cpu);

/* Guest state that shows in CPUID. */
struct mv_cpu_now {
	uint64_t cr4, xcr0, xss;
};

/*
 * CPUID as a CPU with the table guest answers it, with KVM's rules for leaves that are not there: an
 * out-of-range leaf is the highest basic leaf for Intel, zero for AMD.
 */
void mv_table_answer(const struct mv_table *guest, const struct mv_cpu_now *now, uint32_t leaf,
		     uint32_t subleaf, uint32_t out[MV_NREGS]);

#endif
