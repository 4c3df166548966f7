/* SPDX-License-Identifier: MIT */
/* The codecs of the static part (docs/stream-format.md, sections 5.1 to 5.6). */
#include <inttypes.h>
#include <string.h>

#include "stream.h"

#define MAX_EXEC 4096	/* the format's limit, whatever this build's table has */
#define TABLE_ENTRY 24
#define EXEC_ENTRY 11
#define MSR_ENTRY 12
#define MASK_REG_ENTRY 150
#define MASK_FIELD_ENTRY 19
#define MASK_MSR_ENTRY 32

_Static_assert(MV_NFEATURES <= MAX_EXEC, "the feature table outgrew the format");
_Static_assert(MV_NINTERCEPTIONS == 4, "the format has a proof for four");

void mv_walk_config(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_config *c = rs->config;

	(void)index;
	mv_wire_str(w, c->name, sizeof(c->name), "the VM's name");
	mv_wire_u64(w, &c->ram_size);
	if (!c->ram_size || c->ram_size > MV_MAX_RAM || c->ram_size % MV_PAGE_SIZE)
		mv_wire_fail(w, "0x%" PRIx64 " bytes of RAM are not whole pages up to 0x%" PRIx64,
			     c->ram_size, MV_MAX_RAM);
	mv_wire_u32_range(w, &c->nvcpus, 1, MV_MAX_VCPUS, "the number of vCPUs");
	mv_wire_str(w, c->image, sizeof(c->image), "the image's name");
	mv_wire_bytes(w, c->image_hash, sizeof(c->image_hash));
	mv_wire_str(w, c->producer, sizeof(c->producer), "the producer's name");
	mv_wire_u64(w, &c->saved_at);
}

/* Another version's KVM controls would be a promise that this one can't keep. */
static void walk_controls(struct mv_wire *w, uint32_t *controls)
{
	mv_wire_u32(w, controls);
	if (*controls & ~MV_KVM_CONTROLS_ALL)
		mv_wire_fail(w, "unknown KVM controls 0x%" PRIx32,
			     *controls & ~MV_KVM_CONTROLS_ALL);
}

void mv_walk_disk(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_disk *d = &rs->config->disks[index];
	unsigned most = MV_DISK_BLOCKS;

	if (mv_wire_decoding(w) && rs->minor < MV_STREAM_MINOR_BLOCKS)
		most = MV_DISK_WHOLE;
	if (mv_wire_decoding(w))
		rs->config->ndisks = index + 1;
	mv_wire_str(w, d->path, sizeof(d->path), "the disk's path");
	if (d->path[0] != '/')
		mv_wire_fail(w, "the path of a disk is not absolute");
	mv_wire_bool(w, &d->read_only, "the disk's read_only");
	mv_wire_u64(w, &d->size);
	if (!d->size || d->size % MV_SECTOR || d->size > INT64_MAX)
		mv_wire_fail(w, "a disk of 0x%" PRIx64 " bytes is no number of sectors", d->size);
	mv_wire_u8(w, &d->id_kind);
	if (d->id_kind > most)
		mv_wire_fail(w, "the kind of the disk's id is %u, beyond %u", d->id_kind, most);
	if (d->id_kind)
		mv_wire_bytes(w, d->id, sizeof(d->id));
}

/* That it is there says all. */
void mv_walk_rng(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	(void)index;
	if (mv_wire_decoding(w))
		rs->config->rng = true;
}

static const char ignored_name[] = "the list of overridden refusals";

static void walk_first_ignored(struct mv_wire *w, struct mv_policy *p)
{
	char first[MV_POLICY_IGNORED];

	if (mv_wire_decoding(w)) {
		mv_wire_str(w, p->ignored, sizeof(first), ignored_name);
		return;
	}
	memcpy(first, p->ignored, sizeof(first));
	first[sizeof(first) - 1] = '\0';
	mv_wire_str(w, first, sizeof(first), ignored_name);
}

void mv_walk_ignored(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	const size_t first = MV_POLICY_IGNORED - 1;
	char *rest = rs->policy->ignored + first;
	size_t size = mv_wire_decoding(w) ? w->size : strlen(rest) + 1;

	(void)index;
	if (size < 2 || size > MV_IGNORED_TEXT - first ||
	    (mv_wire_decoding(w) && strlen(rs->policy->ignored) != first))
		mv_wire_fail(w, "0x%zx bytes don't continue %s", size, ignored_name);
	else
		mv_wire_str(w, rest, size, ignored_name);
	if (mv_wire_ok(w) && !rest[size - 2])
		mv_wire_fail(w, "%s has bytes after its end", ignored_name);
}

void mv_walk_policy(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_policy *p = rs->policy;

	(void)index;
	mv_wire_str(w, p->guest_os, sizeof(p->guest_os), "the guest OS");
	mv_wire_u8_max(w, &p->intercept, MV_NINTERCEPTIONS - 1, "the interception");
	mv_wire_bool(w, &p->patchable, "patchable");
	mv_wire_bool(w, &p->patch_cpl3, "patch_cpl3");
	walk_first_ignored(w, p);
	walk_controls(w, &p->kvm_controls);
}

static void walk_table(struct mv_wire *w, struct mv_table *t, uint32_t min)
{
	struct mv_leaf *e;
	uint32_t i, j;
	unsigned reg;

	mv_wire_count(w, &t->n, min, MV_TABLE_MAX, TABLE_ENTRY, "the number of CPUID entries");
	for (i = 0; i < t->n && mv_wire_ok(w); i++) {
		e = &t->e[i];
		mv_wire_u32(w, &e->leaf);
		mv_wire_u32(w, &e->subleaf);
		for (reg = 0; reg < MV_NREGS; reg++)
			mv_wire_u32(w, &e->reg[reg]);
		for (j = 0; j < i; j++)
			if (t->e[j].leaf == e->leaf && t->e[j].subleaf == e->subleaf)
				mv_wire_fail(w, "CPUID leaf 0x%" PRIx32 " subleaf 0x%" PRIx32
					     " occurs twice", e->leaf, e->subleaf);
	}
}

void mv_walk_guest_table(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	(void)index;
	walk_table(w, &rs->policy->guest, 1);
}

/* A feature that was tried, by position. */
struct exec {
	uint32_t leaf, subleaf;
	uint8_t reg, bit;
	bool ran;
};

static void walk_exec(struct mv_wire *w, struct exec *x)
{
	mv_wire_u32(w, &x->leaf);
	mv_wire_u32(w, &x->subleaf);
	mv_wire_u8_max(w, &x->reg, MV_NREGS - 1, "a feature's register");
	mv_wire_u8_max(w, &x->bit, 31, "a feature's bit");
	mv_wire_bool(w, &x->ran, "a feature's outcome");
}

static bool exec_before(const struct exec *a, const struct exec *b)
{
	if (a->leaf != b->leaf)
		return a->leaf < b->leaf;
	if (a->subleaf != b->subleaf)
		return a->subleaf < b->subleaf;
	if (a->reg != b->reg)
		return a->reg < b->reg;
	return a->bit < b->bit;
}

static void encode_exec_set(struct mv_wire *w, struct mv_host *h)
{
	uint32_t n = 0;
	unsigned id;

	for (id = 0; id < MV_NFEATURES; id++)
		n += mv_featset_has(&h->exec_known, (enum mv_feature_id)id);
	mv_wire_u32(w, &n);
	/* The table's rows stand in order of position: so do the entries. */
	for (id = 0; id < MV_NFEATURES; id++) {
		const struct mv_feature *f = &mv_features[id];
		struct exec x = {
			f->leaf, f->subleaf, f->reg, f->bit,
			mv_featset_has(&h->exec_ran, (enum mv_feature_id)id),
		};

		if (mv_featset_has(&h->exec_known, (enum mv_feature_id)id))
			walk_exec(w, &x);
	}
}

static void decode_exec_set(struct mv_wire *w, struct mv_host *h)
{
	struct exec x = { 0 }, last = { 0 };
	const struct mv_feature *f;
	uint32_t i, n = 0;

	memset(&h->exec_known, 0, sizeof(h->exec_known));
	memset(&h->exec_ran, 0, sizeof(h->exec_ran));
	mv_wire_count(w, &n, 0, MAX_EXEC, EXEC_ENTRY, "the number of tried features");
	for (i = 0; i < n && mv_wire_ok(w); i++, last = x) {
		walk_exec(w, &x);
		if (i && !exec_before(&last, &x))
			mv_wire_fail(w, "the tried features are not in order");
		f = mv_feature_at(x.leaf, x.subleaf, x.reg, x.bit);
		/* Another version's table may know more: that feature says nothing here. */
		if (!f)
			continue;
		mv_featset_add(&h->exec_known, mv_feature_id(f));
		if (x.ran)
			mv_featset_add(&h->exec_ran, mv_feature_id(f));
	}
}

void mv_walk_source_host(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_host *h = &rs->policy->source;
	uint32_t i;

	(void)index;
	if (mv_wire_decoding(w))
		rs->policy->given = (struct mv_given){ 0 };
	mv_wire_str(w, h->name, sizeof(h->name), "the host's name");
	mv_wire_str(w, h->kernel, sizeof(h->kernel), "the host's kernel");
	mv_wire_str(w, h->source, sizeof(h->source), "the description's source");
	mv_wire_u64(w, &h->microcode);
	mv_wire_bool(w, &h->assumed, "assumed");
	walk_table(w, &h->raw, 0);
	walk_table(w, &h->kvm, 0);
	if (mv_wire_decoding(w))
		decode_exec_set(w, h);
	else
		encode_exec_set(w, h);
	mv_wire_count(w, &h->nmsrs, 0, MV_HOST_MSRS, MSR_ENTRY, "the number of feature MSRs");
	for (i = 0; i < h->nmsrs && mv_wire_ok(w); i++) {
		mv_wire_u32(w, &h->msrs[i].index);
		mv_wire_u64(w, &h->msrs[i].value);
	}
	mv_wire_u64(w, &h->xcr0);
	mv_wire_u32(w, &h->tsc_khz);
	mv_wire_bool(w, &h->tsc_scaling, "tsc_scaling");
	walk_controls(w, &h->kvm_controls);
	for (i = 0; i < MV_NINTERCEPTIONS; i++)
		mv_wire_u8_max(w, &h->proof[i], MV_PROOF_BOTH, "a proof");
	mv_wire_bool(w, &h->proved, "proved");
	mv_wire_bool(w, &h->cpl0_interpreted, "cpl0_interpreted");
}

/* Absent, it would say the same. */
void mv_walk_given(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_given *g = &rs->policy->given;

	(void)index;
	mv_wire_u32(w, &g->tsc_khz);
	mv_wire_u64(w, &g->arch_caps);
	g->kept = true;
	if (mv_wire_ok(w) && mv_given_by(g, &rs->policy->source))
		mv_wire_fail(w, "that is what the source has");
}

void mv_walk_mask_files(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	struct mv_mask_files *f = &rs->policy->files;
	uint32_t i;

	(void)index;
	mv_wire_count(w, &f->n, 0, MV_MASK_FILES, sizeof(f->name[0]), "the number of mask files");
	for (i = 0; i < f->n && mv_wire_ok(w); i++)
		mv_wire_str(w, f->name[i], sizeof(f->name[i]), "a mask file's name");
	rs->nfiles = f->n;
}

static void walk_places(struct mv_wire *w, mv_at *at, size_t n, const struct mv_records *rs)
{
	mv_wire_u32s(w, at, n);
	for (size_t i = 0; i < n; i++)
		if (at[i] && MV_AT_FILE(at[i]) >= rs->nfiles)
			mv_wire_fail(w, "a place in mask file %" PRIu32 " of %" PRIu32, at[i] >> 24,
				     rs->nfiles);
}

/* The order in which a mask's registers stand, as a rule: then none can be there twice. */
static bool ascends(const struct mv_mask_reg *a, const struct mv_mask_reg *b)
{
	if (a->leaf != b->leaf)
		return a->leaf < b->leaf;
	if (a->subleaf != b->subleaf)
		return a->subleaf < b->subleaf;
	return a->reg != b->reg ? a->reg < b->reg : a->vendor < b->vendor;
}

/* sorted: all before it ascend; it is what it says afterwards. */
static void walk_mask_reg(struct mv_wire *w, struct mv_mask *m, uint32_t i,
			  const struct mv_records *rs, bool *sorted)
{
	struct mv_mask_reg *r = &m->regs[i];
	const struct mv_mask_reg *o;

	mv_wire_u32(w, &r->leaf);
	mv_wire_u32(w, &r->subleaf);
	mv_wire_u8_max(w, &r->reg, MV_NREGS - 1, "a mask's register");
	mv_wire_u8_max(w, &r->vendor, MV_VENDOR_HYGON, "a mask's vendor");
	mv_wire_u32s(w, r->plane, 3);
	walk_places(w, r->at, 32, rs);
	*sorted = *sorted && (i == 0 || ascends(r - 1, r));
	for (o = m->regs; !*sorted && o < r; o++)
		if (o->leaf == r->leaf && o->subleaf == r->subleaf && o->reg == r->reg &&
		    o->vendor == r->vendor)
			mv_wire_fail(w, "leaf 0x%" PRIx32 " subleaf 0x%" PRIx32
				     " register %u occurs twice", r->leaf, r->subleaf, r->reg);
}

/* The id of the field at exactly that position; MV_NFIELDS if there is none. */
static unsigned field_id(const struct mv_field *pos)
{
	const struct mv_field *f = mv_field_at(pos->leaf, pos->subleaf, pos->reg, pos->lo);

	return f && f->lo == pos->lo && f->hi == pos->hi ? (unsigned)(f - mv_fields) : MV_NFIELDS;
}

static void walk_mask_field(struct mv_wire *w, struct mv_mask *m, uint32_t i,
			    const struct mv_records *rs)
{
	struct mv_mask_field *f = &m->fields[i];
	const struct mv_mask_field *o;
	struct mv_field pos = { 0 };

	if (!mv_wire_decoding(w)) {
		if (f->id >= MV_NFIELDS) {
			mv_wire_fail(w, "field number %u does not exist", f->id);
			return;
		}
		pos = mv_fields[f->id];
	}
	mv_wire_u32(w, &pos.leaf);
	mv_wire_u32(w, &pos.subleaf);
	mv_wire_u8_max(w, &pos.reg, MV_NREGS - 1, "a field's register");
	mv_wire_u8_max(w, &pos.lo, 31, "a field's first bit");
	mv_wire_u8_max(w, &pos.hi, 31, "a field's last bit");
	mv_wire_u32(w, &f->value);
	walk_places(w, &f->at, 1, rs);
	if (!mv_wire_ok(w))
		return;
	if (mv_wire_decoding(w)) {
		f->id = (uint16_t)field_id(&pos);
		if (f->id == MV_NFIELDS) {
			mv_wire_fail(w, "no field is known at leaf 0x%" PRIx32 " subleaf 0x%" PRIx32
				     " register %u bits %u to %u", pos.leaf, pos.subleaf, pos.reg,
				     pos.lo, pos.hi);
			return;
		}
	}
	if ((uint64_t)f->value >> (pos.hi - pos.lo + 1))
		mv_wire_fail(w, "0x%" PRIx32 " does not fit into %s", f->value,
			     mv_fields[f->id].name);
	for (o = m->fields; o < f; o++)
		if (o->id == f->id)
			mv_wire_fail(w, "%s occurs twice", mv_fields[f->id].name);
}

static void walk_mask_msr(struct mv_wire *w, struct mv_mask *m, uint32_t i,
			  const struct mv_records *rs)
{
	struct mv_mask_msr *r = &m->msrs[i];
	const struct mv_mask_msr *o;

	mv_wire_u32(w, &r->index);
	mv_wire_u64s(w, r->plane, 3);
	walk_places(w, &r->at, 1, rs);
	for (o = m->msrs; o < r; o++)
		if (o->index == r->index)
			mv_wire_fail(w, "MSR 0x%" PRIx32 " occurs twice", r->index);
}

static void walk_mask(struct mv_wire *w, struct mv_mask *m, const struct mv_records *rs)
{
	bool sorted = true;
	uint32_t i;

	mv_wire_count(w, &m->nregs, 0, MV_MASK_REGS, MASK_REG_ENTRY, "the number of registers");
	mv_wire_count(w, &m->nfields, 0, MV_MASK_FIELDS, MASK_FIELD_ENTRY, "the number of fields");
	mv_wire_count(w, &m->nmsrs, 0, MV_MASK_MSRS, MASK_MSR_ENTRY, "the number of MSRs");
	for (i = 0; i < m->nregs && mv_wire_ok(w); i++)
		walk_mask_reg(w, m, i, rs, &sorted);
	for (i = 0; i < m->nfields && mv_wire_ok(w); i++)
		walk_mask_field(w, m, i, rs);
	for (i = 0; i < m->nmsrs && mv_wire_ok(w); i++)
		walk_mask_msr(w, m, i, rs);
}

void mv_walk_mask_final(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	(void)index;
	walk_mask(w, &rs->policy->final, rs);
}

void mv_walk_mask_effective(struct mv_wire *w, struct mv_records *rs, uint32_t index)
{
	(void)index;
	walk_mask(w, &rs->policy->effective, rs);
}
