/* SPDX-License-Identifier: MIT */
/*
 * The KVM interface, typed: passing the wrong structure to a call does not compile. vmm/kvm.c is the
 * only file of the project that calls ioctl(2).
 */
#ifndef MV_VMM_KVM_H
#define MV_VMM_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host.h"

struct mv_kvm {
	int fd;			/* /dev/kvm */
	size_t run_size;	/* bytes of struct kvm_run's mapping */
};

/* Open /dev/kvm, with AMX for guests where it has it. -MV_E_HOST if there is none or it speaks another API version. */
int mv_kvm_open(struct mv_kvm *kvm, struct mv_err *err);
void mv_kvm_close(struct mv_kvm *kvm);

/* KVM_CHECK_EXTENSION on any KVM descriptor: 0 = not there, else the capability's value. */
int mv_kvm_cap(int fd, unsigned cap);
/* KVM_ENABLE_CAP with one argument. */
int mv_kvm_enable_cap(int fd, unsigned cap, uint64_t arg, struct mv_err *err);

/* The controls that this kernel's KVM has, and putting them in force: MV_KVM_CONTROL_BIT. */
uint32_t mv_kvm_controls(int fd);
int mv_kvm_enforce_vm(int vm_fd, uint32_t controls, struct mv_err *err);
int mv_kvm_enforce_vcpu(int vcpu_fd, uint32_t controls, struct mv_err *err);

/*
 * The call behind the macros: returns what ioctl returns, or -MV_E_FAILED with "NAME: reason".
 * EINTR is not repeated: KVM_RUN's caller wants to see it.
 */
int mv_kvm_call(int fd, unsigned long cmd, const char *name, void *arg, struct mv_err *err);
int mv_kvm_call_value(int fd, unsigned long cmd, const char *name, unsigned long arg,
		      struct mv_err *err);

#define MV_KVM_SIZE_IS(cmd, size) \
	(sizeof(struct { _Static_assert((size) == _IOC_SIZE(cmd), "wrong structure for " #cmd); int i; }))

/* Calls that take a pointer; for variable-size structures, to their header. */
#define mv_kvm_do(fd, cmd, arg, err) \
	((void)MV_KVM_SIZE_IS(cmd, sizeof(*(arg))), mv_kvm_call((fd), (cmd), #cmd, (arg), (err)))
/* Calls that take a number, or nothing (0). */
#define mv_kvm_do_value(fd, cmd, arg, err) \
	((void)MV_KVM_SIZE_IS(cmd, 0), mv_kvm_call_value((fd), (cmd), #cmd, (arg), (err)))

/* KVM_RUN: 0, or -errno (EINTR, EAGAIN: nothing went wrong). */
int mv_kvm_run(int vcpu_fd);

/* KVM_CREATE_VM, repeated while a signal interrupts it. The descriptor, or an error. */
int mv_kvm_create_vm(const struct mv_kvm *kvm, struct mv_err *err);

/* One MSR of a vCPU, or with /dev/kvm's descriptor one feature MSR; false: KVM does not have it. */
bool mv_kvm_get_msr(int fd, uint32_t index, uint64_t *value);
bool mv_kvm_set_msr(int fd, uint32_t index, uint64_t value);

#endif
