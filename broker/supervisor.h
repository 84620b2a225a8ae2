/* Keeps one process alive for each worker index: forks it, waits for its READY, notices its end and starts
 * the next one, soon or later as respawn.h says. Who waits for that for long gets no connections meanwhile,
 * if another worker serves, and the others are told who died young, and see to what it left. Ends them all in
 * the end, gently first.
 *
 * A worker holds its own row of the listening sockets and its end of a control socket, and nothing else of
 * the master's. Signals that a terminal or a service manager sends to the whole group (TERM, INT, QUIT, HUP,
 * USR1, USR2) are ignored in workers: what happens to them is for the master to decide, which tells them by
 * control messages. */
#pragma once

#include <ev.h>

#include "control.h"
#include "listeners.h"
#include "privileges.h"
#include "worker.h"

struct supervisor;

enum {
	WORKER_READY_LIMIT_MS = 30000, /* from fork to READY */
	WORKER_DRAIN_GRACE_MS = 5000,  /* beyond shutdown.timeout_ms */
	WORKER_STOP_LIMIT_MS = 2000,   /* from CONTROL_STOP to SIGKILL */
	WORKER_END_LIMIT_MS = 5000,    /* from the end of the control socket to SIGKILL */
};

struct supervisor_args {
	struct ev_loop *loop; /* the default loop: the others are not told of children */
	const struct config *config;
	const struct listeners *listeners;
	struct tls_server *tls;              /* worker_load_tls() */
	struct redis_tls *redis_tls;         /* worker_load_redis_tls() */
	struct metrics_slot *metrics;        /* a slot for each worker */
	const struct privileges *privileges; /* for the children to drop; NULL: none */
	unsigned workers;
	int (*run_worker)(const struct worker_args *args); /* in the child; its result is the exit code */

	/* In the child, before anything else of it: stop the master's watchers, leave the loop. */
	void (*on_forked)(void *arg);
	/* All workers are ready. Again whenever that is true again after one was lost. */
	void (*on_all_ready)(void *arg);
	/* After supervisor_drain() or supervisor_stop(): the last one is gone. May free the supervisor. */
	void (*on_all_gone)(void *arg);
	void *arg;
};

/* Lends what the args point to, which must outlive it. */
struct supervisor *supervisor_new(const struct supervisor_args *args);
/* Forks the workers. */
void supervisor_start(struct supervisor *s);
/* No worker is started any more. Each is told to drain; those still there after shutdown.timeout_ms and
 * WORKER_DRAIN_GRACE_MS are stopped. */
void supervisor_drain(struct supervisor *s);
/* As before, but each is told to stop; those still there after WORKER_STOP_LIMIT_MS are killed. */
void supervisor_stop(struct supervisor *s);
/* To each worker that is there, with the descriptor. */
void supervisor_send_file(struct supervisor *s, enum control_kind kind, int file);
/* Only when all are gone, or none was ever started. Accepts NULL. */
void supervisor_free(struct supervisor **s);
