/* SPDX-License-Identifier: MIT */
/*
 * Verdicts between a host of any description and one that is fixed, of the VM that each would start: the packed
 * verdict of fleets says what the one that explains says, the rule that is meant to be milder is, and a
 * host that would start a VM takes it back.
 */
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "import.h"
#include "maskload.h"
#include "quick.h"
#include "text.h"

/* All that is large, once. */
static struct {
	struct mv_host any, fixed;
	struct mv_policy p;
	struct mv_notes notes;
	struct mv_verdict guide, subset;
	struct mv_quick_layout layout;
	struct mv_quick_vm vm;
	struct mv_quick_host host;
} f;

/* f.p is the VM that h would start; false if it would not. */
static bool power_on(const struct mv_host *h)
{
	const struct mv_mask_request req = { .guest_os = "linux64", .vendor = mv_table_vendor(&h->raw) };
	struct mv_err err = { 0 };

	FUZZ_MUST(mv_masks_load(&f.p, &req, &err) == 0, "%s", err.msg);
	f.p.source = *h;
	f.p.intercept = MV_INTERCEPTION_KERNEL;
	fuzz_check_error(mv_apply(&f.p, 1, &f.notes, &err), &err);
	return err.code == 0 && f.notes.refusals == 0;
}

static void judge(const struct mv_host *dst, bool itself)
{
	const struct mv_verdict_opts subset = { .mode = MV_VERDICT_SUBSET };
	enum mv_quick_answer quick;
	struct mv_err err = { 0 };

	FUZZ_MUST(mv_verdict(&f.guide, &f.p, dst, NULL, &err) == 0, "%s", err.msg);
	FUZZ_MUST(mv_verdict(&f.subset, &f.p, dst, &subset, &err) == 0, "%s", err.msg);
	FUZZ_MUST(f.subset.refusals <= f.guide.refusals, "subset refuses for %u reasons, guide for %u",
		  f.subset.refusals, f.guide.refusals);
	FUZZ_MUST(f.guide.subset_refusals == f.subset.refusals, "of the guide's, %u are subset's, too, which has %u",
		  f.guide.subset_refusals, f.subset.refusals);
	/*
	 * What is unknown refuses on the host itself, too; who answers CPUID is not its choice here; and a host may
	 * deny leaves that it has.
	 */
	for (uint32_t i = 0; itself && !dst->partial && i < f.guide.n; i++)
		FUZZ_MUST(f.guide.m[i].rule == MV_RULE_INTERCEPTION || f.guide.m[i].rule == MV_RULE_MAX_LEAF, "a host refuses its own VM: %s %s: %s, 0x%llx and "
			  "0x%llx", mv_rule_name(f.guide.m[i].rule), mv_mismatch_subject(&f.guide.m[i]), f.guide.m[i].text,
			  (unsigned long long)f.guide.m[i].have, (unsigned long long)f.guide.m[i].want);
	f.layout.n = 0;
	if (mv_quick_layout_add(&f.layout, &f.p))
		return;
	mv_quick_vm_init(&f.vm, &f.layout, &f.p);
	mv_quick_host_init(&f.host, &f.layout, dst);
	quick = mv_quick_verdict(&f.vm, &f.host);
	FUZZ_MUST(quick == MV_QUICK_UNSURE || (quick == MV_QUICK_ACCEPT) == (f.guide.refusals == 0),
		  "the quick verdict %s, the other has %u reasons against it: %s %s",
		  quick == MV_QUICK_ACCEPT ? "accepts" : "refuses", f.guide.refusals,
		  f.guide.n ? mv_rule_name(f.guide.m[0].rule) : "", f.guide.n ? mv_mismatch_subject(&f.guide.m[0]) : "");
	fuzz_accepted += f.guide.refusals == 0;
}

static void both_ways(void)
{
	if (power_on(&f.any)) {
		judge(&f.any, true);
		judge(&f.fixed, false);
	}
	if (power_on(&f.fixed))
		judge(&f.any, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mv_err err = { 0 };
	char *text = fuzz_text(data, size);

	if (!f.fixed.raw.n)
		FUZZ_MUST(mv_host_import_text(&f.fixed, "h1", fuzz_dump, strlen(fuzz_dump), NULL, &err) == 0, "%s", err.msg);
	if (mv_host_import_text(&f.any, "in", text, size, NULL, &err) == 0)
		both_ways();
	free(text);
	return 0;
}
