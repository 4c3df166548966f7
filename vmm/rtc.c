/* SPDX-License-Identifier: MIT */
#include "rtc.h"

enum { RTC_SECONDS = 0, RTC_MINUTES = 2, RTC_HOURS = 4, RTC_WEEKDAY = 6, RTC_DAY, RTC_MONTH,
       RTC_YEAR, RTC_A, RTC_B, RTC_C, RTC_D, RTC_CENTURY = 0x32 };

#define INDEX_BITS 0x7f		/* bit 7 of port 0x70 switches NMIs off */
#define A_DIVIDER 0x26		/* 32768 Hz, 1024 Hz periodic rate; never an update in progress */
#define B_24H 0x02
#define B_BINARY 0x04
#define B_SET 0x80
#define D_VALID 0x80
#define PM 0x80

void mv_rtc_init(struct mv_rtc *r)
{
	*r = (struct mv_rtc){ .control = B_24H };
}

void mv_rtc_out(struct mv_rtc *r, unsigned reg, uint8_t v)
{
	if (reg == 0)
		r->index = v & INDEX_BITS;
	else if (r->index == RTC_B)
		r->control = v;
}

/*
 * Registers read one after the other must belong to one moment: a guest looks at register A or
 * waits for the next second before it reads the others.
 */
static void look(struct mv_rtc *r)
{
	time_t now = r->clock ? r->clock() : time(NULL);
	bool anew = r->index == RTC_A || r->index == RTC_SECONDS;

	if (anew || now - r->now > 1 || now < r->now)
		r->now = now;
}

static uint8_t coded(const struct mv_rtc *r, int v)
{
	return (uint8_t)(r->control & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static uint8_t hours(const struct mv_rtc *r, int h)
{
	if (r->control & B_24H)
		return coded(r, h);
	return coded(r, h % 12 ? h % 12 : 12) | (h >= 12 ? PM : 0);
}

uint8_t mv_rtc_in(struct mv_rtc *r, unsigned reg)
{
	struct tm tm;

	if (reg == 0)
		return 0xff;	/* write-only */
	look(r);
	gmtime_r(&r->now, &tm);
	switch (r->index) {
	case RTC_SECONDS: return coded(r, tm.tm_sec);
	case RTC_MINUTES: return coded(r, tm.tm_min);
	case RTC_HOURS: return hours(r, tm.tm_hour);
	case RTC_WEEKDAY: return coded(r, tm.tm_wday + 1);
	case RTC_DAY: return coded(r, tm.tm_mday);
	case RTC_MONTH: return coded(r, tm.tm_mon + 1);
	case RTC_YEAR: return coded(r, tm.tm_year % 100);
	case RTC_CENTURY: return coded(r, 19 + tm.tm_year / 100);
	case RTC_A: return A_DIVIDER;
	case RTC_B: return r->control & (uint8_t)~B_SET;
	case RTC_D: return D_VALID;
	default: return 0;
	}
}

void mv_rtc_save(const struct mv_rtc *r, uint8_t state[MV_RTC_STATE])
{
	state[0] = r->index;
	state[1] = r->control;
}

bool mv_rtc_load(struct mv_rtc *r, const uint8_t state[MV_RTC_STATE])
{
	if (state[0] & ~INDEX_BITS)
		return false;
	r->index = state[0];
	r->control = state[1];
	return true;
}
