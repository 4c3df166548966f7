/* SPDX-License-Identifier: MIT */
/*
 * The bit table as data: rows come from the .def files, and this file adds nothing but ways to
 * find one. Bit positions are checked while compiling, so two rows for one bit can't reach a user.
 */
#include "feature.h"

#include <stdio.h>

const struct mv_feature mv_features[MV_NFEATURES] = {
#define MV_FEATURE(id, lf, sub, rg, bt, vend, class, need, vx, sv, nm, lx, qm, xn, vw, desc) \
	[MV_F_##id] = {                                                                      \
		.leaf = (lf),                                                                \
		.subleaf = (sub),                                                            \
		.reg = MV_##rg,                                                              \
		.bit = (bt),                                                                 \
		.vendor = MV_FV_##vend,                                                      \
		.cls = MV_FC_##class,                                                        \
		.needs = MV_FN_##need,                                                       \
		.vmx = MV_FE_##vx,                                                           \
		.svm = MV_FE_##sv,                                                           \
		.name = (nm),                                                                \
		.linux_name = (lx),                                                          \
		.qemu_name = (qm),                                                           \
		.xen_name = (xn),                                                            \
		.vmware_name = (vw),                                                         \
		.what = (desc),                                                              \
	},
#include "features.def"
#undef MV_FEATURE
};

const struct mv_field mv_fields[MV_NFIELDS] = {
#define MV_FIELD(id, lf, sub, rg, low, high, rl, nm, desc) \
	[MV_FIELD_##id] = {                                \
		.leaf = (lf),                              \
		.subleaf = (sub),                          \
		.reg = MV_##rg,                            \
		.lo = (low),                               \
		.hi = (high),                              \
		.rule = MV_FR_##rl,                        \
		.name = (nm),                              \
		.what = (desc),                            \
	},
#include "fields.def"
#undef MV_FIELD
};

const struct mv_dep mv_deps[] = {
#define MV_DEP(child, parent, reason) { MV_F_##child, MV_F_##parent },
#include "deps.def"
#undef MV_DEP
};
const unsigned mv_ndeps = sizeof(mv_deps) / sizeof(mv_deps[0]);

#define MV_FEATURE(id, lf, sub, rg, bt, ...) \
	_Static_assert((bt) < 32 && (sub) < 64, #id ": no such bit");
#include "features.def"
#undef MV_FEATURE

#define MV_FIELD(id, lf, sub, rg, low, high, ...) \
	_Static_assert((low) <= (high) && (high) < 32, #id ": no such bits");
#include "fields.def"
#undef MV_FIELD

/* One number for a position; greater positions have greater keys, and no two share one. */
#define KEY(leaf, subleaf, reg, bit) \
	((uint64_t)(leaf) << 32 | (uint64_t)(subleaf) << 8 | (uint64_t)(reg) << 5 | (uint64_t)(bit))

/* A switch, because two rows for one bit are then two equal case labels: that does not compile. */
const struct mv_feature *mv_feature_at(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
	if (reg >= MV_NREGS || bit >= 32 || subleaf >= 1U << 24)
		return NULL;
	switch (KEY(leaf, subleaf, reg, bit)) {
#define MV_FEATURE(id, lf, sub, rg, bt, ...) \
	case KEY(lf, sub, MV_##rg, bt):      \
		return &mv_features[MV_F_##id];
#include "features.def"
#undef MV_FEATURE
	default:
		return NULL;
	}
}

const struct mv_field *mv_field_at(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
	uint64_t want = KEY(leaf, subleaf, reg, bit);
	size_t lo = 0, hi = MV_NFIELDS;

	if (reg >= MV_NREGS || bit >= 32 || subleaf >= 1U << 24)
		return NULL;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct mv_field *f = &mv_fields[mid];

		if (want < KEY(f->leaf, f->subleaf, f->reg, f->lo))
			hi = mid;
		else if (want > KEY(f->leaf, f->subleaf, f->reg, f->hi))
			lo = mid + 1;
		else
			return f;
	}
	return NULL;
}

/* Upper case, and one of '.', '-' and '_' for all three. */
static char fold(char c)
{
	if (c >= 'a' && c <= 'z')
		return (char)(c - 'a' + 'A');
	if (c == '-' || c == '.')
		return '_';
	return c;
}

/* Is name one of the blank-separated words of list? */
static bool in_list(const char *list, const char *name, size_t len)
{
	while (*list) {
		size_t i = 0;

		while (i < len && list[i] && list[i] != ' ' && fold(list[i]) == fold(name[i]))
			i++;
		if (i == len && (!list[i] || list[i] == ' '))
			return true;
		while (*list && *list != ' ')
			list++;
		while (*list == ' ')
			list++;
	}
	return false;
}

static const char *spellings(const struct mv_feature *f, enum mv_spelling system)
{
	switch (system) {
	case MV_SPELL_LINUX:
		return f->linux_name;
	case MV_SPELL_QEMU:
		return f->qemu_name;
	case MV_SPELL_XEN:
		return f->xen_name;
	case MV_SPELL_VMWARE:
		return f->vmware_name;
	}
	return "";
}

const struct mv_feature *mv_feature_by_alias(enum mv_spelling system, const char *name, size_t len)
{
	if (!len)
		return NULL;
	for (size_t i = 0; i < MV_NFEATURES; i++)
		if (in_list(spellings(&mv_features[i], system), name, len))
			return &mv_features[i];
	return NULL;
}

const struct mv_feature *mv_feature_by_name(const char *name, size_t len)
{
	const struct mv_feature *found = NULL;

	if (!len)
		return NULL;
	for (size_t i = 0; i < MV_NFEATURES; i++)
		if (in_list(mv_features[i].name, name, len))
			return &mv_features[i];
	for (int system = MV_SPELL_LINUX; system <= MV_SPELL_VMWARE; system++) {
		const struct mv_feature *f;

		f = mv_feature_by_alias((enum mv_spelling)system, name, len);
		if (f && found && f != found)
			return NULL;
		if (f)
			found = f;
	}
	return found;
}

const struct mv_field *mv_field_by_name(const char *name, size_t len)
{
	if (!len)
		return NULL;
	for (size_t i = 0; i < MV_NFIELDS; i++)
		if (in_list(mv_fields[i].name, name, len))
			return &mv_fields[i];
	return NULL;
}

size_t mv_feature_parents(enum mv_feature_id id, enum mv_feature_id *out, size_t cap)
{
	size_t n = 0;

	for (unsigned i = 0; i < mv_ndeps; i++) {
		if (mv_deps[i].child != id)
			continue;
		if (n < cap)
			out[n] = (enum mv_feature_id)mv_deps[i].parent;
		n++;
	}
	return n;
}

const char *mv_reg_name(unsigned reg)
{
	static const char *const names[MV_NREGS] = { "EAX", "EBX", "ECX", "EDX" };

	return reg < MV_NREGS ? names[reg] : "?";
}

const char *mv_reg_name_lower(unsigned reg)
{
	static const char *const names[MV_NREGS] = { "eax", "ebx", "ecx", "edx" };

	return reg < MV_NREGS ? names[reg] : "?";
}

bool mv_leaf_has_subleaves(uint32_t leaf)
{
	switch (leaf) {
	case 0x4:
	case 0x7:
	case 0xb:
	case 0xd:
	case 0xf:
	case 0x10:
	case 0x12:
	case 0x14:
	case 0x17:
	case 0x18:
	case 0x1b:
	case 0x1d:
	case 0x1e:
	case 0x1f:
	case 0x20:
	case 0x23:
	case 0x24:
	case 0x8000001d:
	case 0x80000020:
	case 0x80000026:
		return true;
	default:
		return false;
	}
}

int mv_bit_format(char *buf, size_t size, uint32_t leaf, uint32_t subleaf, unsigned reg,
		  unsigned bit)
{
	const struct mv_feature *f = mv_feature_at(leaf, subleaf, reg, bit);
	const struct mv_field *d = f ? NULL : mv_field_at(leaf, subleaf, reg, bit);
	const char *name = f ? f->name : d ? d->name : "";
	const char *open = *name ? " (" : "", *close = *name ? ")" : "";

	if (!mv_leaf_has_subleaves(leaf))
		return snprintf(buf, size, "CPUID level 0x%x %s:%u%s%s%s", (unsigned)leaf,
				mv_reg_name(reg), bit, open, name, close);
	return snprintf(buf, size, "CPUID level 0x%x sublevel 0x%x %s:%u%s%s%s", (unsigned)leaf,
			(unsigned)subleaf, mv_reg_name(reg), bit, open, name, close);
}

enum mv_feature_id mv_leaf_owner(uint32_t leaf)
{
	static const struct {
		uint32_t leaf;
		enum mv_feature_id feature;
	} owners[] = {
		{ 0x12, MV_F_SGX },	{ 0x14, MV_F_INTEL_PT }, { 0x19, MV_F_KEYLOCKER },
		{ 0x1c, MV_F_ARCH_LBR }, { 0x1d, MV_F_AMX_TILE }, { 0x1e, MV_F_AMX_TILE },
		{ 0x20, MV_F_HRESET },	{ 0x24, MV_F_AVX10 },	 { 0x29, MV_F_APX_F },
		{ 0x8000000a, MV_F_SVM }, { 0x8000001b, MV_F_IBS }, { 0x8000001c, MV_F_LWP },
	};

	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++)
		if (owners[i].leaf == leaf)
			return owners[i].feature;
	return MV_NFEATURES;
}

const struct mv_owned_field mv_owned_fields[] = {
	{ MV_FIELD_CLFLUSH_SIZE, MV_F_CLFLUSH },
	{ MV_FIELD_MAWAU, MV_F_MPX },
	{ MV_FIELD_INVLPGB_MAX, MV_F_INVLPGB },
	{ MV_FIELD_RDPRU_MAX, MV_F_RDPRU },
};
const unsigned mv_nowned_fields = sizeof(mv_owned_fields) / sizeof(mv_owned_fields[0]);

enum mv_feature_id mv_field_owner(enum mv_field_id id)
{
	for (unsigned i = 0; i < mv_nowned_fields; i++)
		if (mv_owned_fields[i].field == id)
			return (enum mv_feature_id)mv_owned_fields[i].feature;
	return mv_leaf_owner(mv_fields[id].leaf);
}
