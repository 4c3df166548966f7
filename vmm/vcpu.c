/* SPDX-License-Identifier: MIT */
/* The vCPU thread: run, look at the exit, serve CPUID where KVM does not. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "apply.h"
#include "guest-tests/abi.h"
#include "io.h"
#include "vm.h"

/* Bits of exit handling: what the loop does next. */
enum next { GO_ON, STOP };

static enum next fail(struct mv_vcpu *vcpu, struct mv_event *e)
{
	e->kind = MV_EVENT_ERROR;
	mv_vm_post(vcpu->vm, e);
	return STOP;
}

/* A pending port access is complete only once KVM_RUN was entered again. */
static void complete_io(struct mv_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	mv_kvm_run(vcpu->fd);
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

/* Guest-physical address of a guest-virtual one; UINT64_MAX if it is not mapped. */
static uint64_t translate(struct mv_vcpu *vcpu, uint64_t gva)
{
	struct kvm_translation t = { .linear_address = gva };

	if (mv_kvm_do(vcpu->fd, KVM_TRANSLATE, &t, NULL) < 0 || !t.valid)
		return UINT64_MAX;
	return t.physical_address;
}

static int cpu_now(struct mv_vcpu *vcpu, uint32_t leaf, struct mv_cpu_now *now, struct mv_err *err)
{
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	int rc = 0;

	memset(now, 0, sizeof(*now));
	now->xcr0 = 1;
	if (leaf != 1 && leaf != 7 && leaf != 0xd)
		return 0;
	rc = mv_kvm_do(vcpu->fd, KVM_GET_SREGS, &sregs, err);
	if (rc < 0)
		return rc;
	now->cr4 = sregs.cr4;
	if (leaf != 0xd)
		return 0;
	rc = mv_kvm_do(vcpu->fd, KVM_GET_XCRS, &xcrs, err);
	if (rc >= 0 && xcrs.nr_xcrs)
		now->xcr0 = xcrs.xcrs[0].value;
	return rc < 0 ? rc : 0;
}

static void trace_cpuid(struct mv_vcpu *vcpu, const struct kvm_regs *regs,
			const uint32_t out[MV_NREGS])
{
	struct mv_trace_event e = {
		.cpu = vcpu->id, .has_rip = true, .rip = regs->rip - 2, .cpl = -1,
		.leaf = (uint32_t)regs->rax, .subleaf = (uint32_t)regs->rcx,
	};
	struct kvm_sregs sregs;

	/* SS.DPL is the CPL in every mode (SDM Vol. 3A, 5.5; APM Vol. 2, 15.5.1). */
	if (mv_kvm_do(vcpu->fd, KVM_GET_SREGS, &sregs, NULL) >= 0)
		e.cpl = sregs.ss.dpl;
	memcpy(e.served, out, sizeof(e.served));
	mv_trace_record(vcpu->vm->trace, &e);
}

/* Answer the CPUID of which regs are the state behind it, but for its result, from the guest table. */
static int serve_cpuid(struct mv_vcpu *vcpu, struct kvm_regs *regs, struct mv_err *err)
{
	uint32_t out[MV_NREGS];
	struct mv_table table;
	struct mv_cpu_now now;
	int rc = cpu_now(vcpu, (uint32_t)regs->rax, &now, err);

	if (rc)
		return rc;
	mv_table_for_cpu(&table, &vcpu->vm->st->policy.guest, vcpu->id);
	mv_table_answer(&table, &now, (uint32_t)regs->rax, (uint32_t)regs->rcx, out);
	if (vcpu->vm->trace)
		trace_cpuid(vcpu, regs, out);
	regs->rax = out[MV_EAX];
	regs->rbx = out[MV_EBX];
	regs->rcx = out[MV_ECX];
	regs->rdx = out[MV_EDX];
	rc = mv_kvm_do(vcpu->fd, KVM_SET_REGS, regs, err);
	return rc < 0 ? rc : 0;
}

/*
 * A write to the patch port: a CPUID if it comes from a recorded site, else ordinary I/O to a port
 * that nobody owns. RIP at the exit is before the OUT on some hosts and behind it on others; once
 * the I/O is complete it is behind it everywhere.
 */
static enum next patched_cpuid(struct mv_vcpu *vcpu)
{
	struct mv_event e = { 0 };
	struct kvm_regs regs;

	complete_io(vcpu);
	if (mv_kvm_do(vcpu->fd, KVM_GET_REGS, &regs, &e.err) < 0)
		return fail(vcpu, &e);
	if (!mv_sites_has(&vcpu->vm->sites, translate(vcpu, regs.rip - 2)))
		return GO_ON;
	return serve_cpuid(vcpu, &regs, &e.err) ? fail(vcpu, &e) : GO_ON;
}

/* ---- single-step ---- */

static int arm_step(struct mv_vcpu *vcpu, struct mv_err *err)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	int rc = mv_kvm_do(vcpu->fd, KVM_SET_GUEST_DEBUG, &d, err);

	vcpu->stepping = rc >= 0;
	return rc < 0 ? rc : 0;
}

/* Before the next instruction: answer it here if it is a CPUID, as often as there is one. */
static enum next step_cpuid(struct mv_vcpu *vcpu)
{
	struct mv_event e = { 0 };

	for (;;) {
		struct kvm_regs regs;
		const uint8_t *p;

		if (mv_kvm_do(vcpu->fd, KVM_GET_REGS, &regs, &e.err) < 0)
			return fail(vcpu, &e);
		p = mv_vm_at(vcpu->vm, translate(vcpu, regs.rip), 2);
		if (!p || p[0] != MV_OPCODE_CPUID_0 || p[1] != MV_OPCODE_CPUID_1)
			break;
		regs.rip += 2;
		if (serve_cpuid(vcpu, &regs, &e.err))
			return fail(vcpu, &e);
	}
	return arm_step(vcpu, &e.err) ? fail(vcpu, &e) : GO_ON;
}

/* ---- exits ---- */

static void code_at_rip(struct mv_vcpu *vcpu, struct mv_event *e)
{
	struct kvm_regs regs;
	const uint8_t *p;

	if (mv_kvm_do(vcpu->fd, KVM_GET_REGS, &regs, NULL) < 0)
		return;
	e->rip = regs.rip;
	for (e->ncode = 0; e->ncode < sizeof(e->code); e->ncode++) {
		p = mv_vm_at(vcpu->vm, translate(vcpu, regs.rip + e->ncode), 1);
		if (!p)
			break;
		e->code[e->ncode] = *p;
	}
}

static enum next crash(struct mv_vcpu *vcpu, const char *how)
{
	struct mv_event e = { .kind = MV_EVENT_CRASH };

	code_at_rip(vcpu, &e);
	mv_err_set(&e.err, MV_E_GUEST, "%s at RIP 0x%llx", how, (unsigned long long)e.rip);
	mv_vm_post(vcpu->vm, &e);
	return STOP;
}

/* A port access to the test devices, if they are there and it is theirs. Under vm->lock. */
static bool testdev_io(struct mv_vm *vm, const struct kvm_run *run, uint8_t *data)
{
	bool mine = vm->testdev;

	for (uint32_t i = 0; mine && i < run->io.count; i++, data += run->io.size)
		mine = run->io.direction == KVM_EXIT_IO_IN
			       ? mv_testdev_in(vm->testdev, run->io.port, run->io.size, data)
			       : mv_testdev_out(vm->testdev, run->io.port, run->io.size, data);
	return mine;
}

static void mmio(struct mv_vm *vm, struct kvm_run *run)
{
	bool mine = false;

	if (vm->testdev) {
		pthread_mutex_lock(&vm->lock);
		mine = mv_testdev_mmio(vm->testdev, run->mmio.phys_addr, run->mmio.is_write,
				       run->mmio.len, run->mmio.data);
		pthread_mutex_unlock(&vm->lock);
	}
	if (mine)
		return;
	/* A lock of its own: a disk that takes its time does not hold up the console. */
	pthread_mutex_lock(&vm->mmio_lock);
	mv_devices_mmio(&vm->devices, run->mmio.phys_addr, run->mmio.is_write, run->mmio.len,
			run->mmio.data);
	pthread_mutex_unlock(&vm->mmio_lock);
}

static enum next port_io(struct mv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct mv_vm *vm = vcpu->vm;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	struct mv_event e = { 0 };
	enum mv_io_result r = MV_IO_DONE;

	if (run->io.direction == KVM_EXIT_IO_IN) {
		pthread_mutex_lock(&vm->lock);
		if (!testdev_io(vm, run, data))
			mv_devices_in(&vm->devices, run->io.port, run->io.size, run->io.count, data);
		pthread_mutex_unlock(&vm->lock);
		return GO_ON;
	}
	if (run->io.port == MV_PORT_CPUID && run->io.size == 4 && vm->patched)
		return patched_cpuid(vcpu);
	pthread_mutex_lock(&vm->lock);
	if (!testdev_io(vm, run, data))
		r = mv_devices_out(&vm->devices, run->io.port, run->io.size, run->io.count, data);
	e.value = vm->devices.value;
	pthread_mutex_unlock(&vm->lock);
	switch (r) {
	case MV_IO_DONE:
		return GO_ON;
	case MV_IO_SYNC:
		e.kind = MV_EVENT_SYNC;
		mv_vm_post(vm, &e);
		return GO_ON;
	case MV_IO_EXIT:
		e.ending = MV_ENDING_VALUE;
		break;
	case MV_IO_OFF:
		e.ending = MV_ENDING_OFF;
		break;
	case MV_IO_RESET:
		e.ending = MV_ENDING_RESET;
		break;
	}
	e.kind = MV_EVENT_EXIT;
	mv_vm_post(vm, &e);
	return STOP;
}

/* KVM's words of what it found (Documentation/virt/kvm/api.rst, KVM_EXIT_INTERNAL_ERROR), for those who know its source. */
static const char *internal_error(const struct kvm_run *run, char *text, size_t size)
{
	const uint32_t max = sizeof(run->internal.data) / sizeof(run->internal.data[0]);
	int at = snprintf(text, size, "KVM internal error %u (", run->internal.suberror);

	for (uint32_t i = 0; i < run->internal.ndata && i < max && at > 0 && (size_t)at < size; i++)
		at += snprintf(text + at, size - (size_t)at, i ? " 0x%llx" : "0x%llx",
			       (unsigned long long)run->internal.data[i]);
	if (at > 0 && (size_t)at < size)
		snprintf(text + at, size - (size_t)at, ")");
	return text;
}

static enum next handle_exit(struct mv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct mv_event e = { 0 };
	char how[128];

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return port_io(vcpu);
	case KVM_EXIT_MMIO:
		mmio(vcpu->vm, run);
		return GO_ON;
	case KVM_EXIT_DEBUG:
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return GO_ON;
	case KVM_EXIT_SHUTDOWN:
		return crash(vcpu, "triple fault");
	case KVM_EXIT_INTERNAL_ERROR:
		if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
			return crash(vcpu, "KVM can't emulate the instruction");
		return crash(vcpu, internal_error(run, how, sizeof(how)));
	case KVM_EXIT_FAIL_ENTRY:
		mv_err_set(&e.err, MV_E_FAILED, "KVM can't enter the guest: hardware reason 0x%llx",
			   (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		return fail(vcpu, &e);
	default:
		snprintf(how, sizeof(how), "unexpected KVM exit %u", run->exit_reason);
		return crash(vcpu, how);
	}
}

/* What one instruction accesses may take several exits (two pages, 16 bytes): none is left out. */
static enum next complete_instruction(struct mv_vcpu *vcpu)
{
	enum next next = GO_ON;
	int rc = 0;

	while (rc == 0 && next == GO_ON) {
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		rc = mv_kvm_run(vcpu->fd);
		if (rc == 0)
			next = handle_exit(vcpu);
	}
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	return next;
}

/* Wait outside the guest while somebody pauses the VM. Returns whether it is being stopped, or has to stop. */
static bool park(struct mv_vcpu *vcpu)
{
	struct mv_vm *vm = vcpu->vm;
	bool stopping;

	pthread_mutex_lock(&vm->lock);
	if (vm->pausing && !vm->stopping) {
		pthread_mutex_unlock(&vm->lock);
		if (complete_instruction(vcpu) == STOP)
			return true;
		pthread_mutex_lock(&vm->lock);
	}
	while (vm->pausing && !vm->stopping) {
		vcpu->parked = true;
		pthread_cond_broadcast(&vm->changed);
		pthread_cond_wait(&vm->changed, &vm->lock);
	}
	vcpu->parked = false;
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	stopping = vm->stopping;
	pthread_mutex_unlock(&vm->lock);
	return stopping;
}

static bool wants_park(const struct mv_vm *vm)
{
	return __atomic_load_n(&vm->pausing, __ATOMIC_SEQ_CST);
}

/* A guest that writes faster than somebody reads waits here, where it can be paused. */
static void await_console(const struct mv_vm *vm)
{
	while (vm->console_ready && !wants_park(vm) &&
	       !vm->console_ready(vm->devices.serial.ctx))
		;
}

/* In naps: a kick that comes between two looks must not go unheard for long. */
static void rest(const struct mv_vm *vm)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	while (!wants_park(vm) &&
	       mv_io_now_ns() < __atomic_load_n(&vm->rest_until, __ATOMIC_SEQ_CST))
		nanosleep(&nap, NULL);
}

void *mv_vcpu_main(void *arg)
{
	struct mv_vcpu *vcpu = arg;
	struct mv_vm *vm = vcpu->vm;
	bool step = vm->st->policy.intercept == MV_INTERCEPTION_STEP;
	enum next next = GO_ON;

	while (next == GO_ON) {
		int rc;

		await_console(vm);
		rest(vm);
		if (wants_park(vm) && park(vcpu))
			break;
		if (step && step_cpuid(vcpu) == STOP)
			break;
		rc = mv_kvm_run(vcpu->fd);
		if (rc == 0) {
			next = handle_exit(vcpu);
		} else if (rc == -EINTR || rc == -EAGAIN) {
			/* a kick: park() finds out; one that came late must not stop us twice */
			if (!wants_park(vm))
				__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		} else {
			struct mv_event e = { 0 };

			mv_err_set(&e.err, MV_E_FAILED, "KVM_RUN: %s", strerror(-rc));
			next = fail(vcpu, &e);
		}
	}
	pthread_mutex_lock(&vm->lock);
	vcpu->parked = true;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	return NULL;
}
