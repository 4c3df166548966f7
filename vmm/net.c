/* SPDX-License-Identifier: MIT */
#include "net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

/* ---- addresses ---- */

static int bad(const char *text, const char *why, struct mv_err *err)
{
	mv_err_set(err, MV_E_USAGE, "'%s' is no address: %s", text, why);
	mv_err_hint(err, "tcp:HOST:PORT or unix:PATH");
	return -MV_E_USAGE;
}

static int parse_tcp(struct mv_addr *a, const char *text, struct mv_err *err)
{
	const char *host = text + 4, *colon = strrchr(host, ':'), *end = colon;
	unsigned long port;
	char *rest;

	if (!colon)
		return bad(text, "the port is missing", err);
	if (*host == '[') {
		host++;
		end--;
		if (end < host || *end != ']')
			return bad(text, "the bracket is not closed before the port", err);
	} else if (memchr(host, ':', (size_t)(colon - host))) {
		return bad(text, "a host with colons goes in brackets", err);
	}
	if (end == host)
		return bad(text, "the host is missing", err);
	if ((size_t)(end - host) >= sizeof(a->host))
		return bad(text, "the host is too long", err);
	port = strtoul(colon + 1, &rest, 10);
	if (colon[1] < '0' || colon[1] > '9' || *rest || port > 65535)
		return bad(text, "the port is not a number up to 65535", err);
	a->tcp = true;
	memcpy(a->host, host, (size_t)(end - host));
	a->host[end - host] = '\0';
	snprintf(a->port, sizeof(a->port), "%lu", port);
	return 0;
}

int mv_addr_parse(struct mv_addr *a, const char *text, struct mv_err *err)
{
	memset(a, 0, sizeof(*a));
	if (!strncmp(text, "tcp:", 4))
		return parse_tcp(a, text, err);
	if (strncmp(text, "unix:", 5))
		return bad(text, "it begins with neither tcp: nor unix:", err);
	if (!text[5])
		return bad(text, "the path is missing", err);
	if (strlen(text + 5) >= sizeof(a->path))
		return bad(text, "the path is too long for a socket", err);
	snprintf(a->path, sizeof(a->path), "%s", text + 5);
	return 0;
}

void mv_addr_format(const struct mv_addr *a, char text[MV_ADDR_TEXT])
{
	bool colons = strchr(a->host, ':');

	if (a->tcp)
		snprintf(text, MV_ADDR_TEXT, "tcp:%s%s%s:%s", colons ? "[" : "", a->host,
			 colons ? "]" : "", a->port);
	else
		snprintf(text, MV_ADDR_TEXT, "unix:%s", a->path);
}

static bool loopback(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		return ntohl(in.sin_addr.s_addr) >> 24 == 127;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in;

		memcpy(&in, sa, sizeof(in));
		return IN6_IS_ADDR_LOOPBACK(&in.sin6_addr);
	}
	return false;
}

/* All that a host stands for; released by freeaddrinfo. */
static int resolve(struct addrinfo **list, const char *host, const char *port, int flags, struct mv_err *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags };
	int rc = getaddrinfo(host, port, &hints, list);

	return rc ? mv_err_set(err, MV_E_USAGE, "%s: %s", host, gai_strerror(rc)) : 0;
}

bool mv_addr_add(struct mv_addr *a, const char *number)
{
	size_t len = number ? strlen(number) : 0;

	if (a->nat == MV_ADDR_MOST || !len || len >= MV_ADDR_NUMBER)
		return false;
	memcpy(a->at[a->nat++], number, len + 1);
	return true;
}

int mv_addr_look_up(struct mv_addr *a, struct mv_err *err)
{
	char number[MV_ADDR_NUMBER];
	struct addrinfo *list;
	int rc = resolve(&list, a->host, a->port, 0, err);

	if (rc)
		return rc;
	a->nat = 0;
	for (const struct addrinfo *i = list; i; i = i->ai_next)
		if (!getnameinfo(i->ai_addr, i->ai_addrlen, number, sizeof(number), NULL, 0, NI_NUMERICHOST))
			mv_addr_add(a, number);
	freeaddrinfo(list);
	return 0;
}

/* Only to this machine, unless anywhere. */
static int allowed(const struct addrinfo *list, const char *host, bool anywhere, struct mv_err *err)
{
	for (const struct addrinfo *i = list; i && !anywhere; i = i->ai_next) {
		if (loopback(i->ai_addr))
			continue;
		mv_err_set(err, MV_E_USAGE, "%s is not this machine, and the connection would be "
					    "neither encrypted nor authenticated", host);
		mv_err_hint(err, "--tls-dir on both sides; or --insecure, where nobody else can reach "
				 "the network between");
		return -MV_E_USAGE;
	}
	return 0;
}

static void unix_address(struct sockaddr_un *sun, const struct mv_addr *a)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, a->path, sizeof(sun->sun_path));
}

/* ---- listening ---- */

static bool stale(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCKET_FLAGS, 0);
	bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) &&
		   errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return yes;
}

static int listen_unix(const struct mv_addr *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCKET_FLAGS, 0), rc;
	struct sockaddr_un sun;
	bool bound;
	mode_t old;

	if (fd < 0)
		return -errno;
	unix_address(&sun, a);
	old = umask(0177);
	rc = bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	if (rc && errno == EADDRINUSE && stale(&sun) && !unlink(sun.sun_path))
		rc = bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	umask(old);
	bound = !rc;
	if (rc || listen(fd, 1)) {
		rc = -errno;
		if (bound)
			unlink(sun.sun_path);
		close(fd);
		return rc;
	}
	return fd;
}

static int listen_on(const struct addrinfo *i)
{
	int one = 1, fd = socket(i->ai_family, i->ai_socktype | SOCKET_FLAGS, i->ai_protocol), rc;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(fd, i->ai_addr, i->ai_addrlen) && !listen(fd, 1))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static void learn_port(struct mv_listener *l)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (!getsockname(l->fd, (struct sockaddr *)&ss, &len))
		getnameinfo((struct sockaddr *)&ss, len, NULL, 0, l->addr.port,
			    sizeof(l->addr.port), NI_NUMERICSERV);
}

int mv_net_listen(struct mv_listener *l, const struct mv_addr *a, bool anywhere,
		  struct mv_err *err)
{
	char text[MV_ADDR_TEXT];
	struct addrinfo *list;
	int rc;

	l->addr = *a;
	if (!a->tcp) {
		l->fd = listen_unix(a);
	} else {
		rc = resolve(&list, a->host, a->port, AI_PASSIVE, err);
		if (rc)
			return rc;
		rc = allowed(list, a->host, anywhere, err);
		l->fd = rc ? -1 : listen_on(list);
		freeaddrinfo(list);
		if (rc)
			return rc;
	}
	mv_addr_format(a, text);
	if (l->fd < 0)
		return mv_err_set(err, MV_E_FAILED, "can't listen on %s: %s", text,
				  strerror(-l->fd));
	if (a->tcp)
		learn_port(l);
	return 0;
}

void mv_net_unlisten(struct mv_listener *l)
{
	if (l->fd < 0)
		return;
	/* In this order: without a listener it would look stale, and become somebody else's. */
	if (!l->addr.tcp)
		unlink(l->addr.path);
	close(l->fd);
	l->fd = -1;
}

static void tune(int fd)
{
	int one = 1;

	/* The short messages are what the guest waits for. Fails on a Unix socket, rightly. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void describe(const struct mv_listener *l, const struct sockaddr *sa, socklen_t len,
		     char peer[MV_ADDR_TEXT])
{
	struct mv_addr a = { .tcp = true };

	if (l->addr.tcp && !getnameinfo(sa, len, a.host, sizeof(a.host), a.port, sizeof(a.port),
					NI_NUMERICHOST | NI_NUMERICSERV))
		mv_addr_format(&a, peer);
	else
		snprintf(peer, MV_ADDR_TEXT, "the source");
}

int mv_net_accept(const struct mv_listener *l, int cancel_fd, char peer[MV_ADDR_TEXT],
		  struct mv_err *err)
{
	struct pollfd p[2] = {
		{ .fd = l->fd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN },
	};
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd, n;

	do {
		n = poll(p, 2, -1);
		if (n > 0 && p[1].revents)
			return mv_err_set(err, MV_E_FAILED, "nobody came in time");
		fd = n < 0 ? -1 : accept4(l->fd, (struct sockaddr *)&ss, &len, SOCKET_FLAGS);
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED));
	if (fd < 0)
		return mv_err_set(err, MV_E_FAILED, "accepting a connection: %s", strerror(errno));
	tune(fd);
	describe(l, (struct sockaddr *)&ss, len, peer);
	return fd;
}

/* ---- connecting ---- */

/* 0, or what went wrong as an errno; ECANCELED. */
static int finish_connect(int fd, int timeout_ms, int cancel_fd)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = POLLOUT }, { .fd = cancel_fd, .events = POLLIN },
	};
	socklen_t len = sizeof(int);
	int n, e = 0;

	do
		n = poll(p, 2, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	if (p[1].revents)
		return ECANCELED;
	if (!n)
		return ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) ? errno : e;
}

static int connect_to(int family, const struct sockaddr *sa, socklen_t len, int timeout_ms,
		      int cancel_fd)
{
	int fd = socket(family, SOCK_STREAM | SOCKET_FLAGS, 0), e = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, sa, len))
		e = errno == EINPROGRESS ? finish_connect(fd, timeout_ms, cancel_fd) : errno;
	if (!e) {
		tune(fd);
		return fd;
	}
	close(fd);
	return -e;
}

struct place {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* Where to try, from numbers alone: how many, or -MV_E_USAGE. */
static int places(struct place p[MV_ADDR_MOST], const struct mv_addr *a, bool anywhere, struct mv_err *err)
{
	unsigned n = a->nat ? a->nat : 1;
	struct addrinfo *list;
	int rc;

	for (unsigned i = 0; i < n; i++) {
		rc = resolve(&list, a->nat ? a->at[i] : a->host, a->port, AI_NUMERICHOST, err);
		if (rc) {
			mv_err_hint(err, "a VM's process looks no names up; minivmm migrate does");
			return rc;
		}
		rc = allowed(list, a->host, anywhere, err);
		memcpy(&p[i].ss, list->ai_addr, list->ai_addrlen);
		p[i].len = list->ai_addrlen;
		freeaddrinfo(list);
		if (rc)
			return rc;
	}
	return (int)n;
}

int mv_net_connect(const struct mv_addr *a, bool anywhere, int timeout_ms, int cancel_fd,
		   struct mv_err *err)
{
	struct place p[MV_ADDR_MOST];
	char text[MV_ADDR_TEXT];
	struct sockaddr_un sun;
	int fd = -ENOENT, n;

	if (!a->tcp) {
		unix_address(&sun, a);
		fd = connect_to(AF_UNIX, (struct sockaddr *)&sun, sizeof(sun), timeout_ms, cancel_fd);
	} else {
		n = places(p, a, anywhere, err);
		if (n < 0)
			return n;
		for (int i = 0; i < n && fd < 0 && fd != -ECANCELED; i++)
			fd = connect_to(p[i].ss.ss_family, (const struct sockaddr *)&p[i].ss, p[i].len, timeout_ms,
					cancel_fd);
	}
	mv_addr_format(a, text);
	if (fd == -ECANCELED)
		return mv_err_set(err, MV_E_FAILED, MV_CANCELLED);
	if (fd < 0)
		return mv_err_set(err, MV_E_FAILED, "connecting to %s: %s", text, strerror(-fd));
	return fd;
}
