/* SPDX-License-Identifier: MIT */
/* minivmm receive: wait for a VM that moves here, judge it, take it, run it. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "admit.h"
#include "disk.h"
#include "mig_ops.h"
#include "save.h"
#include "terminal.h"
#include "tls.h"

struct receive_args {
	struct mv_launch launch;
	struct mv_verdict_opts verdict;
	struct mv_console console;
	struct mv_addr addr;
	bool insecure;
	const char *tls_dir;
	struct mv_tls *tls;	/* NULL: a plain connection */
	double timeout_s, peer_timeout_s;
	int timer_fd, signal_fd;
	int end_fd;		/* readable once either is */
};

enum { OPT_RULE = 256, OPT_IGNORE, OPT_TIMEOUT, OPT_PEER_TIMEOUT, OPT_TLS_DIR, OPT_INSECURE };

static int seconds(const char *arg, double *out)
{
	char *end;

	*out = strtod(arg, &end);
	if (*end || end == arg || !isfinite(*out) || *out < 0.001 || *out > 1e6)
		return mv_cli_usage(&mv_cmd_receive, "'%s' is not a number of seconds", arg);
	return 0;
}

static int option(void *ctx, int key, const char *arg)
{
	struct receive_args *a = ctx;

	switch (key) {
	case OPT_RULE:
		return mv_cli_rule(&mv_cmd_receive, arg, &a->verdict.mode);
	case OPT_IGNORE:
		a->verdict.ignore = arg;
		return 0;
	case OPT_TIMEOUT:
		return seconds(arg, &a->timeout_s);
	case OPT_PEER_TIMEOUT:
		return seconds(arg, &a->peer_timeout_s);
	case OPT_TLS_DIR:
		a->tls_dir = arg;
		return 0;
	case OPT_INSECURE:
		a->insecure = true;
		return 0;
	default:
		return mv_launch_option(&mv_cmd_receive, &a->launch, key, arg);
	}
}

/* ---- the machine that comes (migrate/ops.h) ---- */

static int op_judge(void *ctx, struct mv_static *st, struct mv_live_refusal *r, struct mv_err *err)
{
	struct receive_args *a = ctx;
	int rc = mv_cli_admit(&a->launch, &a->verdict, &r->text, &r->json, err);

	(void)st;	/* it is launch.st */
	return rc == MV_EXIT_REFUSED ? -MV_E_REFUSED : rc;
}

static int op_create(void *ctx, struct mv_static *st, uint8_t **ram, uint64_t *load_ns,
		     struct mv_err *err)
{
	struct receive_args *a = ctx;
	struct mv_launch *l = &a->launch;
	int rc;

	mv_launch_set_name(l, st->config.name);
	memcpy(st->config.name, l->name, sizeof(st->config.name));
	rc = mv_launch_saved_disks(l, true, err);
	if (rc == 0)
		rc = mv_vm_create(&l->vm, &l->kvm, st, &l->host->raw, &a->console, err);
	if (rc)
		return rc;
	mv_launch_connect_disks(l);
	*ram = l->vm->ram;
	*load_ns = mv_vm_load_time(l->vm);
	return 0;
}

static int op_load(void *ctx, const struct mv_state *state, struct mv_err *err)
{
	struct receive_args *a = ctx;
	int rc = mv_vm_adopt(a->launch.vm, state, err);

	/* What may fail comes before the guest is ours. */
	return rc ? rc : mv_terminal_start(a->launch.vm, err);
}

static int op_run(void *ctx, struct mv_err *err)
{
	struct receive_args *a = ctx;
	int rc = mv_vm_claim_disks(a->launch.vm, err);

	return rc ? rc : mv_vm_start(a->launch.vm, err);
}

static void op_discard(void *ctx)
{
	struct receive_args *a = ctx;

	mv_terminal_stop();
	mv_vm_destroy(a->launch.vm);
	a->launch.vm = NULL;
}

/* ---- the connection ---- */

/* A descriptor that becomes readable when time is up: it ends waiting and receiving alike. */
static int start_timer(struct receive_args *a, struct mv_err *err)
{
	struct itimerspec t = { 0 };

	if (!(a->timeout_s > 0))
		return 0;
	a->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	t.it_value.tv_sec = (time_t)a->timeout_s;
	t.it_value.tv_nsec = (long)((a->timeout_s - (double)t.it_value.tv_sec) * 1e9);
	if (a->timer_fd < 0 || timerfd_settime(a->timer_fd, 0, &t, NULL))
		return mv_err_set(err, MV_E_FAILED, "a timer can't be had");
	return 0;
}

/* From here on a signal ends waiting, too, so that what was made is cleared away. */
static int watch_ends(struct receive_args *a, struct mv_err *err)
{
	struct epoll_event e = { .events = EPOLLIN };
	int rc = a->signal_fd = mv_signals_open(err);

	if (rc >= 0)
		rc = start_timer(a, err);
	if (rc < 0)
		return rc;
	a->end_fd = epoll_create1(EPOLL_CLOEXEC);
	if (a->end_fd < 0 || epoll_ctl(a->end_fd, EPOLL_CTL_ADD, a->signal_fd, &e) ||
	    (a->timer_fd >= 0 && epoll_ctl(a->end_fd, EPOLL_CTL_ADD, a->timer_fd, &e)))
		return mv_err_set(err, MV_E_FAILED, "waiting for signals: %s", strerror(errno));
	return 0;
}

static void close_ends(struct receive_args *a)
{
	int *const fds[] = { &a->end_fd, &a->timer_fd, &a->signal_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* What comes over one connection. *heard as mv_live_receive's. */
static int converse(struct receive_args *a, int fd, const char *peer, bool *heard,
		    struct mv_err *err)
{
	const struct mv_live_dst dst = {
		.ctx = a, .judge = op_judge, .create = op_create, .load = op_load, .run = op_run,
		.discard = op_discard,
	};
	struct mv_tls_session *session = NULL;
	struct mv_io io;
	int rc = 0;

	mv_io_socket(&io, fd, peer, (int)(a->peer_timeout_s * 1e3));
	io.cancel_fd = a->end_fd;
	io.cancelled = a->timer_fd < 0 ? "it was told to end" : "it was told to end, or the time allowed is over";
	if (a->tls)
		rc = mv_tls_start(&session, a->tls, &io, NULL, err);
	if (rc == 0)
		rc = mv_live_receive(&dst, &io, a->launch.st, heard, err);
	mv_tls_end(session);
	return rc;
}

/* The first minivmm that connects decides; others that try the door are let go. */
static int take_one(struct receive_args *a, const struct mv_listener *l, struct mv_err *err)
{
	char peer[MV_ADDR_TEXT];
	struct mv_err why;
	bool heard;
	int fd, rc;

	for (;;) {
		fd = mv_net_accept(l, a->end_fd, peer, err);
		if (fd < 0)
			return fd;
		heard = false;
		why = (struct mv_err){ 0 };
		rc = converse(a, fd, peer, &heard, &why);
		close(fd);
		if (rc == 0)
			return 0;
		if (heard) {
			*err = why;
			return rc;
		}
		mv_cli_note("%s: not a VM: %s", peer, why.msg);
		if (*why.hint)
			mv_cli_note("hint: %s", why.hint);
	}
}

/* As run and restore end by a signal (launch_report.c). */
static int told_to_end(int sig)
{
	struct json_object *o = json_object_new_object();
	int code = 128 + sig;

	json_object_object_add(o, "end", json_object_new_string("stopped"));
	json_object_object_add(o, "signal", json_object_new_int(sig));
	json_object_object_add(o, "exit", json_object_new_int(code));
	if (mv_output.json)
		mv_cli_json(o);
	else
		json_object_put(o);
	mv_cli_note("no VM came: ended by signal %s", sigabbrev_np(sig));
	return code;
}

/* 0: a VM is here; what a program ends with that this signal ends; or an error. */
static int receive(struct receive_args *a, struct mv_err *err)
{
	struct mv_launch *l = &a->launch;
	struct mv_listener listener = { .fd = -1 };
	char text[MV_ADDR_TEXT];
	int rc, sig;

	l->st = calloc(1, sizeof(*l->st));
	rc = l->st ? mv_launch_host(l, err) : mv_err_set(err, MV_E_FAILED, "out of memory");
	if (rc == 0 && a->tls_dir)
		rc = mv_tls_open(&a->tls, a->tls_dir, MV_TLS_SERVER, err);
	if (rc == 0)
		rc = watch_ends(a, err);
	if (rc == 0)
		rc = mv_net_listen(&listener, &a->addr, a->insecure || a->tls, err);
	if (rc == 0) {
		mv_addr_format(&listener.addr, text);
		mv_cli_note("listening on %s", text);
		rc = mv_launch_confine(l, err);
	}
	if (rc == 0)
		rc = take_one(a, &listener, err);
	mv_net_unlisten(&listener);
	mv_tls_close(a->tls);
	/* One that comes when the VM is here already is for the VM. */
	sig = rc && a->signal_fd >= 0 ? mv_signal_taken(a->signal_fd) : 0;
	close_ends(a);
	return sig ? told_to_end(sig) : rc;
}

static int run(int argc, char **argv)
{
	struct receive_args a = {
		.verdict = { .mode = MV_VERDICT_GUIDE }, .console = mv_launch_console(),
		.peer_timeout_s = MV_PEER_TIMEOUT_MS / 1e3, .timer_fd = -1, .signal_fd = -1, .end_fd = -1,
	};
	struct mv_run_result result;
	struct mv_err err = { 0 };
	int code, first, rc;

	mv_launch_init(&a.launch);
	first = mv_cli_options(&mv_cmd_receive, argc, argv, option, &a, &code);
	if (first < 0)
		return code;
	if (argc - first != 1)
		return mv_cli_usage(&mv_cmd_receive, first == argc ? "no address given"
								   : "more than one address given");
	if (a.tls_dir && a.insecure)
		return mv_cli_usage(&mv_cmd_receive, "--insecure and --tls-dir contradict each other");
	code = mv_launch_check_options(&mv_cmd_receive, &a.launch);
	if (code)
		return code;
	rc = mv_addr_parse(&a.addr, argv[first], &err);
	if (rc == 0)
		rc = receive(&a, &err);
	if (rc == 0) {
		mv_cli_note("%s runs here now", a.launch.st->config.name);
		a.launch.run.started = true;
		rc = mv_launch_run(&a.launch, &result, &err);
		mv_terminal_stop();
	}
	if (rc == 0)
		code = mv_launch_report(&a.launch, &result);
	else	/* a refusal was reported in full already */
		code = rc > 0 ? rc : rc == -MV_E_REFUSED ? MV_EXIT_REFUSED : mv_cli_error(&err);
	mv_launch_finish(&a.launch);
	return code;
}

static const struct mv_opt opts[] = {
	MV_ADMIT_OPTS(OPT_RULE, OPT_IGNORE),
	{ "intercept", "HOW", "auto, kernel, patch, step or none", 'i' },
	{ "timeout", "SEC", "give up if no VM is here after so many seconds", OPT_TIMEOUT },
	{ "peer-timeout", "SEC", "how long the source may be silent (10)", OPT_PEER_TIMEOUT },
	{ "tls-dir", "DIR", "only with TLS, and whom the CA in DIR knows", OPT_TLS_DIR },
	{ "insecure", NULL, "listen beyond this machine, without encryption", OPT_INSECURE },
	MV_LAUNCH_DISK_OPT,
	MV_LAUNCH_CONTROL_OPTS,
	MV_OPT_END,
};

const struct mv_cmd mv_cmd_receive = {
	.name = "receive",
	.args = "ADDR [OPTIONS]",
	.summary = "accept one VM that migrates here, and go on with it",
	.opts = opts,
	.more = "ADDR is tcp:HOST:PORT (port 0: any; it is told) or unix:PATH. The verdict on\n"
		"this host comes first: a refused VM (exit 3) goes on where it is, and its owner\n"
		"sees the report. The guest keeps its CPUID, byte for byte. It runs here only\n"
		"once the source has said that it will not run it any more. DIR holds what QEMU\n"
		"and libvirt call ca-cert.pem, server-cert.pem and server-key.pem.\n",
	.has_its_own = "a VM that moves goes on with the mask, CPUs and memory it has",
	.run = run,
};
