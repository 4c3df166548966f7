/* SPDX-License-Identifier: MIT */
/*
 * floor-restore MIB FILE: the least a restore can be. A VM of MIB MiB whose memory is FILE, mapped privately,
 * and whose only instruction is a port write; a line on standard output when that was seen.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/kvm.h>

#define RESET_PAGE 0xfffff000u
#define LOW ((size_t)3 << 30)	/* below the reset page; what is more stands at 4 GiB */

static int no(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	static const unsigned char code[] = { 0xe6, 0xf4, 0xf4 };	/* out %al, $0xf4; hlt */
	struct kvm_userspace_memory_region slot = { 0 };
	int kvm = open("/dev/kvm", O_RDWR), vm, vcpu, file;
	size_t size, i;
	struct kvm_run *run;
	unsigned char *reset;
	void *ram;

	if (argc != 3)
		return 2;
	size = strtoul(argv[1], NULL, 10) << 20;
	file = open(argv[2], O_RDONLY);
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || file < 0)
		return no("floor-restore");
	ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
	reset = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED || reset == MAP_FAILED)
		return no("mmap");
	for (i = 0; i < sizeof(code); i++)
		reset[0xff0 + i] = code[i];
	slot.memory_size = size < LOW ? size : LOW;
	slot.userspace_addr = (size_t)ram;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		return no("memory");
	slot = (struct kvm_userspace_memory_region){ .slot = 2, .guest_phys_addr = 1ull << 32,
						     .memory_size = size - slot.memory_size,
						     .userspace_addr = (size_t)ram + slot.memory_size };
	if (slot.memory_size && ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		return no("memory above 4 GiB");
	slot = (struct kvm_userspace_memory_region){ .slot = 1, .guest_phys_addr = RESET_PAGE,
						     .memory_size = 4096,
						     .userspace_addr = (size_t)reset };
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		return no("reset page");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return no("vCPU");
	run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		   MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED || ioctl(vcpu, KVM_RUN, 0) || run->exit_reason != KVM_EXIT_IO)
		return no("run");
	puts("floor");
	return 0;
}
