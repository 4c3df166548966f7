/* SPDX-License-Identifier: MIT */
/*
 * The comparator, rule by rule: each row is a VM's host and mask, a destination, and exactly the
 * mismatches that come of it. support.h has the notation.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "support.h"

struct row {
	const char *name;
	const char *src, *mask, *dst;
	const char *guide;	/* the mismatches under the guide's rule */
	const char *subset;	/* NULL: what the guide's rule leaves without '~' */
	bool cold;
	const char *ignore;
};

/* The text without the mismatches that end in '~'. */
static void without_tilde(char *out, const char *in)
{
	char copy[4096], *save, *prefix = NULL;

	*out = '\0';
	cr_assert_lt(strlen(in), sizeof(copy));
	strcpy(copy, in);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		bool place = strchr(w, '.') && *w >= '0' && *w <= '9';

		if (!place && prefix)	/* the rule before had no place */
			sprintf(out + strlen(out), "%s%s", *out ? " " : "", prefix);
		prefix = place ? NULL : prefix;
		if (!place) {
			prefix = w;
			continue;
		}
		if (w[strlen(w) - 1] == '~')
			continue;
		sprintf(out + strlen(out), "%s%s %s", *out ? " " : "", "symbol", w);
	}
	if (prefix)
		sprintf(out + strlen(out), "%s%s", *out ? " " : "", prefix);
}
