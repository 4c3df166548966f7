/* SPDX-License-Identifier: MIT */
/* Masks from files: directives, folders, layers and where errors are said to be. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "maskload.h"

static char folder[64];

static void new_folder(void)
{
	char inner[96];

	snprintf(folder, sizeof(folder), "/tmp/mv-mask-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(inner, sizeof(inner), "%s/in", folder);
	cr_assert_eq(mkdir(inner, 0700), 0);
	cr_assert_eq(chdir(folder), 0);
}

static void remove_folder(void)
{
	char command[128];

	cr_expect_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	cr_expect_eq(system(command), 0);
}

struct file {
	const char *name, *text;
};

#define MOST_FILES 4

struct row {
	const char *name;
	struct file files[MOST_FILES];
	const char *override[3], *guest_os, *default_mask;
	/* what comes out: SSE4.1's symbol and where it was written, or the error */
	char symbol;
	const char *file;
	uint32_t line, col;
	const char *msg;
	const char *os;		/* the default mask's name */
	int code;		/* of the error; 0 = MV_E_INPUT */
};

#define LEVEL1(nibble) "Level 0x1h\nECX: ---- ---- ---- " nibble "--- ---- ---- ---- ----\n"
#define ALL_X "Level 0x1h\nECX: xxxx xxxx xxxx xxxx xxxx xxxx xxxx xxxx\n"

static const struct row rows[] = {
	{ "nothing", { { 0 } }, { 0 }, NULL, NULL, 'H', "generic64.mask", 0, 0, NULL, "generic64", 0 },
	{ "another guest OS", { { 0 } }, { 0 }, "linux64", NULL, 'H', "linux64.mask", 0, 0, NULL,
	  "linux64", 0 },
	{ "an override", { { "a", LEVEL1("0") } }, { "a" }, NULL, NULL, '0', "a", 2, 0, NULL,
	  "generic64", 0 },
	{ "a later one wins", { { "a", LEVEL1("0") }, { "b", "feature sse4.1 = T\n" } }, { "a", "b" },
	  NULL, NULL, 'T', "b", 1, 0, NULL, NULL, 0 },
	{ "in either order", { { "a", LEVEL1("0") }, { "b", "feature sse4.1 = T\n" } }, { "b", "a" },
	  NULL, NULL, '0', "a", 2, 0, NULL, NULL, 0 },
	{ "what it does not name is not touched", { { "a", LEVEL1("0") }, { "b", LEVEL1("-") } },
	  { "a", "b" }, NULL, NULL, '0', "a", 2, 0, NULL, NULL, 0 },
	{ "a default mask from a file", { { "d", ALL_X } }, { 0 }, NULL, "d", 'x', "d", 2, 0, NULL,
	  "custom", 0 },
	{ "with an override", { { "d", ALL_X }, { "a", LEVEL1("R") } }, { "a" }, NULL, "d", 'R', "a",
	  2, 0, NULL, "custom", 0 },
	{ "a default mask with a dash", { { "d", LEVEL1("0") } }, { 0 }, NULL, "d", 0, "d", 2, 6,
	  "'-' in a default mask", NULL, 0 },

	/* include */
	{ "include", { { "a", "include \"b\"\n" }, { "b", LEVEL1("0") } }, { "a" }, NULL, NULL, '0',
	  "b", 2, 0, NULL, NULL, 0 },
	{ "relative to the file that has it",
	  { { "a", "include \"in/b\"\n" }, { "in/b", "include \"c\"\n" }, { "in/c", LEVEL1("F") },
	    { "c", LEVEL1("T") } },
	  { "a" }, NULL, NULL, 'F', "in/c", 2, 0, NULL, NULL, 0 },
	{ "and back up", { { "in/a", "include \"../b\"\n" }, { "b", LEVEL1("F") } }, { "in/a" }, NULL,
	  NULL, 'F', "in/../b", 2, 0, NULL, NULL, 0 },
	{ "a later line wins", { { "a", "include \"b\"\nfeature sse4.1 = 1\n" }, { "b", LEVEL1("0") } },
	  { "a" }, NULL, NULL, '1', "a", 2, 0, NULL, NULL, 0 },
	{ "over an earlier one, too",
	  { { "a", "feature sse4.1 = 1\ninclude \"b\"\n" }, { "b", LEVEL1("0") } }, { "a" }, NULL, NULL,
	  '0', "b", 2, 0, NULL, NULL, 0 },
	{ "an error inside is where it is",
	  { { "a", "# one\n# two\ninclude \"b\"\n" }, { "b", "\nfeature nonsense = 0\n" } }, { "a" },
	  NULL, NULL, 0, "b", 2, 9, "no CPUID feature is called 'nonsense'", NULL, 0 },
	{ "a file that is not there", { { "a", "include \"b\"\n" } }, { "a" }, NULL, NULL, 0, "b", 0, 0,
	  "No such file or directory", NULL, 0 },
	{ "a folder", { { "a", "include \"in\"\n" } }, { "a" }, NULL, NULL, 0, "in", 0, 0,
	  "a folder, not a file", NULL, 0 },
	{ "a file that includes itself", { { "a", "include \"a\"\n" } }, { "a" }, NULL, NULL, 0, "a", 0,
	  0, "includes nested deeper than 8", NULL, 0 },
	{ "two that include each other",
	  { { "a", "include \"b\"\n" }, { "b", "include \"a\"\n" } }, { "a" }, NULL, NULL, 0, "b", 0, 0,
	  "includes nested deeper than 8", NULL, 0 },
	{ "a default mask may be built from parts",
	  { { "d", "include \"b\"\n" }, { "b", ALL_X } }, { 0 }, NULL, "d", 'x', "b", 2, 0, NULL,
	  "custom", 0 },
	{ "a part with a dash may not", { { "d", "include \"b\"\n" }, { "b", LEVEL1("0") } }, { 0 },
	  NULL, "d", 0, "b", 2, 6, "'-' in a default mask", NULL, 0 },

	/* guest-os */
	{ "an override names the guest OS", { { "a", "guest-os = linux64\n" } }, { "a" }, NULL, NULL,
	  'H', "linux64.mask", 0, 0, NULL, "linux64", 0 },
	{ "the command line knows better", { { "a", "guest-os = linux64\n" } }, { "a" }, "windows64",
	  NULL, 'H', "windows64.mask", 0, 0, NULL, "windows64", 0 },
	{ "an unknown one", { { "a", "\n  guest-os = beos\n" } }, { "a" }, NULL, NULL, 0, "a", 2, 14,
	  "no default mask for guest OS 'beos'", NULL, 0 },
	{ "a path is none", { { "a", "guest-os = ../linux64\n" } }, { "a" }, NULL, NULL, 0, "a", 1, 14,
	  "unexpected text '/linux64'", NULL, 0 },
	{ "an unknown one on the command line", { { 0 } }, { 0 }, "beos", NULL, 0, "", 0, 0,
	  "no default mask for guest OS 'beos'", NULL, MV_E_USAGE },

	/* files */
	{ "no such file", { { 0 } }, { "nothing" }, NULL, NULL, 0, "nothing", 0, 0,
	  "No such file or directory", NULL, 0 },
	{ "no such default mask", { { 0 } }, { 0 }, NULL, "nothing", 0, "nothing", 0, 0,
	  "No such file or directory", NULL, 0 },
	{ "an empty one says nothing", { { "a", "" } }, { "a" }, NULL, NULL, 'H', "generic64.mask", 0, 0,
	  NULL, NULL, 0 },
};

static void write_files(const struct file *files)
{
	for (size_t i = 0; i < MOST_FILES && files[i].name; i++) {
		FILE *f = fopen(files[i].name, "w");

		cr_assert_not_null(f, "%s", files[i].name);
		cr_assert_geq(fputs(files[i].text, f), 0);
		cr_assert_eq(fclose(f), 0);
	}
}

static int load(struct mv_policy *p, const struct row *r, struct mv_err *err)
{
	struct mv_mask_request req = {
		.guest_os = r->guest_os, .default_mask = r->default_mask, .overrides = r->override,
		.vendor = MV_VENDOR_INTEL,
	};

	while (req.noverrides < 3 && r->override[req.noverrides])
		req.noverrides++;
	memset(p, 0, sizeof(*p));
	return mv_masks_load(p, &req, err);
}

Test(maskload, rows, .init = new_folder, .fini = remove_folder)
{
	const struct mv_feature *f = &mv_features[MV_F_SSE4_1];
	struct mv_policy *p = malloc(sizeof(*p));

	cr_assert_not_null(p);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct mv_err err = { 0 };
		mv_at at;
		int rc;

		write_files(r->files);
		rc = load(p, r, &err);
		if (!r->symbol) {
			cr_expect_eq(rc, -(r->code ? r->code : MV_E_INPUT), "%s: %d", r->name, rc);
			cr_expect_str_eq(err.file, r->file, "%s", r->name);
			cr_expect_eq(err.line, r->line, "%s: line %u", r->name, err.line);
			cr_expect_eq(err.col, r->col, "%s: column %u", r->name, err.col);
			if (r->msg)
				cr_expect_str_eq(err.msg, r->msg, "%s", r->name);
		} else {
			cr_assert_eq(rc, 0, "%s: %s:%u: %s", r->name, err.file, err.line, err.msg);
			cr_expect_eq(mv_sym_char(mv_mask_sym(&p->final, f->leaf, f->subleaf, f->reg,
							     f->bit)), r->symbol, "%s", r->name);
			at = mv_mask_at(&p->final, f->leaf, f->subleaf, f->reg, f->bit);
			cr_assert_lt(MV_AT_FILE(at), p->files.n, "%s", r->name);
			cr_expect_str_eq(p->files.name[MV_AT_FILE(at)], r->file, "%s", r->name);
			if (r->line)
				cr_expect_eq(MV_AT_LINE(at), r->line, "%s", r->name);
			if (r->os)
				cr_expect_str_eq(p->guest_os, r->os, "%s", r->name);
		}
		for (size_t k = 0; k < MOST_FILES && r->files[k].name; k++)
			unlink(r->files[k].name);
	}
	free(p);
}

Test(maskload, an_absolute_path, .init = new_folder, .fini = remove_folder)
{
	struct row r = { .name = "absolute", .override = { "in/a" } };
	struct mv_policy *p = malloc(sizeof(*p));
	struct mv_err err = { 0 };
	char text[128];

	cr_assert_not_null(p);
	snprintf(text, sizeof(text), "include \"%s/b\"\n", folder);
	r.files[0] = (struct file){ "in/a", text };
	r.files[1] = (struct file){ "b", LEVEL1("0") };
	write_files(r.files);
	cr_expect_eq(load(p, &r, &err), 0, "%s: %s", err.file, err.msg);
	free(p);
}

/* Eight levels of include and no more. */
Test(maskload, depth, .init = new_folder, .fini = remove_folder)
{
	struct row r = { .name = "depth", .override = { "f0" } };
	struct mv_policy *p = malloc(sizeof(*p));

	cr_assert_not_null(p);
	for (int levels = 8; levels <= 9; levels++) {
		struct mv_err err = { 0 };
		char name[16], text[64];

		for (int i = 0; i <= levels; i++) {
			struct file f[MOST_FILES] = { { name, text } };

			snprintf(name, sizeof(name), "f%d", i);
			snprintf(text, sizeof(text), i < levels ? "include \"f%d\"\n" : "# end %d\n",
				 i + 1);
			write_files(f);
		}
		cr_expect_eq(load(p, &r, &err), levels == 8 ? 0 : -MV_E_INPUT, "%d: %s", levels,
			     err.msg);
	}
	free(p);
}

Test(maskload, more_files_than_can_be_told_apart, .init = new_folder, .fini = remove_folder)
{
	struct row r = { .name = "many", .files = { { "a", NULL }, { "b", "# b\n" } },
			 .override = { "a" } };
	struct mv_policy *p = malloc(sizeof(*p));
	struct mv_err err = { 0 };
	char text[MV_MASK_FILES * 16 + 1];
	size_t n = 0;

	cr_assert_not_null(p);
	for (int i = 0; i < MV_MASK_FILES; i++)
		n += (size_t)sprintf(text + n, "include \"b\"\n");
	r.files[0].text = text;
	write_files(r.files);
	cr_expect_eq(load(p, &r, &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "more than 16 mask files");
	free(p);
}

Test(maskload, guest_os_names)
{
	char names[256], small[8];

	mv_guest_os_names(names, sizeof(names));
	cr_expect(strstr(names, MV_DEFAULT_GUEST_OS));
	cr_expect(strstr(names, "linux64"));
	cr_expect_not(strstr(names, ".mask"));
	mv_guest_os_names(small, sizeof(small));
	cr_expect_lt(strlen(small), sizeof(small));
}
