/* SPDX-License-Identifier: MIT */
#include "virt_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xml.h"

static const char *const policies[] = { "", "require", "force", "optional", "disable", "forbid" };

const char *mv_virt_policy_name(enum mv_virt_policy p)
{
	return policies[p];
}

/* Documents that can have a <cpu>, and where. */
static const struct root {
	const char *name;
	unsigned depth;		/* of the element whose children describe the CPU */
	const char *element;
} roots[] = {
	{ "cpu", 1, "cpu" },
	{ "domain", 2, "cpu" },
	{ "capabilities", 3, "cpu" },
	{ "domainCapabilities", 3, "mode" },
};

struct reading {
	struct mv_virt_cpu *cpu;
	const struct root *root;
	bool inside;
};

static uint64_t number(const struct mv_xml *x, const char *name)
{
	char text[32];

	mv_xml_attr_copy(x, name, text, sizeof(text));
	return strtoull(text, NULL, 10);
}

static void feature(struct mv_virt_cpu *cpu, struct mv_xml *x)
{
	struct mv_virt_feature *f = &cpu->feature[cpu->n];
	char policy[16];

	if (cpu->n == MV_VIRT_FEATURES) {
		mv_xml_bad(x, "more than %d features", MV_VIRT_FEATURES);
		return;
	}
	if (!mv_xml_attr_copy(x, "name", f->name, sizeof(f->name)) || !*f->name) {
		mv_xml_bad(x, "<feature> without a name");
		return;
	}
	mv_xml_attr_copy(x, "policy", policy, sizeof(policy));
	for (f->policy = 0; f->policy < sizeof(policies) / sizeof(policies[0]); f->policy++)
		if (!strcmp(policies[f->policy], policy))
			break;
	if (f->policy == sizeof(policies) / sizeof(policies[0])) {
		mv_xml_bad(x, "'%s' is none of libvirt's policies", policy);
		return;
	}
	f->line = mv_xml_line(x);
	cpu->n++;
}

static void part(struct mv_virt_cpu *cpu, struct mv_xml *x, const char *name)
{
	char text[16];

	if (!strcmp(name, "feature")) {
		feature(cpu, x);
	} else if (!strcmp(name, "model")) {
		cpu->model_line = mv_xml_line(x);
	} else if (!strcmp(name, "signature")) {
		cpu->has_signature = true;
		cpu->family = (uint32_t)number(x, "family");
		cpu->model_number = (uint32_t)number(x, "model");
		cpu->stepping = (uint32_t)number(x, "stepping");
	} else if (!strcmp(name, "microcode")) {
		cpu->microcode = number(x, "version");
	} else if (!strcmp(name, "maxphysaddr")) {
		mv_xml_attr_copy(x, "mode", text, sizeof(text));
		cpu->phys_of_host = !strcmp(text, "passthrough");
		cpu->phys_bits = (uint32_t)number(x, cpu->phys_of_host ? "limit" : "bits");
	} else if (!strcmp(name, "counter")) {
		mv_xml_attr_copy(x, "name", text, sizeof(text));
		if (strcmp(text, "tsc"))
			return;
		cpu->tsc_hz = number(x, "frequency");
		mv_xml_attr_copy(x, "scaling", text, sizeof(text));
		cpu->tsc_scaling = !strcmp(text, "yes");
	}
}

/* Domain capabilities list every mode; the host-model is the one that says what the host can give. */
static bool is_the_cpu(const struct reading *r, const struct mv_xml *x, const char *name)
{
	char text[24];

	if (strcmp(name, r->root->element))
		return false;
	if (strcmp(name, "mode"))
		return !r->cpu->present;
	mv_xml_attr_copy(x, "name", text, sizeof(text));
	if (strcmp(text, "host-model"))
		return false;
	mv_xml_attr_copy(x, "supported", text, sizeof(text));
	return !strcmp(text, "yes");
}

static void root(struct reading *r, struct mv_xml *x, const char *name)
{
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
		if (!strcmp(roots[i].name, name))
			r->root = &roots[i];
	if (!r->root)
		mv_xml_bad(x, "<%s>, not a libvirt domain, <cpu> or capabilities", name);
	else if (!strcmp(name, "domain"))
		mv_xml_attr_copy(x, "type", r->cpu->type, sizeof(r->cpu->type));
}

static void start(void *ctx, struct mv_xml *x, unsigned depth, const char *name)
{
	struct reading *r = ctx;

	if (depth == 1)
		root(r, x, name);
	if (!r->root)
		return;
	if (r->inside && depth == r->root->depth + 1) {
		part(r->cpu, x, name);
	} else if (depth == r->root->depth && is_the_cpu(r, x, name)) {
		r->inside = r->cpu->present = true;
		r->cpu->line = mv_xml_line(x);
		mv_xml_attr_copy(x, "mode", r->cpu->mode, sizeof(r->cpu->mode));
		mv_xml_attr_copy(x, "match", r->cpu->match, sizeof(r->cpu->match));
		mv_xml_attr_copy(x, "check", r->cpu->check, sizeof(r->cpu->check));
	}
}

static void keep(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%.*s", (int)(size - 1), text);
}

static void end(void *ctx, struct mv_xml *x, unsigned depth, const char *name, const char *text)
{
	struct reading *r = ctx;
	struct mv_virt_cpu *cpu = r->cpu;

	(void)x;
	if (r->inside && depth == r->root->depth)
		r->inside = false;
	if (r->inside && depth == r->root->depth + 1) {
		if (!strcmp(name, "model"))
			keep(cpu->model, sizeof(cpu->model), text);
		else if (!strcmp(name, "vendor"))
			keep(cpu->vendor, sizeof(cpu->vendor), text);
		else if (!strcmp(name, "arch"))
			keep(cpu->arch, sizeof(cpu->arch), text);
	} else if (!r->inside && depth == 2 && !strcmp(name, "name")) {
		keep(cpu->domain, sizeof(cpu->domain), text);
	} else if (!r->inside && depth == 2 && !strcmp(name, "domain")) {
		keep(cpu->type, sizeof(cpu->type), text);
	}
}

int mv_virt_cpu_parse(struct mv_virt_cpu *cpu, const char *file, const char *text, size_t len,
		      struct mv_err *err)
{
	static const struct mv_xml_handler handler = { .start = start, .end = end };
	struct reading r = { .cpu = cpu };

	memset(cpu, 0, sizeof(*cpu));
	return mv_xml_read(file, text, len, &handler, &r, err);
}
