/* The subscriptions of a channel with history that are not live yet. Each waits until the position is known,
 * and until what it lacks to get back to where it was (recovery.h) is read: those who lack the same share a
 * read. What a waiter is promised is kept until it begins, or is read again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"

struct buf;
struct history;
struct hub_answer;
struct subscription;
struct want;

/* Whether the subscription, which is in the channel already, could go live now. If not, hub_events.subscribed
 * follows. What it wants is copied. */
bool history_wait(struct history *h, struct subscription *s, const struct want *want) MUST_CHECK;
/* Whether it still could, some time later. If not, hub_events.subscribed follows again. */
bool history_may_begin(struct history *h, struct subscription *s) MUST_CHECK;
/* What it gets, if it began now, as it is kept. */
size_t history_missed_bytes(const struct history *h, const struct subscription *s) MUST_CHECK;
/* Makes a piece of that; false: there is more to make. */
bool history_prepare(struct history *h, const struct subscription *s) MUST_CHECK;
void history_stop_waiting(struct history *h, struct subscription *s);
/* What the subscription gets, now that it goes live, as hub_begin(). It waits no more. */
void history_begin(struct history *h, struct subscription *s, struct hub_answer *answer,
                   struct buf *publications);

/* The position, or what is kept, has changed: tells all that can begin. Those it tells may take others away.
 */
void history_settle(struct history *h);
/* Whether one of those who wait gets further with a read of the newest publications. */
bool history_lacks_recent(const struct history *h) MUST_CHECK;
