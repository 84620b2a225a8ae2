/* http1.c: the request heads that are fine and the ones that must be refused, each whole, byte by byte and at
 * every split with the same result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http1.h"

enum { BIG = 1 << 16 };

/* "complete", "partial" or "400: what was wrong", and what was read, in one line. */
static void describe(enum http1_result result, const struct http1_request *req, struct buf *out)
{
	size_t i;

	switch (result) {
	case HTTP1_PARTIAL: buf_puts(out, "partial"); break;
	case HTTP1_BAD: buf_putf(out, "%d: %s", req->status, req->error); break;
	case HTTP1_COMPLETE:
		buf_putf(out, "%.*s|%.*s|%.*s|%.*s", BYTES_FMT(req->method), BYTES_FMT(req->target),
		         BYTES_FMT(req->path), BYTES_FMT(req->query));
		for (i = 0; i < req->header_count; i++)
			buf_putf(out, "|%.*s=%.*s", BYTES_FMT(req->headers[i].name),
			         BYTES_FMT(req->headers[i].value));
		buf_putf(out, "|length %llu%s%s%s|head %zu", (unsigned long long)req->content_length,
		         req->chunked ? " chunked" : "", req->http_1_0 ? " 1.0" : "",
		         req->keep_alive ? " keep" : "", req->head_len);
		break;
	}
	buf_putc(out, '\0');
	assert_true(buf_ok(out));
}

/* Presents the first `at` bytes, then more of them each time, as a connection does. */
static void parse_growing(struct bytes data, size_t at, size_t step, struct buf *out)
{
	static struct http1_request req;
	enum http1_result result;

	req.scanned = 0;
	for (;;) {
		result = http1_parse((struct bytes){data.ptr, at}, &req);
		if (result != HTTP1_PARTIAL || at == data.len)
			break;
		at = at + step < data.len ? at + step : data.len;
	}
	buf_reset(out);
	describe(result, &req, out);
}

static void check_bytes(struct bytes data, const char *expected)
{
	struct buf seen;
	size_t at;

	buf_init(&seen, BIG);
	parse_growing(data, data.len, 0, &seen);
	assert_string_equal(seen.data, expected);
	parse_growing(data, 0, 1, &seen);
	assert_string_equal(seen.data, expected);
	for (at = 0; at<data.len; at += data.len> 2000 ? 101 : 1) {
		parse_growing(data, at, data.len, &seen);
		assert_string_equal(seen.data, expected);
	}
	buf_free(&seen);
}

static void check(const char *data, const char *expected)
{
	check_bytes(BYTES_OF_STR(data), expected);
}

/* A head with one more header line. */
static void check_line(const char *line, const char *expected)
{
	char head[512];

	snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", line);
	check(head, expected);
}

static void test_good_heads(void **unused)
{
	check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET|/|/||Host=a|length 0 keep|head 27");
	check("GET /a/b?x=1&y=%20?z HTTP/1.1\r\nhost:a:80\r\nX-Empty:\r\nx:\t y z \t\r\n\r\n",
	      "GET|/a/b?x=1&y=%20?z|/a/b|x=1&y=%20?z|host=a:80|X-Empty=|x=y z|length 0 keep|head 65");
	check("POST /? HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 17\r\n\r\n",
	      "POST|/?|/||Host=[::1]:80|Content-Length=17|length 17 keep|head 56");
	check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
	      "POST|/|/||Host=a|Transfer-Encoding=Chunked|length 0 chunked keep|head 56");
	check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS|*|*||Host=a|length 0 keep|head 31");
	check("GET / HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9 \"q\"\r\n\r\n",
	      "GET|/|/||Host=a|X=caf\xc3\xa9 \"q\"|length 0 keep|head 41");
}

static void test_versions_and_keep_alive(void **unused)
{
	check("GET / HTTP/1.0\r\n\r\n", "GET|/|/||length 0 1.0|head 18");
	check("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
	      "GET|/|/||Connection=Keep-Alive|length 0 1.0 keep|head 42");
	check("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n",
	      "GET|/|/||Host=a|Connection=x, CLOSE|length 0|head 49");
	check("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "GET|/|/||Host=a|length 0 keep|head 27");
	check("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505: HTTP version is not supported");
	check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400: bad request target");
	check("GET / HTTP/1.1x\r\nHost: a\r\n\r\n", "400: bad HTTP version");
	check("GET / http/1.1\r\nHost: a\r\n\r\n", "400: bad HTTP version");
	check("GET / HTTP/11\r\nHost: a\r\n\r\n", "400: bad HTTP version");
	check("GET /\r\nHost: a\r\n\r\n", "400: bad request line");
}

static void test_absolute_form(void **unused)
{
	check("GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
	      "GET|http://a/b?c|/b|c|Host=a|length 0 keep|head 38");
	check("GET HTTPS://a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
	      "GET|HTTPS://a:443|/||Host=a|length 0 keep|head 39");
	check("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n",
	      "GET|http://a?q|/|q|Host=a|length 0 keep|head 36");
	check("GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad authority in the request target");
	check("GET http://u@a/b HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad authority in the request target");
	check("GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad request target");
	check("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad request target");
	check("GET b HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad request target");
	check("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad request target");
}

static void test_pipelined_bytes_are_not_part_of_the_head(void **unused)
{
	static struct http1_request req;
	struct bytes data = BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET \n\0 whatever");

	req.scanned = 0;
	assert_int_equal(http1_parse(data, &req), HTTP1_COMPLETE);
	assert_int_equal(req.head_len, 27);
}

static void test_request_line(void **unused)
{
	check("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad method");
	check(" / HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad method");
	check("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad request target");
	check("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400: bad HTTP version");
	check("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad HTTP version");
	check("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad request line");
	check("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad character in the request target");
	check("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad character in the request target");
	check("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "400: bad character in the request target");
	check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400: empty request line");
}

static void test_line_ends_and_control_characters(void **unused)
{
	check("GET / HTTP/1.1\nHost: a\n\n", "400: line ends without CR");
	check("GET / HTTP/1.1\r\nHost: a\n\r\n", "400: line ends without CR");
	check("GET / HTTP/1.1\r\nHost: a\r\n\n", "400: line ends without CR");
	check("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", "400: CR without LF");
	check("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "400: CR without LF");
	check("GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", "400: control character in the head");
	check("GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", "400: control character in the head");
	check("\x16\x03\x01", "400: control character in the head");
	check_bytes(BYTES("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"),
	            "400: control character in the head");
	check_bytes(BYTES("GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n"),
	            "400: control character in the head");
}

static void test_header_lines(void **unused)
{
	check_line("X: a\r\n folded", "400: folded header line");
	check_line("X: a\r\n\tfolded", "400: folded header line");
	check("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400: folded header line");
	check_line("no colon", "400: header without colon");
	check_line(": no name", "400: bad header name");
	check_line("X : y", "400: bad header name");
	check_line("X\t: y", "400: bad header name");
	check_line("X Y: z", "400: bad header name");
	check_line("X(y): z", "400: bad header name");
	check_line("caf\xc3\xa9: z", "400: bad header name");
}

static void test_host(void **unused)
{
	check("GET / HTTP/1.1\r\n\r\n", "400: no Host header");
	check("GET http://a/ HTTP/1.1\r\n\r\n", "400: no Host header");
	check_line("Host: a", "400: more than one Host header");
	check_line("HOST: b", "400: more than one Host header");
	check("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400: bad Host header");
	check("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400: bad Host header");
	check("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "400: bad Host header");
	check("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400: bad Host header");
}

static void test_body_lengths(void **unused)
{
	check_line("Content-Length: 5\r\ncontent-length: 6", "400: differing Content-Lengths");
	check_line("Content-Length: 5, 5", "400: bad Content-Length");
	check_line("Content-Length:", "400: bad Content-Length");
	check_line("Content-Length: +5", "400: bad Content-Length");
	check_line("Content-Length: -5", "400: bad Content-Length");
	check_line("Content-Length: 0x5", "400: bad Content-Length");
	check_line("Content-Length: 5 5", "400: bad Content-Length");
	check_line("Content-Length: 18446744073709551616", "400: bad Content-Length");
	check_line("Content-Length: 5\r\nTransfer-Encoding: chunked",
	           "400: Transfer-Encoding and Content-Length");
	check_line("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "400: bad Transfer-Encoding");
	check_line("Transfer-Encoding:", "400: bad Transfer-Encoding");
	check_line("Transfer-Encoding: gzip", "501: transfer coding is not supported");
	check_line("Transfer-Encoding: gzip, chunked", "501: transfer coding is not supported");
	check_line("Transfer-Encoding: xchunked", "501: transfer coding is not supported");
	check("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400: Transfer-Encoding in HTTP/1.0");
	check_line("Content-Length: 18446744073709551615\r\nContent-Length: 18446744073709551615",
	           "GET|/|/||Host=a|Content-Length=18446744073709551615|"
	           "Content-Length=18446744073709551615|length 18446744073709551615 keep|head 103");
}

static void test_limits(void **unused)
{
	struct buf in;
	int i;

	buf_init(&in, BIG);
	buf_puts(&in, "GET /");
	while (in.len < 8192)
		buf_putc(&in, 'a');
	check_bytes(buf_bytes(&in), "partial");
	buf_puts(&in, "a HTTP/1.1\r\nHost: a\r\n\r\n");
	check_bytes(buf_bytes(&in), "414: request line is too long");

	buf_reset(&in);
	buf_puts(&in, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	while (in.len < HTTP1_MAX_HEAD)
		buf_putc(&in, 'a');
	check_bytes(buf_bytes(&in), "partial");
	buf_puts(&in, "a\r\n\r\n");
	check_bytes(buf_bytes(&in), "431: request head is too long");

	buf_reset(&in);
	buf_puts(&in, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (i = 1; i <= HTTP1_MAX_HEADERS; i++)
		buf_puts(&in, "X: y\r\n");
	buf_puts(&in, "\r\n");
	check_bytes(buf_bytes(&in), "431: too many headers");
	assert_true(buf_ok(&in));
	buf_free(&in);
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* A good head with some bytes changed: whatever it becomes, the verdict does not depend on how it came. */
static void test_damaged_heads_at_every_split(void **unused)
{
	static const char good[] = "GET http://a/b?c=d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
				   "Connection: close\r\nX: y z\r\n\r\nhello";
	static const char likely[] = "\r\n :\t/?#\0\x7f\x80,0Ga";
	uint32_t random = 2463534242;
	struct buf seen;
	int round;

	buf_init(&seen, BIG);
	for (round = 0; round < 3000; round++) {
		char head[sizeof(good)];
		uint32_t changes = 1 + next_random(&random) % 3;

		memcpy(head, good, sizeof(good));
		while (changes-- > 0)
			head[next_random(&random) % sizeof(good)] =
				likely[next_random(&random) % sizeof(likely)];
		parse_growing((struct bytes){head, sizeof(head)}, sizeof(head), 0, &seen);
		check_bytes((struct bytes){head, sizeof(head)}, seen.data);
	}
	buf_free(&seen);
}

static void test_header_lookup(void **unused)
{
	static struct http1_request req;
	struct bytes data = BYTES("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive , Upgrade\r\n"
	                          "x: 1\r\nX: 2\r\nconnection: ,,other\r\n\r\n");

	req.scanned = 0;
	assert_int_equal(http1_parse(data, &req), HTTP1_COMPLETE);
	assert_true(bytes_eq(*http1_header(&req, "X"), BYTES("1")));
	assert_int_equal(http1_header_count(&req, "X"), 2);
	assert_null(http1_header(&req, "Y"));
	assert_true(http1_header_has_token(&req, "Connection", "upgrade"));
	assert_true(http1_header_has_token(&req, "CONNECTION", "Other"));
	assert_false(http1_header_has_token(&req, "Connection", "up"));
	assert_false(http1_header_has_token(&req, "Connection", ""));
	assert_false(http1_header_has_token(&req, "Upgrade", "websocket"));
}

static void check_query(const char *query, const char *name, const char *expected)
{
	struct buf out;
	bool found;

	buf_init(&out, BIG);
	buf_puts(&out, "<");
	found = http1_query(BYTES_OF_STR(query), name, &out);
	assert_int_equal(found, expected != NULL);
	buf_putc(&out, '\0');
	assert_string_equal(out.data + 1, expected != NULL ? expected : "");
	buf_free(&out);
}

static void test_query(void **unused)
{
	check_query("a=1&b=2", "a", "1");
	check_query("a=1&b=2", "b", "2");
	check_query("a=1&b=2", "c", NULL);
	check_query("aa=1", "a", NULL);
	check_query("a=1", "aa", NULL);
	check_query("", "a", NULL);
	check_query("a", "a", "");
	check_query("&&a=", "a", "");
	check_query("a=x%20y+z%C3%a9=", "a", "x y z\xc3\xa9=");
	check_query("%61=1", "a", "1");
	check_query("a=1&a=2", "a", "1");
	check_query("a=xy%", "a", NULL);
	check_query("a=xy%2", "a", NULL);
	check_query("a=xy%2g", "a", NULL);
	check_query("%=1&a=2", "a", "2");
}

static void check_response(const char *expected, int status, const char *content_type, const char *extra,
                           const char *body, bool keep_alive)
{
	struct buf out;

	buf_init(&out, BIG);
	http1_response(&out, status, content_type, extra, BYTES_OF_STR(body), keep_alive);
	buf_putc(&out, '\0');
	assert_string_equal(out.data, expected);
	buf_free(&out);
}

static void test_response(void **unused)
{
	check_response("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
	               "Connection: keep-alive\r\n\r\nhi",
	               200, "text/plain", NULL, "hi", true);
	check_response("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n"
	               "Connection: close\r\nAllow: GET\r\n\r\n",
	               405, NULL, "Allow: GET\r\n", "", false);
	check_response("HTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\nETag: \"x\"\r\n\r\n", 304,
	               NULL, "ETag: \"x\"\r\n", "none of this", true);
	assert_string_equal(http1_status_text(431), "Request Header Fields Too Large");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_heads),
		cmocka_unit_test(test_versions_and_keep_alive),
		cmocka_unit_test(test_absolute_form),
		cmocka_unit_test(test_pipelined_bytes_are_not_part_of_the_head),
		cmocka_unit_test(test_request_line),
		cmocka_unit_test(test_line_ends_and_control_characters),
		cmocka_unit_test(test_header_lines),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_body_lengths),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_damaged_heads_at_every_split),
		cmocka_unit_test(test_header_lookup),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_response),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
