/* SPDX-License-Identifier: MIT */
/*
 * All that a hostile source sends to `receive`, against a made-up machine: every checksum is put right.
 * Whatever comes, the machine runs only after GO, and is gone if it does not run.
 */
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "fuzz.h"
#include "le.h"
#include "live.h"
#include "stream.h"

#define MOST_RAM (UINT64_C(64) << 20)	/* of which only what is written is ever there */

struct machine {
	const uint8_t *data;
	size_t size, pos;
	uint8_t *ram;
	bool loaded, runs;
};

static int64_t io_recv(struct mv_io *io, void *buf, size_t len, struct mv_err *err)
{
	struct machine *m = io->ctx;
	size_t left = m->size - m->pos;

	(void)err;
	len = len < left ? len : left;
	memcpy(buf, m->data + m->pos, len);
	m->pos += len;
	return (int64_t)len;
}

static int64_t io_send(struct mv_io *io, const void *buf, size_t len, struct mv_err *err)
{
	(void)io;
	(void)buf;
	(void)err;
	return (int64_t)len;
}

static const struct mv_io_ops io_ops = { .recv = io_recv, .send = io_send };

static int op_judge(void *ctx, struct mv_static *st, struct mv_live_refusal *r, struct mv_err *err)
{
	(void)ctx;
	(void)r;
	return st->config.ram_size > MOST_RAM ? mv_err_set(err, MV_E_REFUSED, "too large") : 0;
}

static int op_create(void *ctx, struct mv_static *st, uint8_t **ram, uint64_t *load_ns,
		     struct mv_err *err)
{
	struct machine *m = ctx;

	*load_ns = 0;
	*ram = m->ram = calloc(1, st->config.ram_size);
	return m->ram ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");
}

static int op_load(void *ctx, const struct mv_state *state, struct mv_err *err)
{
	struct machine *m = ctx;

	(void)err;
	m->loaded = state->nvcpus > 0;
	return 0;
}

static int op_run(void *ctx, struct mv_err *err)
{
	struct machine *m = ctx;

	(void)err;
	if (!m->loaded)
		abort();
	m->runs = true;
	return 0;
}

static void op_discard(void *ctx)
{
	struct machine *m = ctx;

	m->runs = false;
	free(m->ram);
	m->ram = NULL;
}

/* HELLO, the stream's header, then frames. */
static void fix(uint8_t *p, size_t size)
{
	size_t at = fuzz_fix_frame(p, size);

	if (size - at >= MV_STREAM_HEADER_SIZE) {
		mv_store_le(p + at + MV_STREAM_HEADER_SIZE - 8,
			    mv_frame_sum(p + at, MV_STREAM_HEADER_SIZE - 8), 8);
		at += MV_STREAM_HEADER_SIZE;
	}
	while (at < size)
		at += fuzz_fix_frame(p + at, size - at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine m = { .size = size };
	const struct mv_live_dst dst = {
		.ctx = &m, .judge = op_judge, .create = op_create, .load = op_load, .run = op_run,
		.discard = op_discard,
	};
	struct mv_io io = {
		.ops = &io_ops, .ctx = &m, .fd = -1, .cancel_fd = -1, .timeout_ms = 1000,
		.peer = "fuzz",
	};
	struct mv_static *st = calloc(1, sizeof(*st));
	uint8_t *copy = malloc(size + 1);
	struct mv_err err = { 0 };
	bool heard = false;
	int rc;

	if (st && copy) {
		memcpy(copy, data, size);
		fix(copy, size);
		m.data = copy;
		rc = mv_live_receive(&dst, &io, st, &heard, &err);
		if (m.runs != (rc == 0) || (rc && m.ram))
			abort();
		fuzz_accepted += rc == 0;
		if (m.ram)
			op_discard(&m);
	}
	free(copy);
	free(st);
	return 0;
}
