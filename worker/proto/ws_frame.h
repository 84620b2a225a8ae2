/* WebSocket frames (RFC 6455, section 5): decoder and encoder. Pure: bytes in, pieces out; no buffer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"
#include "frame.h"

/* RFC 6455, 11.8. */
enum ws_opcode {
	WS_CONTINUATION = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xa,
};

/* RFC 6455, 7.4.1: the codes of the protocol itself; those of the application stand in codes.h. */
enum ws_close_code {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_PROTOCOL_ERROR = 1002,
	WS_CLOSE_NO_STATUS = 1005, /* never on the wire */
	WS_CLOSE_ABNORMAL = 1006,  /* never on the wire */
	WS_CLOSE_INVALID_DATA = 1007,
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_INTERNAL_ERROR = 1011,
};

enum { WS_HEADER_MAX = 14, WS_CONTROL_MAX = 125, WS_CLOSE_REASON_MAX = 123 };

/* Plain data: may be copied and written to another process. */
struct ws_decoder {
	uint64_t remaining;   /* payload bytes of the current data frame still to come */
	uint64_t message_len; /* payload bytes of the current message, all frames announced so far */
	uint64_t max_message;
	uint32_t mask_pos;
	uint32_t utf8; /* state of utf8.h over the current text message */
	uint8_t mask[4];
	uint8_t opcode; /* of the message in progress, 0 between messages */
	bool fin;       /* the current frame is the last of its message */
	bool in_frame;
	bool expect_mask; /* true in a server: clients must mask, and a server's frames must not be */
	bool started;     /* a piece of the current message was handed out */
	bool deflate;     /* permessage-deflate was agreed on */
	bool compressed;  /* the message in progress is */
	uint32_t frames;  /* begun; whoever counts them sets it back */
};

enum ws_event {
	WS_NEED_MORE, /* *used bytes (maybe none) were consumed: present the rest again, and more */
	WS_PIECE,     /* payload of a data message, in piece */
	WS_CONTROL,   /* a whole control frame, in piece */
	WS_FAILED,    /* close with piece->code and piece->error; the decoder must not be used again */
};

struct ws_piece {
	enum ws_opcode opcode; /* of the message (never WS_CONTINUATION), or of the control frame */
	struct bytes payload;  /* unmasked in place, inside what was passed in */
	bool start, end;       /* of the message: both for a message in one piece */
	bool compressed;       /* the payload is that of a compressed message (RFC 7692) */
	uint16_t code;         /* WS_FAILED: close code to send; WS_CLOSE: code received, 1005 if none */
	const char *error;     /* WS_FAILED: what was wrong, for close reason and log, a constant */
};

/* max_message: payload bytes of a whole message, over all its fragments; exactly that many are allowed. */
void ws_decoder_init(struct ws_decoder *d, bool expect_mask, uint64_t max_message);
/* Permessage-deflate was agreed on: messages may come compressed (RSV1 in their first frame), and are handed
 * out as they are. Whoever puts them together restores them (deflate.h) and then checks what cannot be told
 * before: the length, here bounded by inflater_payload_max(), and the UTF-8 of text. */
void ws_decoder_take_compressed(struct ws_decoder *d);
/* Whether it stands between two messages, and is as ws_decoder_init() and what was agreed on made it. */
bool ws_decoder_at_rest(const struct ws_decoder *d);

/* Takes the next piece from data[0..len), which is unmasked in place; *used says how many bytes were consumed
 * and need not be presented again. A data frame is handed out piecewise as it comes, an empty one if it
 * starts or ends a message. A control frame is handed out whole: an incomplete one, like an incomplete
 * header, is not consumed and has to be presented again from its start (139 bytes at most). Of a close frame
 * piece->code is the code, and the payload only the reason.
 *
 * Checks all that RFC 6455 demands of a peer: reserved bits and opcodes, masking, control
 * frames whole and short, fragments in order, minimal length encoding, UTF-8 of text messages as early as it
 * can be told (8.1) and of close reasons, close codes. A message over the limit fails with 1009 at its
 * header, before its payload is taken. */
enum ws_event ws_decode(struct ws_decoder *d, char *data, size_t len, size_t *used,
                        struct ws_piece *piece) MUST_CHECK;

/* Writes the header of an unfragmented, unmasked frame; returns its length. */
size_t ws_encode_header(char out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t payload_len);
/* A whole frame around a copy of the payload. NULL when there is no memory. */
struct frame *ws_frame_new(enum ws_opcode opcode, struct bytes payload) MUST_CHECK;
/* The same for a payload that deflater_message() made. */
struct frame *ws_frame_new_compressed(enum ws_opcode opcode, struct bytes payload) MUST_CHECK;
/* A close frame; the reason is cut at 123 bytes, not inside a character (5.5.1). Code 1005: no payload. */
struct frame *ws_frame_close(uint16_t code, const char *reason) MUST_CHECK;
/* Masks or unmasks in place, from position pos of the payload on (5.3). For clients, and for tests. */
void ws_mask(char *data, size_t len, const uint8_t mask[4], size_t pos);
