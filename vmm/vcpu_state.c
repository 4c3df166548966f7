/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's state between KVM and migrate/state.h. The order of the steps is not free: see
 * docs/architecture.md, "State, in which order".
 */
#include <stdlib.h>
#include <string.h>

#include "vm.h"

#define MSR_IA32_XFD 0x1c4
#define XCR0_RESET 1
#define XCR0_X87_SSE UINT64_C(3)
#define XCR0_PKRU (UINT64_C(1) << 9)
#define CR4_PKE (UINT64_C(1) << 22)
#define XSAVE_HEADER 512

struct mv_xsave_header {
	uint64_t xstate_bv, rest[7];
};

#define COPY_SEGMENT(to, from) \
	do { \
		(to).base = (from).base; \
		(to).limit = (from).limit; \
		(to).selector = (from).selector; \
		(to).type = (from).type; \
		(to).present = (from).present; \
		(to).dpl = (from).dpl; \
		(to).db = (from).db; \
		(to).s = (from).s; \
		(to).l = (from).l; \
		(to).g = (from).g; \
		(to).avl = (from).avl; \
		(to).unusable = (from).unusable; \
	} while (0)

/* The same fields in both directions: between struct mv_sregs and either KVM structure. */
#define COPY_SREGS(to, from) \
	do { \
		COPY_SEGMENT((to).cs, (from).cs); \
		COPY_SEGMENT((to).ds, (from).ds); \
		COPY_SEGMENT((to).es, (from).es); \
		COPY_SEGMENT((to).fs, (from).fs); \
		COPY_SEGMENT((to).gs, (from).gs); \
		COPY_SEGMENT((to).ss, (from).ss); \
		COPY_SEGMENT((to).tr, (from).tr); \
		COPY_SEGMENT((to).ldt, (from).ldt); \
		(to).gdt.base = (from).gdt.base; \
		(to).gdt.limit = (from).gdt.limit; \
		(to).idt.base = (from).idt.base; \
		(to).idt.limit = (from).idt.limit; \
		(to).cr0 = (from).cr0; \
		(to).cr2 = (from).cr2; \
		(to).cr3 = (from).cr3; \
		(to).cr4 = (from).cr4; \
		(to).cr8 = (from).cr8; \
		(to).efer = (from).efer; \
		(to).apic_base = (from).apic_base; \
	} while (0)

#define COPY_REGS(to, from) \
	do { \
		(to).rax = (from).rax; \
		(to).rbx = (from).rbx; \
		(to).rcx = (from).rcx; \
		(to).rdx = (from).rdx; \
		(to).rsi = (from).rsi; \
		(to).rdi = (from).rdi; \
		(to).rsp = (from).rsp; \
		(to).rbp = (from).rbp; \
		(to).r8 = (from).r8; \
		(to).r9 = (from).r9; \
		(to).r10 = (from).r10; \
		(to).r11 = (from).r11; \
		(to).r12 = (from).r12; \
		(to).r13 = (from).r13; \
		(to).r14 = (from).r14; \
		(to).r15 = (from).r15; \
		(to).rip = (from).rip; \
		(to).rflags = (from).rflags; \
	} while (0)

static int get_regs(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_regs r;
	int rc = mv_kvm_do(v->fd, KVM_GET_REGS, &r, err);

	if (rc >= 0)
		COPY_REGS(s->regs, r);
	return rc;
}

static int set_regs(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_regs r = { 0 };

	COPY_REGS(r, s->regs);
	return mv_kvm_do(v->fd, KVM_SET_REGS, &r, err);
}

/* SREGS2 carries the PAE page-directory pointers as they were loaded, which memory may not. */
static int get_sregs(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_sregs2 r2;
	struct kvm_sregs r;
	int rc;

	if (mv_kvm_cap(v->vm->fd, KVM_CAP_SREGS2)) {
		rc = mv_kvm_do(v->fd, KVM_GET_SREGS2, &r2, err);
		if (rc < 0)
			return rc;
		COPY_SREGS(s->sregs, r2);
		s->sregs.pdptrs_valid = r2.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
		memcpy(s->sregs.pdptrs, r2.pdptrs, sizeof(r2.pdptrs));
		return 0;
	}
	rc = mv_kvm_do(v->fd, KVM_GET_SREGS, &r, err);
	if (rc >= 0)
		COPY_SREGS(s->sregs, r);
	return rc;
}

static int set_sregs(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_sregs2 r2 = { 0 };
	struct kvm_sregs r = { 0 };

	if (mv_kvm_cap(v->vm->fd, KVM_CAP_SREGS2)) {
		COPY_SREGS(r2, s->sregs);
		if (s->sregs.pdptrs_valid) {
			r2.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
			memcpy(r2.pdptrs, s->sregs.pdptrs, sizeof(r2.pdptrs));
		}
		return mv_kvm_do(v->fd, KVM_SET_SREGS2, &r2, err);
	}
	COPY_SREGS(r, s->sregs);
	return mv_kvm_do(v->fd, KVM_SET_SREGS, &r, err);
}

static int get_xcrs(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_xcrs x;
	int rc;

	if (!mv_kvm_cap(v->vm->fd, KVM_CAP_XCRS))
		return 0;
	rc = mv_kvm_do(v->fd, KVM_GET_XCRS, &x, err);
	for (uint32_t i = 0; rc >= 0 && i < x.nr_xcrs && i < MV_MAX_XCRS; i++)
		s->xcrs[s->nxcrs++] = (struct mv_xcr){ x.xcrs[i].xcr, x.xcrs[i].value };
	return rc;
}

static int set_xcrs(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_xcrs x = { .nr_xcrs = s->nxcrs };

	if (!s->nxcrs)
		return 0;
	/* A host without XSAVE has no XCR0; a guest that was not shown XSAVE could not change its reset value. */
	if (!mv_kvm_cap(v->vm->fd, KVM_CAP_XCRS) && s->nxcrs == 1 && s->xcrs[0].value == XCR0_RESET)
		return 0;
	for (uint32_t i = 0; i < s->nxcrs; i++) {
		x.xcrs[i].xcr = s->xcrs[i].index;
		x.xcrs[i].value = s->xcrs[i].value;
	}
	return mv_kvm_do(v->fd, KVM_SET_XCRS, &x, err);
}

/* Bytes of the XSAVE area: 4096 before KVM_CAP_XSAVE2, then what the capability says. */
static int xsave_size(struct mv_vcpu *v)
{
	int size = mv_kvm_cap(v->vm->fd, KVM_CAP_XSAVE2);

	return size > (int)sizeof(struct kvm_xsave) ? size : (int)sizeof(struct kvm_xsave);
}

static int get_xsave(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	int size = xsave_size(v), rc;
	struct kvm_xsave *x;

	if (size > MV_MAX_XSAVE)
		return mv_err_set(err, MV_E_HOST, "an XSAVE area of %d bytes is more than %d", size,
				  MV_MAX_XSAVE);
	x = calloc(1, MV_MAX_XSAVE);
	if (!x)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	rc = mv_kvm_cap(v->vm->fd, KVM_CAP_XSAVE2) ? mv_kvm_do(v->fd, KVM_GET_XSAVE2, x, err)
						   : mv_kvm_do(v->fd, KVM_GET_XSAVE, x, err);
	s->xsave_size = (uint32_t)size;
	memcpy(s->xsave, x, (size_t)size);
	free(x);
	return rc;
}

static uint64_t saved_msr(const struct mv_vcpu_state *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->nmsrs; i++)
		if (s->msrs[i].index == index)
			return s->msrs[i].value;
	return 0;
}

/*
 * The XSAVE header from a file never goes to the kernel as it is. Components outside the guest's XCR0
 * are refused by some kernels; one that XFD disables, and a compacted format, have crashed hosts. PKRU
 * counts, too, for a guest that has protection keys on without XSAVE knowing: KVM keeps it in that area.
 */
static void sanitise_header(struct mv_xsave_header *h, const struct mv_vcpu_state *s)
{
	uint64_t xcr0 = s->nxcrs ? s->xcrs[0].value : XCR0_X87_SSE;
	uint64_t keys = s->sregs.cr4 & CR4_PKE ? XCR0_PKRU : 0;

	h->xstate_bv &= ((xcr0 | keys) & ~saved_msr(s, MSR_IA32_XFD)) | XCR0_X87_SSE;
	memset(h->rest, 0, sizeof(h->rest));
}

static int set_xsave(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_xsave *x;
	int size = xsave_size(v), rc;

	if (s->xsave_size > (uint32_t)size && size > 0)
		return mv_err_set(err, MV_E_HOST,
				  "the saved XSAVE area has %u bytes, this host's KVM takes %d",
				  s->xsave_size, size);
	x = calloc(1, MV_MAX_XSAVE);
	if (!x)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	memcpy(x, s->xsave, s->xsave_size);
	sanitise_header((struct mv_xsave_header *)((uint8_t *)x + XSAVE_HEADER), s);
	rc = mv_kvm_do(v->fd, KVM_SET_XSAVE, x, err);
	free(x);
	return rc;
}

static int get_debugregs(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_debugregs d;
	int rc = mv_kvm_do(v->fd, KVM_GET_DEBUGREGS, &d, err);

	if (rc < 0)
		return rc;
	memcpy(s->debugregs.db, d.db, sizeof(d.db));
	s->debugregs.dr6 = d.dr6;
	s->debugregs.dr7 = d.dr7;
	return 0;
}

static int set_debugregs(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_debugregs d = { .dr6 = s->debugregs.dr6, .dr7 = s->debugregs.dr7 };

	memcpy(d.db, s->debugregs.db, sizeof(d.db));
	return mv_kvm_do(v->fd, KVM_SET_DEBUGREGS, &d, err);
}

static int get_lapic(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_lapic_state l;
	int rc = mv_kvm_do(v->fd, KVM_GET_LAPIC, &l, err);

	if (rc >= 0)
		memcpy(s->lapic, l.regs, sizeof(l.regs));
	return rc;
}

static int set_lapic(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_lapic_state l;

	memcpy(l.regs, s->lapic, sizeof(l.regs));
	return mv_kvm_do(v->fd, KVM_SET_LAPIC, &l, err);
}

static int get_events(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	struct mv_events *o = &s->events;
	struct kvm_vcpu_events e;
	int rc = mv_kvm_do(v->fd, KVM_GET_VCPU_EVENTS, &e, err);

	if (rc < 0)
		return rc;
	o->exception_injected = e.exception.injected;
	o->exception_nr = e.exception.nr;
	o->exception_has_error_code = e.exception.has_error_code;
	o->exception_pending = e.exception.pending;
	o->exception_error_code = e.exception.error_code;
	o->exception_has_payload = e.exception_has_payload;
	o->exception_payload = e.exception_payload;
	o->interrupt_injected = e.interrupt.injected;
	o->interrupt_nr = e.interrupt.nr;
	o->interrupt_soft = e.interrupt.soft;
	o->interrupt_shadow = e.interrupt.shadow;
	o->nmi_injected = e.nmi.injected;
	o->nmi_pending = e.nmi.pending;
	o->nmi_masked = e.nmi.masked;
	o->sipi_vector = e.sipi_vector;
	o->smi_smm = e.smi.smm;
	o->smi_pending = e.smi.pending;
	o->smi_inside_nmi = e.smi.smm_inside_nmi;
	o->smi_latched_init = e.smi.latched_init;
	o->triple_fault_pending = e.triple_fault.pending;
	o->flags = e.flags;
	return 0;
}

static int set_events(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	const struct mv_events *o = &s->events;
	/* Payloads and triple faults need a capability of their own, which is not enabled. */
	struct kvm_vcpu_events e = {
		.exception.injected = o->exception_injected,
		.exception.nr = o->exception_nr,
		.exception.has_error_code = o->exception_has_error_code,
		.exception.error_code = o->exception_error_code,
		.interrupt.injected = o->interrupt_injected,
		.interrupt.nr = o->interrupt_nr,
		.interrupt.soft = o->interrupt_soft,
		.interrupt.shadow = o->interrupt_shadow,
		.nmi.injected = o->nmi_injected,
		.nmi.pending = o->nmi_pending,
		.nmi.masked = o->nmi_masked,
		.sipi_vector = o->sipi_vector,
		.smi.smm = o->smi_smm,
		.smi.pending = o->smi_pending,
		.smi.smm_inside_nmi = o->smi_inside_nmi,
		.smi.latched_init = o->smi_latched_init,
		.flags = o->flags & (KVM_VCPUEVENT_VALID_NMI_PENDING |
				     KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SHADOW |
				     KVM_VCPUEVENT_VALID_SMM),
	};

	return mv_kvm_do(v->fd, KVM_SET_VCPU_EVENTS, &e, err);
}

static int get_mp_state(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_mp_state m;
	int rc = mv_kvm_do(v->fd, KVM_GET_MP_STATE, &m, err);

	if (rc >= 0)
		s->mp_state = m.mp_state;
	return rc;
}

static int set_mp_state(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_mp_state m = { .mp_state = s->mp_state };

	return mv_kvm_do(v->fd, KVM_SET_MP_STATE, &m, err);
}

static int get_tsc(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_device_attr offset = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&s->tsc_offset,
	};
	int khz = mv_kvm_do_value(v->fd, KVM_GET_TSC_KHZ, 0, err);

	if (khz < 0)
		return khz;
	s->tsc_khz = (uint32_t)khz;
	s->has_tsc_offset = mv_kvm_do(v->fd, KVM_GET_DEVICE_ATTR, &offset, NULL) >= 0;
	return 0;
}

/* 250 ppm are what guests absorb; beyond, the verdict has made sure that KVM can scale. */
static int set_tsc_khz(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	int64_t have = mv_kvm_do_value(v->fd, KVM_GET_TSC_KHZ, 0, err), want = s->tsc_khz;
	int64_t diff = have > want ? have - want : want - have;

	if (have < 0)
		return (int)have;
	if (!want || diff * 1000000 <= want * 250)
		return 0;
	return mv_kvm_do_value(v->fd, KVM_SET_TSC_KHZ, s->tsc_khz, err);
}

struct step {
	int (*get)(struct mv_vcpu *, struct mv_vcpu_state *, struct mv_err *);
	int (*set)(struct mv_vcpu *, const struct mv_vcpu_state *, struct mv_err *);
};

/*
 * MP_STATE first: its getter accepts pending APIC events and may change registers. Events last, when
 * nothing can change them any more.
 */
static const struct step get_order[] = {
	{ .get = get_mp_state }, { .get = get_regs },	   { .get = get_sregs },
	{ .get = get_xsave },	 { .get = get_xcrs },	   { .get = get_debugregs },
	{ .get = get_lapic },	 { .get = get_tsc },	   { .get = mv_msrs_get },
	{ .get = get_events },
};

/*
 * SREGS early: EFER, CR4 and the APIC base decide what the rest may be. REGS before EVENTS, because it
 * clears pending exceptions. XCRS before XSAVE. LAPIC before the MSRs, where TSC_DEADLINE comes last.
 * MP_STATE at the very end: SREGS may force a BSP to run.
 */
static const struct step set_order[] = {
	{ .set = set_tsc_khz },	  { .set = set_sregs }, { .set = set_regs },
	{ .set = set_xcrs },	  { .set = set_xsave }, { .set = set_debugregs },
	{ .set = set_lapic },	  { .set = mv_msrs_set }, { .set = set_events },
	{ .set = set_mp_state },
};

int mv_vcpu_get_state(struct mv_vcpu *vcpu, struct mv_vcpu_state *s, struct mv_err *err)
{
	memset(s, 0, sizeof(*s));
	s->id = vcpu->id;
	for (size_t i = 0; i < sizeof(get_order) / sizeof(get_order[0]); i++) {
		int rc = get_order[i].get(vcpu, s, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int mv_vcpu_set_state(struct mv_vcpu *vcpu, const struct mv_vcpu_state *s, struct mv_err *err)
{
	for (size_t i = 0; i < sizeof(set_order) / sizeof(set_order[0]); i++) {
		int rc = set_order[i].set(vcpu, s, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}
