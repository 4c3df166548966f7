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

	MV_P_TSX = 0x8000,	/* RAX may also be MV_TSX_ABORTED */
	MV_P_REFUSES = 0x10000,	/* made to be refused: #GP is success, #UD is not there */
	MV_P_MSR = 0x20000,	/* proves nothing where every MSR can be read and written */
};

/*
 * One and the same bit of an MSR, with two CPUID bits: the row's own and the other vendor's. Intel
 * has one for both IBRS and IBPB.
 */
#define MV_SAME_MSR(X) \
	X(SPEC_CTRL, AMD_IBRS) X(STIBP, AMD_STIBP) X(SSBD, AMD_SSBD) X(AMD_IBPB, SPEC_CTRL)

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

/*
 * A row's code as text for the assembler. The labels mark where the instruction itself begins and
 * ends; what is before and after it, every x86-64 CPU executes. Macros in the arguments are expanded
 * on the way, so that one may stand for all three.
 */
#define MV_PROBE_TEXT(prefix, id, ...) MV_PROBE_TEXT_(prefix, id, __VA_ARGS__)
#define MV_PROBE_TEXT_(prefix, id, before, bytes, after)        \
	prefix #id ":	" before "\n"                           \
	prefix "insn_" #id ":	.byte " MV_PROBE_BYTES bytes "\n" \
	prefix "after_" #id ":	" after "\n"                    \
	prefix "end_" #id ":\n"
#define MV_PROBE_BYTES(...) #__VA_ARGS__

/* ---- code that several rows have in common ---- */

/* The input RBX in XMM0, and XMM0 in RAX: what the low 64 bits of the result must be. */
#define MV_XMM_IN "movq %rbx, %xmm0"
#define MV_XMM_OUT "movq %xmm0, %rax"
/* The same with zeros above, up to bit 511 */
#define MV_YMM_IN "vmovq %rbx, %xmm0"
#define MV_CARRY "setc %al; movzbl %al, %eax"
/* EDX:EAX is not zero */
#define MV_NOT_ZERO "orl %edx, %eax; setne %al; movzbl %al, %eax"
/* Something in the x87 state, and its control word as it was saved: XCR0 always has that state. */
#define MV_X87_USED "fninit; fld1"
#define MV_X87_CONTROL "movzwl (%rdi), %eax; fninit"
/* RCX is still zero: where 8F is POP, and not XOP's prefix, the word at RSP went there. */
#define MV_NOT_POPPED "testq %rcx, %rcx; sete %al; movzbl %al, %eax"

/*
 * A bit of a control register, set for a moment; RAX is 1 if it was on in between: some machines
 * drop a bit without a word instead of raising #GP. Interrupts stay out: some bits change how they
 * come in.
 */
#define MV_TRY_CR4(n)                                                \
	"cli; movq %cr4, %rbx; movq %rbx, %rax; btsq $" #n ", %rax", \
	(0x0f, 0x22, 0xe0),                                          \
	"movq %cr4, %rax; movq %rbx, %cr4; btq $" #n ", %rax; " MV_CARRY

/* The same for a bit that denies CPL 0 what CPL 3 can reach: run where CPL 3 can't. */
#define MV_TRY_CR4_HIGH(n)                                                       \
	"cli; movabs $0xffff800000000000, %rsi; leaq 1f(%rip), %rax; addq %rsi, %rax; " \
	"jmp *%rax; 1: movq %cr4, %rbx; movq %rbx, %rax; btsq $" #n ", %rax",    \
	(0x0f, 0x22, 0xe0),                                                      \
	"movq %cr4, %rcx; movq %rbx, %cr4; leaq 2f(%rip), %rax; subq %rsi, %rax; " \
	"jmp *%rax; 2: btq $" #n ", %rcx; " MV_CARRY

/* A bit of an MSR's low half; RAX is 1 if it was on in between. */
#define MV_TRY_MSR(msr, n)                                                           \
	"movl $" #msr ", %ecx; rdmsr; movl %eax, %ebx; movl %edx, %esi; btsl $" #n ", %eax", \
	(0x0f, 0x30),                                                                \
	"rdmsr; movl %eax, %edi; movl %ebx, %eax; movl %esi, %edx; wrmsr; "          \
	"btl $" #n ", %edi; " MV_CARRY
#define MV_TRY_EFER(n) MV_TRY_MSR(0xc0000080, n)
/* A bit that may be on already, and can be turned: does it come back as written? */
#define MV_TRY_MSR_TURN(msr, n)                                                      \
	"movl $" #msr ", %ecx; rdmsr; movl %eax, %ebx; movl %edx, %esi; btcl $" #n ", %eax; " \
	"movl %eax, %edi",                                                           \
	(0x0f, 0x30),                                                                \
	"rdmsr; xorl %eax, %edi; movl %ebx, %eax; movl %esi, %edx; wrmsr; "          \
	"btl $" #n ", %edi; cmc; " MV_CARRY
/* An MSR that never reads as 0 where it exists; some machines read 0 from any that does not. */
#define MV_TRY_MSR_SOME(msr) "movl $" #msr ", %ecx", (0x0f, 0x32), MV_NOT_ZERO
/* An MSR that may be anything: not to raise #GP is all that it can tell. */
#define MV_TRY_MSR_THERE(msr) "movl $" #msr ", %ecx", (0x0f, 0x32), ""
/* An MSR that takes a command, bit 0, and reads as nothing: not to raise #GP is all that it can tell. */
#define MV_TRY_MSR_COMMAND(msr) "movl $" #msr ", %ecx; movl $1, %eax", (0x0f, 0x30), ""
/*
 * An MSR that takes the address of memory, with some of the bits below it as flags. It is zero
 * before and after: nobody uses it here.
 */
#define MV_TRY_MSR_ADDRESS(msr, flags)                                               \
	"movl $" #msr ", %ecx; leaq " #flags "(%rdi), %rax; xorl %edx, %edx; movl %eax, %esi", \
	(0x0f, 0x30),                                                                \
	"rdmsr; movl %eax, %ebx; xorl %eax, %eax; xorl %edx, %edx; wrmsr; "          \
	"cmpl %ebx, %esi; sete %al; movzbl %al, %eax"

/*
 * x2APIC mode; then the APIC is off for a moment, the only way back. Firmware that left it on keeps
 * it. The order: APICBASE with EN and EXTD, without both, and as it was.
 */
#define MV_TRY_X2APIC                                                                \
	"movl $0x1b, %ecx; rdmsr; movl %eax, %ebx; movl %edx, %esi; orl $0xc00, %eax", \
	(0x0f, 0x30),                                                                \
	"rdmsr; movl %eax, %edi; btl $10, %edi; jnc 1f; btl $10, %ebx; jc 1f; "      \
	"movl %ebx, %eax; andl $0xfffff3ff, %eax; movl %esi, %edx; wrmsr; "          \
	"movl %ebx, %eax; wrmsr; 1: btl $10, %edi; " MV_CARRY

/* The APIC's timer, masked and in deadline mode, has a deadline that stays as written. */
#define MV_TRY_DEADLINE                                                              \
	"movl $0xfee00320, %esi; movl (%rsi), %ebx; movl $0x50020, (%rsi); mfence; " \
	"movl $0x6e0, %ecx; movl $-1, %eax; movl $0x7fffffff, %edx",                 \
	(0x0f, 0x30),                                                                \
	"rdmsr; movl %eax, %edi; xorl %eax, %eax; xorl %edx, %edx; wrmsr; "          \
	"movl %ebx, (%rsi); cmpl $-1, %edi; sete %al; movzbl %al, %eax"

/*
 * The first GiB once more, at 1 TiB, as one page: the scratch page is its page directory pointer
 * table. The word read there is the first of the PML4 table, which has to be the same by both ways.
 */
#define MV_TRY_PAGE_1G                                                               \
	"movq %cr3, %rsi; movq $0x83, (%rdi); leaq 3(%rdi), %rax; movq %rax, 16(%rsi); " \
	"movabs $0x10000000000, %rax; addq %rsi, %rax",                              \
	(0x48, 0x8b, 0x00),                                                          \
	"movq $0, 16(%rsi); subq (%rsi), %rax; movq %rsi, %cr3"

/*
 * CR4.LA57, which can't change in long mode: out of it, to 32 bits without paging, and back. There,
 * gates are others: the scratch page has a table of them, all to label 3, and then the old and the
 * new table's place. What is refused is written once more in long mode, where it is #GP whatever
 * the CPU can do: that exception goes the way of all others. 8, 0x10, 0x18: code of 32 and of 64
 * bits, and data, as start.S has them.
 */
#define MV_TRY_LA57                                                                  \
	"cli; sidt 256(%rdi); leaq 3f(%rip), %rax; movzwl %ax, %ecx; orl $0x80000, %ecx; " \
	"movw $0x8e00, %ax; xorl %esi, %esi; "                                       \
	"1: movl %ecx, (%rdi,%rsi,8); movl %eax, 4(%rdi,%rsi,8); incl %esi; "        \
	"cmpl $32, %esi; jne 1b; movw $0xff, 272(%rdi); movq %rdi, 274(%rdi); "      \
	"movq %rsp, %rbp; leaq 5f(%rip), %rsi; leaq 2f(%rip), %rax; "                \
	"pushq $8; pushq %rax; lretq; "                                              \
	".code32; 2: movl $0x18, %eax; movl %eax, %ss; movl %cr0, %ebx; movl %ebx, %eax; " \
	"btrl $31, %eax; movl %eax, %cr0; lidt 272(%edi); "                          \
	"movl %cr4, %edx; movl %edx, %eax; btsl $12, %eax",                          \
	(0x0f, 0x22, 0xe0),                                                          \
	"movl %cr4, %ecx; movl %edx, %cr4; jmp 4f; "                                 \
	"3: movl %ebp, %esp; movl $0x80000000, %ecx; "                               \
	"4: lidt 256(%edi); movl %ebx, %cr0; pushl $0x10; pushl %esi; lret; "        \
	".code64; 5: testl %ecx, %ecx; jns 6f; "                                     \
	"movq %cr4, %rdx; movq %rdx, %rax; btsq $12, %rax; movq %rax, %cr4; movq %rdx, %cr4; " \
	"6: btl $12, %ecx; " MV_CARRY

/*
 * MWAIT for a line that was written after MONITOR: it has nothing to wait for. Where it takes no
 * notice of that (QEMU halts), the watchdog's ticks end it.
 */
#define MV_TRY_MWAIT                                                                 \
	"movq %rdi, %rax; .byte 0x0f, 0x01, 0xc8; movq %rax, (%rdi); xorl %eax, %eax", \
	(0x0f, 0x01, 0xc9), ""

/* State components, in XCR0 for a moment; RAX is 1 if component n was. */
#define MV_TRY_XCR0(lo, hi, n)                                                       \
	"xorl %ecx, %ecx; .byte 0x0f, 0x01, 0xd0; movl %eax, %ebx; movl %edx, %esi; " \
	"orl $" #lo ", %eax; orl $" #hi ", %edx",                                    \
	(0x0f, 0x01, 0xd1),                                                          \
	".byte 0x0f, 0x01, 0xd0; shlq $32, %rdx; orq %rax, %rdx; movq %rdx, %rdi; "  \
	"movl %ebx, %eax; movl %esi, %edx; .byte 0x0f, 0x01, 0xd1; "                 \
	"btq $" #n ", %rdi; " MV_CARRY

/*
 * A transaction, tried again when it aborts; RAX is 1 if one was committed, else MV_TSX_ABORTED.
 * The instruction is XBEGIN with the way to the label 2; XEND after it.
 */
#define MV_TSX_ABORTED 2
#define MV_TRY_TSX                                                                   \
	"movl $64, %ecx; 1:", (0xc7, 0xf8, 0x0a, 0x00, 0x00, 0x00),                  \
	".byte 0x0f, 0x01, 0xd5; movl $1, %eax; jmp 3f; "                            \
	"2: decl %ecx; jnz 1b; movl $2, %eax; 3:"

/*
 * Tiles: palette 1, TMM0 to TMM2 of one row of four bytes each, TMM1 and TMM2 filled with value;
 * and TMM0 afterwards in EAX. TILELOADD and TILESTORED are written as bytes, for old assemblers.
 */
#define MV_TILES_IN(value)                                                           \
	"movb $1, (%rdi); movw $4, 16(%rdi); movw $4, 18(%rdi); movw $4, 20(%rdi); " \
	"movb $1, 48(%rdi); movb $1, 49(%rdi); movb $1, 50(%rdi); movl $" #value ", 64(%rdi); " \
	".byte 0xc4, 0xe2, 0x78, 0x49, 0x07; .byte 0xc4, 0xe2, 0x7b, 0x4b, 0x4c, 0x0f, 0x40; " \
	".byte 0xc4, 0xe2, 0x7b, 0x4b, 0x54, 0x0f, 0x40"
#define MV_TILES_OUT                                                                 \
	".byte 0xc4, 0xe2, 0x7a, 0x4b, 0x44, 0x0f, 0x40; movl 64(%rdi), %eax; "      \
	".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0"

#endif
