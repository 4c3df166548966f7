/* SPDX-License-Identifier: MIT */
/* What lint finds, in words. */
#include <string.h>

#include "cli.h"
#include "lint.h"
#include "psabi.h"

#define MAX_FINDINGS 512
#define MAX_MISSING 16

static const char *why(const struct mv_lint *l)
{
	switch (l->kind) {
	case MV_LINT_ORPHAN: return "shown, although what it needs is not shown";
	case MV_LINT_FORCED: return "shown, although the host lacks it";
	case MV_LINT_HIDDEN_ONLY: return "hidden, and the instruction still executes";
	case MV_LINT_SPLIT: return "hidden, and kept working by one that is shown";
	case MV_LINT_SIGNATURE: return "hidden, while family and model still promise it";
	}
	return "";
}

static void print_one(const struct mv_policy *p, const struct mv_lint *l)
{
	char at[300];

	mv_policy_place(at, sizeof(at), p, l->at);
	printf("%-12s %s: %s%s%s%s%s%s\n", mv_lint_name(l->kind), l->feature->name, why(l),
	       l->cause ? ": " : "", l->cause ? l->cause->name : "", *at ? " (" : "", at,
	       *at ? ")" : "");
}

static struct json_object *json_one(const struct mv_policy *p, const struct mv_lint *l)
{
	struct json_object *o = json_object_new_object();
	char at[300];

	json_object_object_add(o, "kind", json_object_new_string(mv_lint_name(l->kind)));
	json_object_object_add(o, "feature", json_object_new_string(l->feature->name));
	if (l->cause)
		json_object_object_add(o, "cause", json_object_new_string(l->cause->name));
	if (*mv_policy_place(at, sizeof(at), p, l->at))
		json_object_object_add(o, "line", json_object_new_string(at));
	json_object_object_add(o, "text", json_object_new_string(why(l)));
	return o;
}

static void print_level(const struct mv_table *guest)
{
	unsigned level = mv_psabi_level(guest);
	enum mv_feature_id missing[MAX_MISSING];
	size_t n = mv_psabi_missing(guest, level + 1, missing, MAX_MISSING);

	if (level)
		printf("%-12s the guest satisfies x86-64-v%u", "level", level);
	else
		printf("%-12s the guest does not satisfy even x86-64-v1", "level");
	for (size_t i = 0; i < n && i < MAX_MISSING; i++)
		printf("%s%s", i ? ", " : level ? "; for the next it lacks " : ": it lacks ",
		       mv_features[missing[i]].name);
	printf("\n");
}

/* How many of the findings are hidden features that still execute, on which kind of host. */
static void print_leaks(const struct mv_lint *found, size_t n, bool vmx)
{
	unsigned leaks = 0;

	for (size_t i = 0; i < n && i < MAX_FINDINGS; i++)
		leaks += found[i].kind == MV_LINT_HIDDEN_ONLY || found[i].kind == MV_LINT_SPLIT;
	if (leaks)
		printf("%-12s %u hidden feature%s still execute%s on a host with %s\n", "leaks", leaks,
		       leaks == 1 ? "" : "s", leaks == 1 ? "s" : "", vmx ? "VMX" : "SVM");
}

void mv_print_lint(const struct mv_policy *p, const struct mv_notes *notes, const char *host)
{
	static struct mv_lint found[MAX_FINDINGS];
	bool vmx = mv_table_vmx(&p->source.raw);
	size_t n = mv_lint(p, notes, vmx, found, MAX_FINDINGS);
	struct json_object *o, *list;

	if (!mv_output.json) {
		mv_print_refusals(p, notes, host);
		for (size_t i = 0; i < n && i < MAX_FINDINGS; i++)
			print_one(p, &found[i]);
		print_leaks(found, n, vmx);
		print_level(&p->guest);
		return;
	}
	o = json_object_new_object();
	list = json_object_new_array();
	for (size_t i = 0; i < n && i < MAX_FINDINGS; i++)
		json_object_array_add(list, json_one(p, &found[i]));
	json_object_object_add(o, "power-on", mv_json_refusals(p, notes, host));
	json_object_object_add(o, "findings", list);
	json_object_object_add(o, "kind", json_object_new_string(vmx ? "vmx" : "svm"));
	json_object_object_add(o, "psabi-level", json_object_new_int((int)mv_psabi_level(&p->guest)));
	mv_cli_json(o);
}
