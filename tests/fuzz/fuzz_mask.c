/* SPDX-License-Identifier: MIT */
/* The mask language, as an override and as a default mask; what parses is written in every notation there is. */
#include <stdlib.h>
#include <string.h>

#include "maskfile.h"
#include "text.h"

static int directive(void *ctx, enum mv_directive d, const char *arg, mv_at at, struct mv_err *err)
{
	(void)at;
	*(size_t *)ctx += strlen(arg) + (size_t)d;
	/* One that can't be followed. */
	return *arg == '!' ? mv_err_set(err, MV_E_INPUT, "no such file") : 0;
}

static void try(struct mv_mask *m, const uint8_t *data, size_t size, enum mv_mask_kind kind)
{
	size_t seen = 0;
	const struct mv_mask_reader reader = {
		.kind = kind, .file = "in", .directive = directive, .ctx = &seen,
	};
	struct mv_err err = { 0 };
	int rc = mv_mask_parse(m, (const char *)data, size, &reader, &err);

	fuzz_check_error(rc, &err);
	FUZZ_MUST(rc == 0 || kind == MV_MASK_DEFAULT || err.line, "an error without its line: %s", err.msg);
	if (rc)
		return;
	fuzz_accepted++;
	fuzz_write_mask(m);
	for (size_t i = 0; kind == MV_MASK_OVERRIDE && mv_dialects[i]; i++)
		if (mv_dialects[i]->from && mv_dialects[i]->to && mv_dialects[i] != &mv_dialect_libvirt)
			fuzz_write_dialect(mv_dialects[i], m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mv_mask *m = malloc(sizeof(*m));

	if (m) {
		try(m, data, size, MV_MASK_OVERRIDE);
		try(m, data, size, MV_MASK_DEFAULT);
	}
	free(m);
	return 0;
}
