/* SPDX-License-Identifier: MIT */
/* Where the guest's output goes, and the last words of a program that can't go on. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "launch.h"
#include "terminal.h"

/*
 * What the guest wrote and nobody has read yet: a reader that takes its time slows the guest down,
 * but must not keep it from being paused, saved or stopped.
 */
static struct {
	pthread_mutex_t lock;
	size_t n;
	int lost;	/* errno of the first write that failed, but for a reader that is gone; 0: none did */
	uint8_t bytes[64 * 1024];
} unread = { .lock = PTHREAD_MUTEX_INITIALIZER };

bool mv_launch_drain(int timeout_ms)
{
	struct pollfd p = { .fd = mv_output.json ? STDERR_FILENO : STDOUT_FILENO, .events = POLLOUT };

	while (unread.n && poll(&p, 1, timeout_ms) > 0) {
		/* What a pipe that is ready takes without waiting. */
		ssize_t n = write(p.fd, unread.bytes, unread.n < PIPE_BUF ? unread.n : PIPE_BUF);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			break;
		if (n < 0 && errno != EPIPE && errno != EBADF && !unread.lost)
			unread.lost = errno;
		if (n <= 0)
			n = (ssize_t)unread.n;	/* nobody listens: the guest goes on */
		unread.n -= (size_t)n;
		memmove(unread.bytes, unread.bytes + n, unread.n);
	}
	return unread.n == 0;
}

int mv_launch_words_lost(void)
{
	return unread.lost;
}

static void write_console(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	pthread_mutex_lock(&unread.lock);
	if (len > sizeof(unread.bytes) - unread.n)
		len = sizeof(unread.bytes) - unread.n;
	memcpy(unread.bytes + unread.n, data, len);
	unread.n += len;
	mv_launch_drain(0);
	pthread_mutex_unlock(&unread.lock);
}

static bool console_ready(void *ctx)
{
	bool ready;

	(void)ctx;
	pthread_mutex_lock(&unread.lock);
	ready = mv_launch_drain(20);
	pthread_mutex_unlock(&unread.lock);
	return ready;
}

/* What a driver gets wrong is news about the guest, not an error of ours. */
static void note_breach(void *ctx, const char *device, const char *what)
{
	(void)ctx;
	mv_cli_note("%s needs a reset: the guest gave it %s", device, what);
}

/* In whatever thread, under whatever locks: nothing but system calls. */
static _Noreturn void die(int code, const char *before, const char *what, const char *behind)
{
	const char *const text[] = { "minivmm: ", before, what, behind };

	mv_terminal_restore();
	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		if (write(STDERR_FILENO, text[i], strlen(text[i])) < 0)
			break;
	_exit(code);
}

static void lost(int code, const char *why)
{
	die(code, "", why, "\n");
}

struct mv_console mv_launch_console(void)
{
	return (struct mv_console){ .write = write_console, .ready = console_ready,
				    .note = note_breach, .lost = lost };
}

void mv_launch_forbidden(const char *name)
{
	die(MV_EXIT_FAILED, "the system call ", name,
	    " is not allowed (--no-seccomp runs without the filter)\n");
}
