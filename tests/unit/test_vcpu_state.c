/* SPDX-License-Identifier: MIT */
/*
 * State that no guest can be made to hold at a given moment: set in a VM that never runs, and read
 * back. Needs /dev/kvm; without it there is nothing to test.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vm.h"

static struct mv_kvm kvm;
static struct mv_static *st;
static struct mv_vm *vm;
static struct mv_state *state, *again;

/* The linker puts these in front of vmm/kvm.c: a host without XSAVE, which has no XCR0. */
static bool without_xsave;
/* … and one that takes any SREGS, XCRS and XSAVE: what the last of these had as XSTATE_BV. */
static bool takes_all;
static uint64_t xstate_bv;
/* … and one that gives vCPUs with shadow stacks what a newer kernel does: the last pointer that was set. */
static bool has_ssp;
static uint64_t ssp;
int __real_mv_kvm_cap(int fd, unsigned cap);
int __wrap_mv_kvm_cap(int fd, unsigned cap);
int __real_mv_kvm_call(int fd, unsigned long cmd, const char *name, void *arg, struct mv_err *err);
int __wrap_mv_kvm_call(int fd, unsigned long cmd, const char *name, void *arg, struct mv_err *err);

int __wrap_mv_kvm_cap(int fd, unsigned cap)
{
	return without_xsave && cap == KVM_CAP_XCRS ? 0 : __real_mv_kvm_cap(fd, cap);
}

int __wrap_mv_kvm_call(int fd, unsigned long cmd, const char *name, void *arg, struct mv_err *err)
{
	if (has_ssp && (cmd == KVM_GET_ONE_REG || cmd == KVM_SET_ONE_REG)) {
		const struct kvm_one_reg *r = arg;

		cr_expect_eq(r->id, UINT64_C(0x2030000300000000));
		if (cmd == KVM_GET_ONE_REG)
			*(uint64_t *)(uintptr_t)r->addr = ssp;
		else
			ssp = *(const uint64_t *)(uintptr_t)r->addr;
		return 0;
	}
	if (without_xsave && cmd == KVM_SET_XCRS)
		return mv_err_set(err, MV_E_HOST, "%s: refused by the test", name);
	if (takes_all && cmd == KVM_SET_XSAVE)
		memcpy(&xstate_bv, (uint8_t *)arg + 512, sizeof(xstate_bv));
	if (takes_all && (cmd == KVM_SET_XSAVE || cmd == KVM_SET_XCRS || cmd == KVM_SET_SREGS || cmd == KVM_SET_SREGS2))
		return 0;
	return __real_mv_kvm_call(fd, cmd, name, arg, err);
}

static void swallow(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	(void)data;
	(void)len;
}

static void setup(void)
{
	static const struct mv_table none;
	struct mv_console console = { .write = swallow };
	struct mv_err err = { 0 };

	if (mv_kvm_open(&kvm, &err))
		cr_skip_test("%s", err.msg);
	st = calloc(1, sizeof(*st));
	state = calloc(1, sizeof(*state));
	again = calloc(1, sizeof(*again));
	st->config.ram_size = 4 << 20;
	st->config.nvcpus = 2;
	st->policy.guest = (struct mv_table){ .n = 2, .e = {
		{ .leaf = 0, .reg = { 1, 0x68747541, 0x444d4163, 0x69746e65 } },
		{ .leaf = 1, .reg = { 0x600, 0, 0x80002001, 0x078bfbff } },
	} };
	cr_assert(!mv_vm_create(&vm, &kvm, st, &none, &console, &err), "%s", err.msg);
	cr_assert(!mv_vm_get_state(vm, state, &err), "%s", err.msg);
}

static void teardown(void)
{
	mv_vm_destroy(vm);
	if (state)
		mv_state_finish(state);
	if (again)
		mv_state_finish(again);
	free(state);
	free(again);
	free(st);
	mv_kvm_close(&kvm);
}

TestSuite(vcpu_state, .init = setup, .fini = teardown);

static void there_and_back(void)
{
	struct mv_err err = { 0 };

	cr_assert(!mv_vm_set_state(vm, state, &err), "%s", err.msg);
	cr_assert(!mv_vm_get_state(vm, again, &err), "%s", err.msg);
}

#define SAME(field) \
	cr_expect_eq(again->vcpus[0].field, state->vcpus[0].field, #field " is 0x%llx, was 0x%llx", \
		     (unsigned long long)again->vcpus[0].field, \
		     (unsigned long long)state->vcpus[0].field)

Test(vcpu_state, an_nmi_that_waits_in_a_shadow)
{
	struct mv_events *e = &state->vcpus[0].events;

	e->nmi_pending = 1;
	e->nmi_masked = 1;
	e->interrupt_shadow = 1;
	there_and_back();
	SAME(events.nmi_pending);
	SAME(events.nmi_masked);
	SAME(events.interrupt_shadow);
}

Test(vcpu_state, an_interrupt_on_its_way)
{
	struct mv_events *e = &state->vcpus[0].events;

	e->interrupt_injected = 1;
	e->interrupt_nr = 0x61;
	there_and_back();
	SAME(events.interrupt_injected);
	SAME(events.interrupt_nr);
	SAME(events.interrupt_soft);
}

Test(vcpu_state, an_exception_on_its_way)
{
	struct mv_events *e = &state->vcpus[0].events;

	e->exception_injected = 1;
	e->exception_nr = 14;
	e->exception_has_error_code = 1;
	e->exception_error_code = 0x5;
	state->vcpus[0].sregs.cr2 = 0x123456789000;
	there_and_back();
	SAME(events.exception_injected);
	SAME(events.exception_nr);
	SAME(events.exception_has_error_code);
	SAME(events.exception_error_code);
	SAME(sregs.cr2);
}

/* KVM_MP_STATE_*: 0 runs, 1 never started, 3 halted, 4 waits for INIT's second half. */
Test(vcpu_state, a_cpu_that_does_not_run)
{
	static const uint32_t states[] = { 0, 1, 3 };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		state->vcpus[1].mp_state = states[i];
		there_and_back();
		cr_expect_eq(again->vcpus[1].mp_state, states[i]);
		mv_state_finish(again);
	}
}

Test(vcpu_state, registers)
{
	struct mv_vcpu_state *v = &state->vcpus[0];

	v->regs.r11 = 0x1111222233334444;
	v->regs.rip = 0x1000;
	v->regs.rflags = 0x8d7;
	v->debugregs.db[2] = 0x5000;
	v->debugregs.dr6 = 0xffff0ff5;
	v->debugregs.dr7 = 0x405;
	v->sregs.fs.base = 0x12345000;
	v->sregs.gdt.limit = 0x7f;
	there_and_back();
	SAME(regs.r11);
	SAME(regs.rip);
	SAME(regs.rflags);
	SAME(debugregs.db[2]);
	SAME(debugregs.dr6);
	SAME(debugregs.dr7);
	SAME(sregs.fs.base);
	SAME(sregs.gdt.limit);
}

/* What a file says of XSTATE_BV and XCOMP_BV is not believed. */
Test(vcpu_state, a_hostile_xsave_header)
{
	struct mv_vcpu_state *v = &state->vcpus[0];

	memset(v->xsave + 512, 0xff, 64);
	there_and_back();
	cr_expect_eq(again->vcpus[0].xsave[512] & 0xfc, 0, "components that the guest does not have");
	cr_expect_eq(again->vcpus[0].xsave[527] & 0x80, 0, "a compacted format");
}

/* KVM keeps PKRU in the XSAVE area, also for a guest with protection keys that does not have XCR0.PKRU. */
Test(vcpu_state, protection_keys_without_xcr0)
{
	static const struct {
		const char *name;
		uint64_t cr4, xcr0, given, taken;
	} rows[] = {
		{ "no keys", 0, 3, 0x207, 3 },
		{ "keys, known to XSAVE", 1 << 22, 0x203, 0x203, 0x203 },
		{ "keys, not known to XSAVE", 1 << 22, 3, 0x203, 0x203 },
		{ "and nothing else for that", 1 << 22, 3, 0x2e7, 0x203 },
	};
	struct mv_vcpu_state *v = &state->vcpus[0];
	struct mv_err err = { 0 };

	if (!v->nxcrs)
		cr_skip_test("no XSAVE here");
	takes_all = true;
	state->nvcpus = 1;
	vm->nvcpus = 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		v->sregs.cr4 = rows[i].cr4;
		v->xcrs[0].value = rows[i].xcr0;
		memcpy(v->xsave + 512, &rows[i].given, 8);
		cr_expect(!mv_vm_set_state(vm, state, &err), "%s: %s", rows[i].name, err.msg);
		cr_expect_eq(xstate_bv, rows[i].taken, "%s: 0x%llx", rows[i].name, (unsigned long long)xstate_bv);
	}
	takes_all = false;
	state->nvcpus = 2;
	vm->nvcpus = 2;
}

/* kvm_pvm gives guests the host's own TSC, whatever they are told. */
static bool tsc_can_be_set(void)
{
	uint64_t offset = 12345, now = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset,
	};

	if (mv_kvm_do(vm->vcpu[0].fd, KVM_SET_DEVICE_ATTR, &attr, NULL) < 0)
		return false;
	attr.addr = (uintptr_t)&now;
	return mv_kvm_do(vm->vcpu[0].fd, KVM_GET_DEVICE_ATTR, &attr, NULL) >= 0 && now == offset;
}

/* Younger and older than what KVM takes for an attempt to synchronize. */
Test(vcpu_state, a_tsc_is_what_it_was)
{
	static const uint64_t ages[] = { 1000, UINT64_C(1) << 28, UINT64_C(1) << 50 };
	struct mv_vcpu_state *v;
	struct mv_err err = { 0 };

	if (!tsc_can_be_set())
		cr_skip_test("this host's KVM has no TSC offsets");
	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
		uint64_t khz = state->vcpus[0].tsc_khz, tsc[2] = { 0 };

		for (unsigned c = 0; c < 2; c++) {
			v = &state->vcpus[c];
			v->tsc_offset = state->vcpus[0].tsc_offset + c * 10;
			for (uint32_t k = 0; k < v->nmsrs; k++)
				if (v->msrs[k].index == 0x10)
					v->msrs[k].value = ages[i] + c * 10;
		}
		cr_assert(!mv_vm_set_state(vm, state, &err), "%s", err.msg);
		for (unsigned c = 0; c < 2; c++)
			cr_assert(mv_kvm_get_msr(vm->vcpu[c].fd, 0x10, &tsc[c]));
		/* Ten minutes are a slow machine; a TSC that was not set is off by more. */
		cr_expect_geq(tsc[0], ages[i]);
		cr_expect_lt(tsc[0], ages[i] + khz * 1000 * 600);
		cr_assert(!mv_vm_get_state(vm, again, &err), "%s", err.msg);
		cr_expect_eq(again->vcpus[1].tsc_offset - again->vcpus[0].tsc_offset, 10);
		mv_state_finish(again);
	}
}

/* MSRs that hold zero where a new vCPU holds something else: MISC_ENABLE. */
Test(vcpu_state, an_msr_that_is_zero)
{
	struct mv_vcpu_state *v = &state->vcpus[0];
	uint64_t now = 1;
	uint32_t k;

	for (k = 0; k < v->nmsrs && v->msrs[k].index != 0x1a0; k++)
		;
	cr_assert_lt(k, v->nmsrs);
	v->msrs[k].value = 0;
	there_and_back();
	cr_assert(mv_kvm_get_msr(vm->vcpu[0].fd, 0x1a0, &now));
	cr_expect_eq(now, 0);
}

Test(vcpu_state, an_msr_that_nobody_knows)
{
	struct mv_vcpu_state *v = &state->vcpus[0];
	struct mv_err err = { 0 };

	v->msrs[v->nmsrs].index = 0xdeadbee;
	v->msrs[v->nmsrs++].value = 0;
	cr_expect(!mv_vm_set_state(vm, state, &err), "a zero: %s", err.msg);
	v->msrs[v->nmsrs - 1].value = 1;
	cr_expect_eq(mv_vm_set_state(vm, state, &err), -MV_E_HOST);
	cr_expect(strstr(err.msg, "0xdeadbee"), "%s", err.msg);
}

/* XCR0 with its reset value is what a guest without XSAVE brings from a host with it: nothing to set. */
Test(vcpu_state, a_host_without_xsave)
{
	struct mv_err err = { 0 };
	uint32_t i;

	for (i = 0; i < state->nvcpus; i++) {
		state->vcpus[i].nxcrs = 1;
		state->vcpus[i].xcrs[0] = (struct mv_xcr){ .index = 0, .value = 1 };
	}
	without_xsave = true;
	cr_expect(!mv_vm_set_state(vm, state, &err), "%s", err.msg);
	state->vcpus[0].xcrs[0].value = 3;
	cr_expect_neq(mv_vm_set_state(vm, state, &err), 0);
	without_xsave = false;
}

/* A pointer that is lost would be zero after the move: the first RET then ends the program with #CP. */
Test(vcpu_state, a_shadow_stack)
{
	struct mv_err err = { 0 };

	state->nvcpus = 1;
	vm->nvcpus = 1;
	has_ssp = true;
	ssp = 0x7fff12345008;
	cr_assert(!mv_vm_get_state(vm, again, &err), "%s", err.msg);
	ssp = 0;
	cr_assert(!mv_vm_set_state(vm, again, &err), "%s", err.msg);
	cr_expect_eq(ssp, 0x7fff12345008, "0x%llx", (unsigned long long)ssp);

	/* Where there is none: not silently. */
	has_ssp = false;
	cr_expect_eq(mv_vm_set_state(vm, again, &err), -MV_E_HOST);
	cr_expect(strstr(err.msg, "the shadow stack pointer 0x7fff12345008"), "%s", err.msg);
	for (uint32_t i = 0; i < again->vcpus[0].nmsrs; i++)
		if (again->vcpus[0].msrs[i].index == 0x4b564dff)
			again->vcpus[0].msrs[i].value = 0;
	err = (struct mv_err){ 0 };
	cr_expect(!mv_vm_set_state(vm, again, &err), "one that holds nothing: %s", err.msg);
	state->nvcpus = 2;
	vm->nvcpus = 2;
}
