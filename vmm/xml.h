/* SPDX-License-Identifier: MIT */
/*
 * XML as a stream of elements: no tree, no document type, so no entity but the five of XML itself, and
 * nothing is ever fetched. libxml2 does it, and is loaded when there is XML to read.
 */
#ifndef MV_VMM_XML_H
#define MV_VMM_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct mv_xml;	/* a document being read */

/* The first error that a callback records ends the reading. */
struct mv_xml_handler {
	/* depth: 1 for the root */
	void (*start)(void *ctx, struct mv_xml *x, unsigned depth, const char *name);
	/* text: what stood directly in it, cut at 255 bytes; may be NULL */
	void (*end)(void *ctx, struct mv_xml *x, unsigned depth, const char *name, const char *text);
};

/* Read text[0..len); file is for messages. -MV_E_INPUT with file and line, or what a callback said. */
int mv_xml_read(const char *file, const char *text, size_t len, const struct mv_xml_handler *h,
		void *ctx, struct mv_err *err);

/* In callbacks: the line; an attribute of the element that starts, NULL if it has none (*len bytes). */
uint32_t mv_xml_line(const struct mv_xml *x);
const char *mv_xml_attr(const struct mv_xml *x, const char *name, size_t *len);
/* A copy with a NUL, cut to size; "" and false if it is not there. */
bool mv_xml_attr_copy(const struct mv_xml *x, const char *name, char *out, size_t size);
/* -MV_E_INPUT at this line, and the reading ends; or end it with a code that err already tells of. */
int mv_xml_bad(struct mv_xml *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void mv_xml_stop(struct mv_xml *x, int rc);

#endif
