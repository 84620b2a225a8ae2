/* Sockets in memory, and the lies about them. A link has two ends: the worker's is a descriptor, the other
 * one an actor of this world, a client or Redis. What is sent takes time, buffers are finite, a close with
 * unread input is a reset that may destroy what is under way, as in TCP. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim.h"

struct sim_link;

struct sim_actor {
	/* Bytes from the worker, in pieces of any size. */
	void (*on_data)(struct sim_link *l, const char *data, size_t len);
	/* Nothing more comes. reset: by force, and something may be lost. Once. */
	void (*on_end)(struct sim_link *l, bool reset);
};

struct sim_ring {
	char *data;
	size_t cap, head, len;
};

struct sim_link {
	struct sim_link *next;         /* of all of this seed */
	const struct sim_actor *actor; /* NULL: nobody is there any more */
	void *ctx;
	bool redis;    /* the worker connected; else it accepts */
	bool reliable; /* nothing breaks it */
	bool calm;     /* and no lies are told about it */

	int fd;      /* the worker's, or -1 */
	bool closed; /* by the worker */
	bool connecting;
	int error;     /* for the worker to find, once */
	bool broken;   /* after the error, or instead of it */
	bool was_full; /* the worker could not write all it wanted */
	bool hurt;     /* by a lie: what is under way may be lost, in both directions */

	struct sim_ring wire; /* sent to the worker, on its way: grows */
	struct sim_ring in;   /* there, and not read yet */
	bool wire_end;        /* the end is on its way */
	bool in_end;          /* the end is there */
	bool arriving;        /* an event is to come */
	uint64_t pushed;      /* bytes that were sent to the worker … */
	uint64_t consumed;    /* … and read by it */

	struct sim_ring out;    /* written by the worker */
	bool out_end;           /* no more will be */
	bool leaving;           /* an event is to come */
	bool ended;             /* the actor was told */
	bool reading;           /* the actor is */
	size_t pace;            /* bytes that it reads at once */
	uint64_t pause_us;      /* … and how long it waits then */
	uint64_t hole_until_us; /* nothing comes through */
	bool holed;             /* ever */
};

void sim_net_start(void);

/* --- the other ends --- */

/* A client connects: the link waits in the backlog until the worker accepts it. */
struct sim_link *sim_dial(const struct sim_actor *actor, void *ctx);
/* What happens when the worker connects to Redis: 0 or an errno, SIM_SILENT for no answer at all. */
enum { SIM_SILENT = -1 };
void sim_on_connect(int (*answer)(struct sim_link *l));
void sim_link_send(struct sim_link *l, const char *data, size_t len);
/* The end of what the actor sends; it goes on reading. */
void sim_link_finish(struct sim_link *l);
/* The actor closes: what still comes from the worker is answered with a reset. */
void sim_link_close(struct sim_link *l);
void sim_link_reset(struct sim_link *l);
/* As reset, but in the middle of what is on its way. */
void sim_link_cut(struct sim_link *l);
void sim_link_set_reading(struct sim_link *l, bool reading);
/* Nothing comes through for so long, in neither direction. */
void sim_link_hole(struct sim_link *l, uint64_t duration_us);
/* Ends its hole. */
void sim_link_mend(struct sim_link *l);
/* Whether the worker has given it up, or found it broken. */
bool sim_link_dead(const struct sim_link *l);
/* All that there were, the newest first. */
struct sim_link *sim_links(void);

/* --- the worker's ends (sim_syscalls.c) --- */

/* The descriptor that the worker listens on, and the one to its master. */
int sim_listener_open(void);
int sim_control_open(void);
/* To the worker. */
void sim_control_send(uint32_t kind);
void sim_control_hang_up(void);
/* The worker said that it serves. */
bool sim_control_ready(void);
/* Descriptors that are open. */
unsigned sim_open_files(void);
/* How many the worker may have. */
void sim_set_file_limit(unsigned limit);
unsigned sim_file_limit(void);
/* While the worker runs. */
bool sim_owns(int fd);
/* Runs at each wait of the worker. */
void sim_on_turn(void (*run)(void));
