/* SPDX-License-Identifier: MIT */
#define _XOPEN_SOURCE 700

#include "snapshot_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "le.h"
#include "stream.h"

struct fixture fx;

static uint64_t seed;

uint64_t any(void)
{
	/* splitmix64 */
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void any_bytes(void *p, size_t len)
{
	uint8_t *b = p;

	while (len--)
		*b++ = (uint8_t)any();
}

void fixture_setup(void)
{
	seed = 42;
	strcpy(fx.dir, "/tmp/minivmm-test-XXXXXX");
	cr_assert(mkdtemp(fx.dir));
	snprintf(fx.file, sizeof(fx.file), "%s/a.snap", fx.dir);
	snprintf(fx.other, sizeof(fx.other), "%s/b.snap", fx.dir);
	fx.st = calloc(1, sizeof(*fx.st));
	fx.st2 = calloc(1, sizeof(*fx.st2));
	fx.ram = calloc(1, RAM_SIZE);
	fx.ram2 = calloc(1, RAM_SIZE);
	cr_assert(fx.st && fx.st2 && fx.ram && fx.ram2);
}

/* Count the folder's entries; perhaps they go. */
static unsigned walk_folder(bool and_remove)
{
	DIR *d = opendir(fx.dir);
	struct dirent *e;
	unsigned n = 0;

	cr_assert(d);
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		n++;
		if (and_remove)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
	return n;
}

unsigned entries(void)
{
	return walk_folder(false);
}

void fixture_teardown(void)
{
	mv_state_finish(&fx.state);
	mv_state_finish(&fx.state2);
	free(fx.st);
	free(fx.st2);
	free(fx.ram);
	free(fx.ram2);
	walk_folder(true);
	rmdir(fx.dir);
}

static void fill_table(struct mv_table *t, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		t->e[i].leaf = i % 2 ? i : 0x80000000 + i;
		t->e[i].subleaf = i / 3;
		any_bytes(t->e[i].reg, sizeof(t->e[i].reg));
	}
	t->n = n;
}

static mv_at any_place(void)
{
	uint64_t r = any();

	return r % 4 ? MV_AT(r % fx.st->policy.files.n, r >> 32) : 0;
}

static void fill_mask(struct mv_mask *m, uint32_t nregs, uint32_t nfields, uint32_t nmsrs)
{
	uint32_t i, k;

	m->nregs = nregs;
	for (i = 0; i < nregs; i++) {
		m->regs[i].leaf = i / 8;
		m->regs[i].subleaf = i / 4 % 2;
		m->regs[i].reg = i % 4;
		m->regs[i].vendor = (uint8_t)(i % 3);
		any_bytes(m->regs[i].plane, sizeof(m->regs[i].plane));
		for (k = 0; k < 32; k++)
			m->regs[i].at[k] = any_place();
	}
	m->nfields = nfields;
	for (i = 0; i < nfields; i++) {
		m->fields[i].id = (uint16_t)((MV_FIELD_STEPPING + i) % MV_NFIELDS);
		m->fields[i].value = (uint32_t)any() & 1;
		m->fields[i].at = any_place();
	}
	m->nmsrs = nmsrs;
	for (i = 0; i < nmsrs; i++) {
		m->msrs[i].index = 0x10a + i;
		any_bytes(m->msrs[i].plane, sizeof(m->msrs[i].plane));
		m->msrs[i].at = any_place();
	}
}

static void fill_host(struct mv_host *h, uint32_t ntable, uint32_t nmsrs)
{
	uint32_t i;

	strcpy(h->name, "lab-1");
	strcpy(h->kernel, "6.1.0 #1 SMP");
	strcpy(h->source, "kvm");
	h->microcode = any();
	h->assumed = true;
	fill_table(&h->raw, ntable);
	fill_table(&h->kvm, ntable / 2);
	for (i = 0; i < MV_NFEATURES; i += ntable > 64 ? 2 : 50) {
		mv_featset_add(&h->exec_known, (enum mv_feature_id)i);
		if (any() & 1)
			mv_featset_add(&h->exec_ran, (enum mv_feature_id)i);
	}
	h->nmsrs = nmsrs;
	for (i = 0; i < nmsrs; i++) {
		h->msrs[i].index = (uint32_t)any();
		h->msrs[i].value = any();
	}
	h->xcr0 = 7;
	h->tsc_khz = 2400000;
	h->tsc_scaling = true;
	for (i = 0; i < MV_NINTERCEPTIONS; i++)
		h->proof[i] = (uint8_t)i;
	h->proved = true;
	h->cpl0_interpreted = true;
}

static void fill_disks(struct mv_config *c, uint32_t n)
{
	uint32_t i;

	c->ndisks = n;
	c->rng = true;
	for (i = 0; i < n; i++) {
		struct mv_disk *d = &c->disks[i];

		memset(d->path, 'd', n > 1 ? sizeof(d->path) - 1 : 1);
		d->path[0] = '/';
		d->read_only = i % 2;
		d->size = (any() >> 1) / 512 * 512 + 512;
		d->id_kind = (uint8_t[]){ MV_DISK_WHOLE, MV_DISK_NO_ID, MV_DISK_BLOCKS }[i % 3];
		if (d->id_kind)
			any_bytes(d->id, sizeof(d->id));
	}
}

static void fill_static(uint32_t nvcpus, bool full)
{
	struct mv_config *c = &fx.st->config;
	struct mv_policy *p = &fx.st->policy;
	uint32_t i;

	strcpy(c->name, "guest \xc3\xa4");
	c->ram_size = RAM_SIZE;
	c->nvcpus = nvcpus;
	memset(c->image, 'i', sizeof(c->image) - 1);
	any_bytes(c->image_hash, sizeof(c->image_hash));
	strcpy(c->producer, "test");
	c->saved_at = 1700000000;
	fill_disks(c, full ? MV_MAX_DISKS : 1);
	strcpy(p->guest_os, "generic64");
	p->intercept = MV_INTERCEPTION_STEP;
	p->patchable = true;
	strcpy(p->ignored, "avx2,tsc");
	p->files.n = full ? MV_MASK_FILES : 2;
	for (i = 0; i < p->files.n; i++)
		snprintf(p->files.name[i], sizeof(p->files.name[i]), "masks/%u.cfg", i);
	fill_host(&p->source, full ? MV_TABLE_MAX : 3, full ? MV_HOST_MSRS : 2);
	fill_table(&p->guest, full ? MV_TABLE_MAX : 4);
	fill_mask(&p->final, full ? MV_MASK_REGS : 2, full ? 12 : 2, full ? MV_MASK_MSRS : 1);
	fill_mask(&p->effective, full ? MV_MASK_REGS - 1 : 1, full ? 11 : 0, full ? 9 : 1);
}

static void fill_segment(struct mv_segment *s)
{
	s->base = any();
	s->limit = (uint32_t)any();
	s->selector = (uint16_t)any();
	s->type = any() & 15;
	s->dpl = any() & 3;
	s->present = any() & 1;
	s->db = any() & 1;
	s->s = any() & 1;
	s->l = any() & 1;
	s->g = any() & 1;
	s->avl = any() & 1;
	s->unusable = any() & 1;
}

static void fill_events(struct mv_events *e)
{
	any_bytes(e, offsetof(struct mv_events, exception_has_payload));
	e->exception_has_payload = true;
	e->exception_payload = any();
	any_bytes(&e->interrupt_injected, 7);
	e->sipi_vector = (uint32_t)any();
	any_bytes(&e->smi_smm, 5);
	e->flags = (uint32_t)any();
}

static void fill_vcpu(struct mv_vcpu_state *v, bool full)
{
	struct mv_segment *seg = &v->sregs.cs;
	uint32_t i;

	any_bytes(&v->regs, sizeof(v->regs));
	for (i = 0; i < 8; i++)
		fill_segment(&seg[i]);
	v->sregs.gdt.base = any();
	v->sregs.gdt.limit = (uint16_t)any();
	v->sregs.idt.base = any();
	v->sregs.idt.limit = (uint16_t)any();
	any_bytes(&v->sregs.cr0, 7 * 8);
	v->sregs.pdptrs_valid = full;
	for (i = 0; full && i < 4; i++)
		v->sregs.pdptrs[i] = any();
	v->nxcrs = full ? MV_MAX_XCRS : 1;
	for (i = 0; i < v->nxcrs; i++) {
		v->xcrs[i].index = i;
		v->xcrs[i].value = any();
	}
	v->xsave_size = full ? 2696 : 576;
	any_bytes(v->xsave, v->xsave_size);
	any_bytes(&v->debugregs, sizeof(v->debugregs));
	any_bytes(v->lapic, sizeof(v->lapic));
	v->nmsrs = full ? MV_MAX_MSRS : 3;
	for (i = 0; i < v->nmsrs; i++) {
		v->msrs[i].index = (uint32_t)any();
		v->msrs[i].value = any();
	}
	fill_events(&v->events);
	v->mp_state = 3;
	v->tsc_khz = 2400000;
	v->has_tsc_offset = full;
	v->tsc_offset = full ? any() : 0;
}

static void fill_irqchip(void)
{
	unsigned i;

	fx.state.has_irqchip = true;
	for (i = 0; i < 3; i++) {
		any_bytes(&fx.state.pit[i], offsetof(struct mv_pit_channel, count_load_time));
		fx.state.pit[i].count_load_time = -(int64_t)i - 1;
	}
	fx.state.pit_flags = 1;
	any_bytes(fx.state.pic, sizeof(fx.state.pic));
	fx.state.ioapic.base_address = 0xfec00000;
	fx.state.ioapic.ioregsel = 0x10;
	fx.state.ioapic.id = 1;
	fx.state.ioapic.irr = 0x100;
	any_bytes(fx.state.ioapic.redirtbl, sizeof(fx.state.ioapic.redirtbl));
}

static void fill_state(uint32_t nvcpus, bool full)
{
	uint32_t i;

	mv_state_finish(&fx.state);	/* of a fill before this one */
	cr_assert(!mv_state_init(&fx.state, nvcpus, NULL));
	fx.state.clock_ns = any();
	if (full)
		fill_irqchip();
	fx.state.ndevices = full ? MV_MAX_DEVICES : 1;
	for (i = 0; i < fx.state.ndevices; i++) {
		snprintf(fx.state.devices[i].name, sizeof(fx.state.devices[i].name), "dev%u", i);
		fx.state.devices[i].size = full ? i * 17 % MV_MAX_DEVICE_STATE : 5;
		any_bytes(fx.state.devices[i].data, fx.state.devices[i].size);
	}
	fx.state.nsites = full ? MV_MAX_SITES : 2;
	for (i = 0; i < fx.state.nsites; i++)
		fx.state.sites[i] = 4096 + i * 2;
	for (i = 0; i < nvcpus; i++)
		fill_vcpu(&fx.state.vcpus[i], full);
}

/* Runs of several lengths; a page with one bit; more than one chunk. */
static void fill_ram(void)
{
	any_bytes(fx.ram, 3 * MV_PAGE_SIZE);
	any_bytes(fx.ram + 5 * MV_PAGE_SIZE, 20 * MV_PAGE_SIZE);
	fx.ram[30 * MV_PAGE_SIZE + 4095] = 0x80;
	any_bytes(fx.ram + (RAM_PAGES - 3) * MV_PAGE_SIZE, 2 * MV_PAGE_SIZE);
}

void fixture_fill(bool full)
{
	uint32_t nvcpus = full ? 3 : 1;

	fill_static(nvcpus, full);
	fill_state(nvcpus, full);
	fill_ram();
}

void fixture_save(const char *path)
{
	struct mv_err err = { 0 };

	cr_assert(!mv_snapshot_save(path, fx.st, &fx.state, fx.ram, NULL, &err), "%s", err.msg);
}

int fixture_read(struct mv_snapshot *s, struct mv_err *err)
{
	int rc = mv_snapshot_state(s, &fx.state2, err);

	if (rc)
		return rc;
	rc = mv_snapshot_memory(s, fx.ram2, err);
	if (rc)
		mv_state_finish(&fx.state2);
	return rc;
}

int fixture_load(const char *path, struct mv_err *err)
{
	struct mv_snapshot *s = NULL;
	int rc;

	*err = (struct mv_err){ 0 };
	memset(fx.ram2, 0, RAM_SIZE);
	rc = mv_snapshot_open(&s, path, fx.st2, err);
	if (!rc) {
		rc = fixture_read(s, err);
		if (rc)
			cr_expect_null(fx.state2.vcpus);
		mv_state_finish(&fx.state2);
	}
	mv_snapshot_close(s);
	cr_expect_eq(rc, -err->code);
	return rc;
}

uint8_t *fixture_record(uint8_t *file, uint32_t type, unsigned index)
{
	uint8_t *r = file + MV_STREAM_HEADER_SIZE;

	while (mv_load_le(r + 8, 4) != type || index--) {
		cr_assert_neq(mv_load_le(r + 8, 4), MV_REC_END, "no record 0x%x", type);
		r += mv_record_size(mv_load_le(r + 16, 8));
	}
	return r;
}

void fixture_fix_sum(uint8_t *record)
{
	mv_store_le(record, XXH3_64bits(record + 8, 16 + (size_t)mv_load_le(record + 16, 8)), 8);
}

uint8_t *slurp(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p;
	long n;

	cr_assert(f && !fseek(f, 0, SEEK_END));
	n = ftell(f);
	rewind(f);
	p = malloc((size_t)n + 1);
	cr_assert(p && fread(p, 1, (size_t)n, f) == (size_t)n);
	fclose(f);
	*len = (size_t)n;
	return p;
}

void spill(const char *path, const void *p, size_t len)
{
	FILE *f = fopen(path, "wb");

	cr_assert(f && fwrite(p, 1, len, f) == len && !fclose(f));
}

