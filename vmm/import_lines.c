/* SPDX-License-Identifier: MIT */
/*
 * Dumps of one leaf a line: cpuid -r, kcpuid -r, AIDA64 and libcpuid, xen-cpuid -p, our own probe
 * guest. The first line that one of the grammars knows decides which of them the file is; a later
 * line that begins like a leaf and does not end like one is an error, any other is someone's prose.
 */
#include <stdlib.h>
#include <string.h>

#include "import_dump.h"

#define MAX_LINE 65536

/* What a line was. */
enum seen {
	SEEN_NOTHING,	/* none of this format's business */
	SEEN_IT,
	SEEN_END,	/* nothing after it belongs to the dump */
	SEEN_BAD,	/* an error is recorded */
};

struct reader {
	struct mv_dump *d;
	bool known;		/* the format is decided */
	bool headed;		/* there was a heading like cpuid's */
	uint32_t leaf;		/* kcpuid: whose subleaves follow */
	bool leaf_known;
	bool dashes_end;	/* libcpuid: a dashed line ends the dump */
	unsigned rank;		/* xen-cpuid: of the policy being read; 0 = none yet */
	bool skip;		/* xen-cpuid: this policy is not wanted */
	uint32_t split;		/* probe: leaves that differ between privilege levels */
};

/* ---- words of a line ---- */

static void blanks(const char **p)
{
	while (**p == ' ' || **p == '\t')
		++*p;
}

/* The word itself, in either case; p moves behind it. */
static bool word(const char **p, const char *want)
{
	const char *s = *p;

	for (; *want; s++, want++) {
		char c = *s >= 'A' && *s <= 'Z' ? (char)(*s | 0x20) : *s;

		if (c != *want)
			return false;
	}
	*p = s;
	return true;
}

static bool starts(const char *p, const char *want)
{
	return word(&p, want);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A hexadecimal number of min to max digits and no more. */
static bool hex(const char **p, unsigned min, unsigned max, uint64_t *out)
{
	const char *s = *p;
	uint64_t v = 0;
	unsigned n = 0;

	for (; hex_digit(*s) >= 0 && n < max; s++, n++)
		v = v << 4 | (unsigned)hex_digit(*s);
	if (n < min || hex_digit(*s) >= 0)
		return false;
	*p = s;
	*out = v;
	return true;
}

static bool hex32(const char **p, unsigned min, uint32_t *out)
{
	uint64_t v;

	if (!hex(p, min, 8, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool ox_hex32(const char **p, uint32_t *out)
{
	return word(p, "0x") && hex32(p, 1, out);
}

static bool decimal(const char **p, uint32_t *out)
{
	const char *s = *p;
	uint32_t v = 0;

	for (; *s >= '0' && *s <= '9' && v < 100000000; s++)
		v = v * 10 + (uint32_t)(*s - '0');
	if (s == *p || (*s >= '0' && *s <= '9'))
		return false;
	*p = s;
	*out = v;
	return true;
}

static bool at_end(const char *p)
{
	blanks(&p);
	return *p == '\0';
}

/* "eax=0x00000001 ebx=...": in either case, with commas or without, to the end of the line. */
static bool named_registers(const char *p, uint32_t reg[MV_NREGS])
{
	static const char *const names[] = { "eax=", "ebx=", "ecx=", "edx=" };

	for (unsigned r = 0; r < MV_NREGS; r++) {
		blanks(&p);
		if (!word(&p, names[r]) || !ox_hex32(&p, &reg[r]))
			return false;
		if (*p == ',')
			p++;
	}
	return at_end(p);
}

static enum seen bad(struct reader *r, const char *what)
{
	mv_dump_bad(r->d, "%s", what);
	return SEEN_BAD;
}

static enum seen take(struct reader *r, uint32_t leaf, uint32_t subleaf, const uint32_t *reg)
{
	return mv_dump_leaf(r->d, leaf, subleaf, reg) ? SEEN_BAD : SEEN_IT;
}

static enum seen another_cpu(struct reader *r, uint32_t id)
{
	return mv_dump_cpu(r->d, id) ? SEEN_BAD : SEEN_IT;
}

/* ---- cpuid -r, and kcpuid -r, which is much like it ---- */

/* "CPU:" or "CPU 3:" alone on its line; tools that write leaves as AIDA64 does have it, too */
static bool cpuid_heading(const char *p, uint32_t *id)
{
	*id = MV_DUMP_NO_ID;
	if (!word(&p, "cpu"))
		return false;
	if (*p == ' ') {
		p++;
		if (!decimal(&p, id))
			return false;
	}
	return *p++ == ':' && at_end(p);
}

/* "   0x00000004 0x01: eax=0x... ebx=... ecx=... edx=..."; very old versions tell no subleaf */
static enum seen cpuid_line(struct reader *r, const char *p)
{
	uint32_t leaf, subleaf = MV_DUMP_NEXT, reg[MV_NREGS];

	blanks(&p);
	if (!starts(p, "0x"))
		return SEEN_NOTHING;
	if (ox_hex32(&p, &leaf) &&
	    (*p == ':' || (blanks(&p), ox_hex32(&p, &subleaf))) && *p++ == ':' &&
	    named_registers(p, reg))
		return take(r, leaf, subleaf, reg);
	return r->known ? bad(r, "not \"0xLEAF 0xSUBLEAF: eax=0x... ebx=0x... ecx=0x... "
				 "edx=0x...\"")
			: SEEN_NOTHING;
}

/* "0x00000004: subleafs:" then " 0: EAX=0x..., EBX=..."; or "0x00000001: EAX=..." */
static enum seen kcpuid_line(struct reader *r, const char *p)
{
	uint32_t leaf, subleaf, reg[MV_NREGS];

	blanks(&p);
	if (starts(p, "0x")) {
		r->leaf_known = false;
		if (ox_hex32(&p, &leaf) && *p++ == ':') {
			if (named_registers(p, reg))
				return take(r, leaf, 0, reg);
			blanks(&p);
			if (word(&p, "subleafs:") && at_end(p)) {
				r->leaf = leaf;
				r->leaf_known = true;
				return SEEN_IT;
			}
		}
		return r->known ? bad(r, "not \"0xLEAF: subleafs:\" or \"0xLEAF: EAX=0x..., ...\"")
				: SEEN_NOTHING;
	}
	if (!r->known || !decimal(&p, &subleaf) || *p++ != ':')
		return SEEN_NOTHING;
	if (!r->leaf_known)
		return bad(r, "a subleaf without its leaf");
	if (!named_registers(p, reg))
		return bad(r, "not \"SUBLEAF: EAX=0x..., EBX=0x..., ECX=0x..., EDX=0x...\"");
	return take(r, r->leaf, subleaf, reg);
}

/* ---- AIDA64, InstLatx64, libcpuid ---- */

static bool find_number_after(const char *line, const char *mark, uint32_t *out)
{
	const char *p = strstr(line, mark);

	if (!p)
		return false;
	p += strlen(mark);
	return decimal(&p, out);
}

/*
 * "------[ CPUID Registers / Logical CPU #0 ]------", "------[ Logical CPU #0 ]------",
 * "____ Logical CPU #0 ____", "CPUID Registers (CPU #1):", "CPU#000 AffMask: 0x1"
 */
static bool aida_heading(const char *line, uint32_t *id)
{
	const char *p = line;

	if (strstr(line, "MSR Registers"))
		return false;
	if ((*line == '-' || *line == '_') && find_number_after(line, "Logical CPU #", id))
		return true;
	if (find_number_after(line, "CPUID Registers (CPU #", id))
		return true;
	return word(&p, "cpu#") && decimal(&p, id) && strstr(p, "AffMask");
}

static bool four_groups(const char **p, uint32_t reg[MV_NREGS])
{
	for (unsigned r = 0; r < MV_NREGS; r++) {
		if (r) {
			const char *s = *p;

			while (**p == '-' || **p == ' ' || **p == '\t')
				++*p;
			if (*p == s)
				return false;
		}
		if (!hex32(p, 8, &reg[r]))
			return false;
	}
	return true;
}

/* " [SL 0A]", two hexadecimal digits; anything else there is a remark */
static bool aida_subleaf(const char *p, uint32_t *subleaf)
{
	uint64_t v;

	*subleaf = MV_DUMP_NEXT;
	blanks(&p);
	if (!word(&p, "[sl "))
		return true;
	if (!hex(&p, 1, 4, &v) || *p != ']')
		return false;
	*subleaf = (uint32_t)v;
	return true;
}

/* "MSR 0000010A: hhhh-hhhh-hhhh-hhhh"; many could not be read */
static enum seen aida_msr(struct reader *r, const char *p)
{
	uint32_t index;
	uint64_t value = 0, part;

	blanks(&p);
	if (!hex32(&p, 8, &index))
		return SEEN_NOTHING;
	while (*p == ' ' || *p == '\t' || *p == ':')
		p++;
	for (unsigned i = 0; i < 4; i++) {
		if (i && *p++ != '-')
			return SEEN_NOTHING;
		if (!hex(&p, 4, 4, &part))
			return SEEN_NOTHING;
		value = value << 16 | part;
	}
	mv_dump_msr(r->d, index, value);
	return SEEN_IT;
}

/* "basic_cpuid[7]=00000000 00000000 00000000 00000000" */
static enum seen libcpuid_array(struct reader *r, const char *p)
{
	static const struct {
		const char *name;
		uint32_t leaf;
		bool subleaves;		/* the index is one; else it counts leaves */
	} arrays[] = {
		{ "basic_cpuid[", 0, false }, { "ext_cpuid[", 0x80000000, false },
		{ "intel_fn4[", 0x4, true }, { "intel_fn11[", 0xb, true },
		{ "intel_fn12h[", 0x12, true }, { "intel_fn14h[", 0x14, true },
		{ "amd_fn8000001dh[", 0x8000001d, true }, { "amd_fn80000026h[", 0x80000026, true },
	};
	uint32_t i, reg[MV_NREGS];

	for (size_t a = 0; a < sizeof(arrays) / sizeof(arrays[0]); a++) {
		if (!word(&p, arrays[a].name))
			continue;
		if (!decimal(&p, &i) || i > 0xffff || !word(&p, "]="))
			return bad(r, "not NAME[number]=");
		if (!four_groups(&p, reg) || !at_end(p))
			return bad(r, "not four registers of 8 hexadecimal digits");
		r->dashes_end = true;
		mv_dump_format(r->d, "libcpuid");
		if (arrays[a].subleaves)
			return take(r, arrays[a].leaf, i, reg);
		return take(r, arrays[a].leaf + i, 0, reg);
	}
	return SEEN_NOTHING;
}

/* The line between libcpuid's dump and what it expects from it. */
static bool dashes(const char *p)
{
	size_t n = strspn(p, "-");

	return n >= 60 && at_end(p + n);
}

static enum seen aida_line(struct reader *r, const char *line)
{
	uint32_t leaf, subleaf, reg[MV_NREGS], id;
	const char *p = line;

	if (aida_heading(line, &id))
		return another_cpu(r, id);
	blanks(&p);
	if (word(&p, "msr ") || word(&p, "msr\t"))
		return r->known ? aida_msr(r, p) : SEEN_NOTHING;
	if (r->known && dashes(p)) {
		mv_dump_format(r->d, "libcpuid");
		return SEEN_END;
	}
	if (!word(&p, "cpuid"))
		return libcpuid_array(r, p);
	if (*p != ' ' && *p != '\t')
		return SEEN_NOTHING;
	blanks(&p);
	if (!hex32(&p, 8, &leaf))
		return r->known && *p >= '0' && *p <= '9'
			       ? bad(r, "not a leaf of 8 hexadecimal digits") : SEEN_NOTHING;
	while (*p == ' ' || *p == '\t' || *p == ':')
		p++;
	if (!four_groups(&p, reg))
		return bad(r, "not four registers of 8 hexadecimal digits");
	if (!aida_subleaf(p, &subleaf))
		return bad(r, "not a subleaf: [SL nn] expected");
	return take(r, leaf, subleaf, reg);
}

/* ---- xen-cpuid -p ---- */

/* Which of the policies in a file: what the CPU says, else what Xen uses, else the first. */
static unsigned policy_rank(const char *name)
{
	if (word(&name, "raw "))
		return 3;
	return word(&name, "host ") ? 2 : 1;
}

/* "Raw policy: 37 leaves, 2 MSRs" */
static enum seen xen_policy(struct reader *r, const char *line, const char *end)
{
	unsigned rank = policy_rank(line);

	r->skip = rank <= r->rank;
	if (r->rank)
		mv_dump_note(r->d, MV_IMPORT_IGNORED, r->d->line, "another policy, %.*s, was %s",
			     (int)(end - line), line, r->skip ? "not used" : "used instead");
	if (r->skip)
		return SEEN_IT;
	r->rank = rank;
	mv_dump_restart(r->d);
	if (rank == 1)
		mv_dump_note(r->d, MV_IMPORT_VM, r->d->line, "%.*s policy: what Xen lets guests "
			     "have, not what the CPU has", (int)(end - line), line);
	return SEEN_IT;
}

/* "  00000004:00000001 -> a:b:c:d" or, an MSR, "  0000010a -> 16 digits" */
static enum seen xen_line(struct reader *r, const char *line)
{
	const char *p = strstr(line, " policy: "), *start = line;
	uint32_t first, subleaf = 0, reg[MV_NREGS];
	uint64_t value;
	bool is_leaf;

	if (p && strstr(p, " leaves, "))
		return xen_policy(r, line, p);
	if (!r->rank)
		return SEEN_NOTHING;
	blanks(&start);
	if (!hex32(&start, 8, &first))
		return strstr(start, "->") && hex_digit(*start) >= 0 && !starts(start, "leaf")
			       ? bad(r, "not LEAF:SUBLEAF -> registers") : SEEN_NOTHING;
	is_leaf = *start == ':';
	if (is_leaf && (start++, !hex32(&start, 8, &subleaf)))
		return bad(r, "not LEAF:SUBLEAF");
	blanks(&start);
	if (!word(&start, "->"))
		return bad(r, "not LEAF:SUBLEAF -> registers");
	if (r->skip)
		return SEEN_IT;
	blanks(&start);
	if (!is_leaf) {
		if (!hex(&start, 16, 16, &value) || !at_end(start))
			return bad(r, "not an MSR of 16 hexadecimal digits");
		mv_dump_msr(r->d, first, value);
		return SEEN_IT;
	}
	for (unsigned i = 0; i < MV_NREGS; i++)
		if ((i && *start++ != ':') || !hex32(&start, 8, &reg[i]))
			return bad(r, "not four registers of 8 hexadecimal digits");
	return take(r, first, subleaf == 0xffffffff ? 0 : subleaf, reg);
}

/* ---- our probe guest ---- */

/*
 * "cpuid: 0x00000001 0x00 eax=..."; with cpl0 or cpl3 in front where the levels disagree: CPL 3 is
 * then the one that sees the hardware.
 */
static enum seen probe_line(struct reader *r, const char *p)
{
	uint32_t leaf, subleaf, reg[MV_NREGS];
	bool cpl0 = false;

	if (!word(&p, "cpuid: "))
		return SEEN_NOTHING;
	if (word(&p, "cpl0 "))
		cpl0 = true;
	else
		r->split += word(&p, "cpl3 ");
	if (!ox_hex32(&p, &leaf) || !word(&p, " ") || !ox_hex32(&p, &subleaf) ||
	    !named_registers(p, reg))
		return bad(r, "not a leaf, a subleaf and four registers");
	return cpl0 ? SEEN_IT : take(r, leaf, subleaf, reg);
}

/* ---- all of them ---- */

static const struct grammar {
	const char *name;
	enum seen (*line)(struct reader *r, const char *line);
	bool prints_zeros, one_cpu;
} grammars[] = {
	{ "AIDA64", aida_line, true, false },
	{ "minivmm probe", probe_line, false, false },
	{ "xen-cpuid -p", xen_line, false, true },
	{ "cpuid -r", cpuid_line, true, false },
	{ "kcpuid -r", kcpuid_line, false, true },
};
#define NGRAMMARS (sizeof(grammars) / sizeof(grammars[0]))

/* "0x00000000: EAX=" could be either; kcpuid alone writes capitals and commas. */
static bool is_kcpuid(const char *line)
{
	return strstr(line, ": EAX=") || strstr(line, ": subleafs:");
}

static enum seen first_line(struct reader *r, const char *line, const struct grammar **which)
{
	for (size_t i = 0; i < NGRAMMARS; i++) {
		const struct grammar *g = &grammars[i];
		enum seen seen;

		if (g->line == cpuid_line && is_kcpuid(line))
			continue;
		seen = g->line(r, line);
		if (seen == SEEN_NOTHING)
			continue;
		*which = g;
		if (!r->d->report->format[0])
			mv_dump_format(r->d, g->name);
		r->d->prints_zeros = g->prints_zeros;
		r->d->one_cpu = g->one_cpu;
		r->known = true;
		return seen;
	}
	return SEEN_NOTHING;
}

static int one_line(struct reader *r, const char *text, size_t len, char *line,
		    const struct grammar **g, bool *end)
{
	enum seen seen;
	uint32_t id;

	if (len >= MAX_LINE)
		return mv_dump_bad(r->d, "a line of more than %d bytes", MAX_LINE - 1);
	if (len && text[len - 1] == '\r')
		len--;
	memcpy(line, text, len);
	line[len] = '\0';
	if (cpuid_heading(line, &id)) {
		r->headed = true;
		seen = another_cpu(r, id);
	} else {
		seen = *g ? (*g)->line(r, line) : first_line(r, line, g);
	}
	*end = seen == SEEN_END;
	return seen == SEEN_BAD ? -MV_E_INPUT : 0;
}

int mv_import_lines(struct mv_dump *d, const char *text, size_t len)
{
	const struct grammar *g = NULL;
	char *line = malloc(MAX_LINE);
	struct reader r = { .d = d };
	const char *end = text + len;
	bool ended = false;
	int rc = line ? 0 : mv_err_set(d->err, MV_E_FAILED, "out of memory");

	while (text < end && rc == 0 && !ended) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = nl ? (size_t)(nl - text) : (size_t)(end - text);

		d->line++;
		rc = one_line(&r, text, n, line, &g, &ended);
		text += n + (nl != NULL);
	}
	if (rc == 0 && !g && r.headed)
		mv_dump_format(d, "cpuid -r");
	if (rc == 0 && r.split)
		mv_dump_note(d, MV_IMPORT_IGNORED, 0, "%u leaves differ between privilege levels: "
			     "what CPL 3 saw was used", r.split);
	free(line);
	return rc;
}
