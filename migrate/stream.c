/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "le.h"
#include "pages.h"

#define SUM_SIZE MV_FRAME_SUM_SIZE

static const uint8_t magic[MV_STREAM_MAGIC_SIZE] = {
	0x89, 'M', 'V', 'M', '\r', '\n', 0x1a, '\n',
};

/* The header but for its magic and checksum. */
static void walk_header(struct mv_wire *w, struct mv_stream_header *h)
{
	mv_wire_u16(w, &h->major);
	mv_wire_u16(w, &h->minor);
	mv_wire_u32(w, &h->kind);
	mv_wire_expect_u64(w, 0, "the header's flags");
	mv_wire_u64(w, &h->file_size);
	mv_wire_u64(w, &h->data_offset);
	mv_wire_zero(w, 16, "the header's reserved part");
}

int mv_stream_put_header(struct mv_buf *out, const struct mv_stream_header *h, struct mv_err *err)
{
	struct mv_stream_header copy = *h;
	size_t start = out->len;
	uint8_t head[MV_STREAM_MAGIC_SIZE];
	struct mv_wire w;
	uint64_t sum;

	memcpy(head, magic, sizeof(head));
	mv_wire_encoder(&w, out);
	mv_wire_bytes(&w, head, sizeof(head));
	walk_header(&w, &copy);
	if (mv_wire_ok(&w)) {
		sum = XXH3_64bits(out->data + start, out->len - start);
		mv_wire_u64(&w, &sum);
	}
	if (!mv_wire_ok(&w))
		return mv_err_set(err, MV_E_FAILED, "header: %s", w.why);
	return 0;
}

int mv_stream_put(struct mv_buf *out, const struct mv_record_def *def, struct mv_records *rs,
		  uint32_t index, struct mv_err *err)
{
	size_t start = out->len;
	uint64_t length = 0;
	struct mv_wire w;

	/* The header is put in when the length and then the checksum are known. */
	mv_wire_encoder(&w, out);
	mv_wire_zero(&w, MV_RECORD_HEADER_SIZE, "");
	def->walk(&w, rs, index);
	if (mv_wire_ok(&w))
		length = out->len - start - MV_RECORD_HEADER_SIZE;
	mv_wire_zero(&w, mv_frame_padding(length), "");
	if (!mv_wire_ok(&w))
		return mv_err_set(err, MV_E_FAILED, "record %s can't be written: %s", def->name,
				  w.why);
	mv_frame_seal(out->data + start, def->type, length);
	return 0;
}

int mv_stream_put_all(struct mv_buf *out, struct mv_records *rs, uint32_t first, uint32_t last,
		      struct mv_err *err)
{
	const struct mv_record_def *d;
	uint32_t i, n;
	int rc = 0;

	for (d = mv_record_defs; d < mv_record_defs + MV_NRECORD_DEFS; d++) {
		if (MV_REC_NUMBER(d->type) < first || MV_REC_NUMBER(d->type) > last)
			continue;
		n = d->count(rs);
		for (i = 0; !rc && i < n; i++) {
			rs->total_records++;
			rc = mv_stream_put(out, d, rs, i, err);
		}
	}
	return rc;
}

int mv_stream_fail(const struct mv_stream *s, const struct mv_record *r, struct mv_err *err,
		   const char *fmt, ...)
{
	char name[32], msg[256];
	va_list ap;

	if (r->def)
		snprintf(name, sizeof(name), "%s", r->def->name);
	else
		snprintf(name, sizeof(name), "of type 0x%" PRIx32, r->type);
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return mv_err_at(err, MV_E_INPUT, s->name, 0, 0, "record %s at byte 0x%" PRIx64 ": %s",
			 name, r->offset, msg);
}

/* Where the records end: in a file, before the pages; in a live stream, where END says so. */
static void check_sizes(struct mv_stream *s, struct mv_wire *w)
{
	const struct mv_stream_header *h = &s->header;

	s->end = h->data_offset;
	/* Offsets must fit into off_t, with some room for sums. */
	if (h->kind == MV_STREAM_LIVE)
		s->end = INT64_MAX / 2;
	if (h->kind == MV_STREAM_LIVE ? h->file_size || h->data_offset :
	    h->file_size > INT64_MAX / 2 || h->data_offset > h->file_size ||
	    h->data_offset < MV_STREAM_HEADER_SIZE || h->data_offset % MV_PAGE_SIZE ||
	    h->file_size % MV_PAGE_SIZE)
		mv_wire_fail(w, "sizes are impossible (pages at byte 0x%" PRIx64 " of 0x%" PRIx64
			     ")", h->data_offset, h->file_size);
}

static int check_header(struct mv_stream *s, const uint8_t *head, uint32_t kind,
			struct mv_err *err)
{
	const size_t body = MV_STREAM_HEADER_SIZE - SUM_SIZE;
	struct mv_stream_header *h = &s->header;
	unsigned minor = MV_STREAM_MINOR;
	struct mv_wire w;
	uint64_t sum = 0;

	mv_wire_decoder(&w, head + body, SUM_SIZE);
	mv_wire_u64(&w, &sum);
	if (sum != XXH3_64bits(head, body))
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0,
				 "header at byte 0x0: checksum does not match");

	mv_wire_decoder(&w, head + MV_STREAM_MAGIC_SIZE, body - MV_STREAM_MAGIC_SIZE);
	walk_header(&w, h);
	mv_wire_end(&w);
	/* Each kind counts its own. */
	if (h->kind == MV_STREAM_SNAPSHOT)
		minor = MV_STREAM_MINOR_LAST;
	if (h->major != MV_STREAM_MAJOR || h->minor > minor)
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0,
				 "snapshot of format version %u.%u; this program reads %u.%u",
				 h->major, h->minor, MV_STREAM_MAJOR, minor);
	if (h->kind != kind)
		mv_wire_fail(&w, "kind %" PRIu32 " is not a %s", h->kind,
			     kind == MV_STREAM_LIVE ? "live stream" : "snapshot file");
	check_sizes(s, &w);
	if (!mv_wire_ok(&w))
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0, "header at byte 0x0: %s", w.why);
	return 0;
}

static int begin(struct mv_stream *s, const char *name, mv_stream_read_fn *read, void *ctx,
		 uint32_t kind, struct mv_err *err)
{
	uint8_t head[MV_STREAM_HEADER_SIZE];
	const struct mv_record_def *d;
	int64_t got;
	size_t i;

	memset(s, 0, sizeof(*s));
	s->name = name;
	s->read = read;
	s->ctx = ctx;
	for (i = 0; i < MV_NRECORD_DEFS; i++) {
		d = &mv_record_defs[i];
		s->bound[i] = (struct mv_stream_bound){ d->min, d->max, d->max_len };
	}

	got = read(ctx, head, sizeof(head), err);
	if (got < 0)
		return (int)got;
	if (!got)
		return mv_err_at(err, MV_E_INPUT, name, 0, 0, "not a snapshot: it is empty");
	if (memcmp(head, magic, got < MV_STREAM_MAGIC_SIZE ? (size_t)got : MV_STREAM_MAGIC_SIZE))
		return mv_err_at(err, MV_E_INPUT, name, 0, 0, "not a snapshot");
	if (got < MV_STREAM_HEADER_SIZE)
		return mv_err_at(err, MV_E_INPUT, name, 0, 0,
				 "truncated: it ends after byte 0x%" PRIx64 ", in the header",
				 (uint64_t)got);
	s->pos = MV_STREAM_HEADER_SIZE;
	return check_header(s, head, kind, err);
}

int mv_stream_begin(struct mv_stream *s, const char *name, mv_stream_read_fn *read, void *ctx,
		    struct mv_err *err)
{
	return begin(s, name, read, ctx, MV_STREAM_SNAPSHOT, err);
}

int mv_stream_begin_live(struct mv_stream *s, const char *name, mv_stream_read_fn *read, void *ctx,
			 struct mv_err *err)
{
	int rc = begin(s, name, read, ctx, MV_STREAM_LIVE, err);

	mv_stream_bound(s, MV_REC_MEMORY_PAGES, 0, UINT32_MAX, MV_PAGES_MAX_LENGTH);
	mv_stream_bound(s, MV_REC_MEMORY, 0, 0, 0);
	return rc;
}

void mv_stream_finish(struct mv_stream *s)
{
	mv_buf_finish(&s->buf);
}

void mv_stream_bound(struct mv_stream *s, uint32_t type, uint32_t min, uint32_t max,
		     uint64_t max_len)
{
	const struct mv_record_def *def = mv_record_def(type);

	if (def)
		s->bound[def - mv_record_defs] = (struct mv_stream_bound){ min, max, max_len };
}

int mv_stream_read(struct mv_stream *s, void *buf, size_t len, const char *what,
		   struct mv_err *err)
{
	int64_t got = s->read(s->ctx, buf, len, err);

	if (got < 0)
		return (int)got;
	if ((uint64_t)got < len)
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0,
				 "truncated: it ends at byte 0x%" PRIx64 ", in %s; %" PRIu64
				 " bytes are missing", s->pos + (uint64_t)got, what,
				 len - (uint64_t)got);
	s->pos += len;
	return 0;
}

/* Read type, flags and length of the record at s->pos. */
static int read_head(struct mv_stream *s, struct mv_record *r, uint8_t *head, struct mv_err *err)
{
	uint64_t cap = MV_MAX_UNKNOWN_RECORD;
	struct mv_frame f;
	int rc;

	if (s->end - s->pos < MV_RECORD_HEADER_SIZE)
		return mv_err_at(err, MV_E_INPUT, s->name, 0, 0,
				 "byte 0x%" PRIx64 ": the records end without an END", s->pos);
	rc = mv_stream_read(s, head, MV_RECORD_HEADER_SIZE, "a record's header", err);
	if (rc)
		return rc;
	mv_frame_unpack(&f, head);
	r->type = f.type;
	r->def = mv_record_def(r->type);
	if (f.flags)
		return mv_stream_fail(s, r, err, "flags are 0x%" PRIx32 ", not 0", f.flags);
	if (r->def)
		cap = s->bound[r->def - mv_record_defs].max_len;
	if (f.length > cap)
		return mv_stream_fail(s, r, err,
				      "0x%" PRIx64 " bytes are more than its limit, 0x%" PRIx64,
				      f.length, cap);
	if (f.length + mv_frame_padding(f.length) > s->end - s->pos)
		return mv_stream_fail(s, r, err, "its 0x%" PRIx64 " bytes don't end before the"
				      " pages, at byte 0x%" PRIx64, f.length, s->end);
	r->length = (size_t)f.length;
	return 0;
}

static bool zeros(const uint8_t *p, size_t n)
{
	return p[0] == 0 && !memcmp(p, p + 1, n - 1);
}

/*
 * Append len bytes of r's payload to what was read. A file may claim any length and have it, too, in holes: of a
 * long record, no more is allocated than a few pages beyond what somebody really wrote.
 */
static int append(struct mv_stream *s, const struct mv_record *r, size_t len, struct mv_err *err)
{
	size_t done, n, step = r->length > MV_LONG_RECORD ? MV_PAGE_SIZE : len;
	uint64_t at = s->pos;
	uint8_t *p;
	int rc = 0;

	for (done = 0; rc == 0 && done < len; done += n) {
		n = len - done < step ? len - done : step;
		p = mv_buf_grow(&s->buf, n);
		if (!p)
			return mv_err_at(err, MV_E_FAILED, s->name, 0, 0, "out of memory");
		rc = mv_stream_read(s, p, n, r->def ? r->def->name : "a record", err);
		if (rc == 0 && step == MV_PAGE_SIZE && n == step && zeros(p, n))
			rc = mv_stream_fail(s, r, err, "nothing but zeros at byte 0x%" PRIx64
					    ", where its lists can't have any", at + done);
	}
	return rc;
}

/* Read the payload of the record whose header is head, and verify both. */
static int read_payload(struct mv_stream *s, struct mv_record *r, const uint8_t *head,
			struct mv_err *err)
{
	const size_t covered = MV_RECORD_HEADER_SIZE - SUM_SIZE;
	size_t i, pad = mv_frame_padding(r->length);
	uint8_t *p;
	int rc;

	/* The checksum covers header and payload: put them together. */
	s->buf.len = 0;
	p = mv_buf_grow(&s->buf, covered);
	if (!p)
		return mv_err_at(err, MV_E_FAILED, s->name, 0, 0, "out of memory");
	memcpy(p, head + SUM_SIZE, covered);
	rc = append(s, r, r->length + pad, err);
	if (rc)
		return rc;
	p = s->buf.data;
	if (mv_load_le(head, SUM_SIZE) != mv_frame_sum(p, covered + r->length))
		return mv_stream_fail(s, r, err, "checksum does not match");
	r->payload = p + covered;
	for (i = 0; i < pad; i++)
		if (r->payload[r->length + i])
			return mv_stream_fail(s, r, err, "padding is not zero");
	return 0;
}

/* May r stand here? Then it is the last one seen. */
static int advance(struct mv_stream *s, struct mv_record *r, struct mv_err *err)
{
	size_t row = (size_t)(r->def - mv_record_defs);

	if (row < s->row)
		return mv_stream_fail(s, r, err, "it has to stand before %s",
				      mv_record_defs[s->row].name);
	while (s->row < row) {
		if (s->seen < s->bound[s->row].min)
			return mv_stream_fail(s, r, err, "%s is missing before it (%" PRIu32
					      " of %" PRIu32 " found)",
					      mv_record_defs[s->row].name, s->seen,
					      s->bound[s->row].min);
		s->row++;
		s->seen = 0;
	}
	if (s->seen >= s->bound[row].max)
		return mv_stream_fail(s, r, err, "it is number %" PRIu32 " of its kind, at most %"
				      PRIu32 " allowed", s->seen + 1, s->bound[row].max);
	r->index = s->seen++;
	return 0;
}

int mv_stream_next(struct mv_stream *s, struct mv_record *r, struct mv_err *err)
{
	uint8_t head[MV_RECORD_HEADER_SIZE];
	int rc;

	do {
		*r = (struct mv_record){ .offset = s->pos };
		rc = read_head(s, r, head, err);
		if (!rc)
			rc = read_payload(s, r, head, err);
		if (rc)
			return rc;
		s->nrecords++;
		if (!r->def && !(r->type & MV_REC_OPTIONAL))
			return mv_stream_fail(s, r, err,
					      "unknown, and it must not be skipped");
	} while (!r->def);
	return advance(s, r, err);
}

int mv_stream_decode(const struct mv_stream *s, const struct mv_record *r, struct mv_records *rs,
		     struct mv_err *err)
{
	struct mv_wire w;

	rs->minor = s->header.minor;
	mv_wire_decoder(&w, r->payload, r->length);
	r->def->walk(&w, rs, r->index);
	mv_wire_end(&w);
	if (!mv_wire_ok(&w))
		return mv_stream_fail(s, r, err, "%s", w.why);
	return 0;
}

int mv_stream_read_until(struct mv_stream *s, struct mv_records *rs, uint32_t last,
			 struct mv_err *err)
{
	struct mv_record r;
	int rc;

	do {
		rc = mv_stream_next(s, &r, err);
		rs->total_records = s->nrecords;
		if (!rc)
			rc = mv_stream_decode(s, &r, rs, err);
		if (rc)
			return rc;
		if (r.type != MV_REC_CONFIG)
			continue;
		mv_stream_bound(s, MV_REC_VCPU, rs->config->nvcpus, rs->config->nvcpus,
				mv_record_def(MV_REC_VCPU)->max_len);
		if (s->header.kind == MV_STREAM_SNAPSHOT && s->header.minor >= MV_STREAM_MINOR_PACKED)
			mv_stream_bound(s, MV_REC_PACKED, 0, 1,
					mv_packed_max_length(rs->config->ram_size));
		if (s->header.kind == MV_STREAM_SNAPSHOT)
			mv_stream_bound(s, MV_REC_MEMORY, 1, 1,
					mv_manifest_max_length(rs->config->ram_size));
	} while (r.type != last);
	return 0;
}
