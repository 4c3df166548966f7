/* SPDX-License-Identifier: MIT */
/*
 * The text of mask files: the guide's form, .vmx lines, feature lines, numbers and directives, mixed
 * as one likes (docs/mask-language.md).
 */
#ifndef MV_CPUID_MASKFILE_H
#define MV_CPUID_MASKFILE_H

#include "mask.h"

enum mv_mask_kind {
	MV_MASK_DEFAULT,	/* '-' is an error: a default mask has nothing to inherit from */
	MV_MASK_OVERRIDE,
};

enum mv_directive { MV_DIR_GUEST_OS, MV_DIR_BASELINE, MV_DIR_INCLUDE };

struct mv_mask_reader {
	enum mv_mask_kind kind;
	const char *file;	/* for error positions */
	uint32_t file_index;	/* into the caller's mv_mask_files, for provenance */
	/*
	 * Called for each directive in its place; 0 or a negative error. NULL: directives are
	 * errors. at is the directive's position.
	 */
	int (*directive)(void *ctx, enum mv_directive d, const char *arg, mv_at at,
			 struct mv_err *err);
	void *ctx;
};

/*
 * Parse len bytes of text into out (overwritten). Errors are -MV_E_INPUT with file:line:column. A
 * register, feature, field or MSR that the text sets twice is an error.
 */
int mv_mask_parse(struct mv_mask *out, const char *text, size_t len,
		  const struct mv_mask_reader *reader, struct mv_err *err);

#endif
