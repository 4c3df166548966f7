/* SPDX-License-Identifier: MIT */
/* What the VMM's threads begin with, and how one wakes another. */
#ifndef MV_VMM_THREAD_H
#define MV_VMM_THREAD_H

#include <pthread.h>

/*
 * Start a thread that leaves signals to the program's main thread, but those that it brings upon itself (a handler
 * tells of a forbidden call, of damaged memory), and `open` (0: none). 0 or an errno.
 */
int mv_thread_start(pthread_t *thread, void *(*run)(void *ctx), void *ctx, int open);

/* Make an eventfd readable. */
void mv_thread_wake(int event_fd);

#endif
