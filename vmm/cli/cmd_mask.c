/* SPDX-License-Identifier: MIT */
/* minivmm mask: the final mask, and the default masks. */
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "host_native.h"
#include "launch.h"
#include "maskload.h"

struct mask_args {
	struct mv_launch launch;	/* masks only */
	const char *host;		/* NULL: this machine */
	bool effective;
};

enum { OPT_EFFECTIVE = 256, OPT_HOST };

static int option(void *ctx, int key, const char *arg)
{
	struct mask_args *a = ctx;

	switch (key) {
	case OPT_EFFECTIVE:
		a->effective = true;
		return 0;
	case OPT_HOST:
		a->host = arg;
		return 0;
	default:
		return mv_launch_option(&mv_cmd_mask, &a->launch, key, arg);
	}
}

/*
 * The host whose vendor lines count and, if asked for, whose features do. Without KVM the raw view has
 * to stand for the offer; that is said.
 */
static int find_host(const struct mask_args *a, struct mv_host *h, bool features,
		     struct mv_err *err)
{
	if (a->host)
		return mv_cli_host_file(h, a->host, err);
	if (!features)
		return mv_host_native(h, NULL, err);
	return mv_cli_this_host(h, err);
}

/* The policy that the masks make on that host; closed over its features if they count. */
static int resolve(struct mask_args *a, struct mv_policy *p, struct mv_notes *notes, bool apply,
		   struct mv_err *err)
{
	int rc = find_host(a, &p->source, apply, err);

	if (rc == 0)
		rc = mv_launch_masks(&a->launch, p, mv_table_vendor(&p->source.raw), err);
	return rc == 0 && apply ? mv_apply(p, 1, notes, err) : rc;
}

static void print_final(const struct mask_args *a, const struct mv_policy *p)
{
	const struct mv_mask *m = a->effective ? &p->effective : &p->final;

	if (mv_output.json)
		mv_cli_json(mv_json_mask(m, &p->files));
	else
		mv_print_mask(stdout, m);
}

/* final or lint: what the masks lead to. */
static int result(struct mask_args *a, bool lint)
{
	struct mv_policy *p = calloc(1, sizeof(*p));
	struct mv_notes *notes = calloc(1, sizeof(*notes));
	struct mv_err err = { 0 };
	int rc = p && notes ? resolve(a, p, notes, lint || a->effective, &err)
			    : mv_err_set(&err, MV_E_FAILED, "out of memory");

	if (rc == 0 && lint)
		mv_print_lint(p, notes, a->host ? mv_cli_shown(a->host) : "this host");
	else if (rc == 0)
		print_final(a, p);
	free(p);
	free(notes);
	return rc ? mv_cli_error(&err) : MV_EXIT_OK;
}

/* Names by blanks: one a line, or as a JSON list called what. */
static void print_names(const char *what, const char *list)
{
	struct json_object *o = json_object_new_object(), *names = json_object_new_array();

	for (size_t n; *list; list += n + (list[n] == ' ')) {
		n = strcspn(list, " ");
		json_object_array_add(names, json_object_new_string_len(list, (int)n));
		if (!mv_output.json)
			printf("%.*s\n", (int)n, list);
	}
	json_object_object_add(o, what, names);
	if (mv_output.json)
		mv_cli_json(json_object_get(o));
	json_object_put(o);
}

static void print_builtin(const char *name, const struct mv_builtin *b)
{
	struct json_object *o;

	if (!mv_output.json) {
		fwrite(b->data, 1, b->size, stdout);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "mask", json_object_new_string_len((const char *)b->data, (int)b->size));
	mv_cli_json(o);
}

/* A default mask as its file is. */
static int show(const char *name)
{
	const struct mv_builtin *b;
	struct mv_err err = { 0 };
	char file[64], names[256], baselines[1024];

	mv_guest_os_names(names, sizeof(names));
	mv_baseline_names(baselines, sizeof(baselines));
	if (!name || !strcmp(name, "baselines")) {
		name ? print_names("baselines", baselines) : print_names("guest-os", names);
		return MV_EXIT_OK;
	}
	snprintf(file, sizeof(file), "%s.mask", name);
	b = mv_builtin_find(file);
	if (!b) {
		mv_err_set(&err, MV_E_USAGE, "no default mask for guest OS '%s', and no baseline",
			   name);
		mv_err_hint(&err, "there are: %.200s, and the baselines %.250s", names, baselines);
		return mv_cli_error(&err);
	}
	print_builtin(name, b);
	return MV_EXIT_OK;
}

static bool any_option(const struct mask_args *a)
{
	const struct mv_launch *l = &a->launch;

	return l->nmasks || l->guest_os || l->default_mask || l->baseline || a->host || a->effective;
}

static int run(int argc, char **argv)
{
	struct mask_args a = { .host = NULL };
	int code, first;
	bool lint;

	mv_launch_init(&a.launch);
	first = mv_cli_options(&mv_cmd_mask, argc, argv, option, &a, &code);
	if (first < 0)
		return code;
	if (first == argc)
		return mv_cli_usage(&mv_cmd_mask, "say what: final, lint, show, suggest, convert");
	lint = !strcmp(argv[first], "lint");
	if ((lint || !strcmp(argv[first], "final")) && argc - first == 1)
		return result(&a, lint);
	if (!strcmp(argv[first], "show") && argc - first <= 2 && any_option(&a))
		return mv_cli_usage(&mv_cmd_mask, "'show' takes a name and nothing else: mask show linux64");
	if (!strcmp(argv[first], "show") && argc - first <= 2)
		return show(argc - first == 2 ? argv[first + 1] : NULL);
	if (lint || !strcmp(argv[first], "final"))
		return mv_cli_usage(&mv_cmd_mask, "'%s' is too much after '%s': masks go behind --mask",
				    argv[argc - 1], argv[first]);
	if (!strcmp(argv[first], "show"))
		return mv_cli_usage(&mv_cmd_mask, "'%s' is too much after '%s'", argv[argc - 1],
				    argv[first]);
	if (!strcmp(argv[first], "suggest") || !strcmp(argv[first], "convert"))
		return mv_cli_usage(&mv_cmd_mask, "'%s' comes first, then its options",
				    argv[first]);
	return mv_cli_usage(&mv_cmd_mask, "'%s' is none of final, lint, show, suggest, convert",
			    argv[first]);
}

static const struct mv_opt opts[] = {
	{ "mask", "FILE", "override mask; may be repeated, a later one wins", 'm' },
	{ "guest-os", "NAME", "default mask: linux64, generic64 (the default) …", 'g' },
	{ "default-mask", "FILE", "default mask from a file", 'D' },
	{ "baseline", "NAME", "intel-penryn … or a file, laid over it", 'B' },
	{ "effective", NULL, "after dependency closure, on this host or --host", OPT_EFFECTIVE },
	{ "host", "FILE", "for the host of that file", OPT_HOST },
	MV_OPT_END,
};

static const struct mv_cmd *const parts[] = { &mv_cmd_mask_suggest, &mv_cmd_mask_convert, NULL };

const struct mv_cmd mv_cmd_mask = {
	.name = "mask",
	.parts = parts,
	.args = "final|lint [OPTIONS] | show [NAME] | suggest … | convert …",
	.summary = "the mask that results, the built-in ones, the one that helps",
	.opts = opts,
	.more = "final:   default mask, baseline and overrides, in the guide's layout.\n"
		"lint:    what they do on a host that was perhaps not meant: a VM that would not\n"
		"         start, hidden features that still execute, shown ones that can't work;\n"
		"         the psABI level left.\n"
		"show:    a default mask or baseline as it is built in; without NAME, the guest\n"
		"         OS names; with \"baselines\", theirs.\n"
		"suggest: the smallest override under which hosts accept a VM.\n"
		"convert: override masks in another form.\n"
		"The last two have options of their own: minivmm mask suggest --help.\n",
	.run = run,
};
