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

/* One socket of ncpus cores of one thread each; the APIC id is the CPU's number. */
static void topology_entry(struct mv_leaf *e, unsigned cpu, unsigned ncpus)
{
	unsigned level;

	switch (e->leaf) {
	case 0x1:
		set_bits(&e->reg[MV_EBX], 16, 8, ncpus > 255 ? 255 : ncpus);
		set_bits(&e->reg[MV_EBX], 24, 8, cpu);
		set_bits(&e->reg[MV_EDX], 28, 1, ncpus > 1);
		break;
	case 0x4:
		/* Caches below level 3 are a core's own. */
		level = e->reg[MV_EAX] >> 5 & 7;
		set_bits(&e->reg[MV_EAX], 14, 12, level >= 3 ? ncpus - 1 : 0);
		set_bits(&e->reg[MV_EAX], 26, 6, ncpus - 1 > 63 ? 63 : ncpus - 1);
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
		/* CMP_LEGACY (APM Vol. 3, E.4.2): this package has more than one core */
		set_bits(&e->reg[MV_ECX], 1, 1, ncpus > 1 && (e->reg[MV_ECX] >> 1 & 1));
		break;
	case 0x80000008:
		set_bits(&e->reg[MV_ECX], 0, 16, (bits_for(ncpus) << 12) | (ncpus - 1));
		break;
	case 0x8000001d:
		level = e->reg[MV_EAX] >> 5 & 7;
		set_bits(&e->reg[MV_EAX], 14, 12, level >= 3 ? ncpus - 1 : 0);
		break;
	case 0x8000001e:
		e->reg[MV_EAX] = cpu;
		e->reg[MV_EBX] = cpu;
		e->reg[MV_ECX] = 0;
		break;
	default:
		break;
	}
}

void mv_table_for_cpu(struct mv_table *out, const struct mv_table *guest, unsigned cpu,
		      unsigned ncpus)
{
	bool amd = mv_table_vendor(guest) != MV_VENDOR_INTEL;

	*out = *guest;
	for (uint32_t i = 0; i < out->n; i++)
		if (amd || out->e[i].leaf != 0x80000008)
			topology_entry(&out->e[i], cpu, ncpus);
}

/* KVM's rule for leaves beyond the maximum of their range (arch/x86/kvm/cpuid.c). */
static const struct mv_leaf *out_of_range(const struct mv_table *t, uint32_t leaf, uint32_t subleaf)
{
	enum mv_vendor v = mv_table_vendor(t);
	const struct mv_leaf *basic = mv_table_find(t, 0, 0), *class;

	if (!basic || v == MV_VENDOR_AMD || v == MV_VENDOR_HYGON)
		return NULL;
	if (leaf >= 0x40000000 && leaf <= 0x4fffffff)
		class = mv_table_find(t, leaf & 0xffffff00, 0);
	else if (leaf >= 0xc0000000)
		class = mv_table_find(t, 0xc0000000, 0);
	else
		class = mv_table_find(t, leaf & 0x80000000, 0);
	if (class && leaf <= class->reg[MV_EAX])
		return NULL;
	leaf = basic->reg[MV_EAX];
	return mv_table_find(t, leaf, mv_leaf_has_subleaves(leaf) ? subleaf : 0);
}

void mv_table_answer(const struct mv_table *guest, const struct mv_cpu_now *now, uint32_t leaf,
		     uint32_t subleaf, uint32_t out[MV_NREGS])
{
	uint32_t sub = mv_leaf_has_subleaves(leaf) ? subleaf : 0;
	const struct mv_leaf *e = mv_table_find(guest, leaf, sub);

	memset(out, 0, MV_NREGS * sizeof(out[0]));
	if (!e && (leaf == 0xb || leaf == 0x1f)) {
		const struct mv_leaf *level1 = mv_table_find(guest, leaf, 1);

		if (level1) {
			out[MV_ECX] = subleaf & 0xff;
			out[MV_EDX] = level1->reg[MV_EDX];
			return;
		}
	}
	if (!e)
		e = out_of_range(guest, leaf, subleaf);
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
