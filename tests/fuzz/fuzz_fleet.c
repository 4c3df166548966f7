/* SPDX-License-Identifier: MIT */
/* A file of VM descriptions, for a fleet of one host. Files that it names are looked for. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fleet_load.h"
#include "import.h"
#include "text.h"

static void load(struct mv_fleet *f, const char *path, const struct mv_host *h)
{
	struct mv_err err = { 0 };
	struct mv_fleet_size s;

	FUZZ_MUST(mv_fleet_add_host(f, "h1", "h1", h, &err) == 0, "%s", err.msg);
	fuzz_check_error(mv_fleet_load_vms(f, path, &err), &err);
	mv_fleet_sizes(f, &s);
	FUZZ_MUST(s.vms || s.problems, "neither VMs nor a problem");
	fuzz_accepted += s.vms > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mv_host *h;
	const struct mv_fleet_opts opts = { .threads = 1, .load_host = mv_fleet_read_host };
	struct mv_fleet *f = mv_fleet_new(&opts);
	struct mv_err err = { 0 };
	char path[FUZZ_PATH];
	int fd = fuzz_file(data, size, path);

	if (!h && (h = malloc(sizeof(*h))))
		FUZZ_MUST(mv_host_import_text(h, "h1", fuzz_dump, strlen(fuzz_dump), NULL, &err) == 0, "%s", err.msg);
	if (h && f && fd >= 0)
		load(f, path, h);
	if (fd >= 0)
		close(fd);
	mv_fleet_free(f);
	return 0;
}
