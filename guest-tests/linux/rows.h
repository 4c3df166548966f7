/* SPDX-License-Identifier: MIT */
/*
 * The rows of probes.def as a Linux process runs them: at CPL 3, with what its kernel has switched
 * on. Used by cpuid-probe and by the VMM, which learns in this way what its host really executes.
 */
#ifndef MV_GUEST_LINUX_ROWS_H
#define MV_GUEST_LINUX_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpuid/feature.h"
#include "guest-tests/probe.h"

struct mv_row {
	const char *mnemonic;
	const uint8_t *code, *end;
	const uint8_t *insn, *insn_end;	/* the instruction in there */
	uint64_t want;
	uint32_t flags;			/* enum mv_probe_flags */
	uint16_t feature;		/* enum mv_feature_id */
};

extern const struct mv_row mv_rows[];
extern const size_t mv_nrows;

enum mv_row_outcome {
	MV_ROW_UNTRIED,	/* CPL 0 only, or there was no process to run it */
	MV_ROW_RAN,
	MV_ROW_ABORTED,	/* a transaction that never commits */
	MV_ROW_RESULT,	/* it ran, but as an older CPU's other instruction */
	MV_ROW_FAULTED,	/* number is the vector */
	MV_ROW_DIED,	/* it took its process along; number is the signal, 0 for an exit */
	MV_ROW_HUNG,
};

struct mv_row_result {
	uint8_t outcome, number;
};

/*
 * Run every row that has a meaning at CPL 3, in order, in a child process; the rows after one that
 * ends it get a new one. results has mv_nrows elements. 0, or -errno if there was no memory or
 * process to be had; what was found until then is kept.
 */
int mv_rows_run(struct mv_row_result *results);

/* Does CPUID, as this process can execute it, show the feature? */
bool mv_row_shown(enum mv_feature_id id);

/* What the kernel has switched on for this process. */
struct mv_row_controls {
	bool osxsave, fsgsbase, pke, kl;
	uint64_t xcr0;
};

void mv_row_controls_read(struct mv_row_controls *c);
/* Is everything on that a row with these flags needs? */
bool mv_row_controls_allow(const struct mv_row_controls *c, unsigned flags);

#endif
