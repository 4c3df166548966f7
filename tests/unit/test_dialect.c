/* SPDX-License-Identifier: MIT */
/* Dialects: what a notation has words for comes back, what it lacks is told by name. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "maskfile.h"

static struct mv_mask *mask, *again;
static struct mv_losses losses;
static char *text;
static size_t len;
static struct mv_err err;

static void setup(void)
{
	mask = calloc(1, sizeof(*mask));
	again = calloc(1, sizeof(*again));
	cr_assert(mask && again);
}

static void finish(void)
{
	mv_losses_free(&losses);
	free(mask);
	free(again);
	free(text);
}

TestSuite(dialect, .init = setup, .fini = finish);

static void parse(const char *s)
{
	const struct mv_mask_reader reader = { .kind = MV_MASK_OVERRIDE, .file = "t" };

	cr_assert_eq(mv_mask_parse(mask, s, strlen(s), &reader, &err), 0, "%s: %s", err.msg, s);
}

/* mask to text, what is lost in losses. */
static void write_as(const char *dialect, struct mv_dialect_opts opts)
{
	FILE *f;

	free(text);
	mv_losses_free(&losses);
	f = open_memstream(&text, &len);
	cr_assert_eq(mv_dialect_find(dialect)->to(f, mask, &opts, &losses, &err), 0, "%s", err.msg);
	fclose(f);
}

static int read_as(const char *dialect, const char *s)
{
	memset(&err, 0, sizeof(err));
	mv_losses_free(&losses);
	return mv_dialect_find(dialect)->from(again, "t", s, strlen(s), &losses, &err);
}

/* Every named bit that has a word in the dialect, with that symbol; others are left out of the mask. */
static unsigned fill(const char *dialect, enum mv_sym s)
{
	unsigned n = 0;

	mv_mask_clear(mask);
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		const struct mv_feature *f = &mv_features[i];
		bool has = !strcmp(dialect, "xl") ? *f->xen_name : !strcmp(dialect, "qemu")
			   ? *f->qemu_name && f->cls != MV_FC_MIRROR
			   : !strcmp(dialect, "featmask") ? *f->vmware_name : true;

		if (!has)
			continue;
		cr_assert_eq(mv_dialect_set(mask, f->leaf, f->subleaf, f->reg, f->bit, s, 0), 0);
		n++;
	}
	return n;
}

static const struct row {
	const char *dialect, *symbols;
	unsigned atleast;	/* so many features have names there */
} trips[] = {
	{ "xl", "01", 200 },
	{ "xl-list", "01", 400 },
	{ "firecracker", "01", 400 },
	{ "qemu", "0T", 200 },
	{ "featmask", "01TF", 60 },
};

Test(dialect, what_has_words_comes_back_without_loss)
{
	for (size_t t = 0; t < sizeof(trips) / sizeof(trips[0]); t++)
		for (const char *c = trips[t].symbols; *c; c++) {
			enum mv_sym s = (enum mv_sym)mv_sym_parse(*c);
			unsigned n = fill(trips[t].dialect, s);

			cr_assert_geq(n, trips[t].atleast, "%s: %u", trips[t].dialect, n);
			write_as(trips[t].dialect, (struct mv_dialect_opts){ 0 });
			cr_assert_eq(losses.n, 0, "%s %c: %s: %s", trips[t].dialect, *c,
				     losses.v[0].what, losses.v[0].n ? losses.v[0].items[0] : "");
			cr_assert_eq(read_as(trips[t].dialect, text), 0, "%s: %s", trips[t].dialect,
				     err.msg);
			for (unsigned i = 0; i < MV_NFEATURES; i++) {
				const struct mv_feature *f = &mv_features[i];
				enum mv_sym a = mv_mask_sym(mask, f->leaf, f->subleaf, f->reg, f->bit);

				cr_assert_eq(mv_mask_sym(again, f->leaf, f->subleaf, f->reg, f->bit), a,
					     "%s %c: %s", trips[t].dialect, *c, f->name);
			}
		}
}

static const struct loss_row {
	const char *dialect, *line, *text, *what, *item;	/* what NULL: nothing is lost */
} rows[] = {
	{ "xl", "feature avx = H", "cpuid = \"host,avx=k\"\n", "H: k keeps", "ECX:28 (AVX)" },
	{ "xl", "feature avx = R", "cpuid = \"host,avx=0\"\n", "R: cleared", "ECX:28 (AVX)" },
	{ "xl", "feature avx = T", "cpuid = \"host,avx=1\"\n", "T: set", "ECX:28 (AVX)" },
	{ "xl", "feature avx = F", "cpuid = \"host,avx=0\"\n", "F: cleared", "ECX:28 (AVX)" },
	{ "xl", "feature avx = x", "cpuid = \"host\"\n", "x: Xen's default", "ECX:28 (AVX)" },
	{ "xl", "Level 1\nEAX: 0--- ---- ---- ---- ---- ---- ---- ----", "cpuid = \"host\"\n",
	  "Xen has no key", "EAX:31" },
	{ "xl", "field family = 15\nfield ext-family = 10", "cpuid = \"host,family=25\"\n", NULL, NULL },
	{ "xl", "field model = 10\nfield ext-model = 1", "cpuid = \"host,model=26\"\n", NULL, NULL },
	{ "xl", "field model = 10", "cpuid = \"host\"\n", "Xen has no key for the number", "field model" },
	{ "xl", "field max-leaf = 0x16", "cpuid = \"host,maxleaf=22\"\n", NULL, NULL },
	{ "xl", "field phys-bits = 40", "cpuid = \"host\"\n", "Xen has no key for the number", "phys-bits" },
	{ "xl-list", "feature avx2 = 0",
	  "cpuid = [\n  \"0x7,0:ebx=xxxxxxxxxxxxxxxxxxxxxxxxxx0xxxxx\"\n]\n", NULL, NULL },
	{ "xl-list", "field phys-bits = 40",
	  "cpuid = [\n  \"0x80000008:eax=xxxxxxxxxxxxxxxxxxxxxxxx00101000\"\n]\n", NULL, NULL },
	{ "qemu", "feature avx = 0", "host,-avx\n", NULL, NULL },
	{ "qemu", "feature avx = T", "host,+avx,enforce\n", NULL, NULL },
	{ "qemu", "feature avx = 1", "host,+avx\n", "1: shown only", "ECX:28 (AVX)" },
	{ "qemu", "feature avx = T\nfeature aes = 1", "host,+aes,+avx,enforce\n", "1: a host that lacks",
	  "(AES)" },
	{ "qemu", "feature avx = F", "host,-avx\n", "F: hidden", "ECX:28 (AVX)" },
	{ "qemu", "feature avx = R", "host,-avx\n", "R: hidden", "ECX:28 (AVX)" },
	{ "qemu", "feature avx = H", "host\n", "H: left to the model", "ECX:28 (AVX)" },
	{ "qemu", "Level 1\nEAX: 1--- ---- ---- ---- ---- ---- ---- ----", "host\n", "T and 1", "EAX:31" },
	{ "qemu", "field family = 15\nfield ext-family = 10\nfield phys-bits = 40",
	  "host,phys-bits=40,family=25\n", NULL, NULL },
	{ "qemu", "field clflush-size = 8", "host\n", "QEMU has no property", "clflush-size" },
	{ "featmask", "feature sse4.1 = 0", "featMask.vm.cpuid.SSE41 = \"Val:0\"\n", NULL, NULL },
	{ "featmask", "feature sse4.1 = T", "featReq.vm.cpuid.SSE41 = \"Bool:Min:1\"\n", NULL, NULL },
	{ "featmask", "feature sse4.1 = R", "featMask.vm.cpuid.SSE41 = \"Val:0\"\n", "R: hidden", "SSE4.1" },
	{ "featmask", "feature sse4.1 = H", "", "H: left out", "SSE4.1" },
	{ "featmask", "feature pcommit = 0", "", "VMware has no feature name", "PCOMMIT" },
};

Test(dialect, every_loss_has_its_name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct loss_row *r = &rows[i];

		parse(r->line);
		write_as(r->dialect, (struct mv_dialect_opts){ 0 });
		cr_assert_str_eq(text, r->text, "%s: %s gives %s", r->dialect, r->line, text);
		cr_assert_eq(losses.n, r->what ? 1u : 0u, "%s: %s: %u losses", r->dialect, r->line,
			     losses.n);
		if (!r->what)
			continue;
		cr_assert_eq(strncmp(losses.v[0].what, r->what, strlen(r->what)), 0, "%s: %s",
			     r->line, losses.v[0].what);
		cr_assert_eq(losses.v[0].n, 1);
		cr_assert(strstr(losses.v[0].items[0], r->item), "%s: %s", r->line,
			  losses.v[0].items[0]);
	}
}

Test(dialect, msr_bits_go_by_name_or_by_bit)
{
	char line[128] = "msr 0x10a = \"", *p = line + strlen(line);

	for (int bit = 63; bit >= 0; bit--)
		*p++ = bit == 5 ? '1' : bit == 0 ? '0' : '-';
	strcpy(p, "\"");
	parse(line);
	write_as("xl", (struct mv_dialect_opts){ 0 });
	cr_assert_str_eq(text, "cpuid = \"host,rdcl-no=0,mds-no=1\"\n");
	cr_assert_eq(losses.n, 0);
	write_as("qemu", (struct mv_dialect_opts){ .model = "max" });
	cr_assert_str_eq(text, "max,-rdctl-no,+mds-no\n");
	for (const char *const *d = (const char *const[]){ "xl", "firecracker", NULL }; *d; d++) {
		write_as(*d, (struct mv_dialect_opts){ 0 });
		cr_assert_eq(read_as(*d, text), 0);
		cr_assert_eq(again->nmsrs, 1);
		cr_assert_arr_eq(again->msrs[0].plane, mask->msrs[0].plane, sizeof(mask->msrs[0].plane),
				 "%s", *d);
	}
}

/* Bits that have no name everywhere, and the highest one that has. */
Test(dialect, names_of_the_newer_msr_bits)
{
	char line[128] = "msr 0x10a = \"", *p = line + strlen(line);

	for (int bit = 63; bit >= 0; bit--)
		*p++ = bit == 62 || bit == 18 ? '1' : bit == 32 || bit == 25 ? '0' : '-';
	strcpy(p, "\"");
	parse(line);
	write_as("xl", (struct mv_dialect_opts){ 0 });
	cr_assert_str_eq(text, "cpuid = \"host,fb-clear-ctrl=1,gds-ctrl=0,pb-opt-ctrl=0,its-no=1\"\n");
	cr_assert_eq(losses.n, 0);
	cr_assert_eq(read_as("xl", text), 0);
	cr_assert_arr_eq(again->msrs[0].plane, mask->msrs[0].plane, sizeof(mask->msrs[0].plane));
	write_as("qemu", (struct mv_dialect_opts){ .model = "max" });
	cr_assert_str_eq(text, "max,+its-no\n");
	cr_assert_eq(read_as("qemu", "max,+its-no,-rdctl-no\n"), 0);
	cr_assert_eq(again->msrs[0].plane[2], UINT64_C(1) << 62 | 1);
}

Test(dialect, lines_for_a_vendor_need_a_choice)
{
	parse("cpuid.1.ecx.amd = \"---0:----:----:----:----:----:----:----\"\n");
	write_as("qemu", (struct mv_dialect_opts){ 0 });
	cr_assert_str_eq(text, "host\n");
	cr_assert_eq(losses.n, 1);
	write_as("qemu", (struct mv_dialect_opts){ .vendor = MV_VENDOR_AMD });
	cr_assert_str_eq(text, "host,-avx\n");
	cr_assert_eq(losses.n, 0);
	write_as("qemu", (struct mv_dialect_opts){ .vendor = MV_VENDOR_INTEL });
	cr_assert_str_eq(text, "host\n");
	cr_assert_eq(losses.n, 0);
}

/* QEMU applies on and off first, then +, then -, wherever they stand. */
Test(dialect, qemu_s_order_counts)
{
	static const struct {
		const char *s;
		enum mv_sym avx;
	} order[] = {
		{ "host,avx=off,avx=on", MV_SYM_1 }, { "host,avx=on,avx=off", MV_SYM_0 },
		{ "host,+avx,avx=off", MV_SYM_1 },   { "host,-avx,+avx", MV_SYM_0 },
		{ "host,+avx,-avx", MV_SYM_0 },	     { "host,-avx,avx", MV_SYM_0 },
		{ "-cpu 'host,+avx,enforce'", MV_SYM_T }, { "host,avx=on,enforce=on", MV_SYM_T },
		{ "host", MV_SYM_INHERIT },
	};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		cr_assert_eq(read_as("qemu", order[i].s), 0, "%s", err.msg);
		cr_assert_eq(mv_mask_sym(again, 1, 0, MV_ECX, 28), order[i].avx, "%s", order[i].s);
	}
}

/* The examples of xl.cfg(5), and a whole file around one. */
Test(dialect, xl_as_xen_documents_it)
{
	cr_assert_eq(read_as("xl", "cpuid=\"host,tm=0,sse3=0\"\n"), 0, "%s", err.msg);
	cr_assert_eq(mv_mask_sym(again, 1, 0, MV_EDX, 29), MV_SYM_0);
	cr_assert_eq(mv_mask_sym(again, 1, 0, MV_ECX, 0), MV_SYM_0);
	cr_assert_eq(losses.n, 0);
	cr_assert_eq(read_as("xl", "name = \"g\"\ncpuid = [ \"0:eax=00000000000000000000000000001010\",\n"
				   "  '1:ecx=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0,edx=xx0xkxxxxxxxxxxxxxxxxxxxxxxxxxxs' ]\n"),
		     0, "%s", err.msg);
	cr_assert_eq(mv_mask_sym(again, 0, 0, MV_EAX, 3), MV_SYM_1);
	cr_assert_eq(mv_mask_sym(again, 0, 0, MV_EAX, 31), MV_SYM_0);
	cr_assert_eq(mv_mask_sym(again, 1, 0, MV_EDX, 27), MV_SYM_H);
	cr_assert_eq(mv_mask_sym(again, 1, 0, MV_EDX, 0), MV_SYM_H);
	cr_assert_eq(losses.n, 1);
}

static const struct bad_row {
	const char *dialect, *text, *message;
} bad[] = {
	{ "xl", "memory = 512\n", "no 'cpuid ='" },
	{ "xl", "cpuid = \"guest,avx=0\"", "'host' is expected" },
	{ "xl", "cpuid = \"host,avx=2\"", "one of 0, 1, x, k, s" },
	{ "xl", "cpuid = \"host,nosuch=1\"", "no CPUID key 'nosuch'" },
	{ "xl", "cpuid = \"host,family=0x1000\"", "does not fit" },
	{ "xl", "cpuid = \"host,maxleaf=0x10000000d\"", "a number of 32 bits or x is expected" },
	{ "xl", "cpuid = \"host,maxleaf=-18446744073709551603\"", "a number of 32 bits or x is expected" },
	{ "xl", "cpuid = [ \"1:ecx=xx0\" ]", "3 symbols instead of 32" },
	{ "xl", "cpuid = [ \"1:ezx=xx0\" ]", "is expected" },
	{ "xl", "cpuid = [ \"1,2:eax=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" ]", "has no subleaves" },
	{ "xl", "cpuid = [ \"1:eax=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxR\" ]", "none of 0, 1, x, k, s" },
	{ "xl", "cpuid = [ \"1:eax=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0\"", "',' or ']'" },
	{ "qemu", "+avx", "a CPU model" },
	{ "qemu", "", "a CPU model" },
	{ "qemu", "host,+nosuch", "no CPU feature 'nosuch'" },
	{ "qemu", "host,avx=maybe", "on or off" },
	{ "qemu", "host,phys-bits=4000", "does not fit" },
	{ "qemu", "host,level=4294967309", "a number of 32 bits is expected" },
	{ "qemu", "host,phys-bits= 40", "a number of 32 bits is expected" },
	{ "qemu", "host,phys-bits=-18446744073709551570", "a number of 32 bits is expected" },
	{ "firecracker", "{", "" },
	{ "firecracker", "[]", "is a JSON object" },
	{ "firecracker", "{\"reg_modifiers\":[]}", "'reg_modifiers'" },
	{ "firecracker", "{\"cpuid_modifiers\":[{\"leaf\":\"0x1\",\"flags\":0,\"modifiers\":[]}]}",
	  "'subleaf' is missing" },
	{ "firecracker", "{\"cpuid_modifiers\":[{\"leaf\":\"0x1\",\"subleaf\":\"0x0\",\"flags\":0,"
	  "\"modifiers\":[{\"register\":\"eax\",\"bitmap\":\"0b2\"}]}]}", "'2' in the bitmap" },
	{ "firecracker", "{\"cpuid_modifiers\":[{\"leaf\":\"0x1\",\"subleaf\":\"0x0\",\"flags\":0,"
	  "\"modifiers\":[{\"register\":\"rax\",\"bitmap\":\"0b1\"}]}]}", "not a register" },
	{ "firecracker", "{\"msr_modifiers\":[{\"addr\":\"0x10a\",\"bitmap\":\"10\"}]}", "not a bitmap" },
	{ "vmx", "cpuid.1.ecx = \"0\"", "symbols" },
};

Test(dialect, bad_input_is_named)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(read_as(bad[i].dialect, bad[i].text), -MV_E_INPUT, "%s", bad[i].text);
		cr_assert(strstr(err.msg, bad[i].message), "%s: %s", bad[i].text, err.msg);
	}
}

Test(dialect, a_whole_vmx_file)
{
	cr_assert_eq(read_as("vmx", ".encoding = \"UTF-8\"\r\nguestOS = \"debian\"\r\n"
				    "cpuid.coresPerSocket = \"2\"\r\n"
				    "cpuid.1.ecx = \"---0:----:----:----:----:----:----:----\"\r\n"
				    "featMask.vm.hv.capable = \"Min:1\"\n"
				    "featMask.vm.cpuid.SSE41 = \"Val:0\"\n"), 0, "%u: %s", err.line, err.msg);
	cr_assert_eq(mv_mask_sym(again, 1, 0, MV_ECX, 28), MV_SYM_0);
	cr_assert_eq(mv_mask_sym(again, 1, 0, MV_ECX, 19), MV_SYM_0);
	cr_assert_eq(losses.n, 2);
	cr_assert_eq(losses.v[0].n, 2);
	cr_assert_str_eq(losses.v[0].items[0], "cpuid.coresPerSocket");
	cr_assert_str_eq(losses.v[1].what, "2 lines that are not about CPUID are left out");
}
