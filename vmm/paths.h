/* SPDX-License-Identifier: MIT */
/* Names of files, and where the program keeps what lives as long as the machine is up. */
#ifndef MV_VMM_PATHS_H
#define MV_VMM_PATHS_H

#include <stddef.h>

/*
 * The folder for sockets and cached proofs, created with mode 0700 if need be:
 * $XDG_RUNTIME_DIR/minivmm, or /run/minivmm. Root makes none in the folder of another user. 0, or -errno.
 */
int mv_runtime_dir(char *out, size_t size);

/* A file's name without folder and ending, for people: cut to size, and nothing that would garble a terminal. */
void mv_path_stem(char *out, size_t size, const char *path);

#endif
