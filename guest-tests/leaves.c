/* SPDX-License-Identifier: MIT */
/* Walk, print and compare CPUID: see leaves.h. */
#include "leaves.h"

#include "probes.h"

/* What a sane CPU stays far below; a wild maximum must not become a loop without end. */
#define BASIC_MAX 0x40u
#define RANGE_MAX 0x40u
#define SUBLEAF_MAX 32u

static const char reg_names[4][4] = { "eax", "ebx", "ecx", "edx" };

void mv_table_read(struct mv_table *t, uint32_t block)
{
	uint32_t n;

	mv_info_read(block, &n, 1);
	t->count = n < MV_LEAVES_MAX ? n : MV_LEAVES_MAX;
	mv_info_more(&t->e[0].leaf, t->count * sizeof(t->e[0]) / 4);
}

const struct mv_table_entry *mv_table_find(const struct mv_table *t, uint32_t leaf,
					   uint32_t subleaf)
{
	for (uint32_t i = 0; i < t->count; i++) {
		if (t->e[i].leaf == leaf && t->e[i].subleaf == subleaf)
			return &t->e[i];
	}
	return NULL;
}

/* ------------------------------------------------------------------ the walk */

static void add(struct mv_leaves *l, uint32_t leaf, uint32_t subleaf)
{
	uint32_t i = l->count;

	if (l->count == MV_LEAVES_MAX)
		return;
	for (uint32_t k = 0; k < l->count; k++) {
		if (l->e[k].leaf == leaf && l->e[k].subleaf == subleaf)
			return;
	}
	for (; i && (l->e[i - 1].leaf > leaf ||
		     (l->e[i - 1].leaf == leaf && l->e[i - 1].subleaf > subleaf)); i--)
		l->e[i] = l->e[i - 1];
	l->e[i].leaf = leaf;
	l->e[i].subleaf = subleaf;
	l->count++;
}

/* Leaf 0xD has a subleaf for every state component, in XCR0 or in XSS. */
static void add_xsave(struct mv_leaves *l, unsigned cpl)
{
	struct mv_cpuid d0 = mv_cpuid_at(cpl, 0xd, 0), d1 = mv_cpuid_at(cpl, 0xd, 1);
	uint64_t components = (d0.eax | d1.ecx) | (uint64_t)(d0.edx | d1.edx) << 32;

	add(l, 0xd, 1);
	for (unsigned i = 2; i < 63; i++) {
		if (components >> i & 1)
			add(l, 0xd, i);
	}
}

static void add_subleaves(struct mv_leaves *l, unsigned cpl, uint32_t leaf)
{
	uint32_t last = 0;

	switch (leaf) {
	case 0xd:
		add_xsave(l, cpl);
		return;
	/* Subleaf 0 tells the last one. */
	case 0x7:
	case 0x14:
	case 0x17:
	case 0x18:
	case 0x1d:
	case 0x1e:
	case 0x20:
	case 0x24:
		last = mv_cpuid_at(cpl, leaf, 0).eax;
		break;
	case 0xf:
		last = 1;
		break;
	case 0x10:
	case 0x12:
	case 0x23:
	case 0x80000020:
		last = 3;
		break;
	/* A list that ends with an empty entry. */
	case 0x4:
	case 0x8000001d:
		while (last < SUBLEAF_MAX && mv_cpuid_at(cpl, leaf, last).eax & 0x1f)
			last++;
		break;
	case 0xb:
	case 0x1f:
	case 0x80000026:
		while (last < SUBLEAF_MAX && mv_cpuid_at(cpl, leaf, last).ecx & 0xff00)
			last++;
		break;
	default:
		return;
	}
	for (uint32_t i = 1; i <= last && i <= SUBLEAF_MAX; i++)
		add(l, leaf, i);
}

static void add_range(struct mv_leaves *l, unsigned cpl, uint32_t base, uint32_t limit)
{
	uint32_t max = mv_cpuid_at(cpl, base, 0).eax;

	if (max < base || max > base + 0xffff)
		return;
	if (max > base + limit)
		max = base + limit;
	for (uint32_t leaf = base; leaf <= max; leaf++) {
		add(l, leaf, 0);
		add_subleaves(l, cpl, leaf);
	}
}

void mv_leaves_collect(struct mv_leaves *l, const struct mv_table *table)
{
	l->count = 0;
	for (unsigned level = 0; level < MV_LEVELS; level++) {
		unsigned cpl = mv_level_cpl[level];

		add_range(l, cpl, 0, BASIC_MAX);
		if (mv_cpuid_at(cpl, 1, 0).ecx >> 31)
			add_range(l, cpl, 0x40000000, RANGE_MAX);
		add_range(l, cpl, 0x80000000, RANGE_MAX);
	}
	for (uint32_t i = 0; table && i < table->count; i++)
		add(l, table->e[i].leaf, table->e[i].subleaf);

	for (unsigned level = 0; level < MV_LEVELS; level++) {
		for (uint32_t i = 0; i < l->count; i++) {
			struct mv_cpuid r = mv_cpuid_at(mv_level_cpl[level], l->e[i].leaf,
							l->e[i].subleaf);

			memcpy(l->e[i].reg[level], &r, sizeof(r));
		}
	}
}

bool mv_leaves_bit(const struct mv_leaves *l, unsigned level, uint32_t leaf, uint32_t subleaf,
		   unsigned reg, unsigned bit)
{
	for (uint32_t i = 0; i < l->count; i++) {
		if (l->e[i].leaf == leaf && l->e[i].subleaf == subleaf)
			return l->e[i].reg[level][reg] >> bit & 1;
	}
	return false;
}

/* ------------------------------------------------------------------ printing */

static void print_leaf(const char *level, uint32_t leaf, uint32_t subleaf, const uint32_t *reg)
{
	mv_printf("cpuid: %s0x%08x 0x%02x eax=0x%08x ebx=0x%08x ecx=0x%08x edx=0x%08x\n", level,
		  leaf, subleaf, reg[0], reg[1], reg[2], reg[3]);
}

void mv_leaves_print(const struct mv_leaves *l)
{
	for (uint32_t i = 0; i < l->count; i++) {
		uint32_t leaf = l->e[i].leaf, subleaf = l->e[i].subleaf;

		if (!memcmp(l->e[i].reg[0], l->e[i].reg[1], sizeof(l->e[i].reg[0]))) {
			print_leaf("", leaf, subleaf, l->e[i].reg[0]);
			continue;
		}
		print_leaf("cpl0 ", leaf, subleaf, l->e[i].reg[0]);
		print_leaf("cpl3 ", leaf, subleaf, l->e[i].reg[1]);
	}
}

void mv_leaves_print_diff(unsigned level, uint32_t leaf, uint32_t subleaf, unsigned reg,
			  uint32_t expected, uint32_t got, uint32_t ignore)
{
	uint32_t differ = (expected ^ got) & ~ignore;
	const char *between = "(";

	mv_printf("cpl%u 0x%08x 0x%02x %s expected 0x%08x got 0x%08x differ 0x%08x ",
		  mv_level_cpl[level], leaf, subleaf, reg_names[reg], expected, got, differ);
	for (unsigned bit = 0; bit < 32; bit++) {
		const char *name;

		if (!(differ >> bit & 1))
			continue;
		name = mv_bit_name(leaf, subleaf, reg, bit);
		if (!name)
			continue;
		mv_printf("%s%s", between, name);
		between = ", ";
	}
	mv_puts(between[0] == '(' ? "(no feature bit)\n" : ")\n");
}

/* ------------------------------------------------------------------ comparing */

/* Bits that need not be the same on another CPU, or later: they follow the control registers, or name the CPU. */
enum kind { REGISTERS = 1, APIC_ID = 2, CORE_ID = 4, NODE_ID = 8 };

static const struct {
	uint32_t leaf;
	int subleaf;	/* -1: all */
	unsigned reg;
	uint32_t bits;
	enum kind kind;
} varying_rows[] = {
	{ 0x1, -1, 1, 0xff000000, APIC_ID },
	{ 0x1, -1, 2, 1u << 27, REGISTERS },		/* OSXSAVE */
	{ 0x7, 0, 2, 1u << 4, REGISTERS },		/* OSPKE */
	{ 0xb, -1, 3, 0xffffffff, APIC_ID },
	{ 0xd, 0, 1, 0xffffffff, REGISTERS },		/* size for the current XCR0 */
	{ 0xd, 1, 1, 0xffffffff, REGISTERS },		/* and with XSS */
	{ 0x1f, -1, 3, 0xffffffff, APIC_ID },
	{ 0x8000001e, -1, 0, 0xffffffff, APIC_ID },
	{ 0x8000001e, -1, 1, 0x000000ff, CORE_ID },
	{ 0x8000001e, -1, 2, 0x000000ff, NODE_ID },
	{ 0x80000026, -1, 3, 0xffffffff, APIC_ID },
};

static bool is_about(size_t row, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	return varying_rows[row].leaf == leaf && varying_rows[row].reg == reg &&
	       (varying_rows[row].subleaf < 0 || (uint32_t)varying_rows[row].subleaf == subleaf);
}

static uint32_t varying(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned kinds)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < MV_ARRAY_SIZE(varying_rows); i++) {
		if (varying_rows[i].kind & kinds && is_about(i, leaf, subleaf, reg))
			bits |= varying_rows[i].bits;
	}
	return bits;
}

/* Past the last level of these, ECX echoes the subleaf that was asked for. */
static bool echoes_subleaf(uint32_t leaf)
{
	return leaf == 0xb || leaf == 0x1f || leaf == 0x80000026;
}

static bool in_range(const struct mv_table *t, uint32_t leaf)
{
	const struct mv_table_entry *base = mv_table_find(t, leaf & 0xc0000000, 0);

	return base && leaf <= base->reg[0];
}

unsigned mv_leaves_check(const struct mv_leaves *l, unsigned level, const struct mv_table *table)
{
	unsigned differing = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		uint32_t leaf = l->e[i].leaf, subleaf = l->e[i].subleaf;
		const struct mv_table_entry *e = mv_table_find(table, leaf, subleaf);
		bool differs = false;

		/* Past the maximum a CPU may answer as it likes. */
		if (!e && !in_range(table, leaf))
			continue;
		for (unsigned reg = 0; reg < 4; reg++) {
			uint32_t expected = e ? e->reg[reg] : 0;
			uint32_t got = l->e[i].reg[level][reg];
			uint32_t ignore = varying(leaf, subleaf, reg,
						  REGISTERS | APIC_ID | CORE_ID);

			if (!e && reg == 2 && echoes_subleaf(leaf))
				ignore |= 0xff;
			if (!((expected ^ got) & ~ignore))
				continue;
			mv_puts("cpuid-diff: ");
			mv_leaves_print_diff(level, leaf, subleaf, reg, expected, got, ignore);
			differs = true;
		}
		differing += differs;
	}
	return differing;
}

static void print_who(int cpu)
{
	if (cpu == MV_NO_CPU)
		mv_puts("probe: pass 2 cpuid: ");
	else
		mv_printf("cpu-diff: cpu %d: ", cpu);
}

unsigned mv_leaves_same(const struct mv_leaves *now, const struct mv_leaves *before, int cpu)
{
	unsigned differing = 0;

	for (uint32_t i = 0; i < before->count; i++) {
		uint32_t leaf = before->e[i].leaf, subleaf = before->e[i].subleaf;

		for (unsigned level = 0; level < MV_LEVELS; level++) {
			for (unsigned reg = 0; reg < 4; reg++) {
				uint32_t ignore = cpu == MV_NO_CPU ? 0 :
					varying(leaf, subleaf, reg, APIC_ID | CORE_ID | NODE_ID);
				uint32_t old = before->e[i].reg[level][reg], new;
				struct mv_cpuid r;

				if (i < now->count && now->e[i].leaf == leaf &&
				    now->e[i].subleaf == subleaf) {
					new = now->e[i].reg[level][reg];
				} else {
					r = mv_cpuid_at(mv_level_cpl[level], leaf, subleaf);
					new = (&r.eax)[reg];
				}
				if (!((old ^ new) & ~ignore))
					continue;
				print_who(cpu);
				mv_leaves_print_diff(level, leaf, subleaf, reg, old, new, ignore);
				differing++;
			}
		}
	}
	return differing;
}

/* Does this CPU have the leaf, and with it the bits that name it? */
static bool names(const struct mv_leaves *l, unsigned level, uint32_t leaf)
{
	switch (leaf) {
	case 0xb:
	case 0x1f:
	case 0x80000026:
		for (uint32_t i = 0; i < l->count; i++) {
			if (l->e[i].leaf == leaf && !l->e[i].subleaf)
				return l->e[i].reg[level][1] & 0xffff;
		}
		return false;
	case 0x8000001e:
		return mv_leaves_bit(l, level, 0x80000001, 0, 2, 22);	/* TOPOEXT */
	default:
		return true;
	}
}

unsigned mv_leaves_named(const struct mv_leaves *l, uint32_t apic_id, unsigned cpu)
{
	unsigned differing = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		for (size_t k = 0; k < MV_ARRAY_SIZE(varying_rows); k++) {
			uint32_t leaf = l->e[i].leaf, subleaf = l->e[i].subleaf;
			uint32_t bits = varying_rows[k].bits;
			uint32_t expected = apic_id << __builtin_ctz(bits);
			unsigned reg = varying_rows[k].reg;

			if (varying_rows[k].kind != APIC_ID || !is_about(k, leaf, subleaf, reg))
				continue;
			for (unsigned level = 0; level < MV_LEVELS; level++) {
				uint32_t got = l->e[i].reg[level][reg];

				if (!((got ^ expected) & bits) || !names(l, level, leaf))
					continue;
				print_who((int)cpu);
				mv_leaves_print_diff(level, leaf, subleaf, reg, expected, got & bits, ~bits);
				differing++;
			}
		}
	}
	return differing;
}
