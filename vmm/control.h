/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a running VM: one JSON object a line, request and reply; a
 * migration has several replies (docs/control-socket.md). Sockets live in the runtime folder, mode 0600.
 */
#ifndef MV_VMM_CONTROL_H
#define MV_VMM_CONTROL_H

#include <json-c/json.h>
#include <stdbool.h>

#include "err.h"

#define MV_NAME_MAX 63

#define MV_CONTROL_CLIENTS 8

struct mv_control_client {
	int fd;			/* -1: nobody */
	bool keep;		/* waits for something, and is not given up for a new one */
	size_t have;
	char *line;		/* what came so far of a request; none before the first byte */
};

struct mv_control {
	int listen_fd;		/* -1: none */
	unsigned next;		/* where to look first for a slot to be given up: the oldest */
	struct mv_control_client client[MV_CONTROL_CLIENTS];
	char path[108];
};

/* Letters, digits and "._-", not first '.' or '-', at most MV_NAME_MAX. */
bool mv_name_valid(const char *name);
bool mv_name_char(char c);

/* A closed one, for mv_control_close to accept. */
void mv_control_init(struct mv_control *c);
/* Claim the name. A stale socket is replaced; a living VM's is -MV_E_FAILED. */
int mv_control_open(struct mv_control *c, const char *name, struct mv_err *err);
void mv_control_close(struct mv_control *c);	/* removes the socket */

/*
 * Accept a connection; call when poll says so. There is room for MV_CONTROL_CLIENTS: one more takes
 * the place of the oldest, so that nobody can lock the others out.
 */
void mv_control_accept(struct mv_control *c);
/*
 * Read from that client: its request if it is complete now, or NULL. Malformed ones are answered
 * here. The caller releases it.
 */
struct json_object *mv_control_next(struct mv_control *c, unsigned client);
void mv_control_reply(struct mv_control *c, unsigned client,
		      struct json_object *reply);	/* takes the reference */

/* ---- the other side ---- */

/*
 * Send a request to VM name and wait for the reply; takes request's reference. -MV_E_FAILED if there
 * is no such VM, or with the VM's own message if it says no.
 */
int mv_control_call(const char *name, struct json_object *request, struct json_object **reply,
		    struct mv_err *err);
/*
 * The same of a request that ends the VM: returns once its process is gone, and with it the VM's hold on its
 * name and its disks. -MV_E_FAILED, too, if it is still there after a minute.
 */
int mv_control_call_last(const char *name, struct json_object *request, struct json_object **reply,
			 struct mv_err *err);

/* The same with more than one reply: begin, next until the reply that is the last one, end. */
struct mv_call {
	int fd;
	int pid_fd;		/* readable once the VM's process is gone; -1: that can't be told */
	char name[MV_NAME_MAX + 1];
	char *buf;
	size_t have, room;
};
int mv_call_begin(struct mv_call *c, const char *name, struct json_object *request,
		  struct mv_err *err);
int mv_call_next(struct mv_call *c, struct json_object **reply, struct mv_err *err);
void mv_call_end(struct mv_call *c);

/*
 * Call fn for each name that has a socket, with what that VM says of its status; NULL: it does not answer. Stale
 * sockets are removed.
 */
int mv_control_list(void (*fn)(void *ctx, const char *name, struct json_object *status), void *ctx,
		    struct mv_err *err);

#endif
