/* Stands in for worker/client/conn.c in unit tests of what stands on it: messages are handed in and looked
 * at, there is no socket. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "codes.h"
#include "conn.h"

struct conn {
	const struct ws_app *app;
	void *state;
	bool open;
	bool paused;
	bool deaf; /* conn_stop_reading() */
	bool held_back;
	bool full; /* there is no room */
	bool wants_room;
	uint32_t taken;
	unsigned counted; /* conn_count_command() */
	unsigned share;   /* of a turn, so counted; 0: any */
	uint16_t code;    /* of the close */
	const char *reason;
	unsigned pings;     /* WebSocket pings sent */
	unsigned room;      /* sending the so many-th message closes with 3008; 0: never */
	struct buf out;     /* what was sent and not looked at yet, one message a line */
	struct buf heard;   /* what was looked at last */
	struct buf waiting; /* messages that came during a pause, each ended by '\1' */
};

/* An answer of more bytes does not fit, of any connection; and how often others were hurried. */
extern size_t fake_conn_answer_room;
extern unsigned fake_conn_hurried;
enum { FAKE_CONN_SMALL = 10000 };

void fake_conn_init(struct conn *c);
/* Drops it, if it is still open. */
void fake_conn_free(struct conn *c);
/* A message from the peer. While the connection is paused it waits, as it would in a real one. */
void fake_conn_say(struct conn *c, const char *message);
/* Hands over what waited, if the pause is over. */
void fake_conn_go_on(struct conn *c);
/* There is room again. */
void fake_conn_make_room(struct conn *c);
/* What was sent since the last call, UUIDs replaced by <uuid>; lives until the next. */
const char *fake_conn_heard(struct conn *c);
