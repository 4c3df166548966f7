/* SPDX-License-Identifier: MIT */
/*
 * Where code executes CPUID: bytes as the one segment of an image, decoded from its entry. The search may
 * give up; if it does not, it has accounted for every pair 0F A2, and for nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sites.h"
#include "text.h"

#define AT 0x100000u

static bool is_pair(const uint8_t *p)
{
	return p[0] == 0x0f && p[1] == 0xa2;
}

static void judge(const struct mv_sites *s, const uint8_t *code, size_t size)
{
	uint32_t pairs = 0;

	for (size_t i = 0; i + 1 < size; i++)
		pairs += is_pair(code + i);
	for (uint32_t i = 0; i < s->n; i++) {
		FUZZ_MUST(s->gpa[i] >= AT && s->gpa[i] - AT + 2 <= size && is_pair(code + s->gpa[i] - AT),
			  "no CPUID at 0x%llx", (unsigned long long)s->gpa[i]);
		FUZZ_MUST(!i || s->gpa[i - 1] < s->gpa[i], "sites are not in order");
	}
	FUZZ_MUST(!s->all || s->n + s->inside == pairs, "%u sites and %u inside of %u pairs", s->n, s->inside, pairs);
	FUZZ_MUST(s->all || *s->why, "given up without a reason");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mv_sites *s = malloc(sizeof(*s));
	uint8_t *code = malloc(size ? size : 1);
	struct mv_err err = { 0 };
	int rc;

	if (s && code && size) {
		struct mv_image img = {
			.name = "in", .data = code, .size = size, .entry = AT, .nsegments = 1,
			.segments = { { .gpa = AT, .file_size = size, .mem_size = size, .exec = true } },
		};

		memcpy(code, data, size);
		rc = mv_sites_find(s, &img, &err);
		fuzz_check_error(rc, &err);
		if (rc == 0) {
			fuzz_accepted += s->all;
			judge(s, code, size);
		}
	}
	free(code);
	free(s);
	return 0;
}
