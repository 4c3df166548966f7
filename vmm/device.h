/* SPDX-License-Identifier: MIT */
/* The devices: a fixed list, each with its ports or registers, its state and how to save it. */
#ifndef MV_VMM_DEVICE_H
#define MV_VMM_DEVICE_H

#include "power.h"
#include "rtc.h"
#include "serial.h"
#include "state.h"
#include "virtio.h"

enum mv_io_result {
	MV_IO_DONE,
	MV_IO_EXIT,	/* the guest ended its run; the value is in devices->value */
	MV_IO_SYNC,	/* a sync point; its number is in devices->value */
	MV_IO_OFF,	/* it powered itself off */
	MV_IO_RESET,	/* it reset itself */
};

struct mv_info {
	uint32_t block, cursor;
	uint32_t flags, mode;		/* header words */
	const struct mv_table *table, *raw;
};

struct mv_devices {
	struct mv_serial serial;
	struct mv_info info;
	struct mv_rtc rtc;
	struct mv_power power;
	unsigned nvirtio;
	struct mv_virtio virtio[MV_VIRTIO_MAX];
	uint32_t value;
	uint32_t fault;	/* where the guest says that it fails, by MV_PORT_FAULT; 0: it never did */
};

_Static_assert(MV_MAX_DISKS + 1 <= MV_VIRTIO_MAX, "disks and a source of random bytes");

/*
 * As they are at power-on: those that all machines have, and disks and more as config says. What
 * connects them to the machine is the caller's to set.
 */
void mv_devices_init(struct mv_devices *d, const struct mv_config *config);

/*
 * A guest's IN or OUT: count items of size bytes at data. Ports that nobody owns read as all ones
 * and swallow writes. Devices with registers of one byte see a wider access as one to each port, as
 * on an ISA bus; the serial port answers single bytes alone.
 */
enum mv_io_result mv_devices_out(struct mv_devices *d, uint16_t port, unsigned size,
				 uint32_t count, const uint8_t *data);
void mv_devices_in(struct mv_devices *d, uint16_t port, unsigned size, uint32_t count,
		   uint8_t *data);

/*
 * A guest's access to an address that is not RAM. What nobody owns reads as all ones and swallows
 * writes.
 */
void mv_devices_mmio(struct mv_devices *d, uint64_t gpa, bool write, unsigned len, uint8_t *data);

/* All devices' state as named, versionless byte strings (docs/stream-format.md, DEVICE). */
void mv_devices_save(const struct mv_devices *d, struct mv_state *state);
/* -MV_E_INPUT for a device that is unknown, missing, of another size or in an impossible state. */
int mv_devices_load(struct mv_devices *d, const struct mv_state *state, struct mv_err *err);

#endif
