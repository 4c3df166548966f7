/* SPDX-License-Identifier: MIT */
/*
 * intercept [-r ROUNDS] [-i INTERRUPTS] [-t TRIES] [-s] [-o FILE.json] CPUIDS.elf: what each mechanism costs a guest at CPL 3
 * (guest-tests/cpuids.c), and whether it answers every CPUID between port accesses and interrupts. Mechanisms run
 * whether or not they are proved on this host: `minivmm run` refuses what is not. -s: without single-step, which
 * ends the kernel of some hosts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host_native.h"
#include "json.h"
#include "trial.h"

#define TIMEOUT_MS 120000

static unsigned tries = 3;	/* of which the fastest counts */

static const char planted_brand[16] = "minivmm's bench";

struct counts {
	unsigned long rounds, asked, ports, interrupts, ticks;
	unsigned wrong;
	bool ended;	/* the guest came to its last line */
};

/* What is measured: the guest's words. */
enum job { IDLE, CPUIDS, BETWEEN, NJOBS };

static int measure(const struct mv_kvm *kvm, const struct mv_host *h, const struct mv_image *img,
		   enum mv_intercept how, enum job job, unsigned rounds, unsigned irqs, struct counts *best,
		   struct mv_err *err)
{
	static const char *const extra[NJOBS] = { "", " cpuid", " cpuid ports" };
	static struct mv_trial t;
	static struct mv_table planted;
	uint32_t expect;
	char words[160];
	int rc = 0;

	memcpy(&expect, planted_brand, sizeof(expect));
	snprintf(words, sizeof(words), "rounds=%u expect=%u irqs=%u%s", rounds, expect, job == BETWEEN ? irqs : 0,
		 extra[job]);
	memset(best, 0, sizeof(*best));
	mv_trial_plant(&planted, h, planted_brand);
	for (unsigned i = 0; i < (job == BETWEEN ? 1 : tries) && rc == 0; i++) {
		struct counts c = { 0 };
		const char *line;

		rc = mv_trial_run(&t, kvm, h, img, words, how, &planted, TIMEOUT_MS, err);
		line = strstr(t.text, "cpuids: rounds ");
		c.ended = line && sscanf(line, "cpuids: rounds %lu asked %lu wrong %u ports %lu interrupts %lu ticks %lu",
					 &c.rounds, &c.asked, &c.wrong, &c.ports, &c.interrupts, &c.ticks) == 6;
		if (c.ended && (!best->ended || c.ticks < best->ticks))
			*best = c;
	}
	return rc;
}

static void print_ratio(const struct counts *c, const struct counts *base)
{
	if (c->ended && base->ended)
		printf(" %13.1f", (double)c->ticks / (double)base->ticks);
	else
		printf(" %13s", "-");
}

static void print_answered(const struct counts *c)
{
	char text[48] = "-";

	if (c->ended)
		snprintf(text, sizeof(text), "%lu/%lu", c->asked - c->wrong, c->asked);
	printf(" %13s", text);
}

static void report(struct counts c[MV_NINTERCEPTIONS][NJOBS], unsigned n)
{
	const struct counts *none = c[MV_INTERCEPTION_NONE];

	printf("%-10s %13s %13s %13s %13s %7s %7s\n", "MECHANISM", "x, NO CPUID", "x, CPUIDS", "ANSWERED", "BETWEEN",
	       "PORTS", "IRQS");
	for (unsigned how = 0; how < n; how++) {
		const struct counts *between = &c[how][BETWEEN];

		printf("%-10s", mv_intercept_name((enum mv_intercept)how));
		print_ratio(&c[how][IDLE], &none[IDLE]);
		print_ratio(&c[how][CPUIDS], &none[CPUIDS]);
		print_answered(&c[how][CPUIDS]);
		print_answered(between);
		printf(" %7lu %7lu\n", between->ports, between->interrupts);
	}
}

static struct json_object *counts_json(const struct counts *c)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "ended", json_object_new_boolean(c->ended));
	json_object_object_add(o, "asked", json_object_new_int64((int64_t)c->asked));
	json_object_object_add(o, "wrong", json_object_new_int64(c->wrong));
	json_object_object_add(o, "ports", json_object_new_int64((int64_t)c->ports));
	json_object_object_add(o, "interrupts", json_object_new_int64((int64_t)c->interrupts));
	json_object_object_add(o, "ticks", json_object_new_int64((int64_t)c->ticks));
	return o;
}

static int write_json(struct counts c[MV_NINTERCEPTIONS][NJOBS], unsigned n, const char *path)
{
	static const char *const job[NJOBS] = { "idle", "cpuids", "between" };
	struct json_object *all = json_object_new_object();
	int rc;

	for (unsigned how = 0; how < n; how++) {
		struct json_object *row = json_object_new_object();

		for (unsigned j = 0; j < NJOBS; j++)
			json_object_object_add(row, job[j], counts_json(&c[how][j]));
		json_object_object_add(all, mv_intercept_name((enum mv_intercept)how), row);
	}
	rc = json_object_to_file_ext(path, all, JSON_C_TO_STRING_PRETTY);
	json_object_put(all);
	return rc;
}

int main(int argc, char **argv)
{
	static struct counts c[MV_NINTERCEPTIONS][NJOBS];
	unsigned rounds = 1000, irqs = 20, n = MV_NINTERCEPTIONS;
	struct mv_host *h = calloc(1, sizeof(*h));
	const char *file = NULL;
	struct mv_image img;
	struct mv_err err = { 0 };
	struct mv_kvm kvm;
	int o, rc;

	while ((o = getopt(argc, argv, "r:i:o:st:")) != -1) {
		if (o == 'r')
			rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (o == 'i')
			irqs = (unsigned)strtoul(optarg, NULL, 10);
		else if (o == 't')
			tries = (unsigned)strtoul(optarg, NULL, 10);
		else if (o == 'o')
			file = optarg;
		else if (o == 's')
			n = MV_INTERCEPTION_STEP;
		else
			return 2;
	}
	if (optind + 1 != argc || !h)
		return 2;
	rc = mv_kvm_open(&kvm, &err);
	if (rc == 0)
		rc = mv_host_native(h, &kvm, &err);
	if (rc == 0)
		rc = mv_image_open(&img, argv[optind], &err);
	for (unsigned how = 0; how < n && rc == 0; how++)
		for (unsigned j = 0; j < NJOBS && rc == 0; j++)
			rc = measure(&kvm, h, &img, (enum mv_intercept)how, (enum job)j, rounds, irqs, &c[how][j], &err);
	if (rc) {
		fprintf(stderr, "intercept: %s\n", err.msg);
		return 1;
	}
	report(c, n);
	mv_image_finish(&img);
	mv_kvm_close(&kvm);
	free(h);
	return file && write_json(c, n, file) ? 1 : 0;
}
