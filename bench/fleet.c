/* SPDX-License-Identifier: MIT */
/*
 * How large a fleet can be judged? 10,000 hosts and 1,000,000 VMs, made from the hosts below a folder:
 * each with a few features less, as BIOS settings, microcode and kernels have it; VMs under the shipped
 * default masks and overrides. The making is not counted; from the first host added to the last baseline is.
 * With --write FOLDER the same fleet becomes files there, for minivmm fleet itself (bench/fleet.py).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "fleet_load.h"
#include "host_json.h"

#define HOSTS 10000u
#define VMS 1000000u
#define KINDS 2400u	/* tables that are aimed at; how many differ is counted */
#define BASES 256u

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	x ^= x >> 29;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 32;
}

static void check(int rc, const struct mv_err *err)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s%s%s\n", err->file, *err->file ? ": " : "", err->msg);
	exit(1);
}

static void bar(void *ctx, const char *what, uint64_t done, uint64_t all)
{
	char text[31];

	(void)ctx;
	memset(text, '.', 30);
	memset(text, '#', (size_t)(all ? done * 30 / all : 0));
	text[30] = '\0';
	fprintf(stderr, "\r%-10s [%s]%s", what, text, done == all ? "\r\033[K" : "");
}

/* Kind k of a host: the base without up to three of its features that guests can see. */
static void make(struct mv_host *h, const struct mv_host *base, uint32_t k)
{
	uint64_t r = mix(k + 1);

	*h = *base;
	for (unsigned n = 0, tries = 0; n < 3 && tries < 200; tries++, r = mix(r + 1)) {
		const struct mv_feature *f = &mv_features[r % MV_NFEATURES];

		if (f->cls != MV_FC_PLAIN || f->leaf == 0xd || !mv_table_has(&h->kvm, mv_feature_id(f)))
			continue;
		mv_table_set_feature(&h->raw, mv_feature_id(f), false);
		mv_table_set_feature(&h->kvm, mv_feature_id(f), false);
		mv_featset_remove(&h->exec_ran, mv_feature_id(f));
		n++;
	}
}

/* The hosts of a folder that KVM could run guests on: 64-bit ones. */
static uint32_t bases(const char *path, struct mv_host *out)
{
	const struct mv_fleet_opts opts = { .load_host = mv_fleet_read_host };
	struct mv_fleet *f = mv_fleet_new(&opts);
	struct mv_err err = { 0 };
	struct mv_fleet_size s;
	uint32_t n = 0;

	check(f ? mv_fleet_load_hosts(f, path, &err) : -1, &err);
	mv_fleet_sizes(f, &s);
	for (uint32_t i = 0; i < s.hclasses && n < BASES; i++) {
		const struct mv_fleet_hclass *c = mv_fleet_hclass(f, i);

		if (mv_table_has(&c->host->kvm, MV_F_LM) &&
		    (c->vendor == MV_VENDOR_INTEL || c->vendor == MV_VENDOR_AMD))
			out[n++] = *c->host;
	}
	mv_fleet_free(f);
	return n;
}

/* The masks that VMs start under. */
static const char *const os[] = { "generic64", "linux64" };
static const char *const over[][2] = {
	{ NULL, NULL }, { "hide-sse41.mask", NULL }, { "hide-sse41-r.mask", NULL }, { "hide-ssse3.mask", NULL },
	{ "no-avx.mask", NULL }, { "hide-sse41.mask", "no-avx.mask" }, { "hide-ssse3.mask", "no-avx.mask" },
};
#define FOLDER "configs/overrides/"

/* VM i: the host that it is on, and which of these. */
static uint32_t vm(uint32_t i, const char **guest_os, const char *const **masks)
{
	uint64_t r = mix(i + 77);

	*masks = over[(r >> 32) % 7];
	*guest_os = os[(r >> 32) / 7 % 2];
	return (uint32_t)(r % HOSTS);
}

static struct mv_fleet_recipe recipe(struct mv_fleet *f, uint32_t cls, const char *guest_os,
				     const char *const *masks)
{
	char list[160];

	snprintf(list, sizeof(list), FOLDER "%s%s%s", masks[0] ? masks[0] : "", masks[1] ? "\n" FOLDER : "",
		 masks[1] ? masks[1] : "");
	return (struct mv_fleet_recipe){
		.snapshot = MV_FLEET_NONE, .host_file = MV_FLEET_NONE, .home = cls,
		.guest_os = mv_fleet_keep(f, guest_os), .default_mask = MV_FLEET_NONE,
		.baseline = MV_FLEET_NONE, .overrides = masks[0] ? mv_fleet_keep(f, list) : MV_FLEET_NONE,
		.ncpus = 1,
	};
}

/* ---- as files ---- */

static FILE *create(const char *folder, const char *name)
{
	char path[4200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

static void write_vm(FILE *f, uint32_t i, const char *masks_at)
{
	const char *guest_os, *const *masks;
	uint32_t home = vm(i, &guest_os, &masks);

	fprintf(f, "{\"vm\": \"vm-%07u\", \"host\": \"host-%05u\", \"guest-os\": \"%s\", \"mask\": [", i, home,
		guest_os);
	for (unsigned m = 0; m < 2 && masks[m]; m++)
		fprintf(f, "%s\"%s/%s\"", m ? ", " : "", masks_at, masks[m]);
	fprintf(f, "]}\n");
}

/* hosts/, a file each; vms.json, all VMs; vms/, a file each for the first HOSTS of them. */
static int write_files(const char *folder, const struct mv_host *kind)
{
	char name[64], *here = realpath(FOLDER, NULL);
	FILE *all, *one;

	if (!here) {
		perror(FOLDER);
		return 1;
	}

	for (uint32_t i = 0; i < HOSTS; i++) {
		struct json_object *o = mv_host_to_json(&kind[i % KINDS]);

		snprintf(name, sizeof(name), "hosts/host-%05u.json", i);
		one = create(folder, name);
		fputs(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), one);
		json_object_put(o);
		fclose(one);
		snprintf(name, sizeof(name), "vms/vm-%05u.vm", i);
		one = create(folder, name);
		write_vm(one, i, here);
		fclose(one);
	}
	all = create(folder, "vms.json");
	for (uint32_t i = 0; i < VMS; i++)
		write_vm(all, i, here);
	free(here);
	return fclose(all) ? 1 : 0;
}

/* Seconds of adding hosts, adding VMs, judging; of CPU time in all. */
static int write_json(const char *path, uint32_t dumps, const struct mv_fleet_size *s, const double *took, long mib)
{
	FILE *f = fopen(path, "w");

	if (!f) {
		perror(path);
		return -1;
	}
	fprintf(f, "{\"dumps\":%u,\"hosts\":%u,\"host-tables\":%u,\"vms\":%u,\"vm-requirements\":%u,\"pairs\":%llu,"
		   "\"clusters\":%u,\"seconds-hosts\":%.3f,\"seconds-vms\":%.3f,\"seconds-judging\":%.3f,"
		   "\"cpu-seconds\":%.3f,\"peak-mib\":%ld}\n",
		dumps, s->hosts, s->hclasses, s->vms, s->vclasses, (unsigned long long)s->pairs, s->clusters, took[0],
		took[1], took[2], took[3], mib);
	return fclose(f);
}

int main(int argc, char **argv)
{
	bool json = argc == 4 && !strcmp(argv[2], "--json");
	bool files = argc == 4 && !strcmp(argv[2], "--write");
	struct mv_fleet_opts opts = { .load_host = mv_fleet_read_host };
	struct mv_host *base = calloc(BASES, sizeof(*base)), *kind = calloc(KINDS, sizeof(*kind));
	struct mv_err err = { 0 };
	struct mv_fleet_size s;
	struct mv_fleet *f;
	struct rusage use;
	uint32_t n, dumps;
	double start, hosts, vms, judged, cpu;
	char name[32];

	if ((argc != 2 && !files && !json) || !base || !kind) {
		fprintf(stderr, "usage: fleet FOLDER-OF-HOSTS [--json FILE | --write FOLDER]\n");
		return 2;
	}
	n = dumps = bases(argv[1], base);
	if (!n) {
		fprintf(stderr, "%s: no host there\n", argv[1]);
		return 1;
	}
	for (uint32_t k = 0; k < KINDS; k++)
		make(&kind[k], &base[k % n], k / n);
	free(base);
	if (files)
		return write_files(argv[3], kind);
	if (isatty(STDERR_FILENO))
		opts.progress = bar;
	f = mv_fleet_new(&opts);
	start = now();
	for (uint32_t i = 0; i < HOSTS; i++) {
		snprintf(name, sizeof(name), "host-%05u", i);
		check(mv_fleet_add_host(f, name, name, &kind[i % KINDS], &err), &err);
	}
	hosts = now();
	for (uint32_t i = 0; i < VMS; i++) {
		const char *guest_os, *const *masks;
		uint32_t home = vm(i, &guest_os, &masks);
		struct mv_fleet_recipe how = recipe(f, mv_fleet_host(f, home)->cls, guest_os, masks);

		snprintf(name, sizeof(name), "vm-%07u", i);
		check(mv_fleet_add_vm(f, name, home, &how, &err), &err);
		if (opts.progress && (i & 0xfff) == 0)
			bar(NULL, "adding", i, VMS);
	}
	vms = now();
	check(mv_fleet_judge(f, &err), &err);
	judged = now();
	mv_fleet_sizes(f, &s);
	getrusage(RUSAGE_SELF, &use);
	cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	      (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
	printf("fleet: from %u dumps %u hosts (%u distinct tables) x %u VMs (%u distinct requirements)\n"
	       "  %llu pairs of classes, %u clusters, in %.2f s (%.2f s of CPU time): adding hosts %.2f, VMs %.2f, judging %.2f\n"
	       "  %.3g pairs/s judged, peak memory %ld MiB\n",
	       dumps, s.hosts, s.hclasses, s.vms, s.vclasses, (unsigned long long)s.pairs, s.clusters, judged - start, cpu,
	       hosts - start, vms - hosts, judged - vms, (double)s.pairs / (judged - vms), use.ru_maxrss / 1024);
	if (json && write_json(argv[3], dumps, &s, (double[]){ hosts - start, vms - hosts, judged - vms, cpu }, use.ru_maxrss / 1024))
		return 1;
	mv_fleet_free(f);
	free(kind);
	return 0;
}
