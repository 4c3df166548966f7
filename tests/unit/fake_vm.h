/* SPDX-License-Identifier: MIT */
/*
 * Two machines without KVM, and a connection between them that can be made to fail at any byte. The
 * source's guest is a script: what it writes and when is fixed, and as nasty as the dirty log allows.
 */
#ifndef MV_TESTS_FAKE_VM_H
#define MV_TESTS_FAKE_VM_H

#include <pthread.h>

#include "live.h"
#include "wire.h"

#define FAKE_PAGES 700u		/* more than fit into a record; the last word of a bitmap is not full */
#define FAKE_RAM (FAKE_PAGES * (uint64_t)MV_PAGE_SIZE)
#define FAKE_WORDS ((FAKE_PAGES + 63) / 64)

enum side { SRC, DST };

/* Who runs the guest. */
struct world {
	pthread_mutex_t lock;
	bool runs[2], dead[2];	/* dead: killed, and its guest with it */
	bool both;		/* at any time */
	unsigned starts;	/* of the destination's guest */
};

enum fault_kind {
	FAULT_NONE,
	FAULT_CUT,		/* the connection breaks */
	FAULT_STALL,		/* nothing gets through any more that way */
	FAULT_CORRUPT,		/* a bit flips */
	FAULT_KILL_SENDER,
	FAULT_KILL_RECEIVER,
	NFAULTS
};

struct fault {
	enum fault_kind kind;
	enum side from;		/* which way the bytes go */
	uint64_t at;		/* before this one of them */
};

struct fake {
	struct world world;
	struct fault fault;
	int fd[2];
	uint64_t pos[2];	/* bytes sent */
	struct mv_buf sent[2];	/* those bytes; only if record */
	bool record;
	struct mv_io io[2];
	int timeout_ms;

	/* source */
	struct mv_static *st;
	struct mv_state *state;	/* what it is saved with */
	uint8_t *ram;
	uint64_t dirty[FAKE_WORDS];	/* KVM's own bitmap */
	bool logging;
	unsigned fetches, writes;	/* the guest writes so many pages before each fetch … */
	unsigned race;		/* … and every race-th page right after it was read; 0: none */
	unsigned late_ms;	/* before the source hears anything of the destination */
	unsigned throttle, throttles;	/* percent; calls */
	uint64_t seed;
	bool cancel_at_commit;
	int fail_stop, fail_state, fail_log;	/* fail at that call, from 1 */
	int stops, states, logs;
	struct mv_live_opts opts;
	struct mv_live_result result;
	unsigned news;

	/* destination */
	struct mv_static *st2;
	struct mv_state state2;	/* what it loaded */
	uint8_t *ram2;
	bool refuse, fail_create, fail_load, fail_run;
	bool created, heard;
	int rc;
	struct mv_err err;
};

/* st and state are the caller's; the machine's RAM is made up from a fixed seed. */
void fake_init(struct fake *f, struct mv_static *st, const struct mv_state *state);
void fake_finish(struct fake *f);

/* The whole migration, both sides at once. */
void fake_run(struct fake *f);
/* The destination alone: it reads these bytes, then the end. */
void fake_feed(struct fake *f, const void *bytes, size_t len);

/* Is what runs at the destination what was halted at the source? */
bool fake_same(struct fake *f);

#endif
