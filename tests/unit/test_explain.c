/* SPDX-License-Identifier: MIT */
/* From bytes to features, checked against the probes and the decoder's own list of sets. */
#include <Zydis/Zydis.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "guest-tests/linux/rows.h"
#include "host_exec.h"
#include "import.h"
#include "maskload.h"

/* ---- bytes ---- */

Test(explain, bytes)
{
	static const struct {
		const char *text;
		size_t n;
		uint8_t first, last;
	} rows[] = {
		{ "66 0f 38 17 c1", 5, 0x66, 0xc1 },
		{ "660F3817C1", 5, 0x66, 0xc1 },
		{ " 0x0f,0x0b ", 2, 0x0f, 0x0b },
		{ "\\x0f\\x0b", 2, 0x0f, 0x0b },
		{ "90", 1, 0x90, 0x90 },
		{ "000102030405060708090a0b0c0d0e", 15, 0, 0x0e },
		{ "000102030405060708090a0b0c0d0e0f", 0, 0, 0 },
		{ "", 0, 0, 0 },
		{ "9", 0, 0, 0 },
		{ "0x", 0, 0, 0 },
		{ "90 9", 0, 0, 0 },
		{ "SSE4.1", 0, 0, 0 },
		{ "90 zz", 0, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t code[MV_CODE_MAX] = { 0 };
		size_t n = mv_code_parse(rows[i].text, code);

		cr_expect_eq(n, rows[i].n, "'%s': %zu bytes", rows[i].text, n);
		if (n && n == rows[i].n) {
			cr_expect_eq(code[0], rows[i].first, "'%s'", rows[i].text);
			cr_expect_eq(code[n - 1], rows[i].last, "'%s'", rows[i].text);
		}
	}
}

/* ---- instructions ---- */

static void names(char *buf, size_t size, const struct mv_code *c)
{
	size_t at = 0;

	*buf = '\0';
	for (unsigned i = 0; i < c->n && at < size; i++)
		at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? " " : "",
				       mv_features[c->needs[i]].name);
}

Test(explain, instructions)
{
	static const struct {
		const char *code, *text, *needs;
		unsigned length;
		const char *otherwise;
	} rows[] = {
		{ "66 0f 38 17 c1", "ptest xmm0, xmm1", "SSE4.1", 5, NULL },
		{ "66 0f 38 17 c1 90 90", "ptest xmm0, xmm1", "SSE4.1", 5, NULL },
		{ "f2 0f 38 f0 c3", "crc32 eax, bl", "SSE4.2", 5, NULL },
		{ "f3 0f b8 c3", "popcnt eax, ebx", "POPCNT", 4, NULL },
		{ "0f fc c0", "paddb mm0, mm0", "MMX", 3, NULL },
		{ "0f d4 c0", "paddq mm0, mm0", "SSE2 MMX", 3, NULL },
		{ "c5 fc 57 c0", "vxorps ymm0, ymm0, ymm0", "AVX", 4, NULL },
		{ "c4 e2 79 dc c0", "vaesenc xmm0, xmm0, xmm0", "AES AVX", 5, NULL },
		{ "c4 e2 7d dc c0", "vaesenc ymm0, ymm0, ymm0", "VAES", 5, NULL },
		{ "62 f1 7d 48 fe c0", "vpaddd zmm0, zmm0, zmm0", "AVX512F", 6, NULL },
		{ "62 f1 7d 08 fe c0", "vpaddd xmm0, xmm0, xmm0", "AVX512F AVX512VL", 6, NULL },
		{ "0f c7 0f", "cmpxchg8b [rdi]", "CX8", 3, NULL },
		{ "48 0f c7 0f", "cmpxchg16b [rdi]", "CX16", 4, NULL },
		{ "0f 38 f9 07", "movdiri [rdi], eax", "MOVDIRI", 4, NULL },
		{ "66 0f 38 f8 3f", "movdir64b rdi, zmmword ptr [rdi]", "MOVDIR64B", 5, NULL },
		{ "f3 0f 1e fa", "endbr64", "CET-IBT", 4, "" },
		{ "0f 1c 07", "cldemote [rdi]", "CLDEMOTE", 3, "" },
		/* beside the hints of their features, and what other CPUs take for a NOP or an older instruction */
		{ "f3 0f 1e c8", "rdsspd eax", "CET-SS", 4, "" },
		{ "f3 0f ae e8", "incsspd eax", "CET-SS", 4, NULL },
		{ "f3 0f 01 ea", "saveprevssp", "CET-SS", 4, NULL },
		{ "0f 1a 07", "bndldx bnd0, [rdi]", "MPX", 3, "" },
		{ "0f 0d 0f", "prefetchw [rdi]", "PREFETCHW", 3, "" },
		{ "f3 0f bd c3", "lzcnt eax, ebx", "LZCNT", 4, "BSR" },
		{ "f3 0f bc c3", "tzcnt eax, ebx", "BMI1", 4, "BSF" },
		{ "c4 e2 60 f2 c1", "andn eax, ebx, ecx", "BMI1", 5, NULL },
		{ "0f 31", "rdtsc", "TSC", 2, NULL },
		{ "f3 0f 09", "WBNOINVD", "WBNOINVD", 3, "WBINVD" },
		{ "0f 09", "wbinvd", "", 2, NULL },
		/* what a probe of a control bit, of a page size, of counters does with any CPU's instructions */
		{ "0f 22 e0", "mov cr4, rax", "", 3, NULL },
		{ "48 8b 00", "mov rax, [rax]", "", 3, NULL },
		{ "0f 33", "rdpmc", "", 2, NULL },
		{ "0f 0b", "ud2", "", 2, NULL },
		{ "0f a2", "cpuid", "", 2, NULL },
		{ "90", "nop", "", 1, NULL },
		/* newer than the decoder: a probe's bytes */
		{ "c4 e2 7f cc c0", "VSHA512MSG1", "SHA512", 5, NULL },
		/* none */
		{ "ff ff", NULL, NULL, 0, NULL },
		{ "06", NULL, NULL, 0, NULL },
		{ "66 0f 38", NULL, NULL, 0, NULL },
		/* of features that the table does not have: VIA's, TDX's */
		{ "0f a7 c0", NULL, NULL, 0, NULL },
		{ "66 0f 01 cc", NULL, NULL, 0, NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t code[MV_CODE_MAX];
		size_t n = mv_code_parse(rows[i].code, code);
		struct mv_err err = { 0 };
		struct mv_code c;
		char needs[128];
		int rc = mv_code_explain(&c, code, n, &err);

		if (!rows[i].text) {
			cr_expect_eq(rc, -MV_E_INPUT, "%s: %s", rows[i].code, c.text);
			cr_expect(*err.msg, "%s", rows[i].code);
			continue;
		}
		cr_expect_eq(rc, 0, "%s: %s", rows[i].code, err.msg);
		names(needs, sizeof(needs), &c);
		cr_expect_str_eq(c.text, rows[i].text, "%s: %s", rows[i].code, c.text);
		cr_expect_str_eq(needs, rows[i].needs, "%s: %s", rows[i].code, needs);
		cr_expect_eq(c.length, rows[i].length, "%s: %u", rows[i].code, c.length);
		cr_expect_eq(!c.otherwise, !rows[i].otherwise, "%s", rows[i].code);
		if (rows[i].otherwise && c.otherwise)
			cr_expect_str_eq(c.otherwise, rows[i].otherwise, "%s", rows[i].code);
	}
}

/* Every set that the decoder may name is a feature here, or known to be none, or one of these. */
Test(explain, sets)
{
	enum mv_feature_id out[MV_CODE_FEATURES];

	for (int i = ZYDIS_ISA_SET_INVALID + 1; i <= ZYDIS_ISA_SET_MAX_VALUE; i++) {
		const char *name = ZydisISASetGetString((ZydisISASet)i);
		bool foreign = !strncmp(name, "KNC", 3) || !strncmp(name, "PADLOCK_", 8) || !strcmp(name, "TDX");

		cr_expect_eq(mv_code_features(name, "", out) < 0, foreign, "%s", name);
	}
	cr_expect_eq(mv_code_features("NO_SUCH_SET", "", out), -1);
}

static bool needs(const struct mv_code *c, enum mv_feature_id id)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->needs[i] == id)
			return true;
	return false;
}

/*
 * The decoder and the probes were written by different people: an instruction of each row must need
 * the row's feature. Rows that try a control bit, an MSR or a page size have no such instruction, and
 * some are older instructions by their bytes: PREFETCHIT is a NOP, XGETBV takes its new operand in ECX,
 * RDPMC is every CPU's. PSHUFW is SSE's to the decoder, and was MMXEXT's on CPUs without SSE.
 */
Test(explain, probes)
{
	unsigned agreed = 0;

	for (size_t i = 0; i < mv_nrows; i++) {
		const struct mv_row *r = &mv_rows[i];
		bool other = strchr(r->mnemonic, '.') || !strncmp(r->mnemonic, "MSR-", 4) ||
			       !strcmp(r->mnemonic, "LOCK-MOV-CR8") ||
			       !strcmp(r->mnemonic, "PREFETCHIT0") ||
			       !strcmp(r->mnemonic, "XGETBV-1") ||
			       !strcmp(r->mnemonic, "1-GIB-PAGE") ||
			       !strcmp(r->mnemonic, "RDPMC") ||
			       !strcmp(r->mnemonic, "PSHUFW");
		bool agree = false, known = true;
		struct mv_code c;

		for (const uint8_t *p = r->code; p < r->end && known; p += c.length) {
			known = mv_code_explain(&c, p, (size_t)(r->end - p), NULL) == 0;
			agree |= known && needs(&c, (enum mv_feature_id)r->feature);
		}
		cr_expect(agree || other || !known, "%s does not need %s", r->mnemonic,
			  mv_features[r->feature].name);
		agreed += agree;
	}
	cr_expect_gt(agreed, 100, "%u", agreed);
}

/* ---- in a guest ---- */

static void guest(struct mv_policy *p, struct mv_notes *notes, const char *host, const char *text)
{
	char path[256], mask[] = "/tmp/mv-explain-XXXXXX";
	const char *override = mask;
	struct mv_mask_request req = { .overrides = &override, .noverrides = 1 };
	struct mv_err err = { 0 };
	int fd = mkstemp(mask);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/tests/data/hosts/%s", MV_SOURCE_DIR, host);
	cr_assert_eq(mv_host_import(&p->source, path, NULL, &err), 0, "%s", err.msg);
	req.vendor = mv_table_vendor(&p->source.raw);
	cr_assert_eq(mv_masks_load(p, &req, &err), 0, "%s", err.msg);
	cr_assert_eq(mv_apply(p, 1, notes, &err), 0, "%s", err.msg);
	remove(mask);
}

Test(explain, fate)
{
	static const struct {
		const char *host, *mask;
		enum mv_feature_id id;
		bool visible, enforced, present, vmx;
		char effective;
		const char *cause;
	} rows[] = {
		{ "milan.json", "", MV_F_SSE4_1, true, false, true, false, 'H', NULL },
		{ "milan.json", "feature sse4.1 = 0\n", MV_F_SSE4_1, false, false, true, false, '0',
		  NULL },
		{ "milan.json", "feature avx = 0\n", MV_F_AVX2, false, true, true, false, '0',
		  "AVX" },
		{ "milan.json", "feature avx2 = 0\n", MV_F_AVX2, false, false, true, false, '0',
		  NULL },
		{ "penryn.json", "", MV_F_AVX2, false, true, false, true, 'H', NULL },
		{ "penryn.json", "feature sse4.1 = R\n", MV_F_SSE4_1, false, false, true, true, 'R',
		  NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_policy *p = calloc(1, sizeof(*p));
		struct mv_notes *notes = calloc(1, sizeof(*notes));
		struct mv_fate f;
		char place[300];

		cr_assert(p && notes);
		guest(p, notes, rows[i].host, rows[i].mask);
		mv_feature_fate(&f, p, &p->source, notes, rows[i].id);
		cr_expect_eq(f.visible, rows[i].visible, "row %zu", i);
		cr_expect_eq(f.enforced, rows[i].enforced, "row %zu", i);
		cr_expect_eq(f.present, rows[i].present, "row %zu", i);
		cr_expect_eq(f.vmx, rows[i].vmx, "row %zu", i);
		cr_expect_eq(mv_sym_char(f.effective), rows[i].effective, "row %zu", i);
		cr_expect(f.intercepted, "row %zu", i);
		cr_expect_str_eq(f.cause ? f.cause->name : "", rows[i].cause ? rows[i].cause : "",
				 "row %zu", i);
		cr_expect(*mv_policy_place(place, sizeof(place), p, f.at), "row %zu", i);
		free(notes);
		free(p);
	}
}

Test(explain, crash)
{
	static const uint8_t ptest[] = { 0x66, 0x0f, 0x38, 0x17, 0xc1 }, ud2[] = { 0x0f, 0x0b };
	struct mv_policy *p = calloc(1, sizeof(*p));
	struct mv_notes *notes = calloc(1, sizeof(*notes));
	char text[900];

	cr_assert(p && notes);
	guest(p, notes, "kentsfield.json", "feature sse4.1 = 0\n");
	cr_expect(mv_explain_crash(text, sizeof(text), p, &p->source, ptest, sizeof(ptest)));
	cr_expect(strstr(text, "ptest xmm0, xmm1 needs SSE4.1: hidden from this guest (0, mv-ex"),
		  "%s", text);
	cr_expect(strstr(text, ":1; hidden-only), and this host lacks it"), "%s", text);
	cr_expect_not(mv_explain_crash(text, sizeof(text), p, &p->source, ud2, sizeof(ud2)));
	cr_expect_not(mv_explain_crash(text, sizeof(text), p, &p->source, ptest, 0));
	cr_expect_not(mv_explain_crash(text, sizeof(text), p, &p->source, ptest, 2));
	free(notes);
	free(p);
}

/* ---- the exec view ---- */

Test(exec, this_machine)
{
	struct mv_host *h = calloc(1, sizeof(*h));

	cr_assert_not_null(h);
	mv_host_exec(h);
	/* What every x86-64 CPU executes. */
	cr_expect(mv_featset_has(&h->exec_ran, MV_F_FPU));
	cr_expect(mv_featset_has(&h->exec_ran, MV_F_CMOV));
	cr_expect(mv_featset_has(&h->exec_ran, MV_F_SSE2));
	/* What no program can decide: hints, and what is CPL 0's. */
	cr_expect_not(mv_featset_has(&h->exec_known, MV_F_CET_IBT));
	cr_expect_not(mv_featset_has(&h->exec_known, MV_F_CLDEMOTE));
	cr_expect_not(mv_featset_has(&h->exec_known, MV_F_INVPCID));
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		cr_expect(!mv_featset_has(&h->exec_ran, (enum mv_feature_id)i) ||
			  mv_featset_has(&h->exec_known, (enum mv_feature_id)i), "%s",
			  mv_features[i].name);
	free(h);
}

/* No two rows of one name, and every one of them ends. */
Test(exec, rows)
{
	struct mv_row_result *r = calloc(mv_nrows, sizeof(*r));

	cr_assert_not_null(r);
	cr_assert_eq(mv_rows_run(r), 0);
	for (size_t i = 0; i < mv_nrows; i++) {
		if (mv_rows[i].flags & MV_P_CPL0)
			cr_expect_eq(r[i].outcome, MV_ROW_UNTRIED, "%s", mv_rows[i].mnemonic);
		else
			cr_expect(r[i].outcome >= MV_ROW_RAN && r[i].outcome <= MV_ROW_FAULTED,
				  "%s: %u", mv_rows[i].mnemonic, r[i].outcome);
		for (size_t k = 0; k < i; k++)
			cr_expect(mv_rows[i].feature != mv_rows[k].feature ||
				  strcmp(mv_rows[i].mnemonic, mv_rows[k].mnemonic), "%s",
				  mv_rows[i].mnemonic);
	}
	free(r);
}
