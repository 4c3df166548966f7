/* SPDX-License-Identifier: MIT */
/* What a file is that was given where another kind belongs. */
#ifndef MV_VMM_FILE_KIND_H
#define MV_VMM_FILE_KIND_H

#include "err.h"

enum mv_file_kind {
	MV_FILE_OTHER,	/* nothing that is known by how it begins: a mask, a dump */
	MV_FILE_SNAPSHOT, MV_FILE_HOST, MV_FILE_ELF, MV_FILE_KERNEL, MV_FILE_DISK,
};

/* The file was not usable as what it was wanted for: if it is of another kind, say so and where that goes. */
void mv_file_hint(struct mv_err *err, const char *path, enum mv_file_kind wanted);

/* -MV_E_INPUT if it has the header of a disk format other than raw: a guest would read that, and write over it. */
int mv_file_raw_disk(const char *path, struct mv_err *err);

#endif
