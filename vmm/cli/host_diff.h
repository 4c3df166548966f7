/* SPDX-License-Identifier: MIT */
#ifndef MV_CLI_HOST_DIFF_H
#define MV_CLI_HOST_DIFF_H

#include "cli.h"

/*
 * minivmm host --diff A B [--vms …]: what came and went between two descriptions of a host, and which of n VMs
 * that ran on A would not be accepted by B. Prints; returns an exit code.
 */
int mv_host_diff(const char *a, const char *b, const char *const *vms, size_t n);

/* What was proved of a mechanism, MV_PROOF_*, in words. */
const char *mv_proof_levels(uint8_t proof);

#endif
