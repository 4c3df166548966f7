/* SPDX-License-Identifier: MIT */
/*
 * cpuid-probe: the probes of probes.def in any Linux, a KVM guest, a container or a bare machine.
 * Two facts about each feature: does CPUID show it, and does its instruction execute? The lines are
 * those of the bare-metal probe (../README.md), at CPL 3 alone; what the kernel keeps off is said.
 */
#include <cpuid.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "guest-tests/linux/rows.h"

/* UAPI, newer than some headers. */
#define ARCH_SET_CPUID 0x1012

enum { EXIT_USAGE = 2, EXIT_FOUND = 7 };

enum verdict { OK, LEAK, ENFORCED, ABSENT, BROKEN, BLOCKED, ABORT, SKIP, UNDECIDABLE, VERDICTS };
static const char *const verdict_names[VERDICTS] = {
	"OK", "LEAK", "ENFORCED", "ABSENT", "BROKEN", "BLOCKED", "ABORT", "SKIP", "UNDECIDABLE",
};

/* Seen to succeed on one machine and to fail on another. */
static const bool proven[MV_NFEATURES] = {
#define MV_PROVEN(id, ran, not) [MV_F_##id] = sizeof(ran) > 1 && sizeof(not) > 1,
#include "guest-tests/proven.def"
#undef MV_PROVEN
};

struct probe {
	bool shown, unproven;
	enum verdict verdict;
	char outcome[12];
};

struct machine {
	char vendor[13];
	unsigned family, model, stepping;
	struct utsname kernel;
	struct mv_row_controls controls;
	char flags[8192];	/* of /proc/cpuinfo, blanks around each; "" if unreadable */
	struct mv_row_result *results;
	struct probe *probes;	/* as many as rows */
	unsigned count[VERDICTS], unproven;
};

/* ---- what this machine is ---- */

static void identify(struct machine *m)
{
	uint32_t a, b, c, d, i;

	__cpuid(0, a, b, c, d);
	memcpy(m->vendor, &b, 4);
	memcpy(m->vendor + 4, &d, 4);
	memcpy(m->vendor + 8, &c, 4);
	for (i = 0; i < 12; i++)
		if (m->vendor[i] <= ' ' || m->vendor[i] > '~' || strchr("\"\\", m->vendor[i]))
			m->vendor[i] = '?';
	__cpuid(1, a, b, c, d);
	m->family = a >> 8 & 0xf;
	m->model = a >> 4 & 0xf;
	m->stepping = a & 0xf;
	if (m->family == 6 || m->family == 15)
		m->model |= a >> 12 & 0xf0;
	if (m->family == 15)
		m->family += a >> 20 & 0xff;
}

static void read_flags(struct machine *m)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[sizeof(m->flags)];

	while (f && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');

		if (colon && !strncmp(line, "flags", 5)) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(m->flags, sizeof(m->flags), "%s ", colon + 1);
			break;
		}
	}
	if (f)
		fclose(f);
}

/* Does the kernel list the feature? Where it has no name for it, nothing can be said: true. */
static bool listed(const struct machine *m, const struct mv_feature *f)
{
	const char *p = f->linux_name;

	if (!*p || !*m->flags)
		return true;
	while (*p) {
		size_t n = strcspn(p, " ");
		char word[48];

		snprintf(word, sizeof(word), " %.*s ", (int)n, p);
		if (strstr(m->flags, word))
			return true;
		p += n;
		p += strspn(p, " ");
	}
	return false;
}

/* ---- outcomes and verdicts ---- */

static void outcome_text(char *buf, size_t size, const struct mv_row_result *r)
{
	static const char names[22][4] = {
		"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "", "#TS",
		"#NP", "#SS", "#GP", "#PF", "",	   "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
	};

	switch ((enum mv_row_outcome)r->outcome) {
	case MV_ROW_RAN:
		snprintf(buf, size, "ran");
		break;
	case MV_ROW_ABORTED:
		snprintf(buf, size, "aborted");
		break;
	case MV_ROW_RESULT:
		snprintf(buf, size, "result");
		break;
	case MV_ROW_FAULTED:
		if (r->number < 22 && *names[r->number])
			snprintf(buf, size, "%s", names[r->number]);
		else
			snprintf(buf, size, "vector%u", r->number);
		break;
	case MV_ROW_DIED:
		snprintf(buf, size, "died");
		break;
	case MV_ROW_HUNG:
		snprintf(buf, size, "hung");
		break;
	case MV_ROW_UNTRIED:
		snprintf(buf, size, "skipped");
		break;
	}
}

static enum verdict judge(const struct machine *m, const struct mv_row *row,
			  const struct mv_row_result *r, bool shown)
{
	if (r->outcome == MV_ROW_UNTRIED || r->outcome == MV_ROW_DIED || r->outcome == MV_ROW_HUNG)
		return SKIP;
	if (row->flags & MV_P_HINT)
		return UNDECIDABLE;
	if (r->outcome == MV_ROW_ABORTED)
		return ABORT;
	if (r->outcome == MV_ROW_RAN)
		return shown ? OK : LEAK;
	if (shown)
		return mv_row_controls_allow(&m->controls, row->flags) ? BROKEN : BLOCKED;
	/* Nobody told what the hardware has: a hidden feature that faults counts as not there. */
	return ABSENT;
}

static bool name_equal(const char *a, const char *b)
{
	const struct mv_feature *f = mv_feature_by_name(a, strlen(a));

	return f && !strcmp(f->name, b);
}

static bool wanted(const struct mv_row *row, const char *only)
{
	return !(row->flags & MV_P_CPL0) &&
	       (!only || name_equal(only, mv_features[row->feature].name));
}

static void evaluate(struct machine *m, const char *only)
{
	for (size_t i = 0; i < mv_nrows; i++) {
		struct probe *p = &m->probes[i];

		if (!wanted(&mv_rows[i], only))
			continue;
		p->shown = mv_row_shown((enum mv_feature_id)mv_rows[i].feature);
		p->verdict = judge(m, &mv_rows[i], &m->results[i], p->shown);
		outcome_text(p->outcome, sizeof(p->outcome), &m->results[i]);
		m->count[p->verdict]++;
		p->unproven = p->verdict != UNDECIDABLE && !proven[mv_rows[i].feature];
		m->unproven += p->unproven;
	}
}

/* ---- what the kernel keeps off: a feature for each call, each once ---- */

enum kept { NOT_KEPT, BY_CONTROL, NOT_LISTED };

static enum kept kept_off(const struct machine *m, size_t i)
{
	const struct mv_row *row = &mv_rows[i];

	if (!m->probes[i].shown || (i && mv_rows[i - 1].feature == row->feature))
		return NOT_KEPT;
	if (!mv_row_controls_allow(&m->controls, row->flags))
		return BY_CONTROL;
	return listed(m, &mv_features[row->feature]) ? NOT_KEPT : NOT_LISTED;
}

static void print_kept(const struct machine *m, const char *only, enum kept how, const char *what)
{
	bool any = false;

	for (size_t i = 0; i < mv_nrows; i++) {
		if (!wanted(&mv_rows[i], only) || kept_off(m, i) != how)
			continue;
		printf("%s%s", any ? " " : what, mv_features[mv_rows[i].feature].name);
		any = true;
	}
	if (any)
		printf("\n");
}

/* ---- text ---- */

static void print_text(const struct machine *m, const char *only)
{
	printf("probe: minivmm-probe 1 vendor=%s family=%u model=%u stepping=%u vmm=linux\n",
	       m->vendor, m->family, m->model, m->stepping);
	printf("probe: linux %s xcr0=0x%llx\n", m->kernel.release,
	       (unsigned long long)m->controls.xcr0);
	for (size_t i = 0; i < mv_nrows; i++) {
		const struct mv_feature *f = &mv_features[mv_rows[i].feature];
		const struct probe *p = &m->probes[i];

		if (!wanted(&mv_rows[i], only))
			continue;
		printf("probe: %-19s 0x%08x.%u %s:%-2u cpl3 %-13s cpuid=%u host=- %-8s %s%s\n",
		       f->name, f->leaf, f->subleaf, mv_reg_name_lower(f->reg), f->bit,
		       mv_rows[i].mnemonic, p->shown, p->outcome, verdict_names[p->verdict],
		       p->unproven ? " unproven" : "");
		if (m->results[i].outcome == MV_ROW_DIED)
			printf("probe: %s ended its process (signal %u)\n", mv_rows[i].mnemonic,
			       m->results[i].number);
		if (m->results[i].outcome == MV_ROW_HUNG)
			printf("probe: %s did not come back and was ended\n", mv_rows[i].mnemonic);
	}
	print_kept(m, only, BY_CONTROL, "kernel: keeps off by XCR0 or CR4: ");
	print_kept(m, only, NOT_LISTED, "kernel: not in /proc/cpuinfo: ");
	printf("probe: summary ok=%u leak=%u enforced=%u absent=%u broken=%u blocked=%u skipped=%u "
	       "cpuid-diff=0 abort=%u undecidable=%u unproven=%u\n",
	       m->count[OK], m->count[LEAK], m->count[ENFORCED], m->count[ABSENT],
	       m->count[BROKEN], m->count[BLOCKED], m->count[SKIP], m->count[ABORT],
	       m->count[UNDECIDABLE], m->unproven);
}

/* ---- JSON: names and mnemonics hold nothing that has to be escaped ---- */

static void json_kept(const struct machine *m, const char *only, enum kept how, const char *member)
{
	const char *separator = "";

	printf("  \"%s\": [", member);
	for (size_t i = 0; i < mv_nrows; i++) {
		if (!wanted(&mv_rows[i], only) || kept_off(m, i) != how)
			continue;
		printf("%s\"%s\"", separator, mv_features[mv_rows[i].feature].name);
		separator = ", ";
	}
	printf("],\n");
}

static void print_json(const struct machine *m, const char *only)
{
	const char *separator = "";

	printf("{\n  \"vendor\": \"%s\", \"family\": %u, \"model\": %u, \"stepping\": %u,\n"
	       "  \"kernel\": \"%s\", \"xcr0\": \"0x%llx\",\n  \"probes\": [",
	       m->vendor, m->family, m->model, m->stepping, m->kernel.release,
	       (unsigned long long)m->controls.xcr0);
	for (size_t i = 0; i < mv_nrows; i++) {
		const struct mv_feature *f = &mv_features[mv_rows[i].feature];
		const struct probe *p = &m->probes[i];
		char sub[16] = "";

		if (!wanted(&mv_rows[i], only))
			continue;
		if (mv_leaf_has_subleaves(f->leaf))
			snprintf(sub, sizeof(sub), ".%u", f->subleaf);
		printf("%s\n    { \"feature\": \"%s\", \"cpuid\": \"0x%x%s %s:%u\", "
		       "\"instruction\": \"%s\", \"shown\": %s, \"cpl3\": \"%s\", "
		       "\"verdict\": \"%s\", \"proven\": %s }",
		       separator, f->name, f->leaf, sub, mv_reg_name(f->reg), f->bit,
		       mv_rows[i].mnemonic, p->shown ? "true" : "false", p->outcome,
		       verdict_names[p->verdict],
		       proven[mv_rows[i].feature] ? "true" : "false");
		separator = ",";
	}
	printf("\n  ],\n");
	json_kept(m, only, BY_CONTROL, "kept-off");
	json_kept(m, only, NOT_LISTED, "not-in-cpuinfo");
	printf("  \"summary\": { \"ok\": %u, \"leak\": %u, \"enforced\": %u, \"absent\": %u, "
	       "\"broken\": %u, \"blocked\": %u, \"skipped\": %u, \"abort\": %u, \"undecidable\": %u, "
	       "\"unproven\": %u }\n}\n",
	       m->count[OK], m->count[LEAK], m->count[ENFORCED], m->count[ABSENT],
	       m->count[BROKEN], m->count[BLOCKED], m->count[SKIP], m->count[ABORT],
	       m->count[UNDECIDABLE], m->unproven);
}

/* ---- command line ---- */

static const char usage[] =
	"usage: cpuid-probe [--only FEATURE] [--fail-on LIST] [--json]\n\n"
	"Run the instructions behind the CPUID bits and compare: OK (shown, runs),\n"
	"LEAK (hidden, runs), ABSENT (hidden, faults), BROKEN (shown, faults), BLOCKED\n"
	"(shown, and the kernel keeps it off).\n\n"
	"  --only FEATURE   this one feature\n"
	"  --fail-on LIST   exit 7 if a verdict occurs: leak, broken, blocked, enforced\n"
	"  --json           results as JSON\n\n"
	"Exit codes: 0 done, 1 it could not run, 2 wrong usage, 7 found what --fail-on names.\n";

/* A verdict of the list occurs: 1, none does: 0, the list holds something else: -1. */
static int occurs(const struct machine *m, const char *list)
{
	static const enum verdict known[] = { LEAK, BROKEN, BLOCKED, ENFORCED };
	int found = 0;

	while (*list) {
		size_t n = strcspn(list, ","), i = 0;

		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (strlen(verdict_names[known[i]]) == n &&
			    !strncasecmp(verdict_names[known[i]], list, n))
				break;
		if (i == sizeof(known) / sizeof(known[0]))
			return -1;
		found |= m->count[known[i]] != 0;
		list += n;
		list += *list == ',';
	}
	return found;
}

static int probe(struct machine *m, const char *only, const char *fail_on, bool json)
{
	int rc;

	/* Some parent may have made CPUID fault. */
	syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
	identify(m);
	uname(&m->kernel);
	read_flags(m);
	mv_row_controls_read(&m->controls);
	rc = mv_rows_run(m->results);
	if (rc) {
		fprintf(stderr, "cpuid-probe: no process for the probes: %s\n", strerror(-rc));
		return EXIT_FAILURE;
	}
	evaluate(m, only);
	if (json)
		print_json(m, only);
	else
		print_text(m, only);
	return occurs(m, fail_on) ? EXIT_FOUND : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "only", required_argument, NULL, 'o' },
		{ "fail-on", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	static struct machine m;
	const char *only = NULL, *fail_on = "";
	bool json = false;
	int key, code;

	while ((key = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (key) {
		case 'o': only = optarg; break;
		case 'f': fail_on = optarg; break;
		case 'j': json = true; break;
		case 'h': fputs(usage, stdout); return EXIT_SUCCESS;
		default: fputs(usage, stderr); return EXIT_USAGE;
		}
	}
	if (only && !mv_feature_by_name(only, strlen(only))) {
		fprintf(stderr, "cpuid-probe: no CPUID feature is called '%s'\n", only);
		return EXIT_USAGE;
	}
	if (optind < argc || occurs(&m, fail_on) < 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	m.results = calloc(mv_nrows, sizeof(*m.results));
	m.probes = calloc(mv_nrows, sizeof(*m.probes));
	if (!m.results || !m.probes) {
		fprintf(stderr, "cpuid-probe: out of memory\n");
		code = EXIT_FAILURE;
	} else {
		code = probe(&m, only, fail_on, json);
	}
	free(m.results);
	free(m.probes);
	return code;
}
