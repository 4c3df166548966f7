/* SPDX-License-Identifier: MIT */
/* The state records of a snapshot as JSON; names are those of docs/stream-format.md. */
#ifndef MV_VMM_STATE_JSON_H
#define MV_VMM_STATE_JSON_H

#include "json.h"
#include "manifest.h"
#include "state.h"

/* {"clock": {...}, "irqchip": {...} or null, "devices": [...], "cpuid-sites": [...], "vcpus": [...]} */
struct json_object *mv_state_to_json(const struct mv_state *s);

/* Which pages are stored where, and their checksums. */
struct json_object *mv_manifest_to_json(const struct mv_manifest *m);

#endif
