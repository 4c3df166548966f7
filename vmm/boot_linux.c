/* SPDX-License-Identifier: MIT */
/*
 * Linux' 64-bit boot protocol (Documentation/arch/x86/boot.rst): boot_params with the kernel's own
 * setup header in it, long mode with everything mapped where it is, boot_params' address in RSI.
 */
#include "boot.h"

#include <string.h>

#include "acpi.h"
#include "le.h"

/* Offsets in boot_params (Documentation/arch/x86/zero-page.rst). */
#define ZP_RSDP 0x070
#define ZP_E820_N 0x1e8
#define ZP_SETUP 0x1f1
#define ZP_LOADER_TYPE 0x210
#define ZP_LOADFLAGS 0x211
#define ZP_INITRD_AT 0x218
#define ZP_INITRD_SIZE 0x21c
#define ZP_CMDLINE_AT 0x228
#define ZP_E820 0x2d0

#define SETUP_JUMP 0x201	/* its operand tells where the setup header ends */
#define SETUP_LAST 0x290	/* the e820 table's neighbours: no header reaches so far */
#define LOADER_UNKNOWN 0xff
#define CAN_USE_HEAP 0x80	/* of real-mode code, which does not run here */

#define BOOT_CS 0x10		/* __BOOT_CS and __BOOT_DS: the protocol fixes them */
#define BOOT_DS 0x18

#define PTE_PRESENT_WRITABLE 3u
#define PTE_LARGE 0x80u
#define TABLE_PAGES 6		/* PML4, PDPT, four directories */

static void boot_params(struct mv_vm *vm, const struct mv_image *img)
{
	uint8_t *zp = vm->ram + MV_BOOT_PARAMS_AT;
	size_t end = 0x202u + img->data[SETUP_JUMP];
	struct mv_memory map[MV_MEMORY_MAP];
	unsigned n = mv_memory_map(map, vm->ram_size);

	if (end > SETUP_LAST)
		end = SETUP_LAST;
	memcpy(zp + ZP_SETUP, img->data + ZP_SETUP, end - ZP_SETUP);
	zp[ZP_LOADER_TYPE] = LOADER_UNKNOWN;
	zp[ZP_LOADFLAGS] &= (uint8_t)~CAN_USE_HEAP;
	mv_store_le(zp + ZP_CMDLINE_AT, MV_BOOT_CMDLINE_AT, 4);
	mv_store_le(zp + ZP_INITRD_AT, (uint32_t)mv_initrd_at(img, vm->ram_size), 4);
	mv_store_le(zp + ZP_INITRD_SIZE, (uint32_t)img->initrd_size, 4);
	mv_store_le(zp + ZP_RSDP, MV_ACPI_AT, 8);
	zp[ZP_E820_N] = (uint8_t)n;
	for (unsigned i = 0; i < n; i++) {
		uint8_t *e = zp + ZP_E820 + i * 20;

		mv_store_le(e, map[i].addr, 8);
		mv_store_le(e + 8, map[i].size, 8);
		mv_store_le(e + 16, map[i].type, 4);
	}
}

void mv_boot_page_tables(struct mv_vm *vm)
{
	uint8_t *p = vm->ram + MV_BOOT_PAGES_AT;
	uint64_t next = MV_BOOT_PAGES_AT + MV_PAGE_SIZE;

	memset(p, 0, TABLE_PAGES * MV_PAGE_SIZE);
	mv_store_le(p, next | PTE_PRESENT_WRITABLE, 8);
	p += MV_PAGE_SIZE;
	for (unsigned i = 0; i < 4; i++)
		mv_store_le(p + i * 8, (next + (i + 1) * MV_PAGE_SIZE) | PTE_PRESENT_WRITABLE, 8);
	p += MV_PAGE_SIZE;
	for (uint64_t i = 0; i < 4 * 512; i++)
		mv_store_le(p + i * 8, i << 21 | PTE_LARGE | PTE_PRESENT_WRITABLE, 8);
}

static int enter(struct mv_vcpu *vcpu, uint64_t entry, struct mv_err *err)
{
	struct kvm_segment code = { .limit = 0xffffffff, .selector = BOOT_CS, .type = 11,
				    .present = 1, .l = 1, .s = 1, .g = 1 };
	struct kvm_segment data = { .limit = 0xffffffff, .selector = BOOT_DS, .type = 3,
				    .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_regs regs = { .rflags = 2, .rip = entry, .rsi = MV_BOOT_PARAMS_AT };
	struct kvm_sregs sregs;
	int rc = mv_kvm_do(vcpu->fd, KVM_GET_SREGS, &sregs, err);

	if (rc < 0)
		return rc;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt.base = MV_BOOT_GDT_AT;
	sregs.gdt.limit = 4 * 8 - 1;
	sregs.cr3 = MV_BOOT_PAGES_AT;
	sregs.cr4 = 0x20;		/* PAE */
	sregs.cr0 = 0x80000011;		/* PG, ET, PE */
	sregs.efer = 0x500;		/* LMA, LME */
	rc = mv_kvm_do(vcpu->fd, KVM_SET_SREGS, &sregs, err);
	if (rc >= 0)
		rc = mv_kvm_do(vcpu->fd, KVM_SET_REGS, &regs, err);
	return rc < 0 ? rc : 0;
}

int mv_linux_enter(struct mv_vm *vm, const struct mv_image *img, const char *cmdline,
		   struct mv_err *err)
{
	/* Null, unused, flat 64-bit code, flat data: what enter() loads, for who reloads it. */
	static const uint64_t gdt[4] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };

	memcpy(vm->ram + MV_BOOT_CMDLINE_AT, cmdline, strlen(cmdline) + 1);
	memcpy(vm->ram + MV_BOOT_GDT_AT, gdt, sizeof(gdt));
	boot_params(vm, img);
	mv_boot_page_tables(vm);
	return enter(&vm->vcpu[0], img->entry, err);
}
