/* SPDX-License-Identifier: MIT */
/*
 * CPUIDs between work, port accesses and interrupts, at CPL 3: are they answered from the table every time,
 * and what does it take? Words: rounds=N, cpuid (one a round), ports (one a round), expect=EAX (of leaf
 * 0x80000002), irqs=N (go on until so many interrupts came).
 *
 *   cpuids: rounds 1000 asked 1000 wrong 0 ports 1000 interrupts 20 ticks 1234567
 */
#include "rt.h"

#define LEAF 0x80000002u	/* the VMM plants a brand there */
#define PIT_CHANNEL0 0x40
#define PIT_MODE 0x43
#define PIT_PERIOD 5966		/* 5 ms */
#define ROUNDS_MAX 1000000
#define LSR (MV_PORT_SERIAL + 5)

static uint64_t tsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

/* Thirty instructions that no VMM has anything to do with. */
static void work(void)
{
	uint32_t n = 10;

	__asm__ volatile("1:	incq %%rax\n"
			 "	decl %0\n"
			 "	jnz 1b"
			 : "+r"(n)
			 :
			 : "rax", "cc");
}

int main(void)
{
	uint64_t rounds = mv_word_number("rounds", 1000), irqs = mv_word_number("irqs", 0), begin, ticks, i;
	uint32_t expect = (uint32_t)mv_word_number("expect", 0), wrong = 0;
	bool cpuid = mv_word("cpuid"), ports = mv_word("ports");

	if (irqs) {
		mv_watchdog_start();
		mv_out8(PIT_MODE, 0x34);
		mv_out8(PIT_CHANNEL0, PIT_PERIOD & 0xff);
		mv_out8(PIT_CHANNEL0, PIT_PERIOD >> 8);
		__asm__ volatile("sti" : : : "memory");
	}
	begin = tsc();
	for (i = 0; i < rounds || (mv_interrupts < irqs && i < ROUNDS_MAX); i++) {
		work();
		if (cpuid)
			wrong += mv_cpuid(LEAF, 0).eax != expect;
		if (ports)
			mv_in8(LSR);
	}
	ticks = tsc() - begin;
	if (irqs)
		__asm__ volatile("cli" : : : "memory");
	mv_printf("cpuids: rounds %lu asked %lu wrong %u ports %lu interrupts %u ticks %lu\n", i, cpuid ? i : 0, wrong,
		  ports ? i : 0, mv_interrupts, ticks);
	return 0;
}
