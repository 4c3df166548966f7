/* SPDX-License-Identifier: MIT */
#include "fleet_load.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "import.h"
#include "json.h"
#include "paths.h"
#include "text.h"

#define MAX_DEPTH 32

typedef int one_file(struct mv_fleet *f, const char *path, struct mv_err *err);

/* What a file was refused for goes into the list; without memory the whole thing ends. */
static int problem(struct mv_fleet *f, const char *path, uint32_t line, const struct mv_err *err)
{
	return err->code == MV_E_FAILED && !strcmp(err->msg, "out of memory")
		       ? -MV_E_FAILED
		       : mv_fleet_problem(f, path, line, err);
}

static int problem_errno(struct mv_fleet *f, const char *path)
{
	struct mv_err err = { 0 };

	mv_err_set(&err, MV_E_INPUT, "%s", strerror(errno));
	return mv_fleet_problem(f, path, 0, &err);
}

static int walk(struct mv_fleet *f, const char *path, unsigned depth, one_file *one, struct mv_err *err);

static int walk_folder(struct mv_fleet *f, const char *path, unsigned depth, one_file *one,
		       struct mv_err *err)
{
	uint32_t before;
	struct mv_fleet_size s;
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort), rc = 0;
	struct mv_err why = { 0 };

	if (n < 0)
		return problem_errno(f, path);
	mv_fleet_sizes(f, &s);
	before = s.hosts + s.vms + s.problems;
	for (int i = 0; i < n; i++) {
		char *child = NULL;

		if (rc == 0 && strcmp(names[i]->d_name, ".") && strcmp(names[i]->d_name, ".."))
			rc = asprintf(&child, "%s/%s", path, names[i]->d_name) < 0
				     ? mv_err_set(err, MV_E_FAILED, "out of memory")
				     : walk(f, child, depth + 1, one, err);
		free(child);
		free(names[i]);
		if ((i & 0x7f) == 0)
			mv_fleet_reading(f, (uint64_t)i, (uint64_t)n);
	}
	free(names);
	mv_fleet_sizes(f, &s);
	if (rc == 0 && s.hosts + s.vms + s.problems == before) {
		mv_err_set(&why, MV_E_INPUT, "an empty folder");
		rc = mv_fleet_problem(f, path, 0, &why);
	}
	return rc;
}

static int walk(struct mv_fleet *f, const char *path, unsigned depth, one_file *one, struct mv_err *err)
{
	struct mv_err why = { 0 };
	struct stat st;

	if (stat(path, &st))
		return problem_errno(f, path);
	if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH)
		return walk_folder(f, path, depth, one, err);
	if (!S_ISREG(st.st_mode))
		mv_err_set(&why, MV_E_INPUT, S_ISDIR(st.st_mode) ? "folders go too deep" : "not a regular file");
	else if (!st.st_size)
		mv_err_set(&why, MV_E_INPUT, "an empty file");
	else
		one(f, path, &why);
	return why.code ? problem(f, path, 0, &why) : 0;
}

/* ---- hosts ---- */

int mv_fleet_read_host(struct mv_host *h, const char *path, struct mv_err *err)
{
	return mv_host_import(h, path, NULL, err);
}

static int one_host(struct mv_fleet *f, const char *path, struct mv_err *err)
{
	struct mv_host *h = malloc(sizeof(*h));
	char name[128];
	int rc = h ? mv_fleet_host_reader(f)(h, path, err) : mv_err_set(err, MV_E_FAILED, "out of memory");

	mv_path_stem(name, sizeof(name), path);
	if (rc == 0)
		rc = mv_fleet_add_host(f, name, path, h, err);
	free(h);
	return rc;
}

int mv_fleet_load_hosts(struct mv_fleet *f, const char *path, struct mv_err *err)
{
	return walk(f, path, 0, one_host, err);
}

/* ---- VM descriptions ---- */

#define MAX_TEXT (256u << 20)

struct description {
	struct mv_fleet *f;
	char folder[4096];	/* with a slash at its end, or "" */
	struct mv_err *err;
};

#define FAIL(...) mv_err_set(d->err, MV_E_INPUT, __VA_ARGS__)

/* A file that the description names, seen from its own folder. */
static uint32_t keep_path(struct description *d, const char *file)
{
	char path[8192];

	snprintf(path, sizeof(path), "%s%s", *file == '/' ? "" : d->folder, file);
	return mv_fleet_keep(d->f, path);
}

static const char *string(struct description *d, const char *key, struct json_object *v)
{
	if (json_object_is_type(v, json_type_string) && json_object_get_string_len(v) &&
	    mv_text_is_printable(json_object_get_string(v)) &&
	    strlen(json_object_get_string(v)) == (size_t)json_object_get_string_len(v))
		return json_object_get_string(v);
	FAIL("'%s' is not a text without control characters", key);
	return NULL;
}

/* "mask": a file or a list of them. */
static int masks(struct description *d, struct json_object *v, struct mv_fleet_recipe *r)
{
	size_t n = json_object_is_type(v, json_type_array) ? json_object_array_length(v) : 1, used = 0;
	char list[16384];

	for (size_t i = 0; i < n; i++) {
		const char *s = string(d, "mask", json_object_is_type(v, json_type_array)
							  ? json_object_array_get_idx(v, i) : v);
		int len;

		if (!s)
			return -MV_E_INPUT;
		len = snprintf(list + used, sizeof(list) - used, "%s%s%s", used ? "\n" : "",
			       *s == '/' ? "" : d->folder, s);
		if (len < 0 || (size_t)len >= sizeof(list) - used || i == MV_MASK_FILES - 4)
			return FAIL("too many masks");
		used += (size_t)len;
	}
	if (n)
		r->overrides = mv_fleet_keep(d->f, list);
	return 0;
}

/*
 * "host": one of the fleet's by name, or a host file as it was when the VM was started. 1: a VM that
 * is to be left out.
 */
static int host(struct description *d, const char *name, struct mv_fleet_recipe *r, uint32_t *home)
{
	char path[8192], base[128];

	*home = mv_fleet_find_host(d->f, name);
	if (*home != MV_FLEET_NONE) {
		r->home = mv_fleet_host(d->f, *home)->cls;
		return 0;
	}
	if (!strchr(name, '/') && !strchr(name, '.') && mv_fleet_leave_out(d->f))
		return 1;
	if (!strchr(name, '/') && !strchr(name, '.'))
		return FAIL("no host of the fleet is called '%.100s', and that is no path of a host file", name);
	snprintf(path, sizeof(path), "%s%s", *name == '/' ? "" : d->folder, name);
	if (access(path, R_OK))
		return FAIL("no host of the fleet is called '%.100s', and as a file: %s", name, strerror(errno));
	r->host_file = mv_fleet_keep(d->f, path);
	mv_path_stem(base, sizeof(base), path);
	*home = mv_fleet_find_host(d->f, base);
	return 0;
}

static int describe(struct description *d, struct json_object *o)
{
	struct mv_fleet_recipe r = {
		.snapshot = MV_FLEET_NONE, .host_file = MV_FLEET_NONE, .guest_os = MV_FLEET_NONE,
		.default_mask = MV_FLEET_NONE, .baseline = MV_FLEET_NONE, .overrides = MV_FLEET_NONE,
		.ncpus = 1,
	};
	const char *name = NULL, *host_name = NULL, *s;
	uint32_t home = MV_FLEET_NONE;
	int rc = 0;

	if (!json_object_is_type(o, json_type_object))
		return FAIL("neither a snapshot nor a VM description");
	if (json_object_object_get_ex(o, "minivmm-host", NULL))
		return FAIL("a host file, not a VM: it goes behind --hosts");
	json_object_object_foreach(o, key, v) {
		if (rc)
			break;
		if (!strcmp(key, "mask")) {
			rc = masks(d, v, &r);
			continue;
		}
		if (!strcmp(key, "cpus")) {
			int64_t n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;

			if (n < 1 || n > 1024)
				return FAIL("'cpus' is not a number from 1 to 1024");
			r.ncpus = (uint32_t)n;
			continue;
		}
		s = string(d, key, v);
		if (!s)
			return -MV_E_INPUT;
		if (!strcmp(key, "vm"))
			name = s;
		else if (!strcmp(key, "host"))
			host_name = s;
		else if (!strcmp(key, "guest-os"))
			r.guest_os = mv_fleet_keep(d->f, s);
		else if (!strcmp(key, "default-mask"))
			r.default_mask = keep_path(d, s);
		else if (!strcmp(key, "baseline"))
			r.baseline = strchr(s, '/') || strchr(s, '.') ? keep_path(d, s) : mv_fleet_keep(d->f, s);
		else if (strcmp(key, "comment"))
			return FAIL("no member of a VM description is called '%.60s'", key);
	}
	if (rc)
		return rc;
	if (!name || !host_name)
		return FAIL("a VM description lacks '%s'", name ? "host" : "vm");
	rc = host(d, host_name, &r, &home);
	if (rc == 0)
		rc = mv_fleet_add_vm(d->f, name, home, &r, d->err);
	return rc < 0 ? rc : 0;
}

/* One or more JSON objects behind each other, in lines of their own or not. */
static int descriptions(struct mv_fleet *f, const char *path, const char *text, size_t len, struct mv_err *err)
{
	struct description d = { .f = f, .err = err };
	struct json_tokener *tok = json_tokener_new_ex(8);
	const char *slash = strrchr(path, '/');
	uint32_t line = 1, n = 0;
	size_t at = 0;

	if (!tok)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	snprintf(d.folder, sizeof(d.folder), "%.*s", slash ? (int)(slash - path + 1) : 0, path);
	for (;;) {
		struct mv_err why = { 0 };
		struct json_object *o;
		size_t used;

		while (at < len && strchr(" \t\r\n", text[at]))
			line += text[at++] == '\n';
		if (at == len)
			break;
		json_tokener_reset(tok);
		o = json_tokener_parse_ex(tok, text + at, (int)(len - at));
		used = json_tokener_get_parse_end(tok);
		if (!o || json_tokener_get_error(tok) != json_tokener_success) {
			json_object_put(o);
			for (size_t i = 0; i < used && at + i < len; i++)
				line += text[at + i] == '\n';
			json_tokener_free(tok);
			return n ? mv_err_at(err, MV_E_INPUT, path, line, 0, "broken JSON; the VMs before it count")
				 : mv_err_at(err, MV_E_INPUT, path, line, 0,
					     "neither a snapshot nor a VM description");
		}
		d.err = &why;
		if (describe(&d, o)) {
			json_object_put(o);
			/* Of a file with many VMs the others count; the place says which one. */
			if (problem(f, path, line, &why)) {
				json_tokener_free(tok);
				return mv_err_set(err, MV_E_FAILED, "out of memory");
			}
		} else {
			json_object_put(o);
		}
		n++;
		for (size_t i = 0; i < used; i++)
			line += text[at + i] == '\n';
		at += used;
		if ((n & 0xfff) == 0)
			mv_fleet_reading(f, at, len);
	}
	json_tokener_free(tok);
	return n ? 0 : mv_err_at(err, MV_E_INPUT, path, 0, 0, "nothing but blanks");
}

/* ---- snapshots ---- */

static int one_vm(struct mv_fleet *f, const char *path, struct mv_err *err)
{
	struct mv_fleet_recipe r = {
		.host_file = MV_FLEET_NONE, .guest_os = MV_FLEET_NONE, .default_mask = MV_FLEET_NONE,
		.baseline = MV_FLEET_NONE, .overrides = MV_FLEET_NONE, .ncpus = 1,
	};
	char name[128], *text;
	size_t len;
	int rc;

	/* A description begins with '{'; a snapshot with what stream-format.md says. */
	if (mv_file_begins(path) != '{') {
		mv_path_stem(name, sizeof(name), path);
		r.snapshot = mv_fleet_keep(f, path);
		rc = mv_fleet_add_vm(f, name, MV_FLEET_NONE, &r, err);
		if (rc && !strncmp(err->msg, "not a ", 6))
			snprintf(err->msg, sizeof(err->msg), "neither a snapshot nor a VM description");
		return rc;
	}
	rc = mv_read_file(path, MAX_TEXT, &text, &len, err);
	if (rc == 0) {
		rc = descriptions(f, path, text, len, err);
		free(text);
	}
	return rc;
}

int mv_fleet_load_vms(struct mv_fleet *f, const char *path, struct mv_err *err)
{
	return walk(f, path, 0, one_vm, err);
}
