/* SPDX-License-Identifier: MIT */
/*
 * A CPUID table: what CPUID returns, leaf by leaf. A plain value of fixed size: copy it, compare it,
 * keep it on the heap (6 KiB).
 */
#ifndef MV_CPUID_TABLE_H
#define MV_CPUID_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "feature.h"

#define MV_TABLE_MAX 256	/* KVM's own limit, KVM_MAX_CPUID_ENTRIES */

struct mv_leaf {
	uint32_t leaf, subleaf;	/* subleaf is 0 where the leaf has none */
	uint32_t reg[MV_NREGS];
};

/* Entries keep the order they were put in: KVM scans the guest's table linearly. */
struct mv_table {
	uint32_t n;
	struct mv_leaf e[MV_TABLE_MAX];
};

enum mv_vendor { MV_VENDOR_OTHER, MV_VENDOR_INTEL, MV_VENDOR_AMD, MV_VENDOR_HYGON };

/* The entry of that position; NULL if there is none. */
const struct mv_leaf *mv_table_find(const struct mv_table *t, uint32_t leaf, uint32_t subleaf);
struct mv_leaf *mv_table_get(struct mv_table *t, uint32_t leaf, uint32_t subleaf);

/* Find the entry or append a zero one; NULL if the table is full. */
struct mv_leaf *mv_table_add(struct mv_table *t, uint32_t leaf, uint32_t subleaf);

/* Register values and bits; an absent entry reads as 0. */
uint32_t mv_table_reg(const struct mv_table *t, uint32_t leaf, uint32_t subleaf, unsigned reg);
bool mv_table_bit(const struct mv_table *t, uint32_t leaf, uint32_t subleaf, unsigned reg,
		  unsigned bit);
bool mv_table_has(const struct mv_table *t, enum mv_feature_id id);
uint32_t mv_table_field(const struct mv_table *t, enum mv_field_id id);

/* Set a bit to value, or a field; an absent entry is added only for a non-zero value. */
int mv_table_set_bit(struct mv_table *t, uint32_t leaf, uint32_t subleaf, unsigned reg,
		     unsigned bit, bool value);
int mv_table_set_feature(struct mv_table *t, enum mv_feature_id id, bool value);
int mv_table_set_field(struct mv_table *t, enum mv_field_id id, uint32_t value);

/* Order by leaf, then subleaf: for people and for comparing. */
void mv_table_sort(struct mv_table *t);

/* Leaves whose first subleaf tells the highest one in EAX. */
bool mv_leaf_counts_subleaves(uint32_t leaf);
/* Does this entry of a leaf mark the end of its list: no cache, no further topology level? */
bool mv_leaf_ends_list(uint32_t leaf, const uint32_t reg[MV_NREGS]);

enum mv_vendor mv_table_vendor(const struct mv_table *t);
/* AMD's CPUs: Hygon's are AMD's by another name. */
bool mv_vendor_amd(enum mv_vendor v);
/*
 * Does KVM use VMX there, or SVM? By vendor: kvm-amd takes AMD's and Hygon's alone (cpu_has_svm() in Linux' virtext.h),
 * kvm-intel whatever else there is with VMX, which is VIA's and Zhaoxin's, too.
 */
bool mv_table_vmx(const struct mv_table *t);
/* The vendor string of leaf 0 (12 characters) and the brand of 0x80000002-4 (up to 47), fit for a terminal. */
void mv_table_vendor_string(const struct mv_table *t, char out[13]);
void mv_table_brand_string(const struct mv_table *t, char out[49]);

struct mv_signature {
	unsigned family, model, stepping;	/* display values: extended parts folded in */
};
struct mv_signature mv_table_signature(const struct mv_table *t);

/*
 * The bits of a register that may differ between two reads of one and the same guest table: they
 * follow guest state or the CPU it is read on (OSXSAVE, OSPKE, XSAVE sizes by XCR0, APIC ids).
 */
uint32_t mv_volatile_bits(uint32_t leaf, uint32_t subleaf, unsigned reg);

#endif
