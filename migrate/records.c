/* SPDX-License-Identifier: MIT */
#include "records.h"

#include <string.h>

static uint32_t one(const struct mv_records *rs)
{
	(void)rs;
	return 1;
}

/* Written by those who send pages. */
static uint32_t none(const struct mv_records *rs)
{
	(void)rs;
	return 0;
}

static uint32_t count_irqchip(const struct mv_records *rs)
{
	return rs->state->has_irqchip;
}

static uint32_t count_devices(const struct mv_records *rs)
{
	return rs->state->ndevices;
}

static uint32_t count_vcpus(const struct mv_records *rs)
{
	return rs->state->nvcpus;
}

static uint32_t count_disks(const struct mv_records *rs)
{
	return rs->config->ndisks;
}

static uint32_t count_packed(const struct mv_records *rs)
{
	return rs->memory->packed.method != MV_PACKING_NONE;
}

static uint32_t count_ignored(const struct mv_records *rs)
{
	return !memchr(rs->policy->ignored, '\0', MV_POLICY_IGNORED);
}

static uint32_t count_given(const struct mv_records *rs)
{
	return rs->policy->given.kept;
}

static uint32_t count_rng(const struct mv_records *rs)
{
	return rs->config->rng;
}

static void walk_static_end(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	(void)w;
	(void)rs;
	(void)index;
}

static void walk_memory(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	(void)index;
	mv_manifest_walk(w, rs->memory);
}

static void walk_packed(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_manifest *m = rs->memory;

	(void)index;
	mv_packed_walk(w, &m->packed, m->ram_size, m->file_size - m->data_offset);
}

static void walk_end(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	(void)index;
	mv_wire_expect_u64(w, rs->total_records, "the number of records");
	mv_wire_expect_u64(w, rs->file_size, "the file's size");
}

/*
 * Ascending by number. The limits of PACKED and MEMORY depend on the size of RAM: nothing is accepted until
 * the reader of CONFIG has set them. MEMORY_PAGES are accepted in live streams alone.
 */
const struct mv_record_def mv_record_defs[MV_NRECORD_DEFS] = {
	{ MV_REC_CONFIG, "CONFIG", 1, 1, 4096, one, mv_walk_config },
	{ MV_REC_POLICY, "POLICY", 1, 1, 4096, one, mv_walk_policy },
	{ MV_REC_IGNORED, "IGNORED", 0, 1, MV_IGNORED_TEXT, count_ignored, mv_walk_ignored },
	{ MV_REC_SOURCE_HOST, "SOURCE_HOST", 1, 1, 65536, one, mv_walk_source_host },
	{ MV_REC_GIVEN, "GIVEN", 0, 1, 64, count_given, mv_walk_given },
	{ MV_REC_GUEST_TABLE, "GUEST_TABLE", 1, 1, 8192, one, mv_walk_guest_table },
	{ MV_REC_MASK_FILES, "MASK_FILES", 1, 1, 8192, one, mv_walk_mask_files },
	{ MV_REC_MASK_FINAL, "MASK_FINAL", 1, 1, 131072, one, mv_walk_mask_final },
	{ MV_REC_MASK_EFFECTIVE, "MASK_EFFECTIVE", 1, 1, 131072, one, mv_walk_mask_effective },
	{ MV_REC_DISK, "DISK", 0, MV_MAX_DISKS, 2048, count_disks, mv_walk_disk },
	{ MV_REC_RNG, "RNG", 0, 1, 0, count_rng, mv_walk_rng },
	{ MV_REC_STATIC_END, "STATIC_END", 1, 1, 0, one, walk_static_end },
	{ MV_REC_MEMORY_PAGES, "MEMORY_PAGES", 0, 0, 0, none, mv_walk_memory_pages },
	{ MV_REC_CLOCK, "CLOCK", 1, 1, 64, one, mv_walk_clock },
	{ MV_REC_IRQCHIP, "IRQCHIP", 0, 1, 4096, count_irqchip, mv_walk_irqchip },
	{ MV_REC_DEVICE, "DEVICE", 0, MV_MAX_DEVICES, 8192, count_devices, mv_walk_device },
	{ MV_REC_CPUID_SITES, "CPUID_SITES", 1, 1, 65536, one, mv_walk_cpuid_sites },
	{ MV_REC_VCPU, "VCPU", 1, MV_MAX_VCPUS, 65536, count_vcpus, mv_walk_vcpu },
	{ MV_REC_PACKED, "PACKED", 0, 0, 0, count_packed, walk_packed },
	{ MV_REC_MEMORY, "MEMORY", 1, 1, 0, one, walk_memory },
	{ MV_REC_END, "END", 1, 1, 64, one, walk_end },
};

const struct mv_record_def *mv_record_def(uint32_t type)
{
	size_t i;

	for (i = 0; i < MV_NRECORD_DEFS; i++)
		if (mv_record_defs[i].type == type)
			return &mv_record_defs[i];
	return NULL;
}
