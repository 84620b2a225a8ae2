/* The hub of sessions in tests that turn by hand: it asks for no turn and tells nobody whether Redis is
 * there. Included by one test program each. */
#pragma once

#include <stdbool.h>

#include "hub.h"
#include "session.h"

static void on_ready(void *ctx, bool ready, const char *reason)
{
}

static void on_turn_began(void *ctx)
{
}

/* The loop may be NULL where fake_redis.c stands in. */
static struct hub *quiet_hub_new(struct loop *loop, const struct config *config)
{
	struct hub_events events = {.turn_began = on_turn_began, .ready = on_ready};

	session_hub_events(&events);
	return hub_new(loop, config, NULL, "node", NULL, NULL, &events);
}
