/* SPDX-License-Identifier: MIT */
/* Text that came from somewhere else: a file's name, a host file, CPUID itself. It ends up on terminals and in JSON. */
#ifndef MV_CPUID_TEXT_H
#define MV_CPUID_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the mark that some editors put before UTF-8: 3, or 0. */
size_t mv_text_bom(const char *text, size_t len);

/*
 * Bytes of the UTF-8 character at p (RFC 3629), of which `room` may be read; 0 if there is none. Text that ends with
 * a NUL needs no room: SIZE_MAX.
 */
size_t mv_utf8_length(const char *p, size_t room);

/* The same, for what only shows on a terminal: 0 for control characters, too (U+0000-1F, U+007F-9F). */
size_t mv_text_length(const char *p, size_t room);

/* Bytes of the longest part from its start that is no longer than max and ends behind a character. */
size_t mv_text_fit(const char *text, size_t max);

/* Is all of it such text? */
bool mv_text_is_printable(const char *text);

/* Whatever is none becomes '?', byte for byte. Returns text. */
char *mv_text_printable(char *text);

#endif
