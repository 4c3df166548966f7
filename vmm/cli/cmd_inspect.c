/* SPDX-License-Identifier: MIT */
/* minivmm inspect: what a snapshot holds, without loading it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "file_kind.h"
#include "host_json.h"
#include "snapshot.h"
#include "state_json.h"

static int option(void *ctx, int key, const char *arg)
{
	(void)key;
	(void)arg;
	*(bool *)ctx = true;
	return 0;
}

static struct json_object *table_to_json(const struct mv_table *t)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < t->n; i++) {
		struct json_object *e = json_object_new_array();

		json_object_array_add(e, mv_json_hex(t->e[i].leaf, 8));
		json_object_array_add(e, mv_json_hex(t->e[i].subleaf, 1));
		for (unsigned r = 0; r < MV_NREGS; r++)
			json_object_array_add(e, mv_json_hex(t->e[i].reg[r], 8));
		json_object_array_add(list, e);
	}
	return list;
}

static struct json_object *disks_to_json(const struct mv_config *c)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < c->ndisks; i++) {
		const struct mv_disk *d = &c->disks[i];
		struct json_object *o = json_object_new_object();
		char id[2 * sizeof(d->id) + 1] = "";

		for (size_t k = 0; k < sizeof(d->id) && d->id_kind; k++)
			snprintf(id + 2 * k, 3, "%02x", d->id[k]);
		json_object_object_add(o, "path", json_object_new_string(d->path));
		json_object_object_add(o, "size", json_object_new_int64((int64_t)d->size));
		json_object_object_add(o, "read-only", json_object_new_boolean(d->read_only));
		json_object_object_add(o, "content", json_object_new_string(id));
		json_object_array_add(list, o);
	}
	return list;
}

/* null: what the source has. */
static struct json_object *given_to_json(const struct mv_given *g)
{
	struct json_object *o = g->kept ? json_object_new_object() : NULL;
	char caps[24];

	if (!o)
		return NULL;
	snprintf(caps, sizeof(caps), "0x%llx", (unsigned long long)g->arch_caps);
	json_object_object_add(o, "tsc-khz", json_object_new_int64(g->tsc_khz));
	json_object_object_add(o, "arch-capabilities", json_object_new_string(caps));
	return o;
}

static void print_json(const struct mv_static *st, const struct mv_snapshot_info *info,
		       const struct mv_state *state, const struct mv_manifest *memory)
{
	const struct mv_config *c = &st->config;
	const struct mv_policy *p = &st->policy;
	struct json_object *o = json_object_new_object();
	char version[16], hash[2 * sizeof(c->image_hash) + 1];

	snprintf(version, sizeof(version), "%u.%u", info->version >> 16, info->version & 0xffff);
	json_object_object_add(o, "format", json_object_new_string(version));
	json_object_object_add(o, "name", json_object_new_string(c->name));
	json_object_object_add(o, "image", json_object_new_string(c->image));
	for (unsigned i = 0; i < sizeof(c->image_hash); i++)
		snprintf(hash + 2 * i, 3, "%02x", c->image_hash[i]);
	json_object_object_add(o, "image-hash", json_object_new_string(hash));
	json_object_object_add(o, "producer", json_object_new_string(c->producer));
	json_object_object_add(o, "saved-at", json_object_new_int64((int64_t)c->saved_at));
	json_object_object_add(o, "memory", json_object_new_int64((int64_t)c->ram_size));
	json_object_object_add(o, "memory-in-file", json_object_new_int64((int64_t)info->memory_bytes));
	json_object_object_add(o, "compression", json_object_new_string(memory->packed.method ? "zstd" : "none"));
	json_object_object_add(o, "file-size", json_object_new_int64((int64_t)info->file_size));
	json_object_object_add(o, "cpus", json_object_new_int64(c->nvcpus));
	json_object_object_add(o, "disks", disks_to_json(c));
	json_object_object_add(o, "rng", json_object_new_boolean(c->rng));
	json_object_object_add(o, "guest-os", json_object_new_string(p->guest_os));
	json_object_object_add(o, "intercept",
			       json_object_new_string(
				       mv_intercept_name((enum mv_intercept)p->intercept)));
	json_object_object_add(o, "patchable", json_object_new_boolean(p->patchable));
	json_object_object_add(o, "patch-cpl3", json_object_new_boolean(p->patch_cpl3));
	json_object_object_add(o, "ignored", json_object_new_string(p->ignored));
	json_object_object_add(o, "guest-table", table_to_json(&p->guest));
	json_object_object_add(o, "final-mask", mv_json_mask(&p->final, &p->files));
	json_object_object_add(o, "effective-mask", mv_json_mask(&p->effective, &p->files));
	json_object_object_add(o, "source", mv_host_to_json(&p->source));
	json_object_object_add(o, "given", given_to_json(&p->given));
	json_object_object_add(o, "state", mv_state_to_json(state));
	json_object_object_add(o, "pages", mv_manifest_to_json(memory));
	mv_cli_json(o);
}

static void print_table(const struct mv_table *table)
{
	struct mv_table t = *table;

	mv_table_sort(&t);
	for (uint32_t i = 0; i < t.n; i++)
		printf("  0x%08x 0x%02x  %08x %08x %08x %08x\n", t.e[i].leaf, t.e[i].subleaf,
		       t.e[i].reg[MV_EAX], t.e[i].reg[MV_EBX], t.e[i].reg[MV_ECX],
		       t.e[i].reg[MV_EDX]);
}

static void print_text(const struct mv_static *st, const struct mv_snapshot_info *info,
		       const struct mv_state *state, const struct mv_manifest *memory)
{
	const struct mv_config *c = &st->config;
	const struct mv_policy *p = &st->policy;
	time_t at = (time_t)c->saved_at;
	char when[32] = "?", brand[49];
	struct tm tm;

	if (gmtime_r(&at, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	mv_table_brand_string(&p->source.raw, brand);
	printf("vm         %s, image %s\n", mv_cli_shown(c->name), mv_cli_shown(c->image));
	printf("saved      %s by %s\n", when, mv_cli_shown(c->producer));
	printf("memory     %llu MiB, %llu KiB of it in the file", (unsigned long long)c->ram_size >> 20,
	       (unsigned long long)mv_manifest_data_size(memory) >> 10);
	if (memory->packed.method)
		printf(", compressed (zstd) to %llu KiB", (unsigned long long)info->memory_bytes >> 10);
	printf("\n");
	printf("cpus       %u, CPUID answered by %s\n", c->nvcpus,
	       mv_intercept_name((enum mv_intercept)p->intercept));
	for (uint32_t i = 0; i < c->ndisks; i++)
		printf("disk%u      %s, %llu KiB%s\n", i, mv_cli_shown(c->disks[i].path),
		       (unsigned long long)c->disks[i].size >> 10,
		       c->disks[i].read_only ? ", read-only" : "");
	if (c->rng)
		printf("rng0       random bytes from the host\n");
	printf("source     %s: %s, Linux %s\n", mv_cli_shown(p->source.name), brand, mv_cli_shown(p->source.kernel));
	if (p->given.kept)
		printf("given      where it started: TSC %u kHz, ARCH_CAPABILITIES 0x%llx\n",
		       p->given.tsc_khz, (unsigned long long)p->given.arch_caps);
	printf("masks      guest OS %s;", mv_cli_shown(p->guest_os));
	for (uint32_t i = 0; i < p->files.n; i++)
		printf(" %s", mv_cli_shown(p->files.name[i]));
	printf("\n");
	if (*p->ignored)
		printf("ignored    %s (refusals overridden on the way here)\n", mv_cli_shown(p->ignored));
	printf("devices   ");
	for (uint32_t i = 0; i < state->ndevices; i++)
		printf(" %s", mv_cli_shown(state->devices[i].name));
	printf("%s\n", state->has_irqchip ? ", KVM's PIT, PICs and IOAPIC" : "");
	for (uint32_t i = 0; i < state->nvcpus; i++)
		printf("vcpu %-5u RIP 0x%llx, CR3 0x%llx, %u MSRs, TSC %u kHz\n", state->vcpus[i].id,
		       (unsigned long long)state->vcpus[i].regs.rip,
		       (unsigned long long)state->vcpus[i].sregs.cr3, state->vcpus[i].nmsrs,
		       state->vcpus[i].tsc_khz);
	printf("guest's CPUID: leaf, sublevel, eax ebx ecx edx\n");
	print_table(&p->guest);
	if (mv_output.verbose) {
		printf("final mask:\n");
		mv_print_mask(stdout, &p->final);
	}
}

static int show(const char *path, struct mv_err *err)
{
	struct mv_static *st = calloc(1, sizeof(*st));
	struct mv_state *state = calloc(1, sizeof(*state));
	struct mv_snapshot *snap = NULL;
	struct mv_snapshot_info info;
	int rc;

	rc = st && state ? mv_snapshot_open(&snap, path, st, err)
			 : mv_err_set(err, MV_E_FAILED, "out of memory");
	if (rc)
		mv_file_hint(err, path, MV_FILE_SNAPSHOT);
	if (rc == 0)
		rc = mv_snapshot_state(snap, state, err);
	if (rc == 0) {
		mv_snapshot_info(snap, &info);
		if (mv_output.json)
			print_json(st, &info, state, mv_snapshot_manifest(snap));
		else
			print_text(st, &info, state, mv_snapshot_manifest(snap));
		mv_state_finish(state);
	}
	mv_snapshot_close(snap);
	free(state);
	free(st);
	return rc;
}

static int run(int argc, char **argv)
{
	struct mv_err err = { 0 };
	bool unused = false;
	int code = MV_EXIT_OK, first;

	first = mv_cli_options(&mv_cmd_inspect, argc, argv, option, &unused, &code);
	if (first < 0)
		return code;
	if (argc - first != 1)
		return mv_cli_usage(&mv_cmd_inspect, first == argc ? "no snapshot given"
								   : "more than one snapshot given");
	return show(argv[first], &err) ? mv_cli_error(&err) : MV_EXIT_OK;
}

const struct mv_cmd mv_cmd_inspect = {
	.name = "inspect",
	.args = "FILE",
	.summary = "what a snapshot holds, without loading it",
	.more = "Everything but memory is read and verified, and shown with --json; -v adds the\n"
		"final mask.\n",
	.run = run,
};
