/* SPDX-License-Identifier: MIT */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xxhash.h>

/* So many that the guest need not run on for them: 1 MiB. */
#define FEW_BLOCKS 16

static int bad(const struct mv_disk *d, struct mv_err *err, const char *why)
{
	return mv_err_at(err, MV_E_INPUT, d->path, 0, 0, "%s", why);
}

static bool is_device(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
}

static int check(struct mv_disk *d, int fd, struct mv_err *err)
{
	struct stat st;
	off_t size;

	if (fstat(fd, &st))
		return bad(d, err, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return bad(d, err, "a disk image has to be a regular file or a block device");
	size = lseek(fd, 0, SEEK_END);
	if (size <= 0)
		return bad(d, err, "the disk image is empty");
	if (size % MV_SECTOR)
		return bad(d, err, "the disk image is not a whole number of 512-byte sectors: is it raw?");
	d->size = (uint64_t)size;
	return 0;
}

int mv_disk_open(struct mv_disk *d, bool moving, struct mv_err *err)
{
	/* Nothing that blocks: it could be a FIFO. O_EXCL keeps a device from being mounted, too. */
	int flags = O_CLOEXEC | O_NONBLOCK | (d->read_only ? O_RDONLY : moving ? O_RDWR : O_RDWR | O_EXCL);
	int fd = open(d->path, flags), rc;
	char real[PATH_MAX];

	if (fd < 0)
		return bad(d, err, errno == EBUSY ? "the device is mounted or in use" : strerror(errno));
	rc = check(d, fd, err);
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

/* What is locked of an image that is in use; the mark of a VM that moves is a byte beyond. */
#define LOCKED (INT64_C(1) << 62)

static short lock_type(const struct mv_disk *d)
{
	return (short)(d->read_only ? F_RDLCK : F_WRLCK);
}

int mv_disk_lock(int fd, const struct mv_disk *d, struct mv_err *err)
{
	struct flock l = { .l_type = lock_type(d), .l_whence = SEEK_SET, .l_len = LOCKED };

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return mv_err_at(err, MV_E_FAILED, d->path, 0, 0, "locking it: %s", strerror(errno));
	mv_err_at(err, MV_E_FAILED, d->path, 0, 0, "the disk image is in use (locked by another %s)",
		  d->read_only ? "program that writes to it" : "program");
	mv_err_hint(err, "only one VM can write to a disk; several can share it with ,ro");
	return -MV_E_FAILED;
}

static void unlock(int fd, off_t from)
{
	struct flock l = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = from };

	fcntl(fd, F_OFD_SETLK, &l);
}

/* ---- the same disk elsewhere ---- */

/* Where the mark is: not next to what is locked anyway, with which it would be one lock. */
static off_t mark_at(const uint8_t mark[16])
{
	uint64_t n;

	memcpy(&n, mark, sizeof(n));
	return LOCKED + 1 + (off_t)(n >> 3);
}

static int mark_file(int fd, struct mv_disk *d, struct mv_err *err)
{
	struct flock l = { .l_type = lock_type(d), .l_whence = SEEK_SET, .l_len = 1 };

	if (getrandom(d->id, sizeof(d->id), 0) != sizeof(d->id))
		return mv_err_set(err, MV_E_FAILED, "no random bytes: %s", strerror(errno));
	l.l_start = mark_at(d->id);
	if (fcntl(fd, F_OFD_SETLK, &l))
		return mv_err_at(err, MV_E_FAILED, d->path, 0, 0, "locking it: %s", strerror(errno));
	return 0;
}

/* Exactly that byte, as nobody else would lock it. */
static bool has_mark(int fd, const struct mv_disk *d)
{
	off_t at = mark_at(d->id);
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

	return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK && l.l_start == at && l.l_len == 1;
}

/* Of /sys's folder of a device; whether there is such a line, and it is not empty. */
static bool read_attribute(dev_t dev, const char *name, char line[256])
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), name);
	f = fopen(path, "re");
	*line = '\0';
	if (!f)
		return false;
	if (!fgets(line, 256, f))
		*line = '\0';
	fclose(f);
	return line[strspn(line, " \n")];
}

/* What the kernel knows a device by wherever it is attached, the most telling first. */
static bool device_identity(int fd, uint8_t id[16])
{
	static const char *const names[] = { "dm/uuid", "wwid", "device/wwid", "serial" };
	char line[256], start[256], name[32], all[600];
	XXH128_canonical_t canonical;
	struct stat st;
	bool part;

	if (fstat(fd, &st))
		return false;
	/* A partition is where it begins on the device that has the name. */
	part = read_attribute(st.st_rdev, "partition", start) && read_attribute(st.st_rdev, "start", start);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(name, sizeof(name), "%s%s", part ? "../" : "", names[i]);
		if (!read_attribute(st.st_rdev, name, line))
			continue;
		snprintf(all, sizeof(all), "%s\n%s%s", names[i], line, part ? start : "");
		XXH128_canonicalFromHash(&canonical, XXH3_128bits(all, strlen(all)));
		memcpy(id, canonical.digest, 16);
		return true;
	}
	return false;
}

static int mark(int fd, struct mv_disk *d, struct mv_err *err)
{
	if (!is_device(fd))
		return mark_file(fd, d, err);
	if (device_identity(fd, d->id))
		return 0;
	mv_err_at(err, MV_E_FAILED, d->path, 0, 0,
		  "a device without UUID, WWID or serial number: nobody there could tell that it is the same");
	mv_err_hint(err, "multipath or LVM on top of it gives it a UUID");
	return -MV_E_FAILED;
}

bool mv_disk_is_same(int fd, const struct mv_disk *d)
{
	uint8_t id[sizeof(d->id)];

	if (d->id_kind == MV_DISK_NO_ID)
		return false;
	if (!is_device(fd))
		return has_mark(fd, d);
	return device_identity(fd, id) && !memcmp(id, d->id, sizeof(id));
}

/* ---- the disks of a VM: the first of its virtio devices ---- */

void mv_vm_set_disk(struct mv_vm *vm, unsigned i, int fd)
{
	vm->devices.virtio[i].fd = fd;
}

bool mv_vm_has_disk(const struct mv_vm *vm, const char *path)
{
	struct stat file, disk;

	if (stat(path, &file))
		return false;
	for (uint32_t i = 0; i < vm->st->config.ndisks; i++)
		if (fstat(vm->devices.virtio[i].fd, &disk) == 0 && disk.st_dev == file.st_dev &&
		    disk.st_ino == file.st_ino)
			return true;
	return false;
}

/* While the guest is halted it writes no more; before, only as long as that gets somewhere. */
static int read_sums(struct mv_disk_sums *sums, bool halted, const bool *cancelled, struct mv_err *err)
{
	int64_t before, n = INT64_MAX;

	do {
		before = n;
		n = mv_disk_sums_read(sums, cancelled, err);
	} while (!halted && n > FEW_BLOCKS && n <= before / 2);
	return n < 0 ? (int)n : 0;
}

static int sum_disks(struct mv_vm *vm, bool halted, const bool *cancelled, struct mv_err *err)
{
	struct mv_config *c = &vm->st->config;
	int rc = 0;

	for (uint32_t i = 0; i < c->ndisks && rc == 0; i++) {
		struct mv_virtio *v = &vm->devices.virtio[i];

		if (!vm->disk_sums[i]) {
			rc = mv_disk_sums_open(&vm->disk_sums[i], v->fd, &c->disks[i], err);
			if (rc)
				break;
			pthread_mutex_lock(&vm->mmio_lock);
			v->written = mv_disk_sums_stale(vm->disk_sums[i]);
			pthread_mutex_unlock(&vm->mmio_lock);
		}
		rc = read_sums(vm->disk_sums[i], halted, cancelled, err);
	}
	return rc;
}

int mv_vm_watch_disks(struct mv_vm *vm, const bool *cancelled, struct mv_err *err)
{
	return sum_disks(vm, false, cancelled, err);
}

int mv_vm_identify_disks(struct mv_vm *vm, struct mv_err *err)
{
	struct mv_config *c = &vm->st->config;
	int rc = sum_disks(vm, true, NULL, err);

	for (uint32_t i = 0; i < c->ndisks && rc == 0; i++) {
		rc = mv_disk_sums_id(vm->disk_sums[i], c->disks[i].id, err);
		c->disks[i].id_kind = rc == 0 ? MV_DISK_BLOCKS : MV_DISK_NO_ID;
	}
	return rc;
}

int mv_vm_mark_disks(struct mv_vm *vm, struct mv_err *err)
{
	struct mv_config *c = &vm->st->config;
	int rc = 0;

	for (uint32_t i = 0; i < c->ndisks && rc == 0; i++) {
		rc = mark(vm->devices.virtio[i].fd, &c->disks[i], err);
		c->disks[i].id_kind = rc == 0 ? MV_DISK_WHOLE : MV_DISK_NO_ID;
	}
	if (rc)
		mv_vm_forget_disks(vm);
	return rc;
}

void mv_vm_forget_disks(struct mv_vm *vm)
{
	for (uint32_t i = 0; i < vm->st->config.ndisks; i++) {
		vm->st->config.disks[i].id_kind = MV_DISK_NO_ID;
		pthread_mutex_lock(&vm->mmio_lock);
		vm->devices.virtio[i].written = NULL;
		pthread_mutex_unlock(&vm->mmio_lock);
		mv_disk_sums_close(vm->disk_sums[i]);
		vm->disk_sums[i] = NULL;
		unlock(vm->devices.virtio[i].fd, LOCKED);
	}
}

void mv_vm_let_disks_go(struct mv_vm *vm)
{
	for (uint32_t i = 0; i < vm->st->config.ndisks; i++) {
		/* What it wrote has to be seen elsewhere, which NFS promises after a flush. */
		fdatasync(vm->devices.virtio[i].fd);
		unlock(vm->devices.virtio[i].fd, 0);
	}
	vm->disks_let_go = true;
}

int mv_vm_claim_disks(struct mv_vm *vm, struct mv_err *err)
{
	const struct mv_config *c = &vm->st->config;

	for (uint32_t i = 0; i < c->ndisks; i++) {
		int fd = vm->devices.virtio[i].fd, rc = mv_disk_lock(fd, &c->disks[i], err);

		if (rc)
			return rc;
		/* What this host remembers of a device is from before another one wrote to it. */
		if (is_device(fd))
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	vm->disks_let_go = false;
	return 0;
}
