/* SPDX-License-Identifier: MIT */
/* Another CPU's way from INIT to ap_main() at CPL 3; what start.S is for the first one. */

#define TRAMPOLINE	0x8000	/* as in smp.c */
#define SEL_CODE0	0x10
#define SEL_DATA0	0x18
#define SEL_DATA3	0x2b
#define SEL_CODE3	0x33
#define SEL_TSS		0x40
#define RFLAGS_IOPL3	0x3002
#define CR0_PG_WP_NE_MP_PE 0x80010023
#define CR4_PAE_FXSR_XMM 0x620
#define MSR_EFER	0xc0000080
#define EFER_LME	0x100

/* ---- real mode: copied to TRAMPOLINE */

	.section .rodata
	.globl	ap_trampoline, ap_trampoline_end
	.code16
ap_trampoline:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$0x08, $ap32
	.balign	8
ap_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 0x08: 32-bit code */
	.quad	0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: data */
ap_gdt_pointer:
	.word	ap_gdt_pointer - ap_gdt - 1
	.long	TRAMPOLINE + ap_gdt - ap_trampoline
ap_trampoline_end:

/* ---- where it was linked */

	.text
	.code32
ap32:
	movl	$SEL_DATA0, %eax
	movl	%eax, %ds
	movl	%eax, %ss
	movl	ap_cr3, %eax
	movl	%eax, %cr3
	movl	$CR4_PAE_FXSR_XMM, %eax
	movl	%eax, %cr4
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	$CR0_PG_WP_NE_MP_PE, %eax
	movl	%eax, %cr0
	ljmp	$SEL_CODE0, $ap64

	.code64
ap64:
	movq	ap_cpu, %rdi		/* struct mv_cpu */
	lgdt	8(%rdi)
	lidt	ap_idtr
	movl	$SEL_DATA0, %eax
	movl	%eax, %ss
	movl	$SEL_DATA3, %eax
	movl	%eax, %ds
	movl	%eax, %es
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	$SEL_TSS, %eax
	ltr	%ax
	movq	0(%rdi), %rsp
	pushq	$SEL_DATA3
	pushq	0(%rdi)
	pushq	$RFLAGS_IOPL3
	pushq	$SEL_CODE3
	pushq	$ap_start3
	iretq
ap_start3:
	xorl	%ebp, %ebp
	call	ap_main
	ud2

	.bss
	.balign	8
	.globl	ap_cr3, ap_cpu, ap_idtr
ap_cr3:	.skip	8
ap_cpu:	.skip	8
ap_idtr: .skip	10
	.section .note.GNU-stack, "", @progbits
