/* The inside of a connection and of the set that it is in, for the files that make them up: conn.c (life,
 * output, end), conn_input.c (input), conn_http.c and conn_ws.c (what the input means), conn_limits.c (how
 * fast it may come), conn_answers.c (large output), conns.c (the set). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "conn.h"
#include "conns.h"
#include "list.h"
#include "loop.h"
#include "outq.h"
#include "peer.h"
#include "rate.h"
#include "stream.h"
#include "ws_frame.h"

/* In the order in which a connection can pass through them; it may skip, and never goes back. */
enum phase {
	PHASE_HTTP,      /* reads request heads */
	PHASE_WEBSOCKET, /* reads frames for the app */
	PHASE_CLOSING, /* a close frame, or a last response, is on its way; what comes is read and dropped */
	PHASE_DEAD,    /* no socket; freed at the end of the turn */
};

/* What is kept of the input. Between two messages, which is nearly always, there is nothing to keep: this is
 * why an idle connection is small. */
struct input {
	struct buf rest;    /* read, but not consumed: an incomplete head or header, or what has to wait */
	struct buf message; /* the fragments so far of a message that did not come in one piece */
	struct ws_decoder decoder;
	uint32_t head_scanned; /* how far an incomplete request head was looked through */
};

/* What every delivery needs comes first, in two cache lines, and the stream next to it. */
struct conn {
	struct outq out;
	struct task turn; /* at the end of the turn: go on reading after a stop, flush */
	struct conns *set;
	uint32_t read_behind; /* bytes waiting to be sent at which reading stops; UINT32_MAX: it does not */
	uint32_t deflate_min; /* bytes of a message that is compressed */
	uint32_t max_message; /* bytes of a message that comes */
	uint8_t phase;        /* enum phase */
	uint8_t deflate_bits; /* 0: compression was not agreed on */
	uint8_t deflate_level;
	uint16_t worked; /* commands and frames of this turn */
	bool paused : 1;
	bool wants_room : 1; /* the app waits until less is queued */
	bool deaf : 1;       /* conn_stop_reading() */
	bool announced : 1;  /* the app was told that the close frame comes next */
	bool head_begun : 1; /* part of a request head has come */
	bool dropping : 1;   /* what comes cannot, or need not, be understood any more */
	bool peer_done : 1;  /* in PHASE_CLOSING: the peer has closed, too; the end of the queue is the end */
	bool shutdown_after : 1; /* in PHASE_CLOSING: we end the stream, when the queue is empty */
	bool kept_alive : 1;     /* in PHASE_HTTP: waits for a request that need not come */
	bool counted : 1;        /* for its address: gate_leave() is due */
	bool by_proxy : 1;       /* the socket's peer is one whose X-Forwarded-For is believed */
	bool deflate : 1;        /* came in by a door where messages may be compressed */
	bool limited : 1;        /* the limits of commands and bytes hold */
	bool held_back : 1;      /* at one of them: nothing is read until the timer fires */
	uint32_t taken;          /* bytes, by the socket, since conn_taken() */
	/* What is queued of answers; NULL: nothing. */
	struct conn_answer *answer;
	struct stream stream;
	struct list node; /* in set->all */
	struct timer timer;
	struct input *input;      /* NULL: nothing is kept */
	const struct ws_app *app; /* NULL: none yet, or told already that it is over */
	void *state;
	uint64_t number;
	struct peer peer; /* the client, as far as it is known */
	struct rate bytes_in;
	struct rate commands;
};

struct conns {
	struct conns_params params;
	struct list all;
	struct list answers; /* struct conn_answer */
	size_t answer_bytes; /* of all those */
	struct gate *gate;
	struct slab *slab; /* of the connections */
	struct proxied *proxied;
	size_t count;
	uint64_t accepted;
	bool draining;
	bool freeing;
	uint64_t drain_started_ms;
	uint64_t drain_duration_ms;
	size_t drain_total;
	uint64_t drain_last; /* the number of the youngest that was there */
	size_t drain_closed;
	struct timer drain_timer;
	struct task drained;
};

/* A connection on a new socket, which it takes over, in a set that counts it. As conns_accept(); `counted`:
 * for the address of the client, too. */
void conn_open(struct conns *set, int fd, const struct peer *client, bool counted,
               const struct conns_door *door);
void conn_set_phase(struct conn *c, enum phase phase);
/* Drops the socket and everything kept for it. The struct itself outlives the turn, since callers up the
 * stack may hold it. */
void conn_die(struct conn *c, bool reset);
/* The app hears of the end, once. */
void conn_tell_app(struct conn *c);
/* From now on the peer has CLOSE_TIMEOUT_MS to close, too. */
void conn_wait_for_peer(struct conn *c);
/* Flushes at the end of this turn, and goes on reading if that had stopped and may go on. */
void conn_wake(struct conn *c);
/* Queues a frame that this function owns; NULL means that there was no memory for it. */
void conn_send_own(struct conn *c, struct frame *f, size_t limit);

/* A message in a frame of its own, compressed where that is agreed on and of use; NULL: no memory. */
struct frame *conn_make_frame(struct conn *c, enum ws_opcode opcode, struct bytes message);

/* The socket took so many bytes while answers were queued. */
void conn_answer_taken(struct conn *c, size_t bytes);
/* The queue is empty. */
void conn_drop_answer(struct conn *c);

/* The stream's on_readable. */
void conn_on_readable(struct stream *s);
/* Works off what had been read before reading stopped, and reads again. */
void conn_go_on_reading(struct conn *c);
/* Whether that is due. */
bool conn_may_read_again(const struct conn *c);
/* Makes the decoder anew, under the rules that were agreed on. To be called while input is processed. */
void conn_begin_frames(struct conn *c);
void conn_drop_input(struct conn *c);

/* Takes one request off the front of the input; false when its head is not complete. */
bool conn_take_request(struct conn *c, const char *data, size_t len, size_t *used) MUST_CHECK;
/* Counts what came, and holds the client back if that was too much (conn_limits.c). */
void conn_count_bytes(struct conn *c, size_t len);
void conn_count_frames(struct conn *c, uint32_t count);
/* Its share of a turn begins anew. */
void conn_rest(struct conn *c);
/* Whether what comes is of use now. */
bool conn_may_read(const struct conn *c);
/* Takes frames, as long as they may be taken; returns the bytes consumed. */
size_t conn_take_frames(struct conn *c, char *data, size_t len);
