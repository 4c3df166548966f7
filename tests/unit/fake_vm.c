/* SPDX-License-Identifier: MIT */
#include "fake_vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

static uint64_t next(struct fake *f)
{
	uint64_t z = f->seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* ---- who runs ---- */

static void set_runs(struct fake *f, enum side side, bool runs)
{
	pthread_mutex_lock(&f->world.lock);
	f->world.runs[side] = runs && !f->world.dead[side];
	f->world.both |= f->world.runs[SRC] && f->world.runs[DST];
	f->world.starts += side == DST && f->world.runs[DST];
	pthread_mutex_unlock(&f->world.lock);
}

static bool runs(struct fake *f, enum side side)
{
	bool r;

	pthread_mutex_lock(&f->world.lock);
	r = f->world.runs[side];
	pthread_mutex_unlock(&f->world.lock);
	return r;
}

static bool dead(struct fake *f, enum side side)
{
	bool r;

	pthread_mutex_lock(&f->world.lock);
	r = f->world.dead[side];
	pthread_mutex_unlock(&f->world.lock);
	return r;
}

static void kill_side(struct fake *f, enum side side)
{
	pthread_mutex_lock(&f->world.lock);
	f->world.dead[side] = true;
	f->world.runs[side] = false;
	pthread_mutex_unlock(&f->world.lock);
}

/* ---- the connection ---- */

static void hang_up(struct fake *f)
{
	shutdown(f->fd[SRC], SHUT_RDWR);
	shutdown(f->fd[DST], SHUT_RDWR);
}

static int64_t result_of(ssize_t n, int want, struct mv_err *err)
{
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return want;
	return mv_err_set(err, MV_E_FAILED, "%s", strerror(errno));
}

static int64_t transmit(struct fake *f, enum side side, const uint8_t *p, size_t len,
			struct mv_err *err)
{
	ssize_t n = send(f->fd[side], p, len, MSG_NOSIGNAL);
	uint8_t *copy;

	if (n > 0) {
		f->pos[side] += (uint64_t)n;
		if (f->record) {
			copy = mv_buf_grow(&f->sent[side], (size_t)n);
			cr_assert(copy);
			memcpy(copy, p, (size_t)n);
		}
	}
	return result_of(n, MV_IO_WANT_WRITE, err);
}

/* The fault's byte is next. */
static int64_t strike(struct fake *f, enum side side, const uint8_t *p, size_t len,
		      struct mv_err *err)
{
	uint8_t bad = *p ^ 0x10;

	switch (f->fault.kind) {
	case FAULT_STALL:
		/* at stays where it is, so all that follows ends up here, too. */
		return (int64_t)len;
	case FAULT_CORRUPT:
		return transmit(f, side, &bad, 1, err);
	case FAULT_KILL_SENDER:
		kill_side(f, side);
		break;
	case FAULT_KILL_RECEIVER:
		kill_side(f, !side);
		break;
	default:
		break;
	}
	hang_up(f);
	return mv_err_set(err, MV_E_FAILED, "the connection is cut");
}

static int64_t fake_send(struct mv_io *io, const void *buf, size_t len, struct mv_err *err)
{
	struct fake *f = io->ctx;
	enum side side = io == &f->io[SRC] ? SRC : DST;

	if (dead(f, side))
		return mv_err_set(err, MV_E_FAILED, "dead");
	if (f->fault.kind != FAULT_NONE && f->fault.from == side) {
		if (f->pos[side] == f->fault.at)
			return strike(f, side, buf, len, err);
		if (f->pos[side] < f->fault.at && len > f->fault.at - f->pos[side])
			len = (size_t)(f->fault.at - f->pos[side]);
	}
	return transmit(f, side, buf, len, err);
}

static int64_t fake_recv(struct mv_io *io, void *buf, size_t len, struct mv_err *err)
{
	struct fake *f = io->ctx;
	enum side side = io == &f->io[SRC] ? SRC : DST;

	if (dead(f, side))
		return mv_err_set(err, MV_E_FAILED, "dead");
	if (side == SRC && f->late_ms) {
		usleep(1000 * f->late_ms);
		f->late_ms = 0;
	}
	return result_of(recv(f->fd[side], buf, len, 0), MV_IO_WANT_READ, err);
}

static const struct mv_io_ops io_ops = { .recv = fake_recv, .send = fake_send };

static void copy_state(struct mv_state *to, const struct mv_state *from)
{
	struct mv_vcpu_state *vcpus = calloc(from->nvcpus, sizeof(*vcpus));

	cr_assert(vcpus);
	memcpy(vcpus, from->vcpus, from->nvcpus * sizeof(*vcpus));
	*to = *from;
	to->vcpus = vcpus;
}

/* ---- the source ---- */

static uint64_t op_now(void *ctx)
{
	(void)ctx;
	return mv_io_now_ns();
}

static int fails(int *count, int at, const char *what, struct mv_err *err)
{
	return ++*count == at ? mv_err_set(err, MV_E_FAILED, "%s failed", what) : 0;
}

static void write_page(struct fake *f, uint64_t page)
{
	uint64_t value = next(f);
	uint8_t *p = f->ram + page * MV_PAGE_SIZE;

	/* Now and then a page becomes zero. */
	if (value % 4 == 0)
		memset(p, 0, MV_PAGE_SIZE);
	else
		memcpy(p + value % 500 * 8, &value, sizeof(value));
	if (f->logging)
		f->dirty[page / 64] |= UINT64_C(1) << page % 64;
}

static int op_log_start(void *ctx, struct mv_err *err)
{
	struct fake *f = ctx;

	int rc = fails(&f->logs, f->fail_log, "the log", err);

	/* KVM takes no notice of a log that is on already: it would miss pages. */
	cr_expect(!f->logging);
	f->logging = rc == 0;
	memset(f->dirty, 0xff, sizeof(f->dirty));
	return rc;
}

static int op_log_fetch(void *ctx, uint64_t *bitmap, struct mv_err *err)
{
	struct fake *f = ctx;
	unsigned i;

	for (i = 0; f->fetches && i < f->writes * (100 - f->throttle) / 100 && runs(f, SRC); i++)
		write_page(f, next(f) % FAKE_PAGES);
	f->fetches++;
	for (i = 0; i < FAKE_WORDS; i++)
		bitmap[i] |= f->dirty[i];
	return fails(&f->logs, f->fail_log, "the log", err);
}

static int op_log_clear(void *ctx, const uint64_t *bitmap, uint64_t first, uint64_t n,
			struct mv_err *err)
{
	struct fake *f = ctx;

	for (; n--; first++)
		f->dirty[first] &= ~bitmap[first];
	return fails(&f->logs, f->fail_log, "the log", err);
}

static void op_log_stop(void *ctx)
{
	struct fake *f = ctx;

	f->logging = false;
}

static void op_read_page(void *ctx, uint64_t pos, uint8_t *buf)
{
	struct fake *f = ctx;

	cr_assert(pos % MV_PAGE_SIZE == 0 && pos < FAKE_RAM);
	memcpy(buf, f->ram + pos, MV_PAGE_SIZE);
	if (f->race && next(f) % f->race == 0 && runs(f, SRC))
		write_page(f, pos / MV_PAGE_SIZE);
}

static int op_stop(void *ctx, struct mv_err *err)
{
	struct fake *f = ctx;
	int rc = fails(&f->stops, f->fail_stop, "stopping", err);

	if (rc == 0)
		set_runs(f, SRC, false);
	return rc;
}

static void op_go_on(void *ctx)
{
	set_runs(ctx, SRC, true);
}

static int op_get_state(void *ctx, struct mv_state *state, struct mv_err *err)
{
	struct fake *f = ctx;
	int rc = fails(&f->states, f->fail_state, "reading the state", err);

	cr_expect(!runs(f, SRC), "the state of a running machine was read");
	if (rc == 0)
		copy_state(state, f->state);
	return rc;
}

static void op_throttle(void *ctx, uint32_t percent)
{
	struct fake *f = ctx;

	cr_expect(percent <= f->opts.throttle_max && runs(f, SRC) >= (percent > 0));
	f->throttle = percent;
	f->throttles++;
}

static int op_commit(void *ctx, struct mv_err *err)
{
	struct fake *f = ctx;

	return f->cancel_at_commit ? mv_err_set(err, MV_E_FAILED, "cancelled") : 0;
}

static void op_progress(void *ctx, const struct mv_live_progress *p)
{
	struct fake *f = ctx;

	cr_expect(p->phase && p->remaining <= p->total);
	f->news++;
}

/* ---- the destination ---- */

static int op_judge(void *ctx, struct mv_static *st, struct mv_live_refusal *r, struct mv_err *err)
{
	struct fake *f = ctx;

	cr_expect_eq(st, f->st2);
	cr_expect(!f->created);
	if (!f->refuse)
		return 0;
	r->text = strdup("CPUID level 0x1 ECX:19 (SSE4.1) …\n");
	r->json = strdup("{\"accepted\":false}");
	return mv_err_set(err, MV_E_REFUSED, "refused");
}

static int op_create(void *ctx, struct mv_static *st, uint8_t **ram, uint64_t *load_ns,
		     struct mv_err *err)
{
	struct fake *f = ctx;

	if (f->fail_create || st->config.ram_size != FAKE_RAM)
		return mv_err_set(err, MV_E_HOST, "creating failed");
	f->created = true;
	*ram = f->ram2;
	*load_ns = 1000;
	return 0;
}

static int op_load(void *ctx, const struct mv_state *state, struct mv_err *err)
{
	struct fake *f = ctx;

	if (f->fail_load)
		return mv_err_set(err, MV_E_HOST, "loading failed");
	copy_state(&f->state2, state);
	return 0;
}

static int op_run(void *ctx, struct mv_err *err)
{
	struct fake *f = ctx;

	if (f->fail_run)
		return mv_err_set(err, MV_E_FAILED, "running failed");
	set_runs(f, DST, true);
	return 0;
}

static void op_discard(void *ctx)
{
	struct fake *f = ctx;

	set_runs(f, DST, false);
	f->created = false;
}

/* ---- putting it together ---- */

void fake_init(struct fake *f, struct mv_static *st, const struct mv_state *state)
{
	uint64_t i;

	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->world.lock, NULL);
	f->fd[SRC] = f->fd[DST] = -1;
	f->st = st;
	f->st->config.ram_size = FAKE_RAM;
	f->state = mv_wire_unconst(state);
	f->st2 = calloc(1, sizeof(*f->st2));
	f->ram = calloc(1, FAKE_RAM);
	f->ram2 = calloc(1, FAKE_RAM);
	cr_assert(f->st2 && f->ram && f->ram2);
	f->seed = 7;
	for (i = 0; i < FAKE_PAGES; i++)
		if (i % 3)
			memset(f->ram + i * MV_PAGE_SIZE, (int)(i % 255) + 1, MV_PAGE_SIZE);
	f->writes = 5;
	f->race = 6;
	f->timeout_ms = 5000;
	f->opts = (struct mv_live_opts){ .downtime_ms = 300, .max_rounds = 30 };
}

void fake_finish(struct fake *f)
{
	mv_live_result_finish(&f->result);
	mv_state_finish(&f->state2);
	mv_buf_finish(&f->sent[SRC]);
	mv_buf_finish(&f->sent[DST]);
	pthread_mutex_destroy(&f->world.lock);
	free(f->st2);
	free(f->ram);
	free(f->ram2);
}

static void open_io(struct fake *f)
{
	cr_assert(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->fd));
	for (int s = SRC; s <= DST; s++)
		f->io[s] = (struct mv_io){
			.ops = &io_ops, .ctx = f, .fd = f->fd[s], .cancel_fd = -1,
			.timeout_ms = f->timeout_ms, .peer = s == SRC ? "destination" : "source",
		};
}

static void receive(struct fake *f)
{
	const struct mv_live_dst dst = {
		.ctx = f, .judge = op_judge, .create = op_create, .load = op_load, .run = op_run,
		.discard = op_discard,
	};

	f->rc = mv_live_receive(&dst, &f->io[DST], f->st2, &f->heard, &f->err);
	shutdown(f->fd[DST], SHUT_RDWR);
}

static void *source_main(void *arg)
{
	struct fake *f = arg;
	const struct mv_live_src src = {
		.ctx = f, .now = op_now, .log_start = op_log_start, .log_fetch = op_log_fetch,
		.log_clear = op_log_clear, .log_stop = op_log_stop, .read_page = op_read_page,
		.stop = op_stop, .go_on = op_go_on, .get_state = op_get_state, .throttle = op_throttle, .commit = op_commit,
		.progress = op_progress,
	};

	mv_live_send(&src, &f->io[SRC], f->st, &f->opts, &f->result);
	shutdown(f->fd[SRC], SHUT_RDWR);
	return NULL;
}

void fake_run(struct fake *f)
{
	pthread_t source;

	open_io(f);
	set_runs(f, SRC, true);
	cr_assert(!pthread_create(&source, NULL, source_main, f));
	receive(f);
	pthread_join(source, NULL);
	close(f->fd[SRC]);
	close(f->fd[DST]);
}

struct feed {
	struct fake *f;
	const uint8_t *bytes;
	size_t len;
};

static void *feed_main(void *arg)
{
	struct feed *d = arg;
	uint8_t waste[256];
	ssize_t n;

	fcntl(d->f->fd[SRC], F_SETFL, 0);
	while (d->len && (n = send(d->f->fd[SRC], d->bytes, d->len, MSG_NOSIGNAL)) > 0) {
		d->bytes += n;
		d->len -= (size_t)n;
	}
	shutdown(d->f->fd[SRC], SHUT_WR);
	while (recv(d->f->fd[SRC], waste, sizeof(waste), 0) > 0)
		;
	return NULL;
}

void fake_feed(struct fake *f, const void *bytes, size_t len)
{
	struct feed d = { f, bytes, len };
	pthread_t feeder;

	open_io(f);
	cr_assert(!pthread_create(&feeder, NULL, feed_main, &d));
	receive(f);
	pthread_join(feeder, NULL);
	close(f->fd[SRC]);
	close(f->fd[DST]);
}

static struct mv_buf encode(struct mv_static *st, struct mv_state *state)
{
	struct mv_records rs = { .config = &st->config, .policy = &st->policy, .state = state };
	struct mv_buf b = { 0 };

	cr_assert(!mv_stream_put_all(&b, &rs, MV_REC_CONFIG, MV_REC_VCPU, NULL));
	return b;
}

bool fake_same(struct fake *f)
{
	struct mv_buf a = encode(f->st, f->state), b = encode(f->st2, &f->state2);
	bool same = a.len == b.len && !memcmp(a.data, b.data, a.len) &&
		    !memcmp(f->ram, f->ram2, FAKE_RAM);

	mv_buf_finish(&a);
	mv_buf_finish(&b);
	return same;
}
