/* SPDX-License-Identifier: MIT */
/* From what libvirt says to a host, and to the VM of a domain. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "virt.h"

/* QEMU's address width for a named model, unless the domain's <maxphysaddr> says another. */
#define QEMU_PHYS_BITS 40

bool mv_virt_set_name(struct mv_virt_set *set, const char *name, bool on)
{
	const struct mv_feature *f = mv_feature_by_alias(MV_SPELL_QEMU, name, strlen(name));

	if (f && on)
		mv_featset_add(&set->on, mv_feature_id(f));
	else if (f)
		mv_featset_remove(&set->on, mv_feature_id(f));
	for (const struct mv_caps_bit *b = mv_caps_bits; !f && b->bit < 64; b++) {
		if (strcmp(b->qemu, name))
			continue;
		set->caps = (set->caps & ~(UINT64_C(1) << b->bit)) | (uint64_t)on << b->bit;
		return true;
	}
	return f;
}

/* Features that the guest sees, or the host has, for sure; optional ones follow the host and are not. */
static bool gives(uint8_t policy)
{
	return policy == MV_VIRT_NO_POLICY || policy == MV_VIRT_REQUIRE || policy == MV_VIRT_FORCE;
}

/* A CPU as libvirt describes it: its model with its features added and taken away. */
static int expand(struct mv_virt *v, const struct mv_virt_cpu *cpu, struct mv_virt_set *set,
		   struct mv_err *err)
{
	int rc = 0;

	memset(set, 0, sizeof(*set));
	if (*cpu->model)
		rc = mv_virt_model(v, cpu->model, set, err);
	for (uint32_t i = 0; rc == 0 && i < cpu->n; i++)
		if (!mv_virt_set_name(set, cpu->feature[i].name, gives(cpu->feature[i].policy)))
			set->nunknown++;
	return rc;
}

/* ---- hosts ---- */

static void note(struct mv_import *r, enum mv_import_kind kind, const char *text)
{
	struct mv_import_note *n;

	if (!r)
		return;
	if (r->nnotes == MV_IMPORT_NOTES) {
		r->more++;
		return;
	}
	n = &r->notes[r->nnotes++];
	n->kind = kind;
	snprintf(n->text, sizeof(n->text), "%s", text);
}

static void to_table(struct mv_table *t, const struct mv_virt_set *set)
{
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (mv_featset_has(&set->on, (enum mv_feature_id)i))
			mv_table_set_feature(t, (enum mv_feature_id)i, true);
}

static void told_names(struct mv_host *h, const struct mv_virt_names *names)
{
	for (unsigned i = 0; i < MV_NFEATURES; i++)
		if (*names->feature[i])
			mv_featset_add(&h->told, (enum mv_feature_id)i);
}

static void reach(struct mv_table *t, enum mv_field_id id, uint32_t value)
{
	if (mv_table_field(t, id) < value)
		mv_table_set_field(t, id, value);
}

/*
 * libvirt tells no highest leaf, but a feature that is there says that it is no lower than its own.
 * Not told all the same: the number itself may be higher.
 */
static void reach_features(struct mv_table *t)
{
	uint32_t n = t->n;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t leaf = t->e[i].leaf, subleaf = t->e[i].subleaf;

		if (leaf == 7)
			reach(t, MV_FIELD_MAX_SUBLEAF_7, subleaf);
		if (leaf < 0x40000000)
			reach(t, MV_FIELD_MAX_LEAF, leaf);
		else if (leaf > 0x80000000)
			reach(t, MV_FIELD_MAX_EXT_LEAF, leaf);
	}
	mv_table_sort(t);
}

/* Both views: KVM gives a guest the host's, where libvirt's XML does not name another. */
static void tell(struct mv_host *h, enum mv_field_id id, uint32_t value)
{
	mv_table_set_field(&h->raw, id, value);
	mv_table_set_field(&h->kvm, id, value);
	mv_fieldset_add(&h->told_fields, id);
}

static const struct {
	const char *libvirt, *cpuid;
} vendors[] = {
	{ "Intel", "GenuineIntel" }, { "AMD", "AuthenticAMD" }, { "Hygon", "HygonGenuine" },
};

static void tell_vendor(struct mv_host *h, const char *vendor)
{
	for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
		uint32_t v[3];

		if (strcmp(vendors[i].libvirt, vendor))
			continue;
		memcpy(v, vendors[i].cpuid, sizeof(v));
		tell(h, MV_FIELD_VENDOR_EBX, v[0]);
		tell(h, MV_FIELD_VENDOR_EDX, v[1]);
		tell(h, MV_FIELD_VENDOR_ECX, v[2]);
	}
}

/* Display values, as CPUID packs them (SDM Vol. 2A, CPUID, "Version Information"). */
static void tell_signature(struct mv_host *h, const struct mv_virt_cpu *cpu)
{
	uint32_t family = cpu->family > 15 ? 15 : cpu->family;

	if (!cpu->has_signature)
		return;
	tell(h, MV_FIELD_STEPPING, cpu->stepping & 0xf);
	tell(h, MV_FIELD_MODEL, cpu->model_number & 0xf);
	tell(h, MV_FIELD_EXT_MODEL, cpu->model_number >> 4 & 0xf);
	tell(h, MV_FIELD_FAMILY, family);
	tell(h, MV_FIELD_EXT_FAMILY, cpu->family - family);
}

/* Leaf 0 has to be there for a host to be one; what it says is told by told_fields alone. */
static void begin_host(struct mv_host *h)
{
	memset(h, 0, sizeof(*h));
	mv_table_add(&h->raw, 0, 0);
	h->partial = true;
	h->proof[MV_INTERCEPTION_KERNEL] = MV_PROOF_BOTH;
	snprintf(h->source, sizeof(h->source), "libvirt");
}

static void known_cpu(struct mv_host *h, const struct mv_virt_cpu *cpu)
{
	tell_vendor(h, cpu->vendor);
	tell_signature(h, cpu);
	if (cpu->phys_bits)
		tell(h, MV_FIELD_PHYS_BITS, cpu->phys_bits);
	h->microcode = cpu->microcode;
	h->tsc_khz = cpu->tsc_hz / 1000 > UINT32_MAX ? 0 : (uint32_t)(cpu->tsc_hz / 1000);
	h->tsc_scaling = cpu->tsc_scaling;
}

struct asking {
	struct mv_virt *v;
	struct mv_virt_cpu cpu;
	struct mv_virt_set set;
	struct mv_virt_names names;
	char *xml;
};

/* What the CPU has. */
static int ask_cpu(struct asking *a, struct mv_host *h, const char *uri, struct mv_import *report,
		   struct mv_err *err)
{
	int rc = mv_virt_capabilities(a->v, &a->xml, err);

	if (rc == 0)
		rc = mv_virt_cpu_parse(&a->cpu, uri, a->xml, strlen(a->xml), err);
	free(a->xml);
	a->xml = NULL;
	if (rc || !*a->cpu.model) {
		if (rc == 0)
			note(report, MV_IMPORT_MISSING,
			     "the driver tells no CPU model: the host's features are unknown");
		return rc;
	}
	rc = mv_virt_names(a->v, &a->names, err);
	if (rc == 0)
		rc = expand(a->v, &a->cpu, &a->set, err);
	if (rc)
		return rc;
	told_names(h, &a->names);
	to_table(&h->raw, &a->set);
	known_cpu(h, &a->cpu);
	return 0;
}

/* What a guest can be given there. */
static int ask_offer(struct asking *a, struct mv_host *h, const char *uri, struct mv_import *report,
		     struct mv_err *err)
{
	int rc = mv_virt_domain_capabilities(a->v, &a->xml, err);

	if (rc == 0 && a->xml)
		rc = mv_virt_cpu_parse(&a->cpu, uri, a->xml, strlen(a->xml), err);
	if (rc)
		return rc;
	if (!a->xml || !a->cpu.present) {
		note(report, MV_IMPORT_MISSING,
		     "the driver tells no host-model: what it can give a guest is unknown");
		memset(&h->told, 0, sizeof(h->told));
		h->assumed = true;
		return 0;
	}
	rc = expand(a->v, &a->cpu, &a->set, err);
	if (rc)
		return rc;
	to_table(&h->kvm, &a->set);
	if (mv_featset_has(&a->set.on, MV_F_ARCH_CAPABILITIES))
		h->msrs[h->nmsrs++] = (struct mv_msr){ MV_MSR_ARCH_CAPABILITIES, a->set.caps };
	h->assumed = strcmp(a->cpu.type, "kvm");
	snprintf(h->source, sizeof(h->source), "libvirt, %.40s", a->cpu.type);
	if (h->assumed)
		note(report, MV_IMPORT_NO_KVM,
		     "libvirt has no KVM there: guests get what QEMU emulates, whatever the CPU");
	return 0;
}

int mv_virt_host(struct mv_host *h, const char *uri, struct mv_import *report, struct mv_err *err)
{
	struct asking *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	begin_host(h);
	rc = mv_virt_open(&a->v, uri, err);
	if (rc == 0) {
		mv_virt_hostname(a->v, h->name, sizeof(h->name));
		if (report)
			snprintf(report->format, sizeof(report->format), "libvirt");
		rc = ask_cpu(a, h, uri, report, err);
		if (rc == 0)
			rc = ask_offer(a, h, uri, report, err);
		reach_features(&h->raw);
		reach_features(&h->kvm);
		mv_virt_close(a->v);
	}
	free(a->xml);
	free(a);
	return rc;
}

/* ---- domains ---- */

static int bad(const char *file, const struct mv_virt_cpu *cpu, struct mv_err *err, const char *what,
	       const char *hint)
{
	mv_err_at(err, MV_E_INPUT, file, cpu->line, 0, "domain '%s' %s", cpu->domain, what);
	mv_err_hint(err, "%s", hint);
	return -MV_E_INPUT;
}

/* Only a CPU that is spelled out can be judged. */
static int judgeable(const struct mv_virt_cpu *cpu, const char *file, struct mv_err *err)
{
	if (!cpu->present)
		return bad(file, cpu, err, "has no <cpu>: QEMU decides what its guest sees",
			   "give it one: minivmm mask convert --to libvirt writes it");
	if (!strcmp(cpu->mode, "host-passthrough") || !strcmp(cpu->mode, "maximum")) {
		mv_err_at(err, MV_E_INPUT, file, cpu->line, 0, "domain '%s' has <cpu mode='%s'>: its guest "
			  "sees what its host has, which libvirt does not tell in full", cpu->domain,
			  cpu->mode);
		mv_err_hint(err, "minivmm check --on HOSTFILE compares a VM that sees all of its host");
		return -MV_E_INPUT;
	}
	if (!*cpu->model)
		return bad(file, cpu, err, "has a <cpu> without a model: it follows the host it starts on",
			   "a host-model is spelled out while the domain runs: virsh dumpxml");
	if (!strcmp(cpu->match, "minimum"))
		return bad(file, cpu, err, "has <cpu match='minimum'>: it sees more where its host has more",
			   "that is spelled out while the domain runs: virsh dumpxml");
	return 0;
}

static enum mv_sym symbol(uint8_t policy)
{
	switch ((enum mv_virt_policy)policy) {
	case MV_VIRT_FORCE: return MV_SYM_1;
	case MV_VIRT_DISABLE: return MV_SYM_0;
	case MV_VIRT_FORBID: return MV_SYM_F;
	case MV_VIRT_OPTIONAL: return MV_SYM_X;
	default: return MV_SYM_T;
	}
}

static int set_symbol(struct mv_mask *m, enum mv_feature_id id, enum mv_sym s, uint32_t line)
{
	const struct mv_feature *f = &mv_features[id];
	struct mv_mask_reg *r = mv_mask_add(m, f->leaf, f->subleaf, f->reg, MV_VENDOR_OTHER);

	if (!r)
		return -MV_E_INPUT;
	mv_mask_reg_set(r, f->bit, s, MV_AT(0, line));
	return 0;
}

/* What the guest is told; 0: what its host has, of which nothing is known. */
static uint32_t phys_bits(const struct mv_virt_cpu *cpu, const struct mv_host *source)
{
	uint32_t host = 0;

	if (!cpu->phys_of_host)
		return cpu->phys_bits ? cpu->phys_bits : QEMU_PHYS_BITS;
	if (source->partial && mv_fieldset_has(&source->told_fields, MV_FIELD_PHYS_BITS))
		host = mv_table_field(&source->raw, MV_FIELD_PHYS_BITS);
	return host && (!cpu->phys_bits || host < cpu->phys_bits) ? host : cpu->phys_bits;
}

/*
 * T where libvirt requires, and so on; what neither the model nor a line names, QEMU hides: 0. Numbers
 * follow the host or the model, and libvirt does not tell which: x.
 */
static int final_mask(struct mv_mask *m, const struct mv_virt_cpu *cpu, const struct mv_virt_set *model,
		      const struct mv_host *source)
{
	int rc = 0;

	mv_mask_clear(m);
	for (unsigned i = 0; i < MV_NFEATURES && rc == 0; i++)
		rc = set_symbol(m, (enum mv_feature_id)i,
				mv_feature_computed(&mv_features[i]) ? MV_SYM_X
				: mv_featset_has(&model->on, (enum mv_feature_id)i) ? MV_SYM_T : MV_SYM_0,
				cpu->model_line);
	for (uint32_t i = 0; i < cpu->n && rc == 0; i++) {
		const char *name = cpu->feature[i].name;
		const struct mv_feature *f = mv_feature_by_alias(MV_SPELL_QEMU, name, strlen(name));

		if (f && !mv_feature_computed(f))
			rc = set_symbol(m, mv_feature_id(f), symbol(cpu->feature[i].policy),
					cpu->feature[i].line);
	}
	for (uint32_t i = 0; i < m->nregs; i++)
		for (unsigned bit = 0; bit < 32; bit++)
			if (!mv_feature_at(m->regs[i].leaf, m->regs[i].subleaf, m->regs[i].reg, bit))
				mv_mask_reg_set(&m->regs[i], bit, MV_SYM_X, 0);
	mv_mask_sort(m);
	if (phys_bits(cpu, source))
		m->fields[m->nfields++] = (struct mv_mask_field){
			.id = MV_FIELD_PHYS_BITS, .value = phys_bits(cpu, source),
			.at = cpu->phys_bits ? MV_AT(0, cpu->line) : 0,
		};
	return rc;
}

static int vm(struct mv_policy *p, const char *file, const struct mv_virt_cpu *cpu, struct mv_virt *v,
	      struct mv_err *err)
{
	struct mv_virt_set model, all;
	int rc = mv_virt_model(v, cpu->model, &model, err);

	if (rc == 0)
		rc = expand(v, cpu, &all, err);
	if (rc)
		return rc;
	memset(&p->files, 0, sizeof(p->files));
	snprintf(p->files.name[p->files.n++], sizeof(p->files.name[0]), "%s", file);
	if (final_mask(&p->final, cpu, &model, &p->source))
		return mv_err_at(err, MV_E_INPUT, file, 0, 0, "the mask has no more room");
	mv_mask_copy(&p->effective, &p->final);
	p->intercept = MV_INTERCEPTION_KERNEL;
	snprintf(p->guest_os, sizeof(p->guest_os), "%s", "libvirt");
	p->guest.n = 0;
	to_table(&p->guest, &all);
	if (p->final.nfields)
		mv_table_set_field(&p->guest, MV_FIELD_PHYS_BITS, p->final.fields[0].value);
	if (!p->source.partial)
		begin_host(&p->source);
	if (!mv_fieldset_has(&p->source.told_fields, MV_FIELD_VENDOR_EBX))
		tell_vendor(&p->source, cpu->vendor);
	if (mv_featset_has(&all.on, MV_F_ARCH_CAPABILITIES) && !p->source.nmsrs)
		p->source.msrs[p->source.nmsrs++] = (struct mv_msr){ MV_MSR_ARCH_CAPABILITIES, all.caps };
	return 0;
}

int mv_virt_vm(struct mv_policy *p, const char *file, const char *xml, struct mv_virt *v, struct mv_err *err)
{
	struct mv_virt_cpu *cpu = malloc(sizeof(*cpu));
	int rc = cpu ? mv_virt_cpu_parse(cpu, file, xml, strlen(xml), err)
		     : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0)
		rc = judgeable(cpu, file, err);
	if (rc == 0)
		rc = vm(p, file, cpu, v, err);
	free(cpu);
	return rc;
}

/* An emulated guest owes nothing to the CPU that QEMU runs on. */
static int describe_source(struct mv_policy *p, const char *file, const char *xml, const char *uri,
			   struct mv_err *err)
{
	struct mv_virt_cpu *cpu = malloc(sizeof(*cpu));
	int rc = cpu ? mv_virt_cpu_parse(cpu, file, xml, strlen(xml), err)
		     : mv_err_set(err, MV_E_FAILED, "out of memory");

	if (rc == 0 && !strcmp(cpu->type, "kvm"))
		rc = mv_virt_host(&p->source, uri, NULL, err);
	free(cpu);
	return rc;
}

int mv_virt_vm_from_uri(struct mv_policy *p, const char *domain_at_uri, struct mv_err *err)
{
	const char *uri = mv_virt_domain_uri(domain_at_uri);
	struct mv_virt *v = NULL;
	char name[256], *xml = NULL;
	int rc;

	snprintf(name, sizeof(name), "%.*s", (int)(uri - 1 - domain_at_uri), domain_at_uri);
	rc = mv_virt_open(&v, uri, err);
	if (rc == 0)
		rc = mv_virt_domain_xml(v, name, &xml, err);
	if (rc == 0)
		rc = describe_source(p, domain_at_uri, xml, uri, err);
	if (rc == 0)
		rc = mv_virt_vm(p, domain_at_uri, xml, v, err);
	mv_virt_close(v);
	free(xml);
	return rc;
}
