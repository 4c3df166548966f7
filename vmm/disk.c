/* SPDX-License-Identifier: MIT */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define BLOCK (64u << 10)

static int bad(const struct mv_disk *d, struct mv_err *err, const char *why)
{
	return mv_err_at(err, MV_E_INPUT, d->path, 0, 0, "%s", why);
}

static int check(struct mv_disk *d, const struct stat *st, struct mv_err *err)
{
	if (!S_ISREG(st->st_mode))
		return bad(d, err, "a disk image has to be a regular file");
	if (st->st_size <= 0)
		return bad(d, err, "the disk image is empty");
	if (st->st_size % MV_SECTOR)
		return bad(d, err, "the disk image is no whole number of 512-byte sectors: is it raw?");
	d->size = (uint64_t)st->st_size;
	return 0;
}

int mv_disk_open(struct mv_disk *d, struct mv_err *err)
{
	/* Nothing that blocks: it could be a FIFO. */
	int fd = open(d->path, (d->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK), rc;
	char real[PATH_MAX];
	struct stat st;

	if (fd < 0)
		return bad(d, err, strerror(errno));
	rc = fstat(fd, &st) ? bad(d, err, strerror(errno)) : check(d, &st, err);
	if (rc == 0 && (!realpath(d->path, real) || strlen(real) >= sizeof(d->path)))
		rc = bad(d, err, "the disk image's path is too long");
	if (rc) {
		close(fd);
		return rc;
	}
	memcpy(d->path, real, strlen(real) + 1);
	return fd;
}

/* ---- locks ---- */

int mv_disk_lock(int fd, const struct mv_disk *d, struct mv_err *err)
{
	struct flock l = { .l_type = (short)(d->read_only ? F_RDLCK : F_WRLCK), .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return mv_err_at(err, MV_E_FAILED, d->path, 0, 0, "locking it: %s", strerror(errno));
	mv_err_at(err, MV_E_FAILED, d->path, 0, 0, "the disk image is in use (locked by another %s)",
		  d->read_only ? "program that writes to it" : "program");
	mv_err_hint(err, "only one VM can write to a disk; several can share it with ,ro");
	return -MV_E_FAILED;
}

bool mv_disk_in_use(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

static void unlock(int fd)
{
	struct flock l = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(fd, F_OFD_SETLK, &l);
}

/* ---- what it holds ---- */

static bool zeros(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && !memcmp(p, p + 1, n - 1));
}

/* All of it up to the end of the file; bytes read, or -1. */
static ssize_t read_block(int fd, uint8_t *buf, uint64_t at)
{
	size_t have = 0;

	while (have < BLOCK) {
		ssize_t n = pread(fd, buf + have, BLOCK - have, (off_t)(at + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static void add_number(XXH3_state_t *h, uint64_t v)
{
	uint8_t le[8];

	for (unsigned i = 0; i < 8; i++)
		le[i] = (uint8_t)(v >> 8 * i);
	XXH3_128bits_update(h, le, sizeof(le));
}

static bool hash(XXH3_state_t *h, int fd, uint64_t size)
{
	uint8_t buf[BLOCK];

	add_number(h, size);
	for (uint64_t at = 0; at < size; at += BLOCK) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		ssize_t n;

		/* File systems without holes have data everywhere. */
		if (data < 0 && errno == ENXIO)
			return true;
		if (data >= 0)
			at = (uint64_t)data & ~(uint64_t)(BLOCK - 1);
		n = read_block(fd, buf, at);
		if (n < 0)
			return false;
		if (zeros(buf, (size_t)n))
			continue;
		add_number(h, at / BLOCK);
		XXH3_128bits_update(h, buf, (size_t)n);
	}
	return true;
}

int mv_disk_id(int fd, const struct mv_disk *d, uint8_t id[16], struct mv_err *err)
{
	XXH3_state_t *h = XXH3_createState();
	XXH128_canonical_t canonical;
	int rc = 0;

	if (!h)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	XXH3_128bits_reset(h);
	if (hash(h, fd, d->size)) {
		XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(h));
		memcpy(id, canonical.digest, 16);
	} else {
		rc = mv_err_at(err, MV_E_FAILED, d->path, 0, 0, "reading it: %s", strerror(errno));
	}
	XXH3_freeState(h);
	return rc;
}

/* ---- the disks of a VM: the first of its virtio devices ---- */

void mv_vm_set_disk(struct mv_vm *vm, unsigned i, int fd)
{
	vm->devices.virtio[i].fd = fd;
}

int mv_vm_identify_disks(struct mv_vm *vm, struct mv_err *err)
{
	struct mv_config *c = &vm->st->config;
	int rc = 0;

	for (uint32_t i = 0; i < c->ndisks && rc == 0; i++) {
		rc = mv_disk_id(vm->devices.virtio[i].fd, &c->disks[i], c->disks[i].id, err);
		c->disks[i].has_id = rc == 0;
	}
	return rc;
}

void mv_vm_forget_disks(struct mv_vm *vm)
{
	for (uint32_t i = 0; i < vm->st->config.ndisks; i++)
		vm->st->config.disks[i].has_id = false;
}

void mv_vm_let_disks_go(struct mv_vm *vm)
{
	for (uint32_t i = 0; i < vm->st->config.ndisks; i++) {
		/* What it wrote has to be seen elsewhere, which NFS promises after a flush. */
		fdatasync(vm->devices.virtio[i].fd);
		unlock(vm->devices.virtio[i].fd);
	}
	vm->disks_let_go = true;
}

int mv_vm_claim_disks(struct mv_vm *vm, struct mv_err *err)
{
	const struct mv_config *c = &vm->st->config;

	for (uint32_t i = 0; i < c->ndisks; i++) {
		int rc = mv_disk_lock(vm->devices.virtio[i].fd, &c->disks[i], err);

		if (rc)
			return rc;
	}
	vm->disks_let_go = false;
	return 0;
}
