/* SPDX-License-Identifier: MIT */
/*
 * minivmm probe: run the built-in probe guest under a mask and print the leak matrix: for each
 * feature what CPUID told the guest, what execution did, and what the two mean together.
 */
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "file.h"
#include "json.h"
#include "paths.h"
#include "probe.h"

#define MAX_OUTPUT (512 * 1024)

struct probe_args {
	struct mv_launch launch;
	const char *only, *fail_on, *out, *html, *host, *kind;
	bool predict, diff;
	size_t len;
	char *text;	/* what the guest printed */
	char unfinished[128];	/* the line it was in when it ended, without its padding */
	struct mv_probe_result result;
	struct json_object *diffs;	/* lines about CPUID that is not what was meant */
	struct json_object *cpu_diffs;	/* and about CPUs that are not as CPU 0 */
	unsigned cpus;			/* that told of themselves; none if there is one alone */
};

enum { OPT_ONLY = 256, OPT_FAIL_ON, OPT_PREDICT, OPT_HOST, OPT_KIND, OPT_HTML, OPT_DIFF };

static int unknown_feature(const char *name)
{
	struct mv_err err = { 0 };

	mv_err_set(&err, MV_E_USAGE, "no CPUID feature is called '%.60s'", name);
	mv_feature_hint(&err, name, strlen(name));
	return mv_cli_error(&err);
}

static int option(void *ctx, int key, const char *arg)
{
	struct probe_args *a = ctx;

	switch (key) {
	case OPT_ONLY:
		if (!mv_feature_by_name(arg, strlen(arg)))
			return unknown_feature(arg);
		a->only = arg;
		return 0;
	case OPT_FAIL_ON:
		a->fail_on = arg;
		return 0;
	case OPT_PREDICT:
		a->predict = true;
		return 0;
	case OPT_HOST:
		a->host = arg;
		return 0;
	case OPT_KIND:
		if (strcmp(arg, "vmx") && strcmp(arg, "svm"))
			return mv_cli_usage(&mv_cmd_probe, "--kind is vmx or svm, not '%s'", arg);
		a->kind = arg;
		return 0;
	case OPT_HTML:
		a->html = arg;
		return 0;
	case OPT_DIFF:
		a->diff = true;
		return 0;
	case 'o':
		a->out = arg;
		return 0;
	default:
		return mv_launch_option(&mv_cmd_probe, &a->launch, key, arg);
	}
}

static void collect(void *ctx, const uint8_t *data, size_t len)
{
	struct probe_args *a = ctx;

	if (len > MAX_OUTPUT - a->len)
		len = MAX_OUTPUT - a->len;
	memcpy(a->text + a->len, data, len);
	a->len += len;
	a->text[a->len] = '\0';
}

/* How bad a verdict is: of the two levels' verdicts, the worse one is a feature's. */
static int rank(const char *verdict)
{
	enum mv_finding f = mv_finding_by_name(verdict);

	if (f == MV_NFINDINGS)
		return strcmp(verdict, "SKIP") ? -1 : 0;
	return 1 + (int)f;
}

/* A line "probe: NAME LEAF.SUB REG:BIT cplN MNEMONIC cpuid=B host=B OUTCOME VERDICT [unproven]". */
static void take_line(struct probe_args *a, const char *line)
{
	char feature[24], reg[4] = "", insn[24], outcome[12], verdict[12], host;
	unsigned leaf, subleaf, bit, cpl, shown;
	const struct mv_probe_row *found;
	int end = 0;
	struct mv_probe_row *r;

	if (sscanf(line, "probe: %23s %x.%x %3[a-z]:%u cpl%u %23s cpuid=%u host=%c %11s %11s%n",
		   feature, &leaf, &subleaf, reg, &bit, &cpl, insn, &shown, &host, outcome,
		   verdict, &end) != 11 || rank(verdict) < 0)
		return;
	found = mv_probe_find(&a->result, feature, insn);
	if (!found && a->result.n == MV_PROBE_ROWS)
		return;
	r = &a->result.row[found ? found - a->result.row : a->result.n++];
	if (!found) {
		memcpy(r->feature, feature, sizeof(feature));
		memcpy(r->instruction, insn, sizeof(insn));
		for (char *p = reg; *p; p++)
			*p = (char)(*p - 'a' + 'A');
		mv_probe_position(r->cpuid, sizeof(r->cpuid), leaf, subleaf, reg, bit);
		r->shown = shown;
		r->host = host;
		r->unproven = !strcmp(line + end, " unproven");
	}
	memcpy(r->outcome[cpl == 3], outcome, sizeof(outcome));
	if (!*r->verdict || rank(verdict) > rank(r->verdict))
		memcpy(r->verdict, verdict, sizeof(verdict));
}

/* The guest writes a row up to its outcome before it tries it: a line without end is what it hangs in. */
static void take_unfinished(struct probe_args *a)
{
	const char *p = strrchr(a->text, '\n');
	size_t n = 0;

	for (p = p ? p + 1 : a->text; *p && n + 2 < sizeof(a->unfinished); p++) {
		if (*p == ' ')
			continue;
		if (n && p[-1] == ' ')
			a->unfinished[n++] = ' ';
		a->unfinished[n++] = *p;
	}
	a->unfinished[n] = '\0';
}

/* What the guest says besides rows: kept for the JSON, or shown to whoever is there. */
static void take_finding(struct probe_args *a, const char *line)
{
	if (!strncmp(line, "cpuid-diff: ", 12))
		json_object_array_add(a->diffs, json_object_new_string(line + 12));
	if (!strncmp(line, "cpu-diff: ", 10))
		json_object_array_add(a->cpu_diffs, json_object_new_string(line + 10));
	if (!strncmp(line, "cpu-check: ", 11))
		a->cpus++;
	if (!strncmp(line, "cpuid-diff:", 11) || !strncmp(line, "cpu-diff:", 9) ||
	    !strncmp(line, "guest:", 6))
		mv_cli_note("%s", line);
	else if (!strncmp(line, "cpuid-check:", 12) || !strncmp(line, "cpu-check:", 10))
		mv_cli_detail("%s", line);
}

static void parse_output(struct probe_args *a)
{
	char *save = NULL;

	take_unfinished(a);
	for (char *line = strtok_r(a->text, "\r\n", &save); line;
	     line = strtok_r(NULL, "\r\n", &save)) {
		take_line(a, line);
		take_finding(a, line);
	}
}

/* Does a verdict occur that --fail-on names? */
static bool failed(const struct probe_args *a)
{
	const char *p = a->fail_on;

	while (p && *p) {
		char name[16];
		size_t n = strcspn(p, ",");

		snprintf(name, sizeof(name), "%.*s", (int)(n < 15 ? n : 15), p);
		if (mv_probe_count(&a->result, name) ||
		    (!strcasecmp(name, "cpus") && json_object_array_length(a->cpu_diffs)))
			return true;
		p += n;
		p += *p == ',';
	}
	return false;
}

static bool fail_on_valid(const char *list)
{
	for (const char *p = list; p && *p;) {
		static const char *const known[] = { "leak", "broken", "blocked", "enforced",
						    "cpus" };
		size_t n = strcspn(p, ",");
		bool ok = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			ok |= strlen(known[i]) == n && !strncasecmp(known[i], p, n);
		if (!ok)
			return false;
		p += n;
		p += *p == ',';
	}
	return true;
}

/* Does every CPU see and execute the same? Says if not. */
static bool cpus_agree(const struct probe_args *a)
{
	size_t diffs = json_object_array_length(a->cpu_diffs);
	unsigned n = a->launch.ncpus;

	if (diffs)
		fprintf(stderr, "minivmm: %zu difference%s between the guest's CPUs%s\n", diffs,
			diffs == 1 ? "" : "s", mv_output.quiet ? "" : " (above)");
	else if (n > 1 && a->cpus != n)
		fprintf(stderr, "minivmm: the probe guest looked at %u of %u CPUs\n", a->cpus, n);
	return !diffs && (n == 1 || a->cpus == n);
}

/* Did the guest do its work? Says why not. */
static int judge(const struct probe_args *a, const struct mv_run_result *r)
{
	size_t diffs = json_object_array_length(a->diffs);
	bool agree;
	const char *in = *a->unfinished ? "; it was in: " : "";

	switch (r->end) {
	case MV_END_EXIT:
		break;
	case MV_END_CRASH:
		fprintf(stderr, "minivmm: the probe guest did not finish: %s%s%s\n",
			r->event.err.msg, in, a->unfinished);
		return MV_EXIT_GUEST;
	case MV_END_TIMEOUT:
		fprintf(stderr, "minivmm: the probe guest did not end within %g s%s%s\n",
			a->launch.run.timeout_s, in, a->unfinished);
		return MV_EXIT_GUEST;
	default:
		fprintf(stderr, "minivmm: the probe guest was stopped\n");
		return r->signal ? 128 + r->signal : MV_EXIT_FAILED;
	}
	agree = cpus_agree(a);
	if (diffs)
		fprintf(stderr, "minivmm: %zu CPUID register%s the guest saw differ%s from the mask%s\n",
			diffs, diffs == 1 ? "" : "s", diffs == 1 ? "s" : "",
			mv_output.quiet ? "" : " (above)");
	else if (mv_probe_count(&a->result, "BROKEN"))
		fprintf(stderr, "minivmm: a feature that CPUID shows does not work (BROKEN)\n");
	else if ((r->value && agree) || !a->result.n)
		fprintf(stderr, "minivmm: the probe guest failed with value %u\n", r->value);
	return r->value || !agree || !a->result.n ? MV_EXIT_GUEST : MV_EXIT_OK;
}

static struct json_object *document(struct probe_args *a, int code)
{
	struct json_object *o = mv_probe_to_json(&a->result);

	if (!a->result.predicted) {
		json_object_object_add(o, "cpuid-diff", json_object_get(a->diffs));
		json_object_object_add(o, "cpus", json_object_new_int64(a->launch.ncpus));
		json_object_object_add(o, "cpu-diff", json_object_get(a->cpu_diffs));
	}
	json_object_object_add(o, "exit", json_object_new_int(code));
	return o;
}

static int write_json(struct probe_args *a, int code, struct mv_err *err)
{
	struct json_object *o = document(a, code);
	char *text = mv_json_text(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
				     JSON_C_TO_STRING_NOSLASHESCAPE, NULL);
	int rc = text ? mv_new_file_write(a->out, text, strlen(text), err)
		      : mv_err_set(err, MV_E_FAILED, "out of memory");

	free(text);
	json_object_put(o);
	return rc;
}

static void print_table(const struct probe_args *a)
{
	mv_probe_print(&a->result);
	if (a->cpus > 1 && a->cpus == a->launch.ncpus && !json_object_array_length(a->cpu_diffs))
		printf("%u CPUs: each sees and executes the same\n", a->cpus);
}

/* Where the result goes: files, JSON, or a table if it went nowhere else. */
static int deliver(struct probe_args *a, int code)
{
	const struct mv_probe_result *one = &a->result;
	const char *name = a->result.predicted ? "predicted" : "measured";
	struct mv_err err = { 0 };
	int rc = 0;

	if (failed(a))
		code = MV_EXIT_FOUND;
	if (a->out)
		rc = write_json(a, code, &err);
	if (rc == 0 && a->html)
		rc = mv_probe_html(a->html, &one, &name, 1, &err);
	if (rc)
		return mv_cli_error(&err);
	if (mv_output.json)
		mv_cli_json(document(a, code));
	else if ((!a->out && !a->html) || mv_output.verbose)
		print_table(a);
	return code;
}

/* ---- with a guest ---- */

static int measure(struct probe_args *a)
{
	const struct mv_builtin *file = mv_builtin_find("probe.elf");
	struct mv_console console = { .write = collect, .ctx = a };
	struct mv_run_result result;
	struct mv_err err = { 0 };
	struct mv_image img;
	const struct mv_topology *t = &a->launch.topology;
	char cmdline[96], parts[40] = "";
	int code, rc;

	if (t->sockets)
		snprintf(parts, sizeof(parts), " cores=%u threads=%u", t->cores, t->threads);
	snprintf(cmdline, sizeof(cmdline), "nodump%s%s%s", parts, a->only ? " only=" : "",
		 a->only ? a->only : "");
	a->launch.cmdline = cmdline;
	rc = mv_image_parse(&img, "probe.elf", file->data, file->size, &err);
	if (rc == 0)
		rc = mv_launch_prepare(&a->launch, &img, &console, &err);
	if (rc == 0)
		rc = mv_run(a->launch.vm, &a->launch.run, &result, &err);
	if (rc)
		return rc > 0 ? rc : mv_cli_error(&err);
	mv_probe_describe(&a->result, &a->launch, &a->launch.st->policy.source);
	snprintf(a->result.intercept, sizeof(a->result.intercept), "%s",
		 mv_intercept_name((enum mv_intercept)a->launch.st->policy.intercept));
	parse_output(a);
	code = judge(a, &result);
	return deliver(a, code);
}

/* ---- without one ---- */

static int predict(struct probe_args *a)
{
	struct mv_err err = { 0 };
	int rc = mv_probe_predict(&a->result, &a->launch, a->host, a->kind, a->only, &err);

	if (rc)
		return rc > 0 ? rc : mv_cli_error(&err);
	return deliver(a, MV_EXIT_OK);
}

static int compare(char **files)
{
	struct mv_probe_result *r = calloc(2, sizeof(*r));
	struct mv_err err = { 0 };
	unsigned n = 0;
	int rc = r ? mv_probe_read(&r[0], files[0], &err)
		   : mv_err_set(&err, MV_E_FAILED, "out of memory");

	if (rc == 0)
		rc = mv_probe_read(&r[1], files[1], &err);
	if (rc == 0 && mv_output.json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "differences", mv_probe_diff_json(&r[0], &r[1], &n));
		json_object_object_add(o, "exit", json_object_new_int(n ? MV_EXIT_FOUND : 0));
		mv_cli_json(o);
	} else if (rc == 0) {
		n = mv_probe_print_diff(&r[0], &r[1]);
		printf("%u of %u probes differ\n", n, r[0].n > r[1].n ? r[0].n : r[1].n);
	}
	free(r);
	if (rc)
		return mv_cli_error(&err);
	return n ? MV_EXIT_FOUND : MV_EXIT_OK;
}

static int page(const char *out, char **files, size_t n)
{
	struct mv_probe_result *r = calloc(n, sizeof(*r));
	const struct mv_probe_result *columns[MV_PROBE_RESULTS];
	const char *names[MV_PROBE_RESULTS];
	char text[MV_PROBE_RESULTS][128];
	struct mv_err err = { 0 };
	int rc = r ? 0 : mv_err_set(&err, MV_E_FAILED, "out of memory");

	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = mv_probe_read(&r[i], files[i], &err);
		/* "out/epyc.json" is column "epyc". */
		mv_path_stem(text[i], sizeof(text[i]), files[i]);
		names[i] = text[i];
		columns[i] = &r[i];
	}
	if (rc == 0)
		rc = mv_probe_html(out, columns, names, n, &err);
	free(r);
	return rc ? mv_cli_error(&err) : MV_EXIT_OK;
}

/* ---- the command ---- */

/* What single options can't see; 0, or the exit code after saying what is wrong. */
static int check_options(const struct probe_args *a, int argc, char **argv, int first)
{
	int n = argc - first;

	if (!fail_on_valid(a->fail_on))
		return mv_cli_usage(&mv_cmd_probe,
				    "--fail-on takes leak, broken, blocked, enforced, cpus, not '%s'",
				    a->fail_on);
	if (a->diff + a->predict + (a->html && n) > 1)
		return mv_cli_usage(&mv_cmd_probe, "--diff, --predict and a page of files exclude "
						   "each other");
	if ((a->host || a->kind) && !a->predict)
		return mv_cli_usage(&mv_cmd_probe, "--host and --kind go with --predict");
	if (a->diff && n != 2)
		return mv_cli_usage(&mv_cmd_probe, "--diff takes two results, not %d", n);
	if (a->html && n > MV_PROBE_RESULTS)
		return mv_cli_usage(&mv_cmd_probe, "a page takes %d results at most, not %d",
				    MV_PROBE_RESULTS, n);
	if (n && !a->diff && !a->html)
		return mv_cli_usage(&mv_cmd_probe, "'%s' is too much: results go with --html and "
						   "--diff", argv[first]);
	return 0;
}

static int act(struct probe_args *a, int argc, char **argv, int first)
{
	if (a->diff)
		return compare(argv + first);
	if (a->html && first < argc)
		return page(a->html, argv + first, (size_t)(argc - first));
	return a->predict ? predict(a) : measure(a);
}

static int run(int argc, char **argv)
{
	struct probe_args *a = calloc(1, sizeof(*a));
	int code, first;

	if (!a)
		return MV_EXIT_FAILED;
	mv_launch_init(&a->launch);
	a->launch.run.timeout_s = 120;
	a->diffs = json_object_new_array();
	a->cpu_diffs = json_object_new_array();
	a->text = calloc(1, MAX_OUTPUT + 1);
	first = mv_cli_options(&mv_cmd_probe, argc, argv, option, a, &code);
	if (first >= 0)
		code = check_options(a, argc, argv, first);
	if (first >= 0 && code == 0)
		code = a->text ? act(a, argc, argv, first) : MV_EXIT_FAILED;
	mv_launch_finish(&a->launch);
	json_object_put(a->diffs);
	json_object_put(a->cpu_diffs);
	free(a->text);
	free(a);
	return code;
}

static const struct mv_opt opts[] = {
	MV_LAUNCH_GUEST_OPTS,
	MV_LAUNCH_CPUS_OPTS,
	MV_LAUNCH_RUN_OPTS,
	{ "only", "FEATURE", "probe this one feature", OPT_ONLY },
	{ "fail-on", "LIST", "exit 7 on a verdict (leak, broken …) or cpus", OPT_FAIL_ON },
	{ "predict", NULL, "start no guest: say what it would find", OPT_PREDICT },
	{ "host", "FILE", "with --predict: on the host of that file", OPT_HOST },
	{ "kind", "HOW", "with --predict: vmx or svm (by the vendor)", OPT_KIND },
	{ "output", "FILE", "write the result as JSON (-o)", 'o' },
	{ "html", "FILE", "write a page: of this result, or of RESULTs", OPT_HTML },
	{ "diff", NULL, "what is not the same in two RESULTs", OPT_DIFF },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_probe = {
	.name = "probe",
	.args = "[--mask FILE] [--predict] | --html FILE RESULT | --diff A B",
	.summary = "show where a mask leaks: run the instructions it hides",
	.opts = opts,
	.more = "OK: shown and executes. LEAK: hidden, and executes all the same. ENFORCED:\n"
		"hidden, and the host has it, but it faults. ABSENT: neither shown nor there.\n"
		"BROKEN: shown, but faults. BLOCKED: shown, but its control bit could not be set.\n"
		"ABORT: TSX is there, and no transaction commits. SKIP: not tried, or the outcome\n"
		"would not be the CPU's. UNDECIDABLE: a no-op where it is unknown.\n"
		"With --cpus each CPU looks for itself; --fail-on cpus: one is not as the first.\n\n"
		"A RESULT is what probe -o, probe --json or cpuid-probe --json wrote. --diff\n"
		"exits with 0 if nothing differs, with 7 if something does.\n",
	.run = run,
};
