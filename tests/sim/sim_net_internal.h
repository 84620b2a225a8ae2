/* Between the links (sim_net.c) and the descriptors of the worker (sim_files.c). */
#pragma once

#include "sim_net.h"

void sim_files_start(void);

struct sim_link *sim_link_new(const struct sim_actor *actor, void *ctx, bool redis);
size_t sim_ring_room(const struct sim_ring *r);
void sim_ring_put(struct sim_ring *r, const char *data, size_t len);
void sim_ring_peek(const struct sim_ring *r, char *data, size_t len);
void sim_ring_drop(struct sim_ring *r, size_t len);

/* The worker has written, or will write no more. */
void sim_link_left(struct sim_link *l);
/* Something is on its way to the worker. */
void sim_link_arrived(struct sim_link *l);
/* The worker has read so much. */
void sim_link_took(struct sim_link *l, size_t len);
/* The worker has closed its end. */
void sim_link_closed(struct sim_link *l, bool reset);
/* The worker finds the error at its next call. */
void sim_link_break(struct sim_link *l, int error);
/* The worker is told right now that it is lost; the other end finds out later. */
void sim_link_lost(struct sim_link *l);
