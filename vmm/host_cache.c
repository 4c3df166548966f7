/* SPDX-License-Identifier: MIT */
#include "host_cache.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "paths.h"

/* False: what is there could not be read. */
static bool hash_file(XXH3_state_t *x, const char *path)
{
	char buf[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, buf, sizeof(buf)) : errno == ENOENT ? 0 : -1;

	XXH3_64bits_update(x, path, strlen(path) + 1);
	if (n > 0)
		XXH3_64bits_update(x, buf, (size_t)n);
	if (fd >= 0)
		close(fd);
	return n >= 0;
}

/* KVM's modules, and their parameters that change what a guest is given. */
static const struct module {
	const char *name, *parameter[4];
} modules[] = {
	{ "kvm", { "ignore_msrs" } },
	{ "kvm_intel", { "nested", "ept" } },
	{ "kvm_amd", { "nested", "npt", "vgif" } },
	{ "kvm_pvm", { "enable_cpuid_intercept" } },
};

/* A module that was loaded again has another folder in sysfs: another inode. */
static bool hash_module(XXH3_state_t *x, const struct module *m)
{
	char path[128];
	struct stat st;
	bool ok;

	snprintf(path, sizeof(path), "/sys/module/%s", m->name);
	if (stat(path, &st))
		return errno == ENOENT;
	XXH3_64bits_update(x, path, strlen(path) + 1);
	XXH3_64bits_update(x, &st.st_ino, sizeof(st.st_ino));
	snprintf(path, sizeof(path), "/sys/module/%s/srcversion", m->name);
	ok = hash_file(x, path);
	for (size_t p = 0; ok && m->parameter[p]; p++) {
		snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", m->name, m->parameter[p]);
		ok = hash_file(x, path);
	}
	return ok;
}

int mv_cache_path(char *out, size_t size, const char *prefix, const void *bytes, size_t len)
{
	XXH3_state_t *x = XXH3_createState();
	char dir[200];
	int rc = x ? mv_runtime_dir(dir, sizeof(dir)) : -1;

	if (rc == 0) {
		XXH3_64bits_reset(x);
		rc = hash_file(x, "/proc/sys/kernel/random/boot_id") ? 0 : -1;
		for (size_t m = 0; rc == 0 && m < sizeof(modules) / sizeof(modules[0]); m++)
			rc = hash_module(x, &modules[m]) ? 0 : -1;
		XXH3_64bits_update(x, bytes, len);
		snprintf(out, size, "%s/%s-%016llx", dir, prefix,
			 (unsigned long long)XXH3_64bits_digest(x));
	}
	XXH3_freeState(x);
	return rc;
}

/* ---- the host ---- */

/* Read back by the program that wrote it alone: bytes as they are in memory, under a checksum. */
struct record {
	uint64_t checksum;	/* of all that follows */
	uint32_t asked;
	uint32_t witness[4][MV_NREGS];
	struct mv_host host;
};

/* Leaves that would show another CPU; bits that differ between CPUs and in time are left out. */
static void look(uint32_t witness[4][MV_NREGS])
{
	static const uint32_t leaf[4] = { 0, 1, 7, 0x80000001 };

	for (unsigned i = 0; i < 4; i++) {
		uint32_t *w = witness[i];

		__cpuid_count(leaf[i], 0, w[MV_EAX], w[MV_EBX], w[MV_ECX], w[MV_EDX]);
		for (unsigned r = 0; r < MV_NREGS; r++)
			w[r] &= ~mv_volatile_bits(leaf[i], 0, r);
	}
	witness[1][MV_EBX] = 0;	/* APIC id, CPU count */
}

static uint64_t checksum(const struct record *r)
{
	return XXH3_64bits(&r->asked, sizeof(*r) - offsetof(struct record, asked));
}

static int path_of_host(char *out, size_t size)
{
	struct {
		ino_t inode;
		off_t size;
		struct timespec changed;
		size_t record;
	} program;
	struct stat st = { 0 };

	memset(&program, 0, sizeof(program));
	if (stat("/proc/self/exe", &st))
		return -1;
	program.inode = st.st_ino;
	program.size = st.st_size;
	program.changed = st.st_ctim;
	program.record = sizeof(struct record);
	return mv_cache_path(out, size, "host", &program, sizeof(program));
}

static bool read_record(struct record *r, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, r, sizeof(*r));
	bool all = n == sizeof(*r) && read(fd, &(char){ 0 }, 1) == 0;

	if (fd >= 0)
		close(fd);
	return all && r->checksum == checksum(r);
}

bool mv_host_cache_read(struct mv_host *h, unsigned asked)
{
	struct record *r = malloc(sizeof(*r));
	uint32_t now[4][MV_NREGS];
	char path[256];
	bool ok = r && path_of_host(path, sizeof(path)) == 0 && read_record(r, path) &&
		  (r->asked & asked) == asked;

	if (ok) {
		look(now);
		ok = memcmp(now, r->witness, sizeof(now)) == 0;
	}
	if (ok)
		*h = r->host;
	free(r);
	return ok;
}

void mv_host_cache_write(const struct mv_host *h, unsigned asked)
{
	struct record *r = calloc(1, sizeof(*r));
	char path[256], tmp[280];
	int fd;

	if (!r || path_of_host(path, sizeof(path))) {
		free(r);
		return;
	}
	r->asked = asked;
	look(r->witness);
	r->host = *h;
	r->checksum = checksum(r);
	snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid());
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && (write(fd, r, sizeof(*r)) != sizeof(*r) || rename(tmp, path)))
		unlink(tmp);
	if (fd >= 0)
		close(fd);
	free(r);
}

void mv_host_cache_forget(void)
{
	char path[256];

	if (path_of_host(path, sizeof(path)) == 0)
		unlink(path);
}
