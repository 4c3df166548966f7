/* SPDX-License-Identifier: MIT */
/* The source's side of a live migration. */
#include "live.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"
#include "peer.h"
#include "stream.h"

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* Words of the bitmap that are cleared in the log at once: 4 MiB of memory. */
#define CLEAR_WORDS 16
/* Less than this says more about the way there and back than about bandwidth. */
#define LEAST_SAMPLE (UINT64_C(1) << 18)
/* How long to sleep at most before listening again. */
#define LISTEN_MS 100
/* What a page takes on the wire. */
#define PAGE_COST (MV_PAGE_SIZE + 8)

struct departure {
	const struct mv_live_src *src;
	struct mv_io *io;
	const struct mv_static *st;
	const struct mv_live_opts *opts;
	struct mv_live_progress *progress;
	struct mv_live_refusal *refusal;
	struct mv_records rs;		/* total_records counts what was sent */
	struct mv_state state;
	struct mv_pages batch;
	uint64_t *bitmap, nwords, npages;
	uint64_t start_ns, round_ns, stop_ns;
	uint64_t way_ns;		/* there and back, the shortest seen: part of round.state_ns twice */
	uint64_t round_sent;		/* io->sent when the round began */
	uint64_t pages;			/* sent so far */
	uint64_t batch_pages;		/* in a record at most */
	struct mv_live_round round;
	bool logging, stopped, committed;
};

static uint64_t now(const struct departure *d)
{
	return d->src->now(d->src->ctx);
}

static uint64_t per_second(uint64_t n, uint64_t ns)
{
	return ns ? (uint64_t)((double)n * (double)NS_PER_S / (double)ns) : 0;
}

/* ---- the decision ---- */

/* How long so many bytes take; 0 if that is not known. A hundred years are as good as for ever. */
static uint64_t ns_for(uint64_t bytes, uint64_t bandwidth)
{
	double ns = bandwidth ? (double)bytes * (double)NS_PER_S / (double)bandwidth : 0;

	return ns < 3e18 ? (uint64_t)ns : UINT64_C(3000000000000000000);
}

uint64_t mv_live_downtime(const struct mv_live_round *r)
{
	return ns_for(r->dirty * PAGE_COST, r->bandwidth) + r->state_ns;
}

enum mv_live_next mv_live_decide(const struct mv_live_opts *opts, const struct mv_live_round *r)
{
	bool late = opts->timeout_ms && r->elapsed_ns >= opts->timeout_ms * NS_PER_MS;
	bool known = r->bandwidth || !r->dirty;
	uint64_t downtime = mv_live_downtime(r);

	if (!r->rounds)
		return MV_LIVE_NEXT_ROUND;
	if (!r->dirty)
		return MV_LIVE_NEXT_STOP;
	if (r->rounds >= opts->max_rounds || late)
		return opts->on_timeout == MV_LIVE_STOP ||
		       (known && downtime <= opts->downtime_ms * NS_PER_MS)
			       ? MV_LIVE_NEXT_STOP : MV_LIVE_NEXT_GIVE_UP;
	if (!known || downtime > opts->downtime_ms * NS_PER_MS)
		return MV_LIVE_NEXT_ROUND;
	/*
	 * It may stop. As long as a round at least halves what is left, and that is what takes the
	 * time, another one is cheaper for the guest than being halted.
	 */
	if (r->dirty <= r->before / 2 && downtime - r->state_ns > r->state_ns)
		return MV_LIVE_NEXT_ROUND;
	return MV_LIVE_NEXT_STOP;
}

/* The first step, and those that follow while it is not enough. */
#define THROTTLE_FIRST 20
#define THROTTLE_STEP 10

uint32_t mv_live_throttle(const struct mv_live_opts *opts, const struct mv_live_round *r)
{
	uint32_t next = r->throttle ? r->throttle + THROTTLE_STEP : THROTTLE_FIRST;

	/* The first round sends what was there before: how the guest writes shows in the second. */
	if (r->rounds < 2 || r->dirty <= r->before / 2)
		return r->throttle;
	return next < opts->throttle_max ? next : opts->throttle_max;
}

/* ---- progress ---- */

static void tell(struct departure *d, const char *phase)
{
	struct mv_live_progress *p = d->progress;

	if (phase)
		p->phase = phase;
	p->processed = d->io->sent;
	p->elapsed_ns = now(d) - d->start_ns;
	d->src->progress(d->src->ctx, p);
}

/* ---- pages ---- */

static bool given_up(const struct departure *d)
{
	return d->opts->timeout_ms && d->opts->on_timeout == MV_LIVE_CANCEL && !d->stopped &&
	       now(d) - d->start_ns >= d->opts->timeout_ms * NS_PER_MS;
}

/* How long to wait until len more bytes are within the limit. */
static uint64_t due_ns(const struct departure *d, size_t len)
{
	uint64_t sent = d->io->sent - d->round_sent + len, spent = now(d) - d->round_ns, due;

	if (!d->opts->bandwidth || d->stopped)
		return 0;
	due = ns_for(sent, d->opts->bandwidth);
	return due > spent ? due - spent : 0;
}

/*
 * Before len bytes are sent: keep to the limit, to the time allowed, and listen. All that the
 * destination can say while it is being sent pages is that it failed.
 */
static int pace(struct departure *d, size_t len, struct mv_err *err)
{
	struct mv_peer_msg m;
	uint64_t due;
	int rc;

	do {
		if (given_up(d))
			return mv_err_set(err, MV_E_FAILED, "it took longer than %g s",
					  (double)d->opts->timeout_ms / 1e3);
		due = due_ns(d, len);
		if (due > LISTEN_MS * NS_PER_MS)
			due = LISTEN_MS * NS_PER_MS;
		rc = mv_io_pending(d->io, (int)(due / NS_PER_MS), err);
	} while (rc == 0 && due >= NS_PER_MS);
	if (rc != 1)
		return rc;
	rc = mv_peer_recv(d->io, &m, MV_PEER_FAILED, MV_PEER_FAILED, err);
	mv_peer_msg_finish(&m);
	return rc;
}

static int flush(struct departure *d, uint32_t flags, struct mv_err *err)
{
	const uint8_t *record;
	uint32_t n;
	size_t len;
	int rc;

	if (!d->batch.n && !flags)
		return 0;
	n = d->batch.n;
	record = mv_pages_seal(&d->batch, flags, &len);
	/* Before, not after: what follows the last record of a round is no surprise. */
	rc = pace(d, len, err);
	d->rs.total_records++;
	d->pages += n;
	return rc ? rc : mv_io_send(d->io, record, len, err);
}

/* The pages of one word of the bitmap. In the first round zeros are what the destination has. */
static int send_word(struct departure *d, uint64_t word, struct mv_err *err)
{
	uint64_t bits = d->bitmap[word], pos;
	uint8_t *slot;
	bool zero;
	int rc = 0;

	for (; bits && rc == 0; bits &= bits - 1) {
		pos = (word * 64 + (uint64_t)__builtin_ctzll(bits)) * MV_PAGE_SIZE;
		slot = mv_pages_slot(&d->batch);
		d->src->read_page(d->src->ctx, pos, slot);
		zero = mv_page_is_zero(slot);
		if (!zero || d->round.rounds)
			mv_pages_add(&d->batch, pos, zero);
		d->progress->remaining -= MV_PAGE_SIZE;
		if (mv_pages_full(&d->batch) || d->batch.nstored >= d->batch_pages) {
			rc = flush(d, 0, err);
			tell(d, NULL);
		}
	}
	d->bitmap[word] = 0;
	return rc;
}

/* Send all pages of the bitmap, which is empty afterwards. */
static int send_pages(struct departure *d, struct mv_err *err)
{
	uint64_t w, k, n;
	bool any;
	int rc = 0;

	for (w = 0; rc == 0 && w < d->nwords; w += n) {
		n = d->nwords - w < CLEAR_WORDS ? d->nwords - w : CLEAR_WORDS;
		for (k = 0, any = false; k < n; k++)
			any |= d->bitmap[w + k];
		/* A halted guest writes nothing that would have to be seen. */
		if (any && !d->stopped)
			rc = d->src->log_clear(d->src->ctx, d->bitmap, w, n, err);
		for (k = 0; rc == 0 && any && k < n; k++)
			rc = send_word(d, w + k, err);
	}
	return rc;
}

/* What the guest wrote since the last time joins the bitmap. */
static int fetch(struct departure *d, struct mv_err *err)
{
	int rc = d->src->log_fetch(d->src->ctx, d->bitmap, err);
	uint64_t i;

	if (rc)
		return rc;
	/* Bits beyond the last page would name memory that there is not. */
	if (d->npages % 64)
		d->bitmap[d->nwords - 1] &= (UINT64_C(1) << d->npages % 64) - 1;
	d->round.dirty = 0;
	for (i = 0; i < d->nwords; i++)
		d->round.dirty += (uint64_t)__builtin_popcountll(d->bitmap[i]);
	d->progress->remaining = d->round.dirty * MV_PAGE_SIZE;
	return 0;
}

/*
 * To READY and to RUNNING it is there and back once each. An answer may come late for many reasons, at the beginning
 * above all: the shortest one tells most about the way.
 */
static void learn_way(struct departure *d, uint64_t ns)
{
	if (ns >= d->way_ns)
		return;
	d->round.state_ns -= 2 * (d->way_ns - ns);
	d->way_ns = ns;
}

/* One round, until the destination has it: only then its time is known. */
static int send_round(struct departure *d, struct mv_err *err)
{
	struct mv_peer_msg m;
	uint64_t sent, ns, asked;
	int rc;

	d->round_ns = now(d);
	d->round_sent = d->io->sent;
	d->round.before = d->round.dirty;
	d->progress->iteration = d->round.rounds + 1;
	rc = send_pages(d, err);
	if (rc == 0)
		rc = flush(d, MV_PAGES_LAST, err);
	if (rc)
		return rc;
	asked = now(d);
	rc = mv_peer_recv(d->io, &m, MV_PEER_ROUND, MV_PEER_ROUND, err);
	if (rc == 0 && (m.round != d->round.rounds + 1 || m.pages != d->pages))
		rc = mv_err_set(err, MV_E_INPUT, "%s has %" PRIu64 " pages of %" PRIu64
				" after round %" PRIu32, d->io->peer, m.pages, d->pages, m.round);
	mv_peer_msg_finish(&m);
	if (rc)
		return rc;
	learn_way(d, now(d) - asked);
	d->round.rounds++;
	ns = now(d) - d->round_ns;
	sent = d->io->sent - d->round_sent;
	if (sent >= LEAST_SAMPLE || !d->round.bandwidth)
		d->round.bandwidth = per_second(sent, ns);
	rc = fetch(d, err);
	d->round.elapsed_ns = now(d) - d->start_ns;
	d->progress->dirty_rate = per_second(d->round.dirty, ns);
	d->progress->bandwidth = d->round.bandwidth;
	d->progress->downtime_ns = mv_live_downtime(&d->round);
	tell(d, NULL);
	return rc;
}

/* A link too slow for the guest: a guest slow enough for the link. */
static void throttle(struct departure *d, uint32_t percent)
{
	if (percent != d->round.throttle)
		d->src->throttle(d->src->ctx, percent);
	d->round.throttle = d->progress->throttle = percent;
}

static int precopy(struct departure *d, struct mv_err *err)
{
	int rc = d->src->log_start(d->src->ctx, err);

	if (rc)
		return rc;
	d->logging = true;
	tell(d, "copying");
	rc = fetch(d, err);
	while (rc == 0) {
		switch (mv_live_decide(d->opts, &d->round)) {
		case MV_LIVE_NEXT_ROUND:
			throttle(d, mv_live_throttle(d->opts, &d->round));
			rc = send_round(d, err);
			break;
		case MV_LIVE_NEXT_STOP:
			return 0;
		default:
			mv_err_set(err, MV_E_FAILED, "after %" PRIu32 " rounds in %.1f s the guest"
				   " would still have to be halted for %.0f ms, and %" PRIu32
				   " ms are allowed", d->round.rounds,
				   (double)d->round.elapsed_ns / 1e9,
				   (double)mv_live_downtime(&d->round) / 1e6, d->opts->downtime_ms);
			mv_err_hint(err, "allow more (--downtime-ms), slow the guest down "
				    "(--throttle 80), or --on-timeout stop");
			return -MV_E_FAILED;
		}
	}
	return rc;
}

/* ---- the conversation ---- */

static int say(struct departure *d, struct mv_peer_msg m, struct mv_err *err)
{
	return mv_peer_send(d->io, &m, err);
}

static int greet(struct departure *d, struct mv_err *err)
{
	struct mv_peer_msg hello, mine = {
		.type = MV_PEER_HELLO, .version = MV_PEER_VERSION, .role = MV_PEER_SOURCE,
	};
	uint64_t asked = now(d);
	int rc;

	memcpy(mine.producer, "minivmm", sizeof("minivmm"));
	rc = say(d, mine, err);
	if (rc == 0)
		rc = mv_peer_recv(d->io, &hello, MV_PEER_HELLO, MV_PEER_HELLO, err);
	if (rc)
		return rc;
	d->way_ns = now(d) - asked;
	d->round.state_ns = 2 * d->way_ns;
	if (hello.role != MV_PEER_DESTINATION)
		rc = mv_err_set(err, MV_E_INPUT, "%s does not receive VMs", d->io->peer);
	else if (hello.version != MV_PEER_VERSION)
		rc = mv_err_set(err, MV_E_INPUT, "%s speaks version %" PRIu32 " of the migration"
				" protocol, this program %u", d->io->peer, hello.version,
				MV_PEER_VERSION);
	mv_peer_msg_finish(&hello);
	return rc;
}

/* The static part, and the verdict on it. */
static int apply(struct departure *d, struct mv_err *err)
{
	const struct mv_stream_header h = {
		.major = MV_STREAM_MAJOR, .minor = MV_STREAM_MINOR, .kind = MV_STREAM_LIVE,
	};
	struct mv_buf b = { 0 };
	struct mv_peer_msg m;
	int rc = mv_stream_put_header(&b, &h, err);

	tell(d, "checking");
	if (rc == 0)
		rc = mv_stream_put_all(&b, &d->rs, MV_REC_CONFIG, MV_REC_STATIC_END, err);
	if (rc == 0)
		rc = mv_io_send(d->io, b.data, b.len, err);
	mv_buf_finish(&b);
	if (rc)
		return rc;
	rc = mv_peer_recv(d->io, &m, MV_PEER_ACCEPT, MV_PEER_REFUSE, err);
	if (rc == 0 && m.type == MV_PEER_REFUSE) {
		rc = mv_err_set(err, MV_E_REFUSED, "%s is incompatible with the VM", d->io->peer);
		d->refusal->text = m.text;
		d->refusal->json = m.json;
		m.text = m.json = NULL;
	}
	/* A destination that exaggerates only makes the guest wait: believed up to a point. */
	d->round.state_ns += m.load_ns < NS_PER_S ? m.load_ns : NS_PER_S;
	mv_peer_msg_finish(&m);
	return rc;
}

static int halt(struct departure *d, struct mv_err *err)
{
	int rc = d->src->stop(d->src->ctx, err);

	d->stopped = rc == 0;
	d->stop_ns = now(d);
	return rc;
}

static void go_on(struct departure *d)
{
	if (d->stopped)
		d->src->go_on(d->src->ctx);
	d->stopped = false;
}

/* How long does reading the state take? The guest has to be halted for it: once, shortly. */
static int rehearse(struct departure *d, struct mv_err *err)
{
	int rc = halt(d, err);

	if (rc == 0)
		rc = d->src->get_state(d->src->ctx, &d->state, err);
	go_on(d);
	d->round.state_ns += now(d) - d->stop_ns;
	mv_state_finish(&d->state);
	return rc;
}

static int send_state(struct departure *d, struct mv_err *err)
{
	struct mv_buf b = { 0 };
	int rc = d->src->get_state(d->src->ctx, &d->state, err);

	d->rs.state = &d->state;
	if (rc == 0)
		rc = mv_stream_put_all(&b, &d->rs, MV_REC_CLOCK, MV_REC_VCPU, err);
	if (rc == 0)
		rc = mv_stream_put_all(&b, &d->rs, MV_REC_END, MV_REC_END, err);
	if (rc == 0)
		rc = mv_io_send(d->io, b.data, b.len, err);
	mv_buf_finish(&b);
	return rc;
}

/* The guest is halted: the rest, READY, GO, RUNNING. */
static int hand_over(struct departure *d, struct mv_err *err)
{
	struct mv_peer_msg m, go = { .type = MV_PEER_GO };
	int rc = halt(d, err);

	if (rc)
		return rc;
	tell(d, "stopped");
	rc = fetch(d, err);
	if (rc == 0)
		rc = send_pages(d, err);
	if (rc == 0)
		rc = flush(d, 0, err);
	if (rc == 0)
		rc = send_state(d, err);
	if (rc)
		return rc;
	rc = mv_peer_recv(d->io, &m, MV_PEER_READY, MV_PEER_READY, err);
	if (rc == 0 && m.records != d->rs.total_records)
		rc = mv_err_set(err, MV_E_INPUT, "%s has %" PRIu64 " records of %" PRIu64,
				d->io->peer, m.records, d->rs.total_records);
	mv_peer_msg_finish(&m);
	if (rc == 0)
		rc = d->src->commit(d->src->ctx, err);
	if (rc)
		return rc;
	d->committed = true;
	go.records = d->rs.total_records;
	rc = say(d, go, err);
	if (rc == 0) {
		rc = mv_peer_recv(d->io, &m, MV_PEER_RUNNING, MV_PEER_RUNNING, err);
		mv_peer_msg_finish(&m);
	}
	d->progress->downtime_ns = now(d) - d->stop_ns;
	return rc;
}

static int prepare(struct departure *d, struct mv_err *err)
{
	d->npages = d->st->config.ram_size / MV_PAGE_SIZE;
	d->nwords = (d->npages + 63) / 64;
	d->progress->total = d->st->config.ram_size;
	/* Under a limit, no pause so long that the destination would take it for the end. */
	d->batch_pages = d->opts->bandwidth / 8 / MV_PAGE_SIZE;
	if (!d->opts->bandwidth || d->batch_pages > MV_PAGES_STORED)
		d->batch_pages = MV_PAGES_STORED;
	if (!d->batch_pages)
		d->batch_pages = 1;
	d->bitmap = calloc(d->nwords + 1, sizeof(*d->bitmap));
	if (!d->bitmap)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	return mv_pages_init(&d->batch, err);
}

static enum mv_live_end end_of(const struct departure *d, int rc)
{
	if (rc == 0)
		return MV_LIVE_MOVED;
	if (d->committed)
		return MV_LIVE_UNCONFIRMED;
	return rc == -MV_E_REFUSED && !d->logging ? MV_LIVE_REFUSED : MV_LIVE_FAILED;
}

void mv_live_send(const struct mv_live_src *src, struct mv_io *io, const struct mv_static *st,
		  const struct mv_live_opts *opts, struct mv_live_result *result)
{
	struct departure d = {
		.src = src, .io = io, .st = st, .opts = opts,
		.progress = &result->progress, .refusal = &result->refusal,
		.rs = { .config = mv_wire_unconst(&st->config),
			.policy = mv_wire_unconst(&st->policy) },
	};
	int rc;

	memset(result, 0, sizeof(*result));
	d.start_ns = now(&d);
	rc = prepare(&d, &result->err);
	if (rc == 0)
		tell(&d, "connecting");
	if (rc == 0)
		rc = greet(&d, &result->err);
	if (rc == 0)
		rc = apply(&d, &result->err);
	if (rc == 0)
		rc = rehearse(&d, &result->err);
	if (rc == 0)
		rc = precopy(&d, &result->err);
	if (rc == 0)
		rc = hand_over(&d, &result->err);
	result->end = end_of(&d, rc);
	throttle(&d, 0);
	/* From GO on it is not ours to resume, whatever became of the answer. */
	if (!d.committed)
		go_on(&d);
	if (rc == 0)
		tell(&d, "done");
	/* Last, as it takes its time; and always, as a guest that a person resumes may move again. */
	if (d.logging)
		src->log_stop(src->ctx);
	mv_state_finish(&d.state);
	mv_pages_finish(&d.batch);
	free(d.bitmap);
}

void mv_live_result_finish(struct mv_live_result *result)
{
	free(result->refusal.text);
	free(result->refusal.json);
	result->refusal = (struct mv_live_refusal){ 0 };
}
