/* SPDX-License-Identifier: MIT */
/*
 * minivmm probe: run the built-in probe guest under a mask and print the leak matrix: for each
 * feature what CPUID told the guest, what execution did, and what the two mean together.
 */
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "launch.h"

extern const struct mv_cmd mv_cmd_probe;

#define MAX_ROWS 512
#define MAX_OUTPUT (512 * 1024)

/* A line "probe: NAME LEAF.SUB REG:BIT cplN MNEMONIC cpuid=B host=B OUTCOME VERDICT". */
struct row {
	char feature[24], leaf[16], bit[12], insn[24], outcome[2][12], verdict[12];
	bool shown;
	char host;	/* '0', '1', '-' */
};

struct probe_args {
	struct mv_launch launch;
	const char *only, *fail_on;
	size_t len;
	char *text;	/* what the guest printed */
	struct row rows[MAX_ROWS];
	size_t nrows;
	struct json_object *diffs;	/* lines about CPUID that is not what was meant */
};

enum { OPT_ONLY = 256, OPT_FAIL_ON };

static int option(void *ctx, int key, const char *arg)
{
	struct probe_args *a = ctx;

	switch (key) {
	case OPT_ONLY:
		if (!mv_feature_by_name(arg, strlen(arg)))
			return mv_cli_usage(&mv_cmd_probe, "no CPUID feature is called '%s'", arg);
		a->only = arg;
		return 0;
	case OPT_FAIL_ON:
		a->fail_on = arg;
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
	static const char *const order[] = { "SKIP", "HINT", "ABSENT", "OK", "ENFORCED", "BLOCKED",
					     "LEAK", "BROKEN" };

	for (int i = 0; i < (int)(sizeof(order) / sizeof(order[0])); i++)
		if (!strcmp(order[i], verdict))
			return i;
	return -1;
}

static struct row *find_row(struct probe_args *a, const char *feature, const char *insn)
{
	for (size_t i = 0; i < a->nrows; i++)
		if (!strcmp(a->rows[i].feature, feature) && !strcmp(a->rows[i].insn, insn))
			return &a->rows[i];
	return NULL;
}

static void take_line(struct probe_args *a, const char *line)
{
	char feature[24], leaf[16], bit[12], insn[24], outcome[12], verdict[12], host;
	unsigned cpl, shown;
	struct row *r;

	if (sscanf(line, "probe: %23s %15s %11s cpl%u %23s cpuid=%u host=%c %11s %11s", feature,
		   leaf, bit, &cpl, insn, &shown, &host, outcome, verdict) != 9 ||
	    rank(verdict) < 0)
		return;
	r = find_row(a, feature, insn);
	if (!r) {
		if (a->nrows == MAX_ROWS)
			return;
		r = &a->rows[a->nrows++];
		memcpy(r->feature, feature, sizeof(feature));
		memcpy(r->leaf, leaf, sizeof(leaf));
		memcpy(r->bit, bit, sizeof(bit));
		memcpy(r->insn, insn, sizeof(insn));
		r->shown = shown;
		r->host = host;
	}
	memcpy(r->outcome[cpl == 3], outcome, sizeof(outcome));
	if (!*r->verdict || rank(verdict) > rank(r->verdict))
		memcpy(r->verdict, verdict, sizeof(verdict));
}

static void parse_output(struct probe_args *a)
{
	char *save = NULL;

	for (char *line = strtok_r(a->text, "\r\n", &save); line;
	     line = strtok_r(NULL, "\r\n", &save)) {
		take_line(a, line);
		if (!strncmp(line, "cpuid-diff: ", 12))
			json_object_array_add(a->diffs, json_object_new_string(line + 12));
		if (!strncmp(line, "cpuid-diff:", 11) || !strncmp(line, "guest:", 6))
			mv_cli_note("%s", line);
		else if (!strncmp(line, "cpuid-check:", 12))
			mv_cli_detail("%s", line);
	}
}

/* "0x00000007.0 ebx:5" as the guide writes it: "0x7.0 EBX:5". */
static void position(char *buf, size_t size, const struct row *r)
{
	unsigned leaf = 0, sub = 0, bit = 0;
	char reg[4] = "";

	sscanf(r->leaf, "%x.%x", &leaf, &sub);
	sscanf(r->bit, "%3[a-z]:%u", reg, &bit);
	for (char *p = reg; *p; p++)
		*p = (char)(*p - 'a' + 'A');
	if (mv_leaf_has_subleaves(leaf))
		snprintf(buf, size, "0x%x.%x %s:%u", leaf, sub, reg, bit);
	else
		snprintf(buf, size, "0x%x %s:%u", leaf, reg, bit);
}

static const char *outcome(const struct row *r, int cpl3)
{
	const char *o = r->outcome[cpl3];

	return *o && strcmp(o, "skipped") ? o : "-";
}

static void print_rows(const struct probe_args *a)
{
	char where[40];

	printf("%-19s %-17s %-13s %-5s %-6s %-6s %s\n", "FEATURE", "CPUID", "INSTRUCTION", "SHOWN",
	       "CPL 3", "CPL 0", "VERDICT");
	for (size_t i = 0; i < a->nrows; i++) {
		const struct row *r = &a->rows[i];

		position(where, sizeof(where), r);
		printf("%-19s %-17s %-13s %-5s %-6s %-6s %s\n", r->feature, where, r->insn,
		       r->shown ? "yes" : "no", outcome(r, 1), outcome(r, 0), r->verdict);
	}
}

static unsigned count(const struct probe_args *a, const char *verdict)
{
	unsigned n = 0;

	for (size_t i = 0; i < a->nrows; i++)
		n += !strcasecmp(a->rows[i].verdict, verdict);
	return n;
}

static void print_json(const struct probe_args *a, int code)
{
	struct json_object *list = json_object_new_array(), *o = json_object_new_object();
	char where[40];

	for (size_t i = 0; i < a->nrows; i++) {
		const struct row *r = &a->rows[i];
		struct json_object *e = json_object_new_object();

		position(where, sizeof(where), r);
		json_object_object_add(e, "feature", json_object_new_string(r->feature));
		json_object_object_add(e, "cpuid", json_object_new_string(where));
		json_object_object_add(e, "instruction", json_object_new_string(r->insn));
		json_object_object_add(e, "shown", json_object_new_boolean(r->shown));
		if (r->host != '-')
			json_object_object_add(e, "host", json_object_new_boolean(r->host == '1'));
		if (*r->outcome[1])
			json_object_object_add(e, "cpl3", json_object_new_string(r->outcome[1]));
		if (*r->outcome[0])
			json_object_object_add(e, "cpl0", json_object_new_string(r->outcome[0]));
		json_object_object_add(e, "verdict", json_object_new_string(r->verdict));
		json_object_array_add(list, e);
	}
	json_object_object_add(o, "intercept",
			       json_object_new_string(mv_intercept_name(
				       (enum mv_intercept)a->launch.st->policy.intercept)));
	json_object_object_add(o, "probes", list);
	json_object_object_add(o, "cpuid-diff", json_object_get(a->diffs));
	json_object_object_add(o, "exit", json_object_new_int(code));
	mv_cli_json(o);
}

/* Does a verdict occur that --fail-on names? */
static bool failed(const struct probe_args *a)
{
	const char *p = a->fail_on;

	while (p && *p) {
		char name[16];
		size_t n = strcspn(p, ",");

		snprintf(name, sizeof(name), "%.*s", (int)(n < 15 ? n : 15), p);
		if (count(a, name))
			return true;
		p += n;
		p += *p == ',';
	}
	return false;
}

static bool fail_on_valid(const char *list)
{
	for (const char *p = list; p && *p;) {
		static const char *const known[] = { "leak", "broken", "blocked", "enforced" };
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

/* Did the guest do its work? Says why not. */
static int judge(const struct probe_args *a, const struct mv_run_result *r)
{
	size_t diffs = json_object_array_length(a->diffs);

	switch (r->end) {
	case MV_END_EXIT:
		break;
	case MV_END_CRASH:
		fprintf(stderr, "minivmm: the probe guest did not finish: %s\n", r->event.err.msg);
		return MV_EXIT_GUEST;
	case MV_END_TIMEOUT:
		fprintf(stderr, "minivmm: the probe guest did not end within %g s\n",
			a->launch.run.timeout_s);
		return MV_EXIT_GUEST;
	default:
		fprintf(stderr, "minivmm: the probe guest was stopped\n");
		return r->signal ? 128 + r->signal : MV_EXIT_FAILED;
	}
	if (diffs)
		fprintf(stderr, "minivmm: %zu CPUID register%s the guest saw differ%s from the mask%s\n",
			diffs, diffs == 1 ? "" : "s", diffs == 1 ? "s" : "",
			mv_output.quiet ? "" : " (above)");
	else if (count(a, "BROKEN"))
		fprintf(stderr, "minivmm: a feature that CPUID shows does not work (BROKEN)\n");
	else if (r->value || !a->nrows)
		fprintf(stderr, "minivmm: the probe guest failed with value %u\n", r->value);
	return r->value || !a->nrows ? MV_EXIT_GUEST : MV_EXIT_OK;
}

static int report(struct probe_args *a, const struct mv_run_result *r)
{
	int code;

	parse_output(a);
	code = judge(a, r);
	if (failed(a))
		code = MV_EXIT_FOUND;
	if (mv_output.json) {
		print_json(a, code);
		return code;
	}
	print_rows(a);
	printf("%zu probes: %u ok, %u leak, %u enforced, %u absent, %u broken, %u blocked\n",
	       a->nrows, count(a, "OK"), count(a, "LEAK"), count(a, "ENFORCED"),
	       count(a, "ABSENT"), count(a, "BROKEN"), count(a, "BLOCKED"));
	return code;
}

static int run(int argc, char **argv)
{
	struct probe_args *a = calloc(1, sizeof(*a));
	const struct mv_builtin *file = mv_builtin_find("probe.elf");
	struct mv_console console = { .write = collect, .ctx = a };
	struct mv_run_result result;
	struct mv_err err = { 0 };
	struct mv_image img;
	char cmdline[64];
	int code, first, rc;

	if (!a)
		return MV_EXIT_FAILED;
	mv_launch_init(&a->launch);
	a->launch.run.timeout_s = 120;
	first = mv_cli_options(&mv_cmd_probe, argc, argv, option, a, &code);
	if (first >= 0 && first < argc)
		code = mv_cli_usage(&mv_cmd_probe, "'%s' is too much: probe takes no operand", argv[first]);
	if (first >= 0 && first == argc && !fail_on_valid(a->fail_on)) {
		code = mv_cli_usage(&mv_cmd_probe,
				    "--fail-on takes leak, broken, blocked, enforced, not '%s'",
				    a->fail_on);
		first = -1;
	}
	if (first < 0 || first < argc) {
		free(a);
		return code;
	}
	snprintf(cmdline, sizeof(cmdline), "nodump%s%s", a->only ? " only=" : "",
		 a->only ? a->only : "");
	a->launch.cmdline = cmdline;
	a->diffs = json_object_new_array();
	a->text = calloc(1, MAX_OUTPUT + 1);
	rc = a->text ? mv_image_parse(&img, "probe.elf", file->data, file->size, &err)
		     : mv_err_set(&err, MV_E_FAILED, "out of memory");
	if (rc == 0)
		rc = mv_launch_prepare(&a->launch, &img, &console, &err);
	if (rc == 0)
		rc = mv_run(a->launch.vm, &a->launch.run, &result, &err);
	if (rc == 0)
		code = report(a, &result);
	else
		code = rc > 0 ? rc : mv_cli_error(&err);
	mv_launch_finish(&a->launch);
	json_object_put(a->diffs);
	free(a->text);
	free(a);
	return code;
}

static const struct mv_opt opts[] = {
	MV_LAUNCH_GUEST_OPTS,
	MV_LAUNCH_RUN_OPTS,
	{ "only", "FEATURE", "probe this one feature", OPT_ONLY },
	{ "fail-on", "LIST", "exit 7 if a verdict occurs: leak, broken …", OPT_FAIL_ON },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_probe = {
	.name = "probe",
	.args = "[--mask FILE] [--fail-on leak,broken]",
	.summary = "show where a mask leaks: run the instructions it hides",
	.opts = opts,
	.more = "OK: shown and executes. LEAK: hidden, and executes all the same. ENFORCED:\n"
		"hidden, and the host has it, but it faults. ABSENT: neither shown nor there.\n"
		"BROKEN: shown, but faults. BLOCKED: shown, but its control bit could not be set.\n",
	.run = run,
};
