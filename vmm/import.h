/* SPDX-License-Identifier: MIT */
/*
 * Other tools' CPU dumps as hosts (docs/importers.md). The format is told by content. What such a
 * file can't say is assumed: KVM's offer, and that KVM intercepts CPUID.
 */
#ifndef MV_VMM_IMPORT_H
#define MV_VMM_IMPORT_H

#include <stddef.h>

#include "host.h"

/* Something that a reader of the result should know; the host is usable all the same. */
enum mv_import_kind {
	MV_IMPORT_VM,		/* taken in a virtual machine, or shows what a guest was given */
	MV_IMPORT_RANGE,	/* leaves beyond the maximum of their range were left out */
	MV_IMPORT_SYSCALL,	/* SYSCALL was missing as in all 32-bit dumps, and was added */
	MV_IMPORT_DIFFER,	/* logical CPUs differ; the first one counts */
	MV_IMPORT_TWICE,	/* a leaf was given twice with different values; the first counts */
	MV_IMPORT_MISSING,	/* the dump lacks something that the CPU has */
	MV_IMPORT_IGNORED,	/* a part of the file was not used */
	MV_IMPORT_NO_KVM,	/* the CPU shows nothing that KVM could work with */
	MV_IMPORT_KINDS,
};

struct mv_import_note {
	enum mv_import_kind kind;
	uint32_t line;		/* 0 = not about a line */
	char text[232];		/* one line, no final dot */
};

#define MV_IMPORT_NOTES 48

struct mv_import {
	char format[24];	/* as in mv_host.source; "minivmm host file" for our own */
	uint32_t cpus;		/* logical CPUs in the dump; 0 for our own files */
	uint32_t nnotes;
	uint32_t more;		/* notes that had no room */
	struct mv_import_note notes[MV_IMPORT_NOTES];
};

/*
 * Read a host from a file of any known format. report is always filled in, even on errors, and may
 * be NULL. -MV_E_INPUT names file, line and reason.
 */
int mv_host_import(struct mv_host *h, const char *path, struct mv_import *report,
		   struct mv_err *err);

/* The same from memory; text[len] must be 0, file is for messages. */
int mv_host_import_text(struct mv_host *h, const char *file, const char *text, size_t len,
			struct mv_import *report, struct mv_err *err);

/*
 * Fill in what nobody asked KVM for, from h->raw: the offer of the KVM of Linux
 * MV_ASSUMED_KERNEL with default parameters, its ARCH_CAPABILITIES, XCR0, interception. caps: the
 * dump's value of that MSR, NULL if it has none.
 */
#define MV_ASSUMED_KERNEL "6.1"
void mv_host_assume(struct mv_host *h, const uint64_t *caps);

#endif
