/* SPDX-License-Identifier: MIT */
/*
 * What this host is, kept between starts: asking it again costs more than the rest of a start.
 * Kept in the user's runtime folder under this boot, these KVM modules with their parameters and this
 * program; what a few CPUID leaves return now must be what they returned then, for a host that is
 * itself a VM can be moved without a boot. Whatever does not fit means: ask again.
 */
#ifndef MV_VMM_HOST_CACHE_H
#define MV_VMM_HOST_CACHE_H

#include "host.h"

/*
 * asked: the caller's bits for how much has to be known; true if the cache was written for them all.
 */
bool mv_host_cache_read(struct mv_host *h, unsigned asked);

/* Unwritable is not an error. */
void mv_host_cache_write(const struct mv_host *h, unsigned asked);

void mv_host_cache_forget(void);

/*
 * A file name under the runtime folder that changes with the boot, the KVM modules, their parameters
 * and the given bytes: PREFIX-HASH. 0, or a negative number.
 */
int mv_cache_path(char *out, size_t size, const char *prefix, const void *bytes, size_t len);

#endif
