/* SPDX-License-Identifier: MIT */
/* A probe result as JSON, written and read back. */
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "probe.h"
#include "text.h"

#define MAX_FILE (8u << 20)

void mv_probe_position(char *buf, size_t size, uint32_t leaf, uint32_t subleaf, const char *reg,
		       unsigned bit)
{
	if (mv_leaf_has_subleaves(leaf))
		snprintf(buf, size, "0x%x.%x %s:%u", leaf, subleaf, reg, bit);
	else
		snprintf(buf, size, "0x%x %s:%u", leaf, reg, bit);
}

static void append(char *buf, size_t size, const char *what, const char *name)
{
	const char *slash = name ? strrchr(name, '/') : NULL;
	size_t at = strlen(buf);

	if (name && at < size)
		snprintf(buf + at, size - at, "%s%s%s", at ? " " : "", what,
			 slash ? slash + 1 : name);
}

void mv_probe_describe(struct mv_probe_result *r, const struct mv_launch *l,
		       const struct mv_host *h)
{
	snprintf(r->host, sizeof(r->host), "%s", h->name);
	snprintf(r->kernel, sizeof(r->kernel), "%s", h->kernel);
	if (mv_host_intercepts(h))
		snprintf(r->kind, sizeof(r->kind), "%s",
			 mv_table_vmx(&h->raw) ? "vmx" : "svm");
	*r->masks = '\0';
	append(r->masks, sizeof(r->masks), "", l->guest_os);
	append(r->masks, sizeof(r->masks), "", l->default_mask);
	append(r->masks, sizeof(r->masks), "", l->baseline);
	for (size_t i = 0; i < l->nmasks; i++)
		append(r->masks, sizeof(r->masks), "", l->masks[i]);
}

const struct mv_probe_row *mv_probe_find(const struct mv_probe_result *r, const char *feature,
					 const char *instruction)
{
	for (unsigned i = 0; i < r->n; i++)
		if (!strcmp(r->row[i].feature, feature) &&
		    !strcmp(r->row[i].instruction, instruction))
			return &r->row[i];
	return NULL;
}

/* ---- out ---- */

static void put(struct json_object *o, const char *name, const char *value)
{
	if (*value)
		json_object_object_add(o, name, json_object_new_string(value));
}

static struct json_object *row_to_json(const struct mv_probe_row *r)
{
	struct json_object *o = json_object_new_object();

	put(o, "feature", r->feature);
	put(o, "cpuid", r->cpuid);
	put(o, "instruction", r->instruction);
	json_object_object_add(o, "shown", json_object_new_boolean(r->shown));
	if (r->host != '-')
		json_object_object_add(o, "host", json_object_new_boolean(r->host == '1'));
	put(o, "cpl3", r->outcome[1]);
	put(o, "cpl0", r->outcome[0]);
	put(o, "verdict", r->verdict);
	if (r->unproven)
		json_object_object_add(o, "unproven", json_object_new_boolean(true));
	put(o, "why", r->why);
	return o;
}

struct json_object *mv_probe_to_json(const struct mv_probe_result *r)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	json_object_object_add(o, "predicted", json_object_new_boolean(r->predicted));
	put(o, "host", r->host);
	put(o, "kernel", r->kernel);
	put(o, "kind", r->kind);
	put(o, "masks", r->masks);
	put(o, "intercept", r->intercept);
	for (unsigned i = 0; i < r->n; i++)
		json_object_array_add(list, row_to_json(&r->row[i]));
	json_object_object_add(o, "probes", list);
	return o;
}

/* ---- in ---- */

/* A member that may be missing, cut to size; false if it is there and no string. */
static bool take(struct json_object *o, const char *name, char *buf, size_t size)
{
	struct json_object *v;

	*buf = '\0';
	if (!json_object_object_get_ex(o, name, &v))
		return true;
	if (!json_object_is_type(v, json_type_string))
		return false;
	snprintf(buf, size, "%s", json_object_get_string(v));
	mv_text_printable(buf);
	return true;
}

static bool known_verdict(const char *v)
{
	return mv_finding_by_name(v) != MV_NFINDINGS || !strcmp(v, "SKIP");
}

/* cpuid-probe says of each row whether it is proven, minivmm says which are not. */
static bool says_unproven(struct json_object *o)
{
	struct json_object *v, *verdict;

	if (json_object_object_get_ex(o, "unproven", &v))
		return json_object_get_boolean(v);
	return json_object_object_get_ex(o, "proven", &v) && !json_object_get_boolean(v) &&
	       json_object_object_get_ex(o, "verdict", &verdict) &&
	       strcmp(json_object_get_string(verdict), "UNDECIDABLE");
}

static bool row_from_json(struct mv_probe_row *r, struct json_object *o)
{
	struct json_object *v;

	memset(r, 0, sizeof(*r));
	if (!json_object_is_type(o, json_type_object) ||
	    !take(o, "feature", r->feature, sizeof(r->feature)) || !*r->feature ||
	    !take(o, "cpuid", r->cpuid, sizeof(r->cpuid)) ||
	    !take(o, "instruction", r->instruction, sizeof(r->instruction)) ||
	    !take(o, "cpl3", r->outcome[1], sizeof(r->outcome[1])) ||
	    !take(o, "cpl0", r->outcome[0], sizeof(r->outcome[0])) ||
	    !take(o, "verdict", r->verdict, sizeof(r->verdict)) || !known_verdict(r->verdict) ||
	    !take(o, "why", r->why, sizeof(r->why)))
		return false;
	r->shown = json_object_object_get_ex(o, "shown", &v) && json_object_get_boolean(v);
	r->unproven = says_unproven(o);
	r->host = !json_object_object_get_ex(o, "host", &v) ? '-'
		  : json_object_get_boolean(v)		     ? '1'
							     : '0';
	return true;
}

static int from_json(struct mv_probe_result *r, struct json_object *o, const char *file,
		     struct mv_err *err)
{
	struct json_object *list, *v;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, "probes", &list) ||
	    !json_object_is_type(list, json_type_array))
		return mv_err_at(err, MV_E_INPUT, file, 0, 0,
				 "no result of minivmm probe --json: there is no \"probes\"");
	take(o, "host", r->host, sizeof(r->host));
	take(o, "kernel", r->kernel, sizeof(r->kernel));
	take(o, "kind", r->kind, sizeof(r->kind));
	take(o, "masks", r->masks, sizeof(r->masks));
	take(o, "intercept", r->intercept, sizeof(r->intercept));
	r->predicted = json_object_object_get_ex(o, "predicted", &v) && json_object_get_boolean(v);
	if (json_object_array_length(list) > MV_PROBE_ROWS)
		return mv_err_at(err, MV_E_INPUT, file, 0, 0, "more than %d probes", MV_PROBE_ROWS);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (!row_from_json(&r->row[r->n++], json_object_array_get_idx(list, i)))
			return mv_err_at(err, MV_E_INPUT, file, 0, 0,
					 "probe %zu lacks a feature or has no known verdict", i + 1);
	return 0;
}

int mv_probe_read(struct mv_probe_result *r, const char *file, struct mv_err *err)
{
	struct json_object *o = NULL;
	char *text = NULL;
	size_t len;
	int rc = mv_read_file(file, MAX_FILE, &text, &len, err);

	memset(r, 0, sizeof(*r));
	if (rc == 0)
		rc = mv_json_parse(&o, file, text, len, err);
	if (rc == 0)
		rc = from_json(r, o, file, err);
	json_object_put(o);
	free(text);
	return rc;
}
