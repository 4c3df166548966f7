/* SPDX-License-Identifier: MIT */
/* The state of a whole VM: vCPUs, interrupt controllers, timers, devices, patched instructions. */
#include <string.h>

#include "vm.h"

#define MSR_IA32_TSC 0x10

/* The same fields in both directions. */
#define COPY_PIT(d, s) \
	do { \
		(d).count = (s).count; \
		(d).latched_count = (s).latched_count; \
		(d).count_latched = (s).count_latched; \
		(d).status_latched = (s).status_latched; \
		(d).status = (s).status; \
		(d).read_state = (s).read_state; \
		(d).write_state = (s).write_state; \
		(d).write_latch = (s).write_latch; \
		(d).rw_mode = (s).rw_mode; \
		(d).mode = (s).mode; \
		(d).bcd = (s).bcd; \
		(d).gate = (s).gate; \
		(d).count_load_time = (s).count_load_time; \
	} while (0)

static int get_pit(struct mv_vm *vm, struct mv_state *s, struct mv_err *err)
{
	struct kvm_pit_state2 p;
	int rc = mv_kvm_do(vm->fd, KVM_GET_PIT2, &p, err);

	for (int i = 0; rc >= 0 && i < 3; i++)
		COPY_PIT(s->pit[i], p.channels[i]);
	s->pit_flags = p.flags;
	return rc;
}

static int set_pit(struct mv_vm *vm, const struct mv_state *s, struct mv_err *err)
{
	struct kvm_pit_state2 p = { .flags = s->pit_flags };

	for (int i = 0; i < 3; i++)
		COPY_PIT(p.channels[i], s->pit[i]);
	return mv_kvm_do(vm->fd, KVM_SET_PIT2, &p, err);
}

#define COPY_PIC(d, s) \
	do { \
		(d).last_irr = (s).last_irr; \
		(d).irr = (s).irr; \
		(d).imr = (s).imr; \
		(d).isr = (s).isr; \
		(d).priority_add = (s).priority_add; \
		(d).irq_base = (s).irq_base; \
		(d).read_reg_select = (s).read_reg_select; \
		(d).poll = (s).poll; \
		(d).special_mask = (s).special_mask; \
		(d).init_state = (s).init_state; \
		(d).auto_eoi = (s).auto_eoi; \
		(d).rotate_on_auto_eoi = (s).rotate_on_auto_eoi; \
		(d).special_fully_nested_mode = (s).special_fully_nested_mode; \
		(d).init4 = (s).init4; \
		(d).elcr = (s).elcr; \
		(d).elcr_mask = (s).elcr_mask; \
	} while (0)

static int get_irqchip(struct mv_vm *vm, struct mv_state *s, struct mv_err *err)
{
	struct kvm_irqchip c = { 0 };
	int rc;

	for (uint32_t i = 0; i < 2; i++) {
		c.chip_id = KVM_IRQCHIP_PIC_MASTER + i;
		rc = mv_kvm_do(vm->fd, KVM_GET_IRQCHIP, &c, err);
		if (rc < 0)
			return rc;
		COPY_PIC(s->pic[i], c.chip.pic);
	}
	c.chip_id = KVM_IRQCHIP_IOAPIC;
	rc = mv_kvm_do(vm->fd, KVM_GET_IRQCHIP, &c, err);
	if (rc < 0)
		return rc;
	s->ioapic.base_address = c.chip.ioapic.base_address;
	s->ioapic.ioregsel = c.chip.ioapic.ioregsel;
	s->ioapic.id = c.chip.ioapic.id;
	s->ioapic.irr = c.chip.ioapic.irr;
	for (int i = 0; i < 24; i++)
		s->ioapic.redirtbl[i] = c.chip.ioapic.redirtbl[i].bits;
	s->has_irqchip = true;
	return 0;
}

static int set_irqchip(struct mv_vm *vm, const struct mv_state *s, struct mv_err *err)
{
	struct kvm_irqchip c;
	int rc;

	for (uint32_t i = 0; i < 2; i++) {
		memset(&c, 0, sizeof(c));
		c.chip_id = KVM_IRQCHIP_PIC_MASTER + i;
		COPY_PIC(c.chip.pic, s->pic[i]);
		rc = mv_kvm_do(vm->fd, KVM_SET_IRQCHIP, &c, err);
		if (rc < 0)
			return rc;
	}
	memset(&c, 0, sizeof(c));
	c.chip_id = KVM_IRQCHIP_IOAPIC;
	c.chip.ioapic.base_address = s->ioapic.base_address;
	c.chip.ioapic.ioregsel = s->ioapic.ioregsel;
	c.chip.ioapic.id = s->ioapic.id;
	c.chip.ioapic.irr = s->ioapic.irr;
	for (int i = 0; i < 24; i++)
		c.chip.ioapic.redirtbl[i].bits = s->ioapic.redirtbl[i];
	return mv_kvm_do(vm->fd, KVM_SET_IRQCHIP, &c, err);
}

/* Tell a guest with kvmclock that it was stopped; guests without one make this fail, rightly. */
static void announce_stop(struct mv_vm *vm)
{
	for (unsigned i = 0; i < vm->nvcpus; i++)
		mv_kvm_do_value(vm->vcpu[i].fd, KVM_KVMCLOCK_CTRL, 0, NULL);
}

int mv_vm_check_savable(const struct mv_vm *vm, struct mv_err *err)
{
	static const struct {
		enum mv_feature_id id;
		const char *name;
	} nested[] = { { MV_F_VMX, "VMX" }, { MV_F_SVM, "SVM" } };

	if (vm->testdev)
		return mv_err_set(err, MV_E_FAILED, "a VM with --testdev can't be saved or moved");
	for (size_t i = 0; i < sizeof(nested) / sizeof(nested[0]); i++) {
		if (!mv_table_has(&vm->st->policy.guest, nested[i].id))
			continue;
		mv_err_set(err, MV_E_FAILED, "the guest was shown %s and may run guests of its own,"
			   " whose state would be lost", nested[i].name);
		mv_err_hint(err, "start it with a mask that hides it: feature %s = 0",
			    nested[i].name);
		return -MV_E_FAILED;
	}
	return 0;
}

int mv_vm_get_state(struct mv_vm *vm, struct mv_state *s, struct mv_err *err)
{
	struct kvm_clock_data clock;
	int rc = mv_vm_check_savable(vm, err);

	if (rc == 0)
		rc = mv_state_init(s, vm->nvcpus, err);
	if (rc)
		return rc;
	announce_stop(vm);
	for (unsigned i = 0; i < vm->nvcpus && rc >= 0; i++)
		rc = mv_vcpu_get_state(&vm->vcpu[i], &s->vcpus[i], err);
	if (rc >= 0)
		rc = get_pit(vm, s, err);
	if (rc >= 0)
		rc = mv_kvm_do(vm->fd, KVM_GET_CLOCK, &clock, err);
	if (rc >= 0) {
		s->clock_ns = clock.clock;
		rc = get_irqchip(vm, s, err);
	}
	if (rc < 0) {
		mv_state_finish(s);
		return rc;
	}
	pthread_mutex_lock(&vm->lock);
	mv_devices_save(&vm->devices, s);
	pthread_mutex_unlock(&vm->lock);
	s->nsites = mv_vm_live_sites(vm, s->sites);
	return 0;
}

/* A vCPU's TSC as it was saved; 0: it was not. */
static uint64_t saved_tsc(const struct mv_vcpu_state *s)
{
	for (uint32_t i = 0; i < s->nmsrs; i++)
		if (s->msrs[i].index == MSR_IA32_TSC)
			return s->msrs[i].value;
	return 0;
}

/*
 * Writing the TSC does not always set it: a value within a second of what KVM expects counts as an
 * attempt to synchronize vCPUs, and so a guest younger than that got the age of the new VM, and time
 * ran backwards. And the TSCs were written one vCPU after the other. So vCPU 0's offset is corrected
 * by what its TSC is off, and the distances to it are put back to what they were (as a rule, none).
 * Older kernels have no such attribute.
 */
static void align_tsc(struct mv_vm *vm, const struct mv_state *s)
{
	uint64_t first = 0, offset, now, want = saved_tsc(&s->vcpus[0]);
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&first,
	};

	if (mv_kvm_do(vm->vcpu[0].fd, KVM_GET_DEVICE_ATTR, &attr, NULL) < 0)
		return;
	if (want && mv_kvm_get_msr(vm->vcpu[0].fd, MSR_IA32_TSC, &now)) {
		first += want - now;
		mv_kvm_do(vm->vcpu[0].fd, KVM_SET_DEVICE_ATTR, &attr, NULL);
	}
	attr.addr = (uintptr_t)&offset;
	for (unsigned i = 1; i < vm->nvcpus; i++) {
		if (!s->vcpus[0].has_tsc_offset || !s->vcpus[i].has_tsc_offset)
			return;
		offset = first + (s->vcpus[i].tsc_offset - s->vcpus[0].tsc_offset);
		mv_kvm_do(vm->vcpu[i].fd, KVM_SET_DEVICE_ATTR, &attr, NULL);
	}
}

int mv_vm_set_state(struct mv_vm *vm, const struct mv_state *s, struct mv_err *err)
{
	struct kvm_clock_data clock = { .clock = s->clock_ns };
	int rc = 0;

	for (unsigned i = 0; i < vm->nvcpus && rc >= 0; i++)
		rc = mv_vcpu_set_state(&vm->vcpu[i], &s->vcpus[i], err);
	if (rc >= 0)
		align_tsc(vm, s);
	if (rc >= 0 && s->has_irqchip)
		rc = set_pit(vm, s, err);
	if (rc >= 0 && s->has_irqchip)
		rc = set_irqchip(vm, s, err);
	/* Behind the interrupt controllers: it sets its lines as they were. */
	if (rc >= 0)
		rc = mv_devices_load(&vm->devices, s, err);
	/* As late as possible, with no flags: the guest's clock goes on where it stood. */
	if (rc >= 0)
		rc = mv_kvm_do(vm->fd, KVM_SET_CLOCK, &clock, err);
	if (rc < 0)
		return rc;
	vm->sites.n = s->nsites;
	memcpy(vm->sites.gpa, s->sites, s->nsites * sizeof(s->sites[0]));
	vm->sites.all = vm->st->policy.patchable;
	vm->sites.cpl3 = vm->st->policy.patch_cpl3;
	announce_stop(vm);
	return 0;
}
