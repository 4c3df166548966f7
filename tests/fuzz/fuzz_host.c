/* SPDX-License-Identifier: MIT */
/* Host files, and what is made of a host first of all: its offer. */
#include <stdlib.h>

#include "import.h"
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
	char *text = fuzz_text(data, size);
	int rc = h ? mv_host_import_text(h, "in", text, size, NULL, &err) : -1;

	if (h)
		fuzz_check_error(rc, &err);
	if (rc == 0) {
		fuzz_accepted++;
		use(h);
	}
	free(text);
	free(h);
	return 0;
}
