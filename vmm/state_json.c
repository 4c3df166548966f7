/* SPDX-License-Identifier: MIT */
#include "state_json.h"

#include <stdlib.h>

#define REGS(X) \
	X(rax) X(rbx) X(rcx) X(rdx) X(rsi) X(rdi) X(rsp) X(rbp) X(r8) X(r9) X(r10) X(r11) X(r12) \
	X(r13) X(r14) X(r15) X(rip) X(rflags)
#define SEGMENTS(X) \
	X(cs) X(ds) X(es) X(fs) X(gs) X(ss) X(tr) X(ldt)
#define SEGMENT_FIELDS(X) \
	X(base) X(limit) X(selector) X(type) X(present) X(dpl) X(db) X(s) X(l) X(g) X(avl) \
	X(unusable)
#define CONTROL(X) \
	X(cr0) X(cr2) X(cr3) X(cr4) X(cr8) X(efer) X(apic_base)
#define EVENTS(X) \
	X(exception_injected) X(exception_nr) X(exception_has_error_code) X(exception_pending) \
	X(exception_error_code) X(exception_has_payload) X(exception_payload) \
	X(interrupt_injected) X(interrupt_nr) X(interrupt_soft) X(interrupt_shadow) \
	X(nmi_injected) X(nmi_pending) X(nmi_masked) X(sipi_vector) X(smi_smm) X(smi_pending) \
	X(smi_inside_nmi) X(smi_latched_init) X(triple_fault_pending) X(flags)
#define PIT(X) \
	X(count) X(latched_count) X(count_latched) X(status_latched) X(status) X(read_state) \
	X(write_state) X(write_latch) X(rw_mode) X(mode) X(bcd) X(gate)
#define PIC(X) \
	X(last_irr) X(irr) X(imr) X(isr) X(priority_add) X(irq_base) X(read_reg_select) X(poll) \
	X(special_mask) X(init_state) X(auto_eoi) X(rotate_on_auto_eoi) \
	X(special_fully_nested_mode) X(init4) X(elcr) X(elcr_mask)

/* Numbers as "0x..": JSON's own lose bits beyond 53. */
static void put(struct json_object *o, const char *name, uint64_t v)
{
	json_object_object_add(o, name, mv_json_hex(v, 1));
}

#define PUT(field) put(o, #field, from->field);

static struct json_object *numbers(const uint64_t *v, size_t n)
{
	struct json_object *list = json_object_new_array_ext((int)n);

	for (size_t i = 0; i < n; i++)
		json_object_array_add(list, mv_json_hex(v[i], 1));
	return list;
}

/* Bytes as two digits each. */
static struct json_object *bytes(const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * n + 1);
	struct json_object *o;

	if (!text)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		text[2 * i] = digits[p[i] >> 4];
		text[2 * i + 1] = digits[p[i] & 15];
	}
	o = json_object_new_string_len(text, (int)(2 * n));
	free(text);
	return o;
}

static struct json_object *pairs(const struct mv_msr *m, size_t n)
{
	struct json_object *list = json_object_new_array_ext((int)n);

	for (size_t i = 0; i < n; i++) {
		struct json_object *pair = json_object_new_array_ext(2);

		json_object_array_add(pair, mv_json_hex(m[i].index, 1));
		json_object_array_add(pair, mv_json_hex(m[i].value, 1));
		json_object_array_add(list, pair);
	}
	return list;
}

static struct json_object *segment(const struct mv_segment *from)
{
	struct json_object *o = json_object_new_object();

	SEGMENT_FIELDS(PUT)
	return o;
}

static struct json_object *dtable(const struct mv_dtable *from)
{
	struct json_object *o = json_object_new_object();

	PUT(base)
	PUT(limit)
	return o;
}

static struct json_object *sregs(const struct mv_sregs *from)
{
	struct json_object *o = json_object_new_object();

#define PUT_SEGMENT(name) json_object_object_add(o, #name, segment(&from->name));
	SEGMENTS(PUT_SEGMENT)
	json_object_object_add(o, "gdt", dtable(&from->gdt));
	json_object_object_add(o, "idt", dtable(&from->idt));
	CONTROL(PUT)
	json_object_object_add(o, "pdptrs", from->pdptrs_valid ? numbers(from->pdptrs, 4) : NULL);
	return o;
}

static struct json_object *regs(const struct mv_regs *from)
{
	struct json_object *o = json_object_new_object();

	REGS(PUT)
	return o;
}

static struct json_object *events(const struct mv_events *from)
{
	struct json_object *o = json_object_new_object();

	EVENTS(PUT)
	return o;
}

static struct json_object *debugregs(const struct mv_debugregs *d)
{
	const uint64_t all[] = { d->db[0], d->db[1], d->db[2], d->db[3], d->dr6, d->dr7 };

	return numbers(all, sizeof(all) / sizeof(all[0]));
}

static struct json_object *xcrs(const struct mv_vcpu_state *v)
{
	struct mv_msr all[MV_MAX_XCRS];

	for (uint32_t i = 0; i < v->nxcrs; i++)
		all[i] = (struct mv_msr){ v->xcrs[i].index, v->xcrs[i].value };
	return pairs(all, v->nxcrs);
}

static struct json_object *vcpu(const struct mv_vcpu_state *from)
{
	struct json_object *o = json_object_new_object();

	PUT(id)
	json_object_object_add(o, "regs", regs(&from->regs));
	json_object_object_add(o, "sregs", sregs(&from->sregs));
	json_object_object_add(o, "xcrs", xcrs(from));
	json_object_object_add(o, "xsave", bytes(from->xsave, from->xsave_size));
	json_object_object_add(o, "debugregs", debugregs(&from->debugregs));
	json_object_object_add(o, "lapic", bytes(from->lapic, sizeof(from->lapic)));
	json_object_object_add(o, "msrs", pairs(from->msrs, from->nmsrs));
	json_object_object_add(o, "events", events(&from->events));
	PUT(mp_state)
	PUT(tsc_khz)
	json_object_object_add(o, "tsc_offset",
			       from->has_tsc_offset ? mv_json_hex(from->tsc_offset, 1) : NULL);
	return o;
}

static struct json_object *pit_channel(const struct mv_pit_channel *from)
{
	struct json_object *o = json_object_new_object();

	PIT(PUT)
	json_object_object_add(o, "count_load_time", json_object_new_int64(from->count_load_time));
	return o;
}

static struct json_object *pic(const struct mv_pic *from)
{
	struct json_object *o = json_object_new_object();

	PIC(PUT)
	return o;
}

static struct json_object *ioapic(const struct mv_ioapic *from)
{
	struct json_object *o = json_object_new_object();

	PUT(base_address)
	PUT(ioregsel)
	PUT(id)
	PUT(irr)
	json_object_object_add(o, "redirtbl",
			       numbers(from->redirtbl, sizeof(from->redirtbl) / sizeof(uint64_t)));
	return o;
}

static struct json_object *irqchip(const struct mv_state *s)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (unsigned i = 0; i < 3; i++)
		json_object_array_add(list, pit_channel(&s->pit[i]));
	json_object_object_add(o, "pit", list);
	put(o, "pit_flags", s->pit_flags);
	list = json_object_new_array();
	for (unsigned i = 0; i < 2; i++)
		json_object_array_add(list, pic(&s->pic[i]));
	json_object_object_add(o, "pic", list);
	json_object_object_add(o, "ioapic", ioapic(&s->ioapic));
	return o;
}

struct json_object *mv_state_to_json(const struct mv_state *s)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	put(o, "clock_ns", s->clock_ns);
	json_object_object_add(o, "irqchip", s->has_irqchip ? irqchip(s) : NULL);
	for (uint32_t i = 0; i < s->ndevices; i++) {
		struct json_object *d = json_object_new_object();

		json_object_object_add(d, "name", json_object_new_string(s->devices[i].name));
		json_object_object_add(d, "data", bytes(s->devices[i].data, s->devices[i].size));
		json_object_array_add(list, d);
	}
	json_object_object_add(o, "devices", list);
	json_object_object_add(o, "cpuid-sites", numbers(s->sites, s->nsites));
	list = json_object_new_array();
	for (uint32_t i = 0; i < s->nvcpus; i++)
		json_object_array_add(list, vcpu(&s->vcpus[i]));
	json_object_object_add(o, "vcpus", list);
	return o;
}

struct json_object *mv_manifest_to_json(const struct mv_manifest *m)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	put(o, "chunk_size", m->chunk_size);
	for (uint32_t i = 0; i < m->nruns; i++) {
		const uint64_t run[] = { m->runs[i].pos, m->runs[i].npages, m->runs[i].offset };

		json_object_array_add(list, numbers(run, 3));
	}
	json_object_object_add(o, "runs", list);
	json_object_object_add(o, "sums", numbers(m->sums, m->nchunks));
	return o;
}
