/* SPDX-License-Identifier: MIT */
/*
 * Snapshot files: written whole or not at all, read as hostile input. docs/stream-format.md is the
 * specification.
 *
 * Reading goes in steps, so that the verdict can be reached before anything exists:
 * mv_snapshot_open verifies the header, reads the static part and stops at STATIC_END;
 * mv_snapshot_state reads the other records, mv_snapshot_memory the pages.
 */
#ifndef MV_MIGRATE_SNAPSHOT_H
#define MV_MIGRATE_SNAPSHOT_H

#include "manifest.h"
#include "state.h"

/*
 * Write a snapshot of (st, state, ram) to path: to a temporary file in the same folder, fsynced,
 * renamed. On failure path is as it was before. ram is st->config.ram_size bytes; pages of zeros
 * take no space. zeros has a bit for each page, set where it is known to be one: those are not looked at;
 * NULL: all are. The file is created with mode 0600.
 */
int mv_snapshot_save(const char *path, const struct mv_static *st, const struct mv_state *state,
		     const uint8_t *ram, const uint64_t *zeros, struct mv_err *err);

/*
 * The same with memory compressed: smaller, slower to save, and read as a whole when it is restored.
 * -MV_E_FAILED with a hint where the library for it is not installed.
 */
int mv_snapshot_save_packed(const char *path, const struct mv_static *st, const struct mv_state *state,
			    const uint8_t *ram, const uint64_t *zeros, struct mv_err *err);

struct mv_snapshot;	/* an open snapshot */

/* Open path and read the static part into *st. The caller closes. -MV_E_INPUT: no good snapshot. */
int mv_snapshot_open(struct mv_snapshot **out, const char *path, struct mv_static *st,
		     struct mv_err *err);

/*
 * Read and verify the rest, in this order: the state (initialised here, the caller finishes it unless this
 * fails), then memory into ram, which is config.ram_size zero bytes and undefined after an error. Or the
 * caller reads memory by the manifest, which is there from then on until s is closed, and verifies each chunk
 * itself.
 */
int mv_snapshot_state(struct mv_snapshot *s, struct mv_state *state, struct mv_err *err);
int mv_snapshot_memory(struct mv_snapshot *s, uint8_t *ram, struct mv_err *err);
const struct mv_manifest *mv_snapshot_manifest(const struct mv_snapshot *s);
/* Hand the manifest over; the caller finishes it. s has none afterwards. */
void mv_snapshot_take_manifest(struct mv_snapshot *s, struct mv_manifest *out);
int mv_snapshot_fd(const struct mv_snapshot *s);	/* s's own; read it with pread alone */
const char *mv_snapshot_name(const struct mv_snapshot *s);

/* Figures for people: bytes of the file, bytes of memory in it as they are stored; all known once it is open. */
struct mv_snapshot_info {
	uint64_t file_size, memory_bytes;
	uint32_t version;		/* major << 16 | minor */
};
void mv_snapshot_info(const struct mv_snapshot *s, struct mv_snapshot_info *info);

void mv_snapshot_close(struct mv_snapshot *s);	/* accepts NULL */

#endif
