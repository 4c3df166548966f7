/* SPDX-License-Identifier: MIT */
#include "library.h"

#include <dlfcn.h>
#include <string.h>

_Static_assert(sizeof(void *) == sizeof(void (*)(void)), "POSIX: dlsym gives functions, too");

int mv_library_load(void *functions, const struct mv_library *lib, struct mv_err *err)
{
	void *handle = dlopen(lib->file, RTLD_NOW | RTLD_LOCAL);
	char *to = functions;

	if (!handle) {
		mv_err_set(err, lib->code, "%s needs %s: %s", lib->what, lib->file, dlerror());
		mv_err_hint(err, "apt-get install %s", lib->package);
		return -lib->code;
	}
	for (size_t i = 0; lib->names[i]; i++, to += sizeof(void *)) {
		void *f = dlsym(handle, lib->names[i]);

		if (!f)
			return mv_err_set(err, lib->code, "%s has no %s", lib->file, lib->names[i]);
		/* Copied: C has no cast from an object pointer to a function's. */
		memcpy(to, &f, sizeof(f));
	}
	return 0;
}
