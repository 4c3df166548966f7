/* SPDX-License-Identifier: MIT */
#define _XOPEN_SOURCE 700	/* O_CLOEXEC */

#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream.h"

struct mv_snapshot {
	int fd;
	char *name;
	struct mv_stream s;
	struct mv_config config;
	uint32_t nfiles;
	bool state_read, memory_read;
	struct mv_manifest memory;	/* once the state was read */
};

static int io_error(struct mv_err *err, const char *file, const char *what)
{
	return mv_err_at(err, MV_E_FAILED, file, 0, 0, "%s: %s", what, strerror(errno));
}

static int64_t read_file(void *ctx, void *buf, size_t len, struct mv_err *err)
{
	const struct mv_snapshot *s = ctx;
	uint8_t *p = buf;
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = read(s->fd, p + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return io_error(err, s->name, "reading");
		if (!n)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

static int open_file(struct mv_snapshot *s, uint64_t *size, struct mv_err *err)
{
	struct stat sb;

	/* Not to wait for the other end, should it be a FIFO. */
	s->fd = open(s->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (s->fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0, "no such file");
	if (s->fd < 0)
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0, "%s", strerror(errno));
	if (fstat(s->fd, &sb))
		return io_error(err, s->name, "opening");
	if (!S_ISREG(sb.st_mode))
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0,
				 "not a snapshot: it is not a regular file");
	*size = (uint64_t)sb.st_size;
	return 0;
}

static int check_size(const struct mv_snapshot *s, uint64_t size, struct mv_err *err)
{
	uint64_t want = s->s.header.file_size;

	if (size < want)
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0, "truncated: it ends at byte 0x%"
				 PRIx64 "; %" PRIu64 " of %" PRIu64 " bytes are missing", size,
				 want - size, want);
	if (size > want)
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0, "%" PRIu64 " trailing bytes: the"
				 " snapshot ends at byte 0x%" PRIx64, size - want, want);
	return 0;
}

int mv_snapshot_open(struct mv_snapshot **out, const char *path, struct mv_static *st,
		     struct mv_err *err)
{
	struct mv_records rs = { .config = &st->config, .policy = &st->policy };
	struct mv_snapshot *s = calloc(1, sizeof(*s));
	size_t len = strlen(path) + 1;
	uint64_t size = 0;
	int rc;

	*out = NULL;
	memset(st, 0, sizeof(*st));
	if (!s)
		return mv_err_at(err, MV_E_FAILED, path, 0, 0, "out of memory");
	s->fd = -1;
	s->name = malloc(len);
	if (!s->name) {
		rc = mv_err_at(err, MV_E_FAILED, path, 0, 0, "out of memory");
		goto fail;
	}
	memcpy(s->name, path, len);
	rc = open_file(s, &size, err);
	if (!rc)
		rc = mv_stream_begin(&s->s, s->name, read_file, s, err);
	if (!rc)
		rc = check_size(s, size, err);
	if (!rc)
		rc = mv_stream_read_until(&s->s, &rs, MV_REC_STATIC_END, err);
	if (rc)
		goto fail;
	s->config = st->config;
	s->nfiles = rs.nfiles;
	*out = s;
	return 0;
fail:
	mv_snapshot_close(s);
	return rc;
}

/* What is between END and the pages: zeros, less than a page of them. */
static int skip_padding(struct mv_snapshot *s, struct mv_err *err)
{
	uint64_t at = s->s.pos, len = s->s.header.data_offset - at;
	uint8_t pad[MV_PAGE_SIZE];
	size_t i;
	int rc;

	if (len >= sizeof(pad))
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0, "byte 0x%" PRIx64
				 ": the pages begin too late, at byte 0x%" PRIx64, at,
				 s->s.header.data_offset);
	rc = mv_stream_read(&s->s, pad, (size_t)len, "padding", err);
	for (i = 0; !rc && i < len; i++)
		if (pad[i])
			rc = mv_err_at(err, MV_E_INPUT, s->name, 0, 0,
				       "byte 0x%" PRIx64 ": padding is not zero", at + i);
	return rc;
}

int mv_snapshot_state(struct mv_snapshot *s, struct mv_state *state, struct mv_err *err)
{
	struct mv_records rs = {
		.config = &s->config, .state = state, .memory = &s->memory, .nfiles = s->nfiles,
		.file_size = s->s.header.file_size,
	};
	int rc;

	state->nvcpus = 0;
	state->vcpus = NULL;
	if (s->state_read)
		return mv_err_at(err, MV_E_USAGE, s->name, 0, 0, "was loaded before");
	s->state_read = true;
	s->memory = (struct mv_manifest){
		.ram_size = s->config.ram_size,
		.data_offset = s->s.header.data_offset,
		.file_size = s->s.header.file_size,
	};
	rc = mv_state_init(state, s->config.nvcpus, err);
	if (!rc)
		rc = mv_stream_read_until(&s->s, &rs, MV_REC_END, err);
	if (!rc)
		rc = skip_padding(s, err);
	if (rc) {
		mv_state_finish(state);
		s->memory_read = true;	/* there is none to be had */
	}
	return rc;
}

int mv_snapshot_memory(struct mv_snapshot *s, uint8_t *ram, struct mv_err *err)
{
	if (!s->state_read || s->memory_read)
		return mv_err_at(err, MV_E_USAGE, s->name, 0, 0,
				 "memory is read once, behind the state");
	s->memory_read = true;
	return mv_manifest_load(&s->memory, &s->s, ram, err);
}

const struct mv_manifest *mv_snapshot_manifest(const struct mv_snapshot *s)
{
	return &s->memory;
}

void mv_snapshot_take_manifest(struct mv_snapshot *s, struct mv_manifest *out)
{
	*out = s->memory;
	s->memory = (struct mv_manifest){ 0 };
	s->memory_read = true;
}

int mv_snapshot_fd(const struct mv_snapshot *s)
{
	return s->fd;
}

const char *mv_snapshot_name(const struct mv_snapshot *s)
{
	return s->name;
}

void mv_snapshot_info(const struct mv_snapshot *s, struct mv_snapshot_info *info)
{
	const struct mv_stream_header *h = &s->s.header;

	*info = (struct mv_snapshot_info){
		.file_size = h->file_size,
		.memory_bytes = h->file_size - h->data_offset,
		.version = (uint32_t)h->major << 16 | h->minor,
	};
}

void mv_snapshot_close(struct mv_snapshot *s)
{
	if (!s)
		return;
	mv_stream_finish(&s->s);
	mv_manifest_finish(&s->memory);
	if (s->fd >= 0)
		close(s->fd);
	free(s->name);
	free(s);
}
