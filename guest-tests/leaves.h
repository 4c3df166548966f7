/* SPDX-License-Identifier: MIT */
/* Everything CPUID says at both privilege levels, and what it should have said. */
#ifndef MV_GUEST_LEAVES_H
#define MV_GUEST_LEAVES_H

#include "rt.h"

#define MV_LEAVES_MAX 320

/* As in the blocks of MV_PORT_INFO. */
struct mv_table_entry {
	uint32_t leaf, subleaf, reg[4];
};

struct mv_table {
	uint32_t count;
	struct mv_table_entry e[MV_LEAVES_MAX];
};

void mv_table_read(struct mv_table *t, uint32_t block);
/* NULL if the table does not have it. */
const struct mv_table_entry *mv_table_find(const struct mv_table *t, uint32_t leaf,
					   uint32_t subleaf);

/* Levels are indexes here: 0 is CPL 0, 1 is CPL 3. */
#define MV_LEVELS 2
static const unsigned mv_level_cpl[MV_LEVELS] = { 0, 3 };

struct mv_leaves {
	uint32_t count;
	struct {
		uint32_t leaf, subleaf, reg[MV_LEVELS][4];
	} e[MV_LEAVES_MAX];
};

/* All leaves that CPUID says there are at either level, and all that the table (or NULL) has. */
void mv_leaves_collect(struct mv_leaves *l, const struct mv_table *table);
/* One bit; 0 if that leaf is not there. */
bool mv_leaves_bit(const struct mv_leaves *l, unsigned level, uint32_t leaf, uint32_t subleaf,
		   unsigned reg, unsigned bit);
void mv_leaves_print(const struct mv_leaves *l);
/* Compare with the guest table, print differences; the number of leaves that differ at a level. */
unsigned mv_leaves_check(const struct mv_leaves *l, unsigned level, const struct mv_table *table);
#define MV_NO_CPU (-1)

/*
 * Compare with what was seen before, every bit (MV_NO_CPU), or what this cpu sees with what CPU 0
 * saw, every bit but those that name a CPU. Prints and counts registers that differ, by level.
 * CR4 and XCR0 have to be the same.
 */
unsigned mv_leaves_same(const struct mv_leaves *now, const struct mv_leaves *before, int cpu);
/* Is this CPU the one with that APIC id by every leaf that tells? Prints and counts registers that deny it. */
unsigned mv_leaves_named(const struct mv_leaves *l, uint32_t apic_id, unsigned cpu);
/* The end of a line about a register: "cpl3 LEAF SUBLEAF ecx expected X got Y differ Z (NAMES)" */
void mv_leaves_print_diff(unsigned level, uint32_t leaf, uint32_t subleaf, unsigned reg,
			  uint32_t expected, uint32_t got, uint32_t ignore);

#endif
