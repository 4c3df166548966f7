/* SPDX-License-Identifier: MIT */
/* What the ways to boot share: places in low memory, the memory map, and the two parts, boot.c and boot_linux.c. */
#ifndef MV_VMM_BOOT_H
#define MV_VMM_BOOT_H

#include "vm.h"

/* Low memory. Images start at MV_IMAGE_AT or above; Linux finds the rest of it used. */
#define MV_BOOT_GDT_AT 0x500u
#define MV_BOOT_INFO_AT 0x1000u
#define MV_BOOT_MEMMAP_AT 0x1800u
#define MV_BOOT_MODULES_AT 0x1c00u
#define MV_BOOT_CMDLINE_AT 0x2000u
#define MV_BOOT_CMDLINE_MAX 4096u
#define MV_IMAGE_AT (MV_BOOT_CMDLINE_AT + MV_BOOT_CMDLINE_MAX)
#define MV_BOOT_PARAMS_AT 0x7000u
#define MV_BOOT_PAGES_AT 0x9000u	/* page tables: six pages for 4 GiB */

#define MV_LOW_RAM_END 0xa0000u		/* then the places of VGA and BIOS */
#define MV_HIGH_RAM 0x100000u

enum { MV_MEM_RAM = 1, MV_MEM_RESERVED = 2, MV_MEM_ACPI = 3 };	/* e820's, PVH's, multiboot's */

struct mv_memory {
	uint64_t addr, size;
	uint32_t type;
};

#define MV_MEMORY_MAP 8

/* What guest-physical memory is for, in ascending order. Returns the number of entries. */
unsigned mv_memory_map(struct mv_memory map[MV_MEMORY_MAP], uint64_t ram_size);

/* Where the image's initrd goes, below the gap; 0 if it has none, or there is no room. */
uint64_t mv_initrd_at(const struct mv_image *img, uint64_t ram_size);

/* Tables at MV_BOOT_PAGES_AT: virtual is physical for the low 4 GiB, in pages of 2 MiB. */
void mv_boot_page_tables(struct mv_vm *vm);

/* Fill in boot_params and put vCPU 0 at the kernel's 64-bit entry point. */
int mv_linux_enter(struct mv_vm *vm, const struct mv_image *img, const char *cmdline,
		   struct mv_err *err);

#endif
