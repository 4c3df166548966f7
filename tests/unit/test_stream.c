/* SPDX-License-Identifier: MIT */
/*
 * The cursor and the framing. Bytes are built here by hand, from docs/stream-format.md, not by the
 * routines under test.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <xxhash.h>

#include "stream.h"

#define OPTIONAL 0x80000000u

static void put(struct mv_buf *b, uint64_t v, unsigned len)
{
	uint8_t *p = mv_buf_grow(b, len);

	cr_assert(p);
	for (; len--; v >>= 8)
		*p++ = (uint8_t)v;
}

static void put_zeros(struct mv_buf *b, size_t len)
{
	while (len--)
		put(b, 0, 1);
}

/* wire */

Test(stream, wire_integers)
{
	static const uint8_t bytes[] = {
		0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56,
		0x34, 0x12, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
	};
	struct mv_buf b = { 0 };
	struct mv_wire w;
	uint8_t u8 = 1;
	uint16_t u16 = 0x203;
	uint32_t u32 = 0x4050607;
	uint64_t u64 = 0x123456789abcdef0;
	int64_t i64 = -2;
	bool yes = true;
	int i;

	mv_wire_encoder(&w, &b);
	for (i = 0; i < 2; i++) {
		mv_wire_u8(&w, &u8);
		mv_wire_u16(&w, &u16);
		mv_wire_u32(&w, &u32);
		mv_wire_u64(&w, &u64);
		mv_wire_i64(&w, &i64);
		mv_wire_bool(&w, &yes, "yes");
		mv_wire_end(&w);
		cr_assert(mv_wire_ok(&w), "%s", w.why);
		if (i)
			break;
		cr_assert_eq(b.len, sizeof(bytes));
		cr_assert_arr_eq(b.data, bytes, sizeof(bytes));
		u8 = 0, u16 = 0, u32 = 0, u64 = 0, i64 = 0, yes = false;
		mv_wire_decoder(&w, b.data, b.len);
	}
	cr_expect(u8 == 1 && u16 == 0x203 && u32 == 0x4050607 && u64 == 0x123456789abcdef0);
	cr_expect(i64 == -2 && yes);
	mv_buf_finish(&b);
}

enum kind { BOOL, U8_MAX_3, RANGE_2_5, COUNT_MAX_9, STR_4, ZERO_2, EXPECT_7, END };

static void walk(struct mv_wire *w, enum kind kind)
{
	bool b = false;
	uint8_t u8 = 0;
	uint32_t u32 = 0;
	char s[4] = "";

	switch (kind) {
	case BOOL:
		mv_wire_bool(w, &b, "it");
		break;
	case U8_MAX_3:
		mv_wire_u8_max(w, &u8, 3, "it");
		break;
	case RANGE_2_5:
		mv_wire_u32_range(w, &u32, 2, 5, "it");
		break;
	case COUNT_MAX_9:
		mv_wire_count(w, &u32, 0, 9, 2, "it");
		cr_expect(mv_wire_ok(w) || !u32);
		mv_wire_zero(w, 2 * u32, "entries");
		break;
	case STR_4:
		mv_wire_str(w, s, sizeof(s), "it");
		cr_expect(memchr(s, 0, sizeof(s)) != NULL);
		break;
	case ZERO_2:
		mv_wire_zero(w, 2, "it");
		break;
	case EXPECT_7:
		mv_wire_expect_u64(w, 7, "it");
		break;
	case END:
		break;
	}
	mv_wire_end(w);
}

Test(stream, wire_canonical)
{
	static const struct {
		const char *name;
		enum kind kind;
		uint8_t in[10];
		size_t len;
		const char *why;	/* "" = fine */
	} rows[] = {
		{ "bool 0", BOOL, { 0 }, 1, "" },
		{ "bool 1", BOOL, { 1 }, 1, "" },
		{ "bool 2", BOOL, { 2 }, 1, "neither 0 nor 1" },
		{ "bool 255", BOOL, { 255 }, 1, "neither 0 nor 1" },
		{ "no byte", BOOL, { 0 }, 0, "too few" },
		{ "one too many", BOOL, { 0 }, 2, "too many" },
		{ "max", U8_MAX_3, { 3 }, 1, "" },
		{ "over max", U8_MAX_3, { 4 }, 1, "more than 3" },
		{ "range low", RANGE_2_5, { 1 }, 4, "not between 2 and 5" },
		{ "range", RANGE_2_5, { 5 }, 4, "" },
		{ "range high", RANGE_2_5, { 6 }, 4, "not between 2 and 5" },
		{ "range cut", RANGE_2_5, { 5 }, 3, "too few" },
		{ "count 0", COUNT_MAX_9, { 0 }, 4, "" },
		{ "count 3", COUNT_MAX_9, { 3 }, 10, "" },
		{ "count 4 of 3", COUNT_MAX_9, { 4 }, 10, "only 6 bytes" },
		{ "count 10", COUNT_MAX_9, { 10 }, 10, "not between" },
		{ "count 2^32-1", COUNT_MAX_9, { 255, 255, 255, 255 }, 10, "not between" },
		{ "text", STR_4, { 'a', 'b', 'c' }, 4, "" },
		{ "no text", STR_4, { 0 }, 4, "" },
		{ "utf-8", STR_4, { 0xc3, 0xa4 }, 4, "" },
		{ "text without end", STR_4, { 'a', 'b', 'c', 'd' }, 4, "no end" },
		{ "text after end", STR_4, { 'a', 0, 'c' }, 4, "after its end" },
		{ "escape", STR_4, { 27, '[' }, 4, "control" },
		{ "delete", STR_4, { 127 }, 4, "control" },
		{ "text cut", STR_4, { 'a' }, 3, "too few" },
		{ "zero", ZERO_2, { 0, 0 }, 2, "" },
		{ "not zero", ZERO_2, { 0, 1 }, 2, "not zero" },
		{ "7", EXPECT_7, { 7 }, 8, "" },
		{ "8 for 7", EXPECT_7, { 8 }, 8, "8, not 7" },
		{ "end", END, { 0 }, 0, "" },
		{ "not the end", END, { 0 }, 1, "1 bytes too many" },
	};
	struct mv_wire w;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mv_wire_decoder(&w, rows[i].in, rows[i].len);
		walk(&w, rows[i].kind);
		cr_expect(rows[i].why[0] ? strstr(w.why, rows[i].why) != NULL : mv_wire_ok(&w),
			  "row %s: '%s'", rows[i].name, w.why);
	}
}

Test(stream, wire_encoder_checks_too)
{
	struct mv_buf b = { 0 };
	struct mv_wire w;
	char s[4] = "a\n\033";
	char endless[2] = { 'a', 'b' };
	uint32_t n = 6;

	mv_wire_encoder(&w, &b);
	mv_wire_str(&w, s, sizeof(s), "it");
	cr_assert(mv_wire_ok(&w));
	cr_expect_arr_eq(b.data, "a??", 4);

	mv_wire_str(&w, endless, sizeof(endless), "it");
	cr_expect(strstr(w.why, "no end"));
	mv_wire_encoder(&w, &b);
	mv_wire_u32_range(&w, &n, 2, 5, "it");
	cr_expect(strstr(w.why, "not between"));
	cr_expect_eq(n, 6);	/* never written through */
	mv_buf_finish(&b);
}

/* header */

struct memory {
	const uint8_t *data;
	size_t len, pos;
};

static int64_t read_memory(void *ctx, void *buf, size_t len, struct mv_err *err)
{
	struct memory *m = ctx;

	(void)err;
	if (len > m->len - m->pos)
		len = m->len - m->pos;
	memcpy(buf, m->data + m->pos, len);
	m->pos += len;
	return (int64_t)len;
}

struct header {
	uint16_t major, minor;
	uint32_t kind;
	uint64_t flags, file_size, data_offset, reserved;
};

static void put_header(struct mv_buf *b, const struct header *h)
{
	size_t start = b->len;

	put(b, UINT64_C(0x0a1a0a0d4d564d89), 8);
	put(b, h->major, 2);
	put(b, h->minor, 2);
	put(b, h->kind, 4);
	put(b, h->flags, 8);
	put(b, h->file_size, 8);
	put(b, h->data_offset, 8);
	put(b, 0, 8);
	put(b, h->reserved, 8);
	put(b, XXH3_64bits(b->data + start, 56), 8);
}

/* Begin reading b; what was said is in *err. */
static int begin(struct mv_stream *s, struct memory *m, const struct mv_buf *b, struct mv_err *err)
{
	*m = (struct memory){ b->data, b->len, 0 };
	*err = (struct mv_err){ 0 };
	return mv_stream_begin(s, "FILE", read_memory, m, err);
}

Test(stream, header)
{
	static const struct {
		const char *name;
		struct header h;
		const char *why;
	} rows[] = {
		{ "good", { 1, 0, 1, 0, 8192, 4096, 0 }, "" },
		{ "no memory", { 1, 0, 1, 0, 4096, 4096, 0 }, "" },
		{ "major 0", { 0, 9, 1, 0, 8192, 4096, 0 }, "version 0.9; this program reads 1.2" },
		{ "major 2", { 2, 0, 1, 0, 8192, 4096, 0 }, "version 2.0; this program reads 1.2" },
		{ "minor 1", { 1, 1, 1, 0, 8192, 4096, 0 }, "" },
		{ "minor 2", { 1, 2, 1, 0, 8192, 4096, 0 }, "" },
		{ "minor 3", { 1, 3, 1, 0, 8192, 4096, 0 }, "version 1.3; this program reads 1.2" },
		{ "live", { 1, 0, 2, 0, 0, 0, 0 }, "kind 2" },
		{ "kind 0", { 1, 0, 0, 0, 8192, 4096, 0 }, "kind 0" },
		{ "flags", { 1, 0, 1, 1, 8192, 4096, 0 }, "flags" },
		{ "reserved", { 1, 0, 1, 0, 8192, 4096, 1 }, "reserved" },
		{ "offset 0", { 1, 0, 1, 0, 8192, 0, 0 }, "impossible" },
		{ "offset odd", { 1, 0, 1, 0, 8192, 4095, 0 }, "impossible" },
		{ "offset behind", { 1, 0, 1, 0, 8192, 12288, 0 }, "impossible" },
		{ "offset 2^64-4096", { 1, 0, 1, 0, 8192, -UINT64_C(4096), 0 }, "impossible" },
		{ "size odd", { 1, 0, 1, 0, 8193, 4096, 0 }, "impossible" },
		{ "size 2^64-4096", { 1, 0, 1, 0, -UINT64_C(4096), 4096, 0 }, "impossible" },
		{ "size 2^63", { 1, 0, 1, 0, UINT64_C(1) << 63, 4096, 0 }, "impossible" },
	};
	struct mv_buf b = { 0 };
	struct mv_stream s;
	struct memory m;
	struct mv_err err;
	size_t i;
	int rc;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		b.len = 0;
		put_header(&b, &rows[i].h);
		rc = begin(&s, &m, &b, &err);
		if (rows[i].why[0])
			cr_expect(rc == -MV_E_INPUT && strstr(err.msg, rows[i].why) &&
				  !strcmp(err.file, "FILE") && !err.line,
				  "row %s: %d '%s'", rows[i].name, rc, err.msg);
		else
			cr_expect(!rc, "row %s: '%s'", rows[i].name, err.msg);
		mv_stream_finish(&s);
	}
	mv_buf_finish(&b);
}

Test(stream, header_is_what_is_written)
{
	const struct mv_stream_header h = { 1, 0, MV_STREAM_SNAPSHOT, 0x5000, 0x3000 };
	const struct header same = { 1, 0, 1, 0, 0x5000, 0x3000, 0 };
	struct mv_buf a = { 0 }, b = { 0 };

	cr_assert(!mv_stream_put_header(&a, &h, NULL));
	put_header(&b, &same);
	cr_expect_eq(a.len, b.len);
	cr_expect_arr_eq(a.data, b.data, b.len);
	mv_buf_finish(&a);
	mv_buf_finish(&b);
}

Test(stream, header_damaged)
{
	const struct header good = { 1, 0, 1, 0, 8192, 4096, 0 };
	struct mv_buf b = { 0 };
	struct mv_stream s;
	struct memory m;
	struct mv_err err;
	size_t i, len;
	unsigned x;
	int rc;

	put_header(&b, &good);
	for (i = 0; i < b.len; i++)
		for (x = 1; x < 256; x++) {
			b.data[i] ^= (uint8_t)x;
			rc = begin(&s, &m, &b, &err);
			cr_expect(rc == -MV_E_INPUT &&
				  strstr(err.msg, i < 8 ? "not a snapshot" : "checksum"),
				  "byte %zu ^ %u: '%s'", i, x, err.msg);
			mv_stream_finish(&s);
			b.data[i] ^= (uint8_t)x;
		}
	len = b.len;
	for (b.len = 0; b.len < len; b.len++) {
		rc = begin(&s, &m, &b, &err);
		cr_expect(rc == -MV_E_INPUT && strstr(err.msg, b.len ? "truncated" : "empty"),
			  "length %zu: '%s'", b.len, err.msg);
		mv_stream_finish(&s);
	}
	mv_buf_finish(&b);
}

/* records */

#define DATA_OFFSET 8192

struct rec {
	uint32_t type;
	uint64_t length;	/* what it says; so much payload is there, up to 64 bytes */
	uint32_t flags;
	uint8_t damage;		/* xor the checksum by this */
	uint8_t pad;		/* the padding's bytes */
};

static void put_rec(struct mv_buf *b, const struct rec *r)
{
	size_t start = b->len, len = r->length < 64 ? (size_t)r->length : 64;
	uint64_t sum;
	uint8_t *p;
	size_t i;

	put(b, 0, 8);
	put(b, r->type, 4);
	put(b, r->flags, 4);
	put(b, r->length, 8);
	for (i = 0; i < len; i++)
		put(b, i + 1, 1);
	sum = XXH3_64bits(b->data + start + 8, 16 + len) ^ r->damage;
	p = b->data + start;
	for (i = 0; i < 8; i++)
		p[i] = (uint8_t)(sum >> 8 * i);
	while (b->len % 8)
		put(b, r->pad, 1);
}

#define STATIC { 0x100, 1, 0, 0, 0 }, { 0x110, 2, 0, 0, 0 }, { 0x120, 3, 0, 0, 0 }, \
	{ 0x130, 4, 0, 0, 0 }, { 0x140, 5, 0, 0, 0 }, { 0x150, 6, 0, 0, 0 }, \
	{ 0x160, 7, 0, 0, 0 }, { 0x1f0, 0, 0, 0, 0 }
#define STATE { 0x300, 8, 0, 0, 0 }, { 0x330, 8, 0, 0, 0 }, { 0x340, 8, 0, 0, 0 }
#define REST { 0x400, 8, 0, 0, 0 }, { 0x500, 16, 0, 0, 0 }

Test(stream, records)
{
	static const struct {
		const char *name;
		struct rec recs[20];	/* up to END, or where the error is */
		const char *why;	/* "" = fine */
	} rows[] = {
		{ "least", { STATIC, STATE, REST }, "" },
		{ "all kinds", { STATIC, { 0x300, 8, 0, 0, 0 }, { 0x310, 8, 0, 0, 0 },
				 { 0x320, 8, 0, 0, 0 }, { 0x320, 8, 0, 0, 0 },
				 { 0x330, 8, 0, 0, 0 }, { 0x340, 8, 0, 0, 0 },
				 { 0x340, 8, 0, 0, 0 }, REST }, "" },
		{ "unknown optional", { { OPTIONAL | 0x42, 13, 0, 0, 0 }, STATIC,
					{ OPTIONAL | 0x100, 0, 0, 0, 0 }, STATE,
					{ OPTIONAL | 0x7fffffff, 64, 0, 0, 0 }, REST }, "" },
		{ "optional, damaged", { { OPTIONAL | 0x42, 13, 0, 1, 0 } }, "checksum" },
		{ "optional, padding", { { OPTIONAL | 0x42, 13, 0, 0, 1 } }, "padding" },
		{ "optional, flags", { { OPTIONAL | 0x42, 13, 1, 0, 0 } }, "flags" },
		{ "optional, too long", { { OPTIONAL | 0x42, 0x100001, 0, 0, 0 } }, "limit" },
		{ "unknown mandatory", { { 0x42, 13, 0, 0, 0 } },
		  "record of type 0x42 at byte 0x40: unknown" },
		{ "type 0", { { 0, 0, 0, 0, 0 } }, "unknown" },
		{ "MEMORY_PAGES", { STATIC, { 0x200, 0, 0, 0, 0 } }, "at most 0 allowed" },
		{ "duplicate", { { 0x100, 1, 0, 0, 0 }, { 0x100, 1, 0, 0, 0 } },
		  "record CONFIG at byte 0x60: it is number 2 of its kind" },
		{ "later duplicate", { STATIC, { 0x120, 1, 0, 0, 0 } },
		  "record SOURCE_HOST at byte 0x138: it has to stand before STATIC_END" },
		{ "duplicate end", { STATIC, { 0x1f0, 0, 0, 0, 0 } }, "number 2" },
		{ "no first", { { 0x110, 1, 0, 0, 0 } }, "CONFIG is missing before it" },
		{ "swapped", { { 0x100, 1, 0, 0, 0 }, { 0x120, 1, 0, 0, 0 } },
		  "POLICY is missing before it" },
		{ "back", { STATIC, { 0x300, 8, 0, 0, 0 }, { 0x330, 8, 0, 0, 0 },
			    { 0x310, 8, 0, 0, 0 } }, "before CPUID_SITES" },
		{ "END at once", { STATIC, { 0x500, 16, 0, 0, 0 } }, "is missing" },
		{ "no MEMORY", { STATIC, STATE, { 0x500, 16, 0, 0, 0 } }, "MEMORY is missing" },
		{ "one vCPU", { STATIC, { 0x300, 8, 0, 0, 0 }, { 0x330, 8, 0, 0, 0 },
				{ 0x400, 8, 0, 0, 0 } }, "VCPU is missing" },
		{ "three vCPUs", { STATIC, STATE, { 0x340, 8, 0, 0, 0 }, { 0x340, 8, 0, 0, 0 } },
		  "number 3 of its kind, at most 2" },
		{ "flags", { { 0x100, 1, 1, 0, 0 } }, "flags" },
		{ "flags, bit 31", { { 0x100, 1, 1u << 31, 0, 0 } }, "flags" },
		{ "damaged", { { 0x100, 1, 0, 0x80, 0 } },
		  "record CONFIG at byte 0x40: checksum does not match" },
		{ "padding", { { 0x100, 1, 0, 0, 1 } }, "padding" },
		{ "over its limit", { { 0x100, 4097, 0, 0, 0 } }, "limit, 0x1000" },
		{ "STATIC_END with payload", { { 0x1f0, 1, 0, 0, 0 } }, "limit, 0x0" },
		{ "2^32 - 1", { { 0x100, UINT32_MAX, 0, 0, 0 } }, "limit" },
		{ "2^32", { { 0x100, UINT64_C(1) << 32, 0, 0, 0 } }, "limit" },
		{ "2^32 + 1", { { 0x100, (UINT64_C(1) << 32) + 1, 0, 0, 0 } }, "limit" },
		{ "2^63", { { 0x100, UINT64_C(1) << 63, 0, 0, 0 } }, "limit" },
		{ "2^64 - 24", { { 0x100, UINT64_MAX - 23, 0, 0, 0 } }, "limit" },
		{ "2^64 - 1", { { 0x100, UINT64_MAX, 0, 0, 0 } }, "limit" },
		{ "optional, 2^64 - 1", { { OPTIONAL | 1, UINT64_MAX, 0, 0, 0 } }, "limit" },
		{ "beyond the pages", { { 0x120, 0x2000, 0, 0, 0 } }, "before the pages" },
		{ "no END", { STATIC, STATE, { 0x400, 8, 0, 0, 0 } }, "of type 0x0" },
	};
	const struct header h = { 1, 0, 1, 0, DATA_OFFSET, DATA_OFFSET, 0 };
	struct mv_buf b = { 0 };
	struct mv_record r;
	struct mv_stream s;
	struct memory m;
	struct mv_err err;
	size_t i, k, n;
	int rc;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		b.len = 0;
		put_header(&b, &h);
		for (n = 0; n < 20 && (rows[i].recs[n].type || !n); n++)
			put_rec(&b, &rows[i].recs[n]);
		put_zeros(&b, DATA_OFFSET - b.len);
		cr_assert(!begin(&s, &m, &b, &err));
		mv_stream_bound(&s, 0x400, 1, 1, 8);
		mv_stream_bound(&s, 0x340, 1, 2, 8);
		k = 0;
		do {
			rc = mv_stream_next(&s, &r, &err);
			k++;
		} while (!rc && r.type != 0x500);
		if (rows[i].why[0])
			cr_expect(rc == -MV_E_INPUT && strstr(err.msg, rows[i].why),
				  "row %s: %d '%s'", rows[i].name, rc, err.msg);
		else
			cr_expect(!rc && s.nrecords == n && k <= n, "row %s: '%s'", rows[i].name,
				  err.msg);
		/* Whatever a length says, nothing near it is allocated. */
		cr_expect(s.buf.cap <= 8192, "row %s: %zu", rows[i].name, s.buf.cap);
		mv_stream_finish(&s);
	}
	mv_buf_finish(&b);
}

Test(stream, record_content)
{
	const struct header h = { 1, 0, 1, 0, DATA_OFFSET, DATA_OFFSET, 0 };
	const struct rec recs[] = { { OPTIONAL | 9, 3, 0, 0, 0 }, { 0x100, 13, 0, 0, 0 } };
	struct mv_buf b = { 0 };
	struct mv_record r;
	struct mv_stream s;
	struct memory m;
	struct mv_err err;

	put_header(&b, &h);
	put_rec(&b, &recs[0]);
	put_rec(&b, &recs[1]);
	cr_assert(!begin(&s, &m, &b, &err));
	cr_assert(!mv_stream_next(&s, &r, &err), "%s", err.msg);
	cr_expect(r.type == 0x100 && r.length == 13 && r.offset == 64 + 32 && r.index == 0);
	cr_expect_str_eq(r.def->name, "CONFIG");
	cr_expect(r.payload[0] == 1 && r.payload[12] == 13);
	/* The bytes stop here, the records don't. */
	cr_expect_eq(mv_stream_next(&s, &r, &err), -MV_E_INPUT);
	cr_expect(strstr(err.msg, "truncated"), "%s", err.msg);
	mv_stream_finish(&s);
	mv_buf_finish(&b);
}

/* What spec and table say the same of. */
Test(stream, table)
{
	static const uint32_t types[] = {
		0x100, 0x110, OPTIONAL | 0x118, 0x120, OPTIONAL | 0x128, 0x130, 0x140, 0x150, 0x160, 0x170, 0x178,
		0x1f0, 0x200, 0x300, 0x310, 0x320, 0x330, 0x340, 0x3f0, 0x400, 0x500,
	};
	const struct mv_record_def *d;
	size_t i;

	cr_assert_eq(MV_NRECORD_DEFS, sizeof(types) / sizeof(types[0]));
	for (i = 0; i < MV_NRECORD_DEFS; i++) {
		d = &mv_record_defs[i];
		cr_expect(d->type == types[i] && d->name && d->walk && d->count &&
			  d->min <= d->max, "row %zu", i);
		/* In files of 1.0 there are none; live streams, and files of 1.1, set their own limit. */
		cr_expect_eq(!d->max, d->type == MV_REC_MEMORY_PAGES || d->type == MV_REC_PACKED, "row %zu", i);
		cr_expect_eq(mv_record_def(d->type), d);
	}
}
