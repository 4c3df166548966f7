/* SPDX-License-Identifier: MIT */
/*
 * A machine to save, a folder to save it in, and a second machine to load into. Nothing runs: every
 * value is made up from a fixed seed.
 */
#ifndef MV_TESTS_SNAPSHOT_FIXTURE_H
#define MV_TESTS_SNAPSHOT_FIXTURE_H

#include "snapshot.h"

#define RAM_PAGES 48
#define RAM_SIZE (RAM_PAGES * (uint64_t)MV_PAGE_SIZE)
#define STORED_PAGES 26		/* that aren't zero */

extern struct fixture {
	struct mv_static *st, *st2;
	struct mv_state state, state2;
	uint8_t *ram, *ram2;
	char dir[64];
	char file[80], other[80];	/* names in dir; no such files yet */
} fx;

/* To be used as .init and .fini. */
void fixture_setup(void);
void fixture_teardown(void);

/* Fill the first machine: every list full, or a small one that makes a short file. */
void fixture_fill(bool full);

/* Save the first machine; it has to work. */
void fixture_save(const char *path);
/* Read all behind the static part into the second machine; the caller finishes its state unless this fails. */
int fixture_read(struct mv_snapshot *s, struct mv_err *err);
/* Open and load path into the second machine, whose state is gone again afterwards. */
int fixture_load(const char *path, struct mv_err *err);

/* Record number index of that type in a file's bytes; and its checksum, made to fit what was changed. */
uint8_t *fixture_record(uint8_t *file, uint32_t type, unsigned index);
void fixture_fix_sum(uint8_t *record);

uint64_t any(void);		/* the next random number */
void any_bytes(void *p, size_t len);
unsigned entries(void);		/* how many there are in the folder */

uint8_t *slurp(const char *path, size_t *len);
void spill(const char *path, const void *p, size_t len);

#endif
