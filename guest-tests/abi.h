/* SPDX-License-Identifier: MIT */
/*
 * The contract between a test guest and the machine it runs on: I/O ports, the words that can be
 * read from them, and the ELF notes by which an image tells what its code does. Shared by guests,
 * assembly files and the VMM, so: macros only, no types, no other header.
 *
 * A guest must work without minivmm, too: under any other machine a read of MV_PORT_INFO does not
 * return MV_INFO_MAGIC, and the guest goes on with what it can find out by itself.
 */
#ifndef MV_GUEST_ABI_H
#define MV_GUEST_ABI_H

#define MV_ABI_VERSION 1

/* First serial port (16550). */
#define MV_PORT_SERIAL 0x3f8

/* OUT 8, 16 or 32 bits: the run is over with this value; 0 = the guest passed. */
#define MV_PORT_EXIT 0xf4

/* Values of the run-time library's own: an exception nobody asked for; a CPU without 64-bit mode. */
#define MV_EXIT_EXCEPTION 6
#define MV_EXIT_NO_64BIT 8

/*
 * OUT 32 bits: choose a block. IN 32 bits (also REP INS): its words in order, 0 past the end.
 * MV_INFO_HEADER: magic, ABI version, flags, interception mode.
 * MV_INFO_TABLE:  n, then n times leaf, subleaf, eax, ebx, ecx, edx: what CPUID must return.
 * MV_INFO_RAW:    the same shape: what the CPUID instruction returns on the host of the moment.
 */
#define MV_PORT_INFO 0xf8
#define MV_INFO_HEADER 0
#define MV_INFO_TABLE 1
#define MV_INFO_RAW 2
#define MV_INFO_MAGIC 0x3167766d /* "mvg1" */

/* Header flags. */
#define MV_INFO_CPL0_INTERPRETED 0x1 /* KVM interprets CPL 0: an instruction run there tells about
					KVM's emulator, not about the CPU */

/* Interception modes, as the header tells them. */
#define MV_INTERCEPT_NONE 0
#define MV_INTERCEPT_KERNEL 1
#define MV_INTERCEPT_PATCH 2
#define MV_INTERCEPT_STEP 3

/* OUT 8 bits: a sync point of the guest's own number. The guest goes on when the host lets it. */
#define MV_PORT_SYNC 0xfc

/*
 * OUT 32 bits: the guest-physical address of the instruction that a guest is about to give up at, in
 * its handler of #UD. Who runs it can then say what the instruction needs.
 */
#define MV_PORT_FAULT 0xec

/*
 * ELF notes (PT_NOTE), owner "minivmm".
 * MV_NOTE_FLAGS: one 32-bit word of the flags below.
 * MV_NOTE_CPUID: 64-bit guest-physical addresses, one for each CPUID instruction of the image.
 */
#define MV_NOTE_OWNER "minivmm"
#define MV_NOTE_FLAGS 1
#define MV_NOTE_CPUID 2
#define MV_NOTE_CPL3_IOPL3 0x1 /* a port write works at CPL 3: IOPL is 3 there, and the TSS has an
				  I/O bitmap for hosts that lose IOPL on the way (kvm_pvm) */
#define MV_NOTE_PAGED_ENTRY 0x2 /* its entry point also works with paging on: 32-bit code of long
				   mode, virtual is physical. There are hosts that can't run a
				   guest without paging (Bochs as an AMD host). */

/*
 * The port write that stands in for a CPUID instruction where the VMM has to trap it itself:
 * OUT imm8, EAX, two bytes like CPUID. Not for guests to use.
 */
#define MV_PORT_CPUID 0xe6
#define MV_OPCODE_CPUID_0 0x0f
#define MV_OPCODE_CPUID_1 0xa2
#define MV_OPCODE_OUT_IMM8_EAX 0xe7

#endif
