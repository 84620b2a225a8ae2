/* A client, between what it does (sim_client.c), what it asks for (sim_command.c) and what it makes of the
 * answers (sim_check.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "sim_client.h"
#include "sim_truth.h"
#include "sim_wire.h"

enum { CLIENTS_MAX = 40, COMMANDS_MAX = 64 };

enum persona { GOOD, SLOW, NEVER_READS, MUTE, STALE, GARBAGE, BROWSING, PROBE };
enum phase { AWAY, DIALED, OPEN, CLOSED };
enum kind { CONNECT, SUBSCRIBE, UNSUBSCRIBE, PUBLISH };

struct command {
	uint32_t id;
	enum kind kind;
	unsigned channel;
	uint32_t number; /* of a publication */
	bool recover;    /* of a subscribe */
};

struct sub {
	bool asked; /* subscribe or unsubscribe is on its way */
	struct truth_view view;
};

struct client {
	unsigned number;
	enum persona persona;
	char name[32];
	struct sim_wire wire;
	enum phase phase;
	bool connected;
	bool retired;     /* does not come back */
	bool left;        /* we ended it, or did what ends it */
	bool told_to_go;  /* a close frame came */
	bool native_ping; /* one of ours is not answered */
	unsigned author;  /* of what is published on this connection */
	uint32_t next_id;
	struct command commands[COMMANDS_MAX]; /* not answered, in order */
	unsigned command_count;
	struct sub subs[TRUTH_CHANNELS];
	struct truth_view kept; /* what it had of the channel with history; over all connections */
	unsigned requests;      /* HTTP, not answered */
	uint64_t asked_us;      /* the last of them */
};

/* What all of them live in; sim_client.c changes it. */
struct sim_times {
	struct sim_society society;
	bool draining;
	bool stopping;
};
extern struct sim_times sim_times;

/* --- what it asks for: commands of the next message --- */

const char *sim_command_name(enum kind kind);
void sim_command_connect(struct client *c);
/* Subscribe or unsubscribe. */
void sim_command_channel(struct client *c, enum kind kind, unsigned channel);
/* A new publication; it may flush what is there. */
void sim_command_publish(struct client *c, unsigned channel);

/* --- what it makes of the answers: fails if they are not what may come --- */

/* For struct sim_wire_events. */
void sim_check_frame(void *owner, unsigned first_byte, const char *data, size_t len);
void sim_check_response(void *owner, int status, struct bytes body);
/* The worker has ended the connection. */
void sim_check_end(const struct client *c, bool reset);
/* The worker is gone, and all that it sent has arrived. */
void sim_check_gone(const struct client *c);
/* As many connections the worker has descriptors for. */
unsigned sim_check_most_connections(void);
