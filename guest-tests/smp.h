/* SPDX-License-Identifier: MIT */
/* More than one CPU: tables of a CPU's own, and its start. The others wait for INIT until then. */
#ifndef MV_GUEST_SMP_H
#define MV_GUEST_SMP_H

#include "entry.h"
#include "rt.h"

#define MV_GDT_TSS (SEL_TSS / 8)
#define MV_IO_BITMAP (0x800 / 8)	/* bytes: ports up to the ELCRs */

/* GDTR or IDTR. */
struct mv_table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* ap.S knows the places of the first two. */
struct mv_cpu {
	uint64_t stack3;
	struct mv_table_register gdtr;	/* at 8 */
	void (*entry)(struct mv_cpu *);
	uint64_t gdt[16];
	uint8_t tss[384] __attribute__((aligned(16)));
	uint8_t stack0[8192] __attribute__((aligned(16)));
	uint8_t stack[8192] __attribute__((aligned(16)));
	volatile uint64_t started, parked;
};

/* A system descriptor of 16 bytes: base and limit of type (SDM Vol. 3A, 3.5). */
void mv_descriptor(uint64_t *d, uint64_t base, uint32_t limit, uint8_t type);
/* Fill in the tables: a copy of the caller's GDT with a TSS of its own. Again before each start. */
void mv_cpu_init(struct mv_cpu *c);
/*
 * Start the CPU with this APIC id, also one that was started before: it runs c->entry at CPL 3 with
 * the caller's page tables and IDT. False if it does not get there. In xAPIC mode, and one at a time.
 */
bool mv_cpu_start(struct mv_cpu *c, uint32_t apic_id);
/* This CPU ends here; once c->parked is set it touches nothing of c any more. */
void mv_cpu_park(struct mv_cpu *c) __attribute__((noreturn));

/* Until *v is not zero, or clearly too long: what it is in the end. */
uint64_t mv_await(const volatile uint64_t *v);
/* The id that this CPU's APIC goes by, in xAPIC mode. */
uint32_t mv_apic_id(void);

#endif
