/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "json.h"
#include "paths.h"

#define SUFFIX ".sock"
#define WRITE_MS 2000			/* for a client to take a reply */
#define LINE_SIZE 8192			/* of a request */
#define MAX_REPLY (4u << 20)		/* bytes of a line from a VM */
#define LIST_S 2			/* for one of several VMs to say how it is */
#define END_MS 60000			/* for a VM's process to end */

static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

bool mv_name_char(char c)
{
	return c && strchr(name_chars, c);
}

bool mv_name_valid(const char *name)
{
	size_t n = strspn(name, name_chars);

	return n > 0 && n <= MV_NAME_MAX && !name[n] && name[0] != '.' && name[0] != '-';
}

static int no_folder(const char *dir, int why, struct mv_err *err)
{
	mv_err_set(err, MV_E_FAILED, "the folder for control sockets, %s: %s", dir, strerror(why));
	mv_err_hint(err, "XDG_RUNTIME_DIR names a folder in which there can be one of your own");
	return -MV_E_FAILED;
}

static int address(struct sockaddr_un *a, const char *name, struct mv_err *err)
{
	char dir[200];
	int rc = mv_runtime_dir(dir, sizeof(dir)), n;

	if (rc)
		return no_folder(dir, -rc, err);
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	n = snprintf(a->sun_path, sizeof(a->sun_path), "%s/%s" SUFFIX, dir, name);
	if (n < 0 || (size_t)n >= sizeof(a->sun_path))
		return mv_err_set(err, MV_E_USAGE, "the socket's path %s/%s" SUFFIX " is too long",
				  dir, name);
	return 0;
}

static int new_socket(int flags)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
}

/*
 * Names are taken and given up by one at a time: between finding a socket stale and removing it,
 * another VM might have made it its own. The lock is on the folder and goes with the descriptor.
 */
static int lock_names(void)
{
	char dir[200];
	int fd = mv_runtime_dir(dir, sizeof(dir)) ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && flock(fd, LOCK_EX) && errno == EINTR)
		;
	return fd;
}

static void unlock_names(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Is anybody there? One with a full queue is. */
static bool alive(const struct sockaddr_un *a)
{
	int fd = new_socket(SOCK_NONBLOCK);
	bool yes = fd >= 0 && (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 ||
			       (errno != ECONNREFUSED && errno != ENOENT));

	if (fd >= 0)
		close(fd);
	return yes;
}

static int claim(int fd, const struct sockaddr_un *a)
{
	int lock = lock_names();
	mode_t old = umask(0177);
	int rc = bind(fd, (const struct sockaddr *)a, sizeof(*a));

	if (rc && errno == EADDRINUSE && !alive(a)) {
		unlink(a->sun_path);
		rc = bind(fd, (const struct sockaddr *)a, sizeof(*a));
	}
	umask(old);
	if (rc) {
		rc = -errno;
	} else if (listen(fd, 8)) {
		rc = -errno;
		unlink(a->sun_path);
	}
	unlock_names(lock);
	return rc;
}

void mv_control_init(struct mv_control *c)
{
	c->listen_fd = -1;
	c->next = 0;
	for (unsigned i = 0; i < MV_CONTROL_CLIENTS; i++)
		c->client[i] = (struct mv_control_client){ .fd = -1 };
}

int mv_control_open(struct mv_control *c, const char *name, struct mv_err *err)
{
	struct sockaddr_un a;
	int rc = address(&a, name, err);

	mv_control_init(c);
	if (rc)
		return rc;
	c->listen_fd = new_socket(SOCK_NONBLOCK);
	rc = c->listen_fd < 0 ? -errno : claim(c->listen_fd, &a);
	if (rc) {
		if (c->listen_fd >= 0)
			close(c->listen_fd);
		c->listen_fd = -1;
		if (rc == -EADDRINUSE) {
			mv_err_set(err, MV_E_FAILED, "a VM named '%s' is running", name);
			mv_err_hint(err, "--name gives this one another");
			return -MV_E_FAILED;
		}
		return mv_err_set(err, MV_E_FAILED, "%s: %s", a.sun_path, strerror(-rc));
	}
	memcpy(c->path, a.sun_path, sizeof(c->path));
	return 0;
}

static void drop_client(struct mv_control_client *cl)
{
	if (cl->fd >= 0)
		close(cl->fd);
	free(cl->line);
	*cl = (struct mv_control_client){ .fd = -1 };
}

void mv_control_close(struct mv_control *c)
{
	if (c->listen_fd >= 0) {
		/* In this order: without a listener it would look stale, and become somebody else's. */
		unlink(c->path);
		close(c->listen_fd);
		c->listen_fd = -1;
	}
	/* Then whoever asked it: the name is free when they hear of the end. */
	for (unsigned i = 0; i < MV_CONTROL_CLIENTS; i++)
		drop_client(&c->client[i]);
}

void mv_control_accept(struct mv_control *c)
{
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	unsigned slot = c->next;

	if (fd < 0)
		return;
	for (unsigned i = 0; i < MV_CONTROL_CLIENTS && c->client[slot].fd >= 0; i++)
		slot = (slot + 1) % MV_CONTROL_CLIENTS;
	/* One at most is kept, so this ends. */
	while (c->client[slot].keep)
		slot = (slot + 1) % MV_CONTROL_CLIENTS;
	drop_client(&c->client[slot]);
	c->client[slot].fd = fd;
	c->next = (slot + 1) % MV_CONTROL_CLIENTS;
}

static void complain(struct mv_control *c, unsigned client, const char *why)
{
	struct json_object *r = json_object_new_object();

	json_object_object_add(r, "error", json_object_new_string(why));
	mv_control_reply(c, client, r);
}

struct json_object *mv_control_next(struct mv_control *c, unsigned client)
{
	struct mv_control_client *cl = &c->client[client];
	struct json_object *request = NULL;
	char *nl;
	ssize_t n;

	if (cl->fd < 0)
		return NULL;
	if (!cl->line)
		cl->line = malloc(LINE_SIZE);
	if (!cl->line) {
		drop_client(cl);
		return NULL;
	}
	n = read(cl->fd, cl->line + cl->have, LINE_SIZE - 1 - cl->have);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	if (n <= 0) {
		drop_client(cl);
		return NULL;
	}
	cl->have += (size_t)n;
	cl->line[cl->have] = '\0';
	nl = memchr(cl->line, '\n', cl->have);
	if (!nl) {
		if (cl->have == LINE_SIZE - 1) {
			complain(c, client, "the request is too long");
			drop_client(cl);
		}
		return NULL;
	}
	/* One request at a time: what follows it on the wire is dropped. */
	if (mv_json_parse(&request, "request", cl->line, (size_t)(nl - cl->line), NULL) ||
	    !json_object_is_type(request, json_type_object)) {
		json_object_put(request);
		request = NULL;
		complain(c, client, "the request is not a JSON object");
	}
	cl->have = 0;
	return request;
}

/* A long reply may not fit at once. */
static bool writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, WRITE_MS) > 0;
}

static int write_line(int fd, const char *text)
{
	size_t len = strlen(text), done = 0;
	int rc = 0;

	while (rc == 0 && done <= len) {
		ssize_t n = done < len ? send(fd, text + done, len - done, MSG_NOSIGNAL)
				       : send(fd, "\n", 1, MSG_NOSIGNAL);

		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR && (errno != EAGAIN || !writable(fd)))
			rc = -errno;
	}
	return rc;
}

void mv_control_reply(struct mv_control *c, unsigned client, struct json_object *reply)
{
	struct mv_control_client *cl = &c->client[client];
	char *text = mv_json_text(reply, JSON_C_TO_STRING_PLAIN, NULL);

	/* A client that went away, or does not read, only harms itself. */
	if (cl->fd >= 0 && (!text || write_line(cl->fd, text)))
		drop_client(cl);
	free(text);
	json_object_put(reply);
}

/* ---- the other side ---- */

static int gone(const struct mv_call *c, struct mv_err *err)
{
	return mv_err_set(err, MV_E_FAILED, "VM '%s' went away without an answer", c->name);
}

/* By whoever made the socket; before anything is asked of it, as the number may become another's afterwards. */
static int process_of(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) || who.pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, who.pid, 0);
}

static int reach(struct mv_call *c, int seconds, struct mv_err *err)
{
	const struct timeval limit = { .tv_sec = seconds };
	struct sockaddr_un a;
	int rc = address(&a, c->name, err);

	if (rc)
		return rc;
	c->fd = new_socket(0);
	if (c->fd >= 0 && seconds) {
		setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	}
	if (c->fd >= 0 && !connect(c->fd, (const struct sockaddr *)&a, sizeof(a))) {
		c->pid_fd = process_of(c->fd);
		return 0;
	}
	if (c->fd < 0 || (errno != ENOENT && errno != ECONNREFUSED))
		return mv_err_set(err, MV_E_FAILED, "%s: %s", a.sun_path, strerror(errno));
	mv_err_set(err, MV_E_FAILED, "no VM named '%s' is running", c->name);
	mv_err_hint(err, "minivmm list shows those that are");
	return -MV_E_FAILED;
}

static int ask(const struct mv_call *c, struct json_object *request, struct mv_err *err)
{
	bool changed;
	char *text = mv_json_text(request, JSON_C_TO_STRING_PLAIN, &changed);
	int rc = text ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");

	/* Better than a file of another name. */
	if (rc == 0 && changed)
		rc = mv_err_set(err, MV_E_USAGE, "a name that is not UTF-8 can't be told to a VM");
	if (rc == 0 && write_line(c->fd, text))
		rc = gone(c, err);
	free(text);
	return rc;
}

/* seconds: how long it may be silent; 0: for ever. */
static int begin(struct mv_call *c, const char *name, struct json_object *request, int seconds, struct mv_err *err)
{
	int rc = 0;

	*c = (struct mv_call){ .fd = -1, .pid_fd = -1 };
	snprintf(c->name, sizeof(c->name), "%.*s", MV_NAME_MAX, name);
	if (!mv_name_valid(name))
		rc = mv_err_set(err, MV_E_USAGE, "'%s' can't be a VM's name", name);
	if (rc == 0)
		rc = reach(c, seconds, err);
	if (rc == 0)
		rc = ask(c, request, err);
	json_object_put(request);
	return rc;
}

int mv_call_begin(struct mv_call *c, const char *name, struct json_object *request,
		  struct mv_err *err)
{
	return begin(c, name, request, 0, err);
}

static bool read_more(struct mv_call *c)
{
	ssize_t n;

	if (c->have == c->room) {
		size_t room = c->room ? c->room * 2 : 65536;
		char *p = room > MAX_REPLY ? NULL : realloc(c->buf, room);

		if (!p)
			return false;
		c->buf = p;
		c->room = room;
	}
	do
		n = read(c->fd, c->buf + c->have, c->room - c->have);
	while (n < 0 && errno == EINTR);
	c->have += n > 0 ? (size_t)n : 0;
	return n > 0;
}

int mv_call_next(struct mv_call *c, struct json_object **reply, struct mv_err *err)
{
	char *nl = NULL;
	size_t len;
	int rc;

	*reply = NULL;
	while (!c->have || !(nl = memchr(c->buf, '\n', c->have)))
		if (!read_more(c))
			return gone(c, err);
	len = (size_t)(nl - c->buf);
	rc = mv_json_parse(reply, "reply", c->buf, len, err);
	c->have -= len + 1;
	memmove(c->buf, nl + 1, c->have);
	return rc;
}

void mv_call_end(struct mv_call *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->pid_fd >= 0)
		close(c->pid_fd);
	free(c->buf);
	*c = (struct mv_call){ .fd = -1, .pid_fd = -1 };
}

/* The reply, unless it says no. */
static int reply_of(struct mv_call *c, struct json_object **reply, struct mv_err *err)
{
	struct json_object *e = NULL, *hint = NULL;
	int rc = mv_call_next(c, reply, err);

	if (rc || !json_object_object_get_ex(*reply, "error", &e))
		return rc;
	rc = mv_err_set(err, MV_E_FAILED, "%s", json_object_get_string(e));
	if (json_object_object_get_ex(*reply, "hint", &hint))
		mv_err_hint(err, "%s", json_object_get_string(hint));
	json_object_put(*reply);
	*reply = NULL;
	return rc;
}

static int await_end(const struct mv_call *c, struct mv_err *err)
{
	struct pollfd p = { .fd = c->pid_fd, .events = POLLIN };
	int n = 1;

	while (c->pid_fd >= 0 && (n = poll(&p, 1, END_MS)) < 0 && errno == EINTR)
		;
	return n ? 0 : mv_err_set(err, MV_E_FAILED, "VM '%s' was told to end, and its process is still there", c->name);
}

static int call(const char *name, struct json_object *request, bool last, struct json_object **reply,
		struct mv_err *err)
{
	struct mv_call c;
	int rc = mv_call_begin(&c, name, request, err);

	*reply = NULL;
	if (rc == 0)
		rc = reply_of(&c, reply, err);
	if (rc == 0 && last)
		rc = await_end(&c, err);
	mv_call_end(&c);
	if (rc) {
		json_object_put(*reply);
		*reply = NULL;
	}
	return rc;
}

int mv_control_call(const char *name, struct json_object *request, struct json_object **reply,
		    struct mv_err *err)
{
	return call(name, request, false, reply, err);
}

int mv_control_call_last(const char *name, struct json_object *request, struct json_object **reply,
			 struct mv_err *err)
{
	return call(name, request, true, reply, err);
}

/* Unless it came to life meanwhile. */
static void remove_stale(const struct sockaddr_un *a)
{
	int lock = lock_names();

	if (!alive(a))
		unlink(a->sun_path);
	unlock_names(lock);
}

/* One that is stopped, or stuck, must not keep the others from being seen. */
static struct json_object *status_of(const char *name)
{
	struct json_object *request = json_object_new_object(), *reply = NULL;
	struct mv_call c;

	json_object_object_add(request, "command", json_object_new_string("status"));
	if (begin(&c, name, request, LIST_S, NULL) == 0)
		reply_of(&c, &reply, NULL);
	mv_call_end(&c);
	return reply;
}

static bool name_of(char name[MV_NAME_MAX + 1], const char *file)
{
	size_t len = strlen(file), end = strlen(SUFFIX);

	if (len <= end || len - end > MV_NAME_MAX || strcmp(file + len - end, SUFFIX))
		return false;
	snprintf(name, MV_NAME_MAX + 1, "%.*s", (int)(len - end), file);
	return mv_name_valid(name);
}

int mv_control_list(void (*fn)(void *ctx, const char *name, struct json_object *status), void *ctx,
		    struct mv_err *err)
{
	struct dirent *e;
	char dir[200];
	int rc = mv_runtime_dir(dir, sizeof(dir));
	DIR *d = rc ? NULL : opendir(dir);

	if (!d)
		return no_folder(dir, rc ? -rc : errno, err);
	while ((e = readdir(d))) {
		struct json_object *status;
		char name[MV_NAME_MAX + 1];
		struct sockaddr_un a;

		if (!name_of(name, e->d_name) || address(&a, name, NULL))
			continue;
		status = status_of(name);
		if (status || alive(&a))
			fn(ctx, name, status);
		else
			remove_stale(&a);
	}
	closedir(d);
	return 0;
}
