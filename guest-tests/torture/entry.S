/* SPDX-License-Identifier: MIT */
/* What the torture guest can't say in C: the sync point itself, and interrupts. */
#include "abi.h"
#include "entry.h"

#define SEL_LDT		0x50

	.text

/*
 * void sync_point(uint64_t regs[16], void *in, void *out, uint64_t mask): all general registers but
 * RSP from regs, in the order of their numbers, the extended state from in; the sync point; both
 * back. mask 0: FXRSTOR and FXSAVE. regs[4] is RFLAGS.
 */
	.globl	sync_point
sync_point:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushfq
	movq	%rdi, sp_regs
	movq	%rdx, sp_out
	movq	%rcx, sp_mask
	movl	%ecx, %eax
	movq	%rcx, %rdx
	shrq	$32, %rdx
	testq	%rcx, %rcx
	jz	1f
	xrstor64 (%rsi)
	jmp	2f
1:	fxrstor64 (%rsi)
2:	pushq	32(%rdi)
	movq	0(%rdi), %rax
	movq	8(%rdi), %rcx
	movq	16(%rdi), %rdx
	movq	24(%rdi), %rbx
	movq	40(%rdi), %rbp
	movq	48(%rdi), %rsi
	movq	64(%rdi), %r8
	movq	72(%rdi), %r9
	movq	80(%rdi), %r10
	movq	88(%rdi), %r11
	movq	96(%rdi), %r12
	movq	104(%rdi), %r13
	movq	112(%rdi), %r14
	movq	120(%rdi), %r15
	movq	56(%rdi), %rdi
	popfq
	outb	%al, $MV_PORT_SYNC
	pushfq
	pushq	%rdi
	movq	sp_regs, %rdi
	movq	%rax, 0(%rdi)
	movq	%rcx, 8(%rdi)
	movq	%rdx, 16(%rdi)
	movq	%rbx, 24(%rdi)
	movq	%rbp, 40(%rdi)
	movq	%rsi, 48(%rdi)
	movq	%r8, 64(%rdi)
	movq	%r9, 72(%rdi)
	movq	%r10, 80(%rdi)
	movq	%r11, 88(%rdi)
	movq	%r12, 96(%rdi)
	movq	%r13, 104(%rdi)
	movq	%r14, 112(%rdi)
	movq	%r15, 120(%rdi)
	popq	56(%rdi)
	popq	32(%rdi)
	movq	sp_out, %rdi
	movq	sp_mask, %rcx
	movl	%ecx, %eax
	movq	%rcx, %rdx
	shrq	$32, %rdx
	testq	%rcx, %rcx
	jz	1f
	xsave64	(%rdi)
	jmp	2f
1:	fxsave64 (%rdi)
2:	cld
	fninit
	movl	$0x1f80, -8(%rsp)
	ldmxcsr	-8(%rsp)
	popfq
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

/* uint64_t frame_if(uint64_t on, uint64_t): by mv_at_cpl0, whose frame it changes. */
	.globl	frame_if
frame_if:
	andq	$~0x200, 24(%rbp)
	testq	%rdi, %rdi
	jz	1f
	orq	$0x200, 24(%rbp)
1:	ret

/* uint64_t halt_once(uint64_t, uint64_t): STI's shadow makes sure that HLT is reached. */
	.globl	halt_once
halt_once:
	sti
	hlt
	cli
	ret

	.globl	code_rdmsr, code_wrmsr
	.pushsection .probes, "ax"
code_rdmsr:
	rdmsr
	shlq	$32, %rdx
	orq	%rdx, %rax
	jmp	mv_exec_done
code_wrmsr:
	wrmsr
	jmp	mv_exec_done
	.popsection

/* ---- interrupts: vector i is at interrupt_entries + 16 * (i - 32) */

	.balign	16
	.globl	interrupt_entries
interrupt_entries:
	.set	i, 32
	.rept	224
	.balign	16
	pushq	$i
	jmp	interrupt_entry
	.set	i, i + 1
	.endr

interrupt_entry:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%rbp
	cld
	movq	80(%rsp), %rdi
	movq	%rsp, %rbp
	andq	$-16, %rsp
	call	on_interrupt
	movq	%rbp, %rsp
	popq	%rbp
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$8, %rsp
	iretq

/* uint64_t own_tables(struct mv_cpu *, uint64_t): the boot CPU changes to these, LDT included. */
	.globl	own_tables
own_tables:
	lgdt	8(%rdi)
	movl	$SEL_TSS, %eax
	ltr	%ax
	movl	$SEL_LDT, %eax
	lldt	%ax
	ret

	.bss
	.balign	8
sp_regs: .skip	8
sp_out:	.skip	8
sp_mask: .skip	8
	.section .note.GNU-stack, "", @progbits
