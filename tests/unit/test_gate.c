/* The door of a worker over socket pairs, with addresses and a clock of our own: who comes in, as whom, and
 * what is said to the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <ev.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "conn.h"
#include "conns.h"
#include "deflate.h"
#include "loop.h"
#include "metrics.h"

#define UPGRADE(more)                                                                 \
	"GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" more "\r\n"
#define STATUS_429 "HTTP/1.1 429 Too Many Requests\r\n"
#define STATUS_503 "HTTP/1.1 503 Service Unavailable\r\n"

enum { PEERS_MAX = 64, BURST = 10 };

static struct {
	struct loop *loop;
	struct conns *conns;
	struct config config;
	struct inflater *inflater;
	struct deflater *deflater;
	int peers[PEERS_MAX];
	size_t peer_count;
	char name[128]; /* of the connection whose request came last */
	unsigned requests;
	unsigned messages;
	struct conn *conn;
	struct compression_options compression;
	char answer[65536];
} t;

static void on_open(struct conn *c)
{
}

static void on_message(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	t.messages++;
}

static const struct ws_app app = {
	.name = "test", .on_open = on_open, .on_message = on_message, .on_close = on_open};

static void on_request(void *ctx, struct conn *c, const struct http1_request *req)
{
	t.requests++;
	t.conn = c;
	snprintf(t.name, sizeof(t.name), "%s", strrchr(conn_name(c), ' ') + 1);
	if (!bytes_eq(req->path, BYTES("/x")))
		conn_respond(c, req, 200, "text/plain", NULL, BYTES("ok"));
	else if (conn_admit(c, req))
		conn_upgrade(c, req,
		             &(struct conn_websocket){.app = &app,
		                                      .max_message = 1000,
		                                      .limited = true,
		                                      .compression = &t.compression});
}

static void on_drained(void *ctx)
{
}

static struct strings list_of(char **items)
{
	struct strings list = {items, 0};

	while (items[list.count] != NULL)
		list.count++;
	return list;
}

static char *nobody[] = {NULL};

static void open_door(char **load_balancers, char **proxies)
{
	t.config.proxy_protocol.trusted_peers = list_of(load_balancers);
	t.config.forwarded_for.trusted_peers = list_of(proxies);
	t.conns = conns_new(&(struct conns_params){
		.loop = t.loop,
		.config = &t.config,
		.inflater = t.inflater,
		.deflater = t.deflater,
		.on_request = on_request,
		.on_drained = on_drained,
	});
}

static int set_up(void **state)
{
	memset(&t, 0, sizeof(t));
	clock_freeze(1000000, 1000000);
	t.config.client.queue_max_size = 1 << 20;
	t.config.limits.head_timeout_ms = 10000;
	t.config.limits.keep_alive_timeout_ms = 60000;
	t.compression = (struct compression_options){.level = 1};
	t.loop = loop_new();
	t.inflater = inflater_new();
	t.deflater = deflater_new();
	return 0;
}

static int tear_down(void **state)
{
	conns_free(&t.conns);
	loop_free(&t.loop);
	inflater_free(&t.inflater);
	deflater_free(&t.deflater);
	for (size_t i = 0; i < t.peer_count; i++)
		close(t.peers[i]);
	return 0;
}

static void settle(void)
{
	for (int i = 0; i < 20; i++)
		ev_run(loop_ev(t.loop), EVRUN_NOWAIT);
}

static void pass(uint64_t ms)
{
	clock_freeze(clock_ms() + ms, 1000000);
	settle();
}

/* The client's end of a new connection from there. */
static int arrive(const char *from, const struct conns_door *door)
{
	struct address address = {.sa.any.sa_family = AF_UNIX};
	const char *reason;
	int fds[2];

	if (strcmp(from, "unix") != 0)
		assert_true(address_parse(from, &address, &reason));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_true(t.peer_count < PEERS_MAX);
	t.peers[t.peer_count++] = fds[1];
	conns_accept(t.conns, fds[0], &address, door);
	return fds[1];
}

static void hang_up(int peer)
{
	shutdown(peer, SHUT_RDWR);
	settle();
}

static void say_bytes(int peer, const char *data, size_t len)
{
	assert_int_equal(send(peer, data, len, MSG_NOSIGNAL), len);
	settle();
}

static void say(int peer, const char *text)
{
	say_bytes(peer, text, strlen(text));
}

/* What came so far; with "|END" behind it if that was all. */
static const char *hear(int peer)
{
	ssize_t n = recv(peer, t.answer, sizeof(t.answer) - 8, 0);
	size_t len = n > 0 ? (size_t)n : 0;

	t.answer[len] = '\0';
	if (recv(peer, t.answer + len, 1, 0) == 0)
		memcpy(t.answer + len, "|END", 5);
	return t.answer;
}

static void assert_begins(const char *text, const char *begin)
{
	char copy[200];

	snprintf(copy, sizeof(copy), "%.*s", (int)strlen(begin), text);
	assert_string_equal(copy, begin);
}

static void assert_refused(int peer, const char *status)
{
	const char *answer = hear(peer);

	assert_begins(answer, status);
	assert_non_null(strstr(answer, "|END"));
}

static void assert_in(int peer)
{
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_begins(hear(peer), "HTTP/1.1 200 OK\r\n");
}

static uint64_t metric(enum metric which)
{
	return metrics_sum(metrics_mine, 1, which);
}

/* --- how many --- */

static void in_all_there_is_a_limit(void **state)
{
	uint64_t refused = metric(METRIC_connections_refused);
	int first;

	t.config.client.connection_limit = 2;
	open_door(nobody, nobody);
	first = arrive("unix", NULL);
	assert_in(arrive("192.0.2.1:1", NULL));
	assert_refused(arrive("192.0.2.2:1", NULL), STATUS_503);
	assert_int_equal(metric(METRIC_connections_refused), refused + 1);
	hang_up(first);
	assert_in(arrive("192.0.2.2:1", NULL));
}

static void each_address_has_its_limit_and_ipv6_has_it_for_64_bits(void **state)
{
	uint64_t refused = metric(METRIC_refused_address);
	int first;

	t.config.limits.connections_per_address = 2;
	open_door(nobody, nobody);
	first = arrive("192.0.2.1:1", NULL);
	arrive("[::ffff:192.0.2.1]:2", NULL);
	assert_refused(arrive("192.0.2.1:3", NULL), STATUS_429);
	assert_in(arrive("192.0.2.2:1", NULL));
	arrive("[2001:db8::1]:1", NULL);
	arrive("[2001:db8::2]:1", NULL);
	assert_refused(arrive("[2001:db8::3]:1", NULL), STATUS_429);
	assert_in(arrive("[2001:db8:0:1::1]:1", NULL));
	assert_int_equal(metric(METRIC_refused_address), refused + 2);
	hang_up(first);
	assert_in(arrive("192.0.2.1:4", NULL));
	assert_refused(arrive("192.0.2.1:5", NULL), STATUS_429);
}

static void what_stands_for_many_is_not_limited(void **state)
{
	static char range[] = "10.0.0.0/8";
	char *proxies[] = {range, NULL};

	t.config.limits.connections_per_address = 1;
	t.config.limits.connection_rate_per_address = 1;
	open_door(nobody, proxies);
	for (int i = 0; i < 15; i++) {
		assert_in(arrive("unix", NULL));
		assert_in(arrive("127.0.0.1:1", NULL));
		assert_in(arrive("10.1.2.3:1", NULL));
	}
}

/* --- how fast --- */

static void new_connections_have_a_rate(void **state)
{
	uint64_t refused = metric(METRIC_refused_rate);

	t.config.client.connection_rate_limit = 4;
	open_door(nobody, nobody);
	for (int i = 0; i < 4; i++)
		assert_in(arrive("unix", NULL));
	assert_refused(arrive("192.0.2.9:1", NULL), STATUS_503);
	assert_int_equal(metric(METRIC_refused_rate), refused + 1);
	pass(250);
	assert_in(arrive("192.0.2.9:1", NULL));
	assert_refused(arrive("192.0.2.9:1", NULL), STATUS_503);
}

static void new_connections_of_one_address_have_a_rate_of_their_own(void **state)
{
	uint64_t refused = metric(METRIC_refused_address_rate);

	t.config.limits.connection_rate_per_address = 1;
	open_door(nobody, nobody);
	for (int i = 0; i < BURST; i++)
		hang_up(arrive("192.0.2.1:1", NULL));
	assert_refused(arrive("192.0.2.1:1", NULL), STATUS_429);
	assert_int_equal(metric(METRIC_refused_address_rate), refused + 1);
	assert_in(arrive("192.0.2.2:1", NULL));
	pass(1000);
	assert_in(arrive("192.0.2.1:1", NULL));
	assert_refused(arrive("192.0.2.1:1", NULL), STATUS_429);
}

static void who_would_speak_tls_is_told_in_the_language_of_tls(void **state)
{
	const struct conns_door door = {.tls = (struct tls_server *)&t};
	int peer;

	t.config.client.connection_limit = 1;
	open_door(nobody, nobody);
	arrive("unix", NULL);
	peer = arrive("192.0.2.1:1", &door);
	assert_int_equal(recv(peer, t.answer, sizeof(t.answer), 0), 7);
	/* An alert record of TLS, fatal, internal_error. */
	assert_memory_equal(t.answer, "\x15\3\3\0\2\2\x50", 7);
	assert_int_equal(recv(peer, t.answer, sizeof(t.answer), 0), 0);
}

/* --- on whose behalf --- */

static char any_unix[] = "unix";
static char lan[] = "10.0.0.0/8";
static char *via_unix[] = {any_unix, NULL};
static char *via_lan[] = {lan, NULL};

static void a_proxy_header_names_the_client_however_it_is_cut(void **state)
{
	static const char header[] =
		"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
	size_t len = sizeof(header) - 1;

	open_door(via_lan, nobody);
	for (size_t cut = 1; cut < len; cut++) {
		int peer = arrive("10.0.0.1:1", NULL);

		t.name[0] = '\0';
		say_bytes(peer, header, cut);
		say_bytes(peer, header + cut, len - cut);
		assert_string_equal(t.name, "192.0.2.1:4711");
		assert_begins(hear(peer), "HTTP/1.1 200 OK\r\n");
		close(peer);
		t.peer_count--;
		settle();
	}
}

static void a_proxy_header_may_come_byte_by_byte(void **state)
{
	static const char header[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x9c\x40\1\xbb"
				     "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	int peer;

	open_door(via_unix, nobody);
	peer = arrive("unix", NULL);
	for (size_t i = 0; i < sizeof(header) - 1; i++)
		say_bytes(peer, header + i, 1);
	assert_string_equal(t.name, "192.0.2.1:40000");
}

static void a_load_balancer_that_speaks_for_itself_stays_who_it_is(void **state)
{
	int peer;

	open_door(via_lan, nobody);
	peer = arrive("10.0.0.1:99", NULL);
	say(peer, "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_string_equal(t.name, "10.0.0.1:99");
}

static void who_must_say_for_whom_and_does_not_is_broken_off(void **state)
{
	uint64_t refused = metric(METRIC_proxy_headers_refused);
	int peer;

	open_door(via_lan, nobody);
	peer = arrive("10.0.0.1:1", NULL);
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_string_equal(hear(peer), "|END");
	assert_int_equal(t.requests, 0);
	assert_int_equal(metric(METRIC_proxy_headers_refused), refused + 1);
}

static void who_says_for_whom_and_is_not_trusted_is_taken_at_nothing(void **state)
{
	int peer;

	open_door(via_lan, via_lan);
	peer = arrive("192.0.2.7:1", NULL);
	say(peer, "PROXY TCP4 127.0.0.1 10.0.0.1 4711 443\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_begins(hear(peer), "HTTP/1.1 400 Bad Request\r\n");
	peer = arrive("192.0.2.7:2", NULL);
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n");
	assert_string_equal(t.name, "192.0.2.7:2");
}

static void a_proxy_header_has_its_time(void **state)
{
	int silent, slow;

	open_door(via_lan, nobody);
	silent = arrive("10.0.0.1:1", NULL);
	slow = arrive("10.0.0.1:2", NULL);
	pass(5000);
	say(slow, "PROXY TCP4 ");
	pass(4900);
	assert_string_equal(hear(silent), "");
	pass(200);
	assert_string_equal(hear(silent), "|END");
	assert_string_equal(hear(slow), "|END");
}

static void connections_that_wait_for_a_header_count_and_are_dropped_at_the_end(void **state)
{
	int peer;

	t.config.client.connection_limit = 1;
	open_door(via_lan, nobody);
	peer = arrive("10.0.0.1:1", NULL);
	say(peer, "PROXY ");
	assert_refused(arrive("192.0.2.1:1", NULL), STATUS_503);
	hang_up(peer);
	assert_in(arrive("192.0.2.1:1", NULL));
}

static void the_limit_of_an_address_is_that_of_the_client_behind_the_header(void **state)
{
	t.config.limits.connections_per_address = 1;
	open_door(via_lan, nobody);
	for (int i = 0; i < 2; i++) {
		int peer = arrive("10.0.0.1:1", NULL);

		say(peer, "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n");
		if (i == 0)
			assert_string_equal(hear(peer), "");
		else
			assert_refused(peer, STATUS_429);
	}
}

static void forwarded_for_names_the_client_of_each_request(void **state)
{
	int peer;

	open_door(nobody, via_unix);
	peer = arrive("unix", NULL);
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1, 192.0.2.1\r\n\r\n");
	assert_string_equal(t.name, "192.0.2.1");
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: [2001:db8::1]:80\r\n\r\n");
	assert_string_equal(t.name, "[2001:db8::1]:80");
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_string_equal(t.name, "unix");
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
	          "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: unknown\r\n\r\n");
	assert_string_equal(t.name, "unix");
}

static void an_upgrade_counts_for_the_client_behind_the_proxy(void **state)
{
	int first, second;

	t.config.limits.connections_per_address = 1;
	open_door(nobody, via_unix);
	first = arrive("unix", NULL);
	say(first, UPGRADE("X-Forwarded-For: 192.0.2.1\r\n"));
	assert_begins(hear(first), "HTTP/1.1 101 ");
	second = arrive("unix", NULL);
	say(second, UPGRADE("X-Forwarded-For: 192.0.2.1\r\n"));
	assert_begins(hear(second), STATUS_429);
	/* The connection of the proxy lives on, and is of use for others. */
	say(second, UPGRADE("X-Forwarded-For: 192.0.2.2\r\n"));
	assert_begins(hear(second), "HTTP/1.1 101 ");
	hang_up(first);
	first = arrive("unix", NULL);
	say(first, UPGRADE("X-Forwarded-For: 192.0.2.1\r\n"));
	assert_begins(hear(first), "HTTP/1.1 101 ");
}

static void compression_may_be_had_at_one_door_only(void **state)
{
	const struct conns_door deflate = {.deflate = true};
	int plain, packed;

	open_door(nobody, nobody);
	plain = arrive("unix", NULL);
	packed = arrive("unix", &deflate);
	say(plain, UPGRADE("Sec-WebSocket-Extensions: permessage-deflate\r\n"));
	assert_null(strstr(hear(plain), "permessage-deflate"));
	say(packed, UPGRADE("Sec-WebSocket-Extensions: permessage-deflate\r\n"));
	assert_non_null(strstr(hear(packed), "permessage-deflate"));
}

/* --- what a client sends --- */

/* An empty frame with a mask of zeros. */
#define PING      "\x89\x80\0\0\0\0"
#define TEXT      "\x81\x80\0\0\0\0"
#define BEGIN     "\x01\x80\0\0\0\0"
#define CONTINUED "\x00\x80\0\0\0\0"

enum { EMPTY_FRAME = 6 };

static int upgraded(void)
{
	int peer;

	open_door(nobody, nobody);
	peer = arrive("unix", NULL);
	say(peer, UPGRADE(""));
	assert_begins(hear(peer), "HTTP/1.1 101 ");
	return peer;
}

static void say_often(int peer, const char frame[EMPTY_FRAME], size_t count)
{
	char data[65536];

	assert_true(count * EMPTY_FRAME <= sizeof(data));
	for (size_t i = 0; i < count; i++)
		memcpy(data + i * EMPTY_FRAME, frame, EMPTY_FRAME);
	say_bytes(peer, data, count * EMPTY_FRAME);
}

static void who_sends_too_many_messages_waits_and_loses_none(void **state)
{
	uint64_t held_back = metric(METRIC_held_back_commands);
	int peer;

	t.config.limits.commands_per_second = 20;
	peer = upgraded();
	say_often(peer, TEXT, 20 * BURST);
	assert_int_equal(t.messages, 20 * BURST);
	assert_false(conn_held_back(t.conn));
	say_often(peer, TEXT, 50);
	assert_true(conn_held_back(t.conn));
	assert_int_equal(t.messages, 20 * BURST + 1);
	assert_int_equal(metric(METRIC_held_back_commands), held_back + 1);
	pass(1000);
	assert_in_range(t.messages, 20 * BURST + 2, 20 * BURST + 21);
	for (int i = 0; i < 20; i++)
		pass(150);
	assert_int_equal(t.messages, 20 * BURST + 50);
	assert_false(conn_held_back(t.conn));
}

static void pings_and_empty_fragments_count_as_commands_do(void **state)
{
	static const char *const frames[] = {PING, CONTINUED};

	for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
		int peer;

		if (i > 0) {
			tear_down(state);
			set_up(state);
		}
		t.config.limits.commands_per_second = 20;
		peer = upgraded();
		say_bytes(peer, BEGIN, EMPTY_FRAME);
		say_often(peer, frames[i], 20 * BURST - 1);
		assert_false(conn_held_back(t.conn));
		say_often(peer, frames[i], 1);
		assert_true(conn_held_back(t.conn));
		pass(120);
		assert_false(conn_held_back(t.conn));
	}
}

static void who_would_wait_too_long_is_told_so(void **state)
{
	uint64_t disconnects = metric(METRIC_rate_disconnects);
	const char *answer;
	int peer;

	t.config.limits.commands_per_second = 20;
	peer = upgraded();
	say_bytes(peer, BEGIN, EMPTY_FRAME);
	say_often(peer, CONTINUED, 2 * 20 * BURST + 1);
	answer = hear(peer);
	assert_memory_equal(answer, "\x88\x13\x0b\xc5too many requests", 21);
	assert_int_equal(metric(METRIC_rate_disconnects), disconnects + 1);
}

static void who_sends_too_many_bytes_waits_and_loses_none(void **state)
{
	char frame[] = "\x82\xfe\3\xe8\0\0\0\0";
	char data[1008] = {0};
	uint64_t held_back = metric(METRIC_held_back_bytes);
	size_t sent = 0;
	int peer;

	t.config.limits.bytes_per_second = 16 << 10;
	peer = upgraded();
	memcpy(data, frame, 8);
	while (!conn_held_back(t.conn)) {
		say_bytes(peer, data, sizeof(data));
		sent++;
		assert_true(sent < 1000);
	}
	assert_in_range(sent, (16 << 10) * BURST / sizeof(data), (16 << 10) * BURST / sizeof(data) + 1);
	assert_int_equal(t.messages, sent);
	say_bytes(peer, data, sizeof(data));
	assert_int_equal(t.messages, sent);
	assert_int_equal(metric(METRIC_held_back_bytes), held_back + 1);
	pass(200);
	assert_int_equal(t.messages, sent + 1);
}

static void who_is_held_back_can_be_closed_and_closes(void **state)
{
	int peer;

	t.config.limits.commands_per_second = 20;
	peer = upgraded();
	say_often(peer, TEXT, 20 * BURST + 1);
	assert_true(conn_held_back(t.conn));
	conn_close(t.conn, 3001, "shutdown", "test");
	assert_false(conn_held_back(t.conn));
	settle();
	assert_begins(hear(peer), "\x88\x0a\x0b\xb9shutdown");
	say_bytes(peer, "\x88\x82\0\0\0\0\x0b\xb9", 8);
	assert_string_equal(hear(peer), "|END");
	assert_int_equal(conns_count(t.conns), 0);
}

static void without_limits_there_are_none(void **state)
{
	int peer = upgraded();

	for (int i = 0; i < 5; i++) {
		say_often(peer, TEXT, 10000);
		assert_false(conn_held_back(t.conn));
	}
	for (int i = 0; i < 20; i++) /* a turn has its share, and no time passes */
		settle();
	assert_false(conn_held_back(t.conn));
	assert_int_equal(t.messages, 50000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_all_there_is_a_limit),
		TEST(each_address_has_its_limit_and_ipv6_has_it_for_64_bits),
		TEST(what_stands_for_many_is_not_limited),
		TEST(new_connections_have_a_rate),
		TEST(new_connections_of_one_address_have_a_rate_of_their_own),
		TEST(who_would_speak_tls_is_told_in_the_language_of_tls),
		TEST(a_proxy_header_names_the_client_however_it_is_cut),
		TEST(a_proxy_header_may_come_byte_by_byte),
		TEST(a_load_balancer_that_speaks_for_itself_stays_who_it_is),
		TEST(who_must_say_for_whom_and_does_not_is_broken_off),
		TEST(who_says_for_whom_and_is_not_trusted_is_taken_at_nothing),
		TEST(a_proxy_header_has_its_time),
		TEST(connections_that_wait_for_a_header_count_and_are_dropped_at_the_end),
		TEST(the_limit_of_an_address_is_that_of_the_client_behind_the_header),
		TEST(forwarded_for_names_the_client_of_each_request),
		TEST(an_upgrade_counts_for_the_client_behind_the_proxy),
		TEST(compression_may_be_had_at_one_door_only),
		TEST(who_sends_too_many_messages_waits_and_loses_none),
		TEST(pings_and_empty_fragments_count_as_commands_do),
		TEST(who_would_wait_too_long_is_told_so),
		TEST(who_sends_too_many_bytes_waits_and_loses_none),
		TEST(who_is_held_back_can_be_closed_and_closes),
		TEST(without_limits_there_are_none),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
