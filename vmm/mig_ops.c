/* SPDX-License-Identifier: MIT */
#include "mig_ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dirty.h"
#include "disk.h"
#include "guest-tests/abi.h"
#include "lazy.h"
#include "ram.h"
#include "thread.h"
#include "tls.h"

#define SLICE_NS UINT64_C(5000000)	/* how long a throttled guest runs at a time */
#define NEWS_NS UINT64_C(100000000)	/* how often progress is worth a word */

struct mv_move {
	struct mv_vm *vm;
	struct mv_move_opts opts;
	struct mv_dirty dirty;
	struct mv_live_result result;	/* the thread's until it is over */
	pthread_t thread;
	int event_fd, cancel_fd;	/* for the keeper; for the thread */

	pthread_mutex_t lock;
	pthread_cond_t answered;
	enum mv_move_want want;		/* under lock, like all that follows */
	bool done;			/* the answer */
	bool cancelled, committed, over;
	bool abandoned;			/* nobody answers any more */
	struct mv_live_progress progress;
	uint64_t news_ns;

	pthread_t throttler;		/* the mover's own; runs while percent is not 0 */
	pthread_cond_t throttled;
	uint32_t percent;		/* under lock */
};

/* ---- the operations ---- */

static uint64_t op_now(void *ctx)
{
	(void)ctx;
	return mv_io_now_ns();
}

static int op_log_start(void *ctx, struct mv_err *err)
{
	struct mv_move *m = ctx;

	return mv_dirty_start(&m->dirty, m->vm, err);
}

static int op_log_fetch(void *ctx, uint64_t *bitmap, struct mv_err *err)
{
	struct mv_move *m = ctx;

	return mv_dirty_fetch(&m->dirty, bitmap, err);
}

static int op_log_clear(void *ctx, const uint64_t *bitmap, uint64_t first, uint64_t n,
			struct mv_err *err)
{
	struct mv_move *m = ctx;

	return mv_dirty_clear(&m->dirty, bitmap, first, n, err);
}

static void op_log_stop(void *ctx)
{
	struct mv_move *m = ctx;

	mv_dirty_stop(&m->dirty);
}

/* The first site that does not end before gpa. */
static uint32_t first_site(const struct mv_sites *s, uint64_t gpa)
{
	uint32_t lo = 0, hi = s->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (s->gpa[mid] + 2 <= gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * The guest's own bytes in place of the VMM's port writes. A site that holds something else now was
 * overwritten by the guest: what it wrote is what it gets. A site may lie across two pages.
 */
static void restore_sites(const struct mv_vm *vm, uint64_t gpa, uint8_t *page)
{
	const struct mv_sites *s = &vm->sites;

	for (uint32_t i = first_site(s, gpa); i < s->n && s->gpa[i] < gpa + MV_PAGE_SIZE; i++) {
		const uint8_t *now = vm->ram + mv_ram_pos(s->gpa[i]);
		uint64_t at = s->gpa[i] - gpa;	/* wraps for the one byte before the page */

		if (now[0] != MV_OPCODE_OUT_IMM8_EAX || now[1] != MV_PORT_CPUID)
			continue;
		if (at < MV_PAGE_SIZE)
			page[at] = MV_OPCODE_CPUID_0;
		if (at + 1 < MV_PAGE_SIZE)
			page[at + 1] = MV_OPCODE_CPUID_1;
	}
}

static void op_read_page(void *ctx, uint64_t pos, uint8_t *buf)
{
	struct mv_move *m = ctx;

	memcpy(buf, m->vm->ram + pos, MV_PAGE_SIZE);
	if (m->vm->patched)
		restore_sites(m->vm, mv_ram_gpa(pos), buf);
}

/* Ask the keeper, and wait until it has answered. */
static bool ask(struct mv_move *m, enum mv_move_want want)
{
	bool done;

	pthread_mutex_lock(&m->lock);
	m->want = want;
	mv_thread_wake(m->event_fd);
	while (m->want == want && !m->abandoned)
		pthread_cond_wait(&m->answered, &m->lock);
	done = m->want != want && m->done;
	m->want = MV_MOVE_NEWS;
	pthread_mutex_unlock(&m->lock);
	return done;
}

static int op_stop(void *ctx, struct mv_err *err)
{
	return ask(ctx, MV_MOVE_HALT) ? 0 : mv_err_set(err, MV_E_FAILED, "the guest ended");
}

static void op_go_on(void *ctx)
{
	ask(ctx, MV_MOVE_RESUME);
}

static int op_get_state(void *ctx, struct mv_state *state, struct mv_err *err)
{
	struct mv_move *m = ctx;

	return mv_vm_get_state(m->vm, state, err);
}

/* Wait under lock for ns, unless throttling ends before. */
static void wait_throttled(struct mv_move *m, uint64_t ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	ns += (uint64_t)t.tv_nsec;
	t.tv_sec += (time_t)(ns / 1000000000);
	t.tv_nsec = (long)(ns % 1000000000);
	while (m->percent && pthread_cond_timedwait(&m->throttled, &m->lock, &t) == 0)
		;
}

static void *throttle_main(void *arg)
{
	struct mv_move *m = arg;
	uint64_t rest;

	pthread_mutex_lock(&m->lock);
	while (m->percent) {
		rest = SLICE_NS * m->percent / (100 - m->percent);
		mv_vm_rest(m->vm, rest);
		wait_throttled(m, rest + SLICE_NS);
	}
	mv_vm_rest(m->vm, 0);
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

static void op_throttle(void *ctx, uint32_t percent)
{
	struct mv_move *m = ctx;
	bool ran = m->percent, runs = percent;

	pthread_mutex_lock(&m->lock);
	m->percent = percent;
	pthread_cond_broadcast(&m->throttled);
	pthread_mutex_unlock(&m->lock);
	if (ran && !runs)
		pthread_join(m->throttler, NULL);
	/* Without the thread the guest is not slowed down, and the rounds go on as they would. */
	if (!ran && runs && mv_thread_start(&m->throttler, throttle_main, m, 0))
		m->percent = 0;
}

static int op_commit(void *ctx, struct mv_err *err)
{
	struct mv_move *m = ctx;
	int rc = 0;

	pthread_mutex_lock(&m->lock);
	if (m->cancelled)
		rc = mv_err_set(err, MV_E_FAILED, MV_CANCELLED);
	else
		m->committed = true;
	pthread_mutex_unlock(&m->lock);
	/* The destination takes them before it runs the guest. */
	if (rc == 0)
		mv_vm_let_disks_go(m->vm);
	return rc;
}

static void op_progress(void *ctx, const struct mv_live_progress *p)
{
	struct mv_move *m = ctx;
	uint64_t now = mv_io_now_ns();
	bool halted = !strcmp(p->phase, "stopped");

	pthread_mutex_lock(&m->lock);
	if (p->phase != m->progress.phase || now - m->news_ns >= NEWS_NS) {
		/* Who watches would be woken at the expense of a guest just halted: only if it takes long. */
		if (p->phase == m->progress.phase || !halted)
			mv_thread_wake(m->event_fd);
		m->news_ns = now;
	}
	m->progress = *p;
	pthread_mutex_unlock(&m->lock);
}

static const struct mv_live_src ops = {
	.now = op_now,
	.log_start = op_log_start,
	.log_fetch = op_log_fetch,
	.log_clear = op_log_clear,
	.log_stop = op_log_stop,
	.read_page = op_read_page,
	.stop = op_stop,
	.go_on = op_go_on,
	.get_state = op_get_state,
	.throttle = op_throttle,
	.commit = op_commit,
	.progress = op_progress,
};

/* ---- the thread ---- */

/* Over a connection that stands, encrypted if there is tls. */
static void converse(struct mv_move *m, int fd, struct mv_tls *tls)
{
	const char *host = *m->opts.tls_hostname ? m->opts.tls_hostname : m->opts.to.host;
	struct mv_tls_session *session = NULL;
	struct mv_live_src src = ops;
	char peer[MV_ADDR_TEXT];
	struct mv_io io;
	int rc = 0;

	src.ctx = m;
	mv_addr_format(&m->opts.to, peer);
	mv_io_socket(&io, fd, peer, (int)m->opts.peer_timeout_ms);
	io.cancel_fd = m->cancel_fd;
	if (tls)
		rc = mv_tls_start(&session, tls, &io, host, &m->result.err);
	if (rc == 0)
		mv_live_send(&src, &io, m->vm->st, &m->opts.live, &m->result);
	mv_tls_end(session);
}

static void *move_main(void *arg)
{
	struct mv_move *m = arg;
	struct mv_tls *tls = NULL;
	int fd, rc = 0;

	m->result.end = MV_LIVE_FAILED;
	/* Before there is anybody who would take the time it needs for the end: from here on all of it is read. */
	rc = mv_lazy_finish(m->vm->lazy, &m->cancelled, &m->result.err);
	if (rc == 0 && *m->opts.tls_dir)
		rc = mv_tls_open(&tls, m->opts.tls_dir, MV_TLS_CLIENT, &m->result.err);
	fd = rc ? rc : mv_net_connect(&m->opts.to, m->opts.insecure || tls,
				      (int)m->opts.peer_timeout_ms, m->cancel_fd, &m->result.err);
	if (fd >= 0) {
		converse(m, fd, tls);
		close(fd);
	}
	mv_tls_close(tls);
	pthread_mutex_lock(&m->lock);
	m->over = true;
	mv_thread_wake(m->event_fd);
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

static void release(struct mv_move *m)
{
	if (m->event_fd >= 0)
		close(m->event_fd);
	if (m->cancel_fd >= 0)
		close(m->cancel_fd);
	pthread_cond_destroy(&m->answered);
	pthread_cond_destroy(&m->throttled);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

int mv_move_start(struct mv_move **out, struct mv_vm *vm, const struct mv_move_opts *opts,
		  struct mv_err *err)
{
	int rc = mv_vm_check_savable(vm, err);
	struct mv_move *m = rc == 0 ? calloc(1, sizeof(*m)) : NULL;
	pthread_condattr_t steady;

	*out = NULL;
	if (rc)
		return rc;
	if (!m)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	m->vm = vm;
	m->opts = *opts;
	m->progress.phase = "connecting";
	m->progress.total = vm->ram_size;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->answered, NULL);
	pthread_condattr_init(&steady);
	pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
	pthread_cond_init(&m->throttled, &steady);
	pthread_condattr_destroy(&steady);
	m->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->event_fd < 0 || m->cancel_fd < 0) {
		rc = mv_err_set(err, MV_E_FAILED, "eventfd: %s", strerror(errno));
		release(m);
		return rc;
	}
	rc = mv_vm_mark_disks(vm, err);
	if (rc) {
		release(m);
		return rc;
	}
	rc = mv_thread_start(&m->thread, move_main, m, 0);
	if (rc) {
		rc = mv_err_set(err, MV_E_FAILED, "a thread to migrate: %s", strerror(rc));
		mv_vm_forget_disks(vm);
		release(m);
		return rc;
	}
	*out = m;
	return 0;
}

/* ---- for the keeper ---- */

int mv_move_fd(const struct mv_move *m)
{
	return m->event_fd;
}

const struct mv_addr *mv_move_to(const struct mv_move *m)
{
	return &m->opts.to;
}

enum mv_move_want mv_move_wants(struct mv_move *m)
{
	enum mv_move_want want;
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	if (read(m->event_fd, &n, sizeof(n)) < 0) {
		/* nothing new; the question may stand all the same */
	}
	want = m->over ? MV_MOVE_OVER : m->want;
	pthread_mutex_unlock(&m->lock);
	return want;
}

void mv_move_answer(struct mv_move *m, bool done)
{
	pthread_mutex_lock(&m->lock);
	m->want = MV_MOVE_NEWS;
	m->done = done;
	pthread_cond_broadcast(&m->answered);
	pthread_mutex_unlock(&m->lock);
}

void mv_move_progress(struct mv_move *m, struct mv_live_progress *p)
{
	pthread_mutex_lock(&m->lock);
	*p = m->progress;
	pthread_mutex_unlock(&m->lock);
}

bool mv_move_cancel(struct mv_move *m)
{
	bool can;

	pthread_mutex_lock(&m->lock);
	can = !m->committed && !m->over;
	if (can) {
		/* Read without the lock, too, where memory is. */
		__atomic_store_n(&m->cancelled, true, __ATOMIC_SEQ_CST);
		mv_thread_wake(m->cancel_fd);
	}
	pthread_mutex_unlock(&m->lock);
	return can;
}

void mv_move_finish(struct mv_move *m, struct mv_live_result *result)
{
	mv_move_cancel(m);
	pthread_mutex_lock(&m->lock);
	m->abandoned = true;
	pthread_cond_broadcast(&m->answered);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->thread, NULL);
	mv_vm_forget_disks(m->vm);
	*result = m->result;
	release(m);
}

/* ---- the destination ---- */

uint64_t mv_vm_load_time(struct mv_vm *vm)
{
	struct mv_state *state = calloc(1, sizeof(*state));
	uint64_t begin = mv_io_now_ns();
	bool ok;

	if (!state)
		return 0;
	ok = mv_vm_get_state(vm, state, NULL) == 0;
	if (ok) {
		begin = mv_io_now_ns();
		ok = mv_vm_set_state(vm, state, NULL) == 0;
		mv_state_finish(state);
	}
	free(state);
	return ok ? mv_io_now_ns() - begin : 0;
}
