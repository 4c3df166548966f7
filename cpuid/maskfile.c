/* SPDX-License-Identifier: MIT */
#include "maskfile.h"

#include <string.h>

#include "masklex.h"

struct parser {
	struct mv_mask *out;
	const struct mv_mask_reader *reader;
	struct mv_lex_place at;
	bool have_level;
	uint32_t leaf, subleaf;
	/* What this text set so far, by index into out->regs: to find what is set twice. */
	uint32_t reg_line[MV_MASK_REGS];
	uint32_t named[MV_MASK_REGS];	/* bits set by feature lines */
};

#define FAIL(ps, column, ...) \
	mv_err_at((ps)->at.err, MV_E_INPUT, (ps)->at.file, (ps)->at.line, (column), __VA_ARGS__)

static mv_at here(const struct parser *ps)
{
	return MV_AT(ps->reader->file_index, ps->at.line);
}

/* Written by this text? What an included file says may be said anew. */
static bool own(const struct parser *ps, mv_at at)
{
	return MV_AT_FILE(at) == ps->reader->file_index;
}

static struct mv_mask_reg *add_reg(struct parser *ps, uint32_t col, uint32_t leaf,
				   uint32_t subleaf, unsigned reg, enum mv_vendor vendor)
{
	struct mv_mask_reg *r = mv_mask_add(ps->out, leaf, subleaf, reg, vendor);

	if (!r)
		FAIL(ps, col, "more than %d registers in one mask", MV_MASK_REGS);
	return r;
}

static int set_register(struct parser *ps, uint32_t col, uint32_t leaf, uint32_t subleaf,
			unsigned reg, enum mv_vendor vendor, const uint8_t syms[32])
{
	struct mv_mask_reg *r = add_reg(ps, col, leaf, subleaf, reg, vendor);
	struct mv_mask_reg line = { .plane = { 0 } };
	size_t i;

	if (!r)
		return -MV_E_INPUT;
	i = (size_t)(r - ps->out->regs);
	if (ps->reg_line[i])
		return FAIL(ps, col, "%s of level 0x%x%s is given twice: already in line %u",
			    mv_reg_name(reg), leaf, subleaf ? " (that sublevel)" : "",
			    ps->reg_line[i]);
	for (unsigned bit = 0; ps->named[i] && bit < 32; bit++)
		if (syms[bit] != MV_SYM_INHERIT && (ps->named[i] >> bit & 1))
			return FAIL(ps, col,
				    "bit %u of level 0x%x %s is given twice: already in line %u",
				    bit, leaf, mv_reg_name(reg), MV_AT_LINE(r->at[bit]));
	ps->reg_line[i] = ps->at.line;
	for (unsigned bit = 0; bit < 32; bit++)
		mv_mask_reg_set(&line, bit, (enum mv_sym)syms[bit], here(ps));
	mv_mask_reg_overlay(r, &line);
	return 0;
}

/* Did a register line of this text, not one that it includes, give the bit its symbol? */
static bool from_register_line(const struct parser *ps, size_t i, unsigned bit)
{
	const struct mv_mask_reg *r = &ps->out->regs[i];

	return ps->reg_line[i] && mv_mask_reg_sym(r, bit) != MV_SYM_INHERIT &&
	       r->at[bit] == MV_AT(ps->reader->file_index, ps->reg_line[i]);
}

static int set_feature(struct parser *ps, const struct mv_lex *name, const struct mv_feature *f,
		       enum mv_sym s)
{
	struct mv_mask_reg *r;
	size_t i;

	if (!f) {
		FAIL(ps, name->col, "no CPUID feature is called '%.*s'", mv_lex_len(name), name->p);
		mv_feature_hint(ps->at.err, name->p, (size_t)mv_lex_len(name));
		return -MV_E_INPUT;
	}
	r = add_reg(ps, name->col, f->leaf, f->subleaf, f->reg, MV_VENDOR_OTHER);
	if (!r)
		return -MV_E_INPUT;
	i = (size_t)(r - ps->out->regs);
	if (ps->named[i] >> f->bit & 1 || from_register_line(ps, i, f->bit))
		return FAIL(ps, name->col, "feature %s is given twice: already in line %u", f->name,
			    MV_AT_LINE(r->at[f->bit]));
	ps->named[i] |= UINT32_C(1) << f->bit;
	mv_mask_reg_set(r, f->bit, s, here(ps));
	return 0;
}

static int reg_number(const struct mv_lex *w)
{
	for (unsigned r = 0; r < MV_NREGS; r++)
		if (mv_lex_is(w, mv_reg_name_lower(r)))
			return (int)r;
	return -1;
}

/* "Level 0x7h Sublevel 0x1h", after the first word. */
static int parse_level(struct parser *ps, struct mv_lex *l)
{
	struct mv_lex w = mv_lex_word(l);

	if (!mv_lex_level(&w, &ps->leaf)) {
		FAIL(ps, w.col, "'%.*s' is not a level", mv_lex_len(&w), w.p);
		mv_err_hint(ps->at.err, "write it in hexadecimal, as 0x1h or 0x80000001");
		return -MV_E_INPUT;
	}
	ps->subleaf = 0;
	ps->have_level = true;
	mv_lex_blanks(l);
	if (l->p < l->end && *l->p == ':') {
		l->p++;
		l->col++;
	}
	w = mv_lex_word(l);
	if (w.p != w.end) {
		if (!mv_lex_is(&w, "sublevel") && !mv_lex_is(&w, "subleaf"))
			return FAIL(ps, w.col, "'Sublevel' expected, not '%.*s'", mv_lex_len(&w), w.p);
		w = mv_lex_word(l);
		if (!mv_lex_level(&w, &ps->subleaf))
			return FAIL(ps, w.col, "'%.*s' is not a sublevel", mv_lex_len(&w), w.p);
		if (ps->subleaf && !mv_leaf_has_subleaves(ps->leaf))
			return FAIL(ps, w.col, "level 0x%x has no sublevels", ps->leaf);
	}
	return mv_lex_end(&ps->at, l);
}

/* "ECX: ---- …", from the register's name on. */
static int parse_guide_register(struct parser *ps, struct mv_lex *l, const struct mv_lex *name)
{
	uint8_t syms[32];
	int reg = reg_number(name);
	int rc;

	if (reg < 0)
		return FAIL(ps, name->col, "'%.*s' is not a register (EAX, EBX, ECX, EDX)",
			    mv_lex_len(name), name->p);
	if (!ps->have_level)
		return FAIL(ps, name->col, "no Level line before this register");
	rc = mv_lex_expect(&ps->at, l, ':');
	if (rc == 0)
		rc = mv_lex_symbols(&ps->at, l, 32, syms);
	if (rc)
		return rc;
	return set_register(ps, name->col, ps->leaf, ps->subleaf, (unsigned)reg, MV_VENDOR_OTHER,
			    syms);
}

/* = "n symbols", and nothing behind it. */
static int symbols_in_quotes(struct parser *ps, struct mv_lex *l, unsigned n, uint8_t *syms)
{
	struct mv_lex value;
	int rc = mv_lex_expect(&ps->at, l, '=');

	if (rc == 0)
		rc = mv_lex_quoted(&ps->at, l, &value);
	if (rc == 0)
		rc = mv_lex_end(&ps->at, l);
	return rc ? rc : mv_lex_symbols(&ps->at, &value, n, syms);
}

/* cpuid.LEAF[.SUBLEAF].REG[.amd|.intel] = "symbols"; key is what follows "cpuid.". */
static int parse_vmx_register(struct parser *ps, struct mv_lex *l, struct mv_lex key)
{
	struct mv_lex part = mv_lex_part(&key);
	enum mv_vendor vendor = MV_VENDOR_OTHER;
	uint32_t leaf, subleaf = 0, col = part.col;
	uint8_t syms[32];
	int reg, rc;

	if (!mv_lex_number(part.p, part.end, 16, &leaf))
		return FAIL(ps, part.col, "'%.*s' is not a level (hexadecimal, without 0x)",
			    mv_lex_len(&part), part.p);
	part = mv_lex_part(&key);
	reg = reg_number(&part);
	if (reg < 0 && mv_lex_number(part.p, part.end, 16, &subleaf)) {
		if (subleaf && !mv_leaf_has_subleaves(leaf))
			return FAIL(ps, part.col, "level 0x%x has no sublevels", leaf);
		part = mv_lex_part(&key);
		reg = reg_number(&part);
	}
	if (reg < 0)
		return FAIL(ps, part.col, "'%.*s' is not a register (eax, ebx, ecx, edx)",
			    mv_lex_len(&part), part.p);
	part = mv_lex_part(&key);
	if (mv_lex_is(&part, "amd"))
		vendor = MV_VENDOR_AMD;
	else if (mv_lex_is(&part, "intel"))
		vendor = MV_VENDOR_INTEL;
	else if (part.p != part.end)
		return FAIL(ps, part.col, "'%.*s' is not a vendor (amd, intel)", mv_lex_len(&part),
			    part.p);
	rc = symbols_in_quotes(ps, l, 32, syms);
	if (rc)
		return rc;
	return set_register(ps, col, leaf, subleaf, (unsigned)reg, vendor, syms);
}

/*
 * featMask.SCOPE.cpuid.NAME = "Val:n" | "Max:n" | "Min:n", featReq … = "[Bool:]Min:1": VMware's newer
 * form, for one bit. A mask sets the bit; a requirement is what T and F say.
 */
static int parse_vmx_feature(struct parser *ps, struct mv_lex *l, struct mv_lex key, bool require)
{
	struct mv_lex part, value, op;
	const struct mv_feature *f;
	uint32_t n;
	enum mv_sym s;
	int rc;

	mv_lex_part(&key);	/* scope: vm or host, the same to us */
	part = mv_lex_part(&key);
	if (!mv_lex_is(&part, "cpuid"))
		return FAIL(ps, part.col, "only 'cpuid' features are known here, not '%.*s'",
			    mv_lex_len(&part), part.p);
	rc = mv_lex_expect(&ps->at, l, '=');
	if (rc == 0)
		rc = mv_lex_quoted(&ps->at, l, &value);
	if (rc == 0)
		rc = mv_lex_end(&ps->at, l);
	if (rc)
		return rc;
	op = mv_lex_word(&value);
	if (require && (mv_lex_is(&op, "bool") || mv_lex_is(&op, "num"))) {
		rc = mv_lex_expect(&ps->at, &value, ':');
		if (rc)
			return rc;
		op = mv_lex_word(&value);
	}
	rc = mv_lex_expect(&ps->at, &value, ':');
	if (rc)
		return rc;
	part = mv_lex_word(&value);
	if (!mv_lex_number(part.p, part.end, 10, &n) || n > 1)
		return FAIL(ps, part.col, "'%.*s' is not 0 or 1", mv_lex_len(&part), part.p);
	if (require ? !mv_lex_is(&op, "min") && !mv_lex_is(&op, "match")
		    : !mv_lex_is(&op, "val") && !mv_lex_is(&op, "min") && !mv_lex_is(&op, "max"))
		return FAIL(ps, op.col, "'%.*s' is not an operation (%s)", mv_lex_len(&op), op.p,
			    require ? "Min, Match" : "Val, Min, Max");
	if (require ? mv_lex_is(&op, "min") && n == 0
		    : (mv_lex_is(&op, "min") && n == 0) || (mv_lex_is(&op, "max") && n == 1))
		return 0;	/* "at least 0", "at most 1": says nothing */
	if (require)
		s = n ? MV_SYM_T : MV_SYM_F;
	else
		s = n ? MV_SYM_1 : MV_SYM_0;
	/* VMware's own name first: IBRS is one bit there, and two elsewhere. */
	f = mv_feature_by_alias(MV_SPELL_VMWARE, key.p, (size_t)(key.end - key.p));
	if (!f)
		f = mv_feature_by_name(key.p, (size_t)(key.end - key.p));
	return set_feature(ps, &key, f, s);
}

static int parse_feature(struct parser *ps, struct mv_lex *l)
{
	struct mv_lex name = mv_lex_word(l), value;
	int s, rc = mv_lex_expect(&ps->at, l, '=');

	if (rc)
		return rc;
	mv_lex_blanks(l);
	value = *l;
	s = value.p < value.end ? mv_sym_parse(*value.p) : -1;
	if (s < 0)
		return FAIL(ps, value.col, "a mask symbol expected (- x T F 1 0 H R)");
	if (s == MV_SYM_INHERIT && ps->reader->kind == MV_MASK_DEFAULT)
		return FAIL(ps, value.col, "'-' in a default mask");
	l->p++;
	l->col++;
	rc = mv_lex_end(&ps->at, l);
	return rc ? rc
		  : set_feature(ps, &name, mv_feature_by_name(name.p, (size_t)(name.end - name.p)),
				(enum mv_sym)s);
}

static int parse_field(struct parser *ps, struct mv_lex *l)
{
	struct mv_lex name = mv_lex_word(l), value;
	const struct mv_field *f = mv_field_by_name(name.p, (size_t)(name.end - name.p));
	struct mv_mask *m = ps->out;
	uint32_t v, i = 0;
	uint16_t id;
	int rc;

	if (!f)
		return FAIL(ps, name.col, "no CPUID field is called '%.*s'", mv_lex_len(&name), name.p);
	rc = mv_lex_expect(&ps->at, l, '=');
	if (rc)
		return rc;
	value = mv_lex_word(l);
	if (!mv_lex_plain(&value, &v))
		return FAIL(ps, value.col, "'%.*s' is not a number", mv_lex_len(&value), value.p);
	if (f->hi - f->lo < 31 && v >> (f->hi - f->lo + 1))
		return FAIL(ps, value.col, "%s has %d bits: 0x%x does not fit", f->name,
			    f->hi - f->lo + 1, v);
	rc = mv_lex_end(&ps->at, l);
	if (rc)
		return rc;
	id = (uint16_t)(f - mv_fields);
	while (i < m->nfields && m->fields[i].id != id)
		i++;
	if (i < m->nfields && own(ps, m->fields[i].at))
		return FAIL(ps, name.col, "field %s is given twice: already in line %u", f->name,
			    MV_AT_LINE(m->fields[i].at));
	if (i == MV_MASK_FIELDS)
		return FAIL(ps, name.col, "more than %d fields in one mask", MV_MASK_FIELDS);
	m->fields[i] = (struct mv_mask_field){ .id = id, .value = v, .at = here(ps) };
	if (i == m->nfields)
		m->nfields++;
	return 0;
}

static int parse_msr(struct parser *ps, struct mv_lex *l)
{
	struct mv_lex w = mv_lex_word(l);
	struct mv_mask *m = ps->out;
	struct mv_mask_msr msr = { .at = here(ps) };
	uint32_t i = 0;
	uint8_t syms[64];
	int rc;

	if (!mv_lex_plain(&w, &msr.index))
		return FAIL(ps, w.col, "'%.*s' is not an MSR number", mv_lex_len(&w), w.p);
	rc = symbols_in_quotes(ps, l, 64, syms);
	if (rc)
		return rc;
	while (i < m->nmsrs && m->msrs[i].index != msr.index)
		i++;
	if (i < m->nmsrs && own(ps, m->msrs[i].at))
		return FAIL(ps, w.col, "MSR 0x%x is given twice: already in line %u", msr.index,
			    MV_AT_LINE(m->msrs[i].at));
	if (i == MV_MASK_MSRS)
		return FAIL(ps, w.col, "more than %d MSRs in one mask", MV_MASK_MSRS);
	for (unsigned bit = 0; bit < 64; bit++)
		mv_mask_msr_set(&msr, bit, (enum mv_sym)syms[bit]);
	m->msrs[i] = msr;
	if (i == m->nmsrs)
		m->nmsrs++;
	return 0;
}

static int parse_directive(struct parser *ps, struct mv_lex *l, enum mv_directive d, uint32_t col)
{
	struct mv_lex value;
	char arg[256];
	int rc = 0;

	mv_lex_blanks(l);
	if (d != MV_DIR_INCLUDE)
		rc = mv_lex_expect(&ps->at, l, '=');
	mv_lex_blanks(l);
	if (rc == 0 && l->p < l->end && *l->p == '"')
		rc = mv_lex_quoted(&ps->at, l, &value);
	else if (rc == 0)
		value = mv_lex_word(l);
	if (rc == 0)
		rc = mv_lex_end(&ps->at, l);
	if (rc)
		return rc;
	if (value.p == value.end || (size_t)(value.end - value.p) >= sizeof(arg))
		return FAIL(ps, value.col, "a name expected (at most %zu characters)",
			    sizeof(arg) - 1);
	memcpy(arg, value.p, (size_t)(value.end - value.p));
	arg[value.end - value.p] = '\0';
	if (!ps->reader->directive)
		return FAIL(ps, col, "directives are not allowed here");
	rc = ps->reader->directive(ps->reader->ctx, d, arg, here(ps), ps->at.err);
	if (rc) {
		/* What went wrong inside an included file carries its own place. */
		FAIL(ps, value.col, "'%s' can't be used", arg);
		if (ps->at.err && !ps->at.err->file[0]) {
			size_t n = strlen(ps->reader->file);

			n = n < sizeof(ps->at.err->file) ? n : sizeof(ps->at.err->file) - 1;
			memcpy(ps->at.err->file, ps->reader->file, n);
			ps->at.err->file[n] = '\0';
			ps->at.err->line = ps->at.line;
			ps->at.err->col = value.col;
		}
	}
	return rc;
}

static int parse_line(struct parser *ps, struct mv_lex l)
{
	struct mv_lex start = l, w = mv_lex_word(&l), key = w, part;

	if (w.p == w.end)
		return FAIL(ps, start.col, "unexpected text '%.*s'", mv_lex_len(&start), start.p);
	if (mv_lex_is(&w, "level"))
		return parse_level(ps, &l);
	if (mv_lex_is(&w, "feature"))
		return parse_feature(ps, &l);
	if (mv_lex_is(&w, "field"))
		return parse_field(ps, &l);
	if (mv_lex_is(&w, "msr"))
		return parse_msr(ps, &l);
	if (mv_lex_is(&w, "guest-os"))
		return parse_directive(ps, &l, MV_DIR_GUEST_OS, w.col);
	if (mv_lex_is(&w, "baseline"))
		return parse_directive(ps, &l, MV_DIR_BASELINE, w.col);
	if (mv_lex_is(&w, "include"))
		return parse_directive(ps, &l, MV_DIR_INCLUDE, w.col);
	part = mv_lex_part(&key);
	if (part.end != w.end) {
		if (mv_lex_is(&part, "cpuid"))
			return parse_vmx_register(ps, &l, key);
		if (mv_lex_is(&part, "featmask") || mv_lex_is(&part, "featreq"))
			return parse_vmx_feature(ps, &l, key, mv_lex_is(&part, "featreq"));
	}
	mv_lex_blanks(&l);
	if (l.p < l.end && *l.p == ':')
		return parse_guide_register(ps, &l, &w);
	return FAIL(ps, w.col, "'%.*s' begins no line of a mask file", mv_lex_len(&w), w.p);
}

/* Cut a comment off: '#' or "//" outside quotes. */
static const char *line_end(const char *p, const char *end)
{
	bool quoted = false;

	for (; p < end; p++) {
		if (*p == '"')
			quoted = !quoted;
		if (!quoted && (*p == '#' || (*p == '/' && p + 1 < end && p[1] == '/')))
			break;
	}
	return p;
}

int mv_mask_parse(struct mv_mask *out, const char *text, size_t size,
		  const struct mv_mask_reader *reader, struct mv_err *err)
{
	struct parser ps = {
		.out = out,
		.reader = reader,
		.at = { .file = reader->file, .inherit = reader->kind != MV_MASK_DEFAULT, .err = err },
	};
	const char *p = text, *end = text + size;

	out->nregs = out->nfields = out->nmsrs = 0;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		struct mv_lex l = { .p = p, .end = line_end(p, nl ? nl : end), .col = 1 };
		int rc;

		ps.at.line++;
		if (memchr(p, '\0', (size_t)(l.end - p)))
			return FAIL(&ps, 1, "a NUL byte: this is not a text file");
		mv_lex_blanks(&l);
		while (l.end > l.p && mv_lex_is_blank(l.end[-1]))
			l.end--;
		rc = l.p < l.end ? parse_line(&ps, l) : 0;
		if (rc)
			return rc;
		p = nl ? nl + 1 : end;
	}
	if (reader->kind != MV_MASK_DEFAULT)
		return 0;
	for (uint32_t i = 0; i < out->nregs; i++)
		for (unsigned bit = 0; bit < 32; bit++)
			if (out->regs[i].vendor == MV_VENDOR_OTHER &&
			    mv_mask_reg_named(&out->regs[i]) != UINT32_MAX &&
			    mv_mask_reg_sym(&out->regs[i], bit) == MV_SYM_INHERIT)
				return mv_err_at(err, MV_E_INPUT, reader->file, 0, 0,
						 "bit %u of level 0x%x %s has no symbol: a default "
						 "mask names whole registers",
						 bit, out->regs[i].leaf,
						 mv_reg_name(out->regs[i].reg));
	return 0;
}
