/* SPDX-License-Identifier: MIT */
#include "xml.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "library.h"

/* libxml2 brings 40 MiB of libraries along, which every start of a guest would map. */
#define FUNCTIONS(F) \
	F(xmlSAX2GetLineNumber) F(xmlStopParser) F(xmlCreatePushParserCtxt) F(xmlCtxtUseOptions) \
	F(xmlParseChunk) F(xmlFreeDoc) F(xmlFreeParserCtxt)

struct libxml {
	FUNCTIONS(MV_LIBRARY_MEMBER)
};

#define TEXT_DEPTH 8	/* deeper elements have no text that anybody asks for */

struct mv_xml {
	struct libxml lib;
	const struct mv_xml_handler *handler;
	void *ctx;
	const char *file;
	struct mv_err *err;
	xmlParserCtxtPtr parser;
	unsigned depth;
	int rc;
	int nattrs;
	const xmlChar **attrs;	/* five each: name, prefix, URI, value, end of value */
	char text[TEXT_DEPTH][256];
};

static int load(struct libxml *lib, struct mv_err *err)
{
	static const char *const names[] = { FUNCTIONS(MV_LIBRARY_NAME) NULL };
	static const struct mv_library library = {
		"libxml2.so.2", "reading XML", "libxml2", MV_E_FAILED, names,
	};

	return mv_library_load(lib, &library, err);
}

uint32_t mv_xml_line(const struct mv_xml *x)
{
	return (uint32_t)x->lib.xmlSAX2GetLineNumber(x->parser);
}

void mv_xml_stop(struct mv_xml *x, int rc)
{
	if (x->rc || !rc)
		return;
	x->rc = rc;
	x->lib.xmlStopParser(x->parser);
}

static int bad_at(struct mv_xml *x, uint32_t line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int bad_at(struct mv_xml *x, uint32_t line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	mv_xml_stop(x, mv_err_vat(x->err, MV_E_INPUT, x->file, line, 0, fmt, ap));
	va_end(ap);
	return x->rc;
}

int mv_xml_bad(struct mv_xml *x, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	mv_xml_stop(x, mv_err_vat(x->err, MV_E_INPUT, x->file, mv_xml_line(x), 0, fmt, ap));
	va_end(ap);
	return x->rc;
}

const char *mv_xml_attr(const struct mv_xml *x, const char *name, size_t *len)
{
	for (int i = 0; i < x->nattrs; i++) {
		const xmlChar **a = x->attrs + 5 * i;

		if (!strcmp((const char *)a[0], name)) {
			*len = (size_t)(a[4] - a[3]);
			return (const char *)a[3];
		}
	}
	return NULL;
}

bool mv_xml_attr_copy(const struct mv_xml *x, const char *name, char *out, size_t size)
{
	size_t len;
	const char *value = mv_xml_attr(x, name, &len);

	snprintf(out, size, "%.*s", value ? (int)len : 0, value ? value : "");
	return value;
}

static void start(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
		  int nspaces, const xmlChar **spaces, int n, int ndefaulted, const xmlChar **a)
{
	struct mv_xml *x = ctx;

	(void)prefix, (void)uri, (void)nspaces, (void)spaces, (void)ndefaulted;
	if (x->rc)
		return;
	x->nattrs = n;
	x->attrs = a;
	if (x->depth < TEXT_DEPTH)
		*x->text[x->depth] = '\0';
	x->depth++;
	x->handler->start(x->ctx, x, x->depth, (const char *)name);
	x->nattrs = 0;
}

static void end(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	struct mv_xml *x = ctx;

	(void)prefix, (void)uri;
	if (x->rc)
		return;
	if (x->handler->end)
		x->handler->end(x->ctx, x, x->depth, (const char *)name,
				x->depth <= TEXT_DEPTH ? x->text[x->depth - 1] : "");
	x->depth--;
}

static void characters(void *ctx, const xmlChar *text, int len)
{
	struct mv_xml *x = ctx;
	char *to = x->depth && x->depth <= TEXT_DEPTH ? x->text[x->depth - 1] : NULL;
	size_t have = to ? strlen(to) : 0, n = (size_t)len;

	if (!to || have == sizeof(x->text[0]) - 1)
		return;
	if (n > sizeof(x->text[0]) - 1 - have)
		n = sizeof(x->text[0]) - 1 - have;
	memcpy(to + have, text, n);
	to[have + n] = '\0';
}

static void doctype(void *ctx, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
	(void)name, (void)external, (void)system;
	mv_xml_bad(ctx, "a document type (<!DOCTYPE>) is refused");
}

static void failed(void *ctx, xmlErrorPtr e)
{
	struct mv_xml *x = ctx;
	char text[128];

	if (x->rc || e->level < XML_ERR_ERROR)
		return;
	snprintf(text, sizeof(text), "%s", e->message ? e->message : "?");
	text[strcspn(text, "\r\n")] = '\0';
	bad_at(x, e->line > 0 ? (uint32_t)e->line : 0, "not XML: %s", text);
}

int mv_xml_read(const char *file, const char *text, size_t len, const struct mv_xml_handler *h,
		void *ctx, struct mv_err *err)
{
	static xmlSAXHandler handler = {
		.initialized = XML_SAX2_MAGIC,
		.startElementNs = start,
		.endElementNs = end,
		.characters = characters,
		.cdataBlock = characters,
		.internalSubset = doctype,
		.serror = failed,
	};
	struct mv_xml x = { .handler = h, .ctx = ctx, .file = file, .err = err };
	size_t start = 0;
	int rc;

	while (start < len && strchr(" \t\r\n", text[start]))
		start++;
	/* The parser would speak of the end of a document that has not begun. */
	if (start == len)
		return mv_err_at(err, MV_E_INPUT, file, 0, 0, "the file is empty");
	rc = load(&x.lib, err);
	if (rc)
		return rc;
	x.parser = x.lib.xmlCreatePushParserCtxt(&handler, &x, NULL, 0, file);
	if (!x.parser)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	x.lib.xmlCtxtUseOptions(x.parser, XML_PARSE_NONET);
	/* In pieces: the parser keeps no copy of the file. */
	while (x.rc == 0 && len) {
		int n = len > 65536 ? 65536 : (int)len;

		x.lib.xmlParseChunk(x.parser, text, n, 0);
		text += n;
		len -= (size_t)n;
	}
	if (x.rc == 0)
		x.lib.xmlParseChunk(x.parser, text, 0, 1);
	if (x.rc == 0 && !x.parser->wellFormed)
		bad_at(&x, 0, "not XML");
	if (x.parser->myDoc)
		x.lib.xmlFreeDoc(x.parser->myDoc);
	x.lib.xmlFreeParserCtxt(x.parser);
	return x.rc;
}
