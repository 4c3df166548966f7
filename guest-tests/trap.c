/* SPDX-License-Identifier: MIT */
/*
 * Exceptions. One that a probe was expected to raise goes to the probe's fix-up; any other ends the
 * run, and always with a line: what is printed gets shorter the deeper the trouble is.
 */
#include "rt.h"

#define MAPPED_END (1ull << 30)
#define INSTRUCTION_MAX 15

extern const uint8_t mv_probes[], mv_probes_end[], mv_exec_fault[];
extern uint64_t mv_exec_rsp;

void mv_exec_raw(const void *code, struct mv_exec_regs *regs);
void mv_trap(struct mv_frame *f);

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

void mv_trap(struct mv_frame *f)
{
	if (!armed || f->rip < (uintptr_t)mv_probes || f->rip >= (uintptr_t)mv_probes_end)
		fatal(f);
	armed = false;
	caught = (int)f->vector;
	f->rip = (uintptr_t)mv_exec_fault;
	f->rsp = mv_exec_rsp;
}

static uint64_t exec_here(uint64_t code, uint64_t regs)
{
	mv_exec_raw((const void *)code, (struct mv_exec_regs *)regs);
	return 0;
}

int mv_exec(unsigned cpl, const void *code, struct mv_exec_regs *regs, bool catch)
{
	caught = MV_NO_VECTOR;
	armed = catch;
	if (cpl)
		exec_here((uintptr_t)code, (uintptr_t)regs);
	else
		mv_at_cpl0(exec_here, (uintptr_t)code, (uintptr_t)regs);
	armed = false;
	return caught;
}
