/* SPDX-License-Identifier: MIT */
/* The options of commands that start a VM. */
#include "launch.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "power_on.h"
#include "ram.h"

/* "64M", "1G", "1T", "65536K"; plain numbers are MiB, as elsewhere. 0 if it is no size. */
static uint64_t parse_size(const char *s)
{
	char *end;
	unsigned long long n;
	unsigned shift = 20;

	if (*s < '0' || *s > '9')
		return 0;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (*end == 'K' || *end == 'k')
		shift = 10;
	else if (*end == 'M' || *end == 'm' || *end == '\0')
		shift = 20;
	else if (*end == 'G' || *end == 'g')
		shift = 30;
	else if (*end == 'T' || *end == 't')
		shift = 40;
	else
		return 0;
	if (errno || (*end && end[1]) || n > UINT64_MAX >> shift)
		return 0;
	return n << shift;
}

static int set_memory(const struct mv_cmd *cmd, struct mv_launch *l, const char *arg)
{
	l->memory = parse_size(arg);
	if (!l->memory)
		return mv_cli_usage(cmd, "'%s' is not a memory size (64M, 1G)", arg);
	if (l->memory % MV_PAGE_SIZE)
		return mv_cli_usage(cmd, "--memory %s is not a whole number of 4 KiB pages", arg);
	if (l->memory < MV_MIN_RAM * 2 || l->memory > MV_MAX_RAM)
		return mv_cli_usage(cmd, "--memory %s is out of range: 2M to 1T", arg);
	return 0;
}

static int set_cpus(const struct mv_cmd *cmd, struct mv_launch *l, const char *arg)
{
	char *end;
	unsigned long n = *arg >= '0' && *arg <= '9' ? strtoul(arg, &end, 10) : 0;

	if (!n || *end || n > MV_MAX_VCPUS)
		return mv_cli_usage(cmd, "--cpus takes 1 to %d, not '%s'", MV_MAX_VCPUS, arg);
	l->ncpus = (unsigned)n;
	return 0;
}

/* One part of it, NAME=N; what is behind it, or NULL. */
static const char *topology_part(const char *arg, unsigned *part)
{
	char *end;
	unsigned long n = *arg >= '0' && *arg <= '9' ? strtoul(arg, &end, 10) : 0;

	if (!n || n > MV_MAX_VCPUS || (*end && *end != ','))
		return NULL;
	*part = (unsigned)n;
	return *end ? end + 1 : end;
}

static bool power_of_two(unsigned n)
{
	return !(n & (n - 1));
}

static int set_topology(const struct mv_cmd *cmd, struct mv_launch *l, const char *arg)
{
	struct mv_topology t = { 1, 1, 1 };
	const struct {
		const char *name;
		unsigned *part;
	} parts[] = { { "sockets=", &t.sockets }, { "cores=", &t.cores }, { "threads=", &t.threads } };
	const char *at = arg;

	while (at && *at) {
		const char *next = NULL;

		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
			if (!strncmp(at, parts[i].name, strlen(parts[i].name)))
				next = topology_part(at + strlen(parts[i].name), parts[i].part);
		at = next;
	}
	if (!at || !*arg || t.sockets * t.cores * t.threads > MV_MAX_VCPUS)
		return mv_cli_usage(cmd, "--topology takes sockets=N,cores=N,threads=N, %d CPUs at most, not '%s'",
				    MV_MAX_VCPUS, arg);
	if (!power_of_two(t.threads) || (t.sockets > 1 && !power_of_two(t.cores)))
		return mv_cli_usage(cmd, "--topology %s: APIC ids count the CPUs without gaps here, so threads, and the "
					 "cores of one of several sockets, are 1, 2, 4, 8 …", arg);
	l->topology = t;
	return 0;
}

int mv_launch_option(const struct mv_cmd *cmd, struct mv_launch *l, int key, const char *arg)
{
	struct mv_err err = { 0 };
	char *end;

	switch (key) {
	case 'm':
		if (l->nmasks == MV_LAUNCH_MASKS)
			return mv_cli_usage(cmd, "more than %d masks", MV_LAUNCH_MASKS);
		l->masks[l->nmasks++] = arg;
		return 0;
	case 'g':
		l->guest_os = arg;
		return 0;
	case 'D':
		l->default_mask = arg;
		return 0;
	case 'B':
		l->baseline = arg;
		return 0;
	case 'M':
		return set_memory(cmd, l, arg);
	case 'C':
		return set_cpus(cmd, l, arg);
	case 'O':
		return set_topology(cmd, l, arg);
	case 'd':
		if (l->ndisks == MV_MAX_DISKS)
			return mv_cli_usage(cmd, "more than %d disks", MV_MAX_DISKS);
		l->disks[l->ndisks++] = arg;
		return 0;
	case 'r':
		l->rng = true;
		return 0;
	case 'u':
		l->user = arg;
		return 0;
	case 'z':
		l->no_seccomp = true;
		return 0;
	case 'i':
		return mv_intercept_parse(arg, &l->intercept, &err) ? mv_cli_error(&err) : 0;
	case 't':
		l->run.timeout_s = strtod(arg, &end);
		if (*end || end == arg || !(l->run.timeout_s > 0) || !isfinite(l->run.timeout_s) ||
		    l->run.timeout_s > 1e9)
			return mv_cli_usage(cmd, "--timeout '%s' is not a number of seconds above 0", arg);
		return 0;
	case 'n':
		l->asked_name = arg;
		return mv_name_valid(arg) ? 0
					  : mv_cli_usage(cmd, "'%s' can't be a name: letters, "
							      "digits and ._-, at most %d",
							 arg, MV_NAME_MAX);
	case 's':
		l->run.snapshot_on_sync = arg;
		return 0;
	case 'S':
		l->run.stop_after_sync = true;
		return 0;
	case 'R':
		l->trace = arg;
		return 0;
	case 'T':
		l->testdev = true;
		return 0;
	case 'x':
		l->qemu_exit = !strcmp(arg, "qemu");
		return l->qemu_exit || !strcmp(arg, "plain")
			       ? 0
			       : mv_cli_usage(cmd, "--exit-code is plain or qemu, not '%s'", arg);
	default:
		return mv_cli_usage(cmd, "unknown option");
	}
}

/* Better now than when the guest has run for hours. */
static int check_folder(const char *file)
{
	const char *slash = strrchr(file, '/');
	char folder[PATH_MAX] = ".";
	struct mv_err err = { 0 };
	struct stat st;

	if (slash)
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - file + 1), file);
	if (access(folder, W_OK | X_OK))
		mv_err_at(&err, MV_E_FAILED, file, 0, 0, "its folder: %s", strerror(errno));
	else if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
		mv_err_at(&err, MV_E_USAGE, file, 0, 0, "not a regular file");
	if (err.code == MV_E_USAGE)
		mv_err_hint(&err, "--snapshot-on-sync takes the name of the file to make");
	return err.code ? mv_cli_error(&err) : 0;
}

int mv_launch_check_options(const struct mv_cmd *cmd, const struct mv_launch *l)
{
	if (l->run.stop_after_sync && !l->run.snapshot_on_sync)
		return mv_cli_usage(cmd, "--stop goes with --snapshot-on-sync");
	return l->run.snapshot_on_sync ? check_folder(l->run.snapshot_on_sync) : 0;
}
