/* SPDX-License-Identifier: MIT */
/*
 * How fast is the core? Verdicts a second on one CPU for full masks with all structural rules, and
 * from the text of masks to a guest table. Medians of several rounds; ratios are against a copy of
 * the same bytes, so that they mean something on another machine.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apply.h"
#include "file.h"
#include "import.h"
#include "maskfile.h"
#include "quick.h"

#define HOSTS 512
#define VMS 128
#define ROUNDS 21

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* What a round took, for each of them; sorted in the end. */
struct took {
	const char *what, *unit;
	double in_second;	/* so many of the unit make a second; or it is a rate */
	bool rate;
	double s[ROUNDS];
};

static double in_unit(const struct took *t, unsigned i)
{
	return t->rate ? 1 / t->s[ROUNDS - 1 - i] : t->s[i] * t->in_second;
}

static void *get(size_t size)
{
	void *p = calloc(1, size);

	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return p;
}

static char *default_text, *override_text;
static size_t default_len, override_len;

static struct mv_mask default_mask;

static void check(int rc, const struct mv_err *err)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s\n", err->file, err->msg);
	exit(1);
}

/* Once for all VMs of a guest OS. */
static void parse_default(void)
{
	const struct mv_mask_reader reader = { .kind = MV_MASK_DEFAULT, .file = "default" };
	struct mv_err err = { 0 };

	check(mv_mask_parse(&default_mask, default_text, default_len, &reader, &err), &err);
}

/* For each VM. */
static void parse(struct mv_policy *p)
{
	const struct mv_mask_reader reader = { .kind = MV_MASK_OVERRIDE, .file = "override",
					       .file_index = 1 };
	static struct mv_mask over;
	struct mv_err err = { 0 };

	check(mv_mask_parse(&over, override_text, override_len, &reader, &err), &err);
	check(mv_mask_merge(&p->final, &default_mask, &over, mv_table_vendor(&p->source.raw), &err),
	      &err);
}

/* Host i: the base with one or two features toggled, as hosts of a fleet differ. */
static void vary(struct mv_host *h, const struct mv_host *base, unsigned i)
{
	*h = *base;
	for (unsigned k = 0; k < i % 3; k++) {
		const struct mv_feature *f = &mv_features[(i * 7919 + k * 104729) % MV_NFEATURES];

		if (f->cls != MV_FC_PLAIN || !mv_table_find(&h->raw, f->leaf, f->subleaf))
			continue;
		mv_table_set_feature(&h->raw, mv_feature_id(f), i & 1);
		mv_table_set_feature(&h->kvm, mv_feature_id(f), i & 1);
	}
}

static void report(const struct took *t, FILE *json)
{
	char spread[64];

	snprintf(spread, sizeof(spread), "(%.3g-%.3g)", in_unit(t, ROUNDS / 4), in_unit(t, ROUNDS * 3 / 4));
	printf("%-44s %10.3g %-20s %s\n", t->what, in_unit(t, ROUNDS / 2), spread, t->unit);
	if (json)
		fprintf(json, ",\n{\"what\":\"%s\",\"unit\":\"%s\",\"median\":%g,\"quartiles\":[%g,%g]}", t->what, t->unit,
			in_unit(t, ROUNDS / 2), in_unit(t, ROUNDS / 4), in_unit(t, ROUNDS * 3 / 4));
}

int main(int argc, char **argv)
{
	struct mv_quick_layout *layout = get(sizeof(*layout));
	struct mv_quick_host *qh = get(HOSTS * sizeof(*qh));
	struct mv_quick_vm *qv = get(VMS * sizeof(*qv));
	struct mv_host *base = get(sizeof(*base)), *h = get(sizeof(*h));
	struct mv_policy *p = get(sizeof(*p));
	struct mv_notes *notes = get(sizeof(*notes));
	struct mv_verdict *v = get(sizeof(*v));
	enum { QUICK, FULL, APPLY, DEFAULT, COPY, KINDS };
	static struct took t[KINDS] = {
		[QUICK] = { "quick verdicts a second, one CPU", "pairs/s", .rate = true },
		[FULL] = { "explained verdict", "us", 1e6 },
		[APPLY] = { "a VM: parse its override, merge, apply", "us", 1e6 },
		[DEFAULT] = { "a guest OS: parse its default mask", "us", 1e6 },
		[COPY] = { "copying a host's words", "us", 1e6 },
	};
	FILE *json = NULL;
	volatile unsigned sum = 0;
	unsigned accepted = 0, unsure = 0;
	struct mv_err err = { 0 };

	if (argc < 4 || argc > 5 || mv_host_import(base, argv[1], NULL, &err) ||
	    mv_read_file(argv[2], 1 << 20, &default_text, &default_len, &err) ||
	    mv_read_file(argv[3], 1 << 20, &override_text, &override_len, &err)) {
		fprintf(stderr, "usage: core HOST.json DEFAULT.mask OVERRIDE.mask [FILE.json]%s%s\n",
			*err.msg ? ": " : "", err.msg);
		return 2;
	}
	parse_default();
	/* Two passes: the layout has to have every VM before anything is compiled with it. */
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < VMS; i++) {
			vary(&p->source, base, i);
			p->intercept = MV_INTERCEPTION_KERNEL;
			parse(p);
			if (mv_apply(p, 1, notes, &err) || mv_quick_layout_add(layout, p))
				return 1;
			if (pass)
				mv_quick_vm_init(&qv[i], layout, p);
		}
	}
	for (unsigned i = 0; i < HOSTS; i++) {
		vary(h, base, i);
		mv_quick_host_init(&qh[i], layout, h);
	}
	for (unsigned r = 0; r < ROUNDS; r++) {
		double start = now();

		for (unsigned k = 0; k < 20; k++) {
			accepted = unsure = 0;
			for (unsigned i = 0; i < VMS; i++)
				for (unsigned j = 0; j < HOSTS; j++) {
					enum mv_quick_answer a = mv_quick_verdict(&qv[i], &qh[j]);

					accepted += a == MV_QUICK_ACCEPT;
					unsure += a == MV_QUICK_UNSURE;
				}
		}
		t[QUICK].s[r] = (now() - start) / (20.0 * VMS * HOSTS);
		start = now();
		for (unsigned k = 0; k < 200; k++) {
			parse(p);
			mv_apply(p, 1, notes, &err);
			sum += p->guest.n;
		}
		t[APPLY].s[r] = (now() - start) / 200;
		start = now();
		for (unsigned k = 0; k < 50; k++)
			parse_default();
		t[DEFAULT].s[r] = (now() - start) / 50;
		start = now();
		for (unsigned k = 0; k < 2000; k++) {
			mv_verdict(v, p, h, NULL, &err);
			sum += v->refusals;
		}
		t[FULL].s[r] = (now() - start) / 2000;
		start = now();
		for (unsigned k = 0; k < 2000; k++) {
			memcpy(&qh[0], &qh[1 + k % (HOSTS - 1)], sizeof(qh[0]));
			sum += qh[0].offer[k % MV_QUICK_WORDS];
		}
		t[COPY].s[r] = (now() - start) / 2000;
	}
	for (unsigned k = 0; k < KINDS; k++)
		qsort(t[k].s, ROUNDS, sizeof(double), by_value);
	if (argc == 5 && !(json = fopen(argv[4], "w"))) {
		perror(argv[4]);
		return 1;
	}
	printf("core: medians (quartiles) of %d rounds, %u words a pair, %u of %u pairs accepted, %u unsure\n",
	       ROUNDS, layout->n, accepted, VMS * HOSTS, unsure);
	if (json)
		fprintf(json, "[{\"rounds\":%d,\"words\":%u,\"pairs\":%u,\"accepted\":%u}", ROUNDS, layout->n, VMS * HOSTS, accepted);
	for (unsigned k = 0; k < KINDS; k++)
		report(&t[k], json);
	printf("a quick verdict takes %.2f times as long as copying a host's words\n",
	       t[QUICK].s[ROUNDS / 2] / t[COPY].s[ROUNDS / 2]);
	if (json)
		fputs("]\n", json);
	return json && fclose(json) ? 1 : 0;
}
