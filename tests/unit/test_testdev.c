/* SPDX-License-Identifier: MIT */
/* The devices of --testdev: which accesses are theirs, and what they do. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "testdev.h"

static struct {
	unsigned irq;
	bool level;
	uint64_t flushed;
} seen;

static void set_irq(void *board, unsigned irq, bool level)
{
	(void)board;
	seen.irq = irq;
	seen.level = level;
}

static void flush(void *board, uint64_t gpa)
{
	(void)board;
	seen.flushed = gpa;
}

static struct mv_testdev *make(void)
{
	struct mv_testdev *t = calloc(1, sizeof(*t));

	cr_assert_not_null(t);
	memset(&seen, 0xee, sizeof(seen));
	t->set_irq = set_irq;
	t->flush = flush;
	return t;
}

Test(testdev, ports)
{
	static const struct {
		uint16_t port;
		unsigned size;
		bool out, in;
	} rows[] = {
		{ 0xdf, 1, false, false }, { 0xdf, 2, false, false }, { 0xe0, 1, true, true },
		{ 0xe0, 4, true, true },   { 0xe3, 1, true, true },   { 0xe3, 2, false, false },
		{ 0xe4, 1, false, false }, { 0xe4, 4, true, false },  { 0xe6, 4, false, false },
		{ 0x1fff, 1, false, false }, { 0x2000, 1, true, false }, { 0x2017, 1, true, false },
		{ 0x2018, 1, false, false }, { 0xffff, 4, false, false },
	};
	static const uint8_t out[4] = { 0x11, 0x22, 0x33, 0x44 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_testdev *t = make();
		uint8_t in[4] = { 0 };

		cr_expect_eq(mv_testdev_out(t, rows[i].port, rows[i].size, out), rows[i].out, "OUT 0x%x/%u",
			     rows[i].port, rows[i].size);
		cr_expect_eq(mv_testdev_in(t, rows[i].port, rows[i].size, in), rows[i].in, "IN 0x%x/%u",
			     rows[i].port, rows[i].size);
		if (rows[i].in)
			cr_expect_eq(memcmp(in, out, rows[i].size), 0, "0x%x reads back", rows[i].port);
		free(t);
	}
}

Test(testdev, lines_and_pages)
{
	struct mv_testdev *t = make();

	cr_assert(mv_testdev_out(t, 0x200e, 1, (const uint8_t[]){ 1 }));
	cr_expect_eq(seen.irq, 14);
	cr_expect(seen.level);
	cr_assert(mv_testdev_out(t, 0x200e, 1, (const uint8_t[]){ 0 }));
	cr_expect_not(seen.level);
	cr_assert(mv_testdev_out(t, 0xe4, 4, (const uint8_t[]){ 0x00, 0x10, 0x00, 0xff }));
	cr_expect_eq(seen.flushed, 0xff001000u);
	free(t);
}

Test(testdev, memory)
{
	static const struct {
		uint64_t at;
		unsigned size;
		bool mine;
	} rows[] = {
		{ 0xfeffffff, 1, false }, { 0xff000000, 8, true },  { 0xff00fff8, 8, true },
		{ 0xff00fff9, 8, false }, { 0xff010000, 1, false }, { UINT64_MAX, 8, false }, { 0, 4, false },
	};
	uint8_t out[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_testdev *t = make();
		uint8_t in[8] = { 0 };

		cr_expect_eq(mv_testdev_mmio(t, rows[i].at, true, rows[i].size, out), rows[i].mine);
		cr_expect_eq(mv_testdev_mmio(t, rows[i].at, false, rows[i].size, in), rows[i].mine);
		if (rows[i].mine)
			cr_expect_eq(memcmp(in, out, rows[i].size), 0);
		free(t);
	}
}
