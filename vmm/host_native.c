/* SPDX-License-Identifier: MIT */
#include "host_native.h"

#include <cpuid.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "text.h"

#define MAX_SUBLEAVES 64u

static bool empty(const struct mv_leaf *e)
{
	return !(e->reg[0] | e->reg[1] | e->reg[2] | e->reg[3]);
}

static struct mv_leaf execute(uint32_t leaf, uint32_t subleaf)
{
	struct mv_leaf e = { .leaf = leaf, .subleaf = subleaf };

	__cpuid_count(leaf, subleaf, e.reg[MV_EAX], e.reg[MV_EBX], e.reg[MV_ECX], e.reg[MV_EDX]);
	return e;
}

/* How many subleaves the leaf has to be asked for, from what its first one says. */
static uint32_t subleaves(const struct mv_leaf *first)
{
	return mv_leaf_counts_subleaves(first->leaf) && first->reg[MV_EAX] < MAX_SUBLEAVES
		       ? first->reg[MV_EAX] + 1
		       : MAX_SUBLEAVES;
}

/* Leaf 0xD and those that count their subleaves may have gaps; others end at an empty one. */
static bool is_last(const struct mv_leaf *e)
{
	return mv_leaf_ends_list(e->leaf, e->reg) ||
	       (e->leaf != 0xd && !mv_leaf_counts_subleaves(e->leaf) && empty(e));
}

static void take(struct mv_table *out, const struct mv_leaf *e)
{
	struct mv_leaf *to = mv_table_add(out, e->leaf, e->subleaf);

	if (to)
		*to = *e;
}

static void walk(struct mv_table *out, uint32_t first, uint32_t limit)
{
	uint32_t max = execute(first, 0).reg[MV_EAX];

	/* A CPU without this range answers with something else: its highest basic leaf. */
	if (max < first || max > limit)
		return;
	for (uint32_t leaf = first; leaf <= max; leaf++) {
		struct mv_leaf e = execute(leaf, 0);
		uint32_t n = mv_leaf_has_subleaves(leaf) ? subleaves(&e) : 1;

		for (uint32_t sub = 0; sub < n; sub++) {
			if (sub)
				e = execute(leaf, sub);
			if (sub && is_last(&e))
				break;
			if (!empty(&e))
				take(out, &e);
		}
	}
}

enum mv_vendor mv_native_vendor(void)
{
	struct mv_table t = { .n = 1, .e = { execute(0, 0) } };

	return mv_table_vendor(&t);
}

/* The CPUID instruction, all leaves, on one CPU. */
static void native_cpuid(struct mv_table *out)
{
	cpu_set_t old, one;
	bool pinned = sched_getaffinity(0, sizeof(old), &old) == 0;

	/* APIC ids and topology of one CPU, not of whichever ran each instruction. */
	for (int cpu = 0; pinned && cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &old)) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			sched_setaffinity(0, sizeof(one), &one);
			break;
		}
	}
	out->n = 0;
	walk(out, 0, 0xff);
	if (mv_table_bit(out, 1, 0, MV_ECX, 31))
		walk(out, 0x40000000, 0x400000ff);
	walk(out, 0x80000000, 0x800000ff);
	if (pinned)
		sched_setaffinity(0, sizeof(old), &old);
}

static int supported_cpuid(struct mv_host *h, const struct mv_kvm *kvm, struct mv_err *err)
{
	struct kvm_cpuid2 *b = calloc(1, sizeof(*b) + MV_TABLE_MAX * sizeof(b->entries[0]));
	int rc;

	if (!b)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	b->nent = MV_TABLE_MAX;
	rc = mv_kvm_do(kvm->fd, KVM_GET_SUPPORTED_CPUID, b, err);
	h->kvm.n = 0;
	for (uint32_t i = 0; rc >= 0 && i < b->nent && i < MV_TABLE_MAX; i++) {
		const struct kvm_cpuid_entry2 *k = &b->entries[i];
		struct mv_leaf e = {
			.leaf = k->function,
			.subleaf = mv_leaf_has_subleaves(k->function) ? k->index : 0,
			.reg = { k->eax, k->ebx, k->ecx, k->edx },
		};

		if (!empty(&e))
			take(&h->kvm, &e);
	}
	free(b);
	return rc < 0 ? rc : 0;
}

static void feature_msrs(struct mv_host *h, const struct mv_kvm *kvm)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 256 * sizeof(list->indices[0]));
	uint64_t value;

	if (!list)
		return;
	list->nmsrs = 256;
	/* An old kernel without the list simply has no feature MSRs to tell of. */
	if (mv_kvm_do(kvm->fd, KVM_GET_MSR_FEATURE_INDEX_LIST, list, NULL) < 0)
		list->nmsrs = 0;
	for (uint32_t i = 0; i < list->nmsrs && h->nmsrs < MV_HOST_MSRS; i++)
		if (mv_kvm_get_msr(kvm->fd, list->indices[i], &value))
			h->msrs[h->nmsrs++] = (struct mv_msr){ list->indices[i], value };
	free(list);
}

/* The guest's TSC frequency is a vCPU's to tell. */
static int tsc(struct mv_host *h, const struct mv_kvm *kvm, struct mv_err *err)
{
	int vm = mv_kvm_create_vm(kvm, err), vcpu, khz = -1;

	if (vm < 0)
		return vm;
	vcpu = mv_kvm_do_value(vm, KVM_CREATE_VCPU, 0, err);
	if (vcpu >= 0)
		khz = mv_kvm_do_value(vcpu, KVM_GET_TSC_KHZ, 0, err);
	h->kvm_controls = mv_kvm_controls(vm);
	h->tsc_scaling = mv_kvm_cap(vm, KVM_CAP_TSC_CONTROL) > 0;
	if (vcpu >= 0)
		close(vcpu);
	close(vm);
	if (khz < 0)
		return -MV_E_FAILED;
	h->tsc_khz = (uint32_t)khz;
	return 0;
}

/* The microcode as the running kernel tells it; feature MSRs may hold an emulated one. */
static uint64_t cpuinfo_microcode(void)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	unsigned long long v = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "microcode : %llx", &v) == 1)
			break;
	if (f)
		fclose(f);
	return v;
}

int mv_host_native(struct mv_host *h, const struct mv_kvm *kvm, struct mv_err *err)
{
	struct utsname u;
	int rc = 0;

	memset(h, 0, sizeof(*h));
	if (uname(&u) == 0) {
		snprintf(h->name, sizeof(h->name), "%.63s", u.nodename);
		mv_text_printable(h->name);
		snprintf(h->kernel, sizeof(h->kernel), "%.63s", u.release);
	}
	mv_host_identity(h);
	snprintf(h->source, sizeof(h->source), kvm ? "kvm" : "cpuid");
	native_cpuid(&h->raw);
	h->microcode = cpuinfo_microcode();
	if (!kvm)
		return 0;
	rc = supported_cpuid(h, kvm, err);
	if (rc == 0)
		rc = tsc(h, kvm, err);
	if (rc == 0)
		feature_msrs(h, kvm);
	return rc;
}
