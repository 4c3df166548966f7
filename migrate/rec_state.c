/* SPDX-License-Identifier: MIT */
/* The codecs of what changes while the machine runs (docs/stream-format.md, section 5.8). */
#include <inttypes.h>
#include <string.h>

#include "records.h"

#define CPUID_LENGTH 2	/* 0f a2 */
#define LOW_RAM (UINT64_C(3) << 30)	/* RAM beyond this is not where it would be without the gap */

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void walk_u64s(struct mv_wire *w, uint64_t *const *fields, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		mv_wire_u64(w, fields[i]);
}

static void walk_u8s(struct mv_wire *w, uint8_t *const *fields, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		mv_wire_u8(w, fields[i]);
}

void mv_walk_clock(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	(void)index;
	mv_wire_u64(w, &rs->state->clock_ns);
}

static void walk_pit_channel(struct mv_wire *w, struct mv_pit_channel *c)
{
	uint8_t *const bytes[] = {
		&c->count_latched, &c->status_latched, &c->status, &c->read_state, &c->write_state,
		&c->write_latch, &c->rw_mode, &c->mode, &c->bcd, &c->gate,
	};

	mv_wire_u32(w, &c->count);
	mv_wire_u16(w, &c->latched_count);
	walk_u8s(w, bytes, ARRAY_SIZE(bytes));
	mv_wire_i64(w, &c->count_load_time);
}

static void walk_pic(struct mv_wire *w, struct mv_pic *p)
{
	uint8_t *const bytes[] = {
		&p->last_irr, &p->irr, &p->imr, &p->isr, &p->priority_add, &p->irq_base,
		&p->read_reg_select, &p->poll, &p->special_mask, &p->init_state, &p->auto_eoi,
		&p->rotate_on_auto_eoi, &p->special_fully_nested_mode, &p->init4, &p->elcr,
		&p->elcr_mask,
	};

	walk_u8s(w, bytes, ARRAY_SIZE(bytes));
}

static void walk_ioapic(struct mv_wire *w, struct mv_ioapic *a)
{
	size_t i;

	mv_wire_u64(w, &a->base_address);
	mv_wire_u32(w, &a->ioregsel);
	mv_wire_u32(w, &a->id);
	mv_wire_u32(w, &a->irr);
	for (i = 0; i < ARRAY_SIZE(a->redirtbl); i++)
		mv_wire_u64(w, &a->redirtbl[i]);
}

void mv_walk_irqchip(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_state *s = rs->state;
	size_t i;

	(void)index;
	if (mv_wire_decoding(w))
		s->has_irqchip = true;
	for (i = 0; i < ARRAY_SIZE(s->pit); i++)
		walk_pit_channel(w, &s->pit[i]);
	mv_wire_u32(w, &s->pit_flags);
	for (i = 0; i < ARRAY_SIZE(s->pic); i++)
		walk_pic(w, &s->pic[i]);
	walk_ioapic(w, &s->ioapic);
}

void mv_walk_device(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_state *s = rs->state;
	struct mv_device_state *d = &s->devices[index];
	uint32_t i;

	if (mv_wire_decoding(w))
		s->ndevices = index + 1;
	mv_wire_str(w, d->name, sizeof(d->name), "the device's name");
	if (!d->name[0])
		mv_wire_fail(w, "the device has no name");
	for (i = 0; i < index; i++)
		if (!strcmp(d->name, s->devices[i].name))
			mv_wire_fail(w, "a second device %s", d->name);
	mv_wire_count(w, &d->size, 0, MV_MAX_DEVICE_STATE, 1, "the size of the device's data");
	if (mv_wire_ok(w))
		mv_wire_bytes(w, d->data, d->size);
}

void mv_walk_cpuid_sites(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	uint64_t least = 0, low = rs->config->ram_size < LOW_RAM ? rs->config->ram_size : LOW_RAM;
	struct mv_state *s = rs->state;
	uint32_t i;

	(void)index;
	mv_wire_count(w, &s->nsites, 0, MV_MAX_SITES, 8, "the number of sites");
	for (i = 0; i < s->nsites && mv_wire_ok(w); i++) {
		mv_wire_u64(w, &s->sites[i]);
		if (s->sites[i] > low - CPUID_LENGTH)
			mv_wire_fail(w, "site 0x%" PRIx64 " is outside RAM", s->sites[i]);
		else if (s->sites[i] < least)
			mv_wire_fail(w, "site 0x%" PRIx64 " is not after the one before it",
				     s->sites[i]);
		least = s->sites[i] + CPUID_LENGTH;
	}
}

static void walk_regs(struct mv_wire *w, struct mv_regs *r)
{
	uint64_t *const regs[] = {
		&r->rax, &r->rbx, &r->rcx, &r->rdx, &r->rsi, &r->rdi, &r->rsp, &r->rbp, &r->r8,
		&r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15, &r->rip, &r->rflags,
	};

	walk_u64s(w, regs, ARRAY_SIZE(regs));
}

static void walk_segment(struct mv_wire *w, struct mv_segment *s)
{
	mv_wire_u64(w, &s->base);
	mv_wire_u32(w, &s->limit);
	mv_wire_u16(w, &s->selector);
	mv_wire_u8_max(w, &s->type, 15, "a segment's type");
	mv_wire_u8_max(w, &s->present, 1, "a segment's P");
	mv_wire_u8_max(w, &s->dpl, 3, "a segment's DPL");
	mv_wire_u8_max(w, &s->db, 1, "a segment's DB");
	mv_wire_u8_max(w, &s->s, 1, "a segment's S");
	mv_wire_u8_max(w, &s->l, 1, "a segment's L");
	mv_wire_u8_max(w, &s->g, 1, "a segment's G");
	mv_wire_u8_max(w, &s->avl, 1, "a segment's AVL");
	mv_wire_u8_max(w, &s->unusable, 1, "a segment's unusable flag");
}

static void walk_sregs(struct mv_wire *w, struct mv_sregs *s)
{
	struct mv_segment *const segments[] = {
		&s->cs, &s->ds, &s->es, &s->fs, &s->gs, &s->ss, &s->tr, &s->ldt,
	};
	uint64_t *const control[] = {
		&s->cr0, &s->cr2, &s->cr3, &s->cr4, &s->cr8, &s->efer, &s->apic_base,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(segments); i++)
		walk_segment(w, segments[i]);
	mv_wire_u64(w, &s->gdt.base);
	mv_wire_u16(w, &s->gdt.limit);
	mv_wire_u64(w, &s->idt.base);
	mv_wire_u16(w, &s->idt.limit);
	walk_u64s(w, control, ARRAY_SIZE(control));
	mv_wire_bool(w, &s->pdptrs_valid, "pdptrs_valid");
	for (i = 0; s->pdptrs_valid && i < ARRAY_SIZE(s->pdptrs); i++)
		mv_wire_u64(w, &s->pdptrs[i]);
}

static void walk_debugregs(struct mv_wire *w, struct mv_debugregs *d)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(d->db); i++)
		mv_wire_u64(w, &d->db[i]);
	mv_wire_u64(w, &d->dr6);
	mv_wire_u64(w, &d->dr7);
}

static void walk_events(struct mv_wire *w, struct mv_events *e)
{
	uint8_t *const exception[] = {
		&e->exception_injected, &e->exception_nr, &e->exception_has_error_code,
		&e->exception_pending,
	};
	uint8_t *const interrupt[] = {
		&e->interrupt_injected, &e->interrupt_nr, &e->interrupt_soft, &e->interrupt_shadow,
		&e->nmi_injected, &e->nmi_pending, &e->nmi_masked,
	};
	uint8_t *const smi[] = {
		&e->smi_smm, &e->smi_pending, &e->smi_inside_nmi, &e->smi_latched_init,
		&e->triple_fault_pending,
	};

	walk_u8s(w, exception, ARRAY_SIZE(exception));
	mv_wire_u32(w, &e->exception_error_code);
	mv_wire_bool(w, &e->exception_has_payload, "exception_has_payload");
	mv_wire_u64(w, &e->exception_payload);
	walk_u8s(w, interrupt, ARRAY_SIZE(interrupt));
	mv_wire_u32(w, &e->sipi_vector);
	walk_u8s(w, smi, ARRAY_SIZE(smi));
	mv_wire_u32(w, &e->flags);
}

static void walk_id(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_vcpu_state *v = &rs->state->vcpus[index];
	uint32_t i;

	mv_wire_u32_range(w, &v->id, 0, rs->config->nvcpus - 1, "the vCPU's id");
	for (i = 0; i < index; i++)
		if (v->id == rs->state->vcpus[i].id)
			mv_wire_fail(w, "a second vCPU %" PRIu32, v->id);
}

void mv_walk_vcpu(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_vcpu_state *v = &rs->state->vcpus[index];
	uint32_t i;

	walk_id(w, rs, index);
	walk_regs(w, &v->regs);
	walk_sregs(w, &v->sregs);
	mv_wire_count(w, &v->nxcrs, 0, MV_MAX_XCRS, 12, "the number of XCRs");
	for (i = 0; i < v->nxcrs && mv_wire_ok(w); i++) {
		mv_wire_u32(w, &v->xcrs[i].index);
		mv_wire_u64(w, &v->xcrs[i].value);
	}
	/* 512 legacy bytes and the 64-byte header are always there. */
	mv_wire_count(w, &v->xsave_size, 576, MV_MAX_XSAVE, 1, "the size of the XSAVE area");
	if (mv_wire_ok(w))
		mv_wire_bytes(w, v->xsave, v->xsave_size);
	walk_debugregs(w, &v->debugregs);
	mv_wire_bytes(w, v->lapic, sizeof(v->lapic));
	mv_wire_count(w, &v->nmsrs, 0, MV_MAX_MSRS, 12, "the number of MSRs");
	for (i = 0; i < v->nmsrs && mv_wire_ok(w); i++) {
		mv_wire_u32(w, &v->msrs[i].index);
		mv_wire_u64(w, &v->msrs[i].value);
	}
	walk_events(w, &v->events);
	mv_wire_u32(w, &v->mp_state);
	mv_wire_u32(w, &v->tsc_khz);
	mv_wire_bool(w, &v->has_tsc_offset, "has_tsc_offset");
	if (v->has_tsc_offset)
		mv_wire_u64(w, &v->tsc_offset);
}
