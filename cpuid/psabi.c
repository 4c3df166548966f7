/* SPDX-License-Identifier: MIT */
#include "psabi.h"

#define MV_PSABI_LEVELS 4

/*
 * System V ABI, AMD64 supplement 1.0, table 3.1. A table at rest shows XSAVE where the ABI says
 * OSXSAVE, and Intel shows SYSCALL in 64-bit mode alone, where LM is what brings it.
 */
static const enum mv_feature_id v1[] = { MV_F_CMOV, MV_F_CX8, MV_F_FPU,	 MV_F_FXSR,
					 MV_F_MMX,  MV_F_SSE, MV_F_SSE2, MV_F_LM };
static const enum mv_feature_id v2[] = { MV_F_CX16, MV_F_LAHF64, MV_F_POPCNT, MV_F_SSE3,
					 MV_F_SSE4_1, MV_F_SSE4_2, MV_F_SSSE3 };
static const enum mv_feature_id v3[] = { MV_F_AVX, MV_F_AVX2, MV_F_BMI1, MV_F_BMI2, MV_F_F16C,
					 MV_F_FMA, MV_F_LZCNT, MV_F_MOVBE, MV_F_XSAVE };
static const enum mv_feature_id v4[] = { MV_F_AVX512F, MV_F_AVX512BW, MV_F_AVX512CD, MV_F_AVX512DQ,
					 MV_F_AVX512VL };

#define LEVEL(a) { a, sizeof(a) / sizeof((a)[0]) }
static const struct {
	const enum mv_feature_id *feature;
	size_t n;
} levels[MV_PSABI_LEVELS] = { LEVEL(v1), LEVEL(v2), LEVEL(v3), LEVEL(v4) };

size_t mv_psabi_missing(const struct mv_table *guest, unsigned level, enum mv_feature_id *out,
			size_t cap)
{
	size_t n = 0;

	if (level < 1 || level > MV_PSABI_LEVELS)
		return 0;
	for (size_t i = 0; i < levels[level - 1].n; i++) {
		enum mv_feature_id id = levels[level - 1].feature[i];

		if (mv_table_has(guest, id))
			continue;
		if (n < cap)
			out[n] = id;
		n++;
	}
	return n;
}

unsigned mv_psabi_level(const struct mv_table *guest)
{
	unsigned level = 0;

	while (level < MV_PSABI_LEVELS && mv_psabi_missing(guest, level + 1, NULL, 0) == 0)
		level++;
	return level;
}
