/* SPDX-License-Identifier: MIT */
#include "policy.h"

/* One line's symbols laid over value. */
static uint64_t apply_line(const struct mv_mask_msr *m, uint64_t value, uint64_t *fixed)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t b = UINT64_C(1) << bit;

		switch ((m->plane[2] >> bit & 1) << 2 | (m->plane[1] >> bit & 1) << 1 |
			(m->plane[0] >> bit & 1)) {
		case MV_SYM_1:
			value |= b;
			*fixed |= b;
			break;
		case MV_SYM_0:
			value &= ~b;
			*fixed |= b;
			break;
		case MV_SYM_T:
			value |= b;
			break;
		case MV_SYM_F:
		case MV_SYM_R:
			value &= ~b;
			break;
		default:
			break;
		}
	}
	return value;
}

uint64_t mv_policy_msr(const struct mv_policy *p, uint32_t index, uint64_t *fixed)
{
	uint64_t value = 0, decided = 0;

	mv_host_msr(&p->source, index, &value);
	for (uint32_t i = 0; i < p->final.nmsrs; i++)
		if (p->final.msrs[i].index == index)
			value = apply_line(&p->final.msrs[i], value, &decided);
	if (fixed)
		*fixed = decided;
	return value;
}
