/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "file_kind.h"
#include "host_json.h"
#include "import_dump.h"
#include "text.h"

#define MAX_FILE (64u << 20)
#define MAX_JSON (4u << 20)	/* as a tree it takes some fifty times that */
#define FORMATS "a minivmm host file; the text of cpuid -r, kcpuid -r, AIDA64, libcpuid, " \
		"xen-cpuid -p or minivmm probe; libvirt's <cpudata>; Firecracker's fingerprint"

enum content { CONTENT_LINES, CONTENT_XML, CONTENT_JSON, CONTENT_OWN, CONTENT_ERROR };

/* Behind a byte order mark and blanks. */
static size_t start_of(const char *text, size_t len)
{
	size_t i = mv_text_bom(text, len);

	while (i < len && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r'))
		i++;
	return i;
}

static enum content content_of(const char *file, const char *text, size_t len,
			       struct json_object **json, struct mv_err *err)
{
	size_t start = start_of(text, len), nul = strlen(text);

	*json = NULL;
	if (start == len) {
		mv_err_at(err, MV_E_INPUT, file, 0, 0, "the file is empty");
		return CONTENT_ERROR;
	}
	if (nul != len) {
		mv_err_at(err, MV_E_INPUT, file, 0, 0, "a binary file: byte %zu is 0", nul);
		mv_file_hint(err, file, MV_FILE_HOST);
		mv_err_hint(err, "known formats: " FORMATS);
		return CONTENT_ERROR;
	}
	if (text[start] == '<')
		return CONTENT_XML;
	if (text[start] != '{')
		return CONTENT_LINES;
	if (len > MAX_JSON) {
		mv_err_at(err, MV_E_INPUT, file, 0, 0, "larger than %u bytes of JSON", MAX_JSON);
		return CONTENT_ERROR;
	}
	start = mv_text_bom(text, len);
	if (mv_json_parse(json, file, text + start, len - start, err))
		return CONTENT_ERROR;
	return json_object_object_get_ex(*json, "minivmm-host", NULL) ? CONTENT_OWN : CONTENT_JSON;
}

static int read_dump(struct mv_dump *d, enum content content, const char *text, size_t len,
		     struct json_object *json)
{
	size_t start = mv_text_bom(text, len);
	int rc;

	switch (content) {
	case CONTENT_XML:
		rc = mv_import_xml(d, text + start, len - start);
		break;
	case CONTENT_JSON:
		rc = mv_import_json(d, json);
		break;
	default:
		rc = mv_import_lines(d, text + start, len - start);
		break;
	}
	if (rc == 0 && !d->report->format[0]) {
		d->line = 0;
		rc = mv_dump_bad(d, "no known format: this is no CPU dump");
		mv_err_hint(d->err, "known formats: " FORMATS);
	}
	if (rc == 0)
		rc = mv_dump_close(d);
	return rc ? rc : mv_dump_host(d);
}

int mv_host_import_text(struct mv_host *h, const char *file, const char *text, size_t len,
			struct mv_import *report, struct mv_err *err)
{
	struct mv_import *own = report ? NULL : malloc(sizeof(*own));
	struct mv_dump d = {
		.file = file, .host = h, .report = report ? report : own, .err = err,
		.cur_id = MV_DUMP_NO_ID,
	};
	struct json_object *json;
	enum content content;
	int rc;

	if (!d.report)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	memset(d.report, 0, sizeof(*d.report));
	memset(h, 0, sizeof(*h));
	content = content_of(file, text, len, &json, err);
	if (content == CONTENT_ERROR) {
		rc = -MV_E_INPUT;
	} else if (content == CONTENT_OWN) {
		mv_dump_format(&d, "minivmm host file");
		rc = mv_host_from_json(h, file, json, err);
	} else {
		rc = read_dump(&d, content, text, len, json);
	}
	json_object_put(json);
	mv_dump_free(&d);
	free(own);
	return rc;
}

int mv_host_import(struct mv_host *h, const char *path, struct mv_import *report,
		   struct mv_err *err)
{
	char *text;
	size_t len;
	int rc = mv_read_file(path, MAX_FILE, &text, &len, err);

	if (rc) {
		memset(h, 0, sizeof(*h));
		if (report)
			memset(report, 0, sizeof(*report));
		return rc;
	}
	rc = mv_host_import_text(h, path, text, len, report, err);
	free(text);
	return rc;
}
