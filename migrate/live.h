/* SPDX-License-Identifier: MIT */
/*
 * Live migration: memory is copied while the guest runs, in rounds, each of what it wrote during the
 * one before; then it is halted, and the rest and its state follow. docs/stream-format.md, sections 8
 * and 9, has what goes over the connection, docs/migration.md why it is done this way.
 *
 * At any time at most one side may run the guest. Up to GO that is the source, which resumes it if
 * anything fails; from GO on it is the destination.
 */
#ifndef MV_MIGRATE_LIVE_H
#define MV_MIGRATE_LIVE_H

#include "io.h"
#include "ops.h"

enum mv_live_on_timeout {
	MV_LIVE_CANCEL,		/* the guest stays */
	MV_LIVE_STOP,		/* it goes, however long it has to be halted */
};

struct mv_live_opts {
	uint32_t downtime_ms;	/* how long the guest may be halted */
	uint32_t max_rounds;
	uint64_t timeout_ms;	/* for all of it; 0: none */
	uint64_t bandwidth;	/* bytes a second at most while the guest runs; 0: no limit */
	enum mv_live_on_timeout on_timeout;	/* what if that downtime can't be had by then */
	uint32_t throttle_max;	/* percent that the guest may be slowed down by to get there; 0: not */
};
#define MV_LIVE_DOWNTIME_MS 300
#define MV_LIVE_MAX_ROUNDS 30
#define MV_LIVE_THROTTLE_MOST 99u	/* a guest that never runs never gets anywhere either */

/* ---- the source ---- */

enum mv_live_end {
	MV_LIVE_MOVED,		/* it runs at the destination */
	MV_LIVE_REFUSED,	/* the destination's verdict; the guest noticed nothing */
	MV_LIVE_FAILED,		/* it goes on here */
	MV_LIVE_UNCONFIRMED,	/* it may or may not run there, and must not run here: halted */
};

struct mv_live_result {
	enum mv_live_end end;
	struct mv_err err;		/* unless MOVED */
	struct mv_live_refusal refusal;	/* REFUSED; the caller's to release */
	struct mv_live_progress progress;	/* the last one */
};

/* Send the machine to whoever is at the other end of io. */
void mv_live_send(const struct mv_live_src *src, struct mv_io *io, const struct mv_static *st,
		  const struct mv_live_opts *opts, struct mv_live_result *result);
void mv_live_result_finish(struct mv_live_result *result);

/* What a round led to, for the decision on what comes next. */
struct mv_live_round {
	uint32_t rounds;	/* behind us */
	uint64_t dirty, before;	/* pages due now, and at the beginning of the last round */
	uint64_t bandwidth;	/* bytes a second; 0: not known */
	uint64_t state_ns;	/* what everything but pages takes while the guest is halted */
	uint64_t elapsed_ns;
	uint32_t throttle;	/* percent in force */
};

enum mv_live_next { MV_LIVE_NEXT_ROUND, MV_LIVE_NEXT_STOP, MV_LIVE_NEXT_GIVE_UP };
enum mv_live_next mv_live_decide(const struct mv_live_opts *opts, const struct mv_live_round *r);
/* How much to slow the guest down during the next round, in percent. */
uint32_t mv_live_throttle(const struct mv_live_opts *opts, const struct mv_live_round *r);
/* How long the guest would be halted, were it stopped now. */
uint64_t mv_live_downtime(const struct mv_live_round *r);

/* ---- the destination ---- */

/*
 * Take the machine that comes over io. 0: it runs here. -MV_E_REFUSED: the verdict, which the source
 * was told. Otherwise nothing runs here and what was created is discarded. st is filled early and
 * outlives the machine. *heard: it was a minivmm that connected, whatever came of it.
 */
int mv_live_receive(const struct mv_live_dst *dst, struct mv_io *io, struct mv_static *st,
		    bool *heard, struct mv_err *err);

#endif
