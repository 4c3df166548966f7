/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include <stdio.h>
#include <string.h>

uint32_t mv_policy_tsc_khz(const struct mv_policy *p)
{
	return p->given.kept ? p->given.tsc_khz : p->source.tsc_khz;
}

bool mv_given_by(const struct mv_given *g, const struct mv_host *h)
{
	uint64_t caps = 0;

	mv_host_msr(h, MV_MSR_ARCH_CAPABILITIES, &caps);
	return g->tsc_khz == h->tsc_khz && g->arch_caps == caps;
}

/* Without the masks' lines. */
static uint64_t given_msr(const struct mv_policy *p, uint32_t index)
{
	uint64_t value = 0;

	if (p->given.kept && index == MV_MSR_ARCH_CAPABILITIES)
		return p->given.arch_caps;
	mv_host_msr(&p->source, index, &value);
	return value;
}

void mv_policy_not_started(struct mv_policy *p)
{
	p->patchable = p->patch_cpl3 = !mv_host_answers(&p->source, false) && mv_host_answers(&p->source, true);
	p->intercept = p->patchable			? MV_INTERCEPTION_PATCH
		       : mv_host_intercepts(&p->source) || !mv_host_answers(&p->source, false)
			       ? MV_INTERCEPTION_KERNEL
			       : MV_INTERCEPTION_STEP;
}

void mv_policy_move(struct mv_policy *p, const struct mv_host *to)
{
	struct mv_given given = {
		.kept = true, .tsc_khz = mv_policy_tsc_khz(p),
		.arch_caps = given_msr(p, MV_MSR_ARCH_CAPABILITIES),
	};

	if (!given.tsc_khz)
		given.tsc_khz = to->tsc_khz;
	p->source = *to;
	if (mv_given_by(&given, to))
		given = (struct mv_given){ 0 };
	p->given = given;
}

uint64_t mv_policy_msr(const struct mv_policy *p, uint32_t index, uint64_t *named)
{
	uint64_t value = given_msr(p, index), by_symbol = 0;

	for (uint32_t i = 0; i < p->final.nmsrs; i++) {
		const struct mv_mask_msr *m = &p->final.msrs[i];

		if (m->index != index)
			continue;
		value |= mv_mask_msr_with(m, MV_SYM_1) | mv_mask_msr_with(m, MV_SYM_T);
		value &= ~(mv_mask_msr_with(m, MV_SYM_0) | mv_mask_msr_with(m, MV_SYM_F) |
			   mv_mask_msr_with(m, MV_SYM_R));
		by_symbol |= ~mv_mask_msr_with(m, MV_SYM_INHERIT);
	}
	if (named)
		*named = by_symbol;
	return value;
}

static bool listed(const char *list, const char *name, size_t len)
{
	for (size_t n; *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n == len && !memcmp(list, name, len))
			return true;
	}
	return false;
}

bool mv_policy_ignore(struct mv_policy *p, const char *names)
{
	size_t before = strlen(p->ignored), at = before, len;

	for (const char *n = names ? names : ""; *n; n += len + !len) {
		len = strcspn(n, ", ");
		if (!len || listed(p->ignored, n, len))
			continue;
		if (at + 1 + len >= sizeof(p->ignored)) {
			p->ignored[before] = '\0';
			return false;
		}
		if (at)
			p->ignored[at++] = ',';
		memcpy(p->ignored + at, n, len);
		at += len;
		p->ignored[at] = '\0';
	}
	return true;
}

const char *mv_policy_place(char *buf, size_t size, const struct mv_policy *p, mv_at at)
{
	const char *name, *slash;

	*buf = '\0';
	if (!at || MV_AT_FILE(at) >= p->files.n)
		return buf;
	name = p->files.name[MV_AT_FILE(at)];
	slash = strrchr(name, '/');
	snprintf(buf, size, "%s:%u", slash ? slash + 1 : name, MV_AT_LINE(at));
	return buf;
}
