/* SPDX-License-Identifier: MIT */
/* Each CPU reads CPUID by itself: see cpus.h. One CPU at a time does something, so all share this file's data. */
#include "cpus.h"

#include "smp.h"

#define BIOS_START 0xe0000u
#define BIOS_END 0x100000u
#define MAPPED_END (1u << 30)
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_ENABLED (1u << 11)
#define APIC_BASE_X2APIC (1u << 10)
#define MADT_LOCAL_APIC 0
#define MADT_ENTRIES 44
#define MADT_CPU_ENABLED 1
#define VENDOR_AMD_EBX 0x68747541	/* "Auth" */
#define VENDOR_HYGON_EBX 0x6f677948	/* "Hygo" */

/* Their APIC ids, as the MADT lists them. */
static uint8_t ids[256];
static unsigned listed;

/* ------------------------------------------------------------------ which CPUs there are */

static uint32_t word_at(uint32_t address)
{
	uint32_t v;

	memcpy(&v, (const void *)(uintptr_t)address, sizeof(v));
	return v;
}

static uint8_t byte_at(uint32_t address)
{
	return *(const uint8_t *)(uintptr_t)address;
}

static bool adds_up(uint32_t address, uint32_t n)
{
	uint8_t sum = 0;

	if (address >= MAPPED_END || n > MAPPED_END - address)
		return false;
	for (uint32_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + byte_at(address + i));
	return !sum;
}

/* The ACPI 1.0 part of it is enough; 0 if there is none (ACPI 6.5, 5.2.5). */
static uint32_t find_rsdp(void)
{
	for (uint32_t at = BIOS_START; at < BIOS_END; at += 16) {
		if (!memcmp((const void *)(uintptr_t)at, "RSD PTR ", 8) && adds_up(at, 20))
			return at;
	}
	return 0;
}

/* The MADT's address by the XSDT or, before ACPI 2.0, the RSDT; 0 if there is none. */
static uint32_t find_madt(void)
{
	uint32_t rsdp = find_rsdp(), root, step = 4;

	if (!rsdp)
		return 0;
	root = word_at(rsdp + 16);
	if (byte_at(rsdp + 15) >= 2 && word_at(rsdp + 24) && !word_at(rsdp + 28)) {
		root = word_at(rsdp + 24);
		step = 8;
	}
	if (root >= MAPPED_END - 8 || !adds_up(root, word_at(root + 4)))
		return 0;
	for (uint32_t at = root + 36; at + step <= root + word_at(root + 4); at += step) {
		uint32_t table = word_at(at);

		if (table < MAPPED_END - 8 && !memcmp((const void *)(uintptr_t)table, "APIC", 4))
			return adds_up(table, word_at(table + 4)) ? table : 0;
	}
	return 0;
}

unsigned mv_cpus_listed(void)
{
	uint32_t madt = find_madt(), end = madt ? madt + word_at(madt + 4) : 0;

	listed = 0;
	for (uint32_t at = madt + MADT_ENTRIES; at + 8 <= end && byte_at(at + 1); at += byte_at(at + 1)) {
		if (byte_at(at) == MADT_LOCAL_APIC && word_at(at + 4) & MADT_CPU_ENABLED &&
		    listed < MV_ARRAY_SIZE(ids))
			ids[listed++] = byte_at(at + 3);
	}
	return listed ? listed : 1;
}

/* The one that runs this is CPU 0. */
static void put_own_first(void)
{
	uint32_t id = mv_apic_id();

	for (unsigned i = 1; i < listed; i++) {
		if (ids[i] == id) {
			ids[i] = ids[0];
			ids[0] = (uint8_t)id;
		}
	}
}

/* ------------------------------------------------------------------ what a CPU is to say of itself */

static const struct mv_cpus *look;
static unsigned number, differ;

static void other_number(const char *what, uint64_t got, uint64_t expected)
{
	if (got == expected)
		return;
	mv_printf("cpu-diff: cpu %u: %s 0x%lx, expected 0x%lx\n", number, what, got, expected);
	differ++;
}

static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

struct expected {
	uint32_t leaf, subleaf, reg, bits, value;
	bool told, own;		/* by this vendor's CPUs; by each CPU in its own way */
};

static void expect_bits(const struct mv_leaves *l, uint32_t i, const struct expected *x)
{
	uint32_t want = x->value << __builtin_ctz(x->bits);

	for (unsigned level = 0; level < MV_LEVELS; level++) {
		const uint32_t *reg = l->e[i].reg[level];

		/* A leaf of zeros is not there. */
		if (!((reg[x->reg] ^ want) & x->bits) || !(reg[0] | reg[1] | reg[2]))
			continue;
		mv_printf("cpu-diff: cpu %u: ", number);
		mv_leaves_print_diff(level, x->leaf, x->subleaf, x->reg, want, reg[x->reg] & x->bits,
				     ~x->bits);
		differ++;
	}
}

/* What all CPUs are to say alike is looked at on CPU 0. */
static void check_topology(const struct mv_leaves *l, unsigned cores, unsigned threads)
{
	unsigned n = cores * threads;	/* of a socket */
	uint32_t vendor = mv_cpuid(0, 0).ebx;
	bool amd = vendor == VENDOR_AMD_EBX || vendor == VENDOR_HYGON_EBX;
	const struct expected rows[] = {
		{ 0x1, 0, 1, 0x00ff0000, n > 255 ? 255 : n, true, false },
		{ 0x1, 0, 3, 1u << 28, n > 1, true, false },		/* HTT */
		{ 0x4, 0, 0, 0xfc000000, cores > 64 ? 63 : cores - 1, !amd, false },
		{ 0x4, 0, 0, 0x03ffc000, threads - 1, !amd, false },
		{ 0xb, 0, 0, 0x0000001f, bits_for(threads), true, false },
		{ 0xb, 0, 1, 0x0000ffff, threads, true, false },
		{ 0xb, 1, 0, 0x0000001f, bits_for(n), true, false },
		{ 0xb, 1, 1, 0x0000ffff, n, true, false },
		{ 0x80000008, 0, 2, 0x000000ff, n - 1, amd, false },
		{ 0x8000001d, 0, 0, 0x03ffc000, threads - 1, amd, false },
		{ 0x8000001e, 0, 1, 0x000000ff, number % n / threads, amd, true },
		{ 0x8000001e, 0, 1, 0x0000ff00, threads - 1, amd, false },
		{ 0x8000001e, 0, 2, 0x000000ff, number / n, amd, true },
	};

	for (uint32_t i = 0; i < l->count; i++) {
		for (size_t k = 0; k < MV_ARRAY_SIZE(rows); k++) {
			if (l->e[i].leaf == rows[k].leaf && l->e[i].subleaf == rows[k].subleaf &&
			    rows[k].told && (!number || rows[k].own))
				expect_bits(l, i, &rows[k]);
		}
	}
}

/* On CPU number, of its own leaves. */
static void check_names(const struct mv_leaves *l)
{
	other_number("its APIC has the id", mv_apic_id(), ids[number]);
	differ += mv_leaves_named(l, ids[number], number);
	if (look->minivmm) {
		other_number("ACPI gives it the APIC id", ids[number], number);
		check_topology(l, look->cores, look->threads);
	}
}

/* The rest of what there is to do on CPU number, and what it came to. */
static void finish(const struct mv_leaves *l, unsigned before)
{
	unsigned rows;

	check_names(l);
	rows = look->rows(number, &differ);
	mv_printf("cpu-check: cpu %u apic %u, %u leaves, %u instructions, %u differ\n", number,
		  ids[number], l->count, rows, differ - before);
}

/* ------------------------------------------------------------------ on each of the others */

static struct mv_cpu cpu;
static struct mv_leaves own;

static void on_cpu(struct mv_cpu *c)
{
	struct mv_controls controls;
	unsigned before = differ;

	mv_controls_setup(&controls, look->force, false);
	other_number("CR4 is", controls.cr4, look->controls->cr4);
	other_number("XCR0 is", controls.xcr0, look->controls->xcr0);
	mv_leaves_collect(&own, look->table);
	differ += mv_leaves_same(&own, look->leaves, (int)number);
	finish(&own, before);
	mv_cpu_park(c);
}

static uint64_t apic_base0(uint64_t a, uint64_t b)
{
	uint32_t lo, hi;

	(void)a;
	(void)b;
	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(MSR_APIC_BASE));
	return lo | (uint64_t)hi << 32;
}

unsigned mv_cpus_check(const struct mv_cpus *cpus)
{
	if (cpus->n < 2)
		return 0;
	if ((mv_at_cpl0(apic_base0, 0, 0) & (APIC_BASE_ENABLED | APIC_BASE_X2APIC)) != APIC_BASE_ENABLED) {
		mv_puts("probe: the APIC is off or in x2APIC mode: other CPUs can't be started\n");
		return 0;
	}
	put_own_first();
	look = cpus;
	number = 0;
	differ = 0;
	finish(cpus->leaves, 0);
	for (number = 1; number < cpus->n; number++) {
		cpu.entry = on_cpu;
		mv_cpu_init(&cpu);
		if (!mv_cpu_start(&cpu, ids[number]) || !mv_await(&cpu.parked)) {
			mv_printf("cpu-diff: cpu %u: it %s\n", number,
				  cpu.started ? "does not come to an end" : "does not start");
			differ++;
			break;
		}
	}
	return differ;
}
