/* SPDX-License-Identifier: MIT */
#include "xstate.h"

const struct mv_xstate_user mv_xstate_users[] = {
	{ MV_F_XSTATE_X87, MV_F_XSAVE },
	{ MV_F_XSTATE_SSE, MV_F_XSAVE },
	{ MV_F_XSTATE_AVX, MV_F_AVX },
	{ MV_F_XSTATE_BNDREGS, MV_F_MPX },
	{ MV_F_XSTATE_BNDCSR, MV_F_MPX },
	{ MV_F_XSTATE_OPMASK, MV_F_AVX512F },
	{ MV_F_XSTATE_ZMM_HI256, MV_F_AVX512F },
	{ MV_F_XSTATE_HI16_ZMM, MV_F_AVX512F },
	{ MV_F_XSTATE_PKRU, MV_F_PKU },
	{ MV_F_XSTATE_XTILECFG, MV_F_AMX_TILE },
	{ MV_F_XSTATE_XTILEDATA, MV_F_AMX_TILE },
	{ MV_F_XSTATE_LWP, MV_F_LWP },
};
const unsigned mv_nxstate_users = sizeof(mv_xstate_users) / sizeof(mv_xstate_users[0]);

static uint64_t component_bit(enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];

	return UINT64_C(1) << (f->bit + (f->reg == MV_EDX ? 32 : 0));
}

uint64_t mv_xstate_needed(enum mv_feature_id id)
{
	enum mv_feature_id parents[16];
	size_t n = mv_feature_parents(id, parents, 16);
	uint64_t mask = 0;

	for (unsigned i = 0; i < mv_nxstate_users; i++)
		if (mv_xstate_users[i].user == id)
			mask |= component_bit((enum mv_feature_id)mv_xstate_users[i].component);
	for (size_t i = 0; i < n && i < 16; i++)
		mask |= mv_xstate_needed(parents[i]);
	return mask;
}

uint64_t mv_xstate_xcr0(const struct mv_table *t)
{
	const struct mv_leaf *e = mv_table_find(t, 0xd, 0);

	return e ? e->reg[MV_EAX] | (uint64_t)e->reg[MV_EDX] << 32 : 0;
}

uint64_t mv_xstate_xss(const struct mv_table *t)
{
	const struct mv_leaf *e = mv_table_find(t, 0xd, 1);

	return e ? e->reg[MV_ECX] | (uint64_t)e->reg[MV_EDX] << 32 : 0;
}

uint32_t mv_xstate_standard_size(const struct mv_table *t, uint64_t mask)
{
	uint32_t size = MV_XSAVE_LEGACY_SIZE;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct mv_leaf *e = &t->e[i];

		if (e->leaf == 0xd && e->subleaf >= 2 && e->subleaf < 63 &&
		    mask >> e->subleaf & 1 && e->reg[MV_EBX] + e->reg[MV_EAX] > size)
			size = e->reg[MV_EBX] + e->reg[MV_EAX];
	}
	return size;
}

uint32_t mv_xstate_compacted_size(const struct mv_table *t, uint64_t mask)
{
	uint32_t size = MV_XSAVE_LEGACY_SIZE;

	for (uint32_t n = 2; n < 63; n++) {
		const struct mv_leaf *e = mask >> n & 1 ? mv_table_find(t, 0xd, n) : NULL;

		if (!e)
			continue;
		if (e->reg[MV_ECX] & 2)	/* aligned on 64 bytes */
			size = (size + 63) & ~63u;
		size += e->reg[MV_EAX];
	}
	return size;
}
