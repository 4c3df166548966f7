/* SPDX-License-Identifier: MIT */
#include "launch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "control.h"
#include "file_kind.h"
#include "host_cache.h"
#include "host_exec.h"
#include "host_native.h"
#include "maskload.h"
#include "power_on.h"
#include "proof.h"
#include "sandbox.h"
#include "snapshot.h"
#include "terminal.h"

#define DEFAULT_MEMORY (UINT64_C(64) << 20)
#define DEFAULT_MEMORY_LINUX (UINT64_C(256) << 20)

void mv_launch_init(struct mv_launch *l)
{
	memset(l, 0, sizeof(*l));
	l->intercept = MV_INTERCEPT_AUTO;
	l->cmdline = "";
	l->kvm.fd = -1;
	for (size_t i = 0; i < MV_MAX_DISKS; i++)
		l->disk_fds[i] = -1;
}

void mv_launch_finish(struct mv_launch *l)
{
	struct mv_trace *trace = l->vm ? l->vm->trace : NULL;

	mv_vm_destroy(l->vm);
	mv_trace_close(trace);
	for (size_t i = 0; i < MV_MAX_DISKS; i++)
		if (l->disk_fds[i] >= 0)
			close(l->disk_fds[i]);
	mv_kvm_close(&l->kvm);
	free(l->st);
	free(l->host);
	free(l->notes);
	mv_launch_init(l);
}

static void nameless(const struct mv_err *why)
{
	mv_cli_note("%s: this VM has no control socket", why->msg);
	if (*why->hint)
		mv_cli_note("hint: %s", why->hint);
}

void mv_launch_set_name(struct mv_launch *l, const char *fallback)
{
	snprintf(l->name, sizeof(l->name), "%.63s", l->asked_name ? l->asked_name : fallback);
	l->run.name = mv_name_valid(l->name) ? l->name : NULL;
	l->run.name_required = l->asked_name;
	l->run.nameless = nameless;
}

int mv_launch_masks(const struct mv_launch *l, struct mv_policy *p, enum mv_vendor vendor, struct mv_err *err)
{
	const struct mv_mask_request req = {
		.guest_os = l->guest_os, .default_mask = l->default_mask, .baseline = l->baseline,
		.overrides = l->masks, .noverrides = l->nmasks, .vendor = vendor,
	};

	return mv_masks_load(p, &req, err);
}

static int described(const struct mv_launch *l, const char *file, struct mv_static *st, struct mv_err *err)
{
	struct mv_notes *notes = malloc(sizeof(*notes));
	struct mv_policy *p = &st->policy;
	int rc = notes ? mv_cli_host_file(&p->source, file, err) : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0) {
		mv_policy_not_started(p);
		rc = mv_launch_masks(l, p, mv_table_vendor(&p->source.raw), err);
	}
	if (rc == 0)
		rc = mv_apply(p, 1, notes, err);
	if (rc == 0)
		rc = mv_cli_power_on(p, notes, mv_cli_shown(file));
	free(notes);
	return rc;
}

int mv_launch_judged_vm(const struct mv_launch *l, const char *start_host, const char *file,
			struct mv_static *st, struct mv_err *err)
{
	struct mv_snapshot *snap;
	int rc;

	if (start_host)
		return described(l, start_host, st, err);
	if (mv_cli_is_domain(file))
		return mv_cli_domain(&st->policy, file, err);
	rc = mv_snapshot_open(&snap, file, st, err);
	if (rc == 0)
		mv_snapshot_close(snap);
	else
		mv_file_hint(err, file, MV_FILE_SNAPSHOT);
	return rc;
}

/* *settled: it may be kept. */
static int ask_host(struct mv_launch *l, bool *settled, struct mv_err *err)
{
	bool more = true;
	int rc = mv_host_native(l->host, &l->kvm, err);

	/* Both ends of a move look at what executes, so both have to know. */
	if (rc == 0)
		mv_host_exec(l->host);
	if (rc == 0)
		rc = mv_prove(l->host, &l->kvm,
			      l->intercept > 0 ? 1u << l->intercept : MV_PROVE_FIRST, settled, err);
	/* Which of the others auto can take depends on the image, too. */
	if (rc == 0 && l->intercept == MV_INTERCEPT_AUTO &&
	    l->host->proof[MV_INTERCEPTION_KERNEL] != MV_PROOF_BOTH)
		rc = mv_prove(l->host, &l->kvm, MV_PROVE_ALL, &more, err);
	*settled &= more;
	return rc;
}

int mv_launch_host(struct mv_launch *l, struct mv_err *err)
{
	const unsigned asked = 1u << (l->intercept - MV_INTERCEPT_AUTO);
	int rc;

	l->host = calloc(1, sizeof(*l->host));
	if (!l->host)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	rc = mv_kvm_open(&l->kvm, err);
	if (rc == 0 && !mv_host_cache_read(l->host, asked)) {
		bool settled = false;

		rc = ask_host(l, &settled, err);
		if (rc == 0 && settled)
			mv_host_cache_write(l->host, asked);
	}
	return rc;
}

static void fill_config(struct mv_launch *l, const struct mv_image *img)
{
	struct mv_config *c = &l->st->config;
	XXH128_hash_t h = XXH3_128bits(img->data, img->size);
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, h);
	memcpy(c->image_hash, canonical.digest, sizeof(c->image_hash));
	snprintf(c->name, sizeof(c->name), "%.63s", l->name);
	snprintf(c->image, sizeof(c->image), "%.255s", img->name);
	snprintf(c->producer, sizeof(c->producer), "minivmm %s", MV_VERSION);
	c->ram_size = l->memory;
	c->nvcpus = l->ncpus;
}

/* What is asked for and this host does not have. */
static int check_host(const struct mv_launch *l, struct mv_err *err)
{
	/* 4 where a kernel does not tell (Documentation/virt/kvm/api.rst, 4.7). */
	int cap = mv_kvm_cap(l->kvm.fd, KVM_CAP_MAX_VCPUS), cpus = cap ? cap : 4;

	if (l->ncpus > (unsigned)cpus)
		return mv_err_set(err, MV_E_HOST, "--cpus %u: this host's KVM takes %d at most",
				  l->ncpus, cpus);
	return 0;
}

/* What --cpus and --topology come to together. */
static int count_cpus(struct mv_launch *l, struct mv_err *err)
{
	const struct mv_topology *t = &l->topology;
	unsigned n = t->sockets * t->cores * t->threads;

	if (n && l->ncpus && l->ncpus != n)
		return mv_err_set(err, MV_E_USAGE, "--topology sockets=%u,cores=%u,threads=%u are %u CPUs, not --cpus %u",
				  t->sockets, t->cores, t->threads, n, l->ncpus);
	if (!l->ncpus)
		l->ncpus = n ? n : 1;
	return 0;
}

/* Guest table from the final mask; every requirement that fails is printed. */
static int power_on(struct mv_launch *l, struct mv_err *err)
{
	int rc = mv_apply(&l->st->policy, l->st->config.nvcpus, l->notes, err);

	if (rc == 0 && l->topology.sockets)
		mv_table_set_topology(&l->st->policy.guest, &l->topology);
	return rc ? rc : mv_cli_power_on(&l->st->policy, l->notes, "this host");
}

int mv_launch_prepare(struct mv_launch *l, const struct mv_image *img,
		      const struct mv_console *console, struct mv_err *err)
{
	struct mv_sites *sites = malloc(sizeof(*sites));
	char why[256];
	int rc;

	l->st = calloc(1, sizeof(*l->st));
	l->notes = malloc(sizeof(*l->notes));
	rc = sites && l->st && l->notes ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");
	if (rc == 0)
		rc = count_cpus(l, err);
	if (!l->memory)
		l->memory = img->linux_kernel ? DEFAULT_MEMORY_LINUX : DEFAULT_MEMORY;
	/* Bad input is told before this host's own limits. */
	if (rc == 0)
		rc = mv_boot_check(img, l->cmdline, l->memory, err);
	if (rc == 0)
		rc = mv_launch_new_disks(l, err);
	if (rc == 0)
		rc = mv_launch_masks(l, &l->st->policy, mv_native_vendor(), err);
	if (rc == 0)
		rc = mv_sites_find(sites, img, err);
	if (rc == 0)
		rc = mv_launch_host(l, err);
	if (rc == 0)
		rc = check_host(l, err);
	if (rc == 0)
		rc = mv_choose_intercept(&l->st->policy, l->host, sites, l->intercept, why, err);
	if (rc == 0 && *why)
		mv_cli_note("warning: %s", why);
	if (rc == 0) {
		l->st->policy.source = *l->host;
		fill_config(l, img);
		rc = power_on(l, err);
	}
	if (rc == 0)
		rc = mv_boot_check_cpu(img, &l->st->policy, err);
	if (rc == 0)
		rc = mv_vm_create(&l->vm, &l->kvm, l->st, &l->host->raw, console, err);
	if (rc == 0)
		mv_launch_connect_disks(l);
	if (rc == 0)
		rc = mv_vm_boot(l->vm, img, l->cmdline, err);
	if (rc == 0 && l->testdev)
		rc = mv_vm_add_testdev(l->vm, err);
	for (unsigned i = 0; rc == 0 && i < l->vm->nvcpus; i++)
		rc = mv_msrs_power_on(&l->vm->vcpu[i], err);
	if (rc == 0) {
		mv_sites_copy(&l->vm->sites, sites);
		if (l->st->policy.intercept == MV_INTERCEPTION_PATCH)
			rc = mv_vm_patch(l->vm, err);
	}
	free(sites);
	return rc;
}

int mv_launch_confine(const struct mv_launch *l, struct mv_err *err)
{
	/* A reader of ours that goes away, or a limit on files, is an error to tell, and no end of the guest. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	/* Asking the kernel for its tracepoints takes rights and calls that are gone afterwards. */
	int rc = l->trace ? mv_trace_open(&l->vm->trace, l->trace, &l->st->policy, err) : 0;

	if (rc == 0)
		rc = mv_drop_privileges(l->user, err);
	return rc || l->no_seccomp ? rc : mv_sandbox_enter(mv_launch_forbidden, err);
}

int mv_launch_run(struct mv_launch *l, struct mv_run_result *result, struct mv_err *err)
{
	int rc = mv_terminal_start(l->vm, err);

	if (rc == 0)
		rc = mv_run(l->vm, &l->run, result, err);
	mv_terminal_stop();
	if (rc == 0 && l->vm->trace) {
		mv_vm_pause(l->vm);
		rc = mv_trace_stop(l->vm->trace, err);
	}
	return rc;
}

int mv_launch_go(struct mv_launch *l, int rc, struct mv_err *err)
{
	struct mv_run_result result;
	int code;

	if (rc == 0)
		rc = mv_launch_run(l, &result, err);
	if (rc == 0)
		code = mv_launch_report(l, &result);
	else
		code = rc > 0 ? rc : mv_cli_error(err);
	mv_launch_finish(l);
	return code;
}
