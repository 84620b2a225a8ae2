/* Clients of all kinds, kept by what they do: most behave, some read slowly or not at all, say nothing, send
 * nonsense, or speak only HTTP. Each checks every byte that it gets. */
#pragma once

#include <stdbool.h>

#include "config.h"

struct sim_society {
	const struct config *config;
	unsigned count;
	bool hungry; /* memory runs out: connections may end, publications be lost, for want of it */
};

void sim_clients_start(const struct sim_society *society);
/* From now on everybody behaves, and comes back for good. */
void sim_clients_calm(void);
/* Nobody says anything any more but what he is asked for. */
void sim_clients_hush(void);
/* All leave, and do not come back. */
void sim_clients_leave(void);
/* The worker was told to drain, or to stop at once; nobody comes back. */
void sim_clients_expect_end(bool at_once);
/* Everybody is there, has what he wants, and waits for nothing; else why not. */
bool sim_clients_settled(const char **why);
/* Everybody has seen the last publication of what he is subscribed to. */
bool sim_clients_up_to_date(const char **why);
/* The worker is gone, and all that it sent has arrived. */
void sim_clients_check_gone(void);
