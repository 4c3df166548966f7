/* SPDX-License-Identifier: MIT */
/* Interrupts: controllers, timers, what is pending, a CPU that halts. */
#include "torture.h"

#define APIC 0xfee00000u
#define IOAPIC 0xfec00000u
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_ICR 0x300
#define APIC_LVTT 0x320
#define APIC_TMICT 0x380
#define APIC_TMCCT 0x390
#define APIC_TDCR 0x3e0
#define LVT_MASKED 0x10000
#define LVT_PERIODIC 0x20000
#define LVT_DEADLINE 0x40000
#define MSR_TSC_DEADLINE 0x6e0
#define TRIES 400000000ull

extern const uint8_t interrupt_entries[];
uint64_t halt_once(uint64_t a, uint64_t b);
void on_interrupt(uint64_t vector);

volatile uint64_t interrupt_count[MAX_CPUS][256];
static uint64_t idt[512] __attribute__((aligned(16)));

uint32_t apic_read(unsigned reg)
{
	uint32_t v;

	/* Plain MOVs: they are what an instruction emulator has to understand. */
	__asm__ volatile("movl (%1), %0" : "=r"(v) : "r"((uint64_t)APIC + reg) : "memory");
	return v;
}

void apic_write(unsigned reg, uint32_t v)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(v), "r"((uint64_t)APIC + reg) : "memory");
}

static uint32_t ioapic_read(unsigned reg)
{
	uint32_t v;

	__asm__ volatile("movl %1, (%2)\n	movl 16(%2), %0"
			 : "=&r"(v) : "r"(reg), "r"((uint64_t)IOAPIC) : "memory");
	return v;
}

static void ioapic_write(unsigned reg, uint32_t v)
{
	__asm__ volatile("movl %1, (%2)\n	movl %0, 16(%2)"
			 : : "r"(v), "r"(reg), "r"((uint64_t)IOAPIC) : "memory");
}

void on_interrupt(uint64_t vector)
{
	unsigned cpu = apic_read(0x20) >> 24;

	if (cpu < MAX_CPUS)
		interrupt_count[cpu][vector]++;
	if (vector != VECTOR_SPURIOUS)
		apic_write(APIC_EOI, 0);
}

bool await_interrupt(unsigned cpu, unsigned vector, uint64_t before)
{
	uint64_t n;

	for (n = 0; n < TRIES && interrupt_count[cpu][vector] == before; n++)
		__asm__ volatile("pause");
	return interrupt_count[cpu][vector] != before;
}

/* ---- set-up */

static void gate(unsigned vector, uint64_t address)
{
	idt[2 * vector] = (address & 0xffff) | 0x10ull << 16 | 0x8e00ull << 32 |
			  (address >> 16 & 0xffff) << 48;
	idt[2 * vector + 1] = address >> 32;
}

static uint64_t sidt0(uint64_t to, uint64_t unused)
{
	(void)unused;
	__asm__ volatile("sidt (%0)" : : "r"(to) : "memory");
	return 0;
}

static uint64_t lidt0(uint64_t from, uint64_t unused)
{
	(void)unused;
	__asm__ volatile("lidt (%0)" : : "r"(from) : "memory");
	return 0;
}

static uint64_t get_cr3(uint64_t a, uint64_t b)
{
	uint64_t v;

	(void)a;
	(void)b;
	__asm__ volatile("mov %%cr3, %0" : "=r"(v));
	return v;
}

/* The last GiB below 4: where the interrupt controllers are. */
static void map_controllers(void)
{
	static uint64_t pd[512] __attribute__((aligned(4096)));
	uint64_t *pml4 = (uint64_t *)mv_at_cpl0(get_cr3, 0, 0);
	uint64_t *pdpt = (uint64_t *)(pml4[0] & ~0xfffull);

	for (uint64_t i = 0; i < 512; i++)
		pd[i] = (3ull << 30 | i << 21) | 0x9f;	/* uncached */
	pdpt[3] = (uintptr_t)pd | 7;
}

static void pic_init(void)
{
	static const uint8_t init[][2] = {
		{ 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 4 }, { 0x21, 1 },
		{ 0xa0, 0x11 }, { 0xa1, 0x28 }, { 0xa1, 2 }, { 0xa1, 1 },
		{ 0x21, 0xff }, { 0xa1, 0xff },
	};

	for (unsigned i = 0; i < MV_ARRAY_SIZE(init); i++)
		mv_out8(init[i][0], init[i][1]);
}

void interrupts_setup(void)
{
	struct mv_table_register idtr;

	map_controllers();
	mv_at_cpl0(sidt0, (uintptr_t)&idtr, 0);
	memcpy(idt, (const void *)idtr.base, 32 * 16);
	for (unsigned i = 32; i < 256; i++)
		gate(i, (uintptr_t)interrupt_entries + 16 * (i - 32));
	idtr.limit = sizeof(idt) - 1;
	idtr.base = (uintptr_t)idt;
	mv_at_cpl0(lidt0, (uintptr_t)&idtr, 0);
	pic_init();
}

void apic_setup(void)
{
	apic_write(APIC_SVR, 0x100 | VECTOR_SPURIOUS);
	apic_write(0x80, 0);
}

static bool always(void)
{
	return true;
}

/* ---- registers of the controllers */

static const uint16_t apic_regs[] = {
	0x20, 0x30, 0x80, 0xd0, 0xe0, 0xf0, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x3e0,
};
static uint32_t apic_value[MV_ARRAY_SIZE(apic_regs)];

static void lapic_arm(unsigned n)
{
	apic_write(0xd0, (n & 0xff) << 24);
	apic_write(0xe0, n & 1 ? 0xffffffff : 0x0fffffff);
	apic_write(0x330, LVT_MASKED | 0x60 | (n & 7));
	apic_write(0x340, LVT_MASKED | 0x68 | (n & 7));
	apic_write(0x350, LVT_MASKED | 0x700);
	apic_write(0x360, LVT_MASKED | 0x400);
	apic_write(0x370, 0x70 | (n & 7));
	for (unsigned i = 0; i < MV_ARRAY_SIZE(apic_regs); i++)
		apic_value[i] = apic_read(apic_regs[i]);
}

static void lapic_check(unsigned n)
{
	(void)n;
	/* The timer's own registers belong to the items that use it. */
	for (unsigned i = 0; i < MV_ARRAY_SIZE(apic_regs); i++)
		if (apic_regs[i] != APIC_LVTT && apic_regs[i] != APIC_TMICT && apic_regs[i] != APIC_TDCR)
			expect_value("a register", (uint64_t)apic_regs[i] << 32 | apic_read(apic_regs[i]),
				     (uint64_t)apic_regs[i] << 32 | apic_value[i]);
}

const struct item lapic_item = { "local APIC", always, lapic_arm, lapic_check };

#define IOAPIC_PIT 0		/* KVM wires GSIs straight through */

static void ioapic_arm(unsigned n)
{
	for (unsigned i = 3; i < 24; i++) {
		ioapic_write(0x10 + 2 * i, LVT_MASKED | (i & 1 ? 0xa000 : 0) | (0x80 + i));
		ioapic_write(0x11 + 2 * i, (uint32_t)(pattern(i, n) & 0xff) << 24);
	}
	ioapic_write(0, 0x5000000 ^ (n & 1) << 24);
}

static void ioapic_check(unsigned n)
{
	for (unsigned i = 3; i < 24; i++) {
		expect_value("an entry", ioapic_read(0x10 + 2 * i) & ~0x5000u,
			     LVT_MASKED | (i & 1 ? 0xa000 : 0) | (0x80 + i));
		expect_value("a destination", ioapic_read(0x11 + 2 * i),
			     (uint32_t)(pattern(i, n) & 0xff) << 24);
	}
	expect_value("its ID", ioapic_read(0), 0x5000000 ^ (n & 1) << 24);
}

const struct item ioapic_item = { "IOAPIC", always, ioapic_arm, ioapic_check };

static void pic_arm(unsigned n)
{
	mv_out8(0x21, 0xff ^ (uint8_t)(n & 0x8));
	mv_out8(0xa1, 0xff ^ (uint8_t)(n & 0x40));
	mv_out8(0x4d0, (uint8_t)(n << 4 & 0xa0));
	mv_out8(0x4d1, (uint8_t)(n << 3 & 0x0e));
}

static void pic_check(unsigned n)
{
	expect_value("master's mask", mv_in8(0x21), 0xff ^ (n & 0x8));
	expect_value("slave's mask", mv_in8(0xa1), 0xff ^ (n & 0x40));
	expect_value("master's ELCR", mv_in8(0x4d0), n << 4 & 0xa0);
	expect_value("slave's ELCR", mv_in8(0x4d1), n << 3 & 0x0e);
}

const struct item pic_item = { "PICs", always, pic_arm, pic_check };

/* ---- the PIT: channel 0 ticks by the IOAPIC, channel 2 is half read out */

static uint64_t pit_before;
static uint8_t latched_low;

static bool pit_setup(void)
{
	ioapic_write(0x11 + 2 * IOAPIC_PIT, 0);
	ioapic_write(0x10 + 2 * IOAPIC_PIT, VECTOR_PIT);
	mv_out8(0x43, 0x34);		/* channel 0, both bytes, rate generator */
	mv_out8(0x40, 11932 & 0xff);	/* 100 Hz */
	mv_out8(0x40, 11932 >> 8);
	return true;
}

static void pit_arm(unsigned n)
{
	mv_out8(0x61, 1);
	mv_out8(0x43, n & 1 ? 0xb6 : 0xb4);	/* channel 2, square wave or rate */
	mv_out8(0x42, (uint8_t)n);
	mv_out8(0x42, 0x80);
	mv_out8(0x43, 0x80);		/* latch; the other half is read behind the sync point */
	latched_low = mv_in8(0x42);
	(void)latched_low;
	pit_before = interrupt_count[0][VECTOR_PIT];
}

static void pit_check(unsigned n)
{
	uint8_t high = mv_in8(0x42);

	if (high > 0x80)
		expect_value("a latched count, at most", high, 0x80);
	mv_out8(0x43, 0xe8);		/* status of channel 2 */
	expect_value("mode of channel 2", mv_in8(0x42) & 0x3f, n & 1 ? 0x36 : 0x34);
	mv_out8(0x43, 0xe2);
	expect_value("mode of channel 0", mv_in8(0x40) & 0x3f, 0x34);
	expect_value("gate of channel 2", mv_in8(0x61) & 1, 1);
	interrupts(true);
	if (!await_interrupt(0, VECTOR_PIT, pit_before))
		wrong("no tick");
	interrupts(false);
}

const struct item pit_item = { "PIT", pit_setup, pit_arm, pit_check };

/* ---- an interrupt that waits because the guest does not let it in */

static uint64_t pending_before;

static void pending_arm(unsigned n)
{
	(void)n;
	pending_before = interrupt_count[0][VECTOR_SELF];
	apic_write(0x310, 0);
	apic_write(APIC_ICR, 0x40000 | VECTOR_SELF);
}

static void pending_check(unsigned n)
{
	(void)n;
	if (interrupt_count[0][VECTOR_SELF] != pending_before)
		wrong("it came with interrupts off");
	if (!(apic_read(0x200 + VECTOR_SELF / 32 * 16) >> VECTOR_SELF % 32 & 1))
		wrong("its bit in IRR");
	interrupts(true);
	if (!await_interrupt(0, VECTOR_SELF, pending_before))
		wrong("it never came");
	interrupts(false);
	expect_value("times it came", interrupt_count[0][VECTOR_SELF], pending_before + 1);
}

const struct item pending_item = { "a pending interrupt", always, pending_arm, pending_check };

/* ---- the APIC's timer: one mode a cycle, so that each finds the timer free */

enum { ONESHOT, PERIODIC, DEADLINE, NMODES };

static uint64_t timer_before;
static bool deadline_there;

static bool my_turn(unsigned n, unsigned mode)
{
	return n % (deadline_there ? NMODES : 2) == mode;
}

static void timer_start(uint32_t mode, uint32_t count)
{
	timer_before = interrupt_count[0][VECTOR_TIMER];
	apic_write(APIC_TDCR, 0xa);		/* divide by 128 */
	apic_write(APIC_LVTT, mode | VECTOR_TIMER);
	if (count)
		apic_write(APIC_TMICT, count);
}

static void timer_expect(unsigned times, uint32_t mode, uint32_t count)
{
	uint64_t before = timer_before;

	expect_value("the timer's entry", apic_read(APIC_LVTT), mode | VECTOR_TIMER);
	expect_value("its initial count", apic_read(APIC_TMICT), count);
	if (count)
		expect_value("its divider", apic_read(APIC_TDCR), 0xa);
	interrupts(true);
	for (unsigned i = 0; i < times; i++) {
		if (!await_interrupt(0, VECTOR_TIMER, before)) {
			expect_value("ticks", interrupt_count[0][VECTOR_TIMER], timer_before + times);
			break;
		}
		before = interrupt_count[0][VECTOR_TIMER];
	}
	interrupts(false);
	apic_write(APIC_LVTT, LVT_MASKED | VECTOR_TIMER);
	apic_write(APIC_TMICT, 0);
}

/* 128 ns a count: 2.5 ms; long enough to expire while the machine does not run. */
#define COUNT 20000

static void oneshot_arm(unsigned n)
{
	if (my_turn(n, ONESHOT))
		timer_start(0, COUNT);
}

static void oneshot_check(unsigned n)
{
	if (!my_turn(n, ONESHOT))
		return;
	timer_expect(1, 0, COUNT);
	expect_value("ticks of a one-shot", interrupt_count[0][VECTOR_TIMER], timer_before + 1);
}

const struct item oneshot_item = { "timer, one-shot", always, oneshot_arm, oneshot_check };

static void periodic_arm(unsigned n)
{
	if (my_turn(n, PERIODIC))
		timer_start(LVT_PERIODIC, COUNT);
}

static void periodic_check(unsigned n)
{
	if (my_turn(n, PERIODIC))
		timer_expect(3, LVT_PERIODIC, COUNT);
}

const struct item periodic_item = { "timer, periodic", always, periodic_arm, periodic_check };

static bool deadline_setup(void)
{
	deadline_there = mv_cpuid(1, 0).ecx >> 24 & 1;
	return deadline_there;
}

/* In turn: one in the future, one that passes while the machine is saved, and none. */
static void deadline_arm(unsigned n)
{
	static const uint64_t ahead[] = { 20000000, 100000, 0 };
	unsigned which = n / NMODES % 3;

	if (!my_turn(n, DEADLINE))
		return;
	timer_start(LVT_DEADLINE, 0);
	if (!write_msr(MSR_TSC_DEADLINE, ahead[which] ? rdtsc() + ahead[which] : 0))
		wrong("the MSR");
}

static void deadline_check(unsigned n)
{
	uint64_t left = 1;

	if (!my_turn(n, DEADLINE))
		return;
	if (n / NMODES % 3 == 2) {
		if (!read_msr(MSR_TSC_DEADLINE, &left))
			wrong("the MSR");
		expect_value("a deadline that was never set", left, 0);
		timer_expect(0, LVT_DEADLINE, 0);
		return;
	}
	timer_expect(1, LVT_DEADLINE, 0);
	expect_value("deadlines met", interrupt_count[0][VECTOR_TIMER], timer_before + 1);
}

const struct item deadline_item = { "timer, deadline", deadline_setup, deadline_arm, deadline_check };

/* ---- HLT: woken by the PIT, behind every sync point */

static void halt_arm(unsigned n)
{
	(void)n;
}

static void halt_check(unsigned n)
{
	uint64_t before = interrupt_count[0][VECTOR_PIT];

	(void)n;
	for (int i = 0; i < 100 && interrupt_count[0][VECTOR_PIT] == before; i++)
		mv_at_cpl0(halt_once, 0, 0);
	if (interrupt_count[0][VECTOR_PIT] == before)
		wrong("nothing wakes it");
}

static bool halt_setup(void)
{
	return interrupt_count[0][VECTOR_PIT] || pit_setup();
}

const struct item halt_item = { "HLT", halt_setup, halt_arm, halt_check };

/* ---- serial port and RTC */

#define LOOPED "saved"

static void serial_arm(unsigned n)
{
	mv_out8(MV_PORT_SERIAL + 7, (uint8_t)pattern(60, n));
	mv_out8(MV_PORT_SERIAL + 3, 0x9b);
	mv_out8(MV_PORT_SERIAL, (uint8_t)(n | 1));
	mv_out8(MV_PORT_SERIAL + 1, (uint8_t)(n >> 1));
	mv_out8(MV_PORT_SERIAL + 3, n & 1 ? 0x1b : 0x03);
	mv_out8(MV_PORT_SERIAL + 2, 0xc7);
	/* Bytes that nobody has read yet, sent to itself. */
	mv_out8(MV_PORT_SERIAL + 4, 0x1b);
	for (const char *p = LOOPED; *p; p++)
		mv_out8(MV_PORT_SERIAL, (uint8_t)*p);
}

static void serial_check(unsigned n)
{
	char got[sizeof(LOOPED)] = "";
	uint8_t mcr, dll, dlm, lcr;
	size_t i;

	/* Nothing can be printed before the end of this. */
	mcr = mv_in8(MV_PORT_SERIAL + 4);
	for (i = 0; i < sizeof(LOOPED) - 1 && mv_in8(MV_PORT_SERIAL + 5) & 1; i++)
		got[i] = (char)mv_in8(MV_PORT_SERIAL);
	mv_out8(MV_PORT_SERIAL + 4, 0x03);
	lcr = mv_in8(MV_PORT_SERIAL + 3);
	mv_out8(MV_PORT_SERIAL + 3, 0x83);
	dll = mv_in8(MV_PORT_SERIAL);
	dlm = mv_in8(MV_PORT_SERIAL + 1);
	mv_out8(MV_PORT_SERIAL + 3, 0x03);

	if (memcmp(got, LOOPED, sizeof(LOOPED)))
		wrong("bytes in its FIFO");
	expect_value("MCR", mcr & 0x1f, 0x1b);
	expect_value("LCR", lcr, n & 1 ? 0x1b : 0x03);
	expect_value("DLL", dll, (uint8_t)(n | 1));
	expect_value("DLM", dlm, (uint8_t)(n >> 1));
	expect_value("FIFOs", mv_in8(MV_PORT_SERIAL + 2) & 0xc0, 0xc0);
	expect_value("scratch", mv_in8(MV_PORT_SERIAL + 7), (uint8_t)pattern(60, n));
}

const struct item serial_item = { "serial port", always, serial_arm, serial_check };

static void rtc_arm(unsigned n)
{
	mv_out8(0x70, 0x0b);
	mv_out8(0x71, n & 1 ? 0x02 : 0x06);
	/* Register B stays chosen. */
}

static void rtc_check(unsigned n)
{
	expect_value("register B", mv_in8(0x71), n & 1 ? 0x02 : 0x06);
}

const struct item rtc_item = { "RTC", always, rtc_arm, rtc_check };
