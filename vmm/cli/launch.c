/* SPDX-License-Identifier: MIT */
#include "launch.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "control.h"
#include "explain.h"
#include "host_cache.h"
#include "host_exec.h"
#include "host_native.h"
#include "json.h"
#include "power_on.h"
#include "proof.h"
#include "sandbox.h"
#include "terminal.h"

#define DEFAULT_MEMORY (UINT64_C(64) << 20)
#define DEFAULT_MEMORY_LINUX (UINT64_C(256) << 20)

void mv_launch_init(struct mv_launch *l)
{
	memset(l, 0, sizeof(*l));
	l->ncpus = 1;
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

/* "64M", "1G", "65536K"; plain numbers are MiB, as elsewhere. 0 if it is no size. */
static uint64_t parse_size(const char *s)
{
	char *end;
	unsigned long long n;
	unsigned shift = 20;

	if (*s < '0' || *s > '9')
		return 0;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (*end == 'K' || *end == 'k')
		shift = 10;
	else if (*end == 'M' || *end == 'm' || *end == '\0')
		shift = 20;
	else if (*end == 'G' || *end == 'g')
		shift = 30;
	else
		return 0;
	if (errno || (*end && end[1]) || n > UINT64_MAX >> shift)
		return 0;
	return n << shift;
}

static int set_memory(const struct mv_cmd *cmd, struct mv_launch *l, const char *arg)
{
	l->memory = parse_size(arg);
	if (!l->memory)
		return mv_cli_usage(cmd, "'%s' is not a memory size (64M, 1G)", arg);
	if (l->memory % MV_PAGE_SIZE)
		return mv_cli_usage(cmd, "--memory %s is not a whole number of 4 KiB pages", arg);
	if (l->memory < MV_MIN_RAM * 2 || l->memory > MV_MAX_LOW_RAM)
		return mv_cli_usage(cmd, "--memory %s is out of range: 2M to 3G", arg);
	return 0;
}

static int set_cpus(const struct mv_cmd *cmd, struct mv_launch *l, const char *arg)
{
	char *end;
	unsigned long n = *arg >= '0' && *arg <= '9' ? strtoul(arg, &end, 10) : 0;

	if (!n || *end || n > MV_MAX_VCPUS)
		return mv_cli_usage(cmd, "--cpus takes 1 to %d, not '%s'", MV_MAX_VCPUS, arg);
	l->ncpus = (unsigned)n;
	return 0;
}

int mv_launch_option(const struct mv_cmd *cmd, struct mv_launch *l, int key, const char *arg)
{
	struct mv_err err = { 0 };
	char *end;

	switch (key) {
	case 'm':
		if (l->nmasks == MV_LAUNCH_MASKS)
			return mv_cli_usage(cmd, "more than %d masks", MV_LAUNCH_MASKS);
		l->masks[l->nmasks++] = arg;
		return 0;
	case 'g':
		l->guest_os = arg;
		return 0;
	case 'D':
		l->default_mask = arg;
		return 0;
	case 'B':
		l->baseline = arg;
		return 0;
	case 'M':
		return set_memory(cmd, l, arg);
	case 'C':
		return set_cpus(cmd, l, arg);
	case 'd':
		if (l->ndisks == MV_MAX_DISKS)
			return mv_cli_usage(cmd, "more than %d disks", MV_MAX_DISKS);
		l->disks[l->ndisks++] = arg;
		return 0;
	case 'r':
		l->rng = true;
		return 0;
	case 'u':
		l->user = arg;
		return 0;
	case 'z':
		l->no_seccomp = true;
		return 0;
	case 'i':
		return mv_intercept_parse(arg, &l->intercept, &err) ? mv_cli_error(&err) : 0;
	case 't':
		l->run.timeout_s = strtod(arg, &end);
		if (*end || end == arg || !(l->run.timeout_s > 0) || !isfinite(l->run.timeout_s) ||
		    l->run.timeout_s > 1e9)
			return mv_cli_usage(cmd, "--timeout '%s' is not a number of seconds above 0", arg);
		return 0;
	case 'n':
		l->asked_name = arg;
		return mv_name_valid(arg) ? 0
					  : mv_cli_usage(cmd, "'%s' can't be a name: letters, "
							      "digits and ._-, at most %d",
							 arg, MV_NAME_MAX);
	case 's':
		l->run.snapshot_on_sync = arg;
		return 0;
	case 'S':
		l->run.stop_after_sync = true;
		return 0;
	case 'R':
		l->trace = arg;
		return 0;
	case 'T':
		l->testdev = true;
		return 0;
	case 'x':
		l->qemu_exit = !strcmp(arg, "qemu");
		return l->qemu_exit || !strcmp(arg, "plain")
			       ? 0
			       : mv_cli_usage(cmd, "--exit-code is plain or qemu, not '%s'", arg);
	default:
		return mv_cli_usage(cmd, "unknown option");
	}
}

int mv_launch_check_options(const struct mv_cmd *cmd, const struct mv_launch *l)
{
	if (l->run.stop_after_sync && !l->run.snapshot_on_sync)
		return mv_cli_usage(cmd, "--stop goes with --snapshot-on-sync");
	return 0;
}

/*
 * What the guest wrote and nobody has read yet: a reader that takes its time slows the guest down,
 * but must not keep it from being paused, saved or stopped.
 */
static struct {
	pthread_mutex_t lock;
	size_t n;
	uint8_t bytes[64 * 1024];
} unread = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Pass on what the reader takes within timeout_ms at a time. Returns whether nothing is left. */
static bool drain(int timeout_ms)
{
	struct pollfd p = { .fd = mv_output.json ? STDERR_FILENO : STDOUT_FILENO, .events = POLLOUT };

	while (unread.n && poll(&p, 1, timeout_ms) > 0) {
		/* What a pipe that is ready takes without waiting. */
		ssize_t n = write(p.fd, unread.bytes, unread.n < PIPE_BUF ? unread.n : PIPE_BUF);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			break;
		if (n <= 0)
			n = (ssize_t)unread.n;	/* nobody listens: the guest goes on */
		unread.n -= (size_t)n;
		memmove(unread.bytes, unread.bytes + n, unread.n);
	}
	return unread.n == 0;
}

static void write_console(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	pthread_mutex_lock(&unread.lock);
	if (len > sizeof(unread.bytes) - unread.n)
		len = sizeof(unread.bytes) - unread.n;
	memcpy(unread.bytes + unread.n, data, len);
	unread.n += len;
	drain(0);
	pthread_mutex_unlock(&unread.lock);
}

static bool console_ready(void *ctx)
{
	bool ready;

	(void)ctx;
	pthread_mutex_lock(&unread.lock);
	ready = drain(20);
	pthread_mutex_unlock(&unread.lock);
	return ready;
}

/* What a driver gets wrong is news about the guest, not an error of ours. */
static void note_breach(void *ctx, const char *device, const char *what)
{
	(void)ctx;
	mv_cli_note("%s needs a reset: the guest gave it %s", device, what);
}

struct mv_console mv_launch_console(void)
{
	return (struct mv_console){ .write = write_console, .ready = console_ready,
				    .note = note_breach };
}

void mv_launch_set_name(struct mv_launch *l, const char *fallback)
{
	snprintf(l->name, sizeof(l->name), "%.63s", l->asked_name ? l->asked_name : fallback);
	l->run.name = mv_name_valid(l->name) ? l->name : NULL;
	l->run.name_required = l->asked_name;
}

struct mv_mask_request mv_launch_masks(const struct mv_launch *l, enum mv_vendor vendor)
{
	return (struct mv_mask_request){
		.guest_os = l->guest_os, .default_mask = l->default_mask, .baseline = l->baseline,
		.overrides = l->masks, .noverrides = l->nmasks, .vendor = vendor,
	};
}

static int load_masks(struct mv_launch *l, enum mv_vendor vendor, struct mv_err *err)
{
	const struct mv_mask_request req = mv_launch_masks(l, vendor);

	return mv_masks_load(&l->st->policy, &req, err);
}

int mv_launch_described(const struct mv_launch *l, const char *file, struct mv_static *st,
			struct mv_err *err)
{
	struct mv_notes *notes = malloc(sizeof(*notes));
	struct mv_mask_request req;
	int rc = notes ? mv_cli_host_file(&st->policy.source, file, err)
		       : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0) {
		req = mv_launch_masks(l, mv_table_vendor(&st->policy.source.raw));
		st->policy.intercept = MV_INTERCEPTION_KERNEL;
		rc = mv_masks_load(&st->policy, &req, err);
	}
	if (rc == 0)
		rc = mv_apply(&st->policy, 1, notes, err);
	if (rc == 0) {
		rc = mv_cli_power_on(&st->policy, notes);
	}
	free(notes);
	return rc;
}

int mv_launch_judged_vm(const struct mv_launch *l, const char *start_host, const char *file,
			struct mv_static *st, struct mv_err *err)
{
	struct mv_snapshot *snap;
	int rc;

	if (start_host)
		return mv_launch_described(l, start_host, st, err);
	rc = mv_snapshot_open(&snap, file, st, err);
	if (rc == 0)
		mv_snapshot_close(snap);
	return rc;
}

static int ask_host(struct mv_launch *l, struct mv_err *err)
{
	int rc = mv_host_native(l->host, &l->kvm, err);

	/* Both ends of a move look at what executes, so both have to know. */
	if (rc == 0)
		mv_host_exec(l->host);
	if (rc == 0)
		rc = mv_prove(l->host, &l->kvm,
			      l->intercept > 0 ? 1u << l->intercept : MV_PROVE_FIRST, err);
	/* Which of the others auto can take depends on the image, too. */
	if (rc == 0 && l->intercept == MV_INTERCEPT_AUTO &&
	    l->host->proof[MV_INTERCEPTION_KERNEL] != MV_PROOF_BOTH)
		rc = mv_prove(l->host, &l->kvm, MV_PROVE_ALL, err);
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
		rc = ask_host(l, err);
		if (rc == 0)
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
	uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);
	uint64_t memory = pages * (uint64_t)sysconf(_SC_PAGESIZE);

	if (l->ncpus > (unsigned)cpus)
		return mv_err_set(err, MV_E_HOST, "--cpus %u: this host's KVM takes %d at most",
				  l->ncpus, cpus);
	if (l->memory > memory)
		return mv_err_set(err, MV_E_HOST, "%llu MiB of guest memory: this host has %llu MiB",
				  (unsigned long long)l->memory >> 20,
				  (unsigned long long)memory >> 20);
	return 0;
}

/* Guest table from the final mask; every requirement that fails is printed. */
static int power_on(struct mv_launch *l, struct mv_err *err)
{
	int rc = mv_apply(&l->st->policy, l->st->config.nvcpus, l->notes, err);

	return rc ? rc : mv_cli_power_on(&l->st->policy, l->notes);
}

int mv_launch_prepare(struct mv_launch *l, const struct mv_image *img,
		      const struct mv_console *console, struct mv_err *err)
{
	struct mv_sites *sites = calloc(1, sizeof(*sites));
	char why[256];
	int rc;

	l->st = calloc(1, sizeof(*l->st));
	l->notes = calloc(1, sizeof(*l->notes));
	rc = sites && l->st && l->notes ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");
	if (!l->memory)
		l->memory = img->linux_kernel ? DEFAULT_MEMORY_LINUX : DEFAULT_MEMORY;
	/* Bad input is told before this host's own limits. */
	if (rc == 0)
		rc = mv_boot_check(img, l->cmdline, l->memory, err);
	if (rc == 0)
		rc = mv_launch_new_disks(l, err);
	if (rc == 0)
		rc = load_masks(l, mv_native_vendor(), err);
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
		l->vm->sites = *sites;
		if (l->st->policy.intercept == MV_INTERCEPTION_PATCH)
			rc = mv_vm_patch(l->vm, err);
	}
	free(sites);
	return rc;
}

/* In whatever thread, under whatever locks: nothing but system calls. */
static void forbidden(const char *name)
{
	static const char *const text[] = { "minivmm: the system call ", NULL,
					    " is not allowed (--no-seccomp runs without the filter)\n" };

	mv_terminal_restore();
	for (unsigned i = 0; i < 3; i++) {
		const char *s = text[i] ? text[i] : name;

		if (write(STDERR_FILENO, s, strlen(s)) < 0)
			break;
	}
	_exit(MV_EXIT_FAILED);
}

int mv_launch_confine(const struct mv_launch *l, struct mv_err *err)
{
	int rc = mv_drop_privileges(l->user, err);

	return rc || l->no_seccomp ? rc : mv_sandbox_enter(forbidden, err);
}

int mv_launch_run(struct mv_launch *l, struct mv_run_result *result, struct mv_err *err)
{
	int rc = l->trace ? mv_trace_open(&l->vm->trace, l->trace, &l->st->policy, err) : 0;

	if (rc == 0)
		rc = mv_terminal_start(l->vm, err);
	if (rc == 0)
		rc = mv_run(l->vm, &l->run, result, err);
	mv_terminal_stop();
	if (rc == 0 && l->vm->trace) {
		mv_vm_pause(l->vm);
		rc = mv_trace_stop(l->vm->trace, err);
	}
	return rc;
}

/* A word for how it ended. */
static const char *end_name(const struct mv_launch *l, const struct mv_run_result *r)
{
	static const char *const ends[] = { "exit", "crash", "timeout", "saved", "stopped",
					    "moved" };
	static const char *const endings[] = { "exit", "power-off", "reset", "stopped" };

	return r->end == MV_END_EXIT ? endings[l->vm->ending] : ends[r->end];
}

/*
 * A reset fails: this machine does not start again, and a kernel that panics resets it, too. Only
 * power-off is a word of success.
 */
static int end_code(const struct mv_launch *l, const struct mv_run_result *r)
{
	int good = r->not_saved.code ? MV_EXIT_FAILED : MV_EXIT_OK;

	switch (r->end) {
	case MV_END_EXIT:
		if (l->vm->ending == MV_ENDING_RESET)
			return MV_EXIT_GUEST;
		if (l->qemu_exit && l->vm->ending == MV_ENDING_VALUE)
			return (int)((r->value << 1 | 1) & 0xff);
		return r->value ? MV_EXIT_GUEST : good;
	case MV_END_CRASH:
	case MV_END_TIMEOUT:
		return MV_EXIT_GUEST;
	case MV_END_SAVED:
		return good;
	default:
		return r->signal ? 128 + r->signal : good;
	}
}

static void code_bytes(char *buf, size_t size, const struct mv_event *e)
{
	size_t n = 0;

	*buf = '\0';
	for (unsigned i = 0; i < e->ncode && n < size; i++)
		n += (size_t)snprintf(buf + n, size - n, "%s%02x", i ? " " : "", e->code[i]);
}

/* Why it died, if an instruction tells: one that crashed it, or that its own handler named. */
static void explain_end(char *buf, size_t size, const struct mv_launch *l,
			const struct mv_run_result *r)
{
	const uint8_t *code = r->event.code;
	size_t n = r->end == MV_END_CRASH ? r->event.ncode : 0;
	uint32_t fault = l->vm->devices.fault;

	if (r->end == MV_END_EXIT && l->vm->ending == MV_ENDING_VALUE && fault) {
		n = sizeof(r->event.code);
		while (n && !mv_vm_at(l->vm, fault, n))
			n--;
		code = mv_vm_at(l->vm, fault, n);
	}
	if (n)
		mv_explain_crash(buf, size, &l->st->policy, l->host ? l->host : &l->st->policy.source,
				 code, n);
}

int mv_launch_report(const struct mv_launch *l, const struct mv_run_result *r)
{
	bool by_value = r->end == MV_END_EXIT && l->vm->ending == MV_ENDING_VALUE;
	bool quit = r->end == MV_END_EXIT && l->vm->ending == MV_ENDING_QUIT;
	int code = end_code(l, r);
	struct json_object *o;
	char bytes[64], why[900] = "";

	/* All that the guest said comes first; whoever ended it from outside waits for no reader. */
	drain(r->end == MV_END_STOPPED || r->end == MV_END_TIMEOUT || quit ? 0 : -1);
	code_bytes(bytes, sizeof(bytes), &r->event);
	explain_end(why, sizeof(why), l, r);
	if (mv_output.json) {
		o = json_object_new_object();
		json_object_object_add(o, "end", json_object_new_string(end_name(l, r)));
		if (by_value)
			json_object_object_add(o, "value", json_object_new_int64(r->value));
		if (r->end == MV_END_CRASH) {
			json_object_object_add(o, "crash", json_object_new_string(r->event.err.msg));
			json_object_object_add(o, "rip", mv_json_hex(r->event.rip, 1));
			json_object_object_add(o, "code", json_object_new_string(bytes));
		}
		if (*why)
			json_object_object_add(o, "why", json_object_new_string(why));
		if (r->end == MV_END_STOPPED && r->signal)
			json_object_object_add(o, "signal", json_object_new_int(r->signal));
		if (r->end == MV_END_MOVED)
			json_object_object_add(o, "to", json_object_new_string(r->moved_to));
		if (*r->saved)
			json_object_object_add(o, "saved", json_object_new_string(r->saved));
		if (r->not_saved.code)
			json_object_object_add(o, "not-saved", mv_json_error(&r->not_saved));
		json_object_object_add(o, "intercept",
				       json_object_new_string(mv_intercept_name(
					       (enum mv_intercept)l->st->policy.intercept)));
		if (l->vm->trace)
			json_object_object_add(o, "cpuid", mv_trace_summary_json(l->vm->trace));
		json_object_object_add(o, "exit", json_object_new_int(code));
		mv_cli_json(o);
		return code;
	}
	if (l->vm->trace && !mv_output.quiet)
		mv_trace_summary(l->vm->trace, stderr);
	if (*r->saved)
		mv_cli_note("saved to %s", r->saved);
	if (r->not_saved.code)
		mv_cli_error(&r->not_saved);
	switch (r->end) {
	case MV_END_EXIT:
		if (l->vm->ending == MV_ENDING_RESET)
			fprintf(stderr, "minivmm: the guest reset itself (a reboot, or a kernel's "
					"panic); that ends it\n");
		else if (quit)
			mv_cli_note("the guest was stopped from the terminal");
		else if (by_value)
			mv_cli_detail("the guest ended with value %u", r->value);
		else
			mv_cli_detail("the guest powered itself off");
		break;
	case MV_END_CRASH:
		fprintf(stderr, "minivmm: the guest crashed: %s%s%s\n", r->event.err.msg,
			*bytes ? "; code there: " : "", bytes);
		break;
	case MV_END_TIMEOUT:
		fprintf(stderr, "minivmm: the guest did not end within %g s\n", l->run.timeout_s);
		break;
	case MV_END_STOPPED:
		mv_cli_note("the guest was stopped%s%s", r->signal ? " by signal " : "",
			    r->signal ? sigabbrev_np(r->signal) : "");
		break;
	case MV_END_MOVED:
		mv_cli_note("the guest moved to %s", r->moved_to);
		break;
	default:
		break;
	}
	if (*why)
		fprintf(stderr, "minivmm: %s\n", why);
	return code;
}
