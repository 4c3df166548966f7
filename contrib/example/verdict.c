/* SPDX-License-Identifier: MIT */
/* Would a VM that must have SSE4.2 and POPCNT start on this CPU?
 * cc verdict.c $(pkg-config --cflags --libs minivmm-cpuid) */
#include <cpuid.h>
#include <maskfile.h>
#include <apply.h>
#include <stdio.h>
#include <string.h>

static struct mv_policy policy;
static struct mv_notes notes;

int main(void)
{
	static const char mask[] = "feature sse4.2 = T\nfeature popcnt = T\n";
	const struct mv_mask_reader reader = { .kind = MV_MASK_OVERRIDE, .file = "example" };
	static const uint32_t leaves[] = { 0, 1, 0x80000000, 0x80000001 };
	struct mv_err err = { 0 };

	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		struct mv_leaf *e = mv_table_add(&policy.source.raw, leaves[i], 0);

		__cpuid_count(leaves[i], 0, e->reg[MV_EAX], e->reg[MV_EBX], e->reg[MV_ECX], e->reg[MV_EDX]);
	}
	policy.source.kvm = policy.source.raw;
	policy.source.proof[MV_INTERCEPTION_KERNEL] = MV_PROOF_BOTH;
	if (mv_mask_parse(&policy.final, mask, strlen(mask), &reader, &err) ||
	    mv_apply(&policy, 1, &notes, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	for (unsigned i = 0; i < notes.n && i < MV_NOTES; i++)
		printf("level 0x%x, bit %u: %s\n", notes.note[i].leaf, notes.note[i].bit,
		       notes.note[i].kind == MV_NOTE_T_MISSING ? "must be there and is not" : "noted");
	printf("%s\n", notes.refusals ? "it would not start" : "it would start");
	return 0;
}
