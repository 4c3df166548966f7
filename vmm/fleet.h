/* SPDX-License-Identifier: MIT */
/*
 * A fleet: every VM against every host. Hosts whose tables a verdict can't tell apart are one class,
 * VMs that ask the same of a destination are another, and only pairs of classes are compared. A
 * class keeps one host, or the recipe of one VM: what explains a refusal is made again when asked for.
 */
#ifndef MV_VMM_FLEET_H
#define MV_VMM_FLEET_H

#include "apply.h"
#include "baseline.h"
#include "quick.h"

#define MV_FLEET_NONE UINT32_MAX

/* Reads a host file of any format. */
typedef int mv_fleet_reader(struct mv_host *h, const char *path, struct mv_err *err);

struct mv_fleet_opts {
	struct mv_verdict_opts verdict;	/* cold and ignore as for mv_verdict */
	const char *guest_os;		/* default mask of the reference VM; NULL: generic64 */
	unsigned threads;		/* 0: as many as there are CPUs */
	bool known_hosts_only;	/* VMs of other hosts are counted and left out, not problems */
	mv_fleet_reader *load_host;	/* mv_fleet_read_host, or one that says more */
	/* Called now and then from the thread that called mv_fleet_judge; may be NULL. */
	void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t all);
	void *ctx;
};

struct mv_fleet_host {
	uint32_t name, path;	/* mv_fleet_text; name: the file's, without folder and ending */
	uint32_t own_name;	/* what the host calls itself */
	uint32_t cls;
	uint32_t vms, stuck;	/* VMs that are there; those of them that no other host accepts */
	uint32_t tsc_khz;
	bool assumed;		/* known by a dump: no KVM was asked there */
};

struct mv_fleet_hclass {
	struct mv_host *host;	/* one of them */
	uint32_t hosts;		/* how many */
	uint32_t first;		/* that one's index */
	uint32_t cluster;
	enum mv_vendor vendor;
};

/* How a VM comes to be: from a snapshot, or started on a host under masks. */
struct mv_fleet_recipe {
	uint32_t snapshot;	/* mv_fleet_text of its path; NONE: the rest counts */
	uint32_t host_file;	/* text of the host file it starts on; NONE: class `home` */
	uint32_t home;		/* host class */
	uint32_t guest_os, default_mask, baseline;	/* texts or NONE */
	uint32_t overrides;	/* text, paths separated by line feeds, or NONE */
	uint32_t ncpus;
	uint32_t tsc_khz;	/* the fleet's to fill in: its own host's, where that matters */
};

struct mv_fleet_vclass {
	struct mv_fleet_recipe recipe;	/* of the first of them */
	struct mv_quick_vm *quick;	/* NULL: only the full verdict can tell */
	uint32_t vms, first;
	uint32_t accepted;		/* hosts, not classes, that would take it */
	enum mv_vendor vendor;
	bool no_start;			/* its own host would not even start it */
};

struct mv_fleet_vm {
	uint32_t name;
	uint32_t home;	/* host, or NONE: none of the fleet's */
	uint32_t cls;
	uint32_t gain;	/* index into gains: what it would see after a power cycle; NONE: nothing */
};

/* What could not be used, or not be taken at its word; the rest goes on. */
struct mv_fleet_problem {
	uint32_t path, line;	/* line 0: about the whole file */
	uint32_t text, hint;	/* text begins with a place of its own if another file is to blame */
	int code;		/* enum mv_err_code */
};

/* Hosts that accept each other's reference VM: one of `class` for each. */
struct mv_fleet_cluster {
	uint32_t hosts, classes;
	enum mv_vendor vendor;
};

/* The baseline of all hosts of a vendor. */
struct mv_fleet_baseline {
	enum mv_vendor vendor;
	uint32_t n, hosts;	/* classes and hosts */
	uint32_t *classes;
	struct mv_table *offers;
	const struct mv_host **list;
	struct mv_baseline *b;	/* refusals: b->nrefusals */
	uint32_t vms;		/* VMs of that vendor that some host of it refuses: they need a power cycle */
};

struct mv_fleet;

struct mv_fleet *mv_fleet_new(const struct mv_fleet_opts *opts);
void mv_fleet_free(struct mv_fleet *f);	/* accepts NULL */

/*
 * Add a host; h is copied if no host like it was there. -MV_E_INPUT: there is a host of that name.
 * All hosts come before the first VM.
 */
int mv_fleet_add_host(struct mv_fleet *f, const char *name, const char *path, const struct mv_host *h,
		      struct mv_err *err);
uint32_t mv_fleet_find_host(const struct mv_fleet *f, const char *name);

/* Keep a text; the same text has the same number. */
uint32_t mv_fleet_keep(struct mv_fleet *f, const char *text);
const char *mv_fleet_text(const struct mv_fleet *f, uint32_t text);

/*
 * Add a VM that comes about by that recipe. home: the host it is on, or NONE: for a snapshot the one
 * of its source's name then. -MV_E_INPUT: there is a VM of that name, or its masks or snapshot can't
 * be read.
 */
int mv_fleet_add_vm(struct mv_fleet *f, const char *name, uint32_t home,
		    const struct mv_fleet_recipe *recipe, struct mv_err *err);

/* Is a VM of a host that is not the fleet's to be left out? Counts it if so. */
bool mv_fleet_leave_out(struct mv_fleet *f);
mv_fleet_reader *mv_fleet_host_reader(const struct mv_fleet *f);

/* Note what could not be used: all of path, or what its line describes. */
int mv_fleet_problem(struct mv_fleet *f, const char *path, uint32_t line, const struct mv_err *err);

/* Tell the progress function how much of a file is read. */
void mv_fleet_reading(const struct mv_fleet *f, uint64_t done, uint64_t all);

/* Compare all, find clusters, baselines and drains. */
int mv_fleet_judge(struct mv_fleet *f, struct mv_err *err);

/* ---- what came of it; all of it stays the fleet's ---- */

struct mv_fleet_size {
	uint32_t hosts, hclasses, vms, vclasses, clusters, baselines, problems, gains;
	uint32_t refused;	/* VMs that some host refuses */
	uint32_t stuck;		/* VMs that no host but their own accepts */
	uint32_t elsewhere;	/* VMs left out because of known_hosts_only */
	uint64_t pairs;		/* compared */
};
void mv_fleet_sizes(const struct mv_fleet *f, struct mv_fleet_size *s);

const struct mv_fleet_host *mv_fleet_host(const struct mv_fleet *f, uint32_t i);
const struct mv_fleet_hclass *mv_fleet_hclass(const struct mv_fleet *f, uint32_t i);
const struct mv_fleet_vm *mv_fleet_vm(const struct mv_fleet *f, uint32_t i);
const struct mv_fleet_vclass *mv_fleet_vclass(const struct mv_fleet *f, uint32_t i);
const struct mv_fleet_cluster *mv_fleet_cluster(const struct mv_fleet *f, uint32_t i);
const struct mv_fleet_baseline *mv_fleet_baseline(const struct mv_fleet *f, uint32_t i);
const struct mv_fleet_problem *mv_fleet_problem_at(const struct mv_fleet *f, uint32_t i);
const struct mv_featset *mv_fleet_gain(const struct mv_fleet *f, uint32_t i);

/* Does a host of class h take a VM of class v; a reference VM started on class a, on class b? */
bool mv_fleet_accepts(const struct mv_fleet *f, uint32_t v, uint32_t h);
bool mv_fleet_moves(const struct mv_fleet *f, uint32_t a, uint32_t b);
/* The options that verdicts of this fleet are made with. */
void mv_fleet_verdict_opts(const struct mv_fleet *f, struct mv_verdict_opts *o);
/* Hosts other than its own that take VM i. */
uint32_t mv_fleet_elsewhere(const struct mv_fleet *f, uint32_t i);

/*
 * The policy of a VM of class v, or (v = NONE) of the reference VM on host class home, made anew.
 * MV_E_REFUSED (positive) if its host would not start it: *notes says why.
 */
int mv_fleet_policy(struct mv_fleet *f, uint32_t v, uint32_t home, struct mv_policy *p,
		    struct mv_notes *notes, struct mv_err *err);

#endif
