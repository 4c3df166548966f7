/* SPDX-License-Identifier: MIT */
/* The destination's side of a live migration. */
#include <stdlib.h>
#include <string.h>

#include "live.h"
#include "peer.h"
#include "stream.h"

#define DRAIN_MS 2000	/* for the source to read why, before the connection closes */

struct arrival {
	const struct mv_live_dst *dst;
	struct mv_io *io;
	struct mv_static *st;
	struct mv_stream stream;
	struct mv_records rs;
	struct mv_state state;
};

static int64_t read_io(void *ctx, void *buf, size_t len, struct mv_err *err)
{
	int rc = mv_io_recv(ctx, buf, len, err);

	return rc ? rc : (int64_t)len;
}

static int say(struct arrival *a, struct mv_peer_msg m, struct mv_err *err)
{
	return mv_peer_send(a->io, &m, err);
}

/* Tell the source, and see to it that it can hear. */
static void say_failed(struct arrival *a, const struct mv_err *why)
{
	struct mv_peer_msg m = { .type = MV_PEER_FAILED };

	memcpy(m.message, why->msg, sizeof(m.message));
	if (mv_peer_send(a->io, &m, NULL) == 0)
		mv_io_drain(a->io, DRAIN_MS);
}

static int greet(struct arrival *a, bool *heard, struct mv_err *err)
{
	struct mv_peer_msg hello, mine = {
		.type = MV_PEER_HELLO, .version = MV_PEER_VERSION, .role = MV_PEER_DESTINATION,
	};
	int rc = mv_peer_recv(a->io, &hello, MV_PEER_HELLO, MV_PEER_HELLO, err);
	uint32_t version = hello.version, role = hello.role;

	mv_peer_msg_finish(&hello);
	if (rc)
		return rc;
	*heard = true;
	if (role != MV_PEER_SOURCE)
		return mv_err_set(err, MV_E_INPUT, "%s is no source of a migration", a->io->peer);
	/* Even to a source of another version: it can read this much, and say what is wrong. */
	memcpy(mine.producer, "minivmm", sizeof("minivmm"));
	rc = say(a, mine, err);
	if (rc == 0 && version != MV_PEER_VERSION)
		rc = mv_err_set(err, MV_E_INPUT, "%s speaks version %u of the migration protocol,"
				" this program %u", a->io->peer, version, MV_PEER_VERSION);
	return rc;
}

static int refuse(struct arrival *a, struct mv_live_refusal *r, struct mv_err *err)
{
	struct mv_peer_msg m = { .type = MV_PEER_REFUSE, .text = r->text, .json = r->json };

	/* A report beyond all bounds is cut to none rather than to something that misleads. */
	if (m.text && strlen(m.text) > MV_PEER_MAX_REPORT)
		m.text = NULL;
	if (m.json && strlen(m.json) > MV_PEER_MAX_REPORT)
		m.json = NULL;
	if (mv_peer_send(a->io, &m, NULL) == 0)
		mv_io_drain(a->io, DRAIN_MS);
	return mv_err_set(err, MV_E_REFUSED, "this host is incompatible with the VM");
}

/* The static part, the verdict, and the machine if it may come. */
static int admit(struct arrival *a, struct mv_err *err)
{
	struct mv_live_refusal r = { 0 };
	struct mv_peer_msg yes = { .type = MV_PEER_ACCEPT };
	int rc;

	a->rs = (struct mv_records){ .config = &a->st->config, .policy = &a->st->policy,
				     .state = &a->state };
	rc = mv_stream_begin_live(&a->stream, a->io->peer, read_io, a->io, err);
	if (rc == 0)
		rc = mv_stream_read_until(&a->stream, &a->rs, MV_REC_STATIC_END, err);
	if (rc == 0)
		rc = a->dst->judge(a->dst->ctx, a->st, &r, err);
	if (rc == -MV_E_REFUSED)
		rc = refuse(a, &r, err);
	free(r.text);
	free(r.json);
	if (rc == 0)
		rc = mv_state_init(&a->state, a->st->config.nvcpus, err);
	if (rc == 0)
		rc = a->dst->create(a->dst->ctx, a->st, &a->rs.ram, &yes.load_ns, err);
	return rc ? rc : say(a, yes, err);
}

/* Rounds of pages, then everything else. */
static int take(struct arrival *a, struct mv_err *err)
{
	struct mv_peer_msg done = { .type = MV_PEER_ROUND };
	struct mv_record r;
	int rc;

	for (;;) {
		rc = mv_stream_next(&a->stream, &r, err);
		if (rc == 0)
			rc = mv_stream_decode(&a->stream, &r, &a->rs, err);
		if (rc || r.type != MV_REC_MEMORY_PAGES)
			break;
		if (!a->rs.round_over)
			continue;
		done.round++;
		done.pages = a->rs.pages;
		rc = say(a, done, err);
		if (rc)
			break;
	}
	if (rc == 0)
		rc = mv_stream_read_until(&a->stream, &a->rs, MV_REC_END, err);
	return rc ? rc : a->dst->load(a->dst->ctx, &a->state, err);
}

/* Everything is here. Whether it may run is the source's word alone. */
static int await_go(struct arrival *a, struct mv_err *err)
{
	struct mv_peer_msg go, ready = { .type = MV_PEER_READY, .records = a->stream.nrecords };
	int rc = say(a, ready, err);

	if (rc)
		return rc;
	rc = mv_peer_recv(a->io, &go, MV_PEER_GO, MV_PEER_GO, err);
	if (rc == 0 && go.records != a->stream.nrecords)
		rc = mv_err_set(err, MV_E_INPUT, "%s: GO is for another stream", a->io->peer);
	mv_peer_msg_finish(&go);
	return rc;
}

int mv_live_receive(const struct mv_live_dst *dst, struct mv_io *io, struct mv_static *st,
		    bool *heard, struct mv_err *err)
{
	struct arrival a = { .dst = dst, .io = io, .st = st };
	struct mv_err why = { 0 };
	int rc = greet(&a, heard, &why);

	if (rc == 0)
		rc = admit(&a, &why);
	if (rc == 0)
		rc = take(&a, &why);
	if (rc == 0)
		rc = await_go(&a, &why);
	if (rc == 0)
		rc = dst->run(dst->ctx, &why);
	if (rc) {
		/* Not to strangers: who did not greet has no use for it. */
		if (*heard && rc != -MV_E_REFUSED)
			say_failed(&a, &why);
		dst->discard(dst->ctx);
	} else {
		/* If this gets lost the source stays halted and says so; the guest runs here. */
		say(&a, (struct mv_peer_msg){ .type = MV_PEER_RUNNING }, NULL);
	}
	mv_stream_finish(&a.stream);
	mv_state_finish(&a.state);
	if (rc && err && !err->code)
		*err = why;
	return rc;
}
