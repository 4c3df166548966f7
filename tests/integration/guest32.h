/* SPDX-License-Identifier: MIT */
/*
 * What the 32-bit multiboot programs of this folder begin with. Each is one file, built by guest32 in
 * helpers.sh, that defines run().
 */
#ifndef MV_TESTS_GUEST32_H
#define MV_TESTS_GUEST32_H

#include <stdint.h>

#define COM1 0x3f8
#define EXIT 0xf4

struct info {
	uint32_t flags, lower, upper, boot, cmdline, nmods, mods, syms[4], mmap_length, mmap;
};

void run(const struct info *info);

__asm__(".text\n"
	".balign 4\n"
	".long 0x1badb002, 3, -(0x1badb002 + 3)\n"
	".globl _start\n"
	"_start: mov $stack_top, %esp\n"
	"	push %ebx\n"
	"	call run\n"
	".bss\n"
	".balign 16\n"
	".space 8192\n"
	"stack_top:\n"
	".previous\n");

static inline void out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void put(const char *s)
{
	for (; *s; s++)
		out8(COM1, (uint8_t)*s);
}

static inline void end(uint8_t code)
{
	out8(EXIT, code);
	for (;;)
		__asm__ volatile("hlt");
}

#endif
