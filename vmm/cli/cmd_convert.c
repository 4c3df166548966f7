/* SPDX-License-Identifier: MIT */
/* minivmm mask convert: a mask in another form, or in another system's notation. */
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "file.h"
#include "json.h"
#include "launch.h"
#include "maskload.h"

struct convert_args {
	struct mv_launch launch;	/* the files */
	const struct mv_dialect *from, *to;
	struct mv_dialect_opts opts;
	const char *known;
	bool strict;
};

enum { OPT_TO = 256, OPT_FROM, OPT_MODEL, OPT_VENDOR, OPT_KNOWN, OPT_STRICT };

static int dialect(const char *option, const char *name, const struct mv_dialect **out)
{
	char names[256];

	*out = mv_dialect_find(name);
	if (*out)
		return 0;
	mv_dialect_names(names, sizeof(names));
	return mv_cli_usage(&mv_cmd_mask_convert, "%s is %s, not '%s'", option, names, name);
}

static int option(void *ctx, int key, const char *arg)
{
	struct convert_args *a = ctx;

	switch (key) {
	case OPT_TO:
		return dialect("--to", arg, &a->to);
	case OPT_FROM:
		return dialect("--from", arg, &a->from);
	case OPT_MODEL:
		a->opts.model = arg;
		return 0;
	case OPT_VENDOR:
		a->opts.vendor = !strcmp(arg, "intel") ? MV_VENDOR_INTEL : MV_VENDOR_AMD;
		if (strcmp(arg, "intel") && strcmp(arg, "amd"))
			return mv_cli_usage(&mv_cmd_mask_convert, "--vendor is intel or amd, not '%s'", arg);
		return 0;
	case OPT_KNOWN:
		a->known = arg;
		return 0;
	case OPT_STRICT:
		a->strict = true;
		return 0;
	default:
		return mv_launch_option(&mv_cmd_mask_convert, &a->launch, key, arg);
	}
}

/* ---- losses ---- */

/* As many as a reader takes in; --json has all. */
#define SHOWN 12

static void print_loss(const struct mv_loss *l)
{
	int column;

	mv_cli_note("warning: %s%s", l->what, l->n ? ":" : "");
	if (!l->n || mv_output.quiet)
		return;
	column = 0;
	for (uint32_t i = 0; i < l->n && (i < SHOWN || l->n == SHOWN + 1); i++) {
		int len = (int)strlen(l->items[i]) + 2;

		if (column && column + len > 79) {
			fprintf(stderr, ",\n");
			column = 0;
		}
		column += fprintf(stderr, "%s%s", column ? ", " : "  ", l->items[i]);
	}
	if (l->n > SHOWN + 1)
		fprintf(stderr, ",\n  and %u more (--json has all)", l->n - SHOWN);
	fprintf(stderr, "\n");
}

static struct json_object *json_losses(const struct mv_losses *l)
{
	struct json_object *all = json_object_new_array();

	for (uint32_t i = 0; i < l->n; i++) {
		struct json_object *o = json_object_new_object(), *items = json_object_new_array();

		for (uint32_t k = 0; k < l->v[i].n; k++)
			json_object_array_add(items, json_object_new_string(l->v[i].items[k]));
		json_object_object_add(o, "what", json_object_new_string(l->v[i].what));
		json_object_object_add(o, "items", items);
		json_object_array_add(all, o);
	}
	return all;
}

/* ---- files ---- */

#define MAX_TEXT (4u << 20)

/* Files of another system, a later one on top. */
static int load_foreign(const struct convert_args *a, struct mv_mask *m, struct mv_losses *l,
			struct mv_err *err)
{
	struct mv_mask *one = calloc(1, sizeof(*one));
	int rc = one ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");

	for (size_t i = 0; rc == 0 && i < a->launch.nmasks; i++) {
		const char *path = a->launch.masks[i];
		char *text = NULL;
		size_t len;

		rc = mv_read_file(path, MAX_TEXT, &text, &len, err);
		if (rc == 0 && strlen(text) != len)
			rc = mv_err_at(err, MV_E_INPUT, path, 0, 0, "a NUL byte: this is not a text file");
		if (rc == 0)
			rc = a->from->from(one, path, text, len, l, err);
		if (rc == 0)
			rc = mv_mask_overlay(m, one, err);
		free(text);
	}
	free(one);
	return rc;
}

static int load(const struct convert_args *a, struct mv_mask *m, struct mv_mask_directives *d,
		struct mv_losses *l, struct mv_err *err)
{
	if (a->from && a->from->from)
		return load_foreign(a, m, l, err);
	return mv_overrides_load(m, a->launch.masks, a->launch.nmasks, d, err);
}

/* Directives stand first where the form has words for them. */
static void write_directives(FILE *f, const struct convert_args *a, const struct mv_mask_directives *d,
			     struct mv_losses *l)
{
	bool own = !strcmp(a->to->name, "guide") || !strcmp(a->to->name, "feature") ||
		   !strcmp(a->to->name, "vmx");
	static const char lost[] = "what the mask is laid over is left out";

	if (*d->guest_os && own)
		fprintf(f, "guest-os = %s\n", d->guest_os);
	else if (*d->guest_os)
		mv_loss_item(l, lost, "guest-os = %s", d->guest_os);
	if (*d->baseline && own)
		fprintf(f, "baseline = \"%s\"\n", d->baseline);
	else if (*d->baseline)
		mv_loss_item(l, lost, "baseline = %.120s", d->baseline);
}

static void print_json(const struct convert_args *a, const char *text, const struct mv_losses *l)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "form", json_object_new_string(a->to->name));
	json_object_object_add(o, "mask", json_object_new_string(text));
	json_object_object_add(o, "losses", json_losses(l));
	mv_cli_json(o);
}

/* What QEMU prints of itself; anything else would leave every feature out. */
static int load_known(struct convert_args *a, char **text, struct mv_err *err)
{
	size_t len;
	int rc = mv_read_file(a->known, MAX_TEXT, text, &len, err);

	if (rc == 0 && !strstr(*text, "CPUID flags:"))
		rc = mv_err_at(err, MV_E_INPUT, a->known, 0, 0, "not what qemu-system-x86_64 -cpu help prints");
	a->opts.known = *text;
	return rc;
}

static int convert(struct convert_args *a, struct mv_err *err)
{
	struct mv_mask *m = calloc(1, sizeof(*m));
	struct mv_mask_directives d = { "", "" };
	struct mv_losses losses = { 0 };
	char *text = NULL, *known = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int rc = m && f ? load(a, m, &d, &losses, err) : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0 && a->known)
		rc = load_known(a, &known, err);
	if (rc == 0) {
		write_directives(f, a, &d, &losses);
		rc = a->to->to(f, m, &a->opts, &losses, err);
	}
	if (f)
		fclose(f);
	if (rc == 0 && losses.n && a->strict)
		rc = mv_err_set(err, MV_E_REFUSED, "not all of the mask has a place in '%s' (--strict)",
				a->to->name);
	else if (rc == 0 && mv_output.json)
		print_json(a, text, &losses);
	else if (rc == 0)
		fputs(text, stdout);
	fflush(stdout);
	for (uint32_t i = 0; i < losses.n && (rc == 0 || a->strict); i++)
		print_loss(&losses.v[i]);
	mv_losses_free(&losses);
	free(text);
	free(known);
	free(m);
	return rc;
}

static int run(int argc, char **argv)
{
	struct convert_args a = { .from = NULL };
	struct mv_err err = { 0 };
	char names[256];
	int code, first;

	mv_launch_init(&a.launch);
	first = mv_cli_options(&mv_cmd_mask_convert, argc, argv, option, &a, &code);
	if (first < 0)
		return code;
	for (; first < argc; first++) {
		code = mv_launch_option(&mv_cmd_mask_convert, &a.launch, 'm', argv[first]);
		if (code)
			return code;
	}
	mv_dialect_names(names, sizeof(names));
	if (!a.to)
		return mv_cli_usage(&mv_cmd_mask_convert, "--to what: %s?", names);
	if (!a.to->to)
		return mv_cli_usage(&mv_cmd_mask_convert, "'%s' can be read only", a.to->name);
	if (!a.launch.nmasks)
		return mv_cli_usage(&mv_cmd_mask_convert, "no mask file given");
	if (a.known && strcmp(a.to->name, "qemu"))
		return mv_cli_usage(&mv_cmd_mask_convert, "--known goes with --to qemu");
	return convert(&a, &err) ? mv_cli_error(&err) : MV_EXIT_OK;
}

static const struct mv_opt opts[] = {
	{ "to", "FORM", "what to write", OPT_TO },
	{ "from", "FORM", "what the files are (mask files)", OPT_FROM },
	{ "model", "NAME", "with --to qemu or libvirt: the CPU model", OPT_MODEL },
	{ "vendor", "NAME", "intel or amd: whose lines count", OPT_VENDOR },
	{ "known", "FILE", "with --to qemu: its -cpu help, the names it takes", OPT_KNOWN },
	{ "strict", NULL, "refuse, with exit 3, rather than lose anything", OPT_STRICT },
	{ "mask", "FILE", "the same as naming the file", 'm' },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_mask_convert = {
	.name = "mask convert",
	.args = "[--from FORM] --to FORM FILE…",
	.summary = "override masks, merged, in another form or system's notation",
	.opts = opts,
	.more = "FORM is guide, feature, vmx: the mask language, read whichever of them it is;\n"
		"nothing is lost between them; --from vmx takes a whole .vmx file. Or featmask\n"
		"(VMware's feature keys), xl, xl-list (Xen), firecracker, qemu, libvirt: what\n"
		"their notation can't say is told on standard error, bit by bit\n"
		"(docs/dialects.md).\n",
	.run = run,
};
