/* What the tests of worker/redis against a server that misbehaves stand on: a world whose Redis is a mock.
 * Included by one test program each. */
#pragma once

#include "redis_mock.h"

static struct world world;
static struct mock mock;

static UNUSED_OK int setup(void **state)
{
	world_init(&world);
	mock_start(&mock, &world);
	return 0;
}

static UNUSED_OK int setup_tls(void **state)
{
	world_init(&world);
	mock_start_tls(&mock, &world);
	return 0;
}

static UNUSED_OK int teardown(void **state)
{
	redis_free(&world.redis);
	mock_stop(&mock);
	world_free(&world);
	return 0;
}

static UNUSED_OK void start(void)
{
	world_redis(&world);
	WAIT_FOR(&world, 3000, is_ready(&world));
}

static UNUSED_OK void echo(struct answer *a, const char *text)
{
	struct bytes argv[2] = {BYTES("ECHO"), BYTES_OF_STR(text)};

	*a = (struct answer){.count = 0};
	redis_call(world.redis, argv, 2, on_answer, a);
}

/* The one that a test has in mind. */
static UNUSED_OK struct mock_conn *silent;

static UNUSED_OK bool be_silent_there(struct mock_conn *c, const redisReply *command)
{
	return c == silent;
}
