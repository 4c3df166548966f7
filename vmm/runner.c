/* SPDX-License-Identifier: MIT */
#include "runner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "control.h"
#include "disk.h"
#include "mig_ops.h"
#include "save.h"

#define CLAIM_MS 200	/* between two tries to get a name that is taken */

struct runner {
	struct mv_vm *vm;
	const struct mv_run_opts *opts;
	struct mv_run_result *result;
	struct mv_control control;
	int signal_fd, timer_fd;
	bool paused;	/* by a user: only a user resumes it */
	bool synced;	/* the first sync point is behind it */
	bool done;
	struct mv_move *move;	/* a migration goes on; the guest is its to halt and resume */
	int mover;		/* the client that asked for it; -1: nobody */
	char note[MV_ADDR_TEXT + 128];	/* why it is paused, if nobody paused it */
};

static void end(struct runner *r, enum mv_run_end how)
{
	r->result->end = how;
	r->done = true;
}

static int save(struct runner *r, const char *path, bool compress, struct mv_err *err)
{
	int rc = mv_vm_save(r->vm, path, compress, err);

	if (rc == 0)
		snprintf(r->result->saved, sizeof(r->result->saved), "%s", path);
	return rc;
}

/* ---- the guest's events ---- */

/* A guest that can't be saved goes on: it did nothing wrong. */
static void on_sync(struct runner *r)
{
	if (r->opts->snapshot_on_sync && !r->synced) {
		int rc = save(r, r->opts->snapshot_on_sync, false, &r->result->not_saved);

		r->synced = true;
		if (rc == 0 && r->opts->stop_after_sync) {
			end(r, MV_END_SAVED);
			return;
		}
	}
	if (!r->paused)
		mv_vm_resume(r->vm);
}

/* 1: there was one, 0: there was none. */
static int on_event(struct runner *r, struct mv_err *err)
{
	struct mv_event e;

	if (!mv_vm_take_event(r->vm, &e))
		return 0;
	switch (e.kind) {
	case MV_EVENT_SYNC:
		on_sync(r);
		return 1;
	case MV_EVENT_EXIT:
		r->result->value = e.value;
		end(r, MV_END_EXIT);
		return 1;
	case MV_EVENT_CRASH:
		r->result->event = e;
		end(r, MV_END_CRASH);
		return 1;
	default:
		*err = e.err;
		if (!err->code)
			err->code = MV_E_FAILED;
		return -err->code;
	}
}

/* ---- requests ---- */

static void set_paused(struct runner *r, bool paused)
{
	if (paused)
		mv_vm_pause(r->vm);
	else
		mv_vm_resume(r->vm);
	r->paused = paused;
	*r->note = '\0';
}

static const char *string_member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

static void add_string(struct json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

static void add_error(struct json_object *reply, const struct mv_err *err)
{
	char text[sizeof(err->file) + sizeof(err->msg) + 2];

	snprintf(text, sizeof(text), "%s%s%s", err->file, *err->file ? ": " : "", err->msg);
	add_string(reply, "error", text);
	if (*err->hint)
		add_string(reply, "hint", err->hint);
}

static void add_number(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_int64((int64_t)value));
}

static void add_ms(struct json_object *o, const char *name, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", (double)ns / 1e6);
	json_object_object_add(o, name, json_object_new_double_s((double)ns / 1e6, text));
}

static struct json_object *progress_json(const struct mv_live_progress *p)
{
	struct json_object *o = json_object_new_object();

	add_string(o, "phase", p->phase);
	add_number(o, "processed", p->processed);
	add_number(o, "remaining", p->remaining);
	add_number(o, "total", p->total);
	add_number(o, "iteration", p->iteration);
	add_number(o, "dirty-rate", p->dirty_rate);
	add_number(o, "bandwidth", p->bandwidth);
	add_ms(o, "downtime", p->downtime_ns);
	add_ms(o, "elapsed", p->elapsed_ns);
	add_number(o, "throttle", p->throttle);
	return o;
}

static void status(struct runner *r, struct json_object *reply)
{
	struct mv_live_progress p;

	const struct mv_static *st = r->vm->st;

	add_string(reply, "name", st->config.name);
	add_string(reply, "state", r->move ? "moving" : r->paused ? "paused" : "running");
	if (*r->note)
		add_string(reply, "note", r->note);
	add_string(reply, "image", st->config.image);
	add_string(reply, "guest-os", st->policy.guest_os);
	add_string(reply, "intercept", mv_intercept_name((enum mv_intercept)st->policy.intercept));
	add_number(reply, "memory", st->config.ram_size);
	add_number(reply, "cpus", st->config.nvcpus);
	add_number(reply, "pid", (uint64_t)getpid());
	if (r->move) {
		mv_move_progress(r->move, &p);
		json_object_object_add(reply, "migration", progress_json(&p));
	}
}

/* After a move of which nobody knows how it ended, the other side may have the disks. */
static void resume(struct runner *r, struct json_object *reply)
{
	struct mv_err err = { 0 };

	if (r->vm->disks_let_go && mv_vm_claim_disks(r->vm, &err))
		add_error(reply, &err);
	else
		set_paused(r, false);
}

/* Pause, save, go on or stop; the request's own failure is the requester's to hear. */
static void snapshot(struct runner *r, struct json_object *request, struct json_object *reply)
{
	const char *file = string_member(request, "file");
	struct json_object *stop = NULL, *compress = NULL;
	struct mv_err err = { 0 };

	if (*file != '/') {
		add_string(reply, "error", "an absolute file name is needed");
		return;
	}
	/* What takes long and can be done while it runs, first. */
	if (!r->paused && mv_vm_before_save(r->vm, &err)) {
		add_error(reply, &err);
		return;
	}
	mv_vm_pause(r->vm);
	json_object_object_get_ex(request, "compress", &compress);
	if (save(r, file, json_object_get_boolean(compress), &err)) {
		add_error(reply, &err);
	} else if (json_object_object_get_ex(request, "stop", &stop) && json_object_get_boolean(stop)) {
		end(r, MV_END_SAVED);
	}
	if (!r->done && !r->paused)
		mv_vm_resume(r->vm);
}

/* ---- migration ---- */

/* A number of the request, if it is there; false if it is none, or beyond limits. */
static bool number_member(struct json_object *o, const char *name, int64_t max, uint64_t *out)
{
	struct json_object *v = NULL;
	int64_t n;

	if (!json_object_object_get_ex(o, name, &v))
		return true;
	n = json_object_get_int64(v);
	if (!json_object_is_type(v, json_type_int) || n < 0 || n > max)
		return false;
	*out = (uint64_t)n;
	return true;
}

/* A string of the request, "" if it is not there; false if it does not fit. */
static bool copy_member(char *to, size_t size, struct json_object *o, const char *name)
{
	const char *s = string_member(o, name);

	return (size_t)snprintf(to, size, "%s", s) < size;
}

static int move_opts(struct mv_move_opts *opts, struct json_object *request, struct mv_err *err)
{
	uint64_t downtime = MV_LIVE_DOWNTIME_MS, rounds = MV_LIVE_MAX_ROUNDS, timeout = 0;
	uint64_t bandwidth = 0, peer = MV_PEER_TIMEOUT_MS, throttle = 0;
	const char *on_timeout = string_member(request, "on-timeout");
	struct json_object *insecure = NULL;
	int rc = mv_addr_parse(&opts->to, string_member(request, "to"), err);

	if (rc)
		return rc;
	if (!number_member(request, "downtime-ms", INT32_MAX, &downtime) ||
	    !number_member(request, "max-rounds", INT32_MAX, &rounds) ||
	    !number_member(request, "timeout-ms", INT64_C(1) << 40, &timeout) ||
	    !number_member(request, "peer-timeout-ms", INT32_MAX, &peer) ||
	    !number_member(request, "throttle", MV_LIVE_THROTTLE_MOST, &throttle) ||
	    !number_member(request, "bandwidth", INT64_MAX, &bandwidth))
		return mv_err_set(err, MV_E_USAGE, "a number of the request makes no sense");
	if (*on_timeout && strcmp(on_timeout, "cancel") && strcmp(on_timeout, "stop"))
		return mv_err_set(err, MV_E_USAGE, "on-timeout is cancel or stop");
	json_object_object_get_ex(request, "insecure", &insecure);
	opts->insecure = json_object_get_boolean(insecure);
	if (!copy_member(opts->tls_dir, sizeof(opts->tls_dir), request, "tls-dir") ||
	    !copy_member(opts->tls_hostname, sizeof(opts->tls_hostname), request, "tls-hostname"))
		return mv_err_set(err, MV_E_USAGE, "a text of the request is too long");
	if (*opts->tls_dir && opts->insecure)
		return mv_err_set(err, MV_E_USAGE, "insecure and tls-dir contradict each other");
	if (*opts->tls_dir && !opts->to.tcp && !*opts->tls_hostname) {
		mv_err_set(err, MV_E_USAGE, "over a Unix socket TLS has no host's name to check");
		mv_err_hint(err, "--tls-hostname: whose certificate the destination has to show");
		return -MV_E_USAGE;
	}
	opts->peer_timeout_ms = (uint32_t)(peer ? peer : 1);
	opts->live = (struct mv_live_opts){
		.downtime_ms = (uint32_t)downtime, .max_rounds = (uint32_t)(rounds ? rounds : 1),
		.timeout_ms = timeout, .bandwidth = bandwidth, .throttle_max = (uint32_t)throttle,
		.on_timeout = strcmp(on_timeout, "stop") ? MV_LIVE_CANCEL : MV_LIVE_STOP,
	};
	return 0;
}

static void migrate(struct runner *r, unsigned client, struct json_object *request,
		    struct json_object *reply)
{
	struct mv_move_opts opts;
	struct mv_err err = { 0 };

	if (r->paused) {
		/* Nobody there would know that it is to stay paused. */
		add_string(reply, "error", "it is paused: resume it first");
		return;
	}
	if (move_opts(&opts, request, &err) || mv_move_start(&r->move, r->vm, &opts, &err)) {
		add_error(reply, &err);
		return;
	}
	r->mover = (int)client;
	r->control.client[client].keep = true;
}

static void cancel(struct runner *r, struct json_object *reply)
{
	if (!r->move)
		add_string(reply, "error", "it is not being migrated");
	else if (!mv_move_cancel(r->move))
		add_string(reply, "error", "too late: the destination may be running it");
}

/* Who asked for a migration and goes away has given it up. */
static void check_mover(struct runner *r)
{
	if (r->mover < 0 || r->control.client[r->mover].fd >= 0)
		return;
	r->mover = -1;
	if (r->move)
		mv_move_cancel(r->move);
}

static void tell_mover(struct runner *r, struct json_object *o)
{
	if (r->mover < 0) {
		json_object_put(o);
		return;
	}
	mv_control_reply(&r->control, (unsigned)r->mover, o);
	check_mover(r);
}

static void tell_progress(struct runner *r)
{
	struct json_object *o = json_object_new_object();
	struct mv_live_progress p;

	mv_move_progress(r->move, &p);
	json_object_object_add(o, "progress", progress_json(&p));
	tell_mover(r, o);
}

static void tell_result(struct runner *r, const struct mv_live_result *result, const char *to)
{
	static const char *const ends[] = { "moved", "refused", "failed", "unconfirmed" };
	struct json_object *o = json_object_new_object();

	add_string(o, "end", ends[result->end]);
	add_string(o, "to", to);
	if (result->end != MV_LIVE_MOVED)
		add_error(o, &result->err);
	json_object_object_add(o, "ended", json_object_new_boolean(r->done));
	if (result->refusal.text)
		add_string(o, "report", result->refusal.text);
	if (result->refusal.json)
		add_string(o, "verdict", result->refusal.json);
	if (result->progress.phase)
		json_object_object_add(o, "progress", progress_json(&result->progress));
	tell_mover(r, o);
}

/* It ended, or is made to. */
static void finish_move(struct runner *r)
{
	struct mv_live_result result;
	char to[MV_ADDR_TEXT];

	mv_addr_format(mv_move_to(r->move), to);
	mv_move_finish(r->move, &result);
	r->move = NULL;
	if (r->done && result.end == MV_LIVE_FAILED) {
		result.err = (struct mv_err){ 0 };
		mv_err_set(&result.err, MV_E_FAILED, "the VM ended meanwhile");
	}
	if (result.end == MV_LIVE_MOVED) {
		memcpy(r->result->moved_to, to, sizeof(to));
		end(r, MV_END_MOVED);
	} else if (result.end == MV_LIVE_UNCONFIRMED) {
		r->paused = true;
		snprintf(r->note, sizeof(r->note), "it may be running at %s: if it is, stop this one; "
						   "if it is not, resume it", to);
	}
	tell_result(r, &result, to);
	mv_live_result_finish(&result);
	if (r->mover >= 0)
		r->control.client[r->mover].keep = false;
	r->mover = -1;
}

/* Halted means: and no event waits. A guest that ended can't be moved. */
static int halt_for_move(struct runner *r, struct mv_err *err)
{
	int rc;

	do {
		mv_vm_pause(r->vm);
		rc = on_event(r, err);
	} while (rc > 0 && !r->done);
	mv_move_answer(r->move, rc == 0);
	return rc;
}

static int on_move(struct runner *r, struct mv_err *err)
{
	int rc = 0;

	switch (mv_move_wants(r->move)) {
	case MV_MOVE_HALT:
		rc = halt_for_move(r, err);
		break;
	case MV_MOVE_RESUME:
		mv_vm_resume(r->vm);
		mv_move_answer(r->move, true);
		break;
	case MV_MOVE_OVER:
		finish_move(r);
		break;
	default:
		tell_progress(r);
	}
	return rc;
}

static void on_request(struct runner *r, unsigned client)
{
	struct json_object *request = mv_control_next(&r->control, client), *reply;
	const char *cmd;

	check_mover(r);
	if (!request)
		return;
	cmd = string_member(request, "command");
	reply = json_object_new_object();
	if (!strcmp(cmd, "status"))
		status(r, reply);
	else if (!strcmp(cmd, "stop"))
		end(r, MV_END_STOPPED);
	else if (!strcmp(cmd, "cancel"))
		cancel(r, reply);
	else if (r->move)
		add_string(reply, "error", "it is being migrated (migrate --cancel ends that)");
	else if (!strcmp(cmd, "pause"))
		set_paused(r, true);
	else if (!strcmp(cmd, "resume"))
		resume(r, reply);
	else if (!strcmp(cmd, "snapshot"))
		snapshot(r, request, reply);
	else if (!strcmp(cmd, "migrate"))
		migrate(r, client, request, reply);
	else
		add_string(reply, "error", "unknown command");
	if (json_object_object_length(reply) == 0)
		json_object_object_add(reply, "ok", json_object_new_boolean(1));
	mv_control_reply(&r->control, client, reply);
	check_mover(r);
	json_object_put(request);
}

/* ---- set-up and loop ---- */

static int open_signals(struct mv_err *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd >= 0 ? fd : mv_err_set(err, MV_E_FAILED, "signalfd: %s", strerror(errno));
}

static int open_timer(double seconds, struct mv_err *err)
{
	struct itimerspec t = { 0 };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	if (fd < 0)
		return mv_err_set(err, MV_E_FAILED, "timerfd: %s", strerror(errno));
	t.it_value.tv_sec = (time_t)seconds;
	/* Not 0 altogether: that would mean never. */
	t.it_value.tv_nsec = (long)((seconds - (double)t.it_value.tv_sec) * 1e9) | 1;
	timerfd_settime(fd, 0, &t, NULL);
	return fd;
}

/* Received from this very machine, a VM gets its name once the source has let go of it. */
static int claim(struct runner *r)
{
	if (!r->opts->name || !r->opts->started || r->control.listen_fd >= 0)
		return -1;
	return mv_control_open(&r->control, r->opts->name, NULL) ? CLAIM_MS : -1;
}

#define CLIENTS 5	/* in what is polled, where they begin */

static int loop(struct runner *r, struct mv_err *err)
{
	while (!r->done) {
		int rc = 0, wait = claim(r);
		struct pollfd p[CLIENTS + MV_CONTROL_CLIENTS] = {
			{ .fd = r->vm->event_fd, .events = POLLIN },
			{ .fd = r->signal_fd, .events = POLLIN },
			{ .fd = r->timer_fd, .events = POLLIN },
			{ .fd = r->control.listen_fd, .events = POLLIN },
			{ .fd = r->move ? mv_move_fd(r->move) : -1, .events = POLLIN },
		};
		struct signalfd_siginfo si;

		for (unsigned i = 0; i < MV_CONTROL_CLIENTS; i++)
			p[CLIENTS + i] = (struct pollfd){ .fd = r->control.client[i].fd,
							  .events = POLLIN };
		if (poll(p, sizeof(p) / sizeof(p[0]), wait) < 0) {
			if (errno == EINTR)
				continue;
			return mv_err_set(err, MV_E_FAILED, "poll: %s", strerror(errno));
		}
		/* What the guest said first comes first. */
		if (p[0].revents)
			rc = on_event(r, err);
		if (rc >= 0 && !r->done && p[4].revents)
			rc = on_move(r, err);
		if (rc < 0)
			return rc;
		if (!r->done && p[1].revents && read(r->signal_fd, &si, sizeof(si)) == sizeof(si)) {
			r->result->signal = (int)si.ssi_signo;
			end(r, MV_END_STOPPED);
		}
		if (!r->done && p[2].revents)
			end(r, MV_END_TIMEOUT);
		/* Requests before new connections: those may take an old one's place. */
		for (unsigned i = 0; i < MV_CONTROL_CLIENTS && !r->done; i++)
			if (p[CLIENTS + i].revents)
				on_request(r, i);
		if (!r->done && p[3].revents)
			mv_control_accept(&r->control);
	}
	return 0;
}

int mv_run(struct mv_vm *vm, const struct mv_run_opts *opts, struct mv_run_result *result,
	   struct mv_err *err)
{
	struct runner r = {
		.vm = vm, .opts = opts, .result = result,
		.signal_fd = -1, .timer_fd = -1, .mover = -1,
	};
	int rc = 0;

	memset(result, 0, sizeof(*result));
	mv_control_init(&r.control);
	/* A guest that runs already is not lost for the lack of a socket: the loop claims one. */
	if (opts->name && !opts->started) {
		rc = mv_control_open(&r.control, opts->name, opts->name_required ? err : NULL);
		if (rc && opts->name_required)
			return rc;
	}
	rc = r.signal_fd = open_signals(err);
	if (rc >= 0 && opts->timeout_s > 0)
		rc = r.timer_fd = open_timer(opts->timeout_s, err);
	if (rc >= 0 && !opts->started)
		rc = mv_vm_start(vm, err);
	if (rc >= 0)
		rc = loop(&r, err);
	/* Whatever happened: nothing runs when this returns. */
	mv_vm_pause(vm);
	if (r.move)
		finish_move(&r);
	mv_control_close(&r.control);
	if (r.signal_fd >= 0)
		close(r.signal_fd);
	if (r.timer_fd >= 0)
		close(r.timer_fd);
	return rc < 0 ? rc : 0;
}
