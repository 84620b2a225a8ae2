/* ws_handshake.c: what RFC 6455, 4.2 asks of the opening handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ws_handshake.h"

#define START   "GET /x HTTP/1.1\r\nHost: a\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"

static struct http1_request req;

static void parse(const char *head)
{
	req.scanned = 0;
	assert_int_equal(http1_parse(BYTES_OF_STR(head), &req), HTTP1_COMPLETE);
}

static void check(const char *head, int status, const char *expected_error)
{
	const char *error = "none";

	parse(head);
	assert_int_equal(ws_handshake_check(&req, &error), status);
	assert_string_equal(error, expected_error);
}

static void test_good(void **unused)
{
	check(START UPGRADE KEY VERSION "\r\n", 0, "none");
	check(START "upgrade: WebSocket\r\nCONNECTION: keep-alive, upgrade\r\n" KEY VERSION "\r\n", 0,
	      "none");
	check(START "Upgrade: h2c, websocket\r\nConnection: a\r\nConnection: Upgrade\r\n" KEY VERSION
	            "Sec-WebSocket-Protocol:\r\n\r\n",
	      0, "none");
}

static void test_refused(void **unused)
{
	check("POST /x HTTP/1.1\r\nHost: a\r\n" UPGRADE KEY VERSION "\r\n", 405,
	      "a WebSocket opens with GET");
	check(START "\r\n", 426, "this is a WebSocket endpoint");
	check(START "Upgrade: websockets\r\nConnection: Upgrade\r\n" KEY VERSION "\r\n", 426,
	      "this is a WebSocket endpoint");
	check("GET /x HTTP/1.0\r\n" UPGRADE KEY VERSION "\r\n", 400, "a WebSocket needs HTTP/1.1");
	check(START "Upgrade: websocket\r\nConnection: close\r\n" KEY VERSION "\r\n", 400,
	      "Connection header without upgrade");
	check(START UPGRADE KEY VERSION "Content-Length: 1\r\n\r\n", 400, "upgrade with a body");
	check(START UPGRADE KEY VERSION "Transfer-Encoding: chunked\r\n\r\n", 400, "upgrade with a body");
}

static void test_version(void **unused)
{
	static const char old[] = "only version 13 of the WebSocket protocol is spoken here";
	static const char count[] = "not exactly one Sec-WebSocket-Version header";

	check(START UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426, old);
	check(START UPGRADE KEY "Sec-WebSocket-Version: 013\r\n\r\n", 426, old);
	check(START UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n\r\n", 426, old);
	check(START UPGRADE KEY "\r\n", 400, count);
	check(START UPGRADE KEY VERSION VERSION "\r\n", 400, count);
}

static void check_key(const char *key, bool good)
{
	char head[512];

	snprintf(head, sizeof(head), START UPGRADE VERSION "Sec-WebSocket-Key: %s\r\n\r\n", key);
	check(head, good ? 0 : 400, good ? "none" : "bad Sec-WebSocket-Key");
}

static void test_key(void **unused)
{
	check_key("x3JJHMbDL1EzLkh9GBhXDw==", true);
	check_key("ABCDEFGHIJKLMNOPQRST+/==", true);
	check_key("", false);
	check_key("dGhlIHNhbXBsZSBub25jZQ=", false);
	check_key("dGhlIHNhbXBsZSBub25jZQ===", false);
	check_key("dGhlIHNhbXBsZSBub25jZQAA", false);
	check_key("dGhlIHNhbXBsZSBub25j*Q==", false);
	check_key("dGhlIHNhbXBsZSBub25j=Q==", false);
	check(START UPGRADE VERSION "\r\n", 400, "not exactly one Sec-WebSocket-Key header");
	check(START UPGRADE VERSION KEY KEY "\r\n", 400, "not exactly one Sec-WebSocket-Key header");
}

static void test_wanted(void **unused)
{
	parse(START "Upgrade: WebSocket\r\n\r\n");
	assert_true(ws_handshake_wanted(&req));
	parse(START "Upgrade: h2c\r\n\r\n");
	assert_false(ws_handshake_wanted(&req));
}

/* 1.3 */
static void test_accept(void **unused)
{
	char accept[WS_ACCEPT_LEN];

	ws_handshake_accept(BYTES("dGhlIHNhbXBsZSBub25jZQ=="), accept);
	assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", WS_ACCEPT_LEN);
}

static void check_subprotocol(const char *headers, const char *expected)
{
	static const char *const known[] = {"centrifuge-json", "centrifuge-protobuf", NULL};
	const char *chosen;
	char head[512];

	snprintf(head, sizeof(head), START "%s\r\n", headers);
	parse(head);
	chosen = ws_handshake_subprotocol(&req, known);
	assert_string_equal(chosen != NULL ? chosen : "none", expected);
}

/* The client's order decides, not ours. */
static void test_subprotocol(void **unused)
{
	check_subprotocol("", "none");
	check_subprotocol("Sec-WebSocket-Protocol:\r\n", "none");
	check_subprotocol("Sec-WebSocket-Protocol: , ,\r\n", "none");
	check_subprotocol("Sec-WebSocket-Protocol: chat, Centrifuge-JSON\r\n", "none");
	check_subprotocol("Sec-WebSocket-Protocol: centrifuge-json\r\n", "centrifuge-json");
	check_subprotocol("Sec-WebSocket-Protocol: x ,centrifuge-protobuf , centrifuge-json\r\n",
	                  "centrifuge-protobuf");
	check_subprotocol("Sec-WebSocket-Protocol: x\r\nsec-websocket-protocol: centrifuge-json\r\n",
	                  "centrifuge-json");
}

static void check_response(const char *subprotocol, const char *expected)
{
	struct buf out;

	parse(START UPGRADE KEY VERSION "\r\n");
	buf_init(&out, 1000);
	ws_handshake_response(&out, &req, subprotocol, NULL);
	buf_putc(&out, '\0');
	assert_string_equal(out.data, expected);
	buf_free(&out);
}

static void test_response(void **unused)
{
	check_response(NULL,
	               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
	check_response("chat", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	                       "Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	                       "Sec-WebSocket-Protocol: chat\r\n\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),        cmocka_unit_test(test_refused),
		cmocka_unit_test(test_version),     cmocka_unit_test(test_key),
		cmocka_unit_test(test_wanted),      cmocka_unit_test(test_accept),
		cmocka_unit_test(test_subprotocol), cmocka_unit_test(test_response),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
