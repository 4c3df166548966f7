/* SPDX-License-Identifier: MIT */
/*
 * What a CPUID exit costs: TSC ticks of 1024 rounds of four instructions and, but for the first line, a
 * CPUID; a line each: leaf, ticks, in hexadecimal. Where the TSC counts instructions (LAB_ICOUNT=1,
 * tests/lab/lab) the figures repeat. Multiboot, 32-bit, so that other VMMs can run it.
 */
#include "guest-tests/abi.h"

/* For --intercept patch; the note says 64-bit code, too, which a table of one leaf has no room for. */
#ifdef WITH_NOTE
	.section .note.minivmm, "a", @note
	.balign 4
	.long 8, 4, MV_NOTE_FLAGS
	.asciz MV_NOTE_OWNER
	.long MV_NOTE_CPL3_IOPL3	/* nothing here runs at CPL 3 */
#endif

#define ROUNDS 1024

	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002, 0, -0x1badb002
leaves:	.long 0, 1, 7, 0xd, 0x80000001, 0x80000008, 0x4fffffff
leaves_end:

	.text
	.code32
	.globl _start
_start:	movl	$stack_top, %esp
	movl	$ROUNDS, %edi		/* warm up */
1:	xorl	%eax, %eax
	xorl	%ecx, %ecx
	cpuid
	decl	%edi
	jnz	1b

	movl	$-1, %esi		/* the empty loop */
	movl	$ROUNDS, %edi
	rdtsc
	movl	%eax, %ebp
2:	movl	%esi, %eax
	xorl	%ecx, %ecx
	decl	%edi
	jnz	2b
	call	report

	movl	$leaves, %ebx
next:	movl	(%ebx), %esi
	pushl	%ebx
	movl	$ROUNDS, %edi
	rdtsc
	movl	%eax, %ebp
3:	movl	%esi, %eax
	xorl	%ecx, %ecx
	cpuid
	decl	%edi
	jnz	3b
	call	report
	popl	%ebx
	addl	$4, %ebx
	cmpl	$leaves_end, %ebx
	jb	next
	xorl	%eax, %eax
	outl	%eax, $MV_PORT_EXIT
4:	hlt
	jmp	4b

/* Leaf in ESI, TSC at the begin in EBP. */
report:	rdtsc
	subl	%ebp, %eax
	movl	%eax, %ebp
	movl	%esi, %eax
	call	hex
	movb	$' ', %al
	outb	%al, %dx
	movl	%ebp, %eax
	call	hex
	movb	$'\n', %al
	outb	%al, %dx
	ret

hex:	movl	%eax, %ecx
	movl	$8, %edi
	movw	$MV_PORT_SERIAL, %dx
5:	roll	$4, %ecx
	movb	%cl, %al
	andb	$15, %al
	addb	$'0', %al
	cmpb	$'9', %al
	jbe	6f
	addb	$'a' - '9' - 1, %al
6:	outb	%al, %dx
	decl	%edi
	jnz	5b
	ret

	.bss
	.balign 16
	.space 256
stack_top:
	.section .note.GNU-stack, "", @progbits
