/* SPDX-License-Identifier: MIT */
#include "policy.h"

uint64_t mv_policy_msr(const struct mv_policy *p, uint32_t index, uint64_t *named)
{
	uint64_t value = 0, by_symbol = 0;

	mv_host_msr(&p->source, index, &value);
	for (uint32_t i = 0; i < p->final.nmsrs; i++) {
		const struct mv_mask_msr *m = &p->final.msrs[i];

		if (m->index != index)
			continue;
		value |= mv_mask_msr_with(m, MV_SYM_1) | mv_mask_msr_with(m, MV_SYM_T);
		value &= ~(mv_mask_msr_with(m, MV_SYM_0) | mv_mask_msr_with(m, MV_SYM_F) |
			   mv_mask_msr_with(m, MV_SYM_R));
		by_symbol |= ~mv_mask_msr_with(m, MV_SYM_INHERIT);
	}
	if (named)
		*named = by_symbol;
	return value;
}
