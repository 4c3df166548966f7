/* SPDX-License-Identifier: MIT */
#include "saving.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "disk.h"
#include "save.h"
#include "thread.h"

struct mv_saving {
	struct mv_vm *vm;
	char *path;
	bool compress;
	struct mv_err err;	/* the thread's until it is over */
	int rc;
	pthread_t thread;
	int event_fd;		/* for the keeper */

	pthread_mutex_t lock;
	pthread_cond_t answered;
	enum mv_saving_want want;	/* under lock, like all that follows */
	bool halted, cancelled;
};

static void tell(struct mv_saving *s, enum mv_saving_want want)
{
	s->want = want;
	mv_thread_wake(s->event_fd);
}

/* From here on it can't be cancelled. */
static int have_it_halted(struct mv_saving *s)
{
	bool cancelled;

	pthread_mutex_lock(&s->lock);
	tell(s, MV_SAVING_HALT);
	while (!s->halted && !s->cancelled)
		pthread_cond_wait(&s->answered, &s->lock);
	s->want = MV_SAVING_NOTHING;
	cancelled = s->cancelled;
	pthread_mutex_unlock(&s->lock);
	return cancelled ? mv_err_set(&s->err, MV_E_FAILED, MV_CANCELLED) : 0;
}

static void *saving_main(void *arg)
{
	struct mv_saving *s = arg;

	s->rc = mv_vm_before_save(s->vm, &s->cancelled, &s->err);
	if (s->rc == 0)
		s->rc = have_it_halted(s);
	if (s->rc == 0)
		s->rc = mv_vm_save(s->vm, s->path, s->compress, &s->err);
	else
		mv_vm_forget_disks(s->vm);
	pthread_mutex_lock(&s->lock);
	tell(s, MV_SAVING_OVER);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void release(struct mv_saving *s)
{
	if (s->event_fd >= 0)
		close(s->event_fd);
	pthread_cond_destroy(&s->answered);
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s);
}

int mv_saving_start(struct mv_saving **out, struct mv_vm *vm, const char *path, bool compress, struct mv_err *err)
{
	struct mv_saving *s = calloc(1, sizeof(*s));
	int rc = 0;

	*out = NULL;
	if (!s)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	if (mv_vm_has_disk(vm, path)) {
		free(s);
		return mv_err_at(err, MV_E_USAGE, path, 0, 0, "this is a disk of the VM's");
	}
	s->vm = vm;
	s->compress = compress;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->answered, NULL);
	s->path = strdup(path);
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!s->path || s->event_fd < 0)
		rc = mv_err_set(err, MV_E_FAILED, "a thread to save it: %s", strerror(errno));
	if (rc == 0) {
		rc = mv_thread_start(&s->thread, saving_main, s, 0);
		if (rc)
			rc = mv_err_set(err, MV_E_FAILED, "a thread to save it: %s", strerror(rc));
	}
	if (rc)
		release(s);
	else
		*out = s;
	return rc;
}

int mv_saving_fd(const struct mv_saving *s)
{
	return s->event_fd;
}

enum mv_saving_want mv_saving_wants(struct mv_saving *s)
{
	enum mv_saving_want want;
	uint64_t n;

	pthread_mutex_lock(&s->lock);
	if (read(s->event_fd, &n, sizeof(n)) < 0) {
		/* nothing new; the question may stand all the same */
	}
	want = s->want;
	pthread_mutex_unlock(&s->lock);
	return want;
}

void mv_saving_halted(struct mv_saving *s)
{
	pthread_mutex_lock(&s->lock);
	s->halted = true;
	pthread_cond_broadcast(&s->answered);
	pthread_mutex_unlock(&s->lock);
}

bool mv_saving_cancel(struct mv_saving *s)
{
	bool can;

	pthread_mutex_lock(&s->lock);
	can = !s->halted && s->want != MV_SAVING_OVER;
	if (can) {
		/* Read without the lock, where disks are. */
		__atomic_store_n(&s->cancelled, true, __ATOMIC_SEQ_CST);
		pthread_cond_broadcast(&s->answered);
	}
	pthread_mutex_unlock(&s->lock);
	return can;
}

int mv_saving_finish(struct mv_saving *s, struct mv_err *err)
{
	int rc;

	mv_saving_cancel(s);
	pthread_join(s->thread, NULL);
	rc = s->rc;
	if (rc && err)
		*err = s->err;
	release(s);
	return rc;
}

const char *mv_saving_path(const struct mv_saving *s)
{
	return s->path;
}
