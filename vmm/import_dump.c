/* SPDX-License-Identifier: MIT */
#include "import_dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LEAVES 1024		/* of one logical CPU; real dumps have some 150 */
#define MAX_CPUS 65536
#define MSR_UCODE_REV 0x8b

int mv_dump_bad(struct mv_dump *d, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return mv_err_at(d->err, MV_E_INPUT, d->file, d->line, 0, "%s%s", d->where, text);
}

void mv_dump_note(struct mv_dump *d, enum mv_import_kind kind, uint32_t line, const char *fmt, ...)
{
	struct mv_import *r = d->report;
	struct mv_import_note *n;
	va_list ap;

	if (r->nnotes == MV_IMPORT_NOTES) {
		r->more++;
		return;
	}
	n = &r->notes[r->nnotes++];
	n->kind = kind;
	n->line = line;
	va_start(ap, fmt);
	vsnprintf(n->text, sizeof(n->text), fmt, ap);
	va_end(ap);
}

void mv_dump_format(struct mv_dump *d, const char *name)
{
	snprintf(d->report->format, sizeof(d->report->format), "%s", name);
}

/* ---- leaves of one logical CPU ---- */

static const struct mv_dump_leaf *find(const struct mv_dump_leaves *l, uint32_t leaf,
				       uint32_t subleaf)
{
	uint32_t lo = 0, hi = l->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct mv_dump_leaf *e = &l->e[mid];

		if (e->leaf == leaf && e->subleaf == subleaf)
			return e;
		if (e->leaf < leaf || (e->leaf == leaf && e->subleaf < subleaf))
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static bool empty(const struct mv_dump_leaf *e)
{
	return !(e->reg[0] | e->reg[1] | e->reg[2] | e->reg[3]);
}

static bool same(const struct mv_dump_leaf *a, const struct mv_dump_leaf *b)
{
	return !memcmp(a->reg, b->reg, sizeof(a->reg));
}

static int by_seq(const void *pa, const void *pb)
{
	const struct mv_dump_leaf *a = pa, *b = pb;

	if (a->leaf != b->leaf)
		return a->leaf < b->leaf ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static int by_subleaf(const void *pa, const void *pb)
{
	const struct mv_dump_leaf *a = pa, *b = pb;

	if (a->leaf != b->leaf)
		return a->leaf < b->leaf ? -1 : 1;
	if (a->subleaf != b->subleaf)
		return a->subleaf < b->subleaf ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* A leaf without a subleaf follows the one before it of the same leaf. Leaves end up in order. */
static void number_subleaves(struct mv_dump_leaves *l)
{
	qsort(l->e, l->n, sizeof(l->e[0]), by_seq);
	for (uint32_t i = 0; i < l->n; i++) {
		struct mv_dump_leaf *e = &l->e[i];

		if (e->subleaf != MV_DUMP_NEXT)
			continue;
		if (i && e[-1].leaf == e->leaf && mv_leaf_has_subleaves(e->leaf))
			e->subleaf = e[-1].subleaf + 1;
		else
			e->subleaf = 0;
	}
	qsort(l->e, l->n, sizeof(l->e[0]), by_subleaf);
}

/* Is the leaf within what the first of its range reports? An answer to others means nothing. */
static bool in_range(const struct mv_dump_leaves *l, const struct mv_dump_leaf *e)
{
	const struct mv_dump_leaf *base, *last, *one = find(l, 1, 0);
	uint32_t first, max, span = 0xffff;

	if (e->leaf < 0x40000000) {
		base = find(l, 0, 0);
		return !base || e->leaf <= base->reg[MV_EAX];
	}
	first = e->leaf & 0xffff0000;
	if (e->leaf < 0x50000000) {
		if (!one || !(one->reg[MV_ECX] >> 31))
			return false;
		/* Hypervisors with several interfaces put them 0x100 apart. */
		first = e->leaf & 0xffffff00;
		span = 0xff;
	}
	base = find(l, first, 0);
	if (!base) {
		/* A dump of a few leaves. Intel CPUs answer others as the last basic one. */
		base = find(l, 0, 0);
		last = base ? find(l, base->reg[MV_EAX], 0) : NULL;
		return first == 0x80000000 && !(last && same(last, e));
	}
	max = base->reg[MV_EAX];
	/* Early KVM said 0 for its own maximum. */
	if (max == 0 && first >= 0x40000000 && first < 0x50000000)
		max = first + 1;
	return max >= first && max - first <= span && e->leaf <= max;
}

/* Leaves whose subleaf 0 tells the highest one in EAX. */
static bool in_subrange(const struct mv_dump_leaves *l, const struct mv_dump_leaf *e)
{
	const struct mv_dump_leaf *zero;

	if (!mv_leaf_counts_subleaves(e->leaf))
		return mv_leaf_has_subleaves(e->leaf) || e->subleaf == 0;
	zero = find(l, e->leaf, 0);
	return !zero || e->subleaf <= zero->reg[MV_EAX];
}

/* The entry that only marks the end of a list: described by tools, kept out of host files. */
static bool end_of_list(const struct mv_dump_leaf *e)
{
	return e->subleaf && mv_leaf_ends_list(e->leaf, e->reg);
}

/* Leave out what says nothing, and what is there twice; first: also tell about it. */
static void tidy(struct mv_dump *d, bool first)
{
	struct mv_dump_leaves *l = &d->cur;
	uint32_t out = 0, beyond = 0, line = 0, leaf = 0;
	bool *keep = malloc(l->n);

	/* Without memory everything stays: no harm is done. */
	for (uint32_t i = 0; keep && i < l->n; i++)
		keep[i] = in_range(l, &l->e[i]) && in_subrange(l, &l->e[i]);
	for (uint32_t i = 0; i < l->n; i++) {
		struct mv_dump_leaf e = l->e[i];

		if (keep && !keep[i]) {
			if (!empty(&e) && !beyond++) {
				leaf = e.leaf;
				line = e.line;
			}
			continue;
		}
		if (end_of_list(&e))
			continue;
		if (out && l->e[out - 1].leaf == e.leaf && l->e[out - 1].subleaf == e.subleaf) {
			if (first && !same(&l->e[out - 1], &e))
				mv_dump_note(d, MV_IMPORT_TWICE, e.line,
					     "leaf 0x%x subleaf 0x%x is there twice with different "
					     "values: the first one counts", e.leaf, e.subleaf);
			continue;
		}
		l->e[out++] = e;
	}
	l->n = out;
	free(keep);
	if (first && beyond)
		mv_dump_note(d, MV_IMPORT_RANGE, line, "%u %s beyond the maximum of %s range left "
			     "out, the first is 0x%x", beyond, beyond == 1 ? "leaf" : "leaves",
			     beyond == 1 ? "its" : "their", leaf);
}

/* ---- logical CPUs against the first ---- */

static void differ(struct mv_dump *d, const struct mv_dump_leaf *a, const struct mv_dump_leaf *b,
		   uint32_t reg)
{
	const struct mv_dump_leaf *e = a ? a : b;
	struct mv_dump_differ *f;

	for (f = d->differs; f < d->differs + d->ndiffers; f++)
		if (f->leaf == e->leaf)
			break;
	if (f == d->differs + MV_DUMP_DIFFERS) {
		d->report->more++;
		return;
	}
	if (f == d->differs + d->ndiffers) {
		d->ndiffers++;
		*f = (struct mv_dump_differ){
			.leaf = e->leaf, .subleaf = e->subleaf, .id = d->cur_id,
			.line = b ? b->line : 0, .absent = !a || !b, .reg = reg,
			.want = a ? a->reg[reg] : 0, .have = b ? b->reg[reg] : 0,
		};
	}
	f->cpus += f->last != d->report->cpus;
	f->last = d->report->cpus;
}

/* What may differ in a register between the logical CPUs of any machine; a: of the first CPU. */
static uint32_t per_cpu(struct mv_dump *d, const struct mv_dump_leaf *a, uint32_t reg)
{
	if (!d->masks) {
		d->masks = malloc(d->first.n * sizeof(*d->masks));
		for (uint32_t i = 0; d->masks && i < d->first.n; i++)
			for (uint32_t r = 0; r < MV_NREGS; r++)
				d->masks[i][r] = mv_volatile_bits(d->first.e[i].leaf,
								  d->first.e[i].subleaf, r);
	}
	return d->masks ? d->masks[a - d->first.e][reg] : 0;
}

static void compare_leaf(struct mv_dump *d, const struct mv_dump_leaf *a,
			 const struct mv_dump_leaf *b)
{
	const struct mv_dump_leaf *only = !a ? b : !b ? a : NULL;

	if (!a || !b) {
		if (only && !empty(only))
			differ(d, a, b, MV_EAX);
		return;
	}
	for (uint32_t r = 0; r < MV_NREGS; r++) {
		if (a->reg[r] != b->reg[r] && (a->reg[r] ^ b->reg[r]) & ~per_cpu(d, a, r)) {
			differ(d, a, b, r);
			return;
		}
	}
}

static void compare(struct mv_dump *d)
{
	uint32_t i = 0, j = 0;

	while (i < d->first.n || j < d->cur.n) {
		const struct mv_dump_leaf *a = i < d->first.n ? &d->first.e[i] : NULL;
		const struct mv_dump_leaf *b = j < d->cur.n ? &d->cur.e[j] : NULL;
		bool a_first = a && (!b || a->leaf < b->leaf ||
				     (a->leaf == b->leaf && a->subleaf < b->subleaf));
		bool both = a && b && a->leaf == b->leaf && a->subleaf == b->subleaf;

		compare_leaf(d, both || a_first ? a : NULL, both || !a_first ? b : NULL);
		i += both || a_first;
		j += both || !a_first;
	}
}

static int close_cpu(struct mv_dump *d)
{
	struct mv_dump_leaves swap = d->cur;
	bool first = d->report->cpus == 0;

	if (!d->cur.n)
		return 0;
	if (d->report->cpus == MAX_CPUS)
		return mv_dump_bad(d, "more than %d logical CPUs", MAX_CPUS);
	d->report->cpus++;
	number_subleaves(&d->cur);
	tidy(d, first);
	if (first) {
		swap.n = d->cur.n;
		d->cur = d->first;
		d->first = swap;
		d->first_id = d->cur_id;
	} else {
		compare(d);
	}
	d->cur.n = 0;
	d->have_zero = false;
	return 0;
}

/* ---- what the readers call ---- */

int mv_dump_cpu(struct mv_dump *d, uint32_t id)
{
	int rc = close_cpu(d);

	d->cur_id = id;
	return rc;
}

int mv_dump_leaf(struct mv_dump *d, uint32_t leaf, uint32_t subleaf, const uint32_t reg[MV_NREGS])
{
	struct mv_dump_leaves *l = &d->cur;
	int rc = 0;

	/* Dumps without a heading between logical CPUs begin each of them with leaf 0. */
	if (leaf == 0 && d->have_zero && !d->one_cpu)
		rc = mv_dump_cpu(d, MV_DUMP_NO_ID);
	if (rc)
		return rc;
	if (l->n == MAX_LEAVES)
		return mv_dump_bad(d, "more than %d leaves of one logical CPU", MAX_LEAVES);
	if (l->n == l->room) {
		uint32_t room = l->room ? 2 * l->room : 128;
		struct mv_dump_leaf *e = realloc(l->e, room * sizeof(*e));

		if (!e)
			return mv_err_set(d->err, MV_E_FAILED, "out of memory");
		l->e = e;
		l->room = room;
	}
	l->e[l->n] = (struct mv_dump_leaf){
		.leaf = leaf, .subleaf = subleaf, .line = d->line, .seq = l->n,
		.reg = { reg[0], reg[1], reg[2], reg[3] },
	};
	l->n++;
	d->have_zero |= leaf == 0;
	return 0;
}

void mv_dump_msr(struct mv_dump *d, uint32_t index, uint64_t value)
{
	/* The first CPU's: they come in the same order. */
	if (index == MV_MSR_ARCH_CAPABILITIES && !d->has_caps) {
		d->caps = value;
		d->has_caps = true;
	}
	if (index == MSR_UCODE_REV && !d->ucode)
		d->ucode = value;
}

void mv_dump_restart(struct mv_dump *d)
{
	d->cur.n = d->first.n = 0;
	d->have_zero = d->has_caps = false;
	d->ucode = 0;
	d->report->cpus = 0;
	d->ndiffers = 0;
	free(d->masks);
	d->masks = NULL;
}

void mv_dump_free(struct mv_dump *d)
{
	free(d->first.e);
	free(d->cur.e);
	free(d->masks);
}

static int no_leaves(struct mv_dump *d)
{
	mv_dump_bad(d, "%s: no CPUID leaf found, this describes no CPU", d->report->format);
	/* Without -r it prints what the leaves mean, under the same headings. */
	if (!strcmp(d->report->format, "cpuid -r"))
		mv_err_hint(d->err, "cpuid prints leaves with -r");
	return -MV_E_INPUT;
}

int mv_dump_close(struct mv_dump *d)
{
	int rc = close_cpu(d);

	/* What follows is about the whole file. */
	d->line = 0;
	if (rc)
		return rc;
	if (!d->report->cpus)
		return no_leaves(d);
	for (uint32_t leaf = 0; leaf < 2; leaf++)
		if (!find(&d->first, leaf, 0))
			return mv_dump_bad(d, "leaf %u is missing: this describes no CPU", leaf);
	return 0;
}

bool mv_dump_has(const struct mv_dump *d, uint32_t leaf, uint32_t subleaf)
{
	return find(&d->first, leaf, subleaf) != NULL;
}
