/* SPDX-License-Identifier: MIT */
/* A fleet as one page: the data as JSON within vmm/cli/fleet.html. */
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "fleet_out.h"

/* Members of a class that the page names. */
#define NAMED 40u

struct page {
	struct mv_fleet *f;
	struct mv_fleet_size s;
	struct json_object *reasons, *why;	/* texts; lists of indexes into them */
	struct json_object *reason_at, *why_at;	/* by text: where in those */
	struct mv_policy *p;
	struct mv_notes *notes;
	struct mv_verdict *v;
};

static struct json_object *number(uint64_t n)
{
	return json_object_new_int64((int64_t)n);
}

/* The index of a text in a list, put there if it is new. */
static size_t intern(struct json_object *list, struct json_object *at, const char *text,
		     struct json_object *value)
{
	struct json_object *known;
	size_t i = json_object_array_length(list);

	if (json_object_object_get_ex(at, text, &known)) {
		json_object_put(value);
		return (size_t)json_object_get_int64(known);
	}
	json_object_array_add(list, value);
	json_object_object_add(at, text, number(i));
	return i;
}

/* A list of reasons as a cell: its place among all such lists, from 1. */
static struct json_object *cell(struct page *g, struct json_object *reasons)
{
	struct json_object *list = json_object_new_array(), *text;
	char *key;
	size_t at;

	for (size_t i = 0; reasons && i < json_object_array_length(reasons); i++) {
		json_object_object_get_ex(json_object_array_get_idx(reasons, i), "text", &text);
		at = intern(g->reasons, g->reason_at, json_object_get_string(text), json_object_get(text));
		json_object_array_add(list, number(at));
	}
	json_object_put(reasons);
	key = strdup(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN));
	at = key ? intern(g->why, g->why_at, key, list) : 0;
	free(key);
	return number(at + 1);
}

/* Rows of cells: VM classes, or (reference) host classes as places to start. */
static int matrix(struct page *g, bool reference, struct json_object *rows, struct mv_err *err)
{
	uint32_t n = reference ? g->s.hclasses : g->s.vclasses;

	for (uint32_t i = 0; i < n; i++) {
		struct json_object *r = json_object_new_array();
		int rc = mv_fleet_policy(g->f, reference ? MV_FLEET_NONE : i, i, g->p, g->notes, err);

		json_object_array_add(rows, r);
		if (rc < 0)
			return rc;
		for (uint32_t h = 0; h < g->s.hclasses; h++) {
			bool yes = reference ? mv_fleet_moves(g->f, i, h) : mv_fleet_accepts(g->f, i, h);

			json_object_array_add(r, yes ? number(0)
						 : cell(g, rc ? mv_fleet_why_not(g->p, g->notes)
							      : mv_fleet_why(g->f, g->p, h, g->v)));
		}
	}
	return 0;
}

static struct json_object *empty_rows(uint32_t n)
{
	struct json_object *a = json_object_new_array();

	for (uint32_t i = 0; i < n; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "names", json_object_new_array());
		json_object_array_add(a, o);
	}
	return a;
}

static void add_name(struct json_object *rows, uint32_t i, const char *name)
{
	struct json_object *o = json_object_array_get_idx(rows, i), *names;

	json_object_object_get_ex(o, "names", &names);
	if (json_object_array_length(names) < NAMED)
		json_object_array_add(names, json_object_new_string(name));
}

static void set(struct json_object *rows, uint32_t i, const char *key, struct json_object *v)
{
	json_object_object_add(json_object_array_get_idx(rows, i), key, v);
}

static struct json_object *host_rows(const struct page *g)
{
	struct json_object *rows = empty_rows(g->s.hclasses);

	for (uint32_t i = 0; i < g->s.hosts; i++)
		add_name(rows, mv_fleet_host(g->f, i)->cls, mv_fleet_text(g->f, mv_fleet_host(g->f, i)->name));
	for (uint32_t i = 0; i < g->s.hclasses; i++) {
		const struct mv_fleet_hclass *c = mv_fleet_hclass(g->f, i);
		const char *name = mv_fleet_text(g->f, mv_fleet_host(g->f, c->first)->name);
		char brand[49];

		mv_table_brand_string(&c->host->raw, brand);
		set(rows, i, "name", json_object_new_string(name));
		set(rows, i, "n", number(c->hosts));
		set(rows, i, "brand", json_object_new_string(brand + strspn(brand, " ")));
		set(rows, i, "assumed", json_object_new_boolean(c->host->assumed));
	}
	return rows;
}

static struct json_object *vm_rows(const struct page *g)
{
	struct json_object *rows = empty_rows(g->s.vclasses);

	for (uint32_t i = 0; i < g->s.vms; i++)
		add_name(rows, mv_fleet_vm(g->f, i)->cls, mv_fleet_text(g->f, mv_fleet_vm(g->f, i)->name));
	for (uint32_t i = 0; i < g->s.vclasses; i++) {
		const struct mv_fleet_vclass *c = mv_fleet_vclass(g->f, i);
		const struct mv_fleet_vm *vm = mv_fleet_vm(g->f, c->first);

		set(rows, i, "name", json_object_new_string(mv_fleet_text(g->f, vm->name)));
		set(rows, i, "n", number(c->vms));
		if (vm->home != MV_FLEET_NONE)
			set(rows, i, "home", number(mv_fleet_host(g->f, vm->home)->cls));
	}
	return rows;
}

static void summary(const struct page *g, struct json_object *o)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "%u hosts of %u kinds in %u clusters; %u VMs of %u kinds, %u refused by some host, %u "
		 "accepted by no host but their own; %u files not used.",
		 g->s.hosts, g->s.hclasses, g->s.clusters, g->s.vms, g->s.vclasses, g->s.refused, g->s.stuck,
		 g->s.problems);
	json_object_object_add(o, "summary", json_object_new_string(text));
}

/* The page with the data in its place; '<' is written so that no name can end the script. */
static int put(FILE *out, struct json_object *o, struct mv_err *err)
{
	const struct mv_builtin *page = mv_builtin_find("fleet.html");
	const char *begin = (const char *)page->data;
	const char *mark = memmem(begin, page->size, "@DATA@", 6);

	fwrite(begin, 1, (size_t)(mark - begin), out);
	for (const char *s = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN); *s; s++) {
		if (*s == '<')
			fputs("\\u003c", out);
		else
			fputc(*s, out);
	}
	fwrite(mark + 6, 1, page->size - (size_t)(mark - begin) - 6, out);
	return ferror(out) ? mv_err_set(err, MV_E_FAILED, "the page can't be written") : 0;
}

static int fill(struct page *g, struct json_object *o, struct mv_err *err)
{
	struct json_object *vmhost = json_object_new_array(), *hosthost = json_object_new_array();
	int rc;

	json_object_object_add(o, "hosts", host_rows(g));
	json_object_object_add(o, "vms", vm_rows(g));
	json_object_object_add(o, "reasons", g->reasons);
	json_object_object_add(o, "why", g->why);
	json_object_object_add(o, "vmhost", vmhost);
	json_object_object_add(o, "hosthost", hosthost);
	summary(g, o);
	rc = matrix(g, false, vmhost, err);
	return rc ? rc : matrix(g, true, hosthost, err);
}

int mv_fleet_html(FILE *out, struct mv_fleet *f, struct mv_err *err)
{
	struct page g = {
		.f = f, .reasons = json_object_new_array(), .why = json_object_new_array(),
		.reason_at = json_object_new_object(), .why_at = json_object_new_object(),
		.p = calloc(1, sizeof(*g.p)), .notes = calloc(1, sizeof(*g.notes)),
		.v = malloc(sizeof(*g.v)),
	};
	struct json_object *o = json_object_new_object();
	uint64_t cells;
	int rc = 0;

	mv_fleet_sizes(f, &g.s);
	cells = (uint64_t)g.s.hclasses * (g.s.vclasses + g.s.hclasses);
	if (!g.p || !g.notes || !g.v)
		rc = mv_err_set(err, MV_E_FAILED, "out of memory");
	else if (cells > MV_FLEET_EXPLAINED)
		rc = mv_err_set(err, MV_E_USAGE,
				"a page of %llu cells (%u kinds of hosts, %u of VMs) is too large: at most %u",
				(unsigned long long)cells, g.s.hclasses, g.s.vclasses, MV_FLEET_EXPLAINED);
	if (rc == 0) {
		rc = fill(&g, o, err);
	} else {
		json_object_put(g.reasons);
		json_object_put(g.why);
	}
	if (rc == 0)
		rc = put(out, o, err);
	json_object_put(o);
	json_object_put(g.reason_at);
	json_object_put(g.why_at);
	free(g.p);
	free(g.notes);
	free(g.v);
	return rc;
}
