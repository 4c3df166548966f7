/* SPDX-License-Identifier: MIT */
/*
 * The devices that kvm-unit-tests expects of a PC (--testdev), as QEMU's pc-testdev has them:
 *
 *   0xe0-0xe3           read back what was written
 *   0xe4                OUT 32 bits: guest-physical address of a page that the VMM takes out of KVM's
 *                       page tables and puts back, so that the next access faults it in again
 *   0x2000-0x2017       OUT: level of interrupt line port - 0x2000
 *   0xff000000, 64 KiB  memory reached by MMIO exits
 *
 * Without --testdev there is none of it. Nothing of it is saved: such a VM can't be.
 */
#ifndef MV_VMM_TESTDEV_H
#define MV_VMM_TESTDEV_H

#include <stdbool.h>
#include <stdint.h>

#define MV_TESTDEV_MEM_AT 0xff000000u
#define MV_TESTDEV_MEM_SIZE 0x10000u

struct mv_testdev {
	uint8_t io[4];
	void (*set_irq)(void *board, unsigned irq, bool level);
	void (*flush)(void *board, uint64_t gpa);
	void *board;
	uint8_t mem[MV_TESTDEV_MEM_SIZE];
};

/* An access to ports; false if they are not the device's. data has size bytes, 1 to 4. */
bool mv_testdev_out(struct mv_testdev *t, uint16_t port, unsigned size, const uint8_t *data);
bool mv_testdev_in(const struct mv_testdev *t, uint16_t port, unsigned size, uint8_t *data);

/* An access to memory; false if it is not all the device's. */
bool mv_testdev_mmio(struct mv_testdev *t, uint64_t gpa, bool write, unsigned size, uint8_t *data);

#endif
