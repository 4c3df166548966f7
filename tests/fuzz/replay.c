/* SPDX-License-Identifier: MIT */
/* replay FILE...: each file through the target once; what a fuzzer would do with its corpus. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#define MAX_FILE (16 << 20)

int main(int argc, char **argv)
{
	uint8_t *buf = malloc(MAX_FILE);

	for (int i = 1; buf && i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		uint8_t *input;
		size_t n;

		if (!f) {
			perror(argv[i]);
			return 1;
		}
		n = fread(buf, 1, MAX_FILE, f);
		fclose(f);
		/* In memory of its very size, so that a sanitizer sees the end. */
		input = malloc(n ? n : 1);
		if (!input)
			return 1;
		for (size_t k = 0; k < n; k++)
			input[k] = buf[k];
		LLVMFuzzerTestOneInput(input, n);
		free(input);
	}
	free(buf);
	printf("%d inputs\n", argc - 1);
	return 0;
}
