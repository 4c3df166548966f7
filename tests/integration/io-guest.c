/* SPDX-License-Identifier: MIT */
/*
 * A guest for tests/integration/devices.sh: a 32-bit multiboot program that drives virtio devices,
 * well or badly. Words of its command line:
 *
 *   mode=fuzz seed=N count=N   random accesses of all widths to ports and addresses that are not RAM,
 *                              drivers that break rules; those that end the machine are left out
 *   mode=disk key=N laps=N     write sectors, over and over, sync in the first lap; each lap reads one
 *                              to where nobody but the disk writes; compare all. No laps=: until
 *                              there is input
 *
 * Ends through port 0xf4: 0, or what failed.
 */
#include "guest32.h"

#define SYNC 0xfc
#define VIRTIO 0xd0000000u
#define QUEUE 8

static void number(uint32_t v)
{
	char digits[11], *p = digits + 10;

	*p = '\0';
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	put(p);
}

/* What follows NAME= in the command line; "" if nothing does. */
static const char *word(const char *s, const char *name)
{
	for (; *s; s++) {
		const char *a = s, *b = name;

		while (*b && *a == *b)
			a++, b++;
		if (!*b)
			return a;
	}
	return s;
}

static uint32_t word_number(const char *s, const char *name)
{
	uint32_t v = 0;

	for (s = word(s, name); *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (uint32_t)(*s - '0');
	return v;
}

static volatile uint32_t *reg(unsigned device, unsigned r)
{
	return (volatile uint32_t *)(VIRTIO + device * 0x1000 + r);
}

/* ---- a driver ---- */

static struct {
	struct { uint64_t addr; uint32_t len; uint16_t flags, next; } desc[QUEUE];
	struct { uint16_t flags, idx, ring[QUEUE]; } avail;
	struct { uint16_t flags, idx; struct { uint32_t id, len; } ring[QUEUE]; } used
		__attribute__((aligned(4)));
	struct { uint32_t type, reserved; uint64_t sector; } header;
	uint8_t data[4096], status;
} q __attribute__((aligned(4096)));

static uint32_t at(const volatile void *p)
{
	return (uint32_t)(uintptr_t)p;
}

static void start(unsigned device, uint32_t features)
{
	*reg(device, 0x70) = 0;
	q.avail.idx = q.used.idx = 0;
	*reg(device, 0x70) = 3;
	*reg(device, 0x24) = 0;
	*reg(device, 0x20) = features;
	*reg(device, 0x24) = 1;
	*reg(device, 0x20) = 1;
	*reg(device, 0x70) = 11;
	*reg(device, 0x30) = 0;
	*reg(device, 0x38) = QUEUE;
	*reg(device, 0x80) = at(q.desc);
	*reg(device, 0x90) = at(&q.avail);
	*reg(device, 0xa0) = at(&q.used);
	*reg(device, 0x84) = *reg(device, 0x94) = *reg(device, 0xa4) = 0;
	*reg(device, 0x44) = 1;
	*reg(device, 0x70) = 15;
}

static void describe(unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	q.desc[i].addr = addr;
	q.desc[i].len = len;
	q.desc[i].flags = flags;
	q.desc[i].next = next;
}

/* Whether it went wrong. */
static int transfer(uint32_t type, uint32_t sector, void *data)
{
	q.header.type = type;
	q.header.sector = sector;
	q.status = 0xee;
	describe(0, at(&q.header), 16, 1, 1);
	describe(1, at(data), 512, type ? 1 : 3, 2);
	describe(2, at(&q.status), 1, 2, 0);
	q.avail.ring[q.avail.idx % QUEUE] = 0;
	__asm__ volatile("" : : : "memory");
	q.avail.idx++;
	*reg(0, 0x50) = 0;
	__asm__ volatile("" : : : "memory");
	*reg(0, 0x64) = 1;
	return q.status != 0 || q.used.idx != q.avail.idx;
}

#define SECTORS 64
#define WRITE_BACK (1u << 9)

/* What a sector holds after a lap. String instructions: some KVMs interpret each one of a guest. */
static uint32_t pattern(uint32_t key, uint32_t sector, uint32_t lap)
{
	return key ^ (sector + lap * SECTORS) * 2654435761u;
}

static void fill(uint32_t v)
{
	void *to = q.data;
	uint32_t n = 512 / 4;

	__asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(v) : "memory");
}

static uint32_t differs(const void *p, uint32_t v)
{
	uint32_t n = 512 / 4;
	uint8_t same;

	__asm__ volatile("repe scasl; sete %2" : "+D"(p), "+c"(n), "=q"(same) : "a"(v) : "memory", "cc");
	return !same;
}

/* A key was pressed. */
static int told_to_end(void)
{
	return in8(COM1 + 5) & 1;
}

static void disk(const char *cmdline)
{
	static uint8_t kept[SECTORS][512] __attribute__((aligned(4096))), read[512];
	static uint32_t when[SECTORS];
	uint32_t key = word_number(cmdline, "key="), laps = word_number(cmdline, "laps=");
	uint32_t bad = 0, lap = 0;

	start(0, WRITE_BACK);
	/* This is how a program that polls shows that it wants input. */
	out8(COM1 + 4, 3);
	in8(COM1);
	for (;; lap++) {
		for (uint32_t s = 0; s < SECTORS; s++) {
			fill(pattern(key, s, lap));
			bad += (uint32_t)transfer(1, s, q.data);
			if (s == SECTORS / 2 && lap == 0)
				out8(SYNC, 1);
		}
		bad += (uint32_t)transfer(0, lap % SECTORS, kept[lap % SECTORS]);
		when[lap % SECTORS] = lap;
		if (lap % 8 == 0)
			put("lap "), number(lap), put("\n");
		if (laps ? lap == laps : told_to_end())
			break;
	}
	for (uint32_t s = 0; s < SECTORS; s++) {
		bad += (uint32_t)transfer(0, s, read);
		bad += differs(read, pattern(key, s, lap));
		bad += s <= lap && differs(kept[s], pattern(key, s, when[s]));
	}
	put(bad ? "disk: bad, laps " : "disk: good, laps ");
	number(lap);
	put("\n");
	end(bad != 0);
}

/* ---- whatever comes ---- */

static uint32_t seed;

static uint32_t any(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/* Not the ports that end the machine, nor what prints; a wide access reaches those behind it. */
static int spared(uint32_t port)
{
	static const uint16_t list[] = { EXIT, SYNC, 0x64, 0xcf9, 0x604, 0x605, COM1 };

	for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (port <= list[i] && list[i] - port < 4)
			return 1;
	/* KVM's own: interrupt controllers and timer. */
	return port < 0x100 && (port <= 0x21 || (port >= 0x3d && port <= 0x43) ||
				(port >= 0x9d && port <= 0xa1) || (port >= 0x5e && port <= 0x61));
}

static uint16_t any_port(void)
{
	/* Where there is something, or near; anywhere. */
	static const uint16_t list[] = { 0x3f8, 0x70, 0x600, 0xcf8, 0xe6, 0xf0, 0xfc, 0x60, 0xfffd };

	return (uint16_t)(any() % 2 ? any() : list[any() % (sizeof(list) / sizeof(list[0]))] + any() % 8);
}

static void port(void)
{
	static uint8_t buf[256];
	uint16_t p = any_port();
	uint32_t how = any() % 12, v = any(), n = any() % 60;
	void *b = buf;

	if (how >= 6 && spared(p))
		return;
	switch (how) {
	case 0: __asm__ volatile("inb %w1, %b0" : "=a"(v) : "d"(p)); break;
	case 1: __asm__ volatile("inw %w1, %w0" : "=a"(v) : "d"(p)); break;
	case 2: __asm__ volatile("inl %w1, %0" : "=a"(v) : "d"(p)); break;
	case 3: __asm__ volatile("rep insb" : "+D"(b), "+c"(n) : "d"(p) : "memory"); break;
	case 4: __asm__ volatile("rep insw" : "+D"(b), "+c"(n) : "d"(p) : "memory"); break;
	case 5: __asm__ volatile("rep insl" : "+D"(b), "+c"(n) : "d"(p) : "memory"); break;
	case 6: __asm__ volatile("outb %b0, %w1" : : "a"(v), "d"(p)); break;
	case 7: __asm__ volatile("outw %w0, %w1" : : "a"(v), "d"(p)); break;
	case 8: __asm__ volatile("outl %0, %w1" : : "a"(v), "d"(p)); break;
	case 9: __asm__ volatile("rep outsb" : "+S"(b), "+c"(n) : "d"(p) : "memory"); break;
	case 10: __asm__ volatile("rep outsw" : "+S"(b), "+c"(n) : "d"(p) : "memory"); break;
	default: __asm__ volatile("rep outsl" : "+S"(b), "+c"(n) : "d"(p) : "memory"); break;
	}
}

/* Above RAM, but for what KVM has there itself. */
static uint32_t any_address(void)
{
	uint32_t a = any() % 4 ? VIRTIO + any() % 0x9010 : any() | 0xc0000000u;

	return a >= 0xfe000000u ? a - 0x10000000u : a;
}

static void address(void)
{
	static uint8_t buf[64];
	uint32_t a = any_address(), how = any() % 8, v = any(), n = any() % 16;
	void *from = (void *)(uintptr_t)a, *to = buf;

	switch (how) {
	case 0: (void)*(volatile uint8_t *)from; break;
	case 1: (void)*(volatile uint16_t *)from; break;
	case 2: (void)*(volatile uint32_t *)from; break;
	case 3: __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(n) : : "memory"); break;
	case 4: *(volatile uint8_t *)from = (uint8_t)v; break;
	case 5: *(volatile uint16_t *)from = (uint16_t)v; break;
	case 6: *(volatile uint32_t *)from = v; break;
	default: __asm__ volatile("rep movsl" : "+S"(to), "+D"(from), "+c"(n) : : "memory"); break;
	}
}

/* A driver that was going well, until now. */
static void driver(uint32_t ndevices)
{
	unsigned d = any() % ndevices;

	start(d, any() % 4 ? WRITE_BACK * (d == 0) : any());
	for (unsigned i = 0; i < QUEUE; i++)
		describe(i, any() % 4 ? at(q.data) + any() % 4096 : (uint64_t)any() << any() % 33,
			 any() % 4 ? any() % 2048 : any(), (uint16_t)(any() % 4 ? any() & 3 : any()),
			 (uint16_t)(any() % (QUEUE + 1)));
	q.header.type = any() % 12;
	q.header.sector = any() % 2 ? any() % 128 : any();
	if (any() % 2)
		describe(0, at(&q.header), 16, 1, 1);
	for (unsigned i = 0; i < QUEUE; i++)
		q.avail.ring[i] = (uint16_t)(any() % (QUEUE + 1));
	if (any() % 4 == 0)
		*reg(d, any() % 0x40 * 4) = any();
	q.avail.idx = (uint16_t)(any() % 12);
	__asm__ volatile("" : : : "memory");
	*reg(d, 0x50) = any() % 2;
}

static void fuzz(const char *cmdline)
{
	uint32_t count = word_number(cmdline, "count="), ndevices = word_number(cmdline, "devices=");

	seed = word_number(cmdline, "seed=") * 2654435761u | 1;
	for (uint32_t i = 0; i < count; i++) {
		switch (any() % 3) {
		case 0: port(); break;
		case 1: address(); break;
		default: driver(ndevices ? ndevices : 1); break;
		}
	}
	/* The serial port may be in any state: put it back before it is used. */
	out8(COM1 + 3, 3);
	out8(COM1 + 4, 0);
	put("\nfuzz: done\n");
	end(0);
}

void run(const struct info *info)
{
	const char *cmdline = (const char *)info->cmdline;
	const char *mode = word(cmdline, "mode=");

	if (mode[0] == 'f')
		fuzz(cmdline);
	if (mode[0] == 'd')
		disk(cmdline);
	end(99);
}
