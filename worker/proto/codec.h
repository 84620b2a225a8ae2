/* An encoding of the client protocol: JSON (codec_json.c), later Protobuf. The session works on struct
 * command, struct reply and struct push, and never sees an encoding. */
#pragma once

#include <stdbool.h>

#include "buf.h"
#include "bytes.h"
#include "command.h"
#include "ws_frame.h"

enum codec_result {
	CODEC_COMMAND, /* *cmd is filled */
	CODEC_END,     /* the message holds no more commands */
	CODEC_BAD,     /* not a command: fatal (3501) */
	CODEC_NO_MEMORY,
};

#define CODEC_SCRATCH_MAX(message_len) ((message_len) + 1025 * sizeof(struct subscribe_request))

struct codec {
	const char *subprotocol; /* "centrifuge-json" */
	enum ws_opcode opcode;   /* of what is sent */

	/* Takes the next command off the front of *rest, which is at first the whole WebSocket message (an
	 * empty one is CODEC_BAD). Borrowed slices in *cmd point into the message or into scratch, which is
	 * reset by each call; both must stay until the command is done with. What does not fit under the
	 * ceiling of scratch is CODEC_BAD, too: CODEC_SCRATCH_MAX() is enough for all but a connect with
	 * more than 1024 `subs`. */
	enum codec_result (*next)(struct bytes *rest, bool first, struct buf *scratch, struct command *cmd);
	/* A bare ConnectRequest, as unidirectional clients send it; false when it is none. */
	bool (*connect_request)(struct bytes message, struct buf *scratch, struct connect_request *out);

	/* Appends a publication as it stands in subscribe_result.publications, where any number of these
	 * texts stand one behind the other. */
	void (*put_publication)(struct buf *out, const struct publication *p);
	/* Each appends one message (JSON: without newline). */
	void (*put_reply)(struct buf *out, const struct reply *reply);
	/* `uni`: the bare push object that unidirectional clients get. */
	void (*put_push)(struct buf *out, const struct push *push, bool uni);
	void (*put_ping)(struct buf *out);
};

extern const struct codec codec_json;
