/* SPDX-License-Identifier: MIT */
/*
 * CR4 and XCR0: what an operating system switches on before programs can use a feature. Every step
 * may be refused, and is tried on its own: a #GP for a bit the host keeps for itself must not cost
 * the guest the other bits.
 */
#include "probes.h"

#define CR4_FSGSBASE (1u << 16)
#define CR4_OSXSAVE (1u << 18)
#define CR4_KL (1u << 19)
#define CR4_PKE (1u << 22)
#define CR4_UINTR (1u << 25)

extern const uint8_t set_cr4[], set_xcr0[], get_xcr0[];

__asm__(".pushsection .probes, \"ax\"\n"
	"set_cr4:\n"
	"	mov	%rax, %cr4\n"
	"	jmp	mv_exec_done\n"
	"set_xcr0:\n"
	"	.byte	0x0f, 0x01, 0xd1\n"	/* xsetbv */
	"	jmp	mv_exec_done\n"
	"get_xcr0:\n"
	"	.byte	0x0f, 0x01, 0xd0\n"	/* xgetbv */
	"	jmp	mv_exec_done\n"
	".popsection");

static const struct {
	enum mv_feature_id feature;
	uint32_t cr4;
	uint16_t flag;
} controls[] = {
	{ MV_F_XSAVE, CR4_OSXSAVE, MV_P_OSXSAVE },
	{ MV_F_FSGSBASE, CR4_FSGSBASE, MV_P_FSGSBASE },
	{ MV_F_PKU, CR4_PKE, MV_P_PKE },
	{ MV_F_KEYLOCKER, CR4_KL, MV_P_KL },
	{ MV_F_UINTR, CR4_UINTR, MV_P_UINTR },
};

static uint64_t read_cr4(uint64_t a, uint64_t b)
{
	uint64_t v;

	(void)a;
	(void)b;
	__asm__ volatile("mov %%cr4, %0" : "=r"(v));
	return v;
}

/* The kernel of a guest would ask at CPL 0. */
static bool offered(enum mv_feature_id id)
{
	const struct mv_bit *b = &mv_bits[id];
	struct mv_cpuid r = mv_cpuid_at(0, b->leaf & 0x80000000, 0);
	const uint32_t *words = &r.eax;

	if (r.eax < b->leaf)
		return false;
	r = mv_cpuid_at(0, b->leaf, b->subleaf);
	return words[b->reg] >> b->bit & 1;
}

static void setup_xcr0(bool force)
{
	/* All that a row may ask for, then ever less: one that is refused costs the others. */
	static const uint32_t tries[] = {
		MV_XCR0_AVX512 | MV_XCR0_AMX | MV_XCR0_APX | 1,
		MV_XCR0_AVX512 | MV_XCR0_AMX | 1,
		MV_XCR0_AVX512 | 1,
		MV_XCR0_AVX | 1,
		MV_XCR0_SSE,
	};
	struct mv_exec_regs regs = { 0 };
	uint32_t allowed = force ? tries[0] : mv_cpuid_at(0, 0xd, 0).eax;

	for (size_t i = 0; i < MV_ARRAY_SIZE(tries); i++) {
		regs.rax = (tries[i] & allowed) | 1;
		if (mv_exec(0, set_xcr0, &regs, true) == MV_NO_VECTOR)
			break;
	}
}

void mv_controls_read(struct mv_controls *c)
{
	struct mv_exec_regs regs = { 0 };

	c->cr4 = mv_at_cpl0(read_cr4, 0, 0);
	c->xcr0 = 0;
	/* At CPL 3: an interpreter of CPL 0 need not have XGETBV. */
	if (c->cr4 & CR4_OSXSAVE && mv_exec(3, get_xcr0, &regs, true) == MV_NO_VECTOR)
		c->xcr0 = (uint32_t)regs.rax;
}

void mv_controls_setup(struct mv_controls *c, bool force, bool report)
{
	struct mv_exec_regs regs = { 0 };

	c->cr4 = mv_at_cpl0(read_cr4, 0, 0);
	for (size_t i = 0; i < MV_ARRAY_SIZE(controls); i++) {
		if (!force && !offered(controls[i].feature))
			continue;
		/* Written out before: there are machines that don't come back from this. */
		if (report) {
			mv_printf("probe: CR4 for %s ", mv_bits[controls[i].feature].name);
			mv_flush();
		}
		regs.rax = c->cr4 | controls[i].cr4;
		mv_exec(0, set_cr4, &regs, true);
		/* Some machines drop a bit without a word. */
		c->cr4 = mv_at_cpl0(read_cr4, 0, 0);
		if (report)
			mv_puts(c->cr4 & controls[i].cr4 ? "on\n" : "refused\n");
	}
	if (c->cr4 & CR4_OSXSAVE)
		setup_xcr0(force);
	/*
	 * A hypervisor that does not see XSETBV (SVM under QEMU's TCG has no intercept for it) puts
	 * its own idea of XCR0 back when it resumes the guest: exit once before looking.
	 */
	mv_in8(MV_PORT_SERIAL + 5);
	mv_controls_read(c);
}

bool mv_controls_allow(const struct mv_controls *c, const struct mv_probe *p)
{
	for (size_t i = 0; i < MV_ARRAY_SIZE(controls); i++) {
		if (p->flags & controls[i].flag && !(c->cr4 & controls[i].cr4))
			return false;
	}
	return mv_xcr0_allows(c->xcr0, p->flags);
}
