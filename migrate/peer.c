/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static const uint8_t magic[8] = { 'm', 'i', 'n', 'i', 'v', 'm', 'm', '\n' };

/* The other side's text ends up on a terminal: UTF-8 without control characters, but for line ends. */
static bool text_is_fit(const char *p, size_t len)
{
	size_t i, n;

	for (i = 0; i < len; i += n) {
		n = p[i] == '\n' || p[i] == '\t' ? 1 : mv_text_length(p + i, len - i);
		if (!n)
			return false;
	}
	return true;
}

static void walk_text(struct mv_wire *w, char **text, const char *what)
{
	size_t have = *text ? strlen(*text) : 0;
	uint32_t len = have < MV_PEER_MAX_REPORT ? (uint32_t)have : MV_PEER_MAX_REPORT;

	mv_wire_count(w, &len, 0, MV_PEER_MAX_REPORT, 1, what);
	if (!mv_wire_ok(w))
		return;
	if (mv_wire_decoding(w)) {
		*text = malloc((size_t)len + 1);
		if (!*text) {
			mv_wire_fail(w, "out of memory");
			return;
		}
		(*text)[len] = '\0';
	}
	if (len)
		mv_wire_bytes(w, *text, len);
	if (mv_wire_ok(w) && len && !text_is_fit(*text, len))
		mv_wire_fail(w, "%s is no plain text", what);
}

static void walk_hello(struct mv_wire *w, struct mv_peer_msg *m)
{
	uint8_t m8[sizeof(magic)];

	memcpy(m8, magic, sizeof(m8));
	mv_wire_bytes(w, m8, sizeof(m8));
	if (mv_wire_ok(w) && memcmp(m8, magic, sizeof(m8)))
		mv_wire_fail(w, "wrong magic");
	mv_wire_u32(w, &m->version);
	mv_wire_u32_range(w, &m->role, MV_PEER_SOURCE, MV_PEER_DESTINATION, "the role");
	mv_wire_str(w, m->producer, sizeof(m->producer), "the producer");
}

static void walk_accept(struct mv_wire *w, struct mv_peer_msg *m)
{
	mv_wire_u64(w, &m->load_ns);
}

static void walk_refuse(struct mv_wire *w, struct mv_peer_msg *m)
{
	walk_text(w, &m->text, "the report");
	walk_text(w, &m->json, "the report's JSON");
}

static void walk_round(struct mv_wire *w, struct mv_peer_msg *m)
{
	mv_wire_u32(w, &m->round);
	mv_wire_u64(w, &m->pages);
}

static void walk_records(struct mv_wire *w, struct mv_peer_msg *m)
{
	mv_wire_u64(w, &m->records);
}

static void walk_nothing(struct mv_wire *w, struct mv_peer_msg *m)
{
	(void)w;
	(void)m;
}

static void walk_failed(struct mv_wire *w, struct mv_peer_msg *m)
{
	mv_wire_str(w, m->message, sizeof(m->message), "the message");
	if (mv_wire_ok(w) && !text_is_fit(m->message, strlen(m->message)))
		mv_wire_fail(w, "the message is no plain text");
}

static const struct def {
	uint32_t type;
	const char *name;
	uint64_t max_len;
	void (*walk)(struct mv_wire *w, struct mv_peer_msg *m);
} defs[] = {
	{ MV_PEER_HELLO, "HELLO", 256, walk_hello },
	{ MV_PEER_ACCEPT, "ACCEPT", 256, walk_accept },
	{ MV_PEER_REFUSE, "REFUSE", 8 + 2 * MV_PEER_MAX_REPORT, walk_refuse },
	{ MV_PEER_ROUND, "ROUND", 256, walk_round },
	{ MV_PEER_READY, "READY", 256, walk_records },
	{ MV_PEER_GO, "GO", 256, walk_records },
	{ MV_PEER_RUNNING, "RUNNING", 256, walk_nothing },
	{ MV_PEER_FAILED, "FAILED", 1024, walk_failed },
};

static const struct def *find(uint32_t type)
{
	for (size_t i = 0; i < sizeof(defs) / sizeof(defs[0]); i++)
		if (defs[i].type == type)
			return &defs[i];
	return NULL;
}

const char *mv_peer_name(uint32_t type)
{
	const struct def *d = find(type);

	return d ? d->name : NULL;
}

void mv_peer_msg_finish(struct mv_peer_msg *m)
{
	free(m->text);
	free(m->json);
	memset(m, 0, sizeof(*m));
}

int mv_peer_put(struct mv_buf *out, const struct mv_peer_msg *m, struct mv_err *err)
{
	const struct def *d = find(m->type);
	size_t start = out->len;
	uint64_t length;
	struct mv_wire w;

	if (!d)
		return mv_err_set(err, MV_E_USAGE, "no message has type 0x%" PRIx32, m->type);
	mv_wire_encoder(&w, out);
	mv_wire_zero(&w, MV_FRAME_SIZE, "");
	d->walk(&w, mv_wire_unconst(m));
	length = mv_wire_ok(&w) ? out->len - start - MV_FRAME_SIZE : 0;
	mv_wire_zero(&w, mv_frame_padding(length), "");
	if (!mv_wire_ok(&w)) {
		out->len = start;
		return mv_err_set(err, MV_E_FAILED, "message %s can't be written: %s", d->name,
				  w.why);
	}
	mv_frame_seal(out->data + start, m->type, length);
	return 0;
}

/* What a header announces, or NULL. */
static const struct def *announced(const uint8_t head[MV_FRAME_SIZE], struct mv_frame *f,
				   struct mv_err *err)
{
	const struct def *d;

	mv_frame_unpack(f, head);
	d = find(f->type);
	if (!d || f->flags) {
		mv_err_set(err, MV_E_INPUT, "this is no message of a minivmm");
		return NULL;
	}
	if (f->length > d->max_len) {
		mv_err_set(err, MV_E_INPUT, "message %s: 0x%" PRIx64 " bytes are more than its"
			   " limit, 0x%" PRIx64, d->name, f->length, d->max_len);
		return NULL;
	}
	return d;
}

static size_t rest_of(const struct mv_frame *f)
{
	return (size_t)f->length + mv_frame_padding(f->length);
}

int mv_peer_head(const uint8_t head[MV_FRAME_SIZE], size_t *rest, struct mv_err *err)
{
	struct mv_frame f;

	if (!announced(head, &f, err))
		return -MV_E_INPUT;
	*rest = rest_of(&f);
	return 0;
}

int mv_peer_parse(struct mv_peer_msg *m, const uint8_t *msg, size_t len, struct mv_err *err)
{
	const struct def *d;
	struct mv_frame f;
	struct mv_wire w;

	memset(m, 0, sizeof(*m));
	if (len < MV_FRAME_SIZE)
		return mv_err_set(err, MV_E_INPUT, "%zu bytes are no message", len);
	d = announced(msg, &f, err);
	if (!d)
		return -MV_E_INPUT;
	if (len - MV_FRAME_SIZE != rest_of(&f))
		return mv_err_set(err, MV_E_INPUT, "message %s: %zu bytes instead of %zu", d->name,
				  len - MV_FRAME_SIZE, rest_of(&f));
	if (f.sum != mv_frame_sum(msg + MV_FRAME_SUM_SIZE,
				  (size_t)(MV_FRAME_SIZE - MV_FRAME_SUM_SIZE + f.length)))
		return mv_err_set(err, MV_E_INPUT, "message %s: checksum does not match", d->name);
	for (size_t i = MV_FRAME_SIZE + (size_t)f.length; i < len; i++)
		if (msg[i])
			return mv_err_set(err, MV_E_INPUT, "message %s: padding is not zero",
					  d->name);
	m->type = f.type;
	mv_wire_decoder(&w, msg + MV_FRAME_SIZE, (size_t)f.length);
	d->walk(&w, m);
	mv_wire_end(&w);
	if (!mv_wire_ok(&w))
		return mv_err_set(err, MV_E_INPUT, "message %s: %s", d->name, w.why);
	return 0;
}

int mv_peer_send(struct mv_io *io, const struct mv_peer_msg *m, struct mv_err *err)
{
	struct mv_buf b = { 0 };
	int rc = mv_peer_put(&b, m, err);

	if (rc == 0)
		rc = mv_io_send(io, b.data, b.len, err);
	mv_buf_finish(&b);
	return rc;
}

/* Frame first: only then it is known how much follows, and that it is not too much. */
static int receive(struct mv_io *io, struct mv_buf *b, struct mv_err *err)
{
	struct mv_err why = { 0 };
	size_t rest = 0;
	uint8_t *p = mv_buf_grow(b, MV_FRAME_SIZE);
	int rc = p ? mv_io_recv(io, p, MV_FRAME_SIZE, err)
		   : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc)
		return rc;
	rc = mv_peer_head(p, &rest, &why);
	if (rc)
		return mv_err_set(err, -rc, "%s: %s", io->peer, why.msg);
	p = mv_buf_grow(b, rest);
	return p ? mv_io_recv(io, p, rest, err) : mv_err_set(err, MV_E_FAILED, "out of memory");
}

int mv_peer_recv(struct mv_io *io, struct mv_peer_msg *m, uint32_t type, uint32_t or_type,
		 struct mv_err *err)
{
	struct mv_err why = { 0 };
	struct mv_buf b = { 0 };
	int rc;

	memset(m, 0, sizeof(*m));
	rc = receive(io, &b, err);
	if (rc == 0 && mv_peer_parse(m, b.data, b.len, &why))
		rc = mv_err_set(err, why.code, "%s: %s", io->peer, why.msg);
	mv_buf_finish(&b);
	if (rc)
		return rc;
	if (m->type == MV_PEER_FAILED)
		return mv_err_set(err, MV_E_FAILED, "%s says: %s", io->peer, m->message);
	if (m->type != type && m->type != or_type)
		return mv_err_set(err, MV_E_INPUT, "%s: %s came where %s was due", io->peer,
				  mv_peer_name(m->type), mv_peer_name(type));
	return 0;
}
