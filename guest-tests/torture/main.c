/* SPDX-License-Identifier: MIT */
/*
 * torture: words cycles=N (10), cpus=N (1), only=ITEM (its blanks as underscores).
 * Ends with 0, or with 1 if anything was lost.
 */
#include "probes.h"
#include "torture.h"

uint64_t sync_point(uint64_t regs[16], void *in, void *out, uint64_t mask);
uint64_t frame_if(uint64_t on, uint64_t unused);
extern const uint8_t code_rdmsr[], code_wrmsr[];

unsigned ncpus = 1;

/* Armed in this order and checked in the other one: findings can't be printed before the serial port
 * is back. */
static const struct item *const items[] = {
	&control_item, &segment_item, &msr_item, &lapic_item, &ioapic_item, &pic_item, &pit_item,
	&rtc_item, &smp_item, &clock_item, &halt_item, &oneshot_item, &periodic_item, &deadline_item,
	&pending_item, &debug_item, &pkru_item, &vector_item, &gpr_item, &serial_item,
};

static const struct item *current;
static unsigned cycle, findings;
static bool present[MV_ARRAY_SIZE(items)];

void wrong(const char *what)
{
	findings++;
	mv_printf("torture: cycle %u: LOST %s: %s\n", cycle, current->name, what);
}

void expect_value(const char *what, uint64_t got, uint64_t want)
{
	if (got == want)
		return;
	findings++;
	mv_printf("torture: cycle %u: LOST %s: %s is 0x%lx, was 0x%lx\n", cycle, current->name, what,
		  got, want);
}

uint64_t pattern(unsigned place, unsigned n)
{
	uint64_t x = (place + 1) * 0x9e3779b97f4a7c15ull + n * 0xd1b54a32d192ed03ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	return x ^ x >> 31;
}

bool read_msr(uint32_t index, uint64_t *value)
{
	struct mv_exec_regs r = { .rcx = index };

	if (mv_exec(0, code_rdmsr, &r, true) != MV_NO_VECTOR)
		return false;
	*value = r.rax;
	return true;
}

bool write_msr(uint32_t index, uint64_t value)
{
	struct mv_exec_regs r = { .rcx = index, .rax = value & 0xffffffff, .rdx = value >> 32 };

	return mv_exec(0, code_wrmsr, &r, true) == MV_NO_VECTOR;
}

void interrupts(bool on)
{
	mv_at_cpl0(frame_if, on, 0);
}

/* ---- general and vector registers: what the sync point itself carries */

static uint64_t regs[16], regs_before[16];
static uint8_t area[MAX_XSAVE] __attribute__((aligned(64)));
static uint8_t area_after[MAX_XSAVE] __attribute__((aligned(64)));
static uint64_t xsave_mask;

#define COMPONENTS 20
static struct {
	uint32_t offset, size;
} component[COMPONENTS];

#define FLAGS_TRIED 0x8d5	/* OF SF ZF AF PF CF */
#define FLAGS_DF 0x400

static bool gpr_setup(void)
{
	return true;
}

static void gpr_arm(unsigned n)
{
	for (unsigned i = 0; i < 16; i++)
		regs[i] = pattern(i, n);
	regs[0] = (regs[0] & ~0xffull) | 1;	/* the sync point's number */
	/* An interrupt may come while the registers are full, every other time. */
	regs[4] = (pattern(4, n) & (FLAGS_TRIED | FLAGS_DF)) | 0x3002;
	memcpy(regs_before, regs, sizeof(regs));
}

static void gpr_check(unsigned n)
{
	static const char names[16][8] = {
		"RAX", "RCX", "RDX", "RBX", "RFLAGS", "RBP", "RSI", "RDI",
		"R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
	};

	(void)n;
	for (unsigned i = 0; i < 16; i++) {
		uint64_t care = i == 4 ? FLAGS_TRIED | FLAGS_DF : ~0ull;

		expect_value(names[i], regs[i] & care, regs_before[i] & care);
	}
}

const struct item gpr_item = { "general registers", gpr_setup, gpr_arm, gpr_check };

#define XCR0_AMX 0x60000u

static uint64_t current_xcr0(void)
{
	uint32_t lo, hi;

	__asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

/* Every component that the machine switches on, but tiles, which need a permission of their own. */
static bool vector_setup(void)
{
	struct mv_cpuid c = mv_cpuid(1, 0);

	component[0].size = 160;		/* x87: the header, and eight registers */
	component[1].offset = 160;
	component[1].size = 256;		/* XMM */
	if (!(c.ecx & 1u << 27))
		return true;
	xsave_mask = current_xcr0() & ~(uint64_t)XCR0_AMX;
	/* SVM under QEMU's TCG loses XCR0 (see controls.c); FXSAVE does not ask it. */
	if (!(xsave_mask & 2)) {
		xsave_mask = 0;
		return true;
	}
	for (unsigned i = 2; i < COMPONENTS; i++) {
		if (!(xsave_mask >> i & 1))
			continue;
		c = mv_cpuid(0xd, i);
		if (c.eax + c.ebx > MAX_XSAVE) {
			xsave_mask &= ~(1ull << i);
			continue;
		}
		component[i].size = c.eax;
		component[i].offset = c.ebx;
	}
	return true;
}

static void vector_arm(unsigned n)
{
	memset(area, 0, sizeof(area));
	for (unsigned i = 0; i < MAX_XSAVE / 8; i++)
		((uint64_t *)area)[i] = pattern(1000 + i, n);
	/* x87 control, status with TOP, abridged tags, last opcode and pointers; then MXCSR. */
	memset(area, 0, 32);
	*(uint16_t *)area = 0x037f ^ (uint16_t)((n & 3) << 10);
	*(uint16_t *)(area + 2) = (uint16_t)((n & 7) << 11);
	area[4] = 0xff;
	*(uint32_t *)(area + 24) = 0x1f80 ^ (n & 3) << 13;
	for (unsigned i = 0; i < 8; i++) {
		/* A normal number: an exponent in range, the leading bit set. */
		uint8_t *st = area + 32 + 16 * i;

		st[7] |= 0x80;
		*(uint16_t *)(st + 8) = (uint16_t)(0x3fff + (pattern(i, n) & 0xff));
		memset(st + 10, 0, 6);
	}
	memset(area + 416, 0, 160);
	if (xsave_mask)
		*(uint64_t *)(area + 512) = xsave_mask;
	/* Bounds and PKRU are not to keep the guest from its own memory. */
	if (component[3].size)
		memset(area + component[3].offset, 0, component[3].size);
	if (component[4].size)
		memset(area + component[4].offset, 0, component[4].size);
	if (component[9].size) {
		memset(area + component[9].offset, 0, component[9].size);
		*(uint32_t *)(area + component[9].offset) = pkru_pattern(n);
	}
	memset(area_after, 0, sizeof(area_after));
}

static void vector_check(unsigned n)
{
	static const char names[COMPONENTS][12] = {
		"x87", "XMM", "YMM", "BNDREGS", "BNDCSR", "opmask", "ZMM_Hi256", "Hi16_ZMM", "PT",
		"PKRU", "PASID", "CET_U", "CET_S", "HDC", "UINTR", "LBR", "HWP", "TILECFG", "TILE",
		"APX",
	};

	(void)n;
	/* Pointers to the last x87 instruction are not kept by all CPUs. */
	memset(area + 6, 0, 18);
	memset(area_after + 6, 0, 18);
	*(uint32_t *)(area_after + 28) = 0;	/* MXCSR_MASK */
	for (unsigned i = 0; i < COMPONENTS; i++) {
		const uint8_t *a = area + component[i].offset, *b = area_after + component[i].offset;

		for (uint32_t k = 0; k < component[i].size; k++) {
			if (a[k] != b[k]) {
				mv_printf("torture: %s byte %u: 0x%x, was 0x%x\n", names[i], k, b[k],
					  a[k]);
				wrong(names[i]);
				break;
			}
		}
	}
}

const struct item vector_item = { "vector registers", vector_setup, vector_arm, vector_check };

/* ---- the cycles */

static void run_cycle(void)
{
	for (unsigned i = 0; i < MV_ARRAY_SIZE(items); i++) {
		current = items[i];
		if (present[i])
			current->arm(cycle);
	}
	sync_point(regs, area, area_after, xsave_mask);
	for (unsigned i = MV_ARRAY_SIZE(items); i--;) {
		current = items[i];
		if (present[i])
			current->check(cycle);
	}
}

int main(void)
{
	unsigned cycles = (unsigned)mv_word_number("cycles", 10);
	struct mv_controls controls;
	char only[32];

	ncpus = (unsigned)mv_word_number("cpus", 1);
	if (ncpus > MAX_CPUS)
		ncpus = MAX_CPUS;
	mv_word_copy("only", only, sizeof(only), "");
	mv_controls_setup(&controls, false, false);
	interrupts_setup();
	smp_start();
	for (unsigned i = 0; i < MV_ARRAY_SIZE(items); i++) {
		bool always = items[i] == &gpr_item || items[i] == &vector_item;

		current = items[i];
		if (*only && !always && !mv_name_equal(only, items[i]->name))
			continue;
		present[i] = items[i]->setup();
		mv_printf("torture: %s: %s\n", items[i]->name, present[i] ? "tried" : "not there");
	}
	if (xsave_mask)
		mv_printf("torture: XCR0 0x%lx\n", xsave_mask);
	for (cycle = 1; cycle <= cycles; cycle++) {
		run_cycle();
		mv_printf("torture: cycle %u done, %u lost\n", cycle, findings);
	}
	mv_printf("torture: %u cycles, %u lost in all\n", cycles, findings);
	return findings ? 1 : 0;
}
