/* SPDX-License-Identifier: MIT */
/* Guest images: hand-made ELF and multiboot headers, good ones and all ways to be bad. */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-tests/abi.h"
#include "image.h"

/*
 * Where things are in the images below: headers, program headers, notes (PVH entry, flags, two
 * CPUID addresses), a multiboot header, code, symbols, section headers.
 */
#define PHDRS 0x40
#define NOTES 0x100
#define NOTES_SIZE (20 + 24 + 36)
#define MULTIBOOT 0x180
#define CODE 0x200
#define CODE_SIZE 0x100
#define SYMBOLS 0x300
#define SECTIONS 0x400
#define IMAGE_SIZE 0x480
#define LOAD_AT 0x100000u
#define ENTRY (LOAD_AT + 0x10)
#define PVH_ENTRY (LOAD_AT + 0x20)

enum shape { ELF32_PVH, ELF64_PVH, ELF32_MULTIBOOT, ELF64_MULTIBOOT, RAW_MULTIBOOT };

static uint8_t bytes[IMAGE_SIZE + 16];

static void put(size_t at, unsigned width, uint64_t value)
{
	for (unsigned i = 0; i < width; i++)
		bytes[at + i] = (uint8_t)(value >> 8 * i);
}

static void put_notes(const char *pvh_owner)
{
	size_t at = NOTES;

	put(at, 4, 4);
	put(at + 4, 4, 4);
	put(at + 8, 4, 18);
	memcpy(bytes + at + 12, pvh_owner, 4);
	put(at + 16, 4, PVH_ENTRY);
	at += 20;
	put(at, 4, sizeof(MV_NOTE_OWNER));
	put(at + 4, 4, 4);
	put(at + 8, 4, MV_NOTE_FLAGS);
	memcpy(bytes + at + 12, MV_NOTE_OWNER, sizeof(MV_NOTE_OWNER));
	put(at + 20, 4, MV_NOTE_CPL3_IOPL3);
	at += 24;
	put(at, 4, sizeof(MV_NOTE_OWNER));
	put(at + 4, 4, 16);
	put(at + 8, 4, MV_NOTE_CPUID);
	memcpy(bytes + at + 12, MV_NOTE_OWNER, sizeof(MV_NOTE_OWNER));
	put(at + 20, 8, LOAD_AT + 0x30);
	put(at + 28, 8, LOAD_AT + 0x40);
}

static void put_multiboot(uint32_t flags)
{
	put(MULTIBOOT, 4, 0x1badb002);
	put(MULTIBOOT + 4, 4, flags);
	put(MULTIBOOT + 8, 4, 0u - 0x1badb002u - flags);
}

static void put_elf32(void)
{
	const Elf32_Ehdr e = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC, .e_machine = EM_386, .e_version = EV_CURRENT, .e_entry = ENTRY,
		.e_phoff = PHDRS, .e_ehsize = sizeof(e), .e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2, .e_shoff = SECTIONS, .e_shentsize = sizeof(Elf32_Shdr), .e_shnum = 2,
	};
	const Elf32_Phdr p[2] = {
		{ .p_type = PT_LOAD, .p_offset = CODE, .p_vaddr = LOAD_AT, .p_paddr = LOAD_AT,
		  .p_filesz = CODE_SIZE, .p_memsz = 0x1000, .p_flags = PF_R | PF_X },
		{ .p_type = PT_NOTE, .p_offset = NOTES, .p_filesz = NOTES_SIZE },
	};
	const Elf32_Shdr s = { .sh_type = SHT_SYMTAB, .sh_offset = SYMBOLS,
			       .sh_size = 3 * sizeof(Elf32_Sym) };

	memcpy(bytes, &e, sizeof(e));
	memcpy(bytes + PHDRS, p, sizeof(p));
	memcpy(bytes + SECTIONS + sizeof(s), &s, sizeof(s));
}

static void put_elf64(void)
{
	const Elf64_Ehdr e = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_entry = ENTRY,
		.e_phoff = PHDRS, .e_ehsize = sizeof(e), .e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};
	const Elf64_Phdr p[2] = {
		{ .p_type = PT_LOAD, .p_offset = CODE, .p_vaddr = LOAD_AT, .p_paddr = LOAD_AT,
		  .p_filesz = CODE_SIZE, .p_memsz = 0x1000, .p_flags = PF_R | PF_W },
		{ .p_type = PT_NOTE, .p_offset = NOTES, .p_filesz = NOTES_SIZE },
	};

	memcpy(bytes, &e, sizeof(e));
	memcpy(bytes + PHDRS, p, sizeof(p));
}

/* A multiboot image that says itself where to load: all of the file, header included. */
static void put_kludge(void)
{
	put_multiboot(1u << 16);
	put(MULTIBOOT + 12, 4, LOAD_AT + MULTIBOOT);
	put(MULTIBOOT + 16, 4, LOAD_AT);
	put(MULTIBOOT + 20, 4, LOAD_AT + IMAGE_SIZE);
	put(MULTIBOOT + 24, 4, LOAD_AT + 0x2000);
	put(MULTIBOOT + 28, 4, ENTRY);
}

static void build(enum shape shape)
{
	memset(bytes, 0, sizeof(bytes));
	switch (shape) {
	case ELF32_PVH:
	case ELF32_MULTIBOOT:
		put_elf32();
		break;
	case ELF64_PVH:
	case ELF64_MULTIBOOT:
		put_elf64();
		break;
	case RAW_MULTIBOOT:
		put_kludge();
		return;
	}
	put_notes(shape == ELF32_PVH || shape == ELF64_PVH ? "Xen" : "Yen");
	if (shape == ELF32_MULTIBOOT || shape == ELF64_MULTIBOOT)
		put_multiboot(0);
}

static int parse(struct mv_image *img, size_t size, struct mv_err *err)
{
	memset(err, 0, sizeof(*err));
	return mv_image_parse(img, "t.elf", bytes, size, err);
}

/* ---- good ones ---- */

Test(image, shapes_that_can_be_started)
{
	static const struct {
		const char *name;
		enum shape shape;
		enum mv_boot boot;
		uint32_t entry, note_flags, nsites;
		uint64_t gpa, file_size, mem_size;
		bool exec, write;
	} rows[] = {
		{ "ELF32, PVH", ELF32_PVH, MV_BOOT_PVH, PVH_ENTRY, MV_NOTE_CPL3_IOPL3, 2, LOAD_AT,
		  CODE_SIZE, 0x1000, true, false },
		{ "ELF64, PVH", ELF64_PVH, MV_BOOT_PVH, PVH_ENTRY, MV_NOTE_CPL3_IOPL3, 2, LOAD_AT,
		  CODE_SIZE, 0x1000, false, true },
		{ "ELF32, multiboot", ELF32_MULTIBOOT, MV_BOOT_MULTIBOOT, ENTRY, MV_NOTE_CPL3_IOPL3, 2,
		  LOAD_AT, CODE_SIZE, 0x1000, true, false },
		{ "ELF64, multiboot", ELF64_MULTIBOOT, MV_BOOT_MULTIBOOT, ENTRY, MV_NOTE_CPL3_IOPL3, 2,
		  LOAD_AT, CODE_SIZE, 0x1000, false, true },
		{ "multiboot with addresses", RAW_MULTIBOOT, MV_BOOT_MULTIBOOT, ENTRY, 0, 0, LOAD_AT,
		  IMAGE_SIZE, 0x2000, true, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_image img;
		struct mv_err err;

		build(rows[i].shape);
		cr_assert_eq(parse(&img, IMAGE_SIZE, &err), 0, "%s: %s", rows[i].name, err.msg);
		cr_expect_eq(img.boot, rows[i].boot, "%s", rows[i].name);
		cr_expect_eq(img.entry, rows[i].entry, "%s: entry 0x%x", rows[i].name, img.entry);
		cr_expect_eq(img.note_flags, rows[i].note_flags, "%s", rows[i].name);
		cr_expect_eq(img.nsites, rows[i].nsites, "%s", rows[i].name);
		cr_assert_eq(img.nsegments, 1, "%s", rows[i].name);
		cr_expect_eq(img.segments[0].gpa, rows[i].gpa, "%s", rows[i].name);
		cr_expect_eq(img.segments[0].file_size, rows[i].file_size, "%s", rows[i].name);
		cr_expect_eq(img.segments[0].mem_size, rows[i].mem_size, "%s", rows[i].name);
		cr_expect_eq(img.segments[0].exec, rows[i].exec, "%s", rows[i].name);
		cr_expect_eq(img.segments[0].write, rows[i].write, "%s", rows[i].name);
		cr_expect_eq(img.top, rows[i].gpa + rows[i].mem_size, "%s", rows[i].name);
	}
}

Test(image, bytes_by_address)
{
	struct mv_image img;
	struct mv_err err;

	build(ELF32_PVH);
	cr_assert_eq(parse(&img, IMAGE_SIZE, &err), 0);
	cr_expect_eq(mv_image_at(&img, LOAD_AT, 1), bytes + CODE);
	cr_expect_eq(mv_image_at(&img, LOAD_AT + CODE_SIZE - 2, 2), bytes + CODE + CODE_SIZE - 2);
	cr_expect_null(mv_image_at(&img, LOAD_AT + CODE_SIZE - 1, 2));
	cr_expect_null(mv_image_at(&img, LOAD_AT - 1, 1));
	cr_expect_null(mv_image_at(&img, UINT64_MAX, 2));
	cr_expect_eq(img.nsyms, 3);
	cr_expect_eq(img.symtab, SYMBOLS);
}

/* ---- bad ones ---- */

struct poke {
	uint16_t at;
	uint8_t width;
	uint64_t value;
};

static const struct bad {
	const char *name;
	enum shape shape;
	size_t size;	/* 0 = all of it */
	struct poke poke[3];
	const char *msg;
} bad[] = {
	/* cut short */
	{ "empty", RAW_MULTIBOOT, SIZE_MAX, { { 0 } }, "the file is empty" },
	{ "a magic alone", ELF32_PVH, 4, { { 0 } }, "truncated: 4 bytes are less than an ELF header" },
	{ "half a header", ELF32_PVH, 51, { { 0 } }, "truncated: 51 bytes are less than an ELF header" },
	{ "half a 64-bit header", ELF64_PVH, 63, { { 0 } },
	  "truncated: 63 bytes are less than an ELF header" },
	{ "no program headers", ELF32_PVH, 60, { { 0 } },
	  "truncated: the program headers lie outside the file" },
	{ "no code", ELF32_PVH, 0x220, { { 0 } },
	  "truncated: a segment needs bytes 0x200 to 0x300, the file has 0x220" },
	{ "no section headers", ELF32_PVH, SECTIONS, { { 0 } },
	  "truncated: the section headers lie outside the file" },
	{ "half a multiboot header", RAW_MULTIBOOT, MULTIBOOT + 20, { { 0 } },
	  "truncated: the multiboot header is cut off" },
	/* not an image */
	{ "no magic", ELF32_PVH, 0, { { 0, 1, 0x7e } }, "not a guest image: neither " },
	{ "big-endian", ELF32_PVH, 0, { { 5, 1, ELFDATA2MSB } }, "an ELF file, but not for x86" },
	{ "for ARM", ELF64_PVH, 0, { { 18, 2, 183 } }, "an ELF file, but not for x86" },
	{ "neither note nor header", ELF32_PVH, 0, { { NOTES + 12, 1, 'Y' } },
	  "an ELF file without a PVH note or a multiboot header" },
	{ "a multiboot checksum", ELF32_MULTIBOOT, 0, { { MULTIBOOT + 8, 1, 0 } },
	  "an ELF file without a PVH note or a multiboot header" },
	{ "multiboot off its alignment", RAW_MULTIBOOT, 0, { { MULTIBOOT, 1, 0 } },
	  "not a guest image: neither " },
	{ "multiboot without addresses", RAW_MULTIBOOT, 0,
	  { { MULTIBOOT + 4, 4, 0 }, { MULTIBOOT + 8, 4, 0xe4524ffe } },
	  "a multiboot header without load addresses in a file that is not ELF" },
	/* program headers */
	{ "of another size", ELF32_PVH, 0, { { 42, 2, 56 } },
	  "its program headers have 56 bytes each, not 32" },
	{ "of another size, 64-bit", ELF64_PVH, 0, { { 54, 2, 32 } },
	  "its program headers have 32 bytes each, not 56" },
	{ "far outside", ELF64_PVH, 0, { { 32, 8, UINT64_MAX - 8 } },
	  "truncated: the program headers lie outside the file" },
	{ "none that loads", ELF32_PVH, 0, { { PHDRS, 4, PT_NULL } }, "no loadable segment" },
	{ "no bytes in memory", ELF32_PVH, 0, { { PHDRS + 20, 4, 0 } }, "no loadable segment" },
	{ "less memory than file", ELF32_PVH, 0, { { PHDRS + 20, 4, 0x80 } },
	  "a segment has more bytes in the file than in memory" },
	{ "beyond the file", ELF64_PVH, 0, { { PHDRS + 8, 8, 0x400 } },
	  "truncated: a segment needs bytes 0x400 to 0x500, the file has 0x480" },
	{ "an offset that wraps", ELF64_PVH, 0, { { PHDRS + 8, 8, UINT64_MAX - 0x7f } },
	  "truncated: a segment needs bytes 0xffffffffffffff80 to 0x80, the file has 0x480" },
	{ "an address that wraps", ELF64_PVH, 0, { { PHDRS + 24, 8, UINT64_MAX - 0x7ff } },
	  "a segment wraps around the address space at 0xfffffffffffff800" },
	{ "two at one place", ELF32_PVH, 0,
	  { { PHDRS + 32, 4, PT_LOAD }, { PHDRS + 32 + 12, 4, LOAD_AT + 0xfff },
	    { PHDRS + 32 + 20, 4, 0x1000 } },
	  "two segments overlap at 0x100fff" },
	/* entry points */
	{ "an entry point in no segment", ELF32_MULTIBOOT, 0, { { 24, 4, 0x2000 } },
	  "its entry point 0x2000 lies in no segment" },
	{ "an entry point in zeros", ELF32_PVH, 0, { { NOTES + 16, 4, LOAD_AT + 0x800 } },
	  "its entry point 0x100800 lies in no segment" },
	{ "an entry point above 4 GiB", ELF64_MULTIBOOT, 0, { { 28, 4, 1 } },
	  "its entry point 0x100100010 is above 4 GiB" },
	{ "multiboot: loads behind its header", RAW_MULTIBOOT, 0,
	  { { MULTIBOOT + 16, 4, LOAD_AT + 0x1000 } },
	  "the multiboot header's load address 0x101000 does not fit it" },
	{ "multiboot: loads before the file", RAW_MULTIBOOT, 0, { { MULTIBOOT + 16, 4, 0x1000 } },
	  "the multiboot header's load address 0x1000 does not fit it" },
	{ "multiboot: ends before it begins", RAW_MULTIBOOT, 0, { { MULTIBOOT + 20, 4, 0x1000 } },
	  "the multiboot header's load addresses end at 0x1000, before they begin" },
	{ "multiboot: loads nothing", RAW_MULTIBOOT, 0,
	  { { MULTIBOOT + 20, 4, LOAD_AT }, { MULTIBOOT + 24, 4, 0 } }, "no loadable segment" },
	{ "multiboot: more than the file", RAW_MULTIBOOT, 0,
	  { { MULTIBOOT + 20, 4, LOAD_AT + 0x1000 } },
	  "truncated: a segment needs bytes 0x0 to 0x1000, the file has 0x480" },
	{ "multiboot: an entry elsewhere", RAW_MULTIBOOT, 0, { { MULTIBOOT + 28, 4, 0x10 } },
	  "its entry point 0x10 lies in no segment" },
};

Test(image, bad_ones_are_told_with_the_reason)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct bad *row = &bad[i];
		size_t size = row->size == SIZE_MAX ? 0 : row->size ? row->size : IMAGE_SIZE;
		struct mv_image img;
		struct mv_err err;

		build(row->shape);
		for (size_t p = 0; p < 3; p++)
			put(row->poke[p].at, row->poke[p].width, row->poke[p].value);
		cr_expect_eq(parse(&img, size, &err), -MV_E_INPUT, "%s", row->name);
		/* All of it, but for what else would have been an image. */
		if (row->msg[strlen(row->msg) - 1] == ' ')
			err.msg[strlen(row->msg)] = '\0';
		cr_expect_str_eq(err.msg, row->msg, "%s", row->name);
		cr_expect_str_eq(err.file, "t.elf", "%s", row->name);
	}
}

Test(image, too_many_segments)
{
	static uint8_t big[sizeof(Elf32_Ehdr) + (MV_IMAGE_SEGMENTS + 1) * sizeof(Elf32_Phdr)];
	struct mv_image img;
	struct mv_err err = { 0 };

	build(ELF32_PVH);
	memcpy(big, bytes, sizeof(Elf32_Ehdr));
	big[28] = sizeof(Elf32_Ehdr);
	big[44] = MV_IMAGE_SEGMENTS + 1;
	memset(big + 32, 0, 4);
	memset(big + 48, 0, 2);
	for (uint32_t i = 0; i <= MV_IMAGE_SEGMENTS; i++) {
		const Elf32_Phdr p = { .p_type = PT_LOAD, .p_paddr = 0x100000 + i * 0x1000,
				       .p_memsz = 0x1000 };

		memcpy(big + sizeof(Elf32_Ehdr) + i * sizeof(p), &p, sizeof(p));
	}
	cr_expect_eq(mv_image_parse(&img, "big", big, sizeof(big), &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "more than 32 segments");
}

/* Notes are read as far as they make sense; what does not is no note. */
Test(image, malformed_notes_are_none)
{
	static const struct {
		const char *name;
		struct poke poke;
	} rows[] = {
		{ "a name that is longer than the file", { NOTES, 4, 0xffffffff } },
		{ "a description that is longer than the notes", { NOTES + 4, 4, 0x1000 } },
		{ "an owner of another length", { NOTES, 4, 3 } },
		{ "an entry point of two bytes", { NOTES + 4, 4, 2 } },
		{ "another type", { NOTES + 8, 4, 17 } },
		{ "a segment outside the file", { PHDRS + 32 + 4, 4, 0xfffffff0 } },
		{ "a segment too small for a note", { PHDRS + 32 + 16, 4, 11 } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_image img;
		struct mv_err err;

		build(ELF32_PVH);
		put(rows[i].poke.at, rows[i].poke.width, rows[i].poke.value);
		cr_expect_eq(parse(&img, IMAGE_SIZE, &err), -MV_E_INPUT, "%s", rows[i].name);
		cr_expect_str_eq(err.msg, "an ELF file without a PVH note or a multiboot header", "%s",
				 rows[i].name);
	}
}

/* Whatever one byte is changed to, the parser stays within the image's bytes (run with SAN=address). */
Test(image, no_byte_leads_astray)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	static const enum shape shapes[] = { ELF32_PVH, ELF64_PVH, ELF32_MULTIBOOT, RAW_MULTIBOOT };

	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		for (size_t at = 0; at < IMAGE_SIZE * sizeof(values); at++) {
			uint8_t *copy = malloc(IMAGE_SIZE);
			struct mv_image img;
			struct mv_err err = { 0 };
			int rc;

			cr_assert_not_null(copy);
			build(shapes[s]);
			memcpy(copy, bytes, IMAGE_SIZE);
			copy[at / sizeof(values)] = values[at % sizeof(values)];
			rc = mv_image_parse(&img, "t", copy, IMAGE_SIZE, &err);
			cr_expect(rc == 0 || (rc == -MV_E_INPUT && err.msg[0]));
			for (unsigned i = 0; rc == 0 && i < img.nsegments; i++)
				cr_expect(img.segments[i].offset + img.segments[i].file_size <=
					  IMAGE_SIZE);
			free(copy);
		}
	}
}

/* ---- files ---- */

Test(image, from_a_file)
{
	char path[] = "/tmp/mv-image-XXXXXX";
	int fd = mkstemp(path);
	struct mv_image img;
	struct mv_err err = { 0 };

	cr_assert_geq(fd, 0);
	build(ELF64_PVH);
	cr_assert_eq(write(fd, bytes, IMAGE_SIZE), IMAGE_SIZE);
	close(fd);
	cr_expect_eq(mv_image_open(&img, path, &err), 0, "%s", err.msg);
	cr_expect_str_eq(img.name, path);
	cr_expect_eq(img.entry, PVH_ENTRY);
	mv_image_finish(&img);
	unlink(path);
	cr_expect_eq(mv_image_open(&img, path, &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "No such file or directory");
	cr_expect_str_eq(err.file, path);
	memset(&err, 0, sizeof(err));
	cr_expect_eq(mv_image_open(&img, "/tmp", &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "not a regular file");
}
