/* SPDX-License-Identifier: MIT */
/* Firecracker: custom CPU templates, JSON with a bitmap of 0, 1 and x for each register and MSR. */
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "json.h"

#define FAIL(...) mv_err_at(err, MV_E_INPUT, file, 0, 0, __VA_ARGS__)

/* ---- reading ---- */

/* The members of an object are these and no others; the list ends with NULL. */
static int only(struct json_object *o, const char *const *members, const char *file, struct mv_err *err)
{
	json_object_object_foreach(o, key, value) {
		const char *const *m = members;

		(void)value;
		while (*m && strcmp(*m, key))
			m++;
		if (!*m)
			return FAIL("no member of a CPU template for x86 is called '%.64s'", key);
	}
	return 0;
}

/* "0b" and symbols, '_' between them, the last one bit 0: bit and symbol each to set(). */
static int bitmap(const char *text, unsigned width, uint8_t *syms, const char *file, struct mv_err *err)
{
	unsigned n = 0;

	memset(syms, MV_SYM_INHERIT, width);
	if (strncmp(text, "0b", 2) || !text[2])
		return FAIL("'%.80s' is not a bitmap (0b and 0, 1, x)", text);
	for (const char *p = text + strlen(text); p-- > text + 2;) {
		if (*p == '_')
			continue;
		if (!strchr("01x", *p))
			return FAIL("'%c' in the bitmap '%.80s' is none of 0, 1, x, _", *p, text);
		if (n == width)
			return FAIL("the bitmap '%.80s' has more than %u symbols", text, width);
		syms[n++] = *p == '1' ? MV_SYM_1 : *p == '0' ? MV_SYM_0 : MV_SYM_INHERIT;
	}
	return n ? 0 : FAIL("the bitmap '%.80s' has no symbols", text);
}

static int member_u32(struct json_object *o, const char *name, uint32_t *out, const char *file,
		      struct mv_err *err)
{
	struct json_object *v;
	uint64_t n;

	if (!json_object_object_get_ex(o, name, &v))
		return FAIL("'%s' is missing in a modifier", name);
	if (mv_json_u64(v, &n) || n > UINT32_MAX)
		return FAIL("'%s' is not a number of 32 bits: %.40s", name,
			    json_object_to_json_string(v));
	*out = (uint32_t)n;
	return 0;
}

/* One register of a leaf. */
static int read_register(struct mv_mask *m, uint32_t leaf, uint32_t subleaf, struct json_object *o,
			 const char *file, struct mv_err *err)
{
	static const char *const members[] = { "register", "bitmap", NULL };
	struct json_object *name, *map;
	uint8_t syms[32];
	unsigned reg = 0;
	int rc;

	if (!json_object_is_type(o, json_type_object))
		return FAIL("a register modifier of leaf 0x%x is not an object", leaf);
	rc = only(o, members, file, err);
	name = rc ? NULL : mv_json_get(o, "register", json_type_string, file, err);
	map = name ? mv_json_get(o, "bitmap", json_type_string, file, err) : NULL;
	if (!map)
		return -MV_E_INPUT;
	while (reg < MV_NREGS && strcmp(json_object_get_string(name), mv_reg_name_lower(reg)))
		reg++;
	if (reg == MV_NREGS)
		return FAIL("'%.40s' is not a register (eax, ebx, ecx, edx)",
			    json_object_get_string(name));
	rc = bitmap(json_object_get_string(map), 32, syms, file, err);
	if (rc)
		return rc;
	if (mv_mask_find(m, leaf, subleaf, reg))
		return FAIL("leaf 0x%x subleaf 0x%x %s is given twice", leaf, subleaf,
			    mv_reg_name_lower(reg));
	for (unsigned bit = 0; bit < 32; bit++)
		if (syms[bit] != MV_SYM_INHERIT &&
		    mv_dialect_set(m, leaf, subleaf, reg, bit, (enum mv_sym)syms[bit], 0))
			return FAIL("more than %d registers in one mask", MV_MASK_REGS);
	return 0;
}

static int read_leaf(struct mv_mask *m, struct json_object *o, const char *file, struct mv_err *err)
{
	static const char *const members[] = { "leaf", "subleaf", "flags", "modifiers", NULL };
	uint32_t leaf, subleaf, flags;
	struct json_object *list;
	int rc;

	if (!json_object_is_type(o, json_type_object))
		return FAIL("an element of cpuid_modifiers is not an object");
	rc = only(o, members, file, err);
	if (rc == 0)
		rc = member_u32(o, "leaf", &leaf, file, err);
	if (rc == 0)
		rc = member_u32(o, "subleaf", &subleaf, file, err);
	if (rc == 0)
		rc = member_u32(o, "flags", &flags, file, err);
	list = rc ? NULL : mv_json_get(o, "modifiers", json_type_array, file, err);
	if (!list)
		return -MV_E_INPUT;
	if (subleaf && !mv_leaf_has_subleaves(leaf))
		return FAIL("leaf 0x%x has no subleaves", leaf);
	for (size_t i = 0; rc == 0 && i < json_object_array_length(list); i++)
		rc = read_register(m, leaf, subleaf, json_object_array_get_idx(list, i), file, err);
	return rc;
}

static int read_msr(struct mv_mask *m, struct json_object *o, const char *file, struct mv_err *err)
{
	static const char *const members[] = { "addr", "bitmap", NULL };
	struct json_object *map;
	uint8_t syms[64];
	uint32_t addr;
	int rc;

	if (!json_object_is_type(o, json_type_object))
		return FAIL("an element of msr_modifiers is not an object");
	rc = only(o, members, file, err);
	if (rc == 0)
		rc = member_u32(o, "addr", &addr, file, err);
	map = rc ? NULL : mv_json_get(o, "bitmap", json_type_string, file, err);
	if (!map)
		return -MV_E_INPUT;
	for (uint32_t i = 0; i < m->nmsrs; i++)
		if (m->msrs[i].index == addr)
			return FAIL("MSR 0x%x is given twice", addr);
	rc = bitmap(json_object_get_string(map), 64, syms, file, err);
	for (unsigned bit = 0; rc == 0 && bit < 64; bit++)
		if (syms[bit] != MV_SYM_INHERIT &&
		    mv_dialect_set_msr(m, addr, bit, (enum mv_sym)syms[bit], 0))
			return FAIL("more than %d MSRs in one mask", MV_MASK_MSRS);
	return rc;
}

/* Each element of an optional list. */
static int each(struct mv_mask *m, struct json_object *root, const char *member,
		int (*one)(struct mv_mask *, struct json_object *, const char *, struct mv_err *),
		const char *file, struct mv_err *err)
{
	struct json_object *list;
	int rc = 0;

	if (!json_object_object_get_ex(root, member, &list))
		return 0;
	if (!json_object_is_type(list, json_type_array))
		return FAIL("'%s' is not a list", member);
	for (size_t i = 0; rc == 0 && i < json_object_array_length(list); i++)
		rc = one(m, json_object_array_get_idx(list, i), file, err);
	return rc;
}

static int capabilities(struct json_object *root, struct mv_losses *l, const char *file,
			struct mv_err *err)
{
	struct json_object *list;

	if (!json_object_object_get_ex(root, "kvm_capabilities", &list))
		return 0;
	if (!json_object_is_type(list, json_type_array))
		return FAIL("'kvm_capabilities' is not a list");
	for (size_t i = 0; i < json_object_array_length(list); i++)
		mv_loss_item(l, "KVM capabilities are no part of a mask", "%.40s",
			     json_object_get_string(json_object_array_get_idx(list, i)));
	return 0;
}

static int firecracker_from(struct mv_mask *m, const char *file, const char *text, size_t len,
			    struct mv_losses *l, struct mv_err *err)
{
	static const char *const members[] = { "kvm_capabilities", "cpuid_modifiers", "msr_modifiers",
					       NULL };
	struct json_object *root = NULL;
	int rc = mv_json_parse(&root, file, text, len, err);

	mv_mask_clear(m);
	if (rc == 0 && !json_object_is_type(root, json_type_object))
		rc = FAIL("a CPU template is a JSON object");
	if (rc == 0)
		rc = only(root, members, file, err);
	if (rc == 0)
		rc = capabilities(root, l, file, err);
	if (rc == 0)
		rc = each(m, root, "cpuid_modifiers", read_leaf, file, err);
	if (rc == 0)
		rc = each(m, root, "msr_modifiers", read_msr, file, err);
	json_object_put(root);
	mv_mask_sort(m);
	return rc;
}

/* ---- writing ---- */

static char reduced(enum mv_sym s, const char **lost)
{
	char c = mv_dialect_reduce(s, lost);

	if (s == MV_SYM_X)
		*lost = "x: says the same there, but reads back as '-'";
	return c;
}

static struct json_object *register_json(const struct mv_mask_reg *r, struct mv_losses *l)
{
	struct json_object *o = json_object_new_object();
	char map[2 + 32 + 1] = "0b";
	const char *lost;

	for (unsigned i = 0; i < 32; i++) {
		map[2 + i] = reduced(mv_mask_reg_sym(r, 31 - i), &lost);
		if (lost)
			mv_loss_bit(l, lost, r->leaf, r->subleaf, r->reg, 31 - i);
	}
	map[34] = '\0';
	json_object_object_add(o, "register", json_object_new_string(mv_reg_name_lower(r->reg)));
	json_object_object_add(o, "bitmap", json_object_new_string(map));
	return o;
}

static struct json_object *leaves_json(const struct mv_mask *m, struct mv_losses *l)
{
	struct json_object *all = json_object_new_array(), *regs = NULL;

	for (uint32_t i = 0; i < m->nregs; i++) {
		const struct mv_mask_reg *r = &m->regs[i], *before = i ? r - 1 : NULL;

		if (!mv_mask_reg_named(r))
			continue;
		if (!regs || !before || before->leaf != r->leaf || before->subleaf != r->subleaf) {
			struct json_object *o = json_object_new_object();

			regs = json_object_new_array();
			json_object_object_add(o, "leaf", mv_json_hex(r->leaf, 1));
			json_object_object_add(o, "subleaf", mv_json_hex(r->subleaf, 1));
			json_object_object_add(o, "flags",
					       json_object_new_int(mv_leaf_has_subleaves(r->leaf)));
			json_object_object_add(o, "modifiers", regs);
			json_object_array_add(all, o);
		}
		json_object_array_add(regs, register_json(r, l));
	}
	return all;
}

static struct json_object *msrs_json(const struct mv_mask *m, struct mv_losses *l)
{
	struct json_object *all = json_object_new_array();

	for (uint32_t i = 0; i < m->nmsrs; i++) {
		struct json_object *o = json_object_new_object();
		char map[2 + 64 + 1] = "0b";
		const char *lost;

		for (unsigned k = 0; k < 64; k++) {
			map[2 + k] = reduced(mv_mask_msr_sym(&m->msrs[i], 63 - k), &lost);
			if (lost)
				mv_loss_item(l, lost, "msr 0x%x bit %u", m->msrs[i].index, 63 - k);
		}
		map[66] = '\0';
		json_object_object_add(o, "addr", mv_json_hex(m->msrs[i].index, 1));
		json_object_object_add(o, "bitmap", json_object_new_string(map));
		json_object_array_add(all, o);
	}
	return all;
}

static int firecracker_to(FILE *out, const struct mv_mask *m, const struct mv_dialect_opts *o,
			  struct mv_losses *l, struct mv_err *err)
{
	struct mv_mask *p = mv_dialect_plain(m, o, true, l);
	struct json_object *root = json_object_new_object();

	if (!p || !root) {
		free(p);
		json_object_put(root);
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	}
	json_object_object_add(root, "cpuid_modifiers", leaves_json(p, l));
	json_object_object_add(root, "msr_modifiers", msrs_json(p, l));
	fprintf(out, "%s\n", json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY));
	json_object_put(root);
	free(p);
	return 0;
}

const struct mv_dialect mv_dialect_firecracker = { "firecracker", "custom CPU template, JSON",
						   firecracker_from, firecracker_to };
