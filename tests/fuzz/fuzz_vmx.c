/* SPDX-License-Identifier: MIT */
/* What a VMware .vmx file says of CPUID. */
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_dialect(&mv_dialect_featmask, data, size);
	return 0;
}
