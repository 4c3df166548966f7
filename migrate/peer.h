/* SPDX-License-Identifier: MIT */
/*
 * What two hosts say to each other while a VM moves (docs/stream-format.md, section 9): short framed
 * messages in both directions, around and between the records of the live stream. The other side is
 * not trusted: sizes are checked before anything is allocated, text before anything shows it.
 */
#ifndef MV_MIGRATE_PEER_H
#define MV_MIGRATE_PEER_H

#include "frame.h"
#include "io.h"
#include "wire.h"

#define MV_PEER_VERSION 1
#define MV_PEER_MAX_REPORT (1u << 19)	/* bytes of each form of a refusal */

enum mv_peer_type {
	MV_PEER_HELLO = 0x1000,		/* both: who is there */
	MV_PEER_ACCEPT = 0x1010,	/* destination: the VM may come */
	MV_PEER_REFUSE = 0x1020,	/* destination: it may not, and why */
	MV_PEER_ROUND = 0x1030,		/* destination: has all pages of the round */
	MV_PEER_READY = 0x1040,		/* destination: has everything, and would run it */
	MV_PEER_GO = 0x1050,		/* source: will never run it again */
	MV_PEER_RUNNING = 0x1060,	/* destination: it runs */
	MV_PEER_FAILED = 0x1070,	/* destination: it can't go on */
};

enum mv_peer_role { MV_PEER_SOURCE = 1, MV_PEER_DESTINATION = 2 };

struct mv_peer_msg {
	uint32_t type;
	uint32_t version, role;		/* HELLO */
	char producer[64];
	uint64_t load_ns;		/* ACCEPT: what loading the state takes there */
	char *text, *json;		/* REFUSE: the report for people and for programs; owned */
	uint32_t round;			/* ROUND: its number, and pages so far */
	uint64_t pages;
	uint64_t records;		/* READY, GO: in the stream */
	char message[512];		/* FAILED: one line */
};

void mv_peer_msg_finish(struct mv_peer_msg *m);	/* accepts a zeroed one */

const char *mv_peer_name(uint32_t type);	/* "READY"; NULL: unknown */

/* Append the message. */
int mv_peer_put(struct mv_buf *out, const struct mv_peer_msg *m, struct mv_err *err);

/*
 * Reading one, without any I/O. head: the frame is sound, of a known type, and behind it come *rest
 * bytes, padding included. parse: the whole message; the caller finishes m in any case.
 */
int mv_peer_head(const uint8_t head[MV_FRAME_SIZE], size_t *rest, struct mv_err *err);
int mv_peer_parse(struct mv_peer_msg *m, const uint8_t *msg, size_t len, struct mv_err *err);

int mv_peer_send(struct mv_io *io, const struct mv_peer_msg *m, struct mv_err *err);
/*
 * Receive one of the two types, or FAILED, which becomes the error. The caller finishes m. -MV_E_INPUT:
 * what came makes no sense here.
 */
int mv_peer_recv(struct mv_io *io, struct mv_peer_msg *m, uint32_t type, uint32_t or_type,
		 struct mv_err *err);

#endif
