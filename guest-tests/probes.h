/* SPDX-License-Identifier: MIT */
/* The rows of probes.def and of the bit table as a guest uses them. */
#ifndef MV_GUEST_PROBES_H
#define MV_GUEST_PROBES_H

#include "cpuid/feature.h"
#include "probe.h"
#include "rt.h"

/* What a guest needs of a feature row; index: enum mv_feature_id. */
struct mv_bit {
	uint32_t leaf;
	uint8_t subleaf, reg, bit;
	const char *name;
};

extern const struct mv_bit mv_bits[MV_NFEATURES];

/* The name of a bit; NULL if it has none. */
const char *mv_bit_name(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit);

struct mv_probe {
	const char *mnemonic;
	const uint8_t *code, *end;
	uint64_t want;
	uint32_t flags;
	uint16_t feature;
};

/* Seen to succeed on one machine and to fail on another: proven.def. */
extern const bool mv_proven[MV_NFEATURES];

extern const struct mv_probe mv_probe_rows[];
extern const size_t mv_probe_count;

/* The first row of a feature that a program at CPL 3 can decide by; NULL if there is none. */
const struct mv_probe *mv_probe_by_feature(const char *name);

/* What became of a probe. */
enum mv_outcome {
	MV_RAN,
	MV_ABORTED,	/* a transaction that never commits */
	MV_ALIAS,	/* it ran, but as an older CPU's other instruction */
	MV_FAULTED,	/* by the vector in struct mv_ran */
	MV_HUNG,	/* the watchdog ended it */
	MV_SKIPPED,
};

struct mv_ran {
	enum mv_outcome outcome;
	int vector;
};

struct mv_ran mv_probe_run(const struct mv_probe *p, unsigned cpl, bool catch);
/*
 * Some machines let any MSR be read: rows that have nothing but the lack of a #GP to go by can't
 * tell anything there. Tries one that no CPU has.
 */
bool mv_every_msr_reads(void);
/* "ran", "#UD", "result", "skipped" and so on; buf of 12 bytes. */
const char *mv_ran_name(const struct mv_ran *r, char *buf);

/* ---- CR4 and XCR0 */

struct mv_controls {
	uint64_t cr4, xcr0;	/* xcr0: 0 without CR4.OSXSAVE */
};

/*
 * Switch on what CPUID offers, or with force whatever CPUID says. What the machine does not grant
 * stays off; that is no error. With report, a line about each.
 */
void mv_controls_setup(struct mv_controls *c, bool force, bool report);
/* What is in force now. */
void mv_controls_read(struct mv_controls *c);
/* Everything that p needs is on. */
bool mv_controls_allow(const struct mv_controls *c, const struct mv_probe *p);

#endif
