/* SPDX-License-Identifier: MIT */
/* minivmm explain: an instruction or a feature, what it needs, what becomes of it in a guest. */
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "guest-tests/linux/rows.h"
#include "launch.h"

struct explain_args {
	struct mv_launch launch;	/* masks only */
	const char *on;			/* host file; NULL: this machine */
	bool guest;			/* about a guest, too */
	struct mv_policy *policy;	/* applied, if so */
	struct mv_notes *notes;
};

enum { OPT_ON = 256 };

static int option(void *ctx, int key, const char *arg)
{
	struct explain_args *a = ctx;

	a->guest = true;
	if (key != OPT_ON)
		return mv_launch_option(&mv_cmd_explain, &a->launch, key, arg);
	a->on = arg;
	return 0;
}

/* The guest that the masks make on that host, even if it could not be started there. */
static int make_guest(struct explain_args *a, struct mv_err *err)
{
	struct mv_host *h;
	int rc;

	a->policy = calloc(1, sizeof(*a->policy));
	a->notes = calloc(1, sizeof(*a->notes));
	if (!a->policy || !a->notes)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	h = &a->policy->source;
	rc = a->on ? mv_cli_host_file(h, a->on, err) : mv_cli_this_host(h, err);
	if (rc == 0)
		rc = mv_launch_masks(&a->launch, a->policy, mv_table_vendor(&h->raw), err);
	return rc ? rc : mv_apply(a->policy, 1, a->notes, err);
}

/* ---- a feature ---- */

static const char *host_name(const struct explain_args *a)
{
	return a->on ? mv_cli_shown(a->on) : "this host";
}

/* "DEP-A, DEP-B": features that id needs, or with below those that need id. */
static void related(char *buf, size_t size, enum mv_feature_id id, bool below)
{
	enum mv_feature_id parents[32];
	size_t n, at = 0;

	*buf = '\0';
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		bool is = false;

		n = mv_feature_parents(below ? (enum mv_feature_id)i : id, parents, 32);
		for (size_t k = 0; k < n && k < 32; k++)
			is |= parents[k] == (below ? id : (enum mv_feature_id)i);
		if (is && at < size)
			at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? ", " : "",
					       mv_features[i].name);
	}
}

static void probes(char *buf, size_t size, enum mv_feature_id id)
{
	size_t at = 0;

	*buf = '\0';
	for (size_t i = 0; i < mv_nrows && at < size; i++) {
		const struct mv_row *r = &mv_rows[i];

		if (r->feature != id)
			continue;
		at += (size_t)snprintf(buf + at, size - at, "%s%s%s", at ? ", " : "", r->mnemonic,
				       r->flags & MV_P_HINT	? " (a hint, proves nothing)"
				       : r->flags & MV_P_CPL0 ? " (CPL 0)"
							      : "");
	}
}

/*
 * What happens to somebody who executes it without asking CPUID. otherwise: what runs where the feature is unknown, as
 * in mv_code.
 */
static void outcome(char *buf, size_t size, const struct mv_fate *f, const char *host, const char *otherwise)
{
	bool off = !f->present || (!f->visible && f->intercepted && f->enforced);
	const char *why = f->present ? "has it, and hiding it is enforced" : "lacks it";

	if (off && !otherwise)
		snprintf(buf, size, "faults: %s %s", host, why);
	else if (off && !*otherwise)
		snprintf(buf, size, "does nothing: %s %s", host, why);
	else if (off)
		snprintf(buf, size, "executes as %s: %s %s", otherwise, host, why);
	else if (f->visible)
		snprintf(buf, size, "executes: %s has it", host);
	else if (!f->intercepted)
		snprintf(buf, size, "may execute: %s has it, and KVM there does not honour masks",
			 host);
	else
		snprintf(buf, size, "executes: %s has it, and hiding it disables nothing", host);
}

static const char *symbol_text(enum mv_sym s)
{
	switch (s) {
	case MV_SYM_X: return "the host's value, never checked";
	case MV_SYM_T: return "shown, required of every host";
	case MV_SYM_F: return "hidden, refused where the host has it";
	case MV_SYM_1: return "shown, whatever the host";
	case MV_SYM_0: return "hidden, whatever the host";
	case MV_SYM_H: return "the host's value, equal on both hosts of a move";
	case MV_SYM_R: return "hidden, hardware equal on both hosts of a move";
	default: return "inherited";
	}
}

/* "hide-sse41.mask:2", or what stands for a line that is not there. */
static void decided(char *buf, size_t size, const struct explain_args *a, const struct mv_fate *f)
{
	char place[300], cause[300];

	mv_policy_place(place, sizeof(place), a->policy, f->at);
	mv_policy_place(cause, sizeof(cause), a->policy, f->cause_at);
	if (f->cause)
		snprintf(buf, size, "cleared because %s is%s%s", f->cause->name,
			 *cause ? ", by " : ": the host lacks it", cause);
	else
		snprintf(buf, size, "%s", *place ? place : "no mask line names it");
}

static void print_fate(const struct explain_args *a, enum mv_feature_id id, const char *otherwise)
{
	char by[800], happens[400];
	struct mv_fate f;

	mv_feature_fate(&f, a->policy, &a->policy->source, a->notes, id);
	decided(by, sizeof(by), a, &f);
	outcome(happens, sizeof(happens), &f, host_name(a), otherwise);
	printf("  this guest   %s: %c (%s), %s\n", f.visible ? "sees it" : "does not see it",
	       mv_sym_char(f.effective), symbol_text(f.effective), by);
	printf("  if executed  %s\n", happens);
}

/* A line, or several if it is a long list. */
static void line(const char *what, const char *text)
{
	while (*text) {
		size_t n = strlen(text), room = 63;

		if (n > room)
			for (n = room; n && text[n - 1] != ' '; n--)
				;
		if (n == 0)
			n = strcspn(text, " ") + 1;
		printf("  %-12s %.*s\n", what, (int)(text[n - 1] == ' ' ? n - 1 : n), text);
		text += n;
		what = "";
	}
}

static void print_feature(const struct explain_args *a, enum mv_feature_id id, const char *otherwise)
{
	const struct mv_feature *f = &mv_features[id];
	const struct {
		const char *system, *names;
	} spelled[] = { { "Linux", f->linux_name }, { "QEMU", f->qemu_name },
			{ "Xen", f->xen_name }, { "VMware", f->vmware_name } };
	char bit[96], text[2048];
	size_t at = 0;

	mv_bit_format(bit, sizeof(bit), f->leaf, f->subleaf, f->reg, f->bit);
	printf("%s\n", bit);
	line("what", f->what);
	*text = '\0';
	for (size_t i = 0; i < sizeof(spelled) / sizeof(spelled[0]); i++)
		if (*spelled[i].names && at < sizeof(text))
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %s",
					       at ? ", " : "", spelled[i].system,
					       spelled[i].names);
	line("spelled", text);
	line("needs", mv_needs_text((enum mv_feature_needs)f->needs));
	related(text, sizeof(text), id, false);
	line("depends on", text);
	related(text, sizeof(text), id, true);
	line("goes with it", text);
	line("hidden, VMX", mv_enforce_text((enum mv_feature_enforce)f->vmx));
	line("hidden, SVM", mv_enforce_text((enum mv_feature_enforce)f->svm));
	line("compared", mv_class_text((enum mv_feature_class)f->cls));
	probes(text, sizeof(text), id);
	line("probed by", *text ? text : "nothing");
	if (a->guest)
		print_fate(a, id, otherwise);
}

/* ---- JSON ---- */

static struct json_object *string(const char *s)
{
	return json_object_new_string(s);
}

static struct json_object *words(const char *text, const char *separators)
{
	struct json_object *list = json_object_new_array();

	for (const char *p = text + strspn(text, separators); *p; p += strspn(p, separators)) {
		size_t n = strcspn(p, separators);

		json_object_array_add(list, json_object_new_string_len(p, (int)n));
		p += n;
	}
	return list;
}

static struct json_object *json_fate(const struct explain_args *a, enum mv_feature_id id, const char *otherwise)
{
	struct json_object *o = json_object_new_object();
	char text[800], sym[2] = "";
	struct mv_fate f;

	mv_feature_fate(&f, a->policy, &a->policy->source, a->notes, id);
	json_object_object_add(o, "visible", json_object_new_boolean(f.visible));
	*sym = mv_sym_char(f.sym);
	json_object_object_add(o, "symbol", string(sym));
	*sym = mv_sym_char(f.effective);
	json_object_object_add(o, "effective", string(sym));
	mv_policy_place(text, sizeof(text), a->policy, f.at);
	json_object_object_add(o, "at", string(text));
	if (f.cause) {
		json_object_object_add(o, "cause", string(f.cause->name));
		mv_policy_place(text, sizeof(text), a->policy, f.cause_at);
		json_object_object_add(o, "cause-at", string(text));
	}
	json_object_object_add(o, "enforced", json_object_new_boolean(f.enforced));
	json_object_object_add(o, "host-executes", json_object_new_boolean(f.present));
	json_object_object_add(o, "host-intercepts", json_object_new_boolean(f.intercepted));
	outcome(text, sizeof(text), &f, host_name(a), otherwise);
	json_object_object_add(o, "executed", string(text));
	return o;
}

static struct json_object *json_feature(const struct explain_args *a, enum mv_feature_id id,
					 const char *otherwise)
{
	struct json_object *o = json_object_new_object(), *alias = json_object_new_object();
	const struct mv_feature *f = &mv_features[id];
	char text[2048];

	json_object_object_add(o, "feature", string(f->name));
	mv_bit_format(text, sizeof(text), f->leaf, f->subleaf, f->reg, f->bit);
	json_object_object_add(o, "cpuid", string(text));
	json_object_object_add(o, "what", string(f->what));
	json_object_object_add(alias, "linux", words(f->linux_name, " "));
	json_object_object_add(alias, "qemu", words(f->qemu_name, " "));
	json_object_object_add(alias, "xen", words(f->xen_name, " "));
	json_object_object_add(alias, "vmware", words(f->vmware_name, " "));
	json_object_object_add(o, "spelled", alias);
	json_object_object_add(o, "needs", string(mv_needs_text((enum mv_feature_needs)f->needs)));
	related(text, sizeof(text), id, false);
	json_object_object_add(o, "depends-on", words(text, ", "));
	related(text, sizeof(text), id, true);
	json_object_object_add(o, "goes-with-it", words(text, ", "));
	json_object_object_add(o, "hidden-vmx",
			       string(mv_enforce_text((enum mv_feature_enforce)f->vmx)));
	json_object_object_add(o, "hidden-svm",
			       string(mv_enforce_text((enum mv_feature_enforce)f->svm)));
	json_object_object_add(o, "compared", string(mv_class_text((enum mv_feature_class)f->cls)));
	if (a->guest)
		json_object_object_add(o, "guest", json_fate(a, id, otherwise));
	return o;
}

/* ---- the command ---- */

static int explain_feature(const struct explain_args *a, const struct mv_feature *f)
{
	const char *otherwise = mv_feature_otherwise(mv_feature_id(f));

	if (mv_output.json)
		mv_cli_json(json_feature(a, mv_feature_id(f), otherwise));
	else
		print_feature(a, mv_feature_id(f), otherwise);
	return MV_EXIT_OK;
}

static int explain_code(const struct explain_args *a, const uint8_t *code, size_t n)
{
	struct json_object *o, *list;
	struct mv_err err = { 0 };
	struct mv_code c;
	char bytes[64];
	size_t at = 0;

	if (mv_code_explain(&c, code, n, &err))
		return mv_cli_error(&err);
	for (unsigned i = 0; i < c.length && at < sizeof(bytes); i++)
		at += (size_t)snprintf(bytes + at, sizeof(bytes) - at, "%s%02x", i ? " " : "",
				       code[i]);
	if (c.length < n)
		mv_cli_note("the first instruction ends after %u of %zu bytes", c.length, n);
	if (mv_output.json) {
		o = json_object_new_object();
		list = json_object_new_array();
		json_object_object_add(o, "bytes", string(bytes));
		json_object_object_add(o, "instruction", string(c.text));
		json_object_object_add(o, "set", string(c.isa));
		json_object_object_add(o, "hint", json_object_new_boolean(c.otherwise && !*c.otherwise));
		if (c.otherwise && *c.otherwise)
			json_object_object_add(o, "otherwise", string(c.otherwise));
		for (unsigned i = 0; i < c.n; i++)
			json_object_array_add(list, json_feature(a, c.needs[i], c.otherwise));
		json_object_object_add(o, "needs", list);
		mv_cli_json(o);
		return MV_EXIT_OK;
	}
	printf("%s   %s\n", bytes, c.text);
	if (c.n == 0)
		printf("needs no CPUID feature\n");
	if (c.otherwise && !*c.otherwise)
		printf("a hint: without the feature it does nothing, and faults nowhere\n");
	else if (c.otherwise)
		printf("without the feature it runs as %s, and faults nowhere\n", c.otherwise);
	for (unsigned i = 0; i < c.n; i++)
		print_feature(a, c.needs[i], c.otherwise);
	return MV_EXIT_OK;
}

static int explain(struct explain_args *a, const char *what)
{
	const struct mv_feature *f = mv_feature_by_name(what, strlen(what));
	uint8_t code[MV_CODE_MAX];
	struct mv_err err = { 0 };
	size_t n = mv_code_parse(what, code);

	if (!f && !n) {
		mv_err_set(&err, MV_E_USAGE,
			   "'%.60s' is neither a CPUID feature nor up to %d bytes in hexadecimal",
			   what, MV_CODE_MAX);
		mv_feature_hint(&err, what, strlen(what));
		mv_err_hint(&err, "as \"66 0f 38 17 c1\" or SSE4.1");
		return mv_cli_error(&err);
	}
	if (a->guest && make_guest(a, &err))
		return mv_cli_error(&err);
	return f ? explain_feature(a, f) : explain_code(a, code, n);
}

static int run(int argc, char **argv)
{
	struct explain_args a = { .on = NULL };
	char what[256] = "";
	int code, first;

	mv_launch_init(&a.launch);
	first = mv_cli_options(&mv_cmd_explain, argc, argv, option, &a, &code);
	if (first < 0)
		return code;
	if (first == argc)
		return mv_cli_usage(&mv_cmd_explain, "an instruction's bytes or a feature's name");
	/* Bytes may come as one argument or as many. */
	for (int i = first; i < argc; i++) {
		size_t n = strlen(what);

		snprintf(what + n, sizeof(what) - n, "%s%s", n ? " " : "", argv[i]);
	}
	code = explain(&a, what);
	free(a.policy);
	free(a.notes);
	return code;
}

static const struct mv_opt opts[] = {
	{ "mask", "FILE", "in a guest under that override; may be repeated", 'm' },
	{ "guest-os", "NAME", "in a guest with that default mask", 'g' },
	{ "default-mask", "FILE", "in a guest with a default mask from a file", 'D' },
	{ "baseline", "NAME", "in a guest under a baseline", 'B' },
	{ "host", "FILE", "… that starts on the host of that file", OPT_ON },
	{ "on", "FILE", "the same as --host", OPT_ON },
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_explain = {
	.name = "explain",
	.args = "BYTES|NAME [--mask FILE] [--host FILE]",
	.summary = "which instruction, which feature, hidden or absent, and why",
	.opts = opts,
	.more = "BYTES are an instruction of 64-bit code, as \"66 0f 38 17 c1\"; NAME is\n"
		"a CPUID feature in any system's spelling. With a mask, a guest OS or a host it\n"
		"says what becomes of it in that guest, and which line decided.\n",
	.run = run,
};
