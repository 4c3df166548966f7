/* SPDX-License-Identifier: MIT */
/* Hosts that commands are given as files: our own, or other tools' dumps. */
#include <stdlib.h>

#include "cli.h"
#include "import.h"

int mv_cli_host_file(struct mv_host *h, const char *path, struct mv_err *err)
{
	struct mv_import *report = calloc(1, sizeof(*report));
	int rc;

	if (!report)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	rc = mv_host_import(h, path, report, err);
	for (uint32_t i = 0; rc == 0 && i < report->nnotes; i++) {
		const struct mv_import_note *n = &report->notes[i];

		if (n->line)
			mv_cli_note("warning: %s:%u: %s", path, n->line, n->text);
		else
			mv_cli_note("warning: %s: %s", path, n->text);
	}
	if (rc == 0 && report->more)
		mv_cli_note("warning: %s: %u more remarks", path, report->more);
	free(report);
	return rc;
}
