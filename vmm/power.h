/* SPDX-License-Identifier: MIT */
/*
 * How a PC is switched off and reset: ACPI's PM1 registers (ACPI 6.4, 4.8.3.1 and 4.8.3.2), the
 * reset register of PC chipsets, and the line of the keyboard controller that resets the CPU. PM1's
 * status reads as zero: nothing ever happens here that an operating system had to be told.
 */
#ifndef MV_VMM_POWER_H
#define MV_VMM_POWER_H

#include <stdbool.h>
#include <stdint.h>

#include "acpi.h"

#define MV_PM1_EVENT_PORTS 4
#define MV_PM1_CONTROL_PORTS 2
#define MV_PORT_KEYBOARD 0x64
#define MV_POWER_STATE 5

enum mv_power_act { MV_POWER_ON, MV_POWER_OFF, MV_POWER_RESET };

struct mv_power {
	uint8_t enable[2], control[2], reset;
};

enum mv_power_act mv_power_out(struct mv_power *p, uint16_t port, uint8_t v);
uint8_t mv_power_in(const struct mv_power *p, uint16_t port);

void mv_power_save(const struct mv_power *p, uint8_t state[MV_POWER_STATE]);
bool mv_power_load(struct mv_power *p, const uint8_t state[MV_POWER_STATE]);

#endif
