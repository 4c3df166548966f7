/* SPDX-License-Identifier: MIT */
/* minivmm restore: verdict first, then create, load and run. */
#include <stdlib.h>
#include <string.h>

#include "admit.h"
#include "file_kind.h"
#include "lazy.h"
#include "save.h"

struct restore_args {
	struct mv_launch launch;
	struct mv_verdict_opts verdict;
	enum mv_memory_mode memory;
};

enum { OPT_RULE = 256, OPT_IGNORE, OPT_MEMORY };

static const char *const memory_modes[] = {
	[MV_MEMORY_LAZY] = "lazy", [MV_MEMORY_EAGER] = "eager", [MV_MEMORY_MAP] = "map",
};

static int set_memory(struct restore_args *a, const char *arg)
{
	for (size_t i = 0; i < sizeof(memory_modes) / sizeof(memory_modes[0]); i++) {
		if (!strcmp(arg, memory_modes[i])) {
			a->memory = (enum mv_memory_mode)i;
			return 0;
		}
	}
	return mv_cli_usage(&mv_cmd_restore, "--memory takes lazy, eager or map, not '%s': how the guest's memory is read; how "
					     "much there is was decided when it started", arg);
}

static int option(void *ctx, int key, const char *arg)
{
	struct restore_args *a = ctx;

	switch (key) {
	case OPT_RULE:
		return mv_cli_rule(&mv_cmd_restore, arg, &a->verdict.mode);
	case OPT_IGNORE:
		a->verdict.ignore = arg;
		return 0;
	case OPT_MEMORY:
		return set_memory(a, arg);
	default:
		return mv_launch_option(&mv_cmd_restore, &a->launch, key, arg);
	}
}

static int load(struct restore_args *a, const char *path, const struct mv_console *con,
		struct mv_err *err)
{
	struct mv_launch *l = &a->launch;
	struct mv_snapshot *snap = NULL;
	int rc;

	l->st = calloc(1, sizeof(*l->st));
	rc = l->st ? mv_snapshot_open(&snap, path, l->st, err)
		   : mv_err_set(err, MV_E_FAILED, "out of memory");
	if (rc)
		mv_file_hint(err, path, MV_FILE_SNAPSHOT);
	if (rc == 0)
		rc = mv_launch_host(l, err);
	if (rc == 0)
		rc = mv_cli_admit(l, &a->verdict, NULL, NULL, err);
	if (rc == 0)
		rc = mv_launch_saved_disks(l, false, err);
	if (rc == 0) {
		mv_launch_set_name(l, l->st->config.name);
		memcpy(l->st->config.name, l->name, sizeof(l->st->config.name));
		rc = mv_vm_create(&l->vm, &l->kvm, l->st, &l->host->raw, con, err);
	}
	if (rc == 0) {
		if (a->memory == MV_MEMORY_MAP)
			mv_cli_note("warning: --memory map: the file system is trusted, memory is not verified");
		mv_launch_connect_disks(l);
		if (a->memory == MV_MEMORY_LAZY)
			mv_lazy_prepare(l->vm);
		rc = mv_launch_confine(l, err);
	}
	/* What the file says of state and memory is read with no more rights than the guest runs with. */
	if (rc == 0)
		rc = mv_vm_load(l->vm, snap, a->memory, err);
	mv_snapshot_close(snap);
	return rc;
}

static int run(int argc, char **argv)
{
	struct mv_console console = mv_launch_console();
	struct restore_args a = { .verdict = { .mode = MV_VERDICT_GUIDE } };
	struct mv_err err = { 0 };
	int code, first, rc;

	mv_launch_init(&a.launch);
	first = mv_cli_options(&mv_cmd_restore, argc, argv, option, &a, &code);
	if (first < 0)
		return code;
	if (argc - first != 1)
		return mv_cli_usage(&mv_cmd_restore, first == argc ? "no snapshot given"
								   : "more than one snapshot given");
	code = mv_launch_check_options(&mv_cmd_restore, &a.launch);
	if (code)
		return code;
	rc = load(&a, argv[first], &console, &err);
	return mv_launch_go(&a.launch, rc, &err);
}

static const struct mv_opt opts[] = {
	MV_ADMIT_OPTS(OPT_RULE, OPT_IGNORE),
	{ "memory", "HOW", "lazy (default), eager or map", OPT_MEMORY },
	MV_LAUNCH_RUN_OPTS,
	MV_LAUNCH_DISK_OPT,
	MV_LAUNCH_CONTROL_OPTS,
	MV_LAUNCH_TRACE_OPT,
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_restore = {
	.name = "restore",
	.args = "FILE [OPTIONS]",
	.summary = "judge this host for a snapshot; if it accepts, go on with the guest",
	.opts = opts,
	.more = "The guest keeps the CPUID it was saved with, byte for byte. A refusal (exit 3)\n"
		"names every mismatch and creates nothing; --unsafe-ignore-cpu overrides single\n"
		"features or rules and is recorded in what is saved next.\n"
		"Memory is verified before the guest can see it: by default (lazy) each part when\n"
		"it is first touched, with --memory eager all of it beforehand. --memory map maps\n"
		"the file, trusts the file system and verifies nothing. FILE must not be changed\n"
		"in place while the guest still reads it. One that snapshot --compress wrote is\n"
		"always read beforehand.\n",
	.has_its_own = "a saved VM goes on with the mask, CPUs and memory it has (minivmm inspect shows them)",
	.run = run,
};
