/* SPDX-License-Identifier: MIT */
/*
 * A guest for tests/integration/linux-guest.sh: a 32-bit multiboot program that looks at the
 * machine it runs on. The first word of its command line says at what. Ends through port 0xf4.
 */
#include "guest32.h"

static void out16(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static void out32(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static uint16_t in16(uint16_t port)
{
	uint16_t v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static uint32_t in32(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void hex(const char *name, uint32_t v, int digits)
{
	put(name);
	while (digits--)
		out8(COM1, (uint8_t)"0123456789abcdef"[v >> 4 * digits & 15]);
	put("\n");
}

static int word(const char *s, const char *w)
{
	while (*w && *s == *w)
		s++, w++;
	return !*w && (!*s || *s == ' ');
}

static uint8_t uart(unsigned reg)
{
	return in8((uint16_t)(COM1 + reg));
}

/* 16550 registers and interrupt identification, polled. */
static void serial(void)
{
	out8(COM1 + 7, 0x5a);
	hex("scratch ", uart(7), 2);
	hex("iir without fifo ", uart(2), 2);
	out8(COM1 + 2, 0xff);
	hex("iir with fifo ", uart(2), 2);
	out8(COM1 + 1, 0xff);
	hex("ier ", uart(1), 2);
	out8(COM1 + 1, 0);
	out8(COM1 + 1, 2);
	uint8_t first = uart(2), second = uart(2);
	out8(COM1 + 1, 0);
	out8(COM1 + 1, 2);
	uint8_t third = uart(2);
	out8(COM1 + 1, 0);
	hex("transmitter's interrupt ", first, 2);
	hex("and when it was read ", second, 2);
	hex("switched on again ", third, 2);
	hex("lsr ", uart(5), 2);
	hex("msr ", uart(6), 2);
	out8(COM1 + 4, 0x1f);
	out8(COM1 + 4, 0x1a);
	uint8_t looped = uart(6);
	out8(COM1 + 2, 0x87);
	out8(COM1, 'L');
	uint8_t lsr = uart(5), data = uart(0), after = uart(5);
	out8(COM1 + 4, 0);
	hex("looped msr ", looped, 2);
	hex("looped lsr ", lsr, 2);
	hex("looped data ", data, 2);
	hex("and then ", after, 2);
	out8(COM1 + 3, 0x83);
	out8(COM1, 0x01);
	out8(COM1 + 1, 0x02);
	uint8_t low = uart(0), high = uart(1);
	out8(COM1 + 3, 0x03);
	hex("divisor ", (uint32_t)(high << 8 | low), 4);
}

/* Send back what comes, until 'q'. */
static void echo(void)
{
	out8(COM1 + 2, 0x07);
	out8(COM1 + 4, 0x03);
	put("ready\n");
	uart(0);
	for (;;) {
		uint8_t c;

		while (!(uart(5) & 1))
			;
		c = uart(0);
		if (c == 'q')
			return;
		out8(COM1, c);
	}
}

static void rtc(void)
{
	/* The seconds first: that is when the clock looks at the time (vmm/rtc.c). */
	static const uint8_t regs[] = { 0, 2, 4, 7, 8, 9, 0x32 };
	uint8_t v[sizeof(regs)];

	out8(0x70, 0x0a);
	hex("a ", in8(0x71), 2);
	put("time ");
	for (unsigned i = 0; i < sizeof(regs); i++) {
		out8(0x70, regs[i]);
		v[i] = in8(0x71);
	}
	for (unsigned i = sizeof(regs); i--;) {
		out8(COM1, (uint8_t)('0' + (v[i] >> 4)));
		out8(COM1, (uint8_t)('0' + (v[i] & 15)));
	}
	out8(0x70, 0);
	out8(0x71, 0x99);
	put("\n");
}

static int sum(uint32_t at, uint32_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *(volatile uint8_t *)at++);
	return s;
}

static uint32_t at32(uint32_t at)
{
	return *(volatile uint32_t *)at;
}

static int table(uint32_t at)
{
	char name[5] = { 0 };

	for (int i = 0; i < 4; i++)
		name[i] = (char)(at32(at) >> 8 * i);
	put(name);
	put(sum(at, at32(at + 4)) ? " bad\n" : " good\n");
	return at32(at) == 0x43495041;
}

static void acpi(void)
{
	uint32_t at = 0xe0000, xsdt, cpus = 0;

	while (at < 0x100000 && (at32(at) != 0x20445352 || at32(at + 4) != 0x20525450))
		at += 16;
	hex("rsdp ", at, 5);
	put(sum(at, 20) || sum(at, 36) ? "RSDP bad\n" : "RSDP good\n");
	xsdt = at32(at + 24);
	table(xsdt);
	for (uint32_t e = xsdt + 36; e < xsdt + at32(xsdt + 4); e += 8) {
		uint32_t t = at32(e), n = at32(t + 4);

		if (at32(t) == 0x50434146)
			table(at32(t + 40));
		if (!table(t))
			continue;
		for (uint32_t m = t + 44; m < t + n; m += at32(m) >> 8 & 0xff)
			cpus += (at32(m) & 0xff) == 0;
	}
	hex("cpus ", cpus, 2);
}

static void modules(const struct info *info)
{
	const uint32_t *m = (const uint32_t *)info->mods;

	hex("modules ", info->flags & 8 ? info->nmods : 0, 1);
	if (!(info->flags & 8))
		return;
	for (uint32_t a = m[0]; a < m[1]; a++)
		out8(COM1, *(volatile uint8_t *)a);
}

static void memory(const struct info *info)
{
	for (uint32_t at = info->mmap; at < info->mmap + info->mmap_length; at += at32(at) + 4) {
		hex("at ", at32(at + 4), 8);
		hex("   bytes ", at32(at + 12), 8);
		hex("   type ", at32(at + 20), 1);
	}
}

/* Nobody's: all ones, whatever the width. */
static void ports(void)
{
	out32(0x9990, 0);
	hex("byte ", in8(0x9990), 2);
	hex("word ", in16(0x9990), 4);
	hex("dword ", in32(0x9990), 8);
	hex("pm1 ", in32(0x600), 8);
	hex("pm1 control, and what is behind it ", in32(0x604), 8);
}

void run(const struct info *info)
{
	const char *what = (const char *)info->cmdline;

	if (word(what, "serial"))
		serial();
	else if (word(what, "echo"))
		echo();
	else if (word(what, "rtc"))
		rtc();
	else if (word(what, "acpi"))
		acpi();
	else if (word(what, "modules"))
		modules(info);
	else if (word(what, "memory"))
		memory(info);
	else if (word(what, "ports"))
		ports();
	else if (word(what, "off"))
		out16(0x604, 0x2000);
	else if (word(what, "reset-register"))
		out8(0xcf9, 0x02), out8(0xcf9, 0x06);
	else if (word(what, "reset-keyboard"))
		out8(0x64, 0xfe);
	end(0);
}
