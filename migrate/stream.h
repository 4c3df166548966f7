/* SPDX-License-Identifier: MIT */
/*
 * Framing of the state stream: header, records, checksums, order (docs/stream-format.md, sections 3
 * and 4). Knows where bytes begin and end and that they are undamaged, not what they mean.
 *
 * Bytes come from a callback, in order and without seeking: a file, a buffer or a connection.
 */
#ifndef MV_MIGRATE_STREAM_H
#define MV_MIGRATE_STREAM_H

#include "frame.h"
#include "records.h"

#define MV_STREAM_MAJOR 1
#define MV_STREAM_MINOR 0		/* what is written, unless it needs more */
#define MV_STREAM_MINOR_PACKED 1	/* a file with compressed memory */
#define MV_STREAM_MINOR_BLOCKS 2	/* a file that knows its disks by their blocks */
#define MV_STREAM_MINOR_LAST MV_STREAM_MINOR_BLOCKS
#define MV_STREAM_MAGIC_SIZE 8
#define MV_STREAM_HEADER_SIZE 64
#define MV_RECORD_HEADER_SIZE MV_FRAME_SIZE
#define MV_RECORD_ALIGN 8
#define MV_MAX_UNKNOWN_RECORD (UINT64_C(1) << 20)
#define MV_LONG_RECORD (UINT64_C(1) << 23)	/* longer ones have no page of zeros */

enum mv_stream_kind {
	MV_STREAM_SNAPSHOT = 1,
	MV_STREAM_LIVE = 2,
};

struct mv_stream_header {
	uint16_t major, minor;
	uint32_t kind;
	uint64_t file_size, data_offset;
};

/*
 * Read len bytes into buf. Returns how many, fewer only at the end, or a negative MV_E_* with *err
 * set.
 */
typedef int64_t mv_stream_read_fn(void *ctx, void *buf, size_t len, struct mv_err *err);

/* A record as it was read. The payload is valid until the next call of mv_stream_next. */
struct mv_record {
	const struct mv_record_def *def;	/* NULL: none yet */
	uint32_t type;
	uint32_t index;		/* the how manieth of its type, from 0 */
	uint64_t offset;
	const uint8_t *payload;
	size_t length;
};

/* What a record type is held to: the table's limits, or tighter ones. */
struct mv_stream_bound {
	uint32_t min, max;
	uint64_t max_len;
};

/* A stream that is being read. */
struct mv_stream {
	const char *name;	/* for messages; not owned */
	mv_stream_read_fn *read;
	void *ctx;
	struct mv_stream_header header;
	uint64_t pos;		/* bytes read so far */
	uint64_t end;		/* where the records end at the latest */
	uint64_t nrecords;	/* read so far, skipped ones included */
	size_t row;		/* of the last known record, in mv_record_defs */
	uint32_t seen;		/* how many of that row so far */
	struct mv_stream_bound bound[MV_NRECORD_DEFS];
	struct mv_buf buf;
};

/*
 * Start: read and verify the header of a snapshot file, or of a live stream. mv_stream_finish is due
 * in any case.
 */
int mv_stream_begin(struct mv_stream *s, const char *name, mv_stream_read_fn *read, void *ctx,
		    struct mv_err *err);
int mv_stream_begin_live(struct mv_stream *s, const char *name, mv_stream_read_fn *read, void *ctx,
			 struct mv_err *err);
void mv_stream_finish(struct mv_stream *s);

/*
 * Tighten (or, for a type that has no fixed limit, set) what is accepted of a type, once something
 * read earlier says so.
 */
void mv_stream_bound(struct mv_stream *s, uint32_t type, uint32_t min, uint32_t max,
		     uint64_t max_len);

/* The next known record, verified; unknown optional ones are skipped. */
int mv_stream_next(struct mv_stream *s, struct mv_record *r, struct mv_err *err);

/* Decode a record by its walk routine. */
int mv_stream_decode(const struct mv_stream *s, const struct mv_record *r, struct mv_records *rs,
		     struct mv_err *err);

/*
 * Read and decode records up to and including the one of type last; what CONFIG says bounds what
 * follows it.
 */
int mv_stream_read_until(struct mv_stream *s, struct mv_records *rs, uint32_t last,
			 struct mv_err *err);

/* Read exactly len bytes of what follows the records; what names them in errors. */
int mv_stream_read(struct mv_stream *s, void *buf, size_t len, const char *what,
		   struct mv_err *err);

/* "record VCPU at byte 0x1234: ..." */
int mv_stream_fail(const struct mv_stream *s, const struct mv_record *r, struct mv_err *err,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Append the header, or a record: number index of its type. */
int mv_stream_put_header(struct mv_buf *out, const struct mv_stream_header *h, struct mv_err *err);
int mv_stream_put(struct mv_buf *out, const struct mv_record_def *def, struct mv_records *rs,
		  uint32_t index, struct mv_err *err);

/* Append the records of the types from first to last, as many of each as there are. */
int mv_stream_put_all(struct mv_buf *out, struct mv_records *rs, uint32_t first, uint32_t last,
		      struct mv_err *err);

/* The bytes a record with that payload takes. */
static inline uint64_t mv_record_size(uint64_t length)
{
	return MV_RECORD_HEADER_SIZE + ((length + MV_RECORD_ALIGN - 1) & ~UINT64_C(7));
}

#endif
