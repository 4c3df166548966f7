/* SPDX-License-Identifier: MIT */
/* The whole loader of snapshot files, memory included. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "snapshot.h"

/* Larger machines are refused by the VMM for want of memory; here, by us. */
#define MAX_RAM (UINT64_C(64) << 20)

static void load(const char *path)
{
	struct mv_static *st = calloc(1, sizeof(*st));
	struct mv_state *state = calloc(1, sizeof(*state));
	struct mv_snapshot *s = NULL;
	struct mv_err err = { 0 };
	uint8_t *ram;

	if (st && state && !mv_snapshot_open(&s, path, st, &err) && st->config.ram_size <= MAX_RAM) {
		ram = calloc(1, (size_t)st->config.ram_size);
		if (ram && !mv_snapshot_state(s, state, &err)) {
			fuzz_accepted += !mv_snapshot_memory(s, ram, &err);
			mv_state_finish(state);
		}
		free(ram);
	}
	mv_snapshot_close(s);
	free(state);
	free(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	int fd = memfd_create("snapshot", MFD_CLOEXEC);
	char path[40];

	if (copy && fd >= 0) {
		memcpy(copy, data, size);
		fuzz_fix_sums(copy, size, 1);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (write(fd, copy, size) == (ssize_t)size)
			load(path);
	}
	if (fd >= 0)
		close(fd);
	free(copy);
	return 0;
}
