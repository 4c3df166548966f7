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
#include "control_json.h"
#include "disk.h"
#include "mig_ops.h"
#include "save.h"
#include "saving.h"

#define CLAIM_MS 200	/* between two tries to get a name that is taken */
#define PATIENCE 15	/* tries, until it is said to be taken */

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
	struct mv_saving *saving;	/* the guest is being saved */
	bool held;		/* … and halted for that */
	bool save_stops;	/* … and it ends then */
	bool save_of_sync;	/* … because of its sync point, at which it is halted */
	bool sync_waits;	/* it came to its sync point, and stays there, while it was being saved or moved */
	unsigned claims;	/* how often it tried in vain to get its name */
	int asker;		/* the client that asked for a migration or a snapshot; -1: nobody */
	char note[MV_ADDR_TEXT + 128];	/* why it is paused, if nobody paused it */
};

static void end(struct runner *r, enum mv_run_end how)
{
	r->result->end = how;
	r->done = true;
}

static void saved(struct runner *r, const char *path)
{
	snprintf(r->result->saved, sizeof(r->result->saved), "%s", path);
}

/* ---- the guest's events ---- */

static void go_on(struct runner *r)
{
	if (!r->done && !r->paused)
		mv_vm_resume(r->vm);
}

/* A guest that can't be saved goes on: it did nothing wrong. */
static void on_sync(struct runner *r)
{
	const char *path = r->synced ? NULL : r->opts->snapshot_on_sync;
	struct mv_err *why = &r->result->not_saved;

	/* One at a time: saving has the disks' marks and the guest's own bytes in memory for itself. */
	if (path && (r->saving || r->move)) {
		r->sync_waits = true;
		return;
	}
	r->synced = true;
	if (path && mv_saving_start(&r->saving, r->vm, path, false, why) == 0) {
		r->save_of_sync = r->held = true;
		return;
	}
	go_on(r);
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
	else if (!r->held && !r->sync_waits)
		mv_vm_resume(r->vm);
	r->paused = paused;
	*r->note = '\0';
}

static void status(struct runner *r, struct json_object *reply)
{
	struct mv_live_progress p;

	const struct mv_static *st = r->vm->st;

	mv_reply_text(reply, "name", st->config.name);
	mv_reply_text(reply, "state", r->move ? "moving" : r->saving ? "saving" : r->paused ? "paused" : "running");
	if (*r->note)
		mv_reply_text(reply, "note", r->note);
	mv_reply_text(reply, "image", st->config.image);
	mv_reply_text(reply, "guest-os", st->policy.guest_os);
	mv_reply_text(reply, "intercept", mv_intercept_name((enum mv_intercept)st->policy.intercept));
	mv_reply_number(reply, "memory", st->config.ram_size);
	mv_reply_number(reply, "cpus", st->config.nvcpus);
	mv_reply_number(reply, "pid", (uint64_t)getpid());
	if (r->move) {
		mv_move_progress(r->move, &p);
		json_object_object_add(reply, "migration", mv_reply_progress(&p));
	}
}

/* After a move of which nobody knows how it ended, the other side may have the disks. */
static void resume(struct runner *r, struct json_object *reply)
{
	struct mv_err err = { 0 };

	if (r->vm->disks_let_go && mv_vm_claim_disks(r->vm, &err))
		mv_reply_error(reply, &err);
	else
		set_paused(r, false);
}

/* True: it is being saved, and who asked hears of the end. */
static bool snapshot(struct runner *r, unsigned client, struct json_object *request, struct json_object *reply)
{
	const char *file = mv_request_string(request, "file");
	struct json_object *stop = NULL, *compress = NULL;
	struct mv_err err = { 0 };

	if (*file != '/') {
		mv_reply_text(reply, "error", "an absolute file name is needed");
		return false;
	}
	json_object_object_get_ex(request, "compress", &compress);
	json_object_object_get_ex(request, "stop", &stop);
	if (mv_saving_start(&r->saving, r->vm, file, json_object_get_boolean(compress), &err)) {
		mv_reply_error(reply, &err);
		return false;
	}
	r->save_stops = json_object_get_boolean(stop);
	r->asker = (int)client;
	r->control.client[client].keep = true;
	return true;
}

/* ---- migration ---- */

static void migrate(struct runner *r, unsigned client, struct json_object *request,
		    struct json_object *reply)
{
	struct mv_move_opts opts;
	struct mv_err err = { 0 };

	if (r->paused) {
		/* Nobody there would know that it is to stay paused. */
		mv_reply_text(reply, "error", "it is paused: resume it first");
		return;
	}
	if (mv_move_request(&opts, request, &err) || mv_move_start(&r->move, r->vm, &opts, &err)) {
		mv_reply_error(reply, &err);
		return;
	}
	r->asker = (int)client;
	r->control.client[client].keep = true;
}

static void cancel(struct runner *r, struct json_object *reply)
{
	if (r->saving && !mv_saving_cancel(r->saving))
		mv_reply_text(reply, "error", "too late: the file is being written");
	else if (r->move && !mv_move_cancel(r->move))
		mv_reply_text(reply, "error", "too late: the destination may be running it");
	else if (!r->saving && !r->move)
		mv_reply_text(reply, "error", "it is not being migrated");
}

/* Who asked for something that takes long and goes away has given it up. */
static void check_asker(struct runner *r)
{
	if (r->asker < 0 || r->control.client[r->asker].fd >= 0)
		return;
	r->asker = -1;
	if (r->move)
		mv_move_cancel(r->move);
	if (r->saving)
		mv_saving_cancel(r->saving);
}

static void tell_asker(struct runner *r, struct json_object *o)
{
	if (r->asker < 0) {
		json_object_put(o);
		return;
	}
	mv_control_reply(&r->control, (unsigned)r->asker, o);
	check_asker(r);
}

static void forget_asker(struct runner *r)
{
	if (r->asker >= 0)
		r->control.client[r->asker].keep = false;
	r->asker = -1;
}

static void tell_progress(struct runner *r)
{
	struct json_object *o = json_object_new_object();
	struct mv_live_progress p;

	mv_move_progress(r->move, &p);
	json_object_object_add(o, "progress", mv_reply_progress(&p));
	tell_asker(r, o);
}

static void tell_result(struct runner *r, const struct mv_live_result *result, const char *to)
{
	static const char *const ends[] = { "moved", "refused", "failed", "unconfirmed" };
	struct json_object *o = json_object_new_object();

	mv_reply_text(o, "end", ends[result->end]);
	mv_reply_text(o, "to", to);
	if (result->end != MV_LIVE_MOVED)
		mv_reply_error(o, &result->err);
	json_object_object_add(o, "ended", json_object_new_boolean(r->done));
	if (result->refusal.text)
		mv_reply_text(o, "report", result->refusal.text);
	if (result->refusal.json)
		mv_reply_text(o, "verdict", result->refusal.json);
	if (result->progress.phase)
		json_object_object_add(o, "progress", mv_reply_progress(&result->progress));
	tell_asker(r, o);
}

/* The guest stands at its sync point: here it is saved now; elsewhere it goes on without. */
static void sync_after_move(struct runner *r, enum mv_live_end how)
{
	r->sync_waits = false;
	if (how == MV_LIVE_MOVED || how == MV_LIVE_UNCONFIRMED) {
		r->synced = true;
		mv_err_set(&r->result->not_saved, MV_E_FAILED,
			   "it came to its sync point while it moved, and was not saved there");
	} else if (!r->done) {
		on_sync(r);
	}
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
	forget_asker(r);
	if (r->sync_waits)
		sync_after_move(r, result.end);
}

/* Halted means: and no event waits. A guest that ended can't be moved or saved. */
static int halt(struct runner *r, struct mv_err *err)
{
	int rc;

	do {
		mv_vm_pause(r->vm);
		rc = on_event(r, err);
	} while (rc > 0 && !r->done);
	return rc;
}

static int on_move(struct runner *r, struct mv_err *err)
{
	int rc = 0;

	switch (mv_move_wants(r->move)) {
	case MV_MOVE_HALT:
		rc = halt(r, err);
		mv_move_answer(r->move, rc == 0);
		break;
	case MV_MOVE_RESUME:
		if (!r->sync_waits)
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

/* ---- saving ---- */

/* It is over, or, if the VM is ending, made to. */
static void finish_saving(struct runner *r, bool ending)
{
	struct json_object *o = json_object_new_object();
	bool of_sync = r->save_of_sync, stops = of_sync ? r->opts->stop_after_sync : r->save_stops;
	char path[sizeof(r->result->saved)];
	struct mv_err err = { 0 };
	int rc;

	snprintf(path, sizeof(path), "%s", mv_saving_path(r->saving));
	rc = mv_saving_finish(r->saving, &err);
	/* What went wrong before it was cancelled may be why the VM ends: damaged memory, for instance. */
	if (rc && ending && !strcmp(err.msg, MV_CANCELLED)) {
		err = (struct mv_err){ 0 };
		mv_err_set(&err, MV_E_FAILED, "the VM ended meanwhile");
	}
	r->saving = NULL;
	r->held = r->save_of_sync = false;
	if (rc == 0) {
		saved(r, path);
		json_object_object_add(o, "ok", json_object_new_boolean(1));
		if (stops && !r->done)
			end(r, MV_END_SAVED);
	} else {
		mv_reply_error(o, &err);
		if (of_sync)
			r->result->not_saved = err;
	}
	r->save_stops = false;
	tell_asker(r, o);
	forget_asker(r);
	if (r->done || ending)
		return;
	if (r->sync_waits) {
		r->sync_waits = false;
		on_sync(r);
	} else {
		go_on(r);
	}
}

static int on_saving(struct runner *r, struct mv_err *err)
{
	enum mv_saving_want want = mv_saving_wants(r->saving);
	int rc = 0;

	if (want == MV_SAVING_HALT) {
		r->held = true;
		rc = halt(r, err);
		/* One that ended is not worth the file any more: the loop ends, and cancels it. */
		if (rc == 0 && !r->done)
			mv_saving_halted(r->saving);
	} else if (want == MV_SAVING_OVER) {
		finish_saving(r, false);
	}
	return rc;
}

static void on_request(struct runner *r, unsigned client)
{
	struct json_object *request = mv_control_next(&r->control, client), *reply;
	const char *cmd;
	bool later = false;

	check_asker(r);
	if (!request)
		return;
	cmd = mv_request_string(request, "command");
	reply = json_object_new_object();
	if (!strcmp(cmd, "status"))
		status(r, reply);
	else if (!strcmp(cmd, "stop"))
		end(r, MV_END_STOPPED);
	else if (!strcmp(cmd, "cancel"))
		cancel(r, reply);
	else if (r->move)
		mv_reply_text(reply, "error", "it is being migrated (migrate --cancel ends that)");
	else if (!strcmp(cmd, "pause"))
		set_paused(r, true);
	else if (!strcmp(cmd, "resume"))
		resume(r, reply);
	else if (r->saving && (!strcmp(cmd, "snapshot") || !strcmp(cmd, "migrate")))
		mv_reply_text(reply, "error", "it is being saved");
	else if (!strcmp(cmd, "snapshot"))
		later = snapshot(r, client, request, reply);
	else if (!strcmp(cmd, "migrate"))
		migrate(r, client, request, reply);
	else
		mv_reply_text(reply, "error", "unknown command");
	if (json_object_object_length(reply) == 0)
		json_object_object_add(reply, "ok", json_object_new_boolean(1));
	if (later)
		json_object_put(reply);
	else
		mv_control_reply(&r->control, client, reply);
	check_asker(r);
	json_object_put(request);
}

/* ---- set-up and loop ---- */

int mv_signals_open(struct mv_err *err)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	/* A signal that is ignored is dropped only as long as it is not blocked. */
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigaction(ends[i], NULL, &sa) == 0 && sa.sa_handler != SIG_IGN)
			sigaddset(&set, ends[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd >= 0 ? fd : mv_err_set(err, MV_E_FAILED, "signalfd: %s", strerror(errno));
}

int mv_signal_taken(int fd)
{
	struct signalfd_siginfo si;

	return read(fd, &si, sizeof(si)) == sizeof(si) ? (int)si.ssi_signo : 0;
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
	struct mv_err why = { 0 };

	if (!r->opts->name || !r->opts->started || r->control.listen_fd >= 0 ||
	    mv_control_open(&r->control, r->opts->name, &why) == 0)
		return -1;
	*why.hint = '\0';
	mv_err_hint(&why, "it gets one by itself as soon as it can");
	if (++r->claims == PATIENCE && r->opts->nameless)
		r->opts->nameless(&why);
	return CLAIM_MS;
}

#define CLIENTS 6	/* in what is polled, where they begin */

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
			{ .fd = r->saving ? mv_saving_fd(r->saving) : -1, .events = POLLIN },
		};

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
		if (rc >= 0 && !r->done && p[5].revents)
			rc = on_saving(r, err);
		if (rc < 0)
			return rc;
		if (!r->done && p[1].revents) {
			r->result->signal = mv_signal_taken(r->signal_fd);
			if (r->result->signal)
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

/* A guest that runs already is not lost for the lack of a socket: the loop claims one. */
static int take_name(struct runner *r, struct mv_err *err)
{
	struct mv_err why = { 0 };

	if (!r->opts->name || r->opts->started || !mv_control_open(&r->control, r->opts->name, &why))
		return 0;
	if (r->opts->name_required) {
		*err = why;
		return -why.code;
	}
	if (r->opts->nameless)
		r->opts->nameless(&why);
	return 0;
}

int mv_run(struct mv_vm *vm, const struct mv_run_opts *opts, struct mv_run_result *result,
	   struct mv_err *err)
{
	struct runner r = {
		.vm = vm, .opts = opts, .result = result,
		.signal_fd = -1, .timer_fd = -1, .asker = -1,
	};
	int rc = 0;

	memset(result, 0, sizeof(*result));
	mv_control_init(&r.control);
	rc = r.signal_fd = mv_signals_open(err);
	if (rc >= 0)
		rc = take_name(&r, err);
	if (rc >= 0 && opts->timeout_s > 0)
		rc = r.timer_fd = open_timer(opts->timeout_s, err);
	if (rc >= 0 && !opts->started)
		rc = mv_vm_start(vm, err);
	if (rc >= 0)
		rc = loop(&r, err);
	if (r.saving)
		finish_saving(&r, true);
	/* What failed came after it was saved, which was all it had to do. */
	if (rc < 0 && r.done) {
		*err = (struct mv_err){ 0 };
		rc = 0;
	}
	/* Whatever happened: nothing runs when this returns. */
	mv_vm_pause(vm);
	r.sync_waits = false;
	if (r.move)
		finish_move(&r);
	mv_control_close(&r.control);
	if (r.signal_fd >= 0)
		close(r.signal_fd);
	if (r.timer_fd >= 0)
		close(r.timer_fd);
	return rc < 0 ? rc : 0;
}
