/* SPDX-License-Identifier: MIT */
/* What `explain` and the report of a crash make of code: one instruction behind the other, and bytes as text. */
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "text.h"

static void words(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	uint8_t code[MV_CODE_MAX];

	FUZZ_MUST(mv_code_parse(text, code) <= MV_CODE_MAX, "more bytes than an instruction has");
	free(text);
}

static size_t instruction(const uint8_t *code, size_t n, const struct mv_policy *p, const struct mv_host *h)
{
	struct mv_err err = { 0 };
	struct mv_code c, exact;
	char line[256];
	int rc = mv_code_explain(&c, code, n, &err);

	fuzz_check_error(rc, &err);
	mv_explain_crash(line, sizeof(line), p, h, code, n);
	if (rc)
		return 1;
	fuzz_accepted++;
	FUZZ_MUST(c.length > 0 && c.length <= n && c.length <= MV_CODE_MAX, "%u of %zu bytes", c.length, n);
	FUZZ_MUST(c.n <= MV_CODE_FEATURES && *c.text, "no text, or %u features", c.n);
	/* What follows an instruction does not change it. */
	FUZZ_MUST(mv_code_explain(&exact, code, c.length, NULL) == 0 && !strcmp(exact.text, c.text) && exact.n == c.n,
		  "'%s' alone is another", c.text);
	return c.length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mv_policy p;
	static struct mv_host h;
	size_t left = size < 64 ? size : 64;

	words(data, size);
	for (const uint8_t *code = data; left;) {
		size_t n = left < MV_CODE_MAX ? left : MV_CODE_MAX;
		uint8_t *alone = malloc(n);

		if (!alone)
			break;
		memcpy(alone, code, n);
		n = instruction(alone, n, &p, &h);
		free(alone);
		code += n;
		left -= n;
	}
	return 0;
}
