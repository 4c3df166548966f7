/* SPDX-License-Identifier: MIT */
/* Tables and start of another CPU: see smp.h, and ap.S for its first instructions. */
#include "smp.h"

#define APIC 0xfee00000ull
#define APIC_ID 0x20
#define APIC_SVR 0xf0
#define SVR_ENABLED 0x100
#define SPURIOUS 0xff
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600
#define TRIES 100000u
#define PAUSES 1000

extern const uint8_t ap_trampoline[], ap_trampoline_end[];
extern uint64_t ap_cr3;
extern struct mv_table_register ap_idtr;
extern struct mv_cpu *ap_cpu;
void ap_main(struct mv_cpu *c);

void mv_descriptor(uint64_t *d, uint64_t base, uint32_t limit, uint8_t type)
{
	d[0] = (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)type << 40 |
	       (base >> 24 & 0xff) << 56;
	d[1] = base >> 32;
}

static uint64_t sgdt0(uint64_t to, uint64_t unused)
{
	(void)unused;
	__asm__ volatile("sgdt %0" : "=m"(*(struct mv_table_register *)to));
	return 0;
}

void mv_cpu_init(struct mv_cpu *c)
{
	uint64_t rsp0 = (uintptr_t)(c->stack0 + sizeof(c->stack0));
	struct mv_table_register gdt;

	mv_at_cpl0(sgdt0, (uintptr_t)&gdt, 0);
	memcpy(c->gdt, (const void *)gdt.base, MV_GDT_TSS * sizeof(c->gdt[0]));
	/* An I/O bitmap of zeros is as good as IOPL 3, see start.S. */
	memcpy(c->tss + 4, &rsp0, sizeof(rsp0));
	c->tss[0x66] = 104;
	c->tss[104 + MV_IO_BITMAP] = 0xff;
	mv_descriptor(&c->gdt[MV_GDT_TSS], (uintptr_t)c->tss, 104 + MV_IO_BITMAP, 0x89);
	c->gdtr = (struct mv_table_register){ sizeof(c->gdt) - 1, (uintptr_t)c->gdt };
	c->stack3 = (uintptr_t)(c->stack + sizeof(c->stack));
	c->started = 0;
	c->parked = 0;
}

/* What the other CPU takes from this one. */
static uint64_t lend0(uint64_t a, uint64_t b)
{
	(void)a;
	(void)b;
	__asm__ volatile("mov %%cr3, %0" : "=r"(ap_cr3));
	__asm__ volatile("sidt %0" : "=m"(ap_idtr));
	return 0;
}

static uint32_t apic_read(unsigned reg)
{
	uint32_t v;

	/* Plain MOVs: they are what an instruction emulator has to understand. */
	__asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(APIC + reg) : "memory");
	return v;
}

static void apic_write(unsigned reg, uint32_t v)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(v), "r"(APIC + reg) : "memory");
}

static uint64_t send0(uint64_t apic_id, uint64_t command)
{
	/* An APIC that is not enabled may send, too (SDM Vol. 3A, 11.4.7.2); KVM on PVM loses INIT then. */
	if (!(apic_read(APIC_SVR) & SVR_ENABLED))
		apic_write(APIC_SVR, SVR_ENABLED | SPURIOUS);
	apic_write(APIC_ICR_HIGH, (uint32_t)apic_id << 24);
	apic_write(APIC_ICR, (uint32_t)command);
	return 0;
}

static uint64_t id0(uint64_t a, uint64_t b)
{
	(void)a;
	(void)b;
	return apic_read(APIC_ID) >> 24;
}

uint32_t mv_apic_id(void)
{
	return (uint32_t)mv_at_cpl0(id0, 0, 0);
}

/* With an exit now and then: on a host with one CPU the other one may run only while this one does not. */
uint64_t mv_await(const volatile uint64_t *v)
{
	for (unsigned i = 0; i < TRIES && !*v; i++) {
		mv_in8(MV_PORT_SERIAL + 5);
		for (unsigned k = 0; k < PAUSES && !*v; k++)
			__asm__ volatile("pause");
	}
	return *v;
}

bool mv_cpu_start(struct mv_cpu *c, uint32_t apic_id)
{
	ap_cpu = c;
	mv_at_cpl0(lend0, 0, 0);
	memcpy((void *)AP_TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	mv_at_cpl0(send0, apic_id, ICR_INIT);
	mv_at_cpl0(send0, apic_id, ICR_STARTUP | AP_TRAMPOLINE >> 12);
	return mv_await(&c->started);
}

void ap_main(struct mv_cpu *c)
{
	c->started = 1;
	c->entry(c);
	mv_cpu_park(c);
}

static uint64_t park0(uint64_t parked, uint64_t unused)
{
	(void)unused;
	__asm__ volatile("cli\n"
			 "	movq	$1, (%0)\n"
			 "1:	hlt\n"
			 "	jmp	1b"
			 : : "r"(parked) : "memory");
	__builtin_unreachable();
}

void mv_cpu_park(struct mv_cpu *c)
{
	mv_at_cpl0(park0, (uintptr_t)&c->parked, 0);
	__builtin_unreachable();
}
