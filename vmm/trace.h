/* SPDX-License-Identifier: MIT */
/*
 * --trace-cpuid: every CPUID a guest executes, one JSON object a line, and counts for a summary.
 * Where the VMM traps CPUID it records what it answers; where KVM does, the kernel's own
 * tracepoints kvm:kvm_exit and kvm:kvm_cpuid tell (trace_kernel.c). docs/interception.md has the
 * members.
 */
#ifndef MV_VMM_TRACE_H
#define MV_VMM_TRACE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "policy.h"

struct mv_trace;

/* One CPUID. */
struct mv_trace_event {
	unsigned cpu;			/* vCPU */
	bool has_rip;
	uint64_t rip;
	int cpl;			/* -1: not known; the tracepoints do not tell */
	uint32_t leaf, subleaf;
	uint32_t served[MV_NREGS];
};

/*
 * Begin, before vCPU threads exist; path "-" means: only count. p outlives it and says, by
 * p->intercept, who answers. -MV_E_HOST: KVM answers, and its tracepoints can't be read;
 * -MV_E_FAILED: the file can't be written.
 */
int mv_trace_open(struct mv_trace **out, const char *path, const struct mv_policy *p,
		  struct mv_err *err);

/* From any thread. */
void mv_trace_record(struct mv_trace *t, const struct mv_trace_event *e);

/*
 * The guest runs no more: take what the kernel still has, write everything out. -MV_E_FAILED if the
 * file is incomplete, with the reason.
 */
int mv_trace_stop(struct mv_trace *t, struct mv_err *err);

/* Leaves in ascending order with how often they were asked for at CPL 0, at CPL 3, elsewhere. */
void mv_trace_summary(const struct mv_trace *t, FILE *f);
struct json_object *mv_trace_summary_json(const struct mv_trace *t);

void mv_trace_close(struct mv_trace *t);	/* accepts NULL */

/* ---- the tracepoints (trace_kernel.c) ---- */

struct mv_trace_kernel;

/* All threads that this one starts from now on. */
int mv_trace_kernel_open(struct mv_trace_kernel **out, struct mv_trace *t, struct mv_err *err);
/* Drain and close; returns how many records were lost because nobody read them in time. */
uint64_t mv_trace_kernel_close(struct mv_trace_kernel *k);

#endif
