/* SPDX-License-Identifier: MIT */
/* Where VMs move: addresses as people write them, listening, connecting. */
#ifndef MV_VMM_NET_H
#define MV_VMM_NET_H

#include <stdbool.h>

#include "err.h"

#define MV_ADDR_MOST 8
#define MV_ADDR_NUMBER 64

struct mv_addr {
	bool tcp;
	char host[256], port[8];	/* tcp */
	char at[MV_ADDR_MOST][MV_ADDR_NUMBER];	/* what the host's name stands for, in the order to try */
	unsigned nat;
	char path[108];			/* unix */
};

#define MV_ADDR_TEXT 280

/* "tcp:HOST:PORT" (HOST in brackets if it has colons) or "unix:PATH"; -MV_E_USAGE otherwise. */
int mv_addr_parse(struct mv_addr *a, const char *text, struct mv_err *err);
void mv_addr_format(const struct mv_addr *a, char text[MV_ADDR_TEXT]);

/*
 * Fill in what the host's name stands for. Only the command does that: looking a name up takes whatever the machine's
 * name service needs, and a VM's process may not do that (vmm/sandbox.def).
 */
int mv_addr_look_up(struct mv_addr *a, struct mv_err *err);
/* The same, of one that somebody else looked up; false if there are too many, or it can't be one (NULL). */
bool mv_addr_add(struct mv_addr *a, const char *number);

/*
 * What is sent here can be read and changed on its way. anywhere: it may leave the machine all the same,
 * since it will be encrypted or a person said so; otherwise -MV_E_USAGE. Descriptors are non-blocking and close on exec.
 */

struct mv_listener {
	int fd;
	struct mv_addr addr;	/* where it really listens: port 0 becomes a number */
};

/* A Unix socket is created with mode 0600; one that nobody listens on is replaced. */
int mv_net_listen(struct mv_listener *l, const struct mv_addr *a, bool anywhere,
		  struct mv_err *err);
/*
 * The next connection, or -MV_E_FAILED once cancel_fd (-1: none) becomes readable. peer tells who it is.
 */
int mv_net_accept(const struct mv_listener *l, int cancel_fd, char peer[MV_ADDR_TEXT],
		  struct mv_err *err);
void mv_net_unlisten(struct mv_listener *l);	/* removes a Unix socket */

/*
 * Connect within timeout_ms, unless cancel_fd (-1: none) becomes readable before. The descriptor. Looks no name up: tries
 * what was looked up, or the host as a number.
 */
int mv_net_connect(const struct mv_addr *a, bool anywhere, int timeout_ms, int cancel_fd,
		   struct mv_err *err);

#endif
