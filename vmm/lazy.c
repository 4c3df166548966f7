/* SPDX-License-Identifier: MIT */
#include "lazy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "thread.h"

/* Holes in what is stored that are large enough are left to the kernel. */
#define HOLE (UINT64_C(2) << 20)
/* Zero pages that are put in place at once. */
#define ZEROS (UINT64_C(64) << 10)
/* What the guest touches first comes first: the background begins later, ms. */
#define HEAD_START 50

struct mv_lazy {
	struct mv_vm *vm;
	struct mv_manifest m;
	char *name;
	int file, uffd, stop_fd;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;	/* what follows; taken behind no other lock */
	uint8_t *buf;		/* a chunk */
	uint8_t *have;		/* which chunks are in place */
	uint32_t left, next;	/* how many are not; where the background looks on */
	struct mv_err err;	/* code not 0: damaged, or unreadable */
};

/* ---- chunks ---- */

static bool read_chunk(struct mv_lazy *l, uint64_t at, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(l->file, l->buf + done, len - done, (off_t)(at + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			mv_err_at(&l->err, MV_E_INPUT, l->name, 0, 0, "reading memory at byte 0x%llx: %s",
				  (unsigned long long)(at + done),
				  n ? strerror(errno) : "the file has become shorter");
			return false;
		}
		done += (size_t)n;
	}
	return true;
}

/* Put pages in place that are not there yet. */
static bool place(struct mv_lazy *l, uint64_t pos, const uint8_t *from, size_t len)
{
	struct uffdio_copy c;
	size_t done = 0;

	while (done < len) {
		c = (struct uffdio_copy){ .dst = (uintptr_t)l->vm->ram + pos + done,
					  .src = (uintptr_t)from + done, .len = len - done };
		if (mv_kvm_do(l->uffd, UFFDIO_COPY, &c, NULL) >= 0)
			return true;
		/* It stops half-way when mappings change meanwhile. */
		if (c.copy > 0)
			done += (size_t)c.copy;
		else if (c.copy != -EAGAIN)
			break;
	}
	if (done >= len)
		return true;
	mv_err_at(&l->err, MV_E_FAILED, l->name, 0, 0, "memory at 0x%llx: UFFDIO_COPY: %s",
		  (unsigned long long)(pos + done), strerror(errno));
	return false;
}

/* The run that holds file offset at: the last that does not begin behind it. */
static const struct mv_run *run_at(const struct mv_manifest *m, uint64_t at)
{
	uint32_t low = 0, high = m->nruns;

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (m->runs[mid].offset <= at)
			low = mid;
		else
			high = mid;
	}
	return &m->runs[low];
}

/* Under lock. Nothing of the chunk is in place before all of it was verified. */
static bool load_chunk(struct mv_lazy *l, uint32_t i)
{
	uint64_t at = l->m.data_offset + (uint64_t)i * l->m.chunk_size;
	uint64_t left = l->m.file_size - at;
	size_t len = left < l->m.chunk_size ? (size_t)left : l->m.chunk_size, done, n;
	const struct mv_run *r = run_at(&l->m, at);

	if (l->err.code)
		return false;
	if (l->have[i])
		return true;
	if (!read_chunk(l, at, len))
		return false;
	if (!mv_manifest_chunk_ok(&l->m, i, l->buf, len)) {
		mv_err_at(&l->err, MV_E_INPUT, l->name, 0, 0,
			  "memory at byte 0x%llx: checksum of the %zu bytes does not match; the guest"
			  " did not see them", (unsigned long long)at, len);
		return false;
	}
	for (done = 0; done < len; done += n, r++) {
		uint64_t skip = at + done - r->offset, rest = r->npages * MV_PAGE_SIZE - skip;

		n = len - done < rest ? len - done : (size_t)rest;
		if (!place(l, r->pos + skip, l->buf + done, n))
			return false;
	}
	l->have[i] = 1;
	__atomic_fetch_sub(&l->left, 1, __ATOMIC_RELAXED);
	return true;
}

/* ---- faults ---- */

/* The last run that does not begin behind pos; NULL: there is none. */
static const struct mv_run *run_before(const struct mv_manifest *m, uint64_t pos)
{
	uint32_t low = 0, high = m->nruns;

	if (!m->nruns || m->runs[0].pos > pos)
		return NULL;
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (m->runs[mid].pos <= pos)
			low = mid;
		else
			high = mid;
	}
	return &m->runs[low];
}

static uint64_t end_of(const struct mv_run *r)
{
	return r->pos + r->npages * MV_PAGE_SIZE;
}

/* A page between two runs: zeros, and some of its neighbours with it. */
static bool place_zeros(struct mv_lazy *l, const struct mv_run *before, uint64_t pos)
{
	uint64_t first = pos / ZEROS * ZEROS, end = first + ZEROS, ram = (uintptr_t)l->vm->ram;
	const struct mv_run *after = before ? before + 1 : l->m.runs;
	struct uffdio_zeropage z;
	struct uffdio_range wake = { ram + pos, MV_PAGE_SIZE };

	if (before && end_of(before) > first)
		first = end_of(before);
	if (after < l->m.runs + l->m.nruns && after->pos < end)
		end = after->pos;
	if (end > l->vm->ram_size)
		end = l->vm->ram_size;
	z = (struct uffdio_zeropage){ .range = { ram + first, end - first } };
	if (mv_kvm_do(l->uffd, UFFDIO_ZEROPAGE, &z, NULL) >= 0)
		return true;
	/* Some are there already, or the range is not all ours: this one alone. */
	z = (struct uffdio_zeropage){ .range = wake };
	if (mv_kvm_do(l->uffd, UFFDIO_ZEROPAGE, &z, NULL) < 0 && z.zeropage != -EAGAIN)
		mv_kvm_do(l->uffd, UFFDIO_WAKE, &wake, NULL);
	return true;
}

/* Under lock. */
static bool load_page(struct mv_lazy *l, uint64_t pos)
{
	const struct mv_run *r = run_before(&l->m, pos);
	struct uffdio_range wake = { (uintptr_t)l->vm->ram + pos, MV_PAGE_SIZE };
	uint32_t chunk;

	if (!r || pos >= end_of(r))
		return place_zeros(l, r, pos);
	chunk = (uint32_t)((r->offset + (pos - r->pos) - l->m.data_offset) / l->m.chunk_size);
	if (!load_chunk(l, chunk))
		return false;
	/* Somebody else's fault may have brought it in between. */
	mv_kvm_do(l->uffd, UFFDIO_WAKE, &wake, NULL);
	return true;
}

static bool serve_faults(struct mv_lazy *l)
{
	struct uffd_msg msg[16];
	ssize_t n = read(l->uffd, msg, sizeof(msg));
	bool ok = true;

	pthread_mutex_lock(&l->lock);
	for (ssize_t i = 0; ok && i < n / (ssize_t)sizeof(msg[0]); i++)
		if (msg[i].event == UFFD_EVENT_PAGEFAULT)
			ok = load_page(l, (msg[i].arg.pagefault.address - (uintptr_t)l->vm->ram) &
						  ~(uint64_t)(MV_PAGE_SIZE - 1));
	pthread_mutex_unlock(&l->lock);
	return ok;
}

static bool load_next(struct mv_lazy *l)
{
	bool ok = true;

	pthread_mutex_lock(&l->lock);
	while (l->next < l->m.nchunks && l->have[l->next])
		l->next++;
	if (l->next < l->m.nchunks)
		ok = load_chunk(l, l->next);
	pthread_mutex_unlock(&l->lock);
	return ok;
}

/*
 * Memory that was taken away, and what to say to those of our own threads that touch it all the same (a
 * device that reads what the guest gave it): there is nothing they could go on with.
 */
static struct {
	uintptr_t first, end;
	void (*told)(int code, const char *why);
	int code;
	char why[sizeof(((struct mv_err *)0)->file) + sizeof(((struct mv_err *)0)->msg) + 4];
} lost;

static void touched(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;

	(void)context;
	if (at >= lost.first && at < lost.end && lost.told)
		lost.told(lost.code, lost.why);
	/* Anything else is what it ever was: the instruction is tried again, and ends the program. */
	signal(sig, SIG_DFL);
}

/* Whoever waits for a page gets an error instead of one. */
static void give_up(struct mv_lazy *l, const struct mv_err *err)
{
	struct sigaction sa = { .sa_sigaction = touched, .sa_flags = SA_SIGINFO };
	struct mv_event e = { .kind = MV_EVENT_ERROR, .err = *err };

	snprintf(lost.why, sizeof(lost.why), "%s: %s", e.err.file, e.err.msg);
	lost.told = l->vm->lost;
	lost.code = e.err.code;
	lost.end = (uintptr_t)l->vm->ram + l->vm->ram_size;
	__atomic_store_n(&lost.first, (uintptr_t)l->vm->ram, __ATOMIC_SEQ_CST);
	sigaction(SIGSEGV, &sa, NULL);
	mv_vm_post(l->vm, &e);
	mprotect(l->vm->ram, l->vm->ram_size, PROT_NONE);
}

static void *serve(void *ctx)
{
	struct mv_lazy *l = ctx;
	struct pollfd p[2] = {
		{ .fd = l->uffd, .events = POLLIN }, { .fd = l->stop_fd, .events = POLLIN },
	};
	int wait = HEAD_START;
	struct mv_err err;
	bool ok = true;

	while (ok && !p[1].revents) {
		int n = poll(p, 2, wait);

		if (n > 0 && p[0].revents)
			ok = serve_faults(l);
		else if (n == 0)
			ok = load_next(l);
		if (n == 0)
			wait = 0;
		if (__atomic_load_n(&l->left, __ATOMIC_RELAXED) == 0)
			break;
	}
	pthread_mutex_lock(&l->lock);
	err = l->err;
	pthread_mutex_unlock(&l->lock);
	if (err.code)
		give_up(l, &err);
	else if (!p[1].revents)
		__atomic_store_n(&l->vm->ram_plain, true, __ATOMIC_SEQ_CST);
	/* From here on a page that is missing is one of zeros; those who wait wake up. */
	close(l->uffd);
	close(l->file);
	l->file = -1;
	return NULL;
}

/* ---- start and end ---- */

static bool watch(struct mv_lazy *l, uint64_t first, uint64_t end)
{
	struct uffdio_register r = {
		.range = { (uintptr_t)l->vm->ram + first, end - first },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return mv_kvm_do(l->uffd, UFFDIO_REGISTER, &r, NULL) >= 0;
}

/* The runs, and small holes between them: each range is a mapping of the kernel's. */
static bool watch_runs(struct mv_lazy *l)
{
	const struct mv_run *r = l->m.runs, *last = r + l->m.nruns;
	uint64_t first = r->pos, end = end_of(r);

	for (r++; r < last; r++) {
		if (r->pos - end >= HOLE) {
			if (!watch(l, first, end))
				return false;
			first = r->pos;
		}
		end = end_of(r);
	}
	return watch(l, first, end);
}

void mv_lazy_prepare(struct mv_vm *vm)
{
	vm->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
#ifdef USERFAULTFD_IOC_NEW
	if (vm->uffd < 0) {
		int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

		if (dev >= 0) {
			vm->uffd = mv_kvm_do_value(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK, NULL);
			close(dev);
		}
	}
#endif
}

static int take_uffd(struct mv_lazy *l, struct mv_err *err)
{
	struct uffdio_api api = { .api = UFFD_API };

	l->uffd = l->vm->uffd;
	l->vm->uffd = -1;
	if (l->uffd < 0 || mv_kvm_do(l->uffd, UFFDIO_API, &api, NULL) < 0)
		return mv_err_set(err, MV_E_HOST, "there is no userfaultfd");
	return 0;
}

static void release(struct mv_lazy *l)
{
	if (l->stop_fd >= 0)
		close(l->stop_fd);
	if (!l->started && l->uffd >= 0)
		close(l->uffd);
	if (l->file >= 0)
		close(l->file);
	mv_manifest_finish(&l->m);
	pthread_mutex_destroy(&l->lock);
	free(l->have);
	free(l->buf);
	free(l->name);
	free(l);
}

static int set_up(struct mv_lazy *l, struct mv_snapshot *snap, struct mv_err *err)
{
	const struct mv_manifest *m = mv_snapshot_manifest(snap);
	int rc = take_uffd(l, err);

	if (rc)
		return rc;
	l->file = fcntl(mv_snapshot_fd(snap), F_DUPFD_CLOEXEC, 0);
	l->stop_fd = eventfd(0, EFD_CLOEXEC);
	l->name = strdup(mv_snapshot_name(snap));
	l->buf = malloc(m->chunk_size);
	l->have = calloc(m->nchunks, 1);
	if (l->file < 0 || l->stop_fd < 0 || !l->name || !l->buf || !l->have)
		return mv_err_set(err, MV_E_FAILED, "out of memory or descriptors");
	mv_snapshot_take_manifest(snap, &l->m);
	l->left = l->m.nchunks;
	if (!watch_runs(l))
		return mv_err_set(err, MV_E_FAILED, "UFFDIO_REGISTER: %s", strerror(errno));
	l->vm->ram_plain = false;
	l->started = !mv_thread_start(&l->thread, serve, l, 0);
	return l->started ? 0 : mv_err_set(err, MV_E_FAILED, "no thread for the guest's memory");
}

int mv_lazy_start(struct mv_vm *vm, struct mv_snapshot *snap, struct mv_err *err)
{
	struct mv_lazy *l;
	int rc;

	if (!mv_snapshot_manifest(snap)->nruns)
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	l->vm = vm;
	l->file = l->uffd = l->stop_fd = -1;
	pthread_mutex_init(&l->lock, NULL);
	rc = set_up(l, snap, err);
	if (rc)
		release(l);
	else
		vm->lazy = l;
	return rc;
}

void mv_lazy_stop(struct mv_lazy *l)
{
	if (!l)
		return;
	mv_thread_wake(l->stop_fd);
	pthread_join(l->thread, NULL);
	release(l);
}

/* Under lock: what went wrong, if anything did. Then it is the thread's to end the guest. */
static int outcome(const struct mv_lazy *l, struct mv_err *err)
{
	if (l->err.code) {
		mv_thread_wake(l->stop_fd);
		if (err)
			*err = l->err;
	}
	return -l->err.code;
}

int mv_lazy_need(struct mv_lazy *l, uint64_t pos, uint64_t len, struct mv_err *err)
{
	const struct mv_run *r;
	int rc;

	if (!l)
		return 0;
	pthread_mutex_lock(&l->lock);
	for (uint64_t page = pos & ~(uint64_t)(MV_PAGE_SIZE - 1); page < pos + len; page += MV_PAGE_SIZE) {
		r = run_before(&l->m, page);
		if (r && page < end_of(r) &&
		    !load_chunk(l, (uint32_t)((r->offset + (page - r->pos) - l->m.data_offset) /
					      l->m.chunk_size)))
			break;
	}
	rc = outcome(l, err);
	pthread_mutex_unlock(&l->lock);
	return rc;
}

int mv_lazy_finish(struct mv_lazy *l, const bool *cancelled, struct mv_err *err)
{
	int rc = 0;

	for (uint32_t i = 0; l && rc == 0 && i < l->m.nchunks; i++) {
		if (cancelled && __atomic_load_n(cancelled, __ATOMIC_SEQ_CST))
			return mv_err_set(err, MV_E_FAILED, MV_CANCELLED);
		/* One by one: a guest that runs meanwhile comes in between. */
		pthread_mutex_lock(&l->lock);
		load_chunk(l, i);
		rc = outcome(l, err);
		pthread_mutex_unlock(&l->lock);
	}
	/* Pages that are missing now are zeros, whether the thread has noticed or not. */
	if (l && rc == 0)
		__atomic_store_n(&l->vm->ram_plain, true, __ATOMIC_SEQ_CST);
	return rc;
}
