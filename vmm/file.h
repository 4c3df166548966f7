/* SPDX-License-Identifier: MIT */
/* Files that are read as a whole, and written whole or not at all. */
#ifndef MV_VMM_FILE_H
#define MV_VMM_FILE_H

#include <limits.h>
#include <stdio.h>

#include "err.h"

/*
 * Read a text file of at most max bytes, or what comes through a pipe, with a NUL behind it and without a byte order
 * mark; the caller frees. -MV_E_INPUT names file and reason.
 */
int mv_read_file(const char *path, size_t max, char **out, size_t *len, struct mv_err *err);

/* The first character of a text file that is neither a mark nor blank; 0: none, or the file can't be read. */
char mv_file_begins(const char *path);

/*
 * A file that is being written: under another name in the same folder first, then fsynced and renamed. Nobody ever
 * reads half of it, and what was there before stays if anything fails. Devices, pipes and sockets are written to as
 * they are.
 */
struct mv_new_file {
	FILE *f;		/* to be written to */
	const char *path;	/* the caller's */
	char to[PATH_MAX];	/* where links lead from there */
	char tmp[PATH_MAX];	/* "": written in place */
};

int mv_new_file_open(struct mv_new_file *n, const char *path, struct mv_err *err);

/* rc: how writing went; if it is not 0, or this fails, there is no new file. Returns rc, or an error. */
int mv_new_file_close(struct mv_new_file *n, int rc, struct mv_err *err);

/* These len bytes. */
int mv_new_file_write(const char *path, const char *text, size_t len, struct mv_err *err);

#endif
