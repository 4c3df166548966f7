/* SPDX-License-Identifier: MIT */
/* Masks, power-on notes and verdicts as text for 80 columns, and as JSON with the same fields. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "json.h"
#include "maskwrite.h"

/* ---- masks ---- */

void mv_print_mask(FILE *f, const struct mv_mask *m)
{
	size_t size = mv_mask_write(NULL, 0, m, MV_FORM_GUIDE, NULL) + 1;
	char *text = malloc(size);

	if (!text)
		return;
	mv_mask_write(text, size, m, MV_FORM_GUIDE, NULL);
	fputs(text, f);
	free(text);
}

struct json_object *mv_json_mask(const struct mv_mask *m, const struct mv_mask_files *files)
{
	struct json_object *regs = json_object_new_array(), *o = json_object_new_object();
	struct json_object *names = json_object_new_array(), *fields = json_object_new_object();
	struct json_object *msrs = json_object_new_array();
	char text[MV_MASK_TEXT], msr[MV_MASK_MSR_TEXT];

	for (uint32_t i = 0; i < m->nregs; i++) {
		const struct mv_mask_reg *r = &m->regs[i];
		struct json_object *e = json_object_new_object();

		mv_mask_reg_format(r, text);
		json_object_object_add(e, "level", mv_json_hex(r->leaf, 1));
		json_object_object_add(e, "sublevel", mv_json_hex(r->subleaf, 1));
		json_object_object_add(e, "register", json_object_new_string(mv_reg_name_lower(r->reg)));
		json_object_object_add(e, "symbols", json_object_new_string(text));
		json_object_array_add(regs, e);
	}
	for (uint32_t i = 0; i < m->nfields; i++)
		json_object_object_add(fields, mv_fields[m->fields[i].id].name,
				       json_object_new_int64(m->fields[i].value));
	for (uint32_t i = 0; i < m->nmsrs; i++) {
		struct json_object *e = json_object_new_object();

		mv_mask_msr_format(&m->msrs[i], msr);
		json_object_object_add(e, "msr", mv_json_hex(m->msrs[i].index, 1));
		json_object_object_add(e, "symbols", json_object_new_string(msr));
		json_object_array_add(msrs, e);
	}
	for (uint32_t i = 0; i < files->n; i++)
		json_object_array_add(names, json_object_new_string(files->name[i]));
	json_object_object_add(o, "files", names);
	json_object_object_add(o, "registers", regs);
	json_object_object_add(o, "fields", fields);
	json_object_object_add(o, "msrs", msrs);
	return o;
}

/* ---- power-on ---- */

static void note_text(char *buf, size_t size, const struct mv_policy *p, const struct mv_note *n,
		      const char *host)
{
	char bit[96], at[300], cause_at[300];
	const char *cause = n->cause ? n->cause->name : "";

	if (n->msr)
		snprintf(bit, sizeof(bit), "MSR 0x%x bit %u", n->msr, n->bit);
	else
		mv_bit_format(bit, sizeof(bit), n->leaf, n->subleaf, n->reg, n->bit);
	mv_policy_place(at, sizeof(at), p, n->at);
	mv_policy_place(cause_at, sizeof(cause_at), p, n->cause_at);
	switch (n->kind) {
	case MV_NOTE_T_MISSING:
		snprintf(buf, size, "%s must be set (T, %s), and %s can't offer it", bit, at, host);
		break;
	case MV_NOTE_F_PRESENT:
		snprintf(buf, size, "%s must not be there (F, %s), and %s executes it", bit, at,
			 host);
		break;
	case MV_NOTE_T_ORPHAN:
		snprintf(buf, size, "%s must be set (T, %s), but %s is cleared%s%s", bit, at, cause,
			 *cause_at ? " by " : ": the host lacks it", cause_at);
		break;
	case MV_NOTE_ORPHAN:
		snprintf(buf, size, "%s is set by %s although %s is cleared%s%s", bit, at, cause,
			 *cause_at ? " by " : "", cause_at);
		break;
	case MV_NOTE_FORCED:
		snprintf(buf, size, "%s is set by %s although %s lacks it", bit, at, host);
		break;
	case MV_NOTE_CLOSURE:
		snprintf(buf, size, "%s is cleared because %s is%s%s", bit, cause,
			 *cause_at ? ", by " : "", cause_at);
		break;
	}
}

static bool refuses(const struct mv_note *n)
{
	return n->kind == MV_NOTE_T_MISSING || n->kind == MV_NOTE_F_PRESENT ||
	       n->kind == MV_NOTE_T_ORPHAN;
}

/* What apply noted: refusals on f, warnings as notes. */
static void print_notes(FILE *f, const struct mv_policy *p, const struct mv_notes *notes, const char *host)
{
	char text[900];

	for (uint32_t i = 0; i < notes->n; i++) {
		const struct mv_note *n = &notes->note[i];

		note_text(text, sizeof(text), p, n, host);
		if (refuses(n))
			fprintf(f, "refused: %s\n", text);
		else if (n->kind == MV_NOTE_CLOSURE)
			mv_cli_detail("%s", text);
		else
			mv_cli_note("warning: %s", text);
	}
	if (notes->refusals)
		fprintf(f, "refused at power-on: %u requirement%s not met by %s\n",
			notes->refusals, notes->refusals == 1 ? "" : "s", host);
}

void mv_print_refusals(const struct mv_policy *p, const struct mv_notes *notes, const char *host)
{
	char text[900];

	for (uint32_t i = 0; i < notes->n; i++)
		if (refuses(&notes->note[i])) {
			note_text(text, sizeof(text), p, &notes->note[i], host);
			printf("%-12s %s\n", "refused", text);
		}
}

static struct json_object *json_notes(const struct mv_policy *p, const struct mv_notes *notes, const char *host,
				      bool refusals_alone)
{
	static const char *const kinds[] = {
		[MV_NOTE_T_MISSING] = "T-missing", [MV_NOTE_F_PRESENT] = "F-present",
		[MV_NOTE_T_ORPHAN] = "T-orphan",   [MV_NOTE_FORCED] = "forced",
		[MV_NOTE_ORPHAN] = "orphan",	   [MV_NOTE_CLOSURE] = "closure",
	};
	struct json_object *a = json_object_new_array();
	char text[900], at[300];

	for (uint32_t i = 0; i < notes->n; i++) {
		const struct mv_note *n = &notes->note[i];
		const struct mv_feature *f = mv_feature_at(n->leaf, n->subleaf, n->reg, n->bit);
		const char symbol[2] = { mv_sym_char(n->sym), 0 };
		struct json_object *o;

		if (refusals_alone && !refuses(n))
			continue;
		o = json_object_new_object();
		note_text(text, sizeof(text), p, n, host);
		json_object_object_add(o, "kind", json_object_new_string(kinds[n->kind]));
		if (n->msr) {
			json_object_object_add(o, "msr", mv_json_hex(n->msr, 1));
		} else {
			if (f)
				json_object_object_add(o, "subject", json_object_new_string(f->name));
			json_object_object_add(o, "level", mv_json_hex(n->leaf, 1));
			json_object_object_add(o, "sublevel", mv_json_hex(n->subleaf, 1));
			json_object_object_add(o, "register",
					       json_object_new_string(mv_reg_name_lower(n->reg)));
		}
		json_object_object_add(o, "bit", json_object_new_int(n->bit));
		json_object_object_add(o, "symbol", json_object_new_string(symbol));
		if (*mv_policy_place(at, sizeof(at), p, n->at))
			json_object_object_add(o, "line", json_object_new_string(at));
		json_object_object_add(o, "refuses", json_object_new_boolean(refuses(n)));
		json_object_object_add(o, "text", json_object_new_string(text));
		json_object_array_add(a, o);
	}
	return a;
}

struct json_object *mv_json_refusals(const struct mv_policy *p, const struct mv_notes *notes, const char *host)
{
	return json_notes(p, notes, host, true);
}

int mv_cli_power_on(const struct mv_policy *p, const struct mv_notes *notes, const char *host)
{
	struct json_object *o;

	if (mv_output.json && notes->refusals) {
		o = json_object_new_object();
		json_object_object_add(o, "verdict", json_object_new_string("refuse"));
		json_object_object_add(o, "power-on", json_notes(p, notes, host, false));
		mv_cli_json(o);
	} else {
		print_notes(stderr, p, notes, host);
	}
	return notes->refusals ? MV_EXIT_REFUSED : MV_EXIT_OK;
}

/* ---- verdicts ---- */

static const char *side(const struct mv_mismatch *m)
{
	if (m->unknown)
		return m->sym == MV_SYM_T || m->sym == MV_SYM_F ? "unknown on the destination"
								: "unknown on one side";
	if (m->lo != m->hi)
		return "differs";
	if (m->sym == MV_SYM_T)
		return "destination lacks it";
	if (m->sym == MV_SYM_F)
		return "destination has it";
	return m->want ? "only on the source" : "only on the destination";
}

static bool same_register(const struct mv_mismatch *a, const struct mv_mismatch *b)
{
	return a->leaf == b->leaf && a->subleaf == b->subleaf && a->reg == b->reg;
}

/* Registers first, in order, so that each is shown once with all its bits. */
static bool before(const struct mv_mismatch *a, const struct mv_mismatch *b)
{
	if ((a->reg < 0) != (b->reg < 0))
		return a->reg >= 0;
	if (a->reg < 0)
		return a->rule < b->rule;
	if (a->leaf != b->leaf)
		return a->leaf < b->leaf;
	if (a->subleaf != b->subleaf)
		return a->subleaf < b->subleaf;
	if (a->reg != b->reg)
		return a->reg < b->reg;
	return a->lo < b->lo;
}

static uint32_t sorted(const struct mv_verdict *v, const struct mv_mismatch **out)
{
	for (uint32_t i = 0; i < v->n; i++) {
		uint32_t j = i;

		for (; j > 0 && before(&v->m[i], out[j - 1]); j--)
			out[j] = out[j - 1];
		out[j] = &v->m[i];
	}
	return v->n;
}

/* The override line that answers all mismatches of one register. */
static bool remedy(const struct mv_mismatch *const *m, uint32_t n, char out[MV_MASK_TEXT])
{
	struct mv_mask_reg r = { 0 };
	bool any = false;

	for (uint32_t i = 0; i < n; i++) {
		enum mv_sym s = mv_mismatch_remedy(m[i]);

		for (int bit = m[i]->lo; s != MV_SYM_INHERIT && bit <= m[i]->hi; bit++) {
			mv_mask_reg_set(&r, (unsigned)bit, s, 0);
			any = true;
		}
	}
	mv_mask_reg_format(&r, out);
	return any;
}

static void print_bit(FILE *f, const struct mv_policy *p, const struct mv_mismatch *m)
{
	char at[300], bits[16];

	mv_policy_place(at, sizeof(at), p, m->at);
	if (m->lo == m->hi)
		snprintf(bits, sizeof(bits), "%s:%d", mv_reg_name((unsigned)m->reg), m->lo);
	else
		snprintf(bits, sizeof(bits), "%s:%d-%d", mv_reg_name((unsigned)m->reg), m->hi, m->lo);
	if (m->rule != MV_RULE_SYMBOL)
		fprintf(f, "  * %s (%s, rule %s): %s%s\n", mv_mismatch_subject(m), bits,
			mv_rule_name(m->rule), m->text, m->ignored ? " [ignored]" : "");
	else if (m->lo != m->hi && !m->unknown)
		fprintf(f, "  * %s (%s): 0x%llx, destination 0x%llx; %c %s%s\n",
			mv_mismatch_subject(m), bits, (unsigned long long)m->want,
			(unsigned long long)m->have, mv_sym_char(m->sym), at,
			m->ignored ? " [ignored]" : "");
	else
		fprintf(f, "  * %s (%s): %s; %c %s%s\n", mv_mismatch_subject(m), bits, side(m),
			mv_sym_char(m->sym), at, m->ignored ? " [ignored]" : "");
}

static void print_register(FILE *f, const struct mv_policy *p, const struct mv_host *dst,
			   const struct mv_mismatch *const *m, uint32_t n)
{
	char host[MV_MASK_TEXT], required[MV_MASK_TEXT], level[64], help[MV_MASK_TEXT];

	if (mv_leaf_has_subleaves(m[0]->leaf))
		snprintf(level, sizeof(level), "level 0x%x sublevel 0x%x", m[0]->leaf,
			 m[0]->subleaf);
	else
		snprintf(level, sizeof(level), "level 0x%x", m[0]->leaf);
	mv_verdict_vectors(p, dst, m[0]->leaf, m[0]->subleaf, (unsigned)m[0]->reg, host, required);
	fprintf(f, "CPUID %s register '%s'\n  host bits: %s\n  required:  %s\n", level,
		mv_reg_name_lower((unsigned)m[0]->reg), host, required);
	for (uint32_t i = 0; i < n; i++)
		print_bit(f, p, m[i]);
	if (remedy(m, n, help)) {
		mv_level_format(level, sizeof(level), m[0]->leaf, m[0]->subleaf);
		fprintf(f, "  an override that helps, from the VM's next start: %s\n    %s: %s\n",
			level, mv_reg_name((unsigned)m[0]->reg), help);
	}
}

void mv_print_verdict(FILE *f, const struct mv_policy *p, const struct mv_host *dst,
		      const char *dst_name, const struct mv_verdict *v, enum mv_verdict_mode mode)
{
	const struct mv_mismatch *m[MV_MISMATCHES];
	uint32_t n = sorted(v, m), i = 0;

	if (dst->partial)
		fprintf(f, "%s: known through %s: what that does not tell is unknown\n", dst_name,
			dst->source);
	else if (dst->assumed)
		fprintf(f, "%s: assumed: known by a dump only, no KVM was asked there\n", dst_name);
	if (v->refusals)
		fprintf(f, "%s: refused (rule %s)\nThe host's CPU is incompatible with the CPU "
			   "requirements of the virtual machine:\n", dst_name,
			mode == MV_VERDICT_SUBSET ? "subset" : "guide");
	else
		fprintf(f, "%s: accepted (rule %s)%s\n", dst_name,
			mode == MV_VERDICT_SUBSET ? "subset" : "guide",
			v->n ? ", with these differences ignored on request" : "");
	if (v->unchecked) {
		fprintf(f, "  unknown, so not checked:");
		for (unsigned r = 0; r < MV_NRULES; r++)
			if (v->unchecked >> r & 1)
				fprintf(f, " %s", mv_rule_name((enum mv_rule)r));
		fprintf(f, "\n");
	}
	while (i < n) {
		uint32_t first = i++;

		if (m[first]->reg < 0) {
			char at[300];

			mv_policy_place(at, sizeof(at), p, m[first]->at);
			fprintf(f, "rule %s: %s%s%s%s\n", mv_rule_name(m[first]->rule), m[first]->text,
				*at ? " " : "", at, m[first]->ignored ? " [ignored]" : "");
			continue;
		}
		while (i < n && m[i]->reg >= 0 && same_register(m[first], m[i]))
			i++;
		print_register(f, p, dst, m + first, i - first);
	}
	if (v->refusals)
		fprintf(f, "%s: %u mismatch%s refuse%s%s\n", dst_name, v->refusals,
			v->refusals == 1 ? "" : "es", v->refusals == 1 ? "s" : "",
			v->subset_refusals == 0
				? "; only the guide's rule does, --rule subset accepts"
				: "");
}

static struct json_object *json_mismatch(const struct mv_policy *p, const struct mv_mismatch *m)
{
	struct json_object *o = json_object_new_object();
	char at[300], symbol[2] = { mv_sym_char(m->sym), 0 }, help[2];

	json_object_object_add(o, "rule", json_object_new_string(mv_rule_name(m->rule)));
	json_object_object_add(o, "subject", json_object_new_string(mv_mismatch_subject(m)));
	if (m->reg >= 0) {
		json_object_object_add(o, "level", mv_json_hex(m->leaf, 1));
		json_object_object_add(o, "sublevel", mv_json_hex(m->subleaf, 1));
		json_object_object_add(o, "register",
				       json_object_new_string(mv_reg_name_lower((unsigned)m->reg)));
		json_object_object_add(o, "bit", json_object_new_int(m->lo));
		json_object_object_add(o, "last-bit", json_object_new_int(m->hi));
	}
	if (m->rule == MV_RULE_MSR) {
		json_object_object_add(o, "msr", mv_json_hex(m->msr, 1));
		json_object_object_add(o, "bit", json_object_new_int(m->lo));
	}
	if (m->rule == MV_RULE_SYMBOL || m->rule == MV_RULE_MSR)
		json_object_object_add(o, "symbol", json_object_new_string(symbol));
	if (*mv_policy_place(at, sizeof(at), p, m->at))
		json_object_object_add(o, "line", json_object_new_string(at));
	json_object_object_add(o, "source", json_object_new_int64((int64_t)m->want));
	json_object_object_add(o, "destination", json_object_new_int64((int64_t)m->have));
	if (*m->text)
		json_object_object_add(o, "text", json_object_new_string(m->text));
	if (mv_mismatch_remedy(m) != MV_SYM_INHERIT) {
		help[0] = mv_sym_char(mv_mismatch_remedy(m));
		help[1] = '\0';
		json_object_object_add(o, "override", json_object_new_string(help));
	}
	json_object_object_add(o, "unknown", json_object_new_boolean(m->unknown));
	json_object_object_add(o, "subset-accepts", json_object_new_boolean(m->subset_accepts));
	json_object_object_add(o, "ignored", json_object_new_boolean(m->ignored));
	return o;
}

struct json_object *mv_json_verdict(const struct mv_policy *p, const struct mv_host *dst,
				    const char *dst_name, const struct mv_verdict *v,
				    enum mv_verdict_mode mode)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct json_object *unchecked = json_object_new_array();
	const struct mv_mismatch *m[MV_MISMATCHES];
	uint32_t n = sorted(v, m);

	for (uint32_t i = 0; i < n; i++)
		json_object_array_add(list, json_mismatch(p, m[i]));
	for (unsigned r = 0; r < MV_NRULES; r++)
		if (v->unchecked >> r & 1)
			json_object_array_add(unchecked, json_object_new_string(
							 mv_rule_name((enum mv_rule)r)));
	json_object_object_add(o, "destination", json_object_new_string(dst_name));
	json_object_object_add(o, "verdict",
			       json_object_new_string(v->refusals ? "refuse" : "accept"));
	json_object_object_add(o, "rule", json_object_new_string(
						  mode == MV_VERDICT_SUBSET ? "subset" : "guide"));
	json_object_object_add(o, "assumed", json_object_new_boolean(dst->assumed));
	json_object_object_add(o, "partial", json_object_new_boolean(dst->partial));
	json_object_object_add(o, "not-checked", unchecked);
	json_object_object_add(o, "refusals", json_object_new_int64(v->refusals));
	json_object_object_add(o, "subset-refusals", json_object_new_int64(v->subset_refusals));
	json_object_object_add(o, "mismatches", list);
	return o;
}
