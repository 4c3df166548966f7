/* SPDX-License-Identifier: MIT */
/*
 * One character to the serial port from the first instructions, then the exit port: what a start
 * costs, and nothing of a guest's own. Multiboot, so that QEMU takes it, too.
 */
#include "guest-tests/abi.h"

	/* Nothing here runs at CPL 3, so all of it that does has IOPL 3. */
	.section .note.minivmm, "a", @note
	.balign 4
	.long 8, 4, MV_NOTE_FLAGS
	.asciz MV_NOTE_OWNER
	.long MV_NOTE_CPL3_IOPL3

	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002, 0, -0x1badb002
	.text
	.code32
	.globl _start
_start:
	movw	$0x3f8, %dx
	movb	$'!', %al
	outb	%al, %dx
	xorl	%eax, %eax
	outl	%eax, $0xf4
1:	hlt
	jmp	1b
	.section .note.GNU-stack, "", @progbits
