/* SPDX-License-Identifier: MIT */
/*
 * A 16550A serial port (National Semiconductor PC16550D) without a line: what is written has been
 * sent, and what is received comes as fast as it is read.
 */
#ifndef MV_VMM_SERIAL_H
#define MV_VMM_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MV_SERIAL_PORTS 8
#define MV_SERIAL_FIFO 16
#define MV_SERIAL_STATE 26	/* bytes of its saved state */

struct mv_serial {
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	bool sent;		/* the transmitter's interrupt is pending */
	bool reads;		/* the guest has read the data register */
	uint8_t nreceived, received[MV_SERIAL_FIFO];

	bool irq, room;		/* what set_irq and wants_input were told last */
	unsigned irq_line;
	void (*write)(void *ctx, const uint8_t *data, size_t len);
	void *ctx;
	/* Both may be NULL. */
	void (*set_irq)(void *board, unsigned irq, bool level);
	void (*wants_input)(void *board);	/* there is room again */
	void *board;
};

void mv_serial_out(struct mv_serial *s, unsigned reg, uint8_t v);
uint8_t mv_serial_in(struct mv_serial *s, unsigned reg);

/* A string of characters to the data register; false if that is not where they would go now. */
bool mv_serial_out_string(struct mv_serial *s, const uint8_t *data, size_t len);

/*
 * How many bytes it takes. None before the guest has shown that it wants any, so that a program
 * that never reads does not swallow what is not meant for it, and a kernel's first look at the port
 * does not lose what its shell should have. With its interrupts let through (OUT2), the receive
 * interrupt must be on, too; without, RTS be set and the data register have been read once, as
 * polling software does.
 */
size_t mv_serial_room(const struct mv_serial *s);
size_t mv_serial_receive(struct mv_serial *s, const uint8_t *data, size_t len);

void mv_serial_save(const struct mv_serial *s, uint8_t state[MV_SERIAL_STATE]);
/* Whether the state makes sense; sets the interrupt line as it was. */
bool mv_serial_load(struct mv_serial *s, const uint8_t state[MV_SERIAL_STATE]);

#endif
