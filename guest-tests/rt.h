/* SPDX-License-Identifier: MIT */
/*
 * The library under every bare-metal guest: console, command line, the words the machine has to
 * tell, CPUID, one function call at CPL 0, one instruction with its exception caught.
 *
 * main() runs at CPL 3 with IOPL 3, on identity-mapped memory (the first GiB, all of it open to
 * CPL 3), interrupts off. Its return value goes to MV_PORT_EXIT. An exception that nobody asked
 * for prints one line and ends the run with MV_EXIT_EXCEPTION.
 */
#ifndef MV_GUEST_RT_H
#define MV_GUEST_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"

#define MV_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

int main(void);

/* ---- console: written out a line at a time */

/* %s %c %d %u %x, with '-', '0', a width and the length l; and %% */
void mv_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void mv_puts(const char *s);
/* Write out the line so far: the next step may be the last. */
void mv_flush(void);
extern void (*mv_screen_put)(char c);
/* A screen in VGA text mode gets the lines, too, and keeps them for mv_pager(). */
void mv_screen_start(void);
/* Show the lines on the screen from the first on, and turn pages by the keyboard. No way back. */
void mv_pager(void) __attribute__((noreturn));

/* ---- command line: words, blank-separated, each NAME or NAME=VALUE */

extern char mv_cmdline[];

/* The value of word NAME ("" for the bare word), or NULL; it ends at a blank or NUL. */
const char *mv_word(const char *name);
/* The same, copied; absent if there is no such word. */
const char *mv_word_copy(const char *name, char *buf, size_t size, const char *absent);
uint64_t mv_word_number(const char *name, uint64_t absent);

/* ---- the machine */

void mv_exit(uint32_t value) __attribute__((noreturn));
void mv_halt(void) __attribute__((noreturn));
void mv_sync(uint8_t number);

/* Choose a block and read its first words; without minivmm they are not to be trusted. */
void mv_info_read(uint32_t block, uint32_t *words, size_t n);
/* Read on in the chosen block. */
void mv_info_more(uint32_t *words, size_t n);

/* ---- CPL 0 */

typedef uint64_t mv_cpl0_fn(uint64_t a, uint64_t b);
uint64_t mv_at_cpl0(mv_cpl0_fn *fn, uint64_t a, uint64_t b);

/* ---- one piece of code with its exception caught */

struct mv_exec_regs {
	uint64_t rax, rbx, rcx, rdx, rdi;	/* in; rax is an output, too */
};

/* What mv_exec returns when nothing was raised; anything else is a vector. */
#define MV_NO_VECTOR (-1)
#define MV_HUNG_VECTOR (-2)	/* it did not come back, and the watchdog ended it */
#define MV_VECTOR_UD 6

/*
 * Run code from the .probes section at CPL 3 or CPL 0; returns the vector it raised. With catch
 * false an exception is as fatal as any other.
 */
int mv_exec(unsigned cpl, const void *code, struct mv_exec_regs *regs, bool catch);

/*
 * From here on code that is caught is also ended when it takes longer than two seconds. For machines
 * with a PIT and a PIC; others never interrupt.
 */
void mv_watchdog_start(void);
extern bool mv_watchdog_on;
/* Interrupts of the PIT so far. */
extern volatile unsigned mv_interrupts;

/* "#UD" and so on; "vectorN" for those without a short name. buf of 12 bytes. */
const char *mv_vector_name(int vector, char *buf);

struct mv_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* A program may define this to add a line of its own about a fatal exception. */
void mv_fatal_note(const struct mv_frame *f);

/* ---- strings */

void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
/* Feature names: case does not count, and '.', '-' and '_' are the same; both end at a blank. */
bool mv_name_equal(const char *a, const char *b);

/* ---- instructions */

struct mv_cpuid {
	uint32_t eax, ebx, ecx, edx;
};

/*
 * The only CPUID in the image. Each place it is inlined to lists its address in the MV_NOTE_CPUID
 * note; there a VMM may replace the two bytes by a port write, hence the memory clobber.
 */
static inline struct mv_cpuid mv_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct mv_cpuid r;

	__asm__ volatile("1:	cpuid\n"
			 "	.pushsection .note.2.cpuid.site, \"a\", @note\n"
			 "	.quad	1b\n"
			 "	.popsection"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "0"(leaf), "2"(subleaf)
			 : "memory");
	return r;
}

/* CPUID at either level. */
struct mv_cpuid mv_cpuid_at(unsigned cpl, uint32_t leaf, uint32_t subleaf);

static inline void mv_out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void mv_out32(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint8_t mv_in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

#endif
