/* SPDX-License-Identifier: MIT */
#include "device.h"

#include <string.h>

#include "guest-tests/abi.h"

/* 16550 registers (offsets from the base port) and bits. */
enum { UART_DATA, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };
#define UART_PORTS 8
#define LCR_DLAB 0x80
#define IIR_NONE 0x01
#define IIR_FIFO 0xc0
#define LSR_EMPTY 0x60	/* transmitter and its holding register: we are infinitely fast */
#define MSR_READY 0xb0	/* carrier, DSR, CTS */

static void serial_out(struct mv_serial *s, unsigned reg, uint8_t v)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case UART_DATA:
		if (dlab)
			s->dll = v;
		else
			s->write(s->ctx, &v, 1);
		break;
	case UART_IER:
		if (dlab)
			s->dlm = v;
		else
			s->ier = v & 0x0f;
		break;
	case UART_IIR:
		s->fcr = v;
		break;
	case UART_LCR:
		s->lcr = v;
		break;
	case UART_MCR:
		s->mcr = v;
		break;
	case UART_SCR:
		s->scr = v;
		break;
	default:
		break;
	}
}

static uint8_t serial_in(const struct mv_serial *s, unsigned reg)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case UART_DATA: return dlab ? s->dll : 0;
	case UART_IER: return dlab ? s->dlm : s->ier;
	case UART_IIR: return IIR_NONE | (s->fcr & 1 ? IIR_FIFO : 0);
	case UART_LCR: return s->lcr;
	case UART_MCR: return s->mcr;
	case UART_LSR: return LSR_EMPTY;
	case UART_MSR: return MSR_READY;
	default: return s->scr;
	}
}

/* Word n of a table block: the count, then six words an entry. */
static uint32_t table_word(const struct mv_table *t, uint32_t n)
{
	const struct mv_leaf *e;

	if (n == 0)
		return t->n;
	n--;
	if (n / 6 >= t->n)
		return 0;
	e = &t->e[n / 6];
	switch (n % 6) {
	case 0: return e->leaf;
	case 1: return e->subleaf;
	default: return e->reg[n % 6 - 2];
	}
}

static uint32_t info_word(const struct mv_info *i, uint32_t n)
{
	const uint32_t header[] = { MV_INFO_MAGIC, MV_ABI_VERSION, i->flags, i->mode };

	switch (i->block) {
	case MV_INFO_HEADER: return n < sizeof(header) / sizeof(header[0]) ? header[n] : 0;
	case MV_INFO_TABLE: return table_word(i->table, n);
	case MV_INFO_RAW: return table_word(i->raw, n);
	default: return 0;
	}
}

static uint32_t load_le(const uint8_t *p, unsigned size)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint32_t)p[i] << 8 * i;
	return v;
}

static void store_le(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static bool is_serial(uint16_t port)
{
	return port >= MV_PORT_SERIAL && port < MV_PORT_SERIAL + UART_PORTS;
}

enum mv_io_result mv_devices_out(struct mv_devices *d, uint16_t port, unsigned size,
				 uint32_t count, const uint8_t *data)
{
	bool dlab = d->serial.lcr & LCR_DLAB;

	/* A string of characters goes out in one piece. */
	if (port == MV_PORT_SERIAL && size == 1 && !dlab) {
		d->serial.write(d->serial.ctx, data, count);
		return MV_IO_DONE;
	}
	for (uint32_t i = 0; i < count; i++, data += size) {
		if (is_serial(port) && size == 1) {
			serial_out(&d->serial, port - MV_PORT_SERIAL, *data);
		} else if (port == MV_PORT_INFO && size == 4) {
			d->info.block = load_le(data, 4);
			d->info.cursor = 0;
		} else if (port == MV_PORT_EXIT) {
			d->value = load_le(data, size);
			return MV_IO_EXIT;
		} else if (port == MV_PORT_SYNC) {
			d->value = load_le(data, size);
			return MV_IO_SYNC;
		}
	}
	return MV_IO_DONE;
}

void mv_devices_in(struct mv_devices *d, uint16_t port, unsigned size, uint32_t count,
		   uint8_t *data)
{
	for (uint32_t i = 0; i < count; i++, data += size) {
		if (is_serial(port) && size == 1) {
			*data = serial_in(&d->serial, port - MV_PORT_SERIAL);
		} else if (port == MV_PORT_INFO && size == 4) {
			store_le(data, info_word(&d->info, d->info.cursor));
			if (d->info.cursor < UINT32_MAX)
				d->info.cursor++;
		} else {
			memset(data, 0xff, size);
		}
	}
}

/* ---- saved state: one byte string a device, fields in the order written here ---- */

#define SERIAL_STATE 7
#define INFO_STATE 8

static struct mv_device_state *add(struct mv_state *state, const char *name, uint32_t size)
{
	struct mv_device_state *s = &state->devices[state->ndevices++];

	memset(s, 0, sizeof(*s));
	strcpy(s->name, name);
	s->size = size;
	return s;
}

void mv_devices_save(const struct mv_devices *d, struct mv_state *state)
{
	const struct mv_serial *u = &d->serial;
	const uint8_t serial[SERIAL_STATE] = { u->ier, u->fcr, u->lcr, u->mcr,
					       u->scr, u->dll, u->dlm };
	struct mv_device_state *s;

	state->ndevices = 0;
	memcpy(add(state, "serial0", SERIAL_STATE)->data, serial, SERIAL_STATE);
	s = add(state, "info", INFO_STATE);
	store_le(s->data, d->info.block);
	store_le(s->data + 4, d->info.cursor);
}

static const struct mv_device_state *find(const struct mv_state *state, const char *name,
					  uint32_t size, struct mv_err *err)
{
	for (uint32_t i = 0; i < state->ndevices; i++) {
		const struct mv_device_state *s = &state->devices[i];

		if (strcmp(s->name, name))
			continue;
		if (s->size == size)
			return s;
		mv_err_set(err, MV_E_INPUT, "device %s: %u bytes of state, %u expected", name,
			   s->size, size);
		return NULL;
	}
	mv_err_set(err, MV_E_INPUT, "the state of device %s is missing", name);
	return NULL;
}

int mv_devices_load(struct mv_devices *d, const struct mv_state *state, struct mv_err *err)
{
	const struct mv_device_state *serial = find(state, "serial0", SERIAL_STATE, err);
	const struct mv_device_state *info = find(state, "info", INFO_STATE, err);
	struct mv_serial *u = &d->serial;

	if (!serial || !info)
		return -MV_E_INPUT;
	for (uint32_t i = 0; i < state->ndevices; i++) {
		const char *name = state->devices[i].name;

		if (strcmp(name, "serial0") && strcmp(name, "info"))
			return mv_err_set(err, MV_E_INPUT, "unknown device '%.15s'", name);
	}
	u->ier = serial->data[0];
	u->fcr = serial->data[1];
	u->lcr = serial->data[2];
	u->mcr = serial->data[3];
	u->scr = serial->data[4];
	u->dll = serial->data[5];
	u->dlm = serial->data[6];
	d->info.block = load_le(info->data, 4);
	d->info.cursor = load_le(info->data + 4, 4);
	return 0;
}
