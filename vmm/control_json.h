/* SPDX-License-Identifier: MIT */
/* What is said over the control socket: members of requests, and of replies. */
#ifndef MV_VMM_CONTROL_JSON_H
#define MV_VMM_CONTROL_JSON_H

#include <json-c/json.h>

#include "mig_ops.h"

/* A member that is text; "" if it is not there. */
const char *mv_request_string(struct json_object *request, const char *name);

/* Where a VM is to be moved, and how; what is not said is as by default. -MV_E_USAGE. */
int mv_move_request(struct mv_move_opts *opts, struct json_object *request, struct mv_err *err);

void mv_reply_text(struct json_object *o, const char *name, const char *value);
void mv_reply_number(struct json_object *o, const char *name, uint64_t value);
void mv_reply_error(struct json_object *reply, const struct mv_err *err);
struct json_object *mv_reply_progress(const struct mv_live_progress *p);	/* the caller's */

#endif
