/* SPDX-License-Identifier: MIT */
/* Which MSRs travel with a vCPU, and in which order they are written. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm.h"

#define MSR_IA32_TSC 0x10
#define MSR_IA32_TSC_ADJUST 0x3b
#define MSR_IA32_PERF_CAPABILITIES 0x345
#define MSR_IA32_UCODE_REV 0x8b
#define MSR_PLATFORM_INFO 0xce
#define MSR_IA32_MISC_ENABLE 0x1a0
#define MSR_IA32_TSC_DEADLINE 0x6e0
#define MSR_KVM_WALL_CLOCK 0x11
#define MSR_KVM_WALL_CLOCK_NEW 0x4b564d00
#define MSR_SMI_COUNT 0x34

/*
 * State that KVM_GET_MSR_INDEX_LIST leaves out: MTRRs (SDM Vol. 3A, 12.11). Guests without them
 * panic after a restore.
 */
static const struct {
	uint32_t first, n;
} unlisted[] = {
	{ 0x200, 16 },	/* PHYSBASE, PHYSMASK */
	{ 0x250, 1 }, { 0x258, 2 }, { 0x268, 8 },	/* fixed ranges */
	{ 0x2ff, 1 },	/* DEF_TYPE */
};

/* Not state: properties that the guest table or the host decides, or that act when written. */
static bool left_alone(uint32_t index)
{
	switch (index) {
	case MSR_IA32_PERF_CAPABILITIES:
	case MSR_IA32_UCODE_REV:
	case MSR_PLATFORM_INFO:
	case MSR_SMI_COUNT:
	case MSR_KVM_WALL_CLOCK:	/* writing it makes KVM write guest memory */
	case MSR_KVM_WALL_CLOCK_NEW:
		return true;
	default:
		return index >= 0x480 && index <= 0x491;	/* VMX capabilities */
	}
}

/* MISC_ENABLE changes what CPUID shows, so it goes first; a deadline must find its clock set. */
static int rank(uint32_t index)
{
	switch (index) {
	case MSR_IA32_MISC_ENABLE: return 0;
	case MSR_IA32_TSC: return 2;
	case MSR_IA32_TSC_ADJUST: return 3;
	case MSR_IA32_TSC_DEADLINE: return 4;
	default: return 1;
	}
}

static int by_rank(const void *a, const void *b)
{
	const struct mv_msr *x = a, *y = b;

	if (rank(x->index) != rank(y->index))
		return rank(x->index) - rank(y->index);
	return x->index < y->index ? -1 : x->index > y->index;
}

static int get_one(struct mv_vcpu *v, struct mv_vcpu_state *s, uint32_t index)
{
	uint64_t value;

	/* Listed, but not for this vCPU's CPUID: there is nothing to save. */
	if (left_alone(index) || !mv_kvm_get_msr(v->fd, index, &value))
		return 0;
	if (s->nmsrs == MV_MAX_MSRS)
		return -1;
	s->msrs[s->nmsrs++] = (struct mv_msr){ index, value };
	return 0;
}

int mv_msrs_get(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	struct kvm_msr_list probe = { 0 }, *list;
	int rc;

	/* The list's length is told by the error. */
	mv_kvm_do(v->vm->kvm->fd, KVM_GET_MSR_INDEX_LIST, &probe, NULL);
	list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	if (!list)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	list->nmsrs = probe.nmsrs;
	rc = mv_kvm_do(v->vm->kvm->fd, KVM_GET_MSR_INDEX_LIST, list, err);
	for (uint32_t i = 0; rc >= 0 && i < list->nmsrs; i++)
		if (get_one(v, s, list->indices[i]))
			rc = mv_err_set(err, MV_E_HOST, "more than %d MSRs", MV_MAX_MSRS);
	for (size_t i = 0; rc >= 0 && i < sizeof(unlisted) / sizeof(unlisted[0]); i++)
		for (uint32_t n = 0; rc >= 0 && n < unlisted[i].n; n++)
			if (get_one(v, s, unlisted[i].first + n))
				rc = mv_err_set(err, MV_E_HOST, "more than %d MSRs", MV_MAX_MSRS);
	free(list);
	qsort(s->msrs, s->nmsrs, sizeof(s->msrs[0]), by_rank);
	return rc;
}

/* Set it, or find that it has that value already: some MSRs can be read and not written. */
static bool set_or_same(struct mv_vcpu *v, uint32_t index, uint64_t value)
{
	uint64_t now;

	return mv_kvm_set_msr(v->fd, index, value) ||
	       (mv_kvm_get_msr(v->fd, index, &now) && now == value);
}

/*
 * One by one, so that a refusal names its MSR. What the destination's KVM does not know may only be
 * left out if it holds nothing: a zero.
 */
int mv_msrs_set(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	for (uint32_t i = 0; i < s->nmsrs; i++) {
		const struct mv_msr *m = &s->msrs[i];

		if (!left_alone(m->index) && m->value && !set_or_same(v, m->index, m->value))
			return mv_err_set(err, MV_E_HOST,
					  "this host's KVM refuses MSR 0x%x = 0x%llx", m->index,
					  (unsigned long long)m->value);
	}
	return 0;
}

int mv_msrs_power_on(struct mv_vcpu *v, struct mv_err *err)
{
	const struct mv_policy *p = &v->vm->st->policy;

	for (uint32_t i = 0; i < p->final.nmsrs; i++) {
		const struct mv_mask_msr *line = &p->final.msrs[i];
		uint64_t value = mv_policy_msr(p, line->index, NULL);

		if (!set_or_same(v, line->index, value))
			return mv_err_at(err, MV_E_HOST, p->files.name[MV_AT_FILE(line->at)],
					 MV_AT_LINE(line->at), 0,
					 "this host's KVM refuses MSR 0x%x = 0x%llx", line->index,
					 (unsigned long long)value);
	}
	return 0;
}
