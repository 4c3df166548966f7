/* SPDX-License-Identifier: MIT */
/*
 * Placing an image in RAM and a vCPU at its entry. PVH and multiboot are here, both 32-bit flat;
 * Linux' own protocol is in boot_linux.c.
 */
#include "boot.h"

#include <string.h>

#include "acpi.h"
#include "guest-tests/abi.h"
#include "ram.h"

#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLED_WB 0x806	/* E, type write-back (SDM Vol. 3A, 12.11.2.1) */

#define MULTIBOOT_BOOTED 0x2badb002u
#define PVH_MAGIC 0x336ec578u

/* Xen's public ABI, arch-x86/hvm/start_info.h: struct hvm_start_info, version 1. */
struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};

struct pvh_module {
	uint64_t paddr, size, cmdline_paddr, reserved;
};

struct pvh_memmap {
	uint64_t addr, size;
	uint32_t type, reserved;
};

/* Multiboot 0.6.96, 3.3: what flags MEMORY, CMDLINE, MODS and MMAP announce. */
struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr;
};

enum { MB_MEMORY = 1 << 0, MB_CMDLINE = 1 << 2, MB_MODS = 1 << 3, MB_MMAP = 1 << 6 };

struct multiboot_module {
	uint32_t start, end, string, reserved;
};

struct multiboot_mmap {
	uint32_t size;
	uint64_t addr, len;
	uint32_t type;
} __attribute__((packed));

_Static_assert(MV_MEMORY_MAP * sizeof(struct pvh_memmap) <= MV_BOOT_MODULES_AT - MV_BOOT_MEMMAP_AT,
	       "the memory map's place");

unsigned mv_memory_map(struct mv_memory map[MV_MEMORY_MAP], uint64_t ram_size)
{
	const struct mv_memory all[] = {
		{ 0, MV_LOW_RAM_END, MV_MEM_RAM },
		{ MV_ACPI_AT, MV_ACPI_SIZE, MV_MEM_ACPI },
		{ MV_ACPI_AT + MV_ACPI_SIZE, MV_HIGH_RAM - MV_ACPI_AT - MV_ACPI_SIZE,
		  MV_MEM_RESERVED },
		{ MV_HIGH_RAM, mv_ram_low(ram_size) - MV_HIGH_RAM, MV_MEM_RAM },
		{ MV_IOAPIC_AT, MV_PAGE_SIZE, MV_MEM_RESERVED },
		{ MV_LAPIC_AT, MV_PAGE_SIZE, MV_MEM_RESERVED },
		{ MV_KVM_PAGES_AT, MV_KVM_PAGES_SIZE, MV_MEM_RESERVED },
		{ MV_GAP_END, ram_size - mv_ram_low(ram_size), MV_MEM_RAM },
	};
	unsigned n = sizeof(all) / sizeof(all[0]);

	memcpy(map, all, sizeof(all));
	return ram_size > MV_GAP_AT ? n : n - 1;
}

uint64_t mv_initrd_at(const struct mv_image *img, uint64_t ram_size)
{
	uint64_t end = mv_ram_low(ram_size), at;

	/* A multiboot or PVH image names no limit. */
	if (img->boot == MV_BOOT_LINUX && end > img->initrd_top + UINT64_C(1))
		end = img->initrd_top + UINT64_C(1);
	if (!img->initrd_size || img->initrd_size > end)
		return 0;
	at = (end - img->initrd_size) & ~(uint64_t)(MV_PAGE_SIZE - 1);
	return at >= img->top && at >= MV_HIGH_RAM ? at : 0;
}

static int check_segment(const struct mv_image *img, const struct mv_segment_map *s,
			 uint64_t ram_size, struct mv_err *err)
{
	uint64_t end = s->gpa + s->mem_size, low = mv_ram_low(ram_size);

	if (s->gpa >= MV_HIGH_RAM ? end <= low : s->gpa >= MV_IMAGE_AT && end <= MV_LOW_RAM_END)
		return 0;
	mv_err_at(err, MV_E_INPUT, img->name, 0, 0,
		  "it loads at 0x%llx to 0x%llx; an image can use 0x%x to 0x%x and 0x%x to 0x%llx here",
		  (unsigned long long)s->gpa, (unsigned long long)end, MV_IMAGE_AT, MV_LOW_RAM_END,
		  MV_HIGH_RAM, (unsigned long long)low);
	if (end > low && end <= MV_GAP_AT)
		mv_err_hint(err, "give the guest more with --memory");
	return -MV_E_INPUT;
}

static int check_initrd(const struct mv_image *img, uint64_t ram_size, struct mv_err *err)
{
	if (!img->initrd_size || mv_initrd_at(img, ram_size))
		return 0;
	mv_err_at(err, MV_E_INPUT, img->initrd_name, 0, 0,
		  "an initrd of %zu KiB does not fit behind the image, which ends at 0x%llx, into "
		  "%llu MiB of guest memory", img->initrd_size >> 10, (unsigned long long)img->top,
		  (unsigned long long)mv_ram_low(ram_size) >> 20);
	if (ram_size < MV_GAP_AT)
		mv_err_hint(err, "give the guest more with --memory");
	return -MV_E_INPUT;
}

/* An ELF file of 32 bits may hold 64-bit code; those that do so here have our note. */
static bool has_64_bit_code(const struct mv_image *img)
{
	return img->boot == MV_BOOT_LINUX || img->elf64 || img->note_flags || img->nsites;
}

int mv_boot_check_cpu(const struct mv_image *img, const struct mv_policy *p, struct mv_err *err)
{
	const struct mv_feature *lm = &mv_features[MV_F_LM];
	mv_at at = mv_mask_at(&p->final, lm->leaf, lm->subleaf, lm->reg, lm->bit);

	if (mv_table_has(&p->guest, MV_F_LM) || !has_64_bit_code(img))
		return 0;
	if (at && MV_AT_FILE(at) < p->files.n)
		mv_err_at(err, MV_E_REFUSED, img->name, 0, 0, "it is 64-bit code, and the guest has no "
			  "long mode: LM is hidden by %s:%u", p->files.name[MV_AT_FILE(at)],
			  MV_AT_LINE(at));
	else
		mv_err_at(err, MV_E_REFUSED, img->name, 0, 0,
			  "it is 64-bit code, and the guest has no long mode (LM)");
	mv_err_hint(err, "a 64-bit guest needs a 64-bit default mask: --guest-os linux64, for instance");
	return -MV_E_REFUSED;
}

int mv_boot_check(const struct mv_image *img, const char *cmdline, uint64_t ram_size,
		  struct mv_err *err)
{
	size_t max = MV_BOOT_CMDLINE_MAX - 1;

	if (img->boot == MV_BOOT_LINUX && img->cmdline_max < max)
		max = img->cmdline_max;
	if (strlen(cmdline) > max)
		return mv_err_set(err, MV_E_USAGE, "a command line of %zu bytes is more than %zu",
				  strlen(cmdline), max);
	for (unsigned i = 0; i < img->nsegments; i++) {
		int rc = check_segment(img, &img->segments[i], ram_size, err);

		if (rc)
			return rc;
	}
	return check_initrd(img, ram_size, err);
}

static void pvh_info(struct mv_vm *vm, const struct mv_image *img)
{
	struct mv_memory map[MV_MEMORY_MAP];
	struct pvh_memmap out[MV_MEMORY_MAP] = { { 0 } };
	struct pvh_module module = {
		.paddr = mv_initrd_at(img, vm->ram_size),
		.size = img->initrd_size,
	};
	struct pvh_start_info info = {
		.magic = PVH_MAGIC,
		.version = 1,
		.nr_modules = img->initrd_size ? 1 : 0,
		.modlist_paddr = img->initrd_size ? MV_BOOT_MODULES_AT : 0,
		.cmdline_paddr = MV_BOOT_CMDLINE_AT,
		.rsdp_paddr = MV_ACPI_AT,
		.memmap_paddr = MV_BOOT_MEMMAP_AT,
		.memmap_entries = mv_memory_map(map, vm->ram_size),
	};

	for (unsigned i = 0; i < info.memmap_entries; i++)
		out[i] = (struct pvh_memmap){ map[i].addr, map[i].size, map[i].type, 0 };
	memcpy(vm->ram + MV_BOOT_INFO_AT, &info, sizeof(info));
	memcpy(vm->ram + MV_BOOT_MEMMAP_AT, out, sizeof(out));
	memcpy(vm->ram + MV_BOOT_MODULES_AT, &module, sizeof(module));
}

static void multiboot_info(struct mv_vm *vm, const struct mv_image *img)
{
	struct mv_memory map[MV_MEMORY_MAP];
	struct multiboot_mmap out[MV_MEMORY_MAP] = { { 0 } };
	unsigned n = mv_memory_map(map, vm->ram_size);
	uint32_t at = (uint32_t)mv_initrd_at(img, vm->ram_size);
	struct multiboot_module module = {
		.start = at,
		.end = at + (uint32_t)img->initrd_size,
		.string = 0,
	};
	struct multiboot_info info = {
		.flags = MB_MEMORY | MB_CMDLINE | MB_MMAP | (img->initrd_size ? MB_MODS : 0),
		.mem_lower = MV_LOW_RAM_END / 1024,
		.mem_upper = (uint32_t)((mv_ram_low(vm->ram_size) - MV_HIGH_RAM) / 1024),
		.cmdline = MV_BOOT_CMDLINE_AT,
		.mods_count = img->initrd_size ? 1 : 0,
		.mods_addr = MV_BOOT_MODULES_AT,
		.mmap_length = (uint32_t)(n * sizeof(out[0])),
		.mmap_addr = MV_BOOT_MEMMAP_AT,
	};

	for (unsigned i = 0; i < n; i++)
		out[i] = (struct multiboot_mmap){ 20, map[i].addr, map[i].size, map[i].type };
	memcpy(vm->ram + MV_BOOT_INFO_AT, &info, sizeof(info));
	memcpy(vm->ram + MV_BOOT_MEMMAP_AT, out, sizeof(out));
	memcpy(vm->ram + MV_BOOT_MODULES_AT, &module, sizeof(module));
}

static void place(struct mv_vm *vm, const struct mv_image *img)
{
	for (unsigned i = 0; i < img->nsegments; i++) {
		const struct mv_segment_map *s = &img->segments[i];

		memcpy(vm->ram + s->gpa, img->data + s->offset, s->file_size);
	}
	if (img->initrd_size)
		memcpy(vm->ram + mv_initrd_at(img, vm->ram_size), img->initrd, img->initrd_size);
}

/*
 * Flat 4 GiB segments in protected mode, paging and interrupts off: what both protocols ask for. An
 * image that can do without that is entered in long mode's 32-bit code, with paging on.
 */
static int enter_at(struct mv_vm *vm, struct mv_vcpu *vcpu, const struct mv_image *img, struct mv_err *err)
{
	struct kvm_segment code = { .limit = 0xffffffff, .selector = 0x10, .type = 11,
				    .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_segment data = code;
	struct kvm_regs regs = { .rflags = 2, .rip = img->entry, .rbx = MV_BOOT_INFO_AT };
	struct kvm_sregs sregs;
	int rc = mv_kvm_do(vcpu->fd, KVM_GET_SREGS, &sregs, err);

	if (rc < 0)
		return rc;
	data.selector = 0x18;
	data.type = 3;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 = 0x11;	/* PE, ET */
	if (img->note_flags & MV_NOTE_PAGED_ENTRY) {
		mv_boot_page_tables(vm);
		sregs.cr3 = MV_BOOT_PAGES_AT;
		sregs.cr4 = 0x20;		/* PAE */
		sregs.cr0 |= UINT64_C(1) << 31;	/* PG */
		sregs.efer = 0x500;		/* LMA, LME */
	}
	rc = mv_kvm_do(vcpu->fd, KVM_SET_SREGS, &sregs, err);
	if (rc < 0)
		return rc;
	if (img->boot == MV_BOOT_MULTIBOOT)
		regs.rax = MULTIBOOT_BOOTED;
	rc = mv_kvm_do(vcpu->fd, KVM_SET_REGS, &regs, err);
	return rc < 0 ? rc : 0;
}

/* What firmware leaves behind on every CPU; a guest or a KVM without MTRRs does not miss them. */
static void set_up_cpus(struct mv_vm *vm)
{
	for (unsigned i = 0; i < vm->nvcpus; i++)
		mv_kvm_set_msr(vm->vcpu[i].fd, MSR_MTRR_DEF_TYPE, MTRR_ENABLED_WB);
}

int mv_vm_boot(struct mv_vm *vm, const struct mv_image *img, const char *cmdline,
	       struct mv_err *err)
{
	int rc = mv_boot_check(img, cmdline, vm->ram_size, err);

	if (rc)
		return rc;
	place(vm, img);
	mv_acpi_build(vm->ram + MV_ACPI_AT, vm->nvcpus, vm->devices.nvirtio);
	set_up_cpus(vm);
	if (img->boot == MV_BOOT_LINUX)
		return mv_linux_enter(vm, img, cmdline, err);
	memcpy(vm->ram + MV_BOOT_CMDLINE_AT, cmdline, strlen(cmdline) + 1);
	if (img->boot == MV_BOOT_PVH)
		pvh_info(vm, img);
	else
		multiboot_info(vm, img);
	return enter_at(vm, &vm->vcpu[0], img, err);
}
