/* SPDX-License-Identifier: MIT */
/* Who goes where: the matrix of classes, clusters, drains and baselines. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fleet_impl.h"
#include "maskload.h"

static void set_bit(uint64_t *row, uint32_t i)
{
	row[i / 64] |= UINT64_C(1) << (i % 64);
}

static bool bit(const uint64_t *row, uint32_t i)
{
	return row[i / 64] >> (i % 64) & 1;
}

bool mv_fleet_accepts(const struct mv_fleet *f, uint32_t v, uint32_t h)
{
	return bit(f->accept + (size_t)v * f->words, h);
}

bool mv_fleet_moves(const struct mv_fleet *f, uint32_t a, uint32_t b)
{
	return bit(f->moves + (size_t)a * f->words, b);
}

uint32_t mv_fleet_elsewhere(const struct mv_fleet *f, uint32_t i)
{
	const struct mv_fleet_vm *vm = mv_fleet_vm(f, i);
	bool own = vm->home != MV_FLEET_NONE && mv_fleet_accepts(f, vm->cls, mv_fleet_host(f, vm->home)->cls);

	return mv_fleet_vclass(f, vm->cls)->accepted - own;
}

/* ---- the matrix, in packed words on all CPUs ---- */

#define MAX_THREADS 16
#define STEP 16		/* rows that a thread takes at a time */

struct matrix {
	struct mv_fleet *f;
	const struct mv_quick_host *hosts;
	const struct mv_quick_vm *const *vms;	/* NULL: not for here */
	uint32_t n;
	uint64_t *out;
	_Atomic uint32_t next, done;
};

static void *fill(void *ctx)
{
	struct matrix *m = ctx;
	const struct mv_fleet *f = m->f;

	for (;;) {
		uint32_t from = atomic_fetch_add(&m->next, STEP), to = from + STEP;

		if (from >= m->n)
			return NULL;
		to = to < m->n ? to : m->n;
		for (uint32_t i = from; i < to; i++)
			for (uint32_t h = 0; m->vms[i] && h < f->hclasses.n; h++)
				if (mv_quick_verdict(m->vms[i], &m->hosts[h]) == MV_QUICK_ACCEPT)
					set_bit(m->out + (size_t)i * f->words, h);
		atomic_fetch_add(&m->done, to - from);
	}
}

static void tell(const struct mv_fleet *f, const char *what, uint64_t done, uint64_t all)
{
	if (f->opts.progress)
		f->opts.progress(f->opts.ctx, what, done, all);
}

static void run_matrix(struct matrix *m, const char *what)
{
	pthread_t thread[MAX_THREADS];
	unsigned n = m->f->opts.threads, started = 0;

	if (!n)
		n = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	for (n = n < MAX_THREADS ? n : MAX_THREADS; started < n; started++)
		if (pthread_create(&thread[started], NULL, fill, m))
			break;
	if (!started)
		fill(m);
	/* Most fleets are done before anybody could look. */
	while (m->f->opts.progress && atomic_load(&m->done) < m->n) {
		tell(m->f, what, atomic_load(&m->done), m->n);
		usleep(20000);
	}
	for (unsigned i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	tell(m->f, what, m->n, m->n);
}

/* A row by the full verdict, for what doesn't fit the packed form. */
static int full_row(struct mv_fleet *f, const struct mv_policy *p, struct mv_verdict *v, uint64_t *row,
		    struct mv_err *err)
{
	for (uint32_t h = 0; h < f->hclasses.n; h++) {
		int rc = mv_verdict(v, p, mv_fleet_hclass(f, h)->host, &f->opts.verdict, err);

		if (rc)
			return rc;
		if (!v->refusals)
			set_bit(row, h);
	}
	return 0;
}

static int full_rows(struct mv_fleet *f, const struct mv_quick_vm *const *quick, uint32_t n, bool reference,
		     uint64_t *out, struct mv_err *err)
{
	struct mv_verdict *v = malloc(sizeof(*v));
	int rc = v ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");

	for (uint32_t i = 0; i < n && rc >= 0; i++) {
		if (quick[i] || (!reference && mv_fleet_vclass(f, i)->no_start))
			continue;
		rc = mv_fleet_policy(f, reference ? MV_FLEET_NONE : i, i, f->p, f->notes, err);
		if (rc == 0)
			rc = full_row(f, f->p, v, out + (size_t)i * f->words, err);
		tell(f, reference ? "hosts" : "VMs", i, n);
	}
	free(v);
	return rc < 0 ? rc : 0;
}

static int compare(struct mv_fleet *f, const struct mv_quick_vm *const *vms, uint32_t n, bool reference,
		   uint64_t *out, struct mv_err *err)
{
	struct matrix m = { .f = f, .vms = vms, .n = n, .out = out };
	struct mv_quick_host *hosts = calloc(f->hclasses.n ? f->hclasses.n : 1, sizeof(*hosts));

	if (!hosts)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	for (uint32_t h = 0; h < f->hclasses.n; h++)
		mv_quick_host_init(&hosts[h], f->layout, mv_fleet_hclass(f, h)->host);
	m.hosts = hosts;
	run_matrix(&m, reference ? "hosts" : "VMs");
	free(hosts);
	f->pairs += (uint64_t)n * f->hclasses.n;
	return full_rows(f, vms, n, reference, out, err);
}

/* Words behind the end of the layout that a VM was compiled with are zeros, so all get the last one. */
static void same_length(struct mv_fleet *f, struct mv_quick_vm *q)
{
	if (q)
		q->nwords = f->layout->n;
}

/* The reference VM started on each class; NULL where it can't start or does not fit. */
static struct mv_quick_vm **references(struct mv_fleet *f, bool **can_start, struct mv_err *err)
{
	uint32_t n = f->hclasses.n;
	struct mv_quick_vm **refs = calloc(n ? n : 1, sizeof(struct mv_quick_vm *));

	*can_start = calloc(n ? n : 1, sizeof(bool));
	for (uint32_t h = 0; refs && *can_start && h < n; h++) {
		int rc = mv_fleet_policy(f, MV_FLEET_NONE, h, f->p, f->notes, err);

		if (rc < 0) {
			while (h--)
				free(refs[h]);
			free(refs);
			return NULL;
		}
		(*can_start)[h] = rc == 0;
		refs[h] = mv_fleet_quick(f, f->p);
	}
	if (!refs || !*can_start) {
		mv_err_set(err, MV_E_FAILED, "out of memory");
		free(refs);
		return NULL;
	}
	return refs;
}

/* ---- clusters ---- */

/* Are all bits of a in b? */
static bool within(const uint64_t *a, const uint64_t *b, uint32_t words)
{
	for (uint32_t w = 0; w < words; w++)
		if (a[w] & ~b[w])
			return false;
	return true;
}

/* Each class joins the first cluster all of whose members exchange VMs with it, both ways. */
static int cluster(struct mv_fleet *f, struct mv_err *err)
{
	uint32_t n = f->hclasses.n;
	uint64_t *both = calloc(f->words + 1, sizeof(*both));
	struct mv_list members = { .size = (f->words + 1) * sizeof(uint64_t) };
	int rc = both ? 0 : -MV_E_FAILED;

	for (uint32_t h = 0; h < n && rc == 0; h++) {
		struct mv_fleet_hclass *c = &MV_LIST(f->hclasses, struct mv_fleet_hclass)[h];
		struct mv_fleet_cluster *k;
		uint32_t found = 0;

		memset(both, 0, f->words * sizeof(*both));
		for (uint32_t o = 0; o < h; o++)
			if (mv_fleet_moves(f, h, o) && mv_fleet_moves(f, o, h))
				set_bit(both, o);
		while (found < members.n &&
		       !within((uint64_t *)members.v + (size_t)found * (f->words + 1), both, f->words))
			found++;
		if (found == members.n && (!mv_list_add(&members) || !mv_list_add(&f->clusters))) {
			rc = -MV_E_FAILED;
			break;
		}
		set_bit((uint64_t *)members.v + (size_t)found * (f->words + 1), h);
		k = &MV_LIST(f->clusters, struct mv_fleet_cluster)[found];
		k->vendor = c->vendor;
		k->classes++;
		k->hosts += c->hosts;
		c->cluster = found;
	}
	free(both);
	free(members.v);
	return rc ? mv_err_set(err, MV_E_FAILED, "out of memory") : 0;
}

/* ---- drains ---- */

static void drains(struct mv_fleet *f)
{
	const struct mv_fleet_hclass *classes = f->hclasses.v;

	for (uint32_t v = 0; v < f->vclasses.n; v++) {
		struct mv_fleet_vclass *c = mv_fleet_vclass_rw(f, v);
		const uint64_t *row = f->accept + (size_t)v * f->words;

		for (uint32_t w = 0; w < f->words; w++)
			for (uint64_t set = row[w]; set; set &= set - 1)
				c->accepted += classes[w * 64 + (uint32_t)__builtin_ctzll(set)].hosts;
		if (c->accepted < f->hosts.n)
			f->refused += c->vms;
	}
	for (uint32_t i = 0; i < f->vms.n; i++) {
		uint32_t home = mv_fleet_vm(f, i)->home;

		if (mv_fleet_elsewhere(f, i))
			continue;
		f->stuck++;
		if (home != MV_FLEET_NONE)
			MV_LIST(f->hosts, struct mv_fleet_host)[home].stuck++;
	}
}

/* ---- baselines ---- */

/* VMs of the vendor that one of its hosts refuses: the baseline is for them, from their next start. */
static uint32_t in_need(const struct mv_fleet *f, const struct mv_fleet_baseline *b, uint64_t *all)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		set_bit(all, b->classes[i]);
	for (uint32_t v = 0; v < f->vclasses.n; v++) {
		const struct mv_fleet_vclass *c = mv_fleet_vclass(f, v);

		if (c->vendor == b->vendor && !within(all, f->accept + (size_t)v * f->words, f->words))
			n += c->vms;
	}
	return n;
}

static int baseline(struct mv_fleet *f, enum mv_vendor vendor, struct mv_err *err)
{
	struct mv_fleet_baseline *b = mv_list_add(&f->baselines);
	struct mv_mask_request req = { .guest_os = f->opts.guest_os, .vendor = vendor };
	uint32_t n = f->hclasses.n;
	uint64_t *all;
	int rc;

	if (!b)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	b->vendor = vendor;
	b->classes = calloc(n, sizeof(*b->classes));
	b->list = calloc(n, sizeof(*b->list));
	b->b = calloc(1, sizeof(*b->b));
	if (!b->classes || !b->list || !b->b)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	for (uint32_t h = 0; h < n; h++)
		if (mv_fleet_hclass(f, h)->vendor == vendor) {
			b->list[b->n] = mv_fleet_hclass(f, h)->host;
			b->classes[b->n++] = h;
			b->hosts += mv_fleet_hclass(f, h)->hosts;
		}
	b->offers = calloc(b->n, sizeof(*b->offers));
	if (!b->offers)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	rc = mv_masks_load(f->p, &req, err);
	if (rc == 0) {
		struct mv_err why = { 0 };

		/* A refusal is a result: b->refusals. */
		rc = mv_baseline(b->b, &f->p->final, b->list, b->n, b->offers, NULL, &why);
		rc = rc == -MV_E_REFUSED ? 0 : rc;
		if (rc && err)
			*err = why;
	}
	all = calloc(f->words + 1, sizeof(*all));
	if (!all)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	b->vms = in_need(f, b, all);
	free(all);
	return rc;
}

static int baselines(struct mv_fleet *f, struct mv_err *err)
{
	for (uint32_t h = 0; h < f->hclasses.n; h++) {
		enum mv_vendor vendor = mv_fleet_hclass(f, h)->vendor;
		uint32_t i = 0;

		while (i < f->baselines.n && mv_fleet_baseline(f, i)->vendor != vendor)
			i++;
		if (i == f->baselines.n) {
			tell(f, "baselines", h, f->hclasses.n);
			if (baseline(f, vendor, err))
				return -MV_E_FAILED;
		}
	}
	return 0;
}

/* ---- all of it ---- */

static int matrices(struct mv_fleet *f, struct mv_err *err)
{
	const struct mv_quick_vm **vms = calloc(f->vclasses.n ? f->vclasses.n : 1, sizeof(*vms));
	struct mv_quick_vm **refs = NULL;
	bool *can_start = NULL;
	int rc = vms ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");

	/* References first: they may lengthen the layout. */
	if (rc == 0) {
		refs = references(f, &can_start, err);
		rc = refs ? 0 : -MV_E_FAILED;
	}
	for (uint32_t h = 0; rc == 0 && h < f->hclasses.n; h++)
		same_length(f, refs[h]);
	for (uint32_t v = 0; rc == 0 && v < f->vclasses.n; v++) {
		same_length(f, mv_fleet_vclass_rw(f, v)->quick);
		vms[v] = mv_fleet_vclass(f, v)->quick;
	}
	if (rc == 0)
		rc = compare(f, vms, f->vclasses.n, false, f->accept, err);
	if (rc == 0)
		rc = compare(f, (const struct mv_quick_vm *const *)refs, f->hclasses.n, true, f->moves, err);
	for (uint32_t h = 0; refs && h < f->hclasses.n; h++) {
		if (rc == 0 && !can_start[h])
			memset(f->moves + (size_t)h * f->words, 0, f->words * sizeof(uint64_t));
		free(refs[h]);
	}
	free(refs);
	free(can_start);
	free(vms);
	return rc;
}

int mv_fleet_judge(struct mv_fleet *f, struct mv_err *err)
{
	int rc;

	f->words = (f->hclasses.n + 63) / 64;
	f->accept = calloc((size_t)f->vclasses.n * f->words + 1, sizeof(uint64_t));
	f->moves = calloc((size_t)f->hclasses.n * f->words + 1, sizeof(uint64_t));
	if (!f->accept || !f->moves)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	rc = matrices(f, err);
	if (rc == 0)
		rc = cluster(f, err);
	if (rc == 0) {
		drains(f);
		rc = baselines(f, err);
	}
	return rc;
}
