/* SPDX-License-Identifier: MIT */
/* Files built into the program: guest images, default masks and baselines. */
#ifndef MV_VMM_BUILTIN_H
#define MV_VMM_BUILTIN_H

#include <stddef.h>
#include <stdint.h>

struct mv_builtin {
	const char *name;	/* "probe.elf", "linux64.mask"; no two files share one */
	const char *folder;	/* "guest-tests", "guest-os", "baselines", "cli" */
	const uint8_t *data;
	size_t size;
};

/* The built-in file of that name; NULL if there is none. */
const struct mv_builtin *mv_builtin_find(const char *name);
/* All of them, those of a folder together and in order of name; *n is their number. */
const struct mv_builtin *mv_builtin_all(size_t *n);

#endif
