/* What the tests of the door of a worker stand on: connections over socket pairs, from addresses and with a
 * clock of our own. Included by one test program each. */
#pragma once

#include "metrics.h"
#include "net_world.h"

#define STATUS_429 "HTTP/1.1 429 Too Many Requests\r\n"
#define STATUS_503 "HTTP/1.1 503 Service Unavailable\r\n"

enum { PEERS_MAX = 64, BURST = 10 };

static struct {
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
	net.config.proxy_protocol.trusted_peers = list_of(load_balancers);
	net.config.forwarded_for.trusted_peers = list_of(proxies);
	net_open(on_request);
}

static int set_up(void **state)
{
	memset(&t, 0, sizeof(t));
	net_set_up(1 << 20);
	t.compression = (struct compression_options){.level = 1};
	return 0;
}

static int tear_down(void **state)
{
	net_tear_down();
	for (size_t i = 0; i < t.peer_count; i++)
		close(t.peers[i]);
	return 0;
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
	int peer;

	if (strcmp(from, "unix") != 0)
		assert_true(address_parse(from, &address, &reason));
	assert_true(t.peer_count < PEERS_MAX);
	peer = net_connect(&address, door);
	t.peers[t.peer_count++] = peer;
	return peer;
}

static UNUSED_OK void hang_up(int peer)
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

static UNUSED_OK void assert_refused(int peer, const char *status)
{
	const char *answer = hear(peer);

	assert_begins(answer, status);
	assert_non_null(strstr(answer, "|END"));
}

static UNUSED_OK void assert_in(int peer)
{
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_begins(hear(peer), "HTTP/1.1 200 OK\r\n");
}

static uint64_t metric(enum metric which)
{
	return metrics_sum(metrics_mine, 1, which);
}
