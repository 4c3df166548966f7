/* SPDX-License-Identifier: MIT */
/* Between vmm/fleet.c (who is there) and vmm/fleet_judge.c (who goes where). */
#ifndef MV_VMM_FLEET_IMPL_H
#define MV_VMM_FLEET_IMPL_H

#include "fleet.h"

/* Numbers found by the bytes they stand for: open addressing, the caller compares. */
struct mv_index {
	uint32_t *slot;		/* number + 1; 0 = free */
	uint64_t *hash;
	uint32_t n, room;	/* room is a power of two */
};

/* A growing array: n of room elements of size bytes. */
struct mv_list {
	void *v;
	uint32_t n, room;
	size_t size;
};

#define MV_FLEET_MASKS 64

/* Final masks by what they were made from: most VMs of a fleet share a few. */
struct mv_fleet_masks {
	struct mv_fleet_recipe key;
	enum mv_vendor vendor;
	struct mv_mask final;
	struct mv_mask_files files;
	char guest_os[32];
	uint64_t used;
};

struct mv_fleet {
	struct mv_fleet_opts opts;
	char *text;		/* all texts, each with its NUL */
	size_t text_len, text_room;
	struct mv_list hosts, hclasses, vms, vclasses, problems, gains, clusters, baselines, recipes;
	struct mv_index texts, host_names, host_keys, vm_names, vm_keys, recipe_keys;
	struct mv_list host_key_bytes;	/* 128 bits for each host class */
	struct mv_quick_layout *layout;
	bool all_scale;		/* every host can scale the TSC: frequencies don't matter */
	bool full;		/* quick verdicts don't apply: another rule, or the layout is full */
	struct mv_fleet_masks *masks[MV_FLEET_MASKS];
	uint64_t clock;
	struct mv_policy *p;	/* to work in */
	struct mv_notes *notes;

	/* what came of it */
	uint64_t *accept, *moves;	/* bits: [vclass][hclass], [hclass][hclass] */
	uint32_t words;			/* of a row of either */
	uint32_t refused, stuck, elsewhere;
	uint64_t pairs;
};

/* One more element, zeroed; NULL without memory. */
void *mv_list_add(struct mv_list *l);
#define MV_LIST(l, type) ((type *)(l).v)

/* Does number stand for key? */
typedef bool mv_index_same(const struct mv_fleet *f, uint32_t number, const void *key);
/* The number that key has, or NONE. */
uint32_t mv_index_find(const struct mv_fleet *f, const struct mv_index *x, uint64_t hash,
		       mv_index_same *same, const void *key);
/* The number must not be there yet; false without memory. */
bool mv_index_add(struct mv_index *x, uint64_t hash, uint32_t number);
/* Keep a text that is known to be new. NONE without memory, or beyond 4 GiB of texts. */
uint32_t mv_fleet_put_text(struct mv_fleet *f, const char *text, size_t len);

struct mv_fleet_vclass *mv_fleet_vclass_rw(struct mv_fleet *f, uint32_t i);
struct mv_quick_vm *mv_fleet_quick(struct mv_fleet *f, const struct mv_policy *p);

#endif
