/* SPDX-License-Identifier: MIT */
#include "host_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "text.h"

#define HOST_VERSION 1

static struct json_object *table_to_json(const struct mv_table *t)
{
	struct json_object *o = json_object_new_object();
	struct mv_table sorted = *t;
	char key[32];

	mv_table_sort(&sorted);
	for (uint32_t i = 0; i < sorted.n; i++) {
		const struct mv_leaf *e = &sorted.e[i];
		struct json_object *regs = json_object_new_array();

		for (unsigned r = 0; r < MV_NREGS; r++)
			json_object_array_add(regs, mv_json_hex(e->reg[r], 8));
		snprintf(key, sizeof(key),
			 mv_leaf_has_subleaves(e->leaf) ? "0x%08x.%x" : "0x%08x", e->leaf,
			 e->subleaf);
		json_object_object_add(o, key, regs);
	}
	return o;
}

static struct json_object *exec_to_json(const struct mv_host *h)
{
	struct json_object *o = json_object_new_object();

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_featset_has(&h->exec_known, (enum mv_feature_id)i))
			json_object_object_add(o, mv_features[i].name,
					       json_object_new_boolean(mv_featset_has(
						       &h->exec_ran, (enum mv_feature_id)i)));
	return o;
}

static struct json_object *proof_to_json(const struct mv_host *h)
{
	struct json_object *o = json_object_new_object();

	for (unsigned i = MV_INTERCEPTION_KERNEL; i < MV_NINTERCEPTIONS; i++) {
		struct json_object *levels = json_object_new_array();

		if (h->proof[i] & MV_PROOF_CPL0)
			json_object_array_add(levels, json_object_new_string("cpl0"));
		if (h->proof[i] & MV_PROOF_CPL3)
			json_object_array_add(levels, json_object_new_string("cpl3"));
		json_object_object_add(o, mv_intercept_name((enum mv_intercept)i), levels);
	}
	return o;
}

static struct json_object *controls_to_json(const struct mv_host *h)
{
	struct json_object *a = json_object_new_array();

	for (unsigned i = 0; i < MV_NKVM_CONTROLS; i++)
		if (h->kvm_controls >> i & 1)
			json_object_array_add(a, json_object_new_string(mv_kvm_control_name(
							 (enum mv_kvm_control)i)));
	return a;
}

static struct json_object *string(const char *s)
{
	return json_object_new_string(s);
}

/* What a partial description tells: names of features and fields. */
static struct json_object *told_to_json(const struct mv_host *h)
{
	struct json_object *o = json_object_new_array();

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_featset_has(&h->told, (enum mv_feature_id)i))
			json_object_array_add(o, json_object_new_string(mv_features[i].name));
	for (unsigned i = 0; i < MV_NFIELDS; i++)
		if (mv_fieldset_has(&h->told_fields, (enum mv_field_id)i))
			json_object_array_add(o, json_object_new_string(mv_fields[i].name));
	return o;
}

struct json_object *mv_host_to_json(const struct mv_host *h)
{
	struct json_object *o = json_object_new_object(), *msrs = json_object_new_object();
	char vendor[13], brand[49], key[16];

	mv_table_vendor_string(&h->raw, vendor);
	mv_table_brand_string(&h->raw, brand);
	json_object_object_add(o, "minivmm-host", json_object_new_int(HOST_VERSION));
	json_object_object_add(o, "name", string(h->name));
	json_object_object_add(o, "vendor", string(vendor));
	json_object_object_add(o, "brand", string(brand));
	json_object_object_add(o, "kernel", string(h->kernel));
	json_object_object_add(o, "source", string(h->source));
	json_object_object_add(o, "microcode", mv_json_hex(h->microcode, 1));
	if (*h->machine)
		json_object_object_add(o, "machine", string(h->machine));
	if (*h->boot)
		json_object_object_add(o, "boot", string(h->boot));
	json_object_object_add(o, "assumed", json_object_new_boolean(h->assumed));
	if (h->partial)
		json_object_object_add(o, "told", told_to_json(h));
	json_object_object_add(o, "raw", table_to_json(&h->raw));
	json_object_object_add(o, "kvm", table_to_json(&h->kvm));
	json_object_object_add(o, "exec", exec_to_json(h));
	for (uint32_t i = 0; i < h->nmsrs; i++) {
		snprintf(key, sizeof(key), "0x%x", h->msrs[i].index);
		json_object_object_add(msrs, key, mv_json_hex(h->msrs[i].value, 1));
	}
	json_object_object_add(o, "msrs", msrs);
	json_object_object_add(o, "xcr0", mv_json_hex(h->xcr0, 1));
	json_object_object_add(o, "tsc-khz", json_object_new_int64(h->tsc_khz));
	json_object_object_add(o, "tsc-scaling", json_object_new_boolean(h->tsc_scaling));
	json_object_object_add(o, "kvm-controls", controls_to_json(h));
	json_object_object_add(o, "proved", json_object_new_boolean(h->proved));
	json_object_object_add(o, "proof", proof_to_json(h));
	json_object_object_add(o, "cpl0-interpreted", json_object_new_boolean(h->cpl0_interpreted));
	return o;
}

/* ---- reading ---- */

struct reading {
	struct json_object *o;
	const char *file;
	struct mv_err *err;
};

static int bad(const struct reading *r, const char *member, const char *why)
{
	return mv_err_at(r->err, MV_E_INPUT, r->file, 0, 0, "member \"%s\": %s", member, why);
}

static int read_string(const struct reading *r, const char *member, char *out, size_t size)
{
	struct json_object *v = mv_json_get(r->o, member, json_type_string, r->file, r->err);

	if (!v)
		return -MV_E_INPUT;
	if ((size_t)json_object_get_string_len(v) >= size)
		return bad(r, member, "too long");
	memcpy(out, json_object_get_string(v), (size_t)json_object_get_string_len(v) + 1);
	mv_text_printable(out);
	return 0;
}

static int read_bool(const struct reading *r, const char *member, bool *out)
{
	struct json_object *v = mv_json_get(r->o, member, json_type_boolean, r->file, r->err);

	if (!v)
		return -MV_E_INPUT;
	*out = json_object_get_boolean(v);
	return 0;
}

static int read_number(const struct reading *r, const char *member, uint64_t *out)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(r->o, member, &v))
		return bad(r, member, "missing");
	return mv_json_u64(v, out) ? bad(r, member, "not a number") : 0;
}

/* A prefix and 1 to 8 hexadecimal digits; *p is moved behind them. */
static bool take_hex(const char **p, const char *prefix, uint32_t *out)
{
	size_t skip = strlen(prefix), n;
	char digits[9] = "";

	if (strncmp(*p, prefix, skip))
		return false;
	n = strspn(*p + skip, "0123456789abcdefABCDEF");
	if (n == 0 || n > 8)
		return false;
	memcpy(digits, *p + skip, n);
	*out = (uint32_t)strtoul(digits, NULL, 16);
	*p += skip + n;
	return true;
}

/* "0x00000007.1": [eax, ebx, ecx, edx] */
static int read_leaf(const struct reading *r, const char *key, struct json_object *regs,
		     struct mv_table *t)
{
	uint32_t leaf = 0, subleaf = 0;
	struct mv_leaf *e;
	const char *p = key;

	if (!take_hex(&p, "0x", &leaf) || (*p && !take_hex(&p, ".", &subleaf)) || *p)
		return bad(r, key, "not a leaf: 0xLEAF or 0xLEAF.SUBLEAF expected");
	if (subleaf && !mv_leaf_has_subleaves(leaf))
		return bad(r, key, "this leaf has no subleaves");
	if (!json_object_is_type(regs, json_type_array) || json_object_array_length(regs) != 4)
		return bad(r, key, "not a list of four registers");
	if (mv_table_find(t, leaf, subleaf))
		return bad(r, key, "given twice");
	e = mv_table_add(t, leaf, subleaf);
	if (!e)
		return bad(r, key, "too many leaves");
	for (unsigned i = 0; i < MV_NREGS; i++) {
		uint64_t v;

		if (mv_json_u64(json_object_array_get_idx(regs, i), &v) || v > UINT32_MAX)
			return bad(r, key, "a register is not a 32-bit number");
		e->reg[i] = (uint32_t)v;
	}
	return 0;
}

static int read_table(const struct reading *r, const char *member, struct mv_table *t)
{
	struct json_object *o = mv_json_get(r->o, member, json_type_object, r->file, r->err);

	t->n = 0;
	if (!o)
		return -MV_E_INPUT;
	json_object_object_foreach(o, key, regs) {
		int rc = read_leaf(r, key, regs, t);

		if (rc)
			return rc;
	}
	return 0;
}

static int read_exec(const struct reading *r, struct mv_host *h)
{
	struct json_object *o = mv_json_get(r->o, "exec", json_type_object, r->file, r->err);

	if (!o)
		return -MV_E_INPUT;
	json_object_object_foreach(o, key, ran) {
		const struct mv_feature *f = mv_feature_by_name(key, strlen(key));

		if (!json_object_is_type(ran, json_type_boolean))
			return bad(r, key, "not true or false");
		/* A newer program may know features that this one does not. */
		if (!f)
			continue;
		if (mv_featset_has(&h->exec_known, mv_feature_id(f)))
			return bad(r, key, "given twice");
		mv_featset_add(&h->exec_known, mv_feature_id(f));
		if (json_object_get_boolean(ran))
			mv_featset_add(&h->exec_ran, mv_feature_id(f));
	}
	return 0;
}

static int read_msrs(const struct reading *r, struct mv_host *h)
{
	struct json_object *o = mv_json_get(r->o, "msrs", json_type_object, r->file, r->err);

	if (!o)
		return -MV_E_INPUT;
	json_object_object_foreach(o, key, value) {
		const char *p = key;
		uint64_t ignored;
		struct mv_msr m;

		if (!take_hex(&p, "0x", &m.index) || *p || mv_json_u64(value, &m.value))
			return bad(r, key, "not an MSR and its value");
		if (mv_host_msr(h, m.index, &ignored))
			return bad(r, key, "given twice");
		if (h->nmsrs == MV_HOST_MSRS)
			return bad(r, key, "too many MSRs");
		h->msrs[h->nmsrs++] = m;
	}
	return 0;
}

/* Only partial descriptions have the member. */
static int read_told(const struct reading *r, struct mv_host *h)
{
	struct json_object *o;

	h->partial = json_object_object_get_ex(r->o, "told", &o);
	if (!h->partial)
		return 0;
	if (!json_object_is_type(o, json_type_array))
		return bad(r, "told", "not a list of names");
	for (size_t i = 0; i < json_object_array_length(o); i++) {
		struct json_object *v = json_object_array_get_idx(o, i);
		const char *name = json_object_is_type(v, json_type_string) ? json_object_get_string(v)
									     : NULL;
		const struct mv_feature *f;
		const struct mv_field *d;

		if (!name)
			return bad(r, "told", "not a list of names");
		f = mv_feature_by_name(name, strlen(name));
		d = mv_field_by_name(name, strlen(name));
		/* A name that this program does not know tells it nothing. */
		if (f)
			mv_featset_add(&h->told, mv_feature_id(f));
		else if (d)
			mv_fieldset_add(&h->told_fields, (enum mv_field_id)(d - mv_fields));
	}
	return 0;
}

static int read_proof(const struct reading *r, struct mv_host *h)
{
	struct json_object *o = mv_json_get(r->o, "proof", json_type_object, r->file, r->err);

	if (!o)
		return -MV_E_INPUT;
	for (unsigned i = MV_INTERCEPTION_KERNEL; i < MV_NINTERCEPTIONS; i++) {
		const char *name = mv_intercept_name((enum mv_intercept)i);
		struct json_object *levels = mv_json_get(o, name, json_type_array, r->file, r->err);

		if (!levels)
			return -MV_E_INPUT;
		for (size_t l = 0; l < json_object_array_length(levels); l++) {
			const char *s = json_object_get_string(
				json_object_array_get_idx(levels, l));

			if (s && !strcmp(s, "cpl0"))
				h->proof[i] |= MV_PROOF_CPL0;
			else if (s && !strcmp(s, "cpl3"))
				h->proof[i] |= MV_PROOF_CPL3;
			else
				return bad(r, name, "neither cpl0 nor cpl3");
		}
	}
	return 0;
}

/* A newer program may know controls that this one does not. */
static int read_controls(const struct reading *r, struct mv_host *h)
{
	struct json_object *a = mv_json_get(r->o, "kvm-controls", json_type_array, r->file, r->err);

	if (!a)
		return -MV_E_INPUT;
	for (size_t i = 0; i < json_object_array_length(a); i++) {
		struct json_object *name = json_object_array_get_idx(a, i);

		if (!json_object_is_type(name, json_type_string))
			return bad(r, "kvm-controls", "not a list of names");
		for (unsigned c = 0; c < MV_NKVM_CONTROLS; c++)
			if (!strcmp(json_object_get_string(name),
				    mv_kvm_control_name((enum mv_kvm_control)c)))
				h->kvm_controls |= UINT32_C(1) << c;
	}
	return 0;
}

static int from_json(struct mv_host *h, const struct reading *r)
{
	uint64_t version = 0, tsc = 0;
	int rc = read_number(r, "minivmm-host", &version);

	if (rc == 0 && version != HOST_VERSION)
		return mv_err_at(r->err, MV_E_INPUT, r->file, 0, 0,
				 "a host file of version %llu, this program reads version %d",
				 (unsigned long long)version, HOST_VERSION);
	if (rc == 0)
		rc = read_string(r, "name", h->name, sizeof(h->name));
	if (rc == 0)
		rc = read_string(r, "kernel", h->kernel, sizeof(h->kernel));
	if (rc == 0)
		rc = read_string(r, "source", h->source, sizeof(h->source));
	if (rc == 0)
		rc = read_number(r, "microcode", &h->microcode);
	if (rc == 0 && json_object_object_get_ex(r->o, "machine", NULL))
		rc = read_string(r, "machine", h->machine, sizeof(h->machine));
	if (rc == 0 && json_object_object_get_ex(r->o, "boot", NULL))
		rc = read_string(r, "boot", h->boot, sizeof(h->boot));
	if (rc == 0)
		rc = read_bool(r, "assumed", &h->assumed);
	if (rc == 0)
		rc = read_told(r, h);
	if (rc == 0)
		rc = read_table(r, "raw", &h->raw);
	if (rc == 0)
		rc = read_table(r, "kvm", &h->kvm);
	if (rc == 0)
		rc = read_exec(r, h);
	if (rc == 0)
		rc = read_msrs(r, h);
	if (rc == 0)
		rc = read_number(r, "xcr0", &h->xcr0);
	if (rc == 0)
		rc = read_number(r, "tsc-khz", &tsc);
	if (rc == 0 && tsc > UINT32_MAX)
		rc = bad(r, "tsc-khz", "not a 32-bit number");
	h->tsc_khz = (uint32_t)tsc;
	if (rc == 0)
		rc = read_bool(r, "tsc-scaling", &h->tsc_scaling);
	if (rc == 0)
		rc = read_controls(r, h);
	if (rc == 0)
		rc = read_bool(r, "proved", &h->proved);
	if (rc == 0)
		rc = read_proof(r, h);
	if (rc == 0)
		rc = read_bool(r, "cpl0-interpreted", &h->cpl0_interpreted);
	if (rc == 0 && !mv_table_find(&h->raw, 0, 0))
		rc = bad(r, "raw", "leaf 0 is missing: this describes no CPU");
	return rc;
}

int mv_host_from_json(struct mv_host *h, const char *file, struct json_object *o, struct mv_err *err)
{
	struct reading r = { .file = file, .err = err, .o = o };

	memset(h, 0, sizeof(*h));
	if (!json_object_is_type(o, json_type_object))
		return mv_err_at(err, MV_E_INPUT, file, 0, 0, "not a JSON object");
	return from_json(h, &r);
}

int mv_host_save(const struct mv_host *h, const char *path, struct mv_err *err)
{
	struct mv_new_file n;
	struct json_object *o;
	int rc = mv_new_file_open(&n, path, err);

	if (rc)
		return rc;
	o = mv_host_to_json(h);
	fprintf(n.f, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return mv_new_file_close(&n, 0, err);
}
