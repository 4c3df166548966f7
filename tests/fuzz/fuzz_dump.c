/* SPDX-License-Identifier: MIT */
/* Other tools' CPU dumps of every format, told by content. */
#include <stdlib.h>

#include "import.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mv_import *report = malloc(sizeof(*report));
	struct mv_host *h = malloc(sizeof(*h));
	char *text = fuzz_text(data, size);
	struct mv_err err = { 0 };
	int rc = h && report ? mv_host_import_text(h, "in", text, size, report, &err) : -1;

	if (h && report) {
		fuzz_check_error(rc, &err);
		FUZZ_MUST(report->nnotes <= MV_IMPORT_NOTES, "%u notes", report->nnotes);
	}
	if (rc == 0) {
		fuzz_accepted++;
		FUZZ_MUST(report->cpus > 0, "a host without CPUs");
		fuzz_write_host(h);
	}
	free(text);
	free(h);
	free(report);
	return 0;
}
