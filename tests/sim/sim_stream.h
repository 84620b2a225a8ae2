/* The stream of the one channel with history, as functions.lua keeps it in Redis. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

enum { STREAM_ENVELOPE_MAX = 71000 };

void sim_stream_start(void);
/* All of it is lost. */
void sim_stream_lose(void);
/* How many were before it. */
unsigned sim_stream_epoch(void);
/* Of the newest publication. */
uint64_t sim_stream_top(void);

/* Takes the publication of that number, and gives its envelope. */
struct bytes sim_stream_add(uint32_t number);
/* The answers to fanfare_publish and fanfare_history, in pieces. `options` are names and values in turn. */
void sim_stream_tell_position(void (*say)(void *ctx, struct bytes text), void *ctx);
void sim_stream_read(const struct bytes *options, unsigned count, void (*say)(void *ctx, struct bytes text),
                     void *ctx);
