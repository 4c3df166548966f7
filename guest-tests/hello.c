/* SPDX-License-Identifier: MIT */
/*
 * What a VMM's own tests need a guest to do, chosen by the word mode=:
 *   echo     (default) print the command line, end with exit=N
 *   counter  count to ticks=N with a delay between two lines, sync at sync=N (half); keeps nonce= in memory
 *   fill     write to memory up to mib=N MiB, beginning with from=2, sync, look whether all of it is still
 *            there (blind: don't); with the word stay, go on for ever
 *   writer   write every page of mib=64 MiB again and again, beginning with from=8, a line after each pass, and
 *            check first that each still holds what the pass before left in it; delay= between two pages
 *   hang     loop for ever; with the word hlt, stop the CPU for good instead
 *   triple   end in a triple fault
 *   ud       an exception nobody catches; with the word cpl0, there
 *   nested   the same, and another one while it is being reported
 *   df       a stack at CPL 0 that cannot be pushed to: double fault
 * fill=N: before that, put something into all memory from 8 MiB up to N MiB.
 */
#include "rt.h"

#define FREE_MEMORY (8ull << 20)	/* this program, its tables and stacks are below */
#define MIB (1ull << 20)
#define PAGE 4096ull

static uint64_t load_idt(uint64_t pointer, uint64_t unused)
{
	(void)unused;
	__asm__ volatile("lidt (%0)" : : "r"(pointer) : "memory");
	return 0;
}

static uint64_t fault(uint64_t a, uint64_t b)
{
	(void)a;
	(void)b;
	__asm__ volatile("ud2");
	return 0;
}

static bool nested;

void mv_fatal_note(const struct mv_frame *f)
{
	(void)f;
	if (nested)
		__asm__ volatile("ud2");
}

static uint64_t lose_stack(uint64_t a, uint64_t b)
{
	/* Beyond what is mapped, and canonical. */
	__asm__ volatile("mov	%0, %%rsp\n"
			 "	push	%0"
			 : : "r"(1ull << 40) : "memory");
	return a + b;
}

static void triple(void)
{
	static const uint8_t no_idt[10];

	mv_puts("hello: triple fault\n");
	mv_at_cpl0(load_idt, (uintptr_t)no_idt, 0);
	mv_at_cpl0(fault, 0, 0);
}

static void hang(void)
{
	mv_puts("hello: hanging\n");
	if (mv_word("hlt"))
		mv_halt();
	for (;;)
		__asm__ volatile("pause");
}

static void counter(void)
{
	uint64_t ticks = mv_word_number("ticks", 10);
	uint64_t delay = mv_word_number("delay", 1000000), sync = mv_word_number("sync", ticks / 2);
	char nonce[64];

	mv_word_copy("nonce", nonce, sizeof(nonce), "none");
	for (uint64_t i = 1; i <= ticks; i++) {
		mv_printf("counter: %lu %s\n", i, nonce);
		if (i == sync)
			mv_sync(1);
		for (volatile uint64_t d = delay; d; d--)
			;
	}
}

/* ---- memory by position (vmm/ram.h): its bytes without the gap between 3 and 4 GiB */

#define GIB (1ull << 30)
#define GAP_AT (3 * GIB)

static uint64_t address_of(uint64_t pos)
{
	return pos < GAP_AT ? pos : pos + GIB;
}

/* The boot code maps the first GiB. Those from there to end, up to 8 of them, in pages of 2 MiB. */
static uint64_t map_more(uint64_t end, uint64_t unused)
{
	static uint64_t pd[7][512] __attribute__((aligned(4096)));
	uint64_t *pml4, *pdpt, at;

	(void)unused;
	__asm__ volatile("mov %%cr3, %0" : "=r"(pml4));
	pdpt = (uint64_t *)(pml4[0] & ~0xfffull);
	for (uint64_t g = 1; g * GIB < end && g <= MV_ARRAY_SIZE(pd); g++) {
		at = address_of(g * GIB);
		for (uint64_t i = 0; i < MV_ARRAY_SIZE(pd[0]); i++)
			pd[g - 1][i] = (at + (i << 21)) | 0x87;
		pdpt[at / GIB] = (uintptr_t)pd[g - 1] | 7;
	}
	return 0;
}

static void fill(void)
{
	uint64_t from = mv_word_number("from", 2) * MIB, end = mv_word_number("mib", 32) * MIB, n;

	mv_at_cpl0(map_more, end, 0);
	for (uint64_t p = from; p < end; p += PAGE) {
		uint64_t *to = (uint64_t *)address_of(p);

		n = 512;
		__asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(p * 0x9e3779b97f4a7c15ull) : "memory");
	}
	mv_puts("fill: full\n");
	mv_sync(1);
	mv_puts("fill: here again\n");
	for (uint64_t p = from; p < end && !mv_word("blind"); p += PAGE) {
		uint64_t *at = (uint64_t *)address_of(p);
		bool same;

		n = 512;
		__asm__ volatile("repe scasq" : "+D"(at), "+c"(n), "=@ccz"(same)
				 : "a"(p * 0x9e3779b97f4a7c15ull) : "memory");
		if (!same) {
			mv_printf("fill: page 0x%lx is wrong\n", address_of(p));
			mv_exit(1);
		}
	}
	mv_puts("fill: all there\n");
	while (mv_word("stay"))
		__asm__ volatile("pause");
}

static volatile uint64_t *page_at(uint64_t from, uint64_t page)
{
	return (volatile uint64_t *)(uintptr_t)address_of(from + page * PAGE);
}

static void prefill(uint64_t end)
{
	uint64_t pages = end * MIB > FREE_MEMORY ? (end * MIB - FREE_MEMORY) / PAGE : 0;

	mv_at_cpl0(map_more, end * MIB, 0);
	for (uint64_t i = 0; i < pages; i++)
		page_at(FREE_MEMORY, i)[1] = i + 1;
	if (pages)
		mv_printf("filled: %lu pages\n", pages);
}

/* Whoever loses a page between two passes is told which. */
static int writer(void)
{
	uint64_t passes = mv_word_number("ticks", 10), delay = mv_word_number("delay", 0);
	uint64_t pages = mv_word_number("mib", 64) * MIB / PAGE, from = mv_word_number("from", 8) * MIB;

	mv_at_cpl0(map_more, from + pages * PAGE, 0);
	for (uint64_t pass = 1; pass <= passes; pass++) {
		for (uint64_t i = 0; i < pages; i++) {
			volatile uint64_t *p = page_at(from, i);

			if (pass > 1 && (p[0] != pass - 1 || p[511] != (i ^ (pass - 1)))) {
				mv_printf("writer: page %lu has %lu and %lu after pass %lu\n", i,
					  p[0], p[511], pass - 1);
				return 1;
			}
			p[0] = pass;
			p[511] = i ^ pass;
			for (volatile uint64_t d = delay; d; d--)
				;
		}
		mv_printf("counter: %lu %lu\n", pass, pages);
	}
	return 0;
}

int main(void)
{
	char mode[16];

	mv_word_copy("mode", mode, sizeof(mode), "echo");
	prefill(mv_word_number("fill", 0));
	switch (mode[0]) {
	case 'w':
		if (writer())
			return 1;
		break;
	case 'c':
		counter();
		break;
	case 'f':
		fill();
		break;
	case 'h':
		hang();
		break;
	case 't':
		triple();
		break;
	case 'n':
		nested = true;
		fault(0, 0);
		break;
	case 'd':
		mv_at_cpl0(lose_stack, 0, 0);
		break;
	case 'u':
		if (mv_word("cpl0"))
			mv_at_cpl0(fault, 0, 0);
		fault(0, 0);
		break;
	default:
		mv_printf("hello: %s\n", mv_cmdline);
	}
	return (int)mv_word_number("exit", 0);
}
