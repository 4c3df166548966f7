/* SPDX-License-Identifier: MIT */
/* Host files, and what is made of a host first of all: its offer. */
#include <stdlib.h>
#include <unistd.h>

#include "host_json.h"
#include "text.h"

static void use(const struct mv_host *h)
{
	struct mv_table *offer = malloc(sizeof(*offer));

	fuzz_write_host(h);
	if (offer)
		mv_host_offer(h, offer);
	free(offer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mv_host *h = malloc(sizeof(*h));
	struct mv_err err = { 0 };
	char path[FUZZ_PATH];
	int fd = fuzz_file(data, size, path), rc;

	if (h && fd >= 0) {
		rc = mv_host_load(h, path, &err);
		fuzz_check_error(rc, &err);
		if (rc == 0) {
			fuzz_accepted++;
			use(h);
		}
	}
	if (fd >= 0)
		close(fd);
	free(h);
	return 0;
}
