/* SPDX-License-Identifier: MIT */
#include "admit.h"

#include <stdlib.h>
#include <string.h>

#include "power_on.h"

/* The report as text and as JSON, for somebody elsewhere. */
static void keep(const struct mv_launch *l, const struct mv_verdict_opts *opts,
		 const struct mv_verdict *v, char **text, char **json)
{
	const struct mv_policy *p = &l->st->policy;
	struct json_object *o;
	size_t len;
	FILE *f = open_memstream(text, &len);

	if (f) {
		mv_print_verdict(f, p, l->host, "the destination", v, opts->mode);
		fclose(f);
	}
	o = mv_json_verdict(p, l->host, "the destination", v, opts->mode);
	*json = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

static int judge(struct mv_launch *l, const struct mv_verdict_opts *opts, char **text, char **json,
		 struct mv_err *err)
{
	const struct mv_policy *p = &l->st->policy;
	struct mv_verdict *v = malloc(sizeof(*v));
	int rc = v ? mv_verdict(v, p, l->host, opts, err)
		   : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0 && (v->refusals || v->n) && !mv_output.json)
		mv_print_verdict(stderr, p, l->host, "this host", v, opts->mode);
	if (rc == 0 && v->refusals && mv_output.json)
		mv_cli_json(mv_json_verdict(p, l->host, "this host", v, opts->mode));
	if (rc == 0 && v->refusals && text && json)
		keep(l, opts, v, text, json);
	if (rc == 0 && v->refusals)
		rc = MV_EXIT_REFUSED;
	if (rc == MV_EXIT_REFUSED && !mv_output.json)
		mv_cli_note("nothing was created");
	free(v);
	return rc;
}

/* What was overridden travels on with the VM: whatever saves or moves it next tells. */
static int record_ignored(struct mv_policy *p, const char *ignored, struct mv_err *err)
{
	if (mv_policy_ignore(p, ignored))
		return 0;
	return mv_err_set(err, MV_E_USAGE,
			  "the list of what was ignored so far would be longer than %zu bytes",
			  sizeof(p->ignored) - 1);
}

/* The mechanism of this host; the guest keeps its table, whatever answers from it. */
static int choose(struct mv_launch *l, struct mv_err *err)
{
	struct mv_policy *p = &l->st->policy;
	struct mv_sites sites = { .all = p->patchable, .cpl3 = p->patch_cpl3 };
	int asked = l->intercept, rc;
	char why[256];

	if (p->intercept == MV_INTERCEPTION_NONE && asked == MV_INTERCEPT_AUTO)
		asked = MV_INTERCEPTION_NONE;
	rc = mv_choose_intercept(p, l->host, &sites, asked, why, err);
	if (rc == 0 && *why)
		mv_cli_note("warning: %s", why);
	return rc;
}

int mv_cli_admit(struct mv_launch *l, const struct mv_verdict_opts *opts, char **text, char **json,
		 struct mv_err *err)
{
	struct mv_verdict_opts here = *opts;
	int rc;

	here.untouched = l->intercept == MV_INTERCEPTION_NONE;
	rc = judge(l, &here, text, json, err);
	if (rc == 0)
		rc = choose(l, err);
	if (rc == 0)
		rc = record_ignored(&l->st->policy, opts->ignore, err);
	/* What was overridden is no longer in force. */
	l->st->policy.kvm_controls &= l->host->kvm_controls;
	if (rc == 0)
		mv_policy_move(&l->st->policy, l->host);
	return rc;
}
