/* SPDX-License-Identifier: MIT */
/* Other tools' dumps: every variant of every format, every error with its place and words. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host_json.h"
#include "import.h"

#define DUMPS MV_SOURCE_DIR "/tests/data/dumps"

static struct mv_host *host;
static struct mv_import *report;
static struct mv_err err;

static void setup(void)
{
	host = calloc(1, sizeof(*host));
	report = calloc(1, sizeof(*report));
	cr_assert(host && report);
}

static void teardown(void)
{
	free(host);
	free(report);
}

TestSuite(import, .init = setup, .fini = teardown);

static int import(const char *text)
{
	err = (struct mv_err){ 0 };
	return mv_host_import_text(host, "dir/some.dump", text, strlen(text), report, &err);
}

/* Note n of that kind, or none. */
static const struct mv_import_note *note(enum mv_import_kind kind, unsigned n)
{
	for (uint32_t i = 0; i < report->nnotes; i++)
		if (report->notes[i].kind == kind && n-- == 0)
			return &report->notes[i];
	return NULL;
}

static void expect_leaf(const char *name, const struct mv_table *t, uint32_t leaf,
			uint32_t subleaf, const uint32_t want[MV_NREGS])
{
	const struct mv_leaf *e = mv_table_find(t, leaf, subleaf);

	cr_expect(e, "%s: leaf 0x%x.%x is not there", name, leaf, subleaf);
	for (unsigned r = 0; e && r < MV_NREGS; r++)
		cr_expect_eq(e->reg[r], want[r], "%s: 0x%x.%x %s is 0x%08x, not 0x%08x", name, leaf,
			     subleaf, mv_reg_name(r), e->reg[r], want[r]);
}

/* Leaves 0, 1 and 4 of a Core 2, as each format writes them. */
#define C0 "0x00000000 0x00: eax=0x00000004 ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69\n"
#define C1 "0x00000001 0x00: eax=0x00010676 ebx=0x00040800 ecx=0x0008e3fd edx=0xbfebfbff\n"
#define A0 "CPUID 00000000: 00000004-756E6547-6C65746E-49656E69"
#define A1 "CPUID 00000001: 00010676-00040800-0008E3FD-BFEBFBFF"
#define A4 "CPUID 00000004: 0C000121-01C0003F-0000003F-00000001"
#define X0 "<cpuid eax_in='0x00000000' ecx_in='0x00' eax='0x00000004' ebx='0x756e6547' " \
	   "ecx='0x6c65746e' edx='0x49656e69'/>"
#define X1 "<cpuid eax_in='0x00000001' ecx_in='0x00' eax='0x00010676' ebx='0x00040800' " \
	   "ecx='0x0008E3FD' edx='0xbfebfbff'/>"
#define JR(r, bits) "{\"register\":\"" r "\",\"bitmap\":\"0b" bits "\"}"
#define J(l, s, a, b, c, d) \
	"{\"leaf\":\"" l "\",\"subleaf\":\"" s "\",\"flags\":0,\"modifiers\":[" \
	JR("eax", a) "," JR("ebx", b) "," JR("ecx", c) "," JR("edx", d) "]}"
#define J0 J("0x0", "0x0", "100", "01110101011011100110010101000111", \
	     "01101100011001010111010001101110", "01001001011001010110111001101001")
#define J1 J("0x1", "0x0", "10000011001110110", "0000_0000_0000_0100_0000_1000_0000_0000", \
	     "10001110001111111101", "10111111111010111111101111111111")

#define XEN "Raw policy: 4 leaves, 1 MSRs\n" \
	"  00000000:ffffffff -> 00000004:756e6547:6c65746e:49656e69\n" \
	"  00000001:ffffffff -> 00010676:00040800:0008e3fd:bfebfbff\n"

static const uint32_t one[MV_NREGS] = { 0x00010676, 0x00040800, 0x0008e3fd, 0xbfebfbff };
static const uint32_t four[MV_NREGS] = { 0x0c000121, 0x01c0003f, 0x3f, 1 };
static const uint32_t four_1[MV_NREGS] = { 0x0c000122, 0x01c0003f, 0x3f, 1 };

Test(import, every_variant_of_every_format)
{
	static const struct {
		const char *name, *text, *format;
		uint32_t cpus, leaf, subleaf;
		const uint32_t *want;
	} rows[] = {
		{ "cpuid -1 -r", "CPU:\n   " C0 "   " C1, "cpuid -r", 1, 1, 0, one },
		{ "cpuid -r, two CPUs", "CPU 0:\n" C0 C1 "CPU 1:\n" C0 C1, "cpuid -r", 2, 1, 0,
		  one },
		{ "cpuid -r, no heading", C0 C1, "cpuid -r", 1, 1, 0, one },
		{ "cpuid -r, no subleaf: a repeated leaf is the next",
		  "CPU 0:\n" C0 C1
		  "   0x00000004: eax=0x0c000121 ebx=0x01c0003f ecx=0x0000003f edx=0x00000001\n"
		  "   0x00000004: eax=0x0c000122 ebx=0x01c0003f ecx=0x0000003f edx=0x00000001\n",
		  "cpuid -r", 1, 4, 1, four_1 },
		{ "CRLF, BOM, no final newline",
		  "\xef\xbb\xbf" "CPU:\r\n   0x00000000 0x00: eax=0x00000004 ebx=0x756e6547 "
		  "ecx=0x6c65746e edx=0x49656e69\r\n0x00000001 0x00: eax=0x00010676 ebx=0x00040800 "
		  "ecx=0x0008e3fd edx=0xbfebfbff", "cpuid -r", 1, 1, 0, one },
		{ "kcpuid -r",
		  "Basic Leafs :\n================\n"
		  "0x00000000: EAX=0x00000004, EBX=0x756e6547, ECX=0x6c65746e, EDX=0x49656e69\n"
		  "0x00000001: EAX=0x00010676, EBX=0x00040800, ECX=0x0008e3fd, EDX=0xbfebfbff\n"
		  "0x00000004: subleafs:\n"
		  "  0: EAX=0x0c000121, EBX=0x01c0003f, ECX=0x0000003f, EDX=0x00000001\n"
		  "  1: EAX=0x0c000122, EBX=0x01c0003f, ECX=0x0000003f, EDX=0x00000001\n",
		  "kcpuid -r", 1, 4, 1, four_1 },
		{ "AIDA64", "------[ CPUID Registers / Logical CPU #0 ]------\n\n" A0 " "
		  "[GenuineIntel]\n"
		  A1 "\n" A4 " [SL 00] [L1D: 32 KB]\n"
		  "CPUID 00000004: 0C000122-01C0003F-0000003F-00000001 [SL 01] [L1I: 32 KB]\n",
		  "AIDA64", 1, 4, 1, four_1 },
		{ "AIDA64, two CPUs", "------[ Logical CPU #0 ]------\n" A0 "\n" A1
		  "\n------[ Logical CPU #1 ]------\n" A0 "\n" A1 "\n", "AIDA64", 2, 1, 0, one },
		{ "AIDA64, old headings", "CPUID Registers (CPU #1):\n" A0 "\n" A1
		  "\nCPUID Registers (CPU #2 Virtual):\n" A0 "\n" A1 "\n", "AIDA64", 2, 1, 0, one },
		{ "AIDA64, AffMask", "CPU#000 AffMask: 0x0000000000000001\n" A0 "\n" A1
		  "\nCPU#001 AffMask: 0X00000002:00000000 \n" A0 "\n" A1 "\n", "AIDA64", 2, 1,
		  0, one },
		{ "AIDA64, underscores", "_____ Logical CPU #0 _____\n" A0 "\n" A1
		  "\n_____ Logical CPU #1 _____\n" A0 "\n" A1 "\n", "AIDA64", 2, 1, 0, one },
		{ "AIDA64, cpuid's headings", "CPU 0:\n" A0 "\n" A1 "\nCPU 1:\n" A0 "\n" A1 "\n",
		  "AIDA64", 2, 1, 0, one },
		{ "AIDA64, no headings: leaf 0 begins a CPU", A0 "\n" A1 "\n" A0 "\n" A1 "\n" A0
		  "\n"
		  A1 "\n", "AIDA64", 3, 1, 0, one },
		{ "AIDA64, no colon, blanks and tabs",
		  "CPUID 00000000  \t00000004-756E6547-6C65746E-49656E69\n"
		  "CPUID 00000001 :00010676-00040800-0008E3FD-BFEBFBFF\n", "AIDA64", 1, 1, 0, one },
		{ "AIDA64, blanks instead of dashes",
		  "CPUID 00000000 00000004 756E6547 6C65746E 49656E69\n"
		  "CPUID 00000001: 00010676 00040800 0008E3FD BFEBFBFF\n", "AIDA64", 1, 1, 0, one },
		{ "AIDA64, lower case", "cpuid 00000000: 00000004-756e6547-6c65746e-49656e69\n"
		  "cpuid 00000001: 00010676-00040800-0008e3fd-bfebfbff\n", "AIDA64", 1, 1, 0, one },
		{ "AIDA64, no subleaves: a repeated leaf is the next", A0 "\n" A1 "\n" A4 "\n"
		  "CPUID 00000004: 0C000122-01C0003F-0000003F-00000001\n", "AIDA64", 1, 4, 1,
		  four_1 },
		{ "AIDA64, Latin-1 and prose around", "CPUID Hersteller: Prozessor f\xfc" "r "
		  "\xb5" "m\n"
		  A0 " [\xc4\xd6 / L3: 0 KB]\n" A1 " [] / L3: 0 KB]\nCPUID Manufacturer : "
		  "GenuineIntel\n"
		  "MSR 00000017: < FAILED >\n", "AIDA64", 1, 1, 0, one },
		{ "libcpuid: nothing counts behind the dashes", A0 "\n" A1 "\n" A4 " [SL 00]\n"
		  "------------------------------------------------------------"
		  "--------------------\n"
		  "intel\n-1\nCPUID what libcpuid expects\n", "libcpuid", 1, 4, 0, four },
		{ "libcpuid, arrays",
		  "version=0.2.0\nbasic_cpuid[0]=00000004 756e6547 6c65746e 49656e69\n"
		  "basic_cpuid[1]=00010676 00040800 0008e3fd bfebfbff\n"
		  "basic_cpuid[4]=0c000121 01c0003f 0000003f 00000001\n"
		  "intel_fn4[0]=0c000121 01c0003f 0000003f 00000001\n"
		  "intel_fn4[1]=0c000122 01c0003f 0000003f 00000001\n", "libcpuid", 1, 4, 1,
		  four_1 },
		{ "libvirt", "<?xml version='1.0'?>\n<!-- Xeon -->\n<cpudata arch='x86'>\n " X0
		  "\n " X1
		  "\n</cpudata>\n", "libvirt cpudata", 1, 1, 0, one },
		{ "libvirt without subleaves and with an MSR", "<cpudata arch='x86'>" X0
		  "<cpuid eax_in='0x1' eax='0x10676' ebx='0x40800' ecx='0x8e3fd' edx='0xbfebfbff'/>"
		  "<msr index='0x10a' edx='0x0' eax='0x2b'/></cpudata>", "libvirt cpudata", 1,
		  1, 0, one },
		{ "Firecracker's CPU configuration", " {\"cpuid_modifiers\":[" J0 "," J1 "]}",
		  "Firecracker", 1, 1, 0, one },
		{ "Firecracker's fingerprint",
		  "{\"firecracker_version\":\"1.9\",\"kernel_version\":"
		  "\"6.1.2\",\"microcode_version\":\"0x1f\","
		  "\"guest_cpu_config\":{\"kvm_capabilities\":[],"
		  "\"cpuid_modifiers\":[" J0 "," J1 "],\"msr_modifiers\":[{\"addr\":\"0x10a\","
		  "\"bitmap\":\"0b101011\"}]}}", "Firecracker", 1, 1, 0, one },
		{ "xen-cpuid -p",
		  "Xen reports there are maximum 120 leaves and 2 MSRs\nRaw policy: 4 leaves, 1 "
		  "MSRs\n"
		  " CPUID:\n  leaf     subleaf  -> eax      ebx      ecx      edx     \n"
		  "  00000000:ffffffff -> 00000004:756e6547:6c65746e:49656e69\n"
		  "  00000001:ffffffff -> 00010676:00040800:0008e3fd:bfebfbff\n"
		  "  00000004:00000000 -> 0c000121:01c0003f:0000003f:00000001\n"
		  "  00000004:00000001 -> 0c000122:01c0003f:0000003f:00000001\n"
		  " MSRs:\n  index    -> value           \n  0000010a -> 000000000000002b\n"
		  "Host policy: 2 leaves, 0 MSRs\n CPUID:\n"
		  "  00000000:ffffffff -> 00000004:11111111:6c65746e:49656e69\n",
		  "xen-cpuid -p", 1, 4, 1, four_1 },
		{ "our probe guest",
		  "probe: minivmm-probe 1 vendor=GenuineIntel family=6 model=23 stepping=6 "
		  "vmm=absent\n"
		  "cpuid: " C0 "cpuid: " C1, "minivmm probe", 1, 1, 0, one },
	};
	char text[4096];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* The probe's lines have no colon behind the subleaf. */
		snprintf(text, sizeof(text), "%s", rows[i].text);
		for (char *p = text; !strcmp(rows[i].format, "minivmm probe") && *p; p++)
			if (!strncmp(p, " 0x00:", 6))
				memmove(p + 5, p + 6, strlen(p + 5));
		cr_expect_eq(import(text), 0, "%s: %s:%u: %s", rows[i].name, err.file, err.line,
			     err.msg);
		cr_expect_str_eq(report->format, rows[i].format, "%s", rows[i].name);
		cr_expect_str_eq(host->source, rows[i].format, "%s", rows[i].name);
		cr_expect_str_eq(host->name, "some", "%s", rows[i].name);
		cr_expect_eq(report->cpus, rows[i].cpus, "%s: %u CPUs", rows[i].name, report->cpus);
		cr_expect(host->assumed && !host->proved && mv_host_intercepts(host));
		expect_leaf(rows[i].name, &host->raw, rows[i].leaf, rows[i].subleaf, rows[i].want);
	}
}

Test(import, every_error_in_its_place)
{
	static const struct {
		const char *name, *text;
		uint32_t line;
		const char *want;
	} rows[] = {
		{ "nothing", "", 0, "the file is empty" },
		{ "blanks", "\n \t\r\n", 0, "the file is empty" },
		{ "prose", "processor : 0\nvendor_id : GenuineIntel\n", 0,
		  "no known format: this is no CPU dump" },
		{ "a heading and no leaf", "CPU 0:\n   vendor_id = \"GenuineIntel\"\n", 0,
		  "cpuid -r: no CPUID leaf found, this describes no CPU" },
		{ "AIDA64 without leaves", "------[ Logical CPU #0 ]------\n", 0,
		  "AIDA64: no CPUID leaf found, this describes no CPU" },
		{ "no leaf 0", C1, 0, "leaf 0 is missing: this describes no CPU" },
		{ "no leaf 1", C0, 0, "leaf 1 is missing: this describes no CPU" },
		{ "leaf 1 is zero", A0 "\nCPUID 00000001: 00000000-00000000-00000000-00000000\n", 0,
		  "leaf 1 is zero: this describes no CPU" },
		{ "leaf 1 beyond the maximum",
		  "CPUID 00000000: 00000000-756E6547-6C65746E-49656E69\n" A1 "\n", 0,
		  "leaf 1 is missing: this describes no CPU" },
		{ "cpuid, wrong digit",
		  C0 C1 "0x00000002 0x00: eax=0x0000000g ebx=0x00000000 ecx=0x0 edx=0x0\n", 3,
		  "not \"0xLEAF 0xSUBLEAF: eax=0x... ebx=0x... ecx=0x... edx=0x...\"" },
		{ "cpuid, nine digits",
		  C0 C1 "0x00000002 0x00: eax=0x000000001 ebx=0x00000000 ecx=0x0 edx=0x0\n", 3,
		  "not \"0xLEAF 0xSUBLEAF: eax=0x... ebx=0x... ecx=0x... edx=0x...\"" },
		{ "cpuid, cut short", C0 C1 "0x00000002 0x00: eax=0x00000", 3,
		  "not \"0xLEAF 0xSUBLEAF: eax=0x... ebx=0x... ecx=0x... edx=0x...\"" },
		{ "kcpuid, wrong digit",
		  "0x00000000: EAX=0x00000004, EBX=0x756e6547, ECX=0x6c65746e, EDX=0x49656e69\n"
		  "0x00000001: EAX=0x0001067X, EBX=0x00040800, ECX=0x0008e3fd, EDX=0xbfebfbff\n", 2,
		  "not \"0xLEAF: subleafs:\" or \"0xLEAF: EAX=0x..., ...\"" },
		{ "kcpuid, subleaf from nowhere",
		  "0x00000000: EAX=0x00000004, EBX=0x756e6547, ECX=0x6c65746e, EDX=0x49656e69\n"
		  " 1: EAX=0x0, EBX=0x0, ECX=0x0, EDX=0x0\n", 2, "a subleaf without its leaf" },
		{ "AIDA64, wrong digit", A0 "\nCPUID 00000001: "
		  "00010676-0004080G-0008E3FD-BFEBFBFF\n", 2,
		  "not four registers of 8 hexadecimal digits" },
		{ "AIDA64, three registers", A0 "\nCPUID 00000001: 00010676-00040800-0008E3FD\n", 2,
		  "not four registers of 8 hexadecimal digits" },
		{ "AIDA64, leaf of seven digits", A0 "\nCPUID 0000001: "
		  "00010676-00040800-0008E3FD-0\n", 2,
		  "not a leaf of 8 hexadecimal digits" },
		{ "AIDA64, subleaf", A0 "\n" A1 "\n" A4 " [SL xx]\n", 3,
		  "not a subleaf: [SL nn] expected" },
		{ "libcpuid, index", "basic_cpuid[x]=00000004 756e6547 6c65746e 49656e69\n", 1,
		  "not NAME[number]=" },
		{ "libcpuid, huge index", "ext_cpuid[99999999]=00000004 756e6547 6c65746e "
		  "49656e69\n", 1,
		  "not NAME[number]=" },
		{ "libcpuid, register", "basic_cpuid[0]=4 756e6547 6c65746e 49656e69\n", 1,
		  "not four registers of 8 hexadecimal digits" },
		{ "Xen, register", "Raw policy: 1 leaves, 0 MSRs\n"
		  "  00000000:ffffffff -> 00000004:756e6547:6c65746e\n", 2,
		  "not four registers of 8 hexadecimal digits" },
		{ "Xen, MSR", "Raw policy: 1 leaves, 0 MSRs\n  0000010a -> 2b\n", 2,
		  "not an MSR of 16 hexadecimal digits" },
		{ "Xen, leaf", "Raw policy: 1 leaves, 0 MSRs\n  0000:00000000 -> 0:0:0:0\n", 2,
		  "not LEAF:SUBLEAF -> registers" },
		{ "probe", "cpuid: 0x00000000 0x00 eax=0x00000004\n", 1,
		  "not a leaf, a subleaf and four registers" },
		{ "XML, other root", "<capabilities><host/></capabilities>", 1,
		  "<capabilities>, not libvirt's <cpudata>" },
		{ "XML, other architecture", "\n<cpudata arch='ppc64'/>", 2,
		  "<cpudata> of another architecture than x86" },
		{ "XML, late declaration", "\n<?xml version='1.0'?><cpudata/>", 2,
		  "not XML: " },
		{ "XML, element", "<cpudata arch='x86'>\n<cpu/></cpudata>", 2,
		  "<cpu> is not expected here" },
		{ "XML, nested", "<cpudata arch='x86'>\n<cpuid eax_in='0x0' eax='0x0' ebx='0x0' "
		  "ecx='0x0' "
		  "edx='0x0'><x/></cpuid></cpudata>", 2, "<x> is not expected here" },
		{ "XML, attribute missing", "<cpudata arch='x86'>\n<cpuid eax_in='0x0' eax='0x0' "
		  "ebx='0x0' edx='0x0'/></cpudata>", 2, "attribute ecx is missing" },
		{ "XML, not a number", "<cpudata arch='x86'>\n<cpuid eax_in='0x0' eax='0x0' "
		  "ebx='12' "
		  "ecx='0x0' edx='0x0'/></cpudata>", 2,
		  "attribute ebx: not a number of 32 bits like 0x1f" },
		{ "XML, subleaf too long", "<cpudata arch='x86'>\n<cpuid eax_in='0x0' eax='0x0' "
		  "ebx='0x0' "
		  "ecx='0x0' edx='0x0' ecx_in='0x123456789'/></cpudata>", 2,
		  "attribute ecx_in: not a number of 32 bits like 0x1f" },
		{ "XML, no leaves", "<cpudata arch='x86'></cpudata>", 0,
		  "libvirt cpudata: no CPUID leaf found, this describes no CPU" },
		{ "XML, document type", "<?xml version='1.0'?>\n<!DOCTYPE cpudata [\n<!ENTITY a "
		  "'x'>\n"
		  "<!ENTITY b '&a;&a;&a;&a;'>\n]>\n<cpudata arch='&b;'/>", 2,
		  "a document type (<!DOCTYPE>) is refused" },
		{ "XML, external", "<!DOCTYPE cpudata SYSTEM 'file:///etc/passwd'>\n<cpudata/>", 1,
		  "a document type (<!DOCTYPE>) is refused" },
		{ "XML, entity", "<cpudata arch='x86'>\n<cpuid eax_in='&a;'/></cpudata>", 2,
		  "not XML: " },
		{ "JSON, cut short", "{\"cpuid_modifiers\":[", 1, "not JSON: " },
		{ "JSON, something else", "{\"a\":1}", 0, "JSON, but neither a host file of ours "
		  "nor "
		  "Firecracker's: no member \"minivmm-host\", \"guest_cpu_config\" or "
		  "\"cpuid_modifiers\"" },
		{ "JSON, ours", "{\"minivmm-host\":1}", 0, "member \"name\" is missing" },
		{ "Firecracker, list", "{\"cpuid_modifiers\":{}}", 0,
		  "member \"cpuid_modifiers\" is not array" },
		{ "Firecracker, no list", "{\"guest_cpu_config\":{}}", 0,
		  "member \"cpuid_modifiers\" is missing" },
		{ "Firecracker, element", "{\"cpuid_modifiers\":[7]}", 0,
		  "member \"cpuid_modifiers\": an element is not an object" },
		{ "Firecracker, huge number",
		  "{\"cpuid_modifiers\":[{\"leaf\":99999999999999999999}]}", 0,
		  "member \"leaf\": not a number of 32 bits like \"0x1f\"" },
		{ "Firecracker, template", "{\"cpuid_modifiers\":[" J("0x7", "0x0", "0x1", "0",
		  "0", "0")
		  "]}", 0, "leaf 0x7.0: member \"bitmap\": a template that leaves bits open "
		  "describes no "
		  "CPU" },
		{ "Firecracker, 33 bits", "{\"cpuid_modifiers\":[" J("0x7", "0x1",
		  "000000000000000000000000000000000", "0", "0", "0") "]}", 0,
		  "leaf 0x7.1: member \"bitmap\": more than 32 bits" },
		{ "Firecracker, no bits", "{\"cpuid_modifiers\":[" J("0x7", "0x1", "_", "0",
		  "0", "0") "]}",
		  0, "leaf 0x7.1: member \"bitmap\": no bits" },
		{ "Firecracker, MSR",
		  "{\"cpuid_modifiers\":[],\"msr_modifiers\":[{\"addr\":\"0x10a\","
		  "\"bitmap\":\"0b2\"}]}", 0, "MSR 0x10a: member \"bitmap\": '2' is not a bit" },
		{ "Firecracker, no leaves", "{\"cpuid_modifiers\":[]}", 0,
		  "Firecracker: no CPUID leaf found, this describes no CPU" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(import(rows[i].text), -MV_E_INPUT, "%s: accepted", rows[i].name);
		/* What libxml2 and json-c say may change. */
		if (!strncmp(rows[i].want, "not ", 4) && strstr(rows[i].want, ": ") &&
		    !strstr(rows[i].want, ": ")[2])
			cr_expect(!strncmp(err.msg, rows[i].want, strlen(rows[i].want)), "%s: %s",
				  rows[i].name, err.msg);
		else
			cr_expect_str_eq(err.msg, rows[i].want, "%s: %s", rows[i].name, err.msg);
		cr_expect_str_eq(err.file, "dir/some.dump", "%s", rows[i].name);
		cr_expect_eq(err.line, rows[i].line, "%s: line %u", rows[i].name, err.line);
	}
}

Test(import, what_has_to_be_said)
{
	static const struct {
		const char *name, *text;
		enum mv_import_kind kind;
		uint32_t line;
		const char *want;
	} rows[] = {
		{ "a virtual machine", C0
		  "0x00000001 0x00: eax=0x00010676 ebx=0x00040800 ecx=0x8008e3fd edx=0xbfebfbff\n"
		  "0x40000000 0x00: eax=0x40000001 ebx=0x4b4d564b ecx=0x564b4d56 edx=0x0000004d\n",
		  MV_IMPORT_VM, 0, "taken in a virtual machine (KVMKVMKVM): its hypervisor may "
		  "hide "
		  "features" },
		{ "echoes", C0 C1
		  "0x00000005 0x00: eax=0x00000001 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n"
		  "0x80860000 0x00: eax=0x00000007 ebx=0x00000340 ecx=0x00000340 edx=0x00000000\n"
		  "0xc0000000 0x00: eax=0x00000000 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n",
		  MV_IMPORT_RANGE, 3, "2 leaves beyond the maximum of their range left out, the "
		  "first is "
		  "0x5" },
		{ "a 32-bit program's dump", C0 C1
		  "0x80000000 0x00: eax=0x80000001 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n"
		  "0x80000001 0x00: eax=0x00000000 ebx=0x00000000 ecx=0x00000001 edx=0x20100000\n",
		  MV_IMPORT_SYSCALL, 0, "dumped by 32-bit code, which is not shown SYSCALL: "
		  "added, the "
		  "CPU has long mode" },
		{ "CPUs that differ", "CPU 0:\n" C0 C1 "CPU 1:\n" C0
		  "0x00000001 0x00: eax=0x00010677 ebx=0x01040800 ecx=0x0008e3fd edx=0xbfebfbff\n"
		  "CPU 2:\n" C0
		  "0x00000001 0x00: eax=0x00010676 ebx=0x02040800 ecx=0x0008e3fd edx=0xbfebfbff\n",
		  MV_IMPORT_DIFFER, 6, "Level 0x1h: 1 of 3 logical CPUs differ from the first: EAX "
		  "0x00010677 instead of 0x00010676, as on CPU #1" },
		{ "a leaf of one CPU only", "CPU 0:\n" C0 C1 "CPU 1:\n" C0 C1
		  "0x00000003 0x00: eax=0x00000000 ebx=0x00000000 ecx=0x00000001 edx=0x00000000\n",
		  MV_IMPORT_DIFFER, 7, "Level 0x3h: 1 of 2 logical CPUs differ from the first: "
		  "not on all "
		  "of them, as on CPU #1" },
		{ "a leaf with two values", C0 C1
		  "0x00000001 0x00: eax=0x00010677 ebx=0x00040800 ecx=0x0008e3fd edx=0xbfebfbff\n",
		  MV_IMPORT_TWICE, 3, "leaf 0x1 subleaf 0x0 is there twice with different "
		  "values: the "
		  "first one counts" },
		{ "an important leaf is missing",
		  "CPUID 00000000: 00000007-756E6547-6C65746E-49656E69\n" A1 "\n",
		  MV_IMPORT_MISSING, 0,
		  "Level 0x7h Sublevel 0x0h is not in the dump: its features count as absent" },
		{ "XSAVE layout is missing",
		  "CPUID 00000000: 0000000D-756E6547-6C65746E-49656E69\n"
		  "CPUID 00000001: 000206A7-00100800-1FBAE3FF-BFEBFBFF\n"
		  "CPUID 00000007: 00000000-00000000-00000000-00000000 [SL 00]\n"
		  "CPUID 0000000D: 00000007-00000340-00000340-00000000 [SL 00]\n"
		  "CPUID 0000000D: 00000001-00000000-00000000-00000000 [SL 01]\n",
		  MV_IMPORT_MISSING, 0,
		  "the layout of XSAVE components 0x4 is not in the dump" },
		{ "ARCH_CAPABILITIES is missing",
		  "cpuid: 0x00000000 0x00 eax=0x00000007 ebx=0x756e6547 ecx=0x6c65746e "
		  "edx=0x49656e69\n"
		  "cpuid: 0x00000001 0x00 eax=0x00050654 ebx=0x00040800 ecx=0x0008e3fd "
		  "edx=0xbfebfbff\n"
		  "cpuid: 0x00000007 0x00 eax=0x00000000 ebx=0x00000000 ecx=0x00000000 "
		  "edx=0x20000000\n",
		  MV_IMPORT_MISSING, 0, "the MSR ARCH_CAPABILITIES (0x10a) is not in the dump: "
		  "its bits "
		  "count as absent" },
		{ "no long mode", C0 C1, MV_IMPORT_NO_KVM, 0,
		  "a CPU without long mode: no 64-bit Linux, no KVM" },
		{ "Xen's other policies", "PV Max policy: 2 leaves, 0 MSRs\n"
		  "  00000000:ffffffff -> 00000004:756e6547:6c65746e:49656e69\n"
		  "Host policy: 2 leaves, 0 MSRs\n"
		  "  00000000:ffffffff -> 00000004:756e6547:6c65746e:49656e69\n"
		  "  00000001:ffffffff -> 00010676:00040800:0008e3fd:bfebfbff\n",
		  MV_IMPORT_IGNORED, 3,
		  "another policy, Host, was used instead" },
		{ "privilege levels that differ",
		  "cpuid: 0x00000000 0x00 eax=0x00000004 ebx=0x756e6547 ecx=0x6c65746e "
		  "edx=0x49656e69\n"
		  "cpuid: cpl0 0x00000001 0x00 eax=0x00000001 ebx=0x0 ecx=0x0 edx=0x0\n"
		  "cpuid: cpl3 0x00000001 0x00 eax=0x00010676 ebx=0x0 ecx=0x0 edx=0x0\n",
		  MV_IMPORT_IGNORED, 0, "1 leaves differ between privilege levels: what CPL 3 "
		  "saw was "
		  "used" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct mv_import_note *n;

		cr_expect_eq(import(rows[i].text), 0, "%s: %s", rows[i].name, err.msg);
		n = note(rows[i].kind, 0);
		cr_expect(n, "%s: not said", rows[i].name);
		if (!n)
			continue;
		cr_expect_str_eq(n->text, rows[i].want, "%s: %s", rows[i].name, n->text);
		cr_expect_eq(n->line, rows[i].line, "%s: line %u", rows[i].name, n->line);
		cr_expect_null(note(rows[i].kind, 1), "%s: said twice", rows[i].name);
	}
}

/* ---- which leaves come through ---- */

Test(import, only_leaves_that_mean_something)
{
	const uint32_t hv[MV_NREGS] = { 0, 0x4b4d564b, 0x564b4d56, 0x4d };

	/* KVM's maximum of 0 means one leaf more; 0x40000100 is another interface. */
	cr_assert_eq(import(C0
		"0x00000001 0x00: eax=0x00010676 ebx=0x00040800 ecx=0x8008e3fd edx=0xbfebfbff\n"
		"0x00000002 0x00: eax=0x00000000 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n"
		"0x00000004 0x00: eax=0x0c000121 ebx=0x01c0003f ecx=0x0000003f edx=0x00000001\n"
		"0x00000004 0x01: eax=0x0c000000 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n"
		"0x40000000 0x00: eax=0x00000000 ebx=0x4b4d564b ecx=0x564b4d56 edx=0x0000004d\n"
		"0x40000001 0x00: eax=0x01000001 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n"
		"0x40000002 0x00: eax=0x01000001 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n"
		"0x40000100 0x00: eax=0x40000101 ebx=0x00000001 ecx=0x00000000 edx=0x00000000\n"
		"0x40000101 0x00: eax=0x00000005 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n"
		"0x80000000 0x00: eax=0x0c000121 ebx=0x01c0003f ecx=0x0000003f edx=0x00000001\n"
		"0x80000001 0x00: eax=0x0c000121 ebx=0x01c0003f ecx=0x0000003f "
		"edx=0x00000001\n"), 0);
	cr_expect_eq(host->raw.n, 7, "%u leaves", host->raw.n);
	expect_leaf("kvm", &host->raw, 0x40000000, 0, hv);
	cr_expect(mv_table_find(&host->raw, 0x40000001, 0));
	cr_expect(!mv_table_find(&host->raw, 0x40000002, 0));
	cr_expect(mv_table_find(&host->raw, 0x40000101, 0));
	cr_expect(!mv_table_find(&host->raw, 0x80000000, 0), "an echo of leaf 4");
	cr_expect(!mv_table_find(&host->raw, 4, 1), "the end of a list");
}

Test(import, hypervisor_leaves_of_no_virtual_machine_are_echoes)
{
	cr_assert_eq(import(C0 C1
		"0x40000000 0x00: eax=0x40000001 ebx=0x00000001 ecx=0x00000000 "
		"edx=0x00000000\n"), 0);
	cr_expect_eq(host->raw.n, 2);
	cr_expect(note(MV_IMPORT_RANGE, 0));
}

Test(import, what_else_a_dump_tells)
{
	uint64_t caps = 0;

	cr_assert_eq(import("{\"kernel_version\":\"6.1.2\",\"microcode_version\":\"0x1f\","
			    "\"guest_cpu_config\":{\"cpuid_modifiers\":[" J0 "," J1 "],"
			    "\"msr_modifiers\":[{\"addr\":\"0x10a\","
			    "\"bitmap\":\"0b1000000101011\"}]}}"), 0);
	cr_expect_str_eq(host->kernel, "6.1.2");
	cr_expect_eq(host->microcode, 0x1f);
	cr_expect(mv_host_msr(host, 0x10a, &caps) && caps == 0x6b, "0x%llx",
		  (unsigned long long)caps);
	cr_assert_eq(import(A0 "\n" A1 "\nMSR 0000008B: 0000-00AB-0000-0000\n"
			    "MSR 0000010A: 0000-0000-0000-002B\n"), 0);
	cr_expect_eq(host->microcode, 0xab);
	cr_expect(mv_host_msr(host, 0x10a, &caps) && caps == 0x6b);
	cr_expect_str_eq(host->kernel, MV_ASSUMED_KERNEL " (assumed)");
	cr_assert_eq(import("CPUID 00000000: 00000016-756E6547-6C65746E-49656E69\n" A1 "\n"
			    "CPUID 00000015: 00000002-000000A8-0249F000-00000000\n"), 0);
	cr_expect_eq(host->tsc_khz, 3225600);
}

/* Granite Rapids has more in 0x7.1 and 0x1E.1 than Linux 6.1 passes on. */
Test(import, features_of_other_subleaves_are_passed_on_by_name)
{
	const uint32_t avx_vnni_bf16[MV_NREGS] = { 1u << 4 | 1u << 5, 0, 0, 0 };
	const uint32_t first[MV_NREGS] = { 2, 0xf1bf2ffb, 0x1b415f6e, 0xafc14410 };
	const uint32_t tmul[MV_NREGS] = { 1, 0x4010, 0, 0 };

	cr_assert_eq(import("CPUID 00000000: 0000001F-756E6547-6C65746E-49656E69\n"
			    "CPUID 00000001: 000A06D1-00400800-77FEFBFF-BFEBFBFF\n"
			    "CPUID 00000007: 00000002-F3BFBFFB-BB417FEE-FFDD4430 [SL 00]\n"
			    "CPUID 00000007: 40201D30-00000001-00000000-000E4000 [SL 01]\n"
			    "CPUID 00000007: 00000000-00000000-00000000-0000003F [SL 02]\n"
			    "CPUID 0000001E: 00000001-00004010-00000000-00000000 [SL 00]\n"
			    "CPUID 0000001E: 000001FF-00000000-00000000-00000000 [SL 01]\n"), 0, "%s", err.msg);
	expect_leaf("0x7", &host->kvm, 7, 0, first);
	expect_leaf("0x7.1", &host->kvm, 7, 1, avx_vnni_bf16);
	expect_leaf("0x1e", &host->kvm, 0x1e, 0, tmul);
	cr_expect_null(mv_table_find(&host->kvm, 0x1e, 1));
}

/* Whether VMX can scale the TSC no leaf says; whether the CPU is one of those that can, one does. */
Test(import, tsc_scaling_is_assumed_by_generation)
{
	static const struct {
		const char *name, *text;
		bool scales;
	} rows[] = {
		{ "Skylake", "CPUID 00000000: 00000016-756E6547-6C65746E-49656E69\n" A1 "\n"
		  "CPUID 00000007: 00000000-029C6FBF-00000000-00000000\n", false },
		{ "Ice Lake: GFNI", "CPUID 00000000: 00000016-756E6547-6C65746E-49656E69\n" A1 "\n"
		  "CPUID 00000007: 00000000-F2BF27EF-40405F4E-BC000410\n", true },
		{ "an AMD CPU with GFNI tells of its own kind",
		  "CPUID 00000000: 00000010-68747541-444D4163-69746E65\n" A1 "\n"
		  "CPUID 00000007: 00000000-F1BF97A9-00405FC6-00000010\n", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(import(rows[i].text), 0, "%s: %s", rows[i].name, err.msg);
		cr_expect_eq(host->tsc_scaling, rows[i].scales, "%s", rows[i].name);
	}
}

/* ---- files ---- */

static void import_file(const char *path, int want)
{
	err = (struct mv_err){ 0 };
	cr_expect_eq(mv_host_import(host, path, report, &err), want, "%s: %s", path, err.msg);
}

Test(import, dumps_that_the_tools_themselves_wrote)
{
	static const struct {
		const char *file, *format;
		uint32_t leaves, leaf, subleaf;
		uint32_t want[MV_NREGS];
	} rows[] = {
		{ "cpuid-1-r.txt", "cpuid -r", 30, 7, 0, { 1, 0xf1bf07ab, 0x00405fc6, 0x110 } },
		{ "kcpuid-r.txt", "kcpuid -r", 28, 7, 0, { 1, 0xf1bf07ab, 0x00405fc6, 0x110 } },
		{ "probe-epyc.txt", "minivmm probe", 0, 7, 0, { 0, 0x009801a9, 0, 0 } },
		{ "probe-nehalem.txt", "minivmm probe", 0, 1, 0,
		  { 0x000106a3, 0x800, 0x80982201, 0x078bfbfd } },
		{ "probe-skylake-client.txt", "minivmm probe", 0, 0xd, 2, { 0x100, 0x240, 0, 0 } },
		{ "lab-haswell.json", "minivmm host file", 0, 7, 0, { 0, 0x000027ab, 0, 0 } },
	};
	char path[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", DUMPS, rows[i].file);
		import_file(path, 0);
		cr_expect_str_eq(report->format, rows[i].format, "%s", rows[i].file);
		expect_leaf(rows[i].file, &host->raw, rows[i].leaf, rows[i].subleaf, rows[i].want);
		if (rows[i].leaves)
			cr_expect_eq(host->raw.n, rows[i].leaves, "%s: %u leaves", rows[i].file,
				     host->raw.n);
	}
}

/* The bits in which the lab's hosts differ from what is assumed of them, and why. */
static uint32_t may_differ(const char *name, uint32_t leaf, unsigned reg)
{
	static const struct {
		const char *host;
		uint32_t leaf;
		unsigned reg;
		uint32_t bits;
	} rows[] = {
		/* Bochs has no performance counters behind leaf 0xA, and Linux notices */
		{ "haswell", 0x1, MV_ECX, 1u << 15 },
		{ "haswell", 0xa, MV_EAX, UINT32_MAX },
		{ "haswell", 0xa, MV_EDX, UINT32_MAX },
		{ "sandybridge", 0x1, MV_ECX, 1u << 15 },
		{ "sandybridge", 0xa, MV_EAX, UINT32_MAX },
		{ "sandybridge", 0xa, MV_EDX, UINT32_MAX },
		/* Bochs has fast strings switched off in MISC_ENABLE: Linux takes ERMS back */
		{ "haswell", 0x7, MV_EBX, 1u << 9 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i].host, name) && rows[i].leaf == leaf && rows[i].reg == reg)
			return rows[i].bits;
	return 0;
}

/* Real kvm-amd and kvm-intel of Linux 6.1 in the lab, against what is assumed of the same CPUs. */
Test(import, the_assumed_offer_is_what_kvm_offers)
{
	static const struct {
		const char *name, *file;
	} hosts[] = {
		{ "epyc", "hosts/epyc" }, { "milan", "hosts/milan" },
		{ "opteron-g3", "hosts/opteron-g3" }, { "epyc-noavx", "hosts/epyc-noavx" },
		{ "epyc-nosse4", "hosts/epyc-nosse4" },
		{ "penryn", "hosts/penryn" }, { "kentsfield", "hosts/kentsfield" },
		{ "sandybridge", "hosts/sandybridge" }, { "haswell", "dumps/lab-haswell" },
	};
	struct mv_table *truth = malloc(sizeof(*truth));
	char path[512];

	cr_assert(truth);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		uint64_t xcr0, caps = 0, assumed = 0;

		snprintf(path, sizeof(path), "%s/tests/data/%s.json", MV_SOURCE_DIR, hosts[i].file);
		import_file(path, 0);
		*truth = host->kvm;
		xcr0 = host->xcr0;
		mv_host_msr(host, 0x10a, &caps);
		mv_host_assume(host, NULL);
		mv_host_msr(host, 0x10a, &assumed);
		cr_expect_eq(host->xcr0, xcr0, "%s: XCR0", hosts[i].name);
		/* The lab's Intel hosts run with mitigations off, which shows in the MSR. */
		if (mv_table_vendor(&host->raw) == MV_VENDOR_AMD)
			cr_expect_eq(assumed, caps, "%s: ARCH_CAPABILITIES 0x%llx, assumed 0x%llx",
				     hosts[i].name, (unsigned long long)caps,
				     (unsigned long long)assumed);
		for (uint32_t n = 0; n < truth->n + host->kvm.n; n++) {
			const struct mv_leaf *e = n < truth->n ? &truth->e[n]
							       : &host->kvm.e[n - truth->n];

			for (unsigned r = 0; r < MV_NREGS; r++) {
				uint32_t want = mv_table_reg(truth, e->leaf, e->subleaf, r);
				uint32_t have = mv_table_reg(&host->kvm, e->leaf, e->subleaf, r);
				uint32_t may = may_differ(hosts[i].name, e->leaf, r);

				cr_expect(!((want ^ have) & ~may),
					  "%s: 0x%x.%x %s: KVM offers 0x%08x, assumed 0x%08x",
					  hosts[i].name, e->leaf, e->subleaf, mv_reg_name(r),
					  want, have);
			}
		}
	}
	free(truth);
}

/* ---- too much of it ---- */

static void write_file(const char *path, const char *text, size_t len, long long size)
{
	FILE *f = fopen(path, "w");

	cr_assert(f && fwrite(text, 1, len, f) == len);
	cr_assert(fflush(f) == 0 && (size < 0 || ftruncate(fileno(f), size) == 0));
	fclose(f);
}

Test(import, ten_thousand_cpus_and_more)
{
	size_t room = 16u << 20, len = 0;
	char *text = malloc(room);

	cr_assert(text);
	for (unsigned i = 0; i < 10000; i++)
		len += (size_t)snprintf(text + len, room - len, "CPU %u:\n" C0 C1, i);
	cr_expect_eq(import(text), 0, "%s", err.msg);
	cr_expect_eq(report->cpus, 10000);
	len = 0;
	for (unsigned i = 0; i < 70000; i++)
		len += (size_t)snprintf(text + len, room - len, "CPU:\n" C0);
	cr_expect_eq(import(text), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "more than 65536 logical CPUs");
	len = (size_t)snprintf(text, room, C0 C1);
	for (unsigned i = 0; i < 2000; i++)
		len += (size_t)snprintf(text + len, room - len, "0x00000004 0x%x: eax=0x1 ebx=0x0 "
					"ecx=0x0 edx=0x0\n", i);
	cr_expect_eq(import(text), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "more than 1024 leaves of one logical CPU");
	cr_expect_eq(err.line, 1025);
	free(text);
}

Test(import, long_lines_large_files_binary_files_deep_json)
{
	char dir[] = "/tmp/minivmm-import-XXXXXX", path[64], *text = malloc(1 << 20);

	cr_assert(text && mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/dump", dir);
	memset(text, 'a', 100000);
	strcpy(text + 100000, "\n" C0 C1);
	cr_expect_eq(import(text), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "a line of more than 65535 bytes");
	write_file(path, C0, strlen(C0), (64ll << 20) + 1);
	import_file(path, -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "larger than 67108864 bytes");
	write_file(path, C0 "\0" C1, sizeof(C0 "\0" C1) - 1, -1);
	import_file(path, -MV_E_INPUT);
	cr_expect(strstr(err.msg, "a binary file: byte ") == err.msg, "%s", err.msg);
	memset(text, '[', 1000);
	memcpy(text, "{\"a\":", 5);
	text[1000] = '\0';
	cr_expect_eq(import(text), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "not JSON") == err.msg, "%s", err.msg);
	unlink(path);
	import_file(path, -MV_E_INPUT);
	import_file(dir, -MV_E_INPUT);
	rmdir(dir);
	free(text);
}

/* Whatever comes out of a damaged dump: an error with words, or a host with leaves 0 and 1. */
Test(import, damaged_dumps)
{
	static const char *const texts[] = {
		"CPU 0:\n" C0 C1 "CPU 1:\n" C0 C1, A0 "\n" A1 "\n" A4 " [SL 00]\n" A4 "\n",
		"<cpudata arch='x86'>" X0 X1 "<msr index='0x10a' edx='0x0' eax='0x2b'/></cpudata>",
		"{\"cpuid_modifiers\":[" J0 "," J1 "],\"msr_modifiers\":[{\"addr\":\"0x10a\","
		"\"bitmap\":\"0b101011\"}]}",
		XEN,
	};
	uint64_t seed = 1;
	char text[2048];

	for (unsigned round = 0; round < 20000; round++) {
		size_t len;

		snprintf(text, sizeof(text), "%s", texts[round % 5]);
		len = strlen(text);
		for (unsigned k = 0; k <= round % 3; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			text[(seed >> 33) % len] = "0f9:-,x]>\n'\"\xfc{ "[(seed >> 20) % 15];
		}
		if (round % 7 == 0)
			text[(seed >> 40) % len] = '\0';
		if (import(text))
			cr_expect(err.msg[0] && err.code == MV_E_INPUT, "%s", text);
		else
			cr_expect(mv_table_find(&host->raw, 0, 0) &&
				  mv_table_find(&host->raw, 1, 0), "%s", text);
	}
}

/* Every dump below folder; returns how many there were. */
static unsigned import_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	char path[1024];
	unsigned n = 0;

	cr_assert(dir, "%s can't be opened", folder);
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.' || !strcmp(e->d_name, "COPYING") ||
		    strstr(e->d_name, ".md"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (e->d_type == DT_DIR) {
			n += import_folder(path);
			continue;
		}
		import_file(path, 0);
		cr_expect(report->cpus && mv_table_find(&host->kvm, 1, 0), "%s", path);
		n++;
	}
	closedir(dir);
	return n;
}

/* Anyone's dumps. Each imports, or the reason is told. */
Test(import, folder_of_dumps)
{
	const char *folder = getenv("MV_DUMPS");

	if (!folder)
		cr_skip_test("MV_DUMPS names no folder");
	cr_expect(import_folder(folder), "%s is empty", folder);
}
