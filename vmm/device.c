/* SPDX-License-Identifier: MIT */
#include "device.h"

#include <stdio.h>
#include <string.h>

#include "guest-tests/abi.h"
#include "le.h"

/* ---- the test ports of guest-tests/abi.h ---- */

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

static enum mv_io_result info_out(struct mv_devices *d, uint16_t port, unsigned size,
				  const uint8_t *data)
{
	(void)port;
	if (size == 4) {
		d->info.block = mv_le32(data);
		d->info.cursor = 0;
	}
	return MV_IO_DONE;
}

static void info_in(struct mv_devices *d, uint16_t port, unsigned size, uint8_t *data)
{
	(void)port;
	memset(data, 0xff, size);
	if (size != 4)
		return;
	mv_store_le(data, info_word(&d->info, d->info.cursor), 4);
	if (d->info.cursor < UINT32_MAX)
		d->info.cursor++;
}

static enum mv_io_result exit_out(struct mv_devices *d, uint16_t port, unsigned size,
				  const uint8_t *data)
{
	(void)port;
	d->value = (uint32_t)mv_load_le(data, size);
	return MV_IO_EXIT;
}

static enum mv_io_result sync_out(struct mv_devices *d, uint16_t port, unsigned size,
				  const uint8_t *data)
{
	(void)port;
	d->value = (uint32_t)mv_load_le(data, size);
	return MV_IO_SYNC;
}

static enum mv_io_result fault_out(struct mv_devices *d, uint16_t port, unsigned size,
				   const uint8_t *data)
{
	(void)port;
	d->fault = (uint32_t)mv_load_le(data, size);
	return MV_IO_DONE;
}

/* ---- devices of bytes ---- */

static enum mv_io_result serial_out(struct mv_devices *d, uint16_t port, unsigned size,
				    const uint8_t *data)
{
	if (size == 1)
		mv_serial_out(&d->serial, port - MV_PORT_SERIAL, *data);
	return MV_IO_DONE;
}

static void serial_in(struct mv_devices *d, uint16_t port, unsigned size, uint8_t *data)
{
	memset(data, 0xff, size);
	if (size == 1)
		*data = mv_serial_in(&d->serial, port - MV_PORT_SERIAL);
}

static enum mv_io_result rtc_out(struct mv_devices *d, uint16_t port, unsigned size,
				 const uint8_t *data)
{
	(void)size;
	mv_rtc_out(&d->rtc, port - MV_PORT_RTC, *data);
	return MV_IO_DONE;
}

static void rtc_in(struct mv_devices *d, uint16_t port, unsigned size, uint8_t *data)
{
	(void)size;
	*data = mv_rtc_in(&d->rtc, port - MV_PORT_RTC);
}

static enum mv_io_result power_out(struct mv_devices *d, uint16_t port, unsigned size,
				   const uint8_t *data)
{
	(void)size;
	switch (mv_power_out(&d->power, port, *data)) {
	case MV_POWER_OFF: return MV_IO_OFF;
	case MV_POWER_RESET: return MV_IO_RESET;
	default: return MV_IO_DONE;
	}
}

static void power_in(struct mv_devices *d, uint16_t port, unsigned size, uint8_t *data)
{
	(void)size;
	*data = mv_power_in(&d->power, port);
}

static enum mv_io_result reset_out(struct mv_devices *d, uint16_t port, unsigned size,
				   const uint8_t *data)
{
	return size == 1 ? power_out(d, port, size, data) : MV_IO_DONE;
}

static void reset_in(struct mv_devices *d, uint16_t port, unsigned size, uint8_t *data)
{
	memset(data, 0xff, size);
	if (size == 1)
		power_in(d, port, size, data);
}

/* ---- who owns which ports ---- */

static const struct ports {
	uint16_t first, n;
	bool bytes;	/* an access to several ports is one to each */
	enum mv_io_result (*out)(struct mv_devices *d, uint16_t port, unsigned size,
				 const uint8_t *data);
	void (*in)(struct mv_devices *d, uint16_t port, unsigned size, uint8_t *data);
} ports[] = {
	{ MV_PORT_SERIAL, MV_SERIAL_PORTS, false, serial_out, serial_in },
	{ MV_PORT_INFO, 1, false, info_out, info_in },
	{ MV_PORT_EXIT, 1, false, exit_out, NULL },
	{ MV_PORT_SYNC, 1, false, sync_out, NULL },
	{ MV_PORT_FAULT, 1, false, fault_out, NULL },
	{ MV_PORT_KEYBOARD, 1, true, power_out, power_in },
	{ MV_PORT_RTC, MV_RTC_PORTS, true, rtc_out, rtc_in },
	{ MV_PORT_PM1_EVENT, MV_PM1_EVENT_PORTS, true, power_out, power_in },
	{ MV_PORT_PM1_CONTROL, MV_PM1_CONTROL_PORTS, true, power_out, power_in },
	/* A byte alone: a doubleword at 0xcf8 is PCI's address register, not a reset. */
	{ MV_PORT_RESET, 1, false, reset_out, reset_in },
};

static const struct ports *owner(uint16_t port)
{
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (port >= ports[i].first && port - ports[i].first < ports[i].n)
			return &ports[i];
	return NULL;
}

static enum mv_io_result out_one(struct mv_devices *d, uint16_t port, unsigned size,
				 const uint8_t *data)
{
	const struct ports *p = owner(port);

	if (p && !p->bytes)
		return p->out(d, port, size, data);
	for (unsigned i = 0; i < size; i++) {
		enum mv_io_result r = MV_IO_DONE;

		p = owner((uint16_t)(port + i));
		if (p && p->bytes)
			r = p->out(d, (uint16_t)(port + i), 1, data + i);
		if (r != MV_IO_DONE)
			return r;
	}
	return MV_IO_DONE;
}

enum mv_io_result mv_devices_out(struct mv_devices *d, uint16_t port, unsigned size,
				 uint32_t count, const uint8_t *data)
{
	/* A string of characters goes out in one piece. */
	if (port == MV_PORT_SERIAL && size == 1 && mv_serial_out_string(&d->serial, data, count))
		return MV_IO_DONE;
	for (uint32_t i = 0; i < count; i++, data += size) {
		enum mv_io_result r = out_one(d, port, size, data);

		if (r != MV_IO_DONE)
			return r;
	}
	return MV_IO_DONE;
}

static void in_one(struct mv_devices *d, uint16_t port, unsigned size, uint8_t *data)
{
	const struct ports *p = owner(port);

	memset(data, 0xff, size);
	if (p && !p->bytes && p->in)
		p->in(d, port, size, data);
	if (p && !p->bytes)
		return;
	for (unsigned i = 0; i < size; i++) {
		p = owner((uint16_t)(port + i));
		if (p && p->bytes)
			p->in(d, (uint16_t)(port + i), 1, data + i);
	}
}

void mv_devices_in(struct mv_devices *d, uint16_t port, unsigned size, uint32_t count,
		   uint8_t *data)
{
	for (uint32_t i = 0; i < count; i++, data += size)
		in_one(d, port, size, data);
}

void mv_devices_mmio(struct mv_devices *d, uint64_t gpa, bool write, unsigned len, uint8_t *data)
{
	uint64_t at = gpa - MV_VIRTIO_AT;	/* wraps for what is below */
	struct mv_virtio *v;

	if (at / MV_VIRTIO_SIZE >= d->nvirtio) {
		if (!write)
			memset(data, 0xff, len);
		return;
	}
	v = &d->virtio[at / MV_VIRTIO_SIZE];
	if (write)
		mv_virtio_write(v, (unsigned)(at % MV_VIRTIO_SIZE), len, data);
	else
		mv_virtio_read(v, (unsigned)(at % MV_VIRTIO_SIZE), len, data);
}

static struct mv_virtio *add_virtio(struct mv_devices *d, const struct mv_virtio_kind *kind,
				    const char *name)
{
	struct mv_virtio *v = &d->virtio[d->nvirtio];

	mv_virtio_init(v, kind, d->nvirtio, name);
	d->nvirtio++;
	return v;
}

void mv_devices_init(struct mv_devices *d, const struct mv_config *config)
{
	memset(d, 0, sizeof(*d));
	d->serial.irq_line = 4;
	mv_rtc_init(&d->rtc);
	for (uint32_t i = 0; i < config->ndisks; i++) {
		const char name[] = { 'd', 'i', 's', 'k', (char)('0' + i), '\0' };
		struct mv_virtio *v = add_virtio(d, &mv_virtio_disk, name);

		v->read_only = config->disks[i].read_only;
		v->sectors = config->disks[i].size / MV_SECTOR;
		/* What the guest can tell disks apart by: /dev/disk/by-id/virtio-minivmm-disk0. */
		snprintf(v->serial, sizeof(v->serial), "minivmm-%s", name);
	}
	if (config->rng)
		add_virtio(d, &mv_virtio_rng, "rng0");
}

/* ---- saved state: one byte string a device ---- */

#define INFO_STATE 8

static void save_serial(const struct mv_devices *d, uint8_t *data)
{
	mv_serial_save(&d->serial, data);
}

static bool load_serial(struct mv_devices *d, const uint8_t *data)
{
	return mv_serial_load(&d->serial, data);
}

static void save_info(const struct mv_devices *d, uint8_t *data)
{
	mv_store_le(data, d->info.block, 4);
	mv_store_le(data + 4, d->info.cursor, 4);
}

static bool load_info(struct mv_devices *d, const uint8_t *data)
{
	d->info.block = mv_le32(data);
	d->info.cursor = mv_le32(data + 4);
	return true;
}

static void save_rtc(const struct mv_devices *d, uint8_t *data)
{
	mv_rtc_save(&d->rtc, data);
}

static bool load_rtc(struct mv_devices *d, const uint8_t *data)
{
	return mv_rtc_load(&d->rtc, data);
}

static void save_power(const struct mv_devices *d, uint8_t *data)
{
	mv_power_save(&d->power, data);
}

static bool load_power(struct mv_devices *d, const uint8_t *data)
{
	return mv_power_load(&d->power, data);
}

static const struct device {
	const char *name;
	uint32_t size;
	void (*save)(const struct mv_devices *d, uint8_t *data);
	bool (*load)(struct mv_devices *d, const uint8_t *data);
} devices[] = {
	{ "serial0", MV_SERIAL_STATE, save_serial, load_serial },
	{ "info", INFO_STATE, save_info, load_info },
	{ "rtc", MV_RTC_STATE, save_rtc, load_rtc },
	{ "power", MV_POWER_STATE, save_power, load_power },
};

#define NFIXED (sizeof(devices) / sizeof(devices[0]))

/* Room for one more device's state. */
static uint8_t *add_state(struct mv_state *state, const char *name, uint32_t size)
{
	struct mv_device_state *s = &state->devices[state->ndevices++];

	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->size = size;
	return s->data;
}

void mv_devices_save(const struct mv_devices *d, struct mv_state *state)
{
	state->ndevices = 0;
	for (size_t i = 0; i < NFIXED; i++)
		devices[i].save(d, add_state(state, devices[i].name, devices[i].size));
	for (unsigned i = 0; i < d->nvirtio; i++)
		mv_virtio_save(&d->virtio[i], add_state(state, d->virtio[i].name, MV_VIRTIO_STATE));
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

static bool known(const struct mv_devices *d, const char *name)
{
	for (size_t i = 0; i < NFIXED; i++)
		if (!strcmp(name, devices[i].name))
			return true;
	for (unsigned i = 0; i < d->nvirtio; i++)
		if (!strcmp(name, d->virtio[i].name))
			return true;
	return false;
}

static int impossible(const char *name, struct mv_err *err)
{
	return mv_err_set(err, MV_E_INPUT, "device %s: a state it can't be in", name);
}

int mv_devices_load(struct mv_devices *d, const struct mv_state *state, struct mv_err *err)
{
	const struct mv_device_state *found[NFIXED + MV_VIRTIO_MAX];

	for (size_t i = 0; i < NFIXED + d->nvirtio; i++) {
		found[i] = i < NFIXED ? find(state, devices[i].name, devices[i].size, err)
				      : find(state, d->virtio[i - NFIXED].name, MV_VIRTIO_STATE, err);
		if (!found[i])
			return -MV_E_INPUT;
	}
	for (uint32_t i = 0; i < state->ndevices; i++)
		if (!known(d, state->devices[i].name))
			return mv_err_set(err, MV_E_INPUT, "unknown device '%.15s'",
					  state->devices[i].name);
	for (size_t i = 0; i < NFIXED; i++)
		if (!devices[i].load(d, found[i]->data))
			return impossible(devices[i].name, err);
	for (unsigned i = 0; i < d->nvirtio; i++)
		if (!mv_virtio_load(&d->virtio[i], found[NFIXED + i]->data))
			return impossible(d->virtio[i].name, err);
	return 0;
}
