/* SPDX-License-Identifier: MIT */
#include "ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "manifest.h"
#include "vm.h"

/* Of an entry of /proc/self/pagemap: the page is in memory, or was swapped out of it. */
#define PAGEMAP_TOUCHED (UINT64_C(3) << 62)
#define ENTRIES 4096	/* read at once */

void *mv_vm_at(struct mv_vm *vm, uint64_t gpa, size_t len)
{
	return mv_ram_has(vm->ram_size, gpa, len) ? vm->ram + mv_ram_pos(gpa) : NULL;
}

/* Guest-physical addresses that the guest can form: CPUID 0x80000008 EAX[7:0], or what it means not to have it. */
static unsigned address_bits(const struct mv_table *guest)
{
	const struct mv_leaf *e = mv_table_find(guest, 0x80000008, 0);

	return e && e->reg[MV_EAX] & 0xff ? e->reg[MV_EAX] & 0xff : 36;
}

int mv_ram_check(uint64_t size, const struct mv_table *guest, struct mv_err *err)
{
	uint64_t have = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned long long mib = size >> 20;
	unsigned bits = address_bits(guest);

	if (size < MV_MIN_RAM || size > MV_MAX_RAM)
		return mv_err_set(err, MV_E_HOST, "a VM with %llu MiB of memory can't be created", mib);
	if (size > MV_GAP_AT && bits < 64 && mv_ram_gpa(size - 1) >> bits)
		return mv_err_set(err, MV_E_HOST, "%llu MiB of guest memory: the physical addresses that the guest is "
				  "shown have %u bits (CPUID 0x80000008 EAX[7:0])", mib, bits);
	if (size > have)
		return mv_err_set(err, MV_E_HOST, "%llu MiB of guest memory: this host has %llu MiB", mib,
				  (unsigned long long)have >> 20);
	return 0;
}

int mv_ram_map(struct mv_vm *vm, uint32_t flags, struct mv_err *err)
{
	uint64_t low = mv_ram_low(vm->ram_size);
	struct kvm_userspace_memory_region slot[MV_RAM_SLOTS] = {
		{ .slot = 0, .memory_size = low, .userspace_addr = (uintptr_t)vm->ram },
		{ .slot = 1, .memory_size = vm->ram_size - low, .userspace_addr = (uintptr_t)vm->ram + low,
		  .guest_phys_addr = MV_GAP_END },
	};
	int rc = 0;

	for (unsigned i = 0; i < MV_RAM_SLOTS && slot[i].memory_size && rc >= 0; i++) {
		slot[i].flags = flags;
		rc = mv_kvm_do(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot[i], err);
	}
	return rc < 0 ? rc : 0;
}

int mv_ram_create(struct mv_vm *vm, struct mv_err *err)
{
	void *p = mmap(NULL, vm->ram_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return mv_err_set(err, MV_E_FAILED, "%llu MiB of guest memory: %s",
				  (unsigned long long)(vm->ram_size >> 20), strerror(errno));
	vm->ram = p;
	vm->ram_plain = true;
	return mv_ram_map(vm, 0, err);
}

bool mv_ram_drop_touched(const struct mv_vm *vm, uint64_t *bitmap)
{
	uint64_t npages = vm->ram_size / MV_PAGE_SIZE, base = (uintptr_t)vm->ram / MV_PAGE_SIZE;
	uint64_t *entries, page, i, n = 0;
	int fd;

	if (!__atomic_load_n(&vm->ram_plain, __ATOMIC_SEQ_CST))
		return false;
	for (uint32_t run = 0; vm->ram_file && run < vm->ram_file->nruns; run++) {
		page = vm->ram_file->runs[run].pos / MV_PAGE_SIZE;
		for (n = vm->ram_file->runs[run].npages; n; n--, page++)
			bitmap[page / 64] &= ~(UINT64_C(1) << page % 64);
	}
	entries = malloc(ENTRIES * sizeof(*entries));
	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	for (page = 0; entries && fd >= 0 && page < npages; page += n) {
		n = npages - page < ENTRIES ? npages - page : ENTRIES;
		if (pread(fd, entries, n * sizeof(*entries),
			  (off_t)((base + page) * sizeof(*entries))) !=
		    (ssize_t)(n * sizeof(*entries)))
			break;
		for (i = 0; i < n; i++)
			if (entries[i] & PAGEMAP_TOUCHED)
				bitmap[(page + i) / 64] &= ~(UINT64_C(1) << (page + i) % 64);
	}
	if (fd >= 0)
		close(fd);
	free(entries);
	return page >= npages;
}
