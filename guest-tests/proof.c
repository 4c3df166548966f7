/* SPDX-License-Identifier: MIT */
/*
 * Does CPUID return what the VMM put in the guest table? This guest reports and judges nothing: the
 * VMM planted a brand string and cleared bits that the hardware has, and reads these lines.
 *
 *   proof: cpl3 leaf=80000002 sub=0 12345678 12345678 12345678 12345678     eax ebx ecx edx
 *   proof: runtime cpl3 leaf=...        only with the word runtime: a CPUID written at run time,
 *                                       which no list of sites can know
 *   proof: cpl3 paddd ran               or #UD
 *   proof: cpl0 paddd ran               last: where KVM interprets CPL 0 the machine may end here
 */
#include "rt.h"

extern uint8_t mv_image_end[];
extern const uint8_t proof_paddd[];

__asm__(".pushsection .probes, \"ax\"\n"
	"proof_paddd:\n"
	"	.byte 0x66, 0x0f, 0xfe, 0xc0\n"
	"	jmp mv_exec_done\n"
	".popsection");

static const struct {
	uint32_t leaf, subleaf;
} asked[] = { { 0x80000002, 0 }, { 1, 0 }, { 7, 0 }, { 0x80000001, 0 } };

static void print(const char *how, unsigned cpl, uint32_t leaf, uint32_t subleaf,
		  const struct mv_cpuid *r)
{
	mv_printf("proof: %scpl%u leaf=%08x sub=%x %08x %08x %08x %08x\n", how, cpl, leaf, subleaf,
		  r->eax, r->ebx, r->ecx, r->edx);
}

/* The page behind the image belongs to no segment, so writing code there breaks no W^X promise. */
static void write_code(void)
{
	volatile uint8_t *p = mv_image_end;

	p[0] = 0x0f;
	p[1] = 0xa2;
	p[2] = 0xc3;
}

static uint64_t runtime_cpuid(uint64_t in, uint64_t out)
{
	struct mv_cpuid *r = (struct mv_cpuid *)out;

	__asm__ volatile("call *%4"
			 : "=a"(r->eax), "=b"(r->ebx), "=c"(r->ecx), "=d"(r->edx)
			 : "r"(mv_image_end), "0"((uint32_t)in), "2"((uint32_t)(in >> 32))
			 : "memory");
	return 0;
}

static void paddd(unsigned cpl)
{
	struct mv_exec_regs regs = { 0 };
	char name[12];
	int vector = mv_exec(cpl, proof_paddd, &regs, true);

	mv_printf("proof: cpl%u paddd %s\n", cpl,
		  vector == MV_NO_VECTOR ? "ran" : mv_vector_name(vector, name));
}

int main(void)
{
	static const unsigned levels[] = { 0, 3 };
	struct mv_cpuid r;

	for (size_t l = 0; l < MV_ARRAY_SIZE(levels); l++) {
		for (size_t i = 0; i < MV_ARRAY_SIZE(asked); i++) {
			r = mv_cpuid_at(levels[l], asked[i].leaf, asked[i].subleaf);
			print("", levels[l], asked[i].leaf, asked[i].subleaf, &r);
		}
	}
	if (mv_word("runtime")) {
		write_code();
		for (size_t i = 0; i < MV_ARRAY_SIZE(asked); i++) {
			uint64_t in = asked[i].leaf | (uint64_t)asked[i].subleaf << 32;

			mv_at_cpl0(runtime_cpuid, in, (uintptr_t)&r);
			print("runtime ", 0, asked[i].leaf, asked[i].subleaf, &r);
			runtime_cpuid(in, (uintptr_t)&r);
			print("runtime ", 3, asked[i].leaf, asked[i].subleaf, &r);
		}
	}
	paddd(3);
	paddd(0);
	return 0;
}
