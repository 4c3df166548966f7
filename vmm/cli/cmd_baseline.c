/* SPDX-License-Identifier: MIT */
/* minivmm baseline: the mask that hosts have in common, and what each of them pays for it. */
#include <stdlib.h>
#include <string.h>

#include "baseline.h"
#include "file.h"
#include "launch.h"
#include "maskwrite.h"
#include "psabi.h"
#include "virt.h"

struct baseline_args {
	struct mv_launch launch;	/* default mask only */
	const char *out;
	int form;
	struct mv_baseline_opts opts;
};

/* What the command works on; the names are those of the files. */
struct job {
	uint32_t n;
	struct mv_host *all;
	const struct mv_host **hosts;
	const char **names;
	struct mv_table *offers;
	struct mv_policy *p;		/* for the default mask, and a guest to try */
	struct mv_notes *notes;
	struct mv_baseline *b;
	unsigned level;			/* psABI */
};

enum { OPT_OUT = 'o', OPT_FORM = 256, OPT_TSC };

static int option(void *ctx, int key, const char *arg)
{
	struct baseline_args *a = ctx;

	switch (key) {
	case OPT_OUT:
		a->out = arg;
		return 0;
	case OPT_FORM:
		a->form = mv_mask_form_parse(arg);
		return a->form < 0 ? mv_cli_usage(&mv_cmd_baseline,
						  "--form is guide, vmx or feature, not '%s'", arg)
				   : 0;
	case OPT_TSC:
		a->opts.ignore_tsc = true;
		return 0;
	default:
		return mv_launch_option(&mv_cmd_baseline, &a->launch, key, arg);
	}
}

/* What reports call the hosts: their files' names without folders, unless those are not all different. */
static void name_hosts(struct job *j, char *const *files)
{
	bool twins = false;

	for (uint32_t i = 0; i < j->n; i++) {
		const char *slash = strrchr(files[i], '/');

		j->names[i] = mv_cli_shown(slash && !mv_virt_is_uri(files[i]) ? slash + 1 : files[i]);
		for (uint32_t k = 0; k < i && !twins; k++)
			twins = !strcmp(j->names[i], j->names[k]);
	}
	for (uint32_t i = 0; i < j->n && twins; i++)
		j->names[i] = mv_cli_shown(files[i]);
}

static int load(struct job *j, char *const *files, struct mv_err *err)
{
	int rc = 0;

	j->all = calloc(j->n, sizeof(*j->all));
	j->hosts = calloc(j->n, sizeof(*j->hosts));
	j->names = calloc(j->n, sizeof(*j->names));
	j->offers = calloc(j->n, sizeof(*j->offers));
	j->p = calloc(1, sizeof(*j->p));
	j->notes = calloc(1, sizeof(*j->notes));
	j->b = calloc(1, sizeof(*j->b));
	if (!j->all || !j->hosts || !j->names || !j->offers || !j->p || !j->notes || !j->b)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	for (uint32_t i = 0; i < j->n && rc == 0; i++) {
		rc = mv_cli_host_file(&j->all[i], files[i], err);
		j->hosts[i] = &j->all[i];
	}
	name_hosts(j, files);
	return rc;
}

static void finish(struct job *j)
{
	free(j->all);
	free(j->hosts);
	free(j->names);
	free(j->offers);
	free(j->p);
	free(j->notes);
	free(j->b);
}

/* ---- reasons ---- */

/* Why a host loses the feature, in words: the same words for all that went for that reason. */
static void reason(char *buf, size_t size, const struct job *j, enum mv_feature_id id)
{
	const struct mv_baseline_bit *bit = &j->b->bits[mv_baseline_root(j->b, id)];
	enum mv_feature_id root = mv_baseline_root(j->b, id);
	uint32_t lacking = 0, told = 0;
	size_t n = 0;

	switch (bit->why) {
	case MV_BL_LAYOUT:
		snprintf(buf, size, "%s and %s keep XSAVE component %u in different places",
			 j->names[bit->a], j->names[bit->b], bit->cause);
		return;
	case MV_BL_FIELD:
		snprintf(buf, size, "%s and %s differ in %s", j->names[bit->a], j->names[bit->b],
			 mv_fields[bit->cause].name);
		return;
	case MV_BL_MSR:
		snprintf(buf, size, "%s and %s differ in the MSR", j->names[bit->a],
			 j->names[bit->b]);
		return;
	case MV_BL_LACKED:
		break;
	default:
		snprintf(buf, size, "hidden by the default mask: %s", mv_features[root].name);
		return;
	}
	for (uint32_t i = 0; i < j->n; i++)
		lacking += !mv_table_has(&j->offers[i], root);
	for (uint32_t i = 0; i < j->n && told < 3 && n < size; i++)
		if (!mv_table_has(&j->offers[i], root))
			n += (size_t)snprintf(buf + n, size - n, "%s%s",
					      told++ ? ", " : "not on ", j->names[i]);
	if (lacking > told && n < size)
		snprintf(buf + n, size - n, " and %u more", lacking - told);
}

/* A list of words under a heading, for 80 columns. */
static void print_words(const char *heading, const char *const *words, size_t n)
{
	int column = fprintf(stderr, "    %s:", heading);

	for (size_t i = 0; i < n; i++) {
		int len = (int)strlen(words[i]) + 1;

		if (column + len > 79)
			column = fprintf(stderr, "\n      ") - 1;
		fprintf(stderr, " %s", words[i]);
		column += len;
	}
	fprintf(stderr, "\n");
}

/* What host h loses, by reason; the features' names point into the bit table. */
static void print_cost(const struct job *j, uint32_t h)
{
	static char reasons[MV_NFEATURES][256];
	const char *words[MV_NFEATURES];
	unsigned lost = 0;

	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		*reasons[i] = '\0';
		if (!mv_baseline_costs(j->b, &j->offers[h], (enum mv_feature_id)i))
			continue;
		lost++;
		reason(reasons[i], sizeof(reasons[i]), j, (enum mv_feature_id)i);
	}
	if (lost)
		fprintf(stderr, "  %s loses %u feature%s\n", j->names[h], lost,
			lost == 1 ? "" : "s");
	else
		fprintf(stderr, "  %s loses nothing\n", j->names[h]);
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		char same[256];
		size_t n = 0;

		if (!*reasons[i])
			continue;
		memcpy(same, reasons[i], sizeof(same));
		for (unsigned k = i; k < MV_NFEATURES; k++)
			if (!strcmp(reasons[k], same)) {
				words[n++] = mv_features[k].name;
				*reasons[k] = '\0';
			}
		print_words(same, words, n);
	}
}

static unsigned shown(const struct mv_baseline *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		n += mv_baseline_shows(b, (enum mv_feature_id)i);
	return n;
}

static void print_summary(const struct job *j)
{
	const struct mv_baseline *b = j->b;

	if (mv_output.quiet)
		return;
	fflush(stdout);
	fprintf(stderr, "baseline of %u host%s, default mask %s: guests see %u features", j->n,
		j->n == 1 ? "" : "s", j->p->guest_os, shown(b));
	if (j->level)
		fprintf(stderr, ", x86-64-v%u", j->level);
	fprintf(stderr, "\n");
	if (b->model_of != MV_BASELINE_NO_HOST)
		fprintf(stderr, "  family and model of %s, wherever they run\n",
			j->names[b->model_of]);
	for (uint32_t i = 0; i < j->n; i++) {
		if (j->hosts[i]->partial)
			fprintf(stderr, "  %s: known through %s: what that does not tell is hidden\n",
				j->names[i], j->hosts[i]->source);
		else if (j->hosts[i]->assumed)
			fprintf(stderr, "  %s: assumed: known by a dump, no KVM was asked there\n",
				j->names[i]);
		print_cost(j, i);
	}
}

/* ---- JSON ---- */

static struct json_object *json_cost(const struct job *j, uint32_t h)
{
	struct json_object *o = json_object_new_object(), *lost = json_object_new_array();
	char why[256];

	json_object_object_add(o, "host", json_object_new_string(j->names[h]));
	json_object_object_add(o, "assumed", json_object_new_boolean(j->hosts[h]->assumed));
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		enum mv_feature_id id = (enum mv_feature_id)i;
		struct json_object *f, *by;

		if (!mv_baseline_costs(j->b, &j->offers[h], id))
			continue;
		f = json_object_new_object();
		by = json_object_new_array();
		reason(why, sizeof(why), j, id);
		json_object_object_add(f, "feature", json_object_new_string(mv_features[i].name));
		json_object_object_add(f, "why", json_object_new_string(why));
		for (uint32_t k = 0; k < j->n; k++)
			if (!mv_table_has(&j->offers[k], mv_baseline_root(j->b, id)))
				json_object_array_add(by, json_object_new_string(j->names[k]));
		json_object_object_add(f, "lacking-on", by);
		json_object_array_add(lost, f);
	}
	json_object_object_add(o, "lost", lost);
	return o;
}

static void print_json(const struct job *j, const char *text)
{
	struct json_object *o = json_object_new_object(), *hosts = json_object_new_array();
	struct json_object *features = json_object_new_array();

	json_object_object_add(o, "verdict", json_object_new_string("accept"));
	json_object_object_add(o, "default-mask", json_object_new_string(j->p->guest_os));
	json_object_object_add(o, "psabi-level", json_object_new_int((int)j->level));
	if (j->b->model_of != MV_BASELINE_NO_HOST)
		json_object_object_add(o, "model-of",
				       json_object_new_string(j->names[j->b->model_of]));
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_baseline_shows(j->b, (enum mv_feature_id)i))
			json_object_array_add(features,
					      json_object_new_string(mv_features[i].name));
	for (uint32_t i = 0; i < j->n; i++)
		json_object_array_add(hosts, json_cost(j, i));
	json_object_object_add(o, "features", features);
	json_object_object_add(o, "hosts", hosts);
	json_object_object_add(o, "mask", json_object_new_string(text));
	mv_cli_json(o);
}

/* Every reason why there is none. */
static int refused(const struct job *j)
{
	struct json_object *o = json_object_new_object(), *a = json_object_new_array();
	const struct mv_baseline *b = j->b;
	char text[512];

	for (uint32_t i = 0; i < b->nrefusals && i < MV_BASELINE_REFUSALS; i++) {
		mv_baseline_refusal_text(text, sizeof(text), &b->refusals[i], j->hosts, j->names);
		json_object_array_add(a, json_object_new_string(text));
		if (!mv_output.json)
			fprintf(stderr, "refused: %s\n", text);
	}
	if (mv_output.json) {
		json_object_object_add(o, "verdict", json_object_new_string("refuse"));
		json_object_object_add(o, "reasons", a);
		mv_cli_json(o);
		return MV_EXIT_REFUSED;
	}
	json_object_put(a);
	json_object_put(o);
	if (b->nrefusals > MV_BASELINE_REFUSALS)
		fprintf(stderr, "refused: and %u more reasons\n",
			b->nrefusals - MV_BASELINE_REFUSALS);
	fprintf(stderr, "these hosts have no baseline: no mask removes %s\n",
		b->nrefusals == 1 ? "that reason" : "these reasons");
	return MV_EXIT_REFUSED;
}

/* ---- the mask ---- */

/* With a heading that says what it is; the caller frees it. */
static char *mask_text(const struct job *j, enum mv_mask_form form)
{
	size_t n = mv_mask_write(NULL, 0, &j->b->mask, form, NULL) + 256 + (size_t)j->n * 320;
	char *text = malloc(n);
	size_t used;

	if (!text)
		return NULL;
	used = (size_t)snprintf(text, n, "# Baseline of these hosts under the default mask %s:\n",
				j->p->guest_os);
	for (uint32_t i = 0; i < j->n; i++)
		used += (size_t)snprintf(text + used, n - used, "#   %.255s\n", j->names[i]);
	mv_mask_write(text + used, n - used, &j->b->mask, form, NULL);
	return text;
}

/* Which psABI level a guest under it satisfies. */
static int measure(struct job *j, struct mv_err *err)
{
	int rc;

	j->p->source = *j->hosts[0];
	j->p->final = j->b->mask;
	rc = mv_apply(j->p, 1, j->notes, err);
	j->level = rc ? 0 : mv_psabi_level(&j->p->guest);
	return rc;
}

static int put(struct job *j, const struct baseline_args *a, struct mv_err *err)
{
	char *text = mask_text(j, (enum mv_mask_form)a->form);
	int rc = 0;

	if (!text)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	if (a->out)
		rc = mv_new_file_write(a->out, text, strlen(text), err);
	if (rc == 0 && mv_output.json)
		print_json(j, text);
	else if (rc == 0 && !a->out)
		fputs(text, stdout);
	if (rc == 0 && !mv_output.json)
		print_summary(j);
	free(text);
	return rc;
}

static int make(struct job *j, const struct baseline_args *a, struct mv_err *err)
{
	struct mv_mask *def = malloc(sizeof(*def));
	int rc = def ? mv_launch_masks(&a->launch, j->p, mv_table_vendor(&j->hosts[0]->raw), err)
		     : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0) {
		*def = j->p->final;
		rc = mv_baseline(j->b, def, j->hosts, j->n, j->offers, &a->opts, err);
	}
	free(def);
	if (rc == -MV_E_REFUSED)
		return refused(j);
	if (rc == 0)
		rc = measure(j, err);
	return rc ? rc : put(j, a, err);
}

static int run(int argc, char **argv)
{
	struct baseline_args a = { .form = MV_FORM_FEATURE };
	struct mv_err err = { 0 };
	struct job j = { 0 };
	int code, first, rc;

	mv_launch_init(&a.launch);
	first = mv_cli_options(&mv_cmd_baseline, argc, argv, option, &a, &code);
	if (first < 0)
		return code;
	if (first == argc)
		return mv_cli_usage(&mv_cmd_baseline, "no host file given");
	j.n = (uint32_t)(argc - first);
	rc = load(&j, argv + first, &err);
	if (rc == 0)
		rc = make(&j, &a, &err);
	finish(&j);
	return rc < 0 ? mv_cli_error(&err) : rc;
}

static const struct mv_opt opts[] = {
	{ "output", "FILE", "write the mask there (-o)", OPT_OUT },
	{ "guest-os", "NAME", "default mask: linux64, generic64 (the default) …", 'g' },
	{ "default-mask", "FILE", "default mask from a file", 'D' },
	{ "form", "FORM", "feature (the default), guide or vmx", OPT_FORM },
	{ "ignore-tsc", NULL, "also for hosts whose TSCs differ", OPT_TSC },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_baseline = {
	.name = "baseline",
	.args = "HOST… [-o FILE]",
	.summary = "the mask that these hosts have in common",
	.opts = opts,
	.more = "HOST is a host file (minivmm host -o FILE) or a libvirt URI. A VM started under\n"
		"the mask on any of the hosts is accepted by all the others. Standard error\n"
		"tells what each host loses, and because of which. Exit 3: no mask can do that,\n"
		"and why.\n",
	.run = run,
};
