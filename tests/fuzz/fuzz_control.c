/* SPDX-License-Identifier: MIT */
/*
 * A running VM's control socket: the input's lines are sent as requests, each when the one before was
 * answered, to the real socket and the real loop behind it (vmm/runner.c). The VM and its migration are
 * made up; so nothing is written and nothing leaves this process.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "disk.h"
#include "mig_ops.h"
#include "runner.h"
#include "save.h"
#include "text.h"

static char folder[] = "/tmp/minivmm-fuzz-XXXXXX";
static int client;
static const uint8_t *left;
static size_t nleft;
static char reply[1 << 16];
static size_t have;
static bool running;

/* ---- the made-up machine ---- */

struct mv_move {
	struct mv_move_opts opts;
	int fd;
	unsigned step;
	bool canceled;
};

static struct mv_move move;

void mv_vm_pause(struct mv_vm *vm)
{
	(void)vm;
	running = false;
}

void mv_vm_resume(struct mv_vm *vm)
{
	(void)vm;
	running = true;
}

int mv_vm_claim_disks(struct mv_vm *vm, struct mv_err *err)
{
	(void)vm;
	(void)err;
	return 0;
}

void mv_vm_forget_disks(struct mv_vm *vm)
{
	(void)vm;
}

bool mv_vm_has_disk(const struct mv_vm *vm, const char *path)
{
	(void)vm;
	(void)path;
	return false;
}

int mv_vm_before_save(struct mv_vm *vm, const bool *cancelled, struct mv_err *err)
{
	(void)vm;
	(void)cancelled;
	(void)err;
	return 0;
}

int mv_vm_save(struct mv_vm *vm, const char *path, bool compress, struct mv_err *err)
{
	(void)vm;
	(void)compress;
	FUZZ_MUST(!running, "saved while it runs");
	FUZZ_MUST(*path == '/', "saved to '%s'", path);
	return strlen(path) % 2 ? mv_err_at(err, MV_E_FAILED, path, 0, 0, "no space") : 0;
}

int mv_move_start(struct mv_move **out, struct mv_vm *vm, const struct mv_move_opts *opts, struct mv_err *err)
{
	(void)vm;
	FUZZ_MUST(running, "moved while it is paused");
	FUZZ_MUST(opts->live.max_rounds > 0 && opts->peer_timeout_ms > 0, "options of 0");
	FUZZ_MUST(opts->live.throttle_max <= MV_LIVE_THROTTLE_MOST, "throttled by %u", opts->live.throttle_max);
	FUZZ_MUST(!(opts->insecure && *opts->tls_dir), "TLS and none");
	move = (struct mv_move){ .opts = *opts, .fd = eventfd(1, EFD_CLOEXEC) };
	*out = &move;
	return move.fd < 0 ? mv_err_set(err, MV_E_FAILED, "eventfd") : 0;
}

int mv_move_fd(const struct mv_move *m)
{
	return m->fd;
}

enum mv_move_want mv_move_wants(struct mv_move *m)
{
	static const enum mv_move_want wants[] = { MV_MOVE_NEWS, MV_MOVE_HALT, MV_MOVE_NEWS, MV_MOVE_RESUME };

	/* Whoever was halted is resumed before it is over, as by migrate/live.c. */
	if (m->canceled && m->step > 1 && m->step < 4)
		m->step = 3;
	else if (m->canceled || m->step == 4)
		return MV_MOVE_OVER;
	return wants[m->step++];
}

void mv_move_answer(struct mv_move *m, bool done)
{
	(void)m;
	(void)done;
}

void mv_move_progress(struct mv_move *m, struct mv_live_progress *p)
{
	memset(p, 0, sizeof(*p));
	p->phase = "copying";
	p->iteration = m->step;
}

bool mv_move_cancel(struct mv_move *m)
{
	m->canceled = m->opts.live.bandwidth % 2 == 0;
	return m->canceled;
}

void mv_move_finish(struct mv_move *m, struct mv_live_result *result)
{
	close(m->fd);
	memset(result, 0, sizeof(*result));
	result->end = (enum mv_live_end)(m->opts.live.max_rounds % 4);
	if (result->end != MV_LIVE_MOVED)
		mv_err_set(&result->err, MV_E_FAILED, "made up");
}

const struct mv_addr *mv_move_to(const struct mv_move *m)
{
	return &m->opts.to;
}

void mv_live_result_finish(struct mv_live_result *result)
{
	(void)result;
}

/* ---- the client ---- */

/* The next line; behind the last one, the end. */
static void say(void)
{
	const uint8_t *nl = nleft ? memchr(left, '\n', nleft) : NULL;
	size_t n = nl ? (size_t)(nl - left) + 1 : nleft;

	if (!n || send(client, left, n, MSG_NOSIGNAL) != (ssize_t)n)
		shutdown(client, SHUT_WR);
	left += n;
	nleft -= n;
	if (n && !nl)
		shutdown(client, SHUT_WR);
}

static void connect_to_it(struct mv_vm *vm)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/minivmm/vm.sock", folder);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_MUST(client >= 0 && connect(client, (struct sockaddr *)&a, sizeof(a)) == 0, "can't connect");
	vm->event_fd = client;
	have = 0;
	say();
}

static void take_reply(size_t len)
{
	struct json_object *o;

	reply[len] = '\0';
	o = json_tokener_parse(reply);
	FUZZ_MUST(json_object_is_type(o, json_type_object), "a reply that is no object: %s", reply);
	FUZZ_MUST(json_object_object_length(o) > 0, "an empty reply");
	json_object_put(o);
	fuzz_accepted++;
}

int mv_vm_start(struct mv_vm *vm, struct mv_err *err)
{
	(void)err;
	running = true;
	connect_to_it(vm);
	return 0;
}

/* What the VM polls for events is the client's end: when it hangs up, the guest "exits". */
bool mv_vm_take_event(struct mv_vm *vm, struct mv_event *event)
{
	ssize_t n = recv(client, reply + have, sizeof(reply) - 1 - have, MSG_DONTWAIT);
	char *nl;

	(void)vm;
	if (n <= 0 && !(n < 0 && (errno == EAGAIN || errno == EINTR))) {
		*event = (struct mv_event){ .kind = MV_EVENT_EXIT };
		return true;
	}
	have += n > 0 ? (size_t)n : 0;
	FUZZ_MUST(have < sizeof(reply) - 1, "a reply without end");
	while ((nl = memchr(reply, '\n', have))) {
		take_reply((size_t)(nl - reply));
		have -= (size_t)(nl - reply) + 1;
		memmove(reply, nl + 1, have);
		say();
	}
	return false;
}

static void clean_up(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/minivmm", folder);
	rmdir(path);
	rmdir(folder);
}

static void set_up(void)
{
	FUZZ_MUST(mkdtemp(folder), "no folder for the socket");
	setenv("XDG_RUNTIME_DIR", folder, 1);
	atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mv_run_opts opts = { .name = "vm", .name_required = true };
	struct mv_run_result *result = malloc(sizeof(*result));
	static struct mv_static *st;
	struct mv_err err = { 0 };
	struct mv_vm vm = { 0 };

	if (!st) {
		set_up();
		st = calloc(1, sizeof(*st));
	}
	vm.st = st;
	left = data;
	nleft = size;
	if (result && st) {
		FUZZ_MUST(mv_run(&vm, &opts, result, &err) == 0, "the VM failed: %s", err.msg);
		FUZZ_MUST(!running, "it runs on");
		close(client);
	}
	free(result);
	return 0;
}
