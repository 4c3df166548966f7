/* SPDX-License-Identifier: MIT */
/*
 * A message of the migration protocol from a hostile peer: its checksum is put right, so that what lies
 * behind it is reached. What parses has to be written as the same bytes again.
 */
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "fuzz.h"
#include "peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mv_buf again = { 0 };
	struct mv_peer_msg m;
	struct mv_err err = { 0 };
	uint8_t *msg;
	size_t rest;

	if (size < MV_FRAME_SIZE || mv_peer_head(data, &rest, &err))
		return 0;
	msg = malloc(size);
	if (!msg)
		return 0;
	memcpy(msg, data, size);
	fuzz_fix_frame(msg, size);
	if (mv_peer_parse(&m, msg, size, &err) == 0) {
		fuzz_accepted++;
		if (mv_peer_put(&again, &m, &err) || again.len != size || memcmp(again.data, msg, size))
			abort();
	}
	mv_peer_msg_finish(&m);
	mv_buf_finish(&again);
	free(msg);
	return 0;
}
