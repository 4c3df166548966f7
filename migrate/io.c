/* SPDX-License-Identifier: MIT */
#define _XOPEN_SOURCE 700	/* clock_gettime, MSG_NOSIGNAL */

#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define PIECE (1u << 20)	/* bytes that have to get through within one timeout */
#define NS_PER_MS UINT64_C(1000000)

uint64_t mv_io_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 * NS_PER_MS + (uint64_t)t.tv_nsec;
}

/* ---- a socket ---- */

static int64_t outcome(const struct mv_io *io, ssize_t n, int want, const char *what,
		       struct mv_err *err)
{
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return want;
	return mv_err_set(err, MV_E_FAILED, "%s %s: %s", what, io->peer, strerror(errno));
}

static int64_t socket_recv(struct mv_io *io, void *buf, size_t len, struct mv_err *err)
{
	return outcome(io, recv(io->fd, buf, len, 0), MV_IO_WANT_READ, "receiving from", err);
}

static int64_t socket_send(struct mv_io *io, const void *buf, size_t len, struct mv_err *err)
{
	return outcome(io, send(io->fd, buf, len, MSG_NOSIGNAL), MV_IO_WANT_WRITE, "sending to",
		       err);
}

static const struct mv_io_ops socket_ops = { .recv = socket_recv, .send = socket_send };

void mv_io_socket(struct mv_io *io, int fd, const char *peer, int timeout_ms)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	*io = (struct mv_io){
		.ops = &socket_ops, .fd = fd, .cancel_fd = -1, .timeout_ms = timeout_ms,
		.peer = peer, .cancelled = "cancelled",
	};
}

/* ---- waiting ---- */

/*
 * Wait for events on the connection until the deadline: 1, or 0 if it passed. Being cancelled fails,
 * even if there is something to do.
 */
static int wait_for(const struct mv_io *io, short events, uint64_t deadline, struct mv_err *err)
{
	struct pollfd p[2] = {
		{ .fd = io->fd, .events = events }, { .fd = io->cancel_fd, .events = POLLIN },
	};
	uint64_t now;
	int n, ms;

	do {
		now = mv_io_now_ns();
		/* Rounded up: not to spin through the last millisecond. */
		ms = now < deadline ? (int)((deadline - now + NS_PER_MS - 1) / NS_PER_MS) : 0;
		n = poll(p, 2, ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return mv_err_set(err, MV_E_FAILED, "poll: %s", strerror(errno));
	if (p[1].revents)
		return mv_err_set(err, MV_E_FAILED, "%s", io->cancelled);
	return p[0].revents != 0;
}

static uint64_t deadline_in(int ms)
{
	return mv_io_now_ns() + (uint64_t)ms * NS_PER_MS;
}

int mv_io_await(const struct mv_io *io, int64_t want, uint64_t deadline, struct mv_err *err)
{
	int rc = wait_for(io, want == MV_IO_WANT_READ ? POLLIN : POLLOUT, deadline, err);

	if (rc == 0)
		return mv_err_set(err, MV_E_FAILED, "%s %s nothing for %g s", io->peer,
				  want == MV_IO_WANT_READ ? "sent" : "took", io->timeout_ms / 1e3);
	return rc < 0 ? rc : 0;
}

int mv_io_send(struct mv_io *io, const void *buf, size_t len, struct mv_err *err)
{
	uint64_t deadline = deadline_in(io->timeout_ms), left = PIECE;
	const uint8_t *p = buf;
	int64_t n;
	int rc;

	while (len) {
		n = io->ops->send(io, p, len < left ? len : (size_t)left, err);
		if (n == MV_IO_WANT_READ || n == MV_IO_WANT_WRITE) {
			rc = mv_io_await(io, n, deadline, err);
			if (rc)
				return rc;
			continue;
		}
		if (n < 0)
			return (int)n;
		p += n;
		len -= (size_t)n;
		left -= (uint64_t)n;
		io->sent += (uint64_t)n;
		if (!left) {
			left = PIECE;
			deadline = deadline_in(io->timeout_ms);
		}
	}
	return 0;
}

int mv_io_recv(struct mv_io *io, void *buf, size_t len, struct mv_err *err)
{
	uint64_t deadline = deadline_in(io->timeout_ms), left = PIECE;
	uint8_t *p = buf;
	int64_t n;
	int rc;

	while (len) {
		n = io->ops->recv(io, p, len < left ? len : (size_t)left, err);
		if (n == MV_IO_WANT_READ || n == MV_IO_WANT_WRITE) {
			rc = mv_io_await(io, n, deadline, err);
			if (rc)
				return rc;
			continue;
		}
		if (n < 0)
			return (int)n;
		if (!n)
			return mv_err_set(err, MV_E_FAILED, "%s closed the connection", io->peer);
		p += n;
		len -= (size_t)n;
		left -= (uint64_t)n;
		io->received += (uint64_t)n;
		if (!left) {
			left = PIECE;
			deadline = deadline_in(io->timeout_ms);
		}
	}
	return 0;
}

int mv_io_pending(struct mv_io *io, int ms, struct mv_err *err)
{
	uint64_t deadline = deadline_in(ms);
	int rc;

	do {
		rc = io->ops->pending ? io->ops->pending(io, err) : 0;
		if (rc)
			return rc;
		rc = wait_for(io, POLLIN, deadline, err);
	} while (rc == 1 && io->ops->pending);
	return rc;
}

void mv_io_drain(struct mv_io *io, int ms)
{
	uint64_t deadline = deadline_in(ms);
	uint8_t waste[4096];
	int64_t n;

	shutdown(io->fd, SHUT_WR);
	do {
		n = io->ops->recv(io, waste, sizeof(waste), NULL);
		if (n == MV_IO_WANT_READ && wait_for(io, POLLIN, deadline, NULL) == 1)
			n = 1;
	} while (n > 0 && mv_io_now_ns() < deadline);
}
