/* SPDX-License-Identifier: MIT */
#include "err.h"

#include <stdio.h>
#include <string.h>

#include "text.h"

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
	mv_text_printable(err->msg);
	mv_text_printable(err->file);
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
	mv_text_printable(err->hint);
}

void mv_err_place(char *buf, size_t size, const struct mv_err *err)
{
	if (!*err->file)
		*buf = '\0';
	else if (!err->line)
		snprintf(buf, size, "%s:", err->file);
	else if (!err->col)
		snprintf(buf, size, "%s:%u:", err->file, err->line);
	else
		snprintf(buf, size, "%s:%u:%u:", err->file, err->line, err->col);
}
