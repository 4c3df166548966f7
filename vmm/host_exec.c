/* SPDX-License-Identifier: MIT */
#include "host_exec.h"

#include <stdlib.h>
#include <string.h>

#include "guest-tests/linux/rows.h"

/* Does the outcome tell whether the CPU has the feature? */
static bool decides(const struct mv_row *row, const struct mv_row_result *r,
		    const struct mv_row_controls *c)
{
	switch ((enum mv_row_outcome)r->outcome) {
	case MV_ROW_RAN:
	case MV_ROW_ABORTED:
	case MV_ROW_RESULT:
		return !(row->flags & MV_P_HINT);
	case MV_ROW_FAULTED:
		return !(row->flags & MV_P_HINT) && mv_row_controls_allow(c, row->flags);
	default:
		return false;
	}
}

void mv_host_exec(struct mv_host *h)
{
	struct mv_row_result *results = calloc(mv_nrows, sizeof(*results));
	struct mv_row_controls controls;

	memset(&h->exec_known, 0, sizeof(h->exec_known));
	memset(&h->exec_ran, 0, sizeof(h->exec_ran));
	if (!results)
		return;
	mv_row_controls_read(&controls);
	mv_rows_run(results);
	for (size_t i = 0; i < mv_nrows; i++) {
		enum mv_feature_id id = (enum mv_feature_id)mv_rows[i].feature;

		if (!decides(&mv_rows[i], &results[i], &controls))
			continue;
		mv_featset_add(&h->exec_known, id);
		/* One instruction of several is enough for a guest to come to rely on it. */
		if (results[i].outcome == MV_ROW_RAN)
			mv_featset_add(&h->exec_ran, id);
	}
	free(results);
}
