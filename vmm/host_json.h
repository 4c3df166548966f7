/* SPDX-License-Identifier: MIT */
/* Host files: struct mv_host as JSON (docs/host-file.md). */
#ifndef MV_VMM_HOST_JSON_H
#define MV_VMM_HOST_JSON_H

#include "host.h"
#include "json.h"

struct json_object *mv_host_to_json(const struct mv_host *h);

/* Read parsed JSON; mv_host_import (import.h) reads files. -MV_E_INPUT names file, member and reason. */
int mv_host_from_json(struct mv_host *h, const char *file, struct json_object *o, struct mv_err *err);

/* Write one, whole or not at all. */
int mv_host_save(const struct mv_host *h, const char *path, struct mv_err *err);

#endif
