/* SPDX-License-Identifier: MIT */
/* VMware: what a whole .vmx file says of CPUID, and the feature keys of hardware version 9 and later. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "maskfile.h"

int mv_dialect_vmx_from(struct mv_mask *m, const char *file, const char *text, size_t len,
			struct mv_losses *l, struct mv_err *err);

static bool starts(const char *p, const char *end, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(end - p) >= n && !strncasecmp(p, word, n);
}

/* cpuid.LEVEL…: the keys that are masks; cpuid.coresPerSocket and the like are not. */
static bool is_level(const char *p, const char *end)
{
	const char *q = p;

	while (q < end && isxdigit((unsigned char)*q))
		q++;
	return q > p && q < end && *q == '.';
}

/* Does the mask parser read that line; if not, is it about CPUID at all? */
static bool is_mask_line(const char *p, const char *end, struct mv_losses *l)
{
	const char *key_end = p;

	while (key_end < end && *key_end != '=' && !isspace((unsigned char)*key_end))
		key_end++;
	if (starts(p, end, "cpuid.") && is_level(p + 6, end))
		return true;
	if (starts(p, end, "featMask.") || starts(p, end, "featReq.")) {
		if (memmem(p, (size_t)(key_end - p), ".cpuid.", 7))
			return true;
	} else if (!starts(p, end, "cpuid.")) {
		return false;
	}
	mv_loss_item(l, "keys that no mask has words for are left out", "%.*s", (int)(key_end - p), p);
	return false;
}

/* The lines about masks stay, all others become empty: positions in messages stay right. */
int mv_dialect_vmx_from(struct mv_mask *m, const char *file, const char *text, size_t len,
			struct mv_losses *l, struct mv_err *err)
{
	const struct mv_mask_reader reader = { .kind = MV_MASK_OVERRIDE, .file = file };
	char *copy = malloc(len + 1);
	uint32_t other = 0;
	int rc;

	if (!copy)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	memcpy(copy, text, len + 1);
	for (char *p = copy, *end = copy + len; p < end;) {
		char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end, *q = p;

		while (q < stop && isspace((unsigned char)*q))
			q++;
		if (q < stop && *q != '#' && !is_mask_line(q, stop, l)) {
			other += !starts(q, stop, "cpuid.") && !starts(q, stop, "featMask.") &&
				 !starts(q, stop, "featReq.");
			memset(p, ' ', (size_t)(stop - p));
		}
		p = stop + 1;
	}
	rc = mv_mask_parse(m, copy, len, &reader, err);
	free(copy);
	if (rc == 0 && other)
		mv_loss_note(l, "%u lines that are not about CPUID are left out", other);
	return rc;
}

/* ---- featMask, featReq ---- */

static const char *first_name(char out[48], const char *names)
{
	snprintf(out, 48, "%.*s", (int)strcspn(names, " "), names);
	return out;
}

static void write_bit(FILE *out, const struct mv_mask_reg *r, unsigned bit, struct mv_losses *l)
{
	const struct mv_feature *f = mv_feature_at(r->leaf, r->subleaf, r->reg, bit);
	enum mv_sym s = mv_mask_reg_sym(r, bit);
	const char *lost = NULL;
	char name[48];

	if (s == MV_SYM_INHERIT)
		return;
	if (!f || !*f->vmware_name) {
		mv_loss_bit(l, "VMware has no feature name: left out", r->leaf, r->subleaf, r->reg, bit);
		return;
	}
	first_name(name, f->vmware_name);
	switch (s) {
	case MV_SYM_T: fprintf(out, "featReq.vm.cpuid.%s = \"Bool:Min:1\"\n", name); break;
	case MV_SYM_F: fprintf(out, "featReq.vm.cpuid.%s = \"Bool:Match:0\"\n", name); break;
	case MV_SYM_1: fprintf(out, "featMask.vm.cpuid.%s = \"Val:1\"\n", name); break;
	case MV_SYM_0: fprintf(out, "featMask.vm.cpuid.%s = \"Val:0\"\n", name); break;
	case MV_SYM_R:
		fprintf(out, "featMask.vm.cpuid.%s = \"Val:0\"\n", name);
		lost = "R: hidden, but source and destination hardware are not compared";
		break;
	case MV_SYM_H: lost = "H: left out, source and destination are not compared"; break;
	default: lost = "x: left out, VMware's default decides"; break;
	}
	if (lost)
		mv_loss_bit(l, lost, r->leaf, r->subleaf, r->reg, bit);
}

static int featmask_to(FILE *out, const struct mv_mask *m, const struct mv_dialect_opts *o,
		       struct mv_losses *l, struct mv_err *err)
{
	struct mv_mask *p = mv_dialect_plain(m, o, false, l);

	if (!p)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	for (uint32_t i = 0; i < p->nregs; i++)
		for (unsigned bit = 0; bit < 32; bit++)
			write_bit(out, &p->regs[i], bit, l);
	for (uint32_t i = 0; i < p->nfields; i++)
		mv_loss_item(l, "numbers are left out", "field %s", mv_fields[p->fields[i].id].name);
	for (uint32_t i = 0; i < p->nmsrs; i++)
		mv_loss_item(l, "MSRs are left out", "msr 0x%x", p->msrs[i].index);
	free(p);
	return 0;
}

const struct mv_dialect mv_dialect_featmask = { "featmask", "featMask and featReq keys of a .vmx file",
						mv_dialect_vmx_from, featmask_to };
