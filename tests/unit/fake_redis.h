/* Stands in for worker/redis in unit tests: the test decides when something is confirmed, comes, or is
 * answered. One instance at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "redis.h"

/* Ready or not; tells the owner if that is a change. */
void fake_redis_set_ready(bool ready);
/* Subscriptions open now, and whether one is. */
size_t fake_redis_subs(void);
bool fake_redis_has_sub(const char *channel);
/* From now on redis_sub_open() finds everything confirmed already, as if it lingered. */
void fake_redis_confirm_at_once(bool yes);
void fake_redis_confirm(const char *channel);
/* Confirms the oldest subscription that is not confirmed yet; false when there is none. */
bool fake_redis_confirm_next(void);
/* A message on an open subscription. */
void fake_redis_message(const char *channel, const char *payload);
/* Calls not answered yet. */
size_t fake_redis_calls(void);
/* The oldest of them: its arguments, joined by blanks. */
const char *fake_redis_call(void);
/* Answers the oldest; NULL: as when the link breaks. */
void fake_redis_answer(const struct redis_reply *reply);
