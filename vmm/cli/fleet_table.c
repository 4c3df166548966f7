/* SPDX-License-Identifier: MIT */
/* A fleet as tables for people. libsmartcols is loaded here and nowhere else. */
#include <libsmartcols/libsmartcols.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "fleet_out.h"
#include "library.h"
#include "text.h"

#define FUNCTIONS(F) \
	F(scols_new_table) F(scols_unref_table) F(scols_table_new_column) F(scols_table_new_line) \
	F(scols_line_set_data) F(scols_print_table)

static struct {
	FUNCTIONS(MV_LIBRARY_MEMBER)
} lib;

static int load(struct mv_err *err)
{
	static const char *const names[] = { FUNCTIONS(MV_LIBRARY_NAME) NULL };
	static const struct mv_library library = {
		"libsmartcols.so.1", "tables", "libsmartcols1, or --json", MV_E_FAILED, names,
	};

	return mv_library_load(&lib, &library, err);
}

/* ---- tables ---- */

struct column {
	const char *name;
	int flags;
};

static struct libscols_table *table(const struct column *c, size_t n)
{
	struct libscols_table *t = lib.scols_new_table();

	for (size_t i = 0; t && i < n; i++)
		lib.scols_table_new_column(t, c[i].name, 0, c[i].flags);
	return t;
}

static void row(struct libscols_table *t, const char *const *cells, size_t n)
{
	struct libscols_line *l = t ? lib.scols_table_new_line(t, NULL) : NULL;

	for (size_t i = 0; l && i < n; i++)
		lib.scols_line_set_data(l, i, cells[i]);
}

static void show(struct libscols_table *t, const char *title)
{
	if (!t)
		return;
	printf("\n%s\n", title);
	fflush(stdout);
	lib.scols_print_table(t);
	lib.scols_unref_table(t);
}

/* Rows that a reader takes in; what is left out is said. */
#define ROWS 60u

static void left_out(uint32_t n, const char *what)
{
	if (n > ROWS)
		printf("and %u more %s (--json has all)\n", n - ROWS, what);
}

/* Up to two names and how many more: lines stay short. */
#define NAMED 2u
struct names {
	char text[160];
	size_t used;
	uint32_t n;
};

static void name(struct names *w, const char *s)
{
	if (w->n++ < NAMED && w->used < sizeof(w->text) - 1)
		w->used += (size_t)snprintf(w->text + w->used, sizeof(w->text) - w->used, "%s%.*s",
					    w->n > 1 ? ", " : "", (int)mv_text_fit(s, 48), s);
}

static void more(struct names *w)
{
	if (w->n > NAMED && w->used < sizeof(w->text) - 1)
		snprintf(w->text + w->used, sizeof(w->text) - w->used, " and %u more", w->n - NAMED);
}

static const char *host_name(const struct mv_fleet *f, uint32_t i)
{
	return i == MV_FLEET_NONE ? "-" : mv_fleet_text(f, mv_fleet_host(f, i)->name);
}

/* ---- VMs ---- */

/* What refuses first, in a few words. */
static void first_reason(struct mv_fleet *f, uint32_t v, char buf[64], struct mv_policy *p,
			 struct mv_notes *notes, struct mv_verdict *room, const struct mv_fleet_size *s)
{
	struct mv_err err = { 0 };
	int rc = mv_fleet_policy(f, v, 0, p, notes, &err);

	*buf = '\0';
	if (rc > 0)
		snprintf(buf, 64, "its own host won't start it");
	for (uint32_t h = 0; rc == 0 && h < s->hclasses; h++) {
		struct mv_verdict_opts opts;

		if (mv_fleet_accepts(f, v, h) || mv_fleet_hclass(f, h)->vendor != mv_fleet_vclass(f, v)->vendor)
			continue;
		mv_fleet_verdict_opts(f, &opts);
		if (mv_verdict(room, p, mv_fleet_hclass(f, h)->host, &opts, &err) || !room->n)
			return;
		if (room->m[0].rule != MV_RULE_SYMBOL)
			snprintf(buf, 64, "%s", mv_rule_name(room->m[0].rule));
		else
			snprintf(buf, 64, "%.30s", mv_mismatch_subject(&room->m[0]));
		if (room->refusals > 1)
			snprintf(buf + strlen(buf), 64 - strlen(buf), " +%u", room->refusals - 1);
		return;
	}
	if (rc == 0 && mv_fleet_vclass(f, v)->accepted < s->hosts)
		snprintf(buf, 64, "vendor");
}

static void print_vms(struct mv_fleet *f, const struct mv_fleet_size *s)
{
	static const struct column columns[] = {
		{ "VM", SCOLS_FL_TRUNC }, { "ON", SCOLS_FL_TRUNC }, { "HOSTS", SCOLS_FL_RIGHT },
		{ "REFUSED BY", SCOLS_FL_TRUNC }, { "BECAUSE OF", SCOLS_FL_TRUNC }, { "RESTART", 0 },
	};
	struct libscols_table *t = table(columns, 6);
	struct mv_policy *p = calloc(1, sizeof(*p));
	struct mv_notes *notes = calloc(1, sizeof(*notes));
	struct mv_verdict *room = malloc(sizeof(*room));

	for (uint32_t v = 0; v < s->vclasses && v < ROWS && p && notes && room; v++) {
		const struct mv_fleet_vclass *c = mv_fleet_vclass(f, v);
		const struct mv_fleet_vm *vm = mv_fleet_vm(f, c->first);
		struct names refused = { .n = 0 };
		char who[160], by[32], why[64], cycle[32] = "";
		const char *cells[] = { who, host_name(f, vm->home), by, refused.text, why, cycle };
		bool baseline = false;

		for (uint32_t i = 0; i < s->hosts; i++)
			if (!mv_fleet_accepts(f, v, mv_fleet_host(f, i)->cls)) {
				name(&refused, host_name(f, i));
				baseline |= mv_fleet_hclass(f, mv_fleet_host(f, i)->cls)->vendor == c->vendor;
			}
		more(&refused);
		snprintf(who, sizeof(who), "%.*s", (int)mv_text_fit(mv_fleet_text(f, vm->name), 100),
			 mv_fleet_text(f, vm->name));
		if (c->vms > 1)
			snprintf(who + strlen(who), sizeof(who) - strlen(who), " +%u", c->vms - 1);
		snprintf(by, sizeof(by), "%u of %u", c->accepted, s->hosts);
		first_reason(f, v, why, p, notes, room, s);
		if (vm->gain != MV_FLEET_NONE)
			snprintf(cycle, sizeof(cycle), "sees more%s", baseline ? "; baseline" : "");
		else if (baseline)
			snprintf(cycle, sizeof(cycle), "baseline");
		row(t, cells, 6);
	}
	free(p);
	free(notes);
	free(room);
	show(t, "VMs: how many hosts accept them, and what a restart (power cycle) would bring");
	left_out(s->vclasses, "kinds of VMs");
}

/* ---- drains ---- */

static void print_drains(const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	static const struct column columns[] = {
		{ "HOST", SCOLS_FL_TRUNC }, { "VMS", SCOLS_FL_RIGHT }, { "STAY", SCOLS_FL_RIGHT },
		{ "WHICH", SCOLS_FL_TRUNC },
	};
	struct names *who = calloc(s->hosts ? s->hosts : 1, sizeof(*who));
	struct libscols_table *t = table(columns, 4);
	uint32_t shown = 0;

	for (uint32_t i = 0; who && i < s->vms; i++)
		if (mv_fleet_vm(f, i)->home != MV_FLEET_NONE && !mv_fleet_elsewhere(f, i))
			name(&who[mv_fleet_vm(f, i)->home], mv_fleet_text(f, mv_fleet_vm(f, i)->name));
	for (uint32_t i = 0; who && i < s->hosts; i++) {
		const struct mv_fleet_host *h = mv_fleet_host(f, i);
		char vms[16], stuck[16];
		const char *cells[] = { host_name(f, i), vms, stuck, who[i].text };

		if (!h->stuck || shown++ >= ROWS)
			continue;
		more(&who[i]);
		snprintf(vms, sizeof(vms), "%u", h->vms);
		snprintf(stuck, sizeof(stuck), "%u", h->stuck);
		row(t, cells, 4);
	}
	free(who);
	if (shown) {
		show(t, "Hosts that can't be drained: no other host accepts these VMs");
		left_out(shown, "hosts");
		return;
	}
	if (t)
		lib.scols_unref_table(t);
	printf("\nEvery host can be drained: each VM is accepted by another host.\n");
}

/* ---- clusters, baselines, problems ---- */

static void print_clusters(const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	static const struct column columns[] = {
		{ "CLUSTER", SCOLS_FL_RIGHT }, { "VENDOR", 0 }, { "HOSTS", SCOLS_FL_RIGHT },
		{ "KINDS", SCOLS_FL_RIGHT }, { "WHICH", SCOLS_FL_TRUNC },
	};
	struct names *who = calloc(s->clusters ? s->clusters : 1, sizeof(*who));
	struct libscols_table *t = table(columns, 5);

	for (uint32_t i = 0; who && i < s->hosts; i++)
		name(&who[mv_fleet_hclass(f, mv_fleet_host(f, i)->cls)->cluster], host_name(f, i));
	for (uint32_t k = 0; who && k < s->clusters && k < ROWS; k++) {
		const struct mv_fleet_cluster *c = mv_fleet_cluster(f, k);
		char number[16], hosts[16], kinds[16];
		const char *cells[] = { number, mv_fleet_vendor_name(c->vendor), hosts, kinds, who[k].text };

		more(&who[k]);
		snprintf(number, sizeof(number), "%u", k);
		snprintf(hosts, sizeof(hosts), "%u", c->hosts);
		snprintf(kinds, sizeof(kinds), "%u", c->classes);
		row(t, cells, 5);
	}
	free(who);
	show(t, "Clusters: hosts that accept each other's VMs");
	left_out(s->clusters, "clusters");
}

static void print_baselines(const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	static const struct column columns[] = {
		{ "VENDOR", 0 }, { "HOSTS", SCOLS_FL_RIGHT }, { "FEATURES", SCOLS_FL_RIGHT },
		{ "RESTARTS", SCOLS_FL_RIGHT }, { "COSTS MOST", SCOLS_FL_TRUNC },
	};
	struct libscols_table *t = table(columns, 5);

	for (uint32_t k = 0; k < s->baselines; k++) {
		const struct mv_fleet_baseline *b = mv_fleet_baseline(f, k);
		unsigned shown = 0, most = 0, lost;
		char hosts[16], features[16], vms[16], cost[160] = "nothing";
		const char *host;
		const char *cells[] = { mv_fleet_vendor_name(b->vendor), hosts, features, vms, cost };

		for (unsigned i = 0; i < MV_NFEATURES && !b->b->nrefusals; i++)
			shown += mv_baseline_shows(b->b, (enum mv_feature_id)i);
		for (uint32_t i = 0; i < b->n; i++) {
			lost = mv_fleet_lost(b, i, NULL);
			if (lost > most) {
				most = lost;
				host = host_name(f, mv_fleet_hclass(f, b->classes[i])->first);
				snprintf(cost, sizeof(cost), "%.*s loses %u", (int)mv_text_fit(host, 100), host, lost);
			}
		}
		snprintf(hosts, sizeof(hosts), "%u", b->hosts);
		snprintf(features, sizeof(features), "%u", shown);
		snprintf(vms, sizeof(vms), "%u", b->vms);
		if (b->b->nrefusals)
			snprintf(cost, sizeof(cost), "there is none (minivmm baseline says why)");
		row(t, cells, 5);
	}
	show(t, "Baselines: the mask under which all hosts of a vendor are one cluster");
}

static const char *plural(uint32_t n)
{
	return n == 1 ? "" : "s";
}

int mv_fleet_print(struct mv_fleet *f, struct mv_err *err)
{
	struct mv_fleet_size s;
	int rc = load(err);

	if (rc)
		return rc;
	/* Names are UTF-8 whatever the locale: the library would write them as \x and count bytes. */
	setlocale(LC_CTYPE, "C.UTF-8");
	mv_fleet_sizes(f, &s);
	printf("%u host%s of %u kind%s in %u cluster%s, %u VM%s of %u kind%s\n", s.hosts, plural(s.hosts),
	       s.hclasses, plural(s.hclasses), s.clusters, plural(s.clusters), s.vms, plural(s.vms),
	       s.vclasses, plural(s.vclasses));
	printf("%u VM%s refused by some host, %u accepted by no host but %s own\n", s.refused,
	       s.refused == 1 ? " is" : "s are", s.stuck, s.stuck == 1 ? "its" : "their");
	if (s.vms) {
		print_vms(f, &s);
		print_drains(f, &s);
	}
	print_clusters(f, &s);
	print_baselines(f, &s);
	return 0;
}
