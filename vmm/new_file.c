/* SPDX-License-Identifier: MIT */
#include "new_file.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static int failed(const struct mv_new_file *n, struct mv_err *err)
{
	return mv_err_at(err, MV_E_FAILED, n->path, 0, 0, "%s", strerror(errno));
}

int mv_new_file_open(struct mv_new_file *n, const char *path, struct mv_err *err)
{
	int len = snprintf(n->tmp, sizeof(n->tmp), "%s.tmp.%d", path, (int)getpid());

	n->path = path;
	if (len < 0 || (size_t)len >= sizeof(n->tmp))
		return mv_err_at(err, MV_E_USAGE, path, 0, 0, "the name is too long");
	n->f = fopen(n->tmp, "wxe");
	return n->f ? 0 : failed(n, err);
}

static bool reached_the_disk(FILE *f)
{
	if (fflush(f))
		return false;
	if (!ferror(f))
		return !fsync(fileno(f));
	errno = EIO;	/* an earlier write failed, for a reason that nobody kept */
	return false;
}

int mv_new_file_close(struct mv_new_file *n, int rc, struct mv_err *err)
{
	if (rc == 0 && !reached_the_disk(n->f))
		rc = failed(n, err);
	if (fclose(n->f) && rc == 0)
		rc = failed(n, err);
	if (rc == 0 && rename(n->tmp, n->path))
		rc = failed(n, err);
	if (rc)
		unlink(n->tmp);
	return rc;
}

int mv_new_file_write(const char *path, const char *text, size_t len, struct mv_err *err)
{
	struct mv_new_file n;
	int rc = mv_new_file_open(&n, path, err);

	if (rc)
		return rc;
	fwrite(text, 1, len, n.f);
	return mv_new_file_close(&n, 0, err);
}
