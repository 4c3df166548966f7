/* SPDX-License-Identifier: MIT */
/*
 * What a VMM's own tests need a guest to do, chosen by the word mode=:
 *   echo     (default) print the command line, end with exit=N
 *   counter  count to ticks=N with a delay between two lines, sync at half; keeps nonce= in memory
 *   hang     loop for ever; with the word hlt, stop the CPU for good instead
 *   triple   end in a triple fault
 *   ud       an exception nobody catches; with the word cpl0, there
 *   nested   the same, and another one while it is being reported
 *   df       a stack at CPL 0 that cannot be pushed to: double fault
 */
#include "rt.h"

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
	uint64_t delay = mv_word_number("delay", 1000000);
	char nonce[64];

	mv_word_copy("nonce", nonce, sizeof(nonce), "none");
	for (uint64_t i = 1; i <= ticks; i++) {
		mv_printf("counter: %lu %s\n", i, nonce);
		if (i == ticks / 2)
			mv_sync(1);
		for (volatile uint64_t d = delay; d; d--)
			;
	}
}

int main(void)
{
	char mode[16];

	mv_word_copy("mode", mode, sizeof(mode), "echo");
	switch (mode[0]) {
	case 'c':
		counter();
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
