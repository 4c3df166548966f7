/* SPDX-License-Identifier: MIT */
/*
 * The bit table: every CPUID feature bit and every multi-bit field that two hosts are compared on.
 * The rows live in features.def, fields.def and deps.def; nothing else in the tree lists bits.
 */
#ifndef MV_CPUID_FEATURE_H
#define MV_CPUID_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum mv_reg { MV_EAX, MV_EBX, MV_ECX, MV_EDX, MV_NREGS };

/* Who defines the bit. */
enum mv_feature_vendor { MV_FV_ANY, MV_FV_INTEL, MV_FV_AMD, MV_FV_KVM };

/* How two hosts compare in the bit, beyond what its mask symbol says. */
enum mv_feature_class {
	MV_FC_PLAIN,	/* an ordinary feature: what is there on the source must be there later */
	MV_FC_HAZARD,	/* a warning to the guest: must be shown if true on any host it may run on */
	MV_FC_INVERTED,	/* set means that something was taken away: accumulates like a hazard */
	MV_FC_MIRROR,	/* AMD's copy in 0x80000001 EDX of a bit of leaf 1 EDX */
	MV_FC_TOPOLOGY,	/* follows the VM's CPU count, never the host */
	MV_FC_DYNAMIC,	/* follows guest state (CR4, MSRs): never compared */
	MV_FC_SYNTH,	/* the VMM decides, not the host */
};

/* What has to be granted before a guest can use the feature. */
enum mv_feature_needs {
	MV_FN_NOTHING,	/* a plain instruction or a property: works wherever the CPU has it */
	MV_FN_XCR0,	/* a state component in XCR0 (which one: its ancestors in deps.def) */
	MV_FN_CR4,
	MV_FN_EFER,
	MV_FN_MSR,
	MV_FN_PRIV,	/* an instruction or mode for CPL 0 only that needs no control bit */
	MV_FN_VMM,	/* a device, exit or interface that the hypervisor has to provide */
};

/* What disables the feature when its bit is hidden, on VMX and on SVM. */
enum mv_feature_enforce {
	MV_FE_NONE,	/* nothing: hidden-only, the instruction still executes */
	MV_FE_INFO,	/* there is nothing to execute: the bit describes, it does not enable */
	MV_FE_XCR0,	/* XCR0 without the component: #UD */
	MV_FE_CR4,	/* the CR4 bit is reserved for the guest */
	MV_FE_EFER,
	MV_FE_MSR,	/* the MSR or its bits are refused */
	MV_FE_CTRL,	/* a VMX control or an SVM intercept makes it #UD */
	MV_FE_KVM,	/* KVM itself refuses (PV features, with the capability to enforce them) */
	MV_FE_NA,	/* no CPU of that vendor has the feature */
};

struct mv_feature {
	uint32_t leaf, subleaf;
	uint8_t reg, bit;	/* enum mv_reg, 0 to 31 */
	uint8_t vendor, cls, needs, vmx, svm;
	const char *name;	/* canonical spelling, as in "CPUID level 0x1 ECX:19 (SSE4.1)" */
	/* other systems' spellings, blank-separated; "" where they have none */
	const char *linux_name, *qemu_name, *xen_name, *vmware_name;
	const char *what;
};

enum mv_feature_id {
#define MV_FEATURE(id, ...) MV_F_##id,
#include "features.def"
#undef MV_FEATURE
	MV_NFEATURES
};

/* How two hosts compare in a field. */
enum mv_field_rule {
	MV_FR_SYMBOL,	/* by its mask symbols alone */
	MV_FR_EQUAL,	/* source and destination must be equal */
	MV_FR_ATMOST,	/* what the guest was told must not exceed the destination's */
	MV_FR_LAYOUT,	/* XSAVE layout: equal for each component the guest may use */
	MV_FR_TOPOLOGY,	/* follows the VM's configuration: never compared */
	MV_FR_PERCPU,	/* differs between CPUs of one VM: never compared */
	MV_FR_DYNAMIC,	/* follows guest state: never compared */
	MV_FR_INFO,	/* for people; never compared */
};

struct mv_field {
	uint32_t leaf, subleaf;
	uint8_t reg, lo, hi;	/* bits lo to hi, both included */
	uint8_t rule;
	const char *name, *what;
};

enum mv_field_id {
#define MV_FIELD(id, ...) MV_FIELD_##id,
#include "fields.def"
#undef MV_FIELD
	MV_NFIELDS
};

extern const struct mv_feature mv_features[MV_NFEATURES];
extern const struct mv_field mv_fields[MV_NFIELDS];

/*
 * The feature of that name, by canonical name or any alias; NULL if there is none, or if two
 * systems give that name to different bits (ibrs, prefetchi, psfd). Case does not count, and '.',
 * '-' and '_' are the same. len bytes, no NUL needed.
 */
const struct mv_feature *mv_feature_by_name(const char *name, size_t len);

/* The same among the spellings of one system: for what that system wrote. */
enum mv_spelling { MV_SPELL_LINUX, MV_SPELL_QEMU, MV_SPELL_XEN, MV_SPELL_VMWARE };
const struct mv_feature *mv_feature_by_alias(enum mv_spelling system, const char *name, size_t len);

/* No feature has that name: add to err which ones are spelled nearly so, or that systems differ over it. */
void mv_feature_hint(struct mv_err *err, const char *name, size_t len);

/* The feature at a position; NULL if the bit has no row. */
const struct mv_feature *mv_feature_at(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit);

/* The field of that name or covering that bit; NULL if there is none. */
const struct mv_field *mv_field_by_name(const char *name, size_t len);
const struct mv_field *mv_field_at(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit);

/* What needs what (deps.def): a visible child without its parent is of no use. */
struct mv_dep {
	uint16_t child, parent;	/* enum mv_feature_id */
};
extern const struct mv_dep mv_deps[];
extern const unsigned mv_ndeps;

/* The feature without which a leaf, or a number, says nothing; MV_NFEATURES: it needs none. */
enum mv_feature_id mv_leaf_owner(uint32_t leaf);
enum mv_feature_id mv_field_owner(enum mv_field_id id);
/* The numbers that have an owner although their leaf has none. */
struct mv_owned_field {
	uint16_t field, feature;
};
extern const struct mv_owned_field mv_owned_fields[];
extern const unsigned mv_nowned_fields;

/* The direct prerequisites of feature id: writes up to cap ids, returns how many there are. */
size_t mv_feature_parents(enum mv_feature_id id, enum mv_feature_id *out, size_t cap);

static inline enum mv_feature_id mv_feature_id(const struct mv_feature *f)
{
	return (enum mv_feature_id)(f - mv_features);
}

/* "EAX" to "EDX"; lower: "eax" to "edx". */
const char *mv_reg_name(unsigned reg);
const char *mv_reg_name_lower(unsigned reg);

/* Does leaf have subleaves that count (the KVM SIGNIFICANT_INDEX leaves)? */
bool mv_leaf_has_subleaves(uint32_t leaf);

/*
 * A bit in the guide's notation: "CPUID level 0x1 ECX:19 (SSE4.1)", with "sublevel 0x1" where the
 * leaf has subleaves. Writes at most size bytes with a NUL, returns what snprintf returns.
 */
int mv_bit_format(char *buf, size_t size, uint32_t leaf, uint32_t subleaf, unsigned reg,
		  unsigned bit);

#endif
