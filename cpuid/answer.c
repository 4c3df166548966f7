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
static void cache_entry(struct mv_leaf *e, unsigned ncpus)
{
	unsigned level = e->reg[MV_EAX] >> 5 & 7;

	if (!(e->reg[MV_EAX] & 0x1f))
		return;	/* the end of the list */
	set_bits(&e->reg[MV_EAX], 14, 12, level >= 3 ? ncpus - 1 : 0);
	if (e->leaf == 0x4)
		set_bits(&e->reg[MV_EAX], 26, 6, ncpus > 64 ? 63 : ncpus - 1);
}

/* One socket of ncpus cores of one thread each; the APIC id is the CPU's number. */
static void topology_entry(struct mv_leaf *e, unsigned cpu, unsigned ncpus, bool amd)
{
	switch (e->leaf) {
	case 0x1:
		set_bits(&e->reg[MV_EBX], 16, 8, ncpus > 255 ? 255 : ncpus);
		set_bits(&e->reg[MV_EBX], 24, 8, cpu);
		set_bits(&e->reg[MV_EDX], 28, 1, ncpus > 1);
		break;
	case 0x4:
	case 0x8000001d:
		cache_entry(e, ncpus);
		break;
	case 0xb:
	case 0x1f:
		memset(e->reg, 0, sizeof(e->reg));
		if (e->subleaf == 0) {
			e->reg[MV_EBX] = 1;
			e->reg[MV_ECX] = 1 << 8;
		} else if (e->subleaf == 1) {
			e->reg[MV_EAX] = bits_for(ncpus);
			e->reg[MV_EBX] = ncpus;
			e->reg[MV_ECX] = 2 << 8 | 1;
		} else {
			e->reg[MV_ECX] = e->subleaf & 0xff;
		}
		e->reg[MV_EDX] = cpu;
		break;
	case 0x80000001:
		/* CMP_LEGACY (APM Vol. 3, E.4.2): what HTT counts are cores, not threads */
		set_bits(&e->reg[MV_ECX], 1, 1, amd && ncpus > 1);
		break;
	case 0x80000008:
		if (amd)
			set_bits(&e->reg[MV_ECX], 0, 16,
				 bits_for(ncpus) << 12 | (ncpus > 256 ? 255 : ncpus - 1));
		break;
	case 0x8000001e:
		memset(e->reg, 0, sizeof(e->reg));
		e->reg[MV_EAX] = cpu;
		e->reg[MV_EBX] = cpu & 0xff;
		break;
	default:
		break;
	}
}

void mv_table_for_cpu(struct mv_table *out, const struct mv_table *guest, unsigned cpu,
		      unsigned ncpus)
{
	enum mv_vendor v = mv_table_vendor(guest);

	*out = *guest;
	for (uint32_t i = 0; i < out->n; i++)
		topology_entry(&out->e[i], cpu, ncpus,
			       v == MV_VENDOR_AMD || v == MV_VENDOR_HYGON);
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

	if (!basic || v == MV_VENDOR_AMD || v == MV_VENDOR_HYGON)
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
