/* SPDX-License-Identifier: MIT */
/*
 * A connection to another host: transfers that are exact or fail, and that never wait for ever.
 * What carries the bytes is behind two functions, so that an encrypted connection, or a test's, can
 * take a socket's place.
 */
#ifndef MV_MIGRATE_IO_H
#define MV_MIGRATE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct mv_io;

/* What a transfer that can't go on without waiting returns: what to wait for on io->fd. */
#define MV_IO_WANT_READ (-1000)
#define MV_IO_WANT_WRITE (-1001)

struct mv_io_ops {
	/*
	 * Move up to len bytes without waiting: how many (for recv, 0: the other side closed), a
	 * MV_IO_WANT_*, or -MV_E_FAILED with *err set.
	 */
	int64_t (*recv)(struct mv_io *io, void *buf, size_t len, struct mv_err *err);
	int64_t (*send)(struct mv_io *io, const void *buf, size_t len, struct mv_err *err);
	/*
	 * Would recv have something to tell? 1, 0, -MV_E_FAILED. NULL: exactly when io->fd is readable;
	 * where bytes are buffered, or some are no data, that is another matter.
	 */
	int (*pending)(struct mv_io *io, struct mv_err *err);
};

struct mv_io {
	const struct mv_io_ops *ops;
	void *ctx;		/* the ops' own */
	int fd;			/* not owned; non-blocking */
	int cancel_fd;		/* once readable, every transfer fails; -1: none */
	const char *cancelled;	/* … with this message */
	int timeout_ms;		/* for each MiB, or what is less */
	const char *peer;	/* for messages; not owned */
	uint64_t sent, received;
};

/* Over a socket, which becomes non-blocking. */
void mv_io_socket(struct mv_io *io, int fd, const char *peer, int timeout_ms);

/* Exactly len bytes. -MV_E_FAILED: closed, broken, timed out or cancelled; the message says which. */
int mv_io_send(struct mv_io *io, const void *buf, size_t len, struct mv_err *err);
int mv_io_recv(struct mv_io *io, void *buf, size_t len, struct mv_err *err);

/*
 * Wait until the deadline (of mv_io_now_ns) for what a transfer wants, a MV_IO_WANT_*. 0, or -MV_E_FAILED:
 * the other side was silent for too long, or it was cancelled.
 */
int mv_io_await(const struct mv_io *io, int64_t want, uint64_t deadline, struct mv_err *err);

/*
 * Wait up to ms for the other side to say something, or to close. 1: it did; 0: it did not;
 * -MV_E_FAILED: cancelled.
 */
int mv_io_pending(struct mv_io *io, int ms, struct mv_err *err);

/*
 * Say that nothing more will be sent, then read and drop what still comes, for up to ms: closing
 * with unread bytes could destroy the last thing that was sent before the other side has it.
 */
void mv_io_drain(struct mv_io *io, int ms);

/* Nanoseconds of a clock that never jumps. */
uint64_t mv_io_now_ns(void);

#endif
