/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host_json.h"
#include "import.h"
#include "maskfile.h"
#include "maskwrite.h"

const char fuzz_dump[] =
	"CPUID 00000000: 0000000D-756E6547-6C65746E-49656E69\n"
	"CPUID 00000001: 000306A9-00100800-7FBAE3FF-BFEBFBFF\n"
	"CPUID 00000007: 00000000-00000281-00000000-00000000\n"
	"CPUID 0000000D: 00000007-00000340-00000340-00000000 [SL 00]\n"
	"CPUID 0000000D: 00000001-00000000-00000000-00000000 [SL 01]\n"
	"CPUID 0000000D: 00000100-00000240-00000000-00000000 [SL 02]\n"
	"CPUID 80000000: 80000008-00000000-00000000-00000000\n"
	"CPUID 80000001: 00000000-00000000-00000001-28100800\n"
	"CPUID 80000008: 00003024-00000000-00000000-00000000\n";

void fuzz_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

/* Without memory there is nothing to test. */
static void *need(void *p)
{
	FUZZ_MUST(p, "out of memory");
	return p;
}

char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = need(malloc(size + 1));

	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

int fuzz_file(const void *data, size_t size, char path[FUZZ_PATH])
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	snprintf(path, FUZZ_PATH, "/proc/self/fd/%d", fd);
	if (fd >= 0 && write(fd, data, size) == (ssize_t)size)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

void fuzz_check_error(int rc, const struct mv_err *err)
{
	FUZZ_MUST(rc <= 0, "%d is neither success nor an error", rc);
	FUZZ_MUST(rc == 0 || (err->code == -rc && *err->msg), "error %d, and code %d says '%s'", rc, err->code,
		  err->msg);
	FUZZ_MUST(!strpbrk(err->msg, "\n\r\033") && !strpbrk(err->hint, "\n\r\033"),
		  "the message would upset a terminal: '%s'", err->msg);
}

/* ---- masks ---- */

/* Is every symbol of a's registers, fields and MSRs also b's? */
static const char *lacks(const struct mv_mask *a, const struct mv_mask *b)
{
	for (uint32_t i = 0; i < a->nregs; i++) {
		const struct mv_mask_reg *r = &a->regs[i], *o = NULL;

		if (!mv_mask_reg_named(r))
			continue;
		for (uint32_t k = 0; k < b->nregs && !o; k++)
			if (b->regs[k].leaf == r->leaf && b->regs[k].subleaf == r->subleaf &&
			    b->regs[k].reg == r->reg && b->regs[k].vendor == r->vendor)
				o = &b->regs[k];
		if (!o || memcmp(o->plane, r->plane, sizeof(r->plane)))
			return "a register";
	}
	for (uint32_t i = 0, k; i < a->nfields; i++) {
		for (k = 0; k < b->nfields && b->fields[k].id != a->fields[i].id; k++)
			;
		if (k == b->nfields || b->fields[k].value != a->fields[i].value)
			return "a field";
	}
	for (uint32_t i = 0, k; i < a->nmsrs; i++) {
		for (k = 0; k < b->nmsrs && b->msrs[k].index != a->msrs[i].index; k++)
			;
		if (!(a->msrs[i].plane[0] | a->msrs[i].plane[1] | a->msrs[i].plane[2]))
			continue;
		if (k == b->nmsrs || memcmp(b->msrs[k].plane, a->msrs[i].plane, sizeof(a->msrs[i].plane)))
			return "an MSR";
	}
	return NULL;
}

static void print_mask(const char *title, const struct mv_mask *m)
{
	static char text[1 << 18];

	mv_mask_write(text, sizeof(text), m, MV_FORM_GUIDE, NULL);
	fprintf(stderr, "== %s\n%s", title, text);
}

void fuzz_same_mask(const struct mv_mask *a, const struct mv_mask *b, const char *text)
{
	const char *what = lacks(a, b);

	if (!what)
		what = lacks(b, a);
	if (!what)
		return;
	print_mask("before", a);
	print_mask("behind", b);
	fuzz_fail("%s is not the same again:\n%s", what, text);
}

void fuzz_write_mask(const struct mv_mask *m)
{
	const struct mv_mask_reader reader = { .kind = MV_MASK_OVERRIDE, .file = "again" };
	struct mv_mask *again = need(malloc(sizeof(*again)));

	for (int form = 0; form < MV_NFORMS; form++) {
		size_t len = mv_mask_write(NULL, 0, m, (enum mv_mask_form)form, NULL);
		char *text = need(malloc(len + 1));
		struct mv_err err = { 0 };

		FUZZ_MUST(mv_mask_write(text, len + 1, m, (enum mv_mask_form)form, NULL) == len,
			  "another length when it is written again");
		FUZZ_MUST(mv_mask_parse(again, text, len, &reader, &err) == 0, "as %s, line %u: %s\n%s",
			  mv_mask_form_name((enum mv_mask_form)form), err.line, err.msg, text);
		fuzz_same_mask(m, again, text);
		free(text);
	}
	free(again);
}

/*
 * QEMU shows 0 in bits that it has no name for, so such a 0 needs no words and does not come back; the
 * copies that AMD has of leaf 1 follow it there.
 */
static void without_unsaid(struct mv_mask *m)
{
	for (uint32_t i = 0; i < m->nregs; i++)
		for (unsigned bit = 0; bit < 32; bit++) {
			struct mv_mask_reg *r = &m->regs[i];
			const struct mv_feature *f = mv_feature_at(r->leaf, r->subleaf, r->reg, bit);

			if ((f && f->cls == MV_FC_MIRROR) ||
			    (mv_mask_reg_sym(r, bit) == MV_SYM_0 && !(f && *f->qemu_name)))
				mv_mask_reg_set(r, bit, MV_SYM_INHERIT, 0);
		}
	for (uint32_t i = 0; i < m->nmsrs; i++)
		for (unsigned bit = 0; bit < 64; bit++) {
			const struct mv_caps_bit *c = mv_caps_bits;

			while (c->bit < 64 && (c->bit != bit || !*c->qemu))
				c++;
			if (mv_mask_msr_sym(&m->msrs[i], bit) == MV_SYM_0 && c->bit == 64)
				for (unsigned p = 0; p < 3; p++)
					m->msrs[i].plane[p] &= ~(UINT64_C(1) << bit);
		}
}

static void compare(const struct mv_dialect *d, const struct mv_mask *m, const struct mv_mask *again,
		    const char *text)
{
	struct mv_mask *said = need(malloc(sizeof(*said)));

	*said = *m;
	if (d == &mv_dialect_qemu)
		without_unsaid(said);
	fuzz_same_mask(said, again, text);
	free(said);
}

void fuzz_write_dialect(const struct mv_dialect *d, const struct mv_mask *m)
{
	const struct mv_dialect_opts opts = { 0 };
	struct mv_mask *again = need(malloc(sizeof(*again)));
	struct mv_losses to = { 0 }, from = { 0 };
	struct mv_err err = { 0 };
	char *text = NULL;
	size_t len;
	FILE *out = need(open_memstream(&text, &len));
	int rc = d->to(out, m, &opts, &to, &err);

	fclose(out);
	fuzz_check_error(rc, &err);
	if (rc == 0) {
		FUZZ_MUST(d->from(again, "again", text, len, &from, &err) == 0, "%s does not read what it wrote: "
			  "line %u: %s\n%s", d->name, err.line, err.msg, text);
		/* Numbers may come back as the bits that they stand for (docs/dialects.md). */
		if (to.n == 0 && m->nfields == 0)
			compare(d, m, again, text);
	}
	mv_losses_free(&to);
	mv_losses_free(&from);
	free(text);
	free(again);
}

void fuzz_dialect(const struct mv_dialect *d, const uint8_t *data, size_t size)
{
	struct mv_mask *m = need(malloc(sizeof(*m)));
	char *text = fuzz_text(data, size);
	struct mv_losses losses = { 0 };
	struct mv_err err = { 0 };
	int rc = d->from(m, "in", text, size, &losses, &err);

	fuzz_check_error(rc, &err);
	if (rc == 0) {
		fuzz_accepted++;
		fuzz_write_mask(m);
		fuzz_write_dialect(d, m);
	}
	mv_losses_free(&losses);
	free(text);
	free(m);
}

/* ---- hosts ---- */

void fuzz_write_host(const struct mv_host *h)
{
	struct json_object *o = need(mv_host_to_json(h)), *o2;
	const char *text = json_object_to_json_string(o);
	struct mv_host *again = need(malloc(sizeof(*again)));
	struct mv_err err = { 0 };

	FUZZ_MUST(mv_host_import_text(again, "out", text, strlen(text), NULL, &err) == 0,
		  "a host file that can't be read: %s\n%s", err.msg, text);
	o2 = need(mv_host_to_json(again));
	FUZZ_MUST(json_object_equal(o, o2), "a host is not the same again:\n%s\n%s", text,
		  json_object_to_json_string(o2));
	json_object_put(o2);
	json_object_put(o);
	free(again);
}
