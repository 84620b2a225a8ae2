/* http.c and what it routes to: the answer to each request, on a connection that only writes it down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "asset.h"
#include "buf.h"
#include "echo.h"
#include "hello.h"
#include "http.h"

#define HOST " HTTP/1.1\r\nHost: a\r\n"
#define WEBSOCKET                                       \
	"Upgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define NO_SNIFF "X-Content-Type-Options: nosniff\r\n"
#define VARY     "Vary: Origin\r\n"
#define TEXT     "text/plain; charset=utf-8"

/* --- what stands in for the connection, the session and the hub --- */

struct conn {
	struct buf seen;
	bool full; /* its address has too many */
};

void conn_respond(struct conn *c, const struct http1_request *req, int status, const char *content_type,
                  const char *extra, struct bytes body)
{
	buf_putf(&c->seen, "%d %s|%s|%.*s", status, content_type != NULL ? content_type : "-",
	         extra != NULL ? extra : "(none)", BYTES_FMT(body));
}

void conn_upgrade(struct conn *c, const struct http1_request *req, const struct conn_websocket *ws)
{
	buf_putf(&c->seen, "upgrade to %s, at most %llu bytes", ws->app->name,
	         (unsigned long long)ws->max_message);
	if (ws->compression != NULL && ws->compression->enabled)
		buf_putf(&c->seen, ", compressed from %llu", (unsigned long long)ws->compression->min_size);
}

void session_upgrade(struct clients *clients, struct conn *c, const struct http1_request *req,
                     const struct session_params *params)
{
	buf_putf(&c->seen, "session%s%s", params->uni ? " uni" : "", params->native_ping ? " native" : "");
	if (params->cf_connect.ptr != NULL)
		buf_putf(&c->seen, " connect %.*s", BYTES_FMT(params->cf_connect));
}

bool conn_admit(struct conn *c, const struct http1_request *req)
{
	if (c->full)
		conn_respond(c, req, 429, "text/plain", NULL, BYTES("too many"));
	return !c->full;
}

void conn_send_message(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	struct frame *f = ws_frame_new(opcode, message);

	assert_non_null(f);
	buf_put(&c->seen, f->data, f->len);
	frame_unref(&f);
}

void conn_read_behind(struct conn *c, uint32_t bytes)
{
}

void conn_close(struct conn *c, uint16_t code, const char *reason, const char *fmt, ...)
{
	buf_putf(&c->seen, "close %u", code);
}

const char *conn_name(const struct conn *c)
{
	return "conn";
}

static const char *not_ready;

bool hub_ready(const struct hub *h, const char **reason)
{
	*reason = not_ready;
	return not_ready == NULL;
}

/* --- one request, one answer --- */

static char app_origin[] = "https://app.example.com";
static char *origins[] = {app_origin};
static char websocket_prefix[] = "/connection/websocket/";
static char uni_prefix[] = "/uni";
static struct config config;
static struct metrics_slot metrics[2];
static bool draining, full;
static struct buf answer;

static int reset(void **unused)
{
	config = (struct config){.dev = true};
	config.client.allowed_origins = (struct strings){origins, 1};
	config.websocket.handler_prefix = websocket_prefix;
	config.uni_websocket.handler_prefix = uni_prefix;
	config.uni_websocket.enabled = true;
	not_ready = NULL;
	draining = full = false;
	buf_init(&answer, 1 << 20);
	return 0;
}

static int release(void **unused)
{
	buf_free(&answer);
	return 0;
}

/* The answer to the request, a text that lives until the next. */
static const char *ask(const char *head)
{
	const struct http_params params = {.config = &config, .metrics = metrics, .metrics_count = 2};
	struct http *http = http_new(&params);
	struct conn c = {answer, full};
	struct http1_request req = {0};

	buf_reset(&c.seen);
	assert_int_equal(http1_parse(BYTES_OF_STR(head), &req), HTTP1_COMPLETE);
	http_handle(http, &c, &req, draining);
	buf_putc(&c.seen, '\0');
	assert_true(buf_ok(&c.seen));
	answer = c.seen;
	http_free(&http);
	return answer.data;
}

static void check(const char *head, const char *expected)
{
	assert_string_equal(ask(head), expected);
}

static void check_begins(const char *head, const char *expected)
{
	ask(head);
	answer.data[strlen(answer.data) < strlen(expected) ? 0 : strlen(expected)] = '\0';
	assert_string_equal(answer.data, expected);
}

static void test_paths_and_methods(void **unused)
{
	static const char not_found[] = "404 " TEXT "|" NO_SNIFF "|not found\n";

	check("GET /nothing" HOST "\r\n", not_found);
	check("POST /nothing" HOST "\r\n", not_found);
	check("GET /health" HOST "\r\n", not_found);
	check("GET /health/live/" HOST "\r\n", not_found);
	check("GET //health/live" HOST "\r\n", not_found);
	check("OPTIONS *" HOST "\r\n", not_found);
	check("POST /health/live" HOST "\r\n",
	      "405 " TEXT "|Allow: GET, HEAD, OPTIONS\r\n" NO_SNIFF VARY "|method not allowed\n");
	check("HEAD /echo" HOST "\r\n", "405 " TEXT "|Allow: GET\r\n" NO_SNIFF "|method not allowed\n");
	check("get /health/live" HOST "\r\n",
	      "405 " TEXT "|Allow: GET, HEAD, OPTIONS\r\n" NO_SNIFF VARY "|method not allowed\n");
}

static void test_health(void **unused)
{
	static const char head[] = "application/json|Cache-Control: no-store\r\n" NO_SNIFF VARY;
	char expected[256];

	snprintf(expected, sizeof(expected), "200 %s|{}\n", head);
	check("GET /health/live" HOST "\r\n", expected);
	check("HEAD /health/live?x" HOST "\r\n", expected);
	snprintf(expected, sizeof(expected), "200 %s|{\"ready\":true}\n", head);
	check("GET /health/ready" HOST "\r\n", expected);
	not_ready = "redis: \"gone\"";
	snprintf(expected, sizeof(expected), "503 %s|{\"ready\":false,\"reason\":\"redis: \\\"gone\\\"\"}\n",
	         head);
	check("GET /health/ready" HOST "\r\n", expected);
	draining = true;
	snprintf(expected, sizeof(expected), "503 %s|{\"ready\":false,\"reason\":\"draining\"}\n", head);
	check("GET /health/ready" HOST "\r\n", expected);
}

static void test_metrics(void **unused)
{
	check_begins("GET /metrics" HOST "\r\n", "200 text/plain; version=0.0.4");
	assert_true(answer.len > 1000);
}

static void test_sessions(void **unused)
{
	check("GET /connection/websocket" HOST WEBSOCKET "\r\n", "session");
	check("GET /connection/websocket?cf_ws_frame_ping_pong=true&cf_protocol_version=v2" HOST WEBSOCKET
	      "\r\n",
	      "session native");
	check("GET /connection/websocket?cf_ws_frame_ping_pong=false&cf_connect={}" HOST WEBSOCKET "\r\n",
	      "session");
	check("GET /uni" HOST WEBSOCKET "\r\n", "session uni");
	check("GET /uni?cf_connect=%7B%7D&cf_ws_frame_ping_pong=true" HOST WEBSOCKET "\r\n",
	      "session uni native connect {}");
	check("GET /uni?cf_connect=" HOST WEBSOCKET "\r\n", "session uni connect ");
	config.uni_websocket.enabled = false;
	check_begins("GET /uni" HOST WEBSOCKET "\r\n", "404 ");
}

static void test_protobuf_is_refused(void **unused)
{
	static const char refusal[] = "400 " TEXT "|" NO_SNIFF
				      "|the Protobuf protocol is not supported yet: use JSON\n";

	check("GET /connection/websocket?format=protobuf" HOST WEBSOCKET "\r\n", refusal);
	check("GET /connection/websocket?a=b&cf_protocol=protobuf" HOST WEBSOCKET "\r\n", refusal);
	check("GET /connection/websocket?format=json" HOST WEBSOCKET "\r\n", "session");
	check("GET /connection/websocket" HOST WEBSOCKET
	      "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n\r\n",
	      refusal);
	check("GET /connection/websocket" HOST WEBSOCKET
	      "Sec-WebSocket-Protocol: centrifuge-protobuf, centrifuge-json\r\n\r\n",
	      "session");
}

static void test_bad_handshakes(void **unused)
{
	static const char upgrade[] = "|Upgrade: websocket\r\nConnection: Upgrade\r\n"
				      "Sec-WebSocket-Version: 13\r\n" NO_SNIFF "|";
	char expected[256];

	snprintf(expected, sizeof(expected), "426 %s%sthis is a WebSocket endpoint\n", TEXT, upgrade);
	check("GET /connection/websocket" HOST "\r\n", expected);
	check("GET /echo" HOST "\r\n", expected);
	snprintf(expected, sizeof(expected),
	         "426 %s%sonly version 13 of the WebSocket protocol is spoken here\n", TEXT, upgrade);
	check("GET /uni" HOST "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n",
	      expected);
	check("GET /" HOST "Upgrade: websocket\r\n\r\n",
	      "400 " TEXT "|" NO_SNIFF "|Connection header without upgrade\n");
	check("HEAD /" HOST WEBSOCKET "\r\n",
	      "405 " TEXT "|Allow: GET\r\n" NO_SNIFF "|a WebSocket opens with GET\n");
}

static void test_origin(void **unused)
{
	static const char *const paths[] = {"/connection/websocket", "/uni", "/echo", "/"};
	char head[512];
	size_t i;

	for (i = 0; i < ARRAY_LEN(paths); i++) {
		snprintf(head, sizeof(head), "GET %s" HOST WEBSOCKET "Origin: https://evil.com\r\n\r\n",
		         paths[i]);
		check(head,
		      "403 " TEXT "|" NO_SNIFF "|origin https://evil.com is not in client.allowed_origins\n");
	}
	check("GET /uni" HOST WEBSOCKET "Origin: https://app.example.com\r\n\r\n", "session uni");
	check("GET /uni" HOST WEBSOCKET "Origin: https://app.example.com\r\nOrigin: https://evil.com\r\n\r\n",
	      "400 " TEXT "|" NO_SNIFF "|more than one Origin header\n");
	check_begins("GET /" HOST "Origin: https://evil.com\r\n\r\n", "200 ");
}

#define ALLOWED                                                    \
	"Access-Control-Allow-Origin: https://app.example.com\r\n" \
	"Access-Control-Allow-Credentials: true\r\n"
#define FROM_APP "Origin: https://app.example.com\r\n"

static void test_allowed_pages_may_read_the_answers(void **unused)
{
	static const char head[] = "200 application/json|Cache-Control: no-store\r\n" NO_SNIFF VARY;
	char expected[512];

	snprintf(expected, sizeof(expected), "%s" ALLOWED "|{}\n", head);
	check("GET /health/live" HOST FROM_APP "\r\n", expected);
	snprintf(expected, sizeof(expected), "%s|{}\n", head);
	check("GET /health/live" HOST "Origin: https://evil.com\r\n\r\n", expected);
	check("GET /health/live" HOST "Origin: null\r\n\r\n", expected);
	check("GET /health/live" HOST FROM_APP FROM_APP "\r\n", expected);
	assert_non_null(strstr(ask("POST /health/ready" HOST FROM_APP "\r\n"), VARY ALLOWED));
	assert_non_null(strstr(ask("GET /metrics" HOST FROM_APP "\r\n"), VARY ALLOWED));
	assert_null(strstr(ask("GET /nothing" HOST FROM_APP "\r\n"), "Access-Control"));
	assert_null(strstr(ask("GET /demo.js" HOST FROM_APP "\r\n"), "Access-Control"));
}

static void test_preflight(void **unused)
{
	static const char allow[] = "204 -|Allow: GET, HEAD, OPTIONS\r\n";
	static const char methods[] = "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n";
	static const char age[] = "Access-Control-Max-Age: 300\r\n";
	char expected[512];

	snprintf(expected, sizeof(expected), "%s%sAccess-Control-Allow-Headers: x-a, Content-Type\r\n%s%s|",
	         allow, methods, age, VARY ALLOWED);
	check("OPTIONS /health/live" HOST FROM_APP "Access-Control-Request-Method: GET\r\n"
	      "Access-Control-Request-Headers: x-a, Content-Type\r\n\r\n",
	      expected);
	snprintf(expected, sizeof(expected), "%s%s%s%s|", allow, methods, age, VARY ALLOWED);
	check("OPTIONS /health/live" HOST FROM_APP "\r\n", expected);
	check("OPTIONS /health/live" HOST FROM_APP "Access-Control-Request-Headers: x-a, b c\r\n\r\n",
	      expected);
	snprintf(expected, sizeof(expected), "%s" VARY "|", allow);
	check("OPTIONS /health/live" HOST "Origin: https://evil.com\r\n"
	      "Access-Control-Request-Method: GET\r\n\r\n",
	      expected);
	check("OPTIONS /health/live" HOST "\r\n", expected);
	check_begins("OPTIONS /connection/websocket" HOST FROM_APP "\r\n", "405 ");
	check_begins("OPTIONS /demo.js" HOST FROM_APP "\r\n", "405 ");
}

static void test_an_address_that_has_too_many_is_told(void **unused)
{
	full = true;
	check("GET /uni" HOST WEBSOCKET "\r\n", "429 text/plain|(none)|too many");
	check_begins("GET /uni" HOST WEBSOCKET "Origin: https://evil.com\r\n\r\n", "403 ");
	check_begins("GET /health/live" HOST "\r\n", "200 ");
}

static void test_apps(void **unused)
{
	check("GET /echo" HOST WEBSOCKET "\r\n",
	      "upgrade to echo, at most 33554432 bytes, compressed from 0");
	check("GET /echo?compression_min_size=1024" HOST WEBSOCKET "\r\n",
	      "upgrade to echo, at most 33554432 bytes, compressed from 1024");
	check("GET /" HOST WEBSOCKET "\r\n", "upgrade to hello, at most 65536 bytes");
}

static void test_pages(void **unused)
{
	check_begins("GET /" HOST "\r\n", "200 text/html; charset=utf-8|ETag: \"");
	check_begins("GET /index.html" HOST "\r\n", "200 text/html; charset=utf-8|ETag: \"");
	check_begins("GET /hello.html" HOST "\r\n", "200 text/html; charset=utf-8|ETag: \"");
	check_begins("HEAD /demo.js" HOST "\r\n", "200 text/javascript; charset=utf-8|ETag: \"");
	check_begins("GET /demo.css?v=1" HOST "\r\n", "200 text/css; charset=utf-8|ETag: \"");
	check_begins("GET /favicon.svg" HOST "\r\n", "200 image/svg+xml|ETag: \"");
	check_begins("GET /demo" HOST "\r\n", "404 ");
	check_begins("GET /../demo.js" HOST "\r\n", "404 ");
	check_begins("POST /demo.js" HOST "\r\n", "405 ");
	assert_non_null(strstr(ask("GET /demo.js" HOST "\r\n"),
	                       "Content-Security-Policy: default-src 'self'; connect-src 'self' ws: wss:;"));
}

static void test_page_is_not_sent_again(void **unused)
{
	const struct asset *page = asset_find(BYTES("/demo.js"));
	char head[512];

	assert_non_null(page);
	snprintf(head, sizeof(head), "GET /demo.js" HOST "If-None-Match: \"x\", W/%s\r\n\r\n", page->etag);
	check_begins(head, "304 -|ETag: \"");
	snprintf(head, sizeof(head), "GET /demo.js" HOST "If-None-Match: %s\r\n\r\n", page->etag);
	check_begins(head, "304 -|ETag: \"");
	check_begins("GET /demo.js" HOST "If-None-Match: \"0\"\r\n\r\n", "200 ");
}

static void test_dev_routes_are_for_dev(void **unused)
{
	config.dev = false;
	check_begins("GET /" HOST "\r\n", "404 ");
	check_begins("GET /" HOST WEBSOCKET "\r\n", "404 ");
	check_begins("GET /demo.js" HOST "\r\n", "404 ");
	check_begins("GET /echo" HOST WEBSOCKET "\r\n", "404 ");
	check_begins("GET /metrics" HOST "\r\n", "404 ");
	check_begins("GET /health/live" HOST "\r\n", "200 ");
	check("GET /connection/websocket" HOST WEBSOCKET "\r\n", "session");
}

static void check_app(const struct ws_app *app, enum ws_opcode opcode, struct bytes message,
                      struct bytes expected)
{
	struct conn c;

	buf_init(&c.seen, 1 << 18);
	app->on_open(&c);
	if (message.ptr != NULL)
		app->on_message(&c, opcode, message);
	app->on_close(&c);
	assert_int_equal(c.seen.len, expected.len);
	if (expected.len > 0)
		assert_memory_equal(c.seen.data, expected.ptr, expected.len);
	buf_free(&c.seen);
}

static void test_echo_app(void **unused)
{
	check_app(&echo_app, WS_TEXT, BYTES_NONE, BYTES_NONE);
	check_app(&echo_app, WS_TEXT, BYTES("abc"),
	          BYTES("\x81\x03"
	                "abc"));
	check_app(&echo_app, WS_BINARY, BYTES("\xff\0"), BYTES("\x82\x02\xff\0"));
	check_app(&echo_app, WS_TEXT, BYTES(""), BYTES("\x81\0"));
}

static void test_hello_app(void **unused)
{
	static char longest[HELLO_MAX_MESSAGE];
	struct conn c;

	check_app(&hello_app, WS_TEXT, BYTES_NONE, BYTES("\x81\x17Hi there, I am a server"));
	check_app(&hello_app, WS_TEXT, BYTES("abc"),
	          BYTES("\x81\x17Hi there, I am a server\x81\x16Hello, you sent -> abc"));
	check_app(&hello_app, WS_BINARY, BYTES("abc"), BYTES("\x81\x17Hi there, I am a server"));

	memset(longest, 'x', sizeof(longest));
	buf_init(&c.seen, 1 << 18);
	hello_app.on_message(&c, WS_TEXT, (struct bytes){longest, sizeof(longest)});
	assert_int_equal(c.seen.len, 10 + 19 + sizeof(longest));
	buf_free(&c.seen);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, release)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_paths_and_methods),
		TEST(test_health),
		TEST(test_metrics),
		TEST(test_sessions),
		TEST(test_protobuf_is_refused),
		TEST(test_bad_handshakes),
		TEST(test_origin),
		TEST(test_allowed_pages_may_read_the_answers),
		TEST(test_preflight),
		TEST(test_an_address_that_has_too_many_is_told),
		TEST(test_apps),
		TEST(test_pages),
		TEST(test_page_is_not_sent_again),
		TEST(test_dev_routes_are_for_dev),
		TEST(test_echo_app),
		TEST(test_hello_app),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
