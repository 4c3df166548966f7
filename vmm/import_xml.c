/* SPDX-License-Identifier: MIT */
/* libvirt's <cpudata>: <cpuid eax_in= ecx_in= eax= ebx= ecx= edx=/> and <msr index= edx= eax=/>. */
#include <string.h>

#include "import_dump.h"
#include "xml.h"

/* "0x…" of at most 32 bits. 1 = there, 0 = not there, -1 = unreadable. */
static int number(const struct mv_xml *x, const char *name, uint32_t *out)
{
	size_t len;
	const char *p = mv_xml_attr(x, name, &len), *end;
	uint64_t v = 0;

	if (!p)
		return 0;
	end = p + len;
	if (len < 3 || len > 10 || p[0] != '0' || p[1] != 'x')
		return -1;
	for (p += 2; p < end; p++) {
		const char *digits = "0123456789abcdef";
		const char *digit = strchr(digits, *p >= 'A' && *p <= 'F' ? *p | 0x20 : *p);

		if (!*p || !digit)
			return -1;
		v = v << 4 | (uint64_t)(digit - digits);
	}
	*out = (uint32_t)v;
	return 1;
}

/* All of these; the error names the first that is not there or not a number. */
static bool numbers(struct mv_xml *x, const char *const *names, unsigned n, uint32_t *out)
{
	for (unsigned i = 0; i < n; i++) {
		int rc = number(x, names[i], &out[i]);

		if (rc > 0)
			continue;
		mv_xml_bad(x, "attribute %s%s", names[i],
			   rc ? ": not a number of 32 bits like 0x1f" : " is missing");
		return false;
	}
	return true;
}

static void cpuid(struct mv_dump *d, struct mv_xml *x)
{
	static const char *const names[] = { "eax_in", "eax", "ebx", "ecx", "edx" };
	uint32_t v[5], subleaf = 0;

	if (!numbers(x, names, 5, v))
		return;
	/* Files from before libvirt knew subleaves have none. */
	if (number(x, "ecx_in", &subleaf) < 0) {
		mv_xml_bad(x, "attribute ecx_in: not a number of 32 bits like 0x1f");
		return;
	}
	d->line = mv_xml_line(x);
	mv_xml_stop(x, mv_dump_leaf(d, v[0], subleaf, v + 1));
}

static void msr(struct mv_dump *d, struct mv_xml *x)
{
	static const char *const names[] = { "index", "eax", "edx" };
	uint32_t v[3];

	if (numbers(x, names, 3, v))
		mv_dump_msr(d, v[0], (uint64_t)v[2] << 32 | v[1]);
}

static void root(struct mv_dump *d, struct mv_xml *x, const char *name)
{
	size_t len;
	const char *arch = mv_xml_attr(x, "arch", &len);

	if (strcmp(name, "cpudata")) {
		mv_xml_bad(x, "<%s>, not libvirt's <cpudata>", name);
		mv_err_hint(d->err, "libvirt's other descriptions name features, they have no "
			    "registers");
	} else if (arch && (len != 3 || memcmp(arch, "x86", 3))) {
		mv_xml_bad(x, "<cpudata> of another architecture than x86");
	} else {
		mv_dump_format(d, "libvirt cpudata");
		d->prints_zeros = d->one_cpu = true;
	}
}

static void start(void *ctx, struct mv_xml *x, unsigned depth, const char *name)
{
	struct mv_dump *d = ctx;

	if (depth == 1)
		root(d, x, name);
	else if (depth == 2 && !strcmp(name, "cpuid"))
		cpuid(d, x);
	else if (depth == 2 && !strcmp(name, "msr"))
		msr(d, x);
	else
		mv_xml_bad(x, "<%s> is not expected here", name);
}

int mv_import_xml(struct mv_dump *d, const char *text, size_t len)
{
	static const struct mv_xml_handler handler = { .start = start };

	return mv_xml_read(d->file, text, len, &handler, d, d->err);
}
