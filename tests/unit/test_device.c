/* SPDX-License-Identifier: MIT */
/* Port devices: the serial port's registers, the information blocks, saved state. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "guest-tests/abi.h"

#define COM MV_PORT_SERIAL

static char written[64];
static size_t nwritten;

static void catch(void *ctx, const uint8_t *data, size_t len)
{
	cr_assert_eq(ctx, written, "the context goes with it");
	cr_assert_leq(nwritten + len, sizeof(written));
	memcpy(written + nwritten, data, len);
	nwritten += len;
}

static struct mv_devices new_devices(void)
{
	nwritten = 0;
	return (struct mv_devices){ .serial = { .write = catch, .ctx = written } };
}

static enum mv_io_result out(struct mv_devices *d, uint16_t port, unsigned size, uint32_t value)
{
	const uint8_t data[4] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
				  (uint8_t)(value >> 24) };

	return mv_devices_out(d, port, size, 1, data);
}

static uint32_t in(struct mv_devices *d, uint16_t port, unsigned size)
{
	uint8_t data[4] = { 0 };

	mv_devices_in(d, port, size, 1, data);
	return data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
}

/* ---- serial port ---- */

Test(device, serial_registers)
{
	/* In this order: write, then read. */
	static const struct {
		const char *name;
		int port, value;	/* offset from the base; value -1: only read */
		int read_port, read;
	} rows[] = {
		{ "line status: always ready", 0, -1, 5, 0x60 },
		{ "modem status: carrier, DSR, CTS", 0, -1, 6, 0xb0 },
		{ "nothing was received", 0, -1, 0, 0 },
		{ "no interrupt, no FIFO", 0, -1, 2, 0x01 },
		{ "FIFO on", 2, 0x07, 2, 0xc1 },
		{ "FIFO off", 2, 0x00, 2, 0x01 },
		{ "scratch", 7, 0x5a, 7, 0x5a },
		{ "modem control", 4, 0x0b, 4, 0x0b },
		{ "interrupts: four bits", 1, 0xff, 1, 0x0f },
		{ "line control", 3, 0x83, 3, 0x83 },
		{ "divisor, low", 0, 0x34, 0, 0x34 },
		{ "divisor, high", 1, 0x12, 1, 0x12 },
		{ "and back", 3, 0x03, 3, 0x03 },
		{ "interrupts are as they were", 0, -1, 1, 0x0f },
		{ "status can't be written", 5, 0x00, 5, 0x60 },
		{ "modem status neither", 6, 0x00, 6, 0xb0 },
	};
	struct mv_devices d = new_devices();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].value >= 0)
			cr_expect_eq(out(&d, (uint16_t)(COM + rows[i].port), 1,
					 (uint32_t)rows[i].value), MV_IO_DONE, "%s", rows[i].name);
		cr_expect_eq(in(&d, (uint16_t)(COM + rows[i].read_port), 1), (uint32_t)rows[i].read,
			     "%s", rows[i].name);
	}
	cr_expect_eq(nwritten, 0, "a divisor is not output");
}

Test(device, serial_output)
{
	struct mv_devices d = new_devices();

	out(&d, COM, 1, 'a');
	mv_devices_out(&d, COM, 1, 5, (const uint8_t *)"bcdef");
	cr_expect_eq(nwritten, 6);
	cr_expect(!memcmp(written, "abcdef", 6));
	/* With the divisor latch open each item is a divisor. */
	out(&d, COM + 3, 1, 0x80);
	mv_devices_out(&d, COM, 1, 2, (const uint8_t *)"xy");
	cr_expect_eq(in(&d, COM, 1), 'y');
	cr_expect_eq(nwritten, 6);
	/* Only bytes are the port's: a wider access is nobody's. */
	out(&d, COM + 3, 1, 0);
	out(&d, COM, 2, 0x4142);
	cr_expect_eq(nwritten, 6);
	cr_expect_eq(in(&d, COM, 2), 0xffff);
}

/* ---- exit and sync ---- */

Test(device, exit_and_sync)
{
	static const struct {
		uint16_t port;
		unsigned size;
		uint32_t write, value;
		enum mv_io_result result;
	} rows[] = {
		{ MV_PORT_EXIT, 1, 0x00, 0x00, MV_IO_EXIT },
		{ MV_PORT_EXIT, 1, 0x1ff, 0xff, MV_IO_EXIT },
		{ MV_PORT_EXIT, 2, 0x1234, 0x1234, MV_IO_EXIT },
		{ MV_PORT_EXIT, 4, 0x12345678, 0x12345678, MV_IO_EXIT },
		{ MV_PORT_SYNC, 1, 7, 7, MV_IO_SYNC },
		{ MV_PORT_SYNC + 1, 1, 7, 0, MV_IO_DONE },
		{ 0x80, 1, 7, 0, MV_IO_DONE },
		{ MV_PORT_CPUID, 4, 7, 0, MV_IO_DONE },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mv_devices d = new_devices();

		cr_expect_eq(out(&d, rows[i].port, rows[i].size, rows[i].write), rows[i].result, "row %zu", i);
		cr_expect_eq(d.value, rows[i].value, "row %zu", i);
	}
}

Test(device, ports_that_nobody_owns_read_as_ones)
{
	struct mv_devices d = new_devices();

	cr_expect_eq(in(&d, 0x60, 1), 0xff);
	cr_expect_eq(in(&d, 0xcfc, 4), 0xffffffff);
	cr_expect_eq(in(&d, MV_PORT_EXIT, 4), 0xffffffff);
	cr_expect_eq(in(&d, COM + 8, 1), 0xff);
	cr_expect_eq(in(&d, COM - 1, 1), 0xff);
	cr_expect_eq(in(&d, MV_PORT_INFO, 1), 0xff);
}

/* ---- information blocks ---- */

static struct mv_table guest = { .n = 2, .e = { { 1, 0, { 10, 11, 12, 13 } },
						 { 7, 1, { 20, 21, 22, 23 } } } };
static struct mv_table raw = { .n = 1, .e = { { 0x80000001, 0, { 30, 31, 32, 33 } } } };

static struct mv_devices with_info(void)
{
	struct mv_devices d = new_devices();

	d.info = (struct mv_info){ .flags = MV_INFO_CPL0_INTERPRETED, .mode = MV_INTERCEPT_STEP,
				   .table = &guest, .raw = &raw };
	return d;
}

Test(device, information_blocks)
{
	static const struct {
		const char *name;
		uint32_t block, n, words[16];
	} rows[] = {
		{ "header", MV_INFO_HEADER, 6,
		  { MV_INFO_MAGIC, MV_ABI_VERSION, MV_INFO_CPL0_INTERPRETED, MV_INTERCEPT_STEP, 0, 0 } },
		{ "guest table", MV_INFO_TABLE, 15,
		  { 2, 1, 0, 10, 11, 12, 13, 7, 1, 20, 21, 22, 23, 0, 0 } },
		{ "raw table", MV_INFO_RAW, 9, { 1, 0x80000001, 0, 30, 31, 32, 33, 0, 0 } },
		{ "no block at all", 3, 2, { 0, 0 } },
		{ "no block at all, far off", UINT32_MAX, 2, { 0, 0 } },
	};
	struct mv_devices d = with_info();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t data[64] = { 0 };

		out(&d, MV_PORT_INFO, 4, rows[i].block);
		for (uint32_t w = 0; w < rows[i].n; w++)
			cr_expect_eq(in(&d, MV_PORT_INFO, 4), rows[i].words[w], "%s, word %u",
				     rows[i].name, w);
		/* Choosing it again starts over; REP INS streams. */
		out(&d, MV_PORT_INFO, 4, rows[i].block);
		mv_devices_in(&d, MV_PORT_INFO, 4, rows[i].n, data);
		for (uint32_t w = 0; w < rows[i].n; w++)
			cr_expect_eq(data[4 * w] | (uint32_t)data[4 * w + 3] << 24,
				     rows[i].words[w] & 0xff0000ff, "%s, word %u streamed",
				     rows[i].name, w);
	}
}

Test(device, the_cursor_does_not_wrap)
{
	struct mv_devices d = with_info();

	out(&d, MV_PORT_INFO, 4, MV_INFO_TABLE);
	d.info.cursor = UINT32_MAX - 1;
	cr_expect_eq(in(&d, MV_PORT_INFO, 4), 0);
	cr_expect_eq(in(&d, MV_PORT_INFO, 4), 0);
	cr_expect_eq(d.info.cursor, UINT32_MAX);
}

/* ---- saved state ---- */

Test(device, state_goes_round)
{
	static struct mv_state state;
	struct mv_devices d = with_info(), e = with_info();
	struct mv_err err = { 0 };

	for (int port = 1; port < 8; port++)
		out(&d, (uint16_t)(COM + port), 1, 0x10u + (uint32_t)port);
	out(&d, COM + 3, 1, 0x80);
	out(&d, COM, 1, 0x34);
	out(&d, COM + 1, 1, 0x12);
	out(&d, MV_PORT_INFO, 4, MV_INFO_TABLE);
	in(&d, MV_PORT_INFO, 4);
	mv_devices_save(&d, &state);
	cr_expect_eq(mv_devices_load(&e, &state, &err), 0, "%s", err.msg);
	for (uint16_t port = COM; port < COM + 8; port++)
		cr_expect_eq(in(&e, port, 1), in(&d, port, 1), "port 0x%x", port);
	out(&d, COM + 3, 1, 0);
	out(&e, COM + 3, 1, 0);
	cr_expect_eq(in(&e, COM + 1, 1), in(&d, COM + 1, 1));
	cr_expect_eq(in(&e, MV_PORT_INFO, 4), 1, "the stream goes on where it was");
	/* What the guest is told about its host is the new host's to say. */
	e.info.mode = MV_INTERCEPT_KERNEL;
	cr_expect_eq(mv_devices_load(&e, &state, &err), 0);
	cr_expect_eq(e.info.mode, MV_INTERCEPT_KERNEL);
	cr_expect_eq(e.info.table, &guest);
}

/* The saved device of that name; with add, a new one behind all others if there is none. */
static struct mv_device_state *device(struct mv_state *state, const char *name, bool add)
{
	struct mv_device_state *s = state->devices;

	for (uint32_t i = 0; i < state->ndevices; i++, s++)
		if (!strcmp(s->name, name))
			return s;
	cr_assert(add, "device %s was not saved", name);
	state->ndevices++;
	s->size = 4;
	snprintf(s->name, sizeof(s->name), "%s", name);
	return s;
}

Test(device, bad_state)
{
	static const struct {
		const char *name, *device, *renamed;	/* renamed NULL: as it was */
		int longer;
		bool add;
		const char *msg;	/* what the message begins with */
	} rows[] = {
		{ "serial port missing", "serial0", "serial9", 0, false,
		  "the state of device serial0 is missing" },
		{ "information missing", "info", "onfi", 0, false, "the state of device info is missing" },
		{ "too short", "serial0", NULL, -1, false, "device serial0: " },
		{ "too long", "info", NULL, 1, false, "device info: 9 bytes of state, 8 expected" },
		{ "empty", "info", NULL, -8, false, "device info: 0 bytes of state, 8 expected" },
		{ "a stranger beside", "disk", NULL, 0, true, "unknown device 'disk'" },
		{ "a name of all its bytes", "123456789012345", NULL, 0, true,
		  "unknown device '123456789012345'" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static struct mv_state state;
		struct mv_devices d = with_info(), before;
		struct mv_device_state *s;
		struct mv_err err = { 0 };

		mv_devices_save(&d, &state);
		s = device(&state, rows[i].device, rows[i].add);
		s->size += (uint32_t)rows[i].longer;
		if (rows[i].renamed)
			snprintf(s->name, sizeof(s->name), "%s", rows[i].renamed);
		before = d;
		cr_expect_eq(mv_devices_load(&d, &state, &err), -MV_E_INPUT, "%s", rows[i].name);
		cr_expect(!strncmp(err.msg, rows[i].msg, strlen(rows[i].msg)), "%s: %s", rows[i].name,
			  err.msg);
		cr_expect(!memcmp(&d, &before, sizeof(d)), "%s: nothing was taken over", rows[i].name);
	}
}

Test(device, no_state_at_all)
{
	static struct mv_state state;
	struct mv_devices d = with_info();
	struct mv_err err = { 0 };

	cr_expect_eq(mv_devices_load(&d, &state, &err), -MV_E_INPUT);
	cr_expect_str_eq(err.msg, "the state of device serial0 is missing");
}

/* A doubleword at 0xcf8 is PCI's address register; one of its bits must not reset the machine. */
Test(device, reset_is_for_bytes)
{
	static const uint8_t address[] = { 0x00, 0x04, 0x00, 0x80 };
	static const uint8_t ready[] = { 0x02 }, reset[] = { 0x06 };
	struct mv_devices *d = calloc(1, sizeof(*d));

	cr_assert_not_null(d);
	mv_devices_init(d, &(struct mv_config){ 0 });
	cr_expect_eq(mv_devices_out(d, 0xcf8, 4, 1, address), MV_IO_DONE);
	cr_expect_eq(mv_devices_out(d, 0xcf8, 2, 1, address), MV_IO_DONE);
	cr_expect_eq(mv_devices_out(d, 0xcf9, 1, 1, ready), MV_IO_DONE);
	cr_expect_eq(mv_devices_out(d, 0xcf9, 2, 1, (const uint8_t[]){ 0x06, 0 }), MV_IO_DONE);
	cr_expect_eq(mv_devices_out(d, 0xcf9, 1, 1, reset), MV_IO_RESET);
	free(d);
}
