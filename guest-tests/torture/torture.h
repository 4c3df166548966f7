/* SPDX-License-Identifier: MIT */
/*
 * A guest that fills every register and device with something, asks to be saved, and looks whether
 * it is all still there. The parts of it, each about a kind of state, are rows of one table; "arm"
 * comes before a sync point, "check" behind it.
 */
#ifndef MV_GUEST_TORTURE_H
#define MV_GUEST_TORTURE_H

#include "smp.h"

#define MAX_CPUS 4
#define MAX_XSAVE 8192

struct cpu {
	struct mv_cpu own;	/* first */
	uint64_t id;
	/* What it counts, and what was wrong with it. */
	volatile uint64_t alive, timer, backwards, by;
	const char *volatile clock;
};

extern struct cpu cpus[MAX_CPUS];
extern unsigned ncpus;

struct item {
	const char *name;
	bool (*setup)(void);		/* false: this machine does not have it */
	void (*arm)(unsigned cycle);
	void (*check)(unsigned cycle);
};

extern const struct item gpr_item, vector_item, control_item, debug_item, segment_item, msr_item;
extern const struct item lapic_item, ioapic_item, pic_item, pit_item, serial_item, rtc_item;
extern const struct item pending_item, oneshot_item, periodic_item, deadline_item, halt_item;
extern const struct item smp_item, clock_item, pkru_item;
/* What PKRU is to hold; never anything that keeps the guest from its own memory, which has key 0. */
uint32_t pkru_pattern(unsigned cycle);

/* A finding, with the name of the item that is being checked. */
void wrong(const char *what);
void expect_value(const char *what, uint64_t got, uint64_t want);

/* A number that depends on the place and the cycle alone. */
uint64_t pattern(unsigned place, unsigned cycle);

/* ---- CPL 0 */

/* With their #GP caught; on the boot CPU alone. */
bool read_msr(uint32_t index, uint64_t *value);
bool write_msr(uint32_t index, uint64_t value);

/* An interrupt may come at CPL 3, or not. */
void interrupts(bool on);

/* ---- interrupts: how many of a vector came so far */

#define VECTOR_TIMER 0x40
#define VECTOR_SELF 0x41
#define VECTOR_PIT 0x50
#define VECTOR_WAKE 0x51
#define VECTOR_SPURIOUS 0xff

extern volatile uint64_t interrupt_count[MAX_CPUS][256];
uint32_t apic_read(unsigned reg);
void apic_write(unsigned reg, uint32_t value);
void apic_setup(void);
/* Until an interrupt of this kind was counted more than before, or clearly too long. */
bool await_interrupt(unsigned cpu, unsigned vector, uint64_t before);

void interrupts_setup(void);
void smp_start(void);
void clocks_look(struct cpu *c);
void clock_enable(struct cpu *c);

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("lfence\n	rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

#endif
