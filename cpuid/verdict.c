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
#define ARCH_CAP_RFDS_NO (UINT64_C(1) << 27)
#define ARCH_CAP_RFDS_CLEAR (UINT64_C(1) << 28)

struct compare {
	const struct mv_policy *p;
	const struct mv_host *dst;
	const struct mv_verdict_opts *opts;
	struct mv_verdict *v;
	struct mv_table src_offer, dst_offer;
	struct mv_table src_ran, dst_ran;	/* the features seen to execute, nothing else */
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
	       field->reg == m->reg && field->lo <= m->lo && m->lo <= field->hi;
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

/* The line that decided a field's value. */
static mv_at field_at(const struct mv_policy *p, enum mv_field_id id)
{
	const struct mv_field *f = &mv_fields[id];
	const struct mv_mask_field *line = mv_mask_find_field(&p->final, id);

	return line ? line->at : mv_mask_at(&p->final, f->leaf, f->subleaf, f->reg, f->lo);
}

/* A structural rule about a field of the table. */
static void structural_field(struct compare *c, enum mv_rule rule, enum mv_field_id id,
			     uint64_t want, uint64_t have, const char *text)
{
	const struct mv_field *f = &mv_fields[id];
	struct mv_mismatch m = {
		.rule = rule, .leaf = f->leaf, .subleaf = f->subleaf, .reg = (int8_t)f->reg,
		.lo = (int8_t)f->lo, .hi = (int8_t)f->hi, .want = want, .have = have,
		.at = field_at(c->p, id),
	};

	snprintf(m.text, sizeof(m.text), "%s", text);
	add(c, m);
}

/*
 * A bit that warns the guest, shown or not shown to it, on a destination where it is dst: may the
 * guest go there? It must know of what is true there; what it relies on may be lost only where the
 * destination says that there is nothing to protect from. An inverted bit takes nothing away when
 * it is lost.
 */
static bool hazard_excused(const struct compare *c, enum mv_feature_id id, bool guest, bool dst)
{
	uint64_t caps = 0;

	if (guest == dst)
		return true;
	if (!guest)
		return false;
	switch (id) {
	case MV_F_MD_CLEAR:
		return mv_host_msr(c->dst, MSR_ARCH_CAPABILITIES, &caps) && caps & ARCH_CAP_MDS_NO;
	case MV_F_VERW_CLEAR:
		return mv_table_has(&c->dst->raw, MV_F_TSA_SQ_NO) &&
		       mv_table_has(&c->dst->raw, MV_F_TSA_L1_NO);
	default:
		return mv_features[id].cls == MV_FC_INVERTED;
	}
}

/* ---- mask symbols ---- */

static uint32_t with_symbol(const struct mv_mask_reg *r, enum mv_sym s)
{
	return ~((r->plane[0] ^ (s & 1 ? UINT32_MAX : 0)) |
		 (r->plane[1] ^ (s & 2 ? UINT32_MAX : 0)) |
		 (r->plane[2] ^ (s & 4 ? UINT32_MAX : 0)));
}

static uint32_t field_bits(const struct mv_field *f)
{
	return UINT32_MAX >> (31 - f->hi + f->lo) << f->lo;
}

/* Do symbols compare the bit? Fields with a rule of their own, or none, they don't. */
static bool compared(const struct mv_feature *f, const struct mv_field *field)
{
	return (!f || !mv_feature_computed(f)) &&
	       (!field || field->rule == MV_FR_SYMBOL || field->rule == MV_FR_ATMOST);
}

/*
 * Is the hidden feature really disabled where the guest comes from? Without interception no
 * instruction is: hardware runs the guest with the host's own controls.
 */
static bool enforced(const struct compare *c, const struct mv_feature *f)
{
	bool vmx = mv_table_vendor(&c->src_offer) == MV_VENDOR_INTEL;
	uint8_t by = vmx ? f->vmx : f->svm;

	return (by == MV_FE_INFO || by == MV_FE_NA || mv_host_intercepts(&c->p->source)) &&
	       mv_feature_enforced(&c->p->guest, mv_feature_id(f), vmx);
}

/* Would --rule subset accept this mismatch although the guide's rule refuses it? */
static bool subset_accepts(const struct compare *c, const struct mv_mismatch *m)
{
	const struct mv_feature *f =
		mv_feature_at(m->leaf, m->subleaf, (unsigned)m->reg, (unsigned)m->lo);
	const struct mv_field *field;
	bool guest;

	if (!f) {
		field = mv_field_at(m->leaf, m->subleaf, (unsigned)m->reg, (unsigned)m->lo);
		return field && field->rule == MV_FR_ATMOST && m->sym == MV_SYM_H &&
		       mv_table_field(&c->p->guest, (enum mv_field_id)(field - mv_fields)) <= m->have;
	}
	guest = mv_table_has(&c->p->guest, mv_feature_id(f));
	if (m->sym == MV_SYM_H && (f->cls == MV_FC_HAZARD || f->cls == MV_FC_INVERTED))
		return hazard_excused(c, mv_feature_id(f), guest, m->have);
	if (f->cls != MV_FC_PLAIN)
		return false;
	if (m->sym == MV_SYM_H)
		return !guest || m->have;
	return m->sym == MV_SYM_R && (!m->want || m->have || enforced(c, f));
}

/* Bit `bit` of register r does not match; same: all bits that had to be equal and are not. */
static void symbol_bit(struct compare *c, const struct mv_mask_reg *r, unsigned bit, uint32_t same,
		       uint32_t want, uint32_t have)
{
	const struct mv_feature *f = mv_feature_at(r->leaf, r->subleaf, r->reg, bit);
	const struct mv_field *field = mv_field_at(r->leaf, r->subleaf, r->reg, bit);
	struct mv_mismatch m = {
		.rule = MV_RULE_SYMBOL, .leaf = r->leaf, .subleaf = r->subleaf,
		.reg = (int8_t)r->reg, .lo = (int8_t)bit, .hi = (int8_t)bit,
		.sym = mv_mask_reg_sym(r, bit), .at = r->at[bit],
		.want = want >> bit & 1, .have = have >> bit & 1,
	};

	if (!compared(f, field))
		return;
	if (field && same >> bit & 1) {
		/* A field is one mismatch, reported at the lowest bit that differs. */
		if (same & field_bits(field) & ((UINT32_C(1) << bit) - 1))
			return;
		m.lo = (int8_t)field->lo;
		m.hi = (int8_t)field->hi;
		m.want = (want & field_bits(field)) >> field->lo;
		m.have = (have & field_bits(field)) >> field->lo;
	}
	m.subset_accepts = subset_accepts(c, &m);
	if (m.subset_accepts && c->opts->mode == MV_VERDICT_SUBSET)
		return;
	add(c, m);
}

static const uint32_t *registers(const struct mv_table *t, uint32_t leaf, uint32_t subleaf)
{
	static const uint32_t none[MV_NREGS];
	const struct mv_leaf *e = mv_table_find(t, leaf, subleaf);

	return e ? e->reg : none;
}

/* One leaf on both sides. */
struct sides {
	const struct mv_mask_reg *of;	/* a register of the leaf; NULL = none looked up yet */
	const uint32_t *src_offer, *dst_offer, *src_raw, *dst_raw, *src_ran, *dst_ran;
};

static void look_up(struct sides *s, const struct compare *c, const struct mv_mask_reg *r)
{
	if (s->of && s->of->leaf == r->leaf && s->of->subleaf == r->subleaf)
		return;
	s->of = r;
	s->src_offer = registers(&c->src_offer, r->leaf, r->subleaf);
	s->dst_offer = registers(&c->dst_offer, r->leaf, r->subleaf);
	s->src_raw = registers(&c->p->source.raw, r->leaf, r->subleaf);
	s->dst_raw = registers(&c->dst->raw, r->leaf, r->subleaf);
	s->src_ran = registers(&c->src_ran, r->leaf, r->subleaf);
	s->dst_ran = registers(&c->dst_ran, r->leaf, r->subleaf);
}

/*
 * T and H look at what is offered, F and R at what executes whatever the mask says. What H and R ask
 * of a guest that ran without interception is not in the offers: see untouched().
 */
static void symbols(struct compare *c)
{
	const struct mv_mask *eff = &c->p->effective;
	bool equality = !c->opts->cold && c->p->intercept != MV_INTERCEPTION_NONE;
	struct sides s = { 0 };

	for (uint32_t i = 0; i < eff->nregs; i++) {
		const struct mv_mask_reg *r = &eff->regs[i];
		uint32_t t = with_symbol(r, MV_SYM_T), f = with_symbol(r, MV_SYM_F);
		uint32_t h = equality ? with_symbol(r, MV_SYM_H) : 0;
		uint32_t x = equality ? with_symbol(r, MV_SYM_R) : 0;
		uint32_t so, d, se, de, bad;

		if (!(t | f | h | x))
			continue;
		look_up(&s, c, r);
		so = s.src_offer[r->reg];
		d = s.dst_offer[r->reg];
		se = s.src_raw[r->reg] | s.src_ran[r->reg];
		de = s.dst_raw[r->reg] | s.dst_ran[r->reg];
		bad = (t & ~d) | (f & de) | (h & (so ^ d)) | (x & (se ^ de));
		for (unsigned bit = 0; bit < 32; bit++)
			if (bad >> bit & 1)
				symbol_bit(c, r, bit, bad & (h | x),
					   t >> bit & 1	  ? UINT32_MAX
					   : f >> bit & 1 ? 0
					   : h >> bit & 1 ? so
							  : se,
					   (t | h) >> bit & 1 ? d : de);
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
		enum mv_sym s = compared(mv_feature_at(leaf, subleaf, reg, bit),
					 mv_field_at(leaf, subleaf, reg, bit))
					? mv_mask_sym(&p->effective, leaf, subleaf, reg, bit)
					: MV_SYM_X;
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

/* The string, safe to print: a file may hold anything. */
static void vendor_string(char out[13], const struct mv_table *t)
{
	mv_table_vendor_string(t, out);
	for (unsigned i = 0; i < 12; i++)
		if (out[i] < ' ' || out[i] > '~')
			out[i] = '?';
}

/* Of the hosts, not of what the guest was told: saved state has the layout of the hardware. */
static void vendor(struct compare *c)
{
	const uint32_t *s = registers(&c->src_offer, 0, 0), *d = registers(&c->dst_offer, 0, 0);
	char src[13], dst[13], text[96];

	if (!memcmp(s + MV_EBX, d + MV_EBX, 3 * sizeof(*s)))
		return;
	vendor_string(src, &c->src_offer);
	vendor_string(dst, &c->dst_offer);
	snprintf(text, sizeof(text), "the source is \"%s\", the destination is \"%s\"", src, dst);
	structural(c, MV_RULE_VENDOR, 0, 0, text);
}

static void xsave_component(struct compare *c, unsigned n, const char *text, uint64_t want,
			    uint64_t have)
{
	struct mv_mismatch m = {
		.rule = MV_RULE_XSAVE, .leaf = 0xd, .subleaf = n, .reg = -1, .want = want,
		.have = have,
	};

	snprintf(m.text, sizeof(m.text), "%s", text);
	add(c, m);
}

static void xsave(struct compare *c)
{
	uint64_t guest = mv_xstate_xcr0(&c->p->guest) | mv_xstate_xss(&c->p->guest);
	uint64_t host = mv_xstate_xcr0(&c->dst_offer) | mv_xstate_xss(&c->dst_offer);
	char text[96];

	for (unsigned n = 0; n < 63; n++) {
		const uint32_t *s, *d;

		if (!(guest >> n & 1))
			continue;
		if (!(host >> n & 1)) {
			snprintf(text, sizeof(text),
				 "state component %u, which the destination lacks", n);
			xsave_component(c, n, text, 1, 0);
			continue;
		}
		if (n < 2)
			continue;	/* in the legacy region, which is the same everywhere */
		s = registers(&c->p->guest, 0xd, n);
		d = registers(&c->dst_offer, 0xd, n);
		if (s[MV_EAX] == d[MV_EAX] && s[MV_EBX] == d[MV_EBX] && s[MV_ECX] == d[MV_ECX])
			continue;
		snprintf(text, sizeof(text),
			 "state component %u: 0x%x bytes at 0x%x, on the destination 0x%x at 0x%x", n,
			 s[MV_EAX], s[MV_EBX], d[MV_EAX], d[MV_EBX]);
		xsave_component(c, n, text, s[MV_EBX], d[MV_EBX]);
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

/* The guest's value of an MSR, and its bits that a mask line fixed: nobody's to compare. */
static uint64_t guest_msr(const struct mv_policy *p, uint32_t index, uint64_t *fixed)
{
	uint64_t value = 0;

	*fixed = 0;
	mv_host_msr(&p->source, index, &value);
	for (uint32_t i = 0; i < p->final.nmsrs; i++) {
		const struct mv_mask_msr *m = &p->final.msrs[i];

		for (unsigned bit = 0; m->index == index && bit < 64; bit++) {
			uint64_t b = UINT64_C(1) << bit;

			switch ((m->plane[2] >> bit & 1) << 2 | (m->plane[1] >> bit & 1) << 1 |
				(m->plane[0] >> bit & 1)) {
			case MV_SYM_1:
				value |= b;
				*fixed |= b;
				break;
			case MV_SYM_0:
				value &= ~b;
				*fixed |= b;
				break;
			case MV_SYM_T:
				value |= b;
				break;
			case MV_SYM_F:
			case MV_SYM_R:
				value &= ~b;
				break;
			default:
				break;
			}
		}
	}
	return value;
}

static void arch_caps(struct compare *c)
{
	const uint64_t hazards = ARCH_CAP_RSBA | ARCH_CAP_RRSBA;
	const uint64_t fb_no = ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO;
	uint64_t want, have = 0, fixed, lost, gained;
	char text[96];

	if (!mv_table_has(&c->p->guest, MV_F_ARCH_CAPABILITIES))
		return;
	want = guest_msr(c->p, MSR_ARCH_CAPABILITIES, &fixed);
	mv_host_msr(c->dst, MSR_ARCH_CAPABILITIES, &have);
	lost = want & ~have & ~hazards & ~fixed;
	gained = have & ~want & hazards & ~fixed;
	/* A way to clear buffers may go where there is nothing to clear. */
	if ((have & fb_no) == fb_no)
		lost &= ~ARCH_CAP_FB_CLEAR;
	if (have & ARCH_CAP_RFDS_NO)
		lost &= ~ARCH_CAP_RFDS_CLEAR;
	if (!lost && !gained)
		return;
	snprintf(text, sizeof(text), "MSR 0x10a: lost 0x%llx, new hazards 0x%llx",
		 (unsigned long long)lost, (unsigned long long)gained);
	structural(c, MV_RULE_ARCH_CAPS, want, have, text);
}

/*
 * Bits that warn the guest and that no symbol compares. Where one does (H, R, T, F) or the user
 * decided (0, 1), nothing is added.
 */
static void hazards(struct compare *c)
{
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];
		enum mv_feature_id id = (enum mv_feature_id)i;
		bool guest, dst;
		struct mv_mismatch m = {
			.rule = MV_RULE_HAZARD, .leaf = f->leaf, .subleaf = f->subleaf,
			.reg = (int8_t)f->reg, .lo = (int8_t)f->bit, .hi = (int8_t)f->bit,
			.sym = MV_SYM_X,
		};

		if ((f->cls != MV_FC_HAZARD && f->cls != MV_FC_INVERTED) ||
		    mv_mask_sym(&c->p->effective, f->leaf, f->subleaf, f->reg, f->bit) != MV_SYM_X)
			continue;
		guest = mv_table_has(&c->p->guest, id);
		dst = mv_table_has(&c->dst_offer, id);
		if (hazard_excused(c, id, guest, dst))
			continue;
		m.at = mv_mask_at(&c->p->effective, f->leaf, f->subleaf, f->reg, f->bit);
		m.want = guest;
		m.have = dst;
		snprintf(m.text, sizeof(m.text), "%s",
			 guest ? "the guest relies on it, the destination lacks it"
			       : "true on the destination, and the guest was not told");
		add(c, m);
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

static void untouched_leaf(struct compare *c, uint32_t leaf, uint32_t subleaf)
{
	const uint32_t *s = registers(&c->p->source.raw, leaf, subleaf);
	const uint32_t *d = registers(&c->dst->raw, leaf, subleaf);

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
				.text = "the guest ran without interception and saw the source's own",
			};

			if (!(differ >> bit & 1))
				continue;
			differ &= ~(width << lo);	/* a field once */
			if (seen(leaf, subleaf, reg, bit))
				add(c, m);
		}
	}
}

/*
 * The guest ran with CPUID untouched: what it saw is the source's own table, and no mask can change
 * that on the destination.
 */
static void untouched(struct compare *c)
{
	const struct mv_table *s = &c->p->source.raw, *d = &c->dst->raw;

	for (uint32_t i = 0; i < s->n; i++)
		untouched_leaf(c, s->e[i].leaf, s->e[i].subleaf);
	for (uint32_t i = 0; i < d->n; i++)
		if (!mv_table_find(s, d->e[i].leaf, d->e[i].subleaf))
			untouched_leaf(c, d->e[i].leaf, d->e[i].subleaf);
}

/* The same conditions as for a VM that starts: a mechanism counts where it holds at both levels. */
static void interception(struct compare *c)
{
	const struct mv_policy *p = c->p;
	const uint8_t *proof = c->dst->proof;

	if (p->intercept == MV_INTERCEPTION_NONE) {
		if (!c->opts->cold)
			untouched(c);
		return;
	}
	if (mv_host_intercepts(c->dst) || proof[MV_INTERCEPTION_STEP] == MV_PROOF_BOTH ||
	    (p->patchable && p->patch_cpl3 && proof[MV_INTERCEPTION_PATCH] == MV_PROOF_BOTH))
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

/* A table of its own, and so never a full one: there are fewer leaves with features than entries. */
static void ran_table(struct mv_table *out, const struct mv_host *h)
{
	out->n = 0;
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
	ran_table(&c.src_ran, &p->source);
	ran_table(&c.dst_ran, dst);
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
	/* A warning that would be lost is not given; one that becomes true is given in advance. */
	if (m->rule == MV_RULE_HAZARD)
		return m->want ? MV_SYM_0 : MV_SYM_1;
	if (m->rule != MV_RULE_SYMBOL)
		return MV_SYM_INHERIT;
	/* A field's value can be anything: not comparing it is all a mask can do. */
	return m->lo == m->hi ? MV_SYM_0 : MV_SYM_X;
}
