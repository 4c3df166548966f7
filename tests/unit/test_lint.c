/* SPDX-License-Identifier: MIT */
/* mask lint: what a mask does that its author may not have meant. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "leak.h"
#include "lint.h"
#include "psabi.h"
#include "support.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Findings as text: "kind FEATURE<CAUSE", blank-separated. */
static const char *lint_text(const struct fixture *f, bool vmx)
{
	static char text[4096];
	struct mv_lint l[64];
	size_t n = mv_lint(f->p, f->notes, vmx, l, 64), used = 0;

	*text = '\0';
	for (size_t i = 0; i < n && i < 64; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %s%s%s",
					 used ? " " : "", mv_lint_name(l[i].kind), l[i].feature->name,
					 l[i].cause ? "<" : "", l[i].cause ? l[i].cause->name : "");
	return text;
}

static const struct {
	const char *name, *host, *mask;
	bool vmx;
	const char *want;
} rows[] = {
	{ "nothing hidden, nothing said", "haswell", "", true, "" },
	{ "a hidden instruction that nothing disables", "haswell", "movbe=0", true,
	  "hidden-only MOVBE" },
	{ "AVX2 hidden while AVX keeps its state on", "haswell", "avx2=0", true,
	  "split AVX2<AVX signature AVX2" },
	{ "AVX hidden with all that needs it: enforced", "haswell", "avx=0", true, "signature AVX" },
	{ "RDTSCP alone: enforced", "haswell", "rdtscp=0", true, "" },
	{ "RDTSCP hidden, RDPID shown", "icelake", "rdtscp=0", true,
	  "split RDTSCP<RDPID" },
	{ "RDRAND is enforced on VMX", "haswell", "rdrand=0", true, "" },
	{ "RDRAND is not on SVM", "zen3", "rdrand=0", false, "hidden-only RDRAND" },
	{ "one AVX-512 subset alone", "skylake-sp", "avx512dq=0", true, "split AVX512DQ<AVX512F" },
	{ "forced on a host without it", "penryn", "sse4.2=1", true, "forced SSE4.2" },
	{ "forced without its parent", "haswell", "avx=0 avx2=1", true,
	  "orphan AVX2<AVX signature AVX" },
	{ "a pinned model promises nothing", "haswell", "avx=0 model=0 ext-model=0", true, "" },
	{ "lacking is not hiding", "penryn", "avx=0", true, "" },
	{ "what executes unannounced is not the mask's doing", "penryn exec+rdseed", "", true, "" },
	{ "unless the mask hides it", "penryn exec+rdseed", "rdseed=0", false, "hidden-only RDSEED" },
};

Test(lint, rows)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;

		fixture_init(&f);
		cr_assert_eq(make_policy(&f, rows[i].host, rows[i].mask, 1), 0, "row %s: %s",
			     rows[i].name, f.err.msg);
		cr_expect_str_eq(lint_text(&f, rows[i].vmx), rows[i].want, "row %s: '%s'",
				 rows[i].name, lint_text(&f, rows[i].vmx));
		fixture_finish(&f);
	}
}

static const struct {
	const char *name, *host, *mask;
	unsigned level;
} levels[] = {
	{ "Merom stops before SSE4", "merom", "", 1 },
	{ "Sandy Bridge is still v2", "sandybridge", "", 2 },
	{ "Haswell is v3", "haswell", "", 3 },
	{ "Haswell without MOVBE is v2", "haswell", "movbe=0", 2 },
	{ "Skylake-SP is v4", "skylake-sp", "", 4 },
	{ "v4 needs all of v3", "skylake-sp", "bmi2=0", 2 },
	{ "no CX8, no level", "haswell", "cx8=0", 0 },
};

Test(lint, psabi_levels)
{
	for (size_t i = 0; i < COUNT(levels); i++) {
		struct fixture f;

		fixture_init(&f);
		cr_assert_eq(make_policy(&f, levels[i].host, levels[i].mask, 1), 0);
		cr_expect_eq(mv_psabi_level(&f.p->guest), levels[i].level, "row %s: v%u",
			     levels[i].name, mv_psabi_level(&f.p->guest));
		fixture_finish(&f);
	}
}

Test(lint, more_findings_than_room_are_counted)
{
	struct mv_lint one[1];
	struct fixture f;

	fixture_init(&f);
	cr_assert_eq(make_policy(&f, "haswell", "movbe=0 popcnt=0 aes=0", 1), 0);
	cr_expect_eq(mv_lint(f.p, f.notes, true, one, 1), 3);
	cr_expect_str_eq(one[0].feature->name, "MOVBE");
	fixture_finish(&f);
}
