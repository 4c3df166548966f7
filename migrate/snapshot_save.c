/* SPDX-License-Identifier: MIT */
/* Writing snapshot files: whole, or not at all. */
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
#include <xxhash.h>

#include "stream.h"

static int io_error(struct mv_err *err, const char *file, const char *what)
{
	return mv_err_at(err, MV_E_FAILED, file, 0, 0, "%s: %s", what, strerror(errno));
}

/* All but the pages, in memory: header and records, filled up to a page. */
struct image {
	struct mv_buf head, records;
	struct mv_manifest memory;
	struct mv_records rs;
	struct mv_stream_header header;
	struct mv_packer *packer;	/* NULL: memory as it is */
};

static void image_finish(struct image *im)
{
	mv_buf_finish(&im->head);
	mv_buf_finish(&im->records);
	mv_manifest_finish(&im->memory);
	mv_packer_close(im->packer);
}

/* The version is the least that has all that is in the file. */
static void need_minor(struct image *im, uint16_t minor)
{
	if (im->header.minor < minor)
		im->header.minor = minor;
}

/* What is stored of each chunk is known once they were written. */
static int plan_packing(struct image *im, struct mv_err *err)
{
	const struct mv_manifest *m = &im->memory;

	need_minor(im, MV_STREAM_MINOR_PACKED);
	im->memory.packed = (struct mv_packed){
		.method = MV_PACKING_ZSTD, .chunk_size = m->chunk_size, .n = m->nchunks,
		.size = mv_manifest_data_size(m), .chunk = calloc(m->nchunks, sizeof(struct mv_stored)),
	};
	return m->packed.chunk ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");
}

/* The records that hold where memory is, and the header. */
static int build_end(struct image *im, struct mv_err *err)
{
	const struct mv_stream_header *h = &im->header;
	uint64_t end;
	uint8_t *pad;
	int rc;

	im->rs.file_size = h->file_size;
	rc = mv_stream_put_all(&im->records, &im->rs, MV_REC_PACKED, MV_REC_END, err);
	if (!rc)
		rc = mv_stream_put_header(&im->head, h, err);
	if (rc)
		return rc;
	end = MV_STREAM_HEADER_SIZE + im->records.len;
	pad = mv_buf_grow(&im->records, (size_t)(h->data_offset - end));
	if (!pad)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	memset(pad, 0, (size_t)(h->data_offset - end));
	return 0;
}

static int build(struct image *im, const struct mv_static *st, const struct mv_state *state,
		 const uint8_t *ram, const uint64_t *zeros, struct mv_err *err)
{
	uint64_t end;
	int rc;

	im->rs = (struct mv_records){
		.config = mv_wire_unconst(&st->config), .policy = mv_wire_unconst(&st->policy),
		.state = mv_wire_unconst(state), .memory = &im->memory,
	};
	im->header = (struct mv_stream_header){
		.major = MV_STREAM_MAJOR, .minor = MV_STREAM_MINOR, .kind = MV_STREAM_SNAPSHOT,
	};
	for (uint32_t i = 0; i < st->config.ndisks; i++)
		if (st->config.disks[i].id_kind == MV_DISK_BLOCKS)
			need_minor(im, MV_STREAM_MINOR_BLOCKS);

	if (state->nvcpus != st->config.nvcpus || state->ndevices > MV_MAX_DEVICES)
		return mv_err_set(err, MV_E_USAGE, "%" PRIu32 " of %" PRIu32 " vCPUs and %" PRIu32
				  " devices to save", state->nvcpus, st->config.nvcpus,
				  state->ndevices);
	rc = mv_stream_put_all(&im->records, &im->rs, MV_REC_CONFIG, MV_REC_VCPU, err);
	if (!rc)
		rc = mv_manifest_scan(&im->memory, ram, zeros, st->config.ram_size, err);
	if (!rc && im->packer && im->memory.nchunks)
		rc = plan_packing(im, err);
	if (rc)
		return rc;

	/* The records to come hold their own end: reckon it. END has two 8-byte fields. */
	end = MV_STREAM_HEADER_SIZE + im->records.len +
	      mv_record_size(mv_manifest_length(&im->memory)) + mv_record_size(16);
	if (im->memory.packed.method)
		end += mv_record_size(mv_packed_length(im->memory.nchunks));
	im->header.data_offset = (end + MV_PAGE_SIZE - 1) / MV_PAGE_SIZE * MV_PAGE_SIZE;
	mv_manifest_place(&im->memory, im->header.data_offset);
	im->header.file_size = im->memory.file_size;
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

/* How far the string of pages has been gone through. */
struct cursor {
	const uint8_t *ram;
	const struct mv_run *run;
	uint64_t done;		/* bytes of the run */
};

/* At most len of its next bytes, as many as are in one place; *n says how many. */
static const uint8_t *next_piece(struct cursor *c, size_t len, size_t *n)
{
	uint64_t size = c->run->npages * MV_PAGE_SIZE;
	const uint8_t *p = c->ram + c->run->pos + c->done;

	*n = len < size - c->done ? len : (size_t)(size - c->done);
	c->done += *n;
	if (c->done == size) {
		c->run++;
		c->done = 0;
	}
	return p;
}

/* Its next len bytes: where they are, if that is one place, else copied to buf. */
static const uint8_t *next_chunk(struct cursor *c, uint8_t *buf, size_t len)
{
	size_t have, n;
	const uint8_t *p = next_piece(c, len, &have);

	if (have == len)
		return p;
	memcpy(buf, p, have);
	for (; have < len; have += n) {
		p = next_piece(c, len - have, &n);
		memcpy(buf + have, p, n);
	}
	return buf;
}

/* A chunk compressed, and what the records will say of that. */
static const uint8_t *pack(struct image *im, uint32_t i, const uint8_t *bytes, size_t *len)
{
	struct mv_stored *stored = &im->memory.packed.chunk[i];
	const uint8_t *out;

	*len = mv_packer_pack(im->packer, bytes, *len, &out);
	*stored = (struct mv_stored){ .len = (uint32_t)*len, .sum = XXH3_64bits(out, *len) };
	return out;
}

static bool write_chunks(int fd, struct image *im, const uint8_t *ram, uint8_t *buf)
{
	struct cursor c = { .ram = ram, .run = im->memory.runs };
	bool packed = im->memory.packed.method != MV_PACKING_NONE;

	for (uint32_t i = 0; i < im->memory.nchunks; i++) {
		size_t len = mv_manifest_chunk(&im->memory, i);
		const uint8_t *p = next_chunk(&c, buf, len);

		mv_manifest_add_up(&im->memory, i, p);
		if (packed)
			p = pack(im, i, p, &len);
		if (!write_all(fd, p, len))
			return false;
	}
	return true;
}

/* Behind compressed chunks: up to a page, where the file ends then. */
static bool write_padding(int fd, struct image *im)
{
	static const uint8_t zeros[MV_PAGE_SIZE];
	uint64_t size = mv_packed_stored(&im->memory.packed);
	size_t pad = (size_t)(-size % MV_PAGE_SIZE);

	im->header.file_size = im->memory.file_size = im->header.data_offset + size + pad;
	return write_all(fd, zeros, pad);
}

/* Memory first: what the records say of it is known once it was written. */
static bool write_image(int fd, struct image *im, const uint8_t *ram)
{
	uint8_t *buf = malloc(im->memory.chunk_size);
	bool ok = buf && lseek(fd, (off_t)im->header.data_offset, SEEK_SET) >= 0 &&
		  write_chunks(fd, im, ram, buf) && (!im->memory.packed.method || write_padding(fd, im)) &&
		  lseek(fd, 0, SEEK_SET) == 0 && build_end(im, NULL) == 0 &&
		  write_all(fd, im->head.data, im->head.len) &&
		  write_all(fd, im->records.data, im->records.len);

	free(buf);
	return ok;
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
		return mv_err_at(err, MV_E_USAGE, path, 0, 0, "not a regular file");
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

static int write_target(struct target *t, const char *path, struct image *im,
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

static int save(const char *path, const struct mv_static *st, const struct mv_state *state,
		const uint8_t *ram, const uint64_t *zeros, bool packed, struct mv_err *err)
{
	struct target t = { 0 };
	struct image im = { 0 };
	int rc;

	rc = target_init(&t, path, err);
	if (!rc && packed)
		rc = mv_packer_open(&im.packer, MV_CHUNK_SIZE, err);
	if (!rc)
		rc = build(&im, st, state, ram, zeros, err);
	if (!rc)
		rc = write_target(&t, path, &im, ram, err);
	image_finish(&im);
	target_finish(&t);
	return rc;
}

int mv_snapshot_save(const char *path, const struct mv_static *st, const struct mv_state *state,
		     const uint8_t *ram, const uint64_t *zeros, struct mv_err *err)
{
	return save(path, st, state, ram, zeros, false, err);
}

int mv_snapshot_save_packed(const char *path, const struct mv_static *st, const struct mv_state *state,
			    const uint8_t *ram, const uint64_t *zeros, struct mv_err *err)
{
	return save(path, st, state, ram, zeros, true, err);
}
