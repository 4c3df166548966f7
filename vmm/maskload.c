/* SPDX-License-Identifier: MIT */
#include "maskload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "baseline.h"
#include "builtin.h"
#include "file.h"
#include "file_kind.h"
#include "maskfile.h"
#include "text.h"

#define MAX_MASK_FILE (1u << 20)
#define MAX_DEPTH 8	/* of includes */
#define SUFFIX ".mask"

struct loader {
	struct mv_policy *p;
	enum mv_mask_kind kind;
	struct mv_mask *into;	/* the mask of the file being read */
	const char *path;	/* of that file, for relative includes */
	unsigned depth;
	struct mv_mask_directives asked;	/* by the files */
	struct mv_mask *baseline;	/* the one in force; empty at first. NULL: don't load it */
	bool in_baseline, baseline_fixed;	/* reading it; asked for on the command line */
};

#define GUEST_OS "guest-os"
#define BASELINES "baselines"

static int add_file(struct mv_policy *p, const char *name, uint32_t *index, struct mv_err *err)
{
	if (p->files.n == MV_MASK_FILES)
		return mv_err_at(err, MV_E_INPUT, name, 0, 0, "more than %d mask files",
				 MV_MASK_FILES);
	*index = p->files.n++;
	snprintf(p->files.name[*index], sizeof(p->files.name[0]), "%s", name);
	mv_text_printable(p->files.name[*index]);
	return 0;
}

static int load_file(struct loader *l, const char *path, struct mv_err *err);

/* The built-in mask of that name: "linux64" is guest-os/linux64.mask. */
static const struct mv_builtin *builtin_mask(const char *folder, const char *name)
{
	const struct mv_builtin *b;
	char file[64];

	snprintf(file, sizeof(file), "%s" SUFFIX, name);
	b = mv_builtin_find(file);
	return b && !strcmp(b->folder, folder) ? b : NULL;
}

static int parse_text(struct loader *l, const char *name, const char *text, size_t len,
		      struct mv_err *err);

/* A name relative to the file that has it. */
static void resolve(char *path, size_t size, const struct loader *l, const char *arg)
{
	const char *slash = strrchr(l->path, '/');

	if (*arg == '/' || !slash)
		snprintf(path, size, "%s", arg);
	else
		snprintf(path, size, "%.*s/%s", (int)(slash - l->path), l->path, arg);
}

/* Another file in the middle of this one: what it says holds until a later line says otherwise. */
static int include(struct loader *l, const char *arg, struct mv_err *err)
{
	struct mv_mask *mask = malloc(sizeof(*mask)), *outer = l->into;
	const char *outer_path = l->path;
	char path[1024];
	int rc;

	if (!mask)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	resolve(path, sizeof(path), l, arg);
	l->into = mask;
	l->depth++;
	if (l->depth > MAX_DEPTH)
		rc = mv_err_at(err, MV_E_INPUT, path, 0, 0, "includes nested deeper than %d",
			       MAX_DEPTH);
	else
		rc = load_file(l, path, err);
	if (rc)
		mv_err_hint(err, "%.250s includes it", outer_path);
	l->depth--;
	l->into = outer;
	l->path = outer_path;
	if (rc == 0)
		rc = mv_mask_overlay(outer, mask, err);
	free(mask);
	return rc;
}

/*
 * A baseline is a layer of its own between default mask and overrides, wherever it is named. One
 * counts: the command line's, else the last that a file names.
 */
static int baseline(struct loader *l, const char *arg, struct mv_err *err)
{
	const struct mv_builtin *b = builtin_mask(BASELINES, arg);
	struct loader inner = *l;
	char path[1024];

	if (l->in_baseline)
		return mv_err_set(err, MV_E_INPUT, "a baseline can't name another");
	snprintf(l->asked.baseline, sizeof(l->asked.baseline), "%s", arg);
	if (l->baseline_fixed || !l->baseline)
		return 0;
	inner.in_baseline = true;
	inner.kind = MV_MASK_OVERRIDE;
	inner.into = l->baseline;
	if (b)
		return parse_text(&inner, b->name, (const char *)b->data, b->size, err);
	resolve(path, sizeof(path), l, arg);
	return load_file(&inner, path, err);
}

static int directive(void *ctx, enum mv_directive d, const char *arg, mv_at at, struct mv_err *err)
{
	struct loader *l = ctx;

	(void)at;
	switch (d) {
	case MV_DIR_GUEST_OS:
		if (!builtin_mask(GUEST_OS, arg) || strlen(arg) >= sizeof(l->asked.guest_os))
			return mv_err_set(err, MV_E_INPUT, "no default mask for guest OS '%s'",
					  arg);
		snprintf(l->asked.guest_os, sizeof(l->asked.guest_os), "%s", arg);
		return 0;
	case MV_DIR_BASELINE:
		return baseline(l, arg, err);
	default:
		return include(l, arg, err);
	}
}

static int parse_text(struct loader *l, const char *name, const char *text, size_t len,
		      struct mv_err *err)
{
	struct mv_mask_reader reader = {
		.kind = l->kind, .file = name, .directive = directive, .ctx = l,
	};
	int rc = add_file(l->p, name, &reader.file_index, err);

	return rc ? rc : mv_mask_parse(l->into, text, len, &reader, err);
}

static int load_file(struct loader *l, const char *path, struct mv_err *err)
{
	char *text;
	size_t len;
	int rc = mv_read_file(path, MAX_MASK_FILE, &text, &len, err);

	if (rc)
		return rc;
	l->path = path;
	rc = parse_text(l, path, text, len, err);
	if (rc)
		mv_file_hint(err, path, MV_FILE_OTHER);
	free(text);
	return rc;
}

static void names(char *buf, size_t size, const char *folder)
{
	size_t n, used = 0;
	const struct mv_builtin *f = mv_builtin_all(&n);

	*buf = '\0';
	for (size_t i = 0; i < n && used < size; i++)
		if (!strcmp(f[i].folder, folder))
			used += (size_t)snprintf(buf + used, size - used, "%s%.*s",
						 used ? " " : "", (int)strcspn(f[i].name, "."),
						 f[i].name);
}

void mv_guest_os_names(char *buf, size_t size)
{
	names(buf, size, GUEST_OS);
}

void mv_baseline_names(char *buf, size_t size)
{
	names(buf, size, BASELINES);
}

static int load_default(struct loader *l, const struct mv_mask_request *req, struct mv_err *err)
{
	const char *name = req->guest_os ? req->guest_os
			   : *l->asked.guest_os ? l->asked.guest_os
					  : MV_DEFAULT_GUEST_OS;
	const struct mv_builtin *b = builtin_mask(GUEST_OS, name);
	char list[256];

	l->kind = MV_MASK_DEFAULT;
	if (req->default_mask) {
		snprintf(l->p->guest_os, sizeof(l->p->guest_os), "custom");
		return load_file(l, req->default_mask, err);
	}
	if (!b) {
		mv_guest_os_names(list, sizeof(list));
		mv_err_set(err, MV_E_USAGE, "no default mask for guest OS '%s'", name);
		mv_err_hint(err, "there are: %s", list);
		return -MV_E_USAGE;
	}
	snprintf(l->p->guest_os, sizeof(l->p->guest_os), "%s", name);
	l->path = "";
	return parse_text(l, b->name, (const char *)b->data, b->size, err);
}

/* The command line's baseline: a mistyped name is not a missing file. */
static int load_baseline(struct loader *l, const char *name, struct mv_err *err)
{
	char list[1024];
	int rc;

	if (!name)
		return 0;
	l->path = "";
	rc = baseline(l, name, err);
	l->baseline_fixed = true;
	if (rc && !strpbrk(name, "./")) {
		mv_baseline_names(list, sizeof(list));
		mv_err_hint(err, "no file, and no built-in baseline: there are %s", list);
	}
	return rc;
}

/* Default mask, baseline, overrides: each on top of the one before. */
static int layers(struct loader *l, struct mv_mask *def, const struct mv_mask *over,
		  enum mv_vendor vendor, struct mv_err *err)
{
	struct mv_mask *flat, *scratch;
	int rc = 0;

	if (!l->baseline->nregs && !l->baseline->nfields && !l->baseline->nmsrs)
		return mv_mask_merge(&l->p->final, def, over, vendor, err);
	flat = malloc(sizeof(*flat));
	scratch = malloc(sizeof(*scratch));
	rc = flat && scratch ? mv_mask_merge(flat, def, NULL, vendor, err)
			     : mv_err_set(err, MV_E_FAILED, "out of memory");
	if (rc == 0)
		rc = mv_baseline_restrict(flat, l->baseline, vendor, scratch, err);
	if (rc == 0)
		rc = mv_mask_merge(&l->p->final, flat, over, vendor, err);
	free(flat);
	free(scratch);
	return rc;
}

/* The override files into `over`, each through `one`. */
static int load_overrides(struct loader *l, struct mv_mask *over, struct mv_mask *one,
			  const char *const *files, size_t n, struct mv_err *err)
{
	int rc = 0;

	l->kind = MV_MASK_OVERRIDE;
	l->into = one;
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = load_file(l, files[i], err);
		if (rc && builtin_mask(BASELINES, files[i]))
			mv_err_hint(err, "a built-in baseline of that name: --baseline %.60s", files[i]);
		if (rc && builtin_mask(GUEST_OS, files[i]))
			mv_err_hint(err, "a built-in default mask of that name: --guest-os %.60s", files[i]);
		if (rc == 0)
			rc = mv_mask_overlay(over, one, err);
	}
	return rc;
}

int mv_overrides_load(struct mv_mask *m, const char *const *files, size_t n,
		      struct mv_mask_directives *d, struct mv_err *err)
{
	struct mv_policy *p = calloc(1, sizeof(*p));
	struct mv_mask *one = calloc(1, sizeof(*one));
	struct loader l = { .p = p };
	int rc = p && one ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");

	mv_mask_clear(m);
	if (rc == 0)
		rc = load_overrides(&l, m, one, files, n, err);
	*d = l.asked;
	free(p);
	free(one);
	return rc;
}

static struct mv_mask *new_mask(void)
{
	struct mv_mask *m = malloc(sizeof(*m));

	if (m)
		mv_mask_clear(m);
	return m;
}

int mv_masks_load(struct mv_policy *p, const struct mv_mask_request *req, struct mv_err *err)
{
	struct mv_mask *over = new_mask(), *def = new_mask(), *one = new_mask(), *base = new_mask();
	struct loader l = { .p = p, .baseline = base };
	int rc = over && def && one && base ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");

	p->files.n = 0;
	if (rc == 0)
		rc = load_baseline(&l, req->baseline, err);
	if (rc == 0)
		rc = load_overrides(&l, over, one, req->overrides, req->noverrides, err);
	if (rc == 0) {
		l.into = def;
		rc = load_default(&l, req, err);
	}
	if (rc == 0)
		rc = layers(&l, def, over, req->vendor, err);
	free(over);
	free(def);
	free(one);
	free(base);
	return rc;
}
