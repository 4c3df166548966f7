/* SPDX-License-Identifier: MIT */
#include "leak.h"

#include "xstate.h"

bool mv_feature_enforced(const struct mv_table *guest, enum mv_feature_id id, bool vmx)
{
	const struct mv_feature *f = &mv_features[id];

	switch ((enum mv_feature_enforce)(vmx ? f->vmx : f->svm)) {
	case MV_FE_NONE:
		return false;
	case MV_FE_XCR0:
		return mv_xstate_needed(id) & ~mv_xstate_xcr0(guest);
	case MV_FE_CTRL:
		/* One control (ENABLE_RDTSCP; the RDTSCP intercept) stands for both instructions. */
		if (id == MV_F_RDTSCP || id == MV_F_RDPID)
			return !mv_table_has(guest, MV_F_RDTSCP) && !mv_table_has(guest, MV_F_RDPID);
		return true;
	default:
		return true;
	}
}
