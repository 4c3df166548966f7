/* SPDX-License-Identifier: MIT */
#include "testdev.h"

#include <string.h>

#define PORT_LATCH 0xe0
#define PORT_FLUSH 0xe4
#define PORT_IRQ 0x2000
#define IRQ_LINES 24

static bool in_latch(uint16_t port, unsigned size)
{
	return port >= PORT_LATCH && port + size <= PORT_LATCH + 4u;
}

bool mv_testdev_out(struct mv_testdev *t, uint16_t port, unsigned size, const uint8_t *data)
{
	if (in_latch(port, size)) {
		memcpy(t->io + (port - PORT_LATCH), data, size);
	} else if (port == PORT_FLUSH && size == 4) {
		uint64_t gpa = 0;

		for (unsigned i = 0; i < size; i++)
			gpa |= (uint64_t)data[i] << 8 * i;
		t->flush(t->board, gpa);
	} else if (port >= PORT_IRQ && port < PORT_IRQ + IRQ_LINES) {
		t->set_irq(t->board, port - PORT_IRQ, data[0] != 0);
	} else {
		return false;
	}
	return true;
}

bool mv_testdev_in(const struct mv_testdev *t, uint16_t port, unsigned size, uint8_t *data)
{
	if (!in_latch(port, size))
		return false;
	memcpy(data, t->io + (port - PORT_LATCH), size);
	return true;
}

bool mv_testdev_mmio(struct mv_testdev *t, uint64_t gpa, bool write, unsigned size, uint8_t *data)
{
	uint64_t at = gpa - MV_TESTDEV_MEM_AT;

	if (gpa < MV_TESTDEV_MEM_AT || at > MV_TESTDEV_MEM_SIZE - size)
		return false;
	memcpy(write ? t->mem + at : data, write ? data : t->mem + at, size);
	return true;
}
