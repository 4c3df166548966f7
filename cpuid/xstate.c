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
	{ MV_F_XSTATE_APX, MV_F_APX_F },
	{ MV_F_XSTATE_LWP, MV_F_LWP },
};
const unsigned mv_nxstate_users = sizeof(mv_xstate_users) / sizeof(mv_xstate_users[0]);

enum mv_feature_id mv_xstate_feature(unsigned n)
{
	for (unsigned id = 0; id < MV_NFEATURES; id++) {
		const struct mv_feature *f = &mv_features[id];

		/* XCR0 is EDX:EAX of sublevel 0, XSS is EDX:ECX of sublevel 1. */
		if (f->leaf != 0xd || (f->subleaf == 1 && f->reg == MV_EAX) ||
		    f->bit + (f->reg == MV_EDX ? 32u : 0u) != n)
			continue;
		for (unsigned i = 0; i < mv_nxstate_users; i++)
			if (mv_xstate_users[i].component == id)
				return (enum mv_feature_id)mv_xstate_users[i].user;
		return (enum mv_feature_id)id;
	}
	return MV_NFEATURES;
}

static uint64_t component_bit(enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];

	if (f->leaf != 0xd || f->subleaf != 0)
		return 0;
	return UINT64_C(1) << (f->bit + (f->reg == MV_EDX ? 32 : 0));
}

void mv_xstate_needed_all(uint64_t need[MV_NFEATURES])
{
	bool changed;

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		need[i] = component_bit((enum mv_feature_id)i);
	for (unsigned i = 0; i < mv_nxstate_users; i++)
		need[mv_xstate_users[i].user] |=
			component_bit((enum mv_feature_id)mv_xstate_users[i].component);
	/* What a prerequisite needs, the feature needs: as many rounds as the graph is deep. */
	do {
		changed = false;
		for (unsigned i = 0; i < mv_ndeps; i++) {
			uint64_t more = need[mv_deps[i].parent] & ~need[mv_deps[i].child];

			need[mv_deps[i].child] |= more;
			changed |= more != 0;
		}
	} while (changed);
}

uint64_t mv_xstate_needed(enum mv_feature_id id)
{
	uint64_t need[MV_NFEATURES];

	mv_xstate_needed_all(need);
	return need[id];
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

/* Sizes in a table may come from a file: a sum that wraps would pass for a small area. */
static uint32_t saturate(uint64_t size)
{
	return size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
}

uint32_t mv_xstate_standard_size(const struct mv_table *t, uint64_t mask)
{
	uint64_t size = MV_XSAVE_LEGACY_SIZE;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct mv_leaf *e = &t->e[i];
		uint64_t end = (uint64_t)e->reg[MV_EBX] + e->reg[MV_EAX];

		if (e->leaf == 0xd && e->subleaf >= 2 && e->subleaf < 63 &&
		    mask >> e->subleaf & 1 && end > size)
			size = end;
	}
	return saturate(size);
}

uint32_t mv_xstate_compacted_size(const struct mv_table *t, uint64_t mask)
{
	uint64_t size = MV_XSAVE_LEGACY_SIZE;

	for (uint32_t n = 2; n < 63; n++) {
		const struct mv_leaf *e = mask >> n & 1 ? mv_table_find(t, 0xd, n) : NULL;

		if (!e)
			continue;
		if (e->reg[MV_ECX] & 2)	/* aligned on 64 bytes */
			size = (size + 63) & ~UINT64_C(63);
		size += e->reg[MV_EAX];
	}
	return saturate(size);
}
