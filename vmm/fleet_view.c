/* SPDX-License-Identifier: MIT */
/* A fleet looked at: its members, classes and sizes. */
#include "fleet_impl.h"

bool mv_fleet_leave_out(struct mv_fleet *f)
{
	f->elsewhere += f->opts.known_hosts_only;
	return f->opts.known_hosts_only;
}

mv_fleet_reader *mv_fleet_host_reader(const struct mv_fleet *f)
{
	return f->opts.load_host;
}

void mv_fleet_verdict_opts(const struct mv_fleet *f, struct mv_verdict_opts *o)
{
	*o = f->opts.verdict;
}

const struct mv_fleet_host *mv_fleet_host(const struct mv_fleet *f, uint32_t i)
{
	return &MV_LIST(f->hosts, const struct mv_fleet_host)[i];
}

const struct mv_fleet_hclass *mv_fleet_hclass(const struct mv_fleet *f, uint32_t i)
{
	return &MV_LIST(f->hclasses, const struct mv_fleet_hclass)[i];
}

const struct mv_fleet_vm *mv_fleet_vm(const struct mv_fleet *f, uint32_t i)
{
	return &MV_LIST(f->vms, const struct mv_fleet_vm)[i];
}

const struct mv_fleet_vclass *mv_fleet_vclass(const struct mv_fleet *f, uint32_t i)
{
	return &MV_LIST(f->vclasses, const struct mv_fleet_vclass)[i];
}

struct mv_fleet_vclass *mv_fleet_vclass_rw(struct mv_fleet *f, uint32_t i)
{
	return &MV_LIST(f->vclasses, struct mv_fleet_vclass)[i];
}

const struct mv_fleet_cluster *mv_fleet_cluster(const struct mv_fleet *f, uint32_t i)
{
	return &MV_LIST(f->clusters, const struct mv_fleet_cluster)[i];
}

const struct mv_fleet_baseline *mv_fleet_baseline(const struct mv_fleet *f, uint32_t i)
{
	return &MV_LIST(f->baselines, const struct mv_fleet_baseline)[i];
}

const struct mv_fleet_problem *mv_fleet_problem_at(const struct mv_fleet *f, uint32_t i)
{
	return &MV_LIST(f->problems, const struct mv_fleet_problem)[i];
}

const struct mv_featset *mv_fleet_gain(const struct mv_fleet *f, uint32_t i)
{
	return &MV_LIST(f->gains, const struct mv_featset)[i];
}

void mv_fleet_sizes(const struct mv_fleet *f, struct mv_fleet_size *s)
{
	*s = (struct mv_fleet_size){
		.hosts = f->hosts.n, .hclasses = f->hclasses.n, .vms = f->vms.n,
		.vclasses = f->vclasses.n, .clusters = f->clusters.n, .baselines = f->baselines.n,
		.problems = f->problems.n, .gains = f->gains.n, .refused = f->refused,
		.stuck = f->stuck, .elsewhere = f->elsewhere,
		.pairs = f->pairs,
	};
}
