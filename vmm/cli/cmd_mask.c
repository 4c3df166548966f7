/* SPDX-License-Identifier: MIT */
/* minivmm mask: the final mask, and the default masks. */
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "host_json.h"
#include "host_native.h"
#include "launch.h"
#include "proof.h"

extern const struct mv_cmd mv_cmd_mask;

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
 * The host whose vendor lines count and, for the effective mask, whose features do. Without KVM the
 * raw view has to stand for the offer; that is said.
 */
static int find_host(struct mask_args *a, struct mv_host *h, struct mv_err *err)
{
	struct mv_kvm kvm;
	int rc;

	if (a->host)
		return mv_host_load(h, a->host, err);
	if (!a->effective)
		return mv_host_native(h, NULL, err);
	if (mv_kvm_open(&kvm, NULL)) {
		mv_cli_note("warning: no KVM here: assuming that it would offer all this CPU has");
		rc = mv_host_native(h, NULL, err);
		h->kvm = h->raw;
		h->assumed = true;
		h->proof[MV_INTERCEPTION_KERNEL] = MV_PROOF_BOTH;
		return rc;
	}
	rc = mv_host_native(h, &kvm, err);
	if (rc == 0)
		rc = mv_prove(h, &kvm, MV_PROVE_FIRST, err);
	mv_kvm_close(&kvm);
	return rc;
}

static int final(struct mask_args *a)
{
	struct mv_policy *p = calloc(1, sizeof(*p));
	struct mv_notes *notes = calloc(1, sizeof(*notes));
	struct mv_mask_request req = {
		.guest_os = a->launch.guest_os, .default_mask = a->launch.default_mask,
		.overrides = a->launch.masks, .noverrides = a->launch.nmasks,
	};
	const struct mv_mask *m;
	struct mv_err err = { 0 };
	int rc = p && notes ? find_host(a, &p->source, &err)
			    : mv_err_set(&err, MV_E_FAILED, "out of memory");

	if (rc == 0) {
		req.vendor = mv_table_vendor(&p->source.raw);
		rc = mv_masks_load(p, &req, &err);
	}
	if (rc == 0 && a->effective)
		rc = mv_apply(p, 1, notes, &err);
	if (rc == 0) {
		m = a->effective ? &p->effective : &p->final;
		if (mv_output.json)
			mv_cli_json(mv_json_mask(m, &p->files));
		else
			mv_print_mask(stdout, m);
	}
	free(p);
	free(notes);
	return rc ? mv_cli_error(&err) : MV_EXIT_OK;
}

/* A default mask as its file is. */
static int show(const char *name)
{
	const struct mv_builtin *b;
	struct mv_err err = { 0 };
	char file[64], names[256];

	mv_guest_os_names(names, sizeof(names));
	if (!name) {
		printf("%s\n", names);
		return MV_EXIT_OK;
	}
	snprintf(file, sizeof(file), "%s.mask", name);
	b = mv_builtin_find(file);
	if (!b) {
		mv_err_set(&err, MV_E_USAGE, "no default mask for guest OS '%s'", name);
		mv_err_hint(&err, "there are: %s", names);
		return mv_cli_error(&err);
	}
	fwrite(b->data, 1, b->size, stdout);
	return MV_EXIT_OK;
}

static int run(int argc, char **argv)
{
	struct mask_args a = { .host = NULL };
	int code, first;

	mv_launch_init(&a.launch);
	first = mv_cli_options(&mv_cmd_mask, argc, argv, option, &a, &code);
	if (first < 0)
		return code;
	if (first == argc)
		return mv_cli_usage(&mv_cmd_mask, "say what: final or show");
	if (!strcmp(argv[first], "final") && argc - first == 1)
		return final(&a);
	if (!strcmp(argv[first], "show") && argc - first <= 2)
		return show(argc - first == 2 ? argv[first + 1] : NULL);
	if (!strcmp(argv[first], "final") || !strcmp(argv[first], "show"))
		return mv_cli_usage(&mv_cmd_mask, "'%s' is too much after '%s'", argv[argc - 1],
				    argv[first]);
	return mv_cli_usage(&mv_cmd_mask, "'%s' is neither final nor show", argv[first]);
}

static const struct mv_opt opts[] = {
	{ "mask", "FILE", "override mask; may be repeated, a later one wins", 'm' },
	{ "guest-os", "NAME", "default mask: linux64, generic64 (the default) …", 'g' },
	{ "default-mask", "FILE", "default mask from a file", 'D' },
	{ "effective", NULL, "after dependency closure, on this host or --host", OPT_EFFECTIVE },
	{ "host", "FILE", "for the host of that file", OPT_HOST },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_mask = {
	.name = "mask",
	.args = "final [OPTIONS] | show [NAME]",
	.summary = "the mask that results; the default masks",
	.opts = opts,
	.more = "final: default mask with the overrides on top, in the guide's layout.\n"
		"show:  a default mask as it is built in; without NAME, their names.\n",
	.run = run,
};
