/* SPDX-License-Identifier: MIT */
/* From a dump in good order to a host, and what has to be said about it. */
#include <stdio.h>
#include <string.h>

#include "import_dump.h"
#include "mask.h"
#include "paths.h"
#include "xstate.h"

static int fill_raw(struct mv_dump *d)
{
	struct mv_table *t = &d->host->raw;

	for (uint32_t i = 0; i < d->first.n; i++) {
		const struct mv_dump_leaf *e = &d->first.e[i];
		struct mv_leaf *to;

		if (!(e->reg[0] | e->reg[1] | e->reg[2] | e->reg[3]))
			continue;
		to = mv_table_add(t, e->leaf, e->subleaf);
		if (!to) {
			d->line = e->line;
			return mv_dump_bad(d, "more than %d leaves that say something",
					   MV_TABLE_MAX);
		}
		memcpy(to->reg, e->reg, sizeof(to->reg));
	}
	if (!mv_table_find(t, 1, 0))
		return mv_dump_bad(d, "leaf 1 is zero: this describes no CPU");
	return 0;
}

/*
 * Intel CPUs show SYSCALL only to 64-bit code (SDM Vol. 2A, CPUID, 0x80000001 EDX:11): a 32-bit
 * program's dump lacks it, and every CPU with long mode has it.
 */
static void add_syscall(struct mv_dump *d)
{
	struct mv_table *t = &d->host->raw;

	if (mv_table_vendor(t) != MV_VENDOR_INTEL || !mv_table_has(t, MV_F_LM) ||
	    mv_table_has(t, MV_F_SYSCALL))
		return;
	mv_table_set_feature(t, MV_F_SYSCALL, true);
	mv_dump_note(d, MV_IMPORT_SYSCALL, 0, "dumped by 32-bit code, which is not shown SYSCALL: "
		     "added, the CPU has long mode");
}

/* ---- notes ---- */

static void note_vm(struct mv_dump *d)
{
	const struct mv_leaf *e = mv_table_find(&d->host->raw, 0x40000000, 0);
	char who[13] = "";

	if (!mv_table_has(&d->host->raw, MV_F_HYPERVISOR))
		return;
	if (e)
		memcpy(who, &e->reg[MV_EBX], 12);
	for (char *p = who; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	mv_dump_note(d, MV_IMPORT_VM, 0, "taken in a virtual machine%s%s%s: its hypervisor may "
		     "hide features", who[0] ? " (" : "", who, who[0] ? ")" : "");
}

static void note_differences(struct mv_dump *d)
{
	for (uint32_t i = 0; i < d->ndiffers; i++) {
		const struct mv_dump_differ *f = &d->differs[i];
		char level[64], what[96], cpu[32] = "";

		mv_level_format(level, sizeof(level), f->leaf, f->subleaf);
		if (f->absent)
			snprintf(what, sizeof(what), "not on all of them");
		else
			snprintf(what, sizeof(what), "%s 0x%08x instead of 0x%08x",
				 mv_reg_name(f->reg), f->have, f->want);
		if (f->id != MV_DUMP_NO_ID)
			snprintf(cpu, sizeof(cpu), ", as on CPU #%u", f->id);
		mv_dump_note(d, MV_IMPORT_DIFFER, f->line,
			     "%s: %u of %u logical CPUs differ from the first: %s%s", level,
			     f->cpus, d->report->cpus, what, cpu);
	}
}

/* Leaves that a verdict can't do without, where the format would have shown them. */
static void note_missing_leaves(struct mv_dump *d)
{
	static const struct {
		uint32_t leaf, subleaf, max_leaf;
	} wanted[] = {
		{ 0x7, 0, 0 }, { 0x7, 1, 0x7 }, { 0x7, 2, 0x7 }, { 0xd, 0, 0 }, { 0xd, 1, 0 },
		{ 0x80000001, 0, 0x80000000 }, { 0x80000008, 0, 0x80000000 },
	};
	const struct mv_table *t = &d->host->raw;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		uint32_t leaf = wanted[i].leaf, subleaf = wanted[i].subleaf;
		uint32_t max = mv_table_reg(t, wanted[i].max_leaf, 0, MV_EAX);
		char level[64];

		if (max < (wanted[i].max_leaf == 0x7 ? subleaf : leaf) || !d->prints_zeros ||
		    mv_dump_has(d, leaf, subleaf) || (leaf == 0xd && !mv_table_has(t, MV_F_XSAVE)))
			continue;
		mv_level_format(level, sizeof(level), leaf, subleaf);
		mv_dump_note(d, MV_IMPORT_MISSING, 0,
			     "%s is not in the dump: its features count as absent", level);
	}
}

static void note_missing_layout(struct mv_dump *d)
{
	uint64_t xcr0 = mv_xstate_xcr0(&d->host->raw), unknown = 0;

	for (uint32_t i = 2; i < 63; i++)
		if (xcr0 >> i & 1 && !mv_table_find(&d->host->raw, 0xd, i))
			unknown |= UINT64_C(1) << i;
	if (unknown)
		mv_dump_note(d, MV_IMPORT_MISSING, 0, "the layout of XSAVE components 0x%llx is "
			     "not in the dump", (unsigned long long)unknown);
}

static void note_msrs(struct mv_dump *d)
{
	if (mv_table_has(&d->host->raw, MV_F_ARCH_CAPABILITIES) && !d->has_caps)
		mv_dump_note(d, MV_IMPORT_MISSING, 0, "the MSR ARCH_CAPABILITIES (0x10a) is not in "
			     "the dump: its bits count as absent");
}

static void note_no_kvm(struct mv_dump *d)
{
	const struct mv_table *t = &d->host->raw;

	if (!mv_table_has(t, MV_F_LM))
		mv_dump_note(d, MV_IMPORT_NO_KVM, 0,
			     "a CPU without long mode: no 64-bit Linux, no KVM");
	else if (!mv_table_has(t, MV_F_VMX) && !mv_table_has(t, MV_F_SVM))
		mv_dump_note(d, MV_IMPORT_NO_KVM, 0, "neither VMX nor SVM is shown: no KVM, unless "
			     "firmware or a hypervisor hides what the CPU has");
}

/* ---- the rest of the host ---- */

/* As Linux computes it from leaf 0x15; without the crystal's frequency it would have to measure. */
static uint32_t tsc_khz(const struct mv_table *t)
{
	const struct mv_leaf *e = mv_table_find(t, 0x15, 0);
	uint64_t khz;

	if (!e || !e->reg[MV_EAX] || !e->reg[MV_EBX])
		return 0;
	khz = (uint64_t)(e->reg[MV_ECX] / 1000) * e->reg[MV_EBX] / e->reg[MV_EAX];
	return khz > UINT32_MAX ? 0 : (uint32_t)khz;
}

int mv_dump_host(struct mv_dump *d)
{
	struct mv_host *h = d->host;
	int rc = fill_raw(d);

	if (rc)
		return rc;
	mv_path_stem(h->name, sizeof(h->name), d->file);
	snprintf(h->source, sizeof(h->source), "%s", d->report->format);
	if (!h->microcode)
		h->microcode = mv_table_vendor(&h->raw) == MV_VENDOR_INTEL ? d->ucode >> 32
									   : d->ucode;
	h->tsc_khz = tsc_khz(&h->raw);
	note_vm(d);
	add_syscall(d);
	note_differences(d);
	note_missing_leaves(d);
	note_missing_layout(d);
	note_msrs(d);
	note_no_kvm(d);
	mv_host_assume(h, d->has_caps ? &d->caps : NULL);
	return 0;
}
