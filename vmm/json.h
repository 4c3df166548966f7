/* SPDX-License-Identifier: MIT */
/* Reading JSON that may be hostile: every wrong type is an error with file and member name. And writing it. */
#ifndef MV_VMM_JSON_H
#define MV_VMM_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Parse one JSON document; file is for messages. -MV_E_INPUT with the line. */
int mv_json_parse(struct json_object **out, const char *file, const char *text, size_t len,
		  struct mv_err *err);

/*
 * A document as text, malloc'ed, in UTF-8 whatever is in it: names of files are bytes of any kind, and those
 * that are no UTF-8 become question marks. *changed (may be NULL): there were such. NULL: out of memory.
 */
char *mv_json_text(struct json_object *o, int flags, bool *changed);

/* A member, or NULL; with err not NULL a missing one is an error. */
struct json_object *mv_json_get(struct json_object *o, const char *member, json_type type,
				const char *file, struct mv_err *err);

/* A number given as a number or as a string in hexadecimal ("0x…"). */
int mv_json_u64(struct json_object *v, uint64_t *out);
/* "0x" and at least width digits, as a string. */
struct json_object *mv_json_hex(uint64_t v, int width);

#endif
