/* HTTP and WebSocket as a client speaks them over a link: what comes is cut into responses and frames and its
 * form is checked, byte by byte; what it means is the owner's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "sim_net.h"

/* SIM_MESSAGE_MAX: the longest message that is sent in one go. */
enum { SIM_MESSAGE_MAX = 72000 };

struct sim_wire_events {
	/* From here on there are frames. */
	void (*on_upgraded)(void *owner);
	void (*on_response)(void *owner, int status, struct bytes body);
	/* A whole one, from the worker: unmasked. The first byte holds the opcode and what else it does. */
	void (*on_frame)(void *owner, unsigned first_byte, const char *data, size_t len);
};

struct sim_wire {
	const struct sim_wire_events *events;
	void *owner;
	const char *who; /* for complaints */
	struct sim_link *link;
	bool upgraded;
	char *in; /* what is not whole yet */
	size_t in_len, in_cap;
	char *out; /* lines for the next message */
	size_t out_len;
};

void sim_wire_init(struct sim_wire *w, const struct sim_wire_events *events, void *owner, const char *who);
/* Begins anew, on this link. */
void sim_wire_open(struct sim_wire *w, struct sim_link *link);
/* The first byte as it stands on the wire, so it may be nonsense. */
void sim_wire_send_frame(struct sim_wire *w, unsigned first_byte, const char *data, size_t len);
/* A text, at times in fragments with a control frame in between. */
void sim_wire_send_message(struct sim_wire *w, const char *data, size_t len);
/* To the next message: a newline, where something stands there, and pieces of text. */
void sim_wire_begin_line(struct sim_wire *w);
void sim_wire_put(struct sim_wire *w, const char *text, size_t len);
/* Sends the message, if there is any. */
void sim_wire_flush(struct sim_wire *w);
/* What the link brought. */
void sim_wire_take(struct sim_wire *w, const char *data, size_t len);
