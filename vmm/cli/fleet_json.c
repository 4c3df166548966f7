/* SPDX-License-Identifier: MIT */
/* A fleet as JSON: classes of hosts and VMs with their members, each refused pair with its reasons. */
#include <stdlib.h>

#include "fleet_out.h"

static struct json_object *string(const char *s)
{
	return json_object_new_string(s);
}

static struct json_object *number(uint64_t n)
{
	return json_object_new_int64((int64_t)n);
}

static void add(struct json_object *o, const char *key, struct json_object *v)
{
	json_object_object_add(o, key, v);
}

/* ---- the parts ---- */

static struct json_object *hosts(const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	struct json_object *all = json_object_new_array();

	for (uint32_t i = 0; i < s->hosts; i++) {
		const struct mv_fleet_host *h = mv_fleet_host(f, i);
		struct json_object *o = json_object_new_object();

		add(o, "host", string(mv_fleet_text(f, h->name)));
		add(o, "class", number(h->cls));
		add(o, "cluster", number(mv_fleet_hclass(f, h->cls)->cluster));
		add(o, "assumed", json_object_new_boolean(h->assumed));
		add(o, "vms", number(h->vms));
		add(o, "blocks-drain", number(h->stuck));
		json_object_array_add(all, o);
	}
	return all;
}

static struct json_object *host_classes(const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	struct json_object *all = json_object_new_array();

	for (uint32_t i = 0; i < s->hclasses; i++) {
		const struct mv_fleet_hclass *c = mv_fleet_hclass(f, i);
		struct json_object *o = json_object_new_object(), *to = json_object_new_array();
		char brand[49];
		const char *b = brand;

		mv_table_brand_string(&c->host->raw, brand);
		while (*b == ' ')
			b++;
		for (uint32_t k = 0; k < s->hclasses; k++)
			if (mv_fleet_moves(f, i, k))
				json_object_array_add(to, number(k));
		add(o, "vendor", string(mv_fleet_vendor_name(c->vendor)));
		add(o, "brand", string(b));
		add(o, "hosts", number(c->hosts));
		add(o, "moves-to", to);
		json_object_array_add(all, o);
	}
	return all;
}

/* The refused classes, with reasons while they are few enough. */
static int refused(struct mv_fleet *f, uint32_t v, const struct mv_fleet_size *s, bool explain,
		   struct json_object *list, struct mv_verdict *room, struct mv_policy *p,
		   struct mv_notes *notes, struct mv_err *err)
{
	int rc = explain ? mv_fleet_policy(f, v, 0, p, notes, err) : 0;

	if (rc < 0)
		return rc;
	for (uint32_t h = 0; h < s->hclasses; h++) {
		struct json_object *o;

		if (mv_fleet_accepts(f, v, h))
			continue;
		o = json_object_new_object();
		add(o, "class", number(h));
		if (explain)
			add(o, "reasons", rc ? mv_fleet_why_not(p, notes) : mv_fleet_why(f, p, h, room));
		json_object_array_add(list, o);
	}
	return 0;
}

static int vm_classes(struct mv_fleet *f, const struct mv_fleet_size *s, struct json_object *all,
		      bool explain, struct mv_err *err)
{
	struct mv_policy *p = calloc(1, sizeof(*p));
	struct mv_notes *notes = calloc(1, sizeof(*notes));
	struct mv_verdict *room = malloc(sizeof(*room));
	int rc = p && notes && room ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");

	for (uint32_t v = 0; v < s->vclasses && rc == 0; v++) {
		const struct mv_fleet_vclass *c = mv_fleet_vclass(f, v);
		struct json_object *o = json_object_new_object(), *no = json_object_new_array();
		struct json_object *yes = json_object_new_array();

		for (uint32_t h = 0; h < s->hclasses; h++)
			if (mv_fleet_accepts(f, v, h))
				json_object_array_add(yes, number(h));
		add(o, "vms", number(c->vms));
		add(o, "accepted-by", number(c->accepted));
		add(o, "accepts", yes);
		add(o, "refuses", no);
		rc = refused(f, v, s, explain, no, room, p, notes, err);
		json_object_array_add(all, o);
	}
	free(p);
	free(notes);
	free(room);
	return rc;
}

static struct json_object *vms(const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	struct json_object *all = json_object_new_array();

	for (uint32_t i = 0; i < s->vms; i++) {
		const struct mv_fleet_vm *vm = mv_fleet_vm(f, i);
		struct json_object *o = json_object_new_object();

		add(o, "vm", string(mv_fleet_text(f, vm->name)));
		add(o, "host", vm->home == MV_FLEET_NONE
				       ? NULL : string(mv_fleet_text(f, mv_fleet_host(f, vm->home)->name)));
		add(o, "class", number(vm->cls));
		add(o, "accepted-elsewhere", number(mv_fleet_elsewhere(f, i)));
		if (vm->gain != MV_FLEET_NONE)
			add(o, "power-cycle-gains", mv_fleet_set(mv_fleet_gain(f, vm->gain)));
		json_object_array_add(all, o);
	}
	return all;
}

static struct json_object *clusters(const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	struct json_object *all = json_object_new_array();

	for (uint32_t k = 0; k < s->clusters; k++) {
		struct json_object *o = json_object_new_object(), *names = json_object_new_array();

		for (uint32_t i = 0; i < s->hosts; i++)
			if (mv_fleet_hclass(f, mv_fleet_host(f, i)->cls)->cluster == k)
				json_object_array_add(names, string(mv_fleet_text(f, mv_fleet_host(f, i)->name)));
		add(o, "vendor", string(mv_fleet_vendor_name(mv_fleet_cluster(f, k)->vendor)));
		add(o, "hosts", names);
		json_object_array_add(all, o);
	}
	return all;
}

static struct json_object *refusals(const struct mv_fleet *f, const struct mv_fleet_baseline *b)
{
	struct json_object *a = json_object_new_array();
	const char **names = calloc(b->n ? b->n : 1, sizeof(*names));
	char text[512];

	for (uint32_t i = 0; names && i < b->n; i++)
		names[i] = mv_fleet_text(f, mv_fleet_host(f, mv_fleet_hclass(f, b->classes[i])->first)->name);
	for (uint32_t i = 0; names && i < b->b->nrefusals && i < MV_BASELINE_REFUSALS; i++) {
		mv_baseline_refusal_text(text, sizeof(text), &b->b->refusals[i], b->list, names);
		json_object_array_add(a, string(text));
	}
	free(names);
	return a;
}

static struct json_object *baselines(const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	struct json_object *all = json_object_new_array();

	for (uint32_t k = 0; k < s->baselines; k++) {
		const struct mv_fleet_baseline *b = mv_fleet_baseline(f, k);
		struct json_object *o = json_object_new_object(), *cost = json_object_new_array();
		unsigned shown = 0;

		for (unsigned i = 0; i < MV_NFEATURES && !b->b->nrefusals; i++)
			shown += mv_baseline_shows(b->b, (enum mv_feature_id)i);
		for (uint32_t i = 0; i < b->n; i++) {
			struct json_object *c = json_object_new_object(), *lost = json_object_new_array();

			mv_fleet_lost(b, i, lost);
			add(c, "class", number(b->classes[i]));
			add(c, "lost", lost);
			json_object_array_add(cost, c);
		}
		add(o, "vendor", string(mv_fleet_vendor_name(b->vendor)));
		add(o, "hosts", number(b->hosts));
		add(o, "possible", json_object_new_boolean(!b->b->nrefusals));
		add(o, "reasons", refusals(f, b));
		add(o, "features", number(shown));
		add(o, "power-cycles", number(b->vms));
		add(o, "cost", cost);
		json_object_array_add(all, o);
	}
	return all;
}

static struct json_object *problems(const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	struct json_object *all = json_object_new_array();

	for (uint32_t i = 0; i < s->problems; i++) {
		const struct mv_fleet_problem *p = mv_fleet_problem_at(f, i);
		struct json_object *o = json_object_new_object();

		add(o, "file", string(mv_fleet_text(f, p->path)));
		if (p->line)
			add(o, "line", number(p->line));
		add(o, "text", string(mv_fleet_text(f, p->text)));
		if (*mv_fleet_text(f, p->hint))
			add(o, "hint", string(mv_fleet_text(f, p->hint)));
		json_object_array_add(all, o);
	}
	return all;
}

/* ---- all ---- */

static uint64_t refused_pairs(const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	uint64_t n = 0;

	for (uint32_t v = 0; v < s->vclasses; v++)
		for (uint32_t h = 0; h < s->hclasses; h++)
			n += !mv_fleet_accepts(f, v, h);
	return n;
}

int mv_fleet_to_json(struct mv_fleet *f, struct json_object **out, struct mv_err *err)
{
	struct json_object *o = json_object_new_object(), *sum = json_object_new_object();
	struct json_object *classes = json_object_new_array();
	struct mv_fleet_size s;
	bool explain;
	int rc;

	mv_fleet_sizes(f, &s);
	explain = refused_pairs(f, &s) <= MV_FLEET_EXPLAINED;
	if (!explain)
		mv_cli_note("warning: more than %u refused pairs: the JSON leaves their reasons out",
			    MV_FLEET_EXPLAINED);
	add(sum, "hosts", number(s.hosts));
	add(sum, "host-classes", number(s.hclasses));
	add(sum, "clusters", number(s.clusters));
	add(sum, "vms", number(s.vms));
	add(sum, "vm-classes", number(s.vclasses));
	add(sum, "vms-refused-somewhere", number(s.refused));
	add(sum, "vms-without-another-host", number(s.stuck));
	add(sum, "problems", number(s.problems));
	add(o, "summary", sum);
	add(o, "hosts", hosts(f, &s));
	add(o, "host-classes", host_classes(f, &s));
	add(o, "vms", vms(f, &s));
	rc = vm_classes(f, &s, classes, explain, err);
	add(o, "vm-classes", classes);
	add(o, "clusters", clusters(f, &s));
	add(o, "baselines", baselines(f, &s));
	add(o, "problems", problems(f, &s));
	if (rc) {
		json_object_put(o);
		return rc;
	}
	*out = o;
	return 0;
}
