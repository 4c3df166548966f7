/* SPDX-License-Identifier: MIT */
#include "thread.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

static const int own[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT };

int mv_thread_start(pthread_t *thread, void *(*run)(void *ctx), void *ctx, int open)
{
	sigset_t closed, before;
	int rc;

	sigfillset(&closed);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&closed, own[i]);
	if (open)
		sigdelset(&closed, open);
	pthread_sigmask(SIG_SETMASK, &closed, &before);
	rc = pthread_create(thread, NULL, run, ctx);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

void mv_thread_wake(int event_fd)
{
	uint64_t one = 1;

	if (write(event_fd, &one, sizeof(one)) < 0) {
		/* an eventfd this far from full takes it */
	}
}
