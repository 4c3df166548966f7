/* SPDX-License-Identifier: MIT */
/* The two tables, and how one probe is run. */
#include "probes.h"

/* A test builds the program with rows that misbehave. */
#ifndef MV_PROBES_DEF
#define MV_PROBES_DEF "probes.def"
#endif

const struct mv_bit mv_bits[MV_NFEATURES] = {
#define MV_FEATURE(id, lf, sub, rg, bt, vendor, class, needs, vmx, svm, nm, ...) \
	[MV_F_##id] = { .leaf = (lf), .subleaf = (sub), .reg = MV_##rg, .bit = (bt), .name = (nm) },
#include "cpuid/features.def"
#undef MV_FEATURE
};

/*
 * Each row becomes code of its own, away from other code: the exception handler catches what
 * happens in there. The NOPs are for a CPU that decodes the bytes as something longer.
 */
#define MV_PROBE(id, feature, mnemonic, flags, want, ...)          \
	__asm__(".pushsection .probes, \"ax\"\n"                  \
		MV_PROBE_TEXT("mv_probe_", id, __VA_ARGS__)        \
		"	nop; nop; nop; nop; nop\n"                 \
		"	jmp	mv_exec_done\n"                    \
		".popsection");
#include MV_PROBES_DEF
#undef MV_PROBE

#define MV_PROBE(id, ...) extern const uint8_t mv_probe_##id[], mv_probe_end_##id[];
#include MV_PROBES_DEF
#undef MV_PROBE

const struct mv_probe mv_probe_rows[] = {
#define MV_PROBE(id, feat, mnem, fl, wanted, ...) \
	{                                         \
		.mnemonic = (mnem),               \
		.code = mv_probe_##id,            \
		.end = mv_probe_end_##id,         \
		.want = (wanted),                 \
		.feature = MV_F_##feat,           \
		.flags = (fl),                    \
	},
#include MV_PROBES_DEF
#undef MV_PROBE
};
const size_t mv_probe_count = MV_ARRAY_SIZE(mv_probe_rows);

const bool mv_proven[MV_NFEATURES] = {
#define MV_PROVEN(id, ran, not) [MV_F_##id] = sizeof(ran) > 1 && sizeof(not) > 1,
#include "proven.def"
#undef MV_PROVEN
};

/* Fallible: not every CPU that gets here has SSE. */
extern const uint8_t reset_mxcsr[];
static const uint32_t mxcsr = 0x1f80;
__asm__(".pushsection .probes, \"ax\"\n"
	"reset_mxcsr:\n"
	"	ldmxcsr	(%rdi)\n"
	"	jmp	mv_exec_done\n"
	".popsection");

/* movl $0x4d565f21, %ecx; rdmsr: an index far from all that vendors and hypervisors use */
extern const uint8_t read_no_msr[];
__asm__(".pushsection .probes, \"ax\"\n"
	"read_no_msr:\n"
	"	movl	$0x4d565f21, %ecx\n"
	"	rdmsr\n"
	"	jmp	mv_exec_done\n"
	".popsection");

bool mv_every_msr_reads(void)
{
	struct mv_exec_regs regs = { 0 };

	return mv_exec(0, read_no_msr, &regs, true) == MV_NO_VECTOR;
}

static uint8_t scratch[MV_PROBE_SCRATCH] __attribute__((aligned(MV_PROBE_SCRATCH)));

const char *mv_bit_name(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
	for (size_t i = 0; i < MV_NFEATURES; i++) {
		const struct mv_bit *b = &mv_bits[i];

		if (b->leaf == leaf && b->subleaf == subleaf && b->reg == reg && b->bit == bit)
			return b->name;
	}
	return NULL;
}

const struct mv_probe *mv_probe_by_feature(const char *name)
{
	for (size_t i = 0; i < mv_probe_count; i++) {
		const struct mv_probe *p = &mv_probe_rows[i];

		if (!(p->flags & (MV_P_CPL0 | MV_P_HINT)) &&
		    mv_name_equal(mv_bits[p->feature].name, name))
			return p;
	}
	return NULL;
}

struct mv_ran mv_probe_run(const struct mv_probe *p, unsigned cpl, bool catch)
{
	struct mv_exec_regs regs = {
		.rax = MV_PROBE_RAX,
		.rbx = MV_PROBE_RBX,
		.rcx = MV_PROBE_RCX,
		.rdx = MV_PROBE_RDX,
		.rdi = (uintptr_t)scratch,
	};
	struct mv_ran r;
	uint64_t rax;

	memset(scratch, 0, sizeof(scratch));
	r.vector = mv_exec(cpl, p->code, &regs, catch);
	rax = regs.rax;
	/* A row that faulted half-way may leave a bit there that another CPU refuses to load. */
	regs.rdi = (uintptr_t)&mxcsr;
	mv_exec(3, reset_mxcsr, &regs, true);
	if (r.vector == MV_HUNG_VECTOR)
		r.outcome = MV_HUNG;
	else if (r.vector != MV_NO_VECTOR)
		r.outcome = p->flags & MV_P_REFUSES && r.vector != MV_VECTOR_UD ? MV_RAN : MV_FAULTED;
	else if (p->flags & MV_P_TSX && rax == MV_TSX_ABORTED)
		r.outcome = MV_ABORTED;
	else if (p->flags & MV_P_RESULT && rax != p->want)
		r.outcome = MV_ALIAS;
	else
		r.outcome = MV_RAN;
	return r;
}

const char *mv_ran_name(const struct mv_ran *r, char *buf)
{
	switch (r->outcome) {
	case MV_RAN:
		return "ran";
	case MV_ABORTED:
		return "aborted";
	case MV_ALIAS:
		return "result";
	case MV_FAULTED:
		return mv_vector_name(r->vector, buf);
	case MV_HUNG:
		return "hung";
	case MV_SKIPPED:
		break;
	}
	return "skipped";
}
