/* SPDX-License-Identifier: MIT */
/*
 * Hosts that are known in part: an unknown bit refuses under T, F, H and R, and a structural rule with
 * nothing to compare says so. support.h has the notation.
 */
#include <criterion/criterion.h>

#include "quick.h"
#include "support.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct row {
	const char *name;
	const char *src, *mask, *dst;
	const char *guide, *subset;
} rows[] = {
	{ "T", "haswell", "sse4.1=T", "haswell untold-sse4.1", "symbol 1.0:ecx[19]?",
	  "symbol 1.0:ecx[19]?" },
	{ "T looks at the destination alone", "haswell untold-sse4.1", "sse4.1=T", "haswell", "", "" },
	{ "T of a bit that is told", "haswell", "sse4.1=T", "haswell untold-sha", "symbol 7.0:ebx[29]?~", "" },
	{ "F, though the table has 0", "haswell", "sha=F", "haswell untold-sha", "symbol 7.0:ebx[29]?",
	  "symbol 7.0:ebx[29]?" },
	{ "H, though the tables are equal", "haswell", "", "haswell untold-sse4.1", "symbol 1.0:ecx[19]?",
	  "symbol 1.0:ecx[19]?" },
	{ "H, unknown on the source", "haswell untold-sse4.1", "", "haswell", "symbol 1.0:ecx[19]?",
	  "symbol 1.0:ecx[19]?" },
	{ "H of what the guest does not see", "haswell", "", "haswell untold-sha", "symbol 7.0:ebx[29]?~", "" },
	{ "R", "haswell", "sse4.1=R", "haswell untold-sse4.1", "symbol 1.0:ecx[19]?",
	  "symbol 1.0:ecx[19]?" },
	{ "R of what the source can't execute", "haswell", "sha=R", "haswell untold-sha",
	  "symbol 7.0:ebx[29]?~", "" },
	{ "R, unknown on the source", "haswell untold-sha", "sha=R", "haswell", "symbol 7.0:ebx[29]?",
	  "symbol 7.0:ebx[29]?" },
	{ "0, 1 and x ask nobody", "haswell", "sse4.1=0 sse4.2=1 aes=x",
	  "haswell untold-sse4.1 untold-sse4.2 untold-aes", "", "" },
	{ "a field under H", "haswell", "family=H", "haswell untold-family", "symbol 1.0:eax[11-8]?",
	  "symbol 1.0:eax[11-8]?" },
};

Test(unknown, symbols)
{
	for (const struct row *r = rows; r < rows + COUNT(rows); r++) {
		struct mv_verdict_opts opts = { .mode = MV_VERDICT_GUIDE };
		struct fixture f;

		fixture_init(&f);
		cr_expect_eq(make_verdict(&f, r->src, r->mask, r->dst, &opts), 0, "row %s", r->name);
		cr_expect_str_eq(verdict_text(f.v), r->guide, "row %s: %s", r->name, verdict_text(f.v));
		opts.mode = MV_VERDICT_SUBSET;
		cr_expect_eq(mv_verdict(f.v, f.p, f.dst, &opts, NULL), 0, "row %s", r->name);
		cr_expect_str_eq(verdict_text(f.v), r->subset, "row %s, subset: %s", r->name,
				 verdict_text(f.v));
		fixture_finish(&f);
	}
}

Test(unknown, reserved_bits)
{
	struct fixture f;

	fixture_init(&f);
	cr_expect_eq(make_verdict(&f, "haswell", "sha=0 1.0:ecx[16]=H", "haswell untold-sha", NULL), 0);
	cr_expect_str_eq(verdict_text(f.v), "symbol 1.0:ecx[16]?", "%s", verdict_text(f.v));
	fixture_finish(&f);
}

static const struct {
	const char *name, *src, *dst;
	uint32_t rules;
} unchecked_rows[] = {
	{ "all told", "haswell tsc=2000000", "haswell tsc=2000000", 0 },
	{ "phys-bits", "haswell tsc=2000000", "haswell tsc=2000000 untold-phys-bits", 1u << MV_RULE_PHYS_BITS },
	{ "phys-bits of the source", "haswell tsc=2000000 untold-phys-bits", "haswell tsc=2000000",
	  1u << MV_RULE_PHYS_BITS },
	{ "clflush", "haswell tsc=2000000", "haswell tsc=2000000 untold-clflush-size", 1u << MV_RULE_CLFLUSH },
	{ "vendor", "haswell tsc=2000000", "zen4 tsc=2000000 untold-vendor-ebx", 1u << MV_RULE_VENDOR },
	{ "tsc", "haswell tsc=2000000", "haswell untold-clflush-size",
	  1u << MV_RULE_CLFLUSH | 1u << MV_RULE_TSC },
};

/* A partial description has no XSAVE layout, no KVM controls and, as a destination, no proof, ever. */
Test(unknown, structural_rules_are_said_not_to_be_checked)
{
	for (size_t i = 0; i < COUNT(unchecked_rows); i++) {
		struct fixture f;
		uint32_t want = unchecked_rows[i].rules;

		fixture_init(&f);
		cr_expect_eq(make_verdict(&f, unchecked_rows[i].src, "=0 clflush=1", unchecked_rows[i].dst, NULL), 0);
		if (f.dst->partial || f.p->source.partial)
			want |= 1u << MV_RULE_KVM;
		if (f.dst->partial)
			want |= 1u << MV_RULE_INTERCEPTION;
		f.v->unchecked &= ~(1u << MV_RULE_XSAVE);
		cr_expect_eq(f.v->unchecked, want, "row %s: %x, not %x", unchecked_rows[i].name,
			     f.v->unchecked, want);
		fixture_finish(&f);
	}
}

Test(unknown, quick_verdicts_leave_it_to_the_other)
{
	struct mv_quick_layout layout = { 0 };
	struct mv_quick_host host;
	struct mv_quick_vm vm;
	struct fixture f;

	fixture_init(&f);
	cr_assert_eq(make_verdict(&f, "haswell", "sse4.1=T", "haswell untold-sha", NULL), 0);
	cr_assert_eq(mv_quick_layout_add(&layout, f.p), 0);
	mv_quick_vm_init(&vm, &layout, f.p);
	mv_quick_host_init(&host, &layout, f.dst);
	cr_expect_eq(mv_quick_verdict(&vm, &host), MV_QUICK_UNSURE);
	mv_quick_host_init(&host, &layout, &f.p->source);
	cr_expect_eq(mv_quick_verdict(&vm, &host), MV_QUICK_ACCEPT);
	f.p->source.partial = true;
	mv_quick_vm_init(&vm, &layout, f.p);
	cr_expect_eq(mv_quick_verdict(&vm, &host), MV_QUICK_UNSURE);
	fixture_finish(&f);
}
