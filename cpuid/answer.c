/* SPDX-License-Identifier: MIT */
/* What a CPU of the VM reads from the guest table: per-CPU fields, dynamic bits, missing leaves. */
#include "apply.h"

#include <string.h>

#include "xstate.h"

static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

static void set_bits(uint32_t *reg, unsigned lo, unsigned width, uint32_t value)
{
	uint32_t mask = ((UINT32_C(1) << width) - 1) << lo;

	*reg = (*reg & ~mask) | (value << lo & mask);
}

/* Sharing and cores of a cache entry: caches below level 3 are a core's own. */
static void cache_entry(struct mv_leaf *e, const struct mv_topology *t)
{
	unsigned level = e->reg[MV_EAX] >> 5 & 7, cpus = t->cores * t->threads;

	if (!(e->reg[MV_EAX] & 0x1f))
		return;	/* the end of the list */
	set_bits(&e->reg[MV_EAX], 14, 12, (level >= 3 ? cpus : t->threads) - 1);
	if (e->leaf == 0x4)
		set_bits(&e->reg[MV_EAX], 26, 6, t->cores > 64 ? 63 : t->cores - 1);
}

static void topology_entry(struct mv_leaf *e, const struct mv_topology *t, bool amd)
{
	unsigned cpus = t->cores * t->threads;	/* of a socket */

	switch (e->leaf) {
	case 0x1:
		set_bits(&e->reg[MV_EBX], 16, 8, cpus > 255 ? 255 : cpus);
		set_bits(&e->reg[MV_EDX], 28, 1, cpus > 1);
		break;
	case 0x4:
	case 0x8000001d:
		cache_entry(e, t);
		break;
	case 0xb:
	case 0x1f:
		memset(e->reg, 0, sizeof(e->reg));
		e->reg[MV_ECX] = e->subleaf & 0xff;
		if (e->subleaf > 1)
			break;
		e->reg[MV_EAX] = bits_for(e->subleaf ? cpus : t->threads);
		e->reg[MV_EBX] = e->subleaf ? cpus : t->threads;
		e->reg[MV_ECX] |= (e->subleaf + 1) << 8;	/* threads, cores */
		break;
	case 0x80000001:
		/* CMP_LEGACY (APM Vol. 3, E.4.2): the socket's CPUs are all counted by leaf 1 */
		set_bits(&e->reg[MV_ECX], 1, 1, amd && cpus > 1);
		break;
	case 0x80000008:
		if (amd)
			set_bits(&e->reg[MV_ECX], 0, 16, bits_for(cpus) << 12 | (cpus > 256 ? 255 : cpus - 1));
		break;
	case 0x8000001e:
		memset(e->reg, 0, sizeof(e->reg));
		e->reg[MV_EBX] = (t->threads - 1) << 8;
		break;
	default:
		break;
	}
}

void mv_table_set_topology(struct mv_table *guest, const struct mv_topology *t)
{
	enum mv_vendor v = mv_table_vendor(guest);

	for (uint32_t i = 0; i < guest->n; i++)
		topology_entry(&guest->e[i], t, mv_vendor_amd(v));
}

/* The APIC id is the CPU's number: threads count first, then cores, then sockets. */
static void name_cpu(struct mv_leaf *e, const struct mv_table *guest, unsigned cpu)
{
	const struct mv_leaf *one = mv_table_find(guest, 1, 0);
	unsigned cpus, threads;

	switch (e->leaf) {
	case 0x1:
		set_bits(&e->reg[MV_EBX], 24, 8, cpu);
		break;
	case 0xb:
	case 0x1f:
		e->reg[MV_EDX] = cpu;
		break;
	case 0x8000001e:
		threads = (e->reg[MV_EBX] >> 8 & 0xff) + 1;
		cpus = one && one->reg[MV_EBX] >> 16 & 0xff ? one->reg[MV_EBX] >> 16 & 0xff : 1;
		e->reg[MV_EAX] = cpu;
		set_bits(&e->reg[MV_EBX], 0, 8, cpu % cpus / threads);
		set_bits(&e->reg[MV_ECX], 0, 8, cpu / cpus);
		break;
	default:
		break;
	}
}

void mv_table_for_cpu(struct mv_table *out, const struct mv_table *guest, unsigned cpu)
{
	*out = *guest;
	for (uint32_t i = 0; i < out->n; i++)
		name_cpu(&out->e[i], guest, cpu);
}

static const struct mv_leaf *lookup(const struct mv_table *t, uint32_t leaf, uint32_t subleaf)
{
	return mv_table_find(t, leaf, mv_leaf_has_subleaves(leaf) ? subleaf : 0);
}

/*
 * KVM's rule for a leaf beyond the maximum of its range (arch/x86/kvm/cpuid.c): the leaf that
 * answers in its place, or the same one.
 */
static uint32_t redirected(const struct mv_table *t, uint32_t leaf)
{
	enum mv_vendor v = mv_table_vendor(t);
	const struct mv_leaf *basic = mv_table_find(t, 0, 0), *range;

	if (!basic || mv_vendor_amd(v))
		return leaf;
	if (leaf >= 0x40000000 && leaf <= 0x4fffffff)
		range = mv_table_find(t, leaf & 0xffffff00, 0);
	else if (leaf >= 0xc0000000)
		range = mv_table_find(t, 0xc0000000, 0);
	else
		range = mv_table_find(t, leaf & 0x80000000, 0);
	return range && leaf <= range->reg[MV_EAX] ? leaf : basic->reg[MV_EAX];
}

void mv_table_answer(const struct mv_table *guest, const struct mv_cpu_now *now, uint32_t leaf,
		     uint32_t subleaf, uint32_t out[MV_NREGS])
{
	const struct mv_leaf *e = lookup(guest, leaf, subleaf);

	memset(out, 0, MV_NREGS * sizeof(out[0]));
	if (!e) {
		/* The subleaf asked for counts in the leaf that answers, too. */
		leaf = redirected(guest, leaf);
		e = lookup(guest, leaf, subleaf);
	}
	if (!e && (leaf == 0xb || leaf == 0x1f)) {
		const struct mv_leaf *level1 = mv_table_find(guest, leaf, 1);

		if (level1) {
			out[MV_ECX] = subleaf & 0xff;
			out[MV_EDX] = level1->reg[MV_EDX];
		}
	}
	if (!e)
		return;
	memcpy(out, e->reg, sizeof(e->reg));
	if (e->leaf == 1 && mv_table_has(guest, MV_F_XSAVE))
		set_bits(&out[MV_ECX], 27, 1, now->cr4 >> 18 & 1);
	if (e->leaf == 7 && e->subleaf == 0 && mv_table_has(guest, MV_F_PKU))
		set_bits(&out[MV_ECX], 4, 1, now->cr4 >> 22 & 1);
	if (e->leaf == 0xd && e->subleaf == 0)
		out[MV_EBX] = mv_xstate_standard_size(guest, now->xcr0);
	if (e->leaf == 0xd && e->subleaf == 1 && (out[MV_EAX] & 0xa))
		out[MV_EBX] = mv_xstate_compacted_size(guest, now->xcr0 | now->xss);
}
