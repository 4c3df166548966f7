/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 512	/* leaves and subleaves told apart; what comes after is counted together */

enum { AT_CPL0, AT_CPL3, AT_OTHER, NLEVELS };
static const char *const level_name[NLEVELS] = { "cpl0", "cpl3", "unknown" };

struct row {
	uint32_t leaf, subleaf;
	uint64_t n[NLEVELS];
};

struct mv_trace {
	const struct mv_policy *policy;
	struct mv_trace_kernel *kernel;
	pthread_mutex_t lock;
	FILE *f;		/* NULL: only counting */
	char path[256];
	uint64_t total, lost, others;
	uint32_t nrows;
	struct row row[ROWS];	/* ascending */
};

int mv_trace_open(struct mv_trace **out, const char *path, const struct mv_policy *p,
		  struct mv_err *err)
{
	struct mv_trace *t = calloc(1, sizeof(*t));
	int rc = 0;

	*out = NULL;
	if (!t)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	t->policy = p;
	pthread_mutex_init(&t->lock, NULL);
	snprintf(t->path, sizeof(t->path), "%s", path);
	if (p->intercept == MV_INTERCEPTION_KERNEL || p->intercept == MV_INTERCEPTION_NONE)
		rc = mv_trace_kernel_open(&t->kernel, t, err);
	if (rc == 0 && strcmp(path, "-")) {
		t->f = fopen(path, "we");
		if (!t->f)
			rc = mv_err_at(err, MV_E_FAILED, path, 0, 0, "%s", strerror(errno));
	}
	if (rc)
		mv_trace_close(t);
	else
		*out = t;
	return rc;
}

static void print_words(FILE *f, const char *name, const uint32_t v[MV_NREGS])
{
	fprintf(f, ",\"%s\":[\"0x%08x\",\"0x%08x\",\"0x%08x\",\"0x%08x\"]", name, v[MV_EAX],
		v[MV_EBX], v[MV_ECX], v[MV_EDX]);
}

/* The symbols that made what was served of what the hardware has. */
static void print_mask(FILE *f, const struct mv_policy *p, uint32_t leaf, uint32_t subleaf)
{
	fputs(",\"mask\":[", f);
	for (unsigned r = 0; r < MV_NREGS; r++) {
		const struct mv_mask_reg *m = mv_mask_find(&p->effective, leaf, subleaf, r);
		char text[MV_MASK_TEXT];

		if (m)
			mv_mask_reg_format(m, text);
		fprintf(f, m ? "%s\"%s\"" : "%snull", r ? "," : "", text);
	}
	fputc(']', f);
}

static void print_event(const struct mv_trace *t, const struct mv_trace_event *e, uint32_t subleaf)
{
	uint32_t hardware[MV_NREGS];

	__cpuid_count(e->leaf, e->subleaf, hardware[MV_EAX], hardware[MV_EBX], hardware[MV_ECX],
		      hardware[MV_EDX]);
	fprintf(t->f, "{\"by\":\"%s\",\"cpu\":%u", t->kernel ? "tracepoint" : "trap", e->cpu);
	if (e->has_rip)
		fprintf(t->f, ",\"rip\":\"0x%llx\"", (unsigned long long)e->rip);
	else
		fputs(",\"rip\":null", t->f);
	if (e->cpl >= 0)
		fprintf(t->f, ",\"cpl\":%d", e->cpl);
	else
		fputs(",\"cpl\":null", t->f);
	fprintf(t->f, ",\"leaf\":\"0x%x\",\"subleaf\":\"0x%x\"", e->leaf, e->subleaf);
	print_words(t->f, "hardware", hardware);
	print_mask(t->f, t->policy, e->leaf, subleaf);
	print_words(t->f, "served", e->served);
	fputs("}\n", t->f);
}

static struct row *find_row(struct mv_trace *t, uint32_t leaf, uint32_t subleaf)
{
	uint32_t i = t->nrows;

	while (i > 0 && (t->row[i - 1].leaf > leaf ||
			 (t->row[i - 1].leaf == leaf && t->row[i - 1].subleaf > subleaf)))
		i--;
	if (i > 0 && t->row[i - 1].leaf == leaf && t->row[i - 1].subleaf == subleaf)
		return &t->row[i - 1];
	if (t->nrows == ROWS)
		return NULL;
	memmove(&t->row[i + 1], &t->row[i], (t->nrows - i) * sizeof(t->row[0]));
	t->nrows++;
	t->row[i] = (struct row){ .leaf = leaf, .subleaf = subleaf };
	return &t->row[i];
}

void mv_trace_record(struct mv_trace *t, const struct mv_trace_event *e)
{
	/* ECX is what happened to be there, where the leaf does not look at it. */
	uint32_t subleaf = mv_leaf_has_subleaves(e->leaf) ? e->subleaf : 0;
	struct row *row;

	pthread_mutex_lock(&t->lock);
	t->total++;
	row = find_row(t, e->leaf, subleaf);
	if (row)
		row->n[e->cpl == 0 ? AT_CPL0 : e->cpl == 3 ? AT_CPL3 : AT_OTHER]++;
	else
		t->others++;
	if (t->f)
		print_event(t, e, subleaf);
	pthread_mutex_unlock(&t->lock);
}

int mv_trace_stop(struct mv_trace *t, struct mv_err *err)
{
	int rc = 0;

	t->lost += mv_trace_kernel_close(t->kernel);
	t->kernel = NULL;
	if (t->f && (ferror(t->f) | fclose(t->f)))
		rc = mv_err_at(err, MV_E_FAILED, t->path, 0, 0, "the trace is incomplete: %s",
			       errno ? strerror(errno) : "it could not be written");
	t->f = NULL;
	if (rc == 0 && t->lost)
		rc = mv_err_set(err, MV_E_FAILED, "the trace is incomplete: the kernel lost %llu records",
				(unsigned long long)t->lost);
	return rc;
}

void mv_trace_summary(const struct mv_trace *t, FILE *f)
{
	fprintf(f, "CPUID asked %llu times\n", (unsigned long long)t->total);
	if (!t->total)
		return;
	fprintf(f, "%-14s %10s %10s %10s\n", "LEAF", "CPL 0", "CPL 3", "NOT KNOWN");
	for (uint32_t i = 0; i < t->nrows; i++) {
		const struct row *r = &t->row[i];
		char leaf[32];

		snprintf(leaf, sizeof(leaf), mv_leaf_has_subleaves(r->leaf) ? "0x%x.%x" : "0x%x",
			 r->leaf, r->subleaf);
		fprintf(f, "%-14s %10llu %10llu %10llu\n", leaf, (unsigned long long)r->n[AT_CPL0],
			(unsigned long long)r->n[AT_CPL3], (unsigned long long)r->n[AT_OTHER]);
	}
	if (t->others)
		fprintf(f, "%-14s %llu\n", "others", (unsigned long long)t->others);
}

struct json_object *mv_trace_summary_json(const struct mv_trace *t)
{
	struct json_object *o = json_object_new_object(), *rows = json_object_new_array();

	json_object_object_add(o, "total", json_object_new_int64((int64_t)t->total));
	json_object_object_add(o, "lost", json_object_new_int64((int64_t)t->lost));
	for (uint32_t i = 0; i < t->nrows; i++) {
		struct json_object *row = json_object_new_object();
		char text[16];

		snprintf(text, sizeof(text), "0x%x", t->row[i].leaf);
		json_object_object_add(row, "leaf", json_object_new_string(text));
		snprintf(text, sizeof(text), "0x%x", t->row[i].subleaf);
		json_object_object_add(row, "subleaf", json_object_new_string(text));
		for (unsigned l = 0; l < NLEVELS; l++)
			json_object_object_add(row, level_name[l],
					       json_object_new_int64((int64_t)t->row[i].n[l]));
		json_object_array_add(rows, row);
	}
	json_object_object_add(o, "leaves", rows);
	if (t->others)
		json_object_object_add(o, "others", json_object_new_int64((int64_t)t->others));
	return o;
}

void mv_trace_close(struct mv_trace *t)
{
	if (!t)
		return;
	mv_trace_kernel_close(t->kernel);
	if (t->f)
		fclose(t->f);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
