/* SPDX-License-Identifier: MIT */
#include "serial.h"

#include <string.h>

/* Registers (offsets from the base port) and bits. */
enum { UART_DATA, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };

#define IER_RECEIVED 0x01
#define IER_SENT 0x02
#define IER_BITS 0x0f

#define IIR_NONE 0x01
#define IIR_SENT 0x02
#define IIR_RECEIVED 0x04
#define IIR_TIMEOUT 0x0c	/* fewer bytes than the trigger level, and no more coming */
#define IIR_FIFO 0xc0

#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVED 0x02
#define FCR_KEPT 0xc9		/* enable, DMA mode, trigger level: clear bits clear themselves */

#define LCR_DLAB 0x80

#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08		/* on a PC, the gate between the UART and its interrupt line */
#define MCR_LOOP 0x10
#define MCR_BITS 0x1f

#define LSR_DATA 0x01
#define LSR_EMPTY 0x60		/* transmitter and its holding register: we are infinitely fast */

#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80

/* The interrupt that IIR shows: the pending one with the highest priority. */
static uint8_t pending(const struct mv_serial *s)
{
	static const uint8_t trigger[] = { 1, 4, 8, 14 };

	if ((s->ier & IER_RECEIVED) && s->nreceived) {
		if (!(s->fcr & FCR_ENABLE) || s->nreceived >= trigger[s->fcr >> 6])
			return IIR_RECEIVED;
		return IIR_TIMEOUT;
	}
	return (s->ier & IER_SENT) && s->sent ? IIR_SENT : IIR_NONE;
}

/* After any change: tell the interrupt line and whoever has input. */
static void update(struct mv_serial *s)
{
	bool irq = pending(s) != IIR_NONE && (s->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
	bool room = mv_serial_room(s) > 0;

	if (irq != s->irq && s->set_irq)
		s->set_irq(s->board, s->irq_line, irq);
	s->irq = irq;
	if (room && !s->room && s->wants_input)
		s->wants_input(s->board);
	s->room = room;
}

static unsigned fifo_size(const struct mv_serial *s)
{
	return s->fcr & FCR_ENABLE ? MV_SERIAL_FIFO : 1;
}

static void put(struct mv_serial *s, uint8_t v)
{
	if (s->nreceived < fifo_size(s))
		s->received[s->nreceived++] = v;
}

static void send(struct mv_serial *s, const uint8_t *data, size_t len)
{
	if (s->mcr & MCR_LOOP)
		for (size_t i = 0; i < len && i < MV_SERIAL_FIFO; i++)
			put(s, data[i]);
	else
		s->write(s->ctx, data, len);
	s->sent = true;
}

static void write_ier(struct mv_serial *s, uint8_t v)
{
	/* The holding register is empty, so its interrupt comes as soon as it is switched on. */
	if (!(v & IER_SENT))
		s->sent = false;
	else if (!(s->ier & IER_SENT))
		s->sent = true;
	s->ier = v & IER_BITS;
}

void mv_serial_out(struct mv_serial *s, unsigned reg, uint8_t v)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case UART_DATA:
		if (dlab)
			s->dll = v;
		else
			send(s, &v, 1);
		break;
	case UART_IER:
		if (dlab)
			s->dlm = v;
		else
			write_ier(s, v);
		break;
	case UART_IIR:
		/*
		 * Switching the FIFOs off empties them, too. On a PC16550D so does switching them
		 * on; but Linux lets interrupts in before, and should not lose the first byte.
		 */
		if ((v & FCR_CLEAR_RECEIVED) || (s->fcr & ~v & FCR_ENABLE))
			s->nreceived = 0;
		s->fcr = v & FCR_ENABLE ? v & FCR_KEPT : 0;
		break;
	case UART_LCR:
		s->lcr = v;
		break;
	case UART_MCR:
		s->mcr = v & MCR_BITS;
		break;
	case UART_SCR:
		s->scr = v;
		break;
	default:
		break;
	}
	update(s);
}

bool mv_serial_out_string(struct mv_serial *s, const uint8_t *data, size_t len)
{
	if (s->lcr & LCR_DLAB)
		return false;
	send(s, data, len);
	update(s);
	return true;
}

static uint8_t read_data(struct mv_serial *s)
{
	uint8_t v = s->received[0];

	s->reads = true;
	if (!s->nreceived)
		return 0;
	memmove(s->received, s->received + 1, --s->nreceived);
	return v;
}

static uint8_t read_iir(struct mv_serial *s)
{
	uint8_t v = pending(s);

	if (v == IIR_SENT)
		s->sent = false;
	return v | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

/* The other end is always there; in loopback the outputs come back as inputs. */
static uint8_t msr(const struct mv_serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

uint8_t mv_serial_in(struct mv_serial *s, unsigned reg)
{
	bool dlab = s->lcr & LCR_DLAB;
	uint8_t v;

	switch (reg) {
	case UART_DATA:
		v = dlab ? s->dll : read_data(s);
		break;
	case UART_IER:
		v = dlab ? s->dlm : s->ier;
		break;
	case UART_IIR:
		v = read_iir(s);
		break;
	case UART_LCR:
		v = s->lcr;
		break;
	case UART_MCR:
		v = s->mcr;
		break;
	case UART_LSR:
		v = LSR_EMPTY | (s->nreceived ? LSR_DATA : 0);
		break;
	case UART_MSR:
		v = msr(s);
		break;
	default:
		v = s->scr;
		break;
	}
	update(s);
	return v;
}

size_t mv_serial_room(const struct mv_serial *s)
{
	bool wanted = s->mcr & MCR_OUT2 ? s->ier & IER_RECEIVED : s->reads && (s->mcr & MCR_RTS);

	/* In one go, when all that was there is read: fewer wake-ups. */
	return wanted && !(s->mcr & MCR_LOOP) && !s->nreceived ? fifo_size(s) : 0;
}

size_t mv_serial_receive(struct mv_serial *s, const uint8_t *data, size_t len)
{
	size_t room = mv_serial_room(s), n = len < room ? len : room;

	for (size_t i = 0; i < n; i++)
		put(s, data[i]);
	update(s);
	return n;
}

void mv_serial_save(const struct mv_serial *s, uint8_t state[MV_SERIAL_STATE])
{
	const uint8_t regs[] = { s->ier, s->fcr, s->lcr, s->mcr, s->scr, s->dll, s->dlm,
				 s->sent, s->reads, s->nreceived };

	_Static_assert(sizeof(regs) + MV_SERIAL_FIFO == MV_SERIAL_STATE, "all of it");
	memset(state, 0, MV_SERIAL_STATE);
	memcpy(state, regs, sizeof(regs));
	memcpy(state + sizeof(regs), s->received, s->nreceived);
}

bool mv_serial_load(struct mv_serial *s, const uint8_t state[MV_SERIAL_STATE])
{
	if ((state[0] & ~IER_BITS) || (state[1] & ~FCR_KEPT) || (state[3] & ~MCR_BITS) ||
	    state[7] > 1 || state[8] > 1 ||
	    state[9] > (state[1] & FCR_ENABLE ? MV_SERIAL_FIFO : 1))
		return false;
	s->ier = state[0];
	s->fcr = state[1];
	s->lcr = state[2];
	s->mcr = state[3];
	s->scr = state[4];
	s->dll = state[5];
	s->dlm = state[6];
	s->sent = state[7];
	s->reads = state[8];
	s->nreceived = state[9];
	memcpy(s->received, state + 10, MV_SERIAL_FIFO);
	update(s);
	return true;
}
