/* SPDX-License-Identifier: MIT */
/*
 * QEMU: the argument of -cpu, "MODEL,+feature,-feature,property=value". What MODEL itself shows is
 * QEMU's to say; a mask is what is put on top.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"

/* Properties that are numbers. */
static const struct mv_dialect_number numbers[] = {
	{ "level", MV_FIELD_MAX_LEAF, MV_NFIELDS },
	{ "level-func7", MV_FIELD_MAX_SUBLEAF_7, MV_NFIELDS },
	{ "xlevel", MV_FIELD_MAX_EXT_LEAF, MV_NFIELDS },
	{ "phys-bits", MV_FIELD_PHYS_BITS, MV_NFIELDS },
	{ "family", MV_FIELD_FAMILY, MV_FIELD_EXT_FAMILY },
	{ "model", MV_FIELD_MODEL, MV_FIELD_EXT_MODEL },
	{ "stepping", MV_FIELD_STEPPING, MV_NFIELDS },
};
#define NNUMBERS (sizeof(numbers) / sizeof(numbers[0]))

/* ---- reading ---- */

struct reader {
	struct mv_mask *m;
	const char *file;
	struct mv_losses *l;
	struct mv_err *err;
	bool enforce;
};

#define FAIL(...) mv_err_at(rd->err, MV_E_INPUT, rd->file, 0, 0, __VA_ARGS__)
#define FULL() FAIL("more registers, numbers or MSRs than one mask holds")

static const struct mv_caps_bit *caps_bit(const char *name)
{
	const struct mv_caps_bit *c = mv_caps_bits;

	while (c->bit < 64 && (!*c->qemu || strcmp(c->qemu, name)))
		c++;
	return c->bit < 64 ? c : NULL;
}

static int set_feature(struct reader *rd, const char *name, bool on)
{
	const struct mv_feature *f = mv_feature_by_alias(MV_SPELL_QEMU, name, strlen(name));
	const struct mv_caps_bit *c = f ? NULL : caps_bit(name);
	enum mv_sym s = !on ? MV_SYM_0 : rd->enforce ? MV_SYM_T : MV_SYM_1;
	int rc;

	if (!f && !c)
		return FAIL("QEMU has no CPU feature '%.60s' that is known here", name);
	if (on && !rd->enforce)
		mv_loss_item(rd->l, "without enforce QEMU drops a feature that the host lacks; 1 shows it all the same",
			     "%s", name);
	rc = f ? mv_dialect_set(rd->m, f->leaf, f->subleaf, f->reg, f->bit, s, 0)
	       : mv_dialect_set_msr(rd->m, MV_MSR_ARCH_CAPABILITIES, c->bit, s, 0);
	return rc ? FULL() : 0;
}

static int set_number(struct reader *rd, size_t row, const char *val)
{
	const struct mv_field *f = &mv_fields[numbers[row].lo];
	unsigned width = (unsigned)(f->hi - f->lo + 1);
	uint32_t n, hi = 0;
	int rc;

	if (!mv_dialect_u32(val, &n))
		return FAIL("%s=%.40s: a number of 32 bits is expected", numbers[row].key, val);
	if (numbers[row].hi == MV_FIELD_EXT_FAMILY) {
		hi = n > 15 ? n - 15 : 0;
		n -= hi;
	} else if (numbers[row].hi != MV_NFIELDS) {
		hi = n >> 4;
		n &= 15;
	}
	if ((width < 32 && n >> width) || hi > (numbers[row].hi == MV_FIELD_EXT_FAMILY ? 255 : 15))
		return FAIL("%s=%.40s does not fit", numbers[row].key, val);
	rc = mv_dialect_set_field(rd->m, numbers[row].lo, n, 0);
	if (rc == 0 && numbers[row].hi != MV_NFIELDS)
		rc = mv_dialect_set_field(rd->m, numbers[row].hi, hi, 0);
	return rc ? FULL() : 0;
}

/* "name", "+name", "-name" or "name=value"; phase 0: all but + and -, 1: +, 2: -, QEMU's order. */
static int property(struct reader *rd, const char *word, int phase)
{
	const char *eq = strchr(word, '=');
	char name[64];

	if (word[0] == '+' || word[0] == '-')
		return phase == (word[0] == '+' ? 1 : 2) ? set_feature(rd, word + 1, word[0] == '+') : 0;
	if (phase)
		return 0;
	snprintf(name, sizeof(name), "%.*s", eq ? (int)(eq - word) : (int)strlen(word), word);
	for (size_t i = 0; eq && i < NNUMBERS; i++)
		if (!strcmp(name, numbers[i].key))
			return set_number(rd, i, eq + 1);
	if (!strcmp(name, "enforce") || !strcmp(name, "check"))
		return 0;
	if (mv_feature_by_alias(MV_SPELL_QEMU, name, strlen(name)) || caps_bit(name)) {
		const char *val = eq ? eq + 1 : "on";

		if (!strcmp(val, "on") || !strcmp(val, "true") || !strcmp(val, "yes"))
			return set_feature(rd, name, true);
		if (!strcmp(val, "off") || !strcmp(val, "false") || !strcmp(val, "no"))
			return set_feature(rd, name, false);
		return FAIL("%.60s: on or off is expected", word);
	}
	mv_loss_item(rd->l, "properties that no mask has words for are left out", "%.60s", word);
	return 0;
}

static bool asks(char *const *words, size_t n, const char *prop)
{
	for (size_t i = 1; i < n; i++)
		if (!strcmp(words[i], prop) ||
		    (!strncmp(words[i], prop, strlen(prop)) && !strcmp(words[i] + strlen(prop), "=on")))
			return true;
	return false;
}

/* The string itself, or a line "-cpu STRING", in quotes perhaps. */
static char *string(char *text)
{
	char *p = text, *end;

	while (isspace((unsigned char)*p))
		p++;
	if (!strncmp(p, "-cpu", 4) && isspace((unsigned char)p[4]))
		for (p += 4; isspace((unsigned char)*p); p++)
			;
	if (*p == '"' || *p == '\'') {
		char quote = *p++;

		end = strchr(p, quote);
		if (end)
			*end = '\0';
	}
	p[strcspn(p, " \t\r\n")] = '\0';
	return p;
}

/* Letters, digits and "-_." and no property. */
static bool is_model(const char *word)
{
	for (const char *p = word; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
			return false;
	return isalnum((unsigned char)*word);
}

#define WORDS 1024

static int qemu_from(struct mv_mask *m, const char *file, const char *text, size_t len,
		     struct mv_losses *l, struct mv_err *err)
{
	struct reader reader = { .m = m, .file = file, .l = l, .err = err }, *rd = &reader;
	char *copy = strndup(text, len), *save = NULL;
	char *words[WORDS] = { NULL };
	size_t n = 0;
	int rc = 0;

	mv_mask_clear(m);
	if (!copy)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	for (char *w = strtok_r(string(copy), ",", &save); w && n < WORDS; w = strtok_r(NULL, ",", &save))
		words[n++] = w;
	if (n == 0 || n == WORDS || !is_model(words[0]))
		rc = FAIL("a CPU model, then properties, is expected: host,+avx2,-sse4.1");
	if (rc == 0 && strcmp(words[0], "host") && strcmp(words[0], "max"))
		mv_loss_item(l, "what the model itself shows is QEMU's to say", "%s", words[0]);
	rd->enforce = asks(words, n, "enforce");
	for (int phase = 0; phase < 3; phase++)
		for (size_t i = 1; i < n && rc == 0; i++)
			rc = property(rd, words[i], phase);
	free(copy);
	mv_mask_sort(m);
	return rc;
}

/* ---- writing ---- */

/* x where QEMU passes on what the host has. */
#define AS_HOST "x: says the same there, but does not read back"

struct writer {
	FILE *out;
	struct mv_losses *l;
	bool enforce, follows_host;
	const char *known;
};

/* Is it a word of that text? */
static bool has_word(const char *text, const char *word, size_t len)
{
	for (const char *at = text; (at = strstr(at, word)); at++)
		if ((at == text || isspace((unsigned char)at[-1])) && (!at[len] || isspace((unsigned char)at[len])))
			return true;
	return false;
}

/* The first of these spellings that this QEMU knows; false if it knows none. */
static bool known_name(const struct writer *w, const char *spellings, char name[48])
{
	for (size_t len; (len = strcspn(spellings, " ")); spellings += len + (spellings[len] == ' ')) {
		snprintf(name, 48, "%.*s", (int)len, spellings);
		if (!w->known || has_word(w->known, name, len))
			return true;
	}
	return false;
}

/* One bit by its name in QEMU, with what is lost on the way. */
static void write_symbol(struct writer *w, const char *name, enum mv_sym s, const char *item)
{
	const char *lost = NULL;

	switch (s) {
	case MV_SYM_T:
		fprintf(w->out, ",+%s", name);
		break;
	case MV_SYM_1:
		fprintf(w->out, ",+%s", name);
		lost = w->enforce ? "1: a host that lacks it is refused, because of enforce for T"
				  : "1: shown only where the host has it";
		break;
	case MV_SYM_F:
		fprintf(w->out, ",-%s", name);
		lost = "F: hidden, but a host that has it is not refused";
		break;
	case MV_SYM_R:
		fprintf(w->out, ",-%s", name);
		lost = "R: hidden, but source and destination hardware are not compared";
		break;
	case MV_SYM_0:
		fprintf(w->out, ",-%s", name);
		break;
	case MV_SYM_H:
		lost = "H: left to the model, source and destination are not compared";
		break;
	case MV_SYM_X:
		lost = w->follows_host ? AS_HOST : "x: left to the model, not to the host";
		break;
	default:
		break;
	}
	if (lost)
		mv_loss_item(w->l, lost, "%s", item);
}

/* QEMU shows no bit that it has no name for. */
static const char *nameless(enum mv_sym s)
{
	switch (s) {
	case MV_SYM_0: return NULL;
	case MV_SYM_R:
	case MV_SYM_F: return "R and F: QEMU shows 0 in bits it has no name for, but compares nothing";
	case MV_SYM_T:
	case MV_SYM_1: return "T and 1: QEMU has no name for the bit, so guests will not see it";
	default: return "H and x: QEMU shows 0 in bits it has no name for";
	}
}

static void write_register(struct writer *w, const struct mv_mask_reg *r)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		const struct mv_feature *f = mv_feature_at(r->leaf, r->subleaf, r->reg, bit);
		enum mv_sym s = mv_mask_reg_sym(r, bit);
		char name[48], item[128];

		if (s == MV_SYM_INHERIT || (f && f->cls == MV_FC_MIRROR))
			continue;	/* mirrors follow leaf 1 in QEMU, too */
		if (!f || !known_name(w, f->qemu_name, name)) {
			if (nameless(s) && (f || !mv_field_at(r->leaf, r->subleaf, r->reg, bit)))
				mv_loss_bit(w->l, nameless(s), r->leaf, r->subleaf, r->reg, bit);
			else if (nameless(s))
				mv_loss_item(w->l, s == MV_SYM_X && w->follows_host ? AS_HOST :
					     "numbers given as symbols are left out", "%s",
					     mv_field_at(r->leaf, r->subleaf, r->reg, bit)->name);
			continue;
		}
		mv_bit_format(item, sizeof(item), r->leaf, r->subleaf, r->reg, bit);
		write_symbol(w, name, s, item);
	}
}

static void write_msrs(struct writer *w, const struct mv_mask *m)
{
	for (uint32_t i = 0; i < m->nmsrs; i++)
		for (unsigned bit = 0; bit < 64; bit++) {
			enum mv_sym s = mv_mask_msr_sym(&m->msrs[i], bit);
			const struct mv_caps_bit *c = mv_caps_bits;
			char item[48], name[48];

			while (c->bit < 64 && (c->bit != bit || !known_name(w, c->qemu, name)))
				c++;
			snprintf(item, sizeof(item), "msr 0x%x bit %u", m->msrs[i].index, bit);
			if (s == MV_SYM_INHERIT)
				continue;
			if (m->msrs[i].index == MV_MSR_ARCH_CAPABILITIES && c->bit < 64)
				write_symbol(w, name, s, item);
			else if (s != MV_SYM_0 || m->msrs[i].index != MV_MSR_ARCH_CAPABILITIES)
				mv_loss_item(w->l, "QEMU has no name for the MSR bit: left out", "%s",
					     item);
		}
}

static bool requires(const struct mv_mask *m)
{
	for (uint32_t i = 0; i < m->nregs; i++)
		for (unsigned bit = 0; bit < 32; bit++)
			if (mv_mask_reg_sym(&m->regs[i], bit) == MV_SYM_T)
				return true;
	for (uint32_t i = 0; i < m->nmsrs; i++)
		for (unsigned bit = 0; bit < 64; bit++)
			if (mv_mask_msr_sym(&m->msrs[i], bit) == MV_SYM_T)
				return true;
	return false;
}

static int qemu_to(FILE *out, const struct mv_mask *m, const struct mv_dialect_opts *o,
		   struct mv_losses *l, struct mv_err *err)
{
	const char *model = o->model ? o->model : "host";
	struct writer w = { .out = out, .l = l, .known = o->known };
	struct mv_mask *p;

	if (!is_model(model))
		return mv_err_set(err, MV_E_USAGE, "'%.60s' is not a CPU model's name", model);
	p = mv_dialect_plain(m, o, false, l);
	if (!p)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	w.enforce = requires(p);
	w.follows_host = !strcmp(model, "host") || !strcmp(model, "max");
	fprintf(out, "%s", model);
	for (uint32_t i = 0; i < p->nregs; i++)
		write_register(&w, &p->regs[i]);
	mv_dialect_write_numbers(w.out, p, numbers, NNUMBERS, w.l,
				 "QEMU has no property for the number: left out");
	write_msrs(&w, p);
	fprintf(out, "%s\n", w.enforce ? ",enforce" : "");
	free(p);
	return 0;
}

const struct mv_dialect mv_dialect_qemu = { "qemu", "the argument of QEMU's -cpu", qemu_from, qemu_to };
