/* SPDX-License-Identifier: MIT */
#include "kvm.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define XSTATE_XTILEDATA 18

/*
 * Guests get AMX only if their VMM asks, before the kernel first tells what it offers (kernels before 6.4 then
 * offer half of it) and before the first vCPU (Documentation/arch/x86/xstate.rst). Where it isn't given, it
 * isn't offered.
 */
static void ask_for_amx(int fd)
{
	uint64_t supported = 0;
	struct kvm_device_attr a = { .attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (uintptr_t)&supported };

	if (ioctl(fd, KVM_GET_DEVICE_ATTR, &a) == 0 && supported >> XSTATE_XTILEDATA & 1)
		syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_GUEST_PERM, XSTATE_XTILEDATA);
}

int mv_kvm_open(struct mv_kvm *kvm, struct mv_err *err)
{
	int version, size;

	kvm->fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm->fd < 0) {
		mv_err_set(err, MV_E_HOST, "/dev/kvm: %s", strerror(errno));
		mv_err_hint(err, errno == EACCES ? "join the group that owns it, or be root: adduser NAME kvm, and log in anew"
						 : "this needs a host with KVM (kvm_intel, kvm_amd)");
		return -MV_E_HOST;
	}
	version = ioctl(kvm->fd, KVM_GET_API_VERSION, 0);
	size = ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (version == KVM_API_VERSION && size > 0) {
		kvm->run_size = (size_t)size;
		ask_for_amx(kvm->fd);
		return 0;
	}
	mv_kvm_close(kvm);
	if (version < 0)
		return mv_err_set(err, MV_E_HOST, "/dev/kvm: this is not KVM");
	return mv_err_set(err, MV_E_HOST, "/dev/kvm: API version %d, not %d", version,
			  KVM_API_VERSION);
}

void mv_kvm_close(struct mv_kvm *kvm)
{
	if (kvm->fd >= 0)
		close(kvm->fd);
	kvm->fd = -1;
}

int mv_kvm_cap(int fd, unsigned cap)
{
	int r = ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

	return r < 0 ? 0 : r;
}

int mv_kvm_call(int fd, unsigned long cmd, const char *name, void *arg, struct mv_err *err)
{
	int r = ioctl(fd, cmd, arg);

	return r < 0 ? mv_err_set(err, MV_E_FAILED, "%s: %s", name, strerror(errno)) : r;
}

int mv_kvm_call_value(int fd, unsigned long cmd, const char *name, unsigned long arg,
		      struct mv_err *err)
{
	int r = ioctl(fd, cmd, arg);

	return r < 0 ? mv_err_set(err, MV_E_FAILED, "%s: %s", name, strerror(errno)) : r;
}

int mv_kvm_enable_cap(int fd, unsigned cap, uint64_t arg, struct mv_err *err)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };
	int r = ioctl(fd, KVM_ENABLE_CAP, &c);

	return r < 0 ? mv_err_set(err, MV_E_FAILED, "KVM_ENABLE_CAP %u: %s", cap, strerror(errno))
		     : r;
}

/* Quirks that make KVM forget what CPUID said: each is a control by being switched off. */
static const struct {
	uint32_t control;
	uint64_t quirk;
} quirks[] = {
	{ MV_KVM_CONTROL_BIT(MWAIT_KEPT), KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT },
	{ MV_KVM_CONTROL_BIT(MWAIT_FAULTS), KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS },
};
#define NQUIRKS (sizeof(quirks) / sizeof(quirks[0]))

uint32_t mv_kvm_controls(int fd)
{
	uint64_t can = (uint64_t)mv_kvm_cap(fd, KVM_CAP_DISABLE_QUIRKS2);
	uint32_t controls = 0;

	if (mv_kvm_cap(fd, KVM_CAP_ENFORCE_PV_FEATURE_CPUID))
		controls |= MV_KVM_CONTROL_BIT(PV_ENFORCED);
	for (size_t i = 0; i < NQUIRKS; i++)
		if (can & quirks[i].quirk)
			controls |= quirks[i].control;
	return controls;
}

int mv_kvm_enforce_vm(int vm_fd, uint32_t controls, struct mv_err *err)
{
	uint64_t off = 0;

	for (size_t i = 0; i < NQUIRKS; i++)
		if (controls & quirks[i].control)
			off |= quirks[i].quirk;
	return off ? mv_kvm_enable_cap(vm_fd, KVM_CAP_DISABLE_QUIRKS2, off, err) : 0;
}

int mv_kvm_enforce_vcpu(int vcpu_fd, uint32_t controls, struct mv_err *err)
{
	return controls & MV_KVM_CONTROL_BIT(PV_ENFORCED)
		       ? mv_kvm_enable_cap(vcpu_fd, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1, err)
		       : 0;
}

int mv_kvm_run(int vcpu_fd)
{
	return ioctl(vcpu_fd, KVM_RUN, 0) < 0 ? -errno : 0;
}

int mv_kvm_create_vm(const struct mv_kvm *kvm, struct mv_err *err)
{
	int fd;

	do
		fd = ioctl(kvm->fd, KVM_CREATE_VM, 0);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return mv_err_set(err, MV_E_HOST, "KVM_CREATE_VM: %s", strerror(errno));
	return fd;
}

/* struct kvm_msrs with room for one entry behind it. */
union one_msr {
	struct kvm_msrs head;
	uint8_t bytes[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

bool mv_kvm_get_msr(int fd, uint32_t index, uint64_t *value)
{
	union one_msr m = { .head.nmsrs = 1 };

	m.head.entries[0].index = index;
	if (ioctl(fd, KVM_GET_MSRS, &m) != 1)
		return false;
	*value = m.head.entries[0].data;
	return true;
}

bool mv_kvm_set_msr(int fd, uint32_t index, uint64_t value)
{
	union one_msr m = { .head.nmsrs = 1 };

	m.head.entries[0].index = index;
	m.head.entries[0].data = value;
	return ioctl(fd, KVM_SET_MSRS, &m) == 1;
}
