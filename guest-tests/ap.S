/* SPDX-License-Identifier: MIT */
/* Another CPU's way from INIT to ap_main() at CPL 3; what start.S is for the first one. */

#include "entry.h"

/* ---- real mode: copied to AP_TRAMPOLINE */

	.section .rodata
	.globl	ap_trampoline, ap_trampoline_end
	.code16
ap_trampoline:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline
	movl	%cr0, %eax
	andl	$~CR0_CD_NW, %eax
	orl	$CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	$SEL_CODE32, $ap32
	.balign	8
ap_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 0x08: 32-bit code */
	.quad	0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: data */
ap_gdt_pointer:
	.word	ap_gdt_pointer - ap_gdt - 1
	.long	AP_TRAMPOLINE + ap_gdt - ap_trampoline
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
	movl	$CR4_ON, %eax
	movl	%eax, %cr4
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	$CR0_ON, %eax
	movl	%eax, %cr0
	ljmp	$SEL_CODE0, $ap64

	.code64
ap64:
	movq	ap_cpu, %rdi		/* struct mv_cpu */
	lgdt	8(%rdi)
	lidt	ap_idtr
	load_segments
	movl	$SEL_TSS, %eax
	ltr	%ax
	movq	0(%rdi), %rsp
	to_cpl3	0(%rdi), ap_start3
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
