/* SPDX-License-Identifier: MIT */
/*
 * Live migration over made-up machines (fake_vm.h): what arrives is what was halted, and whatever
 * breaks, wherever, at most one side runs the guest afterwards.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_vm.h"
#include "le.h"
#include "peer.h"
#include "snapshot_fixture.h"
#include "stream.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

TestSuite(live, .init = fixture_setup, .fini = fixture_teardown, .timeout = 300);

static struct fake *new_fake(bool full)
{
	struct fake *f = calloc(1, sizeof(*f));

	cr_assert(f);
	if (!fx.state.vcpus)
		fixture_fill(full);
	fake_init(f, fx.st, &fx.state);
	return f;
}

static void end_fake(struct fake *f)
{
	fake_finish(f);
	free(f);
}

static const char *const end_names[] = { "moved", "refused", "failed", "unconfirmed" };

/* What must hold after any migration, whatever happened. */
static void check_world(struct fake *f, const char *name)
{
	const struct world *w = &f->world;
	enum mv_live_end end = f->result.end;

	cr_expect(!w->both, "%s: both ran", name);
	cr_expect(!(w->runs[SRC] && w->runs[DST]), "%s: both run", name);
	cr_expect(w->starts <= 1, "%s: started %u times", name, w->starts);
	cr_expect_eq(w->runs[DST], f->rc == 0 && !w->dead[DST], "%s: %d '%s'", name, f->rc,
		     f->err.msg);
	cr_expect(f->created == (f->rc == 0), "%s: something was left behind", name);
	if (!w->dead[SRC])
		cr_expect_eq(w->runs[SRC], end == MV_LIVE_FAILED || end == MV_LIVE_REFUSED,
			     "%s: %s '%s'", name, end_names[end], f->result.err.msg);
	if (end == MV_LIVE_MOVED && !w->dead[DST])
		cr_expect(w->runs[DST], "%s: moved to nowhere", name);
	if (end != MV_LIVE_MOVED)
		cr_expect(f->result.err.code && *f->result.err.msg, "%s: no reason given", name);
	cr_expect(!f->logging, "%s: the log is still on", name);
	/* Nobody's guest is lost, unless its host was killed. */
	if (!w->dead[SRC] && !w->dead[DST])
		cr_expect(w->runs[SRC] || w->runs[DST] || end == MV_LIVE_UNCONFIRMED,
			  "%s: lost", name);
	if (!w->dead[SRC])
		cr_expect(w->runs[SRC] || w->runs[DST] || end == MV_LIVE_UNCONFIRMED ||
			  (w->dead[DST] && end == MV_LIVE_MOVED), "%s: lost", name);
	if (w->runs[DST])
		cr_expect(fake_same(f), "%s: what runs is not what was halted", name);
}

Test(live, moves)
{
	static const struct {
		const char *name;
		unsigned writes, race;
		uint32_t downtime_ms, rounds;
	} rows[] = {
		{ "idle", 0, 0, 300, 1 },
		{ "a few writes", 5, 0, 300, 1 },
		{ "written while read", 0, 2, 300, 1 },
		{ "every page is written while it is read", 40, 1, 0, 4 },
		{ "everything always dirty", 3000, 3, 0, 4 },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		struct fake *f = new_fake(i % 2);

		f->writes = rows[i].writes;
		f->race = rows[i].race;
		f->opts.downtime_ms = rows[i].downtime_ms;
		f->opts.max_rounds = rows[i].rounds;
		f->opts.on_timeout = MV_LIVE_STOP;
		fake_run(f);
		cr_expect(f->result.end == MV_LIVE_MOVED && f->rc == 0, "row %s: '%s' '%s'",
			  rows[i].name, f->result.err.msg, f->err.msg);
		cr_expect(f->world.starts == 1 && fake_same(f), "row %s", rows[i].name);
		cr_expect(f->result.progress.iteration >= rows[i].rounds, "row %s: %u rounds",
			  rows[i].name, f->result.progress.iteration);
		cr_expect(f->news > 3 && !strcmp(f->result.progress.phase, "done"));
		check_world(f, rows[i].name);
		end_fake(f);
	}
}

Test(live, zero_pages_cost_nothing)
{
	struct fake *f = new_fake(false);
	uint64_t all = 0, some;

	f->writes = f->race = 0;
	fake_run(f);
	all = f->io[SRC].sent;
	cr_expect_eq(f->result.end, MV_LIVE_MOVED);
	end_fake(f);

	f = new_fake(false);
	f->writes = f->race = 0;
	memset(f->ram + MV_PAGE_SIZE, 0, FAKE_RAM - MV_PAGE_SIZE);
	memset(f->ram, 1, 1);
	fake_run(f);
	some = f->io[SRC].sent;
	cr_expect(f->result.end == MV_LIVE_MOVED && fake_same(f));
	end_fake(f);
	cr_expect(all - some > FAKE_PAGES / 2 * MV_PAGE_SIZE);
}

Test(live, refused)
{
	struct fake *f = new_fake(false);

	f->refuse = true;
	fake_run(f);
	cr_expect_eq(f->result.end, MV_LIVE_REFUSED);
	cr_expect_eq(f->rc, -MV_E_REFUSED);
	cr_expect_str_eq(f->result.refusal.text, "CPUID level 0x1 ECX:19 (SSE4.1) …\n");
	cr_expect_str_eq(f->result.refusal.json, "{\"accepted\":false}");
	/* The guest did not notice. */
	cr_expect(f->stops == 0 && f->fetches == 0 && f->states == 0);
	check_world(f, "refused");
	end_fake(f);
}

/* Failures of either machine's own, each at every call. */
Test(live, own_failures)
{
	static const struct {
		const char *name;
		int stop, state, log;
		bool create, load, run, cancel;
		enum mv_live_end end;
		const char *why;	/* at the source */
	} rows[] = {
		{ "halting to rehearse", 1, 0, 0, 0, 0, 0, 0, MV_LIVE_FAILED, "stopping failed" },
		{ "halting", 2, 0, 0, 0, 0, 0, 0, MV_LIVE_FAILED, "stopping failed" },
		{ "state to rehearse", 0, 1, 0, 0, 0, 0, 0, MV_LIVE_FAILED, "state failed" },
		{ "state", 0, 2, 0, 0, 0, 0, 0, MV_LIVE_FAILED, "state failed" },
		{ "log start", 0, 0, 1, 0, 0, 0, 0, MV_LIVE_FAILED, "the log failed" },
		{ "log fetch", 0, 0, 2, 0, 0, 0, 0, MV_LIVE_FAILED, "the log failed" },
		{ "log clear", 0, 0, 3, 0, 0, 0, 0, MV_LIVE_FAILED, "the log failed" },
		{ "log clear, later", 0, 0, 4, 0, 0, 0, 0, MV_LIVE_FAILED, "the log failed" },
		{ "creating", 0, 0, 0, 1, 0, 0, 0, MV_LIVE_FAILED, "says: creating failed" },
		{ "loading", 0, 0, 0, 0, 1, 0, 0, MV_LIVE_FAILED, "says: loading failed" },
		{ "cancelled at the last moment", 0, 0, 0, 0, 0, 0, 1, MV_LIVE_FAILED, "cancelled" },
		{ "running", 0, 0, 0, 0, 0, 1, 0, MV_LIVE_UNCONFIRMED, "says: running failed" },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		struct fake *f = new_fake(false);

		f->fail_stop = rows[i].stop;
		f->fail_state = rows[i].state;
		f->fail_log = rows[i].log;
		f->fail_create = rows[i].create;
		f->fail_load = rows[i].load;
		f->fail_run = rows[i].run;
		f->cancel_at_commit = rows[i].cancel;
		fake_run(f);
		cr_expect_eq(f->result.end, rows[i].end, "row %s: %s", rows[i].name,
			     end_names[f->result.end]);
		cr_expect(strstr(f->result.err.msg, rows[i].why), "row %s: '%s'", rows[i].name,
			  f->result.err.msg);
		cr_expect(f->rc, "row %s", rows[i].name);
		check_world(f, rows[i].name);
		end_fake(f);
	}
}

/* ---- faults of the connection, at every message ---- */

struct message {
	char name[48];
	enum side from;
	uint64_t at, len;
};

/* What the two say to each other, from a migration that was recorded. */
static size_t messages(const struct fake *f, struct message *m, size_t room)
{
	static const char *const who[] = { "source", "destination" };
	size_t n = 0;

	for (int s = SRC; s <= DST; s++) {
		const struct mv_buf *b = &f->sent[s];
		uint64_t at = 0;

		while (at < b->len) {
			const struct mv_record_def *def;
			struct mv_frame fr;
			const char *name;

			cr_assert(n < room);
			mv_frame_unpack(&fr, b->data + at);
			m[n] = (struct message){ .from = s, .at = at };
			m[n].len = MV_FRAME_SIZE + fr.length + mv_frame_padding(fr.length);
			def = mv_record_def(fr.type);
			name = def ? def->name : mv_peer_name(fr.type);
			/* The header of the stream has no frame. */
			if (!name) {
				m[n].len = MV_STREAM_HEADER_SIZE;
				name = "header";
			}
			snprintf(m[n].name, sizeof(m[n].name), "%.16s of the %s, %zu", name, who[s], n);
			at += m[n++].len;
		}
		cr_assert_eq(at, b->len);
	}
	return n;
}

/* A quiet guest, so that what is said is the same every time. */
static struct fake *quiet_fake(void)
{
	struct fake *f = new_fake(false);

	f->race = 0;
	f->opts.downtime_ms = 300;
	return f;
}

static size_t record(struct message *m, size_t room)
{
	struct fake *f = quiet_fake();
	size_t n;

	f->record = true;
	fake_run(f);
	cr_assert_eq(f->result.end, MV_LIVE_MOVED, "%s", f->result.err.msg);
	n = messages(f, m, room);
	end_fake(f);
	return n;
}

Test(live, every_fault)
{
	static const char *const kinds[NFAULTS] = {
		"", "cut", "stalled", "corrupted", "sender killed", "receiver killed",
	};
	struct message m[64];
	size_t n = record(m, COUNT(m)), i, k, points = 0, ends[4] = { 0 };
	char name[128];

	for (i = 0; i < n; i++) {
		/* Before its first byte, inside its frame, inside its payload, before its last. */
		const uint64_t offsets[] = { 0, 12, 20, m[i].len / 2 + 12, m[i].len - 1 };
		const char *const places[] = { "before", "type", "length", "inside", "end" };

		for (k = 0; k < COUNT(offsets) * (NFAULTS - 1); k++) {
			struct fake *f;
			uint64_t at = offsets[k % COUNT(offsets)];
			enum fault_kind kind = (enum fault_kind)(1 + k / COUNT(offsets));

			/* Stalls take their time; one or two of each message tell. */
			if (at >= m[i].len || (kind == FAULT_STALL && at && at != m[i].len - 1))
				continue;
			f = quiet_fake();
			f->timeout_ms = 40;
			f->fault = (struct fault){ kind, m[i].from, m[i].at + at };
			snprintf(name, sizeof(name), "%.47s: %s, %s", m[i].name, kinds[kind],
				 places[k % COUNT(offsets)]);
			fake_run(f);
			check_world(f, name);
			/* Damage and silence are never taken for success. */
			if (kind == FAULT_CORRUPT && f->result.end == MV_LIVE_MOVED)
				cr_expect(fake_same(f), "%s", name);
			cr_log_info("%s: %s", name, end_names[f->result.end]);
			ends[f->result.end]++;
			points++;
			end_fake(f);
		}
	}
	cr_log_info("%zu fault points: %zu moved, %zu failed, %zu unconfirmed", points, ends[0],
		    ends[2], ends[3]);
	cr_expect(points >= 200 && ends[MV_LIVE_FAILED] > 100 && ends[MV_LIVE_UNCONFIRMED] > 5,
		  "%zu points: %zu, %zu, %zu, %zu", points, ends[0], ends[1], ends[2], ends[3]);
}

/* ---- a hostile source ---- */

/* What a good source sends, for the destination alone: GO is in it already. */
static struct mv_buf script(void)
{
	struct fake *f = quiet_fake();
	struct mv_buf b;

	f->record = true;
	fake_run(f);
	cr_assert_eq(f->result.end, MV_LIVE_MOVED);
	b = f->sent[SRC];
	f->sent[SRC] = (struct mv_buf){ 0 };
	end_fake(f);
	return b;
}

static void feed(const uint8_t *bytes, size_t len, bool runs, const char *why, const char *name)
{
	struct fake *f = quiet_fake();

	f->timeout_ms = 2000;
	fake_feed(f, bytes, len);
	cr_expect_eq(f->rc == 0, runs, "%s: %d '%s'", name, f->rc, f->err.msg);
	cr_expect_eq(f->world.runs[DST], runs, "%s", name);
	cr_expect_eq(f->created, runs, "%s", name);
	if (!runs)
		cr_expect(strstr(f->err.msg, why), "%s: '%s'", name, f->err.msg);
	end_fake(f);
}

Test(live, script_is_good)
{
	struct mv_buf b = script();

	feed(b.data, b.len, true, "", "all of it");
	feed(b.data, 0, false, "closed the connection", "nothing");
	feed(b.data, b.len - 1, false, "closed the connection", "the last byte is missing");
	mv_buf_finish(&b);
}

/* The frame at offset at says something else now; its checksum is right. */
static void reseal(uint8_t *record)
{
	struct mv_frame fr;

	mv_frame_unpack(&fr, record);
	mv_frame_seal(record, fr.type, fr.length);
}

static uint64_t find_record(const struct mv_buf *b, uint32_t type)
{
	uint64_t at = 0;

	while (at < b->len) {
		struct mv_frame fr;

		mv_frame_unpack(&fr, b->data + at);
		if (fr.type == type)
			return at;
		if (mv_record_def(fr.type) || mv_peer_name(fr.type))
			at += MV_FRAME_SIZE + fr.length + mv_frame_padding(fr.length);
		else
			at += MV_STREAM_HEADER_SIZE;
	}
	cr_assert_fail("no record 0x%x", type);
	return 0;
}

Test(live, hostile_source)
{
	enum { FLAGS = MV_FRAME_SIZE, N = FLAGS + 4, DESC = N + 4 };
	static const struct {
		const char *name;
		uint32_t type, offset, size;
		uint64_t value;
		const char *why;
	} rows[] = {
		{ "wrong magic", MV_PEER_HELLO, 24, 1, 'M', "wrong magic" },
		{ "version 2", MV_PEER_HELLO, 32, 4, 2, "version 2" },
		{ "role", MV_PEER_HELLO, 36, 4, 2, "no source" },
		{ "role 3", MV_PEER_HELLO, 36, 4, 3, "role" },
		{ "record flags", MV_REC_MEMORY_PAGES, 12, 4, 1, "flags" },
		{ "page flags", MV_REC_MEMORY_PAGES, FLAGS, 4, 2, "flags are 0x2" },
		{ "too many pages", MV_REC_MEMORY_PAGES, N, 4, 1025, "number of pages" },
		{ "2^32 - 1 pages", MV_REC_MEMORY_PAGES, N, 4, UINT32_MAX, "number of pages" },
		{ "fewer pages", MV_REC_MEMORY_PAGES, N, 4, 1, "are not 1 pages" },
		{ "no pages", MV_REC_MEMORY_PAGES, N, 4, 0, "it says nothing" },
		{ "outside RAM", MV_REC_MEMORY_PAGES, DESC, 8, FAKE_RAM, "outside RAM" },
		{ "far outside", MV_REC_MEMORY_PAGES, DESC, 8, -UINT64_C(4096), "outside RAM" },
		{ "no page", MV_REC_MEMORY_PAGES, DESC, 8, 2, "not the address of a page" },
		{ "zero, but stored", MV_REC_MEMORY_PAGES, DESC, 8, 1, "of them stored" },
		{ "length 2^32", MV_REC_MEMORY_PAGES, 16, 8, UINT64_C(1) << 32, "limit" },
		{ "length 2^64 - 1", MV_REC_MEMORY_PAGES, 16, 8, UINT64_MAX, "limit" },
		{ "MEMORY in a live stream", MV_REC_CLOCK, 8, 4, MV_REC_MEMORY, "limit" },
		{ "unknown record", MV_REC_CLOCK, 8, 4, 0x205, "must not be skipped" },
		{ "file size", MV_REC_END, 32, 8, 4096, "the file's size" },
		{ "records", MV_REC_END, 24, 8, 3, "the number of records" },
		{ "GO for something else", MV_PEER_GO, 24, 8, 3, "another stream" },
		{ "READY from the source", MV_PEER_GO, 8, 4, MV_PEER_READY, "READY came where" },
		{ "FAILED from the source", MV_PEER_GO, 8, 4, MV_PEER_ROUND, "ROUND" },
	};
	struct mv_buf b = script();
	uint8_t *copy = malloc(b.len);
	size_t i;

	cr_assert(copy);
	for (i = 0; i < COUNT(rows); i++) {
		uint8_t *record = copy + find_record(&b, rows[i].type);

		memcpy(copy, b.data, b.len);
		mv_store_le(record + rows[i].offset, rows[i].value, rows[i].size);
		/* A length that is wrong can't be sealed: it fails before its checksum counts. */
		if (rows[i].offset != 16 && rows[i].offset != 12)
			reseal(record);
		feed(copy, b.len, false, rows[i].why, rows[i].name);
	}
	free(copy);
	mv_buf_finish(&b);
}

/* Bits anywhere but in the pages themselves; a checksum each makes the latter all alike. */
Test(live, damaged)
{
	struct mv_buf b = script();
	uint8_t *copy = malloc(b.len);
	size_t i, step = b.len / 400;
	char name[32];

	cr_assert(copy);
	memcpy(copy, b.data, b.len);
	for (i = 0; i < b.len; i += i < 700 ? 7 : step) {
		copy[i] ^= (uint8_t)(1u << i % 8);
		snprintf(name, sizeof(name), "byte %zu", i);
		feed(copy, b.len, false, "", name);
		copy[i] = b.data[i];
	}
	free(copy);
	mv_buf_finish(&b);
}

/* ---- the decision ---- */

#define MS UINT64_C(1000000)
#define GB UINT64_C(1000000000)

Test(live, decision)
{
	static const struct {
		const char *name;
		struct mv_live_opts o;
		struct mv_live_round r;
		enum mv_live_next next;
	} rows[] = {
		{ "at first", { 300, 30, 0, 0, 0, 0 }, { 0, 1000, 0, 0, MS, 0, 0 }, MV_LIVE_NEXT_ROUND },
		{ "nothing written", { 300, 30, 0, 0, 0, 0 }, { 1, 0, 1000, GB, MS, 0, 0 },
		  MV_LIVE_NEXT_STOP },
		{ "nothing written, even with no time", { 0, 1, 1, 0, 0, 0 },
		  { 1, 0, 1000, GB, 9 * MS, 5 * MS, 0 }, MV_LIVE_NEXT_STOP },
		{ "little", { 300, 30, 0, 0, 0, 0 }, { 1, 10, 100000, GB, MS, 0, 0 },
		  MV_LIVE_NEXT_STOP },
		{ "too much", { 300, 30, 0, 0, 0, 0 }, { 1, 100000, 100000, GB, MS, 0, 0 },
		  MV_LIVE_NEXT_ROUND },
		{ "fits, and shrinks", { 300, 30, 0, 0, 0, 0 }, { 1, 40000, 100000, GB, MS, 0, 0 },
		  MV_LIVE_NEXT_ROUND },
		{ "fits, and shrinks no more", { 300, 30, 0, 0, 0, 0 }, { 2, 30000, 40000, GB, MS, 0, 0 },
		  MV_LIVE_NEXT_STOP },
		{ "the state counts", { 300, 30, 0, 0, 0, 0 }, { 2, 30000, 40000, GB, 200 * MS, 0, 0 },
		  MV_LIVE_NEXT_ROUND },
		{ "rounds are over", { 1, 5, 0, 0, MV_LIVE_CANCEL, 0 }, { 5, 9999, 9999, GB, MS, 0, 0 },
		  MV_LIVE_NEXT_GIVE_UP },
		{ "rounds are over, stop", { 1, 5, 0, 0, MV_LIVE_STOP, 0 },
		  { 5, 9999, 9999, GB, MS, 0, 0 }, MV_LIVE_NEXT_STOP },
		{ "rounds are over, and it fits", { 300, 5, 0, 0, MV_LIVE_CANCEL, 0 },
		  { 5, 30000, 100000, GB, MS, 0, 0 }, MV_LIVE_NEXT_STOP },
		{ "time is over", { 1, 30, 100, 0, MV_LIVE_CANCEL, 0 },
		  { 3, 9999, 9999, GB, MS, 100 * MS, 0 }, MV_LIVE_NEXT_GIVE_UP },
		{ "time is over, stop", { 1, 30, 100, 0, MV_LIVE_STOP, 0 },
		  { 3, 9999, 9999, GB, MS, 100 * MS, 0 }, MV_LIVE_NEXT_STOP },
		{ "time is not over", { 1, 30, 100, 0, MV_LIVE_STOP, 0 },
		  { 3, 9999, 9999, GB, MS, 99 * MS, 0 }, MV_LIVE_NEXT_ROUND },
		{ "bandwidth unknown", { 300, 30, 0, 0, 0, 0 }, { 1, 1, 9999, 0, MS, 0, 0 },
		  MV_LIVE_NEXT_ROUND },
		{ "no bandwidth to speak of", { 300, 30, 0, 0, 0, 0 }, { 1, UINT64_C(1) << 28, 1, 1, MS, 0, 0 },
		  MV_LIVE_NEXT_ROUND },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++)
		cr_expect_eq(mv_live_decide(&rows[i].o, &rows[i].r), rows[i].next, "row %s",
			     rows[i].name);
}

Test(live, throttle)
{
	static const struct {
		const char *name;
		uint32_t max, rounds, now;
		uint64_t dirty, before;
		uint32_t want;
	} rows[] = {
		{ "not allowed", 0, 9, 0, 100, 100, 0 },
		{ "the first round tells nothing", 80, 1, 0, 100, 100, 0 },
		{ "it gets nowhere", 80, 2, 0, 100, 100, 20 },
		{ "still nowhere", 80, 3, 20, 51, 100, 30 },
		{ "it gets there", 80, 3, 20, 50, 100, 20 },
		{ "as far as allowed", 80, 9, 75, 100, 100, 80 },
		{ "and no further", 80, 9, 80, 100, 100, 80 },
		{ "less than the first step", 10, 2, 0, 100, 100, 10 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct mv_live_opts o = { .throttle_max = rows[i].max };
		struct mv_live_round r = {
			.rounds = rows[i].rounds, .throttle = rows[i].now,
			.dirty = rows[i].dirty, .before = rows[i].before,
		};

		cr_expect_eq(mv_live_throttle(&o, &r), rows[i].want, "row %s: %u", rows[i].name,
			     mv_live_throttle(&o, &r));
	}
}

/* What is too fast for any number of rounds gets there slowed down; and is let go at the end. */
Test(live, throttled_until_it_fits)
{
	struct fake *f = new_fake(false);

	f->writes = 4000;
	f->race = 0;
	f->opts.downtime_ms = 0;
	f->opts.max_rounds = 12;
	f->opts.throttle_max = MV_LIVE_THROTTLE_MOST;
	f->opts.on_timeout = MV_LIVE_STOP;
	fake_run(f);
	cr_expect(f->result.end == MV_LIVE_MOVED && fake_same(f), "'%s'", f->result.err.msg);
	cr_expect(f->throttles > 3 && f->throttle == 0, "%u calls", f->throttles);
	check_world(f, "throttled");
	end_fake(f);

	f = new_fake(false);
	f->writes = 4000;
	f->opts.downtime_ms = 0;
	f->opts.max_rounds = 5;
	f->opts.throttle_max = 50;
	fake_run(f);
	cr_expect_eq(f->result.end, MV_LIVE_FAILED);
	cr_expect(f->throttle == 0 && f->throttles > 2, "it stays slow");
	check_world(f, "throttled in vain");
	end_fake(f);
}

Test(live, never_enough)
{
	struct fake *f = new_fake(false);

	f->writes = 3000;
	f->opts.downtime_ms = 0;
	f->opts.max_rounds = 3;
	fake_run(f);
	cr_expect_eq(f->result.end, MV_LIVE_FAILED);
	cr_expect(strstr(f->result.err.msg, "after 3 rounds") &&
		  strstr(f->result.err.msg, "0 ms are allowed"), "%s", f->result.err.msg);
	cr_expect(strstr(f->result.err.hint, "--downtime-ms"));
	cr_expect_eq(f->stops, 1, "halted for more than the rehearsal");
	check_world(f, "never enough");
	end_fake(f);
}

/* What the destination needed once, to answer at all, is not what the guest would be halted for. */
Test(live, a_late_first_answer)
{
	struct fake *f = new_fake(false);

	f->race = 1;	/* never is nothing left to send */
	f->late_ms = 400;
	f->opts.downtime_ms = 600;
	fake_run(f);
	cr_expect(f->result.end == MV_LIVE_MOVED && fake_same(f), "'%s'", f->result.err.msg);
	check_world(f, "a late first answer");
	end_fake(f);
}

Test(live, bandwidth_and_time)
{
	struct fake *f = new_fake(false);
	uint64_t begin = mv_io_now_ns(), ns;

	f->opts.bandwidth = 8 << 20;
	fake_run(f);
	ns = mv_io_now_ns() - begin;
	cr_expect_eq(f->result.end, MV_LIVE_MOVED);
	cr_expect(ns > f->io[SRC].sent * 100 / (8 << 20) * 7 * MS, "%llu ms for %llu bytes",
		  (unsigned long long)(ns / MS), (unsigned long long)f->io[SRC].sent);
	end_fake(f);

	f = new_fake(false);
	f->opts.bandwidth = 1 << 20;
	f->opts.timeout_ms = 100;
	fake_run(f);
	cr_expect_eq(f->result.end, MV_LIVE_FAILED);
	cr_expect(strstr(f->result.err.msg, "longer than 0.1 s"), "%s", f->result.err.msg);
	check_world(f, "too slow");
	end_fake(f);
}
