/* SPDX-License-Identifier: MIT */
/*
 * Errors as data: a code, a place and one line of text. Libraries fill them in and return; only the
 * command line prints them.
 */
#ifndef MV_CPUID_ERR_H
#define MV_CPUID_ERR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Functions that can fail return 0 or one of these, negated. */
enum mv_err_code {
	MV_E_FAILED = 1,	/* a run-time failure: a system call, an I/O error */
	MV_E_USAGE,		/* the caller asked for something that makes no sense */
	MV_E_REFUSED,		/* a power-on requirement or the destination's CPU said no */
	MV_E_INPUT,		/* malformed or corrupt input */
	MV_E_HOST,		/* this host can't: no /dev/kvm, no capability, no interception */
	MV_E_GUEST,		/* the guest failed, crashed or timed out */
};

struct mv_err {
	int code;		/* enum mv_err_code; 0 = no error yet */
	char file[256];		/* "" where no file is concerned */
	uint32_t line, col;	/* from 1; 0 = not about a line */
	char msg[512];		/* one line, no final dot */
	char hint[512];		/* what to do about it; may be "" */
};

/* The message, with MV_E_FAILED, of what was given up because somebody asked for that. */
#define MV_CANCELLED "cancelled"

/*
 * Record an error and return -code. The first error wins: a second call changes nothing, so that a
 * caller may add its own without hiding the cause. err may be NULL.
 */
int mv_err_set(struct mv_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int mv_err_at(struct mv_err *err, int code, const char *file, uint32_t line, uint32_t col,
	      const char *fmt, ...) __attribute__((format(printf, 6, 7)));
int mv_err_vat(struct mv_err *err, int code, const char *file, uint32_t line, uint32_t col,
	       const char *fmt, va_list ap) __attribute__((format(printf, 6, 0)));

/* A compiler that sees one file alone must know, too, that what was recorded as an error is not 0. */
static inline int mv_err_returns(int rc, int code)
{
	(void)rc;
	return -code;
}
#define mv_err_set(err, code, ...) mv_err_returns((mv_err_set)(err, code, __VA_ARGS__), code)
#define mv_err_at(err, code, ...)  mv_err_returns((mv_err_at)(err, code, __VA_ARGS__), code)

/* The place as it stands before a message: "FILE:LINE:COLUMN:", as much of it as is known; "" if nothing is. */
void mv_err_place(char *buf, size_t size, const struct mv_err *err);

/* Add what to do, if nothing was said yet. */
void mv_err_hint(struct mv_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
