/* SPDX-License-Identifier: MIT */
/* What commands share that start, restore or judge a VM: from options to a VM that is ready to start, and to its end. */
#ifndef MV_CLI_LAUNCH_H
#define MV_CLI_LAUNCH_H

#include "apply.h"
#include "cli.h"
#include "runner.h"

#define MV_LAUNCH_MASKS 12

struct mv_launch {
	/* options */
	const char *guest_os, *default_mask, *baseline, *cmdline;
	const char *masks[MV_LAUNCH_MASKS];
	size_t nmasks;
	uint64_t memory;		/* 0: what suits the image */
	unsigned ncpus;			/* 0: not asked for; 1, or what the topology comes to */
	struct mv_topology topology;	/* sockets 0: one, of single-threaded cores */
	int intercept;			/* enum mv_intercept or MV_INTERCEPT_AUTO */
	const char *disks[MV_MAX_DISKS];	/* run: FILE[,ro]; else: OLD=NEW */
	size_t ndisks;
	bool rng;
	const char *asked_name;		/* --name; NULL: not given */
	const char *trace;		/* --trace-cpuid; NULL: none */
	bool testdev;			/* --testdev */
	bool qemu_exit;			/* --exit-code=qemu */
	bool no_seccomp;
	const char *user;		/* to become; NULL: as started */
	struct mv_run_opts run;

	/* what they led to */
	struct mv_kvm kvm;
	int disk_fds[MV_MAX_DISKS];	/* the images of st->config.disks, open and locked */
	struct mv_static *st;		/* owned */
	struct mv_host *host;		/* this machine; owned */
	struct mv_notes *notes;		/* owned */
	struct mv_vm *vm;		/* owned */
	char name[64];
};

/* Option rows for a command's table: what the guest is, and how it runs. */
#define MV_LAUNCH_GUEST_OPTS \
	{ "mask", "FILE", "override mask; may be repeated, a later one wins", 'm' }, \
	{ "guest-os", "NAME", "default mask: linux64, generic64 (the default) …", 'g' }, \
	{ "default-mask", "FILE", "default mask from a file", 'D' }, \
	{ "baseline", "NAME", "intel-penryn … or a file, laid over it", 'B' }, \
	{ "memory", "SIZE", "guest memory, as 1G (64M; for Linux 256M)", 'M' }
#define MV_LAUNCH_CPUS_OPTS \
	{ "cpus", "N", "virtual CPUs, 1 (the default) to 64", 'C' }, \
	{ "topology", "PARTS", "of sockets=N,cores=N,threads=N (1 each)", 'O' }
#define MV_LAUNCH_RUN_OPTS \
	{ "intercept", "HOW", "auto, kernel, patch, step or none", 'i' }, \
	{ "timeout", "SEC", "end the guest after so many seconds", 't' }
#define MV_LAUNCH_CONTROL_OPTS \
	{ "name", "NAME", "its name for list, snapshot, stop …", 'n' }, \
	{ "snapshot-on-sync", "FILE", "save it at its next sync point", 's' }, \
	{ "stop", NULL, "… and end it there", 'S' }, \
	{ "exit-code", "HOW", "plain, or qemu: exit with (value << 1) | 1", 'x' }, \
	{ "user", "NAME", "started as root, become that user", 'u' }, \
	{ "no-seccomp", NULL, "no filter of system calls (debugging)", 'z' }

/* For a VM that exists already: its disks are elsewhere here. */
#define MV_LAUNCH_DISK_OPT \
	{ "disk", "OLD=NEW", "the disk saved as OLD (path or name) is NEW here", 'd' }

/*
 * Open and lock the images that --disk names and describe them in st->config; or those that
 * st->config describes, which have to be what they were: -MV_E_REFUSED if not. With moving, the VM's
 * source still has them locked, and has to; mv_vm_claim_disks takes them over.
 */
int mv_launch_new_disks(struct mv_launch *l, struct mv_err *err);
int mv_launch_saved_disks(struct mv_launch *l, bool moving, struct mv_err *err);
/* Once there is a VM. */
void mv_launch_connect_disks(struct mv_launch *l);

#define MV_LAUNCH_TRACE_OPT \
	{ "trace-cpuid", "FILE", "record each CPUID; -: only the summary", 'R' }

/* The masks that these options ask for, with the lines that count for that vendor, as mv_masks_load has them. */
int mv_launch_masks(const struct mv_launch *l, struct mv_policy *p, enum mv_vendor vendor, struct mv_err *err);

/* Their handler: 0, or the exit code after printing what is wrong. */
int mv_launch_option(const struct mv_cmd *cmd, struct mv_launch *l, int key, const char *arg);
/* What single options can't see; call once all are parsed. */
int mv_launch_check_options(const struct mv_cmd *cmd, const struct mv_launch *l);

/* The guest's serial port: standard output, or standard error if --json needs that. */
struct mv_console mv_launch_console(void);
/* For mv_sandbox_enter: say which call it was, and end. */
void mv_launch_forbidden(const char *name);

/* Take the name that was asked for, or fallback; unusable fallbacks mean no control socket. */
void mv_launch_set_name(struct mv_launch *l, const char *fallback);

void mv_launch_init(struct mv_launch *l);
void mv_launch_finish(struct mv_launch *l);

/*
 * Masks, host, proof, interception, power-on checks and the VM with the image in it. MV_EXIT_REFUSED
 * after printing every failing requirement; other errors through err.
 */
int mv_launch_prepare(struct mv_launch *l, const struct mv_image *img,
		      const struct mv_console *console, struct mv_err *err);

/*
 * The VM that a verdict is asked for: the static part of snapshot file, or with start_host (may be
 * NULL) the VM as it would be, started on the host of that file. MV_EXIT_REFUSED after printing why
 * that host would not start it.
 */
int mv_launch_judged_vm(const struct mv_launch *l, const char *start_host, const char *file,
			struct mv_static *st, struct mv_err *err);

/*
 * Open the trace, if one was asked for, give up privileges and enter the sandbox. Before there are other
 * threads, and before bytes come from somebody who may be hostile; after everything that has to be
 * opened by whoever started us.
 */
int mv_launch_confine(const struct mv_launch *l, struct mv_err *err);

/* Run the VM to its end with standard input as its first serial port; as mv_run. */
int mv_launch_run(struct mv_launch *l, struct mv_run_result *result, struct mv_err *err);

/* Open KVM and describe this host, with a proof that covers at least one mechanism. */
int mv_launch_host(struct mv_launch *l, struct mv_err *err);

/*
 * Pass on what the guest wrote and the reader takes within timeout_ms at a time (-1: for ever). Returns
 * whether nothing is left.
 */
bool mv_launch_drain(int timeout_ms);

/* Why some of what the guest wrote could not be passed on, an errno; 0: nothing was lost, or to nobody. */
int mv_launch_words_lost(void);

/* Say how a run ended (a line on stderr, JSON with --json) and return the exit code. */
int mv_launch_report(const struct mv_launch *l, const struct mv_run_result *r);
/* Run, report and finish, unless rc says that it did not come to that: the exit code. */
int mv_launch_go(struct mv_launch *l, int rc, struct mv_err *err);

#endif
