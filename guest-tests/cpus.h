/* SPDX-License-Identifier: MIT */
/* Does every CPU see, and execute, what CPU 0 does? */
#ifndef MV_GUEST_CPUS_H
#define MV_GUEST_CPUS_H

#include "leaves.h"
#include "probes.h"

/* CPUs that ACPI's MADT lists as there; 1 if nobody lists any. */
unsigned mv_cpus_listed(void);

/* What CPU 0 found, and what else there is to do on each of the others. */
struct mv_cpus {
	unsigned n;			/* CPUs, CPU 0 included; at most what mv_cpus_listed said */
	unsigned cores, threads;	/* of a socket, of a core; looked at under minivmm */
	const struct mv_leaves *leaves;
	const struct mv_table *table;	/* or NULL, as in mv_leaves_collect */
	const struct mv_controls *controls;
	bool force;			/* as in mv_controls_setup */
	bool minivmm;			/* APIC ids count them from 0, and CPUID says what they are parts of */
	/* Runs on a CPU: the number of rows it tried again; adds those with another outcome to *differ. */
	unsigned (*rows)(unsigned cpu, unsigned *differ);
};

/*
 * Start one CPU after the other. Prints "cpu-diff: cpu N: …" for each difference and a "cpu-check: "
 * line for each CPU; returns the number of differences. One CPU alone is nothing to compare: no line.
 */
unsigned mv_cpus_check(const struct mv_cpus *cpus);

#endif
