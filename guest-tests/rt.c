/* SPDX-License-Identifier: MIT */
/* Console, command line and the way to CPL 0: see rt.h. */
#include <stdarg.h>

#include "rt.h"

#define UART_IER (MV_PORT_SERIAL + 1)
#define UART_FCR (MV_PORT_SERIAL + 2)
#define UART_LCR (MV_PORT_SERIAL + 3)
#define UART_MCR (MV_PORT_SERIAL + 4)
#define UART_LSR (MV_PORT_SERIAL + 5)
#define UART_LSR_THRE 0x20
#define UART_TRY 4

#define MULTIBOOT_ENTRY_MAGIC 0x2badb002
#define MULTIBOOT_HAS_CMDLINE 0x4
#define PVH_START_MAGIC 0x336ec578

extern uint32_t mv_boot_magic, mv_boot_info;

/* ------------------------------------------------------------------ strings */

/* One instruction each: at CPL 0 the number of instructions is what costs time. */
void *memcpy(void *dst, const void *src, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(n) : : "memory");
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	uint8_t *d = dst;
	const uint8_t *s = src;

	if (d <= s)
		return memcpy(dst, src, n);
	while (n--)
		((volatile uint8_t *)d)[n] = s[n];
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *p = a, *q = b;

	for (; n; n--, p++, q++) {
		if (*p != *q)
			return *p < *q ? -1 : 1;
	}
	return 0;
}

size_t strlen(const char *s)
{
	const char *e = s;

	while (*(const volatile char *)e)
		e++;
	return (size_t)(e - s);
}

static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	if (c == '-' || c == '.')
		return '_';
	if (c == ' ')
		return '\0';
	return c;
}

bool mv_name_equal(const char *a, const char *b)
{
	while (fold(*a) && fold(*a) == fold(*b)) {
		a++;
		b++;
	}
	return fold(*a) == fold(*b);
}

/* ------------------------------------------------------------------ console */

static char line[1024];
static size_t line_len;
static bool uart_slow, uart_known;
/* screen.c, in programs that have it */
void (*mv_screen_put)(char c);

static void console_init(void)
{
	mv_out8(UART_IER, 0x00);
	mv_out8(UART_LCR, 0x03);
	mv_out8(UART_FCR, 0x07);
	mv_out8(UART_MCR, 0x03);
}

/*
 * An emulated UART has sent a byte before the next one can be written, so a line goes out in one
 * instruction. One that models the line's speed shows by not being empty afterwards; from there on
 * every byte waits for its turn.
 */
static void console_flush(void)
{
	const char *p = line;
	size_t n = line_len;

	line_len = 0;
	if (!n)
		return;
	if (!uart_slow) {
		/* The first bytes of all tell, and fit the smallest buffer there is with one to spare. */
		size_t rest = uart_known || n <= UART_TRY ? 0 : n - UART_TRY;

		n -= rest;
		__asm__ volatile("rep outsb"
				 : "+S"(p), "+c"(n)
				 : "d"((uint16_t)MV_PORT_SERIAL)
				 : "memory");
		uart_slow = !(mv_in8(UART_LSR) & UART_LSR_THRE);
		uart_known = true;
		n = rest;
		if (!uart_slow && n) {
			__asm__ volatile("rep outsb"
					 : "+S"(p), "+c"(n)
					 : "d"((uint16_t)MV_PORT_SERIAL)
					 : "memory");
		}
	}
	for (; n; n--) {
		for (int i = 0; i < 100000 && !(mv_in8(UART_LSR) & UART_LSR_THRE); i++)
			;
		mv_out8(MV_PORT_SERIAL, (uint8_t)*p++);
	}
}

void mv_flush(void)
{
	console_flush();
}

static void put(char c)
{
	if (mv_screen_put)
		mv_screen_put(c);
	if (c == '\n')
		line[line_len++] = '\r';
	line[line_len++] = c;
	if (c == '\n' || line_len > sizeof(line) - 2)
		console_flush();
}

void mv_puts(const char *s)
{
	while (*s)
		put(*s++);
}

struct spec {
	bool left, zero, is_long;
	int width;
};

static void put_padded(const char *s, int len, const struct spec *p)
{
	int pad = p->width > len ? p->width - len : 0;

	if (p->zero && !p->left && len && *s == '-') {
		put(*s++);
		len--;
	}
	for (; !p->left && pad; pad--)
		put(p->zero ? '0' : ' ');
	while (len--)
		put(*s++);
	for (; pad; pad--)
		put(' ');
}

static void put_number(uint64_t v, unsigned base, bool negative, const struct spec *p)
{
	char buf[24];
	int i = sizeof(buf);

	do {
		buf[--i] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (negative)
		buf[--i] = '-';
	put_padded(buf + i, (int)sizeof(buf) - i, p);
}

void mv_printf(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		struct spec p = { 0 };
		const char *s;
		int64_t d;

		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		for (fmt++; *fmt == '-' || *fmt == '0'; fmt++)
			*(*fmt == '-' ? &p.left : &p.zero) = true;
		if (*fmt == '*') {
			p.width = va_arg(ap, int);
			fmt++;
		}
		for (; *fmt >= '0' && *fmt <= '9'; fmt++)
			p.width = p.width * 10 + (*fmt - '0');
		for (; *fmt == 'l'; fmt++)
			p.is_long = true;

		switch (*fmt) {
		case 's':
			s = va_arg(ap, const char *);
			put_padded(s, (int)strlen(s), &p);
			break;
		case 'c':
			put((char)va_arg(ap, int));
			break;
		case 'd':
			d = p.is_long ? va_arg(ap, int64_t) : va_arg(ap, int);
			put_number(d < 0 ? 0 - (uint64_t)d : (uint64_t)d, 10, d < 0, &p);
			break;
		case 'u':
		case 'x':
			put_number(p.is_long ? va_arg(ap, uint64_t) : va_arg(ap, unsigned),
				   *fmt == 'x' ? 16 : 10, false, &p);
			break;
		case '\0':
			fmt--;
			break;
		default:
			put(*fmt);
		}
	}
	va_end(ap);
}

/* ------------------------------------------------------------------ command line */

char mv_cmdline[512];

/* The loader's memory is anybody's memory afterwards: take what is needed, first thing. */
static void cmdline_init(void)
{
	const uint32_t *info = (const uint32_t *)(uintptr_t)mv_boot_info;
	const char *s = NULL;

	if (mv_boot_magic == MULTIBOOT_ENTRY_MAGIC) {
		if (info[0] & MULTIBOOT_HAS_CMDLINE)
			s = (const char *)(uintptr_t)info[4];
	} else if (info && info[0] == PVH_START_MAGIC) {
		s = (const char *)(uintptr_t)info[6];
	}
	for (size_t i = 0; s && s[i] && i < sizeof(mv_cmdline) - 1; i++)
		mv_cmdline[i] = s[i];
}

const char *mv_word(const char *name)
{
	const char *p = mv_cmdline;
	size_t n = strlen(name);

	while (*p) {
		while (*p == ' ')
			p++;
		if (!memcmp(p, name, n)) {
			if (p[n] == '=')
				return p + n + 1;
			if (p[n] == ' ' || !p[n])
				return "";
		}
		while (*p && *p != ' ')
			p++;
	}
	return NULL;
}

const char *mv_word_copy(const char *name, char *buf, size_t size, const char *absent)
{
	const char *s = mv_word(name);
	size_t i = 0;

	if (!s)
		s = absent;
	for (; s[i] && s[i] != ' ' && i < size - 1; i++)
		buf[i] = s[i];
	buf[i] = '\0';
	return buf;
}

uint64_t mv_word_number(const char *name, uint64_t absent)
{
	const char *s = mv_word(name);
	uint64_t v = 0;

	if (!s || *s < '0' || *s > '9')
		return absent;
	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (uint64_t)(*s - '0');
	return v;
}

/* ------------------------------------------------------------------ the machine */

static uint64_t halt0(uint64_t a, uint64_t b)
{
	__asm__ volatile("cli\n1:	hlt\n	jmp 1b");
	return a + b;
}

void mv_halt(void)
{
	uint16_t cs;

	console_flush();
	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	if (cs & 3)
		mv_at_cpl0(halt0, 0, 0);
	halt0(0, 0);
	__builtin_unreachable();
}

void mv_exit(uint32_t value)
{
	console_flush();
	mv_out32(MV_PORT_EXIT, value);
	mv_halt();	/* nobody listens on that port */
}

void mv_sync(uint8_t number)
{
	console_flush();
	mv_out8(MV_PORT_SYNC, number);
}

void mv_info_more(uint32_t *words, size_t n)
{
	__asm__ volatile("rep insl"
			 : "+D"(words), "+c"(n)
			 : "d"((uint16_t)MV_PORT_INFO)
			 : "memory");
}

void mv_info_read(uint32_t block, uint32_t *words, size_t n)
{
	mv_out32(MV_PORT_INFO, block);
	mv_info_more(words, n);
}

/* ------------------------------------------------------------------ CPUID and probes */

static uint64_t cpuid0(uint64_t in, uint64_t out)
{
	*(struct mv_cpuid *)out = mv_cpuid((uint32_t)in, (uint32_t)(in >> 32));
	return 0;
}

struct mv_cpuid mv_cpuid_at(unsigned cpl, uint32_t leaf, uint32_t subleaf)
{
	struct mv_cpuid r;

	if (cpl)
		return mv_cpuid(leaf, subleaf);
	mv_at_cpl0(cpuid0, leaf | (uint64_t)subleaf << 32, (uintptr_t)&r);
	return r;
}

/* ------------------------------------------------------------------ start */

int mv_main(void);

int mv_main(void)
{
	cmdline_init();
	console_init();
	return main();
}
