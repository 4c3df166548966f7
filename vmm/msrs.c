/* SPDX-License-Identifier: MIT */
/* Which MSRs travel with a vCPU, and in which order they are written. */
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

#define MSR_IA32_MCG_CAP 0x179
#define MSR_IA32_MC0_CTL 0x400
#define MSR_IA32_MC0_CTL2 0x280
#define MAX_BANKS 32

/* KVM_X86_REG_KVM(KVM_REG_GUEST_SSP) of Linux 6.18 (Documentation/virt/kvm/api.rst, 4.68). */
#define REG_GUEST_SSP (KVM_REG_X86 | KVM_REG_SIZE_U64 | UINT64_C(3) << 32)

/* What KVM takes in one call. */
#define BATCH 255

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
	{ 0xc0011029, 1 },	/* AMD DE_CFG, which KVM lists as a feature alone */
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

/* A list of MSRs to ask for. */
struct wanted {
	uint32_t n, index[MV_MAX_MSRS];
};

static bool want(struct wanted *w, uint32_t index)
{
	if (left_alone(index))
		return true;
	if (w->n == MV_MAX_MSRS)
		return false;
	w->index[w->n++] = index;
	return true;
}

static bool want_range(struct wanted *w, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!want(w, first + i))
			return false;
	return true;
}

static bool want_listed(struct wanted *w, const struct mv_kvm *kvm, struct mv_err *err)
{
	struct kvm_msr_list probe = { 0 }, *list;
	bool ok;

	/* The list's length is told by the error. */
	mv_kvm_do(kvm->fd, KVM_GET_MSR_INDEX_LIST, &probe, NULL);
	list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	if (!list)
		return false;
	list->nmsrs = probe.nmsrs;
	ok = mv_kvm_do(kvm->fd, KVM_GET_MSR_INDEX_LIST, list, err) >= 0;
	for (uint32_t i = 0; ok && i < list->nmsrs; i++)
		ok = want(w, list->indices[i]);
	free(list);
	return ok;
}

/* The machine check banks that this vCPU has; unlisted, too. CTL2 is there with some of them. */
static bool want_banks(struct wanted *w, int vcpu_fd)
{
	uint64_t cap = 0;
	uint32_t n;

	mv_kvm_get_msr(vcpu_fd, MSR_IA32_MCG_CAP, &cap);
	n = (uint8_t)cap < MAX_BANKS ? (uint8_t)cap : MAX_BANKS;
	return want_range(w, MSR_IA32_MC0_CTL, 4 * n) && want_range(w, MSR_IA32_MC0_CTL2, n);
}

static bool of_banks(uint32_t index)
{
	return (index >= MSR_IA32_MC0_CTL && index < MSR_IA32_MC0_CTL + 4 * MAX_BANKS) ||
	       (index >= MSR_IA32_MC0_CTL2 && index < MSR_IA32_MC0_CTL2 + MAX_BANKS);
}

/* struct kvm_msrs with room for entries behind it. */
union batch {
	struct kvm_msrs head;
	uint8_t bytes[sizeof(struct kvm_msrs) + BATCH * sizeof(struct kvm_msr_entry)];
};

/* Read those that are there for this vCPU's CPUID. KVM stops at the first that is not: go on behind. */
static int read_all(struct mv_vcpu *v, struct mv_vcpu_state *s, const struct wanted *w,
		    struct mv_err *err)
{
	union batch b;
	uint32_t at = 0;

	while (at < w->n) {
		uint32_t n = w->n - at < BATCH ? w->n - at : BATCH;
		int got;

		memset(&b, 0, sizeof(b));
		b.head.nmsrs = n;
		for (uint32_t i = 0; i < n; i++)
			b.head.entries[i].index = w->index[at + i];
		got = mv_kvm_do(v->fd, KVM_GET_MSRS, &b.head, err);
		if (got < 0)
			return got;
		for (int i = 0; i < got; i++) {
			/* 160 more than most guests know of: zero is what they begin with. */
			if (of_banks(b.head.entries[i].index) && !b.head.entries[i].data)
				continue;
			s->msrs[s->nmsrs++] = (struct mv_msr){ b.head.entries[i].index, b.head.entries[i].data };
		}
		at += (uint32_t)got + ((uint32_t)got < n);
	}
	return 0;
}

static int too_many(struct mv_err *err)
{
	return mv_err_set(err, MV_E_HOST, "this host's KVM lists more than %d MSRs", MV_MAX_MSRS);
}

/* Only KVMs that give guests shadow stacks have it, and for vCPUs that were shown them. */
static int read_ssp(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	uint64_t ssp = 0;
	struct kvm_one_reg r = { .id = REG_GUEST_SSP, .addr = (uintptr_t)&ssp };

	if (mv_kvm_do(v->fd, KVM_GET_ONE_REG, &r, NULL) < 0)
		return 0;
	if (s->nmsrs == MV_MAX_MSRS)
		return too_many(err);
	s->msrs[s->nmsrs++] = (struct mv_msr){ MV_MSR_SSP, ssp };
	return 0;
}

/* One that holds nothing may go to a KVM without. */
static int write_ssp(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	for (uint32_t i = 0; i < s->nmsrs; i++) {
		uint64_t ssp = s->msrs[i].value;
		struct kvm_one_reg r = { .id = REG_GUEST_SSP, .addr = (uintptr_t)&ssp };

		if (s->msrs[i].index == MV_MSR_SSP && mv_kvm_do(v->fd, KVM_SET_ONE_REG, &r, NULL) < 0 && ssp)
			return mv_err_set(err, MV_E_HOST, "this host's KVM refuses the shadow stack pointer 0x%llx",
					  (unsigned long long)ssp);
	}
	return 0;
}

int mv_msrs_get(struct mv_vcpu *v, struct mv_vcpu_state *s, struct mv_err *err)
{
	struct wanted w = { 0 };
	bool ok = want_listed(&w, v->vm->kvm, err);
	int rc;

	for (size_t i = 0; ok && i < sizeof(unlisted) / sizeof(unlisted[0]); i++)
		ok = want_range(&w, unlisted[i].first, unlisted[i].n);
	ok = ok && want_banks(&w, v->fd);
	if (!ok)
		return too_many(err);
	rc = read_all(v, s, &w, err);
	if (rc == 0)
		rc = read_ssp(v, s, err);
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
 * Was refused: may it be so? What the destination's KVM does not know may be left out if it holds
 * nothing, a zero; what can be read and not written, if it has the value already.
 */
static bool dispensable(struct mv_vcpu *v, const struct mv_msr *m)
{
	uint64_t now = 0;

	mv_kvm_get_msr(v->fd, m->index, &now);
	return now == m->value;
}

/* In the saved order. KVM stops at the first that it refuses, so that it has a name. */
int mv_msrs_set(struct mv_vcpu *v, const struct mv_vcpu_state *s, struct mv_err *err)
{
	union batch b;
	uint32_t at = 0;

	while (at < s->nmsrs) {
		const struct mv_msr *m;
		int done;

		memset(&b, 0, sizeof(b));
		for (m = &s->msrs[at]; m < s->msrs + s->nmsrs && b.head.nmsrs < BATCH; m++)
			if (!left_alone(m->index) && m->index != MV_MSR_SSP)
				b.head.entries[b.head.nmsrs++] = (struct kvm_msr_entry){ .index = m->index,
									      .data = m->value };
		done = b.head.nmsrs ? mv_kvm_do(v->fd, KVM_SET_MSRS, &b.head, err) : 0;
		if (done < 0)
			return done;
		if ((uint32_t)done == b.head.nmsrs) {
			at = (uint32_t)(m - s->msrs);
			continue;
		}
		for (m = &s->msrs[at]; m->index != b.head.entries[done].index; m++)
			;
		if (!dispensable(v, m))
			return mv_err_set(err, MV_E_HOST,
					  "this host's KVM refuses MSR 0x%x = 0x%llx", m->index,
					  (unsigned long long)m->value);
		at = (uint32_t)(m - s->msrs) + 1;
	}
	return write_ssp(v, s, err);
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
