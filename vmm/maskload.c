/* SPDX-License-Identifier: MIT */
#include "maskload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "json.h"
#include "maskfile.h"

#define MAX_MASK_FILE (1u << 20)
#define MAX_DEPTH 8	/* of includes */
#define SUFFIX ".mask"

struct loader {
	struct mv_policy *p;
	enum mv_mask_kind kind;
	struct mv_mask *into;	/* the mask of the file being read */
	const char *path;	/* of that file, for relative includes */
	unsigned depth;
	char guest_os[32];	/* what a file asked for */
};

static int add_file(struct mv_policy *p, const char *name, uint32_t *index, struct mv_err *err)
{
	if (p->files.n == MV_MASK_FILES)
		return mv_err_at(err, MV_E_INPUT, name, 0, 0, "more than %d mask files",
				 MV_MASK_FILES);
	*index = p->files.n++;
	snprintf(p->files.name[*index], sizeof(p->files.name[0]), "%s", name);
	return 0;
}

static int load_file(struct loader *l, const char *path, struct mv_err *err);

/* The built-in mask of that name ("linux64" or "linux64.mask"). */
static const struct mv_builtin *builtin_mask(const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "%s" SUFFIX, name);
	return mv_builtin_find(file);
}

static int parse_text(struct loader *l, const char *name, const char *text, size_t len,
		      struct mv_err *err);

/* Another file in the middle of this one: what it says holds until a later line says otherwise. */
static int include(struct loader *l, const char *arg, struct mv_err *err)
{
	const char *slash = strrchr(l->path, '/');
	struct mv_mask *mask = malloc(sizeof(*mask)), *outer = l->into;
	const char *outer_path = l->path;
	char path[1024];
	int rc;

	if (!mask)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	if (*arg == '/' || !slash)
		snprintf(path, sizeof(path), "%s", arg);
	else
		snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - l->path), l->path, arg);
	l->into = mask;
	l->depth++;
	if (l->depth > MAX_DEPTH)
		rc = mv_err_at(err, MV_E_INPUT, path, 0, 0, "includes nested deeper than %d",
			       MAX_DEPTH);
	else
		rc = load_file(l, path, err);
	l->depth--;
	l->into = outer;
	l->path = outer_path;
	if (rc == 0)
		rc = mv_mask_overlay(outer, mask, err);
	free(mask);
	return rc;
}

static int baseline(struct loader *l, const char *arg, struct mv_err *err)
{
	const struct mv_builtin *b = builtin_mask(arg);
	struct mv_mask *mask, *outer = l->into;
	int rc;

	if (!b)
		return include(l, arg, err);
	mask = malloc(sizeof(*mask));
	if (!mask)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	l->into = mask;
	rc = parse_text(l, b->name, (const char *)b->data, b->size, err);
	l->into = outer;
	if (rc == 0)
		rc = mv_mask_overlay(outer, mask, err);
	free(mask);
	return rc;
}

static int directive(void *ctx, enum mv_directive d, const char *arg, mv_at at, struct mv_err *err)
{
	struct loader *l = ctx;

	(void)at;
	switch (d) {
	case MV_DIR_GUEST_OS:
		if (!builtin_mask(arg) || strlen(arg) >= sizeof(l->guest_os))
			return mv_err_set(err, MV_E_INPUT, "no default mask for guest OS '%s'",
					  arg);
		snprintf(l->guest_os, sizeof(l->guest_os), "%s", arg);
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
	free(text);
	return rc;
}

void mv_guest_os_names(char *buf, size_t size)
{
	size_t n, used = 0;
	const struct mv_builtin *f = mv_builtin_all(&n);

	*buf = '\0';
	for (size_t i = 0; i < n && used < size; i++) {
		const char *dot = strstr(f[i].name, SUFFIX);

		if (dot)
			used += (size_t)snprintf(buf + used, size - used, "%s%.*s",
						 used ? " " : "", (int)(dot - f[i].name),
						 f[i].name);
	}
}

static int load_default(struct loader *l, const struct mv_mask_request *req, struct mv_err *err)
{
	const char *name = req->guest_os ? req->guest_os
			   : *l->guest_os ? l->guest_os
					  : MV_DEFAULT_GUEST_OS;
	const struct mv_builtin *b = builtin_mask(name);
	char names[256];

	l->kind = MV_MASK_DEFAULT;
	if (req->default_mask) {
		snprintf(l->p->guest_os, sizeof(l->p->guest_os), "custom");
		return load_file(l, req->default_mask, err);
	}
	if (!b) {
		mv_guest_os_names(names, sizeof(names));
		mv_err_set(err, MV_E_USAGE, "no default mask for guest OS '%s'", name);
		mv_err_hint(err, "there are: %s", names);
		return -MV_E_USAGE;
	}
	snprintf(l->p->guest_os, sizeof(l->p->guest_os), "%s", name);
	l->path = "";
	return parse_text(l, b->name, (const char *)b->data, b->size, err);
}

int mv_masks_load(struct mv_policy *p, const struct mv_mask_request *req, struct mv_err *err)
{
	struct mv_mask *over = calloc(1, sizeof(*over)), *def = calloc(1, sizeof(*def));
	struct mv_mask *one = calloc(1, sizeof(*one));
	struct loader l = { .p = p, .kind = MV_MASK_OVERRIDE, .into = one };
	int rc = over && def && one ? 0 : mv_err_set(err, MV_E_FAILED, "out of memory");

	p->files.n = 0;
	for (size_t i = 0; i < req->noverrides && rc == 0; i++) {
		rc = load_file(&l, req->overrides[i], err);
		if (rc == 0)
			rc = mv_mask_overlay(over, one, err);
	}
	if (rc == 0) {
		l.into = def;
		rc = load_default(&l, req, err);
	}
	if (rc == 0)
		rc = mv_mask_merge(&p->final, def, over, req->vendor, err);
	free(over);
	free(def);
	free(one);
	return rc;
}
