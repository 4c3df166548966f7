/* SPDX-License-Identifier: MIT */
/* A fleet for Prometheus: the text format, as node_exporter's textfile collector reads it. */
#include "fleet_out.h"

/* More rows than this belong into JSON, not into a time series database. */
#define ROWS 10000u

static bool too_many(uint64_t rows, const char *metric)
{
	if (rows > ROWS)
		mv_cli_note("warning: more than %u rows: the metric minivmm_fleet_%s is left out", ROWS, metric);
	return rows > ROWS;
}

static void head(FILE *out, const char *name, const char *help)
{
	fprintf(out, "# HELP minivmm_fleet_%s %s\n# TYPE minivmm_fleet_%s gauge\n", name, help, name);
}

static void one(FILE *out, const char *name, const char *help, uint64_t value)
{
	head(out, name, help);
	fprintf(out, "minivmm_fleet_%s %llu\n", name, (unsigned long long)value);
}

/* A label's value: backslash, quote and line feed are escaped, nothing else. */
static void label(FILE *out, const char *key, const char *value)
{
	fprintf(out, "%s=\"", key);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '\\' || *value == '"')
			fprintf(out, "\\%c", *value);
		else
			fputc(*value, out);
	}
	fputc('"', out);
}

static void host_row(FILE *out, const struct mv_fleet *f, const char *metric, uint32_t i, uint64_t value)
{
	fprintf(out, "minivmm_fleet_%s{", metric);
	label(out, "host", mv_fleet_text(f, mv_fleet_host(f, i)->name));
	fprintf(out, "} %llu\n", (unsigned long long)value);
}

static void per_host(FILE *out, const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	head(out, "host_vms", "VMs that are on the host.");
	for (uint32_t i = 0; i < s->hosts; i++)
		host_row(out, f, "host_vms", i, mv_fleet_host(f, i)->vms);
	head(out, "host_drain_blocked_vms", "VMs on the host that no other host accepts.");
	for (uint32_t i = 0; i < s->hosts; i++)
		host_row(out, f, "host_drain_blocked_vms", i, mv_fleet_host(f, i)->stuck);
	head(out, "host_cluster", "Hosts with the same number accept each other's VMs.");
	for (uint32_t i = 0; i < s->hosts; i++)
		host_row(out, f, "host_cluster", i, mv_fleet_hclass(f, mv_fleet_host(f, i)->cls)->cluster);
	head(out, "host_baseline_lost_features", "Features that the baseline of all hosts of its vendor costs the host.");
	for (uint32_t k = 0; k < s->baselines; k++) {
		const struct mv_fleet_baseline *b = mv_fleet_baseline(f, k);

		for (uint32_t c = 0; c < b->n && !b->b->nrefusals; c++) {
			unsigned lost = mv_fleet_lost(b, c, NULL);

			for (uint32_t i = 0; i < s->hosts; i++)
				if (mv_fleet_host(f, i)->cls == b->classes[c])
					host_row(out, f, "host_baseline_lost_features", i, lost);
		}
	}
}

static void per_vm(FILE *out, const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	if (too_many(s->vms, "vm_hosts"))
		return;
	head(out, "vm_hosts", "Hosts that accept the VM.");
	for (uint32_t i = 0; i < s->vms; i++) {
		fprintf(out, "minivmm_fleet_vm_hosts{");
		label(out, "vm", mv_fleet_text(f, mv_fleet_vm(f, i)->name));
		fprintf(out, "} %u\n", mv_fleet_vclass(f, mv_fleet_vm(f, i)->cls)->accepted);
	}
}

static void pairs(FILE *out, const struct mv_fleet *f, const struct mv_fleet_size *s)
{
	if (too_many((uint64_t)s->hosts * s->hosts, "compat"))
		return;
	head(out, "compat", "Does dst accept a VM of the default mask that was started on src?");
	for (uint32_t a = 0; a < s->hosts; a++)
		for (uint32_t b = 0; b < s->hosts; b++) {
			fprintf(out, "minivmm_fleet_compat{");
			label(out, "src", mv_fleet_text(f, mv_fleet_host(f, a)->name));
			fputc(',', out);
			label(out, "dst", mv_fleet_text(f, mv_fleet_host(f, b)->name));
			fprintf(out, "} %d\n", mv_fleet_moves(f, mv_fleet_host(f, a)->cls,
							      mv_fleet_host(f, b)->cls));
		}
}

int mv_fleet_prometheus(FILE *out, struct mv_fleet *f)
{
	struct mv_fleet_size s;

	mv_fleet_sizes(f, &s);
	one(out, "hosts", "Hosts whose description could be used.", s.hosts);
	one(out, "clusters", "Groups of hosts that accept each other's VMs.", s.clusters);
	one(out, "vms", "VMs whose description could be used.", s.vms);
	one(out, "vms_refused", "VMs that at least one host refuses.", s.refused);
	one(out, "vms_stuck", "VMs that no host but their own accepts.", s.stuck);
	one(out, "problems", "Files and descriptions that could not be used.", s.problems);
	per_host(out, f, &s);
	per_vm(out, f, &s);
	pairs(out, f, &s);
	return ferror(out) ? -MV_E_FAILED : 0;
}
