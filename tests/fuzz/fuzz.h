/* SPDX-License-Identifier: MIT */
/*
 * What a fuzz target is: one function over bytes, in tests/fuzz/fuzz_NAME.c, and some files to begin
 * with in tests/fuzz/corpus/NAME. `make fuzz` runs it under libFuzzer; `make check` runs every file
 * of the corpus through it once, with any compiler.
 */
#ifndef MV_TESTS_FUZZ_H
#define MV_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Make the checksums of a state stream in p right, so that what is behind them is reached: the
 * header's, and those of records as far as their lengths make sense. kind: 1 file, 2 live.
 */
void fuzz_fix_sums(uint8_t *p, size_t size, uint32_t kind);

#endif
