/* SPDX-License-Identifier: MIT */
#include "masklex.h"

#include <string.h>

#define FAIL(at, column, ...) \
	mv_err_at((at)->err, MV_E_INPUT, (at)->file, (at)->line, (column), __VA_ARGS__)

bool mv_lex_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

void mv_lex_blanks(struct mv_lex *l)
{
	while (l->p < l->end && mv_lex_is_blank(*l->p)) {
		l->p++;
		l->col++;
	}
}

static bool word_char(char c)
{
	return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' ||
	       c == '-' || c == '.';
}

struct mv_lex mv_lex_word(struct mv_lex *l)
{
	struct mv_lex w;

	mv_lex_blanks(l);
	w = *l;
	while (l->p < l->end && word_char(*l->p)) {
		l->p++;
		l->col++;
	}
	w.end = l->p;
	return w;
}

bool mv_lex_is(const struct mv_lex *w, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(w->end - w->p) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower(w->p[i]) != word[i])
			return false;
	return true;
}

int mv_lex_len(const struct mv_lex *w)
{
	return w->end - w->p > 64 ? 64 : (int)(w->end - w->p);
}

static int digit(char c)
{
	c = lower(c);
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mv_lex_number(const char *p, const char *end, unsigned base, uint32_t *out)
{
	uint64_t v = 0;

	if (p == end)
		return false;
	for (; p < end; p++) {
		int d = digit(*p);

		if (d < 0 || (unsigned)d >= base)
			return false;
		v = v * base + (unsigned)d;
		if (v > UINT32_MAX)
			return false;
	}
	*out = (uint32_t)v;
	return true;
}

bool mv_lex_level(const struct mv_lex *w, uint32_t *out)
{
	const char *p = w->p, *end = w->end;
	bool marked = false;

	if (end - p > 2 && p[0] == '0' && lower(p[1]) == 'x') {
		p += 2;
		marked = true;
	}
	if (end > p && lower(end[-1]) == 'h') {
		end--;
		marked = true;
	}
	return (marked || end - p == 1) && mv_lex_number(p, end, 16, out);
}

bool mv_lex_plain(const struct mv_lex *w, uint32_t *out)
{
	if (w->end - w->p > 2 && w->p[0] == '0' && lower(w->p[1]) == 'x')
		return mv_lex_number(w->p + 2, w->end, 16, out);
	return mv_lex_number(w->p, w->end, 10, out);
}

int mv_lex_expect(const struct mv_lex_place *at, struct mv_lex *l, char c)
{
	mv_lex_blanks(l);
	if (l->p == l->end || *l->p != c)
		return FAIL(at, l->col, "'%c' expected", c);
	l->p++;
	l->col++;
	return 0;
}

int mv_lex_end(const struct mv_lex_place *at, struct mv_lex *l)
{
	mv_lex_blanks(l);
	if (l->p < l->end)
		return FAIL(at, l->col, "unexpected text '%.*s'", mv_lex_len(l), l->p);
	return 0;
}

int mv_lex_quoted(const struct mv_lex_place *at, struct mv_lex *l, struct mv_lex *out)
{
	int rc = mv_lex_expect(at, l, '"');

	if (rc)
		return rc;
	*out = *l;
	while (l->p < l->end && *l->p != '"') {
		l->p++;
		l->col++;
	}
	if (l->p == l->end)
		return FAIL(at, out->col - 1, "the quote is not closed");
	out->end = l->p;
	l->p++;
	l->col++;
	return 0;
}

struct mv_lex mv_lex_part(struct mv_lex *key)
{
	struct mv_lex part = *key;

	while (key->p < key->end && *key->p != '.') {
		key->p++;
		key->col++;
	}
	part.end = key->p;
	if (key->p < key->end) {
		key->p++;
		key->col++;
	}
	return part;
}

int mv_lex_symbols(const struct mv_lex_place *at, struct mv_lex *l, unsigned n, uint8_t *syms)
{
	unsigned have = 0;

	for (; l->p < l->end; l->p++, l->col++) {
		int s;

		if (mv_lex_is_blank(*l->p) || *l->p == ':')
			continue;
		s = mv_sym_parse(*l->p);
		if (s < 0) {
			FAIL(at, l->col, "'%c' is not a mask symbol", *l->p);
			mv_err_hint(at->err, "the symbols are - x T F 1 0 H R");
			return -MV_E_INPUT;
		}
		if (s == MV_SYM_INHERIT && !at->inherit) {
			FAIL(at, l->col, "'-' in a default mask");
			mv_err_hint(at->err, "'-' means \"the default mask's symbol\": it has a "
					     "meaning in override masks only");
			return -MV_E_INPUT;
		}
		if (have == n)
			return FAIL(at, l->col, "more than %u symbols", n);
		syms[n - 1 - have++] = (uint8_t)s;
	}
	if (have != n)
		return FAIL(at, l->col, "%u symbols, %u needed (bit %u first)", have, n, n - 1);
	return 0;
}
