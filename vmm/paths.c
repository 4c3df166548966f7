/* SPDX-License-Identifier: MIT */
#include "paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

int mv_runtime_dir(char *out, size_t size)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int n = snprintf(out, size, "%s/minivmm", base && *base == '/' ? base : "/run");

	if (n < 0 || (size_t)n >= size)
		return -ENAMETOOLONG;
	/* Not for a user whom root has yet to become (--user): it would be root's, and useless to both. */
	if (geteuid() == 0 && base && *base == '/' && lstat(out, &st) && stat(base, &st) == 0 && st.st_uid != 0)
		return -EPERM;
	if (mkdir(out, 0700) && errno != EEXIST)
		return -errno;
	/* Somebody else's folder is not to be trusted with sockets or results. */
	if (lstat(out, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return -EPERM;
	return 0;
}

void mv_path_stem(char *out, size_t size, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
	size_t len = dot && dot > name ? (size_t)(dot - name) : strlen(name), most = mv_text_fit(name, size - 1);

	snprintf(out, size, "%.*s", (int)(len < most ? len : most), name);
	mv_text_printable(out);
}
