/* SPDX-License-Identifier: MIT */
/* Errors as data: the first one wins, nothing overflows, nobody has to pass one. */
#include <criterion/criterion.h>
#include <string.h>

#include "err.h"

Test(err, records_code_place_and_text)
{
	struct mv_err e = { 0 };

	cr_expect_eq(mv_err_at(&e, MV_E_INPUT, "a.mask", 3, 7, "no symbol '%c'", 'q'), -MV_E_INPUT);
	cr_expect_eq(e.code, MV_E_INPUT);
	cr_expect_str_eq(e.file, "a.mask");
	cr_expect_eq(e.line, 3);
	cr_expect_eq(e.col, 7);
	cr_expect_str_eq(e.msg, "no symbol 'q'");
	cr_expect_str_eq(e.hint, "");
}

Test(err, without_a_place)
{
	struct mv_err e = { 0 };

	cr_expect_eq(mv_err_set(&e, MV_E_HOST, "no %s", "/dev/kvm"), -MV_E_HOST);
	cr_expect_str_eq(e.msg, "no /dev/kvm");
	cr_expect_str_eq(e.file, "");
	cr_expect_eq(e.line, 0);
	cr_expect_eq(e.col, 0);
}

Test(err, the_first_error_wins_and_the_second_code_is_returned)
{
	struct mv_err e = { 0 };

	mv_err_set(&e, MV_E_FAILED, "first");
	cr_expect_eq(mv_err_at(&e, MV_E_GUEST, "f", 1, 1, "second"), -MV_E_GUEST);
	cr_expect_eq(e.code, MV_E_FAILED);
	cr_expect_str_eq(e.msg, "first");
	cr_expect_str_eq(e.file, "");
}

Test(err, the_first_hint_wins)
{
	struct mv_err e = { 0 };

	mv_err_set(&e, MV_E_FAILED, "x");
	mv_err_hint(&e, "try %d", 1);
	mv_err_hint(&e, "try %d", 2);
	cr_expect_str_eq(e.hint, "try 1");
}

Test(err, null_is_allowed)
{
	cr_expect_eq(mv_err_set(NULL, MV_E_USAGE, "x"), -MV_E_USAGE);
	cr_expect_eq(mv_err_at(NULL, MV_E_USAGE, "f", 1, 2, "x"), -MV_E_USAGE);
	mv_err_hint(NULL, "x");
}

Test(err, no_file_name)
{
	struct mv_err e = { 0 };

	mv_err_at(&e, MV_E_INPUT, NULL, 1, 1, "x");
	cr_expect_str_eq(e.file, "");
}

Test(err, long_texts_are_cut)
{
	static char big[4096];
	struct mv_err e = { 0 };

	memset(big, 'a', sizeof(big) - 1);
	mv_err_at(&e, MV_E_INPUT, big, 1, 1, "%s", big);
	mv_err_hint(&e, "%s", big);
	cr_expect_eq(strlen(e.file), sizeof(e.file) - 1);
	cr_expect_eq(strlen(e.msg), sizeof(e.msg) - 1);
	cr_expect_eq(strlen(e.hint), sizeof(e.hint) - 1);
}
