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
#include "save.h"

struct runner {
	struct mv_vm *vm;
	const struct mv_run_opts *opts;
	struct mv_run_result *result;
	struct mv_control control;
	int signal_fd, timer_fd;
	bool paused;	/* by a user: only a user resumes it */
	bool synced;	/* the first sync point is behind it */
	bool done;
};

static void end(struct runner *r, enum mv_run_end how)
{
	r->result->end = how;
	r->done = true;
}

static int save(struct runner *r, const char *path, struct mv_err *err)
{
	int rc = mv_vm_save(r->vm, path, err);

	if (rc == 0)
		snprintf(r->result->saved, sizeof(r->result->saved), "%s", path);
	return rc;
}

/* ---- the guest's events ---- */

/* A guest that can't be saved goes on: it did nothing wrong. */
static void on_sync(struct runner *r)
{
	if (r->opts->snapshot_on_sync && !r->synced) {
		int rc = save(r, r->opts->snapshot_on_sync, &r->result->not_saved);

		r->synced = true;
		if (rc == 0 && r->opts->stop_after_sync) {
			end(r, MV_END_SAVED);
			return;
		}
	}
	if (!r->paused)
		mv_vm_resume(r->vm);
}

static int on_event(struct runner *r, struct mv_err *err)
{
	struct mv_event e;

	if (!mv_vm_take_event(r->vm, &e))
		return 0;
	switch (e.kind) {
	case MV_EVENT_SYNC:
		on_sync(r);
		return 0;
	case MV_EVENT_EXIT:
		r->result->value = e.value;
		end(r, MV_END_EXIT);
		return 0;
	case MV_EVENT_CRASH:
		r->result->event = e;
		end(r, MV_END_CRASH);
		return 0;
	default:
		return mv_err_set(err, e.err.code ? e.err.code : MV_E_FAILED, "%s", e.err.msg);
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
}

static const char *string_member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

static void status(const struct runner *r, struct json_object *reply)
{
	const struct mv_static *st = r->vm->st;

	json_object_object_add(reply, "name", json_object_new_string(st->config.name));
	json_object_object_add(reply, "state",
			       json_object_new_string(r->paused ? "paused" : "running"));
	json_object_object_add(reply, "image", json_object_new_string(st->config.image));
	json_object_object_add(reply, "guest-os", json_object_new_string(st->policy.guest_os));
	json_object_object_add(reply, "intercept",
			       json_object_new_string(mv_intercept_name(
				       (enum mv_intercept)st->policy.intercept)));
	json_object_object_add(reply, "memory", json_object_new_int64((int64_t)st->config.ram_size));
	json_object_object_add(reply, "cpus", json_object_new_int64(st->config.nvcpus));
	json_object_object_add(reply, "pid", json_object_new_int64(getpid()));
}

/* Pause, save, go on or stop; the request's own failure is the requester's to hear. */
static void snapshot(struct runner *r, struct json_object *request, struct json_object *reply)
{
	const char *file = string_member(request, "file");
	struct json_object *stop = NULL;
	struct mv_err err = { 0 };
	char text[sizeof(err.file) + sizeof(err.msg) + 2];

	if (*file != '/') {
		json_object_object_add(reply, "error",
				       json_object_new_string("an absolute file name is needed"));
		return;
	}
	mv_vm_pause(r->vm);
	if (save(r, file, &err)) {
		snprintf(text, sizeof(text), "%s%s%s", err.file, *err.file ? ": " : "", err.msg);
		json_object_object_add(reply, "error", json_object_new_string(text));
	} else if (json_object_object_get_ex(request, "stop", &stop) && json_object_get_boolean(stop)) {
		end(r, MV_END_SAVED);
	}
	if (!r->done && !r->paused)
		mv_vm_resume(r->vm);
}

static void on_request(struct runner *r, unsigned client)
{
	struct json_object *request = mv_control_next(&r->control, client), *reply;
	const char *cmd;

	if (!request)
		return;
	cmd = string_member(request, "command");
	reply = json_object_new_object();
	if (!strcmp(cmd, "status"))
		status(r, reply);
	else if (!strcmp(cmd, "pause"))
		set_paused(r, true);
	else if (!strcmp(cmd, "resume"))
		set_paused(r, false);
	else if (!strcmp(cmd, "stop"))
		end(r, MV_END_STOPPED);
	else if (!strcmp(cmd, "snapshot"))
		snapshot(r, request, reply);
	else
		json_object_object_add(reply, "error", json_object_new_string("unknown command"));
	if (json_object_object_length(reply) == 0)
		json_object_object_add(reply, "ok", json_object_new_boolean(1));
	mv_control_reply(&r->control, client, reply);
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

static int loop(struct runner *r, struct mv_err *err)
{
	while (!r->done) {
		struct pollfd p[4 + MV_CONTROL_CLIENTS] = {
			{ .fd = r->vm->event_fd, .events = POLLIN },
			{ .fd = r->signal_fd, .events = POLLIN },
			{ .fd = r->timer_fd, .events = POLLIN },
			{ .fd = r->control.listen_fd, .events = POLLIN },
		};
		struct signalfd_siginfo si;
		int rc = 0;

		for (unsigned i = 0; i < MV_CONTROL_CLIENTS; i++)
			p[4 + i] = (struct pollfd){ .fd = r->control.client[i].fd, .events = POLLIN };
		if (poll(p, sizeof(p) / sizeof(p[0]), -1) < 0) {
			if (errno == EINTR)
				continue;
			return mv_err_set(err, MV_E_FAILED, "poll: %s", strerror(errno));
		}
		/* What the guest said first comes first. */
		if (p[0].revents)
			rc = on_event(r, err);
		if (rc)
			return rc;
		if (!r->done && p[1].revents && read(r->signal_fd, &si, sizeof(si)) == sizeof(si)) {
			r->result->signal = (int)si.ssi_signo;
			end(r, MV_END_STOPPED);
		}
		if (!r->done && p[2].revents)
			end(r, MV_END_TIMEOUT);
		/* Requests before new connections: those may take an old one's place. */
		for (unsigned i = 0; i < MV_CONTROL_CLIENTS && !r->done; i++)
			if (p[4 + i].revents)
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
		.signal_fd = -1, .timer_fd = -1,
	};
	int rc = 0;

	memset(result, 0, sizeof(*result));
	mv_control_init(&r.control);
	if (opts->name) {
		rc = mv_control_open(&r.control, opts->name, opts->name_required ? err : NULL);
		if (rc && opts->name_required)
			return rc;
	}
	rc = r.signal_fd = open_signals(err);
	if (rc >= 0 && opts->timeout_s > 0)
		rc = r.timer_fd = open_timer(opts->timeout_s, err);
	if (rc >= 0)
		rc = mv_vm_start(vm, err);
	if (rc >= 0)
		rc = loop(&r, err);
	/* Whatever happened: nothing runs when this returns. */
	mv_vm_pause(vm);
	mv_control_close(&r.control);
	if (r.signal_fd >= 0)
		close(r.signal_fd);
	if (r.timer_fd >= 0)
		close(r.timer_fd);
	return rc < 0 ? rc : 0;
}
