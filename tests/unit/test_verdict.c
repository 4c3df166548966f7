/* SPDX-License-Identifier: MIT */
/*
 * The comparator, rule by rule: each row is a VM's host and mask, a destination, and exactly the
 * mismatches that come of it. support.h has the notation.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quick.h"
#include "support.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct row {
	const char *name;
	const char *src, *mask, *dst;
	const char *guide;	/* NULL: not looked at */
	const char *subset;	/* NULL: the same as under the guide's rule */
};

/* Each row under both rules; what the guide's verdict says of the other rule must be so. */
static void run_with(const struct row *rows, size_t n, bool cold, const char *ignore)
{
	for (const struct row *r = rows; r < rows + n; r++) {
		struct mv_verdict_opts opts = { .cold = cold, .ignore = ignore };
		struct fixture f;
		uint32_t promised;

		fixture_init(&f);
		cr_expect_eq(make_verdict(&f, r->src, r->mask, r->dst, &opts), 0, "row %s", r->name);
		promised = f.v->subset_refusals;
		if (r->guide)
			cr_expect_str_eq(verdict_text(f.v), r->guide, "row %s: %s", r->name,
					 verdict_text(f.v));
		opts.mode = MV_VERDICT_SUBSET;
		cr_expect_eq(mv_verdict(f.v, f.p, f.dst, &opts, NULL), 0, "row %s", r->name);
		cr_expect_str_eq(verdict_text(f.v), r->subset ? r->subset : r->guide,
				 "row %s, subset: %s", r->name, verdict_text(f.v));
		cr_expect_eq(f.v->refusals, promised, "row %s: %u and %u", r->name, f.v->refusals,
			     promised);
		fixture_finish(&f);
	}
}

static void run(const struct row *rows, size_t n)
{
	run_with(rows, n, false, NULL);
}

static const struct row symbol_rows[] = {
	{ "the same host accepts", "skylake-sp", "", "skylake-sp", "", NULL },
	{ "the same AMD host accepts", "zen4", "", "zen4", "", NULL },

	{ "T there", "skylake-sp", "sse4.1=T", "skylake-sp", "", NULL },
	{ "T missing", "skylake-sp", "sse4.1=T", "skylake-sp -sse4.1", "symbol 1.0:ecx[19]", NULL },
	{ "T looks at the offer, not at raw", "skylake-sp", "sse4.1=T", "skylake-sp kvm-sse4.1",
	  "symbol 1.0:ecx[19]", NULL },
	{ "T is not content with exec", "skylake-sp", "sse4.1=T",
	  "skylake-sp -sse4.1 exec+sse4.1", "symbol 1.0:ecx[19]", NULL },
	{ "T in bit 31", "skylake-sp", "avx512vl=T", "skylake-sp -avx512vl", "symbol 7.0:ebx[31]",
	  NULL },

	{ "F absent", "skylake-sp", "sha=F", "skylake-sp", "", NULL },
	{ "F present", "skylake-sp", "sha=F", "skylake-sp +sha", "symbol 7.0:ebx[29]", NULL },
	{ "F present in raw alone", "skylake-sp", "sha=F", "skylake-sp raw+sha",
	  "symbol 7.0:ebx[29]", NULL },
	{ "F seen to execute", "skylake-sp", "sha=F", "skylake-sp exec+sha", "symbol 7.0:ebx[29]",
	  NULL },
	{ "F does not look at the offer", "skylake-sp", "sha=F", "skylake-sp kvm+sha", "", NULL },

	{ "H lost", "skylake-sp", "", "skylake-sp -popcnt", "symbol 1.0:ecx[23]", NULL },
	{ "H gained", "skylake-sp -popcnt", "", "skylake-sp", "symbol 1.0:ecx[23]~", "" },
	{ "H looks at the offers, not at raw", "skylake-sp", "",
	  "skylake-sp raw-popcnt exec+sha", "", NULL },
	{ "H in bit 31, lost", "skylake-sp", "", "skylake-sp -avx512vl", "symbol 7.0:ebx[31]",
	  NULL },
	{ "H in bit 31, gained", "skylake-sp -avx512vl", "", "skylake-sp", "symbol 7.0:ebx[31]~",
	  "" },
	{ "H on a reserved bit", "skylake-sp", "1.0:ecx[16]=H", "skylake-sp 1.0:ecx=f7fffbff",
	  "symbol 1.0:ecx[16]", NULL },
	{ "all that differs is listed", "skylake-sp", "", "skylake-sp -popcnt -sse4.1 -adx -lzcnt",
	  "symbol 1.0:ecx[19] symbol 1.0:ecx[23] symbol 7.0:ebx[19] symbol 80000001.0:ecx[5]",
	  NULL },

	{ "R, executes on both", "skylake-sp", "popcnt=R", "skylake-sp", "", NULL },
	{ "R hidden-only, lost", "skylake-sp", "popcnt=R", "skylake-sp -popcnt",
	  "symbol 1.0:ecx[23]", NULL },
	{ "R hidden-only, gained", "skylake-sp -popcnt", "popcnt=R", "skylake-sp",
	  "symbol 1.0:ecx[23]~", "" },
	{ "R looks at raw, not at the offers", "skylake-sp kvm-popcnt", "popcnt=R", "skylake-sp",
	  "", NULL },
	{ "R counts what was seen to execute on the source", "skylake-sp exec+sha", "sha=R",
	  "skylake-sp", "symbol 7.0:ebx[29]", NULL },
	{ "R counts what was seen to execute on the destination", "skylake-sp +sha", "sha=R",
	  "skylake-sp exec+sha", "", NULL },
	{ "R enforced by CR4", "skylake-sp", "smep=R", "skylake-sp -smep", "symbol 7.0:ebx[7]~",
	  "" },
	{ "R on RDRAND, VMX can intercept it", "skylake-sp", "rdrand=R", "skylake-sp -rdrand",
	  "symbol 1.0:ecx[30]~", "" },
	{ "R on RDRAND, SVM can't", "zen3", "rdrand=R", "zen3 -rdrand", "symbol 1.0:ecx[30]",
	  NULL },
	{ "R on a bit that only describes", "skylake-sp", "erms=R", "skylake-sp -erms",
	  "symbol 7.0:ebx[9]~", "" },
	{ "R on AVX: XCR0 enforces it", "sandybridge", "avx=R", "sandybridge -avx",
	  "symbol 1.0:ecx[28]~", "" },
	{ "R on AVX2 while AVX is shown: one XCR0 bit for both", "haswell", "avx2=R",
	  "haswell -avx2", "symbol 7.0:ebx[5]", NULL },
	{ "R on RDTSCP while RDPID is shown: one control for both", "icelake", "rdtscp=R",
	  "icelake -rdtscp", "symbol 80000001.0:edx[27]", NULL },
	{ "R on a source that enforces nothing", "skylake-sp kernel=0 patch=3", "smep=R",
	  "skylake-sp raw-smep", "symbol 7.0:ebx[7]", NULL },
	{ "R on a reserved bit", "skylake-sp", "1.0:ecx[16]=R", "skylake-sp 1.0:ecx=f7fffbff",
	  "symbol 1.0:ecx[16]", NULL },

	{ "x, 0 and 1 compare nothing", "skylake-sp", "popcnt=x sse4.2=0 sse4.1=1",
	  "skylake-sp -popcnt -sse4.2 -sse4.1", "", NULL },
	{ "a register that the mask does not name", "skylake-sp", "none", "skylake-sp -popcnt", "",
	  NULL },

	{ "effective 0: what needs AVX goes with it", "haswell", "avx=0",
	  "haswell -avx -avx2 -fma -f16c -xstate-avx", "", NULL },
	{ "effective R: what needs AVX is compared with it", "haswell", "avx=R", "haswell -avx2",
	  "symbol 7.0:ebx[5]~", "" },
	{ "AVX hidden, BMI2 is not part of it", "haswell", "avx=0",
	  "haswell -avx -avx2 -fma -f16c -xstate-avx -bmi2", "symbol 7.0:ebx[8]", NULL },
};

Test(verdict, symbols)
{
	run(symbol_rows, COUNT(symbol_rows));
}

/* Appendix C: ID1ECX of the guide's two hosts. */
static const struct row guide_rows[] = {
	{ "default H: refused for exactly SSE4.1", "penryn 1.0:ecx=8e3bd", "",
	  "penryn 1.0:ecx=e3bd", "symbol 1.0:ecx[19]", NULL },
	{ "the other way the guide refuses, too", "penryn 1.0:ecx=e3bd", "",
	  "penryn 1.0:ecx=8e3bd", "symbol 1.0:ecx[19]~", "" },
	{ "0 at bit 19: accepted", "penryn 1.0:ecx=8e3bd", "sse4.1=0", "penryn 1.0:ecx=e3bd", "",
	  NULL },
	{ "R at bit 19: refused, host 1 executes it", "penryn 1.0:ecx=8e3bd", "sse4.1=R",
	  "penryn 1.0:ecx=e3bd", "symbol 1.0:ecx[19]", NULL },
};

Test(verdict, the_guides_own_pair)
{
	run(guide_rows, COUNT(guide_rows));
}

static const struct row field_rows[] = {
	{ "family H: one mismatch", "zen3", "family=H ext-family=H", "zen3 family=6",
	  "symbol 1.0:eax[11-8]", NULL },
	{ "extended family H", "zen3", "family=H ext-family=H", "zen3 ext-family=8",
	  "symbol 1.0:eax[27-20]", NULL },
	{ "a difference above one that is x still counts", "zen3", "family=H 1.0:eax[8]=x",
	  "zen3 family=6", "symbol 1.0:eax[11-8]", NULL },
	{ "a difference in bits that are x", "zen3", "family=H 1.0:eax[8]=x", "zen3 family=0xe",
	  "", NULL },
	{ "R on a family", "zen3", "family=R", "zen3 family=6", "symbol 1.0:eax[11-8]", NULL },
	{ "T in a field is about its bit", "zen3", "family=T", "zen3 family=0xd",
	  "symbol 1.0:eax[9]", NULL },
	{ "F in a field is about its bit", "skylake-sp", "family=F", "skylake-sp family=5",
	  "symbol 1.0:eax[8] symbol 1.0:eax[10]", NULL },
	{ "model and stepping x", "zen3", "", "zen3 model=3 ext-model=4 stepping=2", "", NULL },
	{ "model H, if one asks for it", "zen3", "model=H", "zen3 model=3", "symbol 1.0:eax[7-4]",
	  NULL },
	{ "H on a number: the guide wants it equal", "skylake-sp", "phys-bits=H",
	  "skylake-sp phys-bits=52", "symbol 80000008.0:eax[7-0]~", "" },
	{ "H on a number that shrinks", "skylake-sp", "phys-bits=H", "skylake-sp phys-bits=39",
	  "symbol 80000008.0:eax[7-0] phys-bits 80000008.0:eax[7-0]", NULL },
	{ "a field line: its bits are nobody's to compare", "skylake-sp",
	  "family=H field:family=15", "skylake-sp family=5", "", NULL },
};

Test(verdict, fields)
{
	run(field_rows, COUNT(field_rows));
}

static const struct row never_rows[] = {
	{ "OSXSAVE and OSPKE", "skylake-sp +osxsave", "osxsave=H ospke=R",
	  "skylake-sp +ospke", "", NULL },
	{ "OSXSAVE and OSPKE as T and F", "skylake-sp", "osxsave=T ospke=F",
	  "skylake-sp +ospke", "", NULL },
	{ "APIC ids", "skylake-sp", "apic-id=H topo-0-apic-id=R",
	  "skylake-sp apic-id=9 topo-0-apic-id=9", "", NULL },
	{ "extended APIC id, core and node id", "zen3", "ext-apic-id=H core-id=R node-id=T",
	  "zen3 ext-apic-id=9 core-id=9 node-id=9", "", NULL },
	{ "CPU count, HTT and CMP-LEGACY", "zen3", "cpu-count=H htt=T cmp-legacy=F",
	  "zen3 cpu-count=64 -htt -cmp-legacy", "", NULL },
	{ "hypervisor bit", "skylake-sp", "hypervisor=H", "skylake-sp -hypervisor", "", NULL },
	{ "AMD's copies of leaf 1", "zen3", "ext-fpu=H ext-mmx=T", "zen3 -ext-fpu -ext-mmx", "",
	  NULL },
	{ "XSAVE area in force", "skylake-sp", "xsave-size-now=H", "skylake-sp xsave-size-now=1",
	  "", NULL },
	{ "brand", "skylake-sp", "brand-0-eax=H", "skylake-sp brand-0-eax=1", "", NULL },
	{ "microcode", "skylake-sp microcode=1", "", "skylake-sp microcode=2", "", NULL },
	{ "caches", "skylake-sp", "4.0:eax=H 4.0:ebx=H", "skylake-sp 4.0:eax=1c004122 4.0:ebx=1",
	  "", NULL },
};

Test(verdict, never_compared)
{
	run(never_rows, COUNT(never_rows));
}

#define INTEL_STRING "vendor-ebx=0x756e6547 vendor-edx=0x49656e69 vendor-ecx=0x6c65746e"
#define AMD_STRING "vendor-ebx=0x68747541 vendor-edx=0x69746e65 vendor-ecx=0x444d4163"

static const struct row structural_rows[] = {
	{ "vendor, AMD to Intel", "zen3", "", "zen3 " INTEL_STRING, "vendor", NULL },
	{ "vendor, Intel to AMD", "skylake-sp", "", "skylake-sp " AMD_STRING, "vendor", NULL },
	{ "vendor, a NUL is a character", "zen3 vendor-ebx=0", "", "zen3 vendor-ebx=0 vendor-ecx=1",
	  "vendor", NULL },
	{ "vendor, the hardware's, not what the guest was told", "skylake-sp",
	  "field:vendor-ebx=0x68747541 field:vendor-edx=0x69746e65 field:vendor-ecx=0x444d4163",
	  "skylake-sp " AMD_STRING, "vendor", NULL },
	{ "vendor, told another one at home", "skylake-sp", "field:vendor-ebx=0x68747541",
	  "skylake-sp", "", NULL },
	{ "vendor, leaf 0 hidden", "skylake-sp", "0.0:eax=0 0.0:ebx=0 0.0:ecx=0 0.0:edx=0",
	  "skylake-sp", "", NULL },

	{ "max leaf, lower", "haswell", "", "haswell max-leaf=0xb", "max-leaf 0.0:eax[31-0]", NULL },
	{ "max leaf, all that the guest sees", "haswell", "", "haswell max-leaf=0xd", "", NULL },
	{ "max leaf, hidden leaves don't count", "haswell", "xsave=0", "haswell max-leaf=7", "",
	  NULL },
	{ "max subleaf of 7", "sapphirerapids", "", "sapphirerapids max-subleaf-7=0",
	  "max-leaf 7.0:eax[31-0]", NULL },
	{ "max extended leaf", "zen3", "", "zen3 max-ext-leaf=0x80000008",
	  "max-leaf 80000000.0:eax[31-0]", NULL },
	{ "max leaf fixed by a line", "haswell", "field:max-leaf=0xf", "haswell max-leaf=0xd",
	  "max-leaf 0.0:eax[31-0]", NULL },

	{ "xsave, AVX-512 offsets of AMD and Intel", "zen4", "", "zen4 layout=skylake-sp",
	  "xsave d.5 xsave d.6 xsave d.7 xsave d.9", NULL },
	{ "xsave, AVX-512 offsets of Intel and AMD", "skylake-sp", "mpx=0",
	  "skylake-sp layout=zen4", "xsave d.5 xsave d.6 xsave d.7 xsave d.9", NULL },
	{ "xsave, the same with AVX-512 and PKU hidden", "zen4", "avx512f=0 pku=0",
	  "zen4 layout=skylake-sp", "", NULL },
	{ "xsave, PKRU of Zen 3 and Zen 2", "zen3", "", "zen3 layout=zen2", "xsave d.9", NULL },
	{ "xsave, PKRU of Zen 2 and Zen 3", "zen3 layout=zen2", "", "zen3", "xsave d.9", NULL },
	{ "xsave, the same without PKU", "zen3", "pku=0", "zen3 layout=zen2", "", NULL },
	{ "xsave, flags", "haswell", "", "haswell xsave-avx-flags=2", "xsave d.2", NULL },
	{ "xsave, component lost", "haswell", "xstate-avx=x", "haswell -xstate-avx", "xsave d.2",
	  NULL },
	{ "xsave, supervisor component lost", "skylake-sp +xss-pt +intel-pt", "xss-pt=x",
	  "skylake-sp +intel-pt", "xsave d.8", NULL },
	{ "xsave, size unknown on the destination", "haswell", "", "haswell xsave-avx-size=0",
	  "xsave d.2", NULL },
	{ "xsave, what is hidden may differ", "haswell", "avx=0", "haswell xsave-avx-size=0", "",
	  NULL },
	{ "xsave, a bigger area alone is nothing", "haswell", "", "haswell xsave-size-max=0x1000",
	  "", NULL },

	{ "AMX tiles of another shape", "sapphirerapids 1d.1:eax=4002000", "", "sapphirerapids 1d.1:eax=4001000",
	  "xsave 1d.1:eax[15-0]", NULL },
	{ "AMX hidden: its tiles and multiplier are nothing to the guest",
	  "sapphirerapids 1d.0:eax=1 1d.1:eax=4002000 1e.0:ebx=4010", "amx-tile=0",
	  "sapphirerapids 1d.0:eax=0 1d.1:eax=0 1e.0:ebx=0", "", NULL },
	{ "AVX10 of a higher version", "sapphirerapids +avx10 max-leaf=0x24 24.0:ebx=70002", "",
	  "sapphirerapids +avx10 max-leaf=0x24 24.0:ebx=70001", "max-leaf 24.0:ebx[7-0]", NULL },
	{ "AVX10 hidden: so is its version, H or not", "sapphirerapids +avx10 max-leaf=0x24 24.0:ebx=70002",
	  "avx10=0 avx10-version=H", "sapphirerapids 24.0:ebx=0", "", NULL },
	{ "LA57", "sapphirerapids +la57 linear-bits=57", "", "sapphirerapids -la57 linear-bits=48",
	  "symbol 7.0:ecx[16] linear-bits 80000008.0:eax[15-8]", NULL },
	{ "LA57 hidden: addresses of 48 bits", "sapphirerapids +la57 linear-bits=57", "la57=0",
	  "sapphirerapids -la57 linear-bits=48", "", NULL },
	{ "LA57 hidden, and a number that says otherwise", "sapphirerapids +la57 linear-bits=57",
	  "la57=0 field:linear-bits=57", "sapphirerapids -la57 linear-bits=48",
	  "linear-bits 80000008.0:eax[15-8]", NULL },
	{ "RDPRU hidden: so is its highest register", "zen2 +rdpru rdpru-max=2", "rdpru=0",
	  "zen2 -rdpru rdpru-max=0", "", NULL },

	{ "phys-bits 52 to 46", "sapphirerapids phys-bits=52", "", "sapphirerapids",
	  "phys-bits 80000008.0:eax[7-0]", NULL },
	{ "phys-bits 46 to 52", "sapphirerapids", "", "sapphirerapids phys-bits=52", "", NULL },
	{ "guest-phys-bits 48 to 46", "sapphirerapids guest-phys-bits=48", "",
	  "sapphirerapids guest-phys-bits=46", "phys-bits 80000008.0:eax[23-16]", NULL },
	{ "guest-phys-bits to a kernel that leaves them out", "sapphirerapids guest-phys-bits=46", "",
	  "sapphirerapids", "", NULL },
	{ "guest-phys-bits to a kernel that leaves them out, with fewer bits",
	  "sapphirerapids phys-bits=52 guest-phys-bits=52", "field:phys-bits=46", "sapphirerapids",
	  "phys-bits 80000008.0:eax[23-16]", NULL },
	{ "fewer AMX tiles", "sapphirerapids amx-tiles=8", "", "sapphirerapids amx-tiles=4",
	  "xsave 1d.1:ebx[31-16]", NULL },
	{ "more AMX tiles", "sapphirerapids amx-tiles=4", "", "sapphirerapids amx-tiles=8",
	  "xsave 1d.1:ebx[31-16]", NULL },
	{ "phys-bits fixed by a line", "sapphirerapids phys-bits=52", "field:phys-bits=46",
	  "sapphirerapids", "", NULL },
	{ "phys-bits fixed too high", "sapphirerapids", "field:phys-bits=47", "sapphirerapids",
	  "phys-bits 80000008.0:eax[7-0]", NULL },
	{ "linear-bits 57 to 48", "sapphirerapids", "", "sapphirerapids linear-bits=48",
	  "linear-bits 80000008.0:eax[15-8]", NULL },
	{ "linear-bits 48 to 57", "sapphirerapids linear-bits=48", "", "sapphirerapids", "", NULL },

	{ "clflush", "haswell", "", "haswell clflush-size=16", "clflush 1.0:ebx[15-8]", NULL },
	{ "clflush, smaller", "haswell clflush-size=16", "", "haswell", "clflush 1.0:ebx[15-8]",
	  NULL },
	{ "clflush hidden", "haswell", "clflush=0", "haswell clflush-size=16", "", NULL },

	{ "tsc, 249 ppm", "haswell tsc=2000000", "", "haswell tsc=2000498", "", NULL },
	{ "tsc, 250 ppm", "haswell tsc=2000000", "", "haswell tsc=2000500", "", NULL },
	{ "tsc, 251 ppm", "haswell tsc=2000000", "", "haswell tsc=2000502", "tsc", NULL },
	{ "tsc, 251 ppm slower", "haswell tsc=2000000", "", "haswell tsc=1999498", "tsc", NULL },
	{ "tsc, the destination scales", "haswell tsc=2000000", "", "haswell tsc=3000000 scaling",
	  "", NULL },
	{ "tsc, that the source scales does not help", "haswell tsc=2000000 scaling", "",
	  "haswell tsc=3000000", "tsc", NULL },
	{ "tsc, unknown", "haswell tsc=2000000", "", "haswell", "", NULL },
	{ "tsc, no overflow", "haswell tsc=4294967295", "", "haswell tsc=1", "tsc", NULL },
};

Test(verdict, structural)
{
	run(structural_rows, COUNT(structural_rows));
}

/* Bits of IA32_ARCH_CAPABILITIES by number, SDM Vol. 4. */
#define RDCL_NO "0x1"
#define RSBA "0x4"
#define MDS_NO "0x20"
#define FBSDP_PSDP_NO "0xc000"
#define ALL_FB_NO "0xe000"
#define FB_CLEAR "0x20000"
#define RRSBA "0x80000"
#define PBRSB_NO "0x1000000"
#define RFDS_NO "0x8000000"
#define RFDS_CLEAR "0x10000000"

static const struct row arch_caps_rows[] = {
	{ "equal", "cascadelake msr:10a=0x2b", "", "cascadelake msr:10a=0x2b", "", NULL },
	{ "a bit lost", "cascadelake msr:10a=0x2b", "", "cascadelake msr:10a=0x2a", "arch-caps",
	  NULL },
	{ "a bit gained", "cascadelake msr:10a=0x2a", "", "cascadelake msr:10a=0x2b", "", NULL },
	{ "the MSR is gone", "cascadelake msr:10a=" RDCL_NO, "", "cascadelake", "arch-caps", NULL },
	{ "RSBA appears", "cascadelake msr:10a=" RDCL_NO, "", "cascadelake msr:10a=0x5",
	  "arch-caps", NULL },
	{ "RSBA disappears", "cascadelake msr:10a=" RSBA, "", "cascadelake msr:10a=0", "", NULL },
	{ "RRSBA appears", "cascadelake msr:10a=0", "", "cascadelake msr:10a=" RRSBA, "arch-caps",
	  NULL },
	{ "FB_CLEAR lost", "cascadelake msr:10a=" FB_CLEAR, "", "cascadelake msr:10a=0",
	  "arch-caps", NULL },
	{ "FB_CLEAR lost with all *_NO", "cascadelake msr:10a=" FB_CLEAR, "",
	  "cascadelake msr:10a=" ALL_FB_NO, "", NULL },
	{ "FB_CLEAR lost with two of three", "cascadelake msr:10a=" FB_CLEAR, "",
	  "cascadelake msr:10a=" FBSDP_PSDP_NO, "arch-caps", NULL },
	{ "RFDS_CLEAR lost", "cascadelake msr:10a=" RFDS_CLEAR, "", "cascadelake msr:10a=0",
	  "arch-caps", NULL },
	{ "RFDS_CLEAR lost with RFDS_NO", "cascadelake msr:10a=" RFDS_CLEAR, "",
	  "cascadelake msr:10a=" RFDS_NO, "", NULL },
	{ "hidden", "cascadelake msr:10a=0x2b", "arch-capabilities=0", "cascadelake", "", NULL },
	{ "a bit hidden by a line", "cascadelake msr:10a=0x2b", "msr:10a[0]=0",
	  "cascadelake msr:10a=0x2a", "", NULL },
	{ "a bit hidden by R", "cascadelake msr:10a=0x2b", "msr:10a[0]=R",
	  "cascadelake msr:10a=0x2a", "msr 10a[0]", NULL },
	{ "a hazard told in advance", "cascadelake msr:10a=0", "msr:10a[2]=1",
	  "cascadelake msr:10a=" RSBA, "", NULL },
	{ "a bit promised by T", "cascadelake msr:10a=0", "msr:10a[0]=T", "cascadelake msr:10a=0",
	  "msr 10a[0]", NULL },
};

/*
 * A VM that moved runs by what its first host gave it: the way back is open, and what another host has
 * instead is nothing to it.
 */
Test(verdict, what_the_guest_was_given_moves_with_it)
{
	static const struct {
		const char *name, *first, *now, *to, *expected;
	} rows[] = {
		{ "scaled, and back", "skylake-sp tsc=2000000", "skylake-sp tsc=3000000 scaling",
		  "skylake-sp tsc=2000000", "" },
		{ "scaled, and on to where it can't be", "skylake-sp tsc=2000000",
		  "skylake-sp tsc=3000000 scaling", "skylake-sp tsc=3000000", "tsc" },
		{ "small steps add up", "skylake-sp tsc=2000000", "skylake-sp tsc=2000400",
		  "skylake-sp tsc=2000800", "tsc" },
		{ "unknown where it started", "skylake-sp tsc=0", "skylake-sp tsc=3000000",
		  "skylake-sp tsc=2000000", "tsc" },
		{ "the same everywhere", "skylake-sp tsc=2000000", "skylake-sp tsc=2000000",
		  "skylake-sp tsc=2000000", "" },
		{ "more promises, and back", "cascadelake msr:10a=0x21", "cascadelake msr:10a=0x2b",
		  "cascadelake msr:10a=0x21", "" },
		{ "more promises, and fewer", "cascadelake msr:10a=0x21", "cascadelake msr:10a=0x2b",
		  "cascadelake msr:10a=0x2a", "arch-caps" },
		{ "a hazard fewer, and back", "cascadelake msr:10a=" RSBA, "cascadelake msr:10a=0",
		  "cascadelake msr:10a=" RSBA, "" },
		{ "neither promises", "cascadelake msr:10a=0", "cascadelake msr:10a=0",
		  "cascadelake msr:10a=" RSBA, "arch-caps" },
	};
	struct mv_quick_layout *layout = calloc(1, sizeof(*layout));
	struct mv_quick_host *host = calloc(1, sizeof(*host));
	struct mv_quick_vm *vm = calloc(1, sizeof(*vm));

	cr_assert(layout && host && vm);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;

		fixture_init(&f);
		cr_expect_eq(make_verdict(&f, rows[i].first, "", rows[i].now, NULL), 0);
		cr_expect_eq(f.v->refusals, 0, "row %s: %s", rows[i].name, verdict_text(f.v));
		mv_policy_move(f.p, f.dst);
		make_host(f.dst, rows[i].to);
		cr_expect_eq(mv_verdict(f.v, f.p, f.dst, NULL, NULL), 0);
		cr_expect_str_eq(verdict_text(f.v), rows[i].expected, "row %s: %s", rows[i].name,
				 verdict_text(f.v));
		layout->n = 0;
		cr_assert_eq(mv_quick_layout_add(layout, f.p), 0);
		mv_quick_vm_init(vm, layout, f.p);
		mv_quick_host_init(host, layout, f.dst);
		cr_expect_eq(mv_quick_verdict(vm, host), *rows[i].expected ? MV_QUICK_REFUSE : MV_QUICK_ACCEPT,
			     "row %s", rows[i].name);
		/* Started anew, it is given what is there. */
		cr_expect_eq(mv_apply(f.p, 1, f.notes, NULL), 0);
		cr_expect_eq(mv_policy_tsc_khz(f.p), f.p->source.tsc_khz, "row %s", rows[i].name);
		fixture_finish(&f);
	}
	free(layout);
	free(host);
	free(vm);
}

Test(verdict, arch_caps)
{
	run(arch_caps_rows, COUNT(arch_caps_rows));
}

static const struct row msr_rows[] = {
	{ "T there", "haswell msr:ce=0", "msr:ce[31]=T", "haswell msr:ce=0x80000000", "", NULL },
	{ "T missing", "haswell msr:ce=0x80000000", "msr:ce[31]=T", "haswell msr:ce=0", "msr ce[31]",
	  NULL },
	{ "T, and the MSR is unknown there", "haswell msr:ce=0x80000000", "msr:ce[31]=T", "haswell",
	  "msr ce[31]", NULL },
	{ "F absent", "haswell msr:ce=1", "msr:ce[0]=F", "haswell", "", NULL },
	{ "F present", "haswell", "msr:ce[0]=F", "haswell msr:ce=1", "msr ce[0]", NULL },
	{ "H equal", "haswell msr:ce=3", "msr:ce[0]=H", "haswell msr:ce=1", "", NULL },
	{ "H lost", "haswell msr:ce=1", "msr:ce[0]=H", "haswell msr:ce=2", "msr ce[0]", NULL },
	{ "H gained", "haswell", "msr:ce[63]=H", "haswell msr:ce=0x8000000000000000", "msr ce[63]",
	  NULL },
	{ "R gained", "haswell", "msr:ce[1]=R", "haswell msr:ce=2", "msr ce[1]", NULL },
	{ "x, 0 and 1 ask nothing", "haswell msr:ce=7", "msr:ce[0]=x msr:ce[1]=0 msr:ce[2]=1",
	  "haswell", "", NULL },
	{ "all that differ", "haswell msr:ce=1", "msr:ce[0]=H msr:ce[1]=R msr:ce[2]=T",
	  "haswell msr:ce=2", "msr ce[0] msr ce[1] msr ce[2]", NULL },
	{ "T wins over the class of a hazard bit", "cascadelake msr:10a=0", "msr:10a[2]=F",
	  "cascadelake msr:10a=" RSBA, "msr 10a[2]", NULL },
	{ "H of an MSR that CPUID hides", "cascadelake msr:10a=1",
	  "msr:10a[0]=H arch-capabilities=0", "cascadelake", "", NULL },
	{ "T of an MSR that CPUID hides", "cascadelake msr:10a=1",
	  "msr:10a[0]=T arch-capabilities=0", "cascadelake", "msr 10a[0]", NULL },
};

Test(verdict, msr_lines)
{
	run(msr_rows, COUNT(msr_rows));
}

/* Bits 0 and 1 of each row under the symbol, the host's value is 1. */
static const struct {
	const char *symbol;
	uint64_t value, named;
} msr_value_rows[] = {
	{ "x", 1, 3 }, { "T", 3, 3 }, { "F", 0, 3 }, { "1", 3, 3 },
	{ "0", 0, 3 }, { "H", 1, 3 }, { "R", 0, 3 }, { "-", 1, 0 },
};

Test(verdict, what_the_guest_reads_from_an_msr)
{
	for (size_t i = 0; i < COUNT(msr_value_rows); i++) {
		const char *s = msr_value_rows[i].symbol;
		struct fixture f;
		uint64_t named;
		char mask[64];

		fixture_init(&f);
		snprintf(mask, sizeof(mask), "msr:ce[0]=%s msr:ce[1]=%s", s, s);
		make_policy(&f, "haswell msr:ce=1", mask, 1);
		cr_expect_eq(mv_policy_msr(f.p, 0xce, &named), msr_value_rows[i].value, "%s", s);
		cr_expect_eq(named, msr_value_rows[i].named, "%s", s);
		fixture_finish(&f);
	}
}

static const struct row kvm_rows[] = {
	{ "the same controls", "haswell controls=7", "monitor=R", "haswell controls=7", "", NULL },
	{ "PV features hidden by R, and nothing enforces it", "haswell", "kvm-pv-eoi=R",
	  "haswell controls=6", "kvm 40000001.0:eax[6]~", "" },
	{ "hidden by 0: nothing is promised", "haswell", "kvm-pv-eoi=0", "haswell controls=6", "",
	  NULL },
	{ "PV features are shown", "haswell", "", "haswell controls=6", "", NULL },
	{ "MONITOR hidden by R", "haswell", "monitor=R", "haswell controls=1",
	  "kvm 1.0:ecx[3]~ kvm 1.0:ecx[3]~", "" },
	{ "MONITOR hidden by R, MWAIT would not fault", "haswell", "monitor=R", "haswell controls=3",
	  "kvm 1.0:ecx[3]~", "" },
	{ "MONITOR hidden by 0", "haswell", "monitor=0", "haswell controls=1", "", NULL },
	{ "MONITOR shown, MISC_ENABLE would take it away", "haswell", "", "haswell controls=5",
	  "kvm 1.0:ecx[3]", NULL },
	{ "MONITOR shown, MWAIT faults are not asked for", "haswell", "", "haswell controls=3", "",
	  NULL },
	{ "what the source could not enforce", "haswell controls=0", "monitor=R kvm-pv-eoi=R",
	  "haswell controls=0", "", NULL },
	{ "richer", "haswell controls=0", "monitor=R kvm-pv-eoi=R", "haswell controls=7", "", NULL },
	{ "a PV feature under x that is lost", "haswell", "kvm-pv-eoi=x", "haswell kvm-kvm-pv-eoi",
	  "kvm 40000001.0:eax[6]", NULL },
	{ "a PV feature under x that is gained", "haswell kvm-kvm-pv-eoi", "kvm-pv-eoi=x", "haswell",
	  "", NULL },
	{ "R on a PV feature that KVM refuses", "haswell", "kvm-pv-eoi=R", "haswell -kvm-pv-eoi",
	  "symbol 40000001.0:eax[6]~", "" },
	{ "R on a PV feature that nothing refuses", "haswell controls=6", "kvm-pv-eoi=R",
	  "haswell -kvm-pv-eoi", "symbol 40000001.0:eax[6]", NULL },
	{ "R on MONITOR where MWAIT faults", "haswell", "monitor=R", "haswell -monitor",
	  "symbol 1.0:ecx[3]~", "" },
	{ "R on MONITOR where MWAIT does not", "haswell controls=3", "monitor=R",
	  "haswell -monitor controls=3", "symbol 1.0:ecx[3]", NULL },
	{ "a PV feature under H is the symbol's", "haswell", "", "haswell kvm-kvm-pv-eoi",
	  "symbol 40000001.0:eax[6]", NULL },
	{ "a PV feature under 1: the user decided", "haswell", "kvm-pv-eoi=1",
	  "haswell kvm-kvm-pv-eoi", "", NULL },
};

Test(verdict, kvm)
{
	run(kvm_rows, COUNT(kvm_rows));
}

static const struct row hazard_rows[] = {
	{ "MD_CLEAR lost", "skylake-sp", "md-clear=x", "skylake-sp -md-clear",
	  "hazard 7.0:edx[10]", NULL },
	{ "MD_CLEAR lost, MDS_NO", "skylake-sp", "md-clear=x",
	  "skylake-sp -md-clear msr:10a=" MDS_NO, "", NULL },
	{ "MD_CLEAR lost, another bit of the MSR", "skylake-sp", "md-clear=x",
	  "skylake-sp -md-clear msr:10a=" RDCL_NO, "hazard 7.0:edx[10]", NULL },
	{ "MD_CLEAR gained", "skylake-sp -md-clear", "md-clear=x", "skylake-sp",
	  "hazard 7.0:edx[10]", NULL },
	{ "MD_CLEAR, the user decided", "skylake-sp", "md-clear=0", "skylake-sp -md-clear", "",
	  NULL },
	{ "MD_CLEAR told in advance", "skylake-sp -md-clear", "md-clear=1", "skylake-sp", "", NULL },
	{ "MD_CLEAR H: equality, and subset by the hazard rule", "skylake-sp", "",
	  "skylake-sp -md-clear msr:10a=" MDS_NO, "symbol 7.0:edx[10]~", "" },
	{ "MD_CLEAR H, lost", "skylake-sp", "", "skylake-sp -md-clear", "symbol 7.0:edx[10]", NULL },
	{ "MD_CLEAR H, gained", "skylake-sp -md-clear", "", "skylake-sp", "symbol 7.0:edx[10]",
	  NULL },
	{ "VERW_CLEAR lost", "zen3 +verw-clear", "verw-clear=x 80000021.0:ecx=x", "zen3",
	  "hazard 80000021.0:eax[5]", NULL },
	{ "VERW_CLEAR lost, half of the *_NO", "zen3 +verw-clear",
	  "verw-clear=x 80000021.0:ecx=x", "zen3 +tsa-sq-no", "hazard 80000021.0:eax[5]", NULL },
	{ "VERW_CLEAR lost, both *_NO", "zen3 +verw-clear", "verw-clear=x 80000021.0:ecx=x",
	  "zen3 +tsa-sq-no +tsa-l1-no", "", NULL },
	{ "inverted bit true on the destination", "skylake-sp -zero-fcs-fds", "zero-fcs-fds=x",
	  "skylake-sp", "hazard 7.0:ebx[13]", NULL },
	{ "inverted bit no longer true", "skylake-sp", "zero-fcs-fds=x", "skylake-sp -zero-fcs-fds",
	  "", NULL },
	{ "inverted bit H, no longer true", "skylake-sp", "", "skylake-sp -zero-fcs-fds",
	  "symbol 7.0:ebx[13]~", "" },
	{ "inverted bit H, true on the destination", "skylake-sp -zero-fcs-fds", "", "skylake-sp",
	  "symbol 7.0:ebx[13]", NULL },
	{ "inverted bit told in advance", "skylake-sp -zero-fcs-fds", "zero-fcs-fds=1",
	  "skylake-sp", "", NULL },
	{ "an ordinary bit under x is no hazard", "skylake-sp", "popcnt=x", "skylake-sp -popcnt",
	  "", NULL },
};

Test(verdict, hazards)
{
	run(hazard_rows, COUNT(hazard_rows));
}

/* What other systems are known to accept or refuse in error. */
static const struct row known_rows[] = {
	{ "ERMS only difference, poorer to richer", "haswell -erms", "", "haswell",
	  "symbol 7.0:ebx[9]~", "" },
	{ "ERMS only difference, richer to poorer", "haswell", "", "haswell -erms",
	  "symbol 7.0:ebx[9]", NULL },
	{ "ERMS only difference, masked", "haswell", "erms=0", "haswell -erms", "", NULL },
	{ "APIC id and OSXSAVE differ: accepted", "haswell +osxsave", "apic-id=H",
	  "haswell apic-id=3", "", NULL },
	{ "MPX lost Cascade Lake -> Ice Lake", "cascadelake", "", "icelake", NULL,
	  "symbol 7.0:ebx[14] symbol d.0:eax[3] symbol d.0:eax[4] xsave d.3 xsave d.4" },
	{ "MPX hidden, Cascade Lake -> Ice Lake", "cascadelake", "mpx=0", "icelake", NULL, "" },
	{ "Penryn steppings with and without XSAVE",
	  "penryn max-leaf=0xd +xsave d.0:eax=3 d.0:ebx=240 d.0:ecx=240", "", "penryn",
	  "symbol 1.0:ecx[26] symbol d.0:eax[0] symbol d.0:eax[1] max-leaf 0.0:eax[31-0] "
	  "xsave d.0 xsave d.1",
	  NULL },
	{ "Penryn steppings without and with XSAVE", "penryn", "",
	  "penryn max-leaf=0xd +xsave d.0:eax=3 d.0:ebx=240 d.0:ecx=240", "symbol 1.0:ecx[26]~",
	  "" },
	{ "Penryn steppings, XSAVE masked",
	  "penryn max-leaf=0xd +xsave d.0:eax=3 d.0:ebx=240 d.0:ecx=240", "xsave=0", "penryn", "",
	  NULL },
	{ "Granite Rapids -> Sapphire Rapids: the same features",
	  "sapphirerapids phys-bits=52 msr:10a=" PBRSB_NO, "",
	  "sapphirerapids msr:10a=0", "phys-bits 80000008.0:eax[7-0] arch-caps", NULL },
	{ "Sapphire Rapids -> Granite Rapids", "sapphirerapids msr:10a=0", "",
	  "sapphirerapids phys-bits=52 msr:10a=" PBRSB_NO, "", NULL },
	{ "microcode differs: accepted", "haswell microcode=0x43", "", "haswell microcode=0x49", "",
	  NULL },
	{ "brand differs: accepted", "haswell", "brand-0-eax=H", "haswell brand-0-eax=0x41414141",
	  "", NULL },
	{ "Sandy Bridge -> Haswell: FCS and FDS are gone, and the guest was not told",
	  "sandybridge", "", "haswell", NULL, "symbol 7.0:ebx[13]" },
	{ "Sandy Bridge -> Haswell, told in advance", "sandybridge", "zero-fcs-fds=1", "haswell",
	  NULL, "" },
	{ "MONITOR only difference, masked", "haswell", "monitor=0", "haswell -monitor", "", NULL },
};

Test(verdict, known_false_verdicts_of_others)
{
	run(known_rows, COUNT(known_rows));
}

static const struct row cold_rows[] = {
	{ "H, R and structural rules don't count",
	  "skylake-sp tsc=1000000 msr:10a=1 phys-bits=52", "popcnt=R",
	  "haswell -popcnt clflush-size=16 tsc=2000000", "", NULL },
	{ "another vendor", "skylake-sp", "", "zen3", "", NULL },
	{ "T missing", "skylake-sp", "adx=T", "haswell", "symbol 7.0:ebx[19]", NULL },
	{ "F present", "haswell", "adx=F", "skylake-sp", "symbol 7.0:ebx[19]", NULL },
	{ "a field line that is too much", "skylake-sp", "field:phys-bits=46",
	  "skylake-sp phys-bits=39", "phys-bits 80000008.0:eax[7-0]", NULL },
	{ "a field line for linear addresses", "skylake-sp", "field:linear-bits=57", "skylake-sp",
	  "linear-bits 80000008.0:eax[15-8]", NULL },
	{ "a field line for leaves", "skylake-sp", "field:max-leaf=0x20", "skylake-sp",
	  "max-leaf 0.0:eax[31-0]", NULL },
	{ "a field line that fits", "skylake-sp", "field:phys-bits=39", "skylake-sp phys-bits=39",
	  "", NULL },
	{ "nothing to answer CPUID with", "skylake-sp", "", "skylake-sp kernel=0", "interception",
	  NULL },
};

Test(verdict, cold)
{
	run_with(cold_rows, COUNT(cold_rows), true, NULL);
}

static const struct row ignore_rows[] = {
	{ "nothing to ignore", "skylake-sp", "", "skylake-sp", "", NULL },
	{ "features by name and by alias", "skylake-sp", "", "skylake-sp -popcnt -lzcnt -sse4.1",
	  "symbol 1.0:ecx[19] symbol 1.0:ecx[23]! symbol 80000001.0:ecx[5]!", NULL },
	{ "a field", "skylake-sp", "family=H", "skylake-sp family=5", "symbol 1.0:eax[11-8]!", NULL },
	{ "one bit of the field", "skylake-sp", "family=T", "skylake-sp family=0xe",
	  "symbol 1.0:eax[8]!", NULL },
	{ "a structural rule", "skylake-sp tsc=1000000", "",
	  "skylake-sp tsc=2000000 clflush-size=16", "clflush 1.0:ebx[15-8] tsc!", NULL },
	{ "a rule that is a field's name, too", "skylake-sp", "phys-bits=H",
	  "skylake-sp phys-bits=39",
	  "symbol 80000008.0:eax[7-0]! phys-bits 80000008.0:eax[7-0]!", NULL },
	{ "all components of the xsave rule", "skylake-sp", "mpx=0", "skylake-sp layout=zen4",
	  "xsave d.5! xsave d.6! xsave d.7! xsave d.9!", NULL },
};

Test(verdict, ignore_list)
{
	static const char *const unknown[] = { "popcnt,nonsense", "symbol", "popcnt tsc vendo",
					       "popcntx" };
	struct fixture f;

	run_with(ignore_rows, COUNT(ignore_rows), false,
		 "popcnt, ABM,,family phys-bits,tsc,xsave,");
	fixture_init(&f);
	for (size_t i = 0; i < COUNT(unknown); i++) {
		struct mv_verdict_opts opts = { .ignore = unknown[i] };

		f.v->n = f.v->refusals = 7;
		cr_expect_eq(make_verdict(&f, "haswell", "", "haswell", &opts), -MV_E_USAGE,
			     "row %s", unknown[i]);
		cr_expect_eq(f.err.code, MV_E_USAGE, "row %s", unknown[i]);
		cr_expect_eq(f.v->n | f.v->refusals, 0, "row %s", unknown[i]);
	}
	fixture_finish(&f);
}

Test(verdict, ignored_mismatches_do_not_refuse)
{
	struct mv_verdict_opts opts = { .ignore = "popcnt" };
	struct fixture f;

	fixture_init(&f);
	make_verdict(&f, "haswell", "", "haswell -popcnt", &opts);
	cr_expect_eq(f.v->n, 1);
	cr_expect_eq(f.v->refusals, 0);
	cr_expect_eq(f.v->subset_refusals, 0);
	cr_expect(f.v->m[0].ignored);
	fixture_finish(&f);
}

static size_t add_name(char *list, const char *name)
{
	return (size_t)sprintf(list, "%s,", name);
}

/* Every name there is has room in the list, in which each stands once. */
Test(verdict, all_names_can_be_ignored)
{
	static char all[2 * MV_IGNORED_TEXT];
	struct mv_policy *p = calloc(1, sizeof(*p));
	struct mv_verdict_opts opts = { .ignore = all };
	size_t at = 0, names;
	struct fixture f;

	for (unsigned i = 0; i < MV_NFEATURES; i++)
		at += add_name(all + at, mv_features[i].name);
	for (unsigned i = 0; i < MV_NFIELDS; i++)
		at += add_name(all + at, mv_fields[i].name);
	for (unsigned r = MV_RULE_SYMBOL + 1; r < MV_NRULES; r++)
		at += add_name(all + at, mv_rule_name(r));
	fixture_init(&f);
	cr_expect_eq(make_verdict(&f, "skylake-sp", "", "haswell", &opts), 0, "%s", f.err.msg);
	cr_expect(f.v->n > 5 && !f.v->refusals);
	fixture_finish(&f);

	cr_expect(mv_policy_ignore(p, NULL) && mv_policy_ignore(p, "") && mv_policy_ignore(p, ", ,"));
	cr_expect_str_eq(p->ignored, "");
	cr_expect(mv_policy_ignore(p, "tsc") && mv_policy_ignore(p, "ts tsc  tscx,,ts"));
	cr_expect_str_eq(p->ignored, "tsc,ts,tscx");
	cr_expect(mv_policy_ignore(p, all));
	names = strlen(p->ignored);
	cr_expect(mv_policy_ignore(p, all));
	cr_expect_eq(strlen(p->ignored), names);

	memset(all, 'x', sizeof(all) - 1);
	all[3] = ',';
	cr_expect(!mv_policy_ignore(p, all));
	cr_expect_eq(strlen(p->ignored), names, "a list that was too long has left something");
	free(p);
}

/* ---- interception ---- */

static const struct {
	const char *name;
	enum mv_intercept mode;
	bool patchable, cpl3;
	const char *dst, *expect;
} interception_rows[] = {
	{ "kernel", MV_INTERCEPTION_KERNEL, false, false, "haswell", "" },
	{ "kernel at one level", MV_INTERCEPTION_KERNEL, false, false, "haswell kernel=1",
	  "interception" },
	{ "nothing there", MV_INTERCEPTION_KERNEL, true, true, "haswell kernel=0", "interception" },
	{ "step", MV_INTERCEPTION_KERNEL, false, false, "haswell kernel=0 step=3", "" },
	{ "step at one level", MV_INTERCEPTION_STEP, false, false, "haswell kernel=0 step=1",
	  "interception" },
	{ "patch", MV_INTERCEPTION_KERNEL, true, true, "haswell kernel=0 patch=3", "" },
	{ "patch, an image that is not accounted for", MV_INTERCEPTION_KERNEL, false, true,
	  "haswell kernel=0 patch=3", "interception" },
	{ "patch, CPL 3 not declared", MV_INTERCEPTION_KERNEL, true, false,
	  "haswell kernel=0 patch=3", "interception" },
	{ "patch proved at CPL 0", MV_INTERCEPTION_PATCH, true, true, "haswell kernel=0 patch=1",
	  "interception" },
	{ "patched before, kernel now", MV_INTERCEPTION_PATCH, true, false, "haswell", "" },
	{ "none, raw equal", MV_INTERCEPTION_NONE, false, false, "haswell kernel=0", "" },
	{ "none, what raw does not tell may differ", MV_INTERCEPTION_NONE, false, false,
	  "haswell kernel=0 kvm-popcnt", "" },
	{ "none, a feature lost", MV_INTERCEPTION_NONE, false, false,
	  "haswell kernel=0 raw-popcnt", "interception 1.0:ecx[23]" },
	{ "none, a feature gained: equality under both rules", MV_INTERCEPTION_NONE, false, false,
	  "haswell kernel=0 raw+sha", "interception 7.0:ebx[29]" },
	{ "none, a leaf that only the destination has", MV_INTERCEPTION_NONE, false, false,
	  "haswell kernel=0 raw+avx-vnni", "interception 7.1:eax[4]" },
	{ "none, a number", MV_INTERCEPTION_NONE, false, false, "haswell kernel=0 phys-bits=48",
	  "interception 80000008.0:eax[7-0]" },
	{ "none, stepping: the guest saw it", MV_INTERCEPTION_NONE, false, false,
	  "haswell kernel=0 stepping=4", "interception 1.0:eax[3-0]" },
	{ "none, a reserved bit", MV_INTERCEPTION_NONE, false, false,
	  "haswell kernel=0 1.0:ecx=f7fffbbf", "interception 1.0:ecx[16]" },
	{ "none, run-time, topology and brand", MV_INTERCEPTION_NONE, false, false,
	  "haswell kernel=0 raw+osxsave raw-htt apic-id=9 topo-0-apic-id=9 cpu-count=2 "
	  "brand-0-eax=1 4.0:eax=1 b.3:edx=9",
	  "" },
};

/* A VM that nobody has started would run on its own host as that can: it is accepted there, if anything is. */
Test(verdict, interception_of_a_vm_not_started)
{
	static const struct {
		const char *host;
		enum mv_intercept intercept;
		bool patchable;
		const char *here, *patching;
	} rows[] = {
		{ "haswell", MV_INTERCEPTION_KERNEL, false, "", "interception" },
		{ "haswell step=3 patch=3", MV_INTERCEPTION_KERNEL, false, "", "interception" },
		{ "haswell kernel=1 step=3 patch=3", MV_INTERCEPTION_STEP, false, "", "interception" },
		{ "haswell kernel=0 patch=3", MV_INTERCEPTION_PATCH, true, "", "" },
		{ "haswell kernel=0 step=2 patch=3", MV_INTERCEPTION_PATCH, true, "", "" },
		{ "haswell kernel=1 step=2 patch=1", MV_INTERCEPTION_KERNEL, false, "interception",
		  "interception" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;

		fixture_init(&f);
		cr_assert_eq(make_policy(&f, rows[i].host, "", 1), 0);
		f.p->patchable = f.p->patch_cpl3 = true;
		mv_policy_not_started(f.p);
		cr_expect_eq(f.p->intercept, rows[i].intercept, "%s: %u", rows[i].host, f.p->intercept);
		cr_expect_eq(f.p->patchable, rows[i].patchable, "%s", rows[i].host);
		cr_expect_eq(f.p->patch_cpl3, rows[i].patchable, "%s", rows[i].host);
		make_host(f.dst, rows[i].host);
		cr_expect_eq(mv_verdict(f.v, f.p, f.dst, NULL, NULL), 0);
		cr_expect_str_eq(verdict_text(f.v), rows[i].here, "%s: %s", rows[i].host, verdict_text(f.v));
		make_host(f.dst, "haswell kernel=0 patch=3");
		cr_expect_eq(mv_verdict(f.v, f.p, f.dst, NULL, NULL), 0);
		cr_expect_str_eq(verdict_text(f.v), rows[i].patching, "%s: %s", rows[i].host,
				 verdict_text(f.v));
		fixture_finish(&f);
	}
}

Test(verdict, interception)
{
	for (size_t i = 0; i < COUNT(interception_rows); i++) {
		for (int mode = MV_VERDICT_GUIDE; mode <= MV_VERDICT_SUBSET; mode++) {
			struct mv_verdict_opts opts = { .mode = (enum mv_verdict_mode)mode };
			struct fixture f;

			fixture_init(&f);
			cr_assert_eq(make_policy(&f, "haswell", "=x", 1), 0);
			make_host(f.dst, interception_rows[i].dst);
			f.p->intercept = (uint8_t)interception_rows[i].mode;
			f.p->patchable = interception_rows[i].patchable;
			f.p->patch_cpl3 = interception_rows[i].cpl3;
			mv_verdict(f.v, f.p, f.dst, &opts, NULL);
			cr_expect_str_eq(verdict_text(f.v), interception_rows[i].expect,
					 "row %s: %s", interception_rows[i].name,
					 verdict_text(f.v));
			fixture_finish(&f);
		}
	}
}

/* A guest that was kept to its table, where nothing would: the table has to be what the CPU says. */
Test(verdict, table_against_raw)
{
	static const struct {
		const char *name, *mask, *dst, *expect;
	} rows[] = {
		{ "one hidden", "popcnt=0", "haswell kernel=0", "interception 1.0:ecx[23]" },
		{ "hidden, and not there", "popcnt=0", "haswell kernel=0 -popcnt", "" },
	};
	struct mv_verdict_opts opts = { .untouched = true };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct mv_table all;
		struct fixture f;

		fixture_init(&f);
		cr_assert_eq(make_policy(&f, "haswell", rows[i].mask, 1), 0);
		make_host(f.dst, rows[i].dst);
		/* But for the bit it is the host's own table. */
		all = f.p->source.raw;
		mv_table_get(&all, 1, 0)->reg[MV_ECX] &= ~(1u << 23);
		f.p->guest = all;
		mv_verdict(f.v, f.p, f.dst, &opts, NULL);
		cr_expect_str_eq(verdict_text(f.v), rows[i].expect, "row %s: %s", rows[i].name,
				 verdict_text(f.v));
		fixture_finish(&f);
	}
}

Test(verdict, without_interception_raw_is_compared_and_offers_are_not)
{
	struct mv_verdict_opts cold = { .cold = true };
	struct fixture f;

	fixture_init(&f);
	cr_assert_eq(make_policy(&f, "haswell", "", 1), 0);
	f.p->intercept = MV_INTERCEPTION_NONE;
	make_host(f.dst, "haswell kernel=0 -popcnt");
	mv_verdict(f.v, f.p, f.dst, NULL, NULL);
	cr_expect_str_eq(verdict_text(f.v), "interception 1.0:ecx[23]", "%s", verdict_text(f.v));
	mv_verdict(f.v, f.p, f.dst, &cold, NULL);
	cr_expect_str_eq(verdict_text(f.v), "", "%s", verdict_text(f.v));
	fixture_finish(&f);
}

/* ---- what a mismatch tells ---- */

Test(verdict, mismatch_tells_both_sides_and_the_line)
{
	struct fixture f;
	const struct mv_mismatch *m;

	fixture_init(&f);
	make_verdict(&f, "zen3 tsc=2000000", "sse4.1=T family=H field:phys-bits=48",
		     "zen3 -sse4.1 family=6 phys-bits=40 tsc=3000000", NULL);
	cr_assert_str_eq(verdict_text(f.v),
			 "symbol 1.0:eax[11-8] symbol 1.0:ecx[19] phys-bits 80000008.0:eax[7-0] tsc",
			 "%s", verdict_text(f.v));
	m = &f.v->m[0];
	cr_expect_str_eq(mv_mismatch_subject(m), "family");
	cr_expect_eq(m->sym, MV_SYM_H);
	cr_expect_eq(m->at, MV_AT(0, 2));
	cr_expect_eq(m->want, 0xf);
	cr_expect_eq(m->have, 6);
	m = &f.v->m[1];
	cr_expect_str_eq(mv_mismatch_subject(m), "SSE4.1");
	cr_expect_eq(m->sym, MV_SYM_T);
	cr_expect_eq(m->at, MV_AT(0, 1));
	cr_expect_eq(m->want, 1);
	cr_expect_eq(m->have, 0);
	m = &f.v->m[2];
	cr_expect_str_eq(mv_mismatch_subject(m), "phys-bits");
	cr_expect_eq(m->at, MV_AT(0, 3), "the field line, not the register's");
	cr_expect_eq(m->want, 48);
	cr_expect_eq(m->have, 40);
	cr_expect_str_eq(m->text, "physical address bits 48, the destination has 40");
	m = &f.v->m[3];
	cr_expect_str_eq(mv_mismatch_subject(m), "tsc");
	cr_expect_eq(m->reg, -1);
	cr_expect_eq(m->want, 2000000);
	cr_expect_eq(m->have, 3000000);
	fixture_finish(&f);
}

/* A component goes by the feature that one would have to hide. */
Test(verdict, components_have_names)
{
	static const struct {
		const char *src, *mask, *dst, *text;
	} rows[] = {
		{ "haswell", "xstate-avx=x", "haswell -xstate-avx",
		  "state component 2 (AVX), which the destination lacks" },
		{ "skylake-sp +xss-pt +intel-pt", "xss-pt=x", "skylake-sp +intel-pt",
		  "state component 8 (XSS-PT), which the destination lacks" },
		{ "skylake-sp d.0:eax=400e7", "d.0:eax[18]=1", "skylake-sp",
		  "state component 18 (AMX-TILE), which the destination lacks" },
		{ "skylake-sp d.0:eax=1000e7", "d.0:eax[20]=1", "skylake-sp",
		  "state component 20, which the destination lacks" },
		{ "zen3", "", "zen3 layout=zen2",
		  "state component 9 (PKU): 0x8 bytes at 0x980, on the destination 0x40 at 0x340" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct mv_mismatch *m;
		struct fixture f;

		fixture_init(&f);
		cr_expect_eq(make_verdict(&f, rows[i].src, rows[i].mask, rows[i].dst, NULL), 0);
		m = f.v->m;
		while (m < f.v->m + f.v->n && m->rule != MV_RULE_XSAVE)
			m++;
		cr_assert(m < f.v->m + f.v->n, "%s", rows[i].text);
		cr_expect_str_eq(m->text, rows[i].text, "%s", m->text);
		fixture_finish(&f);
	}
}

Test(verdict, a_reserved_bit_has_a_subject)
{
	struct fixture f;

	fixture_init(&f);
	make_verdict(&f, "haswell", "1.0:ecx[16]=R", "haswell 1.0:ecx=f7fffbbf", NULL);
	cr_assert_eq(f.v->n, 1);
	cr_expect_str_eq(mv_mismatch_subject(&f.v->m[0]), "reserved");
	fixture_finish(&f);
}

Test(verdict, text_of_a_hostile_vendor_string_is_printable)
{
	struct fixture f;

	fixture_init(&f);
	make_verdict(&f, "haswell vendor-ebx=0x5d1b0a9b", "", "haswell", NULL);
	cr_assert_eq(f.v->n, 1);
	for (const char *s = f.v->m[0].text; *s; s++)
		cr_expect(*s >= ' ' && *s <= '~');
	fixture_finish(&f);
}

/* The vectors of VirtualCenter's message. */
static const struct {
	const char *name, *src, *mask, *dst;
	uint32_t leaf;
	unsigned reg;
	const char *host, *required;
} vector_rows[] = {
	{ "every symbol", "skylake-sp", "1.0:ecx=x sse3=T pclmul=F dtes64=H smx=R sse4.1=0 popcnt=1",
	  "skylake-sp -sse3 -dtes64 -smx", 1, MV_ECX,
	  "1111 0111 1111 1110 1111 1011 1011 1010", "xxxx xxxx xxxx xxxx xxxx xxxx x1xx x101" },
	{ "F and R show what executes", "skylake-sp", "7.0:ebx=x sha=F popcnt=x adx=R",
	  "skylake-sp exec+sha kvm-adx", 7, MV_EBX, "1111 0011 1001 1111 1111 1111 1111 1011",
	  "xx0x xxxx xxxx 1xxx xxxx xxxx xxxx xxxx" },
	{ "bits that are not compared", "skylake-sp", "1.0:ecx=x osxsave=H hypervisor=T",
	  "skylake-sp", 1, MV_ECX, "1111 0111 1111 1110 1111 1011 1111 1111",
	  "xxxx xxxx xxxx xxxx xxxx xxxx xxxx xxxx" },
};

Test(verdict, vectors)
{
	for (size_t i = 0; i < COUNT(vector_rows); i++) {
		char host[MV_MASK_TEXT], required[MV_MASK_TEXT];
		struct fixture f;

		fixture_init(&f);
		make_verdict(&f, vector_rows[i].src, vector_rows[i].mask, vector_rows[i].dst, NULL);
		mv_verdict_vectors(f.p, f.dst, vector_rows[i].leaf, 0, vector_rows[i].reg, host,
				   required);
		cr_expect_str_eq(host, vector_rows[i].host, "row %s: %s", vector_rows[i].name, host);
		cr_expect_str_eq(required, vector_rows[i].required, "row %s: %s",
				 vector_rows[i].name, required);
		fixture_finish(&f);
	}
}

static bool same_place(const struct mv_mismatch *a, const struct mv_mismatch *b)
{
	return a->rule == b->rule && a->leaf == b->leaf && a->subleaf == b->subleaf &&
	       a->reg == b->reg && a->lo == b->lo;
}

/* Where a mask can help, the override that a mismatch suggests removes that mismatch. */
static void expect_remedies(const struct row *rows, size_t n)
{
	for (const struct row *r = rows; r < rows + n; r++) {
		struct fixture f;
		uint32_t mismatches;

		fixture_init(&f);
		make_verdict(&f, r->src, r->mask, r->dst, NULL);
		mismatches = f.v->n;
		for (uint32_t i = 0; i < mismatches; i++) {
			struct mv_mismatch m;
			enum mv_sym s;
			struct mv_mask_reg *reg;
			uint32_t left = 0;

			make_verdict(&f, r->src, r->mask, r->dst, NULL);
			m = f.v->m[i];
			s = mv_mismatch_remedy(&m);
			if (s == MV_SYM_INHERIT) {
				cr_expect_neq(m.rule, MV_RULE_SYMBOL, "row %s", r->name);
				cr_expect_neq(m.rule, MV_RULE_HAZARD, "row %s", r->name);
				continue;
			}
			reg = mv_mask_add(&f.p->final, m.leaf, m.subleaf, (unsigned)m.reg,
					  MV_VENDOR_OTHER);
			for (int bit = m.lo; bit <= m.hi; bit++)
				mv_mask_reg_set(reg, (unsigned)bit, s, 0);
			mv_apply(f.p, 1, f.notes, NULL);
			mv_verdict(f.v, f.p, f.dst, NULL, NULL);
			for (uint32_t j = 0; j < f.v->n; j++)
				left += same_place(&f.v->m[j], &m);
			cr_expect_eq(left, 0, "row %s: %s stays", r->name, mv_mismatch_subject(&m));
		}
		fixture_finish(&f);
	}
}

Test(verdict, the_remedy_removes_the_mismatch)
{
	expect_remedies(symbol_rows, COUNT(symbol_rows));
	expect_remedies(field_rows, COUNT(field_rows));
	expect_remedies(hazard_rows, COUNT(hazard_rows));
	expect_remedies(kvm_rows, COUNT(kvm_rows));
	expect_remedies(structural_rows, COUNT(structural_rows));
	expect_remedies(known_rows, COUNT(known_rows));
}

static const struct {
	const char *name, *src, *mask, *dst;
	char remedy;
} remedy_rows[] = {
	{ "T missing", "haswell", "popcnt=T", "haswell -popcnt", '0' },
	{ "F present", "haswell", "adx=F", "haswell +adx", '0' },
	{ "H lost", "haswell", "", "haswell -popcnt", '0' },
	{ "H gained", "haswell -popcnt", "", "haswell", '0' },
	{ "R", "haswell", "popcnt=R", "haswell -popcnt", '0' },
	{ "a family: no number is right", "haswell", "family=H", "haswell family=5", 'x' },
	{ "a warning that is lost", "skylake-sp", "md-clear=x", "skylake-sp -md-clear", '0' },
	{ "a warning that becomes true", "skylake-sp -md-clear", "md-clear=x", "skylake-sp", '1' },
	{ "an address width", "haswell", "", "haswell phys-bits=36", '-' },
	{ "the TSC", "haswell tsc=1000000", "", "haswell tsc=2000000", '-' },
};

Test(verdict, remedies)
{
	for (size_t i = 0; i < COUNT(remedy_rows); i++) {
		const struct mv_mismatch *m;
		struct fixture f;

		fixture_init(&f);
		make_verdict(&f, remedy_rows[i].src, remedy_rows[i].mask, remedy_rows[i].dst, NULL);
		cr_assert_eq(f.v->n, 1, "row %s", remedy_rows[i].name);
		m = &f.v->m[0];
		cr_expect_eq(mv_sym_char(mv_mismatch_remedy(m)), remedy_rows[i].remedy,
			     "row %s: %c", remedy_rows[i].name, mv_sym_char(mv_mismatch_remedy(m)));
		fixture_finish(&f);
	}
}

Test(verdict, more_mismatches_than_are_kept_are_counted)
{
	const uint32_t leaves = MV_MISMATCHES / (4 * 32) + 2, all = leaves * 4 * 32;
	struct fixture f;

	fixture_init(&f);
	cr_assert_eq(make_policy(&f, "haswell", "=x", 1), 0);
	make_host(f.dst, "haswell");
	for (uint32_t i = 0; i < leaves; i++) {
		struct mv_leaf *e = mv_table_add(&f.dst->kvm, 0x100 + i, 0);

		for (unsigned reg = 0; reg < MV_NREGS; reg++) {
			struct mv_mask_reg *r = mv_mask_add(&f.p->effective, 0x100 + i, 0, reg,
							    MV_VENDOR_OTHER);

			e->reg[reg] = UINT32_MAX;
			for (unsigned bit = 0; bit < 32; bit++)
				mv_mask_reg_set(r, bit, MV_SYM_H, 0);
		}
	}
	cr_assert_eq(mv_verdict(f.v, f.p, f.dst, NULL, NULL), 0);
	cr_expect_eq(f.v->n, MV_MISMATCHES);
	cr_expect_eq(f.v->refusals, all);
	cr_expect_eq(f.v->subset_refusals, all);
	fixture_finish(&f);
}

Test(verdict, rule_names)
{
	static const char *const names[MV_NRULES] = {
		"symbol",  "msr",    "vendor", "max-leaf",  "xsave",  "phys-bits",    "linear-bits",
		"clflush", "tsc",    "arch-caps", "hazard", "kvm",	      "interception",
	};

	for (unsigned i = 0; i < MV_NRULES; i++)
		cr_expect_str_eq(mv_rule_name((enum mv_rule)i), names[i]);
	cr_expect_str_eq(mv_rule_name(MV_NRULES), "?");
}

/* A table from a snapshot may hold anything: no shift, sum or index may go astray. */
Test(verdict, hostile_tables)
{
	struct fixture f;

	fixture_init(&f);
	cr_assert_eq(make_policy(&f, "sapphirerapids", "", 1), 0);
	make_host(f.dst, "sapphirerapids");
	for (uint32_t i = 0; i < f.p->guest.n; i++)
		memset(f.p->guest.e[i].reg, 0xff, sizeof(f.p->guest.e[i].reg));
	for (uint32_t i = 0; i < f.p->source.raw.n; i++)
		memset(f.p->source.raw.e[i].reg, 0xff, sizeof(f.p->source.raw.e[i].reg));
	f.p->source.kvm = f.p->source.raw;
	f.p->source.xcr0 = UINT64_MAX;
	cr_expect_eq(mv_verdict(f.v, f.p, f.dst, NULL, NULL), 0);
	cr_expect_gt(f.v->refusals, 0);
	f.p->intercept = MV_INTERCEPTION_NONE;
	f.p->source.proof[MV_INTERCEPTION_KERNEL] = 0;
	cr_expect_eq(mv_verdict(f.v, f.p, f.dst, NULL, NULL), 0);
	cr_expect_gt(f.v->refusals, 0);
	fixture_finish(&f);
}
