/* SPDX-License-Identifier: MIT */
/* Placing an image in RAM and a vCPU at its entry: PVH and multiboot, both 32-bit flat. */
#include <string.h>

#include "vm.h"

/* Low memory: boot information at 4 KiB, command line at 8 KiB; images start at 64 KiB or above. */
#define INFO_AT 0x1000
#define MEMMAP_AT 0x1800
#define CMDLINE_AT 0x2000
#define CMDLINE_MAX 4096
#define LOW_RAM_END 0xa0000u
#define HIGH_RAM 0x100000u

#define MULTIBOOT_BOOTED 0x2badb002u
#define PVH_MAGIC 0x336ec578u

/* Xen's public ABI, arch-x86/hvm/start_info.h: struct hvm_start_info, version 1. */
struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};

struct pvh_memmap {
	uint64_t addr, size;
	uint32_t type, reserved;
};

/* Multiboot 0.6.96, 3.3: what flags MEMORY, CMDLINE and MMAP announce. */
struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr;
};

struct multiboot_mmap {
	uint32_t size;
	uint64_t addr, len;
	uint32_t type;
} __attribute__((packed));

static void pvh_info(struct mv_vm *vm)
{
	struct pvh_memmap map[2] = {
		{ .addr = 0, .size = LOW_RAM_END, .type = 1 },
		{ .addr = HIGH_RAM, .size = vm->ram_size - HIGH_RAM, .type = 1 },
	};
	struct pvh_start_info info = {
		.magic = PVH_MAGIC,
		.version = 1,
		.cmdline_paddr = CMDLINE_AT,
		.memmap_paddr = MEMMAP_AT,
		.memmap_entries = 2,
	};

	memcpy(vm->ram + INFO_AT, &info, sizeof(info));
	memcpy(vm->ram + MEMMAP_AT, map, sizeof(map));
}

static void multiboot_info(struct mv_vm *vm)
{
	struct multiboot_mmap map[2] = {
		{ .size = 20, .addr = 0, .len = LOW_RAM_END, .type = 1 },
		{ .size = 20, .addr = HIGH_RAM, .len = vm->ram_size - HIGH_RAM, .type = 1 },
	};
	struct multiboot_info info = {
		.flags = 1 | 1 << 2 | 1 << 6,
		.mem_lower = LOW_RAM_END / 1024,
		.mem_upper = (uint32_t)((vm->ram_size - HIGH_RAM) / 1024),
		.cmdline = CMDLINE_AT,
		.mmap_length = sizeof(map),
		.mmap_addr = MEMMAP_AT,
	};

	memcpy(vm->ram + INFO_AT, &info, sizeof(info));
	memcpy(vm->ram + MEMMAP_AT, map, sizeof(map));
}

int mv_boot_check(const struct mv_image *img, const char *cmdline, uint64_t ram_size,
		  struct mv_err *err)
{
	if (strlen(cmdline) >= CMDLINE_MAX)
		return mv_err_set(err, MV_E_USAGE, "a command line of %zu bytes is more than %d",
				  strlen(cmdline), CMDLINE_MAX - 1);
	for (unsigned i = 0; i < img->nsegments; i++) {
		const struct mv_segment_map *s = &img->segments[i];

		if (s->gpa >= CMDLINE_AT + CMDLINE_MAX && s->gpa + s->mem_size <= ram_size)
			continue;
		mv_err_at(err, MV_E_INPUT, img->name, 0, 0,
			  "it loads at 0x%llx to 0x%llx; an image can use 0x%x to 0x%llx here",
			  (unsigned long long)s->gpa, (unsigned long long)(s->gpa + s->mem_size),
			  CMDLINE_AT + CMDLINE_MAX, (unsigned long long)ram_size);
		if (s->gpa + s->mem_size > ram_size)
			mv_err_hint(err, "give the guest more with --memory");
		return -MV_E_INPUT;
	}
	return 0;
}

static void place(struct mv_vm *vm, const struct mv_image *img)
{
	for (unsigned i = 0; i < img->nsegments; i++) {
		const struct mv_segment_map *s = &img->segments[i];

		memcpy(vm->ram + s->gpa, img->data + s->offset, s->file_size);
	}
}

/* Flat 4 GiB segments in protected mode, paging and interrupts off: what both protocols ask for. */
static int enter_at(struct mv_vcpu *vcpu, const struct mv_image *img, struct mv_err *err)
{
	struct kvm_segment code = { .limit = 0xffffffff, .selector = 0x10, .type = 11,
				    .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_segment data = code;
	struct kvm_regs regs = { .rflags = 2, .rip = img->entry, .rbx = INFO_AT };
	struct kvm_sregs sregs;
	int rc = mv_kvm_do(vcpu->fd, KVM_GET_SREGS, &sregs, err);

	if (rc < 0)
		return rc;
	data.selector = 0x18;
	data.type = 3;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 = 0x11;	/* PE, ET */
	rc = mv_kvm_do(vcpu->fd, KVM_SET_SREGS, &sregs, err);
	if (rc < 0)
		return rc;
	if (img->boot == MV_BOOT_MULTIBOOT)
		regs.rax = MULTIBOOT_BOOTED;
	rc = mv_kvm_do(vcpu->fd, KVM_SET_REGS, &regs, err);
	return rc < 0 ? rc : 0;
}

int mv_vm_boot(struct mv_vm *vm, const struct mv_image *img, const char *cmdline,
	       struct mv_err *err)
{
	int rc = mv_boot_check(img, cmdline, vm->ram_size, err);

	if (rc)
		return rc;
	place(vm, img);
	memcpy(vm->ram + CMDLINE_AT, cmdline, strlen(cmdline) + 1);
	if (img->boot == MV_BOOT_PVH)
		pvh_info(vm);
	else
		multiboot_info(vm);
	return enter_at(&vm->vcpu[0], img, err);
}
