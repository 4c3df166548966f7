/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE	/* O_TMPFILE, realpath */

#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream.h"

/* Reading */

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

	memset(state, 0, sizeof(*state));
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

int mv_snapshot_load(struct mv_snapshot *s, struct mv_state *state, uint8_t *ram,
		     struct mv_err *err)
{
	int rc = mv_snapshot_state(s, state, err);

	if (rc)
		return rc;
	rc = mv_snapshot_memory(s, ram, err);
	if (rc)
		mv_state_finish(state);
	return rc;
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

/* Writing */

/* All but the pages, in memory: header and records, filled up to a page. */
struct image {
	struct mv_buf head, records;
	struct mv_manifest memory;
};

static void image_finish(struct image *im)
{
	mv_buf_finish(&im->head);
	mv_buf_finish(&im->records);
	mv_manifest_finish(&im->memory);
}

static int build(struct image *im, const struct mv_static *st, const struct mv_state *state,
		 const uint8_t *ram, struct mv_err *err)
{
	struct mv_records rs = {
		.config = mv_wire_unconst(&st->config), .policy = mv_wire_unconst(&st->policy),
		.state = mv_wire_unconst(state), .memory = &im->memory,
	};
	struct mv_stream_header h = {
		.major = MV_STREAM_MAJOR, .minor = MV_STREAM_MINOR, .kind = MV_STREAM_SNAPSHOT,
	};
	uint64_t end;
	uint8_t *pad;
	int rc;

	if (state->nvcpus != st->config.nvcpus || state->ndevices > MV_MAX_DEVICES)
		return mv_err_set(err, MV_E_USAGE, "%" PRIu32 " of %" PRIu32 " vCPUs and %" PRIu32
				  " devices to save", state->nvcpus, st->config.nvcpus,
				  state->ndevices);
	rc = mv_stream_put_all(&im->records, &rs, MV_REC_CONFIG, MV_REC_VCPU, err);
	if (!rc)
		rc = mv_manifest_scan(&im->memory, ram, st->config.ram_size, err);
	if (rc)
		return rc;

	/* The two records to come hold their own end: reckon it. END has two 8-byte fields. */
	end = MV_STREAM_HEADER_SIZE + im->records.len +
	      mv_record_size(mv_manifest_length(&im->memory)) + mv_record_size(16);
	h.data_offset = (end + MV_PAGE_SIZE - 1) / MV_PAGE_SIZE * MV_PAGE_SIZE;
	mv_manifest_place(&im->memory, h.data_offset);
	h.file_size = rs.file_size = im->memory.file_size;

	rc = mv_stream_put_all(&im->records, &rs, MV_REC_MEMORY, MV_REC_END, err);
	if (!rc)
		rc = mv_stream_put_header(&im->head, &h, err);
	if (rc)
		return rc;
	pad = mv_buf_grow(&im->records, (size_t)(h.data_offset - end));
	if (!pad)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	memset(pad, 0, (size_t)(h.data_offset - end));
	return 0;
}

static bool write_all(int fd, const uint8_t *p, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (!n) {
			errno = EIO;
			return false;
		}
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool write_image(int fd, const struct image *im, const uint8_t *ram)
{
	const struct mv_run *r = im->memory.runs;
	uint32_t i;

	if (!write_all(fd, im->head.data, im->head.len) ||
	    !write_all(fd, im->records.data, im->records.len))
		return false;
	for (i = 0; i < im->memory.nruns; i++)
		if (!write_all(fd, ram + r[i].gpa, (size_t)(r[i].npages * MV_PAGE_SIZE)))
			return false;
	return true;
}

/* Where to write: the file's own name, links resolved, and the folder it is in. */
struct target {
	char *path, *folder, *temp;
};

static void target_finish(struct target *t)
{
	free(t->path);
	free(t->folder);
	free(t->temp);
}

static char *copy_string(const char *s, size_t len)
{
	char *p = malloc(len + 1);

	if (p) {
		memcpy(p, s, len);
		p[len] = '\0';
	}
	return p;
}

static int target_init(struct target *t, const char *path, struct mv_err *err)
{
	const char *slash;
	struct stat sb;
	size_t size;

	/* A rename would replace a link, or a device, instead of what is meant. */
	t->path = realpath(path, NULL);
	if (!t->path && errno != ENOENT)
		return io_error(err, path, "saving");
	if (t->path && stat(t->path, &sb))
		return io_error(err, path, "saving");
	if (t->path && !S_ISREG(sb.st_mode))
		return mv_err_at(err, MV_E_USAGE, path, 0, 0, "is not a regular file");
	if (!t->path)
		t->path = copy_string(path, strlen(path));
	if (!t->path)
		return mv_err_at(err, MV_E_FAILED, path, 0, 0, "out of memory");

	slash = strrchr(t->path, '/');
	if (!slash)
		t->folder = copy_string(".", 1);
	else
		t->folder = copy_string(t->path, slash == t->path ? 1 : (size_t)(slash - t->path));
	size = strlen(t->path) + 64;
	t->temp = malloc(size);
	if (!t->folder || !t->temp)
		return mv_err_at(err, MV_E_FAILED, path, 0, 0, "out of memory");
	return 0;
}

/*
 * The temporary name is the same for every save of this file: what a process that was killed left
 * there goes with the next save, instead of piling up. FNV-1a, as names can be as long as they may.
 */
static void name_temp(struct target *t)
{
	const char *p = strrchr(t->path, '/');
	uint64_t h = 0xcbf29ce484222325;

	for (p = p ? p + 1 : t->path; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3;
	snprintf(t->temp, strlen(t->path) + 64, "%s/.minivmm-%016" PRIx64 ".tmp", t->folder, h);
}

/*
 * Under the temporary name, locked as long as it is open. Who gets the lock of a file that is there
 * already has found the remains of a process that is gone.
 */
static int create_named(const struct target *t)
{
	int fd, tries;

	for (tries = 0; tries < 100; tries++) {
		fd = open(t->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0) {
			flock(fd, LOCK_EX | LOCK_NB);
			return fd;
		}
		if (errno != EEXIST)
			return -1;
		fd = open(t->temp, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			errno = EBUSY;
			return -1;
		}
		if (fd >= 0)
			close(fd);
		unlink(t->temp);
	}
	errno = EEXIST;
	return -1;
}

/*
 * Without a name where the file system can do that: then nothing is left of a process that is killed.
 * *named says whether it has its name already.
 */
static int create_temp(struct target *t, bool *named)
{
	int fd = -1;

	name_temp(t);
	*named = false;
	if (!access("/proc/self/fd", X_OK))
		fd = open(t->folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd < 0) {
		*named = true;
		fd = create_named(t);
	}
	return fd;
}

/* Give a file without a name the temporary one. */
static bool link_temp(const struct target *t, int fd)
{
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (!linkat(AT_FDCWD, self, AT_FDCWD, t->temp, AT_SYMLINK_FOLLOW))
		return true;
	/* Left there by one that was killed between linking and renaming. */
	return errno == EEXIST && !unlink(t->temp) &&
	       !linkat(AT_FDCWD, self, AT_FDCWD, t->temp, AT_SYMLINK_FOLLOW);
}

static bool sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	/* Some file systems have nothing to flush for a folder and say EINVAL. */
	ok = !fsync(fd) || errno == EINVAL;
	close(fd);
	return ok;
}

static int write_target(struct target *t, const char *path, const struct image *im,
			const uint8_t *ram, struct mv_err *err)
{
	bool named;
	int fd = create_temp(t, &named);
	const char *what;

	if (fd < 0)
		return io_error(err, path, "creating a file in its folder");
	what = "setting the mode";
	if (fchmod(fd, 0600))	/* the umask had a say at creation */
		goto fail;
	what = "writing";
	if (!write_image(fd, im, ram) || fsync(fd))
		goto fail;
	what = "naming it";
	if (!named && !link_temp(t, fd))
		goto fail;
	named = true;
	what = "renaming";
	if (rename(t->temp, t->path))
		goto fail;
	/* All is written and flushed: closing can't lose anything any more. */
	close(fd);
	/* The new file is in its place; only whether that outlasts a power cut is open. */
	if (!sync_folder(t->folder))
		return io_error(err, path, "saved, but flushing its folder failed");
	return 0;
fail:
	io_error(err, path, what);
	if (named)
		unlink(t->temp);
	close(fd);
	return -MV_E_FAILED;
}

int mv_snapshot_save(const char *path, const struct mv_static *st, const struct mv_state *state,
		     const uint8_t *ram, struct mv_err *err)
{
	struct target t = { 0 };
	struct image im = { 0 };
	int rc;

	rc = target_init(&t, path, err);
	if (!rc)
		rc = build(&im, st, state, ram, err);
	if (!rc)
		rc = write_target(&t, path, &im, ram, err);
	image_finish(&im);
	target_finish(&t);
	return rc;
}
