/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maskfile.h"
#include "xstate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- CPUs: what all specimens of a generation have in common ---- */

static const struct cpu {
	const char *name;
	bool amd;
	uint32_t signature, max_leaf, max_ext;
	uint32_t ecx1, edx1, ebx7, ecx7, edx7, eax71, eaxd1, ecx8, edx8, ebx88;
	uint32_t phys, linear;
	uint32_t xcr0;
} cpus[] = {
	{ "merom", false, 0x6fb, 0xa, 0x80000008, 0x0000e33d, 0xbfebfbff, 0, 0, 0, 0, 0, 0x1,
	  0x20100000, 0, 36, 48, 0 },
	{ "penryn", false, 0x1067a, 0xa, 0x80000008, 0x0008e31d, 0xbfebfbff, 0, 0, 0, 0, 0, 0x1,
	  0x20100800, 0, 38, 48, 0 },
	{ "sandybridge", false, 0x206d7, 0xd, 0x80000008, 0x17bee3bf, 0xbfebfbff, 0, 0, 0, 0, 0x1,
	  0x1, 0x2c100800, 0, 46, 48, 0x7 },
	{ "haswell", false, 0x306f2, 0xf, 0x80000008, 0x77fefbbf, 0xbfebfbff, 0x37ab, 0, 0, 0, 0x1,
	  0x21, 0x2c100800, 0, 46, 48, 0x7 },
	{ "skylake-sp", false, 0x50654, 0x16, 0x80000008, 0x77fefbff, 0xbfebfbff, 0xd39ffffb, 0x8,
	  0xbc000400, 0, 0xf, 0x121, 0x2c100800, 0, 46, 48, 0x2ff },
	{ "cascadelake", false, 0x50657, 0x16, 0x80000008, 0x77fefbbf, 0xbfebfbff, 0xd39ffffb,
	  0x808, 0xbc000400, 0, 0xf, 0x121, 0x2c100800, 0, 46, 48, 0x2ff },
	{ "icelake", false, 0x606a6, 0x1b, 0x80000008, 0x77fefbff, 0xbfebfbff, 0xf3bfbfff,
	  0x40417f4e, 0xbc040412, 0, 0xf, 0x121, 0x2c100800, 0x200, 46, 48, 0x2e7 },
	{ "sapphirerapids", false, 0x806f8, 0x20, 0x80000008, 0x77fefbff, 0xbfebfbff, 0xf3bfbffb,
	  0xbb417fee, 0xffdd4430, 0x1c30, 0x1f, 0x121, 0x2c100800, 0x200, 46, 57, 0x602e7 },
	{ "zen2", true, 0x830f10, 0x10, 0x80000020, 0x76d8320b, 0x178bfbff, 0x209c01a9, 0, 0, 0,
	  0xf, 0x35c233ff, 0x2fd3fbff, 0x1007, 48, 48, 0x207 },
	{ "zen3", true, 0xa00f11, 0x10, 0x80000023, 0x76d8320b, 0x178bfbff, 0x219c95a9, 0x40068c,
	  0, 0, 0xf, 0x75c237ff, 0x2fd3fbff, 0x111ef657, 48, 48, 0x207 },
	{ "zen4", true, 0xa10f11, 0x10, 0x80000028, 0x76d8320b, 0x178bfbff, 0xf1bf97a9, 0x405fce,
	  0x10000000, 0x20, 0xf, 0x75c237ff, 0x2fd3fbff, 0x191ef257, 52, 57, 0x2e7 },
};

struct component {
	unsigned n;
	uint32_t size, offset, flags;
};

static const struct component intel[] = {
	{ 2, 0x100, 0x240, 0 },	 { 3, 0x40, 0x3c0, 0 },	  { 4, 0x40, 0x400, 0 },
	{ 5, 0x40, 0x440, 0 },	 { 6, 0x200, 0x480, 0 },  { 7, 0x400, 0x680, 0 },
	{ 9, 0x8, 0xa80, 0 },	 { 17, 0x40, 0xac0, 2 },  { 18, 0x2000, 0xb00, 6 },
};
static const struct component amd[] = {
	{ 2, 0x100, 0x240, 0 },	 { 5, 0x40, 0x340, 0 }, { 6, 0x200, 0x380, 0 },
	{ 7, 0x400, 0x580, 0 },	 { 9, 0x8, 0x980, 0 },
};
static const struct component zen2[] = {
	{ 2, 0x100, 0x240, 0 }, { 9, 0x40, 0x340, 0 },
};

static const struct cpu *cpu_by_name(const char *name)
{
	for (size_t i = 0; i < COUNT(cpus); i++)
		if (!strcmp(cpus[i].name, name))
			return &cpus[i];
	cr_assert(false, "no CPU '%s'", name);
	return NULL;
}

static void put(struct mv_table *t, uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx,
		uint32_t ecx, uint32_t edx)
{
	struct mv_leaf *e = mv_table_add(t, leaf, subleaf);

	cr_assert(e);
	e->reg[MV_EAX] = eax;
	e->reg[MV_EBX] = ebx;
	e->reg[MV_ECX] = ecx;
	e->reg[MV_EDX] = edx;
}

static void put_layout(struct mv_table *t, const struct cpu *c, uint32_t xcr0)
{
	const struct component *l = !c->amd ? intel : strcmp(c->name, "zen2") ? amd : zen2;
	size_t n = !c->amd ? COUNT(intel) : strcmp(c->name, "zen2") ? COUNT(amd) : COUNT(zen2);

	for (size_t i = 0; i < n; i++)
		if (xcr0 >> l[i].n & 1)
			put(t, 0xd, l[i].n, l[i].size, l[i].offset, l[i].flags, 0);
}

static void put_cpu(struct mv_table *t, const struct cpu *c)
{
	const char *vendor = c->amd ? "AuthenticAMD" : "GenuineIntel";
	uint32_t w[3];

	memset(t, 0, sizeof(*t));
	memcpy(w, vendor, sizeof(w));
	put(t, 0, 0, c->max_leaf, w[0], w[2], w[1]);
	put(t, 1, 0, c->signature, 0x05100800, c->ecx1 | 1u << 31, c->edx1);
	put(t, 4, 0, 0x1c004121, 0x01c0003f, 0x3f, 0);
	put(t, 4, 3, 0x1c03c163, 0x02c0003f, 0x3fff, 6);
	if (c->max_leaf >= 7)
		put(t, 7, 0, c->eax71 ? 1 : 0, c->ebx7, c->ecx7, c->edx7);
	if (c->eax71)
		put(t, 7, 1, c->eax71, 0, 0, 0);
	if (c->max_leaf >= 0xb) {
		put(t, 0xb, 0, 1, 2, 0x100, 5);
		put(t, 0xb, 1, 4, 16, 0x201, 5);
	}
	if (c->xcr0) {
		put(t, 0xd, 0, c->xcr0, 0x240, 0, 0);
		put(t, 0xd, 1, c->eaxd1, 0, 0, 0);
		put_layout(t, c, c->xcr0);
		mv_table_get(t, 0xd, 0)->reg[MV_ECX] = mv_xstate_standard_size(t, c->xcr0);
	}
	put(t, 0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	put(t, 0x40000001, 0, 0x01007efb, 0, 0, 0);
	put(t, 0x80000000, 0, c->max_ext, 0, 0, 0);
	put(t, 0x80000001, 0, c->signature, 0, c->ecx8, c->edx8);
	put(t, 0x80000002, 0, 0x20555043, 0, 0, 0);
	put(t, 0x80000007, 0, 0, 0, 0, 0x100);
	put(t, 0x80000008, 0, c->linear << 8 | c->phys, c->ebx88, c->amd ? 0x700f : 0, 0);
	if (c->amd) {
		put(t, 0x8000001d, 0, 0x4121, 0x01c0003f, 0x3f, 0);
		put(t, 0x8000001d, 3, 0x3c163, 0x03c0003f, 0x3fff, 1);
		put(t, 0x8000001e, 0, 5, 0x102, 0x300, 0);
	}
}

/* ---- words ---- */

static uint64_t number(const char *s, int base, const char *word)
{
	char *end;
	uint64_t v = strtoull(s, &end, base);

	cr_assert(*s && !*end, "'%s' is no number in '%s'", s, word);
	return v;
}

enum mv_feature_id feature_id(const char *name)
{
	const struct mv_feature *f = mv_feature_by_name(name, strlen(name));

	cr_assert(f, "no feature '%s'", name);
	return mv_feature_id(f);
}

/* "L.S:reg" or "L.S:reg[bit]" up to the '='. */
static bool position(const char *s, uint32_t *leaf, uint32_t *subleaf, unsigned *reg, int *bit)
{
	char name[4];

	*bit = -1;
	if (sscanf(s, "%x.%x:%3[a-z][%d]", leaf, subleaf, name, bit) < 3)
		return false;
	for (*reg = 0; *reg < MV_NREGS; ++*reg)
		if (!strcmp(mv_reg_name_lower(*reg), name))
			return true;
	return false;
}

static void host_bit(struct mv_host *h, const char *word)
{
	bool raw = strncmp(word, "kvm", 3), kvm = strncmp(word, "raw", 3);
	const char *s = raw && kvm ? word : word + 3;
	enum mv_feature_id id = feature_id(s + 1);

	if (raw)
		cr_assert_eq(mv_table_set_feature(&h->raw, id, *s == '+'), 0);
	if (kvm)
		cr_assert_eq(mv_table_set_feature(&h->kvm, id, *s == '+'), 0);
}

static void host_number(struct mv_host *h, const char *word, const char *value)
{
	size_t len = (size_t)(value - word) - 1;
	const struct mv_field *f = mv_field_by_name(word, len);
	uint32_t leaf, subleaf;
	unsigned reg;
	int bit;

	if (f) {
		enum mv_field_id id = (enum mv_field_id)(f - mv_fields);
		uint32_t v = (uint32_t)number(value, 0, word);

		cr_assert_eq(mv_table_set_field(&h->raw, id, v), 0);
		cr_assert_eq(mv_table_set_field(&h->kvm, id, v), 0);
	} else if (position(word, &leaf, &subleaf, &reg, &bit)) {
		uint32_t v = (uint32_t)number(value, 16, word);

		mv_table_add(&h->raw, leaf, subleaf)->reg[reg] = v;
		mv_table_add(&h->kvm, leaf, subleaf)->reg[reg] = v;
	} else if (!strncmp(word, "msr:", 4)) {
		h->msrs[h->nmsrs++] = (struct mv_msr){ (uint32_t)strtoul(word + 4, NULL, 16),
						       number(value, 0, word) };
	} else if (!strncmp(word, "xcr0=", 5)) {
		h->xcr0 = number(value, 0, word);
	} else if (!strncmp(word, "controls=", 9)) {
		h->kvm_controls = (uint32_t)number(value, 0, word);
	} else if (!strncmp(word, "microcode=", 10)) {
		h->microcode = number(value, 0, word);
	} else if (!strncmp(word, "tsc=", 4)) {
		h->tsc_khz = (uint32_t)number(value, 0, word);
	} else if (!strncmp(word, "layout=", 7)) {
		uint32_t xcr0 = (uint32_t)mv_xstate_xcr0(&h->raw);

		put_layout(&h->raw, cpu_by_name(value), xcr0);
		put_layout(&h->kvm, cpu_by_name(value), xcr0);
	} else {
		int i = 0;

		while (i < MV_NINTERCEPTIONS &&
		       strncmp(mv_intercept_name((enum mv_intercept)i), word, len))
			i++;
		cr_assert(i < MV_NINTERCEPTIONS, "word '%s'", word);
		h->proof[i] = (uint8_t)number(value, 0, word);
	}
}

static void host_untold(struct mv_host *h, const char *name)
{
	const struct mv_field *d = mv_field_by_name(name, strlen(name));

	if (!h->partial) {
		memset(&h->told, 0xff, sizeof(h->told));
		memset(&h->told_fields, 0xff, sizeof(h->told_fields));
	}
	h->partial = true;
	if (d)
		h->told_fields.w[(d - mv_fields) / 64] &= ~(UINT64_C(1) << (d - mv_fields) % 64);
	else
		mv_featset_remove(&h->told, feature_id(name));
}

void make_host(struct mv_host *h, const char *words)
{
	char *copy = strdup(words), *save, *word = strtok_r(copy, " ", &save);

	memset(h, 0, sizeof(*h));
	put_cpu(&h->raw, cpu_by_name(word));
	h->kvm = h->raw;
	h->proved = true;
	h->proof[MV_INTERCEPTION_KERNEL] = MV_PROOF_BOTH;
	h->xcr0 = mv_xstate_xcr0(&h->raw);
	h->kvm_controls = MV_KVM_CONTROLS_ALL;
	while ((word = strtok_r(NULL, " ", &save))) {
		char *eq = strchr(word, '=');

		if (!strncmp(word, "untold-", 7))
			host_untold(h, word + 7);
		else if (!strncmp(word, "exec+", 5))
			mv_featset_add(&h->exec_ran, feature_id(word + 5));
		else if (!strcmp(word, "scaling"))
			h->tsc_scaling = true;
		else if (eq)
			host_number(h, word, eq + 1);
		else
			host_bit(h, word);
	}
	free(copy);
}

static void set_register(struct mv_mask *m, uint32_t leaf, uint32_t subleaf, unsigned reg, int lo,
			 int hi, enum mv_sym s, mv_at at)
{
	struct mv_mask_reg *r = mv_mask_add(m, leaf, subleaf, reg, MV_VENDOR_OTHER);

	cr_assert(r);
	for (int bit = lo; bit <= hi; bit++)
		mv_mask_reg_set(r, (unsigned)bit, s, at);
}

static void base_mask(struct mv_mask *m, const struct mv_table *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		for (unsigned reg = 0; reg < MV_NREGS; reg++) {
			const struct mv_leaf *e = &t->e[i];
			struct mv_mask_reg *r =
				mv_mask_add(m, e->leaf, e->subleaf, reg, MV_VENDOR_OTHER);

			for (unsigned bit = 0; bit < 32; bit++)
				mv_mask_reg_set(r, bit,
						mv_feature_at(e->leaf, e->subleaf, reg, bit)
							? MV_SYM_H
							: MV_SYM_X,
						MV_AT(1, 1));
		}
}

static void mask_msr(struct mv_mask *m, const char *word, enum mv_sym s, mv_at at)
{
	uint32_t index;
	unsigned bit, i = 0;

	cr_assert_eq(sscanf(word, "msr:%x[%u]", &index, &bit), 2, "word '%s'", word);
	while (i < m->nmsrs && m->msrs[i].index != index)
		i++;
	if (i == m->nmsrs)
		m->msrs[m->nmsrs++] = (struct mv_mask_msr){ .index = index, .at = at };
	for (unsigned p = 0; p < 3; p++)
		m->msrs[i].plane[p] |= (uint64_t)((unsigned)s >> p & 1) << bit;
}

static void mask_word(struct mv_mask *m, char *word, mv_at at)
{
	char *value = strchr(word, '=');
	const struct mv_feature *f;
	const struct mv_field *d;
	uint32_t leaf, subleaf;
	unsigned reg;
	int bit, s;

	cr_assert(value, "word '%s'", word);
	*value++ = '\0';
	if (!strncmp(word, "field:", 6)) {
		d = mv_field_by_name(word + 6, strlen(word + 6));
		cr_assert(d, "field '%s'", word);
		m->fields[m->nfields++] = (struct mv_mask_field){
			.id = (uint16_t)(d - mv_fields),
			.value = (uint32_t)number(value, 0, word),
			.at = at,
		};
		return;
	}
	s = mv_sym_parse(*value);
	cr_assert(s >= 0 && !value[1], "symbol '%s'", value);
	f = mv_feature_by_name(word, strlen(word));
	d = mv_field_by_name(word, strlen(word));
	if (!*word)
		for (uint32_t i = 0; i < m->nregs; i++)
			set_register(m, m->regs[i].leaf, m->regs[i].subleaf, m->regs[i].reg, 0, 31,
				     (enum mv_sym)s, at);
	else if (!strncmp(word, "msr:", 4))
		mask_msr(m, word, (enum mv_sym)s, at);
	else if (position(word, &leaf, &subleaf, &reg, &bit))
		set_register(m, leaf, subleaf, reg, bit < 0 ? 0 : bit, bit < 0 ? 31 : bit,
			     (enum mv_sym)s, at);
	else if (f)
		set_register(m, f->leaf, f->subleaf, f->reg, f->bit, f->bit, (enum mv_sym)s, at);
	else if (d)
		set_register(m, d->leaf, d->subleaf, d->reg, d->lo, d->hi, (enum mv_sym)s, at);
	else
		cr_assert(false, "word '%s'", word);
}

static void make_mask(struct mv_mask *m, const struct mv_table *t, const char *words)
{
	char *copy = strdup(words), *save;
	uint32_t line = 0;

	base_mask(m, t);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		line++;
		if (!strcmp(w, "none"))
			m->nregs = 0;
		else
			mask_word(m, w, MV_AT(0, line));
	}
	free(copy);
	mv_mask_sort(m);
}

/* ---- fixtures ---- */

void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->p = calloc(1, sizeof(*f->p));
	f->dst = calloc(1, sizeof(*f->dst));
	f->notes = calloc(1, sizeof(*f->notes));
	f->v = calloc(1, sizeof(*f->v));
	cr_assert(f->p && f->dst && f->notes && f->v);
}

void fixture_finish(struct fixture *f)
{
	free(f->p);
	free(f->dst);
	free(f->notes);
	free(f->v);
}

int make_policy(struct fixture *f, const char *src, const char *mask, unsigned ncpus)
{
	memset(f->p, 0, sizeof(*f->p));
	memset(&f->err, 0, sizeof(f->err));
	make_host(&f->p->source, src);
	make_mask(&f->p->final, &f->p->source.raw, mask);
	f->p->intercept = MV_INTERCEPTION_KERNEL;
	return mv_apply(f->p, ncpus, f->notes, &f->err);
}

int make_verdict(struct fixture *f, const char *src, const char *mask, const char *dst,
		 const struct mv_verdict_opts *opts)
{
	cr_assert_eq(make_policy(f, src, mask, 1), 0, "%s", f->err.msg);
	make_host(f->dst, dst);
	return mv_verdict(f->v, f->p, f->dst, opts, &f->err);
}

/* ---- results ---- */

static char text[65536];

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *format, ...)
{
	size_t n = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + n, sizeof(text) - n, format, ap);
	va_end(ap);
}

const char *notes_text(const struct mv_notes *n)
{
	static const char *const kinds[] = {
		[MV_NOTE_T_MISSING] = "T-missing", [MV_NOTE_F_PRESENT] = "F-present",
		[MV_NOTE_T_ORPHAN] = "T-orphan",   [MV_NOTE_FORCED] = "forced",
		[MV_NOTE_ORPHAN] = "orphan",	   [MV_NOTE_CLOSURE] = "closure",
	};

	*text = '\0';
	for (uint32_t i = 0; i < n->n; i++) {
		const struct mv_note *m = &n->note[i];

		add("%s%s ", i ? " " : "", kinds[m->kind]);
		if (m->msr)
			add("msr:%x[%u]", m->msr, m->bit);
		else
			add("%x.%x:%s[%u]", m->leaf, m->subleaf, mv_reg_name_lower(m->reg), m->bit);
		if (m->at && MV_AT_FILE(m->at) == 0)
			add("@%u", MV_AT_LINE(m->at));
		if (m->cause)
			add("<%s", m->cause->name);
		if (m->cause_at)
			add("@%u", MV_AT_LINE(m->cause_at));
	}
	return text;
}

const char *verdict_text(const struct mv_verdict *v)
{
	*text = '\0';
	for (uint32_t i = 0; i < v->n; i++) {
		const struct mv_mismatch *m = &v->m[i];

		add("%s%s", i ? " " : "", mv_rule_name(m->rule));
		if (m->reg >= 0 && m->lo == m->hi)
			add(" %x.%x:%s[%d]", m->leaf, m->subleaf,
			    mv_reg_name_lower((unsigned)m->reg), m->lo);
		else if (m->reg >= 0)
			add(" %x.%x:%s[%d-%d]", m->leaf, m->subleaf,
			    mv_reg_name_lower((unsigned)m->reg), m->hi, m->lo);
		else if (m->rule == MV_RULE_MSR)
			add(" %x[%d]", m->msr, m->lo);
		else if (m->rule == MV_RULE_XSAVE)
			add(" %x.%x", m->leaf, m->subleaf);
		add("%s%s%s", m->unknown ? "?" : "", m->subset_accepts ? "~" : "",
		    m->ignored ? "!" : "");
	}
	return text;
}

bool guest_has(const struct fixture *f, const char *name)
{
	return mv_table_has(&f->p->guest, feature_id(name));
}

char effective(const struct fixture *f, const char *name)
{
	const struct mv_feature *e = &mv_features[feature_id(name)];

	return mv_sym_char(mv_mask_sym(&f->p->effective, e->leaf, e->subleaf, e->reg, e->bit));
}

#define SOURCE_MAX (1u << 20)

char *read_source(const char *name, size_t *len)
{
	char path[512], *bytes = malloc(SOURCE_MAX);
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", MV_SOURCE_DIR, name);
	f = fopen(path, "rb");
	cr_assert(f && bytes, "can't open %s", path);
	n = fread(bytes, 1, SOURCE_MAX - 1, f);
	fclose(f);
	cr_assert(n > 0 && n < SOURCE_MAX - 1, "%s: %zu bytes", path, n);
	bytes[n] = '\0';
	if (len)
		*len = n;
	return bytes;
}

void load_guest_os(struct mv_mask *m, const char *guest_os)
{
	struct mv_mask_reader reader = { .kind = MV_MASK_DEFAULT, .file = guest_os };
	struct mv_err err = { 0 };
	char name[128], *bytes;
	size_t len;

	snprintf(name, sizeof(name), "configs/guest-os/%s.mask", guest_os);
	bytes = read_source(name, &len);
	cr_assert_eq(mv_mask_parse(m, bytes, len, &reader, &err), 0, "%s", err.msg);
	free(bytes);
}
