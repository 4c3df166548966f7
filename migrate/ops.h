/* SPDX-License-Identifier: MIT */
/*
 * What live migration needs of a machine, on either side. The algorithms in live.c and live_receive.c
 * know nothing else of it: a real VM stands behind these tables (vmm/mig_ops.c), or a made-up one
 * (tests/unit/fake_vm.c). Every function must be there, even if it does nothing. ctx is passed through.
 */
#ifndef MV_MIGRATE_OPS_H
#define MV_MIGRATE_OPS_H

#include "err.h"
#include "state.h"

/* How far a migration is. Bytes, unless said otherwise; the names are those virsh users know. */
struct mv_live_progress {
	const char *phase;		/* "connecting", "checking", "copying", "stopped", "done" */
	uint64_t processed;		/* sent so far */
	uint64_t remaining;		/* known to be still due */
	uint64_t total;			/* the guest's memory */
	uint32_t iteration;		/* round of the copy, from 1 */
	uint64_t dirty_rate;		/* pages a second that the guest wrote during the last round */
	uint64_t bandwidth;		/* bytes a second that got through in the last round */
	uint64_t downtime_ns;		/* expected; once it is done, measured */
	uint64_t elapsed_ns;
	uint32_t throttle;		/* percent of its time that the guest is kept waiting */
};

/* The source's machine. Bitmaps have a bit for each page of RAM, bit 0 of word 0 first. */
struct mv_live_src {
	void *ctx;
	uint64_t (*now)(void *ctx);	/* nanoseconds; never jumps */
	/*
	 * Record which pages the guest writes, from now on. fetch adds (ORs) those written since the
	 * last one; the first one adds all pages but those known to be zeros. Before a page is read that fetch named, clear has
	 * been called for it, so that later writes are seen; for all set bits of words first to
	 * first + n - 1 at once.
	 */
	int (*log_start)(void *ctx, struct mv_err *err);
	int (*log_fetch)(void *ctx, uint64_t *bitmap, struct mv_err *err);
	int (*log_clear)(void *ctx, const uint64_t *bitmap, uint64_t first, uint64_t n,
			 struct mv_err *err);
	void (*log_stop)(void *ctx);
	/* A page as the guest itself would see it, without the VMM's own changes. */
	void (*read_page)(void *ctx, uint64_t pos, uint8_t *buf);
	/* Halt the guest, or let it run again. stop fails if it has ended, or must not be halted. */
	int (*stop)(void *ctx, struct mv_err *err);
	void (*go_on)(void *ctx);
	int (*get_state)(void *ctx, struct mv_state *state, struct mv_err *err);
	/* Keep the guest waiting for so many percent of the time, from now on; 0: none. */
	void (*throttle)(void *ctx, uint32_t percent);
	/*
	 * The point of no return: GO is about to be sent. Fails if somebody cancelled; otherwise nobody
	 * may any more, and the guest runs here only if a person says so.
	 */
	int (*commit)(void *ctx, struct mv_err *err);
	void (*progress)(void *ctx, const struct mv_live_progress *p);
};

/* Why a destination said no; both strings are its own to release. */
struct mv_live_refusal {
	char *text, *json;
};

/* The destination's machine. */
struct mv_live_dst {
	void *ctx;
	/*
	 * Judge what comes, before anything is created. -MV_E_REFUSED with the report, which may lack
	 * either form, for a verdict; other errors are the destination's own trouble.
	 */
	int (*judge)(void *ctx, struct mv_static *st, struct mv_live_refusal *r,
		     struct mv_err *err);
	/* Create it: RAM of zeros. *load_ns is what load is expected to take. */
	int (*create)(void *ctx, struct mv_static *st, uint8_t **ram, uint64_t *load_ns,
		      struct mv_err *err);
	/* Memory is complete: take the state, so that nothing can fail any more but running. */
	int (*load)(void *ctx, const struct mv_state *state, struct mv_err *err);
	int (*run)(void *ctx, struct mv_err *err);
	void (*discard)(void *ctx);	/* what was created, if anything was */
};

#endif
