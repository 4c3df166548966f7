/* SPDX-License-Identifier: MIT */
/*
 * The clock of a PC (Motorola MC146818A) at ports 0x70 and 0x71: the host's time in UTC, not to be
 * set; no alarm, no interrupt, no memory.
 */
#ifndef MV_VMM_RTC_H
#define MV_VMM_RTC_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define MV_PORT_RTC 0x70
#define MV_RTC_PORTS 2
#define MV_RTC_STATE 2

struct mv_rtc {
	uint8_t index, control;		/* register B */
	time_t now;			/* what the registers show until the guest looks anew */
	time_t (*clock)(void);		/* NULL: the host's */
};

void mv_rtc_init(struct mv_rtc *r);
void mv_rtc_out(struct mv_rtc *r, unsigned reg, uint8_t v);
uint8_t mv_rtc_in(struct mv_rtc *r, unsigned reg);

void mv_rtc_save(const struct mv_rtc *r, uint8_t state[MV_RTC_STATE]);
bool mv_rtc_load(struct mv_rtc *r, const uint8_t state[MV_RTC_STATE]);

#endif
