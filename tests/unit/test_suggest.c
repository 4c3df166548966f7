/* SPDX-License-Identifier: MIT */
/*
 * Suggestions: they turn the verdicts into accept, no line of them can be left out, and where there
 * is none a structural reason is named.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maskfile.h"
#include "suggest.h"
#include "support.h"

#define HOSTS 4
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct mv_host hosts[HOSTS];
static const struct mv_host *list[HOSTS];
static struct mv_suggestion *s;
static struct mv_suggest_work *w;
static struct fixture fx;
static uint32_t nhosts;

static void setup(void)
{
	s = calloc(1, sizeof(*s));
	w = calloc(1, sizeof(*w));
	fixture_init(&fx);
	for (uint32_t i = 0; i < HOSTS; i++)
		list[i] = &hosts[i];
	cr_assert(s && w);
}

static void finish(void)
{
	free(s);
	free(w);
	fixture_finish(&fx);
}

TestSuite(suggest, .init = setup, .fini = finish, .timeout = 120);

/* The VM on host src, with a default mask and an override. */
static void make_vm(const char *src, const char *name, const char *override)
{
	const struct mv_mask_reader reader = { .kind = MV_MASK_OVERRIDE, .file = name };
	struct mv_mask *def = calloc(1, sizeof(*def)), *over = calloc(1, sizeof(*over));

	cr_assert(def && over);
	load_guest_os(def, name);
	memset(&fx.err, 0, sizeof(fx.err));
	memset(fx.p, 0, sizeof(*fx.p));
	cr_assert_eq(mv_mask_parse(over, override, strlen(override), &reader, &fx.err), 0, "%s",
		     fx.err.msg);
	make_host(&fx.p->source, src);
	fx.p->intercept = MV_INTERCEPTION_KERNEL;
	cr_assert_eq(mv_mask_merge(&fx.p->final, def, over, mv_table_vendor(&fx.p->source.raw),
				   &fx.err), 0, "%s", fx.err.msg);
	free(def);
	free(over);
}

static void make_hosts(const char *const *words)
{
	for (nhosts = 0; words[nhosts]; nhosts++)
		make_host(&hosts[nhosts], words[nhosts]);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int suggest(const struct mv_verdict_opts *opts)
{
	return mv_suggest(s, w, fx.p, 1, list, nhosts, opts, &fx.err);
}

static int try_without(uint32_t line, const struct mv_verdict_opts *opts)
{
	bool cut[MV_SUGGEST_LINES] = { false };

	if (line < s->n)
		cut[line] = true;
	return mv_suggest_try(w, fx.p, 1, list, nhosts, opts, s->lines, s->n, cut, &fx.err);
}

/* All lines, ", " between them. */
static const char *lines(void)
{
	static char text[65536];
	size_t n = 0;

	*text = '\0';
	for (uint32_t i = 0; i < s->n; i++) {
		char one[128];

		mv_suggest_line_text(one, sizeof(one), &s->lines[i]);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? ", " : "", one);
	}
	return text;
}

static const char *names(const struct mv_featset *set)
{
	static char text[8192];
	size_t n = 0;

	*text = '\0';
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_featset_has(set, (enum mv_feature_id)i))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "",
					      mv_features[i].name);
	return text;
}

/* ---- the property ---- */

static uint64_t state;

static uint32_t any(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static void vary(struct mv_host *h)
{
	for (uint32_t n = any(12); n; n--) {
		enum mv_feature_id id = (enum mv_feature_id)any(MV_NFEATURES);
		bool v = any(2);

		mv_table_set_feature(&h->raw, id, v);
		if (any(2))
			mv_table_set_feature(&h->kvm, id, v);
	}
	if (!any(3)) {
		uint32_t bits = 36 + any(17);

		mv_table_set_field(&h->raw, MV_FIELD_PHYS_BITS, bits);
		mv_table_set_field(&h->kvm, MV_FIELD_PHYS_BITS, bits);
	}
	if (!any(4))
		mv_table_set_bit(&h->raw, 7, 0, MV_ECX, 15, true);
	if (!any(4))
		h->msrs[h->nmsrs++] = (struct mv_msr){ 0x10a, any(1 << 20) };
	if (!any(10)) {
		struct mv_leaf *e = mv_table_get(&h->kvm, 0xd, 2 + any(8));

		if (e)
			e->reg[MV_EBX] += 64;
	}
	h->tsc_khz = any(10) ? 0 : 2400000 + 100000 * any(2);
}

static void one_case(uint32_t seed, unsigned *helped, unsigned *blocked)
{
	static const char *const intels[] = { "sandybridge", "haswell", "skylake-sp", "cascadelake",
					      "icelake", "sapphirerapids", "merom +SYSCALL" };
	static const char *const amds[] = { "zen2", "zen3", "zen4" };
	static const char *const masks[] = { "linux64", "generic64", "bare-metal", "generic32" };
	static const char *const overrides[] = { "", "", "feature AVX = 0\n",
						 "feature SSE4.1 = R\nfeature AVX512F = R\n",
						 "feature SSE3 = T\nfeature PAT = T\n",
						 "feature SHA = F\n", "feature MD-CLEAR = x\n" };
	struct mv_verdict_opts opts = { 0 };
	bool amd;
	int rc;

	state = seed;
	amd = any(2);
	opts.mode = any(3) ? MV_VERDICT_GUIDE : MV_VERDICT_SUBSET;
	make_vm(amd ? amds[any(COUNT(amds))] : intels[any(COUNT(intels))], masks[any(COUNT(masks))],
		overrides[any(COUNT(overrides))]);
	vary(&fx.p->source);
	nhosts = 1 + any(HOSTS);
	for (uint32_t i = 0; i < nhosts; i++) {
		bool kind = any(25) ? amd : !amd;

		make_host(&hosts[i], kind ? amds[any(COUNT(amds))] : intels[any(COUNT(intels))]);
		vary(&hosts[i]);
	}
	rc = suggest(&opts);
	cr_assert_eq(rc, 0, "seed %u: %s", seed, fx.err.msg);
	if (s->nblocks) {
		++*blocked;
		cr_assert_eq(s->n, 0u);
		for (uint32_t i = 0; i < s->nblocks && i < MV_SUGGEST_BLOCKS; i++) {
			const struct mv_suggest_block *b = &s->blocks[i];

			cr_assert(b->m.rule == MV_RULE_VENDOR || b->m.rule == MV_RULE_TSC ||
				  b->host == nhosts, "seed %u: rule %s of host %u (%s): %s", seed,
				  mv_rule_name(b->m.rule), b->host, mv_mismatch_subject(&b->m),
				  b->m.text);
		}
		return;
	}
	++*helped;
	cr_assert_eq(try_without(MV_SUGGEST_LINES, &opts), 1, "seed %u: %s", seed, lines());
	for (uint32_t i = 0; i < s->n; i++)
		cr_assert_eq(try_without(i, &opts), 0, "seed %u: line %u is not needed: %s", seed,
			     i, lines());
}

Test(suggest, applied_it_is_accepted_and_no_line_can_go)
{
	unsigned helped = 0, blocked = 0;

	for (uint32_t seed = 1; seed <= 150; seed++)
		one_case(seed, &helped, &blocked);
	cr_expect_gt(helped, 50u, "%u helped, %u blocked", helped, blocked);
	cr_expect_gt(blocked, 5u);
}

/* Old dumps name a component and don't say where it lies: it fits nowhere, and hiding what uses it helps. */
Test(suggest, a_component_without_a_place)
{
	struct mv_table *t = &hosts[0].kvm;
	uint32_t n = 0;

	make_vm("haswell", "generic64", "");
	make_hosts(WORDS("haswell"));
	for (uint32_t i = 0; i < t->n; i++)
		if (t->e[i].leaf != 0xd || t->e[i].subleaf != 2)
			t->e[n++] = t->e[i];
	t->n = n;
	cr_assert_eq(suggest(NULL), 0);
	cr_expect_str_eq(lines(), "feature AVX = 0", "%s", lines());
	cr_expect_eq(s->nblocks, 0u);
}

/* ---- by name ---- */

Test(suggest, cases)
{
	static const struct {
		const char *src, *mask, *override, *hosts[3], *lines, *lost, *leaks;
	} rows[] = {
		{ "haswell", "generic64", "", { "haswell" }, "", "", "" },
		/* the guide's Appendix C */
		{ "penryn", "generic64", "", { "penryn -SSE4.1" }, "feature SSE4.1 = 0", "SSE4.1",
		  "SSE4.1" },
		/* R lets nobody but a prober see the difference; it is no less a difference */
		{ "penryn", "generic64", "feature SSE4.1 = R\n", { "penryn -SSE4.1" },
		  "feature SSE4.1 = 0", "", "SSE4.1" },
		/* one line for all that needs AVX; FMA and the others are closed with it */
		{ "haswell", "generic64", "",
		  { "haswell -AVX -AVX2 -FMA -F16C -XSTATE-AVX -XSAVEOPT" },
		  "feature AVX = 0, feature XSAVEOPT = 0", "FMA AVX F16C AVX2 XSTATE-AVX XSAVEOPT",
		  "XSAVEOPT" },
		{ "haswell", "generic64", "",
		  { "haswell -SHA +AVX512F", "haswell -AES", "haswell -ADX" },
		  "feature AES = 0, feature AVX512F = 0", "AES", "AES" },
		/* numbers */
		{ "icelake phys-bits=52", "generic64", "", { "icelake", "icelake phys-bits=44" },
		  "field phys-bits = 44", "", "" },
		/* where the state lies */
		{ "zen3", "generic64", "", { "zen3 layout=zen2" }, "feature PKU = 0",
		  "PKU XSTATE-PKRU", "" },
		/* warnings accumulate: hiding MD_CLEAR would be no remedy */
		{ "haswell", "generic64", "", { "haswell +MD-CLEAR" }, "feature MD-CLEAR = 1", "",
		  "" },
		/* F: 0 shows the guest the same */
		{ "haswell", "generic64", "feature SHA = F\n", { "haswell +SHA" },
		  "feature SHA = 0", "", "" },
		/* the family of another generation */
		{ "zen2", "generic64", "", { "zen2 1.0:eax=a30f10" },
		  "cpuid.1.eax = \"---- xxxx xxxx ---- ---- ---- ---- ----\"", "", "" },
		{ "icelake msr:10a=0xeb", "generic64", "", { "icelake msr:10a=0x2b" },
		  "feature ARCH-CAPABILITIES = 0", "ARCH-CAPABILITIES", "" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		make_vm(rows[i].src, rows[i].mask, rows[i].override);
		for (nhosts = 0; nhosts < 3 && rows[i].hosts[nhosts]; nhosts++)
			make_host(&hosts[nhosts], rows[i].hosts[nhosts]);
		cr_assert_eq(suggest(NULL), 0, "row %zu: %s", i, fx.err.msg);
		cr_expect_eq(s->nblocks, 0u, "row %zu: %s", i,
			     mv_rule_name(s->blocks[0].m.rule));
		cr_expect_str_eq(lines(), rows[i].lines, "row %zu: %s", i, lines());
		cr_expect_str_eq(names(&s->lost), rows[i].lost, "row %zu: %s", i, names(&s->lost));
		cr_expect_str_eq(names(&s->leaks), rows[i].leaks, "row %zu: %s", i,
				 names(&s->leaks));
	}
}

Test(suggest, the_lines_are_the_override)
{
	struct mv_mask *final = calloc(1, sizeof(*final)), *old = calloc(1, sizeof(*old));

	make_vm("skylake-sp", "generic64", "");
	make_hosts(WORDS("haswell"));
	cr_assert_eq(suggest(NULL), 0);
	cr_assert_gt(s->n, 0u);
	*old = fx.p->final;
	cr_assert_eq(mv_mask_merge(final, old, &s->override, MV_VENDOR_INTEL, &fx.err), 0);
	fx.p->final = *final;
	cr_assert_eq(mv_apply(fx.p, 1, fx.notes, &fx.err), 0);
	cr_assert_eq(mv_verdict(fx.v, fx.p, &hosts[0], NULL, &fx.err), 0);
	cr_expect_eq(fx.v->refusals, 0u, "%s", verdict_text(fx.v));
	free(final);
	free(old);
}

Test(suggest, where_no_mask_helps_the_reason_is_named)
{
	static const struct {
		const char *src, *dst;
		enum mv_rule rule;
		uint32_t host;
	} rows[] = {
		{ "haswell", "zen2", MV_RULE_VENDOR, 1 },
		{ "haswell tsc=2400000", "haswell tsc=3000000", MV_RULE_TSC, 1 },
		{ "haswell", "haswell kernel=0", MV_RULE_INTERCEPTION, 1 },
		{ "haswell -LM", "haswell", MV_RULE_SYMBOL, 2 }, /* its own host refuses */
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		make_vm(rows[i].src, "linux64", "");
		make_host(&hosts[0], rows[i].src);
		make_host(&hosts[1], rows[i].dst);
		nhosts = 2;
		cr_assert_eq(suggest(NULL), 0);
		cr_expect_eq(s->n, 0u, "row %zu", i);
		cr_expect_eq(s->blocks[0].m.rule, rows[i].rule, "row %zu: %s", i,
			     mv_rule_name(s->blocks[0].m.rule));
		cr_expect_eq(s->blocks[0].host, rows[i].host, "row %zu: %u", i, s->blocks[0].host);
	}
}

Test(suggest, the_subset_rule_needs_less)
{
	static const struct mv_verdict_opts subset = { .mode = MV_VERDICT_SUBSET };

	make_vm("haswell", "generic64", "");
	make_hosts(WORDS("haswell +SHA"));
	cr_assert_eq(suggest(&subset), 0);
	cr_expect_eq(s->n, 0u, "%s", lines());
	cr_assert_eq(suggest(NULL), 0);
	cr_expect_str_eq(lines(), "feature SHA = 0");
}
