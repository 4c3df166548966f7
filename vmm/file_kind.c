/* SPDX-License-Identifier: MIT */
#include "file_kind.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BYTES(text) text, sizeof(text) - 1

static const struct kind {
	enum mv_file_kind kind;
	size_t at;
	const char *bytes;
	size_t len;
	const char *what, *where;	/* where: what to do with it */
} kinds[] = {
	{ MV_FILE_SNAPSHOT, 0, BYTES("\211MVM\r\n\032\n"), "a snapshot", "restore, check and inspect take it" },
	{ MV_FILE_ELF, 0, BYTES("\177ELF"), "an ELF file", "run takes it, if it is a guest" },
	{ MV_FILE_KERNEL, 0x202, BYTES("HdrS"), "a Linux kernel", "run takes it" },
	{ MV_FILE_DISK, 0, BYTES("QFI\373"), "a qcow2 disk image", "qemu-img convert -O raw makes one for --disk" },
	{ MV_FILE_DISK, 0, BYTES("KDMV"), "a VMDK disk image", "qemu-img convert -O raw makes one for --disk" },
	{ MV_FILE_DISK, 0, BYTES("vhdxfile"), "a VHDX disk image", "qemu-img convert -O raw makes one for --disk" },
	{ MV_FILE_DISK, 0x40, BYTES("\177\020\332\276"), "a VDI disk image", "qemu-img convert -O raw makes one for --disk" },
};

/* Host files are ours: their first member says so. */
static const struct kind host_file = {
	MV_FILE_HOST, 0, NULL, 0, "a host file", "it goes behind --on, --host or --hosts, or behind a VM"
};

static const struct kind *kind_of(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char head[1024 + 1] = "";
	ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof(head) - 1, 0);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].at + kinds[i].len <= (size_t)n &&
		    !memcmp(head + kinds[i].at, kinds[i].bytes, kinds[i].len))
			return &kinds[i];
	return *head == '{' && strstr(head, "\"minivmm-host\"") ? &host_file : NULL;
}

void mv_file_hint(struct mv_err *err, const char *path, enum mv_file_kind wanted)
{
	const struct kind *k = err && !strcmp(err->file, path) ? kind_of(path) : NULL;

	if (k && k->kind != wanted)
		mv_err_hint(err, "it is %s: %s", k->what, k->where);
}

int mv_file_raw_disk(const char *path, struct mv_err *err)
{
	const struct kind *k = kind_of(path);

	if (!k || k->kind != MV_FILE_DISK)
		return 0;
	mv_err_at(err, MV_E_INPUT, path, 0, 0, "%s, not a raw one", k->what);
	mv_err_hint(err, "%s", k->where);
	return -MV_E_INPUT;
}
