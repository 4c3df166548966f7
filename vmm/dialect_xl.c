/* SPDX-License-Identifier: MIT */
/*
 * Xen: `cpuid=` of xl.cfg, as libxl has it ("host,sse4.1=0") and as a list of registers
 * ([ "1:ecx=…" ]). Either is read whichever was asked for, alone or within a whole xl.cfg.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"

/* Keys that are numbers. */
static const struct mv_dialect_number numbers[] = {
	{ "maxleaf", MV_FIELD_MAX_LEAF, MV_NFIELDS },
	{ "family", MV_FIELD_FAMILY, MV_FIELD_EXT_FAMILY },
	{ "model", MV_FIELD_MODEL, MV_FIELD_EXT_MODEL },
	{ "stepping", MV_FIELD_STEPPING, MV_NFIELDS },
	{ "brandid", MV_FIELD_BRAND_INDEX, MV_NFIELDS },
	{ "clflush", MV_FIELD_CLFLUSH_SIZE, MV_NFIELDS },
	{ "proccount", MV_FIELD_CPU_COUNT, MV_NFIELDS },
	{ "localapicid", MV_FIELD_APIC_ID, MV_NFIELDS },
	{ "procpkg", MV_FIELD_CACHE_0_CORES, MV_NFIELDS },
	{ "nc", MV_FIELD_CORE_COUNT, MV_NFIELDS },
	{ "apicidsize", MV_FIELD_APIC_ID_SIZE, MV_NFIELDS },
};
#define NNUMBERS (sizeof(numbers) / sizeof(numbers[0]))

/* ---- reading ---- */

struct reader {
	struct mv_mask *m;
	const char *file;
	uint32_t line;
	struct mv_losses *l;
	struct mv_err *err;
};

#define FAIL(...) mv_err_at(rd->err, MV_E_INPUT, rd->file, rd->line, 0, __VA_ARGS__)
#define FULL() FAIL("more registers, numbers or MSRs than one mask holds")

static int symbol(char c)
{
	switch (c) {
	case '0': return MV_SYM_0;
	case '1': return MV_SYM_1;
	case 'x': return MV_SYM_INHERIT;
	case 'k': case 's': return MV_SYM_H;
	default: return -1;
	}
}

static int parse_number(struct reader *rd, size_t row, const char *val)
{
	const struct mv_field *f = &mv_fields[numbers[row].lo];
	enum mv_field_id hi = numbers[row].hi;
	unsigned width = (unsigned)(f->hi - f->lo + 1);
	uint32_t n;
	int rc;

	if (!strcmp(val, "x"))
		return 0;
	if (!mv_dialect_u32(val, &n))
		return FAIL("%s=%.40s: a number of 32 bits or x is expected", numbers[row].key, val);
	if (hi == MV_FIELD_EXT_FAMILY) {
		uint32_t ext = n < 15 ? 0 : n - 15;

		if (ext > 255)
			return FAIL("%s=%.40s does not fit", numbers[row].key, val);
		rc = mv_dialect_set_field(rd->m, numbers[row].lo, n - ext, 0);
		return rc || mv_dialect_set_field(rd->m, hi, ext, 0) ? FULL() : 0;
	}
	if (hi != MV_NFIELDS)
		width += 4;
	if (width < 32 && n >> width)
		return FAIL("%s=%.40s does not fit in %u bits", numbers[row].key, val, width);
	if (hi != MV_NFIELDS && mv_dialect_set_field(rd->m, hi, n >> 4, 0))
		return FULL();
	return mv_dialect_set_field(rd->m, numbers[row].lo, hi != MV_NFIELDS ? n & 15 : n, 0)
		       ? FULL()
		       : 0;
}

/* One key=val of the libxl form. */
static int parse_key(struct reader *rd, const char *key, const char *val)
{
	const struct mv_feature *f;
	int s = val[0] && !val[1] ? symbol(val[0]) : -1;

	for (size_t i = 0; i < NNUMBERS; i++)
		if (!strcmp(key, numbers[i].key))
			return parse_number(rd, i, val);
	if (!strcmp(key, "maxhvleaf")) {
		mv_loss_item(rd->l, "Xen's own leaves are no part of a mask", "maxhvleaf=%.20s", val);
		return 0;
	}
	f = mv_feature_by_alias(MV_SPELL_XEN, key, strlen(key));
	if (s < 0)
		return FAIL("%.40s=%.40s: one of 0, 1, x, k, s is expected", key, val);
	for (const struct mv_caps_bit *c = mv_caps_bits; !f && c->bit < 64; c++)
		if (!strcmp(key, c->xen))
			return s == MV_SYM_INHERIT ? 0
			       : mv_dialect_set_msr(rd->m, MV_MSR_ARCH_CAPABILITIES, c->bit,
						    (enum mv_sym)s, 0)
				       ? FULL()
				       : 0;
	if (!f)
		return FAIL("Xen has no CPUID key '%.60s' that is known here", key);
	return s == MV_SYM_INHERIT ? 0
	       : mv_dialect_set(rd->m, f->leaf, f->subleaf, f->reg, f->bit, (enum mv_sym)s, 0)
		       ? FULL()
		       : 0;
}

/* "host,key=val,…" */
static int parse_libxl(struct reader *rd, char *text)
{
	char *save = NULL, *word = strtok_r(text, ",", &save);

	if (!word || strcmp(word, "host"))
		return FAIL("'host' is expected first, not '%.40s'", word ? word : "");
	for (word = strtok_r(NULL, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		char *eq, *key = word;
		int rc;

		while (isspace((unsigned char)*key))
			key++;
		eq = strchr(key, '=');
		if (!eq)
			return FAIL("'%.60s' has no '='", key);
		*eq = '\0';
		rc = parse_key(rd, key, eq + 1);
		if (rc)
			return rc;
	}
	return 0;
}

/* "reg=32 symbols" behind a leaf. */
static int parse_register(struct reader *rd, uint32_t leaf, uint32_t subleaf, const char *p)
{
	const char *eq = strchr(p, '=');
	unsigned reg = 0;
	int s;

	while (reg < MV_NREGS && (!eq || eq - p != 3 || strncmp(p, mv_reg_name_lower(reg), 3)))
		reg++;
	if (reg == MV_NREGS)
		return FAIL("leaf 0x%x: eax=, ebx=, ecx= or edx= is expected, not '%.20s'", leaf, p);
	if (strlen(eq + 1) != 32)
		return FAIL("leaf 0x%x %s: %zu symbols instead of 32", leaf, mv_reg_name_lower(reg),
			    strlen(eq + 1));
	for (unsigned i = 0; i < 32; i++) {
		s = symbol(eq[1 + i]);
		if (s < 0)
			return FAIL("leaf 0x%x %s: '%c' is none of 0, 1, x, k, s", leaf,
				    mv_reg_name_lower(reg), eq[1 + i]);
		if (s != MV_SYM_INHERIT &&
		    mv_dialect_set(rd->m, leaf, subleaf, reg, 31 - i, (enum mv_sym)s, 0))
			return FULL();
	}
	return 0;
}

/* "LEAF[,SUBLEAF]:reg=…,reg=…" */
static int parse_leaf(struct reader *rd, char *text)
{
	char *end, *save = NULL;
	unsigned long leaf = strtoul(text, &end, 0), subleaf = 0;

	if (end == text)
		return FAIL("'%.40s' does not begin with a leaf", text);
	if (*end == ',') {
		char *from = end + 1;

		subleaf = strtoul(from, &end, 0);
		if (end == from)
			return FAIL("'%.40s' is not a subleaf", from);
	}
	if (*end != ':' || leaf > UINT32_MAX || subleaf > UINT32_MAX)
		return FAIL("'%.40s' is not LEAF: or LEAF,SUBLEAF:", text);
	if (subleaf && !mv_leaf_has_subleaves((uint32_t)leaf))
		return FAIL("leaf 0x%lx has no subleaves", leaf);
	for (char *r = strtok_r(end + 1, ",", &save); r; r = strtok_r(NULL, ",", &save)) {
		while (isspace((unsigned char)*r))
			r++;
		if (parse_register(rd, (uint32_t)leaf, (uint32_t)subleaf, r))
			return -MV_E_INPUT;
	}
	return 0;
}

/* A string in quotes of either kind, cut out in place; *p moves behind it. NULL: no string here. */
static char *quoted(char **p)
{
	char *start = *p + 1, *end;

	if (**p != '"' && **p != '\'')
		return NULL;
	end = strchr(start, **p);
	if (!end || memchr(start, '\n', (size_t)(end - start)))
		return NULL;
	*end = '\0';
	*p = end + 1;
	return start;
}

static void blanks(struct reader *rd, char **p)
{
	for (; isspace((unsigned char)**p) || **p == '#'; (*p)++) {
		if (**p == '#')
			*p += strcspn(*p, "\n");
		if (!**p)
			return;
		rd->line += **p == '\n';
	}
}

/* The value of cpuid=: a string, or a list of strings, each for a leaf. */
static int parse_value(struct reader *rd, char *p)
{
	bool list = *p == '[';
	int rc = 0;
	char *s;

	if (list)
		p++;
	for (;;) {
		blanks(rd, &p);
		if (list && *p == ']')
			return 0;
		s = quoted(&p);
		if (!s)
			return FAIL("a string in quotes is expected%s", list ? ", or ]" : "");
		rc = list ? parse_leaf(rd, s) : parse_libxl(rd, s);
		if (rc || !list)
			return rc;
		blanks(rd, &p);
		if (*p == ',')
			p++;
		else if (*p != ']')
			return FAIL("',' or ']' is expected after a leaf");
	}
}

/* Where the value begins: behind "cpuid =" at the start of a line, or the text is the value. */
static char *find_value(struct reader *rd, char *text, uint32_t *others)
{
	char *p = text;

	blanks(rd, &p);
	if (*p == '[' || *p == '"' || *p == '\'')
		return p;
	while (*p) {
		char *q = p;

		while (*q == ' ' || *q == '\t')
			q++;
		if (!strncmp(q, "cpuid", 5)) {
			for (q += 5; *q == ' ' || *q == '\t'; q++)
				;
			if (*q++ == '=') {
				while (*q == ' ' || *q == '\t')
					q++;
				return q;
			}
		} else {
			*others += *q && *q != '#' && *q != '\n';
		}
		p += strcspn(p, "\n");
		rd->line += *p == '\n';
		p += *p == '\n';
	}
	return NULL;
}

static int xl_from(struct mv_mask *m, const char *file, const char *text, size_t len, struct mv_losses *l,
		   struct mv_err *err)
{
	struct reader reader = { .m = m, .file = file, .line = 1, .l = l, .err = err }, *rd = &reader;
	char *copy = strndup(text, len), *value;
	uint32_t others = 0;
	int rc;

	mv_mask_clear(m);
	if (!copy)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	/* The bare value is accepted without its quotes, too, as on a command line. */
	if (!strncmp(copy, "host", 4)) {
		copy[strcspn(copy, "\r\n")] = '\0';
		rc = parse_libxl(rd, copy);
	} else {
		value = find_value(rd, copy, &others);
		rc = value ? parse_value(rd, value) : mv_err_at(err, MV_E_INPUT, file, 0, 0,
								"no 'cpuid =' in this xl.cfg");
	}
	free(copy);
	if (rc == 0 && others)
		mv_loss_note(l, "lines of xl.cfg other than cpuid= are left out");
	mv_mask_sort(m);
	return rc;
}

/* ---- writing ---- */

static char reduced(enum mv_sym s, const char **lost)
{
	char c = mv_dialect_reduce(s, lost);

	if (s == MV_SYM_X)
		*lost = "x: Xen's default policy decides, not the host alone";
	if (s != MV_SYM_H)
		return c;
	*lost = NULL;
	return 'k';
}

/* H is equality here and a value kept over migration there. */
static const char kept[] = "H: k keeps the host's value over migration, but hosts are not compared";

static void key_bit(FILE *out, const char *key, enum mv_sym s, struct mv_losses *l, const char *item)
{
	const char *lost;
	char c = reduced(s, &lost);

	if (c != 'x')
		fprintf(out, ",%s=%c", key, c);
	if (lost || c == 'k')
		mv_loss_item(l, lost ? lost : kept, "%s", item);
}

static void libxl_register(FILE *out, const struct mv_mask_reg *r, struct mv_losses *l)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		const struct mv_feature *f = mv_feature_at(r->leaf, r->subleaf, r->reg, bit);
		enum mv_sym s = mv_mask_reg_sym(r, bit);
		char name[48], item[128];
		const char *key;

		if (s == MV_SYM_INHERIT)
			continue;
		if (!f || !*f->xen_name) {
			mv_loss_bit(l, "Xen has no key for the bit: left out (--to xl-list has all bits)",
				    r->leaf, r->subleaf, r->reg, bit);
			continue;
		}
		/* The last spelling is the one that releases before 4.18 know, too. */
		key = strrchr(f->xen_name, ' ');
		snprintf(name, sizeof(name), "%s", key ? key + 1 : f->xen_name);
		mv_bit_format(item, sizeof(item), r->leaf, r->subleaf, r->reg, bit);
		key_bit(out, name, s, l, item);
	}
}

static void libxl_msrs(FILE *out, const struct mv_mask *m, struct mv_losses *l)
{
	for (uint32_t i = 0; i < m->nmsrs; i++)
		for (unsigned bit = 0; bit < 64; bit++) {
			enum mv_sym s = mv_mask_msr_sym(&m->msrs[i], bit);
			const struct mv_caps_bit *c = mv_caps_bits;
			char item[48];

			while (c->bit < 64 && (c->bit != bit || !*c->xen))
				c++;
			snprintf(item, sizeof(item), "msr 0x%x bit %u", m->msrs[i].index, bit);
			if (s == MV_SYM_INHERIT)
				continue;
			if (m->msrs[i].index != MV_MSR_ARCH_CAPABILITIES || c->bit == 64)
				mv_loss_item(l, "Xen has no key for the MSR bit: left out", "%s", item);
			else
				key_bit(out, c->xen, s, l, item);
		}
}

static int xl_to(FILE *out, const struct mv_mask *m, const struct mv_dialect_opts *o, struct mv_losses *l,
		 struct mv_err *err)
{
	struct mv_mask *p = mv_dialect_plain(m, o, false, l);

	if (!p)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	fprintf(out, "cpuid = \"host");
	for (uint32_t i = 0; i < p->nregs; i++)
		libxl_register(out, &p->regs[i], l);
	mv_dialect_write_numbers(out, p, numbers, NNUMBERS, l,
				 "Xen has no key for the number: left out");
	libxl_msrs(out, p, l);
	fprintf(out, "\"\n");
	free(p);
	return 0;
}

static void list_register(FILE *out, const struct mv_mask_reg *r, struct mv_losses *l)
{
	fprintf(out, "%s=", mv_reg_name_lower(r->reg));
	for (int bit = 31; bit >= 0; bit--) {
		const char *lost;
		char c = reduced(mv_mask_reg_sym(r, (unsigned)bit), &lost);

		fputc(c, out);
		if (lost || c == 'k')
			mv_loss_bit(l, lost ? lost : kept, r->leaf, r->subleaf, r->reg, (unsigned)bit);
	}
}

static int xl_list_to(FILE *out, const struct mv_mask *m, const struct mv_dialect_opts *o,
		      struct mv_losses *l, struct mv_err *err)
{
	struct mv_mask *p = mv_dialect_plain(m, o, true, l);
	const struct mv_mask_reg *before = NULL;

	if (!p)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	fprintf(out, "cpuid = [");
	for (uint32_t i = 0; i < p->nregs; i++) {
		const struct mv_mask_reg *r = &p->regs[i];

		if (!mv_mask_reg_named(r))
			continue;
		if (before && before->leaf == r->leaf && before->subleaf == r->subleaf) {
			fputc(',', out);
		} else {
			fprintf(out, "%s\n  \"0x%x", before ? "\"," : "", r->leaf);
			if (mv_leaf_has_subleaves(r->leaf))
				fprintf(out, ",%u", r->subleaf);
			fputc(':', out);
		}
		list_register(out, r, l);
		before = r;
	}
	fprintf(out, "%s\n]\n", before ? "\"" : "");
	for (uint32_t i = 0; i < p->nmsrs; i++)
		mv_loss_item(l, "the list form has no MSRs: left out (--to xl has the named ones)",
			     "msr 0x%x", p->msrs[i].index);
	free(p);
	return 0;
}

const struct mv_dialect mv_dialect_xl = { "xl", "Xen's cpuid=\"host,sse4.1=0\"", xl_from, xl_to };
const struct mv_dialect mv_dialect_xl_list = { "xl-list", "Xen's cpuid=[ \"1:ecx=…\" ]", xl_from,
					       xl_list_to };
