/* SPDX-License-Identifier: MIT */
/* Reasons, shared by what minivmm fleet writes. */
#include <string.h>

#include "fleet_out.h"

const char *mv_fleet_vendor_name(enum mv_vendor v)
{
	static const char *const names[] = { "other", "Intel", "AMD", "Hygon" };

	return (unsigned)v < sizeof(names) / sizeof(names[0]) ? names[v] : names[0];
}

static struct json_object *string(const char *s)
{
	return json_object_new_string(s);
}

/* "SSE4.1 (CPUID level 0x1 ECX:19): only on the source; H generic64.mask:25" */
static void reason_text(char *buf, size_t size, const struct mv_policy *p, const struct mv_mismatch *m)
{
	char bit[112], place[300];

	if (*m->text) {
		snprintf(buf, size, "%s: %s", mv_rule_name(m->rule), m->text);
		return;
	}
	if (m->reg < 0) {
		snprintf(buf, size, "%s", mv_rule_name(m->rule));
		return;
	}
	mv_bit_format(bit, sizeof(bit), m->leaf, m->subleaf, (unsigned)m->reg, (unsigned)m->lo);
	mv_policy_place(place, sizeof(place), p, m->at);
	if (m->hi != m->lo)
		snprintf(buf, size, "%s: 0x%llx there, 0x%llx needed; %c %s", bit, (unsigned long long)m->have,
			 (unsigned long long)m->want, mv_sym_char(m->sym), place);
	else
		snprintf(buf, size, "%s: %s; %c %s", bit,
			 m->sym == MV_SYM_T   ? "lacking there"
			 : m->sym == MV_SYM_F ? "must not be there"
			 : m->want	      ? "only on the source"
					      : "only on the destination",
			 mv_sym_char(m->sym), place);
}

struct json_object *mv_fleet_why(struct mv_fleet *f, const struct mv_policy *p, uint32_t h,
				 struct mv_verdict *v)
{
	struct json_object *all = json_object_new_array();
	struct mv_verdict_opts opts;
	struct mv_err err = { 0 };

	mv_fleet_verdict_opts(f, &opts);
	if (mv_verdict(v, p, mv_fleet_hclass(f, h)->host, &opts, &err)) {
		json_object_put(all);
		return NULL;
	}
	for (uint32_t i = 0; i < v->n; i++) {
		const struct mv_mismatch *m = &v->m[i];
		char text[600], remedy[2] = { mv_sym_char(mv_mismatch_remedy(m)), 0 };
		struct json_object *o;

		if (m->ignored)
			continue;
		o = json_object_new_object();
		reason_text(text, sizeof(text), p, m);
		json_object_object_add(o, "rule", string(mv_rule_name(m->rule)));
		json_object_object_add(o, "subject", string(mv_mismatch_subject(m)));
		json_object_object_add(o, "text", string(text));
		if (mv_mismatch_remedy(m) != MV_SYM_INHERIT)
			json_object_object_add(o, "remedy", string(remedy));
		json_object_array_add(all, o);
	}
	return all;
}

struct json_object *mv_fleet_why_not(const struct mv_policy *p, const struct mv_notes *notes)
{
	struct json_object *all = json_object_new_array();

	for (uint32_t i = 0; i < notes->n; i++) {
		const struct mv_note *n = &notes->note[i];
		struct json_object *o;
		char bit[112], place[300], text[500];

		if (n->kind != MV_NOTE_T_MISSING && n->kind != MV_NOTE_F_PRESENT && n->kind != MV_NOTE_T_ORPHAN)
			continue;
		mv_bit_format(bit, sizeof(bit), n->leaf, n->subleaf, n->reg, n->bit);
		mv_policy_place(place, sizeof(place), p, n->at);
		snprintf(text, sizeof(text), "its own host would not start it: %s; %c %s", bit,
			 mv_sym_char(n->sym), place);
		o = json_object_new_object();
		json_object_object_add(o, "rule", string("power-on"));
		json_object_object_add(o, "text", string(text));
		json_object_array_add(all, o);
	}
	return all;
}

unsigned mv_fleet_lost(const struct mv_fleet_baseline *b, uint32_t i, struct json_object *names)
{
	unsigned n = 0;

	for (unsigned id = 0; id < MV_NFEATURES && !b->b->nrefusals; id++) {
		if (!mv_baseline_costs(b->b, &b->offers[i], (enum mv_feature_id)id))
			continue;
		n++;
		if (names)
			json_object_array_add(names, string(mv_features[id].name));
	}
	return n;
}

struct json_object *mv_fleet_set(const struct mv_featset *set)
{
	struct json_object *a = json_object_new_array();

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_featset_has(set, (enum mv_feature_id)i))
			json_object_array_add(a, string(mv_features[i].name));
	return a;
}

void mv_fleet_say_problems(const struct mv_fleet *f)
{
	struct mv_fleet_size s;

	mv_fleet_sizes(f, &s);
	for (uint32_t i = 0; i < s.problems; i++) {
		const struct mv_fleet_problem *p = mv_fleet_problem_at(f, i);
		const char *hint = mv_fleet_text(f, p->hint);
		char line[16] = "";

		if (p->line)
			snprintf(line, sizeof(line), "%u:", p->line);
		fprintf(stderr, "minivmm: %s:%s %s\n", mv_cli_shown(mv_fleet_text(f, p->path)), line,
			mv_fleet_text(f, p->text));
		if (*hint)
			fprintf(stderr, "minivmm: hint: %s\n", hint);
	}
}
