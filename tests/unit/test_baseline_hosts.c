/* SPDX-License-Identifier: MIT */
/*
 * Baselines of real hosts: every file that can be read in the folder which MV_HOSTS names (host
 * files or dumps of any known format), by vendor. Without that variable there is nothing to do.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "baseline.h"
#include "builtin.h"
#include "import.h"
#include "maskload.h"
#include "verdict.h"

#define HOSTS 1024

static struct mv_host *hosts[HOSTS];
static char names[HOSTS][256];
static uint32_t nhosts;

static const struct mv_host *set[HOSTS];
static uint32_t of[HOSTS], nset;
static struct mv_table *offers;
static struct mv_baseline *b;
static struct mv_policy *p;
static struct mv_notes *notes;
static struct mv_verdict *v;

static void setup(void)
{
	const char *folder = getenv("MV_HOSTS");
	struct dirent *e;
	DIR *d;

	if (!folder)
		cr_skip_test("MV_HOSTS names no folder with hosts");
	d = opendir(folder);
	cr_assert(d, "%s", folder);
	while ((e = readdir(d)) && nhosts < HOSTS) {
		char path[1024];
		struct mv_err err = { 0 };

		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		hosts[nhosts] = calloc(1, sizeof(*hosts[0]));
		if (mv_host_import(hosts[nhosts], path, NULL, &err)) {
			free(hosts[nhosts]);
			continue;
		}
		snprintf(names[nhosts++], sizeof(names[0]), "%s", e->d_name);
	}
	closedir(d);
	cr_assert_gt(nhosts, 0u, "no host in %s", folder);
	offers = calloc(nhosts, sizeof(*offers));
	b = calloc(1, sizeof(*b));
	p = calloc(1, sizeof(*p));
	notes = calloc(1, sizeof(*notes));
	v = calloc(1, sizeof(*v));
	cr_assert(offers && b && p && notes && v);
}

static void finish(void)
{
	for (uint32_t i = 0; i < nhosts; i++)
		free(hosts[i]);
	free(offers);
	free(b);
	free(p);
	free(notes);
	free(v);
}

TestSuite(baseline_hosts, .init = setup, .fini = finish, .timeout = 600);

/* The final mask for a vendor; 32-bit CPUs are welcome. */
static void load_mask(const char *guest_os, const char *baseline, enum mv_vendor vendor)
{
	struct mv_mask_request req = { .guest_os = guest_os, .baseline = baseline,
				       .vendor = vendor };
	struct mv_err err = { 0 };

	cr_assert_eq(mv_masks_load(p, &req, &err), 0, "%s", err.msg);
}

static bool starts(const struct mv_host *h, const struct mv_mask *final)
{
	struct mv_err err = { 0 };

	p->source = *h;
	p->final = *final;
	p->intercept = MV_INTERCEPTION_KERNEL;
	cr_assert_eq(mv_apply(p, 2, notes, &err), 0, "%s", err.msg);
	return !notes->refusals;
}

static bool accepts(const struct mv_host *dst, enum mv_verdict_mode mode)
{
	struct mv_verdict_opts o = { .mode = mode };
	struct mv_err err = { 0 };

	cr_assert_eq(mv_verdict(v, p, dst, &o, &err), 0, "%s", err.msg);
	return !v->refusals;
}

/* Has h what the number lines promise to the guest of p? */
static bool numbers_fit(const struct mv_host *h)
{
	struct mv_verdict_opts o = { .cold = true };
	struct mv_err err = { 0 };

	cr_assert_eq(mv_verdict(v, p, h, &o, &err), 0, "%s", err.msg);
	return !v->refusals;
}

static bool same_vendor(const struct mv_host *x, const struct mv_host *y)
{
	char s[13], t[13];

	mv_table_vendor_string(&x->raw, s);
	mv_table_vendor_string(&y->raw, t);
	return !strcmp(s, t);
}

/* The property over the set; false if there is no baseline for a reason that is told. */
static bool holds(const char *guest_os)
{
	struct mv_err err = { 0 };
	struct mv_mask *def = malloc(sizeof(*def));
	struct mv_mask_reg *r;
	int rc;

	load_mask(guest_os, NULL, mv_table_vendor(&set[0]->raw));
	*def = p->final;
	r = mv_mask_add(def, 0x80000001, 0, MV_EDX, MV_VENDOR_OTHER);
	mv_mask_reg_set(r, 29, MV_SYM_H, 0);
	rc = mv_baseline(b, def, set, nset, offers, NULL, &err);
	free(def);
	if (rc) {
		cr_expect_eq(rc, -MV_E_REFUSED, "%s", err.msg);
		for (uint32_t i = 0; i < b->nrefusals && i < MV_BASELINE_REFUSALS; i++)
			cr_expect(b->refusals[i].kind == MV_BR_TSC ||
				  b->refusals[i].kind == MV_BR_INTERCEPTION, "%s", err.msg);
		return false;
	}
	for (uint32_t i = 0; i < nset; i++) {
		cr_assert(starts(set[i], &b->mask), "%s", names[of[i]]);
		for (uint32_t j = 0; j < nset; j++)
			for (int mode = 0; mode < 2; mode++)
				cr_assert(accepts(set[j], (enum mv_verdict_mode)mode),
					  "%s to %s: %s %s", names[of[i]], names[of[j]],
					  mv_mismatch_subject(&v->m[0]), v->m[0].text);
	}
	return true;
}

static void add(uint32_t i)
{
	set[nset] = hosts[i];
	of[nset++] = i;
}

Test(baseline_hosts, every_pair_of_a_vendor_is_accepted)
{
	unsigned made = 0;

	for (uint32_t i = 0; i < nhosts; i++) {
		bool first = true;

		for (uint32_t k = 0; k < i; k++)
			first &= !same_vendor(hosts[i], hosts[k]);
		if (!first)
			continue;
		nset = 0;
		for (uint32_t k = i; k < nhosts; k++)
			if (same_vendor(hosts[i], hosts[k]))
				add(k);
		made += holds("generic64");
		made += holds("linux64");
	}
	cr_expect_gt(made, 0u);
}

Test(baseline_hosts, every_pair_of_some_of_a_vendor_is_accepted)
{
	uint32_t state = 1;

	for (unsigned round = 0; round < 200; round++) {
		uint32_t first = (state = state * 1664525 + 1013904223) >> 8;

		nset = 0;
		add(first % nhosts);
		for (uint32_t k = 0; k < nhosts && nset < 8; k++) {
			state = state * 1664525 + 1013904223;
			if (state >> 28 == 0 && k != of[0] && same_vendor(hosts[of[0]], hosts[k]))
				add(k);
		}
		holds(round % 2 ? "linux64" : "generic64");
	}
}

/* Where hosts can start a VM under a named baseline, they are one another's destinations. */
Test(baseline_hosts, named_baselines_join_the_hosts_that_have_them)
{
	char list[1024], *name, *save;
	struct mv_mask *final = malloc(sizeof(*final));
	unsigned pairs = 0;

	mv_baseline_names(list, sizeof(list));
	for (name = strtok_r(list, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		enum mv_vendor vendor = *name == 'i' ? MV_VENDOR_INTEL : MV_VENDOR_AMD;

		nset = 0;
		for (uint32_t i = 0; i < nhosts; i++) {
			if (mv_table_vendor(&hosts[i]->raw) != vendor)
				continue;
			load_mask("generic64", name, vendor);
			*final = p->final;
			if (starts(hosts[i], final) && numbers_fit(hosts[i]))
				add(i);
		}
		if (getenv("MV_VERBOSE"))
			fprintf(stderr, "%s: %u hosts\n", name, nset);
		for (uint32_t i = 0; i < nset; i++) {
			cr_assert(starts(set[i], final));
			for (uint32_t j = 0; j < nset; j++, pairs++)
				if (!accepts(set[j], MV_VERDICT_GUIDE))
					for (uint32_t k = 0; k < v->n; k++)
						cr_expect(v->m[k].rule == MV_RULE_TSC ||
								  v->m[k].rule == MV_RULE_XSAVE,
							  "%s: %s to %s: %s (%x.%x %d) %s", name,
							  names[of[i]], names[of[j]],
							  mv_mismatch_subject(&v->m[k]),
							  v->m[k].leaf, v->m[k].subleaf,
							  v->m[k].reg, v->m[k].text);
		}
	}
	cr_expect_gt(pairs, 0u);
	free(final);
}
