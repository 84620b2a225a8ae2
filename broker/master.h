/* The master process: opens the listening sockets, starts the embedded Redis if no other is configured, forks
 * the workers and looks after all of them until a signal tells it to stop. It serves no traffic and reads
 * nothing from the network, so that it has no reason to die.
 *
 * Signals: TERM and INT drain and stop, a second one stops at once; QUIT stops at once; HUP (reload), USR1
 * (reopen logs) and USR2 (upgrade) are answered with a line in the log and change nothing yet. */
#pragma once

struct config;

/* Runs the broker in the foreground. Returns the exit code of the process: 0 after an orderly stop, 1 when
 * the broker could not start (the reason is in the log). Without a Redis in the configuration,
 * config->redis.address is set to that of the embedded one, and in config->listen the ports that the kernel
 * chose stand for port 0. In the workers, which are forked from within, it does not return. on_ready, if not
 * NULL, is called once, when all workers serve. */
int master_run(struct config *config, void (*on_ready)(void *arg), void *arg);
