/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a running VM: one JSON object a line, request and reply
 * (docs/control-socket.md). Sockets live in the runtime folder, mode 0600.
 */
#ifndef MV_VMM_CONTROL_H
#define MV_VMM_CONTROL_H

#include <json-c/json.h>
#include <stdbool.h>

#include "err.h"

#define MV_NAME_MAX 63

struct mv_control {
	int listen_fd;		/* -1: none */
	int client_fd;		/* -1: nobody is connected */
	char path[108];
	char line[8192];	/* what came so far of a request */
	size_t have;
};

/* Letters, digits and "._-", not first '.' or '-', at most MV_NAME_MAX. */
bool mv_name_valid(const char *name);

/* Claim the name. A stale socket is replaced; a living VM's is -MV_E_FAILED. */
int mv_control_open(struct mv_control *c, const char *name, struct mv_err *err);
void mv_control_close(struct mv_control *c);	/* removes the socket */

/* Accept a connection, or read from the one there is; call when poll says so. */
void mv_control_accept(struct mv_control *c);
/* The next complete request, or NULL. Malformed ones are answered here. The caller releases it. */
struct json_object *mv_control_next(struct mv_control *c);
void mv_control_reply(struct mv_control *c, struct json_object *reply);	/* takes the reference */

/* ---- the other side ---- */

/*
 * Send a request to VM name and wait for the reply; takes request's reference. -MV_E_USAGE if there
 * is no such VM, -MV_E_FAILED with the VM's own message if it says no.
 */
int mv_control_call(const char *name, struct json_object *request, struct json_object **reply,
		    struct mv_err *err);

/* Call fn for each name that has a socket; stale sockets are removed. */
int mv_control_list(void (*fn)(void *ctx, const char *name), void *ctx, struct mv_err *err);

#endif
