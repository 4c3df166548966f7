/* SPDX-License-Identifier: MIT */
/*
 * Guest images as files: Linux bzImage, ELF with a PVH note, ELF or raw with a multiboot header; an
 * initrd to go with it. Parsed as hostile input; nothing is placed in memory here (vmm/boot.c).
 */
#ifndef MV_VMM_IMAGE_H
#define MV_VMM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define MV_IMAGE_SEGMENTS 32

enum mv_boot { MV_BOOT_PVH, MV_BOOT_MULTIBOOT, MV_BOOT_LINUX };

struct mv_segment_map {
	uint64_t gpa;
	uint64_t offset, file_size;	/* in the image's bytes */
	uint64_t mem_size;		/* the rest is zero */
	bool exec, write;
};

struct mv_image {
	char name[256];		/* as given by the user, for messages */
	uint8_t *bytes;		/* owned; NULL for an image built into the program */
	const uint8_t *data;
	size_t size;
	enum mv_boot boot;
	uint32_t entry;		/* 32-bit protected mode, flat segments; LINUX: 64-bit */
	unsigned nsegments;
	struct mv_segment_map segments[MV_IMAGE_SEGMENTS];
	uint64_t top;		/* first address behind all segments */
	uint32_t note_flags;	/* MV_NOTE_* of guest-tests/abi.h; 0 without a note */
	uint32_t nsites;	/* CPUID instructions that the image's note lists */
	const uint8_t *sites;	/* nsites little-endian 64-bit addresses, inside data */
	size_t symtab, nsyms, symsize;	/* function symbols, for decoding; nsyms 0 = none */
	bool elf64;

	bool linux_kernel;	/* in whatever format */
	uint32_t cmdline_max;	/* LINUX: bytes of a command line, without NUL */
	uint32_t initrd_top;	/* LINUX: last address an initrd may use */
	char initrd_name[256];
	uint8_t *initrd;	/* owned; NULL: none */
	size_t initrd_size;
};

/* Read and parse the file. -MV_E_INPUT names file and reason. The caller calls finish. */
int mv_image_open(struct mv_image *img, const char *path, struct mv_err *err);
/* The same for bytes in memory, which must outlive the image. */
int mv_image_parse(struct mv_image *img, const char *name, const uint8_t *data, size_t size,
		   struct mv_err *err);
/*
 * The file as it is, without any header: loaded at `at` and entered there as a multiboot image is. Its bytes are code
 * and data alike, so nobody can account for its CPUIDs.
 */
int mv_image_open_flat(struct mv_image *img, const char *path, uint32_t at, struct mv_err *err);
/* Read the initrd (for multiboot: the first module) that goes with an image. -MV_E_INPUT. */
int mv_image_initrd(struct mv_image *img, const char *path, struct mv_err *err);
void mv_image_finish(struct mv_image *img);

/* Bytes of the image that end up at gpa, up to len of them contiguous in one segment; NULL if none. */
const uint8_t *mv_image_at(const struct mv_image *img, uint64_t gpa, size_t len);

#endif
