/* SPDX-License-Identifier: MIT */
/*
 * Firecracker: the fingerprint of a host, or the CPU configuration in it (a CPU template without
 * undecided bits). What a guest was given, not what the CPU has.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "import_dump.h"
#include "json.h"
#include "text.h"

static struct json_object *member_of(struct mv_dump *d, struct json_object *o, const char *name,
				     json_type type)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, name, &v))
		mv_dump_bad(d, "member \"%s\" is missing", name);
	else if (json_object_is_type(v, type))
		return v;
	else
		mv_dump_bad(d, "member \"%s\" is not %s", name, json_type_to_name(type));
	return NULL;
}

/* "0b01…" of exactly bits digits or fewer; "_" is free. An x is a template's "leave it alone". */
static int bitmap(struct mv_dump *d, struct json_object *o, unsigned bits, uint64_t *out)
{
	struct json_object *v = member_of(d, o, "bitmap", json_type_string);
	const char *s = v ? json_object_get_string(v) : NULL;
	unsigned n = 0;

	*out = 0;
	if (!s)
		return -MV_E_INPUT;
	if (strncmp(s, "0b", 2))
		return mv_dump_bad(d, "member \"bitmap\": does not begin with 0b");
	for (s += 2; *s; s++) {
		if (*s == '_')
			continue;
		if (*s == 'x')
			return mv_dump_bad(d, "member \"bitmap\": a template that leaves bits open "
					   "describes no CPU");
		if (*s != '0' && *s != '1')
			return mv_dump_bad(d, "member \"bitmap\": '%c' is not a bit",
					   *s > ' ' && *s < 127 ? *s : '?');
		if (++n > bits)
			return mv_dump_bad(d, "member \"bitmap\": more than %u bits", bits);
		*out = *out << 1 | (*s == '1');
	}
	return n ? 0 : mv_dump_bad(d, "member \"bitmap\": no bits");
}

static int number(struct mv_dump *d, struct json_object *o, const char *member, uint32_t *out)
{
	struct json_object *v = NULL;
	uint64_t wide;

	if (!json_object_object_get_ex(o, member, &v))
		return mv_dump_bad(d, "member \"%s\" is missing", member);
	if (mv_json_u64(v, &wide) || wide > UINT32_MAX)
		return mv_dump_bad(d, "member \"%s\": not a number of 32 bits like \"0x1f\"",
				   member);
	*out = (uint32_t)wide;
	return 0;
}

static int one_register(struct mv_dump *d, struct json_object *o, uint32_t reg[MV_NREGS],
			unsigned *seen)
{
	struct json_object *v;
	const char *name;
	uint64_t bits;
	int rc;

	if (!json_object_is_type(o, json_type_object))
		return mv_dump_bad(d, "member \"modifiers\": an element is not an object");
	v = member_of(d, o, "register", json_type_string);
	if (!v)
		return -MV_E_INPUT;
	name = json_object_get_string(v);
	rc = bitmap(d, o, 32, &bits);
	if (rc)
		return rc;
	for (unsigned r = 0; r < MV_NREGS; r++) {
		if (strcmp(name, mv_reg_name_lower(r)))
			continue;
		if (*seen & 1u << r)
			return mv_dump_bad(d, "register %s is given twice for one leaf", name);
		*seen |= 1u << r;
		reg[r] = (uint32_t)bits;
		return 0;
	}
	return mv_dump_bad(d, "member \"register\": neither eax, ebx, ecx nor edx");
}

static int one_leaf(struct mv_dump *d, struct json_object *o)
{
	uint32_t leaf = 0, subleaf = 0, reg[MV_NREGS] = { 0 };
	struct json_object *list;
	unsigned seen = 0;
	int rc;

	if (!json_object_is_type(o, json_type_object))
		return mv_dump_bad(d, "member \"cpuid_modifiers\": an element is not an object");
	rc = number(d, o, "leaf", &leaf);
	if (rc == 0)
		rc = number(d, o, "subleaf", &subleaf);
	if (rc == 0)
		snprintf(d->where, sizeof(d->where), "leaf 0x%x.%x: ", leaf, subleaf);
	list = rc ? NULL : member_of(d, o, "modifiers", json_type_array);
	if (!list)
		return -MV_E_INPUT;
	for (size_t i = 0; rc == 0 && i < json_object_array_length(list); i++)
		rc = one_register(d, json_object_array_get_idx(list, i), reg, &seen);
	if (rc == 0)
		rc = mv_dump_leaf(d, leaf, subleaf, reg);
	d->where[0] = '\0';
	return rc;
}

static int one_msr(struct mv_dump *d, struct json_object *o)
{
	uint64_t value = 0;
	uint32_t index = 0;
	int rc;

	if (!json_object_is_type(o, json_type_object))
		return mv_dump_bad(d, "member \"msr_modifiers\": an element is not an object");
	rc = number(d, o, "addr", &index);
	if (rc)
		return rc;
	snprintf(d->where, sizeof(d->where), "MSR 0x%x: ", index);
	rc = bitmap(d, o, 64, &value);
	if (rc == 0)
		mv_dump_msr(d, index, value);
	d->where[0] = '\0';
	return rc;
}

static int config(struct mv_dump *d, struct json_object *o)
{
	struct json_object *leaves, *msrs = NULL;
	int rc = 0;

	leaves = member_of(d, o, "cpuid_modifiers", json_type_array);
	if (!leaves)
		return -MV_E_INPUT;
	for (size_t i = 0; rc == 0 && i < json_object_array_length(leaves); i++)
		rc = one_leaf(d, json_object_array_get_idx(leaves, i));
	if (rc || !json_object_object_get_ex(o, "msr_modifiers", &msrs))
		return rc;
	msrs = member_of(d, o, "msr_modifiers", json_type_array);
	if (!msrs)
		return -MV_E_INPUT;
	for (size_t i = 0; rc == 0 && i < json_object_array_length(msrs); i++)
		rc = one_msr(d, json_object_array_get_idx(msrs, i));
	return rc;
}

/* What a fingerprint tells of its host beside the guest's CPU. */
static int fingerprint(struct mv_dump *d, struct json_object *o)
{
	struct json_object *v = NULL;

	if (json_object_object_get_ex(o, "kernel_version", &v)) {
		v = member_of(d, o, "kernel_version", json_type_string);
		if (!v)
			return -MV_E_INPUT;
		snprintf(d->host->kernel, sizeof(d->host->kernel), "%s", json_object_get_string(v));
		mv_text_printable(d->host->kernel);
	}
	if (json_object_object_get_ex(o, "microcode_version", &v) &&
	    mv_json_u64(v, &d->host->microcode))
		return mv_dump_bad(d, "member \"microcode_version\": not a number like \"0x1f\"");
	v = member_of(d, o, "guest_cpu_config", json_type_object);
	return v ? config(d, v) : -MV_E_INPUT;
}

int mv_import_json(struct mv_dump *d, struct json_object *o)
{
	int rc;

	if (json_object_object_get_ex(o, "cpuid_modifiers", NULL)) {
		mv_dump_format(d, "Firecracker");
		rc = config(d, o);
	} else if (json_object_object_get_ex(o, "guest_cpu_config", NULL)) {
		mv_dump_format(d, "Firecracker");
		rc = fingerprint(d, o);
	} else {
		return mv_dump_bad(d, "JSON, but neither a host file of ours nor Firecracker's: no "
				   "member \"minivmm-host\", \"guest_cpu_config\" or "
				   "\"cpuid_modifiers\"");
	}
	d->prints_zeros = d->one_cpu = true;
	return rc;
}
