/* SPDX-License-Identifier: MIT */
/* Probe results on a terminal: by family, one verdict a line; and two of them side by side. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe.h"
#include "xstate.h"

/* ---- families ---- */

enum family { BASE, SSE, AVX, AVX512, AMX, CRYPTO, GENERAL, XSAVE, CACHE, SYSTEM, CONTROL, OTHER };

const char *const mv_probe_families[] = {
	[BASE] = "x86-64 baseline",
	[SSE] = "SSE and 3DNow!",
	[AVX] = "AVX",
	[AVX512] = "AVX-512",
	[AMX] = "AMX and APX",
	[CRYPTO] = "Ciphers, hashes, random numbers",
	[GENERAL] = "General registers",
	[XSAVE] = "XSAVE",
	[CACHE] = "Cache lines and hints",
	[SYSTEM] = "System instructions",
	[CONTROL] = "Control registers and MSRs",
	[OTHER] = "Other",
	NULL,
};

/* What the table's other columns do not tell. */
static const struct {
	enum mv_feature_id id;
	enum family family;
} members[] = {
	{ MV_F_FPU, BASE },	     { MV_F_TSC, BASE },	  { MV_F_CX8, BASE },
	{ MV_F_CMOV, BASE },	     { MV_F_MMX, BASE },	  { MV_F_FXSR, BASE },
	{ MV_F_SSE, BASE },	     { MV_F_SSE2, BASE },	  { MV_F_CX16, BASE },
	{ MV_F_LAHF64, BASE },	     { MV_F_LM, BASE },		  { MV_F_SYSCALL, BASE },
	{ MV_F_SSE3, SSE },	     { MV_F_SSSE3, SSE },	  { MV_F_SSE4_1, SSE },
	{ MV_F_SSE4_2, SSE },	     { MV_F_SSE4A, SSE },	  { MV_F_AMD3DNOW, SSE },
	{ MV_F_AMD3DNOWEXT, SSE },   { MV_F_MMXEXT, SSE },	  { MV_F_MISALIGNSSE, SSE },
	{ MV_F_AES, CRYPTO },	     { MV_F_PCLMUL, CRYPTO },	  { MV_F_SHA, CRYPTO },
	{ MV_F_GFNI, CRYPTO },	     { MV_F_RDRAND, CRYPTO },	  { MV_F_RDSEED, CRYPTO },
	{ MV_F_KEYLOCKER, CRYPTO },  { MV_F_AESKLE, CRYPTO },	  { MV_F_WIDE_KL, CRYPTO },
	{ MV_F_XSAVE, XSAVE },	     { MV_F_XSAVEOPT, XSAVE },	  { MV_F_XSAVEC, XSAVE },
	{ MV_F_XGETBV1, XSAVE },     { MV_F_XSAVES, XSAVE },	  { MV_F_CLFLUSH, CACHE },
	{ MV_F_CLFLUSHOPT, CACHE },  { MV_F_CLWB, CACHE },	  { MV_F_CLZERO, CACHE },
	{ MV_F_CLDEMOTE, CACHE },    { MV_F_WBNOINVD, CACHE },	  { MV_F_PREFETCHWT1, CACHE },
	{ MV_F_PREFETCHW, CACHE },   { MV_F_PREFETCHITI, CACHE }, { MV_F_PREFETCHI, CACHE },
	{ MV_F_MONITOR, SYSTEM },    { MV_F_MONITORX, SYSTEM },	  { MV_F_WAITPKG, SYSTEM },
	{ MV_F_RDTSCP, SYSTEM },     { MV_F_RDPID, SYSTEM },	  { MV_F_RDPRU, SYSTEM },
	{ MV_F_SERIALIZE, SYSTEM },  { MV_F_INVPCID, SYSTEM },	  { MV_F_INVLPGB, SYSTEM },
	{ MV_F_PTWRITE, SYSTEM },    { MV_F_FSGSBASE, SYSTEM },	  { MV_F_PKU, SYSTEM },
	{ MV_F_UINTR, SYSTEM },	     { MV_F_HRESET, SYSTEM },	  { MV_F_SKINIT, SYSTEM },
	{ MV_F_CR8_LEGACY, SYSTEM }, { MV_F_CET_IBT, SYSTEM },	  { MV_F_ENQCMD, SYSTEM },
	{ MV_F_LKGS, SYSTEM },	     { MV_F_WRMSRNS, SYSTEM },	  { MV_F_MSRLIST, SYSTEM },
};

/* By the state that it works on. */
static enum family by_state(enum mv_feature_id id)
{
	static const struct {
		enum mv_feature_id component;
		enum family family;
	} states[] = {
		{ MV_F_XSTATE_XTILECFG, AMX },
		{ MV_F_XSTATE_APX, AMX },
		{ MV_F_XSTATE_OPMASK, AVX512 },
		{ MV_F_XSTATE_AVX, AVX },
	};
	uint64_t need = mv_xstate_needed(id);

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (need >> mv_features[states[i].component].bit & 1)
			return states[i].family;
	return OTHER;
}

static enum family family_of(enum mv_feature_id id)
{
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (members[i].id == id)
			return members[i].family;
	if (by_state(id) != OTHER)
		return by_state(id);
	return mv_features[id].needs == MV_FN_NOTHING ? GENERAL : CONTROL;
}

const char *mv_probe_family(const char *feature)
{
	const struct mv_feature *f = mv_feature_by_name(feature, strlen(feature));

	return mv_probe_families[f ? family_of(mv_feature_id(f)) : OTHER];
}

/* ---- colour ---- */

static bool coloured(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb");
}

/* An escape sequence for a verdict: none for what needs no attention. */
static const char *colour(const char *verdict)
{
	static const struct {
		const char *verdict, *code;
	} codes[] = {
		{ "OK", "\033[32m" },	   { "ENFORCED", "\033[36m" }, { "LEAK", "\033[1;33m" },
		{ "BROKEN", "\033[1;31m" }, { "BLOCKED", "\033[35m" },
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (coloured() && !strcmp(codes[i].verdict, verdict))
			return codes[i].code;
	return "";
}

static const char *plain(const char *code)
{
	return *code ? "\033[0m" : "";
}

static void heading(const char *family)
{
	printf("%s-- %s%s\n", coloured() ? "\033[1m" : "", family, coloured() ? "\033[0m" : "");
}

/* ---- one result ---- */

static const char *outcome(const struct mv_probe_row *r, int cpl3)
{
	const char *o = r->outcome[cpl3];

	return *o && strcmp(o, "skipped") ? o : "-";
}

/*
 * A cell that ends before column `to`, or with one blank behind a longer text: at is where the line
 * has come to, so that the next cell takes up what this one needs too much.
 */
static int cell(int at, int to, const char *text)
{
	int width = to - at > (int)strlen(text) ? to - at : (int)strlen(text) + 1;

	printf("%-*s", width, text);
	return at + width;
}

/* With the longest verdict, 80 columns. */
static void print_measured(const char *feature, const char *cpuid, const char *instruction,
			   const char *shown, const char *cpl3, const char *cpl0)
{
	int at = cell(0, 17, feature);

	at = cell(at, 35, cpuid);
	at = cell(at, 49, instruction);
	at = cell(at, 55, shown);
	at = cell(at, 62, cpl3);
	cell(at, 69, cpl0);
}

static void print_row(const struct mv_probe_result *r, const struct mv_probe_row *row)
{
	const char *code = colour(row->verdict);

	if (r->predicted) {
		printf("%-19s %-13s %-5s %s%-*s%s%s\n", row->feature, row->instruction,
		       row->shown ? "yes" : "no", code, *row->why ? 12 : 0, row->verdict,
		       plain(code), row->why);
		return;
	}
	print_measured(row->feature, row->cpuid, row->instruction, row->shown ? "yes" : "no",
		       outcome(row, 1), outcome(row, 0));
	printf("%s%s%s%s\n", code, row->verdict, plain(code), row->unproven ? " *" : "");
}

unsigned mv_probe_count(const struct mv_probe_result *r, const char *verdict)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n; i++)
		n += !strcasecmp(r->row[i].verdict, verdict);
	return n;
}

/* What is none of those, so that they add up. */
static void print_others(const struct mv_probe_result *r)
{
	static const struct {
		const char *verdict, *name;
	} others[] = { { "ABORT", "abort" }, { "UNDECIDABLE", "undecidable" }, { "SKIP", "skipped" } };
	const char *before = "besides: ";

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		unsigned n = mv_probe_count(r, others[i].verdict);

		if (!n)
			continue;
		printf("%s%u %s", before, n, others[i].name);
		before = ", ";
	}
	if (*before == ',')
		printf("\n");
}

static void print_unproven(const struct mv_probe_result *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n; i++)
		n += r->row[i].unproven;
	if (!r->predicted && n)
		printf("* %u of them unproven: not yet seen both to succeed and to fail\n", n);
}

void mv_probe_print(const struct mv_probe_result *r)
{
	if (r->predicted) {
		printf("%-19s %-13s %-5s %-11s %s\n", "FEATURE", "INSTRUCTION", "SHOWN", "VERDICT",
		       "WHY");
	} else {
		print_measured("FEATURE", "CPUID", "INSTRUCTION", "SHOWN", "CPL 3", "CPL 0");
		printf("VERDICT\n");
	}
	for (const char *const *f = mv_probe_families; *f; f++) {
		bool any = false;

		for (unsigned i = 0; i < r->n; i++) {
			if (mv_probe_family(r->row[i].feature) != *f)
				continue;
			if (!any)
				heading(*f);
			any = true;
			print_row(r, &r->row[i]);
		}
	}
	printf("%u probes%s: %u ok, %u leak, %u enforced, %u absent, %u broken, %u blocked\n", r->n,
	       r->predicted ? " predicted" : "", mv_probe_count(r, "OK"), mv_probe_count(r, "LEAK"),
	       mv_probe_count(r, "ENFORCED"), mv_probe_count(r, "ABSENT"),
	       mv_probe_count(r, "BROKEN"), mv_probe_count(r, "BLOCKED"));
	print_others(r);
	print_unproven(r);
}

/* ---- two results ---- */

static const struct mv_probe_row none = { .verdict = "-" };

/* Call each for every row that is not the same in both; a row that one lacks is `none`. */
static unsigned differences(const struct mv_probe_result *a, const struct mv_probe_result *b,
			    void (*each)(void *ctx, const struct mv_probe_row *id,
					 const struct mv_probe_row *a, const struct mv_probe_row *b),
			    void *ctx)
{
	unsigned n = 0;

	for (unsigned i = 0; i < a->n + b->n; i++) {
		const struct mv_probe_row *id = i < a->n ? &a->row[i] : &b->row[i - a->n];
		const struct mv_probe_row *x = mv_probe_find(a, id->feature, id->instruction);
		const struct mv_probe_row *y = mv_probe_find(b, id->feature, id->instruction);

		if ((i >= a->n && x) ||
		    (x && y && !strcmp(x->verdict, y->verdict) && x->shown == y->shown))
			continue;
		n++;
		each(ctx, id, x ? x : &none, y ? y : &none);
	}
	return n;
}

static const char *seen(const struct mv_probe_row *r)
{
	return r == &none ? "" : r->shown ? "shown" : "hidden";
}

static void print_difference(void *ctx, const struct mv_probe_row *id, const struct mv_probe_row *a,
			     const struct mv_probe_row *b)
{
	const char *was = colour(a->verdict), *is = colour(b->verdict);

	(void)ctx;
	printf("%-19s %-13s %s%-8s%s %-6s -> %s%-8s%s %s\n", id->feature, id->instruction, was,
	       a->verdict, plain(was), seen(a), is, b->verdict, plain(is), seen(b));
}

unsigned mv_probe_print_diff(const struct mv_probe_result *a, const struct mv_probe_result *b)
{
	return differences(a, b, print_difference, NULL);
}

static struct json_object *side(const struct mv_probe_row *r)
{
	struct json_object *o;

	if (r == &none)
		return NULL;
	o = json_object_new_object();
	json_object_object_add(o, "verdict", json_object_new_string(r->verdict));
	json_object_object_add(o, "shown", json_object_new_boolean(r->shown));
	return o;
}

static void add_difference(void *ctx, const struct mv_probe_row *id, const struct mv_probe_row *a,
			   const struct mv_probe_row *b)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "feature", json_object_new_string(id->feature));
	json_object_object_add(o, "instruction", json_object_new_string(id->instruction));
	json_object_object_add(o, "was", side(a));
	json_object_object_add(o, "is", side(b));
	json_object_array_add(ctx, o);
}

struct json_object *mv_probe_diff_json(const struct mv_probe_result *a,
				       const struct mv_probe_result *b, unsigned *n)
{
	struct json_object *list = json_object_new_array();

	*n = differences(a, b, add_difference, list);
	return list;
}
