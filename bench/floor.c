/* SPDX-License-Identifier: MIT */
/*
 * floor [irqs]: the least a VMM can do: a VM with 64 MiB, one vCPU with KVM's own CPUID table, one OUT of
 * the guest, the end. With "irqs" the guest can have interrupts and a timer, as every PC's guest has: KVM's
 * interrupt chips and PIT. What minivmm and QEMU take on top of it is theirs. No checks but one: it fails or
 * it works.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM (64u << 20)
#define ENTRIES 256

static long must(long r)
{
	if (r < 0)
		_exit(1);
	return r;
}

/* 64-bit code at CPL 0 with the first 2 MiB mapped 1:1. */
static void long_mode(int vcpu, uint8_t *ram)
{
	const struct kvm_segment code = { .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	const struct kvm_segment data = { .limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	const struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
	const uint64_t pml4 = 0x3007, pdpt = 0x4007, pd = 0x87;
	struct kvm_sregs s;

	memcpy(ram + 0x2000, &pml4, sizeof(pml4));
	memcpy(ram + 0x3000, &pdpt, sizeof(pdpt));
	memcpy(ram + 0x4000, &pd, sizeof(pd));
	must(ioctl(vcpu, KVM_GET_SREGS, &s));
	s.cr0 = 0x80050033;	/* PG, AM, WP, NE, ET, MP, PE */
	s.cr3 = 0x2000;
	s.cr4 = 0x620;		/* OSXMMEXCPT, OSFXSR, PAE */
	s.efer = 0x501;		/* LMA, LME, SCE */
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	must(ioctl(vcpu, KVM_SET_SREGS, &s));
	must(ioctl(vcpu, KVM_SET_REGS, &regs));
}

int main(int argc, char **argv)
{
	static const uint8_t guest[] = { 0x66, 0xba, 0xf8, 0x03, 0xb0, '!', 0xee };	/* mov dx, 0x3f8; mov al, '!'; out dx, al */
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(cpuid->entries[0]));
	int kvm = (int)must(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	int vm = (int)must(ioctl(kvm, KVM_CREATE_VM, 0));
	uint8_t *ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region slot = { .memory_size = RAM, .userspace_addr = (uintptr_t)ram };
	struct kvm_pit_config pit = { 0 };
	struct kvm_run *run;
	int vcpu;

	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
	if (argc > 1 && !strcmp(argv[1], "irqs")) {
		must(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000));
		must(ioctl(vm, KVM_CREATE_IRQCHIP, 0));
		must(ioctl(vm, KVM_CREATE_PIT2, &pit));
	}
	vcpu = (int)must(ioctl(vm, KVM_CREATE_VCPU, 0));
	cpuid->nent = ENTRIES;
	must(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
	must(ioctl(vcpu, KVM_SET_CPUID2, cpuid));
	run = mmap(NULL, (size_t)must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0)), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	memcpy(ram + 0x1000, guest, sizeof(guest));
	long_mode(vcpu, ram);
	must(ioctl(vcpu, KVM_RUN, 0));
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != 0x3f8)
		return 1;
	return write(STDOUT_FILENO, (char *)run + run->io.data_offset, 1) == 1 ? 0 : 1;
}
