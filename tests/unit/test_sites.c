/* SPDX-License-Identifier: MIT */
/* Where an image executes CPUID: hand-made code, decoded as the program would run it. */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-tests/abi.h"
#include "sites.h"
#include "vm.h"

#define AT 0x100000u
#define MAYBE "bytes 0F A2 that may or may not be a CPUID at 0x10000"

/* An image of one executable segment; the bytes and all else on the heap, to catch overruns. */
struct maker {
	struct mv_image img;
	uint8_t *data;
};

static void make(struct maker *m, const uint8_t *code, size_t n)
{
	memset(m, 0, sizeof(*m));
	m->data = malloc(n ? n : 1);
	cr_assert_not_null(m->data);
	memcpy(m->data, code, n);
	snprintf(m->img.name, sizeof(m->img.name), "t.elf");
	m->img.data = m->data;
	m->img.size = n;
	m->img.entry = AT;
	m->img.nsegments = 1;
	m->img.segments[0] = (struct mv_segment_map){ .gpa = AT, .file_size = n, .mem_size = n,
						      .exec = true };
}

static void unmake(struct maker *m)
{
	free(m->data);
}

/* ---- what decoding from the entry point tells (32-bit code) ---- */

static const struct row {
	const char *name;
	uint8_t code[40];
	size_t n;
	uint32_t sites, inside;
	uint8_t at[3];		/* offsets of the sites */
	const char *why;	/* NULL: all is accounted for */
} rows[] = {
	{ "no CPUID at all", { 0x90, 0xc3 }, 2, 0, 0, { 0 }, NULL },
	{ "straight on", { 0x31, 0xc0, 0x0f, 0xa2, 0xc3 }, 5, 1, 0, { 2 }, NULL },
	{ "the very first instruction", { 0x0f, 0xa2, 0xc3 }, 3, 1, 0, { 0 }, NULL },
	{ "two of them", { 0x0f, 0xa2, 0x90, 0x0f, 0xa2, 0xc3 }, 6, 2, 0, { 0, 3 }, NULL },
	/* jmp +2; junk; cpuid */
	{ "behind a jump", { 0xeb, 0x02, 0xff, 0xff, 0x0f, 0xa2, 0xc3 }, 7, 1, 0, { 4 }, NULL },
	/* je +1; ret; cpuid */
	{ "behind a branch", { 0x74, 0x01, 0xc3, 0x0f, 0xa2, 0xc3 }, 6, 1, 0, { 3 }, NULL },
	/* call +1; ret; cpuid; ret */
	{ "in a function", { 0xe8, 0x01, 0, 0, 0, 0xc3, 0x0f, 0xa2, 0xc3 }, 9, 1, 0, { 6 }, NULL },
	/* cpuid; jmp -4 */
	{ "in a loop", { 0x0f, 0xa2, 0xeb, 0xfc }, 4, 1, 0, { 0 }, NULL },
	/* mov eax, 0x90a20f90; ret */
	{ "inside an immediate operand", { 0xb8, 0x90, 0x0f, 0xa2, 0x90, 0xc3 }, 6, 0, 1, { 0 }, NULL },
	/* mov eax, [0xa20f0000] */
	{ "inside an address", { 0xa1, 0, 0, 0x0f, 0xa2, 0xc3 }, 6, 0, 1, { 0 }, NULL },
	/* jmp to ret; cpuid that nobody is seen to reach */
	{ "not reached", { 0xeb, 0x02, 0x0f, 0xa2, 0xc3 }, 5, 0, 0, { 0 }, MAYBE "2" },
	{ "behind a return", { 0xc3, 0x0f, 0xa2 }, 3, 0, 0, { 0 }, MAYBE "1" },
	{ "behind an instruction that is none", { 0x0f, 0x0b, 0x0f, 0xa2 }, 4, 0, 0, { 0 }, MAYBE "2" },
	{ "behind bytes that are none", { 0x0f, 0x04, 0x0f, 0xa2 }, 4, 0, 0, { 0 }, MAYBE "2" },
	/* jmp eax */
	{ "behind an indirect jump", { 0xff, 0xe0, 0x0f, 0xa2 }, 4, 0, 0, { 0 }, MAYBE "2" },
	/* 66 cpuid: a CPUID all the same, and nothing of two bytes replaces it */
	{ "with a prefix", { 0x66, 0x0f, 0xa2, 0xc3 }, 4, 0, 0, { 0 }, MAYBE "1" },
	{ "with two prefixes", { 0xf3, 0x66, 0x0f, 0xa2, 0xc3 }, 5, 0, 0, { 0 }, MAYBE "2" },
	/* je +1 into: mov eax, imm32, whose second byte on is 0f a2 */
	{ "two decodings that overlap", { 0x74, 0x01, 0xb8, 0x0f, 0xa2, 0xc3, 0xc3, 0xc3 }, 8, 0, 0,
	  { 0 }, MAYBE "3" },
	/* je +1: 0f a2 read as CPUID, and a2 moffs32 from its second byte on */
	{ "a jump into a CPUID", { 0x74, 0x01, 0x0f, 0xa2, 0x90, 0x90, 0x90, 0x90, 0xc3 }, 9, 0, 0,
	  { 0 }, MAYBE "2" },
	{ "half a pair at the end", { 0x90, 0x0f }, 2, 0, 0, { 0 }, NULL },
	{ "a jump out of the image", { 0xe9, 0, 0, 0, 0x70 }, 5, 0, 0, { 0 }, NULL },
	{ "a jump before the image", { 0xe9, 0, 0, 0, 0x80 }, 5, 0, 0, { 0 }, NULL },
};

Test(sites, decoded_from_the_entry_point)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct mv_sites *s = malloc(sizeof(*s));
		struct mv_err err = { 0 };
		struct maker m;

		cr_assert_not_null(s);
		make(&m, r->code, r->n);
		cr_assert_eq(mv_sites_find(s, &m.img, &err), 0, "%s: %s", r->name, err.msg);
		cr_expect_eq(s->n, r->sites, "%s: %u sites", r->name, s->n);
		cr_expect_eq(s->inside, r->inside, "%s: %u inside", r->name, s->inside);
		cr_expect_eq(s->all, !r->why, "%s: %s", r->name, s->why);
		cr_expect_str_eq(s->why, r->why ? r->why : "", "%s", r->name);
		for (uint32_t k = 0; k < r->sites && k < s->n; k++) {
			cr_expect_eq(s->gpa[k], AT + r->at[k], "%s", r->name);
			cr_expect(mv_sites_has(s, AT + r->at[k]), "%s", r->name);
			cr_expect_not(mv_sites_has(s, AT + r->at[k] + 1u), "%s", r->name);
		}
		unmake(&m);
		free(s);
	}
}

/* ---- segments ---- */

Test(sites, segments)
{
	static const uint8_t code[] = { 0xc3, 0x0f, 0xa2, 0x90 };
	static const struct {
		const char *name;
		bool exec, write;
		size_t split;	/* the second segment begins there; 0 = there is none */
		const char *why;
	} table[] = {
		{ "data may hold the bytes", false, true, 0, NULL },
		{ "code that nobody reaches may not", true, false, 0, MAYBE "1" },
		{ "writable and executable", true, true, 0,
		  "a segment that is writable and executable at 0x100000" },
		{ "half in one segment and half in the next", true, false, 2,
		  "bytes 0F A2 across two segments at 0x100001" },
	};
	struct mv_sites *s = malloc(sizeof(*s));

	cr_assert_not_null(s);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct mv_err err = { 0 };
		struct maker m;

		make(&m, code, sizeof(code));
		m.img.segments[0].exec = table[i].exec;
		m.img.segments[0].write = table[i].write;
		if (table[i].split) {
			m.img.nsegments = 2;
			m.img.segments[1] = m.img.segments[0];
			m.img.segments[0].file_size = table[i].split;
			m.img.segments[1].file_size -= table[i].split;
			m.img.segments[1].offset += table[i].split;
			m.img.segments[1].gpa += table[i].split;
		}
		cr_assert_eq(mv_sites_find(s, &m.img, &err), 0, "%s: %s", table[i].name, err.msg);
		cr_expect_eq(s->all, !table[i].why, "%s", table[i].name);
		cr_expect_str_eq(s->why, table[i].why ? table[i].why : "", "%s", table[i].name);
		cr_expect_eq(s->n, 0, "%s", table[i].name);
		unmake(&m);
	}
	free(s);
}

/* ---- code that was not there at load ---- */

Test(sites, code_not_there_at_load)
{
	static const uint8_t code[] = { 0x0f, 0xa2, 0xc3 };
	static uint8_t module[] = { 0x7f, 0x0f, 0xa2, 0xc3 };
	static const struct {
		const char *name;
		size_t bss, module;	/* bytes of the segment beyond the file; of the module */
		const char *why;
	} table[] = {
		{ "all of it is there", 0, 0, NULL },
		{ "a segment that is longer in memory", 16, 0,
		  "executable memory that is empty at load at 0x100003" },
		{ "a module with the bytes", 0, 4, "bytes 0F A2 at offset 0x1 of mod.bin, which may hold code" },
		{ "a module with half of them", 0, 2, NULL },
	};
	struct mv_sites *s = malloc(sizeof(*s));

	cr_assert_not_null(s);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct mv_err err = { 0 };
		struct maker m;

		make(&m, code, sizeof(code));
		m.img.segments[0].mem_size += table[i].bss;
		m.img.initrd = module;
		m.img.initrd_size = table[i].module;
		snprintf(m.img.initrd_name, sizeof(m.img.initrd_name), "mod.bin");
		cr_assert_eq(mv_sites_find(s, &m.img, &err), 0, "%s: %s", table[i].name, err.msg);
		cr_expect_eq(s->all, !table[i].why, "%s", table[i].name);
		cr_expect_str_eq(s->why, table[i].why ? table[i].why : "", "%s", table[i].name);
		cr_expect_eq(s->n, 1, "%s", table[i].name);
		unmake(&m);
	}
	free(s);
}

/* ---- symbols ---- */

static const struct symbol_row {
	const char *name;
	bool elf64;
	uint8_t code[24];
	size_t n;
	uint64_t function;	/* offset of the one function symbol */
	uint8_t type;
	uint32_t sites, inside;
	bool all;
} symbol_rows[] = {
	{ "64-bit code by its symbol", true, { 0xc3, 0x48, 0x31, 0xc0, 0x0f, 0xa2, 0xc3 }, 7, 1,
	  STT_FUNC, 1, 0, true },
	{ "data symbols are no code", true, { 0xc3, 0x48, 0x31, 0xc0, 0x0f, 0xa2, 0xc3 }, 7, 1,
	  STT_OBJECT, 0, 0, false },
	{ "a symbol outside the code", true, { 0xc3, 0x0f, 0xa2, 0xc3 }, 4, 0x5000, STT_FUNC, 0, 0,
	  false },
	/* mov rax, imm64 with the pair in its upper half: in 32-bit code that would be a CPUID */
	{ "a 64-bit immediate", true,
	  { 0xc3, 0x48, 0xb8, 0x90, 0x90, 0x90, 0x90, 0x0f, 0xa2, 0x90, 0x90, 0xc3 }, 12, 1, STT_FUNC,
	  0, 1, true },
	{ "the same where nobody knows the mode", false,
	  { 0xc3, 0x48, 0xb8, 0x90, 0x90, 0x90, 0x90, 0x0f, 0xa2, 0x90, 0x90, 0xc3 }, 12, 1, STT_FUNC,
	  0, 0, false },
	{ "64-bit code in an ELF32 file", false, { 0xc3, 0x48, 0x31, 0xc0, 0x0f, 0xa2, 0xc3 }, 7, 1,
	  STT_FUNC, 1, 0, true },
	/* rex.w cpuid in 64-bit code; dec eax, cpuid in 32-bit code */
	{ "a REX prefix", true, { 0xc3, 0x48, 0x0f, 0xa2, 0xc3 }, 5, 1, STT_FUNC, 0, 0, false },
};

Test(sites, decoded_from_function_symbols)
{
	struct mv_sites *s = malloc(sizeof(*s));

	cr_assert_not_null(s);
	for (size_t i = 0; i < sizeof(symbol_rows) / sizeof(symbol_rows[0]); i++) {
		const struct symbol_row *r = &symbol_rows[i];
		uint8_t bytes[24 + sizeof(Elf64_Sym)] = { 0 };
		const Elf64_Sym s64 = { .st_info = r->type, .st_value = AT + r->function };
		const Elf32_Sym s32 = { .st_info = r->type, .st_value = AT + (uint32_t)r->function };
		struct mv_err err = { 0 };
		struct maker m;

		memcpy(bytes, r->code, r->n);
		if (r->elf64)
			memcpy(bytes + 24, &s64, sizeof(s64));
		else
			memcpy(bytes + 24, &s32, sizeof(s32));
		make(&m, bytes, sizeof(bytes));
		m.img.segments[0].file_size = r->n;
		m.img.segments[0].mem_size = r->n;
		m.img.elf64 = r->elf64;
		m.img.symtab = 24;
		m.img.nsyms = 1;
		m.img.symsize = r->elf64 ? sizeof(s64) : sizeof(s32);
		cr_assert_eq(mv_sites_find(s, &m.img, &err), 0, "%s: %s", r->name, err.msg);
		cr_expect_eq(s->n, r->sites, "%s: %u sites", r->name, s->n);
		cr_expect_eq(s->inside, r->inside, "%s: %u inside", r->name, s->inside);
		cr_expect_eq(s->all, r->all, "%s: %s", r->name, s->why);
		unmake(&m);
	}
	free(s);
}

/* ---- the image's own note ---- */

Test(sites, listed_by_the_image)
{
	static const uint8_t code[] = { 0xc3, 0x0f, 0xa2, 0xc3, 0x0f, 0xa2, 0xc3, 0x0f, 0xa2 };
	static const struct {
		const char *name;
		uint32_t n;
		uint64_t at[3];
		uint32_t sites;
		bool all;
		const char *msg;	/* NULL: it is accepted */
	} table[] = {
		{ "all of them", 3, { AT + 1, AT + 4, AT + 7 }, 3, true, NULL },
		{ "in any order, one twice", 3, { AT + 7, AT + 4, AT + 7 }, 2, false, NULL },
		{ "some of them", 1, { AT + 4 }, 1, false, NULL },
		{ "something else", 1, { AT + 2 }, 0, false,
		  "its note lists a CPUID at 0x100002, where there is none" },
		{ "outside the code", 2, { AT + 1, AT + 0x1000 }, 0, false,
		  "its note lists a CPUID at 0x101000, where there is none" },
		{ "at the very end of the code", 1, { AT + 8 }, 0, false,
		  "its note lists a CPUID at 0x100008, where there is none" },
		{ "at the top of the address space", 1, { UINT64_MAX }, 0, false,
		  "its note lists a CPUID at 0xffffffffffffffff, where there is none" },
	};
	struct mv_sites *s = malloc(sizeof(*s));

	cr_assert_not_null(s);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint8_t note[24];
		struct mv_err err = { 0 };
		struct maker m;
		int rc;

		make(&m, code, sizeof(code));
		for (unsigned b = 0; b < sizeof(note); b++)
			note[b] = (uint8_t)(table[i].at[b / 8] >> 8 * (b % 8));
		m.img.sites = note;
		m.img.nsites = table[i].n;
		m.img.note_flags = i % 2 ? MV_NOTE_CPL3_IOPL3 : 0;
		rc = mv_sites_find(s, &m.img, &err);
		if (table[i].msg) {
			cr_expect_eq(rc, -MV_E_INPUT, "%s", table[i].name);
			cr_expect_str_eq(err.msg, table[i].msg, "%s", table[i].name);
			cr_expect_str_eq(err.file, "t.elf", "%s", table[i].name);
		} else {
			cr_expect_eq(rc, 0, "%s: %s", table[i].name, err.msg);
			cr_expect_eq(s->n, table[i].sites, "%s: %u", table[i].name, s->n);
			cr_expect_eq(s->all, table[i].all, "%s: %s", table[i].name, s->why);
			cr_expect_eq(s->cpl3, i % 2 == 1, "%s", table[i].name);
			for (uint32_t k = 1; k < s->n; k++)
				cr_expect_lt(s->gpa[k - 1], s->gpa[k], "%s", table[i].name);
		}
		unmake(&m);
	}
	free(s);
}

Test(sites, more_than_can_be_kept)
{
	size_t n = (MV_MAX_SITES + 1) * 2;
	uint8_t *code = malloc(n);
	struct mv_sites *s = malloc(sizeof(*s));
	struct mv_err err = { 0 };
	struct maker m;

	cr_assert(code && s);
	for (size_t i = 0; i < n; i += 2) {
		code[i] = 0x0f;
		code[i + 1] = 0xa2;
	}
	make(&m, code, n);
	cr_expect_eq(mv_sites_find(s, &m.img, &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "more than 4096 CPUID instructions");
	unmake(&m);
	free(code);
	free(s);
}

/* ---- replacing them in a guest's memory ---- */

/* The second of three was overwritten by the guest, with something that begins as the replacement does. */
Test(sites, what_the_guest_wrote_is_its_own)
{
	static struct mv_vm vm;
	static uint8_t ram[4096];
	static uint64_t live[MV_MAX_SITES];
	struct mv_err err = { 0 };

	vm = (struct mv_vm){ .ram = ram, .ram_size = sizeof(ram), .sites = { .n = 3, .gpa = { 16, 32, 4094 } } };
	for (uint32_t i = 0; i < 3; i++)
		memcpy(ram + vm.sites.gpa[i], "\x0f\xa2", 2);
	cr_assert_eq(mv_vm_live_sites(&vm, live), 3);
	cr_assert_eq(mv_vm_patch(&vm, &err), 0, "%s", err.msg);
	cr_assert_eq(mv_vm_live_sites(&vm, live), 3);
	memcpy(ram + 32, "\xe7!", 2);
	cr_expect_eq(mv_vm_live_sites(&vm, live), 2);
	cr_expect(live[0] == 16 && live[1] == 4094);
	for (int round = 0; round < 2; round++) {
		mv_vm_unpatch(&vm);
		cr_expect_arr_eq(ram + 16, "\x0f\xa2", 2);
		cr_expect_arr_eq(ram + 32, "\xe7!", 2);
		cr_expect_arr_eq(ram + 4094, "\x0f\xa2", 2);
		mv_vm_repatch(&vm);
		cr_expect_neq(ram[16], 0x0f);
		cr_expect_arr_eq(ram + 32, "\xe7!", 2);
	}
	/* Not even a CPUID, if it is the guest's. */
	memcpy(ram + 32, "\x0f\xa2", 2);
	mv_vm_unpatch(&vm);
	mv_vm_repatch(&vm);
	cr_expect_arr_eq(ram + 32, "\x0f\xa2", 2);
	cr_expect_eq(mv_vm_patch(&vm, &err), -MV_E_INPUT, "a site that holds no CPUID is told");
}
