/* SPDX-License-Identifier: MIT */
/* More than one CPU: tables, start, and clocks that must not run backwards on any of them. */
#include "torture.h"

#define GDT_LDT 10

struct cpu cpus[MAX_CPUS];
uint64_t own_tables(uint64_t c, uint64_t unused);
uint64_t halt_once(uint64_t a, uint64_t b);
static void ap_rounds(struct mv_cpu *own);

void smp_start(void)
{
	static const uint64_t ldt[2];

	for (unsigned i = 0; i < ncpus; i++) {
		cpus[i].id = i;
		cpus[i].own.entry = ap_rounds;
		mv_cpu_init(&cpus[i].own);
		mv_descriptor(&cpus[i].own.gdt[GDT_LDT], (uintptr_t)ldt, sizeof(ldt) - 1, 0x82);
	}
	mv_at_cpl0(own_tables, (uintptr_t)&cpus[0].own, 0);
	apic_setup();
	for (unsigned i = 1; i < ncpus; i++) {
		if (!mv_cpu_start(&cpus[i].own, i)) {
			mv_printf("torture: CPU %u does not start\n", i);
			mv_exit(2);
		}
	}
}

/* ---- clocks */

struct pvclock {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
};

#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define PVCLOCK_TSC_STABLE 1

static struct pvclock pvclocks[MAX_CPUS] __attribute__((aligned(64)));
static volatile uint64_t last_tsc, last_ns;
static bool have_clock, stable = true;

/* The biggest value that was seen on any CPU; one that is below an older one went backwards. */
static void moved_on(struct cpu *c, volatile uint64_t *last, uint64_t before, uint64_t now,
		     const char *name)
{
	if (now < before) {
		c->by = before - now;
		c->clock = name;
		c->backwards++;
	}
	while (before < now &&
	       !__atomic_compare_exchange_n(last, &before, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static uint64_t read_ns(const volatile struct pvclock *p)
{
	uint32_t version;
	uint64_t delta, ns;

	do {
		version = p->version;
		__asm__ volatile("" : : : "memory");
		delta = rdtsc() - p->tsc;
		delta = p->shift < 0 ? delta >> -p->shift : delta << p->shift;
		ns = p->ns + (uint64_t)((unsigned __int128)delta * p->mul >> 32);
		__asm__ volatile("" : : : "memory");
	} while (version & 1 || version != p->version);
	return ns;
}

static uint64_t enable0(uint64_t index, uint64_t v)
{
	__asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
	return 0;
}

void clock_enable(struct cpu *c)
{
	mv_at_cpl0(enable0, MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)&pvclocks[c->id] | 1);
}

void clocks_look(struct cpu *c)
{
	uint64_t before = last_tsc;

	moved_on(c, &last_tsc, before, rdtsc(), "TSC");
	if (!have_clock || !pvclocks[c->id].version)
		return;
	stable = stable && pvclocks[c->id].flags & PVCLOCK_TSC_STABLE;
	before = last_ns;
	/* Without the flag, CPUs may differ by a little, and guests level it out. */
	if (stable)
		moved_on(c, &last_ns, before, read_ns(&pvclocks[c->id]), "kvmclock");
}

static volatile bool clock_wanted;

static bool clock_setup(void)
{
	uint64_t now;

	if (!write_msr(MSR_KVM_SYSTEM_TIME_NEW, 0))
		return false;
	have_clock = true;
	clock_wanted = true;
	clock_enable(&cpus[0]);
	for (unsigned i = 1; i < ncpus; i++) {
		now = cpus[i].alive;
		while (cpus[i].alive < now + 3)
			__asm__ volatile("pause");
	}
	return true;
}

static void clock_arm(unsigned cycle)
{
	(void)cycle;
	clocks_look(&cpus[0]);
}

static void clock_check(unsigned cycle)
{
	uint64_t value;

	(void)cycle;
	if (!read_msr(MSR_KVM_SYSTEM_TIME_NEW, &value))
		value = 0;
	expect_value("KVM_SYSTEM_TIME_NEW", value, (uintptr_t)&pvclocks[0] | 1);
	clocks_look(&cpus[0]);
}

const struct item clock_item = { "kvmclock", clock_setup, clock_arm, clock_check };

/* ---- the other CPUs: they halt, wake by a periodic timer of their own, and look at clocks */

static void ap_rounds(struct mv_cpu *own)
{
	struct cpu *c = (struct cpu *)own;
	bool clock_on = false;

	apic_setup();
	apic_write(0x3e0, 0xb);			/* divide by 1 */
	apic_write(0x320, 0x20000 | VECTOR_TIMER);	/* periodic */
	apic_write(0x380, 2000000);
	for (;;) {
		if (clock_wanted && !clock_on) {
			clock_enable(c);
			clock_on = true;
		}
		for (int i = 0; i < 200; i++)
			clocks_look(c);
		c->alive++;
		mv_at_cpl0(halt_once, 0, 0);
	}
}

static uint64_t alive_before[MAX_CPUS];

static bool smp_setup(void)
{
	return true;
}

static void smp_arm(unsigned cycle)
{
	(void)cycle;
	for (unsigned i = 1; i < ncpus; i++)
		alive_before[i] = cpus[i].alive;
	for (int i = 0; i < 200; i++)
		clocks_look(&cpus[0]);
}

static void smp_check(unsigned cycle)
{
	(void)cycle;
	for (int i = 0; i < 200; i++)
		clocks_look(&cpus[0]);
	for (unsigned i = 1; i < ncpus; i++) {
		volatile uint64_t *alive = &cpus[i].alive;

		/* Twice: what it was in when it was saved, and once around. */
		for (uint64_t n = 0; n < 400000000 && *alive < alive_before[i] + 2; n++)
			__asm__ volatile("pause");
		if (*alive < alive_before[i] + 2)
			expect_value("rounds of another CPU, at least", *alive, alive_before[i] + 2);
	}
	for (unsigned i = 0; i < ncpus; i++) {
		if (!cpus[i].backwards)
			continue;
		mv_printf("torture: CPU %u: %s went back %lu times, by %lu\n", i,
			  cpus[i].clock, cpus[i].backwards, cpus[i].by);
		cpus[i].backwards = 0;
		wrong("time runs backwards");
	}
}

const struct item smp_item = { "CPUs and TSC", smp_setup, smp_arm, smp_check };
