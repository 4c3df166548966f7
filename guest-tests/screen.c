/* SPDX-License-Identifier: MIT */
/*
 * The console on a VGA text screen, for machines without a serial line: lines scroll by while they
 * are written, and can be read from the first to the last afterwards.
 */
#include "rt.h"

#define COLUMNS 80
#define ROWS 24			/* and one for help */
#define LINES_MAX 800
#define LINE_MAX 160		/* the rest is on the serial line */
#define ATTRIBUTE 0x0700
#define ATTRIBUTE_HELP 0x7000

#define KBD_DATA 0x60
#define KBD_STATUS 0x64
#define KBD_STATUS_FULL 0x01
enum { KEY_HOME = 0x47, KEY_UP, KEY_PAGE_UP, KEY_END = 0x4f, KEY_DOWN, KEY_PAGE_DOWN };

static volatile uint16_t *const vga = (volatile uint16_t *)0xb8000;

static char lines[LINES_MAX][LINE_MAX];
static int count, column;	/* whole lines, and where the next character goes */

static void show(int first)
{
	for (int y = 0; y < ROWS; y++) {
		const char *s = first + y < count ? lines[first + y] : "";

		for (int x = 0; x < COLUMNS; x++) {
			char c = *s ? *s++ : ' ';

			vga[y * COLUMNS + x] = (uint16_t)(ATTRIBUTE | (uint8_t)c);
		}
	}
}

static int last_page(void)
{
	return count > ROWS ? count - ROWS : 0;
}

/* Lines are made for a serial console: what says nothing new to a reader of a screen goes. */
static void squeeze(char *s)
{
	static const char *const words[] = { "probe: ", "cpuid: ", "cpuid=", "host=- " };

	for (size_t w = 0; w < MV_ARRAY_SIZE(words); w++) {
		size_t n = strlen(words[w]);

		for (char *p = s; *p; p++) {
			if (!memcmp(p, words[w], n)) {
				memmove(p, p + n, strlen(p + n) + 1);
				break;
			}
		}
	}
	/* Padding, from behind, until it fits. */
	for (char *p = s + strlen(s); p > s + 1 && strlen(s) > COLUMNS; p--) {
		if (p[-1] == ' ' && p[-2] == ' ')
			memmove(p - 1, p, strlen(p) + 1);
	}
}

static void put(char c)
{
	if (c != '\n') {
		if (column < LINE_MAX - 1)
			lines[count][column++] = c;
		return;
	}
	lines[count][column] = '\0';
	squeeze(lines[count]);
	column = 0;
	if (count < LINES_MAX - 1)
		count++;
	if (count % ROWS == 0)
		show(last_page());	/* not each line: video memory is slow */
}

void mv_screen_start(void)
{
	/* A machine with a screen may have a real serial line: 115200 bits a second. */
	mv_out8(MV_PORT_SERIAL + 3, 0x83);
	mv_out8(MV_PORT_SERIAL, 1);
	mv_out8(MV_PORT_SERIAL + 1, 0);
	mv_out8(MV_PORT_SERIAL + 3, 0x03);
	mv_screen_put = put;
}

static void show_help(void)
{
	static const char help[] = " PgUp PgDn Up Down Home End: read on and back";

	for (size_t x = 0; x < COLUMNS; x++) {
		char c = x < sizeof(help) - 1 ? help[x] : ' ';

		vga[ROWS * COLUMNS + x] = (uint16_t)(ATTRIBUTE_HELP | (uint8_t)c);
	}
}

static uint8_t key(void)
{
	while (!(mv_in8(KBD_STATUS) & KBD_STATUS_FULL))
		__asm__ volatile("pause");
	return mv_in8(KBD_DATA);
}

void mv_pager(void)
{
	int top = 0;

	mv_flush();
	show_help();
	for (;;) {
		show(top);
		switch (key()) {
		case KEY_HOME: top = 0; break;
		case KEY_UP: top--; break;
		case KEY_PAGE_UP: top -= ROWS; break;
		case KEY_END: top = last_page(); break;
		case KEY_DOWN: top++; break;
		case KEY_PAGE_DOWN: top += ROWS; break;
		default: break;
		}
		if (top > last_page())
			top = last_page();
		if (top < 0)
			top = 0;
	}
}
