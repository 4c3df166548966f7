/* SPDX-License-Identifier: MIT */
/* Text from elsewhere: what may go to a terminal, what may go into JSON, and where it can be cut. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "text.h"

static const struct {
	const char *name, *text;
	size_t utf8, shown;	/* lengths of the first character */
} rows[] = {
	{ "a letter", "a", 1, 1 },
	{ "a blank", " ", 1, 1 },
	{ "the last of ASCII that shows", "~", 1, 1 },
	{ "a line feed", "\n", 1, 0 },
	{ "escape", "\x1b[31m", 1, 0 },
	{ "delete", "\x7f", 1, 0 },
	{ "the first C1 control", "\xc2\x80", 2, 0 },
	{ "CSI in two bytes", "\xc2\x9b" "31m", 2, 0 },
	{ "the last C1 control", "\xc2\x9f", 2, 0 },
	{ "what follows them", "\xc2\xa0", 2, 2 },
	{ "CSI in one byte", "\x9b" "31m", 0, 0 },
	{ "two bytes", "\xc3\xa9", 2, 2 },
	{ "three bytes", "\xe6\x97\xa5", 3, 3 },
	{ "four bytes", "\xf0\x9f\x98\x80", 4, 4 },
	{ "the last character", "\xf4\x8f\xbf\xbf", 4, 4 },
	{ "beyond the last", "\xf4\x90\x80\x80", 0, 0 },
	{ "longer than need be, two", "\xc1\xbf", 0, 0 },
	{ "longer than need be, three", "\xe0\x9f\xbf", 0, 0 },
	{ "longer than need be, four", "\xf0\x8f\xbf\xbf", 0, 0 },
	{ "a surrogate", "\xed\xa0\x80", 0, 0 },
	{ "the last before surrogates", "\xed\x9f\xbf", 3, 3 },
	{ "cut by the end", "\xe6\x97", 0, 0 },
	{ "cut by a letter", "\xe6\x97z", 0, 0 },
	{ "no first byte", "\xff", 0, 0 },
};

Test(text, characters)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(mv_utf8_length(rows[i].text, SIZE_MAX), rows[i].utf8, "%s", rows[i].name);
		cr_expect_eq(mv_text_length(rows[i].text, SIZE_MAX), rows[i].shown, "%s", rows[i].name);
		if (rows[i].utf8 > 1)
			cr_expect_eq(mv_utf8_length(rows[i].text, rows[i].utf8 - 1), 0, "%s", rows[i].name);
	}
}

Test(text, what_does_not_show_becomes_question_marks)
{
	char text[] = "a\x1b[31m\xc2\x9b\xe6\x97\xa5\n\xff", good[] = "h\xc3\xb4te 1";

	cr_expect_not(mv_text_is_printable(text));
	cr_expect_str_eq(mv_text_printable(text), "a?[31m??\xe6\x97\xa5??");
	cr_expect(mv_text_is_printable(text));
	cr_expect_str_eq(mv_text_printable(good), "h\xc3\xb4te 1");
	cr_expect(mv_text_is_printable(""));
}

Test(text, is_cut_between_characters)
{
	static const char text[] = "a\xc3\xa9\xe6\x97\xa5";
	static const size_t fits[] = { 0, 1, 1, 3, 3, 3, 6, 6 };

	for (size_t max = 0; max < sizeof(fits) / sizeof(fits[0]); max++)
		cr_expect_eq(mv_text_fit(text, max), fits[max], "%zu", max);
}
