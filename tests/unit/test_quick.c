/* SPDX-License-Identifier: MIT */
/* The quick verdict never disagrees with the one that explains. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quick.h"
#include "support.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Small differences of every kind that the rules know. */
static const char *const hosts[] = {
	"haswell", "haswell -movbe", "haswell +rtm", "haswell max-leaf=0xb", "haswell phys-bits=39",
	"haswell linear-bits=57", "haswell clflush-size=4", "haswell tsc=2600000",
	"haswell tsc=2600600", "haswell tsc=2700000 scaling", "haswell kernel=0",
	"haswell kernel=0 patch=3", "haswell exec+movbe -movbe", "haswell raw+vmx",
	"sandybridge", "penryn", "skylake-sp", "cascadelake", "icelake", "sapphirerapids",
	"sapphirerapids amx-tiles=4", "sapphirerapids phys-bits=52", "zen2", "zen3", "zen4",
	"zen3 layout=zen2", "icelake msr:10a=0x2b", "icelake msr:10a=0x6b", "icelake -md_clear",
	"icelake guest-phys-bits=46", "haswell model=1", "haswell family=7",
};

static const char *const masks[] = {
	"", "movbe=0", "movbe=R", "avx=0", "avx2=T", "rtm=F", "vmx=R", "xsave=0", "md_clear=x",
	"family=x", "field:phys-bits=36", "=R 1.0:ecx=H", "clflush=0",
};

static const char *const refusing = "refuse", *const accepting = "accept";

Test(quick, agrees_with_the_verdict)
{
	unsigned pairs = 0, unsure = 0, accepted = 0;

	for (size_t m = 0; m < COUNT(masks); m++) {
		for (size_t s = 0; s < COUNT(hosts); s++) {
			struct mv_quick_layout *l = calloc(1, sizeof(*l));
			struct mv_quick_vm *v = calloc(1, sizeof(*v));
			struct mv_quick_host *h = calloc(1, sizeof(*h));
			struct fixture f;

			fixture_init(&f);
			cr_assert_eq(make_policy(&f, hosts[s], masks[m], 1), 0);
			cr_assert_eq(mv_quick_layout_add(l, f.p), 0);
			mv_quick_vm_init(v, l, f.p);
			for (size_t d = 0; d < COUNT(hosts); d++) {
				enum mv_quick_answer q;

				make_host(f.dst, hosts[d]);
				mv_quick_host_init(h, l, f.dst);
				q = mv_quick_verdict(v, h);
				cr_assert_eq(mv_verdict(f.v, f.p, f.dst, NULL, &f.err), 0);
				pairs++;
				unsure += q == MV_QUICK_UNSURE;
				accepted += q == MV_QUICK_ACCEPT;
				if (q == MV_QUICK_UNSURE)
					continue;
				cr_expect_eq(q == MV_QUICK_ACCEPT, f.v->refusals == 0,
					     "mask '%s', '%s' to '%s': %s, and the verdict is '%s'",
					     masks[m], hosts[s], hosts[d],
					     q == MV_QUICK_ACCEPT ? accepting : refusing,
					     verdict_text(f.v));
			}
			fixture_finish(&f);
			free(l);
			free(v);
			free(h);
		}
	}
	/* Unsure is for the one mask that leaves a hazard open; and the rows must not all refuse. */
	cr_expect_eq(unsure, COUNT(hosts) * COUNT(hosts));
	cr_expect_gt(accepted, pairs / 30, "%u of %u accepted", accepted, pairs);
}

Test(quick, a_vm_without_interception_is_not_for_it)
{
	struct mv_quick_layout *l = calloc(1, sizeof(*l));
	struct mv_quick_vm *v = calloc(1, sizeof(*v));
	struct mv_quick_host *h = calloc(1, sizeof(*h));
	struct fixture f;

	fixture_init(&f);
	cr_assert_eq(make_policy(&f, "haswell", "", 1), 0);
	f.p->intercept = MV_INTERCEPTION_NONE;
	mv_quick_layout_add(l, f.p);
	mv_quick_vm_init(v, l, f.p);
	mv_quick_host_init(h, l, &f.p->source);
	cr_expect_eq(mv_quick_verdict(v, h), MV_QUICK_UNSURE);
	fixture_finish(&f);
	free(l);
	free(v);
	free(h);
}
