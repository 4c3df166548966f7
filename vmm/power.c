/* SPDX-License-Identifier: MIT */
#include "power.h"

#include <string.h>

/* PM1 control, by bytes: bit 0 is SCI_EN, always on; bits 10 to 12 SLP_TYP, bit 13 SLP_EN. */
#define CONTROL_SCI_EN 0x01
#define CONTROL_SLP_TYP(high) ((high) >> 2 & 7)
#define CONTROL_SLP_EN 0x20

#define RESET_CPU 0x04		/* a rising edge of this bit resets; bit 1 says how hard */
#define RESET_BITS 0x0e
#define KEYBOARD_PULSE_RESET 0xfe

enum mv_power_act mv_power_out(struct mv_power *p, uint16_t port, uint8_t v)
{
	bool edge;

	switch (port) {
	case MV_PORT_PM1_EVENT + 2:
	case MV_PORT_PM1_EVENT + 3:
		p->enable[port & 1] = v;
		return MV_POWER_ON;
	case MV_PORT_PM1_CONTROL:
		p->control[0] = v;
		return MV_POWER_ON;
	case MV_PORT_PM1_CONTROL + 1:
		/* SLP_EN is write-only: it reads as zero. */
		p->control[1] = v & (uint8_t)~CONTROL_SLP_EN;
		return (v & CONTROL_SLP_EN) && CONTROL_SLP_TYP(v) == MV_SLP_TYP_S5 ? MV_POWER_OFF
										  : MV_POWER_ON;
	case MV_PORT_RESET:
		edge = (v & RESET_CPU) && !(p->reset & RESET_CPU);
		p->reset = v & RESET_BITS;
		return edge ? MV_POWER_RESET : MV_POWER_ON;
	case MV_PORT_KEYBOARD:
		return v == KEYBOARD_PULSE_RESET ? MV_POWER_RESET : MV_POWER_ON;
	default:
		return MV_POWER_ON;
	}
}

uint8_t mv_power_in(const struct mv_power *p, uint16_t port)
{
	switch (port) {
	case MV_PORT_PM1_EVENT + 2:
	case MV_PORT_PM1_EVENT + 3:
		return p->enable[port & 1];
	case MV_PORT_PM1_CONTROL:
		return p->control[0] | CONTROL_SCI_EN;
	case MV_PORT_PM1_CONTROL + 1:
		return p->control[1];
	case MV_PORT_RESET:
		return p->reset;
	default:
		return 0;	/* no event; a keyboard controller that takes the next command */
	}
}

void mv_power_save(const struct mv_power *p, uint8_t state[MV_POWER_STATE])
{
	memcpy(state, p->enable, 2);
	memcpy(state + 2, p->control, 2);
	state[4] = p->reset;
}

bool mv_power_load(struct mv_power *p, const uint8_t state[MV_POWER_STATE])
{
	if ((state[3] & CONTROL_SLP_EN) || (state[4] & ~RESET_BITS))
		return false;
	memcpy(p->enable, state, 2);
	memcpy(p->control, state + 2, 2);
	p->reset = state[4];
	return true;
}
