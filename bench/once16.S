/* SPDX-License-Identifier: MIT */
/* The same for kvmtool, which starts a flat image in real mode and ends when the keyboard controller resets the machine. */
	.text
	.code16
	.globl _start
_start:
	movw	$0x3f8, %dx
	movb	$'!', %al
	outb	%al, %dx
	movb	$0xfe, %al
	outb	%al, $0x64
1:	hlt
	jmp	1b
	.section .note.GNU-stack, "", @progbits
