/* SPDX-License-Identifier: MIT */
/* What CPUs begin with, the first one (start.S) and others (ap.S): selectors, control bits, the way to CPL 3. */
#ifndef MV_GUEST_ENTRY_H
#define MV_GUEST_ENTRY_H

#define AP_TRAMPOLINE	0x8000	/* where ap.S's first instructions are copied to */

/* Linux's own selector numbers: some hypervisors run CPL 3 natively only with these. */
#define SEL_CODE32	0x08	/* until 64-bit mode */
#define SEL_CODE0	0x10
#define SEL_DATA0	0x18
#define SEL_DATA3	0x2b
#define SEL_CODE3	0x33
#define SEL_TSS		0x40

#define RFLAGS_IOPL3	0x3002

#define CR0_PE		0x00000001
#define CR0_MP		0x00000002
#define CR0_EM		0x00000004
#define CR0_TS		0x00000008
#define CR0_NE		0x00000020
#define CR0_WP		0x00010000
#define CR0_CD_NW	0x60000000
#define CR0_PG		0x80000000
#define CR0_ON		(CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_PE)
#define CR4_PAE		0x020
#define CR4_OSFXSR	0x200
#define CR4_OSXMMEXCPT	0x400
#define CR4_ON		(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT)
#define MSR_EFER	0xc0000080
#define EFER_LME	0x100

#ifdef __ASSEMBLER__
	/* In 64-bit mode; EAX is lost. */
	.macro	load_segments
	movl	$SEL_DATA0, %eax
	movl	%eax, %ss
	movl	$SEL_DATA3, %eax
	movl	%eax, %ds
	movl	%eax, %es
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	.endm

	/* With this stack, to the instruction at that label. */
	.macro	to_cpl3 stack, to
	pushq	$SEL_DATA3
	pushq	\stack
	pushq	$RFLAGS_IOPL3
	pushq	$SEL_CODE3
	pushq	$\to
	iretq
	.endm
#endif

#endif
