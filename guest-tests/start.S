/* SPDX-License-Identifier: MIT */
/*
 * From the loader to main() at CPL 3, and the three ways back to CPL 0.
 *
 * There are hosts where KVM interprets CPL 0 instruction by instruction and runs CPL 3 natively, so
 * CPL 0 does as little as possible here: tables that can be made at link time are, and everything
 * that is not privileged, printing included (IOPL 3), happens at CPL 3. CPL 0 is entered by
 * exceptions only; one UD2 of ours asks for a function call there.
 *
 * Two loader protocols end in the same place: multiboot 1 (EAX = 0x2badb002, EBX = its information)
 * and PVH (EBX = hvm_start_info). Both enter with flat 32-bit segments and paging off; what is done
 * here works, too, if long mode is already on and virtual is physical (MV_NOTE_PAGED_ENTRY).
 */
#include "abi.h"
#include "entry.h"

#define MULTIBOOT_MAGIC	0x1badb002
#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define GATES		48	/* exceptions, and what the two PICs may raise */

/* ------------------------------------------------------------------ headers and notes */

	.section .multiboot, "a"
	.balign	4
	.long	MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

	.section .note.0.fixed, "a", @note
	.balign	4
	.long	4, 4, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.long	mv_start

	.long	8, 4, MV_NOTE_FLAGS
	.asciz	MV_NOTE_OWNER
	.long	MV_NOTE_CPL3_IOPL3 | MV_NOTE_PAGED_ENTRY

	/* The addresses follow, one from each use of mv_cpuid(); the linker script counts them. */
	.section .note.1.cpuid, "a", @note
	.balign	4
	.long	8, mv_cpuid_sites_size, MV_NOTE_CPUID
	.asciz	MV_NOTE_OWNER

/* ------------------------------------------------------------------ 32-bit entry */

	.text
	.code32
	.globl	mv_start
mv_start:
	cli
	cld
	movl	%eax, mv_boot_magic
	movl	%ebx, mv_boot_info

	/* A CPU without 64-bit mode raises an exception below, or leaves a bit off: say so. */
	movl	$stack0_top, %esp
	lgdt	gdt_pointer
	ljmp	$SEL_CODE32, $1f
1:	movl	$idt, %edi
	movl	$32, %ecx
2:	movl	$no_64bit, %eax
	movw	%ax, (%edi)
	movw	$SEL_CODE32, 2(%edi)
	movw	$0x8e00, 4(%edi)
	shrl	$16, %eax
	movw	%ax, 6(%edi)
	addl	$8, %edi
	loop	2b
	lidt	idt_pointer

	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$CR4_ON, %eax
	movl	%eax, %cr4
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	rdmsr
	testl	$EFER_LME, %eax
	jz	no_64bit
	movl	%cr0, %eax
	andl	$~(CR0_EM | CR0_TS | CR0_CD_NW), %eax
	orl	$CR0_ON, %eax
	movl	%eax, %cr0
	ljmp	$SEL_CODE0, $start64

no_64bit:
	movw	$MV_PORT_SERIAL + 3, %dx	/* 8 bits, no parity */
	movb	$3, %al
	outb	%al, %dx
	movl	$no_64bit_text, %esi
	movl	$0xb8000, %edi
1:	movb	(%esi), %al
	testb	%al, %al
	jz	2f
	movb	%al, (%edi)
	movb	$0x07, 1(%edi)
	movb	%al, %ah
	movl	$100000, %ecx
	movw	$MV_PORT_SERIAL + 5, %dx
3:	inb	%dx, %al
	testb	$0x20, %al
	loopz	3b
	movb	%ah, %al
	movw	$MV_PORT_SERIAL, %dx
	outb	%al, %dx
	incl	%esi
	addl	$2, %edi
	jmp	1b
2:	movl	$MV_EXIT_NO_64BIT, %eax
	movw	$MV_PORT_EXIT, %dx
	outl	%eax, %dx
4:	hlt
	jmp	4b

/* ------------------------------------------------------------------ 64-bit set-up */

	.code64
start64:
	load_segments
	movl	$stack0_top, %esp

	/* A TSS descriptor holds its base in pieces, which no relocation can fill in. */
	movl	$tss, %eax
	movw	%ax, gdt_tss + 2
	shrl	$16, %eax
	movb	%al, gdt_tss + 4
	movb	%ah, gdt_tss + 7
	movl	$SEL_TSS, %eax
	ltr	%ax

	/* The same goes for gates: handler i is at vectors + 16 * i. */
	movl	$idt, %edi
	movl	$vectors, %eax
	movl	$GATES, %ecx
1:	movq	$0, 8(%rdi)
	movw	%ax, (%rdi)
	movl	%eax, 4(%rdi)
	movl	$(SEL_CODE0 | 0x8e00 << 16), %edx
	movw	%dx, 2(%rdi)
	shrl	$16, %edx
	movw	%dx, 4(%rdi)
	addl	$16, %eax
	addl	$16, %edi
	decl	%ecx
	jnz	1b
	movb	$1, idt + 8 * 16 + 4	/* #DF has a stack of its own */
	lidt	idt_pointer

	to_cpl3	$stack3_top, start3

start3:
	xorl	%ebp, %ebp
	call	mv_main
	movl	%eax, %edi
	call	mv_exit
	ud2

/* ------------------------------------------------------------------ a call at CPL 0 */

/*
 * uint64_t mv_at_cpl0(uint64_t (*fn)(uint64_t, uint64_t), uint64_t a, uint64_t b):
 * calls fn(a, b) at CPL 0. By #UD, not by a software interrupt: KVM on PVM has no INT n at CPL 3.
 */
	.globl	mv_at_cpl0
mv_at_cpl0:
call0_gate:
	ud2
	ret

call0:
	addq	$16, %rsp
	addq	$2, (%rsp)
	movq	%rdi, %rax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	pushq	%rbp
	movq	%rsp, %rbp
	andq	$-16, %rsp
	call	*%rax
	movq	%rbp, %rsp
	popq	%rbp
	iretq

/* ------------------------------------------------------------------ exceptions */

	.balign	16
vectors:
	.set	i, 0
	.rept	GATES
	.balign	16
	.if	i >= 32 || !((1 << i) & 0x60227d00)	/* those that push no error code: 8 10-14 17 21 29 30 do */
	pushq	$0
	.endif
	pushq	$i
	jmp	trap_entry
	.set	i, i + 1
	.endr

trap_entry:
	cmpq	$call0_gate, 16(%rsp)
	je	call0
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbp
	andq	$-16, %rsp
	call	mv_trap
	movq	%rbp, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rbp
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq

/* ------------------------------------------------------------------ one probe */

/*
 * void mv_exec_raw(const void *code, struct mv_exec_regs *regs): loads RAX, RBX, RCX, RDX and RDI
 * from regs, runs code, which ends in a jump to mv_exec_done, and stores RAX back. A probe may
 * clobber every register. It may even leave RSP 8 bytes too high (an encoding that old CPUs take
 * for POP), so nothing is taken from the stack until RSP is known again; the word it would find
 * there is not zero. Flags go in with SF, ZF and CF clear.
 */
	.globl	mv_exec_raw, mv_exec_done, mv_exec_fault
mv_exec_raw:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushfq
	pushq	%rsi
	movq	%rsp, mv_exec_rsp
	pushq	$0x5a5a5a5a
	movq	%rdi, mv_exec_code
	movq	0(%rsi), %rax
	movq	8(%rsi), %rbx
	movq	16(%rsi), %rcx
	movq	24(%rsi), %rdx
	movq	32(%rsi), %rdi
	movl	$1, %esi
	cmpb	$0, mv_watchdog_on
	je	1f
	sti
1:	testl	%esi, %esi
	jmp	*mv_exec_code

mv_exec_done:
	cmpb	$0, mv_watchdog_on	/* where IOPL is lost, CLI would be a #GP */
	je	2f
	cli
2:	movq	mv_exec_rsp, %rsp
	popq	%rsi
	movq	%rax, 0(%rsi)
	jmp	1f
mv_exec_fault:			/* the handler of a fault in an armed probe returns to here */
	movq	mv_exec_rsp, %rsp
	popq	%rsi
1:	popfq
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

/* ------------------------------------------------------------------ data */

	.section .rodata
no_64bit_text:
	.asciz	"guest: this CPU has no 64-bit mode, and the probes need one\r\n"
	.balign	8
	.word	0, 0, 0
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt
	.balign	8
	.word	0, 0, 0
idt_pointer:
	.word	GATES * 16 - 1
	.quad	idt

	.data
	.balign	16
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 0x08: 32-bit code, CPL 0 */
	.quad	0x00af9b000000ffff	/* 0x10: code, CPL 0 */
	.quad	0x00cf93000000ffff	/* 0x18: data, CPL 0 */
	.quad	0x00cffb000000ffff	/* 0x20: 32-bit code, CPL 3 (unused) */
	.quad	0x00cff3000000ffff	/* 0x28: data, CPL 3 */
	.quad	0x00affb000000ffff	/* 0x30: code, CPL 3 */
	.quad	0
gdt_tss:
	.quad	0x0000890000000000 + tss_end - tss - 1	/* 0x40: the TSS, base filled in at start */
	.quad	0
gdt_end:

	.balign	16
tss:
	.long	0
	.quad	stack0_top, 0, 0, 0
	.quad	stack_df_top, 0, 0, 0, 0, 0, 0, 0
	/*
	 * IOPL 3 lets CPL 3 do I/O. Where a hypervisor keeps IOPL from getting there (kvm_pvm loses it
	 * on the way to native CPL 3) the bitmap says the same for every port below 0x400.
	 */
	.word	0, 104
	.fill	0x400 / 8, 1, 0
	.byte	0xff
tss_end:

	/* The first GiB as it is, in 2 MiB pages, open to CPL 3; and the local APIC. */
	.balign	4096
pml4:
	.quad	pdpt + 7
	.fill	255, 8, 0
	.quad	pdpt + 3	/* once more for CPL 0 alone, for what denies it pages of CPL 3 */
	.fill	255, 8, 0
pdpt:
	.quad	pd + 7
	.fill	2, 8, 0
	.quad	pd_apic + 3
	.fill	508, 8, 0
pd_apic:
	.fill	(0xfee00000 - 0xc0000000) >> 21, 8, 0
	.quad	0xfee00000 | 0x9b	/* the local APIC, uncached, CPL 0 */
	.fill	512 - 1 - ((0xfee00000 - 0xc0000000) >> 21), 8, 0
pd:
	.set	i, 0
	.rept	512
	.quad	i << 21 | 0x87
	.set	i, i + 1
	.endr

	.bss
	.balign	16
idt:
	.skip	GATES * 16
	.globl	mv_boot_magic, mv_boot_info, mv_exec_rsp
mv_exec_rsp:
	.skip	8
mv_exec_code:
	.skip	8
mv_boot_magic:
	.skip	4
mv_boot_info:
	.skip	4
	.balign	16
	.skip	4096
stack_df_top:
	.skip	8192
stack0_top:
	.skip	16384
stack3_top:

	.section .note.GNU-stack, "", @progbits
