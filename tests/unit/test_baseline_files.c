/* SPDX-License-Identifier: MIT */
/*
 * configs/baselines: each file promises no more than what was measured on every CPU of its
 * generation, and what it says about the others follows from the bits.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "baseline.h"
#include "maskfile.h"
#include "support.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Where the columns of the rows below lie. */
static const struct {
	uint32_t leaf, subleaf;
	unsigned reg;
} columns[] = {
	{ 0x1, 0, MV_ECX },	   { 0x1, 0, MV_EDX },	      { 0x7, 0, MV_EBX },
	{ 0x7, 0, MV_ECX },	   { 0x7, 0, MV_EDX },	      { 0x7, 1, MV_EAX },
	{ 0xd, 1, MV_EAX },	   { 0x80000001, 0, MV_ECX }, { 0x80000001, 0, MV_EDX },
	{ 0x80000008, 0, MV_EBX },
};

/* The bits that are set in every dump of a generation. Bulldozer: as Piledriver. */
static const struct {
	const char *name;
	uint32_t reg[COUNT(columns)];
} measured[] = {
	{ "intel-merom",
	  { 0xe33d, 0xbfebfbff, 0, 0, 0,
	    0, 0, 0x1, 0x20100000, 0 } },
	{ "intel-penryn",
	  { 0xe31d, 0xbfebfbff, 0, 0, 0,
	    0, 0, 0x1, 0x20100000, 0 } },
	{ "intel-nehalem",
	  { 0x98e3bd, 0xb7ebfbff, 0, 0, 0,
	    0, 0, 0x1, 0x28100000, 0 } },
	{ "intel-westmere",
	  { 0x29ae3bf, 0xbfebfbff, 0, 0, 0,
	    0, 0, 0x1, 0x2c100000, 0 } },
	{ "intel-sandybridge",
	  { 0x17bee3bf, 0xbfebfbff, 0, 0, 0,
	    0, 0, 0x1, 0x2c100000, 0 } },
	{ "intel-ivybridge",
	  { 0x77bee3bf, 0xbfebfbff, 0x281, 0, 0,
	    0, 0x100, 0x1, 0x2c100000, 0 } },
	{ "intel-haswell",
	  { 0x75fefbbf, 0xbfebfbff, 0x37ab, 0, 0,
	    0, 0x1, 0x21, 0x2c100000, 0 } },
	{ "intel-broadwell",
	  { 0x77fefbbf, 0xbfebfbff, 0x21cbfbb, 0, 0,
	    0, 0x1, 0x121, 0x2c100000, 0 } },
	{ "intel-skylake",
	  { 0x77fefbb7, 0xbfebfbff, 0xd39ffffb, 0, 0,
	    0, 0xf, 0x121, 0x2c100000, 0 } },
	{ "intel-cascadelake",
	  { 0x77fefbbf, 0xbfebfbff, 0xd39ffffb, 0x800, 0xbc000400,
	    0, 0xf, 0x121, 0x2c100000, 0 } },
	{ "intel-icelake",
	  { 0x77fefbff, 0xbfebfbff, 0xf3bfbfff, 0x40417f4e, 0xbc040412,
	    0, 0xf, 0x121, 0x2c100000, 0x200 } },
	{ "intel-sapphirerapids",
	  { 0x77fefbff, 0xbfebfbff, 0xf3bfbffb, 0xbb417fee, 0xffdd4430,
	    0x1c30, 0x1f, 0x121, 0x2c100000, 0x200 } },
	{ "intel-graniterapids",
	  { 0x77fefbff, 0xbfebfbff, 0xf3bfbffb, 0xbb417fee, 0xffdd4430,
	    0x40201d30, 0x1f, 0x121, 0x2c100000, 0x200 } },
	{ "amd-k8-e",
	  { 0x1, 0x78bfbff, 0, 0, 0,
	    0, 0, 0x1, 0xe3d3fbff, 0 } },
	{ "amd-k8-f",
	  { 0x2001, 0x78bfbff, 0, 0, 0,
	    0, 0, 0x1d, 0xebd3fbff, 0 } },
	{ "amd-k10",
	  { 0x802009, 0x78bfbff, 0, 0, 0,
	    0, 0, 0x7fd, 0xefd3fbff, 0 } },
	{ "amd-bulldozer",
	  { 0x3698320b, 0x178bfbff, 0, 0, 0,
	    0, 0, 0x1ab3fff, 0x2fd3fbff, 0 } },
	{ "amd-piledriver",
	  { 0x3698320b, 0x178bfbff, 0, 0, 0,
	    0, 0, 0x1ab3fff, 0x2fd3fbff, 0 } },
	{ "amd-steamroller",
	  { 0x3698320b, 0x178bfbff, 0x9, 0, 0,
	    0, 0x1, 0xfabbfff, 0x2fd3fbff, 0 } },
	{ "amd-zen",
	  { 0x76d8320b, 0x178bfbff, 0x209c01a9, 0, 0,
	    0, 0xf, 0x35c233ff, 0x2fd3fbff, 0x7 } },
	{ "amd-zen2",
	  { 0x76d8320b, 0x178bfbff, 0x209c01a9, 0, 0,
	    0, 0xf, 0x35c233ff, 0x2fd3fbff, 0x1007 } },
	{ "amd-zen3",
	  { 0x76d8320b, 0x178bfbff, 0x219c95a9, 0x40068c, 0,
	    0, 0xf, 0x75c237ff, 0x2fd3fbff, 0x111ef657 } },
	{ "amd-zen4",
	  { 0x76d8320b, 0x178bfbff, 0xf1bf97a9, 0x405fce, 0x10000000,
	    0x20, 0xf, 0x75c237ff, 0x2fd3fbff, 0x191ef257 } },
	{ "amd-zen5",
	  { 0x76d8320b, 0x178bfbff, 0xf1bf97ab, 0x19405fce, 0x10000110,
	    0x30, 0xf, 0x75c237ff, 0x2fd3fbff, 0x791ef257 } },
};

#define N COUNT(measured)

static struct mv_mask *masks[N];
static char *texts[N];

static void load(size_t i)
{
	struct mv_mask_reader reader = { .kind = MV_MASK_OVERRIDE, .file = measured[i].name };
	struct mv_err err = { 0 };
	char name[128];

	snprintf(name, sizeof(name), "configs/baselines/%s.mask", measured[i].name);
	masks[i] = calloc(1, sizeof(*masks[i]));
	texts[i] = read_source(name, NULL);
	cr_assert(masks[i]);
	cr_assert_eq(mv_mask_parse(masks[i], texts[i], strlen(texts[i]), &reader, &err), 0,
		     "%s:%u: %s", name, err.line, err.msg);
}

static struct mv_mask *def;
static struct fixture fx;

static void setup(void)
{
	for (size_t i = 0; i < N; i++)
		load(i);
	def = calloc(1, sizeof(*def));
	fixture_init(&fx);
}

static void finish(void)
{
	fixture_finish(&fx);
	free(def);
	for (size_t i = 0; i < N; i++) {
		free(masks[i]);
		free(texts[i]);
	}
}

TestSuite(baseline_files, .init = setup, .fini = finish);

static enum mv_sym symbol(size_t i, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];

	return mv_mask_sym(masks[i], f->leaf, f->subleaf, f->reg, f->bit);
}

static bool has(size_t i, enum mv_feature_id id)
{
	return symbol(i, id) == MV_SYM_T;
}

static size_t by_name(const char *name)
{
	size_t i = 0;

	while (i < N && strcmp(measured[i].name, name))
		i++;
	cr_assert_lt(i, N, "%s", name);
	return i;
}

static bool was_measured(size_t i, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];

	for (size_t c = 0; c < COUNT(columns); c++)
		if (columns[c].leaf == f->leaf && columns[c].subleaf == f->subleaf &&
		    columns[c].reg == f->reg)
			return measured[i].reg[c] >> f->bit & 1;
	return false;
}

/* What README.md says counts without being in every dump. */
static bool excused(size_t i, enum mv_feature_id id)
{
	switch (id) {
	case MV_F_SYSCALL:	/* 32-bit dumps lack it */
	case MV_F_X2APIC:
	case MV_F_TSC_ADJUST:
	case MV_F_ARAT:
		return true;
	case MV_F_INVARIANT_TSC:
		return i >= by_name(*measured[i].name == 'i' ? "intel-nehalem" : "amd-k10");
	case MV_F_SSE4_1:
		return i == by_name("intel-penryn");
	case MV_F_AES:
		return i == by_name("intel-haswell");
	case MV_F_XSTATE_X87:
	case MV_F_XSTATE_SSE:
		return was_measured(i, MV_F_XSAVE);
	case MV_F_XSTATE_AVX:
		return was_measured(i, MV_F_AVX);
	case MV_F_XSTATE_BNDREGS:
	case MV_F_XSTATE_BNDCSR:
		return was_measured(i, MV_F_MPX);
	case MV_F_XSTATE_OPMASK:
	case MV_F_XSTATE_ZMM_HI256:
	case MV_F_XSTATE_HI16_ZMM:
		return was_measured(i, MV_F_AVX512F);
	case MV_F_XSTATE_PKRU:
		return was_measured(i, MV_F_PKU);
	default:
		return false;
	}
}

Test(baseline_files, promise_what_every_cpu_has)
{
	for (size_t i = 0; i < N; i++)
		for (unsigned id = 0; id < MV_NFEATURES; id++)
			cr_expect(!has(i, (enum mv_feature_id)id) ||
				  was_measured(i, (enum mv_feature_id)id) ||
				  excused(i, (enum mv_feature_id)id), "%s: %s", measured[i].name,
				  mv_features[id].name);
}

Test(baseline_files, promise_nothing_that_guests_are_not_given)
{
	static const enum mv_feature_id never[] = {
		MV_F_VMX, MV_F_SMX, MV_F_SVM, MV_F_MONITOR, MV_F_DTES64, MV_F_DS_CPL, MV_F_EST,
		MV_F_TM2, MV_F_XTPR, MV_F_DS, MV_F_ACPI, MV_F_TM, MV_F_PBE, MV_F_DCA, MV_F_SKINIT,
		MV_F_IBS, MV_F_WDT, MV_F_HLE, MV_F_RTM, MV_F_PKS, MV_F_UINTR, MV_F_ENQCMD,
		MV_F_AMX_TILE, MV_F_ARCH_CAPABILITIES,
	};

	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < COUNT(never); k++)
			cr_expect(!has(i, never[k]), "%s: %s", measured[i].name,
				  mv_features[never[k]].name);
}

Test(baseline_files, use_no_symbol_that_compares)
{
	for (size_t i = 0; i < N; i++)
		for (uint32_t r = 0; r < masks[i]->nregs; r++)
			for (unsigned bit = 0; bit < 32; bit++) {
				enum mv_sym s = mv_mask_reg_sym(&masks[i]->regs[r], bit);

				cr_expect(s == MV_SYM_INHERIT || s == MV_SYM_T || s == MV_SYM_1 ||
					  s == MV_SYM_0, "%s: level 0x%x %s:%u", measured[i].name,
					  masks[i]->regs[r].leaf,
					  mv_reg_name(masks[i]->regs[r].reg), bit);
			}
}

Test(baseline_files, hide_what_needs_something_hidden)
{
	for (size_t i = 0; i < N; i++)
		for (unsigned id = 0; id < MV_NFEATURES; id++) {
			enum mv_feature_id parents[16];
			size_t n = mv_feature_parents((enum mv_feature_id)id, parents, 16);

			for (size_t k = 0; k < n && has(i, (enum mv_feature_id)id); k++)
				cr_expect(has(i, parents[k]), "%s: %s without %s", measured[i].name,
					  mv_features[id].name, mv_features[parents[k]].name);
		}
}

/* ---- the lattice ---- */

static uint32_t phys_bits(size_t i)
{
	const struct mv_mask_field *f = mv_mask_find_field(masks[i], MV_FIELD_PHYS_BITS);

	cr_assert(f, "%s", measured[i].name);
	return f->value;
}

/* Can hosts of generation a run the guests of b? */
static bool contains(size_t a, size_t b)
{
	if (a == b || *measured[a].name != *measured[b].name || phys_bits(a) < phys_bits(b))
		return false;
	for (unsigned id = 0; id < MV_NFEATURES; id++)
		if (has(b, (enum mv_feature_id)id) && !has(a, (enum mv_feature_id)id))
			return false;
	return true;
}

/* Is name a word of the comment that begins with label, over several lines "#  …"? */
static bool listed(const char *text, const char *label, const char *name)
{
	const char *p = strstr(text, label);
	size_t len = strlen(name);

	cr_assert(p, "no '%s'", label);
	for (p += strlen(label); *p; p++) {
		if (*p == '\n' && strncmp(p, "\n#  ", 4))
			return false;
		if ((p[-1] == ' ') && !strncmp(p, name, len) && (p[len] == ' ' || p[len] == '\n'))
			return true;
	}
	return false;
}

Test(baseline_files, the_containments_they_tell_are_those_of_the_bits)
{
	for (size_t a = 0; a < N; a++)
		for (size_t b = 0; b < N; b++) {
			cr_expect_eq(listed(texts[a], "# contains: ", measured[b].name),
				     contains(a, b), "%s contains %s", measured[a].name,
				     measured[b].name);
			cr_expect_eq(listed(texts[a], "# contained in: ", measured[b].name),
				     contains(b, a), "%s is contained in %s", measured[a].name,
				     measured[b].name);
		}
}

Test(baseline_files, newer_is_not_always_more)
{
	static const struct {
		const char *newer, *older;
		enum mv_feature_id lost[4];
		size_t n;
	} rows[] = {
		{ "amd-bulldozer", "amd-k10", { MV_F_AMD3DNOW, MV_F_AMD3DNOWEXT }, 2 },
		{ "amd-zen", "amd-steamroller", { MV_F_XOP, MV_F_FMA4, MV_F_TBM }, 3 },
		{ "intel-icelake", "intel-skylake", { MV_F_MPX }, 1 },
		{ "intel-icelake", "intel-cascadelake", { MV_F_MPX }, 1 },
	};

	for (size_t r = 0; r < COUNT(rows); r++) {
		size_t newer = by_name(rows[r].newer), older = by_name(rows[r].older);

		cr_expect(!contains(newer, older), "%s %s", rows[r].newer, rows[r].older);
		for (size_t k = 0; k < rows[r].n; k++) {
			cr_expect(has(older, rows[r].lost[k]), "%s", rows[r].older);
			cr_expect_eq(symbol(newer, rows[r].lost[k]), MV_SYM_0, "%s", rows[r].newer);
		}
	}
	cr_expect(contains(by_name("intel-penryn"), by_name("intel-merom")));
	cr_expect(!contains(by_name("intel-merom"), by_name("intel-penryn")));
	cr_expect(contains(by_name("intel-icelake"), by_name("intel-broadwell")));
	cr_expect(contains(by_name("amd-zen5"), by_name("amd-zen")));
	cr_expect(!contains(by_name("amd-zen"), by_name("intel-merom")), "vendors don't mix");
}

/* ---- laying baselines over default masks ---- */

static int restricted(const char *mask)
{
	struct mv_mask *base = calloc(1, sizeof(*base)), *was = calloc(1, sizeof(*was));
	struct mv_mask_reader reader = { .kind = MV_MASK_OVERRIDE, .file = "b" };
	int rc;

	memset(&fx.err, 0, sizeof(fx.err));
	cr_assert_eq(mv_mask_parse(base, mask, strlen(mask), &reader, &fx.err), 0, "%s",
		     fx.err.msg);
	rc = mv_baseline_restrict(def, base, MV_VENDOR_AMD, was, &fx.err);
	free(base);
	free(was);
	return rc;
}

static char after(const char *name)
{
	const struct mv_feature *f = &mv_features[feature_id(name)];

	return mv_sym_char(mv_mask_sym(def, f->leaf, f->subleaf, f->reg, f->bit));
}

Test(baseline_files, laid_over_a_default_mask_it_only_takes_away)
{
	load_guest_os(def, "generic32");
	cr_assert_eq(
		restricted("feature VMX = T\nfeature LM = T\nfeature CX16 = T\n"
			   "feature SSE3 = T\nfeature SSE4.1 = 0\nfield phys-bits = 40\n"
			   "cpuid.1.ecx.amd = \"---- ---- ---- ---- ---- --T- ---- ----\"\n"
			   "cpuid.1.ecx.intel = \"---- ---- ---- ---- ---- ---- ---- ---0\"\n"),
		0, "%s", fx.err.msg);
	cr_expect_eq(after("VMX"), '0');
	cr_expect_eq(after("LM"), '0');
	cr_expect_eq(after("CX16"), '0', "T without LM would be refused");
	cr_expect_eq(after("SSE3"), 'T', "the other vendor's line is not meant");
	cr_expect_eq(after("SSSE3"), 'T');
	cr_expect_eq(after("SSE4.1"), '0');
	cr_expect_eq(after("POPCNT"), 'H', "not named: the default's");
	cr_expect_eq(mv_mask_find_field(def, MV_FIELD_PHYS_BITS)->value, 40u);
}

Test(baseline_files, it_can_not_hide_what_the_default_mask_requires)
{
	load_guest_os(def, "linux64");
	cr_expect_eq(restricted("feature LM = 0\n"), -MV_E_INPUT);
	cr_expect_str_eq(fx.err.msg, "the baseline hides CPUID level 0x80000001 EDX:29 (LM), which "
				     "the default mask requires (T)");
}

Test(baseline_files, hosts_of_the_generation_can_start_vms)
{
	static const char *const guests[] = { "linux64", "generic64", "generic32", "bare-metal",
					      "windows64", "freebsd64", "linux32", "windows32" };
	static const struct {
		const char *name, *host;
	} rows[] = {
		{ "intel-merom", "merom +SYSCALL +X2APIC +TSC-ADJUST +ARAT" },
		{ "intel-sandybridge", "sandybridge +X2APIC +TSC-ADJUST +ARAT" },
		{ "intel-haswell", "haswell +TSC-ADJUST +ARAT +AES +FSGSBASE" },
		{ "intel-skylake", "skylake-sp +TSC-ADJUST +ARAT +PCLMUL +MPX" },
		{ "intel-icelake", "icelake +TSC-ADJUST +ARAT" },
		{ "amd-zen2", "zen2 +X2APIC +TSC-ADJUST +ARAT" },
		{ "amd-zen3", "zen3 +X2APIC +TSC-ADJUST +ARAT" },
		{ "amd-zen4", "zen4 +X2APIC +TSC-ADJUST +ARAT" },
		{ "amd-zen", "zen4 +X2APIC +TSC-ADJUST +ARAT" },
	};
	struct mv_mask *was = calloc(1, sizeof(*was));

	for (size_t g = 0; g < COUNT(guests); g++)
		for (size_t i = 0; i < COUNT(rows); i++) {
			load_guest_os(def, guests[g]);
			make_host(&fx.p->source, rows[i].host);
			cr_assert_eq(mv_baseline_restrict(def, masks[by_name(rows[i].name)],
							  mv_table_vendor(&fx.p->source.raw), was,
							  &fx.err), 0, "%s", fx.err.msg);
			fx.p->final = *def;
			fx.p->intercept = MV_INTERCEPTION_KERNEL;
			cr_assert_eq(mv_apply(fx.p, 1, fx.notes, &fx.err), 0);
			cr_expect_eq(fx.notes->refusals, 0u, "%s on %s: %s", guests[g],
				     rows[i].host, notes_text(fx.notes));
		}
	free(was);
}
