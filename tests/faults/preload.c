/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD: calls of the C library that fail when they are told to. MV_FAULTS=FILE is a state file, which
 * counts calls and says who made them; MV_FAULT=FUNCTION:N:KIND makes call N of FUNCTION, from 1, fail with
 * an errno of that name, or, by the name SHORT, transfer half of what was asked for. tests/faults/faults.py
 * has the other end.
 *
 * One row a function; what fails is given up before it does anything, but for close, which closes. Left alone is
 * memory that libraries ask for: json-c does not survive the lack of it. And eventfds and timers, which do not fail.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* X(function, what it may fail with) */
#define ROWS \
	X(open, "EMFILE EACCES ENOSPC EINTR") \
	X(fopen, "EMFILE EACCES") \
	X(opendir, "EMFILE EACCES") \
	X(read, "EIO EINTR SHORT") \
	X(pread, "EIO EINTR SHORT") \
	X(preadv, "EIO EINTR SHORT") \
	X(write, "EIO ENOSPC EINTR SHORT") \
	X(pwritev, "EIO ENOSPC EINTR SHORT") \
	X(fflush, "EIO ENOSPC") \
	X(fclose, "EIO ENOSPC") \
	X(close, "EIO") \
	X(fsync, "EIO ENOSPC") \
	X(fdatasync, "EIO ENOSPC") \
	X(fstat, "EIO") \
	X(stat, "EACCES") \
	X(lstat, "EACCES") \
	X(fchmod, "EPERM") \
	X(linkat, "EIO ENOSPC") \
	X(rename, "EIO ENOSPC") \
	X(unlink, "EACCES") \
	X(mkdir, "ENOSPC EACCES") \
	X(flock, "EINTR ENOLCK") \
	X(fcntl, "EIO") \
	X(socket, "EMFILE") \
	X(bind, "EACCES") \
	X(listen, "EADDRINUSE") \
	X(accept4, "EMFILE EINTR ECONNABORTED") \
	X(connect, "ECONNREFUSED EINTR") \
	X(send, "ECONNRESET EINTR SHORT") \
	X(recv, "ECONNRESET EINTR SHORT") \
	X(getsockopt, "ENOBUFS") \
	X(setsockopt, "ENOBUFS") \
	X(getsockname, "ENOBUFS") \
	X(poll, "EINTR ENOMEM") \
	X(eventfd, "EMFILE") \
	X(timerfd_create, "EMFILE") \
	X(timerfd_settime, "EINVAL") \
	X(signalfd, "EMFILE") \
	X(ioctl, "EIO ENOMEM") \
	X(mmap, "ENOMEM") \
	X(mprotect, "ENOMEM") \
	X(fork, "EAGAIN") \
	X(pthread_create, "EAGAIN") \
	X(open_memstream, "ENOMEM") \
	X(realpath, "EACCES ENOMEM") \
	X(strdup, "ENOMEM") \
	X(strndup, "ENOMEM") \
	X(malloc, "ENOMEM") \
	X(calloc, "ENOMEM") \
	X(realloc, "ENOMEM")

enum row {
#define X(name, kinds) ROW_##name,
	ROWS
#undef X
	NROWS
};

static const struct { const char *name, *kinds; } rows[NROWS] = {
#define X(name, kinds) { #name, kinds },
	ROWS
#undef X
};

static const struct { const char *name; int error; } errors[] = {
#define E(x) { #x, x }
	E(EMFILE), E(EACCES), E(ENOSPC), E(EINTR), E(EIO), E(EPERM), E(ENOLCK), E(EADDRINUSE), E(ECONNABORTED),
	E(ECONNREFUSED), E(ECONNRESET), E(ENOBUFS), E(ENOMEM), E(EAGAIN), E(EINVAL), { "SHORT", -1 },
#undef E
};

/* The state file, as faults.py reads it. */
#define SITES 4096
struct state {
	struct {
		char name[24], kinds[40];
		uint32_t calls, unused;
		uint64_t site[SITES];	/* who made the call: offset in the program; 0: a library */
	} row[NROWS];
	uint32_t hit, unused;		/* times that the fault struck */
	char where[104];		/* OBJECT+0xOFFSET of whom */
};

static struct state *state;
static uintptr_t program, program_end;
static enum row fault_row = NROWS;
static uint32_t fault_call;
static int fault_error;

static void parse_fault(const char *text)
{
	const char *colon = text ? strchr(text, ':') : NULL, *kind = colon ? strchr(colon + 1, ':') : NULL;

	if (!kind)
		return;
	for (int i = 0; i < NROWS; i++)
		if (strlen(rows[i].name) == (size_t)(colon - text) &&
		    !strncmp(rows[i].name, text, (size_t)(colon - text)))
			fault_row = (enum row)i;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (!strcmp(errors[i].name, kind + 1))
			fault_error = errors[i].error;
	fault_call = (uint32_t)strtoul(colon + 1, NULL, 10);
}

/* The first object is the program itself. */
static int find_program(struct dl_phdr_info *info, size_t size, void *unused)
{
	(void)size;
	(void)unused;
	program = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD)
			program_end = program + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
	return 1;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("MV_FAULTS");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_CREAT, 0600) : -1;
	void *p;

	if (fd < 0 || syscall(SYS_ftruncate, fd, sizeof(struct state)))
		return;
	p = (void *)syscall(SYS_mmap, NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (p == MAP_FAILED)
		return;
	dl_iterate_phdr(find_program, NULL);
	parse_fault(getenv("MV_FAULT"));
	for (int i = 0; i < NROWS; i++) {
		snprintf(((struct state *)p)->row[i].name, sizeof(state->row[i].name), "%s", rows[i].name);
		snprintf(((struct state *)p)->row[i].kinds, sizeof(state->row[i].kinds), "%s", rows[i].kinds);
	}
	state = p;
}

/* Count the call; 0, or the error that it is to fail with. */
static int struck(enum row row, void *from)
{
	uintptr_t at = (uintptr_t)from;
	bool ours = at >= program && at < program_end;
	uint32_t call;
	Dl_info info;

	if (!state || (row >= ROW_strdup && !ours))
		return 0;
	call = __atomic_add_fetch(&state->row[row].calls, 1, __ATOMIC_SEQ_CST);
	if (call <= SITES)
		state->row[row].site[call - 1] = ours ? at - program : 0;
	if (row != fault_row || call != fault_call)
		return 0;
	if (__atomic_add_fetch(&state->hit, 1, __ATOMIC_SEQ_CST) == 1 && dladdr(from, &info))
		snprintf(state->where, sizeof(state->where), "%.80s+0x%lx",
			 strrchr(info.dli_fname, '/') ? strrchr(info.dli_fname, '/') + 1 : info.dli_fname,
			 (unsigned long)(at - (uintptr_t)info.dli_fbase));
	if (fault_error > 0)
		errno = fault_error;
	return fault_error;
}

#define STRUCK(name) struck(ROW_##name, __builtin_return_address(0))

/* The function behind ours; a cast that ISO C has no words for. */
#define REAL(name) \
	static __typeof__(name) *real; \
	if (!real) \
		*(void **)&real = dlsym(RTLD_NEXT, #name)

/* ---- those that return -1, or a null pointer ---- */

#define WRAP(type, name, params, args, failed) \
	type name params \
	{ \
		REAL(name); \
		return STRUCK(name) ? (failed) : real args; \
	}

WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL)
WRAP(DIR *, opendir, (const char *path), (path), NULL)
WRAP(int, fsync, (int fd), (fd), -1)
WRAP(int, fdatasync, (int fd), (fd), -1)
WRAP(int, fflush, (FILE *f), (f), EOF)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), -1)
WRAP(int, stat, (const char *path, struct stat *st), (path, st), -1)
WRAP(int, lstat, (const char *path, struct stat *st), (path, st), -1)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), -1)
WRAP(int, rename, (const char *from, const char *to), (from, to), -1)
WRAP(int, unlink, (const char *path), (path), -1)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
WRAP(int, flock, (int fd, int how), (fd, how), -1)
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1)
WRAP(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1)
WRAP(int, listen, (int fd, int n), (fd, n), -1)
WRAP(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags), -1)
WRAP(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1)
WRAP(int, getsockopt, (int fd, int level, int name, void *v, socklen_t *n), (fd, level, name, v, n), -1)
WRAP(int, setsockopt, (int fd, int level, int name, const void *v, socklen_t n), (fd, level, name, v, n), -1)
WRAP(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), -1)
WRAP(int, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms), -1)
WRAP(int, eventfd, (unsigned n, int flags), (n, flags), -1)
WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), -1)
WRAP(int, timerfd_settime, (int fd, int flags, const struct itimerspec *t, struct itimerspec *old),
     (fd, flags, t, old), -1)
WRAP(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags), -1)
WRAP(void *, mmap, (void *at, size_t n, int prot, int flags, int fd, off_t o), (at, n, prot, flags, fd, o), MAP_FAILED)
WRAP(int, mprotect, (void *at, size_t n, int prot), (at, n, prot), -1)
WRAP(pid_t, fork, (void), (), -1)
WRAP(int, pthread_create, (pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg), (t, a, fn, arg),
     EAGAIN)
WRAP(char *, realpath, (const char *path, char *out), (path, out), NULL)
WRAP(char *, strdup, (const char *text), (text), NULL)
WRAP(char *, strndup, (const char *text, size_t n), (text, n), NULL)
WRAP(FILE *, open_memstream, (char **p, size_t *n), (p, n), NULL)

/* ---- with an argument that may be there or not ---- */

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	REAL(open);
	va_start(ap, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return STRUCK(open) ? -1 : real(path, flags, mode);
}

int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	REAL(fcntl);
	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return STRUCK(fcntl) ? -1 : real(fd, cmd, arg);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	REAL(ioctl);
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	return STRUCK(ioctl) ? -1 : real(fd, request, arg);
}

/* ---- what was closed is closed ---- */

int close(int fd)
{
	REAL(close);
	int rc = real(fd);

	return STRUCK(close) ? -1 : rc;
}

int fclose(FILE *f)
{
	REAL(fclose);
	int rc = real(f);

	return STRUCK(fclose) ? EOF : rc;
}

/* ---- transfers ---- */

static size_t half(size_t n)
{
	return n > 1 ? n / 2 : n;
}

/* Eight bytes are an eventfd's or a timer's. */
#define TRANSFER(name, params, args, n) \
	ssize_t name params \
	{ \
		REAL(name); \
		int error = n == 8 ? 0 : STRUCK(name); \
		if (error > 0) \
			return -1; \
		if (error) \
			n = half(n); \
		return real args; \
	}
TRANSFER(read, (int fd, void *p, size_t n), (fd, p, n), n)
TRANSFER(pread, (int fd, void *p, size_t n, off_t o), (fd, p, n, o), n)
TRANSFER(write, (int fd, const void *p, size_t n), (fd, p, n), n)
TRANSFER(send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), n)
TRANSFER(recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), n)

/* Of several pieces, half of the first. */
#define TRANSFER_V(name) \
	ssize_t name(int fd, const struct iovec *v, int n, off_t o) \
	{ \
		REAL(name); \
		struct iovec one = n > 0 ? *v : (struct iovec){ 0 }; \
		int error = STRUCK(name); \
		if (error > 0) \
			return -1; \
		one.iov_len = half(one.iov_len); \
		return error ? real(fd, &one, 1, o) : real(fd, v, n, o); \
	}
TRANSFER_V(preadv)
TRANSFER_V(pwritev)

/* ---- memory; dlsym itself needs some ---- */

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	return STRUCK(malloc) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return STRUCK(calloc) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return STRUCK(realloc) ? NULL : __libc_realloc(p, n);
}
