/* SPDX-License-Identifier: MIT */
/*
 * What a fuzz target is: one function over bytes, in tests/fuzz/fuzz_NAME.c, and some files to begin
 * with in tests/fuzz/corpus/NAME. `make fuzz` runs it under libFuzzer; `make check` runs every file
 * of the corpus and simple changes of it through it, with any compiler.
 */
#ifndef MV_TESTS_FUZZ_H
#define MV_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

extern size_t fuzz_accepted;	/* inputs that a target took for good */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Make the checksums of a state stream in p right, so that what is behind them is reached: the
 * header's, and those of records as far as their lengths make sense. kind: 1 file, 2 live.
 */
void fuzz_fix_sums(uint8_t *p, size_t size, uint32_t kind);

/* Put the checksum of the frame at p right, if all of it is there. Its size with padding, or what is left. */
size_t fuzz_fix_frame(uint8_t *p, size_t left);

#endif
