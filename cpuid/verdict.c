/* SPDX-License-Identifier: MIT */
#include "verdict.h"

#include <stdio.h>
#include <string.h>

#include "leak.h"
#include "xstate.h"

#define TSC_TOLERANCE_PPM 250	/* what guests and KVM absorb without scaling */
#define MSR_ARCH_CAPABILITIES 0x10a

/* IA32_ARCH_CAPABILITIES (SDM Vol. 4): bits that name a hazard are set where it exists. */
#define ARCH_CAP_RSBA (UINT64_C(1) << 2)
#define ARCH_CAP_MDS_NO (UINT64_C(1) << 5)
#define ARCH_CAP_SBDR_SSDP_NO (UINT64_C(1) << 13)
#define ARCH_CAP_FBSDP_NO (UINT64_C(1) << 14)
#define ARCH_CAP_PSDP_NO (UINT64_C(1) << 15)
#define ARCH_CAP_FB_CLEAR (UINT64_C(1) << 17)
#define ARCH_CAP_RRSBA (UINT64_C(1) << 19)

struct compare {
	const struct mv_policy *p;
	const struct mv_host *dst;
	const struct mv_verdict_opts *opts;
	struct mv_verdict *v;
	struct mv_table src_offer, dst_offer;
	struct mv_table src_exec, dst_exec;	/* raw or seen to execute */
};

const char *mv_rule_name(enum mv_rule r)
{
	static const char *const names[MV_NRULES] = {
		"symbol", "vendor", "max-leaf", "xsave", "phys-bits", "linear-bits",
		"clflush", "tsc", "arch-caps", "hazard", "interception",
	};

	return r < MV_NRULES ? names[r] : "?";
}

const char *mv_mismatch_subject(const struct mv_mismatch *m)
{
	const struct mv_feature *f;
	const struct mv_field *field;

	if (m->reg < 0)
		return mv_rule_name(m->rule);
	f = mv_feature_at(m->leaf, m->subleaf, (unsigned)m->reg, (unsigned)m->lo);
	if (f)
		return f->name;
	field = mv_field_at(m->leaf, m->subleaf, (unsigned)m->reg, (unsigned)m->lo);
	return field ? field->name : "reserved";
}

/* Is `name` (of that length) the mismatch's rule, field, feature or one of its aliases? */
static bool named(const struct mv_mismatch *m, const char *name, size_t len)
{
	const struct mv_feature *f = mv_feature_by_name(name, len);
	const struct mv_field *field = mv_field_by_name(name, len);
	const char *rule = mv_rule_name(m->rule);

	if (m->rule != MV_RULE_SYMBOL && strlen(rule) == len && !memcmp(rule, name, len))
		return true;
	if (m->reg < 0)
		return false;
	if (f && f->leaf == m->leaf && f->subleaf == m->subleaf && f->reg == m->reg &&
	    f->bit == m->lo)
		return true;
	return field && field->leaf == m->leaf && field->subleaf == m->subleaf &&
	       field->reg == m->reg && field->lo == m->lo;
}

static const char *next_name(const char *list, size_t *len)
{
	while (*list == ',' || *list == ' ')
		list++;
	*len = strcspn(list, ", ");
	return *len ? list : NULL;
}

static bool ignored(const struct mv_mismatch *m, const char *list)
{
	size_t len;

	for (const char *n = list ? next_name(list, &len) : NULL; n; n = next_name(n + len, &len))
		if (named(m, n, len))
			return true;
	return false;
}

static int check_ignore_list(const char *list, struct mv_err *err)
{
	size_t len;

	for (const char *n = list ? next_name(list, &len) : NULL; n;
	     n = next_name(n + len, &len)) {
		bool known = mv_feature_by_name(n, len) || mv_field_by_name(n, len);

		for (unsigned r = MV_RULE_SYMBOL + 1; r < MV_NRULES && !known; r++)
			known = strlen(mv_rule_name(r)) == len && !memcmp(mv_rule_name(r), n, len);
		if (!known)
			return mv_err_set(err, MV_E_USAGE,
					  "'%.*s' is neither a CPUID feature nor a rule",
					  (int)(len > 64 ? 64 : len), n);
	}
	return 0;
}

static void add(struct compare *c, struct mv_mismatch m)
{
	struct mv_verdict *v = c->v;

	m.ignored = ignored(&m, c->opts->ignore);
	if (!m.ignored) {
		v->refusals++;
		v->subset_refusals += !m.subset_accepts;
	}
	if (v->n < MV_MISMATCHES)
		v->m[v->n++] = m;
}

static void structural(struct compare *c, enum mv_rule rule, uint64_t want, uint64_t have,
		       const char *text)
{
	struct mv_mismatch m = { .rule = rule, .reg = -1, .want = want, .have = have };

	snprintf(m.text, sizeof(m.text), "%s", text);
	add(c, m);
}

/* A structural rule about a field of the table. */
static void structural_field(struct compare *c, enum mv_rule rule, enum mv_field_id id,
			     uint64_t want, uint64_t have, const char *text)
{
	const struct mv_field *f = &mv_fields[id];
	struct mv_mismatch m = {
		.rule = rule, .leaf = f->leaf, .subleaf = f->subleaf, .reg = (int8_t)f->reg,
		.lo = (int8_t)f->lo, .hi = (int8_t)f->hi, .want = want, .have = have,
		.at = mv_mask_at(&c->p->final, f->leaf, f->subleaf, f->reg, f->lo),
	};

	snprintf(m.text, sizeof(m.text), "%s", text);
	add(c, m);
}

/* ---- mask symbols ---- */

static uint32_t with_symbol(const struct mv_mask_reg *r, enum mv_sym s)
{
	return ~((r->plane[0] ^ (s & 1 ? UINT32_MAX : 0)) |
		 (r->plane[1] ^ (s & 2 ? UINT32_MAX : 0)) |
		 (r->plane[2] ^ (s & 4 ? UINT32_MAX : 0)));
}

/* Would --rule subset accept this bit although the guide's rule refuses it? */
static bool subset_accepts(const struct compare *c, const struct mv_feature *f, enum mv_sym s,
			   bool want, bool have)
{
	bool vmx = mv_table_vendor(&c->dst->raw) == MV_VENDOR_INTEL;
	uint8_t enforced;

	if (!f || f->cls != MV_FC_PLAIN)
		return false;
	if (s == MV_SYM_H)
		return !mv_table_bit(&c->p->guest, f->leaf, f->subleaf, f->reg, f->bit) || have;
	if (s != MV_SYM_R)
		return false;
	enforced = vmx ? f->vmx : f->svm;
	if (enforced == MV_FE_INFO || enforced == MV_FE_NA ||
	    mv_feature_enforced(&c->p->guest, mv_feature_id(f), vmx))
		return true;
	return !want || have;
}

static void symbol_bit(struct compare *c, const struct mv_mask_reg *r, unsigned bit, uint32_t want,
		       uint32_t have)
{
	const struct mv_feature *f = mv_feature_at(r->leaf, r->subleaf, r->reg, bit);
	const struct mv_field *field = mv_field_at(r->leaf, r->subleaf, r->reg, bit);
	struct mv_mismatch m = {
		.rule = MV_RULE_SYMBOL, .leaf = r->leaf, .subleaf = r->subleaf,
		.reg = (int8_t)r->reg, .lo = (int8_t)bit, .hi = (int8_t)bit,
		.sym = mv_mask_reg_sym(r, bit), .at = r->at[bit],
		.want = want >> bit & 1, .have = have >> bit & 1,
	};

	/* Computed by the VMM or changing as the guest runs: no property of the host. */
	if (f && (f->cls == MV_FC_DYNAMIC || f->cls == MV_FC_TOPOLOGY || f->cls == MV_FC_SYNTH ||
		  f->cls == MV_FC_MIRROR))
		return;
	if (field) {
		uint32_t width = (uint32_t)(field->hi - field->lo) + 1;
		uint32_t mask = width == 32 ? UINT32_MAX : (UINT32_C(1) << width) - 1;
		uint32_t lower = (want ^ have) & ((UINT32_C(1) << bit) - 1) &
				 (mask << field->lo);

		/* These have a rule of their own, or none at all. */
		if (field->rule != MV_FR_SYMBOL && field->rule != MV_FR_ATMOST)
			return;
		/* A field is one mismatch, reported at its lowest differing bit. */
		if (lower)
			return;
		m.lo = (int8_t)field->lo;
		m.hi = (int8_t)field->hi;
		m.want = want >> field->lo & mask;
		m.have = have >> field->lo & mask;
	}
	m.subset_accepts = subset_accepts(c, f, m.sym, m.want, m.have);
	if (m.subset_accepts && c->opts->mode == MV_VERDICT_SUBSET)
		return;
	add(c, m);
}

static void symbols(struct compare *c)
{
	const struct mv_mask *eff = &c->p->effective;

	for (uint32_t i = 0; i < eff->nregs; i++) {
		const struct mv_mask_reg *r = &eff->regs[i];
		uint32_t so = mv_table_reg(&c->src_offer, r->leaf, r->subleaf, r->reg);
		uint32_t d = mv_table_reg(&c->dst_offer, r->leaf, r->subleaf, r->reg);
		uint32_t se = mv_table_reg(&c->src_exec, r->leaf, r->subleaf, r->reg);
		uint32_t de = mv_table_reg(&c->dst_exec, r->leaf, r->subleaf, r->reg);
		uint32_t t = with_symbol(r, MV_SYM_T), f = with_symbol(r, MV_SYM_F);
		uint32_t h = with_symbol(r, MV_SYM_H), x = with_symbol(r, MV_SYM_R);
		uint32_t bad = (t & ~d) | (f & de);

		if (c->opts->cold)
			h = x = 0;
		bad |= (h & (so ^ d)) | (x & (se ^ de));
		for (unsigned bit = 0; bad >> bit; bit++)
			if (bad >> bit & 1)
				symbol_bit(c, r, bit,
					   (t >> bit & 1) ? UINT32_MAX
					   : (f >> bit & 1) ? 0
					   : (h >> bit & 1) ? so
							    : se,
					   ((t | h) >> bit & 1) ? d : de);
	}
}

void mv_verdict_vectors(const struct mv_policy *p, const struct mv_host *dst, uint32_t leaf,
			uint32_t subleaf, unsigned reg, char host[MV_MASK_TEXT],
			char required[MV_MASK_TEXT])
{
	struct mv_table src_offer, dst_offer;
	uint32_t so, d;
	size_t n = 0;

	mv_host_offer(&p->source, &src_offer);
	mv_host_offer(dst, &dst_offer);
	so = mv_table_reg(&src_offer, leaf, subleaf, reg);
	d = mv_table_reg(&dst_offer, leaf, subleaf, reg);
	for (int b = 31; b >= 0; b--) {
		unsigned bit = (unsigned)b;
		enum mv_sym s = mv_mask_sym(&p->effective, leaf, subleaf, reg, bit);
		bool exec = s == MV_SYM_F || s == MV_SYM_R;

		host[n] = (exec ? mv_host_executes(dst, leaf, subleaf, reg, bit) : d >> bit & 1)
				  ? '1' : '0';
		switch (s) {
		case MV_SYM_T: required[n] = '1'; break;
		case MV_SYM_F: required[n] = '0'; break;
		case MV_SYM_H: required[n] = so >> bit & 1 ? '1' : '0'; break;
		case MV_SYM_R:
			required[n] = mv_host_executes(&p->source, leaf, subleaf, reg, bit) ? '1'
											    : '0';
			break;
		default: required[n] = 'x'; break;
		}
		n++;
		if (bit % 4 == 0 && bit) {
			host[n] = required[n] = ' ';
			n++;
		}
	}
	host[n] = required[n] = '\0';
}

/* ---- structural rules ---- */

static void at_most(struct compare *c, enum mv_rule rule, enum mv_field_id id, const char *what)
{
	uint32_t want = mv_table_field(&c->p->guest, id);
	uint32_t have = mv_table_field(&c->dst_offer, id);
	char text[96];

	if (want <= have)
		return;
	snprintf(text, sizeof(text),
		 want > 255 ? "%s 0x%x, the destination has 0x%x" : "%s %u, the destination has %u",
		 what, want, have);
	structural_field(c, rule, id, want, have, text);
}

static void vendor(struct compare *c)
{
	char src[13], dst[13], text[96];

	mv_table_vendor_string(&c->p->guest, src);
	mv_table_vendor_string(&c->dst_offer, dst);
	if (!strcmp(src, dst))
		return;
	snprintf(text, sizeof(text), "the guest was told \"%s\", the destination is \"%s\"", src,
		 dst);
	structural(c, MV_RULE_VENDOR, 0, 0, text);
}

static void xsave(struct compare *c)
{
	uint64_t guest = mv_xstate_xcr0(&c->p->guest) | mv_xstate_xss(&c->p->guest);
	uint64_t host = mv_xstate_xcr0(&c->dst_offer) | mv_xstate_xss(&c->dst_offer);
	char text[96];

	for (unsigned n = 0; n < 63; n++) {
		const struct mv_leaf *s, *d;

		if (!(guest >> n & 1))
			continue;
		if (!(host >> n & 1)) {
			snprintf(text, sizeof(text),
				 "state component %u, which the destination lacks", n);
			structural(c, MV_RULE_XSAVE, 1, 0, text);
			continue;
		}
		s = mv_table_find(&c->p->guest, 0xd, n);
		d = mv_table_find(&c->dst_offer, 0xd, n);
		if (n < 2 || !s || !d ||
		    (s->reg[MV_EAX] == d->reg[MV_EAX] && s->reg[MV_EBX] == d->reg[MV_EBX] &&
		     s->reg[MV_ECX] == d->reg[MV_ECX]))
			continue;
		snprintf(text, sizeof(text),
			 "state component %u: 0x%x bytes at 0x%x, on the destination 0x%x at 0x%x",
			 n, s->reg[MV_EAX], s->reg[MV_EBX], d->reg[MV_EAX], d->reg[MV_EBX]);
		structural(c, MV_RULE_XSAVE, s->reg[MV_EBX], d->reg[MV_EBX], text);
	}
}

static void clflush(struct compare *c)
{
	uint32_t want = mv_table_field(&c->p->guest, MV_FIELD_CLFLUSH_SIZE);
	uint32_t have = mv_table_field(&c->dst_offer, MV_FIELD_CLFLUSH_SIZE);
	char text[96];

	if (!mv_table_has(&c->p->guest, MV_F_CLFLUSH) || want == have)
		return;
	snprintf(text, sizeof(text), "cache line %u bytes, the destination has %u", want * 8,
		 have * 8);
	structural_field(c, MV_RULE_CLFLUSH, MV_FIELD_CLFLUSH_SIZE, want, have, text);
}

static void tsc(struct compare *c)
{
	uint64_t want = c->p->source.tsc_khz, have = c->dst->tsc_khz;
	uint64_t diff = want > have ? want - have : have - want;
	char text[96];

	if (!want || !have || c->dst->tsc_scaling ||
	    diff * 1000000 <= want * TSC_TOLERANCE_PPM)
		return;
	snprintf(text, sizeof(text), "TSC %llu kHz, the destination has %llu and can't scale",
		 (unsigned long long)want, (unsigned long long)have);
	structural(c, MV_RULE_TSC, want, have, text);
}

static void arch_caps(struct compare *c)
{
	const uint64_t hazards = ARCH_CAP_RSBA | ARCH_CAP_RRSBA;
	uint64_t want = 0, have = 0, lost, gained;
	char text[96];

	if (!mv_table_has(&c->p->guest, MV_F_ARCH_CAPABILITIES))
		return;
	mv_host_msr(&c->p->source, MSR_ARCH_CAPABILITIES, &want);
	mv_host_msr(c->dst, MSR_ARCH_CAPABILITIES, &have);
	lost = want & ~have & ~hazards;
	gained = have & ~want & hazards;
	if (lost & ARCH_CAP_FB_CLEAR && have & ARCH_CAP_SBDR_SSDP_NO && have & ARCH_CAP_FBSDP_NO &&
	    have & ARCH_CAP_PSDP_NO)
		lost &= ~ARCH_CAP_FB_CLEAR;
	if (!lost && !gained)
		return;
	snprintf(text, sizeof(text), "MSR 0x10a: lost 0x%llx, new hazards 0x%llx",
		 (unsigned long long)lost, (unsigned long long)gained);
	structural(c, MV_RULE_ARCH_CAPS, want, have, text);
}

/*
 * Bits that warn the guest: what it was not told and would now need, or relies on and loses. Where
 * the symbol already compares (H under the guide's rule) or the user decided (0, 1), nothing is
 * added.
 */
static void hazards(struct compare *c)
{
	uint64_t caps = 0;

	mv_host_msr(c->dst, MSR_ARCH_CAPABILITIES, &caps);
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];
		enum mv_sym s = mv_mask_sym(&c->p->effective, f->leaf, f->subleaf, f->reg, f->bit);
		bool guest, dst;
		struct mv_mismatch m = {
			.rule = MV_RULE_HAZARD, .leaf = f->leaf, .subleaf = f->subleaf,
			.reg = (int8_t)f->reg, .lo = (int8_t)f->bit, .hi = (int8_t)f->bit,
			.sym = s,
			.at = mv_mask_at(&c->p->effective, f->leaf, f->subleaf, f->reg, f->bit),
		};

		if ((f->cls != MV_FC_HAZARD && f->cls != MV_FC_INVERTED) || s != MV_SYM_X)
			continue;
		guest = mv_table_has(&c->p->guest, (enum mv_feature_id)i);
		dst = mv_table_has(&c->dst_offer, (enum mv_feature_id)i);
		if (guest == dst)
			continue;
		if (f->cls == MV_FC_INVERTED && guest)
			continue;	/* the guest expects less than there is: harmless */
		if (i == MV_F_MD_CLEAR && guest && caps & ARCH_CAP_MDS_NO)
			continue;
		m.want = guest;
		m.have = dst;
		snprintf(m.text, sizeof(m.text), "%s",
			 guest ? "the guest relies on it, the destination lacks it"
			       : "true on the destination, and the guest was not told");
		add(c, m);
	}
}

/* The guest ran with CPUID untouched: what it saw is the source's own table. */
static void untouched(struct compare *c)
{
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];
		bool want = mv_table_has(&c->p->source.raw, (enum mv_feature_id)i);
		bool have = mv_table_has(&c->dst->raw, (enum mv_feature_id)i);
		struct mv_mismatch m = {
			.rule = MV_RULE_INTERCEPTION, .leaf = f->leaf, .subleaf = f->subleaf,
			.reg = (int8_t)f->reg, .lo = (int8_t)f->bit, .hi = (int8_t)f->bit,
			.want = want, .have = have,
			.text = "the guest ran without interception and saw the source's own bit",
		};

		if (want != have && f->cls != MV_FC_DYNAMIC && f->cls != MV_FC_TOPOLOGY)
			add(c, m);
	}
}

static void interception(struct compare *c)
{
	const struct mv_policy *p = c->p;
	const uint8_t *proof = c->dst->proof;
	uint8_t patch = MV_PROOF_CPL0 | (p->patch_cpl3 ? MV_PROOF_CPL3 : 0);

	if (p->intercept == MV_INTERCEPTION_NONE) {
		if (!c->opts->cold)
			untouched(c);
		return;
	}
	if (mv_host_intercepts(c->dst) || proof[MV_INTERCEPTION_STEP] == MV_PROOF_BOTH ||
	    (p->patchable && (proof[MV_INTERCEPTION_PATCH] & patch) == patch))
		return;
	structural(c, MV_RULE_INTERCEPTION, 1, 0,
		   "the destination has no way to answer this guest's CPUID from its table");
}

/* Numbers that a mask line fixed must be honest where the VM starts, too. */
static void power_on_fields(struct compare *c)
{
	for (uint32_t i = 0; i < c->p->final.nfields; i++) {
		enum mv_field_id id = (enum mv_field_id)c->p->final.fields[i].id;

		if (mv_fields[id].rule == MV_FR_ATMOST)
			at_most(c, id == MV_FIELD_PHYS_BITS ? MV_RULE_PHYS_BITS
				   : id == MV_FIELD_LINEAR_BITS ? MV_RULE_LINEAR_BITS
								: MV_RULE_MAX_LEAF,
				id, mv_fields[id].name);
	}
}

static void exec_table(struct mv_table *out, const struct mv_host *h)
{
	*out = h->raw;
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_featset_has(&h->exec_ran, (enum mv_feature_id)i))
			mv_table_set_feature(out, (enum mv_feature_id)i, true);
}

int mv_verdict(struct mv_verdict *v, const struct mv_policy *p, const struct mv_host *dst,
	       const struct mv_verdict_opts *opts, struct mv_err *err)
{
	static const struct mv_verdict_opts defaults = { .mode = MV_VERDICT_GUIDE };
	struct compare c = { .p = p, .dst = dst, .opts = opts ? opts : &defaults, .v = v };
	int rc = check_ignore_list(c.opts->ignore, err);

	v->n = v->refusals = v->subset_refusals = 0;
	if (rc)
		return rc;
	mv_host_offer(&p->source, &c.src_offer);
	mv_host_offer(dst, &c.dst_offer);
	exec_table(&c.src_exec, &p->source);
	exec_table(&c.dst_exec, dst);
	if (!c.opts->cold)
		vendor(&c);
	symbols(&c);
	interception(&c);
	if (c.opts->cold) {
		power_on_fields(&c);
		return 0;
	}
	at_most(&c, MV_RULE_MAX_LEAF, MV_FIELD_MAX_LEAF, "max leaf");
	at_most(&c, MV_RULE_MAX_LEAF, MV_FIELD_MAX_SUBLEAF_7, "max sublevel of leaf 7:");
	at_most(&c, MV_RULE_MAX_LEAF, MV_FIELD_MAX_EXT_LEAF, "max extended leaf");
	at_most(&c, MV_RULE_PHYS_BITS, MV_FIELD_PHYS_BITS, "physical address bits");
	at_most(&c, MV_RULE_LINEAR_BITS, MV_FIELD_LINEAR_BITS, "linear address bits");
	xsave(&c);
	clflush(&c);
	tsc(&c);
	arch_caps(&c);
	hazards(&c);
	return 0;
}

enum mv_sym mv_mismatch_remedy(const struct mv_mismatch *m)
{
	if (m->rule == MV_RULE_HAZARD)
		return MV_SYM_1;
	if (m->rule != MV_RULE_SYMBOL)
		return MV_SYM_INHERIT;
	/* A field's value can be anything: not comparing it is all a mask can do. */
	if (m->lo != m->hi)
		return MV_SYM_X;
	return m->sym == MV_SYM_F ? MV_SYM_X : MV_SYM_0;
}
