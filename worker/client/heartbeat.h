/* The clock of a session: stale before connect, pings and pongs after it (client protocol 10), deadlines of
 * what is pending, and of clients that take what they asked for slowly. One timer serves them all. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "commands.h"
#include "compiler.h"

struct session;
struct timer;

/* From the opening on: not connected within client.stale_close_delay closes with 3502. */
void heartbeat_open(struct session *s);
/* From connect on: the first ping at a random moment in the second half of the interval. */
void heartbeat_start(struct session *s);
/* Sets the timer to the nearest moment. To be called when one came nearer. */
void heartbeat_arm(struct session *s);
/* From now on the client has to take what it has asked for, some every minute, or is disconnected as slow
 * (3008); until then no pong is expected, as the ping may wait behind that. */
void heartbeat_watch(struct session *s);
/* A pong came. */
struct verdict heartbeat_pong(struct session *s) MUST_CHECK;
/* What the reply to connect says. 0: no pings of the protocol. */
uint32_t heartbeat_ping_seconds(const struct session *s);
bool heartbeat_wants_pong(const struct session *s);
/* timer->fire of every session. */
void heartbeat_fire(struct timer *t);
