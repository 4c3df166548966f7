/* SPDX-License-Identifier: MIT */
#include "err.h"

#include <stdio.h>
#include <string.h>

/* Length of the UTF-8 sequence at p (1 for ASCII), 0 if there is none. */
static size_t utf8_length(const unsigned char *p)
{
	size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3
		   : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* Quoted input may hold anything; a message goes to terminals and into JSON. */
static void make_printable(char *msg)
{
	unsigned char *p = (unsigned char *)msg;

	while (*p) {
		size_t n = utf8_length(p);

		if (n == 0 || *p < 0x20 || *p == 0x7f) {
			*p = '?';
			n = 1;
		}
		p += n;
	}
}

int mv_err_vat(struct mv_err *err, int code, const char *file, uint32_t line, uint32_t col,
	       const char *fmt, va_list ap)
{
	if (!err || err->code)
		return -code;
	err->code = code;
	err->line = line;
	err->col = col;
	snprintf(err->file, sizeof(err->file), "%s", file ? file : "");
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	make_printable(err->msg);
	make_printable(err->file);
	return -code;
}

int (mv_err_at)(struct mv_err *err, int code, const char *file, uint32_t line, uint32_t col,
		const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	mv_err_vat(err, code, file, line, col, fmt, ap);
	va_end(ap);
	return -code;
}

int (mv_err_set)(struct mv_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	mv_err_vat(err, code, NULL, 0, 0, fmt, ap);
	va_end(ap);
	return -code;
}

void mv_err_hint(struct mv_err *err, const char *fmt, ...)
{
	va_list ap;

	if (!err || err->hint[0])
		return;
	va_start(ap, fmt);
	vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
}
