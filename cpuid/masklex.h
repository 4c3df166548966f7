/* SPDX-License-Identifier: MIT */
/* The words, numbers and symbols that lines of mask files are made of (for cpuid/maskfile.c). */
#ifndef MV_CPUID_MASKLEX_H
#define MV_CPUID_MASKLEX_H

#include "mask.h"

/* A stretch of one line; col is the column of *p. Taking something moves p and col behind it. */
struct mv_lex {
	const char *p, *end;
	uint32_t col;
};

/* Where errors are, and whether '-' is a symbol here. */
struct mv_lex_place {
	const char *file;
	uint32_t line;
	bool inherit;
	struct mv_err *err;
};

bool mv_lex_is_blank(char c);
void mv_lex_blanks(struct mv_lex *l);

/* The next word: letters, digits and "_-."; empty at anything else. */
struct mv_lex mv_lex_word(struct mv_lex *l);
/* The next part of a word, up to a '.', which is skipped. */
struct mv_lex mv_lex_part(struct mv_lex *key);
/* Is w that (lower-case) word, in any case? */
bool mv_lex_is(const struct mv_lex *w, const char *word);
/* Its length, for "%.*s": never more than a message can bear. */
int mv_lex_len(const struct mv_lex *w);

/* Digits of that base up to end; false if it is anything else or beyond 32 bits. */
bool mv_lex_number(const char *p, const char *end, unsigned base, uint32_t *out);
/* A number as people write it: decimal, or 0x and hexadecimal. */
bool mv_lex_plain(const struct mv_lex *w, uint32_t *out);
/* A level as the guide writes it: 0x1h, 0x1 or 1h; one digit needs no mark, more would be a guess. */
bool mv_lex_level(const struct mv_lex *w, uint32_t *out);

/* The character c, nothing more, the text between double quotes: 0, or an error with its column. */
int mv_lex_expect(const struct mv_lex_place *at, struct mv_lex *l, char c);
int mv_lex_end(const struct mv_lex_place *at, struct mv_lex *l);
int mv_lex_quoted(const struct mv_lex_place *at, struct mv_lex *l, struct mv_lex *out);

/* n symbols up to the end, bit n-1 first, blanks and colons between them free; syms[i] is bit i. */
int mv_lex_symbols(const struct mv_lex_place *at, struct mv_lex *l, unsigned n, uint8_t *syms);

#endif
