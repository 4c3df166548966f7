/* SPDX-License-Identifier: MIT */
/*
 * libvirt's XML: domains, <cpu>, host and domain capabilities. What libvirt itself makes of a model is not
 * asked: no library of this program is behind that.
 */
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "virt.h"

static void use(const struct mv_virt_cpu *cpu)
{
	struct mv_virt_set set = { 0 };

	FUZZ_MUST(cpu->n <= MV_VIRT_FEATURES, "%u features", cpu->n);
	for (uint32_t i = 0; i < cpu->n; i++) {
		FUZZ_MUST(strnlen(cpu->feature[i].name, sizeof(cpu->feature[i].name)) < sizeof(cpu->feature[i].name),
			  "a name without its end");
		FUZZ_MUST(mv_virt_policy_name((enum mv_virt_policy)cpu->feature[i].policy), "no such policy");
		mv_virt_set_name(&set, cpu->feature[i].name, true);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mv_virt_cpu *cpu = malloc(sizeof(*cpu));
	char *text = fuzz_text(data, size);
	struct mv_err err = { 0 };
	int rc;

	if (cpu) {
		rc = mv_virt_cpu_parse(cpu, "in", text, size, &err);
		fuzz_check_error(rc, &err);
		fuzz_accepted += rc == 0 && cpu->present;
		use(cpu);
	}
	free(text);
	free(cpu);
	return 0;
}
