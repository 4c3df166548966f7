/* SPDX-License-Identifier: MIT */
/* Host files: a host as JSON and back, and everything that makes a file none. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host_json.h"
#include "import.h"

static char folder[64], path[96];

static void new_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/mv-host-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/h.json", folder);
}

static void remove_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	cr_expect_eq(system(command), 0);
}

static void write_text(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(text, 1, len, f), len);
	cr_assert_eq(fclose(f), 0);
}

static struct mv_host *new_host(void)
{
	struct mv_host *h = calloc(1, sizeof(*h));

	cr_assert_not_null(h);
	return h;
}

static void fill_table(struct mv_table *t, uint32_t seed)
{
	static const uint32_t where[][2] = { { 0, 0 }, { 1, 0 }, { 7, 0 }, { 7, 1 }, { 0xd, 0 },
					     { 0xd, 1 }, { 0xd, 63 }, { 0x40000001, 0 },
					     { 0x80000001, 0 }, { 0xffffffff, 0 } };

	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		struct mv_leaf *e = mv_table_add(t, where[i][0], where[i][1]);

		cr_assert_not_null(e);
		for (unsigned r = 0; r < MV_NREGS; r++)
			e->reg[r] = seed = seed * 1664525 + 1013904223;
	}
}

static struct mv_host *full_host(void)
{
	struct mv_host *h = new_host();

	snprintf(h->name, sizeof(h->name), "%063d", 7);
	snprintf(h->kernel, sizeof(h->kernel), "6.1.0 \"quoted\" \\ /slashed/ \xc3\xa4");
	snprintf(h->source, sizeof(h->source), "kvm");
	h->microcode = UINT64_MAX;
	h->assumed = true;
	fill_table(&h->raw, 1);
	fill_table(&h->kvm, 2);
	for (unsigned i = 0; i < MV_NFEATURES; i += 3) {
		mv_featset_add(&h->exec_known, (enum mv_feature_id)i);
		if (i % 2)
			mv_featset_add(&h->exec_ran, (enum mv_feature_id)i);
	}
	for (h->nmsrs = 0; h->nmsrs < MV_HOST_MSRS; h->nmsrs++)
		h->msrs[h->nmsrs] = (struct mv_msr){ 0xc0000080 + h->nmsrs, UINT64_MAX - h->nmsrs };
	h->xcr0 = UINT64_C(0x8000000000000007);
	h->tsc_khz = UINT32_MAX;
	h->tsc_scaling = true;
	h->proof[MV_INTERCEPTION_KERNEL] = MV_PROOF_CPL0;
	h->proof[MV_INTERCEPTION_PATCH] = MV_PROOF_BOTH;
	h->proof[MV_INTERCEPTION_STEP] = MV_PROOF_CPL3;
	h->proved = h->cpl0_interpreted = true;
	return h;
}

static void expect_same(const struct mv_host *a, const struct mv_host *b)
{
	cr_expect_str_eq(a->name, b->name);
	cr_expect_str_eq(a->kernel, b->kernel);
	cr_expect_str_eq(a->source, b->source);
	cr_expect_eq(a->microcode, b->microcode);
	cr_expect_eq(a->assumed, b->assumed);
	cr_expect(!memcmp(&a->raw, &b->raw, sizeof(a->raw)), "raw");
	cr_expect(!memcmp(&a->kvm, &b->kvm, sizeof(a->kvm)), "kvm");
	for (unsigned i = 0; i < MV_NFEATURES; i++) {
		enum mv_feature_id id = (enum mv_feature_id)i;

		cr_expect_eq(mv_featset_has(&a->exec_known, id), mv_featset_has(&b->exec_known, id),
			     "%s is known", mv_features[i].name);
		cr_expect_eq(mv_featset_has(&a->exec_ran, id), mv_featset_has(&b->exec_ran, id),
			     "%s ran", mv_features[i].name);
	}
	cr_assert_eq(a->nmsrs, b->nmsrs);
	for (uint32_t i = 0; i < a->nmsrs; i++) {
		cr_expect_eq(a->msrs[i].index, b->msrs[i].index, "MSR %u", i);
		cr_expect_eq(a->msrs[i].value, b->msrs[i].value, "MSR %u", i);
	}
	cr_expect_eq(a->xcr0, b->xcr0);
	cr_expect_eq(a->tsc_khz, b->tsc_khz);
	cr_expect_eq(a->tsc_scaling, b->tsc_scaling);
	cr_expect(!memcmp(a->proof, b->proof, sizeof(a->proof)), "proof");
	cr_expect_eq(a->proved, b->proved);
	cr_expect_eq(a->cpl0_interpreted, b->cpl0_interpreted);
}

Test(host_file, goes_round, .init = new_folder, .fini = remove_folder)
{
	struct mv_host *full = full_host(), *least = new_host(), *got = new_host();
	struct mv_err err = { 0 };
	struct stat st;

	cr_assert_eq(mv_host_save(full, path, &err), 0, "%s", err.msg);
	cr_assert_eq(mv_host_import(got, path, NULL, &err), 0, "%s", err.msg);
	expect_same(full, got);
	cr_expect(mv_table_add(&least->raw, 0, 0));
	cr_assert_eq(mv_host_save(least, path, &err), 0, "%s", err.msg);
	cr_assert_eq(mv_host_import(got, path, NULL, &err), 0, "%s", err.msg);
	expect_same(least, got);
	cr_expect_eq(stat(path, &st), 0);
	free(full);
	free(least);
	free(got);
}

/* What is told, and nothing else, comes back; names of a later program tell nothing. */
Test(host_file, partial_ones_go_round, .init = new_folder, .fini = remove_folder)
{
	struct mv_host *partial = full_host(), *got = new_host();
	struct mv_err err = { 0 };

	partial->partial = true;
	mv_featset_add(&partial->told, MV_F_SSE3);
	mv_fieldset_add(&partial->told_fields, MV_FIELD_PHYS_BITS);
	cr_assert_eq(mv_host_save(partial, path, &err), 0, "%s", err.msg);
	cr_assert_eq(mv_host_import(got, path, NULL, &err), 0, "%s", err.msg);
	cr_expect(got->partial);
	cr_expect_arr_eq(&got->told, &partial->told, sizeof(got->told));
	cr_expect_arr_eq(&got->told_fields, &partial->told_fields, sizeof(got->told_fields));
	cr_expect_eq(mv_host_told(got, 1, 0, MV_ECX), 1);
	partial->partial = false;
	cr_assert_eq(mv_host_save(partial, path, &err), 0, "%s", err.msg);
	cr_assert_eq(mv_host_import(got, path, NULL, &err), 0, "%s", err.msg);
	cr_expect_not(got->partial);
	cr_expect_eq(mv_host_told(got, 1, 0, MV_ECX), UINT32_MAX);
	free(partial);
	free(got);
}

Test(host_file, writing_replaces_or_leaves, .init = new_folder, .fini = remove_folder)
{
	struct mv_host *h = full_host();
	struct mv_err err = { 0 };
	char long_name[5000], inside[128];
	struct stat st;

	snprintf(inside, sizeof(inside), "%s/none/h.json", folder);
	cr_expect_eq(mv_host_save(h, inside, &err), -MV_E_FAILED);
	cr_expect_str_eq(err.file, inside);
	memset(&err, 0, sizeof(err));
	cr_expect_eq(mv_host_save(h, folder, &err), -MV_E_FAILED, "a folder can't be replaced");
	cr_expect_eq(stat(folder, &st), 0);
	cr_expect(S_ISDIR(st.st_mode));
	memset(&err, 0, sizeof(err));
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	cr_expect_eq(mv_host_save(h, long_name, &err), -MV_E_USAGE);
	/* No temporary file stays behind: what is in the folder can be removed with it alone. */
	cr_expect_eq(rmdir(folder), 0);
	cr_assert_eq(mkdir(folder, 0700), 0);
	free(h);
}

/* ---- bad ones ---- */

static const char good[] =
	"{\n"
	"\"minivmm-host\": 1, \"name\": \"x\", \"kernel\": \"k\", \"source\": \"kvm\",\n"
	"\"microcode\": \"0x1\", \"assumed\": false,\n"
	"\"raw\": {\"0x00000000\": [\"0x1\", 2, 3, 4], \"0x00000007.1\": [0, 0, 0, 0]},\n"
	"\"kvm\": {},\n"
	"\"exec\": {\"SSE3\": true, \"some-feature-of-the-future\": true},\n"
	"\"msrs\": {\"0x10a\": \"0x0\"}, \"xcr0\": 3, \"tsc-khz\": 1, \"tsc-scaling\": true,\n"
	"\"kvm-controls\": [\"mwait-faults\", \"what-comes-later\"],\n"
	"\"proved\": true, \"proof\": {\"kernel\": [\"cpl0\", \"cpl3\"], \"patch\": [], \"step\": []},\n"
	"\"cpl0-interpreted\": false, \"what-comes-later\": [1, 2, 3]\n"
	"}\n";

Test(host_file, strangers_are_ignored, .init = new_folder, .fini = remove_folder)
{
	struct mv_host *h = new_host();
	struct mv_err err = { 0 };

	write_text(good, strlen(good));
	cr_assert_eq(mv_host_import(h, path, NULL, &err), 0, "%s", err.msg);
	cr_expect_eq(h->raw.n, 2);
	cr_expect(mv_featset_has(&h->exec_ran, MV_F_SSE3));
	cr_expect_eq(h->xcr0, 3);
	cr_expect_eq(h->kvm_controls, MV_KVM_CONTROL_BIT(MWAIT_FAULTS));
	free(h);
}

static const struct bad {
	const char *name, *from, *to, *msg;
	uint32_t line;
} bad[] = {
	{ "version 2", "host\": 1", "host\": 2",
	  "a host file of version 2, this program reads version 1", 0 },
	{ "a version that is a text", "host\": 1", "host\": \"1\"",
	  "member \"minivmm-host\": not a number", 0 },
	{ "no name", "\"name\": \"x\", ", "", "member \"name\" is missing", 0 },
	{ "a name that is a number", "\"x\"", "7", "member \"name\" is not string", 0 },
	{ "a long name", "\"x\"",
	  "\"1234567890123456789012345678901234567890123456789012345678901234\"",
	  "member \"name\": too long", 0 },
	{ "no kernel", "\"kernel\": \"k\", ", "", "member \"kernel\" is missing", 0 },
	{ "a flag that is a number", "\"assumed\": false", "\"assumed\": 0",
	  "member \"assumed\" is not boolean", 0 },
	{ "told that is a name", "\"assumed\": false", "\"assumed\": false, \"told\": \"SSE3\"",
	  "member \"told\": not a list of names", 0 },
	{ "told that has a number", "\"assumed\": false", "\"assumed\": false, \"told\": [\"SSE3\", 7]",
	  "member \"told\": not a list of names", 0 },
	{ "no microcode", "microcode", "macrocode", "member \"microcode\": missing", 0 },
	{ "a negative number", "\"0x1\", \"assumed\"", "-1, \"assumed\"",
	  "member \"microcode\": not a number", 0 },
	{ "a number of 65 bits", "\"0x1\", \"assumed\"", "\"0x1ffffffffffffffff\", \"assumed\"",
	  "member \"microcode\": not a number", 0 },
	{ "an 0x alone", "\"0x1\", \"assumed\"", "\"0x\", \"assumed\"",
	  "member \"microcode\": not a number", 0 },
	{ "a sign behind 0x", "\"0x1\", \"assumed\"", "\"0x+1\", \"assumed\"",
	  "member \"microcode\": not a number", 0 },
	{ "a blank behind 0x", "\"0x1\", \"assumed\"", "\"0x 1\", \"assumed\"",
	  "member \"microcode\": not a number", 0 },
	{ "text behind the number", "\"0x1\", \"assumed\"", "\"0x1z\", \"assumed\"",
	  "member \"microcode\": not a number", 0 },
	{ "a fraction", "\"xcr0\": 3", "\"xcr0\": 3.5", "member \"xcr0\": not a number", 0 },
	{ "null", "\"xcr0\": 3", "\"xcr0\": null", "member \"xcr0\": not a number", 0 },
	{ "33 bits", "\"tsc-khz\": 1", "\"tsc-khz\": 4294967296",
	  "member \"tsc-khz\": not a 32-bit number", 0 },
	{ "raw that is a list", "\"raw\": {\"0x00000000\": [\"0x1\", 2, 3, 4], "
	  "\"0x00000007.1\": [0, 0, 0, 0]}", "\"raw\": []", "member \"raw\" is not object", 0 },
	{ "no leaf 0", "\"0x00000000\": [\"0x1\", 2, 3, 4], ", "",
	  "member \"raw\": leaf 0 is missing: this describes no CPU", 0 },
	{ "three registers", "[\"0x1\", 2, 3, 4]", "[\"0x1\", 2, 3]",
	  "member \"0x00000000\": not a list of four registers", 0 },
	{ "five registers", "[\"0x1\", 2, 3, 4]", "[\"0x1\", 2, 3, 4, 5]",
	  "member \"0x00000000\": not a list of four registers", 0 },
	{ "a register of 33 bits", "[\"0x1\", 2, 3, 4]", "[\"0x1\", 2, 3, \"0x100000000\"]",
	  "member \"0x00000000\": a register is not a 32-bit number", 0 },
	{ "a register that is true", "[\"0x1\", 2, 3, 4]", "[\"0x1\", 2, 3, true]",
	  "member \"0x00000000\": a register is not a 32-bit number", 0 },
	{ "a leaf in decimal", "0x00000007.1", "7.1",
	  "member \"7.1\": not a leaf: 0xLEAF or 0xLEAF.SUBLEAF expected", 0 },
	{ "a leaf of nine digits", "0x00000007.1", "0x000000007.1",
	  "member \"0x000000007.1\": not a leaf: 0xLEAF or 0xLEAF.SUBLEAF expected", 0 },
	{ "a subleaf of nine digits", "0x00000007.1", "0x7.100000000",
	  "member \"0x7.100000000\": not a leaf: 0xLEAF or 0xLEAF.SUBLEAF expected", 0 },
	{ "a subleaf with 0x", "0x00000007.1", "0x7.0x1",
	  "member \"0x7.0x1\": not a leaf: 0xLEAF or 0xLEAF.SUBLEAF expected", 0 },
	{ "a dot alone", "0x00000007.1", "0x7.",
	  "member \"0x7.\": not a leaf: 0xLEAF or 0xLEAF.SUBLEAF expected", 0 },
	{ "a negative leaf", "0x00000007.1", "0x-7.1",
	  "member \"0x-7.1\": not a leaf: 0xLEAF or 0xLEAF.SUBLEAF expected", 0 },
	{ "a leaf twice", "0x00000007.1", "0x0", "member \"0x0\": given twice", 0 },
	{ "a subleaf that means nothing", "0x00000007.1", "0x1.1",
	  "member \"0x1.1\": this leaf has no subleaves", 0 },
	{ "no kvm", "\"kvm\": {}", "\"xen\": {}", "member \"kvm\" is missing", 0 },
	{ "an instruction that is a text", "\"SSE3\": true", "\"SSE3\": \"yes\"",
	  "member \"SSE3\": not true or false", 0 },
	{ "an instruction twice", "\"SSE3\": true", "\"SSE3\": true, \"sse3\": true",
	  "member \"sse3\": given twice", 0 },
	{ "an MSR by name", "\"0x10a\"", "\"ARCH_CAPABILITIES\"",
	  "member \"ARCH_CAPABILITIES\": not an MSR and its value", 0 },
	{ "an MSR's value", "\"0x10a\": \"0x0\"", "\"0x10a\": []",
	  "member \"0x10a\": not an MSR and its value", 0 },
	{ "an MSR twice", "\"0x10a\": \"0x0\"", "\"0x10a\": 1, \"0x010A\": 1",
	  "member \"0x010A\": given twice", 0 },
	{ "no controls", "\"kvm-controls\"", "\"xen-controls\"",
	  "member \"kvm-controls\" is missing", 0 },
	{ "a control that is a number", "\"mwait-faults\"", "4",
	  "member \"kvm-controls\": not a list of names", 0 },
	{ "a proof elsewhere", "\"cpl0\", \"cpl3\"", "\"cpl1\"",
	  "member \"kernel\": neither cpl0 nor cpl3", 0 },
	{ "a proof that is a number", "\"cpl0\", \"cpl3\"", "0",
	  "member \"kernel\": neither cpl0 nor cpl3", 0 },
	{ "a proof that is null", "\"cpl0\", \"cpl3\"", "null",
	  "member \"kernel\": neither cpl0 nor cpl3", 0 },
	{ "a proof that is missing", "\"step\": []", "\"stop\": []", "member \"step\" is missing", 0 },
	{ "text behind the end", "2, 3]\n}\n", "2, 3]\n}\n{}\n", NULL, 12 },
	{ "a comma too many", "2, 3]\n}\n", "2, 3],\n}\n", NULL, 11 },
	{ "a comment", "{\n", "{ /* hosts */\n", NULL, 1 },
	{ "no quotes", "\"kernel\"", "kernel", NULL, 2 },
	{ "an end too early", "\"cpl0-interpreted\": false, \"what-comes-later\": [1, 2, 3]\n}\n", "",
	  NULL, 10 },
	{ "no UTF-8", "\"x\"", "\"\xff\"", NULL, 2 },
};

Test(host_file, bad_ones_are_told_with_the_reason, .init = new_folder, .fini = remove_folder)
{
	struct mv_host *h = new_host();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct bad *b = &bad[i];
		const char *at = strstr(good, b->from);
		struct mv_err err = { 0 };
		char text[4096];

		cr_assert_not_null(at, "%s", b->name);
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, b->to,
			 at + strlen(b->from));
		write_text(text, strlen(text));
		cr_expect_eq(mv_host_import(h, path, NULL, &err), -MV_E_INPUT, "%s", b->name);
		cr_expect_str_eq(err.file, path, "%s", b->name);
		cr_expect_eq(err.line, b->line, "%s: line %u", b->name, err.line);
		if (b->msg)
			cr_expect_str_eq(err.msg, b->msg, "%s", b->name);
		else
			cr_expect(!strncmp(err.msg, "not JSON: ", 10), "%s: %s", b->name, err.msg);
	}
	free(h);
}

/* More than there is room for: leaves, MSRs. */
Test(host_file, too_much, .init = new_folder, .fini = remove_folder)
{
	struct mv_host *h = new_host();
	char *text = malloc(65536);
	size_t n;

	cr_assert_not_null(text);
	for (int msrs = 0; msrs < 2; msrs++) {
		const char *from = msrs ? "\"msrs\": {" : "\"raw\": {", *at = strstr(good, from);
		struct mv_err err = { 0 };

		n = (size_t)(at - good) + strlen(from);
		memcpy(text, good, n);
		for (unsigned i = 0; i < 300; i++)
			n += (size_t)sprintf(text + n, msrs ? "\"0x%x\": 0, " : "\"0x%x\": [0, 0, 0, 0], ",
					     0x1000 + i);
		strcpy(text + n, at + strlen(from));
		write_text(text, strlen(text));
		cr_expect_eq(mv_host_import(h, path, NULL, &err), -MV_E_INPUT);
		cr_expect_str_eq(err.msg, msrs ? "member \"0x1040\": too many MSRs"
					       : "member \"0x1100\": too many leaves");
	}
	free(text);
	free(h);
}

Test(host_file, not_even_text, .init = new_folder, .fini = remove_folder)
{
	static const struct {
		const char *name, *text;
		size_t len;
	} rows[] = {
		{ "empty", "", 0 },
		{ "a NUL", "\0", 1 },
		{ "a NUL inside", "{\"minivmm-host\": 1\0}", 20 },
		{ "a NUL behind", "{}\0", 3 },
		{ "a brace", "{", 1 },
		{ "a number", "7", 1 },
		{ "a list", "[]", 2 },
		{ "a text", "\"minivmm-host\"", 14 },
		{ "null", "null", 4 },
	};
	struct mv_host *h = new_host();
	char *deep = malloc(200000);

	cr_assert_not_null(deep);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_err err = { 0 };

		write_text(rows[i].text, rows[i].len);
		cr_expect_eq(mv_host_import(h, path, NULL, &err), -MV_E_INPUT, "%s", rows[i].name);
		cr_expect_neq(err.msg[0], '\0', "%s", rows[i].name);
	}
	for (const char *c = "[{"; *c; c++) {
		struct mv_err err = { 0 };
		size_t n = (size_t)sprintf(deep, "{\"a\":");

		while (n < 150000)
			n += (size_t)sprintf(deep + n, "%s", *c == '[' ? "[" : "{\"a\":");
		write_text(deep, n);
		cr_expect_eq(mv_host_import(h, path, NULL, &err), -MV_E_INPUT);
		cr_expect(!strncmp(err.msg, "not JSON: ", 10), "%s", err.msg);
	}
	free(deep);
	free(h);
}
