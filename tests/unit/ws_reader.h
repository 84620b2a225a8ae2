/* What reads WebSocket frames in the tests of ws_frame.c: each input is given whole, byte by byte and at
 * every split, and must give the same messages, control frames and failure. Included by one test program
 * each. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "ws_frame.h"

enum { BIG = 1 << 20 };

/* A connection in small: keeps unconsumed bytes and presents them again, puts the pieces of a message
 * together, and writes down what it saw. */
struct reader {
	struct ws_decoder decoder;
	struct buf pending;
	struct buf message;
	struct buf seen;
	bool in_message;
	bool failed;
};

struct rules {
	bool expect_mask;
	uint64_t max_message;
	bool deflate;
};

static void reader_init(struct reader *r, const struct rules *rules)
{
	ws_decoder_init(&r->decoder, rules->expect_mask, rules->max_message);
	if (rules->deflate)
		ws_decoder_take_compressed(&r->decoder);
	buf_init(&r->pending, BIG);
	buf_init(&r->message, BIG);
	buf_init(&r->seen, BIG);
	r->in_message = false;
	r->failed = false;
}

static void reader_free(struct reader *r)
{
	buf_free(&r->pending);
	buf_free(&r->message);
	buf_free(&r->seen);
}

static const char *opcode_name(enum ws_opcode opcode)
{
	switch (opcode) {
	case WS_TEXT: return "text";
	case WS_BINARY: return "binary";
	case WS_CLOSE: return "close";
	case WS_PING: return "ping";
	case WS_PONG: return "pong";
	default: return "?";
	}
}

static void note_piece(struct reader *r, const struct ws_piece *piece)
{
	assert_int_equal(piece->start, !r->in_message);
	r->in_message = !piece->end;
	buf_put_bytes(&r->message, piece->payload);
	if (!piece->end)
		return;
	buf_putf(&r->seen, "%s%s(", piece->compressed ? "compressed " : "", opcode_name(piece->opcode));
	buf_put_bytes(&r->seen, buf_bytes(&r->message));
	buf_puts(&r->seen, ") ");
	buf_reset(&r->message);
}

static void note_control(struct reader *r, const struct ws_piece *piece)
{
	buf_puts(&r->seen, opcode_name(piece->opcode));
	if (piece->opcode == WS_CLOSE)
		buf_putf(&r->seen, " %u", piece->code);
	buf_puts(&r->seen, "(");
	buf_put_bytes(&r->seen, piece->payload);
	buf_puts(&r->seen, ") ");
}

static bool read_one(struct reader *r)
{
	struct ws_piece piece;
	size_t used;
	enum ws_event event = ws_decode(&r->decoder, r->pending.data, r->pending.len, &used, &piece);

	assert_true(used <= r->pending.len);
	switch (event) {
	case WS_NEED_MORE: break;
	case WS_PIECE: note_piece(r, &piece); break;
	case WS_CONTROL: note_control(r, &piece); break;
	case WS_FAILED:
		buf_putf(&r->seen, "failed %u: %s", piece.code, piece.error);
		r->failed = true;
		break;
	}
	buf_consume(&r->pending, used);
	return event == WS_PIECE || event == WS_CONTROL;
}

static void reader_feed(struct reader *r, const char *data, size_t len)
{
	if (r->failed)
		return;
	buf_put(&r->pending, data, len);
	while (read_one(r))
		;
}

static void check_seen(struct reader *r, const char *expected)
{
	buf_putc(&r->seen, '\0');
	assert_true(buf_ok(&r->seen) && buf_ok(&r->message) && buf_ok(&r->pending));
	assert_string_equal(r->seen.data, expected);
	reader_free(r);
}

static const struct rules server = {true, BIG, false};
static const struct rules client = {false, BIG, false};
static const struct rules compressing = {true, 1000, true};

static void check_split(const struct rules *rules, struct bytes in, size_t at, const char *expected)
{
	struct reader r;

	reader_init(&r, rules);
	reader_feed(&r, in.ptr, at);
	reader_feed(&r, in.ptr + at, in.len - at);
	check_seen(&r, expected);
}

static void check_bytewise(const struct rules *rules, struct bytes in, const char *expected)
{
	struct reader r;
	size_t i;

	reader_init(&r, rules);
	for (i = 0; i < in.len; i++)
		reader_feed(&r, in.ptr + i, 1);
	check_seen(&r, expected);
}

/* Takes the input and frees it. */
static void check(const struct rules *rules, struct buf *in, const char *expected)
{
	size_t i;

	assert_true(buf_ok(in));
	check_bytewise(rules, buf_bytes(in), expected);
	for (i = 0; i <= in->len; i += i >= 512 && i + 64 < in->len ? 997 : 1)
		check_split(rules, buf_bytes(in), i < in->len ? i : in->len, expected);
	buf_free(in);
}

static struct buf input(void)
{
	struct buf in;

	buf_init(&in, BIG);
	return in;
}

static void put_len(struct buf *in, uint8_t mask_bit, uint64_t len)
{
	char header[WS_HEADER_MAX];
	size_t header_len = ws_encode_header(header, WS_TEXT, len);

	header[1] = (char)(header[1] | mask_bit);
	buf_put(in, header + 1, header_len - 1);
}

/* A masked frame with a first byte of any kind. */
static void put_frame(struct buf *in, uint8_t byte0, struct bytes payload)
{
	static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

	buf_putc(in, (char)byte0);
	put_len(in, 0x80, payload.len);
	buf_put(in, mask, sizeof(mask));
	buf_put_bytes(in, payload);
	if (payload.len > 0)
		ws_mask(in->data + in->len - payload.len, payload.len, mask, 0);
}

static void check_frame(uint8_t byte0, struct bytes payload, const char *expected)
{
	struct buf in = input();

	put_frame(&in, byte0, payload);
	check(&server, &in, expected);
}

static void check_raw(const struct rules *rules, struct bytes raw, const char *expected)
{
	struct buf in = input();

	buf_put_bytes(&in, raw);
	check(rules, &in, expected);
}
