/* SPDX-License-Identifier: MIT */
/*
 * The files in configs/ and the examples in docs/mask-language.md: everything parses and means what
 * the documents say. MV_SOURCE_DIR is the folder that configs/ and docs/ are in.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "mask.h"
#include "maskfile.h"
#include "support.h"

static const char *const guests[] = { "linux64",   "generic64", "windows64", "freebsd64",
				      "linux32",   "generic32", "windows32", "bare-metal" };
#define NGUESTS (sizeof(guests) / sizeof(guests[0]))

static int accept_directive(void *ctx, enum mv_directive d, const char *arg, mv_at at,
			    struct mv_err *err)
{
	(void)ctx, (void)d, (void)arg, (void)at, (void)err;
	return 0;
}

static int parse(struct mv_mask *m, enum mv_mask_kind kind, const char *text, size_t len,
		 struct mv_err *err)
{
	struct mv_mask_reader reader = { .kind = kind, .file = "f", .directive = accept_directive };

	*err = (struct mv_err){ 0 };
	return mv_mask_parse(m, text, len, &reader, err);
}

static struct mv_mask *parse_file(const char *name, enum mv_mask_kind kind)
{
	struct mv_mask *m = calloc(1, sizeof(*m));
	struct mv_err err;
	size_t len;
	char *text = read_source(name, &len);

	cr_assert(m);
	cr_assert_eq(parse(m, kind, text, len, &err), 0, "%s:%u:%u: %s", name, err.line, err.col,
		     err.msg);
	free(text);
	return m;
}

static struct mv_mask *parse_guest(const char *guest)
{
	char name[128];

	snprintf(name, sizeof(name), "configs/guest-os/%s.mask", guest);
	return parse_file(name, MV_MASK_DEFAULT);
}

static char sym_of(const struct mv_mask *m, enum mv_feature_id id)
{
	const struct mv_feature *f = &mv_features[id];

	return mv_sym_char(mv_mask_sym(m, f->leaf, f->subleaf, f->reg, f->bit));
}

/* ---- every file ---- */

/* Call check for each file of the folder, but for hidden ones; how many there were. */
static size_t each_file(const char *folder, void (*check)(const char *name))
{
	char path[512], name[768];
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", MV_SOURCE_DIR, folder);
	d = opendir(path);
	cr_assert(d, "can't open %s", path);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", folder, e->d_name);
		check(name);
		n++;
	}
	closedir(d);
	return n;
}

static void check_default(const char *name)
{
	struct mv_mask *m = parse_file(name, MV_MASK_DEFAULT);

	cr_expect(strstr(name, ".mask"), "%s", name);
	cr_expect_eq(m->nfields + m->nmsrs, 0u, "%s: a default mask sets no numbers", name);
	for (uint32_t i = 0; i < m->nregs; i++)
		cr_expect_eq((int)m->regs[i].vendor, MV_VENDOR_OTHER, "%s", name);
	free(m);
}

static void check_override(const char *name)
{
	struct mv_mask *m = parse_file(name, MV_MASK_OVERRIDE);

	cr_expect_gt(m->nregs, 0u, "%s", name);
	free(m);
}

/* What can be read in a terminal: a comment first, and no line beyond 80 columns. */
static void check_lines(const char *name)
{
	size_t len, col = 0;
	char *text = read_source(name, &len);

	cr_expect(text[0] == '#', "%s begins with a comment", name);
	cr_expect(len && text[len - 1] == '\n', "%s", name);
	for (size_t i = 0; i < len; i++) {
		col = text[i] == '\n' ? 0 : col + 1;
		cr_assert(col <= 80, "%s", name);
		cr_assert(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'), "%s", name);
	}
	free(text);
}

Test(configs, default_masks_parse)
{
	cr_expect_eq(each_file("configs/guest-os", check_default), NGUESTS);
}

Test(configs, overrides_parse)
{
	cr_expect_geq(each_file("configs/overrides", check_override), 5u);
}

Test(configs, files_are_readable)
{
	each_file("configs/guest-os", check_lines);
	each_file("configs/overrides", check_lines);
}

/* ---- default masks ---- */

/* Every register that KVM offers on any host: leaf and its sublevels, first to last. */
static const struct {
	uint32_t leaf, first, last;
} levels[] = {
	{ 0x0, 0, 0 },	      { 0x1, 0, 0 },	    { 0x2, 0, 0 },	  { 0x4, 0, 4 },
	{ 0x5, 0, 0 },	      { 0x6, 0, 0 },	    { 0x7, 0, 2 },	  { 0x9, 0, 0 },
	{ 0xa, 0, 0 },	      { 0xb, 0, 2 },	    { 0xd, 0, 9 },	  { 0xd, 0xb, 0xc },
	{ 0xd, 0x11, 0x13 },  { 0x12, 0, 1 },	    { 0x14, 0, 1 },	  { 0x15, 0, 0 },
	{ 0x16, 0, 0 },	      { 0x19, 0, 0 },	    { 0x1a, 0, 0 },	  { 0x1c, 0, 0 },
	{ 0x1d, 0, 1 },	      { 0x1e, 0, 1 },	    { 0x1f, 0, 2 },	  { 0x20, 0, 0 },
	{ 0x23, 0, 0 },	      { 0x24, 0, 1 },	    { 0x29, 0, 0 },	  { 0x40000000, 0, 0 },
	{ 0x40000001, 0, 0 }, { 0x80000000, 0, 0 }, { 0x80000001, 0, 0 }, { 0x80000002, 0, 0 },
	{ 0x80000003, 0, 0 }, { 0x80000004, 0, 0 }, { 0x80000005, 0, 0 }, { 0x80000006, 0, 0 },
	{ 0x80000007, 0, 0 }, { 0x80000008, 0, 0 }, { 0x8000000a, 0, 0 }, { 0x80000019, 0, 0 },
	{ 0x8000001a, 0, 0 }, { 0x8000001d, 0, 4 }, { 0x8000001e, 0, 0 }, { 0x8000001f, 0, 0 },
	{ 0x80000020, 0, 0 }, { 0x80000021, 0, 0 }, { 0x80000022, 0, 0 }, { 0x80000026, 0, 0 },
};

Test(configs, default_masks_name_every_register_that_is_offered)
{
	for (size_t g = 0; g < NGUESTS; g++) {
		struct mv_mask *m = parse_guest(guests[g]);
		uint32_t n = 0;

		for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
			for (uint32_t sub = levels[i].first; sub <= levels[i].last; sub++)
				for (unsigned reg = 0; reg < MV_NREGS; reg++, n++)
					cr_expect_not_null(
						mv_mask_find(m, levels[i].leaf, sub, reg),
						"%s: level 0x%x sublevel 0x%x %s", guests[g],
						levels[i].leaf, sub, mv_reg_name(reg));
		cr_expect_eq(m->nregs, n, "%s names registers that are not in the list", guests[g]);
		free(m);
	}
}

/* A mask in the order of its levels is easier to read, and to compare with another. */
Test(configs, default_masks_are_sorted)
{
	for (size_t g = 0; g < NGUESTS; g++) {
		struct mv_mask *m = parse_guest(guests[g]), *sorted = parse_guest(guests[g]);

		mv_mask_sort(sorted);
		for (uint32_t i = 0; i < m->nregs; i++)
			cr_expect(m->regs[i].leaf == sorted->regs[i].leaf &&
				  m->regs[i].subleaf == sorted->regs[i].subleaf &&
				  m->regs[i].reg == sorted->regs[i].reg, "%s: register %u",
				  guests[g], i);
		free(m);
		free(sorted);
	}
}

Test(configs, spot_checks)
{
	/* in the order of guests[]: linux64 generic64 windows64 freebsd64 linux32 … bare-metal */
	static const struct {
		enum mv_feature_id id;
		const char *want;	/* one symbol for all, or one each */
	} rows[] = {
		/* the guide's Appendix A */
		{ MV_F_LM, "TTTT000H" },
		{ MV_F_NX, "HHHHH0HH" },
		{ MV_F_SSE3, "H" }, { MV_F_SSSE3, "H" }, { MV_F_SSE4_1, "H" }, { MV_F_SSE4_2, "H" },
		{ MV_F_AMD3DNOW, "H" }, { MV_F_AMD3DNOWEXT, "H" }, { MV_F_CX8, "H" },
		{ MV_F_CX16, "H" }, { MV_F_FFXSR, "H" }, { MV_F_PREFETCHW, "H" },
		{ MV_F_RDTSCP, "H" }, { MV_F_MONITOR, "0" },
		/* what a guest can use */
		{ MV_F_FPU, "H" }, { MV_F_MCE, "H" }, { MV_F_MCA, "H" }, { MV_F_MTRR, "H" },
		{ MV_F_AES, "H" }, { MV_F_AVX, "H" }, { MV_F_AVX2, "H" }, { MV_F_AVX512F, "H" },
		{ MV_F_RDRAND, "H" }, { MV_F_XSAVE, "H" }, { MV_F_PCID, "H" }, { MV_F_X2APIC, "H" },
		{ MV_F_TSC_DEADLINE, "H" }, { MV_F_SMEP, "H" }, { MV_F_RDPID, "H" },
		{ MV_F_SPEC_CTRL, "H" }, { MV_F_ARCH_CAPABILITIES, "H" }, { MV_F_AVX_VNNI, "H" },
		{ MV_F_BHI_CTRL, "H" }, { MV_F_ARAT, "H" }, { MV_F_XSAVEOPT, "H" },
		{ MV_F_XSTATE_AVX, "H" }, { MV_F_XSTATE_LWP, "H" }, { MV_F_XSS_CET_U, "H" },
		{ MV_F_TMUL_AMX_INT8, "H" }, { MV_F_AVX10_512, "H" }, { MV_F_SYSCALL, "H" },
		{ MV_F_INVARIANT_TSC, "H" }, { MV_F_CLZERO, "H" }, { MV_F_AMD_IBPB, "H" },
		{ MV_F_AUTOIBRS, "H" }, { MV_F_TSA_SQ_NO, "H" },
		/* warnings */
		{ MV_F_MD_CLEAR, "H" }, { MV_F_VERW_CLEAR, "H" }, { MV_F_FDP_EXCPTN_ONLY, "H" },
		{ MV_F_ZERO_FCS_FDS, "H" }, { MV_F_NO_LMSL, "H" }, { MV_F_FS_GS_NS, "H" },
		/* what needs the VMM */
		{ MV_F_VMX, "0" }, { MV_F_SMX, "0" }, { MV_F_SVM, "0" }, { MV_F_SKINIT, "0" },
		{ MV_F_EST, "0" }, { MV_F_TM2, "0" }, { MV_F_TM, "0" }, { MV_F_ACPI, "0" },
		{ MV_F_PBE, "0" }, { MV_F_DS, "0" }, { MV_F_DTES64, "0" }, { MV_F_DS_CPL, "0" },
		{ MV_F_XTPR, "0" }, { MV_F_PDCM, "0" }, { MV_F_SDBG, "0" }, { MV_F_CID, "0" },
		{ MV_F_DCA, "0" }, { MV_F_PSN, "0" }, { MV_F_IBS, "0" }, { MV_F_WDT, "0" },
		{ MV_F_LWP, "0" }, { MV_F_NODEID_MSR, "0" }, { MV_F_PERFCTR_CORE, "0" },
		{ MV_F_SGX, "0" }, { MV_F_INTEL_PT, "0" }, { MV_F_PCONFIG, "0" },
		{ MV_F_CQM, "0" }, { MV_F_RDT_A, "0" }, { MV_F_HWP, "0" }, { MV_F_DTHERM, "0" },
		{ MV_F_APERFMPERF, "0" }, { MV_F_ARCH_LBR, "0" }, { MV_F_SGX1, "0" },
		{ MV_F_PTWRITE, "0" }, { MV_F_AESKLE, "0" }, { MV_F_LBR_CPL, "0" },
		{ MV_F_PMU_UMASK2, "0" }, { MV_F_NPT, "0" }, { MV_F_SEV, "0" }, { MV_F_BMEC, "0" },
		{ MV_F_PERFMON_V2, "0" }, { MV_F_MWAIT_EMX, "0" }, { MV_F_MONITORX, "0" },
		/* what is computed */
		{ MV_F_OSXSAVE, "x" }, { MV_F_OSPKE, "x" }, { MV_F_HTT, "x" },
		{ MV_F_CMP_LEGACY, "x" }, { MV_F_HYPERVISOR, "x" }, { MV_F_EXT_FPU, "x" },
		{ MV_F_EXT_FXSR, "x" }, { MV_F_FP256, "x" },
		/* KVM's own */
		{ MV_F_KVM_CLOCKSOURCE, "H00HH000" }, { MV_F_KVM_CLOCKSOURCE2, "H00HH000" },
		{ MV_F_KVM_CLOCKSOURCE_STABLE, "H00HH000" }, { MV_F_KVM_ASYNC_PF, "H000H000" },
		{ MV_F_KVM_STEAL_TIME, "H000H000" }, { MV_F_KVM_HINT_REALTIME, "x" },
	};

	for (size_t g = 0; g < NGUESTS; g++) {
		struct mv_mask *m = parse_guest(guests[g]);

		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			cr_expect_eq(sym_of(m, rows[i].id), rows[i].want[rows[i].want[1] ? g : 0],
				     "row %s %s: %c", guests[g], mv_features[rows[i].id].name,
				     sym_of(m, rows[i].id));
		free(m);
	}
}

/* What the class of a bit demands of its symbol, for every row of the table. */
Test(configs, symbols_follow_the_class)
{
	for (size_t g = 0; g < NGUESTS; g++) {
		struct mv_mask *m = parse_guest(guests[g]);

		for (unsigned i = 0; i < MV_NFEATURES; i++) {
			const struct mv_feature *f = &mv_features[i];
			const char *allowed = "H0T";
			char s = sym_of(m, (enum mv_feature_id)i);

			if (!mv_mask_find(m, f->leaf, f->subleaf, f->reg))
				continue;
			if (f->cls != MV_FC_PLAIN)
				allowed = f->cls == MV_FC_HAZARD || f->cls == MV_FC_INVERTED ? "H0"
											     : "x0";
			/* how fast, not what */
			else if (f->vmx == MV_FE_NA && f->svm == MV_FE_INFO)
				allowed = "H0x";
			cr_expect(strchr(allowed, s), "row %s %s: %c", guests[g], f->name, s);
			cr_expect(s != 'T' || i == MV_F_LM, "row %s %s", guests[g], f->name);
		}
		free(m);
	}
}

/* R in the bits without a row, wherever a register shows a feature. */
Test(configs, reserved_bits_of_feature_registers_are_r)
{
	for (size_t g = 0; g < NGUESTS; g++) {
		struct mv_mask *m = parse_guest(guests[g]);

		for (uint32_t i = 0; i < m->nregs; i++) {
			const struct mv_mask_reg *r = &m->regs[i];
			bool shows = false;

			for (unsigned bit = 0; bit < 32; bit++) {
				enum mv_sym s = mv_mask_reg_sym(r, bit);

				shows |= mv_feature_at(r->leaf, r->subleaf, r->reg, bit) &&
					 (s == MV_SYM_H || s == MV_SYM_T);
			}
			/* level 6 is the host's power, KVM's level is no hardware */
			shows &= r->leaf != 0x6 && r->leaf != 0x40000001;
			for (unsigned bit = 0; bit < 32; bit++) {
				bool known = mv_feature_at(r->leaf, r->subleaf, r->reg, bit) ||
					     mv_field_at(r->leaf, r->subleaf, r->reg, bit);
				enum mv_sym s = mv_mask_reg_sym(r, bit);

				cr_expect(!shows || known || s == MV_SYM_R,
					  "row %s level 0x%x.0x%x %s:%u: %c", guests[g], r->leaf,
					  r->subleaf, mv_reg_name(r->reg), bit, mv_sym_char(s));
				cr_expect(!known || s != MV_SYM_R,
					  "row %s level 0x%x.0x%x %s:%u is known, and R",
					  guests[g], r->leaf, r->subleaf, mv_reg_name(r->reg), bit);
			}
		}
		free(m);
	}
}

Test(configs, fields)
{
	static const struct {
		const char *name;
		char want;
	} rows[] = {
		{ "vendor-ebx", 'H' }, { "vendor-ecx", 'H' }, { "vendor-edx", 'H' },
		{ "family", 'H' }, { "ext-family", 'H' }, { "model", 'x' }, { "ext-model", 'x' },
		{ "stepping", 'x' }, { "max-leaf", 'x' }, { "max-ext-leaf", 'x' },
		{ "phys-bits", 'x' }, { "linear-bits", 'x' }, { "clflush-size", 'x' },
		{ "apic-id", 'x' }, { "xsave-avx-offset", 'x' }, { "brand-0-eax", 'x' },
		{ "max-subleaf-7", 'x' }, { "avx10-version", 'H' }, { "pmu-version", '0' },
		{ "svm-asids", '0' },
	};

	for (size_t g = 0; g < NGUESTS; g++) {
		struct mv_mask *m = parse_guest(guests[g]);

		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			const struct mv_field *f =
				mv_field_by_name(rows[i].name, strlen(rows[i].name));

			cr_assert(f, "row %s", rows[i].name);
			for (unsigned bit = f->lo; bit <= f->hi; bit++)
				cr_expect_eq(mv_sym_char(mv_mask_sym(m, f->leaf, f->subleaf, f->reg,
								     bit)), rows[i].want,
					     "row %s %s bit %u", guests[g], rows[i].name, bit);
		}
		free(m);
	}
}

/* docs/guest-os-masks.md, section 8: the masks are linux64 but for LM, NX and KVM's features. */
Test(configs, masks_differ_only_where_the_document_says)
{
	struct mv_mask *base = parse_guest("linux64");

	for (size_t g = 1; g < NGUESTS; g++) {
		struct mv_mask *m = parse_guest(guests[g]);

		for (uint32_t i = 0; i < m->nregs; i++)
			for (unsigned bit = 0; bit < 32; bit++) {
				const struct mv_mask_reg *r = &m->regs[i];
				bool may = (r->leaf == 0x80000001 && r->reg == MV_EDX &&
					    (bit == 29 || bit == 20)) ||
					   (r->leaf == 0x40000001 && r->reg == MV_EAX);

				cr_expect(may || mv_mask_reg_sym(r, bit) ==
							 mv_mask_sym(base, r->leaf, r->subleaf,
								     r->reg, bit),
					  "%s: level 0x%x.0x%x %s:%u", guests[g], r->leaf,
					  r->subleaf, mv_reg_name(r->reg), bit);
			}
		free(m);
	}
	free(base);
}

/* A mask must leave room for an override that names registers of its own. */
Test(configs, default_masks_leave_room)
{
	for (size_t g = 0; g < NGUESTS; g++) {
		struct mv_mask *m = parse_guest(guests[g]);

		cr_expect_leq(m->nregs, MV_MASK_REGS - 64u, "%s", guests[g]);
		free(m);
	}
}

/* ---- overrides ---- */

Test(configs, overrides_say_what_their_names_say)
{
	static const struct {
		const char *file;
		enum mv_feature_id id;
		char want;
	} rows[] = {
		{ "hide-sse41.mask", MV_F_SSE4_1, '0' },  { "hide-sse41-r.mask", MV_F_SSE4_1, 'R' },
		{ "hide-sse41.vmx", MV_F_SSE4_1, '0' },	  { "hide-ssse3.mask", MV_F_SSSE3, '0' },
		{ "no-avx.mask", MV_F_AVX, '0' },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[128];
		struct mv_mask *m;

		snprintf(name, sizeof(name), "configs/overrides/%s", rows[i].file);
		m = parse_file(name, MV_MASK_OVERRIDE);
		for (unsigned f = 0; f < MV_NFEATURES; f++)
			cr_expect_eq(sym_of(m, (enum mv_feature_id)f),
				     f == (unsigned)rows[i].id ? rows[i].want : '-', "row %s %s",
				     rows[i].file, mv_features[f].name);
		free(m);
	}
}

/* A host with all of SSE and AVX, described by its KVM. */
static void avx_host(struct mv_host *h)
{
	static const enum mv_feature_id ids[] = {
		MV_F_FPU, MV_F_PAE, MV_F_FXSR, MV_F_SSE, MV_F_SSE2, MV_F_SSE3, MV_F_SSSE3,
		MV_F_SSE4_1, MV_F_SSE4_2, MV_F_XSAVE, MV_F_AVX, MV_F_FMA, MV_F_AVX2, MV_F_LM,
		MV_F_XSTATE_X87, MV_F_XSTATE_SSE, MV_F_XSTATE_AVX,
	};

	memset(h, 0, sizeof(*h));
	h->proof[MV_INTERCEPTION_KERNEL] = MV_PROOF_BOTH;
	mv_table_set_field(&h->raw, MV_FIELD_MAX_LEAF, 0xd);
	mv_table_set_field(&h->raw, MV_FIELD_VENDOR_EBX, 0x756e6547);
	mv_table_set_field(&h->raw, MV_FIELD_VENDOR_EDX, 0x49656e69);
	mv_table_set_field(&h->raw, MV_FIELD_VENDOR_ECX, 0x6c65746e);
	mv_table_set_field(&h->raw, MV_FIELD_XSAVE_AVX_SIZE, 256);
	mv_table_set_field(&h->raw, MV_FIELD_XSAVE_AVX_OFFSET, 576);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		mv_table_set_feature(&h->raw, ids[i], true);
	h->kvm = h->raw;
	h->xcr0 = 7;
}

/* What docs/mask-language.md, section 5, says of closure. */
Test(configs, overrides_over_linux64_close_over_what_needs_them)
{
	static const struct {
		const char *file;
		enum mv_feature_id id;
		bool visible;
		char final, effective;
	} rows[] = {
		{ "hide-sse41.mask", MV_F_SSSE3, true, 'H', 'H' },
		{ "hide-sse41.mask", MV_F_SSE4_1, false, '0', '0' },
		{ "hide-sse41.mask", MV_F_SSE4_2, false, 'H', '0' },
		{ "hide-sse41-r.mask", MV_F_SSE4_1, false, 'R', 'R' },
		{ "hide-sse41-r.mask", MV_F_SSE4_2, false, 'H', 'R' },
		{ "hide-ssse3.mask", MV_F_SSE3, true, 'H', 'H' },
		{ "hide-ssse3.mask", MV_F_SSE4_1, false, 'H', '0' },
		{ "hide-ssse3.mask", MV_F_SSE4_2, false, 'H', '0' },
		{ "no-avx.mask", MV_F_SSE4_2, true, 'H', 'H' },
		{ "no-avx.mask", MV_F_XSAVE, true, 'H', 'H' },
		{ "no-avx.mask", MV_F_AVX2, false, 'H', '0' },
		{ "no-avx.mask", MV_F_FMA, false, 'H', '0' },
		{ "no-avx.mask", MV_F_XSTATE_AVX, false, 'H', '0' },
	};
	struct mv_policy *p = calloc(1, sizeof(*p));
	struct mv_notes *notes = calloc(1, sizeof(*notes));
	struct mv_mask *def = parse_guest("linux64");

	cr_assert(p && notes);
	avx_host(&p->source);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct mv_feature *f = &mv_features[rows[i].id];
		char name[128];
		struct mv_mask *over;

		snprintf(name, sizeof(name), "configs/overrides/%s", rows[i].file);
		over = parse_file(name, MV_MASK_OVERRIDE);
		cr_assert_eq(mv_mask_merge(&p->final, def, over, MV_VENDOR_INTEL, NULL), 0);
		cr_assert_eq(mv_apply(p, 1, notes, NULL), 0);
		cr_expect_eq(notes->refusals, 0u, "row %s", rows[i].file);
		cr_expect_eq(mv_table_has(&p->guest, rows[i].id), rows[i].visible, "row %s %s",
			     rows[i].file, f->name);
		cr_expect_eq(sym_of(&p->final, rows[i].id), rows[i].final, "row %s %s",
			     rows[i].file, f->name);
		cr_expect_eq(sym_of(&p->effective, rows[i].id), rows[i].effective, "row %s %s",
			     rows[i].file, f->name);
		free(over);
	}
	free(p);
	free(notes);
	free(def);
}

/* The 64-bit masks refuse a host without long mode, the others start there. */
Test(configs, long_mode_is_required_by_64_bit_masks_only)
{
	struct mv_policy *p = calloc(1, sizeof(*p));
	struct mv_notes *notes = calloc(1, sizeof(*notes));

	cr_assert(p && notes);
	avx_host(&p->source);
	mv_table_set_feature(&p->source.raw, MV_F_LM, false);
	mv_table_set_feature(&p->source.kvm, MV_F_LM, false);
	for (size_t g = 0; g < NGUESTS; g++) {
		struct mv_mask *def = parse_guest(guests[g]);

		cr_assert_eq(mv_mask_merge(&p->final, def, NULL, MV_VENDOR_INTEL, NULL), 0);
		cr_assert_eq(mv_apply(p, 1, notes, NULL), 0);
		cr_expect_eq(notes->refusals != 0, strstr(guests[g], "64") != NULL, "row %s",
			     guests[g]);
		free(def);
	}
	free(p);
	free(notes);
}

/* KVM looks at every entry on its way to a later one, and answers zeros where there is none. */
Test(configs, no_guest_has_an_entry_that_is_zero_on_every_cpu)
{
	struct mv_policy *p = calloc(1, sizeof(*p));
	struct mv_notes *notes = calloc(1, sizeof(*notes));
	struct mv_table *cpu3 = calloc(1, sizeof(*cpu3));

	cr_assert(p && notes && cpu3);
	avx_host(&p->source);
	mv_table_set_field(&p->source.raw, MV_FIELD_MAX_LEAF, 0x20);	/* leaves that are in range, and empty */
	mv_table_set_feature(&p->source.raw, MV_F_AVX_VNNI, true);	/* leaf 7.1 alone */
	p->source.kvm = p->source.raw;
	for (size_t g = 0; g < NGUESTS; g++) {
		struct mv_mask *def = parse_guest(guests[g]);

		cr_assert_eq(mv_mask_merge(&p->final, def, NULL, MV_VENDOR_INTEL, NULL), 0);
		cr_assert_eq(mv_apply(p, 4, notes, NULL), 0);
		mv_table_for_cpu(cpu3, &p->guest, 3);
		cr_expect_gt(cpu3->n, 5u);
		for (uint32_t i = 0; i < cpu3->n; i++) {
			const uint32_t *r = cpu3->e[i].reg;

			cr_expect(r[0] | r[1] | r[2] | r[3], "%s: leaf 0x%x.%x", guests[g], cpu3->e[i].leaf,
				  cpu3->e[i].subleaf);
		}
		free(def);
	}
	free(cpu3);
	free(p);
	free(notes);
}

/* ---- the examples of the document ---- */

/* Does the mask have exactly the registers of that text? */
static void expect_final(const struct mv_mask *final, const char *text, size_t len, uint32_t line)
{
	struct mv_mask *want = calloc(1, sizeof(*want));
	struct mv_err err;

	cr_assert(want);
	cr_assert_eq(parse(want, MV_MASK_DEFAULT, text, len, &err), 0, "line %u: %s", line,
		     err.msg);
	cr_expect_eq(final->nregs, want->nregs, "line %u", line);
	for (uint32_t i = 0; i < want->nregs; i++) {
		const struct mv_mask_reg *w = &want->regs[i];
		const struct mv_mask_reg *f = mv_mask_find(final, w->leaf, w->subleaf, w->reg);
		char letters[MV_MASK_TEXT];

		cr_assert(f, "line %u", line);
		mv_mask_reg_format(f, letters);
		/* letter for letter as the document has it, not only the same bits */
		cr_expect(strstr(text, letters), "line %u: %s", line, letters);
		cr_expect(!memcmp(f->plane, w->plane, sizeof(f->plane)), "line %u", line);
	}
	free(want);
}

/* The last comment line of a mask-error block is "# LINE:COLUMN: MESSAGE". */
static void expect_error(const char *text, size_t len, uint32_t line)
{
	struct mv_mask *m = calloc(1, sizeof(*m));
	const char *last = text + len - 1;
	char want[512], have[640];
	struct mv_err err;

	cr_assert(m);
	while (last > text && last[-1] != '\n')
		last--;
	snprintf(want, sizeof(want), "%.*s", (int)(text + len - 1 - last), last);
	cr_expect_eq(parse(m, MV_MASK_OVERRIDE, text, len, &err), -MV_E_INPUT, "line %u", line);
	snprintf(have, sizeof(have), "# %u:%u: %s", err.line, err.col, err.msg);
	cr_expect_str_eq(have, want, "line %u", line);
	free(m);
}

Test(configs, examples_of_the_document)
{
	struct mv_mask *def = calloc(1, sizeof(*def)), *over = calloc(1, sizeof(*over));
	struct mv_mask *final = calloc(1, sizeof(*final));
	size_t len, masks = 0, finals = 0, errors = 0;
	char *text = read_source("docs/mask-language.md", &len), *p = text, *line_end;
	char kind[32] = "", *start = NULL;
	uint32_t line = 0;

	cr_assert(def && over && final);
	for (; (line_end = strchr(p, '\n')); p = line_end + 1) {
		struct mv_err err;
		size_t size = start ? (size_t)(p - start) : 0;
		char saved;

		line++;
		if (strncmp(p, "```", 3))
			continue;
		if (!start) {
			snprintf(kind, sizeof(kind), "%.*s", (int)(line_end - p - 3), p + 3);
			start = line_end + 1;
			continue;
		}
		saved = *p;
		*p = '\0';
		if (!strcmp(kind, "mask") || !strcmp(kind, "mask-default")) {
			bool is_default = kind[4];

			cr_expect_eq(parse(is_default ? def : over,
					   is_default ? MV_MASK_DEFAULT : MV_MASK_OVERRIDE, start,
					   size, &err), 0, "block before line %u: %u:%u: %s", line,
				     err.line, err.col, err.msg);
			masks++;
		} else if (!strcmp(kind, "mask-final")) {
			cr_assert_eq(mv_mask_merge(final, def, over, MV_VENDOR_INTEL, NULL), 0);
			expect_final(final, start, size, line);
			finals++;
		} else if (!strcmp(kind, "mask-error")) {
			expect_error(start, size, line);
			errors++;
		}
		*p = saved;
		start = NULL;
	}
	cr_expect_null(start, "a block is not closed");
	cr_expect_geq(masks, 10u);
	cr_expect_geq(finals, 1u);
	cr_expect_geq(errors, 5u);
	free(text);
	free(def);
	free(over);
	free(final);
}
