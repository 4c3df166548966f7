/* SPDX-License-Identifier: MIT */
/* minivmm check: would each of these hosts accept the VM? No /dev/kvm needed. */
#include <stdlib.h>
#include <string.h>

#include "launch.h"
#include "lint.h"

struct check_args {
	struct mv_launch launch;	/* masks only */
	struct mv_verdict_opts verdict;
	const char *start_host;
	bool strict;
};

enum { OPT_RULE = 256, OPT_COLD, OPT_STRICT, OPT_IGNORE, OPT_ON };

static int option(void *ctx, int key, const char *arg)
{
	struct check_args *a = ctx;

	switch (key) {
	case OPT_RULE:
		return mv_cli_rule(&mv_cmd_check, arg, &a->verdict.mode);
	case OPT_COLD:
		a->verdict.cold = true;
		return 0;
	case OPT_STRICT:
		a->strict = true;
		return 0;
	case OPT_IGNORE:
		a->verdict.ignore = arg;
		return 0;
	case OPT_ON:
		a->start_host = arg;
		return 0;
	default:
		return mv_launch_option(&mv_cmd_check, &a->launch, key, arg);
	}
}

/* A line of names, cut to the width of a terminal unless all are wanted. */
static void print_leaks(const char *file, bool vmx, const enum mv_feature_id *id, size_t n)
{
	int room = 79 - printf("%s%s", n ? file : "", n ? ": " : "");

	if (n == 0)
		return;
	room -= printf("%zu hidden still execute%s (%s):", n, n == 1 ? "s" : "",
		       vmx ? "VMX" : "SVM");
	for (size_t i = 0; i < n; i++) {
		const char *name = mv_features[id[i]].name;

		room -= (int)strlen(name) + 2;
		if (i >= 3 && room < 2 && !mv_output.verbose) {
			printf(" …");
			break;
		}
		printf(" %s%s", name, i + 1 < n ? "," : "");
	}
	printf("\n");
}

/* Programs that try instructions instead of asking will find these there, whatever the verdict. */
static void leaks(const struct mv_policy *p, const struct mv_host *h, const char *file,
		  struct json_object *result)
{
	bool vmx = mv_table_vmx(&h->raw);
	enum mv_feature_id id[MV_NFEATURES];
	size_t n = mv_leaks(p, h, vmx, id, MV_NFEATURES);
	struct json_object *list;

	if (result) {
		list = json_object_new_array();
		for (size_t i = 0; i < n; i++)
			json_object_array_add(list,
					      json_object_new_string(mv_features[id[i]].name));
		json_object_object_add(result, "kind", json_object_new_string(vmx ? "vmx" : "svm"));
		json_object_object_add(result, "leaks", list);
		return;
	}
	print_leaks(file, vmx, id, n);
}

/* One destination: an exit code. */
static int check_one(const struct check_args *a, const struct mv_static *st, const char *file,
		     struct json_object *results)
{
	struct mv_verdict *v = malloc(sizeof(*v));
	struct mv_host *h = malloc(sizeof(*h));
	struct mv_err err = { 0 };
	int code = MV_EXIT_OK, rc;

	rc = v && h ? mv_cli_host_file(h, file, &err) : mv_err_set(&err, MV_E_FAILED, "out of memory");
	if (rc == 0 && a->strict)
		rc = mv_cli_known(h, file, &err);
	if (rc == 0)
		rc = mv_verdict(v, &st->policy, h, &a->verdict, &err);
	if (rc && results) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "destination", json_object_new_string(file));
		json_object_object_add(o, "error", mv_json_error(&err));
		json_object_array_add(results, o);
		code = mv_cli_exit_code(err.code);
	} else if (rc) {
		code = mv_cli_error(&err);
	} else {
		code = v->refusals ? MV_EXIT_REFUSED : MV_EXIT_OK;
		if (results) {
			struct json_object *o = mv_json_verdict(&st->policy, h, file, v,
								a->verdict.mode);

			leaks(&st->policy, h, file, o);
			json_object_array_add(results, o);
		} else {
			mv_print_verdict(stdout, &st->policy, h, mv_cli_shown(file), v, a->verdict.mode);
			leaks(&st->policy, h, mv_cli_shown(file), NULL);
		}
	}
	free(v);
	free(h);
	return code;
}

/* Unusable input outweighs a refusal; both outweigh acceptance. */
static int worse(int a, int b)
{
	if (a == MV_EXIT_OK || b == MV_EXIT_OK)
		return a == MV_EXIT_OK ? b : a;
	return a == MV_EXIT_REFUSED ? b : a;
}

static int run(int argc, char **argv)
{
	struct check_args a = { .verdict = { .mode = MV_VERDICT_GUIDE } };
	struct mv_static *st = calloc(1, sizeof(*st));
	struct json_object *results = NULL;
	struct mv_err err = { 0 };
	int code = MV_EXIT_OK, first, rc;

	mv_launch_init(&a.launch);
	first = mv_cli_options(&mv_cmd_check, argc, argv, option, &a, &code);
	if (first < 0 || !st) {
		free(st);
		return code;
	}
	if (argc - first < (a.start_host ? 1 : 2)) {
		free(st);
		return mv_cli_usage(&mv_cmd_check, a.start_host ? "no host file given"
						   : "a VM and at least one host are needed");
	}
	if (!a.start_host && (a.launch.nmasks || a.launch.guest_os || a.launch.default_mask ||
			      a.launch.baseline)) {
		free(st);
		return mv_cli_usage(&mv_cmd_check, "a snapshot has its mask; masks go with --on");
	}
	rc = mv_launch_judged_vm(&a.launch, a.start_host, argv[first], st, &err);
	if (rc)
		code = rc > 0 ? rc : mv_cli_error(&err);
	if (rc == 0 && mv_output.json)
		results = json_object_new_array();
	for (int i = a.start_host ? first : first + 1; rc == 0 && i < argc; i++)
		code = worse(code, check_one(&a, st, argv[i], results));
	if (results)
		mv_cli_json(results);
	free(st);
	return code;
}

static const struct mv_opt opts[] = {
	{ "on", "HOST", "instead of a snapshot: a VM started on that host", OPT_ON },
	{ "mask", "FILE", "with --on: override mask; may be repeated", 'm' },
	{ "guest-os", "NAME", "with --on: default mask", 'g' },
	{ "default-mask", "FILE", "with --on: default mask from a file", 'D' },
	{ "baseline", "NAME", "with --on: intel-penryn … or a file, laid over it", 'B' },
	MV_CLI_RULE_OPT(OPT_RULE),
	{ "cold", NULL, "the VM is off and will start there", OPT_COLD },
	{ "strict", NULL, "refuse hosts known by a dump or libvirt only", OPT_STRICT },
	{ "unsafe-ignore-cpu", "NAMES", "features or rules not to refuse for, by comma",
	  OPT_IGNORE },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_check = {
	.name = "check",
	.args = "VM HOST… | --on HOST [--mask FILE] HOST…",
	.summary = "would each of these hosts accept the VM?",
	.opts = opts,
	.more = "VM is a snapshot, DOMAIN@URI for a libvirt domain, a file with a domain's XML,\n"
		"or - to read that. HOST is a host file (minivmm host -o FILE) or a libvirt URI.\n"
		"The verdict is the one that restore would give there. Exit 0: every host\n"
		"accepts; 3: one refuses; 4: an input was unusable.\n"
		"Hidden features that still execute there are named, all with -v: they are found\n"
		"by programs that try instructions instead of asking CPUID.\n",
	.run = run,
};
