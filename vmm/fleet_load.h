/* SPDX-License-Identifier: MIT */
/* A fleet from files: hosts in any format that is known, VMs as snapshots or descriptions (docs/fleet.md). */
#ifndef MV_VMM_FLEET_LOAD_H
#define MV_VMM_FLEET_LOAD_H

#include "fleet.h"

/*
 * Add the hosts, or VMs, of a file, or of all files below a folder, in order of their names. What
 * can't be used becomes a problem of the fleet, and the rest goes on; only lack of memory is an error.
 */
int mv_fleet_load_hosts(struct mv_fleet *f, const char *path, struct mv_err *err);
int mv_fleet_load_vms(struct mv_fleet *f, const char *path, struct mv_err *err);

/* A host file of any format, without its remarks; for struct mv_fleet_opts. */
int mv_fleet_read_host(struct mv_host *h, const char *path, struct mv_err *err);

#endif
