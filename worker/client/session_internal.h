/* The inside of a session, for the files of this folder that make it up. Plain data: what another process
 * would need to carry on is here or in the lists that hang here, and nothing is kept in closures.
 *
 * Whatever sends or closes may end the session: afterwards its phase says so, and only that may be asked. The
 * memory itself lives until the end of the turn. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "codec.h"
#include "codes.h"
#include "conn.h"
#include "frame.h"
#include "hub.h"
#include "list.h"
#include "loop.h"
#include "random.h"
#include "session.h"
#include "turns.h"

struct held;
struct slab;

struct clients {
	struct loop *loop;
	const struct config *config;
	struct hub *hub;
	const struct codec *codec;
	struct buf scratch; /* of the decoder, within one handler */
	struct buf out;     /* of the encoder, likewise */
	struct frame *ping;
	struct frame *native_ping;
	struct slab *session_slab;
	struct slab *subscription_slab;
	size_t open;            /* sessions */
	struct session *closed; /* to be freed by the task below */
	struct task bury;
	struct list resumable; /* held messages whose turn has come */
	struct held *resumed;  /* the one that is worked off in this moment */
	struct task resume;
	struct turns turns;
};

/* In the order in which a session passes through them; it may skip, and never goes back. */
enum session_phase {
	SESSION_NEW,
	SESSION_CONNECTING, /* the connect command waits for its subscriptions */
	SESSION_CONNECTED,
	SESSION_REFUSED, /* connect was answered with an error: nothing more is read */
	SESSION_CLOSED,
};

struct session {
	struct clients *clients;
	struct conn *conn;
	struct timer timer;        /* for all moments below, the nearest first */
	struct list subscriptions; /* struct client_subscription */
	struct list pending;       /* struct pending, in the order of their commands */
	union {
		struct held *held;           /* the rest of a message, while it cannot go on */
		struct session *next_closed; /* in SESSION_CLOSED */
	};
	/* Moments have 48 bits, which 8,900 years fit in, and what is small stands between them: a session is
	 * two cache lines, and a worker holds many that only are there. */
	uint64_t due_ms : 48; /* when connected: of the next ping; before: when it is stale. 0: never */
	uint16_t pending_count;
	uint64_t pong_due_ms : 48; /* 0: no pong is expected */
	uint8_t phase;             /* enum session_phase */
	bool uni : 1;
	bool native_ping : 1;
	uint32_t taken_due_s; /* it must have taken some of a large answer by then; 0: it has none to take */
	uint32_t subscription_count;
	unsigned char client_id[UUID_LEN]; /* a UUID */
};

void session_set_phase(struct session *s, enum session_phase phase);
/* The user of the session; empty: anonymous. */
struct bytes session_user(const struct session *s);
/* Sends what stands in clients->out as one message. */
void session_send_out(struct session *s);
/* The same for what may be large, and was asked for: no limit of the queue ends the session. */
void session_send_answer(struct session *s);
/* Ends the session, with the reason of the code; why is for the log. */
void session_disconnect(struct session *s, enum disconnect_code code, const char *why);
/* Something that waited is done: what is held may go on, from the loop. */
void session_go_on(struct session *s);
/* The ws_app callbacks that both kinds of sessions share. */
void session_on_open(struct conn *c);
void session_on_room(struct conn *c);
void session_on_close(struct conn *c);
