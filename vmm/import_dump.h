/* SPDX-License-Identifier: MIT */
/*
 * Between the readers of the formats and struct mv_host: leaves come in as they stand in the file,
 * one logical CPU after the other, and what they describe comes out.
 */
#ifndef MV_VMM_IMPORT_DUMP_H
#define MV_VMM_IMPORT_DUMP_H

#include <json-c/json.h>

#include "import.h"

#define MV_DUMP_NEXT UINT32_MAX		/* no subleaf given: the one after the last of that leaf */
#define MV_DUMP_NO_ID UINT32_MAX	/* a logical CPU without a number */

struct mv_dump_leaf {
	uint32_t leaf, subleaf;
	uint32_t reg[MV_NREGS];
	uint32_t line, seq;
};

struct mv_dump_leaves {
	uint32_t n, room;
	struct mv_dump_leaf *e;
};

/* A leaf in which logical CPUs differ from the first. */
struct mv_dump_differ {
	uint32_t leaf, subleaf;		/* subleaf, reg, want, have: where it was seen first */
	uint32_t cpus, id, line;	/* how many; number and line of the first of them */
	uint32_t last;			/* counted already: the CPU of that position */
	uint32_t reg, want, have;
	bool absent;			/* not in both */
};

#define MV_DUMP_DIFFERS 24

struct mv_dump {
	const char *file;
	uint32_t line;			/* being read; 0 where the format has no lines */
	char where[32];			/* what stands for a line there: "leaf 0x7.0: " */
	struct mv_host *host;
	struct mv_import *report;
	struct mv_err *err;
	bool prints_zeros;		/* the format lists leaves that are all zero, too */
	bool one_cpu;			/* leaf 0 again is no sign of another CPU */
	bool has_caps;
	uint64_t caps, ucode;		/* ARCH_CAPABILITIES; UCODE_REV, 0 = unknown */

	struct mv_dump_leaves first, cur;	/* first: closed, in order, tidy */
	uint32_t (*masks)[MV_NREGS];	/* of first: bits that differ between CPUs of any machine */
	bool have_zero;			/* cur has leaf 0 */
	uint32_t first_id, cur_id;
	uint32_t ndiffers;
	struct mv_dump_differ differs[MV_DUMP_DIFFERS];
};

/* Each returns 0 or an error that names file and line. */
int mv_dump_cpu(struct mv_dump *d, uint32_t id);	/* another logical CPU begins */
int mv_dump_leaf(struct mv_dump *d, uint32_t leaf, uint32_t subleaf, const uint32_t reg[MV_NREGS]);
void mv_dump_msr(struct mv_dump *d, uint32_t index, uint64_t value);
/* Throw away what came in so far. */
void mv_dump_restart(struct mv_dump *d);
/* All read: d->first has leaves 0 and 1, or an error says what is missing. */
int mv_dump_close(struct mv_dump *d);
/* Does the dump mention the leaf, be it all zero? */
bool mv_dump_has(const struct mv_dump *d, uint32_t leaf, uint32_t subleaf);
void mv_dump_free(struct mv_dump *d);
/* Make the host of a closed dump. */
int mv_dump_host(struct mv_dump *d);

/* -MV_E_INPUT at the line being read. */
int mv_dump_bad(struct mv_dump *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void mv_dump_note(struct mv_dump *d, enum mv_import_kind kind, uint32_t line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void mv_dump_format(struct mv_dump *d, const char *name);

/* The readers. text[len] is 0. */
int mv_import_lines(struct mv_dump *d, const char *text, size_t len);
int mv_import_xml(struct mv_dump *d, const char *text, size_t len);
int mv_import_json(struct mv_dump *d, struct json_object *o);

#endif
