/* SPDX-License-Identifier: MIT */
/* The text of mask files: every form, every error with its place and its words. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mask.h"
#include "maskfile.h"

#define INHERIT "---- ---- ---- ---- ---- ---- ---- ----"
#define HOST "HHHH HHHH HHHH HHHH HHHH HHHH HHHH HHHH"
#define HOST64 HOST " " HOST

static struct mv_mask *mask;

static void new_mask(void)
{
	mask = calloc(1, sizeof(*mask));
	cr_assert(mask);
}

static void free_mask(void)
{
	free(mask);
}

TestSuite(maskfile, .init = new_mask, .fini = free_mask);

static int parse(enum mv_mask_kind kind, const char *text, size_t len, struct mv_err *err)
{
	struct mv_mask_reader reader = { .kind = kind, .file = "some/file.mask", .file_index = 2 };

	*err = (struct mv_err){ 0 };
	return mv_mask_parse(mask, text, len, &reader, err);
}

static const char *text_of(uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	static char buf[MV_MASK_TEXT];
	const struct mv_mask_reg *r = mv_mask_find(mask, leaf, subleaf, reg);

	if (!r)
		return "not there";
	mv_mask_reg_format(r, buf);
	return buf;
}

/* ---- what is accepted ---- */

Test(maskfile, forms_of_a_register)
{
	static const struct {
		const char *name, *text;
		uint32_t leaf, subleaf;
		unsigned reg;
		const char *want;
	} rows[] = {
		{ "the guide's SSSE3 mask",
		  "Level 0x1h\nECX: ---- ---- ---- ---- ---- --0- ---- ----\n",
		  1, 0, MV_ECX, "---- ---- ---- ---- ---- --0- ---- ----" },
		{ "no final newline", "Level 0x1h\nECX: ---- ---- ---- ---- ---- --0- ---- ----",
		  1, 0, MV_ECX, "---- ---- ---- ---- ---- --0- ---- ----" },
		{ "CRLF lines", "Level 0x1h\r\nECX: ---- ---- ---- ---- ---- --0- ---- ----\r\n",
		  1, 0, MV_ECX, "---- ---- ---- ---- ---- --0- ---- ----" },
		{ "no blanks at all", "Level 0x1h\nECX:----------------------0---------\n",
		  1, 0, MV_ECX, "---- ---- ---- ---- ---- --0- ---- ----" },
		{ "colons between groups",
		  "Level 0x1h\nECX: ----:----:----:----:----:--0-:----:----\n",
		  1, 0, MV_ECX, "---- ---- ---- ---- ---- --0- ---- ----" },
		{ "tabs and odd groups",
		  "\tLevel\t0x1h \n ECX :\t-------- -------- ------0- --------\t\n",
		  1, 0, MV_ECX, "---- ---- ---- ---- ---- --0- ---- ----" },
		{ "all symbols, upper case",
		  "Level 0x1h\nEDX: -XTF 10HR -XTF 10HR -XTF 10HR -XTF 10HR\n",
		  1, 0, MV_EDX, "-xTF 10HR -xTF 10HR -xTF 10HR -xTF 10HR" },
		{ "all symbols, lower case",
		  "Level 0x1h\nEDX: -xtf 10hr -xtf 10hr -xtf 10hr -xtf 10hr\n",
		  1, 0, MV_EDX, "-xTF 10HR -xTF 10HR -xTF 10HR -xTF 10HR" },
		{ "key words in any case",
		  "LEVEL 0X7H SUBLEVEL 0X1H\neax: -------- -------- -------- ----0---\n",
		  7, 1, MV_EAX, "---- ---- ---- ---- ---- ---- ---- 0---" },
		{ "level without 0x", "Level 1h\nECX: " HOST "\n", 1, 0, MV_ECX, HOST },
		{ "level without h", "Level 0x1\nECX: " HOST "\n", 1, 0, MV_ECX, HOST },
		{ "one digit needs no mark", "Level 7\nECX: " HOST "\n", 7, 0, MV_ECX, HOST },
		{ "one hexadecimal digit", "Level d\nECX: " HOST "\n", 0xd, 0, MV_ECX, HOST },
		{ "extended level", "Level 0x80000001h\nECX: " HOST "\n", 0x80000001, 0, MV_ECX,
		  HOST },
		{ "extended level, h only", "Level 80000001H\nECX: " HOST "\n", 0x80000001, 0,
		  MV_ECX, HOST },
		{ "sublevel", "Level 0x7h Sublevel 0x2h\nEDX: " HOST "\n", 7, 2, MV_EDX, HOST },
		{ "subleaf is the same word", "Level 0x7h Subleaf 2\nEDX: " HOST "\n", 7, 2, MV_EDX,
		  HOST },
		{ "sublevel 0 of a level without", "Level 0x1h Sublevel 0x0h\nEDX: " HOST "\n", 1,
		  0, MV_EDX, HOST },
		{ "a level line resets the sublevel",
		  "Level 7 Sublevel 1\nLevel 7\nEDX: " HOST "\n", 7, 0, MV_EDX, HOST },
		{ "vmx", "cpuid.1.ecx = \"----:----:----:0---:----:----:----:----\"\n",
		  1, 0, MV_ECX, "---- ---- ---- 0--- ---- ---- ---- ----" },
		{ "vmx, extended",
		  "cpuid.80000001.edx = \"----:----:---0:----:----:----:----:----\"\n",
		  0x80000001, 0, MV_EDX, "---- ---- ---0 ---- ---- ---- ---- ----" },
		{ "vmx with a sublevel",
		  "cpuid.7.1.eax=\"----:----:----:----:----:----:----:0---\"\n",
		  7, 1, MV_EAX, "---- ---- ---- ---- ---- ---- ---- 0---" },
		{ "vmx, hexadecimal sublevel", "cpuid.d.13.eax=\"" HOST "\"\n", 0xd, 0x13, MV_EAX,
		  HOST },
		{ "vmx, upper case", "CPUID.D.1.EAX = \"" HOST "\"\n", 0xd, 1, MV_EAX, HOST },
		{ "vmx, sublevel 0 said", "cpuid.1.0.ecx = \"" HOST "\"\n", 1, 0, MV_ECX, HOST },
		{ "feature", "feature sse4.1 = 0\n", 1, 0, MV_ECX,
		  "---- ---- ---- 0--- ---- ---- ---- ----" },
		{ "feature, no blanks", "feature sse4.1=0\n", 1, 0, MV_ECX,
		  "---- ---- ---- 0--- ---- ---- ---- ----" },
		{ "feature, Linux's name", "feature sse4_1 = R\n", 1, 0, MV_ECX,
		  "---- ---- ---- R--- ---- ---- ---- ----" },
		{ "feature, VMware's name", "feature SSE41 = t\n", 1, 0, MV_ECX,
		  "---- ---- ---- T--- ---- ---- ---- ----" },
		{ "features of one register", "feature ssse3 = 0\nfeature sse3 = h\n",
		  1, 0, MV_ECX, "---- ---- ---- ---- ---- --0- ---- ---H" },
		{ "feature '-' in an override", "feature sse4.1 = -\n", 1, 0, MV_ECX, INHERIT },
		{ "a feature beside a register line",
		  "Level 1\nECX: ---- ---- ---- ---- ---- --0- ---- ----\n"
		  "feature sse3 = 0\n", 1, 0, MV_ECX, "---- ---- ---- ---- ---- --0- ---- ---0" },
		{ "featMask Val:0", "featMask.vm.cpuid.SSE41 = \"Val:0\"\n", 1, 0, MV_ECX,
		  "---- ---- ---- 0--- ---- ---- ---- ----" },
		{ "featMask Val:1", "featMask.vm.cpuid.SSE41 = \"Val:1\"\n", 1, 0, MV_ECX,
		  "---- ---- ---- 1--- ---- ---- ---- ----" },
		{ "featMask Max:0", "featMask.vm.cpuid.SSE41 = \"Max:0\"\n", 1, 0, MV_ECX,
		  "---- ---- ---- 0--- ---- ---- ---- ----" },
		{ "featMask Min:1", "featMask.vm.cpuid.SSE41 = \"Min:1\"\n", 1, 0, MV_ECX,
		  "---- ---- ---- 1--- ---- ---- ---- ----" },
		{ "featMask Max:1 says nothing", "featMask.vm.cpuid.SSE41 = \"Max:1\"\n", 1, 0,
		  MV_ECX, "not there" },
		{ "featMask Min:0 says nothing", "featMask.vm.cpuid.SSE41 = \"Min:0\"\n", 1, 0,
		  MV_ECX, "not there" },
		{ "featMask of the host", "featMask.host.cpuid.SSE41 = \"Val:0\"\n", 1, 0, MV_ECX,
		  "---- ---- ---- 0--- ---- ---- ---- ----" },
		{ "featReq Min:1", "featReq.vm.cpuid.SSE41 = \"Min:1\"\n", 1, 0, MV_ECX,
		  "---- ---- ---- T--- ---- ---- ---- ----" },
		{ "featReq Bool:Min:1", "featReq.vm.cpuid.SSE41 = \"Bool:Min:1\"\n", 1, 0, MV_ECX,
		  "---- ---- ---- T--- ---- ---- ---- ----" },
		{ "featReq Num:Match:0", "featReq.vm.cpuid.SSE41 = \"Num:Match:0\"\n", 1, 0, MV_ECX,
		  "---- ---- ---- F--- ---- ---- ---- ----" },
		{ "featReq Match:1", "featReq.vm.cpuid.SSE41 = \"Match:1\"\n", 1, 0, MV_ECX,
		  "---- ---- ---- T--- ---- ---- ---- ----" },
		{ "featReq Min:0 says nothing", "featReq.vm.cpuid.SSE41 = \"Min:0\"\n", 1, 0,
		  MV_ECX, "not there" },
		{ "comments", "# one\n// two\nLevel 0x1h # three\nECX: " HOST " // four\n", 1, 0,
		  MV_ECX, HOST },
		{ "a comment without a blank", "Level 0x1h#\nECX: " HOST "//\n", 1, 0, MV_ECX,
		  HOST },
		{ "blank lines", "\n   \n\t\n\r\nLevel 0x1h\n\nECX: " HOST "\n\n", 1, 0, MV_ECX,
		  HOST },
		{ "other lines between level and register",
		  "Level 0x1h\nfeature lm = T\nECX: " HOST "\n", 1, 0, MV_ECX, HOST },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_err err;

		cr_expect_eq(parse(MV_MASK_OVERRIDE, rows[i].text, strlen(rows[i].text), &err), 0,
			     "row %s: %u:%u: %s", rows[i].name, err.line, err.col, err.msg);
		cr_expect_str_eq(text_of(rows[i].leaf, rows[i].subleaf, rows[i].reg), rows[i].want,
				 "row %s", rows[i].name);
	}
}

Test(maskfile, texts_that_say_nothing)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "empty", "" },
		{ "a newline", "\n" },
		{ "blanks without a newline", " \t" },
		{ "comments only", "# a\n  // b\n" },
		{ "a level without registers", "Level 0x1h\n" },
		{ "a '#' in a comment", "# a # b // c\n" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int kind = MV_MASK_DEFAULT; kind <= MV_MASK_OVERRIDE; kind++) {
			struct mv_err err;

			mask->nregs = mask->nfields = mask->nmsrs = 1;
			cr_expect_eq(parse((enum mv_mask_kind)kind, rows[i].text,
					   strlen(rows[i].text), &err), 0, "row %s", rows[i].name);
			cr_expect_eq(mask->nregs + mask->nfields + mask->nmsrs, 0u, "row %s",
				     rows[i].name);
			cr_expect_eq(err.code, 0, "row %s", rows[i].name);
		}
	}
}

Test(maskfile, fields)
{
	static const struct {
		const char *name, *text;
		enum mv_field_id id;
		uint32_t value;
	} rows[] = {
		{ "decimal", "field phys-bits = 46\n", MV_FIELD_PHYS_BITS, 46 },
		{ "hexadecimal", "field max-leaf = 0x16\n", MV_FIELD_MAX_LEAF, 0x16 },
		{ "upper case", "FIELD MAX-LEAF = 0X1F\n", MV_FIELD_MAX_LEAF, 0x1f },
		{ "the largest that fits", "field phys-bits = 255\n", MV_FIELD_PHYS_BITS, 255 },
		{ "32 bits", "field max-ext-leaf = 0xffffffff\n", MV_FIELD_MAX_EXT_LEAF,
		  UINT32_MAX },
		{ "zero", "field linear-bits=0\n", MV_FIELD_LINEAR_BITS, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_err err;

		cr_expect_eq(parse(MV_MASK_DEFAULT, rows[i].text, strlen(rows[i].text), &err), 0,
			     "row %s: %s", rows[i].name, err.msg);
		cr_assert_eq(mask->nfields, 1u, "row %s", rows[i].name);
		cr_expect_eq(mask->fields[0].id, (uint16_t)rows[i].id, "row %s", rows[i].name);
		cr_expect_eq(mask->fields[0].value, rows[i].value, "row %s", rows[i].name);
		cr_expect_eq(mask->fields[0].at, MV_AT(2, 1), "row %s", rows[i].name);
	}
}

Test(maskfile, msrs)
{
	static const char text[] =
		"msr 0x10a = \"T--- ---- ---- ---- ---- ---- ---- ---- "
		"----:----:----:----:----:----:----:---0\"\n"
		"msr 4096 = \"" HOST64 "\"\n";
	struct mv_err err;

	cr_assert_eq(parse(MV_MASK_OVERRIDE, text, sizeof(text) - 1, &err), 0, "%s", err.msg);
	cr_assert_eq(mask->nmsrs, 2u);
	cr_expect_eq(mask->msrs[0].index, 0x10au);
	for (unsigned p = 0; p < 3; p++)
		cr_expect_eq(mask->msrs[0].plane[p],
			     (uint64_t)(MV_SYM_T >> p & 1) << 63 | (MV_SYM_0 >> p & 1));
	cr_expect_eq(mask->msrs[0].at, MV_AT(2, 1));
	cr_expect_eq(mask->msrs[1].index, 4096u);
	for (unsigned p = 0; p < 3; p++)
		cr_expect_eq(mask->msrs[1].plane[p], MV_SYM_H >> p & 1 ? UINT64_MAX : 0);
	cr_expect_eq(mask->msrs[1].at, MV_AT(2, 2));
}

Test(maskfile, vendor_lines_stand_beside_plain_ones)
{
	static const char text[] =
		"cpuid.80000001.edx     = \"----:----:---H:----:----:----:----:----\"\n"
		"cpuid.80000001.edx.amd = \"----:----:---0:----:----:----:----:----\"\n"
		"cpuid.80000001.edx.intel = \"----:----:---R:----:----:----:----:----\"\n";
	static const struct {
		const char *name;
		enum mv_vendor vendor;
		enum mv_sym sym;
	} rows[] = {
		{ "plain", MV_VENDOR_OTHER, MV_SYM_H },
		{ "amd", MV_VENDOR_AMD, MV_SYM_0 },
		{ "intel", MV_VENDOR_INTEL, MV_SYM_R },
	};
	struct mv_err err;

	cr_assert_eq(parse(MV_MASK_OVERRIDE, text, sizeof(text) - 1, &err), 0, "%s", err.msg);
	cr_assert_eq(mask->nregs, 3u);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq((int)mask->regs[i].vendor, (int)rows[i].vendor, "row %s",
			     rows[i].name);
		cr_expect_eq(mv_mask_reg_sym(&mask->regs[i], 20), rows[i].sym, "row %s",
			     rows[i].name);
	}
}

Test(maskfile, symbols_remember_their_line)
{
	static const char text[] = "\n# comment\nLevel 0x1h\n"
				   "ECX: ---- ---- ---- ---- ---- --0- ---- ----\n"
				   "feature sse4.1 = 0\n";
	struct mv_err err;

	cr_assert_eq(parse(MV_MASK_OVERRIDE, text, sizeof(text) - 1, &err), 0, "%s", err.msg);
	for (unsigned bit = 0; bit < 32; bit++)
		cr_expect_eq(mv_mask_at(mask, 1, 0, MV_ECX, bit),
			     bit == 9 ? MV_AT(2, 4) : bit == 19 ? MV_AT(2, 5) : 0, "bit %u", bit);
}

Test(maskfile, a_very_long_line)
{
	enum { BLANKS = 1 << 20 };
	static const char start[] = "Level 0x1h\nECX:", end[] = HOST "\n";
	size_t len = sizeof(start) - 1 + BLANKS + sizeof(end) - 1;
	char *text = malloc(len);
	struct mv_err err;

	cr_assert(text);
	memcpy(text, start, sizeof(start) - 1);
	memset(text + sizeof(start) - 1, ' ', BLANKS);
	memcpy(text + sizeof(start) - 1 + BLANKS, end, sizeof(end) - 1);
	cr_expect_eq(parse(MV_MASK_DEFAULT, text, len, &err), 0, "%s", err.msg);
	cr_expect_str_eq(text_of(1, 0, MV_ECX), HOST);
	/* One symbol less, and the place of the error is still right. */
	text[len - 2] = ' ';
	cr_expect_eq(parse(MV_MASK_DEFAULT, text, len, &err), -MV_E_INPUT);
	cr_expect_eq(err.line, 2u);
	cr_expect_str_eq(err.msg, "31 symbols, 32 needed (bit 31 first)");
	memset(text, 'a', len);
	cr_expect_eq(parse(MV_MASK_DEFAULT, text, len, &err), -MV_E_INPUT);
	cr_expect_eq(err.line, 1u);
	cr_expect_lt(strlen(err.msg), 128u, "the message quotes a part of it only");
	free(text);
}

/* ---- what is refused ---- */

struct error_row {
	const char *name;
	enum mv_mask_kind kind;
	const char *text;
	uint32_t line, col;
	const char *msg;
	const char *hint;	/* NULL: none */
};

static void expect_errors(const struct error_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct error_row *r = &rows[i];
		struct mv_err err;

		cr_expect_eq(parse(r->kind, r->text, strlen(r->text), &err), -MV_E_INPUT, "row %s",
			     r->name);
		cr_expect_eq(err.code, MV_E_INPUT, "row %s", r->name);
		cr_expect_str_eq(err.file, "some/file.mask", "row %s", r->name);
		cr_expect_eq(err.line, r->line, "row %s: line %u", r->name, err.line);
		cr_expect_eq(err.col, r->col, "row %s: column %u", r->name, err.col);
		cr_expect_str_eq(err.msg, r->msg, "row %s: %s", r->name, err.msg);
		cr_expect_str_eq(err.hint, r->hint ? r->hint : "", "row %s: %s", r->name, err.hint);
	}
}

#define OVER MV_MASK_OVERRIDE
#define DEF MV_MASK_DEFAULT
#define SYMBOLS_HINT "the symbols are - x T F 1 0 H R"
#define INHERIT_HINT \
	"'-' means \"the default mask's symbol\": it has a meaning in override masks only"
#define LEVEL_HINT "write it in hexadecimal, as 0x1h or 0x80000001"

Test(maskfile, errors_of_the_guide_form)
{
	static const struct error_row rows[] = {
		{ "wrong symbol", OVER,
		  "Level 0x1h\nECX: ---- ---- ---- 2--- ---- ---- ---- ----\n",
		  2, 21, "'2' is not a mask symbol", SYMBOLS_HINT },
		{ "wrong symbol after a tab", OVER, "Level 0x1h\n\tECX: z\n", 2, 7,
		  "'z' is not a mask symbol", SYMBOLS_HINT },
		{ "letter O for 0", OVER, "Level 0x1h\nECX: O", 2, 6, "'O' is not a mask symbol",
		  SYMBOLS_HINT },
		{ "31 symbols", OVER, "Level 0x1h\nECX: ---- ---- ---- ---- ---- ---- ---- ---\n",
		  2, 44, "31 symbols, 32 needed (bit 31 first)", NULL },
		{ "33 symbols", OVER,
		  "Level 0x1h\nECX: ---- ---- ---- ---- ---- ---- ---- ---- -\n",
		  2, 46, "more than 32 symbols", NULL },
		{ "no symbols", OVER, "Level 0x1h\nECX:\n", 2, 5,
		  "0 symbols, 32 needed (bit 31 first)", NULL },
		{ "unknown register", OVER, "Level 0x1h\nESI: " INHERIT "\n", 2, 1,
		  "'ESI' is not a register (EAX, EBX, ECX, EDX)", NULL },
		{ "register before any level", OVER, "# first\nECX: " INHERIT "\n", 2, 1,
		  "no Level line before this register", NULL },
		{ "'-' in a default mask", DEF, "Level 0x1h\nECX: HHHH H-HH\n", 2, 12,
		  "'-' in a default mask", INHERIT_HINT },
		{ "register twice", OVER,
		  "Level 0x1h\nECX: " INHERIT "\nEDX: " INHERIT "\n\nECX: " INHERIT "\n",
		  5, 1, "ECX of level 0x1 is given twice: already in line 2", NULL },
		{ "register twice, level repeated", OVER,
		  "Level 0x1h\nECX: " INHERIT "\nLevel 1\n  ECX: " INHERIT "\n", 4, 3,
		  "ECX of level 0x1 is given twice: already in line 2", NULL },
		{ "register of a sublevel twice", OVER,
		  "Level 7 Sublevel 1\nEAX: " INHERIT "\nEAX: " INHERIT "\n", 3, 1,
		  "EAX of level 0x7 (that sublevel) is given twice: already in line 2", NULL },
		{ "level not hexadecimal", OVER, "Level 0x1g\n", 1, 7, "'0x1g' is not a level",
		  LEVEL_HINT },
		{ "level without a mark", OVER, "Level 80000001\n", 1, 7,
		  "'80000001' is not a level", LEVEL_HINT },
		{ "level beyond 32 bits", OVER, "Level 0x100000000h\n", 1, 7,
		  "'0x100000000h' is not a level", LEVEL_HINT },
		{ "level missing", OVER, "Level\n", 1, 6, "'' is not a level", LEVEL_HINT },
		{ "only a mark", OVER, "Level 0x\n", 1, 7, "'0x' is not a level",
		  LEVEL_HINT },
		{ "sublevel on a level without", OVER, "Level 0x1h Sublevel 0x1h\n", 1, 21,
		  "level 0x1 has no sublevels", NULL },
		{ "sublevel on an extended level without", OVER, "Level 0x80000008h Sublevel 2\n",
		  1, 28, "level 0x80000008 has no sublevels", NULL },
		{ "sublevel not hexadecimal", OVER, "Level 7 Sublevel one\n", 1, 18,
		  "'one' is not a sublevel", NULL },
		{ "sublevel missing", OVER, "Level 7 Sublevel\n", 1, 17, "'' is not a sublevel",
		  NULL },
		{ "another word for sublevel", OVER, "Level 0x7h Index 1\n", 1, 12,
		  "'Sublevel' expected, not 'Index'", NULL },
		{ "text after the level", OVER, "Level 0x7h Sublevel 1 please\n", 1, 23,
		  "unexpected text 'please'", NULL },
		{ "text after the level, no word", OVER, "Level 0x7h = 1\n", 1, 12,
		  "unexpected text '= 1'", NULL },
		{ "a symbol row without register", OVER, "Level 0x1h\n---- ----\n", 2, 1,
		  "'----' begins no line of a mask file", NULL },
		{ "an equals sign for the colon", OVER, "Level 0x1h\nECX = " INHERIT "\n", 2, 1,
		  "'ECX' begins no line of a mask file", NULL },
		{ "no word at all", OVER, "  = 3\n", 1, 3, "unexpected text '= 3'", NULL },
		{ "unknown directive", OVER, "hardware-version = 4\n", 1, 1,
		  "'hardware-version' begins no line of a mask file", NULL },
	};

	expect_errors(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(maskfile, errors_of_the_vmx_form)
{
	static const struct error_row rows[] = {
		{ "level not hexadecimal", OVER, "cpuid.xyz.ecx = \"" INHERIT "\"\n", 1, 7,
		  "'xyz' is not a level (hexadecimal, without 0x)", NULL },
		{ "level with 0x", OVER, "cpuid.0x1.ecx = \"" INHERIT "\"\n", 1, 7,
		  "'0x1' is not a level (hexadecimal, without 0x)", NULL },
		{ "level beyond 32 bits", OVER, "cpuid.800000001.ecx = \"" INHERIT "\"\n", 1, 7,
		  "'800000001' is not a level (hexadecimal, without 0x)", NULL },
		{ "no register", OVER, "cpuid.1 = \"" INHERIT "\"\n", 1, 8,
		  "'' is not a register (eax, ebx, ecx, edx)", NULL },
		{ "unknown register", OVER, "cpuid.1.esi = \"" INHERIT "\"\n", 1, 9,
		  "'esi' is not a register (eax, ebx, ecx, edx)", NULL },
		{ "unknown register after a sublevel", OVER, "cpuid.7.1.esi = \"" INHERIT "\"\n", 1,
		  11, "'esi' is not a register (eax, ebx, ecx, edx)", NULL },
		{ "sublevel on a level without", OVER, "cpuid.1.1.ecx = \"" INHERIT "\"\n", 1, 9,
		  "level 0x1 has no sublevels", NULL },
		{ "unknown vendor", OVER, "cpuid.1.ecx.cyrix = \"" INHERIT "\"\n", 1, 13,
		  "'cyrix' is not a vendor (amd, intel)", NULL },
		{ "no equals sign", OVER, "cpuid.1.ecx \"" INHERIT "\"\n", 1, 13, "'=' expected",
		  NULL },
		{ "no quotes", OVER, "cpuid.1.ecx = " INHERIT "\n", 1, 15, "'\"' expected", NULL },
		{ "unclosed quote", OVER, "cpuid.1.ecx = \"" INHERIT "\n", 1, 15,
		  "the quote is not closed", NULL },
		{ "unclosed quote before a comment", OVER, "cpuid.1.ecx = \"---- # x\n", 1, 15,
		  "the quote is not closed", NULL },
		{ "text after the quote", OVER, "cpuid.1.ecx = \"" INHERIT "\" x\n", 1, 57,
		  "unexpected text 'x'", NULL },
		{ "wrong symbol", OVER, "cpuid.1.ecx = \"----:--?-\"\n", 1, 23,
		  "'?' is not a mask symbol", SYMBOLS_HINT },
		{ "31 symbols", OVER, "cpuid.1.ecx = \"---:----:----:----:----:----:----:----\"\n",
		  1,
		  54, "31 symbols, 32 needed (bit 31 first)", NULL },
		{ "33 symbols", OVER,
		  "cpuid.1.ecx = \"-----:----:----:----:----:----:----:----\"\n", 1,
		  55, "more than 32 symbols", NULL },
		{ "'-' in a default mask", DEF, "cpuid.1.ecx.amd = \"HHHH:-\"\n", 1, 25,
		  "'-' in a default mask", INHERIT_HINT },
		{ "twice", OVER, "cpuid.1.ecx = \"" INHERIT "\"\ncpuid.1.ecx = \"" INHERIT "\"\n",
		  2, 7,
		  "ECX of level 0x1 is given twice: already in line 1", NULL },
		{ "twice for a vendor", OVER,
		  "cpuid.1.ecx.amd = \"" INHERIT "\"\ncpuid.1.ecx.amd = \"" INHERIT "\"\n", 2, 7,
		  "ECX of level 0x1 is given twice: already in line 1", NULL },
		{ "twice, first in the guide's form", OVER,
		  "Level 1\nECX: " INHERIT "\ncpuid.1.ecx = \"" INHERIT "\"\n", 3, 7,
		  "ECX of level 0x1 is given twice: already in line 2", NULL },
		{ "twice, first in this form", OVER,
		  "cpuid.1.ecx = \"" INHERIT "\"\nLevel 1\nECX: " INHERIT "\n", 3, 1,
		  "ECX of level 0x1 is given twice: already in line 1", NULL },
		{ "featMask of something else", OVER, "featMask.vm.hv.capable = \"Val:1\"\n", 1, 13,
		  "only 'cpuid' features are known here, not 'hv'", NULL },
		{ "featMask, unknown feature", OVER, "featMask.vm.cpuid.SSE99 = \"Val:0\"\n", 1, 19,
		  "no CPUID feature is called 'SSE99'", NULL },
		{ "featMask, unknown operation", OVER, "featMask.vm.cpuid.SSE41 = \"Set:0\"\n", 1,
		  28,
		  "'Set' is not an operation (Val, Min, Max)", NULL },
		{ "featMask, not a bit", OVER, "featMask.vm.cpuid.SSE41 = \"Val:2\"\n", 1, 32,
		  "'2' is not 0 or 1", NULL },
		{ "featMask, no colon", OVER, "featMask.vm.cpuid.SSE41 = \"Val 0\"\n", 1, 32,
		  "':' expected", NULL },
		{ "featReq, unknown operation", OVER, "featReq.vm.cpuid.SSE41 = \"Bool:Val:1\"\n",
		  1, 32,
		  "'Val' is not an operation (Min, Match)", NULL },
		{ "featMask, no quotes", OVER, "featMask.vm.cpuid.SSE41 = Val:0\n", 1, 27,
		  "'\"' expected", NULL },
		{ "featMask, unclosed quote", OVER, "featMask.vm.cpuid.SSE41 = \"Val:0\n", 1, 27,
		  "the quote is not closed", NULL },
	};

	expect_errors(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(maskfile, errors_of_features_fields_and_msrs)
{
	static const struct error_row rows[] = {
		{ "unknown feature", OVER, "feature sse99 = 0\n", 1, 9,
		  "no CPUID feature is called 'sse99'", NULL },
		{ "ambiguous feature", OVER, "feature ibrs = 0\n", 1, 9,
		  "no CPUID feature is called 'ibrs'",
		  "systems differ in which bit has that name: SPEC-CTRL, AMD-IBRS" },
		{ "no feature", OVER, "feature = 0\n", 1, 9, "no CPUID feature is called ''",
		  NULL },
		{ "feature without '='", OVER, "feature sse4.1 0\n", 1, 16, "'=' expected", NULL },
		{ "feature without a symbol", OVER, "feature sse4.1 =\n", 1, 17,
		  "a mask symbol expected (- x T F 1 0 H R)", NULL },
		{ "feature with a wrong symbol", OVER, "feature sse4.1 = off\n", 1, 18,
		  "a mask symbol expected (- x T F 1 0 H R)", NULL },
		{ "feature with two symbols", OVER, "feature sse4.1 = 00\n", 1, 19,
		  "unexpected text '0'", NULL },
		{ "feature twice", OVER, "feature sse4.1 = 0\nfeature sse4_1 = R\n", 2, 9,
		  "feature SSE4.1 is given twice: already in line 1", NULL },
		{ "feature and featMask", OVER,
		  "feature sse4.1 = 0\nfeatMask.vm.cpuid.SSE41 = \"Val:0\"\n", 2, 19,
		  "feature SSE4.1 is given twice: already in line 1", NULL },
		{ "feature after its register", OVER,
		  "Level 1\nECX: ---- ---- ---- 0--- ---- ---- ---- ----\nfeature sse4.1 = R\n", 3,
		  9,
		  "feature SSE4.1 is given twice: already in line 2", NULL },
		{ "register after a feature of it", OVER,
		  "feature sse4.1 = R\nLevel 1\nECX: ---- ---- ---- 0--- ---- ---- ---- ----\n", 3,
		  1,
		  "bit 19 of level 0x1 ECX is given twice: already in line 1", NULL },
		{ "feature '-' in a default mask", DEF, "feature sse4.1 = -\n", 1, 18,
		  "'-' in a default mask", NULL },
		{ "a default mask with half a register", DEF, "feature sse3 = H\n", 0, 0,
		  "bit 1 of level 0x1 ECX has no symbol: a default mask names whole registers",
		  NULL },
		{ "unknown field", OVER, "field phys-bytes = 4\n", 1, 7,
		  "no CPUID field is called 'phys-bytes'", NULL },
		{ "field without '='", OVER, "field phys-bits 46\n", 1, 17, "'=' expected", NULL },
		{ "field without a number", OVER, "field phys-bits =\n", 1, 18,
		  "'' is not a number", NULL },
		{ "field with a word", OVER, "field phys-bits = many\n", 1, 19,
		  "'many' is not a number", NULL },
		{ "field, hexadecimal without 0x", OVER, "field max-leaf = 1f\n", 1, 18,
		  "'1f' is not a number", NULL },
		{ "number too large for the field", OVER, "field phys-bits = 256\n", 1, 19,
		  "phys-bits has 8 bits: 0x100 does not fit", NULL },
		{ "number beyond 32 bits", OVER, "field max-leaf = 0x100000000\n", 1, 18,
		  "'0x100000000' is not a number", NULL },
		{ "text after the number", OVER, "field phys-bits = 46 bits\n", 1, 22,
		  "unexpected text 'bits'", NULL },
		{ "field twice", OVER, "field phys-bits = 46\n\nfield PHYS-BITS = 40\n", 3, 7,
		  "field phys-bits is given twice: already in line 1", NULL },
		{ "MSR number", OVER, "msr 10a = \"" HOST64 "\"\n", 1, 5,
		  "'10a' is not an MSR number",
		  NULL },
		{ "MSR with 32 symbols", OVER, "msr 0x10a = \"" HOST "\"\n", 1, 53,
		  "32 symbols, 64 needed (bit 63 first)", NULL },
		{ "MSR with 65 symbols", OVER, "msr 0x10a = \"" HOST64 " H\"\n", 1, 94,
		  "more than 64 symbols", NULL },
		{ "MSR without quotes", OVER, "msr 0x10a = " HOST64 "\n", 1, 13, "'\"' expected",
		  NULL },
		{ "MSR twice", OVER, "msr 0x10a = \"" HOST64 "\"\nmsr 266 = \"" HOST64 "\"\n", 2, 5,
		  "MSR 0x10a is given twice: already in line 1", NULL },
		{ "MSR, '-' in a default mask", DEF, "msr 0x10a = \"H-\"\n", 1, 15,
		  "'-' in a default mask", INHERIT_HINT },
	};

	expect_errors(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(maskfile, a_nul_byte)
{
	static const struct {
		const char *name, *text;
		size_t len;
		uint32_t line;
	} rows[] = {
		{ "alone", "\0", 1, 1 },
		{ "in a symbol row", "Level 0x1h\nECX: --\0-", 19, 2 },
		{ "in quotes", "cpuid.1.ecx = \"\0\"\n", 18, 1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_err err;

		cr_expect_eq(parse(OVER, rows[i].text, rows[i].len, &err), -MV_E_INPUT, "row %s",
			     rows[i].name);
		cr_expect_eq(err.line, rows[i].line, "row %s", rows[i].name);
		cr_expect_str_eq(err.msg, "a NUL byte: this is not a text file", "row %s",
				 rows[i].name);
	}
}

Test(maskfile, capacities)
{
	enum { SIZE = 1 << 16 };
	char *text = malloc(SIZE);
	struct mv_err err;
	size_t used = 0;

	cr_assert(text);
	for (unsigned i = 0; i <= MV_MASK_REGS / 4; i++)
		used += (size_t)snprintf(text + used, SIZE - used,
					 "Level 0x%xh\nEAX: %s\nEBX: %s\nECX: %s\nEDX: %s\n", i,
					 INHERIT, INHERIT, INHERIT, INHERIT);
	cr_expect_eq(parse(OVER, text, used, &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "more than 384 registers in one mask");
	cr_expect_eq(err.line, 5u * MV_MASK_REGS / 4 + 2);

	used = 0;
	for (unsigned i = 0; i <= MV_MASK_MSRS; i++)
		used += (size_t)snprintf(text + used, SIZE - used, "msr %u = \"%s\"\n", i, HOST64);
	cr_expect_eq(parse(OVER, text, used, &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "more than 16 MSRs in one mask");
	cr_expect_eq(err.line, (uint32_t)MV_MASK_MSRS + 1);

	used = 0;
	for (unsigned i = 0; i <= MV_MASK_FIELDS; i++)
		used += (size_t)snprintf(text + used, SIZE - used, "field %s = 0\n",
					 mv_fields[i].name);
	cr_expect_eq(parse(OVER, text, used, &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "more than 32 fields in one mask");
	cr_expect_eq(err.line, (uint32_t)MV_MASK_FIELDS + 1);
	free(text);
}

Test(maskfile, an_error_needs_no_place_to_go)
{
	struct mv_mask_reader reader = { .kind = OVER, .file = "f" };

	cr_expect_eq(mv_mask_parse(mask, "?", 1, &reader, NULL), -MV_E_INPUT);
}

/* ---- directives ---- */

struct seen {
	int rc;				/* what to answer */
	const char *included;		/* text to lay over the mask at each include */
	unsigned n;
	enum mv_directive d[4];
	char arg[4][64];
	mv_at at[4];
};

static int directive(void *ctx, enum mv_directive d, const char *arg, mv_at at, struct mv_err *err)
{
	struct seen *s = ctx;
	struct mv_mask_reader reader = { .kind = OVER, .file = "included.mask", .file_index = 3 };
	struct mv_mask *inner;
	int rc = 0;

	cr_assert_lt(s->n, 4u);
	s->d[s->n] = d;
	snprintf(s->arg[s->n], sizeof(s->arg[0]), "%s", arg);
	s->at[s->n++] = at;
	if (s->included) {
		inner = calloc(1, sizeof(*inner));
		cr_assert(inner);
		rc = mv_mask_parse(inner, s->included, strlen(s->included), &reader, err);
		if (rc == 0)
			rc = mv_mask_overlay(mask, inner, err);
		free(inner);
	}
	return rc ? rc : s->rc;
}

static int parse_directives(struct seen *s, const char *text, struct mv_err *err)
{
	struct mv_mask_reader reader = { .kind = OVER, .file = "some/file.mask", .file_index = 2,
					 .directive = directive, .ctx = s };

	*err = (struct mv_err){ 0 };
	return mv_mask_parse(mask, text, strlen(text), &reader, err);
}

Test(maskfile, directives_are_called_in_their_place)
{
	struct seen s = { 0 };
	struct mv_err err;

	cr_assert_eq(parse_directives(&s, "guest-os = linux64\nbaseline=intel-penryn # new\n"
					  "include \"other file.mask\"\nINCLUDE \"../a.mask\"\n",
					  &err),
		     0, "%s", err.msg);
	cr_assert_eq(s.n, 2u + 2u);
	cr_expect_eq(s.d[0], MV_DIR_GUEST_OS);
	cr_expect_str_eq(s.arg[0], "linux64");
	cr_expect_eq(s.at[0], MV_AT(2, 1));
	cr_expect_eq(s.d[1], MV_DIR_BASELINE);
	cr_expect_str_eq(s.arg[1], "intel-penryn");
	cr_expect_eq(s.d[2], MV_DIR_INCLUDE);
	cr_expect_str_eq(s.arg[2], "other file.mask");
	cr_expect_eq(s.at[2], MV_AT(2, 3));
	cr_expect_str_eq(s.arg[3], "../a.mask");
}

Test(maskfile, errors_of_directives)
{
	static const struct {
		const char *name, *text;
		uint32_t col;
		const char *msg;
		unsigned calls;
	} rows[] = {
		{ "no '='", "guest-os linux64\n", 10, "'=' expected", 0 },
		{ "no name", "baseline =\n", 11, "a name expected (at most 255 characters)", 0 },
		{ "empty name", "include \"\"\n", 10, "a name expected (at most 255 characters)",
		  0 },
		{ "unclosed quote", "include \"x\n", 9, "the quote is not closed", 0 },
		{ "two names", "guest-os = a b\n", 14, "unexpected text 'b'", 0 },
		{ "a path without quotes", "include a/b.mask\n", 10, "unexpected text '/b.mask'",
		  0 },
		{ "the caller refuses", "guest-os = plan9\n", 12, "'plan9' can't be used", 1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct seen s = { .rc = -MV_E_INPUT };
		struct mv_err err;

		cr_expect_eq(parse_directives(&s, rows[i].text, &err), -MV_E_INPUT, "row %s",
			     rows[i].name);
		cr_expect_eq(err.line, 1u, "row %s", rows[i].name);
		cr_expect_eq(err.col, rows[i].col, "row %s: column %u", rows[i].name, err.col);
		cr_expect_str_eq(err.msg, rows[i].msg, "row %s: %s", rows[i].name, err.msg);
		cr_expect_str_eq(err.file, "some/file.mask", "row %s", rows[i].name);
		cr_expect_eq(s.n, rows[i].calls, "row %s", rows[i].name);
	}
}

Test(maskfile, a_directive_name_has_255_characters_at_most)
{
	struct mv_err err;
	char text[320];

	for (int len = 255; len <= 256; len++) {
		struct seen s = { 0 };

		snprintf(text, sizeof(text), "include \"%0*d\"\n", len, 0);
		cr_expect_eq(parse_directives(&s, text, &err), len == 255 ? 0 : -MV_E_INPUT,
			     "%d characters", len);
		cr_expect_eq(s.n, len == 255, "%d characters", len);
	}
}

Test(maskfile, directives_without_a_handler)
{
	static const struct error_row rows[] = {
		{ "guest-os", OVER, "\nguest-os = linux64\n", 2, 1,
		  "directives are not allowed here",
		  NULL },
		{ "baseline", DEF, "  baseline = x\n", 1, 3, "directives are not allowed here",
		  NULL },
		{ "include", OVER, "include \"x\"\n", 1, 1, "directives are not allowed here",
		  NULL },
	};

	expect_errors(rows, sizeof(rows) / sizeof(rows[0]));
}

/* The error of an included file keeps its own place. */
Test(maskfile, an_error_in_an_included_file)
{
	struct seen s = { .included = "Level 0x1h\nESI: x\n" };
	struct mv_err err;

	cr_expect_eq(parse_directives(&s, "\ninclude \"x\"\n", &err), -MV_E_INPUT);
	cr_expect_str_eq(err.file, "included.mask");
	cr_expect_eq(err.line, 2u);
	cr_expect_eq(err.col, 1u);
	cr_expect_str_eq(err.msg, "'ESI' is not a register (EAX, EBX, ECX, EDX)");
}

/* What an included file says holds until a later line says otherwise. */
Test(maskfile, lines_after_an_include_win)
{
	static const char included[] =
		"Level 0x1h\nECX: 1--- ---- ---- 0--- ---- ---- ---- ---0\n"
		"field phys-bits = 46\nmsr 0x10a = \"" HOST64 "\"\n";
	struct seen s = { .included = included };
	struct mv_err err;

	cr_assert_eq(parse_directives(&s,
				      "feature ssse3 = 0\ninclude \"x\"\nfeature sse4.1 = R\n"
				      "Level 0x1h\nECX: ---- ---- ---- ---- ---- ---- ---- ---H\n"
				      "field phys-bits = 40\n"
				      "msr 0x10a = \"" INHERIT " " HOST "\"\n",
				      &err), 0, "%u:%u: %s", err.line, err.col, err.msg);
	cr_expect_str_eq(text_of(1, 0, MV_ECX), "1--- ---- ---- R--- ---- --0- ---- ---H");
	cr_expect_eq(mv_mask_at(mask, 1, 0, MV_ECX, 31), MV_AT(3, 2));
	cr_expect_eq(mv_mask_at(mask, 1, 0, MV_ECX, 19), MV_AT(2, 3));
	cr_expect_eq(mask->nfields, 1u);
	cr_expect_eq(mask->fields[0].value, 40u);
	cr_expect_eq(mask->nmsrs, 1u);
	cr_expect_eq(mask->msrs[0].at, MV_AT(2, 7));
}

/* ---- forms agree ---- */

Test(maskfile, three_forms_of_one_mask_are_equal)
{
	static const char *const forms[] = {
		"Level 0x1h\nECX: ---- ---- ---- 0--- ---- ---- ---- ----\n",
		"cpuid.1.ecx = \"----:----:----:0---:----:----:----:----\"\n",
		"feature sse4.1 = 0\n",
		"featMask.vm.cpuid.SSE41 = \"Val:0\"\n",
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct mv_err err;

		cr_assert_eq(parse(OVER, forms[i], strlen(forms[i]), &err), 0, "form %zu", i);
		cr_expect_eq(mask->nregs, 1u, "form %zu", i);
		cr_expect_str_eq(text_of(1, 0, MV_ECX), "---- ---- ---- 0--- ---- ---- ---- ----",
				 "form %zu", i);
	}
}

/* Every feature can be named in the feature form, by its canonical name. */
Test(maskfile, every_feature_by_name)
{
	for (size_t i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];
		struct mv_err err;
		char text[128];

		snprintf(text, sizeof(text), "feature %s = T\n", f->name);
		cr_assert_eq(parse(OVER, text, strlen(text), &err), 0, "row %s: %s", f->name,
			     err.msg);
		cr_expect_eq(mv_mask_sym(mask, f->leaf, f->subleaf, f->reg, f->bit), MV_SYM_T,
			     "row %s", f->name);
	}
}

/* Random edits of a valid file: an answer and a place inside the file, never a crash. */
Test(maskfile, mutations_do_not_crash)
{
	static const char valid[] =
		"guest-os = linux64\nLevel 0x7h Sublevel 0x1h\n"
		"EAX: ---- ---- ---- ---- ---- ---- ---- 0--- # x\n"
		"cpuid.80000001.edx.amd = \"----:----:---0:----:----:----:----:----\"\n"
		"featMask.vm.cpuid.SSE41 = \"Val:0\"\nfeature sse3 = T\nfield phys-bits = 46\n"
		"msr 0x10a = \"" HOST64 "\"\ninclude \"y\"\n";
	uint64_t seed = 0x9e3779b97f4a7c15;
	size_t len = sizeof(valid) - 1;

	for (unsigned i = 0; i < 20000; i++) {
		struct seen s = { 0 };
		struct mv_mask_reader reader = { .kind = OVER, .file = "f", .ctx = &s,
						 .directive = directive };
		struct mv_err err = { 0 };
		char *text = malloc(len);	/* of that size: ASan sees every step beyond */
		size_t keep;

		cr_assert(text);
		memcpy(text, valid, len);
		for (unsigned n = 0; n < 3; n++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			text[seed % len] = (char)(seed >> 32);
		}
		keep = seed >> 40 & 1 ? len : (seed >> 41) % len;
		text = realloc(text, keep ? keep : 1);
		cr_assert(text);
		if (mv_mask_parse(mask, text, keep, &reader, &err)) {
			cr_assert_eq(err.code, MV_E_INPUT, "mutation %u", i);
			cr_assert(err.line >= 1 && err.line <= 12 && err.col >= 1,
				  "mutation %u", i);
		}
		free(text);
	}
}
