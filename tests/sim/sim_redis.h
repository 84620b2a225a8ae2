/* A Redis in memory: honest, but it can be slow, go away, come back, and lose connections. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"

/* password: NULL when it asks for none. prefix: of the channels. */
void sim_redis_start(const char *password, const char *prefix);
/* A backend publishes. */
void sim_redis_publish(unsigned channel, struct bytes data);
/* Something bad happens, which lasts for a while. */
void sim_redis_trouble(void);
/* All is well from now on. */
void sim_redis_recover(void);
/* Since when the worker cannot have been well served; SIM_NEVER: it can. */
uint64_t sim_redis_away_since(void);
/* When something was wrong last, as far as the worker may feel it. */
uint64_t sim_redis_troubled_us(void);
