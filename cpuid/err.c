/* SPDX-License-Identifier: MIT */
#include "err.h"

#include <stdio.h>
#include <string.h>

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
	return -code;
}

int mv_err_at(struct mv_err *err, int code, const char *file, uint32_t line, uint32_t col,
	      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	mv_err_vat(err, code, file, line, col, fmt, ap);
	va_end(ap);
	return -code;
}

int mv_err_set(struct mv_err *err, int code, const char *fmt, ...)
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
