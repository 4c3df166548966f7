/* SPDX-License-Identifier: MIT */
/*
 * A real VM behind the operations of live migration (migrate/ops.h), and the thread that moves it.
 *
 * Who halts and resumes the guest is its keeper alone (vmm/runner.c), which also takes its events: the
 * thread asks for it. So there is no moment at which two of them decide whether the guest runs.
 */
#ifndef MV_VMM_MIG_OPS_H
#define MV_VMM_MIG_OPS_H

#include <limits.h>

#include "live.h"
#include "net.h"
#include "vm.h"

struct mv_move_opts {
	struct mv_addr to;
	bool insecure;			/* plain TCP may leave the machine */
	char tls_dir[PATH_MAX];		/* "": no TLS; as mv_tls_open's */
	char tls_hostname[256];		/* "": the one of the address */
	uint32_t peer_timeout_ms;	/* how long the other side may be silent */
	struct mv_live_opts live;
};
#define MV_PEER_TIMEOUT_MS 10000

struct mv_move;

/* What the keeper is to do when the descriptor becomes readable. */
enum mv_move_want {
	MV_MOVE_NEWS,	/* progress went on; nothing has to be done */
	MV_MOVE_HALT,	/* halt the guest, then mv_move_answer */
	MV_MOVE_RESUME,	/* let it run, then mv_move_answer */
	MV_MOVE_OVER,	/* mv_move_finish has the result */
};

/* Start moving a VM that runs. Nothing but the keeper's answers changes it until it is over. */
int mv_move_start(struct mv_move **out, struct mv_vm *vm, const struct mv_move_opts *opts,
		  struct mv_err *err);
int mv_move_fd(const struct mv_move *m);
enum mv_move_want mv_move_wants(struct mv_move *m);
void mv_move_answer(struct mv_move *m, bool done);	/* HALT, RESUME; false: it can't be */
void mv_move_progress(struct mv_move *m, struct mv_live_progress *p);

/* Ask it to give up. False: too late, the destination may be running the guest. */
bool mv_move_cancel(struct mv_move *m);

/*
 * Wait for the end, which mv_move_cancel is a part of unless it is over already; release it. The
 * caller finishes the result. Does not resume the guest.
 */
void mv_move_finish(struct mv_move *m, struct mv_live_result *result);

/* Where it goes. */
const struct mv_addr *mv_move_to(const struct mv_move *m);

/* On a VM that was just created: how long will it take to load a state? 0 if that can't be told. */
uint64_t mv_vm_load_time(struct mv_vm *vm);

#endif
