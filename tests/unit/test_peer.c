/* SPDX-License-Identifier: MIT */
/* Messages between hosts, and transfers that end: what is read was written by somebody hostile. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "le.h"
#include "peer.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MS UINT64_C(1000000)

static char text[] = "level 0x1 ECX:19 \xe2\x80\xa6\n\tSSE4.1\n", json[] = "{\"n\":1}";

static const struct mv_peer_msg messages[] = {
	{ .type = MV_PEER_HELLO, .version = 1, .role = MV_PEER_SOURCE, .producer = "minivmm" },
	{ .type = MV_PEER_HELLO, .version = UINT32_MAX, .role = MV_PEER_DESTINATION },
	{ .type = MV_PEER_ACCEPT, .load_ns = UINT64_MAX },
	{ .type = MV_PEER_REFUSE, .text = text, .json = json },
	{ .type = MV_PEER_REFUSE },
	{ .type = MV_PEER_ROUND, .round = 7, .pages = 1234567890123 },
	{ .type = MV_PEER_READY, .records = 99 },
	{ .type = MV_PEER_GO, .records = 99 },
	{ .type = MV_PEER_RUNNING },
	{ .type = MV_PEER_FAILED, .message = "KVM refuses MSR 0x123" },
};

static struct mv_buf encode(const struct mv_peer_msg *m)
{
	struct mv_buf b = { 0 };
	struct mv_err err = { 0 };

	cr_assert(!mv_peer_put(&b, m, &err), "%s", err.msg);
	return b;
}

static bool same_text(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

Test(peer, round_trip)
{
	for (size_t i = 0; i < COUNT(messages); i++) {
		const struct mv_peer_msg *m = &messages[i];
		struct mv_buf b = encode(m), again;
		struct mv_err err = { 0 };
		struct mv_peer_msg got;
		size_t rest;

		cr_expect(!mv_peer_head(b.data, &rest, &err) && rest == b.len - MV_FRAME_SIZE);
		cr_assert(!mv_peer_parse(&got, b.data, b.len, &err), "%zu: %s", i, err.msg);
		cr_expect(got.type == m->type && got.version == m->version &&
			  got.role == m->role && got.load_ns == m->load_ns &&
			  got.round == m->round && got.pages == m->pages &&
			  got.records == m->records && same_text(got.text, m->text) &&
			  same_text(got.json, m->json) && same_text(got.message, m->message) &&
			  same_text(got.producer, m->producer), "%zu", i);
		again = encode(&got);
		cr_expect(again.len == b.len && !memcmp(again.data, b.data, b.len), "%zu", i);
		mv_buf_finish(&again);
		mv_buf_finish(&b);
		mv_peer_msg_finish(&got);
	}
	cr_expect_str_eq(mv_peer_name(MV_PEER_READY), "READY");
	cr_expect_null(mv_peer_name(0));
}

/* Every bit of every message counts, and so does every byte that is missing or too much. */
Test(peer, damaged)
{
	for (size_t i = 0; i < COUNT(messages); i++) {
		struct mv_buf b = encode(&messages[i]);
		struct mv_peer_msg got;
		size_t bit, len;

		for (bit = 0; bit < b.len * 8; bit++) {
			b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			cr_expect_eq(mv_peer_parse(&got, b.data, b.len, NULL), -MV_E_INPUT,
				     "message %zu, bit %zu", i, bit);
			mv_peer_msg_finish(&got);
			b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (len = 0; len < b.len; len++) {
			/* A copy of its own: a memory checker sees what is read beyond it. */
			uint8_t *part = malloc(len + !len);

			memcpy(part, b.data, len);
			cr_expect_eq(mv_peer_parse(&got, part, len, NULL), -MV_E_INPUT,
				     "message %zu, %zu bytes", i, len);
			mv_peer_msg_finish(&got);
			free(part);
		}
		cr_assert(mv_buf_grow(&b, 8));
		cr_expect_eq(mv_peer_parse(&got, b.data, b.len, NULL), -MV_E_INPUT);
		mv_peer_msg_finish(&got);
		mv_buf_finish(&b);
	}
}

/* Sealed correctly, and wrong. */
Test(peer, hostile)
{
	static const struct {
		const char *name;
		size_t message, offset, size;
		uint64_t value;
		bool seal;
		const char *why;
	} rows[] = {
		{ "unknown type", 0, 8, 4, 0x1234, true, "no message" },
		{ "a record", 0, 8, 4, 0x100, true, "no message" },
		{ "flags", 0, 12, 4, 1, false, "no message" },
		{ "longer than allowed", 0, 16, 8, 257, false, "limit" },
		{ "2^32", 3, 16, 8, UINT64_C(1) << 32, false, "limit" },
		{ "2^64 - 1", 3, 16, 8, UINT64_MAX, false, "limit" },
		{ "2^64 - 8", 9, 16, 8, -UINT64_C(8), false, "limit" },
		{ "shorter", 0, 16, 8, 8, false, "instead of" },
		{ "magic", 0, 24, 1, 'M', true, "magic" },
		{ "role 0", 0, 36, 4, 0, true, "role" },
		{ "role 3", 0, 36, 4, 3, true, "role" },
		{ "a producer that moves the cursor", 0, 40, 1, 0x1b, true, "producer" },
		{ "text longer than the message", 3, 24, 4, 1000, true, "report" },
		{ "text of 2^32 - 1", 3, 24, 4, UINT32_MAX, true, "report" },
		{ "an escape sequence", 3, 28, 1, 0x1b, true, "plain text" },
		{ "a NUL", 3, 28, 1, 0, true, "plain text" },
		{ "DEL", 3, 28, 1, 0x7f, true, "plain text" },
		{ "half a character", 3, 28, 1, 0xc3, true, "plain text" },
		{ "a stray continuation", 3, 28, 1, 0x9b, true, "plain text" },
		{ "a control character in two bytes", 3, 28, 2, 0x9bc2, true, "plain text" },
		{ "an overlong slash", 3, 28, 2, 0xafc0, true, "plain text" },
		{ "a surrogate", 3, 28, 3, 0x80a0ed, true, "plain text" },
		{ "beyond Unicode", 3, 28, 4, 0x808090f4, true, "plain text" },
		{ "an error that rings a bell", 9, 24, 1, 7, true, "message" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct mv_buf b = encode(&messages[rows[i].message]);
		struct mv_err err = { 0 };
		struct mv_peer_msg got;
		struct mv_frame f;
		int rc;

		mv_store_le(b.data + rows[i].offset, rows[i].value, rows[i].size);
		mv_frame_unpack(&f, b.data);
		if (rows[i].seal)
			mv_frame_seal(b.data, f.type, f.length);
		rc = mv_peer_parse(&got, b.data, b.len, &err);
		cr_expect(rc == -MV_E_INPUT && strstr(err.msg, rows[i].why), "row %s: %d '%s'",
			  rows[i].name, rc, err.msg);
		mv_peer_msg_finish(&got);
		mv_buf_finish(&b);
	}
}

/* What can't be read is not written. */
Test(peer, unwritable)
{
	static char bell[] = "\a";
	const struct mv_peer_msg m[] = {
		{ .type = 1 }, { .type = MV_PEER_HELLO }, { .type = MV_PEER_REFUSE, .text = bell },
	};
	struct mv_buf b = { 0 };

	for (size_t i = 0; i < COUNT(m); i++)
		cr_expect(mv_peer_put(&b, &m[i], NULL) < 0 && !b.len, "%zu", i);
	mv_buf_finish(&b);
}

/* ---- transfers ---- */

struct pair {
	int fd[2];
	struct mv_io io[2];
	struct mv_err err;
};

static void open_pair(struct pair *p, int timeout_ms)
{
	memset(p, 0, sizeof(*p));
	cr_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, p->fd));
	for (int i = 0; i < 2; i++)
		mv_io_socket(&p->io[i], p->fd[i], "the peer", timeout_ms);
}

static void close_pair(struct pair *p)
{
	for (int i = 0; i < 2; i++)
		if (p->fd[i] >= 0)
			close(p->fd[i]);
}

Test(io, exact)
{
	uint8_t out[100], in[100];
	struct pair p;

	open_pair(&p, 1000);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)i;
	cr_expect_eq(mv_io_pending(&p.io[1], 0, NULL), 0);
	cr_assert(!mv_io_send(&p.io[0], out, 60, NULL));
	cr_assert(!mv_io_send(&p.io[0], out + 60, 40, NULL));
	cr_expect_eq(mv_io_pending(&p.io[1], 0, NULL), 1);
	cr_assert(!mv_io_recv(&p.io[1], in, 30, NULL));
	cr_assert(!mv_io_recv(&p.io[1], in + 30, 70, NULL));
	cr_expect(!memcmp(in, out, sizeof(out)));
	cr_expect(p.io[0].sent == 100 && p.io[1].received == 100);
	close_pair(&p);
}

Test(io, silence_ends)
{
	uint8_t buf[16], *much = calloc(1, 8 << 20);
	struct pair p;
	uint64_t begin;
	int rc;

	open_pair(&p, 50);
	begin = mv_io_now_ns();
	rc = mv_io_recv(&p.io[1], buf, 1, &p.err);
	cr_expect(rc == -MV_E_FAILED && strstr(p.err.msg, "the peer sent nothing for 0.05 s"),
		  "%s", p.err.msg);
	cr_expect(mv_io_now_ns() - begin >= 50 * MS);
	p.err = (struct mv_err){ 0 };
	rc = mv_io_send(&p.io[0], much, 8 << 20, &p.err);
	cr_expect(rc == -MV_E_FAILED && strstr(p.err.msg, "took nothing"), "%s", p.err.msg);
	close_pair(&p);
	free(much);
}

Test(io, closed)
{
	struct pair p;
	uint8_t buf[16];

	open_pair(&p, 1000);
	cr_assert(!mv_io_send(&p.io[0], "abc", 3, NULL));
	close(p.fd[0]);
	p.fd[0] = -1;
	cr_expect_eq(mv_io_recv(&p.io[1], buf, 4, &p.err), -MV_E_FAILED);
	cr_expect(strstr(p.err.msg, "the peer closed the connection"), "%s", p.err.msg);
	/* And no signal. */
	cr_expect_eq(mv_io_send(&p.io[1], buf, 1, NULL), -MV_E_FAILED);
	close_pair(&p);
}

Test(io, cancelled)
{
	struct pair p;
	uint64_t one = 1;
	uint8_t buf[16];

	open_pair(&p, 5000);
	p.io[1].cancel_fd = eventfd(0, 0);
	cr_assert(write(p.io[1].cancel_fd, &one, sizeof(one)) == sizeof(one));
	cr_expect_eq(mv_io_recv(&p.io[1], buf, 1, &p.err), -MV_E_FAILED);
	cr_expect_str_eq(p.err.msg, "cancelled");
	cr_expect_eq(mv_io_pending(&p.io[1], 100, NULL), -MV_E_FAILED);
	close(p.io[1].cancel_fd);
	close_pair(&p);
}

static int recv_after(const void *bytes, size_t len, uint32_t type, struct mv_err *err)
{
	struct mv_peer_msg m;
	struct pair p;
	int rc;

	open_pair(&p, 200);
	cr_assert(!mv_io_send(&p.io[0], bytes, len, NULL));
	close(p.fd[0]);
	p.fd[0] = -1;
	*err = (struct mv_err){ 0 };
	rc = mv_peer_recv(&p.io[1], &m, type, type, err);
	mv_peer_msg_finish(&m);
	close_pair(&p);
	return rc;
}

Test(io, receive_a_message)
{
	struct mv_buf ready = encode(&messages[6]), failed = encode(&messages[9]);
	static const char http[] = "GET / HTTP/1.1\r\nHost: somewhere.example\r\n\r\n";
	struct mv_err err;

	cr_expect_eq(recv_after(ready.data, ready.len, MV_PEER_READY, &err), 0);
	cr_expect_eq(recv_after(ready.data, ready.len, MV_PEER_RUNNING, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "READY came where RUNNING was due"), "%s", err.msg);
	cr_expect_eq(recv_after(ready.data, ready.len - 1, MV_PEER_READY, &err), -MV_E_FAILED);
	cr_expect(strstr(err.msg, "closed"), "%s", err.msg);
	cr_expect_eq(recv_after(failed.data, failed.len, MV_PEER_READY, &err), -MV_E_FAILED);
	cr_expect_str_eq(err.msg, "the peer says: KVM refuses MSR 0x123");
	cr_expect_eq(recv_after(http, sizeof(http), MV_PEER_HELLO, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "no message of a minivmm"), "%s", err.msg);
	mv_buf_finish(&ready);
	mv_buf_finish(&failed);
}
