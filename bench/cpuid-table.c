/* SPDX-License-Identifier: MIT */
/*
 * cpuid-table GUEST.elf kvm|ENTRIES first|last amd|intel: runs bench/cpuid.S under a CPUID table of another shape
 * than minivmm's: KVM's own, in its order, or one of so many entries, with the leaves that the guest asks for before
 * all others or behind them (leaf 0 as the very first or last). The vendor decides what KVM does about a leaf that is
 * missing. With interrupt chips, as minivmm and QEMU have them: each exit costs more then. It fails or it works.
 */
#include <elf.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest-tests/abi.h"

#define RAM (2u << 20)
#define ENTRIES 256
#define FILLER 0x50000000u	/* below the leaf that the guest knows to be missing, and never asked for */

static long must(long r, const char *what)
{
	if (r < 0) {
		perror(what);
		exit(1);
	}
	return r;
}

static uint32_t load(const char *path, uint8_t *ram)
{
	static uint8_t file[RAM];
	int fd = (int)must(open(path, O_RDONLY | O_CLOEXEC), path);
	size_t n = (size_t)must(read(fd, file, sizeof(file)), path);
	const Elf32_Ehdr *e = (const void *)file;

	close(fd);
	for (const Elf32_Phdr *p = (const void *)(file + e->e_phoff); p < (const Elf32_Phdr *)(file + e->e_phoff) + e->e_phnum; p++) {
		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_paddr > RAM - p->p_filesz || p->p_offset > n - p->p_filesz)
			exit(1);
		memcpy(ram + p->p_paddr, file + p->p_offset, p->p_filesz);
	}
	return e->e_entry;
}

static bool asked(const struct kvm_cpuid_entry2 *e)
{
	static const uint32_t leaves[] = { 1, 7, 0xd, 0x80000001, 0x80000008 };

	for (size_t i = 0; i < sizeof(leaves) / sizeof(*leaves); i++)
		if (e->function == leaves[i] && e->index == 0)
			return true;
	return false;
}

static void vendor(struct kvm_cpuid_entry2 *e, const char *name)
{
	memcpy(&e->ebx, name, 4);
	memcpy(&e->edx, name + 4, 4);
	memcpy(&e->ecx, name + 8, 4);
}

/* n entries, those that are asked for from place `at` on, leaf 0 at the outer end. */
static void shape(struct kvm_cpuid2 *to, const struct kvm_cpuid2 *all, uint32_t n, bool first)
{
	uint32_t hot = 1, k;

	for (uint32_t i = 0; i < all->nent; i++)
		hot += asked(&all->entries[i]);
	if (n < hot || n > ENTRIES)
		exit(2);
	to->nent = n;
	for (uint32_t i = 0; i < n; i++)
		to->entries[i] = (struct kvm_cpuid_entry2){ .function = FILLER + i };
	to->entries[first ? 0 : n - 1] = all->entries[0];
	k = first ? 1 : n - hot;
	for (uint32_t i = 0; i < all->nent; i++)
		if (asked(&all->entries[i]))
			to->entries[k++] = all->entries[i];
}

static void flat32(int vcpu, uint32_t entry)
{
	const struct kvm_segment code = { .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1 };
	const struct kvm_segment data = { .limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	const struct kvm_regs regs = { .rip = entry, .rflags = 2 };
	struct kvm_sregs s;

	must(ioctl(vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cr0 = 0x11;	/* ET, PE */
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	must(ioctl(vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

int main(int argc, char **argv)
{
	struct kvm_cpuid2 *all = calloc(1, sizeof(*all) + ENTRIES * sizeof(all->entries[0]));
	struct kvm_cpuid2 *table = calloc(1, sizeof(*table) + ENTRIES * sizeof(table->entries[0]));
	int kvm = (int)must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = (int)must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	uint8_t *ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = { .memory_size = RAM, .userspace_addr = (uintptr_t)ram };
	struct kvm_run *run;
	int vcpu;

	if (argc != 5)
		return 2;
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	must(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	must(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	vcpu = (int)must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	all->nent = ENTRIES;
	must(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, all), "KVM_GET_SUPPORTED_CPUID");
	vendor(&all->entries[0], !strcmp(argv[4], "intel") ? "GenuineIntel" : "AuthenticAMD");
	if (strcmp(argv[2], "kvm") != 0)
		shape(table, all, (uint32_t)strtoul(argv[2], NULL, 10), !strcmp(argv[3], "first"));
	else
		memcpy(table, all, sizeof(*all) + all->nent * sizeof(all->entries[0]));
	must(ioctl(vcpu, KVM_SET_CPUID2, table), "KVM_SET_CPUID2");
	run = mmap(NULL, (size_t)must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "size"), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	flat32(vcpu, load(argv[1], ram));
	for (;;) {
		must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
		if (run->exit_reason != KVM_EXIT_IO)
			return 1;
		if (run->io.port == MV_PORT_EXIT)
			return fflush(stdout) ? 1 : 0;
		if (run->io.port == MV_PORT_SERIAL)
			putchar(((char *)run)[run->io.data_offset]);
	}
}
