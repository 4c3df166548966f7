/* SPDX-License-Identifier: MIT */
/* minivmm fleet: every VM against every host. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "fleet_load.h"
#include "fleet_out.h"

struct fleet_args {
	struct mv_fleet_opts opts;
	const char *html, *prometheus;
	const char **hosts, **vms;	/* room for all of argv */
	size_t nhosts, nvms;
	bool strict;
};

enum { OPT_HOSTS = 256, OPT_VMS, OPT_HTML, OPT_PROMETHEUS, OPT_RULE, OPT_STRICT, OPT_COLD, OPT_IGNORE,
       OPT_GUEST_OS };

static int option(void *ctx, int key, const char *arg)
{
	struct fleet_args *a = ctx;

	switch (key) {
	case OPT_HOSTS: a->hosts[a->nhosts++] = arg; break;
	case OPT_VMS: a->vms[a->nvms++] = arg; break;
	case OPT_HTML: a->html = arg; break;
	case OPT_PROMETHEUS: a->prometheus = arg; break;
	case OPT_RULE: return mv_cli_rule(&mv_cmd_fleet, arg, &a->opts.verdict.mode);
	case OPT_STRICT: a->strict = true; break;
	case OPT_COLD: a->opts.verdict.cold = true; break;
	case OPT_IGNORE: a->opts.verdict.ignore = arg; break;
	case OPT_GUEST_OS: a->opts.guest_os = arg; break;
	default: return mv_cli_usage(&mv_cmd_fleet, "unknown option");
	}
	return 0;
}

/* The list that "--hosts" or "--hosts=A" begins. */
static char *list_of(const char *arg)
{
	static char hosts[] = "--hosts", vms[] = "--vms", *const lists[] = { hosts, vms };
	size_t n = strcspn(arg, "=");

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (strlen(lists[i]) == n && !memcmp(arg, lists[i], n))
			return lists[i];
	return NULL;
}

/*
 * "--hosts A B --vms C D": what follows a file belongs to the option before it. The caller frees.
 */
static char **spread(int argc, char **argv, int *n)
{
	char **out = calloc((size_t)argc * 2 + 1, sizeof(*out)), *list = NULL;

	*n = 0;
	for (int i = 0; out && i < argc; i++) {
		bool is_option = argv[i][0] == '-' && argv[i][1];

		if (is_option)
			list = list_of(argv[i]);
		else if (list && strcmp(argv[i - 1], list))
			out[(*n)++] = list;
		out[(*n)++] = argv[i];
	}
	return out;
}

/* ---- progress ---- */

static bool bar_drawn;

static void progress(void *ctx, const char *what, uint64_t done, uint64_t all)
{
	char bar[31];
	int n = all ? (int)(done * 30 / all) : 0;

	(void)ctx;
	memset(bar, '.', 30);
	memset(bar, '#', (size_t)n);
	bar[30] = '\0';
	fprintf(stderr, "\r%-10s [%s] %3u%%", what, bar, all ? (unsigned)(done * 100 / all) : 0);
	bar_drawn = true;
}

static void wipe_progress(void)
{
	if (bar_drawn)
		fprintf(stderr, "\r%50s\r", "");
	bar_drawn = false;
}

/* ---- files that are written ---- */

/* "-" is standard output. */
static int write_file(struct mv_fleet *f, const char *path, bool html, struct mv_err *err)
{
	struct mv_new_file n;
	int rc;

	if (!strcmp(path, "-"))
		return html ? mv_fleet_html(stdout, f, err) : mv_fleet_prometheus(stdout, f);
	rc = mv_new_file_open(&n, path, err);
	if (rc)
		return rc;
	rc = html ? mv_fleet_html(n.f, f, err) : mv_fleet_prometheus(n.f, f);
	return mv_new_file_close(&n, rc, err);
}

/* ---- the command ---- */

/* A host file, with a warning if it is this machine's of another time. */
static int read_host(struct mv_host *h, const char *path, struct mv_err *err)
{
	int rc = mv_fleet_read_host(h, path, err);

	if (rc == 0) {
		wipe_progress();
		mv_cli_stale(h, path);
	}
	return rc;
}

static int load(struct mv_fleet *f, const struct fleet_args *a, struct mv_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < a->nhosts && rc == 0; i++)
		rc = mv_fleet_load_hosts(f, a->hosts[i], err);
	for (size_t i = 0; i < a->nvms && rc == 0; i++)
		rc = mv_fleet_load_vms(f, a->vms[i], err);
	return rc;
}

/* Hosts known by a dump only, as one note; with --strict as problems, and those that libvirt described, too. */
static int assumed(struct mv_fleet *f, bool strict)
{
	struct mv_fleet_size s;
	uint32_t n = 0;
	int rc = 0;

	mv_fleet_sizes(f, &s);
	for (uint32_t i = 0; i < s.hosts && rc == 0; i++) {
		struct mv_err err = { 0 };

		n += mv_fleet_host(f, i)->assumed;
		if (strict && mv_cli_known(mv_fleet_hclass(f, mv_fleet_host(f, i)->cls)->host, NULL, &err))
			rc = mv_fleet_problem(f, mv_fleet_text(f, mv_fleet_host(f, i)->path), 0, &err);
	}
	if (n && !strict)
		mv_cli_note("warning: %u of %u hosts are assumed: known by a dump, no KVM was asked there", n,
			    s.hosts);
	return rc;
}

/* Every problem by its file; the exit code that they all come to. */
static int say_problems(const struct mv_fleet *f)
{
	struct mv_fleet_size s;
	int code = MV_EXIT_OK;

	mv_fleet_say_problems(f);
	mv_fleet_sizes(f, &s);
	for (uint32_t i = 0; i < s.problems; i++) {
		const struct mv_fleet_problem *p = mv_fleet_problem_at(f, i);

		if (p->code != MV_E_REFUSED)
			code = MV_EXIT_INPUT;
		else if (code == MV_EXIT_OK)
			code = MV_EXIT_REFUSED;
	}
	return code == MV_EXIT_INPUT ? code : s.refused ? MV_EXIT_REFUSED : code;
}

/* How much wants to have standard output for itself. */
static int for_stdout(const struct fleet_args *a)
{
	return (a->html && !strcmp(a->html, "-")) + (a->prometheus && !strcmp(a->prometheus, "-"));
}

static int report(struct mv_fleet *f, const struct fleet_args *a, struct mv_err *err)
{
	struct json_object *o = NULL;
	int rc = 0;

	if (a->html)
		rc = write_file(f, a->html, true, err);
	if (rc == 0 && a->prometheus)
		rc = write_file(f, a->prometheus, false, err);
	/* What goes to standard output already is not to be mixed with tables. */
	if (rc || for_stdout(a))
		return rc;
	if (!mv_output.json)
		return mv_fleet_print(f, err);
	rc = mv_fleet_to_json(f, &o, err);
	if (rc == 0)
		mv_cli_json(o);
	return rc;
}

static int judge(const struct fleet_args *a, struct mv_err *err)
{
	struct mv_fleet *f = mv_fleet_new(&a->opts);
	struct mv_fleet_size s;
	int code, rc = f ? load(f, a, err) : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0)
		rc = assumed(f, a->strict);
	if (rc == 0)
		mv_fleet_sizes(f, &s);
	if (rc == 0 && !s.hosts) {
		wipe_progress();
		say_problems(f);
		rc = mv_err_set(err, MV_E_INPUT, "no host could be used");
	}
	if (rc == 0)
		rc = mv_fleet_judge(f, err);
	wipe_progress();
	if (rc == 0)
		rc = report(f, a, err);
	code = rc ? 0 : (fflush(stdout), say_problems(f));
	mv_fleet_free(f);
	return rc < 0 ? rc : code;
}

static int run(int argc, char **argv)
{
	struct fleet_args a = { .opts = { .load_host = read_host } };
	struct mv_err err = { 0 };
	int n, code = MV_EXIT_FAILED, first = -1;
	char **all = spread(argc, argv, &n);

	a.hosts = calloc((size_t)argc + 1, sizeof(*a.hosts));
	a.vms = calloc((size_t)argc + 1, sizeof(*a.vms));
	if (all && a.hosts && a.vms)
		first = mv_cli_options(&mv_cmd_fleet, n, all, option, &a, &code);
	if (first >= 0 && first < n)
		code = mv_cli_usage(&mv_cmd_fleet, "'%s' follows neither --hosts nor --vms", all[first]);
	else if (first >= 0 && for_stdout(&a) + mv_output.json > 1)
		code = mv_cli_usage(&mv_cmd_fleet, "one of --html -, --prometheus - and --json can have standard output");
	else if (first >= 0 && !a.nhosts)
		code = mv_cli_usage(&mv_cmd_fleet, "no --hosts given");
	else if (first >= 0) {
		if (isatty(STDERR_FILENO) && !mv_output.quiet)
			a.opts.progress = progress;
		code = judge(&a, &err);
		code = code < 0 ? mv_cli_error(&err) : code;
	}
	free(all);
	free(a.hosts);
	free(a.vms);
	return code;
}

static const struct mv_opt opts[] = {
	{ "hosts", "DIR|FILE…", "hosts: host files, CPU dumps, folders of them", OPT_HOSTS },
	{ "vms", "DIR|FILE…", "VMs: snapshots, descriptions, folders of them", OPT_VMS },
	{ "html", "FILE", "also a page: heat maps that explain their cells", OPT_HTML },
	{ "prometheus", "FILE", "also metrics for the textfile collector (- alone)", OPT_PROMETHEUS },
	{ "guest-os", "NAME", "default mask for clusters, baselines (generic64)", OPT_GUEST_OS },
	MV_CLI_RULE_OPT(OPT_RULE),
	{ "cold", NULL, "the VMs are off: only what power-on needs", OPT_COLD },
	{ "strict", NULL, "a host known by a dump or libvirt alone refuses", OPT_STRICT },
	{ "unsafe-ignore-cpu", "NAMES", "features or rules not to refuse for, by comma", OPT_IGNORE },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_fleet = {
	.name = "fleet",
	.args = "--hosts DIR|FILE… [--vms DIR|FILE…] [--html FILE]",
	.summary = "every VM against every host",
	.opts = opts,
	.more = "A VM is a snapshot, or a description: {\"vm\": \"web1\", \"host\": \"penryn\",\n"
		"\"guest-os\": \"linux64\", \"mask\": [\"hide.mask\"], \"cpus\": 2} (docs/fleet.md).\n"
		"Exit 0: every host accepts every VM; 3: one refuses; 4: an input was unusable:\n"
		"it is named, and the rest goes on.\n",
	.run = run,
};
