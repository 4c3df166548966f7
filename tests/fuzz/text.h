/* SPDX-License-Identifier: MIT */
/* What the targets for text share: masks, hosts, other systems' notations. */
#ifndef MV_TESTS_FUZZ_TEXT_H
#define MV_TESTS_FUZZ_TEXT_H

#include "dialect.h"
#include "fuzz.h"
#include "host.h"

/* Ends the run, as a sanitizer does, with what does not hold. */
#define FUZZ_MUST(condition, ...) \
	do { \
		if (!(condition)) \
			fuzz_fail(__VA_ARGS__); \
	} while (0)
void fuzz_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A small host, in the lines of a dump. */
extern const char fuzz_dump[];

/* The bytes with a NUL behind them, on the heap; the caller frees. */
char *fuzz_text(const uint8_t *data, size_t size);

/* The bytes as a file in memory: its descriptor, and a path by which it can be opened; -1: none. */
#define FUZZ_PATH 40
int fuzz_file(const void *data, size_t size, char path[FUZZ_PATH]);

/* What failed has a code and words: callers print them. */
void fuzz_check_error(int rc, const struct mv_err *err);

/* The same symbols, fields and MSRs, whatever the order. text: what was written, for the message. */
void fuzz_same_mask(const struct mv_mask *a, const struct mv_mask *b, const char *text);

/* Each form of the mask language gives the mask back. */
void fuzz_write_mask(const struct mv_mask *m);

/*
 * Write m in that notation and read that again: the reader takes what the writer wrote, and if no loss
 * was told, it is the same mask.
 */
void fuzz_write_dialect(const struct mv_dialect *d, const struct mv_mask *m);

/* Text in that notation, and if it is a mask, all of the above. */
void fuzz_dialect(const struct mv_dialect *d, const uint8_t *data, size_t size);

/* A host written as a host file is the same when it is read. */
void fuzz_write_host(const struct mv_host *h);

#endif
