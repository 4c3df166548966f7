/* SPDX-License-Identifier: MIT */
/* What minivmm fleet writes of a judged fleet, each form in a file of its own. */
#ifndef MV_CLI_FLEET_OUT_H
#define MV_CLI_FLEET_OUT_H

#include "cli.h"
#include "fleet.h"

/* Pairs that are explained at most: the page and the JSON stay readable, and quick to make. */
#define MV_FLEET_EXPLAINED 40000u

/* Tables for people, by libsmartcols. */
int mv_fleet_print(struct mv_fleet *f, struct mv_err *err);
/* All of it; *o is the caller's. */
int mv_fleet_to_json(struct mv_fleet *f, struct json_object **o, struct mv_err *err);
/* Prometheus' text format, for node_exporter's textfile collector. */
int mv_fleet_prometheus(FILE *out, struct mv_fleet *f);
/* One page without anything from elsewhere. -MV_E_USAGE if it would have too many cells. */
int mv_fleet_html(FILE *out, struct mv_fleet *f, struct mv_err *err);

/* Every problem on standard error. */
void mv_fleet_say_problems(const struct mv_fleet *f);

/* ---- for these ---- */

const char *mv_fleet_vendor_name(enum mv_vendor v);

/*
 * Why a host of class h refuses p: an object for each mismatch (rule, subject, text, remedy). v is
 * room to work in. NULL: the fleet's options make no sense.
 */
struct json_object *mv_fleet_why(struct mv_fleet *f, const struct mv_policy *p, uint32_t h,
				 struct mv_verdict *v);
/* Why its own host would not start it. */
struct json_object *mv_fleet_why_not(const struct mv_policy *p, const struct mv_notes *notes);

/* A baseline's features that a class loses, and how many. */
unsigned mv_fleet_lost(const struct mv_fleet_baseline *b, uint32_t i, struct json_object *names);

/* Names of a set. */
struct json_object *mv_fleet_set(const struct mv_featset *set);

#endif
