/* SPDX-License-Identifier: MIT */
/* The guest table into KVM and back: what was set must be what the vCPU has. */
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "vm.h"

static void to_kvm(struct kvm_cpuid2 *b, const struct mv_table *t)
{
	b->nent = t->n;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct mv_leaf *e = &t->e[i];

		b->entries[i] = (struct kvm_cpuid_entry2){
			.function = e->leaf,
			.index = e->subleaf,
			.flags = mv_leaf_has_subleaves(e->leaf) ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX
								: 0,
			.eax = e->reg[MV_EAX],
			.ebx = e->reg[MV_EBX],
			.ecx = e->reg[MV_ECX],
			.edx = e->reg[MV_EDX],
		};
	}
}

/* The first difference that KVM had no business making. */
static int compare(const struct kvm_cpuid2 *got, const struct mv_table *want, struct mv_err *err)
{
	if (got->nent != want->n)
		return mv_err_set(err, MV_E_HOST, "KVM keeps %u CPUID entries of %u", got->nent,
				  want->n);
	for (uint32_t i = 0; i < want->n; i++) {
		const struct mv_leaf *w = &want->e[i];
		const struct kvm_cpuid_entry2 *g = &got->entries[i];
		const uint32_t reg[MV_NREGS] = { g->eax, g->ebx, g->ecx, g->edx };

		for (unsigned r = 0; r < MV_NREGS; r++) {
			uint32_t differ = (reg[r] ^ w->reg[r]) &
					  ~mv_volatile_bits(w->leaf, w->subleaf, r);
			char name[96];

			if (!differ)
				continue;
			mv_bit_format(name, sizeof(name), w->leaf, w->subleaf, r,
				      (unsigned)__builtin_ctz(differ));
			return mv_err_set(err, MV_E_HOST,
					  "KVM changed the guest's CPUID: %s (0x%08x set, 0x%08x kept)",
					  name, w->reg[r], reg[r]);
		}
	}
	return 0;
}

int mv_vcpu_set_cpuid(struct mv_vcpu *vcpu, const struct mv_table *guest, struct mv_err *err)
{
	struct kvm_cpuid2 *b = calloc(1, sizeof(*b) + MV_TABLE_MAX * sizeof(b->entries[0]));
	struct mv_table table;
	int rc;

	if (!b)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	mv_table_for_cpu(&table, guest, vcpu->id);
	to_kvm(b, &table);
	rc = mv_kvm_do(vcpu->fd, KVM_SET_CPUID2, b, err);
	/*
	 * Where KVM does not answer from this table, what it keeps is not what the guest sees: KVM on
	 * PVM adds a leaf 0xD of its own to a table without XSAVE. Else there is room for what was set
	 * and no more: E2BIG tells of additions, not every kernel writes the number back.
	 */
	if (rc >= 0 && vcpu->vm->st->policy.intercept == MV_INTERCEPTION_KERNEL) {
		rc = mv_kvm_do(vcpu->fd, KVM_GET_CPUID2, b, err);
		if (rc >= 0)
			rc = compare(b, &table, err);
	}
	free(b);
	return rc < 0 ? rc : 0;
}
