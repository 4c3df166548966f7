/* SPDX-License-Identifier: MIT */
/*
 * libvirt's <cpudata>: <cpuid eax_in= ecx_in= eax= ebx= ecx= edx=/> and <msr index= edx= eax=/>.
 * Read as a stream of elements: no tree, no document type, so no entity but the five of XML itself,
 * and nothing is ever fetched.
 */
#include <dlfcn.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <stdio.h>
#include <string.h>

#include "import_dump.h"

/*
 * libxml2 brings 40 MiB of libraries along, which every start of a guest would map. It is loaded when
 * there is XML to read.
 */
#define LIBXML "libxml2.so.2"
#define FUNCTIONS(F) \
	F(xmlSAX2GetLineNumber) F(xmlStopParser) F(xmlCreatePushParserCtxt) F(xmlCtxtUseOptions) \
	F(xmlParseChunk) F(xmlFreeDoc) F(xmlFreeParserCtxt)

#define MEMBER(name) __typeof__(&(name)) name;
struct libxml {
	FUNCTIONS(MEMBER)
};

static int load(struct libxml *lib, struct mv_err *err)
{
	void *handle = dlopen(LIBXML, RTLD_NOW | RTLD_LOCAL);

	if (!handle) {
		mv_err_set(err, MV_E_FAILED, "reading XML needs " LIBXML ": %s", dlerror());
		mv_err_hint(err, "apt-get install libxml2");
		return -MV_E_FAILED;
	}
	/* POSIX's way around C's ban on turning an object pointer into a function's. */
#define RESOLVE(name) \
	*(void **)&lib->name = dlsym(handle, #name); \
	if (!lib->name) \
		return mv_err_set(err, MV_E_FAILED, LIBXML " has no " #name);
	FUNCTIONS(RESOLVE)
	return 0;
}

struct reading {
	struct libxml lib;
	struct mv_dump *d;
	xmlParserCtxtPtr parser;
	unsigned depth;
	int rc;
};

struct attributes {
	int n;
	const xmlChar **a;	/* five each: name, prefix, URI, value, end of value */
};

static void stop(struct reading *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void stop(struct reading *r, const char *fmt, ...)
{
	va_list ap;

	if (r->rc)
		return;
	va_start(ap, fmt);
	r->rc = mv_err_vat(r->d->err, MV_E_INPUT, r->d->file,
			   (uint32_t)r->lib.xmlSAX2GetLineNumber(r->parser), 0, fmt, ap);
	va_end(ap);
	r->lib.xmlStopParser(r->parser);
}

/* "0x…" of at most 32 bits. 1 = there, 0 = not there, -1 = unreadable. */
static int number(const struct attributes *at, const char *name, uint32_t *out)
{
	uint64_t v = 0;

	for (int i = 0; i < at->n; i++) {
		const xmlChar **a = at->a + 5 * i, *p = a[3], *end = a[4];

		if (strcmp((const char *)a[0], name))
			continue;
		if (end - p < 3 || end - p > 10 || p[0] != '0' || p[1] != 'x')
			return -1;
		for (p += 2; p < end; p++) {
			const char *digits = "0123456789abcdef";
			const char *digit = strchr(digits, *p >= 'A' && *p <= 'F' ? *p | 0x20 : *p);

			if (!*p || !digit)
				return -1;
			v = v << 4 | (uint64_t)(digit - digits);
		}
		*out = (uint32_t)v;
		return 1;
	}
	return 0;
}

/* All of these; the error names the first that is not there or not a number. */
static bool numbers(struct reading *r, const struct attributes *at, const char *const *names,
		    unsigned n, uint32_t *out)
{
	for (unsigned i = 0; i < n; i++) {
		int rc = number(at, names[i], &out[i]);

		if (rc > 0)
			continue;
		stop(r, "attribute %s%s", names[i],
		     rc ? ": not a number of 32 bits like 0x1f" : " is missing");
		return false;
	}
	return true;
}

static void cpuid(struct reading *r, const struct attributes *at)
{
	static const char *const names[] = { "eax_in", "eax", "ebx", "ecx", "edx" };
	uint32_t v[5], subleaf = 0;

	if (!numbers(r, at, names, 5, v))
		return;
	/* Files from before libvirt knew subleaves have none. */
	if (number(at, "ecx_in", &subleaf) < 0) {
		stop(r, "attribute ecx_in: not a number of 32 bits like 0x1f");
		return;
	}
	r->d->line = (uint32_t)r->lib.xmlSAX2GetLineNumber(r->parser);
	r->rc = mv_dump_leaf(r->d, v[0], subleaf, v + 1);
	if (r->rc)
		r->lib.xmlStopParser(r->parser);
}

static void msr(struct reading *r, const struct attributes *at)
{
	static const char *const names[] = { "index", "eax", "edx" };
	uint32_t v[3];

	if (numbers(r, at, names, 3, v))
		mv_dump_msr(r->d, v[0], (uint64_t)v[2] << 32 | v[1]);
}

static bool is_x86(const struct attributes *at)
{
	for (int i = 0; i < at->n; i++) {
		const xmlChar **a = at->a + 5 * i;

		if (!strcmp((const char *)a[0], "arch"))
			return a[4] - a[3] == 3 && !memcmp(a[3], "x86", 3);
	}
	return true;
}

static void root(struct reading *r, const char *name, const struct attributes *at)
{
	if (strcmp(name, "cpudata")) {
		stop(r, "<%s>, not libvirt's <cpudata>", name);
		mv_err_hint(r->d->err, "libvirt's other descriptions name features, they have no "
			    "registers");
	} else if (!is_x86(at)) {
		stop(r, "<cpudata> of another architecture than x86");
	} else {
		mv_dump_format(r->d, "libvirt cpudata");
		r->d->prints_zeros = r->d->one_cpu = true;
	}
}

static void start(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
		  int nspaces, const xmlChar **spaces, int n, int ndefaulted, const xmlChar **a)
{
	struct attributes at = { .n = n, .a = a };
	struct reading *r = ctx;

	(void)prefix, (void)uri, (void)nspaces, (void)spaces, (void)ndefaulted;
	if (r->rc)
		return;
	if (r->depth++ == 0)
		root(r, (const char *)name, &at);
	else if (r->depth == 2 && !strcmp((const char *)name, "cpuid"))
		cpuid(r, &at);
	else if (r->depth == 2 && !strcmp((const char *)name, "msr"))
		msr(r, &at);
	else
		stop(r, "<%s> is not expected here", (const char *)name);
}

static void end(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	struct reading *r = ctx;

	(void)name, (void)prefix, (void)uri;
	r->depth--;
}

static void doctype(void *ctx, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
	(void)name, (void)external, (void)system;
	stop(ctx, "a document type (<!DOCTYPE>) is refused");
}

static void failed(void *ctx, xmlErrorPtr e)
{
	struct reading *r = ctx;
	char text[128];
	size_t len;

	if (r->rc || e->level < XML_ERR_ERROR)
		return;
	snprintf(text, sizeof(text), "%s", e->message ? e->message : "?");
	len = strcspn(text, "\r\n");
	text[len] = '\0';
	r->d->line = e->line > 0 ? (uint32_t)e->line : 0;
	r->rc = mv_dump_bad(r->d, "not XML: %s", text);
	r->lib.xmlStopParser(r->parser);
}

int mv_import_xml(struct mv_dump *d, const char *text, size_t len)
{
	static xmlSAXHandler handler = {
		.initialized = XML_SAX2_MAGIC,
		.startElementNs = start,
		.endElementNs = end,
		.internalSubset = doctype,
		.serror = failed,
	};
	struct reading r = { .d = d };
	int rc = load(&r.lib, d->err);

	if (rc)
		return rc;
	r.parser = r.lib.xmlCreatePushParserCtxt(&handler, &r, NULL, 0, d->file);
	if (!r.parser)
		return mv_err_set(d->err, MV_E_FAILED, "out of memory");
	r.lib.xmlCtxtUseOptions(r.parser, XML_PARSE_NONET);
	/* In pieces: the parser keeps no copy of the file. */
	while (r.rc == 0 && len) {
		int n = len > 65536 ? 65536 : (int)len;

		r.lib.xmlParseChunk(r.parser, text, n, 0);
		text += n;
		len -= (size_t)n;
	}
	if (r.rc == 0)
		r.lib.xmlParseChunk(r.parser, text, 0, 1);
	if (r.rc == 0 && !r.parser->wellFormed)
		r.rc = mv_dump_bad(d, "not XML");
	if (r.parser->myDoc)
		r.lib.xmlFreeDoc(r.parser->myDoc);
	r.lib.xmlFreeParserCtxt(r.parser);
	return r.rc;
}
