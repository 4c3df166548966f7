/* SPDX-License-Identifier: MIT */
/* From mask to guest table: symbols, closure, leaf 0xD, maxima, mirrors, topology, order. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "support.h"
#include "xstate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Are all features of a blank-separated list visible (or all hidden)? Returns one that is not. */
static const char *exception(const struct fixture *f, const char *list, bool visible)
{
	static char word[64];
	char copy[1024], *save;

	cr_assert_lt(strlen(list), sizeof(copy));
	strcpy(copy, list);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (guest_has(f, w) != visible)
			return strcpy(word, w);
	return NULL;
}

struct row {
	const char *name, *src, *mask;
	const char *visible, *hidden;
	const char *notes;
	uint32_t refusals;
};

static void run(const struct row *rows, size_t n)
{
	for (const struct row *r = rows; r < rows + n; r++) {
		struct fixture f;
		const char *bad;

		fixture_init(&f);
		cr_expect_eq(make_policy(&f, r->src, r->mask, 1), 0, "row %s", r->name);
		bad = exception(&f, r->visible, true);
		cr_expect(!bad, "row %s: %s is hidden", r->name, bad);
		bad = exception(&f, r->hidden, false);
		cr_expect(!bad, "row %s: %s is visible", r->name, bad);
		if (r->notes)
			cr_expect_str_eq(notes_text(f.notes), r->notes, "row %s: %s", r->name,
					 notes_text(f.notes));
		cr_expect_eq(f.notes->refusals, r->refusals, "row %s: %u", r->name,
			     f.notes->refusals);
		fixture_finish(&f);
	}
}

static const struct row symbol_rows[] = {
	{ "X there", "skylake-sp", "adx=x", "adx", "", "", 0 },
	{ "X not there", "haswell", "adx=x", "", "adx", "", 0 },
	{ "H there", "skylake-sp", "adx=H", "adx", "", "", 0 },
	{ "H not there", "haswell", "adx=H", "", "adx", "", 0 },
	{ "T there", "skylake-sp", "adx=T", "adx", "", "", 0 },
	{ "T not there", "haswell", "sse3=x adx=T", "adx", "", "T-missing 7.0:ebx[19]@2", 1 },
	{ "T looks at the offer", "skylake-sp kvm-adx", "adx=T", "adx", "",
	  "T-missing 7.0:ebx[19]@1", 1 },
	{ "T in bit 31", "skylake-sp kvm-avx512vl", "avx512vl=T", "", "", "T-missing 7.0:ebx[31]@1",
	  1 },
	{ "F not there", "haswell", "adx=F", "", "adx", "", 0 },
	{ "F there", "skylake-sp", "adx=F", "", "adx", "F-present 7.0:ebx[19]@1", 1 },
	{ "F there in raw alone", "skylake-sp kvm-adx", "adx=F", "", "adx",
	  "F-present 7.0:ebx[19]@1", 1 },
	{ "F seen to execute", "haswell exec+adx", "adx=F", "", "adx", "F-present 7.0:ebx[19]@1",
	  1 },
	{ "F does not look at the offer", "haswell kvm+adx", "adx=F", "", "adx", "", 0 },
	{ "1 there", "skylake-sp", "adx=1", "adx", "", "", 0 },
	{ "1 not there", "haswell", "adx=1", "adx", "", "forced 7.0:ebx[19]@1", 0 },
	{ "0 there", "skylake-sp", "adx=0", "", "adx", "", 0 },
	{ "R there", "skylake-sp", "adx=R", "", "adx", "", 0 },
	{ "all refusals are told", "haswell", "adx=T sha=T popcnt=F", "", "",
	  "F-present 1.0:ecx[23]@3 T-missing 7.0:ebx[19]@1 T-missing 7.0:ebx[29]@2", 3 },
	{ "a register that is not named", "skylake-sp", "none 1.0:edx=H", "fpu cmov sse2",
	  "adx popcnt syscall kvm-clock", "", 0 },
	{ "nothing named", "skylake-sp", "none", "", "fpu sse2 lm", "", 0 },
	{ "the VMM's own bits need no permission", "skylake-sp",
	  "osxsave=T ospke=F htt=T hypervisor=T", "hypervisor", "osxsave ospke htt", "", 0 },
	{ "F on bits that follow the guest or the VM", "zen3 +osxsave +htt",
	  "osxsave=F htt=F ext-fpu=F", "", "osxsave", "", 0 },
	{ "a hypervisor, whatever the host says", "skylake-sp -hypervisor", "hypervisor=x",
	  "hypervisor", "", "", 0 },
	{ "unless it is hidden", "skylake-sp", "hypervisor=0", "", "hypervisor", "", 0 },
};

Test(apply, symbols)
{
	run(symbol_rows, COUNT(symbol_rows));
}

#define NEEDS_AVX "avx2 fma f16c"
#define NEEDS_AVX512                                                                          \
	"avx512f avx512dq avx512ifma avx512cd avx512bw avx512vl avx512_vbmi avx512_vbmi2 "    \
	"avx512_vnni avx512_bitalg avx512_vpopcntdq avx512_bf16 avx512_fp16 xstate-opmask "   \
	"xstate-zmm-hi256 xstate-hi16-zmm"

static const struct row msr_rows[] = {
	{ "T there", "haswell msr:ce=0x80000000", "msr:ce[31]=T", "", "", "", 0 },
	{ "T not there", "haswell msr:ce=1", "msr:ce[31]=T", "", "", "T-missing msr:ce[31]@1", 1 },
	{ "T, and the host lacks the MSR", "haswell", "msr:ce[63]=T", "", "",
	  "T-missing msr:ce[63]@1", 1 },
	{ "F there", "haswell msr:ce=1", "sse3=x msr:ce[0]=F", "", "", "F-present msr:ce[0]@2", 1 },
	{ "F not there", "haswell msr:ce=2", "msr:ce[0]=F", "", "", "", 0 },
	{ "1 not there", "haswell", "msr:ce[0]=1", "", "", "forced msr:ce[0]@1", 0 },
	{ "1 there", "haswell msr:ce=1", "msr:ce[0]=1", "", "", "", 0 },
	{ "the others ask nothing", "haswell msr:ce=1", "msr:ce[0]=0 msr:ce[1]=H msr:ce[2]=R msr:ce[3]=x",
	  "", "", "", 0 },
	{ "with bits of CPUID", "haswell", "msr:ce[0]=T adx=T", "", "",
	  "T-missing 7.0:ebx[19]@2 T-missing msr:ce[0]@1", 2 },
};

Test(apply, msr_lines)
{
	run(msr_rows, COUNT(msr_rows));
}

static const struct row closure_rows[] = {
	{ "nothing to do", "sapphirerapids", "", "xsave avx " NEEDS_AVX " " NEEDS_AVX512, "", "",
	  0 },
	{ "XSAVE hides all that stands on it", "sapphirerapids", "xsave=0", "sse4.2 bmi2 gfni lm",
	  "xsave xsaveopt xsavec xgetbv1 xsaves avx vaes vpclmulqdq avx-vnni pku amx-tile amx-int8 "
	  "xstate-x87 xstate-sse xstate-avx xstate-pkru xstate-xtiledata " NEEDS_AVX
	  " " NEEDS_AVX512,
	  NULL, 0 },
	{ "AVX hides what needs its component", "sapphirerapids", "avx=0",
	  "xsave xsaveopt pku amx-tile xstate-sse xstate-pkru",
	  "avx vaes vpclmulqdq avx-vnni xstate-avx " NEEDS_AVX " " NEEDS_AVX512, NULL, 0 },
	{ "AVX, each with its cause", "haswell", "avx=0", "bmi2 xsave xstate-sse", "",
	  "closure 1.0:ecx[12]<AVX@1 closure 1.0:ecx[29]<AVX@1 closure 7.0:ebx[5]<AVX@1 "
	  "closure d.0:eax[2]<AVX@1",
	  0 },
	{ "a component hides its users", "haswell", "fma=x xstate-avx=0", "xsave xstate-sse",
	  "avx " NEEDS_AVX,
	  "closure 1.0:ecx[28]<XSTATE-AVX@2 closure 1.0:ecx[12]@1<AVX@2 "
	  "closure 1.0:ecx[29]<AVX@2 closure 7.0:ebx[5]<AVX@2",
	  0 },
	{ "a component without users goes", "zen3", "pku=R", "avx2", "pku xstate-pkru",
	  "closure d.0:eax[9]<PKU@1", 0 },
	{ "one of three components hides AVX-512 and the other two", "skylake-sp",
	  "xstate-opmask=0", "avx2", NEEDS_AVX512, NULL, 0 },
	{ "AVX2 goes without its sisters", "haswell", "avx2=0", "avx fma f16c xstate-avx", "avx2",
	  "", 0 },
	{ "the host lacks the parent: no line did it", "haswell -avx2 +vaes", "", "avx",
	  "avx2 vaes", "closure 7.0:ecx[9]<AVX2", 0 },
	{ "F clears, too", "haswell -avx2 +vaes", "avx2=F", "avx", "avx2 vaes",
	  "closure 7.0:ecx[9]<AVX2@1", 0 },
	{ "T child of a cleared parent", "haswell", "avx=0 avx2=T", "avx2", "avx fma",
	  "closure 1.0:ecx[12]<AVX@1 closure 1.0:ecx[29]<AVX@1 closure d.0:eax[2]<AVX@1 "
	  "T-orphan 7.0:ebx[5]@2<AVX@1",
	  1 },
	{ "T grandchild: the line in the end", "zen3", "avx=0 vaes=T", "vaes", "avx avx2",
	  "closure 1.0:ecx[12]<AVX@1 closure 1.0:ecx[29]<AVX@1 closure 7.0:ebx[5]<AVX@1 "
	  "closure 7.0:ecx[10]<AVX2@1 closure d.0:eax[2]<AVX@1 T-orphan 7.0:ecx[9]@2<AVX2@1",
	  1 },
	{ "1 child of a cleared parent stays", "haswell", "avx=0 avx2=1", "avx2", "avx fma",
	  "closure 1.0:ecx[12]<AVX@1 closure 1.0:ecx[29]<AVX@1 closure d.0:eax[2]<AVX@1 "
	  "orphan 7.0:ebx[5]@2<AVX@1",
	  0 },
	{ "1 child of one that stays", "zen3", "avx2=0 vaes=1 vpclmulqdq=x", "vaes",
	  "avx2 vpclmulqdq", "closure 7.0:ecx[10]@3<AVX2@1 orphan 7.0:ecx[9]@2<AVX2@1", 0 },
	{ "XSAVEOPT as 1 without XSAVE", "sandybridge", "avx=0 xstate-x87=0 xstate-sse=0 xsave=0 "
	  "xsaveopt=1", "xsaveopt", "xsave xstate-avx", NULL, 0 },
	{ "a forced component without a user stays", "sandybridge", "avx=0 xstate-avx=1",
	  "xstate-avx", "avx", "orphan d.0:eax[2]@2<AVX@1", 0 },
	{ "a T that the host lacks is told once, whatever else is missing", "haswell -avx -avx2",
	  "avx2=T fma=0 f16c=0 xstate-avx=0", "", "", "T-missing 7.0:ebx[5]@1", 1 },
	{ "an orphan is told once", "sapphirerapids", "none 7.0:ebx[16]=T", "avx512f", "",
	  "T-orphan 7.0:ebx[16]@2<AVX2", 1 },
	{ "SSE4.1 hides SSE4.2", "penryn +sse4.2", "sse4.1=0", "ssse3", "sse4.1 sse4.2",
	  "closure 1.0:ecx[20]<SSE4.1@1", 0 },
	{ "FXSR hides all of SSE and XSAVE, in whatever order the table has them", "sapphirerapids",
	  "fxsr=0", "mmx bmi2",
	  "fxsr sse sse2 sse4.2 aes lm xsave xsaveopt xsavec avx avx512f amx-tile pku xstate-x87 "
	  "xstate-pkru xstate-xtiledata cx16",
	  NULL, 0 },
	{ "LM hides what is 64-bit only", "haswell", "lm=0", "", "lm lahf64 cx16 pcid fsgsbase",
	  NULL, 0 },
	{ "copies of leaf 1 are no children", "zen3", "cx8=0 lm=0", "", "cx8 ext-cx8 cx16",
	  NULL, 0 },
	{ "APX needs its component", "sapphirerapids +apx-f +xstate-apx", "xstate-apx=0", "avx2",
	  "apx-f", "closure 7.1:edx[21]<XSTATE-APX@1", 0 },
	{ "the APX component needs APX", "sapphirerapids +apx-f +xstate-apx", "apx-f=0", "avx2",
	  "xstate-apx", "closure d.0:eax[19]<APX-F@1", 0 },
};

Test(apply, closure)
{
	run(closure_rows, COUNT(closure_rows));
}

static const struct {
	const char *name, *src, *mask, *feature;
	char effective;
} effective_rows[] = {
	{ "untouched", "haswell", "avx=0", "popcnt", 'H' },
	{ "the parent itself", "haswell", "avx=0", "avx", '0' },
	{ "child of 0", "haswell", "avx=0", "fma", '0' },
	{ "child of R", "haswell", "avx=R", "fma", 'R' },
	{ "component of R", "haswell", "avx=R", "xstate-avx", 'R' },
	{ "child of F", "haswell -avx +avx2", "avx=F", "avx2", '0' },
	{ "child of a missing H", "haswell -avx", "", "avx2", '0' },
	{ "grandchild of R", "zen3", "avx=R", "vaes", 'R' },
	{ "grandchild of 0", "zen3", "avx=0", "vaes", '0' },
	{ "T stays T", "haswell", "avx=0 avx2=T", "avx2", 'T' },
	{ "1 stays 1", "haswell", "avx=0 avx2=1", "avx2", '1' },
	{ "x child", "haswell", "avx=R fma=x", "fma", 'R' },
	{ "a child that the host lacks, too, of R", "sandybridge", "avx=R", "fma", 'R' },
	{ "a child that the host lacks, too, of 0", "sandybridge", "avx=0", "avx2", '0' },
	{ "its grandchild", "sandybridge", "avx=0", "vaes", '0' },
	{ "a child of what the host lacks keeps its symbol", "haswell -avx -avx2", "", "avx2", 'H' },
};

Test(apply, effective_symbols)
{
	for (size_t i = 0; i < COUNT(effective_rows); i++) {
		struct fixture f;
		char c;

		fixture_init(&f);
		make_policy(&f, effective_rows[i].src, effective_rows[i].mask, 1);
		c = effective(&f, effective_rows[i].feature);
		cr_expect_eq(c, effective_rows[i].effective, "row %s: %c", effective_rows[i].name,
			     c);
		fixture_finish(&f);
	}
}

/* The final mask is the user's: closure changes the effective one alone. */
/* Numbers go with the feature that they describe, unless the mask insists. */
Test(apply, numbers_of_hidden_features)
{
	static const struct {
		const char *name, *host, *mask;
		uint32_t leaf, subleaf, value;	/* EAX */
		char effective;			/* of its bit 0 */
	} rows[] = {
		{ "shown", "sapphirerapids 1d.1:eax=4002001", "", 0x1d, 1, 0x4002001, 'x' },
		{ "hidden by a line", "sapphirerapids 1d.1:eax=4002001", "amx-tile=0", 0x1d, 1, 0, '0' },
		{ "hidden by R: there is nothing to execute", "sapphirerapids 1d.1:eax=4002001", "amx-tile=R",
		  0x1d, 1, 0, '0' },
		{ "hidden by closure", "sapphirerapids 1d.1:eax=4002001", "xsave=0", 0x1d, 1, 0, '0' },
		{ "lacked", "haswell 1d.1:eax=4002001", "", 0x1d, 1, 0, '0' },
		{ "T", "sapphirerapids 1d.1:eax=4002001", "amx-tile=0 1d.1:eax=T", 0x1d, 1, 0xffffffff, 'T' },
		{ "1 in one bit", "sapphirerapids 1d.1:eax=4002001", "amx-tile=0 1d.1:eax[0]=1", 0x1d, 1, 1,
		  '1' },
		{ "R stays R", "sapphirerapids 1d.1:eax=4002001", "amx-tile=0 1d.1:eax=R", 0x1d, 1, 0, 'R' },
		{ "SVM's revision", "zen3 8000000a.0:eax=1", "svm=0", 0x8000000a, 0, 0, '0' },
		{ "of no feature", "skylake-sp 16.0:eax=f01", "avx=0", 0x16, 0, 0xf01, 'x' },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;

		fixture_init(&f);
		make_policy(&f, rows[i].host, rows[i].mask, 1);
		cr_expect_eq(mv_table_reg(&f.p->guest, rows[i].leaf, rows[i].subleaf, MV_EAX), rows[i].value,
			     "%s: 0x%x", rows[i].name,
			     mv_table_reg(&f.p->guest, rows[i].leaf, rows[i].subleaf, MV_EAX));
		cr_expect_eq(mv_sym_char(mv_mask_sym(&f.p->effective, rows[i].leaf, rows[i].subleaf, MV_EAX, 0)),
			     rows[i].effective, "%s", rows[i].name);
		fixture_finish(&f);
	}
}

Test(apply, closure_leaves_the_final_mask_alone)
{
	const struct mv_feature *fma = &mv_features[MV_F_FMA];
	struct fixture f;

	fixture_init(&f);
	make_policy(&f, "haswell", "avx=0", 1);
	cr_expect_eq(mv_mask_sym(&f.p->final, fma->leaf, fma->subleaf, fma->reg, fma->bit),
		     MV_SYM_H);
	fixture_finish(&f);
}

/* formats.md, 8.4: the whole area as the CPUs report it, and what is left of it under masks. */
static const struct {
	const char *name, *src, *mask;
	uint32_t size;
	const char *components;	/* subleaves from 2 */
} xsave_rows[] = {
	{ "Sandy Bridge", "sandybridge", "", 0x340, "2" },
	{ "Skylake-SP with PKU", "skylake-sp", "", 0xa88, "2 3 4 5 6 7 9" },
	{ "Skylake-SP without PKU", "skylake-sp", "pku=0", 0xa80, "2 3 4 5 6 7" },
	{ "Skylake-SP as a Skylake client", "skylake-sp", "pku=0 avx512f=0", 0x440, "2 3 4" },
	{ "Intel, AVX alone", "skylake-sp", "pku=0 avx512f=0 mpx=0", 0x340, "2" },
	{ "Intel, no AVX", "skylake-sp", "pku=0 avx=0 mpx=0", 0x240, "" },
	{ "Intel, PKU alone: the gap stays", "skylake-sp", "avx=0 mpx=0", 0xa88, "9" },
	{ "Sapphire Rapids", "sapphirerapids", "", 0x2b00, "2 5 6 7 9 17 18" },
	{ "Sapphire Rapids without AMX", "sapphirerapids", "amx-tile=0", 0xa88, "2 5 6 7 9" },
	{ "Zen 2", "zen2", "", 0x340, "2" },
	{ "Zen 2 with PKU", "zen2 +pku", "", 0x380, "2 9" },
	{ "Zen 3", "zen3", "", 0x988, "2 9" },
	{ "Zen 4", "zen4", "", 0x988, "2 5 6 7 9" },
	{ "Zen 4 without PKU", "zen4", "pku=0", 0x980, "2 5 6 7" },
	{ "Zen 4 without AVX-512 and PKU", "zen4", "avx512f=0 pku=0", 0x340, "2" },
	{ "the mask's own word on the sizes does not count", "sandybridge",
	  "d.0:ecx=0 d.2:eax=0 d.2:ebx=1", 0x340, "2" },
	{ "no XSAVE, no leaf", "skylake-sp", "xsave=0", 0, "" },
	{ "an unnamed component does not outlive XSAVE", "skylake-sp d.0:eax=100002ff", "xsave=0",
	  0, "" },
};

Test(apply, xsave_leaf)
{
	for (size_t i = 0; i < COUNT(xsave_rows); i++) {
		char components[128] = "";
		struct fixture f;

		fixture_init(&f);
		cr_assert_eq(make_policy(&f, xsave_rows[i].src, xsave_rows[i].mask, 1), 0);
		cr_expect_eq(mv_table_reg(&f.p->guest, 0xd, 0, MV_ECX), xsave_rows[i].size,
			     "row %s: 0x%x", xsave_rows[i].name,
			     mv_table_reg(&f.p->guest, 0xd, 0, MV_ECX));
		for (uint32_t n = 2; n < 64; n++)
			if (mv_table_find(&f.p->guest, 0xd, n))
				sprintf(components + strlen(components), "%s%u",
					*components ? " " : "", n);
		cr_expect_str_eq(components, xsave_rows[i].components, "row %s: %s",
				 xsave_rows[i].name, components);
		if (xsave_rows[i].size) {
			cr_expect_eq(mv_table_reg(&f.p->guest, 0xd, 0, MV_EBX), 576, "row %s",
				     xsave_rows[i].name);
		} else {
			cr_expect(!mv_table_find(&f.p->guest, 0xd, 0), "row %s", xsave_rows[i].name);
			cr_expect(!mv_table_find(&f.p->guest, 0xd, 1), "row %s", xsave_rows[i].name);
		}
		fixture_finish(&f);
	}
}

Test(apply, xsave_leaf_of_forced_orphans)
{
	struct fixture f;

	fixture_init(&f);
	make_policy(&f, "sandybridge", "xsave=0 xsaveopt=1 d.0:eax[20]=1", 1);
	cr_expect_eq(mv_table_reg(&f.p->guest, 0xd, 0, MV_EAX), 1u << 20);
	cr_expect_eq(mv_table_reg(&f.p->guest, 0xd, 0, MV_EBX), 0);
	cr_expect_eq(mv_table_reg(&f.p->guest, 0xd, 0, MV_ECX), 0);
	cr_expect_eq(mv_table_reg(&f.p->guest, 0xd, 1, MV_EAX), 1);
	fixture_finish(&f);
}

static const struct {
	const char *name, *src, *mask;
	uint32_t leaf, subleaf7, ext;
} max_rows[] = {
	{ "Haswell: leaf 0xD is the last visible one", "haswell", "", 0xd, 0, 0x80000008 },
	{ "without XSAVE", "haswell", "xsave=0", 7, 0, 0x80000008 },
	{ "without leaf 7", "haswell", "xsave=0 7.0:ebx=0", 4, 0, 0x80000008 },
	{ "leaf 7 subleaf 1", "sapphirerapids", "", 0xd, 1, 0x80000008 },
	{ "leaf 7 subleaf 1 hidden", "sapphirerapids", "7.1:eax=0", 0xd, 0, 0x80000008 },
	{ "AMD's extended leaves", "zen3", "", 0xd, 0, 0x8000001e },
	{ "without TOPOEXT", "zen3", "topoext=0", 0xd, 0, 0x8000001d },
	{ "without address sizes", "haswell", "80000008.0:eax=0 80000007.0:edx=0", 0xd, 0,
	  0x80000002 },
	{ "the leaf that holds the maximum is hidden", "haswell", "80000000.0:eax=0", 0xd, 0,
	  0x80000008 },
	{ "no extended leaf", "none", "", 0, 0, 0 },
	{ "a forced bit does not raise it above the host's", "haswell", "24.0:ebx[16]=1", 0xf, 0,
	  0x80000008 },
	{ "nor in leaf 7", "haswell", "7.2:edx[5]=1", 0xd, 0, 0x80000008 },
	{ "nor in extended leaves", "haswell", "80000021.0:eax[2]=1", 0xd, 0, 0x80000008 },
	{ "a line fixes it", "haswell", "field:max-leaf=0x16 field:max-ext-leaf=0x80000004", 0x16,
	  0, 0x80000004 },
	{ "a host that claims less than it lists", "haswell max-leaf=7", "", 7, 0, 0x80000008 },
};

Test(apply, max_leaves)
{
	for (size_t i = 0; i < COUNT(max_rows); i++) {
		struct fixture f;
		bool none = !strcmp(max_rows[i].src, "none");

		fixture_init(&f);
		cr_assert_eq(make_policy(&f, none ? "haswell" : max_rows[i].src,
					 none ? "none 0.0:eax=x" : max_rows[i].mask, 1), 0);
		cr_expect_eq(mv_table_field(&f.p->guest, MV_FIELD_MAX_LEAF), max_rows[i].leaf,
			     "row %s: 0x%x", max_rows[i].name,
			     mv_table_field(&f.p->guest, MV_FIELD_MAX_LEAF));
		cr_expect_eq(mv_table_field(&f.p->guest, MV_FIELD_MAX_SUBLEAF_7),
			     max_rows[i].subleaf7, "row %s", max_rows[i].name);
		cr_expect_eq(mv_table_field(&f.p->guest, MV_FIELD_MAX_EXT_LEAF), max_rows[i].ext,
			     "row %s: 0x%x", max_rows[i].name,
			     mv_table_field(&f.p->guest, MV_FIELD_MAX_EXT_LEAF));
		fixture_finish(&f);
	}
}

/* KVM would answer from an entry that is there, whatever the maximum says. */
Test(apply, nothing_beyond_the_maxima)
{
	static const struct {
		const char *name, *src, *mask;
		uint32_t kept, kept_sub, gone, gone_sub;
	} rows[] = {
		{ "basic", "haswell", "field:max-leaf=4", 4, 0, 7, 0 },
		{ "basic, a list", "haswell", "field:max-leaf=7", 7, 0, 0xd, 1 },
		{ "extended", "haswell", "field:max-ext-leaf=0x80000004", 0x80000002, 0, 0x80000008, 0 },
		{ "subleaves of leaf 7", "sapphirerapids", "field:max-subleaf-7=0", 7, 0, 7, 1 },
		{ "hypervisor", "haswell 40000000.0:eax=40000000", "", 0x40000000, 0, 0x40000001, 0 },
		{ "a forced bit above the host's maximum", "haswell", "80000021.0:eax[2]=1", 0x80000008,
		  0, 0x80000021, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;

		fixture_init(&f);
		cr_assert_eq(make_policy(&f, rows[i].src, rows[i].mask, 1), 0);
		cr_expect(mv_table_find(&f.p->guest, rows[i].kept, rows[i].kept_sub), "row %s",
			  rows[i].name);
		cr_expect(!mv_table_find(&f.p->guest, rows[i].gone, rows[i].gone_sub), "row %s",
			  rows[i].name);
		fixture_finish(&f);
	}
}

static const struct {
	const char *name, *src, *mask;
	const char *visible, *hidden;
} mirror_rows[] = {
	{ "AMD: as leaf 1", "zen3", "", "ext-fpu ext-cx8 ext-mmx ext-fxsr", "" },
	{ "AMD: one hidden in leaf 1", "zen3", "mtrr=0", "ext-mca", "mtrr ext-mtrr" },
	{ "AMD: only the copy is hidden", "zen3", "ext-mtrr=0", "mtrr ext-mtrr", "" },
	{ "AMD: the copy is 1", "zen3", "mtrr=0 ext-mtrr=1", "", "mtrr ext-mtrr" },
	{ "Intel has none", "haswell", "", "fpu mtrr", "ext-fpu ext-mtrr ext-cx8" },
	{ "Intel has none, not even forced", "haswell", "ext-fpu=1", "fpu", "ext-fpu" },
	{ "bits that are no copies", "zen3", "", "syscall nx lm mmxext", "" },
};

Test(apply, mirror_bits)
{
	for (size_t i = 0; i < COUNT(mirror_rows); i++) {
		struct fixture f;
		const char *bad;

		fixture_init(&f);
		make_policy(&f, mirror_rows[i].src, mirror_rows[i].mask, 1);
		bad = exception(&f, mirror_rows[i].visible, true);
		cr_expect(!bad, "row %s: %s is hidden", mirror_rows[i].name, bad);
		bad = exception(&f, mirror_rows[i].hidden, false);
		cr_expect(!bad, "row %s: %s is visible", mirror_rows[i].name, bad);
		cr_expect_eq(f.notes->refusals, 0, "row %s", mirror_rows[i].name);
		fixture_finish(&f);
	}
}

Test(apply, dynamic_bits_are_clear)
{
	struct fixture f;

	fixture_init(&f);
	make_policy(&f, "skylake-sp +osxsave +ospke", "osxsave=1 ospke=x", 1);
	cr_expect(!guest_has(&f, "osxsave"));
	cr_expect(!guest_has(&f, "ospke"));
	fixture_finish(&f);
}

static const struct {
	const char *name, *src, *mask;
	uint32_t phys, family;
} field_rows[] = {
	{ "no line", "skylake-sp", "", 46, 6 },
	{ "phys-bits", "skylake-sp", "field:phys-bits=40", 40, 6 },
	{ "beats the register's symbols", "skylake-sp", "80000008.0:eax=0 field:phys-bits=40", 40,
	  6 },
	{ "two lines", "skylake-sp", "field:phys-bits=40 field:family=15", 40, 15 },
};

Test(apply, field_lines)
{
	for (size_t i = 0; i < COUNT(field_rows); i++) {
		struct fixture f;

		fixture_init(&f);
		make_policy(&f, field_rows[i].src, field_rows[i].mask, 1);
		cr_expect_eq(mv_table_field(&f.p->guest, MV_FIELD_PHYS_BITS), field_rows[i].phys,
			     "row %s", field_rows[i].name);
		cr_expect_eq(mv_table_field(&f.p->guest, MV_FIELD_FAMILY), field_rows[i].family,
			     "row %s", field_rows[i].name);
		cr_expect_eq(f.notes->n, 0, "row %s", field_rows[i].name);
		fixture_finish(&f);
	}
}

Test(apply, field_line_in_the_effective_mask)
{
	struct fixture f;
	const struct mv_mask_reg *r;
	char text[MV_MASK_TEXT];

	fixture_init(&f);
	make_policy(&f, "skylake-sp", "field:phys-bits=40", 1);
	r = mv_mask_find(&f.p->effective, 0x80000008, 0, MV_EAX);
	mv_mask_reg_format(r, text);
	cr_expect_str_eq(text, "xxxx xxxx xxxx xxxx xxxx xxxx 0010 1000", "%s", text);
	cr_expect_eq(r->at[5], MV_AT(0, 1));
	fixture_finish(&f);
}

/* ---- order, size ---- */

Test(apply, hot_leaves_first_and_no_empty_entries)
{
	static const uint32_t first[] = { 1, 7, 7, 0xd, 0xd, 0, 0x80000001 };
	static const char *const hosts[] = { "penryn", "haswell", "sapphirerapids", "zen4" };
	struct fixture f;

	fixture_init(&f);
	make_policy(&f, "sapphirerapids", "", 1);
	for (size_t i = 0; i < COUNT(first); i++)
		cr_expect_eq(f.p->guest.e[i].leaf, first[i], "entry %zu: 0x%x", i,
			     f.p->guest.e[i].leaf);
	for (size_t h = 0; h < COUNT(hosts); h++) {
		make_policy(&f, hosts[h], "", 1);
		for (uint32_t i = 0; i < f.p->guest.n; i++) {
			const struct mv_leaf *e = &f.p->guest.e[i];

			/* CPU 0's extended topology is all zero, and means it. */
			if (e->leaf != 0x8000001e)
				cr_expect(e->reg[0] | e->reg[1] | e->reg[2] | e->reg[3],
					  "host %s, leaf 0x%x.%x", hosts[h], e->leaf, e->subleaf);
			for (uint32_t j = 0; j < i; j++)
				cr_expect(e->leaf != f.p->guest.e[j].leaf ||
						  e->subleaf != f.p->guest.e[j].subleaf,
					  "host %s, leaf 0x%x.%x twice", hosts[h], e->leaf,
					  e->subleaf);
		}
	}
	fixture_finish(&f);
}

/*
 * A mask that shows as many leaves as a table holds. What comes after the registers (components,
 * number lines, topology, maxima) needs room for 12 more: whatever step finds none, it is an error.
 */
Test(apply, overflow_is_an_error)
{
	static const uint32_t seeds[][3] = { { 1, 0, MV_ECX }, { 0xd, 0, MV_EAX },
					     { 0x80000001, 0, MV_ECX }, { 7, 0, MV_EBX },
					     { 7, 0, MV_ECX }, { 1, 0, MV_EDX },
					     { 0x80000001, 0, MV_EDX }, { 0xb, 0, MV_EAX } };
	struct fixture f;
	bool failed = false;

	fixture_init(&f);
	for (uint32_t room = 20; room <= 20; room--) {
		int rc;

		make_policy(&f, "zen4", "none field:phys-bits=40", 1);
		for (size_t i = 0; i < COUNT(seeds); i++)
			for (unsigned bit = 0; bit < 32; bit++)
				mv_mask_reg_set(mv_mask_add(&f.p->final, seeds[i][0], seeds[i][1],
							    seeds[i][2], MV_VENDOR_OTHER),
						bit, MV_SYM_X, 0);
		/* The seeds are five entries, of which 0xB is there in the end alone. */
		for (uint32_t i = 0; i < MV_TABLE_MAX - 4 - room; i++)
			mv_mask_reg_set(mv_mask_add(&f.p->final, 0x20000000 + i, 0, MV_EAX,
						    MV_VENDOR_OTHER),
					0, MV_SYM_1, 0);
		rc = mv_apply(f.p, 1, f.notes, &f.err);
		cr_expect(rc == 0 || rc == -MV_E_INPUT, "room for %u: %d", room, rc);
		cr_expect_eq(f.err.code, -rc, "room for %u", room);
		cr_expect_leq(f.p->guest.n, MV_TABLE_MAX, "room for %u", room);
		if (room == 20)
			cr_expect_eq(rc, 0, "room for %u", room);
		if (room == 0)
			cr_expect_eq(rc, -MV_E_INPUT, "room for %u", room);
		cr_expect(!failed || rc, "room for %u is enough, for %u not", room, room + 1);
		failed = rc != 0;
		memset(&f.err, 0, sizeof(f.err));
	}
	fixture_finish(&f);
}

Test(apply, more_notes_than_are_kept_are_counted)
{
	struct fixture f;
	uint32_t registers = MV_NOTES / 32 + 2;

	fixture_init(&f);
	make_policy(&f, "haswell", "none", 1);
	for (uint32_t i = 0; i < registers; i++) {
		struct mv_mask_reg *r =
			mv_mask_add(&f.p->final, 0x100 + i, 0, MV_EAX, MV_VENDOR_OTHER);

		for (unsigned bit = 0; bit < 32; bit++)
			mv_mask_reg_set(r, bit, MV_SYM_T, 0);
	}
	cr_expect_eq(mv_apply(f.p, 1, f.notes, NULL), 0);
	cr_expect_eq(f.notes->n, MV_NOTES);
	cr_expect_eq(f.notes->refusals, registers * 32);
	fixture_finish(&f);
}

/* ---- topology ---- */

static const struct {
	const char *name, *src;
	unsigned cpu, ncpus;
	uint32_t count, apic, htt, cmp_legacy;
	uint32_t shift, level1;		/* 0xB */
	uint32_t nc;			/* 0x80000008 ECX, AMD */
	uint32_t sharing0, sharing3;	/* leaf 4 or 0x8000001D, EAX[25:14] */
} topology_rows[] = {
	{ "Intel, 1 CPU", "haswell", 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0 },
	{ "Intel, 2 CPUs", "haswell", 1, 2, 2, 1, 1, 0, 1, 2, 0, 0, 1 },
	{ "Intel, 3 CPUs", "haswell", 2, 3, 3, 2, 1, 0, 2, 3, 0, 0, 2 },
	{ "Intel, 4 CPUs", "haswell", 3, 4, 4, 3, 1, 0, 2, 4, 0, 0, 3 },
	{ "AMD, 1 CPU", "zen3", 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0 },
	{ "AMD, 2 CPUs", "zen3", 1, 2, 2, 1, 1, 1, 1, 2, 0x1001, 0, 1 },
	{ "AMD, 4 CPUs", "zen3", 2, 4, 4, 2, 1, 1, 2, 4, 0x2003, 0, 3 },
};

Test(apply, topology)
{
	for (size_t i = 0; i < COUNT(topology_rows); i++) {
		const char *name = topology_rows[i].name;
		unsigned cpu = topology_rows[i].cpu, ncpus = topology_rows[i].ncpus;
		struct mv_table t;
		struct fixture f;
		bool amd;
		uint32_t cache;

		fixture_init(&f);
		make_policy(&f, topology_rows[i].src, "", ncpus);
		amd = mv_table_vendor(&f.p->guest) == MV_VENDOR_AMD;
		cache = amd ? 0x8000001d : 4;
		mv_table_for_cpu(&t, &f.p->guest, cpu);
		cr_expect_eq(mv_table_field(&t, MV_FIELD_CPU_COUNT), topology_rows[i].count, "row %s",
			     name);
		cr_expect_eq(mv_table_field(&t, MV_FIELD_APIC_ID), topology_rows[i].apic, "row %s",
			     name);
		cr_expect_eq(mv_table_has(&t, MV_F_HTT), topology_rows[i].htt, "row %s", name);
		cr_expect_eq(mv_table_has(&t, MV_F_CMP_LEGACY), topology_rows[i].cmp_legacy, "row %s",
			     name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 0, MV_EBX), 1, "row %s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 0, MV_ECX), 0x100, "row %s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 1, MV_EAX), topology_rows[i].shift, "row %s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 1, MV_EBX), topology_rows[i].level1, "row %s",
			     name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 1, MV_ECX), 0x201, "row %s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 0, MV_EDX), cpu, "row %s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 1, MV_EDX), cpu, "row %s", name);
		cr_expect_eq(mv_table_reg(&t, 0x80000008, 0, MV_ECX), topology_rows[i].nc,
			     "row %s: 0x%x", name, mv_table_reg(&t, 0x80000008, 0, MV_ECX));
		cr_expect_eq(mv_table_reg(&t, cache, 0, MV_EAX) >> 14 & 0xfff,
			     topology_rows[i].sharing0, "row %s", name);
		cr_expect_eq(mv_table_reg(&t, cache, 3, MV_EAX) >> 14 & 0xfff,
			     topology_rows[i].sharing3, "row %s", name);
		if (amd) {
			cr_expect_eq(mv_table_reg(&t, 0x8000001e, 0, MV_EAX), cpu, "row %s", name);
			cr_expect_eq(mv_table_reg(&t, 0x8000001e, 0, MV_EBX), cpu, "row %s", name);
			cr_expect_eq(mv_table_reg(&t, 0x8000001e, 0, MV_ECX), 0, "row %s", name);
		} else {
			cr_expect_eq(mv_table_reg(&t, 4, 3, MV_EAX) >> 26, ncpus - 1, "row %s", name);
		}
		fixture_finish(&f);
	}
}

/* APIC id = ((socket * cores) + core) * threads + thread. */
Test(apply, given_topology)
{
	static const struct {
		const char *name, *src;
		struct mv_topology t;
		unsigned cpu;
		uint32_t count, htt, b0_eax, b0_ebx, b1_eax, b1_ebx, l4_cores, sharing0, sharing3, nc, e1_ebx, e1_ecx;
	} rows[] = {
		{ "Intel 1x2x2", "haswell", { 1, 2, 2 }, 3, 4, 1, 1, 2, 2, 4, 1, 1, 3, 0, 0, 0 },
		{ "Intel 2x2x1", "haswell", { 2, 2, 1 }, 3, 2, 1, 0, 1, 1, 2, 1, 0, 1, 0, 0, 0 },
		{ "Intel 4x1x1", "haswell", { 4, 1, 1 }, 2, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0 },
		{ "Intel 1x3x2", "haswell", { 1, 3, 2 }, 5, 6, 1, 1, 2, 3, 6, 2, 1, 5, 0, 0, 0 },
		{ "AMD 1x2x2", "zen3", { 1, 2, 2 }, 3, 4, 1, 1, 2, 2, 4, 0, 1, 3, 0x2003, 0x101, 0 },
		{ "AMD 2x2x2", "zen3", { 2, 2, 2 }, 6, 4, 1, 1, 2, 2, 4, 0, 1, 3, 0x2003, 0x101, 1 },
		{ "AMD 2x4x1", "zen3", { 2, 4, 1 }, 6, 4, 1, 0, 1, 2, 4, 0, 0, 3, 0x2003, 0x2, 1 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *name = rows[i].name;
		struct mv_table t;
		struct fixture f;
		bool amd;
		uint32_t cache;

		fixture_init(&f);
		make_policy(&f, rows[i].src, "", rows[i].t.sockets * rows[i].t.cores * rows[i].t.threads);
		mv_table_set_topology(&f.p->guest, &rows[i].t);
		mv_table_for_cpu(&t, &f.p->guest, rows[i].cpu);
		amd = mv_table_vendor(&t) == MV_VENDOR_AMD;
		cache = amd ? 0x8000001d : 4;
		cr_expect_eq(mv_table_field(&t, MV_FIELD_CPU_COUNT), rows[i].count, "%s", name);
		cr_expect_eq(mv_table_field(&t, MV_FIELD_APIC_ID), rows[i].cpu, "%s", name);
		cr_expect_eq(mv_table_has(&t, MV_F_HTT), rows[i].htt, "%s", name);
		cr_expect_eq(mv_table_has(&t, MV_F_CMP_LEGACY), amd && rows[i].htt, "%s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 0, MV_EAX), rows[i].b0_eax, "%s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 0, MV_EBX), rows[i].b0_ebx, "%s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 0, MV_ECX), 0x100, "%s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 1, MV_EAX), rows[i].b1_eax, "%s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 1, MV_EBX), rows[i].b1_ebx, "%s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 1, MV_ECX), 0x201, "%s", name);
		cr_expect_eq(mv_table_reg(&t, 0xb, 1, MV_EDX), rows[i].cpu, "%s", name);
		cr_expect_eq(amd ? 0 : mv_table_reg(&t, 4, 0, MV_EAX) >> 26, rows[i].l4_cores, "%s", name);
		cr_expect_eq(mv_table_reg(&t, cache, 0, MV_EAX) >> 14 & 0xfff, rows[i].sharing0, "%s", name);
		cr_expect_eq(mv_table_reg(&t, cache, 3, MV_EAX) >> 14 & 0xfff, rows[i].sharing3, "%s", name);
		cr_expect_eq(mv_table_reg(&t, 0x80000008, 0, MV_ECX), rows[i].nc, "%s", name);
		cr_expect_eq(mv_table_reg(&t, 0x8000001e, 0, MV_EBX), rows[i].e1_ebx, "%s: 0x%x", name,
			     mv_table_reg(&t, 0x8000001e, 0, MV_EBX));
		cr_expect_eq(mv_table_reg(&t, 0x8000001e, 0, MV_ECX), rows[i].e1_ecx, "%s", name);
		fixture_finish(&f);
	}
}

Test(apply, guest_table_is_cpu_0s)
{
	struct mv_table t;
	struct fixture f;

	fixture_init(&f);
	make_policy(&f, "zen3", "", 4);
	mv_table_for_cpu(&t, &f.p->guest, 0);
	cr_expect_eq(t.n, f.p->guest.n);
	cr_expect_arr_eq(t.e, f.p->guest.e, t.n * sizeof(t.e[0]));
	fixture_finish(&f);
}

/* Which topology leaves there are must not depend on the host CPU that was asked, or on its own. */
Test(apply, topology_leaves)
{
	static const struct {
		const char *name, *src, *mask;
		bool leaf_b, leaf_1e;
	} rows[] = {
		{ "Haswell", "haswell", "", true, false },
		{ "KVM gives zeros", "haswell b.0:eax=0 b.0:ebx=0 b.0:ecx=0 b.0:edx=0", "", true,
		  false },
		{ "hidden", "haswell", "b.0:eax=0 b.0:ebx=0 b.0:ecx=R b.0:edx=0 b.1:eax=0 "
		  "b.1:ebx=0 b.1:ecx=0 b.1:edx=0", false, false },
		{ "not if it were the highest leaf", "haswell", "xsave=0", false, false },
		{ "not on a host without", "penryn", "", false, false },
		{ "0x1F would say the same", "sapphirerapids 1f.0:ebx=2", "", true, false },
		{ "0x80000026 would say the same", "zen4 80000026.0:ebx=2", "", true, true },
		{ "Zen", "zen3 80000001.0:eax=0 8000001e.0:eax=0 8000001e.0:ebx=0 8000001e.0:ecx=0",
		  "", true, true },
		{ "Zen without TOPOEXT", "zen3", "topoext=0", true, false },
	};
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < COUNT(rows); i++) {
		make_policy(&f, rows[i].src, rows[i].mask, 2);
		cr_expect_eq(mv_table_find(&f.p->guest, 0xb, 0) != NULL, rows[i].leaf_b, "row %s",
			     rows[i].name);
		cr_expect_eq(mv_table_find(&f.p->guest, 0xb, 1) != NULL, rows[i].leaf_b, "row %s",
			     rows[i].name);
		cr_expect_eq(mv_table_find(&f.p->guest, 0x8000001e, 0) != NULL, rows[i].leaf_1e,
			     "row %s", rows[i].name);
		cr_expect(!mv_table_find(&f.p->guest, 0x1f, 0), "row %s", rows[i].name);
		cr_expect(!mv_table_find(&f.p->guest, 0x80000026, 0), "row %s", rows[i].name);
	}
	fixture_finish(&f);
}

/* A VM is accepted where it runs: what apply makes of a host, that host has. */
Test(apply, a_vm_is_accepted_on_its_own_host)
{
	static const char *const hosts[] = { "merom",	"penryn",  "sandybridge", "haswell",
					     "skylake-sp", "cascadelake", "icelake",
					     "sapphirerapids", "zen2", "zen3", "zen4",
					     "zen4 kernel=0 patch=3", "sapphirerapids kernel=0 xcr0=7" };
	static const char *const masks[] = { "", "xsave=0", "avx=R", "sse4.1=0", "lm=0", "=x",
					     "sse2=F sha=1 24.0:ebx[16]=1", "field:phys-bits=36" };
	struct fixture f;

	fixture_init(&f);
	for (size_t h = 0; h < COUNT(hosts); h++)
		for (size_t m = 0; m < COUNT(masks); m++) {
			struct mv_verdict_opts opts = {
				.ignore = m == 6 ? "sse2,interception" : "interception"
			};

			cr_expect_eq(make_verdict(&f, hosts[h], masks[m], hosts[h], &opts), 0);
			cr_expect_eq(f.v->refusals, 0, "host %s, mask %s: %s", hosts[h], masks[m],
				     verdict_text(f.v));
		}
	fixture_finish(&f);
}
