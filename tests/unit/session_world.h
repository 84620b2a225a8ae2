/* What the tests of sessions stand on: one over a fake connection, a fake loop and a fake Redis. Included by
 * one test program each. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "config.h"
#include "fake_conn.h"
#include "fake_loop.h"
#include "fake_redis.h"
#include "metrics.h"
#include "quiet_hub.h"
#include "session.h"
#include "unused_ok.h"

#define CONNECTED                                                                     \
	"{\"id\":1,\"connect\":{\"client\":\"<uuid>\",\"version\":\"" FANFARE_VERSION \
	"\",\"ping\":25,\"pong\":true}}\n"
#define ERROR(id, code, message) \
	"{\"id\":" #id ",\"error\":{\"code\":" #code ",\"message\":\"" message "\"}}\n"
#define INTERNAL(id) \
	"{\"id\":" #id ",\"error\":{\"code\":100,\"message\":\"internal server error\",\"temporary\":true}}\n"

static char prefix[] = "";
static struct channel_options namespaces[] = {
	{.name = (char[]){"live"},
         .allow_subscribe_for_client = true,
         .allow_subscribe_for_anonymous = true,
         .allow_publish_for_client = true,
         .allow_publish_for_anonymous = true},
	{.name = (char[]){"deny"}},
	{.name = (char[]){"users"}, .allow_subscribe_for_client = true},
	{.name = (char[]){"limited"},
         .allow_subscribe_for_client = true,
         .allow_subscribe_for_anonymous = true,
         .allow_user_limited_channels = true},
	{.name = (char[]){"subpub"},
         .allow_subscribe_for_client = true,
         .allow_subscribe_for_anonymous = true,
         .allow_publish_for_subscriber = true,
         .allow_publish_for_anonymous = true},
	{.name = (char[]){"object"},
         .allow_publish_for_client = true,
         .allow_publish_for_anonymous = true,
         .publication_data_format = DATA_FORMAT_JSON_OBJECT},
	{.name = (char[]){"kept"},
         .allow_subscribe_for_client = true,
         .allow_subscribe_for_anonymous = true,
         .allow_history_for_client = true,
         .allow_history_for_anonymous = true,
         .force_recovery = true,
         .history_size = 100,
         .history_ttl_ms = 60000,
         .history_meta_ttl_ms = 60000},
};

static struct {
	struct config config;
	struct hub *hub;
	struct clients *clients;
	struct conn conn;
} t;

static void open_conn(struct conn *c, const struct session_params *params)
{
	static const struct http1_request request;

	fake_conn_init(c);
	session_upgrade(t.clients, c, &request, params);
}

/* For longer than who waits has patience. */
static UNUSED_OK void lose_redis(void)
{
	fake_redis_set_ready(false);
	clock_freeze(clock_ms() + HUB_PATIENCE_MS, clock_unix_ms() + HUB_PATIENCE_MS);
	hub_tick(t.hub);
}

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	clock_freeze(1000000, 1700000000000);
	t.config.redis.prefix = prefix;
	t.config.redis.call_timeout_ms = 5000;
	t.config.client.allow_anonymous_connect_without_token = true;
	t.config.client.ping_interval_ms = 25000;
	t.config.client.pong_timeout_ms = 8000;
	t.config.client.stale_close_delay_ms = 10000;
	t.config.client.queue_max_size = 1 << 20;
	t.config.client.recovery_max_publication_limit = 100;
	t.config.client.history_max_publication_limit = 100;
	t.config.history.cache_size = 16 << 20;
	t.config.client.channel_limit = 3;
	t.config.websocket.message_size_limit = 65536;
	t.config.uni_websocket.message_size_limit = 65536;
	t.config.channel.max_length = 30;
	t.config.channel.without_namespace = namespaces[0];
	t.config.channel.namespaces = namespaces;
	t.config.channel.namespace_count = sizeof(namespaces) / sizeof(namespaces[0]);
	t.hub = quiet_hub_new(NULL, &t.config);
	t.clients = clients_new(NULL, &t.config, t.hub);
	fake_redis_confirm_at_once(true);
	open_conn(&t.conn, &(struct session_params){0});
	return 0;
}

static int teardown(void **state)
{
	fake_conn_free(&t.conn);
	fake_loop_turn();
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(fake_redis_calls(), 0);
	assert_int_equal(hub_channel_count(t.hub), 0);
	clients_free(&t.clients);
	hub_free(&t.hub);
	return 0;
}

static void say(const char *message)
{
	fake_conn_say(&t.conn, message);
	fake_loop_turn();
	fake_conn_go_on(&t.conn);
}

static void hear(const char *messages)
{
	assert_string_equal(fake_conn_heard(&t.conn), messages);
}

static void assert_closed(enum disconnect_code code)
{
	assert_false(t.conn.open);
	assert_int_equal(t.conn.code, code);
	assert_string_equal(t.conn.reason, disconnect_reason(code));
}

static UNUSED_OK void connect_client(void)
{
	say("{\"id\":1,\"connect\":{}}");
	hear(CONNECTED);
}

/* One command by a connected client, and what it is answered with. */
static UNUSED_OK void ask(const char *command, const char *answer)
{
	say(command);
	hear(answer);
	assert_true(t.conn.open);
}

static UNUSED_OK void confirm(const char *channel)
{
	fake_redis_confirm(channel);
	fake_loop_turn();
	fake_conn_go_on(&t.conn);
}

static UNUSED_OK void answer_redis(bool well)
{
	static const struct redis_reply one = {.type = REDIS_INTEGER, .integer = 1};

	fake_redis_answer(well ? &one : NULL);
	fake_loop_turn();
	fake_conn_go_on(&t.conn);
}

static UNUSED_OK uint64_t wait_for_ping(uint64_t at_most_ms)
{
	for (uint64_t ms = 1; ms <= at_most_ms; ms++) {
		fake_loop_advance(1);
		if (t.conn.out.len > 0) {
			hear("{}\n");
			return ms;
		}
	}
	return 0;
}
