/* SPDX-License-Identifier: MIT */
/* Firecracker's custom CPU templates. */
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_dialect(&mv_dialect_firecracker, data, size);
	return 0;
}
