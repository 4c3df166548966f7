/* SPDX-License-Identifier: MIT */
/*
 * A host as far as a guest's CPU is concerned: what its CPU returns, what was seen to execute, what
 * KVM names, and what KVM was proved to do. A host file is this structure as JSON; a snapshot carries
 * the source's.
 */
#ifndef MV_CPUID_HOST_H
#define MV_CPUID_HOST_H

#include "table.h"

/* A set of features. */
struct mv_featset {
	uint64_t w[(MV_NFEATURES + 63) / 64];
};

/* A set of fields. */
struct mv_fieldset {
	uint64_t w[(MV_NFIELDS + 63) / 64];
};

static inline bool mv_fieldset_has(const struct mv_fieldset *s, enum mv_field_id id)
{
	return s->w[id / 64] >> (id % 64) & 1;
}

static inline void mv_fieldset_add(struct mv_fieldset *s, enum mv_field_id id)
{
	s->w[id / 64] |= UINT64_C(1) << (id % 64);
}

static inline bool mv_featset_has(const struct mv_featset *s, enum mv_feature_id id)
{
	return s->w[id / 64] >> (id % 64) & 1;
}

static inline void mv_featset_add(struct mv_featset *s, enum mv_feature_id id)
{
	s->w[id / 64] |= UINT64_C(1) << (id % 64);
}

static inline void mv_featset_remove(struct mv_featset *s, enum mv_feature_id id)
{
	s->w[id / 64] &= ~(UINT64_C(1) << (id % 64));
}

/*
 * Is the bit's value the VMM's or the guest's doing? Such bits tell nothing about a host, and no
 * symbol compares or refuses for them.
 */
static inline bool mv_feature_computed(const struct mv_feature *f)
{
	return f->cls == MV_FC_DYNAMIC || f->cls == MV_FC_TOPOLOGY || f->cls == MV_FC_SYNTH ||
	       f->cls == MV_FC_MIRROR;
}

struct mv_msr {
	uint32_t index;
	uint64_t value;
};

#define MV_HOST_MSRS 64
#define MV_MSR_ARCH_CAPABILITIES 0x10a

/* How a guest's CPUID is answered from the guest table; numbered as in guest-tests/abi.h. */
enum mv_intercept {
	MV_INTERCEPTION_NONE,
	MV_INTERCEPTION_KERNEL,
	MV_INTERCEPTION_PATCH,
	MV_INTERCEPTION_STEP,
	MV_NINTERCEPTIONS,
};

/* Privilege levels at which a mechanism was proved. */
#define MV_PROOF_CPL0 0x1
#define MV_PROOF_CPL3 0x2
#define MV_PROOF_BOTH (MV_PROOF_CPL0 | MV_PROOF_CPL3)

/*
 * What KVM does to keep guests to their CPUID if it is asked to, and kernels differ in having.
 * MV_KVM_CONTROL(symbol, name, what). docs/stream-format.md numbers them as they stand here.
 */
#define MV_KVM_CONTROLS \
	MV_KVM_CONTROL(PV_ENFORCED, "enforce-pv-features", \
		       "hidden KVM features fault (KVM_CAP_ENFORCE_PV_FEATURE_CPUID)") \
	MV_KVM_CONTROL(MWAIT_KEPT, "misc-enable-mwait-off", \
		       "MISC_ENABLE does not change the MONITOR bit (KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT)") \
	MV_KVM_CONTROL(MWAIT_FAULTS, "mwait-faults", \
		       "hidden MWAIT faults (KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)")

enum mv_kvm_control {
#define MV_KVM_CONTROL(id, name, what) MV_KC_##id,
	MV_KVM_CONTROLS
#undef MV_KVM_CONTROL
	MV_NKVM_CONTROLS
};
#define MV_KVM_CONTROL_BIT(id) (UINT32_C(1) << MV_KC_##id)
#define MV_KVM_CONTROLS_ALL ((UINT32_C(1) << MV_NKVM_CONTROLS) - 1)

const char *mv_kvm_control_name(enum mv_kvm_control c);
const char *mv_kvm_control_what(enum mv_kvm_control c);

struct mv_host {
	char name[64];
	char kernel[128];	/* uname release and version of the host, "" if unknown */
	char source[64];	/* "kvm" for a live host, else where the description came from */
	uint64_t microcode;
	char machine[33], boot[37];	/* which machine, up since which boot; "" if unknown */
	bool assumed;		/* no KVM was asked there: the offer is an assumption */

	/*
	 * The source of the description (libvirt) speaks of some features and fields only: the bits of
	 * all others, and reserved bits, are unknown whatever the tables say.
	 */
	bool partial;
	struct mv_featset told;		/* if partial */
	struct mv_fieldset told_fields;

	struct mv_table raw;	/* the CPUID instruction, topology and APIC ids of one CPU */
	struct mv_table kvm;	/* KVM_GET_SUPPORTED_CPUID */
	struct mv_featset exec_known, exec_ran;	/* tried in user space; of those, ran */

	uint32_t nmsrs;		/* feature MSRs */
	struct mv_msr msrs[MV_HOST_MSRS];

	uint64_t xcr0;		/* what KVM_SET_XCRS was seen to accept; 0 = not even x87+SSE */
	uint32_t tsc_khz;	/* 0 = unknown */
	bool tsc_scaling;	/* KVM can give a guest another frequency */
	uint32_t kvm_controls;	/* MV_KVM_CONTROL_BIT: what this kernel's KVM has */

	uint8_t proof[MV_NINTERCEPTIONS];	/* MV_PROOF_*: where each mechanism held */
	bool proved;		/* the proof ran here; otherwise proof[] is an assumption */
	bool cpl0_interpreted;	/* KVM interprets guest code at CPL 0 */
};

const char *mv_intercept_name(enum mv_intercept i);

/* Does KVM itself answer the guest's CPUID here, at both privilege levels? */
static inline bool mv_host_intercepts(const struct mv_host *h)
{
	return h->proof[MV_INTERCEPTION_KERNEL] == MV_PROOF_BOTH;
}

/*
 * Can a guest's CPUID be answered from its table here? A mechanism counts where it holds at both privilege
 * levels; patching, for images whose CPUID instructions are accounted for.
 */
bool mv_host_answers(const struct mv_host *h, bool patchable);

/*
 * What a guest on h can be given: the kvm view where KVM intercepts CPUID; elsewhere the kvm view
 * plus the raw features that need no control KVM withholds, XCR0 components as far as xcr0 goes.
 */
void mv_host_offer(const struct mv_host *h, struct mv_table *offer);

/* Can the bit be used on h whatever a mask hides: raw, or a feature seen to execute? */
bool mv_host_executes(const struct mv_host *h, uint32_t leaf, uint32_t subleaf, unsigned reg,
		      unsigned bit);

/* The bits of a register that the description tells: all of them unless it is partial. */
uint32_t mv_host_told(const struct mv_host *h, uint32_t leaf, uint32_t subleaf, unsigned reg);
/* Does it tell the field? */
bool mv_host_told_field(const struct mv_host *h, enum mv_field_id id);

/* The MSR's value; false if it is not among the feature MSRs. */
bool mv_host_msr(const struct mv_host *h, uint32_t index, uint64_t *value);

#endif
