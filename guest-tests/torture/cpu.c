/* SPDX-License-Identifier: MIT */
/* Control, debug and segment registers, MSRs. */
#include "torture.h"

/* ---- registers that CPL 0 alone reads */

enum { CR0, CR2, CR3, CR4, CR8, DR0, DR1, DR2, DR3, DR6, DR7, NREGISTERS };

static const char register_names[NREGISTERS][4] = {
	"CR0", "CR2", "CR3", "CR4", "CR8", "DR0", "DR1", "DR2", "DR3", "DR6", "DR7",
};

#define READ(n, reg) \
	case n: \
		__asm__ volatile("mov %%" reg ", %0" : "=r"(v)); \
		break
#define WRITE(n, reg) \
	case n: \
		__asm__ volatile("mov %0, %%" reg : : "r"(v) : "memory"); \
		break

static uint64_t get0(uint64_t n, uint64_t unused)
{
	uint64_t v = 0;

	(void)unused;
	switch (n) {
	READ(CR0, "cr0");
	READ(CR2, "cr2");
	READ(CR3, "cr3");
	READ(CR4, "cr4");
	READ(CR8, "cr8");
	READ(DR0, "db0");
	READ(DR1, "db1");
	READ(DR2, "db2");
	READ(DR3, "db3");
	READ(DR6, "db6");
	READ(DR7, "db7");
	}
	return v;
}

static uint64_t set0(uint64_t n, uint64_t v)
{
	switch (n) {
	WRITE(CR2, "cr2");
	WRITE(CR8, "cr8");
	WRITE(DR0, "db0");
	WRITE(DR1, "db1");
	WRITE(DR2, "db2");
	WRITE(DR3, "db3");
	WRITE(DR6, "db6");
	WRITE(DR7, "db7");
	}
	return 0;
}

static uint64_t value[NREGISTERS];

static void remember(unsigned first, unsigned last)
{
	for (unsigned i = first; i <= last; i++)
		value[i] = mv_at_cpl0(get0, i, 0);
}

static void compare(unsigned first, unsigned last)
{
	for (unsigned i = first; i <= last; i++)
		expect_value(register_names[i], mv_at_cpl0(get0, i, 0), value[i]);
}

static bool always(void)
{
	return true;
}

static void control_arm(unsigned cycle)
{
	mv_at_cpl0(set0, CR2, pattern(20, cycle) >> 17);
	remember(CR0, CR8);
}

static void control_check(unsigned cycle)
{
	(void)cycle;
	compare(CR0, CR8);
}

const struct item control_item = { "control registers", always, control_arm, control_check };

/* Breakpoints on addresses that nobody touches, and a DR6 that tells of an old one. */
static void debug_arm(unsigned cycle)
{
	for (unsigned i = 0; i < 4; i++)
		mv_at_cpl0(set0, DR0 + i, (pattern(30 + i, cycle) >> 20 & ~7ull) | 1ull << 40);
	mv_at_cpl0(set0, DR6, 0xffff0ff0 | (cycle & 0xf));
	mv_at_cpl0(set0, DR7, cycle & 1 ? 0xd99d04aa : 0x455d0455);
	remember(DR0, DR7);
}

static void debug_check(unsigned cycle)
{
	(void)cycle;
	compare(DR0, DR7);
	mv_at_cpl0(set0, DR7, 0x400);
}

const struct item debug_item = { "debug registers", always, debug_arm, debug_check };

/* ---- protection keys: also without XSAVE's knowing of them */

uint32_t pkru_pattern(unsigned cycle)
{
	return 0x55555554 ^ (cycle & 1 ? 0xaaaaaaa8 : 0);
}

/* CR4.PKE is on if this is. */
static bool pkru_setup(void)
{
	return mv_cpuid(0, 0).eax >= 7 && mv_cpuid(7, 0).ecx & 1u << 4;
}

static void pkru_arm(unsigned cycle)
{
	__asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"(pkru_pattern(cycle)), "c"(0), "d"(0) : "memory");
}

static void pkru_check(unsigned cycle)
{
	uint32_t now, zero;

	__asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(now), "=d"(zero) : "c"(0));
	expect_value("PKRU", now, pkru_pattern(cycle));
	expect_value("EDX of RDPKRU", zero, 0);
}

const struct item pkru_item = { "protection keys", pkru_setup, pkru_arm, pkru_check };

/* ---- segments */

static struct segments {
	uint8_t gdt[16], idt[16];
	uint64_t ldt, tr, cs, ss, ds, es, fs, gs;
} segments;

static uint64_t tables0(uint64_t to, uint64_t unused)
{
	struct segments *s = (struct segments *)to;

	(void)unused;
	__asm__ volatile("sgdt %0" : "=m"(s->gdt));
	__asm__ volatile("sidt %0" : "=m"(s->idt));
	__asm__ volatile("sldt %0" : "=r"(s->ldt));
	__asm__ volatile("str %0" : "=r"(s->tr));
	return 0;
}

static void segments_read(struct segments *s)
{
	memset(s, 0, sizeof(*s));
	mv_at_cpl0(tables0, (uintptr_t)s, 0);
	__asm__ volatile("mov %%cs, %0" : "=r"(s->cs));
	__asm__ volatile("mov %%ss, %0" : "=r"(s->ss));
	__asm__ volatile("mov %%ds, %0" : "=r"(s->ds));
	__asm__ volatile("mov %%es, %0" : "=r"(s->es));
	__asm__ volatile("mov %%fs, %0" : "=r"(s->fs));
	__asm__ volatile("mov %%gs, %0" : "=r"(s->gs));
}

static void segment_arm(unsigned cycle)
{
	(void)cycle;
	segments_read(&segments);
}

static void segment_check(unsigned cycle)
{
	struct segments now;

	(void)cycle;
	segments_read(&now);
	if (memcmp(now.gdt, segments.gdt, 10))
		wrong("GDTR");
	if (memcmp(now.idt, segments.idt, 10))
		wrong("IDTR");
	expect_value("LDTR", now.ldt & 0xffff, segments.ldt & 0xffff);
	expect_value("TR", now.tr & 0xffff, segments.tr & 0xffff);
	expect_value("CS", now.cs, segments.cs);
	expect_value("SS", now.ss, segments.ss);
	expect_value("DS", now.ds, segments.ds);
	expect_value("ES", now.es, segments.es);
	expect_value("FS", now.fs, segments.fs);
	expect_value("GS", now.gs, segments.gs);
}

const struct item segment_item = { "segments", always, segment_arm, segment_check };

/* ---- MSRs */

/* What is written: fixed, because reserved bits are many; flip changes from cycle to cycle. */
static struct msr {
	uint32_t index;
	const char *name;
	uint64_t value, flip;
	uint64_t expect;
	bool there;
} msrs[] = {
	{ 0xc0000080, "EFER", 0x501, 0x800, 0, false },
	{ 0xc0000081, "STAR", 0x0023001000000000, 0x12345678, 0, false },
	{ 0xc0000082, "LSTAR", 0x00007f0012345670, 0xfff000, 0, false },
	{ 0xc0000083, "CSTAR", 0x00007f0087654320, 0xfff000, 0, false },
	{ 0xc0000084, "SFMASK", 0x47700, 0x80, 0, false },
	{ 0xc0000100, "FS_BASE", 0x00007e1234567890, 0xff0, 0, false },
	{ 0xc0000101, "GS_BASE", 0x00007d1234567890, 0xff0, 0, false },
	{ 0xc0000102, "KERNEL_GS_BASE", 0x00007c1234567890, 0xff0, 0, false },
	{ 0xc0000103, "TSC_AUX", 0x5a5a, 0xffff, 0, false },
	/* 32 bits: an AMD CPU has no SYSENTER in long mode, and KVM keeps no more there. */
	{ 0x174, "SYSENTER_CS", 0x10, 0x20, 0, false },
	{ 0x175, "SYSENTER_ESP", 0x12345670, 0xff0, 0, false },
	{ 0x176, "SYSENTER_EIP", 0x23456780, 0xff0, 0, false },
	{ 0x277, "PAT", 0x0007010600070106, 0x0001000000010000, 0, false },
	{ 0x200, "MTRR_PHYSBASE0", 0x40000006, 0x80000000, 0, false },
	{ 0x201, "MTRR_PHYSMASK0", 0xfc0000800, 0x400, 0, false },
	{ 0x20e, "MTRR_PHYSBASE7", 0x50000001, 0x80000000, 0, false },
	{ 0x20f, "MTRR_PHYSMASK7", 0xff0000000, 0x800, 0, false },
	{ 0x250, "MTRR_FIX64K", 0x0606060606060606, 0x0202020202020202 << 1, 0, false },
	{ 0x259, "MTRR_FIX16K_A", 0x0606060600000000, 0x0101010100000000, 0, false },
	{ 0x26f, "MTRR_FIX4K_F8", 0x0505050505050505, 0x0101010101010101, 0, false },
	{ 0x2ff, "MTRR_DEF_TYPE", 0xc06, 0x400, 0, false },
	{ 0x1a0, "MISC_ENABLE", 0x0, 0x1, 0, false },	/* 1 at reset */
	{ 0x48, "SPEC_CTRL", 0x1, 0x4, 0, false },
	{ 0xc001011f, "VIRT_SPEC_CTRL", 0x4, 0x4, 0, false },
	{ 0x122, "TSX_CTRL", 0x1, 0x2, 0, false },
	{ 0xe1, "UMWAIT_CONTROL", 0x1000, 0x4000, 0, false },
	{ 0xda0, "XSS", 0x800, 0, 0, false },
	{ 0x140, "MISC_FEATURES", 0x0, 0x1, 0, false },
	{ 0x6a0, "U_CET", 0x1, 0x2, 0, false },
	{ 0x6a2, "S_CET", 0x1, 0x2, 0, false },
	{ 0x6a4, "PL0_SSP", 0x00001000, 0x2000, 0, false },
	{ 0x17a, "MCG_STATUS", 0x4, 0x1, 0, false },
	{ 0x17b, "MCG_CTL", ~0ull, 0, 0, false },
	{ 0x400, "MC0_CTL", ~0ull, 0, 0, false },
	{ 0x41c, "MC7_CTL", 0, ~0ull, 0, false },
	{ 0xc0010015, "HWCR", 0x0, 0x01000000, 0, false },
	{ 0xc0011029, "DE_CFG", 0x2, 0, 0, false },
	{ 0x4b564d02, "KVM_ASYNC_PF_EN", 0x0, 0, 0, false },
	{ 0x4b564d03, "KVM_STEAL_TIME", 0x700001, 0x40, 0, false },
	{ 0x4b564d04, "KVM_PV_EOI", 0x700100, 0, 0, false },
	{ 0x4b564d05, "KVM_POLL_CONTROL", 0x0, 0x1, 0, false },
	{ 0x4b564d06, "KVM_ASYNC_PF_INT", 0x61, 0x2, 0, false },
	{ 0x4b564d08, "KVM_MIGRATION", 0x1, 0, 0, false },
	{ 0x1b, "APIC_BASE", 0xfee00900, 0, 0, false },
	{ 0x1d9, "DEBUGCTL", 0x0, 0x1, 0, false },
};

static bool msr_setup(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MV_ARRAY_SIZE(msrs); i++) {
		struct msr *m = &msrs[i];
		uint64_t old;

		if (!read_msr(m->index, &old) || !write_msr(m->index, m->value))
			continue;
		m->there = true;
		n++;
		mv_printf("torture: MSR %s\n", m->name);
	}
	return n > 0;
}

static void msr_arm(unsigned cycle)
{
	for (unsigned i = 0; i < MV_ARRAY_SIZE(msrs); i++) {
		struct msr *m = &msrs[i];

		if (!m->there)
			continue;
		write_msr(m->index, cycle & 1 ? m->value ^ m->flip : m->value);
		if (!read_msr(m->index, &m->expect))
			wrong(m->name);
	}
}

static void msr_check(unsigned cycle)
{
	uint64_t now;

	(void)cycle;
	for (unsigned i = 0; i < MV_ARRAY_SIZE(msrs); i++) {
		if (!msrs[i].there)
			continue;
		if (!read_msr(msrs[i].index, &now))
			wrong(msrs[i].name);
		else
			expect_value(msrs[i].name, now, msrs[i].expect);
	}
}

const struct item msr_item = { "MSRs", msr_setup, msr_arm, msr_check };
