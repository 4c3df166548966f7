/* SPDX-License-Identifier: MIT */
#include "builtin.h"

#include <string.h>

/* The Makefile writes builtin-files.def: MV_BUILTIN(symbol, "name", "folder"). */
#define MV_BUILTIN(symbol, name, folder) \
	extern const uint8_t mv_builtin_##symbol[], mv_builtin_##symbol##_end[];
#include "builtin-files.def"
#undef MV_BUILTIN

const struct mv_builtin *mv_builtin_all(size_t *n)
{
	static struct mv_builtin files[] = {
#define MV_BUILTIN(symbol, name, folder) { name, folder, mv_builtin_##symbol, 0 },
#include "builtin-files.def"
#undef MV_BUILTIN
	};
	static const uint8_t *const ends[] = {
#define MV_BUILTIN(symbol, name, folder) mv_builtin_##symbol##_end,
#include "builtin-files.def"
#undef MV_BUILTIN
	};

	/* The difference of two linker symbols is no constant to the compiler. */
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		files[i].size = (size_t)(ends[i] - files[i].data);
	*n = sizeof(files) / sizeof(files[0]);
	return files;
}

const struct mv_builtin *mv_builtin_find(const char *name)
{
	size_t n;
	const struct mv_builtin *f = mv_builtin_all(&n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(f[i].name, name))
			return &f[i];
	return NULL;
}
