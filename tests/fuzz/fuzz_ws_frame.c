/* ws_frame.c: messages, control frames and failure are the same whole, byte by byte and in pieces; what is
 * not consumed is not touched; what the decoder promises about them holds; and each of them, encoded again,
 * is decoded to the same. */
#include "fuzz.h"

#include "deflate.h"
#include "utf8.h"
#include "ws_frame.h"

enum { MAX_MESSAGE = 1000, UNCONSUMED_MAX = 139 };
enum side { SERVER, CLIENT, SERVER_WITH_DEFLATE };

static void note(struct buf *seen, const struct ws_piece *piece, struct bytes payload)
{
	buf_putf(seen, "%d%d %u (", piece->opcode, piece->compressed, piece->code);
	buf_put_bytes(seen, payload);
	buf_puts(seen, ")\n");
}

static void check_encoded(enum ws_opcode opcode, struct bytes payload)
{
	struct frame *f = ws_frame_new(opcode, payload);
	struct ws_decoder d;
	struct ws_piece piece;
	size_t used;
	char *copy = fuzz_copy(f->data, f->len);
	enum ws_event event;

	ws_decoder_init(&d, false, MAX_MESSAGE);
	event = ws_decode(&d, copy, f->len, &used, &piece);
	CHECK(event == (opcode >= WS_CLOSE ? WS_CONTROL : WS_PIECE));
	CHECK(used == f->len && piece.opcode == opcode && bytes_eq(piece.payload, payload));
	CHECK(opcode >= WS_CLOSE || (piece.start && piece.end));
	mem_free(copy);
	frame_unref(&f);
}

static void take_piece(struct buf *seen, struct buf *message, struct ws_piece *piece)
{
	CHECK(piece->opcode == WS_TEXT || piece->opcode == WS_BINARY);
	piece->code = 0;
	buf_put_bytes(message, piece->payload);
	CHECK(message->len <= (piece->compressed ? inflater_payload_max(MAX_MESSAGE) : MAX_MESSAGE));
	if (!piece->end)
		return;
	if (!piece->compressed) {
		CHECK(piece->opcode != WS_TEXT || utf8_valid(buf_bytes(message)));
		check_encoded(piece->opcode, buf_bytes(message));
	}
	note(seen, piece, buf_bytes(message));
	buf_reset(message);
}

static void take_control(struct buf *seen, struct ws_piece *piece)
{
	CHECK(piece->payload.len <= WS_CONTROL_MAX);
	if (piece->opcode == WS_CLOSE) {
		CHECK(utf8_valid(piece->payload) && piece->code >= 1000 && piece->code < 5000);
	} else {
		piece->code = 0;
		check_encoded(piece->opcode, piece->payload);
	}
	note(seen, piece, piece->payload);
}

/* False when no more is to be had from these bytes. */
static bool take(struct buf *seen, struct buf *message, enum ws_event event, struct ws_piece *piece)
{
	switch (event) {
	case WS_NEED_MORE: return false;
	case WS_PIECE: take_piece(seen, message, piece); return true;
	case WS_CONTROL: take_control(seen, piece); return true;
	case WS_FAILED: buf_putf(seen, "failed %u: %s\n", piece->code, piece->error); return false;
	}
	return false;
}

static void decode(const uint8_t *data, size_t size, enum side side, unsigned way, struct buf *seen)
{
	char *copy = fuzz_copy(data, size);
	enum ws_event event = WS_NEED_MORE;
	struct ws_piece piece;
	struct ws_decoder d;
	struct buf message;
	size_t done = 0, used, end = 0;

	buf_init(&message, FUZZ_BUF_MAX);
	ws_decoder_init(&d, side != CLIENT, MAX_MESSAGE);
	if (side == SERVER_WITH_DEFLATE)
		ws_decoder_take_compressed(&d);
	while (end < size && event != WS_FAILED) {
		end = fuzz_cut(way, end, size);
		fuzz_show(copy, size, end);
		do {
			event = ws_decode(&d, copy + done, end - done, &used, &piece);
			CHECK(used <= end - done);
			if (event == WS_PIECE || event == WS_CONTROL)
				CHECK(piece.payload.len == 0 ||
				      (piece.payload.ptr >= copy + done &&
				       piece.payload.ptr + piece.payload.len <= copy + done + used));
			done += used;
			CHECK(event == WS_FAILED || memcmp(copy + done, data + done, end - done) == 0);
		} while (take(seen, &message, event, &piece));
		CHECK(event == WS_FAILED || end - done < UNCONSUMED_MAX);
	}
	fuzz_show(copy, size, size);
	buf_free(&message);
	mem_free(copy);
}

static void check_all_cuts(const uint8_t *data, size_t size, enum side side)
{
	struct buf whole, pieces;

	buf_init(&whole, FUZZ_BUF_MAX);
	buf_init(&pieces, FUZZ_BUF_MAX);
	decode(data, size, side, 0, &whole);
	for (unsigned way = 1; way < FUZZ_CUTS; way++) {
		buf_reset(&pieces);
		decode(data, size, side, way, &pieces);
		CHECK(fuzz_same(&whole, &pieces));
	}
	buf_free(&whole);
	buf_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_all_cuts(data, size, SERVER);
	check_all_cuts(data, size, CLIENT);
	check_all_cuts(data, size, SERVER_WITH_DEFLATE);
	return 0;
}
