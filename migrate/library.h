/* SPDX-License-Identifier: MIT */
/*
 * Libraries that are loaded when they are asked for, and by nothing else: starting a guest maps none of them. A
 * user lists its functions once,
 *
 *	#define FUNCTIONS(F) F(xmlParseChunk) F(xmlFreeDoc)
 *	struct libxml { FUNCTIONS(MV_LIBRARY_MEMBER) };
 *
 * and has the pointers, which come first in its structure, filled in.
 */
#ifndef MV_MIGRATE_LIBRARY_H
#define MV_MIGRATE_LIBRARY_H

#include "err.h"

#define MV_LIBRARY_MEMBER(name) __typeof__(&(name)) name;
#define MV_LIBRARY_NAME(name) #name,

struct mv_library {
	const char *file;	/* "libxml2.so.2" */
	const char *what;	/* "reading XML", which needs it */
	const char *package;	/* the hint's "apt-get install …" */
	int code;		/* of the error if it is missing: enum mv_err_code */
	const char *const *names;	/* { FUNCTIONS(MV_LIBRARY_NAME) NULL } */
};

int mv_library_load(void *functions, const struct mv_library *lib, struct mv_err *err);

#endif
