/* SPDX-License-Identifier: MIT */
/* What minivmm probe finds, predicts, reads back, compares and shows: rows of one result. */
#ifndef MV_CLI_PROBE_H
#define MV_CLI_PROBE_H

#include "launch.h"
#include "predict.h"

#define MV_PROBE_ROWS 512
#define MV_PROBE_RESULTS 64	/* columns of a page */

struct mv_probe_row {
	char feature[24], cpuid[24], instruction[24], verdict[12];
	char outcome[2][12];	/* at CPL 0 and CPL 3; "" if it was not tried there */
	bool shown, unproven;	/* unproven: guest-tests/proven.def */
	char host;		/* the bit in the host's CPUID: '0', '1', '-' if nobody told */
	char why[64];		/* of a prediction */
};

struct mv_probe_result {
	char host[64], kernel[128], masks[256], intercept[16];
	char kind[8];		/* "vmx" or "svm"; "" if unknown */
	bool predicted;
	unsigned n;
	struct mv_probe_row row[MV_PROBE_ROWS];
};

/* ---- results as JSON (probe_json.c) ---- */

/* Who ran where, under which masks; the rows are the caller's. */
void mv_probe_describe(struct mv_probe_result *r, const struct mv_launch *l,
		       const struct mv_host *h);
struct json_object *mv_probe_to_json(const struct mv_probe_result *r);
/* What mv_probe_to_json or cpuid-probe --json wrote. -MV_E_INPUT names file and reason. */
int mv_probe_read(struct mv_probe_result *r, const char *file, struct mv_err *err);

/* "0x7.0 EBX:5", as the guide writes it. */
void mv_probe_position(char *buf, size_t size, uint32_t leaf, uint32_t subleaf, const char *reg,
		       unsigned bit);
const struct mv_probe_row *mv_probe_find(const struct mv_probe_result *r, const char *feature,
					 const char *instruction);

/* ---- for people (probe_table.c, probe_html.c) ---- */

/* "SSE", "AVX-512", "Control registers" …: the families in the order in which they are shown. */
extern const char *const mv_probe_families[];	/* ends with NULL */
const char *mv_probe_family(const char *feature);

/* Tables on standard output, grouped by family, in colour on a terminal. */
void mv_probe_print(const struct mv_probe_result *r);
/* What differs between two results, a line each; how many that are. */
unsigned mv_probe_print_diff(const struct mv_probe_result *a, const struct mv_probe_result *b);
struct json_object *mv_probe_diff_json(const struct mv_probe_result *a,
				       const struct mv_probe_result *b, unsigned *n);
unsigned mv_probe_count(const struct mv_probe_result *r, const char *verdict);

/* One self-contained page with a column for each of n results, called names[i]. */
int mv_probe_html(const char *file, const struct mv_probe_result *const *r,
		  const char *const *names, size_t n, struct mv_err *err);

/* ---- prediction (probe_predict.c) ---- */

/*
 * What the probe guest would find under l's masks on the host of that file, or on this one if it is
 * NULL; kind: "vmx", "svm", or NULL for what the host's vendor makes. MV_EXIT_REFUSED after
 * printing why the guest would not start.
 */
int mv_probe_predict(struct mv_probe_result *r, const struct mv_launch *l, const char *host_file,
		     const char *kind, const char *only, struct mv_err *err);

#endif
