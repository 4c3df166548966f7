/* SPDX-License-Identifier: MIT */
/* The argument of QEMU's -cpu. */
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_dialect(&mv_dialect_qemu, data, size);
	return 0;
}
