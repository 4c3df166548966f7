/* SPDX-License-Identifier: MIT */
/* What a row of probes.def says, for whoever runs the rows: the guests here, or a Linux program. */
#ifndef MV_GUEST_PROBE_H
#define MV_GUEST_PROBE_H

/* Inputs of every probe; RDI points to a zeroed scratch area, aligned to its size. */
#define MV_PROBE_RAX 3
#define MV_PROBE_RBX 0x0123456789abcdefull
#define MV_PROBE_RCX 0
#define MV_PROBE_RDX 0
#define MV_PROBE_SCRATCH 4096

enum mv_probe_flags {
	MV_P_ANY = 0,		/* runs at every privilege level and needs no control */
	MV_P_CPL0 = 0x01,	/* CPL 0 only: at CPL 3 it faults whatever the CPU can do */
	MV_P_HINT = 0x02,	/* a no-op where it is unknown: the outcome says nothing */
	MV_P_RESULT = 0x04,	/* an older CPU runs it as something else: RAX must be `want` */

	/* What has to be switched on before it can run. */
	MV_P_OSXSAVE = 0x10,	/* CR4.OSXSAVE */
	MV_P_AVX = 0x20,	/* XCR0: SSE and AVX */
	MV_P_AVX512 = 0x40,	/* XCR0: that and the three AVX-512 components */
	MV_P_FSGSBASE = 0x80,	/* CR4.FSGSBASE */
	MV_P_PKE = 0x100,	/* CR4.PKE */
	MV_P_AMX = 0x200,	/* XCR0: tile configuration and tile data */
	MV_P_APX = 0x400,	/* XCR0: R16 to R31 */
	MV_P_KL = 0x800,	/* CR4.KL */
	MV_P_UINTR = 0x1000,	/* CR4.UINTR */

	/* Tries a bit of a control register: if it can't be set, the feature is blocked, not broken. */
	MV_P_CR4 = 0x2000,	/* hangs QEMU's TCG where the bit is reserved */
	MV_P_EFER = 0x4000,
};

/* State components in XCR0. */
#define MV_XCR0_SSE 0x03u	/* with x87, which is always on */
#define MV_XCR0_AVX 0x06u	/* SSE and AVX */
#define MV_XCR0_AVX512 0xe6u	/* those, opmask, and the two halves of ZMM */
#define MV_XCR0_AMX 0x60000u
#define MV_XCR0_APX 0x80000u

/* Of what a row's flags ask for in XCR0, is everything on? */
static inline int mv_xcr0_allows(unsigned long long xcr0, unsigned flags)
{
	unsigned long long need = (flags & MV_P_AVX ? MV_XCR0_AVX : 0) |
				  (flags & MV_P_AVX512 ? MV_XCR0_AVX512 : 0) |
				  (flags & MV_P_AMX ? MV_XCR0_AMX : 0) |
				  (flags & MV_P_APX ? MV_XCR0_APX : 0);

	return (xcr0 & need) == need;
}

/* A row's bytes as the operand of .byte; macros among them are expanded first. */
#define MV_PROBE_BYTES(...) #__VA_ARGS__

/*
 * Code that several rows have in common. Each tries a bit of a control register and puts the old
 * value back; RAX is 1 if the bit was on in between, for MV_P_RESULT: some machines drop a bit
 * without a word instead of raising #GP.
 */

/*
 * mov %cr4, %rbx; mov %rbx, %rax; bts $n, %rax; mov %rax, %cr4; mov %cr4, %rax; mov %rbx, %cr4;
 * bt $n, %rax; setc %al; movzx %al, %eax
 */
#define MV_CODE_CR4(n) \
	0x0f, 0x20, 0xe3, 0x48, 0x89, 0xd8, 0x48, 0x0f, 0xba, 0xe8, n, 0x0f, 0x22, 0xe0, 0x0f, \
	0x20, 0xe0, 0x0f, 0x22, 0xe3, 0x48, 0x0f, 0xba, 0xe0, n, 0x0f, 0x92, 0xc0, 0x0f, 0xb6, 0xc0

/*
 * mov $EFER, %ecx; rdmsr; mov %eax, %ebx; bts $n, %eax; wrmsr; rdmsr; mov %eax, %esi;
 * mov %ebx, %eax; wrmsr; bt $n, %esi; setc %al; movzx %al, %eax
 */
#define MV_CODE_EFER(n) \
	0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x89, 0xc3, 0x0f, 0xba, 0xe8, n, 0x0f, 0x30, \
	0x0f, 0x32, 0x89, 0xc6, 0x89, 0xd8, 0x0f, 0x30, 0x0f, 0xba, 0xe6, n, 0x0f, 0x92, 0xc0, \
	0x0f, 0xb6, 0xc0

/*
 * An MSR that never reads as 0 where it exists; some machines read 0 from any that does not.
 * mov $index, %ecx; rdmsr; or %edx, %eax; setne %al; movzx %al, %eax
 */
#define MV_CODE_MSR(lo, hi) \
	0xb9, lo, hi, 0x00, 0x00, 0x0f, 0x32, 0x09, 0xd0, 0x0f, 0x95, 0xc0, 0x0f, 0xb6, 0xc0

/*
 * An MSR that can be written: does it keep bit 3 inverted? Its old value comes back.
 * mov $index, %ecx; rdmsr; mov %eax, %ebx; mov %edx, %esi; xor $8, %eax; mov %eax, %edi; wrmsr;
 * rdmsr; cmp %edi, %eax; sete %dil; mov %ebx, %eax; mov %esi, %edx; wrmsr; movzx %dil, %eax
 */
#define MV_CODE_MSR_WRITE(lo, hi) \
	0xb9, lo, hi, 0x00, 0x00, 0x0f, 0x32, 0x89, 0xc3, 0x89, 0xd6, 0x83, 0xf0, 0x08, 0x89, \
	0xc7, 0x0f, 0x30, 0x0f, 0x32, 0x39, 0xf8, 0x40, 0x0f, 0x94, 0xc7, 0x89, 0xd8, 0x89, \
	0xf2, 0x0f, 0x30, 0x40, 0x0f, 0xb6, 0xc7

/*
 * Tiles for AMX: palette 1, TMM0 to TMM2 of one row of four bytes each.
 * movb $1, (%rdi); movw $4, 16(%rdi), 18(%rdi), 20(%rdi); movb $1, 48(%rdi), 49(%rdi), 50(%rdi);
 * ldtilecfg (%rdi)
 */
#define MV_CODE_TILES \
	0xc6, 0x07, 0x01, 0x66, 0xc7, 0x47, 0x10, 0x04, 0x00, 0x66, 0xc7, 0x47, 0x12, 0x04, 0x00, \
	0x66, 0xc7, 0x47, 0x14, 0x04, 0x00, 0xc6, 0x47, 0x30, 0x01, 0xc6, 0x47, 0x31, 0x01, 0xc6, \
	0x47, 0x32, 0x01, 0xc4, 0xe2, 0x78, 0x49, 0x07
#define MV_CODE_TILERELEASE 0xc4, 0xe2, 0x78, 0x49, 0xc0

#endif
