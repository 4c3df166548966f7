/* SPDX-License-Identifier: MIT */
/* A source of random bytes (Virtual I/O Device 1.2, section 5.4): the host's getrandom(2). */
#include <string.h>
#include <sys/random.h>

#include "virtio.h"

#define AT_ONCE 4096u	/* bytes of a buffer that are filled: any number will do (5.4.6.1) */

static uint64_t features(const struct mv_virtio *v)
{
	(void)v;
	return 0;
}

static const char *serve(struct mv_virtio *v, struct mv_chain *c, uint32_t *len)
{
	uint64_t n = c->to_write < AT_ONCE ? c->to_write : AT_ONCE;
	uint8_t bytes[AT_ONCE];
	ssize_t got;

	(void)v;
	if (c->to_read || !n)
		return "a buffer for random bytes that can't be written";
	got = getrandom(bytes, n, 0);
	if (got > 0)
		*len = (uint32_t)mv_chain_write(c, 0, bytes, (size_t)got);
	explicit_bzero(bytes, sizeof(bytes));
	return NULL;
}

const struct mv_virtio_kind mv_virtio_rng = {
	.id = 4, .queue_max = 64, .features = features, .serve = serve,
};
