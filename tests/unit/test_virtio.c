/* SPDX-License-Identifier: MIT */
/* Virtio devices: what a driver sees, what a disk does, what becomes of drivers that break rules. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ram.h"
#include "virtio.h"

#define RAM 0x10000u
#define DESC 0x1000u
#define AVAIL 0x2000u
#define USED 0x3000u
#define HEADER 0x4000u
#define DATA 0x5000u
#define STATUS 0x9000u

#define WRITE 2
#define NEXT 1

#define SECTORS 16u

static uint8_t ram[RAM] __attribute__((aligned(4096)));
static uint8_t *mem = ram;	/* where the driver's part of memory is, */
static uint64_t base;		/* and its guest-physical address */
static struct mv_virtio v;
static char noted[128];
static bool line;
static uint64_t wrote_pages;	/* a bit for each page */

static void note(void *board, const char *device, const char *what)
{
	cr_assert_eq(board, ram);
	snprintf(noted, sizeof(noted), "%s: %s", device, what);
}

static void set_irq(void *board, unsigned irq, bool level)
{
	cr_assert_eq(board, ram);
	cr_expect_eq(irq, 18);
	line = level;
}

static void wrote(void *board, uint64_t gpa, uint64_t len)
{
	cr_assert_eq(board, ram);
	gpa -= base;
	cr_assert(len && gpa < RAM && len <= RAM - gpa);
	for (uint64_t p = gpa / 4096; p <= (gpa + len - 1) / 4096; p++)
		wrote_pages |= UINT64_C(1) << p;
}

static void reg(unsigned r, uint32_t value)
{
	mv_virtio_write(&v, r, 4, (uint8_t *)&value);
}

static uint32_t get(unsigned r)
{
	uint32_t value;

	mv_virtio_read(&v, r, 4, (uint8_t *)&value);
	return value;
}

static void put16(uint64_t at, uint16_t x) { memcpy(mem + at, &x, 2); }
static void put32(uint64_t at, uint32_t x) { memcpy(mem + at, &x, 4); }
static void put64(uint64_t at, uint64_t x) { memcpy(mem + at, &x, 8); }

static uint16_t get16(uint64_t at)
{
	uint16_t x;

	memcpy(&x, mem + at, 2);
	return x;
}

static void desc(unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	put64(DESC + 16 * i, base + addr);
	put32(DESC + 16 * i + 8, len);
	put16(DESC + 16 * i + 12, flags);
	put16(DESC + 16 * i + 14, next);
}

/* Buffers available so far, all with that head. */
static void offer(uint16_t head, uint16_t idx)
{
	put16(AVAIL + 4 + 2 * ((idx - 1) % 8), head);
	put16(AVAIL + 2, idx);
}

static void drive(uint64_t features)
{
	reg(0x70, 1);
	reg(0x70, 3);
	reg(0x24, 0);
	reg(0x20, (uint32_t)features);
	reg(0x24, 1);
	reg(0x20, (uint32_t)(features >> 32) | 1);
	reg(0x70, 11);
	reg(0x30, 0);
	reg(0x38, 8);
	reg(0x80, DESC);
	reg(0x84, (uint32_t)(base >> 32));
	reg(0x90, AVAIL);
	reg(0x94, (uint32_t)(base >> 32));
	reg(0xa0, USED);
	reg(0xa4, (uint32_t)(base >> 32));
	reg(0x44, 1);
	reg(0x70, 15);
}

static void new_device(const struct mv_virtio_kind *kind)
{
	memset(ram, 0, sizeof(ram));
	memset(noted, 0, sizeof(noted));
	wrote_pages = 0;
	line = false;
	mv_virtio_init(&v, kind, 2, "dev2");
	v.dma = (struct mv_dma){ .ram = ram, .size = RAM, .wrote = wrote, .board = ram };
	v.set_irq = set_irq;
	v.note = note;
	v.board = ram;
}

static void new_disk(bool read_only)
{
	new_device(&mv_virtio_disk);
	v.fd = memfd_create("disk", 0);
	cr_assert(v.fd >= 0 && ftruncate(v.fd, SECTORS * 512) == 0);
	for (unsigned i = 0; i < SECTORS; i++) {
		char text[512];

		memset(text, 'a' + (int)i, sizeof(text));
		cr_assert_eq(pwrite(v.fd, text, sizeof(text), i * 512), 512);
	}
	v.sectors = SECTORS;
	v.read_only = read_only;
	memcpy(v.serial, "minivmm-disk2", 14);
}

static void finish(void)
{
	if (v.fd >= 0)
		close(v.fd);
}

/* One request in three descriptors; the status. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	static uint16_t idx;

	idx = get16(AVAIL + 2);
	put32(HEADER, type);
	put64(HEADER + 8, sector);
	mem[STATUS] = 0xee;
	desc(0, HEADER, 16, NEXT, len ? 1 : 2);
	desc(1, DATA, len, (uint16_t)(NEXT | (in ? WRITE : 0)), 2);
	desc(2, STATUS, 1, WRITE, 0);
	offer(0, (uint16_t)(idx + 1));
	reg(0x50, 0);
	return mem[STATUS];
}

Test(virtio, registers)
{
	static const struct {
		unsigned reg;
		uint32_t value;
	} rows[] = {
		{ 0x00, 0x74726976 }, { 0x04, 2 }, { 0x08, 2 }, { 0x34, 256 }, { 0x44, 0 }, { 0x60, 0 },
		{ 0x70, 0 }, { 0xb0, UINT32_MAX }, { 0xb4, UINT32_MAX }, { 0xfc, 0 }, { 0x38, 0 },
		{ 0x100, SECTORS }, { 0x104, 0 }, { 0x108, 65536 }, { 0x10c, 254 }, { 0x114, 512 },
		{ 0x118, 0 }, { 0xffc, 0 },
	};
	uint8_t odd[8];

	new_disk(false);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(get(rows[i].reg), rows[i].value, "register 0x%x", rows[i].reg);
	/* Anything but an aligned word is nothing; in the configuration space it is. */
	memset(odd, 0xff, sizeof(odd));
	mv_virtio_read(&v, 0, 2, odd);
	cr_expect_eq(odd[0] | odd[1], 0);
	mv_virtio_read(&v, 0x100, 1, odd);
	cr_expect_eq(odd[0], SECTORS);
	mv_virtio_read(&v, 0x111, 8, odd);
	cr_expect_eq(odd[4], 2, "the second byte of 512");
	reg(0x30, 1);
	cr_expect_eq(get(0x34), 0, "there is one queue");
	finish();
}

Test(virtio, features)
{
	static const struct {
		const char *name;
		bool read_only;
		uint64_t features;
		bool version_1, accepted;
	} rows[] = {
		{ "none but version 1", false, 0, true, true },
		{ "flush", false, 1 << 9, true, true },
		{ "flush of a read-only disk", true, 1 << 9, true, false },
		{ "read-only", true, 1 << 5, true, true },
		{ "read-only, which it is not", false, 1 << 5, true, false },
		{ "no version 1", false, 0, false, false },
		{ "indirect descriptors", false, 1 << 28, true, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		new_disk(rows[i].read_only);
		reg(0x70, 3);
		reg(0x20, (uint32_t)rows[i].features);
		reg(0x24, 1);
		reg(0x20, rows[i].version_1);
		reg(0x70, 11);
		cr_expect_eq(!!(get(0x70) & 8), rows[i].accepted, "%s", rows[i].name);
		reg(0x70, 0);
		cr_expect_eq(get(0x70), 0);
		finish();
	}
}

Test(virtio, disk_requests)
{
	static const struct {
		const char *name;
		bool read_only;
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		bool in;
		uint8_t status;
		char first;	/* of the data, afterwards */
	} rows[] = {
		{ "read", false, 0, 3, 512, true, 0, 'd' },
		{ "read two", false, 0, 14, 1024, true, 0, 'o' },
		{ "read past the end", false, 0, 15, 1024, true, 1, 0 },
		{ "read far away", false, 0, UINT64_MAX, 512, true, 1, 0 },
		{ "read where sectors wrap around", false, 0, UINT64_MAX / 512 + 1, 512, true, 1, 0 },
		{ "read part of a sector", false, 0, 0, 100, true, 1, 0 },
		{ "write", false, 1, 2, 512, false, 0, 'W' },
		{ "write past the end", false, 1, 16, 512, false, 1, 'W' },
		{ "write to a read-only disk", true, 1, 2, 512, false, 1, 'W' },
		{ "flush", false, 4, 0, 0, false, 0, 0 },
		{ "identify", false, 8, 0, 20, true, 0, 'm' },
		{ "identify, shorter", false, 8, 0, 4, true, 0, 'm' },
		{ "discard", false, 11, 0, 16, false, 2, 'W' },
		{ "a number nobody knows", false, 0x12345678, 0, 0, false, 2, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool ok = rows[i].status == 0;
		char c;

		new_disk(rows[i].read_only);
		drive(0);
		if (!rows[i].in)
			memset(ram + DATA, 'W', rows[i].len);
		cr_expect_eq(request(rows[i].type, rows[i].sector, rows[i].len, rows[i].in),
			     rows[i].status, "%s: %u", rows[i].name, ram[STATUS]);
		cr_expect_eq(ram[DATA], rows[i].first, "%s: %c", rows[i].name, ram[DATA]);
		cr_expect_eq(get16(USED + 2), 1, "%s: given back", rows[i].name);
		cr_expect_eq(get16(USED + 8), rows[i].in ? rows[i].len + 1 : 1, "%s: length",
			     rows[i].name);
		cr_expect(line && get(0x60) == 1, "%s: interrupt", rows[i].name);
		reg(0x64, 1);
		cr_expect(!line, "%s: acknowledged", rows[i].name);
		cr_assert_eq(pread(v.fd, &c, 1, 1024), 1);
		cr_expect_eq(c, rows[i].type == 1 && ok ? 'W' : 'c', "%s: on the disk", rows[i].name);
		cr_expect(wrote_pages & 1 << USED / 4096 && wrote_pages & 1 << STATUS / 4096,
			  "%s: pages written are told", rows[i].name);
		cr_expect_eq(!!(wrote_pages & 1 << DATA / 4096), rows[i].in, "%s: data page",
			     rows[i].name);
		cr_expect_str_eq(noted, "", "%s", rows[i].name);
		finish();
	}
}

/* Whoever reads what the disk holds while the guest writes has to hear of each block. */
Test(virtio, writes_are_noted)
{
	static const struct {
		const char *name;
		uint64_t sector;
		uint32_t len;
		bool in;
		uint64_t blocks;
	} rows[] = {
		{ "a read", 0, 512, true, 0 },
		{ "the first block", 0, 512, false, 1 },
		{ "the last sector of it", 127, 512, false, 1 },
		{ "across its end", 127, 1024, false, 3 },
		{ "the fourth", 3 * 128, 512, false, 8 },
		{ "beyond the end", 4 * 128, 512, false, 0 },
	};
	uint64_t written;

	new_disk(false);
	v.sectors = 4 * 128;
	v.written = &written;
	drive(1ull << 32 | 1ull << 9);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		written = 0;
		request(rows[i].in ? 0 : 1, rows[i].sector, rows[i].len, rows[i].in);
		cr_expect_eq(written, rows[i].blocks, "%s: %llx", rows[i].name, (unsigned long long)written);
	}
	finish();
}

/* Memory behind 3 GiB stands at 4 GiB: there a device finds all of its queue, and nothing before it or behind. */
Test(virtio, memory_above_the_gap)
{
	uint8_t *all = mmap(NULL, MV_GAP_AT + RAM, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char text[1024];

	cr_assert_neq(all, MAP_FAILED);
	new_disk(false);
	v.dma.ram = all;
	v.dma.size = MV_GAP_AT + RAM;
	mem = all + MV_GAP_AT;
	base = MV_GAP_END;
	drive(0);
	cr_expect_eq(request(0, 1, sizeof(text), true), 0);
	memset(text, 'b', 512);
	memset(text + 512, 'c', 512);
	cr_expect_arr_eq(mem + DATA, text, sizeof(text));
	cr_expect_eq(get16(USED + 2), 1);
	cr_expect_eq(wrote_pages, 1 << USED / 4096 | 1 << DATA / 4096 | 1 << STATUS / 4096, "0x%lx", wrote_pages);
	cr_expect_not(mv_dma_at(&v.dma, MV_GAP_AT - 1, 2));
	cr_expect_not(mv_dma_at(&v.dma, MV_GAP_AT, 1));
	cr_expect_not(mv_dma_at(&v.dma, MV_GAP_END - 1, 1));
	cr_expect_eq(mv_dma_at(&v.dma, MV_GAP_END + RAM - 1, 1), all + MV_GAP_AT + RAM - 1);
	cr_expect_not(mv_dma_at(&v.dma, MV_GAP_END + RAM - 1, 2));
	cr_expect_not(mv_dma_at(&v.dma, UINT64_MAX, 2));
	finish();
	munmap(all, MV_GAP_AT + RAM);
}

Test(virtio, no_interrupt_if_not_wanted)
{
	new_disk(false);
	drive(0);
	put16(AVAIL, 1);
	request(0, 0, 512, true);
	cr_expect(!line);
	finish();
}

/* ---- drivers that break rules ---- */



static void loop(void) { desc(0, HEADER, 16, NEXT, 1); desc(1, DATA, 512, NEXT, 0); }
static void self(void) { desc(0, HEADER, 16, NEXT, 0); }
static void far_next(void) { desc(0, HEADER, 16, NEXT, 8); }
static void farther_next(void) { desc(0, HEADER, 16, NEXT, 0xffff); }
static void outside(void) { desc(0, RAM, 16, 0, 0); }
static void across_the_end(void) { desc(0, RAM - 8, 16, 0, 0); }
static void wraps(void) { desc(0, UINT64_MAX - 8, 16, 0, 0); }
static void long_one(void) { desc(0, HEADER, UINT32_MAX, 0, 0); }
static void nothing(void) { desc(0, HEADER, 0, 0, 0); }
static void indirect(void) { desc(0, HEADER, 16, 4, 0); }
static void order(void) { desc(0, STATUS, 1, WRITE | NEXT, 1); desc(1, HEADER, 16, 0, 0); }
static void no_status(void) { desc(0, HEADER, 16, 0, 0); }
static void no_header(void) { desc(0, STATUS, 1, WRITE, 0); }
static void short_header(void) { desc(0, HEADER, 15, NEXT, 1); desc(1, STATUS, 1, WRITE, 0); }
static void bad_head(void) { put16(AVAIL + 4, 8); }
static void too_many(void) { put16(AVAIL + 2, 9); }

Test(virtio, hostile_chains)
{
	static const struct {
		void (*make)(void);
		const char *what;
	} rows[] = {
		{ loop, "a chain of descriptors without an end" },
		{ self, "a chain of descriptors without an end" },
		{ far_next, "a descriptor that does not exist" },
		{ farther_next, "a descriptor that does not exist" },
		{ bad_head, "a descriptor that does not exist" },
		{ outside, "a buffer outside memory" },
		{ across_the_end, "a buffer outside memory" },
		{ wraps, "a buffer outside memory" },
		{ long_one, "a buffer outside memory" },
		{ nothing, "a descriptor without bytes" },
		{ indirect, "an indirect descriptor, which was not agreed on" },
		{ order, "bytes to read behind bytes to write" },
		{ no_status, "a disk request without header or status" },
		{ no_header, "a disk request without header or status" },
		{ short_header, "a disk request without header or status" },
		{ too_many, "more buffers than the queue has entries" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		new_disk(false);
		drive(0);
		offer(0, 1);
		rows[i].make();
		reg(0x50, 0);
		cr_expect(!strncmp(noted, "dev2: ", 6) && !strcmp(noted + 6, rows[i].what), "row %zu: %s",
			  i, noted);
		cr_expect_eq(get(0x70), 15 | 64, "row %zu: it needs a reset", i);
		cr_expect(line && get(0x60) == 2, "row %zu: and says so", i);
		cr_expect_eq(get16(USED + 2), 0, "row %zu: nothing was done", i);
		/* It stays so, and comes back with a reset. */
		memset(noted, 0, sizeof(noted));
		reg(0x50, 0);
		reg(0x70, 15);
		cr_expect_eq(get(0x70), 15 | 64, "row %zu", i);
		cr_expect_str_eq(noted, "", "row %zu: one word is enough", i);
		reg(0x70, 0);
		cr_expect(!line && get(0x70) == 0, "row %zu", i);
		memset(ram, 0, sizeof(ram));
		drive(0);
		cr_expect_eq(request(0, 1, 512, true), 0, "row %zu: it works again", i);
		finish();
	}
}

Test(virtio, hostile_queues)
{
	static const struct {
		unsigned reg;
		uint32_t value;
		const char *what;
	} rows[] = {
		{ 0x38, 0, "a queue's size" }, { 0x38, 3, "a queue's size" },
		{ 0x38, 512, "a queue's size" }, { 0x38, 0x10008, "a queue's size" },
		{ 0x80, DESC + 8, "descriptors" }, { 0x80, RAM - 64, "descriptors" },
		{ 0x84, 1, "descriptors" }, { 0x84, UINT32_MAX, "descriptors" },
		{ 0x90, AVAIL + 1, "an available ring" }, { 0x90, RAM - 16, "an available ring" },
		{ 0xa0, USED + 2, "a used ring" }, { 0xa0, RAM - 64, "a used ring" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		new_disk(false);
		drive(0);
		reg(0x44, 0);
		reg(rows[i].reg, rows[i].value);
		reg(0x44, 1);
		cr_expect_eq(get(0x44), 0, "row %zu: not ready", i);
		cr_expect(get(0x70) & 64, "row %zu: it needs a reset", i);
		cr_expect(!strncmp(noted + 6, rows[i].what, strlen(rows[i].what)), "row %zu: %s", i, noted);
		reg(0x50, 0);
		finish();
	}
	/* A queue in use can't be moved. */
	new_disk(false);
	drive(0);
	reg(0x80, 0);
	cr_expect_eq(v.queue.desc, DESC);
	finish();
}

/* Each sector holds the number of the next, and the available ring's next index; a request reads both in place. */
Test(virtio, a_disk_that_feeds_the_ring)
{
	new_disk(false);
	for (uint64_t i = 0; i < SECTORS; i++) {
		struct __attribute__((packed)) {
			uint64_t sector;
			uint16_t idx;
		} next = { i + 1, (uint16_t)(i + 2) };

		cr_assert_eq(pwrite(v.fd, &next, sizeof(next), (off_t)i * 512), sizeof(next));
	}
	drive(0);
	desc(0, HEADER, 16, NEXT, 1);
	desc(1, HEADER + 8, 8, NEXT | WRITE, 2);
	desc(2, AVAIL + 2, 2, NEXT | WRITE, 3);
	desc(3, DATA, 502, NEXT | WRITE, 4);
	desc(4, STATUS, 1, WRITE, 0);
	offer(0, 1);
	reg(0x50, 0);
	cr_expect_eq(get16(USED + 2), 1, "the one that was there");
	cr_expect_eq(get16(AVAIL + 2), 2);
	reg(0x50, 0);
	cr_expect_eq(get16(USED + 2), 2, "the next with its own notification");
	cr_expect_eq(get(0x70), 15);
	finish();
}

Test(virtio, random_bytes)
{
	static const uint8_t zeros[64];

	new_device(&mv_virtio_rng);
	drive(0);
	desc(0, DATA, 64, WRITE, 0);
	offer(0, 1);
	reg(0x50, 0);
	cr_expect_eq(get16(USED + 8), 64);
	cr_expect(memcmp(ram + DATA, zeros, 64));
	cr_expect(!memcmp(ram + DATA + 64, zeros, 64));
	cr_expect(wrote_pages & 1 << DATA / 4096);
	/* One that could be read is a breach. */
	desc(0, DATA, 64, 0, 0);
	offer(0, 2);
	reg(0x50, 0);
	cr_expect_str_eq(noted, "dev2: a buffer for random bytes that can't be written");
}

/* ---- saved state ---- */

Test(virtio, state_goes_round)
{
	uint8_t a[MV_VIRTIO_STATE], b[MV_VIRTIO_STATE];
	int fd;

	new_disk(false);
	drive(1 << 9);
	request(0, 1, 512, true);
	mv_virtio_save(&v, a);
	fd = v.fd;
	mv_virtio_init(&v, &mv_virtio_disk, 2, "dev2");
	v.dma = (struct mv_dma){ .ram = ram, .size = RAM, .board = ram };
	v.set_irq = set_irq;
	v.board = ram;
	v.fd = fd;
	v.sectors = SECTORS;
	line = false;
	cr_assert(mv_virtio_load(&v, a));
	cr_expect(line, "an interrupt that was due still is");
	mv_virtio_save(&v, b);
	cr_expect(!memcmp(a, b, sizeof(a)));
	cr_expect_eq(request(0, 2, 512, true), 0);
	cr_expect_eq(ram[DATA], 'c');
	cr_expect_eq(get16(USED + 2), 2, "the rings go on");
	finish();
}

Test(virtio, bad_state)
{
	static const struct {
		const char *name;
		unsigned at;
		uint8_t value;
	} rows[] = {
		{ "a status bit that is none", 0, 0x1f }, { "an interrupt that is none", 4, 4 },
		{ "ready is 2", 20, 2 }, { "a feature that is not offered", 24, 0x20 },
		{ "descriptors outside memory", 34, 1 }, { "used ring outside memory", 55, 0xff },
		{ "a queue of 9", 56, 9 }, { "something behind it", 62, 1 },
	};
	uint8_t good[MV_VIRTIO_STATE], bad[MV_VIRTIO_STATE], now[MV_VIRTIO_STATE];

	new_disk(false);
	drive(0);
	mv_virtio_save(&v, good);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(bad, good, sizeof(bad));
		bad[rows[i].at] = rows[i].value;
		cr_expect(!mv_virtio_load(&v, bad), "%s", rows[i].name);
		mv_virtio_save(&v, now);
		cr_expect(!memcmp(now, good, sizeof(now)), "%s: nothing was taken over", rows[i].name);
	}
	finish();
}

/* ---- whatever comes ---- */

static uint64_t seed = 1;

static uint32_t any(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

/* Random registers, random rings, mostly plausible: it neither crashes nor leaves memory. */
Test(virtio, random_drivers)
{
	unsigned served = 0, breaches = 0;

	for (unsigned round = 0; round < 3000; round++) {
		if (round % 2)
			new_device(&mv_virtio_rng);
		else
			new_disk(false);
		drive(any() % 4 ? 0 : any());
		for (unsigned i = 0; i < 8; i++)
			desc(i, any() % 8 ? any() % RAM : any(), any() % 8 ? any() % 2048 : any(),
			     (uint16_t)(any() % 4 ? any() & 3 : any()), (uint16_t)(any() % 9));
		for (unsigned i = 0; i < 20; i++) {
			uint8_t data[8] = { 0 };

			if (any() % 2) {
				offer((uint16_t)(any() % 8), (uint16_t)(get16(AVAIL + 2) + any() % 3));
				put32(HEADER, any() % 12);
				reg(0x50, 0);
			} else if (any() % 4 == 0) {
				reg(any() % 0x40 * 4, any() % 4 ? any() % RAM : any());
			} else {
				mv_virtio_read(&v, any() % 0x1000, 1u << any() % 4, data);
			}
		}
		served += get16(USED + 2) != 0;
		breaches += *noted != 0;
		finish();
	}
	cr_expect(served > 100 && breaches > 100, "%u served, %u breaches", served, breaches);
}
