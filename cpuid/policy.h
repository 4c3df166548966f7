/* SPDX-License-Identifier: MIT */
/*
 * A VM's CPU policy: everything that decides what its CPU is, fixed when it starts and carried by
 * every snapshot. Heap size, about 150 KiB.
 */
#ifndef MV_CPUID_POLICY_H
#define MV_CPUID_POLICY_H

#include "host.h"
#include "mask.h"

/* Room for the name of every feature, field and rule, once. */
#define MV_IGNORED_TEXT 16384

/*
 * What a guest was given for good where it started, and a later source may have otherwise: how fast its
 * TSC counts, and ARCH_CAPABILITIES without the masks' `msr` lines.
 */
struct mv_given {
	bool kept;	/* false: both are as the source has them */
	uint32_t tsc_khz;
	uint64_t arch_caps;
};

struct mv_policy {
	struct mv_table guest;		/* what CPUID returns in the guest (CPU 0) */
	struct mv_mask final;		/* default + override */
	struct mv_mask effective;	/* after dependency closure */
	struct mv_mask_files files;	/* what mv_at in the masks refers to */
	struct mv_host source;		/* where it runs, or ran when it was saved */
	struct mv_given given;
	char guest_os[32];		/* the default mask's name */
	uint8_t intercept;		/* enum mv_intercept in force */
	uint32_t kvm_controls;		/* MV_KVM_CONTROL_BIT in force: all that the source has */
	bool patchable;			/* the image's CPUID instructions are accounted for */
	bool patch_cpl3;		/* … and its code at CPL 3 runs with IOPL 3 */
	char ignored[MV_IGNORED_TEXT];	/* refusals overridden so far, comma-separated, each once */
};

/* Are those the host's own values? */
bool mv_given_by(const struct mv_given *g, const struct mv_host *h);

/* How fast the guest's TSC counts; 0 = unknown. */
uint32_t mv_policy_tsc_khz(const struct mv_policy *p);

/*
 * Of a VM that nobody has started yet: how its source would run it. Where nothing but patching is proved, it
 * runs only if its image can be patched.
 */
void mv_policy_not_started(struct mv_policy *p);

/* From now on the VM runs on that host: it is the source, and what the guest was given stays. */
void mv_policy_move(struct mv_policy *p, const struct mv_host *to);

/*
 * A feature MSR as the guest reads it: the value it was given with the masks' `msr` lines applied. named
 * (may be NULL) receives the bits that have a symbol there: it alone says how they are compared.
 */
uint64_t mv_policy_msr(const struct mv_policy *p, uint32_t index, uint64_t *named);

/* "linux64.mask:12" for a symbol's line, "" for one that no line wrote. Returns buf. */
const char *mv_policy_place(char *buf, size_t size, const struct mv_policy *p, mv_at at);

/*
 * Names that were overridden (separated by commas or spaces; NULL: none) join p->ignored. false, and
 * nothing has changed: there is no room, which only names of other versions can bring about.
 */
bool mv_policy_ignore(struct mv_policy *p, const char *names);

#endif
