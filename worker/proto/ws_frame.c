/* Decoder and encoder of WebSocket frames. Knows neither sockets nor handshakes, and of permessage-deflate no
 * more than its bit. */
#include "ws_frame.h"

#include <string.h>

#include "deflate.h"
#include "utf8.h"

enum {
	BYTE0_FIN = 0x80,
	BYTE0_RSV = 0x70,
	BYTE0_RSV1 = 0x40, /* compressed (RFC 7692, section 6) */
	BYTE0_OPCODE = 0x0f,
	BYTE0_CONTROL = 0x08,
	BYTE1_MASKED = 0x80,
	BYTE1_LEN = 0x7f,
	LEN_IN_2_BYTES = 126,
	LEN_IN_8_BYTES = 127,
	MASK_STRIDE = 16,
};

struct header {
	bool fin;
	bool control;
	bool compressed; /* the first frame of a compressed message */
	uint8_t opcode;
	uint8_t mask[4]; /* zeros when not masked: masking with them changes nothing */
	uint64_t payload_len;
	size_t len;
};

enum header_result { HEADER_PARTIAL, HEADER_COMPLETE, HEADER_BAD };

void ws_decoder_init(struct ws_decoder *d, bool expect_mask, uint64_t max_message)
{
	*d = (struct ws_decoder){.max_message = max_message, .utf8 = UTF8_START, .expect_mask = expect_mask};
}

void ws_decoder_take_compressed(struct ws_decoder *d)
{
	d->deflate = true;
}

bool ws_decoder_at_rest(const struct ws_decoder *d)
{
	return d->opcode == 0 && !d->in_frame && d->frames == 0;
}

void ws_mask(char *data, size_t len, const uint8_t mask[4], size_t pos)
{
	uint8_t pattern[MASK_STRIDE] = {0};

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = mask[(pos + i) & 3];
	for (; len >= sizeof(pattern); data += sizeof(pattern), len -= sizeof(pattern)) {
		uint64_t words[2];
		uint64_t keys[2];

		memcpy(words, data, sizeof(words));
		memcpy(keys, pattern, sizeof(keys));
		words[0] ^= keys[0];
		words[1] ^= keys[1];
		memcpy(data, words, sizeof(words));
	}
	for (size_t i = 0; i < len; i++)
		data[i] = (char)((uint8_t)data[i] ^ pattern[i]);
}

static enum ws_event failed(struct ws_piece *piece, uint16_t code, const char *error)
{
	*piece = (struct ws_piece){.code = code, .error = error};
	return WS_FAILED;
}

/* What is wrong with the first byte of a header; NULL when nothing is. */
static const char *check_byte0(const struct ws_decoder *d, uint8_t byte)
{
	uint8_t opcode = byte & BYTE0_OPCODE;
	bool starts_message = opcode == WS_TEXT || opcode == WS_BINARY;

	if (byte & (d->deflate && starts_message ? BYTE0_RSV & ~BYTE0_RSV1 : BYTE0_RSV))
		return "reserved bits are set";
	switch (opcode) {
	case WS_CONTINUATION: return d->opcode != 0 ? NULL : "continuation of no message";
	case WS_TEXT:
	case WS_BINARY: return d->opcode == 0 ? NULL : "new message inside a fragmented one";
	case WS_CLOSE:
	case WS_PING:
	case WS_PONG: return byte & BYTE0_FIN ? NULL : "fragmented control frame";
	default: return "reserved opcode";
	}
}

static const char *check_byte1(const struct ws_decoder *d, uint8_t byte, bool control)
{
	bool masked = byte & BYTE1_MASKED;

	if (masked != d->expect_mask)
		return masked ? "frame is masked" : "frame is not masked";
	if (control && (byte & BYTE1_LEN) > WS_CONTROL_MAX)
		return "control frame is too long";
	return NULL;
}

static uint64_t read_big_endian(const uint8_t *p, size_t len)
{
	uint64_t n = 0;

	while (len-- > 0)
		n = n << 8 | *p++;
	return n;
}

static const char *check_long_len(uint64_t payload_len, size_t len_bytes)
{
	if (len_bytes == 8 && payload_len >> 63)
		return "top bit of the payload length is set";
	if (payload_len < LEN_IN_2_BYTES || (len_bytes == 8 && payload_len <= UINT16_MAX))
		return "payload length is not minimally encoded";
	return NULL;
}

static size_t extra_len_bytes(uint8_t len_field)
{
	if (len_field == LEN_IN_8_BYTES)
		return 8;
	return len_field == LEN_IN_2_BYTES ? 2 : 0;
}

static uint64_t max_payload(const struct ws_decoder *d, const struct header *h)
{
	return h->compressed || d->compressed ? inflater_payload_max(d->max_message) : d->max_message;
}

/* The header's length, once its bytes from the third on are there. Too long a message is refused here, before
 * even the mask has come. */
static enum header_result read_payload_len(const struct ws_decoder *d, const uint8_t *p, size_t len,
                                           struct header *h, struct ws_piece *piece)
{
	size_t len_bytes = extra_len_bytes(p[1] & BYTE1_LEN);
	const char *error = NULL;

	if (len < 2 + len_bytes)
		return HEADER_PARTIAL;
	h->payload_len = len_bytes == 0 ? p[1] & BYTE1_LEN : read_big_endian(p + 2, len_bytes);
	h->len = 2 + len_bytes;
	if (len_bytes != 0)
		error = check_long_len(h->payload_len, len_bytes);
	if (error != NULL) {
		failed(piece, WS_CLOSE_PROTOCOL_ERROR, error);
		return HEADER_BAD;
	}
	if (!h->control && h->payload_len > max_payload(d, h) - d->message_len) {
		failed(piece, WS_CLOSE_TOO_BIG, "message is too big");
		return HEADER_BAD;
	}
	return HEADER_COMPLETE;
}

/* Each byte is judged as soon as it is there: a broken frame fails before the peer has sent it all. */
static enum header_result read_header(const struct ws_decoder *d, const uint8_t *p, size_t len,
                                      struct header *h, struct ws_piece *piece)
{
	enum header_result result;
	const char *error = NULL;

	*h = (struct header){0};
	if (len >= 1)
		error = check_byte0(d, p[0]);
	if (len >= 2 && error == NULL)
		error = check_byte1(d, p[1], p[0] & BYTE0_CONTROL);
	if (error != NULL) {
		failed(piece, WS_CLOSE_PROTOCOL_ERROR, error);
		return HEADER_BAD;
	}
	if (len < 2)
		return HEADER_PARTIAL;

	h->fin = p[0] & BYTE0_FIN;
	h->control = p[0] & BYTE0_CONTROL;
	h->compressed = p[0] & BYTE0_RSV1;
	h->opcode = p[0] & BYTE0_OPCODE;
	result = read_payload_len(d, p, len, h, piece);
	if (result != HEADER_COMPLETE || !d->expect_mask)
		return result;
	if (len - h->len < sizeof(h->mask))
		return HEADER_PARTIAL;
	memcpy(h->mask, p + h->len, sizeof(h->mask));
	h->len += sizeof(h->mask);
	return HEADER_COMPLETE;
}

/* 7.4 and the registry of close codes of IANA (11.7): what a peer may put on the wire. */
static bool close_code_valid(uint16_t code)
{
	if (code >= 3000)
		return code <= 4999;
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

static enum ws_event read_close(struct ws_piece *piece)
{
	const uint8_t *p = (const uint8_t *)piece->payload.ptr;

	piece->code = WS_CLOSE_NO_STATUS;
	if (piece->payload.len == 0)
		return WS_CONTROL;
	if (piece->payload.len == 1)
		return failed(piece, WS_CLOSE_PROTOCOL_ERROR, "close frame with half a code");
	piece->code = (uint16_t)(p[0] << 8 | p[1]);
	if (!close_code_valid(piece->code))
		return failed(piece, WS_CLOSE_PROTOCOL_ERROR, "invalid close code");
	piece->payload = bytes_skip(piece->payload, 2);
	if (!utf8_valid(piece->payload))
		return failed(piece, WS_CLOSE_INVALID_DATA, "close reason is not UTF-8");
	return WS_CONTROL;
}

static enum ws_event take_control(struct ws_decoder *d, const struct header *h, char *data, size_t len,
                                  size_t *used, struct ws_piece *piece)
{
	char *payload = data + h->len;
	size_t payload_len = (size_t)h->payload_len;

	if (len - h->len < payload_len)
		return WS_NEED_MORE;
	d->frames++;
	ws_mask(payload, payload_len, h->mask, 0);
	*used += h->len + payload_len;
	*piece = (struct ws_piece){.opcode = h->opcode, .payload = {payload, payload_len}};
	piece->start = piece->end = true;
	return h->opcode == WS_CLOSE ? read_close(piece) : WS_CONTROL;
}

static void begin_data_frame(struct ws_decoder *d, const struct header *h)
{
	d->frames++;
	if (h->opcode != WS_CONTINUATION) {
		d->opcode = h->opcode;
		d->compressed = h->compressed;
	}
	d->fin = h->fin;
	d->remaining = h->payload_len;
	d->message_len += h->payload_len;
	memcpy(d->mask, h->mask, sizeof(d->mask));
	d->mask_pos = 0;
	/* An empty frame in the middle of a message is nothing at all. */
	d->in_frame = h->payload_len > 0 || h->fin || !d->started;
}

static bool text_valid_so_far(struct ws_decoder *d, const struct ws_piece *piece)
{
	d->utf8 = utf8_continue(d->utf8, piece->payload);
	return d->utf8 != UTF8_INVALID && (!piece->end || d->utf8 == UTF8_START);
}

static void end_message(struct ws_decoder *d)
{
	d->opcode = 0;
	d->compressed = false;
	d->message_len = 0;
	d->started = false;
}

static enum ws_event take_data(struct ws_decoder *d, char *data, size_t len, size_t *used,
                               struct ws_piece *piece)
{
	size_t n = len < d->remaining ? len : (size_t)d->remaining;

	if (n == 0 && d->remaining > 0)
		return WS_NEED_MORE;
	if (d->expect_mask)
		ws_mask(data, n, d->mask, d->mask_pos);
	d->mask_pos = (uint32_t)((d->mask_pos + n) & 3);
	d->remaining -= n;
	d->in_frame = d->remaining > 0;
	*used += n;

	*piece = (struct ws_piece){.opcode = d->opcode, .payload = {data, n}, .start = !d->started};
	piece->end = d->fin && !d->in_frame;
	piece->compressed = d->compressed;
	d->started = true;
	if (d->opcode == WS_TEXT && !d->compressed && !text_valid_so_far(d, piece))
		return failed(piece, WS_CLOSE_INVALID_DATA, "text is not UTF-8");
	if (piece->end)
		end_message(d);
	return WS_PIECE;
}

enum ws_event ws_decode(struct ws_decoder *d, char *data, size_t len, size_t *used, struct ws_piece *piece)
{
	struct header h;

	*used = 0;
	if (len == 0)
		return WS_NEED_MORE;
	while (!d->in_frame) {
		char *at = data + *used;
		size_t left = len - *used;

		switch (read_header(d, (const uint8_t *)at, left, &h, piece)) {
		case HEADER_PARTIAL: return WS_NEED_MORE;
		case HEADER_BAD: return WS_FAILED;
		case HEADER_COMPLETE: break;
		}
		if (h.control)
			return take_control(d, &h, at, left, used, piece);
		begin_data_frame(d, &h);
		*used += h.len;
	}
	return take_data(d, data + *used, len - *used, used, piece);
}

static size_t put_big_endian(char *out, uint64_t n, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (char)(n >> 8 * (len - 1 - i) & 0xff);
	return len;
}

size_t ws_encode_header(char out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t payload_len)
{
	out[0] = (char)(BYTE0_FIN | opcode);
	if (payload_len < LEN_IN_2_BYTES) {
		out[1] = (char)payload_len;
		return 2;
	}
	if (payload_len <= UINT16_MAX) {
		out[1] = LEN_IN_2_BYTES;
		return 2 + put_big_endian(out + 2, payload_len, 2);
	}
	out[1] = LEN_IN_8_BYTES;
	return 2 + put_big_endian(out + 2, payload_len, 8);
}

static struct frame *new_frame(enum ws_opcode opcode, uint8_t flags, struct bytes payload)
{
	char header[WS_HEADER_MAX];
	size_t header_len = ws_encode_header(header, opcode, payload.len);
	struct frame *f;

	if (payload.len > SIZE_MAX - header_len)
		return NULL;
	f = frame_new(header_len + payload.len);
	if (f == NULL)
		return NULL;
	memcpy(f->data, header, header_len);
	f->data[0] = (char)((uint8_t)f->data[0] | flags);
	if (payload.len > 0)
		memcpy(f->data + header_len, payload.ptr, payload.len);
	return f;
}

struct frame *ws_frame_new(enum ws_opcode opcode, struct bytes payload)
{
	return new_frame(opcode, 0, payload);
}

struct frame *ws_frame_new_compressed(enum ws_opcode opcode, struct bytes payload)
{
	return new_frame(opcode, BYTE0_RSV1, payload);
}

static size_t reason_len(const char *reason)
{
	size_t len = strnlen(reason, WS_CLOSE_REASON_MAX + 1);

	if (len <= WS_CLOSE_REASON_MAX)
		return len;
	len = WS_CLOSE_REASON_MAX;
	while (len > 0 && (reason[len] & 0xc0) == 0x80)
		len--;
	return len;
}

struct frame *ws_frame_close(uint16_t code, const char *reason)
{
	char payload[WS_CONTROL_MAX];
	size_t len;

	if (code == WS_CLOSE_NO_STATUS)
		return ws_frame_new(WS_CLOSE, BYTES_NONE);
	len = put_big_endian(payload, code, 2);
	memcpy(payload + len, reason, reason_len(reason));
	len += reason_len(reason);
	return ws_frame_new(WS_CLOSE, (struct bytes){payload, len});
}
