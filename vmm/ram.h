/* SPDX-License-Identifier: MIT */
/*
 * Where RAM stands in guest-physical memory: up to 3 GiB of it from 0 on, the rest from 4 GiB on; what is
 * between is for devices and KVM. A *position* in RAM counts its bytes without that gap: host memory,
 * snapshots and logs of written pages go by positions.
 */
#ifndef MV_VMM_RAM_H
#define MV_VMM_RAM_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct mv_table;
struct mv_vm;

#define MV_MIN_RAM (UINT64_C(1) << 20)
#define MV_GAP_AT (UINT64_C(3) << 30)
#define MV_GAP_END (UINT64_C(4) << 30)
#define MV_RAM_SLOTS 2	/* of KVM: below the gap, above it */

/* Bytes of RAM below the gap. */
static inline uint64_t mv_ram_low(uint64_t ram_size)
{
	return ram_size < MV_GAP_AT ? ram_size : MV_GAP_AT;
}

/* The position of guest-physical memory that is RAM. */
static inline uint64_t mv_ram_pos(uint64_t gpa)
{
	return gpa < MV_GAP_END ? gpa : gpa - (MV_GAP_END - MV_GAP_AT);
}

static inline uint64_t mv_ram_gpa(uint64_t pos)
{
	return pos < MV_GAP_AT ? pos : pos + (MV_GAP_END - MV_GAP_AT);
}

/* Are all these bytes RAM, on one side of the gap? */
static inline bool mv_ram_has(uint64_t ram_size, uint64_t gpa, uint64_t len)
{
	uint64_t end = gpa < MV_GAP_END ? mv_ram_low(ram_size) : ram_size, pos = mv_ram_pos(gpa);

	return pos <= end && len <= end - pos;
}

/*
 * Can there be a VM with so much memory, here and with the CPUID that its guest sees? -MV_E_HOST: none at all,
 * more than its physical addresses reach, or more than this host has.
 */
int mv_ram_check(uint64_t size, const struct mv_table *guest, struct mv_err *err);

/* Memory for vm->ram_size, which mv_ram_check has seen, all zeros and nothing of it touched; told to KVM. */
int mv_ram_create(struct mv_vm *vm, struct mv_err *err);

/*
 * Clear the bits of pages, by position, that exist; the others were never touched and are zeros. Made for a
 * bitmap that is all ones. What may be a mapped file's counts as existing. False, with the bitmap in no state, if that can't be told.
 */
bool mv_ram_drop_touched(const struct mv_vm *vm, uint64_t *bitmap);

/* Tell KVM of RAM, which exists: flags are KVM_MEM_*. May be called again with other flags. */
int mv_ram_map(struct mv_vm *vm, uint32_t flags, struct mv_err *err);

#endif
