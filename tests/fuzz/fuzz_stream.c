/* SPDX-License-Identifier: MIT */
/* The receiver's reader of live streams. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "stream.h"

#define MAX_RAM (UINT64_C(16) << 20)

struct bytes {
	const uint8_t *p;
	size_t left;
};

static int64_t take(void *ctx, void *buf, size_t len, struct mv_err *err)
{
	struct bytes *b = ctx;

	(void)err;
	if (len > b->left)
		len = b->left;
	memcpy(buf, b->p, len);
	b->p += len;
	b->left -= len;
	return (int64_t)len;
}

static void receive(struct mv_stream *s, struct mv_static *st, struct mv_state *state)
{
	struct mv_records rs = { .config = &st->config, .policy = &st->policy, .state = state };
	struct mv_err err = { 0 };

	if (mv_stream_read_until(s, &rs, MV_REC_STATIC_END, &err) || st->config.ram_size > MAX_RAM ||
	    mv_state_init(state, st->config.nvcpus, &err))
		return;
	rs.ram = calloc(1, (size_t)st->config.ram_size);
	if (rs.ram && mv_stream_read_until(s, &rs, MV_REC_END, &err) == 0)
		fuzz_accepted++;
	free(rs.ram);
	mv_state_finish(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mv_static *st = calloc(1, sizeof(*st));
	struct mv_state *state = calloc(1, sizeof(*state));
	uint8_t *copy = malloc(size + 1);
	struct bytes b = { copy, size };
	struct mv_err err = { 0 };
	struct mv_stream s;

	if (st && state && copy) {
		memcpy(copy, data, size);
		fuzz_fix_sums(copy, size, 2);
		if (!mv_stream_begin_live(&s, "stream", take, &b, &err))
			receive(&s, st, state);
		mv_stream_finish(&s);
	}
	free(copy);
	free(state);
	free(st);
	return 0;
}
