/* SPDX-License-Identifier: MIT */
/*
 * What is in the state stream: the table of record types, in the order in which they stand in it
 * (docs/stream-format.md, section 5). A new record is a row here and a walk routine.
 */
#ifndef MV_MIGRATE_RECORDS_H
#define MV_MIGRATE_RECORDS_H

#include "manifest.h"
#include "state.h"
#include "wire.h"

#define MV_REC_OPTIONAL 0x80000000u	/* in a type: who does not know it may skip it */
#define MV_REC_NUMBER(type) ((type) & ~MV_REC_OPTIONAL)	/* what they are ordered by */

enum mv_record_type {
	MV_REC_CONFIG = 0x0100,
	MV_REC_POLICY = 0x0110,
	MV_REC_IGNORED = MV_REC_OPTIONAL | 0x0118,
	MV_REC_SOURCE_HOST = 0x0120,
	MV_REC_GIVEN = MV_REC_OPTIONAL | 0x0128,
	MV_REC_GUEST_TABLE = 0x0130,
	MV_REC_MASK_FILES = 0x0140,
	MV_REC_MASK_FINAL = 0x0150,
	MV_REC_MASK_EFFECTIVE = 0x0160,
	MV_REC_DISK = 0x0170,
	MV_REC_RNG = 0x0178,
	MV_REC_STATIC_END = 0x01f0,
	MV_REC_MEMORY_PAGES = 0x0200,	/* in live streams alone, as MEMORY is in files */
	MV_REC_CLOCK = 0x0300,
	MV_REC_IRQCHIP = 0x0310,
	MV_REC_DEVICE = 0x0320,
	MV_REC_CPUID_SITES = 0x0330,
	MV_REC_VCPU = 0x0340,
	MV_REC_PACKED = 0x03f0,	/* in compressed files alone */
	MV_REC_MEMORY = 0x0400,
	MV_REC_END = 0x0500,
};

/* What the walk routines read or fill in. Decoding needs only what the records to come are of. */
struct mv_records {
	struct mv_config *config;
	struct mv_policy *policy;
	struct mv_state *state;		/* decoding: initialised for config->nvcpus */
	struct mv_manifest *memory;
	uint16_t minor;			/* decoding: of the header */
	uint32_t nfiles;		/* of MASK_FILES, for the places in masks */
	uint64_t total_records, file_size;	/* END has to say this */
	uint8_t *ram;			/* decoding MEMORY_PAGES: where the pages go */
	uint64_t pages;			/* … how many there were so far */
	bool round_over;		/* … the last record ended a round */
};

struct mv_record_def {
	uint32_t type;
	const char *name;
	uint32_t min, max;	/* how many */
	uint64_t max_len;	/* of the payload */
	/* How many there are to write. */
	uint32_t (*count)(const struct mv_records *rs);
	/* Encode or decode number index. */
	void (*walk)(struct mv_wire *w, struct mv_records *rs, uint32_t index);
};

#define MV_NRECORD_DEFS 21
extern const struct mv_record_def mv_record_defs[MV_NRECORD_DEFS];

const struct mv_record_def *mv_record_def(uint32_t type);	/* NULL: unknown */

/* rec_policy.c: the static part. POLICY has so much room for p->ignored; IGNORED has the rest. */
#define MV_POLICY_IGNORED 256
void mv_walk_config(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_policy(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_ignored(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_source_host(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_given(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_guest_table(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_mask_files(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_mask_final(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_mask_effective(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_disk(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_rng(struct mv_wire *w, struct mv_records *rs, uint32_t index);

/* pages.c: decoding alone, MEMORY_PAGES are written in place */
void mv_walk_memory_pages(struct mv_wire *w, struct mv_records *rs, uint32_t index);

/* rec_state.c: what changes while the machine runs */
void mv_walk_clock(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_irqchip(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_device(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_cpuid_sites(struct mv_wire *w, struct mv_records *rs, uint32_t index);
void mv_walk_vcpu(struct mv_wire *w, struct mv_records *rs, uint32_t index);

#endif
