/* SPDX-License-Identifier: MIT */
/*
 * Exceptions. One that a probe was expected to raise goes to the probe's fix-up; any other ends the
 * run, and always with a line: what is printed gets shorter the deeper the trouble is.
 */
#include "rt.h"

#define MAPPED_END (1ull << 30)
#define INSTRUCTION_MAX 15
#define HIGH_HALF 0xffff800000000000ull
#define RFLAGS_IF 0x200ull

extern const uint8_t mv_probes[], mv_probes_end[], mv_exec_fault[];
extern uint64_t mv_exec_rsp;

void mv_exec_raw(const void *code, struct mv_exec_regs *regs);
void mv_trap(struct mv_frame *f);

bool mv_watchdog_on;
volatile unsigned mv_interrupts;
static volatile bool armed;
static volatile int caught;
static int depth;

const char *mv_vector_name(int vector, char *buf)
{
	static const char names[22][4] = {
		"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "", "#TS",
		"#NP", "#SS", "#GP", "#PF", "",	   "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
	};
	size_t n = 6;

	if (vector >= 0 && vector < (int)MV_ARRAY_SIZE(names) && names[vector][0])
		return names[vector];
	memcpy(buf, "vector", n);
	if (vector >= 10)
		buf[n++] = (char)('0' + vector / 10);
	buf[n++] = (char)('0' + vector % 10);
	buf[n] = '\0';
	return buf;
}

__attribute__((weak)) void mv_fatal_note(const struct mv_frame *f)
{
	(void)f;
}

static void print_bytes(uint64_t rip)
{
	const uint8_t *p = (const uint8_t *)rip;

	if (rip >= MAPPED_END - INSTRUCTION_MAX)
		return;
	mv_printf(" bytes");
	for (int i = 0; i < INSTRUCTION_MAX; i++)
		mv_printf(" %02x", p[i]);
}

static __attribute__((noreturn)) void fatal(const struct mv_frame *f)
{
	char name[12];
	uint64_t cr2;

	switch (depth++) {
	case 0:
		mv_printf("\nguest: vector %u (%s) at 0x%lx cpl %u", (unsigned)f->vector,
			  mv_vector_name((int)f->vector, name), f->rip, (unsigned)f->cs & 3);
		if (f->error)
			mv_printf(" error 0x%lx", f->error);
		if (f->vector == 14) {
			__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
			mv_printf(" address 0x%lx", cr2);
		}
		print_bytes(f->rip);
		mv_puts("\n");
		if (f->vector == 6)
			mv_out32(MV_PORT_FAULT, (uint32_t)f->rip);
		mv_fatal_note(f);
		break;
	case 1:
		mv_printf("\nguest: vector %u at 0x%lx while reporting that\n",
			  (unsigned)f->vector, f->rip);
		break;
	default:
		/* Not even the console works. */
		mv_out32(MV_PORT_EXIT, MV_EXIT_EXCEPTION);
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	mv_exit(MV_EXIT_EXCEPTION);
}

/* Probes run at the address they were linked for, or in the high half (MV_TRY_CR4_HIGH). */
static bool in_probe(uint64_t rip)
{
	rip &= ~HIGH_HALF;
	return rip >= (uintptr_t)mv_probes && rip < (uintptr_t)mv_probes_end;
}

/* ---- the watchdog: the PIT's interrupt, by way of the first PIC, let in while a probe runs */

#define PIC1 0x20
#define PIC2 0xa0
#define PIC_EOI 0x20
#define PIT_CHANNEL0 0x40
#define PIT_MODE 0x43
#define IRQ_VECTOR 32
#define PATIENCE 36	/* ticks of 55 ms */

static int ticks;

void mv_watchdog_start(void)
{
	static const uint8_t init[] = { 0x11, IRQ_VECTOR, 0x04, 0x01, 0xfe };
	static const uint8_t init2[] = { 0x11, IRQ_VECTOR + 8, 0x02, 0x01, 0xff };

	for (size_t i = 0; i < sizeof(init); i++) {
		mv_out8((uint16_t)(PIC1 + !!i), init[i]);
		mv_out8((uint16_t)(PIC2 + !!i), init2[i]);
	}
	/* Channel 0, rate generator, the longest period. */
	mv_out8(PIT_MODE, 0x34);
	mv_out8(PIT_CHANNEL0, 0);
	mv_out8(PIT_CHANNEL0, 0);
	mv_watchdog_on = true;
}

/* Interrupts are on in probes alone. Is this probe's time over? */
static bool tick(const struct mv_frame *f)
{
	if (f->vector == IRQ_VECTOR) {
		mv_interrupts++;
		mv_out8(PIC1, PIC_EOI);
	}
	return armed && f->vector == IRQ_VECTOR && ++ticks > PATIENCE;
}

void mv_trap(struct mv_frame *f)
{
	bool irq = f->vector >= IRQ_VECTOR;

	if (irq && !tick(f))
		return;
	if (!armed || !in_probe(f->rip))
		fatal(f);
	armed = false;
	caught = irq ? MV_HUNG_VECTOR : (int)f->vector;
	f->rip = (uintptr_t)mv_exec_fault;
	f->rsp = mv_exec_rsp;
	f->rflags &= ~RFLAGS_IF;
}

static uint64_t exec_here(uint64_t code, uint64_t regs)
{
	mv_exec_raw((const void *)code, (struct mv_exec_regs *)regs);
	return 0;
}

int mv_exec(unsigned cpl, const void *code, struct mv_exec_regs *regs, bool catch)
{
	caught = MV_NO_VECTOR;
	ticks = 0;
	armed = catch;
	if (cpl)
		exec_here((uintptr_t)code, (uintptr_t)regs);
	else
		mv_at_cpl0(exec_here, (uintptr_t)code, (uintptr_t)regs);
	armed = false;
	return caught;
}
