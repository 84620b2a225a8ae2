/* http1.c and ws_handshake.c: a head that grows is taken for the same as a whole one, at its last byte; its
 * parts are slices of it; a query's values are those of a plain decoder, and encoded again they are decoded
 * to the same; and a handshake is answered by a response that holds nothing of the request but the accept
 * key. */
#include "fuzz.h"

#include "deflate.h"
#include "http1.h"
#include "ws_handshake.h"

/* Everything that stands in the result. */
static void print(struct buf *out, const struct http1_request *req, enum http1_result result)
{
	buf_putf(out, "%d ", result);
	if (result == HTTP1_BAD)
		buf_putf(out, "%d %s", req->status, req->error);
	if (result != HTTP1_COMPLETE)
		return;
	buf_putf(out, "%zu %llu %d%d%d\n", req->head_len, (unsigned long long)req->content_length,
	         req->chunked, req->http_1_0, req->keep_alive);
	buf_putf(out, "%.*s|%.*s|%.*s|%.*s\n", BYTES_FMT(req->method), BYTES_FMT(req->target),
	         BYTES_FMT(req->path), BYTES_FMT(req->query));
	for (size_t i = 0; i < req->header_count; i++)
		buf_putf(out, "%.*s: %.*s\n", BYTES_FMT(req->headers[i].name),
		         BYTES_FMT(req->headers[i].value));
}

static void parse(const uint8_t *data, size_t size, unsigned way, struct buf *out)
{
	char *copy = fuzz_copy(data, size);
	struct http1_request req = {.scanned = 0};
	enum http1_result result = HTTP1_PARTIAL;

	for (size_t end = 0; end < size && result == HTTP1_PARTIAL;) {
		end = fuzz_cut(way, end, size);
		fuzz_show(copy, size, end);
		result = http1_parse((struct bytes){copy, end}, &req);
		CHECK(way != 1 || result != HTTP1_COMPLETE || req.head_len == end);
	}
	print(out, &req, result);
	fuzz_show(copy, size, size);
	mem_free(copy);
}

static void check_all_cuts(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;

	buf_init(&whole, FUZZ_BUF_MAX);
	buf_init(&pieces, FUZZ_BUF_MAX);
	parse(data, size, 0, &whole);
	for (unsigned way = 1; way < FUZZ_CUTS; way++) {
		buf_reset(&pieces);
		parse(data, size, way, &pieces);
		CHECK(fuzz_same(&whole, &pieces));
	}
	buf_free(&whole);
	buf_free(&pieces);
}

/* Of everything behind the name, up to its end. */
static bool decode_value(struct bytes raw, struct buf *out)
{
	for (size_t i = 0; i < raw.len; i++) {
		char hex[3] = "", *end;

		if (raw.ptr[i] != '%') {
			buf_putc(out, raw.ptr[i] == '+' ? ' ' : raw.ptr[i]);
			continue;
		}
		memcpy(hex, raw.ptr + i + 1, raw.len - i > 2 ? 2 : 0);
		if (strspn(hex, "0123456789abcdefABCDEF") != 2)
			return false;
		buf_putc(out, (char)strtoul(hex, &end, 16));
		i += 2;
	}
	return true;
}

static void check_query(struct bytes value)
{
	struct buf query, decoded, expected;
	bool plain = memchr(value.ptr, '&', value.len) == NULL, good;

	buf_init(&query, FUZZ_BUF_MAX);
	buf_init(&decoded, FUZZ_BUF_MAX);
	buf_init(&expected, FUZZ_BUF_MAX);
	buf_puts(&query, "other=%zz&n%61me=");
	buf_put_bytes(&query, value);
	good = http1_query(buf_bytes(&query), "name", &decoded);
	CHECK(good || decoded.len == 0);
	CHECK(!plain || decode_value(value, &expected) == good);
	CHECK(!plain || !good || fuzz_same(&decoded, &expected));
	buf_reset(&query);
	buf_puts(&query, "name=");
	for (size_t i = 0; i < decoded.len; i++)
		buf_putf(&query, "%%%02X", (uint8_t)decoded.data[i]);
	buf_reset(&expected);
	CHECK(!good || (http1_query(buf_bytes(&query), "name", &expected) && fuzz_same(&decoded, &expected)));
	buf_free(&query);
	buf_free(&decoded);
	buf_free(&expected);
}

static void check_slice(struct bytes slice, struct bytes head)
{
	CHECK(slice.len == 0 || (slice.ptr >= head.ptr && slice.ptr + slice.len <= head.ptr + head.len) ||
	      bytes_eq(slice, BYTES("/")));
	CHECK(memchr(slice.ptr != NULL ? slice.ptr : "", '\r', slice.len) == NULL);
}

static void check_lists(const struct http1_header *header)
{
	struct bytes list = header->value, element;

	CHECK(header->name.len > 0);
	while (http1_next_element(&list, &element))
		CHECK(element.len > 0 && memchr(element.ptr, ',', element.len) == NULL);
	CHECK(list.len == 0);
}

static void check_handshake(const struct http1_request *req)
{
	static const char *const known[] = {"centrifuge-json", "centrifuge-protobuf", NULL};
	static const char start[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
				    "Connection: Upgrade\r\nSec-WebSocket-Accept: ";
	const char *error = NULL, *subprotocol = ws_handshake_subprotocol(req, known);
	int status = ws_handshake_check(req, &error);
	struct deflate_agreed agreed;
	bool deflate = deflate_negotiate(req, &agreed);
	struct buf out;

	CHECK(!deflate || (agreed.window_bits >= DEFLATE_BITS_MIN && agreed.window_bits <= DEFLATE_BITS_MAX));
	CHECK(status == 0 || (error != NULL && status >= 400));
	if (status != 0)
		return;
	CHECK(ws_handshake_wanted(req) && http1_header_count(req, "Sec-WebSocket-Key") == 1);
	buf_init(&out, 1024);
	ws_handshake_response(&out, req, subprotocol, deflate ? &agreed : NULL);
	CHECK(buf_ok(&out) && bytes_start_with(buf_bytes(&out), BYTES(start)));
	CHECK(subprotocol != NULL || deflate || out.len == sizeof(start) - 1 + WS_ACCEPT_LEN + 4);
	buf_free(&out);
}

static void check_request(const struct http1_request *req, struct bytes data)
{
	struct bytes head = {data.ptr, req->head_len};

	CHECK(head.len >= 4 && head.len <= data.len && head.len <= HTTP1_MAX_HEAD);
	CHECK(memcmp(head.ptr + head.len - 4, "\r\n\r\n", 4) == 0);
	CHECK(!req->chunked || req->content_length == 0);
	check_slice(req->method, head);
	check_slice(req->target, head);
	check_slice(req->path, head);
	check_slice(req->query, head);
	for (size_t i = 0; i < req->header_count; i++) {
		check_slice(req->headers[i].name, head);
		check_slice(req->headers[i].value, head);
		check_lists(&req->headers[i]);
	}
	if (req->query.len > 0)
		check_query(req->query);
	check_handshake(req);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size);
	struct http1_request req = {.scanned = 0};

	check_all_cuts(data, size);
	if (http1_parse((struct bytes){copy, size}, &req) == HTTP1_COMPLETE)
		check_request(&req, (struct bytes){copy, size});
	check_query((struct bytes){copy, size});
	mem_free(copy);
	return 0;
}
