/* SPDX-License-Identifier: MIT */
#include "preload.h"

#include <string.h>

#include "lazy.h"
#include "ram.h"

#define MOST 48		/* pages looked at; each brings the chunk it is in */

#define CR0_PG (UINT64_C(1) << 31)
#define CR4_PAE (UINT64_C(1) << 5)
#define CR4_LA57 (UINT64_C(1) << 12)
#define EFER_LMA (UINT64_C(1) << 10)
#define PRESENT UINT64_C(1)
#define LARGE (UINT64_C(1) << 7)
#define FRAME UINT64_C(0x000ffffffffff000)

/* How a vCPU's linear addresses become physical ones (SDM Vol. 3A, 4.1.1; APM Vol. 2, 5.1). */
struct paging {
	unsigned levels;	/* 0: off */
	unsigned entry, bits;	/* bytes of an entry; bits of the address that a level takes */
	uint64_t root;
};

struct preload {
	struct mv_vm *vm;
	unsigned left;
	struct mv_err *err;
};

static struct paging paging_of(const struct mv_sregs *s)
{
	if (!(s->cr0 & CR0_PG))
		return (struct paging){ .levels = 0 };
	if (s->efer & EFER_LMA)
		return (struct paging){ s->cr4 & CR4_LA57 ? 5 : 4, 8, 9, s->cr3 & FRAME };
	if (s->cr4 & CR4_PAE)
		return (struct paging){ 3, 8, 9, s->cr3 & 0xffffffe0 };
	return (struct paging){ 2, 4, 10, s->cr3 & 0xfffff000 };
}

/* len bytes that do not leave a page. 1: they can be read now, 0: not RAM, or enough was read. */
static int have(struct preload *p, uint64_t gpa, uint64_t len)
{
	int rc;

	if (!p->left || !mv_vm_at(p->vm, gpa, len))
		return 0;
	p->left--;
	rc = mv_lazy_need(p->vm->lazy, mv_ram_pos(gpa), len, p->err);
	return rc ? rc : 1;
}

/* Walk to the page of a linear address, reading what is on the way and, last, the page. */
static int touch(struct preload *p, const struct paging *g, uint64_t linear)
{
	uint64_t at = g->root, entry = linear;
	unsigned shift = 12 + g->levels * g->bits;
	int rc;

	for (unsigned level = g->levels; level; level--) {
		shift -= g->bits;
		at += (linear >> shift & ((1u << g->bits) - 1)) * g->entry;
		rc = have(p, at, g->entry);
		if (rc <= 0)
			return rc;
		entry = 0;
		memcpy(&entry, mv_vm_at(p->vm, at, g->entry), g->entry);
		if (!(entry & PRESENT))
			return 0;
		/* A page of more than one table's worth: the rest of the address is within it. */
		if (level == 1 || (entry & LARGE)) {
			uint64_t within = (UINT64_C(1) << shift) - 1;

			entry = (entry & FRAME & ~within) | (linear & within);
			break;
		}
		at = entry & FRAME;
	}
	rc = have(p, entry, 1);
	return rc < 0 ? rc : 0;
}

int mv_preload(struct mv_vm *vm, const struct mv_state *state, struct mv_err *err)
{
	struct preload p = { .vm = vm, .left = MOST, .err = err };
	int rc = 0;

	if (!vm->lazy)
		return 0;
	for (uint32_t i = 0; rc == 0 && i < state->nvcpus; i++) {
		const struct mv_vcpu_state *v = &state->vcpus[i];
		const struct mv_sregs *s = &v->sregs;
		const struct paging g = paging_of(s);
		/* In long mode CS and SS have no base, whatever their fields say. */
		bool flat = s->efer & EFER_LMA && s->cs.l;
		const uint64_t first[] = {
			v->regs.rip + (flat ? 0 : s->cs.base), v->regs.rsp + (flat ? 0 : s->ss.base),
			s->idt.base, s->gdt.base, s->gs.base, s->tr.base,
		};

		for (size_t k = 0; rc == 0 && k < sizeof(first) / sizeof(first[0]); k++)
			rc = touch(&p, &g, first[k]);
	}
	return rc;
}
