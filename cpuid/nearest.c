/* SPDX-License-Identifier: MIT */
/* What somebody may have meant who wrote a feature's name that is none. */
#include <string.h>

#include "feature.h"

#define LONGEST 32
#define MOST 4	/* names told */

static char fold(char c)
{
	if (c >= 'a' && c <= 'z')
		return (char)(c - 'a' + 'A');
	return c == '-' || c == '.' ? '_' : c;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many letters have to be changed, added or left out to make one of the other. */
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned row[LONGEST + 1], diagonal, above;

	for (size_t j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			above = row[j];
			row[j] = least(least(above, row[j - 1]) + 1,
				       diagonal + (fold(a[i - 1]) != fold(b[j - 1])));
			diagonal = above;
		}
	}
	return row[nb];
}

/* To the nearest of the feature's names. */
static unsigned feature_distance(const struct mv_feature *f, const char *name, size_t len)
{
	const char *const lists[] = { f->name, f->linux_name, f->qemu_name, f->xen_name, f->vmware_name };
	unsigned nearest = LONGEST;
	size_t n;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		for (const char *p = lists[i]; *p; p += n + (p[n] == ' ')) {
			n = strcspn(p, " ");
			if (n && n <= LONGEST)
				nearest = least(nearest, distance(name, len, p, n));
		}
	}
	return nearest;
}

static void append(char *to, size_t size, const char *name)
{
	size_t len = strlen(to), n = strlen(name);

	if (len + n + 3 > size)
		return;
	memcpy(to + len, len ? ", " : "", len ? 3 : 1);
	memcpy(to + len + (len ? 2 : 0), name, n + 1);
}

void mv_feature_hint(struct mv_err *err, const char *name, size_t len)
{
	unsigned limit = len > 6 ? 2 : 1, d;
	char names[128] = "";
	unsigned n = 0;

	if (!len || len > LONGEST)
		return;
	for (size_t i = 0; i < MV_NFEATURES; i++) {
		d = feature_distance(&mv_features[i], name, len);
		if (d > limit)
			continue;
		if (d < limit) {
			limit = d;
			n = 0;
			names[0] = '\0';
		}
		if (n++ < MOST)
			append(names, sizeof(names), mv_features[i].name);
	}
	if (n && !limit)
		mv_err_hint(err, "systems differ in which bit has that name: %s", names);
	else if (n)
		mv_err_hint(err, "perhaps %s", names);
}
