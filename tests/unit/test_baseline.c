/* SPDX-License-Identifier: MIT */
/*
 * Baselines: under the mask of a set every ordered pair of its hosts is accepted by both rules, or
 * no mask could bring that about; nothing is hidden without a reason; reasons are true.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "baseline.h"
#include "maskfile.h"
#include "support.h"

#define HOSTS 6
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct mv_host hosts[HOSTS];
static const struct mv_host *list[HOSTS];
static struct mv_table offers[HOSTS];
static struct mv_baseline *b;
static struct mv_mask *def;
static struct fixture fx;
static uint32_t nhosts;

static void setup(void)
{
	b = calloc(1, sizeof(*b));
	def = calloc(1, sizeof(*def));
	fixture_init(&fx);
	for (uint32_t i = 0; i < HOSTS; i++)
		list[i] = &hosts[i];
	cr_assert(b && def);
}

static void finish(void)
{
	free(b);
	free(def);
	fixture_finish(&fx);
}

TestSuite(baseline, .init = setup, .fini = finish, .timeout = 120);

static void set_default(const char *name, char sym)
{
	const struct mv_feature *f = &mv_features[feature_id(name)];
	struct mv_mask_reg *r = mv_mask_add(def, f->leaf, f->subleaf, f->reg, MV_VENDOR_OTHER);

	mv_mask_reg_set(r, f->bit, (enum mv_sym)mv_sym_parse(sym), 0);
}

/* Hosts as in support.h, one a string. */
static void make_hosts(const char *const *words)
{
	for (nhosts = 0; words[nhosts]; nhosts++) {
		make_host(&hosts[nhosts], words[nhosts]);
		snprintf(hosts[nhosts].name, sizeof(hosts[0].name), "host%u", nhosts);
	}
}

static int make(void)
{
	memset(&fx.err, 0, sizeof(fx.err));
	return mv_baseline(b, def, list, nhosts, offers, NULL, &fx.err);
}

static int make_of(const char *default_mask, const char *const *words)
{
	load_guest_os(def, default_mask);
	make_hosts(words);
	return make();
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static enum mv_sym symbol(const char *name)
{
	const struct mv_feature *f = &mv_features[feature_id(name)];

	return mv_mask_sym(&b->mask, f->leaf, f->subleaf, f->reg, f->bit);
}

/* The number that the mask fixes; -1: it does not. */
static long number(enum mv_field_id id)
{
	const struct mv_mask_field *f = mv_mask_find_field(&b->mask, id);

	return f ? (long)f->value : -1;
}

/* The property, for the hosts and the mask as they are. */
static void every_pair_is_accepted(const char *what)
{
	for (uint32_t i = 0; i < nhosts; i++) {
		memset(fx.p, 0, sizeof(*fx.p));
		fx.p->source = hosts[i];
		fx.p->final = b->mask;
		fx.p->intercept = MV_INTERCEPTION_KERNEL;
		cr_assert_eq(mv_apply(fx.p, 2, fx.notes, &fx.err), 0, "%s", fx.err.msg);
		cr_assert_eq(fx.notes->refusals, 0, "%s: host %u can't start: %s", what, i,
			     notes_text(fx.notes));
		for (uint32_t j = 0; j < nhosts; j++)
			for (int rule = 0; rule < 2; rule++) {
				struct mv_verdict_opts o = { .mode = (enum mv_verdict_mode)rule };

				cr_assert_eq(mv_verdict(fx.v, fx.p, &hosts[j], &o, &fx.err), 0);
				cr_assert_eq(fx.v->refusals, 0, "%s: rule %d, %u to %u: %s", what,
					     rule, i, j, verdict_text(fx.v));
			}
	}
}

static bool different_leaf(const struct mv_table *s, const struct mv_table *t, uint32_t component)
{
	const struct mv_leaf *x = mv_table_find(s, 0xd, component);
	const struct mv_leaf *y = mv_table_find(t, 0xd, component);

	return !x || !y || memcmp(x, y, sizeof(*x));
}

/* Nothing lost without a reason, nothing kept that a host lacks, and a price where it was there. */
static void reasons_are_true(const char *what)
{
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		enum mv_feature_id id = (enum mv_feature_id)i;
		const struct mv_baseline_bit *bit = &b->bits[i];
		const char *name = mv_features[i].name;
		uint32_t lacking = 0, paying = 0;

		for (uint32_t h = 0; h < nhosts; h++) {
			lacking += !mv_table_has(&offers[h], id);
			paying += mv_baseline_costs(b, &offers[h], id);
		}
		switch (bit->why) {
		case MV_BL_KEPT:
			cr_assert_eq(lacking, 0, "%s: %s", what, name);
			break;
		case MV_BL_LACKED:
			cr_assert(!mv_table_has(&offers[bit->a], id), "%s: %s", what, name);
			cr_assert_lt(lacking, nhosts, "%s: %s", what, name);
			cr_assert_eq(paying, nhosts - lacking, "%s: %s", what, name);
			break;
		case MV_BL_PARENT:
			cr_assert(!mv_baseline_shows(b, (enum mv_feature_id)bit->cause), "%s: %s",
				  what, name);
			cr_assert_neq(b->bits[mv_baseline_root(b, id)].why, MV_BL_PARENT);
			break;
		case MV_BL_LAYOUT:
			cr_assert(different_leaf(&offers[bit->a], &offers[bit->b], bit->cause),
				  "%s: %s", what, name);
			break;
		case MV_BL_FIELD:
			if (bit->a != bit->b)
				cr_assert_neq(mv_table_field(&offers[bit->a],
							     (enum mv_field_id)bit->cause),
					      mv_table_field(&offers[bit->b],
							     (enum mv_field_id)bit->cause),
					      "%s: %s", what, name);
			break;
		case MV_BL_MSR:
			cr_assert_neq(bit->a, bit->b);
			break;
		default:
			cr_assert_eq(paying, 0, "%s: %s", what, name);
			break;
		}
	}
}

/* ---- generated hosts ---- */

static uint64_t state;

static uint32_t any(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static void flip(struct mv_host *h, enum mv_feature_id id)
{
	bool v = any(2);

	if (any(4))
		mv_table_set_feature(&h->raw, id, v);
	if (any(3))
		mv_table_set_feature(&h->kvm, id, v);
}

static void both_fields(struct mv_host *h, enum mv_field_id id, uint32_t value)
{
	mv_table_set_field(&h->raw, id, value);
	mv_table_set_field(&h->kvm, id, value);
}

/* A CPU of a generation, and then what BIOS, microcode, stepping and kernel do to it. */
static void random_host(struct mv_host *h, bool amd, bool wild)
{
	static const char *const intels[] = { "merom", "penryn", "sandybridge", "haswell",
					      "skylake-sp", "cascadelake", "icelake",
					      "sapphirerapids" };
	static const char *const amds[] = { "zen2", "zen3", "zen4" };

	make_host(h, amd ? amds[any(COUNT(amds))] : intels[any(COUNT(intels))]);
	for (uint32_t n = any(wild ? 60 : 8); n; n--)
		flip(h, (enum mv_feature_id)any(MV_NFEATURES));
	for (uint32_t n = any(4); n; n--) {
		uint32_t leaf = any(2) ? 1 : 7, reg = any(4), bit = any(32);

		mv_table_set_bit(&h->raw, leaf, 0, reg, bit, any(2));
	}
	if (!any(4))
		both_fields(h, MV_FIELD_PHYS_BITS, 36 + any(17));
	if (!any(6))
		both_fields(h, MV_FIELD_GUEST_PHYS_BITS, 36 + any(17));
	if (!any(8))
		both_fields(h, MV_FIELD_LINEAR_BITS, any(2) ? 48 : 57);
	if (wild && !any(8))
		both_fields(h, MV_FIELD_CLFLUSH_SIZE, any(2) ? 8 : 16);
	if (wild && !any(8))
		both_fields(h, MV_FIELD_MAX_LEAF, any(0x20));
	if (wild && !any(8))
		both_fields(h, MV_FIELD_MAX_EXT_LEAF, 0x80000000 + any(0x22));
	if (wild && !any(6))
		both_fields(h, (enum mv_field_id)any(MV_NFIELDS), any(256));
	if (!any(5)) {
		struct mv_leaf *e = mv_table_get(&h->kvm, 0xd, 2 + any(8));

		if (e)
			e->reg[MV_EBX] += 64;
	}
	if (!any(4))
		h->exec_ran.w[any(COUNT(h->exec_ran.w))] |= UINT64_C(1) << any(64);
	if (!any(3))
		h->msrs[h->nmsrs++] = (struct mv_msr){ 0x10a, any(1 << 20) };
	if (!any(6)) {
		h->proof[MV_INTERCEPTION_KERNEL] = 0;
		h->proof[MV_INTERCEPTION_STEP] = MV_PROOF_BOTH;
		h->xcr0 &= any(2) ? 0x3 : ~UINT64_C(0);
	}
	h->tsc_khz = any(3) ? 2400000 + any(300) : 0;
	h->tsc_scaling = any(3);
	if (!any(12))
		h->tsc_khz = 3000000;
}

static bool refusal_is_true(const struct mv_baseline_refusal *r)
{
	const struct mv_host *x = &hosts[r->a], *y = &hosts[r->b];
	char s[13], t[13];
	double ratio;

	switch (r->kind) {
	case MV_BR_VENDOR:
		mv_table_vendor_string(&x->raw, s);
		mv_table_vendor_string(&y->raw, t);
		return strcmp(s, t);
	case MV_BR_TSC:
		ratio = (double)x->tsc_khz / y->tsc_khz;
		return !y->tsc_scaling && (ratio > 1.00025 || ratio < 0.99976);
	case MV_BR_INTERCEPTION:
		return false;	/* all of them can */
	case MV_BR_REQUIRED:
		return mv_mask_sym(def, r->leaf, r->subleaf, r->reg, r->bit) == MV_SYM_T;
	case MV_BR_FORBIDDEN:
		return mv_mask_sym(def, r->leaf, r->subleaf, r->reg, r->bit) == MV_SYM_F &&
		       mv_host_executes(x, r->leaf, r->subleaf, r->reg, r->bit);
	}
	return false;
}

static void one_set(uint32_t seed, bool wild, unsigned *made)
{
	static const char *const masks[] = { "linux64", "generic64", "bare-metal", "generic32",
					     "windows64", "freebsd64" };
	struct mv_baseline_opts opts = { 0 };
	bool amd;
	char what[64];
	int rc;

	state = seed;
	amd = any(2);
	nhosts = 1 + any(HOSTS);
	snprintf(what, sizeof(what), "seed %u%s", seed, wild ? " (wild)" : "");
	load_guest_os(def, masks[any(COUNT(masks))]);
	if (any(3) == 0)
		set_default("LM", 'H');
	if (any(8) == 0)
		set_default("SVM", 'F');
	for (uint32_t i = 0; i < nhosts; i++)
		random_host(&hosts[i], any(30) ? amd : !amd, wild);
	rc = mv_baseline(b, def, list, nhosts, offers, &opts, &fx.err);
	memset(&fx.err, 0, sizeof(fx.err));
	reasons_are_true(what);
	if (rc == 0) {
		++*made;
		cr_assert_eq(b->nrefusals, 0, "%s", what);
		every_pair_is_accepted(what);
		return;
	}
	cr_assert_eq(rc, -MV_E_REFUSED, "%s", what);
	cr_assert_gt(b->nrefusals, 0u, "%s", what);
	for (uint32_t i = 0; i < b->nrefusals && i < MV_BASELINE_REFUSALS; i++)
		cr_assert(refusal_is_true(&b->refusals[i]), "%s: refusal %u of kind %d", what, i,
			  (int)b->refusals[i].kind);
}

Test(baseline, every_pair_of_a_generated_set_is_accepted)
{
	unsigned made = 0;

	for (uint32_t seed = 1; seed <= 400; seed++)
		one_set(seed, false, &made);
	cr_expect_gt(made, 60u, "only %u sets had a baseline", made);
}

Test(baseline, every_pair_of_a_wild_set_is_accepted)
{
	unsigned made = 0;

	for (uint32_t seed = 1; seed <= 400; seed++)
		one_set(seed, true, &made);
	cr_expect_gt(made, 30u, "only %u sets had a baseline", made);
}

Test(baseline, every_pair_of_all_generations_of_a_vendor)
{
	cr_expect_eq(make_of("generic64", WORDS("merom +SYSCALL", "sandybridge", "skylake-sp",
						"icelake", "sapphirerapids")), 0, "%s", fx.err.msg);
	every_pair_is_accepted("Intel");
	reasons_are_true("Intel");
	cr_expect_eq(symbol("SSSE3"), MV_SYM_T);
	cr_expect_eq(symbol("SSE4.1"), MV_SYM_0);
	cr_expect_eq(make_of("linux64", WORDS("zen4", "zen3", "zen2")), 0, "%s", fx.err.msg);
	every_pair_is_accepted("AMD");
	cr_expect_eq(symbol("AVX2"), MV_SYM_T);
	cr_expect_eq(symbol("AVX512F"), MV_SYM_0);
}

/* ---- the cases by name ---- */

Test(baseline, names_every_bit_of_every_default_register)
{
	cr_assert_eq(make_of("linux64", WORDS("haswell", "skylake-sp")), 0);
	cr_expect_eq(b->mask.nregs, def->nregs);
	for (uint32_t i = 0; i < def->nregs; i++)
		for (unsigned bit = 0; bit < 32; bit++) {
			const struct mv_mask_reg *d = &def->regs[i];
			enum mv_sym s = mv_mask_sym(&b->mask, d->leaf, d->subleaf, d->reg, bit);
			const struct mv_field *f = mv_field_at(d->leaf, d->subleaf, d->reg, bit);

			cr_expect_neq(s, MV_SYM_INHERIT);
			cr_expect_neq(s, MV_SYM_R);
			/* Equality is asked of numbers only: vendor and family. */
			cr_expect(s != MV_SYM_H || f, "level 0x%x %s:%u", d->leaf,
				  mv_reg_name(d->reg), bit);
		}
}

Test(baseline, of_one_host_is_the_host)
{
	cr_assert_eq(make_of("linux64", WORDS("icelake")), 0);
	every_pair_is_accepted("one");
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		cr_expect_lt(b->bits[i].why, MV_BL_LACKED, "%s", mv_features[i].name);
	cr_expect_eq(b->model_of, MV_BASELINE_NO_HOST);
	cr_expect_eq(number(MV_FIELD_PHYS_BITS), 46);
	cr_expect_eq(number(MV_FIELD_FAMILY), -1);
}

Test(baseline, hidden_by_the_default_mask_stays_hidden)
{
	cr_assert_eq(make_of("linux64", WORDS("haswell", "haswell")), 0);
	cr_expect_eq(symbol("VMX"), MV_SYM_0);
	cr_expect_eq(symbol("MONITOR"), MV_SYM_0);
	cr_expect_eq(b->bits[MV_F_VMX].why, MV_BL_HIDDEN);
	cr_assert_eq(make_of("generic32", WORDS("haswell", "haswell")), 0);
	cr_expect_eq(symbol("LM"), MV_SYM_0);
	cr_expect_eq(symbol("CX16"), MV_SYM_0, "it needs LM");
	every_pair_is_accepted("32 bits");
}

Test(baseline, the_cost_names_who_is_to_blame)
{
	cr_assert_eq(make_of("linux64", WORDS("skylake-sp", "haswell", "icelake")), 0);
	cr_expect_eq(b->bits[MV_F_AVX512F].why, MV_BL_LACKED);
	cr_expect_eq(b->bits[MV_F_AVX512F].a, 1u);
	cr_expect(mv_baseline_costs(b, &offers[0], MV_F_AVX512F));
	cr_expect(!mv_baseline_costs(b, &offers[1], MV_F_AVX512F));
	cr_expect(!mv_baseline_costs(b, &offers[0], MV_F_AVX2));
	/* MPX was removed by the newest of them. */
	cr_assert_eq(make_of("linux64", WORDS("cascadelake +MPX +XSTATE-BNDREGS +XSTATE-BNDCSR",
					      "icelake")), 0);
	cr_expect_eq(b->bits[MV_F_MPX].why, MV_BL_LACKED);
	cr_expect_eq(b->bits[MV_F_MPX].a, 1u);
}

Test(baseline, what_needs_a_lost_feature_goes_with_it)
{
	cr_assert_eq(make_of("linux64", WORDS("haswell", "haswell -AVX")), 0);
	cr_expect_eq(symbol("AVX2"), MV_SYM_0);
	cr_expect_eq(b->bits[MV_F_AVX2].why, MV_BL_PARENT);
	cr_expect_eq(mv_baseline_root(b, MV_F_AVX2), MV_F_AVX);
	cr_expect_eq(symbol("XSTATE-AVX"), MV_SYM_0, "the component without its user");
	every_pair_is_accepted("AVX");
}

Test(baseline, components_in_different_places_are_hidden)
{
	cr_assert_eq(make_of("linux64", WORDS("zen3", "zen2 +PKU")), 0, "%s", fx.err.msg);
	cr_expect_eq(b->bits[MV_F_XSTATE_PKRU].why, MV_BL_LAYOUT);
	cr_expect_eq(b->bits[MV_F_XSTATE_PKRU].cause, 9);
	cr_expect_eq(symbol("PKU"), MV_SYM_0);
	cr_expect_eq(symbol("AVX2"), MV_SYM_T);
	every_pair_is_accepted("Zen 2 and 3");
}

Test(baseline, warnings_accumulate)
{
	cr_assert_eq(make_of("linux64", WORDS("haswell +MD-CLEAR", "icelake -MD-CLEAR",
					      "icelake -MD-CLEAR")), 0);
	cr_expect_eq(symbol("MD-CLEAR"), MV_SYM_1);
	cr_expect_eq(symbol("ZERO-FCS-FDS"), MV_SYM_1);
	every_pair_is_accepted("hazards");
	cr_assert_eq(make_of("linux64", WORDS("haswell", "haswell")), 0);
	cr_expect_eq(symbol("MD-CLEAR"), MV_SYM_0);
}

Test(baseline, promises_of_immunity_must_be_the_same)
{
	cr_assert_eq(make_of("linux64", WORDS("icelake msr:10a=0x2b", "icelake msr:10a=0xeb")), 0);
	cr_expect_eq(b->bits[MV_F_ARCH_CAPABILITIES].why, MV_BL_MSR);
	every_pair_is_accepted("different");
	cr_assert_eq(make_of("linux64", WORDS("icelake msr:10a=0xeb", "icelake msr:10a=0xeb")), 0);
	cr_expect_eq(symbol("ARCH-CAPABILITIES"), MV_SYM_T);
}

Test(baseline, numbers_are_the_smallest)
{
	cr_assert_eq(make_of("linux64", WORDS("icelake phys-bits=52 linear-bits=57",
					      "icelake linear-bits=48 guest-phys-bits=40")), 0);
	cr_expect_eq(number(MV_FIELD_PHYS_BITS), 46);
	cr_expect_eq(number(MV_FIELD_LINEAR_BITS), 48);
	cr_expect_eq(number(MV_FIELD_GUEST_PHYS_BITS), 40);
	every_pair_is_accepted("numbers");
	cr_assert_eq(make_of("linux64", WORDS("icelake guest-phys-bits=46", "icelake")), 0);
	cr_expect_eq(number(MV_FIELD_GUEST_PHYS_BITS), 0, "the same as the physical bits");
}

Test(baseline, family_and_model_of_the_least_promising_host)
{
	cr_assert_eq(make_of("linux64", WORDS("zen4", "zen2", "zen3")), 0);
	cr_expect_eq(b->model_of, 1u);
	cr_expect_eq(number(MV_FIELD_FAMILY), 0xf);
	cr_expect_eq(number(MV_FIELD_EXT_FAMILY), 0x8);
	cr_expect_eq(number(MV_FIELD_EXT_MODEL), 0x3);
	cr_expect_eq(number(MV_FIELD_EXT_SIGNATURE), 0x830f10);
	every_pair_is_accepted("families");
	cr_assert_eq(make_of("linux64", WORDS("zen3", "zen3 -SHA")), 0);
	cr_expect_eq(b->model_of, MV_BASELINE_NO_HOST, "one model: nothing to fix");
}

Test(baseline, leaves_that_a_host_lacks_are_gone)
{
	cr_assert_eq(make_of("linux64", WORDS("merom +SYSCALL", "sapphirerapids")), 0, "%s",
		     fx.err.msg);
	for (uint32_t i = 0; i < b->mask.nregs; i++) {
		const struct mv_mask_reg *r = &b->mask.regs[i];

		if ((r->leaf > 0xa && r->leaf < 0x40000000) || r->leaf > 0x80000008)
			cr_expect_eq(r->plane[0] | r->plane[1],
				     r->plane[0] & ~r->plane[1] & r->plane[2], "level 0x%x",
				     r->leaf);
	}
	every_pair_is_accepted("leaves");
}

/* ---- refusals ---- */

Test(baseline, refusals_name_the_hosts)
{
	static const struct {
		const char *name, *hosts[4];
		enum mv_baseline_refusal_kind kind;
		uint32_t a, b;
		const char *text;
	} rows[] = {
		{ "vendor", { "haswell", "haswell", "zen2" }, MV_BR_VENDOR, 0, 2,
		  "host0 is \"GenuineIntel\" and host2 is \"AuthenticAMD\": no VM can move between "
		  "vendors" },
		{ "TSC", { "haswell tsc=2400000", "haswell tsc=2401000 scaling" }, MV_BR_TSC, 1, 0,
		  "the TSC of host1 runs at 2401000 kHz, that of host0 at 2400000, and KVM can't "
		  "scale it there" },
		{ "interception", { "haswell", "haswell kernel=0" }, MV_BR_INTERCEPTION, 1, 1,
		  "host1 has no way to answer a guest's CPUID from a table" },
		{ "interception at one level", { "haswell", "haswell kernel=1 step=2" }, MV_BR_INTERCEPTION, 1, 1,
		  "host1 has no way to answer a guest's CPUID from a table" },
		{ "T", { "haswell", "haswell -LM" }, MV_BR_REQUIRED, 1, 1,
		  "the default mask requires CPUID level 0x80000001 EDX:29 (LM) (T), and host1 "
		  "can't give it to guests of the others" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		cr_expect_eq(make_of("linux64", rows[i].hosts), -MV_E_REFUSED, "%s", rows[i].name);
		cr_expect_eq(b->refusals[0].kind, rows[i].kind, "%s", rows[i].name);
		cr_expect_eq(b->refusals[0].a, rows[i].a, "%s", rows[i].name);
		cr_expect_eq(b->refusals[0].b, rows[i].b, "%s", rows[i].name);
		cr_expect_str_eq(fx.err.msg, rows[i].text, "%s", rows[i].name);
	}
	cr_expect_eq(make_of("linux64", WORDS("haswell tsc=2400000", "haswell tsc=2400500")), 0);
	cr_expect_eq(make_of("linux64", WORDS("haswell tsc=2400000", "haswell")), 0);
}

Test(baseline, tsc_can_be_ignored_and_the_vendor_can_not)
{
	struct mv_baseline_opts opts = { .ignore_tsc = true };

	load_guest_os(def, "linux64");
	make_hosts(WORDS("haswell tsc=2400000", "haswell tsc=3000000"));
	cr_expect_eq(mv_baseline(b, def, list, nhosts, offers, &opts, &fx.err), 0);
	make_hosts(WORDS("haswell tsc=2400000", "zen2 tsc=3000000"));
	cr_expect_eq(mv_baseline(b, def, list, nhosts, offers, &opts, &fx.err), -MV_E_REFUSED);
}

Test(baseline, forbidden_features_keep_a_host_out)
{
	load_guest_os(def, "linux64");
	set_default("SHA", 'F');
	make_hosts(WORDS("haswell", "haswell"));
	cr_expect_eq(make(), 0);
	cr_expect_eq(symbol("SHA"), MV_SYM_F, "the demand stays");
	every_pair_is_accepted("F");
	make_hosts(WORDS("haswell", "haswell exec+SHA"));
	cr_expect_eq(make(), -MV_E_REFUSED);
	cr_expect_eq(b->refusals[0].kind, MV_BR_FORBIDDEN);
	cr_expect_eq(b->refusals[0].a, 1u);
}

Test(baseline, of_nothing_is_an_error)
{
	nhosts = 0;
	load_guest_os(def, "linux64");
	cr_expect_eq(make(), -MV_E_USAGE);
}
