/* SPDX-License-Identifier: MIT */
/* The disks of a VM that starts, or goes on, here. */
#include <string.h>

#include "disk.h"
#include "file_kind.h"
#include "launch.h"

static int set_path(struct mv_disk *d, const char *path, size_t len, struct mv_err *err)
{
	if (len == 0 || len >= sizeof(d->path))
		return mv_err_set(err, MV_E_USAGE, "--disk '%.60s': its path is empty or too long", path);
	memcpy(d->path, path, len);
	d->path[len] = '\0';
	return 0;
}

static bool ends_with(const char *s, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len >= n && !memcmp(s + len - n, suffix, n);
}

int mv_launch_new_disks(struct mv_launch *l, struct mv_err *err)
{
	struct mv_config *c = &l->st->config;

	c->rng = l->rng;
	for (size_t i = 0; i < l->ndisks; i++) {
		struct mv_disk *d = &c->disks[c->ndisks];
		size_t len = strlen(l->disks[i]);
		int rc;

		d->read_only = ends_with(l->disks[i], len, ",ro");
		rc = set_path(d, l->disks[i], d->read_only ? len - 3 : len, err);
		if (rc == 0)
			rc = mv_file_raw_disk(d->path, err);
		if (rc == 0)
			rc = l->disk_fds[i] = mv_disk_open(d, false, err);
		if (rc >= 0)
			rc = mv_disk_lock(l->disk_fds[i], d, err);
		if (rc)
			return rc;
		c->ndisks++;
	}
	return 0;
}

/* By its whole path, or by the file's name. */
static bool names(const char *old, size_t len, const char *path)
{
	const char *file = strrchr(path, '/');

	file = file ? file + 1 : path;
	return (strlen(path) == len && !memcmp(path, old, len)) ||
	       (strlen(file) == len && !memcmp(file, old, len));
}

static int replace(struct mv_config *c, const char *arg, struct mv_err *err)
{
	const char *is = strchr(arg, '=');

	if (!is)
		return mv_err_set(err, MV_E_USAGE, "--disk %s: it takes OLD=NEW here", arg);
	for (uint32_t i = 0; i < c->ndisks; i++)
		if (names(arg, (size_t)(is - arg), c->disks[i].path))
			return set_path(&c->disks[i], is + 1, strlen(is + 1), err);
	mv_err_set(err, MV_E_USAGE, "the VM has no disk '%.*s'", (int)(is - arg), arg);
	mv_err_hint(err, c->ndisks ? "its first disk is %.400s" : "it has no disk at all",
		    c->disks[0].path);
	return -MV_E_USAGE;
}

static int check_contents(int fd, const struct mv_disk *was, struct mv_err *err)
{
	bool same;
	int rc = mv_disk_holds(fd, was, &same, err);

	if (rc || same)
		return rc;
	mv_err_at(err, MV_E_REFUSED, was->path, 0, 0,
		  "the disk image is not what it was when the VM was saved");
	mv_err_hint(err, "a saved guest goes on with the disk as it was then: keep a copy of it with "
			 "the snapshot, and give it by --disk OLD=NEW");
	return -MV_E_REFUSED;
}

static int open_saved(struct mv_launch *l, uint32_t i, bool moving, struct mv_err *err)
{
	struct mv_disk *d = &l->st->config.disks[i];
	uint64_t size = d->size;
	int rc = l->disk_fds[i] = mv_disk_open(d, moving, err);

	if (rc < 0)
		return rc;
	/* A source hears of this as of any other trouble here: it is no verdict on the CPU. */
	if (d->size != size)
		return mv_err_at(err, moving ? MV_E_HOST : MV_E_REFUSED, d->path, 0, 0,
				 "the disk image has %llu bytes; the VM's had %llu",
				 (unsigned long long)d->size, (unsigned long long)size);
	if (moving) {
		if (mv_disk_is_same(l->disk_fds[i], d))
			return 0;
		mv_err_at(err, MV_E_HOST, d->path, 0, 0,
			  "this is not the disk that the source uses: it lacks the source's lock or identity");
		mv_err_hint(err, "disks of a VM that moves have to be on storage that both hosts share, and "
				 "files where locks of one host are seen by the other");
		return -MV_E_HOST;
	}
	rc = mv_disk_lock(l->disk_fds[i], d, err);
	return rc ? rc : check_contents(l->disk_fds[i], d, err);
}

int mv_launch_saved_disks(struct mv_launch *l, bool moving, struct mv_err *err)
{
	struct mv_config *c = &l->st->config;
	int rc = 0;

	for (size_t i = 0; i < l->ndisks && rc == 0; i++)
		rc = replace(c, l->disks[i], err);
	for (uint32_t i = 0; i < c->ndisks && rc == 0; i++) {
		rc = open_saved(l, i, moving, err);
		c->disks[i].id_kind = MV_DISK_NO_ID;
	}
	return rc;
}

void mv_launch_connect_disks(struct mv_launch *l)
{
	for (uint32_t i = 0; i < l->st->config.ndisks; i++)
		mv_vm_set_disk(l->vm, i, l->disk_fds[i]);
}
