/* deflate_offer.c: RFC 7692, 7.1: which offer of permessage-deflate is taken, and the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "deflate_offer.h"

#define NONE     ""
#define ACCEPTED "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

static struct http1_request req;

/* What is answered to these headers, without name and line end; empty: nothing. */
static void answer(struct buf *out, const char *headers)
{
	static const char name[] = "Sec-WebSocket-Extensions: ";
	struct deflate_agreed agreed;
	struct buf head;

	buf_init(&head, 65536);
	buf_putf(&head, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", headers);
	req.scanned = 0;
	assert_int_equal(http1_parse(buf_bytes(&head), &req), HTTP1_COMPLETE);
	buf_init(out, 1000);
	if (deflate_negotiate(&req, &agreed)) {
		deflate_put_response(out, &agreed);
		buf_consume(out, sizeof(name) - 1);
		out->len -= 2;
	}
	buf_putc(out, '\0');
	buf_free(&head);
}

static void check_headers(const char *headers, const char *expected)
{
	struct buf out;

	answer(&out, headers);
	assert_string_equal(out.data, expected);
	buf_free(&out);
}

static void check(const char *offers, const char *expected)
{
	struct buf header;

	buf_init(&header, 65536);
	buf_putf(&header, "Sec-WebSocket-Extensions: %s\r\n%c", offers, '\0');
	check_headers(header.data, expected);
	buf_free(&header);
}

static void each_parameter_alone(void **state)
{
	check("permessage-deflate", ACCEPTED);
	check("Permessage-Deflate", ACCEPTED);
	check("permessage-deflate; server_no_context_takeover", ACCEPTED);
	check("permessage-deflate; client_no_context_takeover", ACCEPTED);
	check("permessage-deflate; client_max_window_bits", ACCEPTED);
	check("permessage-deflate; client_max_window_bits=8", ACCEPTED);
	check("permessage-deflate; client_max_window_bits=15", ACCEPTED);
	check("permessage-deflate; server_max_window_bits=9", ACCEPTED "; server_max_window_bits=9");
	check("permessage-deflate; server_max_window_bits=15", ACCEPTED "; server_max_window_bits=15");
}

static void parameters_together_in_any_order_and_spacing(void **state)
{
	check("permessage-deflate;client_max_window_bits=10;server_no_context_takeover;"
	      "server_max_window_bits=12;client_no_context_takeover",
	      ACCEPTED "; server_max_window_bits=12");
	check("\t permessage-deflate ;\tserver_max_window_bits\t= 10 ; client_max_window_bits  ",
	      ACCEPTED "; server_max_window_bits=10");
	check("permessage-deflate; server_max_window_bits=\"11\"", ACCEPTED "; server_max_window_bits=11");
}

/* zlib has no raw deflate with a window of 256 bytes. */
static void what_cannot_be_met_is_declined(void **state)
{
	check("permessage-deflate; server_max_window_bits=8", NONE);
}

static void what_is_malformed_is_declined(void **state)
{
	static const char *const bits[] = {"",     "7",   "16",  "0",   "00",  "09",        "015",
	                                   "9x",   "x9",  "-9",  "+9",  "99",  "1e",        "\"",
	                                   "\"\"", "\"9", "9\"", "9 9", "1=0", "4294967305"};
	char offer[128];

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		snprintf(offer, sizeof(offer), "permessage-deflate; server_max_window_bits=%s", bits[i]);
		check(offer, NONE);
		snprintf(offer, sizeof(offer), "permessage-deflate; client_max_window_bits=%s", bits[i]);
		check(offer, NONE);
	}
	check("permessage-deflate; server_max_window_bits", NONE);
	check("permessage-deflate; server_no_context_takeover=1", NONE);
	check("permessage-deflate; server_no_context_takeover=", NONE);
	check("permessage-deflate; client_no_context_takeover=true", NONE);
	check("permessage-deflate; unknown", NONE);
	check("permessage-deflate; =9", NONE);
	check("permessage-deflate;", NONE);
	check("permessage-deflate;;client_max_window_bits", NONE);
	check("permessage-deflate client_max_window_bits", NONE);
	check("; permessage-deflate", NONE);
	check("=", NONE);
	check("\"permessage-deflate\"", NONE);
}

static void a_parameter_twice_is_declined(void **state)
{
	check("permessage-deflate; client_max_window_bits; client_max_window_bits", NONE);
	check("permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", NONE);
	check("permessage-deflate; server_no_context_takeover; Server_No_Context_Takeover", NONE);
}

static void other_extensions_are_passed_over(void **state)
{
	check("", NONE);
	check("permessage-bzip2", NONE);
	check("x-webkit-deflate-frame", NONE);
	check("permessage-deflated", NONE);
	check("permessage-defl", NONE);
	check_headers("Sec-WebSocket-Protocol: permessage-deflate\r\n", NONE);
	check_headers("", NONE);
	check("permessage-bzip2; a=1, permessage-deflate, x", ACCEPTED);
}

static void the_first_offer_that_can_be_met_is_taken(void **state)
{
	check("permessage-deflate; server_max_window_bits=10, permessage-deflate",
	      ACCEPTED "; server_max_window_bits=10");
	check("permessage-deflate; server_max_window_bits=8, permessage-deflate", ACCEPTED);
	check("permessage-deflate; nonsense, permessage-deflate; server_max_window_bits=14, "
	      "permessage-deflate",
	      ACCEPTED "; server_max_window_bits=14");
	check_headers("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8\r\n"
	              "sec-websocket-extensions: permessage-deflate; server_max_window_bits=13\r\n",
	              ACCEPTED "; server_max_window_bits=13");
}

/* As much of the longest header as separators can fill. */
static void hostile_headers_are_read_once(void **state)
{
	static const char *const pieces[] = {",", ";", "=", "permessage-deflate;", "a;", "\"", "a=,"};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct buf offers;

		buf_init(&offers, 8192);
		while (offers.len < 7000)
			buf_puts(&offers, pieces[i]);
		buf_putc(&offers, '\0');
		check(offers.data, NONE);
		buf_free(&offers);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_parameter_alone),
		cmocka_unit_test(parameters_together_in_any_order_and_spacing),
		cmocka_unit_test(what_cannot_be_met_is_declined),
		cmocka_unit_test(what_is_malformed_is_declined),
		cmocka_unit_test(a_parameter_twice_is_declined),
		cmocka_unit_test(other_extensions_are_passed_over),
		cmocka_unit_test(the_first_offer_that_can_be_met_is_taken),
		cmocka_unit_test(hostile_headers_are_read_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
