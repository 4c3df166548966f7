/* SPDX-License-Identifier: MIT */
/*
 * replay FILE…: a fuzz target over its corpus without libFuzzer: each file, its beginnings, and the file
 * with bytes changed at a stride. Prints how many inputs that were, and how many were taken for good.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define PLACES 300	/* in a file, at most */

static size_t n;

static void once(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);	/* its end is where a sanitizer looks */

	if (!exact)
		exit(1);
	memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	n++;
}

static void replay(uint8_t *data, size_t size)
{
	static const uint8_t change[] = { 0x01, 0x80, 0xff };
	size_t step = size / PLACES + 1;

	once(data, size);
	for (size_t at = 0; at < size; at += step) {
		once(data, at);
		for (size_t k = 0; k < sizeof(change); k++) {
			data[at] ^= change[k];
			once(data, size);
			data[at] ^= change[k];
		}
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		static uint8_t data[1 << 22];
		FILE *f = fopen(argv[i], "rb");
		size_t size = f ? fread(data, 1, sizeof(data), f) : 0;

		if (!f) {
			perror(argv[i]);
			return 1;
		}
		fclose(f);
		replay(data, size);
	}
	printf("%zu inputs, %zu taken\n", n, fuzz_accepted);
	return n == 0;
}
