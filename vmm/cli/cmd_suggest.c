/* SPDX-License-Identifier: MIT */
/* minivmm mask suggest: the override that helps. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "launch.h"
#include "maskwrite.h"
#include "suggest.h"

struct suggest_args {
	struct mv_launch launch;	/* masks only */
	struct mv_verdict_opts verdict;
	const char *start_host;
};

struct job {
	struct mv_static *st;
	struct mv_host *all;
	const struct mv_host **hosts;
	char *const *files;
	uint32_t n;
	struct mv_suggestion *s;
	struct mv_suggest_work *w;
};

enum { OPT_RULE = 256, OPT_ON, OPT_IGNORE };

static int suggest_option(void *ctx, int key, const char *arg)
{
	struct suggest_args *a = ctx;

	switch (key) {
	case OPT_RULE:
		return mv_cli_rule(&mv_cmd_mask_suggest, arg, &a->verdict.mode);
	case OPT_ON:
		a->start_host = arg;
		return 0;
	case OPT_IGNORE:
		a->verdict.ignore = arg;
		return 0;
	default:
		return mv_launch_option(&mv_cmd_mask_suggest, &a->launch, key, arg);
	}
}

static const char *host_name(const struct job *j, uint32_t i)
{
	return i < j->n ? mv_cli_shown(j->files[i]) : "the host that it starts on";
}

static void block_text(char *buf, size_t size, const struct mv_suggest_block *b)
{
	const struct mv_mismatch *m = &b->m;
	char bit[96];

	if (*m->text) {
		snprintf(buf, size, "rule %s: %s", mv_rule_name(m->rule), m->text);
		return;
	}
	mv_bit_format(bit, sizeof(bit), m->leaf, m->subleaf, (unsigned)m->reg, (unsigned)m->lo);
	snprintf(buf, size, "%s, symbol %c", bit, mv_sym_char(m->sym));
}

/* ---- text ---- */

static void print_set(const char *heading, const struct mv_featset *set)
{
	int column = 0;

	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		int len = (int)strlen(mv_features[i].name) + 1;

		if (!mv_featset_has(set, (enum mv_feature_id)i))
			continue;
		if (!column)
			column = printf("# %s:", heading);
		if (column + len > 79)
			column = printf("\n#  ") - 1;
		printf(" %s", mv_features[i].name);
		column += len;
	}
	if (column)
		printf("\n");
}

/* A mask file that can be used as it is; the rest stands in comments. */
static int print_text(const struct job *j)
{
	const struct mv_suggestion *s = j->s;
	size_t n = mv_mask_write(NULL, 0, &s->override, MV_FORM_FEATURE, NULL) + 1;
	char *text = malloc(n);

	if (!text)
		return -MV_E_FAILED;
	mv_mask_write(text, n, &s->override, MV_FORM_FEATURE, NULL);
	if (s->n)
		printf("# %u line%s, from the VM's next start: every one is needed.\n", s->n,
		       s->n == 1 ? "" : "s");
	else
		printf("# Nothing to do: every host accepts the VM as it is.\n");
	print_set("The guest no longer sees", &s->lost);
	print_set("Hidden only, the instructions still execute", &s->leaks);
	fputs(text, stdout);
	free(text);
	return 0;
}

static void print_blocks(const struct job *j)
{
	char text[160];

	for (uint32_t i = 0; i < j->s->nblocks && i < MV_SUGGEST_BLOCKS; i++) {
		block_text(text, sizeof(text), &j->s->blocks[i]);
		fprintf(stderr, "%s: %s\n", host_name(j, j->s->blocks[i].host), text);
	}
	if (j->s->nblocks > MV_SUGGEST_BLOCKS)
		fprintf(stderr, "and %u more\n", j->s->nblocks - MV_SUGGEST_BLOCKS);
	fprintf(stderr, "no mask can help\n");
}

/* ---- JSON ---- */

static struct json_object *json_set(const struct mv_featset *set)
{
	struct json_object *a = json_object_new_array();

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_featset_has(set, (enum mv_feature_id)i))
			json_object_array_add(a, json_object_new_string(mv_features[i].name));
	return a;
}

static void print_json(const struct job *j)
{
	const struct mv_suggestion *s = j->s;
	struct json_object *o = json_object_new_object(), *lines = json_object_new_array();
	struct json_object *blocks = json_object_new_array();
	char text[160];

	for (uint32_t i = 0; i < s->n; i++) {
		mv_suggest_line_text(text, sizeof(text), &s->lines[i]);
		json_object_array_add(lines, json_object_new_string(text));
	}
	for (uint32_t i = 0; i < s->nblocks && i < MV_SUGGEST_BLOCKS; i++) {
		struct json_object *b = json_object_new_object();

		block_text(text, sizeof(text), &s->blocks[i]);
		json_object_object_add(b, "host", json_object_new_string(
							  host_name(j, s->blocks[i].host)));
		json_object_object_add(b, "rule", json_object_new_string(
							  mv_rule_name(s->blocks[i].m.rule)));
		json_object_object_add(b, "text", json_object_new_string(text));
		json_object_array_add(blocks, b);
	}
	json_object_object_add(o, "possible", json_object_new_boolean(!s->nblocks));
	json_object_object_add(o, "lines", lines);
	json_object_object_add(o, "lost", json_set(&s->lost));
	json_object_object_add(o, "hidden-only", json_set(&s->leaks));
	json_object_object_add(o, "reasons", blocks);
	mv_cli_json(o);
}

/* ---- suggest ---- */

static int suggest(struct job *j, const struct suggest_args *a, struct mv_err *err)
{
	unsigned ncpus = j->st->config.nvcpus ? j->st->config.nvcpus : 1;
	int rc = 0;

	for (uint32_t i = 0; i < j->n && rc == 0; i++) {
		rc = mv_cli_host_file(&j->all[i], j->files[i], err);
		j->hosts[i] = &j->all[i];
	}
	if (rc == 0)
		rc = mv_suggest(j->s, j->w, &j->st->policy, ncpus, j->hosts, j->n, &a->verdict,
				err);
	if (rc)
		return rc;
	if (mv_output.json)
		print_json(j);
	else if (j->s->nblocks)
		print_blocks(j);
	else if (print_text(j))
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	return j->s->nblocks ? MV_EXIT_REFUSED : MV_EXIT_OK;
}

/* Its CPU is no mask of ours, and the host that it would start on is told in part at best. */
static int not_a_domain(const char *name)
{
	struct mv_err err = { 0 };

	mv_err_set(&err, MV_E_USAGE, "'%.200s' is a libvirt domain: an override would be for a VM of this program", name);
	mv_err_hint(&err, "minivmm check names what to disable in its <cpu>");
	return mv_cli_error(&err);
}

static int run(int argc, char **argv)
{
	struct suggest_args a = { .verdict = { .mode = MV_VERDICT_GUIDE } };
	struct mv_err err = { 0 };
	struct job j = { 0 };
	int code, first, rc;

	mv_launch_init(&a.launch);
	first = mv_cli_options(&mv_cmd_mask_suggest, argc, argv, suggest_option, &a, &code);
	if (first < 0)
		return code;
	j.files = argv + first + !a.start_host;
	if (argc - first < 1 + !a.start_host)
		return mv_cli_usage(&mv_cmd_mask_suggest, a.start_host ? "no host file given"
					  : "a snapshot and at least one host file are needed");
	if (!a.start_host && (a.launch.nmasks || a.launch.guest_os || a.launch.default_mask ||
			      a.launch.baseline))
		return mv_cli_usage(&mv_cmd_mask_suggest, "a snapshot has its mask; masks go with --on");
	if (!a.start_host && mv_cli_is_domain(argv[first]))
		return not_a_domain(argv[first]);
	j.n = (uint32_t)(argc - first) - !a.start_host;
	j.st = calloc(1, sizeof(*j.st));
	j.all = calloc(j.n, sizeof(*j.all));
	j.hosts = calloc(j.n, sizeof(*j.hosts));
	j.s = calloc(1, sizeof(*j.s));
	j.w = calloc(1, sizeof(*j.w));
	rc = j.st && j.all && j.hosts && j.s && j.w
		     ? mv_launch_judged_vm(&a.launch, a.start_host, argv[first], j.st, &err)
		     : mv_err_set(&err, MV_E_FAILED, "out of memory");
	if (rc == 0)
		rc = suggest(&j, &a, &err);
	free(j.st);
	free(j.all);
	free(j.hosts);
	free(j.s);
	free(j.w);
	return rc < 0 ? mv_cli_error(&err) : rc;
}

static const struct mv_opt suggest_opts[] = {
	{ "on", "HOST", "instead of a snapshot: a VM started on that host", OPT_ON },
	{ "mask", "FILE", "with --on: override mask; may be repeated", 'm' },
	{ "guest-os", "NAME", "with --on: default mask", 'g' },
	{ "default-mask", "FILE", "with --on: default mask from a file", 'D' },
	{ "baseline", "NAME", "with --on: intel-penryn … or a file, laid over it", 'B' },
	MV_CLI_RULE_OPT(OPT_RULE),
	{ "unsafe-ignore-cpu", "NAMES", "features or rules to leave out, by comma", OPT_IGNORE },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_mask_suggest = {
	.name = "mask suggest",
	.args = "SNAPSHOT HOST… | --on HOST [--mask FILE] HOST…",
	.summary = "the smallest override under which every host accepts the VM",
	.opts = suggest_opts,
	.more = "A mask file on standard output; its comments say what the guest loses, and what\n"
		"is hidden only: still executable. It goes on top of the VM's masks from its next\n"
		"start on. Exit 3: no mask can help, and why.\n",
	.run = run,
};
