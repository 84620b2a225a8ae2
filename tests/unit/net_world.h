/* A set of connections over socket pairs, and a loop turned by hand, on which the worlds of connections and
 * of the door stand. What a request is answered, they say. */
#pragma once

#include <errno.h>
#include <ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "conn.h"
#include "conns.h"
#include "deflate.h"
#include "loop.h"
#include "unused_ok.h"

#define UPGRADE(more)                                                                 \
	"GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" more "\r\n"

enum { HEAD_TIMEOUT_MS = 10000, KEEP_ALIVE_MS = 60000 };

static struct {
	struct loop *loop;
	struct conns *conns;
	struct config config;
	struct inflater *inflater;
	struct deflater *deflater;
	unsigned drained;
} net;

static void on_drained(void *ctx)
{
	net.drained++;
}

/* All but the set itself, before which a test may change the configuration. */
static void net_set_up(size_t queue_max)
{
	memset(&net, 0, sizeof(net));
	clock_freeze(1000000, 1000000);
	net.config.client.queue_max_size = queue_max;
	net.config.limits.head_timeout_ms = HEAD_TIMEOUT_MS;
	net.config.limits.keep_alive_timeout_ms = KEEP_ALIVE_MS;
	net.loop = loop_new();
	net.inflater = inflater_new();
	net.deflater = deflater_new();
}

static void net_open(void (*on_request)(void *ctx, struct conn *c, const struct http1_request *req))
{
	net.conns = conns_new(&(struct conns_params){
		.loop = net.loop,
		.config = &net.config,
		.inflater = net.inflater,
		.deflater = net.deflater,
		.on_request = on_request,
		.on_drained = on_drained,
	});
}

static void net_tear_down(void)
{
	conns_free(&net.conns);
	loop_free(&net.loop);
	inflater_free(&net.inflater);
	deflater_free(&net.deflater);
}

/* The far end of a new connection. */
static int net_connect(const struct address *from, const struct conns_door *door)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	conns_accept(net.conns, fds[0], from, door);
	return fds[1];
}

static void turn(void)
{
	ev_run(loop_ev(net.loop), EVRUN_NOWAIT);
}

/* As many turns as it takes until nothing moves any more. */
static void settle(void)
{
	for (int i = 0; i < 20; i++)
		turn();
}
