/* SPDX-License-Identifier: MIT */
/* The rules that hold whatever a mask says: what saved state and running code can't do without. */
#include <stdio.h>
#include <string.h>

#include "verdict_impl.h"
#include "xstate.h"

#define TSC_TOLERANCE_PPM 250	/* what guests and KVM absorb without scaling */

/* IA32_ARCH_CAPABILITIES (SDM Vol. 4): bits that name a hazard are set where it exists. */
#define ARCH_CAP_RSBA (UINT64_C(1) << 2)
#define ARCH_CAP_MDS_NO (UINT64_C(1) << 5)
#define ARCH_CAP_SBDR_SSDP_NO (UINT64_C(1) << 13)
#define ARCH_CAP_FBSDP_NO (UINT64_C(1) << 14)
#define ARCH_CAP_PSDP_NO (UINT64_C(1) << 15)
#define ARCH_CAP_FB_CLEAR (UINT64_C(1) << 17)
#define ARCH_CAP_RRSBA (UINT64_C(1) << 19)
#define ARCH_CAP_RFDS_NO (UINT64_C(1) << 27)
#define ARCH_CAP_RFDS_CLEAR (UINT64_C(1) << 28)

static void structural(struct mv_compare *c, enum mv_rule rule, uint64_t want, uint64_t have,
		       const char *text)
{
	struct mv_mismatch m = { .rule = rule, .reg = -1, .want = want, .have = have };

	snprintf(m.text, sizeof(m.text), "%s", text);
	mv_compare_add(c, m);
}

/* The line that decided a field's value. */
static mv_at field_at(const struct mv_policy *p, enum mv_field_id id)
{
	const struct mv_field *f = &mv_fields[id];
	const struct mv_mask_field *line = mv_mask_find_field(&p->final, id);

	return line ? line->at : mv_mask_at(&p->final, f->leaf, f->subleaf, f->reg, f->lo);
}

/* A structural rule about a field of the table. */
static void structural_field(struct mv_compare *c, enum mv_rule rule, enum mv_field_id id,
			     uint64_t want, uint64_t have, const char *text)
{
	const struct mv_field *f = &mv_fields[id];
	struct mv_mismatch m = {
		.rule = rule, .leaf = f->leaf, .subleaf = f->subleaf, .reg = (int8_t)f->reg,
		.lo = (int8_t)f->lo, .hi = (int8_t)f->hi, .want = want, .have = have,
		.at = field_at(c->p, id),
	};

	snprintf(m.text, sizeof(m.text), "%s", text);
	mv_compare_add(c, m);
}

bool mv_hazard_excused(const struct mv_compare *c, enum mv_feature_id id, bool guest, bool dst)
{
	uint64_t caps = 0;

	if (guest == dst)
		return true;
	if (!guest)
		return false;
	switch (id) {
	case MV_F_MD_CLEAR:
		return mv_host_msr(c->dst, MV_MSR_ARCH_CAPABILITIES, &caps) && caps & ARCH_CAP_MDS_NO;
	case MV_F_VERW_CLEAR:
		return mv_table_has(&c->dst->raw, MV_F_TSA_SQ_NO) &&
		       mv_table_has(&c->dst->raw, MV_F_TSA_L1_NO);
	default:
		return mv_features[id].cls == MV_FC_INVERTED;
	}
}

static enum mv_rule number_rule(enum mv_field_id id)
{
	switch (id) {
	case MV_FIELD_PHYS_BITS:
	case MV_FIELD_GUEST_PHYS_BITS: return MV_RULE_PHYS_BITS;
	case MV_FIELD_LINEAR_BITS: return MV_RULE_LINEAR_BITS;
	default: return MV_RULE_MAX_LEAF;
	}
}

bool mv_number_at_most(enum mv_field_id id)
{
	return mv_fields[id].rule == MV_FR_ATMOST;
}

/* The vendor and CLFLUSH have rules of their own. */
bool mv_number_equal(enum mv_field_id id)
{
	return mv_fields[id].rule == MV_FR_EQUAL && mv_fields[id].leaf > 1;
}

uint32_t mv_number_offered(const struct mv_table *offer, enum mv_field_id id)
{
	uint32_t have = mv_table_field(offer, id);

	/* Older kernels leave it out: then all physical bits can be used. */
	if (id == MV_FIELD_GUEST_PHYS_BITS && !have)
		have = mv_table_field(offer, MV_FIELD_PHYS_BITS);
	return have;
}

/* Nothing to judge the rule by: said instead of guessed. */
static void unchecked(struct mv_compare *c, enum mv_rule rule)
{
	c->v->unchecked |= UINT32_C(1) << rule;
}

/* Is the guest's number known: told of its source, or fixed by its mask? */
static bool guest_told(const struct mv_compare *c, enum mv_field_id id)
{
	return mv_host_told_field(&c->p->source, id) || mv_mask_find_field(&c->p->final, id);
}

static void at_most(struct mv_compare *c, enum mv_field_id id)
{
	uint32_t want = mv_table_field(&c->p->guest, id);
	uint32_t have = mv_number_offered(&c->dst_offer, id);
	const char *what = mv_fields[id].what;
	char text[96];

	if (!guest_told(c, id) || !mv_host_told_field(c->dst, id)) {
		/* Older kernels leave out the guest's own limit: it is not missed. */
		if (id != MV_FIELD_GUEST_PHYS_BITS)
			unchecked(c, number_rule(id));
		return;
	}
	if (want <= have)
		return;
	snprintf(text, sizeof(text),
		 want > 255 ? "%s 0x%x, the destination has 0x%x" : "%s %u, the destination has %u",
		 what, want, have);
	structural_field(c, number_rule(id), id, want, have, text);
}

/* Tile and multiplication sizes: code is compiled for them, state is laid out by them. */
static void equal(struct mv_compare *c, enum mv_field_id id)
{
	uint32_t want = mv_table_field(&c->p->guest, id);
	uint32_t have = mv_table_field(&c->dst_offer, id);
	char text[96];

	if (!want || want == have)
		return;
	if (!mv_host_told_field(c->dst, id)) {
		unchecked(c, MV_RULE_XSAVE);
		return;
	}
	snprintf(text, sizeof(text), "%s %u, the destination has %u", mv_fields[id].what, want,
		 have);
	structural_field(c, MV_RULE_XSAVE, id, want, have, text);
}

static void numbers(struct mv_compare *c)
{
	for (unsigned i = 0; i < MV_NFIELDS; i++) {
		if (mv_number_equal((enum mv_field_id)i))
			equal(c, (enum mv_field_id)i);
		if (mv_number_at_most((enum mv_field_id)i))
			at_most(c, (enum mv_field_id)i);
	}
}

/* Of the hosts, not of what the guest was told: saved state has the layout of the hardware. */
static void vendor(struct mv_compare *c)
{
	const uint32_t *s = mv_compare_leaf(&c->src_offer, 0, 0), *d = mv_compare_leaf(&c->dst_offer, 0, 0);
	char src[13], dst[13], text[96];

	if (!mv_host_told_field(&c->p->source, MV_FIELD_VENDOR_EBX) ||
	    !mv_host_told_field(c->dst, MV_FIELD_VENDOR_EBX)) {
		unchecked(c, MV_RULE_VENDOR);
		return;
	}
	if (!memcmp(s + MV_EBX, d + MV_EBX, 3 * sizeof(*s)))
		return;
	mv_table_vendor_string(&c->src_offer, src);
	mv_table_vendor_string(&c->dst_offer, dst);
	snprintf(text, sizeof(text), "the source is \"%s\", the destination is \"%s\"", src, dst);
	structural(c, MV_RULE_VENDOR, 0, 0, text);
}

static void xsave_component(struct mv_compare *c, unsigned n, const char *text, uint64_t want,
			    uint64_t have)
{
	enum mv_feature_id of = mv_xstate_feature(n);
	struct mv_mismatch m = {
		.rule = MV_RULE_XSAVE, .leaf = 0xd, .subleaf = n, .reg = -1, .want = want,
		.have = have,
	};

	snprintf(m.text, sizeof(m.text), "state component %u%s%s%s%s", n, of < MV_NFEATURES ? " (" : "",
		 of < MV_NFEATURES ? mv_features[of].name : "", of < MV_NFEATURES ? ")" : "", text);
	mv_compare_add(c, m);
}

static void xsave(struct mv_compare *c)
{
	uint64_t guest = mv_xstate_xcr0(&c->p->guest) | mv_xstate_xss(&c->p->guest);
	uint64_t host = mv_xstate_xcr0(&c->dst_offer) | mv_xstate_xss(&c->dst_offer);
	char text[96];

	/* Sizes and places of state, which no partial description has. */
	if (c->p->source.partial || c->dst->partial) {
		if (mv_table_has(&c->p->guest, MV_F_XSAVE))
			unchecked(c, MV_RULE_XSAVE);
		return;
	}
	for (unsigned n = 0; n < 63; n++) {
		const uint32_t *s, *d;

		if (!(guest >> n & 1))
			continue;
		if (!(host >> n & 1)) {
			xsave_component(c, n, ", which the destination lacks", 1, 0);
			continue;
		}
		if (n < 2)
			continue;	/* in the legacy region, which is the same everywhere */
		s = mv_compare_leaf(&c->p->guest, 0xd, n);
		d = mv_compare_leaf(&c->dst_offer, 0xd, n);
		if (s[MV_EAX] == d[MV_EAX] && s[MV_EBX] == d[MV_EBX] && s[MV_ECX] == d[MV_ECX])
			continue;
		snprintf(text, sizeof(text), ": 0x%x bytes at 0x%x, on the destination 0x%x at 0x%x",
			 s[MV_EAX], s[MV_EBX], d[MV_EAX], d[MV_EBX]);
		xsave_component(c, n, text, s[MV_EBX], d[MV_EBX]);
	}
}

static void clflush(struct mv_compare *c)
{
	uint32_t want = mv_table_field(&c->p->guest, MV_FIELD_CLFLUSH_SIZE);
	uint32_t have = mv_table_field(&c->dst_offer, MV_FIELD_CLFLUSH_SIZE);
	char text[96];

	if (!mv_table_has(&c->p->guest, MV_F_CLFLUSH))
		return;
	if (!guest_told(c, MV_FIELD_CLFLUSH_SIZE) ||
	    !mv_host_told_field(c->dst, MV_FIELD_CLFLUSH_SIZE)) {
		unchecked(c, MV_RULE_CLFLUSH);
		return;
	}
	if (want == have)
		return;
	snprintf(text, sizeof(text), "cache line %u bytes, the destination has %u", want * 8,
		 have * 8);
	structural_field(c, MV_RULE_CLFLUSH, MV_FIELD_CLFLUSH_SIZE, want, have, text);
}

bool mv_tsc_fits(uint64_t want_khz, uint64_t have_khz, bool scaling)
{
	uint64_t diff = want_khz > have_khz ? want_khz - have_khz : have_khz - want_khz;

	return !want_khz || !have_khz || scaling ||
	       diff * 1000000 <= want_khz * TSC_TOLERANCE_PPM;
}

static void tsc(struct mv_compare *c)
{
	uint64_t want = mv_policy_tsc_khz(c->p), have = c->dst->tsc_khz;
	char text[96];

	if ((c->p->source.partial && !want) || (c->dst->partial && !have))
		unchecked(c, MV_RULE_TSC);
	if (mv_tsc_fits(want, have, c->dst->tsc_scaling))
		return;
	snprintf(text, sizeof(text), "TSC %llu kHz, the destination has %llu and can't scale",
		 (unsigned long long)want, (unsigned long long)have);
	structural(c, MV_RULE_TSC, want, have, text);
}

void mv_arch_caps_compare(uint64_t want, uint64_t named, uint64_t have, uint64_t *lost,
			  uint64_t *gained)
{
	const uint64_t hazards = ARCH_CAP_RSBA | ARCH_CAP_RRSBA;
	const uint64_t fb_no = ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO;

	*lost = want & ~have & ~hazards & ~named;
	*gained = have & ~want & hazards & ~named;
	/* A way to clear buffers may go where there is nothing to clear. */
	if ((have & fb_no) == fb_no)
		*lost &= ~ARCH_CAP_FB_CLEAR;
	if (have & ARCH_CAP_RFDS_NO)
		*lost &= ~ARCH_CAP_RFDS_CLEAR;
}

static void arch_caps(struct mv_compare *c)
{
	uint64_t want, have = 0, named, lost, gained;
	char text[96];

	if (!mv_table_has(&c->p->guest, MV_F_ARCH_CAPABILITIES))
		return;
	want = mv_policy_msr(c->p, MV_MSR_ARCH_CAPABILITIES, &named);
	mv_host_msr(c->dst, MV_MSR_ARCH_CAPABILITIES, &have);
	mv_arch_caps_compare(want, named, have, &lost, &gained);
	if (!lost && !gained)
		return;
	snprintf(text, sizeof(text), "MSR 0x10a: lost 0x%llx, new hazards 0x%llx",
		 (unsigned long long)lost, (unsigned long long)gained);
	structural(c, MV_RULE_ARCH_CAPS, want, have, text);
}

/* A structural rule about a feature's bit. */
static struct mv_mismatch at_feature(const struct mv_compare *c, enum mv_rule rule,
				     const struct mv_feature *f)
{
	return (struct mv_mismatch){
		.rule = rule, .leaf = f->leaf, .subleaf = f->subleaf, .reg = (int8_t)f->reg,
		.lo = (int8_t)f->bit, .hi = (int8_t)f->bit,
		.sym = mv_mask_sym(&c->p->effective, f->leaf, f->subleaf, f->reg, f->bit),
		.at = mv_mask_at(&c->p->effective, f->leaf, f->subleaf, f->reg, f->bit),
	};
}

/*
 * Bits that warn the guest and that no symbol compares. Where one does (H, R, T, F) or the user
 * decided (0, 1), nothing is added.
 */
static void hazards(struct mv_compare *c)
{
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];
		enum mv_feature_id id = (enum mv_feature_id)i;
		struct mv_mismatch m;
		bool guest, dst;

		if (f->cls != MV_FC_HAZARD && f->cls != MV_FC_INVERTED)
			continue;
		m = at_feature(c, MV_RULE_HAZARD, f);
		if (m.sym != MV_SYM_X)
			continue;
		if (!(mv_host_told(c->dst, f->leaf, f->subleaf, f->reg) >> f->bit & 1)) {
			unchecked(c, MV_RULE_HAZARD);
			continue;
		}
		guest = mv_table_has(&c->p->guest, id);
		dst = mv_table_has(&c->dst_offer, id);
		if (mv_hazard_excused(c, id, guest, dst))
			continue;
		m.want = guest;
		m.have = dst;
		snprintf(m.text, sizeof(m.text), "%s",
			 guest ? "the guest relies on it, the destination lacks it"
			       : "true on the destination, and the guest was not told");
		mv_compare_add(c, m);
	}
}

/* ---- KVM ---- */

/* Features that KVM itself provides, or takes away on request. */
static bool is_kvms(enum mv_feature_id id)
{
	return mv_features[id].vmx == MV_FE_KVM || id == MV_F_MONITOR;
}

/* The controls that the guest's mask counts on for one of them. */
static uint32_t controls_of(const struct mv_policy *p, enum mv_feature_id id,
			    enum mv_verdict_mode mode)
{
	const struct mv_feature *f = &mv_features[id];

	if (id == MV_F_MONITOR && mv_table_has(&p->guest, id))
		return MV_KVM_CONTROL_BIT(MWAIT_KEPT);
	/* The subset rule drops R where something enforces it: the guest can't have come to rely on it. */
	if (mode == MV_VERDICT_SUBSET ||
	    mv_mask_sym(&p->effective, f->leaf, f->subleaf, f->reg, f->bit) != MV_SYM_R)
		return 0;
	return id == MV_F_MONITOR
		       ? MV_KVM_CONTROL_BIT(MWAIT_KEPT) | MV_KVM_CONTROL_BIT(MWAIT_FAULTS)
		       : MV_KVM_CONTROL_BIT(PV_ENFORCED);
}

uint32_t mv_kvm_controls_needed(const struct mv_policy *p, enum mv_verdict_mode mode)
{
	uint32_t need = 0;

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (is_kvms((enum mv_feature_id)i))
			need |= controls_of(p, (enum mv_feature_id)i, mode);
	return need & p->kvm_controls;
}

static void kvm_controls(struct mv_compare *c, enum mv_feature_id id)
{
	uint32_t lost = controls_of(c->p, id, c->opts->mode) & c->p->kvm_controls &
			~c->dst->kvm_controls;
	uint32_t always = controls_of(c->p, id, MV_VERDICT_SUBSET);

	for (unsigned i = 0; lost >> i; i++) {
		struct mv_mismatch m = at_feature(c, MV_RULE_KVM, &mv_features[id]);

		if (!(lost >> i & 1))
			continue;
		m.want = 1;
		m.subset_accepts = !(always >> i & 1);
		snprintf(m.text, sizeof(m.text), "in force for this guest, and the destination's KVM lacks it: %s",
			 mv_kvm_control_name((enum mv_kvm_control)i));
		mv_compare_add(c, m);
	}
}

/*
 * What KVM itself provides must be there, whatever a symbol leaves open: the guest uses it by MSRs
 * and hypercalls that only the kernel of the destination can answer.
 */
static void kvm_feature(struct mv_compare *c, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];
	struct mv_mismatch m = at_feature(c, MV_RULE_KVM, f);

	if (f->vmx != MV_FE_KVM || m.sym != MV_SYM_X || !mv_table_has(&c->p->guest, id) ||
	    mv_table_has(&c->dst_offer, id))
		return;
	m.want = 1;
	snprintf(m.text, sizeof(m.text), "the guest uses it, the destination's KVM lacks it");
	mv_compare_add(c, m);
}

static void kvm(struct mv_compare *c)
{
	if (c->p->source.partial || c->dst->partial) {
		unchecked(c, MV_RULE_KVM);
		return;
	}
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		if (!is_kvms((enum mv_feature_id)i))
			continue;
		kvm_controls(c, (enum mv_feature_id)i);
		kvm_feature(c, (enum mv_feature_id)i);
	}
}

/* ---- interception ---- */

/* Did the guest see the bit as a property of the CPU? Registers without a feature row hold numbers. */
static bool seen(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
	const struct mv_feature *f = mv_feature_at(leaf, subleaf, reg, bit);
	const struct mv_field *d = mv_field_at(leaf, subleaf, reg, bit);

	if (f)
		return f->cls != MV_FC_DYNAMIC && f->cls != MV_FC_TOPOLOGY;
	if (d)
		return d->rule == MV_FR_SYMBOL || d->rule == MV_FR_EQUAL ||
		       d->rule == MV_FR_ATMOST || d->rule == MV_FR_LAYOUT;
	for (bit = 0; bit < 32; bit++)
		if (mv_feature_at(leaf, subleaf, reg, bit))
			return true;
	return false;
}

static void untouched_leaf(struct mv_compare *c, const struct mv_table *saw, const char *text,
			   uint32_t leaf, uint32_t subleaf)
{
	const uint32_t *s = mv_compare_leaf(saw, leaf, subleaf);
	const uint32_t *d = mv_compare_leaf(&c->dst->raw, leaf, subleaf);

	for (unsigned reg = 0; reg < MV_NREGS; reg++) {
		uint32_t differ = s[reg] ^ d[reg];

		for (unsigned bit = 0; bit < 32; bit++) {
			const struct mv_field *field = mv_field_at(leaf, subleaf, reg, bit);
			unsigned lo = field ? field->lo : bit, hi = field ? field->hi : bit;
			uint32_t width = UINT32_MAX >> (31 - hi + lo);
			struct mv_mismatch m = {
				.rule = MV_RULE_INTERCEPTION, .leaf = leaf, .subleaf = subleaf,
				.reg = (int8_t)reg, .lo = (int8_t)lo, .hi = (int8_t)hi,
				.want = s[reg] >> lo & width, .have = d[reg] >> lo & width,
			};

			snprintf(m.text, sizeof(m.text), "%s", text);
			if (!(differ >> bit & 1))
				continue;
			differ &= ~(width << lo);	/* a field once */
			if (seen(leaf, subleaf, reg, bit))
				mv_compare_add(c, m);
		}
	}
}

/* What the guest saw has to be what the destination's own CPUID says; no mask can make it so. */
static void untouched(struct mv_compare *c, const struct mv_table *s, const char *text)
{
	const struct mv_table *d = &c->dst->raw;

	for (uint32_t i = 0; i < s->n; i++)
		untouched_leaf(c, s, text, s->e[i].leaf, s->e[i].subleaf);
	for (uint32_t i = 0; i < d->n; i++)
		if (!mv_table_find(s, d->e[i].leaf, d->e[i].subleaf))
			untouched_leaf(c, s, text, d->e[i].leaf, d->e[i].subleaf);
}

/* The same conditions as for a VM that starts. */
static void interception(struct mv_compare *c)
{
	const struct mv_policy *p = c->p;

	if (p->intercept == MV_INTERCEPTION_NONE) {
		if (!c->opts->cold)
			untouched(c, &p->source.raw,
				  "the guest ran without interception and saw the source's own");
		return;
	}
	if (c->opts->untouched) {
		untouched(c, &p->guest, "without interception the guest would see the destination's "
					"own");
		return;
	}
	if (c->dst->partial)
		unchecked(c, MV_RULE_INTERCEPTION);
	if (mv_host_answers(c->dst, p->patchable && p->patch_cpl3))
		return;
	structural(c, MV_RULE_INTERCEPTION, 1, 0,
		   mv_host_answers(c->dst, true)
			   ? "the destination can only patch images, and this guest's is not accounted for"
			   : "the destination has no way to answer this guest's CPUID from its table");
}

/* Numbers that a mask line fixed must be honest where the VM starts, too. */
static void power_on_fields(struct mv_compare *c)
{
	for (uint32_t i = 0; i < c->p->final.nfields; i++) {
		enum mv_field_id id = (enum mv_field_id)c->p->final.fields[i].id;

		if (mv_fields[id].rule == MV_FR_ATMOST)
			at_most(c, id);
	}
}

void mv_verdict_rules(struct mv_compare *c)
{
	interception(c);
	if (c->opts->cold) {
		power_on_fields(c);
		return;
	}
	vendor(c);
	numbers(c);
	xsave(c);
	clflush(c);
	tsc(c);
	arch_caps(c);
	hazards(c);
	kvm(c);
}
