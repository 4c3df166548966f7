/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdint.h>
#include <string.h>

size_t mv_text_bom(const char *text, size_t len)
{
	return len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

size_t mv_utf8_length(const char *text, size_t room)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (n > room)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than need be, surrogates, beyond the last character. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;
	return n;
}

size_t mv_text_length(const char *text, size_t room)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t n = mv_utf8_length(text, room);
	bool control = n == 1 ? p[0] < 0x20 || p[0] == 0x7f : n == 2 && p[0] == 0xc2 && p[1] < 0xa0;

	return control ? 0 : n;
}

size_t mv_text_fit(const char *text, size_t max)
{
	size_t n = strlen(text);

	if (n <= max)
		return n;
	for (n = max; n && ((uint8_t)text[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

bool mv_text_is_printable(const char *text)
{
	size_t n;

	for (; *text; text += n) {
		n = mv_text_length(text, SIZE_MAX);
		if (!n)
			return false;
	}
	return true;
}

char *mv_text_printable(char *text)
{
	for (char *p = text; *p;) {
		size_t n = mv_text_length(p, SIZE_MAX);

		if (!n)
			*p = '?';
		p += n ? n : 1;
	}
	return text;
}
