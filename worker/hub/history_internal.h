/* The inside of a history, for the files of this folder that make it up. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"

struct history;
struct publication;

/* Whether Redis has told the position. */
bool history_is_known(const struct history *h) MUST_CHECK;
/* The stream is somewhere else than we thought, or was not known. */
void history_set_position(struct history *h, struct bytes epoch, uint64_t offset);
/* The publication follows the position. */
void history_advance(struct history *h, uint64_t offset, struct bytes payload);
/* Hands it to the subscribers, if it has data. */
void history_deliver(struct history *h, const struct publication *p);
/* A part of the stream, after the position, is gone that live subscriptions have not seen. */
void history_tell_lost(struct history *h);
