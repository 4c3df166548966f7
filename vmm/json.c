/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static uint32_t line_of(const char *text, size_t pos)
{
	uint32_t line = 1;

	for (size_t i = 0; i < pos; i++)
		line += text[i] == '\n';
	return line;
}

int mv_json_parse(struct json_object **out, const char *file, const char *text, size_t len,
		  struct mv_err *err)
{
	struct json_tokener *t = json_tokener_new_ex(32);
	enum json_tokener_error e;
	size_t end;

	*out = NULL;
	if (!t)
		return mv_err_set(err, MV_E_FAILED, "out of memory");
	if (len >= INT32_MAX) {
		json_tokener_free(t);
		return mv_err_at(err, MV_E_INPUT, file, 0, 0, "too large for JSON");
	}
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	/* The NUL behind the text lets a bare number end. */
	*out = json_tokener_parse_ex(t, text, (int)len + 1);
	e = json_tokener_get_error(t);
	end = json_tokener_get_parse_end(t);
	json_tokener_free(t);
	if (e != json_tokener_success || end < len) {
		json_object_put(*out);
		*out = NULL;
		return mv_err_at(err, MV_E_INPUT, file, line_of(text, end > len ? len : end), 0,
				 "not JSON: %s",
				 e == json_tokener_success ? "text after the end"
				 : e == json_tokener_continue ? "it ends too early"
							      : json_tokener_error_desc(e));
	}
	return 0;
}

char *mv_json_text(struct json_object *o, int flags, bool *changed)
{
	char *text = strdup(json_object_to_json_string_ext(o, flags));
	bool bad = false;

	for (char *p = text; p && *p;) {
		size_t n = mv_utf8_length(p, SIZE_MAX);

		if (!n)
			*p = '?';
		bad |= !n;
		p += n ? n : 1;
	}
	if (changed)
		*changed = bad;
	return text;
}

struct json_object *mv_json_get(struct json_object *o, const char *member, json_type type,
				const char *file, struct mv_err *err)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, member, &v)) {
		if (err)
			mv_err_at(err, MV_E_INPUT, file, 0, 0, "member \"%s\" is missing", member);
		return NULL;
	}
	if (!json_object_is_type(v, type)) {
		if (err)
			mv_err_at(err, MV_E_INPUT, file, 0, 0, "member \"%s\" is not %s", member,
				  json_type_to_name(type));
		return NULL;
	}
	return v;
}

int mv_json_u64(struct json_object *v, uint64_t *out)
{
	const char *s;

	if (json_object_is_type(v, json_type_int)) {
		if (json_object_get_int64(v) < 0)
			return -MV_E_INPUT;
		*out = json_object_get_uint64(v);
		return 0;
	}
	if (!json_object_is_type(v, json_type_string))
		return -MV_E_INPUT;
	s = json_object_get_string(v);
	/* Digits alone: strtoull would take a sign and blanks, too. */
	if (s[0] != '0' || s[1] != 'x' || !s[2] || strlen(s) > 18 ||
	    s[2 + strspn(s + 2, "0123456789abcdefABCDEF")])
		return -MV_E_INPUT;
	*out = strtoull(s + 2, NULL, 16);
	return 0;
}

struct json_object *mv_json_hex(uint64_t v, int width)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "0x%0*llx", width, (unsigned long long)v);
	return json_object_new_string(buf);
}
