/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

int mv_read_file(const char *path, size_t max, char **out, size_t *len, struct mv_err *err)
{
	/* Not to wait for the other end, should it be a FIFO. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	size_t have = 0, room = 64 * 1024;
	char *buf = NULL;
	struct stat st;

	if (fd < 0)
		return mv_err_at(err, MV_E_INPUT, path, 0, 0, "%s", strerror(errno));
	if (fstat(fd, &st) || S_ISDIR(st.st_mode)) {
		close(fd);
		return mv_err_at(err, MV_E_INPUT, path, 0, 0, "a folder, not a file");
	}
	/* From a pipe that somebody writes to, <(...) for one, take all of it. */
	fcntl(fd, F_SETFL, 0);
	for (;;) {
		char *p = realloc(buf, room + 1);
		ssize_t n;

		if (!p) {
			errno = ENOMEM;
			break;
		}
		buf = p;
		n = read(fd, buf + have, room - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		have += (size_t)n;
		if (n == 0 && have == 0 && S_ISFIFO(st.st_mode)) {
			mv_err_at(err, MV_E_INPUT, path, 0, 0, "a pipe that nobody writes to");
			break;
		}
		if (n == 0 || have > max) {
			close(fd);
			if (have > max) {
				free(buf);
				return mv_err_at(err, MV_E_INPUT, path, 0, 0,
						 "larger than %zu bytes", max);
			}
			buf[have] = '\0';
			if (mv_text_bom(buf, have)) {
				have -= 3;
				memmove(buf, buf + 3, have + 1);
			}
			*out = buf;
			*len = have;
			return 0;
		}
		if (have == room)
			room *= 2;
	}
	mv_err_at(err, MV_E_INPUT, path, 0, 0, "%s", strerror(errno));
	free(buf);
	close(fd);
	return -MV_E_INPUT;
}

char mv_file_begins(const char *path)
{
	FILE *f = fopen(path, "re");
	char start[3] = "";
	int c;

	if (!f)
		return 0;
	if (!mv_text_bom(start, fread(start, 1, sizeof(start), f)))
		rewind(f);
	do
		c = getc(f);
	while (c == ' ' || c == '\t' || c == '\r' || c == '\n');
	fclose(f);
	return c == EOF ? 0 : (char)c;
}

static int failed(const struct mv_new_file *n, struct mv_err *err)
{
	return mv_err_at(err, MV_E_FAILED, n->path, 0, 0, "%s", strerror(errno));
}

/*
 * What stands there already and is no ordinary file (a device, a pipe) is written to: a new file must not take
 * its place. Of a link, its target is the file.
 */
int mv_new_file_open(struct mv_new_file *n, const char *path, struct mv_err *err)
{
	char target[PATH_MAX];
	struct stat st;
	bool there = !stat(path, &st);
	int len;

	n->path = path;
	*n->to = *n->tmp = '\0';
	if (there && !S_ISREG(st.st_mode)) {
		n->f = fopen(path, "we");
		return n->f ? 0 : failed(n, err);
	}
	len = snprintf(n->to, sizeof(n->to), "%s", there && realpath(path, target) ? target : path);
	if (len >= 0 && (size_t)len < sizeof(n->to))
		len = snprintf(n->tmp, sizeof(n->tmp), "%s.tmp.%d", n->to, (int)getpid());
	if (len < 0 || (size_t)len >= sizeof(n->tmp))
		return mv_err_at(err, MV_E_USAGE, path, 0, 0, "the name is too long");
	n->f = fopen(n->tmp, "wxe");
	if (n->f && there)
		fchmod(fileno(n->f), st.st_mode & 0777);
	return n->f ? 0 : failed(n, err);
}

static bool reached_the_disk(FILE *f)
{
	if (fflush(f))
		return false;
	if (!ferror(f))
		return !fsync(fileno(f)) || errno == EINVAL;	/* a device or a pipe has nothing to sync */
	errno = EIO;	/* an earlier write failed, for a reason that nobody kept */
	return false;
}

int mv_new_file_close(struct mv_new_file *n, int rc, struct mv_err *err)
{
	if (rc == 0 && !reached_the_disk(n->f))
		rc = failed(n, err);
	if (fclose(n->f) && rc == 0)
		rc = failed(n, err);
	if (rc == 0 && *n->tmp && rename(n->tmp, n->to))
		rc = failed(n, err);
	if (rc && *n->tmp)
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
