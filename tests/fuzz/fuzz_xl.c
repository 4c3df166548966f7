/* SPDX-License-Identifier: MIT */
/* Xen's cpuid= in an xl.cfg, both forms. */
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_dialect(&mv_dialect_xl, data, size);
	return 0;
}
