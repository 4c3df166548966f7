/* SPDX-License-Identifier: MIT */
/* Who is in the fleet: hosts and VMs by name, folded into classes as they come. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fleet_impl.h"
#include "maskload.h"
#include "snapshot.h"

/* ---- making and freeing ---- */

struct recipe_row {
	struct mv_fleet_recipe recipe;
	uint32_t cls, gain, home;
};

struct mv_fleet *mv_fleet_new(const struct mv_fleet_opts *opts)
{
	struct mv_fleet *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->opts = *opts;
	f->hosts.size = sizeof(struct mv_fleet_host);
	f->hclasses.size = sizeof(struct mv_fleet_hclass);
	f->vms.size = sizeof(struct mv_fleet_vm);
	f->vclasses.size = sizeof(struct mv_fleet_vclass);
	f->problems.size = sizeof(struct mv_fleet_problem);
	f->gains.size = sizeof(struct mv_featset);
	f->clusters.size = sizeof(struct mv_fleet_cluster);
	f->baselines.size = sizeof(struct mv_fleet_baseline);
	f->recipes.size = sizeof(struct recipe_row);
	f->host_key_bytes.size = sizeof(XXH128_hash_t);
	f->all_scale = true;
	f->full = opts->verdict.mode != MV_VERDICT_GUIDE || opts->verdict.cold || opts->verdict.ignore;
	f->layout = calloc(1, sizeof(*f->layout));
	f->p = calloc(1, sizeof(*f->p));
	f->notes = calloc(1, sizeof(*f->notes));
	if (!f->layout || !f->p || !f->notes || mv_fleet_put_text(f, "", 0) == MV_FLEET_NONE) {
		mv_fleet_free(f);
		return NULL;
	}
	return f;
}

void mv_fleet_free(struct mv_fleet *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; i < f->hclasses.n; i++)
		free(MV_LIST(f->hclasses, struct mv_fleet_hclass)[i].host);
	for (uint32_t i = 0; i < f->vclasses.n; i++)
		free(MV_LIST(f->vclasses, struct mv_fleet_vclass)[i].quick);
	for (uint32_t i = 0; i < f->baselines.n; i++) {
		struct mv_fleet_baseline *b = &MV_LIST(f->baselines, struct mv_fleet_baseline)[i];

		free(b->classes);
		free(b->offers);
		free(b->list);
		free(b->b);
	}
	for (unsigned i = 0; i < MV_FLEET_MASKS; i++)
		free(f->masks[i]);
	for (struct mv_list *l = &f->hosts; l <= &f->recipes; l++)
		free(l->v);
	for (struct mv_index *x = &f->texts; x <= &f->recipe_keys; x++) {
		free(x->slot);
		free(x->hash);
	}
	free(f->host_key_bytes.v);
	free(f->text);
	free(f->layout);
	free(f->p);
	free(f->notes);
	free(f->accept);
	free(f->moves);
	free(f);
}

/* ---- hosts ---- */

/* The bits of a register that no verdict looks at: they follow the CPU, the VM or tell people. */
static uint32_t idle_bits(uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	uint32_t idle = mv_volatile_bits(leaf, subleaf, reg);

	for (unsigned bit = 0; bit < 32; bit++) {
		const struct mv_feature *f = mv_feature_at(leaf, subleaf, reg, bit);
		const struct mv_field *d = mv_field_at(leaf, subleaf, reg, bit);

		if ((f && mv_feature_computed(f)) ||
		    (d && (d->rule == MV_FR_TOPOLOGY || d->rule == MV_FR_PERCPU ||
			   d->rule == MV_FR_DYNAMIC || d->rule == MV_FR_INFO)))
			idle |= UINT32_C(1) << bit;
	}
	return idle;
}

/* idle_bits, kept: 10,000 hosts ask for the same few hundred registers. */
static const uint32_t *idle_leaf(uint32_t leaf, uint32_t subleaf)
{
	static struct {
		uint32_t leaf, subleaf, idle[MV_NREGS];
		bool used;
	} kept[4096];
	uint32_t i = (leaf * 31 + subleaf * 7 + (leaf >> 28) * 101) & 4095;

	for (uint32_t n = 0; n < 4096 && kept[i].used; n++, i = (i + 1) & 4095)
		if (kept[i].leaf == leaf && kept[i].subleaf == subleaf)
			return kept[i].idle;
	/* A full table (no CPU has so many leaves) reuses whatever is there. */
	kept[i].leaf = leaf;
	kept[i].subleaf = subleaf;
	kept[i].used = true;
	for (unsigned r = 0; r < MV_NREGS; r++)
		kept[i].idle[r] = idle_bits(leaf, subleaf, r);
	return kept[i].idle;
}

/* The table in order, without idle bits and entries of zeros, which read like none. */
static void normal_table(struct mv_table *t)
{
	uint32_t n = 0;

	mv_table_sort(t);
	for (uint32_t i = 0; i < t->n; i++) {
		const uint32_t *idle = idle_leaf(t->e[i].leaf, t->e[i].subleaf);
		uint32_t any = 0;

		for (unsigned r = 0; r < MV_NREGS; r++)
			any |= t->e[i].reg[r] &= ~idle[r];
		if (any)
			t->e[n++] = t->e[i];
	}
	memset(&t->e[n], 0, (MV_TABLE_MAX - n) * sizeof(t->e[0]));
	t->n = n;
}

/*
 * A host in 128 bits, without what no verdict looks at. Everything else counts: what is added to
 * struct mv_host one day splits classes at worst, and never makes one of two hosts that differ.
 */
static XXH128_hash_t host_key(const struct mv_host *h)
{
	struct mv_host k;

	memcpy(&k, h, sizeof(k));
	memset(k.name, 0, sizeof(k.name));
	memset(k.kernel, 0, sizeof(k.kernel));
	memset(k.source, 0, sizeof(k.source));
	memset(k.machine, 0, sizeof(k.machine));
	memset(k.boot, 0, sizeof(k.boot));
	k.microcode = 0;
	if (k.tsc_scaling)
		k.tsc_khz = 0;
	memset(k.msrs, 0, sizeof(k.msrs));
	for (uint32_t i = 0; i < k.nmsrs; i++) {
		k.msrs[i].index = h->msrs[i].index;	/* without the padding between */
		k.msrs[i].value = h->msrs[i].value;
	}
	normal_table(&k.raw);
	normal_table(&k.kvm);
	return XXH3_128bits(&k, sizeof(k));
}

static bool same_key(const struct mv_fleet *f, uint32_t number, const void *key)
{
	return XXH128_isEqual(MV_LIST(f->host_key_bytes, XXH128_hash_t)[number],
			      *(const XXH128_hash_t *)key);
}

static bool same_host_name(const struct mv_fleet *f, uint32_t number, const void *key)
{
	return !strcmp(mv_fleet_text(f, MV_LIST(f->hosts, struct mv_fleet_host)[number].name), key);
}

uint32_t mv_fleet_find_host(const struct mv_fleet *f, const char *name)
{
	return mv_index_find(f, &f->host_names, XXH3_64bits(name, strlen(name)), same_host_name, name);
}

/* The class of hosts like h, made if it is the first one. */
static uint32_t host_class(struct mv_fleet *f, const struct mv_host *h)
{
	XXH128_hash_t key = host_key(h);
	uint32_t cls = mv_index_find(f, &f->host_keys, key.low64, same_key, &key);
	struct mv_fleet_hclass *c;
	XXH128_hash_t *k;

	if (cls != MV_FLEET_NONE)
		return cls;
	c = mv_list_add(&f->hclasses);
	k = c ? mv_list_add(&f->host_key_bytes) : NULL;
	if (!k)
		return MV_FLEET_NONE;
	*k = key;
	c->host = malloc(sizeof(*c->host));
	if (!c->host || !mv_index_add(&f->host_keys, key.low64, f->hclasses.n - 1))
		return MV_FLEET_NONE;
	*c->host = *h;
	c->first = f->hosts.n;
	c->vendor = mv_table_vendor(&h->raw);
	return f->hclasses.n - 1;
}

int mv_fleet_add_host(struct mv_fleet *f, const char *name, const char *path, const struct mv_host *h,
		      struct mv_err *err)
{
	uint32_t cls, twin = mv_fleet_find_host(f, name);
	struct mv_fleet_host *o;

	if (twin != MV_FLEET_NONE)
		return mv_err_at(err, MV_E_INPUT, path, 0, 0, "another host is called '%.100s', too: %s", name,
				 mv_fleet_text(f, mv_fleet_host(f, twin)->path));
	cls = host_class(f, h);
	o = cls != MV_FLEET_NONE ? mv_list_add(&f->hosts) : NULL;
	if (!o || !mv_index_add(&f->host_names, XXH3_64bits(name, strlen(name)), f->hosts.n - 1))
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	o->name = mv_fleet_keep(f, name);
	o->path = mv_fleet_keep(f, path);
	o->own_name = mv_fleet_keep(f, h->name);
	o->cls = cls;
	o->assumed = h->assumed;
	o->tsc_khz = h->tsc_khz;
	f->all_scale &= h->tsc_scaling || !h->tsc_khz;
	MV_LIST(f->hclasses, struct mv_fleet_hclass)[cls].hosts++;
	return 0;
}

/* ---- VMs ---- */

static bool same_recipe(const struct mv_fleet *f, uint32_t number, const void *key)
{
	return !memcmp(&MV_LIST(f->recipes, struct recipe_row)[number].recipe, key,
		       sizeof(struct mv_fleet_recipe));
}

static bool same_vm_name(const struct mv_fleet *f, uint32_t number, const void *key)
{
	return !strcmp(mv_fleet_text(f, MV_LIST(f->vms, struct mv_fleet_vm)[number].name), key);
}

/* The masks of a recipe, merged; from what is kept, or read. */
static int final_masks(struct mv_fleet *f, const struct mv_fleet_recipe *r, struct mv_policy *p,
		       struct mv_err *err)
{
	struct mv_fleet_recipe key = { .guest_os = r->guest_os, .default_mask = r->default_mask,
				       .baseline = r->baseline, .overrides = r->overrides };
	enum mv_vendor vendor = mv_table_vendor(&p->source.raw);
	struct mv_mask_request req = {
		.guest_os = mv_fleet_text(f, r->guest_os),
		.default_mask = mv_fleet_text(f, r->default_mask),
		.baseline = mv_fleet_text(f, r->baseline),
		.vendor = vendor,
	};
	const char *paths[MV_MASK_FILES];
	unsigned oldest = 0;
	char *list = NULL, *save = NULL;
	struct mv_fleet_masks *m;
	int rc;

	for (unsigned i = 0; i < MV_FLEET_MASKS; i++) {
		m = f->masks[i];
		if (m && m->vendor == vendor && !memcmp(&m->key, &key, sizeof(key))) {
			p->final = m->final;
			p->files = m->files;
			memcpy(p->guest_os, m->guest_os, sizeof(p->guest_os));
			m->used = ++f->clock;
			return 0;
		}
		if (!m || (f->masks[oldest] && m->used < f->masks[oldest]->used))
			oldest = i;
	}
	if (r->overrides != MV_FLEET_NONE) {
		list = strdup(mv_fleet_text(f, r->overrides));
		for (char *s = list ? strtok_r(list, "\n", &save) : NULL; s && req.noverrides < MV_MASK_FILES;
		     s = strtok_r(NULL, "\n", &save))
			paths[req.noverrides++] = s;
	}
	req.overrides = paths;
	rc = mv_masks_load(p, &req, err);
	free(list);
	if (rc)
		return rc;
	m = f->masks[oldest] ? f->masks[oldest] : malloc(sizeof(*m));
	f->masks[oldest] = m;
	if (m) {
		*m = (struct mv_fleet_masks){ .key = key, .vendor = vendor, .final = p->final,
					      .files = p->files, .used = ++f->clock };
		memcpy(m->guest_os, p->guest_os, sizeof(m->guest_os));
	}
	return 0;
}

static int from_snapshot(const char *path, struct mv_policy *p, struct mv_err *err)
{
	struct mv_static *st = calloc(1, sizeof(*st));
	struct mv_snapshot *snap;
	int rc = st ? mv_snapshot_open(&snap, path, st, err)
		    : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0) {
		*p = st->policy;
		mv_snapshot_close(snap);
	}
	free(st);
	return rc;
}

/* The policy of that recipe; MV_E_REFUSED if its host would not start it. */
static int cook(struct mv_fleet *f, const struct mv_fleet_recipe *r, struct mv_policy *p,
		struct mv_notes *notes, struct mv_err *err)
{
	int rc;

	notes->n = notes->refusals = 0;
	if (r->snapshot != MV_FLEET_NONE)
		return from_snapshot(mv_fleet_text(f, r->snapshot), p, err);
	p->ignored[0] = '\0';
	if (r->host_file != MV_FLEET_NONE)
		rc = f->opts.load_host(&p->source, mv_fleet_text(f, r->host_file), err);
	else
		rc = 0, p->source = *mv_fleet_hclass(f, r->home)->host;
	if (r->tsc_khz)
		p->source.tsc_khz = r->tsc_khz;
	mv_policy_not_started(p);
	if (rc == 0)
		rc = final_masks(f, r, p, err);
	if (rc == 0)
		rc = mv_apply(p, r->ncpus, notes, err);
	return rc ? rc : notes->refusals ? MV_E_REFUSED : 0;
}

int mv_fleet_policy(struct mv_fleet *f, uint32_t v, uint32_t home, struct mv_policy *p,
		    struct mv_notes *notes, struct mv_err *err)
{
	struct mv_fleet_recipe reference = {
		.snapshot = MV_FLEET_NONE, .host_file = MV_FLEET_NONE, .home = home,
		.guest_os = f->opts.guest_os ? mv_fleet_keep(f, f->opts.guest_os) : MV_FLEET_NONE,
		.default_mask = MV_FLEET_NONE, .baseline = MV_FLEET_NONE, .overrides = MV_FLEET_NONE,
		.ncpus = 1,
	};

	return cook(f, v == MV_FLEET_NONE ? &reference : &mv_fleet_vclass(f, v)->recipe, p, notes, err);
}

/* Compiled; NULL if only the full verdict can tell. */
struct mv_quick_vm *mv_fleet_quick(struct mv_fleet *f, const struct mv_policy *p)
{
	struct mv_quick_vm *q;

	if (f->full)
		return NULL;
	if (mv_quick_layout_add(f->layout, p)) {
		f->full = true;
		return NULL;
	}
	q = malloc(sizeof(*q));
	if (!q)
		return NULL;
	mv_quick_vm_init(q, f->layout, p);
	if (f->all_scale)
		q->tsc_khz = 0;
	if (q->unsure) {
		free(q);
		return NULL;
	}
	/* Words behind the layout's end are zeros: a VM is the same under a longer one. */
	q->nwords = 0;
	return q;
}

static bool same_quick(const struct mv_fleet *f, uint32_t number, const void *key)
{
	const struct mv_fleet_vclass *c = mv_fleet_vclass(f, number);

	/* Whole objects were zeroed before they were filled. */
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
	return c->quick && !memcmp(c->quick, key, sizeof(*c->quick));
}

/* The class of VMs that ask what the policy asks; a new one if none is known to. */
static uint32_t vm_class(struct mv_fleet *f, const struct mv_fleet_recipe *r, bool no_start)
{
	struct mv_quick_vm *q = no_start ? NULL : mv_fleet_quick(f, f->p);
	uint64_t hash = q ? XXH3_64bits(q, sizeof(*q)) : 0;
	uint32_t cls = q ? mv_index_find(f, &f->vm_keys, hash, same_quick, q) : MV_FLEET_NONE;
	struct mv_fleet_vclass *c;

	if (cls != MV_FLEET_NONE) {
		free(q);
		return cls;
	}
	c = mv_list_add(&f->vclasses);
	if (!c)
		return MV_FLEET_NONE;
	c->recipe = *r;
	c->quick = q;
	c->first = f->vms.n;
	c->vendor = mv_table_vendor(&f->p->source.raw);
	c->no_start = no_start;
	if (q && !mv_index_add(&f->vm_keys, hash, f->vclasses.n - 1))
		return MV_FLEET_NONE;
	return f->vclasses.n - 1;
}

/* What the VM would see after a power cycle on its host of today, and does not see now. */
static uint32_t gain(struct mv_fleet *f, const struct mv_fleet_recipe *r, uint32_t home)
{
	const struct mv_host *now;
	struct mv_featset set = { { 0 } }, *kept;
	struct mv_table before = f->p->guest;
	struct mv_err err = { 0 };
	XXH128_hash_t key;
	bool any = false;

	if (home == MV_FLEET_NONE || (r->snapshot == MV_FLEET_NONE && r->host_file == MV_FLEET_NONE))
		return MV_FLEET_NONE;
	key = host_key(&f->p->source);
	if (same_key(f, mv_fleet_host(f, home)->cls, &key))
		return MV_FLEET_NONE;
	now = mv_fleet_hclass(f, mv_fleet_host(f, home)->cls)->host;
	f->p->source = *now;
	if (mv_apply(f->p, r->ncpus ? r->ncpus : 1, f->notes, &err))
		return MV_FLEET_NONE;
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (!mv_feature_computed(&mv_features[i]) && mv_table_has(&f->p->guest, (enum mv_feature_id)i) &&
		    !mv_table_has(&before, (enum mv_feature_id)i)) {
			mv_featset_add(&set, (enum mv_feature_id)i);
			any = true;
		}
	for (uint32_t i = 0; any && i < f->gains.n; i++)
		if (!memcmp(mv_fleet_gain(f, i), &set, sizeof(set)))
			return i;
	kept = any ? mv_list_add(&f->gains) : NULL;
	if (!kept)
		return MV_FLEET_NONE;
	*kept = set;
	return f->gains.n - 1;
}

/* The host that a snapshot was taken on: by its file's name, or by what it calls itself. */
static uint32_t source_host(const struct mv_fleet *f, const char *name)
{
	uint32_t h = mv_fleet_find_host(f, name);

	for (uint32_t i = 0; h == MV_FLEET_NONE && i < f->hosts.n; i++)
		if (!strcmp(mv_fleet_text(f, mv_fleet_host(f, i)->own_name), name))
			h = i;
	return h;
}

int mv_fleet_add_vm(struct mv_fleet *f, const char *name, uint32_t home,
		    const struct mv_fleet_recipe *recipe, struct mv_err *err)
{
	uint64_t name_hash = XXH3_64bits(name, strlen(name)), hash;
	struct mv_fleet_recipe r = *recipe;
	struct recipe_row *row;
	struct mv_fleet_vm *vm;
	uint32_t at;
	int rc;

	if (mv_index_find(f, &f->vm_names, name_hash, same_vm_name, name) != MV_FLEET_NONE)
		return mv_err_set(err, MV_E_INPUT, "another VM is called '%.100s', too", name);
	r.tsc_khz = r.snapshot == MV_FLEET_NONE && r.host_file == MV_FLEET_NONE && !f->all_scale &&
				    home != MV_FLEET_NONE
			    ? mv_fleet_host(f, home)->tsc_khz
			    : 0;
	hash = XXH3_64bits(&r, sizeof(r));
	at = mv_index_find(f, &f->recipe_keys, hash, same_recipe, &r);
	if (at == MV_FLEET_NONE) {
		uint32_t cls;

		rc = cook(f, &r, f->p, f->notes, err);
		if (rc < 0)
			return rc;
		cls = vm_class(f, &r, rc > 0);
		if (r.snapshot != MV_FLEET_NONE && home == MV_FLEET_NONE)
			home = source_host(f, f->p->source.name);
		row = cls != MV_FLEET_NONE ? mv_list_add(&f->recipes) : NULL;
		if (!row || !mv_index_add(&f->recipe_keys, hash, f->recipes.n - 1))
			return mv_err_set(err, MV_E_FAILED, "out of memory");
		at = f->recipes.n - 1;
		*row = (struct recipe_row){ .recipe = r, .cls = cls, .home = home,
					    .gain = rc ? MV_FLEET_NONE : gain(f, &r, home) };
	}
	row = &MV_LIST(f->recipes, struct recipe_row)[at];
	if (home == MV_FLEET_NONE)
		home = row->home;
	vm = mv_list_add(&f->vms);
	if (!vm || !mv_index_add(&f->vm_names, name_hash, f->vms.n - 1))
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	/* Names are unique: no need to look for the same text. */
	*vm = (struct mv_fleet_vm){ .name = mv_fleet_put_text(f, name, strlen(name)), .home = home,
				    .cls = row->cls, .gain = row->gain };
	if (vm->name == MV_FLEET_NONE)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	mv_fleet_vclass_rw(f, row->cls)->vms++;
	if (home != MV_FLEET_NONE)
		MV_LIST(f->hosts, struct mv_fleet_host)[home].vms++;
	return 0;
}

int mv_fleet_problem(struct mv_fleet *f, const char *path, uint32_t line, const struct mv_err *err)
{
	struct mv_fleet_problem *p = mv_list_add(&f->problems);
	char text[900], where[300] = "";

	if (!p)
		return -MV_E_FAILED;
	/* What a line describes has no place of its own: it is another file that has. */
	if (line)
		mv_err_place(where, sizeof(where), err);
	snprintf(text, sizeof(text), "%s%s%s", where, *where ? " " : "", err->msg);
	*p = (struct mv_fleet_problem){ .path = mv_fleet_keep(f, path), .line = line ? line : err->line,
					.text = mv_fleet_keep(f, text), .hint = mv_fleet_keep(f, err->hint),
					.code = err->code };
	return 0;
}

void mv_fleet_reading(const struct mv_fleet *f, uint64_t done, uint64_t all)
{
	if (f->opts.progress)
		f->opts.progress(f->opts.ctx, "reading", done, all);
}
