/* SPDX-License-Identifier: MIT */
/* The life of a running VM: events, signals, timeout, control socket, until it ends. */
#ifndef MV_VMM_RUNNER_H
#define MV_VMM_RUNNER_H

#include "net.h"
#include "vm.h"

struct mv_run_opts {
	const char *name;		/* for the control socket; NULL: none */
	bool name_required;		/* without a socket it must not run */
	void (*nameless)(const struct mv_err *why);	/* told that it runs without; may be NULL */
	const char *snapshot_on_sync;	/* save at the first sync point; may be NULL */
	bool stop_after_sync;		/* … and end the VM there, if it could be saved */
	double timeout_s;		/* 0 = none */
	bool started;			/* it runs already: it was received */
};

enum mv_run_end {
	MV_END_EXIT,	/* by the guest's word: value */
	MV_END_CRASH,	/* err says how, event where */
	MV_END_TIMEOUT,
	MV_END_SAVED,	/* stopped once it was saved */
	MV_END_STOPPED,	/* from outside: control socket or signal */
	MV_END_MOVED,	/* it runs elsewhere now: moved_to */
};

struct mv_run_result {
	enum mv_run_end end;
	uint32_t value;			/* EXIT: what the guest wrote */
	struct mv_event event;		/* CRASH */
	char saved[256];		/* the last snapshot written, "" if none */
	struct mv_err not_saved;	/* code not 0: why there is none of the sync point */
	int signal;			/* STOPPED by this signal, 0 otherwise */
	char moved_to[MV_ADDR_TEXT];
};

/*
 * SIGINT, SIGTERM and SIGHUP no longer end the program but come out of this descriptor; those that whoever
 * started it had it ignore (nohup) stay ignored. mv_signal_taken: which one waits there, 0 for none.
 */
int mv_signals_open(struct mv_err *err);
int mv_signal_taken(int fd);

/*
 * Start the VM and stay with it until it ends; then it runs no more here. A negative return is a failure of
 * the VMM, not of the guest. SIGINT, SIGTERM and SIGHUP stop it.
 */
int mv_run(struct mv_vm *vm, const struct mv_run_opts *opts, struct mv_run_result *result,
	   struct mv_err *err);

#endif
